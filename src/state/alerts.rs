//! The forecast messages, and the verdict on budgets, made when an epoch is settled. Pure: no I/O and no clock.
//!
//! The first forecast message comes after two epochs, or after one if earlier runs are known or its marks show a change
//! of pace. Another one comes when the forecast leaves the interval reported last, and half as many epochs again have
//! ended since. So their number grows with the logarithm of the run's length.

use super::budgets::{BudgetInput, BudgetInputs, BudgetJudge};
use super::config::{AlertConfig, Budgets};
use crate::attribution::ledger::Ledger;
use crate::carbon::emissions::EmissionFactors;
use crate::clock::{LocalTime, MonoNs, UnixS};
use crate::forecast::first_epoch::FirstEpoch;
use crate::forecast::history::History;
use crate::forecast::run_progress::RunProgress;
use crate::forecast::uncertainty::Uncertainty;
use crate::forecast::{self, Estimate, Forecast, Metric};
use crate::units::{self, Amount, J_PER_KWH};

/// Epochs before the first message, if the option `forecast_after` is not set.
const EPOCHS_BEFORE_MESSAGE: u64 = 2;
/// The same if earlier runs are known, or the marks of the first epoch show a change of pace.
const EPOCHS_IF_GROUNDED: u64 = 1;
/// Least excess of the first epoch's beginning over its steady pace that counts as a change of pace, as a share.
const MIN_CHANGE: f64 = 0.1;
/// Least growth of the number of epochs, or of the work, between two messages.
const MESSAGE_GROWTH: f64 = 1.5;
/// Steps of the progress of a run: hundredths. Budgets count them like epochs.
const PROGRESS_STEPS: f64 = 100.0;

/// The forecast messages and the budgets of one run, and what is reported already.
pub struct Alerts {
    /// Epochs planned; 0: unknown.
    pub planned: u64,
    config: AlertConfig,
    reported: Option<Reported>,
    judge: BudgetJudge,
    /// Steps of the run's progress so far.
    progress_steps: u64,
    /// Work done at the newest of them.
    stepped_at: f64,
}

/// The forecast that was reported last.
#[derive(Clone, Copy)]
struct Reported {
    /// Epochs, or hundredths of the run, as the message named them.
    seen: u64,
    /// Epochs or work done.
    done: f64,
    /// Work of the whole run; 0: the basis is epochs.
    total: f64,
    forecast: Forecast,
}

impl Reported {
    /// Whether enough has happened since then for a new message: so their number grows with a logarithm only.
    fn is_old(&self, done: f64, total: f64) -> bool {
        let has_grown = done > self.done && done >= self.done * MESSAGE_GROWTH;
        has_grown || total > self.total * MESSAGE_GROWTH || total * MESSAGE_GROWTH < self.total
    }
}

/// What a forecast is based on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ForecastBasis {
    /// The epochs, of which a number is planned.
    Epochs,
    /// The run's progress; the share that is done, 0 to 1.
    Progress(f64),
}

impl ForecastBasis {
    /// The share of the run's work that is done, 0 to 1; None: it is based on epochs.
    pub fn share(self) -> Option<f64> {
        match self {
            ForecastBasis::Epochs => None,
            ForecastBasis::Progress(share) => Some(share),
        }
    }

    /// The name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            ForecastBasis::Epochs => "epochs",
            ForecastBasis::Progress(_) => "progress",
        }
    }
}

/// A run at one moment.
#[derive(Clone, Copy)]
pub struct AlertInput<'a> {
    /// Its time and energy.
    pub ledger: &'a Ledger,
    /// Number of settled epochs.
    pub settled: u64,
    /// Progress inside its first epoch.
    pub first_epoch: &'a FirstEpoch,
    /// Earlier runs.
    pub history: &'a History,
    /// Progress of the whole run.
    pub run_progress: &'a RunProgress,
    /// Whether progress divides the run, because the application marks no epochs.
    pub is_divided: bool,
    /// What converts its energy into emissions.
    pub factors: EmissionFactors<'a>,
    /// Error interval of its energy.
    pub uncertainty: Uncertainty,
    /// Local time.
    pub local: &'a LocalTime,
    /// The moment.
    pub now: MonoNs,
}

