//! The installed C++ header: in every standard, with and without exceptions, and in real training libraries.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::install_tree::{checkout, command, have, outcome, pkg_config, prefix, run, scratch, skipped};
use crate::is_forecast_message;
use std::path::{Path, PathBuf};
use std::process::Command;

const STANDARDS: [&str; 5] = ["c++11", "c++14", "c++17", "c++20", "c++23"];
const WARNINGS: [&str; 5] = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"];
const NO_EXCEPTIONS: [&str; 2] = ["-fno-exceptions", "-fno-rtti"];

fn program(name: &str) -> PathBuf {
    checkout(&format!("tests/bindings/cpp/{name}.cpp"))
}

fn compiler() -> String {
    std::env::var("CXX").unwrap_or("c++".into())
}

/// The compiler with the flags that a user has from pkg-config.
fn compile(standard: &str) -> Command {
    let mut command = command(compiler());
    command.arg(format!("-std={standard}")).args(pkg_config(&["--cflags"]));
    command
}

/// Builds a program of several units, linked with the library and with these arguments.
fn build(dir: &Path, standard: &str, flags: &[&str], units: &[PathBuf], libraries: &[&str]) -> PathBuf {
    let program = dir.join(format!("{}-{standard}", units[0].file_stem().unwrap().to_str().unwrap()));
    let mut compile = compile(standard);
    run(compile.args(flags).args(units).args(pkg_config(&["--libs"])).args(libraries).arg("-o").arg(&program));
    program
}

/// Builds and runs the programs that need only the header.
fn programs_run(standard: &str) {
    if !have(&[&compiler(), "pkg-config"]) {
        return;
    }
    let dir = scratch(standard);
    for name in ["epochs", "phases", "tracker", "options"] {
        run(&mut command(build(&dir, standard, &WARNINGS, &[program(name)], &[])));
    }
    let flags = [&WARNINGS[..], &NO_EXCEPTIONS].concat();
    run(&mut command(build(&dir, standard, &flags, &[program("no_exceptions")], &[])));
}

#[test]
fn programs_run_as_cxx11() {
    programs_run("c++11");
}

#[test]
fn programs_run_as_cxx23() {
    programs_run("c++23");
}

#[test]
fn header_compiles_without_a_warning_in_every_standard() {
    if !have(&[&compiler(), "pkg-config"]) {
        return;
    }
    let most = ["-fsyntax-only", "-Wconversion", "-Wsign-conversion", "-Wold-style-cast", "-Wnon-virtual-dtor"];
    for standard in STANDARDS.into_iter().chain(["gnu++11"]) {
        run(compile(standard).args(WARNINGS).arg("-fsyntax-only").arg(program("epochs")));
        for flags in [&[][..], &NO_EXCEPTIONS] {
            let mut check = compile(standard);
            check.args(WARNINGS).args(most).args(flags);
            run(check.args(["-x", "c++", "-include"]).arg(prefix().join("include/carbontracker.hpp")).arg("/dev/null"));
        }
    }
}

#[test]
fn two_units_of_different_standards_are_one_program() {
    if !have(&[&compiler(), "pkg-config"]) {
        return;
    }
    let dir = scratch("units");
    let other = dir.join("unit_b.o");
    run(compile("c++20").args(WARNINGS).arg("-c").arg(program("unit_b")).arg("-o").arg(&other));
    run(&mut command(build(&dir, "c++11", &WARNINGS, &[program("unit_a"), other], &[])));
}

