//! One recorded run, played through every language: the same JSON, bit for bit, but for the run's id and times.
//!
//! The energies of the record are laid into a powercap tree, each well inside its epoch, while a program in the
//! language makes the calls it is given.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::install_tree::{checkout, in_every_language, scratch};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A run's epochs: µJ of the package and of memory inside, µJ of the package between it and the next, and whether it
/// was cancelled.
#[rustfmt::skip]
const RECORD: [(u64, u64, u64, bool); 8] = [
    (407_660, 20_589, 61, false),
    (399_581, 20_263, 59, false),
    (400_015, 20_306, 15_702, true),
    (400_624, 20_299, 62, false),
    (399_354, 20_247, 0, false),
    (1_310, 0, 61, false),
    (402_593, 20_318, 60, false),
    (401_158, 20_301, 29, false),
];
const OPTIONS: &str = "epochs=7 interval=0.005 components=cpu,dram location=DK pue=1.12 name='parity run'";
/// Samples are 5 ms apart: so long after a change each counter has been read, and at rest since.
const SETTLED: Duration = Duration::from_millis(40);
/// Where the counters go round, and where they start: the package's passes its range in the record.
const RANGE_UJ: u64 = 262_143_328_850;
const START_UJ: u64 = RANGE_UJ - 1_500_000;

/// A program that makes the calls it reads, line by line.
struct Player {
    child: Child,
    told: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Player {
    fn tell(&mut self, line: &str) -> String {
        writeln!(self.told, "{line}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert!(!answer.is_empty(), "{line}: no answer, {:?}", self.child.try_wait());
        answer
    }
}

/// Replaces a counter's file in one step.
fn set(root: &Path, zone: &str, microjoules: u64) {
    let dir = root.join("sys/class/powercap").join(zone);
    std::fs::write(dir.join(".new"), format!("{microjoules}\n")).unwrap();
    std::fs::rename(dir.join(".new"), dir.join("energy_uj")).unwrap();
}

/// Plays the record to a program; its report, and the energy that it read by pointer.
fn play(program: &mut Command, root: &Path) -> (Value, f64) {
    let _ = std::fs::remove_dir_all(root);
    for (zone, name) in [("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "dram")] {
        let dir = root.join("sys/class/powercap").join(zone);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("name"), name).unwrap();
        std::fs::write(dir.join("max_energy_range_uj"), RANGE_UJ.to_string()).unwrap();
        std::fs::write(dir.join("energy_uj"), START_UJ.to_string()).unwrap();
    }
    program.env("CARBONTRACKER_SYSROOT", root).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = program.spawn().unwrap_or_else(|error| panic!("{program:?}: {error}"));
    let (told, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut player = Player { child, told, answers };
    let (mut package, mut memory) = (START_UJ, START_UJ);
    let mut use_energy = |package_uj: u64, memory_uj: u64| {
        std::thread::sleep(SETTLED);
        (package, memory) = ((package + package_uj) % RANGE_UJ, (memory + memory_uj) % RANGE_UJ);
        set(root, "intel-rapl:0", package);
        set(root, "intel-rapl:0:0", memory);
        std::thread::sleep(SETTLED);
    };
    for (inside, memory_uj, between, is_cancelled) in RECORD {
        player.tell("begin");
        use_energy(inside, memory_uj);
        player.tell("progress");
        player.tell(if is_cancelled { "cancel" } else { "end" });
        use_energy(between, 0);
    }
    let energy_j = player.tell("value").trim().parse().unwrap();
    let report = serde_json::from_str(&player.tell("report")).unwrap();
    writeln!(player.told, "quit").unwrap();
    assert!(player.child.wait().unwrap().success());
    (report, energy_j)
}

/// The report without what is of its process alone, its identifiers, and what is time: seconds, watts, the day, the
/// share of time that was covered, and what divides the run by time, as the forecasts do that were made in its course.
fn timeless(value: &Value) -> Value {
    const TIME: [&str; 8] = ["id", "started", "coverage", "power", "forecasts", "process", "record", "since"];
    let is_time = |key: &str| TIME.contains(&key) || key.ends_with("_s") || key.ends_with("_w");
    match value {
        Value::Object(fields) => {
            // A component's id is the device's.
            let keeps = |key: &str| !is_time(key) || (key == "id" && !fields.contains_key("epochs_done"));
            Value::Object(fields.iter().filter(|(key, _)| keeps(key)).map(|(k, v)| (k.clone(), timeless(v))).collect())
        }
        Value::Array(values) => values.iter().map(timeless).collect(),
        other => other.clone(),
    }
}

#[test]
fn every_language_gives_the_same_report_of_the_same_run() {
    crate::retry::steadily(|| {
        let dir = scratch("players");
        let mut reports = Vec::new();
        for (language, mut player) in in_every_language(&checkout("tests/bindings/parity/player"), &dir) {
            let (report, energy_j) = play(player.arg(OPTIONS), &dir.join("root"));
            assert_eq!(report["usage"]["energy_j"].as_f64(), Some(energy_j), "{language}: by pointer as in the report");
            let timeless = timeless(&report);
            // The report is the same text, not merely equal in value.
            reports.push((language, player, serde_json::to_string_pretty(&timeless).unwrap()));
        }
        let (_, _, first) = &reports[0];
        let truth = RECORD
            .iter()
            .fold(0.0, |sum, (inside, memory, between, _)| sum + (inside + memory + between) as f64 * 1e-6);
        let last_gap = RECORD[RECORD.len() - 1].2 as f64 * 1e-6;
        let report: Value = serde_json::from_str(first).unwrap();
        let energy_j = report["usage"]["energy_j"].as_f64().unwrap();
        assert!((energy_j - (truth - last_gap)).abs() < 1e-6, "{energy_j} J of {truth} J: {first}");
        for (language, player, report) in &reports[1..] {
            assert_eq!(report, first, "{language}: {player:?}");
        }
        println!("{} players agree", reports.len());
    });
}
