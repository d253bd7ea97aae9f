//! `carbontracker run`: the program is not affected, and the report is correct. The test program itself is the program
//! that uses the library.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::retry::{call, now, wait_until, wait_until_settled};
use carbontracker::tracker::Tracker;
use serde_json::Value;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_carbontracker");
/// Each run counts its own device of 50 W, independent of other tests.
const PLAIN: [&str; 3] = ["run", "-o", "sim_cpu=X:50 components=cpu job=off location=DK log_dir=off history=off"];

fn run(options: &[&str], program: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(PLAIN).args(options).arg("--").args(program).stdin(Stdio::null());
    command
}

fn output(options: &[&str], program: &[&str]) -> Output {
    run(options, program).output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The path of a file for one test.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("run-{name}-{}", std::process::id()))
}

/// The report of a shell script, and its output.
fn reported(name: &str, options: &[&str], script: &str) -> (Value, Output) {
    let file = path(name);
    let options = [options, &["--report", "json", "--to", file.to_str().unwrap()]].concat();
    let output = output(&options, &["sh", "-c", script]);
    let report = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    std::fs::remove_file(&file).unwrap();
    (serde_json::from_str(&report).unwrap(), output)
}

#[test]
fn exit_status_is_that_of_the_program() {
    for code in [0, 1, 7, 255] {
        assert_eq!(output(&[], &["sh", "-c", &format!("exit {code}")]).status.code(), Some(code));
    }
    for signal in [libc::SIGTERM, libc::SIGKILL, libc::SIGSEGV, libc::SIGPIPE, libc::SIGINT] {
        let ended = output(&["-q"], &["sh", "-c", &format!("kill -{signal} $$")]);
        assert_eq!((ended.status.signal(), ended.status.core_dumped()), (Some(signal), false));
    }
    let unknown = output(&[], &["./no-such-program"]);
    assert_eq!(unknown.status.code(), Some(127));
    assert!(text(&unknown.stderr).contains("carbontracker: ./no-such-program: No such file"), "{unknown:?}");
    assert_eq!(output(&[], &["/"]).status.code(), Some(126));
    let file = path("not-executable");
    std::fs::write(&file, "#!/bin/sh\n").unwrap();
    assert_eq!(output(&[], &[file.to_str().unwrap()]).status.code(), Some(126));
    std::fs::remove_file(file).unwrap();
}

#[test]
fn wrong_arguments_are_refused_before_anything_runs() {
    let file = path("never");
    let touch = ["touch", file.to_str().unwrap()];
    for (options, word) in [
        (["-o", "no_such=1"], "unknown option"),
        (["-o", "devices=process"], "devices=process"),
        (["-o", "pue=0"], "pue"),
        (["--to", "/no/such/folder/file"], "/no/such/folder/file"),
        (["--epochs", "3"], "--mark"),
        (["--mark", ""], "one line"),
        (["--report", "pdf"], "brief"),
        (["--reprot", "json"], "--report"),
    ] {
        let refused = output(&options, &touch);
        assert_eq!(refused.status.code(), Some(2), "{options:?}");
        assert!(text(&refused.stderr).contains(word) && !file.exists(), "{options:?}: {}", text(&refused.stderr));
    }
    let own = output(&[], &["sh", "-c", "exit 7", "--reprot"]);
    assert_eq!(own.status.code(), Some(7), "options behind the program are its own");
    let odd = output(&["--"], &["--no-such-program"]);
    assert_eq!(odd.status.code(), Some(127), "behind -- any word is the program");
    assert_eq!(Command::new(PROGRAM).arg("run").output().unwrap().status.code(), Some(2), "no program");
    let logs = path("refused");
    let refused = output(&["--log-dir", logs.to_str().unwrap(), "--to", "/no/such/folder/file"], &touch);
    assert!(refused.status.code() == Some(2) && !logs.exists(), "no run, and no files of one");
}

