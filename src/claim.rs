//! Who counts a device: of a job's processes on one node, the one that holds an flock on a file in /dev/shm. The
//! kernel frees the lock when its holder dies, however it dies. The file's text says who holds it, and up to when its
//! reports cover the device: a holder that ends in order writes that, removes the file and lets go; of one that was
//! killed nobody has a report.

use crate::books::Books;
use crate::channel::{Channel, Kind, Method};
use crate::host;
use crate::job::Job;
use crate::trust::Trust;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{self, Arc, Mutex, MutexGuard, Once, Weak};
use std::time::{Duration, Instant};

/// Where the files are: memory of this node that all its processes see.
const FOLDER: &str = "/dev/shm";

/// The claims open in this process. Its trackers share them; at exit those held are given up in order.
static OPEN: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// How a claim stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// This process counts the device.
    pub is_ours: bool,
    /// The process that does, or did last.
    pub holder: Option<u32>,
    /// Up to here, ns on the monotonic clock, earlier holders' reports cover it.
    pub covered_to: u64,
}

/// What this tracker claims to count.
pub struct Claimant {
    job: Option<Job>,
    sysroot: PathBuf,
    /// By device; a claim's place is its number in the books.
    claims: Vec<(String, Claim)>,
}

impl Claimant {
    /// For a process of this job. Without a job nothing is claimed: this process counts all by itself.
    pub fn new(job: Option<Job>, sysroot: &Path) -> Claimant {
        Claimant { job, sysroot: sysroot.to_owned(), claims: Vec::new() }
    }

    /// The claim on a channel's device, taken if nobody holds it; None where only this process counts it. A claim that is
    /// new is entered into the books; what a person should know goes to `say`.
    pub fn claim(&mut self, channel: &Channel, books: &mut Books, say: impl FnOnce(String)) -> Option<usize> {
        let job = self.job.as_ref()?;
        let device = device(channel, job)?;
        if let Some(place) = self.claims.iter().position(|(claimed, _)| *claimed == device) {
            return Some(place);
        }
        let path = Path::new(FOLDER).join(job.file_name(host::user(), &self.sysroot, &device));
        match Claim::open(&path) {
            Ok(claim) => {
                let standing = claim.look();
                if let (false, Some(holder)) = (standing.is_ours, standing.holder) {
                    say(format!(
                        "process {holder} counts {device} for the ranks of this job on this node ({}): here only what is this process's own counts. job=off counts all of it here too",
                        job.words
                    ));
                }
                books.trusts.push(Trust::new(standing, &books.ledger));
                self.claims.push((device, claim));
                Some(self.claims.len() - 1)
            }
            Err(error) => {
                say(format!(
                    "{}: {error}. Ranks of this job on this node cannot agree who counts {device}: each counts it. Cure: see that this user may write there",
                    path.display()
                ));
                None
            }
        }
    }

    /// How every claim stands; those whose holder is gone are taken.
    pub fn look(&self) -> Vec<Standing> {
        self.claims.iter().map(|(_, claim)| claim.look()).collect()
    }

    /// Notes up to when, ns, this tracker's reports cover what it counts.
    pub fn report(&self, to: Option<u64>) {
        self.claims.iter().for_each(|(_, claim)| claim.report(to.unwrap_or(0)));
    }

    /// Lets others count from here on.
    pub fn give_up(&mut self) {
        self.claims.clear();
    }
}

