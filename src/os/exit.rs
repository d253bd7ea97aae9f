//! What happens when the process exits: exit, return from main, Fortran's STOP, Lua's os.exit. Live trackers are ended, and
//! calls into drivers end before their libraries do. A kill or _exit runs nothing; the tally and the journal are for those.

use super::{BRIEF, OwnTable, lock_within, pause, text};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock, Weak};
use std::time::{Duration, Instant};

/// How long an exit waits for the last readings and files in all.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it waits, before drivers are shut down, for the readings that close ended epochs.
const DRIVERS: Duration = Duration::from_millis(300);

/// What a live tracker does at exit.
pub trait ExitHook: Send + Sync {
    /// Starts to end, and waits for nothing.
    fn stop(&self);
    /// Waits until the readings are in that close ended epochs, at most this long.
    fn settle(&self, patience: Duration);
}

/// The live trackers, and the process they are of.
static LIVE: Mutex<Vec<(u32, Weak<dyn ExitHook>)>> = Mutex::new(Vec::new());
/// The process's number, and how many of its threads have yet to end in order: a forked child inherits the count, not the
/// threads.
static THREADS: AtomicU64 = AtomicU64::new(0);

fn counted(threads: u64) -> u64 {
    u64::from(std::process::id()) << 32 | threads
}

/// How many threads of this process have yet to end.
fn threads() -> u64 {
    threads_in(THREADS.load(Ordering::SeqCst))
}

fn threads_in(now: u64) -> u64 {
    if now >> 32 == u64::from(std::process::id()) { now & u64::from(u32::MAX) } else { 0 }
}

/// Has a tracker ended at exit, if it is still there.
pub fn register(tracker: &Arc<impl ExitHook + 'static>) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| at_end(end_all));
    let tracker: Weak<dyn ExitHook> = Arc::downgrade(tracker) as Weak<dyn ExitHook>;
    // Without the lock, in a child that was forked while it was held, exit ends nothing.
    if let Some(mut live) = lock_within(&LIVE, BRIEF) {
        live.retain(|(_, one)| one.strong_count() > 0);
        live.push((std::process::id(), tracker));
    }
}

/// Counts a thread as long as this value lives.
pub struct Counted(());

impl Counted {
    /// Counts one more.
    pub fn start() -> Counted {
        let _ = THREADS.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| Some(counted(threads_in(now) + 1)));
        Counted(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let _ = THREADS
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| Some(counted(threads_in(now).saturating_sub(1))));
    }
}

/// Waits, before drivers are shut down, until ended epochs have their energy.
fn settle_all() {
    let deadline = Instant::now() + DRIVERS;
    for_each_live(|tracker| tracker.settle(deadline.saturating_duration_since(Instant::now())));
}

/// Whether the application has no thread left: its main thread ended by pthread_exit, and so did the others. The process
/// would end with them, and only threads of this library keep it.
pub fn is_abandoned() -> bool {
    let is_gone = |stat: &Path| {
        let stat = text::read(stat, text::SMALL).ok();
        // The field after the name, which is in parentheses and may hold anything.
        stat.and_then(|stat| Some(stat.rsplit_once(')')?.1.trim_start().starts_with(['Z', 'X']))).unwrap_or(false)
    };
    let is_ours = |task: &Path| text::read(&task.join("comm"), text::SMALL).is_ok_and(|name| name.starts_with("ct-"));
    let mut tasks = text::entries(Path::new("/proc/self/task")).peekable();
    is_gone(Path::new("/proc/self/stat"))
        && tasks.peek().is_some()
        && tasks.all(|task| is_ours(&task) || is_gone(&task.join("stat")))
}

/// Ends all trackers, and every thread of the library with them.
pub fn follow_application() {
    for_each_live(|tracker| tracker.stop());
    OwnTable::close_shared();
}

extern "C" fn end_all() {
    if threads() == 0 {
        return;
    }
    let deadline = Instant::now() + PATIENCE;
    for_each_live(|tracker| tracker.stop());
    while threads() > 0 && Instant::now() < deadline {
        pause(Duration::from_micros(500));
    }
}

/// Allocates and frees nothing, and waits for no lock for long: a signal handler may exit in the middle of malloc, or of a
/// call of this library.
fn for_each_live(act: impl Fn(&dyn ExitHook)) {
    let process = std::process::id();
    let Some(live) = lock_within(&LIVE, BRIEF) else { return };
    for tracker in live.iter().filter(|(of, _)| *of == process).filter_map(|(_, tracker)| tracker.upgrade()) {
        act(&*tracker);
        std::mem::forget(tracker); // it might be the last, and this no time to free memory
    }
}

/// Has a function called when the process ends by exit or by returning from main. Where there is no room for it, it is not.
fn at_exit(function: extern "C" fn()) {
    // SAFETY: the function takes nothing and does not unwind, and the library it is in stays mapped.
    unsafe { libc::atexit(function) };
}

unsafe extern "C" {
    fn at_quick_exit(function: extern "C" fn()) -> libc::c_int;
}

/// Called last of all at exit.
static AT_END: OnceLock<extern "C" fn()> = OnceLock::new();

/// Has one function called when the process ends by exit or by returning from main, after all handlers and destructors of the
/// application, which may still end epochs; or by quick_exit.
fn at_end(function: extern "C" fn()) {
    if AT_END.set(function).is_ok() {
        // SAFETY: as in `at_exit`.
        unsafe { at_quick_exit(function) };
    }
}

/// The loader calls what stands in this section once all exit handlers have run.
#[used]
#[unsafe(link_section = ".fini_array")]
static LAST: extern "C" fn() = {
    extern "C" fn last() {
        AT_END.get().into_iter().for_each(|function| function());
    }
    last
};

static EXITING: AtomicBool = AtomicBool::new(false);
static DRIVER_CALLS: AtomicUsize = AtomicUsize::new(0);
/// The process whose calls are counted: what a forked child inherits of the count is not its own.
static CALLS_OF: AtomicU32 = AtomicU32::new(0);

/// A call into a driver's library, which must not be under way when the process's exit handlers take that
/// library down. None once they run.
pub fn driver_call<T>(call: impl FnOnce() -> T) -> Option<T> {
    DRIVER_CALLS.fetch_add(1, Ordering::SeqCst);
    let result = (!EXITING.load(Ordering::SeqCst)).then(call);
    DRIVER_CALLS.fetch_sub(1, Ordering::SeqCst);
    result
}

/// To be called once a driver's library is loaded: at exit, before that library's own handlers, the readings of ended epochs
/// are waited for; then no further call is let in, and one under way is waited for, a moment.
pub fn drain_driver_calls() {
    extern "C" fn drain() {
        if CALLS_OF.load(Ordering::SeqCst) != std::process::id() {
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
    CALLS_OF.store(std::process::id(), Ordering::SeqCst);
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| at_exit(drain));
}
