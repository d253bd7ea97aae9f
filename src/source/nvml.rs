//! NVIDIA GPUs through the driver's management library, NVML: each one's energy counter (mJ since the driver
//! was loaded, Volta and later), else its power.
//!
//! The counter moves in steps of 20 to 100 ms. Where the energy at an instant is asked for, it is watched until
//! its next step: then its values are known at two instants that are a step apart, with the mark between them.

use super::{Opened, Source, Unavailable};
use crate::channel::{Channel, Kind, Method, Quantity};
use crate::host;
use crate::options::Options;
use crate::reading::{Fault, Reading, Value};
use crate::visible::{Picked, Selection};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

const NAME: &str = "nvml";
/// By these names it is looked for where none is given.
const LIBRARIES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];
const NO_LIBRARY_CURE: &str = "install NVIDIA's driver; in a container start it with the GPUs (docker run --gpus all, apptainer exec --nv), \
or name the library by nvml=";
const NO_DRIVER_CURE: &str =
    "see that nvidia-smi works for this user; after a driver update load the new module or reboot";
/// So many times its power limit no GPU draws, however its counter's steps fall between two readings.
const MAX_LIMITS: f64 = 20.0;
/// For a GPU that does not tell its limit, W.
const USUAL_LIMIT_W: f64 = 700.0;
/// A counter is watched for a step so long at the most, ns.
const LONGEST_WATCH_NS: u64 = 130_000_000;
/// Looks at a counter in the time of one step.
const LOOKS_A_STEP: u64 = 8;
/// How often to look, ns, until the time of a step is known.
const FIRST_LOOK_NS: u64 = 2_000_000;
/// Power is refreshed every 100 ms: read twice as often, no value is missed.
const POWER_GAP_NS: u64 = 50_000_000;
/// A counter that has not moved for so long, ns, at more power than this, mW, stands still.
const STALL_NS: u64 = 2_000_000_000;
const STALL_MW: u32 = 1_000;
/// How often to look for this process on a GPU, and how long in all before anybody is asked for patience.
const PROCESS_LOOK: Duration = Duration::from_millis(250);

/// Loads the library and opens the GPUs that are this job's; `is_closed` once nobody wants them any more.
pub fn open(options: &Request, is_closed: &dyn Fn() -> bool) -> Opened {
    let missing =
        |reason: String, cure: Option<&str>| Unavailable { source: NAME, reason, cure: cure.map(str::to_owned) };
    if let Some(said_by) = options.selection.none_by() {
        return (None, vec![missing(format!("{said_by}: this job has no GPU"), None)]);
    }
    let nvml = match load(options.library.as_deref()) {
        Ok(nvml) => nvml,
        Err((why, is_loaded)) => {
            let cure = if is_loaded { NO_DRIVER_CURE } else { NO_LIBRARY_CURE };
            let is_wanted = is_loaded || options.library.is_some() || options.has_hardware;
            return (None, vec![missing(why, Some(cure).filter(|_| is_wanted))]);
        }
    };
    let offered = match offer(nvml) {
        Ok(offered) => offered,
        Err(error) => return (None, vec![missing(format!("counting the GPUs: {error}"), Some(NO_DRIVER_CURE))]),
    };
    let ids: Vec<Vec<String>> = offered.iter().map(|gpu| gpu.ids.clone()).collect();
    let (mut picked, unknown) = options.selection.pick(&ids);
    let mut unavailable: Vec<Unavailable> =
        unknown.into_iter().map(|what| missing(what, Some("nvidia-smi -L lists the GPUs that there are"))).collect();
    if options.selection.process {
        picked = wait_for_process(&offered, &picked, is_closed);
    }
    let names_differ = offered.iter().zip(offered.iter().skip(1)).any(|(a, b)| a.name != b.name);
    let is_ambiguous = names_differ && options.selection.fastest_first && options.selection.has_indices();
    if offered.is_empty() {
        unavailable.push(missing("the driver shows no GPU".into(), None));
    }
    let mut source = NvmlGpus { channels: Vec::new(), gpus: Vec::new() };
    for (place, gpu) in offered.into_iter().enumerate() {
        let Some(one) = picked.iter().find(|one| one.place == place) else { continue };
        let who = format!("GPU {place} ({})", gpu.name);
        match gpu.open(one, is_ambiguous) {
            Ok((channel, gpu)) => {
                source.channels.push(channel);
                source.gpus.push(gpu);
            }
            Err(error) => unavailable.push(missing(format!("{who}: {error}"), Some(NO_DRIVER_CURE))),
        }
    }
    let source = (!source.gpus.is_empty()).then(|| Box::new(source) as Box<dyn Source>);
    (source, unavailable)
}

