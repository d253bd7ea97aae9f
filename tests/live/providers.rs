//! Runs with figures of each live provider: with current figures and with its samples.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::carbon::*;
use crate::client::PATIENCE;
use crate::grid_server::{Behaviour, Server};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[test]
fn provider_gives_intensity_of_past_and_future() {
    let flat = |_: i32| 80.0;
    let britain = Server::start(Behaviour::Paths(vec![
        ("/pt24h", half_hours(-24, 1, flat, true)),
        ("/fw48h", half_hours(0, 48, |_| 160.0, false)),
    ]));
    let tracker = tracker(&format!("epochs=100000 intensity=carbonintensity_gb intensity_url={}", url(&britain)));
    tracker.begin().unwrap();
    std::thread::sleep(Duration::from_millis(20));
    tracker.end().unwrap();
    until(&tracker, is_live);
    let report = run(&tracker);
    check_energy(&report);
    assert!((number(&report, "/intensity/g_per_kwh") - 80.0).abs() < 1e-6, "{}", report["intensity"]);
    let about = &report["intensity"];
    assert_eq!((&about["zone"], &about["basis"], &about["year"]), (&json!("GB"), &json!("direct"), &Value::Null));
    assert_eq!((number(&report, "/intensity/coverage"), number(&report, "/intensity/metered_share")), (1.0, 1.0));
    assert_eq!(report["notes"], json!([]));
    // 100,000 epochs of some 20 ms are more than half an hour, at twice the intensity.
    let (value, used) = (number(&report, "/forecast/co2eq_g/value"), number(&report, "/usage/co2eq_g"));
    let kwh = (number(&report, "/forecast/energy_j/value") - number(&report, "/usage/energy_j")) / 3.6e6;
    let ahead = (value - used) / kwh;
    assert!((80.0..=160.0).contains(&ahead), "{ahead}");
    let off = number(&report, "/forecast/co2eq_g/high") / value;
    assert!(off > 1.1, "the grid's forecast may be off: {off}");
}

/// The samples are of another day, and make the typical day of today.
#[test]
fn samples_of_each_provider_give_an_intensity() {
    let back_and_ahead =
        |back: &str, ahead: &str| Behaviour::Paths(vec![("/pt24h", sample(back)), ("/fw48h", sample(ahead))]);
    let regional =
        || back_and_ahead("carbonintensitygb_regional_fw48h_200.json", "carbonintensitygb_regional_fw48h_200.json");
    let denmark = Behaviour::Paths(vec![
        ("/dataset/CO2EmisProg", sample("energidataservice_CO2EmisProg_200.json")),
        ("/dataset/CO2Emis", sample("energidataservice_CO2Emis_200.json")),
    ]);
    let maps = Behaviour::Paths(vec![
        ("/latest", sample("electricitymaps_latest_200.json")),
        ("/history", sample("electricitymaps_history_200.json")),
        ("/forecast", sample("electricitymaps_forecast_200.json")),
    ]);
    for (options, behaviour, zone, figures) in [
        (
            "carbonintensity_gb",
            back_and_ahead("carbonintensitygb_pt24h_recorded_200.json", "carbonintensitygb_fw48h_200.json"),
            "GB",
            50.0..300.0,
        ),
        ("carbonintensity_gb location='gb-ec1a 1bb'", regional(), "GB-EC1A", 20.0..300.0),
        ("energidataservice location=DK1", denmark, "DK-DK1", 100.0..220.0),
        ("energycharts location=DEU", sample("energycharts_co2eq_200.json"), "DE", 269.0..311.0),
        ("electricitymaps location=DK-DK1 api_key=k", maps, "DK-DK1", 100.0..210.0),
    ] {
        let server = Server::start(behaviour);
        let tracker = tracker(&format!("intensity={options} intensity_url={}", url(&server)));
        run(&tracker);
        let report = until(&tracker, is_live);
        check_energy(&report);
        let is = number(&report, "/intensity/g_per_kwh");
        assert!(figures.contains(&is), "{options}: {is}");
        assert_eq!(
            (&report["intensity"]["zone"], number(&report, "/intensity/coverage")),
            (&json!(zone), 0.0),
            "{options}"
        );
        assert!(
            report["notes"].to_string().contains("100.0 % of the energy has no intensity of its own hour"),
            "{options}"
        );
    }
}