#[test]
fn input_and_output_belong_to_the_program() {
    let noise: Vec<u8> = (0..10_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for options in [&[][..], &["--mark", "epoch"]] {
        let mut command = run(&[options, &["-q"]].concat(), &["sh", "-c", "tee /dev/stderr"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn({
            let noise = noise.clone();
            move || stdin.write_all(&noise)
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success() && output.stdout == noise && output.stderr == noise, "{options:?}");
    }
    assert!(output(&["-q"], &["true"]).stderr.is_empty());
}

/// Environment, descriptors and signal actions are unchanged. Signals up to 28; the last two belong to the C library.
#[test]
fn environment_of_the_program_is_unchanged() {
    let look = "env | grep -v ^_= | sort; grep '^Sig[BIC]' /proc/self/status | sed 's/:.*\\(.......\\)$/ \\1/'; ls -l /proc/self/fd | sed 's/.* [0-9] -> //' | grep -v /proc/; pwd; ulimit -a";
    for prepare in ["", "trap '' HUP QUIT CHLD USR1;"] {
        let line = |with: &str| {
            let output = Command::new("sh").args(["-c", &format!("{prepare} exec {with} sh -c \"$0\""), look]).output();
            text(&output.unwrap().stdout)
        };
        let directly = line("");
        assert!(directly.contains("SigIgn") && directly.contains("PATH="), "{directly}");
        let through = line(&format!("'{PROGRAM}' run -q -o 'sim_cpu=X:1 job=off log_dir=off' --"));
        let without_pipes =
            |text: &str| text.lines().filter(|line| !line.contains("pipe:")).collect::<Vec<_>>().join("\n");
        assert_eq!(without_pipes(&directly), without_pipes(&through), "{prepare}");
    }
}

#[test]
fn energy_is_power_times_time() {
    let (report, output) = reported("energy", &["--name", "a nap"], "sleep 1");
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer}"));
    let seconds = number("/usage/duration_s");
    assert!(seconds >= 1.0, "{seconds}");
    assert!((number("/usage/energy_j") / (50.0 * seconds) - 1.0).abs() < 1e-3, "{report}");
    assert_eq!((number("/run/epochs_done"), report["run"]["name"].as_str()), (1.0, Some("a nap")));
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{}", text(&output.stderr));
}

/// The device has 50 W whatever the programs do. A program that uses a processor has a share of that.
#[test]
fn share_of_the_job_and_the_others_energy_are_the_devices() {
    let busy = "end=$(($(date +%s%N) / 1000000 + 600)); while [ $(($(date +%s%N) / 1000000)) -lt $end ]; do :; done";
    let (report, _) = reported("share", &["-o", "scope=job idle_w=10"], busy);
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let (job, others) = (number("/share/job_j"), number("/share/others_j"));
    let device = 50.0 * number("/usage/duration_s");
    assert!((job + others - device).abs() < 1e-3 * device, "{job} + {others} of {device} J");
    assert!((job - number("/usage/energy_j")).abs() < 1e-9, "the run's energy is the job's");
    assert!(job > 0.0 && others >= -1e-9, "{report:#}");
    assert_eq!(report["share"]["rows"][0]["rule"], "processor_time");
    assert_eq!((&report["share"]["idle_w"], &report["share"]["idle_w_from"]), (&10.0.into(), &"option".into()));
    let (whole, _) = reported("whole", &[], "sleep 0.1");
    assert_eq!(whole["share"], Value::Null);
}

#[test]
fn report_is_brief_and_on_standard_error() {
    let found = output(&[], &["sh", "-c", "echo out; echo err >&2"]);
    assert_eq!(text(&found.stdout), "out\n");
    let lines = text(&found.stderr);
    assert!(lines.starts_with("err\nsh: ") && lines.contains("50.0 W") && lines.contains("(DK,"), "{lines}");
    assert!(lines.lines().count() <= 5, "{lines}");
    let on_output = output(&["--report", "csv", "--to", "-", "-q"], &["true"]);
    assert!(text(&on_output.stdout).starts_with("index,count,duration_s") && on_output.stderr.is_empty());
}

/// A device, a pipe, and a file that held more before.
#[test]
fn report_goes_to_the_named_file() {
    assert!(output(&["--to", "/dev/null"], &["true"]).stderr.is_empty());
    let piped = output(&["--to", "/dev/stdout"], &["true"]);
    assert!(text(&piped.stdout).starts_with("true: ") && piped.stderr.is_empty(), "{piped:?}");
    let file = path("to");
    std::fs::write(&file, "x".repeat(10_000)).unwrap();
    output(&["--to", file.to_str().unwrap()], &["true"]);
    assert!(std::fs::read_to_string(&file).unwrap().len() < 1000);
    std::fs::remove_file(file).unwrap();
}

fn epochs(name: &str, options: &[&str], script: &str) -> u64 {
    reported(name, &[&["--mark", "epoch"], options].concat(), script).0["run"]["epochs_done"].as_u64().unwrap()
}

#[test]
fn marks_divide_the_run_and_lose_nothing() {
    let parts = "for i in 1 2 3; do sleep 0.2; echo epoch $i; done; sleep 0.2";
    let (report, output) = reported("parts", &["--mark", "epoch"], parts);
    assert_eq!((report["run"]["epochs_done"].as_u64(), text(&output.stdout).lines().count()), (Some(3), 3));
    let each = report["epochs"].as_array().unwrap().iter().map(|epoch| epoch["duration_s"].as_f64().unwrap());
    let between = report["usage"]["between"]["duration_s"].as_f64().unwrap();
    assert!(each.clone().all(|seconds| seconds > 0.0) && each.sum::<f64>() + between >= 0.8, "{report}");
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap_or(0.0);
    assert!(between >= 0.2 && number("/usage/between/energy_j") >= 10.0, "the start-up counts: {report}");
    assert!(number("/usage/energy_j") >= 40.0, "{report}");
    let (planned, output) = reported("planned", &["--mark", "epoch", "--epochs", "3"], parts);
    assert_eq!(planned["run"]["epochs_done"], 3, "the third goes on to the end");
    assert!(text(&output.stderr).contains("forecast after 2 of 3 epochs"), "{}", text(&output.stderr));
    assert_eq!(epochs("as-an-option", &["-o", "epochs=2"], parts), 2);
    assert!(!text(&output.stderr).contains("The mark may be printed"), "{}", text(&output.stderr));
}

#[test]
fn lines_that_a_pattern_matches_are_marks_and_every_nth_is_enough() {
    let script = "for i in $(seq 1 7); do echo step $i; echo no step; done";
    let done = |name: &str, options: &[&str]| reported(name, options, script).0["run"]["epochs_done"].as_u64().unwrap();
    assert_eq!(done("pattern", &["--mark-regex", "^step \\d+$"]), 7);
    assert_eq!(done("every", &["--mark-regex", "^step", "--mark-every", "3"]), 3);
    assert_eq!(done("text-every", &["--mark", "no step", "--mark-every", "7"]), 1);
    for wrong in [&["--mark-regex", "("][..], &["--mark", "a", "--mark-regex", "b"], &["--mark-every", "2"]] {
        let refused = output(wrong, &["true"]);
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(2), 0), "{refused:?}");
    }
}

/// Standard error is a pipe here, so the status is lines.
#[test]
fn status_comes_at_the_chosen_interval_or_not_at_all() {
    let shown =
        |options: &[&str]| text(&output(&[&["-o", "sim_cpu=x:100"], options].concat(), &["sleep", "2.2"]).stderr);
    let lines = |shown: &str| shown.lines().filter(|line| line.contains(" s · ")).count();
    let often = shown(&["--status", "500ms"]);
    assert!((1..=5).contains(&lines(&often)), "{often}");
    assert!(often.contains("carbontracker: ") && often.contains(" · 100 W · "), "{often}");
    assert_eq!((lines(&shown(&[])), lines(&shown(&["--status", "off"]))), (0, 0));
    assert_eq!(output(&["--status", "1ms"], &["true"]).status.code(), Some(2));
}

/// The program's second line takes a second, and a status is due in it.
#[test]
fn status_is_never_within_a_line_of_the_program() {
    let script = "echo epoch; printf 'loss '; sleep 1.2; echo 0.5; sleep 3; printf end";
    let options = ["--mark", "epoch", "--status", "100ms", "-o", "sim_cpu=x:100"];
    let line = format!("exec '{PROGRAM}' run \"$@\" 2>&1");
    let words = [&options[..], &["--", "sh", "-c", script]].concat();
    let output = Command::new("sh").args(["-c", &line, "sh"]).args(words).output().expect("it starts");
    let shown = text(&output.stdout);
    let after: Vec<&str> = shown.lines().skip_while(|line| *line != "loss 0.5").skip(1).collect();
    let is_status = |line: &&str| line.starts_with("carbontracker: ") && line.contains(" · ");
    assert!(after.iter().take_while(|line| **line != "end").any(is_status), "the status comes after the line: {shown}");
    assert!(shown.lines().any(|line| line == "end"), "the report has lines of its own: {shown}");
}

#[test]
fn misplaced_marks_are_reported() {
    let at_end = "echo epoch; sleep 3; echo epoch";
    let (_, output) = reported("at-end", &["--mark", "epoch"], at_end);
    let shown = text(&output.stderr);
    assert!(shown.contains("The mark may be printed when an epoch ends"), "{shown}");
    let too_many = "for i in 1 2 3 4 5; do echo epoch $i; done";
    let (_, output) = reported("too-many", &["--mark", "epoch", "--epochs", "2"], too_many);
    let shown = text(&output.stderr);
    assert!(shown.contains("2 more marks than planned epochs"), "{shown}");
}

/// A resumed run has the planned number of epochs, including those done before.
#[test]
fn marks_of_a_resumed_run_continue() {
    let logs = path("logs");
    std::fs::create_dir(&logs).unwrap();
    let options = format!("resume='{}'", logs.display());
    let options = ["-o", &options, "--log-dir", logs.to_str().unwrap(), "--mark", "epoch", "--epochs", "5"];
    let script =
        |from: u32, to: u32, end: &str| format!("for i in $(seq {from} {to}); do sleep 0.2; echo epoch; done; {end}");
    let until_written =
        format!("until [ \"$(grep -h '\"index\":' {}/*.jsonl | wc -l)\" -ge 2 ]; do sleep 0.05; done", logs.display());
    let killed = output(&options, &["sh", "-c", &script(1, 3, &format!("{until_written}; kill -9 $PPID"))]);
    assert!(killed.status.code().is_none(), "{killed:?}");
    let (report, _) = reported("taken-up", &options, &script(3, 5, "sleep 0.2"));
    std::fs::remove_dir_all(logs).unwrap();
    assert_eq!(
        (report["run"]["resumed"]["times"].as_u64(), report["run"]["epochs_done"].as_u64()),
        (Some(1), Some(5)),
        "{report}"
    );
}

#[test]
fn lines_are_found_in_any_pieces() {
    assert_eq!(epochs("none", &[], "echo no mark"), 1);
    assert_eq!(epochs("split", &[], "printf 'ep'; sleep 0.1; printf 'och 1\\nepo'; sleep 0.1; printf 'ch 2'"), 2);
    assert_eq!(epochs("errors", &[], "echo epoch; echo epoch >&2"), 2);
    assert_eq!(epochs("once", &[], "echo epoch epoch epoch; echo epoch"), 2);
    assert_eq!(epochs("many", &[], "yes epoch | head -n 100000"), 100_000);
    assert_eq!(
        epochs("huge", &[], "echo epoch; head -c 20000000 /dev/zero; echo epoch; head -c 20000000 /dev/zero"),
        2
    );
}

/// A reader that stops, or a program that closes its outputs, has the same effect as without `run`.
#[test]
fn closed_outputs_are_harmless() {
    for options in ["-q", "-q --mark epoch"] {
        let line =
            format!("{{ '{PROGRAM}' run -o 'sim_cpu=X:1 log_dir=off' {options} -- yes; echo $? >&2; }} | head -n 1");
        let piped = Command::new("sh").args(["-c", &line]).output().unwrap();
        let ended = text(&piped.stderr);
        assert!(ended.trim().ends_with("141"), "SIGPIPE ends it: {ended}");
        let closed = output(&options.split(' ').collect::<Vec<_>>(), &["sh", "-c", "exec >&- 2>&-; sleep 0.2; exit 9"]);
        assert_eq!(closed.status.code(), Some(9), "{options}");
    }
}

/// A shell command that waits until a file has content, 60 s at most.
fn until_written(file: &Path) -> String {
    format!("for i in $(seq 1200); do [ -s '{}' ] && break; sleep 0.05; done", file.display())
}

/// The run ends with the program, even if its children go on. With --mark their output still passes.
#[test]
fn remaining_processes_are_not_awaited() {
    let (goes_on, is_over) = (path("goes-on"), path("is-over"));
    let child = format!("{{ {}; echo over > '{}'; }} & exit 3", until_written(&goes_on), is_over.display());
    let mut command = run(&["-q"], &["sh", "-c", &child]);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.code() == Some(3) && !is_over.exists(), "{status}");
    std::fs::write(&goes_on, "now").unwrap();
    wait_until("the child ends", || is_over.exists());
    [goes_on, is_over].into_iter().for_each(|file| std::fs::remove_file(file).unwrap());
    let late = format!("{{ {}; echo epoch late; }} & echo now", until_written(&path("behind")));
    let (report, output) = reported("behind", &["--mark", "epoch"], &late);
    assert_eq!(text(&output.stdout), "now\nepoch late\n");
    assert_eq!(report["run"]["epochs_done"], 1, "{report}");
}

