//! A recorded run is played in every language. The JSON is the same, bit for bit, except for the run's id and times.
//!
//! A program in each language makes the calls. Meanwhile the test writes the recorded energies into a powercap tree,
//! each well inside its epoch.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::install_tree::{checkout, in_every_language, scratch};
use crate::retry::wait_until;
use serde_json::Value;
use std::ffi::CString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A run's epochs: µJ of the package and of memory inside the epoch, µJ of the package between it and the next, and
/// whether it was cancelled. Each step is 0 or at least 0.5 J. The library takes a step below 0.01 W for rest, and the
/// time between two readings is not known.
#[rustfmt::skip]
const RECORD: [(u64, u64, u64, bool); 8] = [
    (4_076_600, 520_589, 610_061, false),
    (3_995_810, 520_263, 590_059, false),
    (4_000_150, 520_306, 1_570_002, true),
    (4_006_240, 520_299, 620_062, false),
    (3_993_540, 520_247, 0, false),
    (1_310_310, 0, 610_061, false),
    (4_025_930, 520_318, 600_060, false),
    (4_011_580, 520_301, 529_029, false),
];
const OPTIONS: &str = "epochs=7 interval=0.005 components=cpu,dram location=DK pue=1.12 name='parity run'";
/// The ranges of the counters, and their first values. The package's counter wraps during the record.
const RANGE_UJ: u64 = 262_143_328_850;
const START_UJ: u64 = RANGE_UJ - 15_000_000;
/// The package, and memory.
const ZONES: [&str; 2] = ["intel-rapl:0", "intel-rapl:0:0"];

/// A program that makes the calls it reads, line by line.
struct Player {
    child: Child,
    input: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Player {
    fn call(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert!(!answer.is_empty(), "{line}: no answer, {:?}", self.child.try_wait());
        answer
    }
}

/// The counters' files, and the kernel's notes of each read of them.
struct Counters {
    root: PathBuf,
    notes: File,
    /// The numbers of the files in the notes, and what the files show, µJ.
    watches: [i32; 2],
    shown: [u64; 2],
}

impl Counters {
    fn new(root: &Path) -> Counters {
        let _ = std::fs::remove_dir_all(root);
        for (zone, name) in ZONES.into_iter().zip(["package-0", "dram"]) {
            let dir = root.join("sys/class/powercap").join(zone);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("name"), name).unwrap();
            std::fs::write(dir.join("max_energy_range_uj"), RANGE_UJ.to_string()).unwrap();
        }
        // SAFETY: no pointers; the descriptor belongs to the file only.
        let notes = unsafe { File::from_raw_fd(libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC)) };
        let mut counters = Counters { root: root.to_owned(), notes, watches: [0; 2], shown: [START_UJ; 2] };
        counters.advance([0; 2]);
        counters
    }

    /// Adds energy to the counters. Each file is replaced in one step.
    fn advance(&mut self, more_uj: [u64; 2]) {
        for (n, zone) in ZONES.into_iter().enumerate() {
            let dir = self.root.join("sys/class/powercap").join(zone);
            self.shown[n] = (self.shown[n] + more_uj[n]) % RANGE_UJ;
            std::fs::write(dir.join(".new"), format!("{}\n", self.shown[n])).unwrap();
            let path = CString::new(dir.join(".new").into_os_string().into_vec()).unwrap();
            // SAFETY: an open descriptor and a C string.
            self.watches[n] =
                unsafe { libc::inotify_add_watch(self.notes.as_raw_fd(), path.as_ptr(), libc::IN_ACCESS) };
            std::fs::rename(dir.join(".new"), dir.join("energy_uj")).unwrap();
        }
    }

    /// Waits until both counters have been read twice: the second read comes after the instant of the first, and shows
    /// that the counter rests.
    fn wait_for_reads(&mut self) {
        let mut reads = [0; 2];
        self.accessed();
        wait_until("both counters are read", || {
            let accessed = self.accessed();
            (0..2).for_each(|n| reads[n] += accessed.iter().filter(|watch| **watch == self.watches[n]).count());
            reads.iter().all(|reads| *reads >= 2)
        });
    }

    /// The files that were read since the last call.
    fn accessed(&mut self) -> Vec<i32> {
        let mut bytes = [0; 4096];
        let mut all = Vec::new();
        while let Ok(length @ 1..) = self.notes.read(&mut bytes) {
            // Each note of a file has the same length, and begins with the number of the file.
            let each = bytes[..length].chunks_exact(size_of::<libc::inotify_event>());
            all.extend(each.map(|note| i32::from_ne_bytes(note[..4].try_into().unwrap())));
        }
        all
    }

    /// Adds energy between two readings of this moment.
    fn use_energy(&mut self, more_uj: [u64; 2]) {
        self.wait_for_reads();
        self.advance(more_uj);
        self.wait_for_reads();
    }
}

