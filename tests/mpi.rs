//! MPI runs against the installed tree, with Open MPI and MPICH: whatever the ranks do, the run's number is what its
//! devices used, and all ranks are told the same. The counters' energy is known at every instant (tests/mpi/served.h).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod installed;

use installed::{checkout, command, have, outcome, pkg_config, prefix, run, scratch, skipped};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Off by more than this, something was counted wrongly.
const TOLERANCE: f64 = 0.05;
/// A machine that runs other things too may hold up a rank at will.
const TRIES: usize = 3;
const OPEN_MPI: Mpi =
    Mpi { name: "openmpi", run: &["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-q"] };
const MPICH: Mpi = Mpi { name: "mpich", run: &[] };
const WARNINGS: [&str; 6] = ["-O2", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"];

struct Mpi {
    name: &'static str,
    run: &'static [&'static str],
}

impl Mpi {
    fn tool(&self, name: &str) -> String {
        format!("{name}.{}", self.name)
    }

    fn is_here(&self) -> bool {
        have(&["mpirun", "mpicc"].map(|name| self.tool(name)).each_ref().map(String::as_str))
    }

    /// A program of the checkout, built by this MPI's compiler.
    fn build(&self, compiler: &str, flags: &[&str], sources: &[PathBuf]) -> PathBuf {
        let stem = sources.last().and_then(|path| path.file_stem()).and_then(|stem| stem.to_str()).expect("a name");
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let program = scratch(&format!("{stem}-{}", NUMBER.fetch_add(1, Relaxed))).join(stem);
        let mut compile = command(self.tool(compiler));
        compile.args(flags).args(sources).arg("-o").arg(&program).current_dir(program.parent().expect("a folder"));
        run(compile.args(pkg_config(&["--cflags", "--libs"])));
        program
    }

    fn ranks(&self) -> PathBuf {
        let flags = [&WARNINGS[..], &["-std=c99", "-Wpedantic"]].concat();
        self.build("mpicc", &flags, &[checkout("tests/mpi/ranks.c")])
    }

    /// So many ranks of a program.
    fn launch(&self, ranks: usize, program: &Path) -> Command {
        let mut launch = command(self.tool("mpirun"));
        launch.args(self.run).arg("-n").arg(ranks.to_string()).arg(program);
        launch
    }
}

/// A /sys whose packages draw so many watts each.
fn machine(name: &str, watts: &[u32]) -> PathBuf {
    let root = scratch(name);
    for (package, watts) in watts.iter().enumerate() {
        let zone = root.join(format!("sys/class/powercap/intel-rapl:{package}"));
        std::fs::create_dir_all(&zone).unwrap();
        std::fs::write(zone.join("name"), format!("package-{package}\n")).unwrap();
        std::fs::write(zone.join("max_energy_range_uj"), "262143328850\n").unwrap();
        std::fs::write(zone.join("energy_uj"), format!("served {watts}\n")).unwrap();
    }
    root
}

fn options(root: &Path) -> String {
    format!("epochs=4 pue=2 intensity=360 sysroot='{}'", root.display())
}

/// What tests/mpi/ranks.c says of its runs.
struct Told(String);

impl Told {
    /// A number of a run: its status, the value, the nodes that lack it.
    fn number(&self, of: usize, name: &str) -> (i32, f64, i32) {
        let start = format!("{of} {name} ");
        let line = self.0.lines().find_map(|line| line.strip_prefix(&start));
        let words: Vec<&str> = line.unwrap_or_else(|| panic!("{start}in\n{}", self.0)).split(' ').collect();
        (words[0].parse().unwrap(), words[1].parse().unwrap(), words[2].parse().unwrap())
    }

    fn seconds(&self, of: usize) -> f64 {
        let start = format!("{of} seconds ");
        self.0.lines().find_map(|line| line.strip_prefix(&start)).unwrap().parse().unwrap()
    }

    /// Whether a run's energy is that of so many watts; else how far off it is.
    fn drew(&self, of: usize, watts: f64) -> Result<(), String> {
        let (status, joules, missing) = self.number(of, "/usage/energy_j");
        assert_eq!((status, missing), (0, 0), "{}", self.0);
        let expected = watts * self.seconds(of);
        let factor = joules / expected;
        if (factor - 1.0).abs() < TOLERANCE { Ok(()) } else { Err(format!("{factor} times {expected} J:\n{}", self.0)) }
    }
}

