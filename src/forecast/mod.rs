//! The whole run's energy and time from what was seen of it. Pure.
//!
//! What was observed stays observed; only what remains is projected, at the present pace of the epochs (`pace.rs`),
//! plus what lies between them. The first epoch counts for that pace as much as it agrees with the others: a warm-up
//! is counted once and does not colour the rest. Where the host marks progress, its first epoch tells steady work
//! from warm-up by itself (`progress.rs`), and there is a forecast before it ends.
//!
//! The interval is rest × exp(±q × uncertainty). The uncertainty has two parts, added as squares. One is the pace's
//! own: with epochs of spread s (a share of the level), the mean of r to come, seen from the mean of m, is off by
//! √(s²/m + s²/r). The other is the surprise, which no number of like epochs foretells: evaluation that starts late, a
//! full disk, a shared node. It lengthens more often than it shortens, so up and down differ, and it fades where little
//! remains. q is the quantile of Student's t of 3 degrees of freedom: a tail chosen, with the sizes of the surprises,
//! to hold 90 % of recorded runs (README.md says what it does hold); at level 0.5 it holds 58 to 70 %, at 0.99 97 to 99 %.

pub mod first_epoch;
pub mod trend;
pub mod uncertainty;

use crate::attribution::ledger::{EpochSummary, InterEpoch};
use crate::units::Amount;
use first_epoch::{FirstEpoch, ProgressMark, WarmUpEstimate};
use statrs::distribution::{ContinuousCDF, StudentsT};
use trend::{EpochCost, Trend};

/// What is forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Energy, J.
    Energy,
    /// Time, s.
    Duration,
}

impl Metric {
    /// Both.
    pub const ALL: [Metric; 2] = [Metric::Energy, Metric::Duration];

    /// What an epoch took, as far as it is known.
    pub fn of(self, epoch: &EpochSummary) -> Option<f64> {
        match self {
            Metric::Energy => epoch.energy_j,
            Metric::Duration => epoch.duration_s,
        }
    }

    /// The same where all of it is known.
    fn of_whole(self, epoch: &EpochSummary) -> Option<f64> {
        self.of(epoch).filter(|_| epoch.is_whole || self == Metric::Duration)
    }

    /// What a part of the first epoch took.
    fn of_part(self, done: &ProgressMark) -> Option<f64> {
        match self {
            Metric::Energy => done.energy_j,
            Metric::Duration => Some(done.duration_s),
        }
    }

    /// What the run will take.
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
    /// What of it was used when it was made.
    pub used: f64,
    /// The expected total.
    pub value: f64,
    /// The interval's lower end; never below what was used.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Estimate {
    /// What is known: no interval.
    pub fn exactly(used: f64) -> Estimate {
        Estimate { used, value: used, low: used, high: used }
    }

    /// "value (low to high)", each as `show` writes it.
    pub fn shown(self, show: fn(f64) -> String) -> String {
        format!("{} ({} to {})", show(self.value), show(self.low), show(self.high))
    }

    /// The same of an amount that may be estimated.
    pub fn amount(self, amount: Amount, is_estimated: bool) -> String {
        let Estimate { value, low, high, .. } = self;
        if is_estimated {
            return format!("about {} ({})", amount.end(value, low, high), amount.between(low, high));
        }
        let [value, low, high] = [value, low, high].map(|one| amount.exact(one));
        format!("{value} ({low} to {high})")
    }

    /// The same in another unit.
    pub fn scaled(self, factor: f64) -> Estimate {
        let [used, value, low, high] = [self.used, self.value, self.low, self.high].map(|amount| amount * factor);
        Estimate { used, value, low, high }
    }

    /// The same with so much more used.
    pub fn and(self, more: f64) -> Estimate {
        let [used, value, low, high] = [self.used, self.value, self.low, self.high].map(|amount| amount + more);
        Estimate { used, value, low, high }
    }

    /// The same once so much was used: a total is no less.
    pub fn after_use(self, used: f64) -> Estimate {
        let used = used.max(self.used);
        Estimate { used, value: self.value.max(used), low: self.low.max(used), high: self.high.max(used) }
    }

    /// What of it is still to come.
    pub fn rest(self) -> Estimate {
        let [value, low, high] = [self.value, self.low, self.high].map(|total| total - self.used);
        Estimate { used: 0.0, value, low, high }
    }
}

/// What the whole run will take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Epochs it rests on; 0 inside the first.
    pub after_epochs: u64,
    /// The share of runs whose outcome is to lie in the interval.
    pub level: f64,
    /// Time, s; None where it is not known.
    pub duration_s: Option<Estimate>,
    /// Energy, J; None where it is not known.
    pub energy_j: Option<Estimate>,
}

