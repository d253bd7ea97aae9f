//! The kernel's hardware monitors and the numbers in their files (Documentation/hwmon/sysfs-interface.rst).

use crate::measurement::source::gpu::drm_card::numbered;
use crate::measurement::source::sysfs::number_file;
use crate::os;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The files with a chip's numbers and labels.
#[derive(Clone, Copy)]
pub enum MonitorFiles {
    /// Energies (µJ) and powers (µW) in any number, each labelled: `energy4_label`, `power2_label`.
    Labelled,
    /// One power, µW, in the first of these files that exists, and the file with its label.
    Single(&'static [&'static str], &'static str),
    /// At most this number of rails, labelled by their voltage (mV) or current (mA). Some chips also have a power or an
    /// energy. A chip with one rail may have the device's label.
    Rails(u32),
    /// Three rails of the industrial I/O tree, mW.
    Iio,
}

/// A way to read a meter.
pub enum Reads {
    /// The file of an energy, µJ.
    Energy(PathBuf),
    /// The file of a power, and the size of its unit, W.
    Power(PathBuf, f64),
    /// The files of a voltage, mV, and a current, mA.
    Product(PathBuf, PathBuf),
}

/// A meter in a monitor's files.
pub struct FoundMonitor {
    /// The meter's label; empty if it has none.
    pub label: String,
    /// The channel's id, for instance "hwmon3/power1".
    pub id: String,
    /// The ways to read it, in order of preference.
    pub reads: Vec<Reads>,
    /// The time that the power is averaged over, ms; None if unknown.
    pub mean_ms: Option<u64>,
}

/// A hardware monitor.
pub struct Monitor {
    /// The driver's name.
    pub name: String,
    /// The monitor's folder name, for instance "hwmon3".
    id: String,
    /// The folders with its files: its own and, for drivers that register the old way, its device's.
    dirs: [PathBuf; 2],
}

/// The unit of the kernel's powers, W.
pub const MICROWATT: f64 = 1e-6;
/// The unit of powers in the industrial I/O tree, W.
const MILLIWATT: f64 = 1e-3;
/// The most labels of a monitor in a message.
const MAX_LABELS: usize = 4;

impl Monitor {
    /// All monitors in the kernel's order, followed by the rails of Jetson's older driver.
    pub fn all(sysroot: &Path) -> Vec<Monitor> {
        let hwmon = numbered(&sysroot.join("sys/class/hwmon"), "hwmon").into_iter().filter_map(|(number, dir)| {
            let (id, dirs) = (format!("hwmon{number}"), [dir.clone(), dir.join("device")]);
            let mut monitor = Monitor { name: String::new(), id, dirs };
            monitor.name = monitor.text("name")?;
            Some(monitor)
        });
        let mut chips: Vec<PathBuf> = os::text::entries(&sysroot.join("sys/bus/i2c/drivers/ina3221x")).collect();
        chips.sort();
        let iio = chips.iter().flat_map(|chip| numbered(chip, "iio:device")).map(|(number, dir)| Monitor {
            name: "ina3221x".into(),
            id: format!("iio:device{number}"),
            dirs: [dir.clone(), dir],
        });
        hwmon.chain(iio).collect()
    }

    /// The text of a file in one line; None if it is missing or empty.
    pub fn text(&self, file: &str) -> Option<String> {
        let read = |dir: &PathBuf| number_file::text(&dir.join(file)).ok().filter(|text| !text.is_empty());
        self.dirs.iter().find_map(read)
    }

    /// The names of the files in a subfolder.
    pub fn entries(&self, folder: &str) -> Vec<String> {
        self.dirs.iter().flat_map(|dir| os::text::entries(&dir.join(folder))).filter_map(name_of).collect()
    }

    /// The path of a file, if it exists.
    fn file(&self, name: &str) -> Option<PathBuf> {
        self.dirs.iter().map(|dir| dir.join(name)).find(|path| path.exists())
    }

    /// The numbers N of the files "energyN_input", for this beginning and end of the name.
    fn numbers(&self, beginning: &str, end: &str) -> BTreeSet<u32> {
        let number = |name: String| name.strip_prefix(beginning)?.strip_suffix(end)?.parse().ok();
        self.entries("").into_iter().filter_map(number).collect()
    }

