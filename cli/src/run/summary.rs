//! A summary of a run in a few lines, from the report's JSON.

use crate::report_files::number;
use carbontracker::measurement::channel::WHOLE_MACHINE;
use carbontracker::report::text::place_name;
use carbontracker::units::ErrorBand;
use carbontracker::units::{Amount, digits, duration};
use serde_json::Value;

/// The run's energy, time, emissions, epochs and devices. A program that fails saves nothing by its early end.
pub fn brief(report: &Value, has_succeeded: bool) -> String {
    let mut lines = vec![head(report), emissions(report)];
    lines.extend(epochs(report));
    lines.extend(saved(report).filter(|_| has_succeeded));
    lines.extend(devices(report));
    lines.extend(whole_machine(report));
    lines.extend(strings(report.get("notes")).map(|note| format!("  note: {note}")));
    lines.push(String::new());
    lines.join("\n")
}

/// A quantity as text, or "unknown".
fn shown(value: Option<f64>, show: fn(f64) -> String) -> String {
    value.map_or("unknown".into(), show)
}

/// An amount as text, or "unknown". An estimate has its interval.
fn amount(value: Option<f64>, amount: Amount, error: Option<ErrorBand>) -> String {
    value.map_or("unknown".into(), |value| amount.with(value, error))
}

fn error(of: &Value, pointer: &str) -> Option<ErrorBand> {
    ErrorBand::read(of.pointer(pointer))
}

