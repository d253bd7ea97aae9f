//! NVIDIA GPUs through the driver's management library, NVML: each one's energy counter (mJ since the driver
//! was loaded, Volta and later), else its power.

use super::nvml_gpu::{Gpu, NvmlGpus};
use super::{Opened, Opening, Source, Unavailable, Waker, number_file};
use crate::channel::{Channel, Kind, Method, Quantity};
use crate::clean;
use crate::host::{self, OwnTable, exit};
use crate::options::Options;
use crate::visible::{Picked, Selection};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use std::ffi::{OsStr, OsString};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
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
/// A limit outside these, W, is taken as unknown: no GPU runs on 1 W, and none is allowed 10 kW.
const LIMITS_W: RangeInclusive<f64> = 1.1..=10_000.0;
/// For a GPU whose limit is not known, W.
const USUAL_LIMIT_W: f64 = 700.0;
/// The most GPUs, MIG instances of a GPU and processes on a GPU that a driver can report.
const MOST_GPUS: u32 = 64;
const MOST_INSTANCES: u32 = 16;
const MOST_PROCESSES: u32 = 1024;
/// How often to look for this process on a GPU.
const PROCESS_LOOK: Duration = Duration::from_millis(250);

/// Starts to open the GPUs on a thread of their own. Call it on the application's thread: the driver's library keeps
/// descriptors that the application may share with it. None: no real GPU is asked for.
pub fn start(options: &Options, waker: Waker, table: Arc<OwnTable>) -> Option<std::io::Result<Opening>> {
    if options.sim_gpu.is_some() || !options.components.contains(&Kind::Gpu) {
        return None;
    }
    let request = Request::new(options);
    let (until_then, fills_in) = (request.until_then(), !request.waits_for_process());
    let open = move |is_closed: &dyn Fn() -> bool| {
        let found = Found::look(&request, &table);
        drop(table);
        open(&request, found, is_closed)
    };
    Some(Opening::start(until_then, fills_in, "ct-nvml", waker, open))
}

/// What is found out in our own table of descriptors, before the driver is called in the application's.
struct Found {
    /// Why the library cannot be loaded.
    absence: Option<String>,
    /// Whether there is hardware that would need it.
    has_hardware: bool,
}

impl Found {
    /// Looks for the library, whose file is opened for that, and for hardware. It also gives this thread the room that its
    /// process has, which is found out by reading files.
    fn look(request: &Request, table: &OwnTable) -> Found {
        let (names, sysroot) = (names(request.library.as_deref()), request.sysroot.clone());
        let look = move || {
            let failures: Vec<String> = names.iter().map_while(|name| host::load_library(name).err()).collect();
            let absence = failures.first().filter(|_| failures.len() == names.len()).cloned();
            let has_hardware = absence.is_some() && has_hardware(&sysroot);
            (Found { absence, has_hardware }, host::room_for_this_thread())
        };
        let Ok(Some((found, room))) = table.run("ct-preload", look) else {
            return Found { absence: None, has_hardware: false };
        };
        room.into_iter().for_each(|set| set.apply_to_this_thread());
        found
    }
}

