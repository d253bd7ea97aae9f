//! A source, its place among the run's channels, and when it is read.

use crate::clock::MonoNs;
use crate::measurement::channel::{Channel, Quantity};
use crate::measurement::reading::Reading;
use crate::measurement::source::{MIN_GAP_NS, Source};
use crate::os;
use crate::units;
use std::ops::Range;

/// Readings of a counter in the time that it takes to wrap at full power. Fewer readings could miss a wrap.
const READINGS_PER_WRAP: f64 = 4.0;
/// Time between two readings of a power that is integrated in place of a counter, ns.
const POWER_GAP_NS: u64 = 100_000_000;

/// A source, its place among the run's channels, and when it is read.
pub struct SourceSlot {
    pub source: Box<dyn Source>,
    /// The number of its first channel.
    first_channel: usize,
    /// The last reading; None: it is due now.
    pub last_read: Option<MonoNs>,
    /// Whether a mark or a doubtful reading waits for its next reading.
    pub is_wanted: bool,
    /// Whether its power is integrated because the counter does not move. Then it is read often.
    pub is_by_power: bool,
    /// Whether this process counts it, or no process does. A source that another process counts is read at intervals
    /// only.
    pub is_ours: bool,
}

impl SourceSlot {
    /// A source that is due, with the number of its first channel.
    pub fn new(source: Box<dyn Source>, first_channel: usize) -> SourceSlot {
        SourceSlot { source, first_channel, last_read: None, is_wanted: false, is_by_power: false, is_ours: true }
    }

    /// The numbers of its channels.
    pub fn channels(&self) -> Range<usize> {
        self.first_channel..self.first_channel + self.source.channels().len()
    }

    /// When it may be read again: soon if a mark or a doubt waits for it, otherwise at the interval.
    pub fn next_read(&self, interval_ns: u64, is_marked: bool) -> MonoNs {
        let gap_ns = self.source.min_gap_ns().min(interval_ns);
        let gap_ns = match (is_marked && self.is_ours) || self.is_wanted {
            true => gap_ns,
            false if self.is_by_power => gap_ns.max(POWER_GAP_NS),
            false => self.varied(gap_ns.max(interval_ns)),
        };
        self.last_read.map_or(MonoNs::ZERO, |last_read| last_read + gap_ns)
    }

    /// The gap, ns. If powers check the counters, it is shortened by up to 40 % at random: equal gaps could match the
    /// period of the load.
    fn varied(&self, gap_ns: u64) -> u64 {
        if !self.source.checks_counters() {
            return gap_ns;
        }
        let random = units::mixed(self.last_read.unwrap_or_default().0) >> 32; // 0 to 2^32
        let share = random as f64 / f64::from(u32::MAX);
        (gap_ns as f64 * (0.6 + 0.4 * share)) as u64
    }

    /// Reads the source if it is due; otherwise takes the asynchronous readings that have come. `now` is the beginning
    /// of the pass.
    pub fn read(&mut self, now: MonoNs, interval_ns: u64, is_marked: bool, readings: &mut Vec<Reading>) {
        let first = readings.len();
        if now >= self.next_read(interval_ns, is_marked) {
            if ((is_marked && self.is_ours) || self.is_wanted) && !self.is_by_power {
                self.source.read_at_mark(&os::monotonic_ns, readings);
            } else {
                self.source.read(&os::monotonic_ns, readings);
            }
            self.last_read = Some(now);
        } else if self.source.has_news() {
            self.source.collect(readings);
        }
        for reading in readings.iter_mut().skip(first) {
            reading.channel += self.first_channel;
        }
    }
}

/// The longest time between two readings of a channel that misses no wrap, ns.
pub fn wrap_guard_ns(channel: &Channel) -> u64 {
    match channel.quantity {
        Quantity::Counter { joules_per_unit, range: Some(range), max_watts } => {
            let seconds = range as f64 * joules_per_unit / max_watts / READINGS_PER_WRAP;
            ((seconds * 1e9) as u64).max(MIN_GAP_NS)
        }
        _ => u64::MAX,
    }
}
