//! Totals over the runs that files hold.

mod citation;
mod job_rows;
mod totals;

use crate::report_files::{self, Unread};
use carbontracker::forecast::uncertainty::ends;
use carbontracker::run_files::JournalReport;
use carbontracker::sanitize;
use carbontracker::units::{Amount, J_PER_KWH, digits, duration, instant};
use job_rows::Row;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use totals::{By, Run, Sum, Totals, groups};

/// Add up energy, CO2e and time over many runs and ranks, with a sentence for the paper
#[derive(clap::Args)]
#[command(after_help = FILES)]
pub struct Aggregate {
    /// Folders of runs (what log_dir= leaves), or files
    #[arg(required = true, value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
    /// What the rows of the table take together
    #[arg(long, value_name = "WHAT", default_value = "name")]
    by: By,
    /// Print the totals, the groups and every run as JSON
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print a row a run as CSV
    #[arg(long)]
    csv: bool,
    /// Fail if any file could not be read
    #[arg(long)]
    strict: bool,
}

const FILES: &str = "\
The ranks of a job (a job and a name alike, at one time, each with another rank) are one run: energies summed, time as the
union, epochs of one. A run counts once: its final report <stem>.json, else its journal <stem>.jsonl, whose run was killed or goes on; of copies
of one run (the same run.id) the one with the most epochs. A folder's own folders are not looked into: name them, DIR/*.
Other files there are left alone. The energy of a rank that counts no device is in what others of its job count.

Exit status: 0 done, 1 no run could be read, or with --strict not every one, 2 wrong arguments.";

/// What was found.
#[derive(Default)]
struct Found {
    runs: Vec<Run>,
    /// The same, the ranks of each job as one, once all are read.
    rows: Vec<Row>,
    /// Copies of runs that count already.
    copies: usize,
    /// What could not be read, and why.
    broken: Vec<String>,
    /// What was read and is not whole.
    flaws: Vec<String>,
}

/// The totals in the form asked for; what could not be read is told on stderr.
pub fn text(asked: &Aggregate) -> Result<String, String> {
    let mut found = find(&asked.paths);
    found.flaws.iter().chain(&found.broken).for_each(|reason| crate::console::complain(reason));
    found.rows = job_rows::rows(std::mem::take(&mut found.runs));
    if found.rows.is_empty() {
        let named: Vec<String> = asked.paths.iter().map(|path| path.display().to_string()).collect();
        return Err(format!(
            "{}: no run there; expected <stem>.json or <stem>.jsonl, as log_dir= leaves them",
            named.join(", ")
        ));
    }
    if asked.strict && !found.broken.is_empty() {
        return Err(format!("{} could not be read, and --strict asks for all", found.broken.len()));
    }
    if asked.csv {
        as_csv(&found.rows)
    } else if asked.json {
        Ok(as_json(&found, asked.by))
    } else {
        Ok(as_text(&found, asked.by))
    }
}

/// Of each report only what counts is kept.
fn find(paths: &[PathBuf]) -> Found {
    let mut found = Found::default();
    let mut places = HashMap::new();
    for path in paths {
        let files = if path.is_dir() { report_files::of_folder(path) } else { Ok(vec![path.clone()]) };
        match files {
            Ok(files) => files.iter().for_each(|file| found.add(file, &mut places)),
            Err(reason) => found.broken.push(reason),
        }
    }
    found
}

impl Found {
    /// `places` are those of the runs by their id.
    fn add(&mut self, file: &Path, places: &mut HashMap<String, usize>) {
        let read = report_files::read(file).and_then(|JournalReport { report, notes }| {
            self.flaws.extend(notes.iter().map(|note| format!("{}: {note}", file.display())));
            let shown = file.display().to_string();
            Run::of(shown, &report).map_err(|reason| Unread::Broken(format!("{}: {reason}", file.display())))
        });
        let run = match read {
            Ok(run) => run,
            Err(Unread::Foreign) => return,
            Err(Unread::Broken(reason)) => return self.broken.push(reason),
        };
        let Some(known) = places.get(&run.id).and_then(|&place| self.runs.get_mut(place)) else {
            places.insert(run.id.clone(), self.runs.len());
            return self.runs.push(run);
        };
        // A journal and its report, both named, are no copies.
        self.copies += usize::from(Path::new(&known.file).with_extension("") != file.with_extension(""));
        if run.is_fuller_than(known) {
            *known = run;
        }
    }
}

