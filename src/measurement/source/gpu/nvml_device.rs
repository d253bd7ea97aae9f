//! NVIDIA GPUs being read: a counter (mJ) moves in steps of 20 to 100 ms. Where the energy at an instant is asked
//! for, it is watched until its next step: then its values are known at two instants that are a step apart, with
//! the instant between them.

use super::nvml_error::fault;
use crate::clock::MonoNs;
use crate::measurement::channel::Channel;
use crate::measurement::reading::{Fault, Reading, Value};
use crate::measurement::source::Source;
use crate::measurement::source::sysfs::number_file::middle;
use crate::os::{self, exit};
use nvml_wrapper::Device;
use nvml_wrapper::error::NvmlError;
use std::time::Duration;

/// Power is refreshed every 100 ms: read twice as often, no value is missed.
const POWER_GAP_NS: u64 = 50_000_000;
/// A counter is watched for a step so long at the most, ns.
const LONGEST_WATCH_NS: u64 = 250_000_000;
/// The time of a step is the middle one of so many.
const STEPS_TO_TIME: usize = 3;
/// Looks at a counter in the time of one step.
const LOOKS_A_STEP: u64 = 8;
/// Calls that take longer than this together, ns, are made side by side.
const SLOW_NS: u64 = 4_000_000;
/// How often to look, ns, until the time of a step is known.
const FIRST_LOOK_NS: u64 = 2_000_000;
/// A counter that has not moved for so long, ns, stands still: its power is read as if there were no counter.
const STALL_NS: u64 = 200_000_000;
/// While it moves, the power beside it is read this often, ns,
const BESIDE_GAP_NS: u64 = 1_000_000_000;
/// and where calls are slow less often: once in the time of so many, but not more than this, ns, apart.
const CALLS_BESIDE: u64 = 100;
const LONGEST_BESIDE_NS: u64 = 2_000_000_000;

/// What a GPU's power is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NvmlPower {
    /// nvmlDeviceGetPowerUsage.
    Usage,
    /// A field value, and its scope.
    Field(u32, u32),
}

/// What a GPU is read by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NvmlMeters {
    /// Its energy counter counts.
    pub has_counter: bool,
    /// Its power: beside the counter, or instead.
    pub power: NvmlPower,
    /// It cannot draw more than this, W.
    pub max_watts: f64,
    /// They cover the whole module: processor, GPU and memory.
    pub has_module: bool,
}

/// A GPU being read.
pub struct NvmlGpu {
    device: Device<'static>,
    meters: NvmlMeters,
    /// What its counter showed last, mJ.
    last: Option<u64>,
    /// When it was last seen to move, and when it was last read, ns.
    moved_at: MonoNs,
    read_at: MonoNs,
    /// When the power beside the counter was last read, ns.
    beside_at: MonoNs,
    /// The time between two of its steps, ns, once known.
    step_ns: Option<u64>,
    /// As it was timed, in order of length.
    steps_timed: Vec<u64>,
    /// What its last call took, ns.
    call_ns: u64,
}

/// GPUs that one driver reads.
#[derive(Default)]
pub struct NvmlGpus {
    channels: Vec<Channel>,
    gpus: Vec<NvmlGpu>,
}

impl Source for NvmlGpus {
    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn max_gap_ns(&self) -> u64 {
        if self.gpus.iter().all(|gpu| gpu.meters.has_counter) { u64::MAX } else { POWER_GAP_NS }
    }

    fn has_module(&self) -> bool {
        self.gpus.iter().any(|gpu| gpu.meters.has_module)
    }

    fn checks_counters(&self) -> bool {
        self.gpus.iter().any(|gpu| gpu.meters.has_counter)
    }

    fn read(&mut self, _clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
        let results = self.side_by_side(|gpus| gpus.iter_mut().map(NvmlGpu::read_aged).collect());
        collect(results, readings);
    }

    fn read_at_mark(&mut self, _clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
        let results = self.side_by_side(watch);
        collect(results, readings);
    }
}

/// What one GPU's reading brought: when, and what.
type Results = Vec<(MonoNs, Result<Value, Fault>)>;

fn collect(results: Vec<Results>, readings: &mut Vec<Reading>) {
    for (channel, results) in results.into_iter().enumerate() {
        readings.extend(results.into_iter().map(|(at, value)| Reading { channel, at, value }));
    }
}

