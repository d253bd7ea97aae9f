//! Many trackers, one after another: they leave no thread and no descriptor behind.

use crate::fake_nvml::{Found, Gpu, Standin, tracker};
use crate::retry::wait_until;
use carbontracker::tracker::Tracker;

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
    let here = || (entries("/proc/self/task"), entries("/proc/self/fd"));
    let before = here();
    for n in 0..1000 {
        let one = Tracker::create(&options).unwrap().unwrap();
        one.begin().unwrap();
        one.end().unwrap();
        if n % 100 == 0 {
            wait_until("four GPUs are counted", || Found::report(&one).gpus().len() == 4);
        }
        one.destroy();
    }
    // A thread that `destroy` no longer waits for ends a little later.
    wait_until("threads and descriptors are closed", || {
        let after = here();
        after.0 < before.0 + 20 && after.1 < before.1 + 20
    });
    wait_until("NVML is shut down", || standin.tally()[2] <= 1);
    let [calls, initialised, _] = standin.tally();
    println!("a thousand: {initialised} initialisations, {calls} calls");
    assert!(initialised <= 1001, "{initialised} initialisations");
}
