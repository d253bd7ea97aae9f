//! The whole run's energy and time from the epochs so far. Pure.
//!
//! What was observed stays observed; only what remains is projected, at the mean of the epochs after the
//! first, whose warm-up is not typical. The interval is Student's for the sum of the epochs to come:
//! with m epochs of variance s² seen, r to come have the variance r s² + r² s²/m. Two epochs' worth of a
//! prior spread keeps it honest while little is known.

use crate::ledger::{Between, Observed};
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
}

/// What the whole run will take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Epochs it rests on.
    pub after_epochs: u64,
    /// The share of runs whose outcome lies in the interval.
    pub level: f64,
    /// Time, s.
    pub duration_s: Estimate,
    /// Energy, J; None where none was measured.
    pub energy_j: Option<Estimate>,
}

// What is assumed while little is known: chosen by eye, until forecasts are scored against recorded runs.

/// Spread of an epoch about the mean assumed before any is known, as a share of the mean.
const PRIOR_SPREAD: f64 = 0.1;
/// The same where the first epoch, warm-up and all, is the only one.
const FIRST_SPREAD: f64 = 0.3;
/// How many epochs that assumption is worth.
const PRIOR_WEIGHT: f64 = 2.0;

/// Forecasts a run of `planned` epochs from its first ones and what lies between those; None where the
/// plan is unknown or no epoch has ended.
pub fn forecast(
    planned: u64,
    level: f64,
    epochs: impl Iterator<Item = Observed> + Clone,
    between: Between,
) -> Option<Forecast> {
    let done: u64 = epochs.clone().map(|epoch| epoch.count).sum();
    if planned == 0 || done == 0 {
        return None;
    }
    let run = Run { done: done as f64, left: planned.saturating_sub(done) as f64, level };
    let durations = epochs.clone().map(|epoch| Some((epoch.count as f64, epoch.duration_s)));
    let seconds = epochs.clone().map(|epoch| epoch.duration_s).sum();
    let energies = epochs.clone().map(|epoch| Some((epoch.count as f64, epoch.energy_j.filter(|_| epoch.is_whole)?)));
    let joules = epochs.filter_map(|epoch| epoch.energy_j).reduce(|a, b| a + b);
    Some(Forecast {
        after_epochs: done,
        level,
        duration_s: run.total(durations, seconds, between.duration_s)?,
        energy_j: joules.and_then(|joules| run.total(energies, joules, between.energy_j.unwrap_or(0.0))),
    })
}

/// How far the run is.
struct Run {
    done: f64,
    left: f64,
    level: f64,
}

impl Run {
    /// The total of one quantity, from (epochs, their sum) pairs, None where it is not wholly known, and what
    /// was used in epochs and between them. None where no epoch tells what another will take.
    fn total(
        &self,
        seen: impl Iterator<Item = Option<(f64, f64)>> + Clone,
        inside: f64,
        between: f64,
    ) -> Option<Estimate> {
        let used = inside + between;
        if self.left == 0.0 {
            return Some(Estimate { value: used, low: used, high: used });
        }
        let is_warm_up_all = seen.clone().skip(1).flatten().next().is_none();
        let steady = seen.skip(usize::from(!is_warm_up_all)).flatten();
        let (count, sum) = steady.clone().fold((0.0, 0.0), |(n, s), (count, sum)| (n + count, s + sum));
        if count == 0.0 {
            return None;
        }
        let mean = sum / count;
        let (entries, squares) = steady
            .fold((0.0, 0.0), |(m, squares), (count, sum)| (m + 1.0, squares + count * (sum / count - mean).powi(2)));
        let prior = mean * if is_warm_up_all { FIRST_SPREAD } else { PRIOR_SPREAD };
        let degrees_of_freedom = entries - 1.0 + PRIOR_WEIGHT;
        let variance = (squares + PRIOR_WEIGHT * prior * prior) / degrees_of_freedom;
        let per_gap = if self.done < 2.0 { 0.0 } else { between / (self.done - 1.0) };
        let rest = self.left * (mean + per_gap);
        let deviation = (self.left * variance + self.left * self.left * variance / count).sqrt();
        let spread = deviation * quantile(self.level, degrees_of_freedom);
        Some(Estimate { value: used + rest, low: used + (rest - spread).max(0.0), high: used + rest + spread })
    }
}

/// How many standard deviations hold `level` of Student's distribution, both sides together.
fn quantile(level: f64, degrees_of_freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, degrees_of_freedom).map_or(f64::INFINITY, |t| t.inverse_cdf(0.5 + level / 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn epochs(seconds_and_joules: &[(f64, f64)]) -> Vec<Observed> {
        let epoch = |&(duration_s, joules): &(f64, f64)| Observed {
            count: 1,
            duration_s,
            energy_j: Some(joules),
            is_whole: true,
        };
        seconds_and_joules.iter().map(epoch).collect()
    }

    /// A run of these epochs, with time and energy between them.
    fn whole(planned: u64, seen: &[Observed], between: (f64, f64)) -> Option<Forecast> {
        let between = Between { duration_s: between.0, energy_j: Some(between.1) };
        forecast(planned, 0.9, seen.iter().copied(), between)
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
        assert!((total.value - (300.0 + 99.0 * 100.0)).abs() < 1e-9, "{total:?}");
    }

    #[test]
    fn what_lies_between_goes_on_too() {
        let seen = epochs(&[(1.0, 10.0), (1.0, 10.0), (1.0, 10.0)]);
        let total = whole(10, &seen, (1.0, 4.0)).unwrap();
        assert!((total.duration_s.value - (4.0 + 7.0 * 1.5)).abs() < 1e-9);
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
        assert_eq!((total.energy_j, total.duration_s.value), (None, 20.0));
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
            for seen in 2..planned.min(40) {
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
    }
}
