//! The sampling thread: it wakes for marks and at intervals, reads the sources, and enters marks and energy into the
//! state.
//!
//! It reads devices under no lock and never calls back into the application.

mod admission;
mod pace;
mod schedule;
mod source_slot;
mod stand_in;
mod usage;
mod work;

use crate::attribution::ledger::Mark;
use crate::attribution::phases::PhaseMark;
use crate::clock::MonoNs;
use crate::coordination::device_lease::{EpochState, JournalReach, LeaseManager, LeasePoll};
use crate::forecast::Forecast;
use crate::forecast::first_epoch::PackedMark;
use crate::measurement::intake::Intake;
use crate::measurement::reading::Reading;
use crate::measurement::source::Waker;
use crate::measurement::usage::UsageReader;
use crate::os::{self, exit};
use crate::state::alerts::{Alerts, Review};
use crate::state::shared::SharedState;
use crate::state::{FAULT, RunState};
use pace::ReadingPace;
use rtrb::Consumer;
use rtrb::chunks::ReadChunk;
use source_slot::SourceSlot;
use std::sync::MutexGuard;
use std::time::Duration;

/// Time between two checks whether the application has a thread left, ns.
const APPLICATION_CHECK_NS: u64 = 1_000_000_000;
/// Time between two judgements of the budgets in an open epoch, ns.
const JUDGE_NS: u64 = 1_000_000_000;
/// A forecast that takes longer than this makes the next ones rarer, ns.
const LONG_FORECAST_NS: u64 = 1_000_000;
/// After a long forecast none is made for this multiple of its time.
const FORECAST_REST: u64 = 50;
/// The message for descriptors that the application has closed.
const CLOSED_DESCRIPTORS: &str = "the application closed file descriptors of this library; their files were opened again by path, and no file of the application was touched; close only descriptors that the application opened";

/// What a sampler is made of.
pub struct SamplerParts {
    /// Sources that are being opened.
    pub intake: Intake,
    /// Wakes the sampling thread when an asynchronous reading has come.
    pub waker: Waker,
    /// The reading end of the ring of epochs.
    pub marks: Consumer<Mark>,
    /// The reading end of the ring of phases.
    pub phase_marks: Consumer<PhaseMark>,
    /// Forecast message and budgets.
    pub alerts: Alerts,
    /// Leases of devices that one process of the job counts.
    pub leases: LeaseManager,
    /// Time between two background samples.
    pub interval: Duration,
    /// Number of epochs to measure; None: all.
    pub monitor_epochs: Option<u64>,
    /// Reads what the job uses of its node; None: all energy of the devices counts.
    pub usage: Option<UsageReader>,
}

/// The sampling thread's own data.
pub struct Sampler {
    slots: Vec<SourceSlot>,
    leases: LeaseManager,
    usage: Option<UsageReader>,
    /// The last end of an epoch in the state.
    last_end: Option<MonoNs>,
    /// The instant from which each lease's devices have been read; None: not read yet.
    read_since: Vec<Option<MonoNs>>,
    marks: Consumer<Mark>,
    phase_marks: Consumer<PhaseMark>,
    /// When to read for phases that are too short for a reading each; [`MonoNs::NEVER`] without any.
    next_phase_read: MonoNs,
    alerts: Alerts,
    intake: Intake,
    waker: Waker,
    /// Number of closed descriptors at the last check.
    lost_descriptors: u64,
    has_reported_descriptors: bool,
    application_checked_at: MonoNs,
    started: MonoNs,
    interval_ns: u64,
    monitor_epochs: Option<u64>,
    /// How soon a mark may be read.
    pace: ReadingPace,
    last_pass: MonoNs,
    passes: u64,
    readings: Vec<Reading>,
    /// The progress that was entered last.
    progress_mark: PackedMark,
    /// When to look at the first epoch's progress again; [`MonoNs::NEVER`] outside the first epoch.
    next_progress_look: MonoNs,
    /// When to look at the run's progress again; [`MonoNs::NEVER`] before the first look.
    next_work_look: MonoNs,
    /// The run's progress at the first look; None: there was none.
    first_work: Option<MonoNs>,
    /// The number of the run's progress that was entered last; 0: none was.
    work_number: u64,
    /// When to judge the budgets again; [`MonoNs::NEVER`] without budgets or an open epoch.
    next_judgement: MonoNs,
    /// No long forecast is made before this instant.
    rests_until: MonoNs,
    /// Whether a forecast was left out for that.
    is_forecast_left: bool,
}

