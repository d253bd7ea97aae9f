//! Yearly averages by zone, from the tables built in.
//!
//! A zone within a country, a state of the USA and a cloud region use consumption figures of their grid on a lifecycle
//! basis. A country uses production figures. All regions on one grid have one figure of a kind, whichever provider runs
//! them. Google's own figures are of another kind (direct emissions). They are used for its regions, and as the direct
//! figures of these grids.

use super::{EmissionsBasis, Intensity, IntensityKind, PowerUse};
use crate::error::Result;
use crate::sanitize;
use std::iter;

mod country;
mod list;
pub mod names;
mod refusal;
mod tables;

pub use country::{ZoneCountry, country};
pub use list::{ListedZone, all};
pub use names::{FoundName, Spot, find, part};
use tables::{CLOUD_GRIDS, REGIONS, STATES, TableRow, ZONES, row, rows};

const GRID_SOURCE: &str = "Electricity Maps by way of CO2.js (ODbL 1.0)";
const GRID_YEAR: u32 = 2025;
const CLOUD_SOURCE: &str = "Electricity Maps by way of the Green Software Foundation's real-time-cloud";
const OWN_SOURCE: &str = "Google's own figure, region-carbon-info";

/// A location in the tables.
#[derive(Clone, Debug, PartialEq)]
pub struct TableLocation {
    /// Its common name.
    pub name: &'static str,
    /// The grid that feeds it, by its name at Electricity Maps.
    pub grid: Option<&'static str>,
    /// Its yearly average.
    pub yearly: Intensity,
    spot: Spot,
}

/// The rates that a cloud provider publishes for a region's data centres.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionFacility {
    /// The region.
    pub region: &'static str,
    /// PUE (facility energy over IT energy), and its year.
    pub pue: Option<(f64, u32)>,
    /// WUE (water used on site, L per kWh of IT energy), and its year.
    pub wue: Option<(f64, u32)>,
}

impl RegionFacility {
    /// The data source, for attribution.
    pub const SOURCE: &str = "published by the provider, collected by the Green Software Foundation's real-time-cloud";

    /// The rates of a cloud region. None: the text is not the name of one.
    pub fn of(asked: &str) -> Option<RegionFacility> {
        let FoundName { spot: Spot::Region(row), .. } = find(asked).ok()? else { return None };
        let figure = |column: usize| row.number(column).zip(row.year(column + 1));
        Some(RegionFacility { region: row.cell(0), pue: figure(5), wue: figure(7) })
    }
}

/// The yearly average of a zone or cloud region, by its name in any case. Errors: an unknown name; the message lists
/// similar ones.
pub fn yearly(asked: &str) -> Result<Intensity> {
    locate("location", asked).map(|location| location.yearly)
}

/// The location that an option names, in any case. Errors: an unknown name; the message lists similar ones.
pub fn locate(option: &str, asked: &str) -> Result<TableLocation> {
    let found = find(asked).map_err(|unclear| refusal::refused(option, asked, &unclear))?;
    let first = figures(found.spot).next();
    let first = first.ok_or_else(|| refusal::refused(option, asked, &names::Unclear::Without("")))?;
    let caveat = caveat(asked, &found, &first);
    Ok(TableLocation {
        name: found.spot.name(),
        grid: found.spot.grid().map(|grid| grid.cell(0)),
        yearly: Intensity { caveat, ..first },
        spot: found.spot,
    })
}

impl TableLocation {
    /// The yearly average on this basis and of this use.
    pub fn by(&self, basis: Option<EmissionsBasis>, power_use: Option<PowerUse>) -> Option<Intensity> {
        let is_requested = |one: &Intensity| one.basis == basis && one.power_use == power_use;
        Some(&self.yearly)
            .filter(|yearly| is_requested(yearly))
            .cloned()
            .or_else(|| figures(self.spot).find(is_requested))
    }
}

