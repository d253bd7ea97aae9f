//! The report as text for people.

use super::{NOTABLE_SHARE, Report, WHOLE_SHARE, equivalents, phases, share};
use crate::carbon::impacts::Use;
use crate::carbon::intensity::{EmissionsBasis, PowerUse};
use crate::carbon::what_if::{RunPart, WhatIf, WhatIfStart, WhatIfZone};
use crate::state::alerts::ForecastBasis;
use crate::units::ErrorBand;
use crate::units::{Amount, J_PER_KWH, digits, duration, grams, instant, ratio};

/// Renders the text report.
pub fn render(report: &Report) -> String {
    let mut lines = vec![head(report)];
    lines.extend(usage(report));
    lines.extend(share::lines(&report.share, report.error()));
    lines.extend(forecast(report));
    lines.extend(impacts(report));
    lines.extend(report.what_if.iter().flat_map(|shown| what_if(report, shown)));
    lines.extend(components(report));
    lines.extend(report.phases.as_ref().map(|phases| phases::lines(&phases.section(report))).unwrap_or_default());
    lines.extend(unavailable(report));
    lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    lines.join("\n") + "\n"
}

fn head(report: &Report) -> String {
    let settings = &report.settings;
    let name = settings.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    let planned = if settings.planned > 0 { format!(" of {}", settings.planned) } else { String::new() };
    let epochs = if report.epochs_done == 1 && planned.is_empty() { "epoch" } else { "epochs" };
    let done = match report.work.filter(|_| report.is_divided) {
        Some((done, total)) => format!("{} of {} done", digits(done), digits(total)),
        // One epoch is a whole program, which has no epochs for a reader.
        None if settings.planned == 1 && report.epochs_done == 1 => "done".into(),
        None => format!("{}{planned} {epochs}", report.epochs_done),
    };
    format!("{name}{done} on {}, {}", settings.host, settings.started)
}

fn usage(report: &Report) -> Vec<String> {
    let (totals, error) = (&report.totals, report.error());
    let known = |value: Option<f64>, amount: Amount| value.map_or("unknown".into(), |value| amount.with(value, error));
    let is_notable = |part: f64, whole: f64| part > NOTABLE_SHARE * whole;
    let between = |part: String| format!(", {part} of it between epochs");
    let gaps = Some(totals.between_s).filter(|seconds| is_notable(*seconds, totals.duration_s));
    let gaps = gaps.map(|seconds| between(duration(seconds))).unwrap_or_default();
    let mut lines = vec![format!("  time    {}{gaps}", duration(totals.duration_s))];
    let open_epoch = report.open_epoch.filter(|_| !report.is_divided);
    lines.extend(open_epoch.map(|(seconds, _)| format!("          1 epoch open for {}", duration(seconds))));
    let energy = report.energy_j();
    let in_joules = energy.filter(|_| error.is_none()).map(|joules| format!(" ({})", Amount::Joules.exact(joules)));
    let gaps = totals.between_j.zip(energy).filter(|(part, whole)| is_notable(*part, *whole));
    let gaps = gaps.map(|(joules, _)| between(Amount::Energy.alone(joules, error))).unwrap_or_default();
    lines.push(format!("  energy  {}{}{gaps}", known(energy, Amount::Energy), in_joules.unwrap_or_default()));
    if let Some(joules) = energy {
        let pue = report.emissions.pue;
        if pue != 1.0 {
            let facility = Amount::Energy.with(report.emissions.facility_kwh(joules) * J_PER_KWH, error);
            lines.push(format!("          {facility} with PUE {pue}{}", region(report, report.facility.pue())));
        }
        let covered = totals.coverage.filter(|share| *share < WHOLE_SHARE);
        lines.extend(covered.map(|share| format!("          readings cover {:.1} % of the time", share * 100.0)));
        lines.extend(report.estimated_share().map(estimated));
    }
    lines.push(format!("  CO2e    {} at {}", known(report.co2eq_g(), Amount::Grams), intensity(report)));
    let like = report.co2eq_g().and_then(|grams| equivalents::like(grams, error));
    lines.extend(like.map(|like| format!("          {like}")));
    lines
}

/// The line on the estimated share of the energy, 0 to 1.
fn estimated(share: f64) -> String {
    const ALL: f64 = 0.9995;
    let how_much = if share < ALL { format!("{:.1} % of it", share * 100.0) } else { "all of it".into() };
    format!("          {how_much} is estimated: in nine cases of ten the truth is in the interval")
}

