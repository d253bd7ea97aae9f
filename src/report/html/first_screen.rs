//! What a reader sees first of a run: one sentence, four cards, where the energy went, and what would lower it.

use super::charts::{self, KINDS};
use super::json_view::{JsonView, percent, whole, whole_percent};
use crate::measurement::channel::MeasuringMethod;
use crate::report::{NOTABLE_SHARE, WHOLE_SHARE, equivalents};
use crate::units::{Amount, ErrorBand, J_PER_KWH, digits, duration, ratio};
use maud::{Markup, html};

/// The sections of the first screen. `origin`: where and when the run was.
pub fn section(run: &JsonView, origin: &str) -> Markup {
    html! {
        p.soft { (origin) @for badge in badges(std::slice::from_ref(run)) { " " span.badge { (badge) } } }
        (sentence(run))
        (cards(run))
        (where_it_went(run))
        (what_would_lower_it(run))
    }
}

/// The energy of the run, with what cooling and conversion add to it if that is known.
fn energy(run: &JsonView, error: Option<ErrorBand>) -> Markup {
    let shown = |kwh: f64| {
        let joules = kwh * J_PER_KWH;
        error.map_or_else(|| Amount::Energy.exact(joules), |band| Amount::Energy.rough(joules, band))
    };
    html! {
        @if run.has("/usage/facility_energy_kwh") {
            @if error.is_some() { "≈ " }
            (run.shown("/usage/facility_energy_kwh", shown))
        } @else {
            (run.used("/usage/energy_j", Amount::Energy))
        }
    }
}

/// "6.9 Wh and 2.8 g CO2e in 30 s, like driving 26 m in a new car."
fn sentence(run: &JsonView) -> Markup {
    let error = run.error("/usage/error");
    let like = run.number("/usage/co2eq_g").and_then(|grams| equivalents::like(grams, error));
    html! {
        @if run.has("/usage/energy_j") {
            p.lead {
                strong { (energy(run, error)) }
                @if run.has("/usage/co2eq_g") { " and " strong { (run.used("/usage/co2eq_g", Amount::Grams)) " CO2e" } }
                " in " (run.shown("/usage/duration_s", duration))
                @if let Some(like) = like { ", " (like) }
                "."
            }
        }
    }
}

/// How sure the energy of runs is: measured, or which part is simulated or estimated.
pub fn badges(runs: &[JsonView]) -> Vec<String> {
    const MIN_SHARE: f64 = 0.0005;
    let devices: Vec<JsonView> = runs.iter().flat_map(|run| run.list("/components")).collect();
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
    let known: Vec<String> = parts.into_iter().flatten().collect();
    // A log of another program does not say how it was measured.
    let is_known = devices.iter().all(|device| !device.has("/energy_j") || device.method().is_some());
    let is_measured = known.is_empty() && all > 0.0 && runs.iter().all(|run| run.has("/run/version")) && is_known;
    if is_measured { vec!["measured".into()] } else { known }
}

fn cards(run: &JsonView) -> Markup {
    let error = run.error("/usage/error");
    let interval = |low: &str, high: &str, amount: Amount| {
        html! { @if error.is_some() && run.has(low) { dd { (run.interval([low, high], amount)) ", in nine cases of ten" } } }
    };
    let place = run.text("/intensity/zone");
    html! {
        dl.cards {
            div {
                dt { "CO2e" }
                dd.main { (run.used("/usage/co2eq_g", Amount::Grams)) }
                (interval("/usage/co2eq_low_g", "/usage/co2eq_high_g", Amount::Grams))
                dd { (run.shown("/intensity/g_per_kwh", digits)) " g/kWh" @if let Some(zone) = place { ", " (zone) } }
            }
            div {
                dt { @if run.has("/share/scope") { "Energy of the job" } @else { "Energy of the devices" } }
                dd.main { (run.used("/usage/energy_j", Amount::Energy)) }
                (interval("/usage/energy_low_j", "/usage/energy_high_j", Amount::Energy))
                @if run.has("/share/device_j") {
                    dd { "of " (run.amount("/share/device_j", Amount::Energy, error)) " that the node's devices used" }
                }
                @if run.has("/usage/facility_energy_kwh") && run.number("/pue") != Some(1.0) {
                    dd { (energy(run, error)) " with PUE " (run.shown("/pue", digits)) }
                }
                @if run.number("/usage/coverage").is_some_and(|share| share < WHOLE_SHARE) {
                    dd { "readings cover " (run.shown("/usage/coverage", percent)) " of the time" }
                }
            }
            div {
                dt { "Time" }
                dd.main { (run.shown("/usage/duration_s", duration)) }
                (epochs(run))
            }
            (power(run, error))
        }
    }
}

