use super::super::*;
use crate::measurement::channel::DeviceKind;
use crate::measurement::source_name::SourceName;
use proptest::prelude::*;

const S: u64 = 1_000_000_000;
const COUNTER: Quantity = Quantity::Counter { joules_per_unit: 1e-6, range: None, max_watts: 2000.0 };
const POWER: Quantity = Quantity::Power { max_watts: 1000.0 };

/// Energy, measured time and events so far.
#[derive(Default)]
struct Run {
    joules: f64,
    measured_s: f64,
    intervals: usize,
    events: Vec<MeterEvent>,
}

impl Run {
    fn take(&mut self, interval: EnergyInterval) {
        assert!(interval.to > interval.from, "{interval:?}");
        self.joules += interval.joules;
        self.intervals += 1;
        self.measured_s += if interval.measured { interval.to.s_since(interval.from) } else { 0.0 };
    }

    fn push(&mut self, meter: &mut Meter, seconds: f64, value: Value) {
        let event = meter.push(MonoNs((seconds * 1e9) as u64), Ok(value), |interval| self.take(interval));
        self.events.extend(event);
    }

    /// Reads the counter ten times a second from `from` to `to`, s.
    fn count(&mut self, meter: &mut Meter, (from, to): (f64, f64), joules: impl Fn(f64) -> f64) {
        for tenth in (from * 10.0) as u32..=(to * 10.0) as u32 {
            let at = f64::from(tenth) / 10.0;
            self.push(meter, at, Value::Count((joules(at) * 1e6) as u64));
        }
    }

    fn finish(&mut self, meter: &mut Meter) {
        meter.finish(|interval| self.take(interval));
    }
}

#[test]
fn a_counter_that_never_moves_is_unknown_and_not_0() {
    for first in [0.0, 123.456] {
        let (mut meter, mut run) = (Meter::new(COUNTER), Run::default());
        run.count(&mut meter, (0.0, 3.0), |_| first);
        run.finish(&mut meter);
        assert_eq!((run.intervals, run.events), (0, vec![MeterEvent::Lost(Fault::Stalled)]));
        assert_eq!((meter.health(), meter.alive_at()), (Health::Stalled, Some(MonoNs(0))));
        assert!(meter.is_missing() && !meter.wants_second_look());
    }
}

#[test]
fn stalled_counter_does_not_come_back_by_itself_when_it_could_have_wrapped() {
    let counter = Quantity::Counter { joules_per_unit: 1e-6, range: Some(65_532_610_987), max_watts: 700.0 };
    let (mut meter, mut run) = (Meter::new(counter), Run::default());
    run.count(&mut meter, (0.0, 400.0), |at| 100.0 * at.min(20.0));
    run.finish(&mut meter);
    assert_eq!(run.events, [MeterEvent::Lost(Fault::Stalled)], "a wrap takes 94 s at 700 W");
    assert!((run.joules - 2000.0).abs() < 1e-3 && run.measured_s < 21.0, "{} J, {} s", run.joules, run.measured_s);
}

#[test]
fn a_counter_that_hardly_moves_is_stalled() {
    let (mut meter, mut run) = (Meter::new(COUNTER), Run::default());
    run.count(&mut meter, (0.0, 10.0), |at| 0.005 * at);
    assert_eq!((run.intervals, meter.health()), (0, Health::Stalled), "5 mW");
}

#[test]
fn a_pause_within_the_counters_step_has_no_energy() {
    let (mut meter, mut run) = (Meter::new(COUNTER), Run::default());
    run.count(&mut meter, (0.0, 2.0), |at| 10.0 * (at * 4.0).floor());
    run.push(&mut meter, 2.1, Value::Count(80_000_000));
    run.push(&mut meter, 2.15, Value::Count(80_000_000));
    run.finish(&mut meter);
    assert!(
        (run.joules - 80.0).abs() < 1e-6 && (run.measured_s - 2.15).abs() < 1e-6,
        "{} {}",
        run.joules,
        run.measured_s
    );
    assert_eq!((run.events, meter.health()), (vec![], Health::Ok));
}

#[test]
fn energy_after_the_last_move_of_a_stuck_counter_is_unknown() {
    let (mut meter, mut run) = (Meter::new(COUNTER), Run::default());
    run.count(&mut meter, (0.0, 6.0), |at| 50.0 * at.min(2.0));
    run.finish(&mut meter);
    // A pause as short as a counter's step is not a stall yet.
    assert!((run.joules - 100.0).abs() < 1e-6 && (run.measured_s - 2.5).abs() < 1e-6, "{}", run.measured_s);
    assert_eq!((run.events, meter.alive_at()), (vec![MeterEvent::Lost(Fault::Stalled)], Some(MonoNs(5 * S / 2))));
}

