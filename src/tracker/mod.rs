//! A tracker: what the host holds. Its calls stamp the clock and check their order; the sampler does the rest.

mod assembly;
pub mod intensity_feed;
mod marker;
pub mod sampler;
mod threads;

use crate::attribution::ledger::Mark;
use crate::error::{Error, Result, Status};
use crate::forecast::first_epoch::PackedMark;
use crate::measurement::source::{self, Waker};
use crate::options::Options;
use crate::options::environment;
use crate::os::exit::ExitHook;
use crate::os::memory;
use crate::os::{self, ForkMark, OwnTable};
use crate::report::{self, Detail, Now, OpenEpoch, Report, ReportSettings};
use crate::state::misuse::Misuse;
use crate::state::shared::SharedState;
use marker::{Begun, Marker};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::Thread;
use std::time::{Duration, Instant};
use threads::Threads;

/// How long a report waits for the reading that closes the last epoch.
const REPORT_TIMEOUT: Duration = Duration::from_secs(1);
/// What does not depend on which process counts a device: who asks for it takes nothing over.
const WITHOUT_ENERGY: [&str; 5] = ["/run/", "/intensity/", "/job/agreed", "/job/record", "/job/processes"];
/// How long one inside the first epoch waits for the first forecast.
const FORECAST_TIMEOUT: Duration = Duration::from_millis(300);
/// What a tracker takes, bytes, with room for its threads and the record of its job.
const ENOUGH: usize = 7 << 20;

/// A run being tracked.
pub struct Tracker {
    marker: Arc<Mutex<Marker>>,
    shared: Arc<SharedState>,
    /// The sampler's thread, to be woken.
    sampler: Thread,
    threads: Arc<Threads>,
    setting: Arc<ReportSettings>,
    is_open: AtomicBool,
    fork_mark: ForkMark,
    /// The table of descriptors that the threads use.
    _table: Arc<OwnTable>,
}

impl Tracker {
    /// Makes a tracker from options and environment and starts its sampler; None if disabled.
    pub fn create(options: &str) -> Result<Option<Tracker>> {
        if environment::is_disabled(os::variable) {
            return Ok(None);
        }
        Tracker::start(Options::parse(options, os::variable)?).map(Some)
    }

    /// The same from options that are checked already.
    ///
    /// Everything that opens a file runs on a thread that has a table of descriptors of its own; the caller waits for it. The
    /// environment is read on that thread meanwhile.
    pub fn start(options: Options) -> Result<Tracker> {
        memory::check(ENOUGH, "a tracker")?;
        let waker = Waker::default();
        let table = OwnTable::shared().map_err(|error| no_thread(&error))?;
        let nvml = source::start_nvml(&options.measurement, waker.clone(), Arc::clone(&table));
        let kept = Arc::clone(&table);
        let started = table.run("ct-start", move || assembly::assemble(options, nvml, waker, kept));
        started.map_err(|error| no_thread(&error))?.ok_or_else(|| {
            Error::new(Status::CT_EPANIC, "ct_create: internal error, nothing was started. Please report this bug")
        })?
    }

    /// Whether this process is a fork of the one that made it.
    pub fn is_forked(&self) -> bool {
        self.fork_mark.is_forked()
    }

    /// Begins an epoch.
    pub fn begin(&self) -> Result<Status> {
        let mut marker = self.marker();
        if let Some(open) = marker.open {
            let open_ns = os::monotonic_ns().saturating_sub(open.begin);
            self.shared.slip(Misuse::Begin, Some(open_ns as f64 * 1e-9));
            return Err(Error::new(
                Status::CT_ESTATE,
                "ct_epoch_begin: an epoch is open already; end or cancel it first",
            ));
        }
        let begin = os::monotonic_ns();
        marker.state.iter().for_each(|state| state.begin(begin));
        let queued = marker.ended < marker.monitor_epochs && marker.begin(begin);
        marker.open = Some(Begun { begin, queued });
        self.shared.set_progress(PackedMark::NONE);
        self.is_open.store(true, Ordering::Relaxed);
        drop(marker);
        self.wake();
        Ok(Status::CT_OK)
    }

    /// Ends the open epoch.
    pub fn end(&self) -> Result<Status> {
        let mut marker = self.marker();
        let open = marker.take_open("ct_epoch_end").inspect_err(|_| self.shared.slip(Misuse::End, None))?;
        marker.end(open, os::monotonic_ns());
        self.is_open.store(false, Ordering::Relaxed);
        drop(marker);
        self.wake();
        Ok(if self.shared.is_over_budget() { Status::CT_OVER_BUDGET } else { Status::CT_OK })
    }

