//! The whole run's energy and time from what was seen of it. Pure.
//!
//! What was observed stays observed; only what remains is projected, at the present pace of the epochs (`pace.rs`),
//! plus what lies between them. The first epoch counts for that pace as much as it agrees with the others in how long
//! it took: a warm-up is counted once and does not colour the rest. Where the host marks progress, its first epoch
//! tells steady work from warm-up by itself (`progress.rs`), and there is a forecast before it ends.
//!
//! The interval is the pace's own uncertainty and a surprise on top. With epochs of spread s (a share of the level),
//! the mean of r to come, seen from the mean of m, has the variance s²/m + s²/r. The surprise is what no number of
//! like epochs foretells: evaluation that starts late, a full disk, a shared node. It lengthens more often than it
//! shortens, so up and down differ; it fades where little remains; and it is a share of the rest: the bounds are
//! rest × exp(±t × uncertainty), with Student's t of 3 degrees of freedom for its heavy tail.

use crate::ledger::{Between, Observed};
use crate::pace::{self, Pace, Taken};
use crate::progress::{Done, Progress};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// A forecast quantity and its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The expected total.
    pub value: f64,
    /// The interval's lower end; never below what was used.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Estimate {
    /// "value (low to high)", each as `show` writes it.
    pub fn shown(self, show: fn(f64) -> String) -> String {
        format!("{} ({} to {})", show(self.value), show(self.low), show(self.high))
    }

    /// The same in another unit.
    pub fn scaled(self, factor: f64) -> Estimate {
        Estimate { value: self.value * factor, low: self.low * factor, high: self.high * factor }
    }

    /// What of it is still to come where so much was used.
    pub fn beyond(self, used: f64) -> Estimate {
        let rest = |total: f64| (total - used).max(0.0);
        Estimate { value: rest(self.value), low: rest(self.low), high: rest(self.high) }
    }
}

/// What the whole run will take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Epochs it rests on; 0 inside the first.
    pub after_epochs: u64,
    /// The share of runs whose outcome lies in the interval.
    pub level: f64,
    /// Time, s; None where it was not measured.
    pub duration_s: Option<Estimate>,
    /// Energy, J; None where it was not measured.
    pub energy_j: Option<Estimate>,
}

/// How far the mean of what remains may be off for reasons that the epochs seen do not tell, as shares of it.
#[derive(Clone, Copy)]
struct Surprise {
    down: f64,
    up: f64,
}

/// After two epochs, or one whose warm-up is known.
const STEADY: Surprise = Surprise { down: 0.02, up: 0.08 };
/// After one, which may be mostly warm-up.
const ONE: Surprise = Surprise { down: 0.35, up: 0.12 };
/// Where so many epochs remain, a surprise has half of its variance.
const REMAINING: f64 = 3.0;
/// Degrees of freedom of its tail.
const TAIL: f64 = 3.0;

/// Forecasts a run of `planned` epochs from its first ones, what lies between those, and progress in the very first;
/// None where the plan is unknown or too little was seen.
pub fn forecast(
    planned: u64,
    level: f64,
    epochs: impl Iterator<Item = Observed>,
    between: Between,
    progress: &Progress,
) -> Option<Forecast> {
    let epochs: Vec<Observed> = epochs.collect();
    let done: u64 = epochs.iter().map(|epoch| epoch.count).sum();
    if planned == 0 {
        return None;
    }
    let run = Run { done, planned, quantile: quantile(level), epochs: &epochs, progress };
    let duration =
        Quantity { of: |epoch| epoch.duration_s, whole: |epoch| epoch.duration_s, part: |done| Some(done.duration_s) };
    let energy = Quantity {
        of: |epoch| epoch.energy_j,
        whole: |epoch| epoch.energy_j.filter(|_| epoch.is_whole),
        part: |done| done.energy_j,
    };
    let forecast = Forecast {
        after_epochs: done,
        level,
        duration_s: run.total(duration, Some(between.duration_s)),
        energy_j: run.total(energy, between.energy_j),
    };
    (forecast.duration_s.is_some() || forecast.energy_j.is_some()).then_some(forecast)
}

/// One of the things that epochs take.
#[derive(Clone, Copy)]
struct Quantity {
    /// What an epoch took as far as it is known.
    of: fn(&Observed) -> Option<f64>,
    /// The same where all of it is.
    whole: fn(&Observed) -> Option<f64>,
    /// What part of the first took.
    part: fn(&Done) -> Option<f64>,
}

/// What was seen of a run.
struct Run<'a> {
    done: u64,
    planned: u64,
    quantile: f64,
    epochs: &'a [Observed],
    progress: &'a Progress,
}

