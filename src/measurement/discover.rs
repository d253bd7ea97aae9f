//! Which sources take part in a run. A thread of its own finds out, because a file of /sys or /proc may hang.

use super::channel::DeviceKind;
use super::config::MeasurementConfig;
use super::machine::Machine;
use super::source::background::{Opened, Waker};
use super::source::cpu::{cpu_model, memory_model, perf_rapl, rapl};
use super::source::gpu::nvml_request::NvmlRequest;
use super::source::gpu::{amdgpu, intel_gpu, superchip};
use super::source::node::{battery, hwmon, pm_counters};
use super::source::simulated;
use super::source_name::SourceName;
use super::sources::Sources;
use super::unavailable::Unavailable;
use crate::os::{self, Promise};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A source, and the function that opens its channels of some kinds.
struct Opener {
    name: SourceName,
    open: fn(&MeasurementConfig, &[DeviceKind]) -> Opened,
}

const RAPL: Opener = Opener { name: SourceName::Rapl, open: rapl::open };
const PERF_RAPL: Opener = Opener { name: SourceName::PerfRapl, open: perf_rapl::open };
const HWMON: Opener = Opener { name: SourceName::Hwmon, open: hwmon::open };
const PM_COUNTERS: Opener = Opener { name: SourceName::PmCounters, open: pm_counters::open };
const AMDGPU: Opener = Opener { name: SourceName::Amdgpu, open: |options, _| amdgpu::open(options) };
const INTEL_GPU: Opener = Opener { name: SourceName::IntelGpu, open: |options, _| intel_gpu::open(options) };
const BATTERY: Opener = Opener { name: SourceName::Battery, open: |options, _| battery::open(options) };
const MEMORY_MODEL: Opener = Opener { name: memory_model::NAME, open: |options, _| memory_model::open(options) };
const CPU_MODEL: Opener = Opener { name: SourceName::CpuModel, open: |options, _| cpu_model::open(options) };

/// A search for sources, on its own thread.
pub struct Discovery {
    result: Arc<Promise<Sources>>,
    /// The source that is being opened, as its index in [`SourceName::ALL`].
    at: Arc<AtomicUsize>,
    /// The thread of the search. It ends with the search.
    pub thread: os::JoinHandle,
}

impl Discovery {
    /// Starts the search for all sources. Fails if the thread cannot be started.
    pub fn start(
        options: &MeasurementConfig,
        machine: Option<Arc<dyn Machine>>,
        waker: Waker,
    ) -> std::io::Result<Discovery> {
        Discovery::by(options, waker, move |options, opens| match &machine {
            Some(machine) => machine.discover(),
            None => Sources::discover(options, opens),
        })
    }

    /// Starts the search for the next source of a kind, after the sources that are `stalled`. With `lacks_memory`
    /// memory is estimated beside an estimated processor. Fails if the thread cannot be started.
    pub fn of_next(
        options: &MeasurementConfig,
        machine: Option<Arc<dyn Machine>>,
        waker: Waker,
        kind: DeviceKind,
        stalled: Vec<(DeviceKind, SourceName)>,
        lacks_memory: bool,
    ) -> std::io::Result<Discovery> {
        Discovery::by(options, waker, move |options, opens| {
            if let Some(machine) = &machine {
                return machine.next(kind, &stalled);
            }
            let next = Sources::next(options, opens, kind, &stalled);
            if lacks_memory { next.with_memory(options, opens) } else { next }
        })
    }

    fn by(
        options: &MeasurementConfig,
        waker: Waker,
        find: impl Fn(&MeasurementConfig, &dyn Fn(SourceName)) -> Sources + Send + 'static,
    ) -> std::io::Result<Discovery> {
        let result = Arc::<Promise<Sources>>::default();
        let at = Arc::<AtomicUsize>::default();
        let promise = Arc::clone(&result);
        let stored = Arc::clone(&at);
        let options = options.clone();
        let thread = os::spawn_quiet("ct-sources", move || {
            let opens = |name: SourceName| stored.store(name as usize, Ordering::Relaxed);
            let found = catch_unwind(AssertUnwindSafe(|| find(&options, &opens)));
            promise.keep(found.unwrap_or_else(|_| {
                let source = name_at(&stored);
                let reason = "internal error while it was opened; please report this bug".to_owned();
                Sources { unavailable: vec![Unavailable { source, reason, cure: None }], ..Sources::default() }
            }));
            waker.wake();
        })?;
        Ok(Discovery { result, at, thread })
    }