impl Sampler {
    /// Adds the sources' channels to the state and takes each counter's first reading. It waits for the sources for a
    /// moment.
    pub fn new(parts: SamplerParts, shared: &SharedState) -> Sampler {
        let SamplerParts { intake, waker, marks, phase_marks, alerts, leases, interval, monitor_epochs, usage } = parts;
        let mut sampler = Sampler {
            slots: Vec::new(),
            leases,
            usage,
            last_end: None,
            read_since: Vec::new(),
            marks,
            phase_marks,
            next_phase_read: MonoNs::NEVER,
            alerts,
            intake,
            waker,
            lost_descriptors: os::lost_descriptors(),
            has_reported_descriptors: false,
            application_checked_at: os::monotonic_ns(),
            started: os::monotonic_ns(),
            interval_ns: interval.as_nanos() as u64,
            monitor_epochs,
            pace: ReadingPace::new(os::monotonic_ns(), 0),
            last_pass: MonoNs::ZERO,
            passes: 0,
            readings: Vec::new(),
            progress_mark: PackedMark::NONE,
            next_progress_look: MonoNs::NEVER,
            next_work_look: MonoNs::NEVER,
            first_work: None,
            work_number: 0,
            next_judgement: MonoNs::NEVER,
            rests_until: MonoNs::ZERO,
            is_forecast_left: false,
        };
        sampler.admit(true, shared);
        sampler.pass(shared);
        sampler
    }

    /// The handle by which the log reports how far the journal covers the run.
    pub fn journal_reach(&self) -> JournalReach {
        self.leases.journal_reach()
    }

    /// The handle by which the application's threads publish that an epoch begins or ends.
    pub fn epoch_state(&self) -> Option<EpochState> {
        self.leases.state()
    }

    /// Samples until the tracker stops. `leave` queues the epochs that found the ring full, and publishes no further
    /// epoch. Whatever happens, waiting threads are woken at the end.
    pub fn run(mut self, shared: &SharedState, leave: impl Fn() -> bool) {
        let work = std::panic::AssertUnwindSafe(|| {
            self.pace = ReadingPace::new(os::monotonic_ns(), os::thread_time_ns());
            self.waker.wakes_this_thread();
            os::widen_affinity();
            while !shared.is_stopping() && !self.has_seen_enough(shared) {
                self.follow_application();
                if os::monotonic_ns() >= self.due(shared) {
                    self.pass(shared);
                    self.follow_affinity();
                } else {
                    self.sleep(shared);
                }
            }
            self.read_again(shared);
            if leave() {
                self.read_again(shared);
            }
            shared.state().finish();
            self.report_end(shared);
        });
        if std::panic::catch_unwind(work).is_err() {
            shared.state().lifecycle.failed = true;
            shared.queue_message(FAULT.into());
        }
        self.leases.release();
        let mut state = shared.state();
        (state.lifecycle.finished, state.lifecycle.is_cut_off) = (true, shared.is_cut_off());
        drop(state);
        shared.set_reviewed(u64::MAX);
        shared.notify();
        self.intake.end();
    }

    /// Makes a pass that reads every source, even if it was read just now.
    pub fn read_again(&mut self, shared: &SharedState) {
        self.slots.iter_mut().for_each(|slot| slot.last_read = None);
        self.pass(shared);
    }

