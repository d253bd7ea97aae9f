//! Applications that close or replace file descriptors, start without standard streams, wipe shared memory, or meet
//! system files that never answer. The application is not harmed, and every epoch is kept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::application::{EITHER_WAY, Lab, REFUSE, SIM, by, each, is_root_here, powercap};
use crate::install_tree::{command, have, outcome};
use std::process::Command;

/// How daemons and sandboxes close descriptors. The last two put a file of the application in the place of each
/// descriptor.
const WAYS: [(&str, &str); 5] = [
    ("close_range", "close_range 3 4095"),
    ("closefrom", "closefrom 3"),
    ("fdopen", "fdopen 3 200"),
    ("dup2", "dup2 3 63 w"),
    ("dup2-all", "dup2 0 63 w"),
];

/// Runs a test for each way, with a separate descriptor table for the library's threads and with a shared one.
fn in_every_way(test: impl Fn(&Lab, &str, bool)) {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    each(by(&WAYS, &EITHER_WAY), |((way, order), is_refused)| {
        let lab = Lab::new(&format!("{}-{way}-{is_refused}", std::thread::current().name().unwrap_or("test")));
        lab.folder("w", 0o755);
        test(&lab, order, is_refused);
    });
}

#[test]
fn application_that_closes_every_descriptor_loses_no_file_and_no_epoch() {
    in_every_way(|lab, drop_all, is_refused| {
        let create = format!("create {SIM} log_dir=l name=x resume=l prometheus=m.prom");
        let orders = [
            &create,
            "epochs 2 20",
            "written l 2",
            drop_all,
            "sleep 5",
            "files 40 w",
            "epochs 3 20",
            "written l 5",
            "epochs 1 20",
        ];
        let printed = lab.run_either_way(is_refused, &[&orders[..], &["report json", "destroy", "check"]].concat());
        assert_eq!(printed.report()["run"]["epochs_done"], 6);
        let logs = lab.logs("l");
        let journal = logs.journal();
        assert_eq!((journal.epochs(), journal.ends()), (6, 1), "{}", journal.shown());
        assert_eq!(crate::application::json(&logs.file(".json"))["run"]["epochs_done"], 6);
        assert!(std::fs::read_to_string(lab.dir.join("m.prom")).unwrap().contains("} 6\n"));
    });
}

/// The counter does not move. Numbers in the application's files grow as a counter at about a kilowatt would.
#[test]
fn applications_file_is_not_read_as_a_counter() {
    in_every_way(|lab, drop_all, is_refused| {
        let tree = powercap(lab, "tree");
        let create = format!("create sysroot={} components=cpu interval=0.02 job=off", tree.display());
        let orders =
            [&create, "epochs 1 50", drop_all, "sleep 5", "files 40 w", "begin", "count 12 30", "end", "epochs 1 50"];
        let printed = lab.run_either_way(is_refused, &[&orders[..], &["report json", "destroy", "check"]].concat());
        let joules = printed.report()["usage"]["energy_j"].as_f64();
        assert!(joules.unwrap_or(0.0) < 0.01, "{joules:?} J of a counter that does not move: {}", printed.0);
    });
}

/// A separate table begins as a copy of the application's: pipes, locks and ports must not stay open in it. A program
/// that the application starts inherits no descriptor of the library.
#[test]
fn descriptors_that_the_application_closes_stay_closed() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    each(EITHER_WAY, |is_refused| {
        let lab = Lab::new(&format!("closed-{is_refused}"));
        lab.folder("w", 0o755);
        let tree = powercap(&lab, "tree");
        let create = format!("create sysroot={} sim_gpu=G:50 log_dir=l job=x intensity=50", tree.display());
        let list = "sh ls -l /proc/self/fd > inherited";
        lab.run_either_way(is_refused, &["hold w", &create, "epochs 2 10", list, "let_go", "epochs 2 10", "destroy"]);
        assert_eq!(lab.logs("l").journal().epochs(), 4);
        let inherited = std::fs::read_to_string(lab.dir.join("inherited")).unwrap();
        assert!(![".jsonl", "energy_uj", "/dev/shm/"].iter().any(|ours| inherited.contains(ours)), "{inherited}");
    });
}

