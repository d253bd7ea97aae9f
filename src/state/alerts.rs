//! What to tell the user as epochs are settled: the forecast, and whether a budget is passed. Pure.

use crate::attribution::ledger::Ledger;
use crate::carbon::emissions::EmissionFactors;
use crate::forecast::first_epoch::FirstEpoch;
use crate::forecast::uncertainty::Uncertainty;
use crate::forecast::{self, Estimate, Forecast, Metric};
use crate::options::Options;
use crate::units::{self, Amount, J_PER_KWH};

/// What the options say about forecast and budgets.
pub struct Alerts {
    /// Epochs planned.
    pub planned: u64,
    /// Coverage of the interval.
    pub level: f64,
    /// Epochs before the forecast is told.
    pub forecast_after: u64,
    /// kWh, g and h that the run is not to pass.
    pub budgets: Budgets,
    told_forecast: bool,
    told_budgets: Vec<&'static str>,
}

/// A run at one moment.
#[derive(Clone, Copy)]
pub struct AlertInput<'a> {
    /// Its time and energy.
    pub ledger: &'a Ledger,
    /// How many of its epochs are settled.
    pub settled: u64,
    /// How its first epoch got on.
    pub progress: &'a FirstEpoch,
    /// What its energy costs.
    pub pricing: EmissionFactors<'a>,
    /// How far off its energy may be.
    pub uncertainty: Uncertainty,
    /// The moment, ns on the monotonic clock.
    pub now: u64,
}

/// What is thought of a run.
pub struct Review {
    /// What the whole run will take.
    pub forecast: Option<Forecast>,
    /// A budget is passed, or will be.
    pub over_budget: bool,
    /// What to tell the user.
    pub messages: Vec<String>,
}

/// Limits on the whole run; None: no limit.
#[derive(Clone, Copy, Default)]
pub struct Budgets {
    /// Facility energy, kWh.
    pub kwh: Option<f64>,
    /// Emissions, g CO2e.
    pub g: Option<f64>,
    /// Time, h.
    pub h: Option<f64>,
}

impl Alerts {
    /// An advisor who has said nothing yet.
    pub fn new(options: &Options) -> Alerts {
        Alerts {
            planned: options.epochs,
            level: options.level,
            forecast_after: options.forecast_after,
            budgets: Budgets { kwh: options.budget_kwh, g: options.budget_g, h: options.budget_h },
            told_forecast: false,
            told_budgets: Vec::new(),
        }
    }

