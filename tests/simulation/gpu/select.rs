//! The selection of GPUs by the option `devices`, and by the environment of a child program.

use crate::fake_nvml::{Found, Gpu, Standin, mig_uuid, tracker, uuid};
use crate::retry::{call, now, run, steadily};
use carbontracker::measurement::gpu_selection::VARIABLES;
use carbontracker::tracker::Tracker;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const EPOCH: Duration = Duration::from_millis(200);
/// The GPUs' powers. Each set of GPUs has a different sum.
const WATTS: [f64; 4] = [50.0, 100.0, 200.0, 400.0];

fn four() -> Standin {
    Standin::new(&WATTS.map(Gpu::constant))
}

/// Measures one epoch, and checks that the energy is that of the counted GPUs.
fn measure(standin: &Standin, options: &str) -> Found {
    let tracker = tracker(&format!("{} {options}", standin.options()));
    run(&tracker, 1, EPOCH, |_| ());
    let found = Found::all(&tracker);
    tracker.destroy();
    assert_energy(&found, options);
    found
}

fn assert_energy(found: &Found, what: &str) {
    let watts: f64 = found.gpus().iter().map(|&n| WATTS[n]).sum();
    let energy = found.report["usage"]["energy_j"].as_f64();
    let measured = energy.map_or(0.0, |joules| joules / found.number("/usage/duration_s"));
    println!("{what}: GPUs {:?}, {measured:.1} W; {}", found.gpus(), found.unavailable());
    assert!((measured - watts).abs() <= 0.05 * watts, "{what}: {measured} W measured, {watts} W drawn");
}

#[test]
fn gpus_are_selected_by_index_and_by_uuid() {
    steadily(|| {
        let standin = four();
        let prefix = &uuid(2)[..8];
        let whole = uuid(3);
        for (devices, expected) in [
            ("visible", vec![0, 1, 2, 3]),
            ("all", vec![0, 1, 2, 3]),
            ("1", vec![1]),
            ("0,2", vec![0, 2]),
            ("2,0,2", vec![0, 2]),
            (prefix, vec![2]),
            (&whole, vec![3]),
            (&format!("{prefix},0"), vec![0, 2]),
        ] {
            let found = measure(&standin, &format!("devices={devices}"));
            assert_eq!(found.gpus(), expected, "{devices}");
            assert_eq!(found.unavailable(), "", "{devices}");
        }
    });
}

/// A missing GPU is not replaced by another one. If two UUIDs begin so, neither GPU is selected.
#[test]
fn missing_gpus_are_named_and_not_replaced() {
    steadily(|| {
        let standin = four();
        for (devices, expected, named) in [
            ("7", vec![], "7"),
            ("0,7", vec![0], "7"),
            ("GPU-ffffffff", vec![], "GPU-ffffffff"),
            ("1,GPU-ffffffff", vec![1], "GPU-ffffffff"),
            ("GPU-a", vec![], "GPU-a"),
            ("MIG-ffffffff", vec![], "MIG-ffffffff"),
        ] {
            let found = measure(&standin, &format!("devices={devices}"));
            assert_eq!(found.gpus(), expected, "{devices}");
            assert!(found.unavailable().contains(named), "{devices}: {}", found.unavailable());
            assert!(found.messages.iter().any(|text| text.contains(named)), "{devices}: {:?}", found.messages);
        }
    });
}

#[test]
fn a_list_that_cannot_be_read_is_refused() {
    let standin = four();
    for devices in ["first", "0;1", "0,x", "1.5.2", "-1", "GPU-", "GPU-hello", "0,,1"] {
        let error = Tracker::create(&format!("{} devices={devices}", standin.options())).err().expect(devices);
        assert_eq!(error.status, carbontracker::error::Status::CT_EINVAL);
        assert!(error.message.contains("devices") && error.message.contains(devices), "{}", error.message);
    }
}

