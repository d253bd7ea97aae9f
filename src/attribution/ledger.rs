//! Who used what: the run's time divided into epochs and what lies between, and every joule credited to
//! the part of it in which it was used. Pure: no clock, no device, no thread.
//!
//! Marks (begin, end, cancel) divide time. Credits (so much energy from here to there) come from the
//! meters and are spread over the divisions they overlap, evenly in time; so each joule lands once,
//! whichever of the two comes first, and the sums agree whatever the division.

mod epoch_view;
mod resume;

pub use super::account::Energies;
pub use epoch_view::{EpochSummary, InterEpoch};

use super::account::{ChannelAccount, Energy};
use super::epochs::{Epoch, EpochStore};
use super::timeline::Timeline;
use crate::clock::MonoNs;
use crate::measurement::channel::DeviceKind;
use crate::measurement::meter::EnergyInterval;

/// A reading that comes this long after a mark, ns, is late: a counter read within a millisecond is as
/// good as its own steps, later the power before and after the mark must be told apart.
const LATE_NS: u64 = 500_000;

/// Whether a credit's reading came late after this mark. Only where the time after the mark is less than a
/// quarter of that before it: otherwise the next power says too little about it.
fn is_late(mark: MonoNs, credit: EnergyInterval) -> bool {
    let after = credit.to.ns_since(mark);
    mark > credit.from && after > LATE_NS && after < mark.ns_since(credit.from) / 4
}

/// What the host said, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mark {
    /// An epoch began.
    Begin(MonoNs),
    /// It ended.
    End(MonoNs),
    /// It is not to count.
    Cancel(MonoNs),
    /// Epochs so many that they came as one.
    Batch {
        /// When the first began.
        begin: MonoNs,
        /// When the last ended.
        end: MonoNs,
        /// Time inside them.
        inside: u64,
        /// How many.
        count: u64,
    },
}

impl Mark {
    /// When it was made; of several epochs at once when the last ended.
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
    /// All energy from the first begin on, by time: no mark is waited for, as an epoch may last for days.
    timeline: Timeline,
    /// When this process began.
    first_begin: Option<MonoNs>,
    /// When the run did: before that where it was taken up.
    origin: Option<MonoNs>,
    open: Option<MonoNs>,
    last_end: Option<MonoNs>,
    epochs: u64,
    inside: u64,
    /// Up to here other processes have counted some of what was used; None: they have not.
    others_until: Option<MonoNs>,
    /// What earlier processes of the run measured on components that this one does not.
    before: Vec<Energies>,
    /// How many of the epochs were theirs.
    epochs_before: u64,
}

impl Ledger {
    /// Opens an account for a channel of this kind; its number is the count of those before it.
    pub fn add_channel(&mut self, kind: DeviceKind) {
        self.accounts.push(ChannelAccount::new(kind));
    }

    /// Whether another channel counts in this one's place.
    pub fn replace(&mut self, channel: usize, is_replaced: bool) {
        self.accounts.get_mut(channel).into_iter().for_each(|account| account.is_replaced = is_replaced);
    }

    /// The same run with nothing in it: as divided, and no energy.
    pub fn emptied(&self) -> Ledger {
        let accounts = self.accounts.iter().map(|account| ChannelAccount::new(account.kind)).collect();
        let (history, timeline) = (self.history.emptied(), Timeline::default());
        Ledger { accounts, history, timeline, before: Vec::new(), ..self.clone() }
    }

    /// Adds what a ledger of the same run has of a channel.
    pub fn take_over(&mut self, channel: usize, from: &Ledger) {
        if let Some((ours, theirs)) = self.accounts.get_mut(channel).zip(from.accounts.get(channel)) {
            ours.take_over(theirs);
        }
    }

    /// Adds its epochs' energies, and its energy by time. What others have counted, up to `others_until`, is in neither.
    pub fn add_epochs(&mut self, from: &Ledger, others_until: Option<MonoNs>) {
        self.others_until = self.others_until.max(others_until);
        self.timeline.merge(&from.timeline);
        let pairs = self.history.newest_first_mut().zip(from.history.iter().rev());
        pairs.for_each(|(epoch, more)| epoch.add_energy(more));
    }

