//! The intensity of a run and its provenance, and the rates of a cloud region.

use super::*;
use crate::carbon::facility::{ByRegion, FacilityLocation};

/// The text and JSON reports of a run with these options.
fn located(text: &str) -> (String, Value) {
    let options = Options::parse(text, |_| None).unwrap();
    let choice = crate::carbon::select::choose(&options.carbon, |_| None).unwrap();
    let (settings, mut state, now) = by_the_hour(0, text);
    (state.carbon.grid, state.carbon.pue) = (choice.grid, options.carbon.pue);
    let state = state.within(choice.facility);
    let report = Report::new(&settings, &state, now, Detail::Epochs);
    (report.render("text").unwrap(), serde_json::from_str(&report.render("json").unwrap()).unwrap())
}

#[test]
fn intensities_state_their_year_basis_use_and_source() {
    for (location, year, basis, scope, source) in [
        ("DK", 2025, "lifecycle", "production", "Ember"),
        ("US-CA", 2025, "lifecycle", "consumption", "Electricity Maps"),
        ("aws:us-east-1", 2024, "lifecycle", "consumption", "Green Software Foundation"),
        ("gcp:us-east4", 2024, "direct", "consumption", "Google"),
        ("CN-GD", 2023, "direct", "consumption", "China MEE"),
    ] {
        let (text, json) = located(&format!("location={location}"));
        let intensity = &json["intensity"];
        assert_eq!((&intensity["year"], &intensity["basis"]), (&year.into(), &basis.into()), "{location}");
        assert_eq!(intensity["use"], scope, "{location}");
        assert!(intensity["source"].as_str().unwrap().contains(source), "{intensity}");
        assert!(text.contains(&format!("({location}, {year}, {basis}, {scope}, ")), "{text}");
        let own = json["what_if"]["zones"].as_array().unwrap().iter().find(|there| there["zone"] == location).unwrap();
        assert!(own["use"].is_string(), "{own}");
    }
    let (_, given) = located("intensity=50");
    assert!(given["intensity"]["use"].is_null());
}

#[test]
fn a_cloud_region_has_its_own_rates() {
    let (text, json) = located("location=aws:us-east-1 pue=region wue=region");
    let facility = &json["facility"];
    assert_eq!((&json["pue"], &facility["region"]), (&1.15.into(), &"aws:us-east-1".into()));
    assert_eq!((&facility["pue"], &facility["pue_year"]), (&1.15.into(), &2024.into()));
    assert_eq!((&facility["wue"], &facility["wue_year"]), (&0.12.into(), &2024.into()));
    assert!(facility["source"].as_str().unwrap().contains("published by the provider"));
    let usage = &json["usage"];
    let number = |value: &Value| value.as_f64().unwrap();
    assert!((number(&usage["facility_energy_kwh"]) / number(&usage["energy_kwh"]) - 1.15).abs() < 1e-9);
    assert!((number(&json["extras"]["water"]["on_site_l"]) / number(&usage["energy_kwh"]) - 0.12).abs() < 1e-9);
    assert!(text.contains("with PUE 1.15 (aws:us-east-1, 2024)"), "{text}");
    assert!(text.contains(", on site 0.12 L/kWh (aws:us-east-1, 2024)"), "{text}");
    let (_, json) = located("location=DK pue=region");
    assert_eq!((&json["pue"], &json["facility"]), (&1.0.into(), &Value::Null));
    assert!(json["notes"].to_string().contains("pue=region: location=DK is not a cloud region"), "{}", json["notes"]);
    let (_, json) = located("location=gcp:us-east4 pue=region wue=region");
    assert_eq!((&json["pue"], &json["facility"]["wue"]), (&1.09.into(), &Value::Null));
    assert!(json["extras"]["water"].is_null() && json["notes"].to_string().contains("wue=region: no figure"));
    // The cloud's metadata name the region during the run.
    let by_region = ByRegion { pue: true, wue: true };
    let state = by_the_hour(0, "").1.within(Facility::new(by_region, FacilityLocation::LookedUp));
    assert_eq!((state.carbon.pue, state.carbon.facility.lacks().len()), (1.5, 2));
    let mut state = state;
    assert_eq!((state.found_in("aws:us-east-1"), state.carbon.pue), (Vec::new(), 1.15));
    let (_, json) = located("location=aws:us-east-1 pue=1.3");
    assert_eq!((&json["pue"], &json["facility"]), (&1.3.into(), &Value::Null));
}

/// A mean over epochs has rounding errors, which are not shown.
#[test]
fn yearly_averages_are_shown_as_in_their_table() {
    let (settings, mut state, now) = by_the_hour(0, "location=WORLD");
    let mut curve = Curve::default();
    let old = state.carbon.clock.unix_s(MonoNs(0)).0 - 90.0 * 86_400.0;
    curve.take([IntensitySlot { from: old, to: old + 3600.0, g_per_kwh: 100.0, quality: IntensityQuality::Actual }]);
    state.carbon.grid.hourly.as_mut().unwrap().curve = curve;
    let text = Report::new(&settings, &state, now, Detail::Epochs).render("text").unwrap();
    assert!(text.contains(" at 458.29 g/kWh (world average, "), "{text}");
    assert_eq!([super::text::plain(458.290_000_000_000_1), super::text::plain(26.0)], ["458.29", "26"]);
}
