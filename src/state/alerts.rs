//! The forecast messages, and the verdict on budgets, made when an epoch is settled. Pure: no I/O and no clock.
//!
//! The first forecast message comes after two epochs, or after one if earlier runs are known or its marks show a change
//! of pace. Another one comes when the forecast leaves the interval reported last, and half as many epochs again have
//! ended since. So their number grows with the logarithm of the run's length.

use super::budgets::{BudgetInput, BudgetInputs, BudgetJudge};
use super::config::{AlertConfig, Budgets};
use crate::attribution::ledger::{EpochSummary, InterEpoch, Ledger};
use crate::carbon::emissions::EmissionFactors;
use crate::clock::{LocalTime, MonoNs, UnixS};
use crate::forecast::first_epoch::FirstEpoch;
use crate::forecast::history::History;
use crate::forecast::run_progress::RunProgress;
use crate::forecast::uncertainty::Uncertainty;
use crate::forecast::{self, Estimate, Forecast, Metric};
use crate::units::{Amount, J_PER_KWH};
use std::sync::Arc;

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
struct Reported {
    /// How far the run was, as the message named it.
    after: String,
    /// Epochs or work done.
    done: f64,
    /// Work of the whole run; 0: the basis is epochs.
    total: f64,
    /// Time and energy, as the message showed them.
    expected: [Option<Estimate>; Metric::ALL.len()],
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
    /// Number of settled epochs that the application has marked.
    pub settled: u64,
    /// Progress inside its first epoch.
    pub first_epoch: &'a FirstEpoch,
    /// Earlier runs.
    pub history: &'a Arc<History>,
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
        let is_before = planned == 0 && self.settled == 0 && !self.ledger.is_open() && self.history.has_work();
        self.run_progress.share().or(is_before.then_some(0.0)).map(ForecastBasis::Progress)
    }

    /// The total of a quantity as it is shown: its interval includes the error of estimates.
    fn expected_of(&self, metric: Metric, forecast: &Forecast) -> Option<Estimate> {
        let total = metric.forecast(forecast)?;
        Some(if metric == Metric::Energy { self.uncertainty.of_total(total) } else { total })
    }

    /// Time, energy and emissions of a `part` of the forecast run, as they are shown. `widened` adds the error of
    /// estimates.
    fn expected(
        &self,
        forecast: &Forecast,
        part: fn(Estimate) -> Estimate,
        widened: fn(Uncertainty, Estimate) -> Estimate,
    ) -> [Option<Estimate>; 3] {
        let grams = self.factors.forecast(&self.factors.emissions(self.ledger, self.now), forecast);
        let estimated = |of: Option<Estimate>| Some(widened(self.uncertainty, part(of?)));
        [forecast.duration_s.map(part), estimated(forecast.energy_j), estimated(grams)]
    }

    /// Energy and time of the run up to this moment, J and s, with those of the open epoch; None: unknown.
    fn used(&self) -> [Option<f64>; 2] {
        let open_j = self.ledger.open().and_then(|_| self.ledger.energy_until(self.now));
        let open_s = self.ledger.open().map(|_| self.ledger.time_s(self.now));
        [open_j.or(self.ledger.energy_j()), open_s.or(Some(self.ledger.run_ns() as f64 * 1e-9))]
    }

    /// Whether one epoch is enough for a message: the forecast rests on earlier runs, or the marks of the first epoch
    /// show a change of pace, so that its warm-up is known.
    fn is_grounded(&self, forecast: &Forecast) -> bool {
        let steady = self.first_epoch.steady(|done| Some(done.duration_s));
        let has_changed = steady.is_some_and(|first| first.excess() >= MIN_CHANGE * first.steady * first.share);
        has_changed || forecast.rests_on_history()
    }
}

/// What a forecast by epochs is made from. It is a copy: a forecast with earlier runs takes milliseconds, and no thread
/// may wait for it.
pub struct ForecastInput {
    planned: u64,
    level: f64,
    epochs: Vec<EpochSummary>,
    between: InterEpoch,
    first_epoch: FirstEpoch,
    history: Arc<History>,
}

