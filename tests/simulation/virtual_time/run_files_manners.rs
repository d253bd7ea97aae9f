//! What a run's files must not do to the program that keeps them: stop it, kill it, or take its processor.
//!
//! Tests that need a process of their own start this test program again, with a variable that selects the role.

use crate::run_files::{Folder, epoch_lines, epochs, lines, make, messages};
use carbontracker::run_files::crash_counter::{Count, CrashCounter, left};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const SIM: &str = "sim_cpu=A:50 sim_gpu=B:200 job=off";
const SHORT: Duration = Duration::from_millis(15);
const OPTIONS: &str = "CT_TEST_OPTIONS";

/// Ends three epochs, rests, and prints the processor time of the rest.
#[test]
fn child() {
    let Ok(options) = std::env::var(OPTIONS) else { return };
    let tracker = make(&format!("{SIM} {options}"));
    epochs(&tracker, 3, SHORT);
    let before = processor_s();
    std::thread::sleep(Duration::from_secs(5));
    println!("\nrested {}", processor_s() - before);
    tracker.destroy();
    println!("ended");
}

/// Processor time of this process, s.
fn processor_s() -> f64 {
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..=12].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / TICKS_A_SECOND
}

/// The child, started by a shell that does something before.
fn child_after(shell: &str, options: &str) -> (Output, String) {
    let output = Command::new("sh")
        .args(["-c", &format!("{shell} exec \"$0\" --exact run_files_manners::child --nocapture --test-threads=1")])
        .arg(std::env::current_exe().unwrap())
        .env(OPTIONS, options)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, printed)
}

fn rests(options: &str) {
    let (output, printed) = child_after("", options);
    let rested = printed.lines().find_map(|line| line.strip_prefix("rested ")).unwrap_or_else(|| panic!("{output:?}"));
    assert!(rested.parse::<f64>().unwrap() < 1.0, "{options}: {rested} s of 5 s");
}

#[test]
fn a_folder_that_cannot_be_written_costs_no_processor() {
    rests("log_dir=/proc/carbontracker");
}

#[test]
fn a_disk_that_is_full_costs_no_processor() {
    let folder = Folder::new("spin");
    // A journal that is there, and takes no more.
    let (_, printed) = child_after("ulimit -f 0;", &format!("resume={}", folder.0.join("a.jsonl").display()));
    let rested = printed.lines().find_map(|line| line.strip_prefix("rested ")).unwrap_or_else(|| panic!("{printed}"));
    assert!(rested.parse::<f64>().unwrap() < 1.0, "{rested} s of 5 s");
}

#[test]
fn metrics_without_a_journal_are_renewed_and_cost_no_processor() {
    let folder = Folder::new("metrics");
    let file = folder.0.join("a.prom");
    let options = format!("prometheus={}", file.display());
    let tracker = make(&format!("{SIM} {options}"));
    tracker.begin().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !file.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    let metrics = fs::read_to_string(&file).expect("while the first epoch lasts");
    assert!(metrics.contains("carbontracker_epochs_total{"));
    tracker.destroy();
    rests(&options);
}

#[test]
fn a_limit_on_file_sizes_kills_no_process() {
    let folder = Folder::new("limit");
    for limit in ["0", "1"] {
        let (output, printed) = child_after(&format!("ulimit -f {limit};"), &format!("log_dir={}", folder.shown()));
        assert!(output.status.success() && printed.contains("ended"), "ulimit -f {limit}: {output:?}");
    }
}

#[test]
fn a_pipe_or_a_device_instead_of_a_journal_delays_no_call() {
    let folder = Folder::new("pipe");
    let pipe = folder.0.join("a.jsonl");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for from in [folder.0.as_path(), &pipe, Path::new("/dev/zero")] {
        let (is_done, done) = std::sync::mpsc::channel();
        let options = format!("{SIM} resume={}", from.display());
        std::thread::spawn(move || {
            let tracker = make(&options);
            let said = messages(&tracker).join("\n");
            tracker.destroy();
            is_done.send(said)
        });
        let said = done.recv_timeout(Duration::from_secs(20)).expect("it is not waited for");
        assert!(said.contains("a new"), "{said}");
    }
}

