//! A report in the JSON format of BoAmps (Boavizta): the energy of a task of machine learning. Pure.

use super::exported_run::{EnergyOrigin, ExportedRun};
use carbontracker::carbon::intensity::zones::ZoneCountry;
use carbontracker::units::{ErrorBand, instant};
use serde_json::{Map, Value, json};

const FORMAT_VERSION: &str = "0.1";
const FORMAT_URI: &str = "https://github.com/Boavizta/BoAmps/tree/main/model";

/// The fields that BoAmps requires, and that a run may not know. No measurement knows those of `task`.
const REQUIRED: [&str; 7] = [
    "/header/reportDatetime",
    "/task/taskStage",
    "/task/taskFamily",
    "/task/algorithms",
    "/task/dataset",
    "/measures/0/powerConsumption",
    "/infrastructure/components/0",
];

/// The report. `context` has fields that no measurement knows; its values count before those of the run.
pub fn report(run: &ExportedRun, context: Option<Value>) -> Value {
    let mut report = json!({
        "header": header(run),
        "task": task(run),
        "measures": [measure(run)],
        "infrastructure": infrastructure(run),
        "environment": environment(run),
        "quality": quality(run),
    });
    if let Some(context) = context {
        merge(&mut report, context);
    }
    prune(&mut report);
    report
}

/// The required fields that a report lacks, as JSON Pointers.
pub fn missing(report: &Value) -> Vec<&'static str> {
    REQUIRED.into_iter().filter(|field| report.pointer(field).is_none()).collect()
}

fn header(run: &ExportedRun) -> Value {
    json!({
        "formatVersion": FORMAT_VERSION,
        "formatVersionSpecificationUri": FORMAT_URI,
        "reportId": run.entry.id,
        "reportDatetime": run.entry.to.and_then(date),
        "reportStatus": if run.entry.is_unfinished() { "draft" } else { "final" },
    })
}

fn task(run: &ExportedRun) -> Value {
    let epochs = Some(run.entry.epochs).filter(|epochs| *epochs > 0);
    json!({
        "taskDescription": run.entry.name,
        "algorithms": epochs.map(|epochs| json!([{"epochsNumber": epochs}])),
    })
}

fn measure(run: &ExportedRun) -> Value {
    let sources = |kind: &str| {
        let mut names: Vec<&str> = run.of_kind(kind).filter_map(|one| one.get("source")?.as_str()).collect();
        names.dedup();
        Some(names.join(", ")).filter(|all| !all.is_empty())
    };
    json!({
        "measurementMethod": "carbontracker",
        "version": run.entry.version,
        "cpuTrackingMode": sources("cpu"),
        "gpuTrackingMode": sources("gpu"),
        "powerConsumption": run.entry.facility_kwh,
        "measurementDuration": run.entry.duration_s,
        "measurementDateTime": run.entry.from.and_then(date),
    })
}

fn infrastructure(run: &ExportedRun) -> Value {
    let cloud = run.cloud();
    let component = |kind: &'static str, called: &'static str| {
        let devices = run.devices_of(kind).into_iter();
        devices.map(move |(count, name)| json!({"componentName": name, "componentType": called, "nbComponent": count}))
    };
    let components: Vec<Value> = [("cpu", "cpu"), ("gpu", "gpu"), ("dram", "ram"), ("node", "node")]
        .into_iter()
        .flat_map(|(kind, called)| component(kind, called))
        .collect();
    json!({
        // Whether another machine is on the user's premises is unknown; the format requires a value.
        "infraType": if cloud.is_some() { "publicCloud" } else { "other" },
        "cloudProvider": cloud.map(|(provider, _)| provider),
        "components": components,
    })
}

/// None: the country is unknown, which the format requires here.
fn environment(run: &ExportedRun) -> Option<Value> {
    let ZoneCountry { name, part, .. } = run.country()?;
    let g_per_kwh = run.number("/intensity/g_per_kwh");
    Some(json!({"country": name, "location": part, "powerSourceCarbonIntensity": g_per_kwh}))
}

