//! The forecast message and the budgets, judged when an epoch is settled. Pure: no I/O and no clock.

use super::config::AlertConfig;
use crate::attribution::ledger::Ledger;
use crate::carbon::emissions::EmissionFactors;
use crate::clock::MonoNs;
use crate::forecast::first_epoch::FirstEpoch;
use crate::forecast::history::History;
use crate::forecast::uncertainty::Uncertainty;
use crate::forecast::{self, Estimate, Forecast, Metric};
use crate::units::{self, Amount, J_PER_KWH};

/// The forecast message and the budgets of one run, and which of them are reported already.
pub struct Alerts {
    /// Epochs planned; 0: unknown.
    pub planned: u64,
    config: AlertConfig,
    has_reported_forecast: bool,
    reported_budgets: Vec<&'static str>,
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
    /// What converts its energy into emissions.
    pub factors: EmissionFactors<'a>,
    /// Error interval of its energy.
    pub uncertainty: Uncertainty,
    /// The moment.
    pub now: MonoNs,
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

/// The expected total of a run, and its basis in words.
struct ExpectedTotal {
    basis: &'static str,
    estimate: Estimate,
}

impl ExpectedTotal {
    /// The forecast; without one, what is used so far.
    fn new(forecast: Option<Estimate>, used: Option<f64>) -> Option<ExpectedTotal> {
        match forecast {
            Some(estimate) => Some(ExpectedTotal { basis: "the forecast", estimate }),
            None => Some(ExpectedTotal { basis: "the use", estimate: Estimate::exactly(used?) }),
        }
    }

    fn scaled(self, by: f64) -> ExpectedTotal {
        ExpectedTotal { estimate: self.estimate.scaled(by), ..self }
    }

    /// The budget's name and message, if the total passes it. The expected value decides; the message has the interval.
    fn above(self, budget: Budget, uncertainty: Uncertainty) -> Option<(&'static str, String)> {
        let Budget { name, limit, unit } = budget;
        let amount = || match uncertainty.is_any() {
            true => uncertainty.of_total(self.estimate).amount(Amount::Of(unit), true),
            false => Amount::Of(unit).exact(self.estimate.value),
        };
        let is_above = self.estimate.value > limit;
        is_above.then(|| (name, format!("{name}={limit} is passed: {} is {}", self.basis, amount())))
    }
}

/// One limit, with its option and unit.
struct Budget {
    name: &'static str,
    limit: f64,
    unit: &'static str,
}

impl Alerts {
    /// Alerts of a run of `planned` epochs; 0: unknown. Nothing is reported yet.
    pub fn new(config: AlertConfig, planned: u64) -> Alerts {
        Alerts { planned, config, has_reported_forecast: false, reported_budgets: Vec::new() }
    }

    /// The budgets that the run passes, with their messages. A forecast from inside the first epoch is too early to
    /// judge budgets by; then the use counts.
    fn passed(&self, forecast: Option<&Forecast>, run: &AlertInput) -> Vec<(&'static str, String)> {
        let forecast = forecast.filter(|forecast| forecast.after_epochs > 0);
        let expected =
            |metric: Metric, used| ExpectedTotal::new(forecast.and_then(|forecast| metric.forecast(forecast)), used);
        let used_j = run.ledger.energy_j();
        let kwh = self.config.budgets.kwh.and_then(|limit| {
            let total = expected(Metric::Energy, used_j)?.scaled(run.factors.pue / J_PER_KWH);
            total.above(Budget { name: "budget_kwh", limit, unit: "kWh" }, run.uncertainty)
        });
        let grams = self.config.budgets.g.and_then(|limit| {
            let emissions = run.factors.emissions(run.ledger, run.now);
            let forecast = forecast.and_then(|forecast| run.factors.forecast(&emissions, forecast));
            let total = ExpectedTotal::new(forecast, used_j.map(|joules| emissions.grams(joules)))?;
            total.above(Budget { name: "budget_g", limit, unit: "g CO2e" }, run.uncertainty)
        });
        let hours = self.config.budgets.h.and_then(|limit| {
            let used_s = run.ledger.run_ns() as f64 * 1e-9;
            let total = expected(Metric::Duration, Some(used_s))?.scaled(1.0 / 3600.0);
            total.above(Budget { name: "budget_h", limit, unit: "h" }, Uncertainty::default())
        });
        [kwh, grams, hours].into_iter().flatten().collect()
    }

