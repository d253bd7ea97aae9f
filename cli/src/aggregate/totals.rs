//! What many runs come to.

mod sum;

pub use sum::Sum;

use super::job_rows::{self, Row};
use crate::report_files;
use carbontracker::measurement::channel::ErrorBand;
use carbontracker::report::{figures, ranks, unstated};
use carbontracker::units::J_PER_KWH;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use sum::Estimated;

/// How energies come about, as a paper tells them apart. What no log or report tells is the last.
pub const METHODS: [&str; 5] = ["counter", "power", "estimate", "simulated", "unknown"];

/// What counts of one run.
#[derive(Debug)]
pub struct Run {
    pub file: String,
    pub id: String,
    /// Of carbontracker.
    pub version: Option<String>,
    pub name: Option<String>,
    pub host: Option<String>,
    /// All hosts, of a job.
    pub hosts: Vec<String>,
    /// The job that it is a rank of, or all ranks.
    pub job: Option<String>,
    pub rank: Option<u64>,
    /// How many processes it is made of.
    pub ranks: u64,
    pub state: Option<String>,
    /// When it began and ended, s since 1970.
    pub from: Option<f64>,
    pub to: Option<f64>,
    pub epochs: u64,
    pub duration_s: f64,
    /// How far off its energy may be; None: it is measured.
    pub error: Option<ErrorBand>,
    /// Its report does not state that: it is assumed.
    pub is_error_assumed: bool,
    /// Of the devices.
    pub energy_j: Option<f64>,
    pub facility_kwh: Option<f64>,
    pub co2eq_g: Option<f64>,
    pub coverage: Option<f64>,
    pub pue: Option<f64>,
    /// Another process of its job counts what it would have.
    pub counted_elsewhere: bool,
    /// Whether the ranks of its job have found each other, as far as it is known.
    agreed: Option<bool>,
    /// By the methods, J.
    by_method: [f64; METHODS.len()],
    /// The energy of the devices whose error is stated, and that error.
    estimated: Estimated,
    intensity: Intensity,
    /// What of its report joins it with other ranks of its job.
    pub slim: Option<Value>,
}

/// What the energy was priced at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Intensity {
    pub kind: Option<String>,
    pub zone: Option<String>,
    pub year: Option<u64>,
    pub basis: Option<String>,
    pub source: Option<String>,
}

impl Run {
    /// An error says what its report lacks.
    pub fn of(file: String, report: &Value) -> Result<Run, String> {
        let word = |pointer: &str| report_files::word(report, pointer).map(str::to_owned);
        let amount = |pointer: &str| amount(report.pointer(pointer)).map_err(|reason| format!("{pointer} {reason}"));
        let duration_s = amount("/usage/duration_s")?.unwrap_or(0.0); // a journal of a run that has yet to begin
        let energy_j = amount("/usage/energy_j")?;
        let count = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64);
        let hosts = report.pointer("/run/hosts").and_then(Value::as_array);
        let hosts = hosts.map(|hosts| hosts.iter().filter_map(Value::as_str).map(str::to_owned).collect());
        Ok(Run {
            file,
            id: word("/run/id").ok_or("/run/id is no text")?,
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
            epochs: report
                .pointer("/run/epochs_done")
                .and_then(Value::as_u64)
                .ok_or("/run/epochs_done is no number")?,
            duration_s,
            error: ErrorBand::read(report.pointer("/usage/error")),
            is_error_assumed: unstated::is_assumed(report),
            energy_j,
            facility_kwh: amount("/usage/facility_energy_kwh")?,
            co2eq_g: amount("/usage/co2eq_g")?,
            coverage: amount("/usage/coverage")?,
            pue: amount("/pue")?,
            counted_elsewhere: ranks::is_counted_elsewhere(report),
            agreed: report.pointer("/job/agreed").and_then(Value::as_bool),
            by_method: by_method(report, energy_j),
            estimated: Estimated::of(report),
            intensity: Intensity {
                kind: word("/intensity/kind"),
                zone: word("/intensity/zone"),
                year: report.pointer("/intensity/year").and_then(Value::as_u64),
                basis: word("/intensity/basis"),
                source: word("/intensity/source"),
            },
            slim: job_rows::slim(report),
        })
    }

    /// Whether its process came to report on it.
    pub fn is_unfinished(&self) -> bool {
        self.state.as_deref() == Some("unfinished")
    }

    /// Nothing is known of what it used, with PUE or without.
    fn is_without_energy(&self) -> bool {
        self.energy_j.is_none() && self.facility_kwh.is_none()
    }

    /// Whether it tells more of the run than a copy of it does.
    pub fn is_fuller_than(&self, other: &Run) -> bool {
        let rank = |run: &Run| (run.epochs, !run.is_unfinished());
        rank(self) > rank(other) || (rank(self) == rank(other) && self.duration_s > other.duration_s)
    }

    pub fn json(&self) -> Value {
        let kwh = self.energy_j.map(|joules| joules / J_PER_KWH);
        let amounts = [self.energy_j, kwh, self.facility_kwh, self.co2eq_g];
        with(figures(amounts.map(|amount| (amount, self.error))), self.plain_json())
    }

    /// The same without intervals.
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

