//! The report as JSON, section by section: a single number need not build the whole.

use super::time_series::PowerPoint;
use super::{ComponentReport, EpochRow, Report, equivalents};
use crate::carbon::impacts::Use;
use crate::carbon::intensity::curve::Piece;
use crate::carbon::intensity::zones::RegionFacility;
use crate::carbon::intensity::{EmissionsBasis, PowerUse};
use crate::carbon::what_if::{OwnYearly, RunPart, WhatIf, WhatIfStart, WhatIfZone};
use crate::forecast::uncertainty::{Uncertainty, ends};
use crate::forecast::{Estimate, Forecast};
use crate::measurement::channel::{DeviceKind, ErrorBand};
use crate::measurement::source::Unavailable;
use crate::units::{J_PER_KWH, instant};
use serde_json::{Map, Value, json};

/// Version of the layout: grows when a name or meaning changes, not when something is added.
pub const SCHEMA: u64 = 1;

const SECTIONS: [&str; 17] = [
    "schema",
    "run",
    "usage",
    "forecast",
    "intensity",
    "pue",
    "facility",
    "components",
    "unavailable",
    "job",
    "epochs",
    "power",
    "forecasts",
    "equivalents",
    "what_if",
    "extras",
    "notes",
];

/// The whole, as text.
pub fn render(report: &Report) -> String {
    let mut text = whole(report).to_string();
    text.push('\n');
    text
}

/// The whole.
pub fn whole(report: &Report) -> Value {
    let sections = SECTIONS.iter().filter_map(|name| Some(((*name).to_owned(), section(report, name)?)));
    Value::Object(sections.collect::<Map<String, Value>>())
}

/// The value at a JSON Pointer (RFC 6901), building only its section.
pub fn at(report: &Report, pointer: &str) -> Option<Value> {
    let rest = pointer.strip_prefix('/')?;
    let (name, _) = rest.split_once('/').unwrap_or((rest, ""));
    let section = section(report, name)?;
    let within = pointer.get(1 + name.len()..)?;
    if name != "epochs" {
        return section.pointer(within).cloned();
    }
    // The report carries the one epoch asked for, whatever its place.
    let within = within.strip_prefix('/')?;
    let (_, within) = within.split_at(within.find('/').unwrap_or(within.len()));
    section.get(0)?.pointer(within).cloned()
}

pub fn section(report: &Report, name: &str) -> Option<Value> {
    Some(match name {
        "schema" => json!(SCHEMA),
        "run" => run(report),
        "usage" => usage(report),
        "forecast" => forecast(report),
        "intensity" => intensity(report),
        "pue" => json!(report.bill.pue),
        "facility" => facility(report),
        "components" => report.components.iter().map(ComponentReport::json).collect(),
        "unavailable" => {
            let here = report.unavailable.iter().map(|one| unavailable(one, None));
            here.chain(report.elsewhere.iter().map(|one| unavailable(&one.unavailable, Some(one.process)))).collect()
        }
        "job" => report.job.as_ref().map_or(Value::Null, |job| job.json(report.job_g(), report.error())),
        "epochs" => report.epochs.iter().map(EpochRow::json).collect(),
        "power" => power(&report.course.power),
        "forecasts" => report.course.forecasts.iter().map(|forecast| then(forecast, report.uncertainty)).collect(),
        "equivalents" => equivalents(report.co2eq_g(), report.error()),
        "what_if" => report.what_if.as_ref().map_or(Value::Null, |of| what_if(of, report)),
        "extras" => extras(report),
        "notes" => json!(report.notes),
        _ => return None,
    })
}

/// One source that is not measured; with the process that counts its device, if another process does.
fn unavailable(one: &Unavailable, counted_by: Option<Option<u32>>) -> Value {
    json!({
        "source": one.source,
        "reason": one.reason,
        "cure": one.cure,
        "counted_elsewhere": counted_by.is_some(),
        "counted_by_pid": counted_by.flatten(),
    })
}

fn run(report: &Report) -> Value {
    let setting = &report.setting;
    json!({
        "id": setting.id,
        "name": setting.name,
        "host": setting.host,
        "job": setting.job,
        "rank": setting.rank.number,
        "ranks": setting.rank.of,
        "version": env!("CARGO_PKG_VERSION"),
        "interval_s": setting.interval_s,
        "started": setting.started,
        "last_end_unix_s": report.last_end_unix_s,
        "state": report.state,
        "epochs_planned": setting.planned,
        "epochs_done": report.epochs_done,
        "progress": report.progress,
        "resumed": report.resumed.map(|(times, lost)| json!({
            "times": times,
            "lost_epochs": lost.times,
            "lost_s": lost.seconds,
            "lost_j": lost.joules,
        })),
    })
}

