use super::*;
use crate::measurement::channel::DeviceKind;
use crate::measurement::source_name::SourceName;
use proptest::prelude::*;

const S: u64 = 1_000_000_000;
const RANGE: u64 = 262_143_328_850;

fn package() -> Meter {
    Meter::new(Quantity::Counter { joules_per_unit: 1e-6, range: Some(RANGE), max_watts: 2000.0 })
}

/// A meter that should have been read from 0 on.
fn late(quantity: Quantity) -> Meter {
    Meter::of(
        &Channel::new((DeviceKind::Gpu, SourceName::Nvml), "x", "x", MeasuringMethod::Counter, quantity),
        Some(MonoNs(0)),
    )
}

/// Feeds (seconds, microjoules or fault); returns energy, measured time and events.
fn feed(meter: &mut Meter, readings: &[(f64, Result<u64, Fault>)]) -> (f64, f64, Vec<MeterEvent>) {
    let (mut joules, mut measured, mut events) = (0.0, 0.0, vec![]);
    for &(at, reading) in readings {
        let event = meter.push(MonoNs((at * 1e9) as u64), reading.map(Value::Count), |c| {
            joules += c.joules;
            measured += if c.measured { c.to.s_since(c.from) } else { 0.0 };
        });
        events.extend(event);
    }
    (joules, measured, events)
}

#[test]
fn a_wrap_is_counted_once() {
    let mut m = package();
    let (joules, measured, events) =
        feed(&mut m, &[(0.0, Ok(RANGE - 50_000_000)), (1.0, Ok(150_000_000)), (2.0, Ok(350_000_000))]);
    assert!((joules - 400.0).abs() < 1e-6, "{joules}");
    assert_eq!((measured, m.faults.wraps, m.health(), events), (2.0, 1, Health::Ok, vec![]));
}

#[test]
fn a_step_back_is_a_reset_not_a_wrap() {
    let mut m = package();
    let (joules, measured, events) = feed(
        &mut m,
        &[
            (0.0, Ok(900_000_000)),
            (1.0, Ok(1_000_000_000)),
            (2.0, Ok(500_000_000)),
            (2.01, Ok(501_000_000)),
            (3.01, Ok(601_000_000)),
        ],
    );
    assert!((joules - 301.0).abs() < 0.01, "bridged at the 100 W before: {joules}");
    assert!((measured - 2.01).abs() < 1e-9);
    assert_eq!((events, m.health(), m.faults.wraps), (vec![MeterEvent::Reset], Health::Reset, 0));
}

#[test]
fn a_jump_of_hours_has_no_energy() {
    let mut m = package();
    let (joules, _, events) = feed(
        &mut m,
        &[
            (0.0, Ok(0)),
            (1.0, Ok(100_000_000)),
            (2.0, Ok(864_200_000_000)),
            (2.01, Ok(864_201_000_000)),
            (3.0, Ok(864_300_000_000)),
        ],
    );
    assert!((joules - 300.0).abs() < 0.01, "{joules}");
    assert_eq!(events, [MeterEvent::Reset]);
}

#[test]
fn one_wild_value_loses_no_energy() {
    let mut m = package();
    let (joules, measured, events) = feed(
        &mut m,
        &[(0.0, Ok(0)), (1.0, Ok(100_000_000)), (2.0, Ok(7)), (2.01, Ok(201_000_000)), (3.0, Ok(300_000_000))],
    );
    assert!((joules - 300.0).abs() < 1e-6, "{joules}");
    assert_eq!((measured, events.len()), (3.0, 0));
}

#[test]
fn failed_readings_lose_no_energy_if_the_counter_comes_back() {
    let mut m = package();
    let bad = Err(Fault::Denied);
    let (joules, measured, events) =
        feed(&mut m, &[(0.0, Ok(0)), (1.0, bad), (2.0, bad), (3.0, bad), (4.0, bad), (5.0, Ok(500_000_000))]);
    assert!((joules - 500.0).abs() < 1e-6);
    assert_eq!((measured, events), (5.0, vec![MeterEvent::Lost(Fault::Denied), MeterEvent::Back(5.0)]));
    assert_eq!((m.health(), m.faults.failed), (Health::Gap, 4));
}

