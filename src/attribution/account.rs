//! One channel's energy by where in the run it was used.

use super::epochs::Epoch;
use crate::clock::MonoNs;
use crate::measurement::channel::DeviceKind;
use crate::measurement::meter::EnergyInterval;
use std::collections::VecDeque;

/// What one channel used in some part of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Energy {
    /// Energy, J; None: nothing was credited.
    pub joules: Option<f64>,
    /// Time that this energy spans, ns.
    pub credited_ns: f64,
    /// Time of it that readings vouch for, ns.
    pub measured_ns: f64,
}

impl From<EnergyInterval> for Energy {
    fn from(credit: EnergyInterval) -> Energy {
        let ns = credit.to.ns_since(credit.from) as f64;
        Energy { joules: Some(credit.joules), credited_ns: ns, measured_ns: if credit.measured { ns } else { 0.0 } }
    }
}

impl Energy {
    fn scaled(self, by: f64) -> Energy {
        Energy {
            joules: self.joules.map(|joules| joules * by),
            credited_ns: self.credited_ns * by,
            measured_ns: self.measured_ns * by,
        }
    }

    /// Adds another part.
    pub fn add(&mut self, other: Energy) {
        if let Some(joules) = other.joules {
            self.joules = Some(self.joules.unwrap_or(0.0) + joules);
        }
        self.credited_ns += other.credited_ns;
        self.measured_ns += other.measured_ns;
    }
}

/// What was used in epochs and between them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Energies {
    /// In ended epochs.
    pub epochs: Energy,
    /// Between them.
    pub between: Energy,
}

impl Energies {
    /// Both together.
    pub fn sum(self) -> Energy {
        let mut sum = self.epochs;
        sum.add(self.between);
        sum
    }
}

/// One channel's energy by where in the run it was used.
#[derive(Clone, Debug)]
pub struct ChannelAccount {
    /// What kind of component uses it.
    pub kind: DeviceKind,
    /// Up to here its energy is known; None: nothing was credited.
    pub credited_until: Option<MonoNs>,
    /// A credit whose place in time the next reading will tell.
    pub held: Option<EnergyInterval>,
    /// In ended epochs.
    pub epochs: Energy,
    /// Between them.
    pub between: Energy,
    /// After the last end and outside the open epoch: part of the run once another epoch ends.
    pub after: Energy,
    /// Another channel stands in for it: of the two one has an epoch's energy.
    pub is_replaced: bool,
    /// The newest credits, after the last mark: a mark may yet come that divides them.
    recent: VecDeque<EnergyInterval>,
}

impl ChannelAccount {
    /// An account with nothing in it.
    pub fn new(kind: DeviceKind) -> ChannelAccount {
        let nothing = Energy::default();
        ChannelAccount {
            kind,
            credited_until: None,
            held: None,
            epochs: nothing,
            between: nothing,
            after: nothing,
            is_replaced: false,
            recent: VecDeque::new(),
        }
    }

    /// Keeps a credit that a mark may yet divide. Of many the oldest become one: a mark so late divides it
    /// evenly in time.
    pub fn remember(&mut self, credit: EnergyInterval) {
        const MOST: usize = 16;
        // What is filled in later stands before what was read since.
        let place = self.recent.partition_point(|recent| recent.from <= credit.from);
        self.recent.insert(place, credit);
        if self.recent.len() <= MOST {
            return;
        }
        let mut pairs = self.recent.iter().zip(self.recent.iter().skip(1));
        let alike = pairs.position(|(a, b)| a.measured == b.measured).unwrap_or(0);
        if let Some((older, newer)) = self.recent.remove(alike).zip(self.recent.get_mut(alike)) {
            *newer = older.joined(*newer);
        }
    }

    /// Adds what was used in an epoch entry, of whose time `inside` is epochs and the rest between them.
    pub fn add_epoch(&mut self, used: Energy, inside: f64, epoch: &mut Epoch) {
        self.epochs.add(used.scaled(inside));
        if inside < 1.0 {
            self.between.add(used.scaled(1.0 - inside));
        }
        if let Some(joules) = used.joules {
            epoch.energy.add(self.kind, joules * inside);
            epoch.known_ns += used.credited_ns * inside;
        }
    }

    /// Adds another account of the same channel, whose time is later.
    pub fn take_over(&mut self, later: &ChannelAccount) {
        self.credited_until = self.credited_until.max(later.credited_until);
        self.held = later.held;
        self.epochs.add(later.epochs);
        self.between.add(later.between);
        self.after.add(later.after);
        self.recent.extend(&later.recent);
    }

    /// Takes what was used after the last epoch and before what is recent, as one credit of that time, ns.
    pub fn take_after(&mut self, from: MonoNs, to: MonoNs) -> Option<EnergyInterval> {
        let after = std::mem::take(&mut self.after);
        let joules = after.joules.filter(|_| to > from)?;
        Some(EnergyInterval { from, to, joules, measured: after.measured_ns >= after.credited_ns })
    }

    /// What lies after the last mark, and is placed.
    pub fn recent(&self) -> impl Iterator<Item = EnergyInterval> {
        self.recent.iter().copied()
    }

    /// Takes out what lies after the last mark.
    pub fn take_recent(&mut self) -> impl Iterator<Item = EnergyInterval> {
        let held = self.held.take();
        std::mem::take(&mut self.recent).into_iter().chain(held)
    }

    /// What the recent credits say was used before this instant, J; None: nothing was credited.
    pub fn recent_j(&self, at: MonoNs) -> Option<f64> {
        let before = self.recent.iter().filter_map(|credit| credit.split(at).0);
        before.map(|credit| credit.joules).reduce(|a, b| a + b)
    }

    /// Takes out of the recent credits what lies before this instant.
    pub fn take_until(&mut self, at: MonoNs) -> Energy {
        let mut energy = Energy::default();
        while let Some(credit) = self.recent.pop_front() {
            let (before, rest) = credit.split(at);
            energy.add(before.map(Energy::from).unwrap_or_default());
            if let Some(rest) = rest {
                self.recent.push_front(rest);
                break;
            }
        }
        energy
    }
}
