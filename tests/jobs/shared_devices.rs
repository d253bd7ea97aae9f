//! The ranks of one job on one node, as processes: each counter is counted once, whoever comes late, ends early or is
//! killed. The ranks are this very program, started again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::fake_rapl::{Counter, Tree};
use crate::retry::{now, steadily};
use carbontracker::tracker::Tracker;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const WATTS: f64 = 100.0;
const EPOCH: Duration = Duration::from_millis(100);
const S: u64 = 1_000_000_000;

/// What a rank does, in its environment.
const ROLE: &str = "CT_RANK";

/// How a rank leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// It destroys its tracker.
    InOrder,
    /// It exits with a live one.
    WithoutDestroy,
    /// It is killed at its end, before it reports.
    Killed,
    /// The same, and a child that it forked lives on.
    KilledWithChild,
}

/// A rank, in ns after all are started: when it makes its tracker, from when to when it runs epochs, when it leaves, and
/// how.
#[derive(Clone, Copy, Debug)]
struct Rank {
    made: u64,
    from: u64,
    to: u64,
    leaves: u64,
    end: End,
}

/// One that makes its tracker as its epochs begin, and leaves as they end.
const fn rank(from_ms: u64, to_ms: u64, end: End) -> Rank {
    let (from, to) = (from_ms * S / 1000, to_ms * S / 1000);
    Rank { made: from, from, to, leaves: to, end }
}

/// What a rank told: when its run began and ended, ns, and its energy, J.
struct Told {
    begin: u64,
    end: u64,
    energy_j: Option<f64>,
    report: String,
}

