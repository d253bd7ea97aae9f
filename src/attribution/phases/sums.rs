//! Which phase used how much of one channel's energy: a linear model, from sums over the intervals between readings.
//!
//! Interval i lasts T_i seconds and has the energy E_i. The phases p take x_ip seconds of it. A phase has a mean power
//! P_p, and power varies around that as white noise of variance s² in each second:
//!
//! ```text
//! E_i = Σ_p x_ip P_p + noise of variance s² T_i
//! ```
//!
//! With G_pq = Σ_i x_ip x_iq / T_i, B_p = Σ_i x_ip E_i / T_i and X_p = Σ_i x_ip, least squares give (G + λ) P = B. The
//! weak prior λ holds phases that no interval separates at the mean power. A phase's energy is its power for its time,
//! and its share by time of what the model leaves over:
//!
//! ```text
//! e = X P + (B - G P)
//! ```
//!
//! For any P the sum of e is the sum of E, because the rows of G add up to X. An interval within one phase gives that
//! phase all its energy. With the covariance V of P and L = diag X - G, e has the covariance s² L + L V L. That is 0
//! if each interval lies within one phase. It is the posterior of a linear Gaussian model (Rasmussen and Williams:
//! Gaussian Processes for Machine Learning, 2006, section 2.1).

use super::cholesky::Cholesky;

/// Standard deviation of one second's energy as a share of it, before the intervals show their own.
const PRIOR_NOISE: f64 = 0.01;
/// That prior counts as much as this number of intervals.
const PRIOR_INTERVALS: f64 = 3.0;
/// The age of a reading moves energy from one interval to the next, and the end of a phase moves time in the same way.
/// So both are correlated over neighbours. With an error d at each boundary, (d' - d) (x' - x) has 1.5 times the
/// variance that independent intervals would have.
const OF_NEIGHBOURS: f64 = 1.5;
/// Rounds in which the noise and the powers are fitted in turn. They settle to four digits in two.
const ROUNDS: usize = 3;

/// The sums of one channel.
#[derive(Clone, Debug, Default)]
pub struct PhaseSums {
    /// G, its lower triangle by rows.
    gram: Vec<f64>,
    /// B.
    weighted_j: Vec<f64>,
    /// X, s.
    seconds: Vec<f64>,
    /// Energy that was filled in across a fault: it is shared by time and shows no power.
    filled_j: Vec<f64>,
    /// Σ E.
    joules: f64,
    /// Σ E² / T.
    squares: f64,
    /// Number of intervals.
    intervals: f64,
    /// The highest mean power of an interval, W.
    highest_w: f64,
    /// Variance and covariance by the age of readings, J², as `gram`.
    by_age: Vec<f64>,
    /// The last interval: the share of each phase, and its mean power, W.
    last: (Vec<(usize, f64)>, f64),
}

/// An interval between two readings of a channel.
pub struct Portion<'a> {
    /// The seconds of each phase in it, by number.
    pub mix: &'a [(usize, f64)],
    /// Its energy, J.
    pub joules: f64,
    /// Whether readings confirm it.
    pub is_measured: bool,
    /// Whether it begins where the last one ended.
    pub follows: bool,
    /// Time between two updates of the device's figure, s.
    pub step_s: f64,
}

/// Place of an entry in the lower triangle.
fn place(one: usize, other: usize) -> usize {
    let (row, column) = (one.max(other), one.min(other));
    row * (row + 1) / 2 + column
}

impl PhaseSums {
    /// Adds an interval.
    pub fn add(&mut self, portion: &Portion<'_>) {
        let &Portion { mix, joules, is_measured, .. } = portion;
        let whole: f64 = mix.iter().map(|(_, seconds)| seconds).sum();
        let Some(highest) = mix.iter().map(|(phase, _)| *phase).max().filter(|_| whole > 0.0) else { return };
        self.grow(highest + 1);
        for &(phase, seconds) in mix {
            if !is_measured {
                add_at(&mut self.filled_j, phase, joules * seconds / whole);
                continue;
            }
            add_at(&mut self.seconds, phase, seconds);
            add_at(&mut self.weighted_j, phase, joules * seconds / whole);
            for &(other, more) in mix.iter().filter(|(other, _)| *other <= phase) {
                add_at(&mut self.gram, place(phase, other), seconds * more / whole);
            }
        }
        if is_measured {
            self.add_age(portion, whole);
            self.joules += joules;
            self.squares += joules * joules / whole;
            self.intervals += 1.0;
            self.highest_w = self.highest_w.max(joules / whole);
        }
    }

