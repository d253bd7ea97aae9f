//! From raw readings to joules: the arithmetic that tells a wrap, a reset, a failed reading and a lost
//! device apart. Pure: times come in, energy goes out.

mod energy_interval;
mod power_check;
mod signs_of_life;

use super::channel::{Channel, MeasuringMethod, Quantity};
use super::reading::{Fault, Value};
use crate::clock::MonoNs;
use power_check::PowerCheck;

pub use energy_interval::EnergyInterval;

/// How a channel fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Every reading was good.
    Ok,
    /// Readings failed and came back.
    Gap,
    /// The counter was set back or jumped.
    Reset,
    /// It does not answer any more.
    Lost,
    /// It answers and shows no sign of life: its counter stands still, or its power stays 0.
    Stalled,
}

/// What a reading brought to light, worth telling a person.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MeterEvent {
    /// Readings keep failing.
    Lost(Fault),
    /// Readings are good again after this many seconds.
    Back(f64),
    /// The counter was set back or jumped.
    Reset,
    /// The counter moves again after standing still for this many seconds: what was used meanwhile is unknown.
    Moves(f64),
    /// The counter stands still, and the power beside it is integrated in its place.
    ByPower,
    /// The counter counts this many times the power that the device itself reports.
    Disagrees(f64),
}

/// One channel's readings so far.
#[derive(Clone, Debug)]
pub struct Meter {
    quantity: Quantity,
    /// The device may use nothing for a while: neither a still counter nor a power of 0 is a fault.
    may_rest: bool,
    /// When it was first read.
    first_at: Option<MonoNs>,
    /// What it used before it could be read, yet to be filled in.
    owed: Option<Owed>,
    last: Option<(MonoNs, Value)>,
    /// When a count that had not moved since `last` was read last, ns.
    still_to: Option<MonoNs>,
    /// Its counter has moved since it was first read; when it was last seen to, ns; the longest it stood still between, s.
    has_moved: bool,
    moved_at: MonoNs,
    longest_s: f64,
    /// Since when its power has been 0, ns.
    dark_since: Option<MonoNs>,
    /// The power that the device reports beside its counter.
    beside: PowerCheck,
    /// Up to when energy is credited; None: none is.
    credited_until: Option<MonoNs>,
    /// A count that does not fit the last one: a glitch if the next fits the last, a reset if it fits this.
    suspect: Option<(MonoNs, u64)>,
    /// Power of late, W: the good credits' mean, the older the less.
    watts: f64,
    /// Time whose power is known, s.
    watched_s: f64,
    /// Readings in a row without a usable value.
    misses: u32,
    /// What went wrong, counted.
    pub tally: FaultCounts,
}

/// What went wrong so far on a channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultCounts {
    /// Readings that failed.
    pub failed: u64,
    /// The last failure.
    pub fault: Option<Fault>,
    /// Times the counter passed its range.
    pub wraps: u64,
    /// Times the counter was set back or jumped.
    pub resets: u64,
    /// Energy carried across resets at the power before, J.
    pub bridged_j: f64,
    /// Time before the first reading, filled in at the power after, s.
    pub late_s: f64,
    /// Time whose energy is the power beside the counter, which stood still, s.
    pub by_power_s: f64,
    /// The counter's energy over that of the power beside it, where they differ too much.
    pub disagreement: Option<f64>,
}

/// A device that ought to have been read from `since` on, ns.
#[derive(Clone, Copy, Debug)]
struct Owed {
    since: MonoNs,
    /// From when its power is known, ns, and what it used since, J.
    used: Option<(MonoNs, f64)>,
}

/// A first reading so soon, ns, is in time: no epoch began before.
const IN_TIME_NS: u64 = 20_000_000;
/// So much of its power, s, tells what it drew before: several steps of any counter.
const FILL_IN_BY_S: f64 = 0.3;
/// Misses in a row after which a device counts as lost.
const LOST_AFTER: u32 = 3;
/// Counters move in steps: two readings close together may lie a whole step (RAPL: 1 ms) apart.
const STEP_S: f64 = 0.005;
/// No load rises by so much while nobody looks.
const FAR_ABOVE: f64 = 8.0;
/// Across a longer hole than this, the power before says too little.
const BRIDGE_S: f64 = 60.0;

