use super::*;
use crate::attribution::ledger::Mark;
use crate::carbon::intensity::slot::IntensitySlot;
use crate::clock::{ClockSample, UnixS};
use crate::measurement::channel::DeviceKind;
use crate::measurement::meter::EnergyInterval;
use proptest::prelude::*;

const S: u64 = 1_000_000_000;
const HOUR: u64 = 3600;
/// 2020-06-15T00:00Z, s since 1970. The machine of these tests booted ten seconds earlier.
const MIDNIGHT: f64 = 1_592_179_200.0;

fn clock() -> WallClock {
    let mut clock = WallClock::default();
    clock.note(ClockSample { monotonic: MonoNs(10 * S), boot_ns: 10 * S, unix: UnixS(MIDNIGHT) });
    clock
}

fn curve(slots: Vec<IntensitySlot>) -> Curve {
    let mut curve = Curve::default();
    curve.take(slots);
    curve
}

/// Intensity without figures by the hour, gCO2e/kWh.
const FLAT: f64 = 321.0;

fn slot(from_h: u64, g_per_kwh: f64) -> IntensitySlot {
    let from = MIDNIGHT + (from_h * HOUR) as f64;
    IntensitySlot { from, to: from + HOUR as f64, g_per_kwh, quality: IntensityQuality::Actual }
}

/// Epochs from a second of the day on, read every minute. The power, W, is a function of the second of the day.
struct Job {
    from: u64,
    epoch_s: u64,
    gap_s: u64,
    epochs: u64,
    watts: fn(u64) -> f64,
}

impl Job {
    fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.add_channel(DeviceKind::Gpu);
        let end = self.end();
        let mut marks = (0..self.epochs).flat_map(|epoch| {
            let begin = self.from + epoch * (self.epoch_s + self.gap_s);
            [Mark::Begin(MonoNs((10 + begin) * S)), Mark::End(MonoNs((10 + begin + self.epoch_s) * S))]
        });
        let mut mark = marks.next();
        for minute in self.from / 60..end.div_ceil(60) + 2 {
            while let Some(Mark::Begin(at) | Mark::End(at)) = mark
                && at <= MonoNs((10 + minute * 60 + 60) * S)
            {
                ledger.mark(mark.unwrap());
                mark = marks.next();
            }
            let (from, to) = (MonoNs((10 + minute * 60) * S), MonoNs((10 + minute * 60 + 60) * S));
            ledger.credit(0, EnergyInterval { from, to, joules: (self.watts)(minute * 60) * 60.0, measured: true });
        }
        ledger.release_all();
        ledger
    }

    fn end(&self) -> u64 {
        self.from + self.epochs * (self.epoch_s + self.gap_s) - self.gap_s
    }

    /// Emissions, g, at the intensity of each second.
    fn truth(&self, g_per_kwh: impl Fn(u64) -> f64) -> f64 {
        let grams = (self.from..self.end()).map(|at| (self.watts)(at / 60 * 60) / J_PER_KWH * g_per_kwh(at));
        grams.sum()
    }
}

fn emissions(curve: &Curve, job: &Job) -> Emissions {
    let ledger = job.ledger();
    EmissionFactors {
        flat: FLAT,
        curve: Some(curve),
        clock: &clock(),
        pue: 1.0,
        carried_over: CarriedEmissions::default(),
    }
    .emissions(&ledger, ledger.last_end().unwrap() + 100 * S)
}

/// Hour by hour: solar noon low and evening peak of Germany, the morning and evening of Britain, and three days' wind.
fn germany(at: u64) -> f64 {
    let hour = (at / HOUR) as usize;
    const DAY: [f64; 24] = [
        296.0, 291.0, 288.0, 290.0, 297.0, 305.0, 301.0, 276.0, 241.0, 208.0, 181.0, 163.0, 152.0, 150.0, 158.0, 177.0,
        209.0, 256.0, 309.0, 349.0, 366.0, 358.0, 338.0, 316.0,
    ];
    DAY[hour % 24] * [1.0, 1.35, 0.75][hour / 24 % 3]
}

fn britain(at: u64) -> f64 {
    let hour = (at / HOUR) as usize;
    const DAY: [f64; 24] = [
        142.0, 137.0, 133.0, 131.0, 134.0, 146.0, 168.0, 190.0, 198.0, 193.0, 184.0, 176.0, 170.0, 166.0, 167.0, 175.0,
        193.0, 221.0, 238.0, 233.0, 217.0, 196.0, 172.0, 153.0,
    ];
    DAY[hour % 24] * [1.0, 0.6, 1.4][hour / 24 % 3]
}