    /// The budgets that the run will pass, by name and in words: by the forecast, or where there is none by what is
    /// used. A first epoch's beginning is too little to forecast by.
    fn passed(&self, forecast: Option<&Forecast>, run: &AlertInput) -> Vec<(&'static str, String)> {
        let forecast = forecast.filter(|forecast| forecast.after_epochs > 0);
        let total = |estimate: Option<Estimate>, used: Option<f64>| match estimate {
            Some(estimate) => Some(("the forecast", estimate)),
            None => Some(("what is used", Estimate::exactly(used?))),
        };
        let of = |metric: Metric| forecast.and_then(|forecast| metric.forecast(forecast));
        let used_j = run.ledger.energy_j();
        let scaled = |by: f64| move |(whose, total): (&'static str, Estimate)| (whose, total.scaled(by));
        let kwh = || total(of(Metric::Energy), used_j).map(scaled(run.pricing.pue / J_PER_KWH));
        let hours = || total(of(Metric::Duration), Some(run.ledger.run_ns() as f64 * 1e-9)).map(scaled(1.0 / 3600.0));
        let grams = || {
            let bill = run.pricing.emissions(run.ledger, run.now);
            total(
                forecast.and_then(|forecast| run.pricing.forecast(&bill, forecast)),
                used_j.map(|joules| bill.grams(joules)),
            )
        };
        type Total<'a> = &'a dyn Fn() -> Option<(&'static str, Estimate)>;
        let checks: [(_, _, Total, _, _); 3] = [
            ("budget_kwh", self.budgets.kwh, &kwh, "kWh", run.uncertainty),
            ("budget_g", self.budgets.g, &grams, "g CO2e", run.uncertainty),
            ("budget_h", self.budgets.h, &hours, "h", Uncertainty::default()),
        ];
        // The expected total decides, however far off it may be: the message has its interval.
        let passed = checks.into_iter().filter_map(|(name, limit, total, unit, uncertainty)| {
            let (limit, (whose, total)) = (limit?, limit.and_then(|_| total())?);
            let amount = || match uncertainty.is_any() {
                true => uncertainty.of_total(total).amount(Amount::Of(unit), true),
                false => Amount::Of(unit).exact(total.value),
            };
            (total.value > limit).then(|| (name, format!("{name}={limit} is passed: {whose} is {}", amount())))
        });
        passed.collect()
    }

    fn forecast_message(&self, forecast: &Forecast, run: &AlertInput) -> String {
        let grams = run.pricing.forecast(&run.pricing.emissions(run.ledger, run.now), forecast);
        let is_estimated = run.uncertainty.is_any();
        let shown = |of: Estimate, amount: Amount| run.uncertainty.of_total(of).amount(amount, is_estimated);
        let parts = [
            forecast.duration_s.map(|time| format!("time {}", time.shown(units::duration))),
            forecast.energy_j.map(|energy| format!("energy {}", shown(energy, Amount::Energy))),
            grams.map(|grams| format!("CO2e {}", shown(grams, Amount::Grams))),
        ];
        let estimated =
            if is_estimated { "; those of energy and CO2e include the error of what is estimated" } else { "" };
        format!(
            "forecast after {} of {} epochs, {:.0} % intervals: {}{estimated}",
            forecast.after_epochs,
            self.planned,
            forecast.level * 100.0,
            parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
        )
    }

    /// Looks at the run once more is known of it: an epoch is settled, or the first got on.
    pub fn review(&mut self, run: &AlertInput) -> Review {
        let AlertInput { ledger, settled, progress, .. } = *run;
        let (epochs, between) = (ledger.observed(settled), ledger.between_first(settled));
        let forecast = forecast::forecast(self.planned, self.level, epochs, between, progress);
        let mut messages = Vec::new();
        if let Some(forecast) = forecast.filter(|forecast| {
            !self.told_forecast && (self.forecast_after..self.planned).contains(&forecast.after_epochs)
        }) {
            self.told_forecast = true;
            messages.push(self.forecast_message(&forecast, run));
        }
        let passed = self.passed(forecast.as_ref(), run);
        let over_budget = !passed.is_empty();
        for (name, message) in passed {
            if !self.told_budgets.contains(&name) {
                self.told_budgets.push(name);
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
    use crate::measurement::channel::{DeviceKind, ErrorBand};
    use crate::measurement::meter::EnergyInterval;

    /// A ledger of `epochs` epochs of 1 s at 100 W.
    fn ledger(epochs: u64) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.add_channel(DeviceKind::Cpu);
        for n in 0..epochs {
            ledger.mark(Mark::Begin(n * 1_000_000_000));
            ledger.mark(Mark::End((n + 1) * 1_000_000_000));
        }
        ledger.credit(
            0,
            EnergyInterval { from: 0, to: epochs * 1_000_000_000, joules: 100.0 * epochs as f64, measured: true },
        );
        ledger
    }

    fn reviewed(advisor: &mut Alerts, options: &Options, ledger: &Ledger, settled: u64) -> Review {
        reviewed_with(advisor, options, ledger, settled, Uncertainty::default())
    }

    fn reviewed_with(
        advisor: &mut Alerts,
        options: &Options,
        ledger: &Ledger,
        settled: u64,
        uncertainty: Uncertainty,
    ) -> Review {
        let grid = crate::carbon::select::choose(options, |_| None).unwrap().grid;
        let calendar = WallClock::default();
        let pricing = EmissionFactors::new(&grid, &calendar, options.pue);
        advisor.review(&AlertInput {
            ledger,
            settled,
            progress: &FirstEpoch::default(),
            pricing,
            uncertainty,
            now: u64::MAX,
        })
    }

    fn review(options: &str, epochs: u64) -> (bool, Vec<String>) {
        let options = Options::parse(options, |_| None).unwrap();
        let mut advisor = Alerts::new(&options);
        let mut of = |epochs: u64| reviewed(&mut advisor, &options, &ledger(epochs), epochs);
        let (first, second) = (of(epochs), of(epochs + 1));
        (first.over_budget, [first.messages, second.messages].concat())
    }

    #[test]
    fn the_forecast_is_told_once_after_as_many_epochs_as_asked() {
        let (over, said) = review("epochs=100", 1);
        assert!(
            !over
                && said.len() == 1
                && said[0].starts_with("forecast after 1 of 100 epochs, 90 % intervals: time 1m 40s"),
            "{said:?}"
        );
        assert!(said[0].contains("energy") && said[0].contains("CO2e"));
        assert_eq!(review("epochs=100 forecast_after=9", 3).1.len(), 0);
        assert_eq!(review("", 3).1.len(), 0);
    }

    #[test]
    fn budgets_are_judged_on_the_forecast_and_without_one_on_the_use() {
        // 100 epochs of 100 J: 10 kJ = 2.78 Wh, 1.27 g at the world's 458.29 g/kWh, 100 s.
        assert!(!review("epochs=100 budget_kwh=0.0028 budget_g=1.3 budget_h=0.03", 2).0);
        for passed in ["budget_kwh=0.0027", "budget_g=1.2", "budget_h=0.027", "budget_kwh=0.0028 pue=1.5"] {
            let (over, said) = review(&format!("epochs=100 {passed}"), 2);
            assert!(over, "{passed}");
            assert_eq!(said.iter().filter(|message| message.starts_with("budget_")).count(), 1, "{said:?}");
        }
        let (_, said) = review("epochs=100 budget_kwh=0.0027 budget_g=1.2 budget_h=1", 2);
        assert_eq!(said.iter().filter(|message| message.starts_with("budget_")).count(), 2, "{said:?}");
        assert!(review("budget_kwh=0.00005", 2).0 && !review("budget_kwh=0.00006", 2).0);
    }

    #[test]
    fn of_an_estimate_the_messages_have_its_interval() {
        let options = Options::parse("epochs=100 budget_kwh=0.0027 budget_g=1.3 budget_h=0.027", |_| None).unwrap();
        let band = Some(ErrorBand { low: 0.5, high: 2.0 });
        let uncertainty = Uncertainty { used: band, to_come: band };
        let mut advisor = Alerts::new(&options);
        let said = reviewed_with(&mut advisor, &options, &ledger(2), 2, uncertainty).messages;
        assert!(said[0].contains("energy about 10 kJ (4700 J to "), "{said:?}");
        assert!(
            said[0].contains("CO2e about 1.3 g (0.") && said[0].ends_with("the error of what is estimated"),
            "{said:?}"
        );
        assert!(
            said[1].starts_with("budget_kwh=0.0027 is passed: the forecast is about 0.0028 kWh (0.0013 to "),
            "{said:?}"
        );
        assert_eq!((said.len(), &*said[2]), (3, "budget_h=0.027 is passed: the forecast is 0.0278 h"));
        let options = Options::parse("budget_kwh=0.00005", |_| None).unwrap();
        let said = reviewed_with(&mut Alerts::new(&options), &options, &ledger(2), 2, uncertainty).messages;
        assert_eq!(
            said,
            ["budget_kwh=0.00005 is passed: what is used is about 0.000056 kWh (0.000028 to 0.00011 kWh)"]
        );
    }

    /// A device lost in the first epoch leaves no epoch whole.
    #[test]
    fn where_energy_cannot_be_forecast_its_use_is_judged() {
        let options = Options::parse("epochs=10 budget_kwh=0.00006", |_| None).unwrap();
        let mut ledger = ledger(3);
        ledger.add_channel(DeviceKind::Gpu);
        ledger.credit(1, EnergyInterval { from: 0, to: 1_000, joules: 1.0, measured: true });
        let review = reviewed(&mut Alerts::new(&options), &options, &ledger, 3);
        assert!(review.forecast.unwrap().energy_j.is_none() && review.over_budget, "{:?}", review.messages);
        assert!(review.messages.iter().any(|text| text.contains("what is used is")), "{:?}", review.messages);
    }

    #[test]
    fn epochs_that_ended_but_are_not_settled_count_once() {
        let options = Options::parse("epochs=10", |_| None).unwrap();
        let mut ledger = ledger(2);
        for n in 2..6 {
            ledger.mark(Mark::Begin(n * 1_000_000_000));
            ledger.mark(Mark::End((n + 1) * 1_000_000_000));
        }
        let forecast = reviewed(&mut Alerts::new(&options), &options, &ledger, 2).forecast.unwrap();
        let (seconds, joules) = (forecast.duration_s.unwrap().value, forecast.energy_j.unwrap().value);
        assert!((seconds - 10.0).abs() < 1e-9 && (joules - 1000.0).abs() < 1e-9, "{forecast:?}");
    }
}
