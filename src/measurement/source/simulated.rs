//! A device of constant power for trials without hardware (options `sim_cpu` and `sim_gpu`).

use super::Source;
use crate::clock::MonoNs;
use crate::measurement::channel::{Channel, DeviceKind, MeasuringMethod, Quantity};
use crate::measurement::config::SimulatedDevice;
use crate::measurement::reading::{Reading, Value};
use crate::measurement::source_name::SourceName;

/// A device with the constant power watts × utilisation.
pub struct Simulated {
    channel: [Channel; 1],
    watts: f64,
}

impl Simulated {
    /// The device that the option describes.
    pub fn new(kind: DeviceKind, device: &SimulatedDevice) -> Self {
        let watts = device.watts * device.utilisation;
        let (name, id) = (device.name.as_str(), format!("simulated-{}", kind.name()));
        let quantity = Quantity::Power { max_watts: watts };
        let channel = Channel {
            simulated: true,
            may_rest: true,
            note: Some(format!("simulated: {} W at utilisation {}", device.watts, device.utilisation)),
            ..Channel::new((kind, SourceName::Simulated), name, id, MeasuringMethod::Power, quantity)
        };
        Simulated { channel: [channel], watts }
    }
}

impl Source for Simulated {
    fn channels(&self) -> &[Channel] {
        &self.channel
    }

    fn read(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
        readings.push(Reading { channel: 0, at: clock(), value: Ok(Value::Watts(self.watts)) });
    }
}
