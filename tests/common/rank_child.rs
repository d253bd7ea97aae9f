//! Running ranks. Each is the test program again, with its options in a variable.
#![allow(dead_code)]

use crate::run_files::Folder;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

const OPTIONS: &str = "CT_TEST_OPTIONS";
/// Variables of launchers, which a rank must not inherit.
const LAUNCHERS: [&str; 7] = [
    "SLURM_JOB_ID",
    "SLURM_PROCID",
    "SLURM_RESTART_COUNT",
    "OMPI_COMM_WORLD_RANK",
    "PMIX_RANK",
    "PMI_RANK",
    "CARBONTRACKER_JOB",
];

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The program of a rank, if this process is one: it resumes its run, and runs epochs until its input ends.
#[test]
fn rank() {
    let Ok(options) = std::env::var(OPTIONS) else { return };
    let tracker = crate::run_files::make(&options);
    let mut out = std::io::stdout();
    let id = json(&tracker.report("json").unwrap())["run"]["id"].take();
    let state = serde_json::json!({"done": tracker.value("/run/epochs_done").unwrap(), "id": id, "messages": crate::run_files::messages(&tracker)});
    writeln!(out, "\nstate {state}").unwrap();
    let (end, is_ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_line(&mut String::new());
        end.send(())
    });
    let mut ended = 0;
    while is_ended.try_recv().is_err() {
        tracker.begin().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        tracker.end().unwrap();
        ended += 1;
        writeln!(out, "\nended {ended}").unwrap();
    }
    tracker.destroy();
}

/// A running rank.
pub struct Rank {
    child: Child,
    stdin: Option<ChildStdin>,
    out: BufReader<std::process::ChildStdout>,
    /// Number of epochs that were done at its start.
    pub done: f64,
    /// Identifier of its run.
    pub id: String,
    /// Its messages at the start.
    pub messages: String,
}

impl Rank {
    pub fn start(options: &str, variables: &[(&str, &str)]) -> Rank {
        Rank::of(Command::new(std::env::current_exe().unwrap()), options, variables)
    }

    pub fn of(mut command: Command, options: &str, variables: &[(&str, &str)]) -> Rank {
        LAUNCHERS.iter().for_each(|name| _ = command.env_remove(name));
        command.args(["--exact", "rank_child::rank", "--nocapture", "--test-threads=1"]);
        command.env(OPTIONS, options).envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdin, out) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut rank = Rank { child, stdin, out, done: 0.0, id: String::new(), messages: String::new() };
        let state: Value = json(&rank.await_line("state "));
        rank.done = state["done"].as_f64().unwrap();
        rank.id = state["id"].as_str().unwrap().to_owned();
        rank.messages = state["messages"].to_string();
        rank
    }

    fn await_line(&mut self, start: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.out.read_line(&mut line).unwrap() > 0, "it ended");
            if let Some(rest) = line.strip_prefix(start) {
                return rest.trim().to_owned();
            }
        }
    }

    pub fn work(&mut self, epochs: u32) {
        while self.await_line("ended ").parse::<u32>().unwrap() < epochs {}
    }

    pub fn end(mut self) {
        drop(self.stdin.take());
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.out, &mut rest).unwrap();
        assert!(self.child.wait().unwrap().success());
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A folder whose file system has no locks for programs that preload the library.
#[track_caller]
pub fn without_locks(name: &str) -> Option<(Folder, Folder, String)> {
    shimmed(name, "nolock")
}

/// A folder named as a preloaded library, which shows programs another file system there.
#[track_caller]
pub fn shimmed(name: &str, shim: &str) -> Option<(Folder, Folder, String)> {
    let folder = Folder::new(name);
    let library = folder.0.join(format!("{shim}.so"));
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(format!("{}/tests/common/run_files/{shim}.c", crate::ROOT));
    if !compiler.status().is_ok_and(|status| status.success()) {
        crate::retry::say("skipped: no C compiler here");
        return None;
    }
    let journals = Folder(folder.0.join(shim));
    Some((folder, journals, library.display().to_string()))
}

/// Number of runs in a folder, where the ranks of a job are one run, and number of unfinished runs.
pub fn runs(folder: &Folder) -> (u64, f64) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carbontracker"));
    let output = command.args(["aggregate", "--json"]).arg(&folder.0).output().unwrap();
    let totals = json(&String::from_utf8_lossy(&output.stdout))["totals"].take();
    (totals["runs"].as_u64().unwrap(), totals["unfinished"].as_f64().unwrap())
}
