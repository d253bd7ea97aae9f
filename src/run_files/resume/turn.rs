//! Gives one process the turn to resume a run where locks are not shared.
//!
//! Processes on several machines may find a silent journal at the same moment. The process that creates a file beside
//! the journal has the turn. It removes the file once its first line is on the disk.

use crate::os;
use crate::run_files::attempt;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Most files left by processes that were killed in their turn.
const MAX_TURN_FILES: usize = 16;

/// A turn. It ends when the value is dropped.
pub struct ResumeTurn {
    /// The files of processes that were killed in their turn, and last this process's file.
    files: Vec<PathBuf>,
}

/// Why a process does not get the turn.
pub enum Missed {
    /// Another process has the turn.
    Taken,
    /// No file can be created beside the journal.
    Unknown,
}

impl ResumeTurn {
    /// Takes the turn to resume a journal. The caller must read the journal again, because it may have changed.
    pub fn take(journal: &Path) -> Result<ResumeTurn, Missed> {
        let mut files = Vec::new();
        for file in files_of(journal) {
            let mut options = OpenOptions::new();
            let made = options.write(true).create_new(true).custom_flags(os::NO_FOLLOW).open(&file);
            files.push(file);
            match made {
                Ok(_) => return Ok(ResumeTurn { files }),
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(Missed::Unknown),
                Err(_) if files.last().is_some_and(|file| is_left_over(file)) => (),
                Err(_) => return Err(Missed::Taken),
            }
        }
        Err(Missed::Taken)
    }
}

/// Removes the files of processes that were killed in their turn, unless a process has the turn now.
pub fn clear(journal: &Path) {
    let files: Vec<PathBuf> = files_of(journal).take_while(|file| std::fs::symlink_metadata(file).is_ok()).collect();
    if files.iter().all(|file| is_left_over(file)) {
        files.iter().for_each(|file| drop(std::fs::remove_file(file)));
    }
}

fn files_of(journal: &Path) -> impl Iterator<Item = PathBuf> {
    let name = journal.file_name().unwrap_or_default().to_string_lossy();
    (1..=MAX_TURN_FILES).map(move |number| journal.with_file_name(format!(".{name}.{number}.taken")))
}

impl Drop for ResumeTurn {
    fn drop(&mut self) {
        self.files.iter().for_each(|file| drop(std::fs::remove_file(file)));
    }
}

/// Whether a file is so old that its process must have been killed. A turn takes a moment.
fn is_left_over(file: &Path) -> bool {
    let made = std::fs::symlink_metadata(file).and_then(|there| there.modified());
    let made = made.ok().and_then(|made| made.elapsed().ok());
    made.is_some_and(|age| age.as_secs_f64() > attempt::max_silence_s(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    #[test]
    fn turn_belongs_to_one_process_until_it_ends_or_is_too_old() {
        let folder = std::env::temp_dir().join(format!("carbontracker-turn-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let journal = folder.join("x.jsonl");
        let turn = ResumeTurn::take(&journal).ok().unwrap();
        assert!(matches!(ResumeTurn::take(&journal), Err(Missed::Taken)));
        drop(turn);
        let killed = ResumeTurn::take(&journal).ok().unwrap();
        let old = SystemTime::now() - Duration::from_secs(60);
        std::fs::File::open(&killed.files[0]).unwrap().set_modified(old).unwrap();
        std::mem::forget(killed);
        let next = ResumeTurn::take(&journal).ok().unwrap();
        assert!(matches!(ResumeTurn::take(&journal), Err(Missed::Taken)));
        clear(&journal);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2, "its process may be alive");
        drop(next);
        let killed = ResumeTurn::take(&journal).ok().unwrap();
        std::fs::File::open(&killed.files[0]).unwrap().set_modified(old).unwrap();
        std::mem::forget(killed);
        clear(&journal);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        assert!(matches!(ResumeTurn::take(Path::new("/proc/x.jsonl")), Err(Missed::Unknown)));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
