//! Named phases of known power on a counter that moves in steps of 1 ms.

use crate::fake_rapl::{Counter, Tree, set_watts};
use crate::retry::now;
use crate::virtually;
use carbontracker::os::pause;
use carbontracker::tracker::Tracker;
use carbontracker::units::mixed;
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
        assert!(widths[1] < 0.5 * widths[0] && widths[1] < 0.25, "{widths:?}");
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
