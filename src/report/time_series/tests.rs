use super::*;
use crate::attribution::ledger::Mark;
use crate::carbon::intensity::curve::{Curve, Origin};
use crate::carbon::intensity::slot::{IntensityQuality, IntensitySlot};
use crate::clock::{ClockSample, UnixS};
use crate::forecast::forecast;
use crate::forecast::history::EarlierRun;
use crate::measurement::channel::{Channel, MeasuringMethod, Quantity};
use crate::measurement::meter::EnergyInterval;
use crate::measurement::source_name::SourceName;
use crate::options::Options;
use crate::state::EarlierRuns;
use proptest::prelude::*;

const S: u64 = 1_000_000_000;
const NOON: f64 = 1_772_452_800.0;

/// A run of a processor and a GPU without any epoch.
fn empty() -> RunState {
    let options = Options::parse("intensity=200", |_| None).unwrap();
    let grid = crate::carbon::select::choose(&options.carbon, |_| None).unwrap().grid;
    let mut state = RunState::new(grid, 1.0);
    state.carbon.clock.note(ClockSample { monotonic: MonoNs(0), boot_ns: 0, unix: UnixS(NOON) });
    for kind in [DeviceKind::Cpu, DeviceKind::Gpu] {
        let (device, id) = (String::new(), String::new());
        let (method, quantity) = (MeasuringMethod::Power, Quantity::Power { max_watts: 1e5 });
        let channel = Channel {
            kind,
            device,
            id,
            source: SourceName::Rapl,
            method,
            quantity,
            simulated: false,
            may_rest: false,
            has_memory: false,
            error: None,
            job_part: None,
            note: None,
        };
        state.add(&channel, None, None);
    }
    state
}

fn credit(state: &mut RunState, channel: usize, from: u64, to: u64, watts: f64) {
    let joules = watts * (to - from) as f64 * 1e-9;
    state
        .attribution
        .ledger
        .credit(channel, EnergyInterval { from: MonoNs(from), to: MonoNs(to), joules, measured: true });
}

/// A run with epochs of these lengths, s, and gaps of 1 s. The processor draws 50 W, and the GPU 300 W within epochs.
fn run(seconds: &[u64]) -> RunState {
    let mut state = empty();
    let mut at = 10 * S;
    for (n, seconds) in seconds.iter().enumerate() {
        let end = at + seconds * S;
        state.attribution.ledger.mark(Mark::Begin(MonoNs(at)));
        state.attribution.ledger.mark(Mark::End(MonoNs(end)));
        credit(&mut state, 0, at.saturating_sub(if n > 0 { S } else { 0 }), end, 50.0);
        credit(&mut state, 1, at, end, 300.0);
        at = end + S;
    }
    state.attribution.ledger.release_all();
    state.attribution.settled = state.attribution.ledger.epochs();
    state
}

fn time_series(state: &RunState, planned: u64, now: u64) -> TimeSeries {
    TimeSeries::new(state, &state.factors(), planned, 0.9, MonoNs(now))
}

fn joules(power: &[PowerPoint], kind: DeviceKind) -> f64 {
    power.iter().filter_map(|p| Some(p.watts[kind as usize]? * (p.to - p.from))).sum()
}

#[test]
fn power_has_dates_and_ends_with_the_run() {
    let mut state = run(&[2, 3]);
    // Later readings do not belong to the run.
    credit(&mut state, 0, 16 * S, 20 * S, 90.0);
    let series = time_series(&state, 0, 30 * S);
    let (first, last) = (series.power.first().unwrap(), series.power.last().unwrap());
    assert_eq!((first.from, last.to), (NOON + 10.0, NOON + 16.0));
    assert!((joules(&series.power, DeviceKind::Cpu) - 300.0).abs() < 1e-6, "{:?}", series.power);
    assert!((joules(&series.power, DeviceKind::Gpu) - 1500.0).abs() < 1e-6);
    let between = series.power.iter().find(|p| p.from > NOON + 12.05).unwrap();
    assert_eq!((between.watts[DeviceKind::Gpu as usize], between.watts[DeviceKind::Dram as usize]), (None, None));
    assert!(series.hours.is_none() && series.forecasts.is_empty());
}

#[test]
fn readings_after_the_run_do_not_change_its_power() {
    let mut state = empty();
    let end = 12 * S + S / 30; // within a step
    state.attribution.ledger.mark(Mark::Begin(MonoNs(10 * S)));
    state.attribution.ledger.mark(Mark::End(MonoNs(end)));
    credit(&mut state, 0, 9 * S, end + 100_000, 50.0);
    let before = time_series(&state, 0, 13 * S).power;
    credit(&mut state, 0, end + 100_000, 20 * S, 333.0);
    assert_eq!(time_series(&state, 0, 30 * S).power, before);
    assert!((joules(&before, DeviceKind::Cpu) - 50.0 * (2.0 + 1.0 / 30.0)).abs() < 1e-6, "{before:?}");
}

