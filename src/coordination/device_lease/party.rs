//! A process at the record of its job: looks how a device stands, settles what it counts, and takes what it is to count.

use super::policy::{self, LeaseHolder, LeaseRequester};
use super::record::{DEVICES, LeaseRecord, Member};
use super::word::LeaseOwner;
use super::{LeasePoll, LeaseState};
use crate::clock::MonoNs;

/// A process, and the record that it shares.
pub struct Party<'a> {
    pub record: LeaseRecord<'a>,
    /// Its seat.
    pub place: usize,
    /// Its number, and the namespace of that.
    pub process: u32,
    pub namespace: u64,
    /// Whether the process on a seat lives.
    pub is_alive: &'a dyn Fn(&Member) -> bool,
}

/// What a tracker knows of a device from its last look.
pub struct PartyTurn {
    /// Its number in the record.
    device: usize,
    /// Its own turn, if it had it then.
    mine: Option<LeaseOwner>,
}

impl PartyTurn {
    /// With nothing known yet.
    pub fn new(device: usize) -> PartyTurn {
        PartyTurn { device, mine: None }
    }
}

impl Party<'_> {
    /// How a device stands. It is settled up to the newest end of an epoch of this tracker if this process owns it; else it is
    /// taken, where that is to be. `newest` is the newest end, ns, of all trackers of this process.
    pub fn look(&self, turn: &mut PartyTurn, newest: Option<MonoNs>, look: LeasePoll) -> LeaseState {
        const TRIES: usize = 64;
        let PartyTurn { device, mine } = turn;
        let mut standing = LeaseState::default();
        let mut has_bid = false;
        if self.record.member(self.place).is_none_or(|member| member.process != self.process) {
            return LeaseState { is_apart: true, ..standing }; // somebody has written into the record
        }
        if look.read_since.is_some() {
            self.record.claim(self.place, *device);
        }
        for _ in 0..TRIES {
            let owner = self.record.owner(*device);
            let is_ours = owner.seat == Some(self.place);
            if let Some(lost) = mine.take_if(|mine| !is_ours || mine.turn != owner.turn) {
                let at = self.record.lost_at(*device, lost, owner);
                if has_bid {
                    standing.passed = Some((self.record.begun(*device, lost).unwrap_or_default(), at));
                } else {
                    standing.lost_at = Some(at);
                }
            }
            let next = match is_ours {
                true => self.settle(owner, look),
                false if has_bid => None,
                false => self.bid(*device, owner, newest, look),
            };
            let Some(next) = next else {
                *mine = is_ours.then_some(owner);
                let holder = if is_ours { None } else { self.holder(owner) };
                return LeaseState { is_ours, holder, reported_until: self.reported_until(*device, owner), ..standing };
            };
            // What is taken is settled at once, as far as our epochs have ended.
            if self.record.replace(*device, owner, next) {
                *mine = Some(next);
                has_bid |= !is_ours;
                self.bury(owner);
            }
        }
        standing
    }

    /// Lets others have what this process owns, from what is settled on.
    pub fn give_up(&self) {
        for device in 0..DEVICES {
            loop {
                let owner = self.record.owner(device);
                let is_ours = owner.seat == Some(self.place);
                if !is_ours || self.record.replace(device, owner, owner.next(None, owner.settled)) {
                    break;
                }
            }
        }
    }

    /// Our turn with more settled; None: there is no more.
    fn settle(&self, owner: LeaseOwner, look: LeasePoll) -> Option<LeaseOwner> {
        let ended = self.record.since_made(look.ended.unwrap_or_default());
        let settled = LeaseOwner { settled: ended, ..owner }.rounded();
        (settled.settled > owner.settled).then_some(settled)
    }

    /// A turn of ours after another's; None: the device is not to be taken.
    fn bid(&self, device: usize, owner: LeaseOwner, newest: Option<MonoNs>, look: LeasePoll) -> Option<LeaseOwner> {
        let record = &self.record;
        let member = record.member(self.place).filter(|_| look.read_since.is_some())?;
        let asker = LeaseRequester { member, ended: newest, is_asked: look.is_asked };
        let settled = record.settled(owner).unwrap_or_default();
        let holder = match owner.seat.map(|seat| record.member(seat)) {
            None => LeaseHolder::Nobody(settled),
            Some(Some(member)) if (self.is_alive)(&member) => {
                LeaseHolder::Living(member, record.begun(device, owner).unwrap_or_default(), settled)
            }
            Some(_) => LeaseHolder::Dead(self.reported_until(device, owner).unwrap_or_default()),
        };
        let bids = |place: &usize| *place != self.place && record.claims(*place, device);
        let others = record.members().filter(|(place, _)| bids(place)).map(|(_, member)| member.as_of(look.now));
        let from = policy::take(&asker, holder, others, self.is_alive, look.now)?;
        Some(owner.next(Some(self.place), record.since_made(from)).rounded())
    }

    /// Up to when, ns, what is read of a device is in the account of others, whatever happens to them: they have ended, or
    /// their journals hold it. Of our own turn: where it began.
    fn reported_until(&self, device: usize, owner: LeaseOwner) -> Option<MonoNs> {
        let begun = self.record.begun(device, owner);
        let other = owner.seat.filter(|seat| *seat != self.place);
        let journaled_until = other.and_then(|seat| self.record.member(seat)).and_then(|member| member.journaled_until);
        begun.max(journaled_until.min(self.record.settled(owner)))
    }

    /// The process that owns a device, or owned it last; 0: its number is of another namespace, or it is gone. None: nobody
    /// ever did.
    fn holder(&self, owner: LeaseOwner) -> Option<u32> {
        let member = owner.seat.and_then(|seat| self.record.member(seat));
        let process = member.filter(|member| member.namespace == self.namespace).map_or(0, |member| member.process);
        (owner != LeaseOwner::default()).then_some(process)
    }

    /// Clears the seat of an owner that was killed: what it used is ours now.
    fn bury(&self, owner: LeaseOwner) {
        let Some((seat, member)) = owner.seat.and_then(|seat| Some((seat, self.record.member(seat)?))) else { return };
        let owns_more = || (0..DEVICES).any(|device| self.record.owner(device).seat == Some(seat));
        if !(self.is_alive)(&member) && !owns_more() {
            self.record.clear(seat, member.process);
        }
    }
}
