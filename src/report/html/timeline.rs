//! The energy of several runs by the day or month of their start.

use super::json_view::JsonView;
use super::tables::{TableHead, blocks};
use crate::units::{Amount, DisplayUnit, digits, two_digits};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// The most days that have a row each. With more of them, each month has one.
const MAX_DAYS: usize = 31;
/// Characters of a date, "2026-03-02", and of its month.
const DATE: usize = 10;
const MONTH: usize = 7;

/// The runs of one day or month.
#[derive(Default)]
struct Period {
    runs: usize,
    joules: f64,
    grams: f64,
    is_estimated: bool,
}

/// A row for each day with runs, or for each month. Empty if all runs began on one day.
pub fn section(runs: &[JsonView]) -> Markup {
    let days = periods(runs, DATE);
    let (what, periods) = if days.len() > MAX_DAYS { ("month", periods(runs, MONTH)) } else { ("day", days) };
    let most = |of: fn(&Period) -> f64| periods.values().map(of).fold(0.0, f64::max);
    let energy = DisplayUnit::of(Amount::Energy, most(|period| period.joules));
    let emissions = DisplayUnit::of(Amount::Grams, most(|period| period.grams));
    let titles = [format!("energy,\u{a0}{}", energy.name), format!("CO2e,\u{a0}{}", emissions.name)];
    let heads = [
        TableHead::Text(what),
        TableHead::Number("runs"),
        TableHead::Number(&titles[0]),
        TableHead::Bar,
        TableHead::Number(&titles[1]),
    ];
    let width =
        |joules: f64| format!("width:{:.1}%", joules / most(|period| period.joules).max(f64::MIN_POSITIVE) * 100.0);
    let shown = |period: &Period, amount: f64| match (amount > 0.0, period.is_estimated) {
        (false, _) => "unknown".to_owned(),
        (true, true) => format!("≈ {}", two_digits(amount)),
        (true, false) => digits(amount),
    };
    let rows = html! {
        @for (at, period) in &periods {
            tr {
                th.long scope="row" { (at) }
                td.n data-label="runs" { (period.runs) }
                td.n data-label=(titles[0]) { (shown(period, energy.amount(period.joules))) }
                td.bar { span style=(width(period.joules)) {} }
                td.n data-label=(titles[1]) { (shown(period, emissions.amount(period.grams))) }
            }
        }
    };
    let remark = html! { h2 { "By " (what) } p.soft { "Runs by the " (what) " of their start, UTC." } };
    html! { @if periods.len() > 1 { (remark) (blocks(&heads, rows)) } }
}

/// The runs by the first `length` characters of their start. A run without a start has no row.
fn periods(runs: &[JsonView], length: usize) -> BTreeMap<String, Period> {
    let mut found: BTreeMap<String, Period> = BTreeMap::new();
    for run in runs {
        let Some(at) = run.text("/run/started").and_then(|started| started.get(..length)) else { continue };
        let period = found.entry(at.to_owned()).or_default();
        period.runs += 1;
        period.joules += run.number("/usage/energy_j").unwrap_or(0.0);
        period.grams += run.number("/usage/co2eq_g").unwrap_or(0.0);
        period.is_estimated |= run.error("/usage/error").is_some();
    }
    found
}
