//! The report as JSON, section by section: a single number needs one section only.

use super::time_series::power_columns;
use super::{ComponentReport, EpochRow, Report, UsageTotals, equivalents, pointers};
use crate::carbon::impacts::Use;
use crate::carbon::intensity::curve::Piece;
use crate::carbon::intensity::zones::RegionFacility;
use crate::carbon::intensity::{EmissionsBasis, PowerUse};
use crate::carbon::what_if::{OwnYearly, RunPart, WhatIf, WhatIfStart, WhatIfZone};
use crate::forecast::uncertainty::{Uncertainty, ends};
use crate::forecast::{Estimate, Forecast};
use crate::measurement::unavailable::Unavailable;
use crate::state::EarlierRuns;
use crate::state::alerts::ForecastBasis;
use crate::state::config::Budgets;
use crate::units::ErrorBand;
use crate::units::{J_PER_KWH, instant};
use serde_json::{Map, Value, json};

/// Version of the layout. It grows when a name or a meaning changes, not when a field is added.
pub const SCHEMA: u64 = 1;

const SECTIONS: [&str; 19] = [
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
    "share",
    "epochs",
    "phases",
    "power",
    "forecasts",
    "equivalents",
    "what_if",
    "extras",
    "notes",
];

/// The report as JSON text.
pub fn render(report: &Report) -> String {
    let mut text = whole(report).to_string();
    text.push('\n');
    text
}

/// The whole report.
pub fn whole(report: &Report) -> Value {
    let sections = SECTIONS.iter().filter_map(|name| Some(((*name).to_owned(), section(report, name)?)));
    Value::Object(sections.collect::<Map<String, Value>>())
}

/// The value at a JSON Pointer (RFC 6901), or the number of a list's entries at `/length` after the list's pointer.
/// Only its section is built.
pub fn at(report: &Report, pointer: &str) -> Option<Value> {
    if pointer.is_empty() {
        return Some(whole(report));
    }
    if let Some(count) = report.epoch_count {
        return Some(json!(count));
    }
    let rest = pointer.strip_prefix('/')?;
    let (name, _) = rest.split_once('/').unwrap_or((rest, ""));
    let within = pointer.get(1 + name.len()..)?;
    if let Some(phases) = report.phases.as_ref().filter(|_| name == "phases") {
        return phases.at(report, within);
    }
    let section = section(report, name)?;
    let (entry, fields) = within.get(1..).map_or(("", ""), |rest| rest.split_at(rest.find('/').unwrap_or(rest.len())));
    if name == "epochs" && pointers::index(entry).is_some() {
        // The report has only the requested epoch, as the first of its list.
        return section.get(0)?.pointer(fields).cloned();
    }
    section.pointer(within).cloned().or_else(|| {
        let list = within.strip_suffix(pointers::LENGTH)?.strip_suffix('/')?;
        Some(json!(section.pointer(list)?.as_array()?.len()))
    })
}

/// A section by its name; None: there is no such section.
pub fn section(report: &Report, name: &str) -> Option<Value> {
    Some(match name {
        "schema" => json!(SCHEMA),
        "run" => run(report),
        "usage" => usage(report),
        "forecast" => forecast(report),
        "intensity" => intensity(report),
        "pue" => json!(report.emissions.pue),
        "facility" => facility(report),
        "components" => report.components.iter().map(ComponentReport::json).collect(),
        "unavailable" => {
            let here = report.unavailable.iter().map(|one| unavailable(one, None));
            let elsewhere = report.counted_elsewhere.iter();
            here.chain(elsewhere.map(|one| unavailable(&one.unavailable, Some(one.process)))).collect()
        }
        "job" => report.job.as_ref().map_or(Value::Null, |job| job.json(report.job_g(), report.error())),
        "share" => report.share.clone(),
        "epochs" => report.epochs.iter().map(EpochRow::json_with_bounds).collect(),
        "phases" => report.phases.as_ref().map_or(Value::Null, |phases| phases.section(report)),
        "power" => power_columns(&report.time_series.power),
        "forecasts" => {
            let forecasts = report.time_series.forecasts.iter();
            forecasts.map(|forecast| earlier_forecast(forecast, report.uncertainty)).collect()
        }
        "equivalents" => equivalents(report.co2eq_g(), report.error()),
        "what_if" => report.what_if.as_ref().map_or(Value::Null, |shown| what_if(shown, report)),
        "extras" => extras(report),
        "notes" => json!(report.notes),
        _ => return None,
    })
}

/// A source that does not measure here. `counted_by`: another process counts its device; the inner None: its number is
/// unknown.
fn unavailable(one: &Unavailable, counted_by: Option<Option<u32>>) -> Value {
    json!({
        "source": one.source.as_str(),
        "reason": one.reason,
        "cure": one.cure,
        "counted_elsewhere": counted_by.is_some(),
        "counted_by_pid": counted_by.flatten(),
    })
}