#[test]
fn threads_that_open_and_close_all_the_time_keep_their_files() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    each(by(&["sleep 0", "close_range 3 4095"], &EITHER_WAY), |(drop_all, is_refused)| {
        let lab = Lab::new(&format!("threads-{}-{is_refused}", drop_all.len()));
        lab.folder("w", 0o755);
        let tree = powercap(&lab, "tree");
        let create = format!("create sysroot={} sim_gpu=G:50 log_dir=l interval=0.02 job=off", tree.display());
        let orders = [
            &create,
            "epochs 2 20",
            drop_all,
            "sleep 5",
            "openers 3 w",
            "epochs 150 3",
            "sleep 50",
            "destroy",
            "stop_openers",
        ];
        lab.run_either_way(is_refused, &orders);
        lab.logs("l").check_whole(152);
    });
}

#[test]
fn output_without_standard_streams_goes_into_no_file_of_the_library() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    let cases = [("0<&- 1>&- 2>&-", "closed 0 2"), ("1>&- 2>&-", "closed 1 2"), ("2>&-", "closed 2 2")];
    each(by(&cases, &EITHER_WAY), |((close, closed), is_refused)| {
        let lab = Lab::new(&format!("streams-{}-{is_refused}", close.len()));
        let shell = format!("exec \"$0\" \"$@\" {close}");
        let create = format!("create {SIM} log_dir=l name=x resume=l");
        let mut orders = vec![create.as_str()];
        for _ in 0..20 {
            orders.extend(["epochs 1 20", closed, "print 100"]);
        }
        orders.extend(["epochs 1 1", "destroy", "print 100"]);
        let mut application = lab.application_under(&["sh", "-c", &shell], &orders);
        lab.printed(if is_refused { application.env(REFUSE, "1") } else { &mut application });
        let logs = lab.logs("l");
        logs.check_no_words("the application's own");
        logs.check_whole(21);
    });
}

/// Another program, or the system, cleans up shared memory: the library's next store there must not raise SIGBUS.
#[test]
fn wiped_shared_memory_kills_no_application() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    let lab = Lab::new("wiped");
    let create = format!("create {SIM} log_dir=l");
    lab.run(&[
        &create,
        "epochs 3 5",
        "wipe_shared_memory",
        "epochs 3 5",
        "wipe_shared_memory",
        "epochs 3 5",
        "destroy",
    ]);
    lab.logs("l").check_whole(9);
}

/// System files that a run reads when it begins.
const READ_FIRST: [&str; 7] = [
    "sys/class/powercap/intel-rapl:0/energy_uj",
    "sys/class/powercap/intel-rapl:0/name",
    "sys/class/hwmon/hwmon0/name",
    "sys/class/drm/card0/device/vendor",
    "sys/class/power_supply/BAT0/type",
    "sys/cray/pm_counters/energy",
    "proc/stat",
];

/// A tree in which the library reads this file: it reads /proc only if there is no meter.
fn tree_for(lab: &Lab, place: &str) {
    if !place.starts_with("proc") {
        powercap(lab, "tree");
    }
}

/// Runs an application on the tree; returns its output and its peak memory, kB. The time and the memory are limited.
fn begins(lab: &Lab, place: &str) -> (String, u64) {
    let bounded = "ulimit -v 4000000; exec timeout --kill-after=5 60 \"$0\" \"$@\"";
    let create = "create sysroot=tree nvml=/none job=off log_dir=l";
    let memory = "sh grep VmHWM /proc/$PPID/status > peak";
    let orders = [create, "epochs 2 5", "report json", "messages", "destroy", memory];
    let output = outcome(&mut lab.application_under(&["sh", "-c", bounded], &orders));
    assert!(output.status.success(), "{place}: {output:?}"); // 124: it hangs
    let printed = std::fs::read_to_string(lab.dir.join("printed")).unwrap();
    std::fs::remove_file(lab.dir.join("printed")).unwrap();
    let peak = std::fs::read_to_string(lab.dir.join("peak")).unwrap();
    assert_eq!(lab.logs("l").journal().epochs(), 2, "{place}");
    std::fs::remove_dir_all(lab.dir.join("l")).unwrap();
    (printed, peak.split_whitespace().nth(1).unwrap().parse().unwrap())
}

