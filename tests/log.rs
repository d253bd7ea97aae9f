//! The files a run leaves, and taking it up: after an end, after kills, with disks that refuse.
//!
//! A process that is to be killed is this test program again, told by a variable what to do.

mod steady;

use carbontracker::error::Status;
use carbontracker::log;
use carbontracker::tracker::Tracker;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const CHILD: &str = "CT_TEST_OPTIONS";

fn make(options: &str) -> Tracker {
    Tracker::create(options).unwrap_or_else(|error| panic!("{options}: {error}")).expect("not disabled")
}

fn epochs(tracker: &Tracker, count: usize, length: Duration) {
    for _ in 0..count {
        tracker.begin().unwrap();
        std::thread::sleep(length);
        tracker.end().unwrap();
    }
}

fn messages(tracker: &Tracker) -> Vec<String> {
    let mut all = Vec::new();
    let mut take = |text: &str| {
        all.push(text.to_owned());
        Ok(Status::CT_OK)
    };
    while tracker.take_message(&mut take).is_ok() {}
    all
}

/// A folder of a test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("log-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn files(&self, ending: &str) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().ends_with(ending))
            .collect();
        files.sort();
        files
    }

    fn journal(&self) -> PathBuf {
        let mut journals = self.files(".jsonl");
        assert_eq!(journals.len(), 1, "{journals:?}");
        journals.remove(0)
    }

    fn shown(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn lines(journal: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(journal).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

fn epoch_lines(journal: &Path) -> Vec<Value> {
    lines(journal).into_iter().filter(|line| line.get("index").is_some()).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer}: {report}"))
}

/// Energy by the journal's lines, and by the run's totals, must be one.
fn check_sums(report: &Value) {
    let epochs = report["epochs"].as_array().unwrap();
    let joules: f64 = epochs.iter().filter_map(|epoch| epoch["energy_j"].as_f64()).sum();
    let parts = joules + number(report, "/usage/between/energy_j");
    let total = number(report, "/usage/energy_j");
    assert!((parts / total - 1.0).abs() < 0.005, "{parts} {total}");
    let count: u64 = epochs.iter().map(|epoch| epoch["count"].as_u64().unwrap()).sum();
    assert_eq!(count as f64, number(report, "/run/epochs_done"));
}

#[test]
fn a_run_leaves_its_journal_its_report_and_its_metrics() {
    let folder = Folder::new("whole");
    let tracker =
        make(&format!("epochs=5 sim_cpu=A:50 sim_gpu=B:200 location=DK name=one log_dir={}/new", folder.shown()));
    epochs(&tracker, 5, Duration::from_millis(30));
    let said = tracker.report("json").unwrap();
    tracker.destroy();
    let new = Folder(folder.0.join("new"));
    let journal = new.journal();
    let lines = epoch_lines(&journal);
    let indices: Vec<_> = lines.iter().map(|line| line["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, [0, 1, 2, 3, 4]);
    let said: Value = serde_json::from_str(&said).unwrap();
    let [report] = &new.files(".json")[..] else { panic!("{:?}", new.files("")) };
    let report = json(report);
    for (line, epoch) in lines.iter().zip(report["epochs"].as_array().unwrap()) {
        for name in ["duration_s", "energy_j", "cpu_j", "gpu_j", "dram_j", "co2eq_g", "coverage"] {
            assert_eq!(line[name], epoch[name], "{name}");
        }
    }
    assert_eq!((&report["usage"], &report["run"]["state"]), (&said["usage"], &Value::from("done")));
    let metrics = std::fs::read_to_string(&new.files(".prom")[0]).unwrap();
    assert!(metrics.contains("carbontracker_energy_joules_total{") && metrics.ends_with('\n'));
    assert!(metrics.lines().any(|line| line.starts_with("carbontracker_epochs_total{") && line.ends_with("} 5")));
    // The journal alone tells the same.
    let told = log::read(&journal).unwrap();
    assert!(told.notes.is_empty(), "{:?}", told.notes);
    for pointer in [
        "/usage/energy_j",
        "/usage/co2eq_g",
        "/usage/facility_energy_kwh",
        "/run/epochs_done",
        "/components/1/energy_j",
    ] {
        assert!((number(&told.report, pointer) / number(&report, pointer) - 1.0).abs() < 1e-9, "{pointer}");
    }
    assert_eq!(told.report["run"]["state"], "done");
    check_sums(&report);
    check_sums(&told.report);
}

/// What a process does that is told to: takes up the run and goes on, saying each epoch that has ended.
#[test]
fn child() {
    let Ok(options) = std::env::var(CHILD) else { return };
    let tracker = make(&options);
    let mut out = std::io::stdout();
    let done = tracker.value("/run/epochs_done").unwrap();
    writeln!(out, "done {done}").unwrap();
    let mut state = u64::from(std::process::id());
    loop {
        tracker.begin().unwrap();
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        std::thread::sleep(Duration::from_micros(15_000 + (state >> 33) % 30_000));
        tracker.end().unwrap();
        writeln!(out, "ended").unwrap();
        out.flush().unwrap();
    }
}

fn start(options: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]).env(CHILD, options);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Starts it, and kills it so long after it took the run up, or after it was started: (what it found done, if it came so
/// far; what it ended).
fn run_and_kill(options: &str, after: Duration, from_start: bool) -> (Option<u64>, u64) {
    let mut child = start(options);
    let out = BufReader::new(child.stdout.take().unwrap());
    let (told, is_told) = mpsc::channel();
    let killer = std::thread::spawn(move || {
        if !from_start {
            let _ = is_told.recv();
        }
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
    });
    let (mut found, mut ended) = (None, 0);
    for line in out.lines().map_while(Result::ok) {
        // The test harness says something on the same line first.
        if let Some((_, done)) = line.split_once("done ") {
            found = done.trim().parse().ok();
            let _ = told.send(());
        }
        ended += u64::from(line == "ended");
    }
    drop(told);
    killer.join().unwrap();
    (found, ended)
}

/// Kills the processes of a run so often; (epochs ended, how many before that could be said).
fn kill_often(options: &str, kills: u64, seed: u64) -> (u64, u64) {
    let (mut ended, mut unsaid) = (0, 0);
    for kill in 0..kills {
        let random = (seed + kill).wrapping_mul(6364136223846793005) >> 33;
        let from_start = kill % 4 == 3;
        let after = Duration::from_micros(random % if from_start { 60_000 } else { 300_000 });
        let (found, more) = run_and_kill(options, after, from_start);
        let found = found.unwrap_or(ended);
        // One may have ended just before it could be said.
        assert!((ended..=ended + 1).contains(&found), "kill {kill}: {found} of {ended} epochs");
        unsaid += found - ended;
        ended = found + more;
    }
    (ended, unsaid)
}

#[test]
fn two_hundred_kills_lose_no_epoch() {
    const RUNS: u64 = 4;
    const KILLS: u64 = 50;
    let folder = Folder::new("kills");
    let one = &|run: u64| {
        let journal = folder.0.join(format!("run{run}.jsonl"));
        let options = format!("epochs=100000 sim_cpu=A:50 sim_gpu=B:200 name=k{run} resume={}", journal.display());
        let (ended, unsaid) = kill_often(&options, KILLS, run * 1000);
        let tracker = make(&options);
        epochs(&tracker, 2, Duration::from_millis(20));
        let report: Value = serde_json::from_str(&tracker.report("json").unwrap()).unwrap();
        tracker.destroy();
        let done = number(&report, "/run/epochs_done") as u64;
        assert!((ended + 2..=ended + 3).contains(&done), "{done} of {ended}");
        check_sums(&report);
        check_sums(&log::read(&journal).unwrap().report);
        let known = number(&report, "/usage/epochs/energy_j") / number(&report, "/usage/epochs/duration_s") / 250.0;
        steady::say(&format!(
            "{KILLS} kills: {done} epochs, {unsaid} ended unsaid; energy known of {:.2} % of their time; {}",
            known * 100.0,
            report["run"]["resumed"]
        ));
        assert!(known > 0.8 && number(&report, "/run/resumed/times") >= 0.7 * KILLS as f64, "{known}");
        let id = report["run"]["id"].as_str().unwrap();
        let left = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
        let left = left.filter(|entry| entry.file_name().to_string_lossy().contains(id)).count();
        assert_eq!(left, 0, "nothing is left in memory");
    };
    std::thread::scope(|scope| (0..RUNS).for_each(|run| drop(scope.spawn(move || one(run)))));
}
