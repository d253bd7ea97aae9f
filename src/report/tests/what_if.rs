//! The run in other places and at other times, and other impacts.

use super::*;

#[test]
fn what_if_has_other_places_and_the_best_start() {
    let (settings, state, now) = by_the_hour(0, "location=GB pue=1.5");
    let report = Report::new(&settings, &state, now, Detail::Epochs);
    let json: Value = serde_json::from_str(&report.render("json").unwrap()).unwrap();
    let what_if = &json["what_if"];
    assert_eq!(what_if["of"], "used");
    // 100 W for two hours at PUE 1.5.
    let near = |value: &Value, expected: f64| {
        let value = value.as_f64().unwrap();
        assert!((value - expected).abs() < 1e-3 * expected.abs().max(1.0), "{value} is not {expected}: {what_if}");
    };
    near(&what_if["facility_energy_kwh"], 0.3);
    near(&what_if["co2eq_g"], 120.0);
    let zones = what_if["zones"].as_array().unwrap();
    let zone = |code: &str| zones.iter().find(|there| there["zone"] == code).unwrap();
    near(&zone("GB")["co2eq_g"], 0.3 * 217.41);
    near(&zone("PL")["saves_g"], 120.0 - 0.3 * 588.6);
    near(&zone("NO")["saves_share"], 1.0 - 28.11 / 400.0);
    assert_eq!((&zone("NO")["name"], &zone("NO")["basis"]), (&"Norway".into(), &"lifecycle".into()));
    assert!(zone("NO")["year"].is_u64() && zone("NO")["source"].is_string());
    assert!(what_if["note"].as_str().unwrap().contains("direct"));
    let start = &what_if["start"];
    assert_eq!((&start["at"], &start["until"]), (&"2026-03-03T08:00:00Z".into(), &"2026-03-04T14:00:00Z".into()));
    near(&start["delay_s"], 18.0 * 3600.0 - 600.0);
    near(&start["unix_s"], 1_772_452_800.0 + 20.0 * 3600.0);
    [("co2eq_g", 30.0), ("now_co2eq_g", 120.0), ("saves_g", 90.0), ("saves_share", 0.75)]
        .iter()
        .for_each(|(field, expected)| near(&start[field], *expected));
    let text = report.render("text").unwrap();
    assert!(text.contains("what if, CO2e of the run elsewhere or started later:\n  place   NO ÷ 14, "), "{text}");
    let shown = text.lines().find(|line| line.starts_with("  place ")).unwrap();
    assert!(shown.matches(['÷', '×']).count() == 5 && !shown.contains("GB"), "{shown}");
    assert!(text.contains("IN × 1.7"), "{text}");
    assert!(text.contains("by the yearly average; rough, as the bases differ\n"), "{text}");
    assert!(
        text.contains(
            "\n  start   2026-03-03 08:00 UTC saves 75 %, in 17 h 50 min: the best until 2026-03-04 12:00 UTC"
        ),
        "{text}"
    );
}

#[test]
fn what_if_uses_the_forecast_of_the_whole_run() {
    let (settings, state, now) = by_the_hour(10, "location=GB price=0.5EUR embodied_kg=100 wue=1");
    let json: Value =
        serde_json::from_str(&Report::new(&settings, &state, now, Detail::Epochs).render("json").unwrap()).unwrap();
    let (what_if, forecast) = (&json["what_if"], &json["forecast"]);
    assert_eq!(what_if["of"], "forecast");
    assert_eq!(what_if["co2eq_g"], forecast["co2eq_g"]["value"]);
    assert_eq!(what_if["duration_s"], forecast["duration_s"]["value"]);
    let duration_s = what_if["duration_s"].as_f64().unwrap();
    assert!((duration_s - 36_000.0).abs() < 1.0, "{duration_s}");
    // Ten hours, of which six may be clean.
    let share = what_if["start"]["saves_share"].as_f64().unwrap();
    assert!((share - 0.45).abs() < 1e-6, "{share}");
    let extras = &json["extras"];
    for (used, whole) in [
        ("/cost/amount", "/cost/forecast"),
        ("/water/litres", "/water/forecast_litres"),
        ("/embodied/co2eq_g", "/embodied/forecast_co2eq_g"),
    ] {
        let number = |pointer: &str| extras.pointer(pointer).and_then(Value::as_f64).unwrap();
        assert!((number(whole) / number(used) - 5.0).abs() < 1e-3, "{extras}");
    }
}

#[test]
fn what_if_uses_the_actual_use_of_a_finished_run() {
    let (settings, state, now) = by_the_hour(2, "location=GB price=1");
    let json: Value =
        serde_json::from_str(&Report::new(&settings, &state, now, Detail::Epochs).render("json").unwrap()).unwrap();
    assert_eq!((&json["what_if"]["of"], &json["what_if"]["co2eq_g"]), (&"used".into(), &json["usage"]["co2eq_g"]));
    assert!(json["extras"]["cost"]["amount"].is_f64() && json["extras"]["cost"]["forecast"].is_null());
}

