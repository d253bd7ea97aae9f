//! What the forecast and the journal see of a run: its epochs, and what lies between them.

use super::Ledger;
use crate::attribution::epochs::Epoch;
use crate::clock::MonoNs;

/// What lies between the first epochs of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct InterEpoch {
    /// Time between the epochs, s.
    pub duration_s: f64,
    /// Energy used in it as far as it is known, J; None where nothing was measured.
    pub energy_j: Option<f64>,
}

/// An epoch that ended, or several as one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochSummary {
    /// How many.
    pub count: u64,
    /// Their time, s; None where it was not recorded.
    pub duration_s: Option<f64>,
    /// Their energy as far as it is known, J; None where nothing was measured.
    pub energy_j: Option<f64>,
    /// All their energy is known.
    pub is_whole: bool,
    /// Time between the epoch before and it, s, or, of several, between them too; of the first none before.
    pub gaps_s: f64,
}

impl Ledger {
    /// The first `epochs` epochs, as a forecast takes them.
    pub fn observed(&self, epochs: u64) -> impl Iterator<Item = EpochSummary> + Clone {
        const WHOLE: f64 = 0.99;
        let channels = self.answering();
        let with_last_end = self.history.first(epochs).scan(None, |last_end, epoch| {
            let end = last_end.replace(epoch.end).unwrap_or(epoch.begin);
            Some((end, epoch))
        });
        with_last_end.map(move |(last_end, epoch)| {
            let is_whole = epoch.coverage(channels).is_some_and(|share| share >= WHOLE);
            // A part that others have counted tells nothing of the rest.
            let is_divided = !is_whole && Some(epoch.begin) < self.others_until && epoch.filed.is_none();
            EpochSummary {
                count: epoch.count,
                duration_s: (epoch.inside > 0 || epoch.filed.is_none()).then_some(epoch.inside as f64 * 1e-9),
                energy_j: epoch.energy.total().filter(|_| !is_divided),
                is_whole,
                gaps_s: epoch.end.ns_since(last_end).saturating_sub(epoch.inside) as f64 * 1e-9,
            }
        })
    }

    /// How many channels have an epoch's energy: a device that never answered is none whose energy is waited for, and one
    /// that another stands in for is none beside that.
    pub fn answering(&self) -> usize {
        self.accounts.iter().filter(|account| account.credited_until.is_some() && !account.is_replaced).count()
    }

    /// What lies between the first `epochs` epochs, and, if any were cancelled, before them.
    pub fn between_first(&self, epochs: u64) -> InterEpoch {
        let begin = self.origin.unwrap_or_default();
        let before = (0, self.first_epoch().unwrap_or(begin));
        let (inside, end) = self.history.first(epochs).fold(before, |(inside, _), e| (inside + e.inside, e.end));
        let between = end.ns_since(begin).saturating_sub(inside);
        let cancelled_j = || self.accounts.iter().filter_map(|account| account.after.joules).reduce(|a, b| a + b);
        let energy_j = if epochs == 0 { cancelled_j() } else { self.between_j() };
        InterEpoch { duration_s: between as f64 * 1e-9, energy_j }
    }

    /// How many epochs ended by this instant.
    pub fn epochs_ended_by(&self, at: MonoNs) -> u64 {
        let later = self.history.iter().rev().take_while(|epoch| epoch.end > at);
        (self.epochs - later.map(|epoch| epoch.count).sum::<u64>()).max(self.epochs_before)
    }

    /// Of the epochs settled by now those that came after the first ones, `before` as one; each with its number.
    pub fn epochs_after(&self, before: &Epoch, settled: u64) -> Vec<(u64, Epoch)> {
        let mut end = self.epochs;
        let mut news = Vec::new();
        for epoch in self.history.iter().rev() {
            if end <= before.count {
                break;
            }
            let begin = end - epoch.count;
            if end <= settled && begin >= before.count {
                news.push((begin, *epoch));
            } else if end <= settled {
                // Some of these were thinned with some that came before: what is left of all.
                let all = self.history.first(end).copied().reduce(|one, next| one.joined(&next));
                news.extend(all.map(|all| (before.count, all.after(before))));
            }
            end = begin;
        }
        news.reverse();
        news
    }
}
