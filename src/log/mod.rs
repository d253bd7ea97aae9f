//! The files that a run leaves, and how a later process takes it up.
//!
//! `journal.rs` says what stands in a journal, `writer.rs` writes it on a thread of its own, `resume.rs` finds it again;
//! `place.rs` has the names, `file.rs` the two ways to write. `original.rs` says what stands in Carbontracker's two logs, and `logs.rs`
//! keeps them.

pub mod file;
pub mod journal;
pub mod logs;
pub mod original;
pub mod place;
pub mod resume;
pub mod start;
mod told;
pub mod writer;

pub use told::{Told, read};

use crate::host;
use crate::report::Setting;
use crate::shared::Shared;
use crate::worker::Worker;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Once};
use std::time::Duration;
use writer::{Plan, Writer};

/// How long a tracker that is made waits for its journal: what is wrong with the folder is said at once.
const OPENING: Duration = Duration::from_millis(50);

/// How long an exit waits for files of a tracker that was let go.
const EXIT: Duration = Duration::from_secs(1);

/// Threads of this process that were told to end, and have yet to.
static ENDING: AtomicUsize = AtomicUsize::new(0);
/// The process whose they are: what a forked child inherits of the count is not its own.
static ENDING_OF: AtomicU32 = AtomicU32::new(0);

/// The thread that writes.
pub struct Log {
    worker: Worker,
    shared: Arc<Shared>,
    is_told: AtomicBool,
}

impl Log {
    /// Starts it.
    pub fn start(plan: Plan, setting: &Arc<Setting>, shared: &Arc<Shared>) -> io::Result<Log> {
        let writer = Writer::new(Arc::clone(shared), Arc::clone(setting), plan);
        let (opened, is_open) = mpsc::channel();
        wait_at_exit();
        let worker = Worker::start("ct-log", move |stop| {
            let _ended = Ended;
            writer.run(&stop, &opened);
        })?;
        let _ = is_open.recv_timeout(OPENING); // a folder that takes longer is waited for by that thread alone
        Ok(Log { worker, shared: Arc::clone(shared), is_told: AtomicBool::new(false) })
    }

    /// Tells it to write the last and end, and waits for nobody.
    pub fn stop(&self) {
        if !self.is_told.swap(true, Ordering::SeqCst) {
            ENDING.fetch_add(1, Ordering::SeqCst);
        }
        self.worker.stop();
        self.shared.rouse();
    }

    /// The same, and waits for that, at most this long: a disk that hangs is left to itself.
    pub fn end_within(self, patience: Duration) {
        self.stop();
        self.worker.end_within(patience);
    }
}

/// Counts a thread off, however it ends.
struct Ended;

impl Drop for Ended {
    fn drop(&mut self) {
        ENDING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Has an exit wait a moment for the last lines of trackers that were let go: of garbage collectors' finalizers many run
/// just before it.
fn wait_at_exit() {
    extern "C" fn wait() {
        let until = std::time::Instant::now() + EXIT;
        let is_ours = ENDING_OF.load(Ordering::SeqCst) == std::process::id();
        while is_ours && ENDING.load(Ordering::SeqCst) > 0 && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    static REGISTERED: Once = Once::new();
    if ENDING_OF.swap(std::process::id(), Ordering::SeqCst) != std::process::id() {
        ENDING.store(0, Ordering::SeqCst);
    }
    REGISTERED.call_once(|| host::at_exit(wait));
}
