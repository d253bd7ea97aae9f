//! Named phases of a run: their time, and their part of the energy.
//!
//! In: slices of time from the application's marks, and each channel's intervals of energy. Out: time, entries and
//! energy of each phase, with an interval. Never: it reads no clock and no device.

mod cholesky;
mod stack;
mod sums;
mod timeline;
mod tree;

pub use stack::{LONG_NS, PhaseMark, PhaseStack};
pub use sums::{PhaseShares, PhaseSums};
pub use tree::{IN_EPOCH, MAX_PHASES, OTHER, OUTSIDE, PhaseTree};

use crate::clock::{MonoNs, S_PER_NS};
use crate::measurement::meter::{EnergyInterval, join_most_alike};
use rtrb::Consumer;
use std::collections::VecDeque;
use std::sync::Arc;
use sums::Portion;
use timeline::PhaseTimeline;

/// Most intervals of a channel that wait for the phases of their time. If there are more, two neighbours are joined.
const MAX_WAITING: usize = 64;

/// Time and entries of one phase, without those of the phases within it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PhaseTime {
    /// Time in it, ns.
    pub ns: u64,
    /// How often it began.
    pub entries: u64,
}

/// All phases of a run so far.
#[derive(Clone, Debug, Default)]
pub struct PhaseBook {
    /// The phases by name and place. The application's thread adds to it.
    pub tree: Arc<PhaseTree>,
    times: Vec<PhaseTime>,
    timeline: PhaseTimeline,
    /// Parts of the slice that is being read.
    parts: Vec<(usize, u64)>,
    /// Begin of the first phase; None: none has begun.
    first: Option<MonoNs>,
    channels: Vec<ChannelPhases>,
    /// The end of the newest slice in which a phase was too short for a reading of its own.
    mixed_until: Option<MonoNs>,
    /// Other processes of the job may count the devices.
    is_shared: bool,
}

/// The phases of one channel.
#[derive(Clone, Debug, Default)]
struct ChannelPhases {
    sums: PhaseSums,
    /// Sums since the end of the last epoch, if another process of the job may take the device over from there on.
    open: PhaseSums,
    /// The begin of these sums; None: they are empty.
    open_from: Option<MonoNs>,
    /// The instant up to which the energy is in `sums`, whoever counts the device later; None: no epoch has ended.
    kept_until: Option<MonoNs>,
    /// Time between two updates of the device's figure, s.
    step_s: f64,
    /// Intervals whose phases are not known yet.
    waiting: VecDeque<EnergyInterval>,
    known_until: Option<MonoNs>,
    /// No process of the job counted the device up to here.
    free_until: MonoNs,
}

impl PhaseBook {
    /// Whether no phase has begun.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The end of the newest slice in which a phase was too short for a reading of its own.
    pub fn mixed_until(&self) -> Option<MonoNs> {
        self.mixed_until
    }

    /// Enters the marks in the ring. `is_shared`: other processes of the job may count the devices.
    pub fn take(&mut self, marks: &mut Consumer<PhaseMark>, is_shared: bool) {
        self.is_shared = is_shared;
        while let Ok(mark) = marks.pop() {
            self.mark(mark);
        }
    }

    /// Enters a mark of the application.
    pub fn mark(&mut self, mark: PhaseMark) {
        match mark {
            PhaseMark::Start(at) => self.first = self.first.or(Some(at)),
            PhaseMark::Part { phase, entries, ns } => {
                let phase = usize::from(phase);
                if phase >= self.times.len() {
                    self.times.resize(phase + 1, PhaseTime::default());
                }
                if let Some(time) = self.times.get_mut(phase) {
                    time.ns += ns;
                    time.entries += u64::from(entries);
                }
                if ns > 0 {
                    self.parts.push((phase, ns));
                }
            }
            PhaseMark::End(to) => {
                let parts = std::mem::take(&mut self.parts);
                if to.ns_since(self.timeline.until().unwrap_or(to)) < LONG_NS {
                    self.mixed_until = Some(to);
                }
                self.timeline.push(self.first.unwrap_or(to), to, parts);
            }
        }
    }

    /// Time and entries of a phase, without those of the phases within it.
    pub fn time(&self, phase: usize) -> PhaseTime {
        self.times.get(phase).copied().unwrap_or_default()
    }

    /// The first and the last instant whose phases are known; None: no phase has begun.
    pub fn span(&self) -> Option<(MonoNs, MonoNs)> {
        self.first.zip(self.timeline.until())
    }

    /// Enters the energy of a channel, by its number. Its device updates the figure each `step_ns`, so on the mean a
    /// reading is half as old. Energy from before the first phase does not count.
    pub fn credit(&mut self, (channel, step_ns): (usize, u64), interval: EnergyInterval) {
        let age_ns = step_ns / 2;
        let interval = EnergyInterval { from: interval.from - age_ns, to: interval.to - age_ns, ..interval };
        let Some(interval) = self.first.and_then(|first| interval.split(first).1) else { return };
        if channel >= self.channels.len() {
            self.channels.resize_with(channel + 1, ChannelPhases::default);
        }
        let Some(one) = self.channels.get_mut(channel) else { return };
        let Some(interval) = interval.split(one.free_until).1 else { return };
        one.step_s = step_ns as f64 * S_PER_NS;
        let place = one.waiting.partition_point(|waiting| waiting.from <= interval.from);
        one.waiting.insert(place, interval);
        if one.waiting.len() > MAX_WAITING {
            join_most_alike(&mut one.waiting);
        }
    }

