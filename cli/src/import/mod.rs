//! Reads the logs of Python's Carbontracker. In steps: bytes to lines, lines to events, events to the runs of a file,
//! these to the runs of all files, each once, and runs to reports. The output is reports, a recording or a table.

mod copies;
mod epochs;
mod events;
mod lines;
mod notes;
mod outputs;
mod pairs;
mod report;
mod runs;
mod show;
#[cfg(test)]
mod tests;

use crate::console::{Done, complain, print};
use carbontracker::os::text;
use carbontracker::sanitize;
pub use pairs::LogFile;
use serde_json::Value;
pub use show::{recording, table};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Read the logs of Python's Carbontracker: every *_carbontracker.log and *_carbontracker_output.log of a folder
///
/// By default it prints a table: start, epochs, time, energy with PUE, and CO2e of each run; below it, known faults of
/// Carbontracker's figures. Unknown values stay unknown, and nothing is corrected. Each run counts once: logs of 1.x
/// also hold all later runs of their process, and files may be copies.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct ImportArgs {
    /// Folders of logs, or files: logs of Carbontracker 1.x or 2.x, or text copied from a console
    #[arg(required = true, value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
    /// Print the runs as an array of reports, in the JSON of ct_report
    #[arg(long, conflicts_with_all = ["csv", "out"])]
    json: bool,
    /// Print their epochs as a recording that `replay` and `score` read: run,epoch,duration_s,energy_j
    #[arg(long, conflicts_with = "out")]
    csv: bool,
    /// Write a report for each run into this folder, NAME.json, which `report` and `aggregate` read
    #[arg(short, long = "out", value_name = "DIR")]
    out: Option<PathBuf>,
}

const HELP: &str = "\
Exit status: 0 done; 1 a log cannot be read: the message names file and line, and the other runs are read; 2 wrong
arguments.";

/// Longest log, bytes. An epoch takes a few hundred bytes.
const MAX_LOG_BYTES: u64 = 256 << 20;

/// A run as a report.
pub struct Imported {
    /// Its name, the common part of its logs' names.
    pub name: String,
    /// The report, by the report's schema.
    pub report: Value,
}

/// Reads, and prints or writes, every run that can be read. Messages about the others go to standard error.
pub fn run(args: &ImportArgs) -> Done {
    let mut troubles = Vec::new();
    let logs = read(&args.paths, &mut troubles);
    let (runs, message) = runs(&logs);
    let text = match args {
        ImportArgs { out: Some(out), .. } => {
            troubles.extend(write(out, &runs));
            String::new()
        }
        ImportArgs { json: true, .. } => Value::from_iter(runs.into_iter().map(|run| run.report)).to_string() + "\n",
        ImportArgs { csv: true, .. } => recording(&runs, &mut troubles),
        _ if runs.is_empty() => String::new(),
        _ => table(&runs),
    };
    message.iter().chain(&troubles).for_each(|message| complain(message));
    let printed = print(&text);
    if troubles.is_empty() { printed } else { Ok(ExitCode::FAILURE) }
}

/// Each run of these logs once, as a report, and a message if some were found several times.
pub fn runs(logs: &[LogFile]) -> (Vec<Imported>, Option<String>) {
    let (runs, message) = copies::once(pairs::runs(logs), logs);
    let imported = |run: pairs::LoggedRun| Imported { report: report::report(&run), name: run.stem };
    (runs.into_iter().map(imported).collect(), message)
}

/// Reads the logs of files and folders. `troubles` gets messages that name file and line.
fn read(paths: &[PathBuf], troubles: &mut Vec<String>) -> Vec<LogFile> {
    let mut files = Vec::new();
    for path in paths {
        match if path.is_dir() { of_folder(path) } else { Ok(vec![path.clone()]) } {
            Ok(found) => files.extend(found),
            Err(message) => troubles.push(message),
        }
    }
    let mut seen = BTreeSet::new();
    files.retain(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
    let mut logs = Vec::new();
    for path in files {
        match log(&path) {
            Ok(log) => logs.push(log),
            Err(error) => troubles.push(format!("{}: {error}", path.display())),
        }
    }
    troubles.extend(faults(&logs));
    logs
}

/// The logs of a folder, sorted by name. Names of copies may have more before or after `.log`.
fn of_folder(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let refused = |error: std::io::Error| format!("{}: {error}", dir.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(refused)? {
        let path = entry.map_err(refused)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let rest = name.split_once(MARK).map(|(_, rest)| rest);
        if rest.is_some_and(|rest| rest.contains(".log") && !rest.starts_with("_err")) {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        Err(format!("{}: no *_carbontracker.log found. Name a folder of logs, or a log", dir.display()))
    } else {
        Ok(paths)
    }
}

/// The part of a log's name after the stem, which both logs of a run share.
const MARK: &str = "_carbontracker";

/// Reads a log. Its name gives the stem, and whether it is an output log.
fn log(path: &Path) -> std::io::Result<LogFile> {
    let bytes = text::bytes(path, MAX_LOG_BYTES)?;
    let name = sanitize::text(path.file_name().unwrap_or_default().to_string_lossy());
    let (stem, is_output) = match name.split_once(MARK) {
        Some((stem, rest)) => (stem, rest.starts_with("_output")),
        None => (name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem), false),
    };
    Ok(LogFile::read(path.display().to_string(), stem.to_owned(), is_output, &bytes))
}

/// Messages on what cannot be read. With verbose=0, Carbontracker leaves an empty output log: that is no fault unless
/// the standard log is empty too.
pub fn faults(logs: &[LogFile]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut empty: BTreeMap<&str, bool> = BTreeMap::new();
    for log in logs {
        let is_empty = empty.entry(&log.stem).or_insert(true);
        *is_empty &= log.is_empty;
        if !log.is_empty && log.is_foreign() {
            faults.push(format!(
                "{}:1: not a log of Carbontracker. Expected lines that begin with date and time, or a console's line \
                 'Actual consumption for 1 epoch(s):'",
                log.path
            ));
        }
        let refused = log.standards.iter().filter_map(|standard| standard.as_ref().err());
        let lines: BTreeSet<(usize, &str)> =
            refused.chain(&log.broken).map(|broken| (broken.line, broken.what.as_str())).collect();
        faults.extend(lines.into_iter().map(|(line, what)| format!("{}:{line}: {what}", log.path)));
    }
    let empty = empty.into_iter().filter(|(_, is_empty)| *is_empty);
    faults.extend(empty.map(|(stem, _)| format!("{stem}: the logs are empty")));
    faults
}

/// Writes a report for each run. An existing file may be the run's own report and is not overwritten. Returns the
/// failures.
fn write(out: &Path, runs: &[Imported]) -> Vec<String> {
    if let Err(error) = fs::create_dir_all(out) {
        return vec![format!("{}: {error}", out.display())];
    }
    let write = |Imported { name, report }: &Imported| {
        let path = out.join(format!("{name}.json"));
        let written = File::create_new(&path).and_then(|mut file| writeln!(file, "{report}"));
        written.err().map(|error| format!("{}: {error}", path.display()))
    };
    runs.iter().filter_map(write).collect()
}
