//! Processes of one job that run epochs at set times, and the energy that they used. They run the test program again.
//!
//! Each process writes a record with the time before and after each of its calls. The expected energy is computed from
//! these times, so a loaded machine does not change the result.
#![allow(dead_code)]

pub mod launch;
mod program;

use serde_json::{Value, json};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Power of all devices of a node, W, unless a case gives another.
pub const WATTS: f64 = 100.0;
/// Most energy that may be lost with a killed process, J.
pub const LOST_A_KILL: f64 = 0.05 * WATTS;
/// The share of a sum that the times before and after a call leave open.
const WITHIN: f64 = 0.01;
/// The share of the energy that a busy machine may lose, where it keeps threads of several processes from running. A
/// device that is not taken over loses more. CT_SHOW=1 prints each figure.
const LOST_BY_DELAY: f64 = 0.3;
const MS: u64 = 1_000_000;
/// The variable with the path of a process's part. Its record is written beside that file.
const PART: &str = "CT_PART";
/// The test that is the program of a process.
const PROGRAM: &str = "job_processes::job_process";

/// The program of a job's process, if this process is one. Otherwise it does nothing.
#[test]
fn job_process() {
    program::play();
}

/// The part of a process, in ms after the start.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub from: u64,
    pub to: u64,
    pub epoch: u64,
    /// Earliest time of its report. 0: when its epochs are over.
    pub asks: u64,
    /// Time of its kill.
    pub killed: Option<u64>,
    /// It creates its tracker only when its epochs begin.
    pub made_late: bool,
    pub end: End,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// It destroys its tracker. If it is killed, nothing of it remains.
    InOrder,
    /// It exits without destroying its tracker.
    WithoutDestroy,
    /// It is killed, and its forked child lives until the folder is removed.
    LeavesChild,
}

/// A process that runs epochs from `from` to `to`, and then reports and ends at once.
pub const fn part(from: u64, to: u64) -> Part {
    Part { from, to, epoch: 250, asks: 0, killed: None, made_late: false, end: End::InOrder }
}

impl Part {
    fn json(&self) -> Value {
        let Part { from, to, epoch, asks, killed, made_late, end } = self;
        let end = format!("{end:?}");
        json!({"from": from, "to": to, "epoch": epoch, "asks": asks, "killed": killed, "made_late": made_late, "end": end})
    }
}

/// The start from which the times are counted.
#[derive(Clone, Copy, Debug)]
pub enum Start {
    /// Each process has its own start.
    Own,
    /// All start when all are ready. They must be children of this process.
    Ready,
    /// All start at this instant, ns.
    At(u64),
}

impl Start {
    fn json(self) -> Value {
        match self {
            Start::Own => "own".into(),
            Start::Ready => "ready".into(),
            Start::At(ns) => ns.into(),
        }
    }
}

/// A folder with the parts and records of a job's processes. It is removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let path = std::env::temp_dir().join(format!("ct-{name}-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes each part to a file "part-NUMBER". `more` has the counters that the processes serve.
    pub fn give(&self, parts: &[Part], start: Start, more: &Value) {
        for (number, part) in parts.iter().enumerate() {
            let mut whole = part.json();
            whole["start"] = start.json();
            whole["served"] = more.clone();
            std::fs::write(self.part(number), whole.to_string()).unwrap();
        }
    }

    pub fn part(&self, number: usize) -> PathBuf {
        self.0.join(format!("part-{number}"))
    }

    /// The records of all processes so far, by rank.
    pub fn records(&self) -> Vec<Record> {
        let entries = std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        let records = entries.filter(|path| path.extension() == Some(OsStr::new("record")));
        let mut records: Vec<Record> =
            records.map(|path| Record::read(&std::fs::read_to_string(path).unwrap())).collect();
        records.sort_by_key(|record| record.rank);
        records
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// Begin and end of an interval, ns: the shortest and the longest that the times allow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    pub least: (u64, u64),
    pub most: (u64, u64),
}

/// The record of one process.
#[derive(Debug, Default)]
pub struct Record {
    pub epochs: Vec<Span>,
    /// Time of its kill, ns.
    pub killed: Option<u64>,
    /// The energy that it reported, J. None: it did not report. Some(None): its energy is unknown.
    pub energy_j: Option<Option<f64>>,
    pub report: Value,
    /// Number of epochs done when it had created its tracker.
    pub resumed: Option<f64>,
    /// Number of epochs that it has ended since.
    pub ended: usize,
    /// Rank and node, by the launcher's numbers.
    pub rank: u64,
    pub node: u64,
}

