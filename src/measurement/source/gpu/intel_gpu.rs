//! Intel's discrete GPUs through the kernel's i915 and xe drivers (Documentation/ABI/testing/
//! sysfs-driver-intel-i915-hwmon and sysfs-driver-intel-xe-hwmon): the card's energy counter, else its package's.
//!
//! i915 also has a monitor for each tile (i915_gt0, …). The card's counter includes the tiles, so these monitors only
//! give the number of tiles. Graphics in a processor have no monitor. Their energy is in that of the processor.

use super::drm_card::{Card, numbered};
use crate::measurement::channel::DeviceKind;
use crate::measurement::config::MeasurementConfig;
use crate::measurement::source::Opened;
use crate::measurement::source::sysfs::number_file;
use crate::measurement::source::sysfs::sensor::{
    MAX_GPU_W, Sensor, SensorDevice, Sensors, Silent, absent, by_process, none,
};
use crate::measurement::source_name::SourceName;
use std::path::{Path, PathBuf};

const NAME: SourceName = SourceName::IntelGpu;
/// Intel's number on the PCI bus.
const VENDOR: &str = "0x8086";
/// The names of a card's monitor.
const DRIVERS: [&str; 2] = ["i915", "xe"];

/// Tiles of a card; more are not plausible.
const MAX_TILES: usize = 16;

const UNKNOWN_CURE: &str = "compare with the GPUs that sycl-ls lists; they are tiles if ZE_FLAT_DEVICE_HIERARCHY is FLAT, \
    and cards if it is COMPOSITE";
const NO_SENSOR_CURE: &str = "load a driver that counts its energy: i915 since Linux 6.2, or xe since 6.8";

/// Tiles of all cards together.
pub fn tiles(sysroot: &Path) -> usize {
    Card::all(sysroot)
        .into_iter()
        .filter_map(IntelGpu::look)
        .filter(|gpu| gpu.monitor.is_some())
        .map(|gpu| gpu.tiles())
        .sum()
}

/// A card, and its monitor if it has one.
struct IntelGpu {
    card: Card,
    monitor: Option<PathBuf>,
}

/// Opens the sensors of this job's cards.
pub fn open(options: &MeasurementConfig) -> Opened {
    let selection = &options.gpus.intel;
    let mut gpus: Vec<IntelGpu> = Card::all(&options.sysroot).into_iter().filter_map(IntelGpu::look).collect();
    if gpus.is_empty() {
        return absent(NAME, "no Intel GPU here");
    }
    if gpus.iter().all(|gpu| gpu.monitor.is_none()) {
        return absent(NAME, "no discrete Intel GPU here; graphics in the processor are counted with it");
    }
    if let Some(why) = selection.none() {
        return none(NAME, why);
    }
    if selection.process {
        return (None, vec![by_process(NAME)]);
    }
    // Level Zero numbers discrete cards first, because they are faster.
    gpus.sort_by_key(|gpu| gpu.monitor.is_none() && !selection.orders_by_bus());
    let offered: Vec<(Vec<String>, usize)> =
        gpus.iter().map(|gpu| (vec![gpu.card.id().to_owned()], gpu.tiles())).collect();
    let (picked, unknown) = selection.pick_tiles(&offered);
    let mut sensors = Sensors::new(NAME);
    for what in unknown {
        sensors.leave_out(what, Some(UNKNOWN_CURE));
    }
    for one in picked {
        let Some(gpu) = gpus.get(one.index) else { continue };
        gpu.take_part(&one.tiles, &mut sensors);
    }
    sensors.finish(true)
}

impl IntelGpu {
    /// Returns the card if it is Intel's.
    fn look(card: Card) -> Option<IntelGpu> {
        let monitor = card.monitor(&DRIVERS);
        (monitor.is_some() || card.text("vendor").as_deref() == Some(VENDOR)).then_some(IntelGpu { card, monitor })
    }