/// Opens the GPUs that are this job's; `is_closed` once nobody wants them any more.
fn open(options: &Request, found: Found, is_closed: &dyn Fn() -> bool) -> Opened {
    let missing =
        |reason: String, cure: Option<&str>| Unavailable { source: NAME, reason, cure: cure.map(str::to_owned) };
    if let Some(why) = options.selection.none() {
        return (None, vec![missing(why.reason.clone(), why.cure.as_deref())]);
    }
    if let Some(why) = found.absence {
        let is_wanted = options.library.is_some() || found.has_hardware;
        return (None, vec![missing(why, Some(NO_LIBRARY_CURE).filter(|_| is_wanted))]);
    }
    let nvml = match load(options.library.as_deref()) {
        Ok(nvml) => nvml,
        Err(why) => return (None, vec![missing(why, Some(NO_DRIVER_CURE))]),
    };
    let sick = |why: String| (None, vec![missing(why, Some(NO_DRIVER_CURE))]);
    let offered = match offer(nvml) {
        Ok(offered) => offered,
        Err(why) => return sick(why),
    };
    let ids: Vec<Vec<String>> = offered.iter().map(|gpu| gpu.ids.clone()).collect();
    let (mut picked, unknown) = options.selection.pick(&ids);
    let mut unavailable: Vec<Unavailable> =
        unknown.into_iter().map(|what| missing(what, Some("nvidia-smi -L lists the GPUs that there are"))).collect();
    if options.selection.process {
        picked = match wait_for_process(&offered, &picked, is_closed) {
            Ok(picked) => picked,
            Err(why) => return sick(why),
        };
    }
    let names_differ = offered.iter().zip(offered.iter().skip(1)).any(|(a, b)| a.name != b.name);
    let is_ambiguous = names_differ && options.selection.fastest_first && options.selection.has_indices();
    if offered.is_empty() {
        unavailable.push(missing("the driver shows no GPU".into(), None));
    }
    let mut source = NvmlGpus::default();
    for (place, gpu) in offered.into_iter().enumerate() {
        let Some(one) = picked.iter().find(|one| one.place == place) else { continue };
        let who = format!("GPU {place} ({})", gpu.name);
        match gpu.open(one, is_ambiguous) {
            Ok((channel, gpu)) => source.add(channel, gpu),
            Err(error) => unavailable.push(missing(format!("{who}: {error}"), Some(NO_DRIVER_CURE))),
        }
    }
    let source = (!source.is_empty()).then(|| Box::new(source) as Box<dyn Source>);
    (source, unavailable)
}

/// What opening needs of the options, to go along to another thread.
pub struct Request {
    library: Option<OsString>,
    selection: Selection,
    sysroot: PathBuf,
}

impl Request {
    /// From the options.
    pub fn new(options: &Options) -> Request {
        Request {
            library: options.nvml.as_ref().map(OsString::from),
            selection: options.gpus.nvidia.clone(),
            sysroot: options.sysroot.clone(),
        }
    }

    /// Whether this job may have GPUs at all.
    pub fn selects_some(&self) -> bool {
        self.selection.none().is_none()
    }

    /// Whether it waits for this process to come onto a GPU.
    pub fn waits_for_process(&self) -> bool {
        self.selection.process
    }

    /// What to say until it is open.
    pub fn until_then(&self) -> Unavailable {
        let process = std::process::id();
        let (reason, cure) = if self.waits_for_process() {
            let cure = "in a container, where process numbers differ from the driver's, use devices=visible";
            (format!("no GPU runs this process (number {process}) yet"), Some(cure.to_owned()))
        } else {
            ("its driver has yet to answer; what was used until then is filled in once it does".into(), None)
        };
        Unavailable { source: NAME, reason, cure }
    }

    /// Whether to expect that there is one.
    pub fn may_succeed(&self) -> bool {
        // A path that leads nowhere is no library; a bare name is for the loader to find.
        let may_load = |library: &OsString| !library.to_string_lossy().contains('/') || Path::new(library).exists();
        self.selects_some() && (has_driver(&self.sysroot) || self.library.as_ref().is_some_and(may_load))
    }
}

/// Whether NVIDIA's driver is there, or else a display controller of theirs.
fn has_hardware(sysroot: &Path) -> bool {
    let holds = |path: PathBuf, start: &str| number_file::text(&path).is_ok_and(|text| text.starts_with(start));
    let is_theirs = |device: PathBuf| holds(device.join("vendor"), "0x10de") && holds(device.join("class"), "0x03");
    has_driver(sysroot) || host::text::entries(&sysroot.join("sys/bus/pci/devices")).any(is_theirs)
}

fn has_driver(sysroot: &Path) -> bool {
    ["sys/bus/pci/drivers/nvidia", "dev/nvidiactl", "dev/dxg"].iter().any(|path| sysroot.join(path).exists())
}

