//! The C boundary: every `extern "C"` function. It checks, converts and guards, and has no logic of its own.
//!
//! Out-parameters are written on success only. No panic crosses the boundary. Floating point runs in the default
//! environment, and the application's environment is restored afterwards.
//!
//! # Safety
//! For every function here: a tracker is NULL, or comes from [`ct_create`] and was not yet destroyed or released. A
//! string is NULL or NUL-terminated. A buffer is NULL or holds the stated number of bytes. An out-pointer is NULL or
//! valid.
#![allow(clippy::missing_safety_doc)] // stated once, above; the functions' own comments become the C header
// Input must not reach a panic.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

/// cbindgen:ignore
mod fortran77;
/// cbindgen:ignore
mod guard;
/// cbindgen:ignore
mod text;

use carbontracker::error::{Error, Status};
use carbontracker::os::Undisturbed;
use carbontracker::os::memory::{self, Allocator};
use carbontracker::tracker::Tracker;
use guard::{WITHOUT_TRACKER, give_up, guard, last_error_text, set_last_error, with_tracker};
use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use text::{text_from, write_empty, write_text};

/// Keeps a reserve of memory for the time when the system has none left.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Makes a tracker and starts its sampling thread. It takes less than 5 ms, and with `resume` also the time to read the
/// journal. It reads each device once, and waits up to 250 ms for a file of /sys or /proc that does not answer. It
/// makes relative paths in the options absolute. No thread can start in the constructor of a library that is being
/// loaded: there, the call takes up to 0.25 s longer per thread, and energy is read once the library is loaded.
///
/// `options` holds `key=value` pairs separated by white space. Values with spaces are in single quotes, with `\'` and
/// `\\` inside. If a key appears twice, the last value wins. Each key can also be set as the environment variable
/// CARBONTRACKER_<KEY>; the string overrides the environment. NULL or "" uses the environment and the defaults.
/// docs/src/reference/options.md lists the keys. An unknown CARBONTRACKER_ variable has no effect; a message names it.
///
/// CT_OK: `*out` is the tracker; end it with ct_destroy or ct_release. CT_DISABLED: CARBONTRACKER_DISABLE is set (to
/// anything but 0, no, false or off), and `*out` is NULL, which every function accepts. CT_EINVAL: a key is unknown or
/// a value is bad; ct_last_error() names the key or variable, the value and the allowed values. CT_EIO: no thread could
/// be started, or too little memory is left.
///
/// If no device can be measured, the call still succeeds: durations are recorded, energies are null, and a message
/// explains how to enable measurement. A thread that calls the library needs at least 32 KB of stack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_create(options: *const c_char, out: *mut *mut Tracker) -> Status {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        // Rust's own hook prints to stderr. The library has its own copy of std, so this hook is not the application's.
        std::panic::set_hook(Box::new(|panic| set_last_error(&format!("internal error: {panic}"))));
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
        // SAFETY: `out` is not NULL and points to a pointer that the caller owns.
        unsafe { out.write(tracker) };
        Ok(status)
    })
}

/// Begins an epoch. It stamps the clock and returns: it reads no device and allocates nothing.
///
/// CT_ESTATE: an epoch is already open; nothing changed. The report's notes count such refused calls, and those of
/// ct_epoch_end, ct_epoch_cancel, ct_progress and ct_run_progress. The first of each kind also makes a message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_epoch_begin(tracker: *mut Tracker) -> Status {
    // SAFETY: the caller passes NULL or a live tracker.
    unsafe { with_tracker(tracker, Tracker::begin) }
}

/// Ends the open epoch. It stamps the clock and returns, and costs as little as ct_epoch_begin.
///
/// CT_OVER_BUDGET: the epoch ended, and the run passes budget_kwh, budget_g or budget_h. Its use does, or the lower end
/// of the forecast does after two epochs in a row. With a budget, the call waits a few milliseconds for the epoch's
/// last reading, so the verdict is on this epoch. In all, such waits take 1 s and a hundredth of the run's time at
/// most. CT_ESTATE: no epoch is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_epoch_end(tracker: *mut Tracker) -> Status {
    // SAFETY: the caller passes NULL or a live tracker.
    unsafe { with_tracker(tracker, Tracker::end) }
}