fn run(report: &Report) -> Value {
    let settings = &report.settings;
    json!({
        "id": settings.id,
        "name": settings.name,
        "host": settings.host,
        "job": settings.job,
        "rank": settings.rank.number,
        "ranks": settings.rank.of,
        "version": env!("CARGO_PKG_VERSION"),
        "interval_s": settings.interval_s,
        "started": settings.started,
        "last_end_unix_s": report.last_end_unix_s,
        "state": report.phase.as_str(),
        "epochs_planned": settings.planned,
        "epochs_done": report.epochs_done,
        "progress": report.progress,
        "work": report.work.map(|(done, total)| json!({"done": done, "total": total, "pieces": report.is_divided})),
        "budgets": settings.budgets.is_any().then(|| {
            let Budgets { kwh, g, h } = settings.budgets;
            json!({"kwh": kwh, "g": g, "h": h, "passed": report.is_over_budget})
        }),
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
    let facility_kwh = energy_j.map(|joules| report.emissions.facility_kwh(joules));
    let mut usage = Map::from_iter([("duration_s".to_owned(), json!(report.totals.duration_s))]);
    usage.append(&mut figures([energy_j, kwh, facility_kwh, report.co2eq_g()].map(|amount| (amount, error))));
    let UsageTotals { epochs_s, epochs_j, by_time_share, .. } = report.totals;
    let epochs = json!({"duration_s": epochs_s, "energy_j": epochs_j, "by_time_share": by_time_share});
    let more = [
        ("coverage", json!(report.totals.coverage)),
        ("epochs", epochs),
        ("between", json!({"duration_s": report.totals.between_s, "energy_j": report.totals.between_j})),
    ];
    usage.extend(more.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(usage)
}

/// The fields of `usage` that follow from the energy: amount, lower end and upper end of its interval.
const FIGURES: [[&str; 3]; 4] = [
    ["energy_j", "energy_low_j", "energy_high_j"],
    ["energy_kwh", "energy_low_kwh", "energy_high_kwh"],
    ["facility_energy_kwh", "facility_energy_low_kwh", "facility_energy_high_kwh"],
    ["co2eq_g", "co2eq_low_g", "co2eq_high_g"],
];

/// The fields of `usage` that follow from the energy, and `error`. The amounts are the energy in J and in kWh, the
/// facility's energy in kWh, and the emissions in g CO2e. The ends of an interval are null if the amount is measured.
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
    let rest = json!({
        "duration_s": report.remaining_s().map(estimate),
        "energy_j": report.remaining_j().map(estimate),
        "co2eq_g": report.remaining_g().map(estimate),
    });
    let share = report.basis.and_then(ForecastBasis::share);
    json!({
        "basis": report.basis.map(ForecastBasis::as_str),
        "after_epochs": forecast.after_epochs,
        "after_share": share,
        "level": forecast.level,
        "duration_s": forecast.duration_s.map(estimate),
        "energy_j": report.forecast_j().map(estimate),
        "co2eq_g": report.forecast_co2eq_g().map(estimate),
        "history": report.earlier.as_ref().and_then(|earlier| earlier_runs(earlier, forecast.support.runs)),
        "saved": if report.is_stopped_early() && report.is_rest_known() { rest.clone() } else { Value::Null },
        "remaining": rest,
    })
}

/// The earlier runs, if the forecast rests on any. `runs` is their number.
fn earlier_runs(earlier: &EarlierRuns, runs: u64) -> Option<Value> {
    (runs > 0).then(|| json!({"runs": runs, "name": earlier.name, "newest": earlier.newest}))
}

fn estimate(e: Estimate) -> Value {
    json!({"value": e.value, "low": e.low, "high": e.high})
}

/// A forecast as it was after some epochs.
fn earlier_forecast(forecast: &Forecast, uncertainty: Uncertainty) -> Value {
    json!({
        "after_epochs": forecast.after_epochs,
        "duration_s": forecast.duration_s.map(estimate),
        "energy_j": forecast.energy_j.map(|energy| estimate(uncertainty.of_total(energy))),
    })
}

fn hours(pieces: &[Piece]) -> Value {
    let column = |of: fn(&Piece) -> f64| pieces.iter().map(of).collect::<Vec<_>>();
    json!({"from": column(|p| p.from), "to": column(|p| p.to), "g_per_kwh": column(|p| p.g_per_kwh)})
}

fn intensity(report: &Report) -> Value {
    let intensity = &report.intensity;
    let sources = report.emissions.sources;
    json!({
        "g_per_kwh": intensity.g_per_kwh,
        "kind": intensity.kind.as_str(),
        "zone": intensity.zone,
        "year": intensity.year,
        "basis": intensity.basis.map(EmissionsBasis::as_str),
        "use": intensity.power_use.map(PowerUse::as_str),
        "source": intensity.source,
        "slots_used": sources.map(|sources| sources.slots),
        "coverage": sources.and_then(|sources| sources.covered),
        "metered_share": sources.and_then(|sources| sources.metered),
        "hours": report.time_series.hours.as_deref().filter(|_| intensity.is_by_hour()).map(hours),
    })
}

/// The rates of the cloud region; null: none are requested.
fn facility(report: &Report) -> Value {
    let facility = &report.facility;
    let Some(region) = facility.region() else { return Value::Null };
    let (pue, pue_year) = facility.pue().unzip();
    let (wue, wue_year) = facility.wue().unzip();
    let source = RegionFacility::SOURCE;
    json!({"region": region, "pue": pue, "pue_year": pue_year, "wue": wue, "wue_year": wue_year, "source": source})
}

fn what_if(what_if: &WhatIf, report: &Report) -> Value {
    let error = if what_if.of == RunPart::Forecast { report.forecast_error() } else { report.error() };
    json!({
        "of": what_if.of.as_str(),
        "error": error.map(ErrorBand::json),
        "duration_s": what_if.duration_s,
        "facility_energy_kwh": what_if.facility_kwh,
        "co2eq_g": what_if.co2eq_g,
        "zones": what_if.zones.iter().map(zone).collect::<Value>(),
        "own": what_if.own.as_ref().map(own),
        "start": what_if.start.map(|best| start(best, what_if.facility_kwh)),
        "note": what_if.note,
    })
}

/// The run in its own zone, at the same kind of figure as the other zones.
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

/// The run in another zone.
fn zone(there: &WhatIfZone) -> Value {
    let yearly = &there.location.yearly;
    json!({
        "zone": yearly.zone,
        "name": there.location.name,
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

/// The best start of the run.
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

/// Other impacts, by the user's rates; null: no rate is given.
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
