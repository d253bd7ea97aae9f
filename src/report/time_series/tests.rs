use super::*;
use crate::attribution::ledger::Mark;
use crate::carbon::intensity::curve::{Curve, Origin};
use crate::carbon::intensity::slot::{FigureQuality, IntensitySlot};
use crate::clock::ClockSample;
use crate::forecast::forecast;
use crate::measurement::channel::{Channel, MeasuringMethod, Quantity};
use crate::measurement::meter::EnergyInterval;
use crate::options::Options;
use proptest::prelude::*;

const S: u64 = 1_000_000_000;
const NOON: f64 = 1_772_452_800.0;

/// Nothing as yet, of a processor and a GPU.
fn empty() -> RunState {
    let options = Options::parse("intensity=200", |_| None).unwrap();
    let grid = crate::carbon::select::choose(&options, |_| None).unwrap().grid;
    let mut books = RunState::new(grid, 1.0);
    books.calendar.note(ClockSample { monotonic_ns: 0, boot_ns: 0, unix_s: NOON });
    for kind in [DeviceKind::Cpu, DeviceKind::Gpu] {
        let (device, id) = (String::new(), String::new());
        let (method, quantity) = (MeasuringMethod::Power, Quantity::Power { max_watts: 1e5 });
        let channel = Channel {
            kind,
            device,
            id,
            source: "test",
            method,
            quantity,
            simulated: false,
            may_rest: false,
            has_memory: false,
            error: None,
            note: None,
        };
        books.add(&channel, None, None);
    }
    books
}

fn credit(books: &mut RunState, channel: usize, from: u64, to: u64, watts: f64) {
    let joules = watts * (to - from) as f64 * 1e-9;
    books.ledger.credit(channel, EnergyInterval { from, to, joules, measured: true });
}

/// Epochs of so many s, a second between two: 50 W of processor, and 300 W of GPU in epochs.
fn run(seconds: &[u64]) -> RunState {
    let mut books = empty();
    let mut at = 10 * S;
    for (n, seconds) in seconds.iter().enumerate() {
        let end = at + seconds * S;
        books.ledger.mark(Mark::Begin(at));
        books.ledger.mark(Mark::End(end));
        credit(&mut books, 0, at.saturating_sub(if n > 0 { S } else { 0 }), end, 50.0);
        credit(&mut books, 1, at, end, 300.0);
        at = end + S;
    }
    books.ledger.release_all();
    books.settled = books.ledger.epochs();
    books
}

fn course(books: &RunState, planned: u64, now: u64) -> TimeSeries {
    TimeSeries::new(books, &books.pricing(), planned, 0.9, now)
}

fn joules(power: &[PowerPoint], kind: DeviceKind) -> f64 {
    power.iter().filter_map(|p| Some(p.watts[kind as usize]? * (p.to - p.from))).sum()
}

#[test]
fn power_is_told_by_the_date_and_ends_with_the_run() {
    let mut books = run(&[2, 3]);
    // What is read later is none of the run.
    credit(&mut books, 0, 16 * S, 20 * S, 90.0);
    let course = course(&books, 0, 30 * S);
    let (first, last) = (course.power.first().unwrap(), course.power.last().unwrap());
    assert_eq!((first.from, last.to), (NOON + 10.0, NOON + 16.0));
    assert!((joules(&course.power, DeviceKind::Cpu) - 300.0).abs() < 1e-6, "{:?}", course.power);
    assert!((joules(&course.power, DeviceKind::Gpu) - 1500.0).abs() < 1e-6);
    let between = course.power.iter().find(|p| p.from > NOON + 12.05).unwrap();
    assert_eq!((between.watts[DeviceKind::Gpu as usize], between.watts[DeviceKind::Dram as usize]), (None, None));
    assert!(course.hours.is_none() && course.forecasts.is_empty());
}

