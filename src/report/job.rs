//! What a report says of the job that its process is a rank of, on this node.

use crate::books::Books;
use crate::trust::Trust;
use serde_json::{Value, json};

/// The job on this node.
pub struct Job {
    /// The record in which its processes agree, if they have one.
    record: Option<u32>,
    /// How many live.
    processes: u64,
    /// What they and those that ended have used, J.
    pub energy_j: Option<f64>,
    devices: Vec<Device>,
}

/// A device that one process of the job counts.
struct Device {
    name: String,
    ids: Vec<String>,
    is_counted_here: bool,
    process: Option<u32>,
    since: Option<f64>,
    handed_over_j: Option<f64>,
}

impl Job {
    /// By the books; None: this process shares no device.
    pub fn new(books: &Books) -> Option<Job> {
        let on_node = books.on_node?;
        let devices = books.trusts.iter().map(|trust| Device::new(trust, books)).collect();
        Some(Job { record: on_node.record, processes: on_node.processes, energy_j: on_node.energy_j, devices })
    }

    /// As the report has it; with the CO2e, g, of the energy.
    pub fn json(&self, co2eq_g: Option<f64>) -> Value {
        json!({
            "agreed": self.record.is_some(),
            "record": self.record,
            "processes": self.processes,
            "energy_j": self.energy_j,
            "co2eq_g": co2eq_g,
            "devices": self.devices.iter().map(Device::json).collect::<Value>(),
        })
    }
}

impl Device {
    fn new(trust: &Trust, books: &Books) -> Device {
        let standing = trust.standing;
        let id = |&channel: &usize| Some(books.metered.get(channel)?.channel.id.clone());
        Device {
            name: trust.device.clone(),
            ids: trust.channels.iter().filter_map(id).collect(),
            is_counted_here: standing.is_ours,
            process: if standing.is_ours {
                Some(std::process::id())
            } else {
                standing.holder.filter(|&holder| holder > 0)
            },
            since: trust.since.filter(|&since| since > 0).map(|since| books.calendar.unix_s(since)),
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
