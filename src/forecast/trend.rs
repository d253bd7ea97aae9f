//! The present cost of an epoch. Outliers do not move it; a level shift and a real drift do. Pure.
//!
//! The model: the cost of an epoch is a level plus noise of a few per cent. Some epochs are outliers (a stall, a
//! checkpoint), and the level may shift or drift. There are two passes over the epochs:
//!
//! 1. [`present`] follows the level with a short memory and finds the start of the present one. Epochs far from it are
//!    outliers, but several in a row that agree with each other are a new level.
//! 2. [`Trend::of`] fits a line to the epochs of the present level by least squares. A few epochs far from their
//!    neighbours do not enter it. The slope is shrunk by Breiman's non-negative garrote (Technometrics 37, 1995),
//!    1 - (4/t)², where t is the slope over its standard error. Below four standard errors there is no drift. Then the
//!    level is the mean.
//!
//! An odd epoch seen once in n is expected once in n + 3: most odd epochs do not come again. A stall is not expected
//! again. Odd epochs that were seen often are expected as often. The spread includes four epochs with a spread of 2 %
//! (like a scaled inverse χ² prior), so two equal epochs do not give a spread of 0. The constants are the same for all
//! kinds of runs.

/// Spread by which the parts of an epoch may differ and still agree, as a share.
pub const AGREEMENT_SPREAD: f64 = 0.03;
/// Spread of epochs around their level before any is known, as a share of the level.
pub const PRIOR_SPREAD: f64 = 0.02;
/// Weight of the prior spread, in epochs.
const PRIOR_EPOCHS: f64 = 4.0;
/// In the first pass, residuals are limited to this number of spreads (Huber's constant).
const HUBER_K: f64 = 1.5;
/// In the spread, an epoch is off by at most this share of the level.
const MAX_OFF: f64 = 0.3;
/// An epoch further from the median of its neighbours than this is odd, as a share.
const ODD_SHARE: f64 = 0.25;
/// Number of neighbours of that median, with the epoch itself.
const NEIGHBOURS: usize = 5;
/// A single epoch that takes this many times the level is a stall, and is not expected again.
const STALL_FACTOR: f64 = 3.0;
/// A single odd epoch counts as if it was seen in this number of epochs more.
const RARE_EPOCHS: f64 = 3.0;
/// An epoch further from the level than this is an outlier, in spreads.
const OUTLIER_SPREADS: f64 = 5.0;
/// Outliers in a row that make a new level if they agree; fewer if the level before had fewer epochs.
const MIN_LEVEL_SHIFT_EPOCHS: usize = 3;
/// Memory of the level in the first pass, in epochs: short, so that the level follows drift.
const LEVEL_MEMORY_EPOCHS: f64 = 5.0;
/// Prior spread for the standard error of the slope. It is small, so an even drift is found early.
const SLOPE_PRIOR_SPREAD: f64 = 0.01;
/// Least slope that counts as drift, in standard errors.
const MIN_DRIFT_ERRORS: f64 = 4.0;
/// Least number of epochs for a slope.
const MIN_DRIFT_EPOCHS: usize = 4;
/// The drift is at most this multiple of the slope of either half of the epochs.
const HALF_SLOPES: f64 = 3.0;
/// Downward drift stops at this share of the present level.
const MIN_LEVEL_SHARE: f64 = 0.3;
/// Epochs of equal cost, J or s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochCost {
    /// Number of epochs, or their weight.
    pub count: f64,
    /// Cost of each epoch.
    pub each: f64,
}

/// The level, drift and spread of the present epochs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Cost of the last epoch on the fitted line, J or s.
    pub level: f64,
    /// Change of the cost from one epoch to the next, J or s.
    pub drift: f64,
    /// Spread of the epochs around the line, as a share of the mean.
    pub spread: f64,
    /// Number of epochs in the fit, by weight.
    pub epochs: f64,
}

/// The weight of a first part beside the rest, 0 to 1, by Cauchy's weight function. It is a tenth if they differ by
/// 9 %. A first part may be longer because of a warm-up, or shorter because it has less work.
pub fn agreement(first: f64, rest: f64) -> f64 {
    let off = (first / rest - 1.0) / AGREEMENT_SPREAD;
    if off.is_finite() { 1.0 / (1.0 + off * off) } else { 0.0 }
}

/// A level in the first pass.
struct Level {
    entries: usize,
    count: f64,
    mean: f64,
    squares: f64,
}

impl Level {
    /// A level of one entry.
    fn from(taken: EpochCost) -> Level {
        Level { entries: 1, count: taken.count, mean: taken.each, squares: 0.0 }
    }