impl ForecastInput {
    /// Makes the forecast; None: there is not enough data.
    pub fn forecast(&self) -> Option<Forecast> {
        let epochs = self.epochs.iter().copied();
        forecast::forecast(self.planned, self.level, epochs, self.between, &self.first_epoch, &self.history)
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

    /// Whether the run has a limit.
    pub fn has_budgets(&self) -> bool {
        self.config.budgets.is_any()
    }

    /// Whether the forecast has earlier runs, and may take milliseconds.
    pub fn is_long(&self, run: &AlertInput) -> bool {
        run.basis(self.planned) == Some(ForecastBasis::Epochs) && !run.history.is_empty()
    }

    /// What a forecast by epochs is made from.
    pub fn input(&self, run: &AlertInput) -> ForecastInput {
        let AlertInput { ledger, settled, first_epoch, history, .. } = *run;
        ForecastInput {
            planned: self.planned,
            level: self.config.level,
            epochs: ledger.observed(settled).collect(),
            between: ledger.between_first(settled),
            first_epoch: first_epoch.clone(),
            history: Arc::clone(history),
        }
    }

    /// Makes the forecast again and judges the budgets. The caller reviews after each settled epoch, and at progress
    /// inside the first one or of the run.
    pub fn review(&mut self, run: &AlertInput) -> Review {
        let forecast = match run.basis(self.planned) {
            Some(ForecastBasis::Epochs) => self.input(run).forecast(),
            Some(ForecastBasis::Progress(_)) => {
                run.run_progress.forecast_with(self.config.level, run.settled, run.history)
            }
            None => None,
        };
        self.review_with(forecast, run)
    }

    /// Judges the budgets by a new forecast, and makes the message on it that is due.
    pub fn review_with(&mut self, forecast: Option<Forecast>, run: &AlertInput) -> Review {
        let basis = run.basis(self.planned);
        let message = forecast.zip(basis).and_then(|(forecast, basis)| self.message(forecast, basis, run));
        if let Some(ForecastBasis::Progress(_)) = basis {
            self.count_step(run.run_progress);
        }
        let mut review = self.judge(forecast, run);
        review.messages.splice(0..0, message);
        review
    }

    /// Judges the budgets by the use of this moment, also in an open epoch, and by the newest forecast.
    pub fn judge(&mut self, forecast: Option<Forecast>, run: &AlertInput) -> Review {
        let (basis, budgets) = (run.basis(self.planned), self.config.budgets);
        // A forecast that is older than the newest epoch is judged once. One from inside the first epoch is too early
        // to judge budgets by; then the use counts.
        let after = forecast.map_or(run.settled, |made| made.after_epochs);
        let (step, counts) = match basis {
            Some(ForecastBasis::Progress(share)) => (self.progress_steps, share > 0.0),
            _ => (after, after > 0),
        };
        let judged = || totals(forecast.filter(|_| counts), run, budgets);
        let verdict = self.judge.judge(step, if budgets.is_any() { judged() } else { BudgetInputs::default() });
        Review { forecast, over_budget: verdict.is_over, messages: verdict.messages }
    }

    /// The message at the end of a run that ends before its planned end; None: it does not, or its rest is unknown.
    pub fn end(&self, forecast: Option<Forecast>, run: &AlertInput) -> Option<String> {
        let forecast = forecast.filter(|forecast| forecast.after_epochs > 0)?;
        let after = match run.basis(self.planned)? {
            ForecastBasis::Epochs if forecast.after_epochs >= self.planned => return None,
            ForecastBasis::Progress(share) if share >= 1.0 => return None,
            basis => self.after(basis, run),
        };
        let saved = in_words(run.expected(&forecast, Estimate::rest, Uncertainty::of_rest), run);
        (!saved.is_empty()).then(|| {
            format!(
                "the run ended {after}; by the forecast, this saved {saved} ({:.0} % intervals); if it was to go on, continue it with resume=",
                forecast.level * 100.0
            )
        })
    }

    /// Counts the hundredths of the work as they are done: the total may change.
    fn count_step(&mut self, progress: &RunProgress) {
        let Some((done, total)) = progress.work() else { return };
        if done - self.stepped_at >= total / PROGRESS_STEPS {
            (self.progress_steps, self.stepped_at) = (self.progress_steps + 1, done);
        }
    }

    /// The message on a forecast, if it is the first one that is due, or has left the interval reported last.
    fn message(&mut self, forecast: Forecast, basis: ForecastBasis, run: &AlertInput) -> Option<String> {
        let (done, total) = match basis {
            ForecastBasis::Epochs => (run.settled as f64, 0.0),
            ForecastBasis::Progress(_) => run.run_progress.work().unwrap_or_default(),
        };
        let is_due = match basis {
            ForecastBasis::Epochs => {
                (self.first_message(&forecast, run)..self.planned).contains(&forecast.after_epochs)
            }
            ForecastBasis::Progress(share) => run.run_progress.is_grounded() && share < 1.0,
        };
        let expected = Metric::ALL.map(|metric| run.expected_of(metric, &forecast));
        let before = self.reported.as_ref().filter(|_| is_due);
        let is_new = before.is_none_or(|before| before.is_old(done, total) && has_left(&expected, &before.expected));
        if !is_due || !is_new {
            return None;
        }
        let after = self.after(basis, run);
        let message = match before {
            None => format!("forecast {after}, {}", shown(&forecast, run)),
            Some(before) => format!(
                "the forecast has changed, {after}, {}; it has left the interval that was reported {}",
                shown(&forecast, run),
                before.after
            ),
        };
        self.reported = Some(Reported { after, done, total, expected });
        Some(message)
    }

    /// How far the run is, as messages name it.
    fn after(&self, basis: ForecastBasis, run: &AlertInput) -> String {
        match basis {
            ForecastBasis::Epochs => format!("after {} of {} epochs", run.settled, self.planned),
            ForecastBasis::Progress(share) => format!("after {} % of the run", (share * 100.0) as u64),
        }
    }

    /// Number of epochs before the first message.
    fn first_message(&self, forecast: &Forecast, run: &AlertInput) -> u64 {
        let usual = || if run.is_grounded(forecast) { EPOCHS_IF_GROUNDED } else { EPOCHS_BEFORE_MESSAGE };
        self.config.forecast_after.unwrap_or_else(usual)
    }
}

/// Whether the expected time or energy is outside the interval that was shown before.
fn has_left(now: &[Option<Estimate>], before: &[Option<Estimate>]) -> bool {
    now.iter().zip(before).any(|(now, before)| {
        now.zip(*before).is_some_and(|(now, before)| !(before.low..=before.high).contains(&now.value))
    })
}

/// A forecast in words: the intervals, and when the run is expected to end.
fn shown(forecast: &Forecast, run: &AlertInput) -> String {
    let parts = in_words(run.expected(forecast, |total| total, Uncertainty::of_total), run);
    let done = done_at(forecast, run).map_or(String::new(), |at| format!("; done at {at}"));
    let estimated = if run.uncertainty.is_any() { "; energy and CO2e include the error of the estimates" } else { "" };
    format!("{:.0} % intervals: {parts}{done}{estimated}", forecast.level * 100.0)
}

/// Time, energy and emissions with their intervals in words.
fn in_words([time, energy, grams]: [Option<Estimate>; 3], run: &AlertInput) -> String {
    let amount = |of: Estimate, amount: Amount| of.amount(amount, run.uncertainty.is_any());
    let parts = [
        time.map(|time| format!("time {}", time.amount(Amount::Time, false))),
        energy.map(|energy| format!("energy {}", amount(energy, Amount::Energy))),
        grams.map(|grams| format!("CO2e {}", amount(grams, Amount::Grams))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// When the run is expected to end, in local time; None: unknown.
fn done_at(forecast: &Forecast, run: &AlertInput) -> Option<String> {
    let last = run.ledger.last_mark()?;
    let since = forecast.duration_s?.value - run.ledger.time_s(last);
    run.local.shown(UnixS(run.factors.clock.unix_s(last).0 + since))
}

/// The totals that budgets limit. A forecast may know more use than the ledger of this moment.
fn totals(forecast: Option<Forecast>, run: &AlertInput, budgets: Budgets) -> BudgetInputs {
    let is_estimated = run.uncertainty.is_any();
    let total = |metric: Metric| forecast.and_then(|forecast| run.expected_of(metric, &forecast));
    let [energy, time] = [total(Metric::Energy), total(Metric::Duration)];
    let [used_j, used_s] = run.used();
    let most = |used: Option<f64>, total: Option<Estimate>| {
        used.into_iter().chain(total.map(|total| total.used)).reduce(f64::max)
    };
    let (used_j, used_s) = (most(used_j, energy), most(used_s, time));
    let so_far = |used: f64| run.uncertainty.of_total(Estimate::exactly(used));
    let (kwh, hours) = (run.factors.pue / J_PER_KWH, 1.0 / 3600.0);
    let emissions = budgets.g.map(|_| run.factors.emissions(run.ledger, run.now));
    let grams = emissions.as_ref().map_or(BudgetInput::default(), |emissions| {
        let whole = forecast.and_then(|forecast| run.factors.forecast(emissions, &forecast));
        let used = used_j.map(|joules| so_far(emissions.grams(joules)));
        BudgetInput { used, forecast: whole.map(|whole| run.uncertainty.of_total(whole)), is_estimated }
    });
    [
        BudgetInput {
            used: used_j.map(|joules| so_far(joules).scaled(kwh)),
            forecast: energy.map(|energy| energy.scaled(kwh)),
            is_estimated,
        },
        grams,
        BudgetInput {
            used: used_s.map(|seconds| Estimate::exactly(seconds).scaled(hours)),
            forecast: time.map(|time| time.scaled(hours)),
            is_estimated: false,
        },
    ]
}

#[cfg(test)]
mod tests;
