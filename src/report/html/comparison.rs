//! Several runs on one page: their totals, a table, and the sections of each run.

use super::json_view::{JsonView, percent, whole};
use super::tables::{TableHead, blocks};
use super::{first_screen, run_page, timeline};
use crate::report::WHOLE_SHARE;
use crate::units::{Amount, DisplayUnit, ErrorBand, J_PER_KWH, digits, duration, two_digits};
use maud::{Markup, html};
use std::collections::BTreeMap;

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
        p.soft { @for badge in first_screen::badges(runs) { span.badge { (badge) } " " } }
        (totals(runs))
        (timeline::section(runs))
        (overview(runs))
        // On paper, a sample of many runs would only hide the table.
        div.screen-only[runs.len() > MAX_IN_FULL] {
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
            div { dt { "Energy" } (amounts("/usage/energy_j", Amount::Energy)) (with_pue(runs)) }
            div { dt { "CO2e" } (amounts("/usage/co2eq_g", Amount::Grams)) }
            div { dt { "Total run time" } (sum("/usage/duration_s", &duration, None)) }
            div { dt { "Epochs" } (sum("/run/epochs_done", &whole, None)) }
        }
    }
}

/// The energy with cooling and power conversion, on which the CO2e stands, if it is known and is another.
fn with_pue(runs: &[JsonView]) -> Markup {
    let counted = || runs.iter().filter(|run| run.has("/usage/energy_j"));
    let kwh: Option<Vec<f64>> = counted().map(|run| run.number("/usage/facility_energy_kwh")).collect();
    let is_more = counted().any(|run| run.number("/pue").is_some_and(|pue| pue != 1.0));
    let joules = kwh.filter(|_| is_more).map(|kwh| kwh.iter().sum::<f64>() * J_PER_KWH);
    let error = ErrorBand::of_sum(
        counted().filter_map(|run| Some((run.number("/usage/energy_j")?, run.error("/usage/error")))),
    );
    html! { @if let Some(joules) = joules { dd { (Amount::Energy.alone(joules, error)) " with PUE" } } }
}

/// A row for each run, with one unit a column and a bar of its energy.
fn overview(runs: &[JsonView]) -> Markup {
    let most = |pointer: &str| runs.iter().filter_map(|run| run.number(pointer)).fold(0.0, f64::max);
    let unit = |pointer: &str, amount: Amount<'static>| DisplayUnit::of(amount, most(pointer));
    let [time, energy, emissions] =
        [("/usage/duration_s", Amount::Time), ("/usage/energy_j", Amount::Energy), ("/usage/co2eq_g", Amount::Grams)]
            .map(|(pointer, amount)| (pointer, unit(pointer, amount)));
    let title = |words: &str, (_, unit): (&str, DisplayUnit<'static>)| format!("{words},\u{a0}{}", unit.name);
    let titles = [title("time", time), title("energy", energy), title("CO2e", emissions)];
    // A column of 100 % says nothing.
    let is_whole = |run: &JsonView| run.number("/usage/coverage").is_none_or(|share| share >= WHOLE_SHARE);
    let has_coverage = !runs.iter().all(is_whole);
    let mut heads = vec![
        TableHead::Text("run"),
        TableHead::Number("epochs"),
        TableHead::Number(&titles[0]),
        TableHead::Number(&titles[1]),
        TableHead::Bar,
        TableHead::Number(&titles[2]),
    ];
    heads.extend(has_coverage.then_some(TableHead::Number("coverage")));
    let most_j = most("/usage/energy_j").max(f64::MIN_POSITIVE);
    let width = |joules: f64| format!("width:{:.1}%", joules / most_j * 100.0);
    let rows = html! {
        @for (n, run) in runs.iter().enumerate() {
            tr data-report=(n) {
                th.long scope="row" {
                    @if n < MAX_IN_FULL { a href={ "#run-" (n) } { (run_page::name(run)) } } @else { (run_page::name(run)) }
                    br;
                    span.soft { (run_page::where_and_when(run)) }
                }
                td.n data-label="epochs" { (run.shown("/run/epochs_done", whole)) }
                td.n data-label=(titles[0]) { (run.shown(time.0, |seconds| digits(time.1.amount(seconds)))) }
                td.n data-label=(titles[1]) { (run.used_in(energy.0, energy.1)) }
                td.bar { @if let Some(joules) = run.number(energy.0) { span style=(width(joules)) {} } }
                td.n data-label=(titles[2]) { (run.used_in(emissions.0, emissions.1)) }
                @if has_coverage { td.n data-label="coverage" { (run.shown("/usage/coverage", percent)) } }
            }
        }
    };
    html! { (groups(runs, energy, emissions)) h2 { "Each run" } (blocks(&heads, rows)) }
}

/// A row for each name that several runs have: their number, the mean and the range.
fn groups(runs: &[JsonView], energy: (&str, DisplayUnit<'static>), emissions: (&str, DisplayUnit<'static>)) -> Markup {
    let mut named: BTreeMap<String, Vec<&JsonView>> = BTreeMap::new();
    runs.iter().for_each(|run| named.entry(run_page::name(run)).or_default().push(run));
    let several: Vec<_> = named.into_iter().filter(|(_, runs)| runs.len() > 1).collect();
    let shown = |runs: &[&JsonView], (pointer, unit): (&str, DisplayUnit<'static>)| {
        let known: Vec<f64> = runs.iter().filter_map(|run| run.number(pointer)).map(|x| unit.amount(x)).collect();
        let (least, most) = known.iter().fold((f64::MAX, 0.0f64), |(a, b), x| (a.min(*x), b.max(*x)));
        match known.len() {
            0 => "unknown".to_owned(),
            count => {
                let mean = known.iter().sum::<f64>() / count as f64;
                let is_estimated = runs.iter().any(|run| run.error("/usage/error").is_some());
                let (about, written) =
                    if is_estimated { ("≈ ", two_digits as fn(f64) -> String) } else { ("", digits as _) };
                format!("{about}{} ({} to {})", written(mean), written(least), written(most))
            }
        }
    };
    let titles = [energy, emissions].map(|(_, unit)| unit.name);
    let [of_energy, of_emissions] =
        [format!("mean energy (least to most), {}", titles[0]), format!("mean CO2e (least to most), {}", titles[1])];
    let heads = [
        TableHead::Text("name"),
        TableHead::Number("runs"),
        TableHead::Number(&of_energy),
        TableHead::Number(&of_emissions),
    ];
    let rows = html! {
        @for (name, runs) in &several {
            tr {
                th.long scope="row" { (name) }
                td.n data-label="runs" { (runs.len()) }
                td.n data-label=(of_energy) { (shown(runs, energy)) }
                td.n data-label=(of_emissions) { (shown(runs, emissions)) }
            }
        }
    };
    html! { @if !several.is_empty() { h2 { "By name" } (blocks(&heads, rows)) } }
}
