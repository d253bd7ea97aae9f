//! The meter of one channel turns readings into energy intervals. It distinguishes wraps, resets, failed readings and
//! lost devices. Pure: it reads no clock.

mod energy_interval;
mod health;
mod power_check;
mod signs_of_life;

use super::channel::{Channel, MeasuringMethod, Quantity};
use super::reading::{Fault, Value};
use crate::clock::MonoNs;
use power_check::PowerCheck;

pub use energy_interval::{EnergyInterval, join_most_alike};
pub use health::{FaultCounts, Health, MeterEvent};

/// The meter of one channel.
#[derive(Clone, Debug)]
pub struct Meter {
    quantity: Quantity,
    /// The device may use no energy for a while: a still counter or a power of 0 is no fault.
    may_rest: bool,
    /// The first reading.
    first_at: Option<MonoNs>,
    /// Energy before the first reading that is still to be filled in.
    owed: Option<Owed>,
    /// The last reading that was used.
    last: Option<(MonoNs, Value)>,
    /// The last reading of a count that had not moved since `last`.
    still_until: Option<MonoNs>,
    /// Whether the counter has moved since the first reading.
    has_moved: bool,
    /// The last reading at which the counter had moved.
    moved_at: MonoNs,
    /// The longest time between two moves, s.
    longest_s: f64,
    /// The power has been 0 since this reading.
    no_power_since: Option<MonoNs>,
    /// The power that the device reports in addition to its counter.
    power_check: PowerCheck,
    /// Energy is credited up to here; None: none is.
    credited_until: Option<MonoNs>,
    /// A count that does not fit the last one. If the next count fits the last one, this was a glitch; if the next fits
    /// this one, the counter was reset.
    suspect: Option<(MonoNs, u64)>,
    /// Recent power, W: an exponential mean of the good readings.
    watts: f64,
    /// Time with a known power, s.
    watched_s: f64,
    /// Failed readings in a row.
    misses: u32,
    /// The last failed reading; zero: none failed.
    failed_at: MonoNs,
    /// The faults so far.
    pub faults: FaultCounts,
}

/// A device that should have been read from `since` on.
#[derive(Clone, Copy, Debug)]
struct Owed {
    since: MonoNs,
    /// The instant from which its power is known, and its energy since then, J.
    used: Option<(MonoNs, f64)>,
}

/// A first reading within this time after the due instant is not late, ns.
const MAX_PROMPT_NS: u64 = 20_000_000;
/// Time with known power that is needed to fill in the time before it, s: several steps of any counter.
const MIN_KNOWN_S: f64 = 0.3;
/// Failed readings in a row after which a device is lost.
const LOST_AFTER_MISSES: u32 = 3;
/// Counters move in steps (RAPL: 1 ms; NVML and Cray: 100 ms). Two readings may differ by the energy of one more step.
/// It is at most this long, s, or as long as the counter was seen to stand still.
const MAX_STEP_S: f64 = 0.1;
/// The same for a counter that has not moved yet: its first move may have energy from before the first reading.
const MAX_FIRST_STEP_S: f64 = 0.005;
/// Largest plausible ratio of the power after a gap in the readings to the power before it.
const MAX_POWER_RISE: f64 = 8.0;
/// Longest gap that is filled in at the power before it, s.
const BRIDGE_S: f64 = 60.0;

impl Meter {
    /// A meter without readings, of a device that always draws some power.
    pub fn new(quantity: Quantity) -> Self {
        Meter {
            quantity,
            may_rest: false,
            first_at: None,
            owed: None,
            last: None,
            still_until: None,
            has_moved: false,
            moved_at: MonoNs::ZERO,
            longest_s: 0.0,
            no_power_since: None,
            power_check: PowerCheck::default(),
            credited_until: None,
            suspect: None,
            watts: 0.0,
            watched_s: 0.0,
            misses: 0,
            failed_at: MonoNs::ZERO,
            faults: FaultCounts::default(),
        }
    }

    /// The meter of a channel. If the channel should have been read from `late_since` on, the energy before its first
    /// reading is filled in at the first known power, and does not count as measured.
    pub fn of(channel: &Channel, late_since: Option<MonoNs>) -> Self {
        let owed = late_since.map(|since| Owed { since, used: None });
        Meter { may_rest: channel.may_rest, owed, ..Meter::new(channel.quantity) }
    }

