//! The report: a snapshot of a run at one moment, and the formats in which it is read. Pure.
//!
//! In: the state of the run at one instant, its settings, and the level of detail. The page and the merge of a job's
//! ranks take reports as JSON. Out: JSON, text, CSV, Prometheus metrics, an HTML page, single numbers, and the
//! journal's lines of epochs. Never: a file, a clock, a thread or a lock; a 0 for an unknown value.

mod carbon_section;
mod component;
mod csv;
pub mod decimate;
mod detail;
mod epoch_row;
mod equivalents;
mod expected;
pub mod html;
mod job;
mod json;
mod line;
mod phases;
mod pointers;
mod prometheus;
pub mod ranks;
mod render;
mod share;
mod snapshot;
mod status;
pub mod text;
pub mod time_series;
pub mod unstated;

pub use component::{ComponentReport, named};
pub use detail::Detail;
pub use epoch_row::EpochRow;
pub use equivalents::equivalents;
pub use json::{SCHEMA, figures};
pub use status::{ComponentStatus, RunPhase};

use crate::attribution::carried_over::LostEnergy;
use crate::attribution::epochs::Epoch;
use crate::attribution::ledger::EnergySplit;
use crate::carbon::emissions::Emissions;
use crate::carbon::facility::Facility;
use crate::carbon::impacts::{Rates, Use};
use crate::carbon::intensity::Intensity;
use crate::carbon::what_if::{Elsewhere, WhatIf};
use crate::clock::MonoNs;
use crate::coordination::job::Rank;
use crate::forecast::run_progress::WorkMark;
use crate::forecast::uncertainty::Uncertainty;
use crate::forecast::{Estimate, Forecast};
use crate::measurement::channel::{Channel, DeviceKind};
use crate::measurement::unavailable::Unavailable;
use crate::state::alerts::ForecastBasis;
use crate::state::config::Budgets;
use crate::state::{CountedElsewhere, EarlierRuns, RunState};
use crate::units::{self, J_PER_KWH};
use carbon_section::Marginal;
use phases::PhaseReport;
use serde_json::Value;
use std::sync::Arc;
use time_series::TimeSeries;
pub use time_series::power;

/// A smaller share of a total is not shown by itself.
const NOTABLE_SHARE: f64 = 0.01;
/// From this share of the time on, readings cover all of it.
const WHOLE_SHARE: f64 = 0.99;

/// Memory that a report may take, bytes. `is_json`: it becomes JSON or a page, which take much more.
pub fn bytes(settings: &ReportSettings, state: &RunState, detail: Detail, is_json: bool) -> usize {
    let components = state.metering.channels.len() + state.attribution.carried_over.components.len();
    let zones = settings.elsewhere.as_ref().map_or(0, Elsewhere::count);
    let written = if let Detail::Since(written) = detail { written.count } else { 0 };
    let epochs = state
        .attribution
        .ledger
        .history()
        .len()
        .min(state.attribution.ledger.epochs().saturating_sub(written) as usize);
    // The sums of pairs of phases on each channel, copied and factored, and the rows.
    const PAIR_BYTES: usize = 24;
    const PHASE_BYTES: usize = 8 << 10;
    let book = &state.attribution.phases;
    let phases = if book.is_empty() || !detail.has_phases() { 0 } else { book.tree.count() };
    let of_phases = phases * (phases * PAIR_BYTES * state.metering.channels.len() + PHASE_BYTES);
    detail.bytes(is_json, components, zones, epochs) + of_phases
}

/// What does not change while a run lasts.
pub struct ReportSettings {
    /// The run's identifier, random.
    pub id: String,
    /// The user's label.
    pub name: Option<String>,
    /// The machine's name.
    pub host: String,
    /// The job of the process, as its launcher names it; None: no launcher names one.
    pub job: Option<String>,
    /// The rank of the process in that job.
    pub rank: Rank,
    /// When the tracker was created, RFC 3339.
    pub started: String,
    /// Longest time between two samples, s.
    pub interval_s: f64,
    /// Epochs planned; 0 = unknown.
    pub planned: u64,
    /// Share of runs that the forecast interval is meant to hold, 0 to 1.
    pub level: f64,
    /// Limits on the whole run.
    pub budgets: Budgets,
    /// Messages are printed on standard error.
    pub prints: bool,
    /// Epochs after which measuring stops; None: it does not stop.
    pub monitored: Option<u64>,
    /// The other places of the what-if section; None: it was switched off.
    pub elsewhere: Option<Elsewhere>,
    /// The user's rates for cost, water and the making of the devices.
    pub rates: Rates,
}

