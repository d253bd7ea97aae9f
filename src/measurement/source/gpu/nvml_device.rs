//! Readings of NVIDIA GPUs. An energy counter (mJ) is updated every 20 to 100 ms. At a mark it is watched until its
//! next update. Its values are then known at two instants, one update apart, with the mark between them.

use super::nvml_error::fault;
use crate::clock::MonoNs;
use crate::measurement::channel::Channel;
use crate::measurement::gpu_shares::GpuShares;
use crate::measurement::reading::{Fault, Reading, Value};
use crate::measurement::source::Source;
use crate::measurement::source::sysfs::number_file::middle;
use crate::os::{self, Promise, exit};
use nvml_wrapper::Device;
use nvml_wrapper::error::NvmlError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The longest time from a driver's reading to its answer, ns.
const MAX_READ_NS: u64 = 50_000_000;
/// Time between two readings of a power, ns. The driver updates it every 100 ms, so no value is missed.
const POWER_GAP_NS: u64 = 50_000_000;
/// Longest time for which a counter is watched for its next update, ns.
const MAX_WATCH_NS: u64 = 250_000_000;
/// Updates whose median gives the time between two updates.
const TIMED_STEPS: usize = 3;
/// Reads of a watched counter between two updates.
const READS_PER_STEP: u64 = 8;
/// GPUs are read in parallel if their calls together take longer than this, ns.
const PARALLEL_CALLS_NS: u64 = 4_000_000;
/// Time between two reads of a watched counter until the time between its updates is known, ns.
const FIRST_READ_GAP_NS: u64 = 2_000_000;
/// A counter that does not change for this time, ns, is stalled. Its power is then read as often as without a counter.
const STALL_NS: u64 = 200_000_000;
/// Time between two readings of the power beside a counter that changes, ns.
const BESIDE_GAP_NS: u64 = 1_000_000_000;
/// That time is at least the duration of this number of calls, so that slow drivers are called less often.
const CALLS_BESIDE: u64 = 100;
/// Time between two readings of the use by each process, ns.
const USE_GAP_NS: u64 = 1_000_000_000;
/// Longest time between two readings of the power beside a counter, ns.
const MAX_BESIDE_GAP_NS: u64 = 2_000_000_000;

/// The call that returns a GPU's power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NvmlPower {
    /// `nvmlDeviceGetPowerUsage`.
    Usage,
    /// A field value: its id and its scope.
    Field(u32, u32),
}

/// The meters of a GPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NvmlMeters {
    /// Whether it has an energy counter.
    pub has_counter: bool,
    /// The power, read beside the counter or instead of it.
    pub power: NvmlPower,
    /// Highest power that is possible, W.
    pub max_watts: f64,
    /// Whether the meters cover the whole module: processor, GPU and memory.
    pub has_module: bool,
}

/// An NVIDIA GPU that is open.
pub struct NvmlGpu {
    device: Device<'static>,
    meters: NvmlMeters,
    /// The counter's last value, mJ.
    last: Option<u64>,
    /// When the counter last changed, ns.
    moved_at: MonoNs,
    /// When the counter was last read, ns.
    read_at: MonoNs,
    /// When the power beside the counter was last read, ns.
    check_read_at: MonoNs,
    /// The time between two updates of the counter, ns. None: not known yet.
    step_ns: Option<u64>,
    /// Measured times between two updates, ns, in ascending order.
    steps_timed: Vec<u64>,
    /// The duration of the last call, ns.
    call_ns: u64,
    /// Where the job's share of the GPU is stored, under its identifier; None: all its energy counts.
    shares: Option<(String, GpuShares)>,
    /// When the use by each process was last read, ns.
    use_read_at: MonoNs,
    /// The newest use that was read, on the driver's clock, µs.
    use_seen_us: Option<u64>,
}

/// The NVIDIA GPUs of a run, as a source.
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
        let results = self.read_all(|gpus| gpus.iter_mut().map(NvmlGpu::read_aged).collect());
        collect(results, readings);
    }

    fn read_at_mark(&mut self, _clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
        let results = self.read_all(watch);
        collect(results, readings);
    }
}

