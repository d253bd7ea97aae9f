//! NVIDIA GPUs through the driver's management library, NVML: the thread that opens and reads them.

use super::nvml_library::library_names;
use super::nvml_request::NvmlRequest;
use super::nvml_search::NvmlSearch;
use crate::measurement::channel::DeviceKind;
use crate::measurement::config::MeasurementConfig;
use crate::measurement::source::background::OpenAttempt;
use crate::measurement::source::{Opening, Waker};
use crate::measurement::source_name::SourceName;
use crate::measurement::unavailable::Unavailable;
use crate::os::{self, OwnTable};
use std::sync::Arc;

const NO_LIBRARY_CURE: &str = "install NVIDIA's driver; start a container with the GPUs (docker run --gpus all, \
    apptainer exec --nv); or set nvml= to the library";

/// Starts to open the GPUs on a thread of its own. Call it on the application's thread, because the driver's library
/// keeps descriptors that it may share with the application. None: the options want no real GPU.
pub fn start(options: &MeasurementConfig, waker: Waker, table: Arc<OwnTable>) -> Option<std::io::Result<Opening>> {
    if options.sim_gpu.is_some() || !options.components.contains(&DeviceKind::Gpu) {
        return None;
    }
    let request = NvmlRequest::new(options);
    let pending = (SourceName::Nvml, Some(request.pending()));
    let fills_in = !request.waits_for_process();
    let next_waker = waker.clone();
    let open = move |attempt: &OpenAttempt| {
        let found = FoundLibrary::look(&request, &table);
        if let Some(why) = found.unavailable(&request) {
            return (None, vec![why]);
        }
        let mut search = NvmlSearch::new(request, Arc::downgrade(&table));
        drop(table);
        let opened = search.look();
        search.continue_behind(attempt, next_waker);
        opened
    };
    Some(Opening::start(pending, fills_in, "ct-nvml", waker, open))
}

/// What the library's own descriptor table shows, before the driver is called in the application's table.
struct FoundLibrary {
    /// Why NVML cannot be loaded. None: it can.
    load_error: Option<String>,
    /// Whether this machine has an NVIDIA GPU or driver. Looked up only if NVML cannot be loaded.
    has_hardware: bool,
}

impl FoundLibrary {
    /// Tries to load NVML, and looks for hardware if that fails. If this thread is pinned to one CPU, it also gets the
    /// CPUs of its process, which are read from files.
    fn look(request: &NvmlRequest, table: &OwnTable) -> FoundLibrary {
        let names = library_names(request.library.as_deref());
        let request = request.clone();
        let look = move || {
            let failures: Vec<String> = names.iter().map_while(|name| os::load_library(name).err()).collect();
            let load_error = failures.first().filter(|_| failures.len() == names.len()).cloned();
            let has_hardware = load_error.is_some() && request.has_hardware();
            (FoundLibrary { load_error, has_hardware }, os::room_for_this_thread())
        };
        let Ok(Some((found, room))) = table.run("ct-preload", look) else {
            return FoundLibrary { load_error: None, has_hardware: false };
        };
        if let Some(set) = room {
            set.apply_to_this_thread();
        }
        found
    }

    /// Why the driver is not called at all. None: it is called.
    fn unavailable(&self, request: &NvmlRequest) -> Option<Unavailable> {
        let (reason, cure) = match (request.selection.none(), &self.load_error) {
            (Some(none), _) => (none.reason.clone(), none.cure.clone()),
            (None, Some(error)) => {
                let is_wanted = request.library.is_some() || self.has_hardware;
                (format!("no NVIDIA driver: {error}"), is_wanted.then(|| NO_LIBRARY_CURE.to_owned()))
            }
            (None, None) => return None,
        };
        Some(Unavailable { source: SourceName::Nvml, reason, cure })
    }
}
