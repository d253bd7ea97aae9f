//! Joins each run of a standard log with its run in an output log. Pure.

use super::epochs::BadLine;
use super::events::{Consumption, EventKind, events};
use super::lines::lines;
use super::outputs::{OutputRun, outputs};
use super::runs::{StandardRun, standards};
use carbontracker::units::{J_PER_KWH, sum};
use std::collections::BTreeMap;

/// The content of a log file.
pub struct LogFile {
    /// Its path, for messages.
    pub path: String,
    /// The common part of the names of a run's two logs.
    pub stem: String,
    pub standards: Vec<Result<StandardRun, BadLine>>,
    pub outputs: Vec<OutputRun>,
    /// Blocks of an output log that cannot be read.
    pub broken: Vec<BadLine>,
    pub is_empty: bool,
    /// Its name is that of an output log.
    pub is_output: bool,
}

/// A run from one file or two.
#[derive(Clone)]
pub struct LoggedRun {
    /// The number of its file.
    pub file: usize,
    /// Its place among the runs of that file.
    pub place: usize,
    pub stem: String,
    pub standard: Option<StandardRun>,
    pub output: Option<OutputRun>,
    /// There is an output log, but it is empty.
    pub is_output_empty: bool,
    /// Other files that hold the run too.
    pub copies: Vec<String>,
}

impl LogFile {
    /// Reads a file's bytes.
    pub fn read(path: String, stem: String, is_output: bool, bytes: &[u8]) -> LogFile {
        let events = events(&lines(bytes));
        let broken = |event: &super::events::LogEvent| match &event.what {
            EventKind::BrokenBlock(what) => Some(BadLine::new(event.line, what.clone())),
            _ => None,
        };
        LogFile {
            path,
            stem,
            standards: standards(&events),
            outputs: outputs(&events),
            broken: events.iter().filter_map(broken).collect(),
            is_empty: bytes.iter().all(u8::is_ascii_whitespace),
            is_output,
        }
    }

    /// True if nothing in the file is from Carbontracker.
    pub fn is_foreign(&self) -> bool {
        self.standards.is_empty() && self.outputs.is_empty() && self.broken.is_empty()
    }
}

/// The runs of these files, including copies.
pub fn runs(logs: &[LogFile]) -> Vec<LoggedRun> {
    let mut groups: BTreeMap<&str, Vec<(usize, &LogFile)>> = BTreeMap::new();
    for (file, log) in logs.iter().enumerate() {
        groups.entry(&log.stem).or_default().push((file, log));
    }
    let mut runs: Vec<LoggedRun> = groups.into_values().flat_map(|group| of_group(&group)).collect();
    adopt(&mut runs);
    runs
}

/// The runs of files with the same stem.
fn of_group(group: &[(usize, &LogFile)]) -> Vec<LoggedRun> {
    let outputs: Vec<(usize, usize, &OutputRun)> = group
        .iter()
        .flat_map(|(file, log)| log.outputs.iter().enumerate().map(|(place, output)| (*file, place, output)))
        .collect();
    let is_output_empty = group.iter().any(|(_, log)| log.is_output && log.is_empty);
    let run = |file: usize, place: usize, standard: Option<StandardRun>, output: Option<OutputRun>| {
        let stem = group.first().map(|(_, log)| log.stem.clone()).unwrap_or_default();
        LoggedRun { file, place, stem, standard, output, is_output_empty, copies: Vec::new() }
    };
    let mut runs = Vec::new();
    let mut is_refused = false;
    for (file, log) in group {
        for (place, standard) in log.standards.iter().enumerate() {
            let Ok(standard) = standard else {
                is_refused = true;
                continue;
            };
            let output = match outputs.as_slice() {
                [(_, _, only)] if log.standards.len() == 1 => Some((*only).clone()),
                all => output_of(standard, all.iter().map(|(_, _, output)| *output)),
            };
            runs.push(run(*file, place, Some(standard.clone()), output));
        }
    }
    // If a run was refused, its blocks are unknown: no block counts as a separate run.
    let is_left = |output: &OutputRun| {
        runs.is_empty() || output.actual_at.as_deref().is_some_and(|at| !runs.iter().any(|run| run.is_around(at)))
    };
    let left = outputs.iter().filter(|(_, _, output)| !is_refused && is_left(output));
    let left: Vec<LoggedRun> =
        left.map(|(file, place, output)| run(*file, *place, None, Some((*output).clone()))).collect();
    runs.extend(left);
    runs
}

/// Joins output logs without a standard log to their runs, if these are in another folder or have another name.
fn adopt(runs: &mut Vec<LoggedRun>) {
    let (mut standards, alone): (Vec<LoggedRun>, Vec<LoggedRun>) =
        std::mem::take(runs).into_iter().partition(|run| run.standard.is_some());
    for run in alone {
        let Some(output) = &run.output else { continue };
        let is_known = standards.iter().any(|of| of.has(output) && of.may_be_of_process_of(&run));
        let owner = standards.iter_mut().find(|of| {
            let is_alone = of.output.as_ref().is_none_or(|output| output.actual.is_none());
            is_alone && of.may_be_of_process_of(&run) && of.may_have(output)
        });
        match owner {
            _ if is_known => (),
            Some(owner) => owner.output = Some(output.clone()),
            None => runs.push(run),
        }
    }
    runs.splice(0..0, standards);
}

impl LoggedRun {
    /// True if its standard log was written at this time.
    fn is_around(&self, at: &str) -> bool {
        self.standard.as_ref().is_some_and(|standard| standard.is_around(at))
    }

