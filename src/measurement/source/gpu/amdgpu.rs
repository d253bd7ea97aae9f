//! AMD GPUs through the kernel's amdgpu driver (Documentation/gpu/amdgpu/thermal.rst, "HWMON Interfaces"): the energy
//! counter, else `power1_average`, else `power1_input`. Each covers the whole socket.
//!
//! A card of two dies (MI200) has one sensor for both, on the first die (linux, aldebaran_ppt.c: "Valid power data is
//! available only from primary die"). The sensor of the second die is missing, 0 or "not supported". On a processor
//! with graphics the sensor covers the whole processor.

use super::drm_card::Card;
use super::kfd;
use crate::measurement::channel::DeviceKind;
use crate::measurement::config::MeasurementConfig;
use crate::measurement::source::Opened;
use crate::measurement::source::sysfs::number_file;
use crate::measurement::source::sysfs::sensor::{
    MAX_GPU_W, Sensor, SensorDevice, Sensors, Silent, absent, by_process, none,
};
use crate::measurement::source_name::SourceName;
use std::path::{Path, PathBuf};

const NAME: SourceName = SourceName::Amdgpu;
/// AMD's number on the PCI bus.
const VENDOR: &str = "0x1002";
/// How the kernel's names of further partitions of a card begin (MI300 in DPX, QPX or CPX mode).
const PARTITION: &str = "amdgpu_xcp";
/// The model MI300A, with processor and GPU on one socket. Its monitor does not show this.
const MI300A: &str = "0x74a0";

const NO_SENSOR_CURE: &str = "check whether its power management is on: sudo dmesg | grep amdgpu";
const UNKNOWN_CURE: &str = "compare with the GPUs and UUIDs that rocminfo lists; if HIP_VISIBLE_DEVICES is unset, HIP reads \
CUDA_VISIBLE_DEVICES";

/// A card of the amdgpu driver.
struct AmdGpu {
    card: Card,
    monitor: Option<PathBuf>,
    sensor: Option<Result<Sensor, Silent>>,
    /// The index of the die whose sensor also measures this one. None: its own sensor does.
    measured_by: Option<usize>,
}

/// Opens the sensors of this job's cards.
pub fn open(options: &MeasurementConfig) -> Opened {
    let selection = &options.gpus.amd;
    let cards = Card::all(&options.sysroot).into_iter().filter(|card| !card.id().starts_with(PARTITION));
    let mut gpus: Vec<AmdGpu> = cards.filter_map(AmdGpu::look).collect();
    if gpus.is_empty() {
        return absent(NAME, "no AMD GPU here");
    }
    if let Some(why) = selection.none() {
        return none(NAME, why);
    }
    let counts_cpu = options.components.contains(&DeviceKind::Cpu);
    if counts_cpu && gpus.iter().all(AmdGpu::is_apu) {
        return absent(NAME, "no AMD GPU here except in the processor, where it is counted");
    }
    let offered = offer(options, &gpus);
    if offered.is_empty() {
        return absent(NAME, "this job's cgroup keeps it from every AMD GPU here");
    }
    if selection.process {
        return (None, vec![by_process(NAME)]);
    }
    let ids: Vec<Vec<String>> = offered.iter().map(|one| one.ids.clone()).collect();
    let (picked, unknown) = selection.pick(&ids);
    let picked: Vec<usize> = picked.iter().filter_map(|one| Some(offered.get(one.index)?.gpu)).collect();
    let mut sensors = Sensors::new(NAME);
    for what in unknown {
        sensors.leave_out(what, Some(UNKNOWN_CURE));
    }
    join_dies(&mut gpus);
    for index in 0..gpus.len() {
        let is_part = |&die: &usize| gpus.get(die).is_some_and(|gpu| gpu.measured_by == Some(index));
        let dies: Vec<usize> = std::iter::once(index).chain((0..gpus.len()).filter(is_part)).collect();
        let is_second = gpus.get(index).is_some_and(|gpu| gpu.measured_by.is_some());
        if is_second || !dies.iter().any(|die| picked.contains(die)) {
            continue;
        }
        let mut notes = dies_note(&gpus, &dies, &picked);
        let ours = picked.iter().filter(|&&gpu| gpu == index).count();
        let all = offered.iter().filter(|one| one.gpu == index).count();
        if ours < all && ours > 0 {
            notes.push(format!("the whole card is counted; this job has {ours} of {all} parts"));
        }
        if let Some(gpu) = gpus.get_mut(index) {
            gpu.take_part(notes, counts_cpu, &mut sensors);
        }
    }
    sensors.finish(true)
}

