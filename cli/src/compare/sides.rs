//! The sides of a comparison: runs of one name, or of one folder.

use super::spread::Spread;
use crate::aggregate::run_entry::RunEntry;
use crate::aggregate::totals::Totals;
use crate::export::exported_run::EnergyOrigin;
use crate::named_runs;
use crate::report_files::{number, word};
use carbontracker::report::ranks::{RankReport, joined, merged};
use carbontracker::sanitize;
use carbontracker::units::{ErrorBand, J_PER_KWH};
use serde_json::Value;
use std::path::PathBuf;

/// The label of runs without a name.
const NAMELESS: &str = "(no name)";

/// A run to compare.
pub struct ComparedRun {
    /// Its checked values.
    pub entry: RunEntry,
    /// Mean carbon intensity, g/kWh.
    pub g_per_kwh: Option<f64>,
    /// Energy within epochs, of each epoch, J.
    epoch_j: Option<f64>,
    /// The kinds of its devices.
    kinds: Vec<String>,
}

/// Runs that are taken as repetitions of one thing.
pub struct ComparedSide {
    /// The name of the runs, or the folder or file.
    pub label: String,
    /// At least one run.
    pub runs: Vec<ComparedRun>,
}

/// What all sides are converted at.
#[derive(Clone, Copy)]
pub struct CommonGrid {
    /// Carbon intensity, g/kWh.
    pub g_per_kwh: Option<f64>,
    /// PUE. None: the first run does not state it, and none is applied.
    pub pue: Option<f64>,
}

impl ComparedRun {
    fn of(report: &Value) -> Result<ComparedRun, String> {
        let entry = RunEntry::of_report(report)?;
        let within = number(report, "/usage/epochs/energy_j").or(entry.energy_j);
        let epoch_j = within.map(|joules| joules / entry.epochs as f64).filter(|joules| joules.is_finite());
        let components = report.get("components").and_then(Value::as_array).into_iter().flatten();
        let kinds = components.filter_map(|one| word(one, "/kind").map(str::to_owned)).collect();
        Ok(ComparedRun { kinds, g_per_kwh: number(report, "/intensity/g_per_kwh"), epoch_j, entry })
    }
}

impl ComparedSide {
    fn spread(&self, of: impl Fn(&ComparedRun) -> Option<f64>) -> Option<Spread> {
        Spread::of(&self.runs.iter().filter_map(of).collect::<Vec<_>>())
    }

    /// Energy of the devices, J.
    pub fn energy_j(&self) -> Option<Spread> {
        self.spread(|run| run.entry.energy_j)
    }

    /// Energy of the devices in an epoch, J.
    pub fn epoch_j(&self) -> Option<Spread> {
        self.spread(|run| run.epoch_j)
    }

    /// Time, s. A run that states none counts as unknown.
    pub fn duration_s(&self) -> Option<Spread> {
        self.spread(|run| run.entry.duration_s.filter(|seconds| *seconds > 0.0))
    }

    /// Emissions at the common intensity and PUE, g.
    pub fn co2eq_g(&self, grid: CommonGrid) -> Option<Spread> {
        let g_per_j = grid.g_per_kwh? * grid.pue.unwrap_or(1.0) / J_PER_KWH;
        self.spread(|run| run.entry.energy_j.map(|joules| joules * g_per_j))
    }

    fn totals(&self) -> Totals {
        Totals::of(self.runs.iter().map(|run| &run.entry))
    }

    /// How its energy was determined.
    pub fn origin(&self) -> Option<EnergyOrigin> {
        EnergyOrigin::of(&self.totals())
    }

    /// The kinds of devices that count, sorted. Empty: unknown.
    pub fn kinds(&self) -> Vec<&str> {
        let mut kinds: Vec<&str> = self.runs.iter().flat_map(|run| &run.kinds).map(String::as_str).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// The error band of its energy. None: it is measured.
    pub fn error(&self) -> Option<ErrorBand> {
        self.totals().energy_j.error()
    }
}

impl CommonGrid {
    /// The given intensity, or else that of the first run, and its PUE.
    pub fn of(given: Option<f64>, sides: &[ComparedSide]) -> CommonGrid {
        let first = sides.first().and_then(|side| side.runs.first());
        CommonGrid {
            g_per_kwh: given.or(first.and_then(|run| run.g_per_kwh)),
            pue: first.and_then(|run| run.entry.pue),
        }
    }
}

/// A run and the place where a command line names it.
struct PlacedRun {
    /// The place of the argument.
    argument: usize,
    /// The argument, if it is a folder.
    folder: Option<String>,
    /// The file's name without its ending. Empty in a folder.
    file: String,
    run: ComparedRun,
}

/// The sides that a command line names, in its order. A folder is a side, and files of one name are one. A single
/// folder is divided by name. Files that all have one name are a side each.
pub fn sides(paths: &[PathBuf]) -> Result<Vec<ComparedSide>, String> {
    let mut placed = of_files(paths)?;
    for (argument, folder) in paths.iter().enumerate().filter(|(_, path)| path.is_dir()) {
        let label = sanitize::text(folder.display().to_string());
        for report in named_runs::folded(std::slice::from_ref(folder))? {
            let folder = Some(label.trim_end_matches('/').to_owned()).filter(|_| paths.len() > 1);
            placed.push(PlacedRun { argument, folder, file: String::new(), run: ComparedRun::of(&report)? });
        }
    }
    placed.sort_by_key(|one| one.argument);
    let name = |one: &PlacedRun| one.run.entry.name.clone().unwrap_or(NAMELESS.into());
    let first = placed.first().map(name);
    let is_one_name = placed.iter().all(|one| one.folder.is_none() && Some(name(one)) == first);
    let mut sides: Vec<ComparedSide> = Vec::new();
    for one in placed {
        let label = match &one.folder {
            Some(folder) => folder.clone(),
            None if is_one_name && !one.file.is_empty() => one.file.clone(),
            None => name(&one),
        };
        match sides.iter_mut().find(|side| side.label == label) {
            Some(side) => side.runs.push(one.run),
            None => sides.push(ComparedSide { label, runs: vec![one.run] }),
        }
    }
    if sides.len() < 2 {
        return Err("all these runs are one side; nothing is compared; name two folders, or runs of two names".into());
    }
    Ok(sides)
}

/// The runs of the files, where the ranks of a job are one. A run that is named twice counts once.
fn of_files(paths: &[PathBuf]) -> Result<Vec<PlacedRun>, String> {
    let mut read: Vec<(usize, Value)> = Vec::new();
    for (argument, path) in paths.iter().enumerate().filter(|(_, path)| !path.is_dir()) {
        for report in named_runs::read(std::slice::from_ref(path))? {
            let is_known = read.iter().any(|(_, known)| word(known, "/run/id") == word(&report, "/run/id"));
            read.extend((!is_known).then_some((argument, report)));
        }
    }
    let parts: Vec<RankReport> = read.iter().map(|(_, report)| RankReport::of(report)).collect();
    let mut placed = Vec::new();
    for row in joined(&parts) {
        let members: Vec<&(usize, Value)> = row.iter().filter_map(|&place| read.get(place)).collect();
        let Some(&&(argument, ref first)) = members.first() else { continue };
        let reports: Vec<&Value> = members.iter().map(|(_, report)| report).collect();
        let run = if reports.len() > 1 { ComparedRun::of(&merged(&reports)) } else { ComparedRun::of(first) };
        let stem = paths.get(argument).and_then(|path| path.file_stem());
        let file = stem.map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        placed.push(PlacedRun { argument, folder: None, file, run: run? });
    }
    Ok(placed)
}
