//! Carbon intensity of electricity: grams of CO2e for each kilowatt-hour, with its source.
//!
//! In: a zone, a file's text or a provider's figures. Out: one figure, or a curve by the hour. Never: it asks no
//! network.

pub mod csv_file;
pub mod curve;
pub mod labels;
pub mod slot;
pub mod zones;

use curve::Curve;
pub use labels::{EmissionsBasis, IntensityKind, PowerUse};

/// A carbon intensity and its provenance.
#[derive(Clone, Debug, PartialEq)]
pub struct Intensity {
    /// The intensity, gCO2e/kWh.
    pub g_per_kwh: f64,
    /// How it was obtained.
    pub kind: IntensityKind,
    /// The zone that it holds for. None: the user gave the figure.
    pub zone: Option<String>,
    /// The year of measurement, for a yearly average.
    pub year: Option<u32>,
    /// Which emissions it counts. None: not stated.
    pub basis: Option<EmissionsBasis>,
    /// Which power it averages over. None: not stated.
    pub power_use: Option<PowerUse>,
    /// The data source, for attribution.
    pub source: String,
    /// What the user should know about this choice of figure.
    pub caveat: Option<String>,
}

impl Intensity {
    /// Whether each hour has a figure of its own.
    pub fn is_by_hour(&self) -> bool {
        self.kind.is_by_hour()
    }
}

/// The grid that feeds the run, as far as it is known.
#[derive(Clone, Debug)]
pub struct GridIntensity {
    /// One figure for all time: the user's, or the zone's yearly average. It counts where there is no figure by the
    /// hour.
    pub flat: Intensity,
    /// Figures by the hour, if the options ask for them.
    pub hourly: Option<Hourly>,
}

/// Figures by the hour.
#[derive(Clone, Debug)]
pub struct Hourly {
    /// Their provenance. Its `g_per_kwh` is not used.
    pub about: Intensity,
    /// The figures.
    pub curve: Curve,
    /// Why there are no newer figures.
    pub failure: Option<String>,
}

impl GridIntensity {
    /// What the user should know about the choice of grid.
    pub fn caveats(&self) -> impl Iterator<Item = String> {
        let about = self.hourly.as_ref().map_or(&self.flat, |hourly| &hourly.about);
        about.caveat.iter().cloned()
    }
}
