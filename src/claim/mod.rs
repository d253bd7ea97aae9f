//! Who counts a device: of a job's processes on one node, one at a time. All of them read it; what one of them counts is in
//! its report, and in nobody else's. `record.rs` is what they have in common, `word.rs` how an owner stands in it, and
//! `policy.rs` says who is to own a device. This file puts them to work for one tracker.
//!
//! An owner counts from where its turn began. Whenever it ends an epoch it settles up to there. Another may take the device
//! over from what is settled on: from one that ended, that stands idle, or that was killed, and then from what its journal
//! holds. Each change is one compare-and-swap. Where the owner's settling and another's taking meet, one of the two fails and
//! looks again. So the turns of all processes follow one another without gap or overlap.

mod party;
mod policy;
mod record;
mod word;

use crate::books::Books;
use crate::channel::{Channel, Kind, Method};
use crate::host::{self, Segment, lock_within};
use crate::job::{Job, Rank};
use crate::trust::Trust;
use party::{Party, Turn};
use record::{Member, NUMBERS, Record, State};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, Weak};
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

/// How a claim stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// This process counts the device.
    pub is_ours: bool,
    /// Nobody counts it here: the processes of the job have no record in common.
    pub is_apart: bool,
    /// The other process that counts it, if any; 0: its number is not known here.
    pub holder: Option<u32>,
    /// Up to here, ns on the monotonic clock, reports of others cover it.
    pub covered_to: u64,
    /// This process counted it up to here, ns, until this look.
    pub lost_at: Option<u64>,
}

impl Standing {
    /// Another process counts the device, or none.
    pub fn is_elsewhere(&self) -> bool {
        !self.is_ours && (self.holder.is_some() || self.is_apart)
    }
}

/// What this tracker claims to count.
pub struct Claimant {
    common: Common,
    sysroot: PathBuf,
    /// By device; a claim's place is its number in the books.
    claims: Vec<Claim>,
    teller: Teller,
}

/// What the processes of a job share.
enum Common {
    /// There is no job, or this process is all of it: it counts everything.
    Alone,
    /// It is to be joined at the first claim.
    Unjoined(Job, Rank),
    /// A record.
    Joined(Job, Arc<Seat>),
    /// No record can be had: the first process of the node counts, where its launcher says which that is.
    Apart(Job, bool),
}

/// A device that one process of the job counts.
struct Claim {
    device: String,
    /// Our part in it; None: the record has no room for it.
    turn: Option<Turn>,
}

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
    /// Trackers that count by it; none any more: it was left.
    trackers: AtomicUsize,
}

/// Notes up to when, ns, a tracker's journal holds what it counts: at once, for a kill may come at any time.
#[derive(Clone, Default)]
pub struct Teller(Arc<Mutex<Option<Arc<Seat>>>>);

impl Teller {
    /// The journal holds this much by now.
    pub fn tell(&self, to: u64) {
        if let Some(seat) = &*self.seat() {
            seat.record().journal(seat.place, to);
        }
    }

    fn seat(&self) -> MutexGuard<'_, Option<Arc<Seat>>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// What a look is told of the run.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Now, ns.
    pub now: u64,
    /// The newest end of an epoch that is about to be entered into the books, or was; ns.
    pub ended: Option<u64>,
    /// A report is asked for, or the run is about to end.
    pub is_asked: bool,
}

impl Claimant {
    /// For the process of this rank. Without a job nothing is claimed: this process counts all by itself.
    pub fn new(job: Option<Job>, rank: Rank, sysroot: &Path) -> Claimant {
        let common = job.map_or(Common::Alone, |job| Common::Unjoined(job, rank));
        Claimant { common, sysroot: sysroot.to_owned(), claims: Vec::new(), teller: Teller::default() }
    }

