//! Rows of CodeCarbon's `emissions.csv`, with the columns of its release 3.3.2. Unknown cells are empty. Pure.

use super::exported_run::{ExportedRun, ExportedRuns};
use carbontracker::carbon::intensity::zones::ZoneCountry;
use carbontracker::clock::{LocalTime, UnixS};
use carbontracker::sanitize;
use carbontracker::units::instant;

/// The columns, in the order of CodeCarbon's `EmissionsData`.
pub const COLUMNS: [&str; 38] = [
    "timestamp",
    "project_name",
    "run_id",
    "experiment_id",
    "duration",
    "emissions",
    "emissions_rate",
    "cpu_power",
    "gpu_power",
    "ram_power",
    "cpu_energy",
    "gpu_energy",
    "ram_energy",
    "energy_consumed",
    "water_consumed",
    "country_name",
    "country_iso_code",
    "region",
    "cloud_provider",
    "cloud_region",
    "os",
    "python_version",
    "codecarbon_version",
    "cpu_count",
    "cpu_model",
    "gpu_count",
    "gpu_model",
    "longitude",
    "latitude",
    "ram_total_size",
    "tracking_mode",
    "cpu_utilization_percent",
    "gpu_utilization_percent",
    "ram_utilization_percent",
    "ram_used_gb",
    "on_cloud",
    "pue",
    "wue",
];

/// The place of `run_id` in a row.
pub const RUN_ID: usize = 2;

/// CodeCarbon's label for runs without a name.
const NAMELESS: &str = "codecarbon";

/// A row for each run. A column that is not filled stays empty.
pub fn rows(runs: &ExportedRuns, local: &LocalTime) -> Vec<[String; COLUMNS.len()]> {
    runs.runs.iter().map(|run| row(run, local)).collect()
}

fn row(run: &ExportedRun, local: &LocalTime) -> [String; COLUMNS.len()] {
    let cells: Vec<(&str, String)> = amounts(run)
        .into_iter()
        .filter_map(|(column, amount)| Some((column, amount?.to_string())))
        .chain(words(run, local).into_iter().filter_map(|(column, word)| Some((column, sanitize::cell(&word?)))))
        .collect();
    COLUMNS.map(|column| {
        let cell = cells.iter().find(|(known, _)| *known == column);
        cell.map(|(_, cell)| cell.clone()).unwrap_or_default()
    })
}

/// Energies in kWh and powers in W, both times PUE, as CodeCarbon has them; masses in kg.
fn amounts(run: &ExportedRun) -> Vec<(&'static str, Option<f64>)> {
    let entry = &run.entry;
    let kilograms = entry.co2eq_g.map(|grams| grams / 1e3);
    let rate = kilograms.zip(entry.duration_s).map(|(mass, seconds)| mass / seconds).filter(|rate| rate.is_finite());
    let watts = |kind: &str| Some(run.kind_w(kind)? * entry.pue?);
    let gpus = run.of_kind("gpu").count();
    vec![
        ("duration", entry.duration_s),
        ("emissions", kilograms),
        ("emissions_rate", rate),
        ("cpu_power", watts("cpu")),
        ("gpu_power", watts("gpu")),
        ("ram_power", watts("dram")),
        ("cpu_energy", run.kind_kwh("cpu")),
        ("gpu_energy", run.kind_kwh("gpu")),
        ("ram_energy", run.kind_kwh("dram")),
        ("energy_consumed", entry.facility_kwh),
        ("water_consumed", run.number("/extras/water/litres")),
        ("gpu_count", (gpus > 0).then_some(gpus as f64)),
        ("pue", entry.pue),
        ("wue", run.number("/facility/wue")),
    ]
}

fn words(run: &ExportedRun, local: &LocalTime) -> Vec<(&'static str, Option<String>)> {
    let entry = &run.entry;
    let country = run.country();
    let (provider, cloud_region) = run.cloud().unzip();
    let models = |kind: &str| {
        let devices = run.devices_of(kind).into_iter();
        let devices: Vec<String> = devices.map(|(count, name)| format!("{count} x {name}")).collect();
        Some(devices.join(", ")).filter(|all| !all.is_empty())
    };
    let processors: Vec<String> = run.devices_of("cpu").into_iter().map(|(_, name)| name).collect();
    vec![
        ("timestamp", entry.to.and_then(|end| timestamp(end, local))),
        ("project_name", Some(entry.name.clone().unwrap_or(NAMELESS.into()))),
        ("run_id", Some(entry.id.clone())),
        ("experiment_id", entry.job.clone()),
        ("country_name", country.map(|country| country.name.to_owned())),
        ("country_iso_code", country.map(|country| country.alpha3.to_owned())),
        ("region", country.and_then(|ZoneCountry { part, .. }| part).map(str::to_owned)),
        ("cloud_provider", provider.map(str::to_owned)),
        ("cloud_region", cloud_region.map(str::to_owned)),
        ("codecarbon_version", entry.version.as_ref().map(|version| format!("carbontracker {version}"))),
        ("cpu_model", Some(processors.join(", "))),
        ("gpu_model", models("gpu")),
        ("tracking_mode", Some("machine".into())),
        // The dashboard fails on an empty cell. CodeCarbon writes N where it knows of no cloud.
        ("on_cloud", Some(if provider.is_some() { "Y" } else { "N" }.into())),
    ]
}

/// A date as CodeCarbon has it: local time, to the second, without a zone.
fn timestamp(unix_s: f64, local: &LocalTime) -> Option<String> {
    let text = instant(unix_s + f64::from(local.offset_s(UnixS(unix_s))))?;
    Some(text.trim_end_matches('Z').to_owned())
}
