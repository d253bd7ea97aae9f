//! The job's share of the energy of a shared node (option `scope=job`). Pure.
//!
//! Each energy interval of a device is divided in two: one part is the job's and goes to the run, the other is the
//! others'. Both together are the interval.
//!
//! - Processors: power up to their idle power is idle energy, the rest is active. The job has the active energy by its
//!   share of the node's processor time, and the idle energy by [`IdleRule`].
//! - Memory: by the job's share of the used memory.
//! - GPUs: by the job's slices of one with MIG; else by the use of each process, if the driver has it; else all of it,
//!   because GPUs are allocated whole.
//!
//! Scaphandre and Kepler divide a processor's energy by processor time too.

use super::ledger::Ledger;
use crate::clock::{MonoNs, S_PER_NS};
use crate::measurement::channel::{Channel, DeviceKind};
use crate::measurement::config::IdleRule;
use crate::measurement::meter::EnergyInterval;
use crate::measurement::usage::Usage;
use std::collections::{BTreeMap, VecDeque};

/// Most readings of usage that are kept.
const MAX_SAMPLES: usize = 64;
/// A share is computed over this time at least, ns: Linux counts processor time in steps of 10 ms.
const WINDOW_NS: u64 = 100_000_000;

/// How a kind of device is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DivisionRule {
    /// By processor time above the idle power.
    ProcessorTime,
    /// By resident memory.
    Resident,
    /// By the slices of a GPU with MIG.
    Slices,
    /// By the driver's figure for each process.
    ProcessUse,
    /// It is the job's.
    Whole,
}

impl DivisionRule {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            DivisionRule::ProcessorTime => "processor_time",
            DivisionRule::Resident => "resident_memory",
            DivisionRule::Slices => "slices",
            DivisionRule::ProcessUse => "process_use",
            DivisionRule::Whole => "whole",
        }
    }
}

/// Divides the energy of a node between the job and the others.
pub struct NodeShare {
    idle: IdleRule,
    /// Where the job's processor time is read, for the report; None: nowhere.
    pub basis: Option<&'static str>,
    /// Readings of usage, the oldest first.
    samples: VecDeque<Usage>,
    /// The job's share of the use of GPUs, by their identifiers; None: no process uses the GPU.
    gpus: BTreeMap<String, Option<f64>>,
    /// The marks of the run with the others' energy.
    pub others: Ledger,
    /// Energy of channels that could not be divided, because the usage is unknown: up to when, and J.
    undivided: BTreeMap<usize, (MonoNs, f64)>,
}

impl NodeShare {
    /// A share by this rule, without readings. `basis`: where the job's processor time is read.
    pub fn new(idle: IdleRule, basis: Option<&'static str>) -> NodeShare {
        NodeShare {
            idle,
            basis,
            samples: VecDeque::new(),
            gpus: BTreeMap::new(),
            others: Ledger::default(),
            undivided: BTreeMap::new(),
        }
    }

    /// The rule for idle energy.
    pub fn idle_rule(&self) -> IdleRule {
        self.idle
    }

    /// The newest reading; None: there is none.
    pub fn newest(&self) -> Option<Usage> {
        self.samples.back().copied()
    }

    /// Enters a reading of usage.
    pub fn push(&mut self, usage: Usage) {
        if self.newest().is_none_or(|newest| usage.at > newest.at) {
            self.samples.push_back(usage);
        }
        if self.samples.len() > MAX_SAMPLES {
            self.samples.pop_front();
        }
    }

    /// Stores the job's newest share of the use of GPUs.
    pub fn set_gpus(&mut self, gpus: BTreeMap<String, Option<f64>>) {
        self.gpus = gpus;
    }

    /// How a channel's device is divided.
    pub fn rule(&self, channel: &Channel) -> DivisionRule {
        match channel.kind {
            DeviceKind::Cpu | DeviceKind::Node => DivisionRule::ProcessorTime,
            DeviceKind::Dram => DivisionRule::Resident,
            DeviceKind::Gpu if channel.job_part.is_some() => DivisionRule::Slices,
            DeviceKind::Gpu if self.gpus.contains_key(&channel.id) => DivisionRule::ProcessUse,
            DeviceKind::Gpu => DivisionRule::Whole,
        }
    }

