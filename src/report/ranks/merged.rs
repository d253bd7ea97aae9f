//! Merges the reports of a job's ranks into one report of the same schema. Energies are added, times are joined.

use super::fold::{fold_all, list, section};
use super::{forecast::forecast, last_end, number, phase, series, started, word};
use crate::forecast::uncertainty::ends;
use crate::report::phases::{self, PartsOf};
use crate::report::share;
use crate::report::{ComponentStatus, RunPhase, SCHEMA, equivalents, figures};
use crate::units::ErrorBand;
use crate::units::{J_PER_KWH, sum};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// One report from those of a job's ranks.
pub fn merged(ranks: &[&Value]) -> Value {
    let mut ranks = ranks.to_vec();
    ranks.sort_by_key(|rank| (!is_counting(rank), count(rank, "/run/rank")));
    let counting: Vec<&Value> = ranks.iter().copied().filter(|rank| is_counting(rank)).collect();
    // If no rank counts a device, the job's times come from all ranks.
    let counting = if counting.is_empty() { &ranks } else { &counting };
    let duration_s = duration(&ranks);
    let components = components(counting, duration_s.unwrap_or(0.0));
    let usage = usage(counting, &components, duration_s);
    let [facility, joules, co2eq_g] =
        ["facility_energy_kwh", "energy_j", "co2eq_g"].map(|field| usage.get(field).and_then(Value::as_f64));
    let error = ErrorBand::read(usage.get("error"));
    let mut intensity = section("intensity", counting);
    let kwh = joules.map(|joules| joules / J_PER_KWH);
    if let (Some(mean), Value::Object(fields)) =
        (mean(counting, "/intensity/g_per_kwh", co2eq_g, facility), &mut intensity)
    {
        fields.insert("g_per_kwh".into(), mean);
    }
    json!({
        "schema": SCHEMA,
        "run": run(&ranks, counting),
        "usage": usage,
        "forecast": forecast(&ranks),
        "intensity": intensity,
        "pue": mean(counting, "/pue", facility, kwh),
        "facility": section("facility", counting),
        "components": components,
        "unavailable": unavailable(counting),
        "epochs": series::epochs(counting),
        "phases": phases(&ranks),
        "share": share::merged(&parts_of(counting, "share")),
        "power": series::power(counting),
        "forecasts": series::forecasts(counting),
        "equivalents": equivalents(co2eq_g, error),
        "what_if": with_error(section("what_if", counting), error),
        "extras": extras(counting, error),
        "job": {"agreed": agreed(&ranks)},
        "nodes": nodes(&ranks),
        "notes": distinct(counting.iter().flat_map(|rank| list(rank, "notes"))),
    })
}

fn count(report: &Value, pointer: &str) -> Option<u64> {
    report.pointer(pointer)?.as_u64()
}

fn is_counting(rank: &Value) -> bool {
    number(rank, "/usage/energy_j").is_some()
}

fn distinct<'a>(values: impl Iterator<Item = &'a Value>) -> Value {
    let mut all: Vec<&Value> = Vec::new();
    values.for_each(|value| all.extend((!all.contains(&value)).then_some(value)));
    json!(all)
}

/// Whether the ranks of each node have found each other; None: no report has it.
fn agreed(ranks: &[&Value]) -> Option<bool> {
    ranks.iter().filter_map(|rank| rank.pointer("/job/agreed")?.as_bool()).reduce(|a, b| a && b)
}

/// The most epochs of a rank that counts a device, or else of any rank. Journals of ranks that count are newer.
fn epochs_done(ranks: &[&Value], counting: &[&Value]) -> u64 {
    let most = |ranks: &[&Value]| ranks.iter().filter_map(|rank| count(rank, "/run/epochs_done")).max().unwrap_or(0);
    Some(most(counting)).filter(|done| *done > 0).unwrap_or(most(ranks))
}

