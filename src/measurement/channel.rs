//! A channel: one measured device, its kind, its measuring method and the meaning of its readings.

use super::source_name::SourceName;
use crate::sanitize;

use crate::units::ErrorBand;

/// The note of an estimate that covers the whole machine. The summary of the command finds such estimates by it.
pub const WHOLE_MACHINE: &str = "all programs on the machine together";

/// The kind of component. A node contains the other kinds; those do not overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// Processor packages.
    Cpu,
    /// Graphics and other accelerators.
    Gpu,
    /// Memory.
    Dram,
    /// The whole node.
    Node,
}

impl DeviceKind {
    /// All kinds, in the order of the report.
    pub const ALL: [DeviceKind; 4] = [DeviceKind::Cpu, DeviceKind::Gpu, DeviceKind::Dram, DeviceKind::Node];

    /// The name of its energy in reports and journals.
    pub fn joules(self) -> &'static str {
        match self {
            DeviceKind::Cpu => "cpu_j",
            DeviceKind::Gpu => "gpu_j",
            DeviceKind::Dram => "dram_j",
            DeviceKind::Node => "node_j",
        }
    }

    /// The name in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            DeviceKind::Cpu => "cpu",
            DeviceKind::Gpu => "gpu",
            DeviceKind::Dram => "dram",
            DeviceKind::Node => "node",
        }
    }
}

/// The way in which a channel's energy is obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeasuringMethod {
    /// The difference of an energy counter.
    Counter,
    /// Power, integrated over time.
    Power,
    /// A model of the device.
    Estimate,
}

impl MeasuringMethod {
    /// All methods.
    pub const ALL: [MeasuringMethod; 3] = [MeasuringMethod::Counter, MeasuringMethod::Power, MeasuringMethod::Estimate];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            MeasuringMethod::Counter => "counter",
            MeasuringMethod::Power => "power",
            MeasuringMethod::Estimate => "estimate",
        }
    }
}

/// The meaning of a channel's readings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quantity {
    /// A counter of energy: it grows until it wraps.
    Counter {
        /// Energy of one unit, J.
        joules_per_unit: f64,
        /// The count after which it starts again from 0, in units; None: it does not wrap.
        range: Option<u64>,
        /// Most power that such a device can draw, W. It distinguishes a wrap from a reset.
        max_watts: f64,
    },
    /// A power, which is integrated.
    Power {
        /// Most power that such a device can draw, W. A higher power is a fault.
        max_watts: f64,
    },
}

impl Quantity {
    /// Whether such a device can draw this power, W; false for NaN and negative powers.
    pub fn allows(self, watts: f64) -> bool {
        let (Quantity::Counter { max_watts, .. } | Quantity::Power { max_watts }) = self;
        watts.is_finite() && (0.0..=max_watts).contains(&watts)
    }
}

/// One measured device: a package, a memory domain or a GPU.
#[derive(Clone, Debug)]
pub struct Channel {
    /// The kind of component.
    pub kind: DeviceKind,
    /// The name of the device in reports.
    pub device: String,
    /// The identifier of the device in the system; it distinguishes devices of one name.
    pub id: String,
    /// The name of the source that reads it.
    pub source: SourceName,
    /// The measuring method.
    pub method: MeasuringMethod,
    /// The meaning of its readings.
    pub quantity: Quantity,
    /// Whether it is not a real device.
    pub simulated: bool,
    /// Whether the device may use no energy for seconds. If not, a power of 0 or a still counter is a fault.
    pub may_rest: bool,
    /// Whether its energy contains the memory's.
    pub has_memory: bool,
    /// The error band of an estimate; None: it is measured.
    pub error: Option<ErrorBand>,
    /// The part of the device that is this job's (MIG), 0 to 1. None: all of it, or unknown.
    pub job_part: Option<f64>,
    /// A note for readers of the report.
    pub note: Option<String>,
}

impl Channel {
    /// The channel of a real device, without a note. Names come from drivers and files, so they are cleaned here.
    pub fn new(
        (kind, source): (DeviceKind, SourceName),
        device: impl Into<String>,
        id: impl Into<String>,
        method: MeasuringMethod,
        quantity: Quantity,
    ) -> Channel {
        Channel {
            kind,
            device: sanitize::text(device),
            id: sanitize::text(id),
            source,
            method,
            quantity,
            simulated: false,
            may_rest: method == MeasuringMethod::Estimate,
            has_memory: false,
            error: None,
            job_part: None,
            note: None,
        }
    }

    /// The usual time between two updates of the device's figure, ns: a reading may be that old. 0: it is no older than
    /// the reading. RAPL updates its counters each millisecond (Hähnel and others: Measuring energy consumption for
    /// short code paths using RAPL, 2012), NVIDIA's driver and Cray's node ten times a second, Linux a processor's load
    /// at each tick.
    pub fn step_ns(&self) -> u64 {
        const MS: u64 = 1_000_000;
        match self.source {
            SourceName::Rapl | SourceName::PerfRapl => MS,
            SourceName::CpuModel => 10 * MS,
            SourceName::Nvml | SourceName::PmCounters => 100 * MS,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_drivers_are_cleaned() {
        let quantity = Quantity::Power { max_watts: 1.0 };
        let channel = Channel::new(
            (DeviceKind::Gpu, SourceName::Nvml),
            "\u{1b}[31mX\n",
            "GPU-\u{9b}",
            MeasuringMethod::Power,
            quantity,
        );
        assert_eq!((channel.device.as_str(), channel.id.as_str()), (" [31mX ", "GPU- "));
    }

    #[test]
    fn a_power_is_allowed_from_0_to_the_most() {
        let quantity = Quantity::Power { max_watts: 5.0 };
        let allowed = [-0.1, f64::NAN, f64::INFINITY, 5.1, 0.0, 5.0].map(|watts| quantity.allows(watts));
        assert_eq!(allowed, [false, false, false, false, true, true]);
        assert!(!Quantity::Power { max_watts: f64::INFINITY }.allows(f64::INFINITY));
    }
}
