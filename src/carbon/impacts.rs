//! Costs, water, and embodied emissions of a run, by rates that the user gives. None of these is part of the run's
//! CO2e. Pure.

use crate::units;

/// Default lifetime of a device, years. Servers are commonly written off over three years. EcoLogits spreads the
/// manufacture of GPUs over the same time.
const DEFAULT_LIFE_YEARS: f64 = 3.0;
/// A year of 365 days, s: three of them are the 26,280 h in the sources.
const YEAR_S: f64 = 365.0 * 24.0 * 3600.0;

/// The rates. None: the impact is not reported.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    /// Price of facility energy.
    pub price: Option<Price>,
    /// Water used on site, L per kWh of the devices' energy.
    pub wue: Option<f64>,
    /// Water used at the power plants, L per kWh of facility energy.
    pub wue_grid: Option<f64>,
    /// Embodied emissions of all devices that the run uses, kg CO2e.
    pub embodied_kg: Option<f64>,
    /// Lifetime of the devices, years.
    pub life_years: f64,
}

/// Price of electricity.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// Amount for each kWh, in `currency`.
    pub per_kwh: f64,
    /// The currency as the user writes it. None: not given.
    pub currency: Option<String>,
}

/// Energy and time of a run, used or forecast.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Use {
    /// Energy of the devices, kWh.
    pub device_kwh: Option<f64>,
    /// Energy of the facility, kWh.
    pub facility_kwh: Option<f64>,
    /// Time, s.
    pub duration_s: Option<f64>,
}

/// Water use, L. None: the rate was not given, or the energy is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Water {
    /// Evaporated by the facility's cooling.
    pub on_site_l: Option<f64>,
    /// Used by the power plants.
    pub off_site_l: Option<f64>,
}

impl Default for Rates {
    fn default() -> Self {
        Rates { price: None, wue: None, wue_grid: None, embodied_kg: None, life_years: DEFAULT_LIFE_YEARS }
    }
}

impl Rates {
    /// Cost of the energy, in the price's currency.
    pub fn cost(&self, of: Use) -> Option<f64> {
        Some(self.price.as_ref()?.per_kwh * of.facility_kwh?)
    }

    /// True if a water rate was given.
    pub fn has_water(&self) -> bool {
        self.wue.or(self.wue_grid).is_some()
    }

    /// Water use of a run.
    pub fn water(&self, of: Use) -> Water {
        let litres = |rate: Option<f64>, kwh: Option<f64>| Some(rate? * kwh?);
        Water { on_site_l: litres(self.wue, of.device_kwh), off_site_l: litres(self.wue_grid, of.facility_kwh) }
    }

    /// Embodied emissions that belong to the run, g CO2e: its share of the devices' lifetime.
    pub fn embodied_g(&self, of: Use) -> Option<f64> {
        Some(self.embodied_kg? * 1e3 * of.duration_s? / (self.life_years * YEAR_S))
    }
}

impl Water {
    /// Sum of the known parts, L.
    pub fn litres(self) -> Option<f64> {
        units::sum([self.on_site_l, self.off_site_l])
    }
}

impl Price {
    /// Parses a number and an optional currency: `0.32EUR`, `0.32 EUR`, `0.32`. None: the text is not a price.
    pub fn parse(text: &str) -> Option<Price> {
        const MAX_PER_KWH: f64 = 1e6;
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, currency) = text.split_at_checked(end)?;
        let per_kwh = number.parse().ok().filter(|price| (0.0..=MAX_PER_KWH).contains(price))?;
        let currency = currency.trim();
        let is_currency = |c: char| c.is_alphabetic() || "$€£¥₹".contains(c);
        if !currency.chars().all(is_currency) || currency.chars().count() > 8 {
            return None;
        }
        Some(Price { per_kwh, currency: Some(currency.to_owned()).filter(|currency| !currency.is_empty()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Use = Use { device_kwh: Some(2.0), facility_kwh: Some(3.0), duration_s: Some(3600.0) };

    #[test]
    fn rates_apply_to_their_own_amounts() {
        let price = Price::parse("0.5EUR");
        let rates = Rates { price, wue: Some(0.3), wue_grid: Some(4.0), embodied_kg: Some(164.0), ..Rates::default() };
        assert_eq!(rates.cost(HOUR), Some(1.5));
        assert_eq!(rates.water(HOUR), Water { on_site_l: Some(0.6), off_site_l: Some(12.0) });
        assert!((rates.water(HOUR).litres().unwrap() - 12.6).abs() < 1e-12);
        // 164 kg over 26,280 h.
        assert!((rates.embodied_g(HOUR).unwrap() - 6.2405).abs() < 1e-4);
        let double = Rates { life_years: 6.0, ..rates };
        assert!((double.embodied_g(HOUR).unwrap() - 3.1202).abs() < 1e-4);
    }

    #[test]
    fn impacts_without_rate_or_energy_are_none() {
        let off = Rates::default();
        assert!(off.cost(HOUR).is_none() && off.embodied_g(HOUR).is_none() && !off.has_water());
        assert_eq!(off.water(HOUR).litres(), None);
        let on = Rates { price: Price::parse("1"), wue: Some(1.0), embodied_kg: Some(1.0), ..off };
        let unknown = Use::default();
        assert!(on.cost(unknown).is_none() && on.embodied_g(unknown).is_none() && on.has_water());
        assert_eq!((on.water(unknown).litres(), on.water(HOUR).litres()), (None, Some(2.0)));
    }

    #[test]
    fn a_price_is_a_number_with_or_without_its_currency() {
        let price = |per_kwh: f64, currency: &str| Price { per_kwh, currency: Some(currency.into()) };
        assert_eq!(Price::parse("0.32EUR"), Some(price(0.32, "EUR")));
        assert_eq!(Price::parse("0.32 EUR"), Some(price(0.32, "EUR")));
        assert_eq!(Price::parse("2.5kr"), Some(price(2.5, "kr")));
        assert_eq!(Price::parse("0.3€"), Some(price(0.3, "€")));
        assert_eq!(Price::parse("0.32"), Some(Price { per_kwh: 0.32, currency: None }));
        for nonsense in ["", "EUR", "EUR0.3", "-1EUR", "1e3", "0.3 EUR/kWh", "1000001", "1.2.3", "nan", "0.3\nEU R"] {
            assert_eq!(Price::parse(nonsense), None, "{nonsense}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_sound_price_or_none(text in ".*", cents in 0u32..100_000, currency in "[A-Z]{3}") {
            if let Some(price) = Price::parse(&text) {
                prop_assert!(price.per_kwh >= 0.0 && price.currency.is_none_or(|currency| !currency.is_empty()));
            }
            let per_kwh = f64::from(cents) / 100.0;
            let expected = Price { per_kwh, currency: Some(currency.clone()) };
            prop_assert_eq!(Price::parse(&format!("{per_kwh} {currency}")), Some(expected));
        }
    }
}
