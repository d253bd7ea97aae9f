//! Carbon Intensity of the British system operator: Great Britain and its regions, by the half hour. It needs no key.

use super::{Provider, encoded, figure, in_order, minute, refused_by_others, slot, time};
use crate::carbon::http::request::{HttpRequest, field, json, list};
use crate::carbon::intensity::slot::{IntensityQuality, IntensitySlot};
use crate::carbon::intensity::{EmissionsBasis, PowerUse};
use crate::carbon::location::RunLocation;
use crate::error::Error;
use serde_json::Value;

/// The name in the options.
pub const NAME: &str = "carbonintensity_gb";

const PAST: u8 = 0;
const AHEAD: u8 = 1;

const TAKES: &str = "carbonintensity_gb takes GB, or a part of it by the first half of a postcode (GB-EC1A) or by the \
    service's number for a region (GB-1 to GB-18)";

/// Great Britain, or a part of it.
pub struct CarbonIntensityGb {
    area: Area,
    step: u8,
    now: f64,
}

enum Area {
    National,
    /// The outward half of a postcode. The other half is private and not needed.
    Postcode(String),
    Region(u8),
}

impl CarbonIntensityGb {
    /// The provider for the country, or for the part in the options. Errors: another location.
    pub fn new(location: RunLocation<'_>) -> Result<Self, Error> {
        let area = match location {
            RunLocation::NotGiven => Some(Area::National),
            _ if location.table_zone().as_deref() == Some("GB") => Some(Area::National),
            RunLocation::Zone(asked) => part(asked),
            RunLocation::Found(_) => None,
        };
        Ok(CarbonIntensityGb { area: area.ok_or_else(|| location.refused(TAKES))?, step: PAST, now: 0.0 })
    }

    fn path(&self, span: &str) -> String {
        let from = minute(self.now);
        match &self.area {
            Area::National => format!("/intensity/{from}Z/{span}"),
            Area::Postcode(outward) => format!("/regional/intensity/{from}Z/{span}/postcode/{}", encoded(outward)),
            Area::Region(id) => format!("/regional/intensity/{from}Z/{span}/regionid/{id}"),
        }
    }

    /// The half hours of an answer: those of the country, or those in the region's object.
    fn half_hours<'a>(&self, answer: &'a Value) -> Result<&'a [Value], String> {
        let is_ours = |region: &Value| match &self.area {
            Area::National => false,
            Area::Postcode(ours) => region.get("postcode").and_then(Value::as_str) == Some(ours),
            Area::Region(ours) => region.get("regionid").and_then(Value::as_u64) == Some(u64::from(*ours)),
        };
        let data = field(answer, "data")?;
        let region = match (&self.area, data) {
            (Area::National, _) => return list(answer, "data"),
            (_, Value::Array(regions)) => match regions.first() {
                Some(region) => region, // the current half hour is in a list, a span is not
                None => return Ok(&[]),
            },
            _ => data,
        };
        if !is_ours(region) {
            return Err("the answer is for another region than requested".into());
        }
        list(region, "data")
    }

    fn half_hour(&self, record: &Value) -> Result<Option<IntensitySlot>, String> {
        let (from, to) = (time(record, "from")?, time(record, "to")?);
        let intensity = field(record, "intensity")?;
        let actual = figure(intensity.get("actual").unwrap_or(&Value::Null))?;
        let forecast = figure(field(intensity, "forecast")?)?;
        // A region has no meter: its past figures are estimates.
        let is_estimate = !matches!(self.area, Area::National) && to <= self.now;
        let quality = if is_estimate { IntensityQuality::Estimated } else { IntensityQuality::Forecast };
        let figure = actual.map(|g| (g, IntensityQuality::Actual)).or(forecast.map(|g| (g, quality)));
        figure.map(|(g_per_kwh, quality)| slot(from, to, g_per_kwh, quality)).transpose()
    }
}

impl Provider for CarbonIntensityGb {
    fn name(&self) -> &'static str {
        NAME
    }

    fn host(&self) -> &'static str {
        "https://api.carbonintensity.org.uk"
    }

    fn zone(&self) -> String {
        match &self.area {
            Area::National => "GB".into(),
            Area::Postcode(outward) => format!("GB-{outward}"),
            Area::Region(id) => format!("GB-{id}"),
        }
    }

    fn static_zone(&self) -> String {
        "GB".into()
    }

    fn basis(&self) -> EmissionsBasis {
        EmissionsBasis::Direct
    }

    fn power_use(&self) -> Option<PowerUse> {
        Some(PowerUse::Consumption)
    }

    fn source(&self) -> &'static str {
        "National Energy System Operator, Carbon Intensity API (CC BY 4.0)"
    }

    fn refresh_s(&self) -> f64 {
        900.0
    }

    fn next(&mut self, now: f64) -> Option<HttpRequest> {
        self.now = now;
        let request = match self.step {
            PAST => HttpRequest::get(PAST, self.path("pt24h")),
            AHEAD => HttpRequest::get(AHEAD, self.path("fw48h")),
            _ => {
                self.step = PAST;
                return None;
            }
        };
        self.step += 1;
        Some(request)
    }

    fn take(&mut self, _: &HttpRequest, body: &[u8]) -> Result<Vec<IntensitySlot>, String> {
        let answer = json(body)?;
        let mut slots = Vec::new();
        for record in self.half_hours(&answer)? {
            slots.extend(self.half_hour(record)?);
        }
        Ok(in_order(slots))
    }

    fn fix(&self, status: u16) -> Option<String> {
        match (status, &self.area) {
            (400 | 404, Area::Postcode(outward)) => {
                Some(format!("carbonintensity_gb knows no postcode {outward}: set location=GB, or GB-1 to GB-18"))
            }
            (401 | 403, _) => refused_by_others(NAME),
            _ => None,
        }
    }
}

/// Parses a part of Great Britain: GB-13, GB-EC1A or GB-EC1A 1BB.
fn part(asked: &str) -> Option<Area> {
    let asked = asked.to_ascii_uppercase();
    let part = asked.strip_prefix("GB-").or_else(|| asked.strip_prefix("UK-"))?;
    if part.bytes().all(|byte| byte.is_ascii_digit()) {
        return part.parse().ok().filter(|id| (1..=18).contains(id)).map(Area::Region);
    }
    let outward = match part.split_once(' ') {
        Some((outward, inward)) => is_inward(inward.trim()).then_some(outward)?,
        None => match part.split_at_checked(part.len().saturating_sub(3)) {
            Some((outward, inward)) if is_inward(inward) && is_outward(outward) => outward,
            _ => part,
        },
    };
    is_outward(outward).then(|| Area::Postcode(outward.to_owned()))
}

/// True for A or AA, then 9, 99 or 9A (BS 7666).
fn is_outward(text: &str) -> bool {
    let letters = text.bytes().take_while(u8::is_ascii_uppercase).count();
    let rest = text.get(letters..).unwrap_or_default().as_bytes();
    (1..=2).contains(&letters)
        && match rest {
            [digit] => digit.is_ascii_digit(),
            [digit, last] => digit.is_ascii_digit() && (last.is_ascii_digit() || last.is_ascii_uppercase()),
            _ => false,
        }
}

/// True for 9AA (BS 7666).
fn is_inward(text: &str) -> bool {
    matches!(text.as_bytes(), [a, b, c] if a.is_ascii_digit() && b.is_ascii_uppercase() && c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests;
