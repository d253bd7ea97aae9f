//! Several runs on one page: their sum, a table of them, and each.

use super::run::{self, percent, whole};
use super::view::View;
use crate::units::{duration, energy, grams};
use maud::{Markup, html};

/// So many runs are told in full.
const MOST_IN_FULL: usize = 12;

/// The page's content.
pub fn sections(runs: &[View]) -> Markup {
    html! {
        h1 { (runs.len()) " runs" }
        (totals(runs))
        (table(runs))
        @if runs.len() > MOST_IN_FULL {
            p.soft { "The first " (MOST_IN_FULL) " runs follow in full; of the others the table has all there is on this page." }
        }
        @for (n, run) in runs.iter().take(MOST_IN_FULL).enumerate() {
            details id={ "run-" (n) } data-report=(n) {
                summary { (run::name(run)) }
                (run::sections(run))
            }
        }
    }
}

fn totals(runs: &[View]) -> Markup {
    let sum = |pointer: &str, show: fn(f64) -> String| {
        let known: Vec<f64> = runs.iter().filter_map(|run| run.number(pointer)).collect();
        html! {
            dd.main {
                @if known.is_empty() { span.unknown { "unknown" } }
                @else { data value=(known.iter().sum::<f64>()) data-sum=(pointer) { (show(known.iter().sum())) } }
            }
            @if known.len() < runs.len() { dd { "of " (known.len()) " runs; of the others it is unknown" } }
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

fn table(runs: &[View]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr {
                th scope="col" { "run" } th.n scope="col" { "epochs" } th.n scope="col" { "time" }
                th.n scope="col" { "energy" } th.n scope="col" { "CO2e" } th.n scope="col" { "coverage" }
            } }
            tbody { @for (n, run) in runs.iter().enumerate() { tr data-report=(n) {
                th.long scope="row" {
                    @if n < MOST_IN_FULL { a href={ "#run-" (n) } { (run::name(run)) } } @else { (run::name(run)) }
                    br;
                    span.soft { (run::whence(run)) }
                }
                td.n { (run.shown("/run/epochs_done", whole)) }
                td.n { (run.shown("/usage/duration_s", duration)) }
                td.n { (run.shown("/usage/energy_j", energy)) }
                td.n { (run.shown("/usage/co2eq_g", grams)) }
                td.n { (run.shown("/usage/coverage", percent)) }
            } } }
        } }
    }
}
