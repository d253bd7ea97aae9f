//! The ranks of one job on one node, as processes. Each counter is counted once, though ranks come late, end early or
//! are killed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::fake_rapl::Tree;
use crate::job_processes::launch::{check, job, serves, together, tree};
use crate::job_processes::{End, Folder, Part, Record, Start, counted_once, part};
use serde_json::Value;
use std::process::Command;

/// A rank that creates its tracker when its epochs begin. Times are in ms.
const fn rank(from: u64, to: u64, end: End) -> Part {
    Part { made_late: true, end, epoch: 100, ..part(from, to) }
}

/// A rank that is killed at this time, ms.
const fn killed(at: u64, end: End) -> Part {
    Part { killed: Some(at), ..rank(0, at + 1000, end) }
}

const ALL: u64 = 1500;

/// Runs these ranks on a tree with one counter. Returns their records, by rank.
fn run(tree: &Tree, parts: &[Part], variables: &[(&str, &str)]) -> Vec<Record> {
    let folder = Folder::new("shared");
    folder.give(parts, Start::Ready, &serves(Some(tree)));
    let killed: Vec<bool> = parts.iter().map(|part| part.killed.is_some()).collect();
    together(job(&folder, parts.len(), Some(tree), variables), &killed);
    folder.records()
}

/// Runs each set of ranks, and checks that the sum over its ranks is the energy of the counter in the union of their
/// epochs.
fn assert_counted_once(sets: &[Vec<Part>], variables: &[(&str, &str)]) {
    let tree = tree();
    let run = |parts: &Vec<Part>| counted_once(&run(&tree, parts, variables), &format!("{parts:?}"));
    check(sets, |parts| parts.len(), run);
}

#[test]
fn total_is_the_same_for_one_two_and_four_ranks() {
    let tree = tree();
    let run = |&count: &usize| {
        let records = run(&tree, &vec![rank(0, 1000, End::InOrder); count], &[]);
        assert_eq!(records.len(), count);
        counted_once(&records, &format!("{count} ranks"))?;
        let mut others = records.iter().filter(|record| record.energy_j == Some(None));
        assert!(others.all(|record| record.report.to_string().contains(": counted by ")), "they report it");
        assert_added_up(&records);
        Ok(())
    };
    check(&[1, 2, 4], |&count| count, run);
}

/// Checks the command's totals of the ranks' reports.
fn assert_added_up(records: &[Record]) {
    let folder = Folder::new("added-up");
    for record in records {
        std::fs::write(folder.path().join(format!("{}.json", record.rank)), record.report.to_string()).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_carbontracker"));
    let output = command.args(["aggregate", "--strict", "--json"]).arg(folder.path()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let whole: Value = serde_json::from_slice(&output.stdout).unwrap();
    let totals = &whole["totals"];
    let joules: f64 = records.iter().map(Record::joules).sum();
    assert!((totals["energy_j"].as_f64().unwrap() / joules - 1.0).abs() < 1e-12, "{totals}");
    let counts = ["runs", "ranks", "without_energy"].map(|name| totals[name].as_u64());
    assert_eq!(counts, [Some(1), Some(records.len() as u64), Some(0)], "{totals}");
}

#[test]
fn energy_of_a_killed_rank_is_taken_over() {
    let survivor = rank(100, ALL, End::InOrder);
    let set = |end| vec![killed(700, end), survivor, survivor, survivor];
    assert_counted_once(&[set(End::InOrder), set(End::LeavesChild)], &[]);
}

#[test]
fn rank_that_ends_early_yields_its_lease() {
    let other = rank(100, ALL, End::InOrder);
    let set = |end| vec![rank(0, 700, end), other, other];
    assert_counted_once(&[set(End::InOrder), set(End::WithoutDestroy)], &[]);
}

#[test]
fn ranks_take_over_one_after_another() {
    let second = Part { killed: Some(1100), ..rank(100, 2100, End::InOrder) };
    assert_counted_once(&[vec![rank(0, 600, End::InOrder), second, rank(200, 1700, End::WithoutDestroy)]], &[]);
}

#[test]
fn ranks_that_come_late_count_once() {
    let set = vec![rank(0, 1000, End::InOrder), rank(400, 1000, End::InOrder), rank(900, ALL, End::InOrder)];
    assert_counted_once(&[set], &[("CARBONTRACKER_JOB", "late")]);
}

#[test]
fn rank_that_waits_for_the_others_yields_its_lease() {
    // The loop of one rank is over, and the rank waits at a barrier.
    let fast = Part { asks: 4000, ..rank(0, 600, End::InOrder) };
    // One rank creates its tracker early, and loads data first.
    let loading = Part { made_late: false, ..rank(1500, 2500, End::InOrder) };
    assert_counted_once(
        &[vec![fast, rank(100, 3500, End::InOrder)], vec![loading, rank(200, 2000, End::InOrder)]],
        &[],
    );
}

#[test]
fn ranks_without_a_job_count_all_each() {
    for record in run(&tree(), &[rank(0, 600, End::InOrder); 2], &[("CARBONTRACKER_JOB", "off")]) {
        counted_once(&[record], "job=off").unwrap();
    }
}

#[test]
fn shared_memory_is_empty_at_the_end() {
    let ends = [rank(0, 300, End::InOrder), rank(0, 400, End::WithoutDestroy), rank(0, 200, End::InOrder)];
    let records = run(&tree(), &ends, &[("CARBONTRACKER_JOB", "tidy")]);
    assert_eq!(records.len(), 3);
    let job = carbontracker::coordination::job::Job::find(Some("tidy"), &|_| None, None).unwrap();
    let root = std::env::temp_dir().join(format!("ct-served-{}", std::process::id()));
    let key = job.hash(carbontracker::os::user(), &root) as u32 | 1 << 30;
    let listed = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let keys = listed.lines().skip(1).filter_map(|line| line.split_whitespace().next()?.parse::<i64>().ok());
    assert!(keys.into_iter().all(|there| there != i64::from(key as i32)), "{listed}");
}