impl Intensity {
    fn json(&self) -> Value {
        json!({"kind": self.kind, "zone": self.zone, "year": self.year, "basis": self.basis, "source": self.source})
    }
}

/// An object with more fields.
fn with(more: Map<String, Value>, mut object: Value) -> Value {
    object.as_object_mut().into_iter().for_each(|object| object.extend(more.clone()));
    object
}

/// A quantity: null or absent is unknown.
fn amount(value: Option<&Value>) -> Result<Option<f64>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let amount = value.as_f64().filter(|amount| *amount >= 0.0);
            amount.map(Some).ok_or_else(|| format!("is {value}: expected a number from 0, or null"))
        }
    }
}

/// By the components; where these tell nothing, how all of it came about is unknown.
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

/// From the least to the most that was met.
#[derive(Clone, Copy)]
pub struct Range {
    pub least: f64,
    pub most: f64,
}

impl Default for Range {
    fn default() -> Range {
        Range { least: f64::INFINITY, most: f64::NEG_INFINITY }
    }
}

impl Range {
    fn add(&mut self, value: Option<f64>) {
        let Some(value) = value else { return };
        self.least = self.least.min(value);
        self.most = self.most.max(value);
    }

    /// None where nothing was met.
    pub fn known(self) -> Option<Range> {
        (self.least <= self.most).then_some(self)
    }

    fn json(self) -> Value {
        self.known().map_or(Value::Null, |range| json!([range.least, range.most]))
    }
}

/// The totals of runs.
#[derive(Clone, Default)]
pub struct Totals {
    pub runs: usize,
    /// The processes that they are made of.
    pub ranks: u64,
    pub unfinished: usize,
    pub counted_elsewhere: usize,
    /// Those whose ranks have not found each other.
    pub disagreed: usize,
    /// Those whose reports do not state how far off their estimates may be.
    pub assumed: usize,
    /// Of carbontracker, as far as they are known.
    pub versions: BTreeSet<String>,
    pub hosts: BTreeSet<String>,
    /// Those whose host is not known.
    pub hostless: usize,
    /// Those whose energy nobody knows,
    pub without_energy: usize,
    /// and those of which it has no price.
    pub without_co2eq: usize,
    pub epochs: u64,
    /// Of the runs one by one.
    pub duration_s: f64,
    /// From the first start to the last end, s since 1970.
    pub when: Range,
    pub energy_j: Sum,
    pub facility_kwh: Sum,
    pub co2eq_g: Sum,
    pub by_method: [f64; METHODS.len()],
    /// What of it is estimated with an error stated.
    pub estimated: Estimated,
    /// Of those whose energy is known.
    pub pue: Range,
    /// g/kWh, likewise.
    pub g_per_kwh: Range,
    /// What the known emissions were priced at.
    pub intensities: BTreeSet<Intensity>,
    /// Their time, s, and how much of it readings confirm,
    known_s: f64,
    measured_s: f64,
    /// which not all tell.
    is_untold: bool,
}

