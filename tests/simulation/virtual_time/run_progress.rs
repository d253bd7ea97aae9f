//! Runs that are measured by their progress: time steps, simulated time or tokens, with and without epochs.

use crate::fake_rapl::{Counter, READS, Tree};
use crate::run_files::{Folder, json, make, messages, number};
use crate::virtually;
use carbontracker::error::Status;
use carbontracker::os::pause;
use carbontracker::tracker::Tracker;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Power of the machine, W.
const WATTS: f64 = 100.0;

fn counted(options: &str) -> (Tree, Tracker) {
    let tree = Tree::new(&[("intel-rapl:0", "package-0", Counter::constant(WATTS))]);
    let tracker = make(&format!("sysroot={} components=cpu {options}", tree.root().display()));
    messages(&tracker);
    (tree, tracker)
}

/// Runs steps of these lengths, s, each of one unit of work, and calls `at` after each. Returns the time of all, s.
fn run(tracker: &Tracker, steps_s: &[f64], mut at: impl FnMut(usize)) -> f64 {
    let total = steps_s.len() as f64;
    tracker.run_progress(0.0, total).unwrap();
    for (n, step_s) in steps_s.iter().enumerate() {
        pause(Duration::from_secs_f64(*step_s));
        tracker.run_progress((n + 1) as f64, total).unwrap();
        at(n + 1);
    }
    steps_s.iter().sum()
}

/// Checks the forecast of time and energy: their errors are below `most`, and the intervals hold.
fn check_forecast(tracker: &Tracker, truth_s: f64, most: f64) {
    for (name, truth) in [("duration_s", truth_s), ("energy_j", truth_s * WATTS)] {
        let value = |end: &str| tracker.value(&format!("/forecast/{name}/{end}")).unwrap();
        let (expected, low, high) = (value("value"), value("low"), value("high"));
        println!("{name}: {expected:.1} ({low:.1} to {high:.1}) of {truth:.1}");
        assert!((expected / truth - 1.0).abs() < most && (low..=high).contains(&truth));
    }
}

#[test]
fn steps_of_one_length_are_forecast_from_a_hundredth_on() {
    virtually(|_| {
        let (_tree, tracker) = counted("");
        let steps = vec![0.05; 20_000];
        let truth: f64 = steps.iter().sum();
        let taken = run(&tracker, &steps, |done| match done {
            150 => assert!(tracker.value("/forecast/energy_j/value").is_err(), "too little"),
            300 | 2_000 | 10_000 | 19_000 => check_forecast(&tracker, truth, 0.01),
            _ => (),
        });
        let used = tracker.value("/usage/energy_j").unwrap();
        assert!((used / (WATTS * taken) - 1.0).abs() < 1e-3, "{used}");
        assert!((tracker.value("/usage/duration_s").unwrap() / taken - 1.0).abs() < 1e-4);
        assert!((tracker.value("/forecast/energy_j/value").unwrap() - used).abs() < 1e-6 * used);
        let report = tracker.report("text").unwrap();
        assert!(report.starts_with("20000 of 20000 done on simulated"), "{report}");
        assert!(!report.contains("still open") && !report.contains("forecast of"), "{report}");
        tracker.destroy();
    });
}

/// The first steps compile, then the mesh gets finer: each step takes a little longer.
#[test]
fn pace_that_drifts_stays_in_the_interval() {
    virtually(|_| {
        let (_tree, tracker) = counted("interval=10");
        let steps: Vec<f64> = (0..4_000).map(|n| if n < 5 { 10.0 } else { 0.1 + 0.1 * n as f64 / 4_000.0 }).collect();
        let truth = steps.iter().sum();
        run(&tracker, &steps, |done| {
            if [400, 1_200, 2_000, 3_500].contains(&done) {
                check_forecast(&tracker, truth, 0.35);
            }
        });
        tracker.destroy();
    });
}

/// The total grows while the run lasts, as in a run until convergence.
#[test]
fn new_total_changes_the_forecast_at_once() {
    virtually(|_| {
        let (_tree, tracker) = counted("");
        for step in 0..=1_000 {
            tracker.run_progress(f64::from(step), 4_000.0).unwrap();
            pause(Duration::from_millis(100));
        }
        check_forecast(&tracker, 400.0, 0.01);
        tracker.run_progress(1_001.0, 8_000.0).unwrap();
        check_forecast(&tracker, 800.0, 0.01);
        assert_eq!(tracker.value("/forecast/after_share").unwrap(), 1_001.0 / 8_000.0);
        tracker.destroy();
    });
}

/// Epochs without a planned number, and the progress of the run in tokens. Time between epochs counts.
#[test]
fn epochs_and_progress_go_together() {
    virtually(|_| {
        let (_tree, tracker) = counted("");
        let (mut tokens, mut taken) = (0.0, 0.0);
        tracker.run_progress(0.0, 1e6).unwrap();
        for epoch in 0..50 {
            tracker.begin().unwrap();
            for _ in 0..100 {
                let length = if epoch % 2 == 0 { 0.01 } else { 0.03 };
                pause(Duration::from_secs_f64(length));
                taken += length;
                tokens += 200.0;
                tracker.run_progress(tokens, 1e6).unwrap();
            }
            tracker.end().unwrap();
            pause(Duration::from_millis(500));
            taken += 0.5;
            if epoch == 24 {
                check_forecast(&tracker, 50.0 * (0.5 + 2.0), 0.05);
            }
        }
        assert_eq!(tracker.value("/run/epochs_done").unwrap(), 50.0);
        let used = tracker.value("/usage/energy_j").unwrap();
        assert!((used / (WATTS * (taken - 0.5)) - 1.0).abs() < 1e-3, "{used}");
        tracker.destroy();
    });
}

