//! Grams of CO2e a kilowatt-hour, and where the figure comes from: given by the user, the zone's yearly average in the
//! table built in, or figures by the hour from a file or a live service.

pub mod csv_file;
pub mod curve;
pub mod slot;
pub mod zones;

use super::emissions::{Before, EmissionFactors};
use super::provider::Provider;
use crate::clock::WallClock;
use curve::Curve;

/// A carbon intensity and its provenance.
#[derive(Clone, Debug, PartialEq)]
pub struct Intensity {
    /// gCO2e/kWh.
    pub g_per_kwh: f64,
    /// "constant" (given by the user), "static" (a year's average), "file" or "live" (by the hour).
    pub kind: &'static str,
    /// The zone it holds for; None where the user gave the figure.
    pub zone: Option<String>,
    /// The year it was measured.
    pub year: Option<u32>,
    /// "lifecycle" (with building the plants and their fuel) or "direct" (what leaves the stack).
    pub basis: Option<&'static str>,
    /// "production" (what the zone's plants emit) or "consumption" (what its users draw, after trade with neighbours); None: not
    /// stated. The report calls it `use`.
    pub scope: Option<&'static str>,
    /// Who says so.
    pub source: String,
    /// What the user should know about the choice.
    pub caveat: Option<String>,
}

impl Intensity {
    /// Whether each hour has a figure of its own.
    pub fn is_by_hour(&self) -> bool {
        ["file", "live"].contains(&self.kind)
    }
}

/// The grid that feeds the run, as far as it is known.
#[derive(Clone, Debug)]
pub struct GridIntensity {
    /// One figure for all time: the user's, or the zone's yearly average, which counts until there are better ones.
    pub flat: Intensity,
    /// Figures by the hour, if they were asked for.
    pub hourly: Option<Hourly>,
}

/// Figures by the hour.
#[derive(Clone, Debug)]
pub struct Hourly {
    /// Whose they are; its figure is not used.
    pub about: Intensity,
    /// The figures.
    pub curve: Curve,
    /// Why there are no newer ones.
    pub failure: Option<String>,
}

impl GridIntensity {
    /// What turns energy into emissions, given the hours and the PUE.
    pub fn pricing<'a>(&'a self, calendar: &'a WallClock, pue: f64) -> EmissionFactors<'a> {
        let curve = self.hourly.as_ref().map(|hourly| &hourly.curve);
        EmissionFactors { flat: self.flat.g_per_kwh, curve, calendar, pue, before: Before::default() }
    }

    /// What the user should know of the choice.
    pub fn caveats(&self) -> impl Iterator<Item = String> {
        let about = self.hourly.as_ref().map_or(&self.flat, |hourly| &hourly.about);
        about.caveat.iter().cloned()
    }
}

impl Hourly {
    /// Of a service, with no figures as yet.
    pub fn of(service: &dyn Provider) -> Hourly {
        let (basis, scope) = (Some(service.basis()), service.scope());
        let about = Intensity { zone: Some(service.zone()), basis, scope, ..live_one(service.source()) };
        Hourly { about, curve: Curve::default(), failure: service.missing().map(str::to_owned) }
    }

    /// Of a service that is chosen once the place is known.
    pub(crate) fn of_unknown(name: &str) -> Hourly {
        Hourly { about: live_one(name), curve: Curve::default(), failure: None }
    }
}

fn live_one(source: &str) -> Intensity {
    let source = source.to_owned();
    let (kind, g_per_kwh) = ("live", f64::NAN);
    Intensity { g_per_kwh, kind, zone: None, year: None, basis: None, scope: None, source, caveat: None }
}
