use super::*;
use crate::measurement::channel::Channel;
use crate::measurement::source::sysfs::test_tree::TestTree;

const ZONES: [(&str, &str); 3] = [("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "dram"), ("intel-rapl:1", "psys")];

fn with_zones(label: &str, zones: &[(&str, &str)]) -> TestTree {
    let tree = TestTree::new(label);
    for (zone, name) in zones {
        tree.write(&format!("sys/class/powercap/{zone}/name"), name);
        tree.write(&format!("sys/class/powercap/{zone}/energy_uj"), "5\n");
    }
    tree
}

fn with_cray(tree: &TestTree) {
    for file in ["energy", "cpu_energy", "memory_energy", "accel0_energy", "accel1_energy"] {
        tree.write(&format!("sys/cray/pm_counters/{file}"), "100 J 1655219349093098 us\n");
    }
    tree.write("sys/cray/pm_counters/freshness", "1\n");
}

/// "kind source" of each channel, and the reasons of the sources that do not take part. NVML is not installed.
fn found(tree: &TestTree, text: &str) -> (Vec<String>, String) {
    let found = Sources::discover(&tree.options(&format!("{text} nvml=/nowhere/nvml.so"), &[]), &|_| ());
    let (mut sources, mut unavailable) = (found.sources, found.unavailable);
    let (gpus, more) = found.without_nvml;
    sources.extend(gpus);
    unavailable.extend(more);
    let line = |channel: &Channel| format!("{} {}", channel.kind.name(), channel.source);
    let channels = sources.iter().flat_map(|source| source.channels()).map(line).collect();
    (channels, unavailable.into_iter().map(|u| u.reason).collect::<Vec<_>>().join("; "))
}

#[test]
fn parts_come_before_the_whole() {
    let tree = with_zones("parts", &ZONES);
    let (channels, reasons) = found(&tree, "components=cpu,dram,node");
    assert_eq!(channels, ["cpu rapl", "dram rapl"]);
    assert!(reasons.contains("intel-rapl:1 meters the whole node and is not counted"), "{reasons}");
    assert_eq!(found(&tree, "components=node").0, ["node rapl"]);
    let (channels, _) = found(&with_zones("whole", &ZONES[2..]), "components=cpu,dram,node");
    assert_eq!(channels, ["node rapl"], "without an estimate beside it");
    let (channels, reasons) = found(&with_zones("missed", &ZONES[2..]), "components=cpu");
    assert!(channels.len() <= 1 && reasons.contains("no package zone"), "{channels:?} {reasons}");
}

#[test]
fn memory_is_estimated_beside_an_estimate_only() {
    let tree = TestTree::new("memory-model");
    tree.write("proc/stat", "cpu  1 1 1 1\ncpu0 1 1 1 1\n");
    tree.write("proc/meminfo", "MemTotal: 16000000 kB\n");
    assert_eq!(found(&tree, "components=cpu,dram").0, ["cpu cpu_model", "dram memory_model"]);
    assert_eq!(found(&tree, "components=cpu").0, ["cpu cpu_model"]);
    assert_eq!(found(&tree, "components=dram").0, ["dram memory_model"]);
    assert_eq!(found(&tree, "components=cpu,dram sim_cpu=x:10").0, ["cpu simulated"]);
    let (channels, reasons) = found(&with_zones("memory-metered", &ZONES[..1]), "components=cpu,dram");
    assert_eq!(channels, ["cpu rapl"]);
    assert!(reasons.contains("no meter here covers memory"), "{reasons}");
}

#[test]
fn a_cray_node_is_not_added_to_its_parts() {
    let tree = TestTree::new("cray");
    with_cray(&tree);
    let (channels, reasons) = found(&tree, "components=all");
    assert_eq!(channels, ["cpu pm_counters", "dram pm_counters", "gpu pm_counters", "gpu pm_counters"]);
    assert!(reasons.contains("meters the whole node and is not counted"), "{reasons}");
    assert_eq!(found(&tree, "components=node").0, ["node pm_counters"]);
    let tree = with_zones("cray-rapl", &ZONES[..1]);
    with_cray(&tree);
    assert_eq!(found(&tree, "components=cpu,dram").0, ["cpu rapl", "dram pm_counters"]);
}

fn with_monitor(tree: &TestTree, number: u32, files: &[(&str, &str)]) {
    files.iter().for_each(|(file, text)| tree.write(&format!("sys/class/hwmon/hwmon{number}/{file}"), text));
}

#[test]
fn a_servers_node_meter_counts_where_no_part_is_metered() {
    let tree = TestTree::new("server-meter");
    with_monitor(&tree, 0, &[("name", "power_meter"), ("power1_average", "262000000\n")]);
    let (channels, reasons) = found(&tree, "components=all");
    assert_eq!(channels, ["node hwmon"], "{reasons}");
    assert_eq!(found(&tree, "components=node").0, ["node hwmon"]);
    let rails = [("in1_label", "VDD_CPU_SOC_MSS"), ("in1_input", "5000"), ("curr1_input", "2000")];
    with_monitor(&tree, 1, &[&[("name", "ina3221")], &rails[..]].concat());
    let (channels, reasons) = found(&tree, "components=all");
    assert_eq!(channels, ["cpu hwmon"]);
    assert!(reasons.contains("hwmon0/power1 meters the whole node and is not counted"), "{reasons}");
}

#[test]
fn a_crays_counters_measure_memory_that_the_socket_meter_lacks() {
    let tree = TestTree::new("cray-hwmon");
    with_cray(&tree);
    with_monitor(&tree, 0, &[("name", "zenergy"), ("energy9_label", "Esocket0"), ("energy9_input", "5\n")]);
    assert_eq!(found(&tree, "components=cpu,dram").0, ["cpu hwmon", "dram pm_counters"]);
    let grace = [("power1_oem_info", "Grace Power Socket 0"), ("power1_average", "90000000\n")];
    with_monitor(&tree, 0, &[&[("name", "power_meter")], &grace[..]].concat());
    assert_eq!(found(&tree, "components=cpu,dram").0, ["cpu hwmon"], "its power contains the memory's");
}

#[test]
fn a_simulated_device_replaces_its_kind() {
    let tree = with_zones("simulated", &ZONES);
    let (channels, reasons) = found(&tree, "components=cpu,dram,node sim_cpu=x:10");
    assert_eq!(channels, ["cpu simulated"]);
    assert!(reasons.contains("sim_cpu replaces the processor"), "{reasons}");
    assert_eq!(found(&tree, "components=dram sim_cpu=x:10").0, ["dram rapl"]);
    assert_eq!(found(&tree, "components=cpu,gpu sim_gpu=x:10").0, ["gpu simulated", "cpu rapl"]);
}

/// Powercap's memory can be read and its package cannot. The perf unit, here the software clock, has both. Memory is
/// read from powercap alone.
#[test]
fn each_kind_is_read_by_one_source() {
    let tree = with_zones("twice", &ZONES[..2]);
    tree.write("sys/class/powercap/intel-rapl:0/energy_uj", "");
    for (file, text) in [("type", "1"), ("cpumask", "0")] {
        tree.write(&format!("sys/bus/event_source/devices/power/{file}"), text);
    }
    for event in ["energy-pkg", "energy-ram"] {
        tree.write(&format!("sys/bus/event_source/devices/power/events/{event}"), "event=0x00");
        tree.write(&format!("sys/bus/event_source/devices/power/events/{event}.scale"), "1e-7");
    }
    for components in ["all", "dram", "cpu,dram", "node,dram"] {
        let (channels, _) = found(&tree, &format!("components={components}"));
        let memory: Vec<&String> = channels.iter().filter(|channel| channel.starts_with("dram")).collect();
        assert_eq!(memory, ["dram rapl"], "{components}");
    }
}
