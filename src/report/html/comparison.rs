//! Several runs on one page: their sum, a table of them, and each.

use super::json_view::{JsonView, percent, whole};
use super::run_page;
use super::tables::{TableHead, blocks};
use crate::measurement::channel::ErrorBand;
use crate::units::{Amount, duration};
use maud::{Markup, html};

/// So many runs are told in full.
const MOST_IN_FULL: usize = 12;

/// "3 runs", and how many ranks those have that are jobs.
pub fn title(runs: &[JsonView]) -> String {
    let ranks: u64 = runs.iter().map(|run| run.ranks().unwrap_or(1)).sum();
    let of_ranks =
        if runs.iter().any(|run| run.ranks().is_some()) { format!(", {ranks} ranks") } else { String::new() };
    format!("{} runs{of_ranks}", runs.len())
}

/// The page's content.
pub fn sections(runs: &[JsonView]) -> Markup {
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
                summary { (run_page::name(run)) }
                // Within, or a link would not open it.
                div id={ "run-" (n) } { (run_page::sections(run)) }
            }
        }
    }
}

fn totals(runs: &[JsonView]) -> Markup {
    let lacking = |pointer: &str, is_elsewhere: bool| {
        let lacking = runs.iter().filter(|run| !run.has(pointer) && run.is_counted_elsewhere() == is_elsewhere);
        lacking.count()
    };
    // Of what is measured, and of times and epochs, a sum is as exact as its parts.
    let error = |pointer: &str| {
        ErrorBand::of_sum(runs.iter().filter_map(|run| Some((run.number(pointer)?, run.error("/usage/error")))))
    };
    let sum = |pointer: &str, show: &dyn Fn(f64) -> String, interval: Option<String>| {
        let known: Vec<f64> = runs.iter().filter_map(|run| run.number(pointer)).collect();
        html! {
            dd.main {
                @if known.is_empty() { span.unknown { "unknown" } }
                @else {
                    @if interval.is_some() { "about " }
                    data value=(known.iter().sum::<f64>()) data-sum=(pointer) { (show(known.iter().sum())) }
                }
            }
            @if let Some(interval) = interval { dd { (interval) ", in nine cases of ten" } }
            @if lacking(pointer, false) > 0 {
                dd { "of " (known.len()) " runs; of " (lacking(pointer, false)) " it is unknown" }
            }
            @if lacking(pointer, true) > 0 {
                dd { "that of " (lacking(pointer, true)) " ranks is in what others count" }
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
            div { dt { "Time, one run after another" } (sum("/usage/duration_s", &duration, None)) }
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
                    @if n < MOST_IN_FULL { a href={ "#run-" (n) } { (run_page::name(run)) } } @else { (run_page::name(run)) }
                    br;
                    span.soft { (run_page::whence(run)) }
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
