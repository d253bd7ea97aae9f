//! The job of the process on this node, and who counts its shared devices.

use crate::coordination::standby_ledger::StandbyLedger;
use crate::state::RunState;
use crate::units::ErrorBand;
use serde_json::{Value, json};

/// The job on this node.
pub struct JobReport {
    /// The shared memory segment in which its processes agree; None: they have none.
    record: Option<u32>,
    /// Number of living processes.
    processes: u64,
    /// Energy of all its processes on the node, including those that ended, J.
    pub energy_j: Option<f64>,
    devices: Vec<JobDevice>,
    /// The widest error interval of the node's devices; None: all are measured.
    widest: Option<ErrorBand>,
}

/// A device that one process of the job counts.
struct JobDevice {
    name: String,
    ids: Vec<String>,
    is_counted_here: bool,
    process: Option<u32>,
    since: Option<f64>,
    handed_over_j: Option<f64>,
}

impl JobReport {
    /// The job in the state of a run; None: this process shares no device.
    pub fn new(state: &RunState) -> Option<JobReport> {
        let on_node = state.metering.on_node?;
        let devices = state.metering.standby.iter().map(|standby| JobDevice::new(standby, state)).collect();
        let errors = state.metering.channels.iter().filter_map(|metered| metered.channel.error);
        let widest = errors.reduce(ErrorBand::with);
        let (record, processes, energy_j) = (on_node.record, on_node.processes, on_node.energy_j);
        Some(JobReport { record, processes, energy_j, devices, widest })
    }

    /// The job in the JSON report. `co2eq_g`: emissions of its energy, g; `error`: the error interval of this process's
    /// energy. Which share of the other processes' energy is estimated is unknown, so the widest interval holds for it.
    pub fn json(&self, co2eq_g: Option<f64>, error: Option<ErrorBand>) -> Value {
        let counts_all = self.devices.iter().all(|device| device.is_counted_here);
        let error = if counts_all { error } else { self.widest };
        json!({
            "error": error.filter(|_| self.energy_j.is_some()).map(ErrorBand::json),
            "agreed": self.record.is_some(),
            "record": self.record,
            "processes": self.processes,
            "energy_j": self.energy_j,
            "co2eq_g": co2eq_g,
            "devices": self.devices.iter().map(JobDevice::json).collect::<Value>(),
        })
    }
}

impl JobDevice {
    fn new(standby: &StandbyLedger, state: &RunState) -> JobDevice {
        let lease = standby.lease;
        let id = |&channel: &usize| Some(state.metering.channels.get(channel)?.channel.id.clone());
        JobDevice {
            name: standby.device.clone(),
            ids: standby.channels.iter().filter_map(id).collect(),
            is_counted_here: lease.is_ours,
            process: if lease.is_ours { Some(crate::os::process_id()) } else { lease.process() },
            since: standby.since.map(|since| state.carbon.clock.unix_s(since).0),
            handed_over_j: standby.handed_over_j,
        }
    }

    fn json(&self) -> Value {
        json!({
            "device": self.name,
            "ids": self.ids,
            "counted_here": self.is_counted_here,
            "process": self.process,
            "since": self.since,
            "handed_over_j": self.handed_over_j,
        })
    }
}
