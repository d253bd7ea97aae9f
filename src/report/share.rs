//! The job's share of its node, and what the others used (option `scope=job`).

use crate::attribution::share::NodeShare;
use crate::measurement::channel::DeviceKind;
use crate::measurement::config::IdleRule;
use crate::state::{IdlePower, Metered, RunState};
use crate::units::{self, Amount, ErrorBand};
use serde_json::{Map, Value, json};

/// The section of the JSON report; null: all energy of the devices counts.
pub fn section(state: &RunState) -> Value {
    let own = state.attribution.share.as_ref().map(|share| own_section(state, share));
    let carried_over = &state.attribution.carried_over.share;
    let parts: Vec<&Value> = [carried_over].into_iter().filter(|part| !part.is_null()).chain(&own).collect();
    merged(&parts)
}

/// What this process measured.
fn own_section(state: &RunState, share: &NodeShare) -> Value {
    let (watts, from) = match state.metering.idle_power {
        IdlePower::Unknown => (None, None),
        IdlePower::Model(watts) => (Some(watts), Some("model")),
        IdlePower::Option(watts) => (Some(watts), Some("option")),
    };
    let undivided_j = Some(share.undivided_j()).filter(|joules| *joules > 0.0);
    let rows: Vec<Value> = state.ours().map(|(number, metered)| row(state, share, number, metered)).collect();
    let mut section = json!({
        "scope": "job",
        "processor_time": share.basis,
        "idle": share.idle_rule().name(),
        "idle_w": watts,
        "idle_w_from": from,
        "allocated": share.newest().and_then(|usage| usage.allocated),
        "undivided_j": undivided_j,
    });
    extend(&mut section, sums(rows.iter()));
    extend(&mut section, [("rows", Value::Array(rows))]);
    section
}

/// The division of a device's energy.
fn row(state: &RunState, share: &NodeShare, number: usize, metered: &Metered) -> Value {
    let counted = state.attribution.ledger.channel(number).joules;
    let earlier = metered.carried_over.sum().joules.unwrap_or(0.0);
    let job_j = counted.map(|joules| joules - earlier);
    let others_j = share.others.channel(number).joules;
    let channel = &metered.channel;
    json!({
        "kind": channel.kind.name(),
        "device": channel.device,
        "id": channel.id,
        "rule": share.rule(channel).name(),
        "job_j": job_j,
        "others_j": others_j,
        "device_j": job_j.zip(others_j).map(|(job, others)| job + others),
    })
}

