//! One run on the page, section by section.

use super::charts::{self, Drawn, KINDS};
use super::method;
use super::tables;
use super::view::View;
use crate::units::{Unit, digits, duration, energy, grams};
use maud::{Markup, html};

/// All of a run below its heading.
pub fn sections(run: &View) -> Markup {
    html! {
        (headline(run))
        (over_time(run))
        (carbon(run))
        (elsewhere(run))
        (extras(run))
        (tables::devices(run))
        (tables::absent(run))
        (tables::notes(run))
        (method::section(run))
        (tables::epochs(run))
    }
}

/// What a run is called.
pub fn name(run: &View) -> String {
    let named = run.text("/run/name").filter(|name| !name.trim().is_empty()).map(str::to_owned);
    named.unwrap_or_else(|| format!("Run {}", run.text("/run/id").unwrap_or("without a name")))
}

/// A share as a percentage.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A whole number.
pub fn whole(count: f64) -> String {
    format!("{count:.0}")
}

/// Where and when it ran, and how far it came.
pub fn whence(run: &View) -> String {
    let host = run.text("/run/host").unwrap_or("unknown host");
    let started = run.text("/run/started").unwrap_or("unknown time").replace('T', " ").replace('Z', " UTC");
    let state = match run.text("/run/state") {
        Some("done") => "done",
        Some("in_epoch") => "in an epoch",
        Some("between") => "between epochs",
        Some("waiting") => "not begun",
        Some("unfinished") => "not finished",
        _ => "in an unknown state",
    };
    format!("{host}, {started}, {state}")
}

fn headline(run: &View) -> Markup {
    let planned = run.number("/run/epochs_planned").is_some_and(|planned| planned > 0.0);
    let pue = run.number("/pue").unwrap_or(1.0);
    let is_in_kwh = run.number("/usage/energy_j").is_some_and(|joules| Unit::energy(joules).name == "kWh");
    html! {
        p.soft { (whence(run)) }
        dl.cards {
            div {
                dt { "Energy" }
                dd.main { (run.shown("/usage/energy_j", energy)) }
                @if run.has("/usage/energy_j") {
                    @if !is_in_kwh { dd { (run.shown("/usage/energy_kwh", |kwh| format!("{} kWh", digits(kwh)))) } }
                    @if pue != 1.0 { dd { (run.shown("/usage/facility_energy_kwh", |kwh| format!("{} kWh", digits(kwh)))) " with PUE " (run.shown("/pue", digits)) } }
                    dd { (run.shown("/usage/coverage", percent)) " of the time measured" }
                }
            }
            div {
                dt { "CO2e" }
                dd.main { (run.shown("/usage/co2eq_g", grams)) }
                dd { "at " (run.shown("/intensity/g_per_kwh", digits)) " g/kWh" @if let Some(zone) = run.text("/intensity/zone") { " (" (zone) ")" } }
            }
            div {
                dt { "Time" }
                dd.main { (run.shown("/usage/duration_s", duration)) }
                dd { (run.shown("/usage/between/duration_s", duration)) " of it between epochs" }
            }
            div {
                dt { "Epochs" }
                dd.main { (run.shown("/run/epochs_done", whole)) }
                @if planned { dd { "of " (run.shown("/run/epochs_planned", whole)) " planned" } }
                @if run.has("/run/progress") { dd { "and " (run.shown("/run/progress", percent)) " of the next" } }
            }
        }
        (forecast(run))
        (equivalents(run))
        (resumed(run))
    }
}

fn forecast(run: &View) -> Markup {
    if !run.has("/forecast") || charts::is_whole(run) {
        return html! {};
    }
    let shows: [(&str, &str, fn(f64) -> String); 3] =
        [("energy_j", "energy", energy), ("co2eq_g", "CO2e", grams), ("duration_s", "time", duration)];
    let known =
        |part: &str| shows.into_iter().filter(|(field, ..)| run.has(&format!("{part}/{field}"))).collect::<Vec<_>>();
    let (total, rest) = (known("/forecast"), known("/forecast/remaining"));
    html! {
        p {
            "Forecast of all " (run.shown("/run/epochs_planned", whole)) " epochs after " (run.shown("/forecast/after_epochs", whole))
            ", with " (run.shown("/forecast/level", |level| format!("{:.0} %", level * 100.0))) " intervals: "
            @for (n, (field, words, show)) in total.iter().enumerate() {
                @if n > 0 { ", " } (words) " " (run.estimate(&format!("/forecast/{field}"), *show))
            }
            "."
        }
        @if !rest.is_empty() {
            p {
                "Still to come, and what stopping here saves: "
                @for (n, (field, words, show)) in rest.iter().enumerate() {
                    @if n > 0 { ", " } (words) " " (run.shown(&format!("/forecast/remaining/{field}/value"), show))
                }
                "."
            }
        }
    }
}

