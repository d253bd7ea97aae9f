//! The cost of an earlier run over its epochs, and how it is stretched to another number of epochs. Pure.
//!
//! Epochs are aligned by their number, because warm-up, checkpoints and evaluations come at a fixed epoch. The last one
//! is aligned with the last one. A longer run has more epochs like those of the later half.

use super::{EarlierRun, Metric};
use crate::attribution::ledger::EpochSummary;
use crate::forecast::trend::{self, EpochCost};

/// Weight of the prior noise, in epochs.
const PRIOR_EPOCHS: f64 = 3.0;
/// The standard deviation of normal noise over its median absolute deviation.
const SD_PER_MAD: f64 = 1.0 / 0.6745;
/// One event, such as a step or a spike, makes two large differences of successive epochs. It is shape, not noise.
const DIFFERENCES_OF_AN_EVENT: usize = 2;
/// An epoch further above its neighbours than this has a stall, in scales of the noise.
const STALL_SCALES: f64 = 4.0;
/// Number of neighbours that show a stall, with the epoch itself. Stalls may last for some epochs.
const STALL_NEIGHBOURS: usize = 9;
/// Epochs from the beginning whose costs are compared between runs.
const MAX_COMPARED: usize = 64;
/// Newest epochs that the noise is estimated from.
const MAX_NOISE_EPOCHS: usize = 256;

/// The cost of an earlier run over its epochs.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Ends of its entries: the number of epochs, and their cost. The last epoch is left out if there are more.
    ends: Vec<(f64, f64)>,
    /// Costs of the first epoch, of an epoch of the later half, and of the last epoch.
    pub first: f64,
    steady: f64,
    last: f64,
    /// The usual cost of an epoch, as a logarithm.
    typical: f64,
    /// The costs of the first epochs, as logarithms.
    logs: Vec<f64>,
    /// The variance of a regular epoch around the shape, as a logarithm.
    pub core: f64,
    /// The variance of any epoch around the shape, odd ones included.
    pub noise: f64,
    /// Cost of stalls, as a share of the run: of epochs far above their neighbours.
    pub stalls: f64,
}

/// The amount of each of `count` epochs.
#[derive(Clone, Copy)]
struct Entry {
    count: f64,
    each: f64,
}

impl Profile {
    /// The profile of a run; None: no amount is known or greater than 0. An unknown epoch is like the median one.
    pub fn of(run: &EarlierRun, metric: Metric, prior_noise: f64) -> Option<Profile> {
        let amount = |epoch: &EpochSummary| {
            let each = metric.of_whole(epoch)? / epoch.count as f64;
            (each > 0.0 && each.is_finite()).then_some(each)
        };
        let known: Vec<f64> = run.epochs.iter().filter(|epoch| epoch.count > 0).filter_map(amount).collect();
        let median = median(&known)?;
        let entries = run.epochs.iter().filter(|epoch| epoch.count > 0);
        let entries: Vec<Entry> =
            entries.map(|epoch| Entry { count: epoch.count as f64, each: amount(epoch).unwrap_or(median) }).collect();
        let inner = entries.get(1..entries.len().max(3) - 1).unwrap_or_default();
        let (core, all) = noise(inner, prior_noise);
        let (first, last) = (entries.first()?.each, entries.last()?.each);
        let mut ends = Vec::with_capacity(entries.len());
        let (mut count, mut cost) = (0.0, 0.0);
        for one in &entries {
            count += one.count;
            cost += one.count * one.each;
            ends.push((count, cost));
        }
        let logs = entries.iter().take(MAX_COMPARED).map(|one| one.each.ln()).collect();
        let mut profile = Profile {
            ends,
            first,
            steady: median,
            last,
            typical: median.ln(),
            logs,
            core,
            noise: all,
            stalls: stalls(inner, core),
        };
        if run.is_whole && count > 1.0 {
            profile.drop_last(last);
        }
        let body = profile.epochs();
        let half = (body / 2.0).floor().max(1.0_f64.min(body - 1.0)).max(0.0);
        let from = half.max(present_from(&entries, body));
        profile.steady = (profile.cumulated(body) - profile.cumulated(from)) / (body - from).max(1.0);
        if !run.is_whole {
            profile.last = profile.steady;
        }
        Some(profile)
    }

    /// Takes the last epoch out of `ends`.
    fn drop_last(&mut self, each: f64) {
        let Some((count, cost)) = self.ends.pop() else { return };
        let before = self.ends.last().map_or(0.0, |(count, _)| *count);
        if count - 1.0 > before {
            self.ends.push((count - 1.0, cost - each));
        }
    }

