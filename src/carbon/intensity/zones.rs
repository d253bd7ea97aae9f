//! A year's average by zone: which zone a text means, and what the tables built in say of it.
//!
//! A zone within a country, a state of the USA and a cloud region are priced by what their grid delivers, over the life
//! cycle; a country by what it produces. One grid has one figure of a kind, whoever's region it feeds. Google's own figures
//! are of another kind (direct emissions): they price its regions, and stand for direct emissions on the grids these are on.

use super::Intensity;
use crate::error::Result;
use crate::sanitize;
use std::iter;

pub mod names;
mod refusal;
mod tables;

pub use names::{FoundName, Spot, find, part};
use tables::{CLOUD_GRIDS, REGIONS, STATES, TableRow, ZONES, row, rows};

/// What is produced in a zone, as against what is used there after trade with its neighbours.
pub const PRODUCTION: &str = "production";
/// What is used in a zone.
pub const CONSUMPTION: &str = "consumption";

/// With building the plants and their fuel.
pub const LIFECYCLE: &str = "lifecycle";
const DIRECT: &str = "direct";
const GRID_SOURCE: &str = "Electricity Maps by way of CO2.js (ODbL 1.0)";
const GRID_YEAR: u32 = 2025;
const CLOUD_SOURCE: &str = "Electricity Maps by way of the Green Software Foundation's real-time-cloud";
const OWN_SOURCE: &str = "Google's own figure, region-carbon-info";

/// A place of the tables.
#[derive(Clone, Debug, PartialEq)]
pub struct ZonePlace {
    /// What people call it.
    pub name: &'static str,
    /// The grid that feeds it, as Electricity Maps names it.
    pub grid: Option<&'static str>,
    /// Its yearly average.
    pub yearly: Intensity,
    spot: Spot,
}

/// What a cloud provider publishes of the halls of a region.
#[derive(Clone, Debug, PartialEq)]
pub struct Halls {
    /// The region.
    pub region: &'static str,
    /// Facility energy over IT energy, and its year.
    pub pue: Option<(f64, u32)>,
    /// Litres of water a kWh of IT energy, and its year.
    pub wue: Option<(f64, u32)>,
}

impl Halls {
    /// Who says so.
    pub const SOURCE: &str = "published by the provider, collected by the Green Software Foundation's real-time-cloud";

    /// Of a cloud region; None: the text means none.
    pub fn of(asked: &str) -> Option<Halls> {
        let FoundName { spot: Spot::Region(row), .. } = find(asked).ok()? else { return None };
        let figure = |column: usize| row.number(column).zip(row.year(column + 1));
        Some(Halls { region: row.cell(0), pue: figure(5), wue: figure(7) })
    }
}

/// The table's figure for a zone or cloud region, in any case.
pub fn yearly(asked: &str) -> Result<Intensity> {
    place("location", asked).map(|place| place.yearly)
}

/// The place that an option asks for by zone or cloud region, in any case; an unknown one is refused with near ones.
pub fn place(option: &str, asked: &str) -> Result<ZonePlace> {
    let found = find(asked).map_err(|unclear| refusal::refused(option, asked, &unclear))?;
    let first = figures(found.spot).next();
    let first = first.ok_or_else(|| refusal::refused(option, asked, &names::Unclear::Without("")))?;
    let caveat = caveat(asked, &found, &first);
    Ok(ZonePlace {
        name: found.spot.name(),
        grid: found.spot.grid().map(|grid| grid.cell(0)),
        yearly: Intensity { caveat, ..first },
        spot: found.spot,
    })
}

impl ZonePlace {
    /// Its yearly average on this basis and of this use.
    pub fn by(&self, basis: Option<&str>, scope: Option<&str>) -> Option<Intensity> {
        let is_asked = |one: &Intensity| one.basis == basis && one.scope == scope;
        Some(&self.yearly).filter(|yearly| is_asked(yearly)).cloned().or_else(|| figures(self.spot).find(is_asked))
    }
}

