//! Runs that are measured by their progress: time steps, simulated time or tokens, with and without epochs.

use crate::fake_rapl::{Counter, READS, Tree};
use crate::run_files::{Folder, epochs, json, make, messages, number};
use crate::virtually;
use carbontracker::clock::MonoNs;
use carbontracker::error::Status;
use carbontracker::measurement::channel::{Channel, DeviceKind, MeasuringMethod, Quantity};
use carbontracker::measurement::machine::Machine;
use carbontracker::measurement::reading::{Reading, Value};
use carbontracker::measurement::source::{Opened, Source};
use carbontracker::measurement::source_name::SourceName;
use carbontracker::measurement::sources::Sources;
use carbontracker::options::Options;
use carbontracker::os::{Instant, pause};
use carbontracker::tracker::Tracker;
use std::sync::Arc;
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

/// The sampler looks at the progress less and less often, and no call reads a device. That holds too if the application
/// learns the total as it goes, so that each call completes the run.
#[test]
fn progress_causes_few_readings() {
    virtually(|_| {
        for is_total_known in [true, false] {
            let (_tree, tracker) = counted("interval=3600");
            let before = READS.load(Ordering::Relaxed);
            for step in 1..=100_000 {
                pause(Duration::from_millis(1));
                let done = f64::from(step);
                tracker.run_progress(done, if is_total_known { 100_000.0 } else { done }).unwrap();
            }
            let reads = READS.load(Ordering::Relaxed) - before;
            tracker.destroy();
            println!("{reads} readings in 100 s");
            assert!(reads < 500, "{reads}");
        }
    });
}

#[test]
fn ten_steps_are_forecast_from_the_second_on() {
    virtually(|_| {
        let (_tree, tracker) = counted("");
        run(&tracker, &[60.0; 10], |done| match done {
            1 => assert!(tracker.value("/forecast/duration_s/value").is_err(), "it may be a warm-up"),
            2..=9 => check_forecast(&tracker, 600.0, 0.01),
            _ => (),
        });
        tracker.destroy();
    });
}

/// A meter that is read every 2 s.
struct SlowMeter([Channel; 1]);

impl Source for SlowMeter {
    fn channels(&self) -> &[Channel] {
        &self.0
    }

    fn read(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
        readings.push(Reading { channel: 0, at: clock(), value: Ok(Value::Watts(WATTS)) });
    }

    fn min_gap_ns(&self) -> u64 {
        2_000_000_000
    }
}

impl Machine for SlowMeter {
    fn discover(&self) -> Sources {
        let source: Box<dyn Source> = Box::new(SlowMeter(self.0.clone()));
        Sources { sources: vec![source], ..Sources::default() }
    }

    fn next(&self, _: DeviceKind, _: &[(DeviceKind, SourceName)]) -> Sources {
        Sources::default()
    }

    fn has_driver(&self) -> bool {
        false
    }

    fn open_driver(&self) -> Opened {
        (None, Vec::new())
    }
}

fn with_slow_meter(options: &str) -> Tracker {
    let kind = (DeviceKind::Cpu, SourceName::Rapl);
    let quantity = Quantity::Power { max_watts: 500.0 };
    let meter = SlowMeter([Channel::new(kind, "a", "a", MeasuringMethod::Power, quantity)]);
    let options = Options::parse(&format!("components=cpu interval=2 job=off {options}"), |_| None).unwrap();
    Tracker::start_on(Some(Arc::new(meter)), options).unwrap()
}

#[test]
fn energy_that_comes_late_is_forecast() {
    virtually(|_| {
        let tracker = with_slow_meter("");
        run(&tracker, &vec![0.1; 4_000], |done| {
            if [600, 2_000].contains(&done) {
                check_forecast(&tracker, 400.0, 0.02);
            }
        });
        tracker.destroy();
    });
}

/// In a loop over steps, numbers that do not depend on the newest progress are known at once.
#[test]
fn values_wait_for_the_progress_only_if_they_depend_on_it() {
    virtually(|_| {
        let tracker = with_slow_meter("");
        let mut waited = Duration::ZERO;
        for step in 1..=200 {
            tracker.run_progress(f64::from(step), 200.0).unwrap();
            let asked = Instant::now();
            assert_eq!(tracker.value("/run/work/done").unwrap(), f64::from(step));
            assert_eq!(tracker.value("/run/work/total").unwrap(), 200.0);
            assert!(tracker.value("/intensity/g_per_kwh").is_ok());
            waited += asked.elapsed();
            pause(Duration::from_millis(20));
        }
        tracker.destroy();
        assert!(waited < Duration::from_millis(1), "{waited:?}");
    });
}

/// A set-up that reports progress comes before the epochs. Its pieces are no epochs.
#[test]
fn progress_before_the_epochs_makes_no_epochs() {
    virtually(|_| {
        let (_tree, tracker) = counted("epochs=10 budget_h=1");
        for step in 0..20 {
            tracker.run_progress(f64::from(step), 1_000.0).unwrap();
            pause(Duration::from_secs(1));
        }
        assert_eq!(messages(&tracker).len(), 0);
        for epoch in 1..=3 {
            tracker.begin().unwrap();
            pause(Duration::from_secs(10));
            if epoch == 1 {
                let joules = tracker.value("/usage/energy_j").unwrap();
                assert!((joules / (19.0 * WATTS) - 1.0).abs() < 0.02, "{joules} J before the first epoch");
            }
            tracker.end().unwrap();
            assert_eq!(tracker.value("/run/epochs_done").unwrap(), f64::from(epoch));
            assert_eq!(tracker.value("/forecast/after_epochs").unwrap(), f64::from(epoch));
        }
        let all = messages(&tracker);
        assert!(all[0].starts_with("forecast after 2 of 10 epochs, "), "{all:?}");
        // The set-up took 20 s.
        let seconds = tracker.value("/forecast/duration_s/value").unwrap();
        assert!((seconds / 120.0 - 1.0).abs() < 0.02, "{seconds}");
        let joules = tracker.value("/forecast/energy_j/value").unwrap();
        assert!((joules / (120.0 * WATTS) - 1.0).abs() < 0.02, "{joules}");
        assert!(tracker.report("text").unwrap().starts_with("3 of 10 epochs on "));
        tracker.destroy();
    });
}

