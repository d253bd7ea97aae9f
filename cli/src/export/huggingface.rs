//! The block `co2_eq_emissions` of a model card at Hugging Face. Pure.

use super::exported_run::{EnergyOrigin, ExportedRuns, plain};
use crate::aggregate::citation::{grid, program};
use carbontracker::units::times;

/// The YAML block. An error: the emissions of a run are unknown, and the block requires them.
pub fn yaml(runs: &ExportedRuns, training_type: Option<&str>) -> Result<String, String> {
    let totals = &runs.totals;
    let unknown = runs.runs.iter().filter(|run| run.entry.co2eq_g.is_none()).count();
    let grams = totals.co2eq_g.value().filter(|_| unknown == 0).ok_or_else(|| {
        format!(
            "the emissions of {unknown} of {} runs are unknown, and co2_eq_emissions requires them; nothing is exported; \
             'carbontracker doctor' shows what cannot be measured",
            runs.runs.len()
        )
    })?;
    let emissions = plain(grams, totals.co2eq_g.error());
    let mut lines = vec!["co2_eq_emissions:".to_owned(), format!("  emissions: {emissions}")];
    let mut add = |key: &str, value: Option<String>| {
        lines.extend(value.map(|value| format!("  {key}: {}", quoted(&value))));
    };
    add("source", Some(source(runs)));
    add("training_type", training_type.map(str::to_owned));
    add("geographical_location", joined(runs.places()));
    add("hardware_used", joined(runs.hardware()));
    Ok(lines.join("\n") + "\n")
}

/// Who measured, how well, and with which intensity.
fn source(runs: &ExportedRuns) -> String {
    let totals = &runs.totals;
    let origin = EnergyOrigin::of(totals).map_or("unknown", EnergyOrigin::word);
    let error = totals.co2eq_g.error();
    let error = error.map(|band| format!(", {} to {} times as much is possible", times(band.low), times(band.high)));
    let grids: Vec<String> = totals.intensities.iter().map(grid).collect();
    format!(
        "{} (energy {origin}{}; carbon intensity: {})",
        program(totals, str::to_owned),
        error.unwrap_or_default(),
        grids.join("; ")
    )
}

fn joined(parts: Vec<String>) -> Option<String> {
    Some(parts.join(", ")).filter(|all| !all.is_empty())
}

/// A text in double quotes. A JSON string is one of YAML too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
