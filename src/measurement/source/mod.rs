//! The sources of energy, one file or folder each, and what all of them share.
//!
//! In: device files, driver calls, the job's GPU selection. Out: channels and their readings. Never: a source does not
//! choose between sources, and does not judge a power or a counter that does not move.

pub mod background;
pub mod cpu;
pub mod gpu;
pub mod node;
#[cfg(test)]
mod recorded;
pub mod simulated;
pub mod sysfs;

use super::unavailable::Unavailable;
pub use background::{OPEN_WAIT, Opened, Opening, Waker};
pub use gpu::nvml::start as start_nvml;

use super::channel::Channel;
use super::reading::{Reading, Value};
use crate::clock::MonoNs;

/// Shortest time between two readings, ns, unless a source has its own. Counters move in steps of 1 ms or more, and an
/// application may mark millions of epochs a second.
pub const MIN_GAP_NS: u64 = 10_000_000;

/// A device, or several, that can be read. One thread at a time reads it, and holds no lock.
pub trait Source: Send {
    /// The channels. [`Reading::channel`] is the index of one.
    fn channels(&self) -> &[Channel];

    /// Appends a reading of each channel to `readings`, with the time on `clock`, ns. A channel without a new value is
    /// left out.
    fn read(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>);

    /// Reads at the begin or end of an epoch, where the energy up to this instant matters. It may take longer than
    /// `read`.
    fn read_at_mark(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
        self.read(clock, readings);
    }

    /// Shortest useful time between two readings, ns.
    fn min_gap_ns(&self) -> u64 {
        MIN_GAP_NS
    }

    /// Whether an asynchronous read has completed.
    fn has_news(&self) -> bool {
        false
    }

    /// Appends the readings of completed asynchronous reads.
    fn collect(&mut self, _readings: &mut Vec<Reading>) {}

    /// Whether a GPU's meter covers the whole module: processor, GPU and memory.
    fn has_module(&self) -> bool {
        false
    }

    /// Whether the source also reads powers by which its counters are checked. The times of such readings must not
    /// follow the load.
    fn checks_counters(&self) -> bool {
        false
    }

    /// Longest time between two readings without a loss of accuracy, ns.
    fn max_gap_ns(&self) -> u64 {
        u64::MAX
    }
}

/// Reads counter files one after the other. The time of each reading is the middle of its own read.
fn read_counters(
    files: &mut [sysfs::number_file::NumberFile],
    clock: &dyn Fn() -> MonoNs,
    readings: &mut Vec<Reading>,
) {
    for (channel, file) in files.iter_mut().enumerate() {
        let (at, number) = file.stamped(clock);
        readings.push(Reading { channel, at, value: number.map(Value::Count) });
    }
}
