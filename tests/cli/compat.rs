//! Files of 0.1.0 (tests/fixtures/v0.1.0) are still read, shown, added up and resumed.

use carbontracker::run_files;
use carbontracker::tracker::Tracker;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Runs with a journal and a final report.
const RUNS: [&str; 8] = ["whole", "hours", "rapl", "estimate", "resumed", "ranks/rank0", "ranks/rank1", "ranks/rank2"];
/// All fixtures that hold a run.
const FILES: [&str; 16] = [
    "whole.json",
    "whole.jsonl",
    "hours.json",
    "rapl.jsonl",
    "estimate.json",
    "estimate.jsonl",
    "resumed.json",
    "resumed.jsonl",
    "killed.jsonl",
    "fresh.json",
    "in_epoch.json",
    "between.json",
    "run.json",
    "imported/done.json",
    "imported/killed.json",
    "imported/old.json",
];

fn fixture(name: &str) -> PathBuf {
    Path::new(crate::ROOT).join("tests/fixtures/v0.1.0").join(name)
}

fn report(name: &str) -> Value {
    serde_json::from_slice(&fs::read(fixture(name)).expect(name)).expect(name)
}

/// A folder with copies of fixtures, for one test. A journal is older than its report.
fn folder(name: &str, files: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("compat-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let (journals, rest): (Vec<&str>, Vec<&str>) = files.iter().partition(|file| file.ends_with(".jsonl"));
    for file in journals.into_iter().chain(rest) {
        fs::write(folder.join(Path::new(file).file_name().unwrap()), fs::read(fixture(file)).expect(file)).unwrap();
    }
    folder
}

/// The command's output. It must succeed.
fn command(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_carbontracker")).args(arguments).output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{arguments:?}: {err}");
    out
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn number(of: &Value, pointer: &str) -> Option<f64> {
    of.pointer(pointer).unwrap_or_else(|| panic!("{pointer} of {of}")).as_f64()
}

fn is_near(one: Option<f64>, other: Option<f64>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => (one - other).abs() <= 1e-9 * other.abs(),
        (one, other) => one == other,
    }
}

#[test]
fn journal_gives_the_numbers_of_its_report() {
    for run in RUNS {
        let (read, report) =
            (run_files::read(&fixture(&format!("{run}.jsonl"))).unwrap(), report(&format!("{run}.json")));
        assert!(read.notes.is_empty(), "{run}: {:?}", read.notes);
        for pointer in [
            "/usage/duration_s",
            "/usage/energy_j",
            "/usage/facility_energy_kwh",
            "/usage/co2eq_g",
            "/usage/coverage",
            "/pue",
            "/usage/epochs/energy_j",
            "/usage/between/energy_j",
            "/run/epochs_done",
            "/run/epochs_planned",
        ] {
            let [read, final_one] = [&read.report, &report].map(|of| number(of, pointer));
            assert!(is_near(read, final_one), "{run} {pointer}: {read:?} {final_one:?}");
        }
        for pointer in
            ["/run/id", "/run/name", "/run/host", "/run/started", "/run/state", "/run/resumed", "/intensity/zone"]
        {
            assert_eq!(
                read.report.pointer(pointer).unwrap_or(&Value::Null),
                &report.pointer(pointer).unwrap().clone(),
                "{run} {pointer}"
            );
        }
        let epochs = |of: &Value| -> Vec<Option<f64>> {
            of["epochs"].as_array().unwrap().iter().map(|epoch| epoch["energy_j"].as_f64()).collect()
        };
        let pairs: Vec<_> = epochs(&read.report).into_iter().zip(epochs(&report)).collect();
        assert!(pairs.iter().all(|(one, other)| is_near(*one, *other)), "{run}: {pairs:?}");
    }
}

