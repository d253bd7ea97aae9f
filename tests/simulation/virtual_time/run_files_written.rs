//! The files that a run leaves, and its resumption after kills.

use crate::run_files::{Folder, check_sums, epoch_lines, epochs, json, lines, make, number};
use crate::{Simulation, virtually};
use carbontracker::os::{Instant, pause};
use carbontracker::run_files;
use carbontracker::run_files::crash_counter::left;
use serde_json::Value;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

#[test]
fn a_run_leaves_its_journal_its_report_and_its_metrics() {
    virtually(|_| {
        let folder = Folder::new("whole");
        let tracker =
            make(&format!("epochs=5 sim_cpu=A:50 sim_gpu=B:200 location=DK name=one log_dir={}/new", folder.shown()));
        epochs(&tracker, 5, Duration::from_millis(30));
        let reported = tracker.report("json").unwrap();
        tracker.destroy();
        let new = Folder(folder.0.join("new"));
        let journal = new.journal();
        let lines = epoch_lines(&journal);
        let indices: Vec<_> = lines.iter().map(|line| line["index"].as_u64().unwrap()).collect();
        assert_eq!(indices, [0, 1, 2, 3, 4]);
        let reported: Value = serde_json::from_str(&reported).unwrap();
        let [report] = &new.files(".json")[..] else { panic!("{:?}", new.files("")) };
        let report = json(report);
        for (line, epoch) in lines.iter().zip(report["epochs"].as_array().unwrap()) {
            for name in ["duration_s", "energy_j", "cpu_j", "gpu_j", "dram_j", "co2eq_g", "coverage"] {
                assert_eq!(line[name], epoch[name], "{name}");
            }
        }
        assert_eq!((&report["usage"], &report["run"]["state"]), (&reported["usage"], &Value::from("done")));
        let metrics = std::fs::read_to_string(&new.files(".prom")[0]).unwrap();
        assert!(metrics.contains("carbontracker_energy_joules_total{") && metrics.ends_with('\n'));
        assert!(metrics.lines().any(|line| line.starts_with("carbontracker_epochs_total{") && line.ends_with("} 5")));
        // The journal alone contains the same.
        let from_file = run_files::read(&journal).unwrap();
        assert!(from_file.notes.is_empty(), "{:?}", from_file.notes);
        for pointer in [
            "/usage/energy_j",
            "/usage/co2eq_g",
            "/usage/facility_energy_kwh",
            "/run/epochs_done",
            "/components/1/energy_j",
        ] {
            assert!((number(&from_file.report, pointer) / number(&report, pointer) - 1.0).abs() < 1e-9, "{pointer}");
        }
        assert_eq!(from_file.report["run"]["state"], "done");
        check_sums(&report);
        check_sums(&from_file.report);
    });
}

/// Of a simulated 250 W, whether epochs are short or numbers come within a long one.
#[test]
fn the_journals_power_is_the_runs() {
    virtually(|_| {
        let folder = Folder::new("power");
        let tracker = make(&format!("sim_cpu=A:50 sim_gpu=B:200 job=off log_dir={}", folder.shown()));
        for (count, length_ms) in [(50, 5), (1, 5000), (20, 50)] {
            epochs(&tracker, count, Duration::from_millis(length_ms));
        }
        let used = tracker.value("/usage/energy_j").unwrap();
        tracker.destroy();
        let stretches: Vec<(f64, f64)> = lines(&folder.journal())
            .iter()
            .filter_map(|line| line.pointer("/so_far/power").filter(|power| power.is_object()))
            .map(|power| {
                (number(power, "/to") - number(power, "/from"), number(power, "/cpu_j") + number(power, "/gpu_j"))
            })
            .collect();
        let joules: f64 = stretches.iter().map(|(_, joules)| joules).sum();
        assert!((joules / used - 1.0).abs() < 0.02, "{joules} {used}");
        let long: Vec<_> = stretches.iter().filter(|(seconds, _)| *seconds > 0.5).collect();
        assert!(long.len() >= 2 && long.iter().all(|(s, j)| (j / s / 250.0 - 1.0).abs() < 0.02), "{stretches:?}");
    });
}

