//! Adds up the energy of a job's ranks, by epoch and by time.

use super::fold::{fold_all, list};
use crate::attribution::carried_over::CarriedInterval;
use crate::attribution::epochs::PerKind;
use crate::measurement::channel::DeviceKind;
use crate::report;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The number of a row's first epoch, and of the epoch after its last.
fn epoch_range(row: &Value) -> Option<(u64, u64)> {
    let number = |name: &str| row.get(name).and_then(Value::as_u64);
    let (index, count) = (number("index")?, number("count").unwrap_or(1));
    Some((index, index.checked_add(count)?))
}

/// The epochs, each with the use of all ranks. If ranks group their epochs differently, rows are joined until all
/// ranks' rows begin at the same epochs.
pub fn epochs(ranks: &[&Value]) -> Value {
    let rows = |rank: &'_ &Value| -> Vec<((u64, u64), Value)> {
        list(rank, "epochs").filter_map(|row| Some((epoch_range(row)?, row.clone()))).collect()
    };
    let all: Vec<Vec<((u64, u64), Value)>> = ranks.iter().map(rows).filter(|rows| !rows.is_empty()).collect();
    let mut begins: Option<BTreeSet<u64>> = None;
    let longest = all.iter().max_by_key(|rows| rows.last().map(|((_, to), _)| *to));
    for rows in &all {
        let own: BTreeSet<u64> = rows.iter().map(|((from, _), _)| *from).collect();
        let end = rows.last().map_or(0, |((_, to), _)| *to);
        let base = begins.take().or_else(|| Some(longest?.iter().map(|((from, _), _)| *from).collect()));
        begins = base
            .map(|base: BTreeSet<u64>| base.into_iter().filter(|from| own.contains(from) || *from >= end).collect());
    }
    let begins = begins.unwrap_or_default();
    let mut groups: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for rows in &all {
        let mut of_rank: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
        for ((from, _), row) in rows {
            let begin = begins.range(..=*from).next_back().copied().unwrap_or(0);
            of_rank.entry(begin).or_default().push(row);
        }
        for (begin, rows) in of_rank {
            groups.entry(begin).or_default().push(together(begin, &rows, false));
        }
    }
    groups.iter().map(|(begin, rows)| together(*begin, &rows.iter().collect::<Vec<_>>(), true)).collect()
}

/// Merges rows of epochs. `at_once`: they are of several ranks at the same time; false: of one rank, one after another.
fn together(begin: u64, rows: &[&Value], at_once: bool) -> Value {
    let known = |name: &str| rows.iter().filter_map(|row| row.get(name)?.as_f64()).collect::<Vec<_>>();
    let total = |name: &str| known(name).into_iter().reduce(|a, b| a + b);
    let most = |name: &str| known(name).into_iter().reduce(f64::max);
    let counts = rows.iter().map(|row| row.get("count").and_then(Value::as_u64).unwrap_or(1));
    let mut epoch = Map::new();
    let mut set = |name: &str, value: Value| epoch.insert(name.into(), value);
    set("index", json!(begin));
    set("count", json!(if at_once { counts.max().unwrap_or(1) } else { counts.fold(0u64, u64::saturating_add) }));
    set("duration_s", json!(if at_once { most("duration_s") } else { total("duration_s") }));
    for name in ["energy_j", "co2eq_g"].into_iter().chain(DeviceKind::ALL.map(DeviceKind::joules)) {
        set(name, json!(total(name)));
    }
    // Only rows of journals have the time before an epoch.
    if let Some(gap_s) = if at_once { most("gap_s") } else { total("gap_s") } {
        set("gap_s", json!(gap_s));
    }
    let counted = rows.iter().filter(|row| row.get("energy_j").is_some_and(Value::is_number));
    let coverage = counted.filter_map(|row| row.get("coverage")?.as_f64());
    // A rank that took over a device within the epoch covers only a part of the epoch.
    set("coverage", json!(if at_once { coverage.reduce(f64::max) } else { coverage.reduce(f64::min) }));
    Value::Object(epoch)
}

/// The earlier forecasts, for the numbers of epochs at which all ranks have one. The energy is unknown where that of a
/// rank is: it took its devices over later.
pub fn forecasts(ranks: &[&Value]) -> Value {
    let after = |one: &Value| one.get("after_epochs").and_then(Value::as_u64);
    let lists: Vec<BTreeMap<u64, &Value>> = ranks
        .iter()
        .map(|rank| list(rank, "forecasts").filter_map(|one| Some((after(one)?, one))).collect())
        .filter(|list: &BTreeMap<u64, &Value>| !list.is_empty())
        .collect();
    let first = lists.first().map(|list| list.keys()).into_iter().flatten();
    let of_all =
        first.filter_map(|epochs| lists.iter().map(|list| list.get(epochs).copied()).collect::<Option<Vec<_>>>());
    let sum = |ones: Vec<&Value>| {
        let mut sum = fold_all(&ones);
        let is_unknown = ones.iter().any(|one| one.get("energy_j").is_none_or(Value::is_null));
        sum.get_mut("energy_j").filter(|_| is_unknown).into_iter().for_each(|energy| *energy = Value::Null);
        sum
    };
    of_all.map(sum).collect()
}

/// Mean power over time, added over the ranks.
pub fn power(ranks: &[&Value]) -> Value {
    let mut steps: Vec<(f64, usize, f64)> = Vec::new();
    for power in ranks.iter().filter_map(|rank| rank.get("power")) {
        let column = |name: &str| list(power, name).map(Value::as_f64).collect::<Vec<_>>();
        let spans: Vec<(Option<f64>, Option<f64>)> = column("from").into_iter().zip(column("to")).collect();
        for kind in DeviceKind::ALL {
            for ((from, to), watts) in spans.iter().zip(column(&format!("{}_w", kind.name()))) {
                let (Some(from), Some(to), Some(watts)) = (*from, *to, watts) else { continue };
                if from < to {
                    steps.extend([(from, kind as usize, watts), (to, kind as usize + DeviceKind::ALL.len(), watts)]);
                }
            }
        }
    }
    steps.sort_by(|a, b| a.0.total_cmp(&b.0));
    report::power(&intervals(&steps))
}

/// The intervals of constant power between the steps. A step is a time, s, a kind of device with begin or end, and a
/// power, W.
fn intervals(steps: &[(f64, usize, f64)]) -> Vec<CarriedInterval> {
    let mut now = [(0usize, 0.0f64); DeviceKind::ALL.len()];
    let mut intervals = Vec::new();
    let mut at = f64::NAN;
    for &(next, what, watts) in steps {
        if next > at && now.iter().any(|(count, _)| *count > 0) {
            let mut energy = PerKind::default();
            for (kind, (count, watts)) in DeviceKind::ALL.into_iter().zip(now) {
                (count > 0).then(|| energy.add(kind, watts * (next - at)));
            }
            intervals.push(CarriedInterval { from: at, to: next, energy });
        }
        at = next;
        let is_begin = what < DeviceKind::ALL.len();
        if let Some((count, sum)) = now.get_mut(what % DeviceKind::ALL.len()) {
            *count = if is_begin { *count + 1 } else { count.saturating_sub(1) };
            *sum = if *count == 0 {
                0.0
            } else if is_begin {
                *sum + watts
            } else {
                (*sum - watts).max(0.0) // rounding may give a negative sum
            };
        }
    }
    intervals
}