/// The readings of one GPU: time, ns, and value.
type Results = Vec<(MonoNs, Result<Value, Fault>)>;

fn collect(results: Vec<Results>, readings: &mut Vec<Reading>) {
    for (channel, results) in results.into_iter().enumerate() {
        readings.extend(results.into_iter().map(|(at, value)| Reading { channel, at, value }));
    }
}

impl NvmlGpus {
    /// Whether there is no GPU.
    pub fn is_empty(&self) -> bool {
        self.gpus.is_empty()
    }

    /// Adds a GPU and its channel.
    pub fn add(&mut self, channel: Channel, gpu: NvmlGpu) {
        self.channels.push(channel);
        self.gpus.push(gpu);
    }

    /// Reads all GPUs with `work` on this thread. If the driver is slow, each GPU is read on a thread of its own, so
    /// that their readings are from the same time.
    fn read_all(&mut self, work: Work) -> Vec<Results> {
        let in_turn: u64 = self.gpus.iter().map(|gpu| gpu.call_ns).sum();
        if self.gpus.len() == 1 || in_turn < PARALLEL_CALLS_NS {
            return work(&mut self.gpus);
        }
        let errands: Vec<Arc<Errand>> = self.gpus.drain(..).map(Errand::new).collect();
        for errand in errands.iter().skip(1) {
            let errand = Arc::clone(errand);
            let _ = os::spawn_quiet("ct-nvml", move || errand.run(work));
        }
        // A GPU whose thread has not begun, or could not be started, is read here.
        errands.iter().for_each(|errand| errand.run(work));
        let (gpus, results) = errands.iter().map(|errand| errand.done.take()).unzip();
        self.gpus = gpus;
        results
    }
}

/// What reads GPUs.
type Work = fn(&mut [NvmlGpu]) -> Vec<Results>;

/// The reading of one GPU, on whichever thread begins it first.
struct Errand {
    gpu: Mutex<Option<NvmlGpu>>,
    done: Promise<(NvmlGpu, Results)>,
}

impl Errand {
    fn new(gpu: NvmlGpu) -> Arc<Errand> {
        Arc::new(Errand { gpu: Mutex::new(Some(gpu)), done: Promise::default() })
    }

    /// Reads the GPU, unless a thread has begun to. A panic leaves it without readings.
    fn run(&self, work: Work) {
        let gpu = self.gpu.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        if let Some(mut gpu) = gpu {
            let results = catch_unwind(AssertUnwindSafe(|| work(std::slice::from_mut(&mut gpu)).pop()));
            self.done.keep((gpu, results.ok().flatten().unwrap_or_default()));
        }
    }
}

/// Reads the counters of these GPUs until each has been updated, or cannot be expected to be.
fn watch(gpus: &mut [NvmlGpu]) -> Vec<Results> {
    let start = os::monotonic_ns();
    let mut watches: Vec<Watch> = gpus.iter_mut().map(Watch::start).collect();
    while watches.iter().any(|watch| watch.is_on) && os::monotonic_ns() < start + MAX_WATCH_NS {
        let pause = watches.iter().filter(|watch| watch.is_on).map(Watch::pause_ns).min();
        os::pause(Duration::from_nanos(pause.unwrap_or_default()));
        watches.iter_mut().filter(|watch| watch.is_on).for_each(Watch::read);
    }
    watches.into_iter().map(Watch::finish).collect()
}

impl NvmlGpu {
    /// A GPU with these meters, not read yet.
    pub fn new(device: Device<'static>, meters: NvmlMeters) -> NvmlGpu {
        NvmlGpu {
            device,
            meters,
            last: None,
            moved_at: MonoNs::ZERO,
            read_at: MonoNs::ZERO,
            check_read_at: MonoNs::ZERO,
            step_ns: None,
            steps_timed: Vec::new(),
            call_ns: 0,
            shares: None,
            use_read_at: MonoNs::ZERO,
            use_seen_us: None,
        }
    }

