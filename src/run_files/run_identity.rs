//! Who a run is and where its files go: a new one, or one that is taken up.

use super::attempt::Process;
use super::crash_counter::CrashCounter;
use super::file_io::AppendFile;
use super::paths::{self, RunPaths};
use super::resume::{self, Outcome, ResumeRequest, ResumeTurn};
use super::writer::Plan;
use crate::attribution::carried_over::CarriedOver;
use crate::attribution::epochs::Epoch;
use crate::options::Options;
use crate::os;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// A run at the start of a process.
pub struct RunIdentity {
    /// Its identifier.
    pub id: String,
    /// The user's label.
    pub name: Option<String>,
    /// When its first process made its tracker, RFC 3339.
    pub started: String,
    /// Epochs planned; 0: unknown.
    pub planned: u64,
    /// What came before.
    pub past: CarriedOver,
    /// What is to be written; None: nothing.
    pub plan: Option<Plan>,
}

impl RunIdentity {
    /// By the options, for this process. What a person should know goes to `say`.
    pub fn find(options: &Options, process: Process, say: &mut dyn FnMut(String)) -> RunIdentity {
        let asker =
            ResumeRequest { name: options.name.as_deref(), prefix: prefix(options, &options.name), process: &process };
        let outcome = options.resume.as_deref().map(|from| resume::resume(from, &asker, say));
        let mut start = RunIdentity {
            id: format!("{:016x}", os::random_u64()),
            name: options.name.clone(),
            started: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            planned: options.epochs,
            past: CarriedOver::default(),
            plan: None,
        };
        let mut files = IdentityFiles { folder: options.log_dir.clone(), ..IdentityFiles::default() };
        match outcome {
            Some(Outcome::Resumed(resumed)) => {
                let goes_on_there = files.folder.as_ref().is_none_or(|folder| is_same(folder, resumed.place.folder()));
                files.are_looked_for = resumed.is_from_folder;
                files.tally = resumed.tally;
                start = RunIdentity {
                    id: resumed.id,
                    name: start.name.or(resumed.name),
                    started: resumed.started,
                    planned: if start.planned > 0 { start.planned } else { resumed.planned },
                    past: resumed.past,
                    plan: None,
                };
                if let Some(journal) = resumed.journal.filter(|_| goes_on_there) {
                    files.written = Some(first(&start.past, resumed.written));
                    (files.journal, files.place, files.turn) = (Some(journal), Some(resumed.place), resumed.turn);
                }
            }
            Some(Outcome::Begins(there, theirs)) => (files.journal, files.place) = (theirs, Some(there)),
            Some(Outcome::BeginsIn(from)) => {
                files.are_looked_for = from.is_some();
                files.folder = files.folder.or(from);
            }
            None => (),
        }
        if let Some(folder) = files.folder.as_deref().filter(|_| files.place.is_none()) {
            let prefix = prefix(options, &start.name);
            warn_of_prefix(prefix, options, say);
            files.place = Some(match files.are_looked_for {
                true => asker.place(folder).free(),
                false => RunPaths::new(folder, prefix, &process.host, &start.started, &start.id),
            });
        }
        let prometheus = options.prometheus.as_deref().map(|path| in_folder(path, &start.id));
        start.plan = files.plan(&start, prometheus, process);
        start
    }
}

/// The files of a run, as far as they are known.
#[derive(Default)]
struct IdentityFiles {
    /// Where new ones go; None: nowhere.
    folder: Option<PathBuf>,
    /// Later processes look for them there, so their names can be computed.
    are_looked_for: bool,
    place: Option<RunPaths>,
    journal: Option<AppendFile>,
    /// The epochs that have a line in the journal.
    written: Option<Epoch>,
    tally: Option<CrashCounter>,
    turn: Option<ResumeTurn>,
}

impl IdentityFiles {
    fn plan(self, start: &RunIdentity, prometheus: Option<PathBuf>, process: Process) -> Option<Plan> {
        let IdentityFiles { place, journal, written, tally, turn, .. } = self;
        if place.is_none() {
            tally.iter().for_each(CrashCounter::remove);
            prometheus.as_ref()?;
        }
        let (life, written) = (start.past.attempts + 1, written.unwrap_or(Epoch::none()));
        let tally =
            place.as_ref().and_then(|_| tally.or_else(|| CrashCounter::open(&start.id, life).ok())).map(Arc::new);
        Some(Plan { place, journal, written, life, before: start.past.epochs_done(), process, prometheus, tally, turn })
    }
}

/// How the names of the files of a run of this name begin.
fn prefix<'a>(options: &'a Options, name: &'a Option<String>) -> &'a str {
    options.log_prefix.as_ref().or(name.as_ref()).map_or("run", String::as_str)
}

/// Reports where the files' names differ from what the user chose.
fn warn_of_prefix(prefix: &str, options: &Options, say: &mut dyn FnMut(String)) {
    let plain = paths::in_a_name(prefix);
    if plain != prefix {
        let key = if options.log_prefix.is_some() { "log_prefix" } else { "name" };
        say(format!("{key}='{prefix}' cannot stand in a file's name: the run's files begin with {plain}"));
    }
}

/// The first so many epochs as one.
fn first(past: &CarriedOver, epochs: u64) -> Epoch {
    let none = Epoch::none();
    let all = past.epochs.iter().scan(0, |count, epoch| {
        *count += epoch.count;
        (*count <= epochs).then_some(epoch)
    });
    all.fold(none, |all, epoch| all.joined(epoch))
}

fn is_same(one: &Path, other: &Path) -> bool {
    one == other || one.canonicalize().ok().zip(other.canonicalize().ok()).is_some_and(|(one, other)| one == other)
}

/// A file, or where a folder is named one in it, which no other run has.
fn in_folder(path: &Path, id: &str) -> PathBuf {
    let is_folder = path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/');
    if is_folder { path.join(format!("carbontracker_{id}{}", paths::PROMETHEUS)) } else { path.to_owned() }
}