    /// Takes out of a channel's account what was used since the last end of an epoch: no epoch has it, and it is no
    /// part of the time between epochs yet. Before a credit whose time is not kept any more, there may be a gap.
    pub fn take_unsettled(&mut self, channel: usize) -> Vec<EnergyInterval> {
        let since = self.last_end.or(self.first_begin);
        let Some(account) = self.accounts.get_mut(channel) else { return Vec::new() };
        let to = account
            .recent()
            .next()
            .map(|credit| credit.from)
            .or(self.open)
            .or(account.credited_until)
            .unwrap_or_default();
        let after = since.and_then(|since| account.take_after(since, to));
        if self.first_begin.is_some() {
            for credit in after.into_iter().chain(account.recent()) {
                self.timeline.add(account.kind, EnergyInterval { joules: -credit.joules, ..credit });
            }
        }
        after.into_iter().chain(account.take_recent()).collect()
    }

    /// Divides time.
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

    /// What was used up to here lies after the last epoch; before the first it is no part of the run.
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
                account.recent().for_each(|credit| self.timeline.add(account.kind, credit));
            }
        }
    }

    /// Files an epoch with what was credited to it so far; what lay before it is now between epochs.
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

    /// Takes a channel's energy: it goes to the parts of the run it was used in.
    ///
    /// Where the reading came late after a mark, the time from the mark to the reading belongs to what
    /// came after, whose power the next reading tells: until then the credit is held.
    pub fn credit(&mut self, channel: usize, credit: EnergyInterval) {
        let mark = self.last_mark_before(credit.to);
        let Some(account) = self.accounts.get_mut(channel).filter(|_| credit.to > credit.from) else { return };
        let held = account.held.take();
        let is_late = mark.is_some_and(|mark| is_late(mark, credit)) && credit.measured;
        if is_late {
            account.held = Some(credit);
        }
        if let Some(held) = held {
            let joules_per_ns = credit.joules / credit.to.ns_since(credit.from) as f64;
            self.spread_around_mark(channel, held, joules_per_ns);
        }
        if !is_late {
            self.spread(channel, credit);
        }
    }

    /// Places what a channel's account holds though no further reading came.
    pub fn release(&mut self, channel: usize) {
        if let Some(held) = self.accounts.get_mut(channel).and_then(|account| account.held.take()) {
            self.spread(channel, held);
        }
    }

    /// The same for every channel.
    pub fn release_all(&mut self) {
        (0..self.accounts.len()).for_each(|channel| self.release(channel));
    }

    /// Spreads energy on both sides of the last mark within it, given the power (J/ns) that followed.
    fn spread_around_mark(&mut self, channel: usize, credit: EnergyInterval, joules_per_ns: f64) {
        let Some(mark) = self.last_mark_before(credit.to).filter(|&mark| is_late(mark, credit)) else {
            return self.spread(channel, credit);
        };
        let after = (joules_per_ns * credit.to.ns_since(mark) as f64).min(credit.joules);
        self.spread(channel, EnergyInterval { to: mark, joules: credit.joules - after, ..credit });
        self.spread(channel, EnergyInterval { from: mark, joules: after, ..credit });
    }

    /// The newest begin or end before this instant, among the newest few.
    fn last_mark_before(&self, at: MonoNs) -> Option<MonoNs> {
        let newest = self.history.iter().rev().take(2).flat_map(|epoch| [epoch.end, epoch.begin]);
        self.open.into_iter().chain(newest).find(|&mark| mark < at)
    }

    /// Spreads a channel's energy evenly over the parts of the run it overlaps, from the newest back.
    fn spread(&mut self, channel: usize, credit: EnergyInterval) {
        let last_mark = self.last_mark();
        let Ledger { accounts, history, timeline, first_begin, open, .. } = self;
        let (Some(account), true) = (accounts.get_mut(channel), credit.to > credit.from) else { return };
        account.credited_until = account.credited_until.max(Some(credit.to));
        let (Some(run_start), Some(last_mark)) = (*first_begin, last_mark.or(*first_begin)) else {
            return account.remember(credit);
        };
        let Some(credit) = credit.split(run_start).1 else { return };
        timeline.add(account.kind, credit);
        let (mut rest, newest) = credit.split(last_mark);
        if let Some(newest) = newest {
            account.remember(newest);
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
            if epoch.end <= credit.from {
                break;
            }
            account.between.add(take_after(epoch.end).unwrap_or_default());
            if let Some(part) = take_after(epoch.begin) {
                account.add_epoch(part, epoch.inside_share(), epoch);
            }
        }
        if let Some(share) = take_after(run_start) {
            let place = if history.is_empty() { &mut account.after } else { &mut account.between };
            place.add(share);
        }
    }

    /// Up to when a channel's energy is known; None: nothing was credited.
    pub fn credited_until(&self, channel: usize) -> Option<MonoNs> {
        self.accounts.get(channel)?.credited_until
    }

    /// What a channel used in epochs and between them.
    pub fn channel(&self, channel: usize) -> Energy {
        self.energies(channel).sum()
    }

    /// The same, each by itself.
    pub fn energies(&self, channel: usize) -> Energies {
        let energies = |account: &ChannelAccount| Energies { epochs: account.epochs, between: account.between };
        self.accounts.get(channel).map(energies).unwrap_or_default()
    }

    /// Energy in epochs, J; None: not measured.
    pub fn epochs_j(&self) -> Option<f64> {
        let before = self.before.iter().map(|used| used.epochs);
        let parts = self.accounts.iter().map(|account| account.epochs).chain(before);
        parts.filter_map(|part| part.joules).reduce(|a, b| a + b)
    }

    /// Energy between epochs, J; None: not measured.
    pub fn between_j(&self) -> Option<f64> {
        let before = self.before.iter().map(|used| used.between);
        let parts = self.accounts.iter().map(|account| account.between).chain(before);
        let between = parts.filter_map(|part| part.joules).reduce(|a, b| a + b);
        between.or(self.epochs_j().map(|_| 0.0).filter(|_| self.between_ns() == 0))
    }

    /// The run's energy, J; None: not measured.
    pub fn energy_j(&self) -> Option<f64> {
        Some(self.epochs_j()? + self.between_j().unwrap_or(0.0))
    }

    /// All energy from the first begin on, by time. What lies after the last end is not the run's yet.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The epochs kept.
    pub fn history(&self) -> &EpochStore {
        &self.history
    }

    /// Epochs ended.
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

    /// From the first begin to the last end, ns; of that of each process, where the run was taken up.
    pub fn run_ns(&self) -> u64 {
        self.origin.zip(self.last_end).map_or(0, |(begin, end)| end.ns_since(begin))
    }

    /// When the first epoch began, or, where none has ended, the open one.
    pub fn first_epoch(&self) -> Option<MonoNs> {
        self.history.iter().next().map(|epoch| epoch.begin).or(self.open)
    }

    /// When the open epoch began.
    pub fn open(&self) -> Option<MonoNs> {
        self.open
    }

    /// Whether an epoch is open.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether the first epoch is open.
    pub fn is_in_first(&self) -> bool {
        self.open.is_some() && self.history.is_empty()
    }

    /// What the open epoch used from its begin to this instant, J; None: not measured.
    pub fn open_j(&self, to: MonoNs) -> Option<f64> {
        self.open.filter(|&begin| Some(begin) >= self.others_until)?;
        self.accounts.iter().filter_map(|account| account.recent_j(to)).reduce(|a, b| a + b)
    }

    /// What a channel used since the last mark, J; None: nothing was credited.
    pub fn recent_j(&self, channel: usize) -> Option<f64> {
        self.accounts.get(channel)?.recent_j(MonoNs::NEVER)
    }

    /// When the run began, or this process took it up.
    pub fn first_begin(&self) -> Option<MonoNs> {
        self.first_begin
    }

    /// When the last epoch ended.
    pub fn last_end(&self) -> Option<MonoNs> {
        self.last_end
    }

    /// The newest mark there is.
    pub fn last_mark(&self) -> Option<MonoNs> {
        self.open.max(self.last_end)
    }
}

#[cfg(test)]
mod tests;
