//! Error intervals of a report's figures, and the forecast of the whole run and of its rest.

use super::{ComponentReport, Report};
use crate::forecast::{Estimate, Forecast};
use crate::measurement::channel::DeviceKind;
use crate::units::ErrorBand;

impl Report {
    /// The error interval of the energy used; None: the energy is measured.
    pub(super) fn error(&self) -> Option<ErrorBand> {
        self.uncertainty.used
    }

    /// The error interval of the energy forecast for the whole run, without the forecast's own interval.
    pub(super) fn forecast_error(&self) -> Option<ErrorBand> {
        self.uncertainty.at(self.forecast?.energy_j?)
    }

    /// The energy forecast for the whole run, J. Its interval includes the error of estimates.
    pub(super) fn forecast_j(&self) -> Option<Estimate> {
        Some(self.uncertainty.of_total(self.forecast?.energy_j?))
    }

    /// The emissions forecast for the whole run, g CO2e. The interval includes the error of estimates.
    pub(super) fn forecast_co2eq_g(&self) -> Option<Estimate> {
        Some(self.uncertainty.of_total(self.forecast_g?))
    }

    /// The error interval of the energy of one kind of device; None: that energy is measured.
    pub(super) fn error_of(&self, kind: DeviceKind) -> Option<ErrorBand> {
        let of_kind = self.components.iter().filter(|component| component.channel.kind == kind);
        ErrorBand::of_sum(of_kind.filter_map(|component| Some((component.energy_j()?, component.error()))))
    }

    /// The share of the energy that is estimated, 0 to 1; None: all of it is measured.
    pub(super) fn estimated_share(&self) -> Option<f64> {
        let estimated = self.components.iter().filter(|component| component.error().is_some());
        let joules: f64 = estimated.filter_map(ComponentReport::energy_j).sum();
        let all: f64 = self.components.iter().filter_map(ComponentReport::energy_j).sum();
        (joules > 0.0).then(|| joules / all)
    }

    /// The time still to come, s; None: unknown, or measuring stops before the run does.
    pub(super) fn remaining_s(&self) -> Option<Estimate> {
        Some(self.forecast_to_end()?.duration_s?.rest())
    }

    /// The energy still to come, J; None: unknown, or measuring stops before the run does.
    pub(super) fn remaining_j(&self) -> Option<Estimate> {
        Some(self.uncertainty.of_rest(self.forecast_to_end()?.energy_j?.rest()))
    }

    /// The forecast; None: there is none, or measuring stops before the run does.
    fn forecast_to_end(&self) -> Option<Forecast> {
        self.forecast.filter(|_| self.settings.monitored.is_none())
    }

    /// Whether any quantity of the rest is known.
    pub(super) fn is_rest_known(&self) -> bool {
        self.forecast_to_end().is_some_and(|forecast| forecast.duration_s.is_some() || forecast.energy_j.is_some())
    }

    /// Whether the run ended by itself before its planned end, and its forecast covers the rest.
    pub(super) fn is_stopped_early(&self) -> bool {
        self.is_finished && !self.is_cut_off && self.open_forecast().is_some_and(|forecast| forecast.after_epochs > 0)
    }

    /// The emissions still to come, g CO2e; None: unknown, or measuring stops before the run does.
    pub(super) fn remaining_g(&self) -> Option<Estimate> {
        let joules = self.remaining_j()?;
        match self.emissions.sources {
            Some(_) => Some(self.uncertainty.of_rest(self.forecast_g?.rest())),
            None => Some(joules.scaled(self.emissions.own_grams(1.0))),
        }
    }
}
