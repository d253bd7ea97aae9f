//! What an epoch takes at present: odd epochs do not steer it, a step is followed, and so is drift that is real. Pure.
//!
//! The model: epochs take a level plus noise of a few per cent, with now and then an odd one (an outlier: a stall, a
//! checkpoint), and the level may step (a level shift) or drift. Two passes over the epochs:
//!
//! 1. [`present`] walks through them with a short memory and finds where the present level began: epochs far off
//!    are odd, but several on end that agree with each other are a new level.
//! 2. [`Trend::of`] fits a line to the epochs from there on: Huber's M-estimator with his Proposal 2 for the scale
//!    (Robust Statistics, 1981, ch. 6 and 7), by modified residuals: what lies beyond 1.5 spreads counts as 1.5. The
//!    slope is shrunk by Breiman's non-negative garrote (Technometrics 37, 1995), 1 - (4/t)² where t is its ratio to
//!    its standard error: below four standard errors there is no drift.
//!
//! The spread is the scale, without a factor for consistency: of normal noise it is about 0.8 standard deviations. It
//! is estimated together with four epochs' worth of a spread of 3 % (as by a scaled inverse χ² prior), so that two
//! epochs which happen to agree do not make it nothing. The figures are round, one for all kinds of runs; README.md
//! says what they achieve.

/// The spread of epochs about their level that is assumed before any is known, as a share of the level.
pub const SPREAD: f64 = 0.03;
/// How many epochs that assumption is worth.
const PRIOR_EPOCHS: f64 = 4.0;
/// Huber's constant: how many spreads an epoch can pull.
const CLIP: f64 = 1.5;
/// An epoch so many spreads off is odd.
const ODD: f64 = 5.0;
/// So many odd ones on end that agree are a new level; fewer where the level before them had fewer.
const STEP: usize = 3;
/// A level is followed over the last few epochs, so that it keeps up with drift.
const MEMORY: f64 = 5.0;
/// The spread assumed in a slope's error: drift that is even shows soon.
const EVEN: f64 = 0.01;
/// A slope of so many standard errors may be drift.
const DRIFT: f64 = 4.0;
/// It takes so many epochs to tell.
const DRIFT_EPOCHS: usize = 4;
/// Downward drift is not carried on beyond this share of the present level.
const FLOOR: f64 = 0.3;
/// Rounds of the fit. Each leaves of the error about the share of epochs that are clipped.
const ROUNDS: usize = 8;

/// Epochs and what each of them took, J or s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochCost {
    /// How many epochs, or how much they weigh.
    pub count: f64,
    /// What each took.
    pub each: f64,
}

/// What an epoch takes at present.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// What the last epoch would have taken were it typical, J or s.
    pub level: f64,
    /// What each further epoch takes more than the one before, J or s.
    pub drift: f64,
    /// How far epochs scatter about that, as a share of what they take.
    pub spread: f64,
    /// How many epochs it rests on, by weight.
    pub epochs: f64,
}

/// How much a first part weighs beside what follows it: little where it took longer, by warming up, or shorter, by
/// being a lesser part of the work. Cauchy's weight: a tenth where they differ by three times the usual spread.
pub fn agreement(first: f64, rest: f64) -> f64 {
    let off = (first / rest - 1.0) / SPREAD;
    if off.is_finite() { 1.0 / (1.0 + off * off) } else { 0.0 }
}

/// Whether an epoch is odd beside several others that agree with each other.
pub fn is_odd(one: EpochCost, others: &[EpochCost]) -> bool {
    others.len() > 1 && Level::of(others).is_some_and(|level| level.is_odd(one))
}

/// A level being followed.
struct Level {
    entries: usize,
    count: f64,
    mean: f64,
    squares: f64,
}

impl Level {
    fn from(taken: EpochCost) -> Level {
        Level { entries: 1, count: taken.count, mean: taken.each, squares: 0.0 }
    }

    fn spread(&self) -> f64 {
        let prior = SPREAD * self.mean;
        ((PRIOR_EPOCHS * prior * prior + self.squares) / (PRIOR_EPOCHS + self.count)).sqrt()
    }

    fn is_odd(&self, taken: EpochCost) -> bool {
        (taken.each - self.mean).abs() > ODD * self.spread()
    }

    fn add(&mut self, taken: EpochCost) {
        let off = clipped(taken.each - self.mean, CLIP * self.spread());
        self.squares += taken.count * off * off;
        self.count += taken.count;
        self.entries += 1;
        self.mean += off * (taken.count / self.count.min(MEMORY.max(taken.count)));
    }

