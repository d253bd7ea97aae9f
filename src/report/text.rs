//! The report for a person.

use super::Report;
use super::equivalents;
use crate::carbon::impacts::Use;
use crate::carbon::intensity::{EmissionsBasis, PowerUse};
use crate::carbon::what_if::{RunPart, WhatIf, WhatIfStart, WhatIfZone};
use crate::measurement::channel::ErrorBand;
use crate::units::{Amount, J_PER_KWH, digits, duration, grams, instant};

pub fn render(report: &Report) -> String {
    let mut lines = vec![head(report)];
    lines.extend(usage(report));
    lines.extend(forecast(report));
    lines.extend(extras(report));
    lines.extend(report.what_if.iter().flat_map(|what_if| otherwise(report, what_if)));
    lines.extend(components(report));
    lines.extend(unavailable(report));
    lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    lines.join("\n") + "\n"
}

fn head(report: &Report) -> String {
    let setting = &report.setting;
    let name = setting.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    let planned = if setting.planned > 0 { format!(" of {}", setting.planned) } else { String::new() };
    let epochs = if report.epochs_done == 1 && planned.is_empty() { "epoch" } else { "epochs" };
    format!("{name}{}{planned} {epochs} on {}, {}", report.epochs_done, setting.host, setting.started)
}

fn usage(report: &Report) -> Vec<String> {
    let error = report.error();
    let known = |value: Option<f64>, amount: Amount| value.map_or("unknown".into(), |value| amount.with(value, error));
    let mut lines = vec![format!(
        "  time    {}, of which {} between epochs",
        duration(report.duration_s),
        duration(report.between_s)
    )];
    lines.extend(report.open_epoch.map(|(seconds, _)| format!("          1 epoch open for {}", duration(seconds))));
    lines.push(format!(
        "  energy  {}, of which {} between epochs",
        known(report.energy_j(), Amount::Energy),
        report.between_j.map_or("unknown".into(), |joules| Amount::Energy.alone(joules, error))
    ));
    if let Some(joules) = report.energy_j() {
        let coverage = report.coverage.unwrap_or(0.0) * 100.0;
        let pue = report.bill.pue;
        let kwh = |kwh: f64| Amount::Of("kWh").alone(kwh, error);
        let of = of_region(report, report.facility.pue());
        let facility = format!(", {} with PUE {pue}{of}", kwh(report.bill.facility_kwh(joules)));
        let facility = if pue == 1.0 { "" } else { &facility };
        let covered = match error {
            None => format!("{coverage:.1} % of the time measured"),
            Some(_) => format!("readings cover {coverage:.1} % of the time"),
        };
        lines.push(format!("          {}{facility}; {covered}", kwh(joules / J_PER_KWH)));
        lines.extend(report.estimated_share().map(estimated));
    }
    lines.push(format!("  CO2e    {} at {}", known(report.co2eq_g(), Amount::Grams), grid(report)));
    let first = report.co2eq_g().map(equivalents::first).filter(|(value, _)| *value >= 0.001);
    lines.extend(first.map(|(value, unit)| format!("          as much as {}", Amount::Of("").of(unit, value, error))));
    lines
}

/// How much of the energy nobody has measured.
fn estimated(share: f64) -> String {
    const ALL: f64 = 0.9995;
    let how_much = if share < ALL { format!("{:.1} % of it", share * 100.0) } else { "all of it".into() };
    format!("          {how_much} is estimated: in nine cases of ten the truth lies in the interval")
}

fn grid(report: &Report) -> String {
    let i = &report.intensity;
    let told = report.bill.sources.and_then(|sources| sources.covered).filter(|_| i.is_by_hour());
    let by_hour = told.map(|told| format!("{:.0} % of the energy at its own hour's figure", told * 100.0));
    let year = i.year.map(|year| year.to_string());
    let (basis, power_use) = (i.basis.map(EmissionsBasis::as_str), i.power_use.map(PowerUse::as_str));
    let basis =
        i.zone.as_deref().into_iter().chain(year.as_deref()).chain(basis).chain(power_use).chain([i.source.as_str()]);
    let words: Vec<&str> = basis.chain(by_hour.as_deref()).collect();
    let figure = if i.is_by_hour() { digits(i.g_per_kwh) } else { plain(i.g_per_kwh) };
    format!("{figure} g/kWh ({})", words.join(", "))
}