#[test]
fn disabled_library_only_runs_the_program() {
    let disabled = run(&[], &["sh", "-c", "exit 4"]).env("CARBONTRACKER_DISABLE", "1").output().unwrap();
    assert!(disabled.status.code() == Some(4) && disabled.stderr.is_empty());
}

/// In a named job one process counts each device: one of the `run` commands, and one of the programs inside.
#[test]
fn program_may_measure_itself_inside() {
    let job = format!("test-{}", std::process::id());
    let this = std::env::current_exe().unwrap();
    let inner = [this.to_str().unwrap(), "--exact", "run::a_program", "--nocapture", "--include-ignored"];
    let names = ["within-a", "within-b"];
    let here = names.map(|name| path(&format!("{name}-here")));
    let spawn = |role: usize| {
        let mut command = Command::new(PROGRAM);
        let to = path(names[role]);
        command.args(["run", "--log-dir", "off", "--report", "json", "--to", to.to_str().unwrap(), "--"]).args(inner);
        command.envs([("SLURM_JOB_ID", job.as_str()), ("CARBONTRACKER_SIM_CPU", "X:50")]);
        command.env("CT_HERE", &here[role]).env("CT_THERE", &here[1 - role]);
        command.stdout(Stdio::piped()).spawn().unwrap()
    };
    let begin = now();
    let children = [0, 1].map(spawn);
    let outputs = children.map(|child| text(&child.wait_with_output().unwrap().stdout));
    let outer = names.map(|name| {
        let report: Value = serde_json::from_str(&std::fs::read_to_string(path(name)).unwrap()).unwrap();
        std::fs::remove_file(path(name)).unwrap();
        report["usage"]["energy_j"].as_f64().unwrap_or(0.0)
    });
    let most = (now() - begin) as f64 * 1e-9 * 50.0;
    here.into_iter().for_each(|file| std::fs::remove_file(file).unwrap());
    let inner = outputs.map(|output| {
        let line = output.lines().find_map(|line| line.split_once("measured ").map(|(_, rest)| rest.to_owned()));
        line.unwrap().split(' ').map(|word| word.parse().unwrap()).collect::<Vec<f64>>()
    });
    let [a, b] = &inner;
    let within = a[4] + b[4];
    // Both epochs overlap, so their union is one span.
    let least = 50.0 * (a[2].max(b[2]) - a[1].min(b[1]));
    let most_within = 50.0 * (a[3].max(b[3]) - a[0].min(b[0]));
    assert!(within > least * 0.99 && within < most_within * 1.01, "{within} J of {least} J: {inner:?}");
    let around: f64 = outer.iter().sum();
    assert!(around > least * 0.99 && around < most * 1.01, "{around} J of {least} to {most} J: {outer:?}");
}