/// The moment of a report.
#[derive(Clone, Copy)]
pub struct Now {
    /// The moment on the monotonic clock.
    pub at: MonoNs,
    /// All readings of the ended epochs have arrived.
    pub whole: bool,
    /// The open epoch; None: no epoch is open.
    pub open: Option<OpenEpoch>,
}

/// The open epoch at one moment.
#[derive(Clone, Copy)]
pub struct OpenEpoch {
    /// The share that is done, 0 to 1, by its progress marks; None: it has no marks.
    pub share: Option<f64>,
}

/// A run at one moment.
pub struct Report {
    settings: Arc<ReportSettings>,
    phase: RunPhase,
    progress: Option<f64>,
    /// The work of the run that is done, and all of it, in the application's unit; None: it reports no progress.
    work: Option<(f64, f64)>,
    /// Whether progress divides the run into pieces, because the application marks no epochs.
    is_divided: bool,
    /// Whether measuring has ended.
    is_finished: bool,
    /// It did not end by itself.
    is_cut_off: bool,
    /// What the forecast is based on; None: there is none.
    basis: Option<ForecastBasis>,
    epochs_done: u64,
    /// The number of earlier attempts, and the epochs that they did not end.
    resumed: Option<(u64, LostEnergy)>,
    /// When the last epoch ended, s since 1970.
    last_end_unix_s: Option<f64>,
    totals: UsageTotals,
    intensity: Intensity,
    marginal: Option<Marginal>,
    emissions: Emissions,
    facility: Facility,
    /// The user's rates, or else those of the cloud region.
    rates: Rates,
    uncertainty: Uncertainty,
    forecast: Option<Forecast>,
    forecast_g: Option<Estimate>,
    /// The earlier runs that the forecast rests on; None: there are none.
    earlier: Option<EarlierRuns>,
    components: Vec<ComponentReport>,
    epochs: Vec<EpochRow>,
    /// The number of rows of all epochs; None: it was not requested.
    epoch_count: Option<usize>,
    /// Time since the open epoch's begin, s, and its energy, J.
    open_epoch: Option<(f64, Option<f64>)>,
    unavailable: Vec<Unavailable>,
    counted_elsewhere: Vec<CountedElsewhere>,
    job: Option<job::JobReport>,
    notes: Vec<String>,
    what_if: Option<WhatIf>,
    /// The named phases; None: the application marks none.
    phases: Option<PhaseReport>,
    /// The job's share of its node; null: all energy of the devices counts.
    share: Value,
    time_series: TimeSeries,
    /// Whether a budget is passed.
    is_over_budget: bool,
    /// Mean power of the newest seconds, in the order of `DeviceKind::ALL`, W; None: unknown, or not requested.
    power_now: [Option<f64>; DeviceKind::ALL.len()],
    /// The moment of the report, s since 1970; None: it is not for a file of the run.
    taken_unix_s: Option<f64>,
}

/// Time and energy of a run up to now. Energies are None while they are unknown.
struct UsageTotals {
    duration_s: f64,
    epochs_s: f64,
    between_s: f64,
    epochs_j: Option<f64>,
    /// The share of the epochs' energy that was divided by time.
    by_time_share: Option<f64>,
    between_j: Option<f64>,
    /// The share of the time that readings confirm.
    coverage: Option<f64>,
}

impl Report {
    /// Sets whether a budget is passed.
    pub fn with_verdict(self, is_over_budget: bool) -> Report {
        Report { is_over_budget, ..self }
    }

