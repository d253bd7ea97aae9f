//! All places of the tables that have a figure.

use super::figures;
use super::names::Spot;
use super::tables::{GRIDS, REGIONS, STATES, ZONES, row, rows};
use crate::carbon::intensity::Intensity;

/// A place that `location` accepts, with its yearly average.
pub struct ListedZone {
    /// Its code.
    pub code: &'static str,
    /// Its common name.
    pub name: &'static str,
    /// Its yearly average.
    pub yearly: Intensity,
}

/// All places with a figure: countries, their parts, and cloud regions.
pub fn all() -> impl Iterator<Item = ListedZone> {
    let of_country = rows(ZONES).map(Spot::Zone);
    // Where both tables have a zone, the first one counts.
    let of_grid = rows(GRIDS).filter(|grid| row(ZONES, grid.cell(0)).is_none()).map(Spot::Grid);
    let spots = of_country.chain(of_grid).chain(rows(STATES).map(Spot::State)).chain(rows(REGIONS).map(Spot::Region));
    spots.filter_map(|spot| Some(ListedZone { code: spot.code(), name: spot.name(), yearly: figures(spot).next()? }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carbon::intensity::zones::yearly;
    use std::collections::HashSet;

    #[test]
    fn listed_figures_are_those_of_the_option() {
        let mut codes = HashSet::new();
        for zone in all() {
            let used = yearly(zone.code).unwrap_or_else(|error| panic!("{}: {error}", zone.code));
            assert_eq!((used.g_per_kwh, used.year), (zone.yearly.g_per_kwh, zone.yearly.year), "{}", zone.code);
            assert!(codes.insert(zone.code) && !zone.name.is_empty(), "{}", zone.code);
        }
        assert!(codes.len() > 600, "{}", codes.len());
    }
}
