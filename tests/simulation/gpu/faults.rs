//! GPUs and drivers that fail during a run: no energy is invented, the other GPUs are measured, the report has the
//! reason, and the application does not notice.

use crate::fake_nvml::{DRIVER_NOT_LOADED, Found, GPU_IS_LOST, Gpu, Standin, tracker, uuid};
use crate::retry::{Stamp, Used, call, now, run, stamp};
use crate::virtually;
use carbontracker::os::{Instant, pause};
use carbontracker::tracker::Tracker;
use std::time::Duration;

const EPOCH: Duration = Duration::from_millis(300);
const WATTS: [f64; 2] = [200.0, 300.0];
/// The error of runs of a few seconds, if a count is dated half an update of the counter, 10 ms, too early or too late.
const NEAR: f64 = 0.005;

fn two() -> Standin {
    Standin::new(&WATTS.map(Gpu::constant))
}

/// A run in which the first of two GPUs fails.
struct Ill {
    found: Found,
    from: Stamp,
    /// When the epoch began in which it failed.
    last: Stamp,
    /// When it failed.
    ill_at: Stamp,
    to: Stamp,
}

impl Ill {
    fn energy(&self, n: usize) -> f64 {
        self.found.gpu(n)["energy_j"].as_f64().unwrap()
    }

    fn status(&self, n: usize) -> &str {
        self.found.gpu(n)["status"].as_str().unwrap()
    }

    /// Prints the first GPU's measured energy, its true energy, and its true energy until it failed.
    fn print(&self, what: &str, standin: &Standin) {
        let most = |to: Stamp| standin.used(&[0], self.from, to).most;
        let gpu = self.found.gpu(0);
        println!(
            "{what}: {:.1} J of {:.1} J used, {:.1} J until then; {}, coverage {}: {}",
            self.energy(0),
            most(self.to),
            most(self.ill_at),
            gpu["status"],
            gpu["coverage"],
            gpu["note"]
        );
    }

    fn assert_near(&self, standin: &Standin, n: usize, within: f64, what: &str) {
        standin.used(&[n], self.from, self.to).assert_near(self.energy(n), within, what);
    }

    fn assert_message(&self, words: &str) {
        let is_it = |text: &String| text.contains(&uuid(0)) && text.contains(words);
        assert!(self.found.messages.iter().any(is_it), "{words}: {:?}", self.found.messages);
    }
}

/// Runs four epochs, and `more` after them. The first GPU fails in the middle of the fourth.
fn fail_midway(standin: &Standin, more: usize, fault: impl FnOnce(&mut Gpu)) -> Ill {
    let tracker = tracker(&standin.options());
    let from = run(&tracker, 3, EPOCH, |_| ())[0].0;
    let last = call(|| tracker.begin());
    pause(EPOCH / 2);
    let ill_at = stamp(|| standin.change(0, fault));
    pause(EPOCH / 2);
    tracker.end().unwrap();
    let to = run(&tracker, more, EPOCH, |_| ())[more - 1].1;
    let found = Found::all(&tracker);
    tracker.destroy();
    Ill { found, from, last, ill_at, to }
}

#[test]
fn a_gpu_lost_midway_keeps_its_energy_and_the_other_goes_on() {
    virtually(|| {
        let standin = two();
        let ill = fail_midway(&standin, 6, |gpu| gpu.answer = GPU_IS_LOST);
        ill.print("lost", &standin);
        // It was last read at the begin of the fourth epoch.
        let until = |to: Stamp| standin.used(&[0], ill.from, to);
        assert!((until(ill.last).least * 0.99..until(ill.ill_at).most).contains(&ill.energy(0)), "{}", ill.energy(0));
        ill.assert_near(&standin, 1, NEAR, "the other");
        assert_eq!((ill.status(0), ill.status(1)), ("lost", "ok"));
        assert!((ill.found.gpu(0)["coverage"].as_f64().unwrap() - 0.32).abs() < 0.03);
        assert!(ill.found.number("/usage/coverage") < 0.4);
        ill.assert_message("cannot be read any more");
    });
}

