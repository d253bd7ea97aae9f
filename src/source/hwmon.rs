//! Power meters on the board, by their labels, of NVIDIA's Grace and Jetson.
//!
//! Grace: ACPI power meters (Documentation/hwmon/acpi_power_meter.rst) named in `power1_oem_info`; NVIDIA Grace
//! Performance Tuning Guide, "Power Telemetry": the module ⊃ the Grace socket ⊃ its cores' and system I/O's rails.
//!
//! Jetson: INA3221 monitors (Documentation/hwmon/ina3221.rst) of three rails each; NVIDIA Jetson Linux Developer
//! Guide, "Power Monitors". VDD_IN (POM_5V_IN on the Nano) is the module, VDD_MUX on the TX the board beside it.
//! AGX Xavier, AGX Orin and Thor meter parts only: VIN_SYS_5V0 is one of those, its 5 V peripherals. Up to
//! JetPack 4 the same rails stand under the driver `ina3221x`, in mW.

use super::card::numbered;
use super::number_file;
use super::sensor::{Device, MAX_MODULE_W, Sensor, Sensors, absent};
use super::{Opened, Unavailable};
use crate::channel::Kind;
use crate::host;
use crate::options::Options;
use std::path::{Path, PathBuf};

const NAME: &str = "hwmon";
const MICROWATT: f64 = 1e-6;
const MILLIWATT: f64 = 1e-3;
/// A mean over longer than this, ms, blurs where an epoch ends.
const LONG_MEAN_MS: u64 = 100;

/// A meter that there is.
struct Meter {
    /// What it is called on the board.
    label: String,
    device: Device,
    sensor: Sensor,
}

/// Opens the meters of these kinds.
pub fn open(options: &Options, kinds: &[Kind]) -> Opened {
    let mut meters = grace(&options.sysroot);
    meters.extend(jetson(&options.sysroot));
    if meters.is_empty() {
        return absent(NAME, "neither a Grace nor a Jetson: no power meter on the board");
    }
    let (wanted, others): (Vec<Meter>, Vec<Meter>) =
        meters.into_iter().partition(|meter| kinds.contains(&meter.device.kind));
    if wanted.is_empty() {
        return (None, vec![nothing_of(kinds, &others)]);
    }
    let mut sensors = Sensors::new(NAME);
    wanted.into_iter().for_each(|meter| sensors.add(meter.device, meter.sensor.open()));
    sensors.finish(false)
}

/// Says what there is where nothing asked for is metered.
fn nothing_of(kinds: &[Kind], others: &[Meter]) -> Unavailable {
    let names = |kinds: &mut dyn Iterator<Item = &'static str>| kinds.collect::<Vec<_>>().join(", ");
    let asked = names(&mut kinds.iter().map(|kind| kind.name()));
    let metered = Kind::ALL.into_iter().filter(|&kind| others.iter().any(|meter| meter.device.kind == kind));
    let labels: Vec<&str> = others.iter().map(|meter| meter.label.as_str()).collect();
    let reason = format!(
        "nothing here meters {asked}: there is {} ({})",
        labels.join(", "),
        names(&mut metered.map(Kind::name))
    );
    Unavailable { source: NAME, reason, cure: None }
}