/// The epochs in the card of the time.
fn epochs(run: &JsonView) -> Markup {
    let is_one = charts::is_one_epoch(run);
    let is_planned = !is_one && run.number("/run/epochs_planned").is_some_and(|planned| planned > 0.0);
    let of = run.number("/run/epochs_done").filter(|done| *done >= 1.0).zip(run.number("/usage/epochs/duration_s"));
    html! {
        dd {
            (run.shown("/run/epochs_done", whole))
            @if is_planned { " of " (run.shown("/run/epochs_planned", whole)) }
            @if run.is_true("/run/work/pieces") { " pieces of the work" } @else if run.number("/run/epochs_done") == Some(1.0) && !is_planned { " epoch" } @else { " epochs" }
            @if let Some((done, seconds)) = of.filter(|_| !is_one) { ", " (duration(seconds / done)) " each" }
        }
        @if run.has("/run/progress") { dd { "and " (run.shown("/run/progress", percent)) " of the next" } }
        @if part(run, "/usage/between/duration_s", "/usage/duration_s").is_some() {
            dd { (run.shown("/usage/between/duration_s", duration)) " of it between epochs" }
        }
    }
}

/// The share of a part in a whole, if it is notable.
fn part(run: &JsonView, part: &str, of: &str) -> Option<f64> {
    Some(run.number(part)? / run.number(of)?).filter(|share| *share >= NOTABLE_SHARE)
}

fn power(run: &JsonView, error: Option<ErrorBand>) -> Markup {
    let watts = run.number("/usage/energy_j").zip(run.number("/usage/duration_s").filter(|seconds| *seconds > 0.0));
    html! {
        @if let Some((joules, seconds)) = watts {
            div {
                dt { "Average power" }
                dd.main { (Amount::Power.alone(joules / seconds, error)) }
                dd { "of the devices, without PUE" }
            }
        }
    }
}

/// A bar with the share of each kind of device, or of each device if one kind has several.
fn where_it_went(run: &JsonView) -> Markup {
    const MOST: usize = 64;
    let devices = run.list("/components");
    let known: Vec<(&JsonView, f64)> =
        devices.iter().filter_map(|device| Some((device, device.number("/energy_j")?))).collect();
    let all: f64 = known.iter().map(|(_, joules)| joules).sum();
    let kind = |name: &str| {
        known.iter().filter(|(device, _)| device.words("/kind") == name).map(|(_, joules)| joules).sum::<f64>()
    };
    let kinds: Vec<(&str, &str, f64)> = KINDS
        .iter()
        .map(|(name, words, _)| (*name, *words, kind(name) / all))
        .filter(|(.., share)| *share > 0.0)
        .collect();
    let of_gpus = devices.iter().filter(|device| device.words("/kind") == "gpu").enumerate();
    let gpus: Vec<_> = of_gpus.filter_map(|(n, gpu)| Some((n, gpu, gpu.number("/energy_j")?))).take(MOST).collect();
    let most_of_gpus = gpus.iter().map(|(.., joules)| *joules).fold(f64::MIN_POSITIVE, f64::max);
    html! {
        @if all > 0.0 && known.len() > 1 {
            h2 { "Where it went" }
            @if kinds.len() > 1 {
                div.shares { @for (name, _, share) in &kinds {
                    span class=(name) style=(format!("width:{:.1}%", share * 100.0)) {}
                } }
                ul.legend { @for (name, words, share) in &kinds { li class=(name) { (words) " " (whole_percent(*share)) } } }
            }
            @if gpus.len() > 1 {
                div.each {
                    @for (n, device, joules) in &gpus {
                        div title=(device.words("/id")) {
                            "GPU " (n) ", " (percent(joules / all))
                            span.gpu style=(format!("width:{:.1}%", joules / most_of_gpus * 100.0)) {}
                        }
                    }
                }
            }
            @if let Some(share) = part(run, "/usage/between/energy_j", "/usage/energy_j") {
                p.soft { "Of it " (whole_percent(share)) " between epochs." }
            }
        }
    }
}

/// The best later start and the cleanest place.
fn what_would_lower_it(run: &JsonView) -> Markup {
    let (what_if, start) = (run.part("/what_if"), run.part("/what_if/start"));
    let later = start.number("/saves_share").filter(|share| *share >= NOTABLE_SHARE);
    let zones = what_if.list("/zones");
    let saves = |zone: &JsonView| zone.number("/saves_share").filter(|share| *share >= NOTABLE_SHARE);
    let best = zones.iter().filter_map(|zone| Some((zone, saves(zone)?))).max_by(|a, b| a.1.total_cmp(&b.1));
    html! {
        @if later.is_some() || best.is_some() {
            p.lower {
                strong { "What would lower it: " }
                @if let Some(share) = later {
                    "a start in " (start.shown("/delay_s", |seconds| duration((seconds / 60.0).round() * 60.0)))
                    " saves " (whole_percent(share)) ", by a forecast with an error of some 20 %. "
                }
                @if let Some((zone, saves)) = best {
                    @if run.text("/intensity/zone") == Some("WORLD") {
                        "The place of this run is not known: set location= first. "
                    }
                    "The same run in " (zone.text("/name").unwrap_or(zone.words("/zone"))) " would emit "
                    (zone.amount("/co2eq_g", Amount::Grams, what_if.error("/error")))
                    @if let Some(times) = ratio(1.0 - saves, 1.0) { " (" (times) ")" }
                    "."
                }
            }
        }
    }
}
