//! Simulated devices, whose energy is known.

use crate::kernel::Kernel;
use carbontracker::clock::MonoNs;
use carbontracker::measurement::channel::{Channel, DeviceKind, MeasuringMethod, Quantity};
use carbontracker::measurement::machine::Machine;
use carbontracker::measurement::reading::{Fault, Reading, Value};
use carbontracker::measurement::source::{Opened, Source};
use carbontracker::measurement::source_name::SourceName;
use carbontracker::measurement::sources::Sources;
use std::rc::Rc;

/// What a device's meter does from an instant on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Meter {
    /// It works.
    Works,
    /// Its number stands still.
    Stalls,
    /// The counter restarts at 0 once, then works.
    Restarts,
    /// It reports an absurd number.
    Absurd,
    /// A read does not return.
    Hangs,
    /// The device is lost.
    Lost,
}

/// A device: its power by time, and its meter.
#[derive(Clone, Debug)]
pub struct Device {
    pub kind: DeviceKind,
    pub name: String,
    pub source: SourceName,
    /// The power from each instant on, ns since boot and W. The first is at 0.
    pub power: Vec<(u64, f64)>,
    /// The counter's unit, J. None: the meter reports power.
    pub joules_per_unit: Option<f64>,
    /// The count after which the counter starts again.
    pub range: Option<u64>,
    /// The time between two updates of the meter, ns.
    pub step_ns: u64,
    /// The longest time of a read, ns.
    pub latency_ns: u64,
    /// What the meter does from each instant on.
    pub faults: Vec<(u64, Meter)>,
    pub max_watts: f64,
}

impl Device {
    /// The true energy from boot to an instant, J.
    pub fn joules(&self, at: u64) -> f64 {
        let ends = self.power.iter().skip(1).map(|(from, _)| *from).chain([u64::MAX]);
        self.power
            .iter()
            .zip(ends)
            .map(|((from, watts), to)| watts * (to.min(at).saturating_sub(*from)) as f64 * 1e-9)
            .sum()
    }

    /// The power at an instant, W.
    pub fn watts(&self, at: u64) -> f64 {
        self.power.iter().rev().find(|(from, _)| *from <= at).map_or(0.0, |(_, watts)| *watts)
    }

    /// The time in which reads of it do not return, ns. A device that hangs to the end is not included.
    pub fn hangs_ns(&self) -> u64 {
        let pairs = self.faults.iter().zip(self.faults.iter().skip(1));
        let hangs = pairs.filter(|((_, fault), _)| *fault == Meter::Hangs);
        hangs.map(|((from, _), (to, _))| to.saturating_sub(*from)).sum()
    }

    /// The time in which it is lost or stands still, ns. One that does so to the end is not included.
    pub fn silent_ns(&self) -> u64 {
        let pairs = self.faults.iter().zip(self.faults.iter().skip(1));
        let silent = pairs.filter(|((_, fault), _)| matches!(fault, Meter::Lost | Meter::Stalls));
        silent.map(|((from, _), (to, _))| to.saturating_sub(*from)).sum()
    }

    /// The first instant from `at` on at which it answers with its power, ns since boot. `at` if it never does again.
    pub fn answers_from(&self, at: u64) -> u64 {
        let answers = |fault: Meter| matches!(fault, Meter::Works | Meter::Restarts);
        let mut later = self.faults.iter().filter(|(from, fault)| *from > at && answers(*fault));
        if answers(self.fault(at).1) { at } else { later.next().map_or(at, |(from, _)| *from) }
    }

    fn fault(&self, at: u64) -> (u64, Meter) {
        self.faults.iter().rev().find(|(from, _)| *from <= at).copied().unwrap_or((0, Meter::Works))
    }

    fn channel(&self) -> Channel {
        let max_watts = self.max_watts;
        let (method, quantity) = match self.joules_per_unit {
            Some(joules_per_unit) => {
                (MeasuringMethod::Counter, Quantity::Counter { joules_per_unit, range: self.range, max_watts })
            }
            None => (MeasuringMethod::Power, Quantity::Power { max_watts }),
        };
        Channel::new((self.kind, self.source), self.name.as_str(), self.name.as_str(), method, quantity)
    }
}

