//! A run that is measured by its progress, such as simulated time or tokens, becomes a forecast. Pure.
//!
//! The work so far is cut into slices of equal work. Their costs are treated like those of epochs: the first slice may
//! be a warm-up, a step in the pace is adopted, and drift is continued for as long as it was seen (`trend.rs`). What
//! remains is the work up to the total as it is known now.
//!
//! The interval is rest × exp(±q × uncertainty), with Student's t as for epochs. The uncertainty has three parts, added
//! as squares.
//!
//! - The error of the mean: the scatter of the recent slices.
//! - Wander: if the means of neighbouring blocks of slices differ by w, a random walk of the pace gives the mean of the
//!   next h blocks the error w √(h/2), because the walk over a block is √(3/2) times that difference. Three differences
//!   are few, so √(h/0.7) is used. It holds as often as stated in simulated walks. Progress in few steps shows no
//!   blocks. Then n slices add the error 0.2/n, and a part of the drift from the first of them to the last.
//! - The model's uncertainty: events that the work so far does not show. It is large at the start of a run.

use super::alone::fading;
use super::first_epoch::FirstEpoch;
use super::history::History;
use super::trend::{self, EpochCost, Trend};
use super::{Estimate, Forecast, Metric, Support, quantile};
use crate::attribution::ledger::InterEpoch;
use crate::clock::MonoNs;

/// Most slices of equal work. There are as many as the progress shows.
const SLICES: usize = 16;
/// Least number of slices for a forecast: the first may be a warm-up.
const MIN_SLICES: usize = 2;
/// Blocks of slices whose means show the wander of the pace.
const BLOCKS: usize = 4;
/// Least share of the work for a forecast.
const MIN_SHARE: f64 = 0.01;
/// Least share of the work for a message.
const MIN_MESSAGE_SHARE: f64 = 0.05;
/// Share of the work at which the extra uncertainty of the start has fallen to 1/e.
const START_SHARE: f64 = 0.05;
/// The model's uncertainty downwards and upwards, as shares of the rest.
const MODEL: [f64; 2] = [0.02, 0.08];
/// The extra uncertainty at the very start.
const START: [f64; 2] = [0.33, 0.22];
/// The mean of three squared steps of a random walk over their median. The median leaves a single step out, which the
/// trend adopts.
const MEAN_OVER_MEDIAN: f64 = 1.6;
/// The variance of the mean of the next blocks is the mean square of a step times their number, divided by this.
const HORIZON_PART: f64 = 0.7;
/// Longest horizon of a random walk, in blocks.
const MAX_HORIZON: f64 = 40.0;
/// Least length of a block, in slices. Shorter ones do not show whether the pace scatters or wanders.
const MIN_BLOCK: usize = 2;
/// The error of the pace that one slice shows, as a share. That of several is smaller by their number.
const FEW: f64 = 0.2;
/// The part of the drift over few slices that may go on.
const DRIFT_PART: f64 = 0.45;
/// Least gap between stored points, as a share of the time so far. Memory grows with the logarithm of that time.
const MIN_GAP_SHARE: f64 = 1.0 / 64.0;
/// A forecast of time waits for the energy of its newest point for this time, ns. Later energy is added to the point.
const ENERGY_WAIT_NS: u64 = 250_000_000;

/// The progress of a run as the application reports it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorkMark {
    /// Its instant.
    pub at: MonoNs,
    /// Work done, in the application's unit; finite, 0 or more.
    pub done: f64,
    /// The work of the whole run, as it is known now; above 0.
    pub total: f64,
}

/// What the run had used at one point of its work.
#[derive(Clone, Copy, Debug, PartialEq)]
struct WorkPoint {
    at: MonoNs,
    done: f64,
    duration_s: f64,
    /// Whether the energy up to this point has arrived.
    is_complete: bool,
    /// Energy, J; None: unknown.
    energy_j: Option<f64>,
}