/// Cancels the open epoch, for example after an exception. It is not counted as an epoch, and the forecast ignores it.
/// Its energy counts as energy between epochs once a later epoch ends.
///
/// CT_ESTATE: no epoch is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_epoch_cancel(tracker: *mut Tracker) -> Status {
    // SAFETY: the caller passes NULL or a live tracker.
    unsafe { with_tracker(tracker, Tracker::cancel) }
}

/// Begins a named phase, such as "assembly" or "forward". Phases may be nested, in epochs and outside them. It costs as
/// little as ct_epoch_begin, and allocates only at the first begin of a phase. One thread marks a tracker's phases.
///
/// The report's section "/phases" has time and energy of each phase, with the phases within it and without them:
/// "/phases/rows/solve/energy_j", or "/phases/rows/step~1solve/energy_j" for a phase in "step". A phase of 20 ms or
/// more is measured. The energy of shorter ones follows from a model, over many repetitions, with a 90 % interval. A
/// run has 253 different phases at most, by name and place; the energy of more is that of the phase "other".
///
/// `name` has 1 to 128 bytes of UTF-8. CT_EINVAL: it does not. CT_ESTATE: 64 phases are open already. Nothing changes
/// then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_phase_begin(tracker: *mut Tracker, name: *const c_char) -> Status {
    let begin = |tracker: &Tracker| {
        // SAFETY: the caller passes NULL or a NUL-terminated string.
        tracker.phase_begin(unsafe { text_from(name, "name") }?.unwrap_or(""))
    };
    // SAFETY: the caller passes NULL or a live tracker.
    unsafe { with_tracker(tracker, begin) }
}

/// Ends the innermost open phase.
///
/// CT_ESTATE: no phase is open; nothing changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_phase_end(tracker: *mut Tracker) -> Status {
    // SAFETY: the caller passes NULL or a live tracker.
    unsafe { with_tracker(tracker, Tracker::phase_end) }
}

/// Reports the progress of the open epoch: `done` of `total` batches or time steps since its begin. It stores the
/// progress and a time stamp in one word, so it can be called after every batch. If `epochs` is set, progress in the
/// first epoch allows a forecast ("/forecast") from 5 % of that epoch on, and separates its warm-up from its steady
/// pace.
///
/// CT_EINVAL: `total` is 0, or less than `done`. CT_ESTATE: no epoch is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_progress(tracker: *mut Tracker, done: u64, total: u64) -> Status {
    // SAFETY: the caller passes NULL or a live tracker.
    unsafe { with_tracker(tracker, |tracker| tracker.progress(done, total)) }
}

/// Reports the progress of the whole run: `done` of `total`, in any unit, such as time steps, simulated time or tokens.
/// It needs no epochs, and may be called together with them. It stores three numbers and returns: it takes no lock, and
/// can be called after every step. Call it with `done` 0 at the start, or with the work of earlier attempts, and at the
/// end. `total` may change from call to call.
///
/// If no epochs are marked, the run lasts from the first call to the last one. Its forecast ("/forecast") starts at 1 %
/// of the work, after two steps at least. With the option `epochs` and marked epochs, the forecast is made from the
/// epochs.
///
/// CT_OVER_BUDGET: the progress is stored, and the run passes a budget. CT_EINVAL: `done` is below 0, `total` is not
/// above 0, or one of them is not finite. If `done` is less than before, the call is ignored, and a message reports the
/// first such call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_run_progress(tracker: *mut Tracker, done: f64, total: f64) -> Status {
    // SAFETY: the caller passes NULL or a live tracker.
    unsafe { with_tracker(tracker, |tracker| tracker.run_progress(done, total)) }
}

