//! Reads the files of the run that is watched, each again when it has changed.

use super::view::SILENCE_S;
use crate::report_files::{self, Unread};
use carbontracker::report::ranks::{self, RankReport};
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A file system's clock may differ from that of a rank, s.
const SKEW_S: f64 = 60.0;

/// Identifies a file's content: it changes when the file does, or when another file replaces it.
#[derive(Clone, Copy, PartialEq)]
pub struct Stamp {
    pub changed: SystemTime,
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp { changed: report_files::changed(metadata), length: metadata.len(), inode: metadata.ino() }
    }
}

/// A run as a file has it.
pub struct Found {
    pub file: PathBuf,
    pub stamp: Stamp,
    pub report: Value,
}

impl Found {
    /// Whether the run is over. A rank that counts nothing leaves no report, only its ended journal.
    pub fn is_over(&self) -> bool {
        let state = report_files::word(&self.report, "/run/state");
        let is_ended = report_files::has_ending(&self.file, "jsonl") && state != Some("unfinished");
        state == Some("done") || is_ended || is_last(&self.file)
    }
}

/// The files read so far; None for a file that holds no run.
#[derive(Default)]
pub struct Files {
    known: HashMap<PathBuf, (Stamp, Option<Found>)>,
}

impl Files {
    /// Reads a file if it has changed.
    pub fn load(&mut self, file: &Path) -> Result<&Found, Unread> {
        let broken = |error: io::Error| Unread::Broken(format!("{}: {error}", file.display()));
        let stamp = Stamp::of(&file.metadata().map_err(broken)?);
        if self.known.get(file).is_none_or(|(known, _)| *known != stamp) {
            self.known.remove(file);
            let found = match report_files::read(file) {
                Ok(told) => Some(Found { file: file.to_owned(), stamp, report: told.report }),
                Err(Unread::Foreign) => None,
                Err(broken) => return Err(broken),
            };
            self.known.insert(file.to_owned(), (stamp, found));
        }
        self.get(file).ok_or(Unread::Foreign)
    }

    /// What the last read of a file found.
    pub fn get(&self, file: &Path) -> Option<&Found> {
        self.known.get(file)?.1.as_ref()
    }

    /// The files of all ranks of a run's job; for a run without a job, its own file. `file` must have been loaded.
    pub fn job_of(&mut self, dir: &Path, file: &Path) -> Result<Vec<PathBuf>, String> {
        let mut row = vec![file.to_owned()];
        let part = self.get(file).map(|found| RankReport::of(&found.report)).unwrap_or_default();
        let mut since = part.from.filter(|_| part.job.is_some() && part.rank.is_some());
        while let Some(from) = since {
            let files = self.load_since(dir, from)?;
            row = self.row_of(file, &files);
            let first = row.iter().filter_map(|file| ranks::started(&self.get(file)?.report)).reduce(f64::min);
            since = first.filter(|first| *first < from); // ranks that ended before this one began
        }
        Ok(row)
    }

    /// Reads what was written in a folder since a time, s since 1970, and forgets all other files.
    fn load_since(&mut self, dir: &Path, from: f64) -> Result<Vec<PathBuf>, String> {
        let since = Duration::try_from_secs_f64(from - SKEW_S).unwrap_or_default();
        let since = SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut files = report_files::of_folder(dir)?;
        files.retain(|file| file.metadata().is_ok_and(|metadata| report_files::changed(&metadata) >= since));
        self.known.retain(|known, _| files.binary_search(known).is_ok());
        files.retain(|file| self.load(file).is_ok());
        Ok(files)
    }

    /// Of these files, those that hold ranks of the same run as one of them.
    fn row_of(&self, file: &Path, files: &[PathBuf]) -> Vec<PathBuf> {
        let found: Vec<&Found> = files.iter().filter_map(|file| self.get(file)).collect();
        let rows = ranks::joined(&found.iter().map(|found| RankReport::of(&found.report)).collect::<Vec<_>>());
        let is_it = |place: &usize| found.get(*place).is_some_and(|found| found.file == file);
        let row = rows.into_iter().find(|row| row.iter().any(is_it));
        let mut row: Vec<PathBuf> = match row {
            Some(row) => row.iter().filter_map(|&place| found.get(place)).map(|found| found.file.clone()).collect(),
            None => vec![file.to_owned()],
        };
        row.sort();
        row
    }
}

/// Whether a file is the report that closes a journal.
fn is_last(file: &Path) -> bool {
    report_files::has_ending(file, "json") && file.with_extension("jsonl").exists() && report_files::is_final(file)
}

/// Of a run's two files, the one that holds more.
pub fn of_one(file: &Path) -> Option<PathBuf> {
    let is_ours = report_files::has_ending(file, "json") || report_files::has_ending(file, "jsonl");
    let [report, journal] = ["json", "jsonl"].map(|ending| file.with_extension(ending));
    let files = if report_files::is_final(&report) { [report, journal] } else { [journal, report] };
    let files = if is_ours { files.to_vec() } else { vec![file.to_owned()] };
    files.into_iter().find(|file| file.exists())
}

/// The files of a folder, the newest first; journals of runs that may still go on come before all others.
pub fn newest_first(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let at = |file: &PathBuf| file.metadata().as_ref().map(report_files::changed).ok();
    let mut files = report_files::of_folder(dir)?;
    files.sort_by_cached_key(|file| Reverse((may_go_on(file), at(file))));
    Ok(files)
}

/// Whether a file is a journal with a recent line.
pub fn may_go_on(file: &Path) -> bool {
    let is_recent = |at: SystemTime| at.elapsed().is_ok_and(|elapsed| elapsed.as_secs_f64() <= SILENCE_S);
    report_files::has_ending(file, "jsonl")
        && file.metadata().is_ok_and(|metadata| is_recent(report_files::changed(&metadata)))
}
