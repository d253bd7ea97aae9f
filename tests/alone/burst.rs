//! Epochs faster than anything can be read: all counted, at once, in little memory.

use crate::retry::{now, own_bytes, wait_until_settled};
use carbontracker::tracker::Tracker;

const WATTS: f64 = 100.0;

fn value(tracker: &Tracker, pointer: &str) -> f64 {
    tracker.value(pointer).unwrap_or_else(|error| panic!("{pointer}: {error}"))
}

#[test]
fn two_million_epochs_are_counted_at_once_and_fit_in_8_mb() {
    let _turn = crate::turn();
    const EPOCHS: u64 = 2_000_000;
    let tracker = Tracker::create(&format!("sim_cpu=x:{WATTS}")).expect("created").expect("enabled");
    let memory = own_bytes();
    let before = now();
    for _ in 0..EPOCHS {
        tracker.begin().expect("begun");
        tracker.end().expect("ended");
    }
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
