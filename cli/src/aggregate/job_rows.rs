//! The rows of a table of runs: the ranks of a job are one row.

use super::totals::Run;
use carbontracker::report::ranks::{RankReport, joined, merged};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A run, or a job with its ranks.
pub struct Row {
    /// The whole run.
    pub run: Run,
    /// The ranks, if it is a job.
    pub ranks: Vec<Run>,
    /// The part of each host, if it is a job on several hosts.
    pub by_host: Vec<Run>,
}

impl Row {
    /// A run that is no job.
    pub fn single(run: Run) -> Row {
        Row { run, ranks: Vec::new(), by_host: Vec::new() }
    }

    fn of_job(ranks: Vec<Run>) -> Vec<Row> {
        let Some(run) = one(&ranks.iter().collect::<Vec<_>>()).filter(|_| ranks.len() > 1) else {
            return ranks.into_iter().map(Row::single).collect();
        };
        let mut hosts: BTreeMap<Option<&str>, Vec<&Run>> = BTreeMap::new();
        ranks.iter().for_each(|rank| hosts.entry(rank.host.as_deref()).or_default().push(rank));
        let by_host =
            if hosts.len() > 1 { hosts.values().filter_map(|ranks| one(ranks)).collect() } else { Vec::new() };
        vec![Row { run, by_host, ranks }]
    }

    /// The row in `aggregate --json`.
    pub fn json(&self) -> Value {
        let mut row = self.run.json();
        let ranks: Option<Vec<Value>> = (!self.ranks.is_empty()).then(|| self.ranks.iter().map(Run::json).collect());
        row.as_object_mut().into_iter().for_each(|row| drop(row.insert("runs".into(), json!(ranks))));
        row
    }
}

/// Merges ranks; None if one of them is no rank of a job.
fn one(ranks: &[&Run]) -> Option<Run> {
    let reports: Option<Vec<&Value>> = ranks.iter().map(|rank| rank.slim.as_ref()).collect();
    let job = merged(&reports?);
    let file = ranks.iter().find(|rank| job.pointer("/run/id").is_some_and(|id| *id == rank.id)).or(ranks.first())?;
    let mut run = Run::of(file.file.clone(), &job).ok()?;
    run.is_error_assumed = ranks.iter().any(|rank| rank.is_error_assumed);
    Some(run)
}

/// Groups the runs into rows.
pub fn rows(runs: Vec<Run>) -> Vec<Row> {
    let places =
        joined(&runs.iter().map(|run| run.slim.as_ref().map(RankReport::of).unwrap_or_default()).collect::<Vec<_>>());
    let mut runs: Vec<Option<Run>> = runs.into_iter().map(Some).collect();
    let mut take = |place: usize| runs.get_mut(place).and_then(Option::take);
    places.iter().flat_map(|row| Row::of_job(row.iter().filter_map(|&place| take(place)).collect())).collect()
}

/// The parts of a rank's report that are needed to merge it; None if it is no rank of a job.
pub fn slim(report: &Value) -> Option<Value> {
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
