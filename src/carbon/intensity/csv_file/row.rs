//! One figure of a file and the time that it holds for. Pure.

use crate::carbon::intensity::slot::FigureQuality;

/// A figure of the file.
#[derive(Clone, Copy, Debug)]
pub struct CsvRow {
    /// When it begins to hold, s since 1970 UTC.
    pub at: f64,
    /// When it ceases to hold, if the file states it.
    pub end: Option<f64>,
    /// Its value; None: a hole.
    pub g_per_kwh: Option<f64>,
    /// Whether it is actual, estimated or forecast.
    pub standing: FigureQuality,
    /// Its line in the file.
    pub line: u64,
    /// Whether its time lacks an offset, and no heading states that it is UTC.
    pub is_bare: bool,
}
