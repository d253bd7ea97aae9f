//! Finds this run's journal in a folder by a name that each rank can compute. The folder may hold journals of ten
//! thousand ranks.
//!
//! Files of other users and links are ignored, because others may write into the folder.

use super::{FoundRun, MAX_HEAD_BYTES, Refusal, ResumeRequest, open};
use crate::os::Instant;
use crate::os::text;
use crate::run_files::atomic_replace::FileOwner;
use crate::run_files::attempt::Process;
use crate::run_files::file_io::AppendFile;
use crate::run_files::journal::{Journal, OPENING};
use crate::run_files::paths::{self, Age, JOURNAL, RunPaths};
use serde_json::Value;
use std::collections::HashSet;
use std::fs::{DirEntry, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most journals of one stem that are checked, newest first. Other processes of the job may have resumed the newest.
const MAX_JOURNALS: usize = 100;
/// Most journals of one stem that are checked after a restart by the batch system, because the job's own
/// journal is there.
const MAX_JOURNALS_OF_RESTART: usize = 1000;
/// After this many finished runs in a row, all names in the folder are read instead.
const MAX_FINISHED_IN_A_ROW: usize = 8;
/// Longest time that the application waits for the search.
const MAX_SEARCH_TIME: Duration = Duration::from_secs(10);
/// The last line of a journal is within this many bytes of its end.
const MAX_TAIL_BYTES: u64 = 1 << 16;

/// Resumes the newest run in a folder that matches the request: of this user, name and rank, unfinished, and without a
/// living process. Runs of the same job come first. Messages for the user go to `notify`.
pub fn newest(folder: &Path, request: &ResumeRequest, notify: &mut dyn FnMut(String)) -> Result<FoundRun, Refusal> {
    let mut search = RunSearch::new(folder, request);
    let newest = request.paths(folder).newest().map_err(|error| Refusal::Unread(error.to_string()))?;
    let mut found = newest.and_then(|newest| {
        let is_restart = request.process.restarts.is_some_and(|restarts| restarts > 0);
        let (max, max_over) =
            if is_restart { (MAX_JOURNALS_OF_RESTART, usize::MAX) } else { (MAX_JOURNALS, MAX_FINISHED_IN_A_ROW) };
        let candidates = std::iter::once(newest.clone()).chain(newest.earlier());
        search.among(candidates.take(max), max_over)
    });
    if found.is_none() {
        found = search.by_names()?;
    }
    match (found, search.unread, search.doubt) {
        (Some(found), _, doubt) => {
            let shown = folder.display();
            if let Some(why) = doubt {
                notify(format!("resume={shown}: {why}. An earlier run is resumed instead"));
            }
            Ok(found)
        }
        (None, _, Some(why)) => Err(Refusal::Doubtful(why)),
        (None, Some(why), None) => Err(Refusal::Unread(why)),
        (None, None, None) => Err(Refusal::Nothing),
    }
}

/// A search in a folder.
struct RunSearch<'a> {
    folder: &'a Path,
    request: &'a ResumeRequest<'a>,
    owner: FileOwner<'a>,
    /// The first file that could not be read, and why.
    unread: Option<String>,
    /// The first journal that may be in use, and why.
    doubt: Option<String>,
    /// The journals that were checked.
    seen: HashSet<PathBuf>,
    /// Identifiers of the runs of this user, name and rank that were checked. A second journal of a run is a copy.
    runs: HashSet<String>,
    deadline: Instant,
}

/// What the first and last lines of a journal show about its run.
enum Sight {
    /// The run is not of this user, name and rank.
    Other,
    /// The run is over, or this process writes it.
    Over,
    /// The run may continue.
    Unfinished { is_of_job: bool },
}

