//! The sections of one run on the page.

use super::json_view::{JsonView, percent, whole, whole_percent};
use super::{charts, impacts, methodology, summary, tables, what_if};
use crate::measurement::channel::MeasuringMethod;
use crate::report::RunPhase;
use crate::units::ErrorBand;
use crate::units::{Amount, DisplayUnit, digits, duration};
use maud::{Markup, html};

/// All sections of a run, below its heading.
pub fn sections(run: &JsonView) -> Markup {
    html! {
        p.soft { (where_and_when(run)) }
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

/// The name of a run, or else its identifier.
pub fn name(run: &JsonView) -> String {
    let named = run.text("/run/name").filter(|name| !name.trim().is_empty()).map(str::to_owned);
    named.unwrap_or_else(|| format!("Run {}", run.text("/run/id").unwrap_or("without a name")))
}

/// The place, the start and the phase of a run.
pub fn where_and_when(run: &JsonView) -> String {
    let place = run.place().unwrap_or("unknown host".into());
    let job = run.text("/run/job").map(|job| format!(", {job}")).filter(|_| run.ranks().is_some()).unwrap_or_default();
    let started = run.text("/run/started").unwrap_or("unknown time").replace('T', " ").replace('Z', " UTC");
    let phase = match run.phase() {
        Some(RunPhase::Done) => "done",
        Some(RunPhase::InEpoch) => "in an epoch",
        Some(RunPhase::Between) => "between epochs",
        Some(RunPhase::Waiting) => "not begun",
        Some(RunPhase::Unfinished) => "not finished",
        None => "in an unknown state",
    };
    format!("{place}{job}, {started}, {phase}")
}

/// The cards with energy, emissions, time and epochs.
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
                dt { @if run.is_true("/run/work/pieces") { "Pieces of the work" } @else { "Epochs" } }
                dd.main { (run.shown("/run/epochs_done", whole)) }
                @if is_planned { dd { "of " (run.shown("/run/epochs_planned", whole)) " planned" } }
                @if run.has("/run/progress") { dd { "and " (run.shown("/run/progress", percent)) " of the next" } }
            }
        }
    }
}

/// The simulated and the estimated share of the energy, in words.
fn unmeasured(run: &JsonView) -> Vec<String> {
    const MIN_SHARE: f64 = 0.0005;
    let devices = run.list("/components");
    let sum = |is_counted: &dyn Fn(&JsonView) -> bool| -> f64 {
        let counted = devices.iter().filter(|device| is_counted(device));
        counted.filter_map(|device| device.number("/energy_j")).sum()
    };
    let is_estimate = |device: &JsonView| device.method() == Some(MeasuringMethod::Estimate);
    let all = sum(&|_| true);
    let share = |joules: f64, how: &str| match joules / all {
        share if share > 1.0 - MIN_SHARE => Some(format!("all of it {how}")),
        share if share > MIN_SHARE => Some(format!("{} of it {how}", percent(share))),
        _ => None,
    };
    let simulated_j = sum(&|device| device.is_simulated());
    let parts = [share(simulated_j, "simulated, not measured"), share(sum(&is_estimate), "estimated, not measured")];
    parts.into_iter().flatten().collect()
}

/// A quantity of the forecast: field, name, and the amount; None: it is a time.
type ForecastView = (&'static str, &'static str, Option<Amount<'static>>);
const FORECASTS: [ForecastView; 3] = [
    ("energy_j", "energy", Some(Amount::Energy)),
    ("co2eq_g", "CO2e", Some(Amount::Grams)),
    ("duration_s", "time", None),
];

/// A quantity of the forecast as "value (low to high)", as far as it is known.
fn forecast_quantity(part: &JsonView, field: &str, amount: Option<Amount>, error: Option<ErrorBand>) -> Markup {
    match amount {
        Some(amount) if error.is_some() => part.part(field).figure("/value", ["/low", "/high"], amount, error),
        Some(amount) => part.estimate(field, |x| amount.exact(x)),
        None => part.estimate(field, duration),
    }
}

/// The forecast of the whole run and of its rest; empty: all planned epochs have ended.
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
            @if total.has("/after_share") {
                "Forecast of the whole run after " (total.shown("/after_share", percent)) " of its work"
            } @else {
                "Forecast of all " (run.shown("/run/epochs_planned", whole)) " epochs"
                @if total.has("/after_epochs") { " after " (total.shown("/after_epochs", whole)) }
            }
            @if total.has("/level") { ", with " (total.shown("/level", whole_percent)) " intervals" }
            ": "
            @for (n, (field, words, amount)) in known(&total).into_iter().enumerate() {
                @if n > 0 { ", " } (words) " " (forecast_quantity(&total, &format!("/{field}"), amount, error))
            }
            "."
            @if error.is_some() { " The intervals of energy and CO2e include the error of estimates." }
        }
        @if !known(&rest).is_empty() {
            p {
                @if total.has("/saved") { "Saved by the early end, as an estimate: " }
                @else { "Still to come, and saved by a stop now: " }
                @for (n, (field, words, amount)) in known(&rest).into_iter().enumerate() {
                    @if n > 0 { ", " } (words) " " (value(&format!("/{field}/value"), amount))
                }
                "."
            }
        }
    }
}

/// Everyday amounts with the same emissions.
fn equivalents(run: &JsonView) -> Markup {
    /// Smaller amounts mean nothing to a reader.
    const MIN_AMOUNT: f64 = 0.001;
    let mut amounts = run.list("/equivalents");
    amounts.retain(|amount| amount.number("/value").is_some_and(|value| value >= MIN_AMOUNT));
    let last = amounts.len().saturating_sub(1);
    let error = run.error("/usage/error");
    html! {
        @if !amounts.is_empty() {
            p {
                "Its CO2e equals that of "
                @for (n, amount) in amounts.iter().enumerate() {
                    @if n > 0 { @if n == last { ", or of " } @else { ", of " } }
                    (amount.figure("/value", ["/low", "/high"], Amount::Of(""), error)) " " span title=[amount.text("/source")] { (amount.words("/unit")) }
                }
                "."
            }
        }
    }
}

/// The paragraph on earlier attempts; empty: the run was not resumed.
fn resumed(run: &JsonView) -> Markup {
    let resumed = run.part("/run/resumed");
    html! {
        @if run.has("/run/resumed") {
            p {
                "Resumed " (resumed.shown("/times", times)) ". "
                @if resumed.number("/lost_epochs") == Some(0.0) {
                    "No interrupted epoch is known."
                } @else {
                    "Interrupted epochs: " (resumed.shown("/lost_epochs", whole)) ". Their use is not in the figures above; the "
                    "journal has " (resumed.shown("/lost_s", duration)) ", " (resumed.amount("/lost_j", Amount::Energy, run.error("/usage/error"))) "."
                }
            }
        }
    }
}

fn times(count: f64) -> String {
    if count == 1.0 { "once".into() } else { format!("{count:.0} times") }
}
