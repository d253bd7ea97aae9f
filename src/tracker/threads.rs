//! The threads of a run, and how they end.

use super::intensity_feed::IntensityFeeds;
use super::marker::Marker;
use super::no_thread;
use super::sampler::Sampler;
use crate::carbon::select::Feed;
use crate::coordination::device_lease::JournalProgress;
use crate::error::Result;
use crate::os::exit::ExitHook;
use crate::os::worker::{self, Worker};
use crate::os::{LOCK_WAIT, OwnTable, lock_within};
use crate::report::ReportSettings;
use crate::run_files::RunFiles;
use crate::run_files::writer::Plan;
use crate::state::shared::SharedState;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long an ending tracker waits for its sampler.
const JOIN_TIMEOUT: Duration = Duration::from_millis(200);
/// How long for the last lines of its files: a disk may be slow, and no device hangs there.
const LOG_TIMEOUT: Duration = Duration::from_secs(2);
/// How long for what feeds the grid's figures: who waits for an answer is left to himself.
const FEEDS_TIMEOUT: Duration = Duration::from_millis(20);

/// The threads of a run, and what they share with the application's.
pub struct Threads {
    pub marker: Arc<Mutex<Marker>>,
    pub shared: Arc<SharedState>,
    pub sampler: Worker,
    pub feeds: IntensityFeeds,
    pub log: Option<RunFiles>,
}

impl ExitHook for Threads {
    fn stop(&self) {
        self.shared.stop(self.sampler.thread());
        self.feeds.stop();
        self.log.iter().for_each(RunFiles::stop);
    }

    fn settle(&self, patience: Duration) {
        self.sampler.thread().unpark();
        let ended = lock_within(&self.marker, patience).map_or(0, |marker| marker.ended);
        self.shared.settle_within(ended, patience);
    }
}

impl Threads {
    /// Ends them all and waits for that, a moment. Returns which of the run's files are not written, if any.
    pub fn end(&self) -> Option<String> {
        self.stop();
        self.sampler.end_within(JOIN_TIMEOUT);
        self.feeds.end_within(FEEDS_TIMEOUT);
        self.log.as_ref().and_then(|log| log.end_within(LOG_TIMEOUT))
    }

    /// Starts them all.
    pub fn start(
        sampler: Sampler,
        feeds: Vec<Feed>,
        plan: Option<Plan>,
        marker: Arc<Mutex<Marker>>,
        setting: &Arc<ReportSettings>,
        shared: &Arc<SharedState>,
        table: &Arc<OwnTable>,
    ) -> Result<Threads> {
        let progress = sampler.journal_progress();
        // What the threads have open stands in the table, which so lives as long as they do.
        let (sampled, marks, held) = (Arc::clone(shared), Arc::clone(&marker), Arc::clone(table));
        let sample = move |_| {
            sampler.run(&sampled, || lock_within(&marks, LOCK_WAIT).is_some_and(|mut marker| marker.flush()));
            drop(held);
        };
        // It reports a fault of its own.
        let sampler = Worker::start("ct-sampler", worker::WorkerExit::Awaited, sample, || ());
        let sampler = sampler.map_err(|error| no_thread(&error))?;
        let log = plan.and_then(|plan| log(plan, setting, shared, progress, table));
        let feeds = IntensityFeeds::start(feeds, shared);
        Ok(Threads { marker, shared: Arc::clone(shared), sampler, feeds, log })
    }
}

/// Starts the thread that writes the run's files. If it cannot start, a message reports that and the run goes on.
fn log(
    plan: Plan,
    setting: &Arc<ReportSettings>,
    shared: &Arc<SharedState>,
    progress: JournalProgress,
    table: &Arc<OwnTable>,
) -> Option<RunFiles> {
    let tally = plan.crash_counter.clone();
    let log = RunFiles::start(plan, setting, shared, progress, Arc::clone(table));
    let log = log.inspect_err(|error| {
        tally.into_iter().for_each(|tally| tally.remove());
        shared.say(format!("no thread for the run's files ({error}): none are written"));
    });
    log.ok()
}
