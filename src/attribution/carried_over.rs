//! The part of a resumed run that earlier attempts recorded in its journal. Pure.

use super::account::Energy;
use super::epochs::{Epoch, PerKind, RecordedFigures};
use super::ledger::EnergySplit;
use crate::measurement::channel::{Channel, DeviceKind};
use crate::units::{self, ErrorBand};
use serde_json::Value;

/// The part of a run that earlier attempts measured.
#[derive(Clone, Debug, Default)]
pub struct CarriedOver {
    /// Attempts so far: processes that worked on the run.
    pub attempts: u64,
    /// Its epochs, oldest first. Their instants count from the run's begin.
    pub epochs: Vec<Epoch>,
    /// Time in epochs, ns.
    pub inside_ns: u64,
    /// Time from the first begin to the last end, without the time between attempts, ns.
    pub duration_ns: u64,
    /// The components and their energy.
    pub components: Vec<CarriedComponent>,
    /// Energy of all components, J; None: not measured.
    pub energy_j: Option<f64>,
    /// Emissions as the journal has them, g CO2e; None: not known.
    pub co2eq_g: Option<f64>,
    /// Marginal emissions, g CO2e; None: not asked for, or not known.
    pub marginal_g: Option<f64>,
    /// Share of its time that readings confirm.
    pub coverage: Option<f64>,
    /// Epochs that were open at a kill and are repeated.
    pub lost: LostEnergy,
    /// Energy by time.
    pub power: Vec<CarriedInterval>,
    /// The phases, as the journal has them; null: there are none.
    pub phases: Value,
    /// The share of the node, as the journal has it; null: there is none.
    pub share: Value,
}

/// A component that earlier attempts measured.
#[derive(Clone, Debug)]
pub struct CarriedComponent {
    /// Its channel.
    pub channel: Channel,
    /// Its energy.
    pub used: EnergySplit,
}

/// Epochs that were open when a process was killed. The run repeats them, so no total contains them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LostEnergy {
    /// Number of such epochs.
    pub times: u64,
    /// Their time by the journal, s.
    pub seconds: f64,
    /// Their energy by the journal, J; None: not measured.
    pub joules: Option<f64>,
}

/// Energy in an interval of dates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CarriedInterval {
    /// Its start, s since 1970.
    pub from: f64,
    /// Its end, s since 1970.
    pub to: f64,
    /// Energy by kind, J.
    pub energy: PerKind,
}

impl CarriedOver {
    /// Whether the run has no earlier attempt.
    pub fn is_empty(&self) -> bool {
        self.attempts == 0
    }

    /// Epochs ended.
    pub fn epochs_done(&self) -> u64 {
        self.epochs.iter().map(|epoch| epoch.count).sum()
    }

    /// The error band of the energy; None: it is measured.
    pub fn error(&self) -> Option<ErrorBand> {
        let part = |component: &CarriedComponent| Some((component.used.sum().joules?, component.channel.error));
        ErrorBand::of_sum(self.components.iter().filter_map(part))
    }

    /// Adds an epoch to the sums, and the time before it, `gap_ns`.
    pub fn add(&mut self, gap_ns: u64, epoch: &Epoch) {
        let RecordedFigures { co2eq_g, coverage } = epoch.recorded.unwrap_or_default();
        let confirmed =
            self.coverage.unwrap_or(0.0) * self.duration_ns as f64 + coverage.unwrap_or(0.0) * epoch.inside as f64;
        self.inside_ns = self.inside_ns.saturating_add(epoch.inside);
        self.duration_ns = self.duration_ns.saturating_add(gap_ns).saturating_add(epoch.inside);
        let has_coverage = (self.coverage.is_some() || coverage.is_some()) && self.duration_ns > 0;
        self.coverage = has_coverage.then(|| confirmed / self.duration_ns as f64);
        self.energy_j = units::sum([self.energy_j, epoch.energy.total()]);
        self.co2eq_g = units::sum([self.co2eq_g, co2eq_g]);
        for kind in DeviceKind::ALL {
            if let Some(joules) = epoch.energy.get(kind) {
                let credited_ns = epoch.inside as f64;
                let measured_ns = credited_ns * coverage.unwrap_or(0.0);
                self.share_out(kind, Energy { joules: Some(joules), credited_ns, measured_ns, by_time_j: [0.0; 2] });
            }
        }
    }

    /// Shares out the energy of a kind, as the devices of this kind used energy so far: an epoch's line does not name
    /// the devices. If none has used any, they get equal parts.
    fn share_out(&mut self, kind: DeviceKind, energy: Energy) {
        let used_j = |one: &CarriedComponent| one.used.sum().joules.unwrap_or(0.0);
        let (count, sum_j) = (self.components.iter().filter(|one| one.channel.kind == kind))
            .fold((0.0, 0.0), |(count, sum_j), one| (count + 1.0, sum_j + used_j(one)));
        for component in self.components.iter_mut().filter(|one| one.channel.kind == kind) {
            let part = if sum_j > 0.0 { used_j(component) / sum_j } else { 1.0 / count };
            if part > 0.0 {
                let joules = energy.joules.map(|joules| joules * part);
                component.used.epochs.add(Energy { joules, ..energy });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::channel::{MeasuringMethod, Quantity};
    use crate::measurement::source_name::SourceName;

    /// Two packages and a GPU, with this energy each, J.
    fn run_of(used: [Option<f64>; 3]) -> CarriedOver {
        let kinds = [DeviceKind::Cpu, DeviceKind::Cpu, DeviceKind::Gpu];
        let component = |(kind, joules): (DeviceKind, Option<f64>)| {
            let mut used = EnergySplit::default();
            used.epochs.add(Energy { joules, ..Energy::default() });
            let quantity = Quantity::Power { max_watts: 500.0 };
            let channel = Channel::new((kind, SourceName::Rapl), "it", "it", MeasuringMethod::Counter, quantity);
            CarriedComponent { channel, used }
        };
        CarriedOver { components: kinds.into_iter().zip(used).map(component).collect(), ..CarriedOver::default() }
    }

    fn energies(run: &CarriedOver) -> Vec<Option<f64>> {
        run.components.iter().map(|one| one.used.sum().joules).collect()
    }

    #[test]
    fn energy_of_a_kind_is_shared_out_as_its_devices_used_it() {
        let mut run = run_of([Some(30.0), Some(10.0), Some(5.0)]);
        run.share_out(DeviceKind::Cpu, Energy { joules: Some(8.0), ..Energy::default() });
        assert_eq!(energies(&run), [Some(36.0), Some(12.0), Some(5.0)]);
    }

    #[test]
    fn devices_without_known_energy_get_equal_parts() {
        let mut run = run_of([None; 3]);
        run.share_out(DeviceKind::Cpu, Energy { joules: Some(8.0), ..Energy::default() });
        run.share_out(DeviceKind::Gpu, Energy { joules: Some(7.0), ..Energy::default() });
        assert_eq!(energies(&run), [Some(4.0), Some(4.0), Some(7.0)]);
    }
}
