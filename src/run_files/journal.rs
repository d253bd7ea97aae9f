//! The format of a run's journal, JSON lines. Pure.
//!
//! - `"journal"`: an attempt begins.
//! - `"components"`: what is measured; written again when it changes.
//! - `"index"`: an epoch, as in the report, with the time before it.
//! - `"so_far"`: the report's numbers at this moment, from which the next attempt continues. The last of several epoch
//!   lines carries it. While an epoch lasts, it is a line of its own.
//! - `"phases"`: the named phases, as in the report.
//! - `"share"`: the job's share of its node, as in the report.
//! - `"end"`: the attempt ended in order.

mod read;

pub use read::Journal;

use super::attempt::Process;
use crate::attribution::account::Energy;
use crate::attribution::carried_over::CarriedInterval;
use crate::attribution::ledger::EnergySplit;
use crate::clock::UnixS;
use crate::measurement::channel::{Channel, DeviceKind};
use crate::report::{ComponentStatus, Report, named};
use serde_json::{Map, Value, json};

/// Version of the format. It grows when a name or meaning changes, not when a field is added.
pub const VERSION: u64 = 1;
/// The first bytes of a journal.
pub const OPENING: &[u8] = b"{\"journal\":";

/// The first line of an attempt. `attempt` is its number, from 1; the earlier attempts have done `before` epochs.
pub fn opening(report: &Report, attempt: u64, epochs_before: u64, process: &Process) -> Value {
    let mut line = Map::new();
    line.insert("journal".into(), json!(VERSION));
    line.insert("life".into(), json!(attempt));
    line.insert("before".into(), json!(epochs_before));
    line.insert("job".into(), json!(process.job));
    line.insert("rank".into(), json!(process.rank.number));
    line.insert("ranks".into(), json!(process.rank.of));
    line.insert("restarts".into(), json!(process.restarts));
    for section in ["schema", "run", "pue", "intensity"] {
        line.insert(section.into(), report.section(section));
    }
    Value::Object(line)
}

/// The line with what is measured, what is not, and the intensity. The numbers of `so_far` follow the order of its
/// components.
pub fn components(report: &Report) -> Value {
    let named = |(channel, _, status): (&Channel, EnergySplit, ComponentStatus)| {
        let more = [("simulated", json!(channel.simulated)), ("status", json!(status.as_str()))];
        let error = channel.error.map(|band| ("error", band.json()));
        Value::Object(named(channel, more.into_iter().chain(error)))
    };
    json!({
        "components": report.measured().map(named).collect::<Value>(),
        "unavailable": report.section("unavailable"),
        "intensity": some_of(report, "intensity", &["kind", "zone", "year", "basis", "use", "source"]),
        "pue": report.section("pue"),
        "facility": report.section("facility"),
        "job": shares(report),
    })
}

/// The process that counts each device that the ranks of a job share. null: this process shares none.
fn shares(report: &Report) -> Value {
    let mut job = some_of(report, "job", &["agreed", "devices"]);
    for device in job.pointer_mut("/devices").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(device) = device.as_object_mut() {
            // These change while the same process counts, and would make a new line each time.
            ["since", "handed_over_j"].into_iter().for_each(|name| drop(device.remove(name)));
        }
    }
    job
}

/// The report's numbers at this moment. `power` is the energy since the last such numbers.
pub fn so_far(report: &Report, at: UnixS, power: Option<CarriedInterval>) -> Value {
    let energy = |energy: Energy| json!([energy.joules, energy.credited_ns * 1e-9, energy.measured_ns * 1e-9]);
    let used =
        |(_, used, _): (&Channel, EnergySplit, ComponentStatus)| json!([energy(used.epochs), energy(used.between)]);
    let power = power.map(|power| {
        let joules = DeviceKind::ALL.map(|kind| (kind.joules(), json!(power.energy.get(kind))));
        let ends = [("from", json!(power.from)), ("to", json!(power.to))];
        ends.into_iter().chain(joules).map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>()
    });
    json!({
        "unix_s": at.0,
        "run": some_of(report, "run", &["last_end_unix_s", "state", "epochs_done", "progress", "work", "budgets"]),
        "usage": some_of(report, "usage", &["duration_s", "energy_j", "co2eq_g", "coverage", "epochs", "between"]),
        "forecast": some_of(report, "forecast", &["basis", "after_epochs", "after_share", "level", "duration_s", "energy_j", "co2eq_g", "saved", "history"]),
        "g_per_kwh": report.section("intensity").get("g_per_kwh"),
        "marginal_g": report.section("extras").pointer("/marginal/co2eq_g"),
        "open": report.open_epoch().map(|(duration_s, energy_j)| json!({"duration_s": duration_s, "energy_j": energy_j})),
        "components": report.measured().map(used).collect::<Value>(),
        "power": power,
    })
}

/// The named fields of a section. null if the section is null.
fn some_of(report: &Report, section: &str, names: &[&str]) -> Value {
    let section = report.section(section);
    let some = names.iter().filter_map(|name| Some(((*name).to_owned(), section.get(name)?.clone())));
    if section.is_null() { section } else { Value::Object(some.collect()) }
}

#[cfg(test)]
mod tests;
