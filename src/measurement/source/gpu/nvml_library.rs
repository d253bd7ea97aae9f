//! NVML, loaded and initialised once for each process.

use super::nvml_error::NvmlFailure;
use crate::os::{self, Condvar, exit};
use crate::sanitize;
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use std::ffi::{OsStr, OsString};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// The names of NVML that are tried if the option `nvml` is not set.
const LIBRARIES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];

/// The names to load, in order: the given one, or the usual ones.
pub fn library_names(library: Option<&OsStr>) -> Vec<OsString> {
    library.map_or_else(|| LIBRARIES.iter().map(OsString::from).collect(), |library| vec![library.to_owned()])
}

/// A process, and the name of a library that it loads.
type Library = (u32, OsString);

/// The libraries of this process, and those of the processes from which it was forked.
struct Table {
    loaded: Vec<(Library, &'static Nvml)>,
    /// The libraries that a thread initialises now.
    busy: Vec<Library>,
}

static TABLE: Mutex<Table> = Mutex::new(Table { loaded: Vec::new(), busy: Vec::new() });
static IS_FREE: Condvar = Condvar::new();

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The right to initialise a library. Other threads of the process wait until this value is dropped.
struct Turn<'a>(&'a Library);

impl<'a> Turn<'a> {
    /// Waits for another thread that initialises the same library. Returns the library instead if it is loaded.
    fn wait(library: &'a Library) -> Result<Turn<'a>, &'static Nvml> {
        loop {
            let is_busy = |table: &mut Table| table.busy.contains(library);
            let mut table = IS_FREE.wait_timeout_while(&TABLE, table(), Duration::from_secs(3600), is_busy);
            if let Some((_, nvml)) = table.loaded.iter().find(|(loaded, _)| loaded == library) {
                return Err(nvml);
            }
            if !is_busy(&mut table) {
                table.busy.push(library.clone());
                return Ok(Turn(library));
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        table().busy.retain(|library| library != self.0);
        IS_FREE.notify_all();
    }
}

/// Loads and initialises NVML, once for each process and file. A forked child initialises it again. NVML is never shut
/// down, because another thread or tracker may be in a call.
///
/// No lock is held during the initialisation, which may take a second: a child that is forked meanwhile could never
/// take it.
pub fn load(library: Option<&OsStr>) -> Result<&'static Nvml, NvmlFailure> {
    let mut failure: Option<NvmlFailure> = None;
    for name in library_names(library) {
        let library = (os::process_id(), name);
        let _turn = match Turn::wait(&library) {
            Ok(turn) => turn,
            Err(nvml) => return Ok(nvml),
        };
        let name = &library.1;
        match exit::driver_call(|| Nvml::builder().lib_path(name).init()) {
            Some(Ok(nvml)) => {
                exit::drain_driver_calls();
                let nvml: &'static Nvml = Box::leak(Box::new(nvml));
                table().loaded.push((library.clone(), nvml));
                return Ok(nvml);
            }
            Some(Err(NvmlError::LibloadingError(error))) => {
                failure.get_or_insert_with(|| {
                    NvmlFailure::permanent(sanitize::text(format!("no NVIDIA driver: {error}")))
                });
            }
            Some(Err(error)) => failure = Some(NvmlFailure::new(&name.to_string_lossy(), &error)),
            None => failure = Some(NvmlFailure::permanent("the process is about to exit".into())),
        }
    }
    Err(failure.unwrap_or_else(|| NvmlFailure::permanent("no library is named".into())))
}
