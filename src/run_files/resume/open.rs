//! Takes one journal up, unless the process that wrote it last may live.

use super::turn::{self, Missed, ResumeTurn};
use super::{FoundRun, HEAD, Refusal, ResumeRequest, Resumed};
use crate::clock::UnixS;
use crate::os::{self, text};
use crate::run_files::atomic_replace;
use crate::run_files::attempt::{self, AttemptLock, Signs, StatusPage, Verdict};
use crate::run_files::crash_counter::{self, Count, CrashCounter};
use crate::run_files::file_io::AppendFile;
use crate::run_files::journal::{Journal, OPENING};
use crate::run_files::paths::RunPaths;
use std::fs::Metadata;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// The run of a journal that the user named.
pub fn named(path: &Path, asker: &ResumeRequest) -> Result<FoundRun, Refusal> {
    let path = atomic_replace::followed(path)?;
    open(RunPaths::of_journal(&path), &path, asker, false)
}

/// The run whose journal is here, unless it is over.
pub fn unfinished(place: RunPaths, path: &Path, asker: &ResumeRequest) -> Result<FoundRun, Refusal> {
    open(place, path, asker, true)
}

fn open(place: RunPaths, path: &Path, asker: &ResumeRequest, is_from_folder: bool) -> Result<FoundRun, Refusal> {
    let (mut found, lock) = read(place.clone(), path, asker, is_from_folder)?;
    if lock == AttemptLock::Free {
        turn::clear(path);
    } else if found.0.journal.is_some() {
        match ResumeTurn::take(path) {
            Err(Missed::Taken) => return Err(being_taken()),
            Err(Missed::Unknown) => (), // such a folder is not written by others either
            Ok(turn) => {
                // Another process may have had its turn since.
                drop(found);
                (found, _) = read(place, path, asker, is_from_folder)?;
                found.0.turn = Some(turn);
            }
        }
    }
    found.0.claim()?;
    Ok(found)
}

fn read(
    place: RunPaths,
    path: &Path,
    asker: &ResumeRequest,
    is_from_folder: bool,
) -> Result<(FoundRun, AttemptLock), Refusal> {
    let mut journal = match AppendFile::open(path) {
        Ok(journal) => Some(journal),
        Err(error) if [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem].contains(&error.kind()) => None,
        Err(error) => return Err(error.into()),
    };
    let lock = journal.as_ref().map_or(AttemptLock::Unknown, |journal| lock_of(journal, path));
    if let AttemptLock::Held(holder) = lock {
        return Err(in_use(holder));
    }
    // Read only now: until it let go that process may have added to it.
    let text = whole(&mut journal, path)?;
    let metadata = std::fs::metadata(path)?;
    if text.is_empty() || text.starts_with(OPENING) && !text.contains(&b'\n') {
        return Err(unwritten(journal, lock, &metadata, asker));
    }
    let read = Journal::parse(&text).map_err(Refusal::Other)?;
    let (left, unread) = Left::of(&read.id, read.lives);
    is_free(&read, &left, lock, &metadata, asker)?;
    if let Some((ours, theirs)) = asker.name.zip(read.name.as_deref()).filter(|(ours, theirs)| ours != theirs) {
        return Err(Refusal::Other(format!("it is the journal of '{theirs}', and name='{ours}' is another run")));
    }
    let (id, written) = (read.id.clone(), read.epochs_done);
    let (name, started, planned) = (read.name.clone(), read.started.clone(), read.planned);
    let (is_ended, mut flaws) = (read.is_ended, read.flaws.clone());
    if metadata.uid() != os::user() {
        flaws.push(format!("it belongs to {}", os::user_name(metadata.uid())));
    }
    flaws.extend(unread.map(|error| {
        format!("the count of ended epochs cannot be read ({error}): some that ended just before a kill may be missing")
    }));
    let mut past = read.into_past(left.counts);
    past.attempts = left.last;
    let (tally, turn) = (None, None);
    let resumed =
        Resumed { id, name, started, planned, past, place, journal, written, tally, turn, is_from_folder, is_ended };
    if is_from_folder && resumed.is_finished() {
        return Err(Refusal::Over);
    }
    Ok(((resumed, flaws), lock))
}

/// What is in it, as far as it may be a journal.
fn whole(journal: &mut Option<AppendFile>, path: &Path) -> io::Result<Vec<u8>> {
    let mut read = |most: u64| match journal {
        Some(journal) => journal.read(most),
        None => {
            let mut text = Vec::new();
            text::open_ordinary(path)?.take(most).read_to_end(&mut text).map(|_| text)
        }
    };
    let head = read(HEAD)?;
    let goes_on = head.len() as u64 == HEAD && head.windows(OPENING.len()).any(|bytes| bytes == OPENING);
    if goes_on { read(u64::MAX) } else { Ok(head) }
}

/// Locks the journal for this process. A lock is evidence only where all clients of the file system share it.
fn lock_of(journal: &AppendFile, path: &Path) -> AttemptLock {
    match journal.lock() {
        Ok(Some(holder)) => AttemptLock::Held(holder),
        Ok(None) if are_locks_shared(path) => AttemptLock::Free,
        Ok(None) | Err(_) => AttemptLock::Unknown,
    }
}

