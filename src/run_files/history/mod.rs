//! Reads the earlier runs of folders: the journals and reports of runs of one name, as the history of a forecast.
//!
//! Others may write into the folder, and its files may be damaged. So only regular files of this user or root are read,
//! with bounds. A file that is left out has one message. In folders that the user did not name, files of other programs
//! have none.
//!
//! The newest files come first. Of each, only the beginning is read until its run has the name. So a folder of a
//! thousand runs takes milliseconds.

mod beginning;
mod jobs;
mod messages;
mod past_run;

pub use past_run::{Flaw, FlawKind, PastRun, PowerPart, RunLabel};

use super::file_io::AppendFile;
use super::journal_report;
use super::paths::{self, JOURNAL, REPORT, name_part};
use crate::os::memory;
use crate::os::text::{NO_FILE, open_unlinked};
use crate::os::{self, Instant};
use crate::report::unstated;
use crate::sanitize;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Runs that a forecast can use (`forecast/history`).
pub const USEFUL_RUNS: usize = 24;
/// Most entries of the folder that are listed.
const MAX_ENTRIES: usize = 1 << 16;
/// Most files whose beginnings are read.
const MAX_BEGINNINGS: u64 = 4096;
/// The same for all processes of a job together. They share the disk.
const MAX_BEGINNINGS_OF_JOB: u64 = 1 << 16;
/// The same for a process of a job with very many.
const MIN_BEGINNINGS: u64 = 64;
/// Largest file that is read whole, bytes. Journals grow by a few megabytes a day.
const MAX_FILE_BYTES: u64 = 32 << 20;
/// Most bytes of whole files of one process, and of all processes of jobs. Older runs add little.
const MAX_BYTES: u64 = 16 << 20;
const MAX_BYTES_OF_JOBS: u64 = 256 << 20;
/// Memory that a file takes while it is read, in its lengths.
const MEMORY_FACTOR: usize = 8;
/// Longest time of the search. A shared disk may be slow.
const MAX_SEARCH_TIME: Duration = Duration::from_secs(10);
const ROOT_UID: u32 = 0;

/// Which earlier runs are asked for, and where.
#[derive(Clone, Debug)]
pub struct HistoryRequest {
    /// The folders.
    pub folders: Vec<PathBuf>,
    /// The folder as the user named it, such as `history=FOLDER`; None: they are default ones, which may be missing.
    pub named: Option<String>,
    /// The label of the runs; None: runs without a label.
    pub name: Option<String>,
    /// How the file names of such runs begin. In default folders, only such files have a message.
    pub prefix: String,
    /// The number in the job of the runs' processes.
    pub rank: RankChoice,
    /// Identifier of the run that asks; it is not an earlier one.
    pub id: String,
    /// The journal of the run that asks.
    pub journal: Option<PathBuf>,
    /// Number of processes in the job that search at the same time.
    pub processes: u64,
    /// Most runs of one number in the job.
    pub most: usize,
    /// Whether the power over time is asked for. It is most of a journal.
    pub with_power: bool,
}

/// The numbers in the job whose runs are asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RankChoice {
    /// This number; None: processes without a number.
    Of(Option<u64>),
    /// All numbers: the ranks of a job are one run.
    All,
}

/// Earlier runs, and messages about files that are left out.
#[derive(Debug, Default)]
pub struct PastRuns {
    /// The runs, newest last.
    pub runs: Vec<PastRun>,
    /// Messages for the user.
    pub messages: Vec<String>,
}

impl HistoryRequest {
    /// Whether a run is asked for.
    fn matches(&self, label: &RunLabel) -> bool {
        let is_of_rank = match self.rank {
            // A number beyond those of its job is none.
            RankChoice::All => label.rank.is_none_or(|rank| label.ranks.is_none_or(|ranks| rank < ranks)),
            RankChoice::Of(rank) => label.is_imported || label.rank == rank,
        };
        is_of_rank && label.id != self.id && self.has_name(label)
    }

    /// Whether the name of a file allows it to be of a run that is asked for. Names of resumed runs have a number.
    fn may_be(&self, name: &str) -> bool {
        match self.rank {
            RankChoice::Of(rank) => paths::may_be_of_rank(name, rank),
            RankChoice::All => true,
        }
    }

    /// Number of files whose beginnings are read.
    fn beginnings(&self) -> usize {
        (MAX_BEGINNINGS_OF_JOB / self.processes.max(1)).clamp(MIN_BEGINNINGS, MAX_BEGINNINGS) as usize
    }

    /// A log of Python's Carbontracker has no label, but its name may begin with one.
    fn has_name(&self, label: &RunLabel) -> bool {
        let Some(name) = self.name.as_ref().filter(|_| label.is_imported && label.name.is_none()) else {
            return label.name == self.name;
        };
        let rest =
            [name.clone(), name_part(name)].into_iter().find_map(|name| Some(label.id.strip_prefix(&name)?.to_owned()));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    }
}

