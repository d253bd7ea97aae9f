//! A table for the summary of a CI job or a comment, in GitHub's Markdown. Pure.

use super::exported_run::{EnergyOrigin, ExportedRuns};
use crate::aggregate::citation::{grid, program, pue};
use crate::aggregate::sum::Sum;
use crate::aggregate::totals::Totals;
use crate::table::{self, code};
use carbontracker::units::{Amount, J_PER_KWH};

/// The table, with a line on the method.
pub fn summary(runs: &ExportedRuns) -> String {
    let mut rows = vec![["run", "energy", "CO2e", "time", "energy is"].map(str::to_owned)];
    rows.extend(runs.runs.iter().map(|run| row(code(run.label()), &Totals::of([&run.entry]))));
    if runs.runs.len() > 1 {
        rows.push(row(format!("all {} runs", runs.runs.len()), &runs.totals));
    }
    format!("### Energy and CO2e\n\n{}\n{}\n", table::markdown(&rows), method(&runs.totals))
}

fn row(label: String, totals: &Totals) -> [String; 5] {
    let shown = |sum: Sum, size: f64, amount: Amount| match sum.value() {
        Some(value) => amount.with(value * size, sum.error()),
        None => "unknown".into(),
    };
    let partly = |shown: String, unknown: usize| match unknown {
        0 => shown,
        _ if totals.runs == unknown => shown,
        _ => format!("{shown}, without {unknown} of {} runs", totals.runs),
    };
    let energy = shown(totals.facility_kwh, J_PER_KWH, Amount::Energy);
    let mass = shown(totals.co2eq_g, 1.0, Amount::Grams);
    [
        label,
        partly(energy, totals.without_energy),
        partly(mass, totals.without_energy + totals.without_co2eq),
        partly(totals.time(), totals.without_duration),
        EnergyOrigin::of(totals).map_or("unknown", EnergyOrigin::word).to_owned(),
    ]
}

/// The line below the table.
fn method(totals: &Totals) -> String {
    let grids: Vec<String> = totals.intensities.iter().map(|one| code(&grid(one))).collect();
    let intensity = if grids.is_empty() { "unknown".into() } else { grids.join("; ") };
    let pue = pue(totals);
    format!("Energy with PUE {pue}. Carbon intensity: {intensity}. By {}.", program(totals, code))
}
