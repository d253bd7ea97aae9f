//! A file that stays open for long. Its descriptor is 3 or above, and is checked before each use and before it is
//! closed.
//!
//! An application may close any descriptor, and its next file then gets the same number. Such a number is lost: it is
//! never read, written or closed again. The holder opens the file again by its path.

use std::fs::{File, Metadata};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The number of descriptors of this library that the application has closed.
static LOST: AtomicU64 = AtomicU64::new(0);

/// The number of descriptors of this library that the application has closed so far.
pub fn lost_descriptors() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// The identity of a held file, which shows whether its descriptor still refers to it.
#[derive(Clone, Copy, PartialEq)]
enum Identity {
    /// Device and inode.
    File(u64, u64),
    /// The kernel's number of a counting event. All events share one inode.
    Event(u64),
}

/// A file that stays open.
pub struct HeldFile {
    file: ManuallyDrop<File>,
    identity: Identity,
    /// Whether the descriptor was once found closed or to be another file's. It is never used again then.
    is_lost: AtomicBool,
}

impl HeldFile {
    /// Opens a regular file for reading. A pipe or a device is refused because reading it could block.
    pub fn open(path: &Path) -> io::Result<HeldFile> {
        HeldFile::hold(super::text::open_ordinary(path)?)
    }

    /// Takes an open file. Fails if its metadata cannot be read.
    pub fn hold(file: File) -> io::Result<HeldFile> {
        let file = super::above_streams(file)?;
        let metadata = file.metadata()?;
        let identity = Identity::File(metadata.dev(), metadata.ino());
        Ok(HeldFile { file: ManuallyDrop::new(file), identity, is_lost: AtomicBool::new(false) })
    }

    /// Takes a counting event. Fails if the kernel does not return its number.
    pub fn hold_event(event: OwnedFd) -> io::Result<HeldFile> {
        let file = super::above_streams(File::from(event))?;
        let identity = Identity::Event(event_number(&file)?);
        Ok(HeldFile { file: ManuallyDrop::new(file), identity, is_lost: AtomicBool::new(false) })
    }

    /// The file; None if its descriptor is lost.
    pub fn file(&self) -> Option<&File> {
        let is_same = match self.identity {
            Identity::File(..) => self.checked_metadata().is_some(),
            event => self.is_same(event_number(&self.file).is_ok_and(|number| Identity::Event(number) == event)),
        };
        is_same.then_some(&self.file)
    }

    /// The file's metadata; an error if its descriptor is lost.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.checked_metadata().ok_or_else(lost)
    }

    /// Whether `path` is this file now.
    pub fn is_at(&self, path: &Path) -> bool {
        let there = std::fs::symlink_metadata(path).map(|there| Identity::File(there.dev(), there.ino()));
        there.is_ok_and(|there| there == self.identity)
    }

    fn checked_metadata(&self) -> Option<Metadata> {
        let there = self.file.metadata().ok();
        let metadata = there.filter(|there| Identity::File(there.dev(), there.ino()) == self.identity);
        if self.is_same(metadata.is_some()) { metadata } else { None }
    }

    /// Records the result of a check. A lost descriptor stays lost.
    fn is_same(&self, is_same: bool) -> bool {
        if !is_same && !self.is_lost.swap(true, Ordering::Relaxed) {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
        !self.is_lost.load(Ordering::Relaxed)
    }
}

impl Drop for HeldFile {
    fn drop(&mut self) {
        if self.file().is_some() {
            // SAFETY: the file is dropped here only, and not used after that.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
    }
}

/// The error of an access through a lost descriptor.
pub fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the application closed this file's descriptor")
}

/// The kernel's number of a counting event.
fn event_number(file: &File) -> io::Result<u64> {
    /// `PERF_EVENT_IOC_ID`, `_IOR('$', 7, __u64 *)` in linux/perf_event.h.
    #[cfg(not(any(target_arch = "powerpc64", target_arch = "mips64", target_arch = "sparc64")))]
    const ID: u64 = 0x8008_2407;
    #[cfg(any(target_arch = "powerpc64", target_arch = "mips64", target_arch = "sparc64"))]
    const ID: u64 = 0x4008_2407;
    let mut number = 0u64;
    // SAFETY: the call writes a u64, or fails if the file is not an event.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), ID as _, &mut number) };
    if done == 0 { Ok(number) } else { Err(io::Error::last_os_error()) }
}

/// Closes the descriptor of a held file, as an application may.
#[cfg(test)]
pub fn close_number(held: &HeldFile) {
    // SAFETY: closing the descriptor is what the test is about; `HeldFile` checks it before each use.
    unsafe { libc::close(held.file.as_raw_fd()) };
}

/// Puts another file under the descriptor of a held file, as an application may. Returns the descriptor.
#[cfg(test)]
pub fn replace_number(held: &HeldFile, other: File) -> i32 {
    let number = held.file.as_raw_fd();
    let other = std::os::fd::IntoRawFd::into_raw_fd(other);
    // SAFETY: replacing the descriptor is what the test is about; `HeldFile` checks it before each use.
    unsafe {
        libc::dup2(other, number);
        libc::close(other);
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::FromRawFd;

    fn path(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("ct-held-{name}-{}", std::process::id()))
    }

    #[test]
    fn descriptor_of_another_file_is_neither_used_nor_closed() {
        let (ours, theirs) = (path("ours"), path("theirs"));
        std::fs::write(&ours, "1").unwrap();
        let held = HeldFile::open(&ours).unwrap();
        assert!(held.file().is_some() && held.is_at(&ours));
        let number = replace_number(&held, File::create(&theirs).unwrap());
        assert!(held.file().is_none() && held.metadata().is_err());
        drop(held);
        // SAFETY: the descriptor is open and belongs to this test alone.
        let other = unsafe { File::from_raw_fd(number) };
        let metadata = other.metadata().unwrap();
        assert_eq!(metadata.ino(), std::fs::metadata(&theirs).unwrap().ino(), "still the application's");
        let _ = (std::fs::remove_file(ours), std::fs::remove_file(theirs));
    }

    /// A new file gets the lowest free descriptor, so the same file may get the same descriptor again.
    #[test]
    fn file_opened_again_survives_its_predecessor() {
        let path = path("again");
        std::fs::write(&path, "1").unwrap();
        let mut held = HeldFile::open(&path).unwrap();
        close_number(&held);
        assert!(held.file().is_none());
        held = HeldFile::open(&path).unwrap();
        assert!(held.file().is_some(), "dropping the predecessor left it open");
        let _ = std::fs::remove_file(path);
    }

    #[test]
    fn files_that_could_block_are_refused() {
        assert!(HeldFile::open(Path::new("/dev/null")).is_err());
        assert!(HeldFile::open(Path::new("/proc")).is_err());
    }
}
