//! For tests whose figures depend on time, on machines that do other things too: what was used as far as the
//! clock can tell, and another try where a thread was held up.
#![allow(dead_code)]

use carbontracker::error::{Result, Status};
use carbontracker::tracker::Tracker;
use std::io::Write;
use std::panic::catch_unwind;
use std::time::Duration;

const TRIES: usize = 4;

/// Runs a test, and again where it fails: a machine that runs other things too may hold a thread up at will,
/// which no tolerance allows for, while a real fault fails every time. A `fn`, so that each try builds all anew.
pub fn steadily(test: fn()) {
    for _ in 1..TRIES {
        let Err(panic) = catch_unwind(test) else { return };
        let literal = || panic.downcast_ref::<&str>().copied();
        let message = panic.downcast_ref::<String>().map(String::as_str).or_else(literal).unwrap_or("no message");
        let name = std::thread::current().name().unwrap_or("a test").to_owned();
        say(&format!("{name}: disturbed, tried again: {message}"));
    }
    test();
}

/// To the terminal itself: what a passing test prints is not shown.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The monotonic clock, ns.
pub fn now() -> u64 {
    carbontracker::os::monotonic_ns().0
}

/// Waits until 25 ms after an edge of a square wave whose halves last so long: short epochs that begin then have no
/// edge close before a boundary, within the counter's own step, which is beyond anybody's resolution.
pub fn wait_past_edge(half_ns: u64) {
    let start = now().next_multiple_of(half_ns) + 25_000_000;
    std::thread::sleep(Duration::from_nanos(start.saturating_sub(now())));
}

/// Memory of this process's own, without the pages of program files, which the kernel maps as it likes.
pub fn own_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a proc file system");
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"));
    kilobytes.and_then(|number| number.parse::<u64>().ok()).expect("RssAnon in kB") * 1024
}

/// A moment that the clock tells only so far, ns: the library takes its own stamp somewhere in a call.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    pub before: u64,
    pub after: u64,
}

/// Does what is to be dated.
pub fn stamp(what: impl FnOnce()) -> Stamp {
    let before = now();
    what();
    Stamp { before, after: now() }
}

/// Makes a call that is to succeed.
pub fn call(it: impl FnOnce() -> Result<Status>) -> Stamp {
    stamp(|| assert_eq!(it(), Ok(Status::CT_OK)))
}

/// Runs epochs of this length back to back, `before` each doing what it likes; when each began and ended.
pub fn run(tracker: &Tracker, epochs: usize, length: Duration, mut before: impl FnMut(usize)) -> Vec<(Stamp, Stamp)> {
    let start = now();
    let epoch = |n: usize| {
        before(n);
        let begin = call(|| tracker.begin());
        let until = start + (n as u64 + 1) * length.as_nanos() as u64;
        std::thread::sleep(Duration::from_nanos(until.saturating_sub(now())));
        (begin, call(|| tracker.end()))
    };
    (0..epochs).map(epoch).collect()
}

/// What was used, J: something from the one to the other.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    pub least: f64,
    pub most: f64,
}

impl Used {
    /// Between two moments; `joules` is what was used up to an instant, which never falls.
    pub fn between(from: Stamp, to: Stamp, joules: impl Fn(u64) -> f64) -> Used {
        Used { least: joules(to.before) - joules(from.after), most: joules(to.after) - joules(from.before) }
    }

    pub fn exactly(joules: f64) -> Used {
        Used { least: joules, most: joules }
    }

    pub fn times(self, factor: f64) -> Used {
        Used { least: self.least * factor, most: self.most * factor }
    }

    /// How far outside lies what was measured, as a share of the nearer bound.
    pub fn off(self, measured: f64) -> f64 {
        measured / measured.clamp(self.least, self.most) - 1.0
    }

    pub fn assert_near(self, measured: f64, within: f64, what: &str) {
        assert!(self.off(measured).abs() <= within, "{what}: {measured} J measured, {self:?}");
    }
}

/// A run's energies as measured, beside what was used.
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