fn equivalents(run: &View) -> Markup {
    const LEAST: f64 = 0.001;
    let mut equals = run.list("/equivalents");
    equals.retain(|equal| equal.number("/value").is_some_and(|value| value >= LEAST));
    let last = equals.len().saturating_sub(1);
    html! {
        @if !equals.is_empty() {
            p {
                "Its CO2e is that of "
                @for (n, equal) in equals.iter().enumerate() {
                    @if n > 0 { @if n == last { ", or of " } @else { ", of " } }
                    (equal.shown("/value", digits)) " " span title=[equal.text("/source")] { (equal.text("/unit").unwrap_or_default()) }
                }
                "."
            }
        }
    }
}

fn resumed(run: &View) -> Markup {
    html! {
        @if run.has("/run/resumed") {
            p {
                "Resumed " (run.shown("/run/resumed/times", whole)) " times. What was used by epochs that were cut off is not in the figures above: "
                (run.shown("/run/resumed/lost_s", duration)) ", " (run.shown("/run/resumed/lost_j", energy)) "."
            }
        }
    }
}

/// A chart with its title, legend and remark.
fn figure(title: &str, drawn: &Drawn, legend: Markup, remark: Markup) -> Markup {
    html! {
        figure {
            figcaption { h3 { (title) ", " (drawn.unit) } (legend) (remark) }
            (drawn.chart.render())
        }
    }
}

fn kinds(drawn: &Drawn) -> Markup {
    let shown = drawn.kinds.iter().filter_map(|&kind| KINDS.get(kind));
    html! { ul.legend { @for (class, words, _) in shown { li class=(class) { (words) } } } }
}

fn over_time(run: &View) -> Markup {
    let is_thinned = run.list("/epochs").len() > charts::MOST_COLUMNS;
    html! {
        @if let Some(drawn) = charts::power(run) {
            (figure("Power", &drawn, kinds(&drawn), html! { p { "Mean power by time of day, UTC." } }))
        }
        @if let Some((is_energy, drawn)) = charts::epochs(run) {
            (figure(if is_energy { "Energy of each epoch" } else { "Time of each epoch" }, &drawn, kinds(&drawn), html! {
                p { "By the epoch's number, from 0." @if is_thinned { " Neighbours are drawn as one column, the mean of them." } }
            }))
        }
        @if let Some(drawn) = charts::forecasts(run) { (narrowing(run, &drawn)) }
    }
}

fn narrowing(run: &View, drawn: &Drawn) -> Markup {
    let level = run.number("/forecast/level").map(|level| format!("{:.0} % ", level * 100.0)).unwrap_or_default();
    let legend = html! {
        ul.legend {
            li.plain.line { "forecast of the whole run" }
            li.plain.band { (level) "interval" }
            @if charts::is_whole(run) { li.outcome.line { "outcome" } }
        }
    };
    figure("Forecast as it narrowed", drawn, legend, html! { p { "By the number of epochs seen." } })
}

fn carbon(run: &View) -> Markup {
    let emitted = charts::emitted(run);
    let intensity = charts::intensity(run);
    html! {
        @if let Some(drawn) = emitted {
            (figure("CO2e since the run began", &drawn, html! {}, html! {
                p {
                    "By time of day, UTC."
                    @if intensity.is_none() { " One intensity holds for all of the run: " (run.shown("/intensity/g_per_kwh", digits)) " g/kWh." }
                }
            }))
        }
        @if let Some(drawn) = &intensity {
            (figure("Carbon intensity of the grid", drawn, html! {}, html! {
                p { "By time of day, UTC. The run's energy was priced at " (run.shown("/intensity/g_per_kwh", digits)) " g/kWh in the mean." }
            }))
        }
    }
}

fn elsewhere(run: &View) -> Markup {
    let what_if = run.part("/what_if");
    let zones = what_if.list("/zones");
    let measure = if what_if.has("/co2eq_g") { "/co2eq_g" } else { "/g_per_kwh" };
    let own = what_if.number("/co2eq_g");
    let most = zones.iter().filter_map(|zone| zone.number(measure)).fold(own.unwrap_or(0.0), f64::max);
    let bar = |of: Option<f64>| html! { td.bar { @if let Some(of) = of.filter(|_| most > 0.0) { span style={ "width:" (format!("{:.1}", of / most * 100.0)) "%" } {} } } };
    html! {
        @if !zones.is_empty() {
            h2 { "Elsewhere and at another time" }
            p.soft {
                @match (own, what_if.text("/of")) {
                    (None, _) => "Yearly averages of other places.",
                    (_, Some("forecast")) => "CO2e of the whole run, as forecast, in other places, at their yearly average, with the same energy.",
                    _ => "CO2e of the run in other places, at their yearly average, with the same energy.",
                }
            }
            @if let Some(note) = what_if.text("/note") { p.soft { (note) } }
            div.scroll { table {
                thead { tr { th scope="col" { "place" } th.n scope="col" { "g/kWh" } @if own.is_some() { th.n scope="col" { "CO2e" } th.n scope="col" { "change" } } th.bar aria-hidden="true" {} } }
                tbody {
                    @if own.is_some() {
                        tr.own {
                            th scope="row" { "the run as it is" }
                            td.n { (run.shown("/intensity/g_per_kwh", digits)) }
                            td.n { (what_if.shown("/co2eq_g", grams)) }
                            td.n {}
                            (bar(own))
                        }
                    }
                    @for zone in &zones { tr {
                        th scope="row" title=[zone.text("/source")] { (zone.text("/name").or(zone.text("/zone")).unwrap_or("unknown")) @if let Some(year) = zone.number("/year") { span.soft { " " (year) } } }
                        td.n { (zone.shown("/g_per_kwh", digits)) }
                        @if own.is_some() { td.n { (zone.shown("/co2eq_g", grams)) } td.n { (zone.shown("/saves_share", change)) } }
                        (bar(zone.number(measure)))
                    } }
                }
            } }
            (start(&what_if.part("/start")))
        }
    }
}

