//! The Fortran module and the FORTRAN 77 entries, as gfortran and fpm build them from the installed tree.
//!
//! The programs tests/bindings/fortran/*.f90 check themselves. Each is built in several dialects, once with warnings as
//! errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::install_tree::{checkout, command, have, outcome, pkg_config, prefix, run, scratch};
use crate::{is_forecast_message, without_gaps};
use std::path::{Path, PathBuf};
use std::process::Output;

const STRICT: &[&str] = &["-Wall", "-Wextra", "-Werror"];
const CHECKED: &[&str] = &["-std=f2008", "-O0", "-g", "-fcheck=all", "-ffpe-trap=invalid,zero,overflow"];
const OPTIMISED: &[&str] = &["-std=f2018", "-O3", "-fopenmp"];
/// Unusual default kinds, and names without underscores.
const OTHER_KINDS: &[&str] = &["-std=f2008", "-O1", "-fdefault-real-8", "-fdefault-integer-8", "-fno-underscoring"];
const DIALECTS: [&[&str]; 3] = [CHECKED, OPTIMISED, OTHER_KINDS];

/// A folder, and the arguments of gfortran there.
struct Lab {
    dir: PathBuf,
    flags: Vec<&'static str>,
    libraries: Vec<String>,
}

impl Lab {
    fn new(name: &str, flags: &[&[&'static str]]) -> Lab {
        Lab { dir: scratch(name), flags: flags.concat(), libraries: pkg_config(&["--libs"]) }
    }

    /// Compiles as the README shows: the module's source first, then the others, and the flags of pkg-config.
    fn build(&self, name: &str, sources: &[PathBuf]) -> PathBuf {
        let program = self.dir.join(name);
        let mut gfortran = command("gfortran");
        gfortran.current_dir(&self.dir).args(&self.flags).args(sources).args(&self.libraries).arg("-o").arg(&program);
        run(&mut gfortran);
        program
    }

    fn module_program(&self, name: &str) -> PathBuf {
        self.build(name, &[module(), own("check"), own(name)])
    }
}

/// A program of tests/bindings/fortran.
fn own(name: &str) -> PathBuf {
    checkout(&format!("tests/bindings/fortran/{name}.f90"))
}

/// Runs a program that checks itself, on a simulated processor. It runs again if it fails, because some checks depend
/// on time and the machine may be busy.
fn assert_passes(program: &Path) -> Output {
    let mut output = simulated(program);
    for _ in 0..2 {
        if !output.status.success() {
            eprintln!("tried again: {}: {output:?}", program.display());
            output = simulated(program);
        }
    }
    assert!(output.status.success() && text(&output.stdout) == "passed\n", "{}: {output:?}", program.display());
    output
}

fn module() -> PathBuf {
    prefix().join("include/carbontracker.f90")
}

fn example(name: &str) -> PathBuf {
    prefix().join("share/doc/carbontracker/examples").join(name)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn simulated(program: &Path) -> Output {
    let folder = program.parent().expect("a folder"); // for the program's files
    outcome(command(program).current_dir(folder).env("CARBONTRACKER_SIM_CPU", "x:100"))
}

#[test]
fn module_programs_pass_in_every_dialect() {
    if !have(&["gfortran"]) {
        return;
    }
    for (n, dialect) in DIALECTS.into_iter().enumerate() {
        let lab = Lab::new(&format!("dialect-{n}"), &[dialect, STRICT]);
        for name in ["lifecycle", "copies", "texts", "options", "threads", "spelled"] {
            assert_passes(&lab.module_program(name));
        }
    }
}

/// Old makefiles make every variable static and allow escapes by backslash. The module must not be compiled so.
#[test]
fn module_compiled_apart_serves_programs_with_static_variables() {
    if !have(&["gfortran"]) {
        return;
    }
    let lab = Lab::new("apart", &[&["-O2", "-fno-automatic", "-fbackslash"]]);
    let compile = |flags: &[&str]| {
        let mut gfortran = command("gfortran");
        gfortran.current_dir(&lab.dir).args(flags).arg("-c").arg(module()).args(["-o", "carbontracker.o"]);
        outcome(&mut gfortran)
    };
    let refused = compile(&lab.flags);
    assert!(text(&refused.stderr).contains("SAVE attribute"), "{refused:?}");
    assert!(compile(&["-O2", "-fbackslash"]).status.success());
    for name in ["lifecycle", "texts", "options"] {
        let sources = [lab.dir.join("carbontracker.o"), own("check"), own(name)];
        assert_passes(&lab.build(name, &sources));
    }
}

#[test]
fn failures_without_stat_are_lines_on_standard_error() {
    if !have(&["gfortran"]) {
        return;
    }
    let output = assert_passes(&Lab::new("errors", &[CHECKED, STRICT]).module_program("errors"));
    let errors = text(&output.stderr);
    let lines: Vec<&str> = errors.lines().collect();
    let expected = [
        "carbontracker: ct_epoch_end: no epoch is open",
        "carbontracker: ct_epoch_end: no epoch is open",
        "carbontracker: ct_phase_end: no phase is open",
        "carbontracker: format 'txet'",
        "[]",
        "carbontracker: unknown option 'epoch'",
    ];
    assert_eq!(lines.len(), expected.len(), "{errors}");
    for expected in expected {
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{expected}: {errors}");
    }
}

#[test]
fn disabled_process_continues_without_a_message() {
    if !have(&["gfortran"]) {
        return;
    }
    let digits = Lab::new("disabled", &[]).build("digits", &[module(), example("digits.f90")]);
    let output = outcome(command(digits).arg(example("digits.csv")).env("CARBONTRACKER_DISABLE", "1"));
    let printed = text(&output.stdout);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(printed.ends_with(" %\n") && printed.contains("energy unknown"), "{printed}");
}

#[test]
fn statuses_are_those_of_the_header() {
    let source = std::fs::read_to_string(module()).unwrap();
    let header = std::fs::read_to_string(prefix().join("include/carbontracker.h")).unwrap();
    let statuses: Vec<(&str, &str)> = header
        .lines()
        .filter_map(|line| line.trim().trim_end_matches(',').split_once(" = "))
        .filter(|(name, _)| name.starts_with("CT_"))
        .collect();
    assert_eq!(statuses.len(), 10, "{statuses:?}");
    for (name, value) in statuses {
        let line = format!("integer, parameter :: {} = {value} ", name.to_lowercase());
        assert!(source.contains(&line), "{line}");
        assert!(source.lines().any(|line| line.contains("public ::") && line.contains(&name.to_lowercase())), "{name}");
    }
}

#[test]
fn lines_are_short_enough_for_every_compiler() {
    for source in [module(), example("digits.f90"), example("heat.f")] {
        let limit = if source.extension().is_some_and(|form| form == "f") { 72 } else { 132 };
        let text = std::fs::read_to_string(&source).unwrap();
        assert!(text.lines().all(|line| line.len() <= limit && line.is_ascii()), "{}", source.display());
    }
}

#[test]
fn fortran_77_calls_the_entries() {
    if !have(&["gfortran"]) {
        return;
    }
    let dialects: [&[&str]; 4] = [
        &["-std=legacy", "-Wall", "-Wextra", "-Werror"],
        &["-std=legacy", "-fno-underscoring", "-O3"],
        &["-std=legacy", "-fno-automatic", "-finit-local-zero", "-O2"],
        &["-std=f95", "-ffpe-trap=invalid,zero,overflow", "-fcheck=all"],
    ];
    for (n, dialect) in dialects.into_iter().enumerate() {
        let program = Lab::new(&format!("entries-{n}"), &[dialect])
            .build("entries", &[checkout("tests/bindings/fortran/entries.f")]);
        assert_passes(&program);
    }
}

#[test]
fn fortran_77_gets_the_message_of_a_failed_start() {
    if !have(&["gfortran"]) {
        return;
    }
    let lab = Lab::new("why", &[&["-std=legacy", "-Wall", "-Wextra", "-Werror"]]);
    let program = lab.build("why", &[checkout("tests/bindings/fortran/why.f")]);
    let output = outcome(command(&program).env("CARBONTRACKER_PUE", "abc"));
    let printed = text(&output.stdout);
    let begins = printed.starts_with("-1 CARBONTRACKER_PUE='abc'");
    assert!(output.stderr.is_empty() && begins && printed.ends_with("  \n"), "{output:?}");
}

#[test]
fn program_linked_with_static_runs_and_ends_well() {
    if !have(&["gfortran"]) {
        return;
    }
    let mut lab = Lab::new("static", &[&["-static", "-O2", "-fopenmp"]]);
    lab.libraries = pkg_config(&["--static", "--libs"]);
    let programs = [
        lab.module_program("lifecycle"),
        lab.module_program("threads"),
        lab.build("entries", &[checkout("tests/bindings/fortran/entries.f")]),
    ];
    for program in programs {
        assert_passes(&program);
        assert!(!run(command("readelf").arg("-d").arg(&program)).contains("NEEDED"), "{}", program.display());
    }
}

#[test]
fn training_example_prints_what_the_c_program_prints() {
    if !have(&["gfortran", "cc"]) {
        return;
    }
    let lab = Lab::new("digits", &[&["-O2"], &["-std=f2008"], STRICT]);
    let fortran = lab.build("digits", &[module(), example("digits.f90")]);
    let c = lab.dir.join("digits-c");
    let mut cc = command("cc");
    cc.arg("-O2").arg(checkout("examples/digits.c")).args(pkg_config(&["--cflags", "--libs"])).args(["-lm", "-o"]);
    run(cc.arg(&c));
    let printed = |program: &Path, options: Option<&str>| {
        let output = outcome(command(program).arg(example("digits.csv")).args(options));
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        without_figures(&text(&output.stdout))
    };
    for options in [None, Some("epochs=10 name=digits location=DK sim_cpu=x:100")] {
        let (ours, theirs) = (printed(&fortran, options), printed(&c, options));
        assert_eq!(ours, theirs);
        assert!(
            ours.contains("digits: # of # epochs") && ours.contains("forecast: energy # unit, time # unit\n"),
            "{ours}"
        );
    }
    let refused = outcome(command(&fortran).arg(example("digits.csv")).arg("epoch=3"));
    assert!(refused.status.success(), "{refused:?}");
    assert!(text(&refused.stderr).starts_with("not tracked: unknown option 'epoch'"), "{refused:?}");
    let usage = outcome(&mut command(&fortran));
    assert!(usage.status.code() == Some(1) && text(&usage.stderr).starts_with("usage: digits digits.csv"), "{usage:?}");
}

/// Lines of training stay as they are. In all others, placeholders replace figures and units. Forecasts are left out:
/// they appear when readings have arrived, which differs from run to run.
fn without_figures(printed: &str) -> String {
    let mut lines = String::new();
    for line in printed.lines().filter(|line| !is_forecast_message(line)) {
        if line.starts_with("epoch ") {
            lines.push_str(line);
        } else {
            let line = &without_intervals(without_gaps(line));
            let is_figure = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
            let words = line.split(' ').map(|word| match word.trim_matches([',', ':', '(', ')']) {
                unit @ ("mg" | "g" | "mJ" | "J" | "kJ" | "mWh" | "Wh" | "mW" | "W" | "kW" | "ms" | "s") => {
                    word.replace(unit, "unit")
                }
                figure if is_figure(figure) => word.replace(figure, "#"),
                _ => word.to_owned(),
            });
            lines.push_str(&words.collect::<Vec<_>>().join(" "));
        }
        lines.push('\n');
    }
    lines
}

/// An estimate's interval, "(0.33 to 1.5 J)", has one unit or two.
fn without_intervals(line: &str) -> String {
    let mut parts = line.split('(');
    let mut rest = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let interval = part
            .split_once(')')
            .filter(|(inside, _)| inside.starts_with(|c: char| c.is_ascii_digit()) && inside.contains(" to "));
        match interval {
            Some((_, after)) => rest.push_str(&format!("(interval){after}")),
            None => rest.push_str(&format!("({part}")),
        }
    }
    rest
}

#[test]
fn fortran_77_example_tracks_its_loop() {
    if !have(&["gfortran"]) {
        return;
    }
    let program = Lab::new("heat", &[&["-std=legacy", "-O2"], STRICT]).build("heat", &[example("heat.f")]);
    let output = simulated(&program);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let printed = text(&output.stdout);
    let figure = |label: &str| {
        let line = printed.lines().find(|line| line.trim_start().starts_with(label)).expect(label);
        line.split_whitespace().next_back().unwrap().parse::<f64>().expect(label)
    };
    let (forecast, energy, co2) = (figure("FORECAST"), figure("ENERGY"), figure("CO2E"));
    assert!(energy > 0.0 && co2 > 0.0 && forecast > energy / 10.0 && forecast < energy * 10.0, "{printed}");
    assert!((81.0..82.0).contains(&figure("NEAR")), "{printed}");
}

/// Writes the README's program to a folder with the examples, and runs the README's commands there.
#[test]
fn program_of_the_readme_compiles_and_runs() {
    if !have(&["gfortran"]) {
        return;
    }
    let lab = Lab::new("readme", &[]);
    let readme = std::fs::read_to_string(prefix().join("share/fpm/carbontracker/README.md")).unwrap();
    let blocks = |language: &str| -> Vec<String> {
        let opening = format!("```{language}\n");
        readme.split(&opening).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
    };
    std::fs::write(lab.dir.join("loop.f90"), &blocks("fortran")[0]).unwrap();
    std::fs::copy(example("heat.f"), lab.dir.join("heat.f")).unwrap();
    let commands = blocks("sh");
    assert_eq!(commands.len(), 2);
    let printed = run(command("sh").current_dir(&lab.dir).args(["-e", "-c", &commands.join("")]));
    for expected in ["forecast after ", "10 of 10 epochs", "energy  ", " J, sum  1.6", "CO2E, G:"] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
}

/// Debian has no package of fpm. If fpm is missing, the test calls gfortran as fpm would.
#[test]
fn fpm_builds_the_package() {
    if !have(&["gfortran"]) {
        return;
    }
    let package = prefix().join("share/fpm/carbontracker");
    let manifest = std::fs::read_to_string(package.join("fpm.toml")).unwrap();
    assert!(manifest.contains(concat!("version = \"", env!("CARGO_PKG_VERSION"), "\"")), "{manifest}");
    let app = scratch("fpm");
    std::fs::create_dir(app.join("app")).unwrap();
    std::fs::copy(example("digits.f90"), app.join("app/main.f90")).unwrap();
    std::os::unix::fs::symlink(&package, app.join("carbontracker")).unwrap();
    std::fs::write(app.join("fpm.toml"), FPM_APP).unwrap();
    let lib = prefix().join("lib");
    let mut fpm = command("fpm");
    let ran = fpm.current_dir(&app).env("LIBRARY_PATH", &lib).args(["run", "--"]).arg(example("digits.csv")).output();
    let printed = match ran {
        Ok(output) if output.status.code() != Some(127) => {
            assert!(output.status.success(), "{output:?}");
            text(&output.stdout)
        }
        _ => {
            let flags = "-Wall -Wextra -fPIC -fmax-errors=1 -g -fcheck=bounds -fcheck=array-temps -fbacktrace -fcoarray=single \
                         -fimplicit-none -Werror=implicit-interface -ffree-form";
            let mut gfortran = command("gfortran");
            gfortran.current_dir(&app).args(flags.split_whitespace()).arg(package.join("src/carbontracker.f90"));
            gfortran.arg("app/main.f90").arg("-L").arg(&lib).args(["-lcarbontracker", "-o", "main"]);
            run(&mut gfortran);
            run(command(app.join("main")).arg(example("digits.csv")))
        }
    };
    assert!(printed.contains("digits: 10 of 10 epochs"), "{printed}");
}

const FPM_APP: &str = r#"name = "app"
version = "0.1.0"

[dependencies]
carbontracker-fortran = { path = "carbontracker" }
"#;
