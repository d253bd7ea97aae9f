//! Locks of files, between processes, and of memory, within one process.

use super::{Instant, world};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

/// Locks a file until this process ends or closes it. Returns the process that holds the lock already, or None on
/// success.
pub fn lock(file: &File) -> io::Result<Option<u32>> {
    if let Some(metadata) = world::ask(|_| file.metadata()).transpose()? {
        return world::ask(|world| world.lock((metadata.dev(), metadata.ino()))).unwrap_or(Ok(None));
    }
    const TRIES: usize = 8;
    for _ in 0..TRIES {
        match record_lock(file, libc::F_SETLK, libc::F_WRLCK) {
            Ok(_) => return Ok(None),
            Err(error) if [Some(libc::EAGAIN), Some(libc::EACCES)].contains(&error.raw_os_error()) => (),
            Err(error) => return Err(error),
        }
        // The holder may have released the lock meanwhile.
        if let Some(holder) = locked_by(file)? {
            return Ok(Some(holder));
        }
    }
    // The lock is refused although no process holds it: this file system has no locks.
    Err(io::ErrorKind::WouldBlock.into())
}

/// Waits for the lock of a file (flock(2), as other programs take it), and holds it until the file is closed.
pub fn wait_for_lock(file: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open.
    match unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The number of the other process that has a file locked; 0 if it is in another pid namespace.
fn locked_by(file: &File) -> io::Result<Option<u32>> {
    let found = record_lock(file, libc::F_GETLK, libc::F_WRLCK)?;
    Ok((found.l_type != libc::F_UNLCK as libc::c_short).then_some(found.l_pid as u32))
}

fn record_lock(file: &File, command: libc::c_int, kind: libc::c_int) -> io::Result<libc::flock> {
    // SAFETY: a flock of zeros is valid and means the whole file.
    let mut lock: libc::flock = unsafe { MaybeUninit::zeroed().assume_init() };
    lock.l_type = kind as libc::c_short;
    // SAFETY: the descriptor is open, and `lock` is a flock to read and write.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, &mut lock) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(lock),
    }
}

/// Lets another thread run. In a simulated world that takes a microsecond, so that its time advances.
fn yield_now() {
    if world::ask(|world| world.sleep(world.clocks().monotonic + 1000)).is_none() {
        std::thread::yield_now();
    }
}

/// The longest wait for a lock that is never held for long.
pub const LOCK_WAIT: Duration = Duration::from_millis(100);

/// Locks a mutex that is never held for long. None if it is still locked after `patience`, as in a child that was
/// forked while another thread held it.
pub fn lock_within<T>(mutex: &Mutex<T>, patience: Duration) -> Option<MutexGuard<'_, T>> {
    let start = Instant::now();
    loop {
        match mutex.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if start.elapsed() < patience => yield_now(),
            Err(TryLockError::WouldBlock) => return None,
        }
    }
}
