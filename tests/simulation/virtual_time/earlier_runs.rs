//! The forecast from earlier runs, before the first epoch and after it.

use crate::run_files::{Folder, epochs, lines, make, messages, number};
use crate::virtually;
use carbontracker::os::pause;
use carbontracker::tracker::Tracker;
use serde_json::{Value, json};
use std::time::Duration;

const EPOCHS: usize = 8;

/// A run of a simulated processor of 100 W, with epochs of 2 s, the first of 5 s.
fn begin(folder: &Folder, more: &str) -> Tracker {
    make(&format!("sim_cpu=A:100 job=off location=DK epochs={EPOCHS} log_dir={} {more}", folder.shown()))
}

fn train(tracker: &Tracker) {
    epochs(tracker, 1, Duration::from_secs(5));
    epochs(tracker, EPOCHS - 1, Duration::from_secs(2));
}

/// Runs once, to its end.
fn run_once(folder: &Folder, more: &str) {
    let tracker = begin(folder, more);
    train(&tracker);
    tracker.destroy();
}

fn report(tracker: &Tracker) -> Value {
    serde_json::from_str(&tracker.report("json").unwrap()).unwrap()
}

#[test]
fn a_second_run_has_a_forecast_before_its_first_epoch() {
    virtually(|_| {
        let folder = Folder::new("second");
        run_once(&folder, "name=net");
        let tracker = begin(&folder, "name=net");
        // 19 s at 100 W.
        let joules = tracker.value("/forecast/energy_j/value").unwrap();
        let seconds = tracker.value("/forecast/duration_s/value").unwrap();
        assert!((joules / 1900.0 - 1.0).abs() < 0.01 && (seconds / 19.0 - 1.0).abs() < 0.01, "{joules} J, {seconds} s");
        assert_eq!(tracker.value("/forecast/after_epochs").unwrap(), 0.0);
        let first = report(&tracker);
        let [low, high] = ["low", "high"].map(|end| number(&first, &format!("/forecast/energy_j/{end}")));
        assert!(low < 1900.0 && 1900.0 < high && high < 2.0 * low, "{low} {high}");
        let per_joule = number(&first, "/intensity/g_per_kwh") / 3.6e6;
        assert!((number(&first, "/forecast/co2eq_g/value") / (joules * per_joule) - 1.0).abs() < 1e-6);
        let history = &first["forecast"]["history"];
        assert_eq!((&history["runs"], &history["name"]), (&json!(1), &json!("net")));
        assert!(history["newest"].as_str().unwrap().ends_with('Z'));
        assert_eq!(first["what_if"]["of"], "forecast");
        let text = tracker.report("text").unwrap();
        assert!(
            text.contains("forecast of all 8 epochs before the first, with 1 earlier run, 90 % intervals:"),
            "{text}"
        );
        assert!(tracker.report("prometheus").unwrap().contains("carbontracker_forecast_energy_joules"));
        pause(Duration::from_secs(3));
        let journals = folder.files(".jsonl");
        let has_it = |path: &std::path::PathBuf| {
            lines(path).iter().any(|line| line.pointer("/so_far/forecast/history/runs") == Some(&json!(1)))
        };
        assert!(journals.iter().any(has_it), "watch shows the forecast of the journal");
        train(&tracker);
        let last = report(&tracker);
        assert!((number(&last, "/usage/energy_j") / joules - 1.0).abs() < 0.01);
        assert_eq!(messages(&tracker).iter().filter(|message| message.contains("history")).count(), 0);
        tracker.destroy();
    });
}

#[test]
fn other_runs_are_no_history() {
    virtually(|_| {
        let folder = Folder::new("others");
        run_once(&folder, "name=net");
        for (more, is_known) in [
            ("name=net", true),
            ("name=other", false),
            ("", false),
            ("name=net history=off", false),
            ("name=net epochs=0", false),
        ] {
            let tracker = begin(&folder, more);
            assert_eq!(tracker.value("/forecast/energy_j/value").is_ok(), is_known, "{more}");
            assert_eq!(messages(&tracker), Vec::<String>::new(), "{more}");
            tracker.destroy();
        }
    });
}

