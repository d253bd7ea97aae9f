//! The logs of several files as runs: each standard log's run with what the output logs report of it. Pure.

use super::events::{Consumption, What, events};
use super::lines::lines;
use super::outputs::{Output, outputs};
use super::runs::{Broken, Standard, standards};
use carbontracker::units::{J_PER_KWH, sum};
use std::collections::BTreeMap;

/// A file that was read.
pub struct Log {
    /// Its path, for messages.
    pub path: String,
    /// What the names of a run's two logs share.
    pub stem: String,
    pub standards: Vec<Result<Standard, Broken>>,
    pub outputs: Vec<Output>,
    /// Blocks of an output log that cannot be read.
    pub broken: Vec<Broken>,
    pub is_empty: bool,
    /// By its name.
    pub is_output: bool,
}

/// A run of one file or two.
#[derive(Clone)]
pub struct Run {
    /// The file it is from, and its place there among others.
    pub file: usize,
    pub place: usize,
    pub stem: String,
    pub standard: Option<Standard>,
    pub output: Option<Output>,
    /// There is an output log, and nothing in it.
    pub is_output_empty: bool,
    /// Other files that hold it too.
    pub copies: Vec<String>,
}

impl Log {
    /// Reads a file's bytes.
    pub fn read(path: String, stem: String, is_output: bool, bytes: &[u8]) -> Log {
        let events = events(&lines(bytes));
        let broken = |event: &super::events::Event| match &event.what {
            What::BrokenBlock(what) => Some(Broken::new(event.line, what.clone())),
            _ => None,
        };
        Log {
            path,
            stem,
            standards: standards(&events),
            outputs: outputs(&events),
            broken: events.iter().filter_map(broken).collect(),
            is_empty: bytes.iter().all(u8::is_ascii_whitespace),
            is_output,
        }
    }

    /// Whether nothing in it is Carbontracker's.
    pub fn is_foreign(&self) -> bool {
        self.standards.is_empty() && self.outputs.is_empty() && self.broken.is_empty()
    }
}

/// The runs of these files, copies among them.
pub fn runs(logs: &[Log]) -> Vec<Run> {
    let mut groups: BTreeMap<&str, Vec<(usize, &Log)>> = BTreeMap::new();
    for (file, log) in logs.iter().enumerate() {
        groups.entry(&log.stem).or_default().push((file, log));
    }
    let mut runs: Vec<Run> = groups.into_values().flat_map(|group| of_group(&group)).collect();
    adopt(&mut runs);
    runs
}

