//! Waits of the application's threads for the sampling thread. Each ends by its own time limit.

use super::{HISTORY_AWAITED, HISTORY_LATE, HISTORY_NEW, SharedState, WAIT_SLICE};
use crate::clock::MonoNs;
use crate::forecast::first_epoch;
use crate::os::{self, Instant, Thread};
use crate::state::{Forecasting, RunState};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Time after a takeover in which another request gets the same result, ns.
const TAKEOVER_VALID_NS: u64 = 100_000_000;
/// Longest wait for one review, and for all reviews in a short run, ns.
const REVIEW_WAIT_NS: u64 = 1_000_000_000;
/// A long run may wait for this part of its time.
const REVIEW_WAIT_PART: u64 = 100;
/// Time between two checks for a review.
const REVIEW_CHECK: Duration = Duration::from_micros(200);

impl SharedState {
    /// Waits until the alerts have reviewed `epochs` epochs, or the patience is used up. It takes no lock, and does not
    /// wait while a source is being opened.
    ///
    /// In all, these waits take 1 s and a hundredth of the run's time at most. `since_start`: time since the start, ns.
    /// Returns whether they are reviewed.
    pub fn await_review(&self, epochs: u64, since_start: u64) -> bool {
        let allowed = REVIEW_WAIT_NS + since_start / REVIEW_WAIT_PART;
        let left = allowed.saturating_sub(self.waited_ns.load(Ordering::Relaxed)).min(REVIEW_WAIT_NS);
        let start = os::monotonic_ns();
        let gone = || os::monotonic_ns().ns_since(start);
        let is_reviewed = || self.reviewed.load(Ordering::Acquire) >= epochs;
        while !is_reviewed() && !self.is_review_late.load(Ordering::Relaxed) && gone() < left {
            os::pause(REVIEW_CHECK);
        }
        self.waited_ns.fetch_add(gone(), Ordering::Relaxed);
        is_reviewed()
    }

    /// Requests the first forecast, if enough of the first epoch is done and there is none yet. Waits for it until the
    /// time-out.
    pub fn await_first_forecast(&self, sampler: &Thread, timeout: Duration) {
        if self.progress().share() < first_epoch::MIN_FORECAST_SHARE {
            return;
        }
        let is_missing = |state: &mut RunState| {
            !state.lifecycle.finished
                && state.attribution.ledger.marked().next().is_none()
                && state.forecasting.forecast.is_none()
        };
        let mut state = self.state();
        // If a request is open already, another thread has waited for it until the time-out.
        if is_missing(&mut state) && !self.forecast_requested.swap(true, Ordering::SeqCst) {
            self.call(sampler);
            let is_coming =
                |state: &mut RunState| self.is_forecast_requested() || state.forecasting.first_epoch.awaits().is_some();
            drop(
                self.changed
                    .wait_timeout_while(&self.state, state, timeout, |state| is_missing(state) && is_coming(state)),
            );
        }
    }

    /// Whether earlier runs can give a forecast, or change it. A run of epochs has none without their number and
    /// without progress. Before the first epoch, it may be a run that progress will measure.
    pub fn needs_history(&self, planned: u64, has_epochs: bool) -> bool {
        planned > 0 || !has_epochs || self.work.number() > 0
    }

    /// Waits for the forecast from earlier runs, before the first epoch has ended, until the time-out. After a time-out
    /// no caller waits again.
    pub fn await_history(&self, timeout: Duration) {
        let is_coming = |state: &mut RunState| {
            [HISTORY_AWAITED, HISTORY_NEW].contains(&self.history.load(Ordering::SeqCst))
                && !state.lifecycle.finished
                && state.attribution.settled_epochs() == 0
        };
        let state = self.changed.wait_timeout_while(&self.state, self.state(), timeout, is_coming);
        let late = |history: u64| (history == HISTORY_AWAITED).then_some(HISTORY_LATE);
        let _ = self.history.fetch_update(Ordering::SeqCst, Ordering::SeqCst, late);
        drop(state);
    }

    /// Asks the sampling thread to enter the run's newest progress, and waits for it and its energy.
    pub fn await_work(&self, sampler: &Thread, timeout: Duration) {
        let (number, deadline) = (self.work.number(), Instant::now() + timeout);
        let is_behind = |state: &RunState| {
            let Forecasting { run_progress, work_number, .. } = &state.forecasting;
            !state.lifecycle.finished && (*work_number < number || run_progress.awaits().is_some())
        };
        let mut state = self.state();
        while is_behind(&state) && Instant::now() < deadline {
            self.forecast_requested.store(true, Ordering::SeqCst);
            self.call(sampler);
            let is_open = |state: &mut RunState| is_behind(state) && self.is_forecast_requested();
            state = self.changed.wait_timeout_while(&self.state, state, deadline.left().min(WAIT_SLICE), is_open);
        }
    }

    /// Requests a reading, unless `epochs` epochs have theirs: frequent marks wait for one.
    pub fn hasten(&self, sampler: &Thread, epochs: u64) {
        let state = self.state();
        if state.attribution.settled_epochs() < epochs {
            self.readings.ask();
            self.call(sampler);
        }
    }

    /// Wakes the sampling thread for a request, which the caller has made while it held the state's lock.
    fn call(&self, sampler: &Thread) {
        self.notify();
        sampler.unpark();
    }

    /// The sampling thread sleeps for this time, or until a thread makes a request. If one is open already, the time is
    /// up soon.
    pub fn sleep_until_request(&self, time: Duration) {
        let is_any_open = || {
            let of_energy = self.readings.is_any_open() || self.takeovers.is_any_open();
            of_energy || self.is_forecast_requested() || self.is_stopping()
        };
        if is_any_open() {
            return os::pause(time);
        }
        drop(self.changed.wait_timeout_while(&self.state, self.state(), time, |_| !is_any_open()));
    }

    /// Requests a reading of all devices, and waits for it until the time-out.
    pub fn await_reading(&self, sampler: &Thread, timeout: Duration) {
        let state = self.state();
        let number = self.readings.ask();
        self.call(sampler);
        let is_coming = |state: &mut RunState| !state.lifecycle.finished && self.readings.done() < number;
        drop(self.changed.wait_timeout_while(&self.state, state, timeout, is_coming));
    }

    /// Requests that energy counted by idle processes is taken over, and waits for it until the deadline. It does
    /// nothing if no other process can count a device, or shortly after another takeover. A device of this process may
    /// have another owner since the last poll.
    pub fn await_takeover(&self, sampler: &Thread, ended: u64, deadline: Instant) {
        let state = self.state();
        let is_shared = state.metering.standby.iter().any(|standby| !standby.lease.is_apart);
        let is_known = state.attribution.ledger.marked_epochs() >= ended
            && os::monotonic_ns() < MonoNs(self.taken_over_at.load(Ordering::Relaxed)) + TAKEOVER_VALID_NS;
        if state.lifecycle.finished || !is_shared || is_known {
            return;
        }
        let number = self.takeovers.ask();
        self.call(sampler);
        let patience = deadline.left();
        drop(self.changed.wait_timeout_while(&self.state, state, patience, |state| {
            !state.lifecycle.finished && self.takeovers.done() < number
        }));
    }
}
