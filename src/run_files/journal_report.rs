//! Makes a report of a run from its journal, also if the run has left no final report.

use super::journal::Journal;
use crate::attribution::carried_over;
use crate::attribution::epochs::{Epoch, EpochStore};
use crate::clock::MonoNs;
use crate::report::{self, ComponentReport, EpochRow, decimate, time_series};
use crate::units::ErrorBand;
use crate::units::J_PER_KWH;
use serde_json::{Map, Value, json};
use std::fmt::Display;
use std::path::Path;

/// The note of a run whose journal has no end.
pub const UNFINISHED: &str = "from the journal: the run's process has left no final report, or still runs";

/// The report of a run, and the flaws of its journal.
pub struct JournalReport {
    /// The report as JSON, by the report's schema.
    pub report: Value,
    /// The flaws of the journal, as texts for the user.
    pub notes: Vec<String>,
}

/// Reads a journal (NAME.jsonl) as a report. If the last attempt has not ended in order, the report's state is
/// "unfinished" and its numbers are those of the last line. The error is a text for the user.
pub fn read(path: &Path) -> Result<JournalReport, String> {
    let with_path = |why: &dyn Display| format!("{}: {why}", path.display());
    let text = std::fs::read(path).map_err(|error| with_path(&error))?;
    parse(&text).map_err(|why| with_path(&why))
}

/// Reads the text of a journal as a report. The error is a text for the user.
pub fn parse(text: &[u8]) -> Result<JournalReport, String> {
    let journal = Journal::parse(text)?;
    Ok(JournalReport { report: report_of(&journal), notes: journal.flaws })
}

/// The same report, and for each row of its epochs the time outside them, s: from the previous epoch, and between those
/// of the row.
pub fn parse_with_gaps(text: &[u8]) -> Result<(Value, Vec<f64>), String> {
    let journal = Journal::parse(text)?;
    Ok((report_of(&journal), gaps_s(&journal)))
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
    let g_per_kwh = so_far("g_per_kwh");
    let figure = if g_per_kwh.is_null() { Value::Null } else { json!({"g_per_kwh": g_per_kwh}) };
    // No line has the intensity by the hour.
    let unknown = json!({"slots_used": null, "coverage": null, "metered_share": null, "hours": null});
    let intensity = [journal.intensity.clone(), figure, unknown].into_iter().fold(opening("intensity"), merged);
    let origin = match journal.is_ended {
        true => "from the journal: the final report, if there is one, has more",
        false => UNFINISHED,
    };
    let mut notes = vec![json!(origin)];
    notes.extend(journal.flaws.iter().map(|flaw| json!(flaw)));
    json!({
        "schema": report::SCHEMA,
        "run": run,
        "usage": merged(usage, Value::Object(more)),
        "forecast": so_far("forecast"),
        "forecasts": decimate::ever_wider(&journal.forecasts, time_series::MAX_FORECASTS).collect::<Vec<_>>(),
        "intensity": intensity,
        "pue": pue,
        "facility": journal.facility,
        "components": components(journal),
        "unavailable": journal.unavailable,
        "job": journal.job,
        "epochs": epochs(journal),
        "phases": journal.phases,
        "share": journal.share,
        "equivalents": report::equivalents(grams, error),
        "power": report::power(&journal.power),
        "what_if": null,
        "extras": {"cost": null, "water": null, "embodied": null, "marginal": null},
        "notes": notes,
    })
}

/// The fields of both objects. For a name in both, the value of `over` wins.
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
    let components = journal.measured().map(|(component, status)| {
        let carried_over::CarriedComponent { channel, used } = component;
        ComponentReport { channel, used, run_ns, status, note: None }.json()
    });
    components.collect()
}

/// The rows of the epochs, decimated as in the report of a running run.
fn epochs(journal: &Journal) -> Value {
    let history = placed(journal);
    let numbered = history.iter().scan(0, |index, epoch| {
        let first = *index;
        *index += epoch.count;
        Some(EpochRow::filed(first, *epoch).json())
    });
    numbered.collect()
}

/// The epochs, with instants that keep the gaps between them.
fn placed(journal: &Journal) -> EpochStore {
    const END: MonoNs = MonoNs(1 << 62);
    let mut history = EpochStore::default();
    journal.placed(END).into_iter().for_each(|epoch| history.push(epoch));
    history
}

/// The time from the previous epoch to each row of the report, and between the epochs of a row, s.
fn gaps_s(journal: &Journal) -> Vec<f64> {
    let mut last_end = None;
    let gap = |epoch: &Epoch| {
        let previous_end = last_end.replace(epoch.end).unwrap_or(epoch.begin);
        epoch.end.ns_since(previous_end).saturating_sub(epoch.inside) as f64 * 1e-9
    };
    placed(journal).iter().map(gap).collect()
}