impl Meter {
    /// A meter that has seen nothing yet, of a device that draws some power as long as it runs.
    pub fn new(quantity: Quantity) -> Self {
        Meter {
            quantity,
            may_rest: false,
            first_at: None,
            owed: None,
            last: None,
            still_to: None,
            has_moved: false,
            moved_at: MonoNs::ZERO,
            longest_s: 0.0,
            dark_since: None,
            beside: PowerCheck::default(),
            credited_until: None,
            suspect: None,
            watts: 0.0,
            watched_s: 0.0,
            misses: 0,
            tally: FaultCounts::default(),
        }
    }

    /// A channel's meter. Where it should have been read from `late_since`, ns, on, what it used until its first
    /// reading is filled in at the first power known, and not counted as measured.
    pub fn of(channel: &Channel, late_since: Option<MonoNs>) -> Self {
        let owed = late_since.map(|since| Owed { since, used: None });
        Meter { may_rest: channel.may_rest, owed, ..Meter::new(channel.quantity) }
    }

    /// Takes a reading made at `at`; the energy it brings goes to `credit`. What cannot be is a fault here and not in
    /// the sources, so that none can forget it.
    pub fn push(
        &mut self,
        at: MonoNs,
        reading: Result<Value, Fault>,
        mut credit: impl FnMut(EnergyInterval),
    ) -> Option<MeterEvent> {
        let value = match reading.and_then(|value| self.believed(value)) {
            Ok(value) => value,
            Err(_) if matches!(reading, Ok(Value::Beside(_))) => return None,
            Err(Fault::NoPower) => return self.no_power(at),
            Err(fault) => return self.fail(fault),
        };
        let (first_at, mut credited_until) = (self.first_at.unwrap_or_default(), self.credited_until);
        // Counter and power may each know of the same time: what is credited first stands.
        let mut credit = |one: EnergyInterval| match one.split(credited_until.unwrap_or_default()) {
            _ if one.to <= first_at => credit(one),
            (_, Some(news)) => {
                credited_until = Some(news.to);
                credit(news);
            }
            _ => (),
        };
        let event = self.take(at, value, &mut credit);
        self.credited_until = credited_until;
        event
    }

    fn take(&mut self, at: MonoNs, value: Value, credit: &mut impl FnMut(EnergyInterval)) -> Option<MeterEvent> {
        if let Value::Beside(watts) = value {
            return self.power_beside(at, watts, credit);
        }
        let Some((since, _)) = self.last else {
            (self.first_at, self.moved_at) = (Some(at), at);
            self.owed = self.owed.filter(|owed| at > owed.since + IN_TIME_NS);
            self.last = Some((at, value));
            self.dark_since = None;
            self.misses = 0;
            return None;
        };
        if at <= self.still_to.unwrap_or(since) {
            return None;
        }
        match value {
            Value::Count(count) => self.count(at, count, credit),
            Value::Watts(watts) | Value::Beside(watts) => self.power(at, watts, credit),
        }
    }

    /// A value, unless no such device can draw that.
    fn believed(&self, value: Value) -> Result<Value, Fault> {
        match value {
            Value::Watts(watts) | Value::Beside(watts) if !self.quantity.allows(watts) => Err(Fault::Implausible),
            Value::Watts(0.0) if !self.may_rest => Err(Fault::NoPower),
            value => Ok(value),
        }
    }

    /// When it was first read; what it used before nobody will know.
    pub fn first_at(&self) -> Option<MonoNs> {
        self.first_at
    }

    /// Whether what it used before its first reading is still to be filled in.
    pub fn is_owing(&self) -> bool {
        self.owed.is_some()
    }

    /// Whether the next reading should come soon: it tells a glitch from a reset, a hiccup from a loss.
    pub fn wants_second_look(&self) -> bool {
        (1..=LOST_AFTER).contains(&self.misses) || self.is_doubted()
    }

