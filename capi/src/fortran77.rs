//! Entries for FORTRAN 77, which a fixed-form program calls without an interface, and the thread functions that
//! libgfortran looks up.
//!
//! A name has at most six letters and no underscore. It is exported in the compilers' spellings: `ctinit_` (gfortran,
//! ifort, flang), `ctinit` (-fno-underscoring, IBM, NAG) and `CTINIT` (Cray). Arguments are addresses of variables. The
//! length of a CHARACTER variable follows all addresses, by value, as these compilers pass it. INTEGER and DOUBLE
//! PRECISION have the default kind. A variable in COMMON or EQUIVALENCE may have any address, so each is read and
//! written unaligned. The process has one such tracker. Its options are environment variables.
//!
//! | call | meaning |
//! | --- | --- |
//! | `CTINIT(EPOCHS, IERR)` | makes the tracker; EPOCHS is the planned number, 0 if unknown or in CARBONTRACKER_EPOCHS. CT_ESTATE: a tracker exists |
//! | `CTEBEG(IERR)`, `CTEEND(IERR)`, `CTCANC(IERR)` | begin, end and cancel an epoch |
//! | `CTPBEG(NAME, IERR)`, `CTPEND(IERR)` | begin a named phase, and end the innermost one |
//! | `CTPROG(DONE, TOTAL, IERR)` | steps done, and steps in all, of the open epoch |
//! | `CTRPRG(DONE, TOTAL, IERR)` | work done, and work in all, of the whole run, in DOUBLE PRECISION |
//! | `CTGET(EJ, CO2, PEJ, IERR)` | energy so far (J), its CO2e (g), forecast of the run (J); -1 if unknown; IERR is the status of EJ |
//! | `CTVAL(POINTER, VALUE, IERR)` | one number of the report by its JSON Pointer; -1 if unknown |
//! | `CTTEXT(POINTER, TEXT, IERR)` | one text of the report, or a part of it as JSON, padded with blanks. CT_ERANGE: it was cut |
//! | `CTREP(FORMAT, FILE, IERR)` | writes the report to a file; FORMAT may be upper or lower case |
//! | `CTERR(TEXT)` | the message of this thread's last failure, padded with blanks; blank if there was none |
//! | `CTEND(IERR)` | ends the tracker |
//!
//! IERR is the `ct_status` of the C function. `CTMGET`, which sums over MPI ranks, is in bindings/mpi; it gets the
//! tracker from `ct_fortran_tracker`.

use super::guard::{guard, set_last_error, with_tracker};
use super::{
    ct_create, ct_destroy, ct_epoch_begin, ct_epoch_cancel, ct_epoch_end, ct_last_error, ct_phase_end, ct_run_progress,
    ct_value,
};
use carbontracker::error::{Error, Status};
use carbontracker::os::Undisturbed;
use carbontracker::run_files::atomic_replace;
use carbontracker::tracker::Tracker;
use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicPtr, Ordering};

static TRACKER: AtomicPtr<Tracker> = AtomicPtr::new(std::ptr::null_mut());
/// The value of an unknown number.
const UNKNOWN: f64 = -1.0;

/// # Safety
/// `epochs` points to an INTEGER.
unsafe fn init(epochs: *const i32) -> Status {
    let before = TRACKER.load(Ordering::SeqCst);
    let is_live = |tracker| {
        // SAFETY: the tracker is NULL, or comes from ct_create and was not yet destroyed by `end`.
        unsafe { with_tracker(tracker, |_| Ok(Status::CT_OK)) == Status::CT_OK }
    };
    let there_is_one = || {
        set_last_error("CTINIT: a tracker exists already; call CTEND first");
        Status::CT_ESTATE
    };
    if is_live(before) {
        return there_is_one();
    }
    // SAFETY: the caller passes an INTEGER.
    let options = match unsafe { epochs.read_unaligned() } {
        0 => "\0".to_owned(),
        epochs => format!("epochs={epochs}\0"),
    };
    let mut tracker = std::ptr::null_mut();
    // SAFETY: both strings above end with NUL, and `tracker` is a local variable.
    let status = unsafe { ct_create(options.as_ptr() as *const c_char, &mut tracker) };
    // In a forked child, `before` is the parent's tracker; it is not destroyed.
    if TRACKER.compare_exchange(before, tracker, Ordering::SeqCst, Ordering::SeqCst).is_err() {
        // SAFETY: ct_create just made it; another thread stored its own tracker first.
        unsafe { ct_destroy(tracker) };
        return there_is_one();
    }
    status
}

