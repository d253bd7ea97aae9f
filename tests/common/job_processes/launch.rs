//! Starts the processes of a job, and several jobs at once.

use super::{Folder, MS, PART, PROGRAM, WATTS};
use crate::fake_rapl::{Counter, Tree};
use crate::retry::now;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Condvar, Mutex};

/// Most processes at once, over all cases.
const MAX_PROCESSES: usize = 96;
/// A simulated processor with a power of [`WATTS`].
pub const SIMULATED: &str = "X:100:1";

/// This test program as a process of a job, with a part from a file. Its environment has only `PATH` and the part.
pub fn process(part: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", PROGRAM, "--nocapture", "--test-threads=1", "--quiet"]);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env(PART, part);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// The shell command that runs this test program as a process of a job. CT_PART must be set.
pub fn in_shell() -> String {
    format!(
        "exec '{}' --exact {PROGRAM} --nocapture --test-threads=1 --quiet",
        std::env::current_exe().unwrap().display()
    )
}

/// Starts processes that wait until all are ready. Waits until all have ended, and checks that only `killed`
/// ones failed.
pub fn together(commands: Vec<Command>, killed: &[bool]) {
    let start = |mut command: Command| command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut children: Vec<Child> = commands.into_iter().map(start).collect();
    for child in &mut children {
        // The pipes stay open, because a process may still write.
        let output = BufReader::new(child.stdout.as_mut().unwrap());
        assert!(output.lines().map_while(Result::ok).any(|line| line.ends_with("ready")), "a process ended early");
    }
    let at = now() + 20 * MS + children.len() as u64 * MS;
    for child in &mut children {
        writeln!(child.stdin.as_mut().unwrap(), "{at}").unwrap();
    }
    for (mut child, killed) in children.into_iter().zip(killed) {
        assert_eq!(child.wait().unwrap().success(), !killed);
    }
}

/// The counters that the processes serve, as JSON for their parts.
pub fn serves(tree: Option<&Tree>) -> Value {
    tree.map_or(Value::Null, |tree| json!({"born": tree.born(), "watts": [WATTS]}))
}

/// The commands of one job's processes, each with a rank, on a simulated processor or a served tree.
pub fn job(folder: &Folder, processes: usize, tree: Option<&Tree>, more: &[(&str, &str)]) -> Vec<Command> {
    let job = job_name();
    let command = |number: usize| {
        let mut command = process(&folder.part(number));
        command.env("SLURM_JOB_ID", &job).env("SLURM_PROCID", number.to_string());
        match tree {
            Some(tree) => command.env("CARBONTRACKER_SYSROOT", tree.root()),
            None => command.env("CARBONTRACKER_SIM_CPU", SIMULATED),
        };
        command.envs(more.iter().copied());
        command
    };
    (0..processes).map(command).collect()
}

pub fn job_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{}{:03}", std::process::id(), NUMBER.fetch_add(1, Relaxed))
}

pub fn tree() -> Tree {
    Tree::new(&[("intel-rapl:0", "package-0", Counter::constant(WATTS))])
}

/// Limits the number of processes at a time.
struct Room(Mutex<usize>, Condvar);

static ROOM: Room = Room(Mutex::new(MAX_PROCESSES), Condvar::new());

impl Room {
    fn with<T>(&self, processes: usize, run: impl FnOnce() -> T) -> T {
        let processes = processes.min(MAX_PROCESSES);
        let left = self.0.lock().unwrap();
        *self.1.wait_while(left, |left| *left < processes).unwrap() -= processes;
        let result = run();
        *self.0.lock().unwrap() += processes;
        self.1.notify_all();
        result
    }
}

/// Runs the cases in parallel, as far as there is room. `size` is the number of processes of a case.
pub fn check<T: Debug + Sync>(cases: &[T], size: fn(&T) -> usize, run: impl Fn(&T) -> Result<(), String> + Sync) {
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let run = &run;
        let start = |case| scope.spawn(move || ROOM.with(size(case), || run(case)));
        let threads: Vec<_> = cases.iter().map(start).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap().err()).collect()
    });
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
