//! A recorded run is played in every language. The JSON is the same, bit for bit, except for the run's id and times.
//!
//! A program in each language makes the calls. Meanwhile the test writes the recorded energies into a powercap tree,
//! each well inside its epoch.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::install_tree::{checkout, in_every_language, scratch};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A run's epochs: µJ of the package and of memory inside the epoch, µJ of the package between it and the next, and
/// whether it was cancelled.
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
/// Samples are 5 ms apart. After this time the change of each counter has been read, and the counters are at rest.
const SETTLED: Duration = Duration::from_millis(40);
/// The ranges of the counters, and their first values. The package's counter wraps during the record.
const RANGE_UJ: u64 = 262_143_328_850;
const START_UJ: u64 = RANGE_UJ - 1_500_000;

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

/// Replaces a counter's file in one step.
fn set(root: &Path, zone: &str, microjoules: u64) {
    let dir = root.join("sys/class/powercap").join(zone);
    std::fs::write(dir.join(".new"), format!("{microjoules}\n")).unwrap();
    std::fs::rename(dir.join(".new"), dir.join("energy_uj")).unwrap();
}

/// Plays the record with a program. Returns its report, and the energy that it read by pointer.
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
    let (input, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut player = Player { child, input, answers };
    let (mut package, mut memory) = (START_UJ, START_UJ);
    let mut use_energy = |package_uj: u64, memory_uj: u64| {
        std::thread::sleep(SETTLED);
        (package, memory) = ((package + package_uj) % RANGE_UJ, (memory + memory_uj) % RANGE_UJ);
        set(root, "intel-rapl:0", package);
        set(root, "intel-rapl:0:0", memory);
        std::thread::sleep(SETTLED);
    };
    for (inside, memory_uj, between, is_cancelled) in RECORD {
        player.call("begin");
        use_energy(inside, memory_uj);
        player.call("progress");
        player.call(if is_cancelled { "cancel" } else { "end" });
        use_energy(between, 0);
    }
    let energy_j = player.call("value").trim().parse().unwrap();
    let report = serde_json::from_str(&player.call("report")).unwrap();
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
    crate::retry::steadily(|| {
        let dir = scratch("players");
        let mut reports = Vec::new();
        for (language, mut player) in in_every_language(&checkout("tests/bindings/parity/player"), &dir) {
            let (report, energy_j) = play(player.arg(OPTIONS), &dir.join("root"));
            assert_eq!(
                report["usage"]["energy_j"].as_f64(),
                Some(energy_j),
                "{language}: the value is that of the report"
            );
            let timeless = timeless(&report);
            // The reports are equal as texts, not only in their values.
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
