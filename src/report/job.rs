//! What a report says of the job that its process is a rank of, on this node.

use crate::coordination::standby_ledger::StandbyLedger;
use crate::measurement::channel::ErrorBand;
use crate::state::RunState;
use serde_json::{Value, json};

/// The job on this node.
pub struct JobReport {
    /// The record in which its processes agree, if they have one.
    record: Option<u32>,
    /// How many live.
    processes: u64,
    /// What they and those that ended have used, J.
    pub energy_j: Option<f64>,
    devices: Vec<JobDevice>,
    /// The least sure of the node's devices that are estimated; None: none is.
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
    /// By the books; None: this process shares no device.
    pub fn new(books: &RunState) -> Option<JobReport> {
        let on_node = books.metering.on_node?;
        let devices = books.metering.standby.iter().map(|trust| JobDevice::new(trust, books)).collect();
        let errors = books.metering.channels.iter().filter_map(|metered| metered.channel.error);
        let widest = errors.reduce(ErrorBand::with);
        let (record, processes, energy_j) = (on_node.record, on_node.processes, on_node.energy_j);
        Some(JobReport { record, processes, energy_j, devices, widest })
    }

    /// As the report has it; with the CO2e, g, of the energy, and how far off this process's part of it may be. Of what
    /// others count no share is known: all of it may be estimated.
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
    fn new(trust: &StandbyLedger, books: &RunState) -> JobDevice {
        let standing = trust.standing;
        let id = |&channel: &usize| Some(books.metering.channels.get(channel)?.channel.id.clone());
        JobDevice {
            name: trust.device.clone(),
            ids: trust.channels.iter().filter_map(id).collect(),
            is_counted_here: standing.is_ours,
            process: if standing.is_ours { Some(std::process::id()) } else { standing.process() },
            since: trust.since.map(|since| books.carbon.clock.unix_s(since).0),
            handed_over_j: trust.handed_over_j,
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
