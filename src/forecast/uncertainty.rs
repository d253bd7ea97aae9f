//! Error bands of sums, of a run so far and of its forecast. Pure.
//!
//! Errors of estimates may have the same sign: a model that is too low for one processor is too low for its neighbour.
//! So they do not cancel: the ends of a sum's interval are the sums of the ends of its parts, which is never too
//! narrow. Measurements count as exact. PUE, price and intensity are factors, so they do not change the bands.

use super::Estimate;
use crate::measurement::channel::MeasuringMethod;
use crate::units::ErrorBand;
use serde_json::{Value, json};

/// The error band of a measurement.
const EXACT: ErrorBand = ErrorBand { low: 1.0, high: 1.0 };

impl ErrorBand {
    /// The band of an estimate without a stated error, as in files of version 0.1.0 and of Carbontracker. It is the
    /// band of a processor that is in no table.
    pub const UNSTATED: ErrorBand = ErrorBand { low: 0.2, high: 3.0 };

    /// A band from untrusted numbers; None: they are not a band.
    pub fn checked(low: f64, high: f64) -> Option<ErrorBand> {
        (low > 0.0 && low <= 1.0 && high >= 1.0 && high.is_finite()).then_some(ErrorBand { low, high })
    }

    /// Reads the band in a report's or a journal's JSON; None: there is none.
    pub fn read(json: Option<&Value>) -> Option<ErrorBand> {
        let number = |name: &str| json?.get(name)?.as_f64();
        ErrorBand::checked(number("low")?, number("high")?)
    }

    /// Reads the band of a component in a report's or a journal's JSON; None: it is measured or simulated.
    pub fn of_component(json: &Value) -> Option<ErrorBand> {
        let word = |name: &str| json.get(name).and_then(Value::as_str);
        let is_simulated = word("status") == Some("simulated") || json.get("simulated") == Some(&Value::Bool(true));
        let is_estimate = word("method") == Some(MeasuringMethod::Estimate.name()) && !is_simulated;
        ErrorBand::read(json.get("error")).or(is_estimate.then_some(ErrorBand::UNSTATED))
    }

    /// The band in the form of the JSON report.
    pub fn json(self) -> Value {
        json!({"low": self.low, "high": self.high})
    }

    /// The band of a sum of amounts; None: no part is estimated, or the sum is 0.
    pub fn of_sum(parts: impl IntoIterator<Item = (f64, Option<ErrorBand>)>) -> Option<ErrorBand> {
        let parts: Vec<(f64, Option<ErrorBand>)> = parts.into_iter().collect();
        let parts = || parts.iter().filter(|(amount, _)| *amount > 0.0);
        let sum: f64 = parts().map(|(amount, _)| amount).sum();
        let end = |of: End| {
            let ends: f64 = parts().map(|(amount, band)| amount * of(*band)).sum();
            // Rounding may move the quotient outside the bands of the parts.
            let least = parts().map(|(_, band)| of(*band)).fold(f64::INFINITY, f64::min);
            let most = parts().map(|(_, band)| of(*band)).fold(0.0, f64::max);
            (ends / sum).max(least).min(most)
        };
        let is_estimated = sum.is_finite() && parts().any(|(_, band)| band.is_some());
        is_estimated.then(|| ErrorBand { low: end(end_low), high: end(end_high) })
    }

    /// The narrowest band that contains both.
    pub fn with(self, other: ErrorBand) -> ErrorBand {
        ErrorBand { low: self.low.min(other.low), high: self.high.max(other.high) }
    }
}

/// The ends of a band around an amount; None: the amount is measured or unknown.
pub fn ends(amount: Option<f64>, band: Option<ErrorBand>) -> [Option<f64>; 2] {
    let end = |of: fn(ErrorBand) -> f64| Some(amount? * of(band?));
    [end(|band| band.low), end(|band| band.high)]
}

/// The error bands of a run's energy, and of all amounts that follow from it. None: measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Uncertainty {
    /// Of the energy used so far, in all attempts.
    pub used: Option<ErrorBand>,
    /// Of the energy to come, which this process will measure or estimate.
    pub to_come: Option<ErrorBand>,
}

impl Uncertainty {
    /// Whether any part is estimated.
    pub fn is_any(self) -> bool {
        self.used.or(self.to_come).is_some()
    }

    /// Widens the interval of a forecast of the whole run by the error bands. Both errors may have the same sign, so
    /// each end has both.
    pub fn of_total(self, total: Estimate) -> Estimate {
        let Estimate { used, value, low, high } = total;
        let [low, high] = [(low, end_low as End), (high, end_high)].map(|(end, of)| self.scaled(used, end, of));
        Estimate { used, value, low, high }
    }

    /// Widens the interval of the part of a forecast that is still to come.
    pub fn of_rest(self, rest: Estimate) -> Estimate {
        let band = self.to_come.unwrap_or(EXACT);
        Estimate { low: rest.low * band.low, high: rest.high * band.high, ..rest }
    }

    /// The error band of the expected total, without the forecast's own interval.
    pub fn at(self, total: Estimate) -> Option<ErrorBand> {
        let end = |of: End| self.scaled(total.used, total.value, of) / total.value;
        (self.is_any() && total.value > 0.0).then(|| ErrorBand { low: end(end_low), high: end(end_high) })
    }

    /// The end of a total under the bands.
    fn scaled(self, used: f64, total: f64, of: End) -> f64 {
        used * of(self.used) + (total - used) * of(self.to_come)
    }
}

/// Picks one end of a band.
type End = fn(Option<ErrorBand>) -> f64;

fn end_low(band: Option<ErrorBand>) -> f64 {
    band.map_or(1.0, |band| band.low)
}

fn end_high(band: Option<ErrorBand>) -> f64 {
    band.map_or(1.0, |band| band.high)
}

#[cfg(test)]
mod tests;
