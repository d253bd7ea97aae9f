//! Energy-Charts of Fraunhofer ISE: Germany and most of Europe, every quarter of an hour. It needs no key.

use super::{Provider, country, figure, in_order, minute, refused_by_others, slot, spacing};
use crate::carbon::http::request::{HttpRequest, field, json, list};
use crate::carbon::intensity::EmissionsBasis;
use crate::carbon::intensity::slot::{IntensityQuality, IntensitySlot};
use crate::carbon::intensity::zones::{self, Spot};
use crate::carbon::location::RunLocation;
use crate::error::Error;
use serde_json::Value;

/// The name in the options.
pub const NAME: &str = "energycharts";

const BOTH: u8 = 0;
const FORECAST: u8 = 1;

/// Length of a slot if the answer has a single figure, s.
const STEP_S: f64 = 900.0;

const TAKES: &str = "energycharts takes a country of Europe (DE, FRA, GB, …)";

/// The countries of Europe. The provider has figures for most of them.
#[rustfmt::skip]
const COUNTRIES: [&str; 45] = [
    "AL", "AM", "AT", "AZ", "BA", "BE", "BG", "BY", "CH", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "GE", "GR", "HR", "HU",
    "IE", "IS", "IT", "LT", "LU", "LV", "MD", "ME", "MK", "MT", "NL", "NO", "PL", "PT", "RO", "RS", "RU", "SE", "SI", "SK", "TR",
    "UA", "XK",
];

/// A country of Energy-Charts.
pub struct EnergyCharts {
    country: &'static str,
    step: u8,
}

impl EnergyCharts {
    /// The provider for a country, or for the country of a cloud region or an address. Errors: another location.
    pub fn new(location: RunLocation<'_>) -> Result<Self, Error> {
        let asked = match location {
            RunLocation::NotGiven => None,
            // The provider has no parts of a country. The user must choose the whole country explicitly.
            RunLocation::Zone(asked) => zones::find(asked).ok().and_then(|found| match found.spot {
                region @ Spot::Region(_) => Some(country(region.zone()).to_owned()),
                spot => spot.country().filter(|_| found.why.is_empty()).map(str::to_owned),
            }),
            RunLocation::Found(found) => Some(found.country.clone()),
        };
        let known = asked.and_then(|asked| COUNTRIES.into_iter().find(|country| *country == asked));
        Ok(EnergyCharts { country: known.ok_or_else(|| location.refused(TAKES))?, step: BOTH })
    }

    /// The country as the provider writes it.
    fn code(&self) -> String {
        if self.country == "GB" { "uk".into() } else { self.country.to_ascii_lowercase() }
    }
}

impl Provider for EnergyCharts {
    fn name(&self) -> &'static str {
        NAME
    }

    fn host(&self) -> &'static str {
        "https://api.energy-charts.info"
    }

    fn zone(&self) -> String {
        self.country.into()
    }

    fn static_zone(&self) -> String {
        self.country.into()
    }

    fn basis(&self) -> EmissionsBasis {
        EmissionsBasis::Lifecycle
    }

    fn source(&self) -> &'static str {
        "Fraunhofer ISE, Energy-Charts (CC BY 4.0)"
    }

    fn refresh_s(&self) -> f64 {
        900.0
    }

    fn next(&mut self, now: f64) -> Option<HttpRequest> {
        let country = self.code();
        let (start, end) = (minute(now - 86_400.0), minute(now + 2.0 * 86_400.0));
        let request = match self.step {
            BOTH => HttpRequest::get(BOTH, format!("/co2eq?country={country}&start={start}Z&end={end}Z")),
            FORECAST => HttpRequest::get(FORECAST, format!("/co2eq_forecast?country={country}")).optional(),
            _ => {
                self.step = BOTH;
                return None;
            }
        };
        self.step += 1;
        Some(request)
    }

    fn take(&mut self, request: &HttpRequest, body: &[u8]) -> Result<Vec<IntensitySlot>, String> {
        let answer = json(body)?;
        let starts: Option<Vec<f64>> = list(&answer, "unix_seconds")?.iter().map(Value::as_f64).collect();
        let starts = starts.ok_or("'unix_seconds' is not a list of times in the answer")?;
        let length = spacing(&starts).unwrap_or(STEP_S);
        let lists: &[(&str, IntensityQuality)] = match request.answer {
            BOTH => &[("co2eq", IntensityQuality::Actual), ("co2eq_forecast", IntensityQuality::Forecast)],
            _ => &[("co2eq_forecast", IntensityQuality::Forecast), ("co2eq", IntensityQuality::Forecast)],
        };
        let mut slots: Vec<Option<IntensitySlot>> = vec![None; starts.len()];
        let mut is_any = false;
        for (name, quality) in lists {
            let Some(figures) = answer.get(name).filter(|figures| !figures.is_null()) else { continue };
            let figures = figures.as_array().ok_or_else(|| format!("'{name}' is not a list in the answer"))?;
            if figures.len() != starts.len() {
                return Err(format!("'{name}' is not as long as the list of times in the answer"));
            }
            is_any = true;
            for ((place, from), g_per_kwh) in slots.iter_mut().zip(&starts).zip(figures) {
                if let Some(g_per_kwh) = figure(g_per_kwh)? {
                    let slot = slot(*from, from + length, g_per_kwh, *quality)?;
                    place.get_or_insert(slot);
                }
            }
        }
        if !is_any {
            field(&answer, "co2eq")?;
        }
        Ok(in_order(slots.into_iter().flatten().collect()))
    }

    fn fix(&self, status: u16) -> Option<String> {
        let country = self.country;
        match status {
            404 => Some(format!("energycharts has no figures for {country} at present; set another intensity=")),
            401 | 403 => refused_by_others(NAME),
            422 => Some(format!("energycharts does not know {country}; set another intensity=")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
