//! Python's Carbontracker 2.4.7 reads the logs that this library writes in its format. It parses them, adds them up and
//! makes its PDF report, and computes the same totals.

use crate::install_tree::{checkout, outcome, scratch};
use carbontracker::clock::UnixS;
use carbontracker::run_files::carbontracker_log::format::{StandardLog, forecast, output};
use carbontracker::tracker::Tracker;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// 2026-11-28 19:18:38.
const AT: UnixS = UnixS(1_795_893_518.0);

/// How a run ended.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Done,
    Early,
    Killed,
}

/// An invented run.
struct Case {
    name: &'static str,
    end: End,
    pue: f64,
    /// Kind, device, and power, W, if known.
    devices: &'static [(&'static str, &'static str, Option<f64>)],
    /// Number of entries, epochs in each, and duration of each, s.
    epochs: (u64, u64, f64),
}

const XEON: (&str, &str, Option<f64>) = ("cpu", "Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz", Some(91.25));
const GPU: (&str, &str, Option<f64>) = ("gpu", "NVIDIA H100 80GB HBM3", Some(612.5));

const CASES: [Case; 15] = [
    Case { name: "done", end: End::Done, pue: 1.58, devices: &[XEON, GPU], epochs: (20, 1, 37.123_456) },
    Case { name: "early", end: End::Early, pue: 1.58, devices: &[XEON, GPU], epochs: (7, 1, 37.123_456) },
    Case { name: "killed", end: End::Killed, pue: 1.58, devices: &[XEON, GPU], epochs: (7, 1, 37.123_456) },
    Case { name: "no-pue", end: End::Done, pue: 1.0, devices: &[XEON, GPU], epochs: (3, 1, 1.5) },
    Case { name: "cpu-only", end: End::Done, pue: 1.58, devices: &[XEON], epochs: (5, 1, 12.0) },
    Case { name: "gpu-only", end: End::Early, pue: 1.2, devices: &[GPU], epochs: (5, 1, 12.0) },
    Case { name: "four-gpus", end: End::Done, pue: 1.58, devices: &[XEON, GPU, GPU, GPU, GPU], epochs: (5, 1, 12.0) },
    Case {
        name: "dram",
        end: End::Done,
        pue: 1.58,
        devices: &[XEON, ("dram", "package-0 dram", Some(23.4)), XEON, ("dram", "package-1 dram", Some(22.1))],
        epochs: (5, 1, 12.0),
    },
    Case { name: "node", end: End::Done, pue: 1.58, devices: &[("node", "node", Some(700.0))], epochs: (5, 1, 12.0) },
    Case { name: "unknown", end: End::Early, pue: 1.58, devices: &[("gpu", "GPU 0", None)], epochs: (5, 1, 12.0) },
    Case { name: "nothing", end: End::Done, pue: 1.58, devices: &[], epochs: (5, 1, 12.0) },
    Case { name: "three-ms", end: End::Done, pue: 1.58, devices: &[XEON, GPU], epochs: (1000, 1, 0.003) },
    Case { name: "one-of-3ms", end: End::Early, pue: 1.58, devices: &[XEON], epochs: (1, 1, 0.003) },
    Case { name: "two-hours", end: End::Done, pue: 1.58, devices: &[XEON, GPU], epochs: (12, 1, 7_212.345_678) },
    Case {
        name: "names",
        end: End::Early,
        pue: 1.58,
        devices: &[
            ("cpu", "Xeon® v4, 2.40 GHz. <b>Time:</b> & CO₂eq: 3 g", Some(80.0)),
            ("gpu", "显卡.7, 2026-01-02", Some(9e-7)),
            ("gpu", "", Some(3e5)),
        ],
        epochs: (6, 250_000, 900.0),
    },
];

