//! What is measured against what was used, on counters whose energy is known at every instant.
mod served;

use carbontracker::tracker::Tracker;
use served::{Counter, Tree, now};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A run's energies beside the truth, J.
struct Run {
    total: (f64, f64),
    epochs: Vec<(f64, f64)>,
}

/// Tracks `epochs` epochs of `length`, back to back. `counted` are the counters that should count.
fn run(tree: &Tree, counted: &[Counter], epochs: usize, length: Duration, options: &str) -> Run {
    let truth =
        |from: u64, to: u64| counted.iter().map(|counter| counter.joules(to) - counter.joules(from)).sum::<f64>();
    let tracker = Tracker::create(&format!("sysroot={} {options}", tree.root().display())).unwrap().unwrap();
    let mut stamps = Vec::new();
    let start = wait_for_phase();
    for n in 0..epochs {
        tracker.begin().unwrap();
        let begin = now();
        let until = start + (n as u64 + 1) * length.as_nanos() as u64;
        std::thread::sleep(Duration::from_nanos(until.saturating_sub(now())));
        let end = now();
        tracker.end().unwrap();
        stamps.push((begin, end));
    }
    let value = |pointer: &str| tracker.value(pointer).unwrap();
    let epochs = stamps
        .iter()
        .enumerate()
        .map(|(n, &(begin, end))| (value(&format!("/epochs/{n}/energy_j")), truth(begin, end)))
        .collect();
    let total = (value("/usage/energy_j"), truth(stamps[0].0, stamps[stamps.len() - 1].1));
    assert!(value("/usage/coverage") > 0.999);
    tracker.destroy();
    Run { total, epochs }
}

/// Begins where the wave's edges fall midway between boundaries of 50 ms epochs: an edge within the
/// counter's own step of 1 ms before a boundary is beyond anybody's resolution.
fn wait_for_phase() -> u64 {
    const HALF_WAVE_NS: u64 = 350_000_000;
    const PHASE_NS: u64 = 25_000_000;
    let start = now().next_multiple_of(HALF_WAVE_NS) + PHASE_NS;
    std::thread::sleep(Duration::from_nanos(start - now()));
    now()
}

impl Run {
    fn check(&self, what: &str, total_within: f64, epoch_within: f64) {
        let off = |(measured, truth): (f64, f64)| (measured / truth - 1.0).abs();
        let worst = self.epochs.iter().copied().map(off).fold(0.0, f64::max);
        println!(
            "{what}: total {:+.3} %, worst epoch {:.2} %",
            (self.total.0 / self.total.1 - 1.0) * 100.0,
            worst * 100.0
        );
        assert!(off(self.total) <= total_within, "{what}: total {:?}", self.total);
        assert!(worst <= epoch_within, "{what}: epochs {:?}", self.epochs);
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn wave() -> Counter {
    Counter::wave(240.0, 40.0, 0.7)
}

#[test]
fn one_package() {
    let counter = Counter::constant(100.0);
    let tree = Tree::new(&[("intel-rapl:0", "package-0", counter)]);
    run(&tree, &[counter], 3, SECOND, "").check("one package", 0.002, 0.01);
}

#[test]
fn two_packages_with_memory_and_neither_parts_nor_whole() {
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
    run(&tree, &[package, package, dram, dram], 3, SECOND, "").check("two packages and memory", 0.002, 0.01);
}

#[test]
fn a_wrap_in_the_middle() {
    let counter = Counter { start_uj: 262_143_328_850 - 150_000_000, ..Counter::constant(100.0) };
    let tree = Tree::new(&[("intel-rapl:0", "package-0", counter)]);
    run(&tree, &[counter], 3, SECOND, "").check("a wrap", 0.002, 0.01);
}

#[test]
fn a_counter_that_wraps_faster_than_the_interval() {
    let counter = Counter { range_uj: 5_000_000_000, ..Counter::constant(1900.0) };
    let tree = Tree::new(&[("intel-rapl:0", "package-0", counter)]);
    run(&tree, &[counter], 2, 4 * SECOND, "interval=3600").check("1.5 wraps an epoch", 0.002, 0.01);
}

#[test]
fn the_interval_is_honoured() {
    let tree = Tree::new(&[("intel-rapl:0", "package-0", Counter::constant(100.0))]);
    let reads = |interval: &str| {
        let before = served::READS.load(Ordering::Relaxed);
        run(&tree, &[Counter::constant(100.0)], 1, SECOND, interval);
        served::READS.load(Ordering::Relaxed) - before
    };
    let (default, hundredth, thousandth) = (reads(""), reads("interval=0.01"), reads("interval=0.001"));
    println!("readings in a second: {default}, {hundredth} at 0.01, {thousandth} at 0.001");
    assert!(default < 20 && (30..=130).contains(&hundredth) && thousandth > 2 * hundredth);
}

#[test]
fn a_square_wave() {
    let tree = Tree::new(&[("intel-rapl:0", "package-0", wave())]);
    run(&tree, &[wave()], 5, SECOND, "").check("the wave, 1 s epochs", 0.002, 0.01);
    run(&tree, &[wave()], 60, Duration::from_millis(50), "").check("the wave, 50 ms epochs", 0.005, 0.08);
}

#[test]
fn a_square_wave_while_every_core_is_busy() {
    let tree = Tree::new(&[("intel-rapl:0", "package-0", wave())]);
    let idle = Arc::new(AtomicBool::new(false));
    let cores = std::thread::available_parallelism().unwrap().get();
    let busy: Vec<_> = (0..cores)
        .map(|_| {
            let idle = Arc::clone(&idle);
            std::thread::spawn(move || {
                while !idle.load(Ordering::Relaxed) {
                    std::hint::spin_loop()
                }
            })
        })
        .collect();
    let seconds = run(&tree, &[wave()], 5, SECOND, "");
    let short = run(&tree, &[wave()], 60, Duration::from_millis(50), "");
    idle.store(true, Ordering::Relaxed);
    busy.into_iter().for_each(|thread| thread.join().unwrap());
    seconds.check("the wave, 1 s epochs, cores busy", 0.002, 0.01);
    short.check("the wave, 50 ms epochs, cores busy", 0.005, 0.08);
}