#[test]
fn what_is_read_after_the_run_changes_nothing_of_it() {
    let mut books = empty();
    let end = 12 * S + S / 30; // within a step
    books.ledger.mark(Mark::Begin(10 * S));
    books.ledger.mark(Mark::End(end));
    credit(&mut books, 0, 9 * S, end + 100_000, 50.0);
    let before = course(&books, 0, 13 * S).power;
    credit(&mut books, 0, end + 100_000, 20 * S, 333.0);
    assert_eq!(course(&books, 0, 30 * S).power, before);
    assert!((joules(&before, DeviceKind::Cpu) - 50.0 * (2.0 + 1.0 / 30.0)).abs() < 1e-6, "{before:?}");
}

#[test]
fn an_open_epoch_is_shown_as_far_as_it_is_read() {
    let mut books = run(&[2]);
    books.ledger.mark(Mark::Begin(13 * S));
    credit(&mut books, 0, 12 * S, 14 * S + S / 20, 50.0);
    let power = course(&books, 0, 15 * S).power;
    let last = power.last().unwrap();
    assert!((last.to - NOON - 14.05).abs() < 1e-5, "{last:?}");
    assert!(last.watts[0].is_some_and(|watts| (watts - 50.0).abs() < 1e-3), "{last:?}");
}

#[test]
fn nothing_is_told_of_nothing() {
    assert!(course(&empty(), 5, S).power.is_empty());
    let mut books = empty();
    books.ledger.mark(Mark::Begin(S));
    books.ledger.mark(Mark::End(2 * S));
    let course = course(&books, 5, 3 * S);
    assert!(course.power.is_empty() && course.forecasts.is_empty());
}

#[test]
fn the_time_between_two_lives_stays_empty() {
    let life = |from: f64, n: usize| {
        (0..n).map(move |k| {
            let mut energy = PerKind::default();
            energy.add(DeviceKind::Cpu, 5.0);
            CarriedInterval { from: from + k as f64, to: from + k as f64 + 1.0, energy }
        })
    };
    let power = thinned_power(&life(NOON, 2000).chain(life(NOON + 9000.0, 700)).collect::<Vec<_>>());
    assert!(power.len() <= MOST_POWER && power.len() > MOST_POWER / 8);
    let gaps: Vec<(f64, f64)> =
        power.windows(2).map(|two| (two[0].to, two[1].from)).filter(|(to, from)| to < from).collect();
    assert_eq!(gaps, [(NOON + 2000.0, NOON + 9000.0)]);
    assert!(power.iter().all(|power| power.watts[0] == Some(5.0)));
    assert!((joules(&power, DeviceKind::Cpu) - 13_500.0).abs() < 1e-6);
}

#[test]
fn many_short_lives_have_the_energy_they_used() {
    let mut energy = PerKind::default();
    energy.add(DeviceKind::Cpu, 50.0);
    let life =
        |n: u32| CarriedInterval { from: NOON + f64::from(n) * 15.0, to: NOON + f64::from(n) * 15.0 + 10.0, energy };
    let power = thinned_power(&(0..5000).map(life).collect::<Vec<_>>());
    assert!(power.len() <= MOST_POWER && (joules(&power, DeviceKind::Cpu) - 250_000.0).abs() < 1e-3, "{power:?}");
}

#[test]
fn hours_are_those_of_the_run_and_few() {
    let mut curve = Curve::default();
    curve.take((0..1000).map(|n| IntensitySlot {
        from: NOON + f64::from(n) * 300.0,
        to: NOON + f64::from(n + 1) * 300.0,
        g_per_kwh: f64::from(n % 100),
        quality: FigureQuality::Actual,
    }));
    let books = run(&[1800, 1800]);
    let with_curve = |books: &RunState| {
        let pricing = EmissionFactors { curve: Some(&curve), ..books.pricing() };
        TimeSeries::new(books, &pricing, 0, 0.9, 1 << 60).hours.unwrap()
    };
    let hours = with_curve(&books);
    assert_eq!((hours[0].from, hours.last().unwrap().to), (NOON + 10.0, NOON + 3611.0));
    assert_eq!((hours.len(), hours[3].g_per_kwh, hours[3].origin), (13, 3.0, Origin::Given(FigureQuality::Actual)));
    let mean = |hours: &[Piece]| hours.iter().map(|h| h.g_per_kwh * (h.to - h.from)).sum::<f64>();
    let books = run(&[299_000]);
    let hours = with_curve(&books);
    assert!(hours.len() <= MOST_HOURS && hours.windows(2).all(|two| two[0].to == two[1].from));
    let expected: f64 =
        books.pricing().pieces(&curve, NOON + 10.0, NOON + 299_010.0).map(|p| p.g_per_kwh * (p.to - p.from)).sum();
    assert!((mean(&hours) - expected).abs() < 1e-6 * expected);
}

