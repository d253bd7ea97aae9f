//! MPI runs with the installed tree, Open MPI and MPICH. Whatever the ranks do, the run's energy is that of its
//! devices, and all ranks get the same sums. The counters' energy is known at every instant
//! (tests/bindings/mpi/served.h).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::install_tree::{checkout, command, have, pkg_config, run, scratch};
use crate::mpi_launch::{MPICH, Mpi, OPEN_MPI, RankOutput, TOLERANCE, WARNINGS, machine, near, options, tried};
use carbontracker::units::{self, Amount};
use std::path::Path;
use std::process::Command;

#[test]
fn open_mpi_sums_the_energy() {
    sums_what_was_used(&OPEN_MPI);
}

#[test]
fn mpich_sums_the_energy() {
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
        _ => &[(1, &["checks"]), (2, &[])], // its waiting ranks spin, so more ranks than processors are slow
    };
    let odd: &[(usize, &[&str])] = &[
        (4, &["late=1", "never=2", "disabled=3", "whole"]),
        // Only the last safeguard: the ranks have not found each other.
        (2, &["checks", "whole"]),
    ];
    for &(n, how) in plain.iter().chain(odd) {
        let is_net = n == 2 && how.len() == 2;
        let alone = if is_net { "off" } else { "" };
        let output = tried(
            || {
                let mut launch = launch(n, how);
                launch.env("CARBONTRACKER_JOB", alone);
                launch
            },
            |output| output.drew(0, 100.0),
        );
        let (energy, duration) = (output.number(0, "/usage/energy_j").1, output.number(0, "/usage/duration_s").1);
        // The program's own time also has what its rank waited for a processor.
        let seconds = output.seconds(0);
        assert!(duration > 0.3 * seconds && duration < seconds * (1.0 + TOLERANCE), "{}", output.0);
        assert!(near(output.number(0, "/usage/facility_energy_kwh").1, 2.0 * energy / 3.6e6), "{}", output.0);
        assert!(near(output.number(0, "/usage/co2eq_g").1, 360.0 * 2.0 * energy / 3.6e6), "{}", output.0);
        assert!(near(output.number(0, "/forecast/energy_j/high").1, energy), "{}", output.0);
        let (status, epoch, _) = output.number(0, "/epochs/1/cpu_j");
        assert!(status == 0 && epoch > 10.0 && epoch < 0.5 * energy, "an epoch of four: {}", output.0);
        assert_eq!(output.number(0, "/epochs/1/gpu_j").0, -4, "no GPU: {}", output.0);
        let least = if how.contains(&"late=1") { 3.0 } else { 4.0 };
        assert_eq!(
            output.number(0, "/run/epochs_done"),
            (0, least, 0),
            "the least of those with a tracker: {}",
            output.0
        );
        has_phases(
            &output,
            if how.contains(&"late=1") { [7.0, 4.0] } else { [4.0 * n as f64, 4.0 * n.div_ceil(2) as f64] },
        );
        if how.contains(&"whole") {
            let head =
                if is_net { "run of 2 ranks on 1 node\n" } else { "run of 4 ranks on 1 node, 2 of them tracked\n" };
            // As in the library's text report.
            let [used, facility] = [energy, 2.0 * energy].map(|joules| Amount::Energy.exact(joules));
            let lines = format!("\n  energy  {used}\n          {facility} with PUE\n  CO2e    ");
            assert!(output.0.contains(head) && output.0.contains(&lines), "{lines}: {}", output.0);
            assert!(output.0.contains(&format!("nodes:\n  {used}: ")), "{}", output.0);
            assert!(output.0.contains(&format!("\n  time    {}\n", units::duration(duration))), "{}", output.0);
        }
    }
}

