//! The run in other places and at other times.

use super::json_view::{JsonView, whole_percent};
use super::tables::{TableHead, table};
use crate::units::ErrorBand;
use crate::units::{Amount, digits, duration, ratio, times};
use maud::{Markup, html};

/// The section; empty: it was switched off, or the report does not have it.
pub fn section(run: &JsonView) -> Markup {
    let what_if = run.part("/what_if");
    if what_if.list("/zones").is_empty() {
        return html! {};
    }
    let explained = match (what_if.has("/co2eq_g"), what_if.text("/of")) {
        (false, _) => "Yearly averages of other places.",
        (_, Some("forecast")) => {
            "CO2e of the whole run, as forecast, in other places at their yearly average, with the same energy."
        }
        _ => "CO2e of the run in other places at their yearly average, with the same energy.",
    };
    html! {
        h2 { "The same run elsewhere or later" }
        p.soft { (explained) }
        @if let Some(band) = what_if.error("/error") {
            p.soft {
                "The energy has estimates in it: in nine cases of ten the truth is " (times(band.low)) " to "
                (times(band.high)) " times these masses. The changes do not depend on it."
            }
        }
        @if let Some(note) = what_if.text("/note") { p.soft { (note) } }
        (places(run, &what_if))
        (start(&what_if.part("/start"), what_if.error("/error")))
    }
}

/// The emissions of the run in each place. If the energy is unknown, it has the intensity of each place only.
fn places(run: &JsonView, what_if: &JsonView) -> Markup {
    let zones = what_if.list("/zones");
    let (own, error) = (what_if.number("/co2eq_g"), what_if.error("/error"));
    let measure = if own.is_some() { "/co2eq_g" } else { "/g_per_kwh" };
    let most = zones.iter().filter_map(|zone| zone.number(measure)).fold(own.unwrap_or(0.0), f64::max);
    let bar = |amount: Option<f64>| {
        let share = amount.filter(|_| most > 0.0).map(|amount| format!("width:{:.1}%", amount / most * 100.0));
        html! { td.bar { @if let Some(share) = share { span style=(share) {} } } }
    };
    let known = [
        TableHead::Text("place"),
        TableHead::Number("g/kWh"),
        TableHead::Number("CO2e"),
        TableHead::Number("change"),
        TableHead::Bar,
    ];
    let unknown = [TableHead::Text("place"), TableHead::Number("g/kWh"), TableHead::Bar];
    let rows = html! {
        @if own.is_some() {
            tr.own {
                th scope="row" { "This run" @if let Some(zone) = run.text("/intensity/zone") { " (" (zone) ")" } }
                td.n { (run.shown("/intensity/g_per_kwh", digits)) }
                td.n { (what_if.amount("/co2eq_g", Amount::Grams, error)) }
                td.n {}
                (bar(own))
            }
        }
        @for zone in &zones {
            tr {
                th scope="row" title=[zone.text("/source")] {
                    (zone.text("/name").unwrap_or(zone.words("/zone")))
                    @if let Some(year) = zone.number("/year") { span.soft { " " (year) } }
                }
                td.n { (zone.shown("/g_per_kwh", digits)) }
                @if own.is_some() {
                    td.n { (zone.amount("/co2eq_g", Amount::Grams, error)) }
                    td.n { (zone.shown("/saves_share", change)) }
                }
                (bar(zone.number(measure)))
            }
        }
    };
    table(if own.is_some() { &known } else { &unknown }, rows)
}

/// A saving as a change: "÷ 4.0", "× 2.9".
fn change(saves: f64) -> String {
    ratio(1.0 - saves, 1.0).unwrap_or_else(|| "the same".into())
}

/// The sentence on the best start.
fn start(start: &JsonView, error: Option<ErrorBand>) -> Markup {
    const MIN_SAVED_SHARE: f64 = 0.01;
    let minute = |at: &str| start.words(at).get(..16).unwrap_or_default().replace('T', " ") + " UTC";
    let whole_minutes = |seconds: f64| duration((seconds / 60.0).round() * 60.0);
    html! {
        @if start.number("/saves_share").is_some_and(|share| share >= MIN_SAVED_SHARE) {
            p {
                "The best known start for a run of this length: " (minute("/at")) ", in "
                (start.shown("/delay_s", whole_minutes)) ". At " (start.shown("/g_per_kwh", digits)) " instead of "
                (start.shown("/now_g_per_kwh", digits)) " g/kWh it saves " (start.shown("/saves_share", whole_percent))
                @if start.has("/saves_g") { " (" (start.amount("/saves_g", Amount::Grams, error)) ")" }
                ". Forecasts of intensity have an error of some 20 %."
            }
        } @else if start.has("/until") {
            p { "No better start than now is known until " (minute("/until")) "." }
        }
    }
}