    /// Whether the power beside its counter is integrated in its place.
    pub fn is_by_power(&self) -> bool {
        self.beside.stands_in
    }

    /// How its energy is obtained, where that is not as its channel was opened.
    pub fn method(&self, opened: MeasuringMethod) -> MeasuringMethod {
        let is_power = self.tally.by_power_s > 0.0 || matches!(self.last, Some((_, Value::Watts(_))));
        if opened == MeasuringMethod::Counter && is_power { MeasuringMethod::Power } else { opened }
    }

    /// Whether waiting for it is waiting for nothing: it is lost, or has yet to answer.
    pub fn is_missing(&self) -> bool {
        self.misses >= LOST_AFTER || self.last.is_none()
    }

    /// How the channel fares.
    pub fn health(&self) -> Health {
        match self.misses {
            _ if self.is_stalled() => Health::Stalled,
            n if n >= LOST_AFTER => Health::Lost,
            _ if self.has_yet_to_move() => Health::Stalled,
            _ if self.tally.resets > 0 => Health::Reset,
            0 if self.tally.failed == 0 => Health::Ok,
            _ => Health::Gap,
        }
    }

    fn fail(&mut self, fault: Fault) -> Option<MeterEvent> {
        self.tally.failed += 1;
        self.tally.fault = Some(fault);
        self.miss().then_some(MeterEvent::Lost(fault))
    }

    /// Counts a miss; true at the one that makes the device lost.
    fn miss(&mut self) -> bool {
        self.misses = self.misses.saturating_add(1);
        self.misses == LOST_AFTER
    }

    fn count(&mut self, at: MonoNs, count: u64, credit: &mut impl FnMut(EnergyInterval)) -> Option<MeterEvent> {
        let (since, Value::Count(before)) = self.last? else {
            self.last = Some((at, Value::Count(count)));
            return None;
        };
        if self.stands_still((since, before), (at, count)) {
            return self.pause(at, credit);
        }
        if let Some(event) = self.wake((at, count), credit) {
            return Some(event);
        }
        let since = self.resume_at((since, before), (at, count), credit);
        let step = self.step((since, before), (at, count)).or_else(|| self.step((self.moved_at, before), (at, count)));
        if let Some(step) = step {
            let event = (self.misses >= LOST_AFTER).then(|| MeterEvent::Back(at.s_since(since)));
            self.accept((since, at), (count, step), credit);
            return event;
        }
        let fits_suspect = self.suspect.filter(|s| at > s.0).and_then(|s| Some((s, self.step(s, (at, count))?)));
        let Some(((reset_at, _), step)) = fits_suspect else {
            self.suspect = Some((at, count));
            return self.fail(Fault::Implausible);
        };
        let hole = reset_at.s_since(since);
        let joules = if hole <= BRIDGE_S { self.watts * hole } else { 0.0 };
        credit(EnergyInterval { from: since, to: reset_at, joules, measured: false });
        self.tally.resets += 1;
        self.tally.bridged_j += joules;
        self.accept((reset_at, at), (count, step), credit);
        Some(MeterEvent::Reset)
    }

    /// Fills in what was used before the first reading, once the power after it is known.
    fn fill_in(&mut self, to: MonoNs, joules: f64, credit: &mut impl FnMut(EnergyInterval)) {
        let Some((owed, first_at)) = self.owed.as_mut().zip(self.first_at) else { return };
        // The first reading may be a whole step old; power is known from the second on.
        let Some((from, sum)) = &mut owed.used else {
            owed.used = Some((to, 0.0));
            return;
        };
        *sum += joules;
        let known = to.s_since(*from);
        if known < FILL_IN_BY_S {
            return;
        }
        let (since, watts) = (owed.since, *sum / known);
        self.owed = None;
        let seconds = first_at.s_since(since);
        if seconds > 0.0 && seconds <= BRIDGE_S {
            self.tally.late_s = seconds;
            credit(EnergyInterval { from: since, to: first_at, joules: watts * seconds, measured: false });
        }
    }