    /// The level that these make, if they agree.
    fn of(taken: &[EpochCost]) -> Option<Level> {
        let (first, rest) = taken.split_first()?;
        let mut level = Level::from(*first);
        for &one in rest {
            if level.is_odd(one) {
                return None;
            }
            level.add(one);
        }
        Some(level)
    }
}

/// Where the present level began, and about what it is; None of nothing.
pub fn present(taken: &[EpochCost]) -> Option<(usize, f64)> {
    let mut level = Level::from(*taken.first()?);
    let (mut start, mut odd) = (0, 0);
    let mut are_above = false;
    for (n, &one) in taken.iter().enumerate().skip(1) {
        let is_above = one.each > level.mean;
        odd = if !level.is_odd(one) {
            0
        } else if is_above == are_above {
            odd + 1
        } else {
            1
        };
        are_above = is_above;
        level.add(one);
        let before = level.entries - odd;
        if odd > 0 && odd >= STEP.min(before + 1) {
            match taken.get(n + 1 - odd..=n).and_then(Level::of) {
                Some(new) => (level, start, odd) = (new, n + 1 - odd, 0),
                None => odd -= 1, // the oldest was odd by itself
            }
        }
    }
    Some((start, level.mean))
}

impl Trend {
    /// The pace of these epochs, oldest first, of one level; None of nothing.
    pub fn of(taken: &[EpochCost]) -> Option<Trend> {
        let line = TrendLine::through(taken)?;
        let t = line.slope.abs() / line.slope_error;
        let drift = if t > DRIFT { line.slope * (1.0 - (DRIFT / t).powi(2)) } else { 0.0 };
        // A line through epochs that fall ever less may end below all of them.
        let (least, most) =
            taken.iter().fold((f64::INFINITY, 0.0_f64), |(least, most), one| (least.min(one.each), most.max(one.each)));
        let level = (line.mean + drift * (line.last - line.middle)).max(least).min(most);
        let spread = if line.mean > 0.0 { line.spread / line.mean } else { 0.0 };
        Some(Trend { level, drift, spread, epochs: line.count })
    }

    /// What so many epochs more will take: drift goes on for as long as it has been seen, then stays.
    pub fn of_next(&self, left: f64) -> f64 {
        let lasts = if self.drift < 0.0 { (FLOOR - 1.0) * self.level / self.drift } else { f64::INFINITY };
        let drifting = self.epochs.min(lasts).min(left).floor();
        let drifted = self.drift * drifting * ((drifting + 1.0) / 2.0 + (left - drifting));
        left * self.level + drifted
    }
}

/// A line through epochs, fitted robustly. Times are in epochs.
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
        let may_slope = taken.len() >= DRIFT_EPOCHS && count > DRIFT_EPOCHS as f64 - 0.5; // the first may weigh less than one
        let clip = if taken.len() < 3 { f64::INFINITY } else { CLIP }; // of two neither is the odd one
        let (mut mean, mut slope) = (centre, 0.0);
        let mut spread =
            with_prior(mean_of(&|_, each| clipped(each - centre, CLIP * SPREAD * centre.abs()).powi(2)), SPREAD);
        for _ in 0..ROUNDS {
            let off = |t: f64, each: f64| each - (mean + slope * t);
            let shift = mean_of(&|t, each| clipped(off(t, each), clip * spread));
            let tilt = mean_of(&|t, each| t * clipped(off(t, each), clip * spread)) / times_square;
            mean += shift;
            slope += if may_slope { tilt } else { 0.0 };
            let off = |t: f64, each: f64| each - (mean + slope * t);
            spread = with_prior(mean_of(&|t, each| clipped(off(t, each), CLIP * spread).powi(2)), SPREAD);
        }
        // Its error by all residuals as they are: among odd epochs a slope proves little.
        let whole = with_prior(mean_of(&|t, each| (each - (mean + slope * t)).powi(2)), EVEN);
        let slope_error = whole / (count * times_square).sqrt();
        Some(TrendLine { count, middle, last: *times.last()?, mean, slope, slope_error, spread })
    }
}

fn clipped(off: f64, most: f64) -> f64 {
    off.max(-most).min(most)
}

/// The middle of each entry, in epochs from the start.
fn times(taken: &[EpochCost]) -> Vec<f64> {
    let mut end = 0.0;
    let middle = |one: &EpochCost| {
        let begin = end;
        end += one.count.max(1.0); // a weight below 1 is still an epoch
        (begin + end) / 2.0
    };
    taken.iter().map(middle).collect()
}

/// The least that this share of epochs, by weight, did not exceed: their median at 0.5, and of two the lower, since
/// disturbances make epochs longer, not shorter.
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
