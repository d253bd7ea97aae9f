//! Where this machine is by its public address, for `location=ip`: one look-up, only where the user asks for it.

use crate::carbon::http::request::{HttpRequest, field, json};
use crate::carbon::intensity::zones;
use serde_json::Value;

/// Who is asked: over HTTPS, and without a key.
pub const HOST: &str = "https://get.geojs.io";

/// Where a public address is.
#[derive(Clone, Debug, PartialEq)]
pub struct GeoLocation {
    /// ISO 3166 alpha-2.
    pub country: String,
    /// State, province or region, by its name.
    pub region: Option<String>,
    /// Degrees north, to some kilometres.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
}

/// The look-up of this machine's own address.
pub fn request() -> HttpRequest {
    HttpRequest::get(0, "/v1/ip/geo.json")
}

/// What get.geojs.io answers, and what ipinfo.io and ip-api.com do, which a mirror may serve in its place.
pub fn take(body: &[u8]) -> Result<GeoLocation, String> {
    let answer = json(body)?;
    let is_private = answer.get("bogon").is_some_and(|bogon| *bogon != false);
    if is_private || answer.get("status").is_some_and(|status| status != "success") {
        return Err("the answer says that this address is not public, or that it is not known".into());
    }
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    // geojs, ip-api, ipinfo: the first has a "country" too, but it is a name.
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

/// Latitude and longitude, as numbers, as texts, or as one text with a comma. 0, 0 is in the sea and means unknown.
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
    /// As text that `take` understands.
    pub fn told(&self) -> String {
        let GeoLocation { country, region, latitude, longitude } = self;
        let told = serde_json::json!({
            "country_code": country, "region": region, "latitude": latitude, "longitude": longitude,
        });
        told.to_string()
    }

    /// Its zone in the yearly table: the part of the country where there is a row for it, else the country.
    pub fn zone(&self) -> Option<String> {
        let part = self.region.as_deref().and_then(|region| zones::part(&self.country, region));
        let country = || zones::find(&self.country).ok().map(|_| self.country.clone());
        part.map(str::to_owned).or_else(country)
    }
}

#[cfg(test)]
mod tests;
