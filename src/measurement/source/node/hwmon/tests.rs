use super::*;
use crate::measurement::reading::{Fault, Value};
use crate::measurement::source::sysfs::test_tree::TestTree;

fn grace(tree: &TestTree, labels: &[&str]) {
    for (number, label) in labels.iter().enumerate() {
        let dir = format!("sys/class/hwmon/hwmon{number}/device");
        tree.write(&format!("{dir}/name"), "power_meter\n");
        tree.write(&format!("{dir}/power1_oem_info"), &format!("{label}\n"));
        tree.write(&format!("{dir}/power1_average"), &format!("{}000000\n", 100 + number));
    }
}

fn jetson(tree: &TestTree, number: u32, rails: [&str; 3]) {
    let dir = format!("sys/class/hwmon/hwmon{number}");
    tree.write(&format!("{dir}/name"), "ina3221\n");
    for (rail, label) in (1..).zip(rails) {
        tree.write(&format!("{dir}/in{rail}_label"), &format!("{label}\n"));
        tree.write(&format!("{dir}/in{rail}_input"), "5000\n");
        tree.write(&format!("{dir}/curr{rail}_input"), &format!("{rail}000\n"));
    }
}

fn channels(tree: &TestTree, kinds: &[DeviceKind]) -> Vec<String> {
    open(&tree.options("", &[]), kinds).0.map_or(Vec::new(), |source| TestTree::channels(&*source))
}

#[test]
fn grace_sockets_count_once_and_modules_only_as_nodes() {
    let tree = TestTree::new("grace");
    let of = |what: &str| (0..2).map(|socket| format!("{what} Power Socket {socket}")).collect::<Vec<_>>();
    let labels = [of("Module"), of("Grace"), of("CPU"), of("SysIO")].concat();
    grace(&tree, &labels.iter().map(String::as_str).collect::<Vec<_>>());
    tree.write("sys/class/hwmon/hwmon8/name", "nvme\n");
    tree.write("sys/class/hwmon/hwmon3/device/power1_average_interval", "1000\n");
    let sockets = ["cpu NVIDIA Grace Power Socket 0 hwmon2/power1", "cpu NVIDIA Grace Power Socket 1 hwmon3/power1"];
    let modules =
        ["node NVIDIA Module Power Socket 0 hwmon0/power1", "node NVIDIA Module Power Socket 1 hwmon1/power1"];
    assert_eq!(channels(&tree, &[DeviceKind::Cpu, DeviceKind::Dram]), sockets);
    assert_eq!(channels(&tree, &[DeviceKind::Node]), modules);
    let mut source = open(&tree.options("", &[]), &[DeviceKind::Cpu]).0.unwrap();
    assert!(source.channels()[1].note.as_ref().unwrap().ends_with("a mean over 1000 ms"));
    assert_eq!(TestTree::values(&mut *source), [Ok(Value::Watts(102.0)), Ok(Value::Watts(103.0))]);
    tree.write("sys/class/hwmon/hwmon2/device/power1_average", "");
    tree.remove("sys/class/hwmon/hwmon3/device/power1_average");
    assert_eq!(TestTree::values(&mut *source), [Err(Fault::Empty), Err(Fault::Gone)]);
    let (source, why) = open(&tree.options("", &[]), &[DeviceKind::Cpu]);
    assert!(source.is_none(), "nothing answers: others may measure the processor");
    assert!(why[0].reason.ends_with("hwmon2/device/power1_average: it is empty") && why[0].cure.is_some(), "{why:?}");
}

#[test]
fn cores_count_if_their_socket_has_no_meter() {
    let tree = TestTree::new("grace-cpu");
    grace(&tree, &["CPU Power Socket 0", "SysIO Power Socket 0", "CPU Power Socket 1", "Grace Power Socket 1"]);
    tree.write("sys/class/hwmon/hwmon9/name", "power_meter\n");
    tree.write("sys/class/hwmon/hwmon9/power1_oem_info", "Fan Power Socket 0\n");
    assert_eq!(
        channels(&tree, &[DeviceKind::Cpu]),
        ["cpu NVIDIA CPU Power Socket 0 hwmon0/power1", "cpu NVIDIA Grace Power Socket 1 hwmon3/power1"]
    );
    let (source, why) = open(&tree.options("", &[]), &[DeviceKind::Node, DeviceKind::Dram]);
    assert!(source.is_none() && why[0].reason.starts_with("no meter for node, dram; there is one of cpu: CPU Power"));
}

