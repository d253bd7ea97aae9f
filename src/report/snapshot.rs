//! Takes a report from the state of a run, while the caller holds the state's lock.

use super::carbon_section::{self, Marginal};
use super::job::JobReport;
use super::phases::PhaseReport;
use super::share;
use super::time_series::{self, TimeSeries};
use super::{ComponentReport, Detail, EpochRow, Now, Report, ReportSettings, RunPhase, UsageTotals, component};
use crate::attribution::epochs::Epoch;
use crate::carbon::emissions::{EmissionFactors, Emissions};
use crate::carbon::impacts::Rates;
use crate::carbon::intensity::GridIntensity;
use crate::carbon::what_if::{RunPart, WhatIf, WhatIfRun};
use crate::measurement::channel::DeviceKind;
use crate::state::{Attribution, FAULT, RunState};
use std::sync::Arc;

impl Report {
    /// Copies what a report of this detail needs.
    pub fn new(settings: &Arc<ReportSettings>, state: &RunState, now: Now, detail: Detail) -> Report {
        // A piece of a run that progress divides is no epoch.
        let now = Now { open: now.open.filter(|_| !state.attribution.is_divided), ..now };
        let has_emissions = !matches!(detail, Detail::WithoutEmissions(_));
        let factors = EmissionFactors { curve: state.factors().curve.filter(|_| has_emissions), ..state.factors() };
        let emissions = factors.emissions(&state.attribution.ledger, now.at);
        let forecast = state.forecast_at(now.at);
        let marginal = state.carbon.marginal.as_ref().filter(|_| has_emissions);
        let begin = state.attribution.ledger.open();
        let mut report = Report {
            settings: Arc::clone(settings),
            phase: phase(settings.planned, state, now.open.is_some()),
            progress: now.open.and_then(|open| open.share),
            work: state.forecasting.run_progress.work(),
            is_divided: state.attribution.is_divided,
            is_finished: state.lifecycle.finished,
            is_cut_off: state.lifecycle.is_cut_off,
            basis: state.alert_input(now.at).basis(settings.planned).filter(|_| forecast.is_some()),
            epochs_done: state.attribution.ledger.marked_epochs(),
            resumed: (!state.attribution.carried_over.is_empty())
                .then_some((state.attribution.carried_over.attempts, state.attribution.carried_over.lost)),
            last_end_unix_s: last_end_unix_s(state),
            totals: UsageTotals::new(state),
            intensity: carbon_section::intensity(&state.carbon.grid, &emissions),
            marginal: marginal.map(|hourly| Marginal::new(hourly, state, forecast, now.at)),
            uncertainty: state.uncertainty(),
            forecast,
            forecast_g: forecast.and_then(|forecast| factors.forecast(&emissions, &forecast)),
            earlier: state.forecasting.earlier.clone(),
            components: components(state),
            epochs: epoch_rows(state, detail, &emissions),
            epoch_count: (detail == Detail::EpochCount).then(|| state.attribution.ledger.marked().count()),
            open_epoch: begin.map(|begin| (now.at.s_since(begin), state.attribution.ledger.open_j(now.at))),
            unavailable: state.metering.unavailable.iter().chain(&state.metering.opening).cloned().collect(),
            counted_elsewhere: state.elsewhere().collect(),
            job: JobReport::new(state),
            notes: notes(settings, state, now.whole, &emissions),
            emissions,
            facility: state.carbon.facility.clone(),
            rates: rates(settings, state),
            what_if: None,
            share: share::section(state),
            phases: PhaseReport::new(state, matches!(detail, Detail::Since(_))).filter(|_| detail.has_phases()),
            time_series: TimeSeries::default(),
            is_over_budget: false,
            power_now: power_now(state, now, detail),
            taken_unix_s: matches!(detail, Detail::Since(_)).then(|| state.carbon.clock.unix_s(now.at).0),
        };
        report.raise_forecast();
        if matches!(detail, Detail::WhatIf | Detail::Epochs) {
            report.what_if = report.run_elsewhere(&state.carbon.grid, state.carbon.clock.unix_s(now.at).0);
        }
        if detail == Detail::Epochs {
            let planned = if report.is_divided { 0 } else { settings.planned };
            report.time_series = TimeSeries::new(state, &factors, planned, settings.level, now.at);
        }
        report
    }

    /// Raises the forecast to the actual use. The sampling thread may have made it before the newest energy came.
    fn raise_forecast(&mut self) {
        let (duration_s, energy_j, grams) = (self.totals.duration_s, self.energy_j(), self.co2eq_g());
        self.forecast = self.forecast.map(|forecast| forecast.after_use(duration_s, energy_j));
        self.forecast_g = self.forecast_g.map(|forecast| forecast.after_use(grams.unwrap_or(0.0)));
    }

    /// The run in other places and at other times than `now`, s since 1970.
    fn run_elsewhere(&self, grid: &GridIntensity, now: f64) -> Option<WhatIf> {
        let (of, whole) = self.forecast_use().map_or((RunPart::Used, self.used()), |whole| (RunPart::Forecast, whole));
        let run = WhatIfRun {
            of,
            facility_kwh: whole.facility_kwh,
            co2eq_g: if of == RunPart::Forecast { self.forecast_g.map(|grams| grams.value) } else { self.co2eq_g() },
            duration_s: whole.duration_s.filter(|seconds| *seconds > 0.0),
            intensity: &self.intensity,
        };
        let curve = grid.hourly.as_ref().map(|hourly| &hourly.curve);
        Some(WhatIf::new(self.settings.elsewhere.as_ref()?, run, grid.flat.zone.as_deref(), curve, now))
    }
}