#[test]
fn power_of_an_open_epoch_ends_at_its_last_reading() {
    let mut state = run(&[2]);
    state.attribution.ledger.mark(Mark::Begin(MonoNs(13 * S)));
    credit(&mut state, 0, 12 * S, 14 * S + S / 20, 50.0);
    let power = time_series(&state, 0, 15 * S).power;
    let last = power.last().unwrap();
    assert!((last.to - NOON - 14.05).abs() < 1e-5, "{last:?}");
    assert!(last.watts[0].is_some_and(|watts| (watts - 50.0).abs() < 1e-3), "{last:?}");
}

#[test]
fn a_run_without_readings_has_no_time_series() {
    assert!(time_series(&empty(), 5, S).power.is_empty());
    let mut state = empty();
    state.attribution.ledger.mark(Mark::Begin(MonoNs(S)));
    state.attribution.ledger.mark(Mark::End(MonoNs(2 * S)));
    let series = time_series(&state, 5, 3 * S);
    assert!(series.power.is_empty() && series.forecasts.is_empty());
}

#[test]
fn the_gap_between_two_attempts_stays_empty() {
    let attempt = |from: f64, n: usize| {
        (0..n).map(move |k| {
            let mut energy = PerKind::default();
            energy.add(DeviceKind::Cpu, 5.0);
            CarriedInterval { from: from + k as f64, to: from + k as f64 + 1.0, energy }
        })
    };
    let power = thinned_power(&attempt(NOON, 2000).chain(attempt(NOON + 9000.0, 700)).collect::<Vec<_>>());
    assert!(power.len() <= MAX_POWER && power.len() > MAX_POWER / 8);
    let gaps: Vec<(f64, f64)> =
        power.windows(2).map(|two| (two[0].to, two[1].from)).filter(|(to, from)| to < from).collect();
    assert_eq!(gaps, [(NOON + 2000.0, NOON + 9000.0)]);
    assert!(power.iter().all(|power| power.watts[0] == Some(5.0)));
    assert!((joules(&power, DeviceKind::Cpu) - 13_500.0).abs() < 1e-6);
}

#[test]
fn many_short_attempts_keep_their_energy() {
    let mut energy = PerKind::default();
    energy.add(DeviceKind::Cpu, 50.0);
    let attempt =
        |n: u32| CarriedInterval { from: NOON + f64::from(n) * 15.0, to: NOON + f64::from(n) * 15.0 + 10.0, energy };
    let power = thinned_power(&(0..5000).map(attempt).collect::<Vec<_>>());
    assert!(power.len() <= MAX_POWER && (joules(&power, DeviceKind::Cpu) - 250_000.0).abs() < 1e-3, "{power:?}");
}

#[test]
fn hours_cover_the_run_and_are_few() {
    let mut curve = Curve::default();
    curve.take((0..1000).map(|n| IntensitySlot {
        from: NOON + f64::from(n) * 300.0,
        to: NOON + f64::from(n + 1) * 300.0,
        g_per_kwh: f64::from(n % 100),
        quality: IntensityQuality::Actual,
    }));
    let state = run(&[1800, 1800]);
    let with_curve = |state: &RunState| {
        let factors = EmissionFactors { curve: Some(&curve), ..state.factors() };
        TimeSeries::new(state, &factors, 0, 0.9, MonoNs(1 << 60)).hours.unwrap()
    };
    let hours = with_curve(&state);
    assert_eq!((hours[0].from, hours.last().unwrap().to), (NOON + 10.0, NOON + 3611.0));
    assert_eq!((hours.len(), hours[3].g_per_kwh, hours[3].origin), (13, 3.0, Origin::Given(IntensityQuality::Actual)));
    let mean = |hours: &[Piece]| hours.iter().map(|h| h.g_per_kwh * (h.to - h.from)).sum::<f64>();
    let state = run(&[299_000]);
    let hours = with_curve(&state);
    assert!(hours.len() <= MAX_HOURS && hours.windows(2).all(|two| two[0].to == two[1].from));
    let expected: f64 =
        state.factors().pieces(&curve, NOON + 10.0, NOON + 299_010.0).map(|p| p.g_per_kwh * (p.to - p.from)).sum();
    assert!((mean(&hours) - expected).abs() < 1e-6 * expected);
}

