use super::*;

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/fixtures/api/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn request_is_one_over_https() {
    let request = request();
    assert_eq!((request.base, request.path.as_str(), HOST), (None, "/v1/ip/geo.json", "https://get.geojs.io"));
    assert!(request.headers.is_empty());
}

#[test]
fn three_services_give_the_same_location() {
    for name in ["geojs_geo_200.json", "ipapi_com_200.json", "ipinfo_200.json"] {
        let place = take(&sample(name)).unwrap();
        assert_eq!((place.country.as_str(), place.region.as_deref()), ("DK", Some("Capital Region")), "{name}");
        assert_eq!((place.latitude, place.longitude), (Some(55.6759), Some(12.5655)), "{name}");
        assert_eq!(place.zone().as_deref(), Some("DK"));
    }
}

#[test]
fn answer_without_a_location_is_an_error() {
    for name in ["ipinfo_bogon_200.json", "ipapi_com_fail_200.json", "ipinfo_429.json", "html_502_not_json.html"] {
        assert!(take(&sample(name)).is_err(), "{name}");
    }
    let private = "this machine's address is not public, or its location is not known";
    assert_eq!(take(br#"{"bogon": true, "country": "DK"}"#).unwrap_err(), private);
    assert_eq!(take(br#"{"status": "fail", "countryCode": "DK"}"#).unwrap_err(), private);
    assert_eq!(take(br#"{"country": "Denmark"}"#).unwrap_err(), "the answer names no country");
    assert_eq!(take(br#"{"ip": "203.0.113.7"}"#).unwrap_err(), "the answer lacks 'country'");
    for degrees in
        [r#""nil","longitude":"nil""#, r#"0,"longitude":0"#, r#"91,"longitude":0"#, r#""NaN","longitude":1"#, "1"]
    {
        let place = take(format!(r#"{{"country_code":"dk","latitude":{degrees}}}"#).as_bytes()).unwrap();
        assert_eq!((place.country.as_str(), place.latitude, place.longitude), ("DK", None, None), "{degrees}");
    }
}

#[test]
fn states_and_provinces_have_their_own_zones() {
    let zone = |country: &str, region: &str| {
        GeoLocation { country: country.into(), region: Some(region.into()), latitude: None, longitude: None }.zone()
    };
    for (country, region, expected) in [
        ("US", "California", "US-CA"),
        ("US", "District of Columbia", "US-DC"),
        ("US", "Atlantis", "US"),
        ("CA", "Québec", "CA-QC"),
        ("CA", "Newfoundland and Labrador", "CA-NL"),
        ("CN", "Guangdong", "CN-GD"),
        ("DK", "California", "DK"),
        ("GE", "Georgia", "GE"),
        ("US", "", "US"),
    ] {
        assert_eq!(zone(country, region).as_deref(), Some(expected), "{country} {region}");
    }
    assert_eq!(zone("ZZ", "California"), None);
}