fn run(ranks: &[&Value], counting: &[&Value]) -> Value {
    let found = ranks.len() as u64;
    let most = |pointer: &str| ranks.iter().filter_map(|rank| count(rank, pointer)).max();
    // Without the size of the job, the highest number shows how many ranks there are at least.
    let size = most("/run/ranks").or(most("/run/rank").map(|rank| rank.saturating_add(1)));
    let all = |field: &str| ranks.iter().filter_map(|rank| rank.get("run")?.get(field)).collect::<Vec<_>>();
    let mut hosts: Vec<&str> = ranks.iter().filter_map(|rank| word(rank, "/run/host")).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let done = epochs_done(ranks, counting);
    let open = |pointer: &str| {
        let foremost = ranks.iter().filter(|rank| count(rank, "/run/epochs_done") == Some(done));
        foremost.filter_map(|rank| number(rank, pointer)).reduce(f64::max)
    };
    let first = ranks
        .iter()
        .filter(|rank| started(rank).is_some())
        .min_by(|a, b| started(a).unwrap_or(0.0).total_cmp(&started(b).unwrap_or(0.0)));
    let mut run = match section("run", ranks) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    let resumed = |field: &str| all("resumed").iter().filter_map(|resumed| count(resumed, field)).max();
    let fields = [
        ("host", json!(hosts.first().filter(|_| hosts.len() == 1))),
        ("hosts", json!(hosts)),
        ("rank", Value::Null),
        ("ranks", json!(size.max(Some(found)))),
        ("ranks_found", json!(found)),
        ("started", json!(first.and_then(|rank| word(rank, "/run/started")))),
        ("state", json!(job_phase(ranks).as_str())),
        ("epochs_planned", json!(most("/run/epochs_planned").unwrap_or(0))),
        ("epochs_done", json!(done)),
        ("progress", json!(open("/run/progress"))),
    ];
    run.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    if let Some(Value::Object(of)) = run.get_mut("open") {
        of.insert("duration_s".into(), json!(open("/run/open/duration_s").unwrap_or(0.0)));
    }
    if let Some(Value::Object(of)) = run.get_mut("resumed") {
        for name in ["times", "lost_epochs"] {
            of.insert(name.into(), json!(resumed(&format!("/{name}"))));
        }
    }
    Value::Object(run)
}

/// How far the job is. It is done when all its ranks are.
fn job_phase(ranks: &[&Value]) -> RunPhase {
    const BY_PRECEDENCE: [RunPhase; 5] =
        [RunPhase::InEpoch, RunPhase::Unfinished, RunPhase::Between, RunPhase::Waiting, RunPhase::Done];
    let has = |wanted: &RunPhase| ranks.iter().any(|rank| phase(rank) == Some(*wanted));
    BY_PRECEDENCE.into_iter().find(has).unwrap_or(RunPhase::Unfinished)
}

/// Duration of the job, s: the union of its ranks' times. A rank without a known last end counts from its start.
fn duration(ranks: &[&Value]) -> Option<f64> {
    let took = |rank: &&Value| number(rank, "/usage/duration_s").filter(|took| took.is_finite());
    let span = |rank: &&Value| {
        let from = match last_end(rank) {
            Some(end) => end - took(rank)?,
            None => started(rank)?,
        };
        Some((from, from + took(rank)?))
    };
    let longest = ranks.iter().filter_map(took).reduce(f64::max)?;
    Some(union(ranks.iter().filter_map(span).collect()).max(longest))
}

/// The length of the union of spans, s. A span is its begin and its end, s since 1970.
fn union(mut spans: Vec<(f64, f64)>) -> f64 {
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let add = |(length, end): (f64, f64), (from, to): (f64, f64)| (length + (to - from.max(end)).max(0.0), end.max(to));
    spans.into_iter().fold((0.0, f64::NEG_INFINITY), add).0
}