/// Checks a phase of all ranks, one of the even ranks, and one of none; `entries`: how often the first two began.
fn has_phases(output: &RankOutput, entries: [f64; 2]) {
    let of_work = |name: &str| output.number(0, &format!("/phases/rows/step~1work/{name}"));
    let ((status, joules, missing), (_, seconds, _)) = (of_work("energy_j"), of_work("duration_s"));
    let (energy, duration) = (output.number(0, "/usage/energy_j").1, output.number(0, "/usage/duration_s").1);
    assert_eq!((status, missing), (0, 0), "{}", output.0);
    // Nearly all time is in this phase, on each rank.
    assert!(joules > 0.7 * energy && joules < 1.05 * energy, "{}", output.0);
    assert!(seconds > 0.55 && seconds < 1.05 * duration, "{}", output.0);
    let counted = [of_work("entries"), output.number(0, "/phases/rows/even/entries")];
    assert_eq!(counted, entries.map(|entries| (0, entries, 0)), "{}", output.0);
    assert_eq!(output.number(0, "/phases/rows/never/energy_j").0, -4, "{}", output.0);
}

/// The first rank leaves its loop early and waits, while another continues, or begins only then. The total includes the
/// energy of the other rank up to its end. This holds for a long tail and for rare readings.
#[test]
fn ranks_that_wait_yield_their_devices() {
    if !OPEN_MPI.is_here() {
        return;
    }
    let ranks = OPEN_MPI.ranks();
    let options = options(&machine("lent", &[100]));
    for (interval, how) in [
        ("1", &["early=0", "nap", "700"][..]),
        ("1", &["early=0", "late=1", "nap", "700"]),
        ("1", &["early=0", "nap", "100"]),
        ("30", &["early=0", "nap", "700"]),
        ("30", &["early=0", "nap", "100"]),
        ("30", &["tail=1"]),
    ] {
        let launch = || {
            let mut launch = OPEN_MPI.launch(2, &ranks);
            launch.arg(format!("{options} interval={interval}")).args(how);
            launch
        };
        let output = tried(launch, |output| output.drew(0, 100.0));
        let (forecast, energy) = (output.number(0, "/forecast/energy_j/high").1, output.number(0, "/usage/energy_j").1);
        assert!(forecast > 0.99 * energy, "the forecast is at least the used energy: {}", output.0);
        let remaining = output.number(0, "/forecast/remaining/energy_j/high").1;
        assert!(near(forecast, energy + remaining), "used energy is not remaining energy: {}", output.0);
    }
}

/// Each rank stops after two epochs and counts its devices for some time. The late rank counts one epoch alone.
#[test]
fn ranks_that_have_stopped_are_added() {
    if !OPEN_MPI.is_here() {
        return;
    }
    let ranks = OPEN_MPI.ranks();
    let options = format!("{} monitor_epochs=2", options(&machine("stopped", &[100])));
    for _ in 0..2 {
        // they stop in any order
        let output = RankOutput(run(OPEN_MPI.launch(5, &ranks).arg(&options).arg("late=1")));
        let (whole, parts) = (output.number(0, "/usage/energy_j").1, output.number(0, "counted").1);
        assert!(near(whole, parts), "{}", output.0);
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
        .arg(checkout("tests/bindings/mpi/gpus.c"))
        .arg("-o")
        .arg(&driver));
    let options = format!("{} nvml='{}'", options(&root), driver.display());
    let simulated = "epochs=4 sim_cpu=x:100 sim_gpu=g:300";
    // Each rank sees both GPUs of 300 W, or one of them, or has a simulated one. Ranks have found each other, or not.
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
                |output| {
                    output.drew(0, 700.0)?;
                    let epoch = |kind: &str| output.number(0, &format!("/epochs/1/{kind}_j")).1;
                    let ratio = epoch("gpu") / epoch("cpu");
                    if (ratio / 6.0 - 1.0).abs() < 0.2 { Ok(()) } else { Err(format!("{ratio} times:\n{}", output.0)) }
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
            |output| output.drew(0, 100.0).and_then(|()| output.drew(1, 300.0)),
        );
    }
}

