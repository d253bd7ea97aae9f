//! The machine's time zone: the offset of local time now, and its changes in the time to come.

use super::{unix_s, world};
use crate::clock::{LocalTime, UnixS};

/// Longest time ahead whose changes of the clocks are looked up, s: two years.
const AHEAD_S: i64 = 2 * 366 * 86_400;
/// Time between two looks, s. No zone changes its clocks twice within it.
const STEP_S: i64 = 7 * 86_400;

/// Local time from now on, by the variable TZ or the system's zone. A simulated world has UTC.
///
/// It is read once, at the start: later calls of the C library could meet a lock that a forked child never gets.
pub fn local_time() -> LocalTime {
    if world::is_entered() {
        return LocalTime::default();
    }
    let now = unix_s().0 as i64;
    let mut changes = vec![(UnixS(0.0), offset_s(now))];
    let mut from = now;
    while from < now + AHEAD_S {
        let to = from + STEP_S;
        let (before, after) = (offset_s(from), offset_s(to));
        if before != after {
            changes.push((UnixS(first_with(from, to, before) as f64), after));
        }
        from = to;
    }
    LocalTime::new(changes)
}

/// The first second after `from` whose offset is not `before`. `to` has another offset.
fn first_with(mut from: i64, mut to: i64, before: i32) -> i64 {
    while to - from > 1 {
        let middle = from + (to - from) / 2;
        if offset_s(middle) == before {
            from = middle;
        } else {
            to = middle;
        }
    }
    to
}

/// Local time minus UTC at an instant, s; 0 if the C library cannot convert the instant.
fn offset_s(unix: i64) -> i32 {
    let at = unix as libc::time_t;
    // SAFETY: all bytes 0 are a valid tm: numbers, and a NULL pointer to the name of the zone.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call, which keeps neither.
    let converted = unsafe { libc::localtime_r(&at, &mut local) };
    if converted.is_null() { 0 } else { local.tm_gmtoff as i32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_clocks_is_found_to_the_second() {
        // The tests run in the zone of the machine, which may have no changes.
        let local = local_time();
        let now = unix_s().0 as i64;
        for days in [0, 1, 100, 200, 400] {
            let at = now + days * 86_400;
            assert_eq!(local.offset_s(UnixS(at as f64)), offset_s(at), "{days} days ahead");
        }
    }
}
