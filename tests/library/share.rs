//! The job's share of a GPU that programs use together.

use crate::fake_nvml::{Found, Gpu, Standin, tracker};
use crate::retry::say;
use carbontracker::os;
use std::time::Duration;

/// This process uses 30 % of the GPU, another one 60 %. The driver has process numbers of the machine.
#[test]
fn gpu_goes_by_the_use_of_each_process() {
    let is_first = os::is_first_pid_namespace();
    let pids = [os::process_id(), 1, 0, 0, 0, 0, 0, 0];
    let standin = Standin::new(&[Gpu { pids, used: [30, 60, 0, 0, 0, 0, 0, 0], ..Gpu::constant(300.0) }]);
    let tracker = tracker(&format!("{} scope=job job=off components=gpu", standin.options()));
    tracker.begin().unwrap();
    os::pause(Duration::from_millis(500));
    tracker.end().unwrap();
    let found = Found::report(&tracker);
    let share = |name: &str| found.number(&format!("/share/rows/0/{name}"));
    let (job, others, device) = (share("job_j"), share("others_j"), share("device_j"));
    assert!((job + others - device).abs() < 1e-9 * device, "{job} + {others} of {device} J");
    if is_first {
        assert!((job / device - 1.0 / 3.0).abs() < 1e-6, "{job} of {device} J");
    } else {
        say("process numbers here are not the machine's: the GPU is the job's as a whole");
        assert_eq!(others, 0.0);
    }
}

#[test]
fn gpu_goes_by_slices_and_without_figures_to_the_job() {
    for (slices, device, expected) in [([3, 2, 0, 2, 0, 0, 0], "0", 1.0), ([3, 2, 0, 2, 0, 0, 0], "mig", 3.0 / 7.0)] {
        let standin = Standin::new(&[Gpu { slices, ..Gpu::constant(300.0) }]);
        let mig = crate::fake_nvml::mig_uuid(0, 0);
        let devices = if device == "mig" { mig.as_str() } else { device };
        let options = format!("{} scope=job job=off components=gpu devices={devices}", standin.options());
        let tracker = tracker(&options);
        tracker.begin().unwrap();
        os::pause(Duration::from_millis(300));
        tracker.end().unwrap();
        let found = Found::report(&tracker);
        let (job, whole) = (found.number("/share/job_j"), found.number("/share/device_j"));
        assert!((job / whole - expected).abs() < 1e-6, "{devices}: {job} of {whole} J");
    }
}
