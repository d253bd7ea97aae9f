//! The rows of a table of runs: the ranks of a job are one row.

use super::run_entry::RunEntry;
use carbontracker::report::ranks::{RankReport, joined, merged};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A row: a run, or a job with its ranks.
pub struct JobRow {
    /// The whole run.
    pub run: RunEntry,
    /// The ranks, if it is a job.
    pub ranks: Vec<RunEntry>,
    /// The job's part on each host, if there are several hosts.
    pub by_host: Vec<RunEntry>,
}

impl JobRow {
    /// The row of a run that is no job.
    pub fn single(run: RunEntry) -> JobRow {
        JobRow { run, ranks: Vec::new(), by_host: Vec::new() }
    }

    /// The row of a job; or a row for each run if they cannot be merged.
    fn of_job(ranks: Vec<RunEntry>) -> Vec<JobRow> {
        let Some(run) = merge(&ranks.iter().collect::<Vec<_>>()).filter(|_| ranks.len() > 1) else {
            return ranks.into_iter().map(JobRow::single).collect();
        };
        let mut hosts: BTreeMap<Option<&str>, Vec<&RunEntry>> = BTreeMap::new();
        ranks.iter().for_each(|rank| hosts.entry(rank.host.as_deref()).or_default().push(rank));
        let by_host =
            if hosts.len() > 1 { hosts.values().filter_map(|ranks| merge(ranks)).collect() } else { Vec::new() };
        vec![JobRow { run, by_host, ranks }]
    }

    /// The row in `aggregate --json`.
    pub fn json(&self) -> Value {
        let mut row = self.run.json();
        let ranks: Option<Vec<Value>> =
            (!self.ranks.is_empty()).then(|| self.ranks.iter().map(RunEntry::json).collect());
        row.as_object_mut().into_iter().for_each(|row| drop(row.insert("runs".into(), json!(ranks))));
        row
    }
}

/// Merges ranks. None if one of them is no rank of a job.
fn merge(ranks: &[&RunEntry]) -> Option<RunEntry> {
    let reports: Option<Vec<&Value>> = ranks.iter().map(|rank| rank.slim.as_ref()).collect();
    let job = merged(&reports?);
    let file = ranks.iter().find(|rank| job.pointer("/run/id").is_some_and(|id| *id == rank.id)).or(ranks.first())?;
    let mut run = RunEntry::of(file.file.clone(), &job).ok()?;
    run.is_error_assumed = ranks.iter().any(|rank| rank.is_error_assumed);
    Some(run)
}

/// Groups the runs into rows.
pub fn rows(runs: Vec<RunEntry>) -> Vec<JobRow> {
    let places =
        joined(&runs.iter().map(|run| run.slim.as_ref().map(RankReport::of).unwrap_or_default()).collect::<Vec<_>>());
    let mut runs: Vec<Option<RunEntry>> = runs.into_iter().map(Some).collect();
    let mut take = |place: usize| runs.get_mut(place).and_then(Option::take);
    places.iter().flat_map(|row| JobRow::of_job(row.iter().filter_map(|&place| take(place)).collect())).collect()
}