/// Grace's meters: for each socket its own, else its cores'; and the module's.
fn grace(sysroot: &Path) -> Vec<Meter> {
    let found: Vec<(String, u32, PathBuf)> = numbered(&sysroot.join("sys/class/hwmon"), "hwmon")
        .into_iter()
        .filter_map(|(_, dir)| acpi_meter(&dir))
        .collect();
    let has_socket = |number: u32| found.iter().any(|(what, socket, _)| what == "grace" && *socket == number);
    let meter = |(what, socket, dir): &(String, u32, PathBuf)| {
        let (kind, note) = match what.as_str() {
            "grace" => (Kind::Cpu, "the whole socket: cores, system I/O and memory"),
            "cpu" if !has_socket(*socket) => {
                (Kind::Cpu, "the cores' rail alone: this machine does not meter the socket")
            }
            "module" => (Kind::Node, "the whole module: processor, GPU and their memory"),
            _ => return None,
        };
        let interval = number_file::text(&dir.join("power1_average_interval")).ok().and_then(|text| text.parse().ok());
        let mean = interval.filter(|&interval: &u64| interval > LONG_MEAN_MS).map(|ms| format!("a mean over {ms} ms"));
        let label = number_file::text(&dir.join("power1_oem_info")).ok()?;
        let device = Device {
            kind,
            device: format!("NVIDIA {label}"),
            id: format!("{}/power1", monitor_name(dir)),
            notes: std::iter::once(note.to_owned()).chain(mean).collect(),
        };
        Some(Meter { label, device, sensor: Sensor::power(dir.join("power1_average"), MICROWATT, MAX_MODULE_W) })
    };
    found.iter().filter_map(meter).collect()
}

/// "Grace Power Socket 0" as ("grace", 0, where its files are): beside the monitor's, or with its device's in
/// drivers that register the old way.
fn acpi_meter(monitor: &Path) -> Option<(String, u32, PathBuf)> {
    let dirs = [monitor.to_owned(), monitor.join("device")];
    let text = |file: &str| dirs.iter().find_map(|dir| number_file::text(&dir.join(file)).ok());
    let label =
        text("power1_oem_info").filter(|_| text("name").as_deref() == Some("power_meter"))?.to_ascii_lowercase();
    let (what, socket) = label.split_once(" power socket ")?;
    let dir = dirs.iter().find(|dir| dir.join("power1_oem_info").exists())?;
    Some((what.to_owned(), socket.trim().parse().ok()?, dir.clone()))
}

/// "hwmon3", of that folder or one inside it.
fn monitor_name(dir: &Path) -> String {
    let mut names = dir.components().rev().map(|part| part.as_os_str().to_string_lossy().into_owned());
    names.find(|name| name.starts_with("hwmon")).unwrap_or_default()
}

/// Jetson's rails that are of a kind of ours.
fn jetson(sysroot: &Path) -> Vec<Meter> {
    let mut meters = Vec::new();
    for (_, dir) in numbered(&sysroot.join("sys/class/hwmon"), "hwmon") {
        if number_file::text(&dir.join("name")).ok().as_deref() != Some("ina3221") {
            continue;
        }
        for rail in 1..=3 {
            let file = |name: &str| dir.join(name.replace('#', &rail.to_string()));
            let sensor = Sensor::product(file("in#_input"), file("curr#_input"), MAX_MODULE_W);
            meters.extend(rail_meter(&file("in#_label"), &format!("{}/in{rail}", monitor_name(&dir)), sensor));
        }
    }
    let mut chips: Vec<PathBuf> = host::text::entries(&sysroot.join("sys/bus/i2c/drivers/ina3221x")).collect();
    chips.sort();
    for (number, dir) in chips.iter().flat_map(|chip| numbered(chip, "iio:device")) {
        for rail in 0..3 {
            let sensor = Sensor::power(dir.join(format!("in_power{rail}_input")), MILLIWATT, MAX_MODULE_W);
            let id = format!("iio:device{number}/in_power{rail}");
            meters.extend(rail_meter(&dir.join(format!("rail_name_{rail}")), &id, sensor));
        }
    }
    meters
}

fn rail_meter(label: &Path, id: &str, sensor: Sensor) -> Option<Meter> {
    let label = number_file::text(label).ok()?;
    let (kind, note) = rail_kind(&label)?;
    let notes = note.map(str::to_owned).into_iter().collect();
    let device = Device { kind, device: format!("Jetson {label}"), id: id.to_owned(), notes };
    Some(Meter { label, device, sensor })
}

