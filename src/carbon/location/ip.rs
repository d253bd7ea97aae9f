//! The location of this machine by its public address, for `location=ip`. One request is sent, only with this option.

use crate::carbon::http::request::{HttpRequest, field, json};
use crate::carbon::intensity::zones;
use serde_json::Value;

/// The service that is asked, over HTTPS and without a key.
pub const HOST: &str = "https://get.geojs.io";

/// The location of a public address.
#[derive(Clone, Debug, PartialEq)]
pub struct GeoLocation {
    /// Country, ISO 3166 alpha-2.
    pub country: String,
    /// Name of the state, province or region.
    pub region: Option<String>,
    /// Latitude, degrees north, to some kilometres.
    pub latitude: Option<f64>,
    /// Longitude, degrees east.
    pub longitude: Option<f64>,
}

/// The request for the location of this machine's address.
pub fn request() -> HttpRequest {
    HttpRequest::get(0, "/v1/ip/geo.json")
}

/// Parses an answer of get.geojs.io. Answers of ipinfo.io and ip-api.com are accepted too, because a mirror may give
/// them.
pub fn take(body: &[u8]) -> Result<GeoLocation, String> {
    let answer = json(body)?;
    let is_private = answer.get("bogon").is_some_and(|bogon| *bogon != false);
    if is_private || answer.get("status").is_some_and(|status| status != "success") {
        return Err("this machine's address is not public, or its location is not known".into());
    }
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    // The field is for geojs, ip-api and ipinfo in this order. geojs has "country" too, but it is a name.
    let country = match text("country_code").or(text("countryCode")) {
        Some(code) => Some(code),
        None => field(&answer, "country")?.as_str(),
    };
    let country = country.filter(|code| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic()));
    let country = country.ok_or("the answer names no country")?.to_ascii_uppercase();
    let (latitude, longitude) = degrees(&answer).unzip();
    let region = text("regionName").or(text("region")).filter(|name| !name.is_empty() && name.len() <= 80);
    Ok(GeoLocation { country, region: region.map(str::to_owned), latitude, longitude })
}

/// Latitude and longitude: numbers, texts, or one text with a comma. 0, 0 is in the sea and means unknown.
fn degrees(answer: &Value) -> Option<(f64, f64)> {
    let number = |name: &str| match answer.get(name)? {
        Value::String(text) => text.parse().ok(),
        value => value.as_f64(),
    };
    let pair = match answer.get("loc").and_then(Value::as_str) {
        Some(both) => both.split_once(',').and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?))),
        None => Some((number("latitude").or(number("lat"))?, number("longitude").or(number("lon"))?)),
    };
    pair.filter(|(north, east)| {
        (-90.0..=90.0).contains(north) && (-180.0..=180.0).contains(east) && (*north, *east) != (0.0, 0.0)
    })
}

impl GeoLocation {
    /// The location as JSON that `take` parses.
    pub fn to_json(&self) -> String {
        let GeoLocation { country, region, latitude, longitude } = self;
        let json = serde_json::json!({
            "country_code": country, "region": region, "latitude": latitude, "longitude": longitude,
        });
        json.to_string()
    }

    /// The zone in the yearly table: the part of the country if it has a row, else the country.
    pub fn zone(&self) -> Option<String> {
        let part = self.region.as_deref().and_then(|region| zones::part(&self.country, region));
        let country = || zones::find(&self.country).ok().map(|_| self.country.clone());
        part.map(str::to_owned).or_else(country)
    }
}

#[cfg(test)]
mod tests;
