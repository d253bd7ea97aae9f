//! The C boundary: every `extern "C"` function, and nothing but checking, converting and guarding.
//!
//! Out-parameters are written on success only; no panic passes; floating point runs in the default
//! environment whatever the host has set, and the host's is put back as it was.
//!
//! # Safety
//! For every function here: a tracker is NULL or from [`ct_create`] and not yet given up; a string is
//! NULL or NUL-terminated; a buffer is NULL or holds the bytes stated; an out-pointer is NULL or valid.
#![allow(clippy::missing_safety_doc)] // stated once, above; the functions' own comments become the C header
// Input must not reach a panic.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

/// cbindgen:ignore
mod fortran77;

use carbontracker::error::{Error, Result, Status};
use carbontracker::host::Undisturbed;
use carbontracker::memory::{self, Allocator};
use carbontracker::tracker::Tracker;
use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// Keeps a reserve for the moments when the system has no memory left.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Makes a tracker and starts its sampler. Takes well under 5 ms, and with `resume` what reading the journal takes; reads
/// the devices once. A file of /sys or /proc that does not answer is waited for 250 ms. Relative paths in the options
/// are resolved here. In a constructor of a library that is being loaded no thread can start: there the call takes up to
/// 0.25 s longer for each thread, and the energy is read once the library is loaded.
///
/// `options` is `key=value` pairs separated by white space; values with spaces in single quotes,
/// with `\'` and `\\` inside. Each key is also an environment variable, CARBONTRACKER_<KEY>; the
/// string wins. NULL or "" takes the environment and the defaults. README.md lists the keys. A variable
/// CARBONTRACKER_... that nothing reads has no effect, and a message names it.
///
/// CT_OK: `*out` is the tracker, for ct_destroy or ct_release. CT_DISABLED: CARBONTRACKER_DISABLE=1 (any value
/// but 0, no, false or off), `*out` is NULL, which every function takes. CT_EINVAL: an unknown key or bad value;
/// ct_last_error() names key or variable, value and what is allowed. CT_EIO: no thread could be started, or
/// too little memory is left. Finding no device to
/// measure is no failure: times are kept, energies are null, and a message says what would help.
///
/// A thread that calls the library needs at least 32 KB of stack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_create(options: *const c_char, out: *mut *mut Tracker) -> Status {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        // Rust's own hook prints to stderr. This copy of std is the library's alone, so is its hook.
        std::panic::set_hook(Box::new(|panic| set_last_error(&format!("internal fault: {panic}"))));
    });
    guard(|| {
        let _undisturbed = Undisturbed::enter();
        if out.is_null() {
            return Err(Error::invalid("ct_create: out is NULL; pass the address of a ct_tracker pointer"));
        }
        // SAFETY: the caller passes NULL or a NUL-terminated string.
        let text = unsafe { text_from(options, "options") }?;
        let (tracker, status) = match Tracker::create(text.unwrap_or(""))? {
            Some(tracker) => (Box::into_raw(Box::new(tracker)), Status::CT_OK),
            None => (std::ptr::null_mut(), Status::CT_DISABLED),
        };
        // SAFETY: `out` is not NULL and points to a pointer of the caller's.
        unsafe { out.write(tracker) };
        Ok(status)
    })
}

/// Begins an epoch: stamps the clock and returns. No device is read, nothing is allocated.
///
/// CT_ESTATE: an epoch is open already; nothing changed. The report's notes count such refused calls, and
/// those of ct_epoch_end, ct_epoch_cancel and ct_progress; the first of each kind makes a message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_epoch_begin(tracker: *mut Tracker) -> Status {
    // SAFETY: the caller passes NULL or a live tracker.
    unsafe { with_tracker(tracker, Tracker::begin) }
}

/// Ends the epoch begun last: stamps the clock and returns, as cheap as ct_epoch_begin.
///
/// CT_OVER_BUDGET: ended, and the run's forecast passes budget_kwh, budget_g or budget_h; it is judged
/// on the epochs whose readings are in, so it may come one epoch late. CT_ESTATE: no epoch is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_epoch_end(tracker: *mut Tracker) -> Status {
    // SAFETY: the caller passes NULL or a live tracker.
    unsafe { with_tracker(tracker, Tracker::end) }
}