impl NvmlGpus {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.gpus.is_empty()
    }

    /// Adds a GPU.
    pub fn add(&mut self, channel: Channel, gpu: NvmlGpu) {
        self.channels.push(channel);
        self.gpus.push(gpu);
    }

    /// Does the work for all GPUs together; where the driver takes so long that by the last one the counter of
    /// the first has moved on, for each on a thread of its own.
    fn side_by_side(&mut self, work: impl Fn(&mut [NvmlGpu]) -> Vec<Results> + Sync) -> Vec<Results> {
        let in_turn: u64 = self.gpus.iter().map(|gpu| gpu.call_ns).sum();
        if self.gpus.len() == 1 || in_turn < SLOW_NS {
            return work(&mut self.gpus);
        }
        let work = &work;
        let results: Vec<Option<Results>> = std::thread::scope(|scope| {
            let quick = || std::thread::Builder::new().name("ct-nvml".into()).stack_size(256 << 10);
            let start = |gpu| quick().spawn_scoped(scope, move || work(gpu)).ok();
            let threads: Vec<_> = self.gpus.chunks_mut(1).map(start).collect();
            threads.into_iter().map(|thread| thread.and_then(|thread| thread.join().ok()?.pop())).collect()
        });
        // Where no thread could be started the work is done here.
        let in_turn = self.gpus.chunks_mut(1).zip(results);
        in_turn.map(|(gpu, results)| results.or_else(|| work(gpu).pop()).unwrap_or_default()).collect()
    }
}

/// Looks at these GPUs' counters until each has moved, or cannot be expected to.
fn watch(gpus: &mut [NvmlGpu]) -> Vec<Results> {
    let start = os::monotonic_ns();
    let mut watches: Vec<Watch> = gpus.iter_mut().map(Watch::start).collect();
    while watches.iter().any(|watch| watch.is_on) && os::monotonic_ns() < start + LONGEST_WATCH_NS {
        let pause = watches.iter().filter(|watch| watch.is_on).map(Watch::pause_ns).min();
        os::pause(Duration::from_nanos(pause.unwrap_or_default()));
        watches.iter_mut().filter(|watch| watch.is_on).for_each(Watch::look);
    }
    watches.into_iter().map(Watch::finish).collect()
}

impl NvmlGpu {
    /// A GPU to be read by these meters.
    pub fn new(device: Device<'static>, meters: NvmlMeters) -> NvmlGpu {
        NvmlGpu {
            device,
            meters,
            last: None,
            moved_at: MonoNs::ZERO,
            read_at: MonoNs::ZERO,
            beside_at: MonoNs::ZERO,
            step_ns: None,
            steps_timed: Vec::new(),
            call_ns: 0,
        }
    }

    fn stands_still(&self) -> bool {
        self.read_at > self.moved_at + STALL_NS
    }

    /// Its count or power, and when that was asked.
    fn read(&mut self) -> (MonoNs, Result<Value, Fault>) {
        if !self.meters.has_counter {
            return self.read_power(Value::Watts);
        }
        let (at, count) = self.ask(Device::total_energy_consumption);
        if let Err(NvmlError::NotSupported) = count {
            // The driver has found out by now: its power counts from here on.
            self.meters.has_counter = false;
            return self.read_power(Value::Watts);
        }
        if let Ok(count) = count {
            self.read_at = at;
            if self.last.replace(count) != Some(count) {
                self.moved_at = at;
            }
        }
        (at, count.map(Value::Count).map_err(|error| fault(&error)))
    }

    /// Its power, and when that was asked.
    fn read_power(&mut self, value: impl Fn(f64) -> Value) -> (MonoNs, Result<Value, Fault>) {
        let power = self.meters.power;
        let (at, watts) = self.ask(|device| match power {
            NvmlPower::Usage => device.power_usage().map(|milliwatts| f64::from(milliwatts) * 1e-3),
            NvmlPower::Field(field, scope) => {
                os::nvml_watts(device, &[(field, scope)])?.pop().unwrap_or(Err(NvmlError::NoData))
            }
        });
        // A counter's own bound allows for its steps, a power's does not.
        match watts {
            Ok(watts) if !(0.0..=self.meters.max_watts).contains(&watts) => (at, Err(Fault::Implausible)),
            watts => (at, watts.map(value).map_err(|error| fault(&error))),
        }
    }

