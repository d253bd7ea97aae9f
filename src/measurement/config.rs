//! What the options choose for discovery and the sources.

use super::channel::DeviceKind;
use super::gpu_selection::Gpus;
use super::gpu_shares::GpuShares;
use std::path::PathBuf;

/// Which devices to measure, and where to look for them.
#[derive(Clone, Debug)]
pub struct MeasurementConfig {
    /// The kinds of device to measure.
    pub components: Vec<DeviceKind>,
    /// The option `devices` as the user wrote it.
    pub devices: String,
    /// The GPUs that `devices` and the environment select. It is the default if no real GPU is measured.
    pub gpus: Gpus,
    /// A simulated processor in place of the real ones.
    pub sim_cpu: Option<SimulatedDevice>,
    /// A simulated GPU in place of the real ones.
    pub sim_gpu: Option<SimulatedDevice>,
    /// The folder that contains `sys` and `proc`.
    pub sysroot: PathBuf,
    /// Path or name of the NVML library; None: the usual names are tried.
    pub nvml: Option<String>,
    /// What the run's energy is: the devices', or the job's share of it.
    pub scope: Scope,
    /// Who gets the energy that processors use when idle.
    pub idle: IdleRule,
    /// Power of the node's processors when idle, W; None: by the processor model.
    pub idle_w: Option<f64>,
    /// The job's shares of GPUs, from the thread that reads the driver; only with [`Scope::Job`].
    pub gpu_shares: GpuShares,
}

/// What the energy of a run is (option `scope`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All energy of the devices.
    #[default]
    Device,
    /// The job's share of it.
    Job,
}

/// Who gets the energy that processors use when idle (option `idle`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdleRule {
    /// The job, by its allocated share of the processors. Without an allocation, by processor time.
    #[default]
    Cores,
    /// The rest of the node.
    None,
}

impl IdleRule {
    /// The name in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            IdleRule::Cores => "cores",
            IdleRule::None => "none",
        }
    }
}

/// A simulated device of constant power (`sim_cpu`, `sim_gpu`).
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatedDevice {
    /// Its name in reports.
    pub name: String,
    /// Power at full utilisation, W.
    pub watts: f64,
    /// Share of that power in use, 0 to 1.
    pub utilisation: f64,
}

impl Default for MeasurementConfig {
    fn default() -> Self {
        MeasurementConfig {
            components: DeviceKind::ALL.to_vec(),
            devices: "visible".into(),
            gpus: Gpus::default(),
            sim_cpu: None,
            sim_gpu: None,
            sysroot: "/".into(),
            nvml: None,
            scope: Scope::default(),
            idle: IdleRule::default(),
            idle_w: None,
            gpu_shares: GpuShares::default(),
        }
    }
}
