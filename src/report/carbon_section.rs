//! What a run was priced by, and what a reader should know of that.

use crate::carbon::emissions::{Before, EmissionFactors, Emissions};
use crate::carbon::intensity::{GridIntensity, Hourly, Intensity};
use crate::forecast::{Estimate, Forecast};
use crate::state::RunState;

/// What the run was priced by.
pub fn intensity(grid: &GridIntensity, bill: &Emissions) -> Intensity {
    let is_flat = bill.sources.and_then(|sources| sources.flat) == Some(1.0);
    let hourly = grid.hourly.as_ref().filter(|hourly| !hourly.curve.is_empty() && !is_flat);
    let about = hourly.map(|hourly| &hourly.about);
    Intensity { g_per_kwh: bill.g_per_kwh, ..about.unwrap_or(&grid.flat).clone() }
}

/// What a reader should know of the price.
pub fn notes(books: &RunState, bill: &Emissions) -> Vec<String> {
    let marginal = books.marginal.iter().filter_map(|hourly| hourly.failure.as_ref());
    let marginal = marginal.map(|why| format!("no marginal figures come: {why}"));
    books.grid.caveats().chain(missing(&books.grid, bill)).chain(marginal).collect()
}

/// What figures by the hour lack.
fn missing(grid: &GridIntensity, bill: &Emissions) -> Option<String> {
    const ALL: f64 = 0.999;
    let hourly = grid.hourly.as_ref()?;
    let place = grid.flat.zone.as_deref().unwrap_or("the world");
    if hourly.curve.is_empty() {
        let why = hourly.failure.as_deref().unwrap_or("no figures have come yet");
        return Some(format!("CO2 is priced at the yearly average of {place}: {why}"));
    }
    let sources = bill.sources.unwrap_or_default();
    match (&hourly.failure, sources.covered) {
        (failure, Some(told)) if told < ALL => {
            let why = failure.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            let percent = (1.0 - told) * 100.0;
            let how = match sources.flat.unwrap_or(0.0) {
                0.0 => "it is filled in from those around it".to_owned(),
                flat => format!(
                    "{:.1} % is weeks from any and priced at the yearly average of {place}, what else there is filled in",
                    flat * 100.0
                ),
            };
            Some(format!("{percent:.1} % of the energy had no intensity of its own hour: {how}{why}"))
        }
        (Some(why), _) => Some(format!("no newer intensities come, or not all of them: {why}")),
        _ => None,
    }
}

/// What one kWh more would have emitted, for each that was used: beside the run's emissions, and no part of them.
pub struct Marginal {
    /// Whose figures; its intensity is the run's mean, and NaN where none have come.
    pub intensity: Intensity,
    /// g CO2e.
    pub co2eq_g: Option<f64>,
    /// The same of the whole run.
    pub forecast_g: Option<Estimate>,
    /// Share of the energy whose hour has a figure of its own.
    pub coverage: Option<f64>,
}

impl Marginal {
    /// Of the run in these books. Where no figure has come there is nothing to fall back on: averages are of another kind.
    pub fn new(hourly: &Hourly, books: &RunState, forecast: Option<Forecast>, at: u64) -> Marginal {
        let before = Before { co2eq_g: books.past.marginal_g.unwrap_or(f64::NAN), ..books.pricing().before };
        let pricing = EmissionFactors {
            flat: f64::NAN,
            curve: Some(&hourly.curve),
            calendar: &books.calendar,
            pue: books.pue,
            before,
        };
        let bill = pricing.emissions(&books.ledger, at);
        let known = |grams: f64| Some(grams).filter(|grams| grams.is_finite());
        Marginal {
            intensity: Intensity { g_per_kwh: bill.g_per_kwh, ..hourly.about.clone() },
            co2eq_g: books.ledger.energy_j().and_then(|joules| known(bill.grams(joules))),
            forecast_g: forecast
                .and_then(|forecast| pricing.forecast(&bill, &forecast))
                .filter(|estimate| estimate.value.is_finite()),
            coverage: bill.sources.and_then(|sources| sources.covered),
        }
    }
}
