//! A live view of a run, from the file that it writes.

mod power;
mod run_files;
mod view;

use crate::report_files::{self, Unread};
use carbontracker::report::ranks;
use carbontracker::sanitize;
use console::Term;
use run_files::{Files, Found, Stamp, newest_first, of_one};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use view::{SILENCE_S, View};

/// Watch a run: progress, power, energy, CO2e, forecast, time left
#[derive(clap::Args)]
#[command(after_help = FILES)]
pub struct Watch {
    /// The run's journal or report, which may be still to come; or a folder, for its newest run that is going on, of a job all its ranks
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,
    /// Show how it stands and end
    #[arg(long)]
    once: bool,
    /// Print a line of JSON at each change
    #[arg(long)]
    json: bool,
}

const FILES: &str = "\
Looks twice a second and ends when the run is done; Ctrl-C ends it before. Where the output is no terminal it prints a line
at each change. A run gives no sign of life when its journal has no word for 150 s, or a report without a journal is older
than that and than three of its epochs.

Exit status: 0 the run is done, or shown by --once; 1 there is no run, or what is there is none; 2 wrong arguments;
130 it was interrupted.";

const LOOK: Duration = Duration::from_millis(500);
const NOTHING: &str = "nothing is there yet";
/// A file that takes long to read is left alone for so many times as long: at most a twentieth of a core.
const REST: u32 = 20;

/// Follows the run to its end.
pub fn follow(asked: &Watch) -> Result<(), String> {
    let mut follower =
        Follower { path: asked.path.clone(), files: Files::default(), seen: None, rested: Instant::now() };
    let mut display = Display::new(asked);
    loop {
        let looked = follower.look(asked.once)?;
        let is_over = follower.seen.as_ref().is_some_and(|seen| seen.is_over);
        if asked.once && follower.seen.is_none() {
            return Err(looked.unwrap_or_else(|| "no run there".into()));
        }
        let shown = match &follower.seen {
            Some(seen) => display.show(seen),
            None => display.wait(&asked.path, &looked.unwrap_or_default()),
        };
        match shown {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(format!("standard output: {error}")),
            Ok(()) if is_over || asked.once => return Ok(()),
            Ok(()) => std::thread::sleep(LOOK),
        }
    }
}

/// A run as its files have it: one file, or one for each rank of a job.
struct Seen {
    files: Vec<(PathBuf, Stamp)>,
    /// The place of the rank whose identifier the job has.
    lead: usize,
    report: Value,
    /// When its numbers were written.
    told: SystemTime,
    is_over: bool,
}

impl Seen {
    /// Joins what the files of one run, or of a job's ranks, hold.
    fn of(files: &[&Found]) -> Seen {
        let reports: Vec<&Value> = files.iter().map(|found| &found.report).collect();
        let is_over = files.iter().all(|found| found.is_over());
        let newest = |files: &mut dyn Iterator<Item = &&Found>| files.map(|found| found.stamp.changed).max();
        let is_counting = |found: &&&Found| !found.report.pointer("/usage/energy_j").is_none_or(Value::is_null);
        let told = newest(&mut files.iter().filter(is_counting)).or_else(|| newest(&mut files.iter()));
        let told = told.unwrap_or(SystemTime::UNIX_EPOCH);
        let report = match reports.as_slice() {
            [one] => (*one).clone(),
            ranks => {
                let mut job = ranks::merged(ranks);
                // The devices of a rank that ended or is silent are counted by another.
                let draws = |found: &&&Found| !found.is_over() && is_heard(found.stamp.changed, told);
                let now = files.iter().filter(draws).flat_map(|found| power::latest(&found.report));
                power::set(&mut job, now);
                job
            }
        };
        let files = files.iter().map(|found| (found.file.clone(), found.stamp)).collect();
        let lead = reports.iter().position(|rank| rank.pointer("/run/id") == report.pointer("/run/id"));
        Seen { files, lead: lead.unwrap_or(0), report, told, is_over }
    }

