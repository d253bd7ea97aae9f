//! The forecast of a job, from the forecasts of its ranks.

use super::fold::{fold_all, list};
use super::{last_end, number, phase, word};
use crate::forecast::uncertainty::ends;
use crate::report::RunPhase;
use crate::units::ErrorBand;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};

/// The forecast of a job: energies are added, and the longest time counts. While any rank is running, some ranks add
/// only their use up to now: those that are done, those whose devices another rank counts now, and those without a
/// forecast.
pub fn forecast(ranks: &[&Value]) -> Value {
    let host = |rank: &Value| word(rank, "/run/host").map(str::to_owned);
    let mut by_host: HashMap<Option<String>, Vec<&Value>> = HashMap::new();
    ranks.iter().for_each(|rank| by_host.entry(host(rank)).or_default().push(rank));
    let is_replaced = |rank: &&Value| by_host.get(&host(rank)).is_some_and(|on_node| is_replaced(rank, on_node));
    let (replaced, present): (Vec<&Value>, Vec<&Value>) = ranks.iter().partition(|rank| is_replaced(rank));
    let (done, running): (Vec<&Value>, Vec<&Value>) = present.into_iter().partition(|rank| is_done(rank));
    let (forecasting, others) = if running.is_empty() { (done, Vec::new()) } else { (running, done) };
    let mut all: Vec<Value> = forecasting.iter().filter_map(|rank| rank.get("forecast").cloned()).collect();
    all.retain(|forecast| !forecast.is_null());
    if !all.is_empty() {
        let without = forecasting.into_iter().filter(|rank| number(rank, "/forecast/energy_j/value").is_none());
        all.extend(others.into_iter().chain(replaced).chain(without).map(used));
    }
    fold_all(&all.iter().collect::<Vec<_>>())
}

fn is_done(rank: &Value) -> bool {
    phase(rank) == Some(RunPhase::Done)
}

/// Whether an unfinished rank was killed: other ranks on its node count all its devices, and have ended an epoch after
/// its last one.
fn is_replaced(rank: &Value, on_node: &[&Value]) -> bool {
    if is_done(rank) {
        return false;
    }
    let is_later = |other: &&&Value| last_end(other).zip(last_end(rank)).is_some_and(|(other, own)| other > own);
    let others: BTreeSet<String> = on_node.iter().filter(is_later).flat_map(|other| counted(other)).collect();
    let own: BTreeSet<String> = counted(rank).collect();
    !own.is_empty() && own.is_subset(&others)
}

/// The devices of the node that a rank counts, by their ids.
fn counted(rank: &Value) -> impl Iterator<Item = String> {
    let devices = rank.get("job").into_iter().flat_map(|job| list(job, "devices"));
    let here = devices.filter(|device| device.get("counted_here") == Some(&Value::Bool(true)));
    here.filter_map(|device| device.get("ids").map(Value::to_string))
}

/// The use of a rank up to now, in the form of a forecast.
fn used(rank: &Value) -> Value {
    let error = ErrorBand::read(rank.pointer("/usage/error"));
    let estimate = |name: &str| {
        let used = number(rank, &format!("/usage/{name}"))?;
        let [low, high] = ends(Some(used), error);
        Some(json!({"value": used, "low": low.unwrap_or(used), "high": high.unwrap_or(used)}))
    };
    json!({"energy_j": estimate("energy_j"), "co2eq_g": estimate("co2eq_g")})
}
