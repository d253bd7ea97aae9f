//! The carbon intensity of a report, and the notes on it.

use crate::carbon::emissions::{CarriedEmissions, EmissionFactors, Emissions};
use crate::carbon::intensity::{GridIntensity, Hourly, Intensity};
use crate::clock::MonoNs;
use crate::forecast::{Estimate, Forecast};
use crate::state::RunState;

/// The intensity by which the run's energy is converted, with its mean over that energy.
pub fn intensity(grid: &GridIntensity, emissions: &Emissions) -> Intensity {
    let is_flat = emissions.sources.and_then(|sources| sources.flat) == Some(1.0);
    let hourly = grid.hourly.as_ref().filter(|hourly| !hourly.curve.is_empty() && !is_flat);
    let about = hourly.map(|hourly| &hourly.about);
    Intensity { g_per_kwh: emissions.g_per_kwh, ..about.unwrap_or(&grid.flat).clone() }
}

/// Remarks on the intensity for the reader.
pub fn notes(state: &RunState, emissions: &Emissions) -> Vec<String> {
    let marginal = state.carbon.marginal.iter().filter_map(|hourly| hourly.failure.as_ref());
    let marginal = marginal.map(|why| format!("no marginal intensities arrive: {why}"));
    state.carbon.grid.caveats().chain(missing(&state.carbon.grid, emissions)).chain(marginal).collect()
}

/// What hourly figures lack; None: every hour has a figure, or none are requested.
fn missing(grid: &GridIntensity, emissions: &Emissions) -> Option<String> {
    /// Share of the energy from which on all of it counts as covered.
    const ALL_COVERED: f64 = 0.999;
    let hourly = grid.hourly.as_ref()?;
    let zone = grid.flat.zone.as_deref().unwrap_or("the world");
    if hourly.curve.is_empty() {
        let why = hourly.failure.as_deref().unwrap_or("no figures have arrived yet");
        return Some(format!("CO2 is converted at the yearly average of {zone}: {why}"));
    }
    let sources = emissions.sources.unwrap_or_default();
    match (&hourly.failure, sources.covered) {
        (failure, Some(covered)) if covered < ALL_COVERED => {
            let why = failure.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            let percent = (1.0 - covered) * 100.0;
            let how = match sources.flat.unwrap_or(0.0) {
                0.0 => "it is filled in from the hours around it".to_owned(),
                flat => format!(
                    "{:.1} % is weeks away from any figure and is converted at the yearly average of {zone}; the rest is filled in",
                    flat * 100.0
                ),
            };
            Some(format!("{percent:.1} % of the energy has no intensity of its own hour: {how}{why}"))
        }
        (Some(why), _) => Some(format!("newer intensities do not arrive, or not all of them: {why}")),
        _ => None,
    }
}

/// Emissions of the run's energy at marginal intensities: what one more kWh would have emitted. They are not part of
/// the run's emissions.
pub struct Marginal {
    /// The provider and the region; the intensity is the mean over the run, NaN if no figure has arrived.
    pub intensity: Intensity,
    /// Emissions of the energy used, g CO2e; None: unknown.
    pub co2eq_g: Option<f64>,
    /// Emissions forecast for the whole run, g CO2e; None: unknown.
    pub forecast_g: Option<Estimate>,
    /// The share of the energy whose hour has a figure of its own, 0 to 1.
    pub coverage: Option<f64>,
}

impl Marginal {
    /// Converts the run's energy up to `at`. There is no fallback to averages, which are of another kind.
    pub fn new(hourly: &Hourly, state: &RunState, forecast: Option<Forecast>, at: MonoNs) -> Marginal {
        let carried_over = CarriedEmissions {
            co2eq_g: state.attribution.carried_over.marginal_g.unwrap_or(f64::NAN),
            ..state.factors().carried_over
        };
        let factors = EmissionFactors {
            flat: f64::NAN,
            curve: Some(&hourly.curve),
            clock: &state.carbon.clock,
            pue: state.carbon.pue,
            carried_over,
        };
        let emissions = factors.emissions(&state.attribution.ledger, at);
        let known = |grams: f64| Some(grams).filter(|grams| grams.is_finite());
        Marginal {
            intensity: Intensity { g_per_kwh: emissions.g_per_kwh, ..hourly.about.clone() },
            co2eq_g: state.attribution.ledger.energy_j().and_then(|joules| known(emissions.grams(joules))),
            forecast_g: forecast
                .and_then(|forecast| factors.forecast(&emissions, &forecast))
                .filter(|estimate| estimate.value.is_finite()),
            coverage: emissions.sources.and_then(|sources| sources.covered),
        }
    }
}