impl Run<'_> {
    /// The total of a quantity; None where nothing tells what an epoch takes.
    fn total(&self, quantity: Quantity, between: Option<f64>) -> Option<Estimate> {
        if self.done == 0 {
            return self.total_inside_first(quantity);
        }
        let inside = self.epochs.iter().filter_map(quantity.of).reduce(|a, b| a + b)?;
        let used = inside + between.unwrap_or(0.0);
        let left = self.planned.saturating_sub(self.done) as f64;
        if left == 0.0 {
            return Some(Estimate { value: used, low: used, high: used });
        }
        let (pace, surprise) = self.pace(quantity)?;
        let per_gap = if self.done < 2 { 0.0 } else { between.unwrap_or(0.0) / (self.done - 1) as f64 };
        let rest = pace.of_next(left) + left * per_gap;
        Some(self.interval(used, rest, left, pace, surprise))
    }

    /// The same while the first epoch is open.
    fn total_inside_first(&self, quantity: Quantity) -> Option<Estimate> {
        let done = self.progress.done()?;
        let (used, steady) = ((quantity.part)(&done)?, self.progress.steady(quantity.part)?);
        let pace = Pace { level: steady, drift: 0.0, spread: pace::SPREAD * steady, epochs: done.share };
        // At its start all that was seen may be a warm-up ten times slower; by its end the rest is known to be steady.
        let start = 3.0 * (1.0 - done.share).powi(2);
        let between = |one: f64, steady: f64| start * one + done.share * steady;
        let surprise = Surprise { down: between(ONE.down, STEADY.down), up: between(ONE.up, STEADY.up) };
        let left = self.planned as f64 - done.share;
        Some(self.interval(used, pace.of_next(left), left, pace, surprise))
    }

    /// What an epoch takes at present, and how sure that is of the rest.
    fn pace(&self, quantity: Quantity) -> Option<(Pace, Surprise)> {
        let taken = |epoch: &Observed| {
            let count = epoch.count as f64;
            Some(Taken { count, each: (quantity.whole)(epoch)? / count })
        };
        let (first, later) = self.epochs.split_first()?;
        let excess = self.progress.excess(quantity.part);
        let warm_up = excess.unwrap_or(0.0) / first.count as f64;
        let first = taken(first).map(|first| Taken { each: (first.each - warm_up).max(0.0), ..first });
        let later: Vec<Taken> = later.iter().filter_map(taken).collect();
        let Some((start, _)) = pace::present(&later) else {
            let surprise = if excess.is_some() { STEADY } else { ONE };
            return Some((Pace::of(&[first?])?, surprise));
        };
        let mut present: Vec<Taken> = later.into_iter().skip(start).collect();
        if let Some(first) = first.filter(|_| start == 0) {
            let agreement = self.agreement(first, &present);
            present.insert(0, Taken { count: first.count * agreement, ..first });
        }
        Some((Pace::of(&present)?, STEADY))
    }

    /// How much the first epoch, its known warm-up apart, tells of the others. Where it took as long as they did it
    /// was no warm-up, even if its energy differs from that of the only other one: either may be the odd one then.
    fn agreement(&self, first: Taken, others: &[Taken]) -> f64 {
        let agreement = pace::agreement(first.each, mean(others));
        let in_time = if pace::is_odd(first, others) { None } else { self.agreement_in_time() };
        in_time.map_or(agreement, |in_time| agreement.max(in_time))
    }

    fn agreement_in_time(&self) -> Option<f64> {
        let taken = |epoch: &Observed| {
            let count = epoch.count as f64;
            Some(Taken { count, each: epoch.duration_s? / count })
        };
        let (first, later) = self.epochs.split_first()?;
        let later: Vec<Taken> = later.iter().filter_map(taken).collect();
        let (_, level) = pace::present(&later)?;
        let first = taken(first)?;
        let warm_up = self.progress.excess(|done| Some(done.duration_s)).unwrap_or(0.0) / first.count;
        Some(pace::agreement(first.each - warm_up, level))
    }

    fn interval(&self, used: f64, rest: f64, left: f64, pace: Pace, surprise: Surprise) -> Estimate {
        let spread = if pace.level > 0.0 { pace.spread / pace.level } else { 0.0 };
        let known = spread * spread * (1.0 / pace.epochs + 1.0 / left);
        let fading = left / (left + REMAINING);
        let off = |surprise: f64| self.quantile * (known + surprise * surprise * fading).sqrt();
        let (low, high) = (rest * (-off(surprise.down)).exp(), rest * off(surprise.up).exp());
        Estimate { value: used + rest, low: used + low, high: used + high }
    }
}

