//! How the first epoch gets on: the share of its work done, and the time and energy that took, at marks of progress.
//! Pure.
//!
//! Where an epoch starts slowly (caches fill, kernels compile, a GPU warms up), its first part says little of the
//! rest. What the last quarter of the work done took tells the pace; the part before it counts as much as it agrees.
//! Once the epoch has ended, that is a warm-up only if the quarter before went at the same pace already. Stalls count in
//! what was used, and are not carried on.

use super::trend::{self, EpochCost};
use crate::clock::MonoNs;

/// The latest part of the work done, whose pace is taken for steady.
const LATEST: f64 = 0.25;
/// It is if the part before it, as large, took as long but for so much: otherwise the epoch has a shape of its own.
const SETTLED: f64 = 0.2;
/// Nor can that be told where less of it than this was marked.
const MARKED: f64 = 0.8;
/// What goes so many times slower than half of the work around it is a stall, and counts as that.
const STALL: f64 = 3.0;
/// The share of the first epoch from which on there is a forecast.
pub const ENOUGH: f64 = 0.05;
/// Marks closer to each other than this share of the time gone are thinned: memory grows with the logarithm of the epoch's length.
const APART: f64 = 1.0 / 64.0;
/// A mark whose energy does not come within this time, ns, is filed without.
const PATIENCE_NS: u64 = 250_000_000;

/// How much of an epoch is done, and what it took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProgressMark {
    /// Share of the epoch's work.
    pub share: f64,
    /// Time, s.
    pub duration_s: f64,
    /// Energy, J; None where it is not known.
    pub energy_j: Option<f64>,
}

/// Marks of progress in the first epoch.
#[derive(Clone, Debug, Default)]
pub struct FirstEpoch {
    /// When the epoch began, ns.
    begin: Option<MonoNs>,
    marks: Vec<ProgressMark>,
    /// A mark whose energy is not known yet.
    pending: Option<ProgressPoint>,
    /// The newest mark after that.
    next: Option<ProgressPoint>,
}

/// A mark of progress: so much was done at this instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProgressPoint {
    /// When it was made.
    pub at: MonoNs,
    /// Share of the epoch's work.
    pub share: f64,
}

/// What the epoch came to so far, and what a whole one takes at a steady pace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WarmUpEstimate {
    /// The share of its work done.
    pub share: f64,
    /// What that took.
    pub used: f64,
    /// What a whole epoch takes.
    pub steady: f64,
    /// How far its beginning and its latest part went at the same pace, 0 to 1.
    pub agreement: f64,
}

impl FirstEpoch {
    /// Which epoch it is about, by when it began: of another it starts anew.
    pub fn follow(&mut self, begin: Option<MonoNs>) {
        if self.begin != begin {
            *self = FirstEpoch { begin, ..FirstEpoch::default() };
        }
    }

    /// Takes a mark. Of marks that come faster than their energies the newest is kept.
    pub fn note(&mut self, point: ProgressPoint) {
        let before = self.pending.map_or(self.share(), |pending| pending.share);
        let is_of_it = self.begin.is_some_and(|begin| point.at + PackedMark::STEP_NS > begin);
        if is_of_it && point.share > before {
            let place = if self.pending.is_none() { &mut self.pending } else { &mut self.next };
            *place = Some(point);
        }
    }

    /// Files the mark once energies are known up to it, or have been waited for too long by `now`; `energy` tells
    /// what was used from the begin to there.
    pub fn settle(&mut self, known_until: MonoNs, now: MonoNs, energy: impl Fn(MonoNs) -> Option<f64>) {
        while let (Some(ProgressPoint { at, share }), Some(begin)) = (self.pending, self.begin) {
            let is_known = at <= known_until;
            if !is_known && now.ns_since(at) < PATIENCE_NS {
                return;
            }
            self.pending = self.next.take();
            let duration_s = at.s_since(begin);
            if let [.., before, _] = self.marks.as_slice()
                && duration_s - before.duration_s < APART * duration_s
            {
                self.marks.pop();
            }
            self.marks.push(ProgressMark { share, duration_s, energy_j: energy(at).filter(|_| is_known) });
        }
    }

    /// How far the epoch was at the newest mark filed.
    pub fn share(&self) -> f64 {
        self.marks.last().map_or(0.0, |last| last.share)
    }

