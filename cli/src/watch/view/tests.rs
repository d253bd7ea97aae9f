use super::*;

const WRITTEN: f64 = 1_772_456_400.0; // 2026-03-02T13:00:00Z

fn report() -> Value {
    json!({
        "run": {"id": "ab", "name": "digits", "host": "node1", "state": "in_epoch", "epochs_planned": 20, "epochs_done": 6, "progress": 0.5},
        "usage": {"duration_s": 3600.0, "energy_j": 3.6e6, "co2eq_g": 114.0, "epochs": {"duration_s": 3600.0}},
        "forecast": {"level": 0.9, "duration_s": {"value": 12000.0, "low": 11000.0, "high": 13000.0},
            "energy_j": {"value": 1.2e7, "low": 1.1e7, "high": 1.3e7}, "co2eq_g": {"value": 380.0, "low": 350.0, "high": 420.0},
            "remaining": {"duration_s": {"value": 8400.0, "low": 7400.0, "high": 9400.0}}},
        "power": {"from": [0.0, 1.0], "to": [1.0, 2.0], "cpu_w": [1.0, 52.0], "gpu_w": [2.0, 200.0], "dram_w": null, "node_w": null},
        "epochs": [{"duration_s": 600.0, "cpu_j": 6000.0, "gpu_j": null}],
    })
}

fn local(unix_s: f64) -> String {
    os::local_time().shown(UnixS(unix_s)).unwrap()
}

fn view(report: &Value, after: f64) -> WatchView<'_> {
    WatchView { report, written: WRITTEN, now: WRITTEN + after, is_over: false, is_from_journal: false }
}

#[test]
fn view_is_complete_and_fits_the_width() {
    let report = report();
    let wide = view(&report, 10.0).lines(110, false);
    assert_eq!(
        wide,
        [
            "digits on node1: in epoch 7 of 20".to_owned(),
            format!("{}{}  32 %", "█".repeat(26), "░".repeat(54)),
            format!("left      2 h 20 min, ends {}", local(WRITTEN + 8400.0)),
            "power     252 W, cpu 52.0 W, gpu 200 W".into(),
            "used      1.00 kWh, 114 g CO2e, in 1 h".into(),
            "forecast  3.3 kWh (3.1 to 3.6), 380 g CO2e (350 to 420), 3.3 h (3.1 to 3.6), 90 % intervals".into(),
        ]
    );
    for width in [1, 10, 20, 40, 41, 79, 200] {
        let lines = view(&report, 10.0).lines(width, true);
        assert!(lines.iter().all(|line| measure_text_width(line) <= width), "{width}: {lines:#?}");
    }
    let narrow = view(&report, 10.0).lines(39, false);
    assert_eq!(
        narrow.get(6..9).unwrap().join("\n"),
        "\
forecast  3.3 kWh (3.1 to 3.6),
          380 g CO2e (350 to 420),
          3.3 h (3.1 to 3.6),"
    );
    assert!(!narrow.iter().any(|line| line.contains('…')), "{narrow:#?}");
}

#[test]
fn estimates_have_intervals() {
    let mut report = report();
    report["usage"]["error"] = json!({"low": 0.9, "high": 1.2});
    report["components"] = json!([
        {"kind": "cpu", "energy_j": 7.2e5, "error": {"low": 0.5, "high": 2.0}},
        {"kind": "gpu", "energy_j": 2.88e6, "error": null},
    ]);
    let shown = view(&report, 10.0).lines(120, false);
    assert_eq!(
        shown.get(3..6).unwrap(),
        [
            "power     ≈ 250 W (230 to 300), cpu ≈ 52 W, gpu 200 W",
            "used      ≈ 1.0 kWh (0.90 to 1.2), ≈ 110 g CO2e (100 to 140), in 1 h",
            "forecast  ≈ 3.3 kWh (3.1 to 3.6), ≈ 380 g CO2e (350 to 420), 3.3 h (3.1 to 3.6), 90 % intervals",
        ]
    );
    assert_eq!(view(&report, 10.0).json("a")["error"]["high"], 1.2);
    // Nothing has ended yet.
    report["usage"] = json!({"energy_j": null, "duration_s": 0.0, "error": null});
    report["run"]["open"] = json!({"duration_s": 300.0, "energy_j": 3.6e5});
    report["components"].as_array_mut().unwrap().iter_mut().for_each(|one| one["energy_j"] = Value::Null);
    let shown = view(&report, 10.0).lines(120, false);
    assert!(shown.iter().any(|line| line.contains("used      ≈ 100 Wh (50 to 200)")), "{shown:#?}");
}

/// In a journal, no total includes the open epoch yet.
#[test]
fn open_epoch_counts_as_used_and_as_done() {
    let mut report = report();
    report["run"]["open"] = json!({"duration_s": 300.0, "energy_j": 3.6e5});
    report["run"]["progress"] = Value::Null;
    report["forecast"]["remaining"] = Value::Null;
    report["pue"] = json!(1.0);
    report["intensity"] = json!({"g_per_kwh": 114.0});
    let shown = view(&report, 0.0).lines(110, false);
    let has = |text: &str| shown.iter().any(|line| line.contains(text));
    assert!(has("left      2 h 15 min, ends") && has("used      1.10 kWh, 125 g CO2e, in 1 h 5 min"), "{shown:#?}");
    assert_eq!(view(&report, 0.0).json("a")["share"], 6.5 / 20.0);
    report["run"]["epochs_done"] = json!(0);
    report["usage"] = json!({"energy_j": null, "duration_s": 0.0, "epochs": {"duration_s": 0.0}});
    let first = view(&report, 0.0).lines(110, false);
    assert!(first.iter().any(|line| line.contains("used      100 Wh, 11.4 g CO2e, in 5 min")), "{first:#?}");
}

