//! What the application's threads and the sampling thread share: the state under a lock that is held briefly, messages,
//! and atomic flags.

mod requests;
mod waits;

use super::misuse::{Misuse, MisuseCounts};
use super::work_cell::WorkCell;
use super::{EarlierRuns, RunState};
use crate::clock::MonoNs;
use crate::error::Result;
use crate::forecast::first_epoch::PackedMark;
use crate::forecast::history::History;
use crate::os::memory;
use crate::os::{self, Condvar, Instant, LOCK_WAIT, Thread, lock_within};
use crate::sanitize;
use crate::units;
use requests::Requests;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// What the application's threads and the sampling thread share.
pub struct SharedState {
    state: Mutex<RunState>,
    /// Wakes threads that wait for a change of the state.
    changed: Condvar,
    /// Queued messages, oldest first.
    messages: Mutex<VecDeque<String>>,
    /// Notes on the whole run that are not in the state.
    notes: Mutex<Vec<String>>,
    misuses: MisuseCounts,
    /// The largest request that found no memory, bytes; 0: there is enough.
    missing_bytes: AtomicUsize,
    stop: AtomicBool,
    /// The run does not end by itself.
    cut_off: AtomicBool,
    over_budget: AtomicBool,
    /// Progress of the open epoch, as a [`PackedMark`].
    progress: AtomicU64,
    /// Progress of the whole run.
    pub work: WorkCell,
    /// Number of epochs that the alerts have reviewed; `u64::MAX` once no further review comes.
    reviewed: AtomicU64,
    /// Time that the application's threads have waited for reviews, ns.
    waited_ns: AtomicU64,
    /// No epoch is reviewed before a source has opened, which takes seconds.
    is_review_late: AtomicBool,
    /// A thread waits for the first forecast inside the first epoch.
    forecast_requested: AtomicBool,
    /// How far the earlier runs are: one of the constants `HISTORY_…`.
    history: AtomicU64,
    /// Requests for a reading of all devices.
    pub readings: Requests,
    /// Requests to take over energy that idle processes have counted.
    pub takeovers: Requests,
    /// When the last of them was done, ns.
    taken_over_at: AtomicU64,
}

/// The forecast takes the earlier runs into account, or there are none.
const HISTORY_KNOWN: u64 = 0;
/// A thread reads the earlier runs.
const HISTORY_AWAITED: u64 = 1;
/// The earlier runs are in the state, and the forecast has to be made again.
const HISTORY_NEW: u64 = 2;
/// A thread reads the earlier runs, and a caller has waited for it until the time-out.
const HISTORY_LATE: u64 = 3;

/// A part of the wait for settled epochs.
const WAIT_SLICE: Duration = Duration::from_millis(20);
/// Number of queued messages; a further one replaces the oldest.
const MAX_MESSAGES: usize = 64;

impl SharedState {
    /// The shared state of a run that has not begun.
    pub fn new(state: RunState) -> SharedState {
        SharedState {
            state: Mutex::new(state),
            changed: Condvar::new(),
            messages: Mutex::default(),
            notes: Mutex::default(),
            misuses: MisuseCounts::default(),
            missing_bytes: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            cut_off: AtomicBool::new(false),
            over_budget: AtomicBool::new(false),
            progress: AtomicU64::default(),
            work: WorkCell::default(),
            reviewed: AtomicU64::new(0),
            waited_ns: AtomicU64::new(0),
            is_review_late: AtomicBool::new(false),
            forecast_requested: AtomicBool::new(false),
            history: AtomicU64::new(HISTORY_KNOWN),
            readings: Requests::default(),
            takeovers: Requests::default(),
            taken_over_at: AtomicU64::new(0),
        }
    }

