//! Two ways to write that leave no half of anything: a line appended whole or taken back, a file replaced at once.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file that grows.
pub struct Growing {
    file: File,
    path: PathBuf,
    /// Up to here it is whole.
    whole: u64,
    /// Its last line has no end.
    is_torn: bool,
}

impl Growing {
    /// A new one; not where there is one already.
    pub fn create(path: &Path) -> io::Result<Growing> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Growing { file, path: path.to_owned(), whole: 0, is_torn: false })
    }

    /// One that is there, and what is in it.
    pub fn open(path: &Path) -> io::Result<(Growing, Vec<u8>)> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let (whole, is_torn) = (text.len() as u64, !text.is_empty() && !text.ends_with(b"\n"));
        Ok((Growing { file, path: path.to_owned(), whole, is_torn }, text))
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

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its name.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Writes a file under another name and renames it: who reads it sees the old one or the new one.
pub fn replace(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    let name = path.file_name().ok_or(ErrorKind::IsADirectory)?.to_string_lossy().into_owned();
    // node_exporter reads *.prom, and aggregate *.json: this ends otherwise.
    let new = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let written = std::fs::write(&new, content).and_then(|()| std::fs::rename(&new, path));
    written.inspect_err(|_| drop(std::fs::remove_file(&new)))
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
        ErrorKind::AlreadyExists => "choose another name",
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
        let (mut again, text) = Growing::open(&path).unwrap();
        assert_eq!(text, b"one\n");
        again.append("two\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        replace(&path, "three").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        assert!(replace(&folder.join("no/such"), "x").is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_full_disk_takes_nothing_and_damages_nothing() {
        let Ok(mut file) = OpenOptions::new().write(true).open("/dev/full") else { return };
        assert!(file.write_all(b"x").is_err());
        let growing = OpenOptions::new().read(true).write(true).open("/dev/full").unwrap();
        let mut growing = Growing { file: growing, path: "/dev/full".into(), whole: 0, is_torn: false };
        let error = growing.append("x").unwrap_err();
        assert_eq!((error.kind(), growing.whole), (ErrorKind::StorageFull, 0));
        assert!(in_words(growing.path(), &error).contains("Make room"));
    }
}
