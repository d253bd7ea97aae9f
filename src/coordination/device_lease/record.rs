//! What the processes of a job on one node have in common: a seat for each, and for each device who owns it. It lies in
//! memory that outlives them. All of it is numbers that change one at a time, so a process that is killed at any point
//! leaves the record whole. Other programs of the user can write it: no number in it is trusted.

use super::word::{LeaseOwner, SEATS};
use crate::clock::MonoNs;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

/// Devices that fit.
pub const DEVICES: usize = 512;
/// Owners of a device that are remembered: more than change between two looks of a process.
const TURNS: usize = 256;
/// Numbers of a seat.
const SEAT: usize = 16;
/// Numbers before the devices.
const HEAD: usize = 16;
/// Of each device what it is, then of each its owner, then of each the owners that were.
const NAMES: usize = HEAD;
const OWNERS: usize = NAMES + DEVICES;
const BEGINS: usize = OWNERS + DEVICES;
const FIRST_SEAT: usize = BEGINS + DEVICES * TURNS;
/// Numbers of a record. Memory is taken for those that are written.
pub const NUMBERS: usize = FIRST_SEAT + SEATS * SEAT;

/// Who has not looked for so long, ns, is not waited for.
const SILENT_NS: u64 = 10_000_000_000;

/// Places in the head: which job it is of, when it was made, how often somebody sat down, seats that were ever taken,
const JOB: usize = 0;
const MADE: usize = 1;
const JOINED: usize = 2;
const TAKEN: usize = 3;
/// and the energy, J, that those who left have used.
const LEFT: usize = 4;

/// In place of the number of those who sat down: the record is about to be removed.
const CLOSED: u64 = u64::MAX;
/// In place of a process: somebody is about to sit down.
const RESERVED: u64 = u64::MAX;

/// Places in a seat.
mod seat {
    pub const PROCESS: usize = 0;
    pub const STARTED: usize = 1;
    pub const NAMESPACE: usize = 2;
    pub const RANK: usize = 3;
    pub const SINCE: usize = 4;
    pub const STATE: usize = 5;
    pub const JOURNALED: usize = 6;
    pub const BEAT: usize = 7;
    pub const USED: usize = 8;
    /// A bit for each of the first devices that the process counts if it can.
    pub const DEVICES: usize = 9;
    pub const DEVICE_NUMBERS: usize = 4;
}

/// A record in memory that others share.
pub struct LeaseRecord<'a>(pub &'a [AtomicU64]);

/// Who sits on a seat.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Member {
    /// The process, when it started (clock ticks since boot), and the namespace of its number.
    pub process: u32,
    pub started: u64,
    pub namespace: u64,
    /// Its rank in the job, if its launcher says it.
    pub rank: Option<u64>,
    /// From here on, ns, it counts: its first epoch began, and it has read the devices.
    pub since: MonoNs,
    /// Its last begin or end of an epoch.
    pub state: MemberState,
    /// Up to here its journal holds what it used: it counts even if the process is killed. None: it holds nothing.
    pub journaled_until: Option<MonoNs>,
    /// When it last looked, ns.
    pub beat: MonoNs,
}

impl Member {
    /// As it is to be taken at `now`, ns. One that has not looked for long takes no part: it hangs, is suspended, or has
    /// replaced its program. What it settled stays its own.
    pub fn as_of(self, now: MonoNs) -> Member {
        match self.state {
            MemberState::Open(_) if now > self.beat + SILENT_NS => Member { state: MemberState::Ended(None), ..self },
            _ => self,
        }
    }
}

/// Whether a process is in an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MemberState {
    /// Since this time.
    Open(MonoNs),
    /// Its last ended then; None: it had none.
    Ended(Option<MonoNs>),
}

impl Default for MemberState {
    fn default() -> MemberState {
        MemberState::Ended(None)
    }
}

impl MemberState {
    /// The lowest bit of the time says whether an epoch is open.
    pub fn pack(self) -> u64 {
        match self {
            MemberState::Open(at) => at.0 | 1,
            MemberState::Ended(at) => MonoNs::to_word(at) & !1,
        }
    }

