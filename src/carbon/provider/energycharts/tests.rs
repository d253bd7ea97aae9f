use super::*;
use crate::carbon::provider::registry::choose;
use crate::carbon::provider::registry::tests::{chosen, found, refused, round, sample};

/// 2026-03-02T12:00Z.
const NOON: f64 = 1_772_452_800.0;

fn taken(answer: u8, body: &[u8]) -> Result<Vec<IntensitySlot>, String> {
    chosen(NAME, "DE").take(&HttpRequest::get(answer, ""), body)
}

#[test]
fn round_requests_one_past_day_two_future_days_and_the_forecast() {
    let requests = round(&mut *chosen(NAME, "gbr"));
    let paths: Vec<_> = requests.iter().map(|request| (request.path.as_str(), request.is_optional)).collect();
    assert_eq!(
        paths,
        [
            ("/co2eq?country=uk&start=2026-03-01T13:01Z&end=2026-03-04T13:01Z", false),
            ("/co2eq_forecast?country=uk", true)
        ]
    );
    let mut provider = chosen(NAME, "DE");
    assert!(
        [f64::NAN, -1e300, 1e300].into_iter().all(|now| provider.next(now).is_some() || provider.next(now).is_some())
    );
}

#[test]
fn locations_are_countries_of_europe() {
    for (location, zone) in [
        ("de", "DE"),
        ("DEU", "DE"),
        ("UK", "GB"),
        ("GBR", "GB"),
        ("aws:eu-north-1", "SE"),
        ("gcp:europe-west4", "NL"),
        ("Germany", "DE"),
    ] {
        let provider = chosen(NAME, location);
        assert_eq!((provider.zone(), provider.static_zone()), (zone.into(), zone.into()), "{location}");
    }
    assert_eq!((chosen(NAME, "XK").zone(), chosen(NAME, "xk").static_zone()), ("XK".into(), "XK".into()));
    for bad in ["US", "WORLD", "NO-NO1", "DK-DK1", "LI", "de&country=fr", "aws:us-east-1"] {
        assert!(
            refused(NAME, bad).starts_with(&format!("location='{bad}': energycharts takes a country of Europe")),
            "{bad}"
        );
    }
    assert_eq!(choose(NAME, RunLocation::Found(&found("GB", "England", 51.5, 0.0)), None).unwrap().zone(), "GB");
    let mut known = COUNTRIES.to_vec();
    known.sort_unstable();
    known.dedup();
    assert_eq!(known.len(), COUNTRIES.len());
    assert!(COUNTRIES.iter().all(|country| zones::find(country).is_ok()));
}

#[test]
fn quarters_are_measured_or_else_forecast() {
    let slots = taken(BOTH, &sample("energycharts_co2eq_200.json")).unwrap();
    let quarter = |index: f64, g_per_kwh, quality| IntensitySlot {
        from: NOON + index * 900.0,
        to: NOON + (index + 1.0) * 900.0,
        g_per_kwh,
        quality,
    };
    assert_eq!(slots.len(), 12);
    assert_eq!(slots[0], quarter(0.0, 291.5, IntensityQuality::Actual));
    assert_eq!(slots[3], quarter(3.0, 305.1, IntensityQuality::Actual));
    assert_eq!(slots[4], quarter(4.0, 308.0, IntensityQuality::Forecast));
    assert_eq!(slots[11], quarter(11.0, 270.0, IntensityQuality::Forecast));
}

#[test]
fn measured_figures_replace_forecasts_and_slots_are_in_order() {
    let body = br#"{"unix_seconds": [1772453700, 1772452800], "co2eq": [310, null], "co2eq_forecast": [200, 290.5]}"#;
    let figures: Vec<_> =
        taken(BOTH, body).unwrap().iter().map(|slot| (slot.from, slot.g_per_kwh, slot.quality)).collect();
    assert_eq!(figures, [(NOON, 290.5, IntensityQuality::Forecast), (NOON + 900.0, 310.0, IntensityQuality::Actual)]);
}

#[test]
fn forecast_alone_is_a_forecast_under_any_list_name() {
    for name in ["co2eq", "co2eq_forecast"] {
        let body = format!(
            r#"{{"unix_seconds": [1772452800, 1772453700, 1772456400], "{name}": [300, null, 302.5], "deprecated": false}}"#
        );
        let slots = taken(FORECAST, body.as_bytes()).unwrap();
        let figures: Vec<_> = slots.iter().map(|slot| (slot.from, slot.to, slot.g_per_kwh, slot.quality)).collect();
        let (first, last) = (
            (NOON, NOON + 900.0, 300.0, IntensityQuality::Forecast),
            (NOON + 3600.0, NOON + 4500.0, 302.5, IntensityQuality::Forecast),
        );
        assert_eq!(figures, [first, last]);
    }
}

#[test]
fn lists_of_different_lengths_are_errors() {
    let error = |body: &str| taken(BOTH, body.as_bytes()).unwrap_err();
    assert_eq!(error(r#"{"unix_seconds": [1, 901]}"#), "the answer lacks 'co2eq'");
    assert_eq!(
        error(r#"{"unix_seconds": [1, 901], "co2eq": [1, 2, 3]}"#),
        "'co2eq' is not as long as the list of times in the answer"
    );
    assert_eq!(
        error(r#"{"unix_seconds": [1, null], "co2eq": [1, 2]}"#),
        "'unix_seconds' is not a list of times in the answer"
    );
    assert_eq!(error(r#"{"unix_seconds": [1, 901], "co2eq": ["1", 2]}"#), "an intensity in the answer is not a number");
    assert!(error(r#"{"unix_seconds": [1, 901], "co2eq": [-1, 2]}"#).contains("not between 0 and 10000"));
    assert_eq!(taken(BOTH, &sample("energycharts_404.json")).unwrap_err(), "the answer lacks 'unix_seconds'");
    let provider = chosen(NAME, "IS");
    assert!(provider.fix(404).unwrap().contains("IS") && provider.fix(422).unwrap().contains("IS"));
}
