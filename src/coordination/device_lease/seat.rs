//! The seat of this process in the record of its job. All trackers of the process share it. The file also finds the
//! record in shared memory.

use super::party::{Party, PartyTurn};
use super::record::{LeaseRecord, Member, MemberState, NUMBERS};
use super::{LeasePoll, LeaseState, OnNode};
use crate::clock::MonoNs;
use crate::coordination::job::Rank;
use crate::os::{self, PerProcess, Segment};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Once, Weak};
use std::time::Duration;

/// A process of another namespace counts as dead after this time without a poll, ns.
const MAX_SILENCE_NS: u64 = 5_000_000_000;
/// For the count of processes, a process counts as alive for this time after a poll, ns.
const FRESH_POLL_NS: u64 = 3_000_000_000;
/// Age, s, after which the record of a killed job is removed.
const MAX_ABANDONED_S: u64 = 24 * 3600;
/// Count of keys tried for a record, because another program may use the first.
const MAX_KEYS: u64 = 8;

/// The seats of this process, one for each job.
static SEATS: PerProcess<Vec<Weak<Seat>>> = PerProcess::new(Vec::new());

/// The seat of this process in the record of a job.
pub struct Seat {
    memory: Segment,
    place: usize,
    /// The process that took the seat. A forked child inherits this value, but not the seat.
    process: u32,
    namespace: u64,
    job: u64,
    /// The newest end of an epoch of all trackers, ns. 0: none.
    ended: AtomicU64,
    /// The process has begun an epoch.
    has_begun: AtomicBool,
    /// Number of trackers that use the seat. 0: it was released.
    trackers: AtomicUsize,
}

impl Seat {
    /// Takes the seat of this process in the record of a job, or shares the seat that it has already. Fails if there is
    /// no shared memory or no room.
    pub fn take(job: u64, rank: Rank) -> io::Result<Arc<Seat>> {
        static SWEPT: Once = Once::new();
        SWEPT.call_once(sweep);
        let mut seats = SEATS.lock_within(os::LOCK_WAIT).ok_or(io::ErrorKind::WouldBlock)?;
        seats.retain(|seat| seat.strong_count() > 0);
        let process = os::process_id();
        let is_this = |seat: &Arc<Seat>| seat.job == job && seat.process == process && seat.add_tracker();
        if let Some(seat) = seats.iter().filter_map(Weak::upgrade).find(is_this) {
            return Ok(seat);
        }
        let seat = Arc::new(Seat::join(job, rank)?);
        seats.push(Arc::downgrade(&seat));
        Ok(seat)
    }

    fn join(job: u64, rank: Rank) -> io::Result<Seat> {
        const MAX_TRIES: usize = 50;
        let (process, namespace, now) = (os::process_id(), os::pid_namespace(), os::monotonic_ns());
        let started = os::process_start(process).unwrap_or(0);
        let member =
            Member { process, started, namespace, rank: rank.number, since: now, beat: now, ..Member::default() };
        let is_alive = |other: &Member| is_alive(other, namespace, now);
        for _ in 0..MAX_TRIES {
            if let FoundSeat::Record(memory, key) = find(job, now)? {
                let record = LeaseRecord(memory.numbers());
                // If all members are dead, the record belongs to an earlier run with the same name, and is removed.
                if record.close(&is_alive) {
                    memory.remove();
                } else if let Some(place) = record.join(&member, &is_alive)
                    && memory.is_at(key)
                {
                    let (ended, has_begun, trackers) = (AtomicU64::new(0), AtomicBool::new(false), AtomicUsize::new(1));
                    return Ok(Seat { memory, place, process, namespace, job, ended, has_begun, trackers });
                }
            }
            os::pause(Duration::from_millis(2)); // another process is removing the record
        }
        Err(io::Error::other("the job's record has no room"))
    }

    /// Adds a tracker. False: the seat was released by the last tracker.
    fn add_tracker(&self) -> bool {
        let one_more = |trackers: usize| (trackers > 0).then_some(trackers + 1);
        self.trackers.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok()
    }

    /// Removes a tracker. After the last one, other processes may count this process's devices. The record is removed
    /// if no other process uses it.
    pub fn release(&self) {
        let is_last = self.trackers.fetch_sub(1, Ordering::AcqRel) == 1;
        if !is_last || self.process != os::process_id() {
            return;
        }
        let (record, now) = (self.record(), os::monotonic_ns());
        let is_alive = |member: &Member| is_alive(member, self.namespace, now);
        let party = self.party(&is_alive);
        party.release();
        if record.release(self.place, &is_alive) {
            self.memory.remove();
        }
    }

