//! Pieces of the run's progress in a journal: they are no epochs once an epoch follows.

use super::Journal;

impl Journal {
    /// Takes the pieces of the run's progress out: an epoch follows, and they are no epochs.
    pub(super) fn set_pieces_apart(&mut self) {
        let Some(first) = self.pieces_from.take().filter(|first| *first <= self.epochs.len()) else { return };
        for (gap, piece) in self.epochs.drain(first..) {
            let time = gap.saturating_add(piece.inside);
            self.epochs_done = self.epochs_done.saturating_sub(piece.count);
            self.attempt_count.epochs = self.attempt_count.epochs.saturating_sub(piece.count);
            self.attempt_count.inside = self.attempt_count.inside.saturating_sub(piece.inside);
            self.attempt_count.span = self.attempt_count.span.saturating_sub(time);
            self.pieces_ns = self.pieces_ns.saturating_add(time);
        }
    }
}
