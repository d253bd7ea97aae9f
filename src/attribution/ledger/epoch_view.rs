//! Views of the epochs for the forecast and the journal.

use super::Ledger;
use crate::attribution::account::ChannelAccount;
use crate::attribution::epochs::Epoch;
use crate::clock::MonoNs;
use crate::units;

/// Time and energy between the first epochs of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct InterEpoch {
    /// Time between the epochs, s.
    pub duration_s: f64,
    /// Known energy between the epochs, J; None: nothing was measured.
    pub energy_j: Option<f64>,
}

/// An ended epoch, or several merged ones, as the forecast takes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochSummary {
    /// Number of epochs.
    pub count: u64,
    /// Time in the epochs, s; None: it was not recorded.
    pub duration_s: Option<f64>,
    /// Known energy of the epochs, J; None: nothing was measured.
    pub energy_j: Option<f64>,
    /// Whether all energy of the epochs is known.
    pub fully_measured: bool,
    /// Time from the previous epoch to this one, s, and between merged ones. The first epoch has no previous one.
    pub gap_s: f64,
}

impl Ledger {
    /// Makes the entries of this process pieces of the run's progress: an epoch follows, and they are no epochs.
    pub fn set_pieces_apart(&mut self) {
        self.pieces = self.epochs - self.epochs_before;
        self.pieces_until = self.last_end.filter(|_| self.pieces > 0);
        self.inside = self.marked().map(|epoch| epoch.inside).sum();
        self.accounts.iter_mut().for_each(ChannelAccount::set_epochs_apart);
    }

    /// Number of ended epochs, without pieces of the run's progress that came before them.
    pub fn marked_epochs(&self) -> u64 {
        self.epochs - self.pieces
    }

    /// Number of pieces of the run's progress before the first epoch.
    pub fn pieces(&self) -> u64 {
        self.pieces
    }

    /// The entries that are epochs.
    pub fn marked(&self) -> impl Iterator<Item = &Epoch> + Clone {
        self.history.iter().filter(|epoch| !self.is_piece(epoch))
    }

    /// Whether an entry is a piece of the run's progress that came before the first epoch.
    pub fn is_piece(&self, entry: &Epoch) -> bool {
        entry.is_own_until(self.pieces_until)
    }

    /// The entries of the first `epochs` epochs.
    fn first_marked(&self, epochs: u64) -> impl Iterator<Item = &Epoch> + Clone {
        let counted = self.marked().scan(0, |count, epoch| {
            *count += epoch.count;
            Some((*count, epoch))
        });
        counted.take_while(move |(count, _)| *count <= epochs).map(|(_, epoch)| epoch)
    }

    /// The first `epochs` epochs.
    pub fn observed(&self, epochs: u64) -> impl Iterator<Item = EpochSummary> + Clone {
        const MIN_FULL_COVERAGE: f64 = 0.99;
        let channels = self.answering();
        let with_last_end = self.first_marked(epochs).scan(None, |last_end, epoch| {
            let end = last_end.replace(epoch.end).unwrap_or(epoch.begin);
            Some((end, epoch))
        });
        with_last_end.map(move |(last_end, epoch)| {
            let fully_measured = epoch.coverage(channels).is_some_and(|share| share >= MIN_FULL_COVERAGE);
            // If other processes counted a part, the rest is no measure of the epoch.
            let is_divided = !fully_measured && Some(epoch.begin) < self.others_until && epoch.recorded.is_none();
            EpochSummary {
                count: epoch.count,
                duration_s: (epoch.inside > 0 || epoch.recorded.is_none()).then_some(epoch.inside as f64 * 1e-9),
                energy_j: epoch.energy.total().filter(|_| !is_divided),
                fully_measured,
                gap_s: epoch.end.ns_since(last_end).saturating_sub(epoch.inside) as f64 * 1e-9,
            }
        })
    }

    /// Number of channels that count. A device that never answered does not count, nor does a channel that another one
    /// replaces.
    pub fn answering(&self) -> usize {
        self.accounts.iter().filter(|account| account.credited_until.is_some() && !account.is_replaced).count()
    }

    /// Time and energy between the first `epochs` epochs, and before them if an epoch was cancelled or the run's
    /// progress was reported.
    pub fn between_first(&self, epochs: u64) -> InterEpoch {
        let begin = self.origin.unwrap_or_default();
        let start = (0, self.first_epoch().unwrap_or(begin));
        let (inside, end) = self.first_marked(epochs).fold(start, |(inside, _), e| (inside + e.inside, e.end));
        let between = end.ns_since(begin).saturating_sub(inside);
        let cancelled_j = || self.accounts.iter().filter_map(|account| account.after.joules).reduce(|a, b| a + b);
        let energy_j = match epochs {
            0 => units::sum([self.pieces_until.and(self.between_j()), cancelled_j()]),
            _ => self.between_j(),
        };
        InterEpoch { duration_s: between as f64 * 1e-9, energy_j }
    }

    /// Number of epochs that ended by this instant.
    pub fn epochs_ended_by(&self, at: MonoNs) -> u64 {
        let later = self.history.iter().rev().take_while(|epoch| epoch.end > at);
        (self.epochs - later.map(|epoch| epoch.count).sum::<u64>()).max(self.epochs_before)
    }

    /// The settled entries after `written`, which are the first ones merged. Each has the number of its first epoch, or
    /// of its first piece.
    pub fn epochs_after(&self, written: &Epoch, settled: u64) -> Vec<(u64, Epoch)> {
        let mut end = self.epochs;
        let mut news = Vec::new();
        let number = |begin: u64, entry: &Epoch| begin - if self.is_piece(entry) { 0 } else { self.pieces.min(begin) };
        for epoch in self.history.iter().rev() {
            if end <= written.count {
                break;
            }
            let begin = end - epoch.count;
            if end <= settled && begin >= written.count {
                news.push((number(begin, epoch), *epoch));
            } else if end <= settled {
                // The store merged some of these with earlier ones: take what is left of all.
                let all = self.history.first(end).copied().reduce(|one, next| one.joined(&next));
                news.extend(all.map(|all| (number(written.count, epoch), all.after(written))));
            }
            end = begin;
        }
        news.reverse();
        news
    }
}
