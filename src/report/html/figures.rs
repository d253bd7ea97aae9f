//! A run's charts, each with its title, legend and a remark.

use super::charts::{self, Drawn, KINDS};
use super::view::{View, whole_percent};
use crate::units::digits;
use maud::{Markup, html};

/// How its power, energy and forecast went.
pub fn over_time(run: &View) -> Markup {
    html! {
        @if let Some(drawn) = charts::power(run) {
            (figure("Power", &drawn, kinds(&drawn), html! { "Mean power by time of day, UTC." }))
        }
        (epochs(run))
        (forecasts(run))
    }
}

/// What it emitted, and what the grid did meanwhile.
pub fn carbon(run: &View) -> Markup {
    let intensity = charts::intensity(run);
    let figure_used = || html! { (run.shown("/intensity/g_per_kwh", digits)) " g/kWh" };
    html! {
        @if let Some(drawn) = charts::emitted(run) {
            (figure("CO2e since the run began", &drawn, html! {}, html! {
                "By time of day, UTC."
                @if intensity.is_none() { " One intensity holds for all of the run: " (figure_used()) "." }
            }))
        }
        @if let Some(drawn) = &intensity {
            (figure("Carbon intensity of the grid", drawn, html! {}, html! {
                "By time of day, UTC. The run's energy was priced at " (figure_used()) " in the mean."
            }))
        }
    }
}

fn epochs(run: &View) -> Markup {
    let Some((is_energy, drawn)) = charts::epochs(run) else { return html! {} };
    let title = if is_energy { "Energy of each epoch" } else { "Time of each epoch" };
    let is_thinned = run.list("/epochs").len() > charts::MOST_COLUMNS;
    figure(
        title,
        &drawn,
        kinds(&drawn),
        html! {
            "By the epoch's number, from 0."
            @if is_thinned { " Neighbours are drawn as one column, the mean of them." }
        },
    )
}

fn forecasts(run: &View) -> Markup {
    let Some(drawn) = charts::forecasts(run) else { return html! {} };
    let level = run.number("/forecast/level").map(whole_percent).unwrap_or_default();
    let legend = html! {
        ul.legend {
            li.plain.line { "forecast of the whole run" }
            li.plain.band { (level) " interval" }
            @if charts::is_whole(run) { li.outcome.line { "outcome" } }
        }
    };
    figure("Forecast as it narrowed", &drawn, legend, html! { "By the number of epochs seen." })
}

fn figure(title: &str, drawn: &Drawn, legend: Markup, remark: Markup) -> Markup {
    html! {
        figure {
            figcaption { h3 { (title) ", " (drawn.unit) } (legend) p { (remark) } }
            (drawn.chart.render())
        }
    }
}

/// The kinds of component that are drawn.
fn kinds(drawn: &Drawn) -> Markup {
    let shown = drawn.kinds.iter().filter_map(|&kind| KINDS.get(kind));
    html! { ul.legend { @for (class, words, _) in shown { li class=(class) { (words) } } } }
}
