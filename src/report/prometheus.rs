//! The report in the text format of Prometheus, for the textfile collector of node_exporter or a scrape.

use super::{ComponentReport, Report};
use crate::forecast::Estimate;
use crate::units::ErrorBand;
use std::fmt::Write;

/// Values of a metric, each with its own labels.
type Samples<'a> = Vec<(Vec<(&'a str, &'a str)>, f64)>;

/// Renders the metrics.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    let settings = &report.settings;
    let name = settings.name.as_deref().unwrap_or("");
    let run = [("run", settings.id.as_str()), ("name", name), ("host", &settings.host)];
    let mut metric = |name: &str, kind: &str, help: &str, samples: Samples| {
        if samples.is_empty() {
            return;
        }
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (own, value) in samples {
            let labels: Vec<String> =
                run.iter().chain(&own).map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
            let _ = writeln!(text, "{name}{{{}}} {value}", labels.join(","));
        }
    };
    let one = |value: Option<f64>| value.map(|value| (Vec::new(), value)).into_iter().collect::<Vec<_>>();
    let by_component =
        report.components.iter().filter_map(|component| Some((labels(component).to_vec(), component.energy_j()?)));
    metric("carbontracker_energy_joules_total", "counter", "Energy of the run by component.", by_component.collect());
    metric(
        "carbontracker_co2eq_grams_total",
        // An hourly figure may be corrected downwards.
        if report.emissions.sources.is_some() { "gauge" } else { "counter" },
        "Emissions of the run, CO2 equivalent, including the facility.",
        one(report.co2eq_g()),
    );
    metric(
        "carbontracker_duration_seconds_total",
        "counter",
        "Time from the begin of the first epoch to the end of the last.",
        one(Some(report.totals.duration_s)),
    );
    metric("carbontracker_epochs_total", "counter", "Epochs ended.", one(Some(report.epochs_done as f64)));
    metric(
        "carbontracker_coverage_ratio",
        "gauge",
        "Share of the time that readings confirm.",
        one(report.totals.coverage),
    );
    metric(
        "carbontracker_intensity_grams_per_kwh",
        "gauge",
        "Carbon intensity of electricity.",
        one(Some(report.intensity.g_per_kwh)),
    );
    forecast(report, &mut metric);
    extras(report, &mut metric);
    errors(report, &mut metric);
    text
}

/// The error intervals of estimates.
fn errors(report: &Report, metric: &mut impl FnMut(&str, &str, &str, Samples)) {
    let of_component = report.components.iter().flat_map(|component| {
        bounds(component.error()).map(|(bound, factor)| ([labels(component).to_vec(), bound].concat(), factor))
    });
    metric(
        "carbontracker_component_error_ratio",
        "gauge",
        "Error of an estimated component: in nine cases of ten its true energy is between these multiples of it.",
        of_component.collect(),
    );
    metric(
        "carbontracker_error_ratio",
        "gauge",
        "Error of the run's energy, emissions, cost and water, which are partly estimated, as such multiples.",
        bounds(report.error()).collect(),
    );
}

fn bounds(error: Option<ErrorBand>) -> impl Iterator<Item = (Vec<(&'static str, &'static str)>, f64)> {
    let ends = error.into_iter().flat_map(|band| [("low", band.low), ("high", band.high)]);
    ends.map(|(bound, factor)| (vec![("bound", bound)], factor))
}

/// The labels that identify a component.
fn labels(component: &ComponentReport) -> [(&str, &str); 5] {
    let channel = &component.channel;
    [
        ("component", channel.kind.name()),
        ("device", channel.device.as_str()),
        ("id", channel.id.as_str()),
        ("source", channel.source.as_str()),
        ("method", channel.method.name()),
    ]
}

/// The forecast of the whole run.
fn forecast(report: &Report, metric: &mut impl FnMut(&str, &str, &str, Samples)) {
    let bounds = |estimate: Option<Estimate>| match estimate {
        Some(e) => [("value", e.value), ("low", e.low), ("high", e.high)]
            .map(|(bound, value)| (vec![("bound", bound)], value))
            .to_vec(),
        None => Vec::new(),
    };
    metric(
        "carbontracker_forecast_energy_joules",
        "gauge",
        "Energy forecast for the whole run.",
        bounds(report.forecast_j()),
    );
    metric(
        "carbontracker_forecast_co2eq_grams",
        "gauge",
        "Emissions forecast for the whole run.",
        bounds(report.forecast_co2eq_g()),
    );
    metric(
        "carbontracker_forecast_duration_seconds",
        "gauge",
        "Time forecast for the whole run.",
        bounds(report.forecast.and_then(|f| f.duration_s)),
    );
}

/// Other impacts, by the user's rates.
fn extras(report: &Report, metric: &mut impl FnMut(&str, &str, &str, Samples)) {
    let (rates, used) = (&report.rates, report.used());
    let currency = rates.price.as_ref().and_then(|price| price.currency.as_deref());
    let currency: Vec<(&str, &str)> = currency.map(|currency| ("currency", currency)).into_iter().collect();
    let cost = rates.cost(used).map(|amount| (currency, amount));
    metric("carbontracker_cost_total", "counter", "Cost of the run's electricity.", cost.into_iter().collect());
    let water = rates.water(used);
    let places = [("on_site", water.on_site_l), ("off_site", water.off_site_l)];
    let water = places.into_iter().filter_map(|(place, litres)| Some((vec![("place", place)], litres?)));
    metric("carbontracker_water_litres_total", "counter", "Water used for the run.", water.collect());
    let marginal = report.marginal.as_ref().and_then(|marginal| marginal.co2eq_g).map(|grams| (Vec::new(), grams));
    metric(
        "carbontracker_marginal_co2eq_grams_total",
        "gauge", // an hourly figure may be corrected downwards
        "Emissions of the run at marginal intensities; not in carbontracker_co2eq_grams_total.",
        marginal.into_iter().collect(),
    );
    let embodied = rates.embodied_g(used).map(|grams| (Vec::new(), grams));
    metric(
        "carbontracker_embodied_co2eq_grams_total",
        "counter",
        "Share of the emissions from making the devices; not in carbontracker_co2eq_grams_total.",
        embodied.into_iter().collect(),
    );
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
