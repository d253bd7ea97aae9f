//! The energy counters of HPE Cray EX and XC nodes in /sys/cray/pm_counters (HPE Cray System Management, "User
//! Access to Compute Node Power Data").
//!
//! The node's controller updates them ten times a second. Each file has joules and the time of measurement: "212233445
//! J 1655219349093098 us". `freshness` counts the updates. The counter of the node contains processors, memory and
//! accelerators.

use crate::clock::MonoNs;
use crate::measurement::channel::{Channel, DeviceKind, MeasuringMethod, Quantity};
use crate::measurement::config::MeasurementConfig;
use crate::measurement::gpu_selection::{Selection, Vendor};
use crate::measurement::reading::{Fault, Reading, Value};
use crate::measurement::source::cpu::rapl::{MAX_DRAM_W, MAX_PACKAGE_W};
use crate::measurement::source::gpu::drm_card::Card;
use crate::measurement::source::gpu::intel_gpu::tiles;
use crate::measurement::source::gpu::kfd;
use crate::measurement::source::sysfs::number_file;
use crate::measurement::source::sysfs::sensor::{MAX_GPU_W, MAX_MODULE_W, absent};
use crate::measurement::source::{Opened, Source};
use crate::measurement::source_name::SourceName;
use crate::measurement::unavailable::Unavailable;
use crate::os;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

const NAME: SourceName = SourceName::PmCounters;
/// The most sockets of a node. One counter shows all of them.
const MAX_SOCKETS: f64 = 4.0;
/// The time between two updates of the counters, ns.
const REFRESH_NS: u64 = 100_000_000;
/// A counter does not answer if its time stamp has not changed for this long, ns.
const STALE_NS: u64 = 1_000_000_000;
/// A counter has stopped if its time stamp has not changed for this long, ns. Another source then replaces it.
const STOPPED_NS: u64 = 5_000_000_000;
/// The most times that all files are read to get them from one update.
const MAX_READS: u32 = 3;
const CURE: &str = "report it to the operators of the site: the node's controller does not provide the counters";

struct PmCounter {
    path: PathBuf,
    /// The last time stamp, µs since 1970, and the instant at which it was first read, ns.
    last: Option<(u64, MonoNs)>,
}

struct PmCounters {
    freshness: PathBuf,
    channels: Vec<Channel>,
    counters: Vec<PmCounter>,
}

/// The content of a counter's file: energy, J, and time stamp, µs since 1970.
type PmLine = (u64, Option<u64>);

/// Opens the counters of these kinds.
pub fn open(options: &MeasurementConfig, kinds: &[DeviceKind]) -> Opened {
    let folder = options.sysroot.join("sys/cray/pm_counters");
    if !folder.is_dir() {
        return absent(NAME, "not a Cray: no /sys/cray/pm_counters");
    }
    let mut source = PmCounters { freshness: folder.join("freshness"), channels: Vec::new(), counters: Vec::new() };
    let mut unavailable = Vec::new();
    let mut leave_out = |reason: String, cure: Option<&str>| {
        unavailable.push(Unavailable { source: NAME, reason, cure: cure.map(str::to_owned) });
    };
    let gpus = selections(options);
    let mut has_answer = false;
    for &kind in kinds {
        if let Some(why) = gpus.iter().find_map(|selection| selection.none()).filter(|_| kind == DeviceKind::Gpu) {
            leave_out(why.reason.clone(), why.cure.as_deref());
            continue;
        }
        let mut paths = files(&folder, kind);
        let narrowed = gpus.iter().find(|selection| kind == DeviceKind::Gpu && selection.is_narrowed());
        if let Some(selection) = narrowed.filter(|_| !paths.is_empty()) {
            let (picked, missing) = pick(selection, paths.len(), &options.sysroot);
            missing.into_iter().for_each(|what| leave_out(what, None));
            let is_picked = |index: usize| !selection.process && picked.contains(&index);
            paths =
                paths.into_iter().enumerate().filter(|(index, _)| is_picked(*index)).map(|(_, path)| path).collect();
        }
        for path in paths {
            match read(&path) {
                // A part that the node does not have may still have a file, which always reads 0.
                Ok((0, _)) => leave_out(format!("{} reads 0: this node does not have the part", path.display()), None),
                line => {
                    has_answer |= line.is_ok();
                    if let Err(fault) = line {
                        leave_out(format!("{}: {fault}", path.display()), Some(CURE));
                    }
                    source.channels.push(channel(&path, kind));
                    source.counters.push(PmCounter { path, last: None });
                }
            }
        }
    }
    if !has_answer && unavailable.is_empty() {
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        unavailable.push(Unavailable {
            source: NAME,
            reason: format!("no counter of {}", names.join(", ")),
            cure: None,
        });
    }
    (has_answer.then(|| Box::new(source) as Box<dyn Source>), unavailable)
}