#[test]
fn fixtures_add_up() {
    let names = ["whole", "hours", "rapl", "estimate", "resumed"];
    let both: Vec<String> = names.iter().flat_map(|name| [format!("{name}.jsonl"), format!("{name}.json")]).collect();
    let files: Vec<&str> = both.iter().map(String::as_str).chain(["run.json", "killed.jsonl"]).collect();
    let folder = folder("aggregate", &files);
    let found = json(&command(&["aggregate", "--json", "--strict", folder.to_str().unwrap()]));
    let reports: Vec<Value> =
        names.iter().map(|name| report(&format!("{name}.json"))).chain([report("run.json")]).collect();
    for (total, pointer) in [
        ("energy_j", "/usage/energy_j"),
        ("co2eq_g", "/usage/co2eq_g"),
        ("duration_s", "/usage/duration_s"),
        ("epochs", "/run/epochs_done"),
    ] {
        // The killed run is the beginning of the resumed one: it counts once.
        let sum: f64 = reports.iter().filter_map(|report| number(report, pointer)).sum();
        let total = number(&found, &format!("/totals/{total}"));
        assert!(is_near(total, Some(sum)), "{pointer}: {total:?} {sum}");
    }
    assert_eq!((found["totals"]["runs"].as_u64(), found["copies"].as_u64()), (Some(6), Some(1)), "{found:#}");
    // An estimate of 0.1.0 states no error, but is not exact.
    let [low, sum, high] =
        ["energy_low_j", "energy_j", "energy_high_j"].map(|name| found["totals"][name].as_f64().unwrap());
    assert!(low < sum && sum < high, "{low} {sum} {high}");
    let _ = fs::remove_dir_all(folder);
}

#[test]
fn rank_counted_elsewhere_has_no_energy() {
    let folder = folder("ranks", &["ranks/rank0.json", "ranks/rank1.json", "ranks/rank2.json"]);
    let found = json(&command(&["aggregate", "--json", "--strict", folder.to_str().unwrap()]));
    assert!(
        is_near(number(&found, "/totals/energy_j"), number(&report("ranks/rank1.json"), "/usage/energy_j")),
        "{found:#}"
    );
    assert_eq!(
        (found["totals"]["runs"].as_u64(), found["totals"]["counted_elsewhere"].as_u64()),
        (Some(3), Some(1)),
        "{found:#}"
    );
    let _ = fs::remove_dir_all(folder);
}

#[test]
fn fixtures_have_pages_and_can_be_watched() {
    let folder = folder("shown", &[]);
    let page = folder.join("page.html");
    for file in FILES {
        let path = fixture(file);
        let path = path.to_str().unwrap();
        command(&["report", path, "-o", page.to_str().unwrap()]);
        let html = fs::read_to_string(&page).unwrap();
        assert!(html.contains("</html>") && html.len() > 5000, "{file}");
        let seen = json(&command(&["watch", "--once", "--json", path]));
        let known =
            if file.ends_with(".json") { report(file) } else { run_files::read(&fixture(file)).unwrap().report };
        for (name, pointer) in
            [("energy_j", "/usage/energy_j"), ("epochs_done", "/run/epochs_done"), ("co2eq_g", "/usage/co2eq_g")]
        {
            assert!(is_near(number(&seen, &format!("/{name}")), number(&known, pointer)), "{file} {name}: {seen}");
        }
    }
    let _ = fs::remove_dir_all(folder);
}

