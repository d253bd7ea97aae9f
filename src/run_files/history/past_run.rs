//! An earlier run, from the JSON of its report or of its journal. Pure.
//!
//! The file may be damaged, or have other units. So its numbers are compared with each other and with what is possible.

use crate::attribution::ledger::{EpochSummary, InterEpoch};
use crate::forecast::Metric;
use crate::forecast::history::EarlierRun;
use crate::measurement::channel::DeviceKind;
use crate::report::SCHEMA;
use crate::units::{ErrorBand, J_PER_KWH, sum};
use serde_json::Value;

/// An epoch counts as fully measured from this coverage on.
const MIN_FULL_COVERAGE: f64 = 0.99;
/// Longest time of a run, s: 30 years.
const MAX_S: f64 = 1e9;
/// Most power of a process's devices, W. No node takes more than a hundredth.
const MAX_W: f64 = 1e7;
/// Most epochs of a run. Sums of them are exact.
const MAX_EPOCHS: u64 = 1 << 48;
/// Two sums of the same epochs differ at most by this factor. Late readings change a sum by less, other units by more.
const MAX_RATIO: f64 = 2.0;
/// Difference of an energy in J and in kWh from rounding, as a share.
const ROUNDING: f64 = 1e-3;

/// In the row of an epoch that was read from a journal: the time from the previous epoch. A report does not have it.
pub const GAP_S: &str = "gap_s";

/// An earlier run.
#[derive(Clone, Debug)]
pub struct PastRun {
    /// Identity and plan of the run.
    pub label: RunLabel,
    /// Its epochs.
    pub run: EarlierRun,
    /// Number of its epochs. A run that was measured by its progress is one epoch.
    pub epochs_done: u64,
    /// Its mean power by time, oldest first.
    pub power: Vec<PowerPart>,
    /// Error interval of its energy; None: it was measured.
    pub error: Option<ErrorBand>,
    /// Number of ranks of its job whose files were found. 1 if it is of no job.
    pub ranks_found: u64,
    /// A rank of the job whose energy is unknown, although no other rank counts its devices.
    pub unknown_rank: Option<u64>,
    /// Facility energy / IT energy.
    pub pue: Option<f64>,
    /// The zone of its grid; None: unknown.
    pub zone: Option<String>,
}

/// Which run a file is of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunLabel {
    /// Identifier of the run.
    pub id: String,
    /// The user's label.
    pub name: Option<String>,
    /// Begin of the run, RFC 3339; empty: unknown.
    pub started: String,
    /// Planned epochs; 0: unknown.
    pub planned: u64,
    /// Number of the process in its job.
    pub rank: Option<u64>,
    /// Number of processes of the job.
    pub ranks: Option<u64>,
    /// The job, if a launcher or the user named it.
    pub job: Option<String>,
    /// Whether the run was imported from a log, which has no label and no number.
    pub is_imported: bool,
}

/// Mean power over a part of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerPart {
    /// Begin, s since the run's begin.
    pub from: f64,
    /// End, s since the run's begin.
    pub to: f64,
    /// Power of all devices, W.
    pub watts: f64,
}

/// Why a file is left out: what is wrong with it, and the fix.
#[derive(Clone, Debug, PartialEq)]
pub struct Flaw {
    /// What is wrong.
    pub what: String,
    /// The fix.
    pub fix: &'static str,
    /// The kind of file.
    pub kind: FlawKind,
}

/// A kind of file that is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FlawKind {
    /// A file of this library.
    Own,
    /// A file of another program. Such files are common beside those of runs.
    Foreign,
    /// A file of another user.
    OtherUser,
}

impl Flaw {
    /// A flaw of a file of this library.
    pub fn new(what: impl Into<String>, fix: &'static str) -> Flaw {
        Flaw { what: what.into(), fix, kind: FlawKind::Own }
    }

    /// A file of another program.
    pub fn foreign() -> Flaw {
        let what = "it is neither a report nor a journal of carbontracker".into();
        Flaw { what, fix: "move it to another folder", kind: FlawKind::Foreign }
    }

    fn of_numbers(what: &str) -> Flaw {
        Flaw::new(what, "remove the file if it was changed by hand")
    }
}

