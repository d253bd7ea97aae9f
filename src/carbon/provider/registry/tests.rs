//! Tests of all providers: with the samples of `tests/fixtures/api`, whole and damaged.

use super::*;
use crate::carbon::http::request::*;
use crate::carbon::intensity::slot::{IntensityQuality, IntensitySlot};
use crate::carbon::location::ip::{self, GeoLocation};
use crate::carbon::location::{RunLocation, cloud};
use crate::carbon::provider::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// 2026-03-02T13:01:30Z: the samples are of that hour.
pub const NOW: f64 = 1_772_456_490.0;

pub fn sample(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/fixtures/api/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// All requests of one round without an answer.
pub fn round(provider: &mut dyn Provider) -> Vec<HttpRequest> {
    std::iter::from_fn(|| provider.next(NOW)).take(9).collect()
}

pub fn chosen(name: &str, location: &str) -> Box<dyn Provider> {
    choose(name, RunLocation::Zone(location), Some("user:key-123")).unwrap()
}

pub fn refused(name: &str, location: &str) -> String {
    choose(name, RunLocation::Zone(location), Some("user:key-123")).err().unwrap().message
}

pub fn found(country: &str, region: &str, latitude: f64, longitude: f64) -> GeoLocation {
    let region = Some(region.to_owned());
    GeoLocation { country: country.into(), region, latitude: Some(latitude), longitude: Some(longitude) }
}

fn samples() -> Vec<(String, Vec<u8>)> {
    let folder = format!("{}/tests/fixtures/api", env!("CARGO_MANIFEST_DIR"));
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != "README.md").collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), sample(&name))).collect()
}

/// Each provider, for each kind of location, with each request that it makes.
fn parsers() -> Vec<(Box<dyn Provider>, u8)> {
    let locations = [
        ("electricitymaps", "DK-DK1"),
        ("electricitymaps", "aws:eu-north-1"),
        ("carbonintensity_gb", "GB"),
        ("carbonintensity_gb", "GB-EC1A"),
        ("carbonintensity_gb", "GB-13"),
        ("energidataservice", "DK1"),
        ("energidataservice", "DK2"),
        ("energidataservice", "DK"),
        ("energycharts", "DE"),
        ("watttime", "CAISO_NORTH"),
    ];
    let with_answer = |(name, location)| (0..3).map(move |answer| (chosen(name, location), answer));
    let mut parsers: Vec<_> = locations.into_iter().flat_map(with_answer).collect();
    parsers.iter_mut().for_each(|(provider, _)| drop(provider.next(NOW)));
    parsers
}

fn is_sound(slot: &IntensitySlot) -> bool {
    let is_time = |instant: f64| (0.0..=7_258_118_400.0).contains(&instant);
    is_time(slot.from) && is_time(slot.to) && slot.to > slot.from && (0.0..=10_000.0).contains(&slot.g_per_kwh)
}

/// Runs all parsers on some bytes. None may panic, give an invalid slot, or quote the bytes.
fn try_all(body: &[u8]) -> Vec<(&'static str, usize)> {
    let mut taken = Vec::new();
    for (mut provider, answer) in parsers() {
        match provider.take(&HttpRequest::get(answer, "/"), body) {
            Ok(slots) => {
                assert!(slots.iter().all(is_sound), "{}: {slots:?}", provider.name());
                assert!(slots.windows(2).all(|pair| pair[0].from <= pair[1].from), "{}", provider.name());
                taken.push((provider.name(), slots.len()));
            }
            Err(words) => assert!(words.len() > 10 && words.len() < 100 && words.is_ascii(), "{words}"),
        }
    }
    if let Ok(location) = ip::take(body) {
        assert!(location.country.len() == 2 && location.country.is_ascii());
        let _ = (location.zone(), choose("energidataservice", RunLocation::Found(&location), None));
    }
    for provider in [cloud::CloudProvider::Aws, cloud::CloudProvider::Google, cloud::CloudProvider::Azure] {
        let _ = cloud::Metadata::new(provider).take(&HttpRequest::get(1, "/"), body);
    }
    taken
}

#[test]
fn samples_are_parsed_by_their_own_provider_only() {
    let samples = samples();
    assert_eq!(samples.len(), 45, "45 samples and a README");
    for (file, body) in &samples {
        let taken = try_all(body);
        let with_slots: BTreeSet<_> = taken.iter().filter(|(_, slots)| *slots > 0).map(|(name, _)| *name).collect();
        let expected: &[&str] = match file.as_str() {
            "electricitymaps_forecast_200.json"
            | "electricitymaps_history_200.json"
            | "electricitymaps_latest_200.json" => &["electricitymaps"],
            "energidataservice_CO2Emis_200.json" | "energidataservice_CO2EmisProg_200.json" => &["energidataservice"],
            "energycharts_co2eq_200.json" => &["energycharts"],
            "watttime_forecast_200.json" => &["watttime"],
            "carbonintensitygb_400.json" | "carbonintensitygb_empty_200.json" => &[],
            name if name.starts_with("carbonintensitygb") => &["carbonintensity_gb"],
            _ => &[],
        };
        assert_eq!(with_slots, expected.iter().copied().collect(), "{file}: {taken:?}");
        let is_refused_by_all = !matches!(
            file.as_str(),
            "carbonintensitygb_empty_200.json"
                | "electricitymaps_200_null.json"
                | "energidataservice_empty_200.json"
                | "watttime_login_200.json"
        );
        assert!(!expected.is_empty() || !is_refused_by_all || taken.is_empty(), "{file}: {taken:?}");
    }
}

