//! Where energy is read: the sources' common shape, and which of them take part.

mod amdgpu;
mod background;
mod battery;
mod card;
mod cpu_model;
mod hwmon;
mod intel_gpu;
mod kfd;
mod number_file;
mod nvml;
mod nvml_gpu;
mod perf_rapl;
mod pm_counters;
mod rapl;
mod sensor;
mod simulated;
mod tdp;
#[cfg(test)]
mod tree;
mod utilisation;

pub use background::{IN_TIME, Opened, Opening, Waker};

use crate::channel::{Channel, Kind};
use crate::options::Options;
use crate::reading::{Reading, Value};

/// Readings closer together than this, ns, are one: a counter moves in steps of a millisecond or more,
/// and a host may mark millions of epochs a second.
pub const MIN_GAP_NS: u64 = 10_000_000;

/// The sources by name.
pub const NAMES: [&str; 10] =
    ["rapl", "perf_rapl", "nvml", "amdgpu", "intel_gpu", "hwmon", "pm_counters", "battery", "cpu_model", "simulated"];

/// Something that can be read. Reading happens on one thread at a time, under no lock.
pub trait Source: Send {
    /// What it measures; the order numbers [`Reading::channel`].
    fn channels(&self) -> &[Channel];

    /// Reads every channel into `readings`, each stamped by `clock`; a channel with nothing new yet is left out.
    fn read(&mut self, clock: &dyn Fn() -> u64, readings: &mut Vec<Reading>);

    /// As `read`, where the energy at this very instant is asked for: an epoch has begun or ended.
    fn read_at_mark(&mut self, clock: &dyn Fn() -> u64, readings: &mut Vec<Reading>) {
        self.read(clock, readings);
    }

    /// Readings closer together than this, ns, tell nothing new.
    fn min_gap_ns(&self) -> u64 {
        MIN_GAP_NS
    }

    /// Whether readings asked for earlier have come.
    fn has_news(&self) -> bool {
        false
    }

    /// Takes those.
    fn collect(&mut self, _readings: &mut Vec<Reading>) {}

    /// Readings further apart than this, ns, miss something: what has only a power is read ten times a second.
    fn max_gap_ns(&self) -> u64 {
        u64::MAX
    }
}

/// A source that does not take part: why, and what would help.
#[derive(Clone, Debug, PartialEq)]
pub struct Unavailable {
    /// The source's name.
    pub source: &'static str,
    /// Why it does not take part.
    pub reason: String,
    /// What to do about it; None where nothing is wrong.
    pub cure: Option<String>,
}

impl Unavailable {
    /// What to tell the user at once: what would help. None where nothing is wrong.
    pub fn in_words(&self) -> Option<String> {
        Some(format!("{} is not measured: {}. Cure: {}", self.source, self.reason, self.cure.as_ref()?))
    }
}

/// Opens a source's channels of these kinds.
type Open = fn(&Options, &[Kind]) -> Opened;

/// What takes part in a run, and what does not.
#[derive(Default)]
pub struct Sources {
    /// The sources to read.
    pub sources: Vec<Box<dyn Source>>,
    /// Those that open in their own time.
    pub openings: Vec<Opening>,
    /// Wakes the sampler for them.
    pub waker: Waker,
    /// The others.
    pub unavailable: Vec<Unavailable>,
}

impl Sources {
    /// Looks at the machine. Each kind of component is measured once, by the best there is:
    ///
    /// 1. A simulated device that was asked for stands in for its kind.
    /// 2. Parts come before the whole, and for each the maker's own counters first: GPUs by `nvml`, `amdgpu` and
    ///    `intel_gpu`, else `pm_counters`, else `hwmon`; processors and memory by `rapl`, else `perf_rapl`, else
    ///    `hwmon`, else `pm_counters`.
    /// 3. The whole node counts where no part is metered, or where `components=node` asks for it alone: by
    ///    `pm_counters`, else psys by `rapl`, else `hwmon`, else `battery`.
    /// 4. The processor is estimated where neither it nor the node is metered.
    pub fn discover(options: &Options) -> Sources {
        let mut found = Sources::default();
        for (kind, device) in [(Kind::Cpu, &options.sim_cpu), (Kind::Gpu, &options.sim_gpu)] {
            if let Some(device) = device.as_ref().filter(|_| options.components.contains(&kind)) {
                found.sources.push(Box::new(simulated::Simulated::new(kind, device)));
            }
        }
        let simulates_cpu = found.measures(Kind::Cpu);
        let is_real = |kind: &Kind| !simulates_cpu || *kind == Kind::Gpu;
        let wanted: Vec<Kind> = options.components.iter().copied().filter(is_real).collect();
        if simulates_cpu && options.components.iter().any(|kind| matches!(kind, Kind::Dram | Kind::Node)) {
            let reason = "sim_cpu stands in for the processor: real memory and node counters would not go with it";
            found.unavailable.push(Unavailable { source: "rapl", reason: reason.into(), cure: None });
        }
        found.add_parts(options, &wanted); // first, and so read first: their counters are quick
        let may_have_gpu = found.add_gpus(options, &wanted);
        if wanted.contains(&Kind::Node) {
            found.add_node(options, may_have_gpu);
        }
        if wanted.contains(&Kind::Cpu) && !found.measures(Kind::Cpu) && !found.measures(Kind::Node) {
            found.add(cpu_model::open(options));
        }
        found
    }