    /// Reads the sources that are due, then enters marks and energy into the state.
    fn pass(&mut self, shared: &SharedState) {
        if !self.intake.is_over() {
            self.admit(false, shared);
        }
        let is_forecast_requested = shared.is_forecast_requested();
        let start = os::monotonic_ns();
        let is_look_due = start >= self.next_progress_look || is_forecast_requested;
        let progress = if is_look_due { self.new_progress(shared) } else { None };
        let is_mark_waiting = !self.marks.is_empty();
        let [first_work, work] = self.new_work(shared, start, is_forecast_requested || is_mark_waiting);
        let readings_requested = shared.readings.requested();
        let is_reading_due = start >= self.next_phase_read || shared.readings.is_any_open();
        self.read_sources(start, is_mark_waiting || progress.is_some() || work.is_some() || is_reading_due);
        let usage = self.read_usage(start, is_mark_waiting || is_reading_due || shared.takeovers.is_any_open());
        // Every mark stamped before these readings is in the ring by now. So time is divided before energy is
        // attributed.
        let takeovers = shared.takeovers.requested();
        let marks = self.marks.read_chunk(self.marks.slots());
        let has_marks = marks.iter().any(|marks| !marks.is_empty());
        let ended = marks.iter().flat_map(newest_end).max().max(self.last_end);
        let is_takeover = shared.takeovers.is_any_open() || shared.is_stopping();
        let poll = LeasePoll { now: os::monotonic_ns(), ended, is_requested: is_takeover, read_since: None };
        let leases = self.leases.poll(poll, &self.read_since);
        let mut state = shared.state();
        state.carbon.clock.note(os::clock_sample());
        let known = state.known_epochs();
        let report = |message| shared.queue_message(message);
        state.forecasting.work_number = self.work_number;
        usage::enter(&mut state, (&mut self.phase_marks, self.leases.is_shared()), usage);
        work::enter(&mut state, [first_work, work], has_marks, (&leases, &self.leases));
        state.enter(marks.into_iter().flatten(), progress, &self.readings, &leases, report);
        for (number, lease) in leases.into_iter().enumerate() {
            state.apply_lease(number, lease, report);
        }
        self.replace_stalled(&mut state, report);
        state.settle(os::monotonic_ns());
        self.follow_state(&mut state, start);
        let has_new_history = shared.has_new_history();
        if state.known_epochs() != known || has_new_history || self.is_forecast_due(start, shared) {
            state = self.review(state, known.0, start, shared);
        } else {
            self.judge(&state, start, shared);
        }
        if has_new_history {
            shared.finish_history();
        }
        shared.set_reviewed(state.attribution.settled_epochs());
        if is_forecast_requested {
            shared.finish_forecast_request();
        }
        if takeovers > shared.takeovers.done() {
            shared.finish_takeovers(takeovers, start);
        }
        shared.finish_readings(readings_requested);
        self.plan_progress_look(&state, start, is_look_due);
        drop(state);
        self.report_lost_descriptors(shared);
        self.pace.update(start, os::thread_time_ns());
        (self.last_pass, self.passes) = (start, self.passes + 1);
    }

    /// Reads the sources that are due. `start` is the beginning of the pass.
    fn read_sources(&mut self, start: MonoNs, is_marked: bool) {
        self.readings.clear();
        let interval_ns = self.interval_ns();
        for slot in &mut self.slots {
            slot.read(start, interval_ns, is_marked, &mut self.readings);
        }
    }

    /// Updates what the next pass needs from the state.
    fn follow_state(&mut self, state: &mut RunState, start: MonoNs) {
        self.last_end = state.attribution.ledger.last_end();
        self.next_phase_read = self.phase_read_after(&state.attribution.phases, start);
        self.read_since = state.read_since();
        let is_judged = self.alerts.has_budgets() && state.attribution.ledger.is_open();
        self.next_judgement = if is_judged { self.next_judgement.min(start + JUDGE_NS) } else { MonoNs::NEVER };
        state.metering.on_node = self.leases.on_node(state.attribution.ledger.energy_j(), start);
        for slot in &mut self.slots {
            slot.is_ours = slot.channels().any(|channel| state.is_ours(channel));
            slot.is_wanted = slot.is_ours && state.wants_reading(slot.channels());
            slot.is_by_power = state.is_by_power(slot.channels());
        }
    }

