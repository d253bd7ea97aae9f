//! What a run's files must not do to the program that keeps them: stop it, kill it, or take its processor.

use crate::run_files::{Folder, epoch_lines, epochs, make, messages};
use crate::{Simulation, virtually};
use carbontracker::os::{Instant, pause};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const SIM: &str = "sim_cpu=A:50 sim_gpu=B:200 job=off";
const SHORT: Duration = Duration::from_millis(15);

/// Ends three epochs and rests for ten minutes. A thread that wakes too often costs processor time.
fn rests(at: &Simulation, options: &str) {
    let tracker = make(&format!("{SIM} {options}"));
    epochs(&tracker, 3, SHORT);
    let before = at.kernel.switches();
    pause(Duration::from_secs(600));
    let woken = at.kernel.switches() - before;
    println!("{options}: threads woke {woken} times in ten minutes");
    assert!(woken < 1200, "{options}: {woken}");
    tracker.destroy();
}

#[test]
fn a_folder_that_cannot_be_written_costs_no_processor() {
    virtually(|at| {
        rests(at, "log_dir=/proc/carbontracker");
    });
}

#[test]
fn a_disk_that_is_full_costs_no_processor() {
    virtually(|at| {
        let folder = Folder::new("spin");
        at.disk.room.set(0);
        // A journal that is there, and takes no more.
        rests(at, &format!("resume={}", folder.0.join("a.jsonl").display()));
    });
}

#[test]
fn metrics_without_a_journal_are_renewed_and_cost_no_processor() {
    virtually(|at| {
        let folder = Folder::new("metrics");
        let file = folder.0.join("a.prom");
        let options = format!("prometheus={}", file.display());
        let tracker = make(&format!("{SIM} {options}"));
        tracker.begin().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !file.exists() && Instant::now() < deadline {
            pause(Duration::from_millis(50));
        }
        let metrics = fs::read_to_string(&file).expect("while the first epoch lasts");
        assert!(metrics.contains("carbontracker_epochs_total{"));
        tracker.destroy();
        rests(at, &options);
    });
}

#[test]
fn only_regular_files_are_replaced() {
    virtually(|_| {
        let folder = Folder::new("special");
        let pipe = folder.0.join("a.prom");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let tracker = make(&format!("{SIM} prometheus={}", pipe.display()));
        epochs(&tracker, 1, SHORT);
        tracker.destroy();
        assert!(!fs::metadata(&pipe).unwrap().is_file());
    });
}

#[test]
fn two_trackers_of_one_process_do_not_write_one_journal() {
    virtually(|at| {
        let folder = Folder::new("twice");
        let journal = folder.0.join("a.jsonl");
        let options = format!("{SIM} name=a resume={}", journal.display());
        let one = make(&options);
        epochs(&one, 2, SHORT);
        for from in [journal.clone(), folder.0.clone()] {
            let two = make(&format!("{SIM} name=a resume={}", from.display()));
            let reported = messages(&two).join("\n");
            epochs(&two, 3, SHORT);
            assert_eq!(two.value("/run/epochs_done").unwrap(), 3.0, "{reported}");
            two.destroy();
            // And the first one still has it to itself.
            let options = options.clone();
            let reported = at.in_process(move || {
                let tracker = make(&options);
                epochs(&tracker, 3, SHORT);
                messages(&tracker).join("\n")
            });
            assert!(reported.contains("is writing it"), "{reported}");
        }
        epochs(&one, 2, SHORT);
        one.destroy();
        let indices: Vec<_> = epoch_lines(&journal).iter().map(|line| line["index"].as_u64().unwrap()).collect();
        assert_eq!(indices, [0, 1, 2, 3]);
    });
}

/// Bytes that this thread has read from files.
fn bytes_read() -> u64 {
    let counts = fs::read_to_string("/proc/thread-self/io").unwrap();
    counts.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

#[test]
fn a_folder_full_of_runs_that_are_over_is_not_read_whole() {
    virtually(|_| {
        const RUNS: u32 = 100;
        let folder = Folder::new("over");
        let tracker = make(&format!("{SIM} epochs=400 log_dir={}", folder.shown()));
        epochs(&tracker, 400, Duration::from_millis(1));
        tracker.destroy();
        let journal = folder.journal();
        for run in 0..RUNS {
            fs::copy(&journal, folder.0.join(format!("{run}.jsonl"))).unwrap();
        }
        let start = |from: &Path| {
            let before = bytes_read();
            let tracker = make(&format!("{SIM} resume={}", from.display()));
            let read = bytes_read() - before;
            let done = tracker.value("/run/epochs_done").unwrap();
            tracker.destroy();
            (read, done)
        };
        let (one, done) = start(&journal);
        assert_eq!(done, 400.0);
        let (all, done) = start(&folder.0);
        assert_eq!(done, 0.0);
        println!("{one} bytes read for one run, {all} for {RUNS} that are over");
        assert!(all < 4 * one, "{RUNS}: {all}, one: {one}");
    });
}

#[test]
fn an_exceeded_budget_is_reported_when_the_run_is_resumed() {
    virtually(|_| {
        let folder = Folder::new("budget");
        let options = format!("{SIM} epochs=10 budget_g=0.00001 resume={}", folder.shown());
        for is_first in [true, false] {
            let tracker = make(&options);
            if is_first {
                epochs(&tracker, 2, SHORT);
                tracker.value("/usage/energy_j").unwrap();
            }
            assert!(messages(&tracker).iter().any(|message| message.starts_with("budget_g=")));
            tracker.begin().unwrap();
            assert_eq!(tracker.end().unwrap(), carbontracker::error::Status::CT_OVER_BUDGET);
            tracker.destroy();
        }
    });
}

#[test]
fn a_journal_that_is_removed_is_written_anew() {
    virtually(|_| {
        let folder = Folder::new("removed");
        let logs = Folder(folder.0.join("logs"));
        let tracker = make(&format!("{SIM} log_dir={}", logs.shown()));
        epochs(&tracker, 3, SHORT);
        tracker.value("/usage/energy_j").unwrap();
        fs::remove_dir_all(&logs.0).unwrap();
        epochs(&tracker, 2, SHORT);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !logs.0.exists() && Instant::now() < deadline {
            pause(Duration::from_millis(10));
        }
        let reported = messages(&tracker);
        assert!(reported.iter().any(|message| message.contains("was removed")), "{reported:?}");
        tracker.destroy();
        assert_eq!(epoch_lines(&logs.journal()).len(), 5);
        let from_file = carbontracker::run_files::read(&logs.journal()).unwrap().report;
        crate::run_files::check_sums(&from_file);
        assert_eq!(logs.files(".json").len(), 1);
    });
}

/// One job script works at the first start, without a folder, and at each requeue.
#[test]
fn a_folder_that_is_not_there_yet_is_resumed_from_later() {
    virtually(|_| {
        let folder = Folder::new("requeue");
        let logs = folder.0.join("logs");
        for options in ["log_dir", "prometheus"] {
            let also = if options == "log_dir" { format!("log_dir={}", logs.display()) } else { String::new() };
            for start in 1..=3_u32 {
                let tracker = make(&format!("{SIM} epochs=100 name={options} {also} resume={}", logs.display()));
                epochs(&tracker, 2, SHORT);
                let done = tracker.value("/run/epochs_done").unwrap();
                assert_eq!(done, f64::from(2 * start), "{:?}", messages(&tracker));
                tracker.destroy();
            }
        }
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "nothing beside it");
    });
}
