//! Processes of one job that start and end as in batch scripts, wait for each other, write journals, or have no
//! /dev/shm. Each joule is counted once. CT_SHOW=1 prints each figure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::application::is_root;
use crate::install_tree::{checkout, command, have, pkg_config, prefix, run, scratch};
use crate::job_processes::launch::{SIMULATED, check, in_shell, job, job_name, together};
use crate::job_processes::{Folder, Part, Record, Span, Start, WATTS, counted_once, part, union};
use crate::retry::now;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// The library's clock is ahead of the system's by this time, ns.
const AHEAD: u64 = 1 << 60;

/// A named set of processes of one job.
#[derive(Debug)]
struct Case {
    name: &'static str,
    parts: Vec<Part>,
    variables: Vec<(&'static str, &'static str)>,
}

fn case(name: &'static str, parts: Vec<Part>, interval: &'static str) -> Case {
    Case { name, parts, variables: vec![("CARBONTRACKER_INTERVAL", interval)] }
}

impl Case {
    fn run(&self) -> Result<(), String> {
        let folder = Folder::new("ways");
        folder.give(&self.parts, Start::Ready, &Value::Null);
        let killed: Vec<bool> = self.parts.iter().map(|part| part.killed.is_some()).collect();
        together(job(&folder, self.parts.len(), None, &self.variables), &killed);
        counted_once(&folder.records(), &format!("{} {:?}", self.name, self.variables))
    }
}

fn each(cases: &[Case]) {
    check(cases, |case| case.parts.len(), Case::run);
}

fn late(from: u64, to: u64) -> Part {
    Part { made_late: true, ..part(from, to) }
}

#[test]
fn processes_that_begin_one_after_another_count_once() {
    let staggered = || (0..5).map(|n| late(150 * n, 150 * n + 2000)).collect();
    let chained = || (0..8).map(|n| late(300 * n, 300 * n + 450)).collect();
    let killed = |n: u64| Part { killed: Some(300 * n + 440), ..late(300 * n, 300 * n + 450) };
    let witnessed = || (0..8).map(killed).chain([part(20, 2700)]).collect();
    each(&[
        case("begun 0.15 s apart", staggered(), "1"),
        case("begun 0.15 s apart", staggered(), "10"),
        case("each begins as the last one ends", chained(), "0.1"),
        case("each begins as the last one ends", chained(), "30"),
        case("each begins as the last one is killed, beside one that lives", witnessed(), "1"),
        case("each begins as the last one is killed, beside one that lives", witnessed(), "30"),
    ]);
}

/// A process waits, as at an MPI barrier before the sum is requested.
#[test]
fn waiting_process_leaves_the_rest_to_the_others() {
    let waits = |to: u64, asks: u64| Part { asks, ..part(0, to) };
    let mut cases = Vec::new();
    for interval in ["1", "30"] {
        for more in [300, 800, 1500] {
            let both = |asks: u64| vec![waits(2000, asks), waits(2000 + more, asks)];
            cases.push(case("both asked at once after the last", both(2010 + more), interval));
            cases.push(case("both asked some time after", both(2500 + more), interval));
        }
    }
    each(&cases);
}

/// 48 short runs, eight at a time, in one batch script.
#[test]
fn short_runs_by_xargs_in_one_job_count_once() {
    let run = |&count: &usize| -> Result<(), String> {
        let folder = Folder::new("xargs");
        let logs = folder.path().join("logs");
        let parts: Vec<Part> = (0..count as u64).map(|n| part(0, 500 + n * 37 % 41 * 15)).collect();
        folder.give(&parts, Start::Own, &Value::Null);
        let script = format!("seq 0 {} | xargs -P8 -I% sh -c \"CT_PART=$F/part-% {}\"", count - 1, in_shell());
        let mut shell = crate::job_processes::launch::process(Path::new(""));
        let mut shell = in_environment_of(&mut shell, "sh");
        shell.args(["-c", &script]).env("F", folder.path()).env("CARBONTRACKER_SIM_CPU", SIMULATED);
        shell.env("SLURM_JOB_ID", job_name()).env("SLURM_PROCID", "0").env("CARBONTRACKER_LOG_DIR", &logs);
        assert!(shell.status().unwrap().success());
        let records = folder.records();
        assert_eq!(records.len(), count);
        counted_once(&records, "xargs -P8")?;
        union(&records, WATTS).check(aggregated(&logs), 0, "xargs -P8, aggregate")
    };
    check(&[48], |_| 8, run);
}

