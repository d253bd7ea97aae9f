//! What earlier processes of a run have left, as its journal says: for the process that takes the run up. Pure.

use super::account::Energy;
use super::epochs::{Epoch, Filed, PerKind};
use super::ledger::Energies;
use crate::measurement::channel::{Channel, DeviceKind, ErrorBand};
use crate::units;

/// A run as far as it came.
#[derive(Clone, Debug, Default)]
pub struct CarriedOver {
    /// How many processes have worked on it.
    pub attempts: u64,
    /// Its epochs, oldest first; instants in ns from the run's begin.
    pub epochs: Vec<Epoch>,
    /// Time in them, ns.
    pub inside_ns: u64,
    /// From its first begin to its last end, as long as any process was at it, ns.
    pub duration_ns: u64,
    /// What was measured, and how much it used.
    pub components: Vec<CarriedComponent>,
    /// Energy of them all, J; None: not measured.
    pub energy_j: Option<f64>,
    /// Its emissions as they were priced, g CO2e; None: not known.
    pub co2eq_g: Option<f64>,
    /// What one kWh more would have emitted, for each used, g CO2e; None: not asked for, or not known.
    pub marginal_g: Option<f64>,
    /// Share of its time that readings confirm.
    pub coverage: Option<f64>,
    /// What was begun and has to be done again.
    pub lost: LostEnergy,
    /// Energy by time.
    pub power: Vec<CarriedInterval>,
}

/// One thing that was measured.
#[derive(Clone, Debug)]
pub struct CarriedComponent {
    /// What it was.
    pub channel: Channel,
    /// What it used.
    pub used: Energies,
}

/// Epochs that a process began and did not live to end. They are no part of the run: it does them again.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LostEnergy {
    /// How many times that happened.
    pub times: u64,
    /// For how long they had gone on, s, by the journal.
    pub seconds: f64,
    /// What they had used, J; None: not measured.
    pub joules: Option<f64>,
}

/// What was used in a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CarriedInterval {
    /// From, s since 1970,
    pub from: f64,
    /// to.
    pub to: f64,
    /// Energy by kind, J.
    pub energy: PerKind,
}

impl CarriedOver {
    /// Whether nobody was at it before.
    pub fn is_empty(&self) -> bool {
        self.attempts == 0
    }

    /// Epochs ended.
    pub fn epochs_done(&self) -> u64 {
        self.epochs.iter().map(|epoch| epoch.count).sum()
    }

    /// How far off its energy may be; None: it is measured.
    pub fn error(&self) -> Option<ErrorBand> {
        let part = |component: &CarriedComponent| Some((component.used.sum().joules?, component.channel.error));
        ErrorBand::of_sum(self.components.iter().filter_map(part))
    }

    /// Adds an epoch to the sums, and so much time before it, ns.
    pub fn add(&mut self, gap: u64, epoch: &Epoch) {
        let Filed { co2eq_g, coverage } = epoch.filed.unwrap_or_default();
        let confirmed =
            self.coverage.unwrap_or(0.0) * self.duration_ns as f64 + coverage.unwrap_or(0.0) * epoch.inside as f64;
        self.inside_ns = self.inside_ns.saturating_add(epoch.inside);
        self.duration_ns = self.duration_ns.saturating_add(gap).saturating_add(epoch.inside);
        let has_coverage = (self.coverage.is_some() || coverage.is_some()) && self.duration_ns > 0;
        self.coverage = has_coverage.then(|| confirmed / self.duration_ns as f64);
        self.energy_j = units::sum([self.energy_j, epoch.energy.total()]);
        self.co2eq_g = units::sum([self.co2eq_g, co2eq_g]);
        for kind in DeviceKind::ALL {
            // Which of several it was is not told.
            let first = self.components.iter_mut().find(|component| component.channel.kind == kind);
            if let Some((component, joules)) = first.zip(epoch.energy.get(kind)) {
                let credited_ns = epoch.inside as f64;
                let measured_ns = credited_ns * coverage.unwrap_or(0.0);
                component.used.epochs.add(Energy { joules: Some(joules), credited_ns, measured_ns });
            }
        }
    }
}