    /// Takes a reading of the instant `at` and passes its energy to `credit`. Impossible values are rejected here, for
    /// all sources.
    pub fn push(
        &mut self,
        at: MonoNs,
        reading: Result<Value, Fault>,
        mut credit: impl FnMut(EnergyInterval),
    ) -> Option<MeterEvent> {
        let value = match reading.and_then(|value| self.checked(value)) {
            Ok(value) => value,
            Err(_) if matches!(reading, Ok(Value::CheckWatts(_))) => return None,
            Err(Fault::NoPower) => return self.no_power(at),
            Err(fault) => {
                self.failed_at = self.failed_at.max(at);
                return self.fail(fault);
            }
        };
        let (first_at, mut credited_until) = (self.first_at.unwrap_or_default(), self.credited_until);
        // Counter and power may cover the same time: the first credit is kept.
        let mut credit_once = |one: EnergyInterval| match one.split(credited_until.unwrap_or_default()) {
            _ if one.to <= first_at => credit(one),
            (_, Some(news)) => {
                credited_until = Some(news.to);
                credit(news);
            }
            _ => (),
        };
        // A reading that arrives after later failures does not end them.
        let misses = if at < self.failed_at { std::mem::take(&mut self.misses) } else { 0 };
        let event = self.take(at, value, &mut credit_once);
        self.misses = self.misses.saturating_add(misses);
        self.credited_until = credited_until;
        event
    }

    /// Uses a checked value.
    fn take(&mut self, at: MonoNs, value: Value, credit: &mut impl FnMut(EnergyInterval)) -> Option<MeterEvent> {
        if let Value::CheckWatts(watts) = value {
            return self.check_power(at, watts, credit);
        }
        let Some((since, _)) = self.last else {
            (self.first_at, self.moved_at) = (Some(at), at);
            self.owed = self.owed.filter(|owed| at > owed.since + MAX_PROMPT_NS);
            self.last = Some((at, value));
            self.no_power_since = None;
            self.misses = 0;
            return None;
        };
        if at <= self.still_until.unwrap_or(since) {
            return None;
        }
        match value {
            Value::Count(count) => self.count(at, count, credit),
            Value::Watts(watts) | Value::CheckWatts(watts) => self.power(at, watts, credit),
        }
    }

    /// Returns the value, or a fault if no such device can draw that power.
    fn checked(&self, value: Value) -> Result<Value, Fault> {
        match value {
            Value::Watts(watts) | Value::CheckWatts(watts) if !self.quantity.allows(watts) => Err(Fault::Implausible),
            Value::Watts(0.0) if !self.may_rest => Err(Fault::NoPower),
            value => Ok(value),
        }
    }

    /// The first reading; None: it was never read. Earlier energy is unknown.
    pub fn first_at(&self) -> Option<MonoNs> {
        self.first_at
    }

    /// Whether the energy before its first reading is still to be filled in.
    pub fn is_owing(&self) -> bool {
        self.owed.is_some()
    }

    /// Whether the next reading should come soon, to distinguish a glitch from a reset, or a failure from a loss.
    pub fn wants_second_look(&self) -> bool {
        (1..=LOST_AFTER_MISSES).contains(&self.misses) || self.is_doubted()
    }

    /// Whether the reported power is integrated instead of the counter.
    pub fn is_by_power(&self) -> bool {
        self.power_check.stands_in
    }

    /// The measuring method in use. It may differ from the method with which the channel was opened.
    pub fn method(&self, opened: MeasuringMethod) -> MeasuringMethod {
        let is_power = self.faults.by_power_s > 0.0 || matches!(self.last, Some((_, Value::Watts(_))));
        if opened == MeasuringMethod::Counter && is_power { MeasuringMethod::Power } else { opened }
    }

    /// Whether no energy is to be expected: the device is lost, or has not answered yet.
    pub fn is_missing(&self) -> bool {
        self.misses >= LOST_AFTER_MISSES || self.last.is_none()
    }

