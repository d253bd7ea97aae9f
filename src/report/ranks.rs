//! Finds the runs that are ranks of one job, by their reports, and merges them into one run. Pure.

mod fold;
mod forecast;
mod merged;
mod series;

pub use merged::merged;

use super::RunPhase;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::time::SystemTime;

/// Longest time between one rank's end and another's start in one run, s. Starts are in whole seconds, and ends may be
/// early.
const MAX_GAP_S: f64 = 5.0;

/// The number at a JSON Pointer.
pub fn number(report: &Value, pointer: &str) -> Option<f64> {
    report.pointer(pointer)?.as_f64()
}

/// The text at a JSON Pointer.
pub fn word<'a>(report: &'a Value, pointer: &str) -> Option<&'a str> {
    report.pointer(pointer)?.as_str()
}

/// How far a run is; None: the report does not state it, or in an unknown word.
pub fn phase(report: &Value) -> Option<RunPhase> {
    word(report, "/run/state")?.parse().ok()
}

/// When a run's tracker was created, s since 1970.
pub fn started(report: &Value) -> Option<f64> {
    let at = humantime::parse_rfc3339_weak(word(report, "/run/started")?).ok()?;
    at.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs_f64())
}

/// When a run's last epoch ended, s since 1970; None: the report does not have it.
fn last_end(report: &Value) -> Option<f64> {
    number(report, "/run/last_end_unix_s")
}

/// When a run ended, s since 1970: the end of its last epoch or of its power line, or else its start plus its duration.
pub fn ended(report: &Value) -> Option<f64> {
    let end_of_power = || report.pointer("/power/to")?.as_array()?.last()?.as_f64();
    let lost_s = number(report, "/run/resumed/lost_s").unwrap_or(0.0);
    last_end(report)
        .or_else(end_of_power)
        .or_else(|| Some(started(report)? + number(report, "/usage/duration_s")? + lost_s))
}

/// Whether a run has no energy because another process of its job counts its devices. If the section `job` is missing,
/// a rank without energy and devices counts as one. Files without `job` and `run.job` have only the words of a reason.
pub fn is_counted_elsewhere(report: &Value) -> bool {
    let is_elsewhere = |device: &Value| {
        device.get("process").is_some_and(Value::is_number) && device.get("counted_here") == Some(&Value::Bool(false))
    };
    let is_old_reason = |one: &Value| word(one, "/reason").is_some_and(|reason| reason.contains(": counted by "));
    let has = |pointer: &str| report.pointer(pointer).is_some_and(|value| !value.is_null());
    !has("/usage/energy_j")
        && match report.pointer("/job/devices").and_then(Value::as_array) {
            Some(devices) => devices.iter().any(is_elsewhere),
            None if has("/run/job") => has("/run/rank") && !has("/components/0"),
            None => fold::list(report, "unavailable").any(is_old_reason),
        }
}

/// The machine of a run, or the ranks and nodes of a job; None: unknown.
pub fn place(report: &Value) -> Option<String> {
    let host = word(report, "/run/host");
    let Some(found) = number(report, "/run/ranks_found") else { return host.map(str::to_owned) };
    let missing =
        number(report, "/run/ranks").filter(|all| *all > found).map(|all| format!(" of {all}")).unwrap_or_default();
    let hosts = report.pointer("/run/hosts").and_then(Value::as_array).map_or(0, Vec::len);
    let on = match (host, hosts) {
        (Some(host), _) => format!(" on {host}"),
        (None, 0) => String::new(),
        (None, nodes) => format!(" on {nodes} nodes"),
    };
    Some(format!("{found}{missing} ranks{on}"))
}

/// The fields of a report by which the ranks of one job are found.
#[derive(Clone, Copy, Debug, Default)]
pub struct RankReport<'a> {
    /// The job's name.
    pub job: Option<&'a str>,
    /// The run's label.
    pub name: Option<&'a str>,
    /// Its number in the job.
    pub rank: Option<u64>,
    /// How many ranks the job has.
    pub ranks: Option<u64>,
    /// When it started, s since 1970.
    pub from: Option<f64>,
    /// When it ended, s since 1970; None: it is still running, or the end is unknown.
    pub to: Option<f64>,
}

impl<'a> RankReport<'a> {
    /// Reads it from a run's report.
    pub fn of(report: &'a Value) -> RankReport<'a> {
        let count = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64);
        let is_done = phase(report) == Some(RunPhase::Done);
        // The gap before a resumed part is unknown if the report has no last end.
        let has_end = report.pointer("/run/resumed").is_none_or(Value::is_null) || last_end(report).is_some();
        RankReport {
            job: word(report, "/run/job"),
            name: word(report, "/run/name"),
            rank: count("/run/rank"),
            ranks: count("/run/ranks"),
            from: started(report),
            to: ended(report).filter(|_| is_done && has_end),
        }
    }

    fn end(&self) -> f64 {
        self.to.map_or(f64::INFINITY, |to| to.max(self.from.unwrap_or(to)) + MAX_GAP_S)
    }
}

/// The ranks of one run that are found so far.
struct Group {
    ranks: BTreeSet<u64>,
    members: Vec<usize>,
    end: f64,
}

/// Groups reports, given by their indices, so that the ranks of one run are together in the order of their starts. If a
/// job starts the same rank again, that is another run.
pub fn joined(parts: &[RankReport]) -> Vec<Vec<usize>> {
    let mut order: Vec<(usize, &RankReport)> = parts.iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| a.from.unwrap_or(0.0).total_cmp(&b.from.unwrap_or(0.0)));
    let mut open: HashMap<_, Vec<Group>> = HashMap::new();
    let mut rows: Vec<Vec<usize>> = Vec::new();
    for (index, part) in order {
        let (Some(job), Some(rank), Some(from)) = (part.job, part.rank, part.from) else {
            rows.push(vec![index]);
            continue;
        };
        let groups = open.entry((job, part.name, part.ranks)).or_default();
        // All further runs start later.
        let over;
        (over, *groups) = std::mem::take(groups).into_iter().partition(|group| group.end < from);
        rows.extend(over.into_iter().map(|group: Group| group.members));
        match groups.iter_mut().find(|group| !group.ranks.contains(&rank)) {
            Some(group) => {
                group.ranks.insert(rank);
                group.members.push(index);
                group.end = group.end.max(part.end());
            }
            None => groups.push(Group { ranks: BTreeSet::from([rank]), members: vec![index], end: part.end() }),
        }
    }
    rows.extend(open.into_values().flatten().map(|group| group.members));
    rows.sort_by_key(|row| row.iter().min().copied());
    rows
}

/// The reports, where one merged report replaces those of a job's ranks.
pub fn rows(reports: &[Value]) -> Vec<Cow<'_, Value>> {
    let parts: Vec<RankReport> = reports.iter().map(RankReport::of).collect();
    let row = |indices: Vec<usize>| {
        let members: Vec<&Value> = indices.iter().filter_map(|&index| reports.get(index)).collect();
        match members.as_slice() {
            [one] => Cow::Borrowed(*one),
            members => Cow::Owned(merged(members)),
        }
    };
    joined(&parts).into_iter().map(row).collect()
}

#[cfg(test)]
mod tests;
