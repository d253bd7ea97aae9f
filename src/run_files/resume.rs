//! Resumes a run: finds its journal, checks that no other process writes it, and reads what earlier attempts measured.
//!
//! `open.rs` opens one journal, `look_up.rs` finds the run's journal in a folder, `turn.rs` excludes other
//! processes meanwhile.

mod look_up;
mod open;
mod turn;

pub(super) use open::are_locks_shared;

pub use turn::ResumeTurn;

use super::attempt::Process;
use super::crash_counter::CrashCounter;
use super::file_io::AppendFile;
use super::journal::Journal;
use super::paths::{JOURNAL, RunPaths};
use crate::attribution::carried_over::CarriedOver;
use crate::units::Amount;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The opening line of a journal is within this many bytes. A larger file without one is not a journal.
pub(super) const MAX_HEAD_BYTES: u64 = 1 << 20;

/// A run that is resumed.
pub struct Resumed {
    /// Identifier of the run.
    pub id: String,
    /// The user's label of the run.
    pub name: Option<String>,
    /// Time when the first attempt began, RFC 3339.
    pub started: String,
    /// Planned epochs. 0: unknown.
    pub planned: u64,
    /// What the earlier attempts measured.
    pub carried_over: CarriedOver,
    /// The paths of its files.
    pub paths: RunPaths,
    /// The journal to continue. None: this user may only read it.
    pub journal: Option<AppendFile>,
    /// Number of epochs that have a line in the journal.
    pub written: u64,
    /// The crash counter of this attempt. None: there is no shared memory, or nothing is written.
    pub crash_counter: Option<CrashCounter>,
    /// This process's turn to write its first line. None: locks exclude other processes.
    pub turn: Option<ResumeTurn>,
    /// The journal was found in a folder.
    pub is_from_folder: bool,
    /// The last attempt ended in order.
    is_ended: bool,
}

/// The run that a process asks for.
pub struct ResumeRequest<'a> {
    /// The user's label of the run. None: it has none.
    pub name: Option<&'a str>,
    /// The beginning of the run's file names.
    pub prefix: &'a str,
    /// The process that asks.
    pub process: &'a Process,
}

impl ResumeRequest<'_> {
    /// Whether a run has this name and rank.
    fn matches(&self, run: &Journal) -> bool {
        run.name.as_deref() == self.name && run.process.rank.number == self.process.rank.number
    }

    /// The first paths of such runs in a folder.
    pub fn paths(&self, folder: &Path) -> RunPaths {
        RunPaths::computed(folder, self.prefix, self.process.rank.number)
    }
}

/// A resumed run, and the flaws of its journal.
type FoundRun = (Resumed, Vec<String>);

/// The result of [`resume`].
pub enum Outcome {
    /// The run is resumed.
    Resumed(Box<Resumed>),
    /// The journal does not exist or is empty: a new run begins, with these paths. The file is the empty journal.
    Begins(RunPaths, Option<AppendFile>),
    /// There is no run to resume: a new one begins, with its files in `log_dir`, or else in this folder.
    BeginsIn(Option<PathBuf>),
}

