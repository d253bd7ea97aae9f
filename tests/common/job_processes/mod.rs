//! Processes of one job that run epochs at set times, and what they used: the test program itself, started again.
//!
//! Each keeps a record with a stamp before and after each of its calls. From those stamps comes what the job used, so a
//! machine that holds a process up does not change what is right.
#![allow(dead_code)]

pub mod launch;
mod program;

use serde_json::{Value, json};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// What all devices of a node draw together, W, where a case does not give it.
pub const WATTS: f64 = 100.0;
/// So much of a killed process's energy may be lost, J.
pub const LOST_A_KILL: f64 = 0.05 * WATTS;
const WITHIN: f64 = 0.01;
const MS: u64 = 1_000_000;
/// Names the file that holds a process's part; the folder of that file takes its record.
const PART: &str = "CT_PART";
/// The test that is a process's program.
const PROGRAM: &str = "job_processes::a_process";

/// Not a test but the program of a job's process, when it is one.
#[test]
fn a_process() {
    program::play();
}

/// What one process does, in ms after the start.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub from: u64,
    pub to: u64,
    pub epoch: u64,
    /// It asks for its energy and reports not before this; 0: once its epochs are over.
    pub asks: u64,
    /// It is killed at this time.
    pub killed: Option<u64>,
    /// It makes its tracker only when its epochs begin.
    pub made_late: bool,
}

/// It works from the one time to the other, and reports and ends at once.
pub const fn part(from: u64, to: u64) -> Part {
    Part { from, to, epoch: 250, asks: 0, killed: None, made_late: false }
}

impl Part {
    fn json(&self) -> Value {
        let Part { from, to, epoch, asks, killed, made_late } = self;
        json!({"from": from, "to": to, "epoch": epoch, "asks": asks, "killed": killed, "made_late": made_late})
    }
}

/// When the start is, of which the times are counted.
#[derive(Clone, Copy, Debug)]
pub enum Start {
    /// Each process's own.
    Own,
    /// The same for all, when all are ready; they are children of this process.
    Ready,
    /// The same for all, ns.
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

/// A folder with the parts of a job's processes and their records; removed at the end.
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

    /// Writes the parts, each to a file "part-NUMBER"; `more` are what the processes serve.
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

    /// The records of all processes so far.
    pub fn records(&self) -> Vec<Record> {
        let entries = std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        let records = entries.filter(|path| path.extension() == Some(OsStr::new("record")));
        records.map(|path| Record::read(&std::fs::read_to_string(path).unwrap())).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// A time from the one moment to the other, ns: `least` of it is certain, `most` of it may be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    pub least: (u64, u64),
    pub most: (u64, u64),
}

/// What one process has written down.
#[derive(Debug, Default)]
pub struct Record {
    pub epochs: Vec<Span>,
    /// When it was killed, ns.
    pub killed: Option<u64>,
    /// It reported: its energy if it knows one, J.
    pub energy_j: Option<Option<f64>>,
    pub report: Value,
    /// Epochs done when it had made its tracker.
    pub resumed: Option<f64>,
    /// Epochs that it ended since.
    pub ended: usize,
    /// Its rank and its node, as its launcher numbers them.
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

/// Energy, J: between two bounds.
#[derive(Clone, Copy, Debug)]
pub struct Truth {
    pub least: f64,
    pub most: f64,
}

/// What a node used in the union of the epochs.
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

    /// What is wrong about this sum, if anything.
    pub fn check(self, sum: f64, kills: usize, what: &str) -> Result<(), Wrong> {
        let Truth { least, most } = self;
        let off = 100.0 * (sum / sum.clamp(least.min(most), most) - 1.0);
        let text = format!("{what}: {sum:.1} J of {least:.1} to {most:.1} J, {off:+.1} %");
        if std::env::var_os("CT_SHOW").is_some() {
            crate::retry::say(&text);
        }
        let lost = kills as f64 * LOST_A_KILL;
        let is_above = sum > most * (1.0 + WITHIN);
        // Where no epoch was run there is nothing to see.
        if is_above || least == 0.0 || sum < least * (1.0 - WITHIN) - lost {
            Err(Wrong { is_above, text })
        } else {
            Ok(())
        }
    }
}

/// A sum that is not what was used.
#[derive(Debug)]
pub struct Wrong {
    pub is_above: bool,
    pub text: String,
}

/// The sum over the reports against what the job used; `kills` is how many may have lost 50 ms.
pub fn counted_once(records: &[Record], what: &str) -> Result<(), Wrong> {
    let sum: f64 = records.iter().map(Record::joules).sum();
    let kills = records.iter().filter(|record| record.killed.is_some()).count();
    let each: Vec<String> = records.iter().filter(|r| r.joules() > 0.0).map(|r| format!("{:.1}", r.joules())).collect();
    let first: Vec<&str> = each.iter().map(String::as_str).take(12).collect();
    union(records, WATTS).check(sum, kills, &format!("{what}: [{}]", first.join(", ")))
}

/// Whether a test can be run here; else it says why the test is left out.
pub fn can(holds: bool, why: &str) -> bool {
    if !holds {
        crate::retry::say(&format!("skipped: {why}"));
    }
    holds
}
