//! A run's files when another program changes them, and when the application changes its folder, root, user or umask.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::application::{EITHER_WAY, Journal, Lab, Logs, Printed, REFUSE, SIM, by, each, is_root, is_root_here, json};
use crate::install_tree::have;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Runs 60 epochs. After 30 of them a shell changes the files: J is the journal, S is J without its ending. `notices`
/// is the order that waits until the library has noticed it.
fn run_meddled_with(name: &str, meddling: &str, notices: &str) -> (Lab, Printed) {
    let lab = Lab::new(name);
    let shell = format!("sh J=$(ls l/*.jsonl) S=${{J%.jsonl}}; {meddling}");
    let create = format!("create {SIM} epochs=100 name=x log_dir=l");
    let orders = [&create, "epochs 30 5", "written l 30", &shell, "epochs 15 5", notices, "epochs 15 5"];
    let printed = lab.run(&[&orders[..], &["report json", "messages", "destroy"]].concat());
    assert_eq!(printed.report()["run"]["epochs_done"], 60);
    (lab, printed)
}

/// This journal holds the whole run, one message reports the change, and later processes resume from it.
fn check_kept(lab: &Lab, printed: &Printed, journal: &Path) {
    printed.one_message(&[".jsonl"]);
    let kept = Journal::read(journal);
    assert_eq!((kept.epochs(), kept.ends()), (60, 1), "{}", kept.shown());
    let logs = lab.logs("l");
    assert_eq!(logs.aggregate(), (60, 1));
    fs::remove_file(logs.file(".json")).unwrap();
    assert_eq!(logs.aggregate(), (60, 1), "from the journals alone");
    let create = format!("create {SIM} epochs=100 name=x resume={}", journal.display());
    let later = lab.run(&[&create, "value /run/epochs_done", "messages", "destroy"]);
    assert_eq!(later.value("/run/epochs_done"), 60.0, "{}", later.0);
    let create = format!("create {SIM} epochs=100 name=x resume=l");
    let later = lab.run(&[&create, "value /run/epochs_done", "messages", "destroy"]);
    assert_eq!(later.value("/run/epochs_done"), 60.0, "{}", later.0);
}

/// Causes are logrotate (with and without copytruncate), editors that save by renaming, and clean-ups.
/// Causes are logrotate (with and without copytruncate), editors that save by renaming, and clean-ups.
#[test]
fn journal_that_loses_lines_is_written_anew() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    let cases = [
        ("emptied", "truncate -s 0 $J"),
        ("cut", "truncate -s 1000 $J"),
        ("cut-in-the-first-line", "truncate -s 100 $J"),
        ("replaced", "cp $J $J.new; mv $J.new $J"),
        ("replaced-by-less", "head -n 3 $J > $J.new; mv $J.new $J"),
        ("renamed", "mv $J $J.1"),
        ("removed", "rm $J"),
        ("removed-while-it-is-linked", "ln $J $J.1; rm $J"),
    ];
    each(cases, |(name, meddling)| {
        let (lab, printed) = run_meddled_with(name, meddling, "await_message .jsonl");
        check_kept(&lab, &printed, &lab.logs("l").file(".jsonl"));
    });
}

/// The other process keeps its lines, and the run continues in a file beside it.
#[test]
fn journal_that_another_process_writes_to_is_left_alone() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    let cases = [
        ("appended", "echo '{\"foreign\": true}' >> $J; cp $J kept"),
        ("appended-without-an-end", "printf '{\"foreign\": ' >> $J; cp $J kept"),
        ("appended-much", "seq 100000 >> $J; cp $J kept"),
    ];
    each(cases, |(name, meddling)| {
        let (lab, printed) = run_meddled_with(name, meddling, "await_message .jsonl");
        let files = lab.logs("l").files(".jsonl");
        let beside = files
            .iter()
            .find(|path| path.to_string_lossy().ends_with("-2.jsonl"))
            .unwrap_or_else(|| panic!("{files:?}"));
        let theirs = files.iter().find(|path| *path != beside).unwrap();
        let is_untouched = fs::read(theirs).unwrap() == fs::read(lab.dir.join("kept")).unwrap();
        assert!(is_untouched && files.len() == 2, "{name}: {}", fs::read_to_string(theirs).unwrap());
        assert!(printed.one_message(&[".jsonl"]).contains("-2.jsonl"), "{}", printed.0);
        check_kept(&lab, &printed, beside);
    });
}

#[test]
fn folder_of_logs_that_is_removed_comes_back_whole() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    let cases =
        [("folder", "rm -r l"), ("files", "rm l/*"), ("moved", "mv l l.old"), ("logs", "rm ${S}_carbontracker*.log")];
    each(cases, |(name, meddling)| {
        let notices = if name == "logs" { "sleep 100" } else { "await_message l" };
        let (lab, printed) = run_meddled_with(&format!("removed-{name}"), meddling, notices);
        lab.logs("l").check_whole(60);
        let messages =
            printed.messages().into_iter().filter(|text| text.contains("jsonl") || text.contains(".log")).count();
        assert!(messages <= 2 && (messages >= 1 || name == "logs"), "{}", printed.0);
    });
}

