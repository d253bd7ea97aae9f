//! Memory that outlives its process and that processes share: a System V shared memory segment.
//!
//! Unlike a mapped file it cannot be truncated, so a store into it cannot fault. It takes no space in /dev/shm.

use super::{text, world};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An attached segment of this user: `count` numbers of 64 bits.
pub struct Segment {
    numbers: *const AtomicU64,
    count: usize,
    id: libc::c_int,
    is_writable: bool,
    /// The memory, if it is simulated.
    simulated: Option<Arc<[AtomicU64]>>,
}

// SAFETY: the segment is only ever read and written as atomics.
unsafe impl Send for Segment {}
// SAFETY: the segment is only ever read and written as atomics.
unsafe impl Sync for Segment {}

impl Segment {
    /// Creates a segment of `count` zeros under a key. Fails if the key has a segment already.
    pub fn create(key: i32, count: usize) -> io::Result<Segment> {
        Segment::attach(get(key, count, libc::IPC_CREAT | libc::IPC_EXCL | 0o600)?, count, true)
    }

    /// Attaches the segment of a key for reading. Fails if the key has none, or if it has another user or another
    /// length.
    pub fn open(key: i32, count: usize) -> io::Result<Segment> {
        Segment::find(key, count, false)
    }

    /// Attaches the segment of a key for reading and writing. Fails if the key has none, or if it has another user or
    /// another length.
    pub fn share(key: i32, count: usize) -> io::Result<Segment> {
        Segment::find(key, count, true)
    }

    fn find(key: i32, count: usize, is_writable: bool) -> io::Result<Segment> {
        let id = get(key, count, if is_writable { 0o600 } else { 0o400 })?;
        Segment::of(id, count, is_writable)
    }

