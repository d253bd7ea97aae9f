//! The epochs of a run. The newest are kept one by one; older ones are merged with their neighbours. Memory is bounded
//! for any number of epochs. Counts, times and energies of merged epochs are summed.

use crate::clock::MonoNs;
use crate::measurement::channel::DeviceKind;
use crate::units;
use std::collections::VecDeque;

/// Newest epochs that are kept one by one.
const MAX_RECENT: usize = 1024;
/// Entries of older epochs; each entry has up to `stride` epochs.
const MAX_OLDER: usize = 3072;

/// One epoch, or `count` neighbours merged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// Begin of the first.
    pub begin: MonoNs,
    /// End of the last.
    pub end: MonoNs,
    /// Time in epochs, ns. It is less than end - begin if merged epochs had time between them.
    pub inside: u64,
    /// Number of epochs.
    pub count: u64,
    /// Energy by kind, J; None: not measured.
    pub energy: PerKind,
    /// Time in epochs whose energy is known, ns, summed over channels.
    pub known_ns: f64,
    /// The part of its energy that was divided by time, because a reading's interval reaches beyond it, and what lies
    /// beyond it in these intervals, J.
    pub by_time_j: [f64; 2],
    /// Figures from the journal if an earlier attempt measured it; None: this process did.
    pub recorded: Option<RecordedFigures>,
}

/// Figures of an epoch that an earlier attempt recorded in the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RecordedFigures {
    /// Its emissions, g CO2e; None: not known.
    pub co2eq_g: Option<f64>,
    /// Share of the epoch whose energy is known; None: nothing was measured.
    pub coverage: Option<f64>,
}

/// Energy by kind of component, J; None: no component of that kind was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PerKind([Option<f64>; DeviceKind::ALL.len()]);

impl PerKind {
    /// Adds energy of one kind.
    pub fn add(&mut self, kind: DeviceKind, joules: f64) {
        if let Some(slot) = self.0.get_mut(kind as usize) {
            *slot = Some(slot.unwrap_or(0.0) + joules);
        }
    }

    /// The energy of one kind.
    pub fn get(&self, kind: DeviceKind) -> Option<f64> {
        self.0.get(kind as usize).copied().flatten()
    }

    /// The energy of all kinds together; None: nothing was measured.
    pub fn total(&self) -> Option<f64> {
        self.0.iter().flatten().copied().reduce(|a, b| a + b)
    }

    /// This energy less `other`, which is a part of it.
    pub fn beyond(&self, other: &PerKind) -> PerKind {
        let mut rest = *self;
        for (rest, joules) in rest.0.iter_mut().zip(other.0) {
            *rest = rest.map(|rest| (rest - joules.unwrap_or(0.0)).max(0.0));
        }
        rest
    }

    /// Adds the energy of another.
    pub fn merge(&mut self, other: &PerKind) {
        for kind in DeviceKind::ALL {
            if let Some(joules) = other.get(kind) {
                self.add(kind, joules);
            }
        }
    }
}

impl Epoch {
    /// Share of its span in epochs, 0 to 1.
    pub fn inside_share(&self) -> f64 {
        match self.end.ns_since(self.begin) {
            0 => 1.0,
            span => self.inside as f64 / span as f64,
        }
    }

    /// An entry without energy. `inside` is its time in epochs, ns.
    pub fn empty(begin: MonoNs, end: MonoNs, inside: u64, count: u64) -> Epoch {
        Epoch {
            begin,
            end,
            inside,
            count,
            energy: PerKind::default(),
            known_ns: 0.0,
            by_time_j: [0.0; 2],
            recorded: None,
        }
    }

    /// Epochs with no place in time yet: `inside` is their time, ns.
    pub fn unplaced(inside: u64, count: u64) -> Epoch {
        Epoch::empty(MonoNs::ZERO, MonoNs::ZERO, inside, count)
    }

    /// No epoch.
    pub fn none() -> Epoch {
        Epoch::unplaced(0, 0)
    }

