//! GPUs and drivers that do not answer at the start. They are asked again, and counted from their first answer.

use crate::fake_nvml::{Found, Gpu, NOT_READY, Standin, UNKNOWN, uuid};
use crate::retry::{Stamp, call, now, run};
use crate::virtually;
use carbontracker::os::{Instant, pause};
use carbontracker::tracker::Tracker;
use std::time::Duration;

const WATTS: [f64; 2] = [200.0, 300.0];
const SICK: Duration = Duration::from_millis(1200);
const PATIENCE: Duration = Duration::from_secs(10);

fn two() -> Standin {
    Standin::new(&WATTS.map(Gpu::constant))
}

fn create(standin: &Standin, options: &str) -> Tracker {
    Tracker::create(&format!("{} {options}", standin.options())).unwrap().unwrap()
}

/// Waits until the report meets the condition.
fn wait_for(tracker: &Tracker, what: &str, is_it: impl Fn(&Found) -> bool) -> Found {
    let start = Instant::now();
    loop {
        let found = Found::report(tracker);
        if is_it(&found) {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: {:#}", found.report);
        pause(Duration::from_millis(50));
    }
}

/// A run whose epoch begins while the driver fails: reports during the failure and at the end.
struct Woken {
    meanwhile: Found,
    found: Found,
    begin: Stamp,
    well: u64,
    end: Stamp,
}

fn wake(standin: &Standin, options: &str, gpus: &[usize], sicken: impl FnOnce(u64)) -> Woken {
    let well = now() + SICK.as_nanos() as u64;
    sicken(well);
    let tracker = create(standin, options);
    let begin = call(|| tracker.begin());
    let meanwhile = wait_for(&tracker, "a reason", |found| !found.unavailable().is_empty() && !yet(found));
    assert!(now() < well, "the reason came too late");
    // The report lists GPUs in the order in which they joined.
    wait_for(&tracker, "the GPUs", |found| gpus.iter().all(|n| found.gpus().contains(n)));
    pause(Duration::from_secs(2));
    let end = call(|| tracker.end());
    pause(Duration::from_millis(100));
    let found = Found::all(&tracker);
    tracker.destroy();
    Woken { meanwhile, found, begin, well, end }
}

fn yet(found: &Found) -> bool {
    found.unavailable().contains("yet to answer")
}

impl Woken {
    /// The counted energy begins between the GPU's recovery and a second later.
    fn assert_counted_from_then(&self, standin: &Standin, n: usize) {
        let joules = |ns: u64| standin.gpu(n).joules(ns);
        let energy = self.found.gpu(n)["energy_j"].as_f64().unwrap();
        let least = joules(self.end.before) - joules(self.well + 1_200_000_000);
        let most = joules(self.end.after) - joules(self.well);
        println!("GPU {n}: {energy:.1} J, {least:.1} to {most:.1} J since it recovered; {}", self.found.gpu(n)["note"]);
        assert!((0.99 * least..1.01 * most).contains(&energy), "{energy} J, {least} to {most} J");
        let note = self.found.gpu(n)["note"].as_str().unwrap();
        assert!(note.contains("counted from its first answer"), "{note}");
        assert_eq!(self.found.gpu(n)["status"], "ok");
        assert!(self.found.number("/usage/coverage") < 0.9 && self.found.unavailable().is_empty());
    }
}

/// NVML answers NOT_READY (27) or UNKNOWN (999) for one GPU; the other is measured from the start.
#[test]
fn a_gpu_that_is_not_ready_is_counted_once_it_is() {
    virtually(|| {
        for (answer, words) in [(NOT_READY, "not ready"), (UNKNOWN, "unknown error")] {
            let standin = two();
            let woken = wake(&standin, "", &[0, 1], |well| {
                standin.change(0, |gpu| *gpu = Gpu { uuid: gpu.uuid, ..gpu.failing(answer, well) });
            });
            let reason = woken.meanwhile.unavailable();
            println!("{answer}: {reason}; {:?}", woken.found.messages);
            assert!(reason.contains("GPU 0") && reason.contains(words) && !reason.contains("enum"), "{reason}");
            assert!(woken.found.messages.iter().any(|text| text.contains(words) && text.contains("Fix: ")));
            assert_eq!(woken.meanwhile.gpus(), [1]);
            woken.assert_counted_from_then(&standin, 0);
            let used = standin.used(&[1], woken.begin, woken.end);
            // The first count may be as old as the time between two updates, 20 ms of the run's 3.6 s.
            used.assert_near(woken.found.gpu(1)["energy_j"].as_f64().unwrap(), 0.006, "the other");
        }
    });
}

#[test]
fn a_driver_that_fails_at_first_is_called_again() {
    virtually(|| {
        for is_count in [false, true] {
            let standin = two();
            let woken = wake(&standin, "", &[0, 1], |well| {
                standin.driver(|driver| {
                    driver.answers_until = well;
                    *(if is_count { &mut driver.count_answer } else { &mut driver.init_answer }) = UNKNOWN;
                });
            });
            assert!(woken.meanwhile.unavailable().contains("unknown error"), "{}", woken.meanwhile.unavailable());
            (0..2).for_each(|n| woken.assert_counted_from_then(&standin, n));
        }
    });
}

/// Until the GPU answers, it is unknown whether it is the selected one.
#[test]
fn a_gpu_chosen_by_its_uuid_may_wake_later() {
    virtually(|| {
        let standin = two();
        let woken = wake(&standin, &format!("devices={}", uuid(0)), &[0], |well| {
            standin.change(0, |gpu| *gpu = Gpu { uuid: gpu.uuid, ..gpu.failing(NOT_READY, well) });
        });
        assert!(woken.meanwhile.unavailable().contains("not ready"), "{}", woken.meanwhile.unavailable());
        woken.assert_counted_from_then(&standin, 0);
        assert_eq!(woken.found.gpus(), [0]);
    });
}

#[test]
fn a_gpu_that_never_answers_holds_nothing_up_and_is_asked_less_and_less_often() {
    virtually(|| {
        let standin = two();
        standin.change(0, |gpu| gpu.answer = NOT_READY);
        let start = Instant::now();
        let tracker = create(&standin, "");
        assert!(start.elapsed() < Duration::from_millis(4), "{:?}", start.elapsed());
        run(&tracker, 1, Duration::from_secs(3), |_| ());
        pause(Duration::from_millis(500));
        let found = Found::all(&tracker);
        let before = standin.tally()[0];
        pause(Duration::from_secs(3));
        let calls = standin.tally()[0] - before;
        let start = Instant::now();
        tracker.destroy();
        println!("never: {calls} calls in 3 s; ended in {:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_millis(101));
        // One call a second for the one GPU, and readings of the other's counter and power.
        assert!(calls <= 16, "{calls} calls");
        assert!(found.gpus() == [1] && found.unavailable().contains("not ready"), "{:#}", found.report);
        assert!(found.report["epochs"][0]["energy_j"].is_number(), "no epoch waits for it");
        pause(Duration::from_millis(1300));
        let before = standin.tally()[0];
        pause(Duration::from_millis(1500));
        assert_eq!(standin.tally()[0], before, "the driver is not called after the end");
    });
}