/// All figures of a row in the tables, the one used by default first. The iterator looks up only the figures that the
/// caller reads.
fn figures(spot: Spot) -> impl Iterator<Item = Intensity> {
    let region = if let Spot::Region(row) = spot { Some(row) } else { None };
    let placed = move || match spot {
        Spot::Zone(row) => of_zone(row),
        Spot::Region(row) => own(row),
        Spot::Grid(_) | Spot::State(_) => None,
    };
    // The world does not trade, so it consumes what it produces.
    let consumed = move || {
        placed().filter(|_| spot.code() == "WORLD").map(|of| Intensity { power_use: Some(PowerUse::Consumption), ..of })
    };
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

/// Labels a figure with the code of the row that it is used for.
fn named(mut figure: Intensity, spot: Spot) -> Intensity {
    if let Some(of) = figure.zone.replace(spot.code().to_owned()).filter(|of| of != spot.code()) {
        let suffix = if matches!(spot, Spot::Region(_)) { format!(", for {}", spot.name()) } else { String::new() };
        figure.source = format!("{} ({of}{suffix})", figure.source);
    }
    figure
}

fn figure(zone: &str, g_per_kwh: f64, year: Option<u32>, basis: EmissionsBasis, source: &str) -> Intensity {
    Intensity {
        g_per_kwh,
        kind: IntensityKind::Yearly,
        zone: Some(zone.to_owned()),
        year,
        basis: Some(basis),
        power_use: Some(PowerUse::Consumption),
        source: source.to_owned(),
        caveat: None,
    }
}

fn of_zone(row: TableRow) -> Option<Intensity> {
    let source = tables::source(row.cell(7))?;
    let of_table = figure(row.cell(0), row.number(4)?, row.year(3), row.cell(5).parse().ok()?, source);
    Some(Intensity { power_use: row.cell(6).parse().ok(), ..of_table })
}

fn of_grid(row: TableRow) -> Option<Intensity> {
    Some(figure(row.cell(0), row.number(2)?, Some(GRID_YEAR), EmissionsBasis::Lifecycle, GRID_SOURCE))
}

fn of_cloud_grid(row: TableRow) -> Option<Intensity> {
    Some(figure(row.cell(0), row.number(1)?, row.year(2), EmissionsBasis::Lifecycle, CLOUD_SOURCE))
}

/// The provider's own figure of a region, which is of the region's grid.
fn own(region: TableRow) -> Option<Intensity> {
    Some(figure(region.cell(2), region.number(3)?, region.year(4), EmissionsBasis::Direct, OWN_SOURCE))
}

/// What the user should know about the choice.
fn caveat(asked: &str, found: &FoundName, used: &Intensity) -> Option<String> {
    let FoundName { spot, why } = *found;
    if !why.is_empty() {
        return Some(format!(
            "location={} uses the figure of {} ({}): {why}",
            sanitize::text(asked),
            spot.code(),
            spot.name()
        ));
    }
    match spot {
        Spot::State(row) => several(row),
        Spot::Region(row) if !row.cell(9).is_empty() => Some(format!("location={}: {}", row.cell(0), row.cell(9))),
        Spot::Region(_) if used.basis == Some(EmissionsBasis::Direct) => {
            let like = figures(spot).find(|figure| figure.basis == Some(EmissionsBasis::Lifecycle))?;
            Some(format!(
                "location={} uses {OWN_SOURCE}, of direct emissions ({} g/kWh); its grid, {}, has {} on a lifecycle basis",
                spot.code(),
                used.g_per_kwh,
                spot.zone(),
                like.g_per_kwh
            ))
        }
        _ => None,
    }
}

/// The caveat for a state on several grids.
fn several(state: TableRow) -> Option<String> {
    let (first, more) = state.cell(2).split_once(' ')?;
    let shown = |zone: &str| Some(format!("{zone} ({} g/kWh)", row(tables::GRIDS, zone)?.cell(2)));
    let more: Vec<String> = more.split(' ').filter_map(shown).collect();
    let code = state.cell(0);
    Some(format!(
        "{code} is on several grids and uses the largest, {}; others are {}; set location= to the grid that feeds this machine",
        shown(first)?,
        more.join(", ")
    ))
}

/// True for the code of a state of the USA.
pub fn is_state(code: &str) -> bool {
    row(STATES, code).is_some()
}

#[cfg(test)]
mod tests;
