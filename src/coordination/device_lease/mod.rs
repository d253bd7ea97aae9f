//! Who counts a device: of a job's processes on one node, one at a time. All of them read it; what one of them counts is in
//! its report, and in nobody else's. `record.rs` is what they have in common, `word.rs` how an owner stands in it, and
//! `policy.rs` says who is to own a device. `seat.rs` finds the record for this process, and this
//! file puts all of it to work for one tracker.
//!
//! An owner counts from where its turn began. Whenever it ends an epoch it settles up to there. Another may take the device
//! over from what is settled on: from one that ended, that stands idle, or that was killed, and then from what its journal
//! holds. Each change is one compare-and-swap. Where the owner's settling and another's taking meet, one of the two fails and
//! looks again. So the turns of all processes follow one another without gap or overlap.

mod party;
mod policy;
mod record;
mod seat;
mod word;

use super::job::{Job, Rank};
use crate::clock::MonoNs;
use crate::measurement::channel::{Channel, DeviceKind, MeasuringMethod};
use crate::os;
use party::PartyTurn;
use record::MemberState;
use seat::Seat;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

/// How a claim stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LeaseState {
    /// This process counts the device.
    pub is_ours: bool,
    /// Nobody counts it here: the processes of the job have no record in common.
    pub is_apart: bool,
    /// The other process that counts it, if any; 0: its number is not known here.
    pub holder: Option<u32>,
    /// Up to here reports of others cover it; None: they do not.
    pub reported_until: Option<MonoNs>,
    /// This process counted it up to here, ns, until this look.
    pub lost_at: Option<MonoNs>,
    /// This process took it at this look and lost it at once: it counts it from here to there, ns.
    pub passed: Option<(MonoNs, MonoNs)>,
}

impl LeaseState {
    /// Another process counts the device, or none.
    pub fn is_elsewhere(&self) -> bool {
        !self.is_ours && (self.holder.is_some() || self.is_apart)
    }

    /// The other process that counts the device; None: there is none, or its number is unknown here.
    pub fn process(&self) -> Option<u32> {
        self.holder.filter(|&holder| holder > 0)
    }
}

/// What this tracker claims to count.
pub struct LeaseManager {
    common: Common,
    /// By device; a claim's place is its number in the books.
    claims: Vec<DeviceLease>,
    teller: Teller,
}

/// What the processes of a job share.
enum Common {
    /// There is no job, or this process is all of it: it counts everything.
    Alone,
    /// A record.
    Joined(Job, Arc<Seat>),
    /// No record can be had: the first process of the node counts, where its launcher says which that is. What is to be
    /// said of it, once there is a device to share.
    Apart(Job, bool, Option<String>),
}

impl Common {
    fn of(job: Job, rank: Rank, sysroot: &Path) -> Common {
        match Seat::take(job.hash(os::user(), sysroot), rank) {
            Ok(seat) => Common::Joined(job, seat),
            Err(_) if !job.is_named || rank.of == Some(1) => Common::Alone,
            Err(error) => {
                let why = cannot_agree(&job, &error, rank.local);
                Common::Apart(job, rank.local == Some(0), Some(why))
            }
        }
    }
}

/// A device that one process of the job counts.
struct DeviceLease {
    device: String,
    /// Our part in it; None: the record has no room for it.
    turn: Option<PartyTurn>,
}

/// Notes up to when, ns, a tracker's journal holds what it counts: at once, for a kill may come at any time.
#[derive(Clone, Default)]
pub struct Teller(Arc<Mutex<Option<Arc<Seat>>>>);

impl Teller {
    /// The journal holds this much by now.
    pub fn tell(&self, to: MonoNs) {
        if let Some(seat) = &*self.seat() {
            seat.journal(to);
        }
    }

    fn seat(&self) -> MutexGuard<'_, Option<Arc<Seat>>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The run, as a look needs it.
#[derive(Clone, Copy, Debug)]
pub struct LeasePoll {
    /// Now, ns.
    pub now: MonoNs,
    /// The newest end of an epoch that is about to be entered into the books, or was; ns.
    pub ended: Option<MonoNs>,
    /// A report is asked for, or the run is about to end.
    pub is_asked: bool,
    /// Since when, ns, the device that it is about has been read; None: it was not yet.
    pub read_since: Option<MonoNs>,
}

impl LeaseManager {
    /// For the process of this rank, which takes a seat in the job's record. Without a job nothing is claimed: this process
    /// counts all by itself.
    pub fn new(job: Option<Job>, rank: Rank, sysroot: &Path) -> LeaseManager {
        let common = job.map_or(Common::Alone, |job| Common::of(job, rank, sysroot));
        let seat = if let Common::Joined(_, seat) = &common { Some(Arc::clone(seat)) } else { None };
        LeaseManager { common, claims: Vec::new(), teller: Teller(Arc::new(Mutex::new(seat))) }
    }

