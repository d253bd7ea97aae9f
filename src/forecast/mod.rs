//! The first epochs of a run become a forecast of its whole energy and time.
//!
//! In: epochs, the time and energy between them, and progress in the first epoch. Out: the total of the run with an
//! interval. Never: it reads no clock, no device and no file.
//!
//! Epochs that ended keep their values; only the rest is projected. Without earlier runs, each remaining epoch takes
//! the present level and drift of the epochs after the first (`alone.rs`, `trend.rs`), and each gap the usual gap. If
//! the application marks progress, `first_epoch.rs` separates warm-up and steady work, and there is a forecast before
//! the first epoch ends. With earlier runs (`history/`), this run may be like one of them. Then there is a forecast
//! before the first epoch.
//!
//! The remaining cost has a distribution (`mixture.rs`). Its median is the forecast, its quantiles are the interval. A
//! part of its width comes from the scatter of the epochs, another from events that past epochs do not show.

mod alone;
pub mod first_epoch;
mod gaps;
pub mod history;
mod mixture;
pub mod run_progress;
pub mod trend;
pub mod uncertainty;

use crate::attribution::ledger::{EpochSummary, InterEpoch};
use crate::units::Amount;
use alone::First;
use first_epoch::{FirstEpoch, ProgressMark, WarmUpEstimate};
use gaps::usual_gap_s;
use history::{Comparison, History, Seen, Template};
pub use mixture::Support;
use mixture::{Interval, Part};
use trend::EpochCost;

/// The quantity of a forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Energy, J.
    Energy,
    /// Time, s.
    Duration,
}

impl Metric {
    /// Both quantities.
    pub const ALL: [Metric; 2] = [Metric::Energy, Metric::Duration];

    /// The known amount of an epoch; None: it is unknown.
    pub fn of(self, epoch: &EpochSummary) -> Option<f64> {
        match self {
            Metric::Energy => epoch.energy_j,
            Metric::Duration => epoch.duration_s,
        }
    }

    /// The amount of an epoch that is fully known; None: a part of it is unknown.
    fn of_whole(self, epoch: &EpochSummary) -> Option<f64> {
        self.of(epoch).filter(|_| epoch.fully_measured || self == Metric::Duration)
    }

    /// The amount of a part of the first epoch; None: it is unknown.
    fn of_part(self, done: &ProgressMark) -> Option<f64> {
        match self {
            Metric::Energy => done.energy_j,
            Metric::Duration => Some(done.duration_s),
        }
    }

    /// The estimate of this quantity in a forecast; None: it has none.
    pub fn forecast(self, forecast: &Forecast) -> Option<Estimate> {
        match self {
            Metric::Energy => forecast.energy_j,
            Metric::Duration => forecast.duration_s,
        }
    }
}

/// A forecast quantity and its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The part that was used when the forecast was made.
    pub used: f64,
    /// The expected total.
    pub value: f64,
    /// The lower end of the interval, at least `used`.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
}

impl Estimate {
    /// A known amount, without an interval.
    pub fn exactly(used: f64) -> Estimate {
        Estimate { used, value: used, low: used, high: used }
    }

    /// "38 s (35 to 45)", with the digits that the interval warrants; "≈ 8.6 Wh (4.3 to 17)" if it is of an estimated
    /// power. What is known exactly has no interval.
    pub fn amount(self, amount: Amount<'_>, is_estimated: bool) -> String {
        let Estimate { value, low, high, .. } = self;
        if low == high {
            return amount.exact(value);
        }
        let about = if is_estimated { "≈ " } else { "" };
        format!("{about}{}", amount.within(value, low, high))
    }

    /// The estimate times a factor, for another unit.
    pub fn scaled(self, factor: f64) -> Estimate {
        let [used, value, low, high] = [self.used, self.value, self.low, self.high].map(|amount| amount * factor);
        Estimate { used, value, low, high }
    }

    /// The estimate with `more` added to each of its values.
    pub fn and(self, more: f64) -> Estimate {
        let [used, value, low, high] = [self.used, self.value, self.low, self.high].map(|amount| amount + more);
        Estimate { used, value, low, high }
    }

    /// The estimate after more was used. No total is below `used`.
    pub fn after_use(self, used: f64) -> Estimate {
        let used = used.max(self.used);
        Estimate { used, ..self.at_least(used) }
    }