/// A card, or a partition of one, that the job may choose.
struct AmdOffer {
    gpu: usize,
    ids: Vec<String>,
}

/// The GPUs that ROCm shows to this process, in ROCm's order. All cards if ROCm has no list, or for `devices=all`.
fn offer(options: &MeasurementConfig, gpus: &[AmdGpu]) -> Vec<AmdOffer> {
    let nodes = Some(&options.sysroot).filter(|_| options.devices != "all").and_then(|sysroot| kfd::gpus(sysroot));
    let Some(nodes) = nodes else {
        return gpus.iter().enumerate().map(|(gpu, one)| AmdOffer { gpu, ids: one.ids() }).collect();
    };
    let of_node = |node: kfd::Node| {
        let gpu = gpus.iter().position(|gpu| gpu.card.address.as_ref() == Some(&node.address))?;
        Some(AmdOffer { gpu, ids: node.uuid.into_iter().chain([node.address]).collect() })
    };
    nodes.into_iter().filter_map(of_node).collect()
}

/// Assigns each die without a sensor to the die before it, if that is of the same model and has a sensor.
fn join_dies(gpus: &mut [AmdGpu]) {
    for index in 1..gpus.len() {
        let (before, after) = gpus.split_at_mut(index);
        let (Some(first), Some(second)) = (before.last(), after.first_mut()) else { continue };
        let is_first = first.measured_by.is_none() && first.sensor.as_ref().is_some_and(|sensor| !is_absent(sensor));
        let is_second = second.sensor.as_ref().is_none_or(is_absent);
        let model = |gpu: &AmdGpu| gpu.card.text("device");
        if is_first && is_second && !second.is_apu() && model(first) == model(second) {
            second.measured_by = Some(index - 1);
        }
    }
}

fn is_absent(sensor: &Result<Sensor, Silent>) -> bool {
    sensor.as_ref().is_err_and(Silent::is_absent)
}

/// A note on a sensor of several dies: which dies it counts, and which of them are this job's.
fn dies_note(gpus: &[AmdGpu], dies: &[usize], picked: &[usize]) -> Vec<String> {
    if dies.len() < 2 {
        return Vec::new();
    }
    let names = |dies: &mut dyn Iterator<Item = &usize>| -> Vec<String> {
        dies.filter_map(|&die| Some(gpus.get(die)?.card.id().to_owned())).collect()
    };
    let all = format!("one sensor counts the dies {}", names(&mut dies.iter()).join(" and "));
    let ours = names(&mut dies.iter().filter(|die| picked.contains(die)));
    let share = if ours.len() < dies.len() { format!("; this job has {}", ours.join(" and ")) } else { String::new() };
    vec![all + &share]
}

/// Highest plausible power of the card, W: three times the highest limit of its driver. A limit below 5 W counts as
/// unknown.
fn max_watts(monitor: &Path) -> f64 {
    const MIN_LIMIT_W: f64 = 5.0;
    let limit = number_file::text(&monitor.join("power1_cap_max")).ok().and_then(|text| text.parse::<f64>().ok());
    let limit_w = limit.map(|microwatts| microwatts * 1e-6).filter(|watts| *watts >= MIN_LIMIT_W);
    limit_w.map_or(MAX_GPU_W, |watts| (3.0 * watts).min(MAX_GPU_W))
}

impl AmdGpu {
    /// Returns the card if it is AMD's.
    fn look(card: Card) -> Option<AmdGpu> {
        let monitor = card.monitor(&[NAME.as_str()]);
        if monitor.is_none() && card.text("vendor").as_deref() != Some(VENDOR) {
            return None;
        }
        let candidates = |dir: &Path| {
            let max_watts = max_watts(dir);
            let power = |file: &str| Sensor::power(dir.join(file), 1e-6, max_watts);
            let powers = ["power1_average", "power1_input"].map(|file| dir.join(file));
            let energy = Sensor::energy(dir.join("energy1_input"), MAX_GPU_W).checked_by(powers);
            Sensor::first_of([energy, power("power1_average"), power("power1_input")])
        };
        let sensor = monitor.as_deref().and_then(candidates);
        Some(AmdGpu { card, monitor, sensor, measured_by: None })
    }

