//! Several runs on one page: their sum, a table of them, and each.

use super::run;
use super::tables::{Head, blocks};
use super::view::{View, percent, whole};
use crate::units::{duration, energy, grams};
use maud::{Markup, html};

/// So many runs are told in full.
const MOST_IN_FULL: usize = 12;

/// "3 runs", and how many ranks those have that are jobs.
pub fn title(runs: &[View]) -> String {
    let ranks: u64 = runs.iter().map(|run| run.ranks().unwrap_or(1)).sum();
    let of_ranks =
        if runs.iter().any(|run| run.ranks().is_some()) { format!(", {ranks} ranks") } else { String::new() };
    format!("{} runs{of_ranks}", runs.len())
}

/// The page's content.
pub fn sections(runs: &[View]) -> Markup {
    html! {
        h1 { (title(runs)) }
        (totals(runs))
        (overview(runs))
        @if runs.len() > MOST_IN_FULL {
            p.soft {
                "The first " (MOST_IN_FULL) " runs follow in full; of the others the table has all there is on this page."
            }
        }
        @for (n, run) in runs.iter().take(MOST_IN_FULL).enumerate() {
            details data-report=(n) {
                summary { (run::name(run)) }
                // Within, or a link would not open it.
                div id={ "run-" (n) } { (run::sections(run)) }
            }
        }
    }
}

fn totals(runs: &[View]) -> Markup {
    let lacking = |pointer: &str, is_elsewhere: bool| {
        let lacking = runs.iter().filter(|run| !run.has(pointer) && run.is_counted_elsewhere() == is_elsewhere);
        lacking.count()
    };
    let sum = |pointer: &str, show: fn(f64) -> String| {
        let known: Vec<f64> = runs.iter().filter_map(|run| run.number(pointer)).collect();
        html! {
            dd.main {
                @if known.is_empty() { span.unknown { "unknown" } }
                @else { data value=(known.iter().sum::<f64>()) data-sum=(pointer) { (show(known.iter().sum())) } }
            }
            @if lacking(pointer, false) > 0 {
                dd { "of " (known.len()) " runs; of " (lacking(pointer, false)) " it is unknown" }
            }
            @if lacking(pointer, true) > 0 {
                dd { "that of " (lacking(pointer, true)) " ranks is in what others count" }
            }
        }
    };
    html! {
        dl.cards {
            div { dt { "Energy" } (sum("/usage/energy_j", energy)) }
            div { dt { "CO2e" } (sum("/usage/co2eq_g", grams)) }
            div { dt { "Time, one run after another" } (sum("/usage/duration_s", duration)) }
            div { dt { "Epochs" } (sum("/run/epochs_done", whole)) }
        }
    }
}

fn overview(runs: &[View]) -> Markup {
    let heads = [
        Head::Text("run"),
        Head::Number("epochs"),
        Head::Number("time"),
        Head::Number("energy"),
        Head::Number("CO2e"),
        Head::Number("coverage"),
    ];
    let rows = html! {
        @for (n, run) in runs.iter().enumerate() {
            tr data-report=(n) {
                th.long scope="row" {
                    @if n < MOST_IN_FULL { a href={ "#run-" (n) } { (run::name(run)) } } @else { (run::name(run)) }
                    br;
                    span.soft { (run::whence(run)) }
                }
                td.n data-label="epochs" { (run.shown("/run/epochs_done", whole)) }
                td.n data-label="time" { (run.shown("/usage/duration_s", duration)) }
                td.n data-label="energy" { (run.used("/usage/energy_j", energy)) }
                td.n data-label="CO2e" { (run.used("/usage/co2eq_g", grams)) }
                td.n data-label="coverage" { (run.shown("/usage/coverage", percent)) }
            }
        }
    };
    blocks(&heads, rows)
}