/// The words of BoAmps: an error of 10, 25 or 50 %. None: the error is larger, or the energy is not measured.
fn quality(run: &ExportedRun) -> Option<&'static str> {
    match (run.origin()?, run.entry.error) {
        (EnergyOrigin::Measured, None) => Some("high"),
        (EnergyOrigin::Measured | EnergyOrigin::Estimated, Some(ErrorBand { low, high })) => {
            let words = [(0.1, "high"), (0.25, "medium"), (0.5, "low")];
            words.into_iter().find(|(error, _)| low >= 1.0 - error && high <= 1.0 + error).map(|(_, word)| word)
        }
        _ => None,
    }
}

/// "2026-03-02 13:00:00", in UTC.
fn date(unix_s: f64) -> Option<String> {
    Some(instant(unix_s)?.replace('T', " ").trim_end_matches('Z').to_owned())
}

/// Puts the fields of `over` into a value, field by field.
fn merge(value: &mut Value, over: Value) {
    match (value, over) {
        (Value::Object(fields), Value::Object(over)) => {
            for (name, more) in over {
                merge(fields.entry(name).or_insert(Value::Null), more);
            }
        }
        (Value::Array(items), Value::Array(over)) if items.len() == over.len() => {
            items.iter_mut().zip(over).for_each(|(item, more)| merge(item, more));
        }
        (value, over) => *value = over,
    }
}

/// Removes fields that are null: unknown is absent.
fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let known = std::mem::take(fields).into_iter().filter(|(_, field)| !field.is_null());
            *fields = known.collect::<Map<_, _>>();
            fields.values_mut().for_each(prune);
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => (),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::exported_run::ExportedRuns;

    /// The fields of model/*_schema.json of BoAmps, as far as a run may fill them.
    const FIELDS: [&str; 26] = [
        "/header/formatVersion",
        "/header/formatVersionSpecificationUri",
        "/header/reportId",
        "/header/reportDatetime",
        "/header/reportStatus",
        "/task/taskDescription",
        "/task/algorithms/0/epochsNumber",
        "/measures/0/measurementMethod",
        "/measures/0/version",
        "/measures/0/cpuTrackingMode",
        "/measures/0/gpuTrackingMode",
        "/measures/0/powerConsumption",
        "/measures/0/measurementDuration",
        "/measures/0/measurementDateTime",
        "/infrastructure/infraType",
        "/infrastructure/cloudProvider",
        "/infrastructure/components/0/componentName",
        "/infrastructure/components/0/componentType",
        "/infrastructure/components/0/nbComponent",
        "/infrastructure/components/1/componentName",
        "/infrastructure/components/1/componentType",
        "/infrastructure/components/1/nbComponent",
        "/environment/country",
        "/environment/location",
        "/environment/powerSourceCarbonIntensity",
        "/quality",
    ];

    fn leaves(value: &Value, at: &str) -> Vec<String> {
        match value {
            Value::Object(fields) => {
                fields.iter().flat_map(|(name, field)| leaves(field, &format!("{at}/{name}"))).collect()
            }
            Value::Array(items) => {
                items.iter().enumerate().flat_map(|(n, item)| leaves(item, &format!("{at}/{n}"))).collect()
            }
            _ => vec![at.to_owned()],
        }
    }

    fn exported(started: Value) -> Value {
        let device =
            |kind: &str| json!({"kind": kind, "device": "X", "source": "s", "method": "counter", "energy_j": 1.0});
        let run = json!({
            "run": {"id": "a", "name": "b", "version": "1", "started": started, "epochs_done": 2},
            "usage": {"duration_s": 1.0, "energy_j": 2.0, "facility_energy_kwh": 1.0, "co2eq_g": 1.0},
            "intensity": {"zone": "US-CA", "g_per_kwh": 100.0}, "facility": {"region": "aws:us-west-1"},
            "components": [device("cpu"), device("gpu")],
        });
        report(ExportedRuns::of(vec![run]).unwrap().single("boamps").unwrap(), None)
    }

    #[test]
    fn fields_have_the_names_of_the_schema() {
        let mut written = leaves(&exported(json!("2026-03-02T13:00:00Z")), "");
        let mut known = FIELDS.map(str::to_owned);
        written.sort_unstable();
        known.sort_unstable();
        assert_eq!(written, known);
    }

    #[test]
    fn report_without_a_date_lacks_a_required_field() {
        assert!(missing(&exported(Value::Null)).contains(&"/header/reportDatetime"));
    }
}
