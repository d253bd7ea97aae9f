//! `carbontracker doctor` on trees of /sys and /proc: it measures working counters, and has a fix for others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_carbontracker");

fn doctor(arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("doctor").args(arguments).env_remove("CUDA_VISIBLE_DEVICES").output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(arguments: &[&str]) -> (Value, Option<i32>) {
    let output = doctor(&[arguments, &["--json"]].concat());
    let found = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (found, output.status.code())
}

fn check<'a>(found: &'a Value, name: &str) -> &'a Value {
    let is_it = |check: &&Value| check["name"] == name;
    found["checks"].as_array().unwrap().iter().find(is_it).unwrap_or_else(|| panic!("{name} in {found:#}"))
}

/// A machine with one package of RAPL. Its tree is removed when dropped.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str, energy_uj: &str) -> Tree {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("doctor-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        let tree = Tree(root);
        let zone = "sys/class/powercap/intel-rapl:0";
        for (file, text) in [("name", "package-0"), ("energy_uj", energy_uj), ("max_energy_range_uj", "262143328850")] {
            tree.write(&format!("{zone}/{file}"), text);
        }
        tree.write("proc/sys/kernel/perf_event_paranoid", "4");
        tree.write("proc/sys/kernel/osrelease", "6.1.0-test");
        tree
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn options(&self) -> String {
        format!("sysroot='{}' nvml=/no/nvml.so location=DK", self.0.display())
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A thread moves the counter at 100 W on average. The library's error is a figure of `make bench`.
#[test]
fn counter_is_measured_live() {
    let tree = Tree::new("live", "1000000");
    let counter = tree.0.join("sys/class/powercap/intel-rapl:0/energy_uj");
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let start = std::time::Instant::now();
    let (found, status) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let next = counter.with_extension("next");
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let used = 1_000_000 + start.elapsed().as_micros() as u64 * 100;
                std::fs::write(&next, used.to_string()).unwrap();
                std::fs::rename(&next, &counter).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        });
        let found = json(&["-o", &tree.options()]);
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        found
    });
    let most_j = start.elapsed().as_secs_f64() * 100.0;
    assert_eq!(status, Some(0), "{found:#}");
    let package = &found["components"][0];
    assert_eq!([&package["source"], &package["device"]], ["rapl", "package-0"]);
    let (watts, seconds) = (package["mean_power_w"].as_f64().unwrap(), found["duration_s"].as_f64().unwrap());
    assert!(seconds >= 1.0 && watts > 0.0 && watts * seconds <= most_j, "{watts} W in {seconds} s, {most_j} J used");
    assert_eq!(check(&found, "powercap")["ok"], true);
    assert_eq!(found["intensity"]["zone"], "DK");
    assert!(found["not_needed"].as_array().unwrap().iter().any(|source| source == "cpu_model"), "{found:#}");
}

