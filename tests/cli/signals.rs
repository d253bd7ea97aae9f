//! Signals under `carbontracker run`: each reaches the program once, and none ends the command before it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_carbontracker");
const PATIENCE: Duration = Duration::from_secs(60);

/// A measured shell script in its own process group, like a job of a shell.
struct Job {
    command: Child,
    lines: BufReader<ChildStdout>,
    /// The script's process.
    script: i32,
}

impl Job {
    /// Reads the first line: the process number. Then the script is ready.
    fn start(options: &[&str], script: &str) -> Job {
        let mut command = Command::new(PROGRAM);
        command.args(["run", "-q", "-o", "sim_cpu=X:50 job=off log_dir=off"]).args(options);
        command.args(["--", "sh", "-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut command = command.process_group(0).spawn().unwrap();
        let mut lines = BufReader::new(command.stdout.take().unwrap());
        let mut number = String::new();
        lines.read_line(&mut number).unwrap();
        let script = number.trim().parse().unwrap_or_else(|_| panic!("{number}"));
        Job { command, lines, script }
    }

    fn number(&self) -> i32 {
        self.command.id() as i32
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn end(mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.command.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it goes on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// If a test fails, no process is left running.
impl Drop for Job {
    fn drop(&mut self) {
        if self.command.try_wait().is_ok_and(|status| status.is_none()) {
            send(-self.number(), libc::SIGKILL);
            let _ = self.command.wait();
        }
    }
}

fn send(to: i32, signal: i32) {
    // SAFETY: kill takes two numbers and touches no memory.
    unsafe { libc::kill(to, signal) };
}

/// The state of a process: R, S, T for stopped, Z.
fn state(process: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Prints each trapped signal, and ends half a second after the first.
fn trap(name: &str) -> String {
    let until_then = "while [ -z \"$got\" ]; do sleep 0.05; done; sleep 0.5; exit 5";
    format!("trap 'echo {name}; got=1' {name}; echo $$; {until_then}")
}

#[test]
fn signal_to_the_command_reaches_the_program_once() {
    for (name, signal) in [
        ("TERM", libc::SIGTERM),
        ("HUP", libc::SIGHUP),
        ("INT", libc::SIGINT),
        ("QUIT", libc::SIGQUIT),
        ("USR1", libc::SIGUSR1),
        ("USR2", libc::SIGUSR2),
    ] {
        let mut job = Job::start(&[], &trap(name));
        send(job.number(), signal);
        assert_eq!([job.line(), job.line()], [name, ""], "{name}, and then the end");
        assert_eq!(job.end().code(), Some(5));
    }
}

#[test]
fn signal_that_ends_the_program_ends_the_command() {
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1] {
        let job = Job::start(&[], "echo $$; exec sleep 60");
        send(job.number(), signal);
        assert_eq!(job.end().signal(), Some(signal));
    }
    let job = Job::start(&["--mark", "x"], "echo $$; exec sleep 60");
    send(job.script, libc::SIGKILL);
    assert_eq!(job.end().signal(), Some(libc::SIGKILL));
}

/// timeout(1), a queue or a user may send several signals, some after the program has ended.
#[test]
fn late_signals_do_not_lose_the_report() {
    let report = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("late-{}", std::process::id()));
    let job = Job::start(&["--to", report.to_str().unwrap()], "echo $$; exec sleep 60");
    send(job.number(), libc::SIGSTOP);
    wait_until("it is stopped", || state(job.number()) == Some('T'));
    send(job.script, libc::SIGKILL);
    wait_until("the program has ended", || state(job.script) == Some('Z'));
    [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGCONT].iter().for_each(|signal| send(job.number(), *signal));
    assert_eq!(job.end().signal(), Some(libc::SIGKILL), "as the program");
    assert!(std::fs::read_to_string(&report).is_ok_and(|text| text.starts_with("sh: ")));
    std::fs::remove_file(report).unwrap();
}

/// A script that signals its own group, as exit traps do, does not get the signal back.
#[test]
fn signals_of_the_program_are_not_sent_back() {
    let mut job = Job::start(&[], "trap 'echo USR1' USR1; echo $$; kill -USR1 0; sleep 0.3; exit 6");
    assert_eq!([job.line(), job.line()], ["USR1", ""]);
    assert_eq!(job.end().code(), Some(6));
}

/// Ctrl-Z and fg, as a shell sends them.
#[test]
fn command_stops_and_continues_with_the_program() {
    let goes_on = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("go-{}", std::process::id()));
    let script =
        format!("echo $$; until rm '{}' 2>/dev/null; do sleep 0.05; done; echo done; exit 7", goes_on.display());
    let mut job = Job::start(&[], &script);
    send(-job.number(), libc::SIGTSTP);
    // A shell that is starting a stopped process waits for it in state D.
    wait_until("both are stopped", || state(job.number()) == Some('T') && matches!(state(job.script), Some('T' | 'D')));
    std::fs::write(&goes_on, "").unwrap();
    send(-job.number(), libc::SIGCONT);
    assert_eq!(job.line(), "done");
    assert_eq!(job.end().code(), Some(7));
}

#[test]
fn ignored_signals_stay_ignored() {
    let line = format!(
        "trap '' HUP; exec '{PROGRAM}' run -q -o 'sim_cpu=X:1 job=off log_dir=off' -- sh -c 'kill -HUP $$ $PPID; exit 8'"
    );
    assert_eq!(Command::new("sh").args(["-c", &line]).status().unwrap().code(), Some(8));
}

/// Ctrl-C in a terminal reaches the program once, and the command waits for it.
#[test]
fn control_c_reaches_the_program_once() {
    let line = format!("exec '{PROGRAM}' run -o 'sim_cpu=X:50 job=off log_dir=off' -- sh -c \"$SCRIPT\"");
    let mut terminal = Command::new("script")
        .args(["-q", "-e", "-c", &line, "/dev/null"])
        .envs([("SHELL", "/bin/sh"), ("SCRIPT", &trap("INT"))])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script, of bsdutils");
    let mut lines = BufReader::new(terminal.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.next().is_some_and(|line| line.trim().parse::<u32>().is_ok()), "it is ready");
    let mut keys = terminal.stdin.take().unwrap();
    keys.write_all(b"\x03").unwrap();
    let rest: Vec<String> = lines.collect();
    let found = rest.iter().filter(|line| line.trim_start_matches("^C").trim() == "INT").count();
    assert!(found == 1 && rest.iter().any(|line| line.starts_with("sh: ")), "{rest:?}");
    assert_eq!(terminal.wait().unwrap().code(), Some(5));
}

/// What a terminal shows of a command line, with keys to type and a wait for each text to appear after the one before.
struct Typed {
    terminal: Child,
    keys: std::process::ChildStdin,
    shown: std::sync::Arc<std::sync::Mutex<String>>,
    read: usize,
}

impl Typed {
    fn new(line: &str) -> Typed {
        let mut terminal = Command::new("script")
            .args(["-q", "-e", "-c", line, "/dev/null"])
            .envs([("SHELL", "/bin/bash"), ("TERM", "xterm")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script, of bsdutils");
        let (keys, mut output) = (terminal.stdin.take().unwrap(), terminal.stdout.take().unwrap());
        let shown = std::sync::Arc::<std::sync::Mutex<String>>::default();
        let copy = std::sync::Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Some(length) = std::io::Read::read(&mut output, &mut buffer).ok().filter(|length| *length > 0) {
                copy.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        Typed { terminal, keys, shown, read: 0 }
    }

    /// Waits for a text. Returns what was shown before it.
    fn until(&mut self, text: &str) -> String {
        let rest = || self.shown.lock().unwrap()[self.read..].to_owned();
        let start = Instant::now();
        while !rest().contains(text) {
            assert!(start.elapsed() < PATIENCE, "{text:?} after {:?}", rest());
            std::thread::sleep(Duration::from_millis(5));
        }
        let before = rest().split(text).next().unwrap().to_owned();
        self.read += before.len() + text.len();
        before
    }
}

/// Ctrl-Z gives the shell a whole terminal, and fg takes the last row again.
#[test]
fn stopped_command_gives_the_terminal_back() {
    const RESERVED: &str = "\x1b[1;29r";
    const WHOLE: &str = "\x1b[r";
    let go = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("row-{}", std::process::id()));
    let script = format!("until rm '{}' 2>/dev/null; do sleep 0.05; done", go.display());
    let run = format!("'{PROGRAM}' run --status 100ms -o 'sim_cpu=X:50 job=off log_dir=off' -- sh -c \"{script}\"");
    let mut shell = Typed::new(&format!("set -m; stty rows 30 cols 90; {run}; echo stopped; fg; echo over"));
    shell.until(RESERVED);
    shell.keys.write_all(b"\x1a").unwrap();
    let before = shell.until("stopped");
    assert!(before.rfind(WHOLE) > before.rfind(RESERVED), "{before:?}");
    shell.until(RESERVED);
    std::fs::write(&go, "").unwrap();
    let before = shell.until("over");
    assert!(before.rfind(WHOLE) > before.rfind(RESERVED), "{before:?}");
    assert!(shell.terminal.wait().unwrap().success());
}

#[test]
fn no_process_is_left_behind() {
    let job = Job::start(&["--mark", "x"], "echo $$; exec sleep 60");
    let (number, script) = (job.number(), job.script);
    let threads = || std::fs::read_dir(format!("/proc/{number}/task")).map_or(0, Iterator::count);
    assert!(threads() >= 4, "the sampler, and one for each output");
    send(script, libc::SIGTERM);
    job.end();
    assert_eq!((state(number), state(script)), (None, None));
}
