//! One figure of a file and its interval. Pure.

use crate::carbon::intensity::slot::IntensityQuality;

/// A figure of a file.
#[derive(Clone, Copy, Debug)]
pub struct CsvRow {
    /// The start of its interval, s since 1970 UTC.
    pub at: f64,
    /// The end of its interval, s since 1970 UTC, if the file states it.
    pub end: Option<f64>,
    /// The intensity, gCO2e/kWh. None: a gap.
    pub g_per_kwh: Option<f64>,
    /// How certain the figure is.
    pub quality: IntensityQuality,
    /// Its line in the file.
    pub line: u64,
    /// True if the time has no offset and no heading states that it is UTC.
    pub is_bare: bool,
}
