//! Unchanged programs, relinked with carbontracker_auto.o or with the connector for Kokkos. They work as before, and
//! their energy is in one report.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::install_tree::{checkout, command, have, outcome, pkg_config, prefix, run, scratch, skipped};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

const HEAD: &str = "done on ";

fn lib(file: &str) -> String {
    prefix().join("lib").join(file).display().to_string()
}

/// A program of the checkout.
fn build(compiler: &[&str], source: &str, rest: &[&str]) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let program = scratch(&format!("program-{}", NUMBER.fetch_add(1, Relaxed))).join("it's");
    let mut compile = command(compiler[0]);
    compile.args(&compiler[1..]).arg(checkout(source)).args(["-x", "none"]).args(rest).arg("-o").arg(&program);
    run(&mut compile);
    program
}

const C: [&str; 5] = ["cc", "-x", "c", "-std=c99", "-pthread"];

/// Linked to the object and the shared library.
fn relinked(compiler: &[&str], source: &str) -> PathBuf {
    let object = lib("carbontracker_auto.o");
    let libraries = pkg_config(&["--libs"]);
    let rest: Vec<&str> = [object.as_str()].into_iter().chain(libraries.iter().map(String::as_str)).collect();
    build(compiler, source, &rest)
}

/// Linked to the object and the static library, without the shared library.
fn relinked_statically(compiler: &[&str], source: &str) -> PathBuf {
    let rest = ["-static", &lib("carbontracker_auto.o"), &lib("libcarbontracker.a"), "-pthread", "-lm"];
    build(compiler, source, &rest)
}

/// Runs a program on a simulated processor of 100 W.
fn launch(program: &Path, arguments: &[&str]) -> Command {
    let mut launch = command(program);
    launch.args(arguments).env("CARBONTRACKER_SIM_CPU", "x:100");
    launch
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The reports in a folder.
fn reports(folder: &Path) -> Vec<Value> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    files.map(|text| serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))).collect()
}

/// The energy, J, and the duration, s, of a report. They must agree with 100 W.
fn used(report: &Value) -> (f64, f64) {
    let (joules, seconds) = (report["usage"]["energy_j"].as_f64(), report["usage"]["duration_s"].as_f64());
    let (joules, seconds) = (joules.expect("joules"), seconds.expect("seconds"));
    assert!((joules / (100.0 * seconds) - 1.0).abs() < 0.01, "{report}");
    (joules, seconds)
}

/// Checks that the program works as before and prints one report of its energy.
fn is_measured(program: &Path, arguments: &[&str], status: i32, beginning: &str) {
    let number = program.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let folder = scratch(&format!("reports-of-{number}"));
    let plain = outcome(&mut launch(program, arguments));
    assert_eq!(
        (plain.status.code(), stdout(&plain).starts_with(beginning)),
        (Some(status), true),
        "{arguments:?}: {plain:?}"
    );
    let text = stderr(&plain);
    assert_eq!(text.matches(HEAD).count(), 1, "{arguments:?}: {text}");
    assert!(text.contains("it's: done on "), "its name: {text}");

    let filed = outcome(launch(program, arguments).env("CARBONTRACKER_REPORT", folder.join("{pid}.json")));
    assert_eq!((filed.status.code(), filed.stdout), (Some(status), plain.stdout), "{arguments:?}");
    assert!(!String::from_utf8_lossy(&filed.stderr).contains("carbontracker"), "{arguments:?}");
    let all = reports(&folder);
    assert_eq!(all.len(), 1, "{arguments:?}: {all:?}");
    assert!(used(&all[0]).1 > 0.05 && all[0]["run"]["epochs_done"] == 1, "{arguments:?}: {all:?}");
    assert_eq!(all[0]["run"]["name"], "it's");
}

#[test]
fn program_is_measured_if_it_ends_in_order() {
    if !have(&["cc"]) {
        return;
    }
    let program = relinked(&C, "tests/bindings/connectors/whole.c");
    for how in ["return", "exit", "thread", "last-thread", "fork", "moved", "closed", "all-closed"] {
        is_measured(&program, &[how], 7, "worked\n");
    }
    is_measured(&relinked_statically(&C, "tests/bindings/connectors/whole.c"), &["thread"], 7, "worked\n");
}

