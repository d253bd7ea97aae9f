//! The progress of a run in shared numbers: the application's threads store it, the sampling thread reads it.
//!
//! A store waits for nothing. A thread that finds another one storing gives up, because that one's progress is as new.
//! The numbers are compared as bits, because the application may have made floating-point exceptions fatal.

use crate::clock::MonoNs;
use crate::forecast::run_progress::WorkMark;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

/// The bits of positive infinity. Numbers from 0 up have the order of their bits.
const INFINITY: u64 = f64::INFINITY.to_bits();
/// The bits of the sign.
const SIGN: u64 = 1 << 63;
/// Attempts to read while a thread stores.
const READS: usize = 8;

/// What became of a progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is the first, or the run is complete: the sampling thread should look soon.
    Soon,
    /// It waits for the sampling thread's next look.
    Later,
    /// Less is done than before; nothing changed.
    Back,
    /// It is no progress: a number is not finite, `done` is below 0, or `total` is not above 0.
    Invalid,
}

/// The newest progress of a run.
#[derive(Default)]
pub struct WorkCell {
    /// Odd while a thread stores; it grows by 2 with each progress.
    sequence: AtomicU64,
    done: AtomicU64,
    total: AtomicU64,
    at: AtomicU64,
    is_urgent: AtomicBool,
}

impl WorkCell {
    /// Stores the progress of this moment: `done` of `total`.
    pub fn store(&self, done: f64, total: f64, now: impl FnOnce() -> MonoNs) -> Stored {
        let (done, total) = (done.to_bits(), total.to_bits());
        let done = if done == SIGN { 0 } else { done }; // -0.0
        if done >= INFINITY || total == 0 || total >= INFINITY {
            return Stored::Invalid;
        }
        let before = self.sequence.load(Ordering::Relaxed);
        if done < self.done.load(Ordering::Relaxed) {
            return Stored::Back;
        }
        let is_free = before & 1 == 0;
        let taken = || self.sequence.compare_exchange(before, before + 1, Ordering::Acquire, Ordering::Relaxed);
        if !is_free || taken().is_err() {
            return Stored::Later;
        }
        fence(Ordering::Release);
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        self.at.store(now().0, Ordering::Relaxed);
        self.sequence.store(before + 2, Ordering::Release);
        let is_soon = before == 0 || done >= total;
        if is_soon {
            self.is_urgent.store(true, Ordering::Release);
            return Stored::Soon;
        }
        Stored::Later
    }

    /// The newest progress and its number; None: there is none, or a thread stores one.
    pub fn load(&self) -> Option<(u64, WorkMark)> {
        self.is_urgent.store(false, Ordering::Release);
        for _ in 0..READS {
            let before = self.sequence.load(Ordering::Acquire);
            let [done, total, at] = [&self.done, &self.total, &self.at].map(|number| number.load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if before > 0 && before & 1 == 0 && self.sequence.load(Ordering::Relaxed) == before {
                let mark = WorkMark { at: MonoNs(at), done: f64::from_bits(done), total: f64::from_bits(total) };
                return Some((before, mark));
            }
        }
        None
    }

    /// The number of the newest progress; 0: there is none.
    pub fn number(&self) -> u64 {
        self.sequence.load(Ordering::Acquire) & !1
    }

    /// Whether the sampling thread should look soon.
    pub fn is_urgent(&self) -> bool {
        self.is_urgent.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn progress_is_kept_and_going_back_is_ignored() {
        let cell = WorkCell::default();
        assert!(cell.load().is_none() && cell.number() == 0 && !cell.is_urgent());
        assert_eq!(cell.store(-0.0, 8.0, || MonoNs(5)), Stored::Soon);
        assert!(cell.is_urgent());
        assert_eq!(cell.store(2.0, 8.0, || MonoNs(7)), Stored::Later);
        assert_eq!(cell.store(1.5, 8.0, || MonoNs(8)), Stored::Back);
        assert_eq!(cell.load(), Some((4, WorkMark { at: MonoNs(7), done: 2.0, total: 8.0 })));
        assert_eq!(cell.store(2.0, 4.0, || MonoNs(9)), Stored::Later, "another total");
        assert_eq!(cell.store(4.5, 4.0, || MonoNs(9)), Stored::Soon, "more than the total");
    }

    #[test]
    fn numbers_that_are_no_progress_change_nothing() {
        let cell = WorkCell::default();
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        let pairs = [(nan, 1.0), (1.0, nan), (-nan, 1.0), (inf, 1.0), (1.0, inf), (-inf, 1.0), (-1e-300, 1.0)];
        for (done, total) in pairs.into_iter().chain([(0.0, 0.0), (0.0, -0.0), (0.0, -1.0)]) {
            assert_eq!(cell.store(done, total, || MonoNs(1)), Stored::Invalid, "{done} of {total}");
        }
        assert_eq!(cell.number(), 0);
        assert_eq!(cell.store(f64::MAX, f64::MIN_POSITIVE, || MonoNs(1)), Stored::Soon);
    }

    #[test]
    fn a_store_during_another_store_gives_up() {
        let cell = WorkCell::default();
        let inner = || {
            assert_eq!(cell.store(3.0, 4.0, || MonoNs(2)), Stored::Later);
            assert!(cell.load().is_none(), "a half-stored progress is not read");
            MonoNs(1)
        };
        assert_eq!(cell.store(1.0, 4.0, inner), Stored::Soon);
        assert_eq!(cell.load(), Some((2, WorkMark { at: MonoNs(1), done: 1.0, total: 4.0 })));
    }

    proptest! {
        #[test]
        fn bits_decide_as_numbers_do(done in any::<f64>(), total in any::<f64>()) {
            let is_valid = done.is_finite() && total.is_finite() && done >= 0.0 && total > 0.0;
            let stored = WorkCell::default().store(done, total, || MonoNs(1));
            prop_assert_eq!(stored != Stored::Invalid, is_valid);
        }
    }
}