    /// Locks the state. The sampling thread needs it, so the caller must release it soon.
    pub fn state(&self) -> MutexGuard<'_, RunState> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Waits until `epochs` epochs are settled or the time is up. Returns the locked state, and whether they are
    /// settled.
    ///
    /// It waits in slices, each of which uses up its own length only. So the sampling thread gets its time too, if the
    /// process was stopped meanwhile or has hardly a processor.
    pub fn settled_state(&self, epochs: u64, timeout: Duration) -> (MutexGuard<'_, RunState>, bool) {
        let is_over = |state: &RunState| state.lifecycle.finished || state.attribution.settled_epochs() >= epochs;
        let (mut state, mut left) = (self.state(), timeout);
        while !is_over(&state) && !left.is_zero() {
            let slice = left.min(WAIT_SLICE);
            state = self.changed.wait_timeout_while(&self.state, state, slice, |state| !is_over(state));
            left -= slice;
        }
        let whole = is_over(&state) && !state.lifecycle.failed;
        (state, whole)
    }

    /// Waits until more than `epochs` epochs are settled or the time is up. It also returns if the sampling thread has
    /// ended, or `is_over` is true.
    pub fn await_epochs(&self, epochs: u64, timeout: Duration, is_over: impl Fn() -> bool) {
        let waits =
            |state: &mut RunState| !is_over() && !state.lifecycle.finished && state.attribution.settled <= epochs;
        drop(self.changed.wait_timeout_while(&self.state, self.state(), timeout, waits));
    }

    /// Wakes waiting threads after a change outside the state. It waits for the lock only briefly, because it may run
    /// in an exit from a signal handler.
    pub fn wake_waiting(&self) {
        drop(lock_within(&self.state, LOCK_WAIT)); // a thread that has checked and does not sleep yet has the lock
        self.notify();
    }

    /// Waits until `epochs` epochs are settled or the time is up. It holds no lock between two checks.
    pub fn settle_within(&self, epochs: u64, patience: Duration) {
        const CHECK: Duration = Duration::from_millis(1);
        let deadline = Instant::now() + patience;
        let is_settled = || {
            let state = lock_within(&self.state, CHECK);
            state.is_some_and(|state| state.lifecycle.finished || state.attribution.settled_epochs() >= epochs)
        };
        while !is_settled() && Instant::now() < deadline {
            os::pause(CHECK);
        }
    }

    /// Stores the number of epochs that the alerts have reviewed; `u64::MAX`: no further review comes.
    pub fn set_reviewed(&self, epochs: u64) {
        self.reviewed.store(epochs, Ordering::Release);
    }

    /// Stores whether a source that is being opened delays the reviews.
    pub fn set_review_late(&self, is_late: bool) {
        self.is_review_late.store(is_late, Ordering::Relaxed);
    }

    /// The progress of the open epoch.
    pub fn progress(&self) -> PackedMark {
        PackedMark(self.progress.load(Ordering::Acquire))
    }

    /// The share of the open epoch that is done, 0 to 1; None: it has no progress mark.
    pub fn marked_share(&self) -> Option<f64> {
        Some(self.progress()).filter(|&progress| progress != PackedMark::NONE).map(PackedMark::share)
    }

    /// Stores the progress of the open epoch.
    pub fn set_progress(&self, progress: PackedMark) {
        self.progress.store(progress.0, Ordering::Release);
    }

    /// Whether a thread waits for the first forecast inside the first epoch.
    pub fn is_forecast_requested(&self) -> bool {
        self.forecast_requested.load(Ordering::SeqCst)
    }

    /// Marks the request for the first forecast as done. The caller must hold the state's lock; otherwise a waiting
    /// thread may miss it.
    pub fn finish_forecast_request(&self) {
        self.forecast_requested.store(false, Ordering::SeqCst);
        self.notify();
    }

    /// A thread begins to read the earlier runs.
    pub fn expect_history(&self) {
        self.history.store(HISTORY_AWAITED, Ordering::SeqCst);
    }

    /// Ends that reading: stores the earlier runs, if there are any. The caller wakes the sampling thread, which makes
    /// the forecast again.
    pub fn take_history(&self, found: Option<(History, EarlierRuns)>) {
        let mut state = self.state();
        let progress = if found.is_some() { HISTORY_NEW } else { HISTORY_KNOWN };
        if let Some((history, earlier)) = found {
            state.know_history(history, earlier);
        }
        self.history.store(progress, Ordering::SeqCst);
        drop(state);
        self.notify();
    }