/// # Safety
/// All three point to DOUBLE PRECISION variables.
unsafe fn get(energy: *mut f64, co2: *mut f64, forecast: *mut f64) -> Status {
    let tracker = TRACKER.load(Ordering::SeqCst);
    let value = |pointer: &CStr, out: *mut f64| {
        let mut value = UNKNOWN;
        // SAFETY: the caller passes DOUBLE PRECISION variables; the tracker is NULL or live.
        unsafe {
            let status = ct_value(tracker, pointer.as_ptr(), &mut value);
            out.write_unaligned(value);
            status
        }
    };
    let status = value(c"/usage/energy_j", energy);
    value(c"/usage/co2eq_g", co2);
    value(c"/forecast/energy_j/value", forecast);
    status
}

/// # Safety
/// Both point to an INTEGER.
unsafe fn progress(done: *const i32, total: *const i32) -> Status {
    // SAFETY: the caller passes INTEGERs.
    let (done, total) = unsafe { (done.read_unaligned(), total.read_unaligned()) };
    let count = |number: i32| {
        u64::try_from(number).map_err(|_| Error::invalid("CTPROG: DONE or TOTAL is negative; both count steps from 0"))
    };
    // SAFETY: the tracker is NULL or live.
    unsafe { with_tracker(TRACKER.load(Ordering::SeqCst), |tracker| tracker.progress(count(done)?, count(total)?)) }
}

/// # Safety
/// `name` is a CHARACTER variable of this length.
unsafe fn phase_begin(name: *const u8, length: usize) -> Status {
    // SAFETY: the caller passes a CHARACTER variable of this length.
    let name = unsafe { characters(name, length) };
    let begin = |tracker: &Tracker| {
        let name = std::str::from_utf8(name).map_err(|_| Error::invalid("CTPBEG: NAME is not UTF-8"))?;
        tracker.phase_begin(name)
    };
    // SAFETY: the tracker is NULL or live.
    unsafe { with_tracker(TRACKER.load(Ordering::SeqCst), begin) }
}

/// # Safety
/// Both are CHARACTER variables of these lengths.
unsafe fn write_report(format: *const u8, file: *const u8, format_length: usize, file_length: usize) -> Status {
    // SAFETY: the caller passes CHARACTER variables of these lengths.
    let (format, file) = unsafe { (characters(format, format_length), characters(file, file_length)) };
    let write = |tracker: &Tracker| {
        let _undisturbed = Undisturbed::enter();
        if file.is_empty() {
            return Err(Error::invalid("CTREP: FILE is blank; pass the name of the report's file"));
        }
        let text = tracker.report(&String::from_utf8_lossy(format).to_ascii_lowercase())?;
        atomic_replace::put(Path::new(OsStr::from_bytes(file)), text)
            .map(|()| Status::CT_OK)
            .map_err(|why| Error::new(Status::CT_EIO, format!("CTREP: {why}")))
    };
    // SAFETY: the tracker is NULL or live.
    unsafe { with_tracker(TRACKER.load(Ordering::SeqCst), write) }
}

/// # Safety
/// `pointer` is a CHARACTER variable of this length; `value` points to a DOUBLE PRECISION variable.
unsafe fn value(pointer: *const u8, value: *mut f64, length: usize) -> Status {
    // SAFETY: the caller passes a CHARACTER variable of this length.
    let pointer = unsafe { characters(pointer, length) };
    let mut number = UNKNOWN;
    let read = |tracker: &Tracker| {
        let _undisturbed = Undisturbed::enter();
        number = tracker.value(&String::from_utf8_lossy(pointer))?;
        Ok(Status::CT_OK)
    };
    // SAFETY: the tracker is NULL or live; `value` is the caller's variable.
    unsafe {
        let status = with_tracker(TRACKER.load(Ordering::SeqCst), read);
        value.write_unaligned(number);
        status
    }
}