#[test]
fn jetson_rails_count_by_label_and_totals_only_as_nodes() {
    let tree = TestTree::new("xavier-nx");
    jetson(&tree, 1, ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]);
    assert_eq!(channels(&tree, &[DeviceKind::Node]), ["node Jetson VDD_IN hwmon1/in1"]);
    assert_eq!(channels(&tree, &[DeviceKind::Cpu, DeviceKind::Gpu]), ["cpu Jetson VDD_CPU_GPU_CV hwmon1/in2"]);
    assert_eq!(channels(&tree, &[DeviceKind::Gpu]), [""; 0]);
    let tree = TestTree::new("agx-orin");
    jetson(&tree, 3, ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"]);
    jetson(&tree, 4, ["NC", "VDDQ_VDD2_1V8AO", "NC"]);
    let parts = ["cpu Jetson VDD_CPU_CV hwmon3/in2", "gpu Jetson VDD_GPU_SOC hwmon3/in1"];
    assert_eq!(channels(&tree, &[DeviceKind::Cpu, DeviceKind::Gpu, DeviceKind::Dram]), parts);
    assert_eq!(channels(&tree, &[DeviceKind::Node]), [""; 0], "the 5 V rail is not the whole");
    let mut source = open(&tree.options("", &[]), &[DeviceKind::Cpu, DeviceKind::Gpu]).0.unwrap();
    assert_eq!(TestTree::values(&mut *source), [Ok(Value::Watts(10.0)), Ok(Value::Watts(5.0))]);
    tree.write("sys/class/hwmon/hwmon3/curr2_input", "-78\n");
    tree.write("sys/class/hwmon/hwmon3/in1_input", "5 V\n");
    assert_eq!(TestTree::values(&mut *source), [Ok(Value::Watts(0.0)), Err(Fault::Garbage)]);
}

#[test]
fn older_driver_is_read_and_a_missing_one_is_reported() {
    let tree = TestTree::new("nano");
    for (rail, label) in ["POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU"].iter().enumerate() {
        let dir = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0";
        tree.write(&format!("{dir}/rail_name_{rail}"), label);
        tree.write(&format!("{dir}/in_power{rail}_input"), "2500\n");
    }
    assert_eq!(channels(&tree, &[DeviceKind::Cpu]), ["cpu Jetson POM_5V_CPU iio:device0/in_power2"]);
    let mut source = open(&tree.options("", &[]), &[DeviceKind::Node]).0.unwrap();
    assert_eq!(TestTree::values(&mut *source), [Ok(Value::Watts(2.5))]);
    let (source, why) = open(&TestTree::new("no-meter").options("", &[]), &DeviceKind::ALL);
    assert!(source.is_none() && why[0].cure.is_none());
    assert_eq!(why[0].reason, "no hardware monitor under /sys/class/hwmon");
}

/// Writes the files of a monitor.
fn monitor(tree: &TestTree, number: u32, name: &str, files: &[(&str, &str)]) {
    let dir = format!("sys/class/hwmon/hwmon{number}");
    tree.write(&format!("{dir}/name"), &format!("{name}\n"));
    files.iter().for_each(|(file, text)| tree.write(&format!("{dir}/{file}"), &format!("{text}\n")));
}

/// "channel: value" of each meter of these kinds, with "rests" if its power may be 0.
fn read(tree: &TestTree, kinds: &[DeviceKind]) -> Vec<String> {
    let Some(mut source) = open(&tree.options("", &[]), kinds).0 else { return Vec::new() };
    let values = TestTree::values(&mut *source);
    let value = |value: &Result<Value, Fault>| match value {
        Ok(Value::Watts(watts)) => format!("{watts} W"),
        Ok(Value::Count(count)) => format!("{count} uJ"),
        Ok(Value::CheckWatts(watts)) => format!("{watts} W beside"),
        Err(fault) => fault.to_string(),
    };
    let rests = source.channels().iter().map(|channel| if channel.may_rest { " rests" } else { "" });
    let lines = TestTree::channels(&*source).into_iter().zip(&values).zip(rests);
    lines.map(|((channel, now), rests)| format!("{channel}: {}{rests}", value(now))).collect()
}