    /// The number of tiles. i915 has a monitor for each tile (i915_gt0, …), or at least a folder below the card
    /// (gt/gt0, …). xe has a folder for each below the device (tile0, …). Graphics in a processor count as one tile.
    fn tiles(&self) -> usize {
        if self.monitor.is_none() {
            return 1;
        }
        let monitors = numbered(&self.card.device.join("hwmon"), "hwmon").into_iter();
        let of_tiles = monitors
            .filter(|(_, dir)| number_file::text(&dir.join("name")).is_ok_and(|name| name.starts_with("i915_gt")));
        let folders = |dir: PathBuf, name: &str| numbered(&dir, name).len();
        let by_card = self.card.device.parent().map_or(0, |card| folders(card.join("gt"), "gt"));
        let counts = [of_tiles.count(), folders(self.card.device.clone(), "tile"), by_card];
        counts.into_iter().find(|&count| count > 0).map_or(1, |count| count.min(MAX_TILES))
    }

    /// Adds the card's sensor to `sensors`, or the reason why it has none. `ours` are the tiles of this job.
    fn take_part(&self, ours: &[usize], sensors: &mut Sensors) {
        let name = &self.card.name;
        let Some(monitor) = &self.monitor else {
            let reason = format!("{name} is part of the processor, or its driver has no monitor");
            return sensors.leave_out(reason, None);
        };
        let (sensor, is_package) = match sensor(monitor) {
            Some((Err(silent), _)) if silent.is_absent() => {
                return sensors.leave_out(silent.reason(), Some(NO_SENSOR_CURE));
            }
            Some(found) => found,
            None => return,
        };
        let mut notes = Vec::new();
        let all = self.tiles();
        if ours.len() < all {
            let names: Vec<String> = ours.iter().map(usize::to_string).collect();
            let count = ours.len();
            let names = names.join(", ");
            notes.push(format!("the whole card is counted; this job has {count} of {all} tiles: number {names}"));
        }
        if is_package {
            notes.push("only its package is counted, without the card's memory and board".into());
        }
        let device = format!("Intel GPU {name}");
        sensors.add(
            SensorDevice { kind: DeviceKind::Gpu, device, has_memory: false, id: self.card.id().to_owned(), notes },
            sensor,
        );
    }
}

