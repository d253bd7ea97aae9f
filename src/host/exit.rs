//! Ends the trackers that are live when the process exits: exit, return from main, Fortran's STOP, Lua's os.exit. A kill or
//! _exit runs nothing; the tally and the journal are for those.

use super::{BRIEF, at_end, lock_within, pause};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, Weak};
use std::time::{Duration, Instant};

/// How long an exit waits for the last readings and files in all.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it waits, before drivers are shut down, for the readings that close ended epochs.
const DRIVERS: Duration = Duration::from_millis(300);

/// What a live tracker does at exit.
pub trait AtExit: Send + Sync {
    /// Starts to end, and waits for nothing.
    fn stop(&self);
    /// Waits until the readings are in that close ended epochs, at most this long.
    fn settle(&self, patience: Duration);
}

/// The live trackers, and the process they are of.
static LIVE: Mutex<Vec<(u32, Weak<dyn AtExit>)>> = Mutex::new(Vec::new());
/// Threads that have yet to end in order, and the process they are of: a forked child inherits the count, not the threads.
static THREADS: AtomicUsize = AtomicUsize::new(0);
static THREADS_OF: AtomicU32 = AtomicU32::new(0);

/// Has a tracker ended at exit, if it is still there.
pub fn register(tracker: &Arc<impl AtExit + 'static>) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| at_end(end_all));
    let tracker: Weak<dyn AtExit> = Arc::downgrade(tracker) as Weak<dyn AtExit>;
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
        let process = std::process::id();
        if THREADS_OF.swap(process, Ordering::SeqCst) != process {
            THREADS.store(0, Ordering::SeqCst);
        }
        THREADS.fetch_add(1, Ordering::SeqCst);
        Counted(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        THREADS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Waits, before drivers are shut down, until ended epochs have their energy.
pub fn settle_all() {
    let deadline = Instant::now() + DRIVERS;
    live().iter().for_each(|tracker| tracker.settle(deadline.saturating_duration_since(Instant::now())));
}

extern "C" fn end_all() {
    if THREADS_OF.load(Ordering::SeqCst) != std::process::id() {
        return;
    }
    let deadline = Instant::now() + PATIENCE;
    live().iter().for_each(|tracker| tracker.stop());
    while THREADS.load(Ordering::SeqCst) > 0 && Instant::now() < deadline {
        pause(Duration::from_micros(500));
    }
}

fn live() -> Vec<Arc<dyn AtExit>> {
    let process = std::process::id();
    let Some(live) = lock_within(&LIVE, BRIEF) else { return Vec::new() };
    live.iter().filter(|(of, _)| *of == process).filter_map(|(_, tracker)| tracker.upgrade()).collect()
}