/// Root may read every file, so the command runs as another user.
#[test]
fn unreadable_counter_comes_with_the_fix() {
    let tree = Tree::new("closed", "");
    let counter = tree.0.join("sys/class/powercap/intel-rapl:0/energy_uj");
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    let mut command = Command::new(PROGRAM);
    std::fs::set_permissions(&counter, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    if is_root {
        command = Command::new("setpriv");
        command.args(["--reuid=65534", "--clear-groups", PROGRAM]);
    }
    let output = command.args(["doctor", "-o", &tree.options()]).output().expect("setpriv, of util-linux");
    let (printed, why) = (text(&output.stdout), text(&output.stderr));
    if is_root && printed.is_empty() {
        crate::retry::say(&format!("skipped: another user may not run {PROGRAM}: {why}"));
        return;
    }
    assert_eq!(output.status.code(), Some(3), "{printed}{why}");
    assert!(printed.contains("sudo chmod a+r /sys/class/powercap/*/energy_uj"), "{printed}");
    let fix = format!("fix: sudo {PROGRAM} doctor --fix");
    assert!(printed.lines().any(|line| line.trim() == fix), "one command to copy: {printed}");
    assert!(printed.contains("hardware energy counters cannot be read"), "{printed}");
    assert!(printed.contains("no  powercap") && printed.contains("may not read 1"), "{printed}");
}

#[test]
fn driver_version_is_shown() {
    let standin = crate::fake_nvml::Standin::new(&[crate::fake_nvml::Gpu::constant(200.0)]);
    let (found, status) = json(&["-o", &standin.options()]);
    let nvml = check(&found, "NVML");
    // In another process the stand-in has its initial state: no GPUs.
    assert_eq!(
        (&nvml["ok"], &nvml["finding"]),
        (&true.into(), &"version 12.550.54.15, driver 550.54.15, GPUs: 0".into())
    );
    assert_eq!(status, Some(3), "{found:#}");
    let output =
        Command::new(PROGRAM).args(["doctor", "-o", &standin.options()]).env("CUDA_VISIBLE_DEVICES", "0").output();
    assert!(text(&output.unwrap().stdout).contains("CUDA_VISIBLE_DEVICES=0"));
}

#[test]
fn log_dir_is_checked_and_left_empty() {
    let tree = Tree::new("folder", "5");
    let logs = tree.0.join("logs");
    std::fs::create_dir(&logs).unwrap();
    let (found, _) = json(&["-o", &tree.options(), "--log-dir", logs.to_str().unwrap()]);
    assert_eq!(check(&found, "log_dir")["ok"], true);
    assert_eq!(std::fs::read_dir(&logs).unwrap().count(), 0, "it leaves nothing");
    let (found, _) = json(&["-o", &tree.options(), "--log-dir", "/dev/null/logs"]);
    let log_dir = check(&found, "log_dir");
    assert!(log_dir["ok"] == false && log_dir["cure"].as_str().unwrap().contains("mkdir -p '/dev/null/logs'"));
}

/// The library makes the folder, and the folders above it.
#[test]
fn log_dir_may_be_missing() {
    let tree = Tree::new("no-folder", "5");
    let logs = tree.0.join("not/there");
    let (found, _) = json(&["-o", &tree.options(), "--log-dir", logs.to_str().unwrap()]);
    let log_dir = check(&found, "log_dir");
    assert!(log_dir["ok"] == true && log_dir["finding"].as_str().unwrap().ends_with("can be made"), "{log_dir}");
    assert!(!tree.0.join("not").exists(), "nothing is changed");
}

#[test]
fn metrics_of_another_run_are_kept() {
    let tree = Tree::new("metrics", "5");
    let metrics = tree.0.join("node.prom");
    std::fs::write(&metrics, "of another run").unwrap();
    json(&["-o", &format!("{} prometheus='{}'", tree.options(), metrics.display())]);
    assert_eq!(std::fs::read_to_string(metrics).unwrap(), "of another run");
}

#[test]
fn estimates_are_named_and_wrong_options_refused() {
    let (found, status) = json(&["-o", "sim_cpu=X:50 sim_gpu=G:200"]);
    assert_eq!(status, Some(3));
    let watts: Vec<f64> = (0..2).filter_map(|n| found["components"][n]["mean_power_w"].as_f64()).collect();
    assert!((watts[0] - 50.0).abs() < 0.1 && (watts[1] - 200.0).abs() < 0.1, "{watts:?}");
    let words = text(&doctor(&["-o", "sim_cpu=X:50"]).stdout);
    assert!(words.contains("50.0 W") && words.contains("no location given") && words.contains("Linux"), "{words}");
    let headline = words.lines().next().unwrap_or_default();
    assert!(headline.contains("hardware energy counters") && headline.ends_with("; CPU power is simulated"), "{words}");
    assert_eq!(doctor(&["-o", "no_such=1"]).status.code(), Some(2));
    let disabled = Command::new(PROGRAM).arg("doctor").env("CARBONTRACKER_DISABLE", "1").output().unwrap();
    assert!(disabled.status.code() == Some(1) && text(&disabled.stderr).contains("unset CARBONTRACKER_DISABLE"));
}

/// The rule, as the page has it.
fn rule_of_the_page() -> &'static str {
    let page = include_str!("../../docs/src/how-to/allow-rapl.md");
    page.lines().find_map(|line| line.strip_prefix("echo '")?.strip_suffix("' |")).expect("a rule")
}

