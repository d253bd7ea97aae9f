//! A powercap tree with counters that are computed at the instant of a read. Their energy is known exactly at every
//! instant, and reads can be made slow or made to fail.
//!
//! The files contain "served N". This program's own `pread64` replaces that by the number of counter N. The library
//! reads them like files of the kernel.
#![allow(dead_code)]

use crate::retry::now;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

/// The answer to a read of a counter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    /// The count.
    Counts,
    /// An error with this errno.
    Fails(i32),
    /// No bytes.
    Empty,
    /// A text that is not a number.
    Garbage,
}

/// A counter: its power over time, its first count, its range, and its fault.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    /// The high power, W, the low power, W, and the period, s.
    pub wave: (f64, f64, f64),
    pub start_uj: u64,
    pub range_uj: u64,
    pub answer: Answer,
    /// The instant, ns, until which `answer` applies. After it, the counter counts.
    pub until: u64,
    /// Added to the count, µJ, for a step back or a jump.
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

    /// A counter whose power the test sets by [`set_watts`].
    pub fn set_by_test() -> Counter {
        Counter { wave: (f64::NAN, f64::NAN, 1.0), ..Counter::constant(0.0) }
    }

    /// Energy up to the instant `ns` on the monotonic clock, J.
    pub fn joules(&self, ns: u64) -> f64 {
        if self.wave.0.is_nan() {
            return stepped_joules(ns);
        }
        let (high, low, period) = self.wave;
        let t = ns as f64 * 1e-9;
        let rounds = (t / period).floor();
        let into = t - rounds * period;
        let half = period / 2.0;
        rounds * (high + low) * half + high * into.min(half) + low * (into - half).max(0.0)
    }

    /// The count at `ns`, since the tree was created.
    fn count(&self, ns: u64) -> u64 {
        let since = BORN.load(Ordering::Relaxed);
        let ns = ns / UPDATE_NS * UPDATE_NS;
        let used = ((self.joules(ns) - self.joules(since)) * 1e6) as i128;
        (i128::from(self.start_uj) + used + i128::from(self.shift_uj)).rem_euclid(i128::from(self.range_uj)) as u64
    }
}

/// The powers that a test has set: from which instant, W, and the energy up to it, J.
static STEPS: Mutex<Vec<(u64, f64, f64)>> = Mutex::new(Vec::new());

/// Sets the power of [`Counter::set_by_test`] from now on, W.
pub fn set_watts(watts: f64) {
    let now = now();
    let joules = stepped_joules(now);
    lock(&STEPS).push((now, watts, joules));
}

fn stepped_joules(ns: u64) -> f64 {
    let steps = lock(&STEPS);
    let later = steps.iter().rposition(|(from, ..)| *from <= ns);
    later.map_or(0.0, |index| steps[index].2 + steps[index].1 * (ns - steps[index].0) as f64 * 1e-9)
}

/// The time between two updates of a counter, ns, as in RAPL.
const UPDATE_NS: u64 = 1_000_000;

static COUNTERS: Mutex<Vec<Counter>> = Mutex::new(Vec::new());
static BORN: AtomicU64 = AtomicU64::new(0);
/// The duration of each read, µs.
pub static DELAY_US: AtomicU64 = AtomicU64::new(0);
/// The number of reads.
pub static READS: AtomicUsize = AtomicUsize::new(0);

fn counters() -> MutexGuard<'static, Vec<Counter>> {
    lock(&COUNTERS)
}

/// Locks a mutex. A panic of another thread does not matter, because it leaves no incomplete state.
fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Answers reads of another process's tree in this process too.
pub fn serve_too(born: u64, served: &[Counter]) {
    BORN.store(born, Ordering::Relaxed);
    *counters() = served.to_vec();
}

/// A tree with computed counters. A process has one at a time.
pub struct Tree {
    root: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

impl Tree {
    /// A tree of zones, given as (folder, name, counter).
    pub fn new(zones: &[(&str, &str, Counter)]) -> Tree {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = lock(&ALONE);
        BORN.store(now(), Ordering::Relaxed);
        DELAY_US.store(0, Ordering::Relaxed);
        *counters() = zones.iter().map(|zone| zone.2).collect();
        lock(&STEPS).clear();
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

    /// The instant at which the counters began, ns. Another process needs it to compute the same counts.
    pub fn born(&self) -> u64 {
        BORN.load(Ordering::Relaxed)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Changes a counter while it is in use.
    pub fn change(&self, number: usize, change: impl FnOnce(&mut Counter)) {
        change(&mut counters()[number]);
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// Replaces libc's function in this program. A file of the tree returns its counter, all others their content.
///
/// # Safety
/// The conditions of pread(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pread64(fd: i32, buffer: *mut u8, size: usize, offset: i64) -> isize {
    // SAFETY: the arguments are passed on unchanged.
    let got = unsafe { libc::syscall(libc::SYS_pread64, fd, buffer, size, offset) } as isize;
    if got <= 7 {
        return got;
    }
    // SAFETY: pread wrote `got` bytes to the buffer.
    let text = unsafe { std::slice::from_raw_parts(buffer, got as usize) };
    let Some(number) =
        std::str::from_utf8(text).ok().and_then(|text| text.strip_prefix("served ")?.trim().parse::<usize>().ok())
    else {
        return got;
    };
    READS.fetch_add(1, Ordering::Relaxed);
    let delay = DELAY_US.load(Ordering::Relaxed);
    if delay > 0 {
        carbontracker::os::pause(std::time::Duration::from_micros(delay / 2));
    }
    let counter = counters()[number];
    let now = now();
    let answer = match counter.answer {
        _ if now >= counter.until => format!("{}\n", counter.count(now)),
        Answer::Counts => format!("{}\n", counter.count(now)),
        Answer::Empty => String::new(),
        Answer::Garbage => "garbage\n".to_owned(),
        Answer::Fails(errno) => {
            // SAFETY: errno belongs to this thread.
            unsafe { *libc::__errno_location() = errno };
            return -1;
        }
    };
    if delay > 0 {
        carbontracker::os::pause(std::time::Duration::from_micros(delay / 2));
    }
    // SAFETY: the buffer has `size` bytes.
    unsafe { std::ptr::copy_nonoverlapping(answer.as_ptr(), buffer, answer.len().min(size)) };
    answer.len().min(size) as isize
}
