//! NVML, loaded and initialised once for each process.

use super::nvml_error::NvmlFailure;
use crate::os::exit;
use crate::sanitize;
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use std::ffi::{OsStr, OsString};
use std::sync::Mutex;

/// The names of NVML that are tried if the option `nvml` is not set.
const LIBRARIES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];

/// The names to load, in order: the given one, or the usual ones.
pub fn library_names(library: Option<&OsStr>) -> Vec<OsString> {
    library.map_or_else(|| LIBRARIES.iter().map(OsString::from).collect(), |library| vec![library.to_owned()])
}

/// Loads and initialises NVML, once for each process and file. A forked child initialises it again. NVML is never shut
/// down, because another thread or tracker may be in a call.
pub fn load(library: Option<&OsStr>) -> Result<&'static Nvml, NvmlFailure> {
    type Loaded = (u32, OsString, &'static Nvml);
    static LOADED: Mutex<Vec<Loaded>> = Mutex::new(Vec::new());
    let mut loaded = LOADED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut failure: Option<NvmlFailure> = None;
    for name in library_names(library) {
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
                failure.get_or_insert_with(|| NvmlFailure::permanent(sanitize::text(error.to_string())));
            }
            Some(Err(error)) => failure = Some(NvmlFailure::new(&name.to_string_lossy(), &error)),
            None => failure = Some(NvmlFailure::permanent("the process is about to exit".into())),
        }
    }
    Err(failure.unwrap_or_else(|| NvmlFailure::permanent("no library is named".into())))
}