/// A machine whose counter only its owner may read, and which has udev.
fn closed(name: &str) -> Tree {
    let tree = Tree::new(name, "5");
    std::fs::create_dir_all(tree.0.join("etc/udev/rules.d")).unwrap();
    std::fs::set_permissions(tree.counter(), std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
    tree
}

impl Tree {
    fn counter(&self) -> PathBuf {
        self.0.join("sys/class/powercap/intel-rapl:0/energy_uj")
    }

    fn rule(&self) -> Option<String> {
        std::fs::read_to_string(self.0.join("etc/udev/rules.d/70-carbontracker-rapl.rules")).ok()
    }

    fn mode(&self) -> u32 {
        use std::os::unix::fs::PermissionsExt;
        self.counter().metadata().unwrap().permissions().mode() & 0o777
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

#[test]
fn fix_shows_what_it_changes_and_needs_consent() {
    let tree = closed("fix");
    let output = doctor(&["--fix", "-o", &tree.options()]);
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(printed.contains("70-carbontracker-rapl.rules:") && printed.contains(rule_of_the_page()), "{printed}");
    assert!(printed.contains(tree.counter().to_str().unwrap()), "{printed}");
    let why = text(&output.stderr);
    assert!(why.contains(if is_root() { "no terminal to ask on" } else { "root is needed" }), "{why}");
    assert_eq!((tree.rule(), tree.mode()), (None, 0o400), "nothing is changed");
    if !is_root() {
        return crate::retry::say("skipped: only root may write the rule");
    }
    let output = doctor(&["--fix", "--yes", "-o", &tree.options()]);
    assert!(output.status.success(), "{output:?}");
    assert!(tree.rule().is_some_and(|rule| rule.lines().any(|line| line == rule_of_the_page())), "{:?}", tree.rule());
    assert_eq!(tree.mode(), 0o444);
    let again = doctor(&["--fix", "-o", &tree.options()]);
    assert!(again.status.success() && text(&again.stdout).contains("nothing is changed"), "{again:?}");
    let none = doctor(&["--fix", "--yes", "-o", "sysroot=/nonexistent"]);
    assert!(none.status.code() == Some(1) && text(&none.stderr).contains("changes nothing"), "{none:?}");
    assert_eq!(doctor(&["--yes"]).status.code(), Some(2));
}

/// Runs a shell line on a terminal of 60 columns, with this input. None: script is not installed.
fn on_terminal(line: &str, input: &str) -> Option<String> {
    use std::io::Write;
    let mut script = Command::new("script");
    script.args(["-qec", &format!("stty cols 60 rows 20; {line}"), "/dev/null"]).env("TERM", "xterm");
    script.env_remove("NO_COLOR").stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let Ok(mut child) = script.spawn() else {
        crate::retry::say("skipped: script is not installed");
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Some(text(&child.wait_with_output().unwrap().stdout).replace('\r', ""))
}

#[test]
fn fix_asks_on_a_terminal() {
    if !is_root() {
        return crate::retry::say("skipped: only root may write the rule");
    }
    for (answer, is_changed) in [("n\n", false), ("\n", false), ("y\n", true)] {
        let tree = closed("ask");
        let Some(printed) = on_terminal(&format!("{PROGRAM} doctor --fix -o \"{}\"", tree.options()), answer) else {
            return;
        };
        assert!(printed.contains("[y/N]"), "{printed}");
        assert_eq!((tree.rule().is_some(), tree.mode() == 0o444), (is_changed, is_changed), "{answer:?}: {printed}");
    }
}

#[test]
fn colours_are_for_terminals_only() {
    let line = format!("{PROGRAM} doctor -o sim_cpu=X:50; {PROGRAM} zones nosuchzone; {PROGRAM} runn");
    let Some(printed) = on_terminal(&line, "") else { return };
    for expected in ["\x1b[32m  ok  \x1b[0m", "\x1b[31m  no  \x1b[0m", "carbontracker:\x1b[0m zone", "error:\x1b[0m"] {
        assert!(printed.contains(expected), "{expected:?}: {printed:?}");
    }
    let plain = console::strip_ansi_codes(&printed);
    let of_doctor = plain.split("carbon intensity").next().unwrap();
    let is_whole = |line: &str| line.chars().count() <= 60 || !line.trim().contains(' ');
    assert!(of_doctor.lines().all(is_whole), "{of_doctor}");
    for quiet in ["NO_COLOR=1", "TERM=dumb"] {
        let printed = on_terminal(&format!("export {quiet}; {line}"), "").unwrap();
        assert!(!printed.contains('\x1b'), "{quiet}: {printed:?}");
    }
    assert!(!text(&doctor(&["-o", "sim_cpu=X:50"]).stdout).contains('\x1b'));
}

#[test]
fn another_command_of_the_name_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let tree = Tree::new("path", "5");
    let script = tree.0.join("venv/carbontracker");
    tree.write("venv/carbontracker", "#!/venv/bin/python3\nimport carbontracker\n");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let own = Path::new(PROGRAM).parent().unwrap();
    let found = |folders: [&Path; 2]| {
        let mut command = Command::new(PROGRAM);
        command.args(["doctor", "--json", "-o", "sim_cpu=X:50"]).env("PATH", std::env::join_paths(folders).unwrap());
        serde_json::from_slice::<Value>(&command.output().unwrap().stdout).unwrap()
    };
    let venv = script.parent().unwrap();
    let other = found([venv, own]);
    assert_eq!(other["schema"], 1);
    let (other, own) = (check(&other, "command").clone(), found([own, venv]));
    assert!(other["ok"] == false && other["finding"].as_str().unwrap().contains("Python's Carbontracker"), "{other}");
    assert!(other["cure"].as_str().unwrap().contains("ctrack"), "{other}");
    assert_eq!(check(&own, "command")["ok"], true);
}
