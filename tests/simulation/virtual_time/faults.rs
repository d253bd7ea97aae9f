//! Faults of counters during a run: they add no energy, the report lists them, and the application is not disturbed.

use crate::fake_rapl::{Answer, Counter, DELAY_US, Tree};
use crate::retry::{Stamp, Used, call, now, run};
use crate::virtually;
use carbontracker::error::Status;
use carbontracker::os::{Instant, pause};
use carbontracker::tracker::Tracker;
use serde_json::Value;
use std::sync::atomic::Ordering;
use std::time::Duration;

const WATTS: f64 = 100.0;

fn tree() -> Tree {
    Tree::new(&[
        ("intel-rapl:0", "package-0", Counter::constant(WATTS)),
        ("intel-rapl:1", "package-1", Counter::constant(WATTS)),
    ])
}

fn tracker(tree: &Tree) -> Tracker {
    Tracker::create(&format!("sysroot={} interval=0.02", tree.root().display())).unwrap().unwrap()
}

fn messages(tracker: &Tracker) -> Vec<String> {
    let mut all = Vec::new();
    while tracker
        .take_message(|text| {
            all.push(text.to_owned());
            Ok(Status::CT_OK)
        })
        .is_ok()
    {}
    all
}

/// The result of a run with epochs of 100 ms, in which the first package has a fault from 0.3 s on.
struct Outcome {
    report: Value,
    /// The energy that both packages used.
    used: Used,
    messages: Vec<String>,
}

impl Outcome {
    fn number(&self, pointer: &str) -> f64 {
        self.report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer}: {:#}", self.report))
    }

    fn text(&self, pointer: &str) -> &str {
        self.report.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer}: {:#}", self.report))
    }
}

/// The energy that both packages used between two instants.
fn both(from: Stamp, to: Stamp) -> Used {
    Used::between(from, to, |ns| 2.0 * WATTS * ns as f64 * 1e-9)
}

/// Sets the answer of a counter for `ms` milliseconds.
fn fail(counter: &mut Counter, answer: Answer, ms: u64) {
    counter.answer = answer;
    counter.until = now() + ms * 1_000_000;
}

/// Runs epochs and changes the first package's counter at 0.3 s.
fn run_with_change(change: impl Fn(&mut Counter)) -> Outcome {
    let tree = tree();
    let tracker = tracker(&tree);
    let stamps = run(&tracker, 10, Duration::from_millis(100), |n| {
        if n == 3 {
            tree.change(0, &change);
        }
    });
    let report = serde_json::from_str(&tracker.report("json").unwrap()).unwrap();
    let messages = messages(&tracker);
    tracker.destroy();
    Outcome { report, used: both(stamps[0].0, stamps[9].1), messages }
}

#[test]
fn readings_that_fail_for_a_while_lose_no_energy() {
    virtually(|_| {
        for answer in [
            Answer::Fails(libc::EACCES),
            Answer::Fails(libc::EIO),
            Answer::Fails(libc::ENOENT),
            Answer::Empty,
            Answer::Garbage,
        ] {
            let run = run_with_change(|counter| fail(counter, answer, 300));
            run.used.assert_near(run.number("/usage/energy_j"), 0.002, &format!("{answer:?}"));
            assert_eq!(run.text("/components/0/status"), "gap", "{answer:?}");
            assert!(run.text("/components/0/note").contains("readings failed"), "{answer:?}");
            assert_eq!(run.text("/components/1/status"), "ok");
            assert!(
                run.messages.iter().any(|m| m.contains("cannot be read any more")),
                "{answer:?}: {:?}",
                run.messages
            );
            assert!(run.messages.iter().any(|m| m.contains("can be read again")), "{answer:?}: {:?}", run.messages);
            for n in 0..10 {
                // The energy of the gap is spread over its epochs.
                let used = Used::exactly(2.0 * WATTS * run.number(&format!("/epochs/{n}/duration_s")));
                used.assert_near(run.number(&format!("/epochs/{n}/energy_j")), 0.02, &format!("{answer:?}, epoch {n}"));
            }
        }
    });
}

#[test]
fn device_lost_for_good_keeps_its_energy_and_others_continue() {
    virtually(|_| {
        let run = run_with_change(|counter| counter.answer = Answer::Fails(libc::ENODEV));
        assert_eq!(run.text("/components/0/status"), "lost");
        run.used.times(0.5 * 0.3).assert_near(run.number("/components/0/energy_j"), 0.07, "the one lost");
        assert!((run.number("/components/0/coverage") - 0.3).abs() < 0.02);
        run.used.times(0.5).assert_near(run.number("/components/1/energy_j"), 0.002, "the other");
        assert!(run.number("/usage/coverage") < 0.4);
    });
}

#[test]
fn counter_that_is_set_back_or_jumps_adds_no_energy() {
    virtually(|_| {
        let an_hour_at_240_w = 240_000_000 * 3600;
        for shift in [-500_000i64, -20_000_000, -900_000_000, 30_000_000_000, an_hour_at_240_w] {
            let run = run_with_change(|counter| counter.shift_uj = shift);
            run.used.assert_near(run.number("/usage/energy_j"), 0.003, &format!("{shift}"));
            assert!(run.number("/components/0/coverage") > 0.8);
            if shift.abs() > 1_000_000 {
                assert_eq!(run.text("/components/0/status"), "reset", "{shift}");
                assert!(
                    run.messages.iter().any(|m| m.contains("was set back or jumped")),
                    "{shift}: {:?}",
                    run.messages
                );
            }
        }
    });
}

#[test]
fn short_fault_at_the_closing_reading_is_waited_for() {
    virtually(|_| {
        for answer in [Answer::Garbage, Answer::Empty, Answer::Fails(libc::EIO)] {
            let tree = tree();
            let tracker = Tracker::create(&format!("sysroot={} epochs=10", tree.root().display())).unwrap().unwrap();
            let begin = call(|| tracker.begin());
            pause(Duration::from_millis(150));
            // The fault is shorter than three readings 10 ms apart, after which the device would count as lost.
            tree.change(0, |counter| fail(counter, answer, 15));
            let used = both(begin, call(|| tracker.end()));
            used.assert_near(tracker.value("/usage/energy_j").unwrap(), 0.015, "the epoch");
            used.times(10.0).assert_near(tracker.value("/forecast/energy_j/value").unwrap(), 0.015, "the forecast");
            tracker.destroy();
        }
    });
}

#[test]
fn device_that_hangs_delays_neither_calls_nor_the_report_nor_the_end() {
    virtually(|_| {
        let tree = tree();
        let tracker = tracker(&tree);
        tracker.begin().unwrap();
        pause(Duration::from_millis(50));
        DELAY_US.store(6_000_000, Ordering::Relaxed);
        pause(Duration::from_millis(50));
        let start = Instant::now();
        tracker.end().unwrap();
        tracker.begin().unwrap();
        tracker.end().unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO, "no call waits");
        let report: Value = serde_json::from_str(&tracker.report("json").unwrap()).unwrap();
        assert!(start.elapsed() < Duration::from_millis(1010), "{:?}", start.elapsed());
        assert!(report.pointer("/notes").unwrap().to_string().contains("still to come"), "{report:#}");
        let start = Instant::now();
        tracker.destroy();
        assert!(start.elapsed() < Duration::from_millis(301), "{:?}", start.elapsed());
        DELAY_US.store(0, Ordering::Relaxed);
        pause(Duration::from_secs(6)); // the reading that hangs ends before its tree
    });
}
