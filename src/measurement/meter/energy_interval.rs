//! An interval of time and its energy.

use crate::clock::MonoNs;
use std::collections::VecDeque;

/// Energy used between two instants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EnergyInterval {
    /// Its start.
    pub from: MonoNs,
    /// Its end.
    pub to: MonoNs,
    /// Its energy, J.
    pub joules: f64,
    /// Whether readings confirm it; false: it was filled in across a fault.
    pub measured: bool,
}

impl EnergyInterval {
    /// This interval and the next one, joined.
    pub fn joined(self, next: EnergyInterval) -> EnergyInterval {
        let (joules, measured) = (self.joules + next.joules, self.measured && next.measured);
        EnergyInterval { from: self.from, to: next.to, joules, measured }
    }

    /// The parts before and after an instant, by their times; None: there is no such part.
    pub fn split(self, at: MonoNs) -> (Option<EnergyInterval>, Option<EnergyInterval>) {
        if at <= self.from {
            return (None, Some(self));
        }
        if at >= self.to {
            return (Some(self), None);
        }
        let before = self.joules * (at.ns_since(self.from) as f64 / self.to.ns_since(self.from) as f64);
        let first = EnergyInterval { to: at, joules: before, ..self };
        let second = EnergyInterval { from: at, joules: self.joules - before, ..self };
        (Some(first), Some(second))
    }
}

/// Joins the two neighbours that lose least by it, so a change of power and a gap keep their time. The intervals are in
/// the order of time.
pub fn join_most_alike(intervals: &mut VecDeque<EnergyInterval>) {
    let pairs = intervals.iter().zip(intervals.iter().skip(1));
    let losses = pairs.map(|(one, next)| loss(one, next)).enumerate();
    let Some((index, _)) = losses.min_by(|(_, one), (_, other)| one.total_cmp(other)) else { return };
    if let Some((older, newer)) = intervals.remove(index).zip(intervals.get_mut(index)) {
        *newer = older.joined(*newer);
    }
}

/// The largest error of the energy before any instant, J, if these two are joined.
fn loss(one: &EnergyInterval, next: &EnergyInterval) -> f64 {
    if one.to != next.from || one.measured != next.measured {
        return f64::INFINITY;
    }
    let [one_s, next_s] = [one, next].map(|interval| interval.to.s_since(interval.from));
    (one.joules * next_s - next.joules * one_s).abs() / (one_s + next_s).max(f64::MIN_POSITIVE)
}