#[test]
fn energy_that_a_stuck_counter_missed_stays_unknown() {
    let (mut meter, mut run) = (Meter::new(COUNTER), Run::default());
    run.count(&mut meter, (0.0, 8.0), |at| if at < 5.0 { 50.0 * at.min(2.0) } else { 100.0 + 50.0 * (at - 5.0) });
    assert!(
        (run.joules - 250.0).abs() < 1e-6 && (run.measured_s - 5.5).abs() < 0.01,
        "{} {}",
        run.joules,
        run.measured_s
    );
    assert_eq!(run.events[0], MeterEvent::Lost(Fault::Stalled));
    assert!(
        matches!(run.events[1..], [MeterEvent::Moves(seconds)] if (seconds - 2.5).abs() < 0.11),
        "{:?}",
        run.events
    );
}

#[test]
fn a_counter_that_catches_up_has_counted_all_of_it() {
    let (mut meter, mut run) = (Meter::new(COUNTER), Run::default());
    run.count(&mut meter, (0.0, 8.0), |at| if (2.0..5.0).contains(&at) { 100.0 } else { 50.0 * at });
    assert!(
        (run.joules - 400.0).abs() < 1e-6 && (run.measured_s - 8.0).abs() < 0.01,
        "{} {}",
        run.joules,
        run.measured_s
    );
}

/// It stood still for 34 s, of which the meter saw 10.
#[test]
fn energy_from_before_the_first_reading_is_not_counted_when_a_stalled_counter_catches_up() {
    let (mut meter, mut run) = (Meter::new(COUNTER), Run::default());
    run.count(&mut meter, (24.0, 33.9), |_| 50.0);
    run.count(&mut meter, (34.0, 36.0), |at| 140.0 * at);
    run.finish(&mut meter);
    assert!((run.joules - 280.0).abs() < 1.0 && run.measured_s < 2.1, "{} J in {} s", run.joules, run.measured_s);
    assert!(matches!(run.events[..], [MeterEvent::Lost(Fault::Stalled), MeterEvent::Moves(_)]), "{:?}", run.events);
}

/// It stood still for 11 s, of which the meter saw 1: less than a stall.
#[test]
fn energy_from_before_the_first_reading_is_not_counted_when_a_still_counter_catches_up() {
    let (mut meter, mut run) = (Meter::new(COUNTER), Run::default());
    run.count(&mut meter, (10.0, 10.9), |_| 50.0);
    run.count(&mut meter, (11.0, 13.0), |at| 50.0 + 40.0 * at);
    run.finish(&mut meter);
    assert!((run.joules - 120.0).abs() < 1.0 && run.measured_s < 2.1, "{} J in {} s", run.joules, run.measured_s);
    assert!(run.events.is_empty(), "{:?}", run.events);
}

#[test]
fn two_readings_far_apart_are_enough() {
    let (mut meter, mut run) = (Meter::new(COUNTER), Run::default());
    run.push(&mut meter, 0.0, Value::Count(5));
    run.push(&mut meter, 30.0, Value::Count(5));
    assert_eq!(run.events, [MeterEvent::Lost(Fault::Stalled)]);
}

#[test]
fn a_coarse_counter_is_granted_its_unit() {
    let quantity = Quantity::Counter { joules_per_unit: 1.0, range: None, max_watts: 2000.0 };
    let (mut meter, mut run) = (Meter::new(quantity), Run::default());
    for tenth in 0..=100 {
        let at = f64::from(tenth) / 10.0;
        run.push(&mut meter, at, Value::Count((at * 0.8) as u64));
    }
    assert_eq!((run.joules, run.events), (8.0, vec![]), "0.8 W in steps of 1 J");
}

#[test]
fn a_device_that_may_rest_is_not_stalled() {
    let channel = Channel {
        may_rest: true,
        ..Channel::new((DeviceKind::Gpu, SourceName::Nvml), "x", "x", MeasuringMethod::Counter, COUNTER)
    };
    let (mut meter, mut run) = (Meter::of(&channel, None), Run::default());
    run.count(&mut meter, (0.0, 3.0), |_| 7.0);
    assert_eq!((run.joules, meter.health()), (0.0, Health::Ok));
    assert!((run.measured_s - 3.0).abs() < 1e-6);
}

