//! Named phases of known power on a counter that moves in steps of 1 ms.

use crate::fake_rapl::{Counter, Tree, set_watts};
use crate::retry::now;
use crate::run_files::{Folder, json, make, number};
use crate::{virtually, virtually_once};
use carbontracker::os::pause;
use carbontracker::run_files;
use carbontracker::tracker::Tracker;
use carbontracker::units::mixed;
use serde_json::Value;
use std::time::Duration;

/// A phase of a program that goes in circles.
#[derive(Clone, Copy, Debug)]
struct Part {
    name: &'static str,
    watts: f64,
    /// Its mean time, s. Each repetition differs from it by up to 30 %.
    seconds: f64,
}

/// What is known of a phase at the end.
#[derive(Debug)]
struct Outcome {
    truth_j: f64,
    found: [f64; 3],
}

impl Outcome {
    fn is_held(&self) -> bool {
        (self.found[1]..=self.found[2]).contains(&self.truth_j)
    }

    /// The width of the interval over the truth.
    fn width(&self) -> f64 {
        (self.found[2] - self.found[1]) / self.truth_j
    }
}

/// A number from 0 to 1 that depends on the seed and a place.
fn random(seed: u64, place: u64) -> f64 {
    (mixed(mixed(seed.wrapping_add(1)) ^ place) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Runs the phases in circles and returns what is true and what the report says. The sums are checked here.
fn run(parts: &[Part], circles: u64, seed: u64, options: &str) -> Vec<Outcome> {
    let tree = Tree::new(&[("intel-rapl:0", "package-0", Counter::set_by_test())]);
    set_watts(30.0);
    let tracker =
        Tracker::create(&format!("sysroot={} components=cpu {options}", tree.root().display())).unwrap().unwrap();
    pause(Duration::from_millis(100));
    let mut truths = vec![0.0; parts.len()];
    let begin = now();
    let mut place = 0;
    for _ in 0..circles {
        for (part, truth) in parts.iter().zip(&mut truths) {
            tracker.phase_begin(part.name).unwrap();
            set_watts(part.watts);
            let (from, factor) = (now(), 0.7 + 0.6 * random(seed, place));
            pause(Duration::from_secs_f64(part.seconds * factor));
            *truth += part.watts * (now() - from) as f64 * 1e-9;
            tracker.phase_end().unwrap();
            place += 1;
        }
    }
    let seconds = (now() - begin) as f64 * 1e-9;
    let value = |pointer: &str| tracker.value(&format!("/phases/{pointer}")).unwrap();
    let outcome = |(part, truth_j): (&Part, f64)| {
        let ends = ["energy_j", "energy_low_j", "energy_high_j"];
        Outcome { truth_j, found: ends.map(|end| value(&format!("rows/{}/{end}", part.name))) }
    };
    let outcomes: Vec<Outcome> = parts.iter().zip(truths).map(outcome).collect();
    assert!((value("duration_s") - seconds).abs() < 1e-6, "{} of {seconds} s", value("duration_s"));
    let rows = value("rows/length") as usize;
    let sum: f64 = (0..rows).map(|row| value(&format!("rows/{row}/own/energy_j"))).sum();
    assert!((sum - value("energy_j")).abs() < 1e-9 * sum, "{sum} {}", value("energy_j"));
    let truth: f64 = outcomes.iter().map(|one| one.truth_j).sum();
    assert!((sum / truth - 1.0).abs() < 0.01 + 0.2 / seconds, "{sum} of {truth}");
    tracker.destroy();
    outcomes
}

/// Begins and ends phases in an epoch, with 100 W.
fn epoch(tracker: &Tracker) {
    tracker.begin().unwrap();
    for (name, ms) in [("forward", 30), ("backward", 50)] {
        tracker.phase_begin(name).unwrap();
        pause(Duration::from_millis(ms));
        tracker.phase_end().unwrap();
    }
    tracker.end().unwrap();
}

#[test]
fn resumed_run_adds_the_phases_of_earlier_attempts() {
    virtually(|_| {
        let folder = Folder::new("phases");
        let options = format!("sim_cpu=A:100 components=cpu resume={0} log_dir={0} epochs=4", folder.shown());
        for attempt in 1..=2_u32 {
            let tracker = make(&options);
            (0..2).for_each(|_| epoch(&tracker));
            let value = |pointer: &str| tracker.value(&format!("/phases/rows/{pointer}")).unwrap();
            let attempts = f64::from(attempt);
            assert!((value("backward/energy_j") - 10.0 * attempts).abs() < 0.2, "{}", value("backward/energy_j"));
            assert!((value("forward/duration_s") - 0.06 * attempts).abs() < 1e-3);
            assert_eq!(value("forward/entries"), 2.0 * attempts);
            assert!((value("forward/each_epoch_j") - 3.0).abs() < 0.1);
            tracker.destroy();
        }
        let [report] = &folder.files(".json")[..] else { panic!("{:?}", folder.files("")) };
        let (report, journal) = (json(report), run_files::read(&folder.journal()).unwrap().report);
        assert_eq!(report["phases"], journal["phases"]);
        assert_eq!(report["phases"]["rows"][0]["entries"], 4);
    });
}

#[test]
fn long_run_has_its_phases_in_the_journal() {
    virtually_once(|simulation| {
        let folder = Folder::new("killed");
        let options = format!("sim_cpu=A:100 components=cpu log_dir={}", folder.shown());
        let process = simulation.start(move || {
            let tracker = make(&options);
            (0..1_000).for_each(|_| epoch(&tracker));
            tracker.destroy();
        });
        pause(Duration::from_secs(50));
        simulation.kernel.exit(process);
        let report = run_files::read(&folder.journal()).unwrap().report;
        let joules = number(&report, "/phases/energy_j");
        assert!(joules > 2_900.0 && joules <= number(&report, "/usage/energy_j"), "{joules} of {}", report["usage"]);
    });
}

#[test]
fn refused_marks_change_nothing() {
    virtually_once(|_| {
        let tracker = make("sim_cpu=A:100 components=cpu");
        assert!(tracker.phase_end().is_err() && tracker.phase_begin("").is_err());
        assert!(tracker.phase_begin(&"x".repeat(129)).is_err());
        assert!(tracker.value("/phases/energy_j").is_err(), "no phase has begun");
        epoch(&tracker);
        assert!(tracker.phase_end().is_err());
        let names: Vec<String> = (0..400).map(|n| n.to_string()).collect();
        for name in &names {
            tracker.phase_begin(name).unwrap();
            pause(Duration::from_millis(1));
            tracker.phase_end().unwrap();
        }
        let value = |pointer: &str| tracker.value(&format!("/phases/{pointer}")).unwrap();
        assert_eq!(value("rows/backward/entries"), 1.0);
        assert_eq!(value("rows/other/entries") + value("rows/length") - 4.0, 400.0);
        let all: Value = serde_json::from_str(&tracker.text("/phases").unwrap()).unwrap();
        let own = |row: &Value| row["own"]["energy_j"].as_f64().unwrap();
        let sum: f64 = all["rows"].as_array().unwrap().iter().map(own).sum();
        assert!((sum / number(&all, "/energy_j") - 1.0).abs() < 1e-9);
        let notes = tracker.text("/notes").unwrap();
        assert!(notes.contains("ct_phase_end was refused 2 times"), "{notes}");
        tracker.destroy();
    });
}

#[test]
fn long_phases_are_measured() {
    virtually(|_| {
        let parts = [("assembly", 60.0, 0.4), ("solve", 180.0, 1.0), ("output", 25.0, 0.1)];
        let parts = parts.map(|(name, watts, seconds)| Part { name, watts, seconds });
        for outcome in run(&parts, 10, 1, "") {
            let off = outcome.found[0] / outcome.truth_j - 1.0;
            assert!(off.abs() < 0.02 && outcome.width() < 0.05, "{outcome:?}");
        }
    });
}

#[test]
fn short_phases_are_separated() {
    virtually(|_| {
        let parts = [("forward", 90.0, 0.002), ("backward", 190.0, 0.005), ("load", 30.0, 0.001)];
        let parts = parts.map(|(name, watts, seconds)| Part { name, watts, seconds });
        let widths = [100, 10_000].map(|circles| {
            let outcomes = run(&parts, circles, 2, "");
            println!("{circles} circles: {outcomes:?}");
            assert!(outcomes.iter().filter(|outcome| outcome.is_held()).count() >= 2, "{outcomes:?}");
            outcomes.iter().map(Outcome::width).fold(0.0, f64::max)
        });
        assert!(widths[1] < 0.5 * widths[0] && widths[1] < 0.4, "{widths:?}");
    });
}

#[test]
fn interval_holds_the_truth_in_nine_cases_of_ten() {
    virtually(|_| {
        let most: u64 = std::env::var("CT_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(40);
        let (mut held, mut cases) = (0, 0);
        for (part, outcome) in (0..most).flat_map(random_program) {
            println!("{} {part:?}: {outcome:?}", if outcome.is_held() { "held" } else { "OUT" });
            (held, cases) = (held + u32::from(outcome.is_held()), cases + 1);
        }
        println!("{held} of {cases} hold");
        assert!(f64::from(held) >= 0.88 * f64::from(cases), "{held} of {cases}");
    });
}

/// Two to four phases of 1 ms to 1 s with 20 to 220 W, 10 to 1000 times.
fn random_program(seed: u64) -> Vec<(Part, Outcome)> {
    let part = |(place, name): (u64, &'static str)| Part {
        name,
        watts: 20.0 + 200.0 * random(seed, 1_000_000 + place),
        seconds: 1e-3 * 1000_f64.powf(random(seed, 2_000_000 + place)),
    };
    let names = (0..2 + seed % 3).zip(["one", "two", "three", "four"]);
    let parts: Vec<Part> = names.map(part).collect();
    let circle_s: f64 = parts.iter().map(|part| part.seconds).sum();
    let circles = (10.0 * 100_f64.powf(random(seed, 3_000_000))).min(60.0 / circle_s).max(10.0);
    let outcomes = run(&parts, circles as u64, seed, "");
    parts.into_iter().zip(outcomes).collect()
}
