//! Energy, and when it was used.

use crate::clock::MonoNs;

/// Energy used between two instants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EnergyInterval {
    /// From this instant
    pub from: MonoNs,
    /// to this one
    pub to: MonoNs,
    /// this energy was used, J.
    pub joules: f64,
    /// Whether readings say so; false where the power before was carried across a fault.
    pub measured: bool,
}

impl EnergyInterval {
    /// This and the one that follows it, as one.
    pub fn joined(self, next: EnergyInterval) -> EnergyInterval {
        let (joules, measured) = (self.joules + next.joules, self.measured && next.measured);
        EnergyInterval { from: self.from, to: next.to, joules, measured }
    }

    /// The parts before and after an instant, evenly in time; None where there is no such part.
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
