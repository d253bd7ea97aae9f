//! Estimates the energy of memory without a meter: its size times a power per GB.
//!
//! Memory draws power to keep its contents, and about four times as much under full use. Its use is unknown, so the
//! estimated power is constant and the error band is wide. The power of 0.38 W/GB is between 0.392 (Cloud Carbon
//! Footprint) and 0.3725 (Green Algorithms). Servers with a memory meter drew 0.15 to 1.1 W/GB.

use super::cpu_model::{band_note, channel};
use super::utilisation::Utilisation;
use super::{cgroup, processor};
use crate::clock::MonoNs;
use crate::measurement::channel::{Channel, DeviceKind};
use crate::measurement::config::{MeasurementConfig, Scope};
use crate::measurement::reading::{Reading, Value};
use crate::measurement::source::{Opened, Source};
use crate::measurement::source_name::SourceName;
use crate::measurement::unavailable::Unavailable;
use crate::os;
use crate::units::ErrorBand;

/// The source's name.
pub const NAME: SourceName = SourceName::MemoryModel;
const ID: &str = "memory-model";
/// The power per GB, W, independent of use.
pub const W_PER_GB: f64 = 0.38;
/// The error band: that of servers with a memory meter, widened at the low end because a laptop's memory draws less.
pub const BAND: ErrorBand = ErrorBand { low: 0.3, high: 2.7 };

struct MemoryModel {
    channel: [Channel; 1],
    watts: f64,
    /// The instant of the first reading, ns.
    since: Option<MonoNs>,
}

/// Opens the estimate of memory. It is used together with an estimated processor only.
pub fn open(options: &MeasurementConfig) -> Opened {
    let lacks = |reason: String| (None, vec![Unavailable { source: NAME, reason, cure: None }]);
    let is_whole = options.scope == Scope::Job;
    let busy = if is_whole { Utilisation::of_machine(&options.sysroot) } else { Utilisation::open(&options.sysroot) };
    let figure = busy.as_ref().ok().map(|busy| processor::identify(&options.sysroot, busy));
    if let Some(figure) = figure.filter(|figure| figure.has_memory) {
        return lacks(format!("the processor's estimate contains the memory of a {}", figure.device));
    }
    let meminfo = os::text::read(&options.sysroot.join("proc/meminfo"), os::text::MAX_PROC_BYTES).unwrap_or_default();
    let Some(installed) = total_gb(&meminfo) else {
        let file = options.sysroot.join("proc/meminfo");
        return lacks(format!("{} has no MemTotal, so memory is not estimated", file.display()));
    };
    let limit = cgroup::memory_limit(&options.sysroot).filter(|_| !is_whole).map(|bytes| bytes as f64 / 1e9);
    let processors = busy.map_or((1.0, None), |busy| (busy.share(), busy.processor_list()));
    let MemoryPart { gb, of_what, id } = MemoryPart::of(installed, limit, processors);
    let mut channel = channel((DeviceKind::Dram, NAME), "memory", &id);
    let basis = format!("estimate from {W_PER_GB} W for each of {gb:.1} GB {of_what}, independent of use");
    channel.note = Some(format!("{basis}; {}", band_note(BAND)));
    channel.error = Some(BAND);
    (Some(Box::new(MemoryModel { channel: [channel], watts: W_PER_GB * gb, since: None })), Vec::new())
}

/// The part of the machine's memory that is estimated for this process.
#[derive(Debug, PartialEq)]
struct MemoryPart {
    gb: f64,
    of_what: &'static str,
    /// The channel's id. It is the same in all processes that estimate the same part, so that one of them counts it.
    id: String,
}

impl MemoryPart {
    /// The part within a control group's limit. Without a limit, the part in proportion to the share of the processors.
    fn of(installed: f64, limit: Option<f64>, (share, processors): (f64, Option<String>)) -> MemoryPart {
        let (gb, of_what) = match limit.filter(|limit| *limit < installed) {
            Some(limit) => (limit, "that its control group allows"),
            None if share < 1.0 => {
                let id = processors.map_or(ID.into(), |processors| format!("{ID}:{processors}"));
                return MemoryPart { gb: installed * share, of_what: "that go with its share of the processors", id };
            }
            None => (installed, "of the machine"),
        };
        MemoryPart { gb, of_what, id: ID.into() }
    }
}

