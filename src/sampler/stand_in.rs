//! What stands in for meters that show no sign of life: the next source of their kind, at last the estimate.

use super::Sampler;
use crate::books::Books;
use crate::shared::Shared;
use crate::source::Source;

impl Sampler {
    /// Takes in a source for channels that show no sign of life, from their last one on.
    pub(super) fn stand_in(&mut self, source: Box<dyn Source>, stalled: &[usize], shared: &Shared) {
        let since = shared.books().alive_at(stalled);
        let (first, count) = (shared.books().metered.len(), source.channels().len());
        self.add(source, since, shared);
        shared.books().replace(first..first + count, stalled);
        let words = |books: &Books| {
            let names = |numbers: &mut dyn Iterator<Item = usize>| {
                let channels = numbers.filter_map(|number| Some(&books.metered.get(number)?.channel));
                channels.map(|channel| format!("{} {}", channel.source, channel.device)).collect::<Vec<_>>().join(", ")
            };
            let (new, old) = (names(&mut (first..first + count)), names(&mut stalled.iter().copied()));
            format!("{new} stands in for {old} from its last sign of life on")
        };
        let words = words(&shared.books());
        shared.say(words);
    }

    /// Looks for what can stand in for channels that show no sign of life: once for each.
    pub(super) fn seek(&mut self, books: &Books) {
        for slot in &self.slots {
            for (kind, stalled) in books.stalled(slot.channels()) {
                let source = slot.source.channels().first().map_or("", |channel| channel.source);
                self.intake.seek(kind, source, stalled);
            }
        }
    }
}