#[test]
fn a_device_that_stays_away_is_lost() {
    let mut m = package();
    feed(
        &mut m,
        &[(0.0, Ok(0)), (1.0, Ok(5)), (2.0, Err(Fault::Gone)), (3.0, Err(Fault::Gone)), (4.0, Err(Fault::Gone))],
    );
    assert_eq!(m.health(), Health::Lost);
    assert!(m.is_missing());
}

#[test]
fn several_unread_wraps_are_counted_by_the_power_before() {
    let mut m = Meter::new(Quantity::Counter { joules_per_unit: 1.0, range: Some(1000), max_watts: 2000.0 });
    let (joules, measured, _) = feed(&mut m, &[(0.0, Ok(0)), (0.1, Ok(20)), (10.1, Ok(20))]);
    assert!((joules - 2020.0).abs() < 1e-6, "200 W for 10 s is two rounds: {joules}");
    assert!((measured - 0.1).abs() < 1e-9);
    assert_eq!((m.faults.wraps, m.faults.guessed_s), (0, 10.0));
}

/// The counter moves once in 88 ms. It is read in pairs around marks: just before it moves and just after.
#[test]
fn a_step_soon_after_a_late_reading_is_no_reset() {
    let mut m = Meter::new(Quantity::Counter { joules_per_unit: 1e-6, range: Some(RANGE), max_watts: 700.0 });
    let count = |at: f64| Ok((170e6 * (at / 0.088).floor() * 0.088) as u64);
    let readings: Vec<_> = (1..20).flat_map(|n| [-0.001, 0.001].map(|off| f64::from(n) * 0.88 + off)).collect();
    let last = readings.last().copied().unwrap();
    let readings: Vec<_> = readings.into_iter().map(|at| (at, count(at))).collect();
    let (joules, measured, events) = feed(&mut m, &readings);
    assert_eq!((m.faults.resets, events), (0, vec![]));
    assert!((joules - 170.0 * (last - 0.879)).abs() < 15.0, "{joules}");
    assert!((measured - (last - 0.879)).abs() < 1e-6, "{measured}");
}

/// The counter moves once in 88 ms. A step soon after the reset is no second reset.
#[test]
fn a_reset_of_a_counter_of_long_steps_is_one_reset() {
    let mut m = Meter::new(Quantity::Counter { joules_per_unit: 1e-3, range: None, max_watts: 700.0 });
    let reset_at = 1.172;
    let count = |at: f64| {
        let moved_at = (at / 0.088).floor() * 0.088;
        Ok((170e3 * if moved_at < reset_at { moved_at + 50.0 } else { moved_at - reset_at }) as u64)
    };
    let tenths = (0..=12).map(|tenth| f64::from(tenth) * 0.1);
    let readings: Vec<_> = tenths.chain([1.31, 1.316, 1.322, 1.33, 1.5, 2.0, 3.0]).collect();
    let readings: Vec<_> = readings.into_iter().map(|at| (at, count(at))).collect();
    let (joules, _, events) = feed(&mut m, &readings);
    assert_eq!((m.faults.resets, events), (1, vec![MeterEvent::Reset]));
    assert!((joules - 510.0).abs() < 40.0, "{joules}");
}

#[test]
fn a_reset_in_a_long_gap_is_no_wrap() {
    let mut m = package();
    let (joules, measured, _) = feed(
        &mut m,
        &[
            (0.0, Ok(50_000_000_000)),
            (1.0, Ok(50_100_000_000)),
            (200.0, Ok(5_000_000)),
            (200.01, Ok(6_000_000)),
            (201.0, Ok(105_000_000)),
        ],
    );
    assert!(joules < 20_000.0 && measured < 3.0, "no phantom round of 262 kJ: {joules} J");
    assert_eq!((m.faults.wraps, m.health()), (0, Health::Reset));
}

