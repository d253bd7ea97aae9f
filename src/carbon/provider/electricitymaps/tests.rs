use super::*;
use crate::carbon::provider::registry::choose;
use crate::carbon::provider::registry::tests::{chosen, found, refused, round, sample};

/// 2026-03-02T13:00Z.
const ONE: f64 = 1_772_456_400.0;

fn paths(provider: &mut dyn Provider) -> Vec<String> {
    round(provider).into_iter().map(|request| request.path).collect()
}

#[test]
fn round_requests_latest_history_and_optional_forecast() {
    let mut provider = chosen(NAME, "dk-dk1");
    let requests = round(&mut *provider);
    assert_eq!(
        requests.iter().map(|request| request.path.as_str()).collect::<Vec<_>>(),
        [
            "/v3/carbon-intensity/latest?zone=DK-DK1&disableCallerLookup=true",
            "/v3/carbon-intensity/history?zone=DK-DK1&disableCallerLookup=true",
            "/v3/carbon-intensity/forecast?zone=DK-DK1&disableCallerLookup=true",
        ]
    );
    assert_eq!(requests.iter().map(|request| request.is_optional).collect::<Vec<_>>(), [false, false, true]);
    assert!(
        requests.iter().all(|request| request.headers[0].0 == "auth-token" && request.headers[0].1.0 == "user:key-123")
    );
    assert_eq!(round(&mut *provider).len(), 3, "and the next round again");
    assert_eq!((provider.host(), provider.basis()), ("https://api.electricitymaps.com", EmissionsBasis::Lifecycle));
}

#[test]
fn locations_are_zones_cloud_regions_and_coordinates() {
    let at = |location: &str| {
        let mut provider = chosen(NAME, location);
        (paths(&mut *provider).remove(0), provider.zone(), provider.static_zone())
    };
    let named = |zone: &str| format!("/v3/carbon-intensity/latest?zone={zone}&disableCallerLookup=true");
    for (asked, zone, table) in [
        ("DE", "DE", "DE"),
        ("dnk", "DK", "DK"),
        ("UK", "GB", "GB"),
        ("us-cal-ciso", "US-CAL-CISO", "US-CAL-CISO"),
        ("DK-DK1", "DK-DK1", "DK-DK1"),
        ("no1", "NO-NO1", "NO-NO1"),
        ("Denmark", "DK", "DK"),
        ("XX-NEW", "XX-NEW", "WORLD"),
        ("DK-NEW", "DK-NEW", "DK"),
        ("NO-NO1", "NO-NO1", "NO-NO1"),
        ("CA-ON", "CA-ON", "CA-ON"),
        ("XK", "XK", "XK"),
    ] {
        assert_eq!(at(asked), (named(zone), zone.to_owned(), table.to_owned()));
    }
    let (path, zone, table) = at("AWS:eu-north-1");
    assert_eq!(
        path,
        "/v3/carbon-intensity/latest?dataCenterProvider=aws&dataCenterRegion=eu-north-1&disableCallerLookup=true"
    );
    assert_eq!((zone.as_str(), table.as_str()), ("aws:eu-north-1", "aws:eu-north-1"));

    let home = found("US", "California", 37.773_972, -122.431_297);
    let mut provider = choose(NAME, RunLocation::Found(&home), Some("key")).unwrap();
    assert_eq!(paths(&mut *provider)[0], "/v3/carbon-intensity/latest?lat=37.77&lon=-122.43&disableCallerLookup=true");
    assert_eq!((provider.zone(), provider.static_zone()), ("US-CA".into(), "US-CA".into()));

    for bad in ["WORLD", "US-CA", "Atlantis", "D", "DK-", "-DK", "DK-DK1&zone=FR", "DK/../x", "aws:nowhere", "ÆØ", ""]
    {
        let words = refused(NAME, bad);
        assert!(words.starts_with(&format!("location='{bad}': electricitymaps takes")), "{words}");
    }
}

#[test]
fn latest_hour_is_estimated() {
    let mut provider = chosen(NAME, "DK-DK1");
    let slots = provider.take(&HttpRequest::get(LATEST, ""), &sample("electricitymaps_latest_200.json")).unwrap();
    assert_eq!(
        slots,
        [IntensitySlot { from: ONE, to: ONE + 3600.0, g_per_kwh: 143.0, quality: IntensityQuality::Estimated }]
    );
}

#[test]
fn history_has_a_gap_where_a_figure_is_null() {
    let mut provider = chosen(NAME, "DK-DK1");
    let slots = provider.take(&HttpRequest::get(HISTORY, ""), &sample("electricitymaps_history_200.json")).unwrap();
    let hour = |back: f64, g_per_kwh, quality| IntensitySlot {
        from: ONE - back * 3600.0,
        to: ONE - (back - 1.0) * 3600.0,
        g_per_kwh,
        quality,
    };
    let (actual, estimated) = (IntensityQuality::Actual, IntensityQuality::Estimated);
    assert_eq!(slots, [hour(4.0, 122.0, actual), hour(3.0, 131.0, actual), hour(1.0, 140.0, estimated)]);
}

#[test]
fn forecast_has_twelve_hours() {
    let mut provider = chosen(NAME, "DK-DK1");
    let slots = provider.take(&HttpRequest::get(FORECAST, ""), &sample("electricitymaps_forecast_200.json")).unwrap();
    assert_eq!(slots.len(), 12);
    assert_eq!((slots[0].from, slots[0].g_per_kwh), (ONE, 143.0));
    assert_eq!(
        (slots[5].g_per_kwh, slots[11].from, slots[11].to, slots[11].g_per_kwh),
        (204.0, ONE + 39_600.0, ONE + 43_200.0, 120.0)
    );
    assert!(slots.iter().all(|slot| slot.quality == IntensityQuality::Forecast && slot.to - slot.from == 3600.0));
}

#[test]
fn unknown_figure_is_a_gap_and_another_zone_an_error() {
    let null = sample("electricitymaps_200_null.json");
    let words = chosen(NAME, "DK-DK1").take(&HttpRequest::get(LATEST, ""), &null).unwrap_err();
    assert_eq!(words, "the answer is for another zone than requested");
    assert_eq!(chosen(NAME, "XX").take(&HttpRequest::get(LATEST, ""), &null).unwrap(), []);
    let direct = String::from_utf8(sample("electricitymaps_latest_200.json")).unwrap().replace("lifecycle", "direct");
    let words = chosen(NAME, "DK-DK1").take(&HttpRequest::get(LATEST, ""), direct.as_bytes()).unwrap_err();
    assert!(words.contains("lifecycle"), "{words}");
}

#[test]
fn slot_length_comes_from_the_answer() {
    let forecast = String::from_utf8(sample("electricitymaps_forecast_200.json")).unwrap();
    let length = |word: &str| {
        let body = forecast.replace("\"hourly\"", word);
        let slots = chosen(NAME, "DK-DK1").take(&HttpRequest::get(FORECAST, ""), body.as_bytes())?;
        Ok::<f64, String>(slots[0].to - slots[0].from)
    };
    assert_eq!(length("\"5_minutes\""), Ok(300.0));
    assert_eq!(length("\"15_minutes\""), Ok(900.0));
    assert_eq!(length("null"), Ok(3600.0));
    assert!(length("\"yearly\"").unwrap_err().contains("hour"));
}

#[test]
fn refusals_have_a_fix() {
    let provider = chosen(NAME, "FR");
    assert!(provider.fix(401).unwrap().contains("api_key"));
    assert!(provider.fix(403).unwrap().contains("FR") && provider.fix(404).unwrap().contains("FR"));
    assert_eq!(provider.fix(500), None);
}
