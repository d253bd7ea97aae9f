//! The processors' lines of /proc/stat.

use crate::measurement::reading::Fault;
use crate::os;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Busy time and all time, in the same unit.
#[derive(Clone, Copy, Default)]
pub struct Times {
    /// The busy time.
    pub busy: f64,
    /// All time.
    pub total: f64,
}

impl Times {
    /// The times from one line: user nice system idle iowait irq softirq steal … Guest time is part of user. Stolen
    /// time is left out, because another machine used it.
    fn of(line: &str) -> Option<Times> {
        let mut times = Times::default();
        let mut count = 0;
        for (column, ticks) in line.split_ascii_whitespace().take(7).enumerate() {
            let ticks = ticks.parse::<u64>().ok()? as f64;
            times.total += ticks;
            times.busy += if matches!(column, 3 | 4) { 0.0 } else { ticks };
            count += 1;
        }
        (count >= 4).then_some(times)
    }

    /// The busy share of the time since `before`, 0 to 1.
    pub fn busy_since(self, earlier: Times) -> f64 {
        let total = self.total - earlier.total;
        if total > 0.0 { ((self.busy - earlier.busy) / total).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// The content of /proc/stat.
pub struct Stat {
    /// The times of all processors together.
    pub machine: Times,
    /// The processors' numbers.
    pub numbers: Vec<usize>,
    /// The times of each processor, in the order of `numbers`.
    pub processors: Vec<Times>,
}

impl Stat {
    /// Reads the file. The caller keeps `buffer` for the next call, so that it is not allocated again.
    pub fn read(stat: &File, buffer: &mut Vec<u8>) -> Result<Stat, Fault> {
        let mut found = Stat { machine: Times::default(), numbers: Vec::new(), processors: Vec::new() };
        for line in text(stat, buffer)?.lines() {
            let Some((number, times)) = line.strip_prefix("cpu").and_then(|line| line.split_once(' ')) else {
                continue;
            };
            let times = Times::of(times).ok_or(Fault::Garbage);
            if number.is_empty() {
                found.machine = times?;
            } else if let Ok(number) = number.parse() {
                found.numbers.push(number);
                found.processors.push(times?);
            }
        }
        if found.numbers.is_empty() { Err(Fault::Garbage) } else { Ok(found) }
    }

    /// The load of each processor since `before`, 0 to 1. If only the line of all processors changes, each gets the
    /// load of all.
    pub fn busy_since(&self, earlier: &Stat) -> Vec<f64> {
        let pairs = || self.processors.iter().zip(&earlier.processors);
        if pairs().all(|(now, earlier)| now.total <= earlier.total) {
            return vec![self.machine.busy_since(earlier.machine); self.processors.len()];
        }
        pairs().map(|(now, earlier)| now.busy_since(*earlier)).collect()
    }
}

/// The beginning of /proc/stat up to the end of the processors' lines.
fn text<'a>(stat: &File, buffer: &'a mut Vec<u8>) -> Result<&'a str, Fault> {
    const MIN_BYTES: usize = 2048;
    buffer.resize(buffer.len().max(MIN_BYTES), 0);
    let mut length = stat.read_at(buffer, 0)?;
    while length == buffer.len() && !buffer.windows(5).any(|text| text == b"\nintr") {
        if length as u64 >= os::text::MAX_TABLE_BYTES {
            return Err(Fault::TooLarge);
        }
        buffer.resize(2 * length, 0);
        length = stat.read_at(buffer, 0)?;
    }
    std::str::from_utf8(buffer.get(..length).unwrap_or_default()).map_err(|_| Fault::Garbage)
}
