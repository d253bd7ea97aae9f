//! Runs over MPI that are killed, restarted or spawned, and those of Fortran programs, with Open MPI and MPICH.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::install_tree::{checkout, have, outcome, prefix, run, scratch, skipped};
use crate::mpi_launch::{MPICH, Mpi, OPEN_MPI, TRIES, WARNINGS, machine, near, options, tried};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

#[test]
fn energy_of_a_killed_rank_is_in_the_reports_of_the_others() {
    for mpi in [&OPEN_MPI, &MPICH].into_iter().filter(|mpi| mpi.is_here()) {
        let program = mpi.build("mpicc", &["-std=c99"], &[checkout("tests/bindings/mpi/killed.c")]);
        let root = machine(&format!("{}-killed", mpi.name), &[100]);
        let mut sums = Vec::new();
        for _ in 0..TRIES {
            let folder = scratch(&format!("{}-reports", mpi.name));
            // A launcher ends the job if a signal kills one of its processes. So a shell runs each process.
            let mut launch = mpi.launch(3, Path::new("sh"));
            launch.args(["-c", r#""$@"; sleep 2"#, "sh"]).arg(&program).arg(options(&root)).arg(&folder);
            outcome(&mut launch);
            let reports: HashMap<String, Vec<f64>> = std::fs::read_dir(&folder)
                .unwrap()
                .map(|entry| entry.unwrap())
                .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap()))
                .map(|(rank, text)| (rank, text.split_whitespace().map(|word| word.parse().unwrap()).collect()))
                .collect();
            assert!(reports.contains_key("1") && reports.contains_key("2") && reports.len() == 2, "{reports:?}");
            let known: f64 = reports.values().filter(|report| report[0] == 0.0).map(|report| report[1]).sum();
            let longest = reports.values().map(|report| report[2]).fold(0.0, f64::max);
            sums.push(known / (100.0 * longest));
            if sums.last().is_some_and(|factor| near(*factor, 1.0)) {
                break;
            }
        }
        assert!(sums.last().is_some_and(|factor| near(*factor, 1.0)), "{}: {sums:?}", mpi.name);
    }
}

const MODULES: [&str; 3] = ["carbontracker.f90", "carbontracker_mpi.f90", "carbontracker_mpi_f08.f90"];

/// The needs of a Fortran program over MPI, beside its source and the modules.
struct Fortran {
    /// The flag that names the folder of MPI's own modules.
    modules: String,
    /// carbontracker_mpi.c, compiled.
    glue: PathBuf,
}

impl Fortran {
    fn of(mpi: &Mpi) -> Option<Fortran> {
        let glue = glue(mpi, "mpifort")?;
        let modules = modules(mpi).map(|folder| format!("-I{}", folder.display()));
        if modules.is_none() {
            skipped(&format!("no Fortran modules of {} for this compiler", mpi.name));
        }
        modules.map(|modules| Fortran { modules, glue })
    }
}

/// carbontracker_mpi.c, compiled. None: this MPI is not installed, or has no such Fortran compiler.
fn glue(mpi: &Mpi, compiler: &str) -> Option<PathBuf> {
    let flags = [&WARNINGS[..], &["-std=c99", "-Wpedantic", "-c"]].concat();
    let is_here = mpi.is_here() && have(&[&mpi.tool(compiler)]);
    is_here.then(|| mpi.build("mpicc", &flags, &[prefix().join("include/carbontracker_mpi.c")]))
}

/// The folder of an MPI's Fortran modules. Debian's compiler wrapper of MPICH does not name it.
fn modules(mpi: &Mpi) -> Option<PathBuf> {
    let libraries = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path().join("fortran"));
    let compilers = libraries.filter_map(|path| std::fs::read_dir(path).ok()).flatten().flatten();
    compilers.map(|entry| entry.path().join(mpi.name)).find(|path| path.join("mpi_f08.mod").is_file())
}

/// Writes the README's loop, in C or Fortran, to a file that a program of tests/bindings/mpi includes.
fn readmes_loop(language: &str) -> PathBuf {
    let readme = std::fs::read_to_string(checkout("bindings/mpi/README.md")).unwrap();
    let restarts = readme.split("## Restarts").nth(1).expect("a section of its own");
    let block = restarts.split(&format!("```{language}\n")).nth(1).unwrap().split("```").next().unwrap();
    let folder = scratch(&format!("loop-{language}"));
    std::fs::write(folder.join("loop.inc"), block).unwrap();
    folder
}

/// Rank 0 is killed after its fifth epoch, while rank 1 is in that epoch. In the next attempt rank 1 is killed after
/// its seventh, while rank 0 is in it. Each attempt begins with the same epoch on all ranks. The run ends with eight
/// epochs on all ranks.
fn restarts_with_one_epoch_on_all_ranks(mpi: &Mpi, program: &Path) {
    let folder = scratch(&format!("{}-{}", mpi.name, program.file_name().unwrap().to_string_lossy()));
    let options = format!("epochs=8 name=x sim_cpu=x:100 log_dir='{0}' resume='{0}'", folder.display());
    // A launcher may join the lines of two ranks.
    let lines = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).replace("rank ", "\nrank ");
        let lines = text.lines().map(str::trim).filter(|line| line.starts_with("rank "));
        lines.map(str::to_owned).collect::<BTreeSet<String>>()
    };
    for (killed, after, expected) in [
        ("0", "5", &["rank 0 begins with 0, has 0", "rank 1 begins with 0, has 0"][..]),
        ("1", "7", &["rank 0 begins with 4, has 5", "rank 1 begins with 4, has 4"]),
        (
            "-1",
            "0",
            &[
                "rank 0 begins with 6, has 6",
                "rank 0 ends, has 8 of 8, the run 8",
                "rank 1 begins with 6, has 7",
                "rank 1 ends, has 8 of 8, the run 8",
            ],
        ),
    ] {
        let output = outcome(mpi.launch(2, program).args([&options, killed, after]));
        assert_eq!(output.status.success(), killed == "-1", "{}: {output:?}", mpi.name);
        let expected = expected.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(lines(&output.stdout), expected, "{}: {output:?}", mpi.name);
    }
}

