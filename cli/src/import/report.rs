//! What the logs of a run report, as the library's report; what they do not is null.

use super::events::{Consumption, Found, Power};
use super::outputs::Output;
use super::pairs;
use super::runs::{Entry, Standard};
use carbontracker::measurement::channel::DeviceKind;
use carbontracker::report::unstated;
use carbontracker::units::{J_PER_KWH, sum};
use serde_json::{Map, Value, json};

/// The report of a run.
pub fn report(of: &pairs::Run) -> Value {
    let absent = (Standard::default(), Output::default());
    let (standard, output) = (of.standard.as_ref(), of.output.as_ref());
    let run = Run { of, standard: standard.unwrap_or(&absent.0), output: output.unwrap_or(&absent.1) };
    let used = run.used();
    // A log that lacks its head has no PUE.
    let joules = run.device_j(used.kwh).or_else(|| run.epochs_j().filter(|_| used.kwh.is_none()));
    let is_read = standard.is_some();
    let mut report = json!({
        "schema": 1,
        "run": {
            "id": of.stem,
            "version": run.standard.version,
            "imported": true,
            "name": null,
            "host": null,
            "job": null,
            "rank": null,
            "ranks": null,
            "interval_s": null,
            "last_end_unix_s": null,
            "started": run.started(),
            "state": is_read.then(|| run.state()),
            "epochs_planned": run.planned(),
            "epochs_done": if is_read { run.epochs_done() } else { used.epochs.unwrap_or(0) },
            "progress": null,
            "resumed": null,
        },
        "usage": {
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
            "epochs": {"duration_s": is_read.then(|| run.epochs_s()), "energy_j": run.epochs_j()},
            "between": {"duration_s": null, "energy_j": null},
        },
        "forecast": run.forecast(),
        "forecasts": [],
        "intensity": {
            "g_per_kwh": run.standard.intensity,
            "kind": null,
            "zone": null,
            "year": null,
            "basis": null,
            "use": null,
            "source": run.standard.place.as_ref().map(|place| format!("by Carbontracker, at {place}")),
            "slots_used": null,
            "coverage": null,
            "metered_share": null,
            "hours": null,
        },
        "pue": run.standard.pue,
        "facility": null,
        "job": null,
        "power": null,
        "components": run.components(),
        "unavailable": [],
        "epochs": run.standard.epochs.iter().map(|entry| run.epoch(entry)).collect::<Value>(),
        "equivalents": [],
        "what_if": null,
        "extras": {"cost": null, "water": null, "embodied": null, "marginal": null},
        "notes": run.notes(),
    });
    unstated::complete(&mut report);
    report
}

struct Run<'a> {
    of: &'a pairs::Run,
    standard: &'a Standard,
    output: &'a Output,
}

