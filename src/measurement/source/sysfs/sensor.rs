//! Sensors of energy and power under /sys, and a source made of such sensors. Graphics cards and hardware monitors use
//! it (Documentation/hwmon/sysfs-interface.rst: energy in µJ, power in µW, voltage in mV, current in mA).

use super::number_file::{self, NumberFile};
use crate::clock::MonoNs;
use crate::measurement::channel::{Channel, DeviceKind, MeasuringMethod, Quantity};
use crate::measurement::gpu_selection::Absence;
use crate::measurement::reading::{Fault, Reading, Value};
use crate::measurement::source::{MIN_GAP_NS, Opened, Source};
use crate::measurement::source_name::SourceName;
use crate::measurement::unavailable::Unavailable;
use crate::os;
use std::path::{Path, PathBuf};

/// The most power of a card, W. The largest are rated at 1,400 W, with peaks of twice that.
pub const MAX_GPU_W: f64 = 3000.0;
/// The most power at one sensor of a processor or a module, W. A whole rack of them gets 100 kW.
pub const MAX_MODULE_W: f64 = 20_000.0;
/// The shortest and the longest time between two readings of a power, ns. More frequent readings add nothing.
const POWER_GAPS_NS: (u64, u64) = (50_000_000, 100_000_000);
/// The shortest and the longest time between two readings of a counter, ns. Under it is a counter of 32 bits, which
/// wraps in 4 minutes at 1 kW. The kernel extends it only if it is read in time (linux/drivers/gpu/drm/xe/xe_hwmon.c).
const ENERGY_GAPS_NS: (u64, u64) = (MIN_GAP_NS, 60_000_000_000);
/// A counter that has not changed for this long, ns, may have stopped. Its device's power is then read too.
const UNCHANGED_NS: u64 = 150_000_000;
/// The shortest and the longest time between two readings of a counter that a power checks, ns.
const CHECKED_GAPS_NS: (u64, u64) = (MIN_GAP_NS, 200_000_000);

const ZERO: Fault = Fault::Driver("it reads 0: no sensor seems to be connected");
const UNREAD_CURE: &str = "check the content and the permissions of the file, then create the tracker again";
const ASLEEP_CURE: &str = "the card sleeps and is counted from when it wakes; to count it from the start, keep it awake: \
echo on | sudo tee /sys/class/drm/card*/device/power/control";

/// The files of a sensor, with their unit.
enum SensorUnit {
    /// An energy since an unknown instant, µJ.
    MicroJoules(NumberFile),
    /// A power, and the size of its unit, W.
    Watts(NumberFile, f64),
    /// The files of a voltage, mV, and a current, mA.
    Product(PathBuf, PathBuf),
}

/// A sensor of energy or power.
pub struct Sensor {
    path: PathBuf,
    unit: SensorUnit,
    quantity: Quantity,
    /// The power, µW, that the device shows in addition to its counter. It checks the counter.
    check_power: Option<NumberFile>,
    /// The last count, and the instant at which it was first read, ns.
    counted: Option<(Value, MonoNs)>,
    /// See [`Channel::may_rest`].
    may_rest: bool,
    /// The reading on opening, until it is returned.
    first: Option<(MonoNs, Value)>,
}

/// A sensor that does not answer.
pub struct Silent {
    /// The sensor.
    pub sensor: Box<Sensor>,
    /// The reason.
    pub fault: Fault,
}

impl Sensor {
    /// A sensor with a counter in µJ.
    pub fn energy(path: PathBuf, max_watts: f64) -> Sensor {
        let unit = SensorUnit::MicroJoules(NumberFile::unopened(path.clone()));
        let quantity = Quantity::Counter { joules_per_unit: 1e-6, range: None, max_watts };
        Sensor::new(path, unit, quantity)
    }

    /// A sensor with a power in units of `watts`, W.
    pub fn power(path: PathBuf, watts: f64, max_watts: f64) -> Sensor {
        let unit = SensorUnit::Watts(NumberFile::unopened(path.clone()), watts);
        Sensor::new(path, unit, Quantity::Power { max_watts })
    }

