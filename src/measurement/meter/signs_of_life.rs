//! Signs of life. A counter that stands still is paused at first, and stalled if that lasts longer than its step. The
//! energy of a device with a stalled counter is unknown, not 0.

use super::{CounterStep, EnergyInterval, LOST_AFTER_MISSES, MAX_POWER_RISE, MAX_STEP_S, Meter, MeterEvent, Owed};
use crate::clock::MonoNs;
use crate::measurement::channel::Quantity;
use crate::measurement::reading::{Fault, Value};

/// A counter is stalled if it has not moved for this time, s. The slowest known counter, of emulated RAPL, moves once a
/// second.
const MIN_STALL_S: f64 = 2.5;
/// A counter is not stalled within this multiple of its longest step so far.
const STALL_STEPS: f64 = 3.0;
/// A shorter pause, s, has no energy and is measured. If the device reports a power too, the limit is a fifth of this.
const MAX_PAUSE_S: f64 = 0.5;
/// Longest step of a counter that is taken into account, s.
const MAX_COUNTER_STEP_S: f64 = 20.0;
/// A power of 0 for this time, s, is a stall.
const MIN_NO_POWER_S: f64 = 2.5;
/// Least power of a running package, memory or GPU, W. A counter that counts less has not moved.
const MIN_DEVICE_W: f64 = 0.01;
/// A counter is not stalled within this time for each joule of its unit, s.
const STALL_S_PER_UNIT_J: f64 = 2.0;

impl Meter {
    /// Ends the readings. A paused counter used no energy since its last move. A counter that never moved is stalled.
    pub fn finish(&mut self, mut credit: impl FnMut(EnergyInterval)) {
        if self.has_moved {
            self.settle_pause(&mut credit);
        } else if self.has_yet_to_move() && !self.is_stalled() {
            self.stalled(Fault::Stalled);
        }
    }

    /// Whether the counter has not moved in the last readings, or never.
    pub(super) fn is_doubted(&self) -> bool {
        let is_counter = matches!(self.last, Some((_, Value::Count(_))));
        let is_quiet = !self.has_moved || self.still_until.is_some();
        is_counter && !self.may_rest && self.misses == 0 && !self.power_check.stands_in && is_quiet
    }

    /// Whether the counter has never moved, though it was read for longer than most counters need for a step.
    pub fn has_yet_to_move(&self) -> bool {
        let still = self.last.zip(self.still_until).map(|((since, _), to)| to.s_since(since));
        !self.has_moved && !self.power_check.stands_in && still.is_some_and(|seconds| seconds >= MIN_STALL_S / 5.0)
    }

    /// Whether the device answers but shows no sign of life.
    pub fn is_stalled(&self) -> bool {
        self.misses >= LOST_AFTER_MISSES && matches!(self.faults.fault, Some(Fault::Stalled | Fault::NoPower))
    }

    /// The last sign of life; None: the device was never read.
    pub fn alive_at(&self) -> Option<MonoNs> {
        self.last.map(|(at, _)| at)
    }

    /// Whether the counter has not moved since its last move. A counter that may have wrapped has moved.
    pub(super) fn stands_still(&self, (since, previous): (MonoNs, u64), (at, count): (MonoNs, u64)) -> bool {
        let Quantity::Counter { joules_per_unit, range, max_watts } = self.quantity else { return false };
        let seconds = at.s_since(since);
        // It cannot have wrapped before the last reading, which showed the same count.
        let unseen_s = at.s_since(self.still_until.unwrap_or(since));
        let may_wrap = range.is_some_and(|range| max_watts * unseen_s >= range as f64 * joules_per_unit);
        let least = (MIN_DEVICE_W * seconds / joules_per_unit) as u64;
        !self.may_rest && !may_wrap && count.checked_sub(previous).is_some_and(|units| units <= least)
    }

    /// Takes a count that has not moved: a pause at first, a stall after more than a step.
    pub(super) fn pause(&mut self, at: MonoNs, credit: &mut impl FnMut(EnergyInterval)) -> Option<MeterEvent> {
        let since = self.moved_at;
        let Quantity::Counter { joules_per_unit, .. } = self.quantity else { return None };
        self.still_until = Some(at);
        let usual_s = if self.power_check.is_there() { MAX_PAUSE_S / 5.0 } else { MAX_PAUSE_S };
        if self.has_moved && at.s_since(since) <= usual_s {
            self.settle_pause(credit);
            return None;
        }
        let min_stall_s = MIN_STALL_S.max(STALL_S_PER_UNIT_J * joules_per_unit).max(STALL_STEPS * self.longest_s);
        if self.power_check.answers(at) || at.s_since(since) < min_stall_s {
            return None;
        }
        self.power_check.stands_in = false;
        self.stalled(Fault::Stalled)
    }