/// The same in a run that is resumed twice. Each joule is counted once, that of the pieces between epochs.
#[test]
fn progress_before_the_epochs_makes_no_epochs_of_a_resumed_run() {
    virtually(|_| {
        let folder = Folder::new("pieces");
        let journal = folder.0.join("a.jsonl");
        for attempt in 1..=3u32 {
            let (_tree, tracker) = counted(&format!("epochs=10 job=off resume={}", journal.display()));
            if attempt == 1 {
                run(&tracker, &[1.0; 20], |_| ());
            }
            epochs(&tracker, 2, Duration::from_secs(10));
            let report: serde_json::Value = serde_json::from_str(&tracker.report("json").unwrap()).unwrap();
            tracker.destroy();
            let at = |pointer: &str| number(&report, pointer);
            let whole_s = 20.0 + f64::from(attempt) * 20.0;
            assert_eq!(at("/run/epochs_done"), f64::from(attempt) * 2.0);
            assert_eq!(report["epochs"].as_array().unwrap().len(), attempt as usize * 2, "{}", report["epochs"]);
            for (pointer, expected) in [
                ("/usage/duration_s", whole_s),
                ("/usage/energy_j", whole_s * WATTS),
                ("/usage/epochs/duration_s", whole_s - 20.0),
                ("/usage/epochs/energy_j", (whole_s - 20.0) * WATTS),
                ("/usage/between/energy_j", 20.0 * WATTS),
                ("/epochs/0/duration_s", 10.0),
            ] {
                assert!((at(pointer) / expected - 1.0).abs() < 0.01, "{attempt} {pointer}: {}", at(pointer));
            }
        }
    });
}

/// The sampling thread is kept from running until all is done.
#[test]
fn run_begins_at_its_first_progress_though_that_is_seen_late() {
    virtually(|sim| {
        let (_tree, tracker) = counted("");
        tracker.run_progress(0.0, 3.0).unwrap();
        sim.compute(Duration::from_millis(500));
        tracker.run_progress(3.0, 3.0).unwrap();
        let seconds = tracker.value("/usage/duration_s").unwrap();
        assert!((seconds - 0.5).abs() < 1e-3, "{seconds}");
        let joules = tracker.value("/usage/energy_j").unwrap();
        assert!((joules / (0.5 * WATTS) - 1.0).abs() < 0.05, "{joules}");
        tracker.destroy();
    });
}

/// An epoch hangs. The application's other thread sees the verdict.
#[test]
fn budget_is_judged_while_an_epoch_hangs() {
    virtually(|_| {
        for budget in ["budget_h=0.0111", "budget_kwh=0.00111"] {
            let (_tree, tracker) = counted(&format!("{budget} epochs=100"));
            tracker.begin().unwrap();
            tracker.end().unwrap();
            tracker.begin().unwrap();
            pause(Duration::from_secs(38));
            assert!(messages(&tracker).iter().all(|message| !message.contains("is passed")));
            pause(Duration::from_secs(4));
            let all = messages(&tracker);
            assert!(
                all.iter().any(|text| text.starts_with(budget) && text.contains("is passed: the use is")),
                "{all:?}"
            );
            tracker.destroy();
        }
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
            let notes = report["notes"].to_string();
            let after = if by_epochs { "after 40 of 100 epochs" } else { "after 40 % of the run" };
            let words = format!("the run ended {after}; by the forecast, this saved time 10 min (");
            assert!(notes.contains(&words) && notes.contains("energy 17 Wh (1"), "{notes}");
        }
    });
}

/// After half of the work the application does something else. All that was used counts for the budget of 180 s, and no
/// forecast is below it.
#[test]
fn use_after_the_last_progress_raises_the_forecast() {
    virtually(|_| {
        let (_tree, tracker) = counted("budget_h=0.05");
        for step in 0..=50 {
            tracker.run_progress(f64::from(step), 100.0).unwrap();
            pause(Duration::from_secs(1));
        }
        pause(Duration::from_secs(200));
        let low = |name: &str| tracker.value(&format!("/forecast/{name}/low")).unwrap();
        assert!(low("duration_s") >= 250.9 && low("energy_j") >= 0.99 * 250.9 * WATTS, "{}", low("energy_j"));
        let all = messages(&tracker);
        assert!(all.iter().any(|text| text.starts_with("budget_h=0.05 is passed: the use is")), "{all:?}");
        tracker.destroy();
    });
}

/// Measuring ends before the run does. What the end of the run saves is unknown.
#[test]
fn end_of_measuring_saves_nothing() {
    virtually(|_| {
        let folder = Folder::new("monitored");
        let (_tree, tracker) = counted(&format!("epochs=100 monitor_epochs=2 log_dir={}", folder.shown()));
        epochs(&tracker, 5, Duration::from_secs(10));
        pause(Duration::from_secs(1));
        let running: serde_json::Value = serde_json::from_str(&tracker.report("json").unwrap()).unwrap();
        tracker.destroy();
        for report in [running, json(&folder.files(".json")[0])] {
            assert!(report["forecast"]["saved"].is_null(), "{report}");
            assert!(!report["notes"].to_string().contains("the run ended after"), "{report}");
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