    /// The claim on a channel's device; None where only this process counts it. A claim that is new is entered into the
    /// books. Where the processes of the job cannot find each other, `say` hears it.
    pub fn claim(&mut self, channel: &Channel, books: &mut Books, say: impl FnOnce(String)) -> Option<usize> {
        let job = self.job()?;
        let device = device(channel, job)?;
        if let Some(place) = self.claims.iter().position(|claim| claim.device == device) {
            return Some(place);
        }
        self.join(say);
        let hash = host::stable_hash(device.bytes()).max(1);
        let turn = match &self.common {
            Common::Joined(_, seat) => seat.record().device(hash).map(Turn::new),
            _ => None,
        };
        let words = &self.job()?.words;
        let what = format!("{device} for the ranks of this job on this node ({words})");
        books.trusts.push(Trust::new(device.clone(), what, &books.ledger));
        self.claims.push(Claim { device, turn });
        Some(self.claims.len() - 1)
    }

    fn job(&self) -> Option<&Job> {
        match &self.common {
            Common::Alone => None,
            Common::Unjoined(job, _) | Common::Joined(job, _) | Common::Apart(job, _) => Some(job),
        }
    }

    /// Takes a seat in the job's record, if none was tried for yet.
    fn join(&mut self, say: impl FnOnce(String)) {
        let Common::Unjoined(job, rank) = &self.common else { return };
        let (job, rank) = (job.clone(), *rank);
        self.common = match Seat::take(job.hash(host::user(), &self.sysroot), rank) {
            Ok(seat) => {
                *self.teller.seat() = Some(Arc::clone(&seat));
                Common::Joined(job, seat)
            }
            Err(_) if !job.is_named || rank.of == Some(1) => Common::Alone,
            Err(error) => {
                let counts = rank.local == Some(0);
                say(cannot_agree(&job, &error, rank.local));
                Common::Apart(job, counts)
            }
        }
    }