/// An earlier process had its own figures. Hours before the resume are shown if this process has reported figures of
/// them, and not if it would fill them in.
#[test]
fn hours_before_a_resume_are_shown_if_they_are_known() {
    let mut curve = Curve::default();
    let slot = |hour: i32| {
        let from = NOON + f64::from(hour) * 3600.0;
        IntensitySlot { from, to: from + 3600.0, g_per_kwh: 100.0, quality: IntensityQuality::Actual }
    };
    curve.take([-10, -9, 0, 1].map(slot));
    let mut state = run(&[60]);
    let energy = PerKind::default();
    state.attribution.carried_over.power = vec![CarriedInterval { from: NOON - 90_000.0, to: NOON - 80_000.0, energy }];
    let factors = EmissionFactors { curve: Some(&curve), ..state.factors() };
    let hours = TimeSeries::new(&state, &factors, 0, 0.9, MonoNs(1 << 60)).hours.unwrap();
    let spans: Vec<_> = hours.iter().map(|piece| (piece.from - NOON, piece.to - NOON)).collect();
    assert_eq!(spans, [(-36_000.0, -32_400.0), (-32_400.0, -28_800.0), (0.0, 70.0)]);
}

/// Each earlier forecast equals the forecast that was made at that point of the run.
#[test]
fn earlier_forecasts_equal_the_original_ones() {
    let seconds: Vec<u64> = (0..30).map(|n| if n == 0 { 50 } else { 20 + n * 7 % 5 }).collect();
    let forecasts = time_series(&run(&seconds), 40, 1 << 60).forecasts;
    assert_eq!(forecasts.iter().map(|then| then.after_epochs).collect::<Vec<_>>(), (1..=30).collect::<Vec<_>>());
    for then in &forecasts {
        let k = then.after_epochs;
        let state = run(&seconds[..k as usize]);
        let made = forecast(
            40,
            0.9,
            state.attribution.ledger.observed(k),
            state.attribution.ledger.between_first(k),
            &state.forecasting.first_epoch,
            &state.forecasting.history,
        )
        .unwrap();
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
        for (a, b) in [(then.duration_s, made.duration_s), (then.energy_j, made.energy_j)] {
            let (a, b) = (a.unwrap(), b.unwrap());
            assert!(near(a.value, b.value) && near(a.low, b.low) && near(a.high, b.high), "{k}: {a:?} {b:?}");
        }
    }
    assert!(time_series(&run(&seconds), 0, 1 << 60).forecasts.is_empty());
    assert_eq!(time_series(&run(&seconds), 12, 1 << 60).forecasts.last().unwrap().after_epochs, 12);
}

/// Epochs that ended before the earlier runs were read have the forecasts that were made then.
#[test]
fn earlier_forecasts_begin_before_the_history_arrived() {
    let seconds = [20; 6];
    let mut state = run(&seconds);
    let without = time_series(&state, 40, 1 << 60).forecasts;
    let earlier = EarlierRun { epochs: state.attribution.ledger.observed(6).collect(), ..EarlierRun::default() };
    state.know_history(History::new(&[earlier]), EarlierRuns { name: None, newest: None });
    state.forecasting.renew(without.get(3).copied());
    let forecasts = time_series(&state, 40, 1 << 60).forecasts;
    assert_eq!(forecasts.iter().map(|then| then.after_epochs).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(forecasts[..3], without[..3]);
}

proptest! {
    /// For a run of any length, power adds up to the energy.
    #[test]
    fn power_adds_up_to_the_energy(seconds in prop::collection::vec(1u64..5000, 1..40)) {
        let state = run(&seconds);
        let power = time_series(&state, 100, 1 << 60).power;
        prop_assert!(power.len() <= MAX_POWER);
        prop_assert!(power.iter().all(|p| p.from < p.to) && power.windows(2).all(|two| two[0].to <= two[1].from));
        let seconds: u64 = seconds.iter().sum::<u64>() + seconds.len() as u64 - 1;
        let cpu_j = 50.0 * seconds as f64;
        prop_assert!((joules(&power, DeviceKind::Cpu) - cpu_j).abs() < 1e-6 * cpu_j);
    }
}

#[test]
fn recent_power_is_of_the_newest_seconds() {
    let mut state = empty();
    assert_eq!(recent_power(&state, MonoNs(5 * S)), [None; 4]);
    state.attribution.ledger.mark(Mark::Begin(MonoNs(10 * S)));
    credit(&mut state, 0, 10 * S, 70 * S, 50.0);
    credit(&mut state, 0, 70 * S, 80 * S, 90.0);
    credit(&mut state, 1, 75 * S, 80 * S, 300.0);
    state.attribution.ledger.release_all();
    let [cpu, gpu, dram, node] = recent_power(&state, MonoNs(80 * S));
    let near = |watts: Option<f64>, expected: f64| watts.is_some_and(|watts| (watts / expected - 1.0).abs() < 1e-9);
    assert!(near(cpu, 90.0) && near(gpu, 300.0), "{cpu:?} {gpu:?}");
    assert_eq!((dram, node), (None, None));
    // Of a run of a week, the newest step is longer than ten seconds.
    credit(&mut state, 0, 80 * S, 604_800 * S, 70.0);
    let [cpu, ..] = recent_power(&state, MonoNs(604_800 * S));
    assert!(near(cpu, 70.0), "{cpu:?}");
}