    /// Appends notes. `more` gets the time since the open epoch's begin, s.
    pub fn with_notes(mut self, more: impl FnOnce(Option<f64>) -> Vec<String>) -> Report {
        self.notes.extend(more(self.open_epoch.filter(|_| !self.is_divided).map(|(seconds, _)| seconds)));
        self
    }

    /// The report with this progress of the run, which the sampling thread may not have seen yet.
    pub fn with_work(mut self, work: Option<WorkMark>) -> Report {
        self.work = work.map(|work| (work.done, work.total.max(work.done))).or(self.work);
        self
    }

    /// The measured channels, each with its energies and its status.
    pub fn measured(&self) -> impl Iterator<Item = (&Channel, EnergySplit, ComponentStatus)> {
        self.components.iter().map(|component| (&component.channel, component.used, component.status))
    }

    /// Whether this process or an earlier one of the run has counted any energy.
    pub fn has_counted(&self) -> bool {
        let is_positive = |joules: Option<f64>| joules.is_some_and(|joules| joules > 0.0);
        self.measured().any(|(_, used, _)| is_positive(used.epochs.joules) || is_positive(used.between.joules))
    }

    /// The epochs for the journal: each as JSON and as a value. If there are more than `most`, they become one. A piece
    /// of the run's progress is marked as such.
    pub fn epoch_lines(&mut self, most: usize) -> Vec<(Value, Epoch)> {
        if self.epochs.len() > most {
            let alike = self.epochs.chunk_by(|one, next| one.is_piece == next.is_piece);
            self.epochs = alike.filter_map(|rows| rows.iter().copied().reduce(EpochRow::joined)).collect();
        }
        let line = |row: &EpochRow| {
            let mut line = row.json();
            if let Some(fields) = line.as_object_mut().filter(|_| row.is_piece) {
                fields.insert("piece".into(), true.into());
            }
            (line, row.epoch)
        };
        self.epochs.iter().map(line).collect()
    }

    /// The open epoch: the time since its begin, s, and its energy, J.
    pub fn open_epoch(&self) -> Option<(f64, Option<f64>)> {
        self.open_epoch
    }

    /// Everything that is not measured by this process, with the reasons.
    fn not_measured(&self) -> impl Iterator<Item = &Unavailable> {
        self.unavailable.iter().chain(self.counted_elsewhere.iter().map(|one| &one.unavailable))
    }

    fn energy_j(&self) -> Option<f64> {
        units::sum([self.totals.epochs_j, self.totals.between_j])
    }

    fn co2eq_g(&self) -> Option<f64> {
        self.energy_j().map(|joules| self.emissions.grams(joules))
    }

    /// Emissions of the job on this node, g, at this run's intensity.
    fn job_g(&self) -> Option<f64> {
        let joules = self.job.as_ref()?.energy_j?;
        Some(self.emissions.facility_kwh(joules) * self.intensity.g_per_kwh)
    }

    /// The use up to now.
    fn used(&self) -> Use {
        self.use_of(self.energy_j(), Some(self.totals.duration_s))
    }

    /// The forecast of a run with work left; None: there is no forecast, or all of the run is done.
    fn open_forecast(&self) -> Option<Forecast> {
        self.forecast.filter(|forecast| match self.basis {
            Some(ForecastBasis::Progress(share)) => share < 1.0,
            _ => forecast.after_epochs < self.settings.planned,
        })
    }

    /// The use that is forecast for the whole run; None: there is no forecast, or all of the run is done.
    fn forecast_use(&self) -> Option<Use> {
        let forecast = self.open_forecast()?;
        let value = |estimate: Option<Estimate>| estimate.map(|estimate| estimate.value);
        Some(self.use_of(value(forecast.energy_j), value(forecast.duration_s)))
    }

    fn use_of(&self, joules: Option<f64>, duration_s: Option<f64>) -> Use {
        Use {
            device_kwh: joules.map(|joules| joules / J_PER_KWH),
            facility_kwh: joules.map(|joules| self.emissions.facility_kwh(joules)),
            duration_s,
        }
    }
}

#[cfg(test)]
mod tests;
