//! The error of measured energy, live, on meters whose energy is known at each instant: `make bench`.
//!
//! These are figures, not tests: a machine that delays a thread makes them worse. So each row has the share of time in
//! which the machine's processors were busy. The last two columns are the figures in the README of 0.1.0. The tests
//! prove the same arithmetic without real time.
#[path = "../tests/common/fake_nvml/mod.rs"]
mod fake_nvml;
#[path = "../tests/common/fake_rapl.rs"]
mod fake_rapl;
#[path = "../tests/common/retry.rs"]
mod retry;

use carbontracker::tracker::Tracker;
use fake_nvml::{Gpu, Standin};
use fake_rapl::{Counter, Tree};
use retry::{Stamp, Used, run, wait_past_edge};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The checkout.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Half a period of [`wave`], ns. If epochs of 50 ms begin 25 ms after an edge, each edge is midway between two
/// boundaries.
const HALF_WAVE_NS: u64 = 350_000_000;
const SECOND: Duration = Duration::from_secs(1);
const SHORT: Duration = Duration::from_millis(50);
/// Duration of a call of a slow driver, s.
const SLOW_S: f64 = 0.005;

fn main() {
    let head = ["truth", "measured", "total", "worst", "busy", "0.1.0:", "0.1.0:"];
    let units = ["J", "J", "%", "epoch, %", "%", "total, %", "epoch, %"];
    for words in [head, units] {
        println!("{:<48}{}", "", words.map(|word| format!("{word:>11}")).concat());
    }
    rapl();
    gpus();
    readings();
}

/// The figures of a case in the README of 0.1.0, percent: total and worst epoch. None: it had none.
type Before = Option<(&'static str, &'static str)>;

/// Runs a case, and prints its row.
fn row(case: &str, before: Before, measure: impl FnOnce() -> Measured) {
    let ticks = processor_ticks();
    let measured = measure();
    let [busy, all] = [0, 1].map(|n| processor_ticks()[n] - ticks[n]);
    let (joules, used) = measured.total;
    let worst = measured.epochs.iter().map(|(joules, used)| used.off(*joules).abs()).fold(0.0, f64::max);
    let (total, epoch) = before.unwrap_or(("-", "-"));
    println!(
        "{case:<48}{:>11.3}{joules:>11.3}{:>+11.3}{:>11.2}{:>11.0}{total:>11}{epoch:>11}",
        (used.least + used.most) / 2.0,
        used.off(joules) * 100.0,
        worst * 100.0,
        100.0 * busy as f64 / all as f64
    );
    if measured.coverage < 0.999 {
        println!("    coverage {:.4}", measured.coverage);
    }
}

/// Time of the machine's processors, ticks: busy, and in all.
fn processor_ticks() -> [u64; 2] {
    let text = fs::read_to_string("/proc/stat").expect("a proc file system");
    let ticks: Vec<u64> =
        text.lines().next().into_iter().flat_map(str::split_whitespace).filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; guests' time is in the first two
    let all: u64 = ticks.iter().take(8).sum();
    [all - ticks[3] - ticks[4], all]
}

/// Measured energies, each with the bounds of the used energy.
struct Measured {
    total: (f64, Used),
    epochs: Vec<(f64, Used)>,
    coverage: f64,
}

/// Measures epochs without gaps. `used` has the used energy between two moments.
fn measure(tracker: Tracker, epochs: usize, length: Duration, used: impl Fn(Stamp, Stamp) -> Used) -> Measured {
    let stamps = run(&tracker, epochs, length, |_| ());
    retry::wait_until_settled(&tracker, epochs as u64);
    let value = |pointer: &str| tracker.value(pointer).unwrap_or(f64::NAN);
    let epoch =
        |(n, &(begin, end)): (usize, &(Stamp, Stamp))| (value(&format!("/epochs/{n}/energy_j")), used(begin, end));
    let measured = Measured {
        total: (value("/usage/energy_j"), used(stamps[0].0, stamps[epochs - 1].1)),
        epochs: stamps.iter().enumerate().map(epoch).collect(),
        coverage: value("/usage/coverage"),
    };
    tracker.destroy();
    measured
}

/// Measures on a served tree. `counted` are the counters that should count.
fn served(tree: &Tree, counted: &[Counter], epochs: usize, length: Duration, options: &str) -> Measured {
    let tracker = Tracker::create(&format!("sysroot={} {options}", tree.root().display())).unwrap().unwrap();
    wait_past_edge(HALF_WAVE_NS);
    measure(tracker, epochs, length, |from, to| {
        Used::between(from, to, |ns| counted.iter().map(|counter| counter.joules(ns)).sum::<f64>())
    })
}

