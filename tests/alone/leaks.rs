//! Many trackers, one after another: they leave no thread and no descriptor behind.

use crate::fake_nvml::{Found, Gpu, Standin, tracker};
use carbontracker::tracker::Tracker;
use std::time::{Duration, Instant};

fn entries(folder: &str) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

/// A thousand runs leave no thread, no descriptor and no more than one NVML behind.
#[test]
fn a_thousand_trackers_leave_nothing_behind() {
    let _turn = crate::turn();
    let standin = Standin::new(&[Gpu::constant(100.0); 4]);
    let options = standin.options();
    tracker(&options).destroy();
    let before = (entries("/proc/self/task"), entries("/proc/self/fd"));
    for n in 0..1000 {
        let one = Tracker::create(&options).unwrap().unwrap();
        one.begin().unwrap();
        one.end().unwrap();
        if n % 100 == 0 {
            let deadline = Instant::now() + Duration::from_secs(60);
            while Found::report(&one).gpus().len() < 4 && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(Found::report(&one).gpus().len(), 4, "run {n}");
        }
        one.destroy();
    }
    // A thread that was not waited for ends a moment later.
    let now = || (entries("/proc/self/task"), entries("/proc/self/fd"));
    let is_left = |(threads, descriptors): (usize, usize)| threads >= before.0 + 20 || descriptors >= before.1 + 20;
    let deadline = Instant::now() + Duration::from_secs(60);
    while is_left(now()) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let after = now();
    let [calls, initialised, open] = standin.tally();
    println!("threads and descriptors {before:?} then {after:?}, {initialised} initialisations, {calls} calls");
    assert!(!is_left(after), "{before:?} {after:?}");
    assert!(open <= 1 && initialised <= 1001, "{open} NVML left of {initialised}");
}