/// Ranks of two jobs, or one without a job, have no record in common: both count the device.
#[test]
fn device_counts_once_where_ranks_have_no_record_in_common() {
    if !OPEN_MPI.is_here() {
        return;
    }
    let ranks = OPEN_MPI.ranks();
    let options = options(&machine("apart", &[100]));
    let two_jobs = || {
        let mut launch = OPEN_MPI.launch(4, &ranks);
        launch.arg(format!("{options} job=a")).args(["split", &format!("{options} job=b"), "whole"]);
        launch
    };
    let output = tried(two_jobs, |output| output.drew(0, 100.0).and_then(|()| output.drew(1, 100.0)));
    let (whole, one) = (output.number(2, "/usage/energy_j").1, output.number(0, "/usage/energy_j").1);
    assert!((whole / one - 1.0).abs() < 0.2, "{}", output.0);

    let script = r#"test "$OMPI_COMM_WORLD_RANK" != 1 || export CARBONTRACKER_JOB=off; exec "$0" "$@""#;
    let one_without = || {
        let mut launch = OPEN_MPI.launch(3, Path::new("sh"));
        launch.args(["-c", script]).arg(&ranks).arg(&options);
        launch
    };
    tried(one_without, |output| output.drew(0, 100.0));
}

/// The sum does not depend on texts of the library, for ranks that share a record and for ranks without one. With an
/// older library, the energy of ranks that have not found each other is unknown. It is never counted twice.
#[test]
fn sums_do_not_depend_on_texts() {
    if !OPEN_MPI.is_here() || !have(&["cc"]) {
        return;
    }
    let ranks = OPEN_MPI.ranks();
    let library = scratch("preloaded").join("preloaded.so");
    let source = checkout("tests/bindings/mpi/preloaded.c");
    run(command("cc")
        .args(["-shared", "-fPIC"])
        .args(pkg_config(&["--cflags"]))
        .arg(source)
        .arg("-o")
        .arg(&library)
        .arg("-ldl"));
    let options = options(&machine("words", &[60, 40]));
    let launch = |job: &str| {
        let mut launch = OPEN_MPI.launch(2, &ranks);
        launch.arg(&options).env("CARBONTRACKER_JOB", job).env("LD_PRELOAD", &library);
        launch
    };
    for job in ["", "off"] {
        tried(|| launch(job), |output| output.drew(0, 100.0));
    }
    let output = RankOutput(run(launch("off").env("OLDER", "1")));
    assert_eq!(output.number(0, "/usage/energy_j").0, -4, "{}", output.0);
    assert!(output.number(0, "/usage/duration_s").0 == 0, "{}", output.0);
}

/// MPICH can treat its ranks as if they ran on several nodes.
#[test]
fn nodes_are_added_and_nodes_without_energy_are_reported() {
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
    let output = tried(|| launch(&b), |output| output.drew(0, 100.0).and_then(|()| output.drew(1, 300.0)));
    let (status, joules, missing) = output.number(2, "/usage/energy_j");
    let sum = output.number(0, "/usage/energy_j").1 + output.number(1, "/usage/energy_j").1;
    assert!(
        (status, missing) == (0, 0) && (joules - sum).abs() < 1e-6,
        "the same counter's name on two nodes: {}",
        output.0
    );
    assert!(
        output.0.contains("run of 4 ranks on 2 nodes\n") && output.0.matches(", 2 ranks\n").count() == 2,
        "{}",
        output.0
    );

    let output = tried(|| launch(&nothing), |output| output.drew(0, 100.0));
    assert_eq!(output.number(1, "/usage/energy_j").0, -4, "{}", output.0);
    let (status, joules, missing) = output.number(2, "/usage/energy_j");
    assert_eq!((status, joules, missing), (0, output.number(0, "/usage/energy_j").1, 1), "{}", output.0);
    assert!(
        output.0.contains(", without 1 of the nodes, where it is unknown\n") && output.0.contains("\n  unknown: "),
        "{}",
        output.0
    );
}

#[test]
fn header_compiles_in_every_standard_of_both_languages() {
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
                // Open MPI's old C++ interface does not compile without a warning.
                compile
                    .args(WARNINGS)
                    .args(["-Wpedantic", "-DOMPI_SKIP_MPICXX", "-c", "-o", "a.o", file])
                    .current_dir(&dir);
                run(compile.arg(format!("-std={standard}")).args(pkg_config(&["--cflags"])));
            }
        }
    }
}
