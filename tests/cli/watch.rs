//! `carbontracker watch`: through a pipe, in terminals of 40 and 120 columns, and on a file that does not exist yet,
//! grows or is replaced.

use carbontracker::tracker::Tracker;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_carbontracker");

/// A folder for one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("watch-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("a folder");
        Folder(dir)
    }

    fn path(&self, file: &str) -> String {
        self.0.join(file).display().to_string()
    }

    /// Replaces a file atomically, as the library does.
    fn put(&self, file: &str, content: &str) {
        fs::write(self.0.join("new"), content).expect("written");
        fs::rename(self.0.join("new"), self.0.join(file)).expect("renamed");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn report(done: u64, state: &str) -> Value {
    let energy_j = 1e5 * done as f64;
    json!({
        "schema": 1,
        "run": {"id": "ab", "name": "digits", "host": "node1", "started": "2026-03-02T13:00:00Z", "state": state,
            "epochs_planned": 4, "epochs_done": done, "progress": if state == "in_epoch" { json!(0.5) } else { Value::Null }},
        "usage": {"duration_s": 100.0 * done as f64, "energy_j": energy_j, "co2eq_g": 3.0, "epochs": {"duration_s": 100.0 * done as f64}},
        "forecast": {"level": 0.9, "duration_s": {"value": 400.0, "low": 390.0, "high": 420.0},
            "energy_j": {"value": 4e5, "low": 3.9e5, "high": 4.2e5}, "co2eq_g": null},
        "epochs": [{"duration_s": 100.0, "cpu_j": 5000.0, "gpu_j": 20000.0}],
    })
}

fn once(path: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["watch", "--once", path]).args(arguments).output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A watch whose output is a pipe.
struct Watching {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watching {
    fn start(path: &str, arguments: &[&str]) -> Watching {
        let mut command = Command::new("timeout");
        let command =
            command.args(["60", PROGRAM, "watch", path]).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Watching { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("a line").expect("text")
    }

    fn json(&mut self) -> Value {
        serde_json::from_str(&self.line()).expect("JSON")
    }

    /// The exit status, after it ended without further output.
    fn end(mut self) -> Option<i32> {
        assert!(self.lines.next().is_none());
        self.child.wait().expect("waited for").code()
    }
}

#[test]
fn file_is_awaited_followed_and_left_when_done() {
    let folder = Folder::new("follow");
    let mut watching = Watching::start(&folder.path("a.json"), &[]);
    assert!(watching.line().ends_with("a.json: no journal or report there yet"));
    folder.put("a.json", &report(0, "waiting").to_string());
    assert!(watching.line().starts_with("digits on node1: waiting for its first epoch (0 %)"));
    folder.put("a.json", &report(1, "in_epoch").to_string());
    let line = watching.line();
    for part in [
        "digits on node1: in epoch 2 of 4 (37 %); left 5 min, ends ",
        "; power 250 W, cpu 50.0 W, gpu 200 W; used 27.8 Wh, 3.00 g CO2e, in 1 min 40 s; forecast 111 Wh (108 to 117), ",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    fs::write(folder.0.join("a.json"), "{\"schema\":1,\"ru").expect("torn");
    std::thread::sleep(Duration::from_millis(700));
    folder.put("a.json", &report(4, "done").to_string());
    assert!(watching.line().starts_with("digits on node1: done, 4 of 4 epochs (100 %)"));
    assert_eq!(watching.end(), Some(0));
}

#[test]
fn changes_are_lines_of_json() {
    let folder = Folder::new("json");
    folder.put("a.json", &report(1, "in_epoch").to_string());
    let mut watching = Watching::start(&folder.path("a.json"), &["--json"]);
    let first = watching.json();
    assert_eq!(first["share"], 0.375);
    assert_eq!((&first["power_w"], &first["left_s"]), (&json!({"cpu": 50.0, "gpu": 200.0}), &json!(300.0)));
    assert!(first["co2eq_g"] == 3.0 && first["forecast"]["co2eq_g"].is_null() && first["silent"] == false);
    let mut other = report(4, "done");
    other["run"]["id"] = json!("another");
    folder.put("a.json", &other.to_string());
    let last = watching.json();
    assert_eq!((&last["id"], &last["state"], &last["epochs_done"]), (&json!("another"), &json!("done"), &json!(4)));
    assert_eq!(watching.end(), Some(0));
}

/// Follows a run of the library.
#[test]
fn real_run_is_followed() {
    let folder = Folder::new("real");
    let tracker =
        Tracker::create("name=real epochs=3 sim_cpu=A:50 sim_gpu=B:200 interval=0.05").expect("made").expect("enabled");
    let mut watching = Watching::start(&folder.path("run.json"), &["--json"]);
    assert_eq!(watching.json()["state"], "waiting");
    for epoch in 1..=3 {
        tracker.begin().expect("begun");
        std::thread::sleep(Duration::from_millis(100));
        tracker.end().expect("ended");
        folder.put("run.json", &tracker.report("json").expect("a report"));
        let seen = watching.json();
        assert_eq!(seen["epochs_done"], epoch);
        let [cpu, gpu] = ["cpu", "gpu"].map(|kind| seen["power_w"][kind].as_f64().expect(kind));
        assert!((cpu / 50.0 - 1.0).abs() < 0.01 && (gpu / 200.0 - 1.0).abs() < 0.01, "{seen}");
        assert_eq!(seen["state"], if epoch == 3 { "done" } else { "between" });
    }
    assert_eq!(watching.end(), Some(0));
}

#[test]
fn once_shows_the_current_state() {
    let folder = Folder::new("once");
    folder.put("old.json", &report(4, "done").to_string());
    let path = folder.path("old.json");
    for path in [path, folder.path(".")] {
        let output = once(&path, &[]);
        let shown = text(&output.stdout);
        assert!(output.status.success() && !shown.contains('\x1b'), "{shown:?}");
        assert!(shown.starts_with("digits on node1: done, 4 of 4 epochs\n██"), "{shown}");
    }
    let folder = Folder::new("none");
    folder.put("other.json", "[1]");
    for (file, reason) in
        [("absent.json", "no journal or report there yet"), ("other.json", "not a run's journal or report")]
    {
        let output = once(&folder.path(file), &[]);
        assert!(output.status.code() == Some(1) && text(&output.stderr).contains(reason), "{}", text(&output.stderr));
    }
    let missing = folder.path("nosuch");
    let output = once(&missing, &[]);
    assert!(output.status.code() == Some(1) && text(&output.stderr).contains(&missing), "{}", text(&output.stderr));
}

/// A watch in a terminal with a given number of columns.
struct Terminal {
    child: Child,
    sent: String,
}

impl Terminal {
    fn start(folder: &Folder, columns: usize, variables: &[(&str, &str)]) -> Terminal {
        folder.put("a.json", &report(1, "in_epoch").to_string());
        let command = format!("stty cols {columns} rows 24; exec {PROGRAM} watch {}", folder.path("a.json"));
        let mut script = Command::new("timeout");
        script.args(["60", "script", "-qec", &command, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        script.env_remove("NO_COLOR").env("TERM", "xterm").envs(variables.iter().copied());
        Terminal { child: script.spawn().expect("script, of bsdutils"), sent: String::new() }
    }

    /// Reads until this text was sent.
    fn await_text(&mut self, text: &str) {
        let mut bytes = [0; 4096];
        while !self.sent.contains(text) {
            let count = self.child.stdout.as_mut().expect("a pipe").read(&mut bytes).expect("read");
            assert!(count > 0, "ended without {text}: {:?}", self.sent);
            self.sent += &String::from_utf8_lossy(&bytes[..count]);
        }
    }

    /// All output, and the exit status.
    fn end(mut self) -> (String, Option<i32>) {
        let mut rest = Vec::new();
        self.child.stdout.as_mut().expect("a pipe").read_to_end(&mut rest).expect("read");
        (self.sent + &text(&rest), self.child.wait().expect("waited for").code())
    }
}

/// The output for a terminal with a given number of columns, until the run is done.
fn in_terminal(folder: &Folder, columns: usize, variables: &[(&str, &str)]) -> String {
    let mut terminal = Terminal::start(folder, columns, variables);
    terminal.await_text("in epoch 2 of 4");
    folder.put("a.json", &report(2, "in_epoch").to_string());
    terminal.await_text("in epoch 3 of 4");
    folder.put("a.json", &report(4, "done").to_string());
    let (sent, status) = terminal.end();
    assert!(status == Some(0) && sent.contains("done, 4 of 4"), "{sent}");
    sent
}

/// True if no terminal is available, which is printed.
fn lacks_terminal() -> bool {
    let is_there = Command::new("script").arg("--version").stdout(Stdio::null()).status().is_ok();
    assert!(is_there || std::env::var("CI").as_deref() != Ok("true"), "script is not installed: run tests/tools.sh");
    if !is_there {
        crate::retry::say("skipped: script is not installed");
    }
    !is_there
}

/// A line without colours and cursor movements.
fn plain(line: &str) -> String {
    let mut parts = line.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part.split_once(|end: char| end.is_ascii_alphabetic()).map_or("", |(_, rest)| rest)
    })
}

#[test]
fn view_fits_the_terminal() {
    if lacks_terminal() {
        return;
    }
    let folder = Folder::new("terminal");
    for columns in [40, 120] {
        let sent = in_terminal(&folder, columns, &[]);
        let widest = sent.lines().map(|line| plain(line).trim_end().chars().count()).max();
        assert!(widest.is_some_and(|widest| widest < columns), "{widest:?}: {sent}");
        assert!(sent.contains("\x1b[1m") && sent.contains("\x1b[32m█"), "coloured: {sent:?}");
        assert!(sent.contains("A\x1b[0J") || sent.contains("A\r\x1b[0J"), "drawn over: {sent:?}");
        assert!(!sent.contains("\x1b[?25l") && sent.ends_with('\n'), "the cursor is as it was: {sent:?}");
    }
    let sent = in_terminal(&folder, 80, &[("NO_COLOR", "1")]);
    assert!(!sent.contains("\x1b[32m") && !sent.contains("\x1b[1m") && sent.contains("██"), "{sent:?}");
    let sent = in_terminal(&folder, 80, &[("TERM", "dumb")]);
    assert!(!sent.contains('\x1b') && sent.lines().count() == 3, "{sent:?}");
}

#[test]
fn interrupt_leaves_a_usable_terminal() {
    if lacks_terminal() {
        return;
    }
    let folder = Folder::new("interrupt");
    let mut terminal = Terminal::start(&folder, 80, &[]);
    terminal.await_text("90 % intervals");
    terminal.child.stdin.as_mut().expect("a pipe").write_all(b"\x03").expect("Ctrl-C");
    let (sent, status) = terminal.end();
    assert_eq!(status, Some(130), "{sent:?}");
    assert!(!sent.contains("\x1b[?") && sent.trim_end_matches("^C").ends_with('\n'), "{sent:?}");
}

/// In a folder with an old run, the run in progress is found and followed until its report.
#[test]
fn run_in_progress_of_a_folder_is_followed() {
    let folder = Folder::new("journal");
    let options = format!("name=live log_dir={} epochs=4 interval=0.02 sim_cpu=A:50", folder.0.display());
    let make = || Tracker::create(&options).expect("made").expect("enabled");
    let epoch = |tracker: &Tracker| {
        tracker.begin().expect("begun");
        std::thread::sleep(Duration::from_millis(50));
        tracker.end().expect("ended");
    };
    let old = make();
    epoch(&old);
    drop(old);
    while !fs::read_dir(&folder.0)
        .expect("a folder")
        .flatten()
        .any(|file| file.path().extension().is_some_and(|ending| ending == "json"))
    {
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut watching = Watching::start(&folder.path(""), &["--json"]);
    assert_eq!(watching.json()["reason"], "no run is in progress there");
    let tracker = make();
    let mut done = 0;
    while done < 2 {
        let seen = watching.json();
        assert!(seen["state"] == "running" && seen["silent"] == false, "{seen}");
        if seen["epochs_done"] == done {
            epoch(&tracker);
            done += 1;
        }
    }
    drop(tracker);
    let last = std::iter::repeat_with(|| watching.json()).find(|seen| seen["state"] == "done").expect("an end");
    assert_eq!((&last["epochs_done"], &last["share"]), (&json!(2), &json!(0.5)));
    assert_eq!(watching.end(), Some(0));
}

/// The newest files of the folder are a link with an I/O error, a damaged report and unrelated data.
#[test]
fn unreadable_file_does_not_hide_other_runs() {
    let folder = Folder::new("beside");
    let dir = folder.0.display().to_string();
    folder.put("old.json", &report(2, "between").to_string());
    folder.put("good.json", &report(3, "in_epoch").to_string());
    let in_order = [("old.json", 300), ("good.json", 200), ("torn.json", 100), ("data.json", 50)];
    folder.put("torn.json", "{\"schema\": 1,");
    folder.put("data.json", "{\"lr\": 0.1}");
    for (file, ago) in in_order {
        let file = fs::File::options().append(true).open(folder.0.join(file)).expect("opened");
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(ago)).expect("dated");
    }
    std::os::unix::fs::symlink("/proc/self/mem", folder.0.join("mem.jsonl")).expect("a link");
    let output = once(&dir, &[]);
    let printed = text(&output.stdout);
    assert!(output.status.success() && printed.contains("in epoch 4 of 4"), "{printed}{}", text(&output.stderr));
    ["good.json", "old.json"].iter().for_each(|file| fs::remove_file(folder.0.join(file)).expect("removed"));
    let output = once(&dir, &[]);
    let complaint = text(&output.stderr);
    assert!(output.status.code() == Some(1) && complaint.contains("mem.jsonl"), "{complaint}");
}
