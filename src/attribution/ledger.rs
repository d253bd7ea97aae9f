//! The ledger: it divides the run's time into epochs and the time between them, and assigns each joule to one of these
//! parts. Pure: no clock, no device, no thread.
//!
//! Marks (begin, end, cancel) divide time. Meters give energy intervals. An interval is spread evenly in time over the
//! parts that it overlaps. Marks and intervals may come in either order: each joule is assigned once, and the sums are
//! the same for any division.

mod epoch_view;
mod resume;
mod totals;

pub use super::account::EnergySplit;
pub use epoch_view::{EpochSummary, InterEpoch};

use super::account::{AT_MARK_NS, ChannelAccount, Energy};
use super::epochs::{Epoch, EpochStore};
use super::timeline::Timeline;
use crate::clock::MonoNs;
use crate::measurement::channel::DeviceKind;
use crate::measurement::meter::EnergyInterval;

/// Whether an interval's reading came late after this mark. The time after the mark has to be less than a quarter of
/// the time before it. Otherwise the next power is too weak evidence for it.
fn is_late(mark: MonoNs, interval: EnergyInterval) -> bool {
    let after = interval.to.ns_since(mark);
    mark > interval.from && after > AT_MARK_NS && after < mark.ns_since(interval.from) / 4
}

/// A mark of the application.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mark {
    /// An epoch began.
    Begin(MonoNs),
    /// The open epoch ended.
    End(MonoNs),
    /// The open epoch was cancelled: it does not count.
    Cancel(MonoNs),
    /// Several epochs in one mark, because the queue was full.
    Batch {
        /// When the first began.
        begin: MonoNs,
        /// When the last ended.
        end: MonoNs,
        /// Time in them, ns.
        inside: u64,
        /// Number of epochs.
        count: u64,
    },
}

impl Mark {
    /// Its instant; for a batch, the end of the last epoch.
    pub fn at(self) -> MonoNs {
        match self {
            Mark::Begin(at) | Mark::End(at) | Mark::Cancel(at) | Mark::Batch { end: at, .. } => at,
        }
    }
}

/// The run so far.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    accounts: Vec<ChannelAccount>,
    history: EpochStore,
    /// All energy from the first begin on, by time. It does not wait for marks, because an epoch may last for days.
    timeline: Timeline,
    /// First begin in this process.
    first_begin: Option<MonoNs>,
    /// Begin of the run. For a resumed run it is before `first_begin`.
    origin: Option<MonoNs>,
    open: Option<MonoNs>,
    last_end: Option<MonoNs>,
    epochs: u64,
    inside: u64,
    /// Other processes counted some of the energy up to here; None: they did not.
    others_until: Option<MonoNs>,
    /// Energy that earlier attempts measured, by their components. Energy of a component that has a channel here is
    /// zero.
    carried_over: Vec<EnergySplit>,
    /// Epochs of earlier attempts.
    epochs_before: u64,
    /// Entries that are pieces of the run's progress, and no epochs. They came before the first mark of an epoch.
    pieces: u64,
    /// End of the last of these; None: there are none.
    pieces_until: Option<MonoNs>,
}

impl Ledger {
    /// Opens an account for a channel of this kind. Its number is the number of accounts before it.
    pub fn add_channel(&mut self, kind: DeviceKind) {
        self.accounts.push(ChannelAccount::new(kind));
    }

    /// Sets whether another channel counts in this one's place.
    pub fn replace(&mut self, channel: usize, is_replaced: bool) {
        self.accounts.get_mut(channel).into_iter().for_each(|account| account.is_replaced = is_replaced);
    }

    /// A copy with the same division of time and no energy.
    pub fn emptied(&self) -> Ledger {
        let accounts = self.accounts.iter().map(|account| ChannelAccount::new(account.kind)).collect();
        let (history, timeline) = (self.history.emptied(), Timeline::default());
        Ledger { accounts, history, timeline, carried_over: Vec::new(), ..self.clone() }
    }

