//! `aggregate --job ID`: one job over all its nodes and starts.

use super::run_entry::RunEntry;
use super::sum::Sum;
use super::{AggregateArgs, count, read_all};
use crate::table;
use carbontracker::report::figures;
use carbontracker::sanitize;
use carbontracker::units::{Amount, DisplayUnit, J_PER_KWH, duration, instant};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The end of the name of a job that `carbontracker run` measures: how many of these commands are around it.
const DEPTH: (&str, &str) = (", run ", " deep");

/// The job of this number or name in the requested form.
pub fn text(args: &AggregateArgs, id: &str) -> Result<String, String> {
    let found = read_all(&args.paths);
    found.check(args.strict)?;
    let variable = |name: &str| std::env::var(name).ok();
    let is_here = variable("SLURM_JOB_ID").as_deref() == Some(id);
    let by_slurm = || variable("SLURM_JOB_NUM_NODES").filter(|_| is_here)?.parse().ok();
    let read = found.runs.len();
    let job = OneJob::of(found.runs, id, args.nodes.or_else(by_slurm)).ok_or_else(|| {
        let of_all = count(read, "run");
        format!("no run of job {id} among {of_all}: name the folder of its log_dir=, and the job by its number")
    })?;
    Ok(match (args.json, args.csv, args.comment) {
        (true, ..) => job.json(),
        (_, true, _) => job.csv(),
        (.., true) => job.comment(),
        _ => job.text(),
    })
}

/// A job: what its runs used, and on which nodes.
struct OneJob {
    /// The name of the job in its reports.
    words: String,
    nodes: Vec<JobPart>,
    all: JobPart,
    /// The nodes that the job has. None: unknown.
    expected: Option<u64>,
}

/// The runs of a job on one node, or all of them.
#[derive(Default)]
struct JobPart {
    node: Option<String>,
    energy_j: Sum,
    facility_kwh: Sum,
    co2eq_g: Sum,
    /// The energy of the job, of the others and of both, J; with `scope=job` only.
    shares_j: [Sum; 3],
    /// When its runs began and ended, s since 1970.
    spans: Vec<(f64, f64)>,
    /// Runs without a final report.
    unfinished: usize,
    /// Runs whose time or energy is unknown.
    unknown: usize,
}

impl OneJob {
    /// The runs of the job with this number or name. `expected`: the number of its nodes. None: there is no run of it.
    fn of(runs: Vec<RunEntry>, id: &str, expected: Option<u64>) -> Option<OneJob> {
        let ours: Vec<RunEntry> =
            runs.into_iter().filter(|run| run.job.as_deref().is_some_and(|job| is_job(job, id))).collect();
        let words = outer(ours.first()?.job.as_deref()?).0.to_owned();
        let mut by_node: BTreeMap<Option<String>, Vec<RunEntry>> = BTreeMap::new();
        ours.into_iter().for_each(|run| by_node.entry(run.host.clone()).or_default().push(run));
        let (mut all, mut nodes) = (JobPart::default(), Vec::new());
        for (node, runs) in by_node {
            // Of runs around runs, the outermost ones count: they measure what the inner ones do.
            let depth = |run: &RunEntry| outer(run.job.as_deref().unwrap_or_default()).1;
            let least = runs.iter().map(depth).min();
            let mut part = JobPart { node, ..JobPart::default() };
            for run in runs.iter().filter(|run| Some(depth(run)) == least) {
                part.add(run);
                all.add(run);
            }
            nodes.push(part);
        }
        Some(OneJob { words, nodes, all, expected })
    }

    /// The job's line, and a row for each node.
    fn text(&self) -> String {
        let JobPart { energy_j, facility_kwh, co2eq_g, .. } = &self.all;
        let shown =
            |sum: &Sum, amount: Amount| sum.value().map_or("unknown".into(), |value| amount.with(value, sum.error()));
        let pue = facility_kwh
            .value()
            .filter(|kwh| energy_j.value().is_some_and(|joules| (kwh * J_PER_KWH - joules).abs() > 1e-6 * joules));
        let facility =
            pue.map(|kwh| format!(", {} with PUE", Amount::Energy.with(kwh * J_PER_KWH, facility_kwh.error())));
        let at = |unix_s: f64| instant(unix_s).unwrap_or_default();
        let times = self.all.span().map_or(String::new(), |(from, to)| format!(", from {} to {}", at(from), at(to)));
        let mut lines = vec![
            format!(
                "{}: {}, {}{}",
                sanitize::text(self.words.as_str()),
                self.count(),
                count(self.all.starts(), "start"),
                times
            ),
            format!("  time    {}", self.all.duration_s().map_or("unknown".into(), duration)),
            format!("  energy  {}{}", shown(energy_j, Amount::Energy), facility.unwrap_or_default()),
            format!("  CO2e    {}", shown(co2eq_g, Amount::Grams)),
        ];
        if let [Some(job), Some(others), Some(device)] = self.all.shares_j.map(Sum::value) {
            let energy = |joules: f64| Amount::Energy.alone(joules, energy_j.error());
            lines.push(format!(
                "  share   {} of the nodes' {}; others used {}",
                energy(job),
                energy(device),
                energy(others)
            ));
        }
        lines.extend(self.notes().into_iter().map(|note| format!("  note: {note}")));
        format!("{}\n\n{}", lines.join("\n"), self.table())
    }

