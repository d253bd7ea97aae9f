//! Everyday equals of emissions.

use crate::forecast::uncertainty::ends;
use crate::measurement::channel::ErrorBand;
use serde_json::{Value, json};

/// (of what, g CO2e of one, who says so)
const EVERYDAY: [(&str, f64, &str); 4] = [
    ("km in a new EU car", 106.8, "EEA, new passenger cars of 2024, provisional"),
    ("km by rail", 41.0, "Green Algorithms: UK GHG conversion factors, national rail, per passenger"),
    ("hours of video streaming", 36.0, "IEA by way of Carbon Brief, 2020"),
    ("months of a tree's growth", 917.0, "Green Algorithms: 11 kg CO2 a tree and year"),
];

/// How many of the first of them emit as much.
pub fn first(grams: f64) -> (f64, &'static str) {
    let [(unit, each, _), ..] = EVERYDAY;
    (grams / each, unit)
}

/// How many of each emit as much; none where the emissions, g CO2e, are not known.
pub fn equivalents(co2eq_g: Option<f64>, error: Option<ErrorBand>) -> Value {
    let Some(grams) = co2eq_g else { return json!([]) };
    let equal = |(unit, each, source): (&str, f64, &str)| {
        let value = grams / each;
        let [low, high] = ends(Some(value), error);
        json!({"value": value, "low": low, "high": high, "unit": unit, "g_per_unit": each, "source": source})
    };
    EVERYDAY.into_iter().map(equal).collect()
}
