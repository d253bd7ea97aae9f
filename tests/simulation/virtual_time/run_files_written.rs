//! The files that a run leaves, and its resumption after kills.
//!
//! Tests that kill a process start this test program again, with a variable that selects the role.

use crate::run_files::{Folder, check_sums, epoch_lines, epochs, json, lines, make, number};
use carbontracker::run_files;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const CHILD: &str = "CT_TEST_OPTIONS";

#[test]
fn a_run_leaves_its_journal_its_report_and_its_metrics() {
    let folder = Folder::new("whole");
    let tracker =
        make(&format!("epochs=5 sim_cpu=A:50 sim_gpu=B:200 location=DK name=one log_dir={}/new", folder.shown()));
    epochs(&tracker, 5, Duration::from_millis(30));
    let said = tracker.report("json").unwrap();
    tracker.destroy();
    let new = Folder(folder.0.join("new"));
    let journal = new.journal();
    let lines = epoch_lines(&journal);
    let indices: Vec<_> = lines.iter().map(|line| line["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, [0, 1, 2, 3, 4]);
    let said: Value = serde_json::from_str(&said).unwrap();
    let [report] = &new.files(".json")[..] else { panic!("{:?}", new.files("")) };
    let report = json(report);
    for (line, epoch) in lines.iter().zip(report["epochs"].as_array().unwrap()) {
        for name in ["duration_s", "energy_j", "cpu_j", "gpu_j", "dram_j", "co2eq_g", "coverage"] {
            assert_eq!(line[name], epoch[name], "{name}");
        }
    }
    assert_eq!((&report["usage"], &report["run"]["state"]), (&said["usage"], &Value::from("done")));
    let metrics = std::fs::read_to_string(&new.files(".prom")[0]).unwrap();
    assert!(metrics.contains("carbontracker_energy_joules_total{") && metrics.ends_with('\n'));
    assert!(metrics.lines().any(|line| line.starts_with("carbontracker_epochs_total{") && line.ends_with("} 5")));
    // The journal alone contains the same.
    let told = run_files::read(&journal).unwrap();
    assert!(told.notes.is_empty(), "{:?}", told.notes);
    for pointer in [
        "/usage/energy_j",
        "/usage/co2eq_g",
        "/usage/facility_energy_kwh",
        "/run/epochs_done",
        "/components/1/energy_j",
    ] {
        assert!((number(&told.report, pointer) / number(&report, pointer) - 1.0).abs() < 1e-9, "{pointer}");
    }
    assert_eq!(told.report["run"]["state"], "done");
    check_sums(&report);
    check_sums(&told.report);
}

/// Of a simulated 250 W, whether epochs are short or numbers come within a long one.
#[test]
fn the_journals_power_is_the_runs() {
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
        .map(|power| (number(power, "/to") - number(power, "/from"), number(power, "/cpu_j") + number(power, "/gpu_j")))
        .collect();
    let joules: f64 = stretches.iter().map(|(_, joules)| joules).sum();
    assert!((joules / used - 1.0).abs() < 0.02, "{joules} {used}");
    let long: Vec<_> = stretches.iter().filter(|(seconds, _)| *seconds > 0.5).collect();
    assert!(long.len() >= 2 && long.iter().all(|(s, j)| (j / s / 250.0 - 1.0).abs() < 0.02), "{stretches:?}");
}

/// Emissions of earlier attempts are kept; later energy is converted at the present intensity.
#[test]
fn each_attempt_keeps_its_own_intensity() {
    let folder = Folder::new("prices");
    let said: Vec<Value> = [100, 1000]
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
    let both = &said[1];
    for (epoch, each) in both["epochs"].as_array().unwrap().iter().zip([100.0; 5].iter().chain(&[1000.0; 5])) {
        let g_per_kwh = number(epoch, "/co2eq_g") / number(epoch, "/energy_j") * 3.6e6;
        assert!((g_per_kwh / each - 1.0).abs() < 1e-6, "{g_per_kwh} {each}");
    }
    let [used, whole, rest] =
        ["/usage/co2eq_g", "/forecast/co2eq_g/value", "/forecast/remaining/co2eq_g/value"].map(|at| number(both, at));
    assert!((used + rest - whole).abs() < 1e-6 * whole, "{used} + {rest}: {whole}");
}

/// The role of a process: it resumes the run and prints each epoch that has ended.
#[test]
fn child() {
    let Ok(options) = std::env::var(CHILD) else { return };
    let tracker = make(&options);
    let mut out = std::io::stdout();
    let done = tracker.value("/run/epochs_done").unwrap();
    writeln!(out, "done {done}").unwrap();
    let mut state = u64::from(std::process::id());
    loop {
        tracker.begin().unwrap();
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        std::thread::sleep(Duration::from_micros(15_000 + (state >> 33) % 30_000));
        tracker.end().unwrap();
        writeln!(out, "ended").unwrap();
        out.flush().unwrap();
    }
}

fn start(options: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "run_files_written::child", "--nocapture", "--test-threads=1"]).env(CHILD, options);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Kills a process this long after it resumed the run, or after its start: (epochs found done, if it came so
/// far; what it ended).
fn run_and_kill(options: &str, after: Duration, from_start: bool) -> (Option<u64>, u64) {
    let mut child = start(options);
    let out = BufReader::new(child.stdout.take().unwrap());
    let (told, is_told) = mpsc::channel();
    let killer = std::thread::spawn(move || {
        if !from_start {
            let _ = is_told.recv();
        }
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
    });
    let (mut found, mut ended) = (None, 0);
    for line in out.lines().map_while(Result::ok) {
        // The test harness prints something on the same line first.
        if let Some((_, done)) = line.split_once("done ") {
            found = done.trim().parse().ok();
            let _ = told.send(());
        }
        ended += u64::from(line == "ended");
    }
    drop(told);
    killer.join().unwrap();
    (found, ended)
}

/// Kills the processes of a run several times; returns the epochs ended, and how many were printed before.
fn kill_often(options: &str, kills: u64, seed: u64) -> (u64, u64) {
    let (mut ended, mut unsaid) = (0, 0);
    for kill in 0..kills {
        let random = (seed + kill).wrapping_mul(6364136223846793005) >> 33;
        let from_start = kill % 4 == 3;
        let after = Duration::from_micros(random % if from_start { 60_000 } else { 300_000 });
        let (found, more) = run_and_kill(options, after, from_start);
        let found = found.unwrap_or(ended);
        // An epoch may have ended just before it could be printed.
        assert!((ended..=ended + 1).contains(&found), "kill {kill}: {found} of {ended} epochs");
        unsaid += found - ended;
        ended = found + more;
    }
    (ended, unsaid)
}

/// Energy in a killed rank's journal stays with that rank. The rank that counts its devices next takes over the rest.
#[test]
fn energy_in_a_journal_is_taken_over_by_no_rank() {
    const WATTS: f64 = 50.0;
    let folder = Folder::new("ranks");
    let journal = |rank: &str| folder.0.join(format!("{rank}.jsonl"));
    let options = |rank: &str| {
        format!("sim_cpu=A:{WATTS} components=cpu job=taken{} resume={}", std::process::id(), journal(rank).display())
    };
    let begun = Instant::now();
    let mut first = start(&options("first"));
    std::thread::sleep(Duration::from_millis(800));
    let second = make(&options("second"));
    epochs(&second, 200, Duration::from_millis(20));
    first.kill().unwrap();
    first.wait().unwrap();
    epochs(&second, 100, Duration::from_millis(20));
    let used = second.value("/usage/energy_j").unwrap();
    let most = WATTS * begun.elapsed().as_secs_f64();
    second.destroy();
    let told = number(&run_files::read(&journal("first")).unwrap().report, "/usage/energy_j");
    assert!(used > WATTS && told > 3.0 * WATTS, "{used} {told}");
    assert!(used + told < most + 1.3 * WATTS, "{used} and {told} of {most} J");
    assert!(used + told > most - 2.0 * WATTS, "{used} and {told} of {most} J");
}

#[test]
fn two_hundred_kills_lose_no_epoch() {
    const RUNS: u64 = 4;
    const KILLS: u64 = 50;
    let folder = Folder::new("kills");
    let one = &|run: u64| {
        let journal = folder.0.join(format!("run{run}.jsonl"));
        let options = format!("epochs=100000 sim_cpu=A:50 sim_gpu=B:200 name=k{run} resume={}", journal.display());
        let (ended, unsaid) = kill_often(&options, KILLS, run * 1000);
        let tracker = make(&options);
        epochs(&tracker, 2, Duration::from_millis(20));
        let report: Value = serde_json::from_str(&tracker.report("json").unwrap()).unwrap();
        tracker.destroy();
        let done = number(&report, "/run/epochs_done") as u64;
        assert!((ended + 2..=ended + 3).contains(&done), "{done} of {ended}");
        check_sums(&report);
        check_sums(&run_files::read(&journal).unwrap().report);
        let known = number(&report, "/usage/epochs/energy_j") / number(&report, "/usage/epochs/duration_s") / 250.0;
        crate::retry::say(&format!(
            "{KILLS} kills: {done} epochs, {unsaid} ended unsaid; energy known of {:.2} % of their time; {}",
            known * 100.0,
            report["run"]["resumed"]
        ));
        assert!(known > 0.8 && number(&report, "/run/resumed/times") >= 0.7 * KILLS as f64, "{known}");
        let id = report["run"]["id"].as_str().unwrap();
        let left = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
        let left = left.filter(|entry| entry.file_name().to_string_lossy().contains(id)).count();
        assert_eq!(left, 0, "nothing is left in memory");
    };
    std::thread::scope(|scope| (0..RUNS).for_each(|run| drop(scope.spawn(move || one(run)))));
}
