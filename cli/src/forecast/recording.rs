//! Reads recorded runs from CSV, epoch by epoch.

use carbontracker::attribution::ledger::EpochSummary;
use carbontracker::sanitize;
use csv::{Reader, ReaderBuilder, StringRecord};
use std::collections::HashMap;
use std::path::Path;

/// A recorded run: its name, and its epochs in order.
pub struct RecordedRun {
    pub name: String,
    pub epochs: Vec<EpochSummary>,
}

/// A recording: the runs of one file, in the order they begin.
pub struct Recording {
    /// The file's name without its extension.
    pub name: String,
    pub runs: Vec<RecordedRun>,
}

/// Largest duration, s, or energy, J, of an epoch. Its square does not overflow.
const MAX_AMOUNT: f64 = 1e100;
/// Columns of a recording.
const COLUMNS: [&str; 4] = ["run", "epoch", "duration_s", "energy_j"];
/// Columns of the CSV of `ct_report`: one run, epochs numbered from 0. A row may stand for several epochs.
const REPORTED: [&str; 4] = ["count", "index", "duration_s", "energy_j"];

/// Reads the runs of a file. An error names file and line.
pub fn read(file: &Path) -> Result<Vec<RecordedRun>, String> {
    let shown = file.display();
    if file.is_dir() {
        return Err(format!("{shown}: a folder, but replay reads one file. Name a file, or use score"));
    }
    let text = std::fs::read(file).map_err(|error| format!("{shown}: {error}"))?;
    let refused = |at: Option<&csv::Position>, reason: String| {
        at.map_or(format!("{shown}: {reason}"), |at| format!("{shown}:{}: {reason}", line(&text, at)))
    };
    let mut reader = ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_slice());
    let stem = stem(file);
    let columns = Columns::of(&mut reader).map_err(|reason| format!("{shown}:1: {reason}"))?;
    let mut runs: Vec<RecordedRun> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for record in reader.records() {
        let record = record.map_err(|error| refused(error.position(), in_words(&error)))?;
        let refused = |reason| refused(record.position(), reason);
        let Row { run, epoch, observed } = Row::parse(&record, columns, &stem).map_err(refused)?;
        let place = *places.entry(run.clone()).or_insert_with(|| {
            runs.push(RecordedRun { name: run, epochs: Vec::new() });
            runs.len() - 1
        });
        let Some(RecordedRun { name, epochs }) = runs.get_mut(place) else { continue };
        let next = epochs.len() as u64 + columns.first;
        if epoch != next {
            return Err(refused(format!("epoch {epoch} of run '{name}': expected epoch {next}")));
        }
        epochs.push(observed);
    }
    if runs.is_empty() { Err(refused(None, "no epochs found".into())) } else { Ok(runs) }
}

/// The line of a record, from 1. The position of a record includes blank lines before it, which are skipped.
fn line(text: &[u8], at: &csv::Position) -> usize {
    let (before, rest) = text.split_at_checked(at.byte() as usize).unwrap_or((text, &[]));
    let blank = rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r'));
    1 + before.iter().chain(blank).filter(|&&byte| byte == b'\n').count()
}

/// Reads every recording of a folder, sorted by name.
pub fn read_all(dir: &Path) -> Result<Vec<Recording>, String> {
    if dir.is_file() {
        return Err(format!(
            "{}: a file, but score reads a folder of recordings. Name a folder, or use replay",
            dir.display()
        ));
    }
    let entries = std::fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<_> = paths.collect::<Result<_, _>>().map_err(|error| format!("{}: {error}", dir.display()))?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "csv"));
    paths.sort();
    if paths.is_empty() {
        return Err(format!("{}: no *.csv found in this folder", dir.display()));
    }
    paths.iter().map(|path| Ok(Recording { name: stem(path), runs: read(path)? })).collect()
}

fn stem(file: &Path) -> String {
    sanitize::text(file.file_stem().unwrap_or_default().to_string_lossy())
}

/// The places of the columns, and the number of the first epoch.
#[derive(Clone, Copy)]
struct Columns {
    places: [usize; 4],
    first: u64,
}

impl Columns {
    fn of(reader: &mut Reader<&[u8]>) -> Result<Columns, String> {
        let header = reader.headers().map_err(|error| in_words(&error))?;
        let place = |name: &str| header.iter().position(|cell| cell.trim_start_matches('\u{feff}') == name);
        for (names, first) in [(COLUMNS, 1), (REPORTED, 0)] {
            if let [Some(a), Some(b), Some(c), Some(d)] = names.map(place) {
                return Ok(Columns { places: [a, b, c, d], first });
            }
        }
        let lacking: Vec<&str> = COLUMNS.into_iter().filter(|name| place(name).is_none()).collect();
        Err(format!(
            "no column {}; expected the columns {} (blank cells are unknown)",
            lacking.join(" and "),
            COLUMNS.join(",")
        ))
    }
}

/// The values of one row.
struct Row {
    run: String,
    epoch: u64,
    observed: EpochSummary,
}

impl Row {
    fn parse(record: &StringRecord, columns: Columns, stem: &str) -> Result<Row, String> {
        let [run, number, duration, energy] = columns.places.map(|place| record.get(place).unwrap_or_default());
        let run = match columns.first {
            1 => run,
            _ if run == "1" => stem,
            _ => return Err(format!("count '{run}': one row stands for several epochs and cannot be replayed")),
        };
        if run.is_empty() {
            return Err("run is blank".into());
        }
        let epoch = number.parse().map_err(|_| format!("epoch '{number}': expected a whole number"))?;
        let (duration_s, energy_j) = (amount("duration_s", duration)?, amount("energy_j", energy)?);
        let observed = EpochSummary { count: 1, duration_s, energy_j, fully_measured: energy_j.is_some(), gap_s: 0.0 };
        Ok(Row { run: sanitize::text(run), epoch, observed })
    }
}

/// Parses a quantity. Blank is unknown.
fn amount(name: &str, text: &str) -> Result<Option<f64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let amount = text.parse().ok().filter(|amount| (0.0..=MAX_AMOUNT).contains(amount));
    amount.map(Some).ok_or_else(|| format!("{name} '{text}': expected a number from 0 to {MAX_AMOUNT:e}, or nothing"))
}

fn in_words(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!("{len} fields, expected {expected_len}"),
        csv::ErrorKind::Utf8 { .. } => "not UTF-8".into(),
        _ => error.to_string(),
    }
}
