//! A fake NVML. The power of its GPUs is known at every instant. It can be slow, hang, or lose a GPU.
//!
//! standin.c is compiled once. Each test gets a copy, passes its path to the library, loads it a second time (the same
//! mapping), and changes its state while the library reads it.
#![allow(dead_code)]

use crate::retry::{Stamp, Used, now};
use carbontracker::error::Status;
use carbontracker::os::{pause, process_id};
use carbontracker::tracker::Tracker;
use serde_json::Value;
use std::ffi::{CString, c_char, c_int, c_void};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

pub const MAX_GPUS: usize = 16;
const TEXT: usize = 96;

/// Results of a call: nvmlReturn_t.
pub const FINE: i32 = 0;
pub const DRIVER_NOT_LOADED: i32 = 9;
pub const GPU_IS_LOST: i32 = 15;
pub const NOT_READY: i32 = 27;
pub const UNKNOWN: i32 = 999;

/// One GPU, with the layout of standin.c.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Gpu {
    /// Power in the first half of each period, W, and in the second, W; the period and the phase, s.
    pub wave: [f64; 4],
    /// The enforced limit, W. Below 0: not supported.
    pub limit_w: f64,
    /// The managed limit, the default, and the highest that can be set, W. 0: not supported.
    pub limits_w: [f64; 3],
    /// Field values for GPU, module and memory, as shares of the power. 0: not supported.
    pub scopes: [f64; 3],
    /// The result of `nvmlDeviceGetPowerUsage`, as a share of the power.
    pub power_share: f64,
    /// Time between two updates of the power, ns.
    pub power_step: u64,
    /// The power is a mean over this time, ns.
    pub power_window: u64,
    /// When the counter was 0, ns.
    pub since: u64,
    /// When the counter stops, ns. 0: it does not.
    pub stalled: u64,
    /// Every call for this GPU lasts until this instant, ns.
    pub hangs_until: u64,
    /// Every call for this GPU returns `answer` until this instant, ns. 0: always.
    pub answer_until: u64,
    /// The power reads 0xFFFFFFFF mW from the first to the second instant, ns.
    pub glitch: [u64; 2],
    /// The result of every call for this GPU.
    pub answer: i32,
    pub has_counter: i32,
    /// Slices of each MIG instance. All 0: MIG is off.
    pub slices: [i32; 7],
    /// The processes. With MIG the n-th runs on the n-th instance.
    pub pids: [u32; 8],
    /// Their use of the GPU, %. All 0: the driver does not have it.
    pub used: [u32; 8],
    pub name: [u8; TEXT],
    pub uuid: [u8; TEXT],
}

/// The driver, with the layout of standin.c.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Driver {
    /// Duration of each call, s.
    pub delay_s: f64,
    /// Duration of `nvmlInit`, s.
    pub init_delay_s: f64,
    /// Wrong counts of GPUs, MIG instances and processes. 0: the true count.
    pub counts: [u32; 3],
    count: u32,
    /// The result of `nvmlInit` until `answers_until`.
    pub init_answer: i32,
    /// The result of `nvmlDeviceGetCount` until `answers_until`.
    pub count_answer: i32,
    /// When both succeed, ns. 0: never.
    pub answers_until: u64,
}

impl Gpu {
    pub fn constant(watts: f64) -> Gpu {
        Gpu::wave(watts, watts, 1.0)
    }

    pub fn wave(high: f64, low: f64, period_s: f64) -> Gpu {
        Gpu {
            wave: [high, low, period_s, 0.0],
            limit_w: 500.0,
            limits_w: [0.0; 3],
            scopes: [0.0; 3],
            power_share: 1.0,
            power_step: 101_000_000,
            power_window: 25_000_000,
            since: now() / 2,
            stalled: 0,
            hangs_until: 0,
            answer_until: 0,
            glitch: [0; 2],
            answer: FINE,
            has_counter: 1,
            slices: [0; 7],
            pids: [0; 8],
            used: [0; 8],
            name: text("NVIDIA Stand-In 500W"),
            uuid: [0; TEXT],
        }
    }

    pub fn without_counter(self) -> Gpu {
        Gpu { has_counter: 0, ..self }
    }

    /// Makes the counter stay 0.
    pub fn stuck(self) -> Gpu {
        Gpu { stalled: self.since, ..self }
    }

    /// Makes every call return this error until an instant, ns.
    pub fn failing(self, answer: i32, until: u64) -> Gpu {
        Gpu { answer, answer_until: until, ..self }
    }

    pub fn named(self, name: &str) -> Gpu {
        Gpu { name: text(name), ..self }
    }

    /// Energy up to the instant `ns` on the monotonic clock, J.
    pub fn joules(&self, ns: u64) -> f64 {
        let [high, low, period, phase] = self.wave;
        let t = ns as f64 * 1e-9 + phase;
        let rounds = (t / period).floor();
        let into = t - rounds * period;
        let half = period / 2.0;
        rounds * (high + low) * half + high * into.min(half) + low * (into - half).max(0.0)
    }
}