#[test]
fn messages_come_from_a_twentieth_on_and_when_the_pace_changes() {
    virtually(|_| {
        let (_tree, tracker) = counted("");
        let steps: Vec<f64> = (0..2_000).map(|n| if n < 1_000 { 0.1 } else { 0.3 }).collect();
        let mut all = Vec::new();
        run(&tracker, &steps, |done| all.extend(messages(&tracker).into_iter().map(|message| (done, message))));
        tracker.destroy();
        println!("{all:#?}");
        assert!(all[0].1.starts_with("forecast after 5 % of the run, 90 % intervals: time ") && all[0].0 < 120);
        assert!(all[0].1.contains("; done at "));
        assert!(all[1].1.starts_with("the forecast has changed, after ") && (1_000..1_800).contains(&all[1].0));
        assert!(all.len() <= 4, "{all:#?}");
    });
}

#[test]
fn budget_is_judged_by_the_progress() {
    virtually(|_| {
        // The run takes 200 s.
        for (budget_s, is_passed) in [(230.0, false), (150.0, true)] {
            let (_tree, tracker) = counted(&format!("budget_h={}", budget_s / 3600.0));
            let mut passed_at = None;
            tracker.run_progress(0.0, 1.0).unwrap();
            for step in 1..=2_000 {
                pause(Duration::from_millis(100));
                let status = tracker.run_progress(f64::from(step) / 2_000.0, 1.0).unwrap();
                passed_at = passed_at.or((status == Status::CT_OVER_BUDGET).then_some(step));
            }
            tracker.destroy();
            println!("budget {budget_s} s: passed at step {passed_at:?}");
            assert_eq!(passed_at.is_some_and(|at| at < 600), is_passed, "{passed_at:?}");
        }
    });
}

/// The sampler looks at the progress less and less often, and no call reads a device.
#[test]
fn progress_causes_few_readings() {
    virtually(|_| {
        let (_tree, tracker) = counted("interval=3600");
        let before = READS.load(Ordering::Relaxed);
        run(&tracker, &vec![0.001; 100_000], |_| ());
        let reads = READS.load(Ordering::Relaxed) - before;
        tracker.destroy();
        println!("{reads} readings in 100 s");
        assert!(reads < 500, "{reads}");
    });
}

/// A run that stops at four tenths of its work, by progress and by epochs.
#[test]
fn early_stop_reports_what_was_saved() {
    virtually(|_| {
        for by_epochs in [false, true] {
            let folder = Folder::new("saved");
            let options = if by_epochs { "epochs=100" } else { "" };
            let (_tree, tracker) = counted(&format!("{options} log_dir={}", folder.shown()));
            for step in 0..=40 {
                if by_epochs && step < 40 {
                    tracker.begin().unwrap();
                    pause(Duration::from_secs(10));
                    tracker.end().unwrap();
                } else if !by_epochs {
                    tracker.run_progress(f64::from(step), 100.0).unwrap();
                    pause(Duration::from_secs(10));
                }
            }
            let running = tracker.report("json").unwrap();
            assert!(running.contains("\"saved\":null"), "the run may go on");
            tracker.destroy();
            let report = json(&folder.files(".json")[0]);
            let saved = number(&report, "/forecast/saved/energy_j/value");
            assert!((saved / (600.0 * WATTS) - 1.0).abs() < 0.03, "{saved}");
            assert!((number(&report, "/forecast/saved/duration_s/value") / 600.0 - 1.0).abs() < 0.03);
            assert_eq!(report["forecast"]["basis"], if by_epochs { "epochs" } else { "progress" });
            assert_eq!(report["run"]["state"], "done");
        }
    });
}

/// The budget is 300 s. At half of 200 steps of a second the application learns that there are 800.
#[test]
fn total_that_grows_passes_a_budget_and_is_reported() {
    virtually(|_| {
        let (_tree, tracker) = counted("budget_h=0.0833");
        let is_over = |done: f64, total: f64| {
            pause(Duration::from_secs(1));
            tracker.run_progress(done, total).unwrap() == Status::CT_OVER_BUDGET
        };
        assert!(!(1..=100).any(|step| is_over(f64::from(step), 200.0)));
        messages(&tracker);
        let verdicts: Vec<bool> = (101..=150).map(|step| is_over(f64::from(step), 800.0)).collect();
        let first = verdicts.iter().position(|over| *over).unwrap();
        assert!(first < 25 && verdicts[first..].iter().all(|over| *over), "{verdicts:?}");
        let messages = messages(&tracker);
        assert!(messages.iter().any(|text| text.starts_with("the forecast has changed")), "{messages:?}");
        tracker.destroy();
    });
}

/// All steps are in one epoch. The budget is a tenth of the run.
#[test]
fn budget_is_judged_inside_one_long_epoch() {
    virtually(|_| {
        let (_tree, tracker) = counted("budget_h=0.0111");
        tracker.begin().unwrap();
        let mut over = Vec::new();
        for step in 1..=400 {
            pause(Duration::from_secs(1));
            over.push(tracker.run_progress(f64::from(step), 400.0).unwrap() == Status::CT_OVER_BUDGET);
        }
        tracker.end().unwrap();
        tracker.destroy();
        let first = over.iter().position(|over| *over);
        assert!(first.is_some_and(|first| first < 60), "{first:?}");
    });
}