impl Forecast {
    /// The same once so much was used: time, s, and energy, J.
    pub fn after_use(self, duration_s: f64, energy_j: Option<f64>) -> Forecast {
        let energy = |e: Estimate| energy_j.map_or(e, |joules| e.after_use(joules));
        Forecast {
            duration_s: self.duration_s.map(|e| e.after_use(duration_s)),
            energy_j: self.energy_j.map(energy),
            ..self
        }
    }
}

/// How far the mean of what remains may be off for reasons that the epochs seen do not tell, as shares of it.
#[derive(Clone, Copy)]
struct ModelUncertainty {
    down: f64,
    up: f64,
}

/// After two epochs, or one whose warm-up is known.
const STEADY: ModelUncertainty = ModelUncertainty { down: 0.02, up: 0.08 };
/// After one, which may be mostly warm-up.
const AFTER_ONE: ModelUncertainty = ModelUncertainty { down: 0.35, up: 0.12 };
/// Where the first has just begun, so many times that: down to a tenth at level 0.9, as warm-ups go.
const AT_START: f64 = 3.0;
/// What a first epoch may take more than its marks tell, as a share, for its warm-up to be known.
const UNMARKED: f64 = 0.2;
/// Where so many epochs remain, a surprise has half of its square.
const REMAINING: f64 = 3.0;
/// Degrees of freedom of its tail.
const TAIL: f64 = 3.0;
/// The pace is told by so many of the newest epochs: older ones add little, and a forecast is made at every epoch's end.
const NEWEST: usize = 128;

/// Forecasts a run of `planned` epochs from its first ones, what lies between those, and progress in the very first;
/// None where the plan is unknown or too little was seen.
pub fn forecast(
    planned: u64,
    level: f64,
    epochs: impl Iterator<Item = EpochSummary>,
    between: InterEpoch,
    progress: &FirstEpoch,
) -> Option<Forecast> {
    let epochs: Vec<EpochSummary> = epochs.collect();
    let done: u64 = epochs.iter().map(|epoch| epoch.count).sum();
    if planned == 0 {
        return None;
    }
    let run = RunSoFar { done, planned, quantile: quantile(level), epochs: &epochs, between, progress };
    let (duration_s, energy_j) = (run.total(Metric::Duration), run.total(Metric::Energy));
    (duration_s.is_some() || energy_j.is_some()).then_some(Forecast { after_epochs: done, level, duration_s, energy_j })
}

/// What was seen of a run.
struct RunSoFar<'a> {
    done: u64,
    planned: u64,
    quantile: f64,
    epochs: &'a [EpochSummary],
    between: InterEpoch,
    progress: &'a FirstEpoch,
}