fn strings(of: Option<&Value>) -> impl Iterator<Item = &str> {
    of.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn head(report: &Value) -> String {
    let name = report.pointer("/run/name").and_then(Value::as_str).unwrap_or("run");
    let (seconds, joules) = (number(report, "/usage/duration_s"), number(report, "/usage/energy_j"));
    let watts = joules.zip(seconds).filter(|(_, seconds)| *seconds > 0.0).map(|(joules, seconds)| joules / seconds);
    let error = error(report, "/usage/error");
    let mean = watts.map(|watts| Amount::Power.alone(watts, error));
    let mean = mean.map_or(String::new(), |mean| format!(", {mean} on average"));
    let in_joules = joules.filter(|_| error.is_none()).map(|joules| format!(" ({})", Amount::Joules.exact(joules)));
    let energy = amount(joules, Amount::Energy, error) + &in_joules.unwrap_or_default();
    format!("{name}: {}, energy {energy}{mean}", shown(seconds, duration))
}

fn emissions(report: &Value) -> String {
    let text = |pointer: &str| Some(report.pointer(pointer)?.as_str()?.to_owned());
    let year = number(report, "/intensity/year").map(|year| year.to_string());
    // A yearly figure has its year, the user's own has neither.
    let kind = text("/intensity/kind").filter(|kind| !["static", "constant"].contains(&kind.as_str()));
    let of: Vec<String> =
        [text("/intensity/zone").map(|zone| place_name(&zone).to_owned()), year, kind].into_iter().flatten().collect();
    let of = if of.is_empty() { String::new() } else { format!(" ({})", of.join(", ")) };
    let pue = number(report, "/pue").filter(|pue| *pue != 1.0).map_or(String::new(), |pue| format!(", PUE {pue}"));
    let intensity = shown(number(report, "/intensity/g_per_kwh"), digits);
    let grams = amount(number(report, "/usage/co2eq_g"), Amount::Grams, error(report, "/usage/error"));
    format!("  CO2e  {grams} at {intensity} g/kWh{of}{pue}")
}

/// The means over epochs. None if there are fewer than two.
fn epochs(report: &Value) -> Option<String> {
    let done = number(report, "/run/epochs_done").filter(|done| *done > 1.0)?;
    let each = |pointer: &str| number(report, pointer).map(|all| all / done);
    let error = error(report, "/usage/error");
    let joules = each("/usage/epochs/energy_j");
    let joules = joules.map_or("unknown".into(), |joules| Amount::Energy.alone(joules, error));
    let seconds = shown(each("/usage/epochs/duration_s"), duration);
    Some(format!("  epochs {done}, {seconds} and {joules} each on average"))
}

/// What the program saved by ending before its planned epochs, by the forecast. None: it did not, or it is unknown.
fn saved(report: &Value) -> Option<String> {
    let planned = number(report, "/run/epochs_planned")?;
    let done = number(report, "/run/epochs_done").filter(|done| *done < planned)?;
    number(report, "/forecast/after_epochs").filter(|epochs| *epochs > 0.0)?;
    let rest = |name: &str| number(report, &format!("/forecast/remaining/{name}/value"));
    let joules = rest("energy_j").map(|joules| Amount::Energy.alone(joules, error(report, "/usage/error")));
    let saved: Vec<String> = rest("duration_s").map(duration).into_iter().chain(joules).collect();
    (!saved.is_empty()).then(|| {
        format!("  ended after {done} of {planned} epochs: by the forecast, an estimated {} saved", saved.join(", "))
    })
}

/// A line for each device, and one for the sources that a fix would enable.
fn devices(report: &Value) -> Vec<String> {
    let list = |name: &str| report.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let line = |one: &Value| {
        let error = error(one, "/error");
        let watts = number(one, "/mean_power_w").map(|watts| Amount::Power.alone(watts, error));
        let watts = watts.map_or(String::new(), |watts| format!(", {watts}"));
        let used = amount(number(one, "/energy_j"), Amount::Energy, error);
        let [kind, device, method, source] = ["kind", "device", "method", "source"].map(|key| text(one, key));
        format!("  {kind:<5} {used}{watts}: {device}, {method} by {source}")
    };
    let mut lines: Vec<String> = list("components").iter().map(line).collect();
    let fixable = list("unavailable").iter().filter(|one| one.get("cure").is_some_and(Value::is_string));
    let mut sources: Vec<String> = fixable.map(|one| text(one, "source")).collect();
    sources.dedup();
    if !sources.is_empty() {
        lines.push(format!("  not measured: {}; 'carbontracker doctor' shows why, and the fix", sources.join(", ")));
    }
    lines
}

/// A line if an estimate covers the whole machine. With `scope=job` the energy is the job's, so there is none.
fn whole_machine(report: &Value) -> Option<String> {
    let devices =
        report.get("components").and_then(Value::as_array).filter(|_| report.pointer("/share/scope").is_none());
    let covers = |one: &Value| one.get("note").and_then(Value::as_str).is_some_and(|note| note.contains(WHOLE_MACHINE));
    devices.into_iter().flatten().any(covers).then(|| {
        "  the estimate covers the whole machine: other programs on it count too; -o scope=job leaves them out".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn summary_shows_unknown_values_as_unknown() {
        let report = json!({
            "run": {"name": "make", "epochs_done": 2},
            "usage": {"duration_s": 4.0, "energy_j": 200.0, "co2eq_g": 0.02, "epochs": {"duration_s": 4.0, "energy_j": 200.0}},
            "intensity": {"g_per_kwh": 360.0, "kind": "static", "zone": "DK", "year": 2025},
            "pue": 1.5,
            "components": [{"kind": "cpu", "device": "package-0", "method": "counter", "source": "rapl", "energy_j": 200.0, "mean_power_w": 50.0}],
            "unavailable": [{"source": "nvml", "reason": "?", "cure": "!"}, {"source": "amdgpu", "reason": "?", "cure": null}],
            "notes": ["mind"],
        });
        let text = "make: 4.00 s, energy 55.6 mWh (200 J), 50.0 W on average
  CO2e  20.0 mg at 360 g/kWh (DK, 2025), PUE 1.5
  epochs 2, 2.00 s and 27.8 mWh each on average
  cpu   55.6 mWh, 50.0 W: package-0, counter by rapl
  not measured: nvml; 'carbontracker doctor' shows why, and the fix
  note: mind
";
        assert_eq!(brief(&report, true), text);
        let mut early = report.clone();
        early["run"]["epochs_planned"] = json!(10);
        early["forecast"] =
            json!({"after_epochs": 2, "remaining": {"duration_s": {"value": 16.0}, "energy_j": {"value": 800.0}}});
        let line = "  ended after 2 of 10 epochs: by the forecast, an estimated 16.0 s, 222 mWh saved\n";
        assert!(brief(&early, true).contains(line), "{}", brief(&early, true));
        assert!(!brief(&early, false).contains("saved"), "the program failed");
        early["forecast"]["after_epochs"] = json!(0);
        assert!(!brief(&early, true).contains("saved"), "by earlier runs only");
        let mut estimated = report.clone();
        let half_or_twice = json!({"low": 0.5, "high": 2.0});
        estimated["usage"]["error"] = half_or_twice.clone();
        estimated["components"][0]["error"] = half_or_twice;
        let first = "make: 4.00 s, energy ≈ 56 mWh (28 to 110), ≈ 50 W on average
  CO2e  ≈ 20 mg (10 to 40) at 360 g/kWh (DK, 2025), PUE 1.5
  epochs 2, 2.00 s and ≈ 28 mWh each on average
  cpu   ≈ 56 mWh (28 to 110), ≈ 50 W: package-0";
        assert!(brief(&estimated, true).starts_with(first), "{}", brief(&estimated, true));
        assert!(!brief(&estimated, true).contains("whole machine"));
        estimated["components"][0]["note"] = json!(format!("half or twice; {WHOLE_MACHINE}"));
        let line =
            "  the estimate covers the whole machine: other programs on it count too; -o scope=job leaves them out\n";
        assert!(brief(&estimated, true).contains(line), "{}", brief(&estimated, true));
        estimated["share"] = json!({"scope": "job"});
        assert!(!brief(&estimated, true).contains("whole machine"), "it is the job's part");
        assert_eq!(brief(&json!({}), true), "run: unknown, energy unknown\n  CO2e  unknown at unknown g/kWh\n");
    }
}