    fn view(&self) -> View<'_> {
        let seconds = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let (told, now) = (seconds(self.told), seconds(SystemTime::now()));
        let is_from_journal = self.files.iter().any(|(file, _)| report_files::has_ending(file, "jsonl"));
        View { report: &self.report, told, now, is_over: self.is_over, is_from_journal }
    }

    /// Its file; of a job's the one that the identifier is from.
    fn file(&self) -> &Path {
        self.files.get(self.lead).map(|(file, _)| file.as_path()).unwrap_or(Path::new(""))
    }

    fn is_job(&self) -> bool {
        self.files.len() > 1 || self.report.pointer("/run/job").is_some_and(Value::is_string)
    }
}

/// Whether a rank was heard of so late that it is not silent.
fn is_heard(changed: SystemTime, latest: SystemTime) -> bool {
    latest.duration_since(changed).map_or(true, |silent| silent.as_secs_f64() <= SILENCE_S)
}

/// What is there to be watched.
struct Follower {
    path: PathBuf,
    files: Files,
    seen: Option<Seen>,
    /// When the next look is due.
    rested: Instant,
}

impl Follower {
    /// Looks for news; says why there is none to show yet. What is no run and never will be is an error.
    fn look(&mut self, once: bool) -> Result<Option<String>, String> {
        if Instant::now() < self.rested {
            return Ok(None);
        }
        let begun = Instant::now();
        let looked = if self.path.is_dir() { self.look_into_folder(once) } else { self.look_at_file() };
        self.rested = Instant::now() + begun.elapsed() * REST;
        looked
    }

    fn look_at_file(&mut self) -> Result<Option<String>, String> {
        let Some(file) = of_one(&self.path) else { return Ok(Some(NOTHING.into())) };
        match self.files.load(&file) {
            Ok(_) => self.take(&[file]),
            Err(Unread::Broken(why)) => return Ok(Some(why)), // it may be being written
            Err(Unread::Foreign) => return Err(format!("{}: no run's journal or report", file.display())),
        }
        Ok(None)
    }

    /// Shows the run that was followed, unless it is silent, or the newest. A run that is over is shown only to who looks once,
    /// or after it was seen to go on.
    fn look_into_folder(&mut self, once: bool) -> Result<Option<String>, String> {
        let followed = self.seen.as_ref().filter(|seen| !seen.view().is_silent());
        let (file, is_job) = match followed.map(|seen| (of_one(seen.file()), seen.is_job())) {
            Some((file, is_job)) => match file.filter(|file| self.files.load(file).is_ok()) {
                Some(file) => (file, is_job),
                None => return Ok(None), // it may be being written
            },
            None => match self.newest(once)? {
                Ok(file) => (file, true),
                Err(reason) => return Ok(Some(reason)),
            },
        };
        let ranks = if is_job { self.files.job_of(&self.path, &file)? } else { vec![file] };
        self.take(&ranks);
        Ok(None)
    }

    /// The newest run of the folder, first of those whose journals go on; or why none is to be shown.
    fn newest(&mut self, once: bool) -> Result<Result<PathBuf, String>, String> {
        let (mut reason, mut best) = (None, None);
        for file in newest_first(&self.path)? {
            match self.files.load(&file) {
                Ok(found) => {
                    let (is_over, key) = (found.is_over(), (found.stamp.changed, file.clone()));
                    if run_files::may_go_on(&file) {
                        if !is_over {
                            return Ok(Ok(file));
                        }
                        best = best.max(Some((key, is_over)));
                        continue;
                    }
                    best = best.max(Some((key, is_over)));
                    break; // the others are older
                }
                // In a folder others are read meanwhile.
                Err(Unread::Broken(why)) => drop(reason.get_or_insert(why)),
                Err(Unread::Foreign) => (),
            }
        }
        Ok(match best {
            Some((_, true)) if !once && self.seen.is_none() => Err("no run is going on there".into()),
            Some(((_, file), _)) => Ok(file),
            None => Err(reason.unwrap_or(NOTHING.into())),
        })
    }

