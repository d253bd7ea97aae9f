//! Sources that have opened enter the run.

use super::Sampler;
use super::source_slot::{SourceSlot, wrap_guard_ns};
use crate::clock::MonoNs;
use crate::measurement::intake::Arrived;
use crate::measurement::source::Source;
use crate::measurement::source_name::SourceName;
use crate::measurement::unavailable::Unavailable;
use crate::os;
use crate::state::shared::SharedState;

/// Time from the tracker's start in which no epoch is settled while a source is still being opened, ns.
const OPENING_WAIT_NS: u64 = 5_000_000_000;

impl Sampler {
    /// Adds a source and its channels. `late_since`: the instant from which it should have been read.
    pub(super) fn add(&mut self, source: Box<dyn Source>, late_since: Option<MonoNs>, shared: &SharedState) {
        let mut state = shared.state();
        let first_channel = state.metering.channels.len();
        for channel in source.channels() {
            let lease = self.leases.claim(channel, |message| shared.queue_note(message));
            let named = lease.and_then(|lease| Some((lease, self.leases.named(lease)?)));
            if let Some((lease, (device, words))) = named {
                state.add_lease(lease, device, words);
            }
            state.add(channel, lease, late_since);
            self.interval_ns = self.interval_ns.min(wrap_guard_ns(channel));
        }
        self.slots.push(SourceSlot::new(source, first_channel));
    }

    /// Adds the sources that have opened. The `first` call waits for them for a moment.
    pub(super) fn admit(&mut self, first: bool, shared: &SharedState) {
        let Arrived { sources, stand_ins, unavailable, messages } = self.intake.take(first);
        messages.into_iter().for_each(|message| shared.queue_message(message));
        for (source, fills_in) in sources {
            self.add(source, fills_in.then_some(self.started), shared);
        }
        for (sources, stalled) in stand_ins {
            self.stand_in(sources, &stalled, shared);
        }
        report_unavailable(unavailable, shared);
        let is_late = os::monotonic_ns() > self.started + OPENING_WAIT_NS;
        let awaited = self.intake.awaited();
        if first {
            let hanging = awaited.iter().filter(|one| one.source != SourceName::Nvml);
            hanging.filter_map(Unavailable::message).for_each(|message| shared.queue_message(message));
        }
        let mut state = shared.state();
        state.metering.opening = awaited;
        state.metering.waits_for_opening = (!is_late && self.intake.fills_in()) || self.intake.is_seeking();
        shared.set_review_late(state.metering.waits_for_opening);
        if first && state.metering.channels.is_empty() && state.metering.opening.is_empty() {
            let words = "no source of energy was found; times are measured, energies are unknown; \
                         run `carbontracker doctor` for the reasons";
            shared.queue_message(words.into());
        }
    }
}

/// Lists sources that do not take part, each once. A source may be tried for several kinds of device.
fn report_unavailable(unavailable: Vec<Unavailable>, shared: &SharedState) {
    for one in unavailable {
        if shared.state().metering.unavailable.contains(&one) {
            continue;
        }
        one.message().into_iter().for_each(|message| shared.queue_message(message));
        shared.state().metering.unavailable.push(one);
    }
}