/// The kernel, shared with sources. All of a world is on one thread of the system.
#[derive(Clone)]
pub struct SharedKernel(pub Rc<Kernel>);

// SAFETY: a world's threads are coroutines on one thread of the system, so the value never leaves that thread.
unsafe impl Send for SharedKernel {}
// SAFETY: as above.
unsafe impl Sync for SharedKernel {}

/// A source that reads simulated devices.
struct Reads {
    kernel: SharedKernel,
    channels: Vec<Channel>,
    devices: Vec<Device>,
}

impl Source for Reads {
    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn read(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
        for (channel, device) in self.devices.iter().enumerate() {
            let kernel = &self.kernel.0;
            if device.latency_ns > 0 {
                let ns = kernel.rng.borrow_mut().u64(0..=device.latency_ns);
                kernel.sleep(ns);
            }
            if device.fault(kernel.now()).1 == Meter::Hangs {
                let mut ends = device.faults.iter().map(|(from, _)| *from).filter(|from| *from > kernel.now());
                kernel.sleep_until(ends.next().unwrap_or(u64::MAX));
            }
            let at = clock();
            let value = reading(device, kernel.now());
            readings.push(Reading { channel, at, value });
        }
    }
}

/// What a device's meter reports.
fn reading(device: &Device, now: u64) -> Result<Value, Fault> {
    let (since, meter) = device.fault(now);
    let shown_at = match meter {
        Meter::Stalls => since,
        _ => now - now % device.step_ns.max(1),
    };
    if meter == Meter::Lost {
        return Err(Fault::Lost);
    }
    let Some(unit) = device.joules_per_unit else {
        return Ok(Value::Watts(match meter {
            Meter::Absurd => device.max_watts * 1e3,
            Meter::Stalls => 0.0,
            _ => device.watts(shown_at),
        }));
    };
    let restarted_at = device.faults.iter().filter(|(from, fault)| *fault == Meter::Restarts && *from <= now);
    let zero = restarted_at.map(|(from, _)| *from).max().map_or(0.0, |from| device.joules(from));
    let units = ((device.joules(shown_at) - zero) / unit) as u64;
    let count = if meter == Meter::Absurd { units ^ (1 << 40) } else { units };
    Ok(Value::Count(device.range.map_or(count, |range| count % (range + 1))))
}

/// The devices of a machine.
pub struct Devices {
    pub kernel: SharedKernel,
    /// Found by discovery.
    pub parts: Vec<Device>,
    /// Opened through a driver.
    pub gpus: Vec<Device>,
    /// Replacements of stalled sources.
    pub stand_ins: Vec<Device>,
    /// The time that the driver takes to open, ns.
    pub driver_ns: u64,
    /// The time that discovery takes, ns.
    pub discovery_ns: u64,
}

impl Devices {
    fn source(&self, devices: &[Device]) -> Box<dyn Source> {
        let channels = devices.iter().map(Device::channel).collect();
        Box::new(Reads { kernel: self.kernel.clone(), channels, devices: devices.to_vec() })
    }
}

impl Machine for Devices {
    fn discover(&self) -> Sources {
        self.kernel.0.sleep(self.discovery_ns);
        Sources {
            sources: self.parts.iter().map(|one| self.source(std::slice::from_ref(one))).collect(),
            ..Sources::default()
        }
    }

    fn next(&self, kind: DeviceKind, stalled: &[(DeviceKind, SourceName)]) -> Sources {
        let is_left = |device: &&Device| device.kind == kind && !stalled.contains(&(kind, device.source));
        let sources = self.stand_ins.iter().find(is_left).map(|one| self.source(std::slice::from_ref(one)));
        Sources { sources: sources.into_iter().collect(), ..Sources::default() }
    }

    fn has_driver(&self) -> bool {
        !self.gpus.is_empty()
    }

    fn open_driver(&self) -> Opened {
        self.kernel.0.sleep(self.driver_ns);
        (Some(self.source(&self.gpus)), Vec::new())
    }
}
