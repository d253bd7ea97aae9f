//! What the options choose for the forecast message and the budgets.

/// When to report the forecast, and the limits on the run.
#[derive(Clone, Copy, Debug)]
pub struct AlertConfig {
    /// Coverage of the forecast interval, 0.5 to 0.999.
    pub level: f64,
    /// Number of epochs before the forecast message; None: two, or one if the marks of the first show a change of pace.
    pub forecast_after: Option<u64>,
    /// Limits on the whole run.
    pub budgets: Budgets,
    /// Messages are printed on standard error, by the thread that calls the library.
    pub prints: bool,
}

/// Limits on the whole run; None: no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budgets {
    /// Facility energy, kWh.
    pub kwh: Option<f64>,
    /// Emissions, g CO2e.
    pub g: Option<f64>,
    /// Time, h.
    pub h: Option<f64>,
}

impl Budgets {
    /// Whether there is any limit.
    pub fn is_any(self) -> bool {
        self.kwh.or(self.g).or(self.h).is_some()
    }
}

impl Default for AlertConfig {
    fn default() -> Self {
        AlertConfig { level: 0.9, forecast_after: None, budgets: Budgets::default(), prints: false }
    }
}
