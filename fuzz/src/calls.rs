//! Calls of the C functions in any order, from one thread and from two, checked against what the documents promise.
//!
//! Each byte of the input is a call; some take the bytes after it as arguments. `fuzz/README.md` lists the letters.

use crate::capi::{
    ct_abi_version, ct_create, ct_destroy, ct_epoch_begin, ct_epoch_cancel, ct_epoch_end, ct_last_error, ct_message,
    ct_phase_begin, ct_phase_end, ct_progress, ct_release, ct_report, ct_run_progress, ct_status_string, ct_text,
    ct_value, ct_version,
};
use crate::{Target, sound};
use carbontracker::error::Status::{self, *};
use carbontracker::tracker::Tracker;
use fastrand::Rng;
use serde_json::Value;
use std::ffi::{CStr, CString, c_char};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering};

/// The target.
pub const TARGET: Target = Target {
    name: "calls",
    check,
    fixtures: &[],
    tokens: &[
        "Fa;",
        "fFb;f",
        "C0",
        "C1",
        "C2",
        "be",
        "bpx",
        "z1",
        "zz",
        "t1",
        "r0z",
        "r1a",
        "v0",
        "m",
        "d",
        "l",
        "V/usage/;",
        "c0",
    ],
    runs: 4,
};

/// Steps and bursts of a sequence at most, and the calls of a burst.
const MAX_STEPS: usize = 64;
const MAX_BURSTS: u32 = 8;
const BURST: u64 = 8192;

/// Options that a tracker is made with. None of them opens a real device, a file or a connection.
const OPTIONS: [&CStr; 8] = [
    c"components=cpu sim_cpu=A:100 epochs=100",
    c"components=cpu,gpu sim_cpu=A:100:0.5 sim_gpu=B:300 epochs=5 what_if=off interval=0.001",
    c"components=cpu sim_cpu=A:100 epochs=1000000 budget_g=0.000001 location=DK",
    MONITORED,
    c"components=cpu sysroot=/nowhere nvml=/none",
    c"components=cpu sim_cpu=A:0 job=off forecast_after=3 epochs=18446744073709551615",
    c"components=gpu sim_gpu=B:1e5 budget_h=1e-9 epochs=10 intensity=10000 pue=10",
    c"components=cpu sim_cpu=A:100 level=0.999 epochs=2 marginal=watttime:CAISO_NORTH",
];
const MONITORED: &CStr = c"components=cpu sim_cpu=A:100 monitor_epochs=2 epochs=4 price=0.3EUR wue=1 embodied_kg=100";
/// Options that are refused.
const REFUSED: [&CStr; 4] = [c"epochs", c"name='a", c"epoch=3", c"\xff=1"];
const POINTERS: [&CStr; 14] = [
    c"/usage/energy_j",
    c"/usage/duration_s",
    c"/forecast/energy_j/high",
    c"/forecast/duration_s/value",
    c"/epochs/0/duration_s",
    c"/epochs/4095/energy_j",
    c"/components/0/energy_j",
    c"/what_if/zones/0/co2eq_g",
    c"/extras/cost/used",
    c"/run/epochs_done",
    c"/phases/rows/a/energy_j",
    c"/phases/rows/0/own/duration_s",
    c"/no/such",
    c"",
];
/// Names of phases, and the bounds of a name and of the number of open phases.
const NAMES: [&CStr; 4] = [c"a", c"b", c"a/b~", c"\xc3\xbc"];
const MAX_NAME_BYTES: usize = 128;
const MAX_DEPTH: usize = 64;
const FORMATS: [&CStr; 6] = [c"json", c"text", c"csv", c"prometheus", c"html", c"pdf"];

static COUNT: AtomicU64 = AtomicU64::new(0);
/// Calls of C functions so far.
pub fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// Checks one input.
pub fn check(data: &[u8]) {
    let mut caller =
        Caller { bytes: data, tracker: null_mut(), is_open: false, ended: 0, phases: 0, most: 0, bursts: 0, calls: 0 };
    for _ in 0..MAX_STEPS {
        let Some(byte) = caller.next() else { break };
        caller.step(byte);
    }
    caller.end(true);
    COUNT.fetch_add(caller.calls, Ordering::Relaxed);
}

