//! Epochs faster than anything can be read: all counted, in little memory.

use crate::retry::{call, own_bytes};
use carbontracker::tracker::Tracker;
use std::time::Duration;

#[test]
fn two_million_epochs_are_counted_and_fit_in_8_mb() {
    const EPOCHS: usize = 2_000_000;
    let _turn = crate::turn();
    for run in 0..2 {
        let tracker = Tracker::create("sim_cpu=x:100").expect("created").expect("enabled");
        let before = own_bytes();
        let first = call(|| tracker.begin());
        tracker.end().expect("ended");
        for _ in 2..EPOCHS {
            tracker.begin().expect("begun");
            tracker.end().expect("ended");
        }
        tracker.begin().expect("begun");
        let last = call(|| tracker.end());
        assert!(tracker.settle(Duration::from_secs(60)));
        let value = |pointer: &str| tracker.value(pointer).unwrap_or_else(|error| panic!("{pointer}: {error}"));
        assert_eq!(value("/run/epochs_done"), EPOCHS as f64, "run {run}");
        let seconds = |from: u64, to: u64| (to - from) as f64 * 1e-9;
        let (least, most) = (seconds(first.after, last.before), seconds(first.before, last.after));
        let took = value("/usage/duration_s");
        assert!((least - 1e-6..=most + 1e-6).contains(&took), "{took} s, not {least} to {most} s");
        assert!((value("/usage/energy_j") / (100.0 * took) - 1.0).abs() < 1e-6);
        assert!(value("/usage/coverage") > 0.999);
        let grown = own_bytes().saturating_sub(before);
        assert!(grown < 8_000_000, "{grown} bytes more");
        tracker.destroy();
    }
}
