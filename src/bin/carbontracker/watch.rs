//! A live view of a run, from the file that it writes.

use crate::runs::{self, Unread};
use crate::view::View;
use carbontracker::clean;
use console::Term;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::fs::Metadata;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Watch a run: progress, power, energy, CO2e, forecast, time left
#[derive(clap::Args)]
#[command(after_help = FILES)]
pub struct Watch {
    /// The run's journal or report, which may be still to come; or a folder, for its newest run that is going on
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
/// A file that takes long to read is left alone for so many times as long: at most a twentieth of a core.
const REST: u32 = 20;

/// Follows the run to its end.
pub fn follow(asked: &Watch) -> Result<(), String> {
    let mut follower = Follower { path: asked.path.clone(), seen: None, rested: Instant::now() };
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

/// A run as its file has it.
struct Seen {
    file: PathBuf,
    stamp: Stamp,
    report: Value,
    is_over: bool,
}

impl Seen {
    fn view(&self) -> View<'_> {
        let seconds = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let (told, now) = (seconds(self.stamp.changed), seconds(SystemTime::now()));
        let is_from_journal = runs::has_ending(&self.file, "jsonl");
        View { report: &self.report, told, now, is_over: self.is_over, is_from_journal }
    }
}

/// What changes when a file does, or another takes its place.
#[derive(PartialEq)]
struct Stamp {
    changed: SystemTime,
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp { changed: runs::changed(metadata), length: metadata.len(), inode: metadata.ino() }
    }
}

/// What there is to read, and what was read last.
struct Follower {
    path: PathBuf,
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
        let looked = self.read(once);
        self.rested = Instant::now() + begun.elapsed() * REST;
        looked
    }

    fn read(&mut self, once: bool) -> Result<Option<String>, String> {
        let is_folder = self.path.is_dir();
        let followed = self.seen.as_ref().filter(|seen| is_folder && !seen.view().is_silent()).map(|seen| &seen.file);
        let files = match followed {
            Some(followed) => Vec::from_iter(of_one(followed)),
            None if is_folder => newest_first(&self.path)?,
            None => Vec::from_iter(of_one(&self.path)),
        };
        let mut reason = None;
        for file in files {
            match self.take(&file, is_folder && !once) {
                Ok(told) => return Ok(told),
                // It may be being written; in a folder others are read meanwhile.
                Err(Unread::Broken(why)) => drop(reason.get_or_insert(why)),
                Err(Unread::Foreign) if is_folder => (),
                Err(Unread::Foreign) => return Err(format!("{}: no run's journal or report", file.display())),
            }
        }
        Ok(reason.or_else(|| Some("nothing is there yet".into())))
    }

    /// Reads a file that has changed; returns why there is nothing to show of it yet. With `awaits_one` a run that is over is
    /// shown only after one was seen to go on.
    fn take(&mut self, file: &Path, awaits_one: bool) -> Result<Option<String>, Unread> {
        let broken = |error: io::Error| Unread::Broken(format!("{}: {error}", file.display()));
        let stamp = Stamp::of(&file.metadata().map_err(broken)?);
        if self.seen.as_ref().is_some_and(|seen| seen.file == file && seen.stamp == stamp) {
            return Ok(None);
        }
        let report = runs::read(file)?.report;
        let is_over = runs::word(&report, "/run/state") == Some("done") || is_last(file);
        if is_over && awaits_one && self.seen.is_none() {
            return Ok(Some("no run is going on there".into()));
        }
        self.seen = Some(Seen { file: file.to_owned(), stamp, report, is_over });
        Ok(None)
    }
}

/// Whether a file is the report that closes a journal.
fn is_last(file: &Path) -> bool {
    runs::has_ending(file, "json") && file.with_extension("jsonl").exists() && runs::is_final(file)
}

/// Of a run's two files the one that tells more.
fn of_one(file: &Path) -> Option<PathBuf> {
    let is_ours = runs::has_ending(file, "json") || runs::has_ending(file, "jsonl");
    let [report, journal] = ["json", "jsonl"].map(|ending| file.with_extension(ending));
    let files = if runs::is_final(&report) { [report, journal] } else { [journal, report] };
    let files = if is_ours { files.to_vec() } else { vec![file.to_owned()] };
    files.into_iter().find(|file| file.exists())
}

/// The files of a folder, the newest first, journals that go on before reports.
fn newest_first(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let at = |file: &PathBuf| file.metadata().as_ref().map(runs::changed).ok();
    let mut files = runs::of_folder(dir)?;
    files.sort_by_cached_key(|file| Reverse((runs::has_ending(file, "jsonl"), at(file))));
    Ok(files)
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
                changed(last, view.json(&seen.file.display().to_string()).to_string())
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
        let text = clean::text(format!("waiting for {}: {reason}", path.display()));
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