/// Power, W: training by day and evaluation by night, with pauses.
fn uneven(at: u64) -> f64 {
    let hour = at / HOUR % 24;
    let base = if (8..20).contains(&hour) { 1800.0 } else { 650.0 };
    base * if at / 600 % 4 == 3 { 0.3 } else { 1.0 }
}

/// Jobs that start at every third hour of a day: mean and largest |error|, %, with figures by the hour, with the figure
/// at the start held, and with the year's mean.
fn errors(country: fn(u64) -> f64, hours: u64) -> [(f64, f64); 3] {
    let hourly = curve((0..72).map(|hour| slot(hour, country(hour * HOUR))).collect());
    let year = (0..72).map(|hour| country(hour * HOUR)).sum::<f64>() / 72.0;
    let mut sums = [(0.0, 0.0_f64); 3];
    for start in (0..24).step_by(3) {
        // Jobs start off the full hour.
        let job = Job { from: start * HOUR + 1234, epoch_s: 580, gap_s: 20, epochs: hours * 6, watts: uneven };
        let (emissions, truth) = (emissions(&hourly, &job), job.truth(country));
        let joules = emissions.joules.unwrap();
        let at = |g_per_kwh: f64| joules / J_PER_KWH * g_per_kwh;
        for (sum, grams) in sums.iter_mut().zip([emissions.grams(joules), at(country(job.from)), at(year)]) {
            let off = (grams / truth - 1.0).abs() * 100.0;
            *sum = (sum.0 + off / 8.0, sum.1.max(off));
        }
    }
    sums
}

/// Prints the table of docs/src/explanation/carbon-intensity.md: run with --nocapture.
#[test]
fn a_day_by_the_hour_is_within_half_a_percent_of_the_truth() {
    println!("| grid, hours | by the hour | start held | year's mean |");
    for (name, country) in [("German", germany as fn(u64) -> f64), ("British", britain)] {
        for hours in [1, 4, 12, 24, 48] {
            let errors = errors(country, hours);
            let [ours, held, year] = errors.map(|(mean, most)| format!("{mean:.2} ({most:.2})"));
            println!("| {name}, {hours} | {ours} | {held} | {year} |");
            assert!(errors[0].1 < 0.5, "{name} {hours} h: {errors:?}");
            assert!(errors[0].0 * 10.0 < errors[2].0, "{name} {hours} h: {errors:?}");
        }
    }
}

#[test]
fn emissions_add_up_over_epochs_and_gaps() {
    let curve = curve((0..48).map(|hour| slot(hour, germany(hour * HOUR))).collect());
    let job = Job { from: 5000, epoch_s: 580, gap_s: 20, epochs: 100, watts: uneven };
    let (ledger, emissions) = (job.ledger(), emissions(&curve, &job));
    let epochs: f64 =
        ledger.history().iter().map(|e| emissions.grams_between(e.begin, e.end, e.energy.total().unwrap())).sum();
    let total = emissions.grams(ledger.energy_j().unwrap());
    let share = ledger.epochs_j().unwrap() / ledger.energy_j().unwrap();
    assert!((epochs / total / share - 1.0).abs() < 1e-3, "{epochs} of {total}, {share} of the energy");
    let sources = emissions.sources.unwrap();
    assert_eq!((sources.slots, sources.covered, sources.metered), (18, Some(1.0), Some(1.0)));
}

#[test]
fn hours_without_a_figure_are_filled_in_and_reported() {
    let job = Job { from: 0, epoch_s: 600, gap_s: 0, epochs: 60, watts: |_| 1000.0 };
    let mut slots: Vec<IntensitySlot> = (0..10).map(|hour| slot(hour, 100.0 + 20.0 * hour as f64)).collect();
    slots.retain(|slot| ![3.0, 4.0].contains(&((slot.from - MIDNIGHT) / 3600.0)));
    slots[6].quality = IntensityQuality::Forecast;
    let emissions = emissions(&curve(slots), &job);
    let sources = emissions.sources.unwrap();
    assert!(
        (sources.covered.unwrap() - 0.8).abs() < 1e-3 && (sources.metered.unwrap() - 0.7).abs() < 1e-3,
        "{sources:?}"
    );
    assert!((emissions.g_per_kwh - 190.0).abs() < 0.2, "{}", emissions.g_per_kwh);
}

