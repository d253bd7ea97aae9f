//! Everyday amounts with the same emissions.

use crate::forecast::uncertainty::ends;
use crate::units::ErrorBand;
use serde_json::{Value, json};

/// (unit, g CO2e per unit, source of the figure)
const EVERYDAY: [(&str, f64, &str); 4] = [
    ("km in a new EU car", 106.8, "EEA, new passenger cars of 2024, provisional"),
    ("km by rail", 41.0, "Green Algorithms: UK GHG conversion factors, national rail, per passenger"),
    ("hours of video streaming", 36.0, "IEA by way of Carbon Brief, 2020"),
    ("months of a tree's growth", 917.0, "Green Algorithms: 11 kg CO2 a tree and year"),
];

/// The first everyday amount with these emissions, g CO2e, and its unit.
pub fn first(grams: f64) -> (f64, &'static str) {
    let [(unit, each, _), ..] = EVERYDAY;
    (grams / each, unit)
}

/// Everyday amounts with these emissions, g CO2e, as a JSON list; empty: the emissions are unknown.
pub fn equivalents(co2eq_g: Option<f64>, error: Option<ErrorBand>) -> Value {
    let Some(grams) = co2eq_g else { return json!([]) };
    let amount = |(unit, each, source): (&str, f64, &str)| {
        let value = grams / each;
        let [low, high] = ends(Some(value), error);
        json!({"value": value, "low": low, "high": high, "unit": unit, "g_per_unit": each, "source": source})
    };
    EVERYDAY.into_iter().map(amount).collect()
}
