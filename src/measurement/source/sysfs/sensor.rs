//! Sensors of energy and power under /sys, and the source that is made of them: graphics cards and the kernel's
//! hardware monitors (Documentation/hwmon/sysfs-interface.rst: energy in µJ, power in µW, voltage in mV, current
//! in mA).

use super::number_file::{self, NumberFile};
use crate::clock::MonoNs;
use crate::measurement::channel::{Channel, DeviceKind, MeasuringMethod, Quantity};
use crate::measurement::gpu_selection::Absence;
use crate::measurement::reading::{Fault, Reading, Value};
use crate::measurement::source::{MIN_GAP_NS, Opened, Source, Unavailable};
use crate::os;
use std::path::{Path, PathBuf};

/// No card draws more than this, W: the largest are sold at 1,400 W, with peaks of twice that.
pub const MAX_GPU_W: f64 = 3000.0;
/// Nor does one sensor of a processor or a module: a rack of them is fed by 100 kW.
pub const MAX_MODULE_W: f64 = 20_000.0;
/// What has only a power is read ten times a second; twice as often tells nothing new.
const POWER_GAPS_NS: (u64, u64) = (50_000_000, 100_000_000);
/// Counters of 32 bits below, which the kernel follows as long as it is asked: one wraps in 4 minutes at 1 kW
/// (linux/drivers/gpu/drm/xe/xe_hwmon.c).
const ENERGY_GAPS_NS: (u64, u64) = (MIN_GAP_NS, 60_000_000_000);
/// A counter that has not moved for so long, ns, may stand still: the power beside it is wanted.
const STILL_NS: u64 = 150_000_000;
/// A power that only checks a counter is read five times a second.
const CHECKED_GAPS_NS: (u64, u64) = (MIN_GAP_NS, 200_000_000);

const ZERO: Fault = Fault::Driver("it says 0: there is no sensor behind it");
const UNREAD_CURE: &str = "see what the file holds and who may read it, then create the tracker again";
const ASLEEP_CURE: &str = "the card sleeps and is counted from when it wakes; to have it counted from the start, keep it awake: \
echo on | sudo tee /sys/class/drm/card*/device/power/control";

/// What is read, and in which unit.
enum SensorUnit {
    /// µJ since some moment.
    MicroJoules(NumberFile),
    /// A power; the second is one of its units, W.
    Watts(NumberFile, f64),
    /// mV and mA.
    Product(PathBuf, PathBuf),
}

/// A sensor, and what its numbers mean.
pub struct Sensor {
    path: PathBuf,
    unit: SensorUnit,
    quantity: Quantity,
    /// The power that the same device reports beside its counter, µW.
    beside: Option<NumberFile>,
    /// The last count, and when it was first read, ns.
    counted: Option<(Value, MonoNs)>,
    /// See [`Channel::may_rest`].
    may_rest: bool,
    /// What it said on opening, until it is asked for.
    first: Option<(MonoNs, Value)>,
}

/// A sensor that does not answer, and why.
pub struct Silent {
    /// The sensor.
    pub sensor: Box<Sensor>,
    /// Why.
    pub fault: Fault,
}

impl Sensor {
    /// A counter in µJ.
    pub fn energy(path: PathBuf, max_watts: f64) -> Sensor {
        let unit = SensorUnit::MicroJoules(NumberFile::unopened(path.clone()));
        let quantity = Quantity::Counter { joules_per_unit: 1e-6, range: None, max_watts };
        Sensor::new(path, unit, quantity)
    }

    /// A power, in units of so many W.
    pub fn power(path: PathBuf, watts: f64, max_watts: f64) -> Sensor {
        let unit = SensorUnit::Watts(NumberFile::unopened(path.clone()), watts);
        Sensor::new(path, unit, Quantity::Power { max_watts })
    }

    /// A voltage, mV, times a current, mA.
    pub fn product(volts: PathBuf, amps: PathBuf, max_watts: f64) -> Sensor {
        let (path, unit) = (amps.clone(), SensorUnit::Product(volts, amps));
        Sensor::new(path, unit, Quantity::Power { max_watts })
    }

    fn new(path: PathBuf, unit: SensorUnit, quantity: Quantity) -> Sensor {
        Sensor { path, unit, quantity, may_rest: false, beside: None, counted: None, first: None }
    }

    /// Has a counter checked by the first of these powers, in µW, that is there.
    pub fn beside(self, powers: impl IntoIterator<Item = PathBuf>) -> Sensor {
        let beside = powers.into_iter().find(|path| path.exists()).map(NumberFile::unopened);
        Sensor { beside, ..self }
    }

    /// The same sensor of a device that may use nothing for seconds.
    pub fn resting(self) -> Sensor {
        Sensor { may_rest: true, ..self }
    }

