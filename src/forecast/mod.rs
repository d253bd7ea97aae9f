//! The first epochs of a run become a forecast of its whole energy and time.
//!
//! In: epochs, the time and energy between them, and progress in the first epoch. Out: the total of the run with an
//! interval. Never: it reads no clock, no device and no file.
//!
//! Epochs that ended keep their values; only the rest is projected. Each remaining epoch takes the present level and
//! drift of the epochs (`trend.rs`), and each gap the usual gap. The weight of the first epoch depends on its agreement
//! with the others, so a warm-up counts once. If the application marks progress, `first_epoch.rs` separates warm-up and
//! steady work, and there is a forecast before the first epoch ends.
//!
//! The interval is rest × exp(±q × uncertainty). The uncertainty has two parts, added as squares.
//!
//! - The error of the mean: for epochs of spread s (a share of the level), the mean of r future epochs differs from the
//!   mean of m past epochs by √(s²/m + s²/r).
//! - The model's uncertainty: events that past epochs do not show, such as a late evaluation, a full disk or a shared
//!   node. Such events lengthen a run more often than they shorten it, so the shares up and down differ. This part
//!   fades as the rest gets small.
//!
//! q is the quantile of Student's t with 3 degrees of freedom. The tail and the model's uncertainty are chosen so that
//! the interval of level 0.9 holds 90 % of recorded runs. At level 0.5 it holds 58 to 70 % of them, at 0.99 it holds
//! 97 to 99 %.

pub mod first_epoch;
pub mod run_progress;
pub mod trend;
pub mod uncertainty;

use crate::attribution::ledger::{EpochSummary, InterEpoch};
use crate::units::Amount;
use first_epoch::{FirstEpoch, ProgressMark, WarmUpEstimate};
use statrs::distribution::{ContinuousCDF, StudentsT};
use trend::{EpochCost, Trend};

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

    /// "value (low to high)", each written by `show`.
    pub fn shown(self, show: fn(f64) -> String) -> String {
        format!("{} ({} to {})", show(self.value), show(self.low), show(self.high))
    }

    /// "value (low to high)"; "about value (low to high)" with fewer digits if the amount is estimated.
    pub fn amount(self, amount: Amount, is_estimated: bool) -> String {
        let Estimate { value, low, high, .. } = self;
        if is_estimated {
            return format!("about {} ({})", amount.end(value, low, high), amount.between(low, high));
        }
        let [value, low, high] = [value, low, high].map(|one| amount.exact(one));
        format!("{value} ({low} to {high})")
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
        Estimate { used, value: self.value.max(used), low: self.low.max(used), high: self.high.max(used) }
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
}

impl Forecast {
    /// The forecast after more was used: `duration_s` and `energy_j`.
    pub fn after_use(self, duration_s: f64, energy_j: Option<f64>) -> Forecast {
        let energy = |e: Estimate| energy_j.map_or(e, |joules| e.after_use(joules));
        Forecast {
            duration_s: self.duration_s.map(|e| e.after_use(duration_s)),
            energy_j: self.energy_j.map(energy),
            ..self
        }
    }
}

/// The error of the mean of the remaining epochs that past epochs do not show, as shares of that mean.
#[derive(Clone, Copy)]
struct ModelUncertainty {
    down: f64,
    up: f64,
}

/// The model's uncertainty after two epochs, or after one with a known warm-up.
const AFTER_WARM_UP: ModelUncertainty = ModelUncertainty { down: 0.02, up: 0.08 };
/// The model's uncertainty after one epoch, which may be mostly warm-up.
const AFTER_ONE: ModelUncertainty = ModelUncertainty { down: 0.35, up: 0.12 };
/// Factor on `AFTER_ONE` at the start of the first epoch: at level 0.9 the total may be a tenth of the value.
const START_FACTOR: f64 = 3.0;
/// Largest excess of the first epoch over the steady work of its marks, as a share. With more, its warm-up is unknown.
const MAX_UNMARKED_SHARE: f64 = 0.2;
/// Number of remaining epochs at which the model's uncertainty has half of its square.
const HALF_EPOCHS: f64 = 3.0;
/// Degrees of freedom of Student's t.
const T_FREEDOM: f64 = 3.0;
/// Newest epochs that the trend uses. Older ones add little, and each end of an epoch makes a forecast.
const MAX_TREND_EPOCHS: usize = 128;

