//! The report for a person.

use super::Report;
use crate::forecast::Estimate;
use crate::units::{J_PER_KWH, digits, duration, energy, grams};

pub fn render(report: &Report) -> String {
    let mut lines = vec![head(report)];
    lines.extend(usage(report));
    lines.extend(forecast(report));
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
    let known = |value: Option<f64>, show: fn(f64) -> String| value.map_or("unknown".into(), show);
    let mut lines = vec![
        format!("  time    {}, of which {} between epochs", duration(report.duration_s), duration(report.between_s)),
        format!(
            "  energy  {}, of which {} between epochs",
            known(report.energy_j(), energy),
            known(report.between_j, energy)
        ),
    ];
    if let Some(joules) = report.energy_j() {
        let coverage = report.coverage.unwrap_or(0.0) * 100.0;
        let pue = report.bill.pue;
        let facility = format!(", {} kWh with PUE {pue}", digits(report.bill.facility_kwh(joules)));
        let facility = if pue == 1.0 { "" } else { &facility };
        lines.push(format!(
            "          {} kWh{facility}; {coverage:.1} % of the time measured",
            digits(joules / J_PER_KWH)
        ));
    }
    lines.push(format!("  CO2e    {} at {}", known(report.co2eq_g(), grams), grid(report)));
    if let Some((kilometres, unit, ..)) = report.equivalents().first().filter(|(value, ..)| *value >= 0.001) {
        lines.push(format!("          as much as {} {unit}", digits(*kilometres)));
    }
    lines
}

fn grid(report: &Report) -> String {
    let i = &report.intensity;
    let told = report.bill.sources.and_then(|sources| sources.told).filter(|_| i.is_by_hour());
    let by_hour = told.map(|told| format!("{:.0} % of the energy at its own hour's figure", told * 100.0));
    let year = i.year.map(|year| year.to_string());
    let basis = i.zone.as_deref().into_iter().chain(year.as_deref()).chain(i.basis).chain([i.source.as_str()]);
    let words: Vec<&str> = basis.chain(by_hour.as_deref()).collect();
    let figure = if i.is_by_hour() { digits(i.g_per_kwh) } else { i.g_per_kwh.to_string() };
    format!("{figure} g/kWh ({})", words.join(", "))
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
    lines.extend(forecast.energy_j.map(|e| format!("  energy  {}", e.shown(energy))));
    lines.extend(report.forecast_g.map(|e| format!("  CO2e    {}", e.shown(grams))));
    let shown = |estimate: Option<Estimate>, show: fn(f64) -> String| estimate.map(|e| show(e.value));
    let to_come: Vec<String> = [
        shown(report.remaining_s(), duration),
        shown(report.remaining_j(), energy),
        shown(report.remaining_g(), |g| format!("{} CO2e", grams(g))),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !to_come.is_empty() {
        lines.push(format!("  of it {} still to come: what stopping here saves", to_come.join(", ")));
    }
    lines
}

/// What could be measured with some help, and the rest in one line.
fn unavailable(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for u in &report.unavailable {
        if let Some(cure) = &u.cure {
            lines.push(format!("  {}: {}", u.source, u.reason));
            lines.push(format!("    cure: {cure}"));
        }
    }
    let rest = report.unavailable.iter().filter(|u| u.cure.is_none());
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
        let used = component.energy_j.map_or("unknown".into(), energy);
        let power = component.mean_power_w.map_or(String::new(), |watts| format!(", {} W", digits(watts)));
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
