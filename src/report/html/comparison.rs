//! Several runs on one page: their totals, a table, and the sections of each run.

use super::json_view::{JsonView, percent, whole};
use super::run_page;
use super::tables::{TableHead, blocks};
use crate::units::ErrorBand;
use crate::units::{Amount, duration};
use maud::{Markup, html};

/// The most runs with all sections on a page.
const MAX_IN_FULL: usize = 12;

/// The title, as "3 runs" or "2 runs, 9 ranks".
pub fn title(runs: &[JsonView]) -> String {
    let ranks: u64 = runs.iter().map(|run| run.ranks().unwrap_or(1)).sum();
    let of_ranks =
        if runs.iter().any(|run| run.ranks().is_some()) { format!(", {ranks} ranks") } else { String::new() };
    format!("{} runs{of_ranks}", runs.len())
}

/// The content of the page.
pub fn sections(runs: &[JsonView]) -> Markup {
    html! {
        h1 { (title(runs)) }
        (totals(runs))
        (overview(runs))
        @if runs.len() > MAX_IN_FULL {
            p.soft {
                "The first " (MAX_IN_FULL) " runs follow in full; the other runs are only in the table."
            }
        }
        @for (n, run) in runs.iter().take(MAX_IN_FULL).enumerate() {
            details data-report=(n) {
                summary { (run_page::name(run)) }
                // The id is within the details: otherwise a link does not open them.
                div id={ "run-" (n) } { (run_page::sections(run)) }
            }
        }
    }
}

fn totals(runs: &[JsonView]) -> Markup {
    let count_lacking = |pointer: &str, is_elsewhere: bool| {
        runs.iter().filter(|run| !run.has(pointer) && run.is_counted_elsewhere() == is_elsewhere).count()
    };
    // The sum of measured amounts, times and epochs has no error interval.
    let error = |pointer: &str| {
        ErrorBand::of_sum(runs.iter().filter_map(|run| Some((run.number(pointer)?, run.error("/usage/error")))))
    };
    let sum = |pointer: &str, show: &dyn Fn(f64) -> String, interval: Option<String>| {
        let known: Vec<f64> = runs.iter().filter_map(|run| run.number(pointer)).collect();
        html! {
            dd.main {
                @if known.is_empty() { span.unknown { "unknown" } }
                @else {
                    @if interval.is_some() { "≈ " }
                    data value=(known.iter().sum::<f64>()) data-sum=(pointer) { (show(known.iter().sum())) }
                }
            }
            @if let Some(interval) = interval { dd { (interval) ", in nine cases of ten" } }
            @if count_lacking(pointer, false) > 0 {
                dd { (known.len()) " runs; unknown for " (count_lacking(pointer, false)) " more" }
            }
            @if count_lacking(pointer, true) > 0 {
                dd { "other ranks count it for " (count_lacking(pointer, true)) " ranks" }
            }
        }
    };
    let amounts = |pointer: &str, amount: Amount| {
        let total: f64 = runs.iter().filter_map(|run| run.number(pointer)).sum();
        match error(pointer) {
            None => sum(pointer, &|x| amount.exact(x), None),
            Some(band) => sum(pointer, &|x| amount.rough(x, band), Some(amount.interval(total, band))),
        }
    };
    html! {
        dl.cards {
            div { dt { "Energy" } (amounts("/usage/energy_j", Amount::Energy)) }
            div { dt { "CO2e" } (amounts("/usage/co2eq_g", Amount::Grams)) }
            div { dt { "Total run time" } (sum("/usage/duration_s", &duration, None)) }
            div { dt { "Epochs" } (sum("/run/epochs_done", &whole, None)) }
        }
    }
}

fn overview(runs: &[JsonView]) -> Markup {
    let heads = [
        TableHead::Text("run"),
        TableHead::Number("epochs"),
        TableHead::Number("time"),
        TableHead::Number("energy"),
        TableHead::Number("CO2e"),
        TableHead::Number("coverage"),
    ];
    let rows = html! {
        @for (n, run) in runs.iter().enumerate() {
            tr data-report=(n) {
                th.long scope="row" {
                    @if n < MAX_IN_FULL { a href={ "#run-" (n) } { (run_page::name(run)) } } @else { (run_page::name(run)) }
                    br;
                    span.soft { (run_page::where_and_when(run)) }
                }
                td.n data-label="epochs" { (run.shown("/run/epochs_done", whole)) }
                td.n data-label="time" { (run.shown("/usage/duration_s", duration)) }
                td.n data-label="energy" { (run.used("/usage/energy_j", Amount::Energy)) }
                td.n data-label="CO2e" { (run.used("/usage/co2eq_g", Amount::Grams)) }
                td.n data-label="coverage" { (run.shown("/usage/coverage", percent)) }
            }
        }
    };
    blocks(&heads, rows)
}