    /// Divides an interval: the job's part and the others'. `idle_w`: the idle power of the device, W. None: the usage
    /// is unknown.
    pub fn divide(
        &self,
        channel: &Channel,
        idle_w: f64,
        interval: EnergyInterval,
    ) -> Option<(EnergyInterval, EnergyInterval)> {
        let job_j = self.job_j(channel, idle_w, interval)?;
        let part = |joules: f64| EnergyInterval { joules, ..interval };
        Some((part(job_j), part(interval.joules - job_j)))
    }

    /// Notes energy of a channel that could not be divided.
    pub fn leave_undivided(&mut self, channel: usize, interval: EnergyInterval) {
        let (until, joules) = self.undivided.entry(channel).or_default();
        (*until, *joules) = (interval.to.max(*until), *joules + interval.joules);
    }

    /// Energy that could not be divided, J.
    pub fn undivided_j(&self) -> f64 {
        self.undivided.values().map(|(_, joules)| joules).sum()
    }

    /// Until when energy of a channel could not be divided; None: all could.
    pub fn undivided_until(&self, channel: usize) -> Option<MonoNs> {
        self.undivided.get(&channel).map(|(until, _)| *until)
    }

    fn job_j(&self, channel: &Channel, idle_w: f64, interval: EnergyInterval) -> Option<f64> {
        let joules = interval.joules;
        match self.rule(channel) {
            DivisionRule::Whole => Some(joules),
            DivisionRule::Slices => Some(joules * channel.job_part?),
            DivisionRule::ProcessUse => {
                let idle = if self.idle == IdleRule::Cores { 1.0 } else { 0.0 };
                Some(joules * self.gpus.get(&channel.id)?.unwrap_or(idle))
            }
            DivisionRule::Resident => Some(joules * self.around(interval)?.1.memory?),
            DivisionRule::ProcessorTime => {
                let (earlier, later) = self.around(interval)?;
                let active = active_share(earlier, later);
                let idle_j =
                    (idle_w * interval.to.ns_since(interval.from) as f64 * S_PER_NS).clamp(0.0, joules.max(0.0));
                let idle = match self.idle {
                    IdleRule::Cores => later.allocated.unwrap_or(active),
                    IdleRule::None => 0.0,
                };
                Some(idle_j * idle + (joules - idle_j) * active)
            }
        }
    }

    /// The readings of usage before and after an interval, at least [`WINDOW_NS`] apart if there are such.
    fn around(&self, interval: EnergyInterval) -> Option<(Usage, Usage)> {
        let index =
            self.samples.partition_point(|usage| usage.at < interval.to).min(self.samples.len().checked_sub(1)?);
        let later = *self.samples.get(index)?;
        let latest_begin = MonoNs(interval.from.0.min(later.at.0.saturating_sub(WINDOW_NS)));
        let before = self.samples.partition_point(|usage| usage.at <= latest_begin).saturating_sub(1);
        Some((*self.samples.get(before)?, later))
    }

    /// Takes the others' energy of a channel from an instant on out: another process counts it.
    pub fn yield_from(&mut self, channel: usize, at: MonoNs) {
        let unsettled = self.others.take_unsettled(channel);
        let ours = unsettled.into_iter().filter_map(|interval| interval.split(at).0);
        ours.for_each(|interval| self.others.credit(channel, interval));
    }
}

/// The job's share of the processor time between two readings, 0 to 1. If no process used any, or the time is too short
/// to see it, the allocated share counts; without an allocation, the job is alone on the node.
fn active_share(earlier: Usage, later: Usage) -> f64 {
    let job = (later.job_s - earlier.job_s).max(0.0);
    let node = (later.node_s - earlier.node_s).max(job);
    if node > 0.0 { job / node } else { later.allocated.unwrap_or(1.0) }
}

#[cfg(test)]
mod tests;
