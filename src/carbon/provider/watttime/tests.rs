use super::*;
use crate::carbon::provider::registry::choose;
use crate::carbon::provider::registry::tests::{NOW, chosen, refused, round, sample};

#[test]
fn round_logs_in_and_then_requests_the_forecast() {
    let mut provider = chosen(NAME, "caiso_north");
    let login = provider.next(NOW).unwrap();
    assert_eq!((login.path.as_str(), login.answer), ("/login", LOGIN));
    assert_eq!(
        (login.headers[0].0.as_ref(), login.headers[0].1.0.as_str()),
        ("Authorization", "Basic dXNlcjprZXktMTIz")
    );
    assert_eq!(provider.take(&login, &sample("watttime_login_200.json")), Ok(vec![]));
    let forecast = provider.next(NOW).unwrap();
    assert_eq!(forecast.path, "/v3/forecast?region=CAISO_NORTH&signal_type=co2_moer&horizon_hours=24");
    assert_eq!(forecast.headers[0].1.0, "Bearer eyJhbGciOi.FAKE.TOKEN");
    let slots = provider.take(&forecast, &sample("watttime_forecast_200.json")).unwrap();
    assert_eq!(slots.len(), 24);
    assert_eq!((slots[0].from, slots[0].to), (1_772_456_400.0, 1_772_456_700.0));
    assert!(
        (slots[0].g_per_kwh - 394.625_36).abs() < 1e-4 && (slots[23].g_per_kwh - 436.355_86).abs() < 1e-4,
        "{slots:?}"
    );
    assert!(slots.iter().all(|slot| slot.quality == IntensityQuality::Forecast));
    assert!(provider.next(NOW).is_none());
    // Within 25 minutes the token holds, then it is renewed.
    assert_eq!(provider.next(NOW + 900.0).unwrap().answer, FORECAST);
    provider.take(&forecast, &sample("watttime_forecast_200.json")).unwrap();
    assert!(provider.next(NOW + 901.0).is_none());
    assert_eq!(provider.next(NOW + 1800.0).unwrap().answer, LOGIN);
}

#[test]
fn round_ends_without_a_token_and_drops_a_refused_one() {
    let mut provider = chosen(NAME, "CAISO_NORTH");
    assert_eq!(provider.next(NOW).unwrap().answer, LOGIN);
    assert!(provider.next(NOW).is_none());
    let login = provider.next(NOW).unwrap();
    assert!(provider.take(&login, br#"{"token": "two\r\nlines"}"#).is_err() && provider.next(NOW).is_none());
    let login = provider.next(NOW).unwrap();
    provider.take(&login, &sample("watttime_login_200.json")).unwrap();
    assert_eq!(provider.next(NOW).unwrap().answer, FORECAST);
    assert!(provider.next(NOW).is_none(), "answered 401");
    assert_eq!(provider.next(NOW + 60.0).unwrap().answer, LOGIN);
}

#[test]
fn percentile_is_not_an_intensity() {
    let mut provider = chosen(NAME, "CAISO_NORTH");
    let error = provider.take(&HttpRequest::get(FORECAST, ""), &sample("watttime_signal_index_200.json")).unwrap_err();
    assert_eq!(error, "'units' in the answer is not the one requested");
    let error = chosen(NAME, "PJM_DC")
        .take(&HttpRequest::get(FORECAST, ""), &sample("watttime_forecast_200.json"))
        .unwrap_err();
    assert_eq!(error, "'region' in the answer is not the one requested");
    for name in ["watttime_401.json", "watttime_403.json", "watttime_429.json", "watttime_region_from_loc_200.json"] {
        assert!(provider.take(&HttpRequest::get(FORECAST, ""), &sample(name)).is_err(), "{name}");
    }
}

#[test]
fn regions_map_to_zones_and_are_marginal() {
    for (region, zone) in [
        ("CAISO_NORTH", "US-CA"),
        ("ERCOT_AUSTIN", "US-TX"),
        ("PJM_DC", "US"),
        ("FR", "FR"),
        ("UK", "GB"),
        ("IESO_NORTH", "CA-ON"),
    ] {
        assert_eq!(
            (chosen(NAME, region).static_zone(), chosen(NAME, region).basis()),
            (zone.into(), EmissionsBasis::Marginal)
        );
    }
    for bad in ["", "A", "CAISO NORTH", "CAISO&x", "aws:us-east-1"] {
        assert!(refused(NAME, bad).contains("CAISO_NORTH"), "{bad}");
    }
    let keyless = choose(NAME, RunLocation::Zone("CAISO_NORTH"), Some("nocolon")).unwrap();
    assert!(keyless.missing().unwrap().contains("CARBONTRACKER_MARGINAL_KEY"));
    // Messages name the options of marginal figures only.
    let provider = chosen(NAME, "CAISO_NORTH");
    let fixes = [400, 401, 403, 404, 422].map(|status| provider.fix(status).unwrap());
    let words = fixes.concat() + keyless.missing().unwrap() + &refused(NAME, "CAISO NORTH");
    assert!(!words.contains("api_key") && !words.contains("location") && words.contains("marginal="), "{words}");
}

#[test]
fn password_may_hold_any_letter() {
    let location = || RunLocation::Zone("CAISO_NORTH");
    let mut provider = choose(NAME, location(), Some("me:pass wörd")).unwrap();
    let Secret(header) = &round(provider.as_mut())[0].headers[0].1;
    assert_eq!(header, "Basic bWU6cGFzcyB3w7ZyZA==");
    let words = choose(NAME, location(), Some("me:two\nlines")).err().unwrap().message;
    assert!(words.starts_with("marginal_key='…'") && !words.contains("lines"), "{words}");
}

#[test]
fn base64_follows_rfc_4648() {
    for (plain, coded) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
        ("a?>~", "YT8+fg=="),
    ] {
        assert_eq!(base64(plain.as_bytes()), coded);
    }
    assert_eq!(base64(&[0xff, 0xef, 0xbe]), "/+++");
}