/// Launches until the figures fit.
fn tried(launch: impl Fn() -> Command, fits: impl Fn(&Told) -> Result<(), String>) -> Told {
    for left in (0..TRIES).rev() {
        let told = Told(run(&mut launch()));
        match fits(&told) {
            Ok(()) => return told,
            Err(why) if left == 0 => panic!("{why}"),
            Err(_) => (),
        }
    }
    unreachable!()
}

fn near(actual: f64, expected: f64) -> bool {
    (actual / expected - 1.0).abs() < TOLERANCE
}

#[test]
fn open_mpi_sums_what_was_used() {
    sums_what_was_used(&OPEN_MPI);
}

#[test]
fn mpich_sums_what_was_used() {
    sums_what_was_used(&MPICH);
}

fn sums_what_was_used(mpi: &Mpi) {
    if !mpi.is_here() {
        return;
    }
    let (ranks, root) = (mpi.ranks(), machine(&format!("{}-sums", mpi.name), &[60, 40]));
    let options = options(&root);
    let launch = |n: usize, how: &[&str]| {
        let mut launch = mpi.launch(n, &ranks);
        launch.arg(&options).args(how);
        launch
    };
    let plain: &[(usize, &[&str])] = match mpi.name {
        "openmpi" => &[(1, &["checks"]), (2, &["checks"]), (4, &[])],
        _ => &[(1, &["checks"]), (2, &[])], // its ranks spin while they wait: more of them than processors are slow
    };
    let odd: &[(usize, &[&str])] = &[
        (4, &["late=1", "never=2", "disabled=3", "whole"]),
        // The safety net alone: ranks that do not know of each other.
        (2, &["checks", "whole"]),
    ];
    for &(n, how) in plain.iter().chain(odd) {
        let is_net = n == 2 && how.len() == 2;
        let alone = if is_net { "off" } else { "" };
        let told = tried(
            || {
                let mut launch = launch(n, how);
                launch.env("CARBONTRACKER_JOB", alone);
                launch
            },
            |told| told.drew(0, 100.0),
        );
        let (energy, duration) = (told.number(0, "/usage/energy_j").1, told.number(0, "/usage/duration_s").1);
        assert!(near(duration, told.seconds(0)), "{}", told.0);
        assert!(near(told.number(0, "/usage/facility_energy_kwh").1, 2.0 * energy / 3.6e6), "{}", told.0);
        assert!(near(told.number(0, "/usage/co2eq_g").1, 360.0 * 2.0 * energy / 3.6e6), "{}", told.0);
        assert!(near(told.number(0, "/forecast/energy_j/high").1, energy), "{}", told.0);
        let (status, epoch, _) = told.number(0, "/epochs/1/cpu_j");
        assert!(status == 0 && epoch > 10.0 && epoch < 0.5 * energy, "an epoch of four: {}", told.0);
        assert_eq!(told.number(0, "/epochs/1/gpu_j").0, -4, "no GPU: {}", told.0);
        if how.contains(&"whole") {
            let head =
                if is_net { "run of 2 ranks on 1 node\n" } else { "run of 4 ranks on 1 node, 2 of them tracked\n" };
            let joules = format!("\n  energy  {energy:.1} J, at the facility ");
            assert!(told.0.contains(head) && told.0.contains(&joules), "{}", told.0);
            assert!(told.0.contains(&format!("nodes:\n  {energy:.1} J: ")), "{}", told.0);
        }
    }
}

/// The first rank leaves its loop early and waits, while another goes on, or begins only then.
#[test]
fn ranks_that_wait_lend_what_they_counted() {
    if !OPEN_MPI.is_here() {
        return;
    }
    let ranks = OPEN_MPI.ranks();
    let options = options(&machine("lent", &[100]));
    for how in [&["early=0", "nap", "700"][..], &["early=0", "late=1", "nap", "700"]] {
        let launch = || {
            let mut launch = OPEN_MPI.launch(2, &ranks);
            launch.arg(&options).args(how);
            launch
        };
        tried(launch, |told| told.drew(0, 100.0));
    }
}

#[test]
fn open_mpi_counts_each_gpu_once() {
    counts_each_gpu_once(&OPEN_MPI);
}