    /// Adds a channel's account from another ledger of the same run. This ledger's held interval is assigned, because
    /// the next reading is in the other ledger.
    pub fn take_over(&mut self, channel: usize, from: &Ledger) {
        self.release(channel);
        if let Some((ours, theirs)) = self.accounts.get_mut(channel).zip(from.accounts.get(channel)) {
            ours.take_over(theirs);
        }
    }

    /// Adds the epochs' energies and the timeline of another ledger of the same run. Neither has the energy that other
    /// processes counted up to `others_until`.
    pub fn add_epochs(&mut self, from: &Ledger, others_until: Option<MonoNs>) {
        self.others_until = self.others_until.max(others_until);
        self.timeline.merge(&from.timeline);
        let pairs = self.history.newest_first_mut().zip(from.history.iter().rev());
        pairs.for_each(|(epoch, more)| epoch.add_energy(more));
    }

    /// Takes a channel's energy since the last end of an epoch out of its account. That energy is in no epoch and not
    /// yet between epochs. The intervals may have gaps where older times are no longer known.
    pub fn take_unsettled(&mut self, channel: usize) -> Vec<EnergyInterval> {
        let since = self.last_end.or(self.first_begin);
        let Some(account) = self.accounts.get_mut(channel) else { return Vec::new() };
        let to = account
            .recent()
            .next()
            .map(|interval| interval.from)
            .or(self.open)
            .or(account.credited_until)
            .unwrap_or_default();
        let after = since.and_then(|since| account.take_after(since, to));
        if self.first_begin.is_some() {
            for interval in after.into_iter().chain(account.recent()) {
                self.timeline.add(account.kind, EnergyInterval { joules: -interval.joules, ..interval });
            }
        }
        after.into_iter().chain(account.take_recent()).collect()
    }

    /// Divides time at a mark.
    pub fn mark(&mut self, mark: Mark) {
        match mark {
            Mark::Begin(at) => {
                self.begin(at);
                self.open = Some(at);
            }
            Mark::End(end) => {
                if let Some(begin) = self.open.take() {
                    self.close(Epoch::empty(begin, end, end.ns_since(begin), 1));
                }
            }
            Mark::Cancel(at) => {
                self.open = None;
                for account in &mut self.accounts {
                    let cancelled = account.take_until(at);
                    account.after.add(cancelled);
                }
            }
            Mark::Batch { begin, end, inside, count } => {
                self.begin(begin);
                self.close(Epoch::empty(begin, end, inside, count));
            }
        }
    }

    /// Begins an epoch. The energy so far is after the last epoch. Before the first epoch it is not part of the run.
    fn begin(&mut self, at: MonoNs) {
        let is_first = self.first_begin.is_none();
        if is_first {
            self.place_before(at);
        }
        self.first_begin.get_or_insert(at);
        self.origin.get_or_insert(at);
        for account in &mut self.accounts {
            let before = account.take_until(at);
            account.after.add(before);
            if is_first {
                account.after = Energy::default();
            }
        }
        if is_first {
            self.timeline = Timeline::default();
            for account in &self.accounts {
                account.recent().for_each(|interval| self.timeline.add(account.kind, interval));
            }
        }
    }

    /// Stores an epoch with its energy so far. The energy before it is now between epochs.
    fn close(&mut self, mut epoch: Epoch) {
        let inside = epoch.inside_share();
        for account in &mut self.accounts {
            let after = std::mem::take(&mut account.after);
            account.between.add(after);
            let used = account.take_until(epoch.end);
            account.add_epoch(used, inside, &mut epoch);
        }
        self.epochs += epoch.count;
        self.inside += epoch.inside;
        self.last_end = Some(epoch.end);
        self.history.push(epoch);
    }

    /// Assigns a channel's energy to the parts of the run.
    ///
    /// If the reading came late after a mark, the time from the mark to the reading has the power of the next part. The
    /// next reading shows that power, so the interval is held until then.
    pub fn credit(&mut self, channel: usize, interval: EnergyInterval) {
        let mark = self.last_mark_before(interval.to);
        let Some(account) = self.accounts.get_mut(channel).filter(|_| interval.to > interval.from) else { return };
        let held = account.held.take();
        let is_late = mark.is_some_and(|mark| is_late(mark, interval)) && interval.measured;
        if is_late {
            account.held = Some(interval);
        }
        if let Some(held) = held {
            self.spread_around_mark(channel, held, interval);
        }
        if !is_late {
            self.spread(channel, interval);
        }
    }