    /// Whether the search has ended.
    pub fn is_over(&self) -> bool {
        self.result.is_kept()
    }

    /// Waits this long at most. Returns the result once, None before it exists.
    pub fn wait(&self, timeout: Duration) -> Option<Sources> {
        self.result.wait(timeout)
    }

    /// The entry of the report until the search ends.
    pub fn pending(&self) -> Unavailable {
        Unavailable {
            source: name_at(&self.at),
            reason:
                "a file of /sys or /proc does not answer. The run continues without energy. Once the file answers, the \
energy until then is filled in"
                    .into(),
            cure: Some("find the file that hangs (ls -l /sys/class/powercap /sys/class/hwmon, cat /proc/stat)".into()),
        }
    }
}

fn name_at(stored: &AtomicUsize) -> SourceName {
    SourceName::ALL.get(stored.load(Ordering::Relaxed)).copied().unwrap_or(SourceName::Search)
}

impl Sources {
    /// Opens the sources of this machine. `opens` is called with each source before it is opened. Each kind of
    /// component is measured once, by the first of these that exists:
    ///
    /// 1. A simulated device of the options replaces its kind.
    /// 2. Parts come before the whole node, and the vendor's counters come first. GPUs: `nvml`, `amdgpu` and
    ///    `intel_gpu`, else `pm_counters`, else `hwmon`. Processors and memory: `rapl`, else `perf_rapl`, else `hwmon`,
    ///    else `pm_counters`.
    /// 3. The whole node is counted if no part is metered, or if `components=node`: by `pm_counters`, else psys of
    ///    `rapl`, else `hwmon`, else `battery`.
    /// 4. The processor is estimated if neither it nor the node is metered. Memory is estimated beside it.
    ///
    /// [`crate::measurement::source::start_nvml`] opens NVML, because its driver needs the application's descriptors.
    pub fn discover(options: &MeasurementConfig, opens: &dyn Fn(SourceName)) -> Sources {
        let mut finder = Finder { options, opens, found: Sources::default() };
        for (kind, device) in [(DeviceKind::Cpu, &options.sim_cpu), (DeviceKind::Gpu, &options.sim_gpu)] {
            if let Some(device) = device.as_ref().filter(|_| options.components.contains(&kind)) {
                finder.found.sources.push(Box::new(simulated::Simulated::new(kind, device)));
            }
        }
        let simulates_cpu = finder.measures(DeviceKind::Cpu);
        let is_real = |kind: &DeviceKind| !simulates_cpu || *kind == DeviceKind::Gpu;
        let wanted: Vec<DeviceKind> = options.components.iter().copied().filter(is_real).collect();
        if simulates_cpu && options.components.iter().any(|kind| matches!(kind, DeviceKind::Dram | DeviceKind::Node)) {
            let reason = "sim_cpu replaces the processor, so real counters of memory and node are not read";
            finder.found.unavailable.push(Unavailable { source: SourceName::Rapl, reason: reason.into(), cure: None });
        }
        finder.add_parts(&wanted); // These come first and are read first, because their counters are fast.
        let may_have_gpu = finder.add_gpus(&wanted);
        if wanted.contains(&DeviceKind::Node) {
            finder.add_node(may_have_gpu);
        }
        if wanted.contains(&DeviceKind::Cpu) && !finder.measures(DeviceKind::Cpu) && !finder.measures(DeviceKind::Node)
        {
            finder.add(&CPU_MODEL, &[DeviceKind::Cpu]);
        }
        if wanted.contains(&DeviceKind::Dram) && !finder.measures(DeviceKind::Dram) {
            finder.add_memory();
        }
        finder.found.is_superchip = may_have_gpu && superchip::has_processor(&options.sysroot);
        finder.found
    }
}

