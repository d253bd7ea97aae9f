//! Programs that end with a live tracker: each run ends as by ct_release. Programs that are killed lose no ended epoch.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::application::{EITHER_WAY, Lab, Logs, REFUSE, SIM, each, json, left_in_memory, processes};
use crate::install_tree::{checkout, command, have, outcome, pkg_config, prefix, run, scratch};
use carbontracker::run_files::crash_counter::left;
use std::path::PathBuf;
use std::process::Command;

const TWO: [&str; 3] = ["epochs 1 30", "sleep 30", "epochs 1 30"];

/// Runs a program this number of times, two at a time. It ends with this status and prints no error.
fn run_often(times: usize, status: i32, program: &(dyn Fn() -> Command + Sync)) {
    std::thread::scope(|scope| {
        for half in [times / 2, times - times / 2] {
            scope.spawn(move || {
                for _ in 0..half {
                    let output = outcome(&mut program());
                    assert_eq!(output.status.code(), Some(status), "{output:?}");
                    assert!(output.stderr.is_empty(), "{output:?}");
                }
            });
        }
    });
}

/// The folder holds this many runs of two epochs each, complete and in this state, and shared memory holds nothing of
/// them.
fn check_ended(logs: &Logs, runs: usize, state: &str) {
    let journals = logs.journals();
    let epochs: u64 = journals.iter().map(|journal| journal.epochs()).sum();
    let ends: usize = journals.iter().map(|journal| journal.ends()).sum();
    let reports = logs.files(".json");
    assert_eq!(
        (journals.len(), epochs, ends, reports.len()),
        (runs, 2 * runs as u64, runs, runs),
        "journals, epochs, ends, reports"
    );
    for report in reports.iter().map(|path| json(path)) {
        assert_eq!((&report["run"]["state"], &report["run"]["epochs_done"]), (&state.into(), &2.into()), "{report}");
    }
    let ids: Vec<String> = journals.iter().map(|journal| journal.id().to_owned()).collect();
    assert_eq!(left_in_memory(&ids, &processes(&journals)), [""; 0]);
}

fn ends_well(name: &str, times: usize, orders: &[&str], status: i32) {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    let lab = Lab::new(name);
    let create = format!("create {SIM} log_dir=l");
    let orders: Vec<&str> = [create.as_str()].into_iter().chain(TWO).chain(orders.iter().copied()).collect();
    run_often(times, status, &|| {
        let mut application = lab.application(&orders);
        application.env_remove("CT_OUT");
        application
    });
    let state = if orders.contains(&"begin") { "in_epoch" } else { "done" };
    check_ended(&lab.logs("l"), times, state);
}

#[test]
fn forty_exits_leave_eighty_epochs_and_forty_reports() {
    ends_well("exit", 40, &["exit 0"], 0);
}

#[test]
fn return_from_main_ends_the_run() {
    ends_well("return", 10, &[], 0);
}

#[test]
fn quick_exit_ends_the_run() {
    ends_well("quick", 10, &["quick_exit 5"], 5);
}

/// The writer's thread may not have begun yet.
#[test]
fn run_without_rest_ends_at_exit() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    let lab = Lab::new("short");
    let create = format!("create {SIM} log_dir=l");
    run_often(20, 0, &|| {
        let mut application = lab.application(&[&create, "epochs 2 0", "exit 0"]);
        application.env_remove("CT_OUT");
        application
    });
    check_ended(&lab.logs("l"), 20, "done");
}

/// The application's own exit handlers run before or after the library's, and use the tracker.
#[test]
fn handlers_that_call_the_library_at_exit_do_no_harm() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    let create = format!("create {SIM} log_dir=l");
    let cases = [
        ("after", vec!["at_exit", &create, "epochs 2 30", "exit 0"]),
        ("before", vec![&create, "epochs 2 30", "at_exit", "exit 0"]),
        ("quick-after", vec!["at_exit", &create, "epochs 2 30", "quick_exit 0"]),
    ];
    each(cases, |(name, orders)| {
        let lab = Lab::new(&format!("handlers-{name}"));
        for _ in 0..5 {
            lab.run(&orders);
        }
        for journal in lab.logs("l").journals() {
            assert!((2..=3).contains(&journal.epochs()) && journal.ends() == 1, "{name}: {}", journal.shown());
        }
        assert_eq!(lab.logs("l").files(".json").len(), 5, "{name}");
    });
}

