//! The record that the processes of a job on one node share. It has an entry for each process and an owner for
//! each device.
//!
//! It is in shared memory, which outlives the processes. It consists of numbers that change one at a time, so a kill at
//! any point leaves it valid. Other programs of the user can write it, so no number in it is trusted.

use super::packed_owner::{LeaseOwner, MAX_MEMBERS};
use crate::clock::MonoNs;
use crate::units;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

/// Number of devices with room in a record.
pub const DEVICES: usize = 512;
/// Number of past owners of a device that are kept: more than change between two polls of a process.
const KEPT_TURNS: usize = 256;
/// Count of numbers of an entry.
const ENTRY_NUMBERS: usize = 16;
/// Count of numbers before the devices.
const HEAD_NUMBERS: usize = 16;
/// Index of the devices' names, one hash each.
const NAMES: usize = HEAD_NUMBERS;
/// Index of the devices' owners.
const OWNERS: usize = NAMES + DEVICES;
/// Index of the begins of the devices' turns, [`KEPT_TURNS`] each.
const BEGINS: usize = OWNERS + DEVICES;
const FIRST_ENTRY: usize = BEGINS + DEVICES * KEPT_TURNS;
/// Count of numbers in a record. The system provides memory for written pages only.
pub const NUMBERS: usize = FIRST_ENTRY + MAX_MEMBERS * ENTRY_NUMBERS;

/// A process without a poll for this time, ns, does not keep others from a device.
const MAX_SILENCE_NS: u64 = 10_000_000_000;

/// Indices in the head of a record.
mod head {
    /// The hash of the job.
    pub const JOB: usize = 0;
    /// When the record was made, ns.
    pub const MADE: usize = 1;
    /// How many times a process has joined.
    pub const JOINED: usize = 2;
    /// Number of entries that were ever used.
    pub const TAKEN: usize = 3;
    /// Energy of the processes that have left, J.
    pub const LEFT: usize = 4;
}

/// In place of `JOINED`: the record is about to be removed.
const CLOSED: u64 = u64::MAX;
/// In place of an entry's process: a process is about to take the entry.
const RESERVED: u64 = u64::MAX;

/// Indices in an entry.
mod entry {
    pub const PROCESS: usize = 0;
    pub const STARTED: usize = 1;
    pub const NAMESPACE: usize = 2;
    pub const RANK: usize = 3;
    pub const SINCE: usize = 4;
    pub const STATE: usize = 5;
    pub const JOURNALED: usize = 6;
    pub const BEAT: usize = 7;
    pub const USED: usize = 8;
    /// A bit for each of the first devices that the process wants to count.
    pub const DEVICES: usize = 9;
    pub const DEVICE_NUMBERS: usize = 4;
}

/// A record in shared memory.
pub struct LeaseRecord<'a>(pub &'a [AtomicU64]);

/// The process of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Member {
    /// Its number.
    pub process: u32,
    /// When it started, clock ticks since boot. 0: unknown.
    pub started: u64,
    /// The namespace of its number.
    pub namespace: u64,
    /// Its rank in the job. None: the launcher does not give it.
    pub rank: Option<u64>,
    /// From here on it can count: its first epoch has begun, and it has read the devices.
    pub since: MonoNs,
    /// The last begin or end of an epoch.
    pub state: MemberState,
    /// Its journal has its energy up to here, so that energy counts even if the process is killed. None: it has none.
    pub journaled_until: Option<MonoNs>,
    /// Its last poll.
    pub beat: MonoNs,
}

impl Member {
    /// The member as others see it at `now`. A member without a poll for [`MAX_SILENCE_NS`] counts as idle: it hangs,
    /// is suspended, or has replaced its program.
    pub fn as_of(self, now: MonoNs) -> Member {
        match self.state {
            MemberState::Open(_) if now > self.beat + MAX_SILENCE_NS => {
                Member { state: MemberState::Ended(None), ..self }
            }
            _ => self,
        }
    }
}

/// Whether a process is in an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MemberState {
    /// It is in an epoch since this instant.
    Open(MonoNs),
    /// It is not in an epoch. Its last epoch ended at this instant. None: it had none.
    Ended(Option<MonoNs>),
}

impl Default for MemberState {
    fn default() -> MemberState {
        MemberState::Ended(None)
    }
}