/// Reads one number of the JSON report by its JSON Pointer (RFC 6901): "/usage/energy_j", "/forecast/energy_j/high",
/// "/epochs/3/duration_s" (the fourth entry: one epoch, or several in a run of more than 4096 epochs). It waits up to
/// 1 s for the reading that closes the last epoch: a few milliseconds with counters, up to 0.1 s if the processor's
/// power is estimated. In the first epoch, a pointer below "/forecast" waits up to 0.3 s for the first forecast.
///
/// If some energy is estimated, the true value lies between "/usage/error/low" and "/usage/error/high" times the
/// estimate in 90 % of cases. "/usage/energy_low_j" and "/usage/energy_high_j" are these bounds in joules; kWh and CO2e
/// have theirs. All of them are null if all energy is measured.
///
/// A list's pointer with "/length" after it is the number of its entries: "/epochs/length", "/components/length".
///
/// CT_ENOENT: there is no such number yet, or it is null (unknown); `*out` is unchanged. CT_EINVAL: no report has a
/// value at this pointer; ct_last_error() suggests another. CT_EIO: malloc reports too little memory.
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
        // SAFETY: `out` is not NULL and points to a double that the caller owns.
        unsafe { out.write(value) };
        Ok(Status::CT_OK)
    };
    // SAFETY: the caller passes NULL or a live tracker.
    unsafe { with_tracker(tracker, read) }
}

/// Writes one value of the JSON report by its JSON Pointer: a text without quotes, such as "/intensity/zone" or
/// "/notes/0"; anything else as JSON, such as "/components" or "/usage". The pointer "" is the whole report. It waits
/// as ct_value does. The buffer works as in ct_report.
///
/// CT_ENOENT: there is no such value yet, or it is null (unknown). CT_EINVAL: no report has a value at this pointer.
/// CT_ERANGE: the text did not fit. CT_EIO: malloc reports too little memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_text(
    tracker: *mut Tracker,
    pointer: *const c_char,
    buf: *mut c_char,
    cap: usize,
    needed: *mut usize,
) -> Status {
    // SAFETY: the caller's buffer holds `cap` bytes; `needed` is NULL or points to a size_t.
    unsafe { write_empty(tracker, buf, cap, needed) };
    let read = |tracker: &Tracker| {
        let _undisturbed = Undisturbed::enter();
        // SAFETY: the caller passes NULL or a NUL-terminated string.
        let pointer = unsafe { text_from(pointer, "pointer") }?
            .ok_or_else(|| Error::invalid("ct_text: pointer is NULL; pass one such as \"/intensity/zone\""))?;
        let text = tracker.text(pointer)?;
        // SAFETY: the caller's buffer holds `cap` bytes; `needed` is NULL or points to a size_t.
        unsafe { write_text(&text, buf, cap, needed) }.map(|()| Status::CT_OK)
    };
    // SAFETY: the caller passes NULL or a live tracker.
    unsafe { with_tracker(tracker, read) }
}

/// Writes the report in a format: "text", "line" (one line of at most 80 columns, for a progress bar), "json", "csv"
/// (one row per epoch), "phases" (CSV, one row per phase), "prometheus" or "html" (a page with charts). It waits up to
/// 1 s for the reading that closes the last epoch, and in the first epoch up to 0.3 s for the first forecast.
///
/// The buffer works as in snprintf: as much as fits is written, with a NUL if cap > 0. `*needed` (may be NULL) becomes
/// the size of the whole text in bytes, including the NUL. CT_ERANGE: the text did not fit. CT_EINVAL: the format is
/// unknown. CT_EIO: too little memory is left.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_report(
    tracker: *mut Tracker,
    format: *const c_char,
    buf: *mut c_char,
    cap: usize,
    needed: *mut usize,
) -> Status {
    // SAFETY: the caller's buffer holds `cap` bytes; `needed` is NULL or points to a size_t.
    unsafe { write_empty(tracker, buf, cap, needed) };
    let report = |tracker: &Tracker| {
        let _undisturbed = Undisturbed::enter();
        // SAFETY: the caller passes NULL or a NUL-terminated string.
        let format = unsafe { text_from(format, "format") }?.ok_or_else(|| {
            Error::invalid("ct_report: format is NULL; pass \"text\", \"json\", \"csv\", \"prometheus\" or \"html\"")
        })?;
        let text = tracker.report(format)?;
        // SAFETY: the caller's buffer holds `cap` bytes; `needed` is NULL or points to a size_t.
        unsafe { write_text(&text, buf, cap, needed) }.map(|()| Status::CT_OK)
    };
    // SAFETY: the caller passes NULL or a live tracker.
    unsafe { with_tracker(tracker, report) }
}

