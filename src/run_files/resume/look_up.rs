//! Finds this run's journal in a folder, which may hold those of ten thousand ranks: by names that each rank can compute.
//!
//! Others may write into the folder: neither their files nor links count.

use super::{FoundRun, HEAD, Refusal, ResumeRequest, open};
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
use std::time::{Duration, Instant};

/// Journals of one stem that are looked at, newest first: others of a job may have taken the newest.
const MOST: usize = 100;
/// The same where the batch system has started the job again: its own journal is there.
const MOST_OF_A_RESTART: usize = 1000;
/// This many runs in a row that are over end that: then all names in the folder are read.
const MOST_OVER: usize = 8;
/// The program waits no longer for the search.
const LONGEST: Duration = Duration::from_secs(10);
/// The last line of a journal is within this many bytes of its end.
const TAIL: u64 = 1 << 16;

/// The newest run of a folder that this one can be: this user's, of its name and rank, not ended, and of no living process. One of
/// the same job comes first. What a person should know goes to `say`.
pub fn newest(folder: &Path, asker: &ResumeRequest, say: &mut dyn FnMut(String)) -> Result<FoundRun, Refusal> {
    let mut search = RunSearch::new(folder, asker);
    let newest = asker.place(folder).newest().map_err(|error| Refusal::Unread(error.to_string()))?;
    let mut found = newest.and_then(|newest| {
        let is_restart = asker.process.restarts.is_some_and(|restarts| restarts > 0);
        let (most, most_over) = if is_restart { (MOST_OF_A_RESTART, usize::MAX) } else { (MOST, MOST_OVER) };
        let places = std::iter::once(newest.clone()).chain(newest.earlier());
        search.among(places.take(most), most_over)
    });
    if found.is_none() {
        found = search.by_names()?;
    }
    match (found, search.unread, search.doubt) {
        (Some(found), _, doubt) => {
            let shown = folder.display();
            doubt.into_iter().for_each(|why| say(format!("resume={shown}: {why}. An earlier run is resumed instead")));
            Ok(found)
        }
        (None, _, Some(why)) => Err(Refusal::Doubtful(why)),
        (None, Some(why), None) => Err(Refusal::Unread(why)),
        (None, None, None) => Err(Refusal::Nothing),
    }
}

struct RunSearch<'a> {
    folder: &'a Path,
    asker: &'a ResumeRequest<'a>,
    owner: FileOwner<'a>,
    /// What could not be read first, and why.
    unread: Option<String>,
    /// Which journal may be in use, and why.
    doubt: Option<String>,
    /// These were looked at.
    seen: HashSet<PathBuf>,
    /// Runs of this user, name and rank whose journal was seen, whatever became of them: a second one is a copy.
    runs: HashSet<String>,
    deadline: Instant,
}

/// What a journal's first and last lines show of its run.
enum Sight {
    /// It is no run of this user, name and rank.
    Other,
    /// It is, and its run is over or is written by this process.
    Over,
    /// It may go on; of this job or another.
    Unfinished { is_of_job: bool },
}

impl<'a> RunSearch<'a> {
    fn new(folder: &'a Path, asker: &'a ResumeRequest<'a>) -> RunSearch<'a> {
        let (owner, seen, runs) = (FileOwner::of(folder), HashSet::new(), HashSet::new());
        RunSearch { folder, asker, owner, unread: None, doubt: None, seen, runs, deadline: Instant::now() + LONGEST }
    }

    /// The first of these, newest first, that can be taken up, those of this job before others. `most_over` in a row that are
    /// over end the search.
    fn among(&mut self, places: impl Iterator<Item = RunPaths>, most_over: usize) -> Option<FoundRun> {
        let (mut others, mut over) = (Vec::new(), 0);
        for place in places {
            if over >= most_over {
                break;
            }
            if Instant::now() >= self.deadline {
                let (seconds, seen) = (LONGEST.as_secs(), self.seen.len());
                self.note(
                    self.folder,
                    &format!("the search ended after {seconds} s, and {seen} journals were looked at"),
                );
                break;
            }
            let path = place.file(JOURNAL);
            if !self.seen.insert(path.clone()) {
                continue;
            }
            let sight = self.sight(&path);
            over = if matches!(sight, Ok(Sight::Unfinished { .. })) { 0 } else { over + 1 };
            match sight {
                Ok(Sight::Unfinished { is_of_job: false }) => {
                    // Without a job none can be of the same.
                    if self.asker.process.job.is_some() {
                        others.push(place);
                    } else if let Some(found) = self.open(place) {
                        return Some(found);
                    }
                }
                Ok(Sight::Unfinished { is_of_job: true }) => {
                    if let Some(found) = self.open(place) {
                        return Some(found);
                    }
                }
                Ok(Sight::Over | Sight::Other) => (),
                // It was moved away.
                Err(error) if error.kind() == ErrorKind::NotFound => (),
                Err(error) => self.note(&path, &error),
            }
        }
        others.into_iter().find_map(|place| self.open(place))
    }

    fn open(&mut self, place: RunPaths) -> Option<FoundRun> {
        let path = place.file(JOURNAL);
        match open::unfinished(place, &path, self.asker) {
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

    /// Looks among all names in the folder, but for those that were looked at: for older runs, for names that `log_dir=` alone, an
    /// earlier version or another prefix made, and for journals that were renamed.
    fn by_names(&mut self) -> Result<Option<FoundRun>, Refusal> {
        let entries = std::fs::read_dir(self.folder).map_err(|error| Refusal::Unread(error.to_string()))?;
        let first = self.asker.place(self.folder);
        let mut journals: Vec<(Age, PathBuf)> = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) => journals.extend(self.age_of(&first, &entry).map(|age| (age, entry.path()))),
                Err(error) => self.unread = self.unread.take().or(Some(error.to_string())),
            }
        }
        journals.sort_by(|a, b| b.cmp(a));
        let places = journals.into_iter().map(|(age, path)| match age {
            Age::Computed(number) => first.numbered(number),
            Age::Started(..) | Age::Written(_) => RunPaths::of_journal(&path),
        });
        Ok(self.among(places, usize::MAX))
    }

