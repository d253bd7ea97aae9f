//! A table for the summary of a CI job or a comment, in GitHub's Markdown. Pure.

use super::exported_run::{EnergyOrigin, ExportedRuns};
use crate::aggregate::citation::{grid, pue};
use crate::aggregate::sum::Sum;
use crate::aggregate::totals::Totals;
use carbontracker::units::{Amount, J_PER_KWH, duration};

/// The table, with a line on the method.
pub fn table(runs: &ExportedRuns) -> String {
    let head = ["run", "energy", "CO2e", "time", "energy is"];
    let mut lines =
        vec!["### Energy and CO2e".into(), String::new(), row(head), row(["---", "---:", "---:", "---:", "---"])];
    for run in &runs.runs {
        lines.push(totals_row(&code(run.label()), &Totals::of([&run.entry])));
    }
    if let [_, _, ..] = runs.runs.as_slice() {
        lines.push(totals_row(&format!("all {} runs", runs.runs.len()), &runs.totals));
    }
    lines.push(String::new());
    lines.push(method(&runs.totals));
    lines.join("\n") + "\n"
}

fn totals_row(label: &str, totals: &Totals) -> String {
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
    row([
        label,
        &partly(energy, totals.without_energy),
        &partly(mass, totals.without_energy + totals.without_co2eq),
        &duration(totals.duration_s),
        EnergyOrigin::of(totals).map_or("unknown", EnergyOrigin::word),
    ])
}

fn row(cells: [&str; 5]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// The line below the table.
fn method(totals: &Totals) -> String {
    let versions: Vec<&str> = totals.versions.iter().map(String::as_str).collect();
    let grids: Vec<String> = totals.intensities.iter().map(|one| code(&grid(one))).collect();
    let intensity = if grids.is_empty() { "unknown".into() } else { grids.join("; ") };
    let pue = pue(totals);
    format!(
        "Energy with PUE {pue}. Carbon intensity: {intensity}. Measured with carbontracker {}.",
        versions.join(" and ")
    )
}

/// A text as code, so that none of its characters has a meaning, and names such as @user notify no one.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'").replace('|', "\\|"))
}
