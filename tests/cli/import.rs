//! `carbontracker import` on logs that Python's Carbontracker wrote (tests/fixtures/carbontracker).

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const LOGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/carbontracker");

fn carbontracker(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_carbontracker")).args(arguments).output().expect("it starts")
}

/// The output, without messages.
fn printed(arguments: &[&str]) -> String {
    let output = carbontracker(arguments);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "{complaint}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// An empty folder for one test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("import").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn shown(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn reports() -> Vec<Value> {
    serde_json::from_str(&printed(&["import", LOGS, "--json"])).expect("JSON")
}

/// The run whose name begins with this text.
fn run<'a>(reports: &'a [Value], name: &str) -> &'a Value {
    let is_it = |report: &&Value| report["run"]["id"].as_str().is_some_and(|id| id.starts_with(name));
    reports.iter().find(is_it).expect("the run")
}

fn notes(report: &Value) -> String {
    report["notes"].to_string()
}

#[test]
fn reports_hold_the_values_of_the_logs() {
    let reports = reports();
    let figure = |name: &str, pointer: &str| run(&reports, name).pointer(pointer).expect("a field").clone();
    for (name, state, done, planned) in [
        ("done", "done", 3, 3),
        ("early", "between", 2, 5),
        ("killed", "unfinished", 2, 4),
        ("command", "done", 1, 0),
        ("old", "done", 3, 3),
    ] {
        let run = run(&reports, name);
        let result =
            (run["run"]["state"].as_str(), run["run"]["epochs_done"].as_u64(), run["run"]["epochs_planned"].as_u64());
        assert_eq!(result, (Some(state), Some(done), Some(planned)), "{name}");
        for unknown in ["/run/host", "/usage/coverage", "/usage/between/energy_j", "/intensity/kind", "/what_if"] {
            assert!(run.pointer(unknown).is_some_and(Value::is_null), "{name} {unknown}");
        }
    }
    assert_eq!(figure("done", "/usage/facility_energy_kwh"), 0.000396240935);
    assert_eq!(figure("done", "/epochs/0/gpu_j"), 200.0);
    assert_eq!(figure("done", "/forecast"), Value::Null);
    assert_eq!(figure("early", "/forecast/duration_s/value"), 3.0);
    assert_eq!(figure("killed", "/usage/energy_j"), 475.0 * 1.3);
    assert_eq!(figure("killed", "/usage/co2eq_g"), Value::Null);
    assert_eq!(figure("old", "/intensity/source"), "by Carbontracker, at Umeå, Västerbotten, SE");
    assert_eq!(figure("old", "/components").as_array().map(Vec::len), Some(12));
    assert_eq!(figure("old", "/components/1/mean_power_w"), 312.345678);
    assert_eq!(figure("four", "/components").as_array().map(Vec::len), Some(1));
    assert!(
        notes(run(&reports, "four")).contains("4 devices but one power")
            && !notes(run(&reports, "old")).contains("but one power")
    );
}

#[test]
fn table_has_a_line_for_each_run_and_notes() {
    let table = printed(&["import", LOGS]);
    let (rows, notes): (Vec<&str>, Vec<&str>) = table.lines().partition(|line| !line.starts_with("note: "));
    assert_eq!(
        (rows.len(), rows[0].split_whitespace().collect::<Vec<_>>().join(" ")),
        (9, "run started epochs time energy CO2e".into())
    );
    let early = rows.iter().find(|row| row.starts_with("early")).expect("the run");
    assert!(early.contains("2026-11-28T19:27:16") && early.contains("2 of 5") && early.contains("1.30 s"), "{early}");
    assert!(rows.iter().any(|row| row.starts_with("killed") && row.ends_with("unknown")));
    assert!(
        notes.iter().any(|note| note.starts_with("note: all: "))
            && notes.iter().any(|note| note.starts_with("note: four_"))
    );
}

#[test]
fn imported_recordings_can_be_replayed() {
    let csv = folder("replay").join("runs.csv");
    fs::write(&csv, printed(&["import", LOGS, "--csv"])).expect("written");
    let replayed = printed(&["replay", shown(&csv), "--at", "2"]);
    assert_eq!(replayed.lines().count(), 1 + 2 * 3, "three runs have three epochs: {replayed}");
}

#[test]
fn reports_are_written_and_not_overwritten() {
    let out = folder("out").join("new");
    assert_eq!(printed(&["import", LOGS, "-o", shown(&out)]), "");
    let written: Vec<PathBuf> = fs::read_dir(&out).expect("there").map(|entry| entry.expect("a file").path()).collect();
    assert_eq!(written.len(), 8);
    for path in written {
        let report: Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
        assert_eq!(report["run"]["id"].as_str(), path.file_stem().and_then(|stem| stem.to_str()));
        assert_eq!(report["schema"], 1);
    }
    let again = carbontracker(&["import", LOGS, "-o", shown(&out)]);
    assert!(again.status.code() == Some(1) && String::from_utf8_lossy(&again.stderr).lines().count() == 8);
}

#[test]
fn broken_log_is_named_and_the_others_are_read() {
    let dir = folder("broken");
    for entry in fs::read_dir(LOGS).expect("logs") {
        let path = entry.expect("a file").path();
        fs::copy(&path, dir.join(path.file_name().expect("a name"))).expect("copied");
    }
    fs::write(dir.join("a_carbontracker.log"), "2026-01-01 00:00:00 - Epoch 1:\n2026-01-01 00:00:00 - Duration: ?\n")
        .expect("written");
    fs::write(dir.join("b_carbontracker.log"), "").expect("written");
    fs::write(dir.join("c_carbontracker.log"), [0xff, 0xfe, 0x00]).expect("written");
    let output = carbontracker(&["import", shown(&dir)]);
    assert_eq!(output.status.code(), Some(1));
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    for complaint in [
        "a_carbontracker.log:2: duration '?': expected H:MM:SS.ss",
        "b: the logs are empty",
        "c_carbontracker.log:1: not a log of Carbontracker",
    ] {
        assert!(complaints.contains(complaint), "{complaints}");
    }
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().filter(|line| !line.starts_with("note")).count(), 9);
}

#[test]
fn folder_without_logs_and_two_forms_are_refused() {
    let empty = folder("empty");
    let output = carbontracker(&["import", shown(&empty)]);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && complaint.contains("no *_carbontracker.log found"), "{complaint}");
    assert_eq!(carbontracker(&["import", "nowhere"]).status.code(), Some(1));
    assert_eq!(carbontracker(&["import", LOGS, "--json", "--csv"]).status.code(), Some(2));
}
