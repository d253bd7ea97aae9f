//! Compares measured with used energy, on counters with an energy that is known at every instant.

use crate::fake_rapl::{Counter, Tree};
use crate::retry::{Energies, Stamp, Used, run, steadily, wait_past_edge};
use carbontracker::tracker::Tracker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Tracks `epochs` epochs of `length`, back to back. `counted` are the counters that should count.
fn measure(tree: &Tree, counted: &[Counter], epochs: usize, length: Duration, options: &str) -> Energies {
    let tracker = Tracker::create(&format!("sysroot={} {options}", tree.root().display())).unwrap().unwrap();
    wait_past_edge(HALF_WAVE_NS);
    let stamps = run(&tracker, epochs, length, |_| ());
    let value = |pointer: &str| tracker.value(pointer).unwrap();
    let used = |from: Stamp, to: Stamp| {
        Used::between(from, to, |ns| counted.iter().map(|counter| counter.joules(ns)).sum::<f64>())
    };
    let epochs = stamps.iter().enumerate();
    let energies = Energies {
        total: (value("/usage/energy_j"), used(stamps[0].0, stamps[stamps.len() - 1].1)),
        epochs: epochs.map(|(n, &(begin, end))| (value(&format!("/epochs/{n}/energy_j")), used(begin, end))).collect(),
    };
    assert!(value("/usage/coverage") > 0.999);
    tracker.destroy();
    energies
}

/// Half a period of [`wave`], ns. If epochs of 50 ms begin 25 ms after an edge, each edge is midway between two
/// boundaries.
const HALF_WAVE_NS: u64 = 350_000_000;
const SECOND: Duration = Duration::from_secs(1);

fn wave() -> Counter {
    Counter::wave(240.0, 40.0, 0.7)
}

/// Threads that keep every core busy until this value is dropped.
struct Busy {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Busy {
    fn every_core() -> Busy {
        let stop = Arc::new(AtomicBool::new(false));
        let spin = || {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop()
                }
            })
        };
        let cores = std::thread::available_parallelism().unwrap().get();
        let threads = (0..cores).map(|_| spin()).collect();
        Busy { stop, threads }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn energy_of_one_package_is_exact() {
    steadily(|| {
        let counter = Counter::constant(100.0);
        let tree = Tree::new(&[("intel-rapl:0", "package-0", counter)]);
        measure(&tree, &[counter], 3, SECOND, "").check("one package", 0.002, 0.01);
    });
}

#[test]
fn two_packages_and_their_memory_are_counted_without_parts_and_whole() {
    steadily(|| {
        let (package, dram, part) = (Counter::constant(90.0), Counter::constant(12.0), Counter::constant(60.0));
        let tree = Tree::new(&[
            ("intel-rapl:0", "package-0", package),
            ("intel-rapl:0:0", "core", part),
            ("intel-rapl:0:1", "dram", dram),
            ("intel-rapl:1", "package-1", package),
            ("intel-rapl:1:0", "core", part),
            ("intel-rapl:1:1", "dram", dram),
            ("intel-rapl:2", "psys", Counter::constant(250.0)),
            ("intel-rapl-mmio:0", "package-0", package),
        ]);
        measure(&tree, &[package, package, dram, dram], 3, SECOND, "").check("two packages and memory", 0.002, 0.01);
    });
}

#[test]
fn counter_that_wraps_once_is_exact() {
    steadily(|| {
        let counter = Counter { start_uj: 262_143_328_850 - 150_000_000, ..Counter::constant(100.0) };
        let tree = Tree::new(&[("intel-rapl:0", "package-0", counter)]);
        measure(&tree, &[counter], 3, SECOND, "").check("a wrap", 0.002, 0.01);
    });
}

#[test]
fn counter_that_wraps_faster_than_the_interval_is_exact() {
    steadily(|| {
        let counter = Counter { range_uj: 5_000_000_000, ..Counter::constant(1900.0) };
        let tree = Tree::new(&[("intel-rapl:0", "package-0", counter)]);
        measure(&tree, &[counter], 2, 4 * SECOND, "interval=3600").check("1.5 wraps an epoch", 0.002, 0.01);
    });
}

#[test]
fn interval_between_readings_is_kept() {
    steadily(|| {
        let tree = Tree::new(&[("intel-rapl:0", "package-0", Counter::constant(100.0))]);
        let reads = |interval: &str| {
            let before = crate::fake_rapl::READS.load(Ordering::Relaxed);
            measure(&tree, &[Counter::constant(100.0)], 1, SECOND, interval);
            crate::fake_rapl::READS.load(Ordering::Relaxed) - before
        };
        let (default, hundredth, thousandth) = (reads(""), reads("interval=0.01"), reads("interval=0.001"));
        println!("readings in a second: {default}, {hundredth} at 0.01, {thousandth} at 0.001");
        assert!(default < 20 && (30..=130).contains(&hundredth) && thousandth > 2 * hundredth);
    });
}

#[test]
fn energy_of_a_square_wave_is_exact() {
    steadily(|| {
        let tree = Tree::new(&[("intel-rapl:0", "package-0", wave())]);
        measure(&tree, &[wave()], 5, SECOND, "").check("the wave, 1 s epochs", 0.002, 0.01);
        measure(&tree, &[wave()], 60, Duration::from_millis(50), "").check("the wave, 50 ms epochs", 0.005, 0.08);
    });
}

#[test]
fn energy_of_a_square_wave_is_exact_while_every_core_is_busy() {
    steadily(|| {
        let tree = Tree::new(&[("intel-rapl:0", "package-0", wave())]);
        let busy = Busy::every_core();
        let seconds = measure(&tree, &[wave()], 5, SECOND, "");
        let short = measure(&tree, &[wave()], 60, Duration::from_millis(50), "");
        drop(busy);
        seconds.check("the wave, 1 s epochs, cores busy", 0.002, 0.01);
        short.check("the wave, 50 ms epochs, cores busy", 0.005, 0.08);
    });
}
