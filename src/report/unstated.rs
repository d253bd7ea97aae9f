//! Completes reports whose estimates state no error: those of version 0.1.0 and of Python's Carbontracker. Pure.

use super::{equivalents, figures};
use crate::forecast::uncertainty::ends;
use crate::units::ErrorBand;
use crate::units::times;
use serde_json::{Map, Value, json};

/// Gives estimates without an error the interval of an unknown processor, and completes all fields that follow from
/// them.
pub fn complete(report: &mut Value) {
    let mut is_assumed = false;
    for component in report.get_mut("components").and_then(Value::as_array_mut).into_iter().flatten() {
        let assumed = ErrorBand::of_component(component).filter(|_| ErrorBand::read(component.get("error")).is_none());
        let Some((band, component)) = assumed.zip(component.as_object_mut()) else { continue };
        let [low_j, high_j] = ends(component.get("energy_j").and_then(Value::as_f64), Some(band));
        component.insert("error".into(), unstated(band));
        component.insert("energy_low_j".into(), json!(low_j));
        component.insert("energy_high_j".into(), json!(high_j));
        is_assumed = true;
    }
    if !is_assumed || ErrorBand::read(report.pointer("/usage/error")).is_some() {
        return;
    }
    if let Some(band) = of_components(report) {
        complete_usage(report, band);
        complete_rest(report, band);
        complete_forecasts(report, band);
        let (low, high) = (times(ErrorBand::UNSTATED.low), times(ErrorBand::UNSTATED.high));
        let note = format!("its estimates state no error; the truth is assumed to be {low} to {high} times each");
        let notes = report.get_mut("notes").and_then(Value::as_array_mut);
        notes.into_iter().for_each(|notes| notes.push(json!(note)));
    }
}

/// Whether the error of a report's energy is an assumption.
pub fn is_assumed(report: &Value) -> bool {
    report.pointer("/usage/error/stated") == Some(&Value::Bool(false))
}

fn unstated(band: ErrorBand) -> Value {
    json!({"low": band.low, "high": band.high, "stated": false})
}

/// The error interval of the components' sum. If no component has any energy yet, it is the widest interval of all.
fn of_components(report: &Value) -> Option<ErrorBand> {
    let components = report.get("components").and_then(Value::as_array)?;
    let part = |one: &Value| (one.get("energy_j").and_then(Value::as_f64).unwrap_or(0.0), ErrorBand::of_component(one));
    let parts: Vec<(f64, Option<ErrorBand>)> = components.iter().map(part).collect();
    let is_used = parts.iter().any(|(joules, _)| *joules > 0.0);
    let widest = || parts.iter().filter_map(|(_, band)| *band).reduce(ErrorBand::with);
    if is_used { ErrorBand::of_sum(parts.iter().copied()) } else { widest() }
}

fn complete_usage(report: &mut Value, band: ErrorBand) {
    let Some(usage) = report.get_mut("usage").and_then(Value::as_object_mut) else { return };
    let amount = |name: &str| (usage.get(name).and_then(Value::as_f64), Some(band));
    let mut figures = figures(["energy_j", "energy_kwh", "facility_energy_kwh", "co2eq_g"].map(amount));
    figures.insert("error".into(), unstated(band));
    usage.append(&mut figures);
}

/// Completes the other sections that follow from the energy.
fn complete_rest(report: &mut Value, band: ErrorBand) {
    let co2eq_g = report.pointer("/usage/co2eq_g").and_then(Value::as_f64);
    let is_any = |list: &&mut Value| list.as_array().is_some_and(|list| !list.is_empty());
    let list = report.get_mut("equivalents").filter(is_any);
    list.into_iter().for_each(|list| *list = equivalents(co2eq_g, Some(band)));
    for pointer in ["/what_if", "/extras/cost", "/extras/water", "/extras/marginal"] {
        let section: Option<&mut Map<String, Value>> = report.pointer_mut(pointer).and_then(Value::as_object_mut);
        section.into_iter().for_each(|section| drop(section.insert("error".into(), band.json())));
    }
}

/// Widens the intervals of forecasts by the error of the estimates.
fn complete_forecasts(report: &mut Value, band: ErrorBand) {
    let widen = |forecast: &mut Value| {
        for figure in ["energy_j", "co2eq_g"] {
            for (end, times) in [("low", band.low), ("high", band.high)] {
                let end = forecast.get_mut(figure).and_then(|figure| figure.get_mut(end));
                let end = end.and_then(|end| Some((end.as_f64()?, end)));
                end.into_iter().for_each(|(value, end)| *end = json!(value * times));
            }
        }
    };
    ["/forecast", "/forecast/remaining"]
        .into_iter()
        .for_each(|pointer| report.pointer_mut(pointer).into_iter().for_each(widen));
    report.get_mut("forecasts").and_then(Value::as_array_mut).into_iter().flatten().for_each(widen);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old(method: &str, status: &str) -> Value {
        let component = |kind: &str, method: &str, status: &str| json!({"kind": kind, "method": method, "status": status, "energy_j": 100.0});
        json!({
            "usage": {"energy_j": 200.0, "energy_kwh": 2.0, "facility_energy_kwh": 3.0, "co2eq_g": 4.0},
            "components": [component("cpu", method, status), component("gpu", "power", "ok")],
            "forecast": {"energy_j": {"value": 10.0, "low": 10.0, "high": 10.0}, "remaining": null},
            "forecasts": [{"co2eq_g": {"value": 1.0, "low": null, "high": 1.0}}],
            "equivalents": [], "what_if": {"co2eq_g": 1.0}, "extras": {"cost": null}, "notes": [],
        })
    }

    #[test]
    fn estimates_without_an_error_get_an_assumed_one() {
        let mut report = old("estimate", "ok");
        complete(&mut report);
        assert_eq!(report["components"][0]["error"], json!({"low": 0.2, "high": 3.0, "stated": false}));
        assert_eq!(report["components"][0]["energy_high_j"], 300.0);
        assert!(report["components"][1].get("error").is_none(), "measured");
        assert_eq!(ErrorBand::read(report.pointer("/usage/error")), Some(ErrorBand { low: 0.6, high: 2.0 }));
        assert_eq!(
            (report["usage"]["energy_low_j"].as_f64(), report["usage"]["co2eq_high_g"].as_f64()),
            (Some(120.0), Some(8.0))
        );
        assert_eq!(
            (&report["forecast"]["energy_j"]["high"], &report["forecasts"][0]["co2eq_g"]["high"]),
            (&json!(20.0), &json!(2.0))
        );
        assert!(
            is_assumed(&report) && report["notes"][0].as_str().is_some_and(|note| note.contains("0.2 to 3")),
            "{report}"
        );
        let once = report.clone();
        complete(&mut report);
        assert_eq!(report, once);
    }

    #[test]
    fn other_components_stay_as_they_are() {
        let mut stated = old("estimate", "ok");
        stated["components"][0]["error"] = json!({"low": 0.5, "high": 2.0});
        for report in [old("counter", "ok"), old("estimate", "simulated"), stated, json!({"components": 1}), json!([])]
        {
            let mut after = report.clone();
            complete(&mut after);
            assert_eq!(after, report);
        }
    }

    #[test]
    fn estimates_without_energy_give_the_widest_interval() {
        let mut report = old("estimate", "ok");
        for index in 0..2 {
            report["components"][index]["energy_j"] = Value::Null;
        }
        complete(&mut report);
        assert_eq!(ErrorBand::read(report.pointer("/usage/error")), Some(ErrorBand::UNSTATED));
    }
}