    /// Takes these files of a run, if one of them has changed.
    fn take(&mut self, files: &[PathBuf]) {
        let found: Vec<&Found> = files.iter().filter_map(|file| self.files.get(file)).collect();
        let is_as_before = |seen: &Seen| {
            seen.files.len() == found.len()
                && seen
                    .files
                    .iter()
                    .zip(&found)
                    .all(|((file, stamp), found)| (file, stamp) == (&found.file, &found.stamp))
        };
        if !found.is_empty() && !self.seen.as_ref().is_some_and(is_as_before) {
            self.seen = Some(Seen::of(&found));
        }
    }
}

/// Where the view goes.
enum Display {
    /// The whole of it is drawn over the last.
    Screen { term: Term, drawn: Vec<String> },
    /// A line, or a JSON line, at each change.
    Lines { json: bool, last: String },
    /// The whole, once.
    Page,
}

impl Display {
    fn new(asked: &Watch) -> Display {
        let term = Term::buffered_stdout();
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if asked.json || !asked.once && (is_dumb || !term.is_term()) {
            Display::Lines { json: asked.json, last: String::new() }
        } else if asked.once {
            Display::Page
        } else {
            Display::Screen { term, drawn: Vec::new() }
        }
    }

    fn show(&mut self, seen: &Seen) -> io::Result<()> {
        let view = seen.view();
        match self {
            Display::Screen { term, drawn } => {
                let (rows, width) = size(term);
                let lines = view.lines(width, term.features().colors_supported());
                draw(term, drawn, lines.into_iter().take(rows).collect())
            }
            Display::Lines { json: true, last } => {
                changed(last, view.json(&seen.file().display().to_string()).to_string())
            }
            Display::Lines { json: false, last } => changed(last, view.line()),
            Display::Page => {
                let (_, width) = size(&Term::stdout());
                let lines = view.lines(width, Term::stdout().features().colors_supported());
                writeln!(io::stdout(), "{}", lines.join("\n"))
            }
        }
    }

    fn wait(&mut self, path: &Path, reason: &str) -> io::Result<()> {
        let text = sanitize::text(format!("waiting for {}: {reason}", path.display()));
        match self {
            _ if reason.is_empty() => Ok(()),
            Display::Screen { term, drawn } => {
                let (_, width) = size(term);
                draw(term, drawn, vec![console::truncate_str(&text, width, "…").into_owned()])
            }
            Display::Lines { json: true, last } => changed(
                last,
                json!({"file": path.display().to_string(), "state": "waiting", "reason": reason}).to_string(),
            ),
            Display::Lines { json: false, last } => changed(last, text),
            Display::Page => Ok(()),
        }
    }
}

/// Rows and columns that can be used without the text wandering.
fn size(term: &Term) -> (usize, usize) {
    let (rows, columns) = term.size_checked().unwrap_or((24, 80));
    (usize::from(rows).saturating_sub(1).max(1), usize::from(columns).saturating_sub(1).max(1))
}

/// In one write over what was drawn. The cursor stays below it, visible: who ends this leaves nothing to put right.
fn draw(term: &Term, drawn: &mut Vec<String>, lines: Vec<String>) -> io::Result<()> {
    if *drawn == lines {
        return Ok(());
    }
    let (_, width) = size(term);
    let rows = drawn.iter().map(|line| console::measure_text_width(line).max(1).div_ceil(width + 1)).sum();
    term.move_cursor_up(rows)?;
    term.clear_to_end_of_screen()?;
    lines.iter().try_for_each(|line| term.write_line(line))?;
    *drawn = lines;
    term.flush()
}

fn changed(last: &mut String, line: String) -> io::Result<()> {
    if *last == line {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    *last = line;
    out.flush()
}
