//! The phases for people and for other programs: lines of text, CSV, and metrics. All are made from the JSON section,
//! so a run in memory, a file and a job give the same.

use crate::report::WHOLE_SHARE;
use crate::units::{Amount, ErrorBand, duration};
use serde_json::Value;

/// The most lines in the text report. All phases are in the other formats.
const MAX_LINES: usize = 24;

fn rows(section: &Value) -> impl Iterator<Item = &Value> {
    section.get("rows").and_then(Value::as_array).into_iter().flatten()
}

fn number(row: &Value, pointer: &str) -> Option<f64> {
    row.pointer(pointer).and_then(Value::as_f64)
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The lines of the text report.
pub fn lines(section: &Value) -> Vec<String> {
    let all: Vec<&Value> = rows(section).collect();
    let width = all.iter().map(|row| indented(row).chars().count()).max().unwrap_or(0);
    let mut lines: Vec<String> = all.iter().take(MAX_LINES).map(|row| line(row, width)).collect();
    if all.len() > MAX_LINES {
        lines.push(format!("  and {} more, in the formats json and phases", all.len() - MAX_LINES));
    }
    if !lines.is_empty() {
        lines.insert(0, "phases, each with those within it, 90 % intervals:".into());
    }
    lines
}

/// The name of a phase, two blanks further in for each phase around it.
fn indented(row: &Value) -> String {
    let depth = number(row, "/depth").unwrap_or(0.0) as usize;
    let name = row.get("name").and_then(Value::as_str).unwrap_or("(in no phase)");
    "  ".repeat(depth.saturating_sub(1)) + name
}

fn line(row: &Value, width: usize) -> String {
    let share = number(row, "/share").map_or("".into(), |share| format!("{:.1} %", share * 100.0));
    let seconds = duration(number(row, "/duration_s").unwrap_or(0.0));
    let times = |entries: f64| if entries == 1.0 { ", once".to_owned() } else { format!(", {entries} times") };
    let entries = number(row, "/entries").filter(|entries| *entries > 0.0).map(times);
    let [joules, low, high] = ["/energy_j", "/energy_low_j", "/energy_high_j"].map(|pointer| number(row, pointer));
    let energy = joules.zip(low).zip(high).map_or("unknown".into(), |((joules, low), high)| energy(joules, low, high));
    let entries = entries.unwrap_or_default();
    let covered = number(row, "/coverage").filter(|share| *share < WHOLE_SHARE);
    let covered = covered.map(|share| format!(", readings cover {:.0} %", share * 100.0)).unwrap_or_default();
    format!("  {:<width$}  {share:>6}  {energy}, {seconds}{entries}{covered}", indented(row))
}

/// An energy with its interval, if that is wider than the digits shown.
fn energy(joules: f64, low: f64, high: f64) -> String {
    const VISIBLE: f64 = 5e-4;
    let is_visible = joules > 0.0 && (high - low) > VISIBLE * joules;
    let band = is_visible.then(|| ErrorBand { low: low / joules, high: high / joules });
    Amount::Energy.with(joules, band)
}

/// The phases as CSV, one row for each; blank = unknown. The last row is the time in no phase.
pub fn csv(section: &Value) -> String {
    const NUMBERS: [&str; 12] = [
        "/entries",
        "/duration_s",
        "/energy_j",
        "/energy_low_j",
        "/energy_high_j",
        "/mean_power_w",
        "/share",
        "/co2eq_g",
        "/own/duration_s",
        "/own/energy_j",
        "/epochs/energy_j",
        "/each_epoch_j",
    ];
    let heads: Vec<String> = NUMBERS.iter().map(|pointer| pointer.trim_start_matches('/').replace('/', "_")).collect();
    let mut csv = format!("path,{}\n", heads.join(","));
    for row in rows(section) {
        let cells = NUMBERS.map(|pointer| number(row, pointer).map_or(String::new(), |number| number.to_string()));
        csv += &format!("{},{}\n", quoted(text(row, "path")), cells.join(","));
    }
    csv
}

/// A cell of CSV (RFC 4180).
fn quoted(cell: &str) -> String {
    if cell.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

/// The path of each named phase and a number of it without the phases within it, for metrics that can be added.
pub fn samples<'a>(section: &'a Value, pointer: &'a str) -> impl Iterator<Item = (Vec<(&'a str, &'a str)>, f64)> {
    rows(section).filter_map(move |row| Some((vec![("phase", text(row, "path"))], number(row, pointer)?)))
}
