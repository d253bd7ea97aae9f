//! Progress of the first epoch: the share of its work, with the time and energy up to each mark of progress. Pure.
//!
//! An epoch may start slowly: caches fill, kernels compile, a GPU warms up. So the last quarter of the work done gives
//! the rate, and the weight of the earlier part depends on its agreement with that quarter. After the end of the epoch,
//! the start was a warm-up only if the quarter before had the same rate. Stalls count as used and are not projected.

use super::alone::{self, Skew};
use super::trend::{self, EpochCost};
use crate::clock::MonoNs;

/// Latest share of the work done, whose rate counts as steady.
const LATEST_SHARE: f64 = 0.25;
/// Largest change of rate between the last two such shares, for the rate to be steady.
const MAX_RATE_CHANGE: f64 = 0.2;
/// Least share of the epoch that has to be marked to find a warm-up.
const MIN_MARKED_SHARE: f64 = 0.8;
/// The rate changed if the beginning and the latest part agree less than this: they differ by 9 %.
const MAX_AGREEMENT: f64 = 0.1;
/// A part that is slower than the median by more than this factor has a stall, and counts with this factor.
const STALL_FACTOR: f64 = 3.0;
/// Least share of the first epoch for a forecast.
pub const MIN_FORECAST_SHARE: f64 = 0.05;
/// Least gap between stored marks, as a share of the epoch's time so far. Memory grows with the logarithm of that time.
const MIN_MARK_GAP_SHARE: f64 = 1.0 / 64.0;
/// A mark is stored without energy if the energy does not arrive within this time, ns.
const MARK_ENERGY_WAIT_NS: u64 = 250_000_000;

/// A stored mark of progress.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProgressMark {
    /// Share of the epoch's work, 0 to 1.
    pub share: f64,
    /// Time since the epoch's begin, s.
    pub duration_s: f64,
    /// Energy since the epoch's begin, J; None: it is unknown.
    pub energy_j: Option<f64>,
}

/// Marks of progress in the first epoch.
#[derive(Clone, Debug, Default)]
pub struct FirstEpoch {
    /// Begin of the epoch.
    begin: Option<MonoNs>,
    marks: Vec<ProgressMark>,
    /// A mark that waits for its energy.
    pending: Option<ProgressPoint>,
    /// The newest mark after `pending`.
    next: Option<ProgressPoint>,
}

/// A mark of progress as the application sets it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProgressPoint {
    /// Its instant.
    pub at: MonoNs,
    /// Share of the epoch's work.
    pub share: f64,
}

/// The first epoch so far, and the cost of a whole epoch at the steady rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WarmUpEstimate {
    /// Share of its work that is done.
    pub share: f64,
    /// Cost of that share.
    pub used: f64,
    /// Cost of a whole epoch.
    pub steady: f64,
    /// Agreement of the rates of its beginning and its latest part, 0 to 1.
    pub agreement: f64,
}

impl FirstEpoch {
    /// Sets the epoch by its begin. Another epoch clears all marks.
    pub fn follow(&mut self, begin: Option<MonoNs>) {
        if self.begin != begin {
            *self = FirstEpoch { begin, ..FirstEpoch::default() };
        }
    }

    /// Takes a mark. If marks come faster than their energies, the newest one is kept.
    pub fn note(&mut self, point: ProgressPoint) {
        let previous_share = self.pending.map_or(self.share(), |pending| pending.share);
        let is_of_it = self.begin.is_some_and(|begin| point.at + PackedMark::STEP_NS > begin);
        if is_of_it && point.share > previous_share {
            let slot = if self.pending.is_none() { &mut self.pending } else { &mut self.next };
            *slot = Some(point);
        }
    }

    /// Stores the mark once energies are known up to it, or once it has waited too long. `energy` returns the energy
    /// from the begin to an instant.
    pub fn settle(&mut self, known_until: MonoNs, now: MonoNs, energy: impl Fn(MonoNs) -> Option<f64>) {
        while let (Some(ProgressPoint { at, share }), Some(begin)) = (self.pending, self.begin) {
            let is_known = at <= known_until;
            if !is_known && now.ns_since(at) < MARK_ENERGY_WAIT_NS {
                return;
            }
            self.pending = self.next.take();
            let duration_s = at.s_since(begin);
            if let [.., previous, _] = self.marks.as_slice() {
                if duration_s - previous.duration_s < MIN_MARK_GAP_SHARE * duration_s {
                    self.marks.pop();
                }
            }
            self.marks.push(ProgressMark { share, duration_s, energy_j: energy(at).filter(|_| is_known) });
        }
    }

