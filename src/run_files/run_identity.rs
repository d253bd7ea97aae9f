//! The identifier of a run and the paths of its files, for a new run or a resumed one.

use super::attempt::Process;
use super::config::RunFilesConfig;
use super::crash_counter::CrashCounter;
use super::file_io::AppendFile;
use super::paths::{self, RunPaths};
use super::resume::{self, Outcome, ResumeRequest, ResumeTurn};
use super::writer::Plan;
use crate::attribution::carried_over::CarriedOver;
use crate::attribution::epochs::Epoch;
use crate::os;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The run at the start of this attempt.
pub struct RunIdentity {
    /// Identifier, 16 hexadecimal digits.
    pub id: String,
    /// The user's label. None: it has none.
    pub name: Option<String>,
    /// Time when the first attempt created its tracker, RFC 3339.
    pub started: String,
    /// Planned epochs. 0: unknown.
    pub planned: u64,
    /// What the earlier attempts measured. Empty for a new run.
    pub carried_over: CarriedOver,
    /// The files to write. None: the run has no files.
    pub plan: Option<Plan>,
}

impl RunIdentity {
    /// Finds the run that the options name, or begins a new one. Messages for the user go to `notify`.
    pub fn find(
        options: &RunFilesConfig,
        planned: u64,
        process: Process,
        notify: &mut dyn FnMut(String),
    ) -> RunIdentity {
        let request =
            ResumeRequest { name: options.name.as_deref(), prefix: prefix(options, &options.name), process: &process };
        let outcome = options.resume.as_deref().map(|from| resume::resume(from, &request, notify));
        let mut start = RunIdentity {
            id: format!("{:016x}", os::random_u64()),
            name: options.name.clone(),
            started: humantime::format_rfc3339_seconds(os::date()).to_string(),
            planned,
            carried_over: CarriedOver::default(),
            plan: None,
        };
        let (folder, is_brief) = (options.log_dir.clone(), options.is_brief);
        let mut files = IdentityFiles { folder, is_brief, ..IdentityFiles::default() };
        match outcome {
            Some(Outcome::Resumed(resumed)) => {
                let continues_journal =
                    files.folder.as_ref().is_none_or(|folder| is_same(folder, resumed.paths.folder()));
                files.are_searched = resumed.is_from_folder;
                files.crash_counter = resumed.crash_counter;
                start = RunIdentity {
                    id: resumed.id,
                    name: start.name.or(resumed.name),
                    started: resumed.started,
                    planned: if start.planned > 0 { start.planned } else { resumed.planned },
                    carried_over: resumed.carried_over,
                    plan: None,
                };
                if let Some(journal) = resumed.journal.filter(|_| continues_journal) {
                    files.written = Some(first(&start.carried_over, resumed.written));
                    (files.journal, files.paths, files.turn) = (Some(journal), Some(resumed.paths), resumed.turn);
                }
            }
            Some(Outcome::Begins(there, theirs)) => (files.journal, files.paths) = (theirs, Some(there)),
            Some(Outcome::BeginsIn(from)) => {
                files.are_searched = from.is_some();
                files.folder = files.folder.or(from);
            }
            None => (),
        }
        if let Some(folder) = files.folder.as_deref().filter(|_| files.paths.is_none()) {
            let prefix = prefix(options, &start.name);
            if !options.is_brief {
                warn_of_prefix(prefix, options, notify);
            }
            files.paths = Some(match files.are_searched {
                true => request.paths(folder).free(),
                false => RunPaths::new(folder, prefix, &process.host, &start.started, &start.id),
            });
        }
        let prometheus = options.prometheus.as_deref().map(|path| in_folder(path, &start.id));
        start.plan = files.plan(&start, prometheus, process);
        start
    }
}

/// The files of a run, as far as they are known yet.
#[derive(Default)]
struct IdentityFiles {
    /// The folder for new files. None: no files.
    folder: Option<PathBuf>,
    /// Later attempts search for the files in the folder, so the names must be computable.
    are_searched: bool,
    paths: Option<RunPaths>,
    journal: Option<AppendFile>,
    /// The epochs that have a line in the journal, as one. None: no journal is continued.
    written: Option<Epoch>,
    crash_counter: Option<CrashCounter>,
    turn: Option<ResumeTurn>,
    is_brief: bool,
}

impl IdentityFiles {
    fn plan(self, start: &RunIdentity, prometheus: Option<PathBuf>, process: Process) -> Option<Plan> {
        let IdentityFiles { paths, journal, written, crash_counter, turn, is_brief, .. } = self;
        if paths.is_none() {
            crash_counter.iter().for_each(CrashCounter::remove);
            prometheus.as_ref()?;
        }
        let (attempt, written) = (start.carried_over.attempts + 1, written.unwrap_or(Epoch::none()));
        let crash_counter = paths
            .as_ref()
            .and_then(|_| crash_counter.or_else(|| CrashCounter::open(&start.id, attempt).ok()))
            .map(Arc::new);
        Some(Plan {
            paths,
            journal,
            written,
            attempt,
            epochs_before: start.carried_over.epochs_done(),
            process,
            prometheus,
            crash_counter,
            is_brief,
            turn,
        })
    }
}

/// The beginning of the file names of a run of this name.
pub fn prefix<'a>(options: &'a RunFilesConfig, name: &'a Option<String>) -> &'a str {
    options.log_prefix.as_ref().or(name.as_ref()).map_or("run", String::as_str)
}

/// Sends a message if the file names differ from what the user chose.
fn warn_of_prefix(prefix: &str, options: &RunFilesConfig, notify: &mut dyn FnMut(String)) {
    let plain = paths::name_part(prefix);
    if plain != prefix {
        let key = if options.log_prefix.is_some() { "log_prefix" } else { "name" };
        notify(format!("{key}='{prefix}' is no valid file name: the names of the run's files begin with {plain}"));
    }
}

/// The first `epochs` epochs, joined into one.
fn first(carried_over: &CarriedOver, epochs: u64) -> Epoch {
    let none = Epoch::none();
    let all = carried_over.epochs.iter().scan(0, |count, epoch| {
        *count += epoch.count;
        (*count <= epochs).then_some(epoch)
    });
    all.fold(none, |all, epoch| all.joined(epoch))
}

/// Whether two paths lead to one folder.
pub fn is_same(one: &Path, other: &Path) -> bool {
    one == other || one.canonicalize().ok().zip(other.canonicalize().ok()).is_some_and(|(one, other)| one == other)
}

/// The path of Prometheus' file. If the path is a folder, it is a file in it that no other run has.
fn in_folder(path: &Path, id: &str) -> PathBuf {
    let is_folder = path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/');
    if is_folder { path.join(format!("carbontracker_{id}{}", paths::PROMETHEUS)) } else { path.to_owned() }
}