impl AlertInput<'_> {
    /// What the forecast of this run is based on, with this number of planned epochs; None: there is no forecast.
    pub fn basis(&self, planned: u64) -> Option<ForecastBasis> {
        if planned > 0 && !self.is_divided {
            return Some(ForecastBasis::Epochs);
        }
        // Earlier runs that were measured by their progress give a forecast before any of this run's.
        let before = (planned == 0 && self.history.has_work()).then_some(0.0);
        self.run_progress.share().or(before).map(ForecastBasis::Progress)
    }

    /// Whether one epoch is enough for a message: earlier runs are known, or the marks of the first epoch show a change
    /// of pace, so that its warm-up is known.
    fn is_grounded(&self) -> bool {
        if !self.history.is_empty() {
            return true;
        }
        let steady = self.first_epoch.steady(|done| Some(done.duration_s));
        steady.is_some_and(|first| first.excess() >= MIN_CHANGE * first.steady * first.share)
    }
}

/// The result of a review.
pub struct Review {
    /// Time, energy and emissions of the whole run; None: there is no forecast yet.
    pub forecast: Option<Forecast>,
    /// Whether a budget is passed, or will be by the forecast.
    pub over_budget: bool,
    /// New messages for the user.
    pub messages: Vec<String>,
}

impl Alerts {
    /// Alerts of a run of `planned` epochs; 0: unknown. Nothing is reported yet.
    pub fn new(config: AlertConfig, planned: u64) -> Alerts {
        let judge = BudgetJudge::new(config.budgets);
        Alerts { planned, config, reported: None, judge, progress_steps: 0, stepped_at: 0.0 }
    }

    /// Makes the forecast again and judges the budgets. The caller reviews after each settled epoch, and at progress
    /// inside the first one or of the run.
    pub fn review(&mut self, run: &AlertInput) -> Review {
        let basis = run.basis(self.planned);
        let forecast = basis.and_then(|basis| self.forecast(basis, run));
        let step = match basis {
            Some(ForecastBasis::Progress(_)) => self.progress_step(run.run_progress),
            _ => run.settled,
        };
        let message = forecast.zip(basis).and_then(|(forecast, basis)| self.message(forecast, basis, run));
        let budgets = self.config.budgets;
        // A forecast from inside the first epoch is too early to judge budgets by; then the use counts.
        let judged = forecast.filter(|made| match basis {
            Some(ForecastBasis::Progress(share)) => share > 0.0,
            _ => made.after_epochs > 0,
        });
        let totals = if budgets.is_any() { totals(judged, run, budgets) } else { BudgetInputs::default() };
        let verdict = self.judge.judge(step, totals);
        let messages = message.into_iter().chain(verdict.messages).collect();
        Review { forecast, over_budget: verdict.is_over, messages }
    }

    /// The number of hundredths of the work that are done. They are counted as the work is done: the total may change.
    fn progress_step(&mut self, progress: &RunProgress) -> u64 {
        if let Some((done, total)) = progress.work()
            && done - self.stepped_at >= total / PROGRESS_STEPS
        {
            (self.progress_steps, self.stepped_at) = (self.progress_steps + 1, done);
        }
        self.progress_steps
    }

    fn forecast(&self, basis: ForecastBasis, run: &AlertInput) -> Option<Forecast> {
        let AlertInput { ledger, settled, first_epoch, history, run_progress, .. } = *run;
        if let ForecastBasis::Progress(_) = basis {
            return run_progress.forecast_with(self.config.level, settled, history);
        }
        let (epochs, between) = (ledger.observed(settled), ledger.between_first(settled));
        forecast::forecast(self.planned, self.config.level, epochs, between, first_epoch, history)
    }

    /// The message on a forecast, if it is the first one that is due, or has left the interval reported last.
    fn message(&mut self, forecast: Forecast, basis: ForecastBasis, run: &AlertInput) -> Option<String> {
        let (seen, (done, total)) = match basis {
            ForecastBasis::Epochs => (run.settled, (run.settled as f64, 0.0)),
            ForecastBasis::Progress(share) => ((share * 100.0) as u64, run.run_progress.work().unwrap_or_default()),
        };
        let is_due = match basis {
            ForecastBasis::Epochs => (self.first_message(run)..self.planned).contains(&forecast.after_epochs),
            ForecastBasis::Progress(share) => run.run_progress.is_grounded() && share < 1.0,
        };
        let before = self.reported.filter(|_| is_due);
        let is_new = before.is_none_or(|before| before.is_old(done, total) && has_left(&forecast, &before.forecast));
        if !is_due || !is_new {
            return None;
        }
        self.reported = Some(Reported { seen, done, total, forecast });
        let after = |seen: u64| match basis {
            ForecastBasis::Epochs => format!("after {seen} of {} epochs", self.planned),
            ForecastBasis::Progress(_) => format!("after {seen} % of the run"),
        };
        Some(match before {
            None => format!("forecast {}, {}", after(seen), shown(&forecast, run)),
            Some(before) => format!(
                "the forecast has changed, {}, {}; it has left the interval that was reported {}",
                after(seen),
                shown(&forecast, run),
                after(before.seen)
            ),
        })
    }

