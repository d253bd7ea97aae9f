//! Earlier runs, and the forecast of a run that may be like one of them. Pure.
//!
//! In: the epochs of earlier runs, and the epochs of this run so far. Out: parts of a mixture (`mixture.rs`) for the
//! cost of the remaining epochs. Never: it reads no file.
//!
//! Each earlier run is a shape (`profile.rs`). This run may have the shape and the level of one of them, the shape at
//! another level, or neither. Each such case is a part. The epochs seen give each part its level (`follow.rs`) and its
//! weight, by Bayes' rule (`weigh.rs`). With enough earlier runs that are alike, their own errors scale the interval
//! (`calibration.rs`).

mod calibration;
mod follow;
mod inside;
mod profile;
mod scatter;
mod weigh;

pub use calibration::calibrated;
pub use inside::inside;
pub use weigh::{Comparison, Seen, Template, templates};

use super::Metric;
use super::gaps::usual_gap_s;
use crate::attribution::ledger::{EpochSummary, InterEpoch};
use profile::Profile;

/// An earlier run.
#[derive(Clone, Debug, Default)]
pub struct EarlierRun {
    /// Its epochs, in order, with the gaps between them.
    pub epochs: Vec<EpochSummary>,
    /// Time and energy outside its epochs: the gaps, and what was before the first epoch.
    pub between: InterEpoch,
    /// The part of `between` before the first epoch, s: a start-up, or cancelled epochs. It happens once.
    pub before_s: f64,
    /// Whether it ended as planned. If it did not, its last epoch is like any other.
    pub is_whole: bool,
    /// The work that it did, in the application's unit, if it was measured by its progress. Then it has one epoch, the
    /// whole run. None: it was measured by its epochs.
    pub work: Option<f64>,
}

impl EarlierRun {
    /// The mean duration of an epoch, or its energy if no duration is known, as a logarithm; None: neither is known.
    fn level(&self) -> Option<f64> {
        let mean = |metric: Metric| {
            let known = self.epochs.iter().filter_map(|epoch| Some((epoch.count as f64, metric.of_whole(epoch)?)));
            let (count, sum) = known.fold((0.0, 0.0), |(count, sum), (more, amount)| (count + more, sum + amount));
            Some((sum / count).ln()).filter(|level| level.is_finite())
        };
        mean(Metric::Duration).or_else(|| mean(Metric::Energy))
    }
}

/// Most earlier runs that a forecast uses. The newest count.
const MAX_RUNS: usize = 24;
/// Most of them at one level.
const MAX_ALIKE: usize = 12;
/// Runs whose epochs differ by less than this are of one level, as a logarithm.
pub const ALIKE: f64 = 0.25;

/// Earlier runs, prepared for forecasts.
#[derive(Clone, Debug, Default)]
pub struct History {
    runs: Vec<Prepared>,
    /// The runs that were measured by their progress, newest last.
    by_work: Vec<EarlierRun>,
    tuning: Tuning,
}

/// An earlier run, prepared.
#[derive(Clone, Debug)]
struct Prepared {
    energy: Option<Profile>,
    duration: Option<Profile>,
    outside: Outside,
}

/// Time outside the epochs of a run, s, and its mean power, W; None: unknown.
#[derive(Clone, Copy, Debug)]
struct Outside {
    /// The usual gap between two epochs.
    gap_s: f64,
    /// What was before the first epoch. It happens once.
    before_s: f64,
    watts: Option<f64>,
}

impl Outside {
    /// The energy of all gaps is known, but not of each. So it is divided by their time.
    fn of(run: &EarlierRun) -> Outside {
        let seconds = run.between.duration_s;
        let watts = if seconds > 0.0 { run.between.energy_j.map(|joules| joules / seconds) } else { Some(0.0) };
        let gaps = run.epochs.iter().map(|epoch| epoch.count).sum::<u64>().saturating_sub(1) as f64;
        let gap_s = usual_gap_s(&run.epochs);
        let known_s: f64 = run.epochs.iter().map(|epoch| epoch.gap_s).sum();
        // A report alone does not have the gaps. Then all that is not known to be before the first epoch is a gap.
        let gap_s = if known_s > 0.0 || gaps == 0.0 { gap_s } else { (seconds - run.before_s).max(0.0) / gaps };
        Outside { gap_s, before_s: run.before_s, watts }
    }

    /// One of these times, or its energy; None: unknown.
    fn amount(&self, metric: Metric, seconds: f64) -> Option<f64> {
        match metric {
            Metric::Energy => self.watts.map(|watts| seconds * watts),
            Metric::Duration => Some(seconds),
        }
    }
}

impl Prepared {
    fn profile(&self, metric: Metric) -> Option<&Profile> {
        match metric {
            Metric::Energy => self.energy.as_ref(),
            Metric::Duration => self.duration.as_ref(),
        }
    }
}

