//! What Fortran needs beyond the C functions: FORTRAN 77's entries, which a fixed-form program calls without any
//! interface, and the threads that libgfortran looks for.
//!
//! A name has at most six letters and no underscore, and is exported as compilers spell it: `ctinit_` (gfortran, ifort,
//! flang), `ctinit` (-fno-underscoring, IBM, NAG), `CTINIT` (Cray). Arguments are addresses of numbers, never strings,
//! whose hidden lengths differ between compilers. INTEGER and DOUBLE PRECISION are of default kind. The process has one
//! such tracker; its options are environment variables.
//!
//! | call | meaning |
//! | --- | --- |
//! | `CTINIT(EPOCHS, IERR)` | makes it; EPOCHS planned, 0 = unknown, or CARBONTRACKER_EPOCHS. CT_ESTATE: there is one already |
//! | `CTEBEG(IERR)`, `CTEEND(IERR)` | begin and end an epoch |
//! | `CTGET(EJ, CO2, PEJ, IERR)` | energy so far (J), its CO2e (g), the whole run's forecast (J); each -1 where unknown; IERR that of EJ |
//! | `CTEND(IERR)` | ends it |
//!
//! IERR is the `ct_status` of the C function; the entries are the C functions by other names.

use super::{ct_create, ct_destroy, ct_epoch_begin, ct_epoch_end, ct_value, guard, set_last_error, with_tracker};
use crate::error::Status;
use crate::tracker::Tracker;
use std::ffi::{CStr, c_char};
use std::sync::atomic::{AtomicPtr, Ordering};

static TRACKER: AtomicPtr<Tracker> = AtomicPtr::new(std::ptr::null_mut());
/// What a number is that nobody knows.
const UNKNOWN: f64 = -1.0;

/// # Safety
/// `epochs` points to an INTEGER.
unsafe fn init(epochs: *const i32) -> Status {
    let before = TRACKER.load(Ordering::SeqCst);
    let is_live = |tracker| {
        // SAFETY: NULL, or from ct_create and not yet given up by `end`.
        unsafe { with_tracker(tracker, |_| Ok(Status::CT_OK)) == Status::CT_OK }
    };
    let there_is_one = || {
        set_last_error("CTINIT: there is a tracker already; call CTEND first");
        Status::CT_ESTATE
    };
    if is_live(before) {
        return there_is_one();
    }
    // SAFETY: the caller passes an INTEGER.
    let options = match unsafe { epochs.read() } {
        0 => "\0".to_owned(),
        epochs => format!("epochs={epochs}\0"),
    };
    let mut tracker = std::ptr::null_mut();
    // SAFETY: ended by NUL, as it is written above, and the pointer is our own.
    let status = unsafe { ct_create(options.as_ptr() as *const c_char, &mut tracker) };
    // A forked child's first is its parent's, and is left.
    if TRACKER.compare_exchange(before, tracker, Ordering::SeqCst, Ordering::SeqCst).is_err() {
        // SAFETY: from ct_create just now; another thread was quicker.
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
        // SAFETY: the caller passes DOUBLE PRECISION variables; the tracker is NULL or live.
        unsafe {
            out.write(UNKNOWN);
            ct_value(tracker, pointer.as_ptr(), out)
        }
    };
    let status = value(c"/usage/energy_j", energy);
    value(c"/usage/co2eq_g", co2);
    value(c"/forecast/energy_j/value", forecast);
    status
}

/// # Safety
/// No other entry runs beside it.
unsafe fn end() -> Status {
    let tracker = TRACKER.swap(std::ptr::null_mut(), Ordering::SeqCst);
    // SAFETY: NULL or from ct_create; nobody else has it any more.
    unsafe {
        let status = with_tracker(tracker, |_| Ok(Status::CT_OK));
        ct_destroy(tracker);
        status
    }
}

/// Exports an entry under its three names; the last argument is where its status goes.
macro_rules! entry {
    ($lower:ident, $underscored:ident, $upper:ident, ($($argument:ident: $type:ty),*) => $call:expr) => {
        entry!(@one $lower, ($($argument: $type),*) => $call);
        entry!(@one $underscored, ($($argument: $type),*) => $call);
        entry!(@one $upper, ($($argument: $type),*) => $call);
    };
    (@one $name:ident, ($($argument:ident: $type:ty),*) => $call:expr) => {
        #[unsafe(no_mangle)]
        #[allow(non_snake_case, missing_docs)]
        pub unsafe extern "C" fn $name($($argument: $type,)* ierr: *mut i32) {
            // SAFETY: Fortran passes the addresses of its variables, and the tracker is NULL or live.
            let status = guard(|| Ok(unsafe { $call }));
            // SAFETY: as above.
            unsafe { ierr.write(status as i32) };
        }
    };
}

entry!(ctinit, ctinit_, CTINIT, (epochs: *const i32) => init(epochs));
entry!(ctebeg, ctebeg_, CTEBEG, () => ct_epoch_begin(TRACKER.load(Ordering::SeqCst)));
entry!(cteend, cteend_, CTEEND, () => ct_epoch_end(TRACKER.load(Ordering::SeqCst)));
entry!(ctget, ctget_, CTGET, (energy: *mut f64, co2: *mut f64, forecast: *mut f64) => get(energy, co2, forecast));
entry!(ctend, ctend_, CTEND, () => end());

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

/// libgfortran refers to these weakly. In a program linked with -static they would be missing, while it takes the
/// presence of others, which we bring, for theirs: it would call address 0 as the program ends.
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
