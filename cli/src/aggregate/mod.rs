//! Adds up the runs of files and folders.

pub mod citation;
pub mod job_rows;
mod one_job;
pub mod run_entry;
pub mod sum;
pub mod totals;

use crate::report_files::{self, Unread};
use crate::table;
use carbontracker::forecast::uncertainty::ends;
use carbontracker::run_files::JournalReport;
use carbontracker::sanitize;
use carbontracker::units::{Amount, DisplayUnit, J_PER_KWH, digits, duration, instant};
use citation::CitationForm;
use job_rows::JobRow;
use run_entry::RunEntry;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use sum::Sum;
use totals::{By, Totals, groups};

/// Add up energy, CO2e and time over many runs and ranks, with a sentence for the paper
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct AggregateArgs {
    /// Folders of runs, as log_dir= leaves them, or files
    #[arg(required = true, value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
    /// How the rows of the table group the runs
    #[arg(long, value_name = "WHAT", default_value = "name")]
    by: By,
    /// Print the totals, the groups and every run as JSON
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// The text for a paper
    #[arg(long, value_name = "FORM", default_value = "short")]
    citation: CitationForm,
    /// Print a row for each run as CSV
    #[arg(long)]
    csv: bool,
    /// Fail if any file could not be read
    #[arg(long)]
    strict: bool,
    /// Add up one job over all its nodes and starts, by its number or name
    #[arg(long, value_name = "ID", conflicts_with_all = ["by", "citation"])]
    job: Option<String>,
    /// The job's number of nodes [default: inside the job, that of Slurm]
    #[arg(long, value_name = "N", requires = "job", value_parser = clap::value_parser!(u64).range(1..))]
    nodes: Option<u64>,
    /// Print the job as a comment for Slurm's accounting
    #[arg(long, requires = "job", conflicts_with_all = ["json", "csv"])]
    comment: bool,
}