#[test]
fn program_that_does_not_end_in_order_ends_as_without_the_library() {
    use std::os::unix::process::ExitStatusExt;
    if !have(&["cc"]) {
        return;
    }
    let program = relinked(&C, "tests/bindings/connectors/whole.c");
    for (how, code, signal) in [("_exit", Some(7), None), ("abort", None, Some(libc::SIGABRT))] {
        let output = outcome(&mut directly(&program, how));
        assert_eq!((output.status.code(), output.status.signal()), (code, signal), "{output:?}");
        assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("worked\n", "complained\n"));
    }
}

#[test]
fn cxx_and_fortran_programs_are_measured_too() {
    if !have(&["c++", "gfortran"]) {
        return;
    }
    let cxx = ["c++", "-x", "c++", "-std=c++11", "-D_GNU_SOURCE", "-pthread"];
    is_measured(&relinked(&cxx, "tests/bindings/connectors/whole.c"), &["return"], 7, "worked\n");
    is_measured(&relinked_statically(&cxx, "tests/bindings/connectors/whole.c"), &["exit"], 7, "worked\n");
    let fortran = ["gfortran", "-x", "f95", "-ffpe-trap=invalid,zero,overflow"];
    is_measured(&relinked(&fortran, "tests/bindings/connectors/whole.f90"), &[], 7, "worked 18.48");
    is_measured(&relinked_statically(&fortran, "tests/bindings/connectors/whole.f90"), &[], 7, "worked 18.48");
}

#[test]
fn child_that_runs_a_measured_program_is_counted_for_itself() {
    if !have(&["cc"]) {
        return;
    }
    let program = relinked(&C, "tests/bindings/connectors/whole.c");
    let folder = scratch("parent-and-child");
    let output = outcome(launch(&program, &["exec"]).env("CARBONTRACKER_REPORT", folder.join("{pid}.json")));
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(7), "worked\nworked\n"));
    let mut all: Vec<(f64, f64)> = reports(&folder).iter().map(used).collect();
    all.sort_by(|a, b| a.1.total_cmp(&b.1));
    assert!(all.len() == 2 && all[1].1 > all[0].1 + 0.09, "the parent's time holds the child's: {all:?}");
}

#[test]
fn files_of_the_program_get_no_output_of_the_library() {
    if !have(&["cc"]) {
        return;
    }
    let program = relinked(&C, "tests/bindings/connectors/whole.c");
    let file = scratch("reused").join("own");
    let output = outcome(&mut launch(&program, &["reused", "10", file.to_str().unwrap()]));
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "", "another file has the descriptor number of standard error");
    assert!(stderr(&output).contains(HEAD), "{output:?}");

    // Standard error has no reader: the SIGPIPE that would end such a program must not come from the library.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = directly(&program, "quiet").stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(7), "{status}");

    // If the report cannot be written to its file, it goes to standard error.
    let output = outcome(launch(&program, &["return"]).env("CARBONTRACKER_REPORT", "/nowhere/report.txt"));
    let text = stderr(&output);
    assert!(
        output.status.code() == Some(7) && text.contains("carbontracker: /nowhere/report.txt: No such file"),
        "{text}"
    );
    assert!(text.contains(HEAD), "{text}");
}

/// Runs a program without `timeout`, which would change its exit status.
fn directly(program: &Path, how: &str) -> Command {
    let mut direct = Command::new(program);
    direct.arg(how).env("LD_LIBRARY_PATH", prefix().join("lib")).env("CARBONTRACKER_SIM_CPU", "x:100");
    direct
}

#[test]
fn errors_are_reported_and_harm_nothing() {
    if !have(&["cc"]) {
        return;
    }
    let program = relinked(&C, "tests/bindings/connectors/whole.c");
    let output = outcome(launch(&program, &["return"]).env("CARBONTRACKER_PUE", "0"));
    let reason = "carbontracker: nothing is measured: CARBONTRACKER_PUE='0'";
    assert!(output.status.code() == Some(7) && stderr(&output).contains(reason), "{output:?}");
    let output = outcome(launch(&program, &["return"]).env("CARBONTRACKER_DISABLE", "1"));
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(7), "complained\n"));
}

