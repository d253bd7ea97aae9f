//! Runs the body of each C function: stores its failure, catches its panic, checks its tracker.

use super::text::write_text;
use carbontracker::error::{Error, Result, Status};
use carbontracker::os::Undisturbed;
use carbontracker::os::memory;
use carbontracker::tracker::{Failures, Tracker};
use std::cell::UnsafeCell;
use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};

const LAST_ERROR_BYTES: usize = 1024;

/// Failures of calls that have no tracker.
pub static WITHOUT_TRACKER: Failures = Failures::new();

thread_local! {
    // A fixed array without a destructor: the returned pointer stays valid while the thread lives.
    static LAST_ERROR: UnsafeCell<[u8; LAST_ERROR_BYTES]> = const { UnsafeCell::new([0; LAST_ERROR_BYTES]) };
}

pub fn set_last_error(message: &str) {
    if memory::has_thread_locals() {
        store_last_error(message);
    }
}

// The next two functions are not inlined: the compiler would compute the variable's address before the check of
// `has_thread_locals`, and glibc ends a program that has no memory for it.

#[inline(never)]
pub fn last_error_text() -> *const c_char {
    LAST_ERROR.with(|text| text.get() as *const c_char)
}

#[inline(never)]
fn store_last_error(message: &str) {
    // An exiting thread may have destroyed its storage already.
    let _ = LAST_ERROR.try_with(|text| {
        // SAFETY: only this thread uses the cell, it holds LAST_ERROR_BYTES, and no reference into it is kept.
        let _ = unsafe { write_text(message, text.get() as *mut c_char, LAST_ERROR_BYTES, std::ptr::null_mut()) };
    });
}

/// Runs a call that has no tracker.
pub fn guard(call: impl FnOnce() -> Result<Status>) -> Status {
    guarded(&WITHOUT_TRACKER, call)
}

/// Runs a call. A failure is stored; a panic becomes CT_EPANIC.
fn guarded(failures: &Failures, call: impl FnOnce() -> Result<Status>) -> Status {
    // The closure returns only a status: a whole Result would go through memory and make begin and end 15 % slower.
    let status = || call().unwrap_or_else(|error| fail(failures, error));
    catch_unwind(AssertUnwindSafe(status)).unwrap_or_else(|_| panicked(failures))
}

/// Stores a caught panic for ct_error. The panic hook has stored it for ct_last_error.
#[cold]
fn panicked(failures: &Failures) -> Status {
    failures.keep("internal error; it was caught, and the tracker stays usable; please report this bug".into());
    Status::CT_EPANIC
}

/// Stores a failure for ct_last_error and ct_error.
#[cold]
fn fail(failures: &Failures, error: Error) -> Status {
    set_last_error(&error.message);
    failures.keep(error.message);
    error.status
}

/// Runs a call on a tracker, which may be NULL or belong to the parent process.
///
/// # Safety
/// `tracker` is NULL or from ct_create and not yet destroyed.
pub unsafe fn with_tracker(tracker: *mut Tracker, call: impl FnOnce(&Tracker) -> Result<Status>) -> Status {
    // SAFETY: the caller keeps this function's contract.
    let Some(tracker) = (unsafe { tracker.as_ref() }) else {
        return Status::CT_DISABLED;
    };
    guarded(tracker.failures(), || {
        if tracker.is_forked() {
            return Err(Error::new(
                Status::CT_EFORK,
                "this tracker belongs to the parent process and cannot measure after fork; call ct_create in the child",
            ));
        }
        call(tracker)
    })
}

/// Takes a tracker back and ends it. In a forked child it does nothing: the sampling thread does not exist there.
///
/// # Safety
/// `tracker` is NULL or from ct_create and not yet destroyed; it is not used again.
pub unsafe fn give_up(tracker: *mut Tracker, end: impl FnOnce(Tracker) -> Option<String>) {
    // SAFETY: the caller keeps this function's contract.
    if unsafe { tracker.as_ref() }.is_none_or(Tracker::is_forked) {
        return;
    }
    guard(|| {
        let _undisturbed = Undisturbed::enter();
        // SAFETY: ct_create made it with Box::into_raw, and the caller does not use it again.
        let unwritten = end(*unsafe { Box::from_raw(tracker) });
        unwritten.map_or(Ok(Status::CT_OK), |what| Err(Error::new(Status::CT_EIO, what)))
    });
}
