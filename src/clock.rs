//! Which time of day an instant on the monotonic clock was. Pure.
//!
//! The monotonic clock stands still while the machine sleeps, and the date may be set while a run lasts. A sleep shifts
//! what comes after it; a date that is set was wrong before, so the newest holds for all of the run.

/// From the monotonic clock to the date.
#[derive(Clone, Debug, Default)]
pub struct WallClock {
    /// Since these instants, ns on the monotonic clock, the machine has slept so many seconds since its start.
    sleeps: Vec<(u64, f64)>,
    /// Seconds from the machine's start, sleep included, to the date's 1970.
    since_1970_s: f64,
}

/// What three clocks say at one moment.
#[derive(Clone, Copy, Debug)]
pub struct ClockSample {
    /// CLOCK_MONOTONIC, ns.
    pub monotonic_ns: u64,
    /// CLOCK_BOOTTIME, which goes on in sleep, ns.
    pub boot_ns: u64,
    /// CLOCK_REALTIME, s since 1970 UTC.
    pub unix_s: f64,
}

/// A sleep shorter than this, s, shifts no hour.
const NOTEWORTHY_S: f64 = 1.0;
/// A date that differs by less than this, s, was not set.
const SET_S: f64 = 0.1;
/// So many sleeps are told apart.
const MOST: usize = 256;

impl WallClock {
    /// Takes note of the date.
    pub fn note(&mut self, moment: ClockSample) {
        let slept_s = (moment.boot_ns as f64 - moment.monotonic_ns as f64) * 1e-9;
        let since_1970_s = moment.unix_s - moment.boot_ns as f64 * 1e-9;
        // A report asked for twice says the same, though the two clocks are never read at one instant.
        if self.sleeps.is_empty() || (since_1970_s - self.since_1970_s).abs() >= SET_S {
            self.since_1970_s = since_1970_s;
        }
        let is_full = self.sleeps.len() >= MOST;
        match self.sleeps.last_mut() {
            Some((_, last)) if (slept_s - *last).abs() < NOTEWORTHY_S => (),
            Some((_, last)) if is_full => *last = slept_s,
            Some(_) => self.sleeps.push((moment.monotonic_ns, slept_s)),
            None => self.sleeps.push((0, slept_s)),
        }
    }

    /// The date of an instant, ns on the monotonic clock, in s since 1970 UTC.
    pub fn unix_s(&self, monotonic_ns: u64) -> f64 {
        let slept = self.sleeps.iter().rev().find(|(since, _)| *since <= monotonic_ns);
        monotonic_ns as f64 * 1e-9 + slept.map_or(0.0, |(_, slept_s)| *slept_s) + self.since_1970_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn at(monotonic_s: u64, boot_s: u64, unix_s: f64) -> ClockSample {
        ClockSample { monotonic_ns: monotonic_s * S, boot_ns: boot_s * S, unix_s }
    }

    #[test]
    fn a_sleep_shifts_what_comes_after_it_and_a_date_set_holds_for_all() {
        let mut calendar = WallClock::default();
        calendar.note(at(100, 100, 1_000_100.0));
        calendar.note(at(200, 200, 1_000_200.0));
        calendar.note(at(210, 3810, 1_003_810.0));
        assert_eq!(calendar.unix_s(150 * S), 1_000_150.0);
        assert_eq!(calendar.unix_s(220 * S), 1_003_820.0);
        calendar.note(at(220, 3820, 2_003_820.0));
        assert_eq!((calendar.unix_s(150 * S), calendar.unix_s(230 * S)), (2_000_150.0, 2_003_830.0));
        calendar.note(at(230, 3830, 2_003_830.01));
        assert_eq!(calendar.unix_s(150 * S), 2_000_150.0, "read a moment later");
    }
}
