//! Metrics of OpenTelemetry, as the JSON of OTLP/HTTP. Pure.

use super::exported_run::{EnergyOrigin, ExportedRun, ExportedRuns};
use carbontracker::forecast::uncertainty::ends;
use carbontracker::units::J_PER_KWH;
use serde_json::{Value, json};

/// The name of the scope of all metrics.
const SCOPE: &str = "carbontracker";
/// `AGGREGATION_TEMPORALITY_CUMULATIVE`: sums are counted from the start of the run.
const CUMULATIVE: u8 = 2;

/// The request `ExportMetricsServiceRequest`: a resource for each run.
pub fn request(runs: &ExportedRuns) -> Value {
    json!({"resourceMetrics": runs.runs.iter().map(resource).collect::<Vec<_>>()})
}

fn resource(run: &ExportedRun) -> Value {
    let words = [
        ("service.name", Some(run.label())),
        ("service.instance.id", Some(run.entry.id.as_str())),
        ("host.name", run.entry.host.as_deref()),
        ("carbontracker.job", run.entry.job.as_deref()),
        ("carbontracker.state", run.entry.state.as_deref()),
        ("carbontracker.energy.origin", run.origin().map(EnergyOrigin::word)),
        ("carbontracker.zone", run.word("/intensity/zone")),
    ];
    json!({
        "resource": {"attributes": attributes(&words)},
        "scopeMetrics": [{"scope": {"name": SCOPE, "version": env!("CARGO_PKG_VERSION")}, "metrics": metrics(run)}],
    })
}

/// Attributes of known value.
fn attributes(words: &[(&str, Option<&str>)]) -> Value {
    let known = words.iter().filter_map(|(key, value)| Some(json!({"key": key, "value": {"stringValue": (*value)?}})));
    known.collect()
}

/// The metrics of known value.
fn metrics(run: &ExportedRun) -> Vec<Value> {
    let entry = &run.entry;
    let whole = |value: Option<f64>| value.map(|value| point(run, value, &[])).into_iter().collect::<Vec<_>>();
    let components = run.list("/components").iter();
    let word = |one: &'_ Value, name: &str| one.get(name).and_then(Value::as_str).map(str::to_owned);
    let devices = components.filter_map(|one| {
        let [kind, device, id, host] = ["kind", "device", "id", "host"].map(|name| word(one, name));
        let words = [
            ("hw.type", kind.as_deref()),
            ("hw.name", device.as_deref()),
            ("hw.id", id.as_deref()),
            ("host.name", host.as_deref()),
        ];
        Some(point(run, one.get("energy_j")?.as_f64()?, &words))
    });
    let [low, high] = ends(entry.co2eq_g, entry.error);
    let intensity = run.number("/intensity/g_per_kwh");
    let facility_j = entry.facility_kwh.map(|kwh| kwh * J_PER_KWH);
    let all = [
        sum("carbontracker.energy", "J", "Energy of each device", devices.collect()),
        sum("carbontracker.facility.energy", "J", "Energy of all devices times PUE", whole(facility_j)),
        sum("carbontracker.emissions", "g{CO2e}", "Emissions of the facility's energy", whole(entry.co2eq_g)),
        gauge("carbontracker.emissions.low", "g{CO2e}", "Lower end of an estimate's interval", whole(low)),
        gauge("carbontracker.emissions.high", "g{CO2e}", "Upper end of an estimate's interval", whole(high)),
        sum("carbontracker.duration", "s", "Time of the run", whole(entry.duration_s)),
        sum("carbontracker.epochs", "{epoch}", "Ended epochs", whole(Some(entry.epochs as f64))),
        gauge("carbontracker.intensity", "g{CO2e}/kWh", "Mean carbon intensity", whole(intensity)),
        gauge("carbontracker.pue", "1", "Facility energy over IT energy", whole(entry.pue)),
    ];
    all.into_iter().flatten().collect()
}

/// A value of the run at its end.
fn point(run: &ExportedRun, value: f64, words: &[(&str, Option<&str>)]) -> Value {
    let nanos = |unix_s: Option<f64>| unix_s.map(|unix_s| ((unix_s * 1e9) as u64).to_string());
    let mut point = json!({"asDouble": value, "attributes": attributes(words)});
    let times = [("startTimeUnixNano", nanos(run.entry.from)), ("timeUnixNano", nanos(run.entry.to))];
    for (name, time) in times {
        point
            .as_object_mut()
            .zip(time)
            .into_iter()
            .for_each(|(point, time)| drop(point.insert(name.into(), time.into())));
    }
    point
}

/// A value that only grows. None: it is unknown.
fn sum(name: &str, unit: &str, description: &str, points: Vec<Value>) -> Option<Value> {
    let data = json!({"aggregationTemporality": CUMULATIVE, "isMonotonic": true, "dataPoints": points});
    has_points(&data).then(|| json!({"name": name, "unit": unit, "description": description, "sum": data}))
}

/// A value that rises and falls. None: it is unknown.
fn gauge(name: &str, unit: &str, description: &str, points: Vec<Value>) -> Option<Value> {
    let data = json!({"dataPoints": points});
    has_points(&data).then(|| json!({"name": name, "unit": unit, "description": description, "gauge": data}))
}

fn has_points(data: &Value) -> bool {
    data.get("dataPoints").and_then(Value::as_array).is_some_and(|points| !points.is_empty())
}