/// What is claimed together: of the node's processors, memory and whole there is one count, of each GPU one. None: nobody
/// else counts it. An estimate is of the processors that its id names. A simulated GPU is each process's own; a simulated
/// processor is the node's where the job is certain.
fn device(channel: &Channel, job: &Job) -> Option<String> {
    match (channel.kind, channel.method) {
        (Kind::Gpu, _) => (!channel.simulated).then(|| format!("GPU {}", channel.id)),
        _ if channel.simulated && !job.is_named => None,
        (_, Method::Estimate) => Some(channel.id.clone()),
        _ => Some("processors and memory".into()),
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
    state: Mutex<State>,
}

struct State {
    file: File,
    standing: Standing,
    /// This process is about to end, and takes nothing any more.
    is_over: bool,
}

impl Claim {
    /// Opens a claim, and takes it if nobody holds it.
    fn open(path: &Path) -> io::Result<Claim> {
        let mut open = open_claims()?;
        open.retain(|claim| claim.strong_count() > 0);
        let process = std::process::id();
        let is_this = |claim: &Arc<Shared>| claim.path == path && claim.process == process;
        if let Some(claim) = open.iter().filter_map(Weak::upgrade).find(is_this) {
            return Ok(Claim(claim));
        }
        let mut state = State { file: open_file(path)?, standing: Standing::default(), is_over: false };
        state.look(path)?;
        let (path, state) = (path.to_owned(), Mutex::new(state));
        let claim = Arc::new(Shared { path, process, reported_to: AtomicU64::new(0), state });
        open.push(Arc::downgrade(&claim));
        static AT_EXIT: Once = Once::new();
        AT_EXIT.call_once(|| host::at_exit(give_up_all));
        Ok(Claim(claim))
    }

    /// Takes it if its holder is gone, and says how it stands.
    fn look(&self) -> Standing {
        let mut state = self.0.state();
        if !state.standing.is_ours && !state.is_over {
            let _ = state.look(&self.0.path); // where it cannot be asked, nothing has changed
        }
        state.standing
    }

    /// Notes that our reports cover the device up to this instant, ns.
    fn report(&self, to: u64) {
        self.0.reported_to.fetch_max(to, Ordering::Relaxed);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn give_up(&self, state: &mut State) {
        state.is_over = true;
        if !state.standing.is_ours || self.process != std::process::id() {
            return;
        }
        let covered_to = state.standing.covered_to.max(self.reported_to.load(Ordering::Relaxed));
        state.standing = Standing { is_ours: false, covered_to, ..state.standing };
        // A file that cannot be written or removed is of no more use; others take it as after a death.
        let _ = write(&state.file, state.standing);
        let _ = std::fs::remove_file(&self.path);
        let _ = state.file.unlock();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.give_up(&mut self.state());
    }
}

impl State {
    fn look(&mut self, path: &Path) -> io::Result<()> {
        const TRIES: usize = 8;
        for _ in 0..TRIES {
            let lock = self.file.try_lock();
            // Read after it was tried: what the holder wrote before it let go is not to be missed.
            let (holder, covered_to) = read(&self.file).unwrap_or_default();
            self.standing.holder = holder.or(self.standing.holder);
            self.standing.covered_to = self.standing.covered_to.max(covered_to);
            match lock {
                Ok(()) => (),
                Err(TryLockError::WouldBlock) => return Ok(()),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            if is_at(&self.file, path) {
                self.standing = Standing { is_ours: true, holder: Some(std::process::id()), ..self.standing };
                return write(&self.file, self.standing);
            }
            // Its holder has ended and removed it: what counts is the file that is there now.
            self.file = open_file(path)?;
        }
        Ok(())
    }
}

/// An exit in order: whoever goes on must know what was reported. A lock that is taken belongs to a thread that this exit
/// has stopped; its claim then counts as a dead holder's.
extern "C" fn give_up_all() {
    let Ok(open) = OPEN.try_lock() else { return };
    for claim in open.iter().filter_map(Weak::upgrade) {
        if let Ok(mut state) = claim.state.try_lock() {
            claim.give_up(&mut state);
        }
    }
}

/// The claims open in this process. In a child that was forked while another thread had them locked they stay so.
fn open_claims() -> io::Result<MutexGuard<'static, Vec<Weak<Shared>>>> {
    const PATIENCE: Duration = Duration::from_millis(100);
    let start = Instant::now();
    loop {
        match OPEN.try_lock() {
            Ok(open) => return Ok(open),
            Err(sync::TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
            Err(sync::TryLockError::WouldBlock) if start.elapsed() < PATIENCE => std::thread::yield_now(),
            Err(sync::TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// Others of this user may write it, and nobody else; a file that another user has put there is refused.
fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).mode(0o600).custom_flags(host::NO_FOLLOW).open(path)?;
    if file.metadata()?.uid() == host::user() { Ok(file) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    file.metadata().map(identity).ok().zip(std::fs::metadata(path).map(identity).ok()).is_some_and(|(a, b)| a == b)
}

/// Written in one go, always as long: a reader never sees half of it.
fn write(file: &File, standing: Standing) -> io::Result<()> {
    file.write_all_at(format!("{:>10} {:>20}\n", standing.holder.unwrap_or(0), standing.covered_to).as_bytes(), 0)
}

fn read(file: &File) -> Option<(Option<u32>, u64)> {
    let mut text = [0; 32];
    file.read_exact_at(&mut text, 0).ok()?;
    let mut numbers = std::str::from_utf8(&text).ok()?.split_whitespace();
    let holder = numbers.next()?.parse().ok()?;
    Some((Some(holder).filter(|&holder| holder > 0), numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ct-claim-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    /// Another process's end of a claim, as far as flock can tell: a file opened anew.
    fn other(path: &Path) -> State {
        let mut state = State { file: open_file(path).expect("a file"), standing: Standing::default(), is_over: false };
        state.look(path).expect("a lock");
        state
    }

    #[test]
    fn the_trackers_of_one_process_count_together_and_the_last_gives_up() {
        let path = path("shared");
        let (a, b) = (Claim::open(&path).expect("open"), Claim::open(&path).expect("open"));
        assert!(a.look().is_ours && b.look().is_ours);
        let mut waiting = other(&path);
        assert_eq!((waiting.standing.is_ours, waiting.standing.holder), (false, Some(std::process::id())));
        a.report(500);
        b.report(400);
        drop(a);
        waiting.look(&path).expect("a lock");
        assert!(!waiting.standing.is_ours, "b still counts");
        drop(b);
        assert!(!path.exists(), "nothing is left behind");
        waiting.look(&path).expect("a lock");
        assert_eq!((waiting.standing.is_ours, waiting.standing.covered_to), (true, 500));
        assert!(path.exists(), "who comes now finds the holder");
        assert!(!other(&path).standing.is_ours);
        std::fs::remove_file(&path).expect("tidied");
    }

    #[test]
    fn a_dead_holder_leaves_what_was_reported_before_it() {
        let path = path("dead");
        let first = other(&path);
        let mut second = other(&path);
        write(&first.file, Standing { covered_to: 70, ..first.standing }).expect("written");
        drop(first); // its descriptor is closed, as the kernel does for the dead
        second.look(&path).expect("a lock");
        assert_eq!((second.standing.is_ours, second.standing.covered_to), (true, 70));
        std::fs::remove_file(&path).expect("tidied");
    }

    #[test]
    fn of_many_that_wait_one_takes_over() {
        let path = path("many");
        let claim = Claim::open(&path).expect("open");
        claim.report(9);
        let mut waiting: Vec<State> = (0..5).map(|_| other(&path)).collect();
        drop(claim);
        waiting.iter_mut().for_each(|state| state.look(&path).expect("a lock"));
        assert_eq!(waiting.iter().filter(|state| state.standing.is_ours).count(), 1);
        assert!(waiting.iter().all(|state| state.standing.covered_to == 9));
        std::fs::remove_file(&path).expect("tidied");
    }

    #[test]
    fn what_no_file_can_be_made_of_is_an_error() {
        assert!(Claim::open(Path::new("/nowhere/claim")).is_err());
    }
}