    /// The age of a file that may be this run's journal. Runs without a name have only their files' names to differ by.
    fn age_of(&self, first: &RunPaths, entry: &DirEntry) -> Option<Age> {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_of_rank = || paths::rank_in(&name).is_none_or(|rank| self.asker.process.rank.number == Some(rank));
        first.age_of(self.asker.prefix, &name).or_else(|| {
            let may_be = self.asker.name.is_some() && name.ends_with(JOURNAL) && is_of_rank();
            may_be.then(|| entry.metadata().and_then(|there| there.modified()).ok().map(Age::Written))?
        })
    }

    /// Looks at a journal's first and last lines: a folder may be full of journals whose runs are over, and those are not read whole.
    fn sight(&mut self, path: &Path) -> io::Result<Sight> {
        let there = std::fs::symlink_metadata(path)?;
        if !there.is_file() || !self.owner.is(there.uid()) {
            return Ok(Sight::Other);
        }
        // To close a second descriptor would end this process's lock.
        if AppendFile::is_ours(&there) {
            return Ok(Sight::Over);
        }
        let (file, length) = (text::open_ordinary(path)?, there.len());
        let head = piece(&file, 0, length.min(TAIL))?;
        let is_whole = head.len() as u64 == length || head.contains(&b'\n');
        let head = if is_whole { head } else { piece(&file, 0, length.min(HEAD))? };
        let line = head.split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
        let Some(run) = Journal::parse(line).ok().filter(|run| self.asker.is_of(run)) else { return Ok(Sight::Other) };
        if !self.runs.insert(run.id) {
            return Ok(Sight::Other);
        }
        let is_whole = length <= TAIL;
        let tail = if is_whole { head } else { piece(&file, length - TAIL, TAIL)? };
        if is_over(&tail) {
            return Ok(Sight::Over);
        }
        let this = self.asker.process;
        let is_of_job = run.process.is_of_job(this)
            || this.job.is_some()
                && last_process(&if is_whole { tail } else { piece(&file, 0, length)? }).is_of_job(this);
        Ok(Sight::Unfinished { is_of_job })
    }
}

/// The last process that opened its part of a journal.
fn last_process(journal: &[u8]) -> Process {
    let opening = journal.split(|&byte| byte == b'\n').rfind(|line| line.starts_with(OPENING));
    let line = opening.and_then(|line| serde_json::from_slice::<Value>(line).ok());
    line.map_or_else(Process::default, |line| Process::of_opening(&line))
}

/// This many bytes of a file from a place on, or fewer where it ends.
fn piece(file: &File, from: u64, bytes: u64) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; usize::try_from(bytes).unwrap_or(0)];
    let read = file.read_at(&mut piece, from)?;
    piece.truncate(read);
    Ok(piece)
}

/// Whether a journal's last line shows that its run is over.
fn is_over(tail: &[u8]) -> bool {
    // A note may follow the end.
    let lines = tail.trim_ascii_end().rsplit(|&byte| byte == b'\n');
    let mut values = lines.map(|line| serde_json::from_slice::<Value>(line).unwrap_or_default());
    let last = values.find(|line| line.get("note").is_none()).unwrap_or_default();
    let number = |pointer: &str| last.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    // Of an unknown number of epochs the end is the last.
    last.get("end").is_some() && number("/so_far/run/epochs_done") >= number("/epochs_planned")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_that_takes_too_long_ends_and_is_reported() {
        let (folder, process) = (std::env::temp_dir(), Process::default());
        let asker = ResumeRequest { name: None, prefix: "x", process: &process };
        let mut search = RunSearch::new(&folder, &asker);
        search.deadline = Instant::now();
        assert!(search.among(std::iter::once(asker.place(&folder)), usize::MAX).is_none());
        assert!(search.unread.is_some_and(|why| why.contains("after 10 s, and 0 journals were looked at")));
    }
}