#[test]
fn a_power_of_0_is_no_power() {
    let (mut meter, mut run) = (Meter::new(POWER), Run::default());
    for tenth in 0..50 {
        let watts = if (10..40).contains(&tenth) { 0.0 } else { 40.0 };
        run.push(&mut meter, f64::from(tenth) / 10.0, Value::Watts(watts));
        assert_eq!(meter.health() == Health::Stalled, (35..40).contains(&tenth), "{tenth}");
    }
    assert_eq!(run.events[0], MeterEvent::Lost(Fault::NoPower));
    assert!(
        (run.measured_s - 1.8).abs() < 1e-6 && (run.joules - 72.0).abs() < 1e-6,
        "nothing is invented: {}",
        run.joules
    );
}

#[test]
fn the_power_beside_a_counter_that_stands_still_is_integrated() {
    for moves_until in [0.0, 3.0] {
        let (mut meter, mut run) = (Meter::new(COUNTER), Run::default());
        for tenth in 0..=100 {
            let at = f64::from(tenth) / 10.0;
            run.push(&mut meter, at, Value::Count(9_000_000 + (300e6 * at.min(moves_until)) as u64));
            run.push(&mut meter, at, Value::CheckWatts(300.0));
        }
        assert!((run.joules - 3000.0).abs() < 31.0, "{}", run.joules);
        assert_eq!(
            (run.events, meter.method(MeasuringMethod::Counter)),
            (vec![MeterEvent::ByPower], MeasuringMethod::Power)
        );
        assert_eq!((meter.health(), meter.is_by_power()), (Health::Ok, true));
    }
}

#[test]
fn a_counter_that_moves_again_takes_over_from_the_power() {
    let (mut meter, mut run) = (Meter::new(COUNTER), Run::default());
    for tenth in 0..=100 {
        let at = f64::from(tenth) / 10.0;
        let counted = if at < 6.0 { at.min(3.0) } else { at - 3.0 };
        run.push(&mut meter, at, Value::Count((300e6 * counted) as u64));
        run.push(&mut meter, at, Value::CheckWatts(300.0));
    }
    assert!((run.joules - 3000.0).abs() < 31.0, "{}", run.joules);
    assert!(
        !meter.is_by_power() && matches!(run.events[..], [MeterEvent::ByPower, MeterEvent::Moves(_)]),
        "{:?}",
        run.events
    );
}

#[test]
fn energy_is_unknown_after_the_reported_power_ends_too() {
    let (mut meter, mut run) = (Meter::new(COUNTER), Run::default());
    for tenth in 0..=100 {
        let at = f64::from(tenth) / 10.0;
        run.push(&mut meter, at, Value::Count(9));
        if tenth < 50 {
            run.push(&mut meter, at, Value::CheckWatts(300.0));
        }
    }
    assert_eq!(
        (run.events, meter.health()),
        (vec![MeterEvent::ByPower, MeterEvent::Lost(Fault::Stalled)], Health::Stalled)
    );
    assert!((run.joules - 0.1 * 49.0 * 300.0).abs() < 1.0, "{}", run.joules);
}

#[test]
fn a_counter_that_disagrees_with_the_power_is_reported_once() {
    for (counted_w, disagrees) in [(300.0, false), (171.0, true), (270.0, false), (250.0, true), (350.0, true)] {
        let (mut meter, mut run) = (Meter::new(COUNTER), Run::default());
        for fifth in 0..=750 {
            let at = f64::from(fifth) / 5.0;
            run.push(&mut meter, at, Value::Count((counted_w * 1e6 * at) as u64));
            run.push(&mut meter, at, Value::CheckWatts(300.0));
        }
        assert!((run.joules - 150.0 * counted_w).abs() < 1.0, "the counter is what counts");
        assert_eq!(
            (run.events.len(), meter.faults.disagreement.is_some()),
            (usize::from(disagrees), disagrees),
            "{counted_w}"
        );
    }
}

/// The few powers are read at other moments than the counter.
#[test]
fn an_alternating_load_is_no_disagreement() {
    let (mut meter, mut run, mut joules) = (Meter::new(COUNTER), Run::default(), 0.0);
    let mut random = 7u64;
    for step in 0..40_000 {
        let watts = if step % 2 == 0 { 300.0 } else { 60.0 };
        joules += 0.01 * watts;
        let at = f64::from(step) * 0.01;
        run.push(&mut meter, at + 0.01, Value::Count((1e6 * joules) as u64));
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if random >> 57 == 0 {
            run.push(&mut meter, at + 0.01, Value::CheckWatts(watts));
        }
    }
    assert_eq!(run.events, []);
}