    /// Share of its time whose energy is known, as the mean of `channels` channels; None: nothing was measured.
    pub fn coverage(&self, channels: usize) -> Option<f64> {
        let all_ns = channels as f64 * self.inside as f64;
        let known_share = if all_ns > 0.0 { (self.known_ns / all_ns).min(1.0) } else { 1.0 };
        let measured = (channels > 0).then_some(known_share);
        self.recorded.map_or(measured, |recorded| recorded.coverage)
    }

    /// Coverage of this epoch and the next together, from the coverage of each; None: nothing was measured in either.
    pub fn coverage_with(&self, ours: Option<f64>, next: &Epoch, theirs: Option<f64>) -> Option<f64> {
        let parts = [(ours, self.inside), (theirs, next.inside)];
        let known: f64 = parts.iter().map(|(coverage, inside)| coverage.unwrap_or(0.0) * *inside as f64).sum();
        let all = (self.inside + next.inside) as f64;
        let mean = if all > 0.0 { known / all } else { 1.0 };
        ours.or(theirs).map(|_| mean)
    }

    /// Its energy between these bounds is known for any power: without what was divided by time, and with all of the
    /// intervals that reach beyond it, J; None: unknown.
    pub fn energy_bounds(&self) -> Option<[f64; 2]> {
        let joules = self.energy.total().filter(|_| self.recorded.is_none())?;
        let [own_j, beyond_j] = self.by_time_j;
        Some([(joules - own_j).max(0.0), joules + beyond_j])
    }

    /// The part of this entry after `others`, which it contains.
    pub fn after(&self, others: &Epoch) -> Epoch {
        let ([own_j, beyond_j], [others_j, others_beyond_j]) = (self.by_time_j, others.by_time_j);
        Epoch {
            begin: self.begin.max(others.end).min(self.end),
            inside: self.inside.saturating_sub(others.inside),
            count: self.count.saturating_sub(others.count),
            energy: self.energy.beyond(&others.energy),
            known_ns: (self.known_ns - others.known_ns).max(0.0),
            by_time_j: [(own_j - others_j).max(0.0), (beyond_j - others_beyond_j).max(0.0)],
            ..*self
        }
    }

    /// Merges the next entry into this one if both have at most `most` epochs and are of one process. True: it did.
    fn merge(&mut self, next: &Epoch, most: u64) -> bool {
        let fits = self.count + next.count <= most && self.recorded.is_some() == next.recorded.is_some();
        if fits {
            *self = self.joined(next);
        }
        fits
    }

    /// This entry and the next, merged.
    pub fn joined(&self, next: &Epoch) -> Epoch {
        let recorded = self.recorded.zip(next.recorded).map(|(one, other)| RecordedFigures {
            co2eq_g: units::sum([one.co2eq_g, other.co2eq_g]),
            coverage: self.coverage_with(one.coverage, next, other.coverage),
        });
        let (inside, count) = (self.inside + next.inside, self.count + next.count);
        let mut joined = Epoch { end: next.end, inside, count, recorded, ..*self };
        joined.add_energy(next);
        joined
    }

    /// Whether it is of this attempt and ended by this instant. None: no entry did.
    pub fn is_own_until(&self, instant: Option<MonoNs>) -> bool {
        self.recorded.is_none() && Some(self.end) <= instant
    }

    /// Adds the energy of another entry.
    pub fn add_energy(&mut self, other: &Epoch) {
        self.energy.merge(&other.energy);
        self.known_ns += other.known_ns;
        self.by_time_j.iter_mut().zip(other.by_time_j).for_each(|(sum, more)| *sum += more);
    }
}

/// A run's epochs, oldest first.
#[derive(Clone, Debug)]
pub struct EpochStore {
    older: Vec<Epoch>,
    recent: VecDeque<Epoch>,
    stride: u64,
}

impl Default for EpochStore {
    fn default() -> Self {
        EpochStore { older: Vec::new(), recent: VecDeque::new(), stride: 1 }
    }
}

