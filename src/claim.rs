//! Who counts a device: of a job's processes on one node, the one that holds a lock on a file in /dev/shm. The kernel
//! frees it when its holder dies, however it dies. The file says up to when the reports of its holders cover the device.
//! A holder that ends in order writes that, removes the file and lets go; one that stands idle while another is in an
//! epoch lends it; of one that was killed there is no report but its journal, if it kept one.
//!
//! It is a record lock (fcntl) and no flock, which a forked child would hold on to after its parent's death. Its owner is the
//! table of descriptors of the library's threads: the application does not free it by closing a file of its own.

use crate::books::Books;
use crate::channel::{Channel, Kind, Method};
use crate::host::{self, HeldFile, lock_within};
use crate::job::Job;
use crate::trust::Trust;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, Weak};
use std::time::{Duration, SystemTime};

/// Where the files are: memory of this node that all its processes see.
const FOLDER: &str = "/dev/shm";
/// A holder without an open epoch for so long, ns, lends what another wants.
const IDLE_NS: u64 = 1_000_000_000;
/// A wish so old, ns, is none any more.
const STALE_NS: u64 = 10_000_000_000;
/// A holder's journal has to cover this much more, ns, before the others let go of it, which takes some work. One that takes
/// over goes by the newest number.
const TOLD_NS: u64 = 1_000_000_000;
/// Files left by killed jobs go after this.
const LEFT_OVER: Duration = Duration::from_secs(24 * 3600);
/// A number in the file, with the blank or newline after it.
const NUMBER: usize = 21;

/// The claims open in this process. Its trackers share them.
static OPEN: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// How a claim stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// This process counts the device.
    pub is_ours: bool,
    /// The other process that does, if any.
    pub holder: Option<u32>,
    /// Up to here, ns on the monotonic clock, holders' reports cover it.
    pub covered_to: u64,
}

impl Standing {
    /// Another process counts the device.
    pub fn is_elsewhere(&self) -> bool {
        !self.is_ours && self.holder.is_some()
    }
}

/// What this tracker claims to count.
pub struct Claimant {
    job: Option<Job>,
    sysroot: PathBuf,
    /// By device; a claim's place is its number in the books.
    claims: Vec<(String, Claim)>,
    teller: Teller,
}

/// Writes up to when, ns, a tracker's journal covers what it counts: at once, for a kill may come at any time.
#[derive(Clone, Default)]
pub struct Teller(Arc<Mutex<Vec<Weak<Shared>>>>);

impl Teller {
    /// The journal covers this much by now.
    pub fn tell(&self, told_to: u64) {
        self.claims().iter().filter_map(Weak::upgrade).for_each(|claim| claim.tell(told_to));
    }

    fn claims(&self) -> MutexGuard<'_, Vec<Weak<Shared>>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Claimant {
    /// For a process of this job. Without a job nothing is claimed: this process counts all by itself.
    pub fn new(job: Option<Job>, sysroot: &Path) -> Claimant {
        Claimant { job, sysroot: sysroot.to_owned(), claims: Vec::new(), teller: Teller::default() }
    }

    /// The claim on a channel's device; None where only this process counts it. A claim that is new is entered into the
    /// books. Where none can be made, `say` hears why, and nothing more is claimed.
    pub fn claim(&mut self, channel: &Channel, books: &mut Books, say: impl FnOnce(String)) -> Option<usize> {
        let job = self.job.as_ref()?;
        let device = device(channel, job)?;
        if let Some(place) = self.claims.iter().position(|(claimed, _)| *claimed == device) {
            return Some(place);
        }
        let path = Path::new(FOLDER).join(job.file_name(host::user(), &self.sysroot, &device));
        match Claim::open(&path) {
            Ok(claim) => {
                let what = format!("{device} for the ranks of this job on this node ({})", job.words);
                books.trusts.push(Trust::new(what, &books.ledger));
                self.teller.claims().push(Arc::downgrade(&claim.0));
                self.claims.push((device, claim));
                Some(self.claims.len() - 1)
            }
            Err(error) => {
                if job.is_named {
                    say(format!(
                        "{}: {error}. Ranks of this job on this node cannot agree who counts what: each counts all. Cure: see that this user may write there, or count on one rank only",
                        path.display()
                    ));
                }
                self.job = None;
                None
            }
        }
    }

