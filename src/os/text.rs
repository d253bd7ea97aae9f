//! Files of /sys and /proc, read with bounds. In a container or a test, any of them may be a pipe, a device or a file
//! without end.

use super::{NO_FOLLOW, NO_WAIT, above_streams};
use crate::sanitize;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The most bytes of a file of /sys. The kernel prints each into one page.
pub const MAX_SYS_BYTES: u64 = 4 << 10;
/// The most bytes of a file of /proc that grows with the depth of control groups or with the arguments of a command.
pub const MAX_PROC_BYTES: u64 = 64 << 10;
/// The most bytes of a file of /proc that grows with the number of processors: 1.5 KB each in /proc/cpuinfo.
pub const MAX_TABLE_BYTES: u64 = 16 << 20;
/// The most entries of a folder that are returned.
const MAX_ENTRIES: usize = 4096;

/// The error of reading a folder, a pipe or a device.
pub const NO_FILE: &str = "it is not a regular file";
/// The error of reading a file that is longer than its bound.
pub const TOO_LARGE: &str = "it is larger than such a file can be";

/// Opens a regular file for reading. Fails for any other kind of file, without waiting for the writer of a pipe.
pub fn open_ordinary(path: &Path) -> io::Result<File> {
    open_with(path, NO_WAIT)
}

/// The same, in a folder that others may write: it fails if the path is a link, also one that has just replaced a file.
pub fn open_unlinked(path: &Path) -> io::Result<File> {
    open_with(path, NO_WAIT | NO_FOLLOW)
}

fn open_with(path: &Path, flags: i32) -> io::Result<File> {
    let file = above_streams(OpenOptions::new().read(true).custom_flags(flags).open(path)?)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::new(ErrorKind::InvalidInput, NO_FILE)) }
}

/// The first bytes of a regular file, at most `most`.
pub fn beginning(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_ordinary(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The bytes of a regular file. Fails if it has more than `most`.
pub fn bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let bytes = beginning(path, most.saturating_add(1))?;
    if bytes.len() as u64 > most { Err(io::Error::new(ErrorKind::FileTooLarge, TOO_LARGE)) } else { Ok(bytes) }
}

/// The text of a regular file. Fails if it has more than `most` bytes or is not UTF-8.
pub fn read(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(bytes(path, most)?).map_err(|_| ErrorKind::InvalidData.into())
}

/// The paths in a folder of the kernel; none if it cannot be read. Names with unprintable characters are left out: no
/// driver makes them.
pub fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().take(MAX_ENTRIES).flatten();
    entries.filter(|entry| sanitize::is_clean(&entry.file_name().to_string_lossy())).map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn files_are_read_if_they_are_regular_and_within_their_bound() {
        let folder = std::env::temp_dir().join(format!("ct-text-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("name");
        let kind = |most| read(&path, most).map_err(|error| error.kind());
        assert_eq!(kind(MAX_SYS_BYTES), Err(ErrorKind::NotFound));
        std::fs::write(&path, "12345").unwrap();
        assert_eq!((kind(5), kind(4)), (Ok("12345".into()), Err(ErrorKind::FileTooLarge)));
        assert_eq!(beginning(&path, 4).unwrap(), b"1234");
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(kind(MAX_SYS_BYTES), Err(ErrorKind::InvalidData));
        let link = folder.join("link");
        symlink(&path, &link).unwrap();
        assert!(open_ordinary(&link).is_ok() && open_unlinked(&path).is_ok() && open_unlinked(&link).is_err());
        std::fs::remove_file(&link).unwrap();
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(kind(MAX_SYS_BYTES), Err(ErrorKind::FileTooLarge));
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert_eq!(kind(MAX_SYS_BYTES), Err(ErrorKind::InvalidInput));
        for other in ["/dev/zero", "/proc/self", "/dev/full"] {
            std::fs::remove_file(&path).unwrap();
            symlink(other, &path).unwrap();
            assert_eq!(kind(MAX_SYS_BYTES), Err(ErrorKind::InvalidInput), "{other}");
        }
        assert_eq!(entries(&folder).collect::<Vec<_>>(), [path]);
        assert_eq!(entries(&folder.join("none")).count(), 0);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn files_of_proc_are_read_whole() {
        let stat = read(Path::new("/proc/self/stat"), MAX_SYS_BYTES).unwrap();
        assert!(stat.starts_with(&std::process::id().to_string()));
    }
}