#[test]
fn a_disagreement_that_ends_is_taken_back() {
    let (mut meter, mut run) = (Meter::new(COUNTER), Run::default());
    for fifth in 0..=1500 {
        let at = f64::from(fifth) / 5.0;
        let counted = 171.0 * at.min(20.0) + 300.0 * (at - 20.0).max(0.0);
        run.push(&mut meter, at, Value::Count((1e6 * counted) as u64));
        run.push(&mut meter, at, Value::CheckWatts(300.0));
    }
    assert!(
        matches!(run.events[..], [MeterEvent::Disagrees(_)]) && meter.faults.disagreement.is_none(),
        "{:?}",
        run.events
    );
}

#[test]
fn a_counter_of_long_steps_is_spread_over_them() {
    for (step_s, watts) in [(0.4, 150.0), (1.0, 100.0), (2.0, 400.0)] {
        let (mut meter, mut run) = (Meter::new(COUNTER), Run::default());
        for hundredth in 0..=1200 {
            let at = f64::from(hundredth) / 100.0;
            run.push(&mut meter, at, Value::Count((1e6 * watts * step_s * (at / step_s).floor()) as u64));
        }
        assert!((run.joules - 12.0 * watts).abs() < 1.01 * watts * step_s, "{} J at steps of {step_s} s", run.joules);
        assert_eq!((run.events, meter.health()), (vec![], Health::Ok));
    }
}

/// The power was integrated while the counter counted too: each joule counts once.
#[test]
fn a_counter_that_catches_up_with_its_power_is_counted_once() {
    for step_s in [0.6, 1.0] {
        let (mut meter, mut run) = (Meter::new(COUNTER), Run::default());
        for twentieth in 0..=120 {
            let at = f64::from(twentieth) / 20.0;
            run.push(&mut meter, at, Value::Count((100e6 * step_s * (at / step_s).floor()) as u64));
            run.push(&mut meter, at, Value::CheckWatts(100.0));
        }
        assert!((run.joules - 600.0).abs() < 65.0, "{} J at steps of {step_s} s", run.joules);
    }
}

#[test]
fn a_power_that_flickers_is_unknown_where_it_is_0() {
    let (mut meter, mut run) = (Meter::new(POWER), Run::default());
    for twentieth in 0..100 {
        let watts = if (twentieth / 8) % 2 == 0 { 50.0 } else { 0.0 };
        run.push(&mut meter, f64::from(twentieth) / 20.0, Value::Watts(watts));
    }
    assert!(run.joules < 130.0 && run.events.is_empty(), "{} J {:?}", run.joules, run.events);
}

#[test]
fn an_absurd_reported_power_is_ignored() {
    let (mut meter, mut run) = (Meter::new(COUNTER), Run::default());
    for tenth in 0..=100 {
        let at = f64::from(tenth) / 10.0;
        run.push(&mut meter, at, Value::Count((50e6 * at) as u64));
        run.push(&mut meter, at, Value::CheckWatts(4_294_967.295));
    }
    assert_eq!((run.events, meter.health(), meter.faults.failed), (vec![], Health::Ok, 0));
}

#[test]
fn a_counter_that_turns_out_not_to_exist_is_followed_by_power() {
    let (mut meter, mut run) = (Meter::new(COUNTER), Run::default());
    for tenth in 0..=20 {
        run.push(&mut meter, f64::from(tenth) / 10.0, Value::Watts(50.0));
    }
    assert!((run.joules - 100.0).abs() < 1e-6 && meter.method(MeasuringMethod::Counter) == MeasuringMethod::Power);
}

proptest! {
    /// For any counts and powers, intervals never overlap, and none is outside the readings.
    #[test]
    fn credits_follow_each_other(readings in prop::collection::vec((1u64..2_000, 0u64..3, 0u64..400), 1..200)) {
        let mut meter = Meter::new(COUNTER);
        let (mut at, mut count, mut credited) = (MonoNs::ZERO, 0u64, Vec::new());
        for (ms, what, watts) in readings {
            at = at + ms * 1_000_000;
            count += if what == 0 { watts * ms * 1000 } else { 0 };
            let value = if what == 2 { Value::CheckWatts(watts as f64) } else { Value::Count(count) };
            meter.push(at, Ok(value), |interval| {
                assert!(interval.to > interval.from && interval.to <= at, "{interval:?} at {at:?}");
                assert!(interval.joules >= 0.0 && interval.joules.is_finite());
                credited.push((interval.from, interval.to));
            });
        }
        meter.finish(|interval| credited.push((interval.from, interval.to)));
        // The time before the first move may be filled in later.
        credited.sort();
        assert!(credited.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{credited:?}");
    }
}