#[test]
fn a_gpu_that_comes_back_lost_nothing() {
    virtually(|| {
        let standin = two();
        let tracker = tracker(&standin.options());
        let stamps = run(&tracker, 10, EPOCH, |n| match n {
            3 => standin.change(0, |gpu| gpu.answer = GPU_IS_LOST),
            6 => standin.change(0, |gpu| gpu.answer = crate::fake_nvml::FINE),
            _ => (),
        });
        let found = Found::all(&tracker);
        tracker.destroy();
        let ill = Ill { found, from: stamps[0].0, to: stamps[9].1, last: stamps[3].0, ill_at: stamps[3].0 };
        ill.print("lost and back", &standin);
        ill.assert_near(&standin, 0, NEAR, "the one that came back");
        ill.assert_near(&standin, 1, NEAR, "the other");
        assert_eq!((ill.status(0), ill.status(1)), ("gap", "ok"));
        ill.assert_message("can be read again");
    });
}

/// Reloading the driver sets its counters to 0.
#[test]
fn a_driver_that_is_reset_adds_no_energy() {
    virtually(|| {
        let standin = two();
        let ill = fail_midway(&standin, 6, |gpu| gpu.since = now());
        ill.print("reset", &standin);
        ill.assert_near(&standin, 0, NEAR, "the one reset");
        ill.assert_near(&standin, 1, NEAR, "the other");
        assert_eq!((ill.status(0), ill.status(1)), ("reset", "ok"));
        assert!(ill.found.gpu(0)["coverage"].as_f64().unwrap() > 0.8);
        ill.assert_message("set back or jumped");
    });
}

/// A counter does not move while the GPU draws power. That is not 0 W. Its energy from then on is unknown or comes from
/// its power. The energy that counts as measured was used.
#[test]
fn a_counter_that_stops_is_reported() {
    virtually(|| {
        let standin = two();
        let ill = fail_midway(&standin, 12, |gpu| gpu.stalled = now());
        ill.print("stops", &standin);
        let before = standin.used(&[0], ill.from, ill.ill_at);
        let whole = standin.used(&[0], ill.from, ill.to);
        assert!((0.9 * before.least..1.02 * whole.most).contains(&ill.energy(0)), "{}", ill.energy(0));
        ill.assert_near(&standin, 1, NEAR, "the other");
        assert_eq!(ill.status(1), "ok");
        let gpu = ill.found.gpu(0);
        assert!(gpu["note"].is_string() && (gpu["status"] != "ok" || ill.energy(0) > 0.95 * whole.least), "{gpu:#}");
        ill.assert_message("");
        let measured = gpu["coverage"].as_f64().unwrap() * whole.least;
        // The counter stopped between two readings, which are half an epoch apart here.
        let half_an_epoch = 1.3 * before.most / 7.0;
        assert!(
            measured <= ill.energy(0) + half_an_epoch,
            "{} J, and {measured} J were used in the time covered",
            ill.energy(0)
        );
    });
}

/// One call hangs for 3 s. The processor is still measured and the application does not wait. The GPU's energy until
/// then is counted once it answers.
#[test]
fn a_call_that_hangs_holds_up_neither_application_nor_other_sources() {
    virtually(|| {
        let standin = two();
        let tracker = tracker(&format!("{} components=cpu,gpu sim_cpu=x:50", standin.options()));
        let before = run(&tracker, 1, EPOCH, |_| ());
        let hung_at = Instant::now();
        standin.change(0, |gpu| gpu.hangs_until = now() + 3_000_000_000);
        run(&tracker, 3, EPOCH, |_| ());
        let longest = crate::fake_nvml::longest_call(&tracker);
        let asked = Instant::now();
        let found = Found::report(&tracker);
        let reported = asked.elapsed();
        assert!(
            hung_at.elapsed() < Duration::from_secs(3),
            "the hang was over before the report: {:?}",
            hung_at.elapsed()
        );
        let epochs = found.report["epochs"].as_array().unwrap();
        for (n, epoch) in epochs.iter().enumerate().take(4) {
            let (joules, seconds) =
                (found.number(&format!("/epochs/{n}/cpu_j")), epoch["duration_s"].as_f64().unwrap());
            Used::exactly(50.0 * seconds).assert_near(joules, 1e-6, "the processor");
        }
        println!("hangs: report in {reported:?}; {}", found.gpu(0)["note"]);
        assert_eq!(longest, Duration::ZERO, "begin and end do not wait");
        assert!(reported <= Duration::from_millis(1001), "{reported:?}");
        pause(Duration::from_millis(3300).saturating_sub(hung_at.elapsed()));
        let after = run(&tracker, 1, EPOCH, |_| ());
        let found = Found::all(&tracker);
        tracker.destroy();
        for n in 0..2 {
            let gpu = found.gpu(n);
            let used = standin.used(&[n], before[0].0, after[0].1);
            used.assert_near(gpu["energy_j"].as_f64().unwrap(), NEAR, "after");
            assert!(gpu["status"] == "ok" || gpu["status"] == "gap", "{gpu:#}");
        }
    });
}