    /// The card's UUID in ROCm's form, and its address.
    fn ids(&self) -> Vec<String> {
        let uuid = self.card.text("unique_id").map(|id| format!("GPU-{}", id.trim_start_matches("0x")));
        uuid.into_iter().chain([self.card.id().to_owned()]).collect()
    }

    /// Whether the GPU is part of a processor. Only such a GPU measures the voltage of its northbridge.
    fn is_apu(&self) -> bool {
        let label = self.monitor.as_ref().map(|dir| number_file::text(&dir.join("in1_label")));
        matches!(label, Some(Ok(label)) if label == "vddnb")
    }

    /// Adds the card's sensor to `sensors`, or the reason why it has none.
    fn take_part(&mut self, mut notes: Vec<String>, counts_cpu: bool, sensors: &mut Sensors) {
        let name = &self.card.name;
        if self.is_apu() && counts_cpu {
            let reason = format!("{name} is part of the processor and counted with it");
            return sensors.leave_out(reason, None);
        }
        let sensor = match self.sensor.take() {
            Some(Err(silent)) if silent.is_absent() => {
                return sensors.leave_out(silent.reason(), Some(NO_SENSOR_CURE));
            }
            Some(sensor) => sensor,
            None => {
                return sensors.leave_out(format!("{name} has no monitor named amdgpu"), Some(NO_SENSOR_CURE));
            }
        };
        if self.is_apu() || self.card.text("device").as_deref() == Some(MI300A) {
            notes.push("its power includes the processor on the same socket".into());
        }
        let device = self.card.text("product_name").unwrap_or_else(|| format!("AMD GPU {name}"));
        sensors.add(
            SensorDevice { kind: DeviceKind::Gpu, device, has_memory: false, id: self.card.id().to_owned(), notes },
            sensor,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::reading::{Fault, Value};
    use crate::measurement::source::sysfs::test_tree::TestTree;

    /// Writes a card at an address, with files in its monitor's and its device's folder.
    fn card(tree: &TestTree, number: u32, address: &str, files: &[(&str, &str)]) {
        let device = format!("sys/devices/pci0000:00/{address}");
        tree.write(&format!("{device}/vendor"), "0x1002\n");
        tree.write(&format!("{device}/hwmon/hwmon{number}/name"), "amdgpu\n");
        for (file, text) in files {
            tree.write(&format!("{device}/{}", file.replace("hwmon/", &format!("hwmon/hwmon{number}/"))), text);
        }
        tree.link(&format!("sys/class/drm/card{number}/device"), &format!("../../../devices/pci0000:00/{address}"));
        tree.write(&format!("sys/class/drm/card{number}-DP-1/status"), "connected\n");
    }

    const POWER: (&str, &str) = ("hwmon/power1_average", "300000000\n");

    #[test]
    fn the_best_sensor_of_each_card_is_opened_in_the_order_of_the_bus() {
        let tree = TestTree::new("amd");
        card(&tree, 0, "0000:c1:00.0", &[POWER, ("hwmon/power1_input", "9000000\n"), ("device", "0x7550\n")]);
        card(&tree, 1, "0000:03:00.0", &[("hwmon/energy1_input", "5000000\n"), POWER, ("product_name", "MI210\n")]);
        card(&tree, 2, "0000:41:00.0", &[("hwmon/power1_input", "25000000\n"), ("device", "0x744c\n")]);
        tree.write("sys/class/drm/card3/device/vendor", "0x8086\n");
        let (source, unavailable) = open(&tree.options("", &[]));
        let mut source = source.unwrap();
        assert_eq!(
            TestTree::channels(&*source),
            ["gpu MI210 0000:03:00.0", "gpu AMD GPU card2 0000:41:00.0", "gpu AMD GPU card0 0000:c1:00.0"]
        );
        assert_eq!(
            TestTree::values(&mut *source),
            [Ok(Value::Count(5_000_000)), Ok(Value::Watts(25.0)), Ok(Value::Watts(300.0))]
        );
        assert_eq!((source.min_gap_ns(), source.max_gap_ns(), unavailable), (50_000_000, 100_000_000, Vec::new()));
        tree.write("sys/devices/pci0000:00/0000:03:00.0/hwmon/hwmon1/energy1_input", "\n");
        tree.remove("sys/devices/pci0000:00/0000:41:00.0/hwmon/hwmon2/power1_input");
        tree.write("sys/devices/pci0000:00/0000:c1:00.0/hwmon/hwmon0/power1_average", "4295000000\n");
        assert_eq!(TestTree::values(&mut *source), [Err(Fault::Empty), Err(Fault::Gone), Ok(Value::Watts(4295.0))]);
        assert!(!source.channels()[2].quantity.allows(4295.0), "its meter takes it for a fault");
    }

    #[test]
    fn cards_are_chosen_by_number_or_uuid() {
        let tree = TestTree::new("amd-picked");
        for (number, address, id) in [(0, "0000:c1:00.0", "c0ffee"), (1, "0000:03:00.0", "beef")] {
            card(&tree, number, address, &[POWER, ("unique_id", id)]);
        }
        let ids = |variable: &str| {
            let (source, unavailable) = open(&tree.options("", &[("ROCR_VISIBLE_DEVICES", variable)]));
            (source.map_or(Vec::new(), |s| TestTree::channels(&*s)), unavailable)
        };
        assert_eq!(ids("0").0, ["gpu AMD GPU card1 0000:03:00.0"]);
        assert_eq!(ids("GPU-c0ffee").0, ["gpu AMD GPU card0 0000:c1:00.0"]);
        let (none, why) = ids("7");
        assert!(none.is_empty() && why[0].reason.contains("GPU 7") && why[0].cure.is_some(), "{why:?}");
        let (none, why) = ids("-1");
        assert!(none.is_empty() && why[0].reason.contains("ROCR_VISIBLE_DEVICES=-1") && why[0].cure.is_none());
        let node = |number: u32, location: u32| {
            let text = format!("simd_count 304\nlocation_id {location}\nunique_id {}\n", 0xc0ffee);
            tree.write(&format!("sys/class/kfd/kfd/topology/nodes/{number}/properties"), &text);
        };
        tree.write("sys/class/kfd/kfd/topology/nodes/1/gpu_id", "");
        assert!(ids("0").1[0].reason.contains("cgroup"), "the node's text is hidden from us");
        tree.link("sys/class/drm/card2/device", "../../../devices/platform/amdgpu_xcp_0");
        (2..4).for_each(|number| node(number, 0xc100 | number << 28));
        assert_eq!(ids("1").0, ["gpu AMD GPU card0 0000:c1:00.0"], "the only visible card has every number");
        let note = open(&tree.options("devices=1", &[])).0.unwrap().channels()[0].note.clone().unwrap();
        assert!(note.ends_with("this job has 1 of 2 parts"), "{note}");
        assert_eq!(ids("GPU-0000000000c0ffee").0, ["gpu AMD GPU card0 0000:c1:00.0"]);
        assert_eq!(open(&tree.options("devices=all", &[])).0.unwrap().channels().len(), 2);
    }

    /// Four cards, and a program that sets only CUDA's variable, as a user reported.
    #[test]
    fn cards_are_chosen_by_the_variables_of_hip_and_cuda() {
        let tree = TestTree::new("amd-cuda");
        for number in 1..5 {
            let id = format!("{number:016x}");
            card(&tree, number, &format!("0000:{number}1:00.0"), &[POWER, ("unique_id", &id)]);
        }
        let found = |environment: &[(&str, &str)]| -> (Vec<String>, String) {
            let (source, unavailable) = open(&tree.options("components=gpu", environment));
            let channels = source.iter().flat_map(|source| source.channels());
            let ids = channels.map(|channel| channel.id.replace("0000:", "").replace("1:00.0", "")).collect();
            (
                ids,
                unavailable
                    .iter()
                    .map(|one| format!("{} ({})", one.reason, one.cure.clone().unwrap_or_default()))
                    .collect(),
            )
        };
        for (variables, cards, words) in [
            (&[("CUDA_VISIBLE_DEVICES", "1")][..], vec!["2"], ""),
            (&[("HIP_VISIBLE_DEVICES", "0,3")], vec!["1", "4"], ""),
            (&[("HIP_VISIBLE_DEVICES", "2"), ("CUDA_VISIBLE_DEVICES", "0")], vec!["3"], ""),
            (&[("ROCR_VISIBLE_DEVICES", "1,2"), ("CUDA_VISIBLE_DEVICES", "1")], vec!["3"], ""),
            (&[("GPU_DEVICE_ORDINAL", "3")], vec!["4"], ""),
            (&[("CUDA_VISIBLE_DEVICES", "GPU-0000000000000002")], vec!["2"], ""),
            (&[("CUDA_VISIBLE_DEVICES", "-1")], vec![], "CUDA_VISIBLE_DEVICES=-1: this job has no GPU"),
            (&[("CUDA_VISIBLE_DEVICES", "10000"), ("GPU_DEVICE_ORDINAL", "10000")], vec![], "has no GPU"),
            (&[("CUDA_VISIBLE_DEVICES", "GPU-4b2c1a9f-8d3e-6f7a-b5c9-2e4d8a1f6c3b")], vec![], "HIP_VISIBLE_DEVICES"),
            (&[("CUDA_VISIBLE_DEVICES", "MIG-4b2c1a9f")], vec![], "in HIP_VISIBLE_DEVICES if"),
            (&[("NVIDIA_VISIBLE_DEVICES", "void"), ("SLURM_JOB_GPUS", "0-1")], vec!["1", "2"], ""),
        ] {
            let (ids, reported) = found(variables);
            assert_eq!(ids, cards, "{variables:?}: {reported}");
            assert!(reported.contains(words) && (reported.is_empty() == words.is_empty()), "{variables:?}: {reported}");
        }
        let (_, why) = open(&TestTree::new("amd-not-here").options("", &[("CUDA_VISIBLE_DEVICES", "MIG-1")]));
        assert_eq!(why[0].reason, "no AMD GPU here");
    }

    #[test]
    fn a_card_of_two_dies_is_counted_once_whichever_is_picked() {
        let tree = TestTree::new("amd-dies");
        let model = ("device", "0x7408\n");
        card(&tree, 0, "0000:c1:00.0", &[POWER, model]);
        card(&tree, 1, "0000:c6:00.0", &[model]);
        card(&tree, 2, "0000:c9:00.0", &[POWER, model]);
        card(&tree, 3, "0000:ce:00.0", &[("hwmon/power1_average", "0\n"), model]);
        let open = |variable: &str| {
            let (source, unavailable) = open(&tree.options("", &[("ROCR_VISIBLE_DEVICES", variable)]));
            assert_eq!(unavailable, []);
            let channels = source.iter().flat_map(|s| s.channels());
            channels.map(|c| (c.id.clone(), c.note.clone().unwrap())).collect::<Vec<_>>()
        };
        let all = open("0,1,2,3");
        assert_eq!(all.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["0000:c1:00.0", "0000:c9:00.0"]);
        assert!(all[1].1.ends_with("0000:c9:00.0 and 0000:ce:00.0"), "{all:?}");
        let second = open("3");
        assert!(second.len() == 1 && second[0].0 == "0000:c9:00.0", "{second:?}");
        assert!(second[0].1.contains("this job has 0000:ce:00.0"), "{second:?}");
        assert_eq!(open("0,1").len(), 1);
    }

    #[test]
    fn a_card_without_a_sensor_or_in_the_processor_is_reported() {
        let (source, why) = open(&TestTree::new("amd-none").options("", &[]));
        assert!(source.is_none() && why[0].reason == "no AMD GPU here" && why[0].cure.is_none());
        let tree = TestTree::new("amd-apu");
        card(&tree, 0, "0000:07:00.0", &[POWER, ("hwmon/in1_label", "vddnb\n")]);
        assert!(open(&tree.options("", &[])).1[0].reason.contains("in the processor"));
        card(&tree, 1, "0000:03:00.0", &[("device", "0x67df\n")]);
        card(&tree, 2, "0000:08:00.0", &[("hwmon/power1_average", "N/A\n"), ("device", "0x7550\n")]);
        let (source, why) = open(&tree.options("", &[]));
        assert_eq!(TestTree::channels(&*source.unwrap()), ["gpu AMD GPU card2 0000:08:00.0"], "it may answer later");
        let reasons: Vec<&str> = why.iter().map(|u| u.reason.as_str()).collect();
        assert!(reasons[0].contains("card1/device/hwmon/hwmon1/power1_input: not found"), "{reasons:?}");
        assert!(reasons[1].contains("card0 is part of the processor"), "{reasons:?}");
        assert!(reasons[2].contains("card2/device/hwmon/hwmon2/power1_average: it is not a number"), "{reasons:?}");
        let (source, _) = open(&tree.options("components=gpu", &[]));
        assert!(source.unwrap().channels()[0].note.as_ref().unwrap().contains("includes the processor"));
    }
}
