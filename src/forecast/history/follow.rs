//! This run's level beside the shape of one earlier run. Pure.
//!
//! The logarithm of an epoch's cost over the earlier run's is the offset of the level plus noise. The noise is Student
//! t with 3 degrees of freedom. So the offset is the mode of its posterior, found by reweighted least squares (Lange,
//! Little, Taylor, JASA 84, 1989). So is the prior of the offset.

use super::scatter::Scatter;
use crate::forecast::mixture::{log_density, weight};

/// Least number of epochs that show another level than the prior's.
const MIN_EPOCHS: usize = 3;
/// Most rounds of the fit.
const ROUNDS: usize = 6;
/// A smaller step ends the fit, in scales of the offset.
const SMALL_STEP: f64 = 0.1;
/// A second mode of the likelihood is looked for if the median of the epochs is this far from the first, in scales.
const FAR_SCALES: f64 = 2.0;
/// In the noise, an epoch is off by at most this number of scales.
const MAX_SCALES: f64 = 3.0;

/// An epoch of this run beside that of an earlier run.
#[derive(Clone, Copy, Debug)]
pub struct Off {
    /// Logarithm of its cost over that of the earlier run.
    pub off: f64,
    /// Variance besides the noise: that of the first epoch.
    pub more: f64,
    /// The same if its warm-up repeats that of the earlier run, and the probability of that.
    pub repeated: f64,
    pub repeats: f64,
}

/// The level of this run beside an earlier one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Offset of its logarithm.
    pub offset: f64,
    /// Variance of the offset.
    pub variance: f64,
    /// Variance of a regular epoch around the shape.
    pub noise: f64,
    /// Mean square of all epochs around the shape.
    pub square: f64,
    /// Probability that this run repeats the earlier one epoch by epoch.
    pub repeats: f64,
}

/// What is known of a run beside an earlier one before any epoch.
#[derive(Clone, Copy, Debug)]
pub struct Prior {
    /// Variance of the offset.
    pub offset: f64,
    /// Variance of a regular epoch around the shape. If this run repeats the earlier one, what looks like noise there
    /// is its shape.
    pub noise: Scatter,
    /// Whether the offset is near 0. Otherwise it may be anything, and the epochs decide.
    pub is_near: bool,
}

impl Prior {
    /// The fit to these epochs. The densities of the epochs, each given the ones before, are added to `known`. They are
    /// predicted from the first 0, 1, 2, 4, 8 and so on, so the cost is linear in the number of epochs.
    pub fn follow(&self, offs: &[Off], known: &mut Vec<f64>) -> Fit {
        let mut seen = 0;
        while let Some((before, after)) = offs.split_at_checked(seen).filter(|(_, after)| !after.is_empty()) {
            let fit = self.fit(before);
            let density = |one: &Off| {
                let off = one.off - fit.offset;
                let of = |more: f64| log_density(off, (fit.variance + fit.noise + more).sqrt());
                if one.repeats == 0.0 {
                    return of(one.more);
                }
                (one.repeats * of(one.repeated).exp() + (1.0 - one.repeats) * of(one.more).exp()).ln()
            };
            known.extend(after.iter().take(seen.max(1)).map(density));
            seen = (2 * seen).max(1);
        }
        self.fit(offs)
    }

    /// Fits the offset. The likelihood may have two modes, near the prior and near the epochs. The higher one counts.
    fn fit(&self, offs: &[Off]) -> Fit {
        let start = start(offs);
        if !self.is_near {
            return self.fit_from(start, offs);
        }
        let near = self.fit_from(0.0, offs);
        let is_far =
            (start - near.offset).abs() > FAR_SCALES * (near.variance + self.noise.wide / offs.len() as f64).sqrt();
        // One epoch beside the first is too little to leave the prior.
        if !is_far || offs.len() < MIN_EPOCHS {
            return near;
        }
        let far = self.fit_from(start, offs);
        if self.log_posterior(&near, offs) >= self.log_posterior(&far, offs) { near } else { far }
    }

    fn log_posterior(&self, fit: &Fit, offs: &[Off]) -> f64 {
        let density = |one: &Off| log_density(one.off - fit.offset, (self.noise.wide + one.more).sqrt());
        log_density(fit.offset, self.offset.sqrt()) + offs.iter().map(density).sum::<f64>()
    }

    fn fit_from(&self, offset: f64, offs: &[Off]) -> Fit {
        let repeats = self.noise.repeats;
        let noise = self.noise.mean(repeats, 0.0, 0.0);
        let mut fit = Fit { offset, variance: self.offset, noise, square: self.noise.wide, repeats };
        for _ in 0..ROUNDS {
            let (mut precision, mut sum) = (weight(fit.offset, self.offset.sqrt()) / self.offset, 0.0);
            let (mut square, mut count) = (0.0, 0.0);
            for one in offs {
                let variance = fit.noise + one.more;
                let off = one.off - fit.offset;
                let weighs = weight(off, variance.sqrt()) / variance;
                precision += weighs;
                sum += weighs * one.off;
                if one.more == 0.0 {
                    square += (off * off).min(MAX_SCALES * MAX_SCALES * fit.noise);
                    count += 1.0;
                }
            }
            let moved = (sum / precision - fit.offset).abs();
            (fit.offset, fit.variance) = (sum / precision, 1.0 / precision);
            // A first epoch that repeats the earlier one shows that the others do, too. It scatters more than they.
            let first = offs.first().filter(|one| one.more > 0.0);
            let in_scales = |one: &Off| (one.off - fit.offset).powi(2) * self.noise.narrow / one.repeated;
            let most = MAX_SCALES * MAX_SCALES * self.noise.wide;
            let with_first = square + first.map_or(0.0, |one| in_scales(one).min(most));
            fit.repeats = self.noise.repeats(with_first, count + f64::from(u8::from(first.is_some())));
            fit.noise = self.noise.mean(fit.repeats, square, count);
            if moved * moved < SMALL_STEP * SMALL_STEP * fit.variance {
                break;
            }
        }
        let later = offs.iter().filter(|one| one.more == 0.0);
        let (square, count) = later.fold((0.0, 0.0), |(sum, n), one| (sum + (one.off - fit.offset).powi(2), n + 1.0));
        fit.square = if count > 0.0 { square / count } else { self.noise.wide };
        fit
    }
}

/// The median of the later epochs' offsets; the first one's if there is no other.
fn start(offs: &[Off]) -> f64 {
    let mut later: Vec<f64> = offs.iter().filter(|one| one.more == 0.0).map(|one| one.off).collect();
    later.sort_by(f64::total_cmp);
    let median = later.get(later.len().saturating_sub(1) / 2).copied();
    median.or(offs.first().map(|one| one.off)).unwrap_or(0.0)
}
