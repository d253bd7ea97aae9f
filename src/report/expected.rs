//! How far off a report's figures may be that rest on estimates, and what the run is expected to use.

use super::{ComponentReport, Report};
use crate::forecast::{Estimate, Forecast};
use crate::measurement::channel::{DeviceKind, ErrorBand};

impl Report {
    /// How far off what was used may be; None: it is measured.
    pub(super) fn error(&self) -> Option<ErrorBand> {
        self.uncertainty.used
    }

    /// The same of what the whole run is expected to use, without what its forecast's interval adds.
    pub(super) fn forecast_error(&self) -> Option<ErrorBand> {
        self.uncertainty.at(self.forecast?.energy_j?)
    }

    /// The energy forecast for the whole run, with what its estimates may be off.
    pub(super) fn forecast_j(&self) -> Option<Estimate> {
        Some(self.uncertainty.of_total(self.forecast?.energy_j?))
    }

    /// The same of its emissions.
    pub(super) fn forecast_co2eq_g(&self) -> Option<Estimate> {
        Some(self.uncertainty.of_total(self.forecast_g?))
    }

    /// How far off the energy of one kind of device may be; None: it is measured.
    pub(super) fn error_of(&self, kind: DeviceKind) -> Option<ErrorBand> {
        let of_kind = self.components.iter().filter(|component| component.channel.kind == kind);
        ErrorBand::of_sum(of_kind.filter_map(|component| Some((component.energy_j()?, component.error()))))
    }

    /// The share of the energy that is estimated.
    pub(super) fn estimated_share(&self) -> Option<f64> {
        let estimated = self.components.iter().filter(|component| component.error().is_some());
        let joules: f64 = estimated.filter_map(ComponentReport::energy_j).sum();
        let all: f64 = self.components.iter().filter_map(ComponentReport::energy_j).sum();
        (joules > 0.0).then(|| joules / all)
    }

    /// What is still to come, which is what stopping now saves; None where measuring stops before the run does.
    pub(super) fn remaining_s(&self) -> Option<Estimate> {
        Some(self.measured_to_its_end()?.duration_s?.rest())
    }

    pub(super) fn remaining_j(&self) -> Option<Estimate> {
        Some(self.uncertainty.of_rest(self.measured_to_its_end()?.energy_j?.rest()))
    }

    pub(super) fn measured_to_its_end(&self) -> Option<Forecast> {
        let forecast = self.forecast.filter(|_| self.setting.monitored.is_none())?;
        Some(forecast.after_use(self.duration_s, self.energy_j()))
    }

    pub(super) fn remaining_g(&self) -> Option<Estimate> {
        let joules = self.remaining_j()?;
        match self.bill.sources {
            Some(_) => {
                let rest = self.forecast_g?.after_use(self.co2eq_g().unwrap_or(0.0)).rest();
                Some(self.uncertainty.of_rest(rest))
            }
            None => Some(joules.scaled(self.bill.own_grams(1.0))),
        }
    }
}
