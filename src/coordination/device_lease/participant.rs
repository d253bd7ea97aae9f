//! A process that uses the record of its job: it reads the state of a device, settles what it has counted, and takes a
//! device.

use super::packed_owner::LeaseOwner;
use super::policy::{self, LeaseHolder, LeaseRequester};
use super::record::{DEVICES, LeaseRecord, Member};
use super::{LeasePoll, LeaseState};
use crate::clock::MonoNs;

/// A process and the record of its job.
pub struct Participant<'a> {
    pub record: LeaseRecord<'a>,
    /// The index of its entry.
    pub index: usize,
    /// The number of the process.
    pub process: u32,
    /// The namespace of that number.
    pub namespace: u64,
    /// Whether the process of an entry is alive.
    pub is_alive: &'a dyn Fn(&Member) -> bool,
}

/// What a tracker knows about a device from its last poll.
pub struct DeviceTurn {
    /// The index of the device in the record.
    device: usize,
    /// This process as the owner. None: it was not the owner.
    mine: Option<LeaseOwner>,
}

impl DeviceTurn {
    /// The state before the first poll.
    pub fn new(device: usize) -> DeviceTurn {
        DeviceTurn { device, mine: None }
    }
}

impl Participant<'_> {
    /// The current state of a device. If this process owns it, it settles up to the tracker's newest end of an epoch.
    /// Otherwise it takes the device if the policy allows that. `newest` is the newest end of an epoch of all trackers
    /// of this process.
    pub fn poll(&self, turn: &mut DeviceTurn, newest: Option<MonoNs>, poll: LeasePoll) -> LeaseState {
        const MAX_TRIES: usize = 64;
        let DeviceTurn { device, mine } = turn;
        let mut state = LeaseState::default();
        let mut has_taken = false;
        if self.record.member(self.index).is_none_or(|member| member.process != self.process) {
            return LeaseState { is_apart: true, ..state }; // another program has written into the record
        }
        if poll.read_since.is_some() {
            self.record.note_wanted(self.index, *device);
        }
        for _ in 0..MAX_TRIES {
            let owner = self.record.owner(*device);
            let is_ours = owner.member == Some(self.index);
            if let Some(lost) = mine.take_if(|mine| !is_ours || mine.turn != owner.turn) {
                let at = self.record.lost_at(*device, lost, owner);
                if has_taken {
                    state.passed = Some((self.record.begun(*device, lost).unwrap_or_default(), at));
                } else {
                    state.lost_at = Some(at);
                }
            }
            let next = match is_ours {
                true => self.settle(owner, poll),
                false if has_taken => None,
                false => self.bid(*device, owner, newest, poll),
            };
            let Some(next) = next else {
                *mine = is_ours.then_some(owner);
                let holder = if is_ours { None } else { self.holder(owner) };
                return LeaseState { is_ours, holder, reported_until: self.reported_until(*device, owner), ..state };
            };
            // A device that was taken is settled at once, up to the last ended epoch.
            if self.record.replace(*device, owner, next) {
                *mine = Some(next);
                has_taken |= !is_ours;
                self.clear_if_dead(owner);
            }
        }
        state
    }

    /// Releases all devices of this process, from the settled instant on.
    pub fn release(&self) {
        for device in 0..DEVICES {
            loop {
                let owner = self.record.owner(device);
                let is_ours = owner.member == Some(self.index);
                if !is_ours || self.record.replace(device, owner, owner.next(None, owner.settled)) {
                    break;
                }
            }
        }
    }

    /// This process's turn, settled up to the newest end of an epoch. None: nothing more is settled.
    fn settle(&self, owner: LeaseOwner, poll: LeasePoll) -> Option<LeaseOwner> {
        let ended = self.record.since_made(poll.ended.unwrap_or_default());
        let settled = LeaseOwner { settled: ended, ..owner }.rounded();
        (settled.settled > owner.settled).then_some(settled)
    }

    /// The turn of this process after the one of `owner`. None: the policy does not allow it.
    fn bid(&self, device: usize, owner: LeaseOwner, newest: Option<MonoNs>, poll: LeasePoll) -> Option<LeaseOwner> {
        let record = &self.record;
        let member = record.member(self.index).filter(|_| poll.read_since.is_some())?;
        let requester = LeaseRequester { member, ended: newest, is_requested: poll.is_requested };
        let settled = record.settled(owner).unwrap_or_default();
        let holder = match owner.member.map(|index| record.member(index)) {
            None => LeaseHolder::Vacant(settled),
            Some(Some(member)) if (self.is_alive)(&member) => {
                LeaseHolder::Living(member, record.begun(device, owner).unwrap_or_default(), settled)
            }
            Some(_) => LeaseHolder::Dead(self.reported_until(device, owner).unwrap_or_default()),
        };
        let wants = |index: &usize| *index != self.index && record.wants(*index, device);
        let others = record.members().filter(|(index, _)| wants(index)).map(|(_, member)| member.as_of(poll.now));
        let from = policy::take(&requester, holder, others, self.is_alive, poll.now)?;
        Some(owner.next(Some(self.index), record.since_made(from)).rounded())
    }

    /// The instant up to which reports or journals of other processes have a device's energy, even after a kill. For
    /// this process's own turn it is the begin.
    fn reported_until(&self, device: usize, owner: LeaseOwner) -> Option<MonoNs> {
        let begun = self.record.begun(device, owner);
        let other = owner.member.filter(|entry| *entry != self.index);
        let journaled_until =
            other.and_then(|index| self.record.member(index)).and_then(|member| member.journaled_until);
        begun.max(journaled_until.min(self.record.settled(owner)))
    }

    /// The process that owns a device, or owned it last. 0: its number is in another namespace, or it has left. None:
    /// the device never had an owner.
    fn holder(&self, owner: LeaseOwner) -> Option<u32> {
        let member = owner.member.and_then(|index| self.record.member(index));
        let process = member.filter(|member| member.namespace == self.namespace).map_or(0, |member| member.process);
        (owner != LeaseOwner::default()).then_some(process)
    }

    /// Clears the entry of an owner that was killed and owns no other device.
    fn clear_if_dead(&self, owner: LeaseOwner) {
        let Some((index, member)) = owner.member.and_then(|index| Some((index, self.record.member(index)?))) else {
            return;
        };
        let owns_more = || (0..DEVICES).any(|device| self.record.owner(device).member == Some(index));
        if !(self.is_alive)(&member) && !owns_more() {
            self.record.clear(index, member.process);
        }
    }
}
