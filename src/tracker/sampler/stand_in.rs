//! Replacement of meters that show no sign of life: the next source of their kind, and finally the estimate.

use super::Sampler;
use crate::measurement::channel::{Channel, DeviceKind};
use crate::measurement::source::Source;
use crate::measurement::source_name::SourceName;
use crate::state::RunState;
use crate::state::shared::SharedState;

/// The source whose entry under `unavailable` no longer holds once memory is estimated.
const MEMORY: SourceName = SourceName::MemoryModel;

impl Sampler {
    /// Adds sources that replace channels without a sign of life, from the last sign of life on. The first source
    /// replaces them; the others come with it. It does nothing if a channel shows a sign of life again.
    pub(super) fn stand_in(&mut self, sources: Vec<Box<dyn Source>>, stalled: &[usize], shared: &SharedState) {
        let (first, since) = {
            let state = shared.state();
            if !state.are_stalled(stalled) {
                return;
            }
            (state.metering.channels.len(), state.alive_at(stalled))
        };
        let has_memory = sources.len() > 1;
        for source in sources {
            self.add(source, since, shared);
        }
        let mut state = shared.state();
        if has_memory {
            state.metering.unavailable.retain(|one| one.source != MEMORY);
        }
        state.replace(first, stalled);
        let names = |numbers: &[usize]| {
            let channels = numbers.iter().filter_map(|&number| Some(&state.metering.channels.get(number)?.channel));
            channels.map(|channel| format!("{} {}", channel.source, channel.device)).collect::<Vec<_>>().join(", ")
        };
        let (new, old) = (names(&[first]), names(stalled));
        drop(state);
        shared.queue_message(format!("{new} stands in for {old} from its last sign of life on"));
    }

    /// Removes replacements whose channels show signs of life again. Channels that stall again get the earlier
    /// replacement, or the search for the next source starts, once.
    pub(super) fn replace_stalled(&mut self, state: &mut RunState, report: impl Fn(String)) {
        while let Some(message) = state.restore() {
            report(message);
        }
        for slot in &self.slots {
            for (kind, stalled) in state.stalled(slot.channels()) {
                if let Some(by) = state.stood_in(&stalled) {
                    state.replace(by, &stalled);
                    continue;
                }
                let Some(source) = slot.source.channels().first().map(|channel| channel.source) else { continue };
                let has_memory = |channel: &Channel| channel.kind == DeviceKind::Dram || channel.has_memory;
                let lacks_memory = !state.metering.channels.iter().any(|one| has_memory(&one.channel));
                self.intake.seek(kind, source, stalled, lacks_memory);
            }
        }
        state.metering.waits_for_opening |= self.intake.is_seeking();
    }
}
