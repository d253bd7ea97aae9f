//! From raw readings to joules: the arithmetic that tells a wrap, a reset, a failed reading and a lost
//! device apart. Pure: times come in, energy goes out.

use crate::channel::Quantity;
use crate::reading::{Fault, Value};

/// Energy used between two instants (ns on the monotonic clock).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Credit {
    /// From this instant
    pub from: u64,
    /// to this one
    pub to: u64,
    /// this energy was used, J.
    pub joules: f64,
    /// Whether readings say so; false where the power before was carried across a fault.
    pub measured: bool,
}

impl Credit {
    /// This and the one that follows it, as one.
    pub fn joined(self, next: Credit) -> Credit {
        let (joules, measured) = (self.joules + next.joules, self.measured && next.measured);
        Credit { from: self.from, to: next.to, joules, measured }
    }

    /// The parts before and after an instant, evenly in time; None where there is no such part.
    pub fn split(self, at: u64) -> (Option<Credit>, Option<Credit>) {
        if at <= self.from {
            return (None, Some(self));
        }
        if at >= self.to {
            return (Some(self), None);
        }
        let before = self.joules * ((at - self.from) as f64 / (self.to - self.from) as f64);
        let first = Credit { to: at, joules: before, ..self };
        let second = Credit { from: at, joules: self.joules - before, ..self };
        (Some(first), Some(second))
    }
}

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
}

/// What a reading brought to light, worth telling a person.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// Readings keep failing.
    Lost(Fault),
    /// Readings are good again after this many seconds.
    Back(f64),
    /// The counter was set back or jumped.
    Reset,
}

/// One channel's readings so far.
#[derive(Clone, Debug)]
pub struct Meter {
    quantity: Quantity,
    /// When it was first read.
    first_at: Option<u64>,
    /// What it used before it could be read, yet to be filled in.
    owed: Option<Owed>,
    last: Option<(u64, Value)>,
    /// A count that does not fit the last one: a glitch if the next fits the last, a reset if it fits this.
    suspect: Option<(u64, u64)>,
    /// Power of late, W: the good credits' mean, the older the less.
    watts: f64,
    /// Time whose power is known, s.
    watched_s: f64,
    /// Readings in a row without a usable value.
    misses: u32,
    /// What went wrong, counted.
    pub tally: Tally,
}

/// What went wrong so far on a channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
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
}

/// A device that ought to have been read from `since` on, ns.
#[derive(Clone, Copy, Debug)]
struct Owed {
    since: u64,
    /// From when its power is known, ns, and what it used since, J.
    used: Option<(u64, f64)>,
}