/// Takes the oldest queued message: a warning, a forecast, or an exceeded budget. If none is queued, it waits a few
/// milliseconds for the reading that closes the last epoch, because that may make one. In all, such waits take 1 s and
/// a hundredth of the run's time at most. The buffer works as in ct_report. On CT_ERANGE the message stays queued.
///
/// CT_ENOENT: the queue is empty.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_message(tracker: *mut Tracker, buf: *mut c_char, cap: usize, needed: *mut usize) -> Status {
    // SAFETY: the caller's buffer holds `cap` bytes; `needed` is NULL or points to a size_t.
    unsafe { write_empty(tracker, buf, cap, needed) };
    let take = |tracker: &Tracker| {
        tracker.take_message(|text| {
            // SAFETY: the caller's buffer holds `cap` bytes; `needed` is NULL or points to a size_t.
            unsafe { write_text(text, buf, cap, needed) }.map(|()| Status::CT_OK)
        })
    };
    // SAFETY: the caller passes NULL or a live tracker.
    unsafe { with_tracker(tracker, take) }
}

/// Ends the tracker: it takes a last reading, joins the sampling thread and writes the run's files. It returns within
/// 250 ms even if a device hangs, and with log_dir within 2 s more if a disk hangs. If files of the run could not be
/// written, ct_last_error() names them. In the constructor of a library that is being loaded, it waits that long, and
/// the files are finished afterwards.
///
/// A tracker that still exists when the process exits is ended as by ct_release, with up to 1 s of waiting. Its program
/// may have failed, so `forecast.saved` is null then. NULL is accepted. In a forked child the call does nothing. The
/// pointer must not be used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_destroy(tracker: *mut Tracker) {
    // SAFETY: the caller gives up a tracker from ct_create, or passes NULL.
    unsafe { give_up(tracker, Tracker::destroy) }
}

/// Ends the tracker as ct_destroy does, but does not wait for its thread: for finalizers of garbage collectors.
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

/// Returns the message of this thread's last failure; "" if there was none. The text is valid until this thread's next
/// failure. A success does not clear it.
#[unsafe(no_mangle)]
pub extern "C" fn ct_last_error() -> *const c_char {
    if memory::has_thread_locals() { last_error_text() } else { c"memory is used up".as_ptr() }
}

/// Writes the message of the newest failed call with this tracker, on any thread. With NULL: of the newest failure
/// without a tracker in this process, such as that of ct_create. It is for languages whose tasks change threads between
/// two calls; ct_last_error() is exact for one thread. The buffer works as in ct_report. The call itself leaves the
/// message as it is.
///
/// CT_ENOENT: no call has failed. CT_ERANGE: the text did not fit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ct_error(tracker: *mut Tracker, buf: *mut c_char, cap: usize, needed: *mut usize) -> Status {
    // SAFETY: the caller's buffer holds `cap` bytes; `needed` is NULL or points to a size_t.
    let _ = unsafe { write_text("", buf, cap, needed) };
    let read = || {
        // SAFETY: the caller passes NULL or a live tracker.
        let failures = unsafe { tracker.as_ref() }.map_or(&WITHOUT_TRACKER, Tracker::failures);
        let Some(newest) = failures.newest() else { return Status::CT_ENOENT };
        // SAFETY: the caller's buffer holds `cap` bytes; `needed` is NULL or points to a size_t.
        let written = unsafe { write_text(&newest, buf, cap, needed) };
        written.map_or_else(|error| error.status, |()| Status::CT_OK)
    };
    catch_unwind(AssertUnwindSafe(read)).unwrap_or(Status::CT_EPANIC)
}

/// Returns a sentence for any status. The text is static.
#[unsafe(no_mangle)]
pub extern "C" fn ct_status_string(status: i32) -> *const c_char {
    Status::describe(status).as_ptr()
}

/// Returns the version of the loaded library, for example "0.1.0". The text is static.
#[unsafe(no_mangle)]
pub extern "C" fn ct_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr() as *const c_char
}

/// Returns the ABI version of the loaded library. Compare it with CT_ABI_VERSION after dlopen.
#[unsafe(no_mangle)]
pub extern "C" fn ct_abi_version() -> u32 {
    ABI_VERSION
}

/// The number in the SONAME.
const ABI_VERSION: u32 = 0;
