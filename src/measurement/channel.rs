//! What is measured: the kinds of component, and one device's line in the books.

use super::source_name::SourceName;
use crate::sanitize;

/// What a channel measures. A node contains its parts; the parts do not overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// Processor packages.
    Cpu,
    /// Graphics and other accelerators.
    Gpu,
    /// Memory.
    Dram,
    /// The whole node, where only that is metered.
    Node,
}

impl DeviceKind {
    /// All kinds, in the report's order.
    pub const ALL: [DeviceKind; 4] = [DeviceKind::Cpu, DeviceKind::Gpu, DeviceKind::Dram, DeviceKind::Node];

    /// What its energy is called.
    pub fn joules(self) -> &'static str {
        match self {
            DeviceKind::Cpu => "cpu_j",
            DeviceKind::Gpu => "gpu_j",
            DeviceKind::Dram => "dram_j",
            DeviceKind::Node => "node_j",
        }
    }

    /// Its name in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            DeviceKind::Cpu => "cpu",
            DeviceKind::Gpu => "gpu",
            DeviceKind::Dram => "dram",
            DeviceKind::Node => "node",
        }
    }
}

/// How a channel's energy is obtained.
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
    /// All of them.
    pub const ALL: [MeasuringMethod; 3] = [MeasuringMethod::Counter, MeasuringMethod::Power, MeasuringMethod::Estimate];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            MeasuringMethod::Counter => "counter",
            MeasuringMethod::Power => "power",
            MeasuringMethod::Estimate => "estimate",
        }
    }
}

/// What a channel's raw numbers mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quantity {
    /// A count of energy that only grows, but for its wrap.
    Counter {
        /// Energy of one unit, J.
        joules_per_unit: f64,
        /// Where it starts again from 0, in units; None: it does not.
        range: Option<u64>,
        /// More than this, W, no such device can draw: what tells a wrap from a reset.
        max_watts: f64,
    },
    /// Power, to be integrated.
    Power {
        /// More than this, W, no such device can draw: a power above it is a fault.
        max_watts: f64,
    },
}

impl Quantity {
    /// Whether such a device can draw this power, W. NaN and negative powers are none.
    pub fn allows(self, watts: f64) -> bool {
        let (Quantity::Counter { max_watts, .. } | Quantity::Power { max_watts }) = self;
        watts.is_finite() && (0.0..=max_watts).contains(&watts)
    }
}

/// How far off an estimate may be: in nine cases of ten the truth lies between these multiples of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorBand {
    /// The truth is at least so many times the estimate.
    pub low: f64,
    /// It is at most so many times the estimate.
    pub high: f64,
}

/// One thing measured: a package, a memory domain, a GPU.
#[derive(Clone, Debug)]
pub struct Channel {
    /// What kind of component it is.
    pub kind: DeviceKind,
    /// The device, as a person knows it.
    pub device: String,
    /// The device, as the system knows it; tells two alike apart.
    pub id: String,
    /// The source's name.
    pub source: SourceName,
    /// How its energy is obtained.
    pub method: MeasuringMethod,
    /// What its readings mean.
    pub quantity: Quantity,
    /// Not a real device.
    pub simulated: bool,
    /// The device may use nothing for seconds. Where false, a reading that stays 0 or stands still is a fault.
    pub may_rest: bool,
    /// Its energy contains the memory's.
    pub has_memory: bool,
    /// How far off it may be; None: a measurement.
    pub error: Option<ErrorBand>,
    /// What a reader of the report should know.
    pub note: Option<String>,
}

impl Channel {
    /// A real device's, without a note. Its names come from drivers and files: they are cleaned here.
    pub fn new(
        (kind, source): (DeviceKind, SourceName),
        device: impl Into<String>,
        id: impl Into<String>,
        method: MeasuringMethod,
        quantity: Quantity,
    ) -> Channel {
        let (device, id) = (sanitize::text(device), sanitize::text(id));
        let may_rest = method == MeasuringMethod::Estimate;
        let (simulated, has_memory) = (false, false);
        Channel { kind, device, id, source, method, quantity, simulated, may_rest, has_memory, error: None, note: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_s_names_are_cleaned() {
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
    fn a_device_draws_from_nothing_to_its_most() {
        let quantity = Quantity::Power { max_watts: 5.0 };
        let allowed = [-0.1, f64::NAN, f64::INFINITY, 5.1, 0.0, 5.0].map(|watts| quantity.allows(watts));
        assert_eq!(allowed, [false, false, false, false, true, true]);
        assert!(!Quantity::Power { max_watts: f64::INFINITY }.allows(f64::INFINITY));
    }
}
