//! Two ways to write that leave no half of anything: a line appended whole or taken back, a file replaced at once.

use crate::host;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

/// A file that grows.
pub struct Growing {
    file: File,
    path: PathBuf,
    /// Up to here it is whole.
    whole: u64,
    /// Its last line has no end.
    is_torn: bool,
    /// Let go once the file is closed.
    _held: Held,
}

impl Growing {
    /// A new one; not where there is one already.
    pub fn create(path: &Path) -> io::Result<Growing> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        let held = Held::take(&file.metadata()?)?;
        Ok(Growing { file, path: path.to_owned(), whole: 0, is_torn: false, _held: held })
    }

    /// One that is there, a regular file that grows nowhere else in this process.
    pub fn open(path: &Path) -> io::Result<Growing> {
        let held = Held::take(&std::fs::metadata(path)?)?;
        let file = OpenOptions::new().read(true).write(true).custom_flags(host::NO_WAIT).open(path)?;
        let whole = file.metadata()?.len();
        let mut last = [b'\n'];
        if whole > 0 {
            file.read_exact_at(&mut last, whole - 1)?;
        }
        Ok(Growing { file, path: path.to_owned(), whole, is_torn: last != [b'\n'], _held: held })
    }

    /// What is in it, up to so many bytes. Lines that are added come after what it holds by now.
    pub fn read(&mut self, most: u64) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        (&self.file).take(most).read_to_end(&mut text)?;
        if (text.len() as u64) < most {
            (self.whole, self.is_torn) = (text.len() as u64, text.last().is_some_and(|last| *last != b'\n'));
        }
        Ok(text)
    }

    /// Whether this process lets the file grow that is there.
    pub fn is_ours(path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|metadata| held().contains(&identity(&metadata)))
    }

    /// Adds lines to its end, all of them or nothing.
    pub fn append(&mut self, lines: &str) -> io::Result<()> {
        let text = if self.is_torn { format!("\n{lines}") } else { lines.to_owned() };
        let written = self.file.seek(SeekFrom::Start(self.whole)).and_then(|_| self.file.write_all(text.as_bytes()));
        match written {
            Ok(()) => (self.whole, self.is_torn) = (self.whole + text.len() as u64, false),
            // A disk that is full can still be given room back.
            Err(_) => drop(self.file.set_len(self.whole)),
        }
        written
    }

    /// Has the system put it on the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Whether nobody can find it any more.
    pub fn is_removed(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its name.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Of what process, on what device, with what number.
type Identity = (u32, u64, u64);

/// The files that this process lets grow. A record lock keeps out other processes only, and a second descriptor of the
/// file would end it by being closed.
static HELD: Mutex<Vec<Identity>> = Mutex::new(Vec::new());

fn held() -> MutexGuard<'static, Vec<Identity>> {
    HELD.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn identity(metadata: &Metadata) -> Identity {
    (std::process::id(), metadata.dev(), metadata.ino())
}

/// A file that grows, and for one of this process's only.
struct Held(Identity);

impl Held {
    fn take(metadata: &Metadata) -> io::Result<Held> {
        is_regular(metadata)?;
        let (mut held, identity) = (held(), identity(metadata));
        if held.contains(&identity) {
            return Err(io::Error::new(ErrorKind::ResourceBusy, "this process is writing it already"));
        }
        held.push(identity);
        Ok(Held(identity))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        held().retain(|identity| *identity != self.0);
    }
}

/// A pipe would be waited for, and a device has no end.
fn is_regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() { Ok(()) } else { Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file")) }
}

/// Writes a file under another name and renames it: who reads it sees the old one or the new one.
pub fn replace(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned()); // through links, as who writes in place
    std::fs::metadata(path).map_or(Ok(()), |metadata| is_regular(&metadata))?;
    let name = path.file_name().ok_or(ErrorKind::IsADirectory)?.to_string_lossy().into_owned();
    // node_exporter reads *.prom, and aggregate *.json: this ends otherwise. Others may replace the same file.
    let new = path.with_file_name(format!(".{name}.{:016x}.new", host::random_u64()));
    let written = std::fs::write(&new, content).and_then(|()| std::fs::rename(&new, path));
    written.inspect_err(|_| drop(std::fs::remove_file(&new)))
}

/// The same; an error says what helps.
pub fn put(path: &Path, content: impl AsRef<[u8]>) -> Result<(), String> {
    replace(path, content).map_err(|error| in_words(path, &error))
}

/// Why a file was not written, and what helps.
pub fn in_words(path: &Path, error: &io::Error) -> String {
    let cure = match error.kind() {
        ErrorKind::StorageFull => "make room on that disk",
        ErrorKind::QuotaExceeded => "make room within your quota there",
        ErrorKind::FileTooLarge => "raise the limit on a file's size (ulimit -f)",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "see that this user may write there, or choose another folder"
        }
        ErrorKind::NotFound | ErrorKind::NotADirectory => "see that its folder is there, or choose another",
        ErrorKind::AlreadyExists => "a file stands in its place: choose another name or folder",
        _ => "see that it can be written, or choose another folder",
    };
    format!(
        "{}: {error}. {}{}",
        path.display(),
        cure.get(..1).unwrap_or_default().to_uppercase(),
        cure.get(1..).unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_whole_and_what_is_replaced_is_not_seen_half() {
        let folder = std::env::temp_dir().join(format!("carbontracker-file-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a");
        let mut growing = Growing::create(&path).unwrap();
        growing.append("one\n").unwrap();
        assert_eq!(Growing::create(&path).err().map(|error| error.kind()), Some(ErrorKind::AlreadyExists));
        assert_eq!(Growing::open(&path).err().map(|error| error.kind()), Some(ErrorKind::ResourceBusy));
        assert!(Growing::is_ours(&path));
        drop(growing);
        assert!(!Growing::is_ours(&path));
        let mut again = Growing::open(&path).unwrap();
        again.append("two\n").unwrap();
        assert_eq!((again.read(3).unwrap(), again.read(99).unwrap()), (b"one".to_vec(), b"one\ntwo\n".to_vec()));
        // Another process may have added to it before it was locked.
        std::fs::write(&path, "one\ntwo\nthr").unwrap();
        assert_eq!(again.read(99).unwrap().len(), 11);
        again.append("four\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\nthr\nfour\n");
        replace(&path, "three").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        let link = folder.join("link");
        std::os::unix::fs::symlink("a", &link).unwrap();
        replace(&link, "four").unwrap();
        assert_eq!((link.is_symlink(), std::fs::read_to_string(&path).unwrap()), (true, "four".into()));
        assert_eq!(replace(Path::new("/dev/null"), "x").err().map(|error| error.kind()), Some(ErrorKind::InvalidInput));
        assert!(replace(&folder.join("no/such"), "x").is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_full_disk_takes_nothing_and_damages_nothing() {
        let Ok(mut file) = OpenOptions::new().write(true).open("/dev/full") else { return };
        assert!(file.write_all(b"x").is_err());
        let growing = OpenOptions::new().read(true).write(true).open("/dev/full").unwrap();
        let held = Held((0, 0, 0));
        let mut growing = Growing { file: growing, path: "/dev/full".into(), whole: 0, is_torn: false, _held: held };
        let error = growing.append("x").unwrap_err();
        assert_eq!((error.kind(), growing.whole), (ErrorKind::StorageFull, 0));
        assert!(in_words(growing.path(), &error).contains("Make room"));
    }
}