#[test]
fn a_reset_while_readings_fail_is_no_wrap() {
    let mut m = package();
    let (start, gone) = (200_000_000_000, Err(Fault::Gone));
    let (joules, measured, _) = feed(
        &mut m,
        &[
            (0.0, Ok(start)),
            (1.0, Ok(start + 100_000_000)),
            (2.0, gone),
            (58.0, gone),
            (60.0, Ok(5_000_000)),
            (60.01, Ok(6_000_000)),
            (61.0, Ok(105_000_000)),
        ],
    );
    assert!((joules - 6100.0).abs() < 10.0 && measured < 3.0, "no phantom 62 kJ: {joules} J");
    assert_eq!((m.faults.wraps, m.health()), (0, Health::Reset));
    let mut m = package();
    let (start, gone) = (RANGE - 1_000_000_000, Err(Fault::Gone));
    let (joules, ..) =
        feed(&mut m, &[(0.0, Ok(start)), (1.0, Ok(start + 100_000_000)), (2.0, gone), (60.0, Ok(5_000_000_000))]);
    assert!((joules - 6000.0).abs() < 1e-6 && m.faults.wraps == 1, "a wrap at the power before: {joules} J");
}

#[test]
fn counts_that_never_fit_are_a_lost_device() {
    let mut m = package();
    let readings: Vec<_> = (0..8).map(|n| (f64::from(n), Ok(900_000_000_000 - 50_000_000 * n as u64))).collect();
    let (joules, _, events) = feed(&mut m, &readings);
    assert_eq!((joules, events, m.health()), (0.0, vec![MeterEvent::Lost(Fault::Implausible)], Health::Lost));
}

#[test]
fn two_readings_in_one_step_are_no_fault() {
    let mut m = package();
    let (joules, ..) = feed(&mut m, &[(0.0, Ok(0)), (0.0001, Ok(0)), (0.0002, Ok(240_000)), (0.0002, Ok(240_000))]);
    assert!((joules - 0.24).abs() < 1e-9);
}

#[test]
fn energy_in_a_long_gap_of_powers_stays_unknown() {
    let mut m = Meter::new(Quantity::Power { max_watts: 1000.0 });
    let mut joules = 0.0;
    let (watts, gone) = (Ok(Value::Watts(20.0)), Err(Fault::Gone));
    for (at, value) in [(0, watts), (1, watts), (2, gone), (3, gone), (4, gone), (3600, watts), (3601, watts)] {
        m.push(MonoNs(at * S), value, |c| joules += c.joules);
    }
    assert_eq!((joules, m.health()), (40.0, Health::Gap));
}

#[test]
fn a_reading_that_arrives_after_later_failures_does_not_end_them() {
    let mut m = Meter::new(Quantity::Power { max_watts: 1000.0 });
    let (mut joules, mut measured, mut events) = (0.0, 0.0, vec![]);
    let (watts, silent) = (Ok(Value::Watts(20.0)), Err(Fault::Silent));
    for (at, value) in [(0, watts), (2, silent), (3, silent), (4, silent), (1, watts), (226, watts)] {
        events.extend(m.push(MonoNs(at * S), value, |c| {
            joules += c.joules;
            measured += if c.measured { c.to.s_since(c.from) } else { 0.0 };
        }));
    }
    assert_eq!((joules, measured), (20.0, 1.0), "225 s without a reading");
    assert_eq!(events, [MeterEvent::Lost(Fault::Silent), MeterEvent::Back(225.0)]);
}

