//! Superchips: modules of NVIDIA's Grace processor, GPUs and memory. The energy counter of such a GPU may cover the
//! whole module (ml-energy/zeus, pull request 172). NVML then counts the module, and the processor's own meters are not
//! counted.

use super::drm_card::numbered;
use crate::clock::MonoNs;
use crate::measurement::channel::{Channel, DeviceKind};
use crate::measurement::reading::{Fault, Reading};
use crate::measurement::source::Source;
use crate::measurement::source::sysfs::number_file::text;
use crate::measurement::unavailable::Unavailable;
use crate::os::{self, Instant};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Words in the names of a superchip's GPUs.
const GPUS: [&str; 3] = ["GH200", "GB200", "GB300"];
/// Words in the names of GPUs of which a module has two (Grace Blackwell).
const IN_PAIRS: [&str; 2] = ["GB200", "GB300"];
/// Grace's cores, Arm's Neoverse V2, in `/proc/cpuinfo`.
const NEOVERSE_V2: &str = "0xd4f";
/// How long the processor's sources wait for NVML's answer. After that they count until the answer comes.
const NVML_WAIT: Duration = Duration::from_secs(5);
/// The fault of a processor's reading once a GPU's meter covers it.
const COVERED: Fault = Fault::Driver("NVML now measures the whole module, with the processor");

/// Whether a GPU of this name is part of a superchip.
pub fn has_gpu(name: &str) -> bool {
    has_word(name, &GPUS)
}

/// Whether a module has two GPUs of this name.
pub fn has_two(name: &str) -> bool {
    has_word(name, &IN_PAIRS)
}

/// Whether a name has one of the words in `wanted`.
pub fn has_word(name: &str, wanted: &[&str]) -> bool {
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| wanted.iter().any(|one| word.eq_ignore_ascii_case(one)))
}

/// Whether this machine's processor is a Grace, by the meters on its board or by its cores.
pub fn has_processor(sysroot: &Path) -> bool {
    let is_grace = |dir: &Path| {
        let label = text(&dir.join("power1_oem_info")).unwrap_or_default().to_ascii_lowercase();
        label.contains("grace power") || label.contains("module power")
    };
    let mut meters = numbered(&sysroot.join("sys/class/hwmon"), "hwmon").into_iter();
    if meters.any(|(_, dir)| is_grace(&dir) || is_grace(&dir.join("device"))) {
        return true;
    }
    let cpuinfo = os::text::read(&sysroot.join("proc/cpuinfo"), os::text::MAX_TABLE_BYTES).unwrap_or_default();
    cpuinfo.lines().any(|line| line.starts_with("CPU part") && line.trim_end().ends_with(NEOVERSE_V2))
}

/// The sources of a superchip's processor and memory. They wait for NVML's answer, and count if no GPU's meter covers
/// them.
#[derive(Default)]
pub struct Processor {
    /// The sources that wait.
    held: Vec<Box<dyn Source>>,
    /// When they began to wait.
    since: Option<Instant>,
    /// Whether some of the sources count.
    counts: bool,
    /// Whether a GPU's meter covers the sources.
    is_covered: Arc<AtomicBool>,
}

impl Processor {
    /// Keeps the sources that measure processor or memory, and returns the others.
    pub fn hold(&mut self, sources: Vec<Box<dyn Source>>) -> Vec<Box<dyn Source>> {
        let is_part =
            |channel: &Channel| matches!(channel.kind, DeviceKind::Cpu | DeviceKind::Dram) && !channel.simulated;
        let (held, others) = sources.into_iter().partition(|source| source.channels().iter().any(is_part));
        self.held = held;
        self.since = Some(Instant::now());
        others
    }

    /// Whether sources wait for NVML's answer.
    pub fn waits(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether the sources have waited long enough.
    pub fn is_overdue(&self) -> bool {
        self.waits() && self.since.is_some_and(|since| since.elapsed() > NVML_WAIT)
    }

    /// What the report shows while the sources wait.
    pub fn pending(&self) -> Option<Unavailable> {
        self.about("it is measured once NVML has answered, unless a GPU's meter covers it")
    }

    /// From now on a GPU's meter covers the sources. Returns whether some of them have counted before.
    pub fn cover(&mut self) -> bool {
        self.is_covered.store(true, Ordering::Release);
        self.counts
    }

    /// Ends the wait. Returns the sources, which count until a GPU's meter covers them. Fails with an entry for the
    /// report if one covers them already.
    pub fn release(&mut self) -> Result<Vec<Box<dyn Source>>, Unavailable> {
        if self.is_covered.load(Ordering::Acquire) {
            if let Some(entry) = self.about("it is not counted: NVML measures the whole module, with the processor") {
                self.held.clear();
                return Err(entry);
            }
        }
        self.counts |= self.waits();
        let until_covered =
            |inner| Box::new(UntilCovered { inner, is_covered: Arc::clone(&self.is_covered) }) as Box<dyn Source>;
        Ok(self.held.drain(..).map(until_covered).collect())
    }

    /// An entry for the report about the sources that wait. None: none do.
    fn about(&self, what: &str) -> Option<Unavailable> {
        let channels: Vec<&Channel> = self.held.iter().flat_map(|source| source.channels()).collect();
        let names: Vec<&str> = channels.iter().map(|channel| channel.device.as_str()).collect();
        let source = channels.first()?.source;
        Some(Unavailable { source, reason: format!("{}: {what}", names.join(", ")), cure: None })
    }
}

/// A source that counts until a GPU's meter covers its devices.
struct UntilCovered {
    inner: Box<dyn Source>,
    is_covered: Arc<AtomicBool>,
}

impl Source for UntilCovered {
    fn channels(&self) -> &[Channel] {
        self.inner.channels()
    }

