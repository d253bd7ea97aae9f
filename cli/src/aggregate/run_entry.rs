//! The values of one run that totals need, read from its report.

use super::sum::Estimated;
use crate::report_files;
use carbontracker::report::ranks::RankReport;
use carbontracker::report::{figures, ranks, unstated};
use carbontracker::units::ErrorBand;
use carbontracker::units::J_PER_KWH;
use serde_json::{Map, Value, json};

/// How energy can be determined. `unknown` stands for a report that does not state it.
pub const METHODS: [&str; 5] = ["counter", "power", "estimate", "simulated", "unknown"];

/// The values of one run.
#[derive(Debug)]
pub struct RunEntry {
    /// Path of its file.
    pub file: String,
    pub id: String,
    /// Version of carbontracker.
    pub version: Option<String>,
    pub name: Option<String>,
    pub host: Option<String>,
    /// All hosts of a job, or the host of a single run.
    pub hosts: Vec<String>,
    /// The job it belongs to.
    pub job: Option<String>,
    pub rank: Option<u64>,
    /// The number of processes it consists of.
    pub ranks: u64,
    pub state: Option<String>,
    /// When it began, s since 1970.
    pub from: Option<f64>,
    /// When it ended, s since 1970.
    pub to: Option<f64>,
    pub epochs: u64,
    /// None: unknown, as before the first epoch and in some logs.
    pub duration_s: Option<f64>,
    /// Error band of its energy. None: it is measured.
    pub error: Option<ErrorBand>,
    /// The report states no error band: it is assumed.
    pub is_error_assumed: bool,
    /// Energy of the devices, without PUE, J.
    pub energy_j: Option<f64>,
    /// Energy with PUE, kWh.
    pub facility_kwh: Option<f64>,
    pub co2eq_g: Option<f64>,
    /// With `scope=job`: energy of the job, of the others and of both, J.
    pub shares_j: [Option<f64>; 3],
    /// Share of the time that readings cover, 0 to 1.
    pub coverage: Option<f64>,
    pub pue: Option<f64>,
    /// Another process of the job counts its devices.
    pub counted_elsewhere: bool,
    /// Whether the ranks of the job agreed on their devices. None: unknown.
    pub agreed: Option<bool>,
    /// Energy by method, J, in the order of `METHODS`.
    pub by_method: [f64; METHODS.len()],
    /// The estimated energy and its interval.
    pub estimated: Estimated,
    pub intensity: IntensityOrigin,
    /// The parts of the report needed to merge it with other ranks. None: it is no rank of a job.
    pub slim: Option<Value>,
}

/// Where a run's carbon intensity comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IntensityOrigin {
    pub kind: Option<String>,
    pub zone: Option<String>,
    pub year: Option<u64>,
    pub basis: Option<String>,
    pub source: Option<String>,
}