/// The sums of rows. What the others used is known only where all rows know it.
fn sums<'a>(rows: impl Iterator<Item = &'a Value> + Clone) -> [(&'static str, Value); 3] {
    const NAMES: [&str; 3] = ["job_j", "others_j", "device_j"];
    NAMES.map(|name| {
        let numbers = rows.clone().filter_map(|row| row.get(name)?.as_f64());
        (name, json!(units::sum(numbers.map(Some))))
    })
}

/// One section from those of several attempts or ranks; null: there is none. Devices of one name are added.
pub fn merged(sections: &[&Value]) -> Value {
    let Some((last, earlier)) = sections.split_last() else { return Value::Null };
    if earlier.is_empty() {
        return (*last).clone();
    }
    let mut rows: Vec<Value> = Vec::new();
    for row in sections.iter().filter_map(|section| section.get("rows")?.as_array()).flatten() {
        let is_same = |other: &&mut Value| ["kind", "device", "id"].iter().all(|key| other.get(key) == row.get(key));
        match rows.iter_mut().find(is_same) {
            Some(same) => {
                let both = [&*same, row];
                let sums = sums(both.into_iter());
                extend(same, sums);
            }
            None => rows.push(row.clone()),
        }
    }
    let mut section = (*last).clone();
    let undivided = sections.iter().filter_map(|section| section.get("undivided_j")?.as_f64()).reduce(|a, b| a + b);
    extend(&mut section, sums(rows.iter()));
    extend(&mut section, [("undivided_j", json!(undivided)), ("rows", Value::Array(rows))]);
    section
}

/// The energy of the others, J, by the name of the kind; kinds without any are left out.
pub fn others(section: &Value) -> impl Iterator<Item = (&'static str, f64)> {
    let rows = section.get("rows").and_then(Value::as_array).into_iter().flatten();
    DeviceKind::ALL.into_iter().filter_map(move |kind| {
        let of_kind = rows.clone().filter(|row| row.get("kind").and_then(Value::as_str) == Some(kind.name()));
        Some((kind.name(), of_kind.filter_map(|row| row.get("others_j")?.as_f64()).reduce(|a, b| a + b)?))
    })
}

fn extend<const N: usize>(object: &mut Value, fields: [(&str, Value); N]) {
    let more = fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect::<Map<_, _>>();
    object.as_object_mut().into_iter().for_each(|object| object.extend(more.clone()));
}

/// The lines of the text report.
pub fn lines(section: &Value, error: Option<ErrorBand>) -> Vec<String> {
    let number = |name: &str| section.get(name).and_then(Value::as_f64);
    if section.is_null() {
        return Vec::new();
    }
    let energy = |joules: f64| Amount::Energy.alone(joules, error);
    let Some(((job, others), device)) = number("job_j").zip(number("others_j")).zip(number("device_j")) else {
        return vec!["  share   this job's share of the node is unknown".into()];
    };
    let percent = if device > 0.0 { format!(" ({:.0} %)", job / device * 100.0) } else { String::new() };
    let first =
        format!("  share   {}{percent} of the node's {}; others used {}", energy(job), energy(device), energy(others));
    vec![first, format!("          {}", rule(section))]
}

/// The rule of the division, in words.
pub fn rule(section: &Value) -> String {
    let is = |pointer: &str, value: &str| section.get(pointer).and_then(Value::as_str) == Some(value);
    let idle = match section.get("allocated").and_then(Value::as_f64) {
        _ if is("idle", IdleRule::None.name()) => "idle energy is the others'".into(),
        Some(share) => format!("{:.0} % of idle energy, as of the cores", share * 100.0),
        None => "idle energy too, as no cores are allocated".into(),
    };
    let group = if is("processor_time", "cgroup") { " of its control group" } else { "" };
    format!(
        "by processor time{group}; {idle}; memory by residence, GPUs by what the driver has of each process, else whole"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(job: f64, others: Option<f64>) -> Value {
        let device = others.map(|others| job + others);
        let row = json!({"kind": "cpu", "device": "A", "id": "0", "rule": "processor_time", "job_j": job,
            "others_j": others, "device_j": device});
        json!({"scope": "job", "processor_time": "processes", "idle": "cores", "idle_w": 3.0, "idle_w_from": "model",
            "allocated": null, "undivided_j": null, "job_j": job, "others_j": others, "device_j": device, "rows": [row]})
    }

    #[test]
    fn attempts_and_ranks_are_added_by_device() {
        let (first, second) = (one(1.0, Some(2.0)), one(10.0, Some(20.0)));
        let sum = merged(&[&first, &second]);
        assert_eq!(sum.pointer("/job_j"), Some(&json!(11.0)));
        assert_eq!(sum.pointer("/rows/0/others_j"), Some(&json!(22.0)));
        assert_eq!(sum.pointer("/rows/1"), None);
        assert_eq!(merged(&[]), Value::Null);
        assert_eq!(merged(&[&first]), first);
    }

    #[test]
    fn text_has_both_figures_and_the_rule() {
        let text = lines(&one(3600.0, Some(7200.0)), None).join("\n");
        assert!(text.contains("33 %") && text.contains("by processor time"), "{text}");
        assert!(lines(&one(1.0, None), None).join("").contains("unknown"));
        assert!(lines(&Value::Null, None).is_empty());
    }
}
