//! GPUs and drivers that do not answer at the start. They are asked again, and counted from their first answer.

use crate::fake_nvml::{Found, Gpu, NOT_READY, Standin, UNKNOWN, uuid};
use crate::retry::{Stamp, call, now, run, steadily};
use carbontracker::tracker::Tracker;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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
        std::thread::sleep(Duration::from_millis(10));
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
    std::thread::sleep(Duration::from_secs(2));
    let end = call(|| tracker.end());
    std::thread::sleep(Duration::from_millis(100));
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
        assert!((0.97 * least..1.03 * most).contains(&energy), "{energy} J, {least} to {most} J");
        let note = self.found.gpu(n)["note"].as_str().unwrap();
        assert!(note.contains("counted from its first answer"), "{note}");
        assert_eq!(self.found.gpu(n)["status"], "ok");
        assert!(self.found.number("/usage/coverage") < 0.9 && self.found.unavailable().is_empty());
    }
}

/// NVML answers NOT_READY (27) or UNKNOWN (999) for one GPU; the other is measured from the start.
#[test]
fn a_gpu_that_is_not_ready_is_counted_once_it_is() {
    steadily(|| {
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
            used.assert_near(woken.found.gpu(1)["energy_j"].as_f64().unwrap(), 0.02, "the other");
        }
    });
}

#[test]
fn a_driver_that_fails_at_first_is_called_again() {
    steadily(|| {
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
    steadily(|| {
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
    steadily(|| {
        let standin = two();
        standin.change(0, |gpu| gpu.answer = NOT_READY);
        let start = Instant::now();
        let tracker = create(&standin, "");
        assert!(start.elapsed() < Duration::from_millis(300), "{:?}", start.elapsed());
        run(&tracker, 1, Duration::from_secs(3), |_| ());
        std::thread::sleep(Duration::from_millis(500));
        let found = Found::all(&tracker);
        let before = standin.tally()[0];
        std::thread::sleep(Duration::from_secs(3));
        let calls = standin.tally()[0] - before;
        let start = Instant::now();
        tracker.destroy();
        println!("never: {calls} calls in 3 s; ended in {:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_millis(400));
        // One call a second for the one GPU, and readings of the other's counter and power.
        assert!(calls <= 16, "{calls} calls");
        assert!(found.gpus() == [1] && found.unavailable().contains("not ready"), "{:#}", found.report);
        assert!(found.report["epochs"][0]["energy_j"].is_number(), "no epoch waits for it");
        std::thread::sleep(Duration::from_millis(1300));
        let before = standin.tally()[0];
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(standin.tally()[0], before, "the driver is not called after the end");
    });
}

/// A child process, or one that has a child of its own. Dropping it ends both. The number is that of the last process.
struct Kin(Child, u32);

impl Kin {
    fn start(is_grandchild: bool) -> Kin {
        use std::io::{BufRead, BufReader};
        let script = if is_grandchild { "sleep 20 & echo $!; wait" } else { "echo $$; exec sleep 20" };
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Kin(child, line.trim().parse().unwrap())
    }
}

impl Drop for Kin {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.1.to_string()).status();
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As Carbontracker's devices_by_pid: the GPU of a data loader or worker is this program's too, even if it starts
/// later.
#[test]
fn devices_of_this_process_include_those_of_its_descendants() {
    steadily(|| {
        let standin = Standin::new(&[50.0, 100.0, 200.0, 400.0].map(Gpu::constant));
        let (child, grandchild) = (Kin::start(false), Kin::start(true));
        standin.change(1, |gpu| gpu.pids[..2].copy_from_slice(&[1, child.1]));
        standin.change(3, |gpu| gpu.pids[0] = 1);
        let tracker = create(&standin, "devices=process");
        wait_for(&tracker, "the child's GPU", |found| found.gpus() == [1]);
        standin.change(2, |gpu| gpu.pids[0] = grandchild.1);
        let found = wait_for(&tracker, "the grandchild's GPU", |found| found.gpus() == [1, 2]);
        assert_eq!(found.unavailable(), "");
        standin.change(0, |gpu| gpu.pids[0] = std::process::id());
        wait_for(&tracker, "our own GPU", |found| found.gpus().len() == 3);
        tracker.destroy();
    });
}