/// Wrong uses of the header do not compile.
#[test]
fn mistakes_are_refused() {
    if !have(&[&compiler(), "pkg-config"]) {
        return;
    }
    let dir = scratch("mistakes");
    let mistakes = [
        ("t.epoch();", "-Wunused-result", true),
        ("t.epochs(3);", "-Wunused-result", true),
        ("t.phase(\"solve\");", "-Wunused-result", true),
        ("auto a = t.phase(\"a\"), b = t.phase(\"b\"); a = std::move(b);", "deleted", true),
        ("ct_status s; carbontracker::tracker::create(\"\", s);", "-Wunused-result", true),
        ("auto copy = t;", "deleted", true),
        ("auto e = t.epoch(); auto copy = e;", "deleted", true),
        ("carbontracker::tracker implied = \"epochs=3\";", "conversion from", true),
        ("t.value(\"/pue\", 1.0);", "cannot bind", true),
        ("for (auto&& e : t.epochs(2.5)) (void)e;", "an integer", true),
        ("carbontracker::options().set(\"epochs\", t);", "no matching function", true),
        ("auto e = t.epoch(); for (auto&& f : t.epochs(2)) f.progress(e.end(), 1);", "", false),
    ];
    // The compiler takes header.hpp.gch, compiled once, for the file that -include names.
    let (header, source) = (dir.join("header.hpp"), dir.join("mistake.cpp"));
    std::fs::write(&header, "#include <carbontracker.hpp>\n").expect("written");
    for standard in ["c++11", "c++20"] {
        let checks = || {
            let mut compile = compile(standard);
            compile.args(["-Wall", "-Werror"]);
            compile
        };
        run(checks().args(["-x", "c++-header"]).arg(&header).arg("-o").arg(dir.join("header.hpp.gch")));
        for (body, complaint, is_mistake) in mistakes {
            std::fs::write(&source, format!("void f(carbontracker::tracker &t) {{ {body} }}\n")).expect("written");
            let checked = outcome(checks().arg("-fsyntax-only").arg("-include").arg(&header).arg(&source));
            let complaints = String::from_utf8_lossy(&checked.stderr);
            assert_eq!(!checked.status.success(), is_mistake, "{standard}: {body}\n{complaints}");
            let complaint = complaint.replace("-Wunused", "-Werror=unused");
            assert!(complaints.contains(&complaint), "{standard}: {body}: no \"{complaint}\" in\n{complaints}");
        }
    }
}

#[test]
fn numbers_keep_their_point_where_the_locale_has_a_comma() {
    if !have(&[&compiler(), "pkg-config", "localedef"]) {
        return;
    }
    let dir = scratch("locale");
    // One decimal point is a comma, the other has two bytes.
    let locales = ["de_DE", "ps_AF"].map(|name| format!("{name}.UTF-8"));
    for name in &locales {
        let (language, charset) = name.split_once('.').unwrap();
        let made = outcome(command("localedef").args(["-i", language, "-f", charset]).arg(dir.join(name)));
        if !made.status.success() {
            return skipped("the locales' sources are not here; on Debian they are the package locales");
        }
    }
    let program = build(&dir, "c++17", &["-O1"], &[program("options")], &[]);
    run(command(program).args(locales).env("LOCPATH", &dir));
}

#[test]
fn sanitizers_find_nothing() {
    if !have(&[&compiler(), "pkg-config"]) {
        return;
    }
    let dir = scratch("sanitized");
    let flags = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"];
    for name in ["epochs", "phases", "tracker", "options"] {
        let program = build(&dir, "c++11", &flags, &[program(name)], &[]);
        run(command(program).env("ASAN_OPTIONS", "detect_leaks=1:detect_stack_use_after_return=1"));
    }
}

/// The lines of a run of the training example. Only the lines of training keep their figures.
fn lines(text: &str) -> Vec<String> {
    let is_figure = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | 'm' | 'µ' | ' ');
    let comparable = |line: &str| match line.starts_with("epoch ") {
        true => line.to_owned(),
        false => line.replace(is_figure, ""),
    };
    text.lines().filter(|line| !is_forecast_message(line)).map(comparable).collect()
}