    /// A sensor of a voltage, mV, and a current, mA. Their product is the power.
    pub fn product(volts: PathBuf, amps: PathBuf, max_watts: f64) -> Sensor {
        let (path, unit) = (amps.clone(), SensorUnit::Product(volts, amps));
        Sensor::new(path, unit, Quantity::Power { max_watts })
    }

    fn new(path: PathBuf, unit: SensorUnit, quantity: Quantity) -> Sensor {
        Sensor { path, unit, quantity, may_rest: false, check_power: None, counted: None, first: None }
    }

    /// Sets the power that checks the counter: the first of these files that exists, in µW.
    pub fn checked_by(self, powers: impl IntoIterator<Item = PathBuf>) -> Sensor {
        let check_power = powers.into_iter().find(|path| path.exists()).map(NumberFile::unopened);
        Sensor { check_power, ..self }
    }

    /// Marks that the device's power may be 0 for seconds.
    pub fn resting(self) -> Sensor {
        Sensor { may_rest: true, ..self }
    }

    /// Reads the sensor once. Fails if it does not answer with a possible value.
    pub fn open(mut self) -> Result<Sensor, Silent> {
        let (at, value) = self.measure(&os::monotonic_ns);
        match value {
            // Some versions of amdgpu print an error number as an unsigned power of 4.29 kW.
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

    /// The first candidate that answers. A file that reads 0 is taken to have no sensor, unless the device may rest,
    /// because a running device uses some power. If none answers, the first candidate with a file, otherwise the last.
    pub fn first_of(candidates: impl IntoIterator<Item = Sensor>) -> Option<Result<Sensor, Silent>> {
        let mut silent: Option<Silent> = None;
        for candidate in candidates {
            let failed = match candidate.open() {
                Ok(sensor) if sensor.is_zero() && !sensor.may_rest => Silent { sensor: Box::new(sensor), fault: ZERO },
                Ok(sensor) => return Some(Ok(sensor)),
                Err(failed) => failed,
            };
            if silent.as_ref().is_none_or(|before| before.fault == Fault::Gone) {
                silent = Some(failed);
            }
        }
        silent.map(Err)
    }

    /// The sensor's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn is_zero(&self) -> bool {
        matches!(self.first, Some((_, Value::Count(0) | Value::Watts(0.0))))
    }

    /// The instant, ns, and the value of the reading on opening or, after that, of a new one.
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
                // A negative current is the offset of an idle rail.
                (at, volts.and_then(|volts| Ok(volts as f64 * amps?.max(0) as f64 * 1e-6)))
            }
        };
        (at, watts.map(Value::Watts))
    }

    /// Records the instant at which the count changed.
    fn note(&mut self, at: MonoNs, value: Result<Value, Fault>) {
        if let Some(value) = value.ok().filter(|value| self.counted.is_none_or(|(last, _)| last != *value)) {
            self.counted = Some((value, at));
        }
    }

    fn is_unchanged(&self, at: MonoNs) -> bool {
        self.counted.is_some_and(|(_, changed_at)| at > changed_at + UNCHANGED_NS)
    }

    fn read_check_power(&mut self, channel: usize, clock: &dyn Fn() -> MonoNs) -> Option<Reading> {
        let (at, microwatts) = self.check_power.as_mut()?.stamped(clock);
        Some(Reading { channel, at, value: Ok(Value::CheckWatts(microwatts.ok()? as f64 * 1e-6)) })
    }

    fn is_power(&self) -> bool {
        matches!(self.quantity, Quantity::Power { .. })
    }
}

impl Silent {
    /// Whether there is no sensor, as opposed to one that fails: the file is missing, returns "not supported", reads 0
    /// or an impossible value.
    pub fn is_absent(&self) -> bool {
        const NOT_SUPPORTED: i32 = 95;
        matches!(self.fault, Fault::Gone | Fault::Os(NOT_SUPPORTED) | Fault::Implausible | ZERO)
    }

    /// The file and the reason, for a message.
    pub fn reason(&self) -> String {
        format!("{}: {}", self.sensor.path.display(), self.fault)
    }
}

