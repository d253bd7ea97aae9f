//! A run's energy by time, in equal steps. Emissions by the hour and the chart of power use it. Steps get wider as the
//! run gets longer, so memory is bounded. Pure.

use super::epochs::PerKind;
use crate::clock::MonoNs;
use crate::measurement::channel::DeviceKind;
use crate::measurement::meter::EnergyInterval;

/// Steps that are kept: a week has steps of less than four minutes.
const MAX_STEPS: u64 = 4096;
/// Width of a step at first, ns.
const MIN_STEP_NS: u64 = 100_000_000;

/// Energy by time.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Width of a step, ns. Steps begin at multiples of it.
    width: u64,
    /// Number of the first step. It begins at `first * width`.
    first: u64,
    steps: Vec<PerKind>,
    /// The sum of all steps.
    total: PerKind,
}

/// Energy of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimelineStep {
    /// When it begins.
    pub from: MonoNs,
    /// When it ends.
    pub to: MonoNs,
    /// Energy by kind, J; None: nothing was credited.
    pub energy: PerKind,
}

impl Default for Timeline {
    fn default() -> Self {
        Timeline { width: MIN_STEP_NS, first: 0, steps: Vec::new(), total: PerKind::default() }
    }
}

impl Timeline {
    /// Adds energy of a component of this kind, evenly in time.
    pub fn add(&mut self, kind: DeviceKind, interval: EnergyInterval) {
        if interval.to <= interval.from {
            return;
        }
        self.reach(interval.from, interval.to);
        let mut rest = Some(interval);
        let numbers = interval.from.0 / self.width..=(interval.to.0 - 1) / self.width;
        for index in numbers {
            let Some((part, after)) = rest.map(|rest| rest.split(MonoNs((index + 1) * self.width))) else { return };
            rest = after;
            let step = index.checked_sub(self.first).and_then(|index| self.steps.get_mut(index as usize));
            if let Some((step, part)) = step.zip(part) {
                step.add(kind, part.joules);
                self.total.add(kind, part.joules);
            }
        }
    }

    /// Adds the steps of another timeline.
    pub fn merge(&mut self, other: &Timeline) {
        for TimelineStep { from, to, energy } in other.steps() {
            for kind in DeviceKind::ALL {
                if let Some(joules) = energy.get(kind) {
                    self.add(kind, EnergyInterval { from, to, joules, measured: true });
                }
            }
        }
    }

    /// The steps, oldest first.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = TimelineStep> {
        self.steps.iter().enumerate().map(|(number, &energy)| {
            let index = self.first + number as u64;
            TimelineStep { from: MonoNs(index * self.width), to: MonoNs((index + 1) * self.width), energy }
        })
    }

    /// The sum of all steps.
    pub fn total(&self) -> PerKind {
        self.total
    }

    /// Energy of all kinds between two instants, J, evenly within each step. `known` has the ends of all that was
    /// credited: the first step and the last are not filled beyond them.
    pub fn between(&self, from: MonoNs, to: MonoNs, known: (MonoNs, MonoNs)) -> f64 {
        let first = (from.0 / self.width).saturating_sub(self.first) as usize;
        let reached = self.steps().skip(first).take_while(|step| step.from < to);
        let part = |step: TimelineStep| {
            let (begin, end) = (step.from.max(known.0), step.to.min(known.1));
            let part = to.min(end).ns_since(from.max(begin)) as f64 / end.ns_since(begin).max(1) as f64;
            Some(step.energy.total()? * part)
        };
        reached.filter_map(part).sum()
    }

    /// Makes room for this interval: adds steps, or widens all steps if there would be too many.
    fn reach(&mut self, from: MonoNs, to: MonoNs) {
        loop {
            let (first, last) = (from.0 / self.width, (to.0 - 1) / self.width);
            if self.steps.is_empty() {
                self.first = first;
            }
            let first = first.min(self.first);
            let end = (last + 1).max(self.first + self.steps.len() as u64);
            if end - first <= MAX_STEPS {
                let before = (self.first - first) as usize;
                self.steps.splice(0..0, std::iter::repeat_n(PerKind::default(), before));
                self.steps.resize((end - first) as usize, PerKind::default());
                self.first = first;
                return;
            }
            self.widen();
        }
    }

    fn widen(&mut self) {
        let (first, width) = (self.first, self.width);
        let mut wider: Vec<PerKind> = Vec::with_capacity(self.steps.len() / 2 + 1);
        for (index, step) in (first..).zip(&self.steps) {
            match wider.last_mut() {
                Some(last) if index % 2 == 1 => last.merge(step),
                _ => wider.push(*step),
            }
        }
        *self = Timeline { width: width * 2, first: first / 2, steps: wider, ..*self };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    fn interval(from: u64, to: u64, joules: f64) -> EnergyInterval {
        EnergyInterval { from: MonoNs(from), to: MonoNs(to), joules, measured: true }
    }

    fn total(timeline: &Timeline) -> f64 {
        timeline.steps().filter_map(|step| step.energy.total()).sum()
    }

    #[test]
    fn energy_is_in_the_step_of_its_use() {
        let mut timeline = Timeline::default();
        timeline.add(DeviceKind::Cpu, interval(10 * S, 11 * S, 10.0));
        timeline.add(DeviceKind::Gpu, interval(10 * S + S / 2, 12 * S, 30.0));
        let in_second = |from: u64, kind: DeviceKind| -> f64 {
            let steps = timeline.steps().filter(|step| step.from.0 >= from && step.to.0 <= from + S);
            steps.filter_map(|step| step.energy.get(kind)).sum()
        };
        assert!((in_second(10 * S, DeviceKind::Cpu) - 10.0).abs() < 1e-9);
        assert!((in_second(10 * S, DeviceKind::Gpu) - 10.0).abs() < 1e-9);
        assert!((in_second(11 * S, DeviceKind::Gpu) - 20.0).abs() < 1e-9);
        assert!((total(&timeline) - 40.0).abs() < 1e-9);
    }

    #[test]
    fn a_year_fits_without_loss() {
        let mut timeline = Timeline::default();
        let year = 365 * 24 * 3600;
        for minute in 0..year / 60 {
            timeline.add(DeviceKind::Cpu, interval(minute * 60 * S, (minute + 1) * 60 * S, 60.0));
        }
        assert!(timeline.steps.len() <= MAX_STEPS as usize && timeline.steps.len() > MAX_STEPS as usize / 2 - 2);
        assert!((total(&timeline) - year as f64).abs() < 1e-3);
        assert!(timeline.steps().all(|step| step.to.ns_since(step.from) < 4 * 3600 * S));
    }

    proptest! {
        #[test]
        fn sums_are_kept_for_any_intervals(
            intervals in prop::collection::vec((0u64..1 << 45, 0u64..1 << 42, 0.0f64..1e4), 1..40),
            apart in 0usize..40,
        ) {
            let (mut one, mut other) = (Timeline::default(), Timeline::default());
            let mut sum = 0.0;
            for (n, (from, length, joules)) in intervals.into_iter().enumerate() {
                let half = if n < apart { &mut one } else { &mut other };
                half.add(DeviceKind::Dram, interval(from, from + length, joules));
                sum += if length > 0 { joules } else { 0.0 };
            }
            one.merge(&other);
            prop_assert!((total(&one) - sum).abs() <= 1e-9 * sum.max(1.0));
            prop_assert!(one.steps.len() <= MAX_STEPS as usize);
        }
    }
}
