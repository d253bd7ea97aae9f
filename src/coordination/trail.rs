//! The energy intervals of a channel, in bounded memory. Pure.

use crate::clock::MonoNs;
use crate::measurement::meter::{EnergyInterval, join_most_alike};
use std::collections::VecDeque;

/// Most energy intervals that are kept: half a minute at ten readings a second.
const MAX_INTERVALS: usize = 256;

/// Energy intervals, oldest first. If there are too many, two neighbours are joined.
#[derive(Clone, Debug, Default)]
pub struct Trail(VecDeque<EnergyInterval>);

impl Trail {
    /// Adds the newest interval.
    pub fn push(&mut self, interval: EnergyInterval) {
        self.0.push_back(interval);
        if self.0.len() > MAX_INTERVALS {
            join_most_alike(&mut self.0);
        }
    }

    /// Removes all intervals.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The energy between two instants.
    pub fn between(&self, from: MonoNs, to: MonoNs) -> impl Iterator<Item = EnergyInterval> {
        self.0.iter().filter_map(move |interval| interval.split(from).1?.split(to).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    fn second(number: u64, watts: f64) -> EnergyInterval {
        EnergyInterval { from: MonoNs(number * S), to: MonoNs((number + 1) * S), joules: watts, measured: true }
    }

    fn joules(trail: &Trail, from: u64) -> f64 {
        trail.between(MonoNs(from * S), MonoNs::NEVER).map(|interval| interval.joules).sum()
    }

    #[test]
    fn change_of_power_keeps_its_time() {
        let mut trail = Trail::default();
        (0..2000).for_each(|number| trail.push(second(number, if number < 700 { 100.0 } else { 20.0 })));
        for (from, expected) in [(0, 96_000.0), (650, 31_000.0), (700, 26_000.0), (1990, 200.0)] {
            assert!((joules(&trail, from) - expected).abs() < 1e-6, "{from}: {}", joules(&trail, from));
        }
    }

    proptest! {
        #[test]
        fn energy_is_kept_in_bounded_memory(
            intervals in prop::collection::vec((0.0f64..1e3, any::<bool>(), 0u64..3), 1..600),
        ) {
            let (mut trail, mut sum, mut at) = (Trail::default(), 0.0, 0);
            for (watts, measured, gap) in intervals {
                at += gap + 1;
                trail.push(EnergyInterval { measured, ..second(at, watts) });
                sum += watts;
            }
            prop_assert!((joules(&trail, 0) - sum).abs() <= 1e-9 * sum.max(1.0));
            prop_assert!(trail.0.len() <= MAX_INTERVALS);
        }
    }
}
