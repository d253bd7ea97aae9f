//! Recognises a forked child by a page of memory that fork empties.

use std::sync::atomic::{AtomicU8, Ordering};

/// Distinguishes a forked child from the process that created this value.
///
/// The kernel empties the page in the child (MADV_WIPEONFORK, Linux 4.14), so a check costs one load. getpid can cost
/// microseconds. On older kernels the process number is compared instead.
pub struct ForkMark {
    page: *mut AtomicU8,
    wiped: bool,
    pid: u32,
}

// SAFETY: the page is only ever read and written as an atomic, and is this value's alone.
unsafe impl Send for ForkMark {}
// SAFETY: the page is only ever read and written as an atomic, and is this value's alone.
unsafe impl Sync for ForkMark {}

const PAGE_BYTES: usize = 4096;

impl ForkMark {
    /// A mark of this process.
    pub fn here() -> ForkMark {
        if super::world::is_entered() {
            return ForkMark { page: std::ptr::null_mut(), wiped: false, pid: super::process_id() };
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new private mapping, advised on as a whole, and written to only if it exists.
        unsafe {
            let page = libc::mmap(
                std::ptr::null_mut(),
                PAGE_BYTES,
                protection,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            let page = if page == libc::MAP_FAILED { std::ptr::null_mut() } else { page };
            let wiped = !page.is_null() && libc::madvise(page, PAGE_BYTES, libc::MADV_WIPEONFORK) == 0;
            let mark = ForkMark { page: page.cast(), wiped, pid: super::process_id() };
            if wiped {
                (*mark.page).store(1, Ordering::Relaxed);
            }
            mark
        }
    }

    /// Whether this process is a forked child of the marked one.
    pub fn is_forked(&self) -> bool {
        if !self.wiped {
            return super::process_id() != self.pid;
        }
        // SAFETY: `wiped` is set only if the page is mapped, and it stays mapped while this value lives.
        unsafe { (*self.page).load(Ordering::Relaxed) == 0 }
    }
}

impl Drop for ForkMark {
    fn drop(&mut self) {
        if !self.page.is_null() {
            // SAFETY: the mapping belongs to this value, and nothing refers to it any more.
            unsafe { libc::munmap(self.page.cast(), PAGE_BYTES) };
        }
    }
}