/// Reads the earlier runs. It ends early once `is_stopping` is true.
pub fn read(request: &HistoryRequest, is_stopping: &dyn Fn() -> bool) -> PastRuns {
    let mut search = Search::new(request, is_stopping);
    let mut messages = Vec::new();
    let mut files = Vec::new();
    for folder in &request.folders {
        match search.list(folder) {
            Ok(found) => files.extend(found),
            Err(error) => messages.extend(request.unread(folder, &error)),
        }
    }
    files.sort_by(|a, b| (b.at, &b.path).cmp(&(a.at, &a.path)));
    let mut runs = search.read(files);
    if request.rank == RankChoice::All {
        runs = jobs::whole(runs, &search.reports);
    }
    runs.reverse();
    // Copied files have the time of the copy.
    runs.sort_by(|a, b| a.label.started.cmp(&b.label.started));
    messages.extend(search.messages());
    PastRuns { messages, runs }
}

/// The label of the run that a file is of; None: it is no file of this library, or cannot be read.
pub fn label_of(path: &Path) -> Option<RunLabel> {
    let there = std::fs::symlink_metadata(path).ok().filter(|there| !AppendFile::is_ours(there))?;
    check_kind(&there).ok()?;
    let mut file = open_unlinked(path).ok()?;
    let label = beginning::any_label(&mut file, is_journal(path));
    release(file, &there);
    label.ok()?
}

/// Closes a file, unless a tracker of this process has begun to write it: that would release the journal's lock.
fn release(file: File, there: &Metadata) {
    if AppendFile::is_ours(there) {
        std::mem::forget(file);
    }
}

fn is_journal(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(JOURNAL.as_bytes())
}

/// A file that may be of an earlier run.
struct Found {
    path: PathBuf,
    /// Begin of the run by the name of the file, or else the time of the last change.
    at: SystemTime,
}

/// Why a search ended before all files were looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cut {
    Files,
    Time,
    Bytes,
}

/// The search in the folders.
struct Search<'a> {
    request: &'a HistoryRequest,
    left_out: Vec<(PathBuf, Flaw)>,
    /// Identifiers of the runs that were read. A second file of a run is a copy.
    ids: HashSet<String>,
    /// Number of runs of each number in the job.
    counts: HashMap<Option<u64>, usize>,
    /// Bytes of whole files.
    bytes: u64,
    /// The reports of the runs, if those of all ranks are asked for.
    reports: Vec<Value>,
    deadline: Instant,
    is_stopping: &'a dyn Fn() -> bool,
    /// Why the search ended before all files were looked at.
    cut: Option<Cut>,
}

