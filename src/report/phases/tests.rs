use super::*;
use crate::attribution::phases::PhaseStack;
use crate::clock::MonoNs;
use crate::measurement::meter::EnergyInterval;
use crate::report::tests::{NOW, run_of, settings};
use crate::report::{Detail, DeviceKind, Report};
use rtrb::RingBuffer;
use serde_json::{Value, json};

const MS: u64 = 1_000_000;

/// A run of one processor with two epochs: "step" with "solve" in it, and "output, \"csv\"".
fn report() -> Report {
    let mut state = run_of(&[DeviceKind::Cpu], &[(100 * MS, 0), (100 * MS, 0)], &[]);
    let book = &mut state.attribution.phases;
    let (producer, mut consumer) = RingBuffer::new(1 << 10);
    let mut stack = PhaseStack::new(Arc::clone(&book.tree), producer);
    for epoch in 0..2 {
        let at = |ms: u64| MonoNs((100 * epoch + ms) * MS);
        stack.set_in_epoch(true, at(0));
        stack.begin("step", at(0));
        stack.begin("solve", at(10));
        stack.end(at(60));
        stack.end(at(70));
        stack.begin("output, \"csv\"", at(70));
        stack.end(at(100));
    }
    stack.set_in_epoch(false, MonoNs(200 * MS));
    stack.flush();
    while let Ok(mark) = consumer.pop() {
        book.mark(mark);
    }
    // 10 W in the step, 100 W in the solve, 20 W in the output.
    for (from, to, watts) in [(0, 10, 10.0), (10, 60, 100.0), (60, 70, 10.0), (70, 100, 20.0)] {
        for epoch in 0..2 {
            let [from, to] = [from, to].map(|ms| MonoNs((100 * epoch + ms) * MS));
            let joules = watts * to.s_since(from);
            book.credit((0, 0), EnergyInterval { from, to, joules, measured: true });
        }
    }
    book.settle();
    Report::new(&settings(None, 0), &state, NOW, Detail::Epochs)
}

fn value(report: &Report, pointer: &str) -> f64 {
    report.value(&format!("/phases/{pointer}")).unwrap()
}

#[test]
fn rows_have_what_is_in_a_phase_with_and_without_the_inner_ones() {
    let report = report();
    let close = |pointer: &str, expected: f64| {
        let found = value(&report, pointer);
        assert!((found - expected).abs() < 1e-9, "{pointer}: {found}, not {expected}");
    };
    close("duration_s", 0.2);
    close("energy_j", 0.4 + 10.0 + 1.2);
    close("rows/step/energy_j", 10.4);
    close("rows/step/own/energy_j", 0.4);
    close("rows/step~1solve/energy_j", 10.0);
    close("rows/step~1solve/energy_low_j", 10.0);
    close("rows/step~1solve/mean_power_w", 100.0);
    close("rows/step~1solve/coverage", 1.0);
    close("rows/0/entries", 2.0);
    close("rows/step/epochs/energy_j", 10.4);
    close("rows/step/each_epoch_j", 5.2);
    close("rows/step/share", 10.4 / 11.6);
    close("rows/length", 4.0);
    assert_eq!(report.text("/phases/rows/3/path").unwrap(), "", "the time in no phase is last");
    assert!(report.value("/phases/rows/other/energy_j").is_err());
    assert!(report.value("/phases/rows/step/joules").is_err());
}

#[test]
fn formats_have_the_phases() {
    let report = report();
    let text = report.render("text").unwrap();
    assert!(text.contains("phases, each with those within it"), "{text}");
    assert!(text.contains("    solve"), "{text}");
    let csv = report.render("phases").unwrap();
    let rows: Vec<&str> = csv.lines().collect();
    assert!(rows[0].starts_with("path,entries,duration_s,energy_j,") && rows.len() == 5, "{csv}");
    assert!(rows[2].starts_with("step/solve,2,0.1,10,"), "{csv}");
    assert!(rows[3].starts_with("\"output, \"\"csv\"\"\",2,"), "{csv}");
    let metrics = report.render("prometheus").unwrap();
    let energy = metrics.lines().find(|line| line.contains("phase_energy_joules{") && line.contains("phase=\"step\""));
    assert!(energy.is_some_and(|line| line.split(' ').next_back().unwrap().parse::<f64>().unwrap() < 0.5), "{metrics}");
    let page = report.render("html").unwrap();
    assert!(page.contains("<h2>Phases</h2>") && page.contains("output, &quot;csv&quot;"));
}

#[test]
fn run_without_phases_has_none() {
    let report = Report::new(&settings(None, 0), &run_of(&[DeviceKind::Cpu], &[(MS, 0)], &[]), NOW, Detail::Epochs);
    assert_eq!(report.json()["phases"], Value::Null);
    assert_eq!(report.render("phases").unwrap().lines().count(), 1);
    assert!(!report.render("text").unwrap().contains("phases"));
    assert!(!report.render("html").unwrap().contains("<h2>Phases"));
}

fn section(path: &str, seconds: f64, joules: f64, half: f64, epochs: f64) -> Value {
    let used = json!({"duration_s": seconds, "energy_j": joules, "energy_low_j": joules - half, "energy_high_j": joules + half});
    let mut row = json!({"path": path, "name": path, "depth": 1, "entries": 10, "coverage": 1.0, "mean_power_w": 0.0,
        "share": 1.0, "co2eq_g": joules, "own": used, "epochs": used, "each_epoch_j": joules / epochs});
    row.as_object_mut().unwrap().extend(used.as_object().unwrap().clone());
    json!({"duration_s": seconds, "energy_j": joules, "level": 0.9, "rows": [row, {"path": "", "name": null, "depth": 0}]})
}

#[test]
fn sections_of_attempts_and_ranks_are_added() {
    let (one, other) = (section("a", 2.0, 100.0, 3.0, 1.0), section("a", 3.0, 50.0, 4.0, 4.0));
    let attempts = merged(&[&one, &other], PartsOf::Run);
    let row = &attempts["rows"][0];
    assert_eq!((&row["duration_s"], &row["energy_j"], &row["entries"]), (&json!(5.0), &json!(150.0), &json!(20)));
    assert_eq!((&row["energy_low_j"], &row["energy_high_j"]), (&json!(145.0), &json!(155.0)));
    assert_eq!((&row["mean_power_w"], &row["each_epoch_j"], &row["share"]), (&json!(30.0), &json!(30.0), &json!(1.0)));
    let ranks = merged(&[&one, &other], PartsOf::Job);
    let row = &ranks["rows"][0];
    assert_eq!((&row["duration_s"], &row["energy_j"], &row["entries"]), (&json!(3.0), &json!(150.0), &json!(10)));
    assert_eq!(row["each_epoch_j"], json!(112.5));
    let mut unknown = section("a", 50.0, 0.0, 0.0, 1.0);
    unknown["rows"][0]["energy_j"] = Value::Null;
    let row = &merged(&[&one, &unknown], PartsOf::Run)["rows"][0];
    assert_eq!((&row["energy_j"], &row["mean_power_w"]), (&json!(100.0), &json!(50.0)), "the power of the known part");
    let more = merged(&[&one, &section("b", 1.0, 1.0, 0.0, 1.0)], PartsOf::Run);
    let paths: Vec<&Value> = more["rows"].as_array().unwrap().iter().map(|row| &row["path"]).collect();
    assert_eq!(paths, ["a", "b", ""]);
    assert_eq!(merged(&[&json!({"rows": 7}), &json!(3)], PartsOf::Job), Value::Null, "a damaged file");
}