impl UsageTotals {
    /// Time and energy in the state of a run.
    pub(super) fn new(state: &RunState) -> UsageTotals {
        let ledger = &state.attribution.ledger;
        UsageTotals {
            duration_s: ledger.run_ns() as f64 * 1e-9,
            epochs_s: ledger.inside_ns() as f64 * 1e-9,
            between_s: ledger.between_ns() as f64 * 1e-9,
            epochs_j: ledger.epochs_j(),
            by_time_share: ledger.by_time_share(),
            between_j: ledger.between_j(),
            coverage: component::coverage(state),
        }
    }
}

/// Mean power of the newest seconds, for a file of the run or one line; unknown once the run has ended. Other reports
/// stay the same between two calls of `ct_report`, of which the first one asks for the length.
fn power_now(state: &RunState, now: Now, detail: Detail) -> [Option<f64>; DeviceKind::ALL.len()] {
    let is_shown = matches!(detail, Detail::Since(_) | Detail::Totals(_)) && !state.lifecycle.finished;
    if is_shown { time_series::recent_power(state, now.at) } else { [None; DeviceKind::ALL.len()] }
}

/// When the last epoch ended, s since 1970. In a resumed run it is None until an epoch ends in this process.
fn last_end_unix_s(state: &RunState) -> Option<f64> {
    let has_ended = state.attribution.ledger.epochs() > state.attribution.carried_over.epochs_done();
    state.attribution.ledger.last_end().filter(|_| has_ended).map(|end| state.carbon.clock.unix_s(end).0)
}

fn phase(planned: u64, state: &RunState, is_open: bool) -> RunPhase {
    let ledger = &state.attribution.ledger;
    if is_open {
        RunPhase::InEpoch
    } else if state.lifecycle.finished || is_complete(planned, state) {
        RunPhase::Done
    } else if ledger.last_end().is_none() {
        RunPhase::Waiting
    } else {
        RunPhase::Between
    }
}

/// Whether all planned epochs have ended, or all of the run's work is done.
fn is_complete(planned: u64, state: &RunState) -> bool {
    match state.attribution.is_divided {
        true => state.forecasting.run_progress.share() == Some(1.0),
        false => planned > 0 && state.attribution.ledger.marked_epochs() >= planned,
    }
}

/// The components of this process, then those that only earlier processes measured.
fn components(state: &RunState) -> Vec<ComponentReport> {
    let run_ns = state.attribution.ledger.run_ns() as f64;
    let own = state.ours().map(|(number, metered)| ComponentReport::new(state, number, metered));
    own.chain(state.carried_components().map(|component| ComponentReport::left(component, run_ns))).collect()
}

fn epoch_rows(state: &RunState, detail: Detail, emissions: &Emissions) -> Vec<EpochRow> {
    let Attribution { ledger, is_divided, .. } = &state.attribution;
    let row = |(index, epoch): (u64, Epoch)| {
        let row = EpochRow::new(index, epoch, ledger, emissions);
        EpochRow { is_piece: row.is_piece || *is_divided && epoch.recorded.is_none(), ..row }
    };
    chosen_epochs(state, detail).into_iter().map(row).collect()
}

/// The epochs that a report of this detail has, each with the number of its first epoch.
fn chosen_epochs(state: &RunState, detail: Detail) -> Vec<(u64, Epoch)> {
    let ledger = &state.attribution.ledger;
    let numbered = ledger.marked().scan(0, |index, epoch| {
        let first = *index;
        *index += epoch.count;
        Some((first, *epoch))
    });
    match detail {
        Detail::WithoutEmissions(Some(row)) | Detail::Totals(Some(row)) => numbered.skip(row).take(1).collect(),
        Detail::WithoutEmissions(None) | Detail::Totals(None) | Detail::WhatIf | Detail::EpochCount => Vec::new(),
        Detail::Since(written) => {
            ledger.epochs_after(&written, if state.lifecycle.finished { u64::MAX } else { state.attribution.settled })
        }
        Detail::Epochs => numbered.collect(),
    }
}

/// The user's rates. Where the user gave no rate for water on site, the rate of the cloud region is used.
fn rates(settings: &ReportSettings, state: &RunState) -> Rates {
    let wue = settings.rates.wue.or(state.carbon.facility.wue().map(|(wue, _)| wue));
    Rates { wue, ..settings.rates.clone() }
}

fn notes(settings: &ReportSettings, state: &RunState, is_whole: bool, emissions: &Emissions) -> Vec<String> {
    let mut notes = carbon_section::notes(state, emissions);
    notes.extend(state.carbon.facility.lacks().iter().cloned());
    if state.metering.channels.is_empty() && state.metering.opening.is_empty() {
        notes.push("no source of energy was found: times are measured, energies are unknown; see the list of what is not measured for reasons and fixes".into());
    }
    let done = state.attribution.ledger.marked_epochs();
    if settings.planned > 0 && done > settings.planned && !state.attribution.is_divided {
        let planned = settings.planned;
        notes.push(format!("{done} epochs ended, but epochs={planned} are planned; the forecast is the actual use"));
    }
    if let Some(most) = settings.monitored.filter(|_| state.lifecycle.finished) {
        notes.push(format!("measuring stopped after {done} epochs, by monitor_epochs={most}"));
    }
    notes.extend(state.lifecycle.faults.iter().map(|fault| (*fault).to_owned()));
    if state.lifecycle.failed {
        notes.push(FAULT.into());
    } else if !is_whole {
        notes.push("the closing reading of the last epoch is still to come: its energy is not complete yet".into());
    }
    notes
}