/// Carbontracker's parser does not read a log with a hole.
#[test]
fn standard_log_that_is_truncated_has_no_hole() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    let (lab, _) = run_meddled_with("hole", "truncate -s 0 ${S}_carbontracker.log", "sleep 100");
    lab.logs("l").check_whole(60);
}

/// A progress bar or an artifact logger in the application opens and closes the journal, which ends POSIX record locks.
/// A second process of the same name must still find the journal in use.
#[test]
fn application_that_reads_its_own_journal_keeps_it() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    each(by(&["read l", "sh cat l/*.jsonl", "fork_and_exit", "sleep 1"], &EITHER_WAY), |(reading, is_refused)| {
        let lab = Lab::new(&format!("own-{}-{is_refused}", reading.len()));
        let create = format!("create {SIM} epochs=100 name=sweep log_dir=l resume=l");
        let beside = format!(
            "sh env -u CT_OUT \"$APPLICATION\" '{create}' 'value /run/epochs_done' 'epochs 20 5' destroy > beside"
        );
        let first = [
            &create,
            "epochs 4 5",
            "written l 4",
            reading,
            &beside,
            "epochs 8 5",
            reading,
            "epochs 8 5",
            "messages",
            "destroy",
        ];
        let printed = lab.run_either_way(is_refused, &first);
        let second = Printed(fs::read_to_string(lab.dir.join("beside")).unwrap());
        assert_eq!(second.value("/run/epochs_done"), 0.0, "the second is a separate run: {}", second.0);
        let journals = lab.logs("l").journals();
        let epochs: Vec<(u64, usize)> = journals.iter().map(|journal| (journal.epochs(), journal.ends())).collect();
        assert_eq!(epochs, [(20, 1), (20, 1)], "{}", printed.0);
        assert_eq!(lab.logs("l").aggregate(), (40, 2));
        assert!(!printed.0.contains(".jsonl"), "the journal is unchanged: {}", printed.0);
    });
}

/// A rank keeps its claim to a device even if it closes all its descriptors.
#[test]
fn processor_is_counted_once_when_a_rank_closes_files() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    let lab = Lab::new("claimed");
    crate::application::powercap(&lab, "tree");
    let create = format!("create sim_cpu=A:100 job=claimed-{} log_dir=l", std::process::id());
    let peek = "sh cat /dev/shm/carbontracker-* > seen 2>&1 || true";
    let beside = format!("sh \"$APPLICATION\" '{create}' 'epochs 20 10' 'report json' destroy > beside");
    lab.run(&[&create, "epochs 4 10", peek, "close_range 3 4095", &beside, "epochs 20 10", "destroy"]);
    let reports: Vec<f64> =
        lab.logs("l").files(".json").iter().filter_map(|path| json(path)["usage"]["energy_j"].as_f64()).collect();
    let joules: f64 = reports.iter().sum();
    let seconds: f64 = lab
        .logs("l")
        .files(".json")
        .iter()
        .filter_map(|path| json(path)["usage"]["duration_s"].as_f64())
        .fold(0.0, f64::max);
    assert!(joules < 100.0 * seconds * 1.05, "{joules} J in {seconds} s at 100 W: {reports:?}");
}

#[test]
fn relative_paths_keep_the_first_working_directory() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    let lab = Lab::new("moves");
    lab.folder("o", 0o755);
    fs::write(lab.dir.join("grid.csv"), "time,g_per_kwh\n2020-01-01T00:00:00Z,100\n2020-01-01T01:00:00Z,100\n")
        .unwrap();
    let create = format!("create {SIM} log_dir=rel prometheus=./m.prom resume=rel name=x intensity=grid.csv");
    let orders = [
        &create,
        "epochs 2 5",
        "written rel 2",
        "chdir o",
        "epochs 3 5",
        "sleep 11000",
        "epochs 5 5",
        "messages",
        "destroy",
    ];
    let printed = lab.run(&orders);
    let elsewhere: Vec<_> = fs::read_dir(lab.dir.join("o")).unwrap().collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    assert!(fs::read_to_string(lab.dir.join("m.prom")).unwrap().contains("} 10\n"));
    assert_eq!(lab.logs("rel").journal().epochs(), 10);
    assert_eq!(json(&lab.logs("rel").file(".json"))["run"]["state"], "done");
    assert!(!printed.0.contains("No such file") && !printed.0.contains("not written"), "{}", printed.0);
}

