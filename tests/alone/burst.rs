//! Epochs faster than anything can be read: all counted, at once, in little memory.

use crate::retry::{now, own_bytes, wait_until_settled};
use carbontracker::tracker::Tracker;
use std::time::Duration;

const WATTS: f64 = 100.0;

fn tracker(options: &str) -> Tracker {
    Tracker::create(&format!("sim_cpu=x:{WATTS} {options}")).expect("created").expect("enabled")
}

fn burst(tracker: &Tracker, epochs: u64) {
    for _ in 0..epochs {
        tracker.begin().expect("begun");
        tracker.end().expect("ended");
    }
}

fn value(tracker: &Tracker, pointer: &str) -> f64 {
    tracker.value(pointer).unwrap_or_else(|error| panic!("{pointer}: {error}"))
}

#[test]
fn two_million_epochs_are_counted_at_once_and_fit_in_8_mb() {
    let _turn = crate::turn();
    const EPOCHS: u64 = 2_000_000;
    let tracker = tracker("");
    let memory = own_bytes();
    let before = now();
    burst(&tracker, EPOCHS);
    let most_s = (now() - before) as f64 * 1e-9;
    wait_until_settled(&tracker, EPOCHS);
    let (joules, seconds) = (value(&tracker, "/usage/energy_j"), value(&tracker, "/usage/duration_s"));
    assert!(seconds > 0.0 && seconds <= most_s, "{seconds} s of {most_s} s");
    assert!((joules / (WATTS * seconds) - 1.0).abs() < 1e-6, "{joules} J in {seconds} s");
    assert!(value(&tracker, "/usage/coverage") > 0.999);
    let grown = own_bytes().saturating_sub(memory);
    assert!(grown < 8_000_000, "{grown} bytes more");
    tracker.destroy();
}

/// The last epochs of a burst are queued at the next call, however late it comes. Energy that was used
/// meanwhile is not theirs.
#[test]
fn late_marks_of_a_burst_get_no_later_energy() {
    let _turn = crate::turn();
    let tracker = tracker("interval=0.01");
    burst(&tracker, 20_000);
    std::thread::sleep(Duration::from_millis(100)); // energy is used, and no call is made
    wait_until_settled(&tracker, 20_000);
    let (joules, seconds) = (value(&tracker, "/usage/energy_j"), value(&tracker, "/usage/duration_s"));
    assert!((joules / (WATTS * seconds) - 1.0).abs() < 1e-6, "{joules} J in {seconds} s");
    tracker.destroy();
}

/// An epoch begun while the ring was full is an epoch of its own.
#[test]
fn the_epoch_after_a_burst_keeps_its_energy() {
    let _turn = crate::turn();
    let tracker = tracker("interval=0.01");
    burst(&tracker, 20_000);
    tracker.begin().expect("begun");
    let begun = now();
    std::thread::sleep(Duration::from_millis(100)); // the epoch uses energy
    let least_s = (now() - begun) as f64 * 1e-9;
    tracker.end().expect("ended");
    wait_until_settled(&tracker, 20_001);
    let report = tracker.report("json").expect("a report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    let last = report["epochs"].as_array().and_then(|epochs| epochs.last()).expect("epochs");
    let (joules, seconds) = (last["energy_j"].as_f64().expect("J"), last["duration_s"].as_f64().expect("s"));
    assert_eq!(last["count"], 1);
    assert!(seconds >= least_s && (joules / (WATTS * seconds) - 1.0).abs() < 1e-3, "{joules} J in {seconds} s");
    tracker.destroy();
}
