//! A component of the report: one measured device, or a part of one.

use super::ComponentStatus;
use crate::attribution::account::Energy;
use crate::attribution::carried_over;
use crate::attribution::ledger::EnergySplit;
use crate::clock::MonoNs;
use crate::forecast::uncertainty::ends;
use crate::measurement::channel::{Channel, DeviceKind};
use crate::measurement::meter::Health;
use crate::os;
use crate::state::{Metered, RunState, cure, disagreement};
use crate::units::ErrorBand;
use serde_json::{Map, Value, json};

/// A component and its energy.
pub struct ComponentReport {
    /// The channel that measures it.
    pub channel: Channel,
    /// Its energy in epochs and between them.
    pub used: EnergySplit,
    /// The run's duration, ns.
    pub run_ns: f64,
    /// How its readings went.
    pub status: ComponentStatus,
    /// Faults and remarks for the reader; None: there are none.
    pub note: Option<String>,
}

impl ComponentReport {
    /// The component of a channel, given by its number.
    pub fn new(state: &RunState, number: usize, metered: &Metered) -> ComponentReport {
        let (ledger, Metered { channel, meter, lease, .. }) = (&state.attribution.ledger, metered);
        let others_until =
            lease.and_then(|lease| state.metering.standby.get(lease)).and_then(|standby| standby.others_until);
        let status = match meter.health() {
            Health::Ok if channel.simulated => ComponentStatus::Simulated,
            Health::Ok => ComponentStatus::Ok,
            Health::Gap => ComponentStatus::Gap,
            Health::Reset => ComponentStatus::Reset,
            Health::Lost => ComponentStatus::Lost,
            Health::Stalled => ComponentStatus::Stalled,
        };
        let (method, used) = (meter.method(channel.method), ledger.energies(number));
        ComponentReport {
            channel: Channel { method, error: metered.error(used.sum().joules), ..channel.clone() },
            used,
            run_ns: ledger.run_ns() as f64,
            status,
            note: note(metered, others_until, ledger.first_begin()),
        }
    }

    /// A component that only earlier attempts of the run measured. `run_ns`: the run's duration, ns.
    pub fn left(component: carried_over::CarriedComponent, run_ns: f64) -> ComponentReport {
        let carried_over::CarriedComponent { channel, used } = component;
        let status = if channel.simulated { ComponentStatus::Simulated } else { ComponentStatus::Ok };
        let note = Some("measured by an earlier process of the run, and not by this one".into());
        ComponentReport { channel, used, run_ns, status, note }
    }

    /// Energy, J; None: unknown.
    pub fn energy_j(&self) -> Option<f64> {
        self.used.sum().joules
    }

    /// Mean power over the time whose energy is known, W.
    pub fn mean_power_w(&self) -> Option<f64> {
        let Energy { joules, credited_ns, .. } = self.used.sum();
        joules.filter(|_| credited_ns > 0.0).map(|joules| joules / (credited_ns * 1e-9))
    }

    /// The share of the run's time that readings confirm, 0 to 1.
    pub fn coverage(&self) -> Option<f64> {
        (self.run_ns > 0.0).then(|| (self.used.sum().measured_ns / self.run_ns).min(1.0))
    }

    /// The error interval of its energy; None: the energy is measured.
    pub fn error(&self) -> Option<ErrorBand> {
        self.channel.error
    }

    /// The component in the JSON report.
    pub fn json(&self) -> Value {
        let [low_j, high_j] = ends(self.energy_j(), self.error());
        let figures = [
            ("energy_j", json!(self.energy_j())),
            ("error", json!(self.error().map(ErrorBand::json))),
            ("energy_low_j", json!(low_j)),
            ("energy_high_j", json!(high_j)),
            ("mean_power_w", json!(self.mean_power_w())),
            ("coverage", json!(self.coverage())),
            ("status", json!(self.status.as_str())),
            ("note", json!(self.note)),
            ("identity", identity(&self.channel)),
        ];
        Value::Object(named(&self.channel, figures))
    }
}

/// A channel in numbers, for callers of `ct_value`: `kind` is its index in [`DeviceKind::ALL`]. `hash` is the same in
/// every process of the node that measures the device. It is null for a simulated GPU, which each process has for
/// itself.
fn identity(channel: &Channel) -> Value {
    let is_private = channel.simulated && channel.kind == DeviceKind::Gpu;
    let names = [channel.kind.name(), &channel.device, &channel.id, channel.source.as_str()].join("\0");
    // A double holds integers of 53 bits.
    let hash = (!is_private).then(|| os::stable_hash(names.bytes()) >> 11);
    json!({"hash": hash, "kind": channel.kind as usize})
}