    fn spread(&self) -> f64 {
        let prior = PRIOR_SPREAD * self.mean;
        ((PRIOR_EPOCHS * prior * prior + self.squares) / (PRIOR_EPOCHS + self.count)).sqrt()
    }

    fn is_outlier(&self, taken: EpochCost) -> bool {
        (taken.each - self.mean).abs() > OUTLIER_SPREADS * self.spread()
    }

    fn add(&mut self, taken: EpochCost) {
        let off = clipped(taken.each - self.mean, HUBER_K * self.spread());
        self.squares += taken.count * off * off;
        self.count += taken.count;
        self.entries += 1;
        self.mean += off * (taken.count / self.count.min(LEVEL_MEMORY_EPOCHS.max(taken.count)));
    }

    /// The level of these epochs; None: they do not agree.
    fn of(taken: &[EpochCost]) -> Option<Level> {
        let (first, rest) = taken.split_first()?;
        let mut level = Level::from(*first);
        for &one in rest {
            if level.is_outlier(one) {
                return None;
            }
            level.add(one);
        }
        Some(level)
    }
}

/// The index of the first epoch of the present level, and that level; None: there are no epochs.
pub fn present(taken: &[EpochCost]) -> Option<(usize, f64)> {
    let mut level = Level::from(*taken.first()?);
    let (mut start, mut odd) = (0, 0);
    let mut are_above = false;
    for (n, &one) in taken.iter().enumerate().skip(1) {
        let is_above = one.each > level.mean;
        odd = if !level.is_outlier(one) {
            0
        } else if is_above == are_above {
            odd + 1
        } else {
            1
        };
        are_above = is_above;
        level.add(one);
        let regular = level.entries - odd;
        if odd > 0 && odd >= MIN_LEVEL_SHIFT_EPOCHS.min(regular + 1) {
            match taken.get(n + 1 - odd..=n).and_then(Level::of) {
                Some(new) => (level, start, odd) = (new, n + 1 - odd, 0),
                None => odd -= 1, // the oldest one was a single outlier
            }
        }
    }
    Some((start, level.mean))
}

impl Trend {
    /// The trend of epochs of one level, oldest first; None: there are no epochs.
    pub fn of(taken: &[EpochCost]) -> Option<Trend> {
        let count: f64 = taken.iter().map(|one| one.count).sum();
        let times = times(taken);
        let timed = times.iter().copied().zip(taken.iter().copied());
        let (odd, regular): (Vec<_>, Vec<_>) = timed.enumerate().partition(|(n, (_, one))| is_odd(*one, taken, *n));
        let (odd, regular) = if regular.is_empty() { (regular, odd) } else { (odd, regular) };
        let regular: Vec<(f64, EpochCost)> = regular.into_iter().map(|(_, one)| one).collect();
        let line = Line::through(&regular)?;
        let mut odd: Vec<EpochCost> = odd.into_iter().map(|(_, (_, one))| one).collect();
        if matches!(odd.as_slice(), [one] if one.each > STALL_FACTOR * line.mean) {
            odd.clear();
        }
        let odd_count: f64 = odd.iter().map(|one| one.count).sum();
        let excess: f64 = odd.iter().map(|one| one.count * (one.each - line.mean)).sum();
        let odd_share = if odd_count > 0.0 { excess / (count + RARE_EPOCHS / odd_count) } else { 0.0 };
        let drift = steady_drift(line.drift(), &regular);
        let drifted = drift * (times.last()? - line.middle);
        // If epochs fall less and less, the line may end below all of them.
        let ends = |costs: &mut dyn Iterator<Item = &EpochCost>| {
            costs.fold((f64::INFINITY, 0.0_f64), |(least, most), one| (least.min(one.each), most.max(one.each)))
        };
        let (least, most) = ends(&mut regular.iter().map(|(_, one)| one));
        let (least_of_all, _) = ends(&mut taken.iter());
        let level = ((line.mean + drifted).max(least).min(most) + odd_share).max(least_of_all);
        let square: f64 = times
            .iter()
            .zip(taken)
            .map(|(t, one)| {
                let on_line = line.mean + drift * (t - line.middle);
                let off = clipped(one.each - on_line, MAX_OFF * line.mean);
                one.count * off * off
            })
            .sum();
        let prior = PRIOR_EPOCHS * (PRIOR_SPREAD * line.mean).powi(2);
        let spread = ((prior + square) / (PRIOR_EPOCHS + count)).sqrt();
        let spread = if line.mean > 0.0 { spread / line.mean } else { 0.0 };
        Some(Trend { level, drift, spread, epochs: count })
    }