const HELP: &str = "\
The ranks of a job are one run: same job, name and time, different ranks. Energy is summed, time is the union, epochs are
those of one rank. Devices of a rank may be counted by another rank of its job. A run counts once: its report NAME.json,
otherwise its journal NAME.jsonl (the run was killed or is in progress). Of copies (the same run.id), the one with the
most epochs counts. Folders inside a folder are not searched: name them, DIR/*. Other files are ignored.

Exit status: 0 done, 1 no run could be read, or with --strict not all of them, 2 wrong arguments.";

/// The runs of all files.
#[derive(Default)]
pub struct Collected {
    runs: Vec<RunEntry>,
    /// The runs with the ranks of each job merged, once all files are read.
    pub rows: Vec<JobRow>,
    /// The number of files that hold a copy of a run.
    pub copies: usize,
    /// Files that could not be read, each with the reason.
    pub broken: Vec<String>,
    /// Notes on files that were read but are damaged.
    flaws: Vec<String>,
}

/// The totals in the requested form. Notes on unreadable files go to standard error.
pub fn text(args: &AggregateArgs) -> Result<String, String> {
    if let Some(id) = &args.job {
        return one_job::text(args, id);
    }
    let found = collected(&args.paths)?;
    found.check(args.strict)?;
    if args.csv {
        as_csv(&found.rows)
    } else if args.json {
        Ok(as_json(&found, args.by))
    } else {
        Ok(as_text(&found, args.by, args.citation))
    }
}

/// The runs of files and folders, with the ranks of each job merged. Notes on unreadable files go to standard error. An
/// error: there is no run.
pub fn collected(paths: &[PathBuf]) -> Result<Collected, String> {
    let mut found = read_all(paths);
    found.rows = job_rows::rows(std::mem::take(&mut found.runs));
    if found.rows.is_empty() {
        let named: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(format!(
            "{}: no run found. Name folders with NAME.json or NAME.jsonl, as log_dir= leaves them",
            named.join(", ")
        ));
    }
    Ok(found)
}

/// The runs of files and folders. Notes on unreadable files go to standard error.
fn read_all(paths: &[PathBuf]) -> Collected {
    let found = find(paths);
    found.flaws.iter().chain(&found.broken).for_each(|reason| crate::console::complain(reason));
    found
}

/// Reads all files and folders. Only the values needed are kept of each report.
fn find(paths: &[PathBuf]) -> Collected {
    let mut found = Collected::default();
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

impl Collected {
    /// An error: all files are required, and some could not be read.
    fn check(&self, is_strict: bool) -> Result<(), String> {
        match self.broken.len() {
            broken if is_strict && broken > 0 => {
                Err(format!("{} could not be read, and --strict requires all", count(broken, "file")))
            }
            _ => Ok(()),
        }
    }

    /// Adds the run of a file. `places` maps the id of a run to its place in `runs`.
    fn add(&mut self, file: &Path, places: &mut HashMap<String, usize>) {
        let read = report_files::read(file).and_then(|JournalReport { report, notes }| {
            self.flaws.extend(notes.iter().map(|note| format!("{}: {note}", file.display())));
            let shown = file.display().to_string();
            RunEntry::of(shown, &report).map_err(|reason| Unread::Broken(format!("{}: {reason}", file.display())))
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
        // A journal and its own report are no copies.
        self.copies += usize::from(Path::new(&known.file).with_extension("") != file.with_extension(""));
        if run.is_fuller_than(known) {
            *known = run;
        }
    }
}

fn as_json(found: &Collected, by: By) -> String {
    let totals = Totals::of(found.rows.iter().map(|row| &row.run));
    let groups = groups(&found.rows, by);
    let whole = json!({
        "schema": 1,
        "totals": totals.json(),
        "by": by.name(),
        "groups": groups.iter().map(|(name, totals)| json!({"name": name, "totals": totals.json()})).collect::<Value>(),
        "runs": found.rows.iter().map(JobRow::json).collect::<Value>(),
        "copies": found.copies,
        "unread": found.broken,
        "short_sentence": citation::short(&totals),
        "sentence": citation::sentences(&totals),
        "citation": citation::CITATION,
    });
    format!("{whole:#}\n")
}

fn as_csv(runs: &[JobRow]) -> Result<String, String> {
    let mut rows = csv::Writer::from_writer(Vec::new());
    let written = write(&mut rows, runs).map_err(|error| error.to_string());
    let bytes = written.and_then(|()| rows.into_inner().map_err(|error| error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

/// Columns of the CSV.
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

/// Further columns if some energy is estimated.
const INTERVALS: [&str; 6] = [
    "energy_low_j",
    "energy_high_j",
    "facility_energy_low_kwh",
    "facility_energy_high_kwh",
    "co2eq_low_g",
    "co2eq_high_g",
];

fn write(rows: &mut csv::Writer<Vec<u8>>, runs: &[JobRow]) -> csv::Result<()> {
    let is_estimated = runs.iter().any(|row| row.run.error.is_some());
    let more = if is_estimated { &INTERVALS[..] } else { &[] };
    rows.write_record(COLUMNS.iter().chain(more))?;
    let shown = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    for JobRow { run, .. } in runs {
        let started = run.from.and_then(instant).unwrap_or_default();
        let [name, job, state] = [&run.name, &run.job, &run.state].map(|word| word.clone().unwrap_or_default());
        let (host, ranks) = (run.hosts.join(" "), run.ranks.to_string());
        let [duration, energy, facility, co2eq, coverage, pue] =
            [run.duration_s, run.energy_j, run.facility_kwh, run.co2eq_g, run.coverage, run.pue].map(shown);
        let epochs = run.epochs.to_string();
        let (id, file) = (run.id.clone(), run.file.clone());
        let row = [
            id, name, host, state, started, epochs, duration, energy, facility, co2eq, coverage, pue, file, job, ranks,
        ];
        let intervals = [run.energy_j, run.facility_kwh, run.co2eq_g].into_iter().flat_map(|amount| match run.error {
            Some(_) => ends(amount, run.error),
            None => [amount, amount], // a measured value has no interval
        });
        let intervals = intervals.map(shown).filter(|_| is_estimated);
        rows.write_record(row.into_iter().chain(intervals).map(|cell| sanitize::cell(&cell)))?;
    }
    Ok(())
}

fn as_text(found: &Collected, by: By, form: CitationForm) -> String {
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
    let all = groups.iter().map(|(_, totals)| totals).chain([&totals]);
    let units = units(all);
    if let Some(head) = rows.first_mut() {
        let columns = head.iter_mut().skip(4).zip(&units);
        columns.for_each(|(title, unit)| *title += &format!(", {}", unit.name));
    }
    rows.extend(groups.iter().enumerate().map(|(n, (group, totals))| row(name((n, group.as_deref())), totals, &units)));
    rows.push(row("all".into(), &totals, &units));
    if let Some(corner) = rows.first_mut().and_then(|head| head.first_mut()) {
        *corner = by.name().into();
    }
    let lines = [summary(&totals), notes(found, &totals)].concat();
    let (sentences, entry) = form.text(&totals);
    let entry = entry.map_or(String::new(), |entry| format!("\n{entry}"));
    let paper = format!("for a paper:\n{}\n{entry}", wrapped(&sentences, 100));
    format!("{}\n{}\n\n{paper}", table::text(&rows), lines.join("\n"))
}

/// The units of the columns of energy, energy with PUE, and CO2e: those of their largest amounts.
fn units<'a>(rows: impl Iterator<Item = &'a Totals> + Clone) -> [DisplayUnit<'static>; 3] {
    let most = |of: fn(&Totals) -> Option<f64>| rows.clone().filter_map(of).fold(0.0, f64::max);
    let joules = most(|totals| totals.energy_j.value());
    let facility = most(|totals| Some(totals.facility_kwh.value()? * J_PER_KWH));
    let grams = most(|totals| totals.co2eq_g.value());
    [(Amount::Energy, joules), (Amount::Energy, facility), (Amount::Grams, grams)]
        .map(|(amount, most)| DisplayUnit::of(amount, most))
}

/// A row of the table.
fn row(name: String, totals: &Totals, [energy, facility, emissions]: &[DisplayUnit<'_>; 3]) -> [String; 7] {
    let absent = if totals.counted_elsewhere == totals.runs { "elsewhere" } else { "unknown" };
    let shown = |sum: Sum, size: f64, unit: &DisplayUnit<'_>| {
        let amount = |value: f64| Amount::Of("").with(unit.amount(value * size), sum.error());
        sum.value().map_or(absent.into(), amount)
    };
    [
        name,
        runs(totals),
        totals.epochs.to_string(),
        totals.time(),
        shown(totals.energy_j, 1.0, energy),
        shown(totals.facility_kwh, J_PER_KWH, facility),
        shown(totals.co2eq_g, 1.0, emissions),
    ]
}

/// The number of runs; with jobs, also of ranks.
fn runs(totals: &Totals) -> String {
    let of_ranks = if totals.has_jobs() { format!(" ({} ranks)", totals.ranks) } else { String::new() };
    format!("{}{of_ranks}", totals.runs)
}

/// The lines below the table: runs, time, energy, emissions.
fn summary(totals: &Totals) -> Vec<String> {
    let when = totals.when.known();
    let at = |unix_s: f64| instant(unix_s).unwrap_or("unknown".into());
    let to = totals.last_end().map_or("an unknown time".into(), at);
    let from_to = when.map(|when| format!(", from {} to {to}", at(when.least))).unwrap_or_default();
    let wall = totals.wall_s().map(|wall_s| format!(", {} from first to last", duration(wall_s))).unwrap_or_default();
    let on = if totals.hostless == 0 { format!(" on {}", count(totals.hosts.len(), "host")) } else { String::new() };
    let of_ranks = if totals.has_jobs() { format!(" of {} ranks", totals.ranks) } else { String::new() };
    let mut lines = vec![
        format!("{}{of_ranks}{on}{from_to}", count(totals.runs, "run")),
        format!("  time    {} in all runs together{wall}", totals.time()),
    ];
    if let Some(joules) = totals.energy_j.value() {
        let pue = citation::pue(totals);
        let facility = totals.facility_kwh.value().map(|kwh| kwh * J_PER_KWH);
        let with_pue = |joules: f64| Amount::Energy.with(joules, totals.facility_kwh.error());
        let facility = facility.map(|joules| format!(", {} at PUE {pue}", with_pue(joules)));
        lines.push(format!(
            "  energy  {}{}",
            Amount::Energy.of("of the devices", joules, totals.energy_j.error()),
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

/// Notes on what the totals lack or count with reserve.
fn notes(found: &Collected, totals: &Totals) -> Vec<String> {
    let of_all = |few: usize| format!("{few} of {}", count(totals.runs, "run"));
    let notes = [
        (totals.without_duration, format!("{}: time unknown, in no sum", of_all(totals.without_duration))),
        (totals.without_energy, format!("{}: energy unknown", of_all(totals.without_energy))),
        (totals.without_co2eq, format!("{}: energy known, CO2e unknown", of_all(totals.without_co2eq))),
        (
            totals.counted_elsewhere,
            format!("{}: no energy, since another rank counts the devices", of_all(totals.counted_elsewhere)),
        ),
        (
            totals.disagreed,
            format!(
                "{}: the ranks of a node did not find each other. Devices may be counted several times",
                of_all(totals.disagreed)
            ),
        ),
        (
            totals.unfinished,
            format!(
                "{}: no final report, killed or in progress; counted as far as the journal goes",
                of_all(totals.unfinished)
            ),
        ),
        (found.copies, format!("{} left out as copies of runs that count already", count(found.copies, "file"))),
        (found.broken.len(), format!("{} could not be read", count(found.broken.len(), "file"))),
    ];
    notes.into_iter().filter(|(times, _)| *times > 0).map(|(_, line)| format!("note: {line}")).collect()
}

/// A number with its noun, such as "2 files".
fn count(number: usize, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

/// Breaks a text into lines of at most `most` characters. A longer word keeps its own line.
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