/// The constants of the model with earlier runs. They were chosen on recorded runs, each without the set that it was
/// scored on. See docs/src/explanation/forecast.md.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// Scatter of the duration of an epoch from run to run before any is known, as a logarithm.
    pub time_scatter: f64,
    /// The same for its energy. Devices of one model differ more in power than in speed.
    pub energy_scatter: f64,
    /// Part of the scatter of regular epochs that the level of a run has in addition.
    pub follows: f64,
    /// Scatter of an epoch around the shape before any is known, as a logarithm.
    pub noise: f64,
    /// Difference of shape between runs, in scatters of the level.
    pub shape: f64,
    /// Scatter of the first epoch from run to run before any is known, as a logarithm.
    pub first: f64,
    /// Prior weight of another level or shape, in earlier runs.
    pub other: f64,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning {
            time_scatter: 0.0015,
            energy_scatter: 0.003,
            follows: 0.5,
            noise: 0.0015,
            shape: 1.0,
            first: 0.05,
            other: 0.4,
        }
    }
}

impl History {
    /// Prepares earlier runs, newest last.
    pub fn new(runs: &[EarlierRun]) -> History {
        History::with(Tuning::default(), runs)
    }

    /// The same with other constants.
    pub fn with(tuning: Tuning, runs: &[EarlierRun]) -> History {
        let mut kept: Vec<(f64, &EarlierRun)> = Vec::new();
        for run in runs.iter().rev().filter(|run| run.work.is_none()) {
            let Some(level) = run.level() else { continue };
            let alike = kept.iter().filter(|(other, _)| (other - level).abs() < ALIKE).count();
            if alike < MAX_ALIKE {
                kept.push((level, run));
            }
            if kept.len() == MAX_RUNS {
                break;
            }
        }
        let runs_by_work = runs.iter().filter(|run| run.work.is_some());
        let skipped = runs_by_work.clone().count().saturating_sub(MAX_RUNS);
        History {
            runs: kept.iter().rev().map(|(_, run)| Prepared::of(run, &tuning)).collect(),
            by_work: runs_by_work.skip(skipped).cloned().collect(),
            tuning,
        }
    }

    /// Whether there is no earlier run to use.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.by_work.is_empty()
    }

    /// Whether earlier runs were measured by their progress.
    pub fn has_work(&self) -> bool {
        !self.by_work.is_empty()
    }

    /// Whether all earlier runs were measured by their progress.
    pub fn has_only_work(&self) -> bool {
        self.has_work() && self.runs.is_empty()
    }

    /// The runs that were measured by their progress, as runs of one epoch. Those of much more or less work than
    /// `total` are left out. The others cost as much for each unit of work. None: all that did their whole work, as
    /// they are.
    pub fn of_work(&self, total: Option<f64>) -> History {
        let scaled = |run: &EarlierRun| {
            let factor = match total {
                Some(total) => total / run.work?,
                None if run.is_whole => 1.0,
                None => return None,
            };
            let is_alike = factor > 0.0 && factor.ln().abs() < ALIKE;
            let scale = |amount: Option<f64>| amount.map(|amount| amount * factor);
            let whole = |epoch: &EpochSummary| EpochSummary {
                duration_s: scale(epoch.duration_s),
                energy_j: scale(epoch.energy_j),
                ..*epoch
            };
            let epochs = run.epochs.iter().map(whole).collect();
            is_alike.then(|| EarlierRun { epochs, work: None, ..run.clone() })
        };
        History::with(self.tuning, &self.by_work.iter().filter_map(scaled).collect::<Vec<_>>())
    }

    /// Its constants.
    pub fn tuning(&self) -> Tuning {
        self.tuning
    }

    /// The usual cost of a gap between two epochs; None: no earlier run shows it.
    pub fn usual_gap(&self, metric: Metric) -> Option<f64> {
        self.usual(|outside| outside.amount(metric, outside.gap_s))
    }

    /// The usual cost of what is before the first epoch, such as a start-up; None: no earlier run shows it.
    pub fn usual_start(&self, metric: Metric) -> Option<f64> {
        self.usual(|outside| outside.amount(metric, outside.before_s))
    }

    fn usual(&self, of: impl Fn(&Outside) -> Option<f64>) -> Option<f64> {
        let mut amounts: Vec<f64> = self.runs.iter().filter_map(|run| of(&run.outside)).collect();
        amounts.sort_by(f64::total_cmp);
        amounts.get(amounts.len().saturating_sub(1) / 2).copied()
    }
}

impl Prepared {
    fn of(run: &EarlierRun, tuning: &Tuning) -> Prepared {
        let profile = |metric| Profile::of(run, metric, tuning.noise);
        Prepared { energy: profile(Metric::Energy), duration: profile(Metric::Duration), outside: Outside::of(run) }
    }
}

#[cfg(test)]
mod tests;
