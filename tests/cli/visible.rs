//! Variables of other programs that select GPUs: the selected cards count, and no value stops a program or the
//! measurement of its processors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use carbontracker::measurement::gpu_selection::VARIABLES;
use serde_json::Value;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_carbontracker");

/// A machine with a package of RAPL. Its tree is removed when dropped.
struct Machine(PathBuf);

impl Machine {
    fn new(name: &str) -> Machine {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("visible-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        let machine = Machine(root);
        for (file, text) in [("name", "package-0"), ("energy_uj", "5000000"), ("max_energy_range_uj", "262143328850")] {
            machine.write(&format!("sys/class/powercap/intel-rapl:0/{file}"), text);
        }
        machine
    }

    /// Adds four AMD cards of 100 W.
    fn with_amd(name: &str) -> Machine {
        let machine = Machine::new(name);
        for number in 0..4 {
            let monitor = machine.card(number, "0x1002", "amdgpu");
            machine.write(&format!("{monitor}/power1_average"), "100000000\n");
        }
        machine
    }

    /// Adds two Intel cards with two tiles each.
    fn with_intel(name: &str) -> Machine {
        let machine = Machine::new(name);
        for number in 0..2 {
            let monitor = machine.card(number, "0x8086", "i915");
            machine.write(&format!("{monitor}/energy1_input"), "7000000\n");
            for tile in 0..2 {
                machine.write(&format!("{monitor}{tile}/name"), &format!("i915_gt{tile}\n"));
                machine.write(&format!("{monitor}{tile}/energy1_input"), "3000000\n");
            }
        }
        machine
    }

    /// Adds a card. Returns the folder of its monitor.
    fn card(&self, number: usize, vendor: &str, driver: &str) -> String {
        let address = format!("0000:{}1:00.0", number + 1);
        let device = format!("sys/devices/pci0000:00/{address}");
        let monitor = format!("{device}/hwmon/hwmon1{number}");
        self.write(&format!("{device}/vendor"), vendor);
        self.write(&format!("{monitor}/name"), driver);
        let link = self.0.join(format!("sys/class/drm/card{number}/device"));
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(format!("../../../devices/pci0000:00/{address}"), link).unwrap();
        monitor
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The command on this machine, with only these variables.
    fn command<V: AsRef<OsStr>>(&self, arguments: &[&str], environment: &[(&str, V)]) -> Output {
        let (subcommand, rest) = arguments.split_first().unwrap();
        let options = format!("sysroot='{}' nvml=/no/nvml.so location=DK job=off log_dir=off", self.0.display());
        let mut command = Command::new(PROGRAM);
        command.args([subcommand, "-o", &options]).args(rest);
        for name in VARIABLES {
            command.env_remove(name);
        }
        for (name, value) in environment {
            command.env(name, value);
        }
        command.output().expect("it starts")
    }

    /// Runs a program. Returns the bus numbers of the cards that count, and the unavailable devices.
    fn run<V: AsRef<OsStr>>(&self, environment: &[(&str, V)]) -> (Vec<String>, String) {
        let script = ["run", "--report", "json", "--to", "-", "-q", "--", "sh", "-c", "echo the job ran >&2"];
        let output = self.command(&script, environment);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && words.contains("the job ran"), "{:?} {words}", output.status);
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        let components = report["components"].as_array().unwrap();
        assert!(components.iter().any(|one| one["kind"] == "cpu"), "the processors are measured: {report:#}");
        let gpus = components.iter().filter(|one| one["kind"] == "gpu");
        let buses = gpus.map(|one| one["id"].as_str().unwrap()[5..7].to_owned()).collect();
        let texts = |one: &Value| format!("{}: {} [{}]; ", one["source"], one["reason"], one["cure"]);
        (buses, report["unavailable"].as_array().unwrap().iter().map(texts).collect())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn amd_cards_follow_cuda_visible_devices() {
    let machine = Machine::with_amd("amd");
    for (environment, cards) in [
        (&[][..], vec!["11", "21", "31", "41"]),
        (&[("CUDA_VISIBLE_DEVICES", "1")], vec!["21"]),
        (&[("HIP_VISIBLE_DEVICES", "0"), ("CUDA_VISIBLE_DEVICES", "1")], vec!["11"]),
        (&[("ROCR_VISIBLE_DEVICES", "3,2"), ("CUDA_VISIBLE_DEVICES", "0")], vec!["41"]),
        (&[("CUDA_VISIBLE_DEVICES", "10000"), ("GPU_DEVICE_ORDINAL", "10000")], vec![]),
    ] {
        let (found, reported) = machine.run(environment);
        println!("{environment:?}: {found:?}; {reported}");
        assert_eq!(found, cards, "{environment:?}: {reported}");
    }
}

#[test]
fn intel_tiles_follow_the_mask() {
    let machine = Machine::with_intel("intel");
    for (environment, cards) in [
        (&[][..], vec!["11", "21"]),
        (&[("ZE_AFFINITY_MASK", "1")], vec!["11"]),
        (&[("ZE_AFFINITY_MASK", "1"), ("ZE_FLAT_DEVICE_HIERARCHY", "FLAT")], vec!["11"]),
        (&[("ZE_AFFINITY_MASK", "2")], vec!["21"]),
        (&[("ZE_AFFINITY_MASK", "1"), ("ZE_FLAT_DEVICE_HIERARCHY", "COMPOSITE")], vec!["21"]),
        (&[("ZE_AFFINITY_MASK", "0.1"), ("ZE_FLAT_DEVICE_HIERARCHY", "COMPOSITE")], vec!["11"]),
        (&[("ZE_AFFINITY_MASK", "0.1,x")], vec![]),
    ] {
        let (found, reported) = machine.run(environment);
        println!("{environment:?}: {found:?}; {reported}");
        assert_eq!(found, cards, "{environment:?}: {reported}");
    }
}

/// Values of HTCondor and gpushare, and invalid ones: bytes that are no text, very long lists, ranges over all numbers.
#[test]
fn foreign_values_never_stop_a_program() {
    let machines = [Machine::with_amd("any-amd"), Machine::with_intel("any-intel")];
    let long = "7,".repeat(60_000);
    let values: [&[u8]; 8] = [
        b"10000",
        b"no-gpu-has-64MiB-to-run",
        b"some;gpus",
        b"\xff\xfe,1",
        b"9-4000000000",
        b"99999999999999999999999",
        b"\x1b[2J\n'\"\\",
        long.as_bytes(),
    ];
    for value in values {
        let value = OsStr::from_bytes(value);
        let environment: Vec<(&str, &OsStr)> = VARIABLES.iter().map(|name| (*name, value)).collect();
        for machine in &machines {
            let (cards, reported) = machine.run(&environment);
            assert!(cards.is_empty(), "{value:?}: {cards:?}");
            let names_one = VARIABLES.iter().any(|name| reported.contains(&format!("{name}=")));
            assert!(names_one, "{value:?}: {reported}");
            assert!(reported.len() < 4000 && !reported.contains('\u{1b}'), "{reported}");
        }
    }
}

#[test]
fn doctor_refuses_only_a_wrong_option() {
    let machine = Machine::with_amd("doctor");
    let output = machine.command(&["doctor"], &[("ROCR_VISIBLE_DEVICES", "x"), ("ONEAPI_DEVICE_SELECTOR", "y")]);
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 3)), "by what is measured: {:?} {words}", output.status);
    assert!(words.contains("ROCR_VISIBLE_DEVICES=x: 'x' names no GPU") && words.contains("fix:"), "{words}");
    assert!(words.contains("ONEAPI_DEVICE_SELECTOR=y"), "{words}");
    for program in ["doctor", "run"] {
        let output = machine.command(
            &[program, "--", "true"][..if program == "run" { 3 } else { 1 }],
            &[("CARBONTRACKER_DEVICES", "some")],
        );
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(words.contains("CARBONTRACKER_DEVICES='some'"), "{words}");
    }
}
