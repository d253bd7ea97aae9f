//! When the sampling thread reads again, and how it sleeps until then.

use super::{APPLICATION_CHECK_NS, Sampler};
use crate::attribution::phases::PhaseBook;
use crate::clock::MonoNs;
use crate::forecast::first_epoch::{PackedMark, ProgressPoint};
use crate::forecast::run_progress::WorkMark;
use crate::measurement::source::MIN_GAP_NS;
use crate::os;
use crate::state::RunState;
use crate::state::shared::SharedState;
use crate::units;
use std::time::Duration;

/// Looks at the first epoch's progress in the time that the epoch has taken.
const PROGRESS_LOOKS: u64 = 32;
/// Longest time between two polls of the device leases, ns.
const LEASE_POLL_NS: u64 = 1_000_000_000;
/// Mean time between two readings while phases are short, ns.
const PHASE_READ_NS: u64 = 25_000_000;
/// For this long after a short phase the readings go on, ns.
const MIXED_RECENT_NS: u64 = 1_000_000_000;

impl Sampler {
    /// Longest time between two readings, ns. A GPU whose counter turns out not to exist shortens it.
    pub(super) fn interval_ns(&self) -> u64 {
        self.slots.iter().map(|slot| slot.source.max_gap_ns()).fold(self.interval_ns, u64::min)
    }

    /// Whether `monitor_epochs` epochs are settled.
    pub(super) fn has_seen_enough(&self, shared: &SharedState) -> bool {
        let has_settled = |most| {
            let attribution = &shared.state().attribution;
            attribution.settled_epochs() >= most && !attribution.is_divided
        };
        self.monitor_epochs.is_some_and(has_settled)
    }

    /// When the next pass is due.
    pub(super) fn due(&self, shared: &SharedState) -> MonoNs {
        let (soonest, interval_ns) = (self.last_pass + MIN_GAP_NS, self.interval_ns());
        // With a budget, each end of an epoch waits for its reading.
        let at_mark = if self.alerts.has_budgets() { soonest } else { soonest.max(self.pace.ready_at()) };
        let looks = self
            .next_progress_look
            .min(self.next_work_look)
            .min(self.next_judgement)
            .min(self.next_phase_read.max(at_mark));
        let looks = if self.is_forecast_left { looks.min(self.rests_until) } else { looks };
        let mut due = looks.max(soonest).min(self.last_pass + interval_ns);
        if self.leases.is_shared() {
            due = due.min(self.last_pass + LEASE_POLL_NS);
        }
        let is_requested = shared.is_forecast_requested()
            || shared.readings.is_any_open()
            || shared.takeovers.is_any_open()
            || shared.work.is_urgent_after(self.work_number);
        if !self.marks.is_empty() {
            due = due.min(at_mark);
        }
        if is_requested || shared.has_new_history() {
            due = due.min(soonest);
        }
        for slot in self.slots.iter().filter(|slot| slot.is_wanted || slot.is_by_power) {
            due = due.min(at_mark.max(slot.next_read(interval_ns, false)));
        }
        if self.intake.has_news() || self.slots.iter().any(|slot| slot.source.has_news()) { MonoNs::ZERO } else { due }
    }

    /// When to read for phases that are too short for a reading each. The times are irregular: at regular ones, a
    /// program in step with them would show each reading the same mix of phases.
    pub(super) fn phase_read_after(&self, phases: &PhaseBook, now: MonoNs) -> MonoNs {
        let is_recent = phases.mixed_until().is_some_and(|until| now.ns_since(until) < MIXED_RECENT_NS);
        let irregular = units::mixed(now.0) % PHASE_READ_NS;
        if is_recent { now + PHASE_READ_NS / 2 + irregular } else { MonoNs::NEVER }
    }

    /// Sleeps until the next pass is due. A mark wakes the thread, unless another mark waits already: then the next
    /// pass takes both, and only a request comes before it.
    pub(super) fn sleep(&self, shared: &SharedState) {
        let left = self.due(shared).ns_since(os::monotonic_ns());
        let left = Duration::from_nanos(left.min(APPLICATION_CHECK_NS));
        if self.marks.is_empty() {
            os::park_timeout(left);
        } else {
            shared.sleep_until_request(left);
        }
    }

    /// Widens the affinity again at passes 1, 2, 4, 8, …: the application's threads start one by one.
    pub(super) fn follow_affinity(&self) {
        if self.passes.is_power_of_two() {
            os::widen_affinity();
        }
    }

    /// The run's first progress, if this is the first look, and the newest one, if its look is due. A piece of the run
    /// ends there, so the one before must have its energy.
    pub(super) fn new_work(&mut self, shared: &SharedState, now: MonoNs, is_requested: bool) -> [Option<WorkMark>; 2] {
        let is_urgent = shared.work.is_urgent_after(self.work_number);
        let is_due = now >= self.next_work_look || is_requested || is_urgent || shared.is_stopping();
        let awaits = || shared.state().forecasting.run_progress.awaits().is_some();
        if shared.work.number() == self.work_number || !is_due || (awaits() && !shared.is_stopping()) {
            self.next_work_look =
                if now >= self.next_work_look { self.work_look_after(now) } else { self.next_work_look };
            return [None; 2];
        }
        let Some((number, newest)) = shared.work.load() else {
            self.next_work_look = self.work_look_after(now);
            return [None; 2];
        };
        // Both may be new at the first look, if this thread was kept from running.
        let first = shared.work.first().filter(|first| self.first_work.is_none() && first.at < newest.at);
        self.work_number = number;
        self.first_work.get_or_insert(first.map_or(newest.at, |first| first.at));
        self.next_work_look = self.work_look_after(now);
        [first, Some(newest)]
    }

    /// When to look at the run's progress again. The gaps grow with the run's time.
    fn work_look_after(&self, now: MonoNs) -> MonoNs {
        self.first_work.map_or(MonoNs::NEVER, |first| now + (now.ns_since(first) / PROGRESS_LOOKS).max(MIN_GAP_NS))
    }

    /// The open epoch's progress, if it is new and a forecast inside the first epoch needs it.
    pub(super) fn new_progress(&mut self, shared: &SharedState) -> Option<ProgressPoint> {
        let may_be_first = self.next_progress_look != MonoNs::NEVER || !self.marks.is_empty();
        if self.alerts.planned == 0 || !may_be_first {
            return None;
        }
        let progress = shared.progress();
        let is_new = progress != self.progress_mark && progress != PackedMark::NONE;
        self.progress_mark = progress;
        is_new.then(|| ProgressPoint { at: progress.at(os::monotonic_ns()), share: progress.share() })
    }

    /// Plans the next look at the first epoch's progress. `is_done`: this pass has looked at it.
    pub(super) fn plan_progress_look(&mut self, state: &RunState, now: MonoNs, is_done: bool) {
        let next = self.progress_look_after(state, now);
        if is_done || next == MonoNs::NEVER || next < self.next_progress_look {
            self.next_progress_look = next;
        }
    }

    /// When to look at the first epoch's progress again. The gaps grow with the epoch's time. Without progress the gap
    /// doubles.
    pub(super) fn progress_look_after(&self, state: &RunState, now: MonoNs) -> MonoNs {
        let ledger = &state.attribution.ledger;
        let begin = ledger.first_epoch().filter(|_| ledger.is_in_first() && self.alerts.planned > 0);
        begin.map_or(MonoNs::NEVER, |begin| {
            let gone = now.ns_since(begin);
            let gap = if self.progress_mark == PackedMark::NONE { gone } else { gone / PROGRESS_LOOKS };
            now + gap.max(MIN_GAP_NS)
        })
    }
}