#[test]
fn reports_have_the_requested_file_and_format() {
    if !have(&["cc"]) {
        return;
    }
    let program = relinked(&C, "tests/bindings/connectors/whole.c");
    let folder = scratch("places");
    let report = |path: &str, rank: &str| {
        let mut launch = launch(&program, &["moved"]);
        launch.env("CARBONTRACKER_REPORT", path).env("PMI_RANK", rank).current_dir(&folder);
        let output = outcome(launch.env("CARBONTRACKER_NAME", "mine"));
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(7), "complained\n"));
    };
    for (path, rank, file, begins) in [
        ("{rank}.csv", "3", "3.csv", "index,count,"),
        ("page.html", "", "page.html", "<!DOCTYPE html>"),
        ("a-{rank}-b-{rank}.prom", "0", "a-0-b-0.prom", "# HELP carbontracker_"),
        ("text", "0", "text", "mine: done on "),
        ("text", "2", "text.2", "mine: done on "),
        ("x.json", "", "x.json", "{\"schema\":1"),
    ] {
        report(path, rank);
        let text = std::fs::read_to_string(folder.join(file)).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(text.starts_with(begins), "{path}: {text}");
    }
    // The library knows more launchers, and which of them is the innermost.
    let mut launch = launch(&program, &["moved"]);
    launch.env("JSM_NAMESPACE_RANK", "5").env("SLURM_PROCID", "0").env("CARBONTRACKER_REPORT", "{rank}.json");
    assert_eq!(outcome(launch.current_dir(&folder)).status.code(), Some(7));
    assert!(folder.join("5.json").is_file());
    report("{rank}{pid}", "");
    let mut names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(
        names.any(|name| name.len() % 2 == 0 && name.bytes().all(|byte| byte.is_ascii_digit())),
        "no rank: twice the process"
    );
}

#[test]
fn ranks_count_each_device_once_and_only_the_counting_rank_reports() {
    if !have(&["cc", "mpirun.openmpi"]) {
        return;
    }
    let program = relinked(&C, "tests/bindings/connectors/whole.c");
    let mut factors = Vec::new();
    for _ in 0..3 {
        let folder = scratch("ranks");
        let mut launch = command("mpirun.openmpi");
        launch.args(["--allow-run-as-root", "--oversubscribe", "-n", "3", "sh", "-c", r#""$@"; test $? = 7"#, "sh"]);
        launch.arg(&program).args(["return", "400"]).env("CARBONTRACKER_SIM_CPU", "x:100");
        run(launch.env("CARBONTRACKER_REPORT", folder.join("{rank}.json")));
        let usage: Vec<Value> = reports(&folder).into_iter().map(|report| report["usage"].clone()).collect();
        assert_eq!(usage.len(), 3);
        let joules: f64 = usage.iter().filter_map(|usage| usage["energy_j"].as_f64()).sum();
        let longest = usage.iter().filter_map(|usage| usage["duration_s"].as_f64()).fold(0.0, f64::max);
        factors.push(joules / (100.0 * longest));
    }
    assert!(factors.iter().any(|factor| (factor - 1.0).abs() < 0.1), "{factors:?}");

    // If nothing is measured, the first rank reports it, and the others print nothing.
    let nothing = scratch("nothing");
    for (rank, heads) in [("0", 1), ("1", 0)] {
        let mut launch = command(&program);
        launch.arg("return").env("PMI_RANK", rank).env("CARBONTRACKER_SYSROOT", &nothing);
        let output = outcome(launch.env("CARBONTRACKER_NVML", "none"));
        assert_eq!((output.status.code(), stderr(&output).matches(HEAD).count()), (Some(7), heads), "{output:?}");
    }
}

/// The driver registers its exit handler after the object has registered its own. So exit calls the driver's first.
#[test]
fn driver_that_loads_slowly_stays_loaded_until_the_end() {
    if !have(&["cc"]) {
        return;
    }
    let root = scratch("slow");
    let driver = root.join("libnvidia-ml.so.1");
    let gpus = checkout("tests/bindings/mpi/gpus.c");
    run(Command::new("cc").args(["-shared", "-fPIC", "-pthread"]).arg(gpus).arg("-o").arg(&driver));
    let program = relinked(&C, "tests/bindings/connectors/whole.c");
    let mut powers = Vec::new();
    for _ in 0..3 {
        let mut launch = command(&program);
        launch.args(["return", "900"]).env("CARBONTRACKER_COMPONENTS", "gpu").env("CARBONTRACKER_SYSROOT", &root);
        launch.env("CARBONTRACKER_NVML", &driver).env("GPUS_DELAY", "0.3");
        outcome(launch.env("CARBONTRACKER_REPORT", root.join("report.json")));
        let report: Value = serde_json::from_str(&std::fs::read_to_string(root.join("report.json")).unwrap()).unwrap();
        let usage = &report["usage"];
        powers.push(usage["energy_j"].as_f64().unwrap_or(0.0) / usage["duration_s"].as_f64().unwrap());
    }
    assert!(powers.iter().any(|watts| (watts / 600.0 - 1.0).abs() < 0.05), "{powers:?}");
}

#[test]
fn epoch_is_a_region_of_kokkos() {
    if !have(&["cc"]) {
        return;
    }
    let application = build(
        &["cc", "-x", "c", "-std=c99", "-D_GNU_SOURCE", "-pthread"],
        "tests/bindings/connectors/application.c",
        &["-ldl"],
    );
    let folder = scratch("regions");
    let play = |region: &str, what: &str| {
        let mut launch = launch(&application, &[&lib("libkp_carbontracker.so")]);
        launch.args(what.split(' ')).env("CARBONTRACKER_KOKKOS_REGION", region);
        // The connector finds the library in its own folder.
        launch.env_remove("LD_LIBRARY_PATH").env("CARBONTRACKER_REPORT", folder.join("report.json"));
        let output = outcome(&mut launch);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "done\n"), "{what}: {output:?}");
        let report: Value =
            serde_json::from_str(&std::fs::read_to_string(folder.join("report.json")).unwrap()).unwrap();
        (report, stderr(&output))
    };
    let step = "+step nap +solve nap - +solve nap - -";
    for (region, what, epochs, naps) in [
        ("", format!("nap {step} nap {step}"), 2, 3.0),
        ("solve", format!("nap {step} nap {step}"), 4, 1.0),
        ("solve", "+solve nap +solve nap - nap - +solve nap nap nap -".into(), 2, 3.0),
        ("", "- - +a nap - - +b nap - -".into(), 2, 1.0),
        ("", "+a nap - +b nap +c".into(), 2, 1.0),
        ("", "+a other nap - +b nap - join".into(), 2, 1.0),
        ("", "other nap +a - join +a nap -".into(), 2, 1.0),
        ("", "nap nap nap".into(), 1, 3.0),
    ] {
        let (report, errors) = play(region, &what);
        assert_eq!(report["run"]["epochs_done"], epochs, "{region} of {what}: {report}");
        assert!(!report["notes"].to_string().contains("refused"), "{region} of {what}: {report}");
        used(&report);
        let shortest =
            (0..epochs).map(|n| report["epochs"][n]["duration_s"].as_f64().unwrap()).fold(f64::MAX, f64::min);
        assert!(shortest > 0.0499 * naps, "{region} of {what}: {report}");
        assert!(!errors.contains("no region"), "{errors}");
    }
    let (report, _) = play("", "nap nap nap +a nap -");
    let between = report["usage"]["between"]["duration_s"].as_f64().unwrap();
    assert!(between > 0.149, "time before the first region: {report}");
    let (report, errors) = play("slove", step);
    assert!(report["run"]["epochs_done"] == 1 && errors.contains("so the whole run is one epoch: slove\n"), "{errors}");
}

