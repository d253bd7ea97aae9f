//! The folder in which `carbontracker run` keeps its newest runs, in the user's state folder. The XDG Base Directory
//! Specification has its place: <https://specifications.freedesktop.org/basedir-spec/latest>.
//!
//! A library in an application writes nothing there. Its forecast reads the folder.

use super::attempt::max_silence_s;
use super::file_io::AppendFile;
use super::history::{RunLabel, label_of};
use super::paths::{self, JOURNAL, REPORT};
use super::resume;
use crate::os;
use crate::report::ranks::{RankReport, joined};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Number of runs that are kept.
pub const KEPT_RUNS: usize = 100;
/// How a user chooses another folder, or none.
pub const OTHER_FOLDER: &str = "log_dir=FOLDER chooses another folder, log_dir=off none";
/// Only this user may read the folder.
const MODE: u32 = 0o700;
/// The rights of other users.
const RIGHTS_OF_OTHERS: u32 = 0o077;
/// Most entries of the folder that are listed.
const MAX_ENTRIES: usize = 1 << 16;
/// A run whose lock proves nothing counts as live until its files are silent for a day. Its process may be stopped.
const MAX_SILENCE: Duration = Duration::from_secs(24 * 3600);
const ROOT_UID: u32 = 0;

/// The folder; None: the environment names no state folder and no home. `variable` looks up a variable.
pub fn path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("carbontracker/runs"))
}

/// Makes the folder ready for a new run. The error is a message for the user.
pub fn prepare(folder: Option<&Path>) -> Result<&Path, String> {
    let without = "the run keeps no journal";
    let folder =
        folder.ok_or_else(|| format!("XDG_STATE_HOME and HOME name no folder; {without}; set HOME. {OTHER_FOLDER}"))?;
    let there = owned(folder).and_then(|()| {
        DirBuilder::new().recursive(true).mode(MODE).create(folder)?;
        std::fs::metadata(folder)
    });
    let there = there.map_err(|error| format!("{}: {error}; {without}. {OTHER_FOLDER}", folder.display()))?;
    if there.mode() & RIGHTS_OF_OTHERS != 0 {
        // A file system without rights of its own keeps others. Then this changes nothing.
        let _ = std::fs::set_permissions(folder, Permissions::from_mode(there.mode() & MODE));
    }
    Ok(folder)
}

/// Checks that the folder, or the one in which it is made, belongs to this user or root. A shell with more rights may
/// have the HOME of another user. A file of that shell would shut the user out.
fn owned(folder: &Path) -> io::Result<()> {
    let nearest = folder.ancestors().find_map(|folder| std::fs::metadata(folder).ok().map(|there| (folder, there)));
    let Some((nearest, there)) = nearest else { return Ok(()) };
    let is_own = there.uid() == os::user() || (there.uid() == ROOT_UID && nearest != folder);
    if is_own {
        return Ok(());
    }
    let owner = os::user_name(there.uid());
    Err(io::Error::other(format!(
        "{} belongs to {owner}",
        if nearest == folder { "it".into() } else { nearest.display().to_string() }
    )))
}

/// The files of a run with one stem.
struct Kept {
    stem: PathBuf,
    files: Vec<PathBuf>,
    /// Begin of the run, by its name.
    started: SystemTime,
    /// Time of its last change.
    changed: SystemTime,
}

/// Removes the oldest runs, so that `keep` are left. Only files that this library wrote for this user go, all ranks of
/// a job together, and none of a run that is still live. A folder that cannot be read stays as it is.
pub fn remove_old(folder: &Path, keep: usize) {
    let kept = list(folder);
    if kept.len() <= keep {
        return;
    }
    let labels: Vec<Option<RunLabel>> = kept.iter().map(|run| label(run, run.files.first()?)).collect();
    let is_ours = |index: &usize| labels.get(*index).is_some_and(Option::is_some);
    let mut rows = joined(&kept.iter().zip(&labels).map(rank_report).collect::<Vec<_>>());
    rows.retain(|row| row.iter().all(is_ours));
    let runs = |row: &[usize]| row.iter().filter_map(|index| kept.get(*index)).collect::<Vec<&Kept>>();
    rows.sort_by_key(|row| runs(row).iter().map(|run| run.started).max());
    let more = rows.len().saturating_sub(keep);
    let (now, are_locks_shared) = (os::date(), resume::are_locks_shared(&folder.join(JOURNAL)));
    for run in rows.iter().take(more).map(|row| runs(row)) {
        if !run.iter().any(|rank| rank.is_live(now, are_locks_shared)) {
            let files = run.iter().flat_map(|rank| rank.files.iter().filter(|file| label(rank, file).is_some()));
            // Another process may remove the same files.
            files.for_each(|file| drop(std::fs::remove_file(file)));
        }
    }
}

/// The journals and reports of this user whose names have the form of this library's.
fn list(folder: &Path) -> Vec<Kept> {
    let mut kept: BTreeMap<PathBuf, Kept> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().take(MAX_ENTRIES).flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let stem = [JOURNAL, REPORT].into_iter().find_map(|ending| name.strip_suffix(ending));
        let Some((stem, started)) = stem.and_then(|stem| Some((folder.join(stem), paths::started_in(stem)?))) else {
            continue;
        };
        let is_own = |there: &Metadata| there.is_file() && there.uid() == os::user();
        let Some(there) = entry.metadata().ok().filter(is_own) else { continue };
        let changed = there.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let run = kept.entry(stem.clone()).or_insert(Kept { stem, files: Vec::new(), started, changed });
        run.files.push(entry.path());
        run.changed = run.changed.max(changed);
    }
    kept.into_values().collect()
}

/// The label of a file of this library; None: another program may have written a file of that name.
fn label(run: &Kept, file: &Path) -> Option<RunLabel> {
    let stem = run.stem.file_name()?.to_string_lossy();
    label_of(file).filter(|label| paths::is_stem_of(&stem, &label.id))
}

fn rank_report<'a>((run, label): (&Kept, &'a Option<RunLabel>)) -> RankReport<'a> {
    let seconds = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs_f64());
    let of_label = label.as_ref().map(|label| RankReport {
        job: label.job.as_deref(),
        name: label.name.as_deref(),
        rank: label.rank,
        ranks: label.ranks,
        ..RankReport::default()
    });
    RankReport { from: seconds(run.started), to: seconds(run.changed), ..of_label.unwrap_or_default() }
}

impl Kept {
    /// Whether a process may still write the run.
    fn is_live(&self, now: SystemTime, are_locks_shared: bool) -> bool {
        let silence = now.duration_since(self.changed).unwrap_or_default();
        let ends_with = |file: &PathBuf, ending: &str| file.as_os_str().as_encoded_bytes().ends_with(ending.as_bytes());
        // A report is written at the end of a run. Only a run that is resumed writes its journal after it.
        let has_report = self.files.iter().any(|file| ends_with(file, REPORT));
        if silence.as_secs_f64() <= max_silence_s(f64::NAN) && !(has_report && are_locks_shared) {
            return true;
        }
        let is_journal = |file: &&PathBuf| ends_with(file, JOURNAL);
        // A run without its journal has ended, or was killed.
        self.files.iter().filter(is_journal).any(|journal| match AppendFile::open_own(journal) {
            Ok(file) => match file.lock() {
                Ok(None) if are_locks_shared => false,
                Ok(None) | Err(_) => silence <= MAX_SILENCE,
                Ok(Some(_)) => true,
            },
            Err(_) => true,
        })
    }
}

#[cfg(test)]
mod tests;
