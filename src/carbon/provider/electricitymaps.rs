//! Electricity Maps, v3: the world, by the hour. It needs a key. The free plan covers one zone and has no forecast.

use super::{Provider, country, encoded, figure, in_order, slot, spacing, time};
use crate::carbon::http::request::{HttpRequest, Secret, field, json, list};
use crate::carbon::intensity::slot::{IntensityQuality, IntensitySlot};
use crate::carbon::intensity::zones::{self, FoundName, Spot};
use crate::carbon::intensity::{EmissionsBasis, PowerUse};
use crate::carbon::location::RunLocation;
use crate::error::Error;
use serde_json::Value;

/// The name in the options.
pub const NAME: &str = "electricitymaps";

const LATEST: u8 = 0;
const HISTORY: u8 = 1;
const FORECAST: u8 = 2;

const TAKES: &str = "electricitymaps takes its own zones (DK-DK1, DE, US-CAL-CISO, see app.electricitymaps.com), cloud regions \
    (aws:eu-north-1) and location=ip";

/// One zone of Electricity Maps.
pub struct ElectricityMaps {
    zone: Zone,
    static_zone: String,
    key: Option<Secret>,
    step: u8,
}

/// How a request names the location.
enum Zone {
    /// By the provider's name of the zone.
    Named(String),
    /// By cloud and region.
    Cloud(&'static str),
    /// By latitude and longitude; the zone of our tables there.
    At(f64, f64, String),
}

impl ElectricityMaps {
    /// The provider for a zone of its own, a cloud region or a location found. Errors: another location.
    pub fn new(location: RunLocation<'_>, key: Option<Secret>) -> Result<Self, Error> {
        let zone = match location {
            RunLocation::NotGiven => None,
            RunLocation::Zone(asked) => own_zone(asked),
            RunLocation::Found(found) => Some(match (found.latitude, found.longitude) {
                (Some(latitude), Some(longitude)) => {
                    Zone::At(latitude, longitude, found.zone().unwrap_or_else(|| found.country.clone()))
                }
                _ => Zone::Named(found.country.clone()),
            }),
        };
        let zone = zone.ok_or_else(|| location.refused(TAKES))?;
        Ok(ElectricityMaps { static_zone: static_zone(&zone), zone, key, step: LATEST })
    }

    fn path(&self, what: &str) -> String {
        let place = match &self.zone {
            Zone::Named(zone) => format!("zone={}", encoded(zone)),
            Zone::Cloud(name) => {
                let (provider, region) = name.split_once(':').unwrap_or_default();
                format!("dataCenterProvider={}&dataCenterRegion={}", encoded(provider), encoded(region))
            }
            // Rounded to a kilometre. The location of an address is not more precise.
            Zone::At(latitude, longitude, _) => format!("lat={latitude:.2}&lon={longitude:.2}"),
        };
        // Without `disableCallerLookup` an unknown location gets, with 200, the figures of the caller's address.
        format!("/v3/carbon-intensity/{what}?{place}&disableCallerLookup=true")
    }

    fn check(&self, answer: &Value) -> Result<(), String> {
        let zone = field(answer, "zone")?.as_str();
        let is_ours = match &self.zone {
            Zone::Named(ours) => zone.is_some_and(|zone| zone.eq_ignore_ascii_case(ours)),
            Zone::Cloud(_) | Zone::At(..) => zone.is_some(), // the provider chooses the zone
        };
        if !is_ours {
            return Err("the answer is for another zone than requested".into());
        }
        match answer.get("emissionFactorType").and_then(Value::as_str) {
            None | Some("lifecycle") => Ok(()),
            Some(_) => Err("the answer is not of lifecycle emissions".into()),
        }
    }

    fn slots(&self, answer: &Value, records: &[Value], is_forecast: bool) -> Result<Vec<IntensitySlot>, String> {
        let starts = records.iter().map(|record| time(record, "datetime")).collect::<Result<Vec<_>, _>>()?;
        let length = length(answer, &starts)?;
        let mut slots = Vec::new();
        for (record, from) in records.iter().zip(starts) {
            if record.get("zone").is_some() {
                self.check(record)?;
            }
            let quality = match record.get("isEstimated").and_then(Value::as_bool) {
                _ if is_forecast => IntensityQuality::Forecast,
                Some(false) => IntensityQuality::Actual,
                Some(true) | None => IntensityQuality::Estimated,
            };
            if let Some(g_per_kwh) = figure(field(record, "carbonIntensity")?)? {
                slots.push(slot(from, from + length, g_per_kwh, quality)?);
            }
        }
        Ok(in_order(slots))
    }
}

impl Provider for ElectricityMaps {
    fn name(&self) -> &'static str {
        NAME
    }