/// What opening needs of the options, to go along to another thread.
pub struct Request {
    library: Option<OsString>,
    selection: Selection,
    /// There is an NVIDIA GPU, whatever the driver says.
    has_hardware: bool,
}

impl Request {
    /// From the options and what the machine's buses show.
    pub fn new(options: &Options) -> Request {
        Request {
            library: options.nvml.as_ref().map(OsString::from),
            selection: options.gpus.nvidia.clone(),
            has_hardware: has_hardware(&options.sysroot),
        }
    }
}

impl Request {
    /// Whether this job may have GPUs at all.
    pub fn selects_some(&self) -> bool {
        self.selection.none_by().is_none()
    }

    /// Whether to expect that there is one.
    pub fn may_succeed(&self) -> bool {
        self.selects_some() && (self.has_hardware || self.library.is_some())
    }
}

/// Whether a PCI device is NVIDIA's display controller.
fn has_hardware(sysroot: &Path) -> bool {
    let Ok(devices) = std::fs::read_dir(sysroot.join("sys/bus/pci/devices")) else { return false };
    devices.flatten().any(|device| {
        let holds = |file: &str, start: &str| {
            std::fs::read_to_string(device.path().join(file)).is_ok_and(|text| text.starts_with(start))
        };
        holds("vendor", "0x10de") && holds("class", "0x03")
    })
}

/// The library, initialised once a process: a forked child has its own. It is never shut down, since another
/// thread or tracker may be inside. The error says whether the library was found.
fn load(library: Option<&std::ffi::OsStr>) -> Result<&'static Nvml, (String, bool)> {
    type Loaded = (u32, OsString, &'static Nvml);
    static LOADED: Mutex<Vec<Loaded>> = Mutex::new(Vec::new());
    let mut loaded = LOADED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let names: Vec<OsString> = match library {
        Some(library) => vec![library.to_owned()],
        None => LIBRARIES.iter().map(OsString::from).collect(),
    };
    let mut failure = (String::new(), false);
    for name in names {
        let process = std::process::id();
        if let Some((_, _, nvml)) = loaded.iter().find(|(pid, path, _)| *pid == process && *path == name) {
            return Ok(nvml);
        }
        match host::driver_call(|| Nvml::builder().lib_path(&name).init()) {
            Some(Ok(nvml)) => {
                host::drain_driver_calls_at_exit();
                let nvml: &'static Nvml = Box::leak(Box::new(nvml));
                loaded.push((process, name, nvml));
                return Ok(nvml);
            }
            Some(Err(NvmlError::LibloadingError(error))) if failure.0.is_empty() => failure.0 = error.to_string(),
            Some(Err(NvmlError::LibloadingError(_))) => (),
            Some(Err(error)) => failure = (format!("{}: {error}", name.to_string_lossy()), true),
            None => failure.0 = "the process is about to exit".into(),
        }
    }
    Err(failure)
}

/// A GPU that the driver shows.
struct Offered {
    device: Option<Device<'static>>,
    name: String,
    /// Its UUID, then those of its MIG instances.
    ids: Vec<String>,
}

/// All GPUs in the driver's order, which is the PCI bus's. One that cannot be opened keeps its number.
fn offer(nvml: &'static Nvml) -> Result<Vec<Offered>, NvmlError> {
    let call = || {
        let device = |index| {
            let Ok(device) = nvml.device_by_index(index) else {
                return Offered { device: None, name: "not to be opened".into(), ids: Vec::new() };
            };
            let mut ids: Vec<String> = device.uuid().into_iter().collect();
            if device.mig_mode().is_ok_and(|mode| mode.current == MIG_ENABLED) {
                let instances = 0..device.mig_device_count().unwrap_or(0);
                ids.extend(instances.filter_map(|index| device.mig_device_by_index(index).ok()?.uuid().ok()));
            }
            let name = device.name().unwrap_or_else(|_| "NVIDIA GPU".into());
            Offered { device: Some(device), name, ids }
        };
        Ok((0..nvml.device_count()?).map(device).collect())
    };
    host::driver_call(call).unwrap_or(Ok(Vec::new()))
}

const MIG_ENABLED: u32 = 1;

