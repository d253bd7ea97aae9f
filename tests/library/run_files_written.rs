//! Real processes that resume a run and are killed. Each kill comes once the process has ended some epochs.

use crate::run_files::{Folder, check_sums, epochs, make, number};
use carbontracker::run_files;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

const CHILD: &str = "CT_TEST_OPTIONS";

/// The role of a process: it resumes the run and prints each epoch that has ended.
#[test]
fn child() {
    let Ok(options) = std::env::var(CHILD) else { return };
    let tracker = make(&options);
    let mut out = std::io::stdout();
    let done = tracker.value("/run/epochs_done").unwrap();
    writeln!(out, "done {done}").unwrap();
    loop {
        epochs(&tracker, 1, Duration::from_millis(2));
        writeln!(out, "ended").unwrap();
        out.flush().unwrap();
    }
}

/// Starts a process and kills it once it has printed this number of ended epochs. Returns the epochs that it found
/// done, if it came so far, and the number that it printed as ended.
fn run_and_kill(options: &str, after: Option<u64>) -> (Option<u64>, u64) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "run_files_written::child", "--nocapture", "--test-threads=1"]).env(CHILD, options);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (mut found, mut ended) = (None, 0);
    if after.is_none() {
        child.kill().unwrap();
    }
    for line in out.lines().map_while(Result::ok) {
        // The test harness prints something on the same line first.
        if let Some((_, done)) = line.split_once("done ") {
            found = done.trim().parse().ok();
        }
        ended += u64::from(line == "ended");
        if found.is_some() && after.is_some_and(|after| ended >= after) {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    (found, ended)
}

#[test]
fn kills_of_real_processes_lose_no_epoch() {
    const KILLS: u64 = 20;
    let folder = Folder::new("kills");
    let journal = folder.0.join("run.jsonl");
    let options = format!("epochs=100000 sim_cpu=A:50 sim_gpu=B:200 name=k resume={}", journal.display());
    let mut ended = 0;
    for kill in 0..KILLS {
        let (found, more) = run_and_kill(&options, (kill % 5 < 4).then_some(kill % 7));
        let found = found.unwrap_or(ended);
        // An epoch may have ended just before it could be printed.
        assert!((ended..=ended + 1).contains(&found), "kill {kill}: {found} of {ended} epochs");
        ended = found + more;
    }
    let tracker = make(&options);
    epochs(&tracker, 2, Duration::from_millis(2));
    assert!(tracker.settle(Duration::from_secs(60)));
    let report: Value = serde_json::from_str(&tracker.report("json").unwrap()).unwrap();
    tracker.destroy();
    let done = number(&report, "/run/epochs_done") as u64;
    assert!((ended + 2..=ended + 3).contains(&done), "{done} of {ended}");
    check_sums(&report);
    check_sums(&run_files::read(&journal).unwrap().report);
}