    fn forecast_message(&self, forecast: &Forecast, run: &AlertInput) -> String {
        let grams = run.factors.forecast(&run.factors.emissions(run.ledger, run.now), forecast);
        let is_estimated = run.uncertainty.is_any();
        let shown = |of: Estimate, amount: Amount| run.uncertainty.of_total(of).amount(amount, is_estimated);
        let parts = [
            forecast.duration_s.map(|time| format!("time {}", time.shown(units::duration))),
            forecast.energy_j.map(|energy| format!("energy {}", shown(energy, Amount::Energy))),
            grams.map(|grams| format!("CO2e {}", shown(grams, Amount::Grams))),
        ];
        let estimated = if is_estimated { "; energy and CO2e include the error of the estimates" } else { "" };
        format!(
            "forecast after {} of {} epochs, {:.0} % intervals: {}{estimated}",
            forecast.after_epochs,
            self.planned,
            forecast.level * 100.0,
            parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
        )
    }

    /// Makes the forecast again and judges the budgets. The caller reviews after each settled epoch, and at progress
    /// inside the first one.
    pub fn review(&mut self, run: &AlertInput) -> Review {
        let AlertInput { ledger, settled, first_epoch, history, .. } = *run;
        let (epochs, between) = (ledger.observed(settled), ledger.between_first(settled));
        let forecast = forecast::forecast(self.planned, self.config.level, epochs, between, first_epoch, history);
        let mut messages = Vec::new();
        let reportable = self.config.forecast_after..self.planned;
        if let Some(forecast) = forecast
            && !self.has_reported_forecast
            && reportable.contains(&forecast.after_epochs)
        {
            self.has_reported_forecast = true;
            messages.push(self.forecast_message(&forecast, run));
        }
        let passed = self.passed(forecast.as_ref(), run);
        let over_budget = !passed.is_empty();
        for (name, message) in passed {
            if !self.reported_budgets.contains(&name) {
                self.reported_budgets.push(name);
                messages.push(message);
            }
        }
        Review { forecast, over_budget, messages }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::ledger::Mark;
    use crate::clock::WallClock;
    use crate::measurement::channel::DeviceKind;
    use crate::measurement::meter::EnergyInterval;
    use crate::options::Options;
    use crate::units::ErrorBand;

    /// A ledger of `epochs` epochs of 1 s at 100 W.
    fn ledger(epochs: u64) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.add_channel(DeviceKind::Cpu);
        for n in 0..epochs {
            ledger.mark(Mark::Begin(MonoNs(n * 1_000_000_000)));
            ledger.mark(Mark::End(MonoNs((n + 1) * 1_000_000_000)));
        }
        ledger.credit(
            0,
            EnergyInterval {
                from: MonoNs(0),
                to: MonoNs(epochs * 1_000_000_000),
                joules: 100.0 * epochs as f64,
                measured: true,
            },
        );
        ledger
    }

    fn reviewed(alerts: &mut Alerts, options: &Options, ledger: &Ledger, settled: u64) -> Review {
        reviewed_with(alerts, options, ledger, settled, Uncertainty::default())
    }

    fn reviewed_with(
        alerts: &mut Alerts,
        options: &Options,
        ledger: &Ledger,
        settled: u64,
        uncertainty: Uncertainty,
    ) -> Review {
        let grid = crate::carbon::select::choose(&options.carbon, |_| None).unwrap().grid;
        let clock = WallClock::default();
        let factors = EmissionFactors::new(&grid, &clock, options.carbon.pue);
        alerts.review(&AlertInput {
            ledger,
            settled,
            first_epoch: &FirstEpoch::default(),
            history: &History::default(),
            factors,
            uncertainty,
            now: MonoNs::NEVER,
        })
    }

    fn review(options: &str, epochs: u64) -> (bool, Vec<String>) {
        let options = Options::parse(options, |_| None).unwrap();
        let mut alerts = Alerts::new(options.alerts, options.epochs);
        let mut of = |epochs: u64| reviewed(&mut alerts, &options, &ledger(epochs), epochs);
        let (first, second) = (of(epochs), of(epochs + 1));
        (first.over_budget, [first.messages, second.messages].concat())
    }

    #[test]
    fn forecast_message_comes_once_after_forecast_after_epochs() {
        let (over, messages) = review("epochs=100", 1);
        assert!(
            !over
                && messages.len() == 1
                && messages[0].starts_with("forecast after 1 of 100 epochs, 90 % intervals: time 1m 40s"),
            "{messages:?}"
        );
        assert!(messages[0].contains("energy") && messages[0].contains("CO2e"));
        assert_eq!(review("epochs=100 forecast_after=9", 3).1.len(), 0);
        assert_eq!(review("", 3).1.len(), 0);
    }