#[test]
fn a_call_that_hangs_does_not_hold_up_the_end_nor_the_next_tracker() {
    virtually(|| {
        let standin = two();
        let first = tracker(&standin.options());
        first.begin().unwrap();
        standin.change(0, |gpu| gpu.hangs_until = now() + 3_000_000_000);
        pause(Duration::from_millis(100));
        first.end().unwrap();
        pause(Duration::from_millis(100));
        let start = Instant::now();
        first.destroy();
        let ended = start.elapsed();
        let start = Instant::now();
        let second = Tracker::create(&standin.options()).unwrap().unwrap();
        let created = start.elapsed();
        let begun = call(|| second.begin());
        standin.change(0, |gpu| gpu.hangs_until = 0);
        pause(Duration::from_millis(1500));
        let until = call(|| second.end());
        let found = Found::all(&second);
        second.destroy();
        println!(
            "hangs: ended in {ended:?}, the next created in {created:?}, coverage {}",
            found.number("/usage/coverage")
        );
        assert!(ended < Duration::from_millis(101), "{ended:?}");
        assert!(created < Duration::from_millis(4), "{created:?}");
        standin.used(&[0, 1], begun, until).assert_near(found.number("/usage/energy_j"), 0.005, "the next");
    });
}

#[test]
fn a_gpu_lost_before_the_start_is_named_and_the_other_measured() {
    virtually(|| {
        let standin = two();
        standin.change(0, |gpu| gpu.answer = GPU_IS_LOST);
        let tracker = tracker(&standin.options());
        let stamps = run(&tracker, 2, EPOCH, |_| ());
        let found = Found::all(&tracker);
        tracker.destroy();
        println!("lost before: {}", found.unavailable());
        assert_eq!(found.gpus(), [1]);
        let reason = found.unavailable();
        assert!(reason.contains("GPU 0") && !reason.contains("permission"), "{reason}");
        let used = standin.used(&[1], stamps[0].0, stamps[1].1);
        used.assert_near(found.number("/usage/energy_j"), NEAR, "the other");
    });
}

#[test]
fn a_driver_that_cannot_be_used_is_reported() {
    virtually(|| {
        let none = Standin::new(&[]);
        let unloaded = two();
        unloaded.driver(|driver| driver.init_answer = DRIVER_NOT_LOADED);
        let missing = "components=gpu nvml=/nowhere/libnvidia-ml.so.1".to_owned();
        let text = none.dir().join("text.so");
        std::fs::write(&text, "no library").unwrap();
        let garbage = format!("components=gpu nvml={}", text.display());
        for (options, reason) in [
            (missing, "/nowhere/libnvidia-ml.so.1"),
            (garbage, "text.so"),
            (unloaded.options(), "driver is not loaded"),
            (none.options(), "no GPU"),
        ] {
            let tracker = tracker(&options);
            run(&tracker, 1, Duration::from_millis(20), |_| ());
            let found = Found::all(&tracker);
            tracker.destroy();
            println!("cannot be used: {}", found.unavailable());
            assert!(found.gpus().is_empty() && found.report["usage"]["energy_j"].is_null(), "{:#}", found.report);
            assert!(found.unavailable().contains(reason), "{reason}: {}", found.unavailable());
            let is_quiet = reason == "no GPU";
            assert!(is_quiet || found.messages.iter().any(|text| text.contains(reason)), "{:?}", found.messages);
        }
    });
}

