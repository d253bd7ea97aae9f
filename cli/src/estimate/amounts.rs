//! What a run to come, or a sum of them, takes: time, energy, CO2e and cost, each with an interval.

use super::ahead::RunAhead;
use super::grid::GridAhead;
use carbontracker::carbon::impacts::{Price, Use};
use carbontracker::forecast::{Estimate, Forecast};
use carbontracker::units::{Amount, J_PER_KWH, digits};
use serde_json::{Value, json};

/// In place of an amount without an estimate.
const UNKNOWN: &str = "unknown: the earlier runs do not have it, or are too different in it";

/// Time, energy, CO2e and cost. None: unknown, or no price is given.
pub struct Amounts {
    duration_s: Option<Estimate>,
    energy_j: Option<Estimate>,
    co2eq_g: Option<Estimate>,
    cost: Option<Estimate>,
    /// Mean intensity, g/kWh.
    pub g_per_kwh: Option<f64>,
    price: Option<Price>,
    is_estimated: bool,
}

impl Amounts {
    /// The amounts of a forecast. Their intervals include the error of estimated devices.
    pub fn of(forecast: &Forecast, grid: &GridAhead, ahead: &RunAhead) -> Amounts {
        let (uncertainty, rates) = (ahead.uncertainty(), &ahead.options.carbon.rates);
        let grams = grid.grams(forecast);
        let energy_j = forecast.energy_j.map(|energy| uncertainty.of_total(energy));
        let cost = |joules: f64| {
            let facility_kwh = Some(joules / J_PER_KWH * grid.pue);
            rates.cost(Use { facility_kwh, ..Use::default() })
        };
        let cost = energy_j.and_then(|energy| Some(energy.scaled(cost(1.0)?)));
        Amounts {
            duration_s: forecast.duration_s,
            energy_j,
            co2eq_g: grams.map(|grams| uncertainty.of_total(grams)),
            cost,
            g_per_kwh: grid.g_per_kwh(grams, forecast.energy_j),
            price: rates.price.clone(),
            is_estimated: uncertainty.is_any(),
        }
    }

    /// A line for each amount.
    pub fn text(&self, grid: &GridAhead) -> String {
        let amount = |of: Option<Estimate>, amount: Amount| {
            of.map_or(UNKNOWN.to_owned(), |of| of.amount(amount, self.is_estimated))
        };
        let time = self.duration_s.map_or(UNKNOWN.to_owned(), |time| time.amount(Amount::Time, false));
        let zone = grid.intensity.flat.zone.as_deref().map_or(String::new(), |zone| format!(" ({zone})"));
        let at = self.g_per_kwh.map_or(String::new(), |figure| format!(" at {} g/kWh{zone}", digits(figure)));
        let pue = if grid.pue == 1.0 { String::new() } else { format!(", PUE {}", grid.pue) };
        let mut text = format!("  time    {time}\n  energy  {}\n", amount(self.energy_j, Amount::Energy));
        text += &format!("  CO2e    {}{at}{pue}\n", amount(self.co2eq_g, Amount::Grams));
        if let (Some(cost), Some(price)) = (self.cost, &self.price) {
            let unit = price.currency.as_deref().unwrap_or("at that price");
            text += &format!("  cost    {}\n", amount(Some(cost), Amount::Of(unit)));
        }
        text
    }

    /// The amounts as JSON. null: unknown, or no price is given.
    pub fn json(&self) -> Value {
        let estimate = |of: Option<Estimate>| of.map(|e| json!({"value": e.value, "low": e.low, "high": e.high}));
        json!({
            "duration_s": estimate(self.duration_s),
            "energy_j": estimate(self.energy_j),
            "co2eq_g": estimate(self.co2eq_g),
            "cost": estimate(self.cost),
            "currency": self.price.as_ref().and_then(|price| price.currency.clone()),
        })
    }
}

/// The forecast of a sum of `runs` runs, from that of one run, which rests on n earlier runs.
///
/// Let s² be the variance of a run around the mean of all runs. Then the forecast of one run has the variance
/// s² (1 + 1/n): its own scatter, and the error of the mean of n earlier runs. In the mean of m runs the first part is
/// s²/m, and the second one stays: all runs share it. So the interval shrinks by the root of (1/m + 1/n) / (1 + 1/n).
pub fn sum_of(one: Forecast, runs: u64) -> Forecast {
    let (m, n) = (runs as f64, one.support.runs.max(1) as f64);
    let share = ((1.0 / m + 1.0 / n) / (1.0 + 1.0 / n)).sqrt();
    let sum = |of: Estimate| {
        let end = |end: f64| m * of.value * (end / of.value).powf(share);
        if of.value > 0.0 {
            Estimate { used: 0.0, value: m * of.value, low: end(of.low), high: end(of.high) }
        } else {
            of
        }
    };
    Forecast { duration_s: one.duration_s.map(sum), energy_j: one.energy_j.map(sum), ..one }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carbontracker::forecast::Support;

    #[test]
    fn interval_of_a_sum_keeps_the_shared_part() {
        let one = Forecast {
            after_epochs: 0,
            level: 0.9,
            duration_s: Some(Estimate { used: 0.0, value: 100.0, low: 90.0, high: 110.0 }),
            energy_j: None,
            support: Default::default(),
        };
        let with = |earlier| Forecast { support: Support { runs: earlier, weight: 1.0 }, ..one };
        let sum = |runs, earlier| sum_of(with(earlier), runs).duration_s.unwrap();
        let near = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-9, "{a} {b}");
        near(sum(1, 3).high, 110.0);
        let many = sum(1_000_000, 1);
        near(many.value, 1e8);
        near((many.high / many.value).ln(), (0.5 * (1.0 + 1e-6_f64)).sqrt() * 1.1_f64.ln());
        near((sum(4, 12).low / 400.0).ln(), ((0.25 + 1.0 / 12.0) / (13.0 / 12.0_f64)).sqrt() * 0.9_f64.ln());
    }
}
