//! Grams of CO2e a kilowatt-hour, and where the figure comes from: given by the user, or by the zone's
//! yearly average in the table built in.

pub mod service;
pub mod slot;

use crate::error::{Error, Result};
use crate::options::{IntensityOption, Options};
use crate::units::J_PER_KWH;

const ZONES: &str = include_str!("zones.csv");
const CLOUD: &str = include_str!("cloud.csv");

/// A carbon intensity and its provenance.
#[derive(Clone, Debug, PartialEq)]
pub struct Intensity {
    /// gCO2e/kWh.
    pub g_per_kwh: f64,
    /// "constant" (given by the user) or "static" (a year's average).
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

/// From the devices' energy to the facility's and to emissions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Facility energy over IT energy.
    pub pue: f64,
    /// gCO2e/kWh of facility energy.
    pub g_per_kwh: f64,
}

impl Price {
    /// Facility energy behind so many joules of the devices, kWh.
    pub fn facility_kwh(&self, joules: f64) -> f64 {
        joules / J_PER_KWH * self.pue
    }

    /// Emissions behind so many joules of the devices, g CO2e.
    pub fn grams(&self, joules: f64) -> f64 {
        self.facility_kwh(joules) * self.g_per_kwh
    }
}

impl Intensity {
    /// The price of energy at this intensity.
    pub fn price(&self, pue: f64) -> Price {
        Price { pue, g_per_kwh: self.g_per_kwh }
    }
}

/// The intensity the options ask for. An unknown zone is refused, with those it may have meant.
pub fn choose(options: &Options) -> Result<Intensity> {
    let asked = options.location.as_deref().filter(|zone| !zone.eq_ignore_ascii_case("ip"));
    let mut table = static_intensity(asked.unwrap_or("WORLD"))?;
    if options.location.is_none() {
        let caveat = "no location given: CO2 is priced at the world's average; set location= (DK, US-CA, aws:eu-north-1, …) or intensity=";
        table.caveat = Some(caveat.into());
    }
    match &options.intensity {
        Some(IntensityOption::Constant(g_per_kwh)) => Ok(Intensity {
            g_per_kwh: *g_per_kwh,
            kind: "constant",
            zone: asked.map(|_| table.zone).unwrap_or_default(),
            year: None,
            basis: None,
            source: "given by the user".into(),
            caveat: None,
        }),
        Some(IntensityOption::Hourly(source)) => {
            let caveat = format!(
                "intensity='{source}' is not read yet by this version: CO2 is priced at the yearly average of {}",
                asked.unwrap_or("the world")
            );
            Ok(Intensity { caveat: Some(caveat), ..table })
        }
        None => Ok(table),
    }
}

/// The table's figure for a zone or cloud region, in any case.
fn static_intensity(asked: &str) -> Result<Intensity> {
    if let Some(region) = rows(CLOUD).find(|region| column(region, 0).eq_ignore_ascii_case(asked)) {
        let (name, city, zone) = (column(&region, 0), column(&region, 1), column(&region, 2));
        let table = zone_row(zone).and_then(|row| from_row(&row)).ok_or_else(|| unknown(asked))?;
        return Ok(match column(&region, 3).parse() {
            Ok(g_per_kwh) => Intensity {
                g_per_kwh,
                year: column(&region, 4).parse().ok(),
                basis: None,
                zone: Some(name.to_owned()),
                source: format!("the provider's own figure for {city}"),
                ..table
            },
            Err(_) => Intensity {
                zone: Some(name.to_owned()),
                source: format!("{} ({zone}, for {city})", table.source),
                ..table
            },
        });
    }
    zone_row(asked).and_then(|row| from_row(&row)).ok_or_else(|| unknown(asked))
}

/// The row whose zone, alpha-2 or alpha-3 code this is.
fn zone_row(asked: &str) -> Option<Vec<&'static str>> {
    let asked = if asked.eq_ignore_ascii_case("UK") { "GB" } else { asked }; // what its people call it
    rows(ZONES)
        .find(|row| (0..3).any(|code| !column(row, code).is_empty() && column(row, code).eq_ignore_ascii_case(asked)))
}