impl Case {
    fn report(&self) -> Value {
        let (many, count, each_s) = self.epochs;
        let power = |kind: &str| -> Option<f64> {
            self.devices.iter().filter(|one| one.0 == kind).filter_map(|one| one.2).reduce(|a, b| a + b)
        };
        // Epochs differ in length, so that no mean is right by chance.
        let epochs: Vec<Value> = (0..many)
            .map(|n| {
                let duration_s = each_s * (1.0 + 0.4 * (n % 2) as f64);
                let joules = |kind: &str| power(kind).map(|watts| watts * duration_s * (1.0 + 0.1 * (n % 3) as f64));
                json!({"index": n * count, "count": count, "duration_s": duration_s, "cpu_j": joules("cpu"),
                       "gpu_j": joules("gpu"), "dram_j": joules("dram"), "node_j": joules("node")})
            })
            .collect();
        let inside_s: f64 = epochs.iter().map(|epoch| number(epoch, "/duration_s")).sum();
        let inside_j = epochs.iter().filter_map(energy).reduce(|a, b| a + b);
        let energy_j = inside_j.map(|joules| joules * 1.004); // some is used between epochs
        let kwh = energy_j.map(|joules| joules / 3.6e6 * self.pue);
        let planned = if self.end == End::Done { many * count } else { 2 * many * count };
        let components: Vec<Value> = self
            .devices
            .iter()
            .map(|(kind, device, watts)| json!({"kind": kind, "device": device, "energy_j": watts}))
            .collect();
        json!({
            "run": {"state": if self.end == End::Killed { "unfinished" } else { "done" }, "epochs_planned": planned, "epochs_done": many * count},
            "usage": {"duration_s": inside_s * 1.004, "facility_energy_kwh": kwh, "co2eq_g": kwh.map(|kwh| kwh * 114.41)},
            "forecast": {"after_epochs": many * count, "duration_s": {"value": inside_s * 2.0},
                         "energy_j": energy_j.map(|joules| json!({"value": joules * 2.0})),
                         "co2eq_g": kwh.map(|kwh| json!({"value": kwh * 2.0 * 114.41}))},
            "intensity": {"g_per_kwh": 114.41, "kind": if self.end == End::Done { "static" } else { "live" }, "zone": "DK"},
            "pue": self.pue,
            "components": components,
            "epochs": epochs,
        })
    }
}

/// Writes a run's logs as the library does.
fn write(folder: &Path, stem: &str, report: &Value, end: End) {
    let mut log = StandardLog::new(report);
    let mut text = log.head(report, AT);
    let epochs = report["epochs"].as_array().expect("epochs");
    text.extend(epochs.iter().map(|epoch| log.epoch(epoch, AT)));
    text += &forecast(report, AT);
    if end != End::Killed {
        text += &log.tail(report, AT);
    }
    std::fs::write(folder.join(format!("{stem}_carbontracker.log")), text).expect("written");
    let text = output(report, AT, end != End::Killed);
    std::fs::write(folder.join(format!("{stem}_carbontracker_output.log")), text).expect("written");
}

/// Carbontracker's results for folders of logs. None if it is not installed.
fn read_by_carbontracker(folders: &[PathBuf]) -> Option<Vec<Value>> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let python = PYTHON.get_or_init(|| {
        let build = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the build folder");
        let python = Some(build.join("carbontracker/bin/python")).filter(|python| python.exists());
        if python.is_none() {
            // pip installs it, which may have no network.
            crate::retry::say("skipped: Python's Carbontracker is not here; tests/carbontracker.sh installs it");
        }
        python
    });
    let mut command = Command::new(python.as_ref()?);
    command.arg(checkout("tests/carbontracker/read.py")).args(folders);
    let output = outcome(&mut command);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{complaint}");
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

