//! The distribution of a remaining cost: a mixture of skewed Student t distributions of its logarithm. Pure.
//!
//! Each part has a centre, a scale below it and a scale above it. Student's t with 3 degrees of freedom has the closed
//! distribution function 1/2 + (u / (1 + u²) + atan u) / π with u = z / √3 (Johnson, Kotz, Balakrishnan: Continuous
//! Univariate Distributions 2, 1995, ch. 28). Its heavy tails fit runs, most of which repeat closely and some by no
//! means.

use std::f64::consts::PI;

/// Degrees of freedom.
const FREEDOM: f64 = 3.0;
/// Bisections of a quantile: the error is 2^-40 of the range.
const BISECTIONS: usize = 40;
/// The quantiles searched are within this number of scales of a centre: those of level 0.999 are within 13.
const RANGE_SCALES: f64 = 20.0;
/// Parts with a smaller weight than this share of the largest are left out.
const MIN_SHARE: f64 = 1e-4;

/// An earlier run with less of the weight than this does not count as used.
const MIN_SUPPORT: f64 = 0.01;

/// Distance between the centre and the upper end of a 90 % interval, in scales.
pub const END_OF_90: f64 = 2.353_363_434_801_8;

/// A part of a mixture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// The cost at its centre.
    pub cost: f64,
    /// Scale below the centre.
    pub down: f64,
    /// Scale above the centre.
    pub up: f64,
    /// Logarithm of the weight. Only differences matter.
    pub log_weight: f64,
    /// The place of the earlier run that it rests on; None: it rests on none.
    pub earlier: Option<usize>,
}

impl Part {
    /// A part of weight 1.
    pub fn new(cost: f64, down: f64, up: f64) -> Part {
        Part { cost, down, up, log_weight: 0.0, earlier: None }
    }

    /// The share of it below this logarithm of a cost.
    fn below(&self, at: f64) -> f64 {
        let off = at - self.cost.ln();
        share_below(off / if off < 0.0 { self.down } else { self.up })
    }
}

/// Median and ends of an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Median.
    pub middle: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// The upper end over the lower one, as a logarithm.
    pub fn width(&self) -> f64 {
        (self.high / self.low).ln()
    }

    /// The interval with ends further from the middle by this factor.
    pub fn scaled(self, factor: f64) -> Interval {
        let end = |end: f64| self.middle * (end / self.middle).powf(factor);
        Interval { low: end(self.low), middle: self.middle, high: end(self.high) }
    }
}

/// The interval of this level; None: there is no part.
pub fn interval(parts: &[Part], level: f64) -> Option<Interval> {
    let top = parts.iter().map(|part| part.log_weight).reduce(f64::max)?;
    let weighed = parts.iter().map(|part| ((part.log_weight - top).exp(), *part));
    let parts: Vec<(f64, Part)> = weighed.filter(|(weight, _)| *weight >= MIN_SHARE).collect();
    let end = (1.0 - level) / 2.0;
    let [low, middle, high] = [end, 0.5, 1.0 - end].map(|share| quantile(&parts, share));
    Some(Interval { low, middle, high })
}

/// How much of a forecast rests on earlier runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Support {
    /// Number of the earlier runs that it rests on.
    pub runs: u64,
    /// The weight of these runs, 0 to 1. The rest of it is that of the run's own epochs.
    pub weight: f64,
}

impl Support {
    /// That of a mixture.
    pub fn of(parts: &[Part]) -> Support {
        let top = parts.iter().map(|part| part.log_weight).fold(f64::NEG_INFINITY, f64::max);
        let weight = |part: &Part| (part.log_weight - top).exp();
        let all: f64 = parts.iter().map(weight).sum();
        let earlier: Vec<(usize, f64)> = parts.iter().filter_map(|part| Some((part.earlier?, weight(part)))).collect();
        let mut runs: Vec<usize> =
            earlier.iter().filter(|(_, weight)| *weight >= MIN_SUPPORT * all).map(|(run, _)| *run).collect();
        runs.sort_unstable();
        runs.dedup();
        let weight = earlier.iter().map(|(_, weight)| weight).sum::<f64>() / all;
        Support { runs: runs.len() as u64, weight: if weight.is_finite() { weight } else { 0.0 } }
    }
}

fn quantile(parts: &[(f64, Part)], share: f64) -> f64 {
    if let [(_, one)] = parts {
        if share == 0.5 {
            return one.cost;
        }
        let at = t_quantile(share);
        return one.cost * (at * if at < 0.0 { one.down } else { one.up }).exp();
    }
    let total: f64 = parts.iter().map(|(weight, _)| weight).sum();
    let least = parts.iter().map(|(_, one)| one.cost.ln() - RANGE_SCALES * one.down).fold(f64::INFINITY, f64::min);
    let most = parts.iter().map(|(_, one)| one.cost.ln() + RANGE_SCALES * one.up).fold(f64::NEG_INFINITY, f64::max);
    bisect(least, most, |at| parts.iter().map(|(weight, one)| weight * one.below(at)).sum::<f64>() < share * total)
        .exp()
}

/// The distance from the centre below which this share is, in scales.
pub fn t_quantile(share: f64) -> f64 {
    bisect(-RANGE_SCALES, RANGE_SCALES, |at| share_below(at) < share)
}

/// The point between `low` and `high` where `is_below` changes from true to false.
fn bisect(mut low: f64, mut high: f64, is_below: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..BISECTIONS {
        let middle = 0.5 * (low + high);
        *(if is_below(middle) { &mut low } else { &mut high }) = middle;
    }
    0.5 * (low + high)
}

/// Share of Student's t below `z`.
fn share_below(z: f64) -> f64 {
    let u = z / FREEDOM.sqrt();
    0.5 + (u / (1.0 + u * u) + u.atan()) / PI
}

/// Logarithm of the density of Student's t with this scale.
pub fn log_density(off: f64, scale: f64) -> f64 {
    let z = off / scale;
    (2.0 / (PI * FREEDOM.sqrt())).ln() - 2.0 * (1.0 + z * z / FREEDOM).ln() - scale.ln()
}

/// Weight of an observation in the likelihood of Student's t, 4/3 at the centre, less further off (Lange, Little,
/// Taylor: Robust statistical modeling using the t distribution, JASA 84, 1989).
pub fn weight(off: f64, scale: f64) -> f64 {
    let z = off / scale;
    (FREEDOM + 1.0) / (FREEDOM + z * z)
}
