//! How far off figures may be that rest on estimates: the bands of sums, of a run so far and of its forecast. Pure.
//!
//! Errors of estimates may all go the same way: a model that is too low for one processor is too low for its neighbour.
//! So they are not taken to cancel: the ends of a sum's interval are the sums of its parts' ends. That is never too narrow.
//! A measurement counts as exact. PUE, price and intensity are factors: they leave the multipliers as they are.

use super::Estimate;
use crate::measurement::channel::{ErrorBand, MeasuringMethod};
use serde_json::{Value, json};

/// The band of a measurement.
const EXACT: ErrorBand = ErrorBand { low: 1.0, high: 1.0 };

impl ErrorBand {
    /// Of an estimate that states no error, as those of version 0.1.0 and of Carbontracker: what a processor has that no
    /// table knows.
    pub const UNSTATED: ErrorBand = ErrorBand { low: 0.2, high: 3.0 };

    /// A band that text from outside names; None: these numbers are none.
    pub fn checked(low: f64, high: f64) -> Option<ErrorBand> {
        (low > 0.0 && low <= 1.0 && high >= 1.0 && high.is_finite()).then_some(ErrorBand { low, high })
    }

    /// The band in a report's or a journal's JSON.
    pub fn read(json: Option<&Value>) -> Option<ErrorBand> {
        let number = |name: &str| json?.get(name)?.as_f64();
        ErrorBand::checked(number("low")?, number("high")?)
    }

    /// The band of a component in a report's or a journal's JSON; None: it is measured, or simulated.
    pub fn of_component(json: &Value) -> Option<ErrorBand> {
        let word = |name: &str| json.get(name).and_then(Value::as_str);
        let is_simulated = word("status") == Some("simulated") || json.get("simulated") == Some(&Value::Bool(true));
        let is_estimate = word("method") == Some(MeasuringMethod::Estimate.name()) && !is_simulated;
        ErrorBand::read(json.get("error")).or(is_estimate.then_some(ErrorBand::UNSTATED))
    }

    /// As the JSON report has it.
    pub fn json(self) -> Value {
        json!({"low": self.low, "high": self.high})
    }

    /// The band of a sum of amounts; None: nothing of it is estimated, or all of it is 0.
    pub fn of_sum(parts: impl IntoIterator<Item = (f64, Option<ErrorBand>)>) -> Option<ErrorBand> {
        let parts: Vec<(f64, Option<ErrorBand>)> = parts.into_iter().collect();
        let parts = || parts.iter().filter(|(amount, _)| *amount > 0.0);
        let sum: f64 = parts().map(|(amount, _)| amount).sum();
        let end = |of: End| {
            let ends: f64 = parts().map(|(amount, band)| amount * of(*band)).sum();
            // Rounding may carry the quotient past all that it is made of.
            let least = parts().map(|(_, band)| of(*band)).fold(f64::INFINITY, f64::min);
            let most = parts().map(|(_, band)| of(*band)).fold(0.0, f64::max);
            (ends / sum).max(least).min(most)
        };
        let is_estimated = sum.is_finite() && parts().any(|(_, band)| band.is_some());
        is_estimated.then(|| ErrorBand { low: end(end_low), high: end(end_high) })
    }

    /// The narrowest band that holds both.
    pub fn with(self, other: ErrorBand) -> ErrorBand {
        ErrorBand { low: self.low.min(other.low), high: self.high.max(other.high) }
    }
}

/// A band's ends about an amount; None where it is measured or unknown.
pub fn ends(amount: Option<f64>, band: Option<ErrorBand>) -> [Option<f64>; 2] {
    let end = |of: fn(ErrorBand) -> f64| Some(amount? * of(band?));
    [end(|band| band.low), end(|band| band.high)]
}

/// How far off a run's energy may be, and so all that is worked out from it. None: it is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Uncertainty {
    /// What was used, by all processes of the run.
    pub used: Option<ErrorBand>,
    /// What is still to come: as what this process measures and estimates.
    pub to_come: Option<ErrorBand>,
}

impl Uncertainty {
    /// Whether any of it is estimated.
    pub fn is_any(self) -> bool {
        self.used.or(self.to_come).is_some()
    }

    /// A forecast of the whole run with an interval for both: how far the run may go another way, and how far its figures
    /// may be off. Both may go the same way, so each end is at the end of both.
    pub fn of_total(self, total: Estimate) -> Estimate {
        let Estimate { used, value, low, high } = total;
        let [low, high] = [(low, end_low as End), (high, end_high)].map(|(end, of)| self.scaled(used, end, of));
        Estimate { used, value, low, high }
    }

    /// The same of what is still to come.
    pub fn of_rest(self, rest: Estimate) -> Estimate {
        let band = self.to_come.unwrap_or(EXACT);
        Estimate { low: rest.low * band.low, high: rest.high * band.high, ..rest }
    }

    /// The band of a total as it is expected, without what the forecast's interval adds.
    pub fn at(self, total: Estimate) -> Option<ErrorBand> {
        let end = |of: End| self.scaled(total.used, total.value, of) / total.value;
        (self.is_any() && total.value > 0.0).then(|| ErrorBand { low: end(end_low), high: end(end_high) })
    }

    fn scaled(self, used: f64, total: f64, of: End) -> f64 {
        used * of(self.used) + (total - used) * of(self.to_come)
    }
}

type End = fn(Option<ErrorBand>) -> f64;

fn end_low(band: Option<ErrorBand>) -> f64 {
    band.map_or(1.0, |band| band.low)
}

fn end_high(band: Option<ErrorBand>) -> f64 {
    band.map_or(1.0, |band| band.high)
}

#[cfg(test)]
mod tests;
