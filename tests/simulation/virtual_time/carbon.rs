//! CO2 by the hour, end to end: a tracker that measures while the grid changes.

use crate::virtually;
use carbontracker::error::Status;
use carbontracker::os::{self, Instant, pause};
use carbontracker::tracker::Tracker;
use serde_json::Value;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

fn unix_s() -> f64 {
    os::unix_s().0
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("carbon-{}-{name}.csv", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

fn tracker(options: &str) -> Tracker {
    Tracker::create(options).unwrap().unwrap()
}

fn json(tracker: &Tracker) -> Value {
    serde_json::from_str(&tracker.report("json").unwrap()).unwrap()
}

/// 100, 300, 100, … g/kWh in steps of half a second.
fn swinging(from: f64) -> (String, impl Fn(f64, f64) -> f64) {
    let mut text = String::from("time,g_per_kwh,kind\n");
    let figure = |n: i64| if n % 2 == 0 { 100.0 } else { 300.0 };
    for n in 0..60 {
        writeln!(text, "{:.6},{},actual", from + n as f64 * 0.5, figure(n)).unwrap();
    }
    let integral = move |to: f64| {
        let (steps, rest) = ((to - from).div_euclid(0.5) as i64, (to - from).rem_euclid(0.5));
        (0..steps).map(|n| figure(n) * 0.5).sum::<f64>() + figure(steps) * rest
    };
    (text, move |begin: f64, end: f64| (integral(end) - integral(begin)) / (end - begin))
}

/// 3.6 kW: a gram an hour and g/kWh is one an hour.
#[test]
fn each_joule_is_converted_at_its_own_time() {
    virtually(|_| {
        let (text, mean) = swinging(unix_s() - 1.0);
        let path = file("swinging", &text);
        let tracker = tracker(&format!("sim_cpu=x:3600 interval=0.1 location=DK intensity='{}'", path.display()));
        let mut stamps = Vec::new();
        for _ in 0..3 {
            let before = unix_s();
            tracker.begin().unwrap();
            pause(Duration::from_millis(700));
            tracker.end().unwrap();
            stamps.push((before, unix_s()));
        }
        let report = json(&tracker);
        let (began, ended) = (stamps[0].0, stamps[2].1);
        let of = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let is = of("/usage/co2eq_g") / of("/usage/energy_kwh");
        assert!((is - mean(began, ended)).abs() < 0.01, "{is} against {}", mean(began, ended));
        assert!((is - of("/intensity/g_per_kwh")).abs() < 1e-6);
        for (n, (begin, end)) in stamps.iter().enumerate() {
            let is = of(&format!("/epochs/{n}/co2eq_g")) / of(&format!("/epochs/{n}/energy_j")) * 3.6e6;
            assert!((is - mean(*begin, *end)).abs() < 0.01, "epoch {n}: {is} against {}", mean(*begin, *end));
        }
        assert_eq!(report["intensity"]["kind"], "file");
        assert_eq!(report["intensity"]["zone"], "DK");
        assert!(of("/intensity/coverage") == 1.0 && of("/intensity/metered_share") == 1.0, "{}", report["intensity"]);
        assert!(of("/intensity/slots_used") >= 4.0);
        assert_eq!(report["notes"], serde_json::json!([]));
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn a_file_that_ends_before_the_run_is_extrapolated_and_reported() {
    virtually(|_| {
        let now = unix_s();
        let path = file("old", &format!("time,g_per_kwh\n{},100\n{},100\n", now - 7200.0, now - 7100.0));
        let tracker = tracker(&format!("sim_cpu=x:3600 intensity='{}'", path.display()));
        tracker.begin().unwrap();
        pause(Duration::from_millis(50));
        tracker.end().unwrap();
        let report = json(&tracker);
        let (grams, kwh) =
            (report["usage"]["co2eq_g"].as_f64().unwrap(), report["usage"]["energy_kwh"].as_f64().unwrap());
        assert!((grams / kwh - 100.0).abs() < 1e-6);
        assert_eq!((&report["intensity"]["coverage"], &report["intensity"]["slots_used"]), (&0.0.into(), &0.into()));
        let notes = report["notes"].to_string();
        assert!(notes.contains("100.0 % of the energy has no intensity of its own hour"), "{notes}");
        assert!(tracker.report("text").unwrap().contains("0 % of the energy at its own hour's figure"));
        std::fs::remove_file(path).unwrap();
    });
}

/// On a cluster without the internet one job may fetch for all.
#[test]
fn a_file_that_changes_is_read_again() {
    virtually(|_| {
        let now = unix_s();
        let figures = |g_per_kwh: &str| {
            format!("time,g_per_kwh,kind\n{},{g_per_kwh},actual\n{},5,actual\n", now - 60.0, now + 3600.0)
        };
        let path = file("changing", &figures("100"));
        let tracker = tracker(&format!("sim_cpu=x:3600 intensity='{}'", path.display()));
        tracker.begin().unwrap();
        pause(Duration::from_millis(50));
        tracker.end().unwrap();
        let figure = || tracker.value("/intensity/g_per_kwh").unwrap();
        assert!((figure() - 100.0).abs() < 1e-9);
        let awaited = |holds: &dyn Fn() -> bool| {
            let deadline = Instant::now() + Duration::from_secs(60);
            while !holds() && Instant::now() < deadline {
                pause(Duration::from_millis(50));
            }
            assert!(holds(), "{}", tracker.report("text").unwrap());
        };
        // Writes a file as users should: whole, under another name, then renamed.
        std::fs::rename(file("newer", &figures("250.5")), &path).unwrap();
        awaited(&|| (figure() - 250.5).abs() < 1e-9);
        std::fs::write(&path, "time,g_per_kwh\nsoon,7\n").unwrap();
        awaited(&|| tracker.report("text").unwrap().contains("'soon' is not a time"));
        assert!((figure() - 250.5).abs() < 1e-9, "what was known stays");
        std::fs::remove_file(path).unwrap();
    });
}

/// The job that writes the file may have stopped years ago.
#[test]
fn an_old_file_is_reported_and_the_yearly_average_counts() {
    virtually(|_| {
        let path = file("stale", "# zone: DE\ntime,g_per_kwh\n2020-11-25T01:00Z,100\n2020-11-25T02:00Z,110\n");
        let tracker = tracker(&format!("sim_cpu=x:3600 location=DK intensity='{}'", path.display()));
        tracker.begin().unwrap();
        pause(Duration::from_millis(50));
        tracker.end().unwrap();
        let report = json(&tracker);
        assert_eq!((&report["intensity"]["kind"], &report["intensity"]["zone"]), (&"static".into(), &"DK".into()));
        assert!((report["intensity"]["g_per_kwh"].as_f64().unwrap() - 114.41).abs() < 1e-9, "{}", report["intensity"]);
        let mut reported = report["notes"].to_string();
        while tracker
            .take_message(|text| {
                reported.push_str(text);
                Ok(carbontracker::error::Status::CT_OK)
            })
            .is_ok()
        {}
        assert_eq!(reported.matches("ends at 2020-11-25T03:00:00Z, before now: later hours").count(), 2, "{reported}");
        assert_eq!(reported.matches("has figures of DE, not of location=DK").count(), 2, "{reported}");
        assert!(reported.contains("yearly average of DK"), "{reported}");
        std::fs::remove_file(path).unwrap();
    });
}

/// The file may be half written. A run is still measured without its figures.
#[test]
fn a_bad_file_leaves_the_yearly_average_until_it_is_mended() {
    virtually(|_| {
        let path = file("bad", "time,g_per_kwh\n2026-03-02T12:00Z,123,4\n");
        let tracker = tracker(&format!("sim_cpu=x:3600 location=DK intensity='{}'", path.display()));
        tracker.begin().unwrap();
        pause(Duration::from_millis(50));
        tracker.end().unwrap();
        let report = json(&tracker);
        assert_eq!((&report["intensity"]["kind"], &report["intensity"]["zone"]), (&"static".into(), &"DK".into()));
        assert!(report["usage"]["co2eq_g"].as_f64().is_some_and(|grams| grams > 0.0), "{}", report["usage"]);
        let mut reported = String::new();
        while tracker
            .take_message(|text| {
                reported.push_str(text);
                Ok(Status::CT_OK)
            })
            .is_ok()
        {}
        for words in [".csv': line 2: 3 cells, but 2 columns", "such as \"1,234.5\"", "CO2e uses the yearly average"] {
            assert!(reported.contains(words), "{reported}");
        }
        let notes = report["notes"].to_string();
        assert!(
            notes.contains("CO2 is converted at the yearly average of DK: intensity='")
                && notes.contains("line 2: 3 cells")
        );
        let now = unix_s();
        let mended = format!("# source: me\ntime,g_per_kwh\n{},\"123,4\"\n{},\"123,4\"\n", now - 60.0, now + 3600.0);
        std::fs::rename(file("mended", &mended), &path).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while json(&tracker)["intensity"]["source"] != "me" && Instant::now() < deadline {
            pause(Duration::from_millis(50));
        }
        let report = json(&tracker);
        assert_eq!((&report["intensity"]["source"], &report["intensity"]["kind"]), (&"me".into(), &"file".into()));
        assert!((report["intensity"]["g_per_kwh"].as_f64().unwrap() - 123.4).abs() < 1e-9, "{}", report["intensity"]);
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn a_file_that_is_not_there_is_refused() {
    let refused = |path: &str| Tracker::create(&format!("intensity='{path}'")).err().unwrap().message;
    assert!(refused("/nowhere/grid.csv").contains("No such file"));
    assert!(refused("/dev/null").contains("not a regular file"));
}

/// Every number of a report, by its pointer.
fn numbers(at: &str, value: &Value, all: &mut Vec<(String, f64)>) {
    match value {
        Value::Number(number) => all.push((at.to_owned(), number.as_f64().unwrap())),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| numbers(&format!("{at}/{name}"), value, all)),
        Value::Array(items) => {
            (0..).zip(items).for_each(|(n, value): (usize, _)| numbers(&format!("{at}/{n}"), value, all))
        }
        _ => (),
    }
}

/// A single number is worked out with less than the whole report: it is the same all the same, whatever the run's
/// state.
#[test]
fn each_number_by_pointer_equals_the_one_in_the_report() {
    virtually(|_| {
        let now = unix_s();
        let mut text = String::from("time,g_per_kwh,kind\n");
        for n in -20..200 {
            let kind = if n < 0 { "actual" } else { "forecast" };
            writeln!(text, "{:.3},{},{kind}", now + f64::from(n) * 900.0 + 0.3, 200 + 37 * n % 150).unwrap();
        }
        let path = file("pointers", &text);
        let tracker = tracker(&format!(
            "sim_cpu=x:3600 interval=0.05 epochs=4 location=DK intensity='{}' price=0.3EUR wue=0.2 wue_grid=3 embodied_kg=150 what_if=DK,FR",
            path.display()
        ));
        let check = |state: &str| {
            let report = json(&tracker);
            assert_eq!(report["run"]["state"], state);
            let mut all = Vec::new();
            numbers("", &report, &mut all);
            for (pointer, whole) in &all {
                let one = tracker.value(pointer).unwrap_or_else(|error| panic!("{state} {pointer}: {}", error.message));
                // Time passes between the two calls. `report/tests.rs` compares them at one instant.
                let moves =
                    ["waiting", "in_epoch"].contains(&state) || pointer.contains("now") || pointer.contains("/start");
                let allowed = whole.abs() * if moves { 1e-3 } else { 1e-9 };
                assert!(one.is_finite(), "{state} {pointer}: {one}");
                assert!((one - whole).abs() <= allowed, "{state} {pointer}: {one} is not {whole}");
            }
            let of = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64);
            for metric in ["duration_s", "energy_j", "co2eq_g"] {
                let of = |name: &str| of(&format!("/forecast/{metric}/{name}"));
                if let (Some(low), Some(value), Some(high)) = (of("low"), of("value"), of("high")) {
                    assert!(low <= value && value <= high, "{state} {metric}: {}", report["forecast"]);
                    let used = report.pointer(&format!("/usage/{metric}")).and_then(Value::as_f64).unwrap_or(0.0);
                    assert!(low >= used * (1.0 - 1e-9), "{state} {metric}: {used} of {}", report["forecast"]);
                }
            }
        };
        check("waiting");
        tracker.begin().unwrap();
        pause(Duration::from_millis(300));
        tracker.progress(3, 10).unwrap();
        pause(Duration::from_millis(100));
        tracker.progress(4, 10).unwrap();
        check("in_epoch");
        tracker.end().unwrap();
        check("between");
        pause(Duration::from_millis(200));
        for _ in 0..3 {
            tracker.begin().unwrap();
            pause(Duration::from_millis(100));
            check("in_epoch");
            tracker.end().unwrap();
        }
        check("done");
        std::fs::remove_file(path).unwrap();
    });
}
