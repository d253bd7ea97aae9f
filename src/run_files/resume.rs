//! Taking a run up: finds its journal, sees that it is this run's and nobody else's, and reads what came before.
//!
//! `open.rs` takes one journal up, `look_up.rs` finds this run's in a folder, `turn.rs` keeps others out meanwhile.

mod look_up;
mod open;
mod turn;

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

/// A journal opens a run within this many bytes: a file that does not, as large as it may be, is none.
const HEAD: u64 = 1 << 20;

/// A run that was taken up.
pub struct Resumed {
    /// Its identifier.
    pub id: String,
    /// Its label.
    pub name: Option<String>,
    /// When it began, RFC 3339.
    pub started: String,
    /// Epochs planned; 0: unknown.
    pub planned: u64,
    /// What came before.
    pub past: CarriedOver,
    /// Its files.
    pub place: RunPaths,
    /// Its journal, to be gone on with; None where this user may only read it.
    pub journal: Option<AppendFile>,
    /// This many epochs have a line there.
    pub written: u64,
    /// This process's count of ended epochs; None where it cannot be kept, or nothing is written.
    pub tally: Option<CrashCounter>,
    /// This process's turn to write its first line, where locks do not show who writes.
    pub turn: Option<ResumeTurn>,
    /// It was looked for in a folder.
    pub is_from_folder: bool,
    /// Its last process ended in order.
    is_ended: bool,
}

/// Who asks.
pub struct ResumeRequest<'a> {
    /// The run's label, if it has one.
    pub name: Option<&'a str>,
    /// How the names of the run's files begin.
    pub prefix: &'a str,
    /// The process.
    pub process: &'a Process,
}

impl ResumeRequest<'_> {
    /// Whether a journal is of a run of this name and rank.
    fn is_of(&self, run: &Journal) -> bool {
        run.name.as_deref() == self.name && run.process.rank.number == self.process.rank.number
    }

    /// The first place of such runs in a folder.
    pub fn place(&self, folder: &Path) -> RunPaths {
        RunPaths::computed(folder, self.prefix, self.process.rank.number)
    }
}

/// A run that was taken up, and what is wrong with its journal.
type FoundRun = (Resumed, Vec<String>);

/// What became of it.
pub enum Outcome {
    /// The run goes on.
    Resumed(Box<Resumed>),
    /// There is none yet: it begins, with its files here.
    Begins(RunPaths, Option<AppendFile>),
    /// There is none that it could be: it begins, with its files in the folder of logs, or else in this one.
    BeginsIn(Option<PathBuf>),
}

/// Takes up the run of a journal, or the newest unfinished one of this name and rank in a folder. What a person should know
/// goes to `say`; whatever is wrong, the run begins anew and nothing that is there is touched.
pub fn resume(from: &Path, asker: &ResumeRequest, say: &mut dyn FnMut(String)) -> Outcome {
    let shown = from.display();
    let is_folder = match std::fs::metadata(from) {
        Ok(there) => Ok(there.is_dir()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Refusal::Other(error.to_string())),
    };
    let found = is_folder
        .and_then(|is_folder| if is_folder { look_up::newest(from, asker, say) } else { open::named(from, asker) });
    // What has no journal's name is a folder that is not there yet.
    let is_journal = from.to_string_lossy().ends_with(JOURNAL);
    let found =
        found.map_err(|why| if is_journal || !matches!(why, Refusal::Missing) { why } else { Refusal::Nothing });
    match found {
        Ok(resumed) => went_on(resumed, say),
        Err(Refusal::Unread(why)) => {
            say(format!(
                "resume={shown}: {why}. A run that it may hold is not taken up: a new one begins. Cure: see that this user can read the folder and its journals, or name the journal of that run"
            ));
            Outcome::BeginsIn(Some(from.to_owned()))
        }
        Err(Refusal::Nothing) => {
            let place = if from.exists() { "" } else { ", which is made where log_dir= names no other" };
            say(format!(
                "resume={shown}: no unfinished run of this name and rank is in that folder{place}: a new one begins"
            ));
            Outcome::BeginsIn(Some(from.to_owned()))
        }
        Err(Refusal::Doubtful(why)) => {
            say(format!("resume={shown}: {why}. That run is left alone, and a new one begins"));
            Outcome::BeginsIn(Some(from.to_owned()))
        }
        Err(Refusal::Missing) => {
            say(format!("resume={shown}: it is not there yet: a new run begins, and keeps its journal there"));
            Outcome::Begins(RunPaths::of_journal(from), None)
        }
        Err(Refusal::Unwritten(journal)) => Outcome::Begins(RunPaths::of_journal(from), Some(journal)),
        Err(Refusal::Failed(error)) => refuse(from, &error, say),
        Err(Refusal::Over) => refuse(from, &"its run is over", say),
        Err(Refusal::Unsure(why) | Refusal::Other(why)) => refuse(from, &why, say),
    }
}

fn refuse(from: &Path, why: &dyn std::fmt::Display, say: &mut dyn FnMut(String)) -> Outcome {
    say(format!(
        "resume={}: {why}. It is left as it is, and a new run begins, whose files are written where log_dir= says",
        from.display()
    ));
    Outcome::BeginsIn(None)
}

fn went_on((resumed, flaws): (Resumed, Vec<String>), say: &mut dyn FnMut(String)) -> Outcome {
    let journal = resumed.place.file(JOURNAL);
    flaws.iter().for_each(|flaw| say(format!("{}: {flaw}", journal.display())));
    let done = resumed.past.epochs_done();
    let planned = if resumed.planned > 0 { format!(" of {}", resumed.planned) } else { String::new() };
    let error = resumed.past.error();
    let used = resumed.past.energy_j.map_or("energy unknown".into(), |joules| Amount::Energy.with(joules, error));
    say(format!("resumed run {}: {done}{planned} epochs are done, {used} used so far", resumed.id));
    if resumed.journal.is_none() {
        say(format!(
            "{} can only be read: what comes now is not in it. Cure: let this user write it, or say log_dir= of another folder, where a whole journal is kept then",
            journal.display()
        ));
    }
    Outcome::Resumed(Box::new(resumed))
}

enum Refusal {
    /// No journal is there yet,
    Missing,
    /// or in the folder none of this run's.
    Nothing,
    /// Something in the folder could not be read.
    Unread(String),
    /// Its first process was killed before it wrote a line.
    Unwritten(AppendFile),
    /// The only one in the folder may be in use.
    Doubtful(String),
    /// It was planned to have no more epochs.
    Over,
    /// Its process may live.
    Unsure(String),
    /// It could not be opened or read.
    Failed(io::Error),
    /// It is not to be taken up.
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
        if self.planned > 0 { self.past.epochs_done() >= self.planned } else { self.is_ended }
    }
}