/// A killed run of 0.1.0 is resumed, by its file or by its folder.
#[test]
fn killed_run_is_resumed() {
    for by_folder in [false, true] {
        let folder = folder(&format!("resumed-{by_folder}"), &["killed.jsonl"]);
        let journal = folder.join("killed.jsonl");
        let before = run_files::read(&journal).unwrap().report;
        let resume = if by_folder { folder.display() } else { journal.display() };
        let options = format!("epochs=10 sim_cpu=A:50 sim_gpu=B:200 location=DK job=off name=killed resume={resume}");
        let tracker = Tracker::create(&options).unwrap().expect("not disabled");
        assert_eq!(tracker.value("/run/epochs_done").unwrap(), 4.0);
        for _ in 4..10 {
            tracker.begin().unwrap();
            std::thread::sleep(Duration::from_millis(30));
            tracker.end().unwrap();
        }
        let after = json(&tracker.report("json").unwrap());
        tracker.destroy();
        assert_eq!(after["run"]["id"], before["run"]["id"]);
        assert_eq!(
            (&after["run"]["started"], after["run"]["state"].as_str()),
            (&before["run"]["started"], Some("done"))
        );
        let [old, new] = [&before, &after].map(|of| number(of, "/usage/energy_j").unwrap());
        let own: f64 =
            after["epochs"].as_array().unwrap()[4..].iter().map(|epoch| epoch["energy_j"].as_f64().unwrap()).sum();
        assert!(own > 250.0 * 6.0 * 0.03 * 0.99 && new >= old + own && new < old + own * 1.1, "{old} + {own}: {new}");
        let lost = &after["run"]["resumed"];
        assert_eq!((lost["times"].as_u64(), lost["lost_epochs"].as_u64()), (Some(1), Some(1)), "{lost}");
        let open = number(&before, "/run/open/energy_j");
        assert!(is_near(number(lost, "/lost_j"), open) && open > Some(250.0), "{lost} {open:?}");
        // The lines of the file are unchanged.
        for (epoch, old) in after["epochs"].as_array().unwrap().iter().zip(before["epochs"].as_array().unwrap()) {
            for name in ["index", "duration_s", "energy_j", "co2eq_g", "cpu_j", "gpu_j"] {
                assert!(is_near(epoch[name].as_f64(), old[name].as_f64()), "{name}: {epoch} {old}");
            }
        }
        let read = run_files::read(&journal).unwrap();
        assert!(
            read.notes.is_empty() && is_near(number(&read.report, "/usage/energy_j"), Some(new)),
            "{:?}",
            read.notes
        );
        let _ = fs::remove_dir_all(folder);
    }
}

/// The logs in Carbontracker's format have fewer digits.
#[test]
fn logs_of_0_1_0_are_imported() {
    let [log, output] =
        ["whole_carbontracker.log", "whole_carbontracker_output.log"].map(|name| fixture(name).display().to_string());
    let found = json(&command(&["import", "--json", &log, &output]));
    let (imported, known) = (&found[0], report("whole.json"));
    for pointer in ["/usage/energy_j", "/usage/facility_energy_kwh", "/usage/co2eq_g", "/run/epochs_done", "/pue"] {
        let [one, other] = [imported, &known].map(|of| number(of, pointer).unwrap());
        assert!((one / other - 1.0).abs() < 1e-5, "{pointer}: {one} {other}");
    }
}

/// Scripts that read the other formats still find what they read.
#[test]
fn csv_and_metrics_have_their_old_names() {
    let options = "epochs=2 sim_cpu=A:50 sim_gpu=B:200 location=DK pue=1.3 name=digits price=0.32EUR wue=1.8 wue_grid=3.1 \
        embodied_kg=1500 job=off";
    let tracker = Tracker::create(options).unwrap().expect("not disabled");
    for _ in 0..2 {
        tracker.begin().unwrap();
        std::thread::sleep(Duration::from_millis(30));
        tracker.end().unwrap();
    }
    let [csv, metrics] = ["csv", "prometheus"].map(|format| tracker.report(format).unwrap());
    tracker.destroy();
    let old = fs::read_to_string(fixture("whole.csv")).unwrap();
    let (old_head, head) = (old.lines().next().unwrap(), csv.lines().next().unwrap());
    assert!(head.starts_with(old_head), "{head}\n{old_head}");
    let old = fs::read_to_string(fixture("whole.prom")).unwrap();
    // The one change: its type depended on the options, so that two runs in one folder were an error.
    let renamed =
        |name: &str| name.replace("carbontracker_co2eq_grams_total counter", "carbontracker_co2eq_grams gauge");
    for name in old.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(renamed) {
        assert!(metrics.contains(&format!("# TYPE {name}\n")), "{name}");
    }
}
