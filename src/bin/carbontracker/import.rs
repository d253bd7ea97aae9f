//! The logs of Python's Carbontracker as reports, recordings or a table.

mod log;
mod report;
#[cfg(test)]
mod tests;

use crate::Done;
use carbontracker::clean;
use carbontracker::host::text;
use carbontracker::units::{J_PER_KWH, duration, energy, grams};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Read the logs that Python's Carbontracker wrote: every *_carbontracker.log and *_carbontracker_output.log of a folder
///
/// By default a table: when each run began, its epochs, time, energy with PUE, and CO2e; below it what Carbontracker's
/// figures are known to lack. What the logs do not tell stays unknown, and nothing is corrected.
#[derive(clap::Args)]
#[command(after_help = AFTER)]
pub struct Import {
    /// The folder of logs, of Carbontracker 1.x or 2.x
    dir: PathBuf,
    /// Print the runs as an array of reports, as ct_report's JSON
    #[arg(long, conflicts_with_all = ["csv", "out"])]
    json: bool,
    /// Print their epochs as a recording that `replay` and `score` read: run,epoch,duration_s,energy_j
    #[arg(long, conflicts_with = "out")]
    csv: bool,
    /// Write a report a run into this folder, NAME.json, which `report` and `aggregate` read
    #[arg(short, long = "out", value_name = "DIR")]
    out: Option<PathBuf>,
}

const AFTER: &str = "\
Exit status: 0 done, 1 a log cannot be read (the message names file and line, the other runs are read), 2 wrong arguments.";

/// No log is longer, bytes: an epoch takes some hundred of them.
const LONGEST_LOG: u64 = 256 << 20;

/// A run's files.
#[derive(Default)]
struct Pair {
    standard: Option<PathBuf>,
    output: Option<PathBuf>,
}

/// A run that was read.
struct Imported {
    name: String,
    report: Value,
}

/// Does it, with every run that can be read; complaints about the others go to stderr.
pub fn run(import: &Import) -> Done {
    let mut troubles = Vec::new();
    let pairs = pairs(&import.dir).map_err(|message| troubles.push(message)).unwrap_or_default();
    let mut runs = Vec::new();
    for (name, pair) in pairs {
        match read(&name, &pair) {
            Ok(report) => runs.push(Imported { name, report }),
            Err(message) => troubles.push(message),
        }
    }
    let text = match import {
        Import { out: Some(out), .. } => {
            troubles.extend(write(out, &runs));
            String::new()
        }
        Import { json: true, .. } => Value::from_iter(runs.into_iter().map(|run| run.report)).to_string() + "\n",
        Import { csv: true, .. } => recording(&runs, &mut troubles),
        _ if runs.is_empty() => String::new(),
        _ => table(&runs),
    };
    troubles.iter().for_each(|message| crate::complain(message));
    let printed = crate::print(&text);
    if troubles.is_empty() { printed } else { Ok(ExitCode::FAILURE) }
}

/// The logs of a folder, by the name that a run's two share.
fn pairs(dir: &Path) -> Result<BTreeMap<String, Pair>, String> {
    let refused = |error: std::io::Error| format!("{}: {error}", dir.display());
    let mut pairs: BTreeMap<String, Pair> = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(refused)? {
        let path = entry.map_err(refused)?.path();
        let name = clean::text(path.file_name().unwrap_or_default().to_string_lossy());
        if let Some(stem) = name.strip_suffix("_carbontracker_output.log") {
            pairs.entry(stem.to_owned()).or_default().output = Some(path);
        } else if let Some(stem) = name.strip_suffix("_carbontracker.log") {
            pairs.entry(stem.to_owned()).or_default().standard = Some(path);
        }
    }
    if pairs.is_empty() { Err(format!("{}: no *_carbontracker.log there", dir.display())) } else { Ok(pairs) }
}

