//! Answers of the services: each provider, the location by address, and the clouds' metadata.

use crate::{Target, sound};
use carbontracker::carbon::http::request::HttpRequest;
use carbontracker::carbon::intensity::curve::Curve;
use carbontracker::carbon::intensity::slot::MAX_G_PER_KWH;
use carbontracker::carbon::location::cloud::{CloudProvider, Metadata};
use carbontracker::carbon::location::{RunLocation, ip};
use carbontracker::carbon::provider::{Provider, registry};

/// The target.
pub const TARGET: Target = Target {
    name: "service",
    check,
    fixtures: &[("api", ".json"), ("api", ".html"), ("api", ".xml")],
    tokens: &[
        "\"data\":[",
        "\"error\":",
        "\"intensity\":{\"forecast\":",
        "\"carbonIntensity\":",
        "\"datetime\":\"2026-11-30T10:00:00Z\"",
        "\"from\":\"2026-11-30T10:00Z\"",
        "\"to\":\"2026-11-30T10:30Z\"",
        "\"records\":",
        "\"CO2Emission\":",
        "\"unix_seconds\":[",
        "\"co2eq\":[",
        "\"point_time\":",
        "\"value\":",
        "\"token\":\"a.b\"",
        "\"loc\":\"55.7,12.5\"",
        "\"country_code\":\"DK\"",
        "\"status\":\"success\"",
        "europe-west4-a",
        "[[[[[[[[[[[[[[[[",
        "{\"a\":{\"a\":{\"a\":",
    ],
    runs: 50,
};

/// The time of the requests, s since 1970.
const NOW: f64 = 1.7960e9;
/// Requests of a round that are answered with the input.
const MAX_REQUESTS: usize = 4;
/// Providers, and a location that each covers.
const PLACES: [(&str, &str); 8] = [
    ("electricitymaps", "DK-DK1"),
    ("electricitymaps", "DE"),
    ("carbonintensity_gb", "GB"),
    ("carbonintensity_gb", "GB-13"),
    ("carbonintensity_gb", "GB-EC1A"),
    ("energidataservice", "DK-DK1"),
    ("energycharts", "DE"),
    ("watttime", "CAISO_NORTH"),
];

/// Checks one input.
pub fn check(data: &[u8]) {
    for (name, zone) in PLACES {
        let provider = registry::choose(name, RunLocation::Zone(zone), Some("user:key"));
        let mut provider = provider.unwrap_or_else(|error| panic!("{}", error.message));
        round(provider.as_mut(), data);
    }
    match ip::take(data) {
        Ok(found) => {
            let numbers = [found.latitude, found.longitude];
            assert!(numbers.into_iter().flatten().all(f64::is_finite), "{found:?}");
            assert_eq!(ip::take(found.to_json().as_bytes()), Ok(found), "the location changes when it is read again");
        }
        Err(why) => refused(&why),
    }
    for cloud in [CloudProvider::Aws, CloudProvider::Google, CloudProvider::Azure] {
        let mut metadata = Metadata::new(cloud);
        while let Some(request) = metadata.ask() {
            metadata.take(&request, data).map_or_else(|why| refused(&why), drop);
        }
    }
}

/// Asks a round of requests, and gives the input as each answer.
fn round(provider: &mut dyn Provider, data: &[u8]) {
    let mut curve = Curve::default();
    for _ in 0..MAX_REQUESTS {
        let Some(request) = provider.next(NOW) else { break };
        assert!(is_sound(&request), "{request:?}");
        match provider.take(&request, data) {
            Ok(slots) => {
                assert!(slots.len() <= data.len());
                for slot in &slots {
                    assert!(slot.from.is_finite() && slot.to.is_finite() && slot.from < slot.to, "{slot:?}");
                    assert!((0.0..=MAX_G_PER_KWH).contains(&slot.g_per_kwh), "{slot:?}");
                }
                curve.take(slots);
            }
            Err(why) => refused(&why),
        }
    }
}

/// A request has one line for its path and for each header, even if an answer chose a part of it.
fn is_sound(request: &HttpRequest) -> bool {
    let is_line = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    request.path.starts_with('/')
        && request.path.bytes().all(|byte| byte.is_ascii_graphic())
        && request.headers.iter().all(|(_, value)| is_line(&value.0))
}

/// A refusal is a fixed text: it has nothing of the answer.
fn refused(why: &str) {
    const MAX: usize = 200;
    sound::message(why, &[]);
    assert!(why.len() <= MAX, "a refusal has {} bytes: {why}", why.len());
}
