//! Instants: on the monotonic clock, and as a date. Pure.
//!
//! The monotonic clock stops while the machine sleeps, and the date may be set while a run lasts. A sleep shifts
//! the dates of later instants. A date that is set replaces the old one for all of the run.

use crate::units;
use std::ops::{Add, Sub};

/// Seconds in a nanosecond.
pub const S_PER_NS: f64 = 1e-9;

/// An instant on the monotonic clock, ns. The clock's zero is 36 years before the machine's start, so the past of a
/// resumed run has instants too. Sums and differences saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MonoNs(pub u64);

impl MonoNs {
    /// Earlier than every instant.
    pub const ZERO: MonoNs = MonoNs(0);
    /// Later than every instant.
    pub const NEVER: MonoNs = MonoNs(u64::MAX);

    /// Time since `earlier`, ns; 0 if that is later.
    pub fn ns_since(self, earlier: MonoNs) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Time since `earlier`, s; 0 if that is later.
    pub fn s_since(self, earlier: MonoNs) -> f64 {
        self.ns_since(earlier) as f64 * S_PER_NS
    }

    /// Reads a word of shared memory, in which 0 is no instant.
    pub fn from_word(word: u64) -> Option<MonoNs> {
        (word > 0).then_some(MonoNs(word))
    }

    /// The word of shared memory for an instant, or 0 for none.
    pub fn to_word(instant: Option<MonoNs>) -> u64 {
        instant.map_or(0, |instant| instant.0)
    }
}

/// Plus a duration, ns.
impl Add<u64> for MonoNs {
    type Output = MonoNs;

    fn add(self, ns: u64) -> MonoNs {
        MonoNs(self.0.saturating_add(ns))
    }
}

/// Minus a duration, ns.
impl Sub<u64> for MonoNs {
    type Output = MonoNs;

    fn sub(self, ns: u64) -> MonoNs {
        MonoNs(self.0.saturating_sub(ns))
    }
}

/// A date: s since 1970 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct UnixS(pub f64);

impl UnixS {
    /// Time since `earlier`, s; negative if that is later.
    pub fn s_since(self, earlier: UnixS) -> f64 {
        self.0 - earlier.0
    }

    /// The later of two dates.
    pub fn max(self, other: UnixS) -> UnixS {
        UnixS(self.0.max(other.0))
    }
}

/// Converts instants on the monotonic clock to dates.
#[derive(Clone, Debug, Default)]
pub struct WallClock {
    /// From each instant on, the time that the machine has slept so far, s.
    sleeps: Vec<(MonoNs, f64)>,
    /// The date of the clock's zero, as if the machine had never slept.
    zero: UnixS,
}

/// Three clocks, read together.
#[derive(Clone, Copy, Debug)]
pub struct ClockSample {
    /// CLOCK_MONOTONIC.
    pub monotonic: MonoNs,
    /// CLOCK_BOOTTIME, which does not stop during sleep, ns.
    pub boot_ns: u64,
    /// CLOCK_REALTIME.
    pub unix: UnixS,
}

/// A shorter sleep, s, shifts no date.
const MIN_SLEEP_S: f64 = 1.0;
/// A smaller difference, s, is the time between two readings of the clocks: the date was not set.
const MIN_DATE_STEP_S: f64 = 0.1;
/// Sleeps kept; the newest replaces the last.
const MAX_SLEEPS: usize = 256;

impl WallClock {
    /// Updates the date and the sleeps.
    pub fn note(&mut self, sample: ClockSample) {
        let slept_s = (sample.boot_ns as f64 - sample.monotonic.0 as f64) * S_PER_NS;
        let zero = UnixS(sample.unix.0 - sample.boot_ns as f64 * S_PER_NS);
        // Two reports of one instant show the same date, though the clocks are never read at one instant.
        if self.sleeps.is_empty() || zero.s_since(self.zero).abs() >= MIN_DATE_STEP_S {
            self.zero = zero;
        }
        let is_full = self.sleeps.len() >= MAX_SLEEPS;
        match self.sleeps.last_mut() {
            Some((_, last)) if (slept_s - *last).abs() < MIN_SLEEP_S => (),
            Some((_, last)) if is_full => *last = slept_s,
            Some(_) => self.sleeps.push((sample.monotonic, slept_s)),
            None => self.sleeps.push((MonoNs::ZERO, slept_s)),
        }
    }

