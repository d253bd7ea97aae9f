//! What stands in for meters that show no sign of life: the next source of their kind, at last the estimate.

use super::Sampler;
use crate::measurement::channel::DeviceKind;
use crate::measurement::source::Source;
use crate::state::RunState;
use crate::state::shared::SharedState;

/// What is reported of memory that is not estimated beside a meter does not hold beside an estimate.
const MEMORY: &str = "memory_model";

impl Sampler {
    /// Takes in what stands in for channels that show no sign of life, from their last one on: the first source does, the
    /// others go with it. Channels that meanwhile show one need nobody.
    pub(super) fn stand_in(&mut self, sources: Vec<Box<dyn Source>>, stalled: &[usize], shared: &SharedState) {
        let (first, since) = {
            let books = shared.state();
            if !books.are_stalled(stalled) {
                return;
            }
            (books.metering.channels.len(), books.alive_at(stalled))
        };
        let has_memory = sources.len() > 1;
        for source in sources {
            self.add(source, since, shared);
        }
        let mut books = shared.state();
        if has_memory {
            books.metering.unavailable.retain(|one| one.source != MEMORY);
        }
        books.replace(first, stalled);
        let names = |numbers: &mut dyn Iterator<Item = usize>| {
            let channels = numbers.filter_map(|number| Some(&books.metering.channels.get(number)?.channel));
            channels.map(|channel| format!("{} {}", channel.source, channel.device)).collect::<Vec<_>>().join(", ")
        };
        let (new, old) = (names(&mut std::iter::once(first)), names(&mut stalled.iter().copied()));
        drop(books);
        shared.say(format!("{new} stands in for {old} from its last sign of life on"));
    }

    /// Has what stands in step aside for channels that show signs of life again. Looks for what can stand in for those that
    /// show none any more: what stood in for them before, else the next source, once.
    pub(super) fn seek(&mut self, books: &mut RunState, mut say: impl FnMut(String)) {
        while let Some(message) = books.restore() {
            say(message);
        }
        for slot in &self.slots {
            for (kind, stalled) in books.stalled(slot.channels()) {
                if let Some(by) = books.stood_in(&stalled) {
                    books.replace(by, &stalled);
                    continue;
                }
                let source = slot.source.channels().first().map_or("", |channel| channel.source);
                let lacks_memory = books
                    .metering
                    .channels
                    .iter()
                    .all(|one| one.channel.kind != DeviceKind::Dram && !one.channel.has_memory);
                self.intake.seek(kind, source, stalled, lacks_memory);
            }
        }
        books.metering.waits_for_opening |= self.intake.is_seeking();
    }
}