/// The number with a sign in a file.
pub fn signed(path: &Path) -> Result<i64, Fault> {
    let text = number_file::text(path)?;
    if text.is_empty() { Err(Fault::Empty) } else { text.parse().map_err(|_| Fault::Garbage) }
}

/// The description of a sensor's device, for its channel.
pub struct SensorDevice {
    /// The kind of component.
    pub kind: DeviceKind,
    /// The name for people.
    pub device: String,
    /// The identifier of the system.
    pub id: String,
    /// Whether its energy contains the memory's.
    pub has_memory: bool,
    /// Notes for the reader of the report.
    pub notes: Vec<String>,
}

/// A source made of sensors.
pub struct Sensors {
    name: SourceName,
    channels: Vec<Channel>,
    sensors: Vec<Sensor>,
    waiting: Vec<(Channel, Sensor)>,
    unavailable: Vec<Unavailable>,
}

impl Sensors {
    /// A source without sensors.
    pub fn new(name: SourceName) -> Sensors {
        Sensors { name, channels: Vec::new(), sensors: Vec::new(), waiting: Vec::new(), unavailable: Vec::new() }
    }

    /// Lists something as unavailable, with the reason and the fix.
    pub fn leave_out(&mut self, reason: String, cure: Option<&str>) {
        self.unavailable.push(Unavailable { source: self.name, reason, cure: cure.map(str::to_owned) });
    }

    /// Adds a sensor. One that does not answer is kept waiting until [`Sensors::finish`].
    pub fn add(&mut self, device: SensorDevice, sensor: Result<Sensor, Silent>) {
        match sensor {
            Ok(sensor) => {
                self.channels.push(self.channel(device, &sensor));
                self.sensors.push(sensor);
            }
            Err(silent) => {
                let cure = match (device.kind, silent.fault) {
                    // All users may read a card's files. A refusal means that the card sleeps (amdgpu since Linux
                    // 6.15).
                    (DeviceKind::Gpu, Fault::Denied) => ASLEEP_CURE.to_owned(),
                    (_, Fault::Denied) => {
                        format!("allow this user to read it: sudo chmod a+r {}", silent.sensor.path.display())
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

    /// The source, if it has sensors. Waiting sensors take part too if `waits` is set or others answer, so that the
    /// report lists them as missing.
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
        } else if self.sensors.iter().any(|sensor| sensor.check_power.is_some()) {
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
            readings.extend(sensor.read_check_power(channel, clock));
        }
    }

    /// Reads without the powers that check counters, because epochs may be in step with the load. A power at a mark is
    /// then not representative. It is read only if the counter has not changed for a while.
    fn read_at_mark(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
        for (channel, sensor) in self.sensors.iter_mut().enumerate() {
            let (at, value) = sensor.reading(clock);
            readings.push(Reading { channel, at, value });
            sensor.note(at, value);
            if sensor.is_unchanged(at) {
                readings.extend(sensor.read_check_power(channel, clock));
            }
        }
    }

    fn checks_counters(&self) -> bool {
        self.sensors.iter().any(|sensor| sensor.check_power.is_some())
    }

    fn min_gap_ns(&self) -> u64 {
        self.gaps_ns().0
    }

    fn max_gap_ns(&self) -> u64 {
        self.gaps_ns().1
    }
}

/// The reason for devices=process if the kernel does not show which processes use a GPU.
pub fn by_process(source: SourceName) -> Unavailable {
    let cure = "use devices=visible or a list".to_owned();
    Unavailable {
        source,
        reason: "devices=process: the processes of these GPUs are not known".into(),
        cure: Some(cure),
    }
}

/// A source that does not take part because the job has no such GPU.
pub fn none(source: SourceName, why: &Absence) -> Opened {
    (None, vec![Unavailable { source, reason: why.reason.clone(), cure: why.cure.clone() }])
}

/// A source that does not take part, for a reason that needs no fix.
pub fn absent(source: SourceName, reason: impl Into<String>) -> Opened {
    (None, vec![Unavailable { source, reason: reason.into(), cure: None }])
}