    /// Reads it once.
    pub fn open(mut self) -> Result<Sensor, Silent> {
        let (at, value) = self.measure(&os::monotonic_ns);
        match value {
            // Some versions of amdgpu print an error number as an unsigned power of 4.29 kW: others may answer better.
            Ok(Value::Watts(watts)) if !self.quantity.allows(watts) => {
                Err(Silent { sensor: Box::new(self), fault: Fault::Implausible })
            }
            Ok(value) => {
                self.first = Some((at, value));
                Ok(self)
            }
            Err(fault) => Err(Silent { sensor: Box::new(self), fault }),
        }
    }

    /// The first of these that answers. A file that says 0 has no sensor behind it, unless the device may rest: one that
    /// runs uses some power. Where none answers, the first that is there, else the last.
    pub fn first_of(candidates: impl IntoIterator<Item = Sensor>) -> Option<Result<Sensor, Silent>> {
        let mut silent: Option<Silent> = None;
        for candidate in candidates {
            let failed = match candidate.open() {
                Ok(sensor) if sensor.says_zero() && !sensor.may_rest => {
                    Silent { sensor: Box::new(sensor), fault: ZERO }
                }
                Ok(sensor) => return Some(Ok(sensor)),
                Err(failed) => failed,
            };
            if silent.as_ref().is_none_or(|before| before.fault == Fault::Gone) {
                silent = Some(failed);
            }
        }
        silent.map(Err)
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn says_zero(&self) -> bool {
        matches!(self.first, Some((_, Value::Count(0) | Value::Watts(0.0))))
    }

    /// Its value now, or the one that opening read, and the instant it holds for.
    fn reading(&mut self, clock: &dyn Fn() -> MonoNs) -> (MonoNs, Result<Value, Fault>) {
        match self.first.take() {
            Some((at, value)) => (at, Ok(value)),
            None => self.measure(clock),
        }
    }

    fn measure(&mut self, clock: &dyn Fn() -> MonoNs) -> (MonoNs, Result<Value, Fault>) {
        let (at, watts) = match &mut self.unit {
            SensorUnit::MicroJoules(file) => {
                let (at, count) = file.stamped(clock);
                return (at, count.map(Value::Count));
            }
            SensorUnit::Watts(file, unit) => {
                let (at, number) = file.stamped(clock);
                (at, number.map(|number| number as f64 * *unit))
            }
            SensorUnit::Product(volts, amps) => {
                let before = clock();
                let (volts, amps) = (signed(volts), signed(amps));
                let at = number_file::middle(before, clock());
                // A current below 0 is an idle rail's offset.
                (at, volts.and_then(|volts| Ok(volts as f64 * amps?.max(0) as f64 * 1e-6)))
            }
        };
        (at, watts.map(Value::Watts))
    }

    /// Takes note of when its count moved.
    fn note(&mut self, at: MonoNs, value: Result<Value, Fault>) {
        if let Some(value) = value.ok().filter(|value| self.counted.is_none_or(|(last, _)| last != *value)) {
            self.counted = Some((value, at));
        }
    }

    fn stands_still(&self, at: MonoNs) -> bool {
        self.counted.is_some_and(|(_, moved_at)| at > moved_at + STILL_NS)
    }

    fn read_beside(&mut self, channel: usize, clock: &dyn Fn() -> MonoNs) -> Option<Reading> {
        let (at, microwatts) = self.beside.as_mut()?.stamped(clock);
        Some(Reading { channel, at, value: Ok(Value::Beside(microwatts.ok()? as f64 * 1e-6)) })
    }

    fn is_power(&self) -> bool {
        matches!(self.quantity, Quantity::Power { .. })
    }
}

impl Silent {
    /// Whether it has no sensor at all, as opposed to one that fails: its file is missing, answers that this is
    /// not supported, or says nothing that could be true.
    pub fn is_absent(&self) -> bool {
        const NOT_SUPPORTED: i32 = 95;
        matches!(self.fault, Fault::Gone | Fault::Os(NOT_SUPPORTED) | Fault::Implausible | ZERO)
    }

    /// Why, with its file.
    pub fn reason(&self) -> String {
        format!("{}: {}", self.sensor.path.display(), self.fault)
    }
}

/// A number with a sign, in a file of its own.
pub fn signed(path: &Path) -> Result<i64, Fault> {
    let text = number_file::text(path)?;
    if text.is_empty() { Err(Fault::Empty) } else { text.parse().map_err(|_| Fault::Garbage) }
}

/// What a sensor measures, in the words of a channel.
pub struct SensorDevice {
    /// What kind of component it is.
    pub kind: DeviceKind,
    /// As a person knows it.
    pub device: String,
    /// As the system knows it.
    pub id: String,
    /// Its energy contains the memory's.
    pub has_memory: bool,
    /// What a reader of the report should know.
    pub notes: Vec<String>,
}

/// A source made of sensors.
pub struct Sensors {
    name: &'static str,
    channels: Vec<Channel>,
    sensors: Vec<Sensor>,
    waiting: Vec<(Channel, Sensor)>,
    unavailable: Vec<Unavailable>,
}

impl Sensors {
    /// None yet.
    pub fn new(name: &'static str) -> Sensors {
        Sensors { name, channels: Vec::new(), sensors: Vec::new(), waiting: Vec::new(), unavailable: Vec::new() }
    }