    /// A reading's age is even between 0 and a step, so its energy may belong to the interval before or after it. That
    /// moves energy between their phases.
    fn add_age(&mut self, portion: &Portion<'_>, whole: f64) {
        let shares: Vec<(usize, f64)> = portion.mix.iter().map(|(phase, seconds)| (*phase, seconds / whole)).collect();
        let watts = portion.joules / whole;
        let (before, watts_before) = std::mem::replace(&mut self.last, (shares.clone(), watts));
        if !portion.follows || portion.step_s <= 0.0 {
            return;
        }
        let variance = (watts.max(watts_before) * portion.step_s).powi(2) / 12.0;
        let mut change = shares;
        for (phase, share) in before {
            match change.iter_mut().find(|(known, _)| *known == phase) {
                Some((_, more)) => *more -= share,
                None => change.push((phase, -share)),
            }
        }
        for &(phase, one) in &change {
            for &(other, more) in change.iter().filter(|(other, _)| *other <= phase) {
                add_at(&mut self.by_age, place(phase, other), variance * one * more);
            }
        }
    }

    /// Adds this share of other sums, which came later.
    pub fn add_sums(&mut self, later: &PhaseSums, share: f64) {
        self.grow(later.seconds.len());
        let columns = [
            (&mut self.gram, &later.gram),
            (&mut self.by_age, &later.by_age),
            (&mut self.weighted_j, &later.weighted_j),
            (&mut self.seconds, &later.seconds),
            (&mut self.filled_j, &later.filled_j),
        ];
        for (column, more) in columns {
            column.iter_mut().zip(more).for_each(|(value, more)| *value += share * more);
        }
        self.joules += share * later.joules;
        self.squares += share * later.squares;
        self.intervals += share * later.intervals;
        self.highest_w = self.highest_w.max(later.highest_w);
        if later.intervals > 0.0 {
            self.last.clone_from(&later.last);
        }
    }

    /// Energy in all phases, J.
    pub fn total_j(&self) -> f64 {
        self.joules + self.filled_j.iter().sum::<f64>()
    }

    /// Time of a phase whose energy is known by readings, s.
    pub fn seconds(&self, phase: usize) -> f64 {
        self.seconds.get(phase).copied().unwrap_or(0.0)
    }

    /// Whether any energy was added.
    pub fn is_empty(&self) -> bool {
        self.seconds.is_empty()
    }

    fn grow(&mut self, phases: usize) {
        if phases > self.seconds.len() {
            for column in [&mut self.seconds, &mut self.weighted_j, &mut self.filled_j] {
                column.resize(phases, 0.0);
            }
            self.gram.resize(place(phases, 0), 0.0);
            self.by_age.resize(place(phases, 0), 0.0);
        }
    }

    fn gram(&self, one: usize, other: usize) -> f64 {
        self.gram.get(place(one, other)).copied().unwrap_or(0.0)
    }

    fn by_age(&self, one: usize, other: usize) -> f64 {
        self.by_age.get(place(one, other)).copied().unwrap_or(0.0)
    }

    /// G v.
    fn gram_by(&self, vector: &[f64]) -> Vec<f64> {
        let row = |row: usize| vector.iter().enumerate().map(|(column, value)| self.gram(row, column) * value).sum();
        (0..vector.len()).map(row).collect()
    }

    /// L v, where v is 1 for the chosen phases and 0 for the others.
    fn spread_of(&self, chosen: &[usize]) -> Vec<f64> {
        let spread = |(row, seconds): (usize, &f64)| {
            let own = if chosen.contains(&row) { *seconds } else { 0.0 };
            own - chosen.iter().map(|column| self.gram(row, *column)).sum::<f64>()
        };
        self.seconds.iter().enumerate().map(spread).collect()
    }

