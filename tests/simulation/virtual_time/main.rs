//! Runs that take time, in virtual time: a test of an hour takes milliseconds, and its result depends on a seed alone.
//!
//! CT_SEED=N runs each test in the world of that seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../common/fake_rapl.rs"]
mod fake_rapl;
#[path = "../../common/retry.rs"]
mod retry;
#[path = "../../common/run_files/mod.rs"]
mod run_files;

mod burst;
mod carbon;
mod earlier_runs;
mod exec;
#[path = "../../common/fake_machine.rs"]
mod fake_machine;
mod faults;
mod forecast;
mod grid;
mod long_run;
mod meter_faults;
mod meters;
mod phases;
mod ranks;
mod run_files_faults;
mod run_files_manners;
mod run_files_written;
mod run_progress;
mod signals;
mod worlds;

use carbontracker_simulation::disk::Disk;
use carbontracker_simulation::kernel::{Clocks, Kernel};
use carbontracker_simulation::{on_a_machine, pause};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

/// The seeds of each test.
const SEEDS: [u64; 2] = [1, 2];

/// The simulated machine of a test.
pub struct Simulation {
    pub kernel: Rc<Kernel>,
    pub disk: Rc<Disk>,
}

/// Runs a test in the world of each seed.
pub fn virtually(body: fn(&Simulation)) {
    with_seeds(&SEEDS, body);
}

/// Runs a large test in the world of one seed.
pub fn virtually_once(body: fn(&Simulation)) {
    with_seeds(&SEEDS[..1], body);
}

fn with_seeds(seeds: &[u64], body: fn(&Simulation)) {
    let one = std::env::var("CT_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in one.map_or(seeds.to_vec(), |seed| vec![seed]) {
        let world = || {
            on_a_machine(seed, Vec::new(), move |kernel, disk| {
                body(&Simulation { kernel: Rc::clone(kernel), disk: Rc::clone(disk) });
            });
        };
        if let Err(failure) = catch_unwind(AssertUnwindSafe(world)) {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            eprintln!("seed {seed}; CT_SEED={seed} cargo test -p carbontracker-simulation --test virtual_time {name}");
            resume_unwind(failure);
        }
    }
}

impl Simulation {
    /// The current thread uses the processor for this time. No other thread runs.
    pub fn compute(&self, time: Duration) {
        let clocks = self.kernel.clocks.get();
        self.kernel.clocks.set(Clocks { now: clocks.now + time.as_nanos() as u64, ..clocks });
    }

    /// Starts another process.
    pub fn start(&self, body: impl FnOnce() + 'static) -> u32 {
        self.kernel.start(Vec::new(), body)
    }

    /// Waits for the end of a process.
    pub fn join(&self, process: u32) {
        while self.kernel.has_threads(process) {
            pause(Duration::from_millis(1));
        }
        self.kernel.exit(process);
    }

    /// Runs `body` as another process to its end and returns its result.
    pub fn in_process<R: 'static>(&self, body: impl FnOnce() -> R + 'static) -> R {
        let result = Rc::new(RefCell::new(None));
        let to = Rc::clone(&result);
        self.join(self.start(move || *to.borrow_mut() = Some(body())));
        let result = result.borrow_mut().take();
        result.expect("the process has ended")
    }
}

/// Two worlds of one seed are the same in each number.
#[test]
fn a_seed_decides_all_results() {
    let world = || {
        on_a_machine(7, Vec::new(), |kernel, _| {
            let files = run_files::Folder::new("seed");
            let options = format!("sim_cpu=A:50 job=off epochs=9 interval=0.1 log_dir={}", files.shown());
            let tracker = run_files::make(&options);
            run_files::epochs(&tracker, 9, Duration::from_millis(333));
            let report = tracker.report("json").unwrap();
            tracker.destroy();
            (report, kernel.now(), kernel.switches())
        })
    };
    assert_eq!(world(), world());
}
