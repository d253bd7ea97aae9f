//! Whose turn it is to take a run up, where locks do not show it: of processes on several machines that find a silent journal
//! at the same moment, the one that makes a file beside it. It removes the file once its first line is on the disk.

use crate::os;
use crate::run_files::attempt;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Processes that may have been killed in their turn.
const MOST: usize = 16;

/// A turn, until it is dropped.
pub struct ResumeTurn {
    /// Its own file, and before it those of processes that were killed in their turn.
    files: Vec<PathBuf>,
}

/// Why there is no turn.
pub enum Missed {
    /// Another process has it.
    Taken,
    /// No file can be made there.
    Unknown,
}

impl ResumeTurn {
    /// Takes the turn of a journal. What was read of the journal before may be old by then.
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

/// Removes what processes have left that were killed in their turn, unless another has its turn now.
pub fn clear(journal: &Path) {
    let files: Vec<PathBuf> = files_of(journal).take_while(|file| std::fs::symlink_metadata(file).is_ok()).collect();
    if files.iter().all(|file| is_left_over(file)) {
        files.iter().for_each(|file| drop(std::fs::remove_file(file)));
    }
}

fn files_of(journal: &Path) -> impl Iterator<Item = PathBuf> {
    let name = journal.file_name().unwrap_or_default().to_string_lossy();
    (1..=MOST).map(move |number| journal.with_file_name(format!(".{name}.{number}.taken")))
}

impl Drop for ResumeTurn {
    fn drop(&mut self) {
        self.files.iter().for_each(|file| drop(std::fs::remove_file(file)));
    }
}

/// Whether a file is so old that the process that made it was killed: a turn takes a moment.
fn is_left_over(file: &Path) -> bool {
    let made = std::fs::symlink_metadata(file).and_then(|there| there.modified());
    let made = made.ok().and_then(|made| made.elapsed().ok());
    made.is_some_and(|age| age.as_secs_f64() > attempt::patience_s(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    #[test]
    fn one_process_has_the_turn_until_it_ends_or_is_long_gone() {
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
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2, "its process may live");
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