const NS: f64 = 1e-9;
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
    /// A meter that has seen nothing yet.
    pub fn new(quantity: Quantity) -> Self {
        Meter {
            quantity,
            first_at: None,
            owed: None,
            last: None,
            suspect: None,
            watts: 0.0,
            watched_s: 0.0,
            misses: 0,
            tally: Tally::default(),
        }
    }

    /// A meter of a device that could be read only some time after `since`, ns: what it used until then is filled
    /// in at the first power known, and not counted as measured.
    pub fn late(quantity: Quantity, since: u64) -> Self {
        Meter { owed: Some(Owed { since, used: None }), ..Meter::new(quantity) }
    }

    /// Takes a reading made at `at`; the energy it brings goes to `credit`.
    pub fn push(&mut self, at: u64, reading: Result<Value, Fault>, mut credit: impl FnMut(Credit)) -> Option<Event> {
        let value = match reading {
            Ok(value) => value,
            Err(fault) => {
                self.tally.failed += 1;
                self.tally.fault = Some(fault);
                return self.miss().then_some(Event::Lost(fault));
            }
        };
        let Some((since, _)) = self.last else {
            self.first_at = Some(at);
            self.owed = self.owed.filter(|owed| at > owed.since + IN_TIME_NS);
            self.last = Some((at, value));
            self.misses = 0;
            return None;
        };
        if at <= since {
            return None;
        }
        match value {
            Value::Count(count) => self.count(at, count, &mut credit),
            Value::Watts(watts) => self.power(at, watts, &mut credit),
        }
    }

    /// When it was first read; what it used before nobody will know.
    pub fn first_at(&self) -> Option<u64> {
        self.first_at
    }

    /// Whether what it used before its first reading is still to be filled in.
    pub fn is_owing(&self) -> bool {
        self.owed.is_some()
    }

    /// Whether the next reading should come soon: it tells a glitch from a reset, a hiccup from a loss.
    pub fn wants_second_look(&self) -> bool {
        (1..=LOST_AFTER).contains(&self.misses)
    }

    /// Whether waiting for it is waiting for nothing: it is lost, or has yet to answer.
    pub fn is_missing(&self) -> bool {
        self.misses >= LOST_AFTER || self.last.is_none()
    }

    /// How the channel fares.
    pub fn health(&self) -> Health {
        match self.misses {
            n if n >= LOST_AFTER => Health::Lost,
            _ if self.tally.resets > 0 => Health::Reset,
            0 if self.tally.failed == 0 => Health::Ok,
            _ => Health::Gap,
        }
    }

    /// Counts a miss; true at the one that makes the device lost.
    fn miss(&mut self) -> bool {
        self.misses = self.misses.saturating_add(1);
        self.misses == LOST_AFTER
    }

    fn count(&mut self, at: u64, count: u64, credit: &mut impl FnMut(Credit)) -> Option<Event> {
        let (since, Value::Count(before)) = self.last? else { return None };
        if let Some(step) = self.step((since, before), (at, count)) {
            let event = (self.misses >= LOST_AFTER).then(|| Event::Back((at - since) as f64 * NS));
            self.accept((since, at), (count, step), credit);
            return event;
        }
        let fits_suspect = self.suspect.filter(|s| at > s.0).and_then(|s| Some((s, self.step(s, (at, count))?)));
        let Some(((reset_at, _), step)) = fits_suspect else {
            self.suspect = Some((at, count));
            self.tally.failed += 1;
            self.tally.fault = Some(Fault::Implausible);
            return self.miss().then_some(Event::Lost(Fault::Implausible));
        };
        let hole = (reset_at - since) as f64 * NS;
        let joules = if hole <= BRIDGE_S { self.watts * hole } else { 0.0 };
        credit(Credit { from: since, to: reset_at, joules, measured: false });
        self.tally.resets += 1;
        self.tally.bridged_j += joules;
        self.accept((reset_at, at), (count, step), credit);
        Some(Event::Reset)
    }

    /// Fills in what was used before the first reading, once the power after it is known.
    fn fill_in(&mut self, to: u64, joules: f64, credit: &mut impl FnMut(Credit)) {
        let Some((owed, first_at)) = self.owed.as_mut().zip(self.first_at) else { return };
        // The first reading may be a whole step old; power is known from the second on.
        let Some((from, sum)) = &mut owed.used else {
            owed.used = Some((to, 0.0));
            return;
        };
        *sum += joules;
        let known = to.saturating_sub(*from) as f64 * NS;
        if known < FILL_IN_BY_S {
            return;
        }
        let (since, watts) = (owed.since, *sum / known);
        self.owed = None;
        let seconds = first_at.saturating_sub(since) as f64 * NS;
        if seconds > 0.0 && seconds <= BRIDGE_S {
            self.tally.late_s = seconds;
            credit(Credit { from: since, to: first_at, joules: watts * seconds, measured: false });
        }
    }

    /// Takes a count that fits: its energy, and the counter's state from here on.
    fn accept(&mut self, (from, to): (u64, u64), (count, step): (u64, Step), credit: &mut impl FnMut(Credit)) {
        self.fill_in(to, step.joules, credit);
        credit(Credit { from, to, joules: step.joules, measured: !step.ambiguous });
        self.note_power(step.joules, (to - from) as f64 * NS);
        self.tally.wraps += step.wraps;
        self.last = Some((to, Value::Count(count)));
        self.suspect = None;
        self.misses = 0;
    }

    /// The energy between two counts, if a device could have used it in that time.
    fn step(&self, (since, before): (u64, u64), (at, count): (u64, u64)) -> Option<Step> {
        let Quantity::Counter { joules_per_unit, range, max_watts } = self.quantity else { return None };
        let seconds = (at - since) as f64 * NS;
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
            return Some(Step { joules, wraps, ambiguous: false });
        }
        // So long unread that it may have gone round more than once: as often as fits the power before. Where
        // even one round is more than fits, it was set back instead.
        let unseen = ((self.watts * seconds - joules) / whole).round();
        if unseen < 0.0 && wraps > 0 {
            return None;
        }
        let unseen = unseen.max(0.0);
        Some(Step { joules: joules + unseen * whole, wraps: wraps + unseen as u64, ambiguous: true })
    }

    /// Follows the power of the last few seconds; of fewer, all of them count alike.
    fn note_power(&mut self, joules: f64, seconds: f64) {
        const MEMORY_S: f64 = 5.0;
        self.watched_s += seconds;
        let weight = (1.0 - (-seconds / MEMORY_S).exp()).max(seconds / self.watched_s);
        self.watts += weight * (joules / seconds - self.watts);
    }

    /// The trapezoid between two powers.
    fn power(&mut self, at: u64, watts: f64, credit: &mut impl FnMut(Credit)) -> Option<Event> {
        let (since, Value::Watts(before)) = self.last? else { return None };
        let seconds = (at - since) as f64 * NS;
        let joules = 0.5 * (before + watts) * seconds;
        let event = (self.misses >= LOST_AFTER).then_some(Event::Back(seconds));
        // Across a long hole the powers at its ends say nothing: what was used there stays unknown.
        if self.misses == 0 || seconds <= BRIDGE_S {
            self.fill_in(at, joules, credit);
            credit(Credit { from: since, to: at, joules, measured: self.misses == 0 });
            self.note_power(joules, seconds);
        }
        self.last = Some((at, Value::Watts(watts)));
        self.misses = 0;
        event
    }
}

