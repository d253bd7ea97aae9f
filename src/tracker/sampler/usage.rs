//! What the job uses of its node enters the run, with the marks of phases.

use super::Sampler;
use crate::attribution::phases::PhaseMark;
use crate::clock::MonoNs;
use crate::measurement::usage::Usage;
use crate::os;
use crate::state::RunState;
use rtrb::Consumer;
use std::collections::BTreeMap;

/// What the job uses of its node, if that was read; and its share of the use of each GPU.
type NodeUsage = (Option<Usage>, BTreeMap<String, Option<f64>>);

impl Sampler {
    /// Reads what the job uses of its node, if that is due. `is_requested`: a mark or report waits for energy. None:
    /// all energy of the devices counts.
    pub(super) fn read_usage(&mut self, now: MonoNs, is_requested: bool) -> Option<NodeUsage> {
        let reader = self.usage.as_mut()?;
        let is_due = reader.is_due(now, is_requested);
        let usage = is_due.then(|| reader.read(&os::monotonic_ns, &self.leases.processes()).ok()).flatten();
        Some((usage, reader.gpu_shares()))
    }
}

/// Enters what the energy of this pass is divided by: marks of phases, and the usage of the node.
pub fn enter(state: &mut RunState, phase_marks: &mut Consumer<PhaseMark>, usage: Option<NodeUsage>) {
    state.attribution.phases.take(phase_marks);
    if let Some((share, (usage, gpus))) = state.attribution.share.as_mut().zip(usage) {
        usage.into_iter().for_each(|usage| share.push(usage));
        share.set_gpus(gpus);
    }
}
