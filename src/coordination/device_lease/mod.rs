//! Leases of devices. Of a job's processes on one node, one at a time counts a device. All of them read it, but its
//! energy is in the report of its owner only.
//!
//! - `record.rs`: the record in shared memory. `packed_owner.rs`: an owner as one number of it.
//! - `find_record.rs`: finds or makes the record of a job. `membership.rs`: the entry of this process in it.
//! - `policy.rs`: decides whether a process takes a device. `participant.rs`: a process that reads and changes the
//!   record. This file has the leases of one tracker.
//!
//! An owner counts from the begin of its turn. At each end of an epoch it settles the time up to there. Another process
//! takes the device over from the settled instant on, if the owner has ended or is idle. If the owner was killed, it
//! takes the device over from the end of the owner's journal on. Each change is one compare-and-swap. If two processes
//! change the owner at once, one of them fails and tries again. So the turns of all processes follow each other without
//! gap or overlap.

mod find_record;
mod membership;
mod packed_owner;
mod participant;
mod policy;
mod record;

use super::job::{Job, Rank};
use crate::clock::MonoNs;
use crate::measurement::channel::{Channel, DeviceKind, MeasuringMethod};
use crate::os;
use membership::Membership;
use participant::DeviceTurn;
use record::MemberState;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

/// The state of a lease for this process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LeaseState {
    /// This process counts the device.
    pub is_ours: bool,
    /// This process does not count it, because the job's processes have no common record.
    pub is_apart: bool,
    /// The other process that counts it. 0: its number is not known here. None: there is none.
    pub holder: Option<u32>,
    /// Reports of other processes have its energy up to here. None: they have none.
    pub reported_until: Option<MonoNs>,
    /// This process counted it up to here and has lost it since the last poll.
    pub lost_at: Option<MonoNs>,
    /// This process took it in this poll and lost it at once. It counts it from the first to the second instant.
    pub passed: Option<(MonoNs, MonoNs)>,
}

impl LeaseState {
    /// Whether this process does not count the device: another process does, or the processes have no record.
    pub fn is_elsewhere(&self) -> bool {
        !self.is_ours && (self.holder.is_some() || self.is_apart)
    }

    /// The other process that counts the device. None: there is none, or its number is unknown here.
    pub fn process(&self) -> Option<u32> {
        self.holder.filter(|&holder| holder > 0)
    }
}

/// The leases of one tracker.
pub struct LeaseManager {
    common: Common,
    /// One for each device. The index is the number of the lease in the run's state.
    leases: Vec<DeviceLease>,
    journal_reach: JournalReach,
}

/// What the processes of the job share.
enum Common {
    /// Nothing: there is no job, or this process is its only one. It counts everything.
    Alone,
    /// A record in shared memory.
    Joined(Job, Arc<Membership>),
    /// A job, but no record. If the launcher numbers the ranks of a node, the first one counts.
    Apart {
        job: Job,
        /// This process counts.
        counts: bool,
        /// The message for the user, until it is sent.
        message: Option<String>,
    },
}

impl Common {
    fn of(job: Job, rank: Rank, sysroot: &Path) -> Common {
        match Membership::take(job.hash(os::user(), sysroot), rank) {
            Ok(membership) => Common::Joined(job, membership),
            Err(_) if !job.is_named || rank.of == Some(1) => Common::Alone,
            Err(error) => {
                let message = Some(cannot_agree(&job, &error, rank.local));
                Common::Apart { job, counts: rank.local == Some(0), message }
            }
        }
    }
}

/// The lease of a device that one process of the job counts.
struct DeviceLease {
    device: String,
    /// This process's turn. None: the record has no room for the device.
    turn: Option<DeviceTurn>,
}

/// Publishes how far a tracker's journal reaches. The journal's thread does it after each write, because a kill may
/// come at any time.
#[derive(Clone, Default)]
pub struct JournalReach(Arc<Mutex<Option<Arc<Membership>>>>);