    /// How every claim stands at `now`, ns; whether this run `is_active`, in an epoch. Those that nobody holds are taken
    /// where it is, or has an epoch that no report covers, unless it `is_ending`.
    pub fn look(&self, is_active: bool, is_ending: bool, now: u64) -> Vec<Standing> {
        self.claims.iter().map(|(_, claim)| claim.0.look(is_active, is_ending, now)).collect()
    }

    /// For whoever writes the journal.
    pub fn teller(&self) -> Teller {
        self.teller.clone()
    }

    /// Notes up to when, ns, this tracker's reports cover what it counts, and up to when its journal does.
    pub fn report(&self, to: Option<u64>, told_to: u64) {
        self.claims.iter().for_each(|(_, claim)| claim.0.report(to.unwrap_or(0), told_to));
    }

    /// Lets others count from here on.
    pub fn give_up(&mut self) {
        self.claims.clear();
    }
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

/// A device that one process of the job counts.
struct Claim(Arc<Shared>);

struct Shared {
    path: PathBuf,
    /// A forked child inherits this value, but not the claim.
    process: u32,
    /// Up to here our reports cover the device, ns.
    reported_to: AtomicU64,
    /// And up to here they do should it be killed: a journal tells it.
    told_to: AtomicU64,
    /// When a tracker of this process was in an epoch last, ns.
    active_at: AtomicU64,
    state: Mutex<State>,
}

struct State {
    file: HeldFile,
    standing: Standing,
    /// What this process wrote last: up to here, ns, its journals cover the device.
    told_to: u64,
    /// How it stands will not change any more: the process is about to end, or there are no locks here.
    is_over: bool,
}

impl Claim {
    fn open(path: &Path) -> io::Result<Claim> {
        let mut open = lock_within(&OPEN, host::BRIEF).ok_or(io::ErrorKind::WouldBlock)?;
        open.retain(|claim| claim.strong_count() > 0);
        let process = std::process::id();
        let is_this = |claim: &Arc<Shared>| claim.path == path && claim.process == process;
        if let Some(claim) = open.iter().filter_map(Weak::upgrade).find(is_this) {
            return Ok(Claim(claim));
        }
        static ONCE: Once = Once::new();
        ONCE.call_once(sweep);
        let state = State { file: open_file(path)?, standing: Standing::default(), told_to: 0, is_over: false };
        let claim = Arc::new(Shared {
            path: path.to_owned(),
            process,
            reported_to: AtomicU64::new(0),
            told_to: AtomicU64::new(0),
            active_at: AtomicU64::new(0),
            state: Mutex::new(state),
        });
        open.push(Arc::downgrade(&claim));
        Ok(Claim(claim))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn look(&self, is_active: bool, is_ending: bool, now: u64) -> Standing {
        if is_active {
            self.active_at.fetch_max(now, Ordering::Relaxed);
        }
        let mut state = self.state();
        if !state.is_over {
            let has_more = self.reported_to.load(Ordering::Relaxed) > state.standing.covered_to;
            let takes = !is_ending && (is_active || has_more);
            if state.look(&self.path, takes, is_active, now).is_err() {
                // No locks here, or no file: better counted twice than not at all.
                state.standing.is_ours = true;
                state.is_over = true;
            }
            let is_idle = now > self.active_at.load(Ordering::Relaxed) + IDLE_NS;
            if state.standing.is_ours && is_idle && wished(&state.file).is_some_and(|at| now < at + STALE_NS) {
                self.lend(&mut state);
            }
        }
        state.standing
    }

    fn report(&self, to: u64, told_to: u64) {
        self.reported_to.fetch_max(to, Ordering::Relaxed);
        self.tell(told_to);
    }

    fn tell(&self, told_to: u64) {
        if self.told_to.fetch_max(told_to, Ordering::Relaxed) >= told_to {
            return;
        }
        let mut state = self.state();
        if state.standing.is_ours && !state.is_over && told_to > state.standing.covered_to {
            state.told_to = told_to;
            let _ = write(&state.file, 0, told_to); // if it cannot be written, others take more over than they should
        }
    }

    /// Up to where reports go, ours with them.
    fn covered_to(&self, state: &State) -> u64 {
        state.standing.covered_to.max(state.told_to).max(self.reported_to.load(Ordering::Relaxed))
    }

    /// Lets another count from where our reports end.
    fn lend(&self, state: &mut State) {
        let covered_to = self.covered_to(state);
        state.told_to = covered_to;
        state.standing = Standing { is_ours: false, holder: None, covered_to };
        // If that cannot be written, others take it as after a death.
        if write(&state.file, 0, covered_to).is_ok()
            && let Some(file) = state.file.file()
        {
            let _ = host::unlock(file);
        }
    }

    /// Says for good up to where our reports go, and removes the file if nobody else holds it.
    fn leave(&self, state: &mut State) {
        state.is_over = true;
        if self.process != std::process::id() {
            return;
        }
        if state.standing.is_ours {
            let _ = write(&state.file, 0, self.covered_to(state));
        }
        let Some(file) = state.file.file() else { return };
        if host::lock(file).is_ok_and(|holder| holder.is_none()) && state.file.is_at(&self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut state = self.state();
        self.leave(&mut state);
        if self.process == std::process::id() && state.standing.is_ours {
            self.lend(&mut state);
        }
    }
}

impl State {
    fn look(&mut self, path: &Path, takes: bool, is_active: bool, now: u64) -> io::Result<()> {
        const TRIES: usize = 8;
        // Asked for again where it is ours: it may have been lost.
        let was_ours = std::mem::take(&mut self.standing.is_ours);
        let takes = takes || was_ours;
        for _ in 0..TRIES {
            let Some(file) = self.file.file() else {
                self.file = open_file(path)?;
                continue;
            };
            let is_at_its_path = self.file.is_at(path);
            let holder = if takes { host::lock(file)? } else { host::locked_by(file)? };
            // Read after that: what the holder wrote before it let go is not to be missed.
            let covered_to = read(&self.file, 0).filter(|&at| at <= now).unwrap_or(0);
            let is_ours = takes && holder.is_none();
            // What this process wrote itself is no news to it.
            let is_news = !was_ours || covered_to > self.told_to;
            if is_news && (holder.is_none() || covered_to > self.standing.covered_to + TOLD_NS) {
                self.standing.covered_to = self.standing.covered_to.max(covered_to);
            }
            if is_at_its_path {
                self.standing.is_ours = is_ours;
                self.standing.holder = holder;
                return match holder {
                    None if takes => write(&self.file, 0, self.standing.covered_to.max(self.told_to)),
                    Some(_) if is_active => write(&self.file, NUMBER as u64, now),
                    _ => Ok(()),
                };
            }
            // Its holder has ended and removed it, or somebody else has: what counts is the file that is there now.
            self.file = open_file(path)?;
        }
        Ok(())
    }
}

/// Removes what killed processes of this user have left. Before any claim of our own is open: closing a file ends the
/// locks that this process has on it.
fn sweep() {
    let prefix = format!("carbontracker-{}-", host::user());
    let is_old = |path: &Path| {
        let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified());
        modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > LEFT_OVER))
    };
    for entry in std::fs::read_dir(FOLDER).into_iter().flatten().flatten() {
        let path = entry.path();
        if !entry.file_name().to_string_lossy().starts_with(&prefix) || !is_old(&path) {
            continue;
        }
        if let Ok(held) = open_file(&path)
            && held.file().is_some_and(|file| host::lock(file).is_ok_and(|holder| holder.is_none()))
            && held.is_at(&path)
        {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// Opens a claim's file. Others of this user may write it, and nobody else; one that another user has put there is refused.
fn open_file(path: &Path) -> io::Result<HeldFile> {
    let flags = host::NO_FOLLOW | host::NO_WAIT;
    let mut options = OpenOptions::new();
    let file =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if metadata.uid() != host::user() || !metadata.is_file() || host::file_size_limit() < 2 * NUMBER as u64 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    HeldFile::hold(file)
}

/// When somebody in an epoch wished to count last, ns.
fn wished(file: &HeldFile) -> Option<u64> {
    read(file, NUMBER as u64)
}

fn write(file: &HeldFile, at: u64, number: u64) -> io::Result<()> {
    let mut text = [b'\n'; NUMBER];
    write!(text.as_mut_slice(), "{number:>width$}", width = NUMBER - 1)?;
    file.file().ok_or_else(host::lost)?.write_all_at(&text, at)
}

fn read(file: &HeldFile, at: u64) -> Option<u64> {
    let mut text = [0; NUMBER];
    file.file()?.read_exact_at(&mut text, at).ok()?;
    std::str::from_utf8(&text).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn path(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ct-claim-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    /// The trackers of one process share a claim; what another process would see is played in tests/job.rs.
    #[test]
    fn the_trackers_of_one_process_count_together_and_the_last_gives_up() {
        let path = path("shared");
        let (a, b) = (Claim::open(&path).expect("open"), Claim::open(&path).expect("open"));
        assert!(!a.0.look(false, false, S).is_ours, "nothing has begun");
        assert!(a.0.look(true, false, S).is_ours && b.0.look(false, false, S).is_ours);
        a.0.report(500, 0);
        b.0.report(400, 0);
        drop(a);
        assert!(path.exists() && b.0.look(false, false, S).is_ours);
        drop(b);
        assert!(!path.exists(), "nothing is left behind");
    }

    #[test]
    fn an_idle_holder_lends_what_is_wished_for_and_takes_it_back() {
        let path = path("lent");
        let claim = Claim::open(&path).expect("open");
        assert!(claim.0.look(true, false, S).is_ours);
        claim.0.report(S / 2, 0);
        assert!(claim.0.look(false, false, 9 * S).is_ours, "nobody asks");
        write(&claim.0.state().file, NUMBER as u64, 9 * S).expect("a wish");
        assert!(claim.0.look(true, false, 10 * S).is_ours, "it is in an epoch");
        let lent = claim.0.look(false, false, 12 * S);
        assert_eq!(lent, Standing { is_ours: false, holder: None, covered_to: S / 2 });
        assert_eq!(claim.0.look(true, false, 13 * S), Standing { is_ours: true, holder: None, covered_to: S / 2 });
        assert!(claim.0.look(false, false, 30 * S).is_ours, "the wish is stale");
    }

    /// A rank that takes over after a kill goes by this number: what is between the two is counted twice.
    #[test]
    fn what_a_journal_covers_is_written_at_once() {
        let path = path("told");
        let claim = Claim::open(&path).expect("open");
        claim.0.tell(S);
        assert_eq!(read(&claim.0.state().file, 0), None, "it is not ours yet");
        assert!(claim.0.look(true, false, 2 * S).is_ours);
        for told_to in [2 * S, 2 * S + 1] {
            claim.0.tell(told_to);
            assert_eq!(read(&claim.0.state().file, 0), Some(told_to));
            let standing = claim.0.look(true, false, 3 * S);
            assert_eq!((standing.covered_to, read(&claim.0.state().file, 0)), (0, Some(told_to)), "its own is no news");
        }
    }

    #[test]
    fn a_number_that_is_the_applications_is_left_alone() {
        let (path, theirs) = (path("closed"), path("theirs"));
        let claim = Claim::open(&path).expect("open");
        assert!(claim.0.look(true, false, S).is_ours);
        host::replace_number(&claim.0.state().file, std::fs::File::create(&theirs).expect("made"));
        claim.0.tell(S / 2);
        assert!(claim.0.look(true, false, 2 * S).is_ours, "opened again by its path");
        drop(claim);
        assert_eq!(std::fs::read(&theirs).expect("there"), b"");
        let _ = std::fs::remove_file(theirs);
    }

    #[test]
    fn a_file_that_was_removed_or_says_nonsense_does_no_harm() {
        let path = path("removed");
        let claim = Claim::open(&path).expect("open");
        assert!(claim.0.look(true, false, S).is_ours);
        std::fs::remove_file(&path).expect("there");
        assert!(claim.0.look(true, false, 2 * S).is_ours && path.exists(), "it is made anew");
        drop(claim);
        let later = format!("{:>20}\nnonsense", 99 * S);
        std::fs::write(&path, later).expect("written");
        let claim = Claim::open(&path).expect("open");
        assert_eq!(claim.0.look(true, false, S), Standing { is_ours: true, holder: None, covered_to: 0 });
    }

    #[test]
    fn what_no_file_can_be_made_of_is_an_error() {
        assert!(Claim::open(Path::new("/nowhere/claim")).is_err());
    }
}