impl WorkPoint {
    fn of(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Duration => Some(self.duration_s),
            Metric::Energy => self.energy_j,
        }
    }
}

/// The use of a run at an instant.
#[derive(Clone, Copy, Debug)]
pub struct UseAt {
    /// Time since the begin of the run, s.
    pub duration_s: f64,
    /// Energy since then, J; None: unknown.
    pub energy_j: Option<f64>,
}

/// The progress of a run so far.
#[derive(Clone, Debug, Default)]
pub struct RunProgress {
    points: Vec<WorkPoint>,
    /// A mark that waits for its energy.
    pending: Option<WorkMark>,
    /// The newest mark after `pending`.
    next: Option<WorkMark>,
    /// The newest mark; None: the application has reported no progress.
    newest: Option<WorkMark>,
}

impl RunProgress {
    /// Takes a mark. Without more work done than before, only the total is taken. Returns whether a point will be
    /// stored.
    pub fn note(&mut self, mark: WorkMark) -> bool {
        let is_more = self.newest.is_none_or(|newest| mark.done > newest.done);
        let before = self.newest.unwrap_or(mark);
        let at = if is_more { mark.at.max(before.at) } else { before.at };
        let newest = WorkMark { at, done: before.done.max(mark.done), total: mark.total };
        self.newest = Some(newest);
        if is_more {
            let slot = if self.pending.is_none() { &mut self.pending } else { &mut self.next };
            *slot = Some(newest);
        }
        is_more
    }

    /// Stores marks whose energy is known, or that have waited too long, and energy that came later. `used` returns the
    /// run's use at an instant.
    pub fn settle(&mut self, known_until: MonoNs, now: MonoNs, used: impl Fn(MonoNs) -> UseAt) {
        let late = self.points.iter_mut().rev().take_while(|point| !point.is_complete);
        for point in late.filter(|point| point.at <= known_until) {
            (point.is_complete, point.energy_j) = (true, used(point.at).energy_j);
        }
        while let Some(WorkMark { at, done, .. }) = self.pending {
            let is_complete = at <= known_until;
            if !is_complete && now.ns_since(at) < ENERGY_WAIT_NS {
                return;
            }
            self.pending = self.next.take();
            let UseAt { duration_s, energy_j } = used(at);
            let begin_s = self.points.first().map_or(duration_s, |first| first.duration_s);
            if let [.., previous, _] = self.points.as_slice() {
                if duration_s - previous.duration_s < MIN_GAP_SHARE * (duration_s - begin_s) {
                    self.points.pop();
                }
            }
            self.points.push(WorkPoint {
                at,
                done,
                duration_s,
                is_complete,
                energy_j: energy_j.filter(|_| is_complete),
            });
        }
    }

    /// Whether the application has reported progress.
    pub fn is_used(&self) -> bool {
        self.newest.is_some()
    }

    /// Instant of the mark that waits for its energy; None: no mark waits.
    pub fn awaits(&self) -> Option<MonoNs> {
        self.pending.map(|pending| pending.at)
    }

    /// Instant up to which the energy of the stored points has arrived; None: of none.
    pub fn complete_until(&self) -> Option<MonoNs> {
        self.points.iter().rev().find(|point| point.is_complete).map(|point| point.at)
    }

    /// Work done and total work at the newest mark; None: there is none.
    pub fn work(&self) -> Option<(f64, f64)> {
        self.newest.map(|newest| (newest.done, newest.total.max(newest.done)))
    }

    /// The share of the work that is done at the newest stored point, 0 to 1; None: there is none.
    pub fn share(&self) -> Option<f64> {
        Some((self.points.last()?.done / self.total()).clamp(0.0, 1.0)).filter(|share| share.is_finite())
    }

    /// The share of the work that this process has to do, and has done between these points, 0 to 1.
    fn seen(&self, first: f64, last: f64) -> f64 {
        let share = (last - first) / (self.total() - first);
        if share.is_finite() { share } else { 0.0 }
    }

