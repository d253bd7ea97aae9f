//! Signs of life: a counter that stands still is paused within its step at first, and stalled beyond that. What a stalled
//! counter's device uses is unknown, and not 0.

use super::{CounterStep, EnergyInterval, FAR_ABOVE, LOST_AFTER, Meter, MeterEvent, STEP_S};
use crate::clock::MonoNs;
use crate::measurement::channel::Quantity;
use crate::measurement::reading::{Fault, Value};

/// A counter that lives moves within this time, s: the slowest that are known, of emulated RAPL, move once a second. One that
/// was seen to take longer is granted three times as long.
const STILL_S: f64 = 2.5;
const PATIENCE: f64 = 3.0;
/// A pause of no more than this, s, is none of a stall: nothing was used then, as far as anybody knows. Where the power beside
/// the counter may stand in, a fifth of it.
const USUAL_S: f64 = 0.5;
/// A counter that takes longer than this, s, for a step is no use.
const LONGEST_S: f64 = 20.0;
/// A power may be 0 for so long, s: then it shows no sign of life.
const DARK_S: f64 = 2.5;
/// No package, memory or GPU draws less for that long, W: a counter that counts less shows no sign of life. It is
/// granted two of its units.
const LEAST_W: f64 = 0.01;
const UNITS_S: f64 = 2.0;

impl Meter {
    /// No reading follows: a counter that only paused used nothing since; of one that never moved nothing is known.
    pub fn finish(&mut self, mut credit: impl FnMut(EnergyInterval)) {
        if self.has_moved {
            self.settle_pause(&mut credit);
        } else if self.has_yet_to_move() && !self.is_stalled() {
            self.stalled(Fault::Stalled);
        }
    }

    /// Whether its counter has yet to show a sign of life.
    pub(super) fn is_doubted(&self) -> bool {
        let is_counter = matches!(self.last, Some((_, Value::Count(_))));
        let is_quiet = !self.has_moved || self.still_to.is_some();
        is_counter && !self.may_rest && self.misses == 0 && !self.beside.stands_in && is_quiet
    }

    /// Whether its counter has not moved since it was first read, though it was read for longer than most need for a step.
    pub fn has_yet_to_move(&self) -> bool {
        let still = self.last.zip(self.still_to).map(|((since, _), to)| to.s_since(since));
        !self.has_moved && !self.beside.stands_in && still.is_some_and(|seconds| seconds >= STILL_S / 5.0)
    }

    /// Whether it answers and shows no sign of life.
    pub fn is_stalled(&self) -> bool {
        self.misses >= LOST_AFTER && matches!(self.tally.fault, Some(Fault::Stalled | Fault::NoPower))
    }

    /// Its last sign of life, ns; None: it was never read.
    pub fn alive_at(&self) -> Option<MonoNs> {
        self.last.map(|(at, _)| at)
    }

    /// Whether a count shows no sign of life since the last one that did. One that may have gone round shows one.
    pub(super) fn stands_still(&self, (since, before): (MonoNs, u64), (at, count): (MonoNs, u64)) -> bool {
        let Quantity::Counter { joules_per_unit, range, max_watts } = self.quantity else { return false };
        let seconds = at.s_since(since);
        let may_wrap = range.is_some_and(|range| max_watts * seconds >= range as f64 * joules_per_unit);
        let least = (LEAST_W * seconds / joules_per_unit) as u64;
        !self.may_rest && !may_wrap && count.checked_sub(before).is_some_and(|units| units <= least)
    }

    /// Takes a count that has not moved: within a step of the counter that is so. Beyond, it is stalled.
    pub(super) fn pause(&mut self, at: MonoNs, credit: &mut impl FnMut(EnergyInterval)) -> Option<MeterEvent> {
        let since = self.moved_at;
        let Quantity::Counter { joules_per_unit, .. } = self.quantity else { return None };
        self.still_to = Some(at);
        let usual_s = if self.beside.is_there() { USUAL_S / 5.0 } else { USUAL_S };
        if self.has_moved && at.s_since(since) <= usual_s {
            self.settle_pause(credit);
            return None;
        }
        let patience_s = STILL_S.max(UNITS_S * joules_per_unit).max(PATIENCE * self.longest_s);
        if self.beside.answers(at) || at.s_since(since) < patience_s {
            return None;
        }
        self.beside.stands_in = false;
        self.stalled(Fault::Stalled)
    }

