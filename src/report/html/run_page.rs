//! The sections of one run on the page.

use super::json_view::{JsonView, percent, whole, whole_percent};
use super::{charts, first_screen, impacts, methodology, phases, share, summary, tables, what_if};
use crate::report::RunPhase;
use crate::units::{Amount, duration};
use maud::{Markup, html};

/// All sections of a run, below its heading.
pub fn sections(run: &JsonView) -> Markup {
    html! {
        (first_screen::section(run, &where_and_when(run)))
        (forecast(run))
        (resumed(run))
        (phases::section(run))
        (summary::over_time(run))
        (summary::carbon(run))
        (what_if::section(run))
        (impacts::section(run))
        (tables::nodes(run))
        (tables::devices(run))
        (share::section(run))
        (tables::unavailable(run))
        (tables::notes(run))
        (methodology::section(run))
        (tables::epochs(run))
    }
}

/// The name of a run, or else its host and start. A run without these has its identifier.
pub fn name(run: &JsonView) -> String {
    let named = run.text("/run/name").filter(|name| !name.trim().is_empty()).map(str::to_owned);
    let begun = run.text("/run/started").map(|_| started(run));
    let by_place = run.place().zip(begun).map(|(place, begun)| format!("Run on {place}, {begun}"));
    named.or(by_place).unwrap_or_else(|| format!("Run {}", run.text("/run/id").unwrap_or("without a name")))
}

/// The start of a run, such as "2026-03-02 13:00:00 UTC".
fn started(run: &JsonView) -> String {
    run.text("/run/started").unwrap_or("unknown time").replace('T', " ").replace('Z', " UTC")
}

/// The place, the start and the phase of a run.
pub fn where_and_when(run: &JsonView) -> String {
    let place = run.place().unwrap_or("unknown host".into());
    let job = run.text("/run/job").map(|job| format!(", {job}")).filter(|_| run.ranks().is_some()).unwrap_or_default();
    let started = started(run);
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

/// A quantity of the forecast: field, name, and the amount.
type ForecastView = (&'static str, &'static str, Amount<'static>);
const FORECASTS: [ForecastView; 3] =
    [("energy_j", "energy", Amount::Energy), ("co2eq_g", "CO2e", Amount::Grams), ("duration_s", "time", Amount::Time)];

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
    let is_power = |amount: Amount| amount != Amount::Time;
    let about = |amount: Amount| if error.is_some() && is_power(amount) { "≈ " } else { "" };
    let value = |field: &str, amount: Amount| rest.amount(field, amount, error.filter(|_| is_power(amount)));
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
                @if n > 0 { ", " } (words) " " (total.estimate(&format!("/{field}"), amount, about(amount)))
            }
            "."
            @if error.is_some() { " The intervals of energy and CO2e include the error of estimates." }
        }
        @if let (false, Some(rest_is)) = (known(&rest).is_empty(), rest_in_words(run)) {
            p {
                (rest_is)
                @for (n, (field, words, amount)) in known(&rest).into_iter().enumerate() {
                    @if n > 0 { ", " } (words) " " (value(&format!("/{field}/value"), amount))
                }
                "."
            }
        }
    }
}

/// What the rest of the forecast is; None: the run ended, and whether that saved anything is unknown.
fn rest_in_words(run: &JsonView) -> Option<&'static str> {
    match run.phase() {
        _ if run.has("/forecast/saved") => Some("Saved by the early end, as an estimate: "),
        Some(RunPhase::Done) => None,
        Some(RunPhase::Unfinished) => Some("Still to come, if the run continues: "),
        _ => Some("Still to come, and saved by a stop now: "),
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