    /// Drops the open epoch.
    pub fn cancel(&self) -> Result<Status> {
        let mut marker = self.marker();
        let open = marker.take_open("ct_epoch_cancel").inspect_err(|_| self.shared.slip(Misuse::Cancel, None))?;
        marker.state.iter().for_each(|state| state.end(marker.last_end));
        if open.queued {
            marker.push(Mark::Cancel(os::monotonic_ns()));
        }
        self.is_open.store(false, Ordering::Relaxed);
        drop(marker);
        self.wake();
        Ok(Status::CT_OK)
    }

    /// Notes how far the open epoch is.
    pub fn progress(&self, done: u64, total: u64) -> Result<Status> {
        if total == 0 || done > total {
            self.shared.slip(Misuse::Share, None);
            return Err(Error::invalid(format!(
                "ct_progress: {done} of {total}: expected done <= total and total > 0"
            )));
        }
        if !self.is_open.load(Ordering::Relaxed) {
            self.shared.slip(Misuse::Progress, None);
            return Err(Error::new(Status::CT_ESTATE, "ct_progress: no epoch is open; call ct_epoch_begin first"));
        }
        self.shared.set_progress(PackedMark::new(done, total, os::monotonic_ns()));
        Ok(Status::CT_OK)
    }

    /// One number of the report.
    pub fn value(&self, pointer: &str) -> Result<f64> {
        let detail = Detail::of(pointer);
        let is_of_forecast = ["/forecast", "/what_if", "/extras"].iter().any(|section| pointer.starts_with(section));
        self.check_memory(detail, false)?;
        let is_of_energy = !WITHOUT_ENERGY.iter().any(|section| pointer.starts_with(section));
        self.snapshot(detail, is_of_forecast, is_of_energy).value(pointer)
    }

    /// The report in a format.
    pub fn report(&self, format: &str) -> Result<String> {
        self.check_memory(Detail::Epochs, ["json", "html"].contains(&format))?;
        self.snapshot(Detail::Epochs, true, true).render(format)
    }

    /// Hands the oldest message to `take`; it stays queued if that fails.
    pub fn take_message(&self, take: impl FnOnce(&str) -> Result<Status>) -> Result<Status> {
        let mut messages = self.shared.messages();
        let oldest = messages.front().ok_or_else(|| Error::new(Status::CT_ENOENT, "no message is queued"))?;
        let status = take(oldest)?;
        messages.pop_front();
        Ok(status)
    }

    /// Ends the sampler and waits for it, a moment. Returns which of the run's files are not written, if any.
    pub fn destroy(self) -> Option<String> {
        self.threads.end()
    }

    /// Fails with CT_EIO where too little memory is left for a report.
    fn check_memory(&self, detail: Detail, is_json: bool) -> Result<()> {
        let bytes = report::bytes(&self.setting, &self.shared.state(), detail, is_json);
        self.shared.check_memory(bytes)
    }

    fn snapshot(&self, detail: Detail, with_forecast: bool, with_energy: bool) -> Report {
        let deadline = Instant::now() + REPORT_TIMEOUT;
        let ended = self.flush_backlog(deadline);
        if with_energy {
            self.shared.ask(&self.sampler, ended, deadline);
        }
        let is_open = self.is_open.load(Ordering::Relaxed);
        if is_open && with_forecast && self.setting.planned > 0 {
            self.shared.await_first_forecast(&self.sampler, FORECAST_TIMEOUT);
        }
        let (books, whole) = self.shared.settled_books(ended, deadline.saturating_duration_since(Instant::now()));
        let open = is_open.then(|| OpenEpoch { share: self.shared.marked_share() });
        Report::new(&self.setting, &books, Now { at: os::monotonic_ns(), whole, open }, detail)
            .noting(|open_s| self.shared.notes(open_s))
    }

    /// Waits until the ring takes the backlog; returns how many epochs are in the ring or have been taken from it.
    fn flush_backlog(&self, deadline: Instant) -> u64 {
        loop {
            let mut marker = self.marker();
            marker.flush();
            let left = marker.backlog.map_or(0, |backlog| backlog.count);
            let queued = marker.ended - left;
            drop(marker);
            self.wake();
            if left == 0 || Instant::now() >= deadline {
                return queued;
            }
            os::pause(Duration::from_millis(1));
        }
    }

    fn wake(&self) {
        self.sampler.unpark();
    }

    fn marker(&self) -> MutexGuard<'_, Marker> {
        self.marker.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A tracker let go ends its sampler without waiting for it.
impl Drop for Tracker {
    fn drop(&mut self) {
        self.threads.stop();
    }
}

fn no_thread(error: &io::Error) -> Error {
    let words =
        format!("no thread could be started: {error}; is a limit on threads or memory set (ulimit -u, ulimit -v)?");
    Error::new(Status::CT_EIO, words)
}
