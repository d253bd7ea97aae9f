use super::*;
use crate::carbon::provider::registry::choose;
use crate::carbon::provider::registry::tests::{chosen, found, refused, round, sample};

/// 2026-03-02T13:00Z.
const ONE: f64 = 1_772_456_400.0;

fn taken(location: &str, answer: u8, body: &[u8]) -> Result<Vec<IntensitySlot>, String> {
    chosen(NAME, location).take(&HttpRequest::get(answer, ""), body)
}

#[test]
fn round_requests_one_past_day_and_the_prognosis_in_utc() {
    let rest = "sort=Minutes5UTC&limit=0&timezone=UTC";
    let paths = |location: &str| {
        round(&mut *chosen(NAME, location)).into_iter().map(|request| request.path).collect::<Vec<_>>()
    };
    let filter = "filter=%7B%22PriceArea%22%3A%5B%22DK1%22%5D%7D";
    assert_eq!(
        paths("dk-dk1"),
        [
            format!("/dataset/CO2Emis?start=2026-03-01T13:01&{filter}&{rest}"),
            format!("/dataset/CO2EmisProg?start=2026-03-02T12:56&{filter}&{rest}"),
        ]
    );
    let filter = "filter=%7B%22PriceArea%22%3A%5B%22DK1%22%2C%22DK2%22%5D%7D";
    assert_eq!(paths("DK")[0], format!("/dataset/CO2Emis?start=2026-03-01T13:01&{filter}&{rest}"));
}

#[test]
fn locations_are_denmark_and_its_halves() {
    for (location, zone) in
        [("DK1", "DK-DK1"), ("dk-dk2", "DK-DK2"), ("DK", "DK"), ("DNK", "DK"), ("azure:denmarkeast", "DK-DK2")]
    {
        let provider = chosen(NAME, location);
        assert_eq!((provider.zone(), provider.static_zone()), (zone.into(), zone.into()), "{location}");
    }
    assert!(
        chosen(NAME, "DK").source().contains("mean of DK1 and DK2") && !chosen(NAME, "DK1").source().contains("mean")
    );
    for bad in ["FR", "DK3", "DK-DK3", "NO1", "WORLD"] {
        assert!(
            refused(NAME, bad).starts_with(&format!("location='{bad}': energidataservice knows Denmark only: DK1")),
            "{bad}"
        );
    }
    for (town, north, east, zone) in [
        ("Copenhagen", 55.68, 12.57, "DK-DK2"),
        ("Rønne on Bornholm", 55.1, 14.7, "DK-DK2"),
        ("Korsør", 55.33, 11.14, "DK-DK2"),
        ("Nyborg", 55.31, 10.79, "DK-DK1"),
        ("Aarhus", 56.16, 10.2, "DK-DK1"),
        ("Grenaa", 56.41, 10.93, "DK-DK1"),
        ("Anholt", 56.71, 11.56, "DK-DK1"),
        ("Gilleleje", 56.12, 12.31, "DK-DK2"),
    ] {
        let location = found("DK", "", north, east);
        assert_eq!(choose(NAME, RunLocation::Found(&location), None).unwrap().zone(), zone, "{town}");
    }
    let nowhere = GeoLocation { country: "DK".into(), region: None, latitude: None, longitude: None };
    assert_eq!(choose(NAME, RunLocation::Found(&nowhere), None).unwrap().zone(), "DK");
}

#[test]
fn slots_are_in_order_of_time() {
    let slots = taken("DK1", REALISED, &sample("energidataservice_CO2Emis_200.json")).unwrap();
    let step =
        |from: f64, g_per_kwh| IntensitySlot { from, to: from + 300.0, g_per_kwh, quality: IntensityQuality::Actual };
    assert_eq!(slots, [step(ONE - 300.0, 119.0), step(ONE, 118.0)]);
}

#[test]
fn mean_covers_instants_of_both_halves() {
    let prognosis = sample("energidataservice_CO2EmisProg_200.json");
    let slots = taken("DK", PROGNOSIS, &prognosis).unwrap();
    assert_eq!((slots.len(), slots[0].from, slots[0].g_per_kwh), (12, ONE, 102.0));
    assert_eq!((slots[11].from, slots[11].to, slots[11].g_per_kwh), (ONE + 3300.0, ONE + 3600.0, 135.0));
    assert!(slots.iter().all(|slot| slot.quality == IntensityQuality::Forecast));
    let holed = String::from_utf8(prognosis).unwrap().replace("107.0", "null");
    let slots = taken("DK", PROGNOSIS, holed.as_bytes()).unwrap();
    assert_eq!((slots.len(), slots[1].from), (11, ONE + 600.0), "13:05 has DK1 alone");
}

#[test]
fn another_area_or_data_set_is_an_error() {
    let (realised, prognosis) =
        (sample("energidataservice_CO2Emis_200.json"), sample("energidataservice_CO2EmisProg_200.json"));
    assert_eq!(taken("DK1", PROGNOSIS, &prognosis).unwrap_err(), "the answer is for another price area than requested");
    assert_eq!(taken("DK2", REALISED, &realised).unwrap_err(), "the answer is for another price area than requested");
    assert_eq!(taken("DK1", PROGNOSIS, &realised).unwrap_err(), "the answer is another data set than requested");
    assert_eq!(taken("DK", PROGNOSIS, &sample("energidataservice_empty_200.json")), Ok(vec![]));
    assert_eq!(taken("DK", REALISED, &sample("energidataservice_400.json")).unwrap_err(), "the answer lacks 'records'");
}
