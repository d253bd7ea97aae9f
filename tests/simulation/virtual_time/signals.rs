//! Forecast messages and the verdict on budgets: when they come, and what they are made from.

use crate::fake_rapl::{Counter, Tree};
use crate::retry::now;
use crate::run_files::{make, messages};
use crate::virtually;
use carbontracker::error::Status;
use carbontracker::os::pause;
use carbontracker::tracker::Tracker;
use std::time::Duration;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A tracker of a counter of 100 W.
fn counted(options: &str) -> (Tree, Tracker) {
    let tree = Tree::new(&[("intel-rapl:0", "package-0", Counter::constant(100.0))]);
    let tracker = make(&format!("sysroot={} components=cpu interval=60 {options}", tree.root().display()));
    messages(&tracker);
    (tree, tracker)
}

fn epoch(tracker: &Tracker, length_s: f64) -> Status {
    tracker.begin().unwrap();
    pause(seconds(length_s));
    tracker.end().unwrap()
}

/// Messages of forecasts, each with the number of epochs that had ended when the application took it.
fn taken(tracker: &Tracker, lengths_s: &[f64]) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    for (ended, length_s) in (1..).zip(lengths_s) {
        epoch(tracker, *length_s);
        all.extend(messages(tracker).into_iter().map(|message| (ended, message)));
    }
    all
}

#[test]
fn forecast_message_comes_with_its_epoch_and_names_the_end_in_local_time() {
    virtually(|_| {
        for (options, after) in [("epochs=9", 2), ("epochs=9 forecast_after=1", 1), ("epochs=9 forecast_after=5", 5)] {
            let (_tree, tracker) = counted(options);
            let all = taken(&tracker, &[600.0; 9]);
            tracker.destroy();
            assert_eq!(all.len(), 1, "{options}: {all:?}");
            let (ended, message) = &all[0];
            assert!(*ended == after && message.starts_with(&format!("forecast after {after} of 9 epochs")), "{all:?}");
        }
        let start = carbontracker::os::unix_s().0;
        let (_tree, tracker) = counted("epochs=9");
        let all = taken(&tracker, &[600.0; 2]);
        tracker.destroy();
        let end = carbontracker::units::instant(start + 9.0 * 600.0).unwrap()[..16].replace('T', " ");
        assert!(all[0].1.contains(&format!("; done at {end} UTC")), "{end}: {all:?}");
    });
}

#[test]
fn forecast_message_comes_after_one_epoch_if_its_marks_show_the_warm_up() {
    virtually(|_| {
        for (warm_up_s, after) in [(20.0, 1), (0.0, 2)] {
            let (_tree, tracker) = counted("epochs=9");
            tracker.begin().unwrap();
            pause(seconds(warm_up_s));
            for batch in 1..=100 {
                pause(seconds(0.1));
                tracker.progress(batch, 100).unwrap();
            }
            tracker.end().unwrap();
            let first = messages(&tracker).len();
            epoch(&tracker, 10.0);
            let both = first + messages(&tracker).len();
            tracker.destroy();
            assert_eq!((first, both), (usize::from(after == 1), 1), "{warm_up_s}");
        }
    });
}

#[test]
fn forecast_that_has_changed_is_reported_with_its_epoch() {
    virtually(|_| {
        let (_tree, tracker) = counted("epochs=60");
        let lengths: Vec<f64> = (0..60).map(|n| if n < 20 { 10.0 } else { 40.0 }).collect();
        let all = taken(&tracker, &lengths);
        tracker.destroy();
        println!("{all:#?}");
        assert!(all[0].1.starts_with("forecast after 2 of 60 epochs"));
        let changed: Vec<_> =
            all[1..].iter().filter(|(_, text)| text.starts_with("the forecast has changed, after")).collect();
        assert!((1..=2).contains(&changed.len()) && changed.len() == all.len() - 1, "{all:#?}");
        assert!((21..=26).contains(&changed[0].0) && changed[0].1.ends_with("reported after 2 of 60 epochs"));
    });
}

/// A run of 20 epochs whose first compiles for 20 s. The budget is 60 s, the run takes 21 s.
#[test]
fn slow_first_epoch_passes_no_budget_of_a_healthy_run() {
    virtually(|_| {
        for with_marks in [false, true] {
            let (_tree, tracker) = counted("epochs=20 budget_h=0.01667 budget_kwh=0.00167");
            for n in 0..20 {
                tracker.begin().unwrap();
                pause(seconds(if n == 0 { 20.0 } else { 0.0 }));
                for batch in 1..=10 {
                    pause(seconds(0.005));
                    if with_marks {
                        tracker.progress(batch, 10).unwrap();
                    }
                }
                assert_eq!(tracker.end().unwrap(), Status::CT_OK, "epoch {n}, marks {with_marks}");
            }
            let all = messages(&tracker);
            assert!(!all.iter().any(|text| text.starts_with("budget_")), "{all:?}");
            tracker.destroy();
        }
    });
}

/// The verdict at the end of each epoch is the one that the forecast beside it gives: the lower end is above the limit
/// now, and was after the epoch before; or the use is above it.
#[test]
fn verdict_is_as_new_as_the_forecast() {
    virtually(|_| {
        let (_tree, tracker) = counted("epochs=40 budget_h=0.1");
        let (mut above, mut passed_at) = (false, None);
        for n in 1..=40 {
            let status = epoch(&tracker, if n < 8 { 5.0 } else { 15.0 });
            let value = |pointer: &str| tracker.value(pointer).unwrap();
            assert_eq!(value("/forecast/after_epochs"), f64::from(n));
            let (low, used) = (value("/forecast/duration_s/low"), value("/usage/duration_s"));
            let is_over = used > 360.0 || (above && low > 360.0);
            above = low > 360.0;
            assert_eq!(status == Status::CT_OVER_BUDGET, is_over, "after {n}: {low} s");
            let is_reported =
                messages(&tracker).iter().any(|text| text.starts_with("budget_h=0.1 is passed: the forecast"));
            assert_eq!(is_reported, is_over && passed_at.is_none(), "after {n}");
            passed_at = passed_at.or(is_over.then_some(n));
        }
        println!("passed after {passed_at:?}");
        assert!(passed_at.is_some_and(|at| (10..20).contains(&at)), "{passed_at:?}");
        tracker.destroy();
    });
}

/// Waits for messages and verdicts cost at most 1 s and a hundredth of the run's time.
#[test]
fn waits_for_reviews_are_bounded() {
    virtually(|_| {
        let (_tree, tracker) = counted("epochs=20000 budget_h=100");
        let start = now();
        let mut inside = 0;
        for _ in 0..20_000 {
            tracker.begin().unwrap();
            pause(seconds(0.001));
            inside += 1_000_000;
            tracker.end().unwrap();
            messages(&tracker);
        }
        let waited = now() - start - inside;
        println!("waited {:.2} s in {:.0} s", waited as f64 * 1e-9, (now() - start) as f64 * 1e-9);
        assert!(waited < 1_100_000_000 + (now() - start) / 90, "{waited}");
        tracker.destroy();
    });
}