    /// Whether enough work is done for a forecast message.
    pub fn is_grounded(&self) -> bool {
        let ends = self.points.first().zip(self.points.last());
        ends.is_some_and(|(first, last)| self.seen(first.done, last.done) >= MIN_MESSAGE_SHARE)
    }

    /// The total of the newest mark; at least the work done.
    fn total(&self) -> f64 {
        self.newest.map_or(f64::NAN, |newest| newest.total.max(newest.done))
    }

    /// The forecast of the whole run; None: too little work is done. `pieces` is the number of ended epochs or pieces.
    pub fn forecast(&self, level: f64, pieces: u64) -> Option<Forecast> {
        let [duration_s, energy_j] = [Metric::Duration, Metric::Energy].map(|metric| self.total_of(metric, level));
        (duration_s.is_some() || energy_j.is_some()).then_some(Forecast {
            after_epochs: pieces,
            level,
            duration_s,
            energy_j,
            support: Support::default(),
        })
    }

    /// The same with earlier runs that were measured by their progress. They count before there is enough work, and as
    /// long as the pace so far does not contradict them and shows less than they do.
    pub fn forecast_with(&self, level: f64, pieces: u64, history: &History) -> Option<Forecast> {
        let own = self.forecast(level, pieces);
        let share = self.share().unwrap_or(0.0);
        if !history.has_work() || share >= 1.0 {
            return own;
        }
        let known = history.of_work(self.newest.map(|newest| newest.total.max(newest.done)));
        let (none, nothing) = (std::iter::empty(), InterEpoch::default());
        let Some(earlier) = super::forecast(1, level, none, nothing, &FirstEpoch::default(), &known) else {
            return own;
        };
        let counts = |own: Estimate, earlier: Estimate| {
            (own.low..=own.high).contains(&earlier.value) && earlier.high - earlier.low < own.high - own.low
        };
        let both = |metric: Metric| own.and_then(|own| metric.forecast(&own)).zip(metric.forecast(&earlier));
        if !Metric::ALL.into_iter().all(|metric| both(metric).is_none_or(|(own, earlier)| counts(own, earlier))) {
            return own;
        }
        let used = self.points.last().map_or((0.0, None), |last| (last.duration_s, last.energy_j));
        Some(Forecast { after_epochs: pieces, ..earlier.after_use(used.0, used.1) })
    }

    /// The run's total of a quantity; None: too little work is done, or the quantity is unknown. It is made from the
    /// newest point at which the quantity is known.
    fn total_of(&self, metric: Metric, level: f64) -> Option<Estimate> {
        let known = self.points.iter().filter_map(|point| Some((point.done, point.of(metric)?)));
        let points: Vec<(f64, f64)> = known.collect();
        let (first, (done, used)) = (points.first()?.0, *points.last()?);
        if done >= self.total() {
            return Some(Estimate::exactly(used));
        }
        let (costs, work) = slices(&points)?;
        let (left, seen) = ((self.total() - done) / work, self.seen(first, done));
        let (warm_up, later) = costs.split_first().filter(|_| left.is_finite() && seen >= MIN_SHARE)?;
        let (start, _) = trend::present(later)?;
        let present = later.get(start..)?;
        let trend = Trend::of(present)?;
        let rest = trend.of_next(left).max(0.0);
        let mean = trend.spread * trend.spread * (1.0 / trend.epochs + 1.0 / left.max(1.0));
        let known =
            mean + if later.len() < MIN_BLOCK * BLOCKS { few(warm_up, later, left) } else { wander(later, left) };
        let early = (-seen / START_SHARE).exp();
        let [down, up] = [0, 1].map(|end| {
            let model = MODEL.get(end).zip(START.get(end)).map_or(0.0, |(model, start)| model + start * early);
            quantile(level) * (known + (model * fading(left)).powi(2)).sqrt()
        });
        let (low, high) = (rest * (-down).exp(), rest * up.exp());
        let estimate = Estimate { used, value: used + rest, low: used + low, high: used + high };
        [estimate.value, estimate.high].iter().all(|end| end.is_finite()).then_some(estimate)
    }
}

