//! The format of the two logs that Carbontracker 2.4.7 writes. Carbontracker's parser, aggregate and PDF report can
//! read them. Pure: from the report's JSON and its epochs to text. Times are UTC.
//!
//! Carbontracker's parser decides the format:
//! - It multiplies a power by a duration with two decimals. So the rounding error of a duration is added to the next
//!   duration, and a power is the energy divided by the written duration. Then each product is the energy.
//! - It reads one number for a component. With several devices this is their sum. Memory and node count as `cpu`, as
//!   memory does in Carbontracker. Powers are without PUE.
//! - A listed component needs a line in every epoch, or none is read. An unknown power is `None`.
//! - Its aggregate prefers a prediction for several epochs to the actual consumption, except if the training was
//!   interrupted. So the output log has a prediction only in that case.
//! - Numbers have no exponent. Device names contain neither `.` nor `,`.

use crate::clock::UnixS;
use crate::units::ErrorBand;
use crate::units::{J_PER_KWH, instant, times};
use serde_json::Value;
use std::fmt::Write;

/// Shortest time of an entry, s. A shorter one would lose too much precision with two decimals.
const MIN_ENTRY_S: f64 = 0.1;
/// Smallest share of an entry in the time before it. So a million epochs make some ten thousand entries.
const MIN_ENTRY_SHARE: f64 = 1.0 / 4096.0;
/// Emission of a car for a kilometre, g CO2e: the factor and unit of Carbontracker 2.4.7.
const CAR_G_PER_KM: f64 = 106.8;
/// Carbontracker's names of components, and the kinds of device that count as each.
const COMPONENTS: [(&str, &[&str]); 2] = [("gpu", &["gpu"]), ("cpu", &["cpu", "dram", "node"])];

/// The standard log, `*_carbontracker.log`, written during the run. The caller appends the text that each
/// method returns.
pub struct StandardLog {
    is_listed: [bool; COMPONENTS.len()],
    /// The component used energy, but was found too late for the head.
    is_missed: [bool; COMPONENTS.len()],
    gathered: Gathered,
    /// Time in all entries, s.
    elapsed_s: f64,
    /// Rounding error of all durations so far, s.
    rounding_s: f64,
}

/// The epochs of the next entry.
#[derive(Default)]
struct Gathered {
    /// Number of the first epoch, from 1.
    first: u64,
    /// Number of the last epoch. 0: there is none yet.
    last: u64,
    duration_s: f64,
    /// Energy of each component, J. None: unknown.
    energy_j: [Option<f64>; COMPONENTS.len()],
}

impl StandardLog {
    /// A log for the devices in the report. Devices that are found later are not listed.
    pub fn new(report: &Value) -> StandardLog {
        let is_listed = COMPONENTS.map(|(_, kinds)| !devices(report, kinds).is_empty());
        let is_missed = [false; COMPONENTS.len()];
        StandardLog { is_listed, is_missed, gathered: Gathered::default(), elapsed_s: 0.0, rounding_s: 0.0 }
    }

    /// The head of the log. `at` is in s since 1970.
    pub fn head(&self, report: &Value, at: UnixS) -> String {
        let pue = number(report, "/pue").unwrap_or(1.0);
        let mut lines = vec![
            format!("carbontracker version {} (the C library)", env!("CARGO_PKG_VERSION")),
            format!(
                "Only predicted and actual consumptions are multiplied by a PUE coefficient of {pue} (the option pue). \
                 Powers are the sum over a component's devices; times are UTC."
            ),
            found(report),
        ];
        lines.extend(estimated(report));
        lines.push("Monitoring thread started.".into());
        lines.extend(intensity(report, false));
        stamped(at, &lines)
    }

    /// The entry of an epoch, an object of the report's `epochs`. Short epochs are gathered into one entry, and the
    /// text is empty until they are long enough.
    pub fn epoch(&mut self, epoch: &Value, at: UnixS) -> String {
        self.gathered.add(epoch);
        let least_s = MIN_ENTRY_S.max(self.elapsed_s * MIN_ENTRY_SHARE);
        if self.gathered.duration_s < least_s { String::new() } else { self.entry(at) }
    }

    /// The end of the log.
    pub fn tail(&mut self, report: &Value, at: UnixS) -> String {
        let last = if self.gathered.last > 0 { self.entry(at) } else { String::new() };
        let mut lines = Vec::new();
        if is_interrupted(report) {
            let planned = count(report, "/run/epochs_planned");
            lines.push(format!("Training was interrupted before all {planned} epochs were monitored."));
        }
        let missed = COMPONENTS.iter().zip(self.is_missed).filter(|(_, is_missed)| *is_missed);
        lines.extend(missed.map(|((name, _), _)| {
            format!(
                "The component {name} was found after this log began: its power is not in it, but in the output log."
            )
        }));
        lines.extend(intensity(report, true));
        lines.push("Monitoring thread ended.".into());
        last + &stamped(at, &lines)
    }