#[test]
fn killed_run_continues_with_the_same_epoch_on_all_ranks() {
    let include = format!("-I{}", readmes_loop("c").display());
    for mpi in [&OPEN_MPI, &MPICH].into_iter().filter(|mpi| mpi.is_here()) {
        let flags = [&WARNINGS[..], &["-std=c99", "-Wpedantic", &include]].concat();
        restarts_with_one_epoch_on_all_ranks(
            mpi,
            &mpi.build("mpicc", &flags, &[checkout("tests/bindings/mpi/restart.c")]),
        );
    }
}

#[test]
fn killed_fortran_run_continues_with_the_same_epoch_on_all_ranks() {
    let include = format!("-I{}", readmes_loop("fortran").display());
    for mpi in [&OPEN_MPI, &MPICH] {
        let Some(Fortran { modules, glue }) = Fortran::of(mpi) else { continue };
        let mut sources = MODULES.map(|file| prefix().join("include").join(file)).to_vec();
        sources.extend([glue, checkout("tests/bindings/mpi/restart_f08.f90")]);
        let program = mpi.build("mpifort", &["-std=f2018", "-Wall", &include, &modules], &sources);
        restarts_with_one_epoch_on_all_ranks(mpi, &program);
    }
}

/// Outside a batch system Open MPI's processes and those that they spawn are one job: each device is counted once,
/// before any sum over a communicator. Debian's MPICH is built without MPI_Comm_spawn.
#[test]
fn spawned_processes_count_with_those_that_spawned_them() {
    if !OPEN_MPI.is_here() {
        return;
    }
    let program = OPEN_MPI.build("mpicc", &["-std=c99"], &[checkout("tests/bindings/mpi/spawn.c")]);
    let options = options(&machine("spawn", &[100]));
    tried(
        || {
            let mut launch = OPEN_MPI.launch(1, &program);
            launch.arg(&options);
            launch
        },
        |output| {
            let times = output.number(0, "counted").1 / (100.0 * output.seconds(0));
            output.drew(0, 100.0)?;
            if near(times, 1.0) { Ok(()) } else { Err(format!("counted {times} times: {}", output.0)) }
        },
    );
}

#[test]
fn fortran_77_ranks_get_the_sum_over_all() {
    for mpi in [&OPEN_MPI, &MPICH] {
        let Some(glue) = glue(mpi, "mpif77") else { continue };
        for spelling in ["-funderscoring", "-fno-underscoring"] {
            let sources = [glue.clone(), checkout("tests/bindings/mpi/ranks_f77.f")];
            let program = mpi.build("mpif77", &["-std=legacy", "-O2", spelling], &sources);
            tried(
                || {
                    let mut launch = mpi.launch(2, &program);
                    launch.env("CARBONTRACKER_SIM_CPU", "x:100");
                    launch
                },
                |output| {
                    let watts = output.number(0, "watts").1;
                    if near(watts, 100.0) { Ok(()) } else { Err(format!("{}: {}", mpi.name, output.0)) }
                },
            );
        }
    }
}

#[test]
fn fortran_ranks_get_the_same_sum() {
    for mpi in [&OPEN_MPI, &MPICH] {
        let Some(Fortran { modules, glue }) = Fortran::of(mpi) else { continue };
        let flags = ["-std=f2018", "-Wall", "-Wextra", "-Werror", "-fcheck=all", &modules];
        for (program, own) in [("ranks_mpi", &MODULES[..2]), ("ranks_f08", &MODULES[..])] {
            let mut sources: Vec<PathBuf> = own.iter().map(|file| prefix().join("include").join(file)).collect();
            sources.extend([glue.clone(), checkout(&format!("tests/bindings/mpi/{program}.f90"))]);
            let program = mpi.build("mpifort", &flags, &sources);
            tried(
                || {
                    let mut launch = mpi.launch(2, &program);
                    launch.env("CARBONTRACKER_SIM_CPU", "x:100");
                    launch
                },
                |output| {
                    assert!(output.0.contains("run of 2 ranks on 1 node\n"), "{}", output.0);
                    let watts = output.number(0, "watts").1;
                    if near(watts, 100.0) { Ok(()) } else { Err(output.0.clone()) }
                },
            );
        }
    }
}

#[test]
fn example_runs() {
    for mpi in [&OPEN_MPI, &MPICH].into_iter().filter(|mpi| mpi.is_here()) {
        let flags = [&WARNINGS[..], &["-std=c99", "-Wpedantic"]].concat();
        let heat = mpi.build("mpicc", &flags, &[prefix().join("share/doc/carbontracker/examples/mpi_heat.c")]);
        let mut temperatures = Vec::new();
        for ranks in [1, 2] {
            let text = run(mpi.launch(ranks, &heat).env("CARBONTRACKER_SIM_CPU", "x:100"));
            let line = text.lines().find(|line| line.starts_with("Temperature ")).unwrap_or_else(|| panic!("{text}"));
            temperatures.push(line.to_owned());
            let plural = if ranks == 1 { "" } else { "s" };
            assert!(text.contains(&format!("run of {ranks} rank{plural} on 1 node\n")), "{text}");
        }
        assert_eq!(temperatures[0], temperatures[1], "the result does not depend on the number of ranks");
    }
}