impl RunEntry {
    /// Reads a report. An error names the field that is missing or wrong.
    pub fn of(file: String, report: &Value) -> Result<RunEntry, String> {
        let word = |pointer: &str| report_files::word(report, pointer).map(str::to_owned);
        let amount = |pointer: &str| amount(report.pointer(pointer)).map_err(|reason| format!("{pointer} {reason}"));
        let duration_s = amount("/usage/duration_s")?;
        let energy_j = amount("/usage/energy_j")?;
        let count = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64);
        let hosts = report.pointer("/run/hosts").and_then(Value::as_array);
        let hosts = hosts.map(|hosts| hosts.iter().filter_map(Value::as_str).map(str::to_owned).collect());
        Ok(RunEntry {
            file,
            id: word("/run/id").ok_or("/run/id is not a text")?,
            version: word("/run/version"),
            name: word("/run/name"),
            host: word("/run/host"),
            hosts: hosts.unwrap_or_else(|| word("/run/host").into_iter().collect()),
            job: word("/run/job"),
            rank: count("/run/rank"),
            ranks: count("/run/ranks_found").unwrap_or(1),
            state: word("/run/state"),
            from: ranks::started(report),
            to: ranks::ended(report),
            epochs: count("/run/epochs_done").ok_or("/run/epochs_done is not a number")?,
            duration_s,
            error: ErrorBand::read(report.pointer("/usage/error")),
            is_error_assumed: unstated::is_assumed(report),
            energy_j,
            facility_kwh: amount("/usage/facility_energy_kwh")?,
            co2eq_g: amount("/usage/co2eq_g")?,
            shares_j: ["job_j", "others_j", "device_j"]
                .map(|name| report_files::number(report, &format!("/share/{name}"))),
            coverage: amount("/usage/coverage")?,
            pue: amount("/pue")?,
            counted_elsewhere: ranks::is_counted_elsewhere(report),
            agreed: report.pointer("/job/agreed").and_then(Value::as_bool),
            by_method: by_method(report, energy_j),
            estimated: Estimated::of(report),
            intensity: IntensityOrigin {
                kind: word("/intensity/kind"),
                zone: word("/intensity/zone"),
                year: count("/intensity/year"),
                basis: word("/intensity/basis"),
                source: word("/intensity/source"),
            },
            slim: slim(report),
        })
    }

    /// Reads a report without a file. An error names the run too, and a fix.
    pub fn of_report(report: &Value) -> Result<RunEntry, String> {
        let id = report_files::word(report, "/run/id").unwrap_or("without id");
        RunEntry::of(String::new(), report)
            .map_err(|why| format!("run {id}: {why}. Leave this run out, or measure it again"))
    }

    /// True if the run was killed or is in progress: there is no final report.
    pub fn is_unfinished(&self) -> bool {
        self.state.as_deref() == Some("unfinished")
    }

    /// True if its energy is unknown, with and without PUE.
    pub fn is_without_energy(&self) -> bool {
        self.energy_j.is_none() && self.facility_kwh.is_none()
    }

    /// True if it holds more of the run than another copy.
    pub fn is_fuller_than(&self, other: &RunEntry) -> bool {
        let rank = |run: &RunEntry| (run.epochs, !run.is_unfinished());
        rank(self) > rank(other) || (rank(self) == rank(other) && self.duration_s > other.duration_s)
    }

    /// The run in `aggregate --json`.
    pub fn json(&self) -> Value {
        let kwh = self.energy_j.map(|joules| joules / J_PER_KWH);
        let amounts = [self.energy_j, kwh, self.facility_kwh, self.co2eq_g];
        with(figures(amounts.map(|amount| (amount, self.error))), self.plain_json())
    }

    /// The run in JSON, without intervals.
    fn plain_json(&self) -> Value {
        json!({
            "file": self.file,
            "id": self.id,
            "version": self.version,
            "name": self.name,
            "host": self.host,
            "hosts": self.hosts,
            "job": self.job,
            "rank": self.rank,
            "ranks": self.ranks,
            "state": self.state,
            "started_unix_s": self.from,
            "ended_unix_s": self.to,
            "epochs": self.epochs,
            "duration_s": self.duration_s,
            "energy_j": self.energy_j,
            "energy_kwh": self.energy_j.map(|joules| joules / J_PER_KWH),
            "facility_energy_kwh": self.facility_kwh,
            "co2eq_g": self.co2eq_g,
            "coverage": self.coverage,
            "pue": self.pue,
            "counted_elsewhere": self.counted_elsewhere,
            "agreed": self.agreed,
            "intensity": self.intensity.json(),
        })
    }
}

impl IntensityOrigin {
    pub fn json(&self) -> Value {
        json!({"kind": self.kind, "zone": self.zone, "year": self.year, "basis": self.basis, "source": self.source})
    }
}

/// An object with more fields.
pub fn with(more: Map<String, Value>, mut object: Value) -> Value {
    object.as_object_mut().into_iter().for_each(|object| object.extend(more.clone()));
    object
}

/// A quantity from 0. Null or absent is unknown.
fn amount(value: Option<&Value>) -> Result<Option<f64>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let amount = value.as_f64().filter(|amount| *amount >= 0.0);
            amount.map(Some).ok_or_else(|| format!("is {value}: expected a number from 0, or null"))
        }
    }
}

/// Energy by method, J, from the components. If they have no energy, all energy is of unknown method.
fn by_method(report: &Value, energy_j: Option<f64>) -> [f64; METHODS.len()] {
    let mut joules = [0.0; METHODS.len()];
    for component in report.get("components").and_then(Value::as_array).into_iter().flatten() {
        let is_simulated = report_files::word(component, "/status") == Some("simulated");
        let method = if is_simulated { Some("simulated") } else { report_files::word(component, "/method") };
        let known = METHODS.iter().position(|name| method == Some(name)).unwrap_or(METHODS.len() - 1);
        if let (Some(sum), Some(energy_j)) = (joules.get_mut(known), report_files::number(component, "/energy_j")) {
            *sum += energy_j;
        }
    }
    if let (true, [.., unknown], Some(energy_j)) = (joules.iter().sum::<f64>() == 0.0, &mut joules, energy_j) {
        *unknown = energy_j;
    }
    joules
}

/// The parts of a rank's report needed to merge it. None if it is no rank of a job.
fn slim(report: &Value) -> Option<Value> {
    const KEPT: [&str; 5] = ["run", "usage", "pue", "components", "job"];
    let part = RankReport::of(report);
    part.job.and(part.rank)?;
    let kept = KEPT.iter().filter_map(|name| Some(((*name).to_owned(), report.get(name)?.clone())));
    let mut slim: serde_json::Map<String, Value> = kept.collect();
    let mut intensity = report.get("intensity").cloned().unwrap_or_default();
    intensity.as_object_mut().into_iter().for_each(|intensity| drop(intensity.remove("hours")));
    slim.insert("intensity".into(), intensity);
    Some(Value::Object(slim))
}
