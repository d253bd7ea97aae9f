//! A page of memory that a fork empties.

use std::sync::atomic::{AtomicU8, Ordering};

/// Tells a forked child from the process that made this: a page that the kernel empties in the child
/// (MADV_WIPEONFORK, Linux 4.14), so that asking costs a load, where getpid costs microseconds once its
/// path is cold. On older kernels the process number serves.
pub struct ForkMark {
    page: *mut AtomicU8,
    wiped: bool,
    pid: u32,
}

// SAFETY: the page is only ever read and written as an atomic, and is this value's alone.
unsafe impl Send for ForkMark {}
// SAFETY: as above.
unsafe impl Sync for ForkMark {}

const PAGE: usize = 4096;

impl ForkMark {
    /// Marks this process.
    pub fn here() -> ForkMark {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new private mapping of our own, advised on as a whole and written to only if it is there.
        unsafe {
            let page =
                libc::mmap(std::ptr::null_mut(), PAGE, protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
            let page = if page == libc::MAP_FAILED { std::ptr::null_mut() } else { page };
            let wiped = !page.is_null() && libc::madvise(page, PAGE, libc::MADV_WIPEONFORK) == 0;
            let mark = ForkMark { page: page.cast(), wiped, pid: std::process::id() };
            if wiped {
                (*mark.page).store(1, Ordering::Relaxed);
            }
            mark
        }
    }

    /// Whether this is a child of the process marked.
    pub fn is_forked(&self) -> bool {
        if !self.wiped {
            return std::process::id() != self.pid;
        }
        // SAFETY: `wiped` is set only where the page is mapped; it stays so while this value lives.
        unsafe { (*self.page).load(Ordering::Relaxed) == 0 }
    }
}

impl Drop for ForkMark {
    fn drop(&mut self) {
        if !self.page.is_null() {
            // SAFETY: the mapping is this value's own and nothing refers to it any more.
            unsafe { libc::munmap(self.page.cast(), PAGE) };
        }
    }
}
