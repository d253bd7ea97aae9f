//! Power and energy meters on the board, through the kernel's hardware monitors. [`table`] defines what each chip and
//! label measures.
//!
//! Each joule is counted once. A meter that is part of another one is left out. For each kind of component only the
//! first driver that answers counts.

mod monitor;
mod table;
#[cfg(test)]
mod tests;

use crate::measurement::channel::DeviceKind;
use crate::measurement::config::MeasurementConfig;
use crate::measurement::source::Opened;
use crate::measurement::source::cpu::rapl::{MAX_DRAM_W, MAX_PACKAGE_W};
use crate::measurement::source::sysfs::number_file;
use crate::measurement::source::sysfs::sensor::{MAX_GPU_W, MAX_MODULE_W, Sensor, SensorDevice, Sensors, Silent};
use crate::measurement::source_name::SourceName;
use crate::measurement::unavailable::Unavailable;
use monitor::{FoundMonitor, MICROWATT, Monitor, Reads};
use std::path::{Path, PathBuf};
use table::{CHIPS, Chip, ChipRow, Label, Repeats};

const NAME: SourceName = SourceName::Hwmon;
/// Powers that are means over a longer time, ms, get a note: they blur the end of an epoch.
const LONG_MEAN_MS: u64 = 100;

/// A meter that was found.
struct HwmonMeter {
    /// The label, or the device's name if the chip's labels have no meaning.
    label: String,
    device: SensorDevice,
    /// The ways to read it, in order of preference.
    sensors: Vec<Sensor>,
}

/// A meter and the result of opening it.
type Tried = (SensorDevice, Result<Sensor, Silent>);

/// Opens the meters of these kinds.
pub fn open(options: &MeasurementConfig, kinds: &[DeviceKind]) -> Opened {
    let monitors = Monitor::all(&options.sysroot);
    let mut chips: Vec<(&Chip, Vec<HwmonMeter>)> =
        CHIPS.iter().map(|chip| (chip, meters(chip, &options.sysroot, &monitors))).collect();
    let mut sensors = Sensors::new(NAME);
    let mut is_metered = false;
    for &kind in kinds {
        for (device, sensor) in best(&mut chips, kind) {
            is_metered = true;
            sensors.add(device, sensor);
        }
    }
    if is_metered { sensors.finish(false) } else { (None, vec![no_meter_of(kinds, &chips, &monitors)]) }
}

/// The meters of a kind from the first chip with one that answers. If none answers, those of the first chip that has
/// any.
fn best(chips: &mut [(&Chip, Vec<HwmonMeter>)], kind: DeviceKind) -> Vec<Tried> {
    let mut silent = Vec::new();
    for (chip, meters) in chips {
        let of_kind;
        (of_kind, *meters) = std::mem::take(meters).into_iter().partition(|meter| meter.device.kind == kind);
        let mut tried: Vec<Tried> = Vec::new();
        for meter in of_kind {
            let Some(sensor) = Sensor::first_of(meter.sensors) else { continue };
            if chip.repeats == Repeats::Whole && sensor.is_ok() {
                return vec![(meter.device, sensor)];
            }
            tried.push((meter.device, sensor));
        }
        if tried.iter().any(|(_, sensor)| sensor.is_ok()) {
            return tried;
        }
        if silent.is_empty() {
            silent = tried;
        }
    }
    silent
}

/// The meters of a chip, without those that are part of another one.
fn meters(chip: &Chip, sysroot: &Path, monitors: &[Monitor]) -> Vec<HwmonMeter> {
    let of_chip = |monitor: &&Monitor| chip.names.contains(&monitor.name.as_str()) && (chip.applies)(monitor);
    let found: Vec<FoundMonitor> =
        monitors.iter().filter(of_chip).flat_map(|monitor| monitor.found(chip.files)).collect();
    let labels: Vec<String> = found.iter().map(|found| found.label.to_ascii_lowercase()).collect();
    let mut packages = Vec::new();
    let mut meters = Vec::new();
    for (found, label) in found.into_iter().zip(&labels) {
        let Some((row, number)) = chip.rows.iter().find_map(|row| Some((row, row.label.fit(label)?))) else { continue };
        let whole = row.part_of.map(|pattern| pattern.replace('#', &number));
        if whole.is_some_and(|whole| labels.contains(&whole)) {
            continue;
        }
        if let Some(package) = (chip.repeats == Repeats::Package).then(|| package(sysroot, &number)).flatten() {
            if packages.contains(&package) {
                continue;
            }
            packages.push(package);
        }
        meters.push(meter(chip, row, found));
    }
    meters
}

