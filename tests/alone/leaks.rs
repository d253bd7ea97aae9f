//! Many trackers, one after another: they leave no thread and no descriptor behind.

use crate::fake_nvml::{Found, Gpu, Standin, tracker};
use crate::retry::steadily;
use carbontracker::tracker::Tracker;
use std::time::{Duration, Instant};

fn entries(folder: &str) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

/// A thousand runs leave no thread, no descriptor and no more than one NVML behind.
#[test]
fn a_thousand_trackers_leave_nothing_behind() {
    let _turn = crate::turn();
    steadily(|| {
        let standin = Standin::new(&[Gpu::constant(100.0); 4]);
        let options = standin.options();
        tracker(&options).destroy();
        let before = (entries("/proc/self/task"), entries("/proc/self/fd"));
        let start = Instant::now();
        for n in 0..1000 {
            let one = Tracker::create(&options).unwrap().unwrap();
            one.begin().unwrap();
            one.end().unwrap();
            if n % 100 == 0 {
                crate::fake_nvml::settle(&one);
                assert_eq!(Found::report(&one).gpus().len(), 4, "run {n}");
            }
            one.destroy();
        }
        let taken = start.elapsed();
        std::thread::sleep(Duration::from_millis(300));
        let after = (entries("/proc/self/task"), entries("/proc/self/fd"));
        let [calls, initialised, open] = standin.tally();
        println!(
            "a thousand: {taken:?}, threads and descriptors {before:?} then {after:?}, {initialised} initialisations, {calls} calls"
        );
        assert!(after.0 < before.0 + 20 && after.1 < before.1 + 20, "{before:?} {after:?}");
        assert!(open <= 1 && initialised <= 1001, "{open} NVML left of {initialised}");
    });
}
