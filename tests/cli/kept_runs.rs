//! What `carbontracker run` keeps in the user's state folder, and the subcommands that look there without an argument.

use crate::run_files::Folder;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_carbontracker");
/// A device of 50 W, independent of other tests.
const OPTIONS: &str = "sim_cpu=X:50 components=cpu job=off location=DK";

/// A home for one test.
struct Home(Folder);

impl Home {
    #[track_caller]
    fn new(name: &str) -> Home {
        Home(Folder::new(name))
    }

    fn runs(&self) -> PathBuf {
        self.0.0.join(".local/state/carbontracker/runs")
    }

    /// The names of the files that were kept.
    fn kept(&self) -> Vec<String> {
        let entries = fs::read_dir(self.runs()).into_iter().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The command with this home, and without options of this environment.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARBONTRACKER_")) {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(&self.0.0).env_remove("XDG_STATE_HOME").env("HOME", &self.0.0);
        command.stdin(Stdio::null());
        command
    }

    fn call(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("it starts")
    }

    /// Measures a shell script with these arguments of `run`.
    fn run(&self, more: &[&str], script: &str) -> Output {
        self.call(&[&["run", "-o", OPTIONS], more, &["--", "sh", "-c", script]].concat())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

#[test]
fn run_is_kept_and_shown_again() {
    let home = Home::new("kept");
    let before = home.call(&["last"]);
    let why = text(&before.stderr);
    assert!(before.status.code() == Some(1) && why.contains("there is no such folder; nothing is shown"), "{why}");
    let output = home.run(&[], "exit 3");
    assert_eq!(output.status.code(), Some(3));
    let kept = home.kept();
    let is_of_run =
        |name: &String| name.starts_with("sh_") && [".json", ".jsonl"].iter().any(|end| name.ends_with(end));
    assert!(kept.len() == 2 && kept.iter().all(is_of_run), "a journal and a report: {kept:?}");
    assert_eq!(fs::metadata(home.runs()).unwrap().mode() & 0o777, 0o700);
    let last = printed(&home.call(&["last"]));
    assert!(text(&output.stderr).starts_with(&last), "{last} is not {}", text(&output.stderr));
    let report: Value = serde_json::from_str(&printed(&home.call(&["last", "--json"]))).unwrap();
    assert_eq!(report["run"]["name"], "sh");
    assert!(printed(&home.call(&["watch"])).starts_with("sh"), "it shows the last run and ends");
    assert!(printed(&home.call(&["report"])).contains("<html"));
    let estimate = home.call(&["estimate", "--like", "sh", "--json"]);
    let estimate: Value = serde_json::from_str(&printed(&estimate)).unwrap();
    assert_eq!(estimate["history"]["runs"], 1);
}

#[test]
fn the_newest_run_is_the_one_that_began_last() {
    let home = Home::new("newest");
    assert!(home.run(&["--name", "first"], "true").status.success());
    // Names have whole seconds, so the files of this one are a day older.
    for name in home.kept() {
        let at = name.find("T").unwrap();
        let day = &name[at - 10..at];
        fs::rename(home.runs().join(&name), home.runs().join(name.replace(day, "2026-01-01"))).unwrap();
    }
    assert!(home.run(&["--name", "second"], "true").status.success());
    assert!(printed(&home.call(&["last"])).starts_with("second: "));
    let logs = Folder::new("logs");
    assert!(home.run(&["--name", "third", "--log-dir", &logs.shown()], "true").status.success());
    assert!(printed(&home.call(&["last"])).starts_with("second: "));
    let of_logs = home.command(&["last"]).env("CARBONTRACKER_LOG_DIR", &logs.0).output().unwrap();
    assert!(printed(&of_logs).starts_with("third: "));
}

/// File names have whole seconds. The order of the names is not that of the runs.
#[test]
fn of_two_runs_in_one_second_the_later_one_is_newest() {
    let home = Home::new("second");
    for name in ["zeta", "alpha", "mu"] {
        let known = home.kept();
        assert!(home.run(&["--name", name], "true").status.success());
        for file in home.kept().into_iter().filter(|file| !known.contains(file)) {
            let at = file.find("Z_").unwrap();
            let renamed = file.replace(&file[at - 17..at], "2026-01-01T000000");
            fs::rename(home.runs().join(&file), home.runs().join(renamed)).unwrap();
        }
        assert!(printed(&home.call(&["last"])).starts_with(&format!("{name}: ")), "{:?}", home.kept());
    }
}

/// A program that ends after three of nine epochs. What an early stop saves, a failure does not.
#[test]
fn only_a_program_that_succeeds_saves_by_its_early_end() {
    let home = Home::new("early");
    for (status, has_saved) in [(0, true), (3, false)] {
        let script = format!("for i in 1 2 3; do echo epoch; sleep 0.1; done; exit {status}");
        let output = home.run(&["--name", &status.to_string(), "--mark", "epoch", "--epochs", "9"], &script);
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        let last = printed(&home.call(&["last", "--json"]));
        let last: Value = serde_json::from_str(&last).unwrap();
        assert_eq!((&last["run"]["name"], &last["run"]["epochs_done"]), (&json!(status.to_string()), &json!(3)));
        assert_eq!(last["forecast"]["saved"].is_object(), has_saved, "{last:#}");
        for words in [text(&output.stderr), last["notes"].to_string()] {
            assert_eq!(words.contains("saved"), has_saved, "{words}");
        }
        let page = printed(&home.call(&["report"]));
        assert_eq!(page.contains("Saved by the early end"), has_saved);
        assert!(!page.contains("Still to come"), "the run has ended");
    }
}

/// On a busy machine the epochs of the run may differ too much for an estimate, which names the run, too.
#[test]
fn a_kept_run_is_the_basis_of_an_estimate() {
    let home = Home::new("history");
    let estimate = ["estimate", "--like", "sh", "--json"];
    assert!(!home.call(&estimate).status.success(), "there is no run yet");
    let script = "for i in 1 2 3 4; do echo epoch; sleep 0.05; done";
    assert!(home.run(&["-q", "--mark", "epoch", "--epochs", "4"], script).status.success());
    let estimate = home.call(&estimate);
    let is_refused = String::from_utf8_lossy(&estimate.stderr).contains("the one earlier run of 'sh' is too irregular");
    let found: Option<Value> = serde_json::from_slice(&estimate.stdout).ok();
    assert!(is_refused || found.is_some_and(|found| found["history"]["runs"] == 1), "{estimate:?}");
}

#[test]
fn nothing_is_kept_if_the_user_wants_no_files() {
    let home = Home::new("off");
    assert!(home.run(&["--log-dir", "off"], "true").status.success());
    assert!(home.run(&["-o", "log_dir=off"], "true").status.success());
    // A run inside inherits the value.
    let nested = format!("exec {PROGRAM} run -q -o '{OPTIONS}' -- true");
    let mut command = home.command(&["run", "-o", OPTIONS, "--", "sh", "-c", &nested]);
    assert!(command.env("CARBONTRACKER_LOG_DIR", "off").status().unwrap().success());
    let disabled = home.command(&["run", "--", "true"]).env("CARBONTRACKER_DISABLE", "1").status();
    assert!(disabled.unwrap().success() && !home.0.0.join(".local").exists());
    let logs = Folder::new("elsewhere");
    assert!(home.run(&["--log-dir", &logs.shown()], "true").status.success());
    assert!(!home.0.0.join(".local").exists() && logs.files(".prom").len() == 1, "all files of the run");
}

/// Each has one message, and the program runs and is measured.
#[test]
fn folder_that_cannot_be_used_has_one_message() {
    let home = Home::new("bad");
    fs::write(home.0.0.join("file"), "").unwrap();
    let run = ["run", "-o", OPTIONS, "--", "sh", "-c", "exit 7"];
    let of = |state: Option<&str>| {
        let mut command = home.command(&run);
        match state {
            Some(state) => command.env("XDG_STATE_HOME", state),
            None => command.env_remove("HOME"),
        };
        command.output().unwrap()
    };
    let file = home.0.0.join("file").display().to_string();
    // The library refuses to write more than its user allows. The same message comes for a full disk.
    let line = format!("trap '' XFSZ; ulimit -f 0; exec {PROGRAM} run -o '{OPTIONS}' -- sh -c 'exit 7'");
    let mut full = Command::new("sh");
    full.args(["-c", &line]).env("HOME", &home.0.0).env_remove("XDG_STATE_HOME");
    for (output, reason) in [
        (of(None), "XDG_STATE_HOME and HOME name no folder; the run keeps no journal; set HOME."),
        (of(Some(&file)), "Not a directory"),
        (of(Some("/proc/state")), "the run keeps no journal."),
        (full.output().unwrap(), "not written: "),
    ] {
        let printed = text(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "{printed}");
        let messages: Vec<&str> = printed.lines().filter(|line| line.starts_with("carbontracker: ")).collect();
        assert!(messages.len() == 1 && messages[0].contains(reason), "{reason}: {printed}");
        assert!(messages[0].ends_with("log_dir=FOLDER chooses another folder, log_dir=off none"), "{printed}");
        assert!(printed.contains("energy"), "{printed}");
    }
}

#[test]
fn newest_hundred_runs_are_kept_and_two_at_once_are_two() {
    let home = Home::new("hundred");
    fs::create_dir_all(home.runs()).unwrap();
    for n in 0..105 {
        let (id, at) = (format!("{n:08x}00000000"), format!("2026-01-02T{:02}:{:02}:00Z", n / 60, n % 60));
        let run = json!({"id": id, "name": "old", "started": at});
        let path = home.runs().join(format!("old_node_7_{}_{}.jsonl", at.replace(':', ""), &id[..8]));
        fs::write(&path, format!("{}\n", json!({"journal": 1, "run": run}))).unwrap();
        let long_ago = fs::File::options().append(true).open(path).unwrap();
        long_ago.set_modified(std::time::UNIX_EPOCH).unwrap();
    }
    fs::write(home.runs().join("package.json"), "{}").unwrap();
    let run = ["run", "-q", "-o", OPTIONS, "--", "sleep", "0.3"];
    let both = [0, 1].map(|_| home.command(&run).spawn().unwrap());
    for mut one in both {
        assert!(one.wait().unwrap().success());
    }
    let kept = home.kept();
    let journals = |begin: &str| kept.iter().filter(|name| name.starts_with(begin) && name.ends_with(".jsonl")).count();
    assert_eq!(journals("sleep_"), 2, "{kept:?}");
    assert!((98..=99).contains(&journals("old_")) && kept.contains(&"package.json".to_owned()), "{kept:?}");
    assert!(!kept.iter().any(|name| name.contains("T000000Z")), "the oldest went: {kept:?}");
    assert_eq!(
        fs::metadata(home.runs()).unwrap().permissions().mode() & 0o77,
        0,
        "made by the test for all, closed by run"
    );
}

#[test]
fn watch_without_a_run_ends() {
    let home = Home::new("nothing");
    let output = home.call(&["watch"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let path = home.runs().display().to_string();
    assert!(text(&output.stderr).contains(&path), "{output:?}");
    let named = home.call(&["watch", "nosuch", "--once"]);
    assert!(named.status.code() == Some(1) && text(&named.stderr).contains("nosuch: "), "{named:?}");
}