    /// Whether the forecast has to be made again, because earlier runs became known.
    pub fn has_new_history(&self) -> bool {
        self.history.load(Ordering::SeqCst) == HISTORY_NEW
    }

    /// Notes that the forecast takes the earlier runs into account. The caller must hold the state's lock; otherwise a
    /// waiting thread may miss it.
    pub fn finish_history(&self) {
        self.history.store(HISTORY_KNOWN, Ordering::SeqCst);
        self.notify();
    }

    /// Queues a message for the user. If the queue is full, the oldest message is dropped.
    pub fn queue_message(&self, message: String) {
        let mut messages = self.messages();
        if messages.len() >= MAX_MESSAGES {
            messages.pop_front();
        }
        messages.push_back(sanitize::text(message));
    }

    /// Queues a message that is also a note of every report.
    pub fn queue_note(&self, message: String) {
        self.notes.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(message.clone());
        self.queue_message(message);
    }

    /// Counts a refused call, and queues a message at the first of its kind. `open_s`: time since the open epoch began,
    /// s.
    pub fn count_misuse(&self, misuse: Misuse, open_s: Option<f64>) {
        if self.misuses.count(misuse) {
            self.queue_message(misuse.in_words(1, open_s));
        }
    }

    /// Fails with CT_EIO if there is no memory for a report of this size, bytes. A message reports when there is memory
    /// again.
    pub fn check_memory(&self, bytes: usize) -> Result<()> {
        let checked = memory::check(bytes, "a report");
        let is_enough = |short: usize| (1..=bytes).contains(&short).then_some(0);
        if checked.is_err() {
            self.missing_bytes.fetch_max(bytes, Ordering::Relaxed);
        } else if self.missing_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_enough).is_ok() {
            self.queue_message("memory was used up for a while; reports failed (CT_EIO) and files may be late; nothing that was counted is lost".into());
        }
        checked
    }

    /// Notes for a report: queued notes, refused calls, and at the end an epoch that is still open. `open_s`: time
    /// since the open epoch began, s.
    pub fn notes(&self, open_s: Option<f64>) -> Vec<String> {
        let mut notes = self.notes.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        notes.extend(self.misuses.notes(open_s));
        notes.extend(open_s.filter(|_| self.is_stopping()).map(|seconds| {
            format!(
                "an epoch was still open when the tracker ended, after {}; it is not counted; call ct_epoch_end after each ct_epoch_begin",
                units::duration(seconds)
            )
        }));
        notes
    }

    /// The queued messages, oldest first.
    pub fn messages(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.messages.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Marks the first `requests` takeover requests as done at `now`. The caller must hold the state's lock.
    pub fn finish_takeovers(&self, requests: u64, now: MonoNs) {
        self.taken_over_at.store(now.0, Ordering::Relaxed);
        self.takeovers.finish(requests);
        self.notify();
    }

    /// Marks the first `requests` for a reading as done. The caller must hold the state's lock.
    pub fn finish_readings(&self, requests: u64) {
        if self.readings.finish(requests) {
            self.notify();
        }
    }

    /// Whether the forecast, or the use, passes a budget.
    pub fn is_over_budget(&self) -> bool {
        self.over_budget.load(Ordering::Relaxed)
    }

    /// Asks the sampling thread to take a last reading and end.
    pub fn stop(&self, sampler: &Thread) {
        self.stop.store(true, Ordering::SeqCst);
        // An exit takes no lock here, so in rare cases the thread wakes by its own time limit, a tenth of a second.
        self.notify();
        sampler.unpark();
    }

    /// Notes that the run does not end by itself. A run whose tracker ends already does.
    pub fn cut_off(&self) {
        if !self.is_stopping() {
            self.cut_off.store(true, Ordering::SeqCst);
        }
    }

    /// Whether the run does not end by itself.
    pub fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::SeqCst)
    }

    /// Whether the tracker ends.
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Stores whether the forecast, or the use, passes a budget.
    pub fn set_over_budget(&self, is_over: bool) {
        self.over_budget.store(is_over, Ordering::Relaxed);
    }

    /// Wakes threads that wait for a change of the state.
    pub fn notify(&self) {
        self.changed.notify_all();
    }
}
