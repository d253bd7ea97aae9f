//! The charts of a run, each with a title, a legend and a remark.

use super::axis::Scale;
use super::charts::{self, Drawn, KINDS};
use super::json_view::{JsonView, whole_percent};
use crate::report::RunPhase;
use crate::units::{digits, instant, times};
use maud::{Markup, html};

/// The charts of power, energy and forecast.
pub fn over_time(run: &JsonView) -> Markup {
    html! {
        @if let Some(drawn) = charts::power(run) {
            (figure("Power", &drawn, kinds(&drawn), html! { "Mean power " (when(&drawn)) (unended(run)) (estimated(run)) }))
        }
        (epochs(run))
        (forecasts(run))
    }
}

/// The charts of emissions and of the grid's intensity.
pub fn carbon(run: &JsonView) -> Markup {
    let intensity = charts::intensity(run);
    let figure_used = || html! { (run.shown("/intensity/g_per_kwh", digits)) " g/kWh" };
    let is_by_hour = ["file", "live"].contains(&run.words("/intensity/kind"));
    html! {
        @if let Some(drawn) = charts::emitted(run) {
            (figure("CO2e since the run began", &drawn, html! {}, html! {
                "Cumulative CO2e " (when(&drawn)) (unended(run)) (estimated(run))
                @match (&intensity, is_by_hour) {
                    (Some(_), _) => {}
                    (None, true) => { " The mean intensity of its hours is used: " (figure_used()) "." }
                    (None, false) => { " One intensity is used for the whole run: " (figure_used()) "." }
                }
            }))
        }
        @if let Some(drawn) = &intensity {
            (figure("Carbon intensity of the grid", drawn, html! {}, html! {
                "Intensity " (when(drawn)) " The mean over the run's energy is " (figure_used()) "."
            }))
        }
    }
}

/// The dates of a time axis, in words.
fn when(drawn: &Drawn) -> String {
    let (Scale::Clock, from, to) = drawn.chart.x else { return String::new() };
    let [from, to] = [from, to].map(|at| instant(at).unwrap_or_default().replace('T', " "));
    let part = |stamp: &str, length: usize| stamp.get(..length).unwrap_or_default().to_owned();
    match part(&from, 10) == part(&to, 10) {
        true => format!("by time of day on {}, UTC.", part(&from, 10)),
        false => format!("by time, {} to {} UTC.", part(&from, 16), part(&to, 16)),
    }
}

/// The remark on epochs that are in the chart but not in the figures.
fn unended(run: &JsonView) -> &'static str {
    let is_open = matches!(run.phase(), Some(RunPhase::InEpoch | RunPhase::Unfinished));
    let has_lost = run.number("/run/resumed/lost_epochs").is_some_and(|lost| lost > 0.0);
    if is_open || has_lost { " The chart includes epochs that did not end; the figures above do not." } else { "" }
}

/// The remark on estimated energy in a chart.
fn estimated(run: &JsonView) -> String {
    run.error("/usage/error").map_or(String::new(), |band| {
        let [low, high] = [band.low, band.high].map(times);
        format!(" It has estimates in it: in nine cases of ten the truth is {low} to {high} times the total.")
    })
}

fn epochs(run: &JsonView) -> Markup {
    let Some((is_energy, drawn)) = charts::epochs(run) else { return html! {} };
    let title = if is_energy { "Energy of each epoch" } else { "Time of each epoch" };
    let epochs = run.list("/epochs");
    let is_group = |epoch: &JsonView| epoch.number("/count").is_some_and(|count| count > 1.0);
    let is_thinned = epochs.len() > charts::MAX_COLUMNS || epochs.iter().any(is_group);
    figure(
        title,
        &drawn,
        kinds(&drawn),
        html! {
            "By the epoch's number; the pointer shows each value."
            @if is_thinned { " A column is the mean of neighbouring epochs." }
            @if is_energy { (estimated(run)) }
        },
    )
}

fn forecasts(run: &JsonView) -> Markup {
    let Some(drawn) = charts::forecasts(run) else { return html! {} };
    let level = run.number("/forecast/level").map(whole_percent).unwrap_or_default();
    let legend = html! {
        ul.legend {
            li.plain.line { "forecast of the whole run" }
            li.plain.band { (level) " interval" }
            @if charts::has_outcome(run) { li.outcome.line { "outcome" } }
        }
    };
    figure(
        "Forecast over the run",
        &drawn,
        legend,
        html! {
            "By the number of ended epochs."
            @if run.has("/usage/error") { " The interval includes the error of estimates, which the outcome has too." }
        },
    )
}

fn figure(title: &str, drawn: &Drawn, legend: Markup, remark: Markup) -> Markup {
    html! {
        figure {
            figcaption { h3 { (title) ", " (drawn.unit) } (legend) p { (remark) } }
            (drawn.chart.render())
        }
    }
}

/// The legend of the kinds of component in a chart.
fn kinds(drawn: &Drawn) -> Markup {
    let shown = drawn.kinds.iter().filter_map(|&kind| KINDS.get(kind));
    html! { ul.legend { @for (class, words, _) in shown { li class=(class) { (words) } } } }
}