fn from_row(row: &[&'static str]) -> Option<Intensity> {
    Some(Intensity {
        g_per_kwh: column(row, 5).parse().ok()?,
        kind: "static",
        zone: Some(column(row, 0).to_owned()),
        year: column(row, 4).parse().ok(),
        basis: Some(column(row, 6)),
        source: source(column(row, 7))?.to_owned(),
        caveat: None,
    })
}

/// The source behind a letter: the table's own head says it.
fn source(letter: &str) -> Option<&'static str> {
    ZONES.lines().find_map(|line| line.strip_prefix("# ")?.strip_prefix(letter)?.strip_prefix("  "))
}

/// An unknown zone, with the nearest there are: by code, by name, or within a country.
fn unknown(asked: &str) -> Error {
    let wanted = asked.to_lowercase();
    let zones = rows(ZONES).map(|row| (column(&row, 0), column(&row, 3).to_lowercase(), column(&row, 3)));
    let regions = rows(CLOUD).map(|row| (column(&row, 0), column(&row, 0).to_lowercase(), column(&row, 1)));
    let mut near: Vec<(f64, String)> = zones
        .chain(regions)
        .map(|(code, name, shown)| {
            let by_code = strsim::jaro_winkler(&wanted, &code.to_lowercase());
            let by_name = strsim::jaro_winkler(&wanted, &name);
            (by_code.max(by_name), format!("{code} ({shown})"))
        })
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let near: Vec<String> = near.into_iter().take(3).map(|(_, name)| name).collect();
    Error::invalid(format!(
        "location='{asked}': no such zone; near it are {}. Allowed are ISO country codes (DK, DNK), states and provinces (US-CA), \
         bidding zones (NO-NO1), cloud regions (aws:eu-north-1) and WORLD; or give intensity= in gCO2e/kWh",
        near.join(", ")
    ))
}

fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(',').collect())
}

fn column(row: &[&'static str], index: usize) -> &'static str {
    row.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(text: &str) -> Intensity {
        choose(&Options::parse(text, |_| None).unwrap()).unwrap()
    }

    fn refused(text: &str) -> String {
        choose(&Options::parse(text, |_| None).unwrap()).err().unwrap().message
    }

    #[test]
    fn zones_by_every_code_in_any_case() {
        for (zone, g_per_kwh) in
            [("DK", 114.41), ("dnk", 114.41), ("us-ca", 179.06), ("NO-NO1", 26.0), ("world", 458.29), ("WORLD", 458.29)]
        {
            let found = chosen(&format!("location={zone}"));
            assert!((found.g_per_kwh - g_per_kwh).abs() < 0.5, "{found:?}");
            assert!(found.year.is_some() && found.basis.is_some() && found.source.len() > 10 && found.caveat.is_none());
        }
    }

    #[test]
    fn cloud_regions_prefer_the_providers_own_figure() {
        let google = chosen("location=GCP:asia-east1");
        assert_eq!((google.g_per_kwh, google.year), (451.0, Some(2023)));
        let stockholm = chosen("location=aws:eu-north-1");
        assert_eq!(stockholm.zone.as_deref(), Some("aws:eu-north-1"));
        assert!(stockholm.g_per_kwh < 60.0 && stockholm.source.contains("SE"), "{stockholm:?}");
    }

    #[test]
    fn no_zone_is_the_world_and_says_so() {
        let world = chosen("");
        assert_eq!((world.g_per_kwh, world.zone.as_deref()), (458.29, Some("WORLD")));
        assert!(world.caveat.unwrap().contains("world's average"));
        let given = chosen("intensity=50.5 location=FR");
        assert_eq!((given.g_per_kwh, given.kind, given.zone.as_deref()), (50.5, "constant", Some("FR")));
        assert!(chosen("intensity=electricitymaps location=DK").caveat.unwrap().contains("not read yet"));
    }

    #[test]
    fn unknown_zones_are_refused_with_near_ones() {
        assert!(refused("location=Denmark").contains("DK (Denmark)"));
        assert!(refused("location=US-CAL").contains("US-CA (California)"));
        assert!(refused("location=aws:eu-nort-1").contains("aws:eu-north-1"));
        assert!(refused("location=Atlantis intensity=5").contains("location='Atlantis'"));
    }

    #[test]
    fn every_row_of_the_tables_is_whole() {
        assert!(rows(ZONES).all(|row| row.len() == 8 && from_row(&row).is_some_and(|zone| zone.g_per_kwh > 0.0)));
        assert!(rows(CLOUD).all(|row| row.len() == 5 && static_intensity(column(&row, 0)).is_ok()));
        assert!(rows(ZONES).count() > 300 && rows(CLOUD).count() > 140);
    }
}