/// Regions and kernels become phases only by choice. The thread of Kokkos::initialize marks them.
#[test]
fn regions_and_kernels_of_kokkos_are_phases_by_choice() {
    if !have(&["cc"]) {
        return;
    }
    let application = build(
        &["cc", "-x", "c", "-std=c99", "-D_GNU_SOURCE", "-pthread"],
        "tests/bindings/connectors/application.c",
        &["-ldl"],
    );
    let file = scratch("kokkos-phases").join("report.json");
    let play = |chosen: &str, region: &str, what: &str| {
        let mut launch = launch(&application, &[&lib("libkp_carbontracker.so")]);
        launch.args(what.split(' ')).env("CARBONTRACKER_KOKKOS_PHASES", chosen).env("CARBONTRACKER_REPORT", &file);
        launch.env("CARBONTRACKER_KOKKOS_REGION", region);
        if chosen == "kernels" {
            launch.env("FENCES", "1");
        }
        let output = outcome(&mut launch);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "done\n"), "{what}: {output:?}");
        let report: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert!(!report["notes"].to_string().contains("refused"), "{what}: {report}");
        (report, stderr(&output))
    };
    let rows = |report: &Value| -> Vec<(String, u64)> {
        let rows = report["phases"]["rows"].as_array().cloned().unwrap_or_default();
        let path = |row: &Value| (row["path"].as_str().unwrap().to_owned(), row["entries"].as_u64().unwrap());
        rows.iter().map(path).filter(|(path, _)| !path.is_empty()).collect()
    };
    let step = "+step +assembly nap - +solve =axpy =axpy - - nap";
    let twice = format!("{step} {step}");
    for (chosen, region, what, epochs, expected) in [
        ("", "", twice.as_str(), 2, vec![]),
        ("regions", "", &twice, 2, vec![("assembly", 2), ("solve", 2)]),
        ("kernels", "", &twice, 2, vec![("assembly", 2), ("solve", 2), ("solve/axpy", 4)]),
        ("regions", "solve", &twice, 2, vec![("step", 2), ("step/assembly", 2)]),
        ("kernels", "", "=first +a +b =second", 1, vec![("first", 1), ("b", 1), ("b/second", 1)]),
        ("regions", "", "- +a + nap - - +a +b - - -", 2, vec![("b", 1)]),
        ("regions", "", "+a other +b nap - join -", 1, vec![("b", 1)]),
    ] {
        let (report, _) = play(chosen, region, what);
        let expected: Vec<_> = expected.into_iter().map(|(path, entries)| (path.to_owned(), entries)).collect();
        assert_eq!(rows(&report), expected, "{chosen} {region} of {what}: {report}");
        assert_eq!(report["run"]["epochs_done"], epochs, "{chosen} {region} of {what}: {report}");
        for row in report["phases"]["rows"].as_array().into_iter().flatten() {
            let (joules, seconds) = (row["energy_j"].as_f64().unwrap(), row["duration_s"].as_f64().unwrap());
            assert!((joules - 100.0 * seconds).abs() < 0.2 * 100.0 * seconds + 1.0, "{row}");
        }
    }
    // The name of a kernel may be long. Regions may nest deeper than phases.
    let (deep, long) = ("+r ".repeat(70) + &"- ".repeat(69) + "-", format!("=x{}", "é".repeat(100)));
    let (report, _) = play("kernels", "", &format!("{deep} {long}"));
    let paths = rows(&report);
    assert_eq!(paths.last().unwrap(), &(format!("x{}", "é".repeat(63)), 1), "{report}");
    assert!(paths.len() >= 60, "{report}");
    let (report, errors) = play("region", "", step);
    assert!(report["phases"].is_null() && errors.contains("KOKKOS_PHASES is regions or kernels"), "{errors}");
}