/// Plays the record with a program. Returns its report, and the energy that it read by pointer.
fn play(program: &mut Command, root: &Path) -> (Value, f64) {
    let mut counters = Counters::new(root);
    program.env("CARBONTRACKER_SYSROOT", root).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = program.spawn().unwrap_or_else(|error| panic!("{program:?}: {error}"));
    let (input, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut player = Player { child, input, answers };
    for (inside, memory_uj, between, is_cancelled) in RECORD {
        player.call("begin");
        counters.use_energy([inside, memory_uj]);
        player.call("progress");
        player.call(if is_cancelled { "cancel" } else { "end" });
        counters.use_energy([between, 0]);
    }
    let energy_j = player.call("value").trim().parse().unwrap();
    let report: Value = serde_json::from_str(&player.call("report")).unwrap();
    let components: Value = serde_json::from_str(&player.call("text")).unwrap();
    assert_eq!(timeless(&components), timeless(&report["components"]), "{program:?}");
    assert_eq!(player.call("rest").trim(), "8 9 10", "{program:?}: seven epochs are done");
    writeln!(player.input, "quit").unwrap();
    assert!(player.child.wait().unwrap().success());
    (report, energy_j)
}

/// The report without fields that differ between processes: identifiers, and everything that depends on time. These are
/// seconds, watts, the date, the coverage, and divisions of the run by time, such as earlier forecasts.
fn timeless(value: &Value) -> Value {
    const TIME: [&str; 8] = ["id", "started", "coverage", "power", "forecasts", "process", "record", "since"];
    let is_time = |key: &str| TIME.contains(&key) || key.ends_with("_s") || key.ends_with("_w");
    match value {
        Value::Object(fields) => {
            // A component's id is that of the device.
            let keeps = |key: &str| !is_time(key) || (key == "id" && !fields.contains_key("epochs_done"));
            Value::Object(fields.iter().filter(|(key, _)| keeps(key)).map(|(k, v)| (k.clone(), timeless(v))).collect())
        }
        Value::Array(values) => values.iter().map(timeless).collect(),
        other => other.clone(),
    }
}

#[test]
fn every_language_gives_the_same_report_of_the_same_run() {
    let dir = scratch("players");
    let mut reports = Vec::new();
    for (language, mut player) in in_every_language(&checkout("tests/bindings/parity/player"), &dir) {
        let (report, energy_j) = play(player.arg(OPTIONS), &dir.join("root"));
        assert_eq!(report["usage"]["energy_j"].as_f64(), Some(energy_j), "{language}: the value is that of the report");
        let timeless = timeless(&report);
        // The reports are equal as texts, not only in their values.
        reports.push((language, player, serde_json::to_string_pretty(&timeless).unwrap()));
    }
    let (_, _, first) = &reports[0];
    let truth =
        RECORD.iter().fold(0.0, |sum, (inside, memory, between, _)| sum + (inside + memory + between) as f64 * 1e-6);
    let last_gap = RECORD[RECORD.len() - 1].2 as f64 * 1e-6;
    let report: Value = serde_json::from_str(first).unwrap();
    let energy_j = report["usage"]["energy_j"].as_f64().unwrap();
    assert!((energy_j - (truth - last_gap)).abs() < 1e-6, "{energy_j} J of {truth} J: {first}");
    for (language, player, report) in &reports[1..] {
        assert_eq!(report, first, "{language}: {player:?}");
    }
    println!("{} players agree", reports.len());
}