/// The GPU selections for the vendors of the cards here; all selections if the vendors are unknown.
fn selections(options: &MeasurementConfig) -> Vec<&Selection> {
    let vendors = Card::vendors(&options.sysroot);
    let all = [
        (Vendor::Nvidia, &options.gpus.nvidia),
        (Vendor::Amd, &options.gpus.amd),
        (Vendor::Intel, &options.gpus.intel),
    ];
    let concerns = |vendor: &Vendor| vendors.is_empty() || vendors.contains(vendor);
    all.into_iter().filter(|(vendor, _)| concerns(vendor)).map(|(_, selection)| selection).collect()
}

/// The positions of the selected accelerators out of `count`, and a text for each selected GPU that is missing.
///
/// The runtime may count parts: two dies of an MI250X, two tiles of a GPU Max. If the kernel does not show the number
/// of parts, the first number for which no GPU is missing counts.
fn pick(selection: &Selection, count: usize, sysroot: &Path) -> (Vec<usize>, Vec<String>) {
    let parts = if selection.has_masks() { tiles(sysroot) } else { kfd::gpus(sysroot).map_or(0, |nodes| nodes.len()) };
    let known = Some(parts / count).filter(|parts_each| parts_each * count == parts && parts > 0);
    let by = |each: usize| -> (Vec<usize>, Vec<String>) {
        if selection.has_masks() {
            let (picked, missing) = selection.pick_tiles(&vec![(Vec::new(), each); count]);
            return (picked.iter().map(|card| card.index).collect(), missing);
        }
        let (picked, missing) = selection.pick(&vec![Vec::new(); each * count]);
        (picked.iter().map(|one| one.index / each).collect(), missing)
    };
    match known {
        Some(each) => by(each),
        None => [1, 2].map(by).into_iter().find(|(_, missing)| missing.is_empty()).unwrap_or_else(|| by(1)),
    }
}

/// The files of a kind: the sum if it counts, otherwise the parts. Accelerators are always read one by one.
fn files(folder: &Path, kind: DeviceKind) -> Vec<PathBuf> {
    let (sum, part) = match kind {
        DeviceKind::Node => return vec![folder.join("energy")],
        DeviceKind::Cpu => ("cpu_energy", "cpu"),
        DeviceKind::Dram => ("memory_energy", "memory"),
        DeviceKind::Gpu => ("accel_energy", "accel"),
    };
    let sum = folder.join(sum);
    let mut parts: Vec<(u32, PathBuf)> = os::text::entries(folder)
        .filter_map(|path| {
            let number = path.file_name()?.to_str()?.strip_prefix(part)?.strip_suffix("_energy")?.parse().ok()?;
            Some((number, path))
        })
        .collect();
    parts.sort();
    // Each accelerator has its own file. Processors have their own files on few nodes only.
    let prefers_parts = kind == DeviceKind::Gpu || !read(&sum).is_ok_and(|(joules, _)| joules > 0);
    if prefers_parts && !parts.is_empty() {
        return parts.into_iter().map(|(_, path)| path).collect();
    }
    if sum.exists() { vec![sum] } else { Vec::new() }
}

