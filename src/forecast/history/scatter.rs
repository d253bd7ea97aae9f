//! How much runs, or epochs, differ: one of two scatters, chosen by what was seen. Pure.
//!
//! Most runs repeat an earlier one closely, and some do not. One scatter between both fits neither, and a single prior
//! needs many runs to leave it. So there are two priors of the variance, a narrow one and a wide one. Each is a scaled
//! inverse χ² distribution. Its evidence has a closed form (Gelman and others: Bayesian Data Analysis, 2013, ch. 2).
//! Their mean, weighed by the evidence, is narrow after a few runs that agree, and wide after one that does not.

/// Two priors of a variance.
#[derive(Clone, Copy, Debug)]
pub struct Scatter {
    /// The variance of what repeats.
    pub narrow: f64,
    /// The variance of what does not.
    pub wide: f64,
    /// Prior probability of the first, 0 to 1.
    pub repeats: f64,
    /// Weight of both, in observations.
    pub weight: f64,
}

impl Scatter {
    /// The probability of what repeats after `count` observations with this sum of squares.
    pub fn repeats(&self, square: f64, count: f64) -> f64 {
        let log_evidence = |prior: f64| {
            let sum = self.weight * prior + square;
            0.5 * self.weight * (self.weight * prior).ln() - 0.5 * (self.weight + count) * sum.ln()
        };
        // Without any scatter, there is nothing to choose.
        let gain = if self.narrow > 0.0 { log_evidence(self.narrow) - log_evidence(self.wide) } else { 0.0 };
        let odds = self.repeats / (1.0 - self.repeats) * gain.exp();
        if odds.is_finite() { odds / (1.0 + odds) } else { 1.0 }
    }

    /// The variance after these observations, if what repeats has this probability. It is the square of the mean scale,
    /// which gives the ends of a 90 % interval of the mixture. The mean variance is that of its far tails.
    pub fn mean(&self, repeats: f64, square: f64, count: f64) -> f64 {
        let scale = |prior: f64| ((self.weight * prior + square) / (self.weight + count)).sqrt();
        (repeats * scale(self.narrow) + (1.0 - repeats) * scale(self.wide)).powi(2)
    }
}