fn text(words: &str) -> [u8; TEXT] {
    let mut bytes = [0; TEXT];
    bytes[..words.len()].copy_from_slice(words.as_bytes());
    bytes
}

/// The UUID of the n-th GPU: "GPU-a0…", "GPU-a1…".
pub fn uuid(n: usize) -> String {
    format!("GPU-a{n:x}c0ffee-0000-4000-8000-{n:012x}")
}

/// The UUID of a GPU's MIG instance.
pub fn mig_uuid(n: usize, instance: usize) -> String {
    format!("MIG-{n:08x}-0000-5000-8000-{instance:012x}")
}

type Set = unsafe extern "C" fn(*const Driver, *const [Gpu; MAX_GPUS], usize) -> c_int;
type Enter = unsafe extern "C" fn(extern "C" fn() -> u64, extern "C" fn(u64), extern "C" fn() -> u32);

/// The library's clock, ns: that of the simulated world in which the caller is, or else the system's.
extern "C" fn clock() -> u64 {
    now()
}

/// Sleeps as the library does.
extern "C" fn sleep(ns: u64) {
    pause(Duration::from_nanos(ns));
}

/// The process number that the library sees.
extern "C" fn process() -> u32 {
    process_id()
}

/// A fake driver and its GPUs.
pub struct Standin {
    dir: PathBuf,
    library: PathBuf,
    set: Set,
    /// Calls, initialisations, and initialisations without a shutdown.
    tally: &'static [AtomicU64; 3],
    state: Mutex<(Driver, [Gpu; MAX_GPUS])>,
}

impl Standin {
    pub fn new(gpus: &[Gpu]) -> Standin {
        Standin::copy("libnvidia-ml.so.1", &[], gpus)
    }

    /// A driver of 2017, without energy counters and MIG.
    pub fn old(gpus: &[Gpu]) -> Standin {
        Standin::copy("libnvidia-ml.so.1", &["-DSTANDIN_OLD"], gpus)
    }

    /// A driver with another file name.
    pub fn called(name: &str, gpus: &[Gpu]) -> Standin {
        Standin::copy(name, &[], gpus)
    }

