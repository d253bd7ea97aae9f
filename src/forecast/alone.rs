//! The forecast of the remaining epochs from this run's own epochs, without earlier runs. Pure.
//!
//! After one epoch, an unknown part of it may be warm-up: imports, compilation, an empty page cache, autotuning. That
//! part is an amount of seconds, not a ratio: half a second of it is likely, half a day is not. So the lower end takes
//! away [`WARM_UP_S`] seconds and leaves at least a two hundredth. From two epochs on the first one does not count: the
//! level is that of the later ones (`trend.rs`).

use super::mixture::{END_OF_90, Part, log_density};
use super::trend::{self, EpochCost, Trend};

/// Warm-up at the lower end of a 90 % interval, s: a quarter of an hour, for a download or a large compilation.
const WARM_UP_S: f64 = 900.0;
/// Besides these seconds, the first epoch may be this many times slower.
const SLOWER: f64 = 1.3;
/// The later epochs are at most this many times faster than the first: a small network that compiles for 20 s.
const MOST_FASTER: f64 = 200.0;
/// Duration of a first epoch whose duration is unknown, s.
const UNKNOWN_S: f64 = 20.0;
/// At the upper end of a 90 % interval, the later epochs cost this much more, as a logarithm. A GPU that warms up takes
/// a quarter less energy in its first epoch.
const COSTLIER: f64 = 0.33;
/// At the start of the first epoch, the upper end is further up by this factor.
const START_FACTOR: f64 = 2.0;
/// Scale of the second epoch below the first one in most runs, as a logarithm.
const LIKELY_WARM_UP: f64 = 0.8;
/// At the lower end, this share of the first epoch's warm-up may go on in the second epoch, and half of it in each
/// later one: a second function is compiled, or trees are grown on fewer and fewer rows.
const WARM_UP_GOES_ON: f64 = 0.05;
/// That part of an epoch is at most this share of it.
const MAX_GOES_ON: f64 = 0.3;
/// The error of later epochs that the epochs seen do not show: an evaluation that starts late, a full disk, a shared
/// node. Such events lengthen a run more often than they shorten it.
const UNSEEN: Skew = Skew { down: 0.04, up: 0.08 };
/// Number of remaining epochs at which the square of that error has half its size.
const HALF_EPOCHS: f64 = 3.0;
/// A step counts as if it had not been seen in this number of epochs more.
const STEP_EPOCHS: f64 = 3.0;
/// Spread of the next epoch around the level, before it is known.
const PRIOR_SPREAD: f64 = 0.02;
/// An epoch further from the level than this is an outlier, as a share. Three in a row are a new level.
const OUTLIER: f64 = 0.1;
/// Memory of the level, in epochs.
const MEMORY: f64 = 8.0;

/// Scales below and above a centre.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Skew {
    /// Below.
    pub down: f64,
    /// Above.
    pub up: f64,
}

/// The scales of the later epochs around the first one. `first_s`: its time, s.
pub fn after_one(first_s: Option<f64>) -> Skew {
    after_part(1.0, first_s)
}

/// The same after a share of the first epoch. `seconds`: the time of that share, s.
pub fn after_part(share: f64, seconds: Option<f64>) -> Skew {
    let seconds = seconds.filter(|seconds| *seconds > 0.0).unwrap_or(UNKNOWN_S);
    let least = (1.0 / SLOWER - WARM_UP_S / seconds).max(share / MOST_FASTER);
    Skew { down: -least.ln() / END_OF_90, up: COSTLIER * (1.0 + START_FACTOR * (1.0 - share)) / END_OF_90 }
}

/// The part of [`UNSEEN`] that remains before `left` epochs.
pub fn unseen(left: f64) -> Skew {
    Skew { down: UNSEEN.down * fading(left), up: UNSEEN.up * fading(left) }
}

/// How much of an error that no epoch shows is left before `left` epochs: a part of it ends with the run.
pub fn fading(left: f64) -> f64 {
    (left / (left + HALF_EPOCHS)).sqrt()
}

/// The first epoch of a run, as this forecast sees it.
#[derive(Clone, Copy, Debug)]
pub struct First {
    /// Its cost, less a known warm-up.
    pub cost: EpochCost,
    /// That known warm-up.
    pub warm_up: f64,
    /// Its duration, s.
    pub seconds: Option<f64>,
    /// Whether its marks show a warm-up that ended.
    pub is_warm: bool,
}