    /// The number of the claim on a channel's device; None where only this process counts it. Where the processes of the job
    /// cannot find each other, `say` hears it.
    pub fn claim(&mut self, channel: &Channel, say: impl FnMut(String)) -> Option<usize> {
        let job = self.job()?;
        let device = device(channel, job)?;
        if let Some(place) = self.claims.iter().position(|claim| claim.device == device) {
            return Some(place);
        }
        if let Common::Apart(_, _, why) = &mut self.common {
            why.take().into_iter().for_each(say);
        }
        let hash = os::stable_hash(device.bytes()).max(1);
        let turn = match &self.common {
            Common::Joined(_, seat) => seat.device(hash).map(PartyTurn::new),
            _ => None,
        };
        self.claims.push(DeviceLease { device, turn });
        Some(self.claims.len() - 1)
    }

    /// What a claim is of, and the same in words with the job.
    pub fn named(&self, claim: usize) -> Option<(String, String)> {
        let (device, words) = (&self.claims.get(claim)?.device, &self.job()?.words);
        Some((device.clone(), format!("{device} for the ranks of this job on this node ({words})")))
    }

    fn job(&self) -> Option<&Job> {
        match &self.common {
            Common::Alone => None,
            Common::Joined(job, _) | Common::Apart(job, ..) => Some(job),
        }
    }

    /// How every claim stands now; since when each has been read, ns. A device that nobody counts is taken where this process
    /// is in an epoch, or has an end that no report covers.
    pub fn look(&mut self, look: LeasePoll, read_since: &[Option<MonoNs>]) -> Vec<LeaseState> {
        match &self.common {
            Common::Joined(_, seat) => {
                seat.beat(look.now, read_since.iter().flatten().max().copied());
                let apart = LeaseState { is_apart: true, ..LeaseState::default() };
                let read_since = read_since.iter().copied().chain(std::iter::repeat(None));
                let claims = self.claims.iter_mut().zip(read_since);
                let stand = |(claim, read_since): (&mut DeviceLease, Option<MonoNs>)| {
                    claim.turn.as_mut().map_or(apart, |turn| seat.look(turn, LeasePoll { read_since, ..look }))
                };
                claims.map(stand).collect()
            }
            Common::Apart(_, counts, _) => {
                let standing = LeaseState { is_ours: *counts, is_apart: !counts, ..LeaseState::default() };
                self.claims.iter().map(|_| standing).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether other processes may count what this one claims.
    pub fn is_shared(&self) -> bool {
        matches!(self.common, Common::Joined(..)) && !self.claims.is_empty()
    }

    /// Where the application notes that an epoch begins or ends; None: nobody reads it.
    pub fn state(&self) -> Option<EpochState> {
        match &self.common {
            Common::Joined(_, seat) => Some(EpochState(Arc::clone(seat))),
            _ => None,
        }
    }

    /// For whoever writes the journal.
    pub fn teller(&self) -> Teller {
        self.teller.clone()
    }

    /// Notes how much energy, J, this run has used so far, and returns what is known of the job on this node.
    pub fn on_node(&self, joules: Option<f64>, now: MonoNs) -> Option<OnNode> {
        match &self.common {
            _ if self.claims.is_empty() => None,
            Common::Joined(_, seat) => Some(seat.on_node(joules, now)),
            Common::Apart(..) => Some(OnNode { record: None, processes: 1, energy_j: None }),
            _ => None,
        }
    }

    /// Lets others count from here on.
    pub fn give_up(&mut self) {
        self.claims.clear();
        *self.teller.seat() = None;
        if let Common::Joined(_, seat) = std::mem::replace(&mut self.common, Common::Alone) {
            seat.leave();
        }
    }
}

impl Drop for LeaseManager {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// What is known of the job on this node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OnNode {
    /// The number of the record in which its processes agree; None: they have none.
    pub record: Option<u32>,
    /// How many live, this one included.
    pub processes: u64,
    /// The energy, J, that they and those that ended have used.
    pub energy_j: Option<f64>,
}

/// Where the application's thread notes that an epoch begins or ends.
pub struct EpochState(Arc<Seat>);

impl EpochState {
    /// An epoch began at this time, ns.
    pub fn begin(&self, at: MonoNs) {
        self.0.note(MemberState::Open(at));
    }

    /// The open one ended then, or was dropped; None: no epoch has ended.
    pub fn end(&self, at: Option<MonoNs>) {
        self.0.note(MemberState::Ended(at));
    }
}

/// What to say where no record can be had.
fn cannot_agree(job: &Job, error: &io::Error, local: Option<u64>) -> String {
    let who = match local {
        Some(0) => "this rank counts all of the node, as the first on it by its launcher",
        Some(_) => "the first rank of the node counts all of it, by its launcher, and this rank nothing",
        None => {
            "this rank counts none of the node, or each joule would be in many reports. Count on one rank by job=off"
        }
    };
    format!(
        "the ranks of {} on this node cannot agree who counts what: no System V shared memory ({error}): {who}. Cure: allow shared memory (ipcs -l shows its limits)",
        job.words
    )
}

/// What is claimed together: the node's processors, its memory, its whole, and each GPU. None: nobody else counts it. An
/// estimate is of the processors that its id names. A simulated GPU is each process's own; a simulated processor is the
/// node's where the job is certain.
fn device(channel: &Channel, job: &Job) -> Option<String> {
    match (channel.kind, channel.method) {
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