    /// The number of nodes, with that of the job if it is known.
    fn count(&self) -> String {
        let measured = self.nodes.len();
        match self.expected {
            Some(all) => format!("{measured} of {all} nodes"),
            None => count(measured, "node"),
        }
    }

    fn notes(&self) -> Vec<String> {
        let missing = self.expected.unwrap_or(0).saturating_sub(self.nodes.len() as u64);
        let notes = [
            (missing > 0, format!("{missing} of its nodes left no file here: their energy is unknown and in no sum")),
            (
                self.all.unfinished > 0,
                format!(
                    "{} without a final report: killed or in progress, counted as far as the journal goes",
                    count(self.all.unfinished, "run")
                ),
            ),
            (self.all.unknown > 0, format!("{} of unknown energy", count(self.all.unknown, "run"))),
        ];
        notes.into_iter().filter(|(is_so, _)| *is_so).map(|(_, note)| note).collect()
    }

    fn table(&self) -> String {
        let most = |of: fn(&JobPart) -> &Sum| self.nodes.iter().filter_map(|part| of(part).value()).fold(0.0, f64::max);
        let units = [
            DisplayUnit::of(Amount::Energy, most(|part| &part.energy_j)),
            DisplayUnit::of(Amount::Grams, most(|part| &part.co2eq_g)),
        ];
        let [energy, grams] = &units;
        let cell = |sum: &Sum, unit: &DisplayUnit<'_>| {
            sum.value().map_or("unknown".into(), |value| Amount::Of("").with(unit.amount(value), sum.error()))
        };
        let head = [
            "node".into(),
            "starts".into(),
            "time".into(),
            format!("energy, {}", energy.name),
            format!("CO2e, {}", grams.name),
        ];
        let row = |part: &JobPart| {
            let node = part.node.as_deref().map_or("(unknown)".into(), sanitize::text);
            let time = part.duration_s().map_or("unknown".into(), duration);
            [node, part.starts().to_string(), time, cell(&part.energy_j, energy), cell(&part.co2eq_g, grams)]
        };
        let rows: Vec<[String; 5]> = std::iter::once(head).chain(self.nodes.iter().map(row)).collect();
        table::text(&rows)
    }

    /// The job as JSON.
    fn json(&self) -> String {
        let mut whole = json!({
            "schema": 1,
            "job": self.words,
            "nodes_found": self.nodes.len(),
            "nodes_expected": self.expected,
        });
        let nodes: Value = self.nodes.iter().map(JobPart::json).collect();
        if let (Some(fields), Value::Object(all)) = (whole.as_object_mut(), self.all.json()) {
            fields.extend(all.into_iter().filter(|(name, _)| name != "node"));
            fields.insert("nodes".into(), nodes);
        }
        format!("{whole:#}\n")
    }

    /// The job as a line of CSV, below the names of the columns.
    fn csv(&self) -> String {
        const COLUMNS: &str = "job,nodes,nodes_expected,starts,started,ended,duration_s,energy_j,facility_energy_kwh,co2eq_g,others_j,device_j,unfinished";
        let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        let [_, others, device] = self.all.shares_j.map(Sum::value);
        let [started, ended] = self
            .all
            .span()
            .map_or([None; 2], |(from, to)| [Some(from), Some(to)])
            .map(|at| at.and_then(instant).unwrap_or_default());
        let JobPart { energy_j, facility_kwh, co2eq_g, unfinished, .. } = &self.all;
        let job = format!("\"{}\"", sanitize::cell(&self.words).replace('"', "\"\""));
        let cells = [
            job,
            self.nodes.len().to_string(),
            self.expected.map(|count| count.to_string()).unwrap_or_default(),
            self.all.starts().to_string(),
            started,
            ended,
            number(self.all.duration_s()),
            number(energy_j.value()),
            number(facility_kwh.value()),
            number(co2eq_g.value()),
            number(others),
            number(device),
            unfinished.to_string(),
        ];
        format!("{COLUMNS}\n{}\n", cells.join(","))
    }

    /// The job as a comment for Slurm's accounting: letters, digits and "=./+-_" in words.
    fn comment(&self) -> String {
        let number = |value: Option<f64>| value.map_or("unknown".into(), |value| format!("{value:.3}"));
        let JobPart { energy_j, co2eq_g, .. } = &self.all;
        let nodes = self.expected.map_or(String::new(), |all| format!("/{all}"));
        let kind = if energy_j.error().is_some() { " estimated=yes" } else { "" };
        format!(
            "energy_j={} co2eq_g={} time_s={} nodes={}{nodes} starts={}{kind}\n",
            number(energy_j.value()),
            number(co2eq_g.value()),
            number(self.all.duration_s()),
            self.nodes.len(),
            self.all.starts()
        )
    }
}

