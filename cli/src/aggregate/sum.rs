//! Sums over runs, with their intervals.

use crate::report_files;
use carbontracker::units::ErrorBand;
use serde_json::Value;

/// Estimated energy, J, with the ends of its interval.
#[derive(Clone, Copy, Debug, Default)]
pub struct Estimated {
    joules: f64,
    low_j: f64,
    high_j: f64,
}

impl Estimated {
    /// The estimated energy of a report's components.
    pub fn of(report: &Value) -> Estimated {
        let mut all = Estimated::default();
        for component in report.get("components").and_then(Value::as_array).into_iter().flatten() {
            if let Some((joules, band)) =
                report_files::number(component, "/energy_j").zip(ErrorBand::of_component(component))
            {
                all.add(Estimated { joules, low_j: joules * band.low, high_j: joules * band.high });
            }
        }
        all
    }

    /// Adds energy, J, and the ends of its interval.
    pub fn add(&mut self, more: Estimated) {
        self.joules += more.joules;
        self.low_j += more.low_j;
        self.high_j += more.high_j;
    }

    /// The error band. None: nothing is estimated.
    pub fn error(self) -> Option<ErrorBand> {
        (self.joules > 0.0).then(|| ErrorBand { low: self.low_j / self.joules, high: self.high_j / self.joules })
    }
}

/// A sum of known values, their number, and the ends of the interval. The errors of estimates are added, since all may
/// be off in the same direction.
#[derive(Clone, Copy, Default)]
pub struct Sum {
    sum: f64,
    low: f64,
    high: f64,
    is_estimated: bool,
    pub known: usize,
}

impl Sum {
    /// Adds a value. None is unknown and adds nothing.
    pub fn add(&mut self, value: Option<f64>, error: Option<ErrorBand>) {
        let amount = value.unwrap_or(0.0);
        self.sum += amount;
        self.low += amount * error.map_or(1.0, |band| band.low);
        self.high += amount * error.map_or(1.0, |band| band.high);
        self.is_estimated |= error.is_some() && amount > 0.0;
        self.known += usize::from(value.is_some());
    }

    /// The error band. None: all is measured.
    pub fn error(self) -> Option<ErrorBand> {
        self.is_estimated.then(|| ErrorBand { low: self.low / self.sum, high: self.high / self.sum })
    }

    /// The sum. None if no value is known.
    pub fn value(self) -> Option<f64> {
        (self.known > 0).then_some(self.sum)
    }
}