    /// The same estimate, where no total is below `used`.
    fn at_least(self, used: f64) -> Estimate {
        Estimate { value: self.value.max(used), low: self.low.max(used), high: self.high.max(used), ..self }
    }

    /// The part that is still to come.
    pub fn rest(self) -> Estimate {
        let [value, low, high] = [self.value, self.low, self.high].map(|total| total - self.used);
        Estimate { used: 0.0, value, low, high }
    }
}

/// The forecast of the whole run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Ended epochs at that time; 0 inside the first.
    pub after_epochs: u64,
    /// The share of runs whose total should be in the interval, 0 to 1.
    pub level: f64,
    /// Time, s; None: it is unknown.
    pub duration_s: Option<Estimate>,
    /// Energy, J; None: it is unknown.
    pub energy_j: Option<Estimate>,
    /// How much of it rests on earlier runs.
    pub support: Support,
}

/// Least weight of earlier runs by which a forecast rests on them.
const MIN_WEIGHT: f64 = 0.5;

impl Forecast {
    /// Whether the earlier runs have most of the weight. Runs that do not fit have little.
    pub fn rests_on_history(&self) -> bool {
        self.support.weight >= MIN_WEIGHT
    }

    /// The forecast after more was used: `duration_s` and `energy_j`.
    pub fn after_use(self, duration_s: f64, energy_j: Option<f64>) -> Forecast {
        self.raised(Estimate::after_use, duration_s, energy_j)
    }

    /// The same forecast, where no total is below this time and energy.
    pub fn at_least(self, duration_s: f64, energy_j: Option<f64>) -> Forecast {
        self.raised(Estimate::at_least, duration_s, energy_j)
    }

    fn raised(self, raise: fn(Estimate, f64) -> Estimate, duration_s: f64, energy_j: Option<f64>) -> Forecast {
        let energy = |e: Estimate| energy_j.map_or(e, |joules| raise(e, joules));
        let duration_s = self.duration_s.map(|e| raise(e, duration_s));
        Forecast { duration_s, energy_j: self.energy_j.map(energy), ..self }
    }
}

/// Newest epochs that a forecast uses, besides the first. Older ones add little, and each end of an epoch makes a
/// forecast.
const MAX_EPOCHS: usize = 64;
/// Largest excess of the first epoch over the steady work of its marks, as a share. With more, its warm-up is unknown.
const MAX_UNMARKED_SHARE: f64 = 0.2;
/// The gap of earlier runs counts like this number of gaps.
const KNOWN_GAPS: f64 = 8.0;
/// Before the first epoch, the ends of the 90 % interval differ by this factor at most. Otherwise the earlier runs are
/// too different for a forecast.
const MAX_RATIO: f64 = 4.0;

/// Forecasts a run of `planned` epochs from the ended ones, the time and energy between them, progress in the first,
/// and earlier runs. None: the number of epochs is unknown, or there is not enough data.
pub fn forecast(
    planned: u64,
    level: f64,
    epochs: impl Iterator<Item = EpochSummary>,
    between: InterEpoch,
    first_epoch: &FirstEpoch,
    history: &History,
) -> Option<Forecast> {
    let epochs: Vec<EpochSummary> = epochs.collect();
    let done: u64 = epochs.iter().map(|epoch| epoch.count).sum();
    if planned == 0 {
        return None;
    }
    // A run that is one whole is like earlier ones that were measured by their progress.
    let wholes = (planned == 1 && history.has_only_work()).then(|| history.of_work(None));
    let history = wholes.as_ref().unwrap_or(history);
    let run = RunSoFar { done, planned, level, epochs: &epochs, between, first_epoch, history };
    let (duration, energy) = (run.sight(Metric::Duration), run.sight(Metric::Energy));
    let (duration, energy) = (run.total(&duration, &energy), run.total(&energy, &duration));
    let (_, support) = duration.or(energy)?;
    let [duration_s, energy_j] = [duration, energy].map(|made| made.map(|(estimate, _)| estimate));
    Some(Forecast { after_epochs: done, level, duration_s, energy_j, support })
}

/// The run so far.
struct RunSoFar<'a> {
    done: u64,
    planned: u64,
    level: f64,
    epochs: &'a [EpochSummary],
    between: InterEpoch,
    first_epoch: &'a FirstEpoch,
    history: &'a History,
}