    /// Share of the work at the newest stored mark.
    pub fn share(&self) -> f64 {
        self.marks.last().map_or(0.0, |last| last.share)
    }

    /// Instant of the mark that waits for its energy; None: no mark waits.
    pub fn awaits(&self) -> Option<MonoNs> {
        self.pending.map(|pending| pending.at)
    }

    /// The epoch so far by this quantity; None: too little of it is done.
    pub fn beginning(&self, of: impl Fn(&ProgressMark) -> Option<f64>) -> Option<WarmUpEstimate> {
        WarmUpEstimate::of(&self.known(of))
    }

    /// The epoch so far by this quantity, if it reached a steady rate after a warm-up; None: it did not, or too little
    /// is marked.
    pub fn steady(&self, of: impl Fn(&ProgressMark) -> Option<f64>) -> Option<WarmUpEstimate> {
        let marks = self.known(of);
        let beginning = WarmUpEstimate::of(&marks).filter(|beginning| beginning.share >= MIN_MARKED_SHARE)?;
        let at = |share: f64| share * beginning.share;
        let middle = usual(&marks, at(1.0 - 2.0 * LATEST_SHARE), at(1.0 - LATEST_SHARE));
        let change = middle.epoch_s() / usual(&marks, at(1.0 - LATEST_SHARE), 1.0).epoch_s();
        (1.0 / (1.0 + MAX_RATE_CHANGE)..=1.0 + MAX_RATE_CHANGE).contains(&change).then_some(beginning)
    }

    /// The scales of the rest while the epoch is open, after this share of it. `agreement` is that of its rates.
    pub fn inside(&self, share: f64, agreement: f64, left: f64) -> Skew {
        let seconds = self.marks.last().map(|last| last.duration_s);
        let (start, warm) = (alone::after_part(share, seconds), alone::warm(left));
        // If all parts had one rate, that may be the rate of the warm-up.
        let unsure = agreement + (1.0 - agreement) * (1.0 - share).powi(2);
        let blend = |start: f64, warm: f64| unsure * start + (1.0 - unsure) * warm;
        Skew { down: blend(start.down, warm.down), up: blend(start.up, warm.up) }
    }

    /// The marks at which this quantity is known.
    fn known(&self, of: impl Fn(&ProgressMark) -> Option<f64>) -> Vec<EpochPart> {
        let part =
            |mark: &ProgressMark| Some(EpochPart { share: mark.share, seconds: mark.duration_s, amount: of(mark)? });
        self.marks.iter().filter_map(part).collect()
    }
}

impl WarmUpEstimate {
    /// Whether the rate changed inside the epoch. An evenly slow epoch may still be all warm-up.
    pub fn changed(&self) -> bool {
        self.agreement < MAX_AGREEMENT
    }

    fn of(marks: &[EpochPart]) -> Option<WarmUpEstimate> {
        let all = marks.last().copied().filter(|all| all.share >= MIN_FORECAST_SHARE)?;
        let turn = (1.0 - LATEST_SHARE) * all.share;
        let (early, latest) = (usual(marks, 0.0, turn), usual(marks, turn, 1.0));
        let agreement = if early.share > 0.0 { trend::agreement(early.epoch_s(), latest.epoch_s()) } else { 1.0 };
        let steady = (agreement * early.amount + latest.amount) / (agreement * early.share + latest.share);
        Some(WarmUpEstimate { share: all.share, used: all.amount, steady, agreement })
    }

    /// The cost of the work done above its cost at the steady rate.
    pub fn excess(&self) -> f64 {
        self.used - self.steady * self.share
    }
}

/// A part of the work and its cost.
#[derive(Clone, Copy, Default)]
struct EpochPart {
    share: f64,
    seconds: f64,
    amount: f64,
}

