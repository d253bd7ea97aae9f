//! A file that grows by whole lines: a line is appended whole or taken back. Before each write the file is checked: is it
//! still ours, as long as we left it, and where it was?

use super::atomic_replace::{self, is_regular};
use crate::os::{self, HeldFile};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

/// A file that grows.
pub struct AppendFile {
    file: HeldFile,
    path: PathBuf,
    /// Up to here it is whole.
    whole: u64,
    /// Its last line has no end.
    is_torn: bool,
    /// A line that failed may still be there in part.
    has_rest: bool,
    /// Let go once the file is closed.
    _held: HeldLock,
}

/// What became of a file since it was written last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AppendState {
    /// It is as it was left.
    Whole,
    /// The application closed its descriptor.
    Closed,
    /// Nobody can find it any more: it was removed, or another file stands at its path.
    Gone,
    /// It was cut short.
    Truncated,
    /// It has grown: another process writes into it.
    Grown,
}

impl AppendFile {
    /// A new one; not where there is one already, or a link.
    pub fn create(path: &Path) -> io::Result<AppendFile> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).custom_flags(os::NO_FOLLOW).open(path)?;
        AppendFile::hold(file, path, HeldLock::take(&std::fs::symlink_metadata(path)?)?)
    }

    /// One that is there, a regular file that grows nowhere else in this process.
    pub fn open(path: &Path) -> io::Result<AppendFile> {
        AppendFile::open_with(path, os::NO_WAIT)
    }

    /// As `open`, for a name of the library's own making: through no link, and of this user.
    pub fn open_own(path: &Path) -> io::Result<AppendFile> {
        atomic_replace::is_own(path)?;
        let growing = AppendFile::open_with(path, os::NO_WAIT | os::NO_FOLLOW)?;
        let metadata = growing.file.metadata()?;
        // A second name may be another user's way to have us write into a file of ours.
        let folder = path.parent().unwrap_or(Path::new("/"));
        let is_own = atomic_replace::FileOwner::of(folder).is(metadata.uid()) && metadata.nlink() == 1;
        if is_own { Ok(growing) } else { Err(ErrorKind::PermissionDenied.into()) }
    }

    fn open_with(path: &Path, flags: i32) -> io::Result<AppendFile> {
        let held = HeldLock::take(&std::fs::metadata(path)?)?;
        AppendFile::hold(OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?, path, held)
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

    /// What is in it, up to this many bytes. Lines that are added come after what it holds by now.
    pub fn read(&mut self, most: u64) -> io::Result<Vec<u8>> {
        // One byte more than is expected shows the end by one read.
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

    /// Whether this process lets this file grow.
    pub fn is_ours(metadata: &Metadata) -> bool {
        held().is_some_and(|held| held.contains(&identity(metadata)))
    }

    /// Adds lines to its end, all of them or nothing.
    pub fn append(&mut self, lines: &str) -> io::Result<()> {
        let text = if self.is_torn { format!("\n{lines}") } else { lines.to_owned() };
        let mut file = self.file()?;
        if self.has_rest {
            file.set_len(self.whole)?;
        }
        let written = file.seek(SeekFrom::Start(self.whole)).and_then(|_| file.write_all(text.as_bytes()));
        // A disk that is full can still be given room back.
        let has_rest = written.is_err() && file.set_len(self.whole).is_err();
        self.has_rest = has_rest;
        if written.is_ok() {
            (self.whole, self.is_torn) = (self.whole + text.len() as u64, false);
        }
        written
    }

    /// Empties it, to be written anew.
    pub fn restart(&mut self) -> io::Result<()> {
        self.file()?.set_len(0)?;
        (self.whole, self.is_torn, self.has_rest) = (0, false, false);
        Ok(())
    }

    /// Adds after what others have added.
    pub fn go_to_end(&mut self) -> io::Result<()> {
        self.read(u64::MAX).map(drop)
    }

    /// Opens it again by its path, after the application closed its descriptor.
    pub fn reopen(&mut self) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).custom_flags(os::NO_WAIT).open(&self.path)?;
        let file = HeldFile::hold(file)?;
        if identity(&file.metadata()?) != self._held.0 {
            return Err(ErrorKind::NotFound.into());
        }
        self.file = file;
        Ok(())
    }

    /// Has the system put it on the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file()?.sync_data()
    }

    /// What became of it. `looks_at_path` also sees that it is still at its path, which costs one more call.
    pub fn state(&self, looks_at_path: bool) -> AppendState {
        let Ok(metadata) = self.file.metadata() else { return AppendState::Closed };
        if metadata.nlink() == 0 || (looks_at_path && !self.is_at_its_path()) {
            AppendState::Gone
        } else if metadata.len() < self.whole {
            AppendState::Truncated
        } else if metadata.len() > self.whole && !self.has_rest {
            AppendState::Grown
        } else {
            AppendState::Whole
        }
    }

    /// Through links, as it may be a user's name; a path that cannot be looked at now is not held against it.
    fn is_at_its_path(&self) -> bool {
        match std::fs::metadata(&self.path) {
            Ok(there) => identity(&there) == self._held.0,
            Err(error) => ![ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()),
        }
    }

    /// The process that has it locked, where that is not this one.
    pub fn lock(&self) -> io::Result<Option<u32>> {
        os::lock(self.file()?)
    }

    fn file(&self) -> io::Result<&File> {
        self.file.file().ok_or_else(os::lost)
    }

    /// Its name.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Of what process, on what device, with what number.
type FileIdentity = (u32, u64, u64);

/// The files that this process lets grow. A record lock keeps out other processes only, and a second descriptor of the
/// file would end it by being closed.
static HELD: Mutex<Vec<FileIdentity>> = Mutex::new(Vec::new());

/// None in a child that was forked while another thread had the lock.
fn held() -> Option<MutexGuard<'static, Vec<FileIdentity>>> {
    os::lock_within(&HELD, os::LOCK_WAIT)
}

fn identity(metadata: &Metadata) -> FileIdentity {
    (std::process::id(), metadata.dev(), metadata.ino())
}

/// A file that grows, and for one of this process's only.
struct HeldLock(FileIdentity);

impl HeldLock {
    fn take(metadata: &Metadata) -> io::Result<HeldLock> {
        is_regular(metadata)?;
        let identity = identity(metadata);
        if let Some(mut held) = held() {
            if held.contains(&identity) {
                return Err(io::Error::new(ErrorKind::ResourceBusy, "this process is writing it already"));
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

    #[test]
    fn lines_are_appended_whole() {
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
        // Another process may have added to it before it was locked.
        std::fs::write(&path, "one\ntwo\nthr").unwrap();
        assert_eq!((again.state(false), again.read(99).unwrap().len()), (AppendState::Grown, 11));
        again.append("four\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\nthr\nfour\n");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_became_of_a_file_is_seen_before_it_is_written() {
        let folder = std::env::temp_dir().join(format!("carbontracker-state-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a");
        let mut growing = AppendFile::create(&path).unwrap();
        growing.append("one\n").unwrap();
        assert_eq!(growing.state(true), AppendState::Whole);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(2).unwrap();
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
        assert!(std::path::Path::new(&format!("/proc/self/fd/{number}")).exists(), "the application's is open");
        std::fs::rename(&path, folder.join("b")).unwrap();
        assert_eq!((growing.state(false), growing.state(true)), (AppendState::Whole, AppendState::Gone));
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(growing.state(false), AppendState::Gone);
    }

    #[test]
    fn a_full_disk_takes_nothing_and_damages_nothing() {
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
