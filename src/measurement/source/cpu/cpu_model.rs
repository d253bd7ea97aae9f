//! Estimates the energy of processors without a readable counter, from their busy cores and their model's power.

use super::processor::{self, PowerFigure};
use super::utilisation::Utilisation;
use crate::clock::MonoNs;
use crate::measurement::channel::{Channel, DeviceKind, MeasuringMethod, Quantity};
use crate::measurement::config::{MeasurementConfig, Scope};
use crate::measurement::reading::{Reading, Value};
use crate::measurement::source::{Opened, Source};
use crate::measurement::source_name::SourceName;
use crate::measurement::unavailable::Unavailable;
use crate::units::ErrorBand;

const NAME: SourceName = SourceName::CpuModel;

struct CpuModel {
    channel: [Channel; 1],
    busy: Utilisation,
    figure: PowerFigure,
    /// The instant of the last reading, ns.
    last: Option<MonoNs>,
    /// The power since the last reading, W.
    watts: f64,
    /// The energy since the first reading, µJ.
    energy_uj: f64,
}

/// Opens the estimate. It identifies the processor and the share of it that this process may use.
pub fn open(options: &MeasurementConfig) -> Opened {
    let opened = match options.scope {
        Scope::Device => Utilisation::open(&options.sysroot),
        Scope::Job => Utilisation::of_machine(&options.sysroot),
    };
    let busy = match opened {
        Ok(busy) => busy,
        Err(fault) => {
            let reason = format!("{}: {fault}", options.sysroot.join("proc/stat").display());
            let cure = "mount /proc, or set sysroot=".to_owned();
            return (None, vec![Unavailable { source: NAME, reason, cure: Some(cure) }]);
        }
    };
    let figure = processor::identify(&options.sysroot, &busy);
    let id = busy.processor_list().map_or("cpu-model".into(), |cpus| format!("cpu-model:{cpus}"));
    let mut channel = channel((DeviceKind::Cpu, NAME), &figure.device, &id);
    // A share of a machine is less certain than the whole, because other programs use the same package.
    let whole = figure.band;
    let part = processor::PART_BAND;
    let shared = ErrorBand { low: whole.low.min(part.low), high: whole.high.max(part.high) };
    let band = if busy.share() < 1.0 { shared } else { whole };
    let basis = format!("estimate from busy cores and {}", figure.basis);
    channel.note = Some(format!("{basis}; {}; {}", band_note(band), busy.scope_note()));
    channel.error = Some(band);
    channel.has_memory = figure.has_memory;
    (Some(Box::new(CpuModel { channel: [channel], busy, figure, last: None, watts: 0.0, energy_uj: 0.0 })), Vec::new())
}

/// The channel of an estimate, which counts in µJ.
pub fn channel(kind: (DeviceKind, SourceName), device: &str, id: &str) -> Channel {
    let quantity = Quantity::Counter { joules_per_unit: 1e-6, range: None, max_watts: 100_000.0 };
    Channel::new(kind, device, id, MeasuringMethod::Estimate, quantity)
}

/// A note on the error of an estimate.
pub fn band_note(band: ErrorBand) -> String {
    format!("the truth is between {} and {} times this in nine cases of ten", band.low, band.high)
}

impl Source for CpuModel {
    fn channels(&self) -> &[Channel] {
        &self.channel
    }

    fn read(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
        let at = clock();
        let value = self.busy.recent(at).map(|busy| {
            if let Some(busy) = busy {
                self.watts = self.figure.watts * self.figure.draw.of(self.busy.share(), busy);
            }
            let last = self.last.replace(at).unwrap_or(at);
            self.energy_uj += self.watts * at.ns_since(last) as f64 * 1e-3;
            Value::Count(self.energy_uj as u64)
        });
        readings.push(Reading { channel: 0, at, value });
    }
}

#[cfg(test)]
#[path = "cpu_model/tests.rs"]
mod tests;
