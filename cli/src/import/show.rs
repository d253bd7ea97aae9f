//! Shows imported runs as a table or as a recording.

use super::Imported;
use carbontracker::sanitize;
use carbontracker::units::{J_PER_KWH, duration, energy, grams};
use serde_json::Value;
use std::collections::BTreeMap;

/// The epochs as a recording in CSV. A run whose log joins epochs is left out, with a message.
pub fn recording(runs: &[Imported], troubles: &mut Vec<String>) -> String {
    let mut rows = csv::Writer::from_writer(Vec::new());
    let mut write = |row: [&str; 4]| rows.write_record(row).map_err(|error| error.to_string());
    let mut written = write(["run", "epoch", "duration_s", "energy_j"]);
    for Imported { name, report } in runs {
        let epochs = report.get("epochs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if epochs.iter().any(|epoch| epoch.get("count").and_then(Value::as_u64) != Some(1)) {
            troubles
                .push(format!("{name}: left out, its log joins several epochs in one entry, which cannot be replayed"));
            continue;
        }
        for (place, epoch) in epochs.iter().enumerate() {
            let known = |key: &str| epoch.get(key).filter(|value| !value.is_null()).map(Value::to_string);
            let [duration_s, energy_j] = ["duration_s", "energy_j"].map(|key| known(key).unwrap_or_default());
            written =
                written.and_then(|()| write([&sanitize::cell(name), &(place + 1).to_string(), &duration_s, &energy_j]));
        }
    }
    troubles.extend(written.err());
    String::from_utf8_lossy(&rows.into_inner().unwrap_or_default()).into_owned()
}

/// A table with a row for each run, and the notes of the runs.
pub fn table(runs: &[Imported]) -> String {
    const HEAD: [&str; 6] = ["run", "started", "epochs", "time", "energy", "CO2e"];
    let rows: Vec<[String; 6]> = std::iter::once(HEAD.map(str::to_owned)).chain(runs.iter().map(row)).collect();
    let widths: [usize; 6] = std::array::from_fn(|column| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    let line = |row: &[String; 6]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    let table: String = rows.iter().map(line).collect();
    let mut notes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Imported { name, report } in runs {
        let of_run = report.get("notes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        of_run.for_each(|note| notes.entry(note).or_default().push(name));
    }
    let shown = |(note, names): (&str, Vec<&str>)| match names.as_slice() {
        [name] => format!("note: {name}: {note}\n"),
        names if names.len() == runs.len() => format!("note: all: {note}\n"),
        names => format!("note: {} runs: {note}\n", names.len()),
    };
    table + &notes.into_iter().map(shown).collect::<String>()
}

fn row(Imported { name, report }: &Imported) -> [String; 6] {
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64);
    let known = |pointer: &str, shown: fn(f64) -> String| number(pointer).map_or("unknown".into(), shown);
    let count = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let planned = Some(count("/run/epochs_planned")).filter(|planned| *planned > 0);
    let done = count("/run/epochs_done");
    [
        name.clone(),
        report.pointer("/run/started").and_then(Value::as_str).unwrap_or("unknown").to_owned(),
        planned.map_or(done.to_string(), |planned| format!("{done} of {planned}")),
        known("/usage/duration_s", duration),
        known("/usage/facility_energy_kwh", |kwh| energy(kwh * J_PER_KWH)),
        known("/usage/co2eq_g", grams),
    ]
}
