//! Folders of a file system that does not answer. This program's own `open64` and `opendir` wait there in virtual time.

use carbontracker::os::pause;
use std::ffi::{CStr, OsStr, c_char, c_int, c_uint};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// The folders, and whether the file system answers there by now, which it does with an error.
static FOLDERS: Mutex<Vec<(PathBuf, bool)>> = Mutex::new(Vec::new());

fn folders() -> MutexGuard<'static, Vec<(PathBuf, bool)>> {
    FOLDERS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A folder in which each access waits, until this value is dropped.
pub struct Silent(PathBuf);

impl Silent {
    pub fn at(folder: PathBuf) -> Silent {
        folders().push((folder.clone(), false));
        Silent(folder)
    }

    /// Ends each waiting access with an error, and each later one.
    pub fn answer(&self) {
        folders().iter_mut().filter(|(folder, _)| *folder == self.0).for_each(|(_, answers)| *answers = true);
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.answer();
    }
}

/// Waits if this path is in a folder that does not answer. Returns whether the access fails.
fn fails(path: &CStr) -> bool {
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    let state = || folders().iter().find(|(folder, _)| path.starts_with(folder)).map(|(_, answers)| *answers);
    while state() == Some(false) {
        pause(Duration::from_millis(1));
    }
    state().is_some()
}

/// Replaces libc's function in this program. The third argument is optional in C; without it, it has any value.
///
/// # Safety
/// The conditions of open(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: the caller passes a C string.
    if fails(unsafe { CStr::from_ptr(path) }) {
        // SAFETY: errno belongs to this thread.
        unsafe { *libc::__errno_location() = libc::ENOTCONN };
        return -1;
    }
    // SAFETY: the arguments are passed on unchanged.
    unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, flags, mode) as c_int }
}

/// Replaces libc's function in this program.
///
/// # Safety
/// The conditions of opendir(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn opendir(path: *const c_char) -> *mut libc::DIR {
    // SAFETY: the caller's path. The new descriptor belongs to the result.
    unsafe {
        let descriptor = open64(path, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC, 0);
        if descriptor < 0 { std::ptr::null_mut() } else { libc::fdopendir(descriptor) }
    }
}