impl<'a> RunSearch<'a> {
    fn new(folder: &'a Path, request: &'a ResumeRequest<'a>) -> RunSearch<'a> {
        let (owner, seen, runs) = (FileOwner::of(folder), HashSet::new(), HashSet::new());
        RunSearch {
            folder,
            request,
            owner,
            unread: None,
            doubt: None,
            seen,
            runs,
            deadline: Instant::now() + MAX_SEARCH_TIME,
        }
    }

    /// Resumes the first of these runs that can be resumed. Runs of this job come first. After `max_over` finished runs
    /// in a row the search ends.
    fn among(&mut self, candidates: impl Iterator<Item = RunPaths>, max_over: usize) -> Option<FoundRun> {
        let (mut others, mut over) = (Vec::new(), 0);
        for paths in candidates {
            if over >= max_over {
                break;
            }
            if Instant::now() >= self.deadline {
                let (seconds, seen) = (MAX_SEARCH_TIME.as_secs(), self.seen.len());
                self.note(self.folder, &format!("the search ended after {seconds} s, with {seen} journals checked"));
                break;
            }
            let path = paths.file(JOURNAL);
            if !self.seen.insert(path.clone()) {
                continue;
            }
            let sight = self.sight(&path);
            over = if matches!(sight, Ok(Sight::Unfinished { .. })) { 0 } else { over + 1 };
            match sight {
                Ok(Sight::Unfinished { is_of_job: false }) => {
                    // A process without a job prefers no run.
                    if self.request.process.job.is_some() {
                        others.push(paths);
                    } else if let Some(found) = self.open(paths) {
                        return Some(found);
                    }
                }
                Ok(Sight::Unfinished { is_of_job: true }) => {
                    if let Some(found) = self.open(paths) {
                        return Some(found);
                    }
                }
                Ok(Sight::Over | Sight::Other) => (),
                // The file was moved away.
                Err(error) if error.kind() == ErrorKind::NotFound => (),
                Err(error) => self.note(&path, &error),
            }
        }
        others.into_iter().find_map(|paths| self.open(paths))
    }

    fn open(&mut self, paths: RunPaths) -> Option<FoundRun> {
        let path = paths.file(JOURNAL);
        match open::unfinished(paths, &path, self.request) {
            Ok(found) => return Some(found),
            Err(Refusal::Failed(error)) => self.note(&path, &error),
            Err(Refusal::Unsure(why)) => {
                self.doubt.get_or_insert_with(|| format!("{}: {why}", path.display()));
            }
            Err(_) => (),
        }
        None
    }

    fn note(&mut self, path: &Path, error: &dyn std::fmt::Display) {
        self.unread.get_or_insert_with(|| format!("{}: {error}", path.display()));
    }

    /// Searches all names in the folder that were not checked yet. It finds older runs, renamed journals, and names of
    /// another form: from `log_dir=` alone, an earlier version or another prefix.
    fn by_names(&mut self) -> Result<Option<FoundRun>, Refusal> {
        let entries = std::fs::read_dir(self.folder).map_err(|error| Refusal::Unread(error.to_string()))?;
        let first = self.request.paths(self.folder);
        let mut journals: Vec<(Age, PathBuf)> = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) => journals.extend(self.age_of(&first, &entry).map(|age| (age, entry.path()))),
                Err(error) => self.unread = self.unread.take().or(Some(error.to_string())),
            }
        }
        journals.sort_by(|a, b| b.cmp(a));
        let candidates = journals.into_iter().map(|(age, path)| match age {
            Age::Computed(number) => first.numbered(number),
            Age::Started(..) | Age::Written(_) => RunPaths::of_journal(&path),
        });
        Ok(self.among(candidates, usize::MAX))
    }

    /// The age of a file that may be this run's journal. None: it cannot be. Runs without a name are recognised by
    /// their file names only.
    fn age_of(&self, first: &RunPaths, entry: &DirEntry) -> Option<Age> {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_of_rank = || paths::may_be_of_rank(&name, self.request.process.rank.number);
        first.age_of(self.request.prefix, &name).or_else(|| {
            let may_be = self.request.name.is_some() && name.ends_with(JOURNAL) && is_of_rank();
            may_be.then(|| entry.metadata().and_then(|there| there.modified()).ok().map(Age::Written))?
        })
    }

    /// Reads the first and last lines of a journal. Whole journals would take too long in a folder full of
    /// finished runs.
    fn sight(&mut self, path: &Path) -> io::Result<Sight> {
        let there = std::fs::symlink_metadata(path)?;
        if !there.is_file() || !self.owner.is(there.uid()) {
            return Ok(Sight::Other);
        }
        // Closing a second descriptor would release this process's lock.
        if AppendFile::is_ours(&there) {
            return Ok(Sight::Over);
        }
        let (file, length) = (text::open_unlinked(path)?, there.len());
        let head = piece(&file, 0, length.min(MAX_TAIL_BYTES))?;
        let is_whole = head.len() as u64 == length || head.contains(&b'\n');
        let head = if is_whole { head } else { piece(&file, 0, length.min(MAX_HEAD_BYTES))? };
        let line = head.split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
        let Some(run) = Journal::parse(line).ok().filter(|run| self.request.matches(run)) else {
            return Ok(Sight::Other);
        };
        if !self.runs.insert(run.id) {
            return Ok(Sight::Other);
        }
        let is_whole = length <= MAX_TAIL_BYTES;
        let tail = if is_whole { head } else { piece(&file, length - MAX_TAIL_BYTES, MAX_TAIL_BYTES)? };
        if is_over(&tail) {
            return Ok(Sight::Over);
        }
        let this = self.request.process;
        let is_of_job = run.process.is_of_job(this)
            || this.job.is_some()
                && last_process(&if is_whole { tail } else { piece(&file, 0, length)? }).is_of_job(this);
        Ok(Sight::Unfinished { is_of_job })
    }
}

/// The process of the last attempt in a journal.
fn last_process(journal: &[u8]) -> Process {
    let opening = journal.split(|&byte| byte == b'\n').rfind(|line| line.starts_with(OPENING));
    let line = opening.and_then(|line| serde_json::from_slice::<Value>(line).ok());
    line.map_or_else(Process::default, |line| Process::of_opening(&line))
}

/// The `bytes` bytes of a file from offset `from` on, or fewer at its end.
fn piece(file: &File, from: u64, bytes: u64) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; usize::try_from(bytes).unwrap_or(0)];
    let read = file.read_at(&mut piece, from)?;
    piece.truncate(read);
    Ok(piece)
}

/// Whether the last line of a journal shows that the run is over.
fn is_over(tail: &[u8]) -> bool {
    // A note may follow the end.
    let lines = tail.trim_ascii_end().rsplit(|&byte| byte == b'\n');
    let mut values = lines.map(|line| serde_json::from_slice::<Value>(line).unwrap_or_default());
    let last = values.find(|line| line.get("note").is_none()).unwrap_or_default();
    let number = |pointer: &str| last.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    // If the number of epochs is unknown, an ordered end is the end of the run.
    last.get("end").is_some() && number("/so_far/run/epochs_done") >= number("/epochs_planned")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_ends_at_its_deadline_and_reports_it() {
        let (folder, process) = (std::env::temp_dir(), Process::default());
        let request = ResumeRequest { name: None, prefix: "x", process: &process };
        let mut search = RunSearch::new(&folder, &request);
        search.deadline = Instant::now();
        assert!(search.among(std::iter::once(request.paths(&folder)), usize::MAX).is_none());
        assert!(search.unread.is_some_and(|why| why.contains("after 10 s, with 0 journals checked")));
    }
}