#[test]
fn real_kokkos_program_is_measured() {
    let header = Path::new("/usr/include/trilinos/Kokkos_Core.hpp");
    if !have(&["c++"]) {
        return;
    }
    if !header.is_file() {
        return skipped("no Kokkos here; tests/tools.sh installs it");
    }
    let compiler = ["c++", "-x", "c++", "-std=c++14", "-O2", "-isystem", "/usr/include/trilinos"];
    let program = build(&compiler, "tests/bindings/connectors/kokkos.cpp", &["-ltrilinos_kokkoscore", "-ldl"]);
    let plain = outcome(&mut launch(&program, &[]));
    let mut measured = launch(&program, &[]);
    // This Kokkos reads the older of the two variables.
    for name in ["KOKKOS_TOOLS_LIBS", "KOKKOS_PROFILE_LIBRARY"] {
        measured.env(name, lib("libkp_carbontracker.so"));
    }
    let phases = program.with_file_name("phases.json");
    measured.env("CARBONTRACKER_KOKKOS_PHASES", "kernels").env("CARBONTRACKER_REPORT", &phases);
    assert!(outcome(&mut measured).status.success());
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&phases).unwrap()).unwrap();
    let row = |path: &str| {
        let rows = report["phases"]["rows"].as_array().unwrap();
        rows.iter().find(|row| row["path"] == path).unwrap_or_else(|| panic!("{path}: {report}"))["entries"].clone()
    };
    assert_eq!((row("sum"), row("sum/harmonic")), (5.into(), 5.into()), "{report}");
    measured.env_remove("CARBONTRACKER_KOKKOS_PHASES").env_remove("CARBONTRACKER_REPORT");
    let output = outcome(measured.env("CARBONTRACKER_EPOCHS", "5"));
    assert_eq!((output.status.code(), stdout(&output)), (Some(0), stdout(&plain)), "{output:?}");
    let text = stderr(&output);
    assert!(
        text.contains("it's: 5 of 5 epochs on ") && text.contains(": x (simulated-cpu, power by simulated)"),
        "{text}"
    );
    assert!(
        text.starts_with("carbontracker: forecast after 2 of 5 epochs, "),
        "the forecast appears while the program runs: {text}"
    );
}