    /// Stores the job's share of the GPU under its identifier from now on.
    pub fn share(self, id: &str, shares: Option<&GpuShares>) -> NvmlGpu {
        NvmlGpu { shares: shares.map(|shares| (id.to_owned(), shares.clone())), ..self }
    }

    /// Reads the use by each process if it is time, and stores the job's share. A driver without that figure is not
    /// asked again.
    fn read_use(&mut self) {
        let now = os::monotonic_ns();
        let Some((id, shares)) = self.shares.clone().filter(|(_, shares)| shares.has_members()) else { return };
        if now < self.use_read_at + USE_GAP_NS {
            return;
        }
        self.use_read_at = now;
        let (seen, counted_ns) = (self.use_seen_us, self.call_ns);
        let (_, samples) = self.ask(|device| device.process_utilization_stats(seen));
        self.call_ns = self.call_ns.max(counted_ns);
        match samples {
            Ok(samples) => {
                self.use_seen_us = samples.iter().map(|sample| sample.timestamp).max().max(seen);
                shares.note(&id, samples.iter().map(|sample| (sample.pid, sample.sm_util)));
            }
            // No process has used it since.
            Err(NvmlError::NotFound) => shares.note(&id, std::iter::empty()),
            Err(NvmlError::NotSupported) => self.shares = None,
            Err(_) => (),
        }
    }

    fn is_stalled(&self) -> bool {
        self.read_at > self.moved_at + STALL_NS
    }

