//! Appends whole lines to a file. A line that cannot be written whole is removed again.
//!
//! Before each write the caller can check the file: its descriptor, its length and its path.

use super::atomic_replace::{self, is_regular};
use crate::os::{self, HeldFile, PerProcess, disk};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;

/// A file to which lines are appended.
pub struct AppendFile {
    file: HeldFile,
    path: PathBuf,
    /// Length of the whole lines, bytes.
    whole: u64,
    /// The last line has no line feed.
    is_torn: bool,
    /// A part of a line that failed may still be in the file.
    has_rest: bool,
    /// Released once the file is closed.
    _held: HeldLock,
}

/// The state of a file, compared with the last write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AppendState {
    /// It is unchanged.
    Whole,
    /// The application has closed its descriptor.
    Closed,
    /// It is not at its path: it was removed, renamed or replaced.
    Gone,
    /// It is shorter.
    Truncated,
    /// It is longer: another process writes into it.
    Grown,
}

impl AppendFile {
    /// Creates a new file. Fails with `AlreadyExists` if the path is a file or a link.
    pub fn create(path: &Path) -> io::Result<AppendFile> {
        disk::open(path)?;
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create_new(true).custom_flags(os::NO_FOLLOW).open(path)?;
        AppendFile::hold(file, path, HeldLock::take(&std::fs::symlink_metadata(path)?)?)
    }

    /// Opens an existing regular file. Fails with `ResourceBusy` if this process already appends to it.
    pub fn open(path: &Path) -> io::Result<AppendFile> {
        AppendFile::open_with(path, os::NO_WAIT)
    }

    /// Opens an existing file whose name the library made. Fails if it is a link, or belongs to another user.
    pub fn open_own(path: &Path) -> io::Result<AppendFile> {
        atomic_replace::is_own(path)?;
        let growing = AppendFile::open_with(path, os::NO_WAIT | os::NO_FOLLOW)?;
        let metadata = growing.file.metadata()?;
        // Another user may have made a second name (hard link) for a file of this user.
        let folder = path.parent().unwrap_or(Path::new("/"));
        let is_own = atomic_replace::FileOwner::of(folder).is(metadata.uid()) && metadata.nlink() == 1;
        if is_own { Ok(growing) } else { Err(ErrorKind::PermissionDenied.into()) }
    }

    fn open_with(path: &Path, flags: i32) -> io::Result<AppendFile> {
        disk::open(path)?;
        let held = HeldLock::take(&std::fs::metadata(path)?)?;
        AppendFile::hold(OpenOptions::new().read(true).append(true).custom_flags(flags).open(path)?, path, held)
    }

    fn hold(file: File, path: &Path, held: HeldLock) -> io::Result<AppendFile> {
        let file = HeldFile::hold(file)?;
        let metadata = file.metadata()?;
        is_regular(&metadata)?;
        let whole = metadata.len();
        let mut last = [b'\n'];
        if whole > 0 {
            file.file().ok_or_else(os::lost)?.read_exact_at(&mut last, whole - 1)?;
        }
        let is_torn = last != [b'\n'];
        Ok(AppendFile { file, path: path.to_owned(), whole, is_torn, has_rest: false, _held: held })
    }

    /// Reads up to `most` bytes. Later lines are appended after the content that was read.
    pub fn read(&mut self, most: u64) -> io::Result<Vec<u8>> {
        // With room for one more byte, a single read finds the end.
        let expected = usize::try_from(self.whole.min(most)).unwrap_or(0);
        let mut text = Vec::new();
        let _ = text.try_reserve_exact(expected.saturating_add(1));
        let mut file = self.file()?;
        file.seek(SeekFrom::Start(0))?;
        file.take(most).read_to_end(&mut text)?;
        if (text.len() as u64) < most {
            (self.whole, self.is_torn) = (text.len() as u64, text.last().is_some_and(|last| *last != b'\n'));
        }
        Ok(text)
    }

