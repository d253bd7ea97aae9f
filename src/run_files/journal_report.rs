//! What a journal tells of a run: its report, of one that has left no final one too.

use super::journal::Journal;
use crate::attribution::carried_over;
use crate::attribution::epochs::EpochStore;
use crate::clock::MonoNs;
use crate::measurement::channel::ErrorBand;
use crate::report::{self, ComponentReport, EpochRow, decimate, time_series};
use crate::units::J_PER_KWH;
use serde_json::{Map, Value, json};
use std::fmt::Display;
use std::path::Path;

/// A run's report, and what is wrong with the file.
pub struct JournalReport {
    /// As JSON, in the words of the report's schema.
    pub report: Value,
    /// In words.
    pub notes: Vec<String>,
}

/// Reads a journal (NAME.jsonl). That of a run whose last process has not ended, or was killed, tells as far as it goes:
/// its state is "unfinished".
pub fn read(path: &Path) -> Result<JournalReport, String> {
    let of = |why: &dyn Display| format!("{}: {why}", path.display());
    let text = std::fs::read(path).map_err(|error| of(&error))?;
    let journal = Journal::parse(&text).map_err(|why| of(&why))?;
    Ok(JournalReport { report: report_of(&journal), notes: journal.flaws })
}

pub(super) fn report_of(journal: &Journal) -> Value {
    let so_far = |name: &str| journal.so_far.get(name).cloned().unwrap_or_default();
    let opening = |name: &str| journal.opening.get(name).cloned().unwrap_or_default();
    let mut run = merged(opening("run"), so_far("run"));
    if !journal.is_ended {
        run = merged(run, json!({"state": "unfinished", "open": so_far("open")}));
    }
    let pue = if journal.pue.is_null() { opening("pue") } else { journal.pue.clone() };
    let usage = so_far("usage");
    let joules = usage.get("energy_j").and_then(Value::as_f64);
    let grams = usage.get("co2eq_g").and_then(Value::as_f64);
    let facility = joules.zip(pue.as_f64()).map(|(joules, pue)| joules / J_PER_KWH * pue);
    let error =
        ErrorBand::of_sum(journal.measured().filter_map(|(one, _)| Some((one.used.sum().joules?, one.channel.error))));
    let error = error.filter(|_| joules.is_some());
    let kwh = joules.map(|joules| joules / J_PER_KWH);
    let more = report::figures([joules, kwh, facility, grams].map(|amount| (amount, error)));
    let told = so_far("g_per_kwh");
    let price = if told.is_null() { Value::Null } else { json!({"g_per_kwh": told}) };
    // How it went by the hour no line tells.
    let untold = json!({"slots_used": null, "coverage": null, "metered_share": null, "hours": null});
    let intensity = [journal.intensity.clone(), price, untold].into_iter().fold(opening("intensity"), merged);
    let kept = match journal.is_ended {
        true => "from the journal: the final report, if there is one, tells more",
        false => "from the journal: the run's process has left no final report, or goes on",
    };
    let mut notes = vec![json!(kept)];
    notes.extend(journal.flaws.iter().map(|flaw| json!(flaw)));
    json!({
        "schema": report::SCHEMA,
        "run": run,
        "usage": merged(usage, Value::Object(more)),
        "forecast": so_far("forecast"),
        "forecasts": decimate::ever_wider(&journal.forecasts, time_series::MOST_FORECASTS).collect::<Vec<_>>(),
        "intensity": intensity,
        "pue": pue,
        "facility": journal.facility,
        "components": components(journal),
        "unavailable": journal.unavailable,
        "job": journal.job,
        "epochs": epochs(journal),
        "equivalents": report::equivalents(grams, error),
        "power": report::power(&journal.power),
        "what_if": null,
        "extras": {"cost": null, "water": null, "embodied": null, "marginal": null},
        "notes": notes,
    })
}

/// The one with the other's values over its own.
fn merged(one: Value, over: Value) -> Value {
    let mut merged = match one {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    if let Value::Object(over) = over {
        merged.extend(over);
    }
    Value::Object(merged)
}

fn components(journal: &Journal) -> Value {
    let run_ns = journal.so_far.pointer("/usage/duration_s").and_then(Value::as_f64).unwrap_or(0.0) * 1e9;
    let told = journal.measured().map(|(component, status)| {
        let carried_over::CarriedComponent { channel, used } = component;
        ComponentReport { channel, used, run_ns, status, note: None }.json()
    });
    told.collect()
}

/// The epochs, thinned as the report of a living run is.
fn epochs(journal: &Journal) -> Value {
    let mut history = EpochStore::default();
    journal.placed(MonoNs::ZERO).into_iter().for_each(|epoch| history.push(epoch));
    let numbered = history.iter().scan(0, |index, epoch| {
        let first = *index;
        *index += epoch.count;
        Some(EpochRow::filed(first, *epoch).json())
    });
    numbered.collect()
}