/// Of the GPUs picked those on which this process runs, once there are any.
fn wait_for_process(offered: &[Offered], picked: &[Picked], is_closed: &dyn Fn() -> bool) -> Vec<Picked> {
    let process = std::process::id();
    let runs_on = |one: &&Picked| {
        let device = offered.get(one.place).and_then(|gpu| gpu.device.as_ref());
        let processes = device.and_then(|device| host::driver_call(|| device.running_compute_processes())?.ok());
        processes.is_some_and(|processes| processes.iter().any(|one| one.pid == process))
    };
    loop {
        let running: Vec<Picked> = picked.iter().filter(runs_on).cloned().collect();
        if !running.is_empty() || is_closed() {
            return running;
        }
        std::thread::sleep(PROCESS_LOOK);
    }
}

impl Offered {
    /// Opens it: by its counter if it has one, else by its power.
    fn open(self, picked: &Picked, is_ambiguous: bool) -> Result<(Channel, Gpu), NvmlError> {
        let mut notes: Vec<String> = self.share(picked).into_iter().collect();
        let device = self.device.ok_or(NvmlError::NoPermission)?;
        let call = || -> Result<(bool, f64), NvmlError> {
            let has_counter = device.total_energy_consumption().is_ok();
            if !has_counter {
                device.power_usage()?;
            }
            let limit_w =
                device.enforced_power_limit().map_or(USUAL_LIMIT_W, |milliwatts| f64::from(milliwatts) * 1e-3);
            Ok((has_counter, limit_w))
        };
        let (has_counter, limit_w) = host::driver_call(call).unwrap_or(Err(NvmlError::Uninitialized))?;
        let max_watts = MAX_LIMITS * limit_w.max(1.0);
        let (method, quantity) = if has_counter {
            (Method::Counter, Quantity::Counter { joules_per_unit: 1e-3, range: None, max_watts })
        } else {
            (Method::Power, Quantity::Power)
        };
        if !has_counter {
            notes.push("no energy counter: its power is integrated".into());
        }
        if is_ambiguous {
            notes.push(
                "chosen by number, and the GPUs differ: CUDA may number them otherwise; set CUDA_DEVICE_ORDER=PCI_BUS_ID or give UUIDs"
                    .into(),
            );
        }
        let channel = Channel {
            kind: Kind::Gpu,
            device: self.name,
            id: self.ids.into_iter().next().unwrap_or_else(|| format!("nvml-{}", picked.place)),
            source: NAME,
            method,
            quantity,
            simulated: false,
            note: (!notes.is_empty()).then(|| notes.join("; ")),
        };
        Ok((channel, Gpu { device, has_counter, last: None, moved_at: 0, step_ns: None }))
    }

    /// Where parts of it are this job's: which, and how large they are.
    fn share(&self, picked: &Picked) -> Option<String> {
        const SLICES: u32 = 7;
        let device = self.device.as_ref()?;
        let is_part = |id: &&String| self.ids.iter().skip(1).any(|mig| mig.starts_with(id.as_str()));
        let parts: Vec<&String> = picked.ids.iter().filter(is_part).collect();
        if parts.is_empty() {
            return None;
        }
        let slices = |part: &&&String| {
            let instances =
                (0..device.mig_device_count().ok()?).filter_map(|index| device.mig_device_by_index(index).ok());
            let instance =
                instances.into_iter().find(|mig| mig.uuid().is_ok_and(|uuid| uuid.starts_with(part.as_str())))?;
            Some(instance.attributes().ok()?.gpu_instance_slice_count)
        };
        let known: Option<u32> = host::driver_call(|| parts.iter().map(|part| slices(&part)).sum())?;
        let names: Vec<&str> = parts.iter().map(|part| part.as_str()).collect();
        let share = known.map_or(String::new(), |slices| format!(", {slices} of {SLICES} slices"));
        Some(format!("the whole GPU is counted, of which this job has {}{share}", names.join(", ")))
    }
}

/// A GPU being read.
struct Gpu {
    device: Device<'static>,
    has_counter: bool,
    /// When its counter was last read, ns, and what it said, mJ.
    last: Option<(u64, u64)>,
    /// When it was last seen to move.
    moved_at: u64,
    /// The time between two of its steps, ns, once known.
    step_ns: Option<u64>,
}

struct NvmlGpus {
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

    fn read(&mut self, clock: &dyn Fn() -> u64, readings: &mut Vec<Reading>) {
        for (channel, gpu) in self.gpus.iter_mut().enumerate() {
            let (at, value) = gpu.read(clock);
            // A count is half a step old on average.
            let age = gpu.step_ns.filter(|_| gpu.has_counter).map_or(0, |step| step / 2);
            readings.push(Reading { channel, at: at.saturating_sub(age), value });
        }
    }