/// A MIG instance has no meter, so its GPU is counted, once. The note has the part that is this job's.
#[test]
fn a_mig_instance_is_counted_as_its_gpu() {
    steadily(|| {
        let standin = four();
        standin.change(1, |gpu| gpu.slices = [3, 2, 0, 2, 0, 0, 0]);
        let (first, third) = (mig_uuid(1, 0), mig_uuid(1, 3));
        for (devices, gpus, share) in [
            (first.clone(), vec![1], "3 of 7"),
            (format!("{first},{third}"), vec![1], "5 of 7"),
            (format!("{third},0"), vec![0, 1], "2 of 7"),
            (format!("MIG-{}/1/0", uuid(1)), vec![1], "whole GPU"),
        ] {
            let found = measure(&standin, &format!("devices={devices}"));
            assert_eq!(found.gpus(), gpus, "{devices}");
            let note = found.gpu(1)["note"].as_str().unwrap_or_default().to_owned();
            println!("  note: {note}");
            assert!(note.contains("whole GPU") && note.contains(share), "{devices}: {note}");
        }
        let note = measure(&standin, "devices=1").gpu(1)["note"].to_string();
        assert!(!note.contains("whole GPU"), "all of it is this job's: {note}");
    });
}

#[test]
fn gpus_are_selected_by_process() {
    steadily(|| {
        let process = std::process::id();
        let standin = four();
        standin.change(0, |gpu| gpu.pids[0] = process + 1);
        standin.change(2, |gpu| gpu.pids[..3].copy_from_slice(&[process + 1, process + 2, process]));
        assert_eq!(measure(&standin, "devices=process").gpus(), [2]);
    });
}

/// The instances of a GPU with MIG report their processes.
#[test]
fn gpus_are_selected_by_a_process_on_a_mig_instance() {
    steadily(|| {
        let standin = four();
        standin.change(1, |gpu| {
            gpu.slices = [3, 4, 0, 0, 0, 0, 0];
            gpu.pids[1] = std::process::id();
        });
        assert_eq!(measure(&standin, "devices=process").gpus(), [1]);
    });
}

/// The program uses the GPU after the tracker has started. The GPU counts from then on.
#[test]
fn a_gpu_counts_once_the_process_runs_on_it() {
    steadily(|| {
        let standin = four();
        let tracker = tracker(&format!("{} devices=process", standin.options()));
        let begin = call(|| tracker.begin());
        std::thread::sleep(EPOCH);
        standin.change(3, |gpu| gpu.pids[0] = std::process::id());
        std::thread::sleep(5 * EPOCH);
        let end = call(|| tracker.end());
        let whole = standin.used(&[3], begin, end);
        let found = Found::all(&tracker);
        tracker.destroy();
        let energy = found.number("/usage/energy_j");
        println!(
            "later: GPUs {:?}, {energy:.1} J of {:.1} J, coverage {}",
            found.gpus(),
            whole.most,
            found.number("/usage/coverage")
        );
        assert_eq!(found.gpus(), [3]);
        assert!((0.5 * whole.least..1.02 * whole.most).contains(&energy) && found.number("/usage/coverage") < 0.95);
    });
}

/// The result of a child program: a refusal or a report.
struct Child(Value);

impl Child {
    fn found(self) -> Found {
        assert!(self.0["refusal"].is_null(), "{}", self.0);
        let texts = self.0["messages"].as_array().unwrap().iter().filter_map(|text| text.as_str());
        let messages = texts.map(str::to_owned).collect();
        Found { report: self.0["report"].clone(), messages }
    }
}

/// Runs the test `child` in a program of its own, with these variables.
fn under(variables: &[(&str, &str)]) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "select::child", "--nocapture", "--test-threads=1"]);
    for name in VARIABLES {
        command.env_remove(name);
    }
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{variables:?}: {}, {printed}", output.status);
    let result = printed.split_once("FOUND ").and_then(|(_, rest)| rest.lines().next());
    Child(serde_json::from_str(result.unwrap_or_else(|| panic!("{variables:?}: {printed}"))).unwrap())
}

