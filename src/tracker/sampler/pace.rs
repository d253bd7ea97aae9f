//! How much processor time the sampling thread may take for readings at marks. Pure.
//!
//! Marks may come a thousand times a second. A reading of each would take several percent of a processor. So readings
//! at marks share an allowance, which grows with time. Once it is used up, the next reading at a mark comes when it has
//! grown again, and marks until then share that reading. Requests of the application never wait.

use crate::clock::MonoNs;

/// The share of a processor that readings at marks may take.
const SHARE: f64 = 0.002;
/// The largest allowance, ns: some eighty readings in a row.
const MOST_NS: f64 = 4e6;
/// Longest wait for the allowance, ns.
const LONGEST_NS: f64 = 1e8;

/// The allowance so far.
#[derive(Clone, Copy, Debug)]
pub struct ReadingPace {
    left_ns: f64,
    at: MonoNs,
    /// Processor time of the thread at the last update, ns.
    spent_ns: u64,
}

impl ReadingPace {
    /// A full allowance.
    pub fn new(at: MonoNs, spent_ns: u64) -> ReadingPace {
        ReadingPace { left_ns: MOST_NS, at, spent_ns }
    }

    /// Takes the processor time since the last update out of the allowance. `spent_ns` is that of the thread in all.
    pub fn update(&mut self, now: MonoNs, spent_ns: u64) {
        let grown = now.ns_since(self.at) as f64 * SHARE;
        let used = spent_ns.saturating_sub(self.spent_ns) as f64;
        self.left_ns = (self.left_ns.max(-LONGEST_NS * SHARE) + grown).min(MOST_NS) - used;
        (self.at, self.spent_ns) = (now, spent_ns);
    }

    /// From when on a mark may be read.
    pub fn ready_at(&self) -> MonoNs {
        let debt_ns = (-self.left_ns).max(0.0) / SHARE;
        self.at + debt_ns.min(LONGEST_NS) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes of this cost at marks of this distance, for ten seconds. Returns their number and share of a processor.
    fn passes(cost_ns: u64, distance_ns: u64) -> (u64, f64) {
        const END: u64 = 10_000_000_000;
        let (mut pace, mut now, mut spent, mut passes) = (ReadingPace::new(MonoNs::ZERO, 0), 0, 0, 0);
        while now < END {
            if MonoNs(now) >= pace.ready_at() {
                (spent, passes) = (spent + cost_ns, passes + 1);
                pace.update(MonoNs(now), spent);
            }
            now += distance_ns;
        }
        (passes, spent as f64 / END as f64)
    }

    #[test]
    fn frequent_marks_share_readings() {
        for (cost_us, distance_us) in [(50, 500), (50, 5_000), (20, 2_000), (150, 1_000)] {
            let (passes, share) = passes(cost_us * 1_000, distance_us * 1_000);
            assert!(share < 0.0026, "{cost_us} µs each {distance_us} µs: {share}");
            assert!(passes as f64 > 10e6 * SHARE / cost_us as f64 * 0.9, "{passes}");
        }
    }

    #[test]
    fn costly_readings_come_ten_times_a_second() {
        assert!((100..=110).contains(&passes(2_000_000, 1_000_000).0), "{:?}", passes(2_000_000, 1_000_000));
    }

    #[test]
    fn rare_marks_have_a_reading_each() {
        assert_eq!(passes(50_000, 100_000_000).0, 100);
        let (first, _) = (0..80).fold((ReadingPace::new(MonoNs::ZERO, 0), 0), |(mut pace, spent), n| {
            assert_eq!(pace.ready_at(), MonoNs(n * 1_000_000).min(pace.ready_at()), "a burst of {n} has its readings");
            pace.update(MonoNs(n * 1_000_000), spent + 50_000);
            (pace, spent + 50_000)
        });
        assert!(first.ready_at() <= MonoNs(100_000_000));
    }
}