/// # Safety
/// Both are CHARACTER variables of these lengths.
unsafe fn text(pointer: *const u8, text: *mut u8, pointer_length: usize, text_length: usize) -> Status {
    // SAFETY: the caller passes CHARACTER variables of these lengths.
    let pointer = unsafe { characters(pointer, pointer_length) };
    let mut words = String::new();
    let read = |tracker: &Tracker| {
        let _undisturbed = Undisturbed::enter();
        words = tracker.text(&String::from_utf8_lossy(pointer))?;
        if words.len() <= hidden(text_length) {
            return Ok(Status::CT_OK);
        }
        let message = format!("CTTEXT: the text takes {} characters; pass a longer variable", words.len());
        Err(Error::new(Status::CT_ERANGE, message))
    };
    // SAFETY: the tracker is NULL or live; `text` has this length.
    unsafe {
        let status = with_tracker(TRACKER.load(Ordering::SeqCst), read);
        write_padded(&words, text, text_length);
        status
    }
}

/// Writes a text, cut to the length, padded with blanks.
///
/// # Safety
/// `text` is a CHARACTER variable of this length.
unsafe fn write_padded(words: &str, text: *mut u8, length: usize) {
    let length = hidden(length);
    let mut fits = words.len().min(length);
    while !words.is_char_boundary(fits) {
        fits -= 1;
    }
    // SAFETY: fits <= length bytes of the caller's variable, and `words` holds `fits`.
    unsafe {
        text.copy_from_nonoverlapping(words.as_ptr(), fits);
        text.add(fits).write_bytes(b' ', length - fits);
    }
}

/// Writes the message of this thread's last failure.
///
/// # Safety
/// `text` is a CHARACTER variable of this length.
unsafe fn write_last_error(text: *mut u8, length: usize) {
    // SAFETY: ct_last_error returns a NUL-terminated text, valid until this thread's next failure.
    let words = unsafe { CStr::from_ptr(ct_last_error()) }.to_string_lossy();
    // SAFETY: the caller keeps this function's contract.
    unsafe { write_padded(&words, text, length) }
}

/// A CHARACTER variable without the blanks around it.
///
/// # Safety
/// `text` holds `length` bytes, and outlives the result.
unsafe fn characters<'a>(text: *const u8, length: usize) -> &'a [u8] {
    // SAFETY: the caller keeps this function's contract.
    unsafe { std::slice::from_raw_parts(text, hidden(length)) }.trim_ascii()
}

/// The length of a CHARACTER variable. Older compilers pass 32 bits and leave the upper half undefined.
fn hidden(length: usize) -> usize {
    length as u32 as usize
}

/// # Safety
/// No other entry runs at the same time.
unsafe fn end() -> Status {
    let tracker = TRACKER.swap(std::ptr::null_mut(), Ordering::SeqCst);
    // SAFETY: the tracker is NULL or from ct_create, and no other entry can reach it after the swap.
    unsafe {
        let status = with_tracker(tracker, |_| Ok(Status::CT_OK));
        ct_destroy(tracker);
        status
    }
}

/// Exports a function under the three names of an entry.
macro_rules! export {
    ([$($name:ident)*] $arguments:tt $body:block) => { $(export!(@one $name $arguments $body);)* };
    (@one $name:ident ($($argument:ident: $type:ty),*) $body:block) => {
        #[unsafe(no_mangle)]
        #[allow(non_snake_case, missing_docs)]
        pub unsafe extern "C" fn $name($($argument: $type),*) $body
    };
}

