//! Worlds from seeds: machines, ranks, disks and faults. What must be true of each world is in `src/check.rs`.
//!
//! CT_WORLDS=N runs the worlds 0 to N-1, CT_SEED=N the world N.

use carbontracker_simulation::scenario::Scenario;

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