/// A run that its progress measures is like earlier ones of its kind, before any progress.
#[test]
fn second_run_by_progress_has_a_forecast_before_any_progress() {
    virtually(|_| {
        let folder = Folder::new("by-progress");
        let begin = || make(&format!("sim_cpu=A:100 job=off location=DK name=net log_dir={}", folder.shown()));
        let step = |tracker: &Tracker, done: usize| {
            pause(Duration::from_millis(100));
            tracker.run_progress(done as f64, 400.0).unwrap();
        };
        let first = begin();
        first.run_progress(0.0, 400.0).unwrap();
        (1..=400).for_each(|done| step(&first, done));
        first.destroy();
        let second = begin();
        let seconds = |name: &str| second.value(&format!("/forecast/duration_s/{name}")).unwrap();
        assert!((seconds("value") / 40.0 - 1.0).abs() < 0.01, "{}", seconds("value"));
        second.run_progress(0.0, 400.0).unwrap();
        (1..=3).for_each(|done| step(&second, done));
        pause(Duration::from_secs(1));
        assert!((seconds("value") / 40.0 - 1.0).abs() < 0.01 && seconds("low") < 40.0 && 40.0 < seconds("high"));
        let last = report(&second);
        assert_eq!((&last["forecast"]["basis"], &last["forecast"]["history"]["runs"]), (&json!("progress"), &json!(1)));
        second.destroy();
    });
}

/// Runs without a name are alike in one folder. Another folder needs a name.
#[test]
fn unnamed_runs_are_alike_within_their_folder() {
    virtually(|_| {
        let (folder, other) = (Folder::new("unnamed"), Folder::new("unnamed-other"));
        run_once(&folder, "");
        let from = format!("history={}", folder.shown());
        for (own, more, is_known) in
            [(&folder, "", true), (&folder, from.as_str(), true), (&other, from.as_str(), false)]
        {
            let tracker = begin(own, more);
            assert_eq!(tracker.value("/forecast/energy_j/value").is_ok(), is_known, "{more}");
            let why = format!("{from}: this run has no name; the forecast begins without earlier runs; set name=");
            let messages = messages(&tracker);
            assert_eq!(messages.iter().any(|message| message.starts_with(&why)), !is_known, "{messages:?}");
            tracker.destroy();
        }
    });
}

/// A final report, a named folder without a folder of the run's own, and a folder that is missing.
#[test]
fn a_report_in_another_folder_is_history() {
    virtually(|_| {
        let folder = Folder::new("report");
        let tracker = make(&format!("sim_cpu=A:100 job=off epochs={EPOCHS} name=net"));
        train(&tracker);
        std::fs::write(folder.0.join("any.json"), tracker.report("json").unwrap()).unwrap();
        tracker.destroy();
        let of =
            |history: &str| make(&format!("sim_cpu=A:100 job=off epochs=20 name=net location=DK history={history}"));
        let tracker = of(&folder.shown());
        let seconds = tracker.value("/forecast/duration_s/value").unwrap();
        assert!((seconds / 43.0 - 1.0).abs() < 0.01, "20 epochs, the first 3 s longer: {seconds}");
        tracker.destroy();
        let other = make(&format!("sim_cpu=A:100 job=off epochs=2 name=other location=DK history={}", folder.shown()));
        pause(Duration::from_millis(10));
        let [message] = &messages(&other)[..] else { panic!("one message") };
        assert!(message.contains("no earlier run of the name 'other' is in it; "), "{message}");
        other.destroy();
        let missing = format!("{}/none", folder.shown());
        let tracker = of(&missing);
        assert!(tracker.value("/forecast/energy_j/value").is_err());
        let [message] = &messages(&tracker)[..] else { panic!("one message") };
        assert!(message.starts_with(&format!("history={missing}: there is no such folder; ")), "{message}");
        tracker.destroy();
    });
}
