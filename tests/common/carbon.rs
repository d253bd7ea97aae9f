//! A run with figures of a live provider, which a local server plays: the provider's answers, and checks of the report.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)] // each test program uses a part

use super::grid_server::{Behaviour, Server};
use carbontracker::tracker::Tracker;
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub fn unix_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

pub fn stamp(at: f64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs_f64(at)).to_string()
}

/// Half-hours of Britain around now, each with this figure, as the service writes them.
pub fn half_hours(from_h: i32, to_h: i32, figure: impl Fn(i32) -> f64, is_actual: bool) -> Behaviour {
    let this = (unix_s() / 1800.0).floor() * 1800.0;
    let minute = |at: f64| format!("{}Z", &stamp(at)[..16]);
    let slots = (2 * from_h..2 * to_h).map(|n| {
        let actual = if is_actual { json!(figure(n)) } else { Value::Null };
        let from = this + f64::from(n) * 1800.0;
        json!({"from": minute(from), "to": minute(from + 1800.0), "intensity": {"forecast": figure(n), "actual": actual}})
    });
    Behaviour::text(&json!({ "data": slots.collect::<Vec<_>>() }).to_string())
}

/// Hours of Electricity Maps around now.
pub fn hours(zone: &str, list: &str, from_h: i32, to_h: i32, figure: impl Fn(i32) -> f64) -> Behaviour {
    let this = (unix_s() / 3600.0).floor() * 3600.0;
    let hours = (from_h..to_h).map(|n| {
        let at = stamp(this + f64::from(n) * 3600.0);
        json!({"zone": zone, "carbonIntensity": figure(n), "datetime": at, "isEstimated": false, "emissionFactorType": "lifecycle"})
    });
    let mut hours: Vec<Value> = hours.collect();
    Behaviour::text(&match list {
        "latest" => hours.remove(0).to_string(),
        list => json!({"zone": zone, list: hours}).to_string(),
    })
}

/// The past day and the next day.
pub fn electricity_maps(zone: &str, figure: fn(i32) -> f64) -> Behaviour {
    Behaviour::Paths(vec![
        ("/latest", hours(zone, "latest", 0, 1, figure)),
        ("/history", hours(zone, "history", -24, 0, figure)),
        ("/forecast", hours(zone, "forecast", 0, 24, figure)),
    ])
}

/// The server's address with a path that no earlier test had, because it identifies cached answers.
pub fn url(server: &Server) -> String {
    format!("{}/{}", server.url(), carbontracker::os::random_u64())
}

/// 3.6 kW: energy follows from time.
pub fn tracker(options: &str) -> Tracker {
    Tracker::create(&format!("sim_cpu=x:3600 {options}")).unwrap().unwrap()
}

pub fn run(tracker: &Tracker) -> Value {
    for _ in 0..3 {
        tracker.begin().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        tracker.end().unwrap();
    }
    report(tracker)
}

pub fn report(tracker: &Tracker) -> Value {
    serde_json::from_str(&tracker.report("json").unwrap()).unwrap()
}

pub fn messages(tracker: &Tracker) -> Vec<String> {
    let mut all = Vec::new();
    while tracker
        .take_message(|text| {
            all.push(text.to_owned());
            Ok(carbontracker::error::Status::CT_OK)
        })
        .is_ok()
    {}
    all
}

/// Waits for a report that meets this condition.
pub fn until(tracker: &Tracker, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let report = report(tracker);
        if holds(&report) {
            return report;
        }
        assert!(Instant::now() < deadline, "{report}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn is_live(report: &Value) -> bool {
    report["intensity"]["kind"] == "live"
}

pub fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer} in {report}"))
}

/// Checks that all energy is counted, and that its emissions follow from the reported intensity.
pub fn check_energy(report: &Value) {
    let (joules, seconds) = (number(report, "/usage/energy_j"), number(report, "/usage/duration_s"));
    assert!((joules / seconds / 3600.0 - 1.0).abs() < 1e-6, "{report}");
    let grams = number(report, "/usage/energy_kwh") * number(report, "/intensity/g_per_kwh");
    assert!((number(report, "/usage/co2eq_g") / grams - 1.0).abs() < 1e-9, "{report}");
}

pub fn sample(name: &str) -> Behaviour {
    let path = std::path::Path::new(crate::ROOT).join("tests/fixtures/api").join(name);
    Behaviour::text(&of_days_ago(&std::fs::read_to_string(path).unwrap()))
}

/// Moves a sample's first day to three days before today, and all other days with it. So the two days of a forecast end
/// yesterday, at any hour.
fn of_days_ago(sample: &str) -> String {
    const DAY_S: f64 = 86_400.0;
    let day_of = |days: f64| stamp(days * DAY_S)[..10].to_owned();
    let three_days_ago = (unix_s() / DAY_S).floor() - 3.0;
    let mut moved = sample.to_owned();
    for (first, days) in [("2026-03-02", 20_514.0), ("2023-03-17", 19_433.0), ("2026-02-27", 20_511.0)] {
        if sample.contains(first) {
            for n in (0..4).rev() {
                moved = moved.replace(&day_of(days + f64::from(n)), &format!("@{n}"));
            }
            for n in 0..4 {
                moved = moved.replace(&format!("@{n}"), &day_of(three_days_ago + f64::from(n)));
            }
            break;
        }
    }
    // Energy-Charts counts seconds.
    let by = (three_days_ago - 20_514.0) * DAY_S;
    let lines = moved.split_inclusive('\n').map(|line| match line.trim().trim_end_matches(',').parse::<f64>() {
        Ok(seconds) if seconds > 1.7e9 => line.replace(&seconds.to_string(), &(seconds + by).to_string()),
        _ => line.to_owned(),
    });
    lines.collect()
}