/// The impossible power is the first reading, or one in the middle. The time around it is filled in.
#[test]
fn an_impossible_power_is_a_fault_without_energy() {
    for impossible in [1000.1, 4_294_967.295, -0.1, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        for quantity in [
            Quantity::Power { max_watts: 1000.0 },
            Quantity::Counter { joules_per_unit: 1.0, range: None, max_watts: 1000.0 },
        ] {
            let mut m = Meter::new(quantity);
            let (mut joules, mut measured, mut events) = (0.0, 0.0, vec![]);
            for (at, watts) in [(0, impossible), (1, 1000.0), (2, 1000.0), (3, impossible), (4, 1000.0)] {
                events.extend(m.push(MonoNs(at * S), Ok(Value::Watts(watts)), |c| {
                    joules += c.joules;
                    measured += if c.measured { c.to.s_since(c.from) } else { 0.0 };
                }));
            }
            assert_eq!((joules, measured, &events), (3000.0, 1.0, &vec![]), "{impossible}");
            assert_eq!((m.health(), m.faults.failed, m.faults.fault), (Health::Gap, 2, Some(Fault::Implausible)));
            for at in 5..9 {
                events.extend(m.push(MonoNs(at * S), Ok(Value::Watts(impossible)), |c| panic!("{c:?}")));
            }
            assert_eq!(
                (events, m.health()),
                (vec![MeterEvent::Lost(Fault::Implausible)], Health::Lost),
                "{impossible}"
            );
        }
    }
}

#[test]
fn time_before_a_late_first_reading_is_filled_in() {
    let mut m = late(Quantity::Counter { joules_per_unit: 1e-3, range: None, max_watts: 2000.0 });
    let (joules, measured, _) = feed(&mut m, &[(2.0, Ok(500_000)), (3.0, Ok(600_000)), (4.0, Ok(700_000))]);
    assert!((joules - 400.0).abs() < 1e-6 && (measured - 2.0).abs() < 1e-9, "{joules} J, {measured} s");
    let mut m = late(Quantity::Power { max_watts: 1000.0 });
    let mut joules = 0.0;
    for at in [2 * S, 2 * S + S / 10, 3 * S] {
        m.push(MonoNs(at), Ok(Value::Watts(50.0)), |c| joules += c.joules);
    }
    assert!((joules - 150.0).abs() < 1e-9 && m.faults.late_s == 2.0, "{joules} J");
}

#[test]
fn power_is_integrated_by_trapezoid() {
    let mut m = Meter::new(Quantity::Power { max_watts: 1000.0 });
    let mut joules = 0.0;
    for (at, watts) in [(0, 100.0), (S, 300.0), (3 * S, 300.0)] {
        m.push(MonoNs(at), Ok(Value::Watts(watts)), |c| joules += c.joules);
    }
    assert_eq!(joules, 200.0 + 600.0);
}

proptest! {
    /// For any power and any wraps, the sum is the energy used, and never falls.
    #[test]
    fn monotone_and_exact_under_wrap(start in 0..RANGE, steps in prop::collection::vec((1u64..20_000, 1u64..1500), 1..200)) {
        let mut m = package();
        let (mut at, mut total, mut credited) = (0u64, 0u64, 0.0);
        m.push(MonoNs(at), Ok(Value::Count(start)), |_| ());
        for (ms, watts) in steps {
            at += ms * 1_000_000;
            total += ms * watts * 1000;
            m.push(MonoNs(at), Ok(Value::Count((start + total) % RANGE)), |c| {
                assert!(c.joules >= 0.0 && c.from < c.to);
                credited += c.joules;
            });
            prop_assert!((credited - total as f64 * 1e-6).abs() < 1e-3);
        }
        prop_assert_eq!(m.health(), Health::Ok);
    }

    /// For any readings, no interval has more energy than the device can draw, and none overlaps another.
    #[test]
    fn no_phantom_energy(readings in prop::collection::vec((1u64..5_000, prop::option::of(any::<u64>())), 1..100)) {
        let mut m = package();
        let (mut at, mut until) = (0u64, MonoNs::ZERO);
        for (ms, count) in readings {
            at += ms * 1_000_000;
            m.push(MonoNs(at), count.map(Value::Count).ok_or(Fault::Garbage), |c| {
                assert!(c.from >= until && c.to > c.from);
                assert!(c.joules <= 2000.0 * (c.to.s_since(c.from) + MAX_STEP_S) * 1.001, "{c:?}");
                until = c.to;
            });
        }
    }
}