impl JournalReach {
    /// Notes that the journal has all energy up to here.
    pub fn note(&self, to: MonoNs) {
        if let Some(membership) = &*self.membership() {
            membership.journal(to);
        }
    }

    fn membership(&self) -> MutexGuard<'_, Option<Arc<Membership>>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The state of the run that a poll of the leases needs.
#[derive(Clone, Copy, Debug)]
pub struct LeasePoll {
    /// Now.
    pub now: MonoNs,
    /// The newest end of an epoch that is in the run's state, or is about to be entered.
    pub ended: Option<MonoNs>,
    /// A report is requested, or the run is about to end.
    pub is_requested: bool,
    /// When the device was read first. None: it was not read yet.
    pub read_since: Option<MonoNs>,
}

impl LeaseManager {
    /// Takes an entry in the job's record for the process of this rank. Without a job there are no leases, and this
    /// process counts all devices.
    pub fn new(job: Option<Job>, rank: Rank, sysroot: &Path) -> LeaseManager {
        let common = job.map_or(Common::Alone, |job| Common::of(job, rank, sysroot));
        let membership = if let Common::Joined(_, membership) = &common { Some(Arc::clone(membership)) } else { None };
        LeaseManager { common, leases: Vec::new(), journal_reach: JournalReach(Arc::new(Mutex::new(membership))) }
    }

    /// The number of the lease of a channel's device. None: no other process can count it. If the job's processes have
    /// no record, the first call sends a message to `notify`.
    pub fn claim(&mut self, channel: &Channel, notify: impl FnMut(String)) -> Option<usize> {
        let job = self.job()?;
        let device = device(channel, job)?;
        if let Some(index) = self.leases.iter().position(|lease| lease.device == device) {
            return Some(index);
        }
        if let Common::Apart { message, .. } = &mut self.common {
            message.take().into_iter().for_each(notify);
        }
        let hash = os::stable_hash(device.bytes()).max(1);
        let turn = match &self.common {
            Common::Joined(_, membership) => membership.device(hash).map(DeviceTurn::new),
            _ => None,
        };
        self.leases.push(DeviceLease { device, turn });
        Some(self.leases.len() - 1)
    }

    /// The device of a lease, and a text with the device and the job for messages.
    pub fn named(&self, lease: usize) -> Option<(String, String)> {
        let (device, words) = (&self.leases.get(lease)?.device, &self.job()?.words);
        Some((device.clone(), format!("{device} for the ranks of this job on this node ({words})")))
    }

    fn job(&self) -> Option<&Job> {
        match &self.common {
            Common::Alone => None,
            Common::Joined(job, _) | Common::Apart { job, .. } => Some(job),
        }
    }

    /// The current state of each lease. `read_since` has the first reading of each. A device without an owner is taken
    /// if this process is in an epoch, or has ended an epoch that no report covers.
    pub fn poll(&mut self, poll: LeasePoll, read_since: &[Option<MonoNs>]) -> Vec<LeaseState> {
        match &self.common {
            Common::Joined(_, membership) => {
                membership.beat(poll.now, read_since.iter().flatten().max().copied());
                let apart = LeaseState { is_apart: true, ..LeaseState::default() };
                let read_since = read_since.iter().copied().chain(std::iter::repeat(None));
                let leases = self.leases.iter_mut().zip(read_since);
                let state_of = |(lease, read_since): (&mut DeviceLease, Option<MonoNs>)| {
                    lease.turn.as_mut().map_or(apart, |turn| membership.poll(turn, LeasePoll { read_since, ..poll }))
                };
                leases.map(state_of).collect()
            }
            Common::Apart { counts, .. } => {
                let state = LeaseState { is_ours: *counts, is_apart: !counts, ..LeaseState::default() };
                vec![state; self.leases.len()]
            }
            _ => Vec::new(),
        }
    }

    /// Whether other processes may count a device of this tracker.
    pub fn is_shared(&self) -> bool {
        matches!(self.common, Common::Joined(..)) && !self.leases.is_empty()
    }

