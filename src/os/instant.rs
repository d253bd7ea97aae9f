//! An instant of the monotonic clock, for deadlines and elapsed times.

use super::monotonic_ns;
use crate::clock::MonoNs;
use std::ops::{Add, Sub};
use std::time::Duration;

/// An instant of the monotonic clock. It works as `std::time::Instant` does, in the clock of [`monotonic_ns`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(MonoNs);

impl Instant {
    /// Now.
    pub fn now() -> Instant {
        Instant(monotonic_ns())
    }

    /// The time since this instant.
    pub fn elapsed(self) -> Duration {
        Instant::now().saturating_duration_since(self)
    }

    /// The time since `earlier`; zero if that is later.
    pub fn saturating_duration_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.ns_since(earlier.0))
    }

    /// The time until this instant; zero if it has passed.
    pub fn left(self) -> Duration {
        self.saturating_duration_since(Instant::now())
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, time: Duration) -> Instant {
        Instant(self.0 + nanos(time))
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    fn sub(self, time: Duration) -> Instant {
        Instant(self.0 - nanos(time))
    }
}

/// A duration in ns; at most 584 years.
pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