/// Drops the open epoch, as after an exception: it is not counted as an epoch and does not colour the
/// forecast. What it used counts as energy between epochs, once a later epoch ends.
///
/// CT_ESTATE: no epoch is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_epoch_cancel(tracker: *mut Tracker) -> Status {
    // SAFETY: the caller passes NULL or a live tracker.
    unsafe { with_tracker(tracker, Tracker::cancel) }
}

/// Says how far the open epoch is: `done` of `total` batches or time steps since its begin. It stamps the clock and stores
/// both in one word, so call it as often as you like. With `epochs` planned, marks in the first epoch give
/// "/forecast" from 5 % of it on, and tell its warm-up from its steady pace.
///
/// CT_EINVAL: total is 0 or less than done. CT_ESTATE: no epoch is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_progress(tracker: *mut Tracker, done: u64, total: u64) -> Status {
    // SAFETY: the caller passes NULL or a live tracker.
    unsafe { with_tracker(tracker, |tracker| tracker.progress(done, total)) }
}

/// Reads one number of the JSON report by its JSON Pointer (RFC 6901): "/usage/energy_j",
/// "/forecast/energy_j/high", "/epochs/3/duration_s" (the fourth entry: an epoch, or several in a run of
/// more than 4096). Waits up to 1 s for the reading that closes the last epoch: a few milliseconds with
/// counters, up to 0.1 s where the processor is estimated; inside the first epoch up to 0.3 s for the first
/// forecast that its progress gives, if "/forecast" is asked for.
///
/// Where some of the energy is estimated, "/usage/error/low" and "/usage/error/high" are the multiples of it between
/// which the truth lies in nine cases of ten; "/usage/energy_low_j" and "/usage/energy_high_j" are these ends, and so on
/// for kWh and CO2e. They are null where all of it is measured.
///
/// CT_ENOENT: there is no such number, or it is null (unknown); `*out` is untouched. CT_EIO: too little memory is
/// left, by malloc's account.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_value(tracker: *mut Tracker, pointer: *const c_char, out: *mut f64) -> Status {
    let read = |tracker: &Tracker| {
        let _undisturbed = Undisturbed::enter();
        if out.is_null() {
            return Err(Error::invalid("ct_value: out is NULL; pass the address of a double"));
        }
        // SAFETY: the caller passes NULL or a NUL-terminated string.
        let pointer = unsafe { text_from(pointer, "pointer") }?
            .ok_or_else(|| Error::invalid("ct_value: pointer is NULL; pass one such as \"/usage/energy_j\""))?;
        let value = tracker.value(pointer)?;
        // SAFETY: `out` is not NULL and points to a double of the caller's.
        unsafe { out.write(value) };
        Ok(Status::CT_OK)
    };
    // SAFETY: the caller passes NULL or a live tracker.
    unsafe { with_tracker(tracker, read) }
}

/// Writes the report as `format`: "text", "json", "csv" (a row an epoch), "prometheus" or "html" (a page with
/// charts). Waits up to 1 s for the reading that closes the last epoch, and inside the first as ct_value does for a
/// forecast.
///
/// As snprintf: what fits is written, always with a NUL when cap > 0, and `*needed` (may be NULL)
/// becomes the bytes the whole takes, NUL included. CT_ERANGE: it did not fit. CT_EINVAL: no such format.
/// CT_EIO: too little memory is left.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_report(
    tracker: *mut Tracker,
    format: *const c_char,
    buf: *mut c_char,
    cap: usize,
    needed: *mut usize,
) -> Status {
    // SAFETY: the caller's buffer holds `cap` bytes; `needed` is NULL or the caller's.
    unsafe { write_empty(tracker, buf, cap, needed) };
    let report = |tracker: &Tracker| {
        let _undisturbed = Undisturbed::enter();
        // SAFETY: the caller passes NULL or a NUL-terminated string.
        let format = unsafe { text_from(format, "format") }?.ok_or_else(|| {
            Error::invalid("ct_report: format is NULL; pass \"text\", \"json\", \"csv\", \"prometheus\" or \"html\"")
        })?;
        let text = tracker.report(format)?;
        // SAFETY: the caller's buffer holds `cap` bytes; `needed` is NULL or the caller's.
        unsafe { write_text(&text, buf, cap, needed) }.map(|()| Status::CT_OK)
    };
    // SAFETY: the caller passes NULL or a live tracker.
    unsafe { with_tracker(tracker, report) }
}

