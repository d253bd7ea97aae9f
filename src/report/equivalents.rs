//! Everyday amounts with the same emissions.

use crate::forecast::uncertainty::ends;
use crate::units::{Amount, ErrorBand};
use serde_json::{Value, json};

/// (unit, g CO2e per unit, source of the figure)
const EVERYDAY: [(&str, f64, &str); 4] = [
    ("km in a new EU car", 106.8, "EEA, new passenger cars of 2024, provisional"),
    ("km by rail", 41.0, "Green Algorithms: UK GHG conversion factors, national rail, per passenger"),
    ("hours of video streaming", 36.0, "IEA by way of Carbon Brief, 2020"),
    ("months of a tree's growth", 917.0, "Green Algorithms: 11 kg CO2 a tree and year"),
];

/// What a person knows with the same emissions, g CO2e: "like driving 26.2 m". One thing, in a number from 1 to 1000;
/// None: there is none.
pub fn like(grams: f64, error: Option<ErrorBand>) -> Option<String> {
    const TREE_YEAR_G: f64 = 11_000.0;
    let [(_, km, _), _, (_, hour, _), _] = EVERYDAY;
    let car = || Amount::Distance.alone(grams / km, error);
    let video = || Amount::Time.alone(grams / hour * 3600.0, error);
    let trees = || Amount::Of("").alone(grams / TREE_YEAR_G, error);
    match grams {
        g if (1e-3..1000.0).contains(&(g / km)) => Some(format!("like driving {} in a new car", car())),
        g if (1.0..1000.0).contains(&(g / hour * 3600.0)) => Some(format!("like {} of video streaming", video())),
        g if (1.0..1000.0).contains(&(g / TREE_YEAR_G)) => {
            Some(format!("like what {} trees take up in a year", trees()))
        }
        _ => None,
    }
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