impl Sources {
    /// The next source of a kind after those that are `stalled`, in the order of [`Sources::discover`]. If no source
    /// meters the node, the processor is estimated. Memory is estimated only beside an estimated processor.
    fn next(
        options: &MeasurementConfig,
        opens: &dyn Fn(SourceName),
        kind: DeviceKind,
        stalled: &[(DeviceKind, SourceName)],
    ) -> Sources {
        let counts_cpu = options.components.contains(&DeviceKind::Cpu);
        let estimates_cpu = counts_cpu && stalled.iter().any(|(kind, _)| *kind == DeviceKind::Cpu);
        let is_stalled = |opener: &Opener| stalled.contains(&(kind, opener.name));
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
        let after = order.iter().rposition(|(opener, _)| is_stalled(opener)).map_or(0, |index| index + 1);
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

    /// Adds an estimate of memory if the processor is estimated without it.
    fn with_memory(mut self, options: &MeasurementConfig, opens: &dyn Fn(SourceName)) -> Sources {
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

/// A search in progress.
struct Finder<'a> {
    options: &'a MeasurementConfig,
    opens: &'a dyn Fn(SourceName),
    found: Sources,
}

impl Finder<'_> {
    /// Adds the sources of GPUs. Returns whether there is a GPU, or may be once NVIDIA's driver has answered.
    fn add_gpus(&mut self, wanted: &[DeviceKind]) -> bool {
        if !wanted.contains(&DeviceKind::Gpu) || self.measures(DeviceKind::Gpu) {
            return self.measures(DeviceKind::Gpu);
        }
        self.add(&AMDGPU, &[DeviceKind::Gpu]);
        self.add(&INTEL_GPU, &[DeviceKind::Gpu]);
        let has_other = self.measures(DeviceKind::Gpu);
        let request = NvmlRequest::new(self.options);
        let mut node_meter = None;
        let mut unavailable = Vec::new();
        for opener in [PM_COUNTERS, HWMON] {
            // Cray's counters obey the variables of each vendor. The GPU on a board is NVIDIA's.
            let may_be_ours = opener.name == PM_COUNTERS.name || request.selects_some();
            if node_meter.is_none() && !has_other && may_be_ours {
                let (source, why) = self.open(&opener, &[DeviceKind::Gpu]);
                node_meter = source;
                unavailable.extend(why);
            }
        }
        let may_have_gpu = has_other || node_meter.is_some() || request.may_succeed();
        self.found.without_nvml = (node_meter, unavailable);
        may_have_gpu
    }

    /// Adds the sources of processors and memory.
    fn add_parts(&mut self, wanted: &[DeviceKind]) {
        self.add_missing(&RAPL, wanted);
        // If powercap has packages, perf has nothing more: it reads the same counters.
        if !self.measures(DeviceKind::Cpu) {
            self.add_missing(&PERF_RAPL, wanted);
        }
        self.add_missing(&HWMON, wanted);
        // The power of a Grace socket includes its memory.
        if !self.found.sources.iter().flat_map(|source| source.channels()).any(|channel| channel.has_memory) {
            self.add_missing(&PM_COUNTERS, wanted);
        }
    }

    /// Opens a source for the processors and memory that are wanted and not measured yet.
    fn add_missing(&mut self, opener: &Opener, wanted: &[DeviceKind]) {
        let parts = wanted.iter().copied().filter(|kind| matches!(kind, DeviceKind::Cpu | DeviceKind::Dram));
        let missing: Vec<DeviceKind> = parts.filter(|kind| !self.measures(*kind)).collect();
        if !missing.is_empty() {
            self.add(opener, &missing);
        }
    }

    /// Adds the meter of the whole node if no part is measured, else an entry that it is not counted.
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
                        source: source.channels().first().map_or(opener.name, |channel| channel.source),
                        reason: format!(
                            "{} meters the whole node and is not counted, because parts of it are measured",
                            names.join(", ")
                        ),
                        cure: None,
                    });
                    return;
                }
                // The parts are measured, so the user does not need a meter of the node.
                None if has_parts => (),
                source => self.take((source, unavailable)),
            }
        }
    }

    /// Adds an estimate of memory that no source meters. Beside a metered processor there is none.
    fn add_memory(&mut self) {
        let of_cpu = self.found.sources.iter().flat_map(|source| source.channels());
        let mut names = of_cpu.filter(|channel| channel.kind == DeviceKind::Cpu).map(|channel| channel.source);
        match names.next() {
            Some(name) if name == CPU_MODEL.name => self.add(&MEMORY_MODEL, &[DeviceKind::Dram]),
            // Only memory is wanted.
            None if !self.measures(DeviceKind::Node) => self.add(&MEMORY_MODEL, &[DeviceKind::Dram]),
            Some(name) if name == RAPL.name || name == PERF_RAPL.name => {
                self.found.unavailable.push(memory_model::beside_a_meter());
            }
            _ => (), // The meter of the processor or of the node includes memory.
        }
    }

    /// Whether a channel of this kind has been found.
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
mod tests;
