//! The ranks of one job on one node, as processes. Each counter is counted once, though ranks come late, end early or
//! are killed. The ranks run this program again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::fake_rapl::{Counter, Tree};
use crate::retry::{now, steadily};
use carbontracker::tracker::Tracker;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const WATTS: f64 = 100.0;
const EPOCH: Duration = Duration::from_millis(100);
const S: u64 = 1_000_000_000;

/// The variable with a rank's part.
const ROLE: &str = "CT_RANK";

/// How a rank ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// It destroys its tracker.
    InOrder,
    /// It exits without destroying its tracker.
    WithoutDestroy,
    /// It is killed at its end, before it reports.
    Killed,
    /// It is killed at its end, and its forked child stays alive.
    KilledWithChild,
}

/// A rank. Times are in ns after all ranks have started.
///
/// It creates its tracker at `made`, runs epochs from `from` to `to`, and ends at `leaves`.
#[derive(Clone, Copy, Debug)]
struct Rank {
    made: u64,
    from: u64,
    to: u64,
    leaves: u64,
    end: End,
}

/// A rank that creates its tracker when its epochs begin, and ends with them.
const fn rank(from_ms: u64, to_ms: u64, end: End) -> Rank {
    let (from, to) = (from_ms * S / 1000, to_ms * S / 1000);
    Rank { made: from, from, to, leaves: to, end }
}

/// The result of a rank: begin and end of its epochs, ns, its energy, J, and its report.
struct RankResult {
    begin: u64,
    end: u64,
    energy_j: Option<f64>,
    report: String,
}

/// Runs these ranks on one tree. Returns the results of the ranks that reported, in order, and a function for the
/// energy of the tree between two instants.
fn run(ranks: &[Rank], variables: &[(&str, &str)]) -> (Vec<RankResult>, impl Fn(u64, u64) -> f64 + use<>) {
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
    let mut results = Vec::new();
    for (child, rank) in children.into_iter().zip(ranks) {
        let output = child.wait_with_output().unwrap();
        let is_killed = [End::Killed, End::KilledWithChild].contains(&rank.end);
        assert_eq!(output.status.success(), !is_killed, "{rank:?}: {output:?}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.split_once("result ")?.1.split_once('{'));
        let Some((numbers, report)) = line else { continue };
        let numbers: Vec<&str> = numbers.split_whitespace().collect();
        let energy_j = numbers[2].parse().ok();
        results.push(RankResult {
            begin: numbers[0].parse().unwrap(),
            end: numbers[1].parse().unwrap(),
            energy_j,
            report: report.into(),
        });
    }
    (results, move |from, to| counter.joules(to) - counter.joules(from))
}

/// Checks that the sum over ranks is the energy from the first begin to the last end, within this share.
fn assert_counted_once(ranks: &[Rank], variables: &[(&str, &str)], within: f64) -> Vec<RankResult> {
    let (results, joules) = run(ranks, variables);
    let first = results.iter().map(|result| result.begin).min().expect("a report");
    let last = results.iter().map(|result| result.end).max().expect("a report");
    let truth = joules(first, last);
    let sum: f64 = results.iter().filter_map(|result| result.energy_j).sum();
    let each: Vec<Option<f64>> = results.iter().map(|result| result.energy_j).collect();
    println!("{ranks:?}: {sum:.2} J of {truth:.2} J, {:+.2} %; {each:?}", 100.0 * (sum / truth - 1.0));
    assert!((sum / truth - 1.0).abs() < within, "{ranks:?}: {sum} J of {truth} J: {each:?}");
    results
}

/// The program of a rank, if this process is one. Otherwise it does nothing.
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
        // SAFETY: the child only closes the descriptors that the parent's death closes, sleeps and ends. The signal
        // goes to this process.
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
    println!("result {begin} {end} {energy_j} {}", tracker.report("json").unwrap().trim());
    if words[5] == "InOrder" {
        tracker.destroy();
    } else {
        std::process::exit(0);
    }
}

#[test]
fn total_is_the_same_for_one_two_and_four_ranks() {
    steadily(|| {
        for count in [1, 2, 4] {
            let results = assert_counted_once(&vec![rank(0, 1000, End::InOrder); count], &[], 0.03);
            let counters = results.iter().filter(|result| result.energy_j.is_some_and(|joules| joules > 50.0)).count();
            assert_eq!((results.len(), counters), (count, 1), "one of them counts");
            let others: Vec<&RankResult> = results.iter().filter(|result| result.energy_j.is_none()).collect();
            assert!(others.iter().all(|result| result.report.contains(": counted by ")), "and the others report it");
            assert_added_up(&results);
        }
    });
}

