//! For tests with results that depend on time, on busy machines: bounds of the used energy, and waits.
#![allow(dead_code)]

use carbontracker::error::{Result, Status};
use carbontracker::tracker::Tracker;
use std::io::Write;
use std::time::{Duration, Instant};

/// Writes to the terminal itself, because the output of a passing test is not shown.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The longest wait for a condition. A busy machine needs less.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the condition holds. Fails after [`PATIENCE`].
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until this many epochs are settled: all their readings have arrived. A report waits 1 s for them, and a thread
/// of a busy machine may need longer.
pub fn wait_until_settled(tracker: &Tracker, epochs: u64) {
    wait_until("the epochs are settled", || tracker.value("/run/epochs_done") == Ok(epochs as f64));
}

/// The monotonic clock, ns.
pub fn now() -> u64 {
    carbontracker::os::monotonic_ns().0
}

/// Waits until 25 ms after an edge of a square wave with this half period, ns. Short epochs that begin then have no
/// edge close before a boundary. An edge within the counter's own step could not be resolved.
pub fn wait_past_edge(half_ns: u64) {
    let start = now().next_multiple_of(half_ns) + 25_000_000;
    carbontracker::os::pause(Duration::from_nanos(start.saturating_sub(now())));
}

/// The memory of this process, bytes, without pages of program files.
pub fn own_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a proc file system");
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"));
    kilobytes.and_then(|number| number.parse::<u64>().ok()).expect("RssAnon in kB") * 1024
}

/// Bounds of an instant, ns. The library takes its own time stamp somewhere inside a call.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    pub before: u64,
    pub after: u64,
}

/// Runs `what` and returns the bounds of its instant.
pub fn stamp(what: impl FnOnce()) -> Stamp {
    let before = now();
    what();
    Stamp { before, after: now() }
}

/// Makes a call that must succeed and returns the bounds of its instant.
pub fn call(it: impl FnOnce() -> Result<Status>) -> Stamp {
    stamp(|| assert_eq!(it(), Ok(Status::CT_OK)))
}

/// Runs epochs of this length without gaps, each after a call of `before`. Returns the instants of begin and end of
/// each.
pub fn run(tracker: &Tracker, epochs: usize, length: Duration, mut before: impl FnMut(usize)) -> Vec<(Stamp, Stamp)> {
    let start = now();
    let epoch = |n: usize| {
        before(n);
        let begin = call(|| tracker.begin());
        let until = start + (n as u64 + 1) * length.as_nanos() as u64;
        carbontracker::os::pause(Duration::from_nanos(until.saturating_sub(now())));
        (begin, call(|| tracker.end()))
    };
    (0..epochs).map(epoch).collect()
}

/// Bounds of a used energy, J.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    pub least: f64,
    pub most: f64,
}

impl Used {
    /// The energy used between two instants. `joules` is the energy used up to an instant, ns.
    pub fn between(from: Stamp, to: Stamp, joules: impl Fn(u64) -> f64) -> Used {
        Used { least: joules(to.before) - joules(from.after), most: joules(to.after) - joules(from.before) }
    }

    pub fn exactly(joules: f64) -> Used {
        Used { least: joules, most: joules }
    }

    pub fn times(self, factor: f64) -> Used {
        Used { least: self.least * factor, most: self.most * factor }
    }

    /// The distance of a measured energy from the nearer bound, as a share of that bound; 0 inside the bounds.
    pub fn off(self, measured: f64) -> f64 {
        measured / measured.clamp(self.least, self.most) - 1.0
    }

    pub fn assert_near(self, measured: f64, within: f64, what: &str) {
        assert!(self.off(measured).abs() <= within, "{what}: {measured} J measured, {self:?}");
    }
}

/// The measured energies of a run, each with the bounds of the used energy.
pub struct Energies {
    pub total: (f64, Used),
    pub epochs: Vec<(f64, Used)>,
}

impl Energies {
    pub fn check(&self, what: &str, total_within: f64, epoch_within: f64) {
        let off = |&(measured, used): &(f64, Used)| used.off(measured);
        let total = off(&self.total);
        let worst = self.epochs.iter().map(|epoch| off(epoch).abs()).fold(0.0, f64::max);
        println!("{what}: total {:+.3} %, worst epoch {:.2} %", total * 100.0, worst * 100.0);
        assert!(total.abs() <= total_within, "{what}: total {:?}", self.total);
        assert!(worst <= epoch_within, "{what}: worst epoch {:.2} % in {:?}", worst * 100.0, self.epochs);
    }
}
