//! The Julia package, from an installed tree, by Pkg and by the load path. Stand-ins for the library detect faults that
//! the real library hides.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::install_tree::{checkout, command, julia, outcome, prefix, run, scratch};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Julia with two threads and a separate depot. Its registry is empty, so Julia does not use the network.
fn with_pkg(julia: &Path) -> Command {
    static DEPOT: OnceLock<PathBuf> = OnceLock::new();
    let depot = DEPOT.get_or_init(|| {
        let depot = scratch("depot");
        let registry = depot.join("registries/Empty");
        std::fs::create_dir_all(&registry).expect("a registry");
        let contents = "name = \"Empty\"\nuuid = \"c7e6c3b4-8a4f-4b52-9d0e-6d2d2c0f7a11\"\nrepo = \"\"\n\n[packages]\n";
        std::fs::write(registry.join("Registry.toml"), contents).expect("a registry");
        // compiled once, for all tests
        run(on_load_path(with_depot(julia, &depot)).args(["-e", "using CarbonTracker"]));
        depot
    });
    with_depot(julia, depot)
}

fn with_depot(julia: &Path, depot: &Path) -> Command {
    let mut command = command(julia);
    command.arg("--startup-file=no").env("JULIA_DEPOT_PATH", depot).env("JULIA_NUM_THREADS", "2");
    command.env_remove("JULIA_PROJECT").env_remove("JULIA_LOAD_PATH").current_dir(scratch_of_user());
    command
}

fn on_load_path(mut command: Command) -> Command {
    command.env("JULIA_LOAD_PATH", format!("{}:", prefix().join("share/julia/dev").display()));
    command
}

/// Julia with that depot and the installed package on the load path.
fn with_package(julia: &Path) -> Command {
    on_load_path(with_pkg(julia))
}

/// A folder outside the checkout's source, in which Julia starts.
fn scratch_of_user() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| scratch("user")).clone()
}

/// Builds the stand-in for the library.
fn standin(name: &str, defines: &[&str]) -> PathBuf {
    let library = scratch(name).join("libcarbontracker.so.0");
    let warnings = ["-O2", "-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"];
    let source = checkout("tests/bindings/julia/standin.c");
    run(command("cc").args(warnings).args(defines).arg(source).arg("-o").arg(&library));
    library
}

/// The standard error of a program, which must succeed.
fn warnings(command: &mut Command) -> String {
    let output = outcome(command);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
    text
}

#[test]
fn package_passes_its_own_tests_by_pkg() {
    let Some(julia) = julia() else { return };
    let package = prefix().join("share/julia/dev/CarbonTracker");
    let program = format!("using Pkg; Pkg.develop(path = {package:?}); Pkg.test(\"CarbonTracker\")");
    // Beside the package it finds the library without a setting.
    let output = outcome(with_pkg(&julia).arg("-e").arg(program).env_remove("LD_LIBRARY_PATH"));
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).join("\n");
    assert!(output.status.success() && text.contains("CarbonTracker tests passed"), "{text}");
}

#[test]
fn example_prints_what_the_c_example_prints() {
    let Some(julia) = julia() else { return };
    let examples = checkout("examples");
    let csv = examples.join("digits.csv");
    let options = "epochs=10 name=digits sim_cpu=x:100";
    let program = scratch("c").join("digits");
    let flags = crate::install_tree::pkg_config(&["--cflags", "--libs"]);
    run(command("cc").arg("-O2").arg(examples.join("digits.c")).args(flags).arg("-lm").arg("-o").arg(&program));
    let training = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.starts_with("epoch ")).map(str::to_owned).collect()
    };
    let expected = run(command(&program).arg(&csv).arg(options));
    assert_eq!(training(&expected).len(), 10, "{expected}");
    let play = || run(with_package(&julia).arg(examples.join("digits.jl")).arg(&csv).arg(options));
    let text = play();
    assert_eq!(training(&text), training(&expected));
    assert!(text.lines().any(|line| line.starts_with("forecast: energy ")), "{text}");
    // The report's lines differ only in figures. A busy machine may add a line about what was not measured.
    let words = |text: &str| -> Vec<String> {
        let report = text.lines().skip_while(|line| !line.starts_with("digits: 10 of 10 epochs"));
        let is_word = |word: &&str| !word.contains(|c: char| c.is_ascii_digit());
        report.map(|line| line.split_whitespace().filter(is_word).collect::<Vec<_>>().join(" ")).collect()
    };
    assert!(words(&expected).len() > 6, "{expected}");
    assert!((0..3).any(|_| words(&play()) == words(&expected)), "{text}\n{expected}");

    let untracked = outcome(with_package(&julia).arg(examples.join("digits.jl")).arg(&csv).arg("epoch=3"));
    assert!(untracked.status.success());
    let alone = String::from_utf8_lossy(&untracked.stdout).into_owned();
    assert_eq!(training(&alone).last(), training(&expected).last(), "{alone}");
    let errors = String::from_utf8_lossy(&untracked.stderr);
    assert!(errors.contains("not tracked: unknown option 'epoch': did you mean epochs?"), "{errors}");
}

