//! The membership of this process in the record of its job. All trackers of the process share it.

use super::find_record::{FoundRecord, find, is_alive, is_silent, sweep};
use super::participant::{DeviceTurn, Participant};
use super::record::{LeaseRecord, Member, MemberState};
use super::{LeasePoll, LeaseState, OnNode};
use crate::clock::MonoNs;
use crate::coordination::job::Rank;
use crate::os::{self, PerProcess, Segment};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Once, Weak};
use std::time::Duration;

/// For the count of processes, a process counts as alive for this time after a poll, ns.
const FRESH_POLL_NS: u64 = 3_000_000_000;

/// The memberships of this process, one for each job.
static MEMBERSHIPS: PerProcess<Vec<Weak<Membership>>> = PerProcess::new(Vec::new());

/// Tries to join a record, and the pause between two.
const MAX_TRIES: usize = 50;
const JOIN_PAUSE: Duration = Duration::from_millis(2);
/// The longest wait while another tracker of this process joins: all its tries, and some time for a busy machine.
const TAKE_WAIT: Duration = Duration::from_millis(MAX_TRIES as u64 * 2 + 200);

/// The membership of this process in the record of a job.
pub struct Membership {
    memory: Segment,
    index: usize,
    /// The process that took the membership. A forked child inherits this value, but not the membership.
    process: u32,
    namespace: u64,
    job: u64,
    /// The newest end of an epoch of all trackers, ns. 0: none.
    ended: AtomicU64,
    /// The process has begun an epoch.
    has_begun: AtomicBool,
    /// Number of trackers that use the membership. 0: it was released.
    trackers: AtomicUsize,
}

impl Membership {
    /// Takes the membership of this process in the record of a job, or shares the one that it has. Fails if there is
    /// no shared memory or no room.
    pub fn take(job: u64, rank: Rank) -> io::Result<Arc<Membership>> {
        static SWEPT: Once = Once::new();
        SWEPT.call_once(sweep);
        let mut memberships = MEMBERSHIPS.lock_within(TAKE_WAIT).ok_or(io::ErrorKind::WouldBlock)?;
        memberships.retain(|membership| membership.strong_count() > 0);
        let process = os::process_id();
        let is_this = |membership: &Arc<Membership>| {
            membership.job == job && membership.process == process && membership.add_tracker()
        };
        if let Some(membership) = memberships.iter().filter_map(Weak::upgrade).find(is_this) {
            return Ok(membership);
        }
        let membership = Arc::new(Membership::join(job, rank)?);
        memberships.push(Arc::downgrade(&membership));
        Ok(membership)
    }

    fn join(job: u64, rank: Rank) -> io::Result<Membership> {
        let (process, namespace, now) = (os::process_id(), os::pid_namespace(), os::monotonic_ns());
        let started = os::process_start(process).unwrap_or(0);
        let member =
            Member { process, started, namespace, rank: rank.number, since: now, beat: now, ..Member::default() };
        let is_alive = |other: &Member| is_alive(other, namespace, now);
        for _ in 0..MAX_TRIES {
            if let FoundRecord::Record(memory, key) = find(job, now)? {
                let record = LeaseRecord(memory.numbers());
                // If all members are dead, the record belongs to an earlier run with the same name, and is removed.
                if record.close(&is_alive) {
                    memory.remove();
                } else if let Some(index) = record.join(&member, &is_alive).filter(|_| memory.is_at(key)) {
                    let (ended, has_begun, trackers) = (AtomicU64::new(0), AtomicBool::new(false), AtomicUsize::new(1));
                    return Ok(Membership { memory, index, process, namespace, job, ended, has_begun, trackers });
                }
            }
            os::pause(JOIN_PAUSE); // another process is removing the record
        }
        Err(io::Error::other("the job's record has no room"))
    }

    /// Adds a tracker. False: the membership was released by the last tracker.
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
        let participant = self.participant(&is_alive);
        participant.release();
        if record.release(self.index, &is_alive) {
            self.memory.remove();
        }
    }

    /// The index of a device in the record, by a hash of its name. None: the record has no room.
    pub fn device(&self, hash: u64) -> Option<usize> {
        self.record().device(hash)
    }

    /// Notes that the journal of this process has the energy up to `to`.
    pub fn journal(&self, to: MonoNs) {
        self.record().journal(self.index, to);
    }

    /// Notes that this process polls at `now` and has read its devices since `read_since`.
    pub fn beat(&self, now: MonoNs, read_since: Option<MonoNs>) {
        self.record().beat(self.index, now);
        read_since.into_iter().for_each(|since| self.record().begin(self.index, since));
    }

    /// Notes that an epoch began or ended, unless the membership was released.
    pub fn note(&self, state: MemberState) {
        let (record, is_left) = (self.record(), self.trackers.load(Ordering::Relaxed) == 0);
        if is_left {
            return;
        }
        if let MemberState::Open(at) = state {
            if !self.has_begun.load(Ordering::Relaxed) {
                self.has_begun.store(true, Ordering::Relaxed);
                record.begin(self.index, at);
            }
        }
        if let Some(there) = record.state(self.index) {
            there.store(state.pack(), Ordering::Release);
        }
    }

    fn participant<'a>(&'a self, is_alive: &'a dyn Fn(&Member) -> bool) -> Participant<'a> {
        let (index, process, namespace) = (self.index, self.process, self.namespace);
        Participant { record: self.record(), index, process, namespace, is_alive }
    }

    fn record(&self) -> LeaseRecord<'_> {
        LeaseRecord(self.memory.numbers())
    }

    /// The current state of a device. Takes it if the policy allows that.
    pub fn poll(&self, turn: &mut DeviceTurn, poll: LeasePoll) -> LeaseState {
        let ended = MonoNs::to_word(poll.ended);
        let newest = MonoNs::from_word(self.ended.fetch_max(ended, Ordering::Relaxed).max(ended));
        // A silent entry of this process is that of its program before an exec. The own entry is not silent.
        let is_earlier = |member: &Member| {
            (member.process, member.namespace) == (self.process, self.namespace) && is_silent(member, poll.now)
        };
        let is_alive = |member: &Member| !is_earlier(member) && is_alive(member, self.namespace, poll.now);
        let participant = self.participant(&is_alive);
        participant.poll(turn, newest, poll)
    }

    /// The living processes of the job on this node, as far as this namespace of process numbers shows.
    pub fn processes(&self) -> Vec<u32> {
        let is_here =
            |member: &Member| member.namespace == self.namespace && os::is_alive(member.process, member.started);
        self.record().members().filter(|(_, member)| is_here(member)).map(|(_, member)| member.process).collect()
    }

    /// Notes the energy of this process, J, and returns the totals of the job on this node.
    pub fn on_node(&self, joules: Option<f64>, now: MonoNs) -> OnNode {
        let record = self.record();
        record.note_used(self.index, joules);
        // A process that has just polled is alive; that saves a look into /proc.
        let is_living = |member: &Member| now < member.beat + FRESH_POLL_NS || is_alive(member, self.namespace, now);
        let processes = record.members().filter(|(_, member)| is_living(member)).count() as u64;
        OnNode { record: Some(record.number()), processes, energy_j: record.sum(&is_living) }
    }
}