/// All that the tables say of a row, what prices it first. What nobody looks at is not looked up.
fn figures(spot: Spot) -> impl Iterator<Item = Intensity> {
    let region = if let Spot::Region(row) = spot { Some(row) } else { None };
    let placed = move || match spot {
        Spot::Zone(row) => of_zone(row),
        Spot::Region(row) => own(row),
        Spot::Grid(_) | Spot::State(_) => None,
    };
    // The world has nobody to trade with.
    let consumed =
        move || placed().filter(|_| spot.code() == "WORLD").map(|of| Intensity { scope: Some(CONSUMPTION), ..of });
    let by_cloud = move || region.and(spot.grid()).and_then(|grid| of_cloud_grid(row(CLOUD_GRIDS, grid.cell(0))?));
    let by_grid = move || spot.grid().and_then(of_grid);
    let by_zone = move || row(ZONES, region?.cell(2)).filter(|_| spot.grid().is_none()).and_then(of_zone);
    let by_google = move || {
        let grid = spot.grid()?;
        rows(REGIONS).find(|row| row.cell(2) == grid.cell(0) && !row.cell(3).is_empty()).and_then(own)
    };
    let first = iter::once_with(placed).chain(iter::once_with(consumed)).chain(iter::once_with(by_cloud));
    let rest = iter::once_with(by_grid).chain(iter::once_with(by_zone)).chain(iter::once_with(by_google));
    first.chain(rest).flatten().map(move |figure| named(figure, spot))
}

/// A figure under the code of the row that it is for.
fn named(mut figure: Intensity, spot: Spot) -> Intensity {
    if let Some(of) = figure.zone.replace(spot.code().to_owned()).filter(|of| of != spot.code()) {
        let place = if matches!(spot, Spot::Region(_)) { format!(", for {}", spot.name()) } else { String::new() };
        figure.source = format!("{} ({of}{place})", figure.source);
    }
    figure
}

fn figure(zone: &str, g_per_kwh: f64, year: Option<u32>, basis: &'static str, source: &str) -> Intensity {
    Intensity {
        g_per_kwh,
        kind: "static",
        zone: Some(zone.to_owned()),
        year,
        basis: Some(basis),
        scope: Some(CONSUMPTION),
        source: source.to_owned(),
        caveat: None,
    }
}

fn of_zone(row: TableRow) -> Option<Intensity> {
    let source = tables::source(row.cell(7))?;
    let of_table = figure(row.cell(0), row.number(4)?, row.year(3), row.cell(5), source);
    Some(Intensity { scope: Some(row.cell(6)), ..of_table })
}

fn of_grid(row: TableRow) -> Option<Intensity> {
    Some(figure(row.cell(0), row.number(2)?, Some(GRID_YEAR), LIFECYCLE, GRID_SOURCE))
}

fn of_cloud_grid(row: TableRow) -> Option<Intensity> {
    Some(figure(row.cell(0), row.number(1)?, row.year(2), LIFECYCLE, CLOUD_SOURCE))
}

/// The provider's own figure of a region, which is of the grid there.
fn own(region: TableRow) -> Option<Intensity> {
    Some(figure(region.cell(2), region.number(3)?, region.year(4), DIRECT, OWN_SOURCE))
}

/// What the user should know of the choice.
fn caveat(asked: &str, found: &FoundName, priced: &Intensity) -> Option<String> {
    let FoundName { spot, why } = *found;
    if !why.is_empty() {
        return Some(format!(
            "location={} is priced as {} ({}): {why}",
            sanitize::text(asked),
            spot.code(),
            spot.name()
        ));
    }
    match spot {
        Spot::State(row) => several(row),
        Spot::Region(row) if !row.cell(9).is_empty() => Some(format!("location={}: {}", row.cell(0), row.cell(9))),
        Spot::Region(_) if priced.basis == Some(DIRECT) => {
            let like = figures(spot).find(|figure| figure.basis == Some(LIFECYCLE))?;
            Some(format!(
                "location={} is priced by {OWN_SOURCE}, of direct emissions ({} g/kWh); over the life cycle its grid, {}, has {}",
                spot.code(),
                priced.g_per_kwh,
                spot.zone(),
                like.g_per_kwh
            ))
        }
        _ => None,
    }
}

/// A state that lies on several grids.
fn several(state: TableRow) -> Option<String> {
    let (first, more) = state.cell(2).split_once(' ')?;
    let shown = |zone: &str| Some(format!("{zone} ({} g/kWh)", row(tables::GRIDS, zone)?.cell(2)));
    let more: Vec<String> = more.split(' ').filter_map(shown).collect();
    let code = state.cell(0);
    Some(format!(
        "{code} lies on several grids and is priced as the largest, {}; others are {}: set location= to the one that feeds you",
        shown(first)?,
        more.join(", ")
    ))
}

/// Whether a code is that of a state of the USA.
pub fn is_state(code: &str) -> bool {
    row(STATES, code).is_some()
}

#[cfg(test)]
mod tests;
