//! Recorded runs, epoch by epoch, read from CSV.

use carbontracker::attribution::ledger::EpochSummary;
use carbontracker::sanitize;
use csv::{Reader, ReaderBuilder, StringRecord};
use std::collections::HashMap;
use std::path::Path;

/// A run that was recorded.
pub struct Run {
    /// Its name.
    pub name: String,
    /// Its epochs, in order.
    pub epochs: Vec<EpochSummary>,
}

/// The runs of one file.
pub struct Set {
    /// The file's name without its ending.
    pub name: String,
    /// In the order they begin.
    pub runs: Vec<Run>,
}

/// What an epoch may take: its square is still a number.
const MOST: f64 = 1e100;
const COLUMNS: [&str; 4] = ["run", "epoch", "duration_s", "energy_j"];
/// As the library's report has them: of one run, its epochs numbered from 0, or several in a row.
const REPORTED: [&str; 4] = ["count", "index", "duration_s", "energy_j"];

/// The runs of a file; an error names file and line.
pub fn read(file: &Path) -> Result<Vec<Run>, String> {
    let shown = file.display();
    if file.is_dir() {
        return Err(format!("{shown}: a folder; expected a file"));
    }
    let text = std::fs::read(file).map_err(|error| format!("{shown}: {error}"))?;
    let refused = |at: Option<&csv::Position>, reason: String| {
        at.map_or(format!("{shown}: {reason}"), |at| format!("{shown}:{}: {reason}", line(&text, at)))
    };
    let mut reader = ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_slice());
    let stem = stem(file);
    let columns = Columns::of(&mut reader).map_err(|reason| format!("{shown}:1: {reason}"))?;
    let mut runs: Vec<Run> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for record in reader.records() {
        let record = record.map_err(|error| refused(error.position(), in_words(&error)))?;
        let refused = |reason| refused(record.position(), reason);
        let Row { run, epoch, observed } = Row::parse(&record, columns, &stem).map_err(refused)?;
        let place = *places.entry(run.clone()).or_insert_with(|| {
            runs.push(Run { name: run, epochs: Vec::new() });
            runs.len() - 1
        });
        let Some(Run { name, epochs }) = runs.get_mut(place) else { continue };
        let next = epochs.len() as u64 + columns.first;
        if epoch != next {
            return Err(refused(format!("epoch {epoch} of run '{name}': expected epoch {next}")));
        }
        epochs.push(observed);
    }
    if runs.is_empty() { Err(refused(None, "no epochs".into())) } else { Ok(runs) }
}

/// The line that a record starts in, after the blank ones before it, which its position includes.
fn line(text: &[u8], at: &csv::Position) -> usize {
    let (before, rest) = text.split_at_checked(at.byte() as usize).unwrap_or((text, &[]));
    let blank = rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r'));
    1 + before.iter().chain(blank).filter(|&&byte| byte == b'\n').count()
}

/// Every recording of a folder, by name.
pub fn read_all(dir: &Path) -> Result<Vec<Set>, String> {
    if dir.is_file() {
        return Err(format!("{}: a file; expected a folder of recordings", dir.display()));
    }
    let entries = std::fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<_> = paths.collect::<Result<_, _>>().map_err(|error| format!("{}: {error}", dir.display()))?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "csv"));
    paths.sort();
    if paths.is_empty() {
        return Err(format!("{}: no *.csv there", dir.display()));
    }
    paths.iter().map(|path| Ok(Set { name: stem(path), runs: read(path)? })).collect()
}

fn stem(file: &Path) -> String {
    sanitize::text(file.file_stem().unwrap_or_default().to_string_lossy())
}

/// Where the columns stand, and how the first epoch is numbered.
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
            "lacks {}; expected the columns {} (cells may be blank where nothing is known)",
            lacking.join(" and "),
            COLUMNS.join(",")
        ))
    }
}

/// What one line says.
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
            _ => return Err(format!("count '{run}': several epochs in a row cannot be replayed")),
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

fn amount(name: &str, text: &str) -> Result<Option<f64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let amount = text.parse().ok().filter(|amount| (0.0..=MOST).contains(amount));
    amount.map(Some).ok_or_else(|| format!("{name} '{text}': expected a number from 0 to {MOST:e}, or nothing"))
}

fn in_words(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!("{len} fields, expected {expected_len}"),
        csv::ErrorKind::Utf8 { .. } => "not UTF-8".into(),
        _ => error.to_string(),
    }
}