    #[test]
    fn budgets_are_judged_by_the_forecast_or_else_by_the_use() {
        // 100 epochs of 100 J: 10 kJ = 2.78 Wh, 1.27 g at the world's 458.29 g/kWh, 100 s.
        assert!(!review("epochs=100 budget_kwh=0.0028 budget_g=1.3 budget_h=0.03", 2).0);
        for passed in ["budget_kwh=0.0027", "budget_g=1.2", "budget_h=0.027", "budget_kwh=0.0028 pue=1.5"] {
            let (over, messages) = review(&format!("epochs=100 {passed}"), 2);
            assert!(over, "{passed}");
            assert_eq!(messages.iter().filter(|message| message.starts_with("budget_")).count(), 1, "{messages:?}");
        }
        let (_, messages) = review("epochs=100 budget_kwh=0.0027 budget_g=1.2 budget_h=1", 2);
        assert_eq!(messages.iter().filter(|message| message.starts_with("budget_")).count(), 2, "{messages:?}");
        assert!(review("budget_kwh=0.00005", 2).0 && !review("budget_kwh=0.00006", 2).0);
    }

    #[test]
    fn messages_show_the_interval_of_estimated_energy() {
        let options = Options::parse("epochs=100 budget_kwh=0.0027 budget_g=1.3 budget_h=0.027", |_| None).unwrap();
        let band = Some(ErrorBand { low: 0.5, high: 2.0 });
        let uncertainty = Uncertainty { used: band, to_come: band };
        let mut alerts = Alerts::new(options.alerts, options.epochs);
        let messages = reviewed_with(&mut alerts, &options, &ledger(2), 2, uncertainty).messages;
        assert!(messages[0].contains("energy about 10 kJ (4500 J to "), "{messages:?}");
        assert!(
            messages[0].contains("CO2e about 1.3 g (0.") && messages[0].ends_with("the error of the estimates"),
            "{messages:?}"
        );
        assert!(
            messages[1].starts_with("budget_kwh=0.0027 is passed: the forecast is about 0.0028 kWh (0.0013 to "),
            "{messages:?}"
        );
        assert_eq!((messages.len(), &*messages[2]), (3, "budget_h=0.027 is passed: the forecast is 0.0278 h"));
        let options = Options::parse("budget_kwh=0.00005", |_| None).unwrap();
        let messages =
            reviewed_with(&mut Alerts::new(options.alerts, options.epochs), &options, &ledger(2), 2, uncertainty)
                .messages;
        assert_eq!(messages, ["budget_kwh=0.00005 is passed: the use is about 0.000056 kWh (0.000028 to 0.00011 kWh)"]);
    }

    /// A device that is lost in the first epoch leaves no epoch fully measured.
    #[test]
    fn budget_is_judged_by_the_use_without_an_energy_forecast() {
        let options = Options::parse("epochs=10 budget_kwh=0.00006", |_| None).unwrap();
        let mut ledger = ledger(3);
        ledger.add_channel(DeviceKind::Gpu);
        ledger.credit(1, EnergyInterval { from: MonoNs(0), to: MonoNs(1_000), joules: 1.0, measured: true });
        let review = reviewed(&mut Alerts::new(options.alerts, options.epochs), &options, &ledger, 3);
        assert!(review.forecast.unwrap().energy_j.is_none() && review.over_budget, "{:?}", review.messages);
        assert!(review.messages.iter().any(|text| text.contains("the use is")), "{:?}", review.messages);
    }

    #[test]
    fn unsettled_epochs_count_once() {
        let options = Options::parse("epochs=10", |_| None).unwrap();
        let mut ledger = ledger(2);
        for n in 2..6 {
            ledger.mark(Mark::Begin(MonoNs(n * 1_000_000_000)));
            ledger.mark(Mark::End(MonoNs((n + 1) * 1_000_000_000)));
        }
        let forecast =
            reviewed(&mut Alerts::new(options.alerts, options.epochs), &options, &ledger, 2).forecast.unwrap();
        let (seconds, joules) = (forecast.duration_s.unwrap().value, forecast.energy_j.unwrap().value);
        assert!((seconds - 10.0).abs() < 1e-9 && (joules - 1000.0).abs() < 1e-9, "{forecast:?}");
    }
}