#[test]
fn budgets_and_notes_are_shown() {
    let mut report = report();
    report["run"]["budgets"] = json!({"kwh": null, "g": 0.2, "h": null, "passed": true});
    report["notes"] = json!(["one", "two", "three", "mind the gap"]);
    let shown = view(&report, 0.0).lines(120, false).join("\n");
    assert!(shown.contains("budget    0.2 g CO2e, passed: the run uses more"), "{shown}");
    assert!(shown.contains("note      mind the gap") && !shown.contains("note      one"), "{shown}");
    report["run"]["budgets"]["passed"] = json!(false);
    assert!(view(&report, 0.0).line().contains("; budget 0.2 g CO2e, not passed"));
}

/// The length of the first epoch is unknown, and a program has no epochs.
#[test]
fn first_epoch_and_a_program_have_no_share_without_marks() {
    let mut report = report();
    report["run"]["open"] = json!({"duration_s": 14.0, "energy_j": 3.6e5});
    report["run"]["progress"] = Value::Null;
    report["run"]["epochs_done"] = json!(0);
    report["usage"] = json!({"energy_j": null, "duration_s": 0.0, "epochs": {"duration_s": 0.0}});
    assert_eq!(view(&report, 0.0).share(), Some(0.0));
    report["run"]["epochs_planned"] = json!(1);
    assert_eq!(view(&report, 0.0).json("a")["share"], Value::Null);
    let lines = view(&report, 0.0).lines(80, false);
    assert_eq!(lines[0], "digits on node1: running for 14.0 s");
    assert!(!lines.iter().any(|line| line.contains(" 0 %") || line.contains("99 %")), "{lines:?}");
}

#[test]
fn unknown_values_are_named_or_left_out() {
    let report = json!({"run": {"id": "ab", "state": "waiting", "epochs_planned": 0, "epochs_done": 0}, "usage": {"energy_j": null}});
    assert_eq!(view(&report, 0.0).lines(80, false), ["ab: waiting for its first epoch", "used      energy unknown"]);
    assert_eq!(view(&json!({}), 0.0).lines(80, false).len(), 2);
    let rude = json!({"run": {"name": "a", "epochs_planned": 1e300, "epochs_done": -1}});
    assert!(view(&rude, 0.0).lines(80, false).iter().all(|line| !line.contains(char::is_control)));
}

#[test]
fn last_epoch_gives_the_power_without_a_power_line() {
    let mut report = report();
    report["power"] = Value::Null;
    assert_eq!(view(&report, 0.0).power(), [("cpu", 10.0)]);
}

#[test]
fn short_forecast_is_not_rounded_to_seconds() {
    let mut report = report();
    report["forecast"]["duration_s"] = json!({"value": 1.82, "low": 1.09, "high": 2.22});
    let lines = view(&report, 0.0).lines(200, false).join("\n");
    assert!(lines.contains("1.8 s (1.1 to 2.2)"), "{lines}");
}

#[test]
fn run_without_journal_is_stalled_after_three_epochs() {
    let mut report = report();
    report["run"]["state"] = json!("unfinished");
    assert!(view(&report, 1799.0).head().ends_with("running, 6 of 20 epochs done"));
    let silent = view(&report, 1801.0).lines(120, false).join("\n");
    assert!(
        silent.contains(&format!("stalled, no update since {}, 6 of 20", local(WRITTEN))) && !silent.contains("ends"),
        "{silent}"
    );
    assert_eq!(view(&report, 1799.0).json("a")["state"], "running");
    assert_eq!(view(&report, 1801.0).json("a")["state"], "unfinished", "it may have been killed");
    let journal = WatchView { is_from_journal: true, ..view(&report, 151.0) };
    assert!(journal.is_silent() && !view(&report, 151.0).is_silent());
    let over = WatchView { is_over: true, ..view(&report, 1801.0) };
    assert_eq!(over.line(), "digits on node1: done, 6 of 20 epochs (30 %); used 1.00 kWh, 114 g CO2e, in 1 h");
}

#[test]
fn line_does_not_change_with_the_clock() {
    let report = report();
    assert_eq!(view(&report, 0.0).line(), view(&report, 30.0).line());
    assert_eq!(view(&report, 30.0).json("a")["left_s"], 8400.0);
}

/// A cut note has lost its meaning.
#[test]
fn notes_are_wrapped_and_the_usual_note_of_a_journal_is_left_out() {
    let mut report = report();
    let long = "no location given: CO2e uses the world's average; set location= (DK, US-CA) or intensity=";
    report["notes"] = json!([UNFINISHED, long]);
    let lines = view(&report, 0.0).lines(40, false);
    let text = lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    assert!(text.contains(&format!("note      {long}")), "{lines:?}");
    assert!(lines.iter().all(|line| line.chars().count() <= 40) && !text.contains("left no final"), "{lines:?}");
    let over = WatchView { is_over: true, ..view(&report, 0.0) };
    assert!(over.lines(200, false).join("\n").contains("left no final"));
}