    /// Enters energy of a device that no process counts. If this one counts it later from an earlier instant on, none
    /// of it is entered again.
    pub fn credit_free(&mut self, channel: (usize, u64), interval: EnergyInterval) {
        self.credit(channel, interval);
        if let Some(one) = self.channels.get_mut(channel.0) {
            one.free_until = one.free_until.max(interval.to - channel.1 / 2);
        }
    }

    /// Keeps the energy of a channel up to the end of an epoch: from there on another process may count the device.
    pub fn keep_until(&mut self, channel: usize, end: MonoNs) {
        if let Some(one) = self.channels.get_mut(channel).filter(|_| self.is_shared) {
            let open = std::mem::take(&mut one.open);
            one.sums.add_sums(&open, 1.0);
            (one.kept_until, one.open_from) = (Some(end), None);
        }
    }

    /// Drops a channel's energy from `at` on: another process counts it.
    pub fn yield_from(&mut self, channel: usize, at: MonoNs) {
        if let Some(one) = self.channels.get_mut(channel) {
            // The other process counts from the last end of an epoch here, or later.
            let open = std::mem::take(&mut one.open);
            let from = one.open_from.take().unwrap_or(at);
            let known = one.known_until.unwrap_or(at);
            let ours = at.min(known).ns_since(from) as f64 / known.ns_since(from).max(1) as f64;
            one.sums.add_sums(&open, ours.min(1.0));
            one.kept_until = one.kept_until.max(Some(at));
            one.waiting = one.waiting.iter().filter_map(|interval| interval.split(at).0).collect();
        }
    }

    /// Divides the energy of the intervals whose phases are known.
    pub fn settle(&mut self) {
        let Some(until) = self.timeline.until() else { return };
        let PhaseBook { channels, timeline, is_shared, .. } = self;
        for channel in channels.iter_mut() {
            while let Some(interval) = channel.waiting.front().copied().filter(|interval| interval.to <= until) {
                channel.waiting.pop_front();
                channel.add(interval, timeline, *is_shared);
            }
        }
        let oldest = channels.iter().map(|channel| channel.known_until.unwrap_or_default()).min();
        timeline.forget_until(oldest.unwrap_or(until));
    }

    /// The sums of each channel up to the last known phase. An interval that lasts longer is cut there. If other
    /// processes may count the device, `has_open` adds the energy after the last end of an epoch.
    pub fn sums(&self, has_open: bool) -> Vec<PhaseSums> {
        let until = self.timeline.until().unwrap_or_default();
        let of_channel = |channel: &ChannelPhases| {
            let mut cut = ChannelPhases { waiting: VecDeque::new(), ..channel.clone() };
            let known = channel.waiting.iter().filter_map(|interval| interval.split(until).0);
            known.for_each(|interval| cut.add(interval, &self.timeline, self.is_shared));
            if has_open || !self.is_shared || channel.kept_until.is_none() {
                cut.sums.add_sums(&cut.open, 1.0);
            }
            cut.sums
        };
        self.channels.iter().map(of_channel).collect()
    }
}

impl ChannelPhases {
    fn add(&mut self, interval: EnergyInterval, timeline: &PhaseTimeline, is_shared: bool) {
        if !is_shared {
            return self.add_to(interval, timeline, false);
        }
        let (kept, open) = self.kept_until.map_or((None, Some(interval)), |end| interval.split(end));
        kept.into_iter().for_each(|kept| self.add_to(kept, timeline, false));
        open.into_iter().for_each(|open| self.add_to(open, timeline, true));
    }

    fn add_to(&mut self, interval: EnergyInterval, timeline: &PhaseTimeline, is_open: bool) {
        let follows = self.known_until == Some(interval.from);
        if is_open {
            self.open_from.get_or_insert(interval.from);
        }
        let (mix, step_s) = (timeline.mix(interval), self.step_s);
        let sums = if is_open { &mut self.open } else { &mut self.sums };
        sums.add(&Portion { mix: &mix, joules: interval.joules, is_measured: interval.measured, follows, step_s });
        self.known_until = self.known_until.max(Some(interval.to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// A second of one phase, with 1 J in each 100 ms from `from_ms` on.
    fn book(from_ms: u64) -> PhaseBook {
        let mut book = PhaseBook { is_shared: true, ..PhaseBook::default() };
        book.mark(PhaseMark::Start(MonoNs(0)));
        book.mark(PhaseMark::Part { phase: 3, entries: 1, ns: 1000 * MS });
        book.mark(PhaseMark::End(MonoNs(1000 * MS)));
        for from in (from_ms..1000).step_by(100).map(|ms| MonoNs(ms * MS)) {
            book.credit((0, 0), EnergyInterval { from, to: from + 100 * MS, joules: 1.0, measured: true });
        }
        book.settle();
        book
    }

    fn joules(book: &PhaseBook, has_open: bool) -> f64 {
        book.sums(has_open)[0].total_j()
    }

    #[test]
    fn another_process_gets_the_energy_since_the_last_epoch() {
        let mut shared = book(0);
        assert!((joules(&shared, true) - 10.0).abs() < 1e-9);
        shared.yield_from(0, MonoNs(0));
        assert_eq!(joules(&shared, true), 0.0, "no epoch has ended");
        let mut ended = book(0);
        ended.keep_until(0, MonoNs(1000 * MS));
        ended.yield_from(0, MonoNs(1000 * MS));
        assert!((joules(&ended, false) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn a_turn_that_is_lost_at_its_begin_has_no_energy() {
        let mut book = book(400);
        book.yield_from(0, MonoNs(400 * MS));
        assert_eq!(joules(&book, true), 0.0);
    }
}