/// The first block of code in the package's README that begins with these words.
fn readme_block(beginning: &str) -> String {
    let readme = std::fs::read_to_string(prefix().join("share/julia/dev/CarbonTracker/README.md")).expect("a README");
    let mut blocks = readme.split("```julia\n").skip(1).filter_map(|block| block.split("```").next());
    blocks.find(|block| block.starts_with(beginning)).expect("such a block").to_owned()
}

#[test]
fn programs_of_the_readme_run() {
    let Some(julia) = julia() else { return };
    let program = readme_block("using CarbonTracker");
    let text = run(with_package(&julia).arg("-e").arg(&program).env("CARBONTRACKER_NAME", "readme"));
    assert!(text.contains("readme: 10 of 10 epochs"), "{text}");

    // A function plays Flux's `train!`: it passes over the data once.
    let flux = format!(
        "using CarbonTracker
        module Flux; train!(loss, model, data, state) = foreach(x -> loss(model, x), data); end
        loss(model, x) = sleep(0.001); model = nothing; loader = 1:10; opt_state = nothing
        {}",
        readme_block("Tracker(epochs = 20)")
            .replace("over_budget(tracker) && break", "println(usage(tracker).duration_s)")
    );
    assert_eq!(run(with_package(&julia).arg("-e").arg(flux)).lines().count(), 20);

    let untracked = format!("using CarbonTracker\n{}\nprintln(isopen(tracker))", readme_block("tracker = try"));
    assert_eq!(run(with_package(&julia).arg("-e").arg(&untracked)), "true\n");
    let mut misled = with_package(&julia);
    misled.arg("-e").arg(&untracked).env("ZONE", "nowhere");
    let warned = warnings(&mut misled);
    assert!(warned.contains("not tracked") && warned.contains("nowhere"), "{warned}");
    assert_eq!(run(&mut misled), "false\n");
}

#[test]
fn library_of_another_abi_is_refused_and_training_continues() {
    let Some(julia) = julia() else { return };
    let library = standin("abi", &["-DABI=7"]);
    let program = "using CarbonTracker; t = Tracker(epochs = 3); epoch!(() -> println(42), t); println(isopen(t))";
    let mut other = with_package(&julia);
    other.arg("-e").arg(program).env("CARBONTRACKER_LIB", &library);
    assert_eq!(run(&mut other), "42\nfalse\n");
    let warned = warnings(&mut other);
    assert_eq!(warned.matches("Warning").count(), 1, "{warned}");
    assert!(warned.contains("has ABI version 7, this package needs 0"), "{warned}");
    // A library that lacks a function is refused too.
    other.env("CARBONTRACKER_LIB", "libm.so.6");
    assert_eq!(run(&mut other), "42\nfalse\n");
    assert!(warnings(&mut other).contains("ct_abi_version"));
}

#[test]
fn carbontracker_disable_turns_everything_off() {
    let Some(julia) = julia() else { return };
    let program = "using CarbonTracker; t = Tracker(epochs = 3); epoch!(() -> println(42), t); println(isopen(t))";
    let mut disabled = with_package(&julia);
    disabled.arg("-e").arg(program).env("CARBONTRACKER_DISABLE", "1");
    assert_eq!(run(&mut disabled), "42\nfalse\n");
    assert_eq!(warnings(&mut disabled), "");
}

#[test]
fn package_has_the_numbers_of_the_header() {
    let read = |path: &str| std::fs::read_to_string(checkout(path)).expect(path);
    let numbers = |text: &str, kind: &str| {
        let lines = text.lines().map(|line| line.trim().replace([',', '(', ')', '='], " ").replace(kind, ""));
        let words = lines.map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        words
            .filter(|words| words.len() == 2 && words[0].starts_with("CT_") && words[1].parse::<i32>().is_ok())
            .collect()
    };
    let header: Vec<_> = numbers(&read("include/carbontracker.h"), "");
    assert_eq!(header.len(), 10, "{header:?}");
    let package = read("bindings/julia/src/library.jl").replace("const ", "");
    assert_eq!(numbers(&package, "Int32"), header);
    let abi = |text: &str, before: &str| text.split(before).nth(1).and_then(|rest| rest.chars().next());
    assert_eq!(abi(&package, "ABI_VERSION = UInt32("), abi(&read("include/carbontracker.h"), "CT_ABI_VERSION "));
}

#[test]
fn no_call_runs_beside_or_after_a_trackers_end() {
    let Some(julia) = julia() else { return };
    let library = standin("strict", &[]);
    let text =
        run(with_package(&julia).arg(checkout("tests/bindings/julia/gate.jl")).env("CARBONTRACKER_LIB", library));
    assert_eq!(text, "1000 races\n");
}

#[test]
fn waiting_call_delays_no_garbage_collection() {
    let Some(julia) = julia() else { return };
    let library = standin("waiting", &[]);
    let text =
        run(with_package(&julia).arg(checkout("tests/bindings/julia/waits.jl")).env("CARBONTRACKER_LIB", library));
    assert_eq!(text, "create true\nvalue true\nreport true\nclose true\n");
}
