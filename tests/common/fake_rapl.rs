//! A powercap tree whose counters are computed at the instant they are read, so that their energy is
//! known exactly at every instant, and whose reads can be made slow or made to fail.
//!
//! The files hold "served N"; this program's own `pread64` turns that into counter N's number. The
//! library reads as it reads the kernel's files.
#![allow(dead_code)]

use crate::retry::now;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

/// What a read of a served counter answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    /// The counter.
    Counts,
    /// An error number.
    Fails(i32),
    /// No bytes.
    Empty,
    /// Not a number.
    Garbage,
}

/// One counter: its power over time, where it starts, where it wraps, and what ails it.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    /// W while the wave is high, W while it is low, and its period, s.
    pub wave: (f64, f64, f64),
    pub start_uj: u64,
    pub range_uj: u64,
    pub answer: Answer,
    /// It answers so until this instant, and counts from then on, ns.
    pub until: u64,
    /// Added to the count: a step back or a jump.
    pub shift_uj: i64,
}

impl Counter {
    pub fn constant(watts: f64) -> Counter {
        Counter::wave(watts, watts, 1.0)
    }

    pub fn wave(high: f64, low: f64, period_s: f64) -> Counter {
        Counter {
            wave: (high, low, period_s),
            start_uj: 1_000_000,
            range_uj: 262_143_328_850,
            answer: Answer::Counts,
            until: u64::MAX,
            shift_uj: 0,
        }
    }

    /// Energy used by `ns` on the monotonic clock, J.
    pub fn joules(&self, ns: u64) -> f64 {
        let (high, low, period) = self.wave;
        let t = ns as f64 * 1e-9;
        let rounds = (t / period).floor();
        let into = t - rounds * period;
        let half = period / 2.0;
        rounds * (high + low) * half + high * into.min(half) + low * (into - half).max(0.0)
    }

    /// The count at `ns`, from the serving's start.
    fn count(&self, ns: u64) -> u64 {
        let since = BORN.load(Ordering::Relaxed);
        let ns = ns / UPDATE_NS * UPDATE_NS;
        let used = ((self.joules(ns) - self.joules(since)) * 1e6) as i128;
        (i128::from(self.start_uj) + used + i128::from(self.shift_uj)).rem_euclid(i128::from(self.range_uj)) as u64
    }
}

/// RAPL brings its counters up to date this often.
const UPDATE_NS: u64 = 1_000_000;

static COUNTERS: Mutex<Vec<Counter>> = Mutex::new(Vec::new());
static BORN: AtomicU64 = AtomicU64::new(0);
/// Each read takes this long, µs.
pub static DELAY_US: AtomicU64 = AtomicU64::new(0);
/// Reads served.
pub static READS: AtomicUsize = AtomicUsize::new(0);

fn counters() -> MutexGuard<'static, Vec<Counter>> {
    lock(&COUNTERS)
}

/// Whoever panicked with it has left nothing half done.
fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Serves another process's tree in this one.
pub fn serve_too(born: u64, served: &[Counter]) {
    BORN.store(born, Ordering::Relaxed);
    *counters() = served.to_vec();
}

/// A served tree; one at a time lives in a process.
pub struct Tree {
    root: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

impl Tree {
    /// Serves (zone folder, name, counter).
    pub fn new(zones: &[(&str, &str, Counter)]) -> Tree {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = lock(&ALONE);
        BORN.store(now(), Ordering::Relaxed);
        DELAY_US.store(0, Ordering::Relaxed);
        *counters() = zones.iter().map(|zone| zone.2).collect();
        let root = std::env::temp_dir().join(format!("ct-served-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        for (number, (zone, name, counter)) in zones.iter().enumerate() {
            let dir = root.join("sys/class/powercap").join(zone);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("name"), name).unwrap();
            std::fs::write(dir.join("max_energy_range_uj"), counter.range_uj.to_string()).unwrap();
            std::fs::write(dir.join("energy_uj"), format!("served {number}\n")).unwrap();
        }
        Tree { root, _alone: alone }
    }

    /// When its counters began, ns: with that another process serves the same.
    pub fn born(&self) -> u64 {
        BORN.load(Ordering::Relaxed)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Changes a counter while it is served.
    pub fn change(&self, number: usize, change: impl FnOnce(&mut Counter)) {
        change(&mut counters()[number]);
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// Takes libc's place in this program: a served file answers its counter, all others themselves.
///
/// # Safety
/// As pread(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pread64(fd: i32, buffer: *mut u8, size: usize, offset: i64) -> isize {
    // SAFETY: the caller's arguments, passed on as they came.
    let got = unsafe { libc::syscall(libc::SYS_pread64, fd, buffer, size, offset) } as isize;
    if got <= 7 {
        return got;
    }
    // SAFETY: pread wrote `got` bytes there.
    let text = unsafe { std::slice::from_raw_parts(buffer, got as usize) };
    let Some(number) =
        std::str::from_utf8(text).ok().and_then(|text| text.strip_prefix("served ")?.trim().parse::<usize>().ok())
    else {
        return got;
    };
    READS.fetch_add(1, Ordering::Relaxed);
    let delay = DELAY_US.load(Ordering::Relaxed);
    if delay > 0 {
        std::thread::sleep(std::time::Duration::from_micros(delay / 2));
    }
    let counter = counters()[number];
    let now = now();
    let answer = match counter.answer {
        _ if now >= counter.until => format!("{}\n", counter.count(now)),
        Answer::Counts => format!("{}\n", counter.count(now)),
        Answer::Empty => String::new(),
        Answer::Garbage => "garbage\n".to_owned(),
        Answer::Fails(errno) => {
            // SAFETY: errno is this thread's own.
            unsafe { *libc::__errno_location() = errno };
            return -1;
        }
    };
    if delay > 0 {
        std::thread::sleep(std::time::Duration::from_micros(delay / 2));
    }
    // SAFETY: the buffer holds `size` bytes.
    unsafe { std::ptr::copy_nonoverlapping(answer.as_ptr(), buffer, answer.len().min(size)) };
    answer.len().min(size) as isize
}