/// The distribution of the cost of `left` epochs, from the first epoch and the later ones.
pub fn rest(first: Option<First>, later: &[EpochCost], left: f64) -> Option<Part> {
    let Some((start, typical)) = trend::present(later) else {
        let first = first?;
        let Skew { down, up } = if first.is_warm { warm(left) } else { after_one(first.seconds) };
        return Some(Part::new(first.cost.each * left, down, up));
    };
    let trend = Trend::of(later.get(start..)?)?;
    let mut unseen = unseen(left);
    let cheaper = first.filter(|first| first.cost.each > 0.0 && first.cost.each < typical);
    if let (Some(first), [_]) = (cheaper, later) {
        // No warm-up: the second may have been a stall, and later epochs may be like the first.
        unseen.down = unseen.down.max((typical / first.cost.each).ln() / 2.0);
    }
    let still = first.map_or(0.0, |first| still_warm(first.cost.each + first.warm_up, typical, later.len()));
    unseen.down = unseen.down.hypot(still);
    let known = trend.spread * trend.spread * (1.0 / trend.epochs + 1.0 / left.max(1.0));
    let scale = |unseen: f64| (known + unseen * unseen).sqrt();
    Some(Part::new(after_step(later, start, trend.of_next(left), left), scale(unseen.down), scale(unseen.up)))
}

/// The cost of the remaining epochs, which is `stays` if a step before the epoch `start` lasts. A step that n epochs
/// have shown lasts with the probability n / (n + 3), or more after a short level.
fn after_step(later: &[EpochCost], start: usize, stays: f64, left: f64) -> f64 {
    let count = |of: &[EpochCost]| of.iter().map(|one| one.count).sum::<f64>();
    let (before, present) = later.split_at(start.min(later.len()));
    let (all, seen) = (count(later), count(present));
    let mean = later.iter().map(|one| one.count * one.each).sum::<f64>() / all;
    let lasts = seen / (seen + STEP_EPOCHS.min(count(before)));
    if before.is_empty() { stays } else { lasts * stays + (1.0 - lasts) * mean * left }
}

/// The scale below the level because the warm-up of the first epoch may go on, after a number of later epochs.
fn still_warm(first: f64, level: f64, later: usize) -> f64 {
    let share = WARM_UP_GOES_ON * (first / level - 1.0) * 0.5_f64.powi(later.saturating_sub(1).min(64) as i32);
    let share = if share.is_finite() { share.clamp(0.0, MAX_GOES_ON) } else { 0.0 };
    -(1.0 - share).ln() / END_OF_90
}

/// The scales after a first epoch whose warm-up is known from its marks. Its later part may still be slow.
pub fn warm(left: f64) -> Skew {
    Skew { down: SLOWER.ln() / END_OF_90, up: unseen(left).up }
}

/// Logarithms of the densities of the epochs under this model, each given the ones before. `expected` is the logarithm
/// of what the first epoch was expected to cost, within a factor of e.
pub fn log_densities(first: Option<First>, later: &[EpochCost], expected: f64) -> Vec<f64> {
    let mut known = Vec::with_capacity(later.len() + 1);
    if let Some(first) = first {
        known.push(log_density(first.cost.each.ln() - expected, 1.0));
    }
    let mut level = Running { level: 0.0, epochs: 0.0, square: 0.0, odd: 0 };
    for (n, one) in later.iter().enumerate() {
        let each = one.each.ln();
        let (off, scale) = match (n, first) {
            (0, Some(first)) => {
                let Skew { down, up } = after_one(first.seconds);
                let off = each - first.cost.each.ln();
                (off, if off < 0.0 { down.min(LIKELY_WARM_UP) } else { up })
            }
            (0, None) => (each - expected, 1.0),
            _ => (each - level.level, level.scale()),
        };
        known.push(log_density(off, scale));
        level.add(each);
    }
    known
}

/// The level of the newest epochs, as a logarithm.
struct Running {
    level: f64,
    epochs: f64,
    square: f64,
    odd: u32,
}

impl Running {
    fn scale(&self) -> f64 {
        let spread = (3.0 * PRIOR_SPREAD * PRIOR_SPREAD + self.square) / (3.0 + self.epochs);
        (spread * (1.0 + 1.0 / self.epochs)).sqrt()
    }

    fn add(&mut self, each: f64) {
        let off = each - self.level;
        self.odd = if off.abs() > OUTLIER { self.odd + 1 } else { 0 };
        if self.epochs == 0.0 || self.odd >= 3 {
            *self = Running { level: each, epochs: 1.0, square: 0.0, odd: 0 };
            return;
        }
        let off = off.clamp(-OUTLIER, OUTLIER);
        self.epochs = (self.epochs + 1.0).min(MEMORY);
        self.square = (self.square + off * off) * (1.0 - 1.0 / (2.0 * MEMORY));
        self.level += off / self.epochs;
    }
}
