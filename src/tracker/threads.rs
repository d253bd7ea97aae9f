//! The threads of a run: how they start and how they end.

use super::earlier_runs;
use super::intensity_feed::IntensityFeeds;
use super::marker::Marker;
use super::no_thread;
use super::sampler::Sampler;
use crate::carbon::select::Feed;
use crate::coordination::device_lease::JournalReach;
use crate::error::{Result, THREAD_FIX};
use crate::os::exit::ExitHook;
use crate::os::worker::{Worker, WorkerExit};
use crate::os::{self, LOCK_WAIT, OwnTable, lock_within};
use crate::report::ReportSettings;
use crate::run_files::RunFiles;
use crate::run_files::history::HistoryRequest;
use crate::run_files::writer::Plan;
use crate::state::shared::SharedState;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Time that an ending tracker waits for the sampling thread.
const SAMPLER_WAIT: Duration = Duration::from_millis(200);
/// Time that it waits for the last lines of the run's files. A disk may be slow; a device cannot block this thread.
const FILES_WAIT: Duration = Duration::from_secs(2);
/// Time that it waits for the intensity feeds, and for the reader of earlier runs. A thread that still waits for an
/// answer or a disk is left behind.
const FEEDS_WAIT: Duration = Duration::from_millis(20);

/// What the threads of a run share with the application's threads.
#[derive(Clone)]
pub struct RunParts {
    pub marker: Arc<Mutex<Marker>>,
    pub shared: Arc<SharedState>,
    pub settings: Arc<ReportSettings>,
    /// The descriptor table of the threads. It must exist as long as they do.
    pub table: Arc<OwnTable>,
}

/// The threads of a run.
pub struct Threads {
    pub sampler: Worker,
    feeds: IntensityFeeds,
    /// Reads the earlier runs.
    history: Option<Worker>,
    files: Option<RunFiles>,
    parts: RunParts,
}

impl ExitHook for Threads {
    fn stop(&self) {
        self.parts.shared.cut_off();
        self.ask_to_end();
    }

    fn settle(&self, patience: Duration) {
        self.sampler.thread().unpark();
        let ended = lock_within(&self.parts.marker, patience).map_or(0, |marker| marker.ended);
        self.parts.shared.settle_within(ended, patience);
    }
}

impl Threads {
    /// Starts the sampling thread, then the log, the feeds and the reader of earlier runs. Only the first is needed:
    /// without the others a message reports the failure, and the run continues.
    pub fn start(
        sampler: Sampler,
        feeds: Vec<Feed>,
        history: Option<HistoryRequest>,
        files: Option<Plan>,
        parts: RunParts,
    ) -> Result<Threads> {
        let journal_reach = sampler.journal_reach();
        let RunParts { marker, shared, table, .. } = parts.clone();
        let sample = move |_| {
            sampler.run(&shared, || {
                lock_within(&marker, LOCK_WAIT).is_some_and(|mut marker| marker.leave(os::monotonic_ns()))
            });
            drop(table);
        };
        // The sampler reports its own faults.
        let sampler = Worker::start("ct-sampler", WorkerExit::Awaited, sample, || ());
        let sampler = sampler.map_err(|error| no_thread(&error))?;
        let files = files.and_then(|plan| start_files(plan, &parts, journal_reach));
        let feeds = IntensityFeeds::start(feeds, &parts.shared);
        // In the application's table, a file that is read takes a number that the application may have closed.
        let is_unseen = |request: &HistoryRequest| request.named.is_some() || parts.table.is_apart();
        let history = history.filter(is_unseen).and_then(|request| {
            earlier_runs::start(request, &parts.shared, Arc::clone(&parts.table), sampler.thread().clone())
        });
        Ok(Threads { sampler, feeds, history, files, parts })
    }

    /// Asks all threads to end.
    pub fn ask_to_end(&self) {
        self.parts.shared.stop(self.sampler.thread());
        self.feeds.stop();
        self.history.iter().for_each(Worker::stop);
        self.files.iter().for_each(RunFiles::stop);
    }

    /// Ends all threads and waits for each up to its time limit. Returns which of the run's files are not written, if
    /// any.
    pub fn end(&self) -> Option<String> {
        self.ask_to_end();
        self.sampler.end_within(SAMPLER_WAIT);
        self.feeds.end_within(FEEDS_WAIT);
        if let Some(reader) = &self.history {
            reader.end_within(FEEDS_WAIT);
        }
        self.files.as_ref().and_then(|files| files.end_within(FILES_WAIT))
    }
}

/// Starts the thread that writes the run's files. If that fails, a message reports it.
fn start_files(plan: Plan, parts: &RunParts, journal_reach: JournalReach) -> Option<RunFiles> {
    let RunParts { settings, shared, table, .. } = parts;
    let counter = plan.crash_counter.clone();
    let files = RunFiles::start(plan, settings, shared, journal_reach, Arc::clone(table));
    let files = files.inspect_err(|error| {
        counter.into_iter().for_each(|counter| counter.remove());
        shared.queue_message(format!(
            "the thread for the run's files cannot start ({error}); no files are written; {THREAD_FIX}"
        ));
    });
    files.ok()
}