fn number(value: &Value, pointer: &str) -> f64 {
    value.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

/// An epoch's energy, J.
fn energy(epoch: &Value) -> Option<f64> {
    ["cpu_j", "gpu_j", "dram_j", "node_j"].iter().filter_map(|kind| epoch[*kind].as_f64()).reduce(|a, b| a + b)
}

/// The sum of all numbers in a value.
fn sum(value: &Value) -> f64 {
    value.as_array().map_or_else(|| value.as_f64().unwrap_or(0.0), |all| all.iter().map(sum).sum())
}

fn off_percent(theirs: f64, ours: f64) -> f64 {
    (theirs / ours - 1.0) * 100.0
}

#[test]
fn carbontracker_computes_the_same_totals() {
    let root = scratch("cases");
    let mut folders: Vec<PathBuf> = CASES.iter().map(|case| root.join(case.name)).collect();
    folders.push(root.join("all"));
    folders.iter().for_each(|folder| std::fs::create_dir(folder).expect("a folder"));
    for (case, folder) in CASES.iter().zip(&folders) {
        write(folder, "run_node1_7", &case.report(), case.end);
        write(&root.join("all"), case.name, &case.report(), case.end);
    }
    let Some(found) = read_by_carbontracker(&folders) else { return };
    println!("off our figures, %: {:<12}{:>9}{:>9}{:>9}{:>9}{:>9}", "", "kWh", "g", "epochs J", "epochs s", "PDF kWh");
    for (case, found) in CASES.iter().zip(&found) {
        check(case, found);
    }
    let ours: f64 = CASES
        .iter()
        .map(|case| number(&case.report(), "/usage/facility_energy_kwh"))
        .filter(|kwh| kwh.is_finite())
        .sum();
    let all = &found[CASES.len()];
    assert!(
        off_percent(number(all, "/kwh"), ours).abs() < 1.0 && all["logs"].as_array().map(Vec::len) == Some(CASES.len())
    );
}

/// Checks that Carbontracker computes the same values for a run.
fn check(case: &Case, found: &Value) {
    let (name, report, log) = (case.name, case.report(), &found["logs"][0]);
    assert_eq!(log["early_stop"], json!(case.end == End::Early), "{name}");
    let is_known = report["usage"]["facility_energy_kwh"].is_number();
    assert_eq!(log["actual"].is_object(), is_known, "{name}");
    assert_eq!(log["pred"].is_object(), is_known && case.end == End::Early, "{name}");
    let pdf = &found["pdfs"][0];
    assert_eq!(number(pdf, "/pue"), case.pue, "{name}");
    let components = log["components"].as_object().expect("components");
    if !is_known {
        assert_eq!(number(found, "/kwh"), 0.0, "{name}: nothing is added");
        assert!(pdf["refused"].is_string(), "{name}: no report with an energy of 0: {pdf}");
        return;
    }
    assert_eq!(
        (pdf["begins"].as_str(), number(pdf, "/intensity"), pdf["location"].as_str()),
        (Some("%PDF-"), 114.41, Some("DK")),
        "{name}: {pdf}"
    );
    let epochs = report["epochs"].as_array().expect("epochs");
    let joules: f64 = epochs.iter().filter_map(energy).sum();
    let seconds: f64 = epochs.iter().map(|epoch| number(epoch, "/duration_s")).sum();
    let durations = components.values().next().map_or(f64::NAN, |one| sum(&one["epoch_durations (s)"]));
    let off = [
        off_percent(number(found, "/kwh"), number(&report, "/usage/facility_energy_kwh")),
        off_percent(number(found, "/grams"), number(&report, "/usage/co2eq_g")),
        off_percent(components.values().map(|one| sum(&one["avg_energy_usages (J)"])).sum(), joules),
        off_percent(durations, seconds),
        off_percent(number(pdf, "/energy_kwh"), joules / 3.6e6),
    ];
    println!("{name:>32}{}", off.map(|off| format!("{off:>9.5}")).concat());
    let [kwh, grams, joules, seconds, _] = off.map(|off| off.abs() < 1.0);
    assert!(kwh && grams && joules && (seconds || name == "one-of-3ms"), "{name}: {off:?}");
}

const LIVE: &str = "sim_cpu='A, v1.0:50' sim_gpu=B:200 job=off pue=1.58 intensity=250 what_if=off";

/// Measures epochs with the library in this process. Its files stay in the folder.
fn live(folder: &Path, options: &str, epochs: u64) {
    let options = format!("{LIVE} {options} log_dir='{}'", folder.display());
    let tracker = Tracker::create(&options).expect("options").expect("enabled");
    for _ in 0..epochs {
        tracker.begin().expect("begun");
        std::thread::sleep(std::time::Duration::from_millis(130));
        tracker.end().expect("ended");
    }
    tracker.destroy();
}

/// Measures epochs `first` to `last` of six with the command, which is killed within the next epoch.
fn marked(folder: &Path, first: u64, last: u64, is_killed: bool) {
    let (dir, end) = (folder.display(), if is_killed { "sleep 0.5; kill -9 $PPID" } else { "" });
    let last = last + u64::from(is_killed);
    let script = format!("for i in $(seq {first} {last}); do echo epoch; sleep 0.13; done; {end}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_carbontracker"));
    command.args([
        "run",
        "-q",
        "-o",
        &format!("{LIVE} log_dir='{dir}' resume='{dir}'"),
        "--mark",
        "epoch",
        "--epochs",
        "6",
    ]);
    let ended = outcome(command.args(["--", "sh", "-c", &script]));
    assert_eq!(ended.status.success(), !is_killed, "{}", String::from_utf8_lossy(&ended.stderr));
}