/// Exports an entry. Its last argument receives the status; the lengths of CHARACTER variables follow.
macro_rules! entry {
    ($names:tt ($($argument:ident: $type:ty),*) $(lengths ($($length:ident),*))? => $call:expr) => {
        export!($names ($($argument: $type,)* ierr: *mut i32 $(, $($length: usize),*)?) {
            // SAFETY: Fortran passes the addresses of its variables, and the tracker is NULL or live.
            let status = guard(|| Ok(unsafe { $call }));
            // SAFETY: Fortran passes the address of an INTEGER.
            unsafe { ierr.write_unaligned(status as i32) };
        });
    };
}

entry!([ctinit ctinit_ CTINIT] (epochs: *const i32) => init(epochs));
entry!([ctebeg ctebeg_ CTEBEG] () => ct_epoch_begin(TRACKER.load(Ordering::SeqCst)));
entry!([cteend cteend_ CTEEND] () => ct_epoch_end(TRACKER.load(Ordering::SeqCst)));
entry!([ctcanc ctcanc_ CTCANC] () => ct_epoch_cancel(TRACKER.load(Ordering::SeqCst)));
entry!([ctpbeg ctpbeg_ CTPBEG] (name: *const u8) lengths (of_name) => phase_begin(name, of_name));
entry!([ctpend ctpend_ CTPEND] () => ct_phase_end(TRACKER.load(Ordering::SeqCst)));
entry!([ctprog ctprog_ CTPROG] (done: *const i32, total: *const i32) => progress(done, total));
entry!([ctrprg ctrprg_ CTRPRG] (done: *const f64, total: *const f64)
    => ct_run_progress(TRACKER.load(Ordering::SeqCst), done.read_unaligned(), total.read_unaligned()));
entry!([ctget ctget_ CTGET] (energy: *mut f64, co2: *mut f64, forecast: *mut f64) => get(energy, co2, forecast));
entry!([ctval ctval_ CTVAL] (pointer: *const u8, number: *mut f64) lengths (of_pointer)
    => value(pointer, number, of_pointer));
entry!([cttext cttext_ CTTEXT] (pointer: *const u8, words: *mut u8) lengths (of_pointer, of_words)
    => text(pointer, words, of_pointer, of_words));
entry!([ctrep ctrep_ CTREP] (format: *const u8, file: *const u8) lengths (of_format, of_file)
    => write_report(format, file, of_format, of_file));
entry!([ctend ctend_ CTEND] () => end());
export!([cterr cterr_ CTERR] (text: *mut u8, length: usize) {
    // SAFETY: Fortran passes a CHARACTER variable and its length.
    guard(|| { unsafe { write_last_error(text, length) }; Ok(Status::CT_OK) });
});

/// The tracker of the FORTRAN 77 entries, for entries compiled with a program, such as CTMGET. NULL: none exists.
#[unsafe(no_mangle)]
pub extern "C" fn ct_fortran_tracker() -> *mut Tracker {
    TRACKER.load(Ordering::SeqCst)
}

unsafe extern "C" {
    fn pthread_mutex_lock();
    fn pthread_mutex_trylock();
    fn pthread_mutex_unlock();
    fn pthread_mutex_destroy();
    fn pthread_key_create();
    fn pthread_once();
    fn pthread_getspecific();
    fn pthread_setspecific();
    fn pthread_cond_wait();
    fn pthread_rwlock_rdlock();
    fn pthread_rwlock_wrlock();
    fn pthread_rwlock_unlock();
}

/// Thread functions that libgfortran refers to weakly. A program linked with -static would lack them. libgfortran
/// infers their presence from other thread functions, which this library brings, and would call address 0 at exit.
#[used]
static THREADS: [unsafe extern "C" fn(); 12] = [
    pthread_mutex_lock,
    pthread_mutex_trylock,
    pthread_mutex_unlock,
    pthread_mutex_destroy,
    pthread_key_create,
    pthread_once,
    pthread_getspecific,
    pthread_setspecific,
    pthread_cond_wait,
    pthread_rwlock_rdlock,
    pthread_rwlock_wrlock,
    pthread_rwlock_unlock,
];