/// Checks the command's totals of the ranks' reports.
fn assert_added_up(results: &[RankResult]) {
    let folder =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("job-{}-{}", std::process::id(), results.len()));
    std::fs::create_dir_all(&folder).unwrap();
    for (number, result) in results.iter().enumerate() {
        std::fs::write(folder.join(format!("{number}.json")), format!("{{{}", result.report.trim_start_matches('{')))
            .unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_carbontracker"));
    let output = command.args(["aggregate", "--strict", "--json"]).arg(&folder).output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let whole: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let totals = &whole["totals"];
    let joules: f64 = results.iter().filter_map(|result| result.energy_j).sum();
    assert!((totals["energy_j"].as_f64().unwrap() / joules - 1.0).abs() < 1e-12, "{totals}");
    assert_eq!((&totals["runs"], &totals["without_energy"]), (&results.len().into(), &0.into()));
    assert_eq!(totals["counted_elsewhere"], results.iter().filter(|result| result.energy_j.is_none()).count());
}

#[test]
fn energy_of_a_killed_rank_is_taken_over() {
    steadily(|| {
        for end in [End::Killed, End::KilledWithChild] {
            let survivors = rank(100, 1500, End::InOrder);
            assert_counted_once(&[rank(0, 700, end), survivors, survivors, survivors], &[], 0.03);
        }
    });
}

#[test]
fn rank_that_ends_early_yields_its_lease() {
    steadily(|| {
        for end in [End::InOrder, End::WithoutDestroy] {
            let others = rank(100, 1500, End::InOrder);
            let results = assert_counted_once(&[rank(0, 700, end), others, others], &[], 0.03);
            let after = results[1..]
                .iter()
                .find(|result| result.energy_j.is_some_and(|joules| joules > 10.0))
                .expect("another");
            assert!(after.report.contains("taken over from another process"), "{}", after.report);
        }
    });
}

#[test]
fn ranks_take_over_one_after_another() {
    steadily(|| {
        let ranks = [rank(0, 600, End::InOrder), rank(100, 1100, End::Killed), rank(200, 1700, End::WithoutDestroy)];
        assert_counted_once(&ranks, &[], 0.03);
    });
}

#[test]
fn ranks_that_come_late_count_once() {
    steadily(|| {
        let ranks = [rank(0, 1000, End::InOrder), rank(400, 1000, End::InOrder), rank(900, 1500, End::InOrder)];
        assert_counted_once(&ranks, &[("CARBONTRACKER_JOB", "late")], 0.03);
    });
}

#[test]
fn rank_that_waits_for_the_others_yields_its_lease() {
    steadily(|| {
        // The loop of one rank is over, and the rank waits at a barrier.
        let fast = Rank { leaves: 4 * S, ..rank(0, 600, End::InOrder) };
        assert_counted_once(&[fast, rank(100, 3500, End::InOrder)], &[], 0.03);
        // One rank creates its tracker early, and loads data first.
        let loading = Rank { made: 0, ..rank(1500, 2500, End::InOrder) };
        assert_counted_once(&[loading, rank(200, 2000, End::InOrder)], &[], 0.03);
    });
}

#[test]
fn ranks_without_a_job_count_all_each() {
    steadily(|| {
        let (results, joules) = run(&[rank(0, 600, End::InOrder); 2], &[("CARBONTRACKER_JOB", "off")]);
        for RankResult { begin, end, energy_j, .. } in results {
            let (energy_j, truth) = (energy_j.expect("known"), joules(begin, end));
            assert!((energy_j / truth - 1.0).abs() < 0.03, "{energy_j} of {truth}");
        }
    });
}

#[test]
fn shared_memory_is_empty_at_the_end() {
    let (results, _) = run(
        &[rank(0, 300, End::InOrder), rank(0, 400, End::WithoutDestroy), rank(0, 200, End::InOrder)],
        &[("CARBONTRACKER_JOB", "tidy")],
    );
    assert_eq!(results.len(), 3);
    let job = carbontracker::coordination::job::Job::find(Some("tidy"), &|_| None, None).unwrap();
    let root = std::env::temp_dir().join(format!("ct-served-{}", std::process::id()));
    let key = job.hash(carbontracker::os::user(), &root) as u32 | 1 << 30;
    let listed = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let keys = listed.lines().skip(1).filter_map(|line| line.split_whitespace().next()?.parse::<i64>().ok());
    assert!(keys.into_iter().all(|there| there != i64::from(key as i32)), "{listed}");
}
