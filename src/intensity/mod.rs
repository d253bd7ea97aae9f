//! Grams of CO2e a kilowatt-hour, and where the figure comes from: given by the user, the zone's yearly average in the
//! table built in, or figures by the hour from a file or a live service.

pub mod carbonintensity_gb;
pub mod cloud;
pub mod curve;
pub mod electricitymaps;
pub mod energidataservice;
pub mod energycharts;
pub mod file;
#[cfg(feature = "live")]
pub mod cache;
#[cfg(feature = "live")]
pub mod fetcher;
#[cfg(feature = "live")]
pub mod http;
pub mod service;
pub mod slot;
pub mod watttime;
pub mod whereabouts;
mod zones;

use crate::error::Result;
use crate::options::{IntensityOption, Options};
use curve::Curve;
use std::path::PathBuf;

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
pub struct Grid {
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

impl Grid {
    /// What the user should know of the choice.
    pub fn caveats(&self) -> impl Iterator<Item = String> {
        let about = self.hourly.as_ref().map_or(&self.flat, |hourly| &hourly.about);
        about.caveat.iter().cloned()
    }
}

/// Where figures by the hour come from while the run lasts.
pub enum Feed {
    /// A file, read again when it changes.
    File(PathBuf),
}

/// The grid the options ask for, and what feeds it. An unknown zone is refused, with those it may have meant.
pub fn choose(options: &Options) -> Result<(Grid, Option<Feed>)> {
    let asked = options.location.as_deref().filter(|zone| !zone.eq_ignore_ascii_case("ip"));
    let mut table = zones::yearly(asked.unwrap_or("WORLD"))?;
    let (flat, hourly, feed) = match &options.intensity {
        Some(IntensityOption::Constant(g_per_kwh)) => (given(*g_per_kwh, asked.and(table.zone)), None, None),
        Some(IntensityOption::Hourly(path)) => {
            let path = PathBuf::from(path);
            let hourly = file::open(&path, asked)?;
            (table, Some(hourly), Some(Feed::File(path)))
        }
        None => {
            if asked.is_none() {
                table.caveat = Some(NOWHERE.into());
            }
            (table, None, None)
        }
    };
    Ok((Grid { flat, hourly }, feed))
}

const NOWHERE: &str = "no location given: CO2 is priced at the world's average; set location= (DK, US-CA, aws:eu-north-1, …) or intensity=";

fn given(g_per_kwh: f64, zone: Option<String>) -> Intensity {
    let source = "given by the user".into();
    Intensity { g_per_kwh, kind: "constant", zone, year: None, basis: None, source, caveat: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(text: &str) -> Intensity {
        choose(&Options::parse(text, |_| None).unwrap()).unwrap().0.flat
    }

    #[test]
    fn no_zone_is_the_world_and_says_so() {
        let world = chosen("");
        assert_eq!((world.g_per_kwh, world.zone.as_deref()), (458.29, Some("WORLD")));
        assert!(world.caveat.unwrap().contains("world's average"));
        let given = chosen("intensity=50.5 location=FR");
        assert_eq!((given.g_per_kwh, given.kind, given.zone.as_deref()), (50.5, "constant", Some("FR")));
        assert_eq!(chosen("intensity=50.5").zone, None);
    }

    #[test]
    fn an_unknown_zone_is_refused_whatever_the_intensity() {
        let refused = choose(&Options::parse("location=Atlantis intensity=5", |_| None).unwrap()).err().unwrap();
        assert!(refused.message.contains("location='Atlantis'"));
    }
}
