//! The files of a run: the journal, the final report, Prometheus' file and Carbontracker's logs; and how a later
//! process resumes the run.
//!
//! In: the run's state and report, and journals on disk. Out: files, and
//! [`crate::attribution::carried_over::CarriedOver`], the values that a resumed run starts from. Never: it makes an
//! epoch wait for a disk, or writes into a file of another run.
//!
//! - `journal` has the format of the lines, `journal/read` reads them, `journal_report` makes a report of them.
//! - `writer` writes all files on a thread of its own. `resume` finds and reads the journal of a run.
//! - `attempt` decides whether another process still writes a journal. `crash_counter` keeps a count that
//!   survives a kill.
//! - `history` reads the earlier runs of a folder, for the forecast. `state_folder` is where `carbontracker run` keeps
//!   its newest runs.
//! - `run_identity` has the identifier and the paths of a run; `paths` has the names.
//! - `atomic_replace` and `file_io` are the two ways to write. `carbontracker_log` has Carbontracker's two logs.

pub mod atomic_replace;
pub mod attempt;
pub mod carbontracker_log;
pub mod config;
pub mod crash_counter;
pub mod file_io;
pub mod history;
pub mod journal;
mod journal_report;
pub mod paths;
pub mod resume;
pub mod run_identity;
mod shared_locks;
pub mod state_folder;
pub mod writer;

pub use journal_report::{JournalReport, UNFINISHED, parse, read};

use crate::coordination::device_lease::JournalReach;
use crate::os::worker::{Stop, Worker, WorkerExit};
use crate::os::{OwnTable, Promise};
use crate::report::ReportSettings;
use crate::state::shared::SharedState;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use writer::{Plan, Unwritten, Writer};

/// Longest time that the start of a tracker waits for its journal's first line. Within it, a fault of the folder is
/// reported at once, and a kill right after the start leaves a journal that can be resumed.
const OPENING_WAIT: Duration = Duration::from_millis(200);

/// The message after a panic of the thread.
const FAULT: &str = "internal error: the thread that writes the run's files ended. Later data is not in the files; ct_report is complete; please report this bug";

/// The thread that writes the run's files.
pub struct RunFiles {
    worker: Worker,
    shared: Arc<SharedState>,
    unwritten: Unwritten,
}

impl RunFiles {
    /// Starts the thread. `journal_reach` receives how far the journal reaches.
    pub fn start(
        plan: Plan,
        settings: &Arc<ReportSettings>,
        shared: &Arc<SharedState>,
        journal_reach: JournalReach,
        table: Arc<OwnTable>,
    ) -> io::Result<RunFiles> {
        let unwritten = Unwritten::default();
        let writer = Writer::new(Arc::clone(shared), Arc::clone(settings), plan, journal_reach, Arc::clone(&unwritten));
        let opened = Arc::<Promise<()>>::default();
        let is_opened = Arc::clone(&opened);
        let fault_shared = Arc::clone(shared);
        let fault_unwritten = Arc::clone(&unwritten);
        let failed = move || {
            *fault_unwritten.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(FAULT.into());
            fault_shared.state().lifecycle.faults.push(FAULT);
            fault_shared.queue_message(FAULT.into());
        };
        let write = move |stop: Stop| {
            writer.run(&stop, &is_opened);
            drop(table);
        };
        let worker = Worker::start("ct-log", WorkerExit::Awaited, write, failed)?;
        let _ = opened.wait(OPENING_WAIT); // the thread alone waits for a slower folder
        Ok(RunFiles { worker, shared: Arc::clone(shared), unwritten })
    }

    /// Makes the thread write the end of the run and stop. Does not wait for it.
    pub fn stop(&self) {
        self.worker.stop();
        self.shared.wake_waiting();
    }

    /// Makes the thread write the end of the run and stop, and waits for that for `patience` at most. Returns a message
    /// if something was not written.
    pub fn end_within(&self, patience: Duration) -> Option<String> {
        self.stop();
        if !self.worker.end_within(patience) {
            let seconds = patience.as_secs();
            return Some(format!(
                "the run's files were not finished within {seconds} s: the disk does not answer. They are finished later if the process continues"
            ));
        }
        self.unwritten.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
    }
}