    fn read(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
        if self.is_covered.load(Ordering::Acquire) {
            let at = clock();
            readings.extend((0..self.channels().len()).map(|channel| Reading { channel, at, value: Err(COVERED) }));
        } else {
            self.inner.read(clock, readings);
        }
    }

    fn min_gap_ns(&self) -> u64 {
        self.inner.min_gap_ns()
    }

    fn max_gap_ns(&self) -> u64 {
        self.inner.max_gap_ns()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::channel::{MeasuringMethod, Quantity};
    use crate::measurement::reading::Value;
    use crate::measurement::source::simulated::Simulated;
    use crate::measurement::source::sysfs::test_tree::TestTree;
    use crate::measurement::source_name::SourceName;

    #[test]
    fn a_superchip_is_recognised_by_its_gpus_name() {
        for name in ["NVIDIA GH200 480GB", "GH200 144G HBM3e", "NVIDIA GB200", "NVIDIA GB300 NVL72", "nvidia gh200"] {
            assert!(has_gpu(name), "{name}");
        }
        for name in ["NVIDIA H200", "NVIDIA H100 80GB HBM3", "NVIDIA GB10", "NVIDIA GeForce RTX 3090", "GH2000", ""] {
            assert!(!has_gpu(name), "{name}");
        }
    }

    #[test]
    fn a_superchip_is_recognised_by_its_meters_or_its_cores() {
        let tree = TestTree::new("superchip");
        let has = || has_processor(&tree.options("", &[]).sysroot);
        assert!(!has());
        tree.write("proc/cpuinfo", "CPU implementer\t: 0x41\nCPU part\t: 0xd0c\n");
        tree.write("sys/class/hwmon/hwmon0/device/power1_oem_info", "Dell Computer Corp.\n");
        assert!(!has(), "another Arm, another meter");
        tree.write("proc/cpuinfo", "CPU implementer\t: 0x41\nCPU part\t: 0xd4f\n");
        assert!(has());
        tree.write("proc/cpuinfo", "");
        tree.write("sys/class/hwmon/hwmon3/power1_oem_info", "Grace Power Socket 0\n");
        assert!(has());
    }

    /// A source of 5 W that is not simulated. A simulated processor does not belong to the module.
    fn real(kind: DeviceKind) -> Box<dyn Source> {
        struct Real([Channel; 1]);
        impl Source for Real {
            fn channels(&self) -> &[Channel] {
                &self.0
            }
            fn read(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
                readings.push(Reading { channel: 0, at: clock(), value: Ok(Value::Watts(5.0)) });
            }
        }
        let quantity = Quantity::Power { max_watts: 1e3 };
        Box::new(Real([Channel::new((kind, SourceName::Rapl), "x", "x", MeasuringMethod::Power, quantity)]))
    }

    fn sources(tree: &TestTree) -> Vec<Box<dyn Source>> {
        let device = tree.options("sim_cpu=x:10", &[]).sim_cpu.unwrap();
        vec![Box::new(Simulated::new(DeviceKind::Cpu, &device)), real(DeviceKind::Cpu), real(DeviceKind::Gpu)]
    }

    #[test]
    fn a_superchips_processor_is_counted_once_whenever_nvml_answers() {
        let tree = TestTree::new("superchip-once");
        let mut processor = Processor::default();
        assert_eq!(processor.hold(sources(&tree)).len(), 2, "simulated and GPU");
        assert!(processor.waits() && !processor.is_overdue() && processor.pending().is_some());
        assert!(!processor.cover());
        assert!(processor.release().is_err_and(|entry| entry.reason.contains("is not counted")));
        assert!(!processor.waits());

        let mut processor = Processor::default();
        processor.hold(sources(&tree));
        let mut counts = processor.release().ok().unwrap();
        let mut value = || TestTree::values(&mut *counts[0])[0];
        assert!(value().is_ok());
        assert!(processor.cover(), "some have counted");
        assert_eq!(value(), Err(COVERED));
        assert!(processor.release().is_ok_and(|none| none.is_empty()), "nothing is left to report");
    }
}