    /// Takes a power of 0: a gap at first, a stall after `MIN_NO_POWER_S`.
    pub(super) fn no_power(&mut self, at: MonoNs) -> Option<MeterEvent> {
        let since = *self.no_power_since.get_or_insert(at);
        if at.s_since(since) >= MIN_NO_POWER_S {
            return self.stalled(Fault::NoPower);
        }
        self.faults.failed += 1;
        self.faults.fault = Some(Fault::NoPower);
        self.misses = (self.misses + 1).min(LOST_AFTER_MISSES - 1);
        None
    }

    /// Records a stall. The energy since the last sign of life is unknown.
    fn stalled(&mut self, fault: Fault) -> Option<MeterEvent> {
        let is_news = !self.is_stalled();
        self.faults.failed += 1;
        self.faults.fault = Some(fault);
        self.misses = self.misses.max(LOST_AFTER_MISSES + 1); // no second reading is wanted
        is_news.then_some(MeterEvent::Lost(fault))
    }

    /// Whether the first move of this counter may contain energy from before the first reading: it was still for longer
    /// than most counters need for a step, and no power was credited in that time.
    pub(super) fn may_catch_up(&self) -> bool {
        let Quantity::Counter { joules_per_unit, .. } = self.quantity else { return false };
        let still = self.first_at.zip(self.still_until).map(|(first, to)| to.s_since(first));
        let is_long = still.is_some_and(|seconds| seconds >= STALL_S_PER_UNIT_J * joules_per_unit);
        is_long && self.has_yet_to_move() && !self.is_stalled() && self.credited_until.is_none()
    }

    /// Takes the first move of a counter that was still for longer than most steps. The move may contain energy from
    /// before the first reading. So the time until now is filled in at the power that follows.
    pub(super) fn begin_again(&mut self, at: MonoNs, count: u64) {
        let since = self.owed.map(|owed| owed.since).or(self.first_at);
        self.owed = since.map(|since| Owed { since, used: None });
        (self.first_at, self.last) = (Some(at), Some((at, Value::Count(count))));
        (self.moved_at, self.has_moved) = (at, true);
        (self.still_until, self.suspect, self.misses) = (None, None, 0);
    }

    /// Takes the count of a stalled counter that moves again. The energy was used since the last still reading. If that
    /// is too much for the time, the counter has caught up, and None is returned. A counter that this meter never saw
    /// move may catch up with energy from before the first reading, so its first move has no energy.
    pub(super) fn wake(
        &mut self,
        (at, count): (MonoNs, u64),
        credit: &mut impl FnMut(EnergyInterval),
    ) -> Option<MeterEvent> {
        let (since, Value::Count(previous)) = self.last? else { return None };
        let still_until = self.still_until.filter(|_| self.is_stalled() || self.power_check.stands_in)?;
        let is_by_power = std::mem::take(&mut self.power_check.stands_in);
        if !self.has_moved {
            (self.last, self.moved_at, self.has_moved) = (Some((at, Value::Count(count))), at, true);
            (self.still_until, self.suspect, self.misses) = (None, None, 0);
            return Some(MeterEvent::Moves(at.s_since(since)));
        }
        let from = if is_by_power {
            self.power_check.credited_until().map_or(still_until, |until| until.max(still_until))
        } else {
            still_until
        };
        let seconds = at.s_since(from);
        // The count covers the last moment, or all the time since the last move: the limit lies between the two.
        let most_s = match is_by_power {
            true => (seconds + at.s_since(since)) / 2.0,
            false => MAX_POWER_RISE * (seconds + MAX_STEP_S),
        };
        let is_likely = |step: &CounterStep| self.watts <= 0.0 || step.joules <= most_s * self.watts;
        let step = self.step((from.min(at - 1), previous), (at, count)).filter(is_likely)?;
        self.accept((from.min(at - 1), at), (count, step), credit);
        Some(MeterEvent::Moves(still_until.s_since(since)))
    }

    /// The start of the energy that a paused counter counts now. It is the last reading if a device could use that much
    /// energy since then, else the last move: a counter of long steps counts the energy of all that time.
    pub(super) fn resume_at(
        &mut self,
        (since, previous): (MonoNs, u64),
        now: (MonoNs, u64),
        credit: &mut impl FnMut(EnergyInterval),
    ) -> MonoNs {
        let Some(still_until) = self.still_until else { return since };
        self.longest_s = self.longest_s.max(still_until.s_since(since)).min(MAX_COUNTER_STEP_S);
        // If the power was credited in that time, the counter has caught up.
        if self.credited_until <= Some(since) && self.step((still_until, previous), now).is_some() {
            self.settle_pause(credit);
        }
        self.still_until = None;
        self.last.map_or(since, |(since, _)| since)
    }

    /// Credits a pause within the counter's step, with no energy.
    pub(super) fn settle_pause(&mut self, credit: &mut impl FnMut(EnergyInterval)) {
        let Some(to) = self.still_until.take().filter(|_| self.misses == 0 && !self.power_check.stands_in) else {
            return;
        };
        if let Some((since, Value::Count(count))) = self.last.filter(|(since, _)| to > *since) {
            let none = CounterStep { joules: 0.0, wraps: 0, ambiguous: false };
            self.accept((since, to), (count, none), credit);
        }
    }
}

#[cfg(test)]
mod tests;
