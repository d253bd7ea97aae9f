//! Intel's discrete GPUs through the kernel's i915 and xe drivers (Documentation/ABI/testing/
//! sysfs-driver-intel-i915-hwmon and sysfs-driver-intel-xe-hwmon): the card's energy counter, else its package's.
//!
//! The monitors of i915's single tiles (i915_gt0, …) are parts of the card's and never added. Graphics that are
//! part of a processor have no monitor: their energy is in the processor's.

use super::Opened;
use super::card::Card;
use super::number_file;
use super::sensor::{Device, MAX_GPU_W, Sensor, Sensors, Silent, absent, by_process};
use crate::channel::Kind;
use crate::options::Options;
use std::path::{Path, PathBuf};

const NAME: &str = "intel_gpu";
const VENDOR: &str = "0x8086";
const DRIVERS: [&str; 2] = ["i915", "xe"];

const UNKNOWN_CURE: &str = "sycl-ls lists the GPUs that there are";
const NO_SENSOR_CURE: &str = "load a driver that counts its energy: i915 since Linux 6.2, xe since 6.8";

/// A card, and its monitor where it has one.
struct Gpu {
    card: Card,
    monitor: Option<PathBuf>,
}

/// Finds the cards that are this job's and opens their sensors.
pub fn open(options: &Options) -> Opened {
    let selection = &options.gpus.intel;
    if let Some(said_by) = selection.none_by() {
        return absent(NAME, format!("{said_by}: this job has no GPU"));
    }
    let mut gpus: Vec<Gpu> = Card::all(&options.sysroot).into_iter().filter_map(Gpu::look).collect();
    if gpus.is_empty() {
        return absent(NAME, "no Intel GPU here");
    }
    if gpus.iter().all(|gpu| gpu.monitor.is_none()) {
        return absent(NAME, "no discrete Intel GPU here; graphics in the processor are counted with it");
    }
    if selection.process {
        return (None, vec![by_process(NAME)]);
    }
    // Level Zero numbers discrete cards first, as the faster ones.
    gpus.sort_by_key(|gpu| gpu.monitor.is_none());
    let ids: Vec<Vec<String>> = gpus.iter().map(|gpu| vec![gpu.card.id().to_owned()]).collect();
    let (picked, unknown) = selection.pick(&ids);
    let mut sensors = Sensors::new(NAME);
    unknown.into_iter().for_each(|what| sensors.leave_out(what, Some(UNKNOWN_CURE)));
    for one in picked {
        let Some(gpu) = gpus.get(one.place) else { continue };
        gpu.take_part(&mut sensors);
    }
    sensors.finish(true)
}

impl Gpu {
    /// The card, if it is Intel's.
    fn look(card: Card) -> Option<Gpu> {
        let monitor = card.monitor(&DRIVERS);
        (monitor.is_some() || card.text("vendor").as_deref() == Some(VENDOR)).then_some(Gpu { card, monitor })
    }

    fn take_part(&self, sensors: &mut Sensors) {
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
        if is_package {
            notes.push("its package alone is counted, without the card's memory and board".into());
        }
        let device = format!("Intel GPU {name}");
        sensors.add(Device { kind: Kind::Gpu, device, id: self.card.id().to_owned(), notes }, sensor);
    }
}

