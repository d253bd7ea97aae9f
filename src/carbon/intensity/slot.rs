//! One figure of a grid's carbon intensity and the time that it holds for.

pub use super::labels::IntensityQuality;

/// A grid's carbon intensity over some time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IntensitySlot {
    /// The start, s since 1970 UTC.
    pub from: f64,
    /// The end, s since 1970 UTC.
    pub to: f64,
    /// The intensity, gCO2e/kWh.
    pub g_per_kwh: f64,
    /// How certain the intensity is.
    pub quality: IntensityQuality,
}

/// Upper bound of any intensity, gCO2e/kWh. No power station emits more.
pub const MAX_G_PER_KWH: f64 = 10_000.0;
