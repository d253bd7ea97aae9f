//! Keeps this process's readings of devices that another process of the job counts. Pure.
//!
//! If the other process is killed, its energy that no report or journal has is added to this run. Energy that is
//! reported is dropped.

use super::device_lease::LeaseState;
use super::trail::Trail;
use crate::attribution::ledger::{Ledger, Mark};
use crate::clock::MonoNs;
use crate::measurement::channel::DeviceKind;
use crate::measurement::meter::EnergyInterval;
use std::collections::VecDeque;

/// Most turns that are kept. An energy interval may include a change of the counting process.
const MAX_TURNS: usize = 16;

/// The devices of one lease, and their energy that no report has yet.
#[derive(Clone, Debug)]
pub struct StandbyLedger {
    /// The name of the leased device.
    pub device: String,
    /// The name of the leased device and of the job, for messages.
    pub what: String,
    /// The channels of the device, by their numbers in the run's state.
    pub channels: Vec<usize>,
    /// The state of the lease.
    pub lease: LeaseState,
    /// When the current owner began to count. None: there was no owner yet.
    pub since: Option<MonoNs>,
    /// Energy that this process took over from other processes, J. None: nothing.
    pub handed_over_j: Option<f64>,
    /// Reports of other processes have the energy up to here, so it is not in this run. None: they have none.
    pub others_until: Option<MonoNs>,
    /// The user has a message that another process counts the device, and one that this process counts it again.
    pub is_announced: [bool; 2],
    /// The turns in which this process counted: begin and end. The newest is first and may still last.
    turns: VecDeque<(MonoNs, MonoNs)>,
    /// The marks of the run with the energy of the device. Empty while this process counts it.
    ledger: Ledger,
    /// The energy of each channel, not divided by marks.
    trails: Vec<Trail>,
}

impl StandbyLedger {
    /// A lease without channels and without an owner.
    pub fn new(device: String, what: String, run: &Ledger) -> StandbyLedger {
        StandbyLedger {
            device,
            what,
            channels: Vec::new(),
            lease: LeaseState::default(),
            since: None,
            handed_over_j: None,
            others_until: None,
            is_announced: [false; 2],
            turns: VecDeque::new(),
            ledger: run.emptied(),
            trails: Vec::new(),
        }
    }

    /// Notes a new channel of the run, of any device.
    pub fn add_channel(&mut self, kind: DeviceKind) {
        if !self.lease.is_ours {
            self.ledger.add_channel(kind);
        }
    }

    /// Notes that a channel of the run belongs to this device.
    pub fn claim(&mut self, channel: usize) {
        self.channels.push(channel);
        self.trails.push(Trail::default());
    }

    /// Enters a mark.
    pub fn mark(&mut self, mark: Mark) {
        if !self.lease.is_ours {
            self.ledger.mark(mark);
        }
    }

    /// Makes the entries pieces of the run's progress: an epoch follows.
    pub fn set_pieces_apart(&mut self) {
        if !self.lease.is_ours {
            self.ledger.set_pieces_apart();
        }
    }

    /// Takes an energy interval of a channel. The part in this process's turns goes to the run's ledger. The part that
    /// no report covers is kept.
    pub fn credit(&mut self, channel: usize, interval: EnergyInterval, run: &mut Ledger) {
        let mut rest = Some(interval);
        for index in (0..self.turns.len()).rev() {
            let Some((&(from, to), interval)) = self.turns.get(index).zip(rest) else { break };
            let (before, ours) = interval.split(from);
            let (ours, after) = ours.map_or((None, None), |ours| ours.split(to));
            before.into_iter().for_each(|before| self.keep(channel, before));
            ours.into_iter().for_each(|ours| run.credit(channel, ours));
            if after.is_some() {
                run.release(channel); // the turn's last reading
            }
            rest = after;
        }
        rest.into_iter().for_each(|rest| self.keep(channel, rest));
    }

    /// The parts of an energy interval in this process's turns.
    pub fn in_turns(&self, interval: EnergyInterval) -> impl Iterator<Item = EnergyInterval> {
        self.turns.iter().rev().filter_map(move |&(from, to)| interval.split(from).1?.split(to).0)
    }

    /// The energy that was read before this process's newest turn was known, and is in it: channel and interval. Empty
    /// if `previous` had that turn.
    pub fn read_before_turn(&self, previous: LeaseState) -> impl Iterator<Item = (usize, EnergyInterval)> {
        let is_new = self.lease.is_ours && !previous.is_ours || self.lease.passed.is_some();
        let turn = self.turns.front().copied().filter(|_| is_new);
        let channels = self.channels.iter().copied().zip(&self.trails);
        turn.into_iter().flat_map(move |(from, to)| {
            let of_channel = move |(channel, trail): (usize, &'_ Trail)| {
                trail.between(from, to).map(|interval| (channel, interval)).collect::<Vec<_>>()
            };
            channels.clone().flat_map(of_channel)
        })
    }