fn reason(tree: &TestTree, kinds: &[DeviceKind]) -> String {
    open(&tree.options("", &[]), kinds).1.into_iter().map(|why| why.reason).collect::<Vec<_>>().join("; ")
}

#[test]
fn thor_has_a_meter_of_its_board_apart_from_its_rails() {
    let tree = TestTree::new("thor");
    let input = [("in1_label", "VIN"), ("in1_input", "19000"), ("curr1_input", "3000"), ("power1_input", "57000000")];
    monitor(&tree, 3, "ina238", &input);
    jetson(&tree, 4, ["VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"]);
    assert_eq!(read(&tree, &[DeviceKind::Node]), ["node board VIN hwmon3/in1: 57 W"]);
    let parts = ["cpu Jetson VDD_CPU_SOC_MSS hwmon4/in2: 10 W rests", "gpu Jetson VDD_GPU hwmon4/in1: 5 W rests"];
    assert_eq!(read(&tree, &[DeviceKind::Cpu, DeviceKind::Gpu, DeviceKind::Dram]), parts);
    monitor(&tree, 4, "ina3221", &[("curr1_input", "0")]);
    assert_eq!(read(&tree, &[DeviceKind::Gpu]), ["gpu Jetson VDD_GPU hwmon4/in1: 0 W rests"], "an idle rail");
}

#[test]
fn single_rail_counts_by_its_best_file_and_only_with_a_label() {
    let tree = TestTree::new("single-rail");
    let product = [("in1_input", "5000"), ("curr1_input", "2000")];
    monitor(&tree, 0, "ina219", &[&product[..], &[("label", "VDD_IN")]].concat());
    assert_eq!(read(&tree, &[DeviceKind::Node]), ["node board VDD_IN hwmon0/in1: 10 W"]);
    monitor(&tree, 0, "ina228", &[("energy1_input", "123"), ("power1_input", "9000000")]);
    assert_eq!(read(&tree, &[DeviceKind::Node]), ["node board VDD_IN hwmon0/in1: 123 uJ"]);
    monitor(&tree, 0, "ina228", &[("energy1_input", "0")]);
    assert_eq!(read(&tree, &[DeviceKind::Node]), ["node board VDD_IN hwmon0/in1: 9 W"], "a counter of 0 is not used");
    monitor(&tree, 0, "ina228", &[("label", "3V3_SSD")]);
    assert_eq!(reason(&tree, &[DeviceKind::Node]), "no meter for node among the monitors found: ina228");
}

#[test]
fn input_of_the_board_contains_its_module() {
    let tree = TestTree::new("board-module");
    jetson(&tree, 0, ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]);
    monitor(&tree, 1, "ina226", &[("in1_label", "VIN"), ("power1_input", "20000000")]);
    assert_eq!(read(&tree, &[DeviceKind::Node]), ["node board VIN hwmon1/in1: 20 W"]);
    monitor(&tree, 1, "ina226", &[("power1_input", "0")]);
    assert_eq!(
        read(&tree, &[DeviceKind::Node]),
        ["node Jetson VDD_IN hwmon0/in1: 5 W"],
        "a meter that reads 0 is not used"
    );
}

#[test]
fn altra_socket_is_its_cores_and_the_rest() {
    let tree = TestTree::new("altra");
    let socket = |number, cpu, io| {
        let labels = [("power1_label", "CPU power"), ("power2_label", "IO power"), ("temp1_label", "SoC Temperature")];
        monitor(&tree, number, "apm_xgene", &[&labels[..], &[("power1_input", cpu), ("power2_input", io)]].concat());
    };
    socket(0, "90000000", "32000000");
    let first = ["cpu Ampere CPU power hwmon0/power1: 90 W", "cpu Ampere IO power hwmon0/power2: 32 W"];
    assert_eq!(read(&tree, &[DeviceKind::Cpu, DeviceKind::Dram]), first);
    socket(1, "80000000", "30000000");
    assert_eq!(read(&tree, &[DeviceKind::Cpu]).len(), 4, "two sockets");
    assert!(
        reason(&tree, &[DeviceKind::Node]).starts_with("no meter for node; there is one of cpu: CPU power, IO power")
    );
    (0..2).for_each(|number| socket(number, "0", "0"));
    assert_eq!(read(&tree, &[DeviceKind::Cpu]), [""; 0], "others may measure the processor");
    assert!(reason(&tree, &[DeviceKind::Cpu]).contains("hwmon0/power1_input: it reads 0"));
}