    fn entry(&mut self, at: UnixS) -> String {
        let Gathered { first, last, duration_s, energy_j } = std::mem::take(&mut self.gathered);
        self.elapsed_s += duration_s;
        let shown = centiseconds(duration_s + self.rounding_s).max(1);
        let shown_s = shown as f64 / 100.0;
        self.rounding_s += duration_s - shown_s;
        let mut lines = Vec::new();
        if first < last {
            lines.push(format!("Epochs {first} to {last} follow as one, with their whole duration and mean power."));
        }
        lines.push(format!("Epoch {last}:"));
        lines.push(format!("Duration: {}", clock(shown)));
        for ((is_missed, is_listed), joules) in self.is_missed.iter_mut().zip(self.is_listed).zip(energy_j) {
            *is_missed |= !is_listed && joules.is_some();
        }
        let listed = COMPONENTS.iter().zip(energy_j).zip(self.is_listed).filter(|(_, is_listed)| *is_listed);
        lines.extend(listed.map(|(((name, _), joules), _)| {
            let power = joules.map_or("None".into(), |joules| decimal(joules / shown_s, 2));
            format!("Average power usage (W) for {name}: {power}")
        }));
        stamped(at, &lines)
    }
}

impl Gathered {
    fn add(&mut self, epoch: &Value) {
        let index = count(epoch, "/index");
        if self.last == 0 {
            self.first = index + 1;
        }
        self.last = index + count(epoch, "/count").max(1);
        self.duration_s += number(epoch, "/duration_s").unwrap_or(0.0);
        for ((_, kinds), sum) in COMPONENTS.iter().zip(&mut self.energy_j) {
            let joules = kinds.iter().filter_map(|kind| number(epoch, &format!("/{kind}_j")));
            *sum = joules.fold(*sum, |sum, joules| Some(sum.unwrap_or(0.0) + joules));
        }
    }
}

/// A line of the standard log with the forecast. Carbontracker's parser ignores it. Empty: there is no forecast.
pub fn forecast(report: &Value, at: UnixS) -> String {
    let Some(Consumed { duration_s, facility_kwh, co2eq_g }) = Consumed::forecast(report) else {
        return String::new();
    };
    let after = count(report, "/forecast/after_epochs");
    let grams = co2eq_g.map_or("unknown".into(), |grams| decimal(grams, 3));
    let all = count(report, "/run/epochs_planned");
    let energy = decimal(facility_kwh, 6);
    stamped(
        at,
        &[format!(
            "Forecast after {after} of {all} epoch(s): {energy} kWh with PUE, {grams} g CO2eq, {}",
            clock(centiseconds(duration_s))
        )],
    )
}

/// The whole output log, `*_carbontracker_output.log`: the consumption so far, with PUE. If the run ended early, it
/// also has a prediction; the standard log's tail must be written before. If the energy is unknown, it has no
/// consumption, and Carbontracker's parser skips it.
pub fn output(report: &Value, at: UnixS, is_over: bool) -> String {
    let mut parts = vec![found(report)];
    parts.extend(estimated(report));
    if let Some(used) = Consumed::used(report) {
        if let Some(forecast) = Consumed::forecast(report).filter(|_| is_over && is_interrupted(report)) {
            parts.push(
                forecast
                    .block(&format!("Predicted consumption for {} epoch(s):", count(report, "/run/epochs_planned"))),
            );
        }
        parts.extend(number(report, "/intensity/g_per_kwh").map(|figure| average(&decimal(figure, 2)) + "."));
        parts.push(used.block(&format!("Actual consumption for {} epoch(s):", count(report, "/run/epochs_done"))));
    }
    if is_over {
        parts.push("Finished monitoring.".into());
    }
    let parts: Vec<String> = parts.into_iter().map(|part| format!("CarbonTracker: {part}")).collect();
    stamped(at, &parts)
}

/// The values of a block of the output log.
struct Consumed {
    duration_s: f64,
    facility_kwh: f64,
    co2eq_g: Option<f64>,
}

impl Consumed {
    fn used(report: &Value) -> Option<Consumed> {
        Some(Consumed {
            duration_s: number(report, "/usage/duration_s")?,
            facility_kwh: number(report, "/usage/facility_energy_kwh")?,
            co2eq_g: number(report, "/usage/co2eq_g"),
        })
    }

    fn forecast(report: &Value) -> Option<Consumed> {
        Some(Consumed {
            duration_s: number(report, "/forecast/duration_s/value")?,
            facility_kwh: number(report, "/forecast/energy_j/value")? / J_PER_KWH * number(report, "/pue")?,
            co2eq_g: number(report, "/forecast/co2eq_g/value"),
        })
    }

    /// The text of a block. Carbontracker's parser needs every line. It reads an unknown emission as NaN and leaves it
    /// out of its sum.
    fn block(&self, title: &str) -> String {
        let Consumed { duration_s, facility_kwh, co2eq_g } = self;
        let (time, energy) = (clock(centiseconds(*duration_s)), decimal(*facility_kwh, 12));
        let grams = co2eq_g.map_or("nan".into(), |grams| decimal(grams, 12));
        let equal = co2eq_g
            .map_or(String::new(), |grams| format!("\n\t{} km travelled by car", decimal(grams / CAR_G_PER_KM, 12)));
        format!(
            "\n{title}\n\tTime:\t{time}\n\tEnergy:\t{energy} kWh\n\tCO2eq:\t{grams} g\n\tThis is equivalent to:{equal}"
        )
    }
}