/// Another program with the same minimal environment.
fn in_environment_of(process: &mut Command, program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(process.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// The energy of a folder's journals together, J.
fn aggregated(logs: &Path) -> f64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carbontracker"));
    let output = command.args(["aggregate", "--json"]).arg(logs).output().unwrap();
    let whole: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    whole["totals"]["energy_j"].as_f64().unwrap_or(0.0)
}

/// Energy in the journal of a killed process is in no other journal.
#[test]
fn journals_of_killed_processes_count_once() {
    let run = |epoch: &u64| -> Result<(), String> {
        let folder = Folder::new("journals");
        let logs = folder.path().join("logs");
        let killed = [None, Some(700), Some(1130), None, Some(1810), None];
        let parts = killed.map(|killed| Part { killed, epoch: *epoch, ..part(0, 2500) });
        folder.give(&parts, Start::Ready, &Value::Null);
        let variables = [("CARBONTRACKER_LOG_DIR", logs.to_str().unwrap())];
        together(job(&folder, parts.len(), None, &variables), &killed.map(|killed| killed.is_some()));
        let records = folder.records();
        let what = format!("journals of epochs of {epoch} ms");
        union(&records, WATTS).check(aggregated(&logs), 3, &what)
    };
    check(&[50, 250, 1000, 2500], |_| 6, run);
}

/// A state of /dev/shm, the shell commands that make it, and the commands before each process.
const PLACES: [(&str, &str, &str); 6] = [
    ("as it is", "", ""),
    ("full", "mount -t tmpfs -o size=64k none /dev/shm; head -c 65536 /dev/zero >/dev/shm/fill;", ""),
    ("without inodes", "mount -t tmpfs -o nr_inodes=1 none /dev/shm;", ""),
    ("read-only", "mount -t tmpfs -o ro none /dev/shm;", ""),
    ("absent", "mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/urandom c 1 9;", ""),
    ("each one's own", "", "unshare -m sh -c 'mount -t tmpfs none /dev/shm; exec \"$@\"' sh "),
];

/// Runs four processes of a job in a namespace of their own, after the command `place`, each with the command `before`.
fn four_in(namespace: &str, place: &str, before: &str) -> Vec<crate::job_processes::Record> {
    let folder = Folder::new("shm");
    let parts: Vec<Part> = (0..4).map(|n| part(0, 1500 + 60 * n)).collect();
    folder.give(&parts, Start::At(now() + 1_500_000_000), &Value::Null);
    let program = in_shell();
    let program = program.trim_start_matches("exec ");
    let each = format!("CT_PART=$F/part-$k SLURM_PROCID=$k {before}{program} & done; wait");
    let mut process = crate::job_processes::launch::process(Path::new(""));
    let mut shell = in_environment_of(&mut process, "unshare");
    shell.args([namespace, "sh", "-c", &format!("{place} for k in 0 1 2 3; do {each}")]).env("F", folder.path());
    shell.env("CARBONTRACKER_SIM_CPU", SIMULATED).env("SLURM_JOB_ID", job_name());
    let output = shell.output().unwrap();
    let records = folder.records();
    assert_eq!(records.len(), 4, "{place}: {output:?}");
    records
}

/// Without System V shared memory the first rank of a node counts, if the launcher numbers the ranks. Each
/// report has a note.
#[test]
fn ranks_without_shared_memory_report_it_and_count_nothing_twice() {
    if !have(&["unshare"]) || !crate::job_processes::can(is_root(), "only root limits shared memory") {
        return;
    }
    for (first, before) in [(Some(0), "SLURM_LOCALID=$k "), (None, "")] {
        let records = four_in("-i", "echo 0 > /proc/sys/kernel/shmmni;", before);
        for record in records {
            let counts = first == Some(record.rank);
            assert_eq!(record.energy_j.expect("a report").is_some(), counts, "rank {}", record.rank);
            assert_eq!(record.report["job"]["agreed"], false);
            let notes = record.report["notes"].to_string();
            assert!(notes.contains("cannot agree which rank counts a device: no System V shared memory"), "{notes}");
        }
    }
}

#[test]
fn ranks_agree_in_any_state_of_dev_shm() {
    if !have(&["unshare"]) || !crate::job_processes::can(is_root(), "only root mounts a /dev/shm") {
        return;
    }
    let run = |&(name, place, before): &(&str, &str, &str)| -> Result<(), String> {
        counted_once(&four_in("-m", place, before), &format!("/dev/shm {name}"))
    };
    check(&PLACES, |_| 4, run);
}

/// Programs that were only relinked end 50 ms apart.
#[test]
fn relinked_programs_count_once() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    let program = scratch("relinked").join("nap");
    let mut compile = command("cc");
    compile.args(["-O2", "-Wall", "-Wextra", "-Werror", "-std=c99"]).arg(checkout("tests/common/job_processes/nap.c"));
    compile.arg(prefix().join("lib/carbontracker_auto.o")).args(pkg_config(&["--libs"])).arg("-o").arg(&program);
    run(&mut compile);
    let run = |&count: &usize| -> Result<(), String> {
        let folder = Folder::new("relinked");
        let (job, begin) = (job_name(), now() - AHEAD);
        let start = |number: u64| {
            let mut launch = command(&program);
            launch.arg((begin + 1_500_000_000 + number * 50_000_000).to_string()).stdout(std::process::Stdio::piped());
            launch.env("SLURM_JOB_ID", &job).env("SLURM_PROCID", number.to_string());
            launch.env("CARBONTRACKER_SIM_CPU", SIMULATED);
            launch.env("CARBONTRACKER_REPORT", folder.path().join("{pid}.json")).spawn().unwrap()
        };
        let children: Vec<_> = (0..count as u64).map(start).collect();
        let wait = |child: std::process::Child| {
            let output = child.wait_with_output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let stamps: Vec<u64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
            Record {
                epochs: vec![Span { least: (stamps[0], stamps[1]), most: (begin, now() - AHEAD) }],
                ..Record::default()
            }
        };
        let records: Vec<Record> = children.into_iter().map(wait).collect();
        let reports = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let joules = |path: std::path::PathBuf| {
            let report: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
            report["usage"]["energy_j"].as_f64()
        };
        union(&records, WATTS).check(reports.filter_map(joules).sum(), 0, "relinked")
    };
    check(&[8], |&count| count, run);
}