    fn read_at_mark(&mut self, clock: &dyn Fn() -> u64, readings: &mut Vec<Reading>) {
        let start = clock();
        let mut watches: Vec<Watch> =
            self.gpus.iter_mut().enumerate().map(|(channel, gpu)| Watch::start(channel, gpu, clock)).collect();
        while watches.iter().any(|watch| watch.is_on) && clock() < start + LONGEST_WATCH_NS {
            let on = watches.iter().filter(|watch| watch.is_on);
            let pause = on.map(Watch::pause_ns).min().unwrap_or(FIRST_LOOK_NS);
            std::thread::sleep(Duration::from_nanos(pause));
            watches.iter_mut().filter(|watch| watch.is_on).for_each(|watch| watch.look(clock));
        }
        watches.into_iter().for_each(|watch| watch.finish(readings));
    }
}

impl Gpu {
    /// Its count or power, and when that was asked.
    fn read(&mut self, clock: &dyn Fn() -> u64) -> (u64, Result<Value, Fault>) {
        let before = clock();
        let device = &self.device;
        let call = || {
            if self.has_counter {
                device.total_energy_consumption().map(Value::Count)
            } else {
                device.power_usage().map(|milliwatts| Value::Watts(f64::from(milliwatts) * 1e-3))
            }
        };
        let value = host::driver_call(call).unwrap_or(Err(NvmlError::Uninitialized)).map_err(|error| fault(&error));
        let at = super::number_file::middle(before, clock());
        match value {
            Ok(Value::Count(count)) => (at, self.moving(at, count).map(Value::Count)),
            other => (at, other),
        }
    }

    /// The count, unless it stands still while the GPU draws power.
    fn moving(&mut self, at: u64, count: u64) -> Result<u64, Fault> {
        if self.last.is_none_or(|(_, last)| last != count) {
            self.moved_at = at;
        }
        self.last = Some((at, count));
        let stands_still = at > self.moved_at + STALL_NS;
        if stands_still
            && host::driver_call(|| self.device.power_usage()).is_some_and(|power| power.is_ok_and(|mw| mw > STALL_MW))
        {
            return Err(Fault::Stalled);
        }
        Ok(count)
    }
}

/// Watching one GPU's counter for its next step.
struct Watch<'a> {
    channel: usize,
    gpu: &'a mut Gpu,
    /// The count before the step, as first seen.
    before: (u64, Result<Value, Fault>),
    /// When it was last seen unchanged.
    unchanged_at: u64,
    /// Steps seen: when, and the count from then on.
    steps: Vec<(u64, u64)>,
    is_on: bool,
}

impl<'a> Watch<'a> {
    fn start(channel: usize, gpu: &'a mut Gpu, clock: &dyn Fn() -> u64) -> Watch<'a> {
        let before = gpu.read(clock);
        let is_on = matches!(before.1, Ok(Value::Count(_)));
        Watch { channel, gpu, before, unchanged_at: before.0, steps: Vec::new(), is_on }
    }

    fn pause_ns(&self) -> u64 {
        self.gpu.step_ns.map_or(FIRST_LOOK_NS, |step| (step / LOOKS_A_STEP).max(FIRST_LOOK_NS / 2))
    }

    /// One step tells the energy where it fell; the very first time a second one tells how far steps are apart.
    fn look(&mut self, clock: &dyn Fn() -> u64) {
        let (at, value) = self.gpu.read(clock);
        let Ok(Value::Count(count)) = value else {
            self.is_on = false;
            return;
        };
        let last = self.steps.last().map(|(_, count)| Value::Count(*count)).or(self.before.1.ok());
        if last == Some(Value::Count(count)) {
            self.unchanged_at = at;
            return;
        }
        self.steps.push((super::number_file::middle(self.unchanged_at, at), count));
        self.unchanged_at = at;
        if let [(first, _), .., (last, _)] = self.steps.as_slice() {
            self.gpu.step_ns = Some(last - first);
        }
        self.is_on = self.gpu.step_ns.is_none();
    }

    fn finish(self, readings: &mut Vec<Reading>) {
        let channel = self.channel;
        let mut push = |at, value| readings.push(Reading { channel, at, value });
        match (self.steps.first(), self.gpu.step_ns) {
            (Some((first, _)), Some(step)) => push(first - step.min(*first), self.before.1),
            (Some(_), None) => push(self.before.0, self.before.1),
            // It did not move, or cannot be read: it holds as long as it was seen to.
            (None, _) => push(self.unchanged_at, self.before.1),
        }
        self.steps.into_iter().for_each(|(at, count)| push(at, Ok(Value::Count(count))));
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