/// The report in a folder, or the report from its journal.
fn left(folder: &Path) -> Value {
    let files = || std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path());
    let with = |ending: &str| files().find(|path| path.extension().is_some_and(|has| has == ending));
    match with("json") {
        Some(report) => serde_json::from_slice(&std::fs::read(report).expect("a report")).expect("JSON"),
        None => carbontracker::run_files::read(&with("jsonl").expect("a run's files")).expect("a journal").report,
    }
}

/// Logs that the library writes into log_dir: of runs that end, end early, are killed, or are resumed.
#[test]
fn carbontracker_computes_the_same_for_live_runs() {
    let root = scratch("live");
    let folders = ["done", "early", "monitored", "resumed", "killed"].map(|name| root.join(name));
    folders.iter().for_each(|folder| std::fs::create_dir(folder).expect("a folder"));
    let [done, early, monitored, resumed, killed] = &folders;
    std::thread::scope(|scope| {
        scope.spawn(|| live(done, "epochs=6", 6));
        scope.spawn(|| live(early, "epochs=9", 6));
        scope.spawn(|| live(monitored, "epochs=9 monitor_epochs=6", 8));
        scope.spawn(|| marked(killed, 1, 4, true));
        scope.spawn(|| {
            marked(resumed, 1, 4, true);
            marked(resumed, 5, 6, false);
        });
    });
    let Some(found) = read_by_carbontracker(&folders) else { return };
    for (folder, found) in folders.iter().zip(&found) {
        let (report, log, is_killed) = (left(folder), &found["logs"][0], folder == killed);
        let components = log["components"].as_object().expect("components");
        let joules: f64 = components.values().map(|one| sum(&one["avg_energy_usages (J)"])).sum();
        let off_parsed = off_percent(joules, number(&report, "/usage/epochs/energy_j"));
        let off = off_percent(number(found, "/kwh"), number(&report, "/usage/facility_energy_kwh"));
        let off_g = off_percent(number(found, "/grams"), number(&report, "/usage/co2eq_g"));
        let off_pdf =
            off_percent(number(found, "/pdfs/0/energy_kwh") * 3.6e6, number(&report, "/usage/epochs/energy_j"));
        let name = folder.file_name().expect("a name").to_string_lossy();
        println!(
            "{name}: parsed, off ours by {off_parsed:.5} %, added up by {off:.5} %, {off_g:.5} %, its PDF by {off_pdf:.3} %"
        );
        assert!(off_parsed.abs() < 1.0 && off_pdf.abs() < 1.0, "{name}: {off_parsed} {off_pdf}");
        // The output log of a killed run may lack the last epochs.
        assert!(is_killed || off.abs() < 1.0 && off_g.abs() < 1.0, "{name}: {off} {off_g}");
        let epochs = if is_killed { 4 } else { 6 };
        assert_eq!(report["run"]["epochs_done"], epochs, "{name}");
        let durations = &components["gpu"]["epoch_durations (s)"];
        assert_eq!(durations.as_array().map(Vec::len), Some(epochs), "{name}: {durations}");
        assert_eq!(log["early_stop"], json!(folder == early), "{name}");
        assert_eq!(log["pred"].is_object(), folder == early, "{name}");
        assert_eq!(report["run"]["resumed"]["times"].as_u64(), (folder == resumed).then_some(1), "{name}");
    }
}