impl EpochPart {
    /// Time of a whole epoch at this rate, s.
    fn epoch_s(self) -> f64 {
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

/// The cost of the work between two shares, without stalls.
fn usual(marks: &[EpochPart], from: f64, to: f64) -> EpochPart {
    let slices = marks.iter().scan(EpochPart::default(), |previous, mark| {
        let slice = mark.since(std::mem::replace(previous, *mark));
        Some((*mark, slice))
    });
    let slices: Vec<EpochPart> =
        slices.filter(|(mark, _)| from < mark.share && mark.share <= to).map(|(_, slice)| slice).collect();
    let most = |each: fn(&EpochPart) -> f64| {
        let taken: Vec<EpochCost> =
            slices.iter().map(|slice| EpochCost { count: slice.share, each: each(slice) / slice.share }).collect();
        trend::quantile(&taken, 0.5).map_or(f64::INFINITY, |median| STALL_FACTOR * median)
    };
    let (most_seconds, most_amount) = (most(|slice| slice.seconds), most(|slice| slice.amount));
    slices.iter().fold(EpochPart::default(), |sum, slice| EpochPart {
        share: sum.share + slice.share,
        seconds: sum.seconds + slice.seconds.min(most_seconds * slice.share),
        amount: sum.amount + slice.amount.min(most_amount * slice.share),
    })
}

/// A mark of progress in 64 bits, which the application stores in one write. It has the share in units of 2^-20, and
/// the microsecond on the monotonic clock, which wraps after 101 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedMark(pub u64);

impl PackedMark {
    const SHARE_BITS: u32 = 20;
    const TIME_BITS: u32 = 64 - 1 - PackedMark::SHARE_BITS;

    /// Resolution of the instant, ns.
    const STEP_NS: u64 = 1000;

    /// No mark.
    pub const NONE: PackedMark = PackedMark(0);

    /// `done` of `total` (greater than 0) at `now`. It uses whole numbers only, because the application may have
    /// changed the floating-point environment.
    pub fn new(done: u64, total: u64, now: MonoNs) -> PackedMark {
        let (done, total) = (u128::from(done.min(total)), u128::from(total));
        let share = ((done << PackedMark::SHARE_BITS) + total / 2) / total;
        PackedMark((now.0 / PackedMark::STEP_NS) << (PackedMark::SHARE_BITS + 1) | share as u64)
    }

    /// The share, rounded to its 6 significant digits.
    pub fn share(self) -> f64 {
        let bits = self.0 & ((2 << PackedMark::SHARE_BITS) - 1);
        (bits as f64 / f64::from(1 << PackedMark::SHARE_BITS) * 1e6).round() / 1e6
    }

    /// The instant of the mark; `now` has to be less than 101 days later.
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
        let mut first_epoch = FirstEpoch::default();
        first_epoch.follow(Some(MonoNs(1_000)));
        for n in 1..=(until * 200.0) as u64 {
            let share = n as f64 / 200.0;
            let seconds = 10.0 * (share.min(cold) * slower + (share - cold).max(0.0));
            let at = MonoNs(1_000) + (seconds * 1e9) as u64;
            first_epoch.note(ProgressPoint { at, share });
            first_epoch.settle(at, at, |_| Some(100.0 * seconds));
        }
        first_epoch
    }

    fn duration(done: &ProgressMark) -> Option<f64> {
        Some(done.duration_s)
    }

    #[test]
    fn a_warm_up_is_separated_from_steady_work() {
        for (cold, slower) in [(0.05, 3.0), (0.1, 10.0), (0.2, 5.0), (0.3, 3.0)] {
            let first_epoch = marked(cold, slower, 0.5);
            let steady = first_epoch.beginning(duration).unwrap().steady;
            assert!((steady / 10.0 - 1.0).abs() < 0.03, "{cold} {slower}: {steady}");
            let warm_up = marked(cold, slower, 1.0).steady(|done| done.energy_j).unwrap().excess();
            assert!((warm_up - 1000.0 * cold * (slower - 1.0)).abs() < 0.02 * 1000.0, "{cold} {slower}: {warm_up}");
        }
    }

    /// The last quarter is three times slower, or the first three are.
    #[test]
    fn a_change_of_rate_near_the_end_is_no_warm_up() {
        for slower in [3.0, 1.0 / 3.0] {
            let first_epoch = marked(0.75, slower, 1.0);
            assert!(first_epoch.beginning(duration).is_some() && first_epoch.steady(duration).is_none());
        }
    }

    /// Two seconds at three quarters of the work, 200 batches of 50 ms.
    #[test]
    fn a_stall_is_not_projected() {
        for until in [0.76, 0.9, 1.0] {
            let mut first_epoch = FirstEpoch::default();
            first_epoch.follow(Some(MonoNs(0)));
            for n in 1..=(until * 200.0) as u64 {
                let seconds = n as f64 * 0.05 + if n > 150 { 2.0 } else { 0.0 };
                first_epoch.note(ProgressPoint { at: MonoNs((seconds * 1e9) as u64), share: n as f64 / 200.0 });
                first_epoch.settle(MonoNs::NEVER, MonoNs::ZERO, |_| None);
            }
            let beginning = first_epoch.beginning(duration).unwrap();
            assert!((beginning.steady / 10.0 - 1.0).abs() < 0.06, "{until}: {beginning:?}");
            assert!(until < 1.0 || (first_epoch.steady(duration).unwrap().excess() - 2.0).abs() < 0.6);
        }
    }

    #[test]
    fn all_work_counts_if_there_is_no_warm_up() {
        let steady = marked(0.0, 1.0, 0.3).beginning(duration).unwrap().steady;
        assert!((steady - 10.0).abs() < 1e-6, "{steady}");
    }

    #[test]
    fn a_forecast_exists_from_a_twentieth_on() {
        let beginning = |until: f64| marked(0.0, 1.0, until).beginning(duration);
        assert!(beginning(0.045).is_none() && beginning(0.05).is_some());
    }

    #[test]
    fn another_epoch_clears_the_marks_and_shares_only_grow() {
        let mut first_epoch = marked(0.0, 1.0, 0.5);
        let before = first_epoch.beginning(duration);
        first_epoch.note(ProgressPoint { at: MonoNs(9_000_000_000), share: 0.4 });
        first_epoch.settle(MonoNs::NEVER, MonoNs::ZERO, |_| None);
        assert_eq!(first_epoch.beginning(duration), before);
        first_epoch.follow(Some(MonoNs(20_000_000_000)));
        first_epoch.note(ProgressPoint { at: MonoNs(20_500_000_000), share: 0.1 });
        first_epoch.settle(MonoNs::NEVER, MonoNs::ZERO, |_| None);
        assert_eq!(
            first_epoch.beginning(duration),
            Some(WarmUpEstimate { share: 0.1, used: 0.5, steady: 5.0, agreement: 1.0 })
        );
        assert_eq!(first_epoch.beginning(|done| done.energy_j), None);
    }

    #[test]
    fn a_mark_waits_for_its_energy_and_the_newest_follows() {
        let mut first_epoch = FirstEpoch::default();
        first_epoch.follow(Some(MonoNs(0)));
        for (at, share) in [(5_000, 0.1), (6_000, 0.2), (7_000, 0.3)] {
            first_epoch.note(ProgressPoint { at: MonoNs(at), share });
        }
        let settle = |first_epoch: &mut FirstEpoch, known_until| {
            first_epoch.settle(MonoNs(known_until), MonoNs::ZERO, |at| Some(at.0 as f64));
        };
        settle(&mut first_epoch, 4_999);
        assert!(first_epoch.marks.is_empty() && first_epoch.awaits() == Some(MonoNs(5_000)));
        settle(&mut first_epoch, 5_000);
        assert!(first_epoch.share() == 0.1 && first_epoch.awaits() == Some(MonoNs(7_000)));
        settle(&mut first_epoch, 8_000);
        assert!(first_epoch.awaits().is_none() && first_epoch.marks[1].energy_j == Some(7_000.0));
    }

    #[test]
    fn a_mark_is_stored_without_energy_after_a_while() {
        let mut first_epoch = FirstEpoch::default();
        first_epoch.follow(Some(MonoNs(0)));
        first_epoch.note(ProgressPoint { at: MonoNs(1_000), share: 0.1 });
        first_epoch.settle(MonoNs::ZERO, MonoNs(1_000 + MARK_ENERGY_WAIT_NS), |_| Some(1.0));
        assert!(first_epoch.share() == 0.1 && first_epoch.beginning(|done| done.energy_j).is_none());
    }

    #[test]
    fn marks_are_thinned() {
        let mut first_epoch = FirstEpoch::default();
        first_epoch.follow(Some(MonoNs(0)));
        for n in 1..1_000_000 {
            first_epoch.note(ProgressPoint { at: MonoNs(n * 1_000_000), share: n as f64 / 1e6 });
            first_epoch.settle(MonoNs::NEVER, MonoNs::ZERO, |_| Some(n as f64));
        }
        assert!(first_epoch.marks.len() < 1500, "{}", first_epoch.marks.len());
        assert_eq!(first_epoch.marks.last().unwrap().share, 0.999999);
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
