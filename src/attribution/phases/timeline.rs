//! Which phases filled which time: slices, each with the time of every phase in it.
//!
//! A slice is short, or lies within one phase. So it does not matter where in it a phase was.

use crate::clock::MonoNs;
use crate::measurement::meter::EnergyInterval;
use std::collections::VecDeque;

/// Most slices that are kept. If more wait for readings, neighbours are merged.
const MAX_SLICES: usize = 1 << 12;

/// A piece of time and the time of each phase in it, ns. The times add up to its length.
#[derive(Clone, Debug, PartialEq)]
struct Slice {
    from: MonoNs,
    to: MonoNs,
    parts: Vec<(usize, u64)>,
}

/// The slices whose energy is not known yet, oldest first, without gaps.
#[derive(Clone, Debug, Default)]
pub struct PhaseTimeline {
    slices: VecDeque<Slice>,
}

impl PhaseTimeline {
    /// Appends a slice that lasts until `to`. `from` is its start if it is the first one.
    pub fn push(&mut self, from: MonoNs, to: MonoNs, parts: Vec<(usize, u64)>) {
        let from = self.slices.back().map_or(from, |last| last.to);
        self.slices.push_back(Slice { from, to, parts });
        if self.slices.len() > MAX_SLICES {
            self.halve();
        }
    }

    /// The instant up to which the phases are known; None: no slice is.
    pub fn until(&self) -> Option<MonoNs> {
        self.slices.back().map(|last| last.to)
    }

    /// The seconds of each phase in an interval, by number. The part of it before the first slice belongs to none.
    pub fn mix(&self, interval: EnergyInterval) -> Vec<(usize, f64)> {
        let first = self.slices.partition_point(|slice| slice.to <= interval.from);
        let mut mix: Vec<(usize, f64)> = Vec::new();
        for slice in self.slices.range(first..).take_while(|slice| slice.from < interval.to) {
            let shared = slice.to.min(interval.to).ns_since(slice.from.max(interval.from));
            let share = shared as f64 / slice.to.ns_since(slice.from).max(1) as f64;
            for &(phase, ns) in slice.parts.iter().filter(|(_, ns)| *ns > 0) {
                let seconds = ns as f64 * share * 1e-9;
                match mix.iter_mut().find(|(known, _)| *known == phase) {
                    Some((_, sum)) => *sum += seconds,
                    None => mix.push((phase, seconds)),
                }
            }
        }
        mix
    }

    /// Drops the slices that end by this instant, but for the last one.
    pub fn forget_until(&mut self, instant: MonoNs) {
        while self.slices.len() > 1 && self.slices.front().is_some_and(|slice| slice.to <= instant) {
            self.slices.pop_front();
        }
    }

    /// Merges each slice of the older half with its neighbour.
    fn halve(&mut self) {
        let newer = self.slices.split_off(self.slices.len() / 2);
        let mut older = std::mem::replace(&mut self.slices, VecDeque::with_capacity(newer.len())).into_iter();
        while let Some(mut one) = older.next() {
            if let Some(next) = older.next() {
                one.to = next.to;
                for (phase, ns) in next.parts {
                    match one.parts.iter_mut().find(|(known, _)| *known == phase) {
                        Some((_, sum)) => *sum += ns,
                        None => one.parts.push((phase, ns)),
                    }
                }
            }
            self.slices.push_back(one);
        }
        self.slices.extend(newer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(from: u64, to: u64) -> EnergyInterval {
        EnergyInterval { from: MonoNs(from), to: MonoNs(to), joules: 1.0, measured: true }
    }

    #[test]
    fn interval_has_its_share_of_each_slice() {
        let mut timeline = PhaseTimeline::default();
        timeline.push(MonoNs(1_000), MonoNs(2_000), vec![(1, 250), (2, 750)]);
        timeline.push(MonoNs(2_000), MonoNs(6_000), vec![(1, 4_000)]);
        assert_eq!(timeline.until(), Some(MonoNs(6_000)));
        let mix = timeline.mix(interval(1_500, 3_000));
        let ns: Vec<(usize, u64)> = mix.iter().map(|(phase, s)| (*phase, (s * 1e9).round() as u64)).collect();
        assert_eq!(ns, [(1, 125 + 1_000), (2, 375)]);
        timeline.forget_until(MonoNs(2_000));
        assert_eq!(timeline.mix(interval(0, 2_000)), []);
    }

    #[test]
    fn many_slices_are_merged_and_no_time_is_lost() {
        let mut timeline = PhaseTimeline::default();
        let (mut now, step) = (MonoNs(0), 1_000_000);
        for n in 0..100_000_usize {
            timeline.push(now, now + step, vec![(n % 3, step)]);
            now = now + step;
        }
        assert!(timeline.slices.len() <= MAX_SLICES);
        let mix = timeline.mix(interval(0, now.0));
        assert!((mix.iter().map(|(_, seconds)| seconds).sum::<f64>() - 100.0).abs() < 1e-6);
        assert!(mix.iter().all(|(_, seconds)| (seconds - 100.0 / 3.0).abs() < 0.01), "{mix:?}");
    }
}
