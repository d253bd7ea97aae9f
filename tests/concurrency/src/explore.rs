//! Runs a check under many schedules. A failure names the seed and the command that replays it.

use crate::faults::{self, Fault};
use crate::shim::atomic::step;
use crate::shim::{os, process, segment};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

/// Number of schedules of one seed.
const SCHEDULES: usize = 100;
/// Number of schedules of a check, unless the variable CT_SCHEDULES has another.
const ALL_SCHEDULES: u64 = 2000;
/// Number of seeds in which a fault must be found.
const FAULT_SEEDS: u64 = 20;
/// Number of switches that a PCT schedule places at random. It otherwise runs the thread of the highest priority.
const PCT_DEPTH: usize = 3;
/// Times between two looks at the clock, ns: epochs are shorter or longer than the time that a lease ignores.
const LOOKS_NS: [u64; 2] = [10_000, 400_000];

/// Runs `check` under all schedules. Panics at the first that fails.
pub fn holds(check: fn()) {
    let all = variable("CT_SCHEDULES").unwrap_or(ALL_SCHEDULES).div_ceil(SCHEDULES as u64);
    let seeds = variable("CT_SEED").map_or(0..all, |seed| seed..seed + 1);
    let failed = seeds.into_iter().find_map(|seed| Some((seed, failure(seed, None, check)?)));
    if let Some((seed, words)) = failed {
        let test = real_std::thread::current().name().unwrap_or_default().to_owned();
        panic!("a schedule of seed {seed} fails: {words}\nreplay it: CT_SEED={seed} make test-concurrency ONLY={test}");
    }
}

/// Checks that a schedule fails with `fault`.
pub fn finds(fault: Fault, check: fn()) {
    let is_found = (0..FAULT_SEEDS).any(|seed| failure(seed, Some(fault), check).is_some());
    assert!(is_found, "no schedule finds {fault:?}: the check cannot fail");
}

/// The first failure of the schedules of a seed. They run on a thread of their own, which a failure ends.
fn failure(seed: u64, fault: Option<Fault>, check: fn()) -> Option<String> {
    let mut config = Config::new();
    config.stack_size = 256 << 10;
    config.max_steps = MaxSteps::FailAfter(200_000);
    config.silence_warnings = true;
    config.failure_persistence = FailurePersistence::None;
    let scheduler: Box<dyn Scheduler + Send> = match seed % 2 {
        0 => Box::new(RandomScheduler::new_from_seed(seed, SCHEDULES)),
        _ => Box::new(PctScheduler::new_from_seed(seed, PCT_DEPTH, SCHEDULES)),
    };
    let run = move || {
        faults::set(fault);
        let execution = move || {
            os::reset(LOOKS_NS[seed as usize / 2 % 2]);
            process::reset();
            segment::reset();
            // A check of one thread is explored too.
            let other = shuttle::thread::spawn(step);
            check();
            let _ = other.join();
        };
        Runner::new(scheduler, config).run(execution);
    };
    let panic = real_std::thread::spawn(run).join().err()?;
    let words = panic.downcast_ref::<String>().cloned();
    Some(words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned())).unwrap_or_default())
}

fn variable(name: &str) -> Option<u64> {
    real_std::env::var(name).ok()?.parse().ok()
}