    /// Cost of the next `left` epochs. Drift continues for as many epochs as it was observed, then stops.
    pub fn of_next(&self, left: f64) -> f64 {
        let lasts = if self.drift < 0.0 { (MIN_LEVEL_SHARE - 1.0) * self.level / self.drift } else { f64::INFINITY };
        let drifting = self.epochs.min(lasts).min(left).floor();
        let drifted = self.drift * drifting * ((drifting + 1.0) / 2.0 + (left - drifting));
        left * self.level + drifted
    }
}

/// Whether the epoch with this index is far from the median of its neighbours. Of two, neither can be called odd.
fn is_odd(one: EpochCost, taken: &[EpochCost], index: usize) -> bool {
    let from = index.saturating_sub(NEIGHBOURS / 2).min(taken.len().saturating_sub(NEIGHBOURS));
    let near = taken.iter().skip(from).take(NEIGHBOURS);
    let near: Vec<EpochCost> = near.map(|one| EpochCost { count: 1.0, ..*one }).collect();
    let median = quantile(&near, 0.5).unwrap_or(one.each);
    near.len() > 2 && (one.each - median).abs() > ODD_SHARE * median
}

/// A least-squares line through epochs. Times are in epochs.
struct Line {
    entries: usize,
    middle: f64,
    mean: f64,
    slope: f64,
    slope_error: f64,
}

impl Line {
    fn through(taken: &[(f64, EpochCost)]) -> Option<Line> {
        let count: f64 = taken.iter().map(|(_, one)| one.count).sum();
        let sum = |f: &dyn Fn(f64, f64) -> f64| taken.iter().map(|(t, one)| one.count * f(*t, one.each)).sum::<f64>();
        let (middle, mean) = (sum(&|t, _| t) / count, sum(&|_, each| each) / count);
        let times_square = sum(&|t, _| (t - middle).powi(2));
        let slope = sum(&|t, each| (t - middle) * (each - mean)) / times_square;
        let left_over = sum(&|t, each| (each - mean - slope * (t - middle)).powi(2));
        let prior = PRIOR_EPOCHS * (SLOPE_PRIOR_SPREAD * mean).powi(2);
        let slope_error = ((prior + left_over) / (PRIOR_EPOCHS + count - 2.0) / times_square).sqrt();
        (count > 0.0).then_some(Line { entries: taken.len(), middle, mean, slope, slope_error })
    }

    /// The slope, shrunk.
    fn drift(&self) -> f64 {
        let t = self.slope.abs() / self.slope_error;
        let counts = self.entries >= MIN_DRIFT_EPOCHS && t > MIN_DRIFT_ERRORS;
        if counts { self.slope * (1.0 - (MIN_DRIFT_ERRORS / t).powi(2)) } else { 0.0 }
    }
}

/// The drift as far as both halves of the epochs show it. A step makes a slope, but in no half.
fn steady_drift(drift: f64, taken: &[(f64, EpochCost)]) -> f64 {
    let (first, second) = taken.split_at(taken.len() / 2);
    let slope = |half: &[(f64, EpochCost)]| Line::through(half).map_or(0.0, |line| line.slope * drift.signum());
    let least = slope(first).min(slope(second));
    drift.signum() * drift.abs().min((HALF_SLOPES * least).max(0.0))
}

fn clipped(off: f64, most: f64) -> f64 {
    off.max(-most).min(most)
}

/// The time of the middle of each entry, in epochs from the start.
fn times(taken: &[EpochCost]) -> Vec<f64> {
    let mut end = 0.0;
    let middle = |one: &EpochCost| {
        let begin = end;
        end += one.count.max(1.0); // a weight below 1 is still an epoch
        (begin + end) / 2.0
    };
    taken.iter().map(middle).collect()
}

/// The least cost that this share of epochs, by weight, does not exceed: the median at 0.5. Of two epochs it is the
/// lower one, because disturbances make epochs longer, not shorter.
pub fn quantile(taken: &[EpochCost], share: f64) -> Option<f64> {
    let count: f64 = taken.iter().map(|one| one.count).sum();
    let mut sorted = taken.to_vec();
    sorted.sort_by(|a, b| a.each.total_cmp(&b.each));
    let mut below = 0.0;
    let reaches = |one: &&EpochCost| {
        below += one.count;
        below >= share * count * (1.0 - 1e-9) // sums of weights are inexact
    };
    sorted.iter().find(reaches).or(taken.first()).map(|one| one.each)
}

#[cfg(test)]
mod tests;
