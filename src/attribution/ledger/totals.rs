//! Queries of the ledger: sums, instants and the open epoch.

use super::{EnergySplit, Ledger};
use crate::attribution::account::{ChannelAccount, Energy};
use crate::attribution::epochs::EpochStore;
use crate::attribution::timeline::Timeline;
use crate::clock::MonoNs;
use crate::units;

impl Ledger {
    /// A channel's energy is known up to here; None: nothing was credited.
    pub fn credited_until(&self, channel: usize) -> Option<MonoNs> {
        self.accounts.get(channel)?.credited_until
    }

    /// A channel's energy in epochs and between them, as one sum.
    pub fn channel(&self, channel: usize) -> Energy {
        self.energies(channel).sum()
    }

    /// A channel's energy in epochs and between them.
    pub fn energies(&self, channel: usize) -> EnergySplit {
        let energies = |account: &ChannelAccount| EnergySplit { epochs: account.epochs, between: account.between };
        self.accounts.get(channel).map(energies).unwrap_or_default()
    }

    /// Energy in epochs, J; None: not measured.
    pub fn epochs_j(&self) -> Option<f64> {
        let carried_over = self.carried_over.iter().map(|used| used.epochs);
        let parts = self.accounts.iter().map(|account| account.epochs).chain(carried_over);
        units::sum(parts.map(|part| part.joules))
    }

    /// The share of the energy in this attempt's epochs that was divided by time, because readings are rarer than
    /// marks; None: not measured.
    pub fn by_time_share(&self) -> Option<f64> {
        let epochs = || self.accounts.iter().map(|account| account.epochs);
        let joules = units::sum(epochs().map(|part| part.joules)).filter(|joules| *joules > 0.0)?;
        Some((epochs().map(|part| part.by_time_j[0]).sum::<f64>() / joules).clamp(0.0, 1.0))
    }

    /// Energy between epochs, J; None: not measured.
    pub fn between_j(&self) -> Option<f64> {
        let carried_over = self.carried_over.iter().map(|used| used.between);
        let parts = self.accounts.iter().map(|account| account.between).chain(carried_over);
        let between = units::sum(parts.map(|part| part.joules));
        between.or(self.epochs_j().map(|_| 0.0).filter(|_| self.between_ns() == 0))
    }

    /// Energy of the run, J; None: not measured.
    pub fn energy_j(&self) -> Option<f64> {
        units::sum([self.epochs_j(), self.between_j()])
    }

    /// Energy by time from the first begin on. Energy after the last end is not part of the run yet.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The epochs.
    pub fn history(&self) -> &EpochStore {
        &self.history
    }

    /// Number of ended epochs.
    pub fn epochs(&self) -> u64 {
        self.epochs
    }

    /// Time in epochs, ns.
    pub fn inside_ns(&self) -> u64 {
        self.inside
    }

    /// Time between epochs, ns.
    pub fn between_ns(&self) -> u64 {
        self.run_ns().saturating_sub(self.inside)
    }

    /// Time of the run from the first begin to the last end, ns. For a resumed run, time between attempts is left out.
    pub fn run_ns(&self) -> u64 {
        self.origin.zip(self.last_end).map_or(0, |(begin, end)| end.ns_since(begin))
    }

    /// Begin of the first ended epoch; of the open one if none has ended; None: no epoch began.
    pub fn first_epoch(&self) -> Option<MonoNs> {
        self.marked().next().map(|epoch| epoch.begin).or(self.open)
    }

    /// Begin of the open epoch; None: no epoch is open.
    pub fn open(&self) -> Option<MonoNs> {
        self.open
    }

    /// Whether an epoch is open.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether the first epoch is open.
    pub fn is_in_first(&self) -> bool {
        self.open.is_some() && self.marked().next().is_none()
    }

    /// Energy of the open epoch from its begin to this instant, J; None: not measured.
    pub fn open_j(&self, until: MonoNs) -> Option<f64> {
        self.open.filter(|&begin| Some(begin) >= self.others_until)?;
        self.accounts.iter().filter_map(|account| account.recent_j(until)).reduce(|a, b| a + b)
    }

    /// Time of the run at this instant, s: from its begin, without the time between attempts.
    pub fn time_s(&self, at: MonoNs) -> f64 {
        self.origin.map_or(0.0, |begin| at.s_since(begin))
    }

    /// Energy of the run from its begin to this instant, J; None: unknown. Before the newest mark, it is exact to a
    /// step of the timeline.
    pub fn energy_until(&self, at: MonoNs) -> Option<f64> {
        let mark = self.last_mark().filter(|mark| Some(*mark) >= self.others_until)?;
        let credited_until = self.accounts.iter().filter_map(|account| account.credited_until).max();
        let until = at.max(mark);
        let recent = self.accounts.iter().flat_map(|account| [account.after.joules, account.recent_j(until)]);
        let all = units::sum(recent.chain([self.epochs_j(), self.between_j()]));
        let all = all.or_else(|| (credited_until >= Some(at)).then_some(0.0))?;
        let known = (self.first_begin.unwrap_or_default(), credited_until.unwrap_or_default());
        let later = if at < mark { self.timeline.between(at, mark, known) } else { 0.0 };
        Some((all - later).max(0.0))
    }

    /// A channel's energy since the last mark, J; None: nothing was credited.
    pub fn recent_j(&self, channel: usize) -> Option<f64> {
        self.accounts.get(channel)?.recent_j(MonoNs::NEVER)
    }

    /// First begin in this process; None: no epoch began.
    pub fn first_begin(&self) -> Option<MonoNs> {
        self.first_begin
    }

    /// End of the last epoch; None: none ended.
    pub fn last_end(&self) -> Option<MonoNs> {
        self.last_end
    }

    /// The newest mark; None: there is none.
    pub fn last_mark(&self) -> Option<MonoNs> {
        self.open.max(self.last_end)
    }
}
