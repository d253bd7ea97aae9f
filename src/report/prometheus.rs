//! The report in the text format of Prometheus, for the textfile collector of node_exporter or a scrape.
//!
//! The name, type and labels of a metric depend on no option and no state. The files of several runs are often in one
//! folder, where a second type of a metric is an error. A metric that may fall is a gauge, because Prometheus takes a
//! counter that falls for a new one, and adds it again.

use super::{ComponentReport, Report, RunPhase, phases, share};
use crate::forecast::Estimate;
use crate::measurement::channel::DeviceKind;
use crate::units::ErrorBand;
use std::fmt::Write;

/// A metric. Files give its help and type before its values.
struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: "counter", help }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: "gauge", help }
}

const ENERGY: Metric = counter("carbontracker_energy_joules_total", "Energy of the run by component.");
const POWER: Metric = gauge(
    "carbontracker_power_watts",
    "Mean power of the newest seconds by kind of component; none once the run has ended.",
);
const CO2EQ: Metric =
    gauge("carbontracker_co2eq_grams", "Emissions of the run, CO2 equivalent, including the facility.");
const DURATION: Metric =
    counter("carbontracker_duration_seconds_total", "Time from the begin of the first epoch to the end of the last.");
const EPOCHS: Metric = counter("carbontracker_epochs_total", "Epochs ended.");
const PROGRESS: Metric =
    gauge("carbontracker_progress_ratio", "Share of the run that is done, by its planned epochs or its progress.");
const OTHERS: Metric = gauge(
    "carbontracker_others_energy_joules",
    "Energy of other programs on a shared node by kind of component; only with scope=job.",
);
const PHASE_ENERGY: Metric = gauge(
    "carbontracker_phase_energy_joules",
    "Energy of a named phase without the phases within it; empty name: in no phase.",
);
const PHASE_DURATION: Metric =
    counter("carbontracker_phase_duration_seconds_total", "Time in a named phase without the phases within it.");
const PHASE_ENTRIES: Metric = counter("carbontracker_phase_entries_total", "How often a named phase began.");
const STATE: Metric =
    gauge("carbontracker_state", "1 for the state of the run when this was written, 0 for the other states.");
const UPDATED: Metric =
    gauge("carbontracker_updated_timestamp_seconds", "Time when this was written, in seconds since 1970.");
const COVERAGE: Metric = gauge("carbontracker_coverage_ratio", "Share of the time that readings confirm.");
const INTENSITY: Metric = gauge("carbontracker_intensity_grams_per_kwh", "Carbon intensity of electricity.");
const FORECAST_ENERGY: Metric = gauge("carbontracker_forecast_energy_joules", "Energy forecast for the whole run.");
const FORECAST_CO2EQ: Metric = gauge("carbontracker_forecast_co2eq_grams", "Emissions forecast for the whole run.");
const FORECAST_DURATION: Metric = gauge("carbontracker_forecast_duration_seconds", "Time forecast for the whole run.");
const COST: Metric = counter("carbontracker_cost_total", "Cost of the run's electricity.");
const WATER: Metric = counter("carbontracker_water_litres_total", "Water used for the run.");
const EMBODIED: Metric = counter(
    "carbontracker_embodied_co2eq_grams_total",
    "Share of the emissions from making the devices; not in carbontracker_co2eq_grams.",
);
const MARGINAL: Metric = gauge(
    "carbontracker_marginal_co2eq_grams",
    "Emissions of the run at marginal intensities; not in carbontracker_co2eq_grams.",
);
const COMPONENT_ERROR: Metric = gauge(
    "carbontracker_component_error_ratio",
    "Error of an estimated component: in nine cases of ten its true energy is between these multiples of it.",
);
const ERROR: Metric = gauge(
    "carbontracker_error_ratio",
    "Error of the run's energy, emissions, cost and water, which are partly estimated, as such multiples.",
);

/// Values of a metric, each with its own labels.
type Samples<'a> = Vec<(Vec<(&'a str, &'a str)>, f64)>;

/// The text, as far as it is written.
struct Page<'a> {
    text: String,
    /// The labels that each value has.
    run: [(&'a str, &'a str); 3],
}

impl Page<'_> {
    /// Adds a metric; without values it is left out.
    fn add<'b>(&mut self, metric: &Metric, samples: impl IntoIterator<Item = (Vec<(&'b str, &'b str)>, f64)>) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        let Metric { name, kind, help } = metric;
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (own, value) in samples {
            let labels: Vec<String> =
                self.run.iter().chain(&own).map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
            let _ = writeln!(self.text, "{name}{{{}}} {value}", labels.join(","));
        }
    }

    /// Adds a metric of one value; an unknown value is left out.
    fn one(&mut self, metric: &Metric, value: Option<f64>) {
        self.add(metric, value.map(|value| (Vec::new(), value)));
    }
}