/// The program that the tests below run, with fake GPUs of its own. CHILD_LIBRARY is a fake NVML in the loader's path,
/// CHILD_OPTIONS are more options, CHILD_GPUS is the number of GPUs, and CHILD_DOES is "exits" or "forks".
#[test]
#[ignore = "a program that the other tests run"]
fn child() {
    let given = |name: &str| std::env::var(name).ok();
    let gpus: Vec<Gpu> = WATTS.map(Gpu::constant).into_iter().enumerate().map(|(n, gpu)| named(n, gpu)).collect();
    let count = given("CHILD_GPUS").map_or(gpus.len(), |count| count.parse().unwrap());
    let (standin, options) = match given("CHILD_LIBRARY") {
        Some(library) => (Standin::at(Path::new(&library), &gpus[..count]), "components=gpu".to_owned()),
        None => {
            let standin = Standin::new(&gpus[..count]);
            let options = standin.options();
            (standin, options)
        }
    };
    let options = format!("{options} {}", given("CHILD_OPTIONS").unwrap_or_default());
    match given("CHILD_DOES").as_deref() {
        Some("exits") => exit_during_a_call(&standin, &options),
        Some("forks") => fork_after_a_run(&options),
        _ => (),
    }
    let result = match Tracker::create(&options) {
        Err(error) => json!({"refusal": format!("{:?}: {}", error.status, error.message)}),
        Ok(tracker) => {
            let tracker = tracker.unwrap();
            crate::fake_nvml::settle(&tracker);
            run(&tracker, 1, EPOCH, |_| ());
            let found = Found::all(&tracker);
            tracker.destroy();
            json!({"report": found.report, "messages": found.messages})
        }
    };
    drop(standin);
    println!("FOUND {result}");
    if given("CHILD_DOES").is_some() {
        std::process::exit(0); // A forked child lacks the test harness's threads.
    }
}

fn exit_during_a_call(standin: &Standin, options: &str) {
    let tracker = tracker(options);
    standin.change(0, |gpu| gpu.hangs_until = now() + 60_000_000_000);
    tracker.begin().unwrap();
    std::thread::sleep(EPOCH);
    std::mem::forget(tracker);
    std::fs::remove_dir_all(standin.dir()).unwrap();
    println!("FOUND {{}}");
    std::process::exit(0);
}

/// Measures, then continues in a forked child, which must initialise NVML again.
fn fork_after_a_run(options: &str) {
    let first = tracker(options);
    run(&first, 1, EPOCH, |_| ());
    first.destroy();
    std::thread::sleep(EPOCH);
    // SAFETY: the sampling thread and its helpers have ended. The child has one thread and ends by exit.
    let child = unsafe { libc::fork() };
    if child > 0 {
        let mut status = -1;
        // SAFETY: waits for the child that was forked above.
        unsafe { libc::waitpid(child, &mut status, 0) };
        std::process::exit(status);
    }
}

fn named(n: usize, gpu: Gpu) -> Gpu {
    match std::env::var("CHILD_MIXED") {
        Ok(_) => gpu.named(&format!("NVIDIA Stand-In {n}")),
        Err(_) => gpu,
    }
}

#[test]
fn gpus_are_selected_by_cuda_visible_devices() {
    steadily(|| {
        let prefix = &uuid(2)[..8];
        for (value, expected) in [
            ("1", vec![1]),
            ("3,0", vec![0, 3]),
            ("", vec![]),
            ("-1", vec![]),
            ("NoDevFiles", vec![]),
            ("0,-1,1", vec![0]),
            ("10000", vec![]),
            ("all", vec![]),
            ("some;gpus", vec![]),
            ("1gpu", vec![1]),
            ("2,x,1", vec![2]),
            ("3,3", vec![]),
            (prefix, vec![2]),
            (&uuid(1), vec![1]),
        ] {
            let found = under(&[("CUDA_VISIBLE_DEVICES", value)]).found();
            assert_energy(&found, &format!("CUDA_VISIBLE_DEVICES={value}"));
            assert_eq!(found.gpus(), expected, "{value}");
            let has_reason = found.unavailable().contains("CUDA_VISIBLE_DEVICES");
            assert!(!expected.is_empty() || has_reason, "{value}: {}", found.unavailable());
        }
        let found = under(&[("CUDA_VISIBLE_DEVICES", "9")]).found();
        assert!(found.gpus().is_empty());
        assert!(found.unavailable().contains('9') && found.unavailable().contains("CUDA_VISIBLE_DEVICES"));
    });
}

#[test]
fn a_variable_that_cannot_be_read_is_reported_and_the_option_has_priority() {
    steadily(|| {
        let garbage = ("NVIDIA_VISIBLE_DEVICES", "no-gpu-has-64MiB-to-run");
        let found = under(&[garbage]).found();
        assert!(found.gpus().is_empty());
        let reported = found.unavailable();
        assert!(reported.contains(garbage.0) && reported.contains(garbage.1), "{reported}");
        let with_cure = |one: &Value| one["source"] == "nvml" && one["cure"].as_str().is_some();
        assert!(found.report["unavailable"].as_array().unwrap().iter().any(with_cure), "{reported}");
        for (options, expected) in [("devices=all", vec![0, 1, 2, 3]), ("devices=2", vec![2])] {
            let found = under(&[garbage, ("CHILD_OPTIONS", options)]).found();
            assert_eq!(found.gpus(), expected, "{options}");
        }
    });
}