    /// Number of epochs in `ends`.
    fn epochs(&self) -> f64 {
        self.ends.last().map_or(0.0, |(count, _)| *count)
    }

    /// Cost of the first `epochs` epochs in `ends`.
    fn cumulated(&self, epochs: f64) -> f64 {
        let after = self.ends.partition_point(|(count, _)| *count < epochs);
        let (from, cost) = after.checked_sub(1).and_then(|n| self.ends.get(n)).copied().unwrap_or_default();
        let Some((to, then)) = self.ends.get(after) else { return cost };
        cost + (then - cost) * (epochs - from) / (to - from)
    }

    /// Cost of the first `epochs` epochs of a run of `planned` epochs.
    pub fn before(&self, epochs: f64, planned: f64) -> f64 {
        let body = self.epochs();
        // The only epoch of a run is a first one.
        let numbered = epochs.min((planned - 1.0).max(1.0)).max(0.0);
        let beyond = (numbered - body).max(0.0) * self.steady;
        self.cumulated(numbered.min(body)) + beyond + (epochs - numbered).max(0.0) * self.last
    }

    /// How far the first epoch is above a usual one, as a logarithm.
    pub fn warm_up(&self) -> f64 {
        self.first.ln() - self.typical
    }

    /// Number of epochs whose costs can be compared.
    pub fn compared(&self) -> usize {
        self.logs.len()
    }

    /// The usual cost of the first `epochs` epochs without the first one, as a logarithm.
    pub fn typical_of(&self, epochs: usize) -> f64 {
        let from = usize::from(epochs > 1);
        median(self.logs.get(from..epochs.min(self.logs.len())).unwrap_or_default()).unwrap_or(self.typical)
    }

    /// The usual cost of an epoch, as a logarithm.
    pub fn typical(&self) -> f64 {
        self.typical
    }
}

/// The share of the cost that is above the median of the neighbours, in epochs far above it.
fn stalls(entries: &[Entry], core: f64) -> f64 {
    let far = (STALL_SCALES * core.sqrt()).exp();
    let newest = entries.get(entries.len().saturating_sub(MAX_NOISE_EPOCHS)..).unwrap_or_default();
    let total: f64 = newest.iter().map(|one| one.count * one.each).sum();
    let above = newest.iter().enumerate().map(|(n, one)| {
        let from = n.saturating_sub(STALL_NEIGHBOURS / 2).min(newest.len().saturating_sub(STALL_NEIGHBOURS));
        let near: Vec<f64> = newest.iter().skip(from).take(STALL_NEIGHBOURS).map(|one| one.each).collect();
        let usual = median(&near).unwrap_or(one.each);
        if one.each > usual * far { one.count * (one.each - usual) } else { 0.0 }
    });
    if total > 0.0 { above.sum::<f64>() / total } else { 0.0 }
}

/// The number of epochs before the level of the last ones, of the first `body` epochs.
fn present_from(entries: &[Entry], body: f64) -> f64 {
    let mut count = 0.0;
    let inside = entries.iter().take_while(|one| {
        count += one.count;
        count <= body
    });
    let costs: Vec<EpochCost> = inside.map(|one| EpochCost { count: one.count, each: one.each }).collect();
    let start = trend::present(&costs).map_or(0, |(start, _)| start);
    costs.iter().take(start).map(|one| one.count).sum()
}

/// The variance of regular epochs and of all epochs around their shape, from successive differences (von Neumann, Ann.
/// Math. Stat. 12, 1941): a step or a drift does not count.
fn noise(entries: &[Entry], prior: f64) -> (f64, f64) {
    let newest = entries.get(entries.len().saturating_sub(MAX_NOISE_EPOCHS)..).unwrap_or_default();
    let mut steps: Vec<f64> = newest
        .windows(2)
        .filter_map(|pair| match pair {
            [a, b] => Some((b.each / a.each).ln().abs()),
            _ => None,
        })
        .collect();
    steps.sort_by(f64::total_cmp);
    let count = steps.len() as f64;
    let mad = median(&steps).unwrap_or(0.0) * SD_PER_MAD;
    steps.truncate(steps.len().saturating_sub(DIFFERENCES_OF_AN_EVENT));
    let square: f64 = steps.iter().map(|step| step * step / 2.0).sum();
    let with_prior = |sum: f64, count: f64| (PRIOR_EPOCHS * prior * prior + sum) / (PRIOR_EPOCHS + count);
    (with_prior(count * mad * mad / 2.0, count), with_prior(square, steps.len() as f64))
}

/// The lower median; None: there is no value.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}