fn channel(path: &Path, kind: DeviceKind) -> Channel {
    let (name, max_watts) = match kind {
        DeviceKind::Node => ("Cray node", MAX_MODULE_W),
        DeviceKind::Cpu => ("Cray processors", MAX_SOCKETS * MAX_PACKAGE_W),
        DeviceKind::Dram => ("Cray memory", MAX_SOCKETS * MAX_DRAM_W),
        DeviceKind::Gpu => ("Cray accelerator", MAX_GPU_W),
    };
    let id = format!("pm_counters/{}", path.file_name().unwrap_or_default().to_string_lossy());
    let quantity = Quantity::Counter { joules_per_unit: 1.0, range: None, max_watts };
    Channel::new((kind, NAME), name, id, MeasuringMethod::Counter, quantity)
}

impl Source for PmCounters {
    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn read(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
        let mut lines: Vec<Result<PmLine, Fault>> = Vec::new();
        for _ in 0..MAX_READS {
            let before = number_file::text(&self.freshness).ok();
            lines = self.counters.iter().map(|counter| read(&counter.path)).collect();
            if number_file::text(&self.freshness).ok() == before {
                break;
            }
        }
        let (now, since_1970) = (clock(), os::date().duration_since(UNIX_EPOCH).unwrap_or_default());
        let wall = u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX);
        for ((channel, counter), line) in self.counters.iter_mut().enumerate().zip(lines) {
            readings.extend(counter.reading(line, now, wall).map(|(at, value)| Reading { channel, at, value }));
        }
    }

    fn min_gap_ns(&self) -> u64 {
        REFRESH_NS
    }
}

impl PmCounter {
    /// The reading in a line that was read at `now`, ns, when the time of day was `wall`, µs since 1970. None if the
    /// time stamp has not changed since the last reading.
    fn reading(
        &mut self,
        line: Result<PmLine, Fault>,
        now: MonoNs,
        wall: u64,
    ) -> Option<(MonoNs, Result<Value, Fault>)> {
        let (joules, stamp) = match line {
            Ok(line) => line,
            Err(fault) => return Some((now, Err(fault))),
        };
        let Some(stamp) = stamp else { return Some((now, Ok(Value::Count(joules)))) };
        match self.last {
            Some((last, since)) if last == stamp => {
                let fault = if now >= since + STOPPED_NS { Fault::Stalled } else { Fault::Silent };
                (now >= since + STALE_NS).then_some((now, Err(fault)))
            }
            _ => {
                self.last = Some((stamp, now));
                Some((instant(stamp, now, wall), Ok(Value::Count(joules))))
            }
        }
    }
}

/// A time stamp on the clock of `now`, ns. It is `now` if the controller's time of day differs from the node's.
fn instant(stamp: u64, now: MonoNs, wall: u64) -> MonoNs {
    let age_ns = wall.checked_sub(stamp).map(|age| age.saturating_mul(1000)).filter(|&age| age <= 2 * REFRESH_NS);
    now - age_ns.unwrap_or(0)
}

fn read(path: &Path) -> Result<PmLine, Fault> {
    parse(&number_file::text(path)?)
}