fn are_locks_shared(path: &Path) -> bool {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    let mounts = text::read(Path::new("/proc/self/mountinfo"), text::LARGE);
    folder.zip(mounts.ok()).is_some_and(|(folder, mounts)| attempt::locks_are_shared(&mounts, &folder))
}

/// An empty journal: a process was killed before it wrote a line, or has just made it.
fn unwritten(journal: Option<AppendFile>, lock: AttemptLock, metadata: &Metadata, asker: &ResumeRequest) -> Refusal {
    let silent_s = silence_s(metadata, None);
    let signs =
        Signs { lock, page: StatusPage::Missing, is_ended: false, last: Default::default(), silent_s, worked_s: 0.0 };
    match (signs.verdict(asker.process), journal) {
        (Verdict::Free, Some(journal)) => Refusal::Unwritten(journal),
        (Verdict::Unsure(wait_s), _) => unsure("", silent_s, wait_s),
        (Verdict::Held(holder), _) => in_use(holder),
        (Verdict::Free, None) => Refusal::Other("nothing is in it, and this user cannot write it".into()),
    }
}

/// How long a journal was not written, s, by its last numbers and by the file system's clock.
fn silence_s(metadata: &Metadata, last_unix_s: Option<UnixS>) -> f64 {
    let changed = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let changed = UnixS(changed.map_or(0.0, |at| at.as_secs_f64()));
    os::unix_s().s_since(last_unix_s.unwrap_or_default().max(changed))
}

fn is_free(
    read: &Journal,
    left: &Left,
    lock: AttemptLock,
    metadata: &Metadata,
    asker: &ResumeRequest,
) -> Result<(), Refusal> {
    // Later processes may not have a line yet. One that ended in order is no living one, though its page may be there.
    let lives = (read.lives..=left.last).filter(|life| *life > read.lives || !read.is_ended);
    let pages: Vec<StatusPage> = lives.map(|life| crash_counter::page(&read.id, life)).collect();
    let living = pages.iter().find(|page| matches!(page, StatusPage::Living(_)));
    let signs = Signs {
        lock,
        page: *living.or(pages.first()).unwrap_or(&StatusPage::Missing),
        is_ended: read.is_ended,
        last: read.process.clone(),
        silent_s: silence_s(metadata, read.last_unix_s()),
        worked_s: read.worked_s(),
    };
    match signs.verdict(asker.process) {
        Verdict::Free => Ok(()),
        Verdict::Held(holder) => Err(in_use(holder)),
        Verdict::Unsure(wait_s) => Err(unsure(&read.process.host, signs.silent_s, wait_s)),
    }
}

fn unsure(host: &str, silent_s: f64, wait_s: f64) -> Refusal {
    let on = if host.is_empty() { String::new() } else { format!(" on {host}") };
    let (silent, wait) = (silent_s.max(0.0), wait_s.max(0.0).ceil());
    Refusal::Unsure(format!(
        "a process{on} wrote it {silent:.0} s ago and may still run: locks on this file system do not show it. If that run is over, start again after {wait:.0} s"
    ))
}

fn in_use(holder: u32) -> Refusal {
    Refusal::Other(match holder {
        ours if ours == std::process::id() => "this process is writing it already".into(),
        0 => "a process of another container or machine is writing it".into(),
        other => format!("process {other} is writing it"),
    })
}

fn being_taken() -> Refusal {
    let wait_s = attempt::patience_s(0.0).ceil();
    Refusal::Unsure(format!(
        "another process has just taken it up, or was killed as it did. If that run does not go on, start again after {wait_s:.0} s"
    ))
}

fn just_taken() -> Refusal {
    Refusal::Other("another process has just taken it up".into())
}

impl Resumed {
    /// Claims the run among the processes of this machine: one of them makes the page for its next process.
    fn claim(&mut self) -> Result<(), Refusal> {
        if self.journal.is_none() {
            return Ok(());
        }
        match CrashCounter::open(&self.id, self.past.attempts + 1) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(just_taken()),
            tally => {
                self.tally = tally.ok();
                Ok(())
            }
        }
    }
}

/// What the last process with a line has left, and those after it that were killed before their first.
struct Left {
    counts: Vec<Count>,
    /// The last process that left something, or has a line.
    last: u64,
}

impl Left {
    /// Of a run whose journal has a line of the process number `lives`; and why something could not be read.
    fn of(id: &str, lives: u64) -> (Left, Option<io::Error>) {
        let mut left = Left { counts: Vec::new(), last: lives };
        for life in lives.. {
            match crash_counter::left(id, life) {
                Ok(Some(count)) => left.counts.push(count),
                Ok(None) if life == lives => left.counts.push(Count::default()),
                Ok(None) => break,
                Err(error) => {
                    left.counts.extend((life == lives).then(Count::default));
                    return (left, Some(error));
                }
            }
            left.last = life;
        }
        (left, None)
    }
}