/// Resumes the run of a journal, or the newest unfinished run of this name and rank in a folder. Messages for the user
/// go to `notify`. On a fault a new run begins, and existing files are not changed.
pub fn resume(from: &Path, request: &ResumeRequest, notify: &mut dyn FnMut(String)) -> Outcome {
    let shown = from.display();
    let is_folder = match std::fs::metadata(from) {
        Ok(there) => Ok(there.is_dir()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Refusal::Other(error.to_string())),
    };
    let found =
        is_folder.and_then(
            |is_folder| if is_folder { look_up::newest(from, request, notify) } else { open::named(from, request) },
        );
    // A missing path without a journal's ending is a folder that does not exist yet.
    let is_journal = from.to_string_lossy().ends_with(JOURNAL);
    let found =
        found.map_err(|why| if is_journal || !matches!(why, Refusal::Missing) { why } else { Refusal::Nothing });
    match found {
        Ok(resumed) => announce(resumed, notify),
        Err(Refusal::Unread(why)) => {
            notify(format!(
                "resume={shown}: {why}. A run in it may be missed: a new one begins. Fix: let this user read the folder and its journals, or name the run's journal"
            ));
            Outcome::BeginsIn(Some(from.to_owned()))
        }
        Err(Refusal::Nothing) => {
            let folder = if from.exists() { "" } else { ", which is created unless log_dir= names another" };
            notify(format!(
                "resume={shown}: no unfinished run of this name and rank is in that folder{folder}: a new one begins"
            ));
            Outcome::BeginsIn(Some(from.to_owned()))
        }
        Err(Refusal::Doubtful(why)) => {
            notify(format!("resume={shown}: {why}. That run is left alone, and a new one begins"));
            Outcome::BeginsIn(Some(from.to_owned()))
        }
        Err(Refusal::Missing) => {
            notify(format!(
                "resume={shown}: there is no such journal yet: a new run begins and writes its journal there"
            ));
            Outcome::Begins(RunPaths::of_journal(from), None)
        }
        Err(Refusal::Unwritten(journal)) => Outcome::Begins(RunPaths::of_journal(from), Some(journal)),
        Err(Refusal::Failed(error)) => refuse(from, &error, notify),
        Err(Refusal::Over) => refuse(from, &"its run is over", notify),
        Err(Refusal::Unsure(why) | Refusal::Other(why)) => refuse(from, &why, notify),
    }
}

fn refuse(from: &Path, why: &dyn std::fmt::Display, notify: &mut dyn FnMut(String)) -> Outcome {
    notify(format!(
        "resume={}: {why}. It is left as it is, and a new run begins with its files in log_dir=",
        from.display()
    ));
    Outcome::BeginsIn(None)
}

/// Sends the messages about a resumed run.
fn announce((resumed, flaws): FoundRun, notify: &mut dyn FnMut(String)) -> Outcome {
    let journal = resumed.paths.file(JOURNAL);
    flaws.iter().for_each(|flaw| notify(format!("{}: {flaw}", journal.display())));
    let done = resumed.carried_over.epochs_done();
    let planned = if resumed.planned > 0 { format!(" of {}", resumed.planned) } else { String::new() };
    let error = resumed.carried_over.error();
    let used =
        resumed.carried_over.energy_j.map_or("energy unknown".into(), |joules| Amount::Energy.with(joules, error));
    notify(format!("resumed run {}: {done}{planned} epochs are done, {used} used so far", resumed.id));
    if resumed.journal.is_none() {
        notify(format!(
            "{} can only be read: the journal will miss what follows. Fix: let this user write it, or set log_dir= to another folder for a whole journal",
            journal.display()
        ));
    }
    Outcome::Resumed(Box::new(resumed))
}

/// Why no run is resumed.
enum Refusal {
    /// The journal does not exist.
    Missing,
    /// The folder has no journal of this run.
    Nothing,
    /// The folder or a file in it could not be read.
    Unread(String),
    /// The journal is empty: the first attempt was killed before it wrote a line.
    Unwritten(AppendFile),
    /// The only journal of this run in the folder may be in use.
    Doubtful(String),
    /// The run is over: it ended, with all planned epochs done.
    Over,
    /// The process of the last attempt may still run.
    Unsure(String),
    /// The journal could not be opened or read.
    Failed(io::Error),
    /// The journal must not be continued, for this reason.
    Other(String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        match error.kind() {
            ErrorKind::NotFound => Refusal::Missing,
            _ => Refusal::Failed(error),
        }
    }
}

impl Resumed {
    fn is_finished(&self) -> bool {
        if self.planned > 0 { self.carried_over.epochs_done() >= self.planned } else { self.is_ended }
    }
}