/// An application that calls, and what it knows of its tracker.
struct Caller<'a> {
    bytes: &'a [u8],
    tracker: *mut Tracker,
    is_open: bool,
    ended: u64,
    /// Open phases.
    phases: usize,
    /// Epochs that the tracker counts at most.
    most: u64,
    bursts: u32,
    calls: u64,
}

/// A tracker that two threads call.
#[derive(Clone, Copy)]
struct Shared(*mut Tracker);

// SAFETY: every C function but ct_destroy and ct_release may be called from several threads at once.
unsafe impl Send for Shared {}

impl Caller<'_> {
    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*byte)
    }

    fn argument(&mut self) -> usize {
        usize::from(self.next().unwrap_or(0))
    }

    /// The bytes up to a semicolon, without NUL.
    fn text(&mut self) -> CString {
        let end = self.bytes.iter().position(|&byte| byte == b';').unwrap_or(self.bytes.len());
        let (text, rest) = self.bytes.split_at(end);
        self.bytes = rest.get(1..).unwrap_or_default();
        CString::new(text.iter().copied().filter(|&byte| byte != 0).collect::<Vec<u8>>()).unwrap_or_default()
    }

    fn step(&mut self, byte: u8) {
        const LETTERS: &[u8] = b"CcbexpvVrmdlsnztFf";
        let letter = if LETTERS.contains(&byte) { byte } else { LETTERS[usize::from(byte) % LETTERS.len()] };
        match letter {
            b'C' => self.create(),
            b'c' => self.refused(),
            b'b' => self.begin(),
            b'e' => self.finish(),
            b'x' => self.cancel(),
            b'F' => {
                let name = self.text();
                self.phase_begin(&name);
            }
            b'f' => self.phase_end(),
            b'p' => {
                let (done, total) = (self.argument() as u64, self.argument() as u64);
                self.progress(done, total);
                // Before the first epoch it would divide the run into pieces, and the check counts epochs.
                if self.is_open || self.ended > 0 {
                    self.run_progress(done as f64 - 1.0, if total % 7 == 0 { f64::NAN } else { total as f64 });
                }
            }
            b'v' => {
                let pointer = POINTERS[self.argument() % POINTERS.len()];
                self.value(pointer);
            }
            b'V' => {
                let pointer = self.text();
                self.value(&pointer);
            }
            b'r' => self.report(),
            b'm' => self.message(),
            b'd' | b'l' => self.end(letter == b'd'),
            b's' => self.texts(),
            b'n' => self.null(),
            b'z' => self.burst(),
            _ => self.two_threads(),
        }
    }

    /// Compares the status of a call with those that are possible. A failure has a message.
    fn expect(&mut self, call: &str, status: Status, possible: &[Status]) -> Status {
        self.calls += 1;
        // SAFETY: the text belongs to this thread, and no failure comes between.
        let why = || unsafe { CStr::from_ptr(ct_last_error()) }.to_string_lossy().into_owned();
        assert!(possible.contains(&status), "{call}: {status:?}, expected one of {possible:?}: {}", why());
        if (status as i32) < 0 {
            sound::message(&why(), &[]);
        }
        status
    }

    fn create(&mut self) {
        self.end(true);
        let options = OPTIONS[self.argument() % OPTIONS.len()];
        // SAFETY: the text ends with NUL, and the pointer is this caller's.
        let status = unsafe { ct_create(options.as_ptr(), &mut self.tracker) };
        self.expect("ct_create", status, &[CT_OK]);
        (self.is_open, self.ended, self.phases) = (false, 0, 0);
        self.most = if options == MONITORED { 2 } else { u64::MAX };
    }

    fn refused(&mut self) {
        let options = REFUSED[self.argument() % REFUSED.len()];
        let mut tracker = null_mut();
        // SAFETY: the text ends with NUL, and the pointer is this caller's, or NULL.
        let status = unsafe { [ct_create(options.as_ptr(), &mut tracker), ct_create(options.as_ptr(), null_mut())] };
        self.expect("ct_create", status[0], &[CT_EINVAL]);
        self.expect("ct_create", status[1], &[CT_EINVAL]);
        assert!(tracker.is_null(), "a refused ct_create made a tracker");
    }

    /// The statuses of a call that needs an open epoch, or none.
    fn possible(&self, needs_open: bool) -> &'static [Status] {
        match (self.tracker.is_null(), self.is_open == needs_open) {
            (true, _) => &[CT_DISABLED],
            (false, true) => &[CT_OK, CT_OVER_BUDGET],
            (false, false) => &[CT_ESTATE],
        }
    }

    fn begin(&mut self) {
        // SAFETY: the tracker is NULL or alive.
        let status = unsafe { ct_epoch_begin(self.tracker) };
        self.is_open |= self.expect("ct_epoch_begin", status, self.possible(false)) == CT_OK;
    }

    fn finish(&mut self) {
        // SAFETY: the tracker is NULL or alive.
        let status = unsafe { ct_epoch_end(self.tracker) };
        if [CT_OK, CT_OVER_BUDGET].contains(&self.expect("ct_epoch_end", status, self.possible(true))) {
            self.is_open = false;
            self.ended += 1;
        }
    }

    fn cancel(&mut self) {
        // SAFETY: the tracker is NULL or alive.
        let status = unsafe { ct_epoch_cancel(self.tracker) };
        self.is_open &= self.expect("ct_epoch_cancel", status, self.possible(true)) != CT_OK;
    }

    fn phase_begin(&mut self, name: &CStr) {
        // SAFETY: the tracker is NULL or alive, and the text ends with NUL.
        let status = unsafe { ct_phase_begin(self.tracker, name.as_ptr()) };
        let is_good = name.to_str().is_ok_and(|name| (1..=MAX_NAME_BYTES).contains(&name.len()));
        let possible = match (self.tracker.is_null(), is_good, self.phases < MAX_DEPTH) {
            (true, ..) => CT_DISABLED,
            (_, false, _) => CT_EINVAL,
            (_, _, is_free) => [CT_ESTATE, CT_OK][usize::from(is_free)],
        };
        self.phases += usize::from(self.expect("ct_phase_begin", status, &[possible]) == CT_OK);
    }

    fn phase_end(&mut self) {
        // SAFETY: the tracker is NULL or alive.
        let status = unsafe { ct_phase_end(self.tracker) };
        let possible = match (self.tracker.is_null(), self.phases) {
            (true, _) => CT_DISABLED,
            (_, 0) => CT_ESTATE,
            _ => CT_OK,
        };
        self.phases -= usize::from(self.expect("ct_phase_end", status, &[possible]) == CT_OK);
    }

    fn progress(&mut self, done: u64, total: u64) {
        // SAFETY: the tracker is NULL or alive.
        let status = unsafe { ct_progress(self.tracker, done, total) };
        let is_bad = !self.tracker.is_null() && (total == 0 || done > total);
        let possible: &[Status] = if is_bad { &[CT_EINVAL] } else { self.possible(true) };
        self.expect("ct_progress", status, possible);
    }

    fn run_progress(&mut self, done: f64, total: f64) {
        // SAFETY: the tracker is NULL or alive.
        let status = unsafe { ct_run_progress(self.tracker, done, total) };
        let is_good = done.is_finite() && total.is_finite() && done >= 0.0 && total > 0.0;
        let possible: &[Status] = match (self.tracker.is_null(), is_good) {
            (true, _) => &[CT_DISABLED],
            (false, true) => &[CT_OK, CT_OVER_BUDGET],
            (false, false) => &[CT_EINVAL],
        };
        self.expect("ct_run_progress", status, possible);
    }

    fn value(&mut self, pointer: &CStr) {
        let mut number = f64::NAN;
        // SAFETY: the text ends with NUL, and the number is this caller's.
        let status = unsafe { ct_value(self.tracker, pointer.as_ptr(), &mut number) };
        let possible: &[Status] = match (self.tracker.is_null(), pointer.to_str()) {
            (true, _) => &[CT_DISABLED],
            (false, Err(_)) => &[CT_EINVAL],
            (false, Ok(_)) => &[CT_OK, CT_ENOENT, CT_EINVAL],
        };
        let is_known = self.expect("ct_value", status, possible) == CT_OK;
        assert_eq!(number.is_finite(), is_known, "{pointer:?}: {number}");
        self.value_text(pointer);
    }

    fn value_text(&mut self, pointer: &CStr) {
        let mut buffer = [1u8; 256];
        let (start, mut needed) = (buffer.as_mut_ptr().cast::<c_char>(), 0);
        // SAFETY: the buffer has the length that is passed, and the pointer ends with NUL.
        let status = unsafe { ct_text(self.tracker, pointer.as_ptr(), start, buffer.len(), &mut needed) };
        let possible: &[Status] = match (self.tracker.is_null(), pointer.to_str()) {
            (true, _) => &[CT_DISABLED],
            (false, Err(_)) => &[CT_EINVAL],
            (false, Ok(_)) => &[CT_OK, CT_ENOENT, CT_EINVAL, CT_ERANGE],
        };
        let status = self.expect("ct_text", status, possible);
        let written = CStr::from_bytes_until_nul(&buffer).unwrap_or_else(|_| panic!("{pointer:?}: no NUL")).to_bytes();
        assert!(std::str::from_utf8(written).is_ok(), "{pointer:?}: {written:?}");
        match status {
            CT_OK => assert_eq!(needed, written.len() + 1, "{pointer:?}"),
            CT_ERANGE => assert!(needed > buffer.len(), "{pointer:?}: {needed}"),
            _ => assert!(written.is_empty(), "{pointer:?}: {written:?}"),
        }
    }

    fn report(&mut self) {
        let format = FORMATS[self.argument() % FORMATS.len()];
        let cap = self.argument() * 64;
        let text = self.rendered(format, cap);
        if format == c"json" {
            let _: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        }
    }

    /// A report, first with a buffer of `cap` bytes, then with a sufficient one.
    fn rendered(&mut self, format: &CStr, cap: usize) -> String {
        let mut buffer = vec![1u8; cap];
        loop {
            let mut needed = 0;
            let start = buffer.as_mut_ptr().cast::<c_char>();
            // SAFETY: the buffer has the length that is passed, and the texts end with NUL.
            let status = unsafe { ct_report(self.tracker, format.as_ptr(), start, buffer.len(), &mut needed) };
            let possible: &[Status] = match (self.tracker.is_null(), format == c"pdf") {
                (true, _) => &[CT_DISABLED],
                (false, true) => &[CT_EINVAL],
                (false, false) => &[CT_OK, CT_ERANGE],
            };
            let status = self.expect("ct_report", status, possible);
            if !buffer.is_empty() {
                let written = CStr::from_bytes_until_nul(&buffer).unwrap_or_else(|_| panic!("{format:?}: no NUL"));
                let text = written.to_str().unwrap_or_else(|error| panic!("{format:?}: {error}"));
                if status != CT_ERANGE {
                    return if text.is_empty() { "null".into() } else { text.to_owned() };
                }
            } else if status != CT_ERANGE {
                return "null".into();
            }
            assert!(needed > buffer.len(), "{needed} bytes are needed, and {} are too few", buffer.len());
            buffer = vec![1u8; needed + 4096]; // the run goes on, and its next report may be longer
        }
    }

    fn message(&mut self) {
        let mut buffer = [1u8; 4096];
        let start = buffer.as_mut_ptr().cast::<c_char>();
        // SAFETY: the buffer has the length that is passed.
        let status = unsafe { ct_message(self.tracker, start, buffer.len(), null_mut()) };
        let possible: &[Status] = if self.tracker.is_null() { &[CT_DISABLED] } else { &[CT_OK, CT_ENOENT] };
        if self.expect("ct_message", status, possible) == CT_OK {
            let text = CStr::from_bytes_until_nul(&buffer).unwrap_or_default().to_string_lossy();
            sound::message(&text, &[]);
            assert!(!text.contains("internal error"), "{text}");
        }
    }

    fn texts(&mut self) {
        let texts = [ct_status_string(self.argument() as i32 - 128), ct_version()];
        // SAFETY: both texts are static.
        let texts = texts.map(|text| unsafe { CStr::from_ptr(text) });
        assert!(texts.iter().all(|text| !text.is_empty()) && ct_abi_version() == 0);
        self.calls += 3;
    }

    /// Calls without a tracker, and with NULL for all else.
    fn null(&mut self) {
        // SAFETY: every function accepts NULL.
        let without = unsafe {
            let none = null_mut();
            ct_destroy(none);
            ct_release(none);
            [
                ct_epoch_begin(none),
                ct_epoch_end(none),
                ct_epoch_cancel(none),
                ct_phase_begin(none, null_mut()),
                ct_phase_end(none),
                ct_progress(none, 1, 0),
                ct_run_progress(none, 1.0, 0.0),
                ct_value(none, null_mut(), null_mut()),
                ct_text(none, null_mut(), null_mut(), 0, null_mut()),
                ct_report(none, null_mut(), null_mut(), 0, null_mut()),
                ct_message(none, null_mut(), 9, null_mut()),
            ]
        };
        assert_eq!(without, [CT_DISABLED; 11]);
        self.calls += 12;
        if !self.tracker.is_null() {
            // SAFETY: the tracker is alive, and every function accepts NULL.
            let statuses = unsafe {
                [
                    ct_phase_begin(self.tracker, null_mut()),
                    ct_value(self.tracker, null_mut(), &mut 0.0),
                    ct_value(self.tracker, POINTERS[0].as_ptr(), null_mut()),
                    ct_text(self.tracker, null_mut(), null_mut(), 0, null_mut()),
                    ct_report(self.tracker, null_mut(), null_mut(), 0, null_mut()),
                ]
            };
            for status in statuses {
                self.expect("NULL", status, &[CT_EINVAL]);
            }
        }
    }

    /// Many cheap calls in random order.
    fn burst(&mut self) {
        let mut random = Rng::with_seed(self.argument() as u64 + 1000 * u64::from(self.bursts));
        self.bursts += 1;
        if self.bursts > MAX_BURSTS {
            return;
        }
        for _ in 0..BURST {
            match random.u8(0..20) {
                0..=4 => self.begin(),
                5..=9 => self.finish(),
                10 => self.cancel(),
                11..=14 => self.progress(random.u64(0..100), random.u64(0..100)),
                15..=16 => self.phase_begin(NAMES[random.usize(..NAMES.len())]),
                17..=18 => self.phase_end(),
                _ => self.texts(),
            }
        }
    }

    /// The same from two threads. No order of their calls is known, so only the sum of ended epochs is.
    fn two_threads(&mut self) {
        let seed = self.argument() as u64;
        self.bursts += 1;
        if self.tracker.is_null() || self.bursts > MAX_BURSTS {
            return;
        }
        let shared = Shared(self.tracker);
        let ended = std::thread::scope(|scope| {
            let threads = [seed, seed + 1].map(|seed| scope.spawn(move || calls_of_thread(shared, seed)));
            threads.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        self.ended += ended.iter().sum::<u64>();
        self.calls += 2 * BURST + 1;
        // SAFETY: the tracker is alive.
        let _ = unsafe { ct_epoch_cancel(self.tracker) };
        self.is_open = false;
        // SAFETY: the tracker is alive.
        while unsafe { ct_phase_end(self.tracker) } == CT_OK {}
        self.phases = 0;
    }

    /// Ends the tracker, if there is one, after a last look at its report.
    fn end(&mut self, waits: bool) {
        if self.tracker.is_null() {
            return;
        }
        let text = self.rendered(c"json", 1 << 14);
        let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        sound::amounts(&report);
        assert_eq!(report["run"]["epochs_done"], Value::from(self.ended.min(self.most)), "{text}");
        assert!(!text.contains("internal error"), "{text}");
        let tracker = std::mem::replace(&mut self.tracker, null_mut());
        let end = if waits { ct_destroy } else { ct_release };
        // SAFETY: the tracker is alive, and no copy of the pointer is left.
        unsafe { end(tracker) };
        (self.is_open, self.calls) = (false, self.calls + 1);
    }
}

/// Random calls of one of two threads. It returns the number of epochs that it ended.
fn calls_of_thread(Shared(tracker): Shared, seed: u64) -> u64 {
    let mut random = Rng::with_seed(seed);
    let mut ended = 0;
    for _ in 0..BURST {
        // SAFETY: the tracker is alive until both threads have ended.
        let status = unsafe {
            match random.u8(0..10) {
                0..=2 => ct_epoch_begin(tracker),
                3..=5 => {
                    let status = ct_epoch_end(tracker);
                    ended += u64::from([CT_OK, CT_OVER_BUDGET].contains(&status));
                    status
                }
                6 => ct_epoch_cancel(tracker),
                7 => ct_phase_begin(tracker, NAMES[random.usize(..NAMES.len())].as_ptr()),
                8 => ct_phase_end(tracker),
                _ => ct_progress(tracker, 1, 2),
            }
        };
        assert!([CT_OK, CT_OVER_BUDGET, CT_ESTATE].contains(&status), "{status:?}");
    }
    ended
}
