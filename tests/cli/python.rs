//! Command lines of Python's Carbontracker: each gets the line to use here, and that line works.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_carbontracker");
const LOGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/carbontracker");

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a line in a shell with this command first on PATH.
fn shell(folder: &Path, line: &str) -> Output {
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", Path::new(PROGRAM).parent().expect("a folder").display());
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(folder).env("PATH", path).env("CARBONTRACKER_NVML", "/none");
    command.env("XDG_STATE_HOME", folder.join("state"));
    command.output().expect("it starts")
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-python-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("bin")).expect("a folder");
    fs::write(folder.join("train.sh"), "echo trained \"$@\"\n").expect("written");
    fs::create_dir(folder.join("logs")).expect("a folder");
    for entry in fs::read_dir(LOGS).expect("logs") {
        let path = entry.expect("a file").path();
        fs::copy(&path, folder.join("logs").join(path.file_name().expect("a name"))).expect("copied");
    }
    folder
}

#[test]
fn python_lines_get_a_line_that_works_here() {
    let dir = folder("lines");
    for (theirs, begins, prints) in [
        ("sh train.sh --lr 1 'a b'", "carbontracker run -- sh train.sh", "trained --lr 1 a b\n"),
        ("--log_dir runs sh train.sh", "carbontracker run --log-dir runs -- sh", "trained\n"),
        (
            "--log_dir='my runs' sh train.sh --log_dir runs",
            "carbontracker run --log-dir runs -- sh train.sh\n",
            "trained\n",
        ),
        (
            "--sim-cpu 'Intel Xeon' --sim-cpu-tdp 150 --sim-gpu A100 --sim-gpu-watts 400 --sim-gpu-util 1 sh train.sh",
            "carbontracker run -o \"sim_cpu='Intel Xeon:150:0.5'\" -o \"sim_gpu='A100:400:1'\" -- sh",
            "trained\n",
        ),
        (
            "--api_keys '{ \"electricitymaps\": \"secret\" }' sh train.sh",
            "CARBONTRACKER_API_KEY=YOUR_KEY carbontracker run -o intensity=electricitymaps -- sh",
            "trained\n",
        ),
        ("--parse logs", "carbontracker import logs -o reports && carbontracker aggregate reports", "8 runs"),
        ("--report $(ls logs/done*_carbontracker.log) --output page.html", "carbontracker import logs/done", ""),
    ] {
        let refused = shell(&dir, &format!("carbontracker {theirs}"));
        let message = text(&refused.stderr);
        assert!(refused.status.code() == Some(2) && refused.stdout.is_empty(), "{theirs}: {message}");
        assert!(message.starts_with("carbontracker: these are arguments of Python's Carbontracker"), "{message}");
        assert!(!message.contains("secret"), "{message}");
        let line = message.lines().last().expect("a line").trim();
        assert!(format!("{line}\n").starts_with(begins), "{theirs}: {line}");
        let worked = shell(&dir, line);
        assert!(worked.status.success(), "{line}: {}", text(&worked.stderr));
        assert!(text(&worked.stdout).contains(prints), "{line}: {}", text(&worked.stdout));
    }
    assert!(text(&fs::read(dir.join("page.html")).expect("a page")).contains("<html"));
    // This library writes logs beside their report.
    let own = shell(&dir, "carbontracker --report $(ls runs/*_carbontracker.log | head -n 1) --output own.html");
    let message = text(&own.stderr);
    let line = message.lines().last().unwrap_or_default().trim();
    assert!(line.starts_with("carbontracker report runs/"), "{message}");
    assert!(shell(&dir, line).status.success() && dir.join("own.html").exists());
    fs::remove_dir_all(dir).expect("removed");
}

#[test]
fn other_mistakes_are_explained_by_clap() {
    let dir = folder("mistakes");
    for (line, hint) in [
        ("agregate runs", "'aggregate'"),
        ("frobnicate", "unrecognized subcommand"),
        ("--frob 3 sh train.sh", "unexpected argument '--frob'"),
        ("report x --frob", "unexpected argument '--frob'"),
        ("help frob", "unrecognized subcommand"),
        ("--log_dir runs", "unexpected argument"),
    ] {
        let refused = shell(&dir, &format!("carbontracker {line}"));
        let message = text(&refused.stderr);
        assert!(
            refused.status.code() == Some(2) && message.contains(hint) && !message.contains("Python"),
            "{line}: {message}"
        );
    }
    let run = shell(&dir, "carbontracker run --log_dir runs -- sh train.sh && ls runs/*.json");
    assert!(run.status.success(), "{}", text(&run.stderr));
    fs::remove_dir_all(dir).expect("removed");
}

#[test]
fn line_without_subcommand_is_completed() {
    let dir = folder("no-run");
    for (line, hint) in [
        ("-o location=DK -- sh train.sh 'a b'", "carbontracker run -o location=DK -- sh train.sh 'a b'\n"),
        ("--epochs 3 -- sh train.sh", "carbontracker run --epochs 3 -- sh train.sh\n"),
        ("./train", "carbontracker run -- ./train\n"),
    ] {
        let output = shell(&dir, &format!("carbontracker {line}"));
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()), "{line}");
        assert!(text(&output.stderr).contains(hint), "{}", text(&output.stderr));
    }
    fs::remove_dir_all(dir).expect("removed");
}