/// The costs of slices of equal work, oldest first, and the work of each; None: there are too few points.
fn slices(points: &[(f64, f64)]) -> Option<(Vec<EpochCost>, f64)> {
    let (first, last) = points.first().zip(points.last())?;
    let count = SLICES.min(points.len() - 1);
    let work = (last.0 - first.0) / count as f64;
    if count < MIN_SLICES || work <= 0.0 {
        return None;
    }
    let mut before = first.1;
    let cost = |n: usize| {
        let until = at(points, if n == count { last.0 } else { first.0 + work * n as f64 });
        EpochCost { count: 1.0, each: (until - std::mem::replace(&mut before, until)).max(0.0) }
    };
    Some(((1..=count).map(cost).collect(), work))
}

/// What was used when this much work was done, evenly between points.
fn at(points: &[(f64, f64)], done: f64) -> f64 {
    let after = points.partition_point(|point| point.0 < done).min(points.len().saturating_sub(1));
    let (Some(from), Some(to)) = (points.get(after.saturating_sub(1)), points.get(after)) else { return 0.0 };
    if to.0 <= from.0 { to.1 } else { from.1 + (to.1 - from.1) * ((done - from.0) / (to.0 - from.0)).clamp(0.0, 1.0) }
}

/// The variance of the mean of the next slices if only a few are seen after the first, as a square of shares.
fn few(first: &EpochCost, later: &[EpochCost], left: f64) -> f64 {
    let count = later.len() as f64;
    let mean = later.iter().map(|one| one.each).sum::<f64>() / count;
    let (Some(from), Some(to)) = (later.first(), later.last()) else { return 0.0 };
    let drift = match later {
        // A second slice that costs more than the first shows no warm-up. Later ones may be like either.
        [one] if one.each > first.each => (one.each / first.each).ln() / 2.0,
        [_] => 0.0,
        _ if mean > 0.0 => DRIFT_PART * (to.each - from.each) / (count - 1.0) * (left + count) / 2.0 / mean,
        _ => 0.0,
    };
    (FEW / count).powi(2) + drift * drift
}

/// The variance of the mean of the next slices that the wander of the pace adds, as a square of shares.
fn wander(costs: &[EpochCost], left: f64) -> f64 {
    let length = costs.len() / BLOCKS;
    let slices: Vec<f64> = costs.iter().map(|one| one.each).collect();
    let mean = |block: &[f64]| block.iter().sum::<f64>() / block.len() as f64;
    let blocks: Vec<f64> = slices.rchunks(length.max(1)).take(BLOCKS).map(mean).collect();
    let level = blocks.iter().sum::<f64>() / blocks.len().max(1) as f64;
    if level <= 0.0 {
        return 0.0;
    }
    let squares = |all: &[f64]| -> Vec<f64> {
        all.iter().zip(all.iter().skip(1)).map(|(one, next)| ((one - next) / level).powi(2)).collect()
    };
    // Slices that scatter around one pace differ by √2 scatters, and the means of their blocks by √(2/length).
    let of_slices = squares(&slices);
    let by_scatter = of_slices.iter().sum::<f64>() / of_slices.len() as f64 / length as f64;
    let mut of_blocks = squares(&blocks);
    of_blocks.sort_by(f64::total_cmp);
    let median = of_blocks.get(of_blocks.len() / 2).copied().unwrap_or(0.0);
    let step = (MEAN_OVER_MEDIAN * median - by_scatter).max(0.0);
    step * (left / length as f64).min(MAX_HORIZON) / HORIZON_PART
}

#[cfg(test)]
mod tests;
