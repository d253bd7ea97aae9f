//! Calls in a wrong order. Many programs ignore the status of such a call. So the first of each kind makes a message,
//! and the report's notes count them.

use crate::units::duration;
use std::sync::atomic::{AtomicU64, Ordering};

/// A kind of call that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// ct_epoch_begin while an epoch is open.
    Begin,
    /// ct_epoch_end while no epoch is open.
    End,
    /// ct_epoch_cancel while no epoch is open.
    Cancel,
    /// ct_progress while no epoch is open.
    Progress,
    /// ct_progress with `done` above `total`, or `total` 0.
    Share,
    /// ct_run_progress with numbers that are no progress.
    Work,
    /// ct_run_progress with less done than before.
    WorkBack,
    /// ct_phase_end while no phase is open.
    PhaseEnd,
    /// ct_phase_begin while too many phases are open.
    PhaseDepth,
}

impl Misuse {
    const ALL: [Misuse; 9] = [
        Misuse::Begin,
        Misuse::End,
        Misuse::Cancel,
        Misuse::Progress,
        Misuse::Share,
        Misuse::Work,
        Misuse::WorkBack,
        Misuse::PhaseEnd,
        Misuse::PhaseDepth,
    ];

    /// The message for calls that were refused `times` times. `open_s`: time since the open epoch began, s.
    pub fn in_words(self, times: u64, open_s: Option<f64>) -> String {
        let (call, why, advice) = match self {
            Misuse::Begin => (
                "ct_epoch_begin",
                match open_s {
                    Some(seconds) => format!("an epoch has been open for {}", duration(seconds)),
                    None => "an epoch was open already".into(),
                },
                "call ct_epoch_end after each ct_epoch_begin, and begin no epoch inside another",
            ),
            Misuse::End => (
                "ct_epoch_end",
                "no epoch was open".into(),
                "call ct_epoch_begin before each ct_epoch_end, and begin no epoch inside another",
            ),
            Misuse::Cancel => {
                ("ct_epoch_cancel", "no epoch was open".into(), "call it between ct_epoch_begin and ct_epoch_end")
            }
            Misuse::Progress => {
                ("ct_progress", "no epoch was open".into(), "call it between ct_epoch_begin and ct_epoch_end")
            }
            Misuse::Share => {
                ("ct_progress", "done was above total, or total was 0".into(), "pass done of total, both from 0 up")
            }
            Misuse::Work => (
                "ct_run_progress",
                "done was below 0, total was not above 0, or one was not finite".into(),
                "pass done of total in one unit, such as time steps, simulated time or tokens",
            ),
            Misuse::WorkBack => (
                "ct_run_progress",
                "done was less than before".into(),
                "pass the work done since the start of the run; the highest value so far is kept",
            ),
            Misuse::PhaseEnd => {
                ("ct_phase_end", "no phase was open".into(), "call it once for each ct_phase_begin, on each way out")
            }
            Misuse::PhaseDepth => (
                "ct_phase_begin",
                "too many phases were open".into(),
                "call ct_phase_end once for each ct_phase_begin, on each way out",
            ),
        };
        let times = if times == 1 { "once".into() } else { format!("{times} times") };
        format!("{call} was refused {times}: {why}; {advice}")
    }
}

/// Number of refused calls of each kind.
#[derive(Default)]
pub struct MisuseCounts([AtomicU64; Misuse::ALL.len()]);

impl MisuseCounts {
    /// Counts a refused call. Returns whether it is the first of its kind.
    pub fn count(&self, misuse: Misuse) -> bool {
        self.0.get(misuse as usize).is_some_and(|count| count.fetch_add(1, Ordering::Relaxed) == 0)
    }

    /// A note for each kind of call that was refused.
    pub fn notes(&self, open_s: Option<f64>) -> impl Iterator<Item = String> {
        let counts =
            Misuse::ALL.into_iter().zip(&self.0).map(|(misuse, count)| (misuse, count.load(Ordering::Relaxed)));
        counts.filter(|(_, times)| *times > 0).map(move |(misuse, times)| misuse.in_words(times, open_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_finds_the_first_of_each_kind() {
        let misuses = MisuseCounts::default();
        assert_eq!(misuses.notes(None).count(), 0);
        for misuse in Misuse::ALL {
            assert!(misuses.count(misuse) && !misuses.count(misuse));
        }
        assert!(!misuses.count(Misuse::Begin));
        let notes: Vec<String> = misuses.notes(Some(5.1)).collect();
        assert_eq!(notes.len(), Misuse::ALL.len());
        assert!(
            notes[0].starts_with("ct_epoch_begin was refused 3 times: an epoch has been open for 5.1"),
            "{notes:?}"
        );
        assert!(notes[1].starts_with("ct_epoch_end was refused 2 times: no epoch was open;"), "{notes:?}");
    }
}