#[test]
fn pipe_instead_of_a_system_file_is_refused() {
    if !have(&["cc", "pkg-config", "mkfifo"]) {
        return;
    }
    each(READ_FIRST, |place| {
        let lab = Lab::new(&format!("pipe-{}", place.replace('/', "-")));
        tree_for(&lab, place);
        let pipe = lab.file(&format!("tree/{place}"), "", 0o644);
        std::fs::remove_file(&pipe).unwrap();
        assert!(crate::application::succeeds(command("mkfifo").arg(&pipe)));
        let (printed, _) = begins(&lab, place);
        if place.contains("powercap") {
            assert!(printed.contains("not a regular file"), "{place}: {printed}");
        }
    });
}

/// A FUSE file system whose server hangs, as lxcfs may.
#[test]
fn hanging_file_system_does_not_block_the_application() {
    if !have(&["cc", "pkg-config", "unshare"]) {
        return;
    }
    let mut dead = Command::new(crate::application::built("dead_fuse"));
    if !is_root_here() || !crate::application::succeeds(dead.args(["/tmp", "true"])) {
        return eprintln!("skipped: no file system in user space can be mounted here");
    }
    each(["sys/class/powercap", "sys/class/hwmon", "proc"], |place| {
        let lab = Lab::new(&format!("dead-{}", place.replace('/', "-")));
        tree_for(&lab, place);
        let there = lab.folder(&format!("tree/{place}"), 0o755);
        let create = "create sysroot=tree nvml=/none job=off log_dir=l";
        let starter = [crate::application::built("dead_fuse"), there.clone()].map(|path| path.display().to_string());
        let ordered = [create, "epochs 2 5", "report json", "messages", "destroy", "exit 0"];
        let mut application = lab.application_under(&[&starter[0], &starter[1]], &ordered);
        lab.printed(&mut application);
        assert_eq!(lab.logs("l").journal().epochs(), 2, "{place}");
    });
}

#[test]
fn endless_system_file_is_not_read_whole() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    each(READ_FIRST, |place| {
        let lab = Lab::new(&format!("endless-{}", place.replace('/', "-")));
        tree_for(&lab, place);
        let file = lab.file(&format!("tree/{place}"), "", 0o644);
        std::fs::File::create(&file).unwrap().set_len(400 << 20).unwrap();
        let (_, peak) = begins(&lab, place);
        assert!(peak < 200_000, "{place}: {peak} kB");
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
        begins(&lab, place);
    });
}

/// A plug-in measures in its constructor. The loader holds its lock meanwhile, and no thread of the library can begin.
#[test]
fn plugin_that_measures_in_its_constructor_does_not_block_the_application() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    let load = format!("load {}", crate::application::built_plugin("plugin").display());
    each(by(&["constructor", "destructor", "exit"], &EITHER_WAY), |(ends, is_refused)| {
        let lab = Lab::new(&format!("plugin-{ends}-{is_refused}"));
        let bounded = ["timeout", "--kill-after=5", "60"];
        let mut application = lab.application_under(&bounded, &[&load, "sleep 300", "unload", "exit 0"]);
        application.env("CT_OPTIONS", format!("{SIM} log_dir=l")).env("CT_ENDS", ends);
        lab.printed(if is_refused { application.env(REFUSE, "1") } else { &mut application });
        lab.logs("l").check_whole(2);
    });
}
