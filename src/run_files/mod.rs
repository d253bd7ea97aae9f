//! The files that a run leaves, and how a later process takes it up.
//!
//! `journal.rs` says what stands in a journal, `writer.rs` writes it on a thread of its own, `resume.rs` finds it again, and
//! `life.rs` decides whether another process still writes it;
//! `place.rs` has the names, `file.rs` the two ways to write. `original.rs` says what stands in Carbontracker's two logs, and `logs.rs`
//! keeps them.

pub mod atomic_replace;
pub mod attempt;
pub mod carbontracker_log;
pub mod config;
pub mod crash_counter;
pub mod file_io;
pub mod journal;
mod journal_report;
pub mod paths;
pub mod resume;
pub mod run_identity;
pub mod writer;

pub use journal_report::{JournalReport, read};

use crate::coordination::device_lease::Teller;
use crate::os::OwnTable;
use crate::os::worker::{Stop, Worker, WorkerExit};
use crate::report::ReportSettings;
use crate::state::shared::SharedState;
use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
use writer::{Plan, Unwritten, Writer};

/// How long a tracker that is made waits for its journal: what is wrong with the folder is reported at once, and a kill right
/// after finds a line that names the run.
const OPENING: Duration = Duration::from_millis(200);

/// What is wrong once the thread has panicked.
const FAULT: &str = "internal error: the thread that writes the run's files ended. They miss what came after. The report of ct_report is whole; please report this bug";

/// The thread that writes.
pub struct RunFiles {
    worker: Worker,
    shared: Arc<SharedState>,
    unwritten: Unwritten,
}

impl RunFiles {
    /// Starts it. `teller` hears what the journal covers.
    pub fn start(
        plan: Plan,
        setting: &Arc<ReportSettings>,
        shared: &Arc<SharedState>,
        teller: Teller,
        table: Arc<OwnTable>,
    ) -> io::Result<RunFiles> {
        let unwritten = Unwritten::default();
        let writer = Writer::new(Arc::clone(shared), Arc::clone(setting), plan, teller, Arc::clone(&unwritten));
        let (opened, is_open) = mpsc::channel();
        let (told, kept) = (Arc::clone(shared), Arc::clone(&unwritten));
        let failed = move || {
            *kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(FAULT.into());
            told.state().lifecycle.faults.push(FAULT);
            told.queue_message(FAULT.into());
        };
        let write = move |stop: Stop| {
            writer.run(&stop, &opened);
            drop(table);
        };
        let worker = Worker::start("ct-log", WorkerExit::Awaited, write, failed)?;
        let _ = is_open.recv_timeout(OPENING); // a folder that takes longer is waited for by that thread alone
        Ok(RunFiles { worker, shared: Arc::clone(shared), unwritten })
    }

    /// Tells it to write the last and end, and waits for nobody.
    pub fn stop(&self) {
        self.worker.stop();
        self.shared.wake_waiting();
    }

    /// The same, and waits for that, at most this long: a disk that hangs is left to itself. Returns what is not written.
    pub fn end_within(&self, patience: Duration) -> Option<String> {
        self.stop();
        if !self.worker.end_within(patience) {
            let seconds = patience.as_secs();
            return Some(format!(
                "the run's files were not finished within {seconds} s: the disk does not answer. They are finished later if the process goes on"
            ));
        }
        self.unwritten.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
    }
}