#[test]
fn only_regular_files_are_replaced() {
    let folder = Folder::new("special");
    let pipe = folder.0.join("a.prom");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let tracker = make(&format!("{SIM} prometheus={}", pipe.display()));
    epochs(&tracker, 1, SHORT);
    tracker.destroy();
    assert!(!fs::metadata(&pipe).unwrap().is_file());
}

#[test]
fn two_trackers_of_one_process_do_not_write_one_journal() {
    let folder = Folder::new("twice");
    let journal = folder.0.join("a.jsonl");
    let options = format!("{SIM} name=a resume={}", journal.display());
    let one = make(&options);
    epochs(&one, 2, SHORT);
    for from in [journal.clone(), folder.0.clone()] {
        let two = make(&format!("{SIM} name=a resume={}", from.display()));
        let said = messages(&two).join("\n");
        epochs(&two, 3, SHORT);
        assert_eq!(two.value("/run/epochs_done").unwrap(), 3.0, "{said}");
        two.destroy();
        // And the first one still has it to itself.
        let (_, printed) = child_after("", &format!("name=a resume={}", journal.display()));
        assert!(printed.contains("ended"), "{printed}");
    }
    epochs(&one, 2, SHORT);
    one.destroy();
    let indices: Vec<_> = epoch_lines(&journal).iter().map(|line| line["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, [0, 1, 2, 3]);
}

/// Its epochs have no line: their number and time are in shared memory only.
#[test]
fn lines_that_a_full_disk_refused_are_written_at_the_end() {
    let folder = Folder::new("untold");
    let journal = folder.0.join("a.jsonl");
    let options = format!("name={} resume={}", "x".repeat(2000), journal.display());
    let (output, printed) = child_after("ulimit -f 8;", &options); // 4096 bytes
    assert!(printed.contains("ended"), "{output:?}");
    assert!(epoch_lines(&journal).len() < 3);
    let tracker = make(&format!("{SIM} {options}"));
    assert_eq!(tracker.value("/run/epochs_done").unwrap(), 3.0);
    let id = lines(&journal)[0]["run"]["id"].as_str().unwrap().to_owned();
    tracker.destroy();
    // The second process has ended in order, and of the third nothing else is left.
    let third = CrashCounter::open(&id, 3).unwrap();
    third.note(Count { epochs: 5, inside: 50_000_000, span: 60_000_000 });
    drop(third);
    let tracker = make(&format!("{SIM} {options}"));
    assert_eq!(tracker.value("/run/epochs_done").unwrap(), 8.0);
    tracker.destroy();
    assert_eq!(left(&id, 3).unwrap(), None);
}

#[test]
fn a_folder_full_of_runs_that_are_over_is_not_read_whole() {
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
        let before = Instant::now();
        let tracker = make(&format!("{SIM} resume={}", from.display()));
        let took = before.elapsed();
        (took, tracker.value("/run/epochs_done").unwrap())
    };
    let (one, done) = start(&journal);
    assert_eq!(done, 400.0);
    let (all, done) = start(&folder.0);
    assert_eq!(done, 0.0);
    assert!(all < one * RUNS / 4, "{RUNS}: {all:?}, one: {one:?}");
}

#[test]
fn an_exceeded_budget_is_reported_when_the_run_is_resumed() {
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
}

#[test]
fn a_journal_that_is_removed_is_written_anew() {
    let folder = Folder::new("removed");
    let logs = Folder(folder.0.join("logs"));
    let tracker = make(&format!("{SIM} log_dir={}", logs.shown()));
    epochs(&tracker, 3, SHORT);
    tracker.value("/usage/energy_j").unwrap();
    fs::remove_dir_all(&logs.0).unwrap();
    epochs(&tracker, 2, SHORT);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !logs.0.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let said = messages(&tracker);
    assert!(said.iter().any(|message| message.contains("was removed")), "{said:?}");
    tracker.destroy();
    assert_eq!(epoch_lines(&logs.journal()).len(), 5);
    let told = carbontracker::run_files::read(&logs.journal()).unwrap().report;
    crate::run_files::check_sums(&told);
    assert_eq!(logs.files(".json").len(), 1);
}

/// One job script works at the first start, without a folder, and at each requeue.
#[test]
fn a_folder_that_is_not_there_yet_is_resumed_from_later() {
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
}