/// The way from one count to the next.
#[derive(Clone, Copy)]
struct Step {
    joules: f64,
    wraps: u64,
    /// More than one way fits.
    ambiguous: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;
    const RANGE: u64 = 262_143_328_850;

    fn package() -> Meter {
        Meter::new(Quantity::Counter { joules_per_unit: 1e-6, range: Some(RANGE), max_watts: 2000.0 })
    }

    /// Feeds (seconds, microjoules or fault) and sums what comes out.
    fn feed(meter: &mut Meter, readings: &[(f64, Result<u64, Fault>)]) -> (f64, f64, Vec<Event>) {
        let (mut joules, mut measured, mut events) = (0.0, 0.0, vec![]);
        for &(at, reading) in readings {
            let event = meter.push((at * 1e9) as u64, reading.map(Value::Count), |c| {
                joules += c.joules;
                measured += if c.measured { (c.to - c.from) as f64 * NS } else { 0.0 };
            });
            events.extend(event);
        }
        (joules, measured, events)
    }

    #[test]
    fn a_wrap_is_counted_once() {
        let mut m = package();
        let (joules, measured, events) =
            feed(&mut m, &[(0.0, Ok(RANGE - 50_000_000)), (1.0, Ok(150_000_000)), (2.0, Ok(350_000_000))]);
        assert!((joules - 400.0).abs() < 1e-6, "{joules}");
        assert_eq!((measured, m.tally.wraps, m.health(), events), (2.0, 1, Health::Ok, vec![]));
    }

    #[test]
    fn a_step_back_is_a_reset_not_a_wrap() {
        let mut m = package();
        let (joules, measured, events) = feed(
            &mut m,
            &[
                (0.0, Ok(900_000_000)),
                (1.0, Ok(1_000_000_000)),
                (2.0, Ok(500_000_000)),
                (2.01, Ok(501_000_000)),
                (3.01, Ok(601_000_000)),
            ],
        );
        assert!((joules - 301.0).abs() < 0.01, "bridged at the 100 W before: {joules}");
        assert!((measured - 2.01).abs() < 1e-9);
        assert_eq!((events, m.health(), m.tally.wraps), (vec![Event::Reset], Health::Reset, 0));
    }

    #[test]
    fn an_hours_jump_is_no_energy() {
        let mut m = package();
        let (joules, _, events) = feed(
            &mut m,
            &[
                (0.0, Ok(0)),
                (1.0, Ok(100_000_000)),
                (2.0, Ok(864_200_000_000)),
                (2.01, Ok(864_201_000_000)),
                (3.0, Ok(864_300_000_000)),
            ],
        );
        assert!((joules - 300.0).abs() < 0.01, "{joules}");
        assert_eq!(events, [Event::Reset]);
    }