/// Takes the oldest queued message: a warning, the forecast after `forecast_after` epochs, a budget
/// passed. Buffer rules as ct_report's; on CT_ERANGE the message stays queued.
///
/// CT_ENOENT: none is queued.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_message(tracker: *mut Tracker, buf: *mut c_char, cap: usize, needed: *mut usize) -> Status {
    // SAFETY: the caller's buffer holds `cap` bytes; `needed` is NULL or the caller's.
    unsafe { write_empty(tracker, buf, cap, needed) };
    let take = |tracker: &Tracker| {
        tracker.take_message(|text| {
            // SAFETY: the caller's buffer holds `cap` bytes; `needed` is NULL or the caller's.
            unsafe { write_text(text, buf, cap, needed) }.map(|()| Status::CT_OK)
        })
    };
    // SAFETY: the caller passes NULL or a live tracker.
    unsafe { with_tracker(tracker, take) }
}

/// Ends the tracker: a last reading, the sampler joined, the run's files written. Back within 250 ms even where a device
/// hangs, and with log_dir within 2 s more where a disk does.
/// If files of the run could not be written, ct_last_error() names them.
/// In a constructor of a library that is being loaded it waits that long, and the files are finished afterwards.
/// A tracker that is live at exit is ended as by ct_release, and waited for 1 s.
/// NULL is fine. In a forked child it does nothing, on purpose. The pointer is not to be used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_destroy(tracker: *mut Tracker) {
    // SAFETY: the caller gives up a tracker from ct_create, or passes NULL.
    unsafe { give_up(tracker, Tracker::destroy) }
}

/// As ct_destroy, without waiting for the sampler: for garbage collectors' finalizers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_release(tracker: *mut Tracker) {
    // SAFETY: the caller gives up a tracker from ct_create, or passes NULL.
    unsafe {
        give_up(tracker, |tracker| {
            drop(tracker);
            None
        })
    }
}

/// This thread's last failure in words; "" if there was none. The text stays until this thread's next
/// failure; a success does not clear it.
#[unsafe(no_mangle)]
pub extern "C" fn ct_last_error() -> *const c_char {
    if memory::has_thread_locals() {
        LAST_ERROR.with(|text| text.get() as *const c_char)
    } else {
        c"memory is used up".as_ptr()
    }
}

/// The status in words, for any number. Static text.
#[unsafe(no_mangle)]
pub extern "C" fn ct_status_string(status: i32) -> *const c_char {
    Status::describe(status).as_ptr()
}

/// The loaded library's version, as "0.1.0". Static text.
#[unsafe(no_mangle)]
pub extern "C" fn ct_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr() as *const c_char
}

/// The loaded library's ABI version: compare with CT_ABI_VERSION after dlopen.
#[unsafe(no_mangle)]
pub extern "C" fn ct_abi_version() -> u32 {
    ABI_VERSION
}

/// The number in the SONAME.
const ABI_VERSION: u32 = 0;

const LAST_ERROR_BYTES: usize = 1024;

thread_local! {
    // Fixed and without a destructor: the pointer given out stays good while the thread lives.
    static LAST_ERROR: UnsafeCell<[u8; LAST_ERROR_BYTES]> = const { UnsafeCell::new([0; LAST_ERROR_BYTES]) };
}

fn set_last_error(message: &str) {
    if !memory::has_thread_locals() {
        return;
    }
    // A thread in its last moments has none left to set, and nobody to read it.
    let _ = LAST_ERROR.try_with(|text| {
        // SAFETY: the cell is this thread's, it holds LAST_ERROR_BYTES, and no reference into it is kept.
        let _ = unsafe { write_text(message, text.get() as *mut c_char, LAST_ERROR_BYTES, std::ptr::null_mut()) };
    });
}