#[test]
fn no_figures_mean_the_yearly_average_and_no_coverage() {
    let job = Job { from: 0, epoch_s: 600, gap_s: 0, epochs: 6, watts: |_| 1000.0 };
    let emissions = emissions(&Curve::default(), &job);
    assert_eq!((emissions.g_per_kwh, emissions.sources.unwrap().covered), (FLAT, Some(0.0)));
    let mut unmeasured = Ledger::default();
    unmeasured.mark(Mark::Begin(MonoNs(10 * S)));
    unmeasured.mark(Mark::End(MonoNs(3610 * S)));
    let curve = curve(vec![slot(0, 80.0)]);
    let emissions = EmissionFactors {
        flat: FLAT,
        curve: Some(&curve),
        clock: &clock(),
        pue: 1.0,
        carried_over: CarriedEmissions::default(),
    }
    .emissions(&unmeasured, MonoNs(3610 * S));
    assert_eq!((emissions.g_per_kwh, emissions.sources.unwrap().covered), (80.0, None));
}

#[test]
fn forecast_uses_the_intensity_of_future_hours() {
    let job = Job { from: 0, epoch_s: 600, gap_s: 0, epochs: 6, watts: |_| 3600.0 };
    let mut slots: Vec<IntensitySlot> = vec![slot(0, 100.0)];
    slots.extend((1..4).map(|hour| IntensitySlot { quality: IntensityQuality::Forecast, ..slot(hour, 300.0) }));
    let (curve, clock) = (curve(slots), clock());
    let factors = EmissionFactors {
        flat: FLAT,
        curve: Some(&curve),
        clock: &clock,
        pue: 2.0,
        carried_over: CarriedEmissions::default(),
    };
    let ledger = job.ledger();
    let emissions = factors.emissions(&ledger, ledger.last_end().unwrap());
    // One of four hours is done, 3.6 kWh each.
    let joules = ledger.energy_j().unwrap();
    let exactly = |used: f64, value: f64| Estimate { used, value, low: value, high: value };
    let run = Forecast {
        after_epochs: 6,
        level: 0.9,
        duration_s: Some(exactly(3600.0, 4.0 * 3600.0)),
        energy_j: Some(exactly(joules, 4.0 * joules)),
        support: Default::default(),
    };
    let grams = factors.forecast(&emissions, &run).unwrap();
    assert!((grams.used - 720.0).abs() < 0.1 && (grams.value - (720.0 + 3.0 * 2160.0)).abs() < 1.0, "{grams:?}");
    let off = |bound: f64| ((bound - 720.0) / (grams.value - 720.0)).ln();
    assert!((off(grams.low) + 0.2).abs() < 1e-3 && (off(grams.high) - 0.2).abs() < 1e-3, "{grams:?}");
    // The errors of energy and intensity add as squares.
    let energy = Estimate { low: joules + 3.0 * joules * (-0.15_f64).exp(), ..exactly(joules, 4.0 * joules) };
    let grams = factors.forecast(&emissions, &Forecast { energy_j: Some(energy), ..run }).unwrap();
    assert!((off(grams.low) + 0.25).abs() < 1e-3, "{grams:?}");
    let done = Forecast { duration_s: Some(exactly(3600.0, 3600.0)), energy_j: Some(exactly(joules, joules)), ..run };
    let grams = factors.forecast(&emissions, &done).unwrap();
    assert!((grams.low - grams.value).abs() < 1e-9 && (grams.value - 720.0).abs() < 0.1, "{grams:?}");
}