    fn unpack(number: u64) -> MemberState {
        if number & 1 == 1 { MemberState::Open(MonoNs(number)) } else { MemberState::Ended(MonoNs::from_word(number)) }
    }
}

impl LeaseRecord<'_> {
    fn load(&self, place: usize) -> u64 {
        self.0.get(place).map_or(0, |number| number.load(SeqCst))
    }

    fn store(&self, place: usize, number: u64) {
        if let Some(there) = self.0.get(place) {
            there.store(number, SeqCst);
        }
    }

    fn swap(&self, place: usize, old: u64, new: u64) -> bool {
        self.0.get(place).is_some_and(|there| there.compare_exchange(old, new, SeqCst, SeqCst).is_ok())
    }

    /// Makes it the record of a job, if it is new; whether it is. `now` is in ns.
    pub fn is_of(&self, job: u64, now: MonoNs) -> bool {
        self.swap(MADE, 0, now.0);
        self.swap(JOB, 0, job);
        self.load(JOB) == job
    }

    /// A number that tells it from other records of this node, not 0.
    pub fn number(&self) -> u32 {
        let mixed = (self.load(JOB) ^ self.load(MADE)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) as u32 | 1
    }

    /// A time, ns on the monotonic clock, as the owners' words have it; it is rounded up to a tick.
    pub fn since_made(&self, at: MonoNs) -> u64 {
        at.ns_since(MonoNs(self.load(MADE)))
    }

    fn on_the_clock(&self, since_made: u64) -> Option<MonoNs> {
        (since_made > 0).then(|| MonoNs(self.load(MADE)) + since_made)
    }

    /// Sits down; None: the record is closed, or has no seat left.
    pub fn join(&self, member: &Member, is_alive: &dyn Fn(&Member) -> bool) -> Option<usize> {
        let place = self.free_seat(is_alive)?;
        let first = FIRST_SEAT + place * SEAT;
        for (number, value) in [
            (seat::STARTED, member.started),
            (seat::NAMESPACE, member.namespace),
            (seat::RANK, member.rank.map_or(0, |rank| rank.saturating_add(1))),
            (seat::SINCE, member.since.0),
            (seat::STATE, member.state.pack()),
            (seat::JOURNALED, MonoNs::to_word(member.journaled_until)),
            (seat::BEAT, member.beat.0),
            (seat::USED, f64::NAN.to_bits()),
        ] {
            self.store(first + number, value);
        }
        (0..seat::DEVICE_NUMBERS).for_each(|number| self.store(first + seat::DEVICES + number, 0));
        self.store(first + seat::PROCESS, u64::from(member.process));
        // Counted once it can be seen: who is about to close the record sees the one or the other.
        loop {
            let joined = self.load(JOINED);
            if joined == CLOSED {
                self.clear(place, member.process);
                return None;
            }
            if self.swap(JOINED, joined, joined + 1) {
                return Some(place);
            }
        }
    }

    /// Closes the record if somebody was here and nobody lives; whether it is closed.
    pub fn close(&self, is_alive: &dyn Fn(&Member) -> bool) -> bool {
        let joined = self.load(JOINED);
        let is_left = || joined > 0 && !self.members().any(|(_, member)| is_alive(&member));
        joined == CLOSED || is_left() && self.swap(JOINED, joined, CLOSED)
    }

    /// Reserves a seat: one that was left, a new one, or where there is none that of a process that was killed.
    fn free_seat(&self, is_alive: &dyn Fn(&Member) -> bool) -> Option<usize> {
        let reserve =
            |place: usize, before: u64| self.swap(FIRST_SEAT + place * SEAT + seat::PROCESS, before, RESERVED);
        let taken = (self.load(TAKEN) as usize).min(SEATS);
        if let Some(left) = (0..taken).find(|&place| reserve(place, 0)) {
            return Some(left);
        }
        while let Some(place) = Some(self.load(TAKEN)).filter(|&taken| taken < SEATS as u64) {
            if self.swap(TAKEN, place, place + 1) && reserve(place as usize, 0) {
                return Some(place as usize);
            }
        }
        let owns = |place: usize| (0..DEVICES).any(|device| self.owner(device).seat == Some(place));
        (0..SEATS).find(|&place| {
            let dead = self.member(place).filter(|member| !owns(place) && !is_alive(member));
            dead.is_some_and(|member| reserve(place, u64::from(member.process)))
        })
    }

    /// Who sits there.
    pub fn member(&self, place: usize) -> Option<Member> {
        if place >= SEATS {
            return None;
        }
        let number = |number: usize| self.load(FIRST_SEAT + place * SEAT + number);
        let process = u32::try_from(number(seat::PROCESS)).ok().filter(|&process| process > 0)?;
        Some(Member {
            process,
            started: number(seat::STARTED),
            namespace: number(seat::NAMESPACE),
            rank: number(seat::RANK).checked_sub(1),
            since: MonoNs(number(seat::SINCE)),
            state: MemberState::unpack(number(seat::STATE)),
            journaled_until: MonoNs::from_word(number(seat::JOURNALED)),
            beat: MonoNs(number(seat::BEAT)),
        })
    }

    /// All who sit, with their seats.
    pub fn members(&self) -> impl Iterator<Item = (usize, Member)> {
        (0..(self.load(TAKEN) as usize).min(SEATS)).filter_map(|place| Some((place, self.member(place)?)))
    }

    /// The number by which a member says that it is in an epoch; it is stored without reading any other.
    pub fn state(&self, place: usize) -> Option<&AtomicU64> {
        self.0.get(FIRST_SEAT + place.min(SEATS) * SEAT + seat::STATE)
    }

    /// Notes that a member does not count before this, ns: its first epoch begins, or it reads the devices for the first time.
    pub fn begin(&self, place: usize, at: MonoNs) {
        if let Some(there) = self.0.get(FIRST_SEAT + place * SEAT + seat::SINCE) {
            there.fetch_max(at.0, SeqCst);
        }
    }

    /// Notes that a member has looked at `now`, ns.
    pub fn beat(&self, place: usize, now: MonoNs) {
        self.store(FIRST_SEAT + place * SEAT + seat::BEAT, now.0);
    }

    /// Notes up to when, ns, a member's journal holds what it used.
    pub fn journal(&self, place: usize, to: MonoNs) {
        if let Some(there) = self.0.get(FIRST_SEAT + place * SEAT + seat::JOURNALED) {
            there.fetch_max(to.0, SeqCst);
        }
    }

    /// Notes how much energy, J, a member has used.
    pub fn note_used(&self, place: usize, joules: Option<f64>) {
        self.store(FIRST_SEAT + place * SEAT + seat::USED, joules.unwrap_or(f64::NAN).to_bits());
    }

    fn used(&self, place: usize) -> Option<f64> {
        amount(self.load(FIRST_SEAT + place * SEAT + seat::USED))
    }

    /// How much energy, J, those who left and those who sit here and live have used.
    pub fn sum(&self, is_alive: &dyn Fn(&Member) -> bool) -> Option<f64> {
        let left = amount(self.load(LEFT)).filter(|joules| *joules > 0.0);
        let living = self.members().filter(|(_, member)| is_alive(member)).map(|(place, _)| self.used(place));
        living.chain([left]).flatten().reduce(|a, b| a + b)
    }

    /// Gets up; what the member used stays in the sum. True: nobody else lives here, and the record is closed.
    pub fn leave(&self, place: usize, is_alive: &dyn Fn(&Member) -> bool) -> bool {
        let used = self.used(place).unwrap_or(0.0);
        loop {
            let before = self.load(LEFT);
            if self.swap(LEFT, before, (amount(before).unwrap_or(0.0) + used).to_bits()) {
                break;
            }
        }
        if let Some(member) = self.member(place) {
            self.clear(place, member.process);
        }
        self.close(is_alive)
    }

    /// Clears the seat of a process that left, or was killed and whose devices another has taken.
    pub fn clear(&self, place: usize, process: u32) {
        self.swap(FIRST_SEAT + place.min(SEATS) * SEAT + seat::PROCESS, u64::from(process), 0);
    }

    /// Notes that a member counts a device if it can.
    pub fn claim(&self, place: usize, device: usize) {
        let number = FIRST_SEAT + place * SEAT + seat::DEVICES + device / 64;
        if let Some(there) = self.0.get(number).filter(|_| device / 64 < seat::DEVICE_NUMBERS) {
            there.fetch_or(1 << (device % 64), SeqCst);
        }
    }

    /// Whether a member counts a device if it can. It is not known of the last devices.
    pub fn claims(&self, place: usize, device: usize) -> bool {
        let number = FIRST_SEAT + place * SEAT + seat::DEVICES + device / 64;
        device / 64 < seat::DEVICE_NUMBERS && self.load(number) >> (device % 64) & 1 == 1
    }

    /// The number of a device by a hash of what it is called, which is not 0; None: there is no room.
    pub fn device(&self, hash: u64) -> Option<usize> {
        (NAMES..OWNERS).position(|place| self.swap(place, 0, hash) || self.load(place) == hash)
    }

    /// Who owns a device.
    pub fn owner(&self, device: usize) -> LeaseOwner {
        LeaseOwner::unpack(self.load(OWNERS + device.min(DEVICES - 1)))
    }

    /// Makes `new` the owner of a device, if `old` is still. Who owned it is remembered first.
    pub fn replace(&self, device: usize, old: LeaseOwner, new: LeaseOwner) -> bool {
        if old.turn != new.turn && self.remembered(device, old).is_none() {
            self.remember(device, old);
        }
        let is_done = self.swap(OWNERS + device.min(DEVICES - 1), old.pack(), new.pack());
        if is_done && old.turn != new.turn {
            self.remember(device, new);
        }
        is_done
    }

    fn remember(&self, device: usize, owner: LeaseOwner) {
        self.store(BEGINS + device.min(DEVICES - 1) * TURNS + usize::from(owner.turn), owner.pack());
    }

    fn entry(&self, device: usize, turn: u8) -> LeaseOwner {
        LeaseOwner::unpack(self.load(BEGINS + device.min(DEVICES - 1) * TURNS + usize::from(turn)))
    }

    /// How an owner's turn began, if that is remembered. An entry of 256 turns ago is not taken for it: it is older than
    /// that of the turn before.
    fn remembered(&self, device: usize, owner: LeaseOwner) -> Option<LeaseOwner> {
        let entry = |turn: u8| self.entry(device, turn);
        let (begun, before) = (entry(owner.turn), entry(owner.turn.wrapping_sub(1)));
        let is_it = (begun.seat, begun.turn) == (owner.seat, owner.turn);
        let range = if before.turn == owner.turn.wrapping_sub(1) { before.settled } else { 0 }..=owner.settled;
        (is_it && range.contains(&begun.settled)).then_some(begun)
    }

    /// From when on, ns on the monotonic clock, an owner's turn began to count.
    pub fn begun(&self, device: usize, owner: LeaseOwner) -> Option<MonoNs> {
        self.on_the_clock(self.remembered(device, owner).unwrap_or(owner).settled)
    }

    /// Up to when, ns on the monotonic clock, all is settled.
    pub fn settled(&self, owner: LeaseOwner) -> Option<MonoNs> {
        self.on_the_clock(owner.settled)
    }

    /// When, ns on the monotonic clock, the turn ended that began as `mine`, at `now` the owner is another.
    pub fn lost_at(&self, device: usize, mine: LeaseOwner, now: LeaseOwner) -> MonoNs {
        let next = mine.turn.wrapping_add(1);
        let entry = self.entry(device, next);
        let after = if now.turn == next {
            self.remembered(device, now).unwrap_or(now)
        } else if entry.turn == next && entry.settled >= mine.settled {
            entry
        } else {
            mine // so many owners have been here since that nobody remembers: what was settled stays
        };
        self.on_the_clock(after.settled.max(mine.settled)).unwrap_or_default()
    }
}

fn amount(bits: u64) -> Option<f64> {
    Some(f64::from_bits(bits)).filter(|amount| (0.0..=f64::MAX).contains(amount))
}