    /// Assigns a channel's held interval evenly, because no further reading comes.
    pub fn release(&mut self, channel: usize) {
        if let Some(held) = self.accounts.get_mut(channel).and_then(|account| account.held.take()) {
            self.spread(channel, held);
        }
    }

    /// Assigns the held intervals of all channels.
    pub fn release_all(&mut self) {
        (0..self.accounts.len()).for_each(|channel| self.release(channel));
    }

    /// Spreads an interval on both sides of the last mark in it, by the power after the mark. The next interval shows
    /// that power for its own length. The rest of the time after the mark has the interval's mean power.
    fn spread_around_mark(&mut self, channel: usize, interval: EnergyInterval, next: EnergyInterval) {
        let Some(mark) = self.last_mark_before(interval.to).filter(|&mark| is_late(mark, interval)) else {
            return self.spread(channel, interval);
        };
        let energy = |one: EnergyInterval, ns: u64| one.joules * ns as f64 / one.to.ns_since(one.from) as f64;
        let after_ns = interval.to.ns_since(mark);
        let shown_ns = after_ns.min(next.to.ns_since(next.from));
        let after = (energy(next, shown_ns) + energy(interval, after_ns - shown_ns)).min(interval.joules);
        self.spread(channel, EnergyInterval { to: mark, joules: interval.joules - after, ..interval });
        self.spread(channel, EnergyInterval { from: mark, joules: after, ..interval });
    }

    /// The newest begin or end before this instant, in the open epoch and the last two.
    fn last_mark_before(&self, at: MonoNs) -> Option<MonoNs> {
        let newest = self.history.iter().rev().take(2).flat_map(|epoch| [epoch.end, epoch.begin]);
        self.open.into_iter().chain(newest).find(|&mark| mark < at)
    }

    /// Spreads an interval evenly over the parts of the run that it overlaps, from the newest back.
    fn spread(&mut self, channel: usize, interval: EnergyInterval) {
        let last_mark = self.last_mark();
        let Ledger { accounts, history, timeline, first_begin, open, pieces_until, .. } = self;
        let (Some(account), true) = (accounts.get_mut(channel), interval.to > interval.from) else { return };
        account.credited_until = account.credited_until.max(Some(interval.to));
        let (Some(run_start), Some(last_mark)) = (*first_begin, last_mark.or(*first_begin)) else {
            return account.remember(interval);
        };
        let read = interval;
        let Some(interval) = interval.split(run_start).1 else { return };
        timeline.add(account.kind, interval);
        let (mut rest, newest) = interval.split(last_mark);
        if let Some(newest) = newest {
            account.remember_rest(read.split(last_mark).0, newest);
        }
        let mut take_after = |at: MonoNs| {
            let (before, after) = rest?.split(at);
            rest = before;
            after.map(Energy::from)
        };
        if let Some(share) = open.and(history.iter().next_back()).and_then(|epoch| take_after(epoch.end)) {
            account.after.add(share);
        }
        for epoch in history.newest_first_mut() {
            if epoch.end <= interval.from {
                break;
            }
            account.between.add(take_after(epoch.end).unwrap_or_default());
            let is_piece = epoch.is_own_until(*pieces_until);
            let beyond_ns = read.to.ns_since(epoch.end).max(epoch.begin.ns_since(read.from));
            match take_after(epoch.begin) {
                Some(part) if is_piece => account.between.add(part),
                Some(part) => {
                    let beside = if beyond_ns > AT_MARK_NS { read.joules - part.joules.unwrap_or(0.0) } else { 0.0 };
                    account.add_epoch(part.beside(beside), epoch.inside_share(), epoch);
                }
                None => (),
            }
        }
        if let Some(share) = take_after(run_start) {
            let share_of = if history.is_empty() { &mut account.after } else { &mut account.between };
            share_of.add(share);
        }
    }
}

#[cfg(test)]
mod tests;