impl MemberState {
    /// The state as a number. The lowest bit of the time is 1 in an epoch.
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
    fn load(&self, index: usize) -> u64 {
        self.0.get(index).map_or(0, |number| number.load(SeqCst))
    }

    fn store(&self, index: usize, number: u64) {
        if let Some(there) = self.0.get(index) {
            there.store(number, SeqCst);
        }
    }

    fn swap(&self, index: usize, old: u64, new: u64) -> bool {
        self.0.get(index).is_some_and(|there| there.compare_exchange(old, new, SeqCst, SeqCst).is_ok())
    }

    /// Makes a new record the record of a job. True: the record is of this job.
    pub fn is_of(&self, job: u64, now: MonoNs) -> bool {
        self.swap(head::MADE, 0, now.0);
        self.swap(head::JOB, 0, job);
        self.load(head::JOB) == job
    }

    /// A number that identifies the record on this node, not 0.
    pub fn number(&self) -> u32 {
        let mixed = units::mixed(self.load(head::JOB) ^ self.load(head::MADE));
        (mixed >> 32) as u32 | 1
    }

    /// A time, as ns since the record was made.
    pub fn since_made(&self, at: MonoNs) -> u64 {
        at.ns_since(MonoNs(self.load(head::MADE)))
    }

    fn on_the_clock(&self, since_made: u64) -> Option<MonoNs> {
        (since_made > 0).then(|| MonoNs(self.load(head::MADE)) + since_made)
    }

    /// Takes an entry for a member. None: the record is closed, or has no free entry.
    pub fn join(&self, member: &Member, is_alive: &dyn Fn(&Member) -> bool) -> Option<usize> {
        let index = self.free_entry(is_alive)?;
        let first = FIRST_ENTRY + index * ENTRY_NUMBERS;
        for (number, value) in [
            (entry::STARTED, member.started),
            (entry::NAMESPACE, member.namespace),
            (entry::RANK, member.rank.map_or(0, |rank| rank.saturating_add(1))),
            (entry::SINCE, member.since.0),
            (entry::STATE, member.state.pack()),
            (entry::JOURNALED, MonoNs::to_word(member.journaled_until)),
            (entry::BEAT, member.beat.0),
            (entry::USED, f64::NAN.to_bits()),
        ] {
            self.store(first + number, value);
        }
        (0..entry::DEVICE_NUMBERS).for_each(|number| self.store(first + entry::DEVICES + number, 0));
        self.store(first + entry::PROCESS, u64::from(member.process));
        // The entry is visible before it is counted, so a process that closes the record sees one or the other.
        loop {
            let joined = self.load(head::JOINED);
            if joined == CLOSED {
                self.clear(index, member.process);
                return None;
            }
            if self.swap(head::JOINED, joined, joined + 1) {
                return Some(index);
            }
        }
    }

    /// Closes the record if it had members and none is alive. True: it is closed.
    pub fn close(&self, is_alive: &dyn Fn(&Member) -> bool) -> bool {
        let joined = self.load(head::JOINED);
        let is_left = || joined > 0 && !self.members().any(|(_, member)| is_alive(&member));
        joined == CLOSED || is_left() && self.swap(head::JOINED, joined, CLOSED)
    }

    /// Reserves an entry: one that was left, else a new one, else one of a process that was killed.
    fn free_entry(&self, is_alive: &dyn Fn(&Member) -> bool) -> Option<usize> {
        let reserve =
            |index: usize, old: u64| self.swap(FIRST_ENTRY + index * ENTRY_NUMBERS + entry::PROCESS, old, RESERVED);
        let taken = (self.load(head::TAKEN) as usize).min(MAX_MEMBERS);
        if let Some(left) = (0..taken).find(|&index| reserve(index, 0)) {
            return Some(left);
        }
        while let Some(index) = Some(self.load(head::TAKEN)).filter(|&taken| taken < MAX_MEMBERS as u64) {
            if self.swap(head::TAKEN, index, index + 1) && reserve(index as usize, 0) {
                return Some(index as usize);
            }
        }
        let owns = |index: usize| (0..DEVICES).any(|device| self.owner(device).member == Some(index));
        (0..MAX_MEMBERS).find(|&index| {
            let dead = self.member(index).filter(|member| !owns(index) && !is_alive(member));
            dead.is_some_and(|member| reserve(index, u64::from(member.process)))
        })
    }

