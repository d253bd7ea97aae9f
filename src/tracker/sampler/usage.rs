//! What the job uses of its node enters the run, with the marks of phases.

use super::Sampler;
use crate::attribution::phases::PhaseMark;
use crate::clock::MonoNs;
use crate::measurement::usage::Usage;
use crate::os;
use crate::state::RunState;
use rtrb::Consumer;

impl Sampler {
    /// Reads what the job uses of its node, if that is due. `is_requested`: a mark or report waits for energy.
    pub(super) fn read_usage(&mut self, now: MonoNs, is_requested: bool) -> Option<Usage> {
        let usage = self.usage.as_mut().filter(|usage| usage.is_due(now, is_requested))?;
        usage.read(&os::monotonic_ns, &self.leases.processes()).ok()
    }
}

/// Enters what the energy of this pass is divided by: marks of phases, and the usage of the node.
pub fn enter(state: &mut RunState, phase_marks: &mut Consumer<PhaseMark>, usage: Option<Usage>) {
    state.attribution.phases.take(phase_marks);
    state.attribution.share.as_mut().zip(usage).into_iter().for_each(|(share, usage)| share.push(usage));
}