/// Parses "212233445 J 1655219349093098 us". Older systems write no time.
fn parse(text: &str) -> Result<PmLine, Fault> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |text: &str| text.parse().map_err(|_| Fault::Garbage);
    match words.as_slice() {
        [] => Err(Fault::Empty),
        [joules, "J"] => Ok((number(joules)?, None)),
        [joules, "J", stamp, "us"] => Ok((number(joules)?, Some(number(stamp)?))),
        _ => Err(Fault::Garbage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::source::sysfs::test_tree::TestTree;

    const FOLDER: &str = "sys/cray/pm_counters";

    fn node(label: &str, counters: &[(&str, u64)]) -> TestTree {
        let tree = TestTree::new(label);
        for (name, joules) in counters {
            tree.write(&format!("{FOLDER}/{name}_energy"), &format!("{joules} J 1655219349093098 us\n"));
        }
        tree.write(&format!("{FOLDER}/energy"), "212233445 J 1655219349093098 us\n");
        tree.write(&format!("{FOLDER}/power"), "451 W 1655219349093098 us\n");
        tree.write(&format!("{FOLDER}/freshness"), "77\n");
        tree
    }

    fn ids(tree: &TestTree, kinds: &[DeviceKind]) -> Vec<String> {
        let source = open(&tree.options("", &[]), kinds).0;
        source.iter().flat_map(|s| s.channels()).map(|c| c.id.replace("pm_counters/", "")).collect()
    }

    #[test]
    fn node_and_its_parts_are_read_by_kind() {
        let accelerators: Vec<String> = (0..12).map(|number| format!("accel{number}")).collect();
        let parts = [("cpu", 5), ("cpu0", 2), ("memory", 7)];
        let all = accelerators.iter().map(|name| (name.as_str(), 9)).chain(parts);
        let tree = node("cray", &all.collect::<Vec<_>>());
        assert_eq!(ids(&tree, &[DeviceKind::Node]), ["energy"]);
        assert_eq!(ids(&tree, &[DeviceKind::Cpu, DeviceKind::Dram]), ["cpu_energy", "memory_energy"]);
        let gpus = ids(&tree, &[DeviceKind::Gpu]);
        assert!(gpus.len() == 12 && gpus[2] == "accel2_energy" && gpus[11] == "accel11_energy", "{gpus:?}");
        for (list, ids) in [("0,3", vec!["accel0", "accel3"]), ("22,23", vec!["accel11"]), ("24", vec![])] {
            let (source, _) = open(&tree.options("", &[("ROCR_VISIBLE_DEVICES", list)]), &[DeviceKind::Gpu]);
            let channels = source.iter().flat_map(|source| source.channels());
            let found: Vec<_> = channels.map(|c| c.id.replace("pm_counters/", "").replace("_energy", "")).collect();
            assert_eq!(found, ids, "{list}");
        }
        let (source, why) = open(&tree.options("", &[("CUDA_VISIBLE_DEVICES", "-1")]), &[DeviceKind::Gpu]);
        assert!(source.is_none() && why[0].reason.contains("no GPU"));
    }

    #[test]
    fn accelerators_are_picked_by_the_variables_of_their_vendor() {
        let found = |tree: &TestTree, environment: &[(&str, &str)]| -> Vec<String> {
            let (source, _) = open(&tree.options("", environment), &[DeviceKind::Gpu]);
            let channels = source.iter().flat_map(|source| source.channels());
            channels.map(|c| c.id.replace("pm_counters/", "").replace("_energy", "")).collect()
        };
        let tree = node("cray-dies", &[("accel0", 9), ("accel1", 9)]);
        tree.write("sys/class/drm/card0/device/vendor", "0x1002\n");
        for number in 1..5 {
            let path = format!("sys/class/kfd/kfd/topology/nodes/{number}/properties");
            tree.write(&path, &format!("simd_count 440\nlocation_id {}\n", number << 8));
        }
        assert_eq!(found(&tree, &[("ROCR_VISIBLE_DEVICES", "1")]), ["accel0"], "its second die");
        assert_eq!(found(&tree, &[("ROCR_VISIBLE_DEVICES", "3"), ("CUDA_VISIBLE_DEVICES", "0")]), ["accel1"]);
        assert_eq!(found(&tree, &[("ZE_AFFINITY_MASK", "none of mine"), ("HIP_VISIBLE_DEVICES", "2")]), ["accel1"]);
        let tree = node("cray-tiles", &[("accel0", 9), ("accel1", 9)]);
        assert_eq!(found(&tree, &[("ZE_AFFINITY_MASK", "3")]), ["accel1"], "there are at least as many tiles");
        assert_eq!(found(&tree, &[("ZE_AFFINITY_MASK", "0.1"), ("ZE_FLAT_DEVICE_HIERARCHY", "COMPOSITE")]), ["accel0"]);
    }

    #[test]
    fn counters_of_missing_parts_are_left_out() {
        let tree = node("cray-gh", &[("cpu", 0), ("cpu0", 4), ("cpu1", 5), ("accel0", 0)]);
        assert_eq!(ids(&tree, &[DeviceKind::Cpu, DeviceKind::Gpu]), ["cpu0_energy", "cpu1_energy"]);
        let (source, why) = open(&tree.options("", &[]), &[DeviceKind::Gpu]);
        assert!(
            source.is_none() && why[0].reason.ends_with("accel0_energy reads 0: this node does not have the part"),
            "{why:?}"
        );
        let (source, why) = open(&tree.options("", &[]), &[DeviceKind::Dram]);
        assert!(source.is_none() && why[0].reason == "no counter of dram", "{why:?}");
        let (source, why) = open(&TestTree::new("no-cray").options("", &[]), &DeviceKind::ALL);
        assert!(source.is_none() && why[0].reason.contains("not a Cray") && why[0].cure.is_none());
        tree.write(&format!("{FOLDER}/cpu1_energy"), "-3 J\n");
        let (source, why) = open(&tree.options("", &[]), &[DeviceKind::Cpu]);
        assert!(source.unwrap().channels().len() == 2 && why[0].reason.contains("cpu1_energy: it is not a number"));
    }

    #[test]
    fn readings_have_the_time_of_their_measurement_and_come_once() {
        let second = 1_000_000_000;
        let (now, wall) = (MonoNs(100 * second), 1_655_219_349_000_000);
        assert_eq!(instant(wall - 60_000, now, wall), now - 60_000_000);
        assert_eq!([instant(wall + 1, now, wall), instant(wall - 1_000_001, now, wall)], [now; 2], "another date");
        let mut counter = PmCounter { path: PathBuf::new(), last: None };
        let line = |joules, stamp| Ok((joules, Some(stamp)));
        let count = |at, joules| Some((at, Ok(Value::Count(joules))));
        assert_eq!(counter.reading(line(5, wall), now, wall), count(now, 5));
        assert_eq!(counter.reading(line(5, wall), now + second / 2, wall + 500_000), None);
        assert_eq!(counter.reading(line(5, wall), now + second, wall), Some((now + second, Err(Fault::Silent))));
        assert_eq!(
            counter.reading(line(5, wall), now + 5 * second, wall),
            Some((now + 5 * second, Err(Fault::Stalled)))
        );
        assert_eq!(counter.reading(line(9, wall + 1), now + 2 * second, wall + 2_000_000), count(now + 2 * second, 9));
        assert_eq!(counter.reading(Err(Fault::Gone), now, wall), Some((now, Err(Fault::Gone))));
        assert_eq!(parse("12 J"), Ok((12, None)));
        assert_eq!(parse(""), Err(Fault::Empty));
        for garbage in ["12", "12 W 5 us", "x J 5 us", "12 J 5", "12 J -5 us", "1 2 3 4 5"] {
            assert_eq!(parse(garbage), Err(Fault::Garbage), "{garbage}");
        }
    }

    #[test]
    fn missing_file_is_a_fault_of_its_channel_alone() {
        let tree = node("cray-fault", &[("cpu", 5), ("memory", 7)]);
        let mut source = open(&tree.options("", &[]), &[DeviceKind::Cpu, DeviceKind::Dram]).0.unwrap();
        assert_eq!(TestTree::values(&mut *source), [Ok(Value::Count(5)), Ok(Value::Count(7))]);
        assert_eq!(TestTree::values(&mut *source), [], "the time stamps are the same");
        tree.remove(&format!("{FOLDER}/cpu_energy"));
        tree.write(&format!("{FOLDER}/memory_energy"), "8 J 1655219349193098 us\n");
        assert_eq!(TestTree::values(&mut *source), [Err(Fault::Gone), Ok(Value::Count(8))]);
        assert_eq!((source.min_gap_ns(), source.max_gap_ns()), (100_000_000, u64::MAX));
    }
}