/// The reason to leave memory out if the processor has a meter.
pub fn beside_a_meter() -> Unavailable {
    let reason = "no meter here covers memory, and an estimate is not added to measured energy";
    Unavailable { source: NAME, reason: reason.into(), cure: None }
}

impl Source for MemoryModel {
    fn channels(&self) -> &[Channel] {
        &self.channel
    }

    fn read(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
        let at = clock();
        let energy_uj = self.watts * at.ns_since(*self.since.get_or_insert(at)) as f64 * 1e-3;
        readings.push(Reading { channel: 0, at, value: Ok(Value::Count(energy_uj as u64)) });
    }
}

/// The memory in GB, from a line such as "MemTotal:  16384256 kB".
fn total_gb(meminfo: &str) -> Option<f64> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: f64 = value.split_whitespace().next()?.parse().ok()?;
    (kib > 0.0).then_some(kib * 1024.0 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::source::sysfs::test_tree::TestTree;

    /// Ranks that have their own processors each count their part of the memory.
    #[test]
    fn parts_of_different_processors_have_different_ids() {
        let ids = |limit: Option<f64>, share: f64| {
            ["0", "1"].map(|cpus| MemoryPart::of(100.0, limit, (share, Some(cpus.to_owned()))).id)
        };
        assert_eq!(ids(None, 0.5), ["memory-model:0", "memory-model:1"]);
        assert_eq!(ids(Some(200.0), 0.5), ["memory-model:0", "memory-model:1"], "a limit above the installed memory");
        let whole = ["memory-model", "memory-model"];
        assert_eq!((ids(Some(50.0), 0.5), ids(None, 1.0)), (whole.map(str::to_owned), whole.map(str::to_owned)));
        assert_eq!(MemoryPart::of(100.0, None, (0.5, None)).id, "memory-model", "processors with unknown numbers");
    }

    #[test]
    fn memory_is_estimated_by_its_size() {
        let tree = TestTree::new("memory");
        let opened = |tree: &TestTree| {
            let (source, lacks) = open(&tree.options("", &[]));
            let note = source.as_ref().map(|source| source.channels()[0].note.clone().unwrap());
            (source, note.or_else(|| lacks.first().map(|lack| lack.reason.clone())).unwrap())
        };
        assert!(opened(&tree).1.contains("MemTotal"));
        tree.write("proc/meminfo", "MemTotal:       100000000 kB\nMemFree: 5 kB\n");
        let (source, note) = opened(&tree);
        assert!(note.contains("102.4 GB of the machine") && note.contains("between 0.3 and 2.7 times"), "{note}");
        let (mut source, mut readings) = (source.unwrap(), Vec::new());
        source.read(&|| MonoNs(1_000_000_000), &mut readings);
        source.read(&|| MonoNs(3_000_000_000), &mut readings);
        let Ok(Value::Count(energy_uj)) = readings[1].value else { panic!() };
        assert!((energy_uj as f64 * 1e-6 - 2.0 * 102.4 * W_PER_GB).abs() < 1e-3, "{energy_uj}");
        tree.write("proc/self/cgroup", "0::/job\n");
        tree.write("sys/fs/cgroup/job/memory.max", "16000000000\n");
        assert!(opened(&tree).1.contains("16.0 GB that its control group allows"));
        tree.write("proc/stat", "cpu  1 1 1 1\ncpu0 1 1 1 1\n");
        tree.write("proc/cpuinfo", "processor : 0\nModel : Raspberry Pi 4 Model B Rev 1.4\n");
        assert!(opened(&tree).1.contains("contains the memory of a Raspberry Pi 4 Model B"));
    }
}
