//! The epochs kept: exactly up to a few thousand, then thinned by merging neighbours. Memory is bounded
//! however many epochs a run has; counts, durations and energies of what is merged are summed.

use crate::channel::Kind;
use std::collections::VecDeque;

/// The newest epochs, always one by one.
const RECENT: usize = 1024;
/// Everything older, each entry `stride` epochs.
const OLDER: usize = 3072;

/// One epoch, or `count` neighbours merged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// When the first began, ns on the monotonic clock.
    pub begin: u64,
    /// When the last ended.
    pub end: u64,
    /// Time inside epochs, ns; less than end - begin where merged ones had time between them.
    pub inside: u64,
    /// How many epochs it is.
    pub count: u64,
    /// Energy by kind, J; None: not measured.
    pub energy: PerKind,
    /// Time in epochs whose energy is known, ns, summed over channels.
    pub known_ns: f64,
}

/// Energy by kind of component, J; None where none of that kind was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PerKind([Option<f64>; Kind::ALL.len()]);

impl PerKind {
    /// Adds energy of one kind.
    pub fn add(&mut self, kind: Kind, joules: f64) {
        if let Some(slot) = self.0.get_mut(kind as usize) {
            *slot = Some(slot.unwrap_or(0.0) + joules);
        }
    }

    /// The energy of one kind.
    pub fn get(&self, kind: Kind) -> Option<f64> {
        self.0.get(kind as usize).copied().flatten()
    }

    /// The energy of all kinds together; None where nothing was measured.
    pub fn total(&self) -> Option<f64> {
        self.0.iter().flatten().copied().reduce(|a, b| a + b)
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &PerKind) {
        for kind in Kind::ALL {
            if let Some(joules) = other.get(kind) {
                self.add(kind, joules);
            }
        }
    }
}

impl Epoch {
    /// The share of its span that lies in epochs.
    pub fn inside_share(&self) -> f64 {
        match self.end.saturating_sub(self.begin) {
            0 => 1.0,
            span => self.inside as f64 / span as f64,
        }
    }

    fn merge(&mut self, next: &Epoch) {
        self.end = next.end;
        self.inside += next.inside;
        self.count += next.count;
        self.add_energy(next);
    }

    /// Adds another's energy to this one's.
    pub fn add_energy(&mut self, other: &Epoch) {
        self.energy.merge(&other.energy);
        self.known_ns += other.known_ns;
    }
}

/// A run's epochs, oldest first.
#[derive(Clone, Debug)]
pub struct History {
    older: Vec<Epoch>,
    recent: VecDeque<Epoch>,
    stride: u64,
}

impl Default for History {
    fn default() -> Self {
        History { older: Vec::new(), recent: VecDeque::new(), stride: 1 }
    }
}

impl History {
    /// Appends an epoch.
    pub fn push(&mut self, epoch: Epoch) {
        self.recent.push_back(epoch);
        if self.recent.len() <= RECENT {
            return;
        }
        let Some(aged) = self.recent.pop_front() else { return };
        match self.older.last_mut() {
            Some(last) if last.count + aged.count <= self.stride => last.merge(&aged),
            _ => self.older.push(aged),
        }
        if self.older.len() > OLDER {
            self.halve();
        }
    }

    /// The same epochs without any energy.
    pub fn emptied(&self) -> History {
        let mut empty = self.clone();
        for epoch in empty.newest_first_mut() {
            (epoch.energy, epoch.known_ns) = (PerKind::default(), 0.0);
        }
        empty
    }

    fn halve(&mut self) {
        self.stride *= 2;
        let stride = self.stride;
        self.older.dedup_by(|next, last| {
            let fits = last.count + next.count <= stride;
            if fits {
                last.merge(next);
            }
            fits
        });
    }

    /// How many entries are kept.
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

    /// The entries that make up the first `epochs` epochs.
    pub fn first(&self, epochs: u64) -> impl Iterator<Item = &Epoch> + Clone {
        self.iter()
            .scan(0, |count, epoch| {
                *count += epoch.count;
                Some((*count, epoch))
            })
            .take_while(move |(count, _)| *count <= epochs)
            .map(|(_, epoch)| epoch)
    }

    /// The entries, newest first, to be changed.
    pub fn newest_first_mut(&mut self) -> impl Iterator<Item = &mut Epoch> {
        self.recent.iter_mut().rev().chain(self.older.iter_mut().rev())
    }

    /// One entry by its place.
    pub fn get(&self, place: usize) -> Option<&Epoch> {
        match place.checked_sub(self.older.len()) {
            Some(place) => self.recent.get(place),
            None => self.older.get(place),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_thousand_are_exact_and_ten_million_fit() {
        let mut history = History::default();
        let epoch = |n: u64| {
            let mut energy = PerKind::default();
            energy.add(Kind::Cpu, 2.0);
            Epoch { begin: n * 10, end: n * 10 + 8, inside: 8, count: 1, energy, known_ns: 8.0 }
        };
        for n in 0..4096 {
            history.push(epoch(n));
        }
        assert!(history.len() == 4096 && history.iter().all(|e| e.count == 1));
        for n in 4096..10_000_000 {
            history.push(epoch(n));
        }
        assert!(history.len() <= RECENT + OLDER + 1, "{}", history.len());
        assert_eq!(history.iter().map(|e| e.count).sum::<u64>(), 10_000_000);
        assert_eq!(history.iter().map(|e| e.inside).sum::<u64>(), 80_000_000);
        assert_eq!(history.iter().filter_map(|e| e.energy.total()).sum::<f64>(), 20_000_000.0);
        assert!(history.iter().rev().take(RECENT).all(|e| e.count == 1), "the newest stay exact");
        assert!(history.iter().zip(history.iter().skip(1)).all(|(a, b)| a.end <= b.begin));
        assert_eq!(history.get(history.len() - 1), history.iter().next_back());
    }

    #[test]
    fn unknown_stays_unknown() {
        let mut energy = PerKind::default();
        assert_eq!(energy.total(), None);
        energy.add(Kind::Gpu, 0.0);
        assert_eq!((energy.total(), energy.get(Kind::Cpu), energy.get(Kind::Gpu)), (Some(0.0), None, Some(0.0)));
    }
}
