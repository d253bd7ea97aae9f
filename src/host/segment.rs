//! A page of memory that outlives its process: a System V shared memory segment. Unlike a mapped file it cannot be
//! truncated, so a store into it cannot fault.

use super::text;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers in a segment.
pub const NUMBERS: usize = 32;
const BYTES: usize = NUMBERS * size_of::<u64>();

/// A segment of this user that is attached here.
pub struct Segment {
    numbers: *const AtomicU64,
    id: libc::c_int,
}

// SAFETY: the segment is only ever read and written as atomics.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

impl Segment {
    /// A new segment of zeros under a key; an error where there is one of that key already.
    pub fn create(key: i32) -> io::Result<Segment> {
        Segment::attach(get(key, libc::IPC_CREAT | libc::IPC_EXCL | 0o600)?, 0)
    }

    /// The segment of a key, to be read; an error where there is none, or another user made it.
    pub fn open(key: i32) -> io::Result<Segment> {
        let id = get(key, 0o400)?;
        let user = super::user();
        if of_user(id)?.is_some_and(|(owner, maker)| owner == user && maker == user) {
            Segment::attach(id, libc::SHM_RDONLY)
        } else {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }

    fn attach(id: libc::c_int, flags: libc::c_int) -> io::Result<Segment> {
        // SAFETY: the kernel chooses where to map the segment, which is as long as `get` asked for.
        let address = unsafe { libc::shmat(id, std::ptr::null(), flags) };
        if address as isize == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(Segment { numbers: address as *const AtomicU64, id })
    }

    /// Stores a number; numbers stored later are seen later. A place past the end is ignored. Only for a segment from
    /// [`Segment::create`].
    pub fn store(&self, place: usize, number: u64) {
        if place < NUMBERS {
            // SAFETY: within the segment, which is attached while this value lives, and aligned as pages are.
            unsafe { (*self.numbers.add(place)).store(number, Ordering::Release) };
        }
    }

    /// The number at a place; 0 past the end.
    pub fn load(&self, place: usize) -> u64 {
        if place < NUMBERS {
            // SAFETY: as in `store`.
            unsafe { (*self.numbers.add(place)).load(Ordering::Acquire) }
        } else {
            0
        }
    }

    /// Has the system remove it once no process has it attached.
    pub fn remove(&self) {
        // SAFETY: takes numbers, and no buffer for this command.
        unsafe { libc::shmctl(self.id, libc::IPC_RMID, std::ptr::null_mut()) };
    }

    /// How many times it is attached, here included.
    pub fn attached(&self) -> u64 {
        status(self.id).map_or(0, |status| status.shm_nattch)
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: attached by `attach`, and nothing refers to it any more.
        unsafe { libc::shmdt(self.numbers.cast()) };
    }
}

/// The keys of this user's segments of our size that no process has attached, and that nobody changed for `seconds`.
pub fn abandoned(seconds: u64) -> Vec<i32> {
    let Ok(list) = text::read(Path::new("/proc/sysvipc/shm"), text::LARGE) else { return Vec::new() };
    let now = super::unix_s() as u64;
    // key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime …
    let key = |line: &str| {
        let fields: Vec<i64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
        let [key, _, _, size, _, _, attached, user, _, maker, _, attached_at, detached_at, changed_at, ..] = fields[..]
        else {
            return None;
        };
        let is_ours = size == BYTES as i64 && [user, maker] == [i64::from(super::user()); 2];
        let last = attached_at.max(detached_at).max(changed_at).max(0) as u64;
        (is_ours && attached == 0 && last + seconds < now).then_some(key as i32)
    };
    list.lines().skip(1).filter_map(key).collect()
}

fn get(key: i32, flags: libc::c_int) -> io::Result<libc::c_int> {
    // SAFETY: takes numbers only.
    let id = unsafe { libc::shmget(key, BYTES, flags) };
    if id < 0 { Err(io::Error::last_os_error()) } else { Ok(id) }
}

/// Who owns a segment, and who made it.
fn of_user(id: libc::c_int) -> io::Result<Option<(u32, u32)>> {
    let status = status(id)?;
    Ok((status.shm_segsz == BYTES).then_some((status.shm_perm.uid, status.shm_perm.cuid)))
}

fn status(id: libc::c_int) -> io::Result<libc::shmid_ds> {
    let mut status = std::mem::MaybeUninit::<libc::shmid_ds>::zeroed();
    // SAFETY: the buffer is the struct that this command fills in; zeroed bits are valid in it.
    let (done, status) = unsafe { (libc::shmctl(id, libc::IPC_STAT, status.as_mut_ptr()), status.assume_init()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(status) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_there_until_it_is_removed() {
        let key = (super::super::random_u64() as i32) | 1;
        assert!(Segment::open(key).is_err());
        let segment = Segment::create(key).unwrap();
        segment.store(NUMBERS - 1, 7);
        segment.store(NUMBERS, 8);
        assert!(Segment::create(key).is_err());
        let seen = Segment::open(key).unwrap();
        assert_eq!((seen.load(NUMBERS - 1), seen.load(NUMBERS), seen.attached()), (7, 0, 2));
        drop(segment);
        assert_eq!((seen.load(NUMBERS - 1), seen.attached()), (7, 1), "it outlives its maker");
        seen.remove();
        drop(seen);
        assert!(Segment::open(key).is_err());
    }
}
