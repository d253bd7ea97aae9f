//! The mean and scatter of repeated runs, and whether a difference is larger than that. Pure.

use serde_json::{Value, json};
use statrs::distribution::{ContinuousCDF, StudentsT};
use statrs::statistics::Statistics;

/// A difference counts if noise alone would give one as large in at most this share of comparisons.
pub const LEVEL: f64 = 0.05;

/// A quantity of the runs of one side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The number of runs that have the quantity, at least 1.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// The standard deviation. None: there is one run.
    pub deviation: Option<f64>,
    /// The smallest value.
    pub least: f64,
    /// The largest value.
    pub most: f64,
}

impl Spread {
    /// The spread of values. None: there is none.
    pub fn of(values: &[f64]) -> Option<Spread> {
        let count = values.len();
        (count > 0).then(|| Spread {
            count,
            mean: values.mean(),
            deviation: (count > 1).then(|| values.std_dev()),
            least: values.min(),
            most: values.max(),
        })
    }

    /// The square of the mean's standard error. None: there is one run.
    fn mean_variance(&self) -> Option<f64> {
        Some(self.deviation?.powi(2) / self.count as f64)
    }

    /// The fields in JSON.
    pub fn json(&self) -> Value {
        json!({"runs": self.count, "mean": self.mean, "deviation": self.deviation, "min": self.least, "max": self.most})
    }
}

/// How a side differs from the first in one quantity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The mean over that of the first side. None: that is 0.
    pub ratio: Option<f64>,
    /// The probability of a difference as large by noise alone (Welch's t-test). None: a side has one run.
    pub p: Option<f64>,
}

/// Whether a difference is larger than the noise of repeated runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoiseVerdict {
    /// The difference is larger.
    Larger,
    /// Noise alone could give it.
    Within,
    /// A side has one run.
    Unknown,
}

impl NoiseVerdict {
    /// The word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            NoiseVerdict::Larger => "larger_than_noise",
            NoiseVerdict::Within => "within_noise",
            NoiseVerdict::Unknown => "noise_unknown",
        }
    }
}

impl Difference {
    /// From a first side to another.
    pub fn between(first: &Spread, other: &Spread) -> Difference {
        let ratio = Some(other.mean / first.mean).filter(|ratio| ratio.is_finite());
        Difference { ratio, p: welch(first, other) }
    }

    /// The verdict.
    pub fn verdict(&self) -> NoiseVerdict {
        match self.p {
            None => NoiseVerdict::Unknown,
            Some(p) if p < LEVEL => NoiseVerdict::Larger,
            Some(_) => NoiseVerdict::Within,
        }
    }

    /// The fields in JSON.
    pub fn json(&self) -> Value {
        json!({"ratio": self.ratio, "p": self.p, "verdict": self.verdict().word()})
    }

    /// "÷ 1.40" or "× 1.40". Equal means are "× 1.00". None: the first mean is 0.
    pub fn words(&self) -> Option<String> {
        let ratio = self.ratio?;
        let (sign, times) = if ratio < 1.0 { ('÷', 1.0 / ratio) } else { ('×', ratio) };
        let shown = match times {
            t if !t.is_finite() => return Some("0".into()),
            t if t < 10.0 => format!("{t:.2}"),
            t if t < 100.0 => format!("{t:.1}"),
            t => format!("{t:.0}"),
        };
        Some(if shown == "1.00" { "× 1.00".into() } else { format!("{sign} {shown}") })
    }
}

/// Welch's t-test, two-sided. None: a side has one run.
fn welch(first: &Spread, other: &Spread) -> Option<f64> {
    let (a, b) = (first.mean_variance()?, other.mean_variance()?);
    let gap = (other.mean - first.mean).abs();
    if a + b <= 0.0 {
        // All runs of a side agree exactly, so any difference counts.
        return Some(if gap > 0.0 { 0.0 } else { 1.0 });
    }
    let part = |variance: f64, count: usize| variance.powi(2) / (count as f64 - 1.0);
    let freedom = (a + b).powi(2) / (part(a, first.count) + part(b, other.count));
    let t = StudentsT::new(0.0, 1.0, freedom).ok()?;
    Some(2.0 * t.sf(gap / (a + b).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(values: &[f64]) -> Spread {
        Spread::of(values).unwrap()
    }

    /// The value of SciPy: ttest_ind(a, b, equal_var=False).
    #[test]
    fn welch_agrees_with_scipy() {
        let (a, b) =
            (spread(&[27.5, 21.0, 19.0, 23.6, 17.0, 17.9]), spread(&[27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8]));
        let p = Difference::between(&a, &b).p.unwrap();
        assert!((p - 0.174_933_550_710_520).abs() < 1e-9, "{p}");
        assert_eq!(Difference::between(&b, &a).p, Some(p), "the order of the sides is no matter");
    }

    #[test]
    fn verdict_needs_two_runs_a_side() {
        let difference = |a: &[f64], b: &[f64]| Difference::between(&spread(a), &spread(b));
        assert_eq!(difference(&[1.0], &[9.0, 9.1]).verdict(), NoiseVerdict::Unknown);
        assert_eq!(difference(&[1.0, 1.1], &[9.0, 9.1]).verdict(), NoiseVerdict::Larger);
        assert_eq!(difference(&[1.0, 2.0], &[1.4, 1.8]).verdict(), NoiseVerdict::Within);
        assert_eq!(difference(&[1.0, 1.0], &[1.0, 1.0]).verdict(), NoiseVerdict::Within);
        assert_eq!(difference(&[1.0, 1.0], &[2.0, 2.0]).verdict(), NoiseVerdict::Larger);
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(spread(&[3.0]).deviation, None);
    }

    #[test]
    fn ratio_is_a_factor_and_no_percentage() {
        let words = |a: f64, b: f64| Difference::between(&spread(&[a]), &spread(&[b])).words();
        let shown = [(2.0, 3.0), (3.0, 2.0), (1.0, 1.001), (1.001, 1.0), (1.0, 25.0), (1.0, 1234.0), (5.0, 0.0)];
        assert_eq!(
            shown.map(|(a, b)| words(a, b).unwrap()),
            ["× 1.50", "÷ 1.50", "× 1.00", "× 1.00", "× 25.0", "× 1234", "0"]
        );
        assert_eq!(words(0.0, 1.0), None);
    }
}