/// The line with the carbon intensity. A figure that may still change has the form of fetched figures, which the final
/// average replaces (the 900 s are Carbontracker's). If no power is known, the line has another form, or
/// Carbontracker's PDF report would show an emission of 0.
fn intensity(report: &Value, is_over: bool) -> Option<String> {
    let figure = number(report, "/intensity/g_per_kwh").map(|figure| decimal(figure, 2))?;
    let place = report.pointer("/intensity/zone").and_then(Value::as_str).map_or("unknown".into(), plain);
    let is_flat = matches!(report.pointer("/intensity/kind").and_then(Value::as_str), Some("static" | "constant"));
    let mut components = report.get("components").and_then(Value::as_array).into_iter().flatten();
    if !components.any(|one| number(one, "/energy_j").is_some()) {
        Some(format!("Carbon intensity: {figure} gCO2eq/kWh, location {place}; no power is known."))
    } else if is_over || is_flat {
        Some(format!("{} at detected location: {place}", average(&figure)))
    } else {
        Some(format!("Carbon intensities (gCO2eq/kWh) fetched every 900 s at detected location {place}: [{figure}]"))
    }
}

/// Whether a run that is over ended before its last epoch. The state "done" does not show it. A run that stopped by
/// `monitor_epochs` was not interrupted; it has no forecast of the rest.
fn is_interrupted(report: &Value) -> bool {
    let is_by_plan = report.pointer("/forecast/remaining/duration_s").is_some_and(Value::is_null);
    !is_by_plan && count(report, "/run/epochs_done") < count(report, "/run/epochs_planned")
}

fn found(report: &Value) -> String {
    let mut text = "The following components were found:".to_owned();
    for (name, kinds) in COMPONENTS {
        let devices = devices(report, kinds);
        if !devices.is_empty() {
            let _ = write!(text, " {} with device(s) {}.", name.to_uppercase(), devices.join(", "));
        }
    }
    text
}

/// The line with the estimated components and their errors. Powers and consumptions have no field for errors.
fn estimated(report: &Value) -> Option<String> {
    let all = report.get("components").and_then(Value::as_array).into_iter().flatten();
    let part = |one: &Value| {
        let (band, kind) = (ErrorBand::read(one.get("error"))?, one.get("kind")?.as_str()?);
        Some(format!("{kind} (the truth is {} to {} times as much)", times(band.low), times(band.high)))
    };
    let parts: Vec<String> = all.filter_map(part).collect();
    (!parts.is_empty()).then(|| format!("Estimated, with an error stated for nine cases of ten: {}.", parts.join(", ")))
}

/// The names of the devices of these kinds.
fn devices(report: &Value, kinds: &[&str]) -> Vec<String> {
    let text = |component: &Value, key: &str| component.get(key).and_then(Value::as_str).map(str::to_owned);
    let is_of_them = |component: &&Value| text(component, "kind").is_some_and(|kind| kinds.contains(&kind.as_str()));
    let components = report.get("components").and_then(Value::as_array).into_iter().flatten();
    components.filter(is_of_them).map(|one| plain(&text(one, "device").unwrap_or_default())).collect()
}

/// A name without the characters that have a meaning for Carbontracker's parser.
fn plain(name: &str) -> String {
    let plain = |c: char| match c {
        '.' | ',' | ':' | '<' | '>' | '&' => '_',
        c if c == ' ' || c.is_ascii_graphic() => c,
        _ => '?',
    };
    let name: String = name.trim().chars().map(plain).collect();
    if name.is_empty() { "unknown".into() } else { name }
}

fn average(figure: &str) -> String {
    format!("Average carbon intensity during training was {figure} gCO2eq/kWh")
}

fn stamped(at: UnixS, lines: &[String]) -> String {
    let at = instant(at.0).unwrap_or("0000-00-00T00:00:00Z".into()).replace('T', " ").replace('Z', "");
    lines.iter().map(|line| format!("{at} - {line}\n")).collect()
}

fn centiseconds(seconds: f64) -> u64 {
    (seconds * 100.0).round() as u64
}

fn clock(centiseconds: u64) -> String {
    let (minutes, rest) = (centiseconds / 6000, centiseconds % 6000);
    format!("{}:{:02}:{:02}.{:02}", minutes / 60, minutes % 60, rest / 100, rest % 100)
}

/// A number with nine significant digits, at least `least` decimals and no exponent.
fn decimal(x: f64, least: usize) -> String {
    let digits = if x == 0.0 { 0.0 } else { 8.0 - x.abs().log10().floor() };
    let decimals = least.max(digits as usize);
    format!("{x:.decimals$}")
}

fn number(value: &Value, pointer: &str) -> Option<f64> {
    value.pointer(pointer)?.as_f64()
}

fn count(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

#[cfg(test)]
mod tests;
