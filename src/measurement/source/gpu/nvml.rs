//! NVIDIA GPUs through the driver's management library, NVML: the library, what of it is asked for, and the thread that asks.

use super::nvml_error::{in_words, may_pass};
use super::nvml_search::NvmlSearch;
use crate::measurement::channel::DeviceKind;
use crate::measurement::config::MeasurementConfig;
use crate::measurement::gpu_selection::Selection;
use crate::measurement::source::background::OpenAttempt;
use crate::measurement::source::sysfs::number_file;
use crate::measurement::source::{Opening, Unavailable, Waker};
use crate::os::{self, OwnTable, exit};
use crate::sanitize;
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// The source's name.
pub const NAME: &str = "nvml";
/// By these names it is looked for where none is given.
const LIBRARIES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];
const NO_LIBRARY_CURE: &str = "install NVIDIA's driver; in a container start it with the GPUs (docker run --gpus all, apptainer exec --nv), \
or name the library by nvml=";

/// Starts to open the GPUs on a thread of their own. Call it on the application's thread: the driver's library keeps
/// descriptors that the application may share with it. None: no real GPU is asked for.
pub fn start(options: &MeasurementConfig, waker: Waker, table: Arc<OwnTable>) -> Option<std::io::Result<Opening>> {
    if options.sim_gpu.is_some() || !options.components.contains(&DeviceKind::Gpu) {
        return None;
    }
    let request = NvmlRequest::new(options);
    let (until_then, fills_in) = (request.until_then(), !request.waits_for_process());
    let opens_later = waker.clone();
    let open = move |attempt: &OpenAttempt| {
        let found = FoundLibrary::look(&request, &table);
        if let Some(why) = found.reason(&request) {
            return (None, vec![why]);
        }
        let mut search = NvmlSearch::new(request, Arc::downgrade(&table));
        drop(table);
        let opened = search.look();
        search.go_on_behind(attempt, opens_later);
        opened
    };
    Some(Opening::start((NAME, Some(until_then)), fills_in, "ct-nvml", waker, open))
}

/// What is found out in our own table of descriptors, before the driver is called in the application's.
struct FoundLibrary {
    /// Why the library cannot be loaded.
    absence: Option<String>,
    /// Whether there is hardware that would need it.
    has_hardware: bool,
}

impl FoundLibrary {
    /// Looks for the library, whose file is opened for that, and for hardware. It also gives this thread the room that its
    /// process has, which is found out by reading files.
    fn look(request: &NvmlRequest, table: &OwnTable) -> FoundLibrary {
        let (names, sysroot) = (names(request.library.as_deref()), request.sysroot.clone());
        let look = move || {
            let failures: Vec<String> = names.iter().map_while(|name| os::load_library(name).err()).collect();
            let absence = failures.first().filter(|_| failures.len() == names.len()).cloned();
            let has_hardware = absence.is_some() && has_hardware(&sysroot);
            (FoundLibrary { absence, has_hardware }, os::room_for_this_thread())
        };
        let Ok(Some((found, room))) = table.run("ct-preload", look) else {
            return FoundLibrary { absence: None, has_hardware: false };
        };
        room.into_iter().for_each(|set| set.apply_to_this_thread());
        found
    }

    /// Why the driver is not asked at all.
    fn reason(&self, request: &NvmlRequest) -> Option<Unavailable> {
        let (reason, cure) = match (request.selection.none(), &self.absence) {
            (Some(none), _) => (none.reason.clone(), none.cure.clone()),
            (None, Some(why)) => {
                let is_wanted = request.library.is_some() || self.has_hardware;
                (why.clone(), Some(NO_LIBRARY_CURE.to_owned()).filter(|_| is_wanted))
            }
            (None, None) => return None,
        };
        Some(Unavailable { source: NAME, reason, cure })
    }
}

/// What opening needs of the options, to go along to another thread.
pub struct NvmlRequest {
    /// The library, where one is named.
    pub library: Option<OsString>,
    /// Which GPUs count.
    pub selection: Selection,
    sysroot: PathBuf,
}

impl NvmlRequest {
    /// From the options.
    pub fn new(options: &MeasurementConfig) -> NvmlRequest {
        NvmlRequest {
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
            let reason = format!("no GPU runs this process (number {process}) or one that stems from it yet");
            (reason, Some(cure.to_owned()))
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
    has_driver(sysroot) || os::text::entries(&sysroot.join("sys/bus/pci/devices")).any(is_theirs)
}

fn has_driver(sysroot: &Path) -> bool {
    ["sys/bus/pci/drivers/nvidia", "dev/nvidiactl", "dev/dxg"].iter().any(|path| sysroot.join(path).exists())
}

/// The names to look for.
fn names(library: Option<&OsStr>) -> Vec<OsString> {
    library.map_or_else(|| LIBRARIES.iter().map(OsString::from).collect(), |library| vec![library.to_owned()])
}

/// Why the driver gives no answer.
#[derive(Clone)]
pub struct NvmlFailure {
    /// In words.
    pub reason: String,
    /// Whether it may answer later.
    pub may_pass: bool,
}

impl NvmlFailure {
    /// The driver's own error, where it was asked for something.
    pub fn new(asked: &str, error: &NvmlError) -> NvmlFailure {
        NvmlFailure { reason: format!("{asked}: {}", in_words(error)), may_pass: may_pass(error) }
    }

    /// One that stays.
    pub fn for_good(reason: String) -> NvmlFailure {
        NvmlFailure { reason, may_pass: false }
    }
}

/// The library, initialised once a process: a forked child has its own. It is never shut down, since another
/// thread or tracker may be inside.
pub fn load(library: Option<&OsStr>) -> Result<&'static Nvml, NvmlFailure> {
    type Loaded = (u32, OsString, &'static Nvml);
    static LOADED: Mutex<Vec<Loaded>> = Mutex::new(Vec::new());
    let mut loaded = LOADED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut failure: Option<NvmlFailure> = None;
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
            Some(Err(NvmlError::LibloadingError(error))) => {
                failure.get_or_insert_with(|| NvmlFailure::for_good(sanitize::text(error.to_string())));
            }
            Some(Err(error)) => failure = Some(NvmlFailure::new(&name.to_string_lossy(), &error)),
            None => failure = Some(NvmlFailure::for_good("the process is about to exit".into())),
        }
    }
    Err(failure.unwrap_or_else(|| NvmlFailure::for_good("no library is named".into())))
}