    /// The date of an instant.
    pub fn unix_s(&self, instant: MonoNs) -> UnixS {
        let slept_s =
            self.sleeps.iter().rev().find(|(since, _)| *since <= instant).map_or(0.0, |(_, slept_s)| *slept_s);
        UnixS(instant.0 as f64 * S_PER_NS + slept_s + self.zero.0)
    }
}

/// Local time: its offset from UTC, and the changes of that offset to come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LocalTime {
    /// From each date on, local time minus UTC, s; oldest first.
    changes: Vec<(UnixS, i32)>,
}

impl LocalTime {
    /// Local time with these offsets, s, each from a date on; oldest first. Without any it is UTC.
    pub fn new(changes: Vec<(UnixS, i32)>) -> LocalTime {
        LocalTime { changes }
    }

    /// Local time minus UTC at a date, s.
    pub fn offset_s(&self, at: UnixS) -> i32 {
        let current = self.changes.iter().rev().find(|(since, _)| *since <= at).or(self.changes.first());
        current.map_or(0, |(_, offset_s)| *offset_s)
    }

    /// A date in local time with its offset, to the minute: "2026-03-02 14:00 +01:00"; None: it is no date before the
    /// year 10000.
    pub fn shown(&self, at: UnixS) -> Option<String> {
        let offset_s = self.offset_s(at);
        let local = units::instant(at.0 + f64::from(offset_s))?;
        let minutes = offset_s.unsigned_abs() / 60;
        let zone = match offset_s {
            0 => "UTC".to_owned(),
            _ => format!("{}{:02}:{:02}", if offset_s < 0 { '-' } else { '+' }, minutes / 60, minutes % 60),
        };
        Some(format!("{} {zone}", local.get(..16)?.replace('T', " ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn sample(monotonic_s: u64, boot_s: u64, unix_s: f64) -> ClockSample {
        ClockSample { monotonic: MonoNs(monotonic_s * S), boot_ns: boot_s * S, unix: UnixS(unix_s) }
    }

    #[test]
    fn sleep_shifts_later_dates_and_a_new_date_replaces_all() {
        let mut clock = WallClock::default();
        let unix_s = |clock: &WallClock, seconds: u64| clock.unix_s(MonoNs(seconds * S)).0;
        clock.note(sample(100, 100, 1_000_100.0));
        clock.note(sample(200, 200, 1_000_200.0));
        clock.note(sample(210, 3810, 1_003_810.0));
        assert_eq!(unix_s(&clock, 150), 1_000_150.0);
        assert_eq!(unix_s(&clock, 220), 1_003_820.0);
        clock.note(sample(220, 3820, 2_003_820.0));
        assert_eq!((unix_s(&clock, 150), unix_s(&clock, 230)), (2_000_150.0, 2_003_830.0));
        clock.note(sample(230, 3830, 2_003_830.01));
        assert_eq!(unix_s(&clock, 150), 2_000_150.0, "read a moment later");
    }

    #[test]
    fn instants_saturate_at_both_ends() {
        let [early, late] = [MonoNs(5), MonoNs(1_000_000_005)];
        assert_eq!((late.ns_since(early), early.ns_since(late), late.s_since(early)), (1_000_000_000, 0, 1.0));
        assert_eq!((MonoNs::NEVER + 1, early - 9), (MonoNs::NEVER, MonoNs::ZERO));
        assert_eq!([0, 7].map(MonoNs::from_word), [None, Some(MonoNs(7))]);
        assert_eq!([None, Some(MonoNs(7))].map(MonoNs::to_word), [0, 7]);
    }
    #[test]
    fn a_date_is_shown_in_local_time_on_both_sides_of_a_change_of_the_clocks() {
        let at = UnixS(1_772_456_400.0);
        assert_eq!(LocalTime::default().shown(at).as_deref(), Some("2026-03-02 13:00 UTC"));
        let copenhagen = LocalTime::new(vec![(UnixS(0.0), 3600), (UnixS(1_774_746_000.0), 7200)]);
        assert_eq!(copenhagen.shown(at).as_deref(), Some("2026-03-02 14:00 +01:00"));
        assert_eq!(copenhagen.shown(UnixS(1_774_746_000.0)).as_deref(), Some("2026-03-29 03:00 +02:00"));
        let west = LocalTime::new(vec![(UnixS(2e9), -12_600)]);
        assert_eq!(west.shown(at).as_deref(), Some("2026-03-02 09:30 -03:30"), "before the first change");
        assert_eq!(west.shown(UnixS(f64::INFINITY)), None);
    }
}