    /// The index of a device in the record, by a hash of its name. None: the record has no room.
    pub fn device(&self, hash: u64) -> Option<usize> {
        self.record().device(hash)
    }

    /// Notes that the journal of this process has the energy up to `to`.
    pub fn journal(&self, to: MonoNs) {
        self.record().journal(self.place, to);
    }

    /// Notes that this process polls at `now` and has read its devices since `read_since`.
    pub fn beat(&self, now: MonoNs, read_since: Option<MonoNs>) {
        self.record().beat(self.place, now);
        read_since.into_iter().for_each(|since| self.record().begin(self.place, since));
    }

    /// Notes that an epoch began or ended, unless the seat was released.
    pub fn note(&self, state: MemberState) {
        let (record, is_left) = (self.record(), self.trackers.load(Ordering::Relaxed) == 0);
        if is_left {
            return;
        }
        if let MemberState::Open(at) = state
            && !self.has_begun.load(Ordering::Relaxed)
        {
            self.has_begun.store(true, Ordering::Relaxed);
            record.begin(self.place, at);
        }
        if let Some(there) = record.state(self.place) {
            there.store(state.pack(), Ordering::Release);
        }
    }

    fn party<'a>(&'a self, is_alive: &'a dyn Fn(&Member) -> bool) -> Party<'a> {
        let (place, process, namespace) = (self.place, self.process, self.namespace);
        Party { record: self.record(), place, process, namespace, is_alive }
    }

    fn record(&self) -> LeaseRecord<'_> {
        LeaseRecord(self.memory.numbers())
    }

    /// The current state of a device. Takes it if the policy allows that.
    pub fn poll(&self, turn: &mut PartyTurn, poll: LeasePoll) -> LeaseState {
        let ended = MonoNs::to_word(poll.ended);
        let newest = MonoNs::from_word(self.ended.fetch_max(ended, Ordering::Relaxed).max(ended));
        let is_alive = |member: &Member| is_alive(member, self.namespace, poll.now);
        let party = self.party(&is_alive);
        party.poll(turn, newest, poll)
    }

    /// Notes the energy of this process, J, and returns the totals of the job on this node.
    pub fn on_node(&self, joules: Option<f64>, now: MonoNs) -> OnNode {
        let record = self.record();
        record.note_used(self.place, joules);
        // A process that has just polled is alive; that saves a look into /proc.
        let is_living = |member: &Member| now < member.beat + FRESH_POLL_NS || is_alive(member, self.namespace, now);
        let processes = record.members().filter(|(_, member)| is_living(member)).count() as u64;
        OnNode { record: Some(record.number()), processes, energy_j: record.sum(&is_living) }
    }
}

/// Whether a process is alive, as far as this namespace of process numbers shows.
fn is_alive(member: &Member, namespace: u64, now: MonoNs) -> bool {
    if member.namespace == namespace {
        os::is_alive(member.process, member.started)
    } else {
        now < member.beat + MAX_SILENCE_NS
    }
}

/// The result of a search for a job's record.
enum FoundSeat {
    /// The record, and its key.
    Record(Segment, i32),
    /// It was just removed. The caller tries again.
    Removed,
}

/// Finds the memory of a job's record, or creates it.
fn find(job: u64, now: MonoNs) -> io::Result<FoundSeat> {
    let mut failure = io::Error::from(io::ErrorKind::AddrInUse);
    for n in 0..MAX_KEYS {
        let key = (job.wrapping_add(n) as u32 | 1 << 30) as i32; // 0 would be a private one
        let memory = Segment::share(key, NUMBERS).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Segment::create(key, NUMBERS),
            _ => Err(error),
        });
        match memory {
            Ok(memory) if LeaseRecord(memory.numbers()).is_of(job, now) => return Ok(FoundSeat::Record(memory, key)),
            Ok(_) => (),
            Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::AlreadyExists].contains(&error.kind()) => {
                return Ok(FoundSeat::Removed);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Removes the records of jobs whose last process was killed more than [`MAX_ABANDONED_S`] ago.
fn sweep() {
    let (namespace, now) = (os::pid_namespace(), os::monotonic_ns());
    for memory in os::abandoned(NUMBERS, MAX_ABANDONED_S) {
        if LeaseRecord(memory.numbers()).close(&|member| is_alive(member, namespace, now)) {
            memory.remove();
        }
    }
}