fn acpi(tree: &TestTree, number: u32, oem: &str, power: &str) {
    let files = [("power1_oem_info", oem), ("power1_average", power), ("power1_average_interval", "1000")];
    monitor(tree, number, "power_meter", &files);
}

#[test]
fn acpi_meter_of_a_server_is_the_whole_machine() {
    let tree = TestTree::new("acpi");
    acpi(&tree, 0, "Server", "262000000");
    assert_eq!(read(&tree, &[DeviceKind::Node]), ["node ACPI power meter Server hwmon0/power1: 262 W"]);
    assert_eq!(reason(&tree, &[DeviceKind::Cpu]), "no meter for cpu; there is one of node: ACPI power meter Server");
    let source = open(&tree.options("", &[]), &[DeviceKind::Node]).0.unwrap();
    assert_eq!(source.channels()[0].note.as_deref(), Some("the whole machine; a mean over 1000 ms"));
    acpi(&tree, 0, "", "262000000");
    assert_eq!(read(&tree, &[DeviceKind::Node]), ["node ACPI power meter hwmon0/power1: 262 W"]);
    acpi(&tree, 1, "PSU 2", "262000000");
    tree.write("sys/class/hwmon/hwmon1/device/measures/LNXSYBUS:00/path", "");
    assert_eq!(read(&tree, &[DeviceKind::Node]).len(), 1, "two meters of the whole repeat each other");
    for refused in ["0", "4294967295000", ""] {
        acpi(&tree, 0, "", refused);
        assert_eq!(read(&tree, &[DeviceKind::Node]), ["node ACPI power meter PSU 2 hwmon1/power1: 262 W"], "{refused}");
    }
}

#[test]
fn acpi_meter_of_a_battery_or_of_single_devices_is_not_the_machine() {
    for (file, text) in [("power1_is_battery", "1"), ("device/measures/ACPI0007:00/path", "")] {
        let tree = TestTree::new("acpi-part");
        acpi(&tree, 0, "OEM", "262000000");
        monitor(&tree, 0, "power_meter", &[(file, text)]);
        assert_eq!(reason(&tree, &[DeviceKind::Node]), "no meter for node among the monitors found: power_meter (OEM)");
    }
}

#[test]
fn power9_counts_chips_memory_and_the_system_by_their_energies() {
    let tree = TestTree::new("power9");
    let labels =
        ["Chip 0 ", "Chip 0 Vdd", "Chip 0 Vdn", "Chip 0 Memory", "Chip 8 Vdd", "Chip 8 Vdn", "System", "APSS 15 "];
    for (number, label) in (1..).zip(labels) {
        for (what, unit) in [("power", "000000"), ("energy", "777")] {
            monitor(&tree, 0, "ibmpowernv", &[(&format!("{what}{number}_label"), label)]);
            monitor(&tree, 0, "ibmpowernv", &[(&format!("{what}{number}_input"), &format!("{number}{unit}"))]);
        }
    }
    monitor(&tree, 0, "ibmpowernv", &[("in1_label", "Chip 0 Vdd"), ("in1_input", "880"), ("curr1_input", "100000")]);
    let meters = [
        "cpu POWER Chip 0 hwmon0/energy1: 1777 uJ",
        "cpu POWER Chip 8 Vdd hwmon0/energy5: 5777 uJ",
        "cpu POWER Chip 8 Vdn hwmon0/energy6: 6777 uJ",
        "dram POWER Chip 0 Memory hwmon0/energy4: 4777 uJ",
    ];
    assert_eq!(read(&tree, &[DeviceKind::Cpu, DeviceKind::Dram]), meters);
    assert_eq!(read(&tree, &[DeviceKind::Node]), ["node POWER System hwmon0/energy7: 7777 uJ"]);
    tree.remove("sys/class/hwmon/hwmon0/energy7_input");
    assert_eq!(
        read(&tree, &[DeviceKind::Node]),
        ["node POWER System hwmon0/power7: 7 W"],
        "the power serves in an older kernel"
    );
    assert!(
        reason(&tree, &[DeviceKind::Gpu]).starts_with("no meter for gpu; there is one of cpu, dram, node: Chip 0, ")
    );
}