#[test]
fn text_has_a_start_only_if_there_is_a_choice() {
    let starts = |until_h: f64, g_per_kwh: f64| {
        let (settings, mut state, now) = by_the_hour(0, "location=GB");
        let mut curve = Curve::default();
        let from = state.carbon.clock.unix_s(MonoNs(0)).0;
        let quality = IntensityQuality::Forecast;
        curve.take([IntensitySlot { from, to: from + until_h * 3600.0, g_per_kwh, quality }]);
        state.carbon.grid.hourly.as_mut().unwrap().curve = curve;
        let text = Report::new(&settings, &state, now, Detail::Epochs).render("text").unwrap();
        text.lines().find(|line| line.starts_with("  start ")).map(str::to_owned)
    };
    assert_eq!(
        starts(24.0, 100.0).as_deref(),
        Some("  start   no better start than now is known until 2026-03-03 10:00 UTC")
    );
    // The run takes two hours, and little more than two hours are known.
    assert_eq!((starts(4.5, 100.0), starts(2.5, 100.0)), (None, None));
}

#[test]
fn text_has_all_requested_zones() {
    let (settings, state, now) = by_the_hour(0, "location=GB what_if=SE,US-CA,PL,DK,NO,FR");
    let text = Report::new(&settings, &state, now, Detail::Epochs).render("text").unwrap();
    let shown = text.lines().find(|line| line.starts_with("  place ")).unwrap();
    assert!(
        ["SE ÷ ", "US-CA ÷ ", "PL × ", "DK ÷ ", "NO ÷ ", "FR ÷ "].iter().all(|place| shown.contains(place)),
        "{shown}"
    );
}

#[test]
fn values_by_pointer_or_the_reason_for_their_absence() {
    let (settings, state, now) = by_the_hour(0, "location=GB");
    let ask = |settings, state, pointer: &str| Report::new(settings, state, now, Detail::of(pointer)).value(pointer);
    assert!(ask(&settings, &state, "/what_if/zones/0/saves_g").unwrap() > 0.0);
    assert!((ask(&settings, &state, "/what_if/start/saves_share").unwrap() - 0.75).abs() < 1e-9);
    let why = |settings, state, pointer: &str| {
        let refused = ask(settings, state, pointer).unwrap_err();
        assert_eq!(refused.status, Status::CT_ENOENT);
        refused.message
    };
    assert!(why(&settings, &state, "/extras/cost/amount").contains("price="));
    assert!(why(&settings, &state, "/extras/water/litres").contains("wue="));
    assert!(why(&settings, &state, "/extras/embodied/co2eq_g").contains("embodied_kg="));
    let mut flat = by_the_hour(0, "location=GB").1;
    flat.carbon.grid.hourly = None;
    assert!(why(&settings, &flat, "/what_if/start/saves_share").contains("hours to come"));
    let mut waiting = RunState::new(state.carbon.grid.clone(), 1.0);
    waiting.carbon.clock = state.carbon.clock.clone();
    assert!(why(&settings, &waiting, "/what_if/start/saves_share").contains("how long"));
    let (off, state, _) = by_the_hour(0, "location=GB what_if=off");
    assert!(why(&off, &state, "/what_if/start/saves_share").contains("what_if=off"));
    let report = Report::new(&off, &state, now, Detail::Epochs);
    assert!(report.render("json").unwrap().contains("\"what_if\":null"));
    assert!(!report.render("text").unwrap().contains("what if"));
}

#[test]
fn other_impacts_are_shown_on_request_and_not_added_to_the_emissions() {
    let (plain, state, now) = by_the_hour(0, "location=GB");
    let (asked, ..) = by_the_hour(0, "location=GB price='0.32 EUR' wue=0.5 wue_grid=3.9 embodied_kg=164 life_years=4");
    let [off, on] = [plain, asked].map(|settings| {
        let report = Report::new(&settings, &state, now, Detail::Epochs);
        let json: Value = serde_json::from_str(&report.render("json").unwrap()).unwrap();
        (json, report.render("text").unwrap(), report.render("prometheus").unwrap())
    });
    assert_eq!(off.0["extras"], serde_json::json!({"cost": null, "water": null, "embodied": null, "marginal": null}));
    let words =
        ["carbontracker_cost_total", "carbontracker_water_litres_total", "carbontracker_embodied_co2eq_grams_total"];
    assert!(words.iter().all(|word| !off.2.contains(word) && on.2.contains(word)), "{}", on.2);
    assert!(on.2.contains("currency=\"EUR\"} 0.096") && on.2.contains("place=\"off_site\""), "{}", on.2);
    assert_eq!(off.0["usage"], on.0["usage"]);
    let extras = &on.0["extras"];
    let near = |pointer: &str, expected: f64| {
        let value = extras.pointer(pointer).and_then(Value::as_f64).unwrap();
        assert!((value - expected).abs() < 1e-4 * expected, "{pointer}: {value}");
    };
    // 0.2 kWh of the devices, 0.3 of the facility, in two hours.
    near("/cost/amount", 0.096);
    near("/water/on_site_l", 0.1);
    near("/water/off_site_l", 1.17);
    near("/water/litres", 1.27);
    near("/embodied/co2eq_g", 164e3 * 2.0 / (4.0 * 8760.0));
    assert!(extras["cost"]["currency"] == "EUR" && extras["cost"]["forecast"].is_null());
    assert!(!off.1.contains("other impacts") && on.1.contains("other impacts, not in the CO2e above:\n  cost    0.0960 EUR, at 0.320 EUR/kWh\n  water   1.27 L\n  making  9.36 g CO2e, a share of 164 kg for making the devices, over 4 years\n"), "{}", on.1);
}