    #[test]
    fn one_wild_value_costs_nothing() {
        let mut m = package();
        let (joules, measured, events) = feed(
            &mut m,
            &[(0.0, Ok(0)), (1.0, Ok(100_000_000)), (2.0, Ok(7)), (2.01, Ok(201_000_000)), (3.0, Ok(300_000_000))],
        );
        assert!((joules - 300.0).abs() < 1e-6, "{joules}");
        assert_eq!((measured, events.len()), (3.0, 0));
    }

    #[test]
    fn failed_readings_lose_nothing_when_the_counter_comes_back() {
        let mut m = package();
        let bad = Err(Fault::Denied);
        let (joules, measured, events) =
            feed(&mut m, &[(0.0, Ok(0)), (1.0, bad), (2.0, bad), (3.0, bad), (4.0, bad), (5.0, Ok(500_000_000))]);
        assert!((joules - 500.0).abs() < 1e-6);
        assert_eq!((measured, events), (5.0, vec![Event::Lost(Fault::Denied), Event::Back(5.0)]));
        assert_eq!((m.health(), m.tally.failed), (Health::Gap, 4));
    }

    #[test]
    fn a_device_that_stays_away_is_lost() {
        let mut m = package();
        feed(
            &mut m,
            &[(0.0, Ok(0)), (1.0, Ok(5)), (2.0, Err(Fault::Gone)), (3.0, Err(Fault::Gone)), (4.0, Err(Fault::Gone))],
        );
        assert_eq!(m.health(), Health::Lost);
        assert!(m.is_missing());
    }

    #[test]
    fn unread_for_many_wraps_is_settled_by_the_power_before_and_said() {
        let mut m = Meter::new(Quantity::Counter { joules_per_unit: 1.0, range: Some(1000), max_watts: 2000.0 });
        let (joules, measured, _) = feed(&mut m, &[(0.0, Ok(0)), (0.1, Ok(20)), (10.1, Ok(20))]);
        assert!((joules - 2020.0).abs() < 1e-6, "200 W for 10 s is two rounds: {joules}");
        assert!((measured - 0.1).abs() < 1e-9);
        assert_eq!(m.tally.wraps, 2);
    }

    #[test]
    fn set_back_in_a_long_hole_is_no_wrap() {
        let mut m = package();
        let (joules, measured, _) = feed(
            &mut m,
            &[
                (0.0, Ok(50_000_000_000)),
                (1.0, Ok(50_100_000_000)),
                (200.0, Ok(5_000_000)),
                (200.01, Ok(6_000_000)),
                (201.0, Ok(105_000_000)),
            ],
        );
        assert!(joules < 20_000.0 && measured < 3.0, "no phantom round of 262 kJ: {joules} J");
        assert_eq!((m.tally.wraps, m.health()), (0, Health::Reset));
    }

    #[test]
    fn set_back_while_it_could_not_be_read_is_no_wrap() {
        let mut m = package();
        let (start, gone) = (200_000_000_000, Err(Fault::Gone));
        let (joules, measured, _) = feed(
            &mut m,
            &[
                (0.0, Ok(start)),
                (1.0, Ok(start + 100_000_000)),
                (2.0, gone),
                (58.0, gone),
                (60.0, Ok(5_000_000)),
                (60.01, Ok(6_000_000)),
                (61.0, Ok(105_000_000)),
            ],
        );
        assert!((joules - 6100.0).abs() < 10.0 && measured < 3.0, "no phantom 62 kJ: {joules} J");
        assert_eq!((m.tally.wraps, m.health()), (0, Health::Reset));
        let mut m = package();
        let (start, gone) = (RANGE - 1_000_000_000, Err(Fault::Gone));
        let (joules, ..) =
            feed(&mut m, &[(0.0, Ok(start)), (1.0, Ok(start + 100_000_000)), (2.0, gone), (60.0, Ok(5_000_000_000))]);
        assert!((joules - 6000.0).abs() < 1e-6 && m.tally.wraps == 1, "a wrap at the power before: {joules} J");
    }