    /// Whether this process appends to this file.
    pub fn is_ours(metadata: &Metadata) -> bool {
        held().is_some_and(|held| held.contains(&identity(metadata)))
    }

    /// Appends lines: all of them, or none if it fails.
    pub fn append(&mut self, lines: &str) -> io::Result<()> {
        let text = if self.is_torn { format!("\n{lines}") } else { lines.to_owned() };
        let mut file = self.file()?;
        if self.has_rest {
            file.set_len(self.whole)?;
        }
        // Opened to append: if another program cuts the file now, the lines leave no hole, and the file is too short.
        let written = disk::write_all(&mut file, &self.path, text.as_bytes());
        // Also a full disk can shorten a file.
        let has_rest = written.is_err() && file.set_len(self.whole).is_err();
        self.has_rest = has_rest;
        if written.is_ok() {
            (self.whole, self.is_torn) = (self.whole + text.len() as u64, false);
        }
        written
    }

    /// Empties the file.
    pub fn restart(&mut self) -> io::Result<()> {
        self.file()?.set_len(0)?;
        (self.whole, self.is_torn, self.has_rest) = (0, false, false);
        Ok(())
    }

    /// Makes later lines follow the lines of other processes.
    pub fn go_to_end(&mut self) -> io::Result<()> {
        self.read(u64::MAX).map(drop)
    }

    /// Opens the file again by its path, after the application has closed its descriptor. Fails with `NotFound` if
    /// another file is at the path.
    pub fn reopen(&mut self) -> io::Result<()> {
        let file = OpenOptions::new().read(true).append(true).custom_flags(os::NO_WAIT).open(&self.path)?;
        let file = HeldFile::hold(file)?;
        if identity(&file.metadata()?) != self._held.0 {
            return Err(ErrorKind::NotFound.into());
        }
        self.file = file;
        Ok(())
    }

    /// Writes the content to the disk.
    pub fn sync(&self) -> io::Result<()> {
        disk::sync(self.file()?, &self.path)
    }

    /// The state of the file. `checks_path` also checks that it is still at its path, which costs one more system call.
    pub fn state(&self, checks_path: bool) -> AppendState {
        let Ok(metadata) = self.file.metadata() else { return AppendState::Closed };
        if metadata.nlink() == 0 || (checks_path && !self.is_at_its_path()) {
            AppendState::Gone
        } else if metadata.len() < self.whole {
            AppendState::Truncated
        } else if metadata.len() > self.whole && !self.has_rest {
            AppendState::Grown
        } else {
            AppendState::Whole
        }
    }

    /// Whether the path still leads to this file, through links too. A path that cannot be read for now counts
    /// as unchanged.
    fn is_at_its_path(&self) -> bool {
        match std::fs::metadata(&self.path) {
            Ok(there) => identity(&there) == self._held.0,
            Err(error) => ![ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()),
        }
    }

    /// Locks the file for this process. Returns the process that holds the lock, if that is another one; 0: its
    /// number is unknown.
    pub fn lock(&self) -> io::Result<Option<u32>> {
        os::lock(self.file()?)
    }