    /// Returns whether there is a GPU, or may be once the driver has answered.
    fn add_gpus(&mut self, options: &Options, wanted: &[Kind]) -> bool {
        if !wanted.contains(&Kind::Gpu) || self.measures(Kind::Gpu) {
            return self.measures(Kind::Gpu);
        }
        self.add(amdgpu::open(options));
        self.add(intel_gpu::open(options));
        let has_other = self.measures(Kind::Gpu);
        let request = nvml::Request::new(options);
        let (mut machines, mut lacks) = (None, Vec::new());
        for open in [pm_counters::open as Open, hwmon::open] {
            if machines.is_none() && !has_other && request.selects_some() {
                let (source, unavailable) = open(options, &[Kind::Gpu]);
                machines = source;
                lacks.extend(unavailable);
            }
        }
        let may_have_gpu = has_other || machines.is_some() || request.may_succeed();
        let (until_then, fills_in) = (request.until_then(), !request.waits_for_process());
        let open = move |is_closed: &dyn Fn() -> bool| {
            let (source, mut unavailable) = nvml::open(&request, is_closed);
            if source.is_some() {
                return (source, unavailable);
            }
            unavailable.extend(lacks);
            (machines, unavailable)
        };
        match Opening::start(until_then, fills_in, "ct-nvml", self.waker.clone(), open) {
            Ok(opening) => self.openings.push(opening),
            Err(error) => self.unavailable.push(Unavailable {
                source: "nvml",
                reason: format!("its thread could not be started: {error}"),
                cure: Some("raise the limit on threads or memory (ulimit -u, -v)".into()),
            }),
        }
        may_have_gpu
    }

    /// Processors and memory.
    fn add_parts(&mut self, options: &Options, wanted: &[Kind]) {
        self.add_missing(rapl::open, options, wanted);
        // Where powercap shows packages, what it lacks is not there: perf reads the same counters.
        if !self.measures(Kind::Cpu) {
            self.add_missing(perf_rapl::open, options, wanted);
        }
        self.add_missing(hwmon::open, options, wanted);
        // A Grace socket's power contains its memory's.
        if !self.sources.iter().flat_map(|source| source.channels()).any(|channel| channel.source == "hwmon") {
            self.add_missing(pm_counters::open, options, wanted);
        }
    }

    /// Opens what is wanted of processors and memory and nothing measures yet.
    fn add_missing(&mut self, open: Open, options: &Options, wanted: &[Kind]) {
        let is_missing = |kind: &Kind| matches!(kind, Kind::Cpu | Kind::Dram) && !self.measures(*kind);
        let missing: Vec<Kind> = wanted.iter().copied().filter(is_missing).collect();
        if !missing.is_empty() {
            self.add(open(options, &missing));
        }
    }

    /// The whole, if that is to count; else it is said to stand aside.
    fn add_node(&mut self, options: &Options, may_have_gpu: bool) {
        let has_parts = may_have_gpu || !self.sources.is_empty();
        for open in [pm_counters::open as Open, rapl::open, hwmon::open, |options, _| battery::open(options)] {
            if self.measures(Kind::Node) {
                return;
            }
            let (source, unavailable) = open(options, &[Kind::Node]);
            match source {
                Some(source) if has_parts => {
                    let names: Vec<&str> = source.channels().iter().map(|channel| channel.id.as_str()).collect();
                    self.unavailable.push(Unavailable {
                        source: source.channels().first().map_or("node", |channel| channel.source),
                        reason: format!(
                            "{} meters the whole node and stands aside where parts are measured",
                            names.join(", ")
                        ),
                        cure: None,
                    });
                    return;
                }
                // A node that nobody asked for alone is not missed.
                None if has_parts => (),
                source => self.add((source, unavailable)),
            }
        }
    }

    /// Whether a channel of this kind takes part.
    pub fn measures(&self, kind: Kind) -> bool {
        self.sources.iter().flat_map(|source| source.channels()).any(|channel| channel.kind == kind)
    }

