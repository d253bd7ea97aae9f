//! Superchips: a module of NVIDIA's Grace processor, GPUs and memory. The energy counter of such a GPU is reported to cover the
//! whole module (ml-energy/zeus, pull request 172). The module is then counted by NVML, and the processor's own meters stand
//! aside.

use super::drm_card::numbered;
use crate::clock::MonoNs;
use crate::measurement::channel::{Channel, DeviceKind};
use crate::measurement::reading::{Fault, Reading};
use crate::measurement::source::sysfs::number_file::text;
use crate::measurement::source::{Source, Unavailable};
use crate::os;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// GPUs of a superchip have one of these words in their names. The module of a Grace Blackwell has two of them.
const GPUS: [&str; 3] = ["GH200", "GB200", "GB300"];
const IN_TWOS: [&str; 2] = ["GB200", "GB300"];
/// Grace's cores in /proc/cpuinfo: Arm's Neoverse V2.
const NEOVERSE_V2: &str = "0xd4f";
/// How long the processor waits for NVML's answer. Later the two are counted apart until that answer comes.
const PATIENCE: Duration = Duration::from_secs(5);
const WITHIN: Fault = Fault::Driver("NVML measures the whole module now, processor included");

/// Whether a GPU of this name is part of a superchip.
pub fn has_gpu(name: &str) -> bool {
    has_word(name, &GPUS)
}

/// Whether a module has two GPUs of this name.
pub fn has_two(name: &str) -> bool {
    has_word(name, &IN_TWOS)
}

/// Whether a name has one of these words.
pub fn has_word(name: &str, wanted: &[&str]) -> bool {
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| wanted.iter().any(|one| word.eq_ignore_ascii_case(one)))
}

/// Whether this machine's processor is a Grace: by the meters on its board, or by its cores.
pub fn has_processor(sysroot: &Path) -> bool {
    let is_grace = |dir: &Path| {
        let label = text(&dir.join("power1_oem_info")).unwrap_or_default().to_ascii_lowercase();
        label.contains("grace power") || label.contains("module power")
    };
    let mut meters = numbered(&sysroot.join("sys/class/hwmon"), "hwmon").into_iter();
    if meters.any(|(_, dir)| is_grace(&dir) || is_grace(&dir.join("device"))) {
        return true;
    }
    let cpuinfo = os::text::read(&sysroot.join("proc/cpuinfo"), os::text::LARGE).unwrap_or_default();
    cpuinfo.lines().any(|line| line.starts_with("CPU part") && line.trim_end().ends_with(NEOVERSE_V2))
}

/// The sources of a superchip's processor and memory. They wait for NVML's answer and count where no GPU's meter covers them.
#[derive(Default)]
pub struct Processor {
    held: Vec<Box<dyn Source>>,
    since: Option<Instant>,
    /// Some of them count.
    counts: bool,
    /// A GPU's meter covers them.
    is_within: Arc<AtomicBool>,
}

impl Processor {
    /// Holds back those of these sources that measure processor or memory, and returns the others.
    pub fn hold(&mut self, sources: Vec<Box<dyn Source>>) -> Vec<Box<dyn Source>> {
        let is_part =
            |channel: &Channel| matches!(channel.kind, DeviceKind::Cpu | DeviceKind::Dram) && !channel.simulated;
        let (held, others) = sources.into_iter().partition(|source| source.channels().iter().any(is_part));
        (self.held, self.since) = (held, Some(Instant::now()));
        others
    }