#[test]
fn logs_of_a_million_epochs_have_a_few_thousand_entries() {
    let folder = scratch("million").join("unprinted");
    std::fs::create_dir(&folder).expect("a folder");
    let mut report = CASES[0].report();
    let mut log = StandardLog::new(&report);
    let mut text = log.head(&report, AT);
    let mut joules = 0.0;
    for index in 0..1_000_000 {
        let gpu_j = if index % 2 == 0 { 0.3 } else { 1.5 };
        joules += gpu_j + 0.09;
        text +=
            &log.epoch(&json!({"index": index, "count": 1, "duration_s": 0.003, "cpu_j": 0.09, "gpu_j": gpu_j}), AT);
    }
    text += &log.tail(&report, AT);
    report["usage"]["facility_energy_kwh"] = json!(joules / 3.6e6 * 1.58);
    std::fs::write(folder.join("a_carbontracker.log"), &text).expect("written");
    std::fs::write(folder.join("a_carbontracker_output.log"), output(&report, AT, true)).expect("written");
    let Some(found) = read_by_carbontracker(&[folder]) else { return };
    let components = found[0]["logs"][0]["components"].as_object().expect("components");
    let theirs: f64 = components.values().map(|one| sum(&one["avg_energy_usages (J)"])).sum();
    let entries = components["gpu"]["epoch_durations (s)"].as_array().map_or(0, Vec::len);
    let (off, took) = (off_percent(theirs, joules), number(&found[0], "/parse_s"));
    println!("a million epochs: {entries} entries, {} bytes, off {off:.6} %, parsed in {took:.3} s", text.len());
    assert!(off.abs() < 0.01 && (4096..40_000).contains(&entries), "{off} % {entries}");
    assert!(off_percent(number(&found[0], "/kwh"), joules / 3.6e6 * 1.58).abs() < 1e-6);
}

/// If the two differ, the imported report has a note.
#[test]
fn import_and_carbontracker_agree_on_its_logs() {
    let folder = scratch("its-own").join("unprinted");
    std::fs::create_dir(&folder).expect("a folder");
    for entry in std::fs::read_dir(checkout("tests/fixtures/carbontracker")).expect("logs") {
        let path = entry.expect("a file").path();
        if path.extension().is_some_and(|ending| ending == "log") {
            std::fs::copy(&path, folder.join(path.file_name().expect("a name"))).expect("copied");
        }
    }
    let Some(found) = read_by_carbontracker(std::slice::from_ref(&folder)) else { return };
    let imported =
        outcome(Command::new(env!("CARGO_BIN_EXE_carbontracker")).arg("import").arg(&folder).arg("--json")).stdout;
    let imported: Vec<Value> = serde_json::from_slice(&imported).expect("JSON");
    let mut counted_kwh = 0.0;
    for log in found[0]["logs"].as_array().expect("logs") {
        let file = log["standard_filename"].as_str().expect("a name");
        let is_of_it = |report: &&Value| report["run"]["id"].as_str().is_some_and(|id| file.contains(id));
        let report = imported.iter().find(is_of_it).expect("the run");
        let notes = report["notes"].to_string();
        let ours = number(report, "/usage/facility_energy_kwh");
        let [actual, predicted] = ["/actual/energy (kWh)", "/pred/energy (kWh)"].map(|figure| number(log, figure));
        assert!(actual == ours || actual.is_nan(), "{file}: {actual} {ours}");
        counted_kwh += if notes.contains("aggregate counts the prediction") {
            predicted
        } else if notes.contains("aggregate leaves this run out") {
            0.0
        } else {
            ours
        };
    }
    let theirs = number(&found[0], "/kwh");
    println!("Carbontracker's aggregate: {theirs} kWh, of our figures and its predictions {counted_kwh} kWh");
    assert!(off_percent(theirs, counted_kwh).abs() < 1e-9, "{theirs} {counted_kwh}");
}
