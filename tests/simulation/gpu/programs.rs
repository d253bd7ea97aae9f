//! What only a real process shows: the loader's path, descendants, a fork, and an exit during a call. These tests
//! wait for conditions.

use crate::fake_nvml::{Found, Gpu, Standin};
use carbontracker::os::pause;
use carbontracker::tracker::Tracker;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Far more time than a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(60);
const A_MOMENT: Duration = Duration::from_millis(2);

fn four() -> Standin {
    Standin::new(&[50.0, 100.0, 200.0, 400.0].map(Gpu::constant))
}

fn create(options: &str) -> Tracker {
    Tracker::create(options).unwrap().unwrap()
}

/// Waits until `is_it` is true.
fn wait_until(what: &str, mut is_it: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_it() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        pause(A_MOMENT);
    }
}

/// Waits until the report has these GPUs.
fn wait_for_gpus(tracker: &Tracker, gpus: &[usize]) {
    wait_until(&format!("GPUs {gpus:?}"), || Found::report(tracker).gpus() == gpus);
}

/// Waits for the GPUs, and runs epochs until one has energy.
fn wait_for_energy(tracker: &Tracker) {
    wait_for_gpus(tracker, &[0, 1, 2, 3]);
    wait_until("energy", || {
        tracker.begin().unwrap();
        pause(A_MOMENT);
        tracker.end().unwrap();
        assert!(tracker.settle(PATIENCE));
        Found::report(tracker).report["usage"]["energy_j"].as_f64() > Some(0.0)
    });
}

/// Runs an ignored test of this file as a program of its own, until it ends.
fn run(program: &str, variables: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", &format!("programs::{program}"), "--nocapture", "--test-threads=1"]);
    command.envs(variables.iter().copied()).env("CT_PROGRAM", "1").stdout(Stdio::null());
    let mut child = Killed(command.spawn().unwrap());
    wait_until(program, || child.0.try_wait().unwrap().is_some());
    assert!(child.0.wait().unwrap().success(), "{program}");
}

/// A process that is killed when this value is dropped, unless it has ended.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether this process was started by [`run`]. If a user runs all ignored tests, the programs do nothing.
fn is_program() -> bool {
    std::env::var_os("CT_PROGRAM").is_some()
}

#[test]
#[ignore = "a program that another test runs"]
fn finds_the_library() {
    if is_program() {
        let library = std::env::var("CT_LIBRARY").unwrap();
        let _standin = Standin::at(library.as_ref(), &[50.0, 100.0, 200.0, 400.0].map(Gpu::constant));
        let tracker = create("components=gpu");
        wait_for_gpus(&tracker, &[0, 1, 2, 3]);
        tracker.destroy();
    }
}

/// Without the option the loader finds NVML under either name. It reads its path when a program starts.
#[test]
fn the_library_is_found_by_its_names() {
    for name in ["libnvidia-ml.so.1", "libnvidia-ml.so"] {
        let standin = Standin::called(name, &[]);
        let paths = [standin.dir().to_str().unwrap().to_owned(), std::env::var("LD_LIBRARY_PATH").unwrap_or_default()];
        let library = ("CT_LIBRARY", standin.library().to_str().unwrap());
        run("finds_the_library", &[library, ("LD_LIBRARY_PATH", &paths.join(":"))]);
    }
}

#[test]
#[ignore = "a program that another test runs"]
fn forks() {
    if !is_program() {
        return;
    }
    let standin = four();
    let first = create(&standin.options());
    wait_for_energy(&first);
    first.destroy();
    // SAFETY: the child has one thread and ends by exit.
    let child = unsafe { libc::fork() };
    if child > 0 {
        let mut status = -1;
        // SAFETY: waits for the child that was forked above.
        unsafe { libc::waitpid(child, &mut status, 0) };
        std::process::exit(i32::from(status != 0));
    }
    let measures = || {
        let second = create(&standin.options());
        wait_for_energy(&second);
        second.destroy();
    };
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(measures));
    std::process::exit(i32::from(ended.is_err())); // the child lacks the test harness's threads
}

#[test]
fn a_forked_child_measures_again() {
    run("forks", &[]);
}

#[test]
#[ignore = "a program that another test runs"]
fn exits_during_a_call() {
    if !is_program() {
        return;
    }
    let standin = four();
    let tracker = create(&standin.options());
    wait_for_energy(&tracker);
    standin.change(0, |gpu| gpu.hangs_until = u64::MAX);
    let before = standin.tally()[0];
    tracker.begin().unwrap();
    wait_until("a call", || standin.tally()[0] > before);
    std::mem::forget(tracker);
    std::fs::remove_dir_all(standin.dir()).unwrap();
    std::process::exit(0);
}

/// An epoch is open, and a call hangs for ever.
#[test]
fn a_program_that_exits_during_a_call_ends() {
    run("exits_during_a_call", &[]);
}

/// A child process, or one that has a child of its own. Both end when this value is dropped. The number is that of the
/// last process.
struct Kin(Child, u32);

impl Kin {
    fn start(is_grandchild: bool) -> Kin {
        use std::io::{BufRead, BufReader};
        let script = if is_grandchild { "sh -c 'echo $$; read end'; :" } else { "echo $$; read end" };
        let mut command = Command::new("sh");
        let mut child = command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Kin(child, line.trim().parse().unwrap())
    }
}

impl Drop for Kin {
    fn drop(&mut self) {
        let _ = self.0.wait(); // it closes the standard input, for which both wait
    }
}

/// As Carbontracker's devices_by_pid: the GPU of a data loader or worker is this program's too, even if it starts
/// later.
#[test]
fn devices_of_this_process_include_those_of_its_descendants() {
    let standin = four();
    let (child, grandchild) = (Kin::start(false), Kin::start(true));
    standin.change(1, |gpu| gpu.pids[..2].copy_from_slice(&[1, child.1]));
    standin.change(3, |gpu| gpu.pids[0] = 1);
    let tracker = create(&format!("{} devices=process", standin.options()));
    wait_for_gpus(&tracker, &[1]);
    standin.change(2, |gpu| gpu.pids[0] = grandchild.1);
    wait_for_gpus(&tracker, &[1, 2]);
    assert_eq!(Found::report(&tracker).unavailable(), "");
    standin.change(0, |gpu| gpu.pids[0] = std::process::id());
    wait_until("our own GPU", || Found::report(&tracker).gpus().len() == 3);
    tracker.destroy();
}