    /// The health of the channel.
    pub fn health(&self) -> Health {
        match self.misses {
            _ if self.is_stalled() => Health::Stalled,
            n if n >= LOST_AFTER_MISSES => Health::Lost,
            _ if self.has_yet_to_move() => Health::Stalled,
            _ if self.faults.resets > 0 => Health::Reset,
            0 if self.faults.failed == 0 => Health::Ok,
            _ => Health::Gap,
        }
    }

    /// Counts a failed reading; the event if it makes the device lost.
    fn fail(&mut self, fault: Fault) -> Option<MeterEvent> {
        self.faults.failed += 1;
        self.faults.fault = Some(fault);
        self.miss().then_some(MeterEvent::Lost(fault))
    }

    /// Counts a miss; true if this one makes the device lost.
    fn miss(&mut self) -> bool {
        self.misses = self.misses.saturating_add(1);
        self.misses == LOST_AFTER_MISSES
    }

    /// Takes a count of the energy counter.
    fn count(&mut self, at: MonoNs, count: u64, credit: &mut impl FnMut(EnergyInterval)) -> Option<MeterEvent> {
        let (since, Value::Count(previous)) = self.last? else {
            self.last = Some((at, Value::Count(count)));
            return None;
        };
        if self.stands_still((since, previous), (at, count)) {
            return self.pause(at, credit);
        }
        if self.may_catch_up() {
            self.begin_again(at, count);
            return None;
        }
        if let Some(event) = self.wake((at, count), credit) {
            return Some(event);
        }
        let since = self.resume_at((since, previous), (at, count), credit);
        let step =
            self.step((since, previous), (at, count)).or_else(|| self.step((self.moved_at, previous), (at, count)));
        if let Some(step) = step {
            let event = (self.misses >= LOST_AFTER_MISSES).then(|| MeterEvent::Back(at.s_since(since)));
            self.accept((since, at), (count, step), credit);
            return event;
        }
        let fits_suspect = self.suspect.filter(|s| at > s.0).and_then(|s| Some((s, self.step(s, (at, count))?)));
        let Some(((reset_at, _), step)) = fits_suspect else {
            self.suspect = Some((at, count));
            return self.fail(Fault::Implausible);
        };
        let hole = reset_at.s_since(since);
        // A power that is known from a few steps of the counter is too uncertain for a long time.
        let is_known = self.watched_s >= MIN_KNOWN_S.min(hole);
        let joules = if hole <= BRIDGE_S && is_known { self.watts * hole } else { 0.0 };
        credit(EnergyInterval { from: since, to: reset_at, joules, measured: false });
        self.faults.resets += 1;
        self.faults.bridged_j += joules;
        self.accept((reset_at, at), (count, step), credit);
        Some(MeterEvent::Reset)
    }

    /// Fills in the energy before the first reading, once the power after it is known.
    fn fill_in(&mut self, to: MonoNs, joules: f64, credit: &mut impl FnMut(EnergyInterval)) {
        let Some((owed, first_at)) = self.owed.as_mut().zip(self.first_at) else { return };
        // The first reading may be a whole step old. Power is known from the second reading on.
        let Some((from, sum)) = &mut owed.used else {
            owed.used = Some((to, 0.0));
            return;
        };
        *sum += joules;
        let known = to.s_since(*from);
        if known < MIN_KNOWN_S {
            return;
        }
        let (since, watts) = (owed.since, *sum / known);
        self.owed = None;
        let seconds = first_at.s_since(since);
        if seconds > 0.0 && seconds <= BRIDGE_S {
            self.faults.late_s = seconds;
            credit(EnergyInterval { from: since, to: first_at, joules: watts * seconds, measured: false });
        }
    }

    /// Accepts a count that fits: credits its energy and stores the counter's new state.
    fn accept(
        &mut self,
        (from, to): (MonoNs, MonoNs),
        (count, step): (u64, CounterStep),
        credit: &mut impl FnMut(EnergyInterval),
    ) {
        self.fill_in(to, step.joules, credit);
        credit(EnergyInterval { from, to, joules: step.joules, measured: !step.ambiguous });
        self.note_power(step.joules, to.s_since(from));
        self.power_check.count(step.joules, to.ns_since(from));
        let guessed_s = if step.ambiguous { to.s_since(from) } else { 0.0 };
        self.faults.guessed_s += guessed_s;
        self.faults.wraps += if step.ambiguous { 0 } else { step.wraps };
        self.last = Some((to, Value::Count(count)));
        // A reset may be confirmed by a count that has not moved since.
        if step.joules > 0.0 {
            (self.has_moved, self.moved_at) = (true, to);
        }
        self.still_until = None;
        self.suspect = None;
        self.misses = 0;
    }

