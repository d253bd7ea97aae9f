//! Worlds from seeds: machines, ranks, disks and faults. What must be true of each world is in `src/check.rs`.
//!
//! CT_WORLDS=N runs the worlds 0 to N-1, CT_SEED=N the world N.

use crate::run_files;
use carbontracker_simulation::disk::Disk;
use carbontracker_simulation::kernel;
use carbontracker_simulation::scenario::Scenario;
use carbontracker_simulation::{on_a_machine, pause};
use std::rc::Rc;
use std::time::Duration;

/// Worlds that the suite runs.
const WORLDS: u64 = 20;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn worlds_hold() {
    let seeds = number("CT_SEED").map_or(0..number("CT_WORLDS").unwrap_or(WORLDS), |seed| seed..seed + 1);
    let failures: Vec<String> = seeds
        .filter_map(|seed| {
            let failure = Scenario::new(seed).run().failure?;
            let replay = "cargo run --profile simulation -p carbontracker-simulation --";
            Some(format!("seed {seed}: {failure}\n  {replay} {seed}"))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A process with a journal is killed. Returns the world's disk after its end.
fn world_with_a_kill() -> Rc<Disk> {
    on_a_machine(3, Vec::new(), |kernel, disk| {
        let options = format!("sim_cpu=A:50 job=off interval=0.1 log_dir={}", disk.folder.display());
        let killed = kernel.start(Vec::new(), move || {
            let tracker = run_files::make(&options);
            run_files::epochs(&tracker, 9, Duration::from_secs(60));
        });
        pause(Duration::from_secs(90));
        assert!(!disk.descriptors().is_empty());
        kernel.kill(killed);
        Rc::clone(disk)
    })
}

#[test]
fn killed_process_keeps_neither_stacks_nor_files() {
    assert!(world_with_a_kill().descriptors().is_empty());
    let stacks = kernel::stacks();
    for _ in 0..5 {
        world_with_a_kill();
    }
    assert_eq!(kernel::stacks(), stacks);
}