#[test]
fn marginal_figures_are_separate_from_the_run_s_emissions() {
    let now = (unix_s() / 300.0).floor() * 300.0;
    let points: Vec<Value> =
        (-2..20).map(|n| json!({"point_time": stamp(now + f64::from(n) * 300.0), "value": 1000.0})).collect();
    let meta = json!({"region": "CAISO_NORTH", "signal_type": "co2_moer", "units": "lbs_co2_per_mwh", "data_point_period_seconds": 300});
    let server = Server::start(Behaviour::Paths(vec![
        ("/login", Behaviour::text(r#"{"token": "a-token"}"#)),
        ("/v3/forecast", Behaviour::text(&json!({"data": points, "meta": meta}).to_string())),
    ]));
    let options = "intensity=100 marginal=watttime:CAISO_NORTH marginal_key=me:my-word";
    let tracker = tracker(&format!("{options} intensity_url={}", url(&server)));
    run(&tracker);
    let report = until(&tracker, |report| report["extras"]["marginal"]["co2eq_g"].is_number());
    assert!((number(&report, "/extras/marginal/g_per_kwh") - 453.59237).abs() < 1e-6, "{}", report["extras"]);
    let grams = number(&report, "/usage/energy_kwh") * 453.59237;
    assert!((number(&report, "/extras/marginal/co2eq_g") / grams - 1.0).abs() < 1e-6);
    assert!((number(&report, "/usage/co2eq_g") / number(&report, "/usage/energy_kwh") - 100.0).abs() < 1e-9);
    let asked = server.requests();
    assert!(asked[0].header("authorization").is_some_and(|header| header.starts_with("Basic ")), "{asked:?}");
    assert_eq!(asked[1].header("authorization"), Some("Bearer a-token"));
    let shown = ["text", "json", "prometheus"].map(|format| tracker.report(format).unwrap()).join("");
    assert!(
        shown.contains("g for one more kWh") && !shown.contains("my-word") && !shown.contains("a-token"),
        "{shown}"
    );
    // Later figures may be lower. Prometheus takes a counter that falls for a new one and adds it again.
    assert!(shown.contains("# TYPE carbontracker_marginal_co2eq_grams gauge"), "{shown}");
}

#[test]
fn location_is_looked_up_and_then_its_provider() {
    let geo = sample("geojs_geo_200.json");
    let server = Server::start(Behaviour::Paths(vec![("/v1/ip/geo.json", geo.clone())]));
    let found = tracker(&format!("location=IP intensity_url={}", url(&server)));
    run(&found);
    let report = until(&found, |report| report["intensity"]["zone"] == "DK");
    check_energy(&report);
    assert_eq!((&report["intensity"]["kind"], number(&report, "/intensity/g_per_kwh")), (&json!("static"), 114.41));
    assert!(messages(&found).iter().any(|message| message.contains("location=DK takes none")));
    drop(found);
    assert_eq!(server.requests().len(), 1, "one look-up");

    let records: Vec<Value> = (-3..4)
        .map(|n| {
            let at = (unix_s() / 300.0).floor() * 300.0 + f64::from(n) * 300.0;
            json!({"Minutes5UTC": &stamp(at)[..19], "PriceArea": "DK2", "CO2Emission": 77.0})
        })
        .collect();
    let answer = |set: &str| Behaviour::text(&json!({"dataset": set, "records": records}).to_string());
    server.turns(Behaviour::Paths(vec![
        ("/v1/ip/geo.json", geo),
        ("/dataset/CO2EmisProg", answer("CO2EmisProg")),
        ("/dataset/CO2Emis", answer("CO2Emis")),
    ]));
    let east = tracker(&format!("location=ip intensity=energidataservice intensity_url={}", url(&server)));
    run(&east);
    let report = until(&east, is_live);
    assert_eq!(report["intensity"]["zone"], "DK-DK2", "Copenhagen");
    assert!((number(&report, "/intensity/g_per_kwh") - 77.0).abs() < 1e-9);

    // The provider does not cover Denmark, so the run uses the yearly average.
    let abroad = tracker(&format!("location=ip intensity=carbonintensity_gb intensity_url={}", url(&server)));
    run(&abroad);
    let report = until(&abroad, |report| report["notes"].to_string().contains("finds this machine in DK"));
    assert_eq!((&report["intensity"]["zone"], number(&report, "/intensity/g_per_kwh")), (&json!("DK"), 114.41));
    assert!(messages(&abroad).iter().any(|message| message.contains("location=DK takes none")));

    server.turns(sample("ipinfo_bogon_200.json"));
    let nowhere = tracker(&format!("location=ip intensity_url={}", url(&server)));
    let report = run(&nowhere);
    assert_eq!(report["intensity"]["zone"], "WORLD");
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while !seen.iter().any(|message: &String| message.contains("set location= to the zone")) {
        assert!(Instant::now() < deadline, "{seen:?}");
        seen.extend(messages(&nowhere));
        std::thread::sleep(Duration::from_millis(20));
    }
}
