//! Which NVIDIA GPUs a run wants, and whether this machine may have them.

use crate::measurement::config::{MeasurementConfig, Scope};
use crate::measurement::gpu_selection::Selection;
use crate::measurement::gpu_shares::GpuShares;
use crate::measurement::source::sysfs::number_file;
use crate::measurement::source_name::SourceName;
use crate::measurement::unavailable::Unavailable;
use crate::os;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The options that matter to NVML.
#[derive(Clone)]
pub struct NvmlRequest {
    /// The library of the option `nvml`. None: its usual names are tried.
    pub library: Option<OsString>,
    /// Which GPUs are this job's.
    pub selection: Selection,
    /// Where the job's share of each GPU is stored; None: all energy of a GPU counts.
    pub shares: Option<GpuShares>,
    sysroot: PathBuf,
}

impl NvmlRequest {
    /// Takes the options that matter to NVML.
    pub fn new(options: &MeasurementConfig) -> NvmlRequest {
        NvmlRequest {
            library: options.nvml.as_ref().map(OsString::from),
            selection: options.gpus.nvidia.clone(),
            shares: (options.scope == Scope::Job).then(|| options.gpu_shares.clone()),
            sysroot: options.sysroot.clone(),
        }
    }

    /// Whether this job may have GPUs at all.
    pub fn selects_some(&self) -> bool {
        self.selection.none().is_none()
    }

    /// Whether a GPU counts only once this process runs on it.
    pub fn waits_for_process(&self) -> bool {
        self.selection.process
    }

    /// What the report shows until a GPU is open.
    pub fn pending(&self) -> Unavailable {
        let (reason, cure) = if self.waits_for_process() {
            let process = os::process_id();
            let cure = "in a container, where process numbers differ from the driver's, use devices=visible";
            let reason = format!("no GPU runs this process (number {process}) or a descendant of it yet");
            (reason, Some(cure.to_owned()))
        } else {
            ("its driver has yet to answer. The energy until then is filled in".into(), None)
        };
        Unavailable { source: SourceName::Nvml, reason, cure }
    }

    /// Whether NVML will probably find a GPU.
    pub fn may_succeed(&self) -> bool {
        // A path must exist. A bare name is found by the loader.
        let may_load = |library: &OsString| !library.to_string_lossy().contains('/') || Path::new(library).exists();
        self.selects_some() && (self.has_driver() || self.library.as_ref().is_some_and(may_load))
    }

    /// Whether this machine has NVIDIA's driver, or a display controller of NVIDIA.
    pub fn has_hardware(&self) -> bool {
        let begins = |path: PathBuf, start: &str| number_file::text(&path).is_ok_and(|text| text.starts_with(start));
        let is_nvidia =
            |device: PathBuf| begins(device.join("vendor"), "0x10de") && begins(device.join("class"), "0x03");
        self.has_driver() || os::text::entries(&self.sysroot.join("sys/bus/pci/devices")).any(is_nvidia)
    }

    fn has_driver(&self) -> bool {
        let paths = ["sys/bus/pci/drivers/nvidia", "dev/nvidiactl", "dev/dxg"];
        paths.iter().any(|path| self.sysroot.join(path).exists())
    }
}