fn usage(counting: &[&Value], components: &[Value], duration_s: Option<f64>) -> Value {
    let Value::Object(mut usage) = section("usage", counting) else { return Value::Null };
    let least = components.iter().filter_map(|component| number(component, "/coverage")).reduce(f64::min);
    let reported = counting.iter().filter_map(|rank| number(rank, "/usage/coverage")).reduce(f64::max);
    usage.insert("duration_s".into(), json!(duration_s));
    usage.insert("coverage".into(), json!(least.or(reported)));
    let error = error(counting);
    let amount = |name: &str| (usage.get(name).and_then(Value::as_f64), error);
    let amounts = ["energy_j", "energy_kwh", "facility_energy_kwh", "co2eq_g"].map(amount);
    if counting.iter().any(|rank| rank.pointer("/usage/error").is_some()) {
        usage.append(&mut figures(amounts));
    }
    Value::Object(usage)
}

/// The error interval of these ranks' energy; None: the energy is measured.
fn error(ranks: &[&Value]) -> Option<ErrorBand> {
    let part = |rank: &&Value| Some((number(rank, "/usage/energy_j")?, ErrorBand::read(rank.pointer("/usage/error"))));
    ErrorBand::of_sum(ranks.iter().filter_map(part))
}

/// Sets a section's error intervals to the interval of all ranks' energy. Multiples of different ranks cannot be added.
fn with_error(mut section: Value, error: Option<ErrorBand>) -> Value {
    for name in ["error", "forecast_error"] {
        let field = section.get_mut(name).filter(|_| error.is_some());
        field.into_iter().for_each(|field| *field = json!(error.map(ErrorBand::json)));
    }
    section
}

fn extras(counting: &[&Value], error: Option<ErrorBand>) -> Value {
    match section("extras", counting) {
        Value::Object(extras) => extras.into_iter().map(|(name, of)| (name, with_error(of, error))).collect(),
        none => none,
    }
}

/// A factor of all ranks: the common value, or else the output divided by the input.
fn mean(counting: &[&Value], pointer: &str, out: Option<f64>, into: Option<f64>) -> Option<Value> {
    let known: Vec<f64> = counting.iter().filter_map(|rank| number(rank, pointer)).collect();
    let first = *known.first()?;
    let ratio = out.zip(into).filter(|(_, into)| *into > 0.0).map(|(out, into)| out / into);
    Some(json!(if known.iter().all(|one| *one == first) { first } else { ratio.unwrap_or(first) }))
}

/// The devices of all nodes. If several ranks counted a device one after another, it is one device.
fn components(counting: &[&Value], duration_s: f64) -> Vec<Value> {
    let mut devices: BTreeMap<[&str; 5], Vec<(&Value, f64)>> = BTreeMap::new();
    for rank in counting {
        let took = number(rank, "/usage/duration_s").unwrap_or(0.0);
        for one in list(rank, "components") {
            let [kind, id, device, source] =
                ["/kind", "/id", "/device", "/source"].map(|name| word(one, name).unwrap_or_default());
            let host = word(rank, "/run/host").unwrap_or_default();
            devices.entry([host, kind, device, id, source]).or_default().push((one, took));
        }
    }
    devices.into_iter().map(|([host, ..], parts)| device(host, &parts, duration_s)).collect()
}