impl Record {
    fn read(text: &str) -> Record {
        let mut record = Record::default();
        for line in text.lines() {
            let Some((what, rest)) = line.split_once(' ') else { continue };
            let numbers: Vec<u64> = rest.split(' ').filter_map(|word| word.parse().ok()).collect();
            match what {
                "begun" => {
                    let open = (numbers[1], numbers[1]);
                    record.epochs.push(Span { least: open, most: (numbers[0], numbers[0]) });
                }
                "ended" => {
                    let span = record.epochs.last_mut().unwrap();
                    (span.least.1, span.most.1) = (numbers[0], numbers[1]);
                    record.ended += 1;
                }
                "killed" => record.killed = Some(numbers[0]),
                "energy" => record.energy_j = Some(rest.parse().ok()),
                "place" => (record.rank, record.node) = (numbers[0], numbers[1]),
                "resumed" => record.resumed = rest.parse().ok(),
                "report" => record.report = serde_json::from_str(rest).unwrap(),
                _ => panic!("{line}"),
            }
        }
        if let (Some(killed), Some(span)) = (record.killed, record.epochs.last_mut()) {
            span.least.1 = span.least.1.max(killed);
            span.most.1 = span.most.1.max(killed);
        }
        record
    }

    pub fn joules(&self) -> f64 {
        self.energy_j.flatten().unwrap_or(0.0)
    }
}

/// Bounds of an energy, J.
#[derive(Clone, Copy, Debug)]
pub struct Truth {
    pub least: f64,
    pub most: f64,
}

/// Energy of a node in the union of the epochs.
pub fn union<'a>(records: impl IntoIterator<Item = &'a Record> + Clone, watts: f64) -> Truth {
    let all = |pick: fn(&Span) -> (u64, u64)| {
        let epochs = records.clone().into_iter().flat_map(|record| &record.epochs);
        let mut spans: Vec<(u64, u64)> = epochs.map(pick).collect();
        spans.sort_unstable();
        let mut covered = (0, 0);
        for (from, to) in spans {
            let from = from.max(covered.1);
            covered = (covered.0 + to.saturating_sub(from), covered.1.max(to));
        }
        covered.0 as f64 * 1e-9 * watts
    };
    Truth { least: all(|span| span.least), most: all(|span| span.most) }
}

impl Truth {
    pub fn plus(self, other: Truth) -> Truth {
        Truth { least: self.least + other.least, most: self.most + other.most }
    }

    /// Checks a sum against the bounds. No energy is counted twice, whatever the machine does. `kills` processes may
    /// have lost energy.
    pub fn check(self, sum: f64, kills: usize, what: &str) -> Result<(), String> {
        let Truth { least, most } = self;
        let off = 100.0 * (sum / sum.clamp(least.min(most), most) - 1.0);
        let text = format!("{what}: {sum:.1} J of {least:.1} to {most:.1} J, {off:+.1} %");
        if std::env::var_os("CT_SHOW").is_some() {
            crate::retry::say(&text);
        }
        let lost = kills as f64 * LOST_A_KILL;
        // Without an epoch nothing was tested.
        let is_right = least > 0.0 && (least * (1.0 - LOST_BY_DELAY) - lost..=most * (1.0 + WITHIN)).contains(&sum);
        if is_right { Ok(()) } else { Err(text) }
    }
}

/// Checks the sum over the reports against the energy of the job. Each killed process may have lost 50 ms.
pub fn counted_once(records: &[Record], what: &str) -> Result<(), String> {
    let sum: f64 = records.iter().map(Record::joules).sum();
    let kills = records.iter().filter(|record| record.killed.is_some()).count();
    let each: Vec<String> = records.iter().filter(|r| r.joules() > 0.0).map(|r| format!("{:.1}", r.joules())).collect();
    let first: Vec<&str> = each.iter().map(String::as_str).take(12).collect();
    union(records, WATTS).check(sum, kills, &format!("{what}: [{}]", first.join(", ")))
}

/// Whether a test can run here. If not, prints the reason.
pub fn can(is_possible: bool, why: &str) -> bool {
    if !is_possible {
        crate::retry::say(&format!("skipped: {why}"));
    }
    is_possible
}