/// A saving as a change, in percent.
fn change(saves: f64) -> String {
    let percent = (saves * -100.0).round();
    if percent == 0.0 { "0 %".into() } else { format!("{percent:+.0} %") }
}

/// When to begin.
fn start(start: &View) -> Markup {
    let minute =
        |at: &str| start.text(at).and_then(|at| at.get(..16)).map(|at| at.replace('T', " ")).unwrap_or_default();
    html! {
        @if let Some(delay_s) = start.number("/delay_s") {
            p {
                @if delay_s < 60.0 || start.number("/saves_share").is_none_or(|share| share < 0.01) {
                    "No better start is known: now is as good as any until " (minute("/until")) " UTC."
                } @else {
                    "The best start known, for a run as long as this one: " (minute("/at")) " UTC, in " (start.shown("/delay_s", |s| duration((s / 60.0).round() * 60.0)))
                    ". At " (start.shown("/g_per_kwh", digits)) " instead of " (start.shown("/now_g_per_kwh", digits)) " g/kWh it saves "
                    (start.shown("/saves_share", |share| format!("{:.0} %", share * 100.0))) " (" (start.shown("/saves_g", grams)) "). Forecasts of intensity may be some 20 % off."
                }
            }
        }
    }
}

fn extras(run: &View) -> Markup {
    let extras = run.part("/extras");
    let has = |part: &str| extras.has(part);
    let money = |amount: f64| {
        format!("{} {}", digits(amount), extras.text("/cost/currency").unwrap_or_default()).trim_end().to_owned()
    };
    let litres = |amount: f64| format!("{} L", digits(amount));
    let row = |title: &str, used: Markup, whole: Option<Markup>, rate: Markup| {
        html! {
            tr { th scope="row" { (title) } td.n { (used) } td.n { @if let Some(whole) = whole { (whole) } } td { (rate) } }
        }
    };
    let forecast =
        |pointer: &str, show: &dyn Fn(f64) -> String| extras.has(pointer).then(|| extras.shown(pointer, show));
    html! {
        @if ["/cost", "/water", "/embodied", "/marginal"].into_iter().any(has) {
            h2 { "Beside it" }
            p.soft { "None of this is in the CO2e above." }
            div.scroll { table {
                thead { tr { th scope="col" {} th.n scope="col" { "used" } th.n scope="col" { "whole run, forecast" } th scope="col" { "by" } } }
                tbody {
                    @if has("/cost") { (row("cost", extras.shown("/cost/amount", money), forecast("/cost/forecast", &money), html! { (extras.shown("/cost/per_kwh", money)) " per kWh" })) }
                    @if has("/water") { (row("water", extras.shown("/water/litres", litres), forecast("/water/forecast_litres", &litres), html! {
                        @if has("/water/on_site_l") { (extras.shown("/water/on_site_l", litres)) " on site" }
                        @if has("/water/on_site_l") && has("/water/off_site_l") { ", " }
                        @if has("/water/off_site_l") { (extras.shown("/water/off_site_l", litres)) " at the power plants" }
                    })) }
                    @if has("/embodied") { (row("making of the devices", extras.shown("/embodied/co2eq_g", grams), forecast("/embodied/forecast_co2eq_g", &grams), html! {
                        "a share of " (extras.shown("/embodied/kg", |kg| grams(kg * 1e3))) " CO2e over " (extras.shown("/embodied/life_years", digits)) " years"
                    })) }
                    @if has("/marginal") { (row("marginal emissions", extras.shown("/marginal/co2eq_g", grams), forecast("/marginal/forecast_co2eq_g", &grams), html! {
                        "what one kWh more emits: " (extras.shown("/marginal/g_per_kwh", digits)) " g (" (extras.text("/marginal/source").unwrap_or_default()) ", " (extras.text("/marginal/zone").unwrap_or_default()) ")"
                    })) }
                }
            } }
        }
    }
}