    /// Keeps the part of an energy interval that no report covers yet.
    fn keep(&mut self, channel: usize, interval: EnergyInterval) {
        let Some(uncovered) =
            interval.split(self.lease.reported_until.unwrap_or_default()).1.filter(|_| !self.lease.is_ours)
        else {
            return;
        };
        self.ledger.credit(channel, uncovered);
        let index = self.channels.iter().position(|&one| one == channel);
        if let Some(trail) = index.and_then(|index| self.trails.get_mut(index)) {
            trail.push(uncovered);
        }
    }

    /// Enters energy that waits for a further reading of a channel.
    pub fn release(&mut self, channel: usize) {
        self.ledger.release(channel);
    }

    /// When another process took the device over by a new state of the lease. Later energy belongs to that process.
    /// None: it did not.
    pub fn lost_at(&self, lease: &LeaseState) -> Option<MonoNs> {
        lease.lost_at.filter(|_| self.lease.is_ours)
    }

    /// Removes the energy from `at` on from the run's ledger, because another process counts it. No epoch of the ledger
    /// has it yet.
    pub fn yield_from(&mut self, at: MonoNs, run: &mut Ledger) {
        if let Some(last) = self.turns.front_mut() {
            last.1 = at;
        }
        self.lease = LeaseState { is_ours: false, holder: None, reported_until: Some(at), ..LeaseState::default() };
        self.ledger = run.emptied();
        let unsettled: Vec<_> = self.channels.iter().map(|&channel| (channel, run.take_unsettled(channel))).collect();
        self.trails.iter_mut().for_each(Trail::clear);
        for (channel, unsettled) in unsettled {
            unsettled.into_iter().for_each(|interval| self.credit(channel, interval, run));
        }
    }

    /// Applies a new state of the lease. Energy that reports of other processes cover is dropped. If this process has
    /// become the owner, the rest goes to the run's ledger.
    pub fn apply_lease(&mut self, lease: LeaseState, run: &mut Ledger) {
        if let Some((from, to)) = lease.passed {
            self.apply_past_turn(from, to, run);
        }
        let previous = std::mem::replace(&mut self.lease, lease);
        if !previous.is_ours && lease.reported_until > previous.reported_until {
            self.others_until = lease.reported_until;
            self.keep_between(lease.reported_until.unwrap_or_default(), MonoNs::NEVER, run);
        }
        if (previous.is_ours, previous.holder) != (lease.is_ours, lease.holder) {
            self.since = lease.reported_until.filter(|_| lease.is_ours || lease.holder.is_some());
        }
        if lease.is_ours && !previous.is_ours {
            self.add_turn(lease.reported_until.unwrap_or_default(), MonoNs::NEVER);
            let counted =
                |run: &Ledger| self.channels.iter().filter_map(|&channel| run.channel(channel).joules).sum::<f64>();
            let had = counted(run);
            self.hand_over(run);
            let more = counted(run) - had;
            if more > 0.0 && previous.holder.is_some() {
                self.handed_over_j = Some(self.handed_over_j.unwrap_or(0.0) + more);
            }
            self.ledger = Ledger::default();
        }
    }

    fn add_turn(&mut self, from: MonoNs, to: MonoNs) {
        self.turns.push_front((from, to));
        self.turns.truncate(MAX_TURNS);
    }

    fn hand_over(&self, run: &mut Ledger) {
        self.channels.iter().for_each(|&channel| run.take_over(channel, &self.ledger));
        run.add_epochs(&self.ledger, self.others_until);
    }

    /// Applies a turn of this process that has ended already: its energy goes to the run's ledger.
    fn apply_past_turn(&mut self, from: MonoNs, to: MonoNs, run: &mut Ledger) {
        self.add_turn(from, to);
        self.others_until = self.others_until.max(Some(from));
        self.keep_between(from, to, run);
        self.hand_over(run);
        self.others_until = Some(to);
        self.lease.reported_until = Some(to);
        self.keep_between(to, MonoNs::NEVER, run);
    }

    /// Whether turns of this process have ended, and readings of their energy are still missing.
    pub fn awaits_readings(&self, channel: usize, run: &Ledger) -> bool {
        let read_until = run.credited_until(channel).max(self.ledger.credited_until(channel));
        let is_awaited = |&(from, to): &(MonoNs, MonoNs)| from < to && read_until < Some(to);
        !self.lease.is_ours && self.turns.iter().any(is_awaited)
    }

    /// Keeps the energy between two instants and drops the rest.
    fn keep_between(&mut self, from: MonoNs, to: MonoNs, run: &Ledger) {
        self.ledger = run.emptied();
        for (&channel, trail) in self.channels.iter().zip(&self.trails) {
            trail.between(from, to).for_each(|interval| self.ledger.credit(channel, interval));
        }
    }
}

#[cfg(test)]
mod tests;
