//! The current power of a run.

use crate::report_files::number;
use carbontracker::measurement::channel::DeviceKind;
use serde_json::{Map, Value, json};

/// Field for the current power of a job's ranks. The power lines of ranks end up to a minute apart, so their sum is
/// stored.
const POWER_NOW: &str = "power_now_w";

/// Stores the sum over a job's ranks of their current power, W, by kind of device.
pub fn set(job: &mut Value, of_ranks: impl Iterator<Item = (&'static str, f64)>) {
    let mut now = Map::new();
    for (kind, watts) in of_ranks {
        let sum = now.get(kind).and_then(Value::as_f64).unwrap_or(0.0) + watts;
        now.insert(kind.to_owned(), json!(sum));
    }
    job.as_object_mut().into_iter().for_each(|job| drop(job.insert(POWER_NOW.into(), json!(now))));
}

/// The latest known mean power of a run, W, by kind of device: from its power line, otherwise from its last epoch.
pub fn latest(report: &Value) -> Vec<(&'static str, f64)> {
    let by = |of: &dyn Fn(&str) -> Option<f64>| -> Vec<(&'static str, f64)> {
        DeviceKind::ALL.map(DeviceKind::name).into_iter().filter_map(|kind| Some((kind, of(kind)?))).collect()
    };
    if let Some(now) = report.get(POWER_NOW) {
        return by(&|kind| now.get(kind)?.as_f64());
    }
    let line = |kind: &str| last(report.pointer(&format!("/power/{kind}_w"))?)?.as_f64();
    let epoch = report.get("epochs").and_then(last);
    let of_epoch = |kind: &str| {
        let epoch = epoch?;
        let seconds = number(epoch, "/duration_s").filter(|seconds| *seconds > 0.0)?;
        Some(number(epoch, &format!("/{kind}_j"))? / seconds)
    };
    Some(by(&line)).filter(|power| !power.is_empty()).unwrap_or_else(|| by(&of_epoch))
}

fn last(array: &Value) -> Option<&Value> {
    array.as_array()?.last()
}
