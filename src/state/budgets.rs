//! The verdict on budgets: limits on the energy, the emissions and the time of a whole run. Pure.
//!
//! A budget is passed once the use passes it. By the forecast it is passed if the lower end of the interval is above
//! the limit after two epochs in a row. A single slow start cannot stop a healthy run by this rule.

use super::config::Budgets;
use crate::forecast::Estimate;
use crate::units::Amount;

/// A total of a run that a budget may limit, in the budget's unit.
#[derive(Clone, Copy, Debug, Default)]
pub struct BudgetInput {
    /// The use so far, with the error of estimates; None: unknown.
    pub used: Option<Estimate>,
    /// The forecast of the total, with the error of estimates; None: there is none.
    pub forecast: Option<Estimate>,
    /// Whether the amount has the error of an estimate.
    pub is_estimated: bool,
}

/// The totals that budgets may limit, in the order of [`NAMES`].
pub type BudgetInputs = [BudgetInput; NAMES.len()];

/// The option and the unit of each budget.
const NAMES: [(&str, &str); 3] = [("budget_kwh", "kWh"), ("budget_g", "g CO2e"), ("budget_h", "h")];

/// The budgets of one run.
#[derive(Clone, Debug)]
pub struct BudgetJudge {
    budgets: [Budget; NAMES.len()],
}

/// One budget.
#[derive(Clone, Copy, Debug, Default)]
struct Budget {
    /// None: no limit.
    limit: Option<f64>,
    /// The step since which the lower end of the forecast has been above the limit; None: it is not.
    above_since: Option<u64>,
    has_reported: bool,
}

/// The result of one judgement.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Whether any budget is passed.
    pub is_over: bool,
    /// Messages on budgets that are passed for the first time.
    pub messages: Vec<String>,
}

impl BudgetJudge {
    /// A judge of these budgets, none of which is passed yet.
    pub fn new(budgets: Budgets) -> BudgetJudge {
        let limits = [budgets.kwh, budgets.g, budgets.h];
        BudgetJudge { budgets: limits.map(|limit| Budget { limit, ..Budget::default() }) }
    }

    /// Judges the totals after this step. Steps count epochs, or hundredths of a run's progress.
    pub fn judge(&mut self, step: u64, totals: BudgetInputs) -> Verdict {
        let mut verdict = Verdict::default();
        for ((budget, total), (name, unit)) in self.budgets.iter_mut().zip(totals).zip(NAMES) {
            let Some(why) = budget.passed(step, total, Amount::Of(unit)) else { continue };
            verdict.is_over = true;
            if !std::mem::replace(&mut budget.has_reported, true) {
                let limit = budget.limit.unwrap_or_default();
                verdict.messages.push(format!("{name}={limit} is passed: {why}"));
            }
        }
        verdict
    }
}

impl Budget {
    /// Why the budget is passed after this step; None: it is not passed.
    fn passed(&mut self, step: u64, total: BudgetInput, unit: Amount) -> Option<String> {
        let limit = self.limit?;
        let low = total.forecast.filter(|forecast| forecast.low > limit);
        self.above_since = low.and(self.above_since.or(Some(step)));
        if let Some(used) = total.used.filter(|used| used.value > limit) {
            let shown = if total.is_estimated { used.amount(unit, true) } else { unit.exact(used.value) };
            return Some(format!("the use is {shown}"));
        }
        let is_confirmed = self.above_since.is_some_and(|since| step != since);
        let forecast = low.filter(|_| is_confirmed)?;
        Some(format!("the forecast is {}", forecast.amount(unit, total.is_estimated)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn judge(kwh: f64) -> BudgetJudge {
        BudgetJudge::new(Budgets { kwh: Some(kwh), ..Budgets::default() })
    }

    fn total(used: f64, low: f64, high: f64) -> BudgetInputs {
        let forecast = Some(Estimate { used, value: (low + high) / 2.0, low, high });
        let used = Some(Estimate::exactly(used));
        [BudgetInput { used, forecast, is_estimated: false }, BudgetInput::default(), BudgetInput::default()]
    }

    #[test]
    fn one_forecast_alone_passes_no_budget() {
        let mut judge = judge(10.0);
        assert!(!judge.judge(1, total(1.0, 30.0, 50.0)).is_over, "after one epoch");
        assert!(!judge.judge(1, total(1.0, 30.0, 50.0)).is_over, "the same epoch, judged again");
        assert!(!judge.judge(2, total(1.0, 4.0, 6.0)).is_over, "the first epoch was slow");
        assert!(!judge.judge(3, total(1.0, 11.0, 15.0)).is_over);
        let verdict = judge.judge(4, total(1.0, 12.0, 15.0));
        assert!(verdict.is_over);
        assert_eq!(verdict.messages, ["budget_kwh=10 is passed: the forecast is 14 kWh (12 to 15)"]);
        let verdict = judge.judge(5, total(1.0, 12.0, 15.0));
        assert!(verdict.is_over && verdict.messages.is_empty());
    }

    #[test]
    fn the_expected_value_alone_passes_no_budget() {
        let mut judge = judge(10.0);
        assert!((1..9).all(|epoch| !judge.judge(epoch, total(1.0, 9.0, 100.0)).is_over));
    }

    #[test]
    fn the_use_passes_a_budget_at_once() {
        let verdict = judge(10.0).judge(1, total(10.5, 10.5, 10.5));
        assert!(verdict.is_over);
        assert_eq!(verdict.messages, ["budget_kwh=10 is passed: the use is 10.5 kWh"]);
        assert!(!judge(10.0).judge(1, total(10.0, 10.0, 10.0)).is_over, "a budget may be used up");
    }

    proptest! {
        /// Without use above the limit, two forecasts in a row decide, whatever came before.
        #[test]
        fn two_steps_in_a_row_decide(lows in prop::collection::vec(0.0..20.0f64, 1..30)) {
            let mut judge = judge(10.0);
            for step in 0..lows.len() {
                let is_over = judge.judge(step as u64, total(1.0, lows[step], 40.0)).is_over;
                prop_assert_eq!(is_over, step > 0 && lows[step] > 10.0 && lows[step - 1] > 10.0);
            }
        }
    }
}