fn usage(report: &Report) -> Value {
    let energy_j = report.energy_j();
    let error = report.error().filter(|_| energy_j.is_some());
    let kwh = energy_j.map(|joules| joules / J_PER_KWH);
    let facility_kwh = energy_j.map(|joules| report.bill.facility_kwh(joules));
    let mut usage = Map::from_iter([("duration_s".to_owned(), json!(report.duration_s))]);
    usage.append(&mut figures([energy_j, kwh, facility_kwh, report.co2eq_g()].map(|amount| (amount, error))));
    let more = [
        ("coverage", json!(report.coverage)),
        ("epochs", json!({"duration_s": report.epochs_s, "energy_j": report.epochs_j})),
        ("between", json!({"duration_s": report.between_s, "energy_j": report.between_j})),
    ];
    usage.extend(more.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(usage)
}

/// What rests on energy, each amount with the ends of its interval; these are null where all of it is measured.
const FIGURES: [[&str; 3]; 4] = [
    ["energy_j", "energy_low_j", "energy_high_j"],
    ["energy_kwh", "energy_low_kwh", "energy_high_kwh"],
    ["facility_energy_kwh", "facility_energy_low_kwh", "facility_energy_high_kwh"],
    ["co2eq_g", "co2eq_low_g", "co2eq_high_g"],
];

/// The fields of `usage` that rest on energy: that in J and in kWh, that of the facility, and emissions, g CO2e; each with
/// how far off it may be, which the energy has as `error`.
pub fn figures(amounts: [(Option<f64>, Option<ErrorBand>); FIGURES.len()]) -> Map<String, Value> {
    let [(_, error), ..] = amounts;
    let fields = FIGURES.into_iter().zip(amounts).flat_map(|([name, low, high], (amount, error))| {
        let [at_least, at_most] = ends(amount, error);
        [(name, json!(amount)), (low, json!(at_least)), (high, json!(at_most))]
    });
    let fields = fields.chain([("error", json!(error.map(ErrorBand::json)))]);
    fields.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn forecast(report: &Report) -> Value {
    let Some(forecast) = report.forecast else { return Value::Null };
    json!({
        "after_epochs": forecast.after_epochs,
        "level": forecast.level,
        "duration_s": forecast.duration_s.map(estimate),
        "energy_j": report.forecast_j().map(estimate),
        "co2eq_g": report.forecast_co2eq_g().map(estimate),
        "remaining": {
            "duration_s": report.remaining_s().map(estimate),
            "energy_j": report.remaining_j().map(estimate),
            "co2eq_g": report.remaining_g().map(estimate),
        },
    })
}

fn estimate(e: Estimate) -> Value {
    json!({"value": e.value, "low": e.low, "high": e.high})
}

/// The forecast as it was.
fn then(forecast: &Forecast, uncertainty: Uncertainty) -> Value {
    json!({
        "after_epochs": forecast.after_epochs,
        "duration_s": forecast.duration_s.map(estimate),
        "energy_j": forecast.energy_j.map(|energy| estimate(uncertainty.of_total(energy))),
    })
}

/// Power by time: a column a kind that is measured.
pub fn power(points: &[PowerPoint]) -> Value {
    let column = |kind: DeviceKind| {
        let watts = || points.iter().map(|power| power.watts.get(kind as usize).copied().flatten());
        watts().any(|watts| watts.is_some()).then(|| watts().collect::<Vec<_>>())
    };
    let [cpu_w, gpu_w, dram_w, node_w] = DeviceKind::ALL.map(column);
    if [&cpu_w, &gpu_w, &dram_w, &node_w].iter().all(|column| column.is_none()) {
        return Value::Null;
    }
    let times = |of: fn(&PowerPoint) -> f64| points.iter().map(of).collect::<Vec<_>>();
    json!({
        "from": times(|power| power.from),
        "to": times(|power| power.to),
        "cpu_w": cpu_w,
        "gpu_w": gpu_w,
        "dram_w": dram_w,
        "node_w": node_w,
    })
}

fn hours(pieces: &[Piece]) -> Value {
    let column = |of: fn(&Piece) -> f64| pieces.iter().map(of).collect::<Vec<_>>();
    json!({"from": column(|p| p.from), "to": column(|p| p.to), "g_per_kwh": column(|p| p.g_per_kwh)})
}

fn intensity(report: &Report) -> Value {
    let (i, sources) = (&report.intensity, report.bill.sources);
    json!({
        "g_per_kwh": i.g_per_kwh,
        "kind": i.kind.as_str(),
        "zone": i.zone,
        "year": i.year,
        "basis": i.basis.map(EmissionsBasis::as_str),
        "use": i.power_use.map(PowerUse::as_str),
        "source": i.source,
        "slots_used": sources.map(|sources| sources.slots),
        "coverage": sources.and_then(|sources| sources.covered),
        "metered_share": sources.and_then(|sources| sources.metered),
        "hours": report.course.hours.as_deref().filter(|_| i.is_by_hour()).map(hours),
    })
}

/// Where its rates are those of a cloud region.
fn facility(report: &Report) -> Value {
    let facility = &report.facility;
    let Some(region) = facility.region() else { return Value::Null };
    let (pue, wue) = (facility.pue().unzip(), facility.wue().unzip());
    let source = RegionFacility::SOURCE;
    json!({"region": region, "pue": pue.0, "pue_year": pue.1, "wue": wue.0, "wue_year": wue.1, "source": source})
}

fn what_if(what_if: &WhatIf, report: &Report) -> Value {
    let error = if what_if.of == RunPart::Forecast { report.forecast_error() } else { report.error() };
    json!({
        "of": what_if.of.as_str(),
        "error": error.map(ErrorBand::json),
        "duration_s": what_if.duration_s,
        "facility_energy_kwh": what_if.facility_kwh,
        "co2eq_g": what_if.co2eq_g,
        "zones": what_if.zones.iter().map(there).collect::<Value>(),
        "own": what_if.own.as_ref().map(own),
        "start": what_if.start.map(|best| start(best, what_if.facility_kwh)),
        "note": what_if.note,
    })
}

/// The run where it is, by figures of the others' kind.
fn own(own: &OwnYearly) -> Value {
    let OwnYearly { yearly, co2eq_g } = own;
    json!({
        "g_per_kwh": yearly.g_per_kwh,
        "co2eq_g": co2eq_g,
        "year": yearly.year,
        "basis": yearly.basis.map(EmissionsBasis::as_str),
        "use": yearly.power_use.map(PowerUse::as_str),
        "source": yearly.source,
    })
}

fn there(there: &WhatIfZone) -> Value {
    let yearly = &there.place.yearly;
    json!({
        "zone": yearly.zone,
        "name": there.place.name,
        "g_per_kwh": yearly.g_per_kwh,
        "co2eq_g": there.co2eq_g,
        "saves_g": there.saves_g,
        "saves_share": there.saves_share,
        "year": yearly.year,
        "basis": yearly.basis.map(EmissionsBasis::as_str),
        "use": yearly.power_use.map(PowerUse::as_str),
        "source": yearly.source,
    })
}

fn start(start: WhatIfStart, facility_kwh: Option<f64>) -> Value {
    let grams = |g_per_kwh: f64| facility_kwh.map(|kwh| kwh * g_per_kwh);
    json!({
        "at": instant(start.at),
        "unix_s": start.at,
        "delay_s": start.delay_s,
        "g_per_kwh": start.g_per_kwh,
        "now_g_per_kwh": start.now_g_per_kwh,
        "co2eq_g": grams(start.g_per_kwh),
        "now_co2eq_g": grams(start.now_g_per_kwh),
        "saves_g": grams(start.now_g_per_kwh - start.g_per_kwh),
        "saves_share": start.saves_share(),
        "until": instant(start.until),
    })
}

/// What the user gave rates for; the rest is null.
fn extras(report: &Report) -> Value {
    let (rates, used, whole) = (&report.rates, report.used(), report.forecast_use());
    let forecast = |of: &dyn Fn(Use) -> Option<f64>| whole.and_then(of);
    let water = rates.water(used);
    let [error, forecast_error] =
        [report.error(), whole.and_then(|_| report.forecast_error())].map(|band| band.map(ErrorBand::json));
    json!({
        "cost": rates.price.as_ref().map(|price| json!({
            "error": error,
            "forecast_error": forecast_error,
            "amount": rates.cost(used),
            "forecast": forecast(&|whole| rates.cost(whole)),
            "currency": price.currency,
            "per_kwh": price.per_kwh,
        })),
        "water": rates.has_water().then(|| json!({
            "error": error,
            "forecast_error": forecast_error,
            "litres": water.litres(),
            "forecast_litres": forecast(&|whole| rates.water(whole).litres()),
            "on_site_l": water.on_site_l,
            "off_site_l": water.off_site_l,
        })),
        "embodied": rates.embodied_kg.map(|kg| json!({
            "co2eq_g": rates.embodied_g(used),
            "forecast_co2eq_g": forecast(&|whole| rates.embodied_g(whole)),
            "kg": kg,
            "life_years": rates.life_years,
        })),
        "marginal": report.marginal.as_ref().map(|marginal| json!({
            "error": error,
            "forecast_error": forecast_error,
            "co2eq_g": marginal.co2eq_g,
            "forecast_co2eq_g": marginal.forecast_g.map(|grams| grams.value),
            "g_per_kwh": marginal.intensity.g_per_kwh,
            "zone": marginal.intensity.zone,
            "source": marginal.intensity.source,
            "coverage": marginal.coverage,
        })),
    })
}