    /// True if its output log has the same total: at the same time, or without a date, as in text from a console.
    fn has(&self, other: &OutputRun) -> bool {
        let Some(own) = &self.output else { return false };
        let is_then = own.actual_at == other.actual_at || other.actual_at.is_none() || own.actual_at.is_none();
        other.actual.is_some() && own.actual == other.actual && is_then
    }

    /// True if an output log probably belongs to this run.
    fn may_have(&self, output: &OutputRun) -> bool {
        let Some((standard, actual)) = self.standard.as_ref().zip(output.actual.as_ref()) else { return false };
        let is_then = output.actual_at.as_deref().is_none_or(|at| standard.is_around(at));
        is_then && standard.off(actual).is_some_and(|off| off < MAX_DIFFERENCE)
    }

    /// False if the names of the files show different processes.
    pub fn may_be_of_process_of(&self, other: &LoggedRun) -> bool {
        let (own, others) = (process(&self.stem), process(&other.stem));
        own.zip(others).is_none_or(|(own, other)| own == other)
    }

    /// The time of the first line.
    pub fn started(&self) -> Option<&str> {
        let of_standard = self.standard.as_ref().and_then(|standard| standard.started.as_deref());
        of_standard.or_else(|| self.output.as_ref()?.started.as_deref())
    }
}

/// The process in a stem: `4711.99` in `name_4711.99_2026-11-29T165153Z`, or the rank in `name_r3` of this library's
/// logs. Stems of Carbontracker 1.1 have neither.
fn process(stem: &str) -> Option<String> {
    let parts: Vec<&str> = stem.split('_').collect();
    let is_number = |part: &str, also: char| {
        part.starts_with(|c: char| c.is_ascii_digit()) && part.chars().all(|c| c.is_ascii_digit() || c == also)
    };
    let is_date = |part: &&str| part.len() == "2026-11-29T165153Z".len() && part.contains('T') && part.ends_with('Z');
    let rank = parts.last().filter(|last| last.strip_prefix('r').is_some_and(|rank| is_number(rank, '-')));
    let date = parts.iter().rposition(is_date);
    let number = date.and_then(|date| parts.get(date.checked_sub(1)?)).filter(|part| is_number(part, '.'));
    rank.or(number).map(|part| (*part).to_owned())
}

/// Largest difference between a block's energy and the energy of the epochs, as a share, for both to be of one run.
const MAX_DIFFERENCE: f64 = 0.05;

/// The total and prediction of a run in the output logs of its stem.
fn output_of<'a>(standard: &StandardRun, all: impl Iterator<Item = &'a OutputRun> + Clone) -> Option<OutputRun> {
    let is_then = |at: &Option<String>| at.as_deref().is_none_or(|at| standard.is_around(at));
    let mut actual: Vec<&OutputRun> =
        all.clone().filter(|one| one.actual.is_some() && is_then(&one.actual_at)).collect();
    actual.dedup_by(|a, b| a.actual == b.actual && a.actual_at == b.actual_at);
    let off = |output: &OutputRun| output.actual.as_ref().and_then(|actual| standard.off(actual));
    let own = match actual.as_slice() {
        [only] if only.actual_at.is_some() => Some(*only),
        several => {
            let close =
                several.iter().filter_map(|one| Some((*one, off(one)?))).filter(|(_, off)| *off < MAX_DIFFERENCE);
            close.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(one, _)| one)
        }
    };
    let mut predicted = all.filter(|one| one.predicted.is_some() && is_then(&one.predicted_at));
    let beside = own.filter(|own| own.predicted.is_some() && is_then(&own.predicted_at));
    let forecast =
        beside.or_else(|| predicted.next().filter(|first| predicted.all(|one| one.predicted == first.predicted)));
    let own_or_forecast = own.or(forecast)?;
    Some(OutputRun {
        started: own_or_forecast.started.clone(),
        actual: own.and_then(|own| own.actual.clone()),
        actual_at: own.and_then(|own| own.actual_at.clone()),
        predicted: forecast.and_then(|one| one.predicted.clone()),
        predicted_at: forecast.and_then(|one| one.predicted_at.clone()),
        is_ended: own.is_some_and(|own| own.is_ended),
        times: own.map_or(0, |own| own.times),
    })
}

impl StandardRun {
    /// True if the log was written at this time.
    pub fn is_around(&self, at: &str) -> bool {
        let is_after = self.started.as_deref().is_none_or(|started| started <= at);
        is_after && self.last_at.as_deref().is_none_or(|last| at <= last)
    }

    /// The energy of the devices in its epochs, as far as it is known, without PUE, J.
    pub fn joules(&self) -> Option<f64> {
        sum(self.epochs.iter().map(|entry| sum(entry.powers.iter().map(|(kind, _)| entry.joules_of(kind)))))
    }

    /// The energy of its epochs, with PUE, kWh.
    pub fn kwh(&self) -> Option<f64> {
        Some(self.joules()? / J_PER_KWH * self.pue?)
    }

    /// The difference between a block's energy and that of the epochs, as a share. 0 if rounding explains it.
    pub fn off(&self, block: &Consumption) -> Option<f64> {
        let kwh = self.kwh()?;
        let off = (block.kwh? - kwh).abs();
        Some(if off <= block.step_kwh { 0.0 } else { off / kwh })
    }

    /// True if the energy of the epochs is more precise: the block has the same energy, but fewer decimals.
    pub fn is_more_precise_than(&self, block: &Consumption) -> bool {
        const ROUNDED_S: f64 = 0.005;
        let seconds: f64 = self.epochs.iter().map(|entry| entry.duration_s).sum();
        let own = ROUNDED_S * self.epochs.len() as f64 / seconds;
        let blocks = block.kwh.map_or(f64::INFINITY, |kwh| block.step_kwh / 2.0 / kwh);
        own < blocks && self.off(block) == Some(0.0)
    }
}
