//! Energy of counters that stand still but for known steps: it is exact. The error on counters that move all the time
//! is a figure of `make bench`.

use crate::fake_rapl::{Counter, READS, Tree};
use crate::retry::{wait_until, wait_until_settled};
use carbontracker::tracker::Tracker;
use std::sync::atomic::Ordering;

/// Waits until all counters have been read once more since this call began.
fn wait_for_readings(counters: usize) {
    let before = READS.load(Ordering::Relaxed);
    wait_until("the counters are read", || READS.load(Ordering::Relaxed) >= before + 3 * counters);
}

/// Runs an epoch in which each counter of the tree takes its step, J. Returns the measured energy, J.
fn measured(tree: &Tree, steps_j: &[f64]) -> f64 {
    let options = format!("sysroot={} components=cpu,dram interval=0.005", tree.root().display());
    let tracker = Tracker::create(&options).unwrap().unwrap();
    tracker.begin().unwrap();
    wait_for_readings(steps_j.len());
    for (number, joules) in steps_j.iter().enumerate() {
        tree.change(number, |counter| counter.shift_uj += (joules * 1e6) as i64);
    }
    wait_for_readings(steps_j.len());
    tracker.end().unwrap();
    wait_until_settled(&tracker, 1);
    let joules = tracker.value("/usage/energy_j").unwrap();
    tracker.destroy();
    joules
}

#[test]
fn two_packages_and_their_memory_are_counted_without_parts_and_whole() {
    let at_rest = Counter::constant(0.0);
    let zones = [
        ("intel-rapl:0", "package-0", 0.5),
        ("intel-rapl:0:0", "core", 0.3),
        ("intel-rapl:0:1", "dram", 0.06),
        ("intel-rapl:1", "package-1", 0.4),
        ("intel-rapl:1:0", "core", 0.2),
        ("intel-rapl:1:1", "dram", 0.07),
        ("intel-rapl:2", "psys", 1.3),
        ("intel-rapl-mmio:0", "package-0", 0.5),
    ];
    let tree = Tree::new(&zones.map(|(zone, name, _)| (zone, name, at_rest)));
    let joules = measured(&tree, &zones.map(|(.., joules)| joules));
    assert!((joules - 1.03).abs() < 1e-6, "{joules}");
}

#[test]
fn a_wrap_of_the_counter_is_exact() {
    let counter = Counter { start_uj: 262_143_328_850 - 200_000, ..Counter::constant(0.0) };
    let tree = Tree::new(&[("intel-rapl:0", "package-0", counter)]);
    let joules = measured(&tree, &[0.5]);
    assert!((joules - 0.5).abs() < 1e-6, "{joules}");
}