/// What is known of one quantity of the run.
struct Sight<'a> {
    metric: Metric,
    /// Number of epochs that the forecast is of.
    left: f64,
    /// The epochs that can be compared with earlier runs, and the index of the first of each.
    compared: Vec<(f64, EpochCost)>,
    first: Option<First>,
    /// The distribution of the remaining cost without earlier runs.
    alone: Option<Part>,
    templates: Vec<Template<'a>>,
    /// The comparison with earlier runs; None: there are none.
    comparison: Option<Comparison>,
}

impl RunSoFar<'_> {
    /// The run's total, and how much of it rests on earlier runs; None: the amount of an epoch is unknown.
    fn total(&self, own: &Sight, other: &Sight) -> Option<(Estimate, Support)> {
        let metric = own.metric;
        if self.done == 0
            && let Some(inside) = self.total_inside_first(metric)
        {
            return Some(inside);
        }
        let inside: f64 = self.epochs.iter().filter_map(|epoch| metric.of(epoch)).sum();
        let used = inside + self.between(metric).unwrap_or(0.0);
        if own.left == 0.0 {
            return Some((Estimate::exactly(used), Support::default()));
        }
        let (rest, support) = self.rest(own, other)?;
        let gaps_left = self.planned.saturating_sub(self.done.max(1)) as f64;
        let start = if self.has_begun() { None } else { self.history.usual_start(metric) };
        let between = gaps_left * self.usual_gap(metric, support) + start.unwrap_or(0.0);
        let mut total = ends(used, rest, between);
        if self.done == 2 && support.weight < MIN_WEIGHT {
            // The only gap may be part of the warm-up.
            total.low = total.low.min(used + rest.low);
        }
        Some((total, support))
    }

    /// Whether the first epoch is known to have begun, so that no start-up is still to come.
    fn has_begun(&self) -> bool {
        self.done > 0 || self.between.duration_s > 0.0
    }

    /// The distribution of the cost of the remaining epochs: its median and ends.
    fn rest(&self, own: &Sight, other: &Sight) -> Option<(Interval, Support)> {
        let Sight { metric, templates, .. } = own;
        let Some(comparison) = &own.comparison else {
            return Some((mixture::interval(&[own.alone?], self.level)?, Support::default()));
        };
        let twin = other.comparison.as_ref().filter(|_| own.compared.len() == other.compared.len());
        let parts = comparison.parts(twin);
        let fits = |ends: &Interval| self.done > 0 || ends.width() < MAX_RATIO.ln();
        mixture::interval(&parts, 0.9).filter(fits)?;
        let interval = mixture::interval(&parts, self.level)?;
        let interval = history::calibrated(interval, self.level, self.history, *metric, templates, &self.seen(own));
        Some((interval, Support::of(&parts)))
    }

    /// The epochs as the history sees them.
    fn seen<'b>(&self, sight: &'b Sight) -> Seen<'b> {
        let (done, planned) = (self.done as f64, self.planned as f64);
        let first = sight.first.filter(|first| first.cost.each > 0.0);
        Seen { first, entries: &sight.compared, done, planned, left: sight.left }
    }

    /// What is known of this quantity.
    fn sight(&self, metric: Metric) -> Sight<'_> {
        let known: u64 = self.epochs.iter().filter(|epoch| metric.of(epoch).is_some()).map(|epoch| epoch.count).sum();
        // An epoch of unknown amount counts like a remaining one: its amount was used too.
        let left = self.planned.saturating_sub(self.done) as f64 + (self.done - known) as f64;
        let entries = self.entries(metric);
        let first = self.first(metric, &entries);
        let later: Vec<EpochCost> = entries.iter().skip(usize::from(first.is_some())).map(|(_, cost)| *cost).collect();
        let alone = alone::rest(first, &later, left);
        let templates = history::templates(self.history, metric, self.planned as f64);
        let compared = entries.into_iter().filter(|(_, cost)| cost.each > 0.0).collect();
        let mut sight = Sight { metric, left, compared, first, alone, templates, comparison: None };
        if left > 0.0 && !sight.templates.is_empty() {
            let tuning = self.history.tuning();
            sight.comparison = Some(Comparison::of(&sight.templates, &self.seen(&sight), &tuning, alone));
        }
        sight
    }

    /// The amount between epochs; None: it is unknown.
    fn between(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Energy => self.between.energy_j,
            Metric::Duration => Some(self.between.duration_s),
        }
    }

    /// The run's total while the first epoch is open.
    fn total_inside_first(&self, metric: Metric) -> Option<(Estimate, Support)> {
        let WarmUpEstimate { share, used, steady, agreement } =
            self.first_epoch.beginning(|done| metric.of_part(done))?;
        let left = self.planned as f64 - share;
        let used = used + self.between(metric).unwrap_or(0.0); // epochs that were cancelled
        if left <= 0.0 {
            return Some((Estimate::exactly(used), Support::default()));
        }
        let scales = self.first_epoch.inside(share, agreement, left);
        let rest = Part::new(steady * left, scales.down, scales.up);
        let planned = self.planned as f64;
        let parts = history::inside(&history::templates(self.history, metric, planned), rest, steady, share, planned);
        let support = Support::of(&parts);
        let gaps = (planned - 1.0) * self.history.usual_gap(metric).unwrap_or(0.0) * support.weight;
        Some((ends(used, mixture::interval(&parts, self.level)?, gaps), support))
    }

    /// The first epoch, less its known warm-up; None: it is unknown, or too long ago.
    fn first(&self, metric: Metric, entries: &[(f64, EpochCost)]) -> Option<First> {
        let (_, cost) = *entries.first().filter(|(from, _)| *from == 0.0)?;
        let seconds = self.epochs.first().and_then(|epoch| Some(epoch.duration_s? / epoch.count as f64));
        let warm_up = self.warm_up(metric).filter(|known| known.changed());
        let each = warm_up.map_or(cost.each, |known| (cost.each - known.excess() / cost.count).max(0.0));
        // Work after the last mark may be an evaluation or a single task: then the warm-up stays unknown.
        let is_warm = warm_up.is_some_and(|known| each <= (1.0 + MAX_UNMARKED_SHARE) * known.steady);
        Some(First { cost: EpochCost { each, ..cost }, warm_up: cost.each - each, seconds, is_warm })
    }

    /// The epochs with a fully known amount, and the index of the first of each: the first one, and the newest.
    fn entries(&self, metric: Metric) -> Vec<(f64, EpochCost)> {
        let mut index = 0.0;
        let all = self.epochs.iter().map(|epoch| {
            let (from, count) = (index, epoch.count as f64);
            index += count;
            (from, metric.of_whole(epoch).map(|amount| EpochCost { count, each: amount / count }))
        });
        let mut known: Vec<(f64, EpochCost)> = all.filter_map(|(from, cost)| Some((from, cost?))).collect();
        let newest = known.len().saturating_sub(MAX_EPOCHS).max(1);
        known.drain(1.min(known.len())..newest.min(known.len()));
        known
    }

    /// The beginning of the first epoch, if its marks show a steady rate at its end.
    fn warm_up(&self, metric: Metric) -> Option<WarmUpEstimate> {
        self.first_epoch.steady(|done| metric.of_part(done))
    }

    /// The usual amount of the gap after an epoch. As far as the forecast rests on earlier runs, their gap counts like
    /// [`KNOWN_GAPS`] of this run: the first gap may be part of the warm-up.
    fn usual_gap(&self, metric: Metric, support: Support) -> f64 {
        let gaps_s = self.between.duration_s;
        let per_second = self.between(metric).filter(|_| gaps_s > 0.0).map_or(0.0, |amount| amount / gaps_s);
        let own = usual_gap_s(self.epochs) * per_second;
        let Some(earlier) = self.history.usual_gap(metric) else { return own };
        let seen = self.done.saturating_sub(1) as f64;
        let known = KNOWN_GAPS * if seen > 0.0 { support.weight } else { 1.0 };
        (known * earlier + seen * own) / (known + seen)
    }
}

/// The estimate of a total: `used`, the rest of the epochs, and the gaps, which are as uncertain as the rest.
fn ends(used: f64, rest: Interval, gaps: f64) -> Estimate {
    let part = |end: f64| if rest.middle > 0.0 { end / rest.middle } else { 1.0 };
    let [value, low, high] = [rest.middle, rest.low, rest.high].map(|end| used + end + gaps * part(end));
    Estimate { used, value, low, high }
}

/// Quantile of Student's t: the distance on either side that holds `level`, in scales.
pub fn quantile(level: f64) -> f64 {
    mixture::t_quantile(0.5 + level / 2.0)
}

#[cfg(test)]
mod tests;