#[test]
fn example_prints_what_the_c_program_does() {
    let c = std::env::var("CC").unwrap_or("cc".into());
    if !have(&[&compiler(), &c, "pkg-config"]) {
        return;
    }
    let dir = scratch("digits");
    let examples = checkout("examples");
    let in_cxx = build(&dir, "c++11", &[&["-O2"], &WARNINGS[..]].concat(), &[examples.join("digits.cpp")], &[]);
    let in_c = dir.join("digits-c");
    let flags = pkg_config(&["--cflags", "--libs"]);
    run(command(c).arg("-O2").arg(examples.join("digits.c")).args(flags).arg("-lm").arg("-o").arg(&in_c));
    let digits = examples.join("digits.csv");
    for options in ["epochs=10 name=digits sim_cpu=x:100", "pue=none"] {
        let [ours, theirs] = [&in_cxx, &in_c].map(|program| outcome(command(program).arg(&digits).arg(options)));
        assert!(ours.status.success() && ours.stderr == theirs.stderr);
        let [ours, theirs] = [ours, theirs].map(|run| String::from_utf8_lossy(&run.stdout).into_owned());
        assert_eq!(lines(&ours), lines(&theirs), "\n{ours}\n{theirs}");
        assert!(ours.contains("epoch 10  loss 0.1900  accuracy 94.2 %"), "{ours}");
    }
    let usage = outcome(&mut command(&in_cxx));
    assert!(!usage.status.success() && String::from_utf8_lossy(&usage.stderr).contains("digits.csv [OPTIONS]"));
}

#[test]
fn programs_of_the_readme_compile_and_run() {
    if !have(&[&compiler(), "pkg-config"]) {
        return;
    }
    let dir = scratch("readme");
    let readme = std::fs::read_to_string(checkout("bindings/cpp/README.md")).expect("its README");
    let programs: Vec<&str> = readme.split("```cpp\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!programs.is_empty());
    for (number, text) in programs.iter().enumerate() {
        let source = dir.join(format!("readme{number}.cpp"));
        // A block without main is the body of a function that declares the text's variables.
        let whole = match text.contains("int main(") {
            true => (*text).to_owned(),
            false => format!(
                "#include <carbontracker.hpp>\n#include <cstdio>\n#include <iostream>\n\
                 bool has_converged() {{ return true; }}\nvoid train_one_epoch() {{}}\nbool is_first_rank = true;\n\
                 int main() {{\ncarbontracker::tracker tracker(\"epochs=3\");\n\
                 for (auto &&epoch : tracker.epochs(1)) (void)epoch;\n{{\n{text}}}\n}}\n"
            ),
        };
        std::fs::write(&source, whole).expect("written");
        let program = build(&dir, "c++11", &["-Wall", "-Wextra"], &[source], &[]);
        run(command(program).env("CARBONTRACKER_SIM_CPU", "x:100"));
    }
}

/// Builds and runs a training with another library. The program checks the report.
fn trains(name: &str, standard: &str, header: &str, flags: &[&str], libraries: &[&str]) -> Option<String> {
    if !have(&[&compiler(), "pkg-config"]) {
        return None;
    }
    if !Path::new(header).exists() {
        skipped(&format!("{header} not here; tests/tools.sh installs it"));
        return None;
    }
    let program = build(&scratch(name), standard, &[&["-O1"], flags].concat(), &[program(name)], libraries);
    let digits = checkout("examples/digits.csv");
    Some(run(command(program).arg(digits).env("OMP_NUM_THREADS", "1")))
}

#[test]
fn libtorch_training_is_measured() {
    let flags = ["-isystem", "/usr/include/torch/csrc/api/include"];
    let libraries = ["-ltorch", "-ltorch_cpu", "-lc10", "-lglog"];
    if let Some(text) =
        trains("torch", "c++17", "/usr/include/torch/csrc/api/include/torch/torch.h", &flags, &libraries)
    {
        assert!(text.contains("of 40 epochs on") && text.contains("a stop now saves it"), "{text}");
    }
}

#[test]
fn dlib_training_is_measured() {
    if let Some(text) = trains("dlib", "c++14", "/usr/include/dlib/dnn.h", &[], &["-ldlib", "-l:libblas.so.3"]) {
        assert!(text.contains("dlib: 5 of 5 epochs on"), "{text}");
    }
}

#[test]
fn lammps_time_loop_is_measured() {
    if let Some(text) = trains("lammps", "c++11", "/usr/include/lammps/library.h", &[], &["-llammps"]) {
        assert!(text.contains("melt: 5 of 5 epochs on"), "{text}");
    }
}
