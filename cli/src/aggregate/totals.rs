//! Totals over many runs.

use super::job_rows::JobRow;
use super::run_entry::{IntensityOrigin, METHODS, RunEntry, with};
use super::sum::{Estimated, Sum};
use carbontracker::report::figures;
use carbontracker::units::{J_PER_KWH, duration};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The smallest and the largest value.
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

    /// None if there was no value.
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
    /// Their processes.
    pub ranks: u64,
    /// Runs without a final report.
    pub unfinished: usize,
    /// Runs whose devices another process of the job counts.
    pub counted_elsewhere: usize,
    /// Runs whose ranks did not agree on their devices.
    pub disagreed: usize,
    /// Runs whose reports state no error band of their estimates.
    pub assumed: usize,
    /// Known versions of carbontracker.
    pub versions: BTreeSet<String>,
    pub hosts: BTreeSet<String>,
    /// Runs whose host is unknown.
    pub hostless: usize,
    /// Runs whose energy is unknown.
    pub without_energy: usize,
    /// Runs whose energy is known, but not their emissions.
    pub without_co2eq: usize,
    pub epochs: u64,
    /// Sum of the runs' times, s.
    pub duration_s: Sum,
    /// Runs whose time is unknown.
    pub without_duration: usize,
    /// From the first start to the last end, s since 1970.
    pub when: Range,
    /// Runs whose end is unknown.
    endless: usize,
    /// Energy of the devices, without PUE, J.
    pub energy_j: Sum,
    /// Energy with PUE, kWh.
    pub facility_kwh: Sum,
    pub co2eq_g: Sum,
    /// Energy by method, J, in the order of `METHODS`.
    pub by_method: [f64; METHODS.len()],
    /// The estimated energy and its interval.
    pub estimated: Estimated,
    /// PUE of the runs whose energy is known.
    pub pue: Range,
    /// Carbon intensity of the runs whose emissions are known, g/kWh.
    pub g_per_kwh: Range,
    /// Where the intensities of the known emissions come from.
    pub intensities: BTreeSet<IntensityOrigin>,
    /// Time of the runs whose energy and coverage are known, s.
    known_s: f64,
    /// The part of `known_s` that readings cover, s.
    covered_s: f64,
    /// A run does not state its coverage.
    lacks_coverage: bool,
}

