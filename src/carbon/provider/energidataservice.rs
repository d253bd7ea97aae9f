//! Energi Data Service of the Danish system operator: both halves of Denmark, every five minutes. It needs no key.

use super::{Provider, country, encoded, figure, minute, refused_by_others, slot, time};
use crate::carbon::http::request::{HttpRequest, field, json, list};
use crate::carbon::intensity::slot::{IntensityQuality, IntensitySlot};
use crate::carbon::intensity::{EmissionsBasis, PowerUse};
use crate::carbon::location::RunLocation;
use crate::carbon::location::ip::GeoLocation;
use crate::error::Error;
use serde_json::Value;
use std::collections::BTreeMap;

/// The name in the options.
pub const NAME: &str = "energidataservice";

const REALISED: u8 = 0;
const PROGNOSIS: u8 = 1;

/// Length of a slot, s.
const STEP_S: f64 = 300.0;

const TAKES: &str =
    "energidataservice knows Denmark only: DK1 (west of the Great Belt), DK2 (east of it), or DK for their mean";

/// Denmark, or a half of it.
pub struct EnergiDataService {
    areas: &'static [&'static str],
    step: u8,
}

const WEST: &[&str] = &["DK1"];
const EAST: &[&str] = &["DK2"];
const BOTH: &[&str] = &["DK1", "DK2"];

impl EnergiDataService {
    /// The provider for a half of Denmark, or for the mean of both. Errors: another location.
    pub fn new(location: RunLocation<'_>) -> Result<Self, Error> {
        let areas = match location {
            RunLocation::NotGiven => Some(BOTH),
            RunLocation::Zone(asked) => match asked.to_ascii_uppercase().as_str() {
                "DK1" | "DK-DK1" => Some(WEST),
                "DK2" | "DK-DK2" => Some(EAST),
                _ => location.table_zone().filter(|zone| country(zone) == "DK").map(|zone| match zone.as_str() {
                    "DK-DK1" => WEST,
                    "DK-DK2" => EAST,
                    _ => BOTH,
                }),
            },
            RunLocation::Found(found) => (found.country == "DK").then(|| half(found)),
        };
        Ok(EnergiDataService { areas: areas.ok_or_else(|| location.refused(TAKES))?, step: REALISED })
    }

    fn path(&self, dataset: &str, start: f64) -> String {
        let filter = format!("{{\"PriceArea\":[\"{}\"]}}", self.areas.join("\",\""));
        // Without timezone=UTC the provider uses Danish time. Without limit=0 it returns the newest hundred figures
        // only.
        format!(
            "/dataset/{dataset}?start={}&filter={}&sort=Minutes5UTC&limit=0&timezone=UTC",
            minute(start),
            encoded(&filter)
        )
    }

    /// The figures of each instant, one for each area. The key is in whole seconds, because a float is no key.
    fn by_instant(&self, answer: &Value) -> Result<BTreeMap<u64, BTreeMap<&'static str, f64>>, String> {
        let mut found: BTreeMap<u64, BTreeMap<&'static str, f64>> = BTreeMap::new();
        for record in list(answer, "records")? {
            let area = field(record, "PriceArea")?.as_str();
            let area = self.areas.iter().find(|ours| area == Some(ours));
            let area = area.ok_or("the answer is for another price area than requested")?;
            let from = time(record, "Minutes5UTC")?;
            if let Some(g_per_kwh) = figure(field(record, "CO2Emission")?)? {
                // Each area's figure must be valid, not only the mean.
                slot(from, from + STEP_S, g_per_kwh, IntensityQuality::Actual)?;
                found.entry(from as u64).or_default().insert(area, g_per_kwh);
            }
        }
        Ok(found)
    }
}

impl Provider for EnergiDataService {
    fn name(&self) -> &'static str {
        NAME
    }

    fn host(&self) -> &'static str {
        "https://api.energidataservice.dk"
    }

    fn zone(&self) -> String {
        match self.areas {
            [area] => format!("DK-{area}"),
            _ => "DK".into(),
        }
    }

    fn static_zone(&self) -> String {
        self.zone()
    }

    fn basis(&self) -> EmissionsBasis {
        EmissionsBasis::Direct
    }

    fn power_use(&self) -> Option<PowerUse> {
        Some(PowerUse::Consumption)
    }

    fn source(&self) -> &'static str {
        match self.areas {
            [_] => "Energinet, Energi Data Service",
            _ => "Energinet, Energi Data Service (mean of DK1 and DK2)",
        }
    }

    fn refresh_s(&self) -> f64 {
        600.0
    }

    fn next(&mut self, now: f64) -> Option<HttpRequest> {
        let request = match self.step {
            REALISED => HttpRequest::get(REALISED, self.path("CO2Emis", now - 86_400.0)),
            // The answer includes the current step.
            PROGNOSIS => HttpRequest::get(PROGNOSIS, self.path("CO2EmisProg", now - STEP_S)),
            _ => {
                self.step = REALISED;
                return None;
            }
        };
        self.step += 1;
        Some(request)
    }

    fn take(&mut self, request: &HttpRequest, body: &[u8]) -> Result<Vec<IntensitySlot>, String> {
        let (dataset, quality) = match request.answer {
            REALISED => ("CO2Emis", IntensityQuality::Actual),
            _ => ("CO2EmisProg", IntensityQuality::Forecast),
        };
        let answer = json(body)?;
        if answer.get("dataset").is_some_and(|name| name != dataset) {
            return Err("the answer is another data set than requested".into());
        }
        let whole = |figures: &&BTreeMap<_, f64>| figures.len() == self.areas.len();
        let mean = |figures: &BTreeMap<_, f64>| figures.values().sum::<f64>() / figures.len() as f64;
        let found = self.by_instant(&answer)?;
        let whole = found.iter().filter(|(_, figures)| whole(figures));
        whole.map(|(from, figures)| slot(*from as f64, *from as f64 + STEP_S, mean(figures), quality)).collect()
    }

    fn fix(&self, status: u16) -> Option<String> {
        if matches!(status, 401 | 403) { refused_by_others(NAME) } else { None }
    }
}

/// The half of Denmark. The Great Belt is at 10.9° E. North of 56.2° all land is west of it, also Djursland, Anholt and
/// Læsø.
fn half(found: &GeoLocation) -> &'static [&'static str] {
    match (found.latitude, found.longitude) {
        (_, None) => BOTH,
        (Some(latitude), Some(_)) if latitude > 56.2 => WEST,
        (_, Some(longitude)) if longitude < 10.9 => WEST,
        _ => EAST,
    }
}

#[cfg(test)]
mod tests;