fn one(counter: Counter, epochs: usize, length: Duration, options: &str) -> Measured {
    served(&Tree::new(&[("intel-rapl:0", "package-0", counter)]), &[counter], epochs, length, options)
}

fn wave() -> Counter {
    Counter::wave(240.0, 40.0, 2e-9 * HALF_WAVE_NS as f64)
}

fn rapl() {
    let constant = Some(("0.03", "0.1"));
    row("RAPL, constant, one package", constant, || one(Counter::constant(100.0), 3, SECOND, ""));
    row("RAPL, two packages with memory, beside parts", constant, || {
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
        served(&tree, &[package, package, dram, dram], 3, SECOND, "")
    });
    let wrapping = Counter { start_uj: 262_143_328_850 - 150_000_000, ..Counter::constant(100.0) };
    row("RAPL, a wrap in the middle", constant, || one(wrapping, 3, SECOND, ""));
    let quick = Counter { range_uj: 5_000_000_000, ..Counter::constant(1900.0) };
    row("RAPL, 1.5 wraps an epoch, interval=3600", None, || one(quick, 2, 4 * SECOND, "interval=3600"));
    row("RAPL, wave of 0.7 s, epochs of 1 s", Some(("0.004", "0.05")), || one(wave(), 5, SECOND, ""));
    row("RAPL, the same, epochs of 50 ms", Some(("0.02", "2")), || one(wave(), 60, SHORT, ""));
    let busy = Busy::every_core();
    row("RAPL, wave, 1 s, all cores busy", Some(("0.03", "0.2")), || one(wave(), 5, SECOND, ""));
    row("RAPL, wave, 50 ms, all cores busy", Some(("0.01", "3")), || one(wave(), 60, SHORT, ""));
    drop(busy);
}

/// Measures the first GPUs of a stand-in for NVML.
fn nvml(standin: &Standin, gpus: usize, epochs: usize, length: Duration) -> Measured {
    let gpus: Vec<usize> = (0..gpus).collect();
    let tracker = fake_nvml::tracker(&standin.options());
    wait_past_edge((standin.gpu(0).wave[2] / 2.0 * 1e9) as u64);
    measure(tracker, epochs, length, |from, to| standin.used(&gpus, from, to))
}

fn slow(standin: Standin) -> Standin {
    standin.driver(|driver| driver.delay_s = SLOW_S);
    standin
}

fn gpus() {
    let constant = Some(("0.1", "0.3"));
    let one = || Standin::new(&[Gpu::constant(250.0)]);
    let four = || Standin::new(&[100.0, 200.0, 300.0, 400.0].map(Gpu::constant));
    let sixteen = Standin::new(&std::array::from_fn::<_, 16, _>(|n| Gpu::constant(50.0 + 10.0 * n as f64)));
    let wave = || Standin::new(&[Gpu::wave(400.0, 80.0, 0.9)]);
    let power = || Standin::new(&[Gpu::wave(400.0, 80.0, 1.3).without_counter()]);
    row("NVML, one GPU, constant", constant, || nvml(&one(), 1, 3, SECOND));
    row("NVML, four GPUs, constant", constant, || nvml(&four(), 4, 3, SECOND));
    row("NVML, sixteen GPUs, constant", constant, || nvml(&sixteen, 16, 3, SECOND));
    row("NVML, one GPU, 5 ms a call", constant, || nvml(&slow(one()), 1, 3, SECOND));
    row("NVML, four GPUs, 5 ms a call", constant, || nvml(&slow(four()), 4, 3, SECOND));
    row("NVML, wave of 0.9 s, epochs of 1 s", Some(("0.1", "0.5")), || nvml(&wave(), 1, 4, SECOND));
    row("NVML, the same, 5 ms a call", None, || nvml(&slow(wave()), 1, 4, SECOND));
    row("NVML, power only, wave of 1.3 s, epochs of 2 s", Some(("1", "12")), || nvml(&power(), 1, 5, 2 * SECOND));
    row("NVML, one GPU, epochs of 100 ms", None, || nvml(&one(), 1, 20, SECOND / 10));
}

/// How often a counter is read in an epoch of 1 s.
fn readings() {
    for (what, options) in
        [("its default interval", ""), ("interval=0.01", "interval=0.01"), ("interval=0.001", "interval=0.001")]
    {
        let before = fake_rapl::READS.load(Ordering::Relaxed);
        one(Counter::constant(100.0), 1, SECOND, options);
        println!("{:<48}{:>11}", format!("readings in 1 s, {what}"), fake_rapl::READS.load(Ordering::Relaxed) - before);
    }
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