/// The intensity and where it is from.
fn intensity(report: &Report) -> String {
    let intensity = &report.intensity;
    let covered = report.emissions.sources.and_then(|sources| sources.covered).filter(|_| intensity.is_by_hour());
    let by_hour = covered.map(|share| format!("{:.0} % of the energy at its own hour's figure", share * 100.0));
    let year = intensity.year.map(|year| year.to_string());
    let place = intensity.zone.as_deref().map(place_name).into_iter().chain(year.as_deref());
    let basis = place
        .chain(intensity.basis.map(EmissionsBasis::as_str))
        .chain(intensity.power_use.map(PowerUse::as_str))
        .chain([intensity.source.as_str()]);
    let words: Vec<&str> = basis.chain(by_hour.as_deref()).collect();
    let figure = if intensity.is_by_hour() { digits(intensity.g_per_kwh) } else { plain(intensity.g_per_kwh) };
    format!("{figure} g/kWh ({})", words.join(", "))
}

/// A zone as people read it: the world is no place that they named.
pub fn place_name(zone: &str) -> &str {
    if zone == "WORLD" { "world average" } else { zone }
}

/// " (aws:us-east-1, 2024)" behind a rate of a cloud region; empty behind a rate of the user.
fn region(report: &Report, rate: Option<(f64, u32)>) -> String {
    let region = report.facility.region().zip(rate);
    region.map(|(region, (_, year))| format!(" ({region}, {year})")).unwrap_or_default()
}

/// A yearly intensity, g/kWh, as its table has it, without the rounding errors of a mean over epochs.
pub fn plain(g_per_kwh: f64) -> String {
    const PARTS: f64 = 1e6;
    ((g_per_kwh * PARTS).round() / PARTS).to_string()
}

fn forecast(report: &Report) -> Vec<String> {
    let Some(forecast) = report.open_forecast() else { return Vec::new() };
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let planned = report.settings.planned;
    let of = match (report.basis.and_then(ForecastBasis::share), forecast.after_epochs) {
        (Some(share), _) => format!("the whole run after {}", percent(share)),
        (None, 0) if report.open_epoch.is_some() => format!("all {planned} epochs from inside the first"),
        (None, 0) => format!("all {planned} epochs before the first"),
        (None, epochs) => format!("all {planned} epochs after {epochs}"),
    };
    let by = match forecast.support.runs {
        0 => String::new(),
        1 => ", with 1 earlier run".to_owned(),
        runs => format!(", with {runs} earlier runs"),
    };
    let mut lines = vec![format!("forecast of {of}{by}, {} intervals:", percent(forecast.level))];
    lines.extend(forecast.duration_s.map(|e| format!("  time    {}", e.amount(Amount::Time, false))));
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
    // At the end of the run, a note has what an early end saved.
    if !to_come.is_empty() && !report.is_finished {
        lines.push(format!("  of it {} still to come; a stop now saves it", to_come.join(", ")));
    }
    lines
}

/// Other impacts, by the user's rates.
fn impacts(report: &Report) -> Vec<String> {
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
            line("water", &|of, error| rates.water(of).litres().map(|litres| Amount::Litres.with(litres, error)));
        let on_site =
            report.facility.wue().map(|wue| format!(", on site {} L/kWh{}", wue.0, region(report, Some(wue))));
        lines.push(water + &on_site.unwrap_or_default());
    }
    if let Some(kg) = rates.embodied_kg {
        let making = line("making", &|of, _| rates.embodied_g(of).map(|g| format!("{} CO2e", grams(g))));
        let years = rates.life_years;
        lines.push(format!("{making}, a share of {} for making the devices, over {years} years", grams(kg * 1e3)));
    }
    lines.extend(marginal(report));
    if !lines.is_empty() {
        lines.insert(0, "other impacts, not in the CO2e above:".into());
    }
    lines
}