/// An earlier process had its own figures: what this one knows of those hours is told, and what it makes up is not.
#[test]
fn hours_before_the_run_was_taken_up_are_told_where_they_are_known() {
    let mut curve = Curve::default();
    let slot = |hour: i32| {
        let from = NOON + f64::from(hour) * 3600.0;
        IntensitySlot { from, to: from + 3600.0, g_per_kwh: 100.0, quality: FigureQuality::Actual }
    };
    curve.take([-10, -9, 0, 1].map(slot));
    let mut books = run(&[60]);
    let energy = PerKind::default();
    books.past.power = vec![CarriedInterval { from: NOON - 90_000.0, to: NOON - 80_000.0, energy }];
    let pricing = EmissionFactors { curve: Some(&curve), ..books.pricing() };
    let hours = TimeSeries::new(&books, &pricing, 0, 0.9, 1 << 60).hours.unwrap();
    let spans: Vec<_> = hours.iter().map(|piece| (piece.from - NOON, piece.to - NOON)).collect();
    assert_eq!(spans, [(-36_000.0, -32_400.0), (-32_400.0, -28_800.0), (0.0, 70.0)]);
}

/// Each forecast is the one that the library made when the run was so far.
#[test]
fn forecasts_are_as_they_were() {
    let seconds: Vec<u64> = (0..30).map(|n| if n == 0 { 50 } else { 20 + n * 7 % 5 }).collect();
    let told = course(&run(&seconds), 40, 1 << 60).forecasts;
    assert_eq!(told.iter().map(|then| then.after_epochs).collect::<Vec<_>>(), (1..=30).collect::<Vec<_>>());
    for then in &told {
        let k = then.after_epochs;
        let books = run(&seconds[..k as usize]);
        let made = forecast(40, 0.9, books.ledger.observed(k), books.ledger.between_first(k), &books.progress).unwrap();
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
        for (a, b) in [(then.duration_s, made.duration_s), (then.energy_j, made.energy_j)] {
            let (a, b) = (a.unwrap(), b.unwrap());
            assert!(near(a.value, b.value) && near(a.low, b.low) && near(a.high, b.high), "{k}: {a:?} {b:?}");
        }
    }
    assert!(course(&run(&seconds), 0, 1 << 60).forecasts.is_empty());
    assert_eq!(course(&run(&seconds), 12, 1 << 60).forecasts.last().unwrap().after_epochs, 12);
}

proptest! {
    /// However long the run, its power adds up to its energy.
    #[test]
    fn power_adds_up_to_the_energy(seconds in prop::collection::vec(1u64..5000, 1..40)) {
        let books = run(&seconds);
        let power = course(&books, 100, 1 << 60).power;
        prop_assert!(power.len() <= MOST_POWER);
        prop_assert!(power.iter().all(|p| p.from < p.to) && power.windows(2).all(|two| two[0].to <= two[1].from));
        let seconds: u64 = seconds.iter().sum::<u64>() + seconds.len() as u64 - 1;
        let cpu_j = 50.0 * seconds as f64;
        prop_assert!((joules(&power, DeviceKind::Cpu) - cpu_j).abs() < 1e-6 * cpu_j);
    }
}
