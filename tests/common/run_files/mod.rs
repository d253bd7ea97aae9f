//! Helpers for tests of a run's files.
#![allow(dead_code)]

use carbontracker::error::Status;
use carbontracker::tracker::Tracker;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub fn make(options: &str) -> Tracker {
    Tracker::create(options).unwrap_or_else(|error| panic!("{options}: {error}")).expect("not disabled")
}

pub fn epochs(tracker: &Tracker, count: usize, length: Duration) {
    for _ in 0..count {
        tracker.begin().unwrap();
        carbontracker::os::pause(length);
        tracker.end().unwrap();
    }
}

pub fn messages(tracker: &Tracker) -> Vec<String> {
    let mut all = Vec::new();
    let mut take = |text: &str| {
        all.push(text.to_owned());
        Ok(Status::CT_OK)
    };
    while tracker.take_message(&mut take).is_ok() {}
    all
}

/// A folder for one test.
pub struct Folder(pub PathBuf);

impl Folder {
    #[track_caller]
    pub fn new(name: &str) -> Folder {
        let caller = Path::new(std::panic::Location::caller().file()).file_stem().unwrap().to_string_lossy();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("log-{caller}-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn files(&self, ending: &str) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().ends_with(ending))
            .collect();
        files.sort();
        files
    }

    pub fn journal(&self) -> PathBuf {
        let mut journals = self.files(".jsonl");
        assert_eq!(journals.len(), 1, "{journals:?}");
        journals.remove(0)
    }

    pub fn shown(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn lines(journal: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(journal).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

pub fn epoch_lines(journal: &Path) -> Vec<Value> {
    lines(journal).into_iter().filter(|line| line.get("index").is_some()).collect()
}

pub fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer}: {report}"))
}

/// Checks that the energies and counts of the epochs add up to the run's totals. A row whose energy is not all known
/// has none, but its known part is in the totals.
pub fn check_sums(report: &Value) {
    let epochs = report["epochs"].as_array().unwrap();
    let known: Vec<f64> = epochs.iter().filter_map(|epoch| epoch["energy_j"].as_f64()).collect();
    let (rows, inside) = (known.iter().sum::<f64>(), number(report, "/usage/epochs/energy_j"));
    let total = number(report, "/usage/energy_j");
    let parts = inside + number(report, "/usage/between/energy_j");
    assert!((parts / total - 1.0).abs() < 1e-6, "{parts} {total}");
    let least = if known.len() == epochs.len() { 0.995 } else { 0.0 };
    assert!(rows >= least * inside && rows <= 1.005 * inside, "{rows} {inside}");
    let count: u64 = epochs.iter().map(|epoch| epoch["count"].as_u64().unwrap()).sum();
    assert_eq!(count as f64, number(report, "/run/epochs_done"));
}