/// Forecasts a run of `planned` epochs from the ended ones, the time and energy between them, and progress in the
/// first. None: the number of epochs is unknown, or there is not enough data.
pub fn forecast(
    planned: u64,
    level: f64,
    epochs: impl Iterator<Item = EpochSummary>,
    between: InterEpoch,
    first_epoch: &FirstEpoch,
) -> Option<Forecast> {
    let epochs: Vec<EpochSummary> = epochs.collect();
    let done: u64 = epochs.iter().map(|epoch| epoch.count).sum();
    if planned == 0 {
        return None;
    }
    let run = RunSoFar { done, planned, quantile: quantile(level), epochs: &epochs, between, first_epoch };
    let (duration_s, energy_j) = (run.total(Metric::Duration), run.total(Metric::Energy));
    (duration_s.is_some() || energy_j.is_some()).then_some(Forecast { after_epochs: done, level, duration_s, energy_j })
}

/// The run so far.
struct RunSoFar<'a> {
    done: u64,
    planned: u64,
    quantile: f64,
    epochs: &'a [EpochSummary],
    between: InterEpoch,
    first_epoch: &'a FirstEpoch,
}

impl RunSoFar<'_> {
    /// The run's total; None: the amount of an epoch is unknown.
    fn total(&self, metric: Metric) -> Option<Estimate> {
        if self.done == 0 {
            return self.total_inside_first(metric);
        }
        let known = self.epochs.iter().filter_map(|epoch| Some((epoch.count, metric.of(epoch)?)));
        let (count, inside) = known.fold((0, 0.0), |(count, sum), (more, amount)| (count + more, sum + amount));
        let between = self.between(metric);
        let used = inside + between.unwrap_or(0.0);
        let gaps_left = self.planned.saturating_sub(self.done) as f64;
        // An epoch of unknown amount counts like a remaining one: its amount was used too.
        let left = gaps_left + (self.done - count) as f64;
        if count > 0 && left == 0.0 {
            return Some(Estimate::exactly(used));
        }
        let (trend, model) = self.trend(metric)?;
        let gaps_s = self.between.duration_s;
        let per_second = between.filter(|_| gaps_s > 0.0).map_or(0.0, |amount| amount / gaps_s);
        let rest = trend.of_next(left) + gaps_left * self.usual_gap_s() * per_second;
        Some(self.interval(used, rest, left, trend, model))
    }

    /// The amount between epochs; None: it is unknown.
    fn between(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Energy => self.between.energy_j,
            Metric::Duration => Some(self.between.duration_s),
        }
    }

    /// The run's total while the first epoch is open.
    fn total_inside_first(&self, metric: Metric) -> Option<Estimate> {
        let WarmUpEstimate { share, used, steady, agreement } =
            self.first_epoch.beginning(|done| metric.of_part(done))?;
        let trend = Trend { level: steady, drift: 0.0, spread: trend::PRIOR_SPREAD, epochs: share };
        // If all parts had one rate, that may be the rate of the warm-up.
        let start = START_FACTOR * (1.0 - share) * (agreement + (1.0 - agreement) * (1.0 - share));
        let blend = |after_one: f64, steady: f64| start * after_one + share * steady;
        let model = ModelUncertainty {
            down: blend(AFTER_ONE.down, AFTER_WARM_UP.down),
            up: blend(AFTER_ONE.up, AFTER_WARM_UP.up),
        };
        let left = self.planned as f64 - share;
        let used = used + self.between(metric).unwrap_or(0.0); // epochs that were cancelled
        Some(self.interval(used, trend.of_next(left), left, trend, model))
    }

    /// The trend of the epochs, and the model's uncertainty of the rest.
    fn trend(&self, metric: Metric) -> Option<(Trend, ModelUncertainty)> {
        let (first, later) = self.costs(metric)?;
        let Some((start, typical)) = trend::present(&later) else {
            // Work after the last mark may be an evaluation or a single task: then the warm-up stays unknown.
            let first = first?;
            let is_steady =
                self.steady(metric).is_some_and(|known| first.each <= (1.0 + MAX_UNMARKED_SHARE) * known.steady);
            return Some((Trend::of(&[first])?, if is_steady { AFTER_WARM_UP } else { AFTER_ONE }));
        };
        let mut present: Vec<EpochCost> = later.iter().skip(start).copied().collect();
        let mut model = AFTER_WARM_UP;
        if let Some(first) = first.filter(|_| start == 0) {
            let agreement = self.agreement(metric, first, &later, typical);
            present.insert(0, EpochCost { count: first.count * agreement, ..first });
            if later.len() == 1 && first.each < typical {
                // No warm-up: the second may have been a stall, and later epochs may be like the first.
                model.down = model.down.max((typical / first.each).ln() / 2.0);
            }
        }
        Some((Trend::of(&present)?, model))
    }

    /// The warm-up of the first epoch, if its marks show it.
    fn steady(&self, metric: Metric) -> Option<WarmUpEstimate> {
        self.first_epoch.steady(|done| metric.of_part(done))
    }

    /// The epochs with a fully known amount: the first, less its known warm-up, and the newest of the later ones.
    fn costs(&self, metric: Metric) -> Option<(Option<EpochCost>, Vec<EpochCost>)> {
        let taken = |epoch: &EpochSummary| {
            let count = epoch.count as f64;
            Some(EpochCost { count, each: metric.of_whole(epoch)? / count })
        };
        let (first, later) = self.epochs.split_first()?;
        let without_warm_up = |first: EpochCost| {
            let warm_up = self.steady(metric).map_or(0.0, |beginning| beginning.excess());
            EpochCost { each: (first.each - warm_up / first.count).max(0.0), ..first }
        };
        let mut newest: Vec<EpochCost> = later.iter().rev().filter_map(taken).take(MAX_TREND_EPOCHS).collect();
        newest.reverse();
        let first = taken(first).filter(|_| newest.len() < MAX_TREND_EPOCHS).map(without_warm_up);
        Some((first, newest))
    }

    /// The weight of the first epoch beside the others, 0 to 1. If its time agrees with theirs, it was no warm-up, even
    /// if its energy differs from that of a single other epoch: either of the two may be the outlier.
    fn agreement(&self, metric: Metric, first: EpochCost, later: &[EpochCost], typical: f64) -> f64 {
        let agreement = trend::agreement(first.each, typical);
        if metric == Metric::Duration || trend::is_outlier(first, later) {
            return agreement;
        }
        let in_time = || {
            let (first, later) = self.costs(Metric::Duration)?;
            Some(trend::agreement(first?.each, trend::present(&later)?.1))
        };
        agreement.max(in_time().unwrap_or(0.0))
    }

    /// Usual time between two epochs, s: the mean of the gaps. A single longest gap counts as the second longest. If
    /// there is only one gap, it counts as an epoch at most.
    fn usual_gap_s(&self) -> f64 {
        let gap = |(n, epoch): (usize, &EpochSummary)| {
            let count = if n == 0 { epoch.count - 1 } else { epoch.count } as f64;
            (count > 0.0).then(|| EpochCost { count, each: epoch.gap_s / count })
        };
        let gaps = || self.epochs.iter().enumerate().filter_map(gap);
        let epoch_s = self.epochs.first().and_then(|epoch| epoch.duration_s).unwrap_or(0.0);
        let count: f64 = gaps().map(|gap| gap.count).sum();
        let (_, second) = gaps().fold((0.0_f64, 0.0_f64), |(longest, second), gap| {
            let alike = if gap.count > 1.0 { gap.each } else { longest.min(gap.each) };
            (longest.max(gap.each), second.max(alike))
        });
        let most = if count > 1.0 { second } else { epoch_s };
        let sum: f64 = gaps().map(|gap| gap.count * gap.each.min(most)).sum();
        if count > 0.0 { sum / count } else { 0.0 }
    }

    /// The estimate of a total: `used` plus `rest`, for `left` epochs.
    fn interval(&self, used: f64, rest: f64, left: f64, trend: Trend, model: ModelUncertainty) -> Estimate {
        if left <= 0.0 {
            return Estimate::exactly(used);
        }
        let known = trend.spread * trend.spread * (1.0 / trend.epochs + 1.0 / left.max(1.0));
        let fading = left / (left + HALF_EPOCHS);
        let off = |model: f64| self.quantile * (known + model * model * fading).sqrt();
        let (low, high) = (rest * (-off(model.down)).exp(), rest * off(model.up).exp());
        Estimate { used, value: used + rest, low: used + low, high: used + high }
    }
}

/// Quantile of Student's t: the distance on either side that holds `level`, in scales.
pub fn quantile(level: f64) -> f64 {
    StudentsT::new(0.0, 1.0, T_FREEDOM).map_or(f64::INFINITY, |t| t.inverse_cdf(0.5 + level / 2.0))
}

#[cfg(test)]
mod tests;