proptest! {
    /// For any figures the mean is between the lowest and the highest of them.
    #[test]
    fn mean_intensity_is_within_the_figures(
        figures in prop::collection::vec(1.0f64..1000.0, 1..30),
        from in 0u64..40_000, epoch_s in 1u64..2000, gap_s in 0u64..500, epochs in 1u64..40,
    ) {
        let slots: Vec<IntensitySlot> = figures.iter().enumerate().map(|(hour, &g)| slot(hour as u64, g)).collect();
        let job = Job { from, epoch_s, gap_s, epochs, watts: uneven };
        let emissions = emissions(&curve(slots), &job);
        let (low, high) = (figures.iter().copied().fold(f64::MAX, f64::min), figures.iter().copied().fold(0.0, f64::max));
        prop_assert!((low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(&emissions.g_per_kwh), "{}", emissions.g_per_kwh);
    }
}

/// One epoch may be the whole job, with a reading each second or minute: more than the ledger keeps undivided.
/// Another process counts the energy. What is left in the steps of the timeline is rounding.
#[test]
fn mean_intensity_is_within_the_figures_if_all_energy_was_taken_out() {
    let curve = curve((0..24).map(|hour| slot(hour, 100.0 + hour as f64)).collect());
    for odd in 1..40 {
        let mut ledger = Ledger::default();
        ledger.add_channel(DeviceKind::Gpu);
        ledger.mark(Mark::Begin(MonoNs(10 * S)));
        for minute in 0..300 {
            let at = |minute: u64| MonoNs(10 * S + minute * (60 * S + 7_654_321 * odd));
            let (from, to, joules) = (at(minute), at(minute + 1), 0.1 * (odd + minute) as f64);
            ledger.credit(0, EnergyInterval { from, to, joules, measured: true });
        }
        ledger.take_unsettled(0);
        let now = MonoNs(10 * S + 301 * 60 * S);
        ledger.mark(Mark::End(now));
        let factors = EmissionFactors {
            flat: FLAT,
            curve: Some(&curve),
            clock: &clock(),
            pue: 1.0,
            carried_over: CarriedEmissions::default(),
        };
        let g_per_kwh = factors.emissions(&ledger, now).g_per_kwh;
        assert!((100.0..=FLAT).contains(&g_per_kwh), "{odd}: {g_per_kwh}");
    }
}

#[test]
fn epoch_of_a_day_is_converted_hour_by_hour() {
    let hourly = curve((0..48).map(|hour| slot(hour, germany(hour * HOUR))).collect());
    for (epochs, epoch_s) in [(1, 24 * HOUR), (3, 8 * HOUR)] {
        let job = Job { from: 1234, epoch_s, gap_s: 600, epochs, watts: uneven };
        let emissions = emissions(&hourly, &job);
        let (grams, truth) = (emissions.grams(emissions.joules.unwrap()), job.truth(germany));
        assert!((grams / truth - 1.0).abs() < 0.005, "{epochs} epochs: {grams} g, in truth {truth}");
    }
}

#[test]
fn yearly_average_without_figures_is_exact() {
    for epochs in 1..60 {
        let job = Job { from: 1234, epoch_s: 577, gap_s: 23, epochs, watts: uneven };
        let (ledger, none) = (job.ledger(), Curve::default());
        for flat in [458.29, 114.41] {
            let emissions = EmissionFactors {
                flat,
                curve: Some(&none),
                clock: &clock(),
                pue: 1.0,
                carried_over: CarriedEmissions::default(),
            }
            .emissions(&ledger, MonoNs::NEVER);
            assert_eq!((emissions.g_per_kwh, emissions.sources.unwrap().covered), (flat, Some(0.0)));
        }
    }
}

proptest! {
    /// For any future of the grid the forecast is at least the emissions so far, and is in its interval.
    #[test]
    fn forecast_is_in_its_interval(
        figures in prop::collection::vec((0.0f64..1000.0, any::<bool>()), 1..30),
        done in 0u64..6, used in 0.0f64..1.0, used_s in 0.0f64..1.0, hours in 1u64..80, by in (0.0f64..3.0, 0.0f64..3.0),
        level in 0.5f64..0.999,
    ) {
        let slots = figures.iter().enumerate().map(|(hour, &(g, known))| IntensitySlot {
            quality: if known { IntensityQuality::Actual } else { IntensityQuality::Forecast }, ..slot(hour as u64, g)
        });
        let (curve, clock) = (curve(slots.collect()), clock());
        let factors = EmissionFactors { flat: FLAT, curve: Some(&curve), clock: &clock, pue: 1.3, carried_over: CarriedEmissions::default() };
        let job = Job { from: 1234, epoch_s: 3000, gap_s: 23, epochs: done.max(1), watts: uneven };
        let mut ledger = job.ledger();
        if done == 0 {
            ledger = Ledger::default();
            ledger.add_channel(DeviceKind::Gpu);
            ledger.mark(Mark::Begin(MonoNs((10 + job.from) * S)));
        }
        let emissions = factors.emissions(&ledger, MonoNs((10 + job.end()) * S));
        let estimate = |so_far: f64, total: f64, share: f64| {
            // Inside the first epoch some energy is used that no finished epoch covers.
            let used = so_far + if done == 0 { share * (total - so_far) } else { 0.0 };
            let bound = |sign: f64, by: f64| used + (total - used) * (sign * by).exp();
            Estimate { used, value: total, low: bound(-1.0, by.0), high: bound(1.0, by.1) }
        };
        let joules = ledger.energy_j().unwrap_or(0.0);
        let run = Forecast {
            after_epochs: done,
            level,
            duration_s: Some(estimate(emissions.duration_s, emissions.duration_s + (hours * HOUR) as f64, used_s)),
            energy_j: Some(estimate(joules, joules + 1e7, used)),
            support: Default::default(),
        };
        let grams = factors.forecast(&emissions, &run).unwrap();
        let rounding = 1e-9 * grams.high.abs();
        prop_assert!(grams.used >= emissions.grams(joules) - rounding, "{grams:?}");
        prop_assert!(grams.used <= grams.low + rounding && grams.low <= grams.value + rounding && grams.value <= grams.high + rounding, "{grams:?}");
    }
}

/// A date has a resolution of some 240 ns, so begin and end may have the same date.
#[test]
fn run_of_no_length_uses_the_figure_of_its_instant() {
    let hourly = curve(vec![slot(0, 400.0)]);
    let mut ledger = Ledger::default();
    ledger.add_channel(DeviceKind::Cpu);
    let begin = MonoNs(700 * S);
    ledger.mark(Mark::Begin(begin));
    ledger.credit(0, EnergyInterval { from: begin, to: begin + 50, joules: 1e-6, measured: true });
    ledger.mark(Mark::End(begin + 50));
    let emissions = EmissionFactors {
        flat: FLAT,
        curve: Some(&hourly),
        clock: &clock(),
        pue: 1.0,
        carried_over: CarriedEmissions::default(),
    }
    .emissions(&ledger, begin + S);
    assert_eq!((emissions.joules, emissions.g_per_kwh), (Some(1e-6), 400.0));
    assert!((emissions.grams_between(begin, begin + 50, 1e-6) / emissions.grams(1e-6) - 1.0).abs() < 1e-9);
}

proptest! {
    /// For any forecast of the energy, and any energy used since that forecast.
    #[test]
    fn forecast_is_in_its_bounds_and_at_least_the_emissions_so_far(
        epochs in 0u64..4, used in 0.0f64..2.0, more in 0.0f64..9.0, below in 0.0f64..1.0, above in 1.0f64..3.0,
        time in 0.0f64..5.0, figures in prop::collection::vec(0.0f64..900.0, 0..30), level in 0.5f64..0.999,
    ) {
        let hourly = curve((0..).zip(&figures).map(|(hour, g)| IntensitySlot { quality: IntensityQuality::Forecast, ..slot(hour, *g) }).collect());
        let job = Job { from: 1234, epoch_s: 1800, gap_s: 60, epochs: epochs.max(1), watts: uneven };
        let ledger = if epochs > 0 { job.ledger() } else { Ledger::default() };
        let clock = clock();
        let factors = EmissionFactors { flat: FLAT, curve: Some(&hourly), clock: &clock, pue: 1.3, carried_over: CarriedEmissions::default() };
        let emissions = factors.emissions(&ledger, MonoNs(1300 * S));
        let so_far = emissions.joules.unwrap_or(0.0).max(1e6);
        let estimate = |scale: f64, used: f64, more: f64| Estimate {
            used: used * scale, value: (used + more) * scale, low: (used + more * below) * scale, high: (used + more * above) * scale,
        };
        let forecast = Forecast {
            after_epochs: epochs, level, duration_s: Some(estimate(1800.0, time, more)), energy_j: Some(estimate(so_far, used, more)),
            support: Default::default(),
        };
        let Estimate { used, value, low, high } = factors.forecast(&emissions, &forecast).unwrap();
        prop_assert!(used <= low && low <= value && value <= high && high.is_finite(), "{used} {low} {value} {high}");
        let grams = emissions.joules.map_or(0.0, |joules| emissions.grams(joules));
        prop_assert!(used >= grams * (1.0 - 1e-12), "{used} of {grams}");
    }
}
