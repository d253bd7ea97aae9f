//! A run being tracked: set-up, epoch marks, the sampling thread, the intensity feeds, and the end.
//!
//! In: checked options, the application's epoch marks, readings. Out: reports, values and messages. Never: it blocks
//! the application at a mark, and it reads no device on the application's thread.
//!
//! [`Tracker`] is the application's handle. `assembly` makes one in four steps. `sampler` reads the sources and writes
//! the run's state.

mod assembly;
mod configuration;
mod earlier_runs;
mod failures;
pub mod intensity_feed;
mod marker;
mod phases;
mod reports;
pub mod sampler;
mod threads;

pub use failures::Failures;

use crate::attribution::ledger::Mark;
use crate::clock::MonoNs;
use crate::error::{Error, Result, Status, THREAD_FIX};
use crate::forecast::first_epoch::PackedMark;
use crate::measurement::machine::Machine;
use crate::measurement::source::{self, Opening, Waker};
use crate::measurement::source_name::SourceName;
use crate::options::Options;
use crate::options::environment;
use crate::os::memory;
use crate::os::{self, ForkMark, Instant, OwnTable, terminal};
use crate::state::misuse::Misuse;
use crate::state::work_cell::Stored;
use marker::{Begun, Marker};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;
use threads::{RunParts, Threads};

/// Memory that a tracker needs, bytes, with its threads and the record of its job.
const TRACKER_BYTES: usize = 7 << 20;

/// A run being tracked.
pub struct Tracker {
    /// The sampling thread. Each mark wakes it.
    sampler: os::Thread,
    threads: Arc<Threads>,
    is_open: AtomicBool,
    fork_mark: ForkMark,
    parts: RunParts,
    created: MonoNs,
    failures: Failures,
}

/// What is started on the application's thread, before the assembly.
struct RunStart {
    /// NVML being opened; None: no real GPU is measured.
    nvml: Option<io::Result<Opening>>,
    waker: Waker,
    /// A simulated machine in place of the real one.
    machine: Option<Arc<dyn Machine>>,
}

impl Tracker {
    /// Makes a tracker from an option string, the environment and the configuration files, and starts its threads.
    /// None: the library is disabled.
    pub fn create(options: &str) -> Result<Option<Tracker>> {
        if environment::is_disabled(os::variable) {
            return Ok(None);
        }
        let (files, _table) = configuration::read();
        let tracker = Tracker::start(Options::parse_over(&files, options, os::variable)?)?;
        tracker.print_messages(false);
        Ok(Some(tracker))
    }

    /// Makes a tracker from checked options and starts its threads.
    ///
    /// NVML starts here, because its driver needs the application's descriptors. All other files are opened on the
    /// thread `ct-start`, which has its own descriptor table; this call waits for it.
    pub fn start(options: Options) -> Result<Tracker> {
        Tracker::start_on(None, options)
    }

    /// Makes a tracker on a simulated machine, or on the real one.
    pub fn start_on(machine: Option<Arc<dyn Machine>>, options: Options) -> Result<Tracker> {
        memory::check(TRACKER_BYTES, "a tracker")?;
        let waker = Waker::default();
        let table = OwnTable::shared().map_err(|error| no_thread(&error))?;
        let nvml = match &machine {
            Some(machine) => open_driver(machine, &waker),
            None => source::start_nvml(&options.measurement, waker.clone(), Arc::clone(&table)),
        };
        let (start, of_threads) = (RunStart { nvml, waker, machine }, Arc::clone(&table));
        let started = table.run("ct-start", move || assembly::assemble(options, start, of_threads));
        started.map_err(|error| no_thread(&error))?.ok_or_else(|| {
            Error::new(Status::CT_EPANIC, "ct_create: internal error; no tracker was made; please report this bug")
        })?
    }

    /// Whether this process was forked after the tracker was made.
    pub fn is_forked(&self) -> bool {
        self.fork_mark.is_forked()
    }

    /// The failed calls of the C library with this tracker.
    pub fn failures(&self) -> &Failures {
        &self.failures
    }

