//! Other impacts, which are not part of the emissions: cost, water, making of the devices, marginal emissions.

use super::json_view::JsonView;
use super::tables::{TableHead, table};
use crate::units::{Amount, ErrorBand, digits, grams};
use maud::{Markup, html};

/// The section; empty: the user gave no rates.
pub fn section(run: &JsonView) -> Markup {
    let extras = run.part("/extras");
    let rows = [
        cost(&extras.part("/cost")),
        water(&extras.part("/water")),
        making(&extras.part("/embodied")),
        margin(&extras.part("/marginal")),
    ];
    let forecasts =
        ["/cost/forecast", "/water/forecast_litres", "/embodied/forecast_co2eq_g", "/marginal/forecast_co2eq_g"];
    let is_forecast = forecasts.iter().any(|field| extras.has(field));
    let heads = [
        TableHead::Text(""),
        TableHead::Number("used"),
        TableHead::Number(if is_forecast { "whole run, forecast" } else { "" }),
        TableHead::Text("rate"),
    ];
    html! {
        @if rows.iter().any(|row| !row.0.is_empty()) {
            h2 { "Cost, water and hardware (not in the CO2e)" }
            (table(&heads, html! { @for row in &rows { (row) } }))
        }
    }
}

/// A row; empty: the user gave no rate.
fn row(of: &JsonView, title: &str, [used, whole]: [&str; 2], amount: Amount, rate: Markup) -> Markup {
    html! {
        @if of.has("") {
            tr {
                th scope="row" { (title) }
                td.n { (with_interval(of, used, amount, "/error")) }
                td.n { @if of.has(whole) { (with_interval(of, whole, amount, "/forecast_error")) } }
                td { (rate) }
            }
        }
    }
}

/// An amount, with its interval if it is estimated. The report has the interval as multiples.
fn with_interval(of: &JsonView, pointer: &str, amount: Amount, error: &str) -> Markup {
    let error = of.error(error);
    let ends = |(number, band): (f64, ErrorBand)| amount.ends(number, number * band.low, number * band.high);
    let interval = of.number(pointer).zip(error).map(ends);
    html! {
        (of.amount(pointer, amount, error))
        @if let Some(interval) = interval { " (" (interval) ")" }
    }
}

fn cost(cost: &JsonView) -> Markup {
    let money = Amount::Of(cost.words("/currency"));
    let rate = html! { (cost.shown("/per_kwh", |price| money.exact(price))) " per kWh" };
    row(cost, "cost", ["/amount", "/forecast"], money, rate)
}

fn water(water: &JsonView) -> Markup {
    let places = [("/on_site_l", "on site"), ("/off_site_l", "at the power plants")];
    let known = places.into_iter().filter(|(field, _)| water.has(field));
    let rate = html! {
        @for (n, (field, place)) in known.enumerate() { @if n > 0 { ", " } (water.amount(field, Amount::Litres, water.error("/error"))) " " (place) }
    };
    row(water, "water", ["/litres", "/forecast_litres"], Amount::Litres, rate)
}

fn making(embodied: &JsonView) -> Markup {
    let rate = html! {
        "a share of " (embodied.shown("/kg", |kg| grams(kg * 1e3))) " CO2e over "
        (embodied.shown("/life_years", digits)) " years"
    };
    row(embodied, "making of the devices", ["/co2eq_g", "/forecast_co2eq_g"], Amount::Grams, rate)
}

fn margin(marginal: &JsonView) -> Markup {
    let rate = html! {
        (marginal.shown("/g_per_kwh", digits)) " g for one more kWh (" (marginal.words("/source")) ", "
        (marginal.words("/zone")) ")"
    };
    row(marginal, "marginal emissions", ["/co2eq_g", "/forecast_co2eq_g"], Amount::Grams, rate)
}
