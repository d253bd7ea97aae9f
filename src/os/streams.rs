//! No file of the library has the descriptor of a standard stream.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};

/// The file under a descriptor that is not a standard stream's. Otherwise output of the application could be written to
/// it. Where the application's table is shared and has no standard streams, `file` itself has such a number until then.
pub fn above_streams(file: File) -> io::Result<File> {
    const FIRST: libc::c_int = 3;
    if file.as_raw_fd() >= FIRST {
        return Ok(file);
    }
    // SAFETY: the call duplicates an open descriptor, and nothing else has the copy.
    let copy = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, FIRST) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel returned this descriptor just now, and nothing else owns it.
    Ok(unsafe { File::from_raw_fd(copy) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_moved_above_the_standard_streams() {
        // SAFETY: the call duplicates an open descriptor, and the copy belongs to this test alone.
        let low = unsafe { File::from_raw_fd(libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 0)) };
        assert!(above_streams(low).unwrap().as_raw_fd() >= 3);
    }
}