    /// Begins an epoch.
    pub fn begin(&self) -> Result<Status> {
        let mut marker = self.marker();
        if let Some(open) = marker.open {
            self.parts.shared.count_misuse(Misuse::Begin, Some(os::monotonic_ns().s_since(open.begin)));
            return Err(Error::new(
                Status::CT_ESTATE,
                "ct_epoch_begin: an epoch is open already; nothing changed; end or cancel it first",
            ));
        }
        let begin = os::monotonic_ns();
        marker.state.iter().for_each(|state| state.begin(begin));
        marker.phases.set_in_epoch(true, begin);
        let queued = marker.ended < marker.monitor_epochs && marker.begin(begin);
        marker.open = Some(Begun { begin, queued });
        self.parts.shared.set_progress(PackedMark::NONE);
        self.is_open.store(true, Ordering::Relaxed);
        drop(marker);
        self.wake();
        Ok(Status::CT_OK)
    }

    /// Ends the open epoch.
    pub fn end(&self) -> Result<Status> {
        let mut marker = self.marker();
        let open =
            marker.take_open("ct_epoch_end").inspect_err(|_| self.parts.shared.count_misuse(Misuse::End, None))?;
        let end = os::monotonic_ns();
        marker.phases.set_in_epoch(false, end);
        marker.end(open, end);
        self.is_open.store(false, Ordering::Relaxed);
        drop(marker);
        self.wake();
        if self.parts.settings.budgets.is_any() {
            self.await_review();
        }
        self.print_messages(true);
        Ok(if self.parts.shared.is_over_budget() { Status::CT_OVER_BUDGET } else { Status::CT_OK })
    }

    /// Drops the open epoch.
    pub fn cancel(&self) -> Result<Status> {
        let mut marker = self.marker();
        let open = marker
            .take_open("ct_epoch_cancel")
            .inspect_err(|_| self.parts.shared.count_misuse(Misuse::Cancel, None))?;
        marker.state.iter().for_each(|state| state.end(marker.last_end));
        marker.phases.set_in_epoch(false, os::monotonic_ns());
        if open.queued {
            marker.push(Mark::Cancel(os::monotonic_ns()));
        }
        self.is_open.store(false, Ordering::Relaxed);
        drop(marker);
        self.wake();
        Ok(Status::CT_OK)
    }

    /// Stores the progress of the open epoch: `done` of `total` batches or steps.
    pub fn progress(&self, done: u64, total: u64) -> Result<Status> {
        if total == 0 || done > total {
            self.parts.shared.count_misuse(Misuse::Share, None);
            return Err(Error::invalid(format!(
                "ct_progress: {done} of {total}: expected done <= total and total > 0"
            )));
        }
        if !self.is_open.load(Ordering::Relaxed) {
            self.parts.shared.count_misuse(Misuse::Progress, None);
            return Err(Error::new(
                Status::CT_ESTATE,
                "ct_progress: no epoch is open; nothing changed; call ct_epoch_begin first",
            ));
        }
        self.parts.shared.set_progress(PackedMark::new(done, total, os::monotonic_ns()));
        Ok(Status::CT_OK)
    }

    /// Stores the progress of the whole run: `done` of `total`, in any unit.
    pub fn run_progress(&self, done: f64, total: f64) -> Result<Status> {
        let shared = &self.parts.shared;
        match shared.work.store(done, total, os::monotonic_ns) {
            Stored::Invalid => {
                shared.count_misuse(Misuse::Work, None);
                return Err(Error::invalid(
                    "ct_run_progress: done is below 0, total is not above 0, or one is not finite; nothing changed",
                ));
            }
            Stored::Back => shared.count_misuse(Misuse::WorkBack, None),
            Stored::Soon => self.wake(),
            Stored::Later => (),
        }
        self.print_messages(false);
        Ok(if shared.is_over_budget() { Status::CT_OVER_BUDGET } else { Status::CT_OK })
    }