    /// Attaches the segment with the system's number `id`. NotFound if it was removed meanwhile.
    fn of(id: libc::c_int, count: usize, is_writable: bool) -> io::Result<Segment> {
        if world::is_entered() {
            return Segment::attach(id, count, is_writable);
        }
        let gone = |error: io::Error| match error.raw_os_error() {
            Some(libc::EIDRM | libc::EINVAL) => io::ErrorKind::NotFound.into(),
            _ => error,
        };
        let status = status(id).map_err(gone)?;
        let user = super::user();
        if status.shm_segsz != bytes(count) || [status.shm_perm.uid, status.shm_perm.cuid] != [user; 2] {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Segment::attach(id, count, is_writable).map_err(gone)
    }

    fn attach(id: libc::c_int, count: usize, is_writable: bool) -> io::Result<Segment> {
        if let Some(memory) = world::ask(|world| world.attach(id)).transpose()? {
            if memory.len() != count {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            return Ok(Segment { numbers: memory.as_ptr(), count, id, is_writable, simulated: Some(memory) });
        }
        let flags = if is_writable { 0 } else { libc::SHM_RDONLY };
        // SAFETY: the kernel chooses the address, and the segment has the length passed to `get`.
        let address = unsafe { libc::shmat(id, std::ptr::null(), flags) };
        if address as isize == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(Segment { numbers: address as *const AtomicU64, count, id, is_writable, simulated: None })
    }

    /// The numbers; none if the segment was opened for reading only.
    pub fn numbers(&self) -> &[AtomicU64] {
        let count = if self.is_writable { self.count } else { 0 };
        // SAFETY: while this value lives, the segment is attached and has `count` numbers. It is aligned as pages are.
        unsafe { std::slice::from_raw_parts(self.numbers, count) }
    }

    /// Stores a number. Other processes see stores in their order. A store past the end, or into a segment opened for
    /// reading only, is ignored.
    pub fn store(&self, index: usize, number: u64) {
        if let Some(there) = self.numbers().get(index) {
            there.store(number, Ordering::Release);
        }
    }

    /// The number at an index; 0 past the end.
    pub fn load(&self, index: usize) -> u64 {
        if index < self.count {
            // SAFETY: `index` is inside the segment, which is attached while this value lives and aligned as pages are.
            unsafe { (*self.numbers.add(index)).load(Ordering::Acquire) }
        } else {
            0
        }
    }

    /// Whether the key still names this segment.
    pub fn is_at(&self, key: i32) -> bool {
        get(key, self.count, 0o400).is_ok_and(|id| id == self.id)
    }

    /// Marks the segment for removal. The system removes it when no process has it attached.
    pub fn remove(&self) {
        if world::ask(|world| world.remove(self.id)).is_some() {
            return;
        }
        // SAFETY: the call takes numbers, and this command uses no buffer.
        unsafe { libc::shmctl(self.id, libc::IPC_RMID, std::ptr::null_mut()) };
    }

    /// The number of attachments in all processes, this one included.
    pub fn attached(&self) -> u64 {
        if let Some(attached) = world::ask(|world| world.attached(self.id, 0)) {
            return attached;
        }
        status(self.id).map_or(0, |status| status.shm_nattch)
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if self.simulated.is_some() {
            world::ask(|world| world.attached(self.id, -1));
            return;
        }
        // SAFETY: `attach` attached the segment, and nothing refers to it any more.
        unsafe { libc::shmdt(self.numbers.cast()) };
    }
}

/// This user's segments of `count` numbers that no process has attached or changed for `seconds`. They are found by the
/// system's numbers, because a key may name another segment by now.
pub fn abandoned(count: usize, seconds: u64) -> Vec<Segment> {
    if world::is_entered() {
        return Vec::new();
    }
    let Ok(list) = text::read(Path::new("/proc/sysvipc/shm"), text::MAX_TABLE_BYTES) else { return Vec::new() };
    let now = super::unix_s().0 as u64;
    // key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime …
    let segment = |line: &str| {
        let fields: Vec<i64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
        let [_, id, _, size, _, _, attached, user, _, maker, _, attached_at, detached_at, changed_at, ..] = fields[..]
        else {
            return None;
        };
        let is_ours = size == bytes(count) as i64 && [user, maker] == [i64::from(super::user()); 2];
        let last = attached_at.max(detached_at).max(changed_at).max(0) as u64;
        let is_left = is_ours && attached == 0 && last + seconds < now;
        is_left.then(|| Segment::of(id as libc::c_int, count, true).ok()).flatten()
    };
    list.lines().skip(1).filter_map(segment).collect()
}

fn bytes(count: usize) -> usize {
    count * size_of::<u64>()
}

fn get(key: i32, count: usize, flags: libc::c_int) -> io::Result<libc::c_int> {
    if let Some(id) = world::ask(|world| world.segment(key, count, flags & libc::IPC_CREAT != 0)) {
        return id;
    }
    // SAFETY: the call takes numbers only.
    let id = unsafe { libc::shmget(key, bytes(count), flags) };
    if id < 0 { Err(io::Error::last_os_error()) } else { Ok(id) }
}

fn status(id: libc::c_int) -> io::Result<libc::shmid_ds> {
    let mut status = std::mem::MaybeUninit::<libc::shmid_ds>::zeroed();
    // SAFETY: the buffer is the struct that this command fills in. All bits 0 are valid in it.
    let (done, status) = unsafe { (libc::shmctl(id, libc::IPC_STAT, status.as_mut_ptr()), status.assume_init()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(status) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_exists_until_it_is_removed() {
        const COUNT: usize = 32;
        let key = (crate::os::random_u64() as i32) | 1;
        assert!(Segment::open(key, COUNT).is_err());
        let segment = Segment::create(key, COUNT).unwrap();
        segment.store(COUNT - 1, 7);
        segment.store(COUNT, 8);
        assert!(Segment::create(key, COUNT).is_err() && Segment::open(key, COUNT - 1).is_err());
        let seen = Segment::open(key, COUNT).unwrap();
        seen.store(0, 9);
        assert_eq!((seen.load(0), seen.load(COUNT - 1), seen.load(COUNT), seen.attached()), (0, 7, 0, 2));
        assert_eq!(seen.numbers().len(), 0, "it was opened for reading");
        drop(segment);
        assert_eq!((seen.load(COUNT - 1), seen.attached()), (7, 1), "it outlives the value that created it");
        let shared = Segment::share(key, COUNT).unwrap();
        shared.store(0, 9);
        assert!(seen.load(0) == 9 && seen.is_at(key));
        seen.remove();
        assert!(!seen.is_at(key) && Segment::open(key, COUNT).is_err());
    }
}
