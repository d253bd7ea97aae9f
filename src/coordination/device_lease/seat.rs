//! This process in the record of a job: where the record lies in shared memory, and the one seat that all trackers of this
//! process have in common.

use super::party::{Party, PartyTurn};
use super::record::{LeaseRecord, Member, MemberState, NUMBERS};
use super::{LeasePoll, LeaseState, OnNode};
use crate::clock::MonoNs;
use crate::coordination::job::Rank;
use crate::os::{self, Segment, lock_within};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, Weak};
use std::time::Duration;

/// A process whose number means nothing here is taken for dead after so long without a look, ns.
const SILENT_NS: u64 = 5_000_000_000;
/// Who has looked so short a time ago, ns, is taken for living where it does not matter much.
const FRESH_NS: u64 = 3_000_000_000;
/// Records that killed jobs have left are removed after this, s.
const LEFT_OVER_S: u64 = 24 * 3600;
/// Keys tried for a record: another program may use the first.
const KEYS: u64 = 8;

/// The seats of this process, one a job. Its trackers share them.
static SEATS: Mutex<Vec<Weak<Seat>>> = Mutex::new(Vec::new());

/// This process in the record of a job.
pub struct Seat {
    memory: Segment,
    place: usize,
    /// A forked child inherits this value, but not the seat.
    process: u32,
    namespace: u64,
    job: u64,
    /// The newest end of an epoch of any tracker, ns.
    ended: AtomicU64,
    /// It has begun an epoch.
    has_begun: AtomicBool,
    /// Trackers that count by it; none any more: it was left.
    trackers: AtomicUsize,
}

impl Seat {
    /// This process's seat in the record of a job.
    pub fn take(job: u64, rank: Rank) -> io::Result<Arc<Seat>> {
        static SWEPT: Once = Once::new();
        SWEPT.call_once(sweep);
        let mut seats = lock_within(&SEATS, os::BRIEF).ok_or(io::ErrorKind::WouldBlock)?;
        seats.retain(|seat| seat.strong_count() > 0);
        let process = std::process::id();
        let is_this = |seat: &Arc<Seat>| seat.job == job && seat.process == process && seat.is_joined_again();
        if let Some(seat) = seats.iter().filter_map(Weak::upgrade).find(is_this) {
            return Ok(seat);
        }
        let seat = Arc::new(Seat::join(job, rank)?);
        seats.push(Arc::downgrade(&seat));
        Ok(seat)
    }

    fn join(job: u64, rank: Rank) -> io::Result<Seat> {
        const TRIES: usize = 50;
        let (process, namespace, now) = (std::process::id(), os::pid_namespace(), os::monotonic_ns());
        let started = os::process_start(process).unwrap_or(0);
        let member =
            Member { process, started, namespace, rank: rank.number, since: now, beat: now, ..Member::default() };
        let is_alive = |other: &Member| is_alive(other, namespace, now);
        for _ in 0..TRIES {
            if let FoundSeat::Record(memory, key) = find(job, now)? {
                let record = LeaseRecord(memory.numbers());
                // What those have left who are dead goes: it is of an earlier run by the same name.
                if record.close(&is_alive) {
                    memory.remove();
                } else if let Some(place) = record.join(&member, &is_alive)
                    && memory.is_at(key)
                {
                    let (ended, has_begun, trackers) = (AtomicU64::new(0), AtomicBool::new(false), AtomicUsize::new(1));
                    return Ok(Seat { memory, place, process, namespace, job, ended, has_begun, trackers });
                }
            }
            os::pause(Duration::from_millis(2)); // it is being removed
        }
        Err(io::Error::other("the job's record has no room"))
    }

    /// Whether one more tracker counts by it; not where the last has left it.
    fn is_joined_again(&self) -> bool {
        let one_more = |trackers: usize| (trackers > 0).then_some(trackers + 1);
        self.trackers.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok()
    }

    /// A tracker ends. After the last others count what this process counted; the record goes if nobody else is in it.
    pub fn leave(&self) {
        let is_last = self.trackers.fetch_sub(1, Ordering::AcqRel) == 1;
        if !is_last || self.process != std::process::id() {
            return;
        }
        let (record, now) = (self.record(), os::monotonic_ns());
        let is_alive = |member: &Member| is_alive(member, self.namespace, now);
        let party = self.party(&is_alive);
        party.give_up();
        if record.leave(self.place, &is_alive) {
            self.memory.remove();
        }
    }

    /// The number of a device in the record, by a hash of what it is called; None: there is no room.
    pub fn device(&self, hash: u64) -> Option<usize> {
        self.record().device(hash)
    }

    /// Notes up to when, ns, the journal of this process holds what it used.
    pub fn journal(&self, to: MonoNs) {
        self.record().journal(self.place, to);
    }

    /// Notes that this process has looked at `now`, ns, and since when it has read its devices.
    pub fn beat(&self, now: MonoNs, read_since: Option<MonoNs>) {
        self.record().beat(self.place, now);
        read_since.into_iter().for_each(|since| self.record().begin(self.place, since));
    }

    /// Notes that an epoch began or ended.
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

    /// How a claim stands, and takes it where that is to be.
    pub fn look(&self, turn: &mut PartyTurn, look: LeasePoll) -> LeaseState {
        let ended = MonoNs::to_word(look.ended);
        let newest = MonoNs::from_word(self.ended.fetch_max(ended, Ordering::Relaxed).max(ended));
        let is_alive = |member: &Member| is_alive(member, self.namespace, look.now);
        let party = self.party(&is_alive);
        party.look(turn, newest, look)
    }

    /// Notes how much energy, J, this process has used, and returns what is known of the job on this node.
    pub fn on_node(&self, joules: Option<f64>, now: MonoNs) -> OnNode {
        let record = self.record();
        record.note_used(self.place, joules);
        // Who has looked just now lives.
        let lives = |member: &Member| now < member.beat + FRESH_NS || is_alive(member, self.namespace, now);
        let processes = record.members().filter(|(_, member)| lives(member)).count() as u64;
        OnNode { record: Some(record.number()), processes, energy_j: record.sum(&lives) }
    }
}

/// Whether a process still lives, as far as it can be known in this namespace of process numbers.
fn is_alive(member: &Member, namespace: u64, now: MonoNs) -> bool {
    if member.namespace == namespace {
        os::is_alive(member.process, member.started)
    } else {
        now < member.beat + SILENT_NS
    }
}

/// Where a job's record may be.
enum FoundSeat {
    /// There, under this key.
    Record(Segment, i32),
    /// It was just removed: try again.
    Removed,
}

/// The memory of a job's record, made if it is not there.
fn find(job: u64, now: MonoNs) -> io::Result<FoundSeat> {
    let mut failure = io::Error::from(io::ErrorKind::AddrInUse);
    for n in 0..KEYS {
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

/// Removes the records of jobs whose last process was killed long ago.
fn sweep() {
    let (namespace, now) = (os::pid_namespace(), os::monotonic_ns());
    for memory in os::abandoned(NUMBERS, LEFT_OVER_S) {
        if LeaseRecord(memory.numbers()).close(&|member| is_alive(member, namespace, now)) {
            memory.remove();
        }
    }
}
