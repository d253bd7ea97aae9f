//! An interval of time and its energy.

use crate::clock::MonoNs;

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