    /// Something that does not take part.
    pub fn leave_out(&mut self, reason: String, cure: Option<&str>) {
        self.unavailable.push(Unavailable { source: self.name, reason, cure: cure.map(str::to_owned) });
    }

    /// Takes a sensor in; one that does not answer waits.
    pub fn add(&mut self, device: SensorDevice, sensor: Result<Sensor, Silent>) {
        match sensor {
            Ok(sensor) => {
                self.channels.push(self.channel(device, &sensor));
                self.sensors.push(sensor);
            }
            Err(silent) => {
                let cure = match (device.kind, silent.fault) {
                    // A card's files are readable to all: a refusal is its answer while it sleeps (amdgpu since Linux 6.15).
                    (DeviceKind::Gpu, Fault::Denied) => ASLEEP_CURE.to_owned(),
                    (_, Fault::Denied) => {
                        format!("let this user read it: sudo chmod a+r {}", silent.sensor.path.display())
                    }
                    _ => UNREAD_CURE.to_owned(),
                };
                self.leave_out(silent.reason(), Some(&cure));
                self.waiting.push((self.channel(device, &silent.sensor), *silent.sensor));
            }
        }
    }

    fn channel(&self, device: SensorDevice, sensor: &Sensor) -> Channel {
        let method = if sensor.is_power() { MeasuringMethod::Power } else { MeasuringMethod::Counter };
        let SensorDevice { kind, device, id, has_memory, notes } = device;
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        let channel = Channel::new((kind, self.name), device, id, method, sensor.quantity);
        Channel { note, has_memory, may_rest: sensor.may_rest, ..channel }
    }

    /// The source, if anything takes part. Those that wait take part too where `waits`, or where others answer:
    /// then the report shows what it lacks.
    pub fn finish(mut self, waits: bool) -> Opened {
        if waits || !self.sensors.is_empty() {
            for (channel, sensor) in std::mem::take(&mut self.waiting) {
                self.channels.push(channel);
                self.sensors.push(sensor);
            }
        }
        let unavailable = std::mem::take(&mut self.unavailable);
        let source = (!self.sensors.is_empty()).then(|| Box::new(self) as Box<dyn Source>);
        (source, unavailable)
    }

    fn gaps_ns(&self) -> (u64, u64) {
        if self.sensors.iter().any(Sensor::is_power) {
            POWER_GAPS_NS
        } else if self.sensors.iter().any(|sensor| sensor.beside.is_some()) {
            CHECKED_GAPS_NS
        } else {
            ENERGY_GAPS_NS
        }
    }
}

impl Source for Sensors {
    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn read(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
        for (channel, sensor) in self.sensors.iter_mut().enumerate() {
            let (at, value) = sensor.reading(clock);
            readings.push(Reading { channel, at, value });
            sensor.note(at, value);
            readings.extend(sensor.read_beside(channel, clock));
        }
    }

    /// Epochs may keep step with the load: a power read at their marks checks no counter.
    fn read_at_mark(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
        for (channel, sensor) in self.sensors.iter_mut().enumerate() {
            let (at, value) = sensor.reading(clock);
            readings.push(Reading { channel, at, value });
            sensor.note(at, value);
            if sensor.stands_still(at) {
                readings.extend(sensor.read_beside(channel, clock));
            }
        }
    }

    fn checks_counters(&self) -> bool {
        self.sensors.iter().any(|sensor| sensor.beside.is_some())
    }

    fn min_gap_ns(&self) -> u64 {
        self.gaps_ns().0
    }

    fn max_gap_ns(&self) -> u64 {
        self.gaps_ns().1
    }
}

/// The answer to devices=process where the kernel does not tell.
pub fn by_process(source: &'static str) -> Unavailable {
    let cure = "use devices=visible or a list".to_owned();
    Unavailable {
        source,
        reason: "devices=process: nobody says which of these GPUs run a process".into(),
        cure: Some(cure),
    }
}

/// The answer where the job has none of these GPUs.
pub fn none(source: &'static str, why: &Absence) -> Opened {
    (None, vec![Unavailable { source, reason: why.reason.clone(), cure: why.cure.clone() }])
}

/// One thing only: this source does not take part.
pub fn absent(source: &'static str, reason: impl Into<String>) -> Opened {
    (None, vec![Unavailable { source, reason: reason.into(), cure: None }])
}
