//! Configuration files: what they set, what wins over them, and what is left out.

use crate::run_files::Folder;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_carbontracker");

/// A home with a user's file, and a folder in it with a file of its own.
struct Home(Folder);

impl Home {
    #[track_caller]
    fn new(name: &str, of_user: &str, of_folder: &str) -> Home {
        let home = Home(Folder::new(name));
        fs::create_dir_all(home.0.0.join(".config/carbontracker")).unwrap();
        fs::create_dir_all(home.work()).unwrap();
        for (path, text) in [(home.user_file(), of_user), (home.folder_file(), of_folder)] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        }
        home
    }

    fn work(&self) -> PathBuf {
        self.0.0.join("work")
    }

    fn user_file(&self) -> PathBuf {
        self.0.0.join(".config/carbontracker/carbontracker.conf")
    }

    fn folder_file(&self) -> PathBuf {
        self.work().join("carbontracker.conf")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARBONTRACKER_")) {
            command.env_remove(name);
        }
        command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME").env("HOME", &self.0.0);
        command.args(arguments).current_dir(self.work());
        command
    }

    /// The JSON report of a short run, and what standard error has.
    fn report(&self, options: &str, variables: &[(&str, &str)]) -> (Value, String) {
        let mut command = self.command(&["run", "-o", "components=cpu job=off"]);
        command.args(["-o", options, "--report", "json", "--to", "-", "--", "true"]).envs(variables.iter().copied());
        let output: Output = command.output().unwrap();
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (report, String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[test]
fn files_are_below_the_environment_and_the_option_string() {
    let home = Home::new("order", "sim_cpu=A:50\nlocation=DK\npue=1.2\n", "# here\npue = 1.3\nwhat_if=off\n");
    let (report, messages) = home.report("", &[]);
    assert_eq!((&report["pue"], &report["intensity"]["zone"]), (&1.3.into(), &"DK".into()), "{messages}");
    assert_eq!(report["components"][0]["device"], "A");
    assert!(report["what_if"].is_null());
    assert_eq!(home.report("", &[("CARBONTRACKER_PUE", "1.4")]).0["pue"], 1.4);
    assert_eq!(home.report("pue=1.5", &[("CARBONTRACKER_PUE", "1.4")]).0["pue"], 1.5);
    assert_eq!(home.report("", &[("CARBONTRACKER_LOCATION", "")]).0["intensity"]["zone"], "WORLD");
    let other = home.0.0.join("other");
    fs::create_dir_all(other.join("carbontracker")).unwrap();
    fs::write(other.join("carbontracker/carbontracker.conf"), "sim_cpu=B:60\n").unwrap();
    let (report, _) = home.report("", &[("XDG_CONFIG_HOME", other.to_str().unwrap())]);
    assert_eq!((&report["components"][0]["device"], &report["pue"]), (&"B".into(), &1.3.into()));
}

#[test]
fn bad_lines_are_reported_once_and_change_nothing_else() {
    let home = Home::new("lines", "sim_cpu=A:50\nlocaton=DK\n", "pue=half\nnvml=/tmp/evil.so\n");
    let (report, messages) = home.report("", &[]);
    let notes = report["notes"].to_string();
    for (file, line, why) in [
        (home.user_file(), 2, "did you mean location?"),
        (home.folder_file(), 1, "expected"),
        (home.folder_file(), 2, "nvml cannot be set by the file of a folder"),
    ] {
        let place = format!("{}:{line}: ", file.display());
        assert!(notes.contains(&place) && notes.contains(why), "{place}{why}: {notes}");
        assert!(messages.matches(&place).count() <= 1, "{messages}");
    }
    assert_eq!(report["pue"], 1.0);
    // The error of a later step names the line, too.
    fs::write(home.folder_file(), "\nlocation=Atlantis\n").unwrap();
    let output = home.command(&["run", "--", "true"]).output().unwrap();
    let place = format!("{}:2: location='Atlantis'", home.folder_file().display());
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&place), "{output:?}");
}

/// In the string it is an error. A variable may be one of a newer version, so it is a message.
#[test]
fn misspelt_option_and_variable_are_reported_once() {
    let home = Home::new("misspelt", "sim_cpu=A:50\n", "");
    let output = home.command(&["run", "-o", "locaton=DK", "--", "true"]).output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), why.matches("did you mean location?").count()), (Some(2), 1), "{why}");
    for arguments in [&["run", "--", "true"][..], &["doctor"]] {
        let output = home.command(arguments).env("CARBONTRACKER_LOCATON", "DK").output().unwrap();
        let all = [output.stdout, output.stderr].concat();
        let all = String::from_utf8_lossy(&all);
        assert_eq!(all.matches("did you mean CARBONTRACKER_LOCATION?").count(), 1, "{arguments:?}: {all}");
    }
    let estimate = home.command(&["estimate", "--like", "x"]).env("CARBONTRACKER_LOCATON", "DK").output().unwrap();
    let why = String::from_utf8_lossy(&estimate.stderr);
    assert_eq!(why.matches("did you mean CARBONTRACKER_LOCATION?").count(), 1, "{why}");
}

#[test]
fn file_of_another_user_is_left_out_and_named() {
    let home = Home::new("owner", "sim_cpu=A:50\n", "pue=1.3\n");
    if chown(home.folder_file(), Some(65534), None).is_err() {
        return crate::retry::say("skipped: only root may give files away");
    }
    let (report, _) = home.report("", &[]);
    assert_eq!(report["pue"], 1.0);
    let notes = report["notes"].to_string();
    assert!(notes.contains(home.folder_file().to_str().unwrap()) && notes.contains("belongs to"), "{notes}");
}

/// Otherwise a run inside the program would write a second journal there, and totals would count it twice.
#[test]
fn program_inside_does_not_write_into_the_folder_of_the_file() {
    let home = Home::new("inside", "sim_cpu=A:50\n", "log_dir=logs\n");
    let inside = format!("'{PROGRAM}' run -q -- true");
    assert!(home.command(&["run", "-q", "--", "sh", "-c", &inside]).status().unwrap().success());
    let journals = |folder: &str| {
        let entries = fs::read_dir(home.0.0.join(folder)).into_iter().flatten();
        entries.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "jsonl")).count()
    };
    assert_eq!((journals("work/logs"), journals(".local/state/carbontracker/runs")), (1, 1));
    let last = home.command(&["last"]).output().unwrap();
    assert!(String::from_utf8_lossy(&last.stdout).starts_with("sh: "), "{last:?}");
}

#[test]
fn doctor_names_the_files() {
    let home = Home::new("doctor", "sim_cpu=A:50\nlocation=DK\n", "");
    let output = home.command(&["doctor", "--json"]).output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = found["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "configuration").expect("a check");
    let files = check["finding"].as_str().unwrap();
    for file in [home.user_file(), home.folder_file()] {
        assert!(files.contains(file.to_str().unwrap()), "{files}");
    }
    assert_eq!(found["intensity"]["zone"], "DK");
    fs::remove_file(home.folder_file()).unwrap();
    fs::remove_file(home.user_file()).unwrap();
    let words = home.command(&["doctor", "-o", "sim_cpu=A:50"]).output().unwrap();
    let words = String::from_utf8_lossy(&words.stdout).replace("\n", " ");
    assert!(words.contains("/etc/carbontracker.conf"), "{words}");
}