impl Totals {
    pub fn of<'a>(runs: impl IntoIterator<Item = &'a RunEntry>) -> Totals {
        let mut totals = Totals::default();
        runs.into_iter().for_each(|run| totals.add(run));
        totals
    }

    fn add(&mut self, run: &RunEntry) {
        self.runs += 1;
        self.ranks = self.ranks.saturating_add(run.ranks);
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
        self.epochs = self.epochs.saturating_add(run.epochs);
        self.duration_s.add(run.duration_s, None);
        self.without_duration += usize::from(run.duration_s.is_none());
        self.endless += usize::from(run.to.is_none());
        [run.from, run.to].into_iter().for_each(|at| self.when.add(at));
        self.energy_j.add(run.energy_j, run.error);
        self.facility_kwh.add(run.facility_kwh, run.error);
        self.co2eq_g.add(run.co2eq_g, run.error);
        self.estimated.add(run.estimated);
        self.by_method.iter_mut().zip(run.by_method).for_each(|(sum, joules)| *sum += joules);
        if run.energy_j.is_some() {
            self.pue.add(run.pue);
            match run.duration_s.zip(run.coverage) {
                Some((duration_s, coverage)) => {
                    self.known_s += duration_s;
                    self.covered_s += duration_s * coverage;
                }
                None => self.lacks_coverage |= run.duration_s != Some(0.0),
            }
        }
        let Some((grams, kwh)) = run.co2eq_g.zip(run.facility_kwh) else { return };
        self.g_per_kwh.add(Some(grams / kwh).filter(|_| kwh > 0.0));
        if !self.intensities.contains(&run.intensity) {
            self.intensities.insert(run.intensity.clone());
        }
    }

    /// The sum of the runs' times in words.
    pub fn time(&self) -> String {
        self.duration_s.value().map_or("unknown".into(), duration)
    }

    /// True if all energy is measured.
    pub fn is_measured(&self) -> bool {
        self.shares().all(|(method, _)| ["counter", "power"].contains(&method))
    }

    /// True if a run consists of several ranks.
    pub fn has_jobs(&self) -> bool {
        self.ranks > self.runs as u64
    }

    /// From the first start to the last end, s.
    pub fn wall_s(&self) -> Option<f64> {
        Some(self.last_end()? - self.when.known()?.least)
    }

    /// The last end of all runs, s since 1970. None: that of a run is unknown.
    pub fn last_end(&self) -> Option<f64> {
        self.when.known().filter(|_| self.endless == 0).map(|when| when.most)
    }

    /// The share of the time that readings cover, 0 to 1. None if a run does not state it.
    pub fn coverage(&self) -> Option<f64> {
        (self.known_s > 0.0 && !self.lacks_coverage).then(|| self.covered_s / self.known_s)
    }

    /// The methods with their shares of the energy, 0 to 1. Empty without energy.
    pub fn shares(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let all: f64 = self.by_method.iter().sum();
        let shares = METHODS.into_iter().zip(self.by_method).map(move |(name, joules)| (name, joules / all));
        shares.filter(|(_, share)| *share > 0.0)
    }

    /// The totals in `aggregate --json`.
    pub fn json(&self) -> Value {
        let known = |sum: Sum| (sum.value(), sum.error());
        let joules = known(self.energy_j);
        let kwh = (joules.0.map(|joules| joules / J_PER_KWH), joules.1);
        with(figures([joules, kwh, known(self.facility_kwh), known(self.co2eq_g)]), self.plain_json())
    }

    /// The totals in JSON, without intervals.
    fn plain_json(&self) -> Value {
        let energy_j = self.energy_j.value();
        json!({
            "runs": self.runs,
            "ranks": self.ranks,
            "unfinished": self.unfinished,
            "counted_elsewhere": self.counted_elsewhere,
            "disagreed": self.disagreed,
            "without_duration": self.without_duration,
            "without_energy": self.without_energy,
            "without_co2eq": self.without_co2eq,
            "versions": self.versions,
            "hosts": self.hosts,
            "epochs": self.epochs,
            "duration_s": self.duration_s.value(),
            "from_unix_s": self.when.known().map(|when| when.least),
            "to_unix_s": self.last_end(),
            "wall_s": self.wall_s(),
            "energy_j": energy_j,
            "energy_kwh": energy_j.map(|joules| joules / J_PER_KWH),
            "facility_energy_kwh": self.facility_kwh.value(),
            "co2eq_g": self.co2eq_g.value(),
            "coverage": self.coverage(),
            "energy_share": self.shares().map(|(name, share)| (name.to_owned(), json!(share))).collect::<Value>(),
            "pue": self.pue.json(),
            "g_per_kwh": self.g_per_kwh.json(),
            "intensities": self.intensities.iter().map(IntensityOrigin::json).collect::<Value>(),
        })
    }
}

/// How runs are grouped.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// Each run by itself
    Run,
    /// Runs with the same name
    Name,
    /// Runs on the same host
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

/// Totals by group, sorted by name; for `By::Run` a group for each run, in their order. The name None stands for runs
/// without a name or host. A job on several hosts is a run on each host.
pub fn groups(rows: &[JobRow], by: By) -> Vec<(Option<String>, Totals)> {
    if by == By::Run {
        return rows.iter().map(|JobRow { run, .. }| (Some(run.id.clone()), Totals::of([run]))).collect();
    }
    if by == By::Name {
        return grouped(rows.iter().map(|row| &row.run), |run| run.name.clone());
    }
    let parts = rows.iter().flat_map(|JobRow { run, by_host, .. }| {
        let is_one = by_host.is_empty();
        by_host.iter().chain(is_one.then_some(run))
    });
    grouped(parts, |run| run.host.clone())
}

/// Totals by the name that `key` gives a run, sorted by it.
pub fn grouped<'a>(
    runs: impl Iterator<Item = &'a RunEntry>,
    key: impl Fn(&RunEntry) -> Option<String>,
) -> Vec<(Option<String>, Totals)> {
    let mut groups: BTreeMap<Option<String>, Totals> = BTreeMap::new();
    runs.for_each(|run| groups.entry(key(run)).or_default().add(run));
    groups.into_iter().collect()
}

#[cfg(test)]
mod tests;