fn as_json(found: &Found, by: By) -> String {
    let totals = Totals::of(found.rows.iter().map(|row| &row.run));
    let groups = groups(&found.rows, by);
    let whole = json!({
        "totals": totals.json(),
        "by": by.name(),
        "groups": groups.iter().map(|(name, totals)| json!({"name": name, "totals": totals.json()})).collect::<Value>(),
        "runs": found.rows.iter().map(Row::json).collect::<Value>(),
        "copies": found.copies,
        "unread": found.broken,
        "sentence": citation::sentences(&totals),
        "citation": citation::CITATION,
    });
    format!("{whole:#}\n")
}

fn as_csv(runs: &[Row]) -> Result<String, String> {
    let mut rows = csv::Writer::from_writer(Vec::new());
    let written = write(&mut rows, runs).map_err(|error| error.to_string());
    let bytes = written.and_then(|()| rows.into_inner().map_err(|error| error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

const COLUMNS: [&str; 15] = [
    "id",
    "name",
    "host",
    "state",
    "started",
    "epochs",
    "duration_s",
    "energy_j",
    "facility_energy_kwh",
    "co2eq_g",
    "coverage",
    "pue",
    "file",
    "job",
    "ranks",
];

/// More of them, where some of the energy is estimated.
const INTERVALS: [&str; 6] = [
    "energy_low_j",
    "energy_high_j",
    "facility_energy_low_kwh",
    "facility_energy_high_kwh",
    "co2eq_low_g",
    "co2eq_high_g",
];

fn write(rows: &mut csv::Writer<Vec<u8>>, runs: &[Row]) -> csv::Result<()> {
    let is_estimated = runs.iter().any(|row| row.run.error.is_some());
    let more = if is_estimated { &INTERVALS[..] } else { &[] };
    rows.write_record(COLUMNS.iter().chain(more))?;
    let shown = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    for Row { run, .. } in runs {
        let started = run.from.and_then(instant).unwrap_or_default();
        let [name, job, state] = [&run.name, &run.job, &run.state].map(|word| word.clone().unwrap_or_default());
        let (host, ranks) = (run.hosts.join(" "), run.ranks.to_string());
        let [energy, facility, co2eq, coverage, pue] =
            [run.energy_j, run.facility_kwh, run.co2eq_g, run.coverage, run.pue].map(shown);
        let [epochs, duration] = [run.epochs.to_string(), run.duration_s.to_string()];
        let (id, file) = (run.id.clone(), run.file.clone());
        let row = [
            id, name, host, state, started, epochs, duration, energy, facility, co2eq, coverage, pue, file, job, ranks,
        ];
        let intervals = [run.energy_j, run.facility_kwh, run.co2eq_g].into_iter().flat_map(|amount| match run.error {
            Some(_) => ends(amount, run.error),
            None => [amount, amount], // a measurement's ends are one
        });
        let intervals = intervals.map(shown).filter(|_| is_estimated);
        rows.write_record(row.into_iter().chain(intervals).map(|cell| sanitize::cell(&cell)))?;
    }
    Ok(())
}

fn as_text(found: &Found, by: By) -> String {
    let totals = Totals::of(found.rows.iter().map(|row| &row.run));
    let groups = groups(&found.rows, by);
    let name = |(place, name): (usize, Option<&str>)| match (by, name) {
        (By::Run, Some(id)) => {
            let name = found.rows.get(place).and_then(|row| row.run.name.as_deref()).unwrap_or_default();
            format!("{id} {name}").trim_end().to_owned()
        }
        (_, Some(name)) => name.to_owned(),
        (By::Host, None) => "(unknown)".into(),
        (_, None) => "(no name)".into(),
    };
    let mut rows = vec![["", "runs", "epochs", "time", "energy", "with PUE", "CO2e"].map(str::to_owned)];
    rows.extend(groups.iter().enumerate().map(|(n, (group, totals))| row(name((n, *group)), totals)));
    rows.push(row("all".into(), &totals));
    if let Some(corner) = rows.first_mut().and_then(|head| head.first_mut()) {
        *corner = by.name().into();
    }
    let said = [summary(&totals), beside(found, &totals)].concat();
    let paper = format!("for a paper:\n{}\n\n{}", wrapped(&citation::sentences(&totals), 100), citation::CITATION);
    format!("{}\n{}\n\n{paper}", table(&rows), said.join("\n"))
}

fn row(name: String, totals: &Totals) -> [String; 7] {
    let absent = if totals.counted_elsewhere == totals.runs { "elsewhere" } else { "unknown" };
    let shown = |sum: Sum, size: f64, amount: Amount| {
        sum.value().map_or(absent.into(), |value| amount.with(value * size, sum.error()))
    };
    [
        name,
        runs(totals),
        totals.epochs.to_string(),
        duration(totals.duration_s),
        shown(totals.energy_j, 1.0, Amount::Energy),
        shown(totals.facility_kwh, J_PER_KWH, Amount::Energy),
        shown(totals.co2eq_g, 1.0, Amount::Grams),
    ]
}

/// How many, and where some are jobs how many ranks.
fn runs(totals: &Totals) -> String {
    let of_ranks = if totals.has_jobs() { format!(" ({} ranks)", totals.ranks) } else { String::new() };
    format!("{}{of_ranks}", totals.runs)
}

/// In columns: the first to the left, numbers to the right.
fn table(rows: &[[String; 7]]) -> String {
    let wide = |text: &str| console::measure_text_width(text);
    let mut widths = [0; 7];
    for row in rows {
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = wide(cell).max(*width));
    }
    let mut text = String::new();
    for row in rows {
        for (n, (cell, width)) in row.iter().zip(widths).enumerate() {
            let space = " ".repeat(width - wide(cell));
            text += &if n == 0 { format!("{cell}{space}") } else { format!("  {space}{cell}") };
        }
        text.push('\n');
    }
    text
}

fn summary(totals: &Totals) -> Vec<String> {
    let when = totals.when.known();
    let at = |unix_s: f64| instant(unix_s).unwrap_or("unknown".into());
    let from_to = when.map(|when| format!(", from {} to {}", at(when.least), at(when.most))).unwrap_or_default();
    let wall = totals.wall_s().map(|wall_s| format!(", {} from first to last", duration(wall_s))).unwrap_or_default();
    let on = if totals.hostless == 0 { format!(" on {}", count(totals.hosts.len(), "host")) } else { String::new() };
    let of_ranks = if totals.has_jobs() { format!(" of {} ranks", totals.ranks) } else { String::new() };
    let mut lines = vec![
        format!("{}{of_ranks}{on}{from_to}", count(totals.runs, "run")),
        format!("  time    {} of the runs together{wall}", duration(totals.duration_s)),
    ];
    if let Some(joules) = totals.energy_j.value() {
        let pue = citation::pue(totals);
        let kwh = Amount::Of("kWh");
        let facility = totals.facility_kwh.value();
        let facility = facility.map(|of| format!(", {} at PUE {pue}", kwh.with(of, totals.facility_kwh.error())));
        lines.push(format!(
            "  energy  {}{}",
            kwh.of("of the devices", joules / J_PER_KWH, totals.energy_j.error()),
            facility.unwrap_or_default()
        ));
        lines.push(format!("          {}", citation::shares(totals)));
    }
    if let Some((co2eq_g, range)) = totals.co2eq_g.value().zip(totals.g_per_kwh.known()) {
        let grams = Amount::Grams.with(co2eq_g, totals.co2eq_g.error());
        lines.push(format!("  CO2e    {grams} at {} g/kWh:", citation::shown(range, digits)));
        lines.extend(totals.intensities.iter().map(|grid| format!("          {}", citation::grid(grid))));
    }
    lines
}

/// What is not in the totals, or not as it seems.
fn beside(found: &Found, totals: &Totals) -> Vec<String> {
    let of_all = |few: usize| format!("{few} of {}", count(totals.runs, "run"));
    let said = [
        (totals.without_energy, format!("of {} the energy is not known", of_all(totals.without_energy))),
        (totals.without_co2eq, format!("of {} the CO2e is not known, but the energy", of_all(totals.without_co2eq))),
        (
            totals.counted_elsewhere,
            format!("{} without energy: ranks whose devices another counts", of_all(totals.counted_elsewhere)),
        ),
        (
            totals.disagreed,
            format!(
                "in {} the ranks of a node did not find each other: devices may be counted several times",
                of_all(totals.disagreed)
            ),
        ),
        (
            totals.unfinished,
            format!(
                "{} without a final report: killed or going on, counted as far as they came",
                of_all(totals.unfinished)
            ),
        ),
        (found.copies, format!("{} left out, since the same run counts already", count(found.copies, "file"))),
        (found.broken.len(), format!("{} could not be read", count(found.broken.len(), "file"))),
    ];
    said.into_iter().filter(|(times, _)| *times > 0).map(|(_, line)| format!("note: {line}")).collect()
}

fn count(number: usize, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

/// Broken into lines of at most so many characters, where words allow.
fn wrapped(text: &str, most: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}