    fn copy(name: &str, flags: &[&str], gpus: &[Gpu]) -> Standin {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = temporary().join(format!("nvml-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(dir.join("empty")).unwrap();
        std::fs::copy(built(flags), dir.join(name)).unwrap();
        let mut standin = Standin::at(&dir.join(name), gpus);
        standin.dir = dir;
        standin
    }

    /// A driver in an existing file, which is not removed later.
    pub fn at(library: &Path, gpus: &[Gpu]) -> Standin {
        let [set, tally, enter] =
            [c"standin_set", c"standin_tally", c"standin_enter"].map(|name| symbol(library, name));
        // SAFETY: standin.c declares the function with this type. It keeps the three functions, which live as long.
        unsafe { std::mem::transmute::<*mut c_void, Enter>(enter)(clock, sleep, process) };
        let mut all = [Gpu::constant(0.0); MAX_GPUS];
        all[..gpus.len()].copy_from_slice(gpus);
        for (n, gpu) in all.iter_mut().enumerate() {
            gpu.uuid = text(&uuid(n));
        }
        let driver = Driver { count: gpus.len() as u32, ..Driver::default() };
        let standin = Standin {
            dir: PathBuf::new(),
            library: library.to_owned(),
            // SAFETY: standin.c declares the function with this type.
            set: unsafe { std::mem::transmute::<*mut c_void, Set>(set) },
            // SAFETY: three 64-bit numbers. The mapping is never removed.
            tally: unsafe { &*tally.cast() },
            state: Mutex::new((driver, all)),
        };
        standin.put(&standin.state());
        standin
    }

    pub fn library(&self) -> &Path {
        &self.library
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Options that measure these GPUs only.
    pub fn options(&self) -> String {
        format!("components=gpu sysroot={} nvml={}", self.dir.join("empty").display(), self.library.display())
    }

    /// Changes a GPU during the run.
    pub fn change(&self, n: usize, change: impl FnOnce(&mut Gpu)) {
        let mut state = self.state();
        change(&mut state.1[n]);
        self.put(&state);
    }

    /// Changes the driver during the run.
    pub fn driver(&self, change: impl FnOnce(&mut Driver)) {
        let mut state = self.state();
        change(&mut state.0);
        self.put(&state);
    }

    pub fn gpu(&self, n: usize) -> Gpu {
        self.state().1[n]
    }

    /// The energy of these GPUs between two moments.
    pub fn used(&self, gpus: &[usize], from: Stamp, to: Stamp) -> Used {
        let state = self.state();
        Used::between(from, to, |ns| gpus.iter().map(|&n| state.1[n].joules(ns)).sum())
    }

    pub fn tally(&self) -> [u64; 3] {
        [0, 1, 2].map(|n| self.tally[n].load(Ordering::Relaxed))
    }

    fn state(&self) -> MutexGuard<'_, (Driver, [Gpu; MAX_GPUS])> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn put(&self, (driver, gpus): &(Driver, [Gpu; MAX_GPUS])) {
        // SAFETY: both have C's layout, and C copies them.
        let fits = unsafe { (self.set)(driver, gpus, size_of_val(gpus)) };
        assert_eq!(fits, 1, "tests/common/fake_nvml/standin.c and mod.rs disagree on a GPU's layout");
    }
}

/// The mapping stays, because a thread may be in a call that hangs.
impl Drop for Standin {
    fn drop(&mut self) {
        if !self.dir.as_os_str().is_empty() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

fn symbol(library: &Path, name: &std::ffi::CStr) -> *mut c_void {
    let path = CString::new(library.as_os_str().as_encoded_bytes()).unwrap();
    // SAFETY: C strings, and a library of these tests without constructors.
    let found = unsafe {
        let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        if handle.is_null() { handle } else { libc::dlsym(handle, name.as_ptr().cast::<c_char>()) }
    };
    assert!(!found.is_null(), "{name:?} in {}", library.display());
    found
}

pub fn temporary() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// The fake, compiled if this version of it has not been. Two processes may compile it at the same time.
fn built(flags: &[&str]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (include_str!("standin.c"), include_str!("types.h"), flags).hash(&mut hasher);
    let library = temporary().join(format!("standin-{:016x}.so", hasher.finish()));
    if library.exists() {
        return library;
    }
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let fresh = temporary().join(format!("standin-{}-{number}.so", std::process::id()));
    let source = Path::new(crate::ROOT).join("tests/common/fake_nvml/standin.c");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut words = compiler.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("cc"));
    command.args(words).args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", "-fPIC", "-shared"]);
    command.args(["-pthread", "-o"]).arg(&fresh).args(flags).arg(source);
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; run tests/tools.sh"));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    std::fs::rename(fresh, &library).unwrap();
    library
}

/// A tracker whose GPUs have been opened and read, or are reported as unavailable.
pub fn tracker(options: &str) -> Tracker {
    let tracker = Tracker::create(options).unwrap_or_else(|error| panic!("{options}: {error}")).unwrap();
    settle(&tracker);
    tracker
}

/// Waits up to a second until GPUs take part or the report has a reason, and 60 ms for their first readings.
pub fn settle(tracker: &Tracker) {
    let is_there = |found: &Found| {
        let reason = found.unavailable();
        !found.gpus().is_empty() || !(reason.is_empty() || reason.contains("yet to answer"))
    };
    for _ in 0..40 {
        if is_there(&Found::report(tracker)) {
            break;
        }
        pause(Duration::from_millis(25));
    }
    pause(Duration::from_millis(60));
}

/// The longest call of begin or end while the sampling thread sleeps, wakes and reads.
pub fn longest_call(tracker: &Tracker) -> Duration {
    let mut longest = 0;
    for n in 0..200 {
        for call in [Tracker::begin, Tracker::end] {
            pause(Duration::from_micros(1_000 + 37 * (n % 100)));
            let before = now();
            call(tracker).unwrap();
            longest = longest.max(now() - before);
        }
    }
    Duration::from_nanos(longest)
}

/// A report, and the messages until then.
pub struct Found {
    pub report: Value,
    pub messages: Vec<String>,
}

impl Found {
    pub fn report(tracker: &Tracker) -> Found {
        let report = serde_json::from_str(&tracker.report("json").unwrap()).unwrap();
        Found { report, messages: Vec::new() }
    }

    /// The report and the messages.
    pub fn all(tracker: &Tracker) -> Found {
        let mut found = Found::report(tracker);
        let mut take = |text: &str| {
            found.messages.push(text.to_owned());
            Ok(Status::CT_OK)
        };
        while tracker.take_message(&mut take).is_ok() {}
        found
    }

    pub fn number(&self, pointer: &str) -> f64 {
        self.report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer}: {:#}", self.report))
    }

    /// The numbers of the GPUs that are counted.
    pub fn gpus(&self) -> Vec<usize> {
        let ids = self.components().filter_map(|component| component["id"].as_str());
        ids.filter_map(|id| (0..MAX_GPUS).find(|&n| id == uuid(n))).collect()
    }

    /// A GPU's entry in the report.
    pub fn gpu(&self, n: usize) -> &Value {
        let found = self.components().find(|component| component["id"] == uuid(n).as_str());
        found.unwrap_or_else(|| panic!("GPU {n}: {:#}", self.report))
    }

    /// NVML's reasons why GPUs do not take part.
    pub fn unavailable(&self) -> String {
        let all = self.report["unavailable"].as_array().unwrap().iter();
        let reasons = all.filter(|one| one["source"] == "nvml").filter_map(|one| one["reason"].as_str());
        reasons.collect::<Vec<_>>().join("; ")
    }

    fn components(&self) -> impl Iterator<Item = &Value> {
        self.report["components"].as_array().unwrap().iter().filter(|component| component["kind"] == "gpu")
    }
}
