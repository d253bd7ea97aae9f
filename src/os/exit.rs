//! The end of the process by exit, return from main, Fortran's STOP or Lua's os.exit.
//!
//! Live trackers are ended, and calls into drivers finish before the drivers' libraries unload. A kill or _exit does
//! not run this code. The crash counter and the journal serve for them.

use super::affinity::is_own_thread;
use super::{Instant, LOCK_WAIT, OwnTable, PerProcess, pause, process_id, text, world};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Once, OnceLock, Weak};
use std::time::Duration;

/// The longest time that an exit waits for the last readings and files.
const EXIT_WAIT: Duration = Duration::from_secs(1);
/// The longest time that an exit waits for the last readings of ended epochs before drivers are shut down.
const SETTLE_WAIT: Duration = Duration::from_millis(300);

/// The work of a live tracker at exit.
pub trait ExitHook: Send + Sync {
    /// Starts the tracker's end and returns at once.
    fn stop(&self);
    /// Waits until all ended epochs have their last reading, at most `patience`.
    fn settle(&self, patience: Duration);
}

/// The live trackers, each with the number of its process.
static LIVE: PerProcess<Vec<(u32, Weak<dyn ExitHook>)>> = PerProcess::new(Vec::new());
/// The process number in the upper half, and the number of its threads that an exit waits for in the lower half. A
/// forked child inherits the count but not the threads, and sees by the number that the count is not its own.
static THREADS: AtomicU64 = AtomicU64::new(0);

fn counted(threads: u64) -> u64 {
    u64::from(process_id()) << 32 | threads
}

/// The number of threads that an exit of this process waits for.
fn threads() -> u64 {
    if let Some(threads) = world::ask(|world| world.awaited(0)) {
        return threads;
    }
    threads_in(THREADS.load(Ordering::SeqCst))
}

fn threads_in(now: u64) -> u64 {
    if now >> 32 == u64::from(process_id()) { now & u64::from(u32::MAX) } else { 0 }
}

/// Registers a tracker to be ended at exit, if it still exists then.
pub fn register(tracker: &Arc<impl ExitHook + 'static>) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| at_end(end_all));
    let tracker: Weak<dyn ExitHook> = Arc::downgrade(tracker) as Weak<dyn ExitHook>;
    // In a child that was forked while the lock was held, the lock stays locked, and exit ends no tracker.
    if let Some(mut live) = LIVE.lock_within(LOCK_WAIT) {
        live.retain(|(_, one)| one.strong_count() > 0);
        live.push((process_id(), tracker));
    }
}

/// A thread that an exit waits for, as long as this value lives.
pub struct Counted(());

impl Counted {
    /// Adds a thread to the count.
    pub fn start() -> Counted {
        if world::ask(|world| world.awaited(1)).is_some() {
            return Counted(());
        }
        let _ = THREADS.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| Some(counted(threads_in(now) + 1)));
        Counted(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if world::ask(|world| world.awaited(-1)).is_some() {
            return;
        }
        let _ = THREADS
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| Some(counted(threads_in(now).saturating_sub(1))));
    }
}

/// Waits until ended epochs have their energy, at most [`SETTLE_WAIT`].
fn settle_all() {
    let deadline = Instant::now() + SETTLE_WAIT;
    for_each_live(|tracker| tracker.settle(deadline.left()));
}

/// Whether all threads of the application have ended by pthread_exit, its main thread included. Then only threads of
/// this library keep the process alive.
pub fn is_abandoned() -> bool {
    if world::is_entered() {
        return false;
    }
    let has_ended = |stat: &Path| {
        let stat = text::read(stat, text::MAX_SYS_BYTES).ok();
        // The name is in parentheses and may contain any character. The state follows it.
        stat.and_then(|stat| Some(stat.rsplit_once(')')?.1.trim_start().starts_with(['Z', 'X']))).unwrap_or(false)
    };
    let mut tasks = text::entries(Path::new("/proc/self/task")).peekable();
    has_ended(Path::new("/proc/self/stat"))
        && tasks.peek().is_some()
        && tasks.all(|task| is_own_thread(&task) || has_ended(&task.join("stat")))
}

