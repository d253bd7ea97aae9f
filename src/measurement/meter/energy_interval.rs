//! Energy, and when it was used.

/// Energy used between two instants (ns on the monotonic clock).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EnergyInterval {
    /// From this instant
    pub from: u64,
    /// to this one
    pub to: u64,
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
    pub fn split(self, at: u64) -> (Option<EnergyInterval>, Option<EnergyInterval>) {
        if at <= self.from {
            return (None, Some(self));
        }
        if at >= self.to {
            return (Some(self), None);
        }
        let before = self.joules * ((at - self.from) as f64 / (self.to - self.from) as f64);
        let first = EnergyInterval { to: at, joules: before, ..self };
        let second = EnergyInterval { from: at, joules: self.joules - before, ..self };
        (Some(first), Some(second))
    }
}
