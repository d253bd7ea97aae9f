//! Makes a report in the library's format from the logs of a run. Unknown values are null.

use super::epochs::LoggedEpoch;
use super::events::{Consumption, FoundDevices, LoggedPower};
use super::outputs::OutputRun;
use super::pairs;
use super::runs::StandardRun;
use carbontracker::measurement::channel::DeviceKind;
use carbontracker::report::unstated;
use carbontracker::units::{J_PER_KWH, sum};
use serde_json::{Map, Value, json};

/// The report of a run.
pub fn report(run: &pairs::LoggedRun) -> Value {
    let (no_standard, no_output) = (StandardRun::default(), OutputRun::default());
    let standard = run.standard.as_ref().unwrap_or(&no_standard);
    let builder = ReportBuilder { run, standard, output: run.output.as_ref().unwrap_or(&no_output) };
    let used = builder.used();
    let mut report = json!({
        "schema": 1,
        "run": builder.run_section(&used),
        "usage": builder.usage(&used),
        "forecast": builder.forecast(),
        "forecasts": [],
        "intensity": builder.intensity(),
        "pue": standard.pue,
        "facility": null,
        "job": null,
        "power": null,
        "components": builder.components(),
        "unavailable": [],
        "epochs": standard.epochs.iter().map(|entry| builder.epoch(entry)).collect::<Value>(),
        "equivalents": [],
        "what_if": null,
        "extras": {"cost": null, "water": null, "embodied": null, "marginal": null},
        "notes": builder.notes(),
    });
    unstated::complete(&mut report);
    report
}

/// A run's logs. A missing log is empty here.
pub struct ReportBuilder<'a> {
    pub run: &'a pairs::LoggedRun,
    pub standard: &'a StandardRun,
    pub output: &'a OutputRun,
}