    #[test]
    fn a_count_that_never_makes_sense_is_a_device_lost_and_said() {
        let mut m = package();
        let readings: Vec<_> = (0..8).map(|n| (f64::from(n), Ok(900_000_000_000 - 50_000_000 * n as u64))).collect();
        let (joules, _, events) = feed(&mut m, &readings);
        assert_eq!((joules, events, m.health()), (0.0, vec![Event::Lost(Fault::Implausible)], Health::Lost));
    }

    #[test]
    fn two_readings_in_one_step_of_the_counter() {
        let mut m = package();
        let (joules, ..) = feed(&mut m, &[(0.0, Ok(0)), (0.0001, Ok(0)), (0.0002, Ok(240_000)), (0.0002, Ok(240_000))]);
        assert!((joules - 0.24).abs() < 1e-9);
    }

    #[test]
    fn power_across_a_long_hole_stays_unknown() {
        let mut m = Meter::new(Quantity::Power);
        let mut joules = 0.0;
        let (watts, gone) = (Ok(Value::Watts(20.0)), Err(Fault::Gone));
        for (at, value) in [(0, watts), (1, watts), (2, gone), (3, gone), (4, gone), (3600, watts), (3601, watts)] {
            m.push(at * S, value, |c| joules += c.joules);
        }
        assert_eq!((joules, m.health()), (40.0, Health::Gap));
    }

    #[test]
    fn what_could_be_read_late_is_filled_in_and_not_measured() {
        let mut m = Meter::late(Quantity::Counter { joules_per_unit: 1e-3, range: None, max_watts: 2000.0 }, 0);
        let (joules, measured, _) = feed(&mut m, &[(2.0, Ok(500_000)), (3.0, Ok(600_000)), (4.0, Ok(700_000))]);
        assert!((joules - 400.0).abs() < 1e-6 && (measured - 2.0).abs() < 1e-9, "{joules} J, {measured} s");
        let mut m = Meter::late(Quantity::Power, 0);
        let mut joules = 0.0;
        for at in [2 * S, 2 * S + S / 10, 3 * S] {
            m.push(at, Ok(Value::Watts(50.0)), |c| joules += c.joules);
        }
        assert!((joules - 150.0).abs() < 1e-9 && m.tally.late_s == 2.0, "{joules} J");
    }

    #[test]
    fn power_is_integrated_by_trapezoid() {
        let mut m = Meter::new(Quantity::Power);
        let mut joules = 0.0;
        for (at, watts) in [(0, 100.0), (S, 300.0), (3 * S, 300.0)] {
            m.push(at, Ok(Value::Watts(watts)), |c| joules += c.joules);
        }
        assert_eq!(joules, 200.0 + 600.0);
    }

    proptest! {
        /// Whatever the power, wherever the wraps: the sum is the energy used, and never falls.
        #[test]
        fn monotone_and_exact_under_wrap(start in 0..RANGE, steps in prop::collection::vec((1u64..20_000, 0u64..1500), 1..200)) {
            let mut m = package();
            let (mut at, mut total, mut credited) = (0u64, 0u64, 0.0);
            m.push(at, Ok(Value::Count(start)), |_| ());
            for (ms, watts) in steps {
                at += ms * 1_000_000;
                total += ms * watts * 1000;
                m.push(at, Ok(Value::Count((start + total) % RANGE)), |c| {
                    assert!(c.joules >= 0.0 && c.from < c.to);
                    credited += c.joules;
                });
                prop_assert!((credited - total as f64 * 1e-6).abs() < 1e-3);
            }
            prop_assert_eq!(m.health(), Health::Ok);
        }

        /// Whatever is read, no credit exceeds what the device could draw, and none overlaps another.
        #[test]
        fn no_phantom_energy(readings in prop::collection::vec((1u64..5_000, prop::option::of(any::<u64>())), 1..100)) {
            let mut m = package();
            let (mut at, mut until) = (0u64, 0u64);
            for (ms, count) in readings {
                at += ms * 1_000_000;
                m.push(at, count.map(Value::Count).ok_or(Fault::Garbage), |c| {
                    assert!(c.from >= until && c.to > c.from);
                    assert!(c.joules <= 2000.0 * ((c.to - c.from) as f64 * NS + STEP_S) * 1.001, "{c:?}");
                    until = c.to;
                });
            }
        }
    }
}