    fn add(&mut self, (source, unavailable): Opened) {
        self.sources.extend(source);
        self.unavailable.extend(unavailable);
    }
}

/// Reads counter files one after the other, each stamped at the middle of its own reading.
fn read_counters(files: &mut [number_file::NumberFile], clock: &dyn Fn() -> u64, readings: &mut Vec<Reading>) {
    for (channel, file) in files.iter_mut().enumerate() {
        let (at, number) = file.stamped(clock);
        readings.push(Reading { channel, at, value: number.map(Value::Count) });
    }
}

#[cfg(test)]
mod tests {
    use super::tree::Tree;
    use super::*;

    const ZONES: [(&str, &str); 3] =
        [("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "dram"), ("intel-rapl:1", "psys")];

    fn with_zones(label: &str, zones: &[(&str, &str)]) -> Tree {
        let tree = Tree::new(label);
        for (zone, name) in zones {
            tree.write(&format!("sys/class/powercap/{zone}/name"), name);
            tree.write(&format!("sys/class/powercap/{zone}/energy_uj"), "5\n");
        }
        tree
    }

    fn with_cray(tree: &Tree) {
        for file in ["energy", "cpu_energy", "memory_energy", "accel0_energy", "accel1_energy"] {
            tree.write(&format!("sys/cray/pm_counters/{file}"), "100 J 1655219349093098 us\n");
        }
        tree.write("sys/cray/pm_counters/freshness", "1\n");
    }

    /// "kind source" of each channel, and the reasons of what does not take part. There is no NVML here.
    fn found(tree: &Tree, text: &str) -> (Vec<String>, String) {
        let found = Sources::discover(&tree.options(&format!("{text} nvml=/nowhere/nvml.so"), &[]));
        let (mut sources, mut unavailable) = (found.sources, found.unavailable);
        for opening in found.openings {
            let (source, more) = opening.wait(std::time::Duration::from_secs(10)).expect("it opens");
            sources.extend(source);
            unavailable.extend(more);
        }
        let line = |channel: &Channel| format!("{} {}", channel.kind.name(), channel.source);
        let channels = sources.iter().flat_map(|source| source.channels()).map(line).collect();
        (channels, unavailable.into_iter().map(|u| u.reason).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn parts_come_before_the_whole() {
        let tree = with_zones("parts", &ZONES);
        let (channels, reasons) = found(&tree, "components=cpu,dram,node");
        assert_eq!(channels, ["cpu rapl", "dram rapl"]);
        assert!(reasons.contains("intel-rapl:1 meters the whole node and stands aside"), "{reasons}");
        assert_eq!(found(&tree, "components=node").0, ["node rapl"]);
        let (channels, _) = found(&with_zones("whole", &ZONES[2..]), "components=cpu,dram,node");
        assert_eq!(channels, ["node rapl"], "and no estimate beside it");
        let (channels, reasons) = found(&with_zones("missed", &ZONES[2..]), "components=cpu");
        assert!(channels.len() <= 1 && reasons.contains("no package zone"), "{channels:?} {reasons}");
    }

    #[test]
    fn a_cray_node_is_not_added_to_its_parts() {
        let tree = Tree::new("cray");
        with_cray(&tree);
        let (channels, reasons) = found(&tree, "components=all");
        assert_eq!(channels, ["cpu pm_counters", "dram pm_counters", "gpu pm_counters", "gpu pm_counters"]);
        assert!(reasons.contains("meters the whole node and stands aside"), "{reasons}");
        assert_eq!(found(&tree, "components=node").0, ["node pm_counters"]);
        let tree = with_zones("cray-rapl", &ZONES[..1]);
        with_cray(&tree);
        assert_eq!(found(&tree, "components=cpu,dram").0, ["cpu rapl", "dram pm_counters"]);
    }

    #[test]
    fn a_simulated_device_stands_in_for_its_kind() {
        let tree = with_zones("simulated", &ZONES);
        let (channels, reasons) = found(&tree, "components=cpu,dram,node sim_cpu=x:10");
        assert_eq!(channels, ["cpu simulated"]);
        assert!(reasons.contains("sim_cpu stands in"), "{reasons}");
        assert_eq!(found(&tree, "components=dram sim_cpu=x:10").0, ["dram rapl"]);
        assert_eq!(found(&tree, "components=cpu,gpu sim_gpu=x:10").0, ["gpu simulated", "cpu rapl"]);
    }

    /// A package that cannot be read and memory that can, with the perf unit (here the software clock)
    /// offering both: the package comes from perf, memory from powercap alone.
    #[test]
    fn no_kind_is_read_by_two_sources() {
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
}