    /// Takes a power of 0. A flicker is a hole; beyond, it is stalled.
    pub(super) fn no_power(&mut self, at: MonoNs) -> Option<MeterEvent> {
        let since = *self.dark_since.get_or_insert(at);
        if at.s_since(since) >= DARK_S {
            return self.stalled(Fault::NoPower);
        }
        self.tally.failed += 1;
        self.tally.fault = Some(Fault::NoPower);
        self.misses = (self.misses + 1).min(LOST_AFTER - 1);
        None
    }

    /// It shows no sign of life; what it used since its last one is unknown.
    fn stalled(&mut self, fault: Fault) -> Option<MeterEvent> {
        let is_news = !self.is_stalled();
        self.tally.failed += 1;
        self.tally.fault = Some(fault);
        self.misses = self.misses.max(LOST_AFTER + 1); // no second look would help
        is_news.then_some(MeterEvent::Lost(fault))
    }

    /// A counter that stood still moves again. What it counts now was used since it was last seen to stand still, unless
    /// that is too much for so short a time: then it has caught up.
    pub(super) fn wake(
        &mut self,
        (at, count): (MonoNs, u64),
        credit: &mut impl FnMut(EnergyInterval),
    ) -> Option<MeterEvent> {
        let (since, Value::Count(before)) = self.last? else { return None };
        let still_to = self.still_to.filter(|_| self.is_stalled() || self.beside.stands_in)?;
        let is_by_power = std::mem::take(&mut self.beside.stands_in);
        let from = if is_by_power {
            self.beside.credited_until().map_or(still_to, |until| until.max(still_to))
        } else {
            still_to
        };
        let seconds = at.s_since(from);
        // The power beside it is that of now: what it counts is of the last moment, or of all the time since it moved last.
        let most_s = match is_by_power {
            true => (seconds + at.s_since(since)) / 2.0,
            false => FAR_ABOVE * (seconds + STEP_S),
        };
        let is_likely = |step: &CounterStep| self.watts <= 0.0 || step.joules <= most_s * self.watts;
        let step = self.step((from.min(at - 1), before), (at, count)).filter(is_likely)?;
        self.accept((from.min(at - 1), at), (count, step), credit);
        Some(MeterEvent::Moves(still_to.s_since(since)))
    }

    /// From when on a counter that paused used what it counts now: from its last reading, where a device could use that much
    /// since, else from its last move. A counter of long steps counts what was used all the while.
    pub(super) fn resume_at(
        &mut self,
        (since, before): (MonoNs, u64),
        now: (MonoNs, u64),
        credit: &mut impl FnMut(EnergyInterval),
    ) -> MonoNs {
        let Some(still_to) = self.still_to else { return since };
        self.longest_s = self.longest_s.max(still_to.s_since(since)).min(LONGEST_S);
        // Where the power beside it was credited meanwhile, it has caught up.
        if self.credited_until <= Some(since) && self.step((still_to, before), now).is_some() {
            self.settle_pause(credit);
        }
        self.still_to = None;
        self.last.map_or(since, |(since, _)| since)
    }

    /// What a counter that paused within its own step used meanwhile: nothing.
    pub(super) fn settle_pause(&mut self, credit: &mut impl FnMut(EnergyInterval)) {
        let Some(to) = self.still_to.take().filter(|_| self.misses == 0 && !self.beside.stands_in) else { return };
        if let Some((since, Value::Count(count))) = self.last.filter(|(since, _)| to > *since) {
            let none = CounterStep { joules: 0.0, wraps: 0, ambiguous: false };
            let (has_moved, moved_at) = (self.has_moved, self.moved_at);
            self.accept((since, to), (count, none), credit);
            (self.has_moved, self.moved_at) = (has_moved, moved_at);
        }
    }
}

#[cfg(test)]
mod tests;
