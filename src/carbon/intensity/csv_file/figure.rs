//! A column of figures: its place, its unit, and what its heading states. Pure.

use crate::carbon::intensity::slot::FigureQuality;

/// A column of figures.
#[derive(Clone, Debug)]
pub struct FigureColumn {
    /// The column.
    pub place: usize,
    /// Its heading.
    pub name: String,
    /// Times this it is g/kWh.
    pub factor: f64,
    /// Whether the heading, or the export's format, defines the unit.
    pub has_unit: bool,
    /// Whether its figures are actual or a forecast, where the heading shows it.
    pub standing: Option<FigureQuality>,
    /// "lifecycle" or "direct", where the heading shows it.
    pub basis: Option<&'static str>,
    /// Whether a column with plainer words is the better one.
    pub is_second: bool,
}

impl FigureColumn {
    /// A column of g/kWh, of which nothing else is known.
    pub fn plain(place: usize, name: &str) -> FigureColumn {
        let name = name.to_owned();
        FigureColumn { place, name, factor: 1.0, has_unit: true, standing: None, basis: None, is_second: false }
    }

    /// A region's column, in NESO's regional files.
    pub fn of_region(place: usize, name: &str) -> FigureColumn {
        FigureColumn { basis: Some("direct"), ..FigureColumn::plain(place, name) }
    }
}
