//! What stands in for meters that show no sign of life: the next source of their kind, at last the estimate.

use super::Sampler;
use crate::measurement::channel::DeviceKind;
use crate::measurement::source::Source;
use crate::measurement::source_name::SourceName;
use crate::state::RunState;
use crate::state::shared::SharedState;

impl Sampler {
    /// Takes in what stands in for channels that show no sign of life, from their last one on: the first source does, the
    /// others go with it. Channels that meanwhile show one need nobody.
    pub(super) fn stand_in(&mut self, sources: Vec<Box<dyn Source>>, stalled: &[usize], shared: &SharedState) {
        let (first, since) = {
            let books = shared.books();
            if !books.are_stalled(stalled) {
                return;
            }
            (books.metered.len(), books.alive_at(stalled))
        };
        let has_memory = sources.len() > 1;
        for source in sources {
            self.add(source, since, shared);
        }
        let mut books = shared.books();
        if has_memory {
            // The entry of memory beside a meter is wrong beside an estimate.
            books.unavailable.retain(|one| one.source != SourceName::MemoryModel);
        }
        books.replace(first, stalled);
        let names = |numbers: &mut dyn Iterator<Item = usize>| {
            let channels = numbers.filter_map(|number| Some(&books.metered.get(number)?.channel));
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
                let Some(source) = slot.source.channels().first().map(|channel| channel.source) else { continue };
                let lacks_memory =
                    books.metered.iter().all(|one| one.channel.kind != DeviceKind::Dram && !one.channel.has_memory);
                self.intake.seek(kind, source, stalled, lacks_memory);
            }
        }
        books.waits_for_opening |= self.intake.is_seeking();
    }
}
