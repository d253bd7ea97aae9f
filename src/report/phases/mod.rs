//! The named phases of a run: a row for each, with what is in it alone and with the phases within it.

mod section;
mod shown;

pub use section::{PartsOf, merged};
pub use shown::{csv, lines, samples};

use crate::attribution::phases::{IN_EPOCH, PhaseShares, PhaseSums, PhaseTime, PhaseTree};
use crate::clock::S_PER_NS;
use crate::state::RunState;
use crate::units::{self, ErrorBand};
use serde_json::Value;
use std::sync::Arc;

/// The share of cases in which the truth is in a phase's interval.
pub const LEVEL: f64 = 0.9;

/// The phases up to the last mark of one.
pub struct PhaseReport {
    tree: Arc<PhaseTree>,
    times: Vec<PhaseTime>,
    /// The sums of each channel, and the error interval of its energy.
    channels: Vec<(PhaseSums, Option<ErrorBand>)>,
    /// Ended epochs of this process.
    epochs: u64,
    /// The section of earlier attempts; null: there is none.
    carried_over: Value,
}

/// The phases' paths, whether each is in an epoch, and the model of each channel with its error interval.
struct Fitted<'a> {
    places: Vec<(Vec<&'a str>, bool)>,
    shares: Vec<(PhaseShares<'a>, Option<ErrorBand>)>,
}

/// A phase, with all its places: in epochs and outside.
pub struct PhaseRow {
    /// The names from the outermost phase to this one; empty: the time in no phase.
    pub names: Vec<String>,
    /// How often it began.
    pub entries: u64,
    /// With the phases within it.
    pub whole: PhaseUse,
    /// Without them.
    pub own: PhaseUse,
    /// The part of `whole` in epochs.
    pub in_epochs: PhaseUse,
    /// Energy in an epoch on the mean, J; None: unknown, or no epoch has ended.
    pub each_epoch_j: Option<f64>,
}

/// Time and energy.
#[derive(Clone, Copy, Default)]
pub struct PhaseUse {
    /// Time, s.
    pub seconds: f64,
    /// Energy and the ends of its interval, J; None: unknown.
    pub joules: Option<[f64; 3]>,
    /// Share of the time that readings confirm, 0 to 1; None: nothing is measured, or there is no time.
    pub coverage: Option<f64>,
}

impl PhaseUse {
    /// Energy, J; None: unknown.
    pub fn energy_j(self) -> Option<f64> {
        self.joules.map(|[joules, ..]| joules)
    }

    /// Mean power, W; None: unknown.
    pub fn watts(self) -> Option<f64> {
        self.energy_j().filter(|_| self.seconds > 0.0).map(|joules| joules / self.seconds)
    }
}

impl PhaseReport {
    /// Copies what the report needs; None: the application marks no phases.
    pub fn new(state: &RunState, is_for_journal: bool) -> Option<PhaseReport> {
        // Another process may count what is used after the last end of an epoch. A journal does not take that back.
        let has_open = state.attribution.ledger.is_open() && !is_for_journal;
        let book = &state.attribution.phases;
        let bands = state.metering.channels.iter().map(|metered| metered.channel.error);
        let carried_over = &state.attribution.carried_over.phases;
        let phases = if book.is_empty() { 0..0 } else { 0..book.tree.count() };
        (!book.is_empty() || !carried_over.is_null()).then(|| PhaseReport {
            carried_over: carried_over.clone(),
            tree: Arc::clone(&book.tree),
            times: phases.map(|phase| book.time(phase)).collect(),
            channels: book.sums(has_open).into_iter().zip(bands).filter(|(sums, _)| !sums.is_empty()).collect(),
            epochs: state.attribution.ledger.epochs() - state.attribution.carried_over.epochs_done(),
        })
    }

    /// The paths of the phases, each after the one around it; the last one is empty, for the time in no phase.
    fn paths(&self) -> Vec<Vec<&str>> {
        let has_begun = |phase: &usize| self.time(*phase) != PhaseTime::default();
        let mut paths: Vec<Vec<&str>> = Vec::new();
        for phase in (IN_EPOCH + 1..self.times.len()).filter(has_begun) {
            let (path, _) = self.tree.path(phase);
            // A phase comes after those that began before it in the same phase.
            if !paths.contains(&path) {
                let parent = path.split_last().map_or(&[][..], |(_, parent)| parent);
                let last = paths.iter().rposition(|other| !parent.is_empty() && other.starts_with(parent));
                paths.insert(last.map_or(paths.len(), |last| last + 1), path);
            }
        }
        paths.push(Vec::new());
        paths
    }

    /// The rows of all phases, or of those that `is_chosen` by their place and path.
    fn rows(&self, is_chosen: impl Fn(usize, &[&str]) -> bool) -> Vec<PhaseRow> {
        let all = self.paths().into_iter().enumerate();
        let chosen: Vec<Vec<&str>> =
            all.filter(|(place, path)| is_chosen(*place, path)).map(|(_, path)| path).collect();
        if chosen.is_empty() {
            return Vec::new();
        }
        let fitted = Fitted {
            places: (0..self.times.len()).map(|phase| self.tree.path(phase)).collect(),
            shares: self.channels.iter().map(|(sums, band)| (sums.fit(), *band)).collect(),
        };
        chosen.iter().map(|path| self.row(path, &fitted)).collect()
    }

    /// Time and energy of all phases, and of the time in none between them.
    pub fn total(&self) -> PhaseUse {
        let ns: u64 = self.times.iter().map(|time| time.ns).sum();
        let joules = units::sum(self.channels.iter().map(|(sums, _)| Some(sums.total_j())));
        PhaseUse { seconds: ns as f64 * S_PER_NS, joules: joules.map(|joules| [joules; 3]), coverage: None }
    }

    fn time(&self, phase: usize) -> PhaseTime {
        self.times.get(phase).copied().unwrap_or_default()
    }

    fn row(&self, path: &[&str], fitted: &Fitted<'_>) -> PhaseRow {
        let chosen = |is_chosen: &dyn Fn(&[&str], bool) -> bool| -> Vec<usize> {
            let places = fitted.places.iter().enumerate();
            places.filter(|(_, (names, is_in_epoch))| is_chosen(names, *is_in_epoch)).map(|(phase, _)| phase).collect()
        };
        let is_none = path.is_empty();
        let is_within = |names: &[&str]| if is_none { names.is_empty() } else { names.starts_with(path) };
        let own = chosen(&|names, _| names == path);
        let all = chosen(&|names, _| is_within(names));
        let whole = self.used(&all, fitted);
        // Most phases have none within them, or are in epochs only. The interval of many phases takes time.
        let used = |phases: &[usize]| if phases == all { whole } else { self.used(phases, fitted) };
        let in_epochs = used(&chosen(&|names, is_in_epoch| is_in_epoch && is_within(names)));
        PhaseRow {
            names: path.iter().map(|name| (*name).to_owned()).collect(),
            entries: own.iter().map(|phase| self.time(*phase).entries).sum(),
            whole,
            own: used(&own),
            in_epochs,
            each_epoch_j: in_epochs.energy_j().filter(|_| self.epochs > 0).map(|joules| joules / self.epochs as f64),
        }
    }

    /// Time and energy of some phases together. The errors of two channels are independent.
    fn used(&self, phases: &[usize], fitted: &Fitted<'_>) -> PhaseUse {
        let Fitted { shares, .. } = fitted;
        let ns: u64 = phases.iter().map(|phase| self.time(*phase).ns).sum();
        let (mut joules, mut variances) = ([0.0; 3], [0.0; 2]);
        for (shares, band) in shares {
            let (used, half) = shares.of(phases);
            let ends = band.map_or([1.0; 2], |band| [band.low, band.high]);
            joules = [joules[0] + used, joules[1] + used * ends[0], joules[2] + used * ends[1]];
            variances = [variances[0] + (half * ends[0]).powi(2), variances[1] + (half * ends[1]).powi(2)];
        }
        let [value, low, high] = joules;
        let ends = [value, (low - variances[0].sqrt()).max(0.0), high + variances[1].sqrt()];
        let seconds = ns as f64 * S_PER_NS;
        let confirmed = |(sums, _): &(PhaseSums, _)| phases.iter().map(|phase| sums.seconds(*phase)).sum::<f64>();
        let least = self.channels.iter().map(confirmed).reduce(f64::min);
        let coverage = least.filter(|_| seconds > 0.0).map(|confirmed| (confirmed / seconds).min(1.0));
        // Without readings an energy of 0 is not known.
        let is_known = !shares.is_empty() && (value > 0.0 || coverage != Some(0.0));
        PhaseUse { seconds, joules: is_known.then_some(ends), coverage }
    }
}

#[cfg(test)]
mod tests;
