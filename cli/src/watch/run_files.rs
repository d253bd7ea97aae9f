//! Reads the files of the watched run, each again when it has changed.

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

/// Largest difference between the clocks of a file system and a rank, s.
const MAX_CLOCK_SKEW_S: f64 = 60.0;

/// Identifies a file's content: it changes when the file does, or when another file replaces it.
#[derive(Clone, Copy, PartialEq)]
pub struct ContentStamp {
    pub changed: SystemTime,
    length: u64,
    inode: u64,
}

impl ContentStamp {
    fn of(metadata: &Metadata) -> ContentStamp {
        ContentStamp { changed: report_files::changed(metadata), length: metadata.len(), inode: metadata.ino() }
    }
}

/// A file with the run it holds.
pub struct WatchedFile {
    pub file: PathBuf,
    pub stamp: ContentStamp,
    pub report: Value,
}

impl WatchedFile {
    /// True if the run is over. A rank that counts nothing leaves no report, only its ended journal.
    pub fn is_over(&self) -> bool {
        let state = report_files::word(&self.report, "/run/state");
        let is_ended = report_files::has_ending(&self.file, "jsonl") && state != Some("unfinished");
        state == Some("done") || is_ended || is_last(&self.file)
    }
}

/// The files read so far. None is a file without a run.
#[derive(Default)]
pub struct WatchedFiles {
    known: HashMap<PathBuf, (ContentStamp, Option<WatchedFile>)>,
}

impl WatchedFiles {
    /// Reads a file if it has changed.
    pub fn load(&mut self, file: &Path) -> Result<&WatchedFile, Unread> {
        let broken = |error: io::Error| Unread::Broken(format!("{}: {error}", file.display()));
        let stamp = ContentStamp::of(&file.metadata().map_err(broken)?);
        if self.known.get(file).is_none_or(|(known, _)| *known != stamp) {
            self.known.remove(file);
            let found = match report_files::read(file) {
                Ok(read) => Some(WatchedFile { file: file.to_owned(), stamp, report: read.report }),
                Err(Unread::Foreign) => None,
                Err(broken) => return Err(broken),
            };
            self.known.insert(file.to_owned(), (stamp, found));
        }
        self.get(file).ok_or(Unread::Foreign)
    }

    /// A file's run, if the last read found one.
    pub fn get(&self, file: &Path) -> Option<&WatchedFile> {
        self.known.get(file)?.1.as_ref()
    }

    /// The files of all ranks of a run's job; for a run without a job, its own file. `file` must be loaded.
    pub fn job_of(&mut self, dir: &Path, file: &Path) -> Result<Vec<PathBuf>, String> {
        let mut row = vec![file.to_owned()];
        let part = self.get(file).map(|found| RankReport::of(&found.report)).unwrap_or_default();
        let mut since = part.from.filter(|_| part.job.is_some() && part.rank.is_some());
        while let Some(from) = since {
            let files = self.load_since(dir, from)?;
            row = self.row_of(file, &files);
            let first = row.iter().filter_map(|file| ranks::started(&self.get(file)?.report)).reduce(f64::min);
            since = first.filter(|first| *first < from); // other ranks may have ended before this one began
        }
        Ok(row)
    }

    /// Reads the files of a folder that changed since a time, s since 1970, and forgets all others.
    fn load_since(&mut self, dir: &Path, from: f64) -> Result<Vec<PathBuf>, String> {
        let since = Duration::try_from_secs_f64(from - MAX_CLOCK_SKEW_S).unwrap_or_default();
        let since = SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut files = report_files::of_folder(dir)?;
        files.retain(|file| file.metadata().is_ok_and(|metadata| report_files::changed(&metadata) >= since));
        self.known.retain(|known, _| files.binary_search(known).is_ok());
        files.retain(|file| self.load(file).is_ok());
        Ok(files)
    }

    /// The files with ranks of the same job as `file`.
    fn row_of(&self, file: &Path, files: &[PathBuf]) -> Vec<PathBuf> {
        let found: Vec<&WatchedFile> = files.iter().filter_map(|file| self.get(file)).collect();
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

/// True if a file is the final report of a journal beside it.
fn is_last(file: &Path) -> bool {
    report_files::has_ending(file, "json") && file.with_extension("jsonl").exists() && report_files::is_final(file)
}

/// The file of a run that holds more: its report or its journal. None if neither exists.
pub fn of_one(file: &Path) -> Option<PathBuf> {
    let is_ours = report_files::has_ending(file, "json") || report_files::has_ending(file, "jsonl");
    let [report, journal] = ["json", "jsonl"].map(|ending| file.with_extension(ending));
    let files = if report_files::is_final(&report) { [report, journal] } else { [journal, report] };
    let files = if is_ours { files.to_vec() } else { vec![file.to_owned()] };
    files.into_iter().find(|file| file.exists())
}

/// The files of a folder, the newest first. Journals of runs that may be in progress come before all others.
pub fn newest_first(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let at = |file: &PathBuf| file.metadata().as_ref().map(report_files::changed).ok();
    let mut files = report_files::of_folder(dir)?;
    files.sort_by_cached_key(|file| Reverse((may_go_on(file), at(file))));
    Ok(files)
}

/// True if a file is a journal that changed recently.
pub fn may_go_on(file: &Path) -> bool {
    let is_recent = |at: SystemTime| at.elapsed().is_ok_and(|elapsed| elapsed.as_secs_f64() <= SILENCE_S);
    report_files::has_ending(file, "jsonl")
        && file.metadata().is_ok_and(|metadata| is_recent(report_files::changed(&metadata)))
}