/// A machine with two packages and four NUMA nodes: each node has a counter, which shows its package.
#[test]
fn amd_sockets_count_once_if_several_nodes_and_drivers_show_them() {
    let tree = TestTree::new("amd");
    let files = |name| {
        for (number, label) in (1..).zip(["Ecore000", "Ecore001", "Esocket0", "Esocket1", "Esocket2", "Esocket3"]) {
            let (label_file, input) = (format!("energy{number}_label"), format!("energy{number}_input"));
            monitor(&tree, 0, name, &[(&label_file, label), (&input, &format!("{number}000"))]);
        }
    };
    files("zenergy");
    assert_eq!(read(&tree, &[DeviceKind::Cpu]).len(), 4, "the packages of the nodes are unknown");
    for node in 0..4 {
        tree.write(&format!("sys/devices/system/node/node{node}/cpulist"), &format!("{0}-{0},{1}\n", 8 * node, 99));
        let package = format!("sys/devices/system/cpu/cpu{}/topology/physical_package_id", 8 * node);
        tree.write(&package, &format!("{}\n", node / 2));
    }
    let sockets = ["cpu AMD Esocket0 hwmon0/energy3: 3000 uJ", "cpu AMD Esocket2 hwmon0/energy5: 5000 uJ"];
    assert_eq!(read(&tree, &[DeviceKind::Cpu, DeviceKind::Dram]), sockets);
    files("amd_energy");
    monitor(&tree, 1, "amd_hsmp_hwmon", &[("power1_input", "150000000"), ("power1_cap", "280000000")]);
    monitor(&tree, 2, "amd_hsmp_hwmon", &[("power1_input", "140000000")]);
    assert_eq!(read(&tree, &[DeviceKind::Cpu]), sockets, "both drivers meter the sockets");
    (3..7).for_each(|number| tree.write(&format!("sys/class/hwmon/hwmon0/energy{number}_input"), ""));
    let sockets = ["cpu AMD socket hwmon1/power1: 150 W", "cpu AMD socket hwmon2/power1: 140 W"];
    assert_eq!(read(&tree, &[DeviceKind::Cpu]), sockets, "the other driver counts if one fails");
}

#[test]
fn meters_of_an_opteron_an_apple_and_a_power_supply_are_read() {
    let tree = TestTree::new("fam15h");
    tree.write("sys/class/hwmon/hwmon0/device/name", "fam15h_power\n");
    tree.write("sys/class/hwmon/hwmon0/device/power1_input", "95000000\n");
    tree.write("sys/class/hwmon/hwmon0/device/power1_average", "40000000\n");
    assert_eq!(read(&tree, &[DeviceKind::Cpu]), ["cpu AMD package hwmon0/power1: 95 W"]);
    tree.write("sys/class/hwmon/hwmon0/device/power1_input", "4294967295\n");
    assert_eq!(read(&tree, &[DeviceKind::Cpu]), [""; 0], "a negative power, shown as an unsigned number");
    let tree = TestTree::new("apple");
    let labels = ["AC Input Power", "Total System Power", "3.8 V Rail Power", "Heatpipe Power"];
    for (number, label) in (1..).zip(labels) {
        let (label_file, input) = (format!("power{number}_label"), format!("power{number}_input"));
        monitor(&tree, 2, "macsmc_hwmon", &[(&label_file, label), (&input, &format!("{number}000000"))]);
    }
    assert_eq!(read(&tree, &[DeviceKind::Node]), ["node Apple Total System Power hwmon2/power2: 2 W"]);
    let tree = TestTree::new("corsair");
    for (number, label) in (1..).zip(["power total", "power +12v", "power +5v", "power +3.3v"]) {
        let (label_file, input) = (format!("power{number}_label"), format!("power{number}_input"));
        monitor(&tree, 2, "corsairpsu", &[(&label_file, label), (&input, &format!("{number}00000000"))]);
    }
    assert_eq!(read(&tree, &[DeviceKind::Node]), ["node Corsair power supply power total hwmon2/power1: 100 W"]);
}