/// Emissions of earlier attempts are kept; later energy is converted at the present intensity.
#[test]
fn each_attempt_keeps_its_own_intensity() {
    virtually(|_| {
        let folder = Folder::new("prices");
        let reported: Vec<Value> = [100, 1000]
            .map(|intensity| {
                let tracker = make(&format!(
                    "epochs=20 sim_cpu=A:50 job=off intensity={intensity} resume={}",
                    folder.0.join("a.jsonl").display()
                ));
                epochs(&tracker, 5, Duration::from_millis(20));
                let report = serde_json::from_str(&tracker.report("json").unwrap()).unwrap();
                tracker.destroy();
                report
            })
            .into();
        let both = &reported[1];
        for (epoch, each) in both["epochs"].as_array().unwrap().iter().zip([100.0; 5].iter().chain(&[1000.0; 5])) {
            let g_per_kwh = number(epoch, "/co2eq_g") / number(epoch, "/energy_j") * 3.6e6;
            assert!((g_per_kwh / each - 1.0).abs() < 1e-6, "{g_per_kwh} {each}");
        }
        let [used, whole, rest] = ["/usage/co2eq_g", "/forecast/co2eq_g/value", "/forecast/remaining/co2eq_g/value"]
            .map(|at| number(both, at));
        assert!((used + rest - whole).abs() < 1e-6 * whole, "{used} + {rest}: {whole}");
    });
}

/// What a process that resumes a run reports until it is killed.
#[derive(Default)]
struct ProcessReport {
    /// The number of epochs done when it started; None: it did not get so far.
    found: Cell<Option<u64>>,
    /// The number of epochs that it ended.
    ended: Cell<u64>,
}

/// Starts a process that resumes a run and ends epochs of 15 to 45 ms until it is killed.
fn start(at: &Simulation, options: &str) -> (u32, Rc<ProcessReport>) {
    let report = Rc::<ProcessReport>::default();
    let (to, options, kernel) = (Rc::clone(&report), options.to_owned(), Rc::clone(&at.kernel));
    let process = at.start(move || {
        let tracker = make(&options);
        to.found.set(Some(tracker.value("/run/epochs_done").unwrap() as u64));
        loop {
            tracker.begin().unwrap();
            let length = kernel.rng.borrow_mut().u64(15_000..45_000);
            pause(Duration::from_micros(length));
            tracker.end().unwrap();
            to.ended.set(to.ended.get() + 1);
        }
    });
    (process, report)
}

/// When a process is killed.
#[derive(Clone, Copy)]
enum Kill {
    /// This long after its start, µs.
    AfterStart(u64),
    /// This long after it resumed the run, µs.
    AfterResume(u64),
    /// In the middle of this write.
    AtWrite(u64),
}

/// Runs a process and kills it.
fn run_and_kill(at: &Simulation, options: &str, kill: Kill) -> Rc<ProcessReport> {
    let (process, report) = start(at, options);
    match kill {
        Kill::AfterStart(us) => pause(Duration::from_micros(us)),
        Kill::AfterResume(us) => {
            while report.found.get().is_none() {
                pause(Duration::from_millis(1));
            }
            pause(Duration::from_micros(us));
        }
        Kill::AtWrite(write) => {
            at.disk.kill_at_write.set(write);
            while at.kernel.has_threads(process) {
                pause(Duration::from_millis(1));
            }
        }
    }
    at.kernel.kill(process);
    report
}

/// Kills the processes of a run several times; returns the number of epochs ended.
fn kill_often(at: &Simulation, options: &str, kills: u64) -> u64 {
    let mut ended = 0;
    for number in 0..kills {
        let random = |most| at.kernel.rng.borrow_mut().u64(1..most);
        let kill = match number % 4 {
            0 => Kill::AfterStart(random(60_000)),
            1 => Kill::AtWrite(random(12)),
            _ => Kill::AfterResume(random(300_000)),
        };
        let report = run_and_kill(at, options, kill);
        if let Some(found) = report.found.get() {
            assert_eq!(found, ended, "kill {number}");
        }
        ended += report.ended.get();
    }
    ended
}

