//! Opens one journal to continue it, unless the process of its last attempt may still run.

use super::turn::{self, Missed, ResumeTurn};
use super::{FoundRun, MAX_HEAD_BYTES, Refusal, ResumeRequest, Resumed};
use crate::clock::UnixS;
use crate::os::{self, text};
use crate::run_files::atomic_replace;
use crate::run_files::attempt::{self, AttemptEvidence, AttemptLock, ContinueDecision, StatusPage};
use crate::run_files::crash_counter::{self, Count, CrashCounter};
use crate::run_files::file_io::AppendFile;
use crate::run_files::journal::{Journal, OPENING};
use crate::run_files::paths::RunPaths;
use crate::run_files::shared_locks;
use std::fs::Metadata;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// Resumes the run of a journal that the user named.
pub fn named(path: &Path, request: &ResumeRequest) -> Result<FoundRun, Refusal> {
    let path = atomic_replace::followed(path)?;
    open(RunPaths::of_journal(&path), &path, request, false)
}

/// Resumes the run of a journal that was found in a folder. Fails with [`Refusal::Over`] if the run is over.
pub fn unfinished(paths: RunPaths, path: &Path, request: &ResumeRequest) -> Result<FoundRun, Refusal> {
    open(paths, path, request, true)
}

fn open(paths: RunPaths, path: &Path, request: &ResumeRequest, is_from_folder: bool) -> Result<FoundRun, Refusal> {
    let (mut found, lock) = read(paths.clone(), path, request, is_from_folder)?;
    if lock == AttemptLock::Free {
        turn::clear(path);
    } else if found.0.journal.is_some() {
        match ResumeTurn::take(path) {
            Err(Missed::Taken) => return Err(being_resumed()),
            Err(Missed::Unknown) => (), // other processes cannot write into such a folder either
            Ok(turn) => {
                // Another process may have had its turn since the journal was read.
                drop(found);
                (found, _) = read(paths, path, request, is_from_folder)?;
                found.0.turn = Some(turn);
            }
        }
    }
    found.0.start_attempt()?;
    Ok(found)
}

fn read(
    paths: RunPaths,
    path: &Path,
    request: &ResumeRequest,
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
    // Read only under the lock: the other process may have appended until it released the lock.
    let text = whole(&mut journal, path)?;
    let metadata = std::fs::metadata(path)?;
    if is_unwritten(&text) {
        return Err(unwritten(journal, lock, &metadata, request));
    }
    let read = Journal::parse(&text).map_err(Refusal::Other)?;
    let (left, unread) = LeftCounts::of(&read.id, read.attempts);
    check_free(&read, &left, lock, &metadata, request)?;
    if let Some((ours, theirs)) = request.name.zip(read.name.as_deref()).filter(|(ours, theirs)| ours != theirs) {
        return Err(Refusal::Other(format!("it is the journal of '{theirs}', and name='{ours}' is another run")));
    }
    let (id, written) = (read.id.clone(), read.epochs_done);
    let (name, started, planned) = (read.name.clone(), read.started.clone(), read.planned);
    let (is_ended, mut flaws) = (read.is_ended, read.flaws.clone());
    if metadata.uid() != os::user() {
        flaws.push(format!("the file belongs to {}", os::user_name(metadata.uid())));
    }
    flaws.extend(unread.map(|error| {
        format!(
            "the count of ended epochs cannot be read ({error}): epochs that ended just before a kill may be missing"
        )
    }));
    let mut carried_over = read.into_carried_over(left.counts);
    carried_over.attempts = left.last;
    let (crash_counter, turn) = (None, None);
    let resumed = Resumed {
        id,
        name,
        started,
        planned,
        carried_over,
        paths,
        journal,
        written,
        crash_counter,
        turn,
        is_from_folder,
        is_ended,
    };
    if is_from_folder && resumed.is_finished() {
        return Err(Refusal::Over);
    }
    Ok(((resumed, flaws), lock))
}

/// The content of the journal. A file that has no opening line in its head is read no further.
fn whole(journal: &mut Option<AppendFile>, path: &Path) -> io::Result<Vec<u8>> {
    let mut read = |most: u64| match journal {
        Some(journal) => journal.read(most),
        None => {
            let mut text = Vec::new();
            text::open_ordinary(path)?.take(most).read_to_end(&mut text).map(|_| text)
        }
    };
    let head = read(MAX_HEAD_BYTES)?;
    let has_more = head.len() as u64 == MAX_HEAD_BYTES && head.windows(OPENING.len()).any(|bytes| bytes == OPENING);
    if has_more { read(u64::MAX) } else { Ok(head) }
}

/// Whether a journal has no whole line. A kill may come in the middle of the first line, and a power cut may leave
/// zeros.
fn is_unwritten(text: &[u8]) -> bool {
    let zeros = text.iter().rev().take_while(|&&byte| byte == 0).count();
    let (written, _) = text.split_at(text.len() - zeros);
    OPENING.starts_with(written) || written.starts_with(OPENING) && !written.contains(&b'\n')
}

/// Locks the journal for this process. A lock proves something only if all clients of the file system share it.
fn lock_of(journal: &AppendFile, path: &Path) -> AttemptLock {
    match journal.lock() {
        Ok(Some(holder)) => AttemptLock::Held(holder),
        Ok(None) if are_locks_shared(path) => AttemptLock::Free,
        Ok(None) | Err(_) => AttemptLock::Unknown,
    }
}