/// Whose rate it is, where it is that of a cloud region.
fn of_region(report: &Report, rate: Option<(f64, u32)>) -> String {
    let of = report.facility.region().zip(rate);
    of.map(|(region, (_, year))| format!(" ({region}, {year})")).unwrap_or_default()
}

/// A figure as its table has it, without what a mean over many epochs leaves behind the comma.
pub fn plain(g_per_kwh: f64) -> String {
    const PARTS: f64 = 1e6;
    ((g_per_kwh * PARTS).round() / PARTS).to_string()
}

fn forecast(report: &Report) -> Vec<String> {
    let Some(forecast) = report.forecast.filter(|forecast| forecast.after_epochs < report.setting.planned) else {
        return Vec::new();
    };
    let after = match forecast.after_epochs {
        0 => "from inside the first".to_owned(),
        epochs => format!("after {epochs}"),
    };
    let percent = forecast.level * 100.0;
    let mut lines =
        vec![format!("forecast of all {} epochs {after}, {percent:.0} % intervals:", report.setting.planned)];
    lines.extend(forecast.duration_s.map(|e| format!("  time    {}", e.shown(duration))));
    let is_estimated = report.uncertainty.is_any();
    lines.extend(report.forecast_j().map(|e| format!("  energy  {}", e.amount(Amount::Energy, is_estimated))));
    lines.extend(report.forecast_co2eq_g().map(|e| format!("  CO2e    {}", e.amount(Amount::Grams, is_estimated))));
    let to_come: Vec<String> = [
        report.remaining_s().map(|e| duration(e.value)),
        report.remaining_j().map(|e| Amount::Energy.alone(e.value, report.uncertainty.to_come)),
        report.remaining_g().map(|e| Amount::Grams.alone(e.value, report.uncertainty.to_come) + " CO2e"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !to_come.is_empty() {
        lines.push(format!("  of it {} still to come: what stopping here saves", to_come.join(", ")));
    }
    lines
}

/// What the user gave rates for.
fn extras(report: &Report) -> Vec<String> {
    let (rates, used, whole) = (&report.rates, report.used(), report.forecast_use());
    let (error, error_of_whole) = (report.error(), report.forecast_error());
    let line = |name: &str, of: &dyn Fn(Use, Option<ErrorBand>) -> Option<String>| {
        let used = of(used, error).unwrap_or("unknown".into());
        let whole = whole.and_then(|whole| of(whole, error_of_whole));
        let whole = whole.map(|whole| format!(", by forecast {whole}")).unwrap_or_default();
        format!("  {name:<7} {used}{whole}")
    };
    let mut lines = Vec::new();
    if let Some(price) = &rates.price {
        let money = Amount::Of(price.currency.as_deref().unwrap_or_default());
        let cost = line("cost", &|of, error| rates.cost(of).map(|amount| money.with(amount, error)));
        lines.push(format!("{cost}, at {}/kWh", money.exact(price.per_kwh)));
    }
    if rates.has_water() {
        let water =
            line("water", &|of, error| rates.water(of).litres().map(|litres| Amount::Of("L").with(litres, error)));
        let on_site =
            report.facility.wue().map(|wue| format!(", on site {} L/kWh{}", wue.0, of_region(report, Some(wue))));
        lines.push(water + &on_site.unwrap_or_default());
    }
    if let Some(kg) = rates.embodied_kg {
        let making = line("making", &|of, _| rates.embodied_g(of).map(|g| format!("{} CO2e", grams(g))));
        lines.push(format!("{making}, of {} that the devices took, over {} years", grams(kg * 1e3), rates.life_years));
    }
    if let Some(marginal) = &report.marginal {
        let used = marginal.co2eq_g.map(|used| Amount::Grams.of("CO2e", used, error)).unwrap_or("unknown".into());
        let whole = marginal.forecast_g.map(|whole| Amount::Grams.with(whole.value, error_of_whole));
        let whole = whole.map(|whole| format!(", by forecast {whole}")).unwrap_or_default();
        let about = &marginal.intensity;
        let figure = if about.g_per_kwh.is_finite() { digits(about.g_per_kwh) } else { "unknown".into() };
        let region = about.zone.as_deref().unwrap_or_default();
        lines.push(format!(
            "  margin  {used}{whole}, at the {figure} g that one kWh more emits ({}, {region})",
            about.source
        ));
    }
    if !lines.is_empty() {
        lines.insert(0, "beside it, not in the CO2e above:".into());
    }
    lines
}

/// Other places and times.
fn otherwise(report: &Report, what_if: &WhatIf) -> Vec<String> {
    let others = what_if.zones.iter().filter(|there| there.place.yearly.zone != report.intensity.zone);
    let others: Vec<(&WhatIfZone, f64)> = others.filter_map(|there| Some((there, there.saves_share?))).collect();
    let places: Vec<String> = spread(&others).map(|(there, saves)| place(there, *saves)).collect();
    let mut lines = Vec::new();
    if !places.is_empty() {
        let mind = if what_if.is_rough() { "; not on one basis: rough" } else { "" };
        lines.push(format!("  place   {}, by the yearly average{mind}", places.join(", ")));
    }
    let start = what_if.start.and_then(start);
    let when = if start.is_some() { " or begun later" } else { "" };
    lines.extend(start);
    if !lines.is_empty() {
        let of = if what_if.of == RunPart::Forecast { "the whole run" } else { "the run" };
        lines.insert(0, format!("what if, CO2e of {of} elsewhere{when}:"));
    }
    lines
}

/// All of a few; of many some, evenly from first to last.
fn spread<T>(all: &[T]) -> impl Iterator<Item = &T> {
    const FEW: usize = 8;
    const OF_MANY: usize = 5;
    let shown = if all.len() <= FEW { all.len() } else { OF_MANY };
    (0..shown).filter_map(move |n| all.get(n * (all.len() - 1) / (shown - 1).max(1)))
}

fn place(there: &WhatIfZone, saves: f64) -> String {
    format!("{} {:+.0} %", there.place.yearly.zone.as_deref().unwrap_or(there.place.name), saves * -100.0)
}

/// When to begin; nothing where there is no choice to speak of.
fn start(start: WhatIfStart) -> Option<String> {
    const WORTH_IT: f64 = 0.01;
    const CHOICE_S: f64 = 3600.0;
    let minute = |at: f64| Some(format!("{} UTC", instant(at)?.get(..16)?.replace('T', " ")));
    let last = minute(start.last)?;
    let saves = start.saves_share().filter(|saves| *saves >= WORTH_IT);
    match saves {
        Some(saves) => Some(format!(
            "  start   {} saves {:.0} %, in {}: the best until {last}, by a forecast that may be some 20 % off",
            minute(start.at)?,
            saves * 100.0,
            duration((start.delay_s / 60.0).round() * 60.0)
        )),
        None if start.last - start.at + start.delay_s >= CHOICE_S => {
            Some(format!("  start   now is as good as any time until {last}"))
        }
        None => None,
    }
}

/// What could be measured with some help, and the rest in one line.
fn unavailable(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for u in report.not_measured() {
        if let Some(cure) = &u.cure {
            lines.push(format!("  {}: {}", u.source, u.reason));
            lines.push(format!("    cure: {cure}"));
        }
    }
    let rest = report.not_measured().filter(|u| u.cure.is_none());
    let rest: Vec<String> = rest.map(|u| format!("{} ({})", u.source, u.reason)).collect();
    if !rest.is_empty() {
        lines.push(format!("  {}", rest.join(", ")));
    }
    if !lines.is_empty() {
        lines.insert(0, "not measured:".into());
    }
    lines
}

fn components(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for component in &report.components {
        let channel = &component.channel;
        let error = component.error();
        let used = component.energy_j().map_or("unknown".into(), |joules| Amount::Energy.with(joules, error));
        let power = component.mean_power_w().map(|watts| Amount::Of("W").alone(watts, error));
        let power = power.map_or(String::new(), |power| format!(", {power}"));
        lines.push(format!(
            "  {:<5} {used}{power}: {} ({}, {} by {}), {}",
            channel.kind.name(),
            channel.device,
            channel.id,
            channel.method.name(),
            channel.source,
            component.status
        ));
        lines.extend(component.note.iter().map(|note| format!("        {note}")));
    }
    if !lines.is_empty() {
        lines.insert(0, "components:".into());
    }
    lines
}