impl<'a> Search<'a> {
    fn new(request: &'a HistoryRequest, is_stopping: &'a dyn Fn() -> bool) -> Search<'a> {
        Search {
            request,
            left_out: Vec::new(),
            ids: HashSet::new(),
            counts: HashMap::new(),
            bytes: 0,
            reports: Vec::new(),
            deadline: Instant::now() + MAX_SEARCH_TIME,
            is_stopping,
            cut: None,
        }
    }

    /// The journals and reports of a folder.
    fn list(&mut self, folder: &Path) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for (n, entry) in std::fs::read_dir(folder)?.enumerate() {
            if self.is_cut_at(n, MAX_ENTRIES) {
                break;
            }
            let Ok(entry) = entry else { continue };
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let Some(stem) = name.strip_suffix(JOURNAL).or_else(|| name.strip_suffix(REPORT)) else { continue };
            if self.request.may_be(&name) {
                let changed = || entry.metadata().and_then(|there| there.modified()).ok();
                let at = paths::started_in(stem).or_else(changed).unwrap_or(SystemTime::UNIX_EPOCH);
                found.push(Found { path: entry.path(), at });
            }
        }
        Ok(found)
    }

    /// Whether the search ends before the file of this number. Notes why.
    fn is_cut_at(&mut self, number: usize, most: usize) -> bool {
        let is_late = (self.is_stopping)() || Instant::now() >= self.deadline;
        if is_late || number == most {
            self.cut = Some(if is_late { Cut::Time } else { Cut::Files });
        }
        is_late || number == most
    }

    /// The runs of these files. A report beside its journal is read only if the journal has a flaw.
    fn read(&mut self, files: Vec<Found>) -> Vec<PastRun> {
        let is_journal = |found: &Found| is_journal(&found.path);
        let journals: HashSet<PathBuf> =
            files.iter().filter(|found| is_journal(found)).map(|found| found.path.with_extension("")).collect();
        let (beside, files): (Vec<Found>, Vec<Found>) = files
            .into_iter()
            .partition(|found| !is_journal(found) && journals.contains(&found.path.with_extension("")));
        let beside: HashMap<PathBuf, Found> =
            beside.into_iter().map(|found| (found.path.with_extension(""), found)).collect();
        let mut runs = Vec::new();
        for (n, found) in files.iter().enumerate() {
            if self.has_most_runs() || self.is_cut_at(n, self.request.beginnings()) {
                break;
            }
            if self.bytes >= self.max_bytes() {
                self.cut = Some(Cut::Bytes);
                break;
            }
            let report = beside.get(&found.path.with_extension(""));
            let read = self.file(found).or_else(|flaw| report.map_or(Err(flaw), |report| self.file(report)));
            match read {
                Ok(run) => runs.extend(run),
                Err(flaw) => self.leave_out(&found.path, flaw),
            }
        }
        runs
    }

    /// Whether as many runs were read as are asked for.
    fn has_most_runs(&self) -> bool {
        self.request.rank != RankChoice::All && self.counts.values().sum::<usize>() >= self.request.most
    }

    /// Most bytes of whole files.
    fn max_bytes(&self) -> u64 {
        if self.request.rank == RankChoice::All { MAX_BYTES_OF_JOBS } else { MAX_BYTES }
    }

    /// The run of a file; None: it is not asked for.
    fn file(&mut self, found: &Found) -> Result<Option<PastRun>, Flaw> {
        let is_own = self.request.journal.as_ref() == Some(&found.path);
        if is_own {
            return Ok(None);
        }
        let there = match std::fs::symlink_metadata(&found.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            there => there.map_err(|error| unreadable(&error))?,
        };
        if AppendFile::is_ours(&there) {
            return Ok(None);
        }
        check_kind(&there)?;
        let mut file = open_unlinked(&found.path).map_err(|error| unreadable(&error))?;
        let there = file.metadata().map_err(|error| unreadable(&error))?;
        check_kind(&there)?;
        let read = self.opened(&found.path, &mut file, there.len());
        release(file, &there);
        read
    }

    fn opened(&mut self, path: &Path, file: &mut File, length: u64) -> Result<Option<PastRun>, Flaw> {
        let is_journal = is_journal(path);
        let mut text = Vec::new();
        let label = beginning::label(file, is_journal, self.request.name.as_deref(), &mut text)?;
        let Some(label) = label.filter(|label| self.request.matches(label) && !self.ids.contains(&label.id)) else {
            return Ok(None);
        };
        if self.counts.get(&label.rank).is_some_and(|count| *count >= self.request.most) {
            return Ok(None);
        }
        if length > MAX_FILE_BYTES {
            let what = format!("it is larger than {} MB", MAX_FILE_BYTES >> 20);
            return Err(Flaw::new(what, "move it to another folder"));
        }
        if memory::check(MEMORY_FACTOR * length as usize, "an earlier run").is_err() {
            return Ok(None); // the run that asks needs the memory
        }
        file.take(MAX_FILE_BYTES).read_to_end(&mut text).map_err(|error| unreadable(&error))?;
        self.bytes += text.len() as u64;
        if is_journal && !self.request.with_power {
            text = beginning::thinned(&text);
        }
        let report = report(&text, is_journal)?;
        let run = PastRun::of(&report)?;
        // A later attempt may have another name.
        if run.epochs_done == 0 || !self.request.matches(&run.label) {
            return Ok(None);
        }
        self.ids.insert(run.label.id.clone());
        *self.counts.entry(run.label.rank).or_default() += 1;
        self.reports.extend(Some(report).filter(|_| self.request.rank == RankChoice::All));
        Ok(Some(run))
    }

    /// Notes a file that is left out. A default folder has files of other programs and runs.
    fn leave_out(&mut self, path: &Path, flaw: Flaw) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if self.request.named.is_some() || (flaw.kind != FlawKind::Foreign && name.starts_with(&self.request.prefix)) {
            self.left_out.push((path.to_owned(), flaw));
        }
    }
}

/// The report of a file. That of a journal has the gaps between epochs, too.
fn report(text: &[u8], is_journal: bool) -> Result<Value, Flaw> {
    if is_journal {
        let (mut report, gaps_s) = journal_report::parse_with_gaps(text).map_err(|_| damaged())?;
        let rows = report.get_mut("epochs").and_then(Value::as_array_mut).into_iter().flatten();
        for (row, gap_s) in rows.filter_map(Value::as_object_mut).zip(gaps_s) {
            row.insert(past_run::GAP_S.into(), gap_s.into());
        }
        return Ok(report);
    }
    let mut report: Value = serde_json::from_slice(text).map_err(|_| damaged())?;
    sanitize::json(&mut report);
    unstated::complete(&mut report);
    Ok(report)
}

fn damaged() -> Flaw {
    Flaw::new("it is damaged", "remove it, or copy it again")
}

fn unreadable(error: &io::Error) -> Flaw {
    let is_refused = error.kind() == ErrorKind::PermissionDenied;
    let fix = if is_refused { "let this user read it" } else { "remove it, or copy it again" };
    Flaw::new(error.to_string(), fix)
}

/// Refuses links, pipes and devices, and files of other users.
fn check_kind(there: &Metadata) -> Result<(), Flaw> {
    if there.is_symlink() {
        return Err(Flaw::new("it is a link", "copy the file that it leads to"));
    }
    if !there.is_file() {
        return Err(Flaw::new(NO_FILE, "remove it"));
    }
    if ![os::user(), ROOT_UID].contains(&there.uid()) {
        let owner = os::user_name(there.uid());
        let flaw = Flaw::new(format!("it belongs to {owner}"), "copy it, if you trust it");
        return Err(Flaw { kind: FlawKind::OtherUser, ..flaw });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
