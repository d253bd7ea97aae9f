//! One run on the page, section by section.

use super::json_view::{JsonView, percent, whole, whole_percent};
use super::{charts, impacts, methodology, summary, tables, what_if};
use crate::measurement::channel::ErrorBand;
use crate::units::{Amount, DisplayUnit, digits, duration};
use maud::{Markup, html};

/// All of a run below its heading.
pub fn sections(run: &JsonView) -> Markup {
    html! {
        p.soft { (whence(run)) }
        (headline(run))
        (forecast(run))
        (equivalents(run))
        (resumed(run))
        (summary::over_time(run))
        (summary::carbon(run))
        (what_if::section(run))
        (impacts::section(run))
        (tables::nodes(run))
        (tables::devices(run))
        (tables::unavailable(run))
        (tables::notes(run))
        (methodology::section(run))
        (tables::epochs(run))
    }
}

/// What a run is called.
pub fn name(run: &JsonView) -> String {
    let named = run.text("/run/name").filter(|name| !name.trim().is_empty()).map(str::to_owned);
    named.unwrap_or_else(|| format!("Run {}", run.text("/run/id").unwrap_or("without a name")))
}

/// Where and when it ran, and how far it came.
pub fn whence(run: &JsonView) -> String {
    let place = run.place().unwrap_or("unknown host".into());
    let job = run.text("/run/job").map(|job| format!(", {job}")).filter(|_| run.ranks().is_some()).unwrap_or_default();
    let started = run.text("/run/started").unwrap_or("unknown time").replace('T', " ").replace('Z', " UTC");
    let state = match run.text("/run/state") {
        Some("done") => "done",
        Some("in_epoch") => "in an epoch",
        Some("between") => "between epochs",
        Some("waiting") => "not begun",
        Some("unfinished") => "not finished",
        _ => "in an unknown state",
    };
    format!("{place}{job}, {started}, {state}")
}

fn headline(run: &JsonView) -> Markup {
    let is_planned = run.number("/run/epochs_planned").is_some_and(|planned| planned > 0.0);
    let is_in_kwh = run.number("/usage/energy_j").is_some_and(|joules| DisplayUnit::energy(joules).name == "kWh");
    let error = run.error("/usage/error");
    let kwh = |pointer: &str| run.amount(pointer, Amount::Of("kWh"), error);
    let interval = |low: &str, high: &str, amount: Amount| {
        html! { @if error.is_some() && run.has(low) { dd { (run.interval([low, high], amount)) ", in nine cases of ten" } } }
    };
    html! {
        dl.cards {
            div {
                dt { "Energy" }
                dd.main { (run.used("/usage/energy_j", Amount::Energy)) }
                (interval("/usage/energy_low_j", "/usage/energy_high_j", Amount::Energy))
                @for share in unmeasured(run) { dd { (share) } }
                @if run.has("/usage/energy_j") && !is_in_kwh { dd { (kwh("/usage/energy_kwh")) } }
                @if run.has("/usage/facility_energy_kwh") && run.number("/pue") != Some(1.0) {
                    dd { (kwh("/usage/facility_energy_kwh")) " with PUE " (run.shown("/pue", digits)) }
                }
                @if run.has("/usage/coverage") {
                    dd { "readings cover " (run.shown("/usage/coverage", percent)) " of the time" }
                }
            }
            div {
                dt { "CO2e" }
                dd.main { (run.used("/usage/co2eq_g", Amount::Grams)) }
                (interval("/usage/co2eq_low_g", "/usage/co2eq_high_g", Amount::Grams))
                dd {
                    "at " (run.shown("/intensity/g_per_kwh", digits)) " g/kWh"
                    @if let Some(zone) = run.text("/intensity/zone") { " (" (zone) ")" }
                }
            }
            div {
                dt { "Time" }
                dd.main { (run.shown("/usage/duration_s", duration)) }
                @if run.has("/usage/between/duration_s") {
                    dd { (run.shown("/usage/between/duration_s", duration)) " of it between epochs" }
                }
            }
            div {
                dt { "Epochs" }
                dd.main { (run.shown("/run/epochs_done", whole)) }
                @if is_planned { dd { "of " (run.shown("/run/epochs_planned", whole)) " planned" } }
                @if run.has("/run/progress") { dd { "and " (run.shown("/run/progress", percent)) " of the next" } }
            }
        }
    }
}

