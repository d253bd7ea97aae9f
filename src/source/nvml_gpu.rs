//! NVIDIA GPUs being read: a counter (mJ) moves in steps of 20 to 100 ms. Where the energy at an instant is asked
//! for, it is watched until its next step: then its values are known at two instants that are a step apart, with
//! the instant between them.

use super::Source;
use super::number_file::middle;
use crate::channel::Channel;
use crate::host::{self, exit};
use crate::reading::{Fault, Reading, Value};
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
/// A counter that has not moved for so long, ns, at more power than this, mW, stands still.
const STALL_NS: u64 = 200_000_000;
const STALL_MW: u32 = 1_000;

/// A GPU being read.
pub struct Gpu {
    device: Device<'static>,
    has_counter: bool,
    /// When its counter was last read, ns, and what it said, mJ.
    last: Option<(u64, u64)>,
    /// When it was last seen to move.
    moved_at: u64,
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
    gpus: Vec<Gpu>,
}

impl Source for NvmlGpus {
    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn max_gap_ns(&self) -> u64 {
        if self.gpus.iter().all(|gpu| gpu.has_counter) { u64::MAX } else { POWER_GAP_NS }
    }

    fn read(&mut self, _clock: &dyn Fn() -> u64, readings: &mut Vec<Reading>) {
        let results = self.side_by_side(|gpus| gpus.iter_mut().map(|gpu| vec![gpu.read_aged()]).collect());
        collect(results, readings);
    }

    fn read_at_mark(&mut self, _clock: &dyn Fn() -> u64, readings: &mut Vec<Reading>) {
        let results = self.side_by_side(watch);
        collect(results, readings);
    }
}

/// What one GPU's reading brought: when, and what.
type Results = Vec<(u64, Result<Value, Fault>)>;

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
    pub fn add(&mut self, channel: Channel, gpu: Gpu) {
        self.channels.push(channel);
        self.gpus.push(gpu);
    }

    /// Does the work for all GPUs together; where the driver takes so long that by the last one the counter of
    /// the first has moved on, for each on a thread of its own.
    fn side_by_side(&mut self, work: impl Fn(&mut [Gpu]) -> Vec<Results> + Sync) -> Vec<Results> {
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
fn watch(gpus: &mut [Gpu]) -> Vec<Results> {
    let start = host::monotonic_ns();
    let mut watches: Vec<Watch> = gpus.iter_mut().map(Watch::start).collect();
    while watches.iter().any(|watch| watch.is_on) && host::monotonic_ns() < start + LONGEST_WATCH_NS {
        let pause = watches.iter().filter(|watch| watch.is_on).map(Watch::pause_ns).min();
        host::pause(Duration::from_nanos(pause.unwrap_or_default()));
        watches.iter_mut().filter(|watch| watch.is_on).for_each(Watch::look);
    }
    watches.into_iter().map(Watch::finish).collect()
}

impl Gpu {
    /// A GPU to be read by its counter, or by its power.
    pub fn new(device: Device<'static>, has_counter: bool) -> Gpu {
        Gpu { device, has_counter, last: None, moved_at: 0, step_ns: None, steps_timed: Vec::new(), call_ns: 0 }
    }

    /// Its count or power, and when that was asked.
    fn read(&mut self) -> (u64, Result<Value, Fault>) {
        let before = host::monotonic_ns();
        let device = &self.device;
        let call = || {
            if self.has_counter {
                device.total_energy_consumption().map(Value::Count)
            } else {
                device.power_usage().map(|milliwatts| Value::Watts(f64::from(milliwatts) * 1e-3))
            }
        };
        let value = exit::driver_call(call).unwrap_or(Err(NvmlError::Uninitialized)).map_err(|error| fault(&error));
        self.call_ns = host::monotonic_ns() - before;
        let at = before + self.call_ns / 2;
        match value {
            Ok(Value::Count(count)) => (at, self.moving(at, count).map(Value::Count)),
            other => (at, other),
        }
    }

    /// The same, for the instant the count holds for: it is half a step old on average.
    fn read_aged(&mut self) -> (u64, Result<Value, Fault>) {
        let (at, value) = self.read();
        let age = self.step_ns.filter(|_| self.has_counter).map_or(0, |step| step / 2);
        (at.saturating_sub(age), value)
    }

    /// The count, unless it stands still while the GPU draws power.
    fn moving(&mut self, at: u64, count: u64) -> Result<u64, Fault> {
        if self.last.is_none_or(|(_, last)| last != count) {
            self.moved_at = at;
        }
        self.last = Some((at, count));
        let stands_still = at > self.moved_at + STALL_NS;
        if stands_still
            && exit::driver_call(|| self.device.power_usage()).is_some_and(|power| power.is_ok_and(|mw| mw > STALL_MW))
        {
            return Err(Fault::Stalled);
        }
        Ok(count)
    }
}

/// Watching one GPU's counter for its next step.
struct Watch<'a> {
    gpu: &'a mut Gpu,
    /// The count before the step, as first seen.
    before: (u64, Result<Value, Fault>),
    /// When it was last seen unchanged.
    unchanged_at: u64,
    /// Steps seen: when, and the count from then on.
    steps: Vec<(u64, u64)>,
    /// What ended the watch before its time.
    failed: Option<(u64, Result<Value, Fault>)>,
    is_on: bool,
}

impl<'a> Watch<'a> {
    fn start(gpu: &'a mut Gpu) -> Watch<'a> {
        let before = gpu.read();
        let is_on = matches!(before.1, Ok(Value::Count(_)));
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
            self.gpu.steps_timed.push(second - first);
            self.gpu.steps_timed.sort_unstable();
            self.gpu.step_ns = self.gpu.steps_timed.get((self.gpu.steps_timed.len() - 1) / 2).copied();
        }
        self.is_on = self.steps.len() < 2 && self.gpu.steps_timed.len() < STEPS_TO_TIME;
    }

    fn finish(self) -> Results {
        let before = match (self.steps.first(), self.gpu.step_ns) {
            (Some((first, _)), Some(step)) => first.saturating_sub(step),
            (Some(_), None) => self.before.0,
            (None, _) if self.before.1.is_err() || self.failed.is_some() => self.before.0,
            // It did not move: it holds as long as it was seen to.
            (None, _) => self.unchanged_at,
        };
        let steps = self.steps.into_iter().map(|(at, count)| (at, Ok(Value::Count(count))));
        std::iter::once((before, self.before.1)).chain(steps).chain(self.failed).collect()
    }
}

fn fault(error: &NvmlError) -> Fault {
    match error {
        NvmlError::GpuLost => Fault::Lost,
        NvmlError::NoPermission => Fault::Denied,
        NvmlError::NotSupported => Fault::Driver("the driver does not support it any more"),
        NvmlError::Uninitialized | NvmlError::DriverNotLoaded => Fault::Driver("the driver has been unloaded"),
        NvmlError::Timeout => Fault::Driver("the driver took too long"),
        _ => Fault::Driver("the driver answers with an error"),
    }
}