/// The names to look for.
fn names(library: Option<&OsStr>) -> Vec<OsString> {
    library.map_or_else(|| LIBRARIES.iter().map(OsString::from).collect(), |library| vec![library.to_owned()])
}

/// The library, initialised once a process: a forked child has its own. It is never shut down, since another
/// thread or tracker may be inside.
fn load(library: Option<&OsStr>) -> Result<&'static Nvml, String> {
    type Loaded = (u32, OsString, &'static Nvml);
    static LOADED: Mutex<Vec<Loaded>> = Mutex::new(Vec::new());
    let mut loaded = LOADED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut failure = String::new();
    for name in names(library) {
        let process = std::process::id();
        if let Some((_, _, nvml)) = loaded.iter().find(|(pid, path, _)| *pid == process && *path == name) {
            return Ok(nvml);
        }
        match exit::driver_call(|| Nvml::builder().lib_path(&name).init()) {
            Some(Ok(nvml)) => {
                exit::drain_driver_calls();
                let nvml: &'static Nvml = Box::leak(Box::new(nvml));
                loaded.push((process, name, nvml));
                return Ok(nvml);
            }
            Some(Err(NvmlError::LibloadingError(error))) if failure.is_empty() => {
                failure = clean::text(error.to_string())
            }
            Some(Err(NvmlError::LibloadingError(_))) => (),
            Some(Err(error)) => failure = clean::text(format!("{}: {error}", name.to_string_lossy())),
            None => failure = "the process is about to exit".into(),
        }
    }
    Err(failure)
}

/// A GPU that the driver shows.
struct Offered {
    device: Result<Device<'static>, NvmlError>,
    name: String,
    /// Its UUID, then those of its MIG instances.
    ids: Vec<String>,
}

/// All GPUs in the driver's order, which is the PCI bus's. One that cannot be opened keeps its number.
fn offer(nvml: &'static Nvml) -> Result<Vec<Offered>, String> {
    let call = || {
        let count = nvml.device_count().map_err(|error| format!("counting the GPUs: {error}"))?;
        (0..possible(count, MOST_GPUS, "GPUs")?).map(|index| Offered::look(nvml.device_by_index(index))).collect()
    };
    exit::driver_call(call).unwrap_or(Ok(Vec::new()))
}

/// A count that a driver reports, unless it is more than there can be. Nothing is allocated for one that is.
fn possible(count: u32, most: u32, what: &str) -> Result<u32, String> {
    if count <= most {
        return Ok(count);
    }
    Err(format!(
        "the driver reports {count} {what}, but at most {most} are possible: none of its numbers can be trusted"
    ))
}

const MIG_ENABLED: u32 = 1;

/// The MIG instances of a GPU that can be opened.
fn instances<'a>(gpu: &'a Device<'static>) -> Result<impl Iterator<Item = Device<'static>> + use<'a>, String> {
    let count = possible(gpu.mig_device_count().unwrap_or(0), MOST_INSTANCES, "MIG instances of a GPU")?;
    Ok((0..count).filter_map(|index| gpu.mig_device_by_index(index).ok()))
}

/// Whether a process runs on a GPU. Of one divided by MIG only its instances say what runs on them.
fn runs(gpu: &Device<'static>, process: u32) -> Result<bool, String> {
    if runs_on(gpu, process)? {
        return Ok(true);
    }
    let mut found = instances(gpu)?.map(|instance| runs_on(&instance, process));
    found.find(|found| *found != Ok(false)).unwrap_or(Ok(false))
}

/// Whether a process runs on a whole GPU or on a MIG instance.
fn runs_on(device: &Device, process: u32) -> Result<bool, String> {
    let count = device.running_compute_processes_count().unwrap_or(0);
    let has_some = possible(count, MOST_PROCESSES, "processes on a GPU")? > 0;
    let is_there = || device.running_compute_processes().is_ok_and(|all| all.iter().any(|one| one.pid == process));
    Ok(has_some && is_there())
}

