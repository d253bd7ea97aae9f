//! A live view of a run, read from the files that it writes.

mod power;
pub mod run_files;
mod view;

use crate::report_files::{self, Unread};
use carbontracker::report::ranks;
use carbontracker::sanitize;
use console::Term;
use run_files::{ContentStamp, WatchedFile, WatchedFiles, newest_first, of_one};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use view::{SILENCE_S, WatchView};

/// Watch a run: progress, power, energy, CO2e, forecast, time left
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct WatchArgs {
    /// The run's journal or report, which may not exist yet; or a folder: its newest run in progress, with all ranks of
    /// its job [default: the newest run]
    #[arg(value_name = "FILE|DIR")]
    path: Option<PathBuf>,
    /// Show the run once, and end
    #[arg(long)]
    once: bool,
    /// Print a line of JSON at each change
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
It looks twice a second and ends when the run is done. Ctrl-C ends it earlier. If the output is no terminal, it prints a
line at each change. A run is shown as stalled if its journal has not been updated for 150 s (without a journal: after
that and three epochs). Without an argument it shows the newest run of CARBONTRACKER_LOG_DIR or, without this variable, of
the folder where 'run' keeps its runs: the newest one in progress, or else the last one. If there is none, it ends. A
FILE or DIR that it is given may not exist yet: it waits for it.

Exit status: 0 the run is done, or shown by --once; 1 no run was found, or the file is not a run; 2 wrong arguments;
130 it was interrupted.";

/// Interval between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// The reason for waiting if no file exists.
const NO_FILE: &str = "no journal or report there yet";
/// After each look, a pause of this many times the time it took. So reading takes at most 1/20 of a core.
const PAUSE_FACTOR: u32 = 20;

/// Follows the run to its end.
pub fn follow(args: &WatchArgs) -> Result<(), String> {
    let path = args.path.clone().map_or_else(report_files::default_folder, Ok)?;
    let mut follower =
        Follower { path: path.clone(), files: WatchedFiles::default(), seen: None, next_look: Instant::now() };
    let mut display = Display::new(args);
    loop {
        let reason = follower.look(args.once || args.path.is_none())?;
        let is_over = follower.seen.as_ref().is_some_and(|seen| seen.is_over);
        // A run is waited for only where the user names its place.
        if (args.once || args.path.is_none()) && follower.seen.is_none() {
            return Err(no_run(&path, reason));
        }
        let shown = match &follower.seen {
            Some(seen) => display.show(seen),
            None => display.wait(&path, &reason.unwrap_or_default()),
        };
        match shown {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(format!("standard output: {error}")),
            Ok(()) if is_over || args.once => return Ok(()),
            Ok(()) => std::thread::sleep(LOOK_INTERVAL),
        }
    }
}

/// The message if there is no run to show. It names the path.
fn no_run(path: &Path, reason: Option<String>) -> String {
    let path = path.display().to_string();
    let reason = reason.unwrap_or_else(|| NO_FILE.into());
    let message = if reason.starts_with(&path) { reason } else { format!("{path}: {reason}") };
    format!("{message}. Name a journal (*.jsonl), a report (*.json) or their folder, the log_dir of a run")
}

/// The watched run, read from one file, or from one for each rank of a job.
struct WatchedRun {
    files: Vec<(PathBuf, ContentStamp)>,
    /// The place of the rank whose identifier the job has.
    lead: usize,
    report: Value,
    /// The time at which its values were written.
    written: SystemTime,
    is_over: bool,
}

impl WatchedRun {
    /// Joins the files of one run, or of all ranks of a job.
    fn of(files: &[&WatchedFile]) -> WatchedRun {
        let reports: Vec<&Value> = files.iter().map(|found| &found.report).collect();
        let is_over = files.iter().all(|found| found.is_over());
        let newest = |files: &mut dyn Iterator<Item = &&WatchedFile>| files.map(|found| found.stamp.changed).max();
        let is_counting = |found: &&&WatchedFile| !found.report.pointer("/usage/energy_j").is_none_or(Value::is_null);
        let written = newest(&mut files.iter().filter(is_counting)).or_else(|| newest(&mut files.iter()));
        let written = written.unwrap_or(SystemTime::UNIX_EPOCH);
        let report = match reports.as_slice() {
            [one] => (*one).clone(),
            ranks => {
                let mut job = ranks::merged(ranks);
                // Another rank counts the devices of a rank that ended or is silent.
                let draws = |found: &&&WatchedFile| !found.is_over() && is_alive(found.stamp.changed, written);
                let now = files.iter().filter(draws).flat_map(|found| power::latest(&found.report));
                power::set(&mut job, now);
                job
            }
        };
        let files = files.iter().map(|found| (found.file.clone(), found.stamp)).collect();
        let lead = reports.iter().position(|rank| rank.pointer("/run/id") == report.pointer("/run/id"));
        WatchedRun { files, lead: lead.unwrap_or(0), report, written, is_over }
    }

    fn view(&self) -> WatchView<'_> {
        let seconds = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let now = seconds(SystemTime::now());
        let is_from_journal = self.files.iter().any(|(file, _)| report_files::has_ending(file, "jsonl"));
        WatchView { report: &self.report, written: seconds(self.written), now, is_over: self.is_over, is_from_journal }
    }

    /// The run's file; for a job, the file of the rank whose identifier it has.
    fn file(&self) -> &Path {
        self.files.get(self.lead).map(|(file, _)| file.as_path()).unwrap_or(Path::new(""))
    }

    fn is_job(&self) -> bool {
        self.files.len() > 1 || self.report.pointer("/run/job").is_some_and(Value::is_string)
    }
}

