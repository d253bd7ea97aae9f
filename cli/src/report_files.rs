//! Reads the files of runs: a final report, `<stem>.json`, or a journal, `<stem>.jsonl`.

use carbontracker::options::Options;
use carbontracker::os;
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

/// Longest report, bytes. A report keeps at most 4,096 epochs, so a longer file is something else.
const MAX_REPORT_BYTES: u64 = 64 << 20;

/// The reason why a file has no run.
pub enum Unread {
    /// The file is neither a report nor a journal.
    Foreign,
    /// The file is damaged or cannot be read. The text names file and reason.
    Broken(String),
}

/// Reads the report of a run from its report or its journal, with notes on damaged lines.
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
    if metadata.len() > MAX_REPORT_BYTES || !has_ending(file, "json") {
        return Err(Unread::Foreign);
    }
    let text = fs::read(file).map_err(|error| broken(error.to_string()))?;
    let mut report: Value = serde_json::from_slice(&text).map_err(|error| broken(in_words(&error, text.len())))?;
    sanitize::json(&mut report);
    unstated::complete(&mut report);
    let is_ours = report.pointer("/run/id").is_some() && report.get("usage").is_some();
    match report.get("schema").and_then(Value::as_u64).filter(|_| is_ours) {
        Some(SCHEMA) => Ok(JournalReport { report, notes: Vec::new() }),
        Some(newer) => Err(broken(format!(
            "a newer carbontracker wrote it: schema {newer}, but this version reads {SCHEMA}. Update carbontracker"
        ))),
        None => Err(Unread::Foreign),
    }
}

/// True if a file begins like a journal. An empty file may still become one.
fn opens_as_journal(file: &Path) -> io::Result<bool> {
    let mut first = Vec::new();
    fs::File::open(file)?.take(OPENING.len() as u64).read_to_end(&mut first)?;
    Ok(OPENING.starts_with(&first))
}

/// The reason why a report is no JSON.
fn in_words(error: &serde_json::Error, length: usize) -> String {
    if length == 0 { "the file is empty".into() } else { error.to_string() }
}

/// The folder that is looked into without an argument.
pub fn default_folder() -> Result<PathBuf, String> {
    let files = Options::load("", os::variable).map_err(|error| error.message)?.files;
    files.log_dir.or(files.state_folder).ok_or_else(|| {
        "XDG_STATE_HOME and HOME name no folder; there is no newest run; set HOME, or name a file or folder".into()
    })
}

/// The files of a folder that may hold runs, sorted by name, one for each run. A report stands for its journal, unless
/// the journal was written to after it.
pub fn of_folder(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", dir.display());
    let entries = fs::read_dir(dir).map_err(failed)?;
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(failed)?;
    paths.retain(|path| has_ending(path, "json") || has_ending(path, "jsonl"));
    paths.sort();
    let listed = paths.clone(); // without files that appear later
    paths.retain(|path| !(holds_less(path) && listed.binary_search(&other(path)).is_ok()));
    Ok(paths)
}

/// The run's other file: the journal of a report, the report of a journal.
fn other(file: &Path) -> PathBuf {
    file.with_extension(if has_ending(file, "json") { "jsonl" } else { "json" })
}

/// True if the run's other file holds more.
fn holds_less(file: &Path) -> bool {
    if has_ending(file, "json") { !is_final(file) } else { is_final(&other(file)) }
}

/// True if a report exists and its journal, if any, is not newer.
pub fn is_final(report: &Path) -> bool {
    let written = |path: &Path| path.metadata().as_ref().map(changed).ok();
    written(report).is_some_and(|at| written(&report.with_extension("jsonl")).is_none_or(|journal| journal <= at))
}

/// The time of the last change, 1970 if unknown.
pub fn changed(metadata: &Metadata) -> SystemTime {
    metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// True if a file's name ends with this extension.
pub fn has_ending(file: &Path, ending: &str) -> bool {
    file.extension().is_some_and(|has| has == ending)
}