    /// The value that the application's thread uses to note epochs. None: no other process reads it.
    pub fn state(&self) -> Option<EpochState> {
        match &self.common {
            Common::Joined(_, membership) => Some(EpochState(Arc::clone(membership))),
            _ => None,
        }
    }

    /// The value that the journal's thread uses to publish how far the journal reaches.
    pub fn journal_reach(&self) -> JournalReach {
        self.journal_reach.clone()
    }

    /// The processes of the job on this node that measure, with this one.
    pub fn processes(&self) -> Vec<u32> {
        let own = os::process_id();
        let mut all = if let Common::Joined(_, membership) = &self.common { membership.processes() } else { vec![own] };
        if !all.contains(&own) {
            all.push(own);
        }
        all
    }

    /// Notes the energy of this run so far, J, and returns the totals of the job on this node. None: no device
    /// is shared.
    pub fn on_node(&self, joules: Option<f64>, now: MonoNs) -> Option<OnNode> {
        match &self.common {
            _ if self.leases.is_empty() => None,
            Common::Joined(_, membership) => Some(membership.on_node(joules, now)),
            Common::Apart { .. } => Some(OnNode { record: None, processes: 1, energy_j: None }),
            _ => None,
        }
    }

    /// Releases all leases. Other processes may count the devices from now on.
    pub fn release(&mut self) {
        self.leases.clear();
        *self.journal_reach.membership() = None;
        if let Common::Joined(_, membership) = std::mem::replace(&mut self.common, Common::Alone) {
            membership.release();
        }
    }
}

impl Drop for LeaseManager {
    fn drop(&mut self) {
        self.release();
    }
}

/// The totals of the job on this node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OnNode {
    /// A number that identifies the job's record on this node. None: there is no record.
    pub record: Option<u32>,
    /// Number of living processes, with this one.
    pub processes: u64,
    /// Energy of the living and the ended processes, J. None: unknown.
    pub energy_j: Option<f64>,
}

/// The application's thread notes the begin and end of epochs here.
pub struct EpochState(Arc<Membership>);

impl EpochState {
    /// Notes that an epoch began at this time.
    pub fn begin(&self, at: MonoNs) {
        self.0.note(MemberState::Open(at));
    }

    /// Notes that the open epoch ended or was cancelled. `at` is the newest end of an epoch. None: no epoch has ended.
    pub fn end(&self, at: Option<MonoNs>) {
        self.0.note(MemberState::Ended(at));
    }
}

/// The message for a job whose processes have no record.
fn cannot_agree(job: &Job, error: &io::Error, local: Option<u64>) -> String {
    let result = match local {
        Some(0) => "this rank counts the whole node, because it is the first rank here",
        Some(_) => "the first rank of the node counts all devices, and this rank counts none",
        None => "this rank counts no device here, so that no energy is counted twice. Use job=off on one rank to count",
    };
    format!(
        "the ranks of {} on this node cannot agree which rank counts a device: no System V shared memory ({error}). So {result}. Fix: allow shared memory (ipcs -l shows its limits)",
        job.words
    )
}

/// The name of the device that is leased for a channel: the node's processors, its memory, the node, or a GPU. An
/// estimate is leased by the processors in its id. None: no other process can count it. This holds for a simulated GPU,
/// and for a simulated processor if the job is inferred.
///
/// A node that shares its machine with others has simulated processors of its own.
fn device(channel: &Channel, job: &Job) -> Option<String> {
    match (channel.kind, channel.method) {
        (DeviceKind::Cpu, _) if channel.simulated && job.is_named && job.node.is_some() => {
            job.node.as_ref().map(|node| format!("the processors of {node}"))
        }
        (DeviceKind::Gpu, _) => (!channel.simulated).then(|| format!("GPU {}", channel.id)),
        _ if channel.simulated && !job.is_named => None,
        (_, MeasuringMethod::Estimate) => Some(channel.id.clone()),
        (DeviceKind::Cpu, _) => Some("the processors".into()),
        (DeviceKind::Dram, _) => Some("the memory".into()),
        (DeviceKind::Node, _) => Some("the node".into()),
    }
}

#[cfg(test)]
mod tests;