impl RunSoFar<'_> {
    /// The run's total; None where nothing tells what an epoch takes.
    fn total(&self, metric: Metric) -> Option<Estimate> {
        if self.done == 0 {
            return self.total_inside_first(metric);
        }
        let known = self.epochs.iter().filter_map(|epoch| Some((epoch.count, metric.of(epoch)?)));
        let (count, inside) = known.fold((0, 0.0), |(count, sum), (more, amount)| (count + more, sum + amount));
        let between = self.between(metric);
        let used = inside + between.unwrap_or(0.0);
        let gaps_left = self.planned.saturating_sub(self.done) as f64;
        // What an epoch took that is not known was used all the same.
        let left = gaps_left + (self.done - count) as f64;
        if count > 0 && left == 0.0 {
            return Some(Estimate::exactly(used));
        }
        let (pace, surprise) = self.pace(metric)?;
        let gaps_s = self.between.duration_s;
        let per_second = between.filter(|_| gaps_s > 0.0).map_or(0.0, |amount| amount / gaps_s);
        let rest = pace.of_next(left) + gaps_left * self.usual_gap_s() * per_second;
        Some(self.interval(used, rest, left, pace, surprise))
    }

    /// What lies between epochs.
    fn between(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Energy => self.between.energy_j,
            Metric::Duration => Some(self.between.duration_s),
        }
    }

    /// The same while the first epoch is open.
    fn total_inside_first(&self, metric: Metric) -> Option<Estimate> {
        let WarmUpEstimate { share, used, steady, agreement } = self.progress.beginning(|done| metric.of_part(done))?;
        let pace = Trend { level: steady, drift: 0.0, spread: trend::SPREAD, epochs: share };
        // As long as all went at one pace, that may be the warm-up's.
        let start = AT_START * (1.0 - share) * (agreement + (1.0 - agreement) * (1.0 - share));
        let blend = |after_one: f64, steady: f64| start * after_one + share * steady;
        let surprise =
            ModelUncertainty { down: blend(AFTER_ONE.down, STEADY.down), up: blend(AFTER_ONE.up, STEADY.up) };
        let left = self.planned as f64 - share;
        let used = used + self.between(metric).unwrap_or(0.0); // epochs that were cancelled
        Some(self.interval(used, pace.of_next(left), left, pace, surprise))
    }

    /// What an epoch takes at present, and how sure that is of the rest.
    fn pace(&self, metric: Metric) -> Option<(Trend, ModelUncertainty)> {
        let (first, later) = self.taken(metric)?;
        let Some((start, typical)) = trend::present(&later) else {
            // What follows the last mark, an evaluation or something done once, leaves that open.
            let is_steady =
                |first: EpochCost| self.steady(metric).is_some_and(|b| first.each <= (1.0 + UNMARKED) * b.steady);
            let first = first?;
            return Some((Trend::of(&[first])?, if is_steady(first) { STEADY } else { AFTER_ONE }));
        };
        let mut present: Vec<EpochCost> = later.iter().skip(start).copied().collect();
        let mut surprise = STEADY;
        if let Some(first) = first.filter(|_| start == 0) {
            let agreement = self.agreement(metric, first, &later, typical);
            present.insert(0, EpochCost { count: first.count * agreement, ..first });
            if later.len() == 1 && first.each < typical {
                // No warm-up: the second may have been a stall, and what is to come be like the first.
                surprise.down = surprise.down.max((typical / first.each).ln() / 2.0);
            }
        }
        Some((Trend::of(&present)?, surprise))
    }

    /// How the first epoch got on, if its marks tell.
    fn steady(&self, metric: Metric) -> Option<WarmUpEstimate> {
        self.progress.steady(|done| metric.of_part(done))
    }

    /// What epochs took whose amount is wholly known: the first, less its known warm-up, and the newest of the later.
    fn taken(&self, metric: Metric) -> Option<(Option<EpochCost>, Vec<EpochCost>)> {
        let taken = |epoch: &EpochSummary| {
            let count = epoch.count as f64;
            Some(EpochCost { count, each: metric.of_whole(epoch)? / count })
        };
        let (first, later) = self.epochs.split_first()?;
        let without_warm_up = |first: EpochCost| {
            let warm_up = self.steady(metric).map_or(0.0, |beginning| beginning.excess());
            EpochCost { each: (first.each - warm_up / first.count).max(0.0), ..first }
        };
        let mut newest: Vec<EpochCost> = later.iter().rev().filter_map(taken).take(NEWEST).collect();
        newest.reverse();
        let first = taken(first).filter(|_| newest.len() < NEWEST).map(without_warm_up);
        Some((first, newest))
    }

    /// How much the first epoch tells of the others. Where it took as long as they did it was no warm-up, even if its
    /// energy differs from that of the only other one: either may be the odd one then.
    fn agreement(&self, metric: Metric, first: EpochCost, later: &[EpochCost], typical: f64) -> f64 {
        let agreement = trend::agreement(first.each, typical);
        if metric == Metric::Duration || trend::is_odd(first, later) {
            return agreement;
        }
        let in_time = || {
            let (first, later) = self.taken(Metric::Duration)?;
            Some(trend::agreement(first?.each, trend::present(&later)?.1))
        };
        agreement.max(in_time().unwrap_or(0.0))
    }

    /// Time between two epochs, s: the mean, but a longest one without its like is no rule and counts as the second
    /// longest, an only one as an epoch at most.
    fn usual_gap_s(&self) -> f64 {
        let gap = |(n, epoch): (usize, &EpochSummary)| {
            let count = if n == 0 { epoch.count - 1 } else { epoch.count } as f64;
            (count > 0.0).then(|| EpochCost { count, each: epoch.gaps_s / count })
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

    fn interval(&self, used: f64, rest: f64, left: f64, pace: Trend, surprise: ModelUncertainty) -> Estimate {
        if left <= 0.0 {
            return Estimate::exactly(used);
        }
        let known = pace.spread * pace.spread * (1.0 / pace.epochs + 1.0 / left.max(1.0));
        let fading = left / (left + REMAINING);
        let off = |surprise: f64| self.quantile * (known + surprise * surprise * fading).sqrt();
        let (low, high) = (rest * (-off(surprise.down)).exp(), rest * off(surprise.up).exp());
        Estimate { used, value: used + rest, low: used + low, high: used + high }
    }
}

/// Student's t: how many scales on either side hold `level`.
pub fn quantile(level: f64) -> f64 {
    StudentsT::new(0.0, 1.0, TAIL).map_or(f64::INFINITY, |t| t.inverse_cdf(0.5 + level / 2.0))
}

#[cfg(test)]
mod tests;