    fn file(&self) -> io::Result<&File> {
        self.file.file().ok_or_else(os::lost)
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Process, device and inode number.
type FileIdentity = (u32, u64, u64);

/// The files to which this process appends. A record lock excludes other processes only. Closing a second descriptor of
/// the file would release the lock.
static HELD: PerProcess<Vec<FileIdentity>> = PerProcess::new(Vec::new());

/// The list, locked. None in a child that was forked while another thread held the mutex.
fn held() -> Option<MutexGuard<'static, Vec<FileIdentity>>> {
    HELD.lock_within(os::LOCK_WAIT)
}

fn identity(metadata: &Metadata) -> FileIdentity {
    (os::process_id(), metadata.dev(), metadata.ino())
}

/// An entry in the list: this process appends to the file in one place only.
struct HeldLock(FileIdentity);

impl HeldLock {
    fn take(metadata: &Metadata) -> io::Result<HeldLock> {
        is_regular(metadata)?;
        let identity = identity(metadata);
        if let Some(mut held) = held() {
            if held.contains(&identity) {
                return Err(io::Error::new(ErrorKind::ResourceBusy, "this process already writes it"));
            }
            held.push(identity);
        }
        Ok(HeldLock(identity))
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        held().into_iter().for_each(|mut held| held.retain(|identity| *identity != self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn append_writes_whole_lines() {
        let folder = std::env::temp_dir().join(format!("carbontracker-file-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a");
        let mut growing = AppendFile::create(&path).unwrap();
        growing.append("one\n").unwrap();
        assert_eq!(AppendFile::create(&path).err().map(|error| error.kind()), Some(ErrorKind::AlreadyExists));
        assert_eq!(AppendFile::open(&path).err().map(|error| error.kind()), Some(ErrorKind::ResourceBusy));
        let metadata = std::fs::metadata(&path).unwrap();
        assert!(AppendFile::is_ours(&metadata));
        drop(growing);
        assert!(!AppendFile::is_ours(&metadata));
        let mut again = AppendFile::open(&path).unwrap();
        again.append("two\n").unwrap();
        assert_eq!((again.read(3).unwrap(), again.read(99).unwrap()), (b"one".to_vec(), b"one\ntwo\n".to_vec()));
        // Another process may have appended before the file was locked.
        std::fs::write(&path, "one\ntwo\nthr").unwrap();
        assert_eq!((again.state(false), again.read(99).unwrap().len()), (AppendState::Grown, 11));
        again.append("four\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\nthr\nfour\n");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn state_shows_what_became_of_a_file() {
        let folder = std::env::temp_dir().join(format!("carbontracker-state-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a");
        let mut growing = AppendFile::create(&path).unwrap();
        growing.append("one\n").unwrap();
        assert_eq!(growing.state(true), AppendState::Whole);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(2).unwrap();
        assert_eq!(growing.state(true), AppendState::Truncated);
        growing.append("two\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "ontwo\n", "no hole, though it was cut unnoticed");
        assert_eq!(growing.state(true), AppendState::Truncated);
        growing.restart().unwrap();
        growing.append("two\n").unwrap();
        let number = os::replace_number(&growing.file, File::create(folder.join("theirs")).unwrap());
        assert_eq!(growing.state(true), AppendState::Closed);
        assert!(growing.append("three\n").is_err());
        growing.reopen().unwrap();
        growing.append("four\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\nfour\n");
        assert_eq!(std::fs::read_to_string(folder.join("theirs")).unwrap(), "");
        assert!(std::path::Path::new(&format!("/proc/self/fd/{number}")).exists(), "the application's file is open");
        std::fs::rename(&path, folder.join("b")).unwrap();
        assert_eq!((growing.state(false), growing.state(true)), (AppendState::Whole, AppendState::Gone));
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(growing.state(false), AppendState::Gone);
    }

    #[test]
    fn append_to_a_full_disk_damages_nothing() {
        let Ok(mut file) = OpenOptions::new().write(true).open("/dev/full") else { return };
        assert!(file.write_all(b"x").is_err());
        let full = OpenOptions::new().read(true).write(true).open("/dev/full").unwrap();
        let (file, _held) = (HeldFile::hold(full).unwrap(), HeldLock((0, 0, 0)));
        let mut growing =
            AppendFile { file, path: "/dev/full".into(), whole: 0, is_torn: false, has_rest: false, _held };
        let error = growing.append("x").unwrap_err();
        assert_eq!((error.kind(), growing.whole), (ErrorKind::StorageFull, 0));
        assert!(atomic_replace::in_words(growing.path(), &error).contains("Make room"));
    }
}