/// Runs a call: a failure is kept for ct_last_error, a panic becomes CT_EPANIC.
fn guard(call: impl FnOnce() -> Result<Status>) -> Status {
    // Only a status comes out: a whole result would go through memory, which costs begin and end a seventh of their time.
    let status = || call().unwrap_or_else(fail);
    catch_unwind(AssertUnwindSafe(status)).unwrap_or(Status::CT_EPANIC)
}

/// Keeps a failure for ct_last_error.
#[cold]
fn fail(error: Error) -> Status {
    set_last_error(&error.message);
    error.status
}

/// Runs a call on a tracker that may be NULL or another process's.
///
/// # Safety
/// `tracker` is NULL or from ct_create and not yet destroyed.
unsafe fn with_tracker(tracker: *mut Tracker, call: impl FnOnce(&Tracker) -> Result<Status>) -> Status {
    // SAFETY: as this function's.
    let Some(tracker) = (unsafe { tracker.as_ref() }) else {
        return Status::CT_DISABLED;
    };
    guard(|| {
        if tracker.is_forked() {
            return Err(Error::new(
                Status::CT_EFORK,
                "this tracker belongs to the parent process, its sampler did not survive fork: call ct_create in the child",
            ));
        }
        call(tracker)
    })
}

/// Takes a tracker back and ends it; in a forked child it is left alone, its thread is not there to stop.
///
/// # Safety
/// `tracker` is NULL or from ct_create and not yet destroyed; it is not used again.
unsafe fn give_up(tracker: *mut Tracker, end: impl FnOnce(Tracker) -> Option<String>) {
    // SAFETY: as this function's.
    if unsafe { tracker.as_ref() }.is_none_or(Tracker::is_forked) {
        return;
    }
    guard(|| {
        let _undisturbed = Undisturbed::enter();
        // SAFETY: ct_create made it with Box::into_raw, and the caller gives it up here.
        let unwritten = end(*unsafe { Box::from_raw(tracker) });
        unwritten.map_or(Ok(Status::CT_OK), |what| Err(Error::new(Status::CT_EIO, what)))
    });
}

/// The caller's text; None for NULL.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and outlives the result.
unsafe fn text_from<'a>(text: *const c_char, what: &str) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: as this function's.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|_| Error::invalid(format!("{what}: not valid UTF-8")))
}

/// Leaves an empty text for a call that fails; it is also a NULL tracker's whole text.
///
/// # Safety
/// As write_text's.
unsafe fn write_empty(tracker: *const Tracker, buf: *mut c_char, cap: usize, needed: *mut usize) {
    let needed = if tracker.is_null() { needed } else { std::ptr::null_mut() };
    // SAFETY: as this function's.
    let _ = unsafe { write_text("", buf, cap, needed) };
}

/// Writes text by snprintf's rules: what fits, a NUL when cap > 0, and the whole's size into `needed`.
///
/// # Safety
/// `buf` holds `cap` bytes, or is NULL; `needed` is NULL or points to a size_t.
unsafe fn write_text(text: &str, buf: *mut c_char, cap: usize, needed: *mut usize) -> Result<()> {
    if !needed.is_null() {
        // SAFETY: not NULL, so the caller's size_t.
        unsafe { needed.write(text.len() + 1) };
    }
    if !buf.is_null() && cap > 0 {
        let mut fits = text.len().min(cap - 1);
        while !text.is_char_boundary(fits) {
            fits -= 1;
        }
        // SAFETY: fits < cap bytes and the NUL lie inside `buf`; `text` holds `fits` bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr() as *const c_char, buf, fits);
            buf.add(fits).write(0);
        }
    }
    if buf.is_null() || text.len() >= cap {
        let message = format!("the text takes {} bytes, the buffer holds {cap}: ask again with more", text.len() + 1);
        return Err(Error::new(Status::CT_ERANGE, message));
    }
    Ok(())
}