    /// Takes a count that fits: its energy, and the counter's state from here on.
    fn accept(
        &mut self,
        (from, to): (MonoNs, MonoNs),
        (count, step): (u64, CounterStep),
        credit: &mut impl FnMut(EnergyInterval),
    ) {
        self.fill_in(to, step.joules, credit);
        credit(EnergyInterval { from, to, joules: step.joules, measured: !step.ambiguous });
        self.note_power(step.joules, to.s_since(from));
        self.beside.count(step.joules, to.ns_since(from));
        self.tally.wraps += step.wraps;
        self.last = Some((to, Value::Count(count)));
        self.has_moved = true;
        self.moved_at = to;
        self.still_to = None;
        self.suspect = None;
        self.misses = 0;
    }

    /// The energy between two counts, if a device could have used it in that time.
    fn step(&self, (since, before): (MonoNs, u64), (at, count): (MonoNs, u64)) -> Option<CounterStep> {
        let Quantity::Counter { joules_per_unit, range, max_watts } = self.quantity else { return None };
        let seconds = at.s_since(since);
        let limit = max_watts * (seconds + STEP_S);
        let range = range.filter(|&range| before <= range && count <= range);
        let (units, wraps) = match (count.checked_sub(before), range) {
            (Some(units), _) => (units, 0),
            (None, Some(range)) => (range - before + count, 1),
            (None, None) => return None,
        };
        let joules = units as f64 * joules_per_unit;
        // A counter that comes back lower after readings failed was set back, unless it went round at a power
        // not far above that before.
        let is_reset =
            wraps > 0 && self.misses > 0 && self.watts > 0.0 && joules > FAR_ABOVE * self.watts * (seconds + STEP_S);
        if joules > limit || is_reset {
            return None;
        }
        let whole = range.map_or(f64::INFINITY, |range| range as f64 * joules_per_unit);
        if limit < whole || whole <= 0.0 {
            return Some(CounterStep { joules, wraps, ambiguous: false });
        }
        // So long unread that it may have gone round more than once: as often as fits the power before. Where
        // even one round is more than fits, it was set back instead.
        let unseen = ((self.watts * seconds - joules) / whole).round();
        if unseen < 0.0 && wraps > 0 {
            return None;
        }
        let unseen = unseen.max(0.0);
        Some(CounterStep { joules: joules + unseen * whole, wraps: wraps + unseen as u64, ambiguous: true })
    }

    /// Follows the power of the last few seconds; of fewer, all of them count alike.
    fn note_power(&mut self, joules: f64, seconds: f64) {
        const MEMORY_S: f64 = 5.0;
        self.watched_s += seconds;
        let weight = (1.0 - (-seconds / MEMORY_S).exp()).max(seconds / self.watched_s);
        self.watts += weight * (joules / seconds - self.watts);
    }

    /// The trapezoid between two powers.
    fn power(&mut self, at: MonoNs, watts: f64, credit: &mut impl FnMut(EnergyInterval)) -> Option<MeterEvent> {
        let (since, Value::Watts(before)) = self.last? else {
            // Its counter turned out not to exist: its power is integrated from here on.
            self.last = Some((at, Value::Watts(watts)));
            self.still_to = None;
            self.misses = 0;
            return None;
        };
        let seconds = at.s_since(since);
        let was_dark = std::mem::take(&mut self.dark_since).is_some();
        let joules = 0.5 * (before + watts) * seconds;
        let event = (self.misses >= LOST_AFTER).then_some(MeterEvent::Back(seconds));
        // Across a long hole the powers at its ends say nothing, nor do they of a time in which it reported none: what was used
        // there stays unknown.
        if self.misses == 0 || (seconds <= BRIDGE_S && !was_dark) {
            self.fill_in(at, joules, credit);
            credit(EnergyInterval { from: since, to: at, joules, measured: self.misses == 0 });
            self.note_power(joules, seconds);
        }
        self.last = Some((at, Value::Watts(watts)));
        self.misses = 0;
        event
    }
}

/// The way from one count to the next.
#[derive(Clone, Copy)]
struct CounterStep {
    joules: f64,
    wraps: u64,
    /// More than one way fits.
    ambiguous: bool,
}

#[cfg(test)]
mod tests;
