//! The named phases: a picture of nested bars, and a table.

use super::json_view::{JsonView, percent, whole};
use super::tables::{TableHead, blocks};
use crate::units::{Amount, duration};
use maud::{Markup, html};

/// Most rows of the table. The other formats have all phases.
const MAX_ROWS: usize = 60;
/// A smaller share of the energy has no bar.
const MIN_SHARE: f64 = 0.001;
/// A bar of this share has room for its name.
const NAMED_SHARE: f64 = 0.06;
/// Deepest level in the picture.
const MAX_LEVELS: usize = 8;

/// The section; empty: the application marks no phases.
pub fn section(run: &JsonView) -> Markup {
    let rows = run.list("/phases/rows");
    html! {
        @if !rows.is_empty() {
            h2 { "Phases" }
            p {
                "From the first phase to the last: " (run.shown("/phases/duration_s", duration)) ", "
                (run.shown("/phases/energy_j", |joules| Amount::Energy.exact(joules)))
                ". Energy and time of a phase include the phases within it. The energy of phases shorter than a "
                "reading follows from a model, with intervals that hold the truth in nine cases of ten."
            }
            @if rows.iter().any(|row| row.has("/share")) { (picture(&rows)) }
            (table(&rows))
            @if rows.len() > MAX_ROWS {
                p.soft { (MAX_ROWS) " of " (rows.len()) " phases; the JSON and CSV reports have all." }
            }
        }
    }
}

/// A bar for each phase, as long as its share of the energy, with those within it below. The table has the numbers.
fn picture(rows: &[JsonView]) -> Markup {
    let top: Vec<usize> = (0..rows.len()).filter(|row| depth(rows, *row) <= 1).collect();
    html! { div.phases aria-hidden="true" { (level(rows, &top, 1.0, 1)) } }
}

/// The bars of one level, within a phase of this share.
fn level(rows: &[JsonView], shown: &[usize], whole: f64, levels: usize) -> Markup {
    let visible = |row: &&usize| share(rows, **row) >= MIN_SHARE;
    html! {
        div.level {
            @for &row in shown.iter().filter(visible) {
                @let part = share(rows, row);
                div.phase style=(format!("width:{:.3}%", (part / whole * 100.0).min(100.0))) {
                    div class=(if name(rows, row).is_none() { "name none" } else { "name" }) title=(hint(rows, row)) {
                        @if part >= NAMED_SHARE { (name(rows, row).unwrap_or("in no phase")) } @else { "\u{a0}" }
                    }
                    @let within = children(rows, row);
                    @if levels < MAX_LEVELS && !within.is_empty() { (level(rows, &within, part, levels + 1)) }
                }
            }
        }
    }
}

fn depth(rows: &[JsonView], row: usize) -> usize {
    rows.get(row).and_then(|row| row.number("/depth")).unwrap_or(0.0) as usize
}

fn share(rows: &[JsonView], row: usize) -> f64 {
    rows.get(row).and_then(|row| row.number("/share")).unwrap_or(0.0).clamp(0.0, 1.0)
}

fn name<'a>(rows: &[JsonView<'a>], row: usize) -> Option<&'a str> {
    rows.get(row)?.text("/name")
}

fn hint(rows: &[JsonView], row: usize) -> String {
    format!("{}: {}", name(rows, row).unwrap_or("in no phase"), percent(share(rows, row)))
}

/// The rows one level below this one: those after it, up to the next of its own level.
fn children(rows: &[JsonView], row: usize) -> Vec<usize> {
    let own = depth(rows, row);
    let within = (row + 1..rows.len()).take_while(|below| own > 0 && depth(rows, *below) > own);
    within.filter(|below| depth(rows, *below) == own + 1).collect()
}

fn table(rows: &[JsonView]) -> Markup {
    let heads = [
        TableHead::Text("phase"),
        TableHead::Number("share"),
        TableHead::Number("energy"),
        TableHead::Number("mean power"),
        TableHead::Number("time"),
        TableHead::Number("times"),
        TableHead::Number("in an epoch"),
    ];
    let shown = html! {
        @for row in rows.iter().take(MAX_ROWS) {
            @let inward = row.number("/depth").unwrap_or(1.0).max(1.0) - 1.0;
            tr {
                th.long scope="row" style=(format!("padding-left:{inward}rem")) {
                    @match row.text("/name") {
                        Some(name) => { (name) }
                        None => { span.soft { "in no phase" } }
                    }
                }
                td.n data-label="share" { (row.shown("/share", percent)) }
                td.n data-label="energy" { (energy(row)) }
                td.n data-label="mean power" { (row.amount("/mean_power_w", Amount::Power, None)) }
                td.n data-label="time" { (row.shown("/duration_s", duration)) }
                td.n data-label="times" { @if row.has("/name") { (row.shown("/entries", whole)) } }
                td.n data-label="in an epoch" { (row.shown("/each_epoch_j", |joules| Amount::Energy.exact(joules))) }
            }
        }
    };
    blocks(&heads, shown)
}

/// The energy with its interval, if that is wider than the digits shown.
fn energy(row: &JsonView) -> Markup {
    const VISIBLE: f64 = 5e-3;
    let [joules, low, high] =
        ["/energy_j", "/energy_low_j", "/energy_high_j"].map(|end| row.number(end).unwrap_or(0.0));
    html! {
        @if high - low > VISIBLE * joules && joules > 0.0 {
            "≈ " (row.shown("/energy_j", |joules| Amount::Energy.end(joules, low, high)))
            " (" (row.interval(["/energy_low_j", "/energy_high_j"], Amount::Energy)) ")"
        } @else {
            (row.amount("/energy_j", Amount::Energy, None))
        }
    }
}