/// A power of 0xFFFFFFFF mW, from the middle of a run or from its start.
#[test]
fn an_impossible_power_is_refused() {
    virtually(|| {
        let standin = Standin::new(&WATTS.map(|watts| Gpu::constant(watts).without_counter()));
        let used = standin.gpu(0);
        let ill = fail_midway(&standin, 6, |gpu| gpu.wave = [1e7, 1e7, 1.0, 0.0]);
        let until_then = Used::between(ill.from, ill.ill_at, |ns| used.joules(ns));
        println!("power: {} J of {} J, {}", ill.energy(0), until_then.most, ill.found.gpu(0)["note"]);
        assert!((0.7 * until_then.least..1.05 * until_then.most).contains(&ill.energy(0)), "{}", ill.energy(0));
        ill.assert_near(&standin, 1, 1e-4, "the other");
        assert_eq!((ill.status(0), ill.status(1)), ("lost", "ok"));
        assert!(ill.found.gpu(0)["coverage"].as_f64().unwrap() < 0.5);
        ill.assert_message("such a device can draw");
        let tracker = tracker(&standin.options());
        run(&tracker, 2, EPOCH, |_| ());
        let found = Found::all(&tracker);
        tracker.destroy();
        assert!(found.gpu(0)["energy_j"].as_f64().unwrap_or(0.0) == 0.0, "{:#}", found.gpu(0));
        assert!(found.messages.iter().any(|text| text.contains(&uuid(0)) && text.contains("can draw")));
    });
}

/// A limit of 0 W or of 0xFFFFFFFF mW means that the limit is unknown.
#[test]
fn an_impossible_limit_is_refused() {
    virtually(|| {
        for limit_w in [0.0, 0.5, 4_294_967.295] {
            let standin = Standin::new(&[Gpu::constant(200.0), Gpu::constant(200.0).without_counter()]);
            (0..2).for_each(|n| standin.change(n, |gpu| gpu.limit_w = limit_w));
            let tracker = tracker(&standin.options());
            let stamps = run(&tracker, 3, EPOCH, |_| ());
            standin.change(1, |gpu| gpu.wave = [1e7, 1e7, 1.0, 0.0]);
            run(&tracker, 2, EPOCH, |_| ());
            let found = Found::all(&tracker);
            tracker.destroy();
            let seconds = Used::between(stamps[0].0, stamps[2].1, |ns| ns as f64 * 1e-9);
            let [counter, power] = [0, 1].map(|n| found.gpu(n)["energy_j"].as_f64().unwrap());
            println!("limit {limit_w} W: {counter} J, {power} J in {} s and more", seconds.least);
            assert!(found.gpu(0)["status"] == "ok" && counter > 190.0 * seconds.least, "{:#}", found.gpu(0));
            assert!(power < 300.0 * seconds.most, "{:#}", found.gpu(1));
        }
    });
}

/// Memory for such a count would end the application.
#[test]
fn a_driver_with_impossible_counts_is_unavailable_with_one_reason() {
    virtually(|| {
        for (what, options, counts) in [
            ("GPUs", "", [65, 0, 0]),
            ("GPUs", "", [u32::MAX, 0, 0]),
            ("MIG instances", "", [0, 17, 0]),
            ("MIG instances", "", [0, u32::MAX, 0]),
            ("processes", "devices=process", [0, 0, 1025]),
            ("processes", "devices=process", [0, 0, i32::MAX as u32]),
            ("processes", "devices=process", [0, 0, u32::MAX]),
        ] {
            let standin = two();
            standin.driver(|driver| driver.counts = counts);
            let tracker = tracker(&format!("{} {options}", standin.options()));
            let begun = Instant::now();
            let is_reported = || Found::report(&tracker).unavailable().contains("reports");
            while !is_reported() && begun.elapsed() < Duration::from_secs(10) {
                pause(Duration::from_millis(10));
            }
            let found = Found::all(&tracker);
            tracker.destroy();
            println!("counts {counts:?}: {}", found.unavailable());
            let number = counts.into_iter().max().unwrap().to_string();
            let is_it = |one: &&serde_json::Value| one["source"] == "nvml";
            let unavailable: Vec<_> = found.report["unavailable"].as_array().unwrap().iter().filter(is_it).collect();
            assert!(found.gpus().is_empty() && unavailable.len() == 1, "{:#}", found.report);
            let reason = unavailable[0]["reason"].as_str().unwrap();
            assert!(
                reason.contains(&format!("{number} {what}")) && unavailable[0]["cure"].is_string(),
                "{unavailable:?}"
            );
            assert!(found.messages.iter().any(|text| text.contains(reason)), "{:?}", found.messages);
        }
    });
}