/// The runs of files with one stem.
fn of_group(group: &[(usize, &Log)]) -> Vec<Run> {
    let outputs: Vec<(usize, usize, &Output)> = group
        .iter()
        .flat_map(|(file, log)| log.outputs.iter().enumerate().map(|(place, output)| (*file, place, output)))
        .collect();
    let is_output_empty = group.iter().any(|(_, log)| log.is_output && log.is_empty);
    let run = |file: usize, place: usize, standard: Option<Standard>, output: Option<Output>| {
        let stem = group.first().map(|(_, log)| log.stem.clone()).unwrap_or_default();
        Run { file, place, stem, standard, output, is_output_empty, copies: Vec::new() }
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
    // What a refused run used is not known, nor which blocks are its own.
    let is_left = |output: &Output| {
        runs.is_empty() || output.actual_at.as_deref().is_some_and(|at| !runs.iter().any(|run| run.is_around(at)))
    };
    let left = outputs.iter().filter(|(_, _, output)| !is_refused && is_left(output));
    let left: Vec<Run> = left.map(|(file, place, output)| run(*file, *place, None, Some((*output).clone()))).collect();
    runs.extend(left);
    runs
}

/// Gives output logs that are alone to the runs they are of, where they lie elsewhere or under another name.
fn adopt(runs: &mut Vec<Run>) {
    let (mut standards, alone): (Vec<Run>, Vec<Run>) =
        std::mem::take(runs).into_iter().partition(|run| run.standard.is_some());
    for run in alone {
        let Some(output) = &run.output else { continue };
        let is_known = standards.iter().any(|of| of.has(output) && of.may_be_of_process_of(&run));
        let orphan = standards.iter_mut().find(|of| {
            let is_alone = of.output.as_ref().is_none_or(|output| output.actual.is_none());
            is_alone && of.may_be_of_process_of(&run) && of.may_have(output)
        });
        match orphan {
            _ if is_known => (),
            Some(orphan) => orphan.output = Some(output.clone()),
            None => runs.push(run),
        }
    }
    runs.splice(0..0, standards);
}

impl Run {
    /// Whether its standard log was being written then.
    fn is_around(&self, at: &str) -> bool {
        self.standard.as_ref().is_some_and(|standard| standard.is_around(at))
    }

    /// Whether its output log has the same block: at the same time, or in a console's text, which has no dates.
    fn has(&self, other: &Output) -> bool {
        let Some(own) = &self.output else { return false };
        let is_then = own.actual_at == other.actual_at || other.actual_at.is_none() || own.actual_at.is_none();
        other.actual.is_some() && own.actual == other.actual && is_then
    }

    /// Whether an output log is likely its own.
    fn may_have(&self, output: &Output) -> bool {
        let Some((standard, actual)) = self.standard.as_ref().zip(output.actual.as_ref()) else { return false };
        let is_then = output.actual_at.as_deref().is_none_or(|at| standard.is_around(at));
        is_then && standard.off(actual).is_some_and(|off| off < CLOSE)
    }

    /// Whether names of files, which may hold a process number, do not show that these are of different processes.
    pub fn may_be_of_process_of(&self, other: &Run) -> bool {
        let (own, others) = (process(&self.stem), process(&other.stem));
        own.zip(others).is_none_or(|(own, other)| own == other)
    }

    /// The time its first line has.
    pub fn started(&self) -> Option<&str> {
        let of_standard = self.standard.as_ref().and_then(|standard| standard.started.as_deref());
        of_standard.or_else(|| self.output.as_ref()?.started.as_deref())
    }
}

/// What a stem has of its process: `4711.99` of `name_4711.99_2026-11-29T165153Z`, and of this library's logs the rank in
/// `name_r3` too. Carbontracker 1.1 has none of it.
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

/// A block's energy may be so far off what the epochs' powers come to, as a share, and still be the run's own.
const CLOSE: f64 = 0.05;

/// What the output logs of a stem report of a run.
fn output_of<'a>(standard: &Standard, all: impl Iterator<Item = &'a Output> + Clone) -> Option<Output> {
    let is_then = |at: &Option<String>| at.as_deref().is_none_or(|at| standard.is_around(at));
    let mut actual: Vec<&Output> = all.clone().filter(|one| one.actual.is_some() && is_then(&one.actual_at)).collect();
    actual.dedup_by(|a, b| a.actual == b.actual && a.actual_at == b.actual_at);
    let off = |output: &Output| output.actual.as_ref().and_then(|actual| standard.off(actual));
    let own = match actual.as_slice() {
        [only] if only.actual_at.is_some() => Some(*only),
        several => {
            let close = several.iter().filter_map(|one| Some((*one, off(one)?))).filter(|(_, off)| *off < CLOSE);
            close.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(one, _)| one)
        }
    };
    let mut predicted = all.filter(|one| one.predicted.is_some() && is_then(&one.predicted_at));
    let beside = own.filter(|own| own.predicted.is_some() && is_then(&own.predicted_at));
    let foretold =
        beside.or_else(|| predicted.next().filter(|first| predicted.all(|one| one.predicted == first.predicted)));
    let own_or_foretold = own.or(foretold)?;
    Some(Output {
        started: own_or_foretold.started.clone(),
        actual: own.and_then(|own| own.actual.clone()),
        actual_at: own.and_then(|own| own.actual_at.clone()),
        predicted: foretold.and_then(|one| one.predicted.clone()),
        predicted_at: foretold.and_then(|one| one.predicted_at.clone()),
        is_ended: own.is_some_and(|own| own.is_ended),
        times: own.map_or(0, |own| own.times),
    })
}

impl Standard {
    /// Whether it was being written then.
    pub fn is_around(&self, at: &str) -> bool {
        let is_after = self.started.as_deref().is_none_or(|started| started <= at);
        is_after && self.last_at.as_deref().is_none_or(|last| at <= last)
    }

    /// The devices' energy over its epochs, as far as it is known, J.
    pub fn joules(&self) -> Option<f64> {
        sum(self.epochs.iter().map(|entry| sum(entry.powers.iter().map(|(kind, _)| entry.joules_of(kind)))))
    }

    /// What its epochs come to, PUE included.
    pub fn kwh(&self) -> Option<f64> {
        Some(self.joules()? / J_PER_KWH * self.pue?)
    }

    /// How far a block's energy is off what its epochs come to, as a share; what was rounded off it is none of that.
    pub fn off(&self, block: &Consumption) -> Option<f64> {
        let kwh = self.kwh()?;
        let off = (block.kwh? - kwh).abs();
        Some(if off <= block.step_kwh { 0.0 } else { off / kwh })
    }

    /// Whether what its epochs come to is the exacter figure: the block's is the same, but rounded to few decimals.
    pub fn is_exacter_than(&self, block: &Consumption) -> bool {
        const ROUNDED_S: f64 = 0.005;
        let seconds: f64 = self.epochs.iter().map(|entry| entry.duration_s).sum();
        let own = ROUNDED_S * self.epochs.len() as f64 / seconds;
        let blocks = block.kwh.map_or(f64::INFINITY, |kwh| block.step_kwh / 2.0 / kwh);
        own < blocks && self.off(block) == Some(0.0)
    }
}
