//! One channel's energy, divided into epochs, the time between them, and the time after the last one.

use super::epochs::Epoch;
use crate::clock::MonoNs;
use crate::measurement::channel::DeviceKind;
use crate::measurement::meter::{EnergyInterval, join_most_alike};
use std::collections::VecDeque;

/// The energy of one channel in one part of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Energy {
    /// Energy, J; None: nothing was credited.
    pub joules: Option<f64>,
    /// Time that the energy covers, ns.
    pub credited_ns: f64,
    /// The part of that time that readings confirm, ns.
    pub measured_ns: f64,
    /// The part of the energy that was divided by time, because its interval reaches beyond a mark, and what the other
    /// parts of the run have of these intervals, J.
    pub by_time_j: [f64; 2],
}

impl From<EnergyInterval> for Energy {
    fn from(interval: EnergyInterval) -> Energy {
        let ns = interval.to.ns_since(interval.from) as f64;
        let measured_ns = if interval.measured { ns } else { 0.0 };
        Energy { joules: Some(interval.joules), credited_ns: ns, measured_ns, by_time_j: [0.0; 2] }
    }
}

impl Energy {
    fn scaled(self, by: f64) -> Energy {
        Energy {
            joules: self.joules.map(|joules| joules * by),
            credited_ns: self.credited_ns * by,
            measured_ns: self.measured_ns * by,
            by_time_j: self.by_time_j.map(|joules| joules * by),
        }
    }

    /// This energy as a part of intervals that have `beside` J on the other sides of marks.
    pub fn beside(self, beside: f64) -> Energy {
        let by_time_j = if beside > 0.0 { [self.joules.unwrap_or(0.0), beside] } else { [0.0; 2] };
        Energy { by_time_j, ..self }
    }

    /// Adds the energy of another part.
    pub fn add(&mut self, other: Energy) {
        if let Some(joules) = other.joules {
            self.joules = Some(self.joules.unwrap_or(0.0) + joules);
        }
        self.credited_ns += other.credited_ns;
        self.measured_ns += other.measured_ns;
        self.by_time_j.iter_mut().zip(other.by_time_j).for_each(|(sum, more)| *sum += more);
    }
}

/// Energy in epochs and between them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EnergySplit {
    /// In ended epochs.
    pub epochs: Energy,
    /// Between ended epochs.
    pub between: Energy,
}

impl EnergySplit {
    /// The sum of both.
    pub fn sum(self) -> Energy {
        let mut sum = self.epochs;
        sum.add(self.between);
        sum
    }
}

/// An interval that reaches beyond a mark by less than this was read at the mark, ns: a counter's step is about a
/// millisecond. A reading that comes later is late.
pub const AT_MARK_NS: u64 = 500_000;

/// The energy of the part of an interval on one side of a mark, J; 0 if the interval was read at the mark.
fn reaching_j(part: Option<EnergyInterval>) -> f64 {
    part.filter(|part| part.to.ns_since(part.from) > AT_MARK_NS).map_or(0.0, |part| part.joules)
}

/// The account of one channel.
#[derive(Clone, Debug)]
pub struct ChannelAccount {
    /// The kind of the component.
    pub kind: DeviceKind,
    /// Its energy is known up to here; None: nothing was credited.
    pub credited_until: Option<MonoNs>,
    /// An interval that spans a mark and waits: the next reading shows how to divide it.
    pub held: Option<EnergyInterval>,
    /// In ended epochs.
    pub epochs: Energy,
    /// The part of it from earlier attempts.
    pub carried: Energy,
    /// Between ended epochs.
    pub between: Energy,
    /// After the last end and outside the open epoch. It joins the run when another epoch ends.
    pub after: Energy,
    /// Whether another channel counts in its place. Only one of the two has an epoch's energy.
    pub is_replaced: bool,
    /// The newest intervals, after the last mark: a later mark may still divide them.
    recent: VecDeque<EnergyInterval>,
    /// The last mark that divided an interval, and the energy of that interval before it, J; [`MonoNs::NEVER`]: no mark
    /// did.
    divided: (MonoNs, f64),
}

impl ChannelAccount {
    /// An empty account.
    pub fn new(kind: DeviceKind) -> ChannelAccount {
        let nothing = Energy::default();
        ChannelAccount {
            kind,
            credited_until: None,
            held: None,
            epochs: nothing,
            carried: nothing,
            between: nothing,
            after: nothing,
            is_replaced: false,
            recent: VecDeque::new(),
            divided: (MonoNs::NEVER, 0.0),
        }
    }

