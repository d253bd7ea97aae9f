//! WattTime, v3: marginal emissions in a region of the US and elsewhere. It needs an account. Marginal figures show
//! which hour to choose. They are no share of the grid's emissions and are never mixed with averages.

use super::{Provider, encoded, figure, in_order, slot, time};
use crate::carbon::http::request::{HttpRequest, Secret, field, json, list};
use crate::carbon::intensity::EmissionsBasis;
use crate::carbon::intensity::slot::{IntensityQuality, IntensitySlot};
use crate::carbon::intensity::zones;
use crate::carbon::location::RunLocation;
use crate::error::Error;
use serde_json::Value;

/// The name in the options.
pub const NAME: &str = "watttime";

const LOGIN: u8 = 0;
const FORECAST: u8 = 1;

/// Age at which a token is renewed, s. It expires after 30 minutes.
const TOKEN_S: f64 = 1500.0;
/// One lb/MWh, in g/kWh.
const G_PER_KWH: f64 = 0.453_592_37;

const TAKES: &str = "watttime takes its own regions (CAISO_NORTH, the one that is free, see docs.watttime.org)";

/// A region of WattTime.
pub struct WattTime {
    region: String,
    key: Option<Secret>,
    /// The token, and the time of its request, s since 1970 UTC.
    token: Option<(Secret, f64)>,
    /// The last request of this round.
    asked: Option<u8>,
    /// True once the forecast was answered, so that the token is valid.
    is_answered: bool,
    now: f64,
}

impl WattTime {
    /// The provider for a region of its own. The key is user:password. Errors: not a region's name.
    pub fn new(location: RunLocation<'_>, key: Option<Secret>) -> Result<Self, Error> {
        let RunLocation::Zone(asked) = location else { return Err(location.refused(TAKES)) };
        let region = asked.to_ascii_uppercase();
        let is_formed = (2..=40).contains(&region.len())
            && region.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        if !is_formed {
            return Err(Error::invalid(format!("marginal='{NAME}:{asked}': {TAKES}")));
        }
        let key = key.filter(|key| key.0.contains(':')); // without a colon it is not user:password
        Ok(WattTime { region, key, token: None, asked: None, is_answered: false, now: 0.0 })
    }

    fn take_token(&mut self, answer: &Value) -> Result<(), String> {
        let token = field(answer, "token")?.as_str();
        let token =
            token.filter(|token| (1..=8192).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic()));
        self.token = Some((Secret(token.ok_or("the answer has no token")?.to_owned()), self.now));
        Ok(())
    }

    fn slots(&self, answer: &Value) -> Result<Vec<IntensitySlot>, String> {
        let meta = field(answer, "meta")?;
        for (name, ours) in
            [("region", self.region.as_str()), ("signal_type", "co2_moer"), ("units", "lbs_co2_per_mwh")]
        {
            if field(meta, name)?.as_str() != Some(ours) {
                return Err(format!("'{name}' in the answer is not the one requested"));
            }
        }
        let length = field(meta, "data_point_period_seconds")?
            .as_f64()
            .ok_or("the answer does not state the length of its steps")?;
        let mut slots = Vec::new();
        for point in list(answer, "data")? {
            let from = time(point, "point_time")?;
            if let Some(pounds) = figure(field(point, "value")?)? {
                slots.push(slot(from, from + length, pounds * G_PER_KWH, IntensityQuality::Forecast)?);
            }
        }
        Ok(in_order(slots))
    }
}

impl Provider for WattTime {
    fn name(&self) -> &'static str {
        NAME
    }

    fn host(&self) -> &'static str {
        "https://api.watttime.org"
    }

    fn zone(&self) -> String {
        self.region.clone()
    }

    fn static_zone(&self) -> String {
        let operator = self.region.split('_').next().unwrap_or_default();
        let zone = match operator {
            "CAISO" => "US-CA",
            "ERCOT" => "US-TX",
            "NYISO" => "US-NY",
            "IESO" => "CA-ON",
            "NEM" => "AU",
            "UK" => "GB",
            country if country.len() == 2 && zones::find(country).is_ok() => country,
            _ => "US", // its other regions are operators in the US
        };
        zone.into()
    }

    fn basis(&self) -> EmissionsBasis {
        EmissionsBasis::Marginal
    }

    fn source(&self) -> &'static str {
        "WattTime (marginal emissions)"
    }

    fn refresh_s(&self) -> f64 {
        900.0
    }

    fn missing(&self) -> Option<&'static str> {
        self.key
            .is_none()
            .then_some("watttime needs an account: set marginal_key=USER:PASSWORD or CARBONTRACKER_MARGINAL_KEY")
    }

    fn next(&mut self, now: f64) -> Option<HttpRequest> {
        let key = self.key.as_ref()?;
        self.now = now;
        let is_fresh = self.token.as_ref().is_some_and(|(_, since)| (0.0..TOKEN_S).contains(&(now - since)));
        match (self.asked, &self.token) {
            (None | Some(LOGIN), Some((token, _))) if is_fresh => {
                let path =
                    format!("/v3/forecast?region={}&signal_type=co2_moer&horizon_hours=24", encoded(&self.region));
                let request = HttpRequest::get(FORECAST, path).header("Authorization", format!("Bearer {}", token.0));
                self.asked = Some(FORECAST);
                self.is_answered = false;
                Some(request)
            }
            (None, _) => {
                self.asked = Some(LOGIN);
                self.token = None;
                let basic = format!("Basic {}", base64(key.0.as_bytes()));
                Some(HttpRequest::get(LOGIN, "/login").header("Authorization", basic))
            }
            (Some(asked), _) => {
                if asked == FORECAST && !self.is_answered {
                    self.token = None; // it may be revoked: the next round logs in again
                }
                self.asked = None;
                None
            }
        }
    }

    fn take(&mut self, request: &HttpRequest, body: &[u8]) -> Result<Vec<IntensitySlot>, String> {
        let answer = json(body)?;
        if request.answer == LOGIN {
            return self.take_token(&answer).map(|()| Vec::new());
        }
        self.is_answered = true;
        self.slots(&answer)
    }

    fn fix(&self, status: u16) -> Option<String> {
        match status {
            401 => Some("watttime does not accept this user and password; check marginal_key=".into()),
            403 => Some(format!(
                "the account does not cover {}; set marginal=watttime:CAISO_NORTH, which is free",
                self.region
            )),
            400 | 404 | 422 => Some(format!("watttime does not know {}; check marginal=", self.region)),
            _ => None,
        }
    }
}

/// Base64 (RFC 4648), for a header of a few dozen bytes.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut coded = String::new();
    for three in bytes.chunks(3) {
        let group = (0..3).fold(0u32, |group, i| group << 8 | u32::from(three.get(i).copied().unwrap_or(0)));
        for sextet in 0..4 {
            let letter = LETTERS.get((group >> (18 - 6 * sextet) & 63) as usize).copied().unwrap_or(b'=');
            coded.push(if sextet <= three.len() { char::from(letter) } else { '=' });
        }
    }
    coded
}

#[cfg(test)]
mod tests;
