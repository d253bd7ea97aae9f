//! Which sources take part in a run. It is found out on a thread of its own: a file of /sys or /proc may hang.

use super::channel::DeviceKind;
use super::config::MeasurementConfig;
use super::source::background::{Opened, Waker};
use super::source::cpu::{cpu_model, memory_model, perf_rapl, rapl};
use super::source::gpu::{amdgpu, intel_gpu, nvml, superchip};
use super::source::node::{battery, hwmon, pm_counters};
use super::source::simulated;
use super::source::{Source, Unavailable};
use crate::os::{self, Promise};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A way to open a source's channels of some kinds.
struct Opener {
    name: &'static str,
    open: fn(&MeasurementConfig, &[DeviceKind]) -> Opened,
}

const RAPL: Opener = Opener { name: "rapl", open: rapl::open };
const PERF_RAPL: Opener = Opener { name: "perf_rapl", open: perf_rapl::open };
const HWMON: Opener = Opener { name: "hwmon", open: hwmon::open };
const PM_COUNTERS: Opener = Opener { name: "pm_counters", open: pm_counters::open };
const AMDGPU: Opener = Opener { name: "amdgpu", open: |options, _| amdgpu::open(options) };
const INTEL_GPU: Opener = Opener { name: "intel_gpu", open: |options, _| intel_gpu::open(options) };
const BATTERY: Opener = Opener { name: "battery", open: |options, _| battery::open(options) };
const MEMORY_MODEL: Opener = Opener { name: memory_model::NAME, open: |options, _| memory_model::open(options) };
const CPU_MODEL: Opener = Opener { name: "cpu_model", open: |options, _| cpu_model::open(options) };

/// What takes part in a run, and what does not.
#[derive(Default)]
pub struct Sources {
    /// The sources to read.
    pub sources: Vec<Box<dyn Source>>,
    /// The others.
    pub unavailable: Vec<Unavailable>,
    /// What stands in for NVML where that has no GPU.
    pub without_nvml: Opened,
    /// NVML's GPUs may contain the processor: it waits for NVML's answer.
    pub is_superchip: bool,
}

/// The sources being looked for.
pub struct Discovery {
    result: Arc<Promise<Sources>>,
    /// The source being opened, by its place in [`crate::measurement::source::NAMES`].
    at: Arc<AtomicUsize>,
    /// The thread that looks; it ends once it has found out.
    pub thread: JoinHandle<()>,
}

impl Discovery {
    /// Starts to look.
    pub fn start(options: &MeasurementConfig, waker: Waker) -> std::io::Result<Discovery> {
        Discovery::by(options, waker, |options, opens| Sources::discover(options, opens))
    }