/// How much of the energy nobody has measured, in words.
fn unmeasured(run: &JsonView) -> Vec<String> {
    const LEAST: f64 = 0.0005;
    let devices = run.list("/components");
    let sum = |is_counted: &dyn Fn(&JsonView) -> bool| -> f64 {
        let counted = devices.iter().filter(|device| is_counted(device));
        counted.filter_map(|device| device.number("/energy_j")).sum()
    };
    let is_simulated = |device: &JsonView| device.text("/source") == Some("simulated");
    let is_estimate = |device: &JsonView| device.text("/method") == Some("estimate");
    let all = sum(&|_| true);
    let said = |joules: f64, how: &str| match joules / all {
        share if share > 1.0 - LEAST => Some(format!("all of it {how}")),
        share if share > LEAST => Some(format!("{} of it {how}", percent(share))),
        _ => None,
    };
    let parts = [said(sum(&is_simulated), "simulated, not measured"), said(sum(&is_estimate), "an estimate")];
    parts.into_iter().flatten().collect()
}

/// What is forecast: field, name, and the amount if it rests on energy; a time does not.
type ForecastView = (&'static str, &'static str, Option<Amount<'static>>);
const FORECASTS: [ForecastView; 3] = [
    ("energy_j", "energy", Some(Amount::Energy)),
    ("co2eq_g", "CO2e", Some(Amount::Grams)),
    ("duration_s", "time", None),
];

/// "value (low to high)", as far as it is known.
fn foretold(part: &JsonView, field: &str, amount: Option<Amount>, error: Option<ErrorBand>) -> Markup {
    match amount {
        Some(amount) if error.is_some() => part.part(field).figure("/value", ["/low", "/high"], amount, error),
        Some(amount) => part.estimate(field, |x| amount.exact(x)),
        None => part.estimate(field, duration),
    }
}

fn forecast(run: &JsonView) -> Markup {
    if !run.has("/forecast") || charts::is_whole(run) {
        return html! {};
    }
    let known = |part: &JsonView| {
        FORECASTS.into_iter().filter(|(field, ..)| part.has(&format!("/{field}"))).collect::<Vec<_>>()
    };
    let (total, rest) = (run.part("/forecast"), run.part("/forecast/remaining"));
    let error = run.error("/usage/error");
    let value = |field: &str, amount: Option<Amount>| match amount {
        Some(amount) => rest.amount(field, amount, error),
        None => rest.shown(field, duration),
    };
    html! {
        p {
            "Forecast of all " (run.shown("/run/epochs_planned", whole)) " epochs"
            @if total.has("/after_epochs") { " after " (total.shown("/after_epochs", whole)) }
            @if total.has("/level") { ", with " (total.shown("/level", whole_percent)) " intervals" }
            ": "
            @for (n, (field, words, amount)) in known(&total).into_iter().enumerate() {
                @if n > 0 { ", " } (words) " " (foretold(&total, &format!("/{field}"), amount, error))
            }
            "."
            @if error.is_some() { " The intervals of energy and CO2e include the error of what is estimated." }
        }
        @if !known(&rest).is_empty() {
            p {
                "Still to come, and what stopping here saves: "
                @for (n, (field, words, amount)) in known(&rest).into_iter().enumerate() {
                    @if n > 0 { ", " } (words) " " (value(&format!("/{field}/value"), amount))
                }
                "."
            }
        }
    }
}

fn equivalents(run: &JsonView) -> Markup {
    /// Less of a thing tells nobody anything.
    const LEAST: f64 = 0.001;
    let mut equals = run.list("/equivalents");
    equals.retain(|equal| equal.number("/value").is_some_and(|value| value >= LEAST));
    let last = equals.len().saturating_sub(1);
    let error = run.error("/usage/error");
    html! {
        @if !equals.is_empty() {
            p {
                "Its CO2e is that of "
                @for (n, equal) in equals.iter().enumerate() {
                    @if n > 0 { @if n == last { ", or of " } @else { ", of " } }
                    (equal.figure("/value", ["/low", "/high"], Amount::Of(""), error)) " " span title=[equal.text("/source")] { (equal.words("/unit")) }
                }
                "."
            }
        }
    }
}

fn resumed(run: &JsonView) -> Markup {
    let resumed = run.part("/run/resumed");
    html! {
        @if run.has("/run/resumed") {
            p {
                "Resumed " (resumed.shown("/times", times)) ". "
                @if resumed.number("/lost_epochs") == Some(0.0) {
                    "No epoch is known to have been cut off."
                } @else {
                    "Epochs that were cut off: " (resumed.shown("/lost_epochs", whole)) ". What they used is not in the "
                    "figures above; the journal knows of " (resumed.shown("/lost_s", duration)) ", " (resumed.amount("/lost_j", Amount::Energy, run.error("/usage/error"))) "."
                }
            }
        }
    }
}

fn times(count: f64) -> String {
    if count == 1.0 { "once".into() } else { format!("{count:.0} times") }
}