#[test]
fn mpich_counts_each_gpu_once() {
    counts_each_gpu_once(&MPICH);
}

fn counts_each_gpu_once(mpi: &Mpi) {
    if !mpi.is_here() || !have(&["cc"]) {
        return;
    }
    let ranks = mpi.ranks();
    let root = machine(&format!("{}-gpus", mpi.name), &[100]);
    let driver = root.join("libnvidia-ml.so.1");
    run(Command::new("cc")
        .args(["-shared", "-fPIC", "-pthread"])
        .arg(checkout("tests/mpi/gpus.c"))
        .arg("-o")
        .arg(&driver));
    let options = format!("{} nvml='{}'", options(&root), driver.display());
    let simulated = "epochs=4 sim_cpu=x:100 sim_gpu=g:300";
    // Every rank sees both GPUs of 300 W, or one each, or has one that is simulated; ranks know of each other, or not.
    let both = r#"exec "$0" "$@""#;
    let each_its_own = r#"CUDA_VISIBLE_DEVICES=${PMI_RANK:-$OMPI_COMM_WORLD_RANK} exec "$0" "$@""#;
    for job in ["", "off"] {
        for (script, options) in [(both, options.as_str()), (each_its_own, &options), (both, simulated)] {
            tried(
                || {
                    let mut launch = mpi.launch(2, Path::new("sh"));
                    launch.arg("-c").arg(script).arg(&ranks).arg(options).env("CARBONTRACKER_JOB", job);
                    launch
                },
                |told| {
                    told.drew(0, 700.0)?;
                    let epoch = |kind: &str| told.number(0, &format!("/epochs/1/{kind}_j")).1;
                    let ratio = epoch("gpu") / epoch("cpu");
                    if (ratio / 6.0 - 1.0).abs() < 0.2 { Ok(()) } else { Err(format!("{ratio} times:\n{}", told.0)) }
                },
            );
        }
    }
}

#[test]
fn two_runs_side_by_side_are_two() {
    for mpi in [&OPEN_MPI, &MPICH].into_iter().filter(|mpi| mpi.is_here()) {
        let ranks = mpi.ranks();
        let roots = ["a", "b"]
            .map(|name| machine(&format!("{}-side-{name}", mpi.name), if name == "a" { &[100] } else { &[300] }));
        let [a, b] = roots.each_ref().map(|root| options(root));
        tried(
            || {
                let mut launch = mpi.launch(4, &ranks);
                launch.arg(format!("{a} job=a")).args(["split", &format!("{b} job=b")]);
                launch
            },
            |told| told.drew(0, 100.0).and_then(|()| told.drew(1, 300.0)),
        );
    }
}

/// MPICH can be told to take its ranks for those of several nodes.
#[test]
fn nodes_are_added_and_those_that_know_nothing_are_told() {
    if !MPICH.is_here() {
        return;
    }
    let ranks = MPICH.ranks();
    let [a, b, nothing] = [("nodes-a", &[100][..]), ("nodes-b", &[300]), ("nodes-none", &[])]
        .map(|(name, watts)| options(&machine(name, watts)));
    let launch = |second: &str| {
        let mut launch = MPICH.launch(4, &ranks);
        launch.arg(format!("{a} job=a")).args(["split", &format!("{second} job=b"), "whole"]);
        launch.env("MPIR_CVAR_NUM_CLIQUES", "2");
        launch
    };
    let told = tried(|| launch(&b), |told| told.drew(0, 100.0).and_then(|()| told.drew(1, 300.0)));
    let (status, joules, missing) = told.number(2, "/usage/energy_j");
    let sum = told.number(0, "/usage/energy_j").1 + told.number(1, "/usage/energy_j").1;
    assert!(
        (status, missing) == (0, 0) && (joules - sum).abs() < 1e-6,
        "the same counter's name on two nodes: {}",
        told.0
    );
    assert!(told.0.contains("run of 4 ranks on 2 nodes\n") && told.0.matches(", 2 ranks\n").count() == 2, "{}", told.0);

    let told = tried(|| launch(&nothing), |told| told.drew(0, 100.0));
    assert_eq!(told.number(1, "/usage/energy_j").0, -4, "{}", told.0);
    let (status, joules, missing) = told.number(2, "/usage/energy_j");
    assert_eq!((status, joules, missing), (0, told.number(0, "/usage/energy_j").1, 1), "{}", told.0);
    assert!(
        told.0.contains("; without 1 of the nodes, where it is unknown\n") && told.0.contains("\n  unknown: "),
        "{}",
        told.0
    );
}

