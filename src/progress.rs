//! How the first epoch gets on: the share of its work done, and the time and energy that took, at marks of progress.
//! Pure.
//!
//! Where an epoch starts slowly (caches fill, kernels compile, a GPU warms up), its first part says little of the
//! rest. What the last quarter of the work done took tells the pace; the part before it counts as much as it agrees.

use crate::pace;

/// The latest part of the work done, whose pace is taken for steady.
const LATEST: f64 = 0.25;
/// The share of the first epoch from which on there is a forecast.
pub const ENOUGH: f64 = 0.05;
/// Marks closer to each other than this share of the time gone are thinned: memory grows with its logarithm only.
const APART: f64 = 1.0 / 64.0;

/// How much of an epoch is done, and what it took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Done {
    /// Share of the epoch's work.
    pub share: f64,
    /// Time, s.
    pub duration_s: f64,
    /// Energy, J; None where nothing is measured.
    pub energy_j: Option<f64>,
}

/// Marks of progress in the first epoch.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// When the epoch began, ns.
    begin: Option<u64>,
    marks: Vec<Done>,
    /// A mark whose energy is not known yet: (ns on the monotonic clock, share).
    pending: Option<(u64, f64)>,
    known_to: u64,
}

impl Progress {
    /// Which epoch it is about, by when it began: of another it starts anew.
    pub fn of_epoch(&mut self, begin: Option<u64>) {
        if self.begin != begin {
            *self = Progress { begin, ..Progress::default() };
        }
    }

    /// Takes a mark: so much was done at this instant, ns. Of marks that come faster than their energies only some
    /// are kept.
    pub fn note(&mut self, at: u64, share: f64) {
        let is_further = self.marks.last().is_none_or(|last| share > last.share);
        if self.pending.is_none() && Some(at) > self.begin && share > 0.0 && is_further {
            self.pending = Some((at, share));
        }
    }

    /// Files the mark once energies are known up to it; `energy` tells what was used from the begin to there.
    pub fn settle(&mut self, known_to: u64, energy: impl FnOnce(u64) -> Option<f64>) {
        let (Some((at, share)), Some(begin)) = (self.pending.filter(|(at, _)| *at <= known_to), self.begin) else {
            return;
        };
        self.pending = None;
        self.known_to = at;
        let duration_s = (at - begin) as f64 * 1e-9;
        if let [.., before, _] = self.marks.as_slice()
            && duration_s - before.duration_s < APART * duration_s
        {
            self.marks.pop();
        }
        self.marks.push(Done { share, duration_s, energy_j: energy(at) });
    }

    /// When the newest mark filed was made, ns.
    pub fn known_to(&self) -> u64 {
        self.known_to
    }

    /// When the mark was made that waits for its energy.
    pub fn awaits(&self) -> Option<u64> {
        self.pending.map(|(at, _)| at)
    }

    /// Whether no mark was filed.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// How far the epoch is and what that took, once it is enough to tell from.
    pub fn done(&self) -> Option<Done> {
        self.marks.last().copied().filter(|last| last.share >= ENOUGH)
    }

    /// What a whole epoch takes at a steady pace, by this quantity; None where that is not known.
    pub fn steady(&self, of: impl Fn(&Done) -> Option<f64>) -> Option<f64> {
        let (early, latest) = self.parts()?;
        let pace = |part: Done| Some(of(&part)? / part.share);
        let latest_pace = pace(latest)?;
        if early.share == 0.0 {
            return Some(latest_pace);
        }
        let weight = early.share * pace::agreement(early.duration_s / early.share, latest.duration_s / latest.share);
        Some((weight * pace(early)? + latest.share * latest_pace) / (weight + latest.share))
    }

    /// What the work done took more than it would have at the steady pace.
    pub fn excess(&self, of: impl Fn(&Done) -> Option<f64>) -> Option<f64> {
        let done = self.done()?;
        Some(of(&done)? - self.steady(of)? * done.share)
    }

    /// The work done, divided into what came before and its latest part.
    fn parts(&self) -> Option<(Done, Done)> {
        let done = self.done()?;
        let early = self.marks.iter().rev().find(|mark| mark.share <= (1.0 - LATEST) * done.share);
        let early = early.copied().unwrap_or(Done { energy_j: done.energy_j.map(|_| 0.0), ..Done::default() });
        let latest = Done {
            share: done.share - early.share,
            duration_s: done.duration_s - early.duration_s,
            energy_j: done.energy_j.zip(early.energy_j).map(|(all, before)| all - before),
        };
        Some((early, latest))
    }
}

/// A mark of progress in 64 bits, so that the host stores it at once and nobody reads half of it: the share in
/// 2^-20, and the microsecond on the monotonic clock, which goes round every 101 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed(pub u64);

impl Packed {
    const SHARE_BITS: u32 = 20;
    const TIME_BITS: u32 = 64 - 1 - Packed::SHARE_BITS;