/// The sensor of the whole card, else of its package. True: it is the package's. Without labels the first counter is
/// the card's and the second the package's.
fn sensor(monitor: &Path) -> Option<(Result<Sensor, Silent>, bool)> {
    let label = |number: u32| number_file::text(&monitor.join(format!("energy{number}_label"))).ok();
    let labelled = |name: &str| (1..=2).find(|&number| label(number).as_deref() == Some(name));
    let unlabelled = |number: u32| label(number).is_none().then_some(number);
    let path = |number: u32| monitor.join(format!("energy{number}_input"));
    let of_card = labelled("card").or_else(|| unlabelled(1)).map(path);
    let of_package = labelled("pkg").or_else(|| unlabelled(2)).map(path);
    let counters = of_card.into_iter().chain(of_package.clone()).map(|path| Sensor::energy(path, MAX_GPU_W));
    let counters = counters.map(|counter| counter.checked_by([monitor.join("power1_input")]));
    let power = Sensor::power(monitor.join("power1_input"), 1e-6, MAX_GPU_W);
    let found = Sensor::first_of(counters.chain([power]))?;
    let file = found.as_ref().map_or_else(|silent| silent.sensor.path(), Sensor::path);
    let is_package = of_package.as_deref() == Some(file);
    Some((found, is_package))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::reading::{Fault, Value};
    use crate::measurement::source::sysfs::test_tree::TestTree;

    /// Writes a discrete card, with a monitor of this name and files.
    fn card(tree: &TestTree, number: u32, address: &str, driver: &str, files: &[(&str, &str)]) {
        let device = format!("sys/devices/pci0000:00/{address}");
        tree.write(&format!("{device}/vendor"), "0x8086\n");
        tree.write(&format!("{device}/hwmon/hwmon{number}/name"), driver);
        for (file, text) in files {
            tree.write(&format!("{device}/hwmon/hwmon{number}/{file}"), text);
        }
        tree.link(&format!("sys/class/drm/card{number}/device"), &format!("../../../devices/pci0000:00/{address}"));
    }

    #[test]
    fn a_card_is_counted_without_its_parts() {
        let tree = TestTree::new("intel");
        card(&tree, 2, "0000:4d:00.0", "i915\n", &[("energy1_input", "7000000\n")]);
        let tile = "sys/devices/pci0000:00/0000:4d:00.0/hwmon/hwmon1";
        tree.write(&format!("{tile}/name"), "i915_gt0\n");
        tree.write(&format!("{tile}/energy1_input"), "6000000\n");
        let labels = [("energy1_label", "card\n"), ("energy2_label", "pkg\n")];
        let counters = [("energy1_input", "3000000\n"), ("energy2_input", "2000000\n")];
        card(&tree, 3, "0000:03:00.0", "xe\n", &[labels, counters].concat());
        card(&tree, 4, "0000:0a:00.0", "xe\n", &[labels[1], counters[1]]);
        tree.write("sys/class/drm/card0/device/vendor", "0x8086\n");
        let (source, unavailable) = open(&tree.options("", &[("ZE_AFFINITY_MASK", "0,1.0,2")]));
        let mut source = source.unwrap();
        assert_eq!(
            TestTree::channels(&*source),
            [
                "gpu Intel GPU card3 0000:03:00.0",
                "gpu Intel GPU card4 0000:0a:00.0",
                "gpu Intel GPU card2 0000:4d:00.0"
            ]
        );
        let counts = [3_000_000, 2_000_000, 7_000_000].map(|count| Ok(Value::Count(count)));
        assert_eq!((TestTree::values(&mut *source), unavailable), (counts.to_vec(), Vec::new()));
        let notes: Vec<bool> = source.channels().iter().map(|channel| channel.note.is_some()).collect();
        assert_eq!(notes, [false, true, false], "the package has a note");
        assert_eq!(source.max_gap_ns(), 60_000_000_000, "the kernel's counter must not wrap unseen");
        tree.remove("sys/devices/pci0000:00/0000:03:00.0/hwmon/hwmon3/energy1_input");
        tree.write("sys/devices/pci0000:00/0000:4d:00.0/hwmon/hwmon2/energy1_input", "-1\n");
        assert_eq!(TestTree::values(&mut *source)[0], Err(Fault::Gone));
        assert_eq!(TestTree::values(&mut *source)[2], Err(Fault::Garbage));
    }

    /// Two cards of two tiles: i915 has a monitor for each tile, xe a folder.
    #[test]
    fn a_mask_numbers_tiles_and_the_whole_card_counts() {
        for driver in ["i915", "xe"] {
            let tree = TestTree::new(&format!("intel-tiles-{driver}"));
            for (number, address) in [(0, "0000:18:00.0"), (1, "0000:28:00.0")] {
                card(&tree, number, address, &format!("{driver}\n"), &[("energy1_input", "7000000\n")]);
                let device = format!("sys/devices/pci0000:00/{address}");
                for tile in 0..2 {
                    if driver == "xe" {
                        tree.write(&format!("{device}/tile{tile}/gt{tile}/gtidle/name"), "gt\n");
                        continue;
                    }
                    let monitor = format!("{device}/hwmon/hwmon{}", 100 + 10 * number + tile);
                    tree.write(&format!("{monitor}/name"), &format!("i915_gt{tile}\n"));
                    tree.write(&format!("{monitor}/energy1_input"), "3000000\n");
                }
            }
            for (environment, expected, words) in [
                (&[("ZE_AFFINITY_MASK", "1")][..], vec![("18", "1 of 2 tiles: number 1")], ""),
                (&[("ZE_AFFINITY_MASK", "2")], vec![("28", "1 of 2 tiles: number 0")], ""),
                (&[("ZE_AFFINITY_MASK", "3"), ("ZE_FLAT_DEVICE_HIERARCHY", "FLAT")], vec![("28", "number 1")], ""),
                (&[("ZE_AFFINITY_MASK", "0,1")], vec![("18", "")], ""),
                (&[("ZE_AFFINITY_MASK", "1,2")], vec![("18", "number 1"), ("28", "number 0")], ""),
                (&[("ZE_AFFINITY_MASK", "1"), ("ZE_FLAT_DEVICE_HIERARCHY", "COMPOSITE")], vec![("28", "")], ""),
                (
                    &[("ZE_AFFINITY_MASK", "0.1"), ("ZE_FLAT_DEVICE_HIERARCHY", "COMPOSITE")],
                    vec![("18", "number 1")],
                    "",
                ),
                (&[("ZE_AFFINITY_MASK", "0.1")], vec![], "needs ZE_FLAT_DEVICE_HIERARCHY=COMPOSITE"),
                (&[("ZE_AFFINITY_MASK", "4,0")], vec![("18", "number 0")], "GPU 4 is not on this machine"),
                (&[("ZE_AFFINITY_MASK", "x")], vec![], "ZE_AFFINITY_MASK=x cannot be read"),
                (&[("ONEAPI_DEVICE_SELECTOR", "level_zero:3")], vec![("28", "number 1")], ""),
                (&[("ONEAPI_DEVICE_SELECTOR", "opencl:1")], vec![], "cannot be read"),
                (&[], vec![("18", ""), ("28", "")], ""),
            ] {
                let (source, unavailable) = open(&tree.options("", environment));
                let channels: Vec<_> = source.iter().flat_map(|source| source.channels()).collect();
                let found: Vec<&str> = channels.iter().map(|channel| &channel.id[5..7]).collect();
                assert_eq!(found, expected.iter().map(|(card, _)| *card).collect::<Vec<_>>(), "{environment:?}");
                for (channel, (_, share)) in channels.iter().zip(&expected) {
                    let note = channel.note.clone().unwrap_or_default();
                    assert_eq!(note.is_empty(), share.is_empty(), "{environment:?}: {note}");
                    assert!(note.contains(share), "{environment:?}: {note}");
                }
                let reasons: String = unavailable.iter().map(|one| one.reason.as_str()).collect();
                assert_eq!(reasons.is_empty(), words.is_empty(), "{environment:?}: {reasons}");
                assert!(reasons.contains(words), "{environment:?}: {reasons}");
                assert!(unavailable.iter().all(|one| one.cure.is_some()), "{unavailable:?}");
            }
        }
    }

    #[test]
    fn cards_that_are_left_out_are_reported() {
        let tree = TestTree::new("intel-none");
        assert_eq!(open(&tree.options("", &[])).1[0].reason, "no Intel GPU here");
        tree.write("sys/class/drm/card0/device/vendor", "0x8086\n");
        let (source, why) = open(&tree.options("", &[]));
        assert!(source.is_none() && why[0].reason.contains("graphics in the processor") && why[0].cure.is_none());
        card(&tree, 1, "0000:03:00.0", "xe\n", &[("in1_input", "800\n")]);
        card(&tree, 2, "0000:04:00.0", "xe\n", &[("energy1_input", "\n")]);
        let (source, why) = open(&tree.options("", &[]));
        assert_eq!(TestTree::channels(&*source.unwrap()), ["gpu Intel GPU card2 0000:04:00.0"], "it may answer later");
        let reasons: Vec<&str> = why.iter().map(|u| u.reason.as_str()).collect();
        assert!(reasons[0].ends_with("power1_input: not found"), "{reasons:?}");
        assert!(reasons[1].ends_with("energy1_input: it is empty"), "{reasons:?}");
        assert!(reasons[2].contains("card0 is part of the processor"), "{reasons:?}");
        assert!(open(&tree.options("", &[("ZE_AFFINITY_MASK", "9")])).1[0].reason.contains("GPU 9"));
    }
}