    /// The meters in these files.
    pub fn found(&self, files: MonitorFiles) -> Vec<FoundMonitor> {
        match files {
            MonitorFiles::Labelled => self.labelled(),
            MonitorFiles::Single(names, label) => vec![self.single(names, label)],
            MonitorFiles::Rails(most) => (1..=most).filter_map(|number| self.rail(number, most)).collect(),
            MonitorFiles::Iio => (0..3).filter_map(|number| self.iio(number)).collect(),
        }
    }

    /// The labelled meters. An energy and a power with the same label are one meter.
    fn labelled(&self) -> Vec<FoundMonitor> {
        let mut found: Vec<FoundMonitor> = Vec::new();
        for number in self.numbers("energy", "_input") {
            let reads = self.file(&format!("energy{number}_input")).map(Reads::Energy);
            found.extend(self.meter(format!("energy{number}"), "", reads));
        }
        let energies = found.len();
        for number in &self.numbers("power", "_input") | &self.numbers("power", "_average") {
            let Some(meter) = self.meter(format!("power{number}"), "", self.power(number)) else { continue };
            let same = found.iter_mut().take(energies).find(|one| one.label == meter.label && one.reads.len() == 1);
            match same {
                Some(same) => same.reads.extend(meter.reads),
                None => found.push(meter),
            }
        }
        found
    }

    fn power(&self, number: u32) -> Option<Reads> {
        let files = ["input", "average"].map(|file| format!("power{number}_{file}"));
        files.iter().find_map(|file| self.file(file)).map(|path| Reads::Power(path, MICROWATT))
    }

    /// A meter of this name with `label` or, if that is empty, the label in its own file. None without a label or a
    /// file to read.
    fn meter(&self, name: String, label: &str, reads: impl IntoIterator<Item = Reads>) -> Option<FoundMonitor> {
        let reads: Vec<Reads> = reads.into_iter().collect();
        let label = if label.is_empty() { self.text(&format!("{name}_label"))? } else { label.to_owned() };
        (!reads.is_empty()).then(|| FoundMonitor { label, id: format!("{}/{name}", self.id), reads, mean_ms: None })
    }

    /// The one meter of the chip. It is returned even if its file is missing, so that the reason names that file.
    fn single(&self, names: &[&str], label: &str) -> FoundMonitor {
        let missing = || {
            let has_name = |dir: &&PathBuf| dir.join("name").exists();
            let dir = self.dirs.iter().rev().find(has_name).unwrap_or(&self.dirs[0]);
            dir.join(names.first().unwrap_or(&""))
        };
        let path = names.iter().find_map(|name| self.file(name)).unwrap_or_else(missing);
        let interval = || self.text("power1_average_interval")?.parse().ok();
        let is_mean = path.to_string_lossy().ends_with("_average");
        FoundMonitor {
            label: self.text(label).unwrap_or_default(),
            id: format!("{}/power1", self.id),
            reads: vec![Reads::Power(path, MICROWATT)],
            mean_ms: is_mean.then(interval).flatten(),
        }
    }

    fn rail(&self, number: u32, most: u32) -> Option<FoundMonitor> {
        let of_rail = ["in", "curr", "power"].map(|what| format!("{what}{number}_label"));
        let of_device = (most == 1).then(|| "label".to_owned());
        let label = of_rail.into_iter().chain(of_device).find_map(|file| self.text(&file))?;
        let product = || {
            let volts = self.file(&format!("in{number}_input"))?;
            Some(Reads::Product(volts, self.file(&format!("curr{number}_input"))?))
        };
        let energy = self.file(&format!("energy{number}_input")).map(Reads::Energy);
        self.meter(format!("in{number}"), &label, energy.into_iter().chain(self.power(number)).chain(product()))
    }

    fn iio(&self, number: u32) -> Option<FoundMonitor> {
        let label = self.text(&format!("rail_name_{number}"))?;
        let name = format!("in_power{number}");
        let reads = self.file(&format!("{name}_input")).map(|path| Reads::Power(path, MILLIWATT));
        self.meter(name, &label, reads)
    }

    /// The monitor's name with the labels of its powers and energies, for a message.
    pub fn describe(&self) -> String {
        let mut labels: Vec<String> = self.labelled().into_iter().map(|found| found.label).collect();
        labels.extend(self.text("power1_oem_info"));
        let more = if labels.len() > MAX_LABELS { ", ..." } else { "" };
        labels.truncate(MAX_LABELS);
        if labels.is_empty() { self.name.clone() } else { format!("{} ({}{more})", self.name, labels.join(", ")) }
    }
}

fn name_of(path: PathBuf) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}