    /// The member of an entry. None: the entry is free.
    pub fn member(&self, index: usize) -> Option<Member> {
        if index >= MAX_MEMBERS {
            return None;
        }
        let number = |number: usize| self.load(FIRST_ENTRY + index * ENTRY_NUMBERS + number);
        let process = u32::try_from(number(entry::PROCESS)).ok().filter(|&process| process > 0)?;
        Some(Member {
            process,
            started: number(entry::STARTED),
            namespace: number(entry::NAMESPACE),
            rank: number(entry::RANK).checked_sub(1),
            since: MonoNs(number(entry::SINCE)),
            state: MemberState::unpack(number(entry::STATE)),
            journaled_until: MonoNs::from_word(number(entry::JOURNALED)),
            beat: MonoNs(number(entry::BEAT)),
        })
    }

    /// All members, with their entries.
    pub fn members(&self) -> impl Iterator<Item = (usize, Member)> {
        (0..(self.load(head::TAKEN) as usize).min(MAX_MEMBERS)).filter_map(|index| Some((index, self.member(index)?)))
    }

    /// The number with a member's [`MemberState`]. The application's thread stores it without another access.
    pub fn state(&self, index: usize) -> Option<&AtomicU64> {
        self.0.get(FIRST_ENTRY + index.min(MAX_MEMBERS) * ENTRY_NUMBERS + entry::STATE)
    }

    /// Notes that a member cannot count before `at`: its first epoch begins, or it reads the devices for the
    /// first time.
    pub fn begin(&self, index: usize, at: MonoNs) {
        if let Some(there) = self.0.get(FIRST_ENTRY + index * ENTRY_NUMBERS + entry::SINCE) {
            there.fetch_max(at.0, SeqCst);
        }
    }

    /// Notes that a member polls at `now`.
    pub fn beat(&self, index: usize, now: MonoNs) {
        self.store(FIRST_ENTRY + index * ENTRY_NUMBERS + entry::BEAT, now.0);
    }

    /// Notes that a member's journal has its energy up to `to`.
    pub fn journal(&self, index: usize, to: MonoNs) {
        if let Some(there) = self.0.get(FIRST_ENTRY + index * ENTRY_NUMBERS + entry::JOURNALED) {
            there.fetch_max(to.0, SeqCst);
        }
    }

    /// Notes the energy that a member has counted, J.
    pub fn note_used(&self, index: usize, joules: Option<f64>) {
        self.store(FIRST_ENTRY + index * ENTRY_NUMBERS + entry::USED, joules.unwrap_or(f64::NAN).to_bits());
    }

    fn used(&self, index: usize) -> Option<f64> {
        amount(self.load(FIRST_ENTRY + index * ENTRY_NUMBERS + entry::USED))
    }

    /// Energy of the members that have left and of those that are alive, J. No member is in it twice.
    pub fn sum(&self, is_alive: &dyn Fn(&Member) -> bool) -> Option<f64> {
        const MAX_TRIES: usize = 8;
        let with = |left: u64| {
            let left = amount(left).filter(|joules| *joules > 0.0);
            let living = self.members().filter(|(_, member)| is_alive(member)).map(|(index, _)| self.used(index));
            living.chain([left]).flatten().reduce(|a, b| a + b)
        };
        let (mut left, mut sum) = (self.load(head::LEFT), None);
        for _ in 0..MAX_TRIES {
            sum = with(left);
            let newer = self.load(head::LEFT);
            if std::mem::replace(&mut left, newer) == newer {
                break; // no member left meanwhile
            }
        }
        sum
    }

    /// Frees the entry of a member. Its energy stays in the sum. True: no other member is alive, and the record
    /// is closed.
    pub fn release(&self, index: usize, is_alive: &dyn Fn(&Member) -> bool) -> bool {
        let used = self.used(index).unwrap_or(0.0);
        // First the entry: between the two changes the sum lacks this energy, and never has it twice.
        if let Some(member) = self.member(index) {
            self.clear(index, member.process);
        }
        let more = |left: u64| Some((amount(left).unwrap_or(0.0) + used).to_bits());
        let _ = self.0.get(head::LEFT).map(|left| left.fetch_update(SeqCst, SeqCst, more));
        self.close(is_alive)
    }