    /// Waits until all ended epochs have their energy, at most `patience`. Returns whether they have it.
    pub fn settle(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let ended = self.flush_backlog(deadline);
        self.parts.shared.settled_state(ended, deadline.left()).1
    }

    /// Hands the oldest message to `take`; it stays queued if that fails. If none is queued, it waits for the review of
    /// the last epoch, which may make one.
    pub fn take_message(&self, take: impl FnOnce(&str) -> Result<Status>) -> Result<Status> {
        let may_come = self.parts.settings.planned > 0 || self.parts.settings.budgets.is_any();
        if may_come && self.parts.shared.messages().is_empty() {
            self.await_review();
        }
        let mut messages = self.parts.shared.messages();
        let oldest = messages.front().ok_or_else(|| Error::new(Status::CT_ENOENT, "no message is queued"))?;
        let status = take(oldest)?;
        messages.pop_front();
        Ok(status)
    }

    /// Prints the queued messages on standard error, if the user asks for that by log=stderr. `awaits`: also those of
    /// the epoch that has just ended.
    fn print_messages(&self, awaits: bool) {
        if !self.parts.settings.prints {
            return;
        }
        let may_come = self.parts.settings.planned > 0 || self.parts.settings.budgets.is_any();
        if awaits && may_come {
            self.await_review();
        }
        let mut messages = self.parts.shared.messages();
        while let Some(message) = messages.front() {
            if !terminal::write_if_ready(io::stderr().as_fd(), &format!("carbontracker: {message}\n")) {
                return; // a full pipe must not stop the application; the message stays queued
            }
            messages.pop_front();
        }
    }

    /// Waits until the alerts have reviewed all ended epochs, within the time that such waits may take. Epochs that
    /// found the ring full enter it once those in it are reviewed.
    fn await_review(&self) {
        for _ in 0..2 {
            let (queued, left) = self.flush();
            self.wake();
            let is_reviewed = self.parts.shared.await_review(queued, os::monotonic_ns().ns_since(self.created));
            if left == 0 || !is_reviewed {
                return;
            }
        }
    }

    /// Notes that the program that is measured has failed: its end before the planned one saves nothing.
    pub fn fail(&self) {
        self.parts.shared.cut_off();
    }

    /// Ends the threads and waits for each up to its time limit. Returns which of the run's files are not written.
    pub fn destroy(self) -> Option<String> {
        let unwritten = self.threads.end();
        self.print_messages(false);
        unwritten
    }

    /// Moves the backlog into the ring, as far as the deadline allows. Returns the number of epochs that have entered
    /// the ring.
    fn flush_backlog(&self, deadline: Instant) -> u64 {
        loop {
            let (queued, left) = self.flush();
            self.wake();
            if left == 0 || Instant::now() >= deadline {
                return queued;
            }
            os::pause(Duration::from_millis(1));
        }
    }

    /// Moves the backlog into the ring if there is room. Returns the number of epochs that have entered the ring, and
    /// of those that have not.
    fn flush(&self) -> (u64, u64) {
        let mut marker = self.marker();
        marker.flush();
        let left = marker.backlog.map_or(0, |backlog| backlog.count);
        (marker.ended - left, left)
    }

    fn wake(&self) {
        self.sampler.unpark();
    }

    fn marker(&self) -> MutexGuard<'_, Marker> {
        self.parts.marker.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A dropped tracker ends its threads without waiting for them.
impl Drop for Tracker {
    fn drop(&mut self) {
        self.threads.ask_to_end();
    }
}

/// Starts to open the GPUs of a simulated machine. None: it has no driver.
fn open_driver(machine: &Arc<dyn Machine>, waker: &Waker) -> Option<io::Result<Opening>> {
    let (opened, waker) = (Arc::clone(machine), waker.clone());
    let open = || Opening::start((SourceName::Nvml, None), true, "ct-nvml", waker, move |_| opened.open_driver());
    machine.has_driver().then(open)
}

fn no_thread(error: &io::Error) -> Error {
    let words = format!("no thread could be started: {error}; nothing is measured; {THREAD_FIX}");
    Error::new(Status::CT_EIO, words)
}