    /// Nothing was marked.
    pub const NONE: Packed = Packed(0);

    /// `done` of `total` (greater than 0) at `now`, ns. Whole numbers only: the host's floating-point environment
    /// is not ours.
    pub fn new(done: u64, total: u64, now: u64) -> Packed {
        let (done, total) = (u128::from(done.min(total)), u128::from(total));
        let share = ((done << Packed::SHARE_BITS) + total / 2) / total;
        Packed((now / 1000) << (Packed::SHARE_BITS + 1) | share as u64)
    }

    /// The share.
    pub fn share(self) -> f64 {
        let bits = self.0 & ((2 << Packed::SHARE_BITS) - 1);
        bits as f64 / f64::from(1 << Packed::SHARE_BITS)
    }

    /// When it was marked, ns, asked at `now`, ns.
    pub fn at(self, now: u64) -> u64 {
        let micros = now / 1000;
        let ago = micros.wrapping_sub(self.0 >> (Packed::SHARE_BITS + 1)) & ((1 << Packed::TIME_BITS) - 1);
        micros.saturating_sub(ago) * 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An epoch of 10 s at 100 W once warm, its first `cold` of the work `slower` times slower, marked 200 times.
    fn marked(cold: f64, slower: f64, until: f64) -> Progress {
        let mut progress = Progress::default();
        progress.of_epoch(Some(1_000));
        for n in 1..=(until * 200.0) as u64 {
            let share = n as f64 / 200.0;
            let seconds = 10.0 * (share.min(cold) * slower + (share - cold).max(0.0));
            let at = 1_000 + (seconds * 1e9) as u64;
            progress.note(at, share);
            progress.settle(at, |_| Some(100.0 * seconds));
        }
        progress
    }

    fn duration(done: &Done) -> Option<f64> {
        Some(done.duration_s)
    }

    #[test]
    fn a_warm_up_is_told_from_the_steady_pace() {
        for (cold, slower) in [(0.05, 3.0), (0.1, 10.0), (0.2, 5.0), (0.3, 3.0)] {
            let progress = marked(cold, slower, 0.5);
            let steady = progress.steady(duration).unwrap();
            assert!((steady / 10.0 - 1.0).abs() < 0.03, "{cold} {slower}: {steady}");
            let excess = progress.excess(|done| done.energy_j).unwrap();
            assert!((excess / (1000.0 * cold * (slower - 1.0)) - 1.0).abs() < 0.1, "{cold} {slower}: {excess}");
        }
    }

    #[test]
    fn without_one_all_that_is_done_counts() {
        let steady = marked(0.0, 1.0, 0.3).steady(duration).unwrap();
        assert!((steady - 10.0).abs() < 1e-6, "{steady}");
    }

    #[test]
    fn it_tells_from_a_twentieth_on() {
        assert!(marked(0.0, 1.0, 0.045).done().is_none() && marked(0.0, 1.0, 0.05).done().is_some());
    }

    #[test]
    fn another_epoch_starts_anew_and_marks_only_go_on() {
        let mut progress = marked(0.0, 1.0, 0.5);
        let before = progress.done();
        progress.note(9_000_000_000, 0.4);
        progress.settle(u64::MAX, |_| None);
        assert_eq!(progress.done(), before);
        progress.of_epoch(Some(20_000_000_000));
        progress.note(20_500_000_000, 0.1);
        progress.settle(u64::MAX, |_| None);
        assert_eq!(progress.done(), Some(Done { share: 0.1, duration_s: 0.5, energy_j: None }));
    }

    #[test]
    fn a_mark_waits_for_its_energy() {
        let mut progress = Progress::default();
        progress.of_epoch(Some(0));
        progress.note(5_000, 0.1);
        progress.settle(4_999, |_| Some(1.0));
        assert!(progress.is_empty() && progress.awaits() == Some(5_000));
        progress.settle(5_000, |at| Some(at as f64));
        assert!(progress.known_to() == 5_000 && progress.done().unwrap().energy_j == Some(5_000.0));
    }

    #[test]
    fn marks_are_thinned() {
        let mut progress = Progress::default();
        progress.of_epoch(Some(0));
        for n in 1..1_000_000 {
            progress.note(n * 1_000_000, n as f64 / 1e6);
            progress.settle(u64::MAX, |_| Some(n as f64));
        }
        assert!(progress.marks.len() < 1500, "{}", progress.marks.len());
        assert_eq!(progress.done().unwrap().share, 0.999999);
    }

    proptest! {
        #[test]
        fn packing_keeps_share_and_instant(done in 0u64.., total in 1u64.., now in 1_000_000u64..1 << 62, later in 0u64..1 << 52) {
            let packed = Packed::new(done, total, now);
            let share = done.min(total) as f64 / total as f64;
            prop_assert!((packed.share() - share).abs() < 1e-6);
            prop_assert_eq!(packed.at(now + later), now / 1000 * 1000);
        }
    }
}