/// What a rail feeds, by its label; None where that is no kind of ours, like the rest of the chip (VDD_SOC, CV).
fn rail_kind(label: &str) -> Option<(Kind, Option<&'static str>)> {
    let label = label.to_ascii_uppercase();
    let has = |part: &str| label.split('_').any(|word| word == part);
    if matches!(label.as_str(), "VDD_IN" | "POM_5V_IN" | "5V_IN" | "VIN") {
        return Some((Kind::Node, Some("the whole module")));
    }
    match (has("CPU"), has("GPU")) {
        (true, true) => Some((Kind::Cpu, Some("one rail feeds processor and GPU: both are counted here"))),
        (true, false) if has("SOC") => Some((Kind::Cpu, Some("the rail also feeds the rest of the chip"))),
        (true, false) if has("CV") => Some((Kind::Cpu, Some("the rail also feeds the vision accelerators"))),
        (true, false) => Some((Kind::Cpu, None)),
        (false, true) if has("SOC") => Some((Kind::Gpu, Some("the rail also feeds the rest of the chip"))),
        (false, true) => Some((Kind::Gpu, None)),
        _ if has("DDR") => Some((Kind::Dram, None)),
        _ if label == "VDD_MUX" => Some((Kind::Node, Some("the board beside the module"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;
    use crate::reading::{Fault, Value};

    fn grace(tree: &Tree, labels: &[&str]) {
        for (number, label) in labels.iter().enumerate() {
            let dir = format!("sys/class/hwmon/hwmon{number}/device");
            tree.write(&format!("{dir}/name"), "power_meter\n");
            tree.write(&format!("{dir}/power1_oem_info"), &format!("{label}\n"));
            tree.write(&format!("{dir}/power1_average"), &format!("{}000000\n", 100 + number));
        }
    }

    fn jetson(tree: &Tree, number: u32, rails: [&str; 3]) {
        let dir = format!("sys/class/hwmon/hwmon{number}");
        tree.write(&format!("{dir}/name"), "ina3221\n");
        for (rail, label) in (1..).zip(rails) {
            tree.write(&format!("{dir}/in{rail}_label"), &format!("{label}\n"));
            tree.write(&format!("{dir}/in{rail}_input"), "5000\n");
            tree.write(&format!("{dir}/curr{rail}_input"), &format!("{rail}000\n"));
        }
    }

    fn channels(tree: &Tree, kinds: &[Kind]) -> Vec<String> {
        open(&tree.options("", &[]), kinds).0.map_or(Vec::new(), |source| Tree::channels(&*source))
    }

    #[test]
    fn a_grace_socket_counts_once_and_the_module_by_itself() {
        let tree = Tree::new("grace");
        let of = |what: &str| (0..2).map(|socket| format!("{what} Power Socket {socket}")).collect::<Vec<_>>();
        let labels = [of("Module"), of("Grace"), of("CPU"), of("SysIO")].concat();
        grace(&tree, &labels.iter().map(String::as_str).collect::<Vec<_>>());
        tree.write("sys/class/hwmon/hwmon8/name", "nvme\n");
        tree.write("sys/class/hwmon/hwmon3/device/power1_average_interval", "1000\n");
        let sockets =
            ["cpu NVIDIA Grace Power Socket 0 hwmon2/power1", "cpu NVIDIA Grace Power Socket 1 hwmon3/power1"];
        let modules =
            ["node NVIDIA Module Power Socket 0 hwmon0/power1", "node NVIDIA Module Power Socket 1 hwmon1/power1"];
        assert_eq!(channels(&tree, &[Kind::Cpu, Kind::Dram]), sockets);
        assert_eq!(channels(&tree, &[Kind::Node]), modules);
        let mut source = open(&tree.options("", &[]), &[Kind::Cpu]).0.unwrap();
        assert!(source.channels()[1].note.as_ref().unwrap().ends_with("a mean over 1000 ms"));
        assert_eq!(Tree::values(&mut *source), [Ok(Value::Watts(102.0)), Ok(Value::Watts(103.0))]);
        tree.write("sys/class/hwmon/hwmon2/device/power1_average", "");
        tree.remove("sys/class/hwmon/hwmon3/device/power1_average");
        assert_eq!(Tree::values(&mut *source), [Err(Fault::Empty), Err(Fault::Gone)]);
        let (source, why) = open(&tree.options("", &[]), &[Kind::Cpu]);
        assert!(source.is_none(), "nothing answers: others may measure the processor");
        assert!(
            why[0].reason.ends_with("hwmon2/device/power1_average: it is empty") && why[0].cure.is_some(),
            "{why:?}"
        );
    }

    #[test]
    fn cores_stand_in_where_a_socket_is_not_metered() {
        let tree = Tree::new("grace-cpu");
        grace(&tree, &["CPU Power Socket 0", "SysIO Power Socket 0", "CPU Power Socket 1", "Grace Power Socket 1"]);
        tree.write("sys/class/hwmon/hwmon9/name", "power_meter\n");
        tree.write("sys/class/hwmon/hwmon9/power1_oem_info", "Dell Computer Corp.\n");
        assert_eq!(
            channels(&tree, &[Kind::Cpu]),
            ["cpu NVIDIA CPU Power Socket 0 hwmon0/power1", "cpu NVIDIA Grace Power Socket 1 hwmon3/power1"]
        );
        let (source, why) = open(&tree.options("", &[]), &[Kind::Node, Kind::Dram]);
        assert!(source.is_none() && why[0].reason.starts_with("nothing here meters node, dram: there is CPU Power"));
    }

    #[test]
    fn jetson_rails_by_label_and_totals_apart() {
        let tree = Tree::new("xavier-nx");
        jetson(&tree, 1, ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]);
        assert_eq!(channels(&tree, &[Kind::Node]), ["node Jetson VDD_IN hwmon1/in1"]);
        assert_eq!(channels(&tree, &[Kind::Cpu, Kind::Gpu]), ["cpu Jetson VDD_CPU_GPU_CV hwmon1/in2"]);
        assert_eq!(channels(&tree, &[Kind::Gpu]), [""; 0]);
        let tree = Tree::new("agx-orin");
        jetson(&tree, 3, ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"]);
        jetson(&tree, 4, ["NC", "VDDQ_VDD2_1V8AO", "NC"]);
        let parts = ["gpu Jetson VDD_GPU_SOC hwmon3/in1", "cpu Jetson VDD_CPU_CV hwmon3/in2"];
        assert_eq!(channels(&tree, &[Kind::Cpu, Kind::Gpu, Kind::Dram]), parts);
        assert_eq!(channels(&tree, &[Kind::Node]), [""; 0], "its 5 V are not the whole");
        let mut source = open(&tree.options("", &[]), &[Kind::Cpu, Kind::Gpu]).0.unwrap();
        assert_eq!(Tree::values(&mut *source), [Ok(Value::Watts(5.0)), Ok(Value::Watts(10.0))]);
        tree.write("sys/class/hwmon/hwmon3/curr1_input", "-78\n");
        tree.write("sys/class/hwmon/hwmon3/in2_input", "5 V\n");
        assert_eq!(Tree::values(&mut *source), [Ok(Value::Watts(0.0)), Err(Fault::Garbage)]);
    }

    #[test]
    fn the_older_driver_and_none_at_all() {
        let tree = Tree::new("nano");
        for (rail, label) in ["POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU"].iter().enumerate() {
            let dir = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0";
            tree.write(&format!("{dir}/rail_name_{rail}"), label);
            tree.write(&format!("{dir}/in_power{rail}_input"), "2500\n");
        }
        assert_eq!(channels(&tree, &[Kind::Cpu]), ["cpu Jetson POM_5V_CPU iio:device0/in_power2"]);
        let mut source = open(&tree.options("", &[]), &[Kind::Node]).0.unwrap();
        assert_eq!(Tree::values(&mut *source), [Ok(Value::Watts(2.5))]);
        let (source, why) = open(&Tree::new("no-meter").options("", &[]), &Kind::ALL);
        assert!(source.is_none() && why[0].cure.is_none());
    }
}