/// Ends all trackers and with them all threads of the library.
pub fn follow_application() {
    for_each_live(|tracker| tracker.stop());
    OwnTable::close_shared();
}

/// Does what the exit of a simulated process does.
#[cfg(feature = "simulation")]
pub fn end_process() {
    end_all();
}

extern "C" fn end_all() {
    if threads() == 0 {
        return;
    }
    let deadline = Instant::now() + EXIT_WAIT;
    for_each_live(|tracker| tracker.stop());
    while threads() > 0 && Instant::now() < deadline {
        pause(Duration::from_micros(500));
    }
}

/// Calls `act` for each live tracker of this process.
///
/// It neither allocates nor frees memory, and waits for a lock at most [`LOCK_WAIT`]. A signal handler may call exit in
/// the middle of malloc or of a call of this library.
fn for_each_live(act: impl Fn(&dyn ExitHook)) {
    let process = process_id();
    let Some(live) = LIVE.lock_within(LOCK_WAIT) else { return };
    for tracker in live.iter().filter(|(of, _)| *of == process).filter_map(|(_, tracker)| tracker.upgrade()) {
        act(&*tracker);
        std::mem::forget(tracker); // it may be the last reference, and memory must not be freed here
    }
}

/// Registers a function to be called at exit. If the list of such functions is full, it is not called.
fn at_exit(function: extern "C" fn()) {
    // SAFETY: the function takes nothing and does not unwind, and its library stays mapped.
    unsafe { libc::atexit(function) };
}

unsafe extern "C" {
    fn at_quick_exit(function: extern "C" fn()) -> libc::c_int;
}

/// The function that is called last at exit.
static AT_END: OnceLock<extern "C" fn()> = OnceLock::new();

/// Registers the function that is called last at exit, or at quick_exit. Handlers and destructors of the application
/// run before it and may still end epochs.
fn at_end(function: extern "C" fn()) {
    if AT_END.set(function).is_ok() {
        // SAFETY: the function takes nothing and does not unwind, and its library stays mapped.
        unsafe { at_quick_exit(function) };
    }
}

/// The loader calls the functions in this section after all exit handlers.
#[used]
#[unsafe(link_section = ".fini_array")]
static LAST: extern "C" fn() = {
    extern "C" fn last() {
        if let Some(function) = AT_END.get() {
            function();
        }
    }
    last
};

static EXITING: AtomicBool = AtomicBool::new(false);
static DRIVER_CALLS: AtomicUsize = AtomicUsize::new(0);
/// The process that makes the counted driver calls. A forked child inherits a count that is not its own.
static CALLS_OF: AtomicU32 = AtomicU32::new(0);

/// Makes a call into a driver's library. None, without a call, once exit handlers have begun to unload that library.
pub fn driver_call<T>(call: impl FnOnce() -> T) -> Option<T> {
    DRIVER_CALLS.fetch_add(1, Ordering::SeqCst);
    let result = (!EXITING.load(Ordering::SeqCst)).then(call);
    DRIVER_CALLS.fetch_sub(1, Ordering::SeqCst);
    result
}

/// Registers the end of driver calls at exit. It is to be called after a driver's library was loaded, so that it runs
/// before the exit handlers of that library.
///
/// At exit it waits for the readings of ended epochs, then refuses new calls and waits at most 0.2 s for calls under
/// way.
pub fn drain_driver_calls() {
    extern "C" fn drain() {
        if CALLS_OF.load(Ordering::SeqCst) != process_id() {
            EXITING.store(true, Ordering::SeqCst);
            return;
        }
        settle_all();
        EXITING.store(true, Ordering::SeqCst);
        for _ in 0..200 {
            if DRIVER_CALLS.load(Ordering::SeqCst) == 0 {
                return;
            }
            pause(Duration::from_millis(1));
        }
    }
    CALLS_OF.store(process_id(), Ordering::SeqCst);
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| at_exit(drain));
}