#[test]
fn what_a_killed_rank_counted_is_in_the_reports_of_those_that_live() {
    for mpi in [&OPEN_MPI, &MPICH].into_iter().filter(|mpi| mpi.is_here()) {
        let program = mpi.build("mpicc", &["-std=c99"], &[checkout("tests/mpi/killed.c")]);
        let root = machine(&format!("{}-killed", mpi.name), &[100]);
        let mut sums = Vec::new();
        for _ in 0..TRIES {
            let folder = scratch(&format!("{}-reports", mpi.name));
            // The launchers end a job one of whose processes died by a signal: the shell outlives it.
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

#[test]
fn the_header_compiles_in_every_standard_of_both_languages() {
    let dir = scratch("standards");
    let source = "#include <carbontracker_mpi.h>\nint other(void);\nint other(void) { return 0; }\n";
    for (file, compiler, standards) in
        [("a.c", "mpicc", ["c99", "c11", "c17"]), ("a.cpp", "mpicxx", ["c++11", "c++17", "c++20"])]
    {
        std::fs::write(dir.join(file), source).unwrap();
        for mpi in [&OPEN_MPI, &MPICH] {
            if !have(&[&mpi.tool(compiler)]) {
                continue;
            }
            for standard in standards {
                let mut compile = command(mpi.tool(compiler));
                // Open MPI's own C++ interface, long withdrawn, does not compile without a warning.
                compile
                    .args(WARNINGS)
                    .args(["-Wpedantic", "-DOMPI_SKIP_MPICXX", "-c", "-o", "a.o", file])
                    .current_dir(&dir);
                run(compile.arg(format!("-std={standard}")).args(pkg_config(&["--cflags"])));
            }
        }
    }
}

#[test]
fn fortran_ranks_are_told_the_same() {
    for mpi in [&OPEN_MPI, &MPICH] {
        if !mpi.is_here() || !have(&[&mpi.tool("mpifort")]) {
            continue;
        }
        let include = prefix().join("include");
        let glue = mpi.build(
            "mpicc",
            &[&WARNINGS[..], &["-std=c99", "-Wpedantic", "-c"]].concat(),
            &[include.join("carbontracker_mpi.c")],
        );
        let Some(modules) = modules(mpi) else {
            skipped(&format!("no Fortran modules of {} for this compiler", mpi.name));
            continue;
        };
        let modules = format!("-I{}", modules.display());
        let flags = ["-std=f2018", "-Wall", "-Wextra", "-Werror", "-fcheck=all", &modules];
        for (program, module) in [("ranks_mpi", "carbontracker_mpi.f90"), ("ranks_f08", "carbontracker_mpi_f08.f90")] {
            let mut sources = ["carbontracker.f90", "carbontracker_mpi.f90"].map(|file| include.join(file)).to_vec();
            sources.push(glue.clone());
            if program == "ranks_f08" {
                sources.push(include.join(module));
            }
            sources.push(checkout(&format!("tests/mpi/{program}.f90")));
            let program = mpi.build("mpifort", &flags, &sources);
            tried(
                || {
                    let mut launch = mpi.launch(2, &program);
                    launch.env("CARBONTRACKER_SIM_CPU", "x:100");
                    launch
                },
                |told| {
                    assert!(told.0.contains("run of 2 ranks on 1 node\n"), "{}", told.0);
                    let watts = told.number(0, "watts").1;
                    if near(watts, 100.0) { Ok(()) } else { Err(told.0.clone()) }
                },
            );
        }
    }
}

/// Where an MPI's Fortran modules are; Debian's wrapper of MPICH does not say.
fn modules(mpi: &Mpi) -> Option<PathBuf> {
    let libraries = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path().join("fortran"));
    let compilers = libraries.filter_map(|path| std::fs::read_dir(path).ok()).flatten().flatten();
    compilers.map(|entry| entry.path().join(mpi.name)).find(|path| path.join("mpi_f08.mod").is_file())
}

#[test]
fn the_example_runs() {
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
        assert_eq!(temperatures[0], temperatures[1], "as many ranks as you like give the same plate");
    }
}