/// node_exporter runs as another user, and many clusters have this umask.
#[test]
fn metrics_are_readable_under_any_umask() {
    use std::os::unix::fs::PermissionsExt;
    let file = path("metrics-umask").with_extension("prom");
    let _ = std::fs::remove_file(&file);
    let line = format!(
        "umask 077; exec \"$0\" run -q -o 'sim_cpu=A:1 nvml=/none log_dir=off prometheus={}' -- true",
        file.display()
    );
    let status = Command::new("sh").args(["-c", &line, PROGRAM]).status().expect("it starts");
    let mode = std::fs::metadata(&file).expect("metrics").permissions().mode() & 0o777;
    assert!(status.success() && mode == 0o644, "{mode:o}");
    std::fs::remove_file(file).expect("removed");
}

/// Otherwise `aggregate` would add the inner run to the outer one, and `resume` would confuse them.
#[test]
fn files_belong_to_the_outer_run() {
    let logs = path("files");
    let nested = ["run", "-o", "sim_cpu=X:50 job=off", "-q", "--", "true"];
    let state = path("files-state");
    let mut command = Command::new(PROGRAM);
    command.args(["run", "-o", "sim_cpu=X:50 job=off", "-q", "--", PROGRAM]).args(nested).env("XDG_STATE_HOME", &state);
    for key in ["LOG_DIR", "RESUME", "PROMETHEUS"] {
        command.env(format!("CARBONTRACKER_{key}"), &logs);
    }
    std::fs::create_dir(&logs).unwrap();
    assert!(command.status().unwrap().success());
    let names = std::fs::read_dir(&logs).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let (journals, metrics): (Vec<String>, Vec<String>) = names
        .filter(|name| name.ends_with(".jsonl") || name.ends_with(".prom"))
        .partition(|name| name.ends_with(".jsonl"));
    std::fs::remove_dir_all(logs).unwrap();
    assert!(journals.len() == 1 && metrics.len() == 1, "{journals:?} {metrics:?}");
    let kept = std::fs::read_dir(state.join("carbontracker/runs")).unwrap().count();
    std::fs::remove_dir_all(state).unwrap();
    assert_eq!(kept, 2, "journal and report of the inner run, where every run keeps them");
}

/// The program within. Its epoch lasts until the other program has begun its own, and a second more.
#[test]
#[ignore = "the program within"]
fn a_program() {
    let [Some(here), Some(there)] = ["CT_HERE", "CT_THERE"].map(std::env::var_os) else { return };
    let tracker = Tracker::create("").unwrap().unwrap();
    let begin = call(|| tracker.begin());
    std::fs::write(here, "begun").unwrap();
    wait_until("the other program begins", || Path::new(&there).exists());
    std::thread::sleep(Duration::from_secs(1));
    let end = call(|| tracker.end());
    wait_until_settled(&tracker, 1);
    let joules = tracker.value("/usage/energy_j").unwrap_or(0.0);
    let [a, b, c, d] = [begin.before, begin.after, end.before, end.after].map(|ns| ns as f64 * 1e-9);
    println!("measured {a} {b} {c} {d} {joules}");
    tracker.destroy();
}