/// Renders the metrics.
pub fn render(report: &Report) -> String {
    let settings = &report.settings;
    let name = settings.name.as_deref().unwrap_or("");
    let run = [("run", settings.id.as_str()), ("name", name), ("host", &settings.host)];
    let mut page = Page { text: String::new(), run };
    let by_component =
        report.components.iter().filter_map(|component| Some((labels(component).to_vec(), component.energy_j()?)));
    page.add(&ENERGY, by_component);
    let power = DeviceKind::ALL.into_iter().zip(report.power_now);
    page.add(&POWER, power.filter_map(|(kind, watts)| Some((vec![("component", kind.name())], watts?))));
    page.one(&CO2EQ, report.co2eq_g());
    page.one(&DURATION, Some(report.totals.duration_s));
    // Pieces of the run's progress are no epochs once an epoch begins, and a counter must not fall.
    page.one(&EPOCHS, Some(if report.is_divided { 0.0 } else { report.epochs_done as f64 }));
    page.one(&PROGRESS, progress(report));
    let state = |phase: RunPhase| (vec![("state", phase.as_str())], f64::from(phase == report.phase));
    page.add(&STATE, RunPhase::ALL.map(state));
    page.one(&UPDATED, report.taken_unix_s);
    page.one(&COVERAGE, report.totals.coverage);
    page.one(&INTENSITY, Some(report.intensity.g_per_kwh));
    page.add(&OTHERS, share::others(&report.share).map(|(kind, joules)| (vec![("component", kind)], joules)));
    let phases = report.section("phases");
    page.add(&PHASE_ENERGY, phases::samples(&phases, "/own/energy_j"));
    page.add(&PHASE_DURATION, phases::samples(&phases, "/own/duration_s"));
    page.add(&PHASE_ENTRIES, phases::samples(&phases, "/entries"));
    forecast(report, &mut page);
    extras(report, &mut page);
    errors(report, &mut page);
    page.text
}

/// The share of the run that is done; None: how much there is to do is unknown.
fn progress(report: &Report) -> Option<f64> {
    let planned = report.settings.planned as f64;
    let by_epochs = || (planned > 0.0).then(|| (report.epochs_done as f64 + report.progress.unwrap_or(0.0), planned));
    let (done, total) = report.work.or_else(by_epochs)?;
    Some(done / total).filter(|share| share.is_finite()).map(|share| share.min(1.0))
}

/// The error intervals of estimates.
fn errors(report: &Report, page: &mut Page) {
    let of_component = report.components.iter().flat_map(|component| {
        bounds(component.error()).map(|(bound, factor)| ([labels(component).to_vec(), bound].concat(), factor))
    });
    page.add(&COMPONENT_ERROR, of_component);
    page.add(&ERROR, bounds(report.error()));
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
fn forecast(report: &Report, page: &mut Page) {
    let bounds = |estimate: Option<Estimate>| -> Samples {
        let ends = |e: Estimate| [("value", e.value), ("low", e.low), ("high", e.high)];
        estimate.into_iter().flat_map(ends).map(|(bound, value)| (vec![("bound", bound)], value)).collect()
    };
    page.add(&FORECAST_ENERGY, bounds(report.forecast_j()));
    page.add(&FORECAST_CO2EQ, bounds(report.forecast_co2eq_g()));
    page.add(&FORECAST_DURATION, bounds(report.forecast.and_then(|f| f.duration_s)));
}

/// Other impacts, by the user's rates.
fn extras(report: &Report, page: &mut Page) {
    let (rates, used) = (&report.rates, report.used());
    let currency = rates.price.as_ref().and_then(|price| price.currency.as_deref()).unwrap_or("");
    page.add(&COST, rates.cost(used).map(|amount| (vec![("currency", currency)], amount)));
    let water = rates.water(used);
    let places = [("on_site", water.on_site_l), ("off_site", water.off_site_l)];
    page.add(&WATER, places.into_iter().filter_map(|(place, litres)| Some((vec![("place", place)], litres?))));
    page.one(&MARGINAL, report.marginal.as_ref().and_then(|marginal| marginal.co2eq_g));
    page.one(&EMBODIED, rates.embodied_g(used));
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