/// By default CUDA numbers the fastest GPU first. This matters only if the GPUs differ.
#[test]
fn an_index_has_a_caveat_if_cuda_may_order_gpus_differently() {
    steadily(|| {
        let caveat = |variables: &[(&str, &str)]| {
            let found = under(&[&[("CUDA_VISIBLE_DEVICES", "1")], variables].concat()).found();
            assert_eq!(found.gpus(), [1]);
            let note = found.gpu(1)["note"].to_string();
            println!("{variables:?}: {note}");
            note.contains("CUDA_DEVICE_ORDER")
        };
        assert!(!caveat(&[]));
        assert!(caveat(&[("CHILD_MIXED", "1")]));
        assert!(!caveat(&[("CHILD_MIXED", "1"), ("CUDA_DEVICE_ORDER", "PCI_BUS_ID")]));
    });
}

#[test]
fn gpus_are_selected_by_a_container_or_slurm() {
    steadily(|| {
        let all = vec![0, 1, 2, 3];
        for (variables, expected) in [
            (&[("NVIDIA_VISIBLE_DEVICES", "2")][..], vec![2]),
            (&[("NVIDIA_VISIBLE_DEVICES", "all")], all.clone()),
            (&[("NVIDIA_VISIBLE_DEVICES", "none")], vec![]),
            (&[("NVIDIA_VISIBLE_DEVICES", "6"), ("CHILD_GPUS", "1")], vec![0]),
            (&[("NVIDIA_VISIBLE_DEVICES", "2,3"), ("CUDA_VISIBLE_DEVICES", "1")], vec![1]),
            (&[("SLURM_STEP_GPUS", "3")], vec![3]),
            (&[("SLURM_JOB_GPUS", "0,2")], vec![0, 2]),
            (&[("SLURM_JOB_GPUS", "1-3")], vec![1, 2, 3]),
            (&[("SLURM_JOB_GPUS", "0,1"), ("SLURM_STEP_GPUS", "1")], vec![1]),
            (&[("SLURM_JOB_GPUS", "2,3"), ("CUDA_VISIBLE_DEVICES", "0,1")], vec![0, 1]),
            (&[("SLURM_JOB_GPUS", "4,5"), ("CHILD_GPUS", "2")], vec![0, 1]),
            (&[], all),
        ] {
            let found = under(variables).found();
            assert_energy(&found, &format!("{variables:?}"));
            assert_eq!(found.gpus(), expected, "{variables:?}");
        }
    });
}

/// Without the option the loader finds NVML under either name.
#[test]
fn the_library_is_found_by_its_names() {
    steadily(|| {
        for name in ["libnvidia-ml.so.1", "libnvidia-ml.so"] {
            let standin = Standin::called(name, &[]);
            let library = standin.library().to_str().unwrap();
            let paths =
                [standin.dir().to_str().unwrap().to_owned(), std::env::var("LD_LIBRARY_PATH").unwrap_or_default()];
            let found = under(&[("CHILD_LIBRARY", library), ("LD_LIBRARY_PATH", &paths.join(":"))]).found();
            println!("{name}: GPUs {:?}; {}", found.gpus(), found.unavailable());
            assert_eq!(found.gpus(), [0, 1, 2, 3], "{name}");
        }
    });
}

#[test]
fn a_forked_child_measures_again() {
    steadily(|| {
        let found = under(&[("CHILD_DOES", "forks")]).found();
        assert_energy(&found, "a forked child");
        assert_eq!(found.gpus(), [0, 1, 2, 3]);
    });
}

/// An epoch is open, and a call hangs for a minute.
#[test]
fn a_program_that_exits_during_a_call_is_not_held_up() {
    steadily(|| {
        let start = Instant::now();
        under(&[("CHILD_DOES", "exits")]);
        let taken = start.elapsed();
        println!("exits during a call: {taken:?}");
        assert!(taken < Duration::from_secs(5), "{taken:?}");
    });
}
