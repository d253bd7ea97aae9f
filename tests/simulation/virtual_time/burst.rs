//! Epochs faster than anything can be read: all keep their energy.

use crate::virtually;
use carbontracker::os::pause;
use carbontracker::tracker::Tracker;
use std::time::Duration;

/// The time of a short epoch.
const EPOCH: Duration = Duration::from_nanos(300);

/// The last epochs of a burst are queued at the next call, however late it comes. Energy that was used
/// meanwhile is not theirs.
#[test]
fn late_marks_of_a_burst_get_no_later_energy() {
    virtually(|at| {
        let tracker = Tracker::create("sim_cpu=x:100 interval=0.01").expect("created").expect("enabled");
        for _ in 0..20_000 {
            tracker.begin().expect("begun");
            at.compute(EPOCH);
            tracker.end().expect("ended");
        }
        pause(Duration::from_millis(500));
        let value = |pointer: &str| tracker.value(pointer).unwrap_or_else(|error| panic!("{pointer}: {error}"));
        assert_eq!(value("/run/epochs_done"), 20_000.0);
        let (joules, seconds) = (value("/usage/energy_j"), value("/usage/duration_s"));
        assert!((joules / (100.0 * seconds) - 1.0).abs() < 1e-6, "{joules} J in {seconds} s at 100 W");
        tracker.destroy();
    });
}

/// An epoch begun while the ring was full is an epoch of its own.
#[test]
fn the_epoch_after_a_burst_keeps_its_energy() {
    virtually(|at| {
        let tracker = Tracker::create("sim_cpu=x:100 interval=0.01").expect("created").expect("enabled");
        for _ in 0..20_000 {
            tracker.begin().expect("begun");
            at.compute(EPOCH);
            tracker.end().expect("ended");
        }
        tracker.begin().expect("begun");
        pause(Duration::from_millis(500));
        tracker.end().expect("ended");
        let report = tracker.report("json").expect("a report");
        let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
        let last = report["epochs"].as_array().and_then(|epochs| epochs.last()).expect("epochs");
        let (joules, seconds) = (last["energy_j"].as_f64().expect("J"), last["duration_s"].as_f64().expect("s"));
        assert_eq!(last["count"], 1);
        assert!(
            (seconds - 0.5).abs() < 1e-5 && (joules / (100.0 * seconds) - 1.0).abs() < 1e-6,
            "{joules} J in {seconds} s"
        );
        tracker.destroy();
    });
}
