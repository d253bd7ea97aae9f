//! Runs as files hold them: a final report, `<stem>.json`, or a journal, `<stem>.jsonl`.

use carbontracker::report::SCHEMA;
pub use carbontracker::report::ranks::{number, word};
use carbontracker::report::unstated;
use carbontracker::run_files::journal::OPENING;
use carbontracker::run_files::{self, JournalReport};
use carbontracker::sanitize;
use serde_json::Value;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// No report is longer: it keeps 4,096 epochs. What is, is somebody's data.
const LONGEST_REPORT: u64 = 64 << 20;

/// Why a file gives no run.
pub enum Unread {
    /// It is something else.
    Foreign,
    /// It should be one; file and reason.
    Broken(String),
}

/// The report of a run, from either file, and what is wrong with that.
pub fn read(file: &Path) -> Result<JournalReport, Unread> {
    let broken = |reason: String| Unread::Broken(format!("{}: {reason}", file.display()));
    let metadata = fs::metadata(file).map_err(|error| broken(error.to_string()))?;
    if !metadata.is_file() {
        return Err(Unread::Foreign);
    }
    if has_ending(file, "jsonl") {
        let is_ours = opens_as_journal(file).map_err(|error| broken(error.to_string()))?;
        return if is_ours { run_files::read(file).map_err(Unread::Broken) } else { Err(Unread::Foreign) };
    }
    if metadata.len() > LONGEST_REPORT || !has_ending(file, "json") {
        return Err(Unread::Foreign);
    }
    let text = fs::read(file).map_err(|error| broken(error.to_string()))?;
    let mut report: Value = serde_json::from_slice(&text).map_err(|error| broken(in_words(&error, text.len())))?;
    sanitize::json(&mut report);
    unstated::complete(&mut report);
    let is_ours = report.pointer("/run/id").is_some() && report.get("usage").is_some();
    match report.get("schema").and_then(Value::as_u64).filter(|_| is_ours) {
        Some(SCHEMA) => Ok(JournalReport { report, notes: Vec::new() }),
        Some(newer) => {
            Err(broken(format!("schema {newer}; this version reads {SCHEMA}: a newer carbontracker wrote it")))
        }
        None => Err(Unread::Foreign),
    }
}

/// Whether it begins as a journal does; an empty file may still become one.
fn opens_as_journal(file: &Path) -> io::Result<bool> {
    let mut first = Vec::new();
    fs::File::open(file)?.take(OPENING.len() as u64).read_to_end(&mut first)?;
    Ok(OPENING.starts_with(&first))
}

fn in_words(error: &serde_json::Error, length: usize) -> String {
    if length == 0 { "empty".into() } else { error.to_string() }
}

/// The files that may hold runs in a folder, one a run, by name: of a journal and its final report the report, unless the
/// journal went on after it.
pub fn of_folder(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", dir.display());
    let entries = fs::read_dir(dir).map_err(failed)?;
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(failed)?;
    paths.retain(|path| has_ending(path, "json") || has_ending(path, "jsonl"));
    paths.sort();
    let listed = paths.clone(); // a report that came since is not
    paths.retain(|path| !(holds_less(path) && listed.binary_search(&other(path)).is_ok()));
    Ok(paths)
}

/// The other file of the run.
fn other(file: &Path) -> PathBuf {
    file.with_extension(if has_ending(file, "json") { "jsonl" } else { "json" })
}

/// Whether that tells more than this one.
fn holds_less(file: &Path) -> bool {
    if has_ending(file, "json") { !is_final(file) } else { is_final(&other(file)) }
}

/// Whether a report is there and its journal, if any, did not go on after it.
pub fn is_final(report: &Path) -> bool {
    let written = |path: &Path| path.metadata().as_ref().map(changed).ok();
    written(report).is_some_and(|at| written(&report.with_extension("jsonl")).is_none_or(|journal| journal <= at))
}

pub fn changed(metadata: &Metadata) -> SystemTime {
    metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)
}

pub fn has_ending(file: &Path, ending: &str) -> bool {
    file.extension().is_some_and(|has| has == ending)
}
