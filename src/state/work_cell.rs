//! The progress of a run in shared numbers: the application's threads store it, the sampling thread reads it. It needs
//! the newest one, and the first one: the run begins there.
//!
//! A store waits for nothing. Each goes into a slot of its own, the one that was stored longest ago. So threads that
//! store at once do not lose a progress, and one that is stopped inside a store hides no later one. The numbers are
//! compared as bits, because the application may have made floating-point exceptions fatal.

use crate::clock::MonoNs;
use crate::forecast::run_progress::WorkMark;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

/// The bits of positive infinity. Numbers from 0 up have the order of their bits.
const INFINITY: u64 = f64::INFINITY.to_bits();
/// The bits of the sign.
const SIGN: u64 = 1 << 63;
/// Number of slots: this number of threads can store at once.
const SLOTS: usize = 8;
/// Attempts to read a slot while a thread stores.
const READS: usize = 8;
/// Rounds over all slots for a free one. A store takes some nanoseconds, so the first round nearly always finds one.
const ROUNDS: usize = 64;

/// What became of a progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is the first, or the first that completes the run: the sampling thread should look soon.
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
    slots: [Slot; SLOTS],
    first: Slot,
    /// Number of progresses stored.
    stored: AtomicU64,
    /// The most work done, as bits.
    most: AtomicU64,
    /// Whether the newest progress completes the run.
    is_complete: AtomicBool,
    /// Number of the newest progress at which the sampling thread should look soon; 0: none.
    urgent: AtomicU64,
}

/// One progress.
#[derive(Default)]
struct Slot {
    /// Odd while a thread stores; it grows by 2 with each progress.
    sequence: AtomicU64,
    done: AtomicU64,
    total: AtomicU64,
    at: AtomicU64,
}

impl Slot {
    /// Stores a progress, unless more is done in the slot's. Returns whether it did; None: another thread stores here.
    fn store(&self, done: u64, total: u64, at: MonoNs) -> Option<bool> {
        let before = self.sequence.load(Ordering::Relaxed);
        let taken = || self.sequence.compare_exchange(before, before + 1, Ordering::Acquire, Ordering::Relaxed);
        if before & 1 == 1 || taken().is_err() {
            return None;
        }
        fence(Ordering::Release);
        let is_newer = done >= self.done.load(Ordering::Relaxed);
        if is_newer {
            self.done.store(done, Ordering::Relaxed);
            self.total.store(total, Ordering::Relaxed);
            self.at.store(at.0, Ordering::Relaxed);
        }
        self.sequence.store(if is_newer { before + 2 } else { before }, Ordering::Release);
        Some(is_newer)
    }

    /// The progress; None: there is none, or a thread stores one.
    fn load(&self) -> Option<WorkMark> {
        (0..READS).find_map(|_| {
            let before = self.sequence.load(Ordering::Acquire);
            let [done, total, at] = [&self.done, &self.total, &self.at].map(|number| number.load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            let is_whole = before > 0 && before & 1 == 0 && self.sequence.load(Ordering::Relaxed) == before;
            is_whole.then(|| WorkMark { at: MonoNs(at), done: f64::from_bits(done), total: f64::from_bits(total) })
        })
    }
}

impl WorkCell {
    /// Stores the progress of this moment: `done` of `total`.
    pub fn store(&self, done: f64, total: f64, now: impl FnOnce() -> MonoNs) -> Stored {
        let (done, total) = (done.to_bits(), total.to_bits());
        let done = if done == SIGN { 0 } else { done }; // -0.0
        if done >= INFINITY || total == 0 || total >= INFINITY {
            return Stored::Invalid;
        }
        let most = self.most.load(Ordering::Relaxed);
        if done < most || (done > most && done < self.most.fetch_max(done, Ordering::Relaxed)) {
            return Stored::Back;
        }
        let (at, next) = (now(), self.stored.load(Ordering::Relaxed) as usize);
        let mut slots = self.slots.iter().cycle().skip(next % SLOTS).take(SLOTS * ROUNDS);
        if slots.find_map(|slot| slot.store(done, total, at)) != Some(true) {
            // A slow thread has met a newer progress, or a thread is stopped inside a store in each slot.
            return Stored::Later;
        }
        let is_complete = done >= total;
        let has_completed = is_complete && !self.is_complete.load(Ordering::Relaxed);
        self.is_complete.store(is_complete, Ordering::Relaxed);
        let number = self.stored.fetch_add(1, Ordering::Release) + 1;
        if number == 1 {
            self.first.store(done, total, at); // no other thread stores there
        }
        if number == 1 || has_completed {
            self.urgent.fetch_max(number, Ordering::Release);
            return Stored::Soon;
        }
        Stored::Later
    }