/// Of the GPUs picked those on which this process runs, once there are any.
fn wait_for_process(
    offered: &[Offered],
    picked: &[Picked],
    is_closed: &dyn Fn() -> bool,
) -> Result<Vec<Picked>, String> {
    let process = std::process::id();
    let has_it = |one: &Picked| match offered.get(one.place).map(|gpu| &gpu.device) {
        Some(Ok(device)) => exit::driver_call(|| runs(device, process)).unwrap_or(Ok(false)),
        _ => Ok(false),
    };
    loop {
        let mut running = Vec::new();
        for one in picked {
            if has_it(one)? {
                running.push(one.clone());
            }
        }
        if !running.is_empty() || is_closed() {
            return Ok(running);
        }
        host::pause(PROCESS_LOOK);
    }
}

impl Offered {
    /// Asks a GPU for its names.
    fn look(device: Result<Device<'static>, NvmlError>) -> Result<Offered, String> {
        let device = match device {
            Ok(device) => device,
            Err(error) => return Ok(Offered { device: Err(error), name: "NVIDIA".into(), ids: Vec::new() }),
        };
        let mut ids: Vec<String> = device.uuid().into_iter().map(clean::text).collect();
        if device.mig_mode().is_ok_and(|mode| mode.current == MIG_ENABLED) {
            ids.extend(instances(&device)?.filter_map(|instance| instance.uuid().ok()).map(clean::text));
        }
        let name = device.name().map_or_else(|_| "NVIDIA GPU".into(), clean::text);
        Ok(Offered { device: Ok(device), name, ids })
    }

    /// Opens it: by its counter if it has one, else by its power.
    fn open(self, picked: &Picked, is_ambiguous: bool) -> Result<(Channel, Gpu), NvmlError> {
        let mut notes: Vec<String> = self.share(picked).into_iter().collect();
        let device = self.device?;
        let call = || -> Result<(bool, f64), NvmlError> {
            let has_counter = device.total_energy_consumption().is_ok();
            if !has_counter {
                device.power_usage()?;
            }
            let limit_w = device.enforced_power_limit().ok().map(|milliwatts| f64::from(milliwatts) * 1e-3);
            Ok((has_counter, limit_w.filter(|limit_w| LIMITS_W.contains(limit_w)).unwrap_or(USUAL_LIMIT_W)))
        };
        let (has_counter, limit_w) = exit::driver_call(call).unwrap_or(Err(NvmlError::Uninitialized))?;
        let max_watts = MAX_LIMITS * limit_w;
        let (method, quantity) = if has_counter {
            (Method::Counter, Quantity::Counter { joules_per_unit: 1e-3, range: None, max_watts })
        } else {
            (Method::Power, Quantity::Power { max_watts })
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
        let id = self.ids.into_iter().next().unwrap_or_else(|| format!("nvml-{}", picked.place));
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        let channel = Channel { note, ..Channel::new((Kind::Gpu, NAME), self.name, id, method, quantity) };
        Ok((channel, Gpu::new(device, has_counter)))
    }

    /// Where parts of it are this job's: which, and how large they are.
    fn share(&self, picked: &Picked) -> Option<String> {
        const SLICES: u32 = 7;
        let device = self.device.as_ref().ok()?;
        let is_part = |id: &&String| id.starts_with("MIG-");
        let parts: Vec<&String> = picked.ids.iter().filter(is_part).collect();
        if parts.is_empty() {
            return None;
        }
        let slices = |part: &&&String| {
            let is_it = |mig: &Device| mig.uuid().is_ok_and(|uuid| uuid.starts_with(part.as_str()));
            let instance = instances(device).ok()?.find(is_it)?;
            Some(instance.attributes().ok()?.gpu_instance_slice_count).filter(|&slices| slices <= SLICES)
        };
        let known: Option<u32> = exit::driver_call(|| parts.iter().map(|part| slices(&part)).sum())?;
        let names: Vec<&str> = parts.iter().map(|part| part.as_str()).collect();
        let share = known.map_or(String::new(), |slices| format!(", {slices} of {SLICES} slices"));
        Some(format!("the whole GPU is counted, of which this job has {}{share}", names.join(", ")))
    }
}
