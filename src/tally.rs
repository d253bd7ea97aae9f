//! How many epochs the host has ended, in memory that outlives the process: a kill in the moment before the journal has an
//! epoch's line loses its energy, and not that it was.

use crate::host::{self, KeptPage};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where the pages are: memory of this node that all its processes see.
const FOLDER: &str = "/dev/shm";
/// The page holds how many epochs have ended, then of an even and of an odd number of them their time and the run's, ns.
const TIMES: [usize; 2] = [1, 3];

/// What one process of a run has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Count {
    /// Epochs.
    pub epochs: u64,
    /// Time in them, ns.
    pub inside: u64,
    /// From the first begin to the last end, ns.
    pub span: u64,
}

impl Count {
    /// What of it another count has not; None: nothing.
    pub fn beyond(self, other: Count) -> Option<Count> {
        let epochs = self.epochs.checked_sub(other.epochs).filter(|epochs| *epochs > 0)?;
        let (inside, span) = (self.inside.saturating_sub(other.inside), self.span.saturating_sub(other.span));
        Some(Count { epochs, inside, span })
    }
}

/// The page of this process.
pub struct Tally {
    page: KeptPage,
    path: PathBuf,
    /// Locked, which tells others that this process lives.
    _file: File,
}

impl Tally {
    /// Of the process that is number `life` to work on the run `id`.
    pub fn open(id: &str, life: u64) -> io::Result<Tally> {
        if host::file_size_limit() < (KeptPage::LEN * size_of::<u64>()) as u64 {
            return Err(io::ErrorKind::FileTooLarge.into()); // writing it would be a deadly signal
        }
        let path = path(id, life);
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        host::lock(&file)?;
        let page = KeptPage::new(&mut file).inspect_err(|_| {
            let _ = std::fs::remove_file(&path);
        })?;
        Ok(Tally { page, path, _file: file })
    }

    /// Notes that so much has ended. A kill between two stores leaves what was noted before.
    pub fn note(&self, count: Count) {
        let [even, odd] = TIMES;
        let place = if count.epochs.is_multiple_of(2) { even } else { odd };
        self.page.store(place, count.inside);
        self.page.store(place + 1, count.span);
        self.page.store(0, count.epochs);
    }

    /// Removes it: the journal has all of it.
    pub fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What the process has noted that was number `life` to work on the run; None: nothing is left of it.
pub fn left(id: &str, life: u64) -> Option<Count> {
    let path = path(id, life);
    let flags = host::NO_FOLLOW | host::NO_WAIT;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(&path).ok()?;
    if file.metadata().ok()?.uid() != host::user() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take((KeptPage::LEN * 8) as u64).read_to_end(&mut bytes).ok()?;
    let number = |place: usize| Some(u64::from_ne_bytes(bytes.get(place * 8..)?.get(..8)?.try_into().ok()?));
    let epochs = number(0)?;
    let place = TIMES.get((epochs % 2) as usize)?;
    Some(Count { epochs, inside: number(*place)?, span: number(place + 1)? })
}

/// Removes what that process has left.
pub fn forget(id: &str, life: u64) -> io::Result<()> {
    std::fs::remove_file(path(id, life))
}

/// By the name that `claim.rs` sweeps up after a day, where no process has it locked.
fn path(id: &str, life: u64) -> PathBuf {
    let id: String = id.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    Path::new(FOLDER).join(format!("carbontracker-{}-tally-{id}-{life}", host::user()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_last_is_left_until_it_is_removed() {
        let id = format!("{:016x}", host::random_u64());
        assert_eq!(left(&id, 1), None);
        let tally = Tally::open(&id, 1).unwrap();
        assert_eq!(left(&id, 1), Some(Count::default()));
        for epochs in 1..=3 {
            let count = Count { epochs, inside: epochs * 10, span: epochs * 11 };
            tally.note(count);
            assert_eq!(left(&id, 1), Some(count));
        }
        assert!(Tally::open(&id, 1).is_err(), "it is another's");
        tally.remove();
        assert_eq!(left(&id, 1), None);
    }
}