    /// How every claim stands now. A device that nobody counts is taken where this process is in an epoch, or has an end that
    /// no report covers.
    pub fn look(&mut self, look: Look) -> Vec<Standing> {
        match &self.common {
            Common::Joined(_, seat) => {
                seat.record().beat(seat.place, look.now);
                self.claims.iter_mut().map(|claim| seat.look(claim, look)).collect()
            }
            Common::Apart(_, counts) => {
                let standing = Standing { is_ours: *counts, is_apart: !counts, ..Standing::default() };
                self.claims.iter().map(|_| standing).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether other processes may count what this one claims.
    pub fn is_shared(&self) -> bool {
        matches!(self.common, Common::Joined(..))
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
    pub fn on_node(&self, joules: Option<f64>, now: u64) -> Option<OnNode> {
        match &self.common {
            Common::Joined(_, seat) => Some(seat.on_node(joules, now)),
            Common::Apart(..) => Some(OnNode { is_agreed: false, processes: 1, energy_j: None }),
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

impl Drop for Claimant {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// What is known of the job on this node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OnNode {
    /// Its processes have found each other.
    pub is_agreed: bool,
    /// How many live, this one included.
    pub processes: u64,
    /// The energy, J, that they and those that ended have used.
    pub energy_j: Option<f64>,
}

/// Where the application's thread notes that an epoch begins or ends.
pub struct EpochState(Arc<Seat>);

impl EpochState {
    /// An epoch began at this time, ns.
    pub fn begin(&self, at: u64) {
        self.store(State::Open(at));
    }

    /// The open one ended then, or was dropped.
    pub fn end(&self, at: u64) {
        self.store(State::Ended(at));
    }

    fn store(&self, state: State) {
        let is_left = self.0.trackers.load(Ordering::Relaxed) == 0;
        if let Some(there) = self.0.record().state(self.0.place).filter(|_| !is_left) {
            there.store(state.pack(), Ordering::Release);
        }
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
        (Kind::Gpu, _) => (!channel.simulated).then(|| format!("GPU {}", channel.id)),
        _ if channel.simulated && !job.is_named => None,
        (_, Method::Estimate) => Some(channel.id.clone()),
        (Kind::Cpu, _) => Some("the processors".into()),
        (Kind::Dram, _) => Some("the memory".into()),
        (Kind::Node, _) => Some("the node".into()),
    }
}

impl Seat {
    /// This process's seat in the record of a job.
    fn take(job: u64, rank: Rank) -> io::Result<Arc<Seat>> {
        static SWEPT: Once = Once::new();
        SWEPT.call_once(sweep);
        let mut seats = lock_within(&SEATS, host::BRIEF).ok_or(io::ErrorKind::WouldBlock)?;
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
        let (process, namespace, now) = (std::process::id(), host::pid_namespace(), host::monotonic_ns());
        let started = host::process_start(process).unwrap_or(0);
        let member =
            Member { process, started, namespace, rank: rank.number, since: now, beat: now, ..Member::default() };
        for _ in 0..TRIES {
            let (memory, key) = find(job, now)?;
            let record = Record(memory.numbers());
            match record.join(&member, &|other| is_alive(other, namespace, now)) {
                Some(place) if memory.is_at(key) => {
                    return Ok(Seat {
                        memory,
                        place,
                        process,
                        namespace,
                        job,
                        ended: AtomicU64::new(0),
                        trackers: AtomicUsize::new(1),
                    });
                }
                // Its last process is removing it.
                _ => host::pause(Duration::from_millis(2)),
            }
        }
        Err(io::Error::other("the job's record has no room"))
    }

    /// Whether one more tracker counts by it; not where the last has left it.
    fn is_joined_again(&self) -> bool {
        let one_more = |trackers: usize| (trackers > 0).then_some(trackers + 1);
        self.trackers.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok()
    }

    /// A tracker ends. After the last others count what this process counted; the record goes if nobody else is in it.
    fn leave(&self) {
        let is_last = self.trackers.fetch_sub(1, Ordering::AcqRel) == 1;
        if !is_last || self.process != std::process::id() {
            return;
        }
        let (record, now) = (self.record(), host::monotonic_ns());
        let is_alive = |member: &Member| is_alive(member, self.namespace, now);
        let party = Party { record: self.record(), place: self.place, namespace: self.namespace, is_alive: &is_alive };
        party.give_up();
        if record.leave(self.place, &is_alive) {
            self.memory.remove();
        }
    }

    fn record(&self) -> Record<'_> {
        Record(self.memory.numbers())
    }

    /// How a claim stands, and takes it where that is to be.
    fn look(&self, claim: &mut Claim, look: Look) -> Standing {
        let ended = look.ended.unwrap_or(0);
        let newest = self.ended.fetch_max(ended, Ordering::Relaxed).max(ended);
        let is_alive = |member: &Member| is_alive(member, self.namespace, look.now);
        let party = Party { record: self.record(), place: self.place, namespace: self.namespace, is_alive: &is_alive };
        let apart = Standing { is_apart: true, ..Standing::default() };
        claim.turn.as_mut().map_or(apart, |turn| party.look(turn, newest, look))
    }

    fn on_node(&self, joules: Option<f64>, now: u64) -> OnNode {
        let record = self.record();
        record.note_used(self.place, joules);
        // Who has looked just now lives.
        let lives =
            |member: &Member| now < member.beat.saturating_add(FRESH_NS) || is_alive(member, self.namespace, now);
        let processes = record.members().filter(|(_, member)| lives(member)).count() as u64;
        OnNode { is_agreed: true, processes, energy_j: record.sum(&lives) }
    }
}

/// Whether a process still lives, as far as it can be known in this namespace of process numbers.
fn is_alive(member: &Member, namespace: u64, now: u64) -> bool {
    if member.namespace == namespace {
        host::is_alive(member.process, member.started)
    } else {
        now < member.beat.saturating_add(SILENT_NS)
    }
}

/// The memory of a job's record, made if it is not there, and its key.
fn find(job: u64, now: u64) -> io::Result<(Segment, i32)> {
    let mut failure = io::Error::from(io::ErrorKind::AddrInUse);
    for n in 0..KEYS {
        let key = (job.wrapping_add(n) as u32 | 1 << 30) as i32; // 0 would be a private one
        let memory = Segment::share(key, NUMBERS).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Segment::create(key, NUMBERS).or_else(|_| Segment::share(key, NUMBERS)),
            _ => Err(error),
        });
        match memory {
            Ok(memory) if Record(memory.numbers()).is_of(job, now) => return Ok((memory, key)),
            Ok(_) => (),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Removes the records of jobs whose last process was killed long ago.
fn sweep() {
    for key in host::abandoned(NUMBERS, LEFT_OVER_S) {
        Segment::open(key, NUMBERS).into_iter().for_each(|memory| memory.remove());
    }
}

#[cfg(test)]
mod tests;
