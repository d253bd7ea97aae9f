//! `carbontracker aggregate`: sums, copies, unknown values, broken files, and ten thousand files.

use crate::retry::PATIENCE;
use carbontracker::tracker::Tracker;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn aggregate(folder: &Folder, arguments: &[&str]) -> Output {
    let command =
        Command::new(env!("CARGO_BIN_EXE_carbontracker")).arg("aggregate").arg(&folder.0).args(arguments).output();
    command.expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The output of `--json` for a folder without faults.
fn totals(folder: &Folder, arguments: &[&str]) -> Value {
    let output = aggregate(folder, &[&["--json"], arguments].concat());
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A folder for one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("aggregate-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("a folder");
        Folder(dir)
    }

    fn of(name: &str, reports: &[(&str, Value)]) -> Folder {
        let folder = Folder::new(name);
        reports.iter().for_each(|(file, report)| folder.write(file, &report.to_string()));
        folder
    }

    fn write(&self, file: &str, content: &str) {
        fs::write(self.0.join(file), content).expect("written");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The report of a run of 100 s: number of epochs, and energy, J, if known.
fn report(id: &str, epochs: u64, energy_j: Option<f64>) -> Value {
    let kwh = energy_j.map(|joules| joules / 3.6e6);
    let cpu = json!({"kind": "cpu", "device": "a", "id": "a", "source": "rapl", "method": "counter", "energy_j": energy_j,
        "mean_power_w": 1.0, "coverage": 1.0, "status": "ok", "note": null});
    json!({
        "schema": 1,
        "run": {"id": id, "name": "digits", "host": "node1", "started": "2026-03-02T13:00:00Z", "state": "done",
            "epochs_planned": epochs, "epochs_done": epochs, "progress": null},
        "usage": {"duration_s": 100.0, "energy_j": energy_j, "energy_kwh": kwh, "facility_energy_kwh": kwh.map(|kwh| kwh * 1.5),
            "co2eq_g": kwh.map(|kwh| kwh * 150.0), "coverage": 1.0},
        "forecast": null,
        "intensity": {"g_per_kwh": 100.0, "kind": "static", "zone": "DK", "year": 2025, "basis": "lifecycle", "source": "Ember"},
        "pue": 1.5,
        "components": [cpu],
        "unavailable": [],
        "epochs": [],
        "notes": [],
    })
}

fn with(mut report: Value, pointer: &str, value: Value) -> Value {
    *report.pointer_mut(pointer).expect(pointer) = value;
    report
}

/// The library's report of a run.
fn measured(options: &str, epochs: u64) -> Value {
    let tracker = Tracker::create(&format!("{options} epochs={epochs} interval=0.02")).expect("made").expect("enabled");
    for _ in 0..epochs {
        tracker.begin().expect("begun");
        std::thread::sleep(Duration::from_millis(40));
        tracker.end().expect("ended");
    }
    serde_json::from_str(&tracker.report("json").expect("a report")).expect("JSON")
}

fn number(value: &Value, pointer: &str) -> f64 {
    value.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer} of {value}"))
}

#[test]
fn real_runs_add_up() {
    let runs = [
        ("a.json", measured("name=a location=DK pue=1.58 sim_cpu=A:50 sim_gpu=B:200", 3)),
        ("b.json", measured("name=b location=FR sim_cpu=A:50:0.5", 2)),
        ("c.json", measured("name=a location=DK pue=1.2 sim_gpu=B:200 components=gpu", 1)),
    ];
    let folder = Folder::of("real", &runs);
    let result = totals(&folder, &[]);
    for (total, pointer) in [
        ("/totals/energy_j", "/usage/energy_j"),
        ("/totals/facility_energy_kwh", "/usage/facility_energy_kwh"),
        ("/totals/co2eq_g", "/usage/co2eq_g"),
        ("/totals/duration_s", "/usage/duration_s"),
        ("/totals/epochs", "/run/epochs_done"),
    ] {
        let sum: f64 = runs.iter().map(|(_, report)| number(report, pointer)).sum();
        // Each time a number is read, its last binary digit may change.
        assert!((number(&result, total) / sum - 1.0).abs() < 1e-14, "{total}: {} and {sum}", result["totals"]);
    }
    assert_eq!(result["totals"]["pue"], json!([1.0, 1.58]));
    assert_eq!(result["totals"]["energy_share"], json!({"simulated": 1.0}));
    assert_eq!(result["groups"].as_array().map(Vec::len), Some(2), "by name: {}", result["groups"]);
    let sentence = result["sentence"].as_str().expect("a sentence");
    for words in ["the 3 runs on one machine", "PUE 1 to 1.58", "simulated, not measured", "DK, 2025", "FR, 2025"] {
        assert!(sentence.contains(words), "{words}: {sentence}");
    }
}

#[test]
fn copies_and_ranks_count_once() {
    let mut rank = with(report("rank", 4, None), "/components", json!([]));
    rank["job"] = json!({"agreed": true, "devices": [{"ids": ["package-0"], "counted_here": false, "process": 7}]});
    let folder = Folder::of(
        "copies",
        &[
            ("a.json", report("a", 4, Some(400.0))),
            ("copied-before-it-ended.json", report("a", 3, Some(300.0))),
            ("b.json", with(report("b", 2, Some(0.0)), "/run/host", json!("node2"))),
            ("rank.json", rank),
            ("unknown.json", report("unknown", 5, None)),
        ],
    );
    let result = totals(&folder, &["--by", "host"]);
    let expected = [("runs", 4), ("counted_elsewhere", 1), ("without_energy", 1), ("epochs", 15)];
    expected.iter().for_each(|(key, value)| assert_eq!(result["totals"][key], *value, "{key}"));
    assert_eq!((number(&result, "/totals/energy_j"), number(&result, "/copies")), (400.0, 1.0));
    assert_eq!((number(&result, "/totals/duration_s"), number(&result, "/totals/wall_s")), (400.0, 100.0));
    assert_eq!(result["groups"][1]["totals"]["energy_j"], 0.0, "known to be nothing");
    let printed = text(&aggregate(&folder, &[]).stdout);
    for line in ["1 of 4 runs: energy unknown", "1 of 4 runs: no energy, since another rank", "1 file left out"] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
}

#[test]
fn journal_and_report_are_one_run() {
    let folder = Folder::new("pair");
    folder.write("a.jsonl", "{\"journal\": 1}\n");
    folder.write("a.json", &report("a", 4, Some(400.0)).to_string());
    folder.write("a.prom", "carbontracker_energy_joules 1\n");
    let result = totals(&folder, &["--strict"]);
    assert_eq!(
        (&result["totals"]["runs"], &result["totals"]["energy_j"], &result["copies"]),
        (&json!(1), &json!(400.0), &json!(0))
    );
}

/// Values that Carbontracker's logs lack are unknown; all others are known.
#[test]
fn imported_runs_count() {
    let folder = Folder::new("imported");
    let logs = Path::new(crate::ROOT).join("tests/fixtures/carbontracker");
    let import = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_carbontracker"));
        let output = command.arg("import").arg(&logs).args(more).output().expect("it starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
        output.stdout
    };
    import(&["-o", &folder.0.display().to_string()]);
    let reports: Vec<Value> = serde_json::from_slice(&import(&["--json"])).expect("JSON");
    let result = totals(&folder, &["--strict"]);
    for (total, pointer) in
        [("energy_j", "/usage/energy_j"), ("co2eq_g", "/usage/co2eq_g"), ("epochs", "/run/epochs_done")]
    {
        let sum: f64 = reports.iter().filter_map(|report| report.pointer(pointer)?.as_f64()).sum();
        assert!(
            (number(&result["totals"], &format!("/{total}")) / sum - 1.0).abs() < 1e-12,
            "{total}: {}",
            result["totals"]
        );
    }
    assert!(result["totals"]["hosts"] == json!([]) && result["totals"]["coverage"].is_null(), "{}", result["totals"]);
    assert_eq!(result["totals"]["without_co2eq"], 1, "of the killed one");
    assert!(
        result["runs"][0]["host"].is_null() && result["runs"][0]["intensity"]["kind"].is_null(),
        "{}",
        result["runs"][0]
    );
    let sentence = result["sentence"].as_str().expect("a sentence");
    assert!(sentence.contains("The CO2eq of 1 of the 8 runs is unknown and not included."), "{sentence}");
    assert!(sentence.contains("with carbontracker 1.1.7 and 2.4.7 (Anthony"), "{sentence}");
    assert!(!sentence.contains("machine") && !sentence.contains("readings cover"), "{sentence}");
    for form in [&["--csv"][..], &["--by", "host"], &["--by", "run"]] {
        assert!(aggregate(&folder, form).stdout.len() > 100, "{form:?}");
    }
}

/// An output log alone has the energy with PUE, but neither PUE nor method.
#[test]
fn energy_with_an_unknown_overhead_counts() {
    let unknown = ["/usage/energy_j", "/usage/coverage", "/pue", "/run/host", "/run/state", "/intensity/kind"];
    let bare =
        unknown.iter().fold(report("bare", 1, Some(3.6e6)), |report, pointer| with(report, pointer, Value::Null));
    let result = totals(&Folder::of("bare", &[("bare.json", with(bare, "/components", json!([])))]), &[]);
    assert_eq!(
        (&result["totals"]["facility_energy_kwh"], &result["totals"]["without_energy"]),
        (&json!(1.5), &json!(0))
    );
    let sentence = result["sentence"].as_str().expect("a sentence");
    assert!(sentence.contains("used 1.50 kWh of electricity (PUE unknown)"), "{sentence}");
    let untold = with(report("b", 1, Some(3.6e6)), "/components/0/method", Value::Null);
    let result = totals(&Folder::of("untold", &[("a.json", report("a", 1, Some(3.6e6))), ("b.json", untold)]), &[]);
    assert_eq!(result["totals"]["energy_share"], json!({"counter": 0.5, "unknown": 0.5}));
}

/// Reports of 0.1.0 state no error of their estimates. They still count as estimates.
#[test]
fn old_estimates_are_not_exact() {
    let estimated = |id: &str| with(report(id, 1, Some(100.0)), "/components/0/method", json!("estimate"));
    let stated = |id: &str| {
        let error = json!({"low": 0.5, "high": 2.0});
        let mut report = estimated(id);
        report["usage"]["error"] = error.clone();
        report["components"][0]["error"] = error;
        report
    };
    let folder = Folder::of("old-estimates", &[("a.json", estimated("a")), ("b.json", stated("b"))]);
    let all = totals(&folder, &[]);
    let (low, high) = (number(&all, "/totals/energy_low_j"), number(&all, "/totals/energy_high_j"));
    assert!((low - 70.0).abs() < 1e-9 && (high - 500.0).abs() < 1e-9, "{all}");
    let paper = all["sentence"].to_string();
    assert!(paper.contains("Where an estimate states no error, 0.2 to 3 times its value is assumed."), "{paper}");
    let one = |name: &str, method: &str| {
        let report = with(report("a", 1, Some(100.0)), "/components/0/method", json!(method));
        let folder = Folder::of(name, &[("a.json", with(report, "/pue", json!(1.0)))]);
        totals(&folder, &[])["sentence"].to_string()
    };
    assert!(one("old-counter", "counter").contains("of the measured devices"));
    assert!(!one("old-estimate", "estimate").contains("measured devices"));
    // The ranks of a job.
    let rank = |rank: u64| {
        let mut report = with(estimated(&format!("r{rank}")), "/run/host", json!("node1"));
        for (name, value) in [("job", json!("slurm:1")), ("rank", json!(rank)), ("ranks", json!(2))] {
            report["run"][name] = value;
        }
        report["components"][0]["id"] = json!(rank.to_string());
        report
    };
    let job = totals(&Folder::of("old-ranks", &[("a.json", rank(0)), ("b.json", rank(1))]), &[]);
    assert_eq!((number(&job, "/totals/energy_low_j"), number(&job, "/totals/energy_high_j")), (40.0, 600.0), "{job}");
}

#[test]
fn unknown_energy_is_not_zero() {
    let folder = Folder::of("null", &[("a.json", report("a", 4, None)), ("b.json", report("b", 4, None))]);
    let result = totals(&folder, &[]);
    assert!(result["totals"]["energy_j"].is_null() && result["totals"]["co2eq_g"].is_null(), "{result}");
    assert_eq!(result["sentence"], "The energy of the 2 runs is not known.");
    let table = text(&aggregate(&folder, &[]).stdout);
    assert!(table.lines().nth(1).is_some_and(|row| row.split_whitespace().rev().take(3).eq(["unknown"; 3])), "{table}");
    let rows = text(&aggregate(&folder, &["--csv"]).stdout);
    assert!(rows.contains("\na,digits,node1,done,2026-03-02T13:00:00Z,4,100,,,,1,1.5,"), "{rows}");
}

#[test]
fn foreign_files_are_ignored_and_broken_files_named() {
    let folder = Folder::of(
        "broken",
        &[
            ("good.json", report("good", 1, Some(7.0))),
            ("other.json", json!({"schema": 1, "lr": 0.1})),
            ("list.json", json!([1, 2])),
            ("negative.json", with(report("n", 1, Some(1.0)), "/usage/energy_j", json!(-1))),
            ("newer.json", with(report("m", 1, Some(1.0)), "/schema", json!(2))),
        ],
    );
    folder.write("torn.json", "{\"schema\":1,\n\"run\":");
    folder.write("empty.json", "");
    folder.write("x_carbontracker.log", "2026-03-02 - Epoch 1:\n");
    folder.write("x.prom", "carbontracker_energy_joules 1\n");
    let output = aggregate(&folder, &["--json"]);
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(output.status.success() && result["totals"]["runs"] == 1 && number(&result, "/totals/energy_j") == 7.0);
    let printed = text(&output.stderr);
    for line in [
        "torn.json: EOF while parsing a value at line 2",
        "empty.json: the file is empty",
        "negative.json: /usage/energy_j is -1: expected a number from 0",
        "newer.json: a newer carbontracker wrote it: schema 2",
    ] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    assert_eq!(printed.lines().count(), 4, "{printed}");
    let strict = aggregate(&folder, &["--strict"]);
    assert_eq!((strict.status.code(), strict.stdout.len()), (Some(1), 0));
}

#[test]
fn folder_without_runs_is_an_error() {
    let folder = Folder::of("none", &[("other.json", json!({"a": 1}))]);
    for arguments in [&[][..], &["--json"], &["--csv"]] {
        let output = aggregate(&folder, arguments);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
        assert!(text(&output.stderr).contains("no run found"), "{}", text(&output.stderr));
    }
    let absent = Folder(folder.0.join("absent"));
    let printed = text(&aggregate(&absent, &[]).stderr);
    assert!(printed.contains("absent: No such file"), "{printed}");
    assert_eq!(aggregate(&folder, &["--by", "colour"]).status.code(), Some(2));
}

#[test]
fn mixed_zones_are_named() {
    let direct = with(report("b", 1, Some(3.6e6)), "/intensity/basis", json!("direct"));
    let direct = with(with(direct, "/usage/co2eq_g", json!(450.0)), "/intensity/zone", json!("GB"));
    let estimated = with(direct, "/components/0/method", json!("estimate"));
    let folder = Folder::of("mixed", &[("a.json", report("a", 1, Some(3.6e6))), ("b.json", estimated)]);
    let result = totals(&folder, &[]);
    assert_eq!(result["totals"]["g_per_kwh"], json!([100.0, 300.0]));
    let sentence = result["sentence"].as_str().expect("a sentence");
    for words in [
        "100 to 300 g/kWh",
        "different bases (direct, lifecycle)",
        "50.0 % estimated from",
        "≈ 3.0 kWh (1.8 to 6.0)",
        "0.60 kg of CO2eq (0.24 to 1.5 kg)",
    ] {
        assert!(sentence.contains(words), "{words}: {sentence}");
    }
}

#[test]
fn ten_thousand_files_are_added_up() {
    const RUNS: u64 = 10_000;
    let folder = Folder::new("many");
    let one = report("ID", 3, Some(0.5)).to_string();
    (0..RUNS).for_each(|n| folder.write(&format!("{n}.json"), &one.replace("\"ID\"", &format!("\"{n:016x}\""))));
    let result = totals(&folder, &[]);
    assert_eq!(
        (number(&result, "/totals/energy_j"), number(&result, "/totals/epochs")),
        (0.5 * RUNS as f64, 3.0 * RUNS as f64)
    );
}

/// In log_dir, an ended run counts by its report, a run in progress by its journal.
#[test]
fn journals_count_as_far_as_they_go() {
    let folder = Folder::new("journals");
    let options = format!("log_dir={} epochs=5 interval=0.02 sim_cpu=A:50", folder.0.display());
    let run = |epochs: u64| {
        let tracker = Tracker::create(&options).expect("made").expect("enabled");
        for _ in 0..epochs {
            tracker.begin().expect("begun");
            std::thread::sleep(Duration::from_millis(30));
            tracker.end().expect("ended");
        }
        tracker
    };
    drop(run(5));
    let going_on = run(3);
    let await_total = |name: &str, value: u64| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let result = totals(&folder, &["--by", "run"]);
            if result["totals"][name] == value {
                return result;
            }
            assert!(Instant::now() < deadline, "{name}: {result}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    let result = await_total("epochs", 8);
    assert_eq!(
        (&result["totals"]["runs"], &result["totals"]["unfinished"], &result["copies"]),
        (&json!(2), &json!(1), &json!(0))
    );
    let joules: f64 = result["runs"].as_array().expect("runs").iter().map(|run| number(run, "/energy_j")).sum();
    assert!(
        (number(&result, "/totals/energy_j") / joules - 1.0).abs() < 1e-12 && joules > 8.0 * 0.03 * 50.0 * 0.99,
        "{result}"
    );
    drop(going_on);
    assert_eq!(await_total("unfinished", 0)["totals"]["runs"], 2);
}