    /// The newest progress, and the number of those stored before this call; None: there is none that can be read now.
    pub fn load(&self) -> Option<(u64, WorkMark)> {
        let number = self.stored.load(Ordering::Acquire);
        let newest = self.slots.iter().filter_map(Slot::load).max_by_key(|mark| (mark.done.to_bits(), mark.at));
        newest.map(|mark| (number, mark))
    }

    /// The first progress; None: there is none that can be read now.
    pub fn first(&self) -> Option<WorkMark> {
        self.first.load()
    }

    /// The number of progresses stored; 0: there is none.
    pub fn number(&self) -> u64 {
        self.stored.load(Ordering::Acquire)
    }

    /// Whether the sampling thread should look soon: after the progress of this number came an urgent one. A look ends
    /// the urgency of all progress that it has taken, also if the thread that stored it is late.
    pub fn is_urgent_after(&self, number: u64) -> bool {
        self.urgent.load(Ordering::Acquire) > number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn progress_is_kept_and_going_back_is_ignored() {
        let cell = WorkCell::default();
        assert!(cell.load().is_none() && cell.number() == 0 && !cell.is_urgent_after(0));
        assert_eq!(cell.store(-0.0, 8.0, || MonoNs(5)), Stored::Soon);
        assert!(cell.is_urgent_after(0) && !cell.is_urgent_after(1));
        assert_eq!(cell.store(2.0, 8.0, || MonoNs(7)), Stored::Later);
        assert_eq!(cell.store(1.5, 8.0, || MonoNs(8)), Stored::Back);
        assert_eq!(cell.load(), Some((2, WorkMark { at: MonoNs(7), done: 2.0, total: 8.0 })));
        assert_eq!(cell.store(2.0, 4.0, || MonoNs(9)), Stored::Later, "another total");
        assert_eq!(cell.store(4.5, 4.0, || MonoNs(9)), Stored::Soon, "more than the total");
        assert_eq!(cell.load(), Some((4, WorkMark { at: MonoNs(9), done: 4.5, total: 4.0 })));
        assert_eq!(cell.first(), Some(WorkMark { at: MonoNs(5), done: 0.0, total: 8.0 }));
    }

    #[test]
    fn only_the_first_call_that_completes_the_run_is_urgent() {
        let cell = WorkCell::default();
        let store = |done: f64, total: f64| cell.store(done, total, || MonoNs(1));
        assert_eq!(
            [1.0, 4.0, 4.0, 4.0, 5.0].map(|done| store(done, 4.0) == Stored::Soon),
            [true, true, false, false, false]
        );
        assert_eq!(store(5.0, 8.0), Stored::Later, "the total has grown");
        assert_eq!([store(8.0, 8.0), store(8.0, 8.0)], [Stored::Soon, Stored::Later]);
        // The application learns the total as it goes.
        let cell = WorkCell::default();
        let urgent = (1..100).filter(|n| cell.store(f64::from(*n), f64::from(*n), || MonoNs(1)) == Stored::Soon);
        assert_eq!(urgent.count(), 1);
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

    /// A thread is stopped inside its store, and never goes on.
    #[test]
    fn a_stopped_store_hides_no_later_one() {
        let cell = WorkCell::default();
        let store = |done: u32| cell.store(f64::from(done), 40.0, || MonoNs(done.into()));
        (0..4).for_each(|done| assert_ne!(store(done), Stored::Back));
        cell.slots[4].sequence.store(1, Ordering::Relaxed);
        for done in 4..=40 {
            store(done);
            let mark = WorkMark { at: MonoNs(done.into()), done: done.into(), total: 40.0 };
            assert_eq!(cell.load(), Some((u64::from(done) + 1, mark)));
        }
    }

    #[test]
    fn a_store_beside_stopped_threads_in_all_slots_ends() {
        let cell = WorkCell::default();
        cell.slots.iter().for_each(|slot| slot.sequence.store(1, Ordering::Relaxed));
        assert_eq!(cell.store(1.0, 4.0, || MonoNs(1)), Stored::Later);
        assert!(cell.load().is_none());
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