    /// Reads the counter, or the power if there is no counter. Returns the time, ns, and the value.
    fn read(&mut self) -> (MonoNs, Result<Value, Fault>) {
        if !self.meters.has_counter {
            return self.read_power(Value::Watts);
        }
        let (at, count) = self.ask(Device::total_energy_consumption);
        if let Err(NvmlError::NotSupported) = count {
            // Some drivers report this only after a while. From here on the power counts.
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

    /// Reads the power. Returns the time, ns, and the value.
    fn read_power(&mut self, value: impl Fn(f64) -> Value) -> (MonoNs, Result<Value, Fault>) {
        let power = self.meters.power;
        let (at, watts) = self.ask(|device| match power {
            NvmlPower::Usage => device.power_usage().map(|milliwatts| f64::from(milliwatts) * 1e-3),
            NvmlPower::Field(field, scope) => {
                os::nvml_watts(device, &[(field, scope)])?.pop().unwrap_or(Err(NvmlError::NoData))
            }
        });
        // The bound of a counter allows for its update steps. A power has no steps, so its own bound is checked here.
        match watts {
            Ok(watts) if !(0.0..=self.meters.max_watts).contains(&watts) => (at, Err(Fault::Implausible)),
            watts => (at, watts.map(value).map_err(|error| fault(&error))),
        }
    }

    /// Calls the driver. Returns the instant of the answer, and the answer. A quick call is dated to its middle. A call
    /// that hangs waits first and reads then, so it is dated to its end, less `MAX_READ_NS`.
    fn ask<T>(
        &mut self,
        call: impl FnOnce(&Device<'static>) -> Result<T, NvmlError>,
    ) -> (MonoNs, Result<T, NvmlError>) {
        let called_at = os::monotonic_ns();
        let answer = exit::driver_call(|| call(&self.device)).unwrap_or(Err(NvmlError::Uninitialized));
        let after = os::monotonic_ns();
        self.call_ns = after.ns_since(called_at);
        (after - (self.call_ns / 2).min(MAX_READ_NS), answer)
    }

    /// Reads the counter or the power, and if it is time the power beside the counter. A count is dated half an update
    /// back, because it is that old on average.
    fn read_aged(&mut self) -> Results {
        let (at, value) = self.read();
        self.read_use();
        let age = self.step_ns.filter(|_| self.meters.has_counter).map_or(0, |step| step / 2);
        std::iter::once((at - age, value)).chain(self.read_check_power()).collect()
    }

    /// Reads the power beside the counter if it is time.
    fn read_check_power(&mut self) -> Option<(MonoNs, Result<Value, Fault>)> {
        let gap_ns = match self.is_stalled() {
            true => POWER_GAP_NS / 2,
            false => (CALLS_BESIDE * self.call_ns).clamp(BESIDE_GAP_NS, MAX_BESIDE_GAP_NS),
        };
        // A sixteenth early is close enough, so that the nearest reading counts.
        if !self.meters.has_counter || self.read_at < self.check_read_at + gap_ns - gap_ns / 16 {
            return None;
        }
        self.check_read_at = self.read_at;
        let counted_ns = self.call_ns;
        let (at, value) = self.read_power(Value::CheckWatts);
        self.call_ns = self.call_ns.max(counted_ns);
        value.is_ok().then_some((at, value))
    }
}

/// A GPU's counter that is watched for its next update.
struct Watch<'a> {
    gpu: &'a mut NvmlGpu,
    /// The first reading: the count before the update.
    first: (MonoNs, Result<Value, Fault>),
    /// When the count was last unchanged, ns.
    unchanged_at: MonoNs,
    /// The updates: time, ns, and the count from then on.
    steps: Vec<(MonoNs, u64)>,
    /// The failed reading that ended the watch.
    failed: Option<(MonoNs, Result<Value, Fault>)>,
    is_on: bool,
}

impl<'a> Watch<'a> {
    fn start(gpu: &'a mut NvmlGpu) -> Watch<'a> {
        let first = gpu.read();
        gpu.read_use();
        let is_on = matches!(first.1, Ok(Value::Count(_))) && !gpu.is_stalled();
        Watch { gpu, first, unchanged_at: first.0, steps: Vec::new(), failed: None, is_on }
    }

    /// Time to wait before the next read, ns. A slow call shortens it.
    fn pause_ns(&self) -> u64 {
        let look_ns =
            self.gpu.step_ns.map_or(FIRST_READ_GAP_NS, |step| (step / READS_PER_STEP).max(FIRST_READ_GAP_NS / 2));
        look_ns.saturating_sub(self.gpu.call_ns)
    }

    /// Reads the counter once. One update ends the watch. The first few watches wait for a second update, to measure
    /// the time between two.
    fn read(&mut self) {
        let (at, value) = self.gpu.read();
        let Ok(Value::Count(count)) = value else {
            self.failed = Some((at, value));
            self.is_on = false;
            return;
        };
        let last = self.steps.last().map(|(_, count)| Value::Count(*count)).or(self.first.1.ok());
        if last == Some(Value::Count(count)) {
            self.unchanged_at = at;
            return;
        }
        self.steps.push((middle(self.unchanged_at, at), count));
        self.unchanged_at = at;
        if let [(first, _), (second, _)] = self.steps.as_slice() {
            // A late read makes this time too long, so the median of several counts.
            self.gpu.steps_timed.push(second.ns_since(*first));
            self.gpu.steps_timed.sort_unstable();
            self.gpu.step_ns = self.gpu.steps_timed.get((self.gpu.steps_timed.len() - 1) / 2).copied();
        }
        self.is_on = self.steps.len() < 2 && self.gpu.steps_timed.len() < TIMED_STEPS;
    }

    fn finish(self) -> Results {
        let (first_at, first) = self.first;
        let counted_at = match (self.steps.first(), self.gpu.step_ns) {
            (Some((step_at, _)), Some(step)) => *step_at - step,
            _ => first_at,
        };
        // Without an update the count is valid up to the last read.
        let is_still = self.steps.is_empty() && self.failed.is_none() && first.is_ok() && self.unchanged_at > first_at;
        let still = is_still.then_some((self.unchanged_at, first));
        let steps = self.steps.into_iter().map(|(at, count)| (at, Ok(Value::Count(count))));
        let counts = std::iter::once((counted_at, first)).chain(still).chain(steps).chain(self.failed);
        // Marks may follow the load, so a power read at marks must not check the counter.
        let check = if self.gpu.is_stalled() { self.gpu.read_check_power() } else { None };
        counts.chain(check).collect()
    }
}