    /// Keeps an interval that a later mark may divide. If there are many, two neighbours are joined; a late mark
    /// divides a joined interval evenly in time.
    pub fn remember(&mut self, interval: EnergyInterval) {
        const MAX_RECENT: usize = 32;
        // An interval that is filled in later comes before those read since.
        let index = self.recent.partition_point(|recent| recent.from <= interval.from);
        self.recent.insert(index, interval);
        if self.recent.len() > MAX_RECENT {
            join_most_alike(&mut self.recent);
        }
    }

    /// Keeps the part of an interval after the last mark. `before` is the part before it.
    pub fn remember_rest(&mut self, before: Option<EnergyInterval>, rest: EnergyInterval) {
        if before.is_some() {
            self.divided = (rest.from, reaching_j(before));
        }
        self.remember(rest);
    }

    /// Adds energy to an epoch entry. `inside` is the share of the entry's time in epochs; the rest is between them.
    pub fn add_epoch(&mut self, used: Energy, inside: f64, epoch: &mut Epoch) {
        self.epochs.add(used.scaled(inside));
        if inside < 1.0 {
            self.between.add(used.scaled(1.0 - inside));
        }
        if let Some(joules) = used.joules {
            epoch.energy.add(self.kind, joules * inside);
            epoch.known_ns += used.credited_ns * inside;
            epoch.by_time_j.iter_mut().zip(used.by_time_j).for_each(|(sum, more)| *sum += more * inside);
        }
    }

    /// Counts this attempt's energy in epochs as between epochs.
    pub fn set_epochs_apart(&mut self) {
        let Energy { joules, credited_ns, measured_ns, .. } = std::mem::replace(&mut self.epochs, self.carried);
        self.between.add(Energy {
            joules: joules.map(|joules| joules - self.carried.joules.unwrap_or(0.0)),
            credited_ns: credited_ns - self.carried.credited_ns,
            measured_ns: measured_ns - self.carried.measured_ns,
            by_time_j: [0.0; 2],
        });
    }

    /// Adds a later account of the same channel.
    pub fn take_over(&mut self, later: &ChannelAccount) {
        self.credited_until = self.credited_until.max(later.credited_until);
        self.held = later.held;
        self.epochs.add(later.epochs);
        self.between.add(later.between);
        self.after.add(later.after);
        self.recent.extend(&later.recent);
    }

    /// Takes the energy after the last epoch and before the recent intervals, as one interval.
    pub fn take_after(&mut self, from: MonoNs, to: MonoNs) -> Option<EnergyInterval> {
        let after = std::mem::take(&mut self.after);
        let joules = after.joules.filter(|_| to > from)?;
        Some(EnergyInterval { from, to, joules, measured: after.measured_ns >= after.credited_ns })
    }

    /// The placed intervals after the last mark.
    pub fn recent(&self) -> impl Iterator<Item = EnergyInterval> {
        self.recent.iter().copied()
    }

    /// Takes all intervals after the last mark, the held one too.
    pub fn take_recent(&mut self) -> impl Iterator<Item = EnergyInterval> {
        let held = self.held.take();
        std::mem::take(&mut self.recent).into_iter().chain(held)
    }

    /// Energy of the recent intervals before this instant, J; None: nothing was credited.
    pub fn recent_j(&self, at: MonoNs) -> Option<f64> {
        let before = self.recent.iter().filter_map(|interval| interval.split(at).0);
        before.map(|interval| interval.joules).reduce(|a, b| a + b)
    }

    /// Takes the energy of the recent intervals before this instant.
    pub fn take_until(&mut self, at: MonoNs) -> Energy {
        let mut energy = Energy::default();
        while let Some(interval) = self.recent.pop_front() {
            let (before, rest) = interval.split(at);
            let earlier_j = if self.divided.0 == interval.from { self.divided.1 } else { 0.0 };
            let beside = earlier_j + reaching_j(rest);
            energy.add(before.map(|before| Energy::from(before).beside(beside)).unwrap_or_default());
            if let Some(rest) = rest {
                self.divided = (rest.from, earlier_j + reaching_j(before));
                self.recent.push_front(rest);
                break;
            }
        }
        energy
    }
}
