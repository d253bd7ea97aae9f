//! One thing measured, in the report.

use crate::attribution::account::Energy;
use crate::attribution::carried_over;
use crate::attribution::ledger::Energies;
use crate::clock::MonoNs;
use crate::forecast::uncertainty::ends;
use crate::measurement::channel::{Channel, DeviceKind, ErrorBand};
use crate::measurement::meter::Health;
use crate::os;
use crate::state::{Metered, RunState, cure, disagreement};
use serde_json::{Map, Value, json};

/// How a component may stand.
pub const STATUSES: [&str; 6] = ["ok", "gap", "reset", "lost", "stalled", "simulated"];

/// A channel's line.
pub struct ComponentReport {
    /// What is measured.
    pub channel: Channel,
    /// What it used.
    pub used: Energies,
    /// How long the run took, ns.
    pub run_ns: f64,
    /// One of [`STATUSES`].
    pub status: &'static str,
    /// What its readings met, in words.
    pub note: Option<String>,
}

impl ComponentReport {
    /// Of a channel by its number.
    pub fn new(books: &RunState, number: usize, metered: &Metered) -> ComponentReport {
        let (ledger, Metered { channel, meter, claim, .. }) = (&books.ledger, metered);
        let others_until = claim.and_then(|claim| books.trusts.get(claim)).and_then(|trust| trust.others_until);
        let status = match meter.health() {
            Health::Ok if channel.simulated => "simulated",
            Health::Ok => "ok",
            Health::Gap => "gap",
            Health::Reset => "reset",
            Health::Lost => "lost",
            Health::Stalled => "stalled",
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

    /// Of what earlier processes of the run measured, and this one does not.
    pub fn left(component: carried_over::CarriedComponent, run_ns: f64) -> ComponentReport {
        let carried_over::CarriedComponent { channel, used } = component;
        let status = if channel.simulated { "simulated" } else { "ok" };
        let note = Some("measured before this process took the run up".into());
        ComponentReport { channel, used, run_ns, status, note }
    }

    /// Energy, J; None: not known.
    pub fn energy_j(&self) -> Option<f64> {
        self.used.sum().joules
    }

    /// Mean power over the time whose energy is known, W.
    pub fn mean_power_w(&self) -> Option<f64> {
        let Energy { joules, credited_ns, .. } = self.used.sum();
        joules.filter(|_| credited_ns > 0.0).map(|joules| joules / (credited_ns * 1e-9))
    }

    /// The share of the run's time that readings confirm.
    pub fn coverage(&self) -> Option<f64> {
        (self.run_ns > 0.0).then(|| (self.used.sum().measured_ns / self.run_ns).min(1.0))
    }

    /// How far off its figures may be; None: they are measured.
    pub fn error(&self) -> Option<ErrorBand> {
        self.channel.error
    }

    /// As the JSON report has it.
    pub fn json(&self) -> Value {
        let [low_j, high_j] = ends(self.energy_j(), self.error());
        let figures = [
            ("energy_j", json!(self.energy_j())),
            ("error", json!(self.error().map(ErrorBand::json))),
            ("energy_low_j", json!(low_j)),
            ("energy_high_j", json!(high_j)),
            ("mean_power_w", json!(self.mean_power_w())),
            ("coverage", json!(self.coverage())),
            ("status", json!(self.status)),
            ("note", json!(self.note)),
            ("identity", identity(&self.channel)),
        ];
        Value::Object(named(&self.channel, figures))
    }
}

/// A channel in numbers, for callers of `ct_value`: `kind` is its place in [`Kind::ALL`]. `hash` is the same in every process
/// of the node that measures the device; it is null for a simulated GPU, which each process has for itself.
fn identity(channel: &Channel) -> Value {
    let is_private = channel.simulated && channel.kind == DeviceKind::Gpu;
    let names = [channel.kind.name(), &channel.device, &channel.id, channel.source].join("\0");
    // A double holds integers of 53 bits.
    let hash = (!is_private).then(|| os::stable_hash(names.bytes()) >> 11);
    json!({"hash": hash, "kind": channel.kind as usize})
}

/// What is measured, by its names, and more of it.
pub fn named(channel: &Channel, more: impl IntoIterator<Item = (&'static str, Value)>) -> Map<String, Value> {
    let names = [
        ("kind", json!(channel.kind.name())),
        ("device", json!(channel.device)),
        ("id", json!(channel.id)),
        ("source", json!(channel.source)),
        ("method", json!(channel.method.name())),
    ];
    names.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Share of the run's time that readings confirm: of this process's part by the component that has the least.
pub fn coverage(books: &RunState) -> Option<f64> {
    let (run_ns, before_ns) = (books.ledger.run_ns() as f64, books.past.duration_ns as f64);
    let counts = books.ours().filter(|(_, metered)| metered.replaced_by.is_none());
    let measured = counts.map(|(number, _)| books.confirmed_ns(number).min(run_ns - before_ns));
    let before = books.past.coverage.map(|coverage| coverage * before_ns);
    let confirmed = before.into_iter().chain(measured.reduce(f64::min)).reduce(|a, b| a + b)?;
    (run_ns > 0.0).then(|| (confirmed / run_ns).min(1.0))
}

/// What a channel's readings met, in words.
fn note(metered: &Metered, others_until: Option<MonoNs>, begin: Option<MonoNs>) -> Option<String> {
    let Metered { channel, meter, replaced_by, .. } = metered;
    let tally = &meter.faults;
    let mut parts: Vec<String> = channel.note.iter().cloned().collect();
    if meter.has_yet_to_move() && !meter.is_stalled() {
        parts.push(format!("its counter has not moved yet, so its energy is unknown. Cure: {}", cure(channel)));
    } else if let Some(fault) = tally.fault.filter(|_| meter.is_stalled()) {
        let cure = if replaced_by.is_none() { format!(". Cure: {}", cure(channel)) } else { String::new() };
        parts.push(format!("no sign of life: {fault}; its energy since the last one is unknown{cure}"));
    } else if let Some(fault) = tally.fault {
        parts.push(format!("{} readings failed, the last because {fault}", tally.failed));
    }
    if tally.resets > 0 {
        parts.push(format!(
            "set back or jumped {}; {:.1} J filled in at the power before",
            times(tally.resets),
            tally.bridged_j
        ));
    }
    let stands_in = !metered.others.is_empty() && metered.stand_in.is_none();
    if stands_in {
        parts.push("stands in for a meter that showed no sign of life, from its last one on".into());
    } else if let Some((first_at, begin)) = meter.first_at().zip(begin).filter(|(first_at, begin)| first_at > begin) {
        let late_s = first_at.s_since(begin);
        let filled_in = if tally.late_s > 0.0 { "; filled in at the power after" } else { "" };
        parts.push(format!("could not be read in the run's first {late_s:.3} s{filled_in}"));
    }
    if tally.wraps > 0 {
        parts.push(format!("wrapped {}, accounted for", times(tally.wraps)));
    }
    if tally.by_power_s > 0.0 {
        parts.push(format!("its counter stood still for {:.1} s, in which its power was integrated", tally.by_power_s));
    }
    parts.extend(tally.disagreement.map(disagreement));
    parts.extend(replaced_by.map(|source| format!("{source} stands in for it")));
    if begin.is_some_and(|begin| others_until > Some(begin)) {
        // The MPI header of version 0.1.0 searches the text report for "another process of this job;".
        parts.push("taken over from another process of this job; what that one reported is not in it".into());
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn times(n: u64) -> String {
    if n == 1 { "once".into() } else { format!("{n} times") }
}