impl EpochStore {
    /// Appends an epoch.
    pub fn push(&mut self, epoch: Epoch) {
        self.recent.push_back(epoch);
        if self.recent.len() <= MAX_RECENT {
            return;
        }
        let Some(aged) = self.recent.pop_front() else { return };
        let stride = self.stride;
        if !self.older.last_mut().is_some_and(|last| last.merge(&aged, stride)) {
            self.older.push(aged);
        }
        if self.older.len() > MAX_OLDER {
            self.halve();
        }
    }

    /// A copy with the same epochs and no energy.
    pub fn emptied(&self) -> EpochStore {
        let mut empty = self.clone();
        for epoch in empty.newest_first_mut() {
            (epoch.energy, epoch.known_ns, epoch.by_time_j) = (PerKind::default(), 0.0, [0.0; 2]);
        }
        empty
    }

    fn halve(&mut self) {
        self.stride *= 2;
        let stride = self.stride;
        self.older.dedup_by(|next, last| last.merge(next, stride));
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.older.len() + self.recent.len()
    }

    /// Whether no epoch has ended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Epoch> + Clone {
        self.older.iter().chain(&self.recent)
    }

    /// The entries of the first `epochs` epochs.
    pub fn first(&self, epochs: u64) -> impl Iterator<Item = &Epoch> + Clone {
        self.iter()
            .scan(0, |count, epoch| {
                *count += epoch.count;
                Some((*count, epoch))
            })
            .take_while(move |(count, _)| *count <= epochs)
            .map(|(_, epoch)| epoch)
    }

    /// The entries, newest first, mutable.
    pub fn newest_first_mut(&mut self) -> impl Iterator<Item = &mut Epoch> {
        self.recent.iter_mut().rev().chain(self.older.iter_mut().rev())
    }

    /// The entry at this index, from the oldest on.
    pub fn get(&self, index: usize) -> Option<&Epoch> {
        match index.checked_sub(self.older.len()) {
            Some(index) => self.recent.get(index),
            None => self.older.get(index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_keeps_four_thousand_exactly_and_a_million_merged() {
        let mut history = EpochStore::default();
        let epoch = |n: u64| {
            let mut energy = PerKind::default();
            energy.add(DeviceKind::Cpu, 2.0);
            Epoch {
                begin: MonoNs(n * 10),
                end: MonoNs(n * 10 + 8),
                inside: 8,
                count: 1,
                energy,
                known_ns: 8.0,
                by_time_j: [0.0; 2],
                recorded: None,
            }
        };
        for n in 0..4096 {
            history.push(epoch(n));
        }
        assert!(history.len() == 4096 && history.iter().all(|e| e.count == 1));
        for n in 4096..1_000_000 {
            history.push(epoch(n));
        }
        assert!(history.len() <= MAX_RECENT + MAX_OLDER + 1, "{}", history.len());
        assert_eq!(history.iter().map(|e| e.count).sum::<u64>(), 1_000_000);
        assert_eq!(history.iter().map(|e| e.inside).sum::<u64>(), 8_000_000);
        assert_eq!(history.iter().filter_map(|e| e.energy.total()).sum::<f64>(), 2_000_000.0);
        assert!(history.iter().rev().take(MAX_RECENT).all(|e| e.count == 1), "the newest stay exact");
        assert!(history.iter().zip(history.iter().skip(1)).all(|(a, b)| a.end <= b.begin));
        assert_eq!(history.get(history.len() - 1), history.iter().next_back());
    }

    #[test]
    fn energy_that_was_not_measured_stays_unknown() {
        let mut energy = PerKind::default();
        assert_eq!(energy.total(), None);
        energy.add(DeviceKind::Gpu, 0.0);
        assert_eq!(
            (energy.total(), energy.get(DeviceKind::Cpu), energy.get(DeviceKind::Gpu)),
            (Some(0.0), None, Some(0.0))
        );
    }
}