    /// Clears the entry of a process that has left, or was killed.
    pub fn clear(&self, index: usize, process: u32) {
        self.swap(FIRST_ENTRY + index.min(MAX_MEMBERS) * ENTRY_NUMBERS + entry::PROCESS, u64::from(process), 0);
    }

    /// Notes that a member wants to count a device.
    pub fn note_wanted(&self, index: usize, device: usize) {
        let number = FIRST_ENTRY + index * ENTRY_NUMBERS + entry::DEVICES + device / 64;
        if let Some(there) = self.0.get(number).filter(|_| device / 64 < entry::DEVICE_NUMBERS) {
            there.fetch_or(1 << (device % 64), SeqCst);
        }
    }

    /// Whether a member wants to count a device. False for the last devices of a record, which have no bit.
    pub fn wants(&self, index: usize, device: usize) -> bool {
        let number = FIRST_ENTRY + index * ENTRY_NUMBERS + entry::DEVICES + device / 64;
        device / 64 < entry::DEVICE_NUMBERS && self.load(number) >> (device % 64) & 1 == 1
    }

    /// The index of a device, by a hash of its name that is not 0. None: there is no room.
    pub fn device(&self, hash: u64) -> Option<usize> {
        (NAMES..OWNERS).position(|index| self.swap(index, 0, hash) || self.load(index) == hash)
    }

    /// The owner of a device.
    pub fn owner(&self, device: usize) -> LeaseOwner {
        LeaseOwner::unpack(self.load(OWNERS + device.min(DEVICES - 1)))
    }

    /// Makes `new` the owner of a device if `old` still is the owner. True: it is done. The begin of `old`'s turn is
    /// kept first. Until then it is the settled time of the owner, so no thread can be stopped between the two.
    pub fn replace(&self, device: usize, old: LeaseOwner, new: LeaseOwner) -> bool {
        if self.remembered(device, old).is_none() {
            self.store(BEGINS + device.min(DEVICES - 1) * KEPT_TURNS + usize::from(old.turn), old.pack());
        }
        self.swap(OWNERS + device.min(DEVICES - 1), old.pack(), new.pack())
    }

    fn kept_turn(&self, device: usize, turn: u8) -> LeaseOwner {
        LeaseOwner::unpack(self.load(BEGINS + device.min(DEVICES - 1) * KEPT_TURNS + usize::from(turn)))
    }

    /// The begin of an owner's turn. None: it is not kept any more. A begin of 256 turns ago is recognised, because it
    /// is older than the begin of the turn before.
    fn remembered(&self, device: usize, owner: LeaseOwner) -> Option<LeaseOwner> {
        let began = |turn: u8| self.kept_turn(device, turn);
        let (begun, previous) = (began(owner.turn), began(owner.turn.wrapping_sub(1)));
        let is_it = (begun.member, begun.turn) == (owner.member, owner.turn);
        let range = if previous.turn == owner.turn.wrapping_sub(1) { previous.settled } else { 0 }..=owner.settled;
        (is_it && range.contains(&begun.settled)).then_some(begun)
    }

    /// The begin of an owner's turn.
    pub fn begun(&self, device: usize, owner: LeaseOwner) -> Option<MonoNs> {
        self.on_the_clock(self.remembered(device, owner).unwrap_or(owner).settled)
    }

    /// The instant up to which an owner has settled.
    pub fn settled(&self, owner: LeaseOwner) -> Option<MonoNs> {
        self.on_the_clock(owner.settled)
    }

    /// The end of the turn that began as `mine`. `now` is the current owner.
    pub fn lost_at(&self, device: usize, mine: LeaseOwner, now: LeaseOwner) -> MonoNs {
        let next = mine.turn.wrapping_add(1);
        let kept = self.kept_turn(device, next);
        let after = if now.turn == next {
            self.remembered(device, now).unwrap_or(now)
        } else if kept.turn == next && kept.settled >= mine.settled {
            kept
        } else {
            mine // the kept turn was overwritten by later turns: the settled time stays
        };
        self.on_the_clock(after.settled.max(mine.settled)).unwrap_or_default()
    }
}

fn amount(bits: u64) -> Option<f64> {
    Some(f64::from_bits(bits)).filter(|amount| (0.0..=f64::MAX).contains(amount))
}