impl JobPart {
    fn add(&mut self, run: &RunEntry) {
        // The energy of a rank whose devices another one counts is in that one's report.
        if !run.counted_elsewhere {
            self.unknown += usize::from(run.is_without_energy());
            self.energy_j.add(run.energy_j, run.error);
            self.facility_kwh.add(run.facility_kwh, run.error);
            self.co2eq_g.add(run.co2eq_g, run.error);
            self.shares_j.iter_mut().zip(run.shares_j).for_each(|(sum, joules)| sum.add(joules, None));
        }
        // The begin in a report is a whole second.
        let from = run.to.zip(run.duration_s).map(|(to, seconds)| to - seconds).or(run.from);
        self.spans.extend(from.zip(run.to));
        self.unfinished += usize::from(run.is_unfinished());
    }

    /// The times of its runs, joined where they overlap, the earliest first.
    fn joined(&self) -> Vec<(f64, f64)> {
        let mut spans = self.spans.clone();
        spans.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut joined: Vec<(f64, f64)> = Vec::new();
        for (from, to) in spans {
            match joined.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => joined.push((from, to)),
            }
        }
        joined
    }

    /// How often it was started: runs at the same time are one start.
    fn starts(&self) -> usize {
        self.joined().len()
    }

    /// The time in its runs, s. None: unknown.
    fn duration_s(&self) -> Option<f64> {
        self.joined().into_iter().map(|(from, to)| to - from).reduce(|a, b| a + b)
    }

    /// From the first begin to the last end, s since 1970.
    fn span(&self) -> Option<(f64, f64)> {
        let joined = self.joined();
        Some((joined.first()?.0, joined.last()?.1))
    }

    fn json(&self) -> Value {
        let error = self.energy_j.error();
        let (kwh, joules) = (self.energy_j.value().map(|joules| joules / J_PER_KWH), self.energy_j.value());
        let amounts = [joules, kwh, self.facility_kwh.value(), self.co2eq_g.value()].map(|amount| (amount, error));
        let [job, others, device] = self.shares_j.map(Sum::value);
        let share = device.map(|device| json!({"job_j": job, "others_j": others, "device_j": device}));
        let [from, to] = self.span().map_or([None; 2], |(from, to)| [Some(from), Some(to)]);
        super::run_entry::with(
            figures(amounts),
            json!({
                "node": self.node,
                "starts": self.starts(),
                "started_unix_s": from,
                "ended_unix_s": to,
                "duration_s": self.duration_s(),
                "energy_j": joules,
                "energy_kwh": kwh,
                "facility_energy_kwh": self.facility_kwh.value(),
                "co2eq_g": self.co2eq_g.value(),
                "share": share,
                "unfinished": self.unfinished,
                "unknown": self.unknown,
            }),
        )
    }
}

/// The name of a job without the depth of `run` commands, and that depth. A program inside is deeper than all of them.
fn outer(words: &str) -> (&str, u64) {
    let (begin, end) = DEPTH;
    let of_run = words.strip_suffix(end).and_then(|rest| {
        let (name, depth) = rest.rsplit_once(begin)?;
        Some((name, depth.parse().ok()?))
    });
    let (name, depth) = of_run.unwrap_or((words, u64::MAX));
    // `run` names its own job by the option `job`.
    let name = if of_run.is_some() { name.strip_prefix("job ").unwrap_or(name) } else { name };
    (name, depth)
}

/// Whether a job of this name is the one that the user names: by its whole name, or its number.
fn is_job(words: &str, id: &str) -> bool {
    let name = outer(words).0;
    name == id || name.rsplit_once("job ").is_some_and(|(_, number)| number == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_is_found_by_its_number_or_name() {
        for words in ["SLURM job 77", "job SLURM job 77, run 0 deep", "SLURM job 77, run 12 deep"] {
            assert!(is_job(words, "77") && is_job(words, "SLURM job 77"), "{words}");
            assert!(!is_job(words, "7") && !is_job(words, "0") && !is_job(words, "job"), "{words}");
        }
        assert!(is_job("job sweep", "sweep") && is_job("LSF job 5:2", "5:2"));
    }

    #[test]
    fn run_around_a_run_is_outer() {
        assert!(outer("job SLURM job 7, run 0 deep").1 < outer("job SLURM job 7, run 1 deep").1);
        assert!(outer("job SLURM job 7, run 1 deep").1 < outer("SLURM job 7").1);
    }

    #[test]
    fn times_that_overlap_are_one_start() {
        let part = JobPart { spans: vec![(10.0, 12.0), (0.0, 3.0), (2.0, 5.0)], ..JobPart::default() };
        assert_eq!((part.starts(), part.duration_s(), part.span()), (2, Some(7.0), Some((0.0, 12.0))));
        assert_eq!(JobPart::default().duration_s(), None);
    }
}
