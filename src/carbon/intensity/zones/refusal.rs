//! The error for a zone's name that is unknown or ambiguous.

use super::names::{Spot, Unclear};
use super::tables::{GRIDS, NAMES, REGIONS, STATES, ZONES, row, rows};
use crate::error::Error;

/// The error for an option's value.
pub fn refused(option: &str, asked: &str, unclear: &Unclear) -> Error {
    let figure = if option == "location" { "; or set intensity= in gCO2e/kWh" } else { "" };
    Error::invalid(match unclear {
        Unclear::Unknown => format!(
            "{option}='{asked}': no such zone; similar are {}. Use ISO country codes (DK, DNK) and names (Denmark), states \
             and provinces (US-CA), zones of Electricity Maps (NO-NO1, US-CAL-CISO), cloud regions (aws:eu-north-1) and \
             WORLD{figure}",
            similar(asked).join(", ")
        ),
        Unclear::Several(spots) => {
            let spots: Vec<String> = spots.iter().map(|spot| shown(*spot)).collect();
            format!("{option}='{asked}' is ambiguous: {}; set one of their codes", spots.join(" and "))
        }
        Unclear::Without(why) => {
            let why = if why.is_empty() { "it is on no grid in the tables" } else { why };
            let fix = match option {
                "location" => "or set intensity= in gCO2e/kWh and no location=",
                _ => "remove it, or name a place nearby",
            };
            format!("{option}='{asked}': the tables have no figure for this place: {why}; {fix}")
        }
    })
}

fn shown(spot: Spot) -> String {
    labelled(spot.code(), spot.name())
}

fn labelled(code: &str, name: &str) -> String {
    format!("{code} ({name})")
}

/// The three most similar names: by code, by name or within a country.
fn similar(asked: &str) -> Vec<String> {
    const SHOWN: usize = 3;
    let wanted = asked.trim().to_lowercase();
    let likeness = |name: &str| strsim::jaro_winkler(&wanted, &name.to_lowercase());
    let mut similar: Vec<(f64, String)> = Vec::new();
    let mut add = |names: &[&str], label: String| {
        let best = names.iter().map(|name| likeness(name)).fold(0.0, f64::max);
        similar.push((best, label));
    };
    for (table, name) in [(ZONES, 2), (GRIDS, 1), (STATES, 1)] {
        for row in rows(table) {
            add(&[row.cell(0), row.cell(name)], labelled(row.cell(0), row.cell(name)));
        }
    }
    for row in rows(REGIONS) {
        let bare = row.cell(0).split_once(':').map_or("", |(_, region)| region);
        add(&[row.cell(0), bare, row.cell(1)], labelled(row.cell(0), row.cell(1)));
    }
    for (names, zone) in rows(NAMES).map(|row| (row.cell(0), row.cell(1))) {
        let named = [(ZONES, 2), (GRIDS, 1)].into_iter().find_map(|(table, name)| Some(row(table, zone)?.cell(name)));
        let names: Vec<&str> = names.split('|').collect();
        named.into_iter().for_each(|name| add(&names, labelled(zone, name)));
    }
    similar.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut labels: Vec<String> = Vec::new();
    for (_, label) in similar {
        if labels.len() < SHOWN && !labels.contains(&label) {
            labels.push(label);
        }
    }
    labels
}
