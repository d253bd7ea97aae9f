//! A column of figures: its position, its unit, and what its heading states. Pure.

use crate::carbon::intensity::EmissionsBasis;
use crate::carbon::intensity::slot::IntensityQuality;

/// A column of figures.
#[derive(Clone, Debug)]
pub struct FigureColumn {
    /// The position of the column.
    pub index: usize,
    /// Its heading.
    pub name: String,
    /// Factor from its unit to g/kWh.
    pub factor: f64,
    /// True if the heading or the export's format defines the unit.
    pub has_unit: bool,
    /// Quality of its figures, if the heading states it.
    pub quality: Option<IntensityQuality>,
    /// Basis of its figures, if the heading states it.
    pub basis: Option<EmissionsBasis>,
    /// True if a column with a plainer heading is preferred.
    pub is_second: bool,
}

impl FigureColumn {
    /// A column in g/kWh, with nothing else known.
    pub fn plain(index: usize, name: &str) -> FigureColumn {
        let name = name.to_owned();
        FigureColumn { index, name, factor: 1.0, has_unit: true, quality: None, basis: None, is_second: false }
    }

    /// The column of a region in NESO's regional files.
    pub fn of_region(index: usize, name: &str) -> FigureColumn {
        FigureColumn { basis: Some(EmissionsBasis::Direct), ..FigureColumn::plain(index, name) }
    }
}