/// Merges one device's components from several ranks. Each comes with the duration of its rank, s.
fn device(host: &str, parts: &[(&Value, f64)], duration_s: f64) -> Value {
    let ones: Vec<&Value> = parts.iter().map(|(one, _)| *one).collect();
    let Value::Object(mut device) = fold_all(&ones) else { return Value::Null };
    let energy_j = sum(ones.iter().map(|one| number(one, "/energy_j")));
    let time = |one: &&Value| {
        let watts = number(one, "/mean_power_w").filter(|watts| *watts > 0.0)?;
        Some(number(one, "/energy_j")? / watts)
    };
    let counted_s = sum(ones.iter().map(time)).filter(|counted_s| *counted_s > 0.0);
    let measured_s = sum(parts.iter().map(|(one, took)| Some(number(one, "/coverage")? * took)));
    let fault = ones.iter().filter_map(|one| word(one, "/status")).find(|status| is_fault(status));
    let note = ones.iter().find_map(|one| word(one, "/note"));
    if ones.len() > 1 {
        let mean_w = energy_j.zip(counted_s).map(|(joules, seconds)| joules / seconds);
        device.insert("mean_power_w".into(), json!(mean_w));
    }
    device.insert("coverage".into(), json!(measured_s.filter(|_| duration_s > 0.0).map(|s| (s / duration_s).min(1.0))));
    fault.into_iter().for_each(|fault| drop(device.insert("status".into(), json!(fault))));
    device.insert("note".into(), json!(note));
    if ones.iter().any(|one| one.get("error").is_some()) {
        let part = |one: &&Value| Some((number(one, "/energy_j")?, ErrorBand::of_component(one)));
        let error = ErrorBand::of_sum(ones.iter().filter_map(part)).or_else(|| ErrorBand::read(device.get("error")));
        let [low_j, high_j] = ends(energy_j, error);
        let fields = [
            ("error", json!(error.map(ErrorBand::json))),
            ("energy_low_j", json!(low_j)),
            ("energy_high_j", json!(high_j)),
        ];
        device.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    }
    device.insert("host".into(), json!(host));
    Value::Object(device)
}

/// Whether a component's status names a fault. A word of a newer version counts as one.
fn is_fault(status: &str) -> bool {
    !matches!(status.parse(), Ok(ComponentStatus::Ok | ComponentStatus::Simulated))
}

/// The sources that no rank measures, without the devices that another rank counts.
fn unavailable(counting: &[&Value]) -> Value {
    let of = |&rank| list(rank, "unavailable").filter(move |one| !is_counted(rank, one));
    distinct(counting.iter().flat_map(of))
}

/// Whether another rank counts the device of this entry in a rank's `unavailable`. Files without the field
/// `counted_elsewhere` have only the reason, which begins with the device's ids.
fn is_counted(rank: &Value, one: &Value) -> bool {
    if let Some(counted) = one.get("counted_elsewhere").and_then(Value::as_bool) {
        return counted;
    }
    let devices = rank.pointer("/job/devices").and_then(Value::as_array).into_iter().flatten();
    let mut elsewhere = devices.filter(|device| device.get("counted_here") == Some(&Value::Bool(false)));
    let begins = |ids: &str| !ids.is_empty() && word(one, "/reason").is_some_and(|reason| reason.starts_with(ids));
    elsewhere.any(|device| begins(&ids(device)))
}

/// The ids of a device as one text.
fn ids(device: &Value) -> String {
    list(device, "ids").filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

/// A section of the ranks that have it.
fn parts_of<'a>(ranks: &[&'a Value], name: &str) -> Vec<&'a Value> {
    ranks.iter().filter_map(|rank| rank.get(name)).filter(|one| !one.is_null()).collect()
}

/// The phases of all ranks. A rank may have energy in phases and none in epochs, and phases that no other rank has.
fn phases(ranks: &[&Value]) -> Value {
    let sections = parts_of(ranks, "phases");
    if sections.is_empty() { Value::Null } else { phases::merged(&sections, PartsOf::Job) }
}

/// The nodes, each with its number of ranks, the ranks that count a device, and its energy.
fn nodes(ranks: &[&Value]) -> Value {
    let mut nodes: BTreeMap<Option<&str>, Vec<&Value>> = BTreeMap::new();
    ranks.iter().for_each(|rank| nodes.entry(word(rank, "/run/host")).or_default().push(rank));
    let node = |(host, ranks): (Option<&str>, Vec<&Value>)| {
        let counting: Vec<u64> =
            ranks.iter().filter(|rank| is_counting(rank)).filter_map(|rank| count(rank, "/run/rank")).collect();
        let energy_j = sum(ranks.iter().map(|rank| number(rank, "/usage/energy_j")));
        let mut node = json!({"host": host, "ranks": ranks.len(), "counting": counting, "energy_j": energy_j});
        let error = error(&ranks).map(|band| ("error".to_owned(), band.json()));
        node.as_object_mut().into_iter().for_each(|node| node.extend(error.clone()));
        node
    };
    nodes.into_iter().map(node).collect()
}