/// A JSON object with the names of a channel, followed by other fields.
pub fn named(channel: &Channel, more: impl IntoIterator<Item = (&'static str, Value)>) -> Map<String, Value> {
    let names = [
        ("kind", json!(channel.kind.name())),
        ("device", json!(channel.device)),
        ("id", json!(channel.id)),
        ("source", json!(channel.source.as_str())),
        ("method", json!(channel.method.name())),
    ];
    names.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The share of the run's time that readings confirm, 0 to 1. In this process the component with the least counts.
pub fn coverage(state: &RunState) -> Option<f64> {
    let (run_ns, carried_ns) =
        (state.attribution.ledger.run_ns() as f64, state.attribution.carried_over.duration_ns as f64);
    let counting = state.ours().filter(|(_, metered)| metered.replaced_by.is_none());
    let measured = counting.map(|(number, _)| state.confirmed_ns(number).min(run_ns - carried_ns));
    let carried_ns_confirmed = state.attribution.carried_over.coverage.map(|coverage| coverage * carried_ns);
    let confirmed = carried_ns_confirmed.into_iter().chain(measured.reduce(f64::min)).reduce(|a, b| a + b)?;
    (run_ns > 0.0).then(|| (confirmed / run_ns).min(1.0))
}

/// Faults and remarks of a channel. Another process counted its device until `others_until`; None: none did. The run
/// began at `begin`.
fn note(metered: &Metered, others_until: Option<MonoNs>, begin: Option<MonoNs>) -> Option<String> {
    let Metered { channel, meter, replaced_by, .. } = metered;
    let counts = &meter.faults;
    let mut parts: Vec<String> = channel.note.iter().cloned().collect();
    parts.extend(fault(metered));
    if counts.resets > 0 {
        let (resets, filled_j) = (times(counts.resets), counts.bridged_j);
        parts.push(format!(
            "its counter was reset or jumped {resets}; {filled_j:.1} J are filled in by the power before"
        ));
    }
    let stands_in = !metered.others.is_empty() && metered.stand_in.is_none();
    if stands_in {
        parts.push("stands in for a meter that shows no sign of life, from its last good reading on".into());
    } else if let Some((first_at, begin)) = meter.first_at().zip(begin).filter(|(first_at, begin)| first_at > begin) {
        let late_s = first_at.s_since(begin);
        let filled_in = if counts.late_s > 0.0 { "; filled in by the power after" } else { "" };
        parts.push(format!("could not be read in the run's first {late_s:.3} s{filled_in}"));
    }
    if counts.wraps > 0 {
        parts.push(format!("its counter wrapped {}; no energy is lost", times(counts.wraps)));
    }
    if counts.guessed_s > 0.0 {
        parts.push(format!(
            "its counter may have wrapped several times in {:.1} s without readings; their energy is a guess by the power \
             before",
            counts.guessed_s
        ));
    }
    if counts.by_power_s > 0.0 {
        parts
            .push(format!("its counter did not move for {:.1} s; its power was integrated instead", counts.by_power_s));
    }
    parts.extend(counts.disagreement.map(disagreement));
    parts.extend(replaced_by.map(|source| format!("{source} stands in for it")));
    if begin.is_some_and(|begin| others_until > Some(begin)) {
        // The MPI header of version 0.1.0 searches the text report for "another process of this job;".
        parts.push(
            "taken over from another process of this job; energy reported by that process is not included".into(),
        );
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// The present fault of a channel, with a fix unless another source counts instead.
fn fault(metered: &Metered) -> Option<String> {
    let Metered { channel, meter, replaced_by, .. } = metered;
    if meter.has_yet_to_move() && !meter.is_stalled() {
        return Some(format!("its counter has not moved yet, so its energy is unknown. Fix: {}", cure(channel)));
    }
    let fault = meter.faults.fault?;
    if !meter.is_stalled() {
        return Some(format!("{} readings failed, the last because {fault}", meter.faults.failed));
    }
    let fix = if replaced_by.is_none() { format!(". Fix: {}", cure(channel)) } else { String::new() };
    Some(format!("no sign of life: {fault}; its energy since its last good reading is unknown{fix}"))
}

fn times(n: u64) -> String {
    if n == 1 { "once".into() } else { format!("{n} times") }
}