    /// Makes a call of the driver; when that was, and what it answered.
    fn ask<T>(
        &mut self,
        call: impl FnOnce(&Device<'static>) -> Result<T, NvmlError>,
    ) -> (MonoNs, Result<T, NvmlError>) {
        let before = os::monotonic_ns();
        let answer = exit::driver_call(|| call(&self.device)).unwrap_or(Err(NvmlError::Uninitialized));
        self.call_ns = os::monotonic_ns().ns_since(before);
        (before + self.call_ns / 2, answer)
    }

    /// Its count or power for the instant it holds for: a count is half a step old on average. And the power beside it.
    fn read_aged(&mut self) -> Results {
        let (at, value) = self.read();
        let age = self.step_ns.filter(|_| self.meters.has_counter).map_or(0, |step| step / 2);
        std::iter::once((at - age, value)).chain(self.read_beside()).collect()
    }

    /// The power beside the counter, where it is time for that.
    fn read_beside(&mut self) -> Option<(MonoNs, Result<Value, Fault>)> {
        let gap_ns = match self.stands_still() {
            true => POWER_GAP_NS / 2,
            false => (CALLS_BESIDE * self.call_ns).clamp(BESIDE_GAP_NS, LONGEST_BESIDE_NS),
        };
        // As soon as the reading nearest to that time.
        if !self.meters.has_counter || self.read_at < self.beside_at + gap_ns - gap_ns / 16 {
            return None;
        }
        self.beside_at = self.read_at;
        let counted_ns = self.call_ns;
        let (at, value) = self.read_power(Value::Beside);
        self.call_ns = self.call_ns.max(counted_ns);
        value.is_ok().then_some((at, value))
    }
}

/// Watching one GPU's counter for its next step.
struct Watch<'a> {
    gpu: &'a mut NvmlGpu,
    /// The count before the step, as first seen.
    before: (MonoNs, Result<Value, Fault>),
    /// When it was last seen unchanged.
    unchanged_at: MonoNs,
    /// Steps seen: when, and the count from then on.
    steps: Vec<(MonoNs, u64)>,
    /// What ended the watch before its time.
    failed: Option<(MonoNs, Result<Value, Fault>)>,
    is_on: bool,
}

impl<'a> Watch<'a> {
    fn start(gpu: &'a mut NvmlGpu) -> Watch<'a> {
        let before = gpu.read();
        let is_on = matches!(before.1, Ok(Value::Count(_))) && !gpu.stands_still();
        Watch { gpu, before, unchanged_at: before.0, steps: Vec::new(), failed: None, is_on }
    }

    /// How long to wait before the next look; a slow call is wait enough.
    fn pause_ns(&self) -> u64 {
        let look_ns = self.gpu.step_ns.map_or(FIRST_LOOK_NS, |step| (step / LOOKS_A_STEP).max(FIRST_LOOK_NS / 2));
        look_ns.saturating_sub(self.gpu.call_ns)
    }

    /// One step tells the energy where it fell; the first few times a second one tells how far steps are apart.
    fn look(&mut self) {
        let (at, value) = self.gpu.read();
        let Ok(Value::Count(count)) = value else {
            self.failed = Some((at, value));
            self.is_on = false;
            return;
        };
        let last = self.steps.last().map(|(_, count)| Value::Count(*count)).or(self.before.1.ok());
        if last == Some(Value::Count(count)) {
            self.unchanged_at = at;
            return;
        }
        self.steps.push((middle(self.unchanged_at, at), count));
        self.unchanged_at = at;
        if let [(first, _), (second, _)] = self.steps.as_slice() {
            // A look that came late sees steps far apart: the middle of several is true.
            self.gpu.steps_timed.push(second.ns_since(*first));
            self.gpu.steps_timed.sort_unstable();
            self.gpu.step_ns = self.gpu.steps_timed.get((self.gpu.steps_timed.len() - 1) / 2).copied();
        }
        self.is_on = self.steps.len() < 2 && self.gpu.steps_timed.len() < STEPS_TO_TIME;
    }

    fn finish(self) -> Results {
        let (first_at, first) = self.before;
        let before = match (self.steps.first(), self.gpu.step_ns) {
            (Some((step_at, _)), Some(step)) => *step_at - step,
            _ => first_at,
        };
        // It did not move: it holds as long as it was seen to. If it moves no more, it last did before the first look.
        let is_still = self.steps.is_empty() && self.failed.is_none() && first.is_ok() && self.unchanged_at > first_at;
        let still = is_still.then_some((self.unchanged_at, first));
        let steps = self.steps.into_iter().map(|(at, count)| (at, Ok(Value::Count(count))));
        let counts = std::iter::once((before, first)).chain(still).chain(steps).chain(self.failed);
        // Epochs may keep step with the load: a power read at their marks checks no counter.
        let beside = if self.gpu.stands_still() { self.gpu.read_beside() } else { None };
        counts.chain(beside).collect()
    }
}