#[test]
fn errors_have_a_message_without_the_answer() {
    let error = |body: &[u8]| json(body).unwrap_err();
    assert_eq!(error(&sample("html_502_not_json.html")), "the answer is not JSON: a proxy may have replaced it");
    assert_eq!(error(&sample("entsoe_A75_200.xml")), "the answer is not JSON: a proxy may have replaced it");
    assert_eq!(error(b" \n"), "the answer is empty");
    assert_eq!(error(br#"{"data": [1, 2"#), "the answer is cut off");
    assert_eq!(error(br#"{"data": [1, 2}"#), "the answer is damaged: it is not complete JSON");
    assert_eq!(error(b"[1] and more"), "the answer is damaged: it is not complete JSON");
    assert_eq!(error(b"\xff\xfe"), "the answer is not JSON: a proxy may have replaced it");
    assert!(error(&sample("electricitymaps_401.json")).contains("is an error message"));
    let mut provider = chosen("energycharts", "DE");
    let words = provider.take(&HttpRequest::get(0, "/"), br#"{"unix_seconds": [0, 900], "co2eq": [1]}"#).unwrap_err();
    assert_eq!(words, "'co2eq' is not as long as the list of times in the answer");
}

#[test]
fn deep_and_long_answers_are_harmless() {
    for (open, close) in [("[", "]"), (r#"{"data":"#, "}"), (r#"{"records":["#, "]}")] {
        try_all([open.repeat(100_000), close.repeat(100_000)].concat().as_bytes());
        try_all(open.repeat(100_000).as_bytes());
    }
    let many = format!(
        r#"{{"unix_seconds": [{}], "co2eq": [{}]}}"#,
        (0..200_000).map(|i| (i * 900).to_string()).collect::<Vec<_>>().join(","),
        vec!["1"; 200_000].join(",")
    );
    let slots = chosen("energycharts", "DE").take(&HttpRequest::get(0, "/"), many.as_bytes()).unwrap();
    assert_eq!(slots.len(), 200_000);
}

#[test]
fn times_are_in_utc_with_optional_seconds_and_zone() {
    for text in [
        "2026-03-02T13:00Z",
        "2026-03-02T13:00:00Z",
        "2026-03-02T13:00:00.000Z",
        "2026-03-02T13:00:00",
        "2026-03-02T13:00:00+00:00",
    ] {
        assert_eq!(instant(text), Some(1_772_456_400.0), "{text}");
    }
    for text in [
        "2026-03-02",
        "13:00Z",
        "2026-03-02T14:00:00+01:00",
        "2026-02-30T13:00Z",
        "é026-03-02T13:00Z",
        "1969-12-31T23:59Z",
        "",
    ] {
        assert_eq!(instant(text), None, "{text}");
    }
    assert_eq!(minute(NOW), "2026-03-02T13:01");
    assert_eq!(
        [minute(f64::NAN), minute(-1.0), minute(f64::MAX)],
        ["1970-01-01T00:00", "1970-01-01T00:00", "2200-01-01T00:00"]
    );
}

#[test]
fn invalid_slots_are_refused() {
    let tried = |from, to, g| slot(from, to, g, IntensityQuality::Actual).is_ok();
    assert!(tried(0.0, 300.0, 0.0) && tried(NOW, NOW + 3600.0, 10_000.0));
    for (from, to, g) in [
        (-1.0, 1.0, 5.0),
        (NOW, NOW, 5.0),
        (NOW, NOW - 1.0, 5.0),
        (NOW, NOW + 86_401.0, 5.0),
        (8e9, 8e9 + 60.0, 5.0),
        (f64::NAN, NOW, 5.0),
        (NOW, f64::NAN, 5.0),
    ] {
        assert!(!tried(from, to, g), "{from} {to}");
    }
    for g in [-0.1, 10_000.1, f64::NAN, f64::INFINITY] {
        assert!(!tried(NOW, NOW + 60.0, g), "{g}");
    }
}

#[test]
fn names_and_keys_are_checked() {
    assert_eq!(encoded("{\"A\":[é]} b&c=d/e?f#g%+"), "%7B%22A%22%3A%5B%C3%A9%5D%7D%20b%26c%3Dd%2Fe%3Ff%23g%25%2B");
    let unknown = choose("electricitymap", RunLocation::NotGiven, None).err().unwrap().message;
    assert!(
        unknown.contains("'electricitymap'") && unknown.contains("electricitymaps, carbonintensity_gb"),
        "{unknown}"
    );
    for key in ["", "two words", "line\r\nInjected: yes", "clé"] {
        let words = choose("electricitymaps", RunLocation::Zone("DE"), Some(key)).err().unwrap().message;
        assert!(words.starts_with("api_key='…'") && (key.is_empty() || !words.contains(key)), "{words}");
    }
}

#[test]
fn keys_are_never_shown() {
    for (name, location) in [("electricitymaps", "DE"), ("watttime", "CAISO_NORTH")] {
        let mut provider = chosen(name, location);
        let requests = round(&mut *provider);
        assert!(!requests.is_empty() && requests.iter().all(|request| !request.headers.is_empty()));
        let shown = format!("{requests:?} {} {:?}", provider.zone(), provider.fix(401));
        assert!(!shown.contains("key-123") && !shown.contains("dXNlcjpr") && shown.contains("…"), "{shown}");
        let mut keyless = choose(name, RunLocation::Zone(location), None).unwrap();
        assert!(keyless.missing().unwrap().contains("_key=") && provider.missing().is_none());
        assert!(round(&mut *keyless).is_empty() && round(&mut *keyless).is_empty());
    }
}

#[test]
fn location_may_be_missing_named_or_found() {
    let without = |name: &str| {
        choose(name, RunLocation::NotGiven, None).map(|provider| provider.zone()).map_err(|error| error.message)
    };
    assert_eq!(without("carbonintensity_gb").unwrap(), "GB");
    assert_eq!(without("energidataservice").unwrap(), "DK");
    for name in ["electricitymaps", "energycharts", "watttime"] {
        assert!(without(name).unwrap_err().starts_with("no location given: "), "{name}");
    }
    let paris = found("FR", "Ile-de-France", 48.85, 2.35);
    let at_paris = |name: &str| {
        choose(name, RunLocation::Found(&paris), None).map(|provider| provider.zone()).map_err(|error| error.message)
    };
    assert_eq!(at_paris("energycharts").unwrap(), "FR");
    assert_eq!(at_paris("electricitymaps").unwrap(), "FR");
    for name in ["carbonintensity_gb", "energidataservice", "watttime"] {
        let words = at_paris(name).unwrap_err();
        assert!(words.starts_with("location=ip finds this machine in FR: ") && words.contains(name), "{words}");
    }
}

/// One byte, one number or one literal changed, or the end lost.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let all: Vec<Vec<u8>> = samples().into_iter().map(|(_, body)| body).filter(|body| body.len() < 20_000).collect();
    let swaps = [
        "null",
        "-1",
        "1e999",
        "1e308",
        "\"\"",
        "[]",
        "{}",
        "true",
        "0",
        "99999999999",
        "\"2026-03-02T13:00Z\"",
        "-0.0",
        "1772452800",
    ];
    let literal = prop::sample::select(swaps.to_vec());
    (prop::sample::select(all), any::<prop::sample::Index>(), 0..4u8, any::<u8>(), literal).prop_map(
        |(mut body, at, how, byte, literal)| {
            let at = at.index(body.len());
            match how {
                0 => body.truncate(at),
                1 => body[at] = byte,
                2 => body.splice(at..at, literal.bytes()).for_each(drop),
                _ => {
                    // The value that follows the next colon.
                    let colon = body.iter().skip(at).position(|b| *b == b':').map_or(0, |found| at + found + 1);
                    let end =
                        body.iter().skip(colon).position(|b| b",}]".contains(b)).map_or(colon, |found| colon + found);
                    body.splice(colon..end, literal.bytes()).for_each(drop);
                }
            }
            body
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_are_harmless(body in prop::collection::vec(any::<u8>(), 0..200)) {
        try_all(&body);
    }

    #[test]
    fn damaged_answers_are_harmless(body in damaged()) {
        try_all(&body);
    }

    #[test]
    fn any_location_gives_a_request_of_plain_text(location in "\\PC{0,30}", name in prop::sample::select(&NAMES[..])) {
        for location in [location.clone(), format!("GB-{location}"), format!("DE-{location}")] {
            let Ok(mut provider) = choose(name, RunLocation::Zone(&location), Some("user:key")) else { continue };
            for request in round(&mut *provider) {
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~?&=%:".contains(&byte);
                prop_assert!(request.path.starts_with('/') && request.path.bytes().all(is_plain), "{}", request.path);
                prop_assert!(!request.path.contains("//") && request.path.matches('?').count() <= 1);
            }
        }
    }

    #[test]
    fn any_location_found_gives_a_provider_or_a_message(country in "[A-Z]{2}", north in -90.0..90.0f64, east in -180.0..180.0f64) {
        let location = found(&country, "", north, east);
        for name in NAMES {
            match choose(name, RunLocation::Found(&location), Some("user:key")) {
                Ok(mut provider) => prop_assert!(!round(&mut *provider).is_empty() && !provider.static_zone().is_empty()),
                Err(error) => prop_assert!(error.message.contains(&country)),
            }
        }
    }
}