/// True if a rank's file changed recently, compared with the job's latest file.
fn is_alive(changed: SystemTime, latest: SystemTime) -> bool {
    latest.duration_since(changed).map_or(true, |silent| silent.as_secs_f64() <= SILENCE_S)
}

/// Looks at the files and keeps the run that is shown.
struct Follower {
    path: PathBuf,
    files: WatchedFiles,
    seen: Option<WatchedRun>,
    next_look: Instant,
}

impl Follower {
    /// Looks for changes. Returns the reason if there is no run to show yet. A file that cannot become a run is an
    /// error.
    fn look(&mut self, once: bool) -> Result<Option<String>, String> {
        if Instant::now() < self.next_look {
            return Ok(None);
        }
        let begun = Instant::now();
        let looked = if self.path.is_dir() { self.look_into_folder(once) } else { self.look_at_file() };
        self.next_look = Instant::now() + begun.elapsed() * PAUSE_FACTOR;
        looked
    }

    fn look_at_file(&mut self) -> Result<Option<String>, String> {
        let Some(file) = of_one(&self.path) else { return Ok(Some(NO_FILE.into())) };
        match self.files.load(&file) {
            Ok(_) => self.take(&[file]),
            Err(Unread::Broken(why)) => return Ok(Some(why)), // it may be incomplete
            Err(Unread::Foreign) => return Err(format!("{}: not a run's journal or report", file.display())),
        }
        Ok(None)
    }

    /// Takes the run that was followed; if it is silent, the newest. A run that is over is taken only if it is to be
    /// shown once, or if it was followed before.
    fn look_into_folder(&mut self, once: bool) -> Result<Option<String>, String> {
        let followed = self.seen.as_ref().filter(|seen| !seen.view().is_silent());
        let (file, is_job) = match followed.map(|seen| (of_one(seen.file()), seen.is_job())) {
            Some((file, is_job)) => match file.filter(|file| self.files.load(file).is_ok()) {
                Some(file) => (file, is_job),
                None => return Ok(None), // it may be incomplete
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

    /// The newest run of the folder, or the reason why none is shown. Runs in progress come first.
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
                // The folder may hold other runs.
                Err(Unread::Broken(why)) => drop(reason.get_or_insert(why)),
                Err(Unread::Foreign) => (),
            }
        }
        Ok(match best {
            Some((_, true)) if !once && self.seen.is_none() => Err("no run is in progress there".into()),
            Some(((_, file), _)) => Ok(file),
            None => Err(reason.unwrap_or(NO_FILE.into())),
        })
    }

    /// Takes these files of a run, if one of them has changed.
    fn take(&mut self, files: &[PathBuf]) {
        let found: Vec<&WatchedFile> = files.iter().filter_map(|file| self.files.get(file)).collect();
        let is_unchanged = |seen: &WatchedRun| {
            seen.files.len() == found.len()
                && seen
                    .files
                    .iter()
                    .zip(&found)
                    .all(|((file, stamp), found)| (file, stamp) == (&found.file, &found.stamp))
        };
        if !found.is_empty() && !self.seen.as_ref().is_some_and(is_unchanged) {
            self.seen = Some(WatchedRun::of(&found));
        }
    }
}

/// The form of the output.
enum Display {
    /// The view, drawn over the last one.
    Screen { term: Term, drawn: Vec<String> },
    /// A line of text or JSON at each change.
    Lines { json: bool, last: String },
    /// The view, once.
    Page,
}

impl Display {
    fn new(args: &WatchArgs) -> Display {
        let term = Term::buffered_stdout();
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if args.json || !args.once && (is_dumb || !term.is_term()) {
            Display::Lines { json: args.json, last: String::new() }
        } else if args.once {
            Display::Page
        } else {
            Display::Screen { term, drawn: Vec::new() }
        }
    }

    fn show(&mut self, seen: &WatchedRun) -> io::Result<()> {
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

    /// Shows that there is no run yet, and why.
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
                json!({"schema": 1, "file": path.display().to_string(), "state": "waiting", "reason": reason})
                    .to_string(),
            ),
            Display::Lines { json: false, last } => changed(last, text),
            Display::Page => Ok(()),
        }
    }
}

/// Usable rows and columns: one less than the terminal has, so that it neither scrolls nor wraps.
fn size(term: &Term) -> (usize, usize) {
    let (rows, columns) = term.size_checked().unwrap_or((24, 80));
    (usize::from(rows).saturating_sub(1).max(1), usize::from(columns).saturating_sub(1).max(1))
}

/// Draws over the last lines in one write. The cursor stays below, visible, so that an interrupted view leaves a usable
/// terminal.
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

/// Prints a line if it differs from the last one.
fn changed(last: &mut String, line: String) -> io::Result<()> {
    if *last == line {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    *last = line;
    out.flush()
}