#[test]
fn trackers_in_every_state_end_at_exit() {
    ends_well("released", 4, &["release", "exit 0"], 0);
    ends_well("destroyed", 4, &["destroy", "exit 0"], 0);
    ends_well("open", 4, &["begin", "exit 0"], 0);
}

#[test]
fn exit_beside_a_thread_that_marks_epochs_keeps_ended_epochs() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    each(EITHER_WAY, |is_refused| {
        let lab = Lab::new(&format!("beside-{is_refused}"));
        let create = format!("create {SIM} log_dir=l");
        for (n, ended) in [1, 20, 50, 100, 200].into_iter().enumerate() {
            let printed = lab.run_either_way(is_refused, &[&create, &format!("marks {ended}"), "exit 0"]);
            let journals = lab.logs("l").journals();
            assert_eq!(journals.len(), n + 1);
            let newest = journals
                .iter()
                .max_by_key(|journal| std::fs::metadata(&journal.path).unwrap().modified().unwrap())
                .unwrap();
            assert!(newest.epochs() >= printed.ended() && newest.ends() == 1, "{}{}", printed.0, newest.shown());
        }
        assert_eq!(lab.logs("l").files(".json").len(), 5);
    });
}

#[test]
fn exit_of_a_forked_child_does_not_end_the_parents_run() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    each(EITHER_WAY, |is_refused| {
        let lab = Lab::new(&format!("forked-{is_refused}"));
        let create = format!("create {SIM} log_dir=l");
        let orders =
            [&create, "epochs 2 10", "fork_and_exit", "begin", "fork_and_exit", "end", "sleep 50", "epochs 2 10"];
        let printed = lab.run_either_way(is_refused, &[&orders[..], &["messages", "exit 0"]].concat());
        lab.logs("l").check_whole(5);
        assert!(!printed.0.contains(".jsonl"), "the journal is unchanged: {}", printed.0);
    });
}

/// The process ends by _exit or SIGKILL right after an epoch, which has no line in the journal yet.
#[test]
fn kill_loses_no_ended_epoch() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    each([("_exit 0", false), ("kill", false), ("_exit 0", true)], |(way, is_refused)| {
        let lab = Lab::new(&format!("killed-{}-{is_refused}", way.len()));
        let create = format!("create {SIM} epochs=1000 name=x log_dir=l resume=l");
        for start in 0..10 {
            let mut application = lab.application(&[&create, "value /run/epochs_done", "epochs 2 0", way]);
            if is_refused {
                application.env(REFUSE, "1");
            }
            outcome(&mut application);
            let printed = std::fs::read_to_string(lab.dir.join("printed")).unwrap();
            std::fs::remove_file(lab.dir.join("printed")).unwrap();
            let printed = crate::application::Printed(printed);
            assert_eq!(
                (printed.value("/run/epochs_done"), printed.ended()),
                (2.0 * f64::from(start), 2),
                "{way}: {}",
                printed.0
            );
        }
        let printed = lab.run(&[&create, "value /run/epochs_done", "epochs 1 5", "messages", "destroy"]);
        assert_eq!(printed.value("/run/epochs_done"), 20.0, "{way}: {}", printed.0);
        let journals = lab.logs("l").journals();
        assert_eq!((journals.len(), journals[0].ends()), (1, 1));
        // The last process has ended in order, and has removed the leftovers of the others.
        let left = (1..=11).filter(|life| !matches!(left(journals[0].id(), *life), Ok(None)));
        assert_eq!(left.count(), 0);
    });
}