/// The sensor of the whole card, else of its package; and whether it is the latter. The first counter is the
/// card's and the second the package's, unless labels say otherwise.
fn sensor(monitor: &Path) -> Option<(Result<Sensor, Silent>, bool)> {
    let label = |number: u32| number_file::text(&monitor.join(format!("energy{number}_label"))).ok();
    let labelled = |name: &str| (1..=2).find(|&number| label(number).as_deref() == Some(name));
    let unlabelled = |number: u32| label(number).is_none().then_some(number);
    let path = |number: u32| monitor.join(format!("energy{number}_input"));
    let of_card = labelled("card").or_else(|| unlabelled(1)).map(path);
    let of_package = labelled("pkg").or_else(|| unlabelled(2)).map(path);
    let counters = of_card.into_iter().chain(of_package.clone()).map(|path| Sensor::energy(path, MAX_GPU_W));
    let counters = counters.map(|counter| counter.beside([monitor.join("power1_input")]));
    let power = Sensor::power(monitor.join("power1_input"), 1e-6, MAX_GPU_W);
    let found = Sensor::first_of(counters.chain([power]))?;
    let file = found.as_ref().map_or_else(|silent| silent.sensor.path(), Sensor::path);
    let is_package = of_package.as_deref() == Some(file);
    Some((found, is_package))
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;
    use crate::reading::{Fault, Value};

    /// A discrete card with a monitor of this name and files.
    fn card(tree: &Tree, number: u32, address: &str, driver: &str, files: &[(&str, &str)]) {
        let device = format!("sys/devices/pci0000:00/{address}");
        tree.write(&format!("{device}/vendor"), "0x8086\n");
        tree.write(&format!("{device}/hwmon/hwmon{number}/name"), driver);
        for (file, text) in files {
            tree.write(&format!("{device}/hwmon/hwmon{number}/{file}"), text);
        }
        tree.link(&format!("sys/class/drm/card{number}/device"), &format!("../../../devices/pci0000:00/{address}"));
    }

    #[test]
    fn the_card_is_counted_and_its_parts_are_not_added() {
        let tree = Tree::new("intel");
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
            Tree::channels(&*source),
            [
                "gpu Intel GPU card3 0000:03:00.0",
                "gpu Intel GPU card4 0000:0a:00.0",
                "gpu Intel GPU card2 0000:4d:00.0"
            ]
        );
        let counts = [3_000_000, 2_000_000, 7_000_000].map(|count| Ok(Value::Count(count)));
        assert_eq!((Tree::values(&mut *source), unavailable), (counts.to_vec(), Vec::new()));
        let notes: Vec<bool> = source.channels().iter().map(|channel| channel.note.is_some()).collect();
        assert_eq!(notes, [false, true, false], "the package is said to be one");
        assert_eq!(source.max_gap_ns(), 60_000_000_000, "the kernel's counter is kept from wrapping");
        tree.remove("sys/devices/pci0000:00/0000:03:00.0/hwmon/hwmon3/energy1_input");
        tree.write("sys/devices/pci0000:00/0000:4d:00.0/hwmon/hwmon2/energy1_input", "-1\n");
        assert_eq!(Tree::values(&mut *source)[0], Err(Fault::Gone));
        assert_eq!(Tree::values(&mut *source)[2], Err(Fault::Garbage));
    }

    #[test]
    fn what_is_left_out_is_said() {
        let tree = Tree::new("intel-none");
        assert_eq!(open(&tree.options("", &[])).1[0].reason, "no Intel GPU here");
        tree.write("sys/class/drm/card0/device/vendor", "0x8086\n");
        let (source, why) = open(&tree.options("", &[]));
        assert!(source.is_none() && why[0].reason.contains("graphics in the processor") && why[0].cure.is_none());
        card(&tree, 1, "0000:03:00.0", "xe\n", &[("in1_input", "800\n")]);
        card(&tree, 2, "0000:04:00.0", "xe\n", &[("energy1_input", "\n")]);
        let (source, why) = open(&tree.options("", &[]));
        assert_eq!(Tree::channels(&*source.unwrap()), ["gpu Intel GPU card2 0000:04:00.0"], "it may yet answer");
        let reasons: Vec<&str> = why.iter().map(|u| u.reason.as_str()).collect();
        assert!(reasons[0].ends_with("power1_input: not found"), "{reasons:?}");
        assert!(reasons[1].ends_with("energy1_input: it is empty"), "{reasons:?}");
        assert!(reasons[2].contains("card0 is part of the processor"), "{reasons:?}");
        assert!(open(&tree.options("", &[("ZE_AFFINITY_MASK", "9")])).1[0].reason.contains("GPU 9"));
    }
}