/// The line on marginal emissions.
fn marginal(report: &Report) -> Option<String> {
    let marginal = report.marginal.as_ref()?;
    let used = marginal.co2eq_g.map(|used| Amount::Grams.of("CO2e", used, report.error())).unwrap_or("unknown".into());
    let whole = marginal.forecast_g.map(|whole| Amount::Grams.with(whole.value, report.forecast_error()));
    let whole = whole.map(|whole| format!(", by forecast {whole}")).unwrap_or_default();
    let about = &marginal.intensity;
    let figure = if about.g_per_kwh.is_finite() { digits(about.g_per_kwh) } else { "unknown".into() };
    let region = about.zone.as_deref().unwrap_or_default();
    Some(format!("  margin  {used}{whole}, at {figure} g for one more kWh ({}, {region})", about.source))
}

/// The run in other places and at other times.
fn what_if(report: &Report, what_if: &WhatIf) -> Vec<String> {
    let others = what_if.zones.iter().filter(|there| there.location.yearly.zone != report.intensity.zone);
    let others: Vec<(&WhatIfZone, f64)> = others.filter_map(|there| Some((there, there.saves_share?))).collect();
    let locations: Vec<String> = spread(&others).map(|(there, saves)| place(there, *saves)).collect();
    let mut lines = Vec::new();
    if !locations.is_empty() {
        let rough = if what_if.is_rough() { "; rough, as the bases differ" } else { "" };
        lines.push(format!("  place   {}, by the yearly average{rough}", locations.join(", ")));
    }
    let start = what_if.start.and_then(start);
    let when = if start.is_some() { " or started later" } else { "" };
    lines.extend(start);
    if !lines.is_empty() {
        let of = if what_if.of == RunPart::Forecast { "the whole run" } else { "the run" };
        lines.insert(0, format!("what if, CO2e of {of} elsewhere{when}:"));
    }
    lines
}

/// At most eight elements: all, or else five, evenly from the first to the last.
fn spread<T>(all: &[T]) -> impl Iterator<Item = &T> {
    const FEW: usize = 8;
    const OF_MANY: usize = 5;
    let shown = if all.len() <= FEW { all.len() } else { OF_MANY };
    (0..shown).filter_map(move |n| all.get(n * (all.len() - 1) / (shown - 1).max(1)))
}

fn place(there: &WhatIfZone, saves: f64) -> String {
    let times = ratio(1.0 - saves, 1.0).unwrap_or_else(|| "the same".into());
    format!("{} {times}", there.location.yearly.zone.as_deref().unwrap_or(there.location.name))
}

/// The line on the best start; None: the starts known differ by less than an hour, and none saves 1 % or more.
fn start(start: WhatIfStart) -> Option<String> {
    const MIN_SAVED_SHARE: f64 = 0.01;
    const MIN_CHOICE_S: f64 = 3600.0;
    let minute = |at: f64| Some(format!("{} UTC", instant(at)?.get(..16)?.replace('T', " ")));
    let last = minute(start.last)?;
    let saves = start.saves_share().filter(|saves| *saves >= MIN_SAVED_SHARE);
    match saves {
        Some(saves) => Some(format!(
            "  start   {} saves {:.0} %, in {}: the best until {last}, by a forecast with an error of some 20 %",
            minute(start.at)?,
            saves * 100.0,
            duration((start.delay_s / 60.0).round() * 60.0)
        )),
        None if start.last - start.at + start.delay_s >= MIN_CHOICE_S => {
            Some(format!("  start   no better start than now is known until {last}"))
        }
        None => None,
    }
}

/// The sources that are not measured: each that has a fix, and the others in one line.
fn unavailable(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for one in report.not_measured() {
        if let Some(fix) = &one.cure {
            lines.push(format!("  {}: {}", one.source, one.reason));
            lines.push(format!("    fix: {fix}"));
        }
    }
    let others = report.not_measured().filter(|one| one.cure.is_none());
    let others: Vec<String> = others.map(|one| format!("{} ({})", one.source, one.reason)).collect();
    if !others.is_empty() {
        lines.push(format!("  {}", others.join(", ")));
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
        let power = component.mean_power_w().map(|watts| Amount::Power.alone(watts, error));
        let power = power.map_or(String::new(), |power| format!(", {power}"));
        lines.push(format!(
            "  {:<5} {used}{power}: {} ({}, {} by {}), {}",
            channel.kind.name(),
            channel.device,
            channel.id,
            channel.method.name(),
            channel.source,
            component.status.as_str()
        ));
        lines.extend(component.note.iter().map(|note| format!("        {note}")));
    }
    if !lines.is_empty() {
        lines.insert(0, "components:".into());
    }
    lines
}