/// Builds a program of another language.
fn build(compiler: &str, sources: &[PathBuf], flags: &[&str]) -> PathBuf {
    let dir = scratch(&format!("built-{compiler}"));
    let program = dir.join("program");
    let mut build = command(compiler);
    build.current_dir(&dir).args(["-O1", "-g"]).args(flags).args(sources).args(pkg_config(&["--cflags", "--libs"]));
    run(build.arg("-o").arg(&program));
    program
}

/// Runs a program of another language ten times, with its options in CT_OPTIONS.
fn ends_well_in(name: &str, status: i32, program: &(dyn Fn() -> Command + Sync)) {
    let dir = scratch(name);
    run_often(10, status, &|| {
        let mut program = program();
        program.current_dir(&dir).env("CT_OPTIONS", format!("{SIM} log_dir=l"));
        program
    });
    check_ended(&Logs(dir.join("l")), 10, "done");
}

#[test]
fn static_of_cxx_ends_its_run() {
    if !have(&["c++", "pkg-config"]) {
        return;
    }
    let program = build(
        "c++",
        &[checkout("tests/applications/programs/statics.cpp")],
        &["-std=c++11", "-Wall", "-Wextra", "-Werror", "-pthread"],
    );
    each(["destroyed", "leaked"], |way| {
        ends_well_in(&format!("static-{way}"), 0, &|| {
            let mut program = command(&program);
            program.arg(way);
            program
        });
    });
    let dir = scratch("static-late");
    for _ in 0..5 {
        run(command(&program).arg("used-late").current_dir(&dir).env("CT_OPTIONS", format!("{SIM} log_dir=l")));
    }
    let journals = Logs(dir.join("l")).journals();
    assert!(journals.iter().all(|journal| (2..=3).contains(&journal.epochs()) && journal.ends() == 1));
}

#[test]
fn fortran_program_that_does_not_stop_its_run_ends_it() {
    if !have(&["gfortran", "pkg-config"]) {
        return;
    }
    let sources = [prefix().join("include/carbontracker.f90"), checkout("tests/applications/programs/ends.f90")];
    let program = build("gfortran", &sources, &["-std=f2008", "-Wall", "-Wno-unused-dummy-argument"]);
    each([("end", 0), ("stop", 0), ("stop-3", 3), ("error-stop", 4), ("entries", 0)], |(way, status)| {
        ends_well_in(&format!("fortran-{way}"), status, &|| {
            // STOP and ERROR STOP print on standard error.
            let mut shell = command("sh");
            shell.args(["-c", "exec \"$0\" \"$1\" 2>/dev/null"]).arg(&program).arg(way);
            shell
                .env("CARBONTRACKER_SIM_CPU", "A:100")
                .env("CARBONTRACKER_JOB", "off")
                .env("CARBONTRACKER_LOG_DIR", "l");
            shell
        });
    });
}

#[test]
fn lua_programs_that_call_os_exit_end_their_runs() {
    each([("luajit", "5.1", "ffi"), ("lua5.4", "5.4", "c")], |(interpreter, version, backend)| {
        if !have(&[interpreter]) {
            return;
        }
        if backend == "c" && !prefix().join(format!("lib/lua/{version}/carbontracker/core.so")).exists() {
            crate::install_tree::skipped(&format!("no headers of Lua {version}: its C module is not built"));
            return;
        }
        for status in [0, 7] {
            ends_well_in(&format!("{interpreter}-{status}"), status, &|| {
                let mut lua = command(interpreter);
                lua.arg(checkout("tests/applications/programs/exit.lua"))
                    .arg(status.to_string())
                    .env("CARBONTRACKER_LUA_BACKEND", backend);
                lua.env("LUA_PATH", format!("{}/share/lua/{version}/?.lua", prefix().display()));
                lua.env("LUA_CPATH", format!("{}/lib/lua/{version}/?.so", prefix().display()));
                lua
            });
        }
    });
}