/// The library reads the file of the folder in which the application makes its tracker.
#[test]
fn options_come_from_the_file_of_the_folder() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    let lab = Lab::new("configured");
    let file = lab.dir.join("carbontracker.conf");
    fs::write(&file, "# of this project\npue=1.25\nlocaton=DK\n").unwrap();
    let printed = lab.run(&[&format!("create {SIM}"), "epochs 2 5", "report json", "messages", "destroy"]);
    assert_eq!(printed.report()["pue"], 1.25, "{}", printed.0);
    printed.one_message(&[&format!("{}:3", file.display()), "did you mean location?"]);
}

#[test]
fn relative_journal_keeps_the_first_working_directory() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    let lab = Lab::new("moves-named");
    lab.folder("o", 0o755);
    let create = format!("create {SIM} resume=a.jsonl name=x epochs=100");
    for start in 1..=2 {
        let written = format!("written .. {}", 5 * start);
        lab.run(&[&create, "epochs 2 5", "chdir o", "epochs 3 5", &written, "destroy"]);
        let here = Logs(lab.dir.clone());
        assert_eq!(here.journal().epochs(), 5 * start);
        assert_eq!(json(&here.file(".json"))["run"]["epochs_done"], 5 * start);
    }
    assert_eq!(fs::read_dir(lab.dir.join("o")).unwrap().count(), 0);
}

/// The run is complete, or a message before the end names the file that cannot be written.
fn check_kept_or_reported(logs: &Logs, printed: &Printed) {
    let journal = logs.journal();
    let is_whole = journal.epochs() == 8 && journal.ends() == 1;
    let has_report = logs.files(".json").iter().any(|path| json(path)["run"]["epochs_done"] == 8);
    let is_reported = printed
        .messages()
        .iter()
        .any(|text| text.contains("not written") || text.contains("log_dir") || text.contains("l/"));
    assert!((is_whole && has_report) || is_reported, "{}{}", journal.shown(), printed.0);
    assert_eq!(journal.epochs(), 8, "{}", journal.shown());
}

#[test]
fn application_that_changes_its_root_loses_nothing_silently() {
    if !have(&["cc", "pkg-config"]) || !is_root_here() {
        return;
    }
    each(EITHER_WAY, |is_refused| {
        let lab = Lab::for_all_users(&format!("chroot-{is_refused}"));
        let cell = lab.folder("cell", 0o755);
        let create = format!("create {SIM} log_dir={}/l", lab.dir.display());
        let orders =
            [&create, "epochs 3 5", "written l 3", "chroot cell", "epochs 5 5", "sleep 300", "messages", "destroy"];
        let mut application = lab.application(&orders);
        application.env_remove("CT_OUT");
        let printed = lab.printed(if is_refused { application.env(REFUSE, "1") } else { &mut application });
        assert_eq!(fs::read_dir(cell).unwrap().count(), 0, "nothing is made in the new root");
        check_kept_or_reported(&lab.logs("l"), &printed);
    });
}

#[test]
fn application_that_drops_its_rights_loses_nothing_silently() {
    if !have(&["cc", "pkg-config"]) || !is_root_here() {
        return;
    }
    each(by(&[0o755, 0o1777], &EITHER_WAY), |(mode, is_refused)| {
        let lab = Lab::for_all_users(&format!("setuid-{mode:o}-{is_refused}"));
        lab.folder("l", mode);
        let create = format!("create {SIM} log_dir=l");
        let orders =
            [&create, "epochs 3 5", "written l 3", "setuid 65534", "epochs 5 5", "sleep 300", "messages", "destroy"];
        let mut application = lab.application(&orders);
        application.env_remove("CT_OUT");
        let printed = lab.printed(if is_refused { application.env(REFUSE, "1") } else { &mut application });
        check_kept_or_reported(&lab.logs("l"), &printed);
    });
}

/// node_exporter reads the metrics as another user.
#[test]
fn metrics_are_readable_by_all_and_keep_their_mode() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    let lab = Lab::new("umask");
    lab.folder("m", 0o755);
    let orders = |file: &str| [format!("create {SIM} prometheus=m/{file}"), "epochs 2 5".into(), "destroy".into()];
    let run = |mask: &str, file: &str| {
        let orders = orders(file);
        lab.run(&[&format!("umask {mask}"), &orders[0], &orders[1], &orders[2]]);
        fs::metadata(lab.dir.join("m").join(file)).unwrap()
    };
    each(["077", "000", "027"], |mask| {
        assert_eq!(run(mask, &format!("new-{mask}.prom")).mode() & 0o7777, 0o644, "umask {mask}");
    });
    each([0o600, 0o640, 0o664], |mode| {
        let there = lab.file("m/there.prom", "old 1\n", mode);
        if is_root() {
            std::os::unix::fs::chown(&there, Some(54321), Some(54322)).unwrap();
        }
        let owner = |is: &fs::Metadata| (is.mode() & 0o7777, is.uid(), is.gid());
        let before = owner(&fs::metadata(&there).unwrap());
        assert_eq!(owner(&run("077", "there.prom")), before);
        assert!(fs::read_to_string(&there).unwrap().contains("} 2\n"));
        fs::remove_file(&there).unwrap();
    });
}