impl ReportBuilder<'_> {
    fn run_section(&self, used: &Consumption) -> Value {
        let has_standard = self.run.standard.is_some();
        json!({
            "id": self.run.stem,
            "version": self.standard.version,
            "imported": true,
            "name": null,
            "host": null,
            "job": null,
            "rank": null,
            "ranks": null,
            "interval_s": null,
            "last_end_unix_s": null,
            "started": self.started(),
            "state": has_standard.then(|| self.state()),
            "epochs_planned": self.planned(),
            "epochs_done": if has_standard { self.epochs_done() } else { used.epochs.unwrap_or(0) },
            "progress": null,
            "resumed": null,
        })
    }

    fn usage(&self, used: &Consumption) -> Value {
        // A log without its head has no PUE.
        let joules = self.device_j(used.kwh).or_else(|| self.epochs_j().filter(|_| used.kwh.is_none()));
        let epochs_s = self.run.standard.is_some().then(|| self.epochs_s());
        json!({
            "duration_s": used.duration_s,
            "energy_j": joules,
            "energy_kwh": joules.map(|joules| joules / J_PER_KWH),
            "facility_energy_kwh": used.kwh,
            "co2eq_g": used.co2eq_g,
            "error": null,
            "energy_low_j": null,
            "energy_high_j": null,
            "energy_low_kwh": null,
            "energy_high_kwh": null,
            "facility_energy_low_kwh": null,
            "facility_energy_high_kwh": null,
            "co2eq_low_g": null,
            "co2eq_high_g": null,
            "coverage": null,
            "epochs": {"duration_s": epochs_s, "energy_j": self.epochs_j()},
            "between": {"duration_s": null, "energy_j": null},
        })
    }

    fn intensity(&self) -> Value {
        json!({
            "g_per_kwh": self.standard.intensity,
            "kind": null,
            "zone": null,
            "year": null,
            "basis": null,
            "use": null,
            "source": self.standard.place.as_ref().map(|place| format!("by Carbontracker, at {place}")),
            "slots_used": null,
            "coverage": null,
            "metered_share": null,
            "hours": null,
        })
    }

    fn started(&self) -> Option<String> {
        let started = self.standard.started.as_ref().or(self.output.started.as_ref())?;
        let zone = if self.standard.is_ours { "Z" } else { "" };
        Some(started.replace(' ', "T") + zone)
    }

    fn state(&self) -> &'static str {
        // A run of this library may be resumed after an interruption and then finish.
        let is_short = self.standard.planned.is_none_or(|planned| self.epochs_done() < planned);
        match (self.standard.is_ended, self.standard.is_interrupted && is_short) {
            (_, true) => "between",
            (true, _) => "done",
            _ => "unfinished",
        }
    }

    /// Planned epochs, 0 if unknown.
    pub fn planned(&self) -> u64 {
        let predicted = self.output.predicted.as_ref().and_then(|predicted| predicted.epochs);
        self.standard.planned.or(predicted).unwrap_or(0)
    }

    pub fn epochs_done(&self) -> u64 {
        self.standard.epochs.iter().map(LoggedEpoch::count).sum()
    }

    fn epochs_s(&self) -> f64 {
        self.standard.epochs.iter().map(|entry| entry.duration_s).sum()
    }

    /// Energy of the epochs, as far as it is known, J. An epoch may lack a component.
    fn epochs_j(&self) -> Option<f64> {
        self.standard.joules()
    }

    /// Time, energy with PUE, and emissions: from the output log, otherwise from the epochs.
    fn used(&self) -> Consumption {
        // This library rewrites its output log at intervals: after a kill it may lack the last epochs.
        let is_old = |actual: &&Consumption| self.standard.is_ours && actual.epochs < Some(self.epochs_done());
        let actual = self.output.actual.as_ref().filter(|actual| !is_old(actual));
        // A total with few decimals may be less precise than the epochs.
        let is_rounded = self.is_all_known() && actual.is_some_and(|actual| self.standard.is_more_precise_than(actual));
        let printed = actual.filter(|_| !is_rounded);
        let kwh = printed.and_then(|actual| actual.kwh).or_else(|| self.standard.kwh());
        let from_intensity = || kwh.zip(self.standard.intensity).map(|(kwh, g_per_kwh)| kwh * g_per_kwh);
        let has_epochs = !self.standard.epochs.is_empty();
        // The output log has whole seconds. That of this library is exact and includes the time between epochs.
        let exact_s = (has_epochs && !(self.standard.is_ours && actual.is_some())).then(|| self.epochs_s());
        Consumption {
            epochs: actual.and_then(|actual| actual.epochs),
            duration_s: exact_s.or(actual.and_then(|actual| actual.duration_s)),
            kwh,
            co2eq_g: printed.and_then(|actual| actual.co2eq_g).or_else(from_intensity),
            ..Consumption::default()
        }
    }

    /// Energy of the devices, without PUE, J.
    fn device_j(&self, kwh: Option<f64>) -> Option<f64> {
        kwh.zip(self.standard.pue).map(|(kwh, pue)| kwh * J_PER_KWH / pue)
    }

    /// The forecast of a run that did not finish.
    fn forecast(&self) -> Value {
        let Some(predicted) = self.output.predicted.as_ref().filter(|_| self.state() != "done") else {
            return Value::Null;
        };
        let estimate = |value: Option<f64>| value.map(|value| json!({"value": value, "low": null, "high": null}));
        json!({
            "after_epochs": null,
            "level": null,
            "duration_s": estimate(predicted.duration_s),
            "energy_j": estimate(self.device_j(predicted.kwh)),
            "co2eq_g": estimate(predicted.co2eq_g),
            "remaining": {"duration_s": null, "energy_j": null, "co2eq_g": null},
        })
    }

    fn epoch(&self, entry: &LoggedEpoch) -> Value {
        let joules = entry.joules();
        let grams = || Some(joules? / J_PER_KWH * self.standard.pue? * self.standard.intensity?);
        let mut epoch = Map::new();
        epoch.insert("index".into(), json!(entry.first.saturating_sub(1)));
        epoch.insert("count".into(), json!(entry.count()));
        epoch.insert("duration_s".into(), json!(entry.duration_s));
        epoch.insert("energy_j".into(), json!(joules));
        epoch.insert("co2eq_g".into(), json!(grams()));
        epoch.extend(DeviceKind::ALL.map(|kind| (kind.joules().to_owned(), json!(entry.joules_of(kind.name())))));
        Value::Object(epoch)
    }

    /// A component for each device if the log has its power, otherwise for each kind.
    fn components(&self) -> Value {
        let of_kind = |found: &FoundDevices| -> Vec<Value> {
            let whole = sum(self.standard.epochs.iter().map(|entry| entry.joules_of(&found.kind)));
            let each = self.joules_each(&found.kind, found.devices.len());
            let devices = match each {
                Some(each) => found.devices.iter().cloned().zip(each.into_iter().map(Some)).collect(),
                None => vec![(found.devices.join(", "), whole)],
            };
            devices.into_iter().map(|(device, joules)| self.component(&found.kind, device, joules)).collect()
        };
        self.standard.components.iter().flat_map(of_kind).collect()
    }

    fn component(&self, kind: &str, device: String, joules: Option<f64>) -> Value {
        let version = self.standard.version.as_deref().unwrap_or_default();
        let is_rapl = device.split(", ").all(|name| name.contains(':') && name.ends_with(|c: char| c.is_ascii_digit()));
        let (method, note) = match kind {
            _ if self.standard.is_ours => (None, Some("the log does not state how it was measured")),
            "cpu" if !is_rapl => (
                Some("estimate"),
                Some("named by its model: half the processor's TDP, unless it was simulated or on a Mac"),
            ),
            _ => (Some("power"), None),
        };
        let mean_power_w = joules.filter(|_| self.epochs_s() > 0.0).map(|joules| joules / self.epochs_s());
        json!({
            "kind": kind,
            "device": device,
            "id": null,
            "source": format!("carbontracker {version}").trim_end(),
            "method": method,
            "energy_j": joules,
            "mean_power_w": mean_power_w,
            "coverage": null,
            "status": "ok",
            "note": note,
        })
    }

    /// Each device's energy, J. None if an epoch lacks a device's power.
    fn joules_each(&self, kind: &str, devices: usize) -> Option<Vec<f64>> {
        let epochs = &self.standard.epochs;
        let each = |entry: &LoggedEpoch| match entry.power_of(kind)? {
            LoggedPower::Each(each) if each.len() == devices => {
                Some(each.iter().map(|watts| watts * entry.duration_s).collect::<Vec<f64>>())
            }
            _ => None,
        };
        epochs
            .iter()
            .map(each)
            .reduce(|sums, more| Some(sums?.into_iter().zip(more?).map(|(sum, joules)| sum + joules).collect()))?
    }
}