fn mean(taken: &[Taken]) -> f64 {
    taken.iter().map(|one| one.count * one.each).sum::<f64>() / taken.iter().map(|one| one.count).sum::<f64>()
}

/// How many standard deviations hold `level` of Student's distribution, both sides together.
fn quantile(level: f64) -> f64 {
    StudentsT::new(0.0, 1.0, TAIL).map_or(f64::INFINITY, |t| t.inverse_cdf(0.5 + level / 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn epochs(seconds_and_joules: &[(f64, f64)]) -> Vec<Observed> {
        let epoch = |&(duration_s, joules): &(f64, f64)| Observed {
            count: 1,
            duration_s: Some(duration_s),
            energy_j: Some(joules),
            is_whole: true,
        };
        seconds_and_joules.iter().map(epoch).collect()
    }

    /// A run of these epochs, with time and energy between them.
    fn whole(planned: u64, seen: &[Observed], between: (f64, f64)) -> Option<Forecast> {
        let between = Between { duration_s: between.0, energy_j: Some(between.1) };
        forecast(planned, 0.9, seen.iter().copied(), between, &Progress::default())
    }

    fn energy(planned: u64, joules: &[f64]) -> Estimate {
        let seen = epochs(&joules.iter().map(|&j| (1.0, j)).collect::<Vec<_>>());
        whole(planned, &seen, (0.0, 0.0)).unwrap().energy_j.unwrap()
    }

    #[test]
    fn nothing_planned_or_nothing_seen_is_no_forecast() {
        let seen = epochs(&[(1.0, 5.0)]);
        assert_eq!(whole(0, &seen, (0.0, 0.0)), None);
        assert_eq!(whole(5, &[], (0.0, 0.0)), None);
    }

    #[test]
    fn a_warm_up_is_counted_once_and_does_not_colour_the_rest() {
        let total = energy(100, &[300.0, 100.0, 100.0]);
        assert!((total.value / (300.0 + 99.0 * 100.0) - 1.0).abs() < 1e-4, "{total:?}");
        let seen = epochs(&[(3.0, 300.0), (1.0, 100.0)]);
        let total = whole(100, &seen, (0.0, 0.0)).unwrap();
        assert!((total.energy_j.unwrap().value / (300.0 + 99.0 * 100.0) - 1.0).abs() < 1e-2, "{total:?}");
        assert!((total.duration_s.unwrap().value / (3.0 + 99.0) - 1.0).abs() < 1e-2, "{total:?}");
    }

    /// With times alike either of the two may be the odd one.
    #[test]
    fn a_first_epoch_that_took_as_long_is_no_warm_up() {
        let total = energy(4, &[100.0, 50.0]);
        assert!((total.value - 300.0).abs() < 1e-9, "{total:?}");
    }

    /// The first epoch of 100 s at 1 kW, its first tenth nine times slower, marked each 100th.
    fn warming_up(until: f64) -> Progress {
        let mut progress = Progress::default();
        progress.of_epoch(Some(0));
        for n in 1..=(until * 100.0) as u64 {
            let share = n as f64 / 100.0;
            let seconds = 100.0 * (share + 8.0 * share.min(0.1));
            progress.note((seconds * 1e9) as u64, share);
            progress.settle(u64::MAX, |_| Some(1000.0 * seconds));
        }
        progress
    }

    fn with_progress(seen: &[(f64, f64)], until: f64) -> Option<Forecast> {
        forecast(10, 0.9, epochs(seen).into_iter(), Between::default(), &warming_up(until))
    }

    #[test]
    fn progress_gives_a_forecast_inside_the_first_epoch() {
        assert_eq!(with_progress(&[], 0.04), None);
        let total = with_progress(&[], 0.05).unwrap();
        assert_eq!(total.after_epochs, 0);
        let half = with_progress(&[], 0.5).unwrap();
        let (seconds, joules) = (half.duration_s.unwrap(), half.energy_j.unwrap());
        assert!((seconds.value / 1080.0 - 1.0).abs() < 0.01 && (joules.value / 1.08e6 - 1.0).abs() < 0.01, "{half:?}");
        assert!(seconds.low < 1080.0 && 1080.0 < seconds.high && seconds.low > 130.0);
    }

    #[test]
    fn after_the_first_epoch_its_warm_up_is_not_multiplied() {
        let total = with_progress(&[(180.0, 180e3)], 1.0).unwrap().energy_j.unwrap();
        assert!((total.value / 1.08e6 - 1.0).abs() < 0.01, "{total:?}");
        let blind = whole(10, &epochs(&[(180.0, 180e3)]), (0.0, 0.0)).unwrap().energy_j.unwrap();
        assert!(blind.value == 1.8e6 && total.high - total.low < (blind.high - blind.low) / 3.0);
        let later = with_progress(&[(180.0, 180e3), (100.0, 100e3)], 1.0).unwrap().energy_j.unwrap();
        assert!((later.value / 1.08e6 - 1.0).abs() < 0.01, "{later:?}");
    }

    #[test]
    fn one_epoch_says_little_and_ten_say_more() {
        let width = |seen: usize| {
            let total = energy(50, &vec![100.0; seen]);
            (total.high - total.low) / total.value
        };
        assert!(width(1) > 0.7 && width(2) < 0.3 && width(10) < width(2) && width(49) < 0.01);
    }

    #[test]
    fn times_that_were_not_recorded_are_no_forecast_of_time() {
        let mut seen = epochs(&[(0.0, 30.0), (0.0, 10.0), (0.0, 10.0)]);
        seen.iter_mut().for_each(|epoch| epoch.duration_s = None);
        let total = whole(10, &seen, (0.0, 0.0)).unwrap();
        assert!(total.duration_s.is_none() && (total.energy_j.unwrap().value / 120.0 - 1.0).abs() < 1e-3);
    }

    #[test]
    fn what_lies_between_goes_on_too() {
        let seen = epochs(&[(1.0, 10.0), (1.0, 10.0), (1.0, 10.0)]);
        let total = whole(10, &seen, (1.0, 4.0)).unwrap();
        assert!((total.duration_s.unwrap().value - (4.0 + 7.0 * 1.5)).abs() < 1e-9);
        assert!((total.energy_j.unwrap().value - (34.0 + 7.0 * 12.0)).abs() < 1e-9);
    }

    #[test]
    fn a_finished_run_is_what_it_was() {
        let total = energy(3, &[10.0, 11.0, 12.0]);
        assert_eq!((total.value, total.low, total.high), (33.0, 33.0, 33.0));
    }

    #[test]
    fn unknown_energy_is_no_forecast_of_it() {
        let mut seen = epochs(&[(2.0, 0.0), (2.0, 0.0)]);
        seen.iter_mut().for_each(|epoch| epoch.energy_j = None);
        let total = whole(10, &seen, (0.0, 0.0)).unwrap();
        assert_eq!((total.energy_j, total.duration_s.unwrap().value), (None, 20.0));
    }

    #[test]
    fn an_epoch_whose_energy_is_not_whole_does_not_steer_it() {
        let mut seen = epochs(&[(1.0, 100.0), (1.0, 100.0), (1.0, 0.01)]);
        seen[2].is_whole = false;
        let total = whole(10, &seen, (0.0, 0.0)).unwrap().energy_j.unwrap();
        assert!((total.value - 900.01).abs() < 1e-9, "200.01 J used, seven to come: {total:?}");
    }

    proptest! {
        #[test]
        fn constant_epochs_give_the_exact_total_and_a_shrinking_interval(joules in 0.1..1e6f64, planned in 4u64..500) {
            let mut width = f64::INFINITY;
            for seen in 1..planned.min(40) {
                let total = energy(planned, &vec![joules; seen as usize]);
                prop_assert!((total.value / (planned as f64 * joules) - 1.0).abs() < 1e-9);
                prop_assert!(total.high - total.low < width);
                width = total.high - total.low;
            }
        }

        #[test]
        fn ordered_never_below_the_used_and_scales(joules in prop::collection::vec(0.0..1e4f64, 1..50), left in 0u64..100, factor in 0.1..10.0f64) {
            let planned = joules.len() as u64 + left;
            let total = energy(planned, &joules);
            let used: f64 = joules.iter().sum();
            prop_assert!(total.low <= total.value + 1e-6 && total.value <= total.high + 1e-6 && total.low >= used - 1e-6);
            let scaled = energy(planned, &joules.iter().map(|j| j * factor).collect::<Vec<_>>());
            prop_assert!((scaled.value - total.value * factor).abs() <= 1e-9 * scaled.value.max(1.0));
            prop_assert!((scaled.high - total.high * factor).abs() <= 1e-6 * scaled.high.max(1.0));
        }

        #[test]
        fn one_odd_epoch_among_twenty_counts_less_than_its_share(odd in 2.0..50.0f64, place in 0usize..20) {
            let mut joules = vec![1.0; 20];
            joules[place] = odd;
            prop_assert!(energy(100, &joules).value - 100.0 < (odd - 1.0) * 5.0);
        }
    }
}
