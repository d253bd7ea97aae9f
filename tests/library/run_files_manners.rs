//! Limits of a process, and pipes and devices in the place of a run's files: none stops or kills the program.
//!
//! Tests that need a process of their own start this test program again, with a variable that selects the role.

use crate::run_files::{Folder, epoch_lines, epochs, lines, make, messages};
use carbontracker::run_files::crash_counter::{Count, CrashCounter, left};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

const SIM: &str = "sim_cpu=A:50 sim_gpu=B:200 job=off";
const SHORT: Duration = Duration::from_millis(15);
const OPTIONS: &str = "CT_TEST_OPTIONS";

/// Ends three epochs.
#[test]
fn child() {
    let Ok(options) = std::env::var(OPTIONS) else { return };
    let tracker = make(&format!("{SIM} {options}"));
    epochs(&tracker, 3, SHORT);
    tracker.destroy();
    println!("ended");
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
            let reported = messages(&tracker).join("\n");
            tracker.destroy();
            is_done.send(reported)
        });
        let reported = done.recv_timeout(Duration::from_secs(60)).expect("it is not waited for");
        assert!(reported.contains("a new"), "{reported}");
    }
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