/// Runs these ranks on one tree; what those that reported told, in their order, and the energy of the tree from a
/// moment to another.
fn run(ranks: &[Rank], variables: &[(&str, &str)]) -> (Vec<Told>, impl Fn(u64, u64) -> f64 + use<>) {
    let counter = Counter::constant(WATTS);
    let tree = Tree::new(&[("intel-rapl:0", "package-0", counter)]);
    let start = now() + S / 2;
    let children: Vec<Child> = ranks
        .iter()
        .map(|rank| {
            let Rank { made, from, to, leaves, end } = rank;
            let times = [made, from, to, leaves].map(|at| (start + at).to_string()).join(" ");
            let role = format!("{} {times} {end:?}", tree.born());
            let mut command = Command::new(std::env::current_exe().unwrap());
            command
                .args(["--exact", "shared_devices::a_rank", "--nocapture"])
                .env(ROLE, role)
                .env("CARBONTRACKER_SYSROOT", tree.root());
            command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    let mut told = Vec::new();
    for (child, rank) in children.into_iter().zip(ranks) {
        let output = child.wait_with_output().unwrap();
        let is_killed = [End::Killed, End::KilledWithChild].contains(&rank.end);
        assert_eq!(output.status.success(), !is_killed, "{rank:?}: {output:?}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.split_once("told ")?.1.split_once('{'));
        let Some((numbers, report)) = line else { continue };
        let numbers: Vec<&str> = numbers.split_whitespace().collect();
        let energy_j = numbers[2].parse().ok();
        told.push(Told {
            begin: numbers[0].parse().unwrap(),
            end: numbers[1].parse().unwrap(),
            energy_j,
            report: report.into(),
        });
    }
    (told, move |from, to| counter.joules(to) - counter.joules(from))
}

/// The sum over ranks lies within this share of what was used from the first begin to the last end.
fn assert_counted_once(ranks: &[Rank], variables: &[(&str, &str)], within: f64) -> Vec<Told> {
    let (told, joules) = run(ranks, variables);
    let first = told.iter().map(|told| told.begin).min().expect("a report");
    let last = told.iter().map(|told| told.end).max().expect("a report");
    let truth = joules(first, last);
    let sum: f64 = told.iter().filter_map(|told| told.energy_j).sum();
    let each: Vec<Option<f64>> = told.iter().map(|told| told.energy_j).collect();
    println!("{ranks:?}: {sum:.2} J of {truth:.2} J, {:+.2} %; {each:?}", 100.0 * (sum / truth - 1.0));
    assert!((sum / truth - 1.0).abs() < within, "{ranks:?}: {sum} J of {truth} J: {each:?}");
    told
}

/// Not a test but a rank's program, when it is one.
#[test]
fn a_rank() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let words: Vec<&str> = role.split(' ').collect();
    let number = |place: usize| words[place].parse::<u64>().unwrap();
    crate::fake_rapl::serve_too(number(0), &[Counter::constant(WATTS)]);
    let sleep_until = |at: u64| std::thread::sleep(Duration::from_nanos(at.saturating_sub(now())));
    sleep_until(number(1));
    let tracker = Tracker::create("components=cpu,dram").unwrap().unwrap();
    sleep_until(number(2));
    let begin = now();
    let mut end = begin;
    while end < number(3) {
        tracker.begin().unwrap();
        std::thread::sleep(EPOCH);
        tracker.end().unwrap();
        end = now();
    }
    if words[5].starts_with("Killed") {
        // SAFETY: the child only closes what the parent's death is to close, sleeps and ends; a signal to this process.
        unsafe {
            if words[5] == "KilledWithChild" && libc::fork() == 0 {
                (0..3).for_each(|descriptor| assert_eq!(libc::close(descriptor), 0));
                libc::sleep(3);
                libc::_exit(0);
            }
            libc::raise(libc::SIGKILL)
        };
    }
    sleep_until(number(4));
    let energy_j = tracker.value("/usage/energy_j").map_or("unknown".into(), |joules| joules.to_string());
    println!("told {begin} {end} {energy_j} {}", tracker.report("json").unwrap().trim());
    if words[5] == "InOrder" {
        tracker.destroy();
    } else {
        std::process::exit(0);
    }
}

#[test]
fn one_two_and_four_ranks_have_the_same_total() {
    steadily(|| {
        for count in [1, 2, 4] {
            let told = assert_counted_once(&vec![rank(0, 1000, End::InOrder); count], &[], 0.03);
            let counters = told.iter().filter(|told| told.energy_j.is_some_and(|joules| joules > 50.0)).count();
            assert_eq!((told.len(), counters), (count, 1), "one of them counts");
            let others: Vec<&Told> = told.iter().filter(|told| told.energy_j.is_none()).collect();
            assert!(others.iter().all(|told| told.report.contains(": counted by ")), "and the others say so");
            assert_added_up(&told);
        }
    });
}

/// The command's totals of the ranks' reports: their energy, and none amiss.
fn assert_added_up(told: &[Told]) {
    let folder =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("job-{}-{}", std::process::id(), told.len()));
    std::fs::create_dir_all(&folder).unwrap();
    for (number, told) in told.iter().enumerate() {
        std::fs::write(folder.join(format!("{number}.json")), format!("{{{}", told.report.trim_start_matches('{')))
            .unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_carbontracker"));
    let output = command.args(["aggregate", "--strict", "--json"]).arg(&folder).output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let whole: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let totals = &whole["totals"];
    let joules: f64 = told.iter().filter_map(|told| told.energy_j).sum();
    assert!((totals["energy_j"].as_f64().unwrap() / joules - 1.0).abs() < 1e-12, "{totals}");
    assert_eq!((&totals["runs"], &totals["without_energy"]), (&told.len().into(), &0.into()));
    assert_eq!(totals["counted_elsewhere"], told.iter().filter(|told| told.energy_j.is_none()).count());
}

#[test]
fn a_killed_ranks_energy_is_taken_over() {
    steadily(|| {
        for end in [End::Killed, End::KilledWithChild] {
            let survivors = rank(100, 1500, End::InOrder);
            assert_counted_once(&[rank(0, 700, end), survivors, survivors, survivors], &[], 0.03);
        }
    });
}

#[test]
fn a_rank_that_ends_early_hands_over() {
    steadily(|| {
        for end in [End::InOrder, End::WithoutDestroy] {
            let others = rank(100, 1500, End::InOrder);
            let told = assert_counted_once(&[rank(0, 700, end), others, others], &[], 0.03);
            let after =
                told[1..].iter().find(|told| told.energy_j.is_some_and(|joules| joules > 10.0)).expect("another");
            assert!(after.report.contains("taken over from another process"), "{}", after.report);
        }
    });
}

#[test]
fn one_after_the_other_each_takes_over() {
    steadily(|| {
        let ranks = [rank(0, 600, End::InOrder), rank(100, 1100, End::Killed), rank(200, 1700, End::WithoutDestroy)];
        assert_counted_once(&ranks, &[], 0.03);
    });
}

#[test]
fn ranks_may_come_late() {
    steadily(|| {
        let ranks = [rank(0, 1000, End::InOrder), rank(400, 1000, End::InOrder), rank(900, 1500, End::InOrder)];
        assert_counted_once(&ranks, &[("CARBONTRACKER_JOB", "late")], 0.03);
    });
}

#[test]
fn a_rank_that_waits_for_the_others_lends() {
    steadily(|| {
        // Its loop is over, and it waits at a barrier.
        let fast = Rank { leaves: 4 * S, ..rank(0, 600, End::InOrder) };
        assert_counted_once(&[fast, rank(100, 3500, End::InOrder)], &[], 0.03);
        // It has its tracker early, and loads data first.
        let loading = Rank { made: 0, ..rank(1500, 2500, End::InOrder) };
        assert_counted_once(&[loading, rank(200, 2000, End::InOrder)], &[], 0.03);
    });
}

#[test]
fn without_a_job_each_counts_all() {
    steadily(|| {
        let (told, joules) = run(&[rank(0, 600, End::InOrder); 2], &[("CARBONTRACKER_JOB", "off")]);
        for Told { begin, end, energy_j, .. } in told {
            let (energy_j, truth) = (energy_j.expect("known"), joules(begin, end));
            assert!((energy_j / truth - 1.0).abs() < 0.03, "{energy_j} of {truth}");
        }
    });
}

#[test]
fn nothing_is_left_in_shared_memory() {
    let (told, _) = run(
        &[rank(0, 300, End::InOrder), rank(0, 400, End::WithoutDestroy), rank(0, 200, End::InOrder)],
        &[("CARBONTRACKER_JOB", "tidy")],
    );
    assert_eq!(told.len(), 3);
    let job = carbontracker::coordination::job::Job::find(Some("tidy"), &|_| None, None).unwrap();
    let root = std::env::temp_dir().join(format!("ct-served-{}", std::process::id()));
    let key = job.hash(carbontracker::os::user(), &root) as u32 | 1 << 30;
    let listed = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let keys = listed.lines().skip(1).filter_map(|line| line.split_whitespace().next()?.parse::<i64>().ok());
    assert!(keys.into_iter().all(|there| there != i64::from(key as i32)), "{listed}");
}
