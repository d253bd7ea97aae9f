//! The two logs that Carbontracker 2.4.7 writes, so that its parser, its aggregate and its PDF report read our runs. Pure:
//! from the report's JSON and its epochs to text. Times are UTC.
//!
//! What its parser makes of them decides their form:
//! - It multiplies a power by a duration of two decimals. So what is rounded off a duration goes to the next, and a power
//!   is its energy by the duration that stands there: the products are the energies.
//! - It takes one number for a component, though there may be several devices: here their sum. Memory and node count as
//!   `cpu`, as memory does in Carbontracker. Powers are the devices' own, without PUE.
//! - A component that is listed needs a line in every epoch, else none is read; `None` is what is not known.
//! - Its aggregate prefers a prediction for several epochs to what was used, but where the training was interrupted. So
//!   there alone one stands in the output log.
//! - Its numbers know no exponent, its device names neither `.` nor `,`.

use crate::clock::UnixS;
use crate::measurement::channel::ErrorBand;
use crate::units::{J_PER_KWH, instant, times};
use serde_json::Value;
use std::fmt::Write;

/// An entry covers at least so many seconds: shorter ones would lose too much to two decimals.
const SHORTEST_S: f64 = 0.1;
/// And at least this share of the time before it: so a million epochs are some ten thousand entries.
const SHARE: f64 = 1.0 / 4096.0;
/// A kilometre by car, g CO2e: the factor and unit of Carbontracker 2.4.7.
const G_PER_KM: f64 = 106.8;
/// Its words for what was found, and what counts as it here.
const COMPONENTS: [(&str, &[&str]); 2] = [("gpu", &["gpu"]), ("cpu", &["cpu", "dram", "node"])];

/// The standard log, `*_carbontracker.log`, written as the run goes on. What its methods return is to be appended.
pub struct StandardLog {
    is_listed: [bool; COMPONENTS.len()],
    /// Used energy, but came too late for the head.
    is_missed: [bool; COMPONENTS.len()],
    gathered: Gathered,
    /// Time in entries, s.
    elapsed_s: f64,
    /// What durations were rounded off by so far, s.
    owed_s: f64,
}

/// Epochs of an entry to come.
#[derive(Default)]
struct Gathered {
    /// Number of the first, from 1.
    first: u64,
    last: u64,
    duration_s: f64,
    /// By component, J.
    energy_j: [Option<f64>; COMPONENTS.len()],
}

impl StandardLog {
    /// For a run whose devices are found: best when its first epoch is settled.
    pub fn new(report: &Value) -> StandardLog {
        let is_listed = COMPONENTS.map(|(_, kinds)| !devices(report, kinds).is_empty());
        let is_missed = [false; COMPONENTS.len()];
        StandardLog { is_listed, is_missed, gathered: Gathered::default(), elapsed_s: 0.0, owed_s: 0.0 }
    }

    /// What comes first; `at` here and below in s since 1970.
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

    /// An epoch, an object of the report's `epochs`. Short ones are gathered and told as one, which says so; then this is
    /// empty until there are enough.
    pub fn epoch(&mut self, epoch: &Value, at: UnixS) -> String {
        self.gathered.add(epoch);
        let least_s = SHORTEST_S.max(self.elapsed_s * SHARE);
        if self.gathered.duration_s < least_s { String::new() } else { self.entry(at) }
    }

    /// What comes last.
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
        let shown = centiseconds(duration_s + self.owed_s).max(1);
        let shown_s = shown as f64 / 100.0;
        self.owed_s += duration_s - shown_s;
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

/// A line of the standard log: the forecast at this moment, in words that its parser leaves alone; empty where there is none.
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

/// The output log, `*_carbontracker_output.log`, whole: what was used up to now, with PUE. A prediction is in it of a run
/// that ended early; the standard log's tail is to be written before that. Where the energy is unknown there is no
/// consumption in it, which its parser passes over.
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

/// What a block of the output log tells.
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

    /// Its parser wants every line of it; an emission it does not know it takes as NaN, and leaves out of its sum.
    fn block(&self, title: &str) -> String {
        let Consumed { duration_s, facility_kwh, co2eq_g } = self;
        let (time, energy) = (clock(centiseconds(*duration_s)), decimal(*facility_kwh, 12));
        let grams = co2eq_g.map_or("nan".into(), |grams| decimal(grams, 12));
        let equal =
            co2eq_g.map_or(String::new(), |grams| format!("\n\t{} km travelled by car", decimal(grams / G_PER_KM, 12)));
        format!(
            "\n{title}\n\tTime:\t{time}\n\tEnergy:\t{energy} kWh\n\tCO2eq:\t{grams} g\n\tThis is equivalent to:{equal}"
        )
    }
}

/// A figure that may still change is given in the form that yields to that of the end (which names an interval: this is
/// Carbontracker's); and where no power is known none is given, or the PDF report would price that as 0.
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

/// Of a run that is over, whose state is "done" however many epochs it had. By monitor_epochs, with which nothing that
/// remains is forecast, it stops in good order.
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

/// Which components are estimated, and how far off they may be: their powers and consumptions have no place for it.
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

/// A name in characters that mean nothing to its parser.
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

/// Nine significant digits, at least so many after the point, no exponent.
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
