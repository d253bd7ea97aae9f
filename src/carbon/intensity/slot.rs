//! What a service or a file says of the grid: so many grams a kilowatt-hour from then to then.

/// Grid carbon intensity over some time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IntensitySlot {
    /// From this instant, seconds since 1970 UTC,
    pub from: f64,
    /// to this one,
    pub to: f64,
    /// it is so many gCO2e/kWh.
    pub g_per_kwh: f64,
    /// How sure that is.
    pub standing: FigureQuality,
}

/// More than any power station emits, gCO2e/kWh.
pub const DIRTIEST: f64 = 10_000.0;

/// How sure a figure is; of two for the same time the greater counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FigureQuality {
    /// Said beforehand.
    Forecast,
    /// Worked out by the service where meters are missing or late.
    Estimated,
    /// Metered.
    Actual,
}

impl FigureQuality {
    /// All, the least sure first.
    pub const ALL: [FigureQuality; 3] = [FigureQuality::Forecast, FigureQuality::Estimated, FigureQuality::Actual];
}
