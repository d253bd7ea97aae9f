//! The present cost of an epoch. Outliers do not move it; a level shift and a real drift do. Pure.
//!
//! The model: the cost of an epoch is a level plus noise of a few per cent. Some epochs are outliers (a stall, a
//! checkpoint), and the level may shift or drift. There are two passes over the epochs:
//!
//! 1. [`present`] follows the level with a short memory and finds the start of the present one. Epochs far from it are
//!    outliers, but several in a row that agree with each other are a new level.
//! 2. [`Trend::of`] fits a line to the epochs of the present level: Huber's M-estimator with his Proposal 2 for the
//!    scale (Robust Statistics, 1981, ch. 6 and 7), by modified residuals, which are limited to 1.5 spreads. The slope
//!    is shrunk by Breiman's non-negative garrote (Technometrics 37, 1995), 1 - (4/t)², where t is the slope over its
//!    standard error. Below four standard errors there is no drift.
//!
//! The spread is the scale without a factor for consistency: for normal noise it is about 0.8 standard deviations. Its
//! estimate includes four epochs with a spread of 3 % (like a scaled inverse χ² prior), so two equal epochs do not give
//! a spread of 0. The constants are the same for all kinds of runs.

/// Spread of epochs around their level before any is known, as a share of the level.
pub const PRIOR_SPREAD: f64 = 0.03;
/// Weight of the prior spread, in epochs.
const PRIOR_EPOCHS: f64 = 4.0;
/// Huber's constant: residuals are limited to this number of spreads.
const HUBER_K: f64 = 1.5;
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
/// Downward drift stops at this share of the present level.
const MIN_LEVEL_SHARE: f64 = 0.3;
/// Rounds of the fit. After each round, the remaining share of the error is about the share of limited epochs.
const FIT_ROUNDS: usize = 8;

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
/// three prior spreads. A first part may be longer because of a warm-up, or shorter because it has less work.
pub fn agreement(first: f64, rest: f64) -> f64 {
    let off = (first / rest - 1.0) / PRIOR_SPREAD;
    if off.is_finite() { 1.0 / (1.0 + off * off) } else { 0.0 }
}

/// Whether an epoch is an outlier beside several others that agree with each other.
pub fn is_outlier(one: EpochCost, others: &[EpochCost]) -> bool {
    others.len() > 1 && Level::of(others).is_some_and(|level| level.is_outlier(one))
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
        let line = TrendLine::through(taken)?;
        let t = line.slope.abs() / line.slope_error;
        let drift = if t > MIN_DRIFT_ERRORS { line.slope * (1.0 - (MIN_DRIFT_ERRORS / t).powi(2)) } else { 0.0 };
        // If epochs fall less and less, the line may end below all of them.
        let (least, most) =
            taken.iter().fold((f64::INFINITY, 0.0_f64), |(least, most), one| (least.min(one.each), most.max(one.each)));
        let level = (line.mean + drift * (line.last - line.middle)).max(least).min(most);
        let spread = if line.mean > 0.0 { line.spread / line.mean } else { 0.0 };
        Some(Trend { level, drift, spread, epochs: line.count })
    }

    /// Cost of the next `left` epochs. Drift continues for as many epochs as it was observed, then stops.
    pub fn of_next(&self, left: f64) -> f64 {
        let lasts = if self.drift < 0.0 { (MIN_LEVEL_SHARE - 1.0) * self.level / self.drift } else { f64::INFINITY };
        let drifting = self.epochs.min(lasts).min(left).floor();
        let drifted = self.drift * drifting * ((drifting + 1.0) / 2.0 + (left - drifting));
        left * self.level + drifted
    }
}

/// A robust line through epochs. Times are in epochs.
struct TrendLine {
    count: f64,
    middle: f64,
    last: f64,
    mean: f64,
    slope: f64,
    slope_error: f64,
    spread: f64,
}

impl TrendLine {
    fn through(taken: &[EpochCost]) -> Option<TrendLine> {
        let count: f64 = taken.iter().map(|one| one.count).sum();
        let centre = quantile(taken, 0.5)?;
        let times = times(taken);
        let middle = taken.iter().zip(&times).map(|(one, t)| one.count * t).sum::<f64>() / count;
        let mean_of = |f: &dyn Fn(f64, f64) -> f64| {
            taken.iter().zip(&times).map(|(one, t)| one.count * f(t - middle, one.each)).sum::<f64>() / count
        };
        let with_prior = |mean_square: f64, spread: f64| {
            let prior = PRIOR_EPOCHS * (spread * centre).powi(2);
            ((prior + count * mean_square) / (PRIOR_EPOCHS + count)).sqrt()
        };
        let times_square = mean_of(&|t, _| t * t);
        // The weight of the first epoch may be below 1.
        let may_slope = taken.len() >= MIN_DRIFT_EPOCHS && count > MIN_DRIFT_EPOCHS as f64 - 0.5;
        // With two epochs neither can be called the outlier.
        let clip = if taken.len() < 3 { f64::INFINITY } else { HUBER_K };
        let (mut mean, mut slope) = (centre, 0.0);
        let mut spread = with_prior(
            mean_of(&|_, each| clipped(each - centre, HUBER_K * PRIOR_SPREAD * centre.abs()).powi(2)),
            PRIOR_SPREAD,
        );
        for _ in 0..FIT_ROUNDS {
            let off = |t: f64, each: f64| each - (mean + slope * t);
            let shift = mean_of(&|t, each| clipped(off(t, each), clip * spread));
            let tilt = mean_of(&|t, each| t * clipped(off(t, each), clip * spread)) / times_square;
            mean += shift;
            slope += if may_slope { tilt } else { 0.0 };
            let off = |t: f64, each: f64| each - (mean + slope * t);
            spread = with_prior(mean_of(&|t, each| clipped(off(t, each), HUBER_K * spread).powi(2)), PRIOR_SPREAD);
        }
        // The standard error uses the full residuals: among outliers a slope is weak evidence.
        let whole = with_prior(mean_of(&|t, each| (each - (mean + slope * t)).powi(2)), SLOPE_PRIOR_SPREAD);
        let slope_error = whole / (count * times_square).sqrt();
        Some(TrendLine { count, middle, last: *times.last()?, mean, slope, slope_error, spread })
    }
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
