//! Earlier runs of jobs: the ranks of each become one run. Pure.

use super::PastRun;
use crate::report::ranks::{RankReport, ended, is_counted_elsewhere, joined, merged};
use serde_json::Value;

/// The runs, where one stands for all ranks of a job. `reports` are those of `runs`.
pub fn whole(runs: Vec<PastRun>, reports: &[Value]) -> Vec<PastRun> {
    let parts: Vec<RankReport> = reports.iter().map(rank_report).collect();
    let rows = joined(&parts).into_iter();
    let row = |row: Vec<usize>| match row.as_slice() {
        [one] if runs.get(*one).is_some_and(|run| run.label.rank.is_none()) => runs.get(*one).cloned(),
        ranks => job(&ranks.iter().filter_map(|rank| reports.get(*rank)).collect::<Vec<_>>()),
    };
    rows.filter_map(row).collect()
}

/// A rank that knows no name of its job is of the job of the others that ran at the same time. A rank whose end is
/// unknown was killed, so its file's last instant is the end.
fn rank_report(report: &Value) -> RankReport<'_> {
    let part = RankReport::of(report);
    RankReport { job: part.job.or(part.rank.map(|_| "")), to: part.to.or_else(|| ended(report)), ..part }
}

/// The run of a job; None: its numbers cannot be true. Without the energy of one rank, that of the job is unknown.
fn job(ranks: &[&Value]) -> Option<PastRun> {
    let rank = |report: &Value| report.pointer("/run/rank").and_then(Value::as_u64);
    let has_energy = |report: &Value| report.pointer("/usage/energy_j").is_some_and(Value::is_number);
    let mut run = PastRun::of(&merged(ranks)).ok()?;
    let unknown = ranks.iter().find(|report| !has_energy(report) && !is_counted_elsewhere(report));
    let found = ranks.len() as u64;
    run.ranks_found = found;
    run.unknown_rank = unknown.and_then(|report| rank(report));
    if unknown.is_some() || run.label.ranks.is_some_and(|all| found < all) {
        run.run.between.energy_j = None;
        run.run.epochs.iter_mut().for_each(|epoch| (epoch.energy_j, epoch.fully_measured) = (None, false));
        run.power.clear();
    }
    Some(run)
}
