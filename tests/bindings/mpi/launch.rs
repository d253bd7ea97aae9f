//! Shared by the tests over MPI: programs that each MPI builds and launches, counters of a known power, and the output
//! of the programs.
#![allow(dead_code)] // each test program uses a part

use crate::install_tree::{checkout, command, have, pkg_config, run, scratch};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Largest difference, as a share, that a correct count can have.
pub const TOLERANCE: f64 = 0.05;
/// Largest number of launches. A busy machine may delay a rank.
pub const TRIES: usize = 3;
pub const OPEN_MPI: Mpi =
    Mpi { name: "openmpi", run: &["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-q"] };
pub const MPICH: Mpi = Mpi { name: "mpich", run: &[] };
pub const WARNINGS: [&str; 6] = ["-O2", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"];

pub struct Mpi {
    pub name: &'static str,
    run: &'static [&'static str],
}

impl Mpi {
    pub fn tool(&self, name: &str) -> String {
        format!("{name}.{}", self.name)
    }

    pub fn is_here(&self) -> bool {
        have(&["mpirun", "mpicc"].map(|name| self.tool(name)).each_ref().map(String::as_str))
    }

    /// A program of the checkout, built by this MPI's compiler.
    pub fn build(&self, compiler: &str, flags: &[&str], sources: &[PathBuf]) -> PathBuf {
        let stem = sources.last().and_then(|path| path.file_stem()).and_then(|stem| stem.to_str()).expect("a name");
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let program = scratch(&format!("{stem}-{}", NUMBER.fetch_add(1, Relaxed))).join(stem);
        let mut compile = command(self.tool(compiler));
        compile.args(flags).args(sources).arg("-o").arg(&program).current_dir(program.parent().expect("a folder"));
        run(compile.args(pkg_config(&["--cflags", "--libs"])));
        program
    }

    pub fn ranks(&self) -> PathBuf {
        let flags = [&WARNINGS[..], &["-std=c99", "-Wpedantic"]].concat();
        self.build("mpicc", &flags, &[checkout("tests/bindings/mpi/ranks.c")])
    }

    /// Starts a number of ranks of a program.
    pub fn launch(&self, ranks: usize, program: &Path) -> Command {
        let mut launch = command(self.tool("mpirun"));
        launch.args(self.run).arg("-n").arg(ranks.to_string()).arg(program);
        launch
    }
}

/// A /sys whose packages draw the given powers, W.
pub fn machine(name: &str, watts: &[u32]) -> PathBuf {
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

pub fn options(root: &Path) -> String {
    format!("epochs=4 pue=2 intensity=360 sysroot='{}'", root.display())
}

/// The output of tests/bindings/mpi/ranks.c about its runs.
pub struct RankOutput(pub String);

impl RankOutput {
    /// A number of a run: its status, the value, and how many nodes lack it.
    pub fn number(&self, of: usize, name: &str) -> (i32, f64, i32) {
        let start = format!("{of} {name} ");
        let line = self.0.lines().find_map(|line| line.strip_prefix(&start));
        let words: Vec<&str> = line.unwrap_or_else(|| panic!("{start}in\n{}", self.0)).split_whitespace().collect();
        (words[0].parse().unwrap(), words[1].parse().unwrap(), words[2].parse().unwrap())
    }

    pub fn seconds(&self, of: usize) -> f64 {
        let start = format!("{of} seconds ");
        self.0.lines().find_map(|line| line.strip_prefix(&start)).unwrap().parse().unwrap()
    }

    /// Whether a run's energy is that of the given power, W; an error has the difference.
    pub fn drew(&self, of: usize, watts: f64) -> Result<(), String> {
        let (status, joules, missing) = self.number(of, "/usage/energy_j");
        assert_eq!((status, missing), (0, 0), "{}", self.0);
        let expected = watts * self.seconds(of);
        let factor = joules / expected;
        if (factor - 1.0).abs() < TOLERANCE { Ok(()) } else { Err(format!("{factor} times {expected} J:\n{}", self.0)) }
    }
}

/// Launches again until the figures are within the tolerance.
pub fn tried(launch: impl Fn() -> Command, fits: impl Fn(&RankOutput) -> Result<(), String>) -> RankOutput {
    for left in (0..TRIES).rev() {
        let output = RankOutput(run(&mut launch()));
        match fits(&output) {
            Ok(()) => return output,
            Err(why) if left == 0 => panic!("{why}"),
            Err(_) => (),
        }
    }
    unreachable!()
}

pub fn near(actual: f64, expected: f64) -> bool {
    (actual / expected - 1.0).abs() < TOLERANCE
}