    /// When the mark was made that waits for its energy.
    pub fn awaits(&self) -> Option<MonoNs> {
        self.pending.map(|pending| pending.at)
    }

    /// How the epoch gets on by this quantity, once enough is done to tell.
    pub fn beginning(&self, of: impl Fn(&ProgressMark) -> Option<f64>) -> Option<WarmUpEstimate> {
        WarmUpEstimate::of(&self.known(of))
    }

    /// The same where enough is done to tell a warm-up from steady work, and it came to that.
    pub fn steady(&self, of: impl Fn(&ProgressMark) -> Option<f64>) -> Option<WarmUpEstimate> {
        let marks = self.known(of);
        let beginning = WarmUpEstimate::of(&marks).filter(|beginning| beginning.share >= MARKED)?;
        let at = |share: f64| share * beginning.share;
        let middle = usual(&marks, at(1.0 - 2.0 * LATEST), at(1.0 - LATEST));
        let change = middle.pace() / usual(&marks, at(1.0 - LATEST), 1.0).pace();
        (1.0 / (1.0 + SETTLED)..=1.0 + SETTLED).contains(&change).then_some(beginning)
    }

    /// The marks at which this quantity is known: what was done and taken up to each.
    fn known(&self, of: impl Fn(&ProgressMark) -> Option<f64>) -> Vec<EpochPart> {
        let part =
            |mark: &ProgressMark| Some(EpochPart { share: mark.share, seconds: mark.duration_s, amount: of(mark)? });
        self.marks.iter().filter_map(part).collect()
    }
}

impl WarmUpEstimate {
    fn of(marks: &[EpochPart]) -> Option<WarmUpEstimate> {
        let all = marks.last().copied().filter(|all| all.share >= ENOUGH)?;
        let turn = (1.0 - LATEST) * all.share;
        let (early, latest) = (usual(marks, 0.0, turn), usual(marks, turn, 1.0));
        let agreement = if early.share > 0.0 { trend::agreement(early.pace(), latest.pace()) } else { 1.0 };
        let steady = (agreement * early.amount + latest.amount) / (agreement * early.share + latest.share);
        Some(WarmUpEstimate { share: all.share, used: all.amount, steady, agreement })
    }

    /// What the work done took more than it would have at the steady pace.
    pub fn excess(&self) -> f64 {
        self.used - self.steady * self.share
    }
}

/// A part of the work, and what it took.
#[derive(Clone, Copy, Default)]
struct EpochPart {
    share: f64,
    seconds: f64,
    amount: f64,
}

impl EpochPart {
    /// Seconds that a whole epoch takes like this.
    fn pace(self) -> f64 {
        self.seconds / self.share
    }

    fn since(self, earlier: EpochPart) -> EpochPart {
        EpochPart {
            share: self.share - earlier.share,
            seconds: self.seconds - earlier.seconds,
            amount: self.amount - earlier.amount,
        }
    }
}

/// What the work between two shares took, from mark to mark, without stalls.
fn usual(marks: &[EpochPart], from: f64, to: f64) -> EpochPart {
    let slices = marks.iter().scan(EpochPart::default(), |before, mark| {
        let slice = mark.since(std::mem::replace(before, *mark));
        Some((*mark, slice))
    });
    let slices: Vec<EpochPart> =
        slices.filter(|(mark, _)| from < mark.share && mark.share <= to).map(|(_, slice)| slice).collect();
    let most = |each: fn(&EpochPart) -> f64| {
        let taken: Vec<EpochCost> =
            slices.iter().map(|slice| EpochCost { count: slice.share, each: each(slice) / slice.share }).collect();
        trend::quantile(&taken, 0.5).map_or(f64::INFINITY, |median| STALL * median)
    };
    let (most_seconds, most_amount) = (most(|slice| slice.seconds), most(|slice| slice.amount));
    slices.iter().fold(EpochPart::default(), |sum, slice| EpochPart {
        share: sum.share + slice.share,
        seconds: sum.seconds + slice.seconds.min(most_seconds * slice.share),
        amount: sum.amount + slice.amount.min(most_amount * slice.share),
    })
}

/// A mark of progress in 64 bits, so that the host stores it at once and nobody reads half of it: the share in
/// 2^-20, and the microsecond on the monotonic clock, which goes round every 101 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedMark(pub u64);

