//! The epochs of a program that is measured from outside.

use carbontracker::tracker::Tracker;
use carbontracker::units::duration;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The marks of a program that runs.
struct Marked {
    /// How many more marks may end an epoch, so that there are not more epochs than planned.
    left: u64,
    /// Whether the first mark has ended the start-up.
    has_started: bool,
}

/// The epochs of a program, which its marks divide.
pub struct Epochs {
    pub tracker: Option<Tracker>,
    /// The marks so far; None: the program has not started or has ended. Two threads may mark at the same time.
    marks: Mutex<Option<Marked>>,
    /// The number of marks beyond those.
    surplus: AtomicU64,
    /// The number of lines that may be marks.
    lines: AtomicU64,
}

impl Epochs {
    /// The epochs of a program that has not started yet.
    pub fn new(tracker: Option<Tracker>) -> Epochs {
        Epochs { tracker, marks: Mutex::default(), surplus: AtomicU64::new(0), lines: AtomicU64::new(0) }
    }

    /// Begins the start-up, or the only epoch.
    pub fn begin(&self) {
        let number = |pointer| self.tracker.as_ref().and_then(|tracker| tracker.value(pointer).ok()).unwrap_or(0.0);
        let planned = number("/run/epochs_planned");
        let done = number("/run/epochs_done"); // more than 0 if a run is resumed
        let left = if planned > 0.0 { (planned - done - 1.0) as u64 } else { u64::MAX };
        *self.marks() = Some(Marked { left, has_started: false });
        self.tracker.iter().for_each(|tracker| drop(tracker.begin()));
    }

    /// Takes a line that may be a mark: the first one is, and each `every`-th after it.
    pub fn line(&self, every: u64) {
        if self.lines.fetch_add(1, Ordering::Relaxed) % every.max(1) == 0 {
            self.mark();
        }
    }

    /// Begins an epoch at a mark.
    pub fn mark(&self) {
        let mut marks = self.marks();
        let Some(Marked { left, has_started }) = marks.as_mut() else { return };
        if !std::mem::replace(has_started, true) {
            // A cancelled epoch is no epoch, and its energy counts between epochs.
            self.tracker.iter().for_each(|tracker| drop(tracker.cancel().and_then(|_| tracker.begin())));
            return;
        }
        if *left == 0 {
            self.surplus.fetch_add(1, Ordering::Relaxed);
            return;
        }
        *left -= 1;
        self.tracker.iter().for_each(|tracker| drop(tracker.end().and_then(|_| tracker.begin())));
    }

    /// Ends the last epoch.
    pub fn end(&self) {
        *self.marks() = None;
        self.tracker.iter().for_each(|tracker| drop(tracker.end()));
    }

    /// Warnings if the marks do not seem to be at the ends of epochs.
    pub fn doubts(&self) -> Vec<String> {
        const SUSPICIOUS_RATIO: f64 = 10.0;
        let number = |pointer: &str| self.tracker.as_ref().and_then(|tracker| tracker.value(pointer).ok());
        let mut doubts = Vec::new();
        let done = number("/run/epochs_done").unwrap_or(0.0) as u64;
        let length = |before_end: u64| {
            done.checked_sub(before_end).and_then(|index| number(&format!("/epochs/{index}/duration_s")))
        };
        if let Some((last, before)) =
            length(1).zip(length(2)).filter(|(last, before)| last * SUSPICIOUS_RATIO < *before)
        {
            doubts.push(format!(
                "the last epoch took {}, the one before {}. The mark may be printed when an epoch ends; then the first \
                 epoch counts as start-up. Choose a text that is printed when an epoch begins, or give --epochs one less",
                duration(last),
                duration(before)
            ));
        }
        // A mark at the end of the last epoch ends no further epoch.
        let surplus = self.surplus.load(Ordering::Relaxed).saturating_sub(1);
        if surplus > 0 {
            doubts.push(format!(
                "{surplus} more marks than planned epochs: the last epoch includes them. Check --epochs and --mark"
            ));
        }
        doubts
    }

    fn marks(&self) -> MutexGuard<'_, Option<Marked>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
