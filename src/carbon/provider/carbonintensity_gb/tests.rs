use super::*;
use crate::carbon::provider::registry::choose;
use crate::carbon::provider::registry::tests::{NOW, chosen, found, refused, round, sample};

/// 2026-03-02T13:00Z.
const ONE: f64 = 1_772_456_400.0;

fn paths(location: &str) -> Vec<String> {
    round(&mut *chosen(NAME, location)).into_iter().map(|request| request.path).collect()
}

fn taken(location: &str, now: f64, name: &str) -> Result<Vec<IntensitySlot>, String> {
    let mut provider = chosen(NAME, location);
    let request = provider.next(now).unwrap();
    provider.take(&request, &sample(name))
}

#[test]
fn round_requests_one_past_day_and_two_future_days() {
    assert_eq!(paths("GB"), ["/intensity/2026-03-02T13:01Z/pt24h", "/intensity/2026-03-02T13:01Z/fw48h"]);
    let by_postcode = |outward: &str| {
        ["pt24h", "fw48h"].map(|span| format!("/regional/intensity/2026-03-02T13:01Z/{span}/postcode/{outward}"))
    };
    for location in ["GB-EC1A", "gb-ec1a 1bb", "UK-EC1A1BB"] {
        assert_eq!(paths(location), by_postcode("EC1A"), "{location}");
    }
    for (location, outward) in
        [("GB-M1", "M1"), ("GB-M1 1AE", "M1"), ("GB-B338TH", "B33"), ("GB-CR26XH", "CR2"), ("GB-W1A0AX", "W1A")]
    {
        assert_eq!(paths(location), by_postcode(outward), "{location}");
    }
    assert_eq!(paths("GB-13")[1], "/regional/intensity/2026-03-02T13:01Z/fw48h/regionid/13");
    let mut provider = chosen(NAME, "GB");
    assert_eq!((round(&mut *provider).len(), round(&mut *provider).len()), (2, 2));
}

#[test]
fn locations_are_the_country_its_parts_and_its_clouds() {
    for location in ["GB", "uk", "GBR", "aws:eu-west-2", "azure:ukwest"] {
        let provider = chosen(NAME, location);
        assert_eq!((provider.zone(), provider.static_zone()), ("GB".into(), "GB".into()), "{location}");
    }
    assert_eq!((chosen(NAME, "gb-ec1a 1bb").zone(), chosen(NAME, "uk-18").zone()), ("GB-EC1A".into(), "GB-18".into()));
    for bad in [
        "FR",
        "GB-0",
        "GB-19",
        "GB-999",
        "GB-",
        "GB-LONDON",
        "GB-EC1A/..",
        "GB-EC1A 1BBB",
        "GB-é1",
        "GB-1AA",
        "aws:eu-west-3",
    ] {
        assert!(refused(NAME, bad).starts_with(&format!("location='{bad}': carbonintensity_gb takes GB")), "{bad}");
    }
    let leeds = found("GB", "England", 53.8, -1.55);
    assert_eq!(choose(NAME, RunLocation::Found(&leeds), None).unwrap().zone(), "GB");
}

#[test]
fn recorded_day_ends_with_a_forecast_half_hour() {
    let slots = taken("GB", NOW, "carbonintensitygb_pt24h_recorded_200.json").unwrap();
    let noon = 1_679_054_400.0; // 2023-03-17T12:00Z
    let half_hour = |index: f64, g_per_kwh, quality| IntensitySlot {
        from: noon + index * 1800.0,
        to: noon + (index + 1.0) * 1800.0,
        g_per_kwh,
        quality,
    };
    assert_eq!(slots.len(), 48);
    assert_eq!(slots[0], half_hour(0.0, 183.0, IntensityQuality::Actual));
    assert_eq!(slots[46], half_hour(46.0, 162.0, IntensityQuality::Actual));
    assert_eq!(slots[47], half_hour(47.0, 168.0, IntensityQuality::Forecast));
}

#[test]
fn two_days_ahead_are_forecast() {
    let slots = taken("GB", NOW, "carbonintensitygb_fw48h_200.json").unwrap();
    assert_eq!((slots.len(), slots[0].from, slots[0].g_per_kwh), (96, ONE, 120.0));
    assert_eq!((slots[95].from, slots[95].to, slots[95].g_per_kwh), (ONE + 95.0 * 1800.0, ONE + 172_800.0, 155.0));
    assert!(slots.iter().all(|slot| slot.quality == IntensityQuality::Forecast));
    let slots = taken("GB", NOW, "carbonintensitygb_range_200.json").unwrap();
    let figures: Vec<_> = slots.iter().map(|slot| (slot.g_per_kwh, slot.quality)).collect();
    assert_eq!(
        figures,
        [(149.0, IntensityQuality::Actual), (158.0, IntensityQuality::Forecast), (171.0, IntensityQuality::Forecast)]
    );
    let slots = taken("GB", NOW, "carbonintensitygb_intensity_200.json").unwrap();
    assert_eq!(
        slots,
        [IntensitySlot { from: ONE, to: ONE + 1800.0, g_per_kwh: 149.0, quality: IntensityQuality::Actual }]
    );
    assert_eq!(taken("GB", NOW, "carbonintensitygb_empty_200.json").unwrap(), []);
}

#[test]
fn past_of_a_region_is_estimated() {
    for location in ["GB-EC1A", "GB-13"] {
        let slots = taken(location, ONE + 3600.0, "carbonintensitygb_regional_fw48h_200.json").unwrap();
        assert_eq!(
            (slots.len(), slots[0].g_per_kwh, slots[95].g_per_kwh, slots[95].to),
            (96, 100.0, 105.0, ONE + 172_800.0)
        );
        assert_eq!((slots[1].quality, slots[2].quality), (IntensityQuality::Estimated, IntensityQuality::Forecast));
        let slots = taken(location, NOW, "carbonintensitygb_regional_postcode_200.json").unwrap();
        assert_eq!(
            slots,
            [IntensitySlot { from: ONE, to: ONE + 1800.0, g_per_kwh: 141.0, quality: IntensityQuality::Forecast }]
        );
    }
    for location in ["GB-M1", "GB-12"] {
        let words = taken(location, NOW, "carbonintensitygb_regional_fw48h_200.json").unwrap_err();
        assert_eq!(words, "the answer is for another region than requested");
    }
}

#[test]
fn unknown_postcode_has_a_fix() {
    assert!(taken("GB-EC1A", NOW, "carbonintensitygb_400.json").is_err());
    assert!(chosen(NAME, "GB-ZZ9").fix(400).unwrap().contains("GB-1 to GB-18"));
    assert_eq!(chosen(NAME, "GB").fix(400), None);
}