impl PackedMark {
    const SHARE_BITS: u32 = 20;
    const TIME_BITS: u32 = 64 - 1 - PackedMark::SHARE_BITS;

    /// Instants are told so exactly, ns.
    const STEP_NS: u64 = 1000;

    /// Nothing was marked.
    pub const NONE: PackedMark = PackedMark(0);

    /// `done` of `total` (greater than 0) at `now`, ns. Whole numbers only: the host's floating-point environment
    /// is not ours.
    pub fn new(done: u64, total: u64, now: MonoNs) -> PackedMark {
        let (done, total) = (u128::from(done.min(total)), u128::from(total));
        let share = ((done << PackedMark::SHARE_BITS) + total / 2) / total;
        PackedMark((now.0 / PackedMark::STEP_NS) << (PackedMark::SHARE_BITS + 1) | share as u64)
    }

    /// The share, rounded to what it tells: 6 digits.
    pub fn share(self) -> f64 {
        let bits = self.0 & ((2 << PackedMark::SHARE_BITS) - 1);
        (bits as f64 / f64::from(1 << PackedMark::SHARE_BITS) * 1e6).round() / 1e6
    }

    /// When it was marked, ns, asked at `now`, ns.
    pub fn at(self, now: MonoNs) -> MonoNs {
        let micros = now.0 / PackedMark::STEP_NS;
        let ago = micros.wrapping_sub(self.0 >> (PackedMark::SHARE_BITS + 1)) & ((1 << PackedMark::TIME_BITS) - 1);
        MonoNs(micros.saturating_sub(ago) * PackedMark::STEP_NS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An epoch of 10 s at 100 W once warm, its first `cold` of the work `slower` times slower, marked 200 times.
    fn marked(cold: f64, slower: f64, until: f64) -> FirstEpoch {
        let mut progress = FirstEpoch::default();
        progress.follow(Some(MonoNs(1_000)));
        for n in 1..=(until * 200.0) as u64 {
            let share = n as f64 / 200.0;
            let seconds = 10.0 * (share.min(cold) * slower + (share - cold).max(0.0));
            let at = MonoNs(1_000) + (seconds * 1e9) as u64;
            progress.note(ProgressPoint { at, share });
            progress.settle(at, at, |_| Some(100.0 * seconds));
        }
        progress
    }

    fn duration(done: &ProgressMark) -> Option<f64> {
        Some(done.duration_s)
    }

    #[test]
    fn a_warm_up_is_told_from_the_steady_pace() {
        for (cold, slower) in [(0.05, 3.0), (0.1, 10.0), (0.2, 5.0), (0.3, 3.0)] {
            let progress = marked(cold, slower, 0.5);
            let steady = progress.beginning(duration).unwrap().steady;
            assert!((steady / 10.0 - 1.0).abs() < 0.03, "{cold} {slower}: {steady}");
            let warm_up = marked(cold, slower, 1.0).steady(|done| done.energy_j).unwrap().excess();
            assert!((warm_up - 1000.0 * cold * (slower - 1.0)).abs() < 0.02 * 1000.0, "{cold} {slower}: {warm_up}");
        }
    }

    /// Its last quarter three times slower, or its first three: not a start that is over.
    #[test]
    fn a_shape_of_its_own_is_no_warm_up() {
        for slower in [3.0, 1.0 / 3.0] {
            let progress = marked(0.75, slower, 1.0);
            assert!(progress.beginning(duration).is_some() && progress.steady(duration).is_none());
        }
    }

    /// Two seconds at three quarters of the work, 200 batches of 50 ms.
    #[test]
    fn a_stall_is_not_carried_on() {
        for until in [0.76, 0.9, 1.0] {
            let mut progress = FirstEpoch::default();
            progress.follow(Some(MonoNs(0)));
            for n in 1..=(until * 200.0) as u64 {
                let seconds = n as f64 * 0.05 + if n > 150 { 2.0 } else { 0.0 };
                progress.note(ProgressPoint { at: MonoNs((seconds * 1e9) as u64), share: n as f64 / 200.0 });
                progress.settle(MonoNs::NEVER, MonoNs::ZERO, |_| None);
            }
            let beginning = progress.beginning(duration).unwrap();
            assert!((beginning.steady / 10.0 - 1.0).abs() < 0.06, "{until}: {beginning:?}");
            assert!(until < 1.0 || (progress.steady(duration).unwrap().excess() - 2.0).abs() < 0.6);
        }
    }

    #[test]
    fn without_one_all_that_is_done_counts() {
        let steady = marked(0.0, 1.0, 0.3).beginning(duration).unwrap().steady;
        assert!((steady - 10.0).abs() < 1e-6, "{steady}");
    }

    #[test]
    fn it_tells_from_a_twentieth_on() {
        let beginning = |until: f64| marked(0.0, 1.0, until).beginning(duration);
        assert!(beginning(0.045).is_none() && beginning(0.05).is_some());
    }

    #[test]
    fn another_epoch_starts_anew_and_marks_only_go_on() {
        let mut progress = marked(0.0, 1.0, 0.5);
        let before = progress.beginning(duration);
        progress.note(ProgressPoint { at: MonoNs(9_000_000_000), share: 0.4 });
        progress.settle(MonoNs::NEVER, MonoNs::ZERO, |_| None);
        assert_eq!(progress.beginning(duration), before);
        progress.follow(Some(MonoNs(20_000_000_000)));
        progress.note(ProgressPoint { at: MonoNs(20_500_000_000), share: 0.1 });
        progress.settle(MonoNs::NEVER, MonoNs::ZERO, |_| None);
        assert_eq!(
            progress.beginning(duration),
            Some(WarmUpEstimate { share: 0.1, used: 0.5, steady: 5.0, agreement: 1.0 })
        );
        assert_eq!(progress.beginning(|done| done.energy_j), None);
    }

    #[test]
    fn a_mark_waits_for_its_energy_and_the_newest_for_it() {
        let mut progress = FirstEpoch::default();
        progress.follow(Some(MonoNs(0)));
        for (at, share) in [(5_000, 0.1), (6_000, 0.2), (7_000, 0.3)] {
            progress.note(ProgressPoint { at: MonoNs(at), share });
        }
        let settle = |progress: &mut FirstEpoch, known_until| {
            progress.settle(MonoNs(known_until), MonoNs::ZERO, |at| Some(at.0 as f64));
        };
        settle(&mut progress, 4_999);
        assert!(progress.marks.is_empty() && progress.awaits() == Some(MonoNs(5_000)));
        settle(&mut progress, 5_000);
        assert!(progress.share() == 0.1 && progress.awaits() == Some(MonoNs(7_000)));
        settle(&mut progress, 8_000);
        assert!(progress.awaits().is_none() && progress.marks[1].energy_j == Some(7_000.0));
    }

    #[test]
    fn energy_that_does_not_come_is_not_waited_for_for_ever() {
        let mut progress = FirstEpoch::default();
        progress.follow(Some(MonoNs(0)));
        progress.note(ProgressPoint { at: MonoNs(1_000), share: 0.1 });
        progress.settle(MonoNs::ZERO, MonoNs(1_000 + PATIENCE_NS), |_| Some(1.0));
        assert!(progress.share() == 0.1 && progress.beginning(|done| done.energy_j).is_none());
    }

    #[test]
    fn marks_are_thinned() {
        let mut progress = FirstEpoch::default();
        progress.follow(Some(MonoNs(0)));
        for n in 1..1_000_000 {
            progress.note(ProgressPoint { at: MonoNs(n * 1_000_000), share: n as f64 / 1e6 });
            progress.settle(MonoNs::NEVER, MonoNs::ZERO, |_| Some(n as f64));
        }
        assert!(progress.marks.len() < 1500, "{}", progress.marks.len());
        assert_eq!(progress.marks.last().unwrap().share, 0.999999);
    }

    proptest! {
        #[test]
        fn packing_keeps_share_and_instant(done in 0u64.., total in 1u64.., now in 1_000_000u64..1 << 62, later in 0u64..1 << 52) {
            let packed = PackedMark::new(done, total, MonoNs(now));
            let share = done.min(total) as f64 / total as f64;
            prop_assert!((packed.share() - share).abs() < 1e-6);
            prop_assert_eq!(packed.at(MonoNs(now + later)), MonoNs(now / 1000 * 1000));
        }
    }
}