/// A run's report; an error names file and line.
fn read(name: &str, Pair { standard, output }: &Pair) -> Result<Value, String> {
    let standard = standard.as_deref().map(|path| parse(path, log::standard)).transpose()?.flatten();
    let output = output.as_deref().map(|path| parse(path, log::output)).transpose()?.flatten();
    if standard.is_none() && output.is_none() {
        return Err(format!("{name}: its logs are empty"));
    }
    Ok(report::report(name, standard.as_ref(), output.as_ref()))
}

/// None of an empty file, which Carbontracker leaves where it was told to say nothing.
fn parse<T>(path: &Path, parse: fn(&str) -> Result<T, log::Broken>) -> Result<Option<T>, String> {
    let bytes = text::bytes(path, LONGEST_LOG).map_err(|error| format!("{}: {error}", path.display()))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let broken = |log::Broken { line, what }| format!("{}:{line}: {what}", path.display());
    parse(&clean::lines(&String::from_utf8_lossy(&bytes))).map(Some).map_err(broken)
}

/// Writes a report a run; a file that is there already may be the run's own report, and stays. Gives what failed.
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

/// The epochs as CSV.
fn recording(runs: &[Imported], troubles: &mut Vec<String>) -> String {
    let mut rows = csv::Writer::from_writer(Vec::new());
    let mut write = |row: [&str; 4]| rows.write_record(row).map_err(|error| error.to_string());
    let mut written = write(["run", "epoch", "duration_s", "energy_j"]);
    for Imported { name, report } in runs {
        let epochs = report.get("epochs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if epochs.iter().any(|epoch| epoch.get("count").and_then(Value::as_u64) != Some(1)) {
            troubles
                .push(format!("{name}: several of its epochs are one in the log, which cannot be replayed: left out"));
            continue;
        }
        for (place, epoch) in epochs.iter().enumerate() {
            let known = |key: &str| epoch.get(key).filter(|value| !value.is_null()).map(Value::to_string);
            let [duration_s, energy_j] = ["duration_s", "energy_j"].map(|key| known(key).unwrap_or_default());
            written =
                written.and_then(|()| write([&clean::cell(name), &(place + 1).to_string(), &duration_s, &energy_j]));
        }
    }
    troubles.extend(written.err());
    String::from_utf8_lossy(&rows.into_inner().unwrap_or_default()).into_owned()
}

/// A row a run, and what is to be known of their figures.
fn table(runs: &[Imported]) -> String {
    const HEAD: [&str; 6] = ["run", "started", "epochs", "time", "energy", "CO2e"];
    let rows: Vec<[String; 6]> = std::iter::once(HEAD.map(str::to_owned)).chain(runs.iter().map(row)).collect();
    let widths: [usize; 6] = std::array::from_fn(|column| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    let line = |row: &[String; 6]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    let table: String = rows.iter().map(line).collect();
    let mut notes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Imported { name, report } in runs {
        let of_run = report.get("notes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        of_run.for_each(|note| notes.entry(note).or_default().push(name));
    }
    let shown = |(note, names): (&str, Vec<&str>)| match names.as_slice() {
        [name] => format!("note: {name}: {note}\n"),
        names if names.len() == runs.len() => format!("note: all: {note}\n"),
        names => format!("note: {} runs: {note}\n", names.len()),
    };
    table + &notes.into_iter().map(shown).collect::<String>()
}

fn row(Imported { name, report }: &Imported) -> [String; 6] {
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64);
    let known = |pointer: &str, shown: fn(f64) -> String| number(pointer).map_or("unknown".into(), shown);
    let count = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let planned = Some(count("/run/epochs_planned")).filter(|planned| *planned > 0);
    let done = count("/run/epochs_done");
    [
        name.clone(),
        report.pointer("/run/started").and_then(Value::as_str).unwrap_or("unknown").to_owned(),
        planned.map_or(done.to_string(), |planned| format!("{done} of {planned}")),
        known("/usage/duration_s", duration),
        known("/usage/facility_energy_kwh", |kwh| energy(kwh * J_PER_KWH)),
        known("/usage/co2eq_g", grams),
    ]
}