#[test]
fn monitors_without_a_known_meter_are_named_once() {
    let tree = TestTree::new("named");
    monitor(&tree, 0, "nvme", &[("temp1_label", "Composite")]);
    monitor(&tree, 1, "nvme", &[]);
    monitor(&tree, 2, "amdgpu", &[("power1_average", "28000000"), ("power1_label", "PPT")]);
    let rails: Vec<String> = (1..7).map(|number| format!("power{number}_label")).collect();
    let rails: Vec<(&str, &str)> = rails.iter().map(|file| (file.as_str(), "VDD")).collect();
    monitor(&tree, 3, "scmi_sensors", &rails);
    (1..7).for_each(|number| tree.write(&format!("sys/class/hwmon/hwmon3/power{number}_input"), "1000000\n"));
    assert_eq!(
        reason(&tree, &[DeviceKind::Cpu, DeviceKind::Node]),
        "no meter for cpu, node among the monitors found: nvme, amdgpu (PPT), scmi_sensors (VDD, VDD, VDD, VDD, ...)"
    );
    assert!(open(&tree.options("", &[]), &DeviceKind::ALL).0.is_none(), "a card's meter is not the board's");
}

/// A machine with a meter of every chip and nonsense in all files gives no energy and no panic.
#[test]
fn files_with_nonsense_give_no_energy() {
    const HUGE: &str = "99999999999999999";
    let texts = ["", " ", "-5", "x", "1.5", "nan", "0x10", "1e9", "99999999999999999999999", "12 34", "\u{0}", HUGE];
    for (index, text) in texts.into_iter().enumerate() {
        let tree = TestTree::new(&format!("odd-{index}"));
        let mut number = 0;
        let patterns = |label: &Label| match label {
            Label::Any => vec![String::new()],
            Label::Is(patterns) => patterns.iter().map(|pattern| pattern.replace('#', "7")).collect(),
            Label::Words(words) => vec![words.join("_")],
        };
        for chip in &CHIPS {
            for label in chip.rows.iter().flat_map(|row| patterns(&row.label)) {
                let labels = ["in1_label", "power1_label", "energy2_label", "power1_oem_info"]
                    .map(|file| (file, label.as_str()));
                let inputs = ["in1_input", "curr1_input", "power1_input", "power1_average", "power1_average_interval"];
                let inputs = inputs.map(|file| (file, text));
                // A counter may begin with any value, so a huge one is not a fault.
                let energy = [("energy2_input", if text == HUGE { "x" } else { text })];
                monitor(&tree, number, chip.names[0], &[&labels[..], &inputs[..], &energy[..]].concat());
                number += 1;
            }
        }
        let (source, why) = open(&tree.options("", &[]), &DeviceKind::ALL);
        let mut source = source.map_or(Vec::new(), |mut source| TestTree::values(&mut *source));
        // A negative current is the offset of an idle rail, which counts as 0. The voltage here is negative too.
        source.retain(|value| !matches!(value, Ok(Value::Watts(watts)) if *watts == 0.0));
        assert!(source.iter().all(Result::is_err), "{text:?}: {source:?}");
        assert!(!why.is_empty(), "{text:?}");
    }
}

#[test]
fn labels_fit_by_their_text() {
    let fits = |pattern, label: &str| Label::Is(pattern).fit(label);
    assert_eq!(fits(&["chip # vdd"], "chip 12 vdd").as_deref(), Some("12"));
    for label in ["chip  vdd", "chip x vdd", "chip -1 vdd", "chip 1 vddq", "chip", "", "#", "chip # vdd"] {
        assert_eq!(fits(&["chip # vdd"], label), None, "{label}");
    }
    assert_eq!(Label::Words(&["cpu"]).fit("cpu_fan_5v0"), None, "a fan's rail is not the processor's");
    assert_eq!(package(Path::new("/nowhere"), "18446744073709551616"), None);
}
