//! The report as one line for a progress bar or a status line.

use super::{Report, RunPhase};
use crate::forecast::Forecast;
use crate::units::{Amount, duration};

/// The most columns of the line.
const MAX_COLUMNS: usize = 80;
/// The separator of the line's parts.
const SEPARATOR: &str = " · ";

/// Renders the line: what is done, power, energy, CO2e and the time left, as far as they are known. Parts at the end
/// are left out if the line would be too long.
pub fn render(report: &Report) -> String {
    let parts: Vec<String> =
        [done(report), power(report), energy(report), emissions(report), left(report)].into_iter().flatten().collect();
    let mut line = String::new();
    for part in parts {
        let separator = if line.is_empty() { "" } else { SEPARATOR };
        if line.chars().count() + separator.chars().count() + part.chars().count() > MAX_COLUMNS {
            break;
        }
        line.push_str(separator);
        line.push_str(&part);
    }
    line + "\n"
}

/// The epoch and the share of the run; of a program, the time since its start.
fn done(report: &Report) -> Option<String> {
    let (planned, done) = (report.settings.planned, report.epochs_done);
    let open = report.open_epoch.filter(|_| !report.is_divided);
    if let Some((done, total)) = report.work.filter(|_| report.is_divided) {
        return Some(format!("{:.0} %", (100.0 * done / total).floor().clamp(0.0, 100.0)));
    }
    if planned == 1 {
        return Some(duration(report.totals.duration_s + open.map_or(0.0, |(seconds, _)| seconds)));
    }
    let now = done + u64::from(open.is_some());
    let share = |planned: u64| (done as f64 + report.progress.unwrap_or(0.0)) / planned as f64 * 100.0;
    match planned {
        0 => Some(format!("epoch {now}")),
        _ => Some(format!("epoch {now}/{planned}{SEPARATOR}{:.0} %", share(planned).floor().min(100.0))),
    }
}

fn power(report: &Report) -> Option<String> {
    let watts = crate::units::sum(report.power_now)?;
    Some(Amount::Power.alone(watts, report.error()))
}

/// The energy so far, and that of the whole run.
fn energy(report: &Report) -> Option<String> {
    let used = used_j(report)?;
    let whole = forecast(report).and(report.forecast_j()).map(|forecast| forecast.value);
    match whole.filter(|whole| *whole > used * MIN_MORE) {
        Some(whole) => Some(format!(
            "{}{} of {}",
            if report.error().is_some() { "≈ " } else { "" },
            Amount::Energy.end_in(used, whole, used, used * 2.0),
            Amount::Energy.end(whole, whole, whole * 2.0)
        )),
        None => Some(Amount::Energy.alone(used, report.error())),
    }
}

/// A forecast that is less than this multiple of the use says nothing more.
const MIN_MORE: f64 = 1.005;

/// The forecast of a run that goes on.
fn forecast(report: &Report) -> Option<Forecast> {
    report.open_forecast().filter(|_| report.phase != RunPhase::Done && !report.is_finished)
}

/// The energy so far with that of the open epoch, J. Without a power, a run that goes on has too few readings: their
/// energy is that of less time than the line shows.
fn used_j(report: &Report) -> Option<f64> {
    let goes_on = report.phase != RunPhase::Done && !report.is_finished;
    if goes_on && crate::units::sum(report.power_now).is_none() {
        return None;
    }
    let open = report.open_epoch.and_then(|(_, joules)| joules);
    crate::units::sum([report.energy_j(), open])
}

fn emissions(report: &Report) -> Option<String> {
    let grams = report.emissions.grams(used_j(report)?);
    Some(format!("{} CO2e", Amount::Grams.alone(grams, report.error())))
}

/// The time left: the forecast of the whole run without the time so far.
fn left(report: &Report) -> Option<String> {
    let whole_s = forecast(report)?.duration_s?.value;
    let gone_s = report.totals.duration_s + report.open_epoch.map_or(0.0, |(seconds, _)| seconds);
    (whole_s > gone_s * MIN_MORE).then(|| format!("{} left", duration(whole_s - gone_s)))
}
