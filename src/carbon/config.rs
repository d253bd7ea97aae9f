//! What the options choose for carbon intensity, emissions and other impacts.

use super::facility::ByRegion;
use super::http::request::Secret;
use super::impacts::Rates;
use std::path::PathBuf;

/// Where the run is, where its carbon intensity comes from, and the rates of its facility.
#[derive(Clone)]
pub struct CarbonConfig {
    /// Zone whose grid feeds the run; `ip` and `cloud` have it looked up.
    pub location: Option<String>,
    /// Source of the carbon intensity; None: the yearly average of `location`.
    pub intensity: Option<IntensityOption>,
    /// Key for the live provider.
    pub api_key: Option<Secret>,
    /// Scheme and host that replace those of the live providers.
    pub intensity_url: Option<String>,
    /// Provider of marginal intensities, and its region.
    pub marginal: Option<(String, String)>,
    /// Account for the provider of marginal intensities.
    pub marginal_key: Option<Secret>,
    /// Facility energy divided by IT energy; 1 until a region's figure replaces it.
    pub pue: f64,
    /// The rates that are taken from the cloud region.
    pub by_region: ByRegion,
    /// Zones to compare the run with.
    pub what_if: WhatIfOption,
    /// Rates of cost, water and embodied emissions.
    pub rates: Rates,
    /// The folder that contains `sys`: the firmware names the cloud.
    pub sysroot: PathBuf,
}

/// The option `intensity`: a constant, or a source of hourly figures.
#[derive(Clone, Debug, PartialEq)]
pub enum IntensityOption {
    /// Constant intensity, g CO2e/kWh.
    Constant(f64),
    /// A CSV file.
    File(PathBuf),
    /// A live provider, by its name.
    Provider(String),
}

/// The option `what_if`: other places for the same run.
#[derive(Clone, Debug, PartialEq)]
pub enum WhatIfOption {
    /// No comparison.
    Off,
    /// The run's own zone and ten others with very different grids.
    Usual,
    /// These zones.
    Zones(Vec<String>),
}

impl Default for CarbonConfig {
    fn default() -> Self {
        CarbonConfig {
            location: None,
            intensity: None,
            api_key: None,
            intensity_url: None,
            marginal: None,
            marginal_key: None,
            pue: 1.0,
            by_region: ByRegion::default(),
            what_if: WhatIfOption::Usual,
            rates: Rates::default(),
            sysroot: "/".into(),
        }
    }
}