impl Run<'_> {
    fn started(&self) -> Option<String> {
        let started = self.standard.started.as_ref().or(self.output.started.as_ref())?;
        let zone = if self.standard.is_ours { "Z" } else { "" };
        Some(started.replace(' ', "T") + zone)
    }

    fn state(&self) -> &'static str {
        // Ours may have been taken up after that, and come to its end.
        let is_short = self.standard.planned.is_none_or(|planned| self.epochs_done() < planned);
        match (self.standard.is_ended, self.standard.is_interrupted && is_short) {
            (_, true) => "between",
            (true, _) => "done",
            _ => "unfinished",
        }
    }

    fn planned(&self) -> u64 {
        let predicted = self.output.predicted.as_ref().and_then(|predicted| predicted.epochs);
        self.standard.planned.or(predicted).unwrap_or(0)
    }

    fn epochs_done(&self) -> u64 {
        self.standard.epochs.iter().map(Entry::count).sum()
    }

    fn epochs_s(&self) -> f64 {
        self.standard.epochs.iter().map(|entry| entry.duration_s).sum()
    }

    /// What is known of it: an epoch may lack a component.
    fn epochs_j(&self) -> Option<f64> {
        self.standard.joules()
    }

    /// With PUE: what the output log reports, else what the epochs come to.
    fn used(&self) -> Consumption {
        // Ours is renewed from time to time: that of a killed run may be older than its last epochs.
        let is_old = |actual: &&Consumption| self.standard.is_ours && actual.epochs < Some(self.epochs_done());
        let actual = self.output.actual.as_ref().filter(|actual| !is_old(actual));
        // A total of few decimals may be rounded by more than the epochs' figures are.
        let is_rounded = self.is_all_known() && actual.is_some_and(|actual| self.standard.is_exacter_than(actual));
        let printed = actual.filter(|_| !is_rounded);
        let kwh = printed.and_then(|actual| actual.kwh).or_else(|| self.standard.kwh());
        let priced = || kwh.zip(self.standard.intensity).map(|(kwh, g_per_kwh)| kwh * g_per_kwh);
        let has_epochs = !self.standard.epochs.is_empty();
        // The output log's time is in whole seconds, but in ours, where it includes that between epochs.
        let exact_s = (has_epochs && !(self.standard.is_ours && actual.is_some())).then(|| self.epochs_s());
        Consumption {
            epochs: actual.and_then(|actual| actual.epochs),
            duration_s: exact_s.or(actual.and_then(|actual| actual.duration_s)),
            kwh,
            co2eq_g: printed.and_then(|actual| actual.co2eq_g).or_else(priced),
            ..Consumption::default()
        }
    }

    /// Without PUE.
    fn device_j(&self, kwh: Option<f64>) -> Option<f64> {
        kwh.zip(self.standard.pue).map(|(kwh, pue)| kwh * J_PER_KWH / pue)
    }

    /// Of a run that did not come to its end.
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

    fn epoch(&self, entry: &Entry) -> Value {
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

    /// A component a device where its power stands by itself, else one a kind.
    fn components(&self) -> Value {
        let of_kind = |found: &Found| -> Vec<Value> {
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
            _ if self.standard.is_ours => (None, Some("the log does not report how it was measured")),
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

    /// Each device's energy, J, where every epoch has each one's power.
    fn joules_each(&self, kind: &str, devices: usize) -> Option<Vec<f64>> {
        let epochs = &self.standard.epochs;
        let each = |entry: &Entry| match entry.power_of(kind)? {
            Power::Each(each) if each.len() == devices => {
                Some(each.iter().map(|watts| watts * entry.duration_s).collect::<Vec<f64>>())
            }
            _ => None,
        };
        epochs
            .iter()
            .map(each)
            .reduce(|sums, more| Some(sums?.into_iter().zip(more?).map(|(sum, joules)| sum + joules).collect()))?
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note = |is_so: bool, text: &str| notes.extend(is_so.then(|| text.to_owned()));
        let (has_standard, has_output) = (self.of.standard.is_some(), self.of.output.is_some());
        let (is_ours, is_foreign) = (has_standard && self.standard.is_ours, has_standard && !self.standard.is_ours);
        note(
            !has_standard,
            "there is no standard log: epochs, components and PUE are not known, nor whether it was interrupted",
        );
        note(is_ours, "read from its log in Carbontracker's format: its report (.json) or journal (.jsonl) holds more");
        note(
            is_foreign,
            "read from Carbontracker's logs: times are local to an unknown zone, and what lies between epochs was not measured",
        );
        let is_empty = self.of.is_output_empty && !has_output;
        note(
            is_empty,
            "its output log is empty, as with verbose=0: energy is what the epochs' powers come to, times PUE",
        );
        note(
            is_foreign && !has_output && !is_empty,
            "there is no output log: energy is what the epochs' powers come to, times PUE",
        );
        note(self.standard.is_torn, "the log breaks off within an epoch, which is left out");
        notes.extend(self.copied());
        notes.extend(self.exceeded());
        if !self.standard.is_ours {
            notes.extend(self.faults());
        }
        notes
    }

    /// Where else its lines are.
    fn copied(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let [first, rest @ ..] = self.of.copies.as_slice() {
            let more = if rest.is_empty() { String::new() } else { format!(" and in {} others", rest.len()) };
            notes.push(format!("its lines are also in {first}{more}: it counts once"));
        }
        if self.standard.times > 1 {
            notes.push(format!(
                "each of its lines is there {} times, as where trackers of one second share a file: it counts once",
                self.standard.times
            ));
        } else if self.output.times > 1 {
            notes.push(format!(
                "its total is there {} times, one directly after the other: it counts once. If these were runs of the \
                 same energy and time, they are missing",
                self.output.times
            ));
        }
        notes
    }

    /// More epochs than were planned: the log is of one run, so that its plan was wrong, or the file holds lines of others.
    fn exceeded(&self) -> Option<String> {
        let (done, planned) = (self.epochs_done(), self.planned());
        (planned > 0 && done > planned).then(|| {
            format!("{done} epochs are in its log, but {planned} were planned: see whether all of them are this run's")
        })
    }

    /// What is known to be wrong with Carbontracker's figures, where it touches this run.
    fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> =
            self.standard.components.iter().filter_map(|found| self.averaged(found)).collect();
        for found in &self.standard.components {
            let unknown = self.standard.epochs.iter().filter(|entry| !entry.is_known(&found.kind)).count();
            if unknown > 0 {
                faults.push(format!("{}: no power is known of {unknown} epochs; Carbontracker's total takes a neighbour's or 0 for them", found.kind));
            }
            let is_zero = |entry: &&Entry| entry.joules_of(&found.kind) == Some(0.0) && entry.duration_s > 0.0;
            let zero = self.standard.epochs.iter().filter(is_zero).count();
            if zero > 0 {
                faults.push(format!(
                    "{}: 0 W in {zero} epochs, which Carbontracker also writes where it may not read a counter",
                    found.kind
                ));
            }
        }
        faults.extend(self.disagreement());
        faults.extend(self.aggregated());
        faults
    }

    /// Whether every epoch has the power of every component.
    fn is_all_known(&self) -> bool {
        let found = &self.standard.components;
        self.standard.epochs.iter().all(|entry| found.iter().all(|found| entry.is_known(&found.kind)))
    }

    /// Where the two logs do not agree.
    fn disagreement(&self) -> Option<String> {
        const OFF: f64 = 0.05;
        let off = self.standard.off(self.output.actual.as_ref()?).filter(|off| self.is_all_known() && *off > OFF)?;
        Some(format!(
            "its output log's energy, which counts, is {:.0} % off what its epochs' powers come to",
            off * 100.0
        ))
    }

    /// 2.x takes the mean over devices for their sum.
    fn averaged(&self, found: &Found) -> Option<String> {
        let devices = found.devices.len();
        let is_one = |entry: &Entry| matches!(entry.power_of(&found.kind), Some(Power::One(_)));
        let is_averaged = devices > 1 && self.standard.epochs.iter().any(is_one);
        is_averaged.then(|| {
            format!(
                "{}: {devices} devices but one power: Carbontracker 2.x takes their mean for their sum, so its energy may be low by a factor of {devices}; it is left as it is",
                found.kind
            )
        })
    }

    /// Where Carbontracker's own aggregate counts something else.
    fn aggregated(&self) -> Option<String> {
        let Output { actual, predicted, .. } = self.output;
        let has_equivalents = |block: &Option<Consumption>| block.as_ref().is_some_and(|block| block.has_equivalents);
        let is_lost =
            (actual.is_some() || predicted.is_some()) && !has_equivalents(actual) && !has_equivalents(predicted);
        let is_several = predicted.as_ref().is_some_and(|predicted| predicted.epochs != Some(1));
        let is_replaced = is_several && (actual.is_none() || !self.standard.is_interrupted);
        let instead = match (is_lost, is_replaced) {
            (true, _) => "leaves this run out, because its log has no equivalents",
            (_, true) => "counts the prediction for this run",
            _ => return None,
        };
        Some(format!("Carbontracker's own aggregate {instead}"))
    }
}

impl Entry {
    fn power_of(&self, kind: &str) -> Option<&Power> {
        self.powers.iter().find(|(name, _)| name == kind).map(|(_, power)| power)
    }

    fn is_known(&self, kind: &str) -> bool {
        self.joules_of(kind).is_some()
    }

    /// A component's energy, J.
    pub fn joules_of(&self, kind: &str) -> Option<f64> {
        let watts = match self.power_of(kind)? {
            Power::Unknown => return None,
            Power::One(watts) => *watts,
            Power::Each(each) => each.iter().sum(),
        };
        Some(watts * self.duration_s)
    }

    /// All components' energy, J; None where one of them is unknown.
    fn joules(&self) -> Option<f64> {
        let joules: Option<Vec<f64>> = self.powers.iter().map(|(kind, _)| self.joules_of(kind)).collect();
        joules.filter(|joules| !joules.is_empty()).map(|joules| joules.iter().sum())
    }
}