    /// Starts to look for the next source of a kind: those that are `dead` show no sign of life.
    pub fn of_next(
        options: &MeasurementConfig,
        waker: Waker,
        kind: DeviceKind,
        dead: Vec<(DeviceKind, &'static str)>,
        lacks_memory: bool,
    ) -> std::io::Result<Discovery> {
        Discovery::by(options, waker, move |options, opens| {
            let next = Sources::next(options, opens, kind, &dead);
            if lacks_memory { next.with_memory(options, opens) } else { next }
        })
    }

    fn by(
        options: &MeasurementConfig,
        waker: Waker,
        find: impl Fn(&MeasurementConfig, &dyn Fn(&'static str)) -> Sources + Send + 'static,
    ) -> std::io::Result<Discovery> {
        let (result, at) = (Arc::<Promise<Sources>>::default(), Arc::<AtomicUsize>::default());
        let (promise, place, options) = (Arc::clone(&result), Arc::clone(&at), options.clone());
        let thread = os::spawn_quiet("ct-sources", move || {
            let opens = |name: &'static str| {
                let number = crate::measurement::source::NAMES.iter().position(|one| *one == name);
                place.store(number.unwrap_or_default(), Ordering::Relaxed);
            };
            let found = catch_unwind(AssertUnwindSafe(|| find(&options, &opens)));
            promise.keep(found.unwrap_or_else(|_| {
                let source = name_at(&place);
                let reason = "opening it met an internal fault; please report it".to_owned();
                Sources { unavailable: vec![Unavailable { source, reason, cure: None }], ..Sources::default() }
            }));
            waker.wake();
        })?;
        Ok(Discovery { result, at, thread })
    }

    /// Whether all is found out.
    pub fn is_over(&self) -> bool {
        self.result.is_kept()
    }

    /// What was found, if that is so within this time.
    pub fn wait(&self, timeout: Duration) -> Option<Sources> {
        self.result.wait(timeout)
    }

    /// What to say until then.
    pub fn until_then(&self) -> Unavailable {
        Unavailable {
            source: name_at(&self.at),
            reason: "a file of /sys or /proc does not answer. The run goes on without energy; what was used until it \
answers is filled in then"
                .into(),
            cure: Some("see which file hangs (ls -l /sys/class/powercap /sys/class/hwmon, cat /proc/stat)".into()),
        }
    }
}

fn name_at(place: &AtomicUsize) -> &'static str {
    crate::measurement::source::NAMES.get(place.load(Ordering::Relaxed)).copied().unwrap_or("sources")
}

impl Sources {
    /// Looks at the machine; `opens` hears which source is opened next. Each kind of component is measured once, by the best
    /// there is:
    ///
    /// 1. A simulated device that was asked for stands in for its kind.
    /// 2. Parts come before the whole, and for each the maker's own counters first: GPUs by `nvml`, `amdgpu` and
    ///    `intel_gpu`, else `pm_counters`, else `hwmon`; processors and memory by `rapl`, else `perf_rapl`, else
    ///    `hwmon`, else `pm_counters`.
    /// 3. The whole node counts where no part is metered, or where `components=node` asks for it alone: by
    ///    `pm_counters`, else psys by `rapl`, else `hwmon`, else `battery`.
    /// 4. The processor is estimated where neither it nor the node is metered, and memory beside it.
    ///
    /// NVML is opened by [`crate::measurement::source::start_nvml`], whose driver needs the application's own descriptors.
    pub fn discover(options: &MeasurementConfig, opens: &dyn Fn(&'static str)) -> Sources {
        let mut found = Finder { options, opens, found: Sources::default() };
        for (kind, device) in [(DeviceKind::Cpu, &options.sim_cpu), (DeviceKind::Gpu, &options.sim_gpu)] {
            if let Some(device) = device.as_ref().filter(|_| options.components.contains(&kind)) {
                found.found.sources.push(Box::new(simulated::Simulated::new(kind, device)));
            }
        }
        let simulates_cpu = found.measures(DeviceKind::Cpu);
        let is_real = |kind: &DeviceKind| !simulates_cpu || *kind == DeviceKind::Gpu;
        let wanted: Vec<DeviceKind> = options.components.iter().copied().filter(is_real).collect();
        if simulates_cpu && options.components.iter().any(|kind| matches!(kind, DeviceKind::Dram | DeviceKind::Node)) {
            let reason = "sim_cpu stands in for the processor: real memory and node counters would not go with it";
            found.found.unavailable.push(Unavailable { source: "rapl", reason: reason.into(), cure: None });
        }
        found.add_parts(&wanted); // first, and so read first: their counters are quick
        let may_have_gpu = found.add_gpus(&wanted);
        if wanted.contains(&DeviceKind::Node) {
            found.add_node(may_have_gpu);
        }
        if wanted.contains(&DeviceKind::Cpu) && !found.measures(DeviceKind::Cpu) && !found.measures(DeviceKind::Node) {
            found.add(&CPU_MODEL, &[DeviceKind::Cpu]);
        }
        if wanted.contains(&DeviceKind::Dram) && !found.measures(DeviceKind::Dram) {
            found.add_memory();
        }
        found.found.is_superchip = may_have_gpu && superchip::has_processor(&options.sysroot);
        found.found
    }
}

impl Sources {
    /// The next source of a kind, in the order of [`Sources::discover`]: those that are `dead` show no sign of life.
    /// Where nothing meters the node, the processor is estimated; memory is beside an estimated processor.
    fn next(
        options: &MeasurementConfig,
        opens: &dyn Fn(&'static str),
        kind: DeviceKind,
        dead: &[(DeviceKind, &'static str)],
    ) -> Sources {
        let counts_cpu = options.components.contains(&DeviceKind::Cpu);
        let estimates_cpu = counts_cpu && dead.iter().any(|(kind, _)| *kind == DeviceKind::Cpu);
        let is_dead = |opener: &Opener| dead.contains(&(kind, opener.name));
        let order: &[(&Opener, DeviceKind)] = match kind {
            DeviceKind::Cpu => {
                &[(&RAPL, kind), (&PERF_RAPL, kind), (&HWMON, kind), (&PM_COUNTERS, kind), (&CPU_MODEL, kind)]
            }
            DeviceKind::Dram if estimates_cpu => {
                &[(&RAPL, kind), (&PERF_RAPL, kind), (&HWMON, kind), (&PM_COUNTERS, kind), (&MEMORY_MODEL, kind)]
            }
            DeviceKind::Dram => &[(&RAPL, kind), (&PERF_RAPL, kind), (&HWMON, kind), (&PM_COUNTERS, kind)],
            DeviceKind::Gpu => &[(&PM_COUNTERS, kind), (&HWMON, kind)],
            DeviceKind::Node if counts_cpu => {
                &[(&PM_COUNTERS, kind), (&RAPL, kind), (&HWMON, kind), (&BATTERY, kind), (&CPU_MODEL, DeviceKind::Cpu)]
            }
            DeviceKind::Node => &[(&PM_COUNTERS, kind), (&RAPL, kind), (&HWMON, kind), (&BATTERY, kind)],
        };
        let after = order.iter().rposition(|(opener, _)| is_dead(opener)).map_or(0, |place| place + 1);
        let mut unavailable = Vec::new();
        for (opener, kind) in order.iter().skip(after) {
            opens(opener.name);
            let (source, why) = (opener.open)(options, &[*kind]);
            if source.is_some() {
                return Sources { sources: source.into_iter().collect(), ..Sources::default() };
            }
            unavailable.extend(why);
        }
        Sources { unavailable, ..Sources::default() }
    }

    /// The same with memory estimated beside an estimated processor.
    fn with_memory(mut self, options: &MeasurementConfig, opens: &dyn Fn(&'static str)) -> Sources {
        let channels = self.sources.iter().flat_map(|source| source.channels());
        let mut processors = channels.filter(|channel| channel.source == CPU_MODEL.name);
        let is_estimated = processors.next().is_some_and(|channel| !channel.has_memory);
        if is_estimated && options.components.contains(&DeviceKind::Dram) {
            opens(MEMORY_MODEL.name);
            self.sources.extend((MEMORY_MODEL.open)(options, &[DeviceKind::Dram]).0);
        }
        self
    }
}

/// What is found so far.
struct Finder<'a> {
    options: &'a MeasurementConfig,
    opens: &'a dyn Fn(&'static str),
    found: Sources,
}

impl Finder<'_> {
    /// Returns whether there is a GPU, or may be once the driver has answered.
    fn add_gpus(&mut self, wanted: &[DeviceKind]) -> bool {
        if !wanted.contains(&DeviceKind::Gpu) || self.measures(DeviceKind::Gpu) {
            return self.measures(DeviceKind::Gpu);
        }
        self.add(&AMDGPU, &[DeviceKind::Gpu]);
        self.add(&INTEL_GPU, &[DeviceKind::Gpu]);
        let has_other = self.measures(DeviceKind::Gpu);
        let request = nvml::NvmlRequest::new(self.options);
        let (mut machines, mut lacks) = (None, Vec::new());
        for opener in [PM_COUNTERS, HWMON] {
            // Cray's counters pick by each maker's own variables; on a board the GPU is NVIDIA's.
            let may_be_ours = opener.name == PM_COUNTERS.name || request.selects_some();
            if machines.is_none() && !has_other && may_be_ours {
                let (source, unavailable) = self.open(&opener, &[DeviceKind::Gpu]);
                machines = source;
                lacks.extend(unavailable);
            }
        }
        let may_have_gpu = has_other || machines.is_some() || request.may_succeed();
        self.found.without_nvml = (machines, lacks);
        may_have_gpu
    }

    /// Processors and memory.
    fn add_parts(&mut self, wanted: &[DeviceKind]) {
        self.add_missing(&RAPL, wanted);
        // Where powercap shows packages, what it lacks is not there: perf reads the same counters.
        if !self.measures(DeviceKind::Cpu) {
            self.add_missing(&PERF_RAPL, wanted);
        }
        self.add_missing(&HWMON, wanted);
        // A Grace socket's power contains its memory's.
        if !self.found.sources.iter().flat_map(|source| source.channels()).any(|channel| channel.has_memory) {
            self.add_missing(&PM_COUNTERS, wanted);
        }
    }

    /// Opens what is wanted of processors and memory and nothing measures yet.
    fn add_missing(&mut self, opener: &Opener, wanted: &[DeviceKind]) {
        let is_missing =
            |kind: &DeviceKind| matches!(kind, DeviceKind::Cpu | DeviceKind::Dram) && !self.measures(*kind);
        let missing: Vec<DeviceKind> = wanted.iter().copied().filter(is_missing).collect();
        if !missing.is_empty() {
            self.add(opener, &missing);
        }
    }

    /// The whole, if that is to count; else it is said to stand aside.
    fn add_node(&mut self, may_have_gpu: bool) {
        let has_parts = may_have_gpu || !self.found.sources.is_empty();
        for opener in [PM_COUNTERS, RAPL, HWMON, BATTERY] {
            if self.measures(DeviceKind::Node) {
                return;
            }
            let (source, unavailable) = self.open(&opener, &[DeviceKind::Node]);
            match source {
                Some(source) if has_parts => {
                    let names: Vec<&str> = source.channels().iter().map(|channel| channel.id.as_str()).collect();
                    self.found.unavailable.push(Unavailable {
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
                source => self.take((source, unavailable)),
            }
        }
    }

    /// Memory that nothing meters: estimated beside an estimated processor only.
    fn add_memory(&mut self) {
        let of_cpu = self.found.sources.iter().flat_map(|source| source.channels());
        let mut names = of_cpu.filter(|channel| channel.kind == DeviceKind::Cpu).map(|channel| channel.source);
        match names.next() {
            Some(name) if name == CPU_MODEL.name => self.add(&MEMORY_MODEL, &[DeviceKind::Dram]),
            None if !self.measures(DeviceKind::Node) => self.add(&MEMORY_MODEL, &[DeviceKind::Dram]), // asked for alone
            Some(name) if name == RAPL.name || name == PERF_RAPL.name => {
                self.found.unavailable.push(memory_model::beside_a_meter());
            }
            _ => (), // the processor's meter contains its memory, or the node's does
        }
    }

    /// Whether a channel of this kind takes part.
    fn measures(&self, kind: DeviceKind) -> bool {
        self.found.sources.iter().flat_map(|source| source.channels()).any(|channel| channel.kind == kind)
    }

    fn open(&self, opener: &Opener, kinds: &[DeviceKind]) -> Opened {
        (self.opens)(opener.name);
        (opener.open)(self.options, kinds)
    }

    fn add(&mut self, opener: &Opener, kinds: &[DeviceKind]) {
        let opened = self.open(opener, kinds);
        self.take(opened);
    }

    fn take(&mut self, (source, unavailable): Opened) {
        self.found.sources.extend(source);
        self.found.unavailable.extend(unavailable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::channel::Channel;
    use crate::measurement::source::sysfs::test_tree::TestTree;

    const ZONES: [(&str, &str); 3] =
        [("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "dram"), ("intel-rapl:1", "psys")];

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

    /// "kind source" of each channel, and the reasons of what does not take part. There is no NVML here.
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
        assert!(reasons.contains("intel-rapl:1 meters the whole node and stands aside"), "{reasons}");
        assert_eq!(found(&tree, "components=node").0, ["node rapl"]);
        let (channels, _) = found(&with_zones("whole", &ZONES[2..]), "components=cpu,dram,node");
        assert_eq!(channels, ["node rapl"], "and no estimate beside it");
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
        assert!(reasons.contains("meters the whole node and stands aside"), "{reasons}");
        assert_eq!(found(&tree, "components=node").0, ["node pm_counters"]);
        let tree = with_zones("cray-rapl", &ZONES[..1]);
        with_cray(&tree);
        assert_eq!(found(&tree, "components=cpu,dram").0, ["cpu rapl", "dram pm_counters"]);
    }

    fn with_monitor(tree: &TestTree, number: u32, files: &[(&str, &str)]) {
        files.iter().for_each(|(file, text)| tree.write(&format!("sys/class/hwmon/hwmon{number}/{file}"), text));
    }

    #[test]
    fn a_server_s_own_meter_counts_where_no_part_is_metered() {
        let tree = TestTree::new("server-meter");
        with_monitor(&tree, 0, &[("name", "power_meter"), ("power1_average", "262000000\n")]);
        let (channels, reasons) = found(&tree, "components=all");
        assert_eq!(channels, ["node hwmon"], "{reasons}");
        assert_eq!(found(&tree, "components=node").0, ["node hwmon"]);
        let rails = [("in1_label", "VDD_CPU_SOC_MSS"), ("in1_input", "5000"), ("curr1_input", "2000")];
        with_monitor(&tree, 1, &[&[("name", "ina3221")], &rails[..]].concat());
        let (channels, reasons) = found(&tree, "components=all");
        assert_eq!(channels, ["cpu hwmon"]);
        assert!(reasons.contains("hwmon0/power1 meters the whole node and stands aside"), "{reasons}");
    }

    #[test]
    fn a_socket_without_its_memory_leaves_that_to_the_cray_s_counters() {
        let tree = TestTree::new("cray-hwmon");
        with_cray(&tree);
        with_monitor(&tree, 0, &[("name", "zenergy"), ("energy9_label", "Esocket0"), ("energy9_input", "5\n")]);
        assert_eq!(found(&tree, "components=cpu,dram").0, ["cpu hwmon", "dram pm_counters"]);
        let grace = [("power1_oem_info", "Grace Power Socket 0"), ("power1_average", "90000000\n")];
        with_monitor(&tree, 0, &[&[("name", "power_meter")], &grace[..]].concat());
        assert_eq!(found(&tree, "components=cpu,dram").0, ["cpu hwmon"], "its power contains the memory's");
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