    /// Whether some wait for NVML's answer.
    pub fn waits(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether they have waited for long enough.
    pub fn is_overdue(&self) -> bool {
        self.waits() && self.since.is_some_and(|since| since.elapsed() > PATIENCE)
    }

    /// What the report shows while they wait.
    pub fn until_then(&self) -> Option<Unavailable> {
        self.about("it is measured once NVML has answered whether a GPU's meter covers it")
    }

    /// A GPU's meter covers them from now on. Returns whether some of them have counted until now.
    pub fn is_covered(&mut self) -> bool {
        self.is_within.store(true, Ordering::Release);
        self.counts
    }

    /// Those that count, now that NVML has answered or is waited for no longer; or why none does.
    pub fn release(&mut self) -> Result<Vec<Box<dyn Source>>, Unavailable> {
        if self.is_within.load(Ordering::Acquire)
            && let Some(aside) = self.about("it stands aside: NVML measures the whole module, processor included")
        {
            self.held.clear();
            return Err(aside);
        }
        self.counts |= self.waits();
        let apart = |inner| Box::new(Apart { inner, is_within: Arc::clone(&self.is_within) }) as Box<dyn Source>;
        Ok(self.held.drain(..).map(apart).collect())
    }

    fn about(&self, what: &str) -> Option<Unavailable> {
        let channels: Vec<&Channel> = self.held.iter().flat_map(|source| source.channels()).collect();
        let names: Vec<&str> = channels.iter().map(|channel| channel.device.as_str()).collect();
        let source = channels.first()?.source;
        Some(Unavailable { source, reason: format!("{}: {what}", names.join(", ")), cure: None })
    }
}

/// A source that counts until a GPU's meter covers what it measures.
struct Apart {
    inner: Box<dyn Source>,
    is_within: Arc<AtomicBool>,
}

impl Source for Apart {
    fn channels(&self) -> &[Channel] {
        self.inner.channels()
    }

    fn read(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
        if self.is_within.load(Ordering::Acquire) {
            let at = clock();
            readings.extend((0..self.channels().len()).map(|channel| Reading { channel, at, value: Err(WITHIN) }));
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
    use crate::measurement::source::simulated::Simulated;
    use crate::measurement::source::sysfs::test_tree::TestTree;

    #[test]
    fn a_superchip_by_its_gpu_s_name() {
        for name in ["NVIDIA GH200 480GB", "GH200 144G HBM3e", "NVIDIA GB200", "NVIDIA GB300 NVL72", "nvidia gh200"] {
            assert!(has_gpu(name), "{name}");
        }
        for name in ["NVIDIA H200", "NVIDIA H100 80GB HBM3", "NVIDIA GB10", "NVIDIA GeForce RTX 3090", "GH2000", ""] {
            assert!(!has_gpu(name), "{name}");
        }
    }

    #[test]
    fn a_superchip_by_its_meters_or_its_cores() {
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

    /// A simulated processor is none of the module's; a GPU stands for a real source.
    fn real(kind: DeviceKind) -> Box<dyn Source> {
        struct Real([Channel; 1]);
        impl Source for Real {
            fn channels(&self) -> &[Channel] {
                &self.0
            }
            fn read(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
                readings.push(Reading {
                    channel: 0,
                    at: clock(),
                    value: Ok(crate::measurement::reading::Value::Watts(5.0)),
                });
            }
        }
        let quantity = crate::measurement::channel::Quantity::Power { max_watts: 1e3 };
        Box::new(Real([Channel::new(
            (kind, "test"),
            "x",
            "x",
            crate::measurement::channel::MeasuringMethod::Power,
            quantity,
        )]))
    }

    fn sources(tree: &TestTree) -> Vec<Box<dyn Source>> {
        let device = tree.options("sim_cpu=x:10", &[]).sim_cpu.unwrap();
        vec![Box::new(Simulated::new(DeviceKind::Cpu, &device)), real(DeviceKind::Cpu), real(DeviceKind::Gpu)]
    }

    #[test]
    fn a_processor_is_counted_once_whenever_nvml_answers() {
        let tree = TestTree::new("superchip-once");
        let mut processor = Processor::default();
        assert_eq!(processor.hold(sources(&tree)).len(), 2, "simulated and GPU");
        assert!(processor.waits() && !processor.is_overdue() && processor.until_then().is_some());
        assert!(!processor.is_covered());
        assert!(processor.release().is_err_and(|aside| aside.reason.contains("stands aside")));
        assert!(!processor.waits());

        let mut processor = Processor::default();
        processor.hold(sources(&tree));
        let mut counts = processor.release().ok().unwrap();
        let mut value = || TestTree::values(&mut *counts[0])[0];
        assert!(value().is_ok());
        assert!(processor.is_covered(), "some have counted");
        assert_eq!(value(), Err(WITHIN));
        assert!(processor.release().is_ok_and(|none| none.is_empty()), "nothing is left to say");
    }
}
