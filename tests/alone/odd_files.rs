//! Files of /sys and /proc that are not what they should be: a tracker is created all the same, and at once.

use carbontracker::tracker::Tracker;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;

/// Every text that a source or the choice of the grid reads while a tracker is created.
const TEXTS: [&str; 20] = [
    "sys/class/powercap/intel-rapl:0/name",
    "sys/class/powercap/intel-rapl:0/max_energy_range_uj",
    "sys/bus/event_source/devices/power/type",
    "sys/bus/event_source/devices/power/cpumask",
    "sys/bus/event_source/devices/power/events/energy-pkg",
    "sys/class/hwmon/hwmon0/name",
    "sys/class/hwmon/hwmon0/power1_oem_info",
    "sys/class/hwmon/hwmon0/in1_label",
    "sys/class/drm/card0/device/vendor",
    "sys/class/drm/card0/device/unique_id",
    "sys/class/drm/card0/device/hwmon/hwmon1/name",
    "sys/class/kfd/kfd/topology/nodes/0/properties",
    "sys/class/power_supply/BAT0/type",
    "sys/class/power_supply/BAT0/status",
    "sys/cray/pm_counters/energy",
    "sys/bus/pci/devices/0000:01:00.0/vendor",
    "sys/class/dmi/id/sys_vendor",
    "proc/stat",
    "proc/cpuinfo",
    "proc/self/cgroup",
];

/// A machine with a little of everything, removed in the end.
struct Machine(PathBuf);

impl Machine {
    fn new() -> Machine {
        let machine = Machine(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("odd-files-{}", std::process::id())));
        let _ = fs::remove_dir_all(&machine.0);
        for (path, text) in [
            ("sys/class/powercap/intel-rapl:0/name", "package-0"),
            ("sys/class/powercap/intel-rapl:0/energy_uj", "5"),
            ("sys/bus/event_source/devices/power/type", "1"),
            ("sys/bus/event_source/devices/power/cpumask", "0"),
            ("sys/class/hwmon/hwmon0/name", "ina3221"),
            ("sys/class/drm/card0/device/vendor", "0x1002"),
            ("sys/class/drm/card0/device/hwmon/hwmon1/name", "amdgpu"),
            ("sys/class/drm/card0/device/hwmon/hwmon1/power1_average", "5000000"),
            ("sys/class/power_supply/BAT0/type", "Battery"),
            ("proc/stat", "cpu  1 1 1 1\ncpu0 1 1 1 1\n"),
        ] {
            machine.put(path, |path| fs::write(path, text).unwrap());
        }
        machine
    }

    fn put(&self, path: &str, put: impl FnOnce(&Path)) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        put(&path);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Creates and ends a tracker on a thread, so that one that hangs fails the test; counters first, then the whole node.
fn create(root: &Path, what: &str) {
    let (sender, done) = mpsc::channel();
    let root = root.display().to_string();
    std::thread::spawn(move || {
        for components in ["all", "node"] {
            let options = format!("sysroot={root} components={components} nvml=/nowhere/nvml.so location=cloud");
            Tracker::create(&options).unwrap().unwrap().destroy();
        }
        sender.send(()).unwrap();
    });
    done.recv_timeout(crate::retry::PATIENCE).unwrap_or_else(|error| panic!("{what}: no tracker: {error}"));
}

fn each_is(what: &str, put: impl Fn(&Path)) {
    for text in TEXTS {
        let machine = Machine::new();
        machine.put(text, &put);
        create(&machine.0, &format!("{what} in the place of {text}"));
    }
}

#[test]
fn odd_files_do_not_block_a_tracker() {
    let _turn = crate::turn();
    fs::write("/proc/self/clear_refs", "5").unwrap(); // forgets the peak of the tests before
    each_is("a pipe", |path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success()));
    each_is("an endless device", |path| symlink("/dev/zero", path).unwrap());
    each_is("a folder", |path| fs::create_dir(path).unwrap());
    each_is("a gigabyte", |path| fs::File::create(path).unwrap().set_len(1 << 30).unwrap());
    assert!(peak_mb() < 200, "{} MB were used at most", peak_mb());
}

/// The most memory that this process has had at once.
fn peak_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}