impl RunLabel {
    /// Reads the section `run` of a report or a journal.
    pub fn of(run: &Value) -> RunLabel {
        let text = |name: &str| run.get(name).and_then(Value::as_str).map(str::to_owned);
        let number = |name: &str| run.get(name).and_then(Value::as_u64);
        RunLabel {
            id: text("id").unwrap_or_default(),
            name: text("name"),
            started: text("started").unwrap_or_default(),
            planned: number("epochs_planned").unwrap_or(0),
            rank: number("rank"),
            ranks: number("ranks"),
            job: text("job"),
            is_imported: run.get("imported") == Some(&Value::Bool(true)),
        }
    }
}

impl PastRun {
    /// Reads a report. Fails if it is no report of a run, or its numbers cannot be true.
    pub fn of(report: &Value) -> Result<PastRun, Flaw> {
        let version = report.get("schema").and_then(Value::as_u64);
        let (Some(run), Some(usage), Some(version)) = (report.get("run"), report.get("usage"), version) else {
            return Err(Flaw::foreign());
        };
        if version != SCHEMA {
            let what = format!("it has schema {version}, and this version reads {SCHEMA}");
            return Err(Flaw::new(what, "update carbontracker"));
        }
        let label = RunLabel::of(run);
        let rows = report.get("epochs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let epochs = rows.iter().map(epoch).collect::<Option<Vec<_>>>();
        let epochs = epochs.ok_or_else(|| Flaw::of_numbers("its epochs have impossible numbers"))?;
        let count = epochs.iter().try_fold(0u64, |sum, epoch| sum.checked_add(epoch.count));
        let epochs_done = count.filter(|count| *count <= MAX_EPOCHS);
        let epochs_done = epochs_done.ok_or_else(|| Flaw::of_numbers("its epochs have impossible numbers"))?;
        check(usage, &epochs)?;
        let is_over = run.get("state").and_then(Value::as_str) == Some("done");
        let is_whole = if label.planned > 0 { epochs_done >= label.planned } else { is_over };
        let between = InterEpoch {
            duration_s: amount(usage, "/between/duration_s").filter(|seconds| *seconds <= MAX_S).unwrap_or(0.0),
            energy_j: amount(usage, "/between/energy_j"),
        };
        if let Some(work) = work(run) {
            let is_whole = work.done >= work.total;
            let epochs = vec![whole(&epochs, &between)];
            let run = EarlierRun { epochs, is_whole, work: Some(work.done), ..EarlierRun::default() };
            return Ok(PastRun::with(label, run, 1, report));
        }
        let gaps_s: f64 = epochs.iter().map(|epoch| epoch.gap_s).sum();
        // Without the gaps, it is unknown what was before the first epoch. Then all of it is taken for gaps. One epoch
        // has none.
        let is_known = gaps_s > 0.0 || epochs_done == 1;
        let before_s = if is_known { (between.duration_s - gaps_s).max(0.0) } else { 0.0 };
        Ok(PastRun::with(label, EarlierRun { epochs, between, before_s, is_whole, work: None }, epochs_done, report))
    }

    fn with(label: RunLabel, run: EarlierRun, epochs_done: u64, report: &Value) -> PastRun {
        PastRun {
            label,
            run,
            epochs_done,
            power: power(report.get("power")),
            error: ErrorBand::read(report.pointer("/usage/error")),
            ranks_found: 1,
            unknown_rank: None,
            pue: amount(report, "/pue").filter(|pue| (1.0..=10.0).contains(pue)),
            zone: report.pointer("/intensity/zone").and_then(Value::as_str).map(str::to_owned),
        }
    }
}

/// The progress of a run.
struct Work {
    done: f64,
    total: f64,
}

/// The progress that a run was measured by; None: it has epochs, or no progress.
fn work(run: &Value) -> Option<Work> {
    let work = run.get("work").filter(|work| work.get("pieces") == Some(&Value::Bool(true)))?;
    let known = |pointer: &str| amount(work, pointer).filter(|amount| *amount > 0.0);
    Some(Work { done: known("/done")?, total: known("/total")? })
}

/// The whole run as one epoch: pieces of progress are no epochs.
fn whole(pieces: &[EpochSummary], between: &InterEpoch) -> EpochSummary {
    EpochSummary {
        count: 1,
        duration_s: sum(pieces.iter().map(|piece| piece.duration_s)).map(|seconds| seconds + between.duration_s),
        energy_j: sum(pieces.iter().map(|piece| piece.energy_j)).map(|joules| joules + between.energy_j.unwrap_or(0.0)),
        fully_measured: pieces.iter().all(|piece| piece.fully_measured),
        gap_s: 0.0,
    }
}

/// A row of a report's epochs; None: its numbers are impossible.
fn epoch(row: &Value) -> Option<EpochSummary> {
    let count = row.get("count").and_then(Value::as_u64).filter(|count| *count > 0)?;
    let known = |name: &str| match row.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(value) => value.as_f64().filter(|amount| (0.0..=f64::MAX).contains(amount)).map(Some),
    };
    let (duration_s, energy_j) = (known("duration_s")?, known("energy_j")?);
    let most_j = MAX_W * duration_s.unwrap_or(MAX_S);
    let is_possible = duration_s.unwrap_or(0.0) <= MAX_S && energy_j.unwrap_or(0.0) <= most_j;
    // A log of another program has no coverage.
    let is_covered = row.get("coverage").is_none_or(|share| share.as_f64() >= Some(MIN_FULL_COVERAGE));
    is_possible.then_some(EpochSummary {
        count,
        duration_s: duration_s.filter(|seconds| *seconds > 0.0),
        energy_j,
        fully_measured: energy_j.is_some() && is_covered,
        gap_s: known(GAP_S)?.filter(|gap_s| *gap_s <= MAX_S).unwrap_or(0.0),
    })
}