    fn host(&self) -> &'static str {
        "https://api.electricitymaps.com"
    }

    fn zone(&self) -> String {
        match &self.zone {
            Zone::Named(zone) | Zone::At(_, _, zone) => zone.clone(),
            Zone::Cloud(region) => (*region).to_owned(),
        }
    }

    fn static_zone(&self) -> String {
        self.static_zone.clone()
    }

    fn basis(&self) -> EmissionsBasis {
        EmissionsBasis::Lifecycle
    }

    fn power_use(&self) -> Option<PowerUse> {
        Some(PowerUse::Consumption)
    }

    fn source(&self) -> &'static str {
        "Electricity Maps"
    }

    fn refresh_s(&self) -> f64 {
        900.0
    }

    fn missing(&self) -> Option<&'static str> {
        self.key.is_none().then_some(
            "electricitymaps needs a key: get one at portal.electricitymaps.com and set api_key= or CARBONTRACKER_API_KEY",
        )
    }

    fn next(&mut self, _: f64) -> Option<HttpRequest> {
        let key = self.key.as_ref()?.0.clone();
        let (answer, what) = match self.step {
            LATEST => (LATEST, "latest"),
            HISTORY => (HISTORY, "history"),
            FORECAST => (FORECAST, "forecast"),
            _ => {
                self.step = LATEST;
                return None;
            }
        };
        self.step += 1;
        let request = HttpRequest::get(answer, self.path(what)).header("auth-token", key);
        Some(if answer == FORECAST { request.optional() } else { request })
    }

    fn take(&mut self, request: &HttpRequest, body: &[u8]) -> Result<Vec<IntensitySlot>, String> {
        let answer = json(body)?;
        self.check(&answer)?;
        match request.answer {
            LATEST => self.slots(&answer, std::slice::from_ref(&answer), false),
            HISTORY => self.slots(&answer, list(&answer, "history")?, false),
            _ => self.slots(&answer, list(&answer, "forecast")?, true),
        }
    }

    fn fix(&self, status: u16) -> Option<String> {
        let zone = self.zone();
        match status {
            401 => Some(format!("the key is not valid, or its plan does not cover {zone}; check api_key=")),
            403 => Some(format!("the key's plan does not cover {zone}; set location= to the zone of the plan")),
            404 => Some(format!(
                "electricitymaps has no figures for {zone}; look for its zone in app.electricitymaps.com, or set another intensity="
            )),
            _ => None,
        }
    }
}

/// A zone in the provider's form: the country's alpha-2 code, then its part. A name becomes its code. A zone that our
/// tables lack is accepted.
fn own_zone(asked: &str) -> Option<Zone> {
    match zones::find(asked) {
        Ok(FoundName { spot: region @ Spot::Region(_), .. }) => Some(Zone::Cloud(region.code())),
        Ok(FoundName { spot: Spot::State(_), .. }) => None, // US-CA: the provider has zones of operators, not of states
        Ok(FoundName { spot, why: "" }) if spot.code() != "WORLD" => Some(Zone::Named(spot.code().to_owned())),
        _ => formed(asked).map(Zone::Named),
    }
}

fn formed(asked: &str) -> Option<String> {
    let zone = asked.to_ascii_uppercase();
    let is_formed = zone.len() <= 24
        && country(&zone).len() == 2
        && country(&zone).bytes().all(|byte| byte.is_ascii_uppercase())
        && zone.split('-').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    is_formed.then_some(zone)
}

fn static_zone(zone: &Zone) -> String {
    let named = match zone {
        Zone::Cloud(region) => return (*region).to_owned(),
        Zone::Named(zone) | Zone::At(_, _, zone) => zone,
    };
    let found = zones::find(named).or_else(|_| zones::find(country(named)));
    found.map_or("WORLD", |found| found.spot.code()).to_owned()
}

/// Length of a slot, s: as the answer states it, else the distance between figures, an hour at most.
fn length(answer: &Value, starts: &[f64]) -> Result<f64, String> {
    match answer.get("temporalGranularity").and_then(Value::as_str) {
        Some("hourly") => Ok(3600.0),
        Some("15_minutes") => Ok(900.0),
        Some("5_minutes") => Ok(300.0),
        Some(_) => Err("the answer's figures are not by the hour".into()),
        None => Ok(spacing(starts).unwrap_or(3600.0).min(3600.0)),
    }
}

#[cfg(test)]
mod tests;