    /// Whether a forecast that was left out is due.
    fn is_forecast_due(&self, now: MonoNs, shared: &SharedState) -> bool {
        self.is_forecast_left && (now >= self.rests_until || shared.is_stopping())
    }

    /// Makes the forecast again and judges the budgets. `settled_before`: number of epochs that were settled before. A
    /// forecast with earlier runs is made without the lock; until then no epoch is settled anew.
    fn review<'a>(
        &mut self,
        mut state: MutexGuard<'a, RunState>,
        settled_before: u64,
        now: MonoNs,
        shared: &'a SharedState,
    ) -> MutexGuard<'a, RunState> {
        let run = state.alert_input(now);
        let is_long = self.alerts.is_long(&run);
        self.is_forecast_left = is_long && now < self.rests_until && !shared.is_stopping();
        let review = if self.is_forecast_left {
            self.alerts.judge(state.forecasting.forecast, &run)
        } else if is_long {
            let input = self.alerts.input(&run);
            let settled = std::mem::replace(&mut state.attribution.settled, settled_before);
            drop(state);
            let begin = os::monotonic_ns();
            let forecast = input.forecast();
            let taken = os::monotonic_ns().ns_since(begin);
            self.rests_until = if taken > LONG_FORECAST_NS { now + FORECAST_REST * taken } else { now };
            state = shared.state();
            state.attribution.settled = settled;
            self.alerts.review_with(forecast, &state.alert_input(now))
        } else {
            self.alerts.review(&run)
        };
        state.forecasting.renew(review.forecast);
        self.publish(review, now, shared);
        shared.notify();
        state
    }

    /// Judges the budgets in an open epoch, if that is due.
    fn judge(&mut self, state: &RunState, now: MonoNs, shared: &SharedState) {
        if now >= self.next_judgement {
            let review = self.alerts.judge(state.forecasting.forecast, &state.alert_input(now));
            self.publish(review, now, shared);
        }
    }

    /// Publishes the verdict on budgets, and messages.
    fn publish(&mut self, review: Review, now: MonoNs, shared: &SharedState) {
        review.messages.into_iter().for_each(|message| shared.queue_message(message));
        shared.set_over_budget(review.over_budget);
        if self.next_judgement != MonoNs::NEVER {
            self.next_judgement = now + JUDGE_NS;
        }
    }

    /// Notes what the run saved by an early end. A run that was cut off saved nothing: it has to be done again.
    fn report_end(&self, shared: &SharedState) {
        if shared.is_cut_off() {
            return;
        }
        let state = shared.state();
        let (ledger, at) = (&state.attribution.ledger, os::monotonic_ns());
        let raised = |forecast: Forecast| forecast.after_use(ledger.run_ns() as f64 * 1e-9, ledger.energy_j());
        let forecast = state.forecasting.forecast.map(raised).filter(|_| self.monitor_epochs.is_none());
        let message = self.alerts.end(forecast, &state.alert_input(at));
        drop(state);
        message.into_iter().for_each(|message| shared.queue_note(message));
    }

    /// Ends the process of an application whose threads have all ended.
    fn follow_application(&mut self) {
        let now = os::monotonic_ns();
        if now >= self.application_checked_at + APPLICATION_CHECK_NS {
            self.application_checked_at = now;
            if exit::is_abandoned() {
                exit::follow_application();
            }
        }
    }

    /// Reports once that the application closed descriptors of the library.
    fn report_lost_descriptors(&mut self, shared: &SharedState) {
        let lost = os::lost_descriptors();
        if lost != self.lost_descriptors && !self.has_reported_descriptors {
            self.has_reported_descriptors = true;
            shared.queue_message(CLOSED_DESCRIPTORS.into());
        }
        self.lost_descriptors = lost;
    }
}

/// The newest end of an epoch among waiting marks.
fn newest_end(marks: &ReadChunk<'_, Mark>) -> Option<MonoNs> {
    let (first, second) = marks.as_slices();
    let is_end = |mark: &&Mark| matches!(mark, Mark::End(_) | Mark::Batch { .. });
    first.iter().chain(second).filter(is_end).map(|mark| mark.at()).max()
}