/// Compares the epochs with the totals, and the energy in J with that in kWh. They differ if a unit is another one.
fn check(usage: &Value, epochs: &[EpochSummary]) -> Result<(), Flaw> {
    for (pointer, metric) in [("/epochs/duration_s", Metric::Duration), ("/epochs/energy_j", Metric::Energy)] {
        let amounts = || epochs.iter().map(|epoch| metric.of(epoch));
        let rows = sum(amounts()).filter(|rows| amounts().all(|amount| amount.is_some()) && *rows > 0.0);
        let total = amount(usage, pointer).filter(|total| *total > 0.0);
        let ratio = rows.zip(total).map_or(1.0, |(rows, total)| rows / total);
        if !(1.0 / MAX_RATIO..=MAX_RATIO).contains(&ratio) {
            return Err(Flaw::of_numbers("its epochs and its totals have different units"));
        }
    }
    let both = amount(usage, "/energy_j").zip(amount(usage, "/energy_kwh")).filter(|(joules, _)| *joules > 0.0);
    if both.is_some_and(|(joules, kwh)| (kwh * J_PER_KWH / joules - 1.0).abs() > ROUNDING) {
        return Err(Flaw::of_numbers("its energies in J and in kWh are different"));
    }
    Ok(())
}

/// The mean power of all devices by time, from the columns of a report; empty: unknown.
fn power(columns: Option<&Value>) -> Vec<PowerPart> {
    let column = |name: &str| columns?.get(name)?.as_array().map(Vec::as_slice);
    let (Some(from), Some(to)) = (column("from"), column("to")) else { return Vec::new() };
    let watts: Vec<&[Value]> =
        DeviceKind::ALL.iter().filter_map(|kind| column(&format!("{}_w", kind.name()))).collect();
    let begin = from.first().and_then(Value::as_f64).unwrap_or(0.0);
    let parts = from.iter().zip(to).enumerate().filter_map(|(n, (from, to))| {
        let watts = sum(watts.iter().map(|column| column.get(n).and_then(Value::as_f64)))?;
        let (from, to) = (from.as_f64()? - begin, to.as_f64()? - begin);
        let is_possible = from >= 0.0 && from < to && to <= MAX_S && (0.0..=MAX_W).contains(&watts);
        is_possible.then_some(PowerPart { from, to, watts })
    });
    parts.collect()
}

/// A finite number, 0 or more.
fn amount(of: &Value, pointer: &str) -> Option<f64> {
    of.pointer(pointer)?.as_f64().filter(|amount| (0.0..=f64::MAX).contains(amount))
}