    /// Fits the model to the sums.
    pub fn fit(&self) -> PhaseShares<'_> {
        let all_s: f64 = self.seconds.iter().sum();
        let mean_w = if all_s > 0.0 { self.joules / all_s } else { 0.0 };
        let prior_w = self.highest_w.max(mean_w).max(f64::MIN_POSITIVE);
        let prior_noise = (PRIOR_NOISE * mean_w).powi(2).max(f64::MIN_POSITIVE);
        let mut fitted = Fitted { noise: prior_noise, freedom: PRIOR_INTERVALS, powers: None };
        for _ in 0..ROUNDS {
            fitted = self.fit_with(fitted.noise, prior_noise, (mean_w, prior_w));
        }
        let Fitted { noise, freedom, powers } = fitted;
        let (watts, factor) = powers.map_or((vec![mean_w; self.seconds.len()], None), |(w, f)| (w, Some(f)));
        let left = self.weighted_j.iter().zip(self.gram_by(&watts)).map(|(used, modelled)| used - modelled);
        let own = self.seconds.iter().zip(&watts).map(|(seconds, watts)| seconds * watts);
        let measured: Vec<f64> = own.zip(left).map(|(own, left)| own + left).collect();
        let joules = without_negative(measured, self.joules);
        let joules = joules.iter().zip(&self.filled_j).map(|(measured, filled)| measured + filled).collect();
        PhaseShares { sums: self, joules, factor, noise, freedom }
    }

    /// Powers at this noise, and the noise that they leave.
    fn fit_with(&self, noise: f64, prior_noise: f64, (mean_w, prior_w): (f64, f64)) -> Fitted {
        let phases = self.seconds.len();
        let pull = noise / prior_w.powi(2);
        let row =
            |row: usize| (0..=row).map(move |column| self.gram(row, column) + if row == column { pull } else { 0.0 });
        let factor = Cholesky::of((0..phases).flat_map(row).collect(), phases);
        let even = vec![mean_w; phases];
        let off: Vec<f64> = self.weighted_j.iter().zip(self.gram_by(&even)).map(|(used, even)| used - even).collect();
        let watts: Vec<f64> = factor.solve(&off).iter().map(|more| mean_w + more).collect();
        let modelled = self.gram_by(&watts);
        let residual: f64 = self.squares
            + watts.iter().zip(modelled.iter().zip(&self.weighted_j)).map(|(w, (g, b))| w * (g - 2.0 * b)).sum::<f64>();
        // The intervals that the powers use up: the trace of (G + λ)⁻¹ G.
        let used = phases as f64 - pull * factor.inverse_trace();
        let freedom = PRIOR_INTERVALS + (self.intervals - used).max(0.0);
        let noise = (PRIOR_INTERVALS * prior_noise + residual.max(0.0)) / freedom;
        Fitted { noise, freedom, powers: Some((watts, factor)) }
    }
}

/// One round of the fit.
struct Fitted {
    noise: f64,
    freedom: f64,
    powers: Option<(Vec<f64>, Cholesky)>,
}

/// The energy of each phase on one channel.
pub struct PhaseShares<'a> {
    sums: &'a PhaseSums,
    joules: Vec<f64>,
    factor: Option<Cholesky>,
    noise: f64,
    freedom: f64,
}

impl PhaseShares<'_> {
    /// The energy of some phases together, J, and half the width of its 90 % interval.
    pub fn of(&self, phases: &[usize]) -> (f64, f64) {
        let joules = phases.iter().filter_map(|phase| self.joules.get(*phase)).sum();
        let spread = self.sums.spread_of(phases);
        let within: f64 = phases.iter().filter_map(|phase| spread.get(*phase)).sum();
        let of_powers: f64 = self.factor.as_ref().map_or(0.0, |factor| factor.inverse_square(&spread));
        let by_age: f64 =
            phases.iter().flat_map(|one| phases.iter().map(move |other| self.sums.by_age(*one, *other))).sum();
        let variance = self.noise * (within.max(0.0) + OF_NEIGHBOURS * of_powers.max(0.0)) + by_age.max(0.0);
        (joules, quantile_95(self.freedom) * variance.sqrt())
    }
}

/// Sets negative energies to 0 and keeps the sum. A weakly separated phase may come out below 0.
fn without_negative(joules: Vec<f64>, total: f64) -> Vec<f64> {
    let positive: f64 = joules.iter().map(|joules| joules.max(0.0)).sum();
    if joules.iter().all(|joules| *joules >= 0.0) || positive <= 0.0 || total <= 0.0 {
        return joules;
    }
    joules.iter().map(|joules| joules.max(0.0) * total / positive).collect()
}

/// The 95 % quantile of Student's t, for 3 degrees of freedom or more: the Cornish-Fisher expansion (Abramowitz and
/// Stegun, 26.7.5). Its error is 2 % at 3 degrees.
fn quantile_95(freedom: f64) -> f64 {
    const Z: f64 = 1.644_853_626_951_472_7;
    let first = (Z.powi(3) + Z) / 4.0;
    let second = (5.0 * Z.powi(5) + 16.0 * Z.powi(3) + 3.0 * Z) / 96.0;
    Z + first / freedom + second / freedom.powi(2)
}

fn add_at(column: &mut [f64], index: usize, more: f64) {
    column.get_mut(index).into_iter().for_each(|value| *value += more);
}

#[cfg(test)]
mod tests;