impl Totals {
    pub fn of<'a>(runs: impl IntoIterator<Item = &'a Run>) -> Totals {
        let mut totals = Totals::default();
        runs.into_iter().for_each(|run| totals.add(run));
        totals
    }

    fn add(&mut self, run: &Run) {
        self.runs += 1;
        self.ranks += run.ranks;
        self.unfinished += usize::from(run.is_unfinished());
        self.counted_elsewhere += usize::from(run.counted_elsewhere);
        self.disagreed += usize::from(run.agreed == Some(false));
        self.assumed += usize::from(run.is_error_assumed);
        self.versions.extend(run.version.clone());
        let new = run.hosts.iter().filter(|host| !self.hosts.contains(*host)).cloned().collect::<Vec<_>>();
        self.hosts.extend(new);
        self.hostless += usize::from(run.hosts.is_empty());
        self.without_energy += usize::from(run.is_without_energy() && !run.counted_elsewhere);
        self.without_co2eq += usize::from(run.co2eq_g.is_none() && !run.is_without_energy());
        self.epochs += run.epochs;
        self.duration_s += run.duration_s;
        [run.from, run.to].into_iter().for_each(|at| self.when.add(at));
        self.energy_j.add(run.energy_j, run.error);
        self.facility_kwh.add(run.facility_kwh, run.error);
        self.co2eq_g.add(run.co2eq_g, run.error);
        self.estimated.add(run.estimated);
        self.by_method.iter_mut().zip(run.by_method).for_each(|(sum, joules)| *sum += joules);
        if run.energy_j.is_some() {
            self.pue.add(run.pue);
            self.known_s += run.duration_s;
            self.measured_s += run.duration_s * run.coverage.unwrap_or(0.0);
            self.is_untold |= run.coverage.is_none() && run.duration_s > 0.0;
        }
        let Some((grams, kwh)) = run.co2eq_g.zip(run.facility_kwh) else { return };
        self.g_per_kwh.add(Some(grams / kwh).filter(|_| kwh > 0.0));
        if !self.intensities.contains(&run.intensity) {
            self.intensities.insert(run.intensity.clone());
        }
    }

    /// Whether all of the energy is measured.
    pub fn is_measured(&self) -> bool {
        self.shares().all(|(method, _)| ["counter", "power"].contains(&method))
    }

    /// Whether a run is made of several ranks.
    pub fn has_jobs(&self) -> bool {
        self.ranks > self.runs as u64
    }

    /// From the first start to the last end, s.
    pub fn wall_s(&self) -> Option<f64> {
        self.when.known().map(|when| when.most - when.least)
    }

    /// The share of the time of those whose energy is known that readings confirm; None where one does not tell.
    pub fn coverage(&self) -> Option<f64> {
        (self.known_s > 0.0 && !self.is_untold).then(|| self.measured_s / self.known_s)
    }

    /// What share of the energy came about how; none where nothing was used.
    pub fn shares(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let all: f64 = self.by_method.iter().sum();
        let shares = METHODS.into_iter().zip(self.by_method).map(move |(name, joules)| (name, joules / all));
        shares.filter(|(_, share)| *share > 0.0)
    }

    pub fn json(&self) -> Value {
        let known = |sum: Sum| (sum.value(), sum.error());
        let joules = known(self.energy_j);
        let kwh = (joules.0.map(|joules| joules / J_PER_KWH), joules.1);
        with(figures([joules, kwh, known(self.facility_kwh), known(self.co2eq_g)]), self.plain_json())
    }

    /// The same without intervals.
    fn plain_json(&self) -> Value {
        let energy_j = self.energy_j.value();
        json!({
            "runs": self.runs,
            "ranks": self.ranks,
            "unfinished": self.unfinished,
            "counted_elsewhere": self.counted_elsewhere,
            "disagreed": self.disagreed,
            "without_energy": self.without_energy,
            "without_co2eq": self.without_co2eq,
            "versions": self.versions,
            "hosts": self.hosts,
            "epochs": self.epochs,
            "duration_s": self.duration_s,
            "from_unix_s": self.when.known().map(|when| when.least),
            "to_unix_s": self.when.known().map(|when| when.most),
            "wall_s": self.wall_s(),
            "energy_j": energy_j,
            "energy_kwh": energy_j.map(|joules| joules / J_PER_KWH),
            "facility_energy_kwh": self.facility_kwh.value(),
            "co2eq_g": self.co2eq_g.value(),
            "coverage": self.coverage(),
            "energy_share": self.shares().map(|(name, share)| (name.to_owned(), json!(share))).collect::<Value>(),
            "pue": self.pue.json(),
            "g_per_kwh": self.g_per_kwh.json(),
            "intensities": self.intensities.iter().map(Intensity::json).collect::<Value>(),
        })
    }
}

/// What to take runs together by.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// Each run by itself
    Run,
    /// Runs of one name
    Name,
    /// Runs of one host
    Host,
}

impl By {
    pub fn name(self) -> &'static str {
        match self {
            By::Run => "run",
            By::Name => "name",
            By::Host => "host",
        }
    }
}

/// Totals by what the runs have in common; of each run by itself in their order. None is that of runs without a name, or a host.
/// A job on several hosts is a run on each.
pub fn groups(rows: &[Row], by: By) -> Vec<(Option<&str>, Totals)> {
    let mut groups: BTreeMap<Option<&str>, Totals> = BTreeMap::new();
    for Row { run, by_host, .. } in rows {
        match by {
            By::Run => (),
            By::Name => groups.entry(run.name.as_deref()).or_default().add(run),
            By::Host if by_host.is_empty() => groups.entry(run.host.as_deref()).or_default().add(run),
            By::Host => by_host.iter().for_each(|run| groups.entry(run.host.as_deref()).or_default().add(run)),
        }
    }
    if by == By::Run {
        return rows.iter().map(|Row { run, .. }| (Some(run.id.as_str()), Totals::of([run]))).collect();
    }
    groups.into_iter().collect()
}

#[cfg(test)]
mod tests;
