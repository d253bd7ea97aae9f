//! A year's average by zone: the tables built in, and which row a zone means.

use super::Intensity;
use crate::error::{Error, Result};

pub(super) const ZONES: &str = include_str!("zones.csv");
pub(super) const CLOUD: &str = include_str!("cloud.csv");

/// A place of the tables.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// What people call it.
    pub name: &'static str,
    /// Its yearly average.
    pub yearly: Intensity,
}

/// The table's figure for a zone or cloud region, in any case.
pub fn yearly(asked: &str) -> Result<Intensity> {
    place("location", asked).map(|place| place.yearly)
}

/// The place that an option asks for by zone or cloud region, in any case; an unknown one is refused with near ones.
pub fn place(option: &str, asked: &str) -> Result<Place> {
    find(asked).ok_or_else(|| unknown(option, asked))
}

fn find(asked: &str) -> Option<Place> {
    let Some(region) = rows(CLOUD).find(|region| column(region, 0).eq_ignore_ascii_case(asked)) else {
        let row = zone_row(asked)?;
        return Some(Place { name: column(&row, 3), yearly: from_row(&row)? });
    };
    let (code, city, zone) = (column(&region, 0), column(&region, 1), column(&region, 2));
    let table = from_row(&zone_row(zone)?)?;
    let yearly = match column(&region, 3).parse() {
        Ok(g_per_kwh) => Intensity {
            g_per_kwh,
            year: column(&region, 4).parse().ok(),
            basis: None,
            zone: Some(code.to_owned()),
            source: format!("the provider's own figure for {city}"),
            ..table
        },
        Err(_) => {
            Intensity { zone: Some(code.to_owned()), source: format!("{} ({zone}, for {city})", table.source), ..table }
        }
    };
    Some(Place { name: city, yearly })
}

/// The row whose zone, alpha-2 or alpha-3 code this is.
pub(super) fn zone_row(asked: &str) -> Option<Vec<&'static str>> {
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
fn unknown(option: &str, asked: &str) -> Error {
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
        "{option}='{asked}': no such zone; near it are {}. Allowed are ISO country codes (DK, DNK), states and provinces (US-CA), \
         bidding zones (NO-NO1), cloud regions (aws:eu-north-1) and WORLD{}",
        near.join(", "),
        if option == "location" { "; or give intensity= in gCO2e/kWh" } else { "" }
    ))
}

pub(super) fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(',').collect())
}

pub(super) fn column(row: &[&'static str], index: usize) -> &'static str {
    row.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_by_every_code_in_any_case() {
        for (zone, g_per_kwh) in
            [("DK", 114.41), ("dnk", 114.41), ("us-ca", 179.06), ("NO-NO1", 26.0), ("world", 458.29), ("WORLD", 458.29)]
        {
            let found = yearly(zone).unwrap();
            assert!((found.g_per_kwh - g_per_kwh).abs() < 0.5, "{found:?}");
            assert!(found.year.is_some() && found.basis.is_some() && found.source.len() > 10 && found.caveat.is_none());
        }
    }

    #[test]
    fn cloud_regions_prefer_the_providers_own_figure() {
        let google = yearly("GCP:asia-east1").unwrap();
        assert_eq!((google.g_per_kwh, google.year), (451.0, Some(2023)));
        let stockholm = yearly("aws:eu-north-1").unwrap();
        assert_eq!(stockholm.zone.as_deref(), Some("aws:eu-north-1"));
        assert!(stockholm.g_per_kwh < 60.0 && stockholm.source.contains("SE"), "{stockholm:?}");
    }

    #[test]
    fn unknown_zones_are_refused_with_near_ones() {
        let refused = |zone: &str| yearly(zone).unwrap_err().message;
        assert!(refused("Denmark").contains("DK (Denmark)"));
        assert!(refused("US-CAL").contains("US-CA (California)"));
        assert!(refused("aws:eu-nort-1").contains("aws:eu-north-1"));
    }

    #[test]
    fn a_place_has_a_name_and_is_refused_by_its_own_option() {
        assert_eq!(place("what_if", "se").unwrap().name, "Sweden");
        assert_eq!(place("what_if", "aws:eu-north-1").unwrap().name, "Stockholm");
        let refused = place("what_if", "Denmark").unwrap_err().message;
        assert!(refused.starts_with("what_if='Denmark'") && refused.contains("DK (Denmark)"), "{refused}");
        assert!(!refused.contains("intensity="), "{refused}");
    }

    #[test]
    fn every_row_of_the_tables_is_whole() {
        assert!(rows(ZONES).all(|row| row.len() == 8 && from_row(&row).is_some_and(|zone| zone.g_per_kwh > 0.0)));
        assert!(rows(CLOUD).all(|row| row.len() == 5 && yearly(column(&row, 0)).is_ok()));
        assert!(rows(ZONES).count() > 300 && rows(CLOUD).count() > 140);
    }
}