/// Energy in a killed rank's journal stays with that rank. The rank that counts its devices next takes over the rest.
#[test]
fn energy_in_a_journal_is_taken_over_by_no_rank() {
    const WATTS: f64 = 50.0;
    virtually(|at| {
        let folder = Folder::new("ranks");
        let journal = |rank: &str| folder.0.join(format!("{rank}.jsonl"));
        let options =
            |rank: &str| format!("sim_cpu=A:{WATTS} components=cpu job=taken resume={}", journal(rank).display());
        let begun = Instant::now();
        let (first, _) = start(at, &options("first"));
        pause(Duration::from_millis(800));
        let second = make(&options("second"));
        epochs(&second, 200, Duration::from_millis(20));
        at.kernel.kill(first);
        epochs(&second, 100, Duration::from_millis(20));
        let used = second.value("/usage/energy_j").unwrap();
        let most = WATTS * begun.elapsed().as_secs_f64();
        second.destroy();
        let from_file = number(&run_files::read(&journal("first")).unwrap().report, "/usage/energy_j");
        println!("{used} and {from_file} of {most} J");
        assert!(used > WATTS && from_file > 3.0 * WATTS, "{used} {from_file}");
        assert!(used + from_file <= most + 1e-6, "{used} and {from_file} of {most} J");
        assert!(used + from_file > most - 0.01, "{used} and {from_file} of {most} J");
    });
}

/// Kills the processes of one run and checks what its files have.
fn kill_and_resume(at: &Simulation) {
    const KILLS: u64 = 50;
    let folder = Folder::new("kills");
    let journal = folder.0.join("run.jsonl");
    let options = format!("epochs=100000 sim_cpu=A:50 sim_gpu=B:200 name=k resume={}", journal.display());
    at.disk.latency_ns.set(2_000_000);
    let ended = kill_often(at, &options, KILLS);
    let tracker = make(&options);
    epochs(&tracker, 2, Duration::from_millis(20));
    let report: Value = serde_json::from_str(&tracker.report("json").unwrap()).unwrap();
    tracker.destroy();
    assert_eq!(number(&report, "/run/epochs_done") as u64, ended + 2);
    check_sums(&report);
    check_sums(&run_files::read(&journal).unwrap().report);
    let known = number(&report, "/usage/epochs/energy_j") / number(&report, "/usage/epochs/duration_s") / 250.0;
    println!(
        "{KILLS} kills: {ended} epochs; energy known of {:.2} % of their time; {}; {} segments",
        known * 100.0,
        report["run"]["resumed"],
        at.kernel.segments()
    );
    assert!(known > 0.8 && number(&report, "/run/resumed/times") >= 0.5 * KILLS as f64, "{known}");
    let id = report["run"]["id"].as_str().unwrap();
    assert!((0..=KILLS + 1).all(|attempt| left(id, attempt).unwrap().is_none()), "a page is left in memory");
}

/// The disk takes up to 2 ms for an operation, so that kills come between operations and in the middle of a write.
#[test]
fn kills_lose_no_epoch() {
    virtually(|at| (0..2).for_each(|_| kill_and_resume(at)));
}

/// A program that exits without an end of its tracker may have failed. So nothing is known to be saved.
#[test]
fn exit_in_the_middle_of_a_run_saves_nothing() {
    virtually(|simulation| {
        let folder = Folder::new("exits");
        let of_process = folder.shown();
        let process = simulation.start(move || {
            let tracker = make(&format!("epochs=10 sim_cpu=A:50 log_dir={of_process}"));
            epochs(&tracker, 4, Duration::from_secs(1));
            carbontracker::os::exit::end_process();
            std::mem::forget(tracker);
        });
        simulation.join(process);
        let report = json(&folder.files(".json")[0]);
        assert_eq!((&report["run"]["state"], &report["run"]["epochs_done"]), (&"done".into(), &4.into()));
        assert!(report["forecast"]["saved"].is_null() && report["forecast"]["remaining"].is_object(), "{report}");
        assert!(!report["notes"].to_string().contains("saved"), "{report}");
    });
}