    /// The energy between two counts; None: no device can have used it in that time.
    fn step(&self, (since, previous): (MonoNs, u64), (at, count): (MonoNs, u64)) -> Option<CounterStep> {
        let Quantity::Counter { joules_per_unit, range, max_watts } = self.quantity else { return None };
        let seconds = at.s_since(since);
        let step_s = if self.has_moved { MAX_STEP_S.max(self.longest_s) } else { MAX_FIRST_STEP_S };
        let limit = max_watts * (seconds + step_s);
        let range = range.filter(|&range| previous <= range && count <= range);
        let (units, wraps) = match (count.checked_sub(previous), range) {
            (Some(units), _) => (units, 0),
            (None, Some(range)) => (range - previous + count, 1),
            (None, None) => return None,
        };
        let joules = units as f64 * joules_per_unit;
        // If a count is lower after failed readings, the counter was reset, unless a wrap fits the power before.
        let is_reset = wraps > 0
            && self.misses > 0
            && self.watts > 0.0
            && joules > MAX_POWER_RISE * self.watts * (seconds + MAX_STEP_S);
        if joules > limit || is_reset {
            return None;
        }
        let whole = range.map_or(f64::INFINITY, |range| range as f64 * joules_per_unit);
        if limit < whole || whole <= 0.0 {
            return Some(CounterStep { joules, wraps, ambiguous: false });
        }
        // After this long the counter may have wrapped several times: as often as fits the power before. If even one
        // wrap does not fit, the counter was reset.
        let unseen = ((self.watts * seconds - joules) / whole).round();
        if unseen < 0.0 && wraps > 0 {
            return None;
        }
        let unseen = unseen.max(0.0);
        Some(CounterStep { joules: joules + unseen * whole, wraps: wraps + unseen as u64, ambiguous: true })
    }

    /// Updates the recent power, over a time constant of 5 s. In the first seconds all time has the same weight.
    fn note_power(&mut self, joules: f64, seconds: f64) {
        const MEMORY_S: f64 = 5.0;
        self.watched_s += seconds;
        let weight = (1.0 - (-seconds / MEMORY_S).exp()).max(seconds / self.watched_s);
        self.watts += weight * (joules / seconds - self.watts);
    }

    /// Takes a power: credits the trapezoid between it and the last one.
    fn power(&mut self, at: MonoNs, watts: f64, credit: &mut impl FnMut(EnergyInterval)) -> Option<MeterEvent> {
        let (since, Value::Watts(previous_watts)) = self.last? else {
            // The device turned out to have no counter: its power is integrated from here on.
            self.last = Some((at, Value::Watts(watts)));
            self.still_until = None;
            self.misses = 0;
            return None;
        };
        let seconds = at.s_since(since);
        let had_no_power = std::mem::take(&mut self.no_power_since).is_some();
        let joules = 0.5 * (previous_watts + watts) * seconds;
        let event = (self.misses >= LOST_AFTER_MISSES).then_some(MeterEvent::Back(seconds));
        // Over a long gap, or a time at 0 W, the powers at its ends are no evidence: the energy stays unknown.
        if self.misses == 0 || (seconds <= BRIDGE_S && !had_no_power) {
            self.fill_in(at, joules, credit);
            credit(EnergyInterval { from: since, to: at, joules, measured: self.misses == 0 });
            self.note_power(joules, seconds);
        }
        self.last = Some((at, Value::Watts(watts)));
        self.misses = 0;
        event
    }
}

/// The step from one count to the next.
#[derive(Clone, Copy)]
struct CounterStep {
    joules: f64,
    wraps: u64,
    /// Whether another number of wraps fits too.
    ambiguous: bool,
}

#[cfg(test)]
mod tests;
