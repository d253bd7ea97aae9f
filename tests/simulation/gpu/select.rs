//! The selection of GPUs by the option `devices` and by the environment, and NVML in a forked child.

use crate::fake_nvml::{Found, Gpu, Standin, mig_uuid, tracker, uuid};
use crate::retry::{call, run};
use crate::virtually;
use carbontracker::os::{pause, process_id};
use carbontracker::tracker::Tracker;
use carbontracker_simulation::in_process;
use carbontracker_simulation::kernel::Kernel;
use serde_json::Value;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const EPOCH: Duration = Duration::from_millis(200);
/// The GPUs' powers. Each set of GPUs has a different sum.
const WATTS: [f64; 4] = [50.0, 100.0, 200.0, 400.0];

fn four() -> Standin {
    Standin::new(&WATTS.map(Gpu::constant))
}

/// Measures one epoch, and checks that the energy is that of the counted GPUs. Both ends of the epoch are known to
/// 2 ms.
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
    assert!((measured - watts).abs() <= 0.03 * watts, "{what}: {measured} W measured, {watts} W drawn");
}

#[test]
fn gpus_are_selected_by_index_and_by_uuid() {
    virtually(|| {
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
    virtually(|| {
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
    virtually(|| {
        let standin = four();
        for devices in ["first", "0;1", "0,x", "1.5.2", "-1", "GPU-", "GPU-hello", "0,,1"] {
            let error = Tracker::create(&format!("{} devices={devices}", standin.options())).err().expect(devices);
            assert_eq!(error.status, carbontracker::error::Status::CT_EINVAL);
            assert!(error.message.contains("devices") && error.message.contains(devices), "{}", error.message);
        }
    });
}

/// A MIG instance has no meter, so its GPU is counted, once. The note has the part that is this job's.
#[test]
fn a_mig_instance_is_counted_as_its_gpu() {
    virtually(|| {
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
    virtually(|| {
        let process = process_id();
        let standin = four();
        standin.change(0, |gpu| gpu.pids[0] = process + 1);
        standin.change(2, |gpu| gpu.pids[..3].copy_from_slice(&[process + 1, process + 2, process]));
        assert_eq!(measure(&standin, "devices=process").gpus(), [2]);
    });
}

/// The instances of a GPU with MIG report their processes.
#[test]
fn gpus_are_selected_by_a_process_on_a_mig_instance() {
    virtually(|| {
        let standin = four();
        standin.change(1, |gpu| {
            gpu.slices = [3, 4, 0, 0, 0, 0, 0];
            gpu.pids[1] = process_id();
        });
        assert_eq!(measure(&standin, "devices=process").gpus(), [1]);
    });
}

/// The program uses the GPU after the tracker has started. The GPU counts from then on.
#[test]
fn a_gpu_counts_once_the_process_runs_on_it() {
    virtually(|| {
        let standin = four();
        let tracker = tracker(&format!("{} devices=process", standin.options()));
        let begin = call(|| tracker.begin());
        pause(EPOCH);
        standin.change(3, |gpu| gpu.pids[0] = process_id());
        pause(5 * EPOCH);
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
        // The GPU is looked for every 250 ms.
        let since = WATTS[3] * 5.0 * EPOCH.as_secs_f64();
        assert!((0.7 * since..1.02 * since).contains(&energy) && found.number("/usage/coverage") < 0.95);
    });
}

/// A program with these environment variables, on a machine with these GPUs.
struct Program<'a> {
    variables: &'a [(&'a str, &'a str)],
    gpus: Vec<Gpu>,
    options: &'a str,
}

impl<'a> Program<'a> {
    fn with(variables: &'a [(&'a str, &'a str)]) -> Program<'a> {
        Program { variables, gpus: WATTS.map(Gpu::constant).to_vec(), options: "" }
    }

    /// Measures one epoch.
    fn run(self) -> Found {
        let variables = self.variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let (gpus, options) = (self.gpus, self.options.to_owned());
        in_process(crate::seed(), variables, move |_| measure(&Standin::new(&gpus), &options))
    }
}

fn under(variables: &[(&str, &str)]) -> Found {
    Program::with(variables).run()
}

#[test]
fn gpus_are_selected_by_cuda_visible_devices() {
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
        let found = under(&[("CUDA_VISIBLE_DEVICES", value)]);
        assert_eq!(found.gpus(), expected, "{value}");
        let has_reason = found.unavailable().contains("CUDA_VISIBLE_DEVICES");
        assert!(!expected.is_empty() || has_reason, "{value}: {}", found.unavailable());
    }
    let found = under(&[("CUDA_VISIBLE_DEVICES", "9")]);
    assert!(found.gpus().is_empty());
    assert!(found.unavailable().contains('9') && found.unavailable().contains("CUDA_VISIBLE_DEVICES"));
}

#[test]
fn a_variable_that_cannot_be_read_is_reported_and_the_option_has_priority() {
    let garbage = ("NVIDIA_VISIBLE_DEVICES", "no-gpu-has-64MiB-to-run");
    let found = under(&[garbage]);
    assert!(found.gpus().is_empty());
    let reported = found.unavailable();
    assert!(reported.contains(garbage.0) && reported.contains(garbage.1), "{reported}");
    let with_cure = |one: &Value| one["source"] == "nvml" && one["cure"].as_str().is_some();
    assert!(found.report["unavailable"].as_array().unwrap().iter().any(with_cure), "{reported}");
    for (options, expected) in [("devices=all", vec![0, 1, 2, 3]), ("devices=2", vec![2])] {
        let found = Program { options, ..Program::with(&[garbage]) }.run();
        assert_eq!(found.gpus(), expected, "{options}");
    }
}

/// By default CUDA numbers the fastest GPU first. This matters only if the GPUs differ.
#[test]
fn an_index_has_a_caveat_if_cuda_may_order_gpus_differently() {
    let caveat = |is_mixed: bool, variables: &[(&str, &str)]| {
        let variables = [&[("CUDA_VISIBLE_DEVICES", "1")], variables].concat();
        let mut program = Program::with(&variables);
        if is_mixed {
            program.gpus.iter_mut().enumerate().for_each(|(n, gpu)| *gpu = gpu.named(&format!("NVIDIA Stand-In {n}")));
        }
        let found = program.run();
        assert_eq!(found.gpus(), [1]);
        let note = found.gpu(1)["note"].to_string();
        println!("{variables:?}: {note}");
        note.contains("CUDA_DEVICE_ORDER")
    };
    assert!(!caveat(false, &[]));
    assert!(caveat(true, &[]));
    assert!(!caveat(true, &[("CUDA_DEVICE_ORDER", "PCI_BUS_ID")]));
}

#[test]
fn gpus_are_selected_by_a_container_or_slurm() {
    let all = vec![0, 1, 2, 3];
    for (variables, count, expected) in [
        (&[("NVIDIA_VISIBLE_DEVICES", "2")][..], 4, vec![2]),
        (&[("NVIDIA_VISIBLE_DEVICES", "all")], 4, all.clone()),
        (&[("NVIDIA_VISIBLE_DEVICES", "none")], 4, vec![]),
        (&[("NVIDIA_VISIBLE_DEVICES", "6")], 1, vec![0]),
        (&[("NVIDIA_VISIBLE_DEVICES", "2,3"), ("CUDA_VISIBLE_DEVICES", "1")], 4, vec![1]),
        (&[("SLURM_STEP_GPUS", "3")], 4, vec![3]),
        (&[("SLURM_JOB_GPUS", "0,2")], 4, vec![0, 2]),
        (&[("SLURM_JOB_GPUS", "1-3")], 4, vec![1, 2, 3]),
        (&[("SLURM_JOB_GPUS", "0,1"), ("SLURM_STEP_GPUS", "1")], 4, vec![1]),
        (&[("SLURM_JOB_GPUS", "2,3"), ("CUDA_VISIBLE_DEVICES", "0,1")], 4, vec![0, 1]),
        (&[("SLURM_JOB_GPUS", "4,5")], 2, vec![0, 1]),
        (&[], 4, all),
    ] {
        let mut program = Program::with(variables);
        program.gpus.truncate(count);
        assert_eq!(program.run().gpus(), expected, "{variables:?}");
    }
}

/// Measures in another process, which inherits what this one has loaded, as a forked child does.
fn measure_in_a_child(kernel: &Rc<Kernel>, standin: &Rc<Standin>) -> Rc<RefCell<Option<Found>>> {
    let found = Rc::<RefCell<Option<Found>>>::default();
    let (to, standin) = (Rc::clone(&found), Rc::clone(standin));
    kernel.start(Vec::new(), move || *to.borrow_mut() = Some(measure(&standin, "")));
    found
}

#[test]
fn a_forked_child_measures_again() {
    crate::on_machine(|kernel| {
        let standin = Rc::new(four());
        assert_eq!(measure(&standin, "").gpus(), [0, 1, 2, 3]);
        let child = measure_in_a_child(kernel, &standin);
        pause(10 * EPOCH);
        assert_eq!(child.take().expect("it has ended").gpus(), [0, 1, 2, 3]);
        assert_eq!(standin.tally()[1], 2, "initialisations");
    });
}

/// The child does not have the thread that starts the driver.
#[test]
fn a_child_forked_during_the_start_of_the_driver_measures() {
    crate::on_machine(|kernel| {
        let standin = Rc::new(four());
        standin.driver(|driver| driver.init_delay_s = 5.0);
        let tracker = Tracker::create(&standin.options()).unwrap().unwrap();
        pause(EPOCH);
        standin.driver(|driver| driver.init_delay_s = 0.1);
        let child = measure_in_a_child(kernel, &standin);
        pause(10 * EPOCH);
        assert_eq!(child.take().expect("it does not wait").gpus(), [0, 1, 2, 3]);
        tracker.destroy();
    });
}

/// A second tracker waits for the first one's start of the driver, and does not start it again.
#[test]
fn two_trackers_start_the_driver_once() {
    virtually(|| {
        let standin = four();
        standin.driver(|driver| driver.init_delay_s = 1.0);
        let trackers = [0, 1].map(|_| Tracker::create(&standin.options()).unwrap().unwrap());
        pause(10 * EPOCH);
        for tracker in trackers {
            assert_eq!(Found::report(&tracker).gpus(), [0, 1, 2, 3]);
            tracker.destroy();
        }
        assert_eq!(standin.tally()[1], 1, "initialisations");
    });
}