    /// Number of epochs before the first message.
    fn first_message(&self, run: &AlertInput) -> u64 {
        let usual = || if run.is_grounded() { EPOCHS_IF_GROUNDED } else { EPOCHS_BEFORE_MESSAGE };
        self.config.forecast_after.unwrap_or_else(usual)
    }
}

/// Whether the expected time or energy is outside the interval of an earlier forecast.
fn has_left(forecast: &Forecast, before: &Forecast) -> bool {
    Metric::ALL.into_iter().any(|metric| {
        let ends = metric.forecast(forecast).zip(metric.forecast(before));
        ends.is_some_and(|(now, before)| !(before.low..=before.high).contains(&now.value))
    })
}

/// A forecast in words: the intervals, and when the run is expected to end.
fn shown(forecast: &Forecast, run: &AlertInput) -> String {
    let grams = run.factors.forecast(&run.factors.emissions(run.ledger, run.now), forecast);
    let is_estimated = run.uncertainty.is_any();
    let amount = |of: Estimate, amount: Amount| run.uncertainty.of_total(of).amount(amount, is_estimated);
    let parts = [
        forecast.duration_s.map(|time| format!("time {}", time.shown(units::duration))),
        forecast.energy_j.map(|energy| format!("energy {}", amount(energy, Amount::Energy))),
        grams.map(|grams| format!("CO2e {}", amount(grams, Amount::Grams))),
    ];
    let done = done_at(forecast, run).map_or(String::new(), |at| format!("; done at {at}"));
    let estimated = if is_estimated { "; energy and CO2e include the error of the estimates" } else { "" };
    let parts = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    format!("{:.0} % intervals: {parts}{done}{estimated}", forecast.level * 100.0)
}

/// When the run is expected to end, in local time; None: unknown.
fn done_at(forecast: &Forecast, run: &AlertInput) -> Option<String> {
    let last = run.ledger.last_mark()?;
    let since = forecast.duration_s?.value - run.ledger.time_s(last);
    run.local.shown(UnixS(run.factors.clock.unix_s(last).0 + since))
}

/// The totals that budgets limit. By progress, the forecast knows the use in the open epoch too.
fn totals(forecast: Option<Forecast>, run: &AlertInput, budgets: Budgets) -> BudgetInputs {
    let input = |used: Option<f64>, forecast: Option<Estimate>, scale: f64, uncertainty: Uncertainty| {
        let of = |estimate: Estimate| uncertainty.of_total(estimate.scaled(scale));
        let used = used.map(|used| of(Estimate::exactly(used)));
        BudgetInput { used, forecast: forecast.map(of), is_estimated: uncertainty.is_any() }
    };
    let total = |metric: Metric| forecast.and_then(|forecast| metric.forecast(&forecast));
    let used = |metric: Metric, settled: Option<f64>| {
        settled.into_iter().chain(total(metric).map(|total| total.used)).reduce(f64::max)
    };
    let used_j = used(Metric::Energy, run.ledger.energy_j());
    let used_s = used(Metric::Duration, Some(run.ledger.run_ns() as f64 * 1e-9));
    let emissions = budgets.g.map(|_| run.factors.emissions(run.ledger, run.now));
    let grams = emissions.as_ref().map_or(BudgetInput::default(), |emissions| {
        let whole = forecast.and_then(|forecast| run.factors.forecast(emissions, &forecast));
        input(used_j.map(|joules| emissions.grams(joules)), whole, 1.0, run.uncertainty)
    });
    [
        input(used_j, total(Metric::Energy), run.factors.pue / J_PER_KWH, run.uncertainty),
        grams,
        input(used_s, total(Metric::Duration), 1.0 / 3600.0, Uncertainty::default()),
    ]
}

#[cfg(test)]
mod tests;