pub fn are_locks_shared(path: &Path) -> bool {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    let mounts = text::read(Path::new("/proc/self/mountinfo"), text::MAX_TABLE_BYTES);
    folder.zip(mounts.ok()).is_some_and(|(folder, mounts)| shared_locks::locks_are_shared(&mounts, &folder))
}

/// The refusal for an empty journal: a process was killed before it wrote a line, or has just created it.
fn unwritten(journal: Option<AppendFile>, lock: AttemptLock, metadata: &Metadata, request: &ResumeRequest) -> Refusal {
    let silent_s = silence_s(metadata, None);
    let evidence = AttemptEvidence {
        lock,
        page: StatusPage::Missing,
        is_ended: false,
        last: Default::default(),
        silent_s,
        worked_s: 0.0,
    };
    match (evidence.decide(request.process), journal) {
        (ContinueDecision::Free, Some(journal)) => Refusal::Unwritten(journal),
        (ContinueDecision::Unsure(wait_s), _) => unsure("", silent_s, wait_s),
        (ContinueDecision::Held(holder), _) => in_use(holder),
        (ContinueDecision::Free, None) => Refusal::Other("it is empty, and this user cannot write it".into()),
    }
}

/// Time since the last write to a journal, s, by its last numbers and by the file's time of change.
fn silence_s(metadata: &Metadata, last_unix_s: Option<UnixS>) -> f64 {
    let changed = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let changed = UnixS(changed.map_or(0.0, |at| at.as_secs_f64()));
    os::unix_s().s_since(last_unix_s.unwrap_or_default().max(changed))
}

fn check_free(
    read: &Journal,
    left: &LeftCounts,
    lock: AttemptLock,
    metadata: &Metadata,
    request: &ResumeRequest,
) -> Result<(), Refusal> {
    // Later attempts may not have a line yet. An attempt that ended in order is not alive, though its page may
    // still exist.
    let attempts = (read.attempts..=left.last).filter(|attempt| *attempt > read.attempts || !read.is_ended);
    let pages: Vec<StatusPage> = attempts.map(|attempt| crash_counter::page(&read.id, attempt)).collect();
    let living = pages.iter().find(|page| matches!(page, StatusPage::Living(_)));
    let evidence = AttemptEvidence {
        lock,
        page: *living.or(pages.first()).unwrap_or(&StatusPage::Missing),
        is_ended: read.is_ended,
        last: read.process.clone(),
        silent_s: silence_s(metadata, read.last_unix_s()),
        worked_s: read.worked_s(),
    };
    match evidence.decide(request.process) {
        ContinueDecision::Free => Ok(()),
        ContinueDecision::Held(holder) => Err(in_use(holder)),
        ContinueDecision::Unsure(wait_s) => Err(unsure(&read.process.host, evidence.silent_s, wait_s)),
    }
}

fn unsure(host: &str, silent_s: f64, wait_s: f64) -> Refusal {
    let on = if host.is_empty() { String::new() } else { format!(" on {host}") };
    let (silent, wait) = (silent_s.max(0.0), wait_s.max(0.0).ceil());
    Refusal::Unsure(format!(
        "a process{on} wrote it {silent:.0} s ago and may still run: this file system's locks do not show that. If that run is over, start again after {wait:.0} s"
    ))
}

fn in_use(holder: u32) -> Refusal {
    Refusal::Other(match holder {
        ours if ours == os::process_id() => "this process already writes it".into(),
        0 => "a process of another container or machine is writing it".into(),
        other => format!("process {other} is writing it"),
    })
}

fn being_resumed() -> Refusal {
    let wait_s = attempt::max_silence_s(0.0).ceil();
    Refusal::Unsure(format!(
        "another process has just resumed it, or was killed while it did. If that run does not continue, start again after {wait_s:.0} s"
    ))
}

fn just_resumed() -> Refusal {
    Refusal::Other("another process has just resumed it".into())
}

impl Resumed {
    /// Makes the crash counter of the next attempt. On this machine only one process can make it.
    fn start_attempt(&mut self) -> Result<(), Refusal> {
        if self.journal.is_none() {
            return Ok(());
        }
        match CrashCounter::open(&self.id, self.carried_over.attempts + 1) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(just_resumed()),
            counter => {
                self.crash_counter = counter.ok();
                Ok(())
            }
        }
    }
}

/// The crash counters of the last attempt with a line, and of later attempts that were killed before their first line.
struct LeftCounts {
    counts: Vec<Count>,
    /// Number of the last attempt that has a crash counter or a line.
    last: u64,
}

impl LeftCounts {
    /// The counts from attempt `attempts` on, the last one with a line in the journal. The error is the first one.
    fn of(id: &str, attempts: u64) -> (LeftCounts, Option<io::Error>) {
        let mut left = LeftCounts { counts: Vec::new(), last: attempts };
        for attempt in attempts.. {
            match crash_counter::left(id, attempt) {
                Ok(Some(count)) => left.counts.push(count),
                Ok(None) if attempt == attempts => left.counts.push(Count::default()),
                Ok(None) => break,
                Err(error) => {
                    left.counts.extend((attempt == attempts).then(Count::default));
                    return (left, Some(error));
                }
            }
            left.last = attempt;
        }
        (left, None)
    }
}
