//! Processes that another program replaces by exec, and processes that are stopped for a while.

use crate::Simulation;
use crate::fake_rapl::{Counter, Tree};
use crate::virtually;
use carbontracker::os::{self, pause};
use carbontracker::tracker::Tracker;
use serde_json::Value;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

const WATTS: f64 = 100.0;
const HOUR: Duration = Duration::from_secs(3600);

pub fn of_rank(rank: u32) -> Vec<(String, String)> {
    let rank = rank.to_string();
    let of_job =
        [("SLURM_JOB_ID", "7"), ("SLURM_PROCID", &rank), ("SLURM_LOCALID", &rank), ("SLURM_STEP_NUM_TASKS", "2")];
    of_job.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// The energy that an epoch of this length counts, J.
fn counted(root: &str, length: Duration) -> f64 {
    let options = format!("sysroot={root} interval=0.1");
    let tracker = Tracker::create(&options).unwrap().unwrap();
    tracker.begin().unwrap();
    pause(length);
    tracker.end().unwrap();
    let report: Value = serde_json::from_str(&tracker.report("json").unwrap()).unwrap();
    tracker.destroy();
    report["usage"]["energy_j"].as_f64().unwrap_or(0.0)
}

/// Two ranks share a package. The first runs `next` by exec while it owns the package. Returns what the second counts
/// in a minute, J.
fn with_exec(sim: &Simulation, root: &str, next: impl FnOnce() + 'static) -> f64 {
    let root = root.to_owned();
    let of_owner = root.clone();
    let owner = sim.kernel.start(of_rank(0), move || {
        let _ = counted(&of_owner, HOUR);
    });
    pause(Duration::from_secs(2));
    let joules = Rc::new(Cell::new(0.0));
    let to = Rc::clone(&joules);
    let other = sim.kernel.start(of_rank(1), move || to.set(counted(&root, Duration::from_secs(60))));
    pause(Duration::from_secs(3));
    sim.kernel.exec(owner, next);
    sim.join(other);
    joules.get()
}

#[test]
fn other_rank_takes_the_device_of_a_program_that_is_gone() {
    virtually(|sim| {
        let tree = Tree::new(&[("intel-rapl:0", "package-0", Counter::constant(WATTS))]);
        let joules = with_exec(sim, &tree.root().display().to_string(), || pause(HOUR));
        assert!((WATTS * 40.0..WATTS * 60.1).contains(&joules), "{joules} J of a minute");
    });
}

#[test]
fn next_program_takes_the_device_of_the_one_before() {
    virtually(|sim| {
        let tree = Tree::new(&[("intel-rapl:0", "package-0", Counter::constant(WATTS))]);
        let root = tree.root().display().to_string();
        let joules = Rc::new(Cell::new(0.0));
        let (to, of_next) = (Rc::clone(&joules), root.clone());
        let others = with_exec(sim, &root, move || to.set(counted(&of_next, Duration::from_secs(40))));
        let sum = joules.get() + others;
        assert!((WATTS * 40.0..WATTS * 60.1).contains(&sum), "{others} J and {} J of a minute", joules.get());
    });
}

/// A stop of the process, as by a batch system, takes no time from a wait for another of its threads.
#[test]
fn wait_for_a_thread_outlasts_a_stop() {
    virtually(|at| {
        let has_ended = Rc::new(Cell::new(None));
        let result = Rc::clone(&has_ended);
        let process = at.start(move || {
            let thread = os::spawn_quiet("worker", || pause(Duration::from_millis(50))).unwrap();
            result.set(Some(os::join_within(thread, Duration::from_millis(200))));
        });
        pause(Duration::from_millis(10));
        at.kernel.stop(process, 25_000_000_000);
        at.join(process);
        assert_eq!(has_ended.get(), Some(true));
    });
}