fn meter(chip: &Chip, row: &ChipRow, found: FoundMonitor) -> HwmonMeter {
    let max_watts = chip.max_watts.unwrap_or(match row.kind {
        DeviceKind::Cpu => MAX_PACKAGE_W,
        DeviceKind::Dram => MAX_DRAM_W,
        DeviceKind::Gpu => MAX_GPU_W,
        DeviceKind::Node => MAX_MODULE_W,
    });
    let powers = found.reads.iter().filter_map(|reads| match reads {
        Reads::Power(path, unit) if *unit == MICROWATT => Some(path.clone()),
        _ => None,
    });
    let powers: Vec<PathBuf> = powers.collect();
    let sensor = |reads| {
        let sensor = match reads {
            Reads::Energy(path) => Sensor::energy(path, max_watts).checked_by(powers.clone()),
            Reads::Power(path, unit) => Sensor::power(path, unit, max_watts),
            Reads::Product(volts, amps) => Sensor::product(volts, amps, max_watts),
        };
        if row.may_rest { sensor.resting() } else { sensor }
    };
    let mean = found.mean_ms.filter(|&ms| ms > LONG_MEAN_MS).map(|ms| format!("a mean over {ms} ms"));
    let note = Some(row.note.to_owned()).filter(|note| !note.is_empty());
    let device = format!("{} {}", chip.maker, found.label).trim().to_owned();
    let label = if matches!(row.label, Label::Any) { device.clone() } else { found.label };
    let device = SensorDevice {
        kind: row.kind,
        device,
        id: found.id,
        has_memory: row.has_memory,
        notes: note.into_iter().chain(mean).collect(),
    };
    HwmonMeter { label, device, sensors: found.reads.into_iter().map(sensor).collect() }
}

/// The package of a NUMA node's first processor.
fn package(sysroot: &Path, node: &str) -> Option<String> {
    let system = sysroot.join("sys/devices/system");
    let cpus = number_file::text(&system.join(format!("node/node{node}/cpulist"))).ok()?;
    let first: u32 = cpus.split([',', '-']).next()?.trim().parse().ok()?;
    number_file::text(&system.join(format!("cpu/cpu{first}/topology/physical_package_id"))).ok()
}

/// The reason if no wanted kind has a meter. It names the meters and monitors that exist.
fn no_meter_of(kinds: &[DeviceKind], chips: &[(&Chip, Vec<HwmonMeter>)], monitors: &[Monitor]) -> Unavailable {
    let names =
        |kinds: &mut dyn Iterator<Item = DeviceKind>| kinds.map(DeviceKind::name).collect::<Vec<_>>().join(", ");
    let wanted = names(&mut kinds.iter().copied());
    let others: Vec<&HwmonMeter> = chips.iter().flat_map(|(_, meters)| meters).collect();
    let mut found: Vec<String> = Vec::new();
    for name in monitors.iter().map(Monitor::describe) {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    let reason = if !others.is_empty() {
        let labels: Vec<&str> = others.iter().map(|meter| meter.label.as_str()).collect();
        let metered = DeviceKind::ALL.into_iter().filter(|&kind| others.iter().any(|meter| meter.device.kind == kind));
        format!("no meter for {wanted}; there is one of {}: {}", names(&mut metered.into_iter()), labels.join(", "))
    } else if found.is_empty() {
        "no hardware monitor under /sys/class/hwmon".to_owned()
    } else {
        format!("no meter for {wanted} among the monitors found: {}", found.join(", "))
    };
    Unavailable { source: NAME, reason, cure: None }
}
