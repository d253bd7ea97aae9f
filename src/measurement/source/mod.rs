//! Where energy is read: the sources' common shape, and which of them take part.

pub mod background;
pub mod cpu;
pub mod gpu;
pub mod node;
#[cfg(test)]
mod recorded;
pub mod simulated;
pub mod sysfs;

pub use super::discover::{Discovery, Sources};
pub use super::intake::{Arrived, Intake};
pub use background::{IN_TIME, Opened, Opening, Waker};
pub use gpu::nvml::start as start_nvml;

use super::channel::Channel;
use super::reading::{Reading, Value};
use crate::clock::MonoNs;

/// Readings closer together than this, ns, are one: a counter moves in steps of a millisecond or more,
/// and a host may mark millions of epochs a second.
pub const MIN_GAP_NS: u64 = 10_000_000;

/// The sources by name.
pub const NAMES: [&str; 11] = [
    "rapl",
    "perf_rapl",
    "nvml",
    "amdgpu",
    "intel_gpu",
    "hwmon",
    "pm_counters",
    "battery",
    "cpu_model",
    "memory_model",
    "simulated",
];

/// Something that can be read. Reading happens on one thread at a time, under no lock.
pub trait Source: Send {
    /// What it measures; the order numbers [`Reading::channel`].
    fn channels(&self) -> &[Channel];

    /// Reads every channel into `readings`, each stamped by `clock`; a channel with nothing new yet is left out.
    fn read(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>);

    /// As `read`, where the energy at this very instant is asked for: an epoch has begun or ended.
    fn read_at_mark(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
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

    /// Whether a GPU's meter here covers the whole module: processor, GPU and memory.
    fn has_module(&self) -> bool {
        false
    }

    /// Whether it passes on powers by which counters are checked: its readings are not to keep step with the load.
    fn checks_counters(&self) -> bool {
        false
    }

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

/// Reads counter files one after the other, each stamped at the middle of its own reading.
fn read_counters(
    files: &mut [sysfs::number_file::NumberFile],
    clock: &dyn Fn() -> MonoNs,
    readings: &mut Vec<Reading>,
) {
    for (channel, file) in files.iter_mut().enumerate() {
        let (at, number) = file.stamped(clock);
        readings.push(Reading { channel, at, value: number.map(Value::Count) });
    }
}
