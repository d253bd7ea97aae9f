//! Providers' exports over both changes of the clocks: the figure at five instants in each.

use super::*;

macro_rules! export {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/intensity/", $name)).as_slice()
    };
}

struct Case {
    bytes: &'static [u8],
    zone: Option<&'static str>,
    figures: [(&'static str, f64); 5],
    remarks: (&'static str, &'static str, Option<&'static str>),
}

fn check(case: Case, now: f64) -> Vec<IntensitySlot> {
    let Contents { slots, remarks } = parse(case.bytes, case.zone, now).unwrap();
    for (time, g_per_kwh) in case.figures {
        assert_eq!(at(&slots, time), Some(g_per_kwh), "{} {time}", case.remarks.0);
    }
    let (source, basis, zone) = case.remarks;
    let is = (remarks.source.as_deref(), remarks.basis, remarks.zone.as_deref());
    assert!(
        is.0.is_some_and(|is| is.contains(source)) && is.1.map(EmissionsBasis::as_str) == Some(basis) && is.2 == zone,
        "{is:?}"
    );
    slots
}

/// An instant after the end of all files, s since 1970.
const LATER: f64 = 1_795_000_000.0;

/// In spring 02:00 CET (01:00 UTC) becomes 03:00 CEST; in autumn 03:00 CEST (01:00 UTC) becomes 02:00 CET.
#[test]
fn electricity_maps_is_read_with_the_headings_of_both_years() {
    let remarks = ("Electricity Maps", "lifecycle", Some("DK-DK1"));
    let figures = [
        ("2026-03-28T23:30+01:00", 150.0),
        ("2026-03-29T01:59+01:00", 162.5),
        ("2026-03-29T03:00+02:00", 167.25),
        ("2026-03-29T04:59+02:00", 171.0),
        ("2026-03-29T05:00Z", 198.75),
    ];
    let slots =
        check(Case { bytes: export!("electricitymaps_spring.csv"), zone: Some("DK-DK1"), figures, remarks }, LATER);
    let estimated = slots.iter().filter(|slot| slot.quality == IntensityQuality::Estimated);
    assert_eq!(estimated.map(|slot| slot.g_per_kwh).collect::<Vec<_>>(), [186.25]);
    let figures = [
        ("2026-10-25T00:00+02:00", 150.0),
        ("2026-10-25T02:30+02:00", 162.5),
        ("2026-10-25T02:30+01:00", 167.25),
        ("2026-10-25T03:30+01:00", 171.0),
        ("2026-10-25T05:30Z", 198.75),
    ];
    check(Case { bytes: export!("electricitymaps_autumn.csv"), zone: None, figures, remarks }, LATER);
    let direct = [b"# basis: direct\n", export!("electricitymaps_autumn.csv")].concat();
    let contents = parse(&direct, None, LATER).unwrap();
    assert_eq!(
        (at(&contents.slots, "2026-10-25T02:30+01:00"), contents.remarks.basis),
        (Some(117.25), Some(EmissionsBasis::Direct))
    );
}

#[test]
fn carbonintensity_gb_prefers_actual_figures() {
    let remarks = ("NESO", "direct", Some("GB"));
    let figures = [
        ("2026-03-28T22:10Z", 150.0),
        ("2026-03-29T00:59Z", 186.0),
        ("2026-03-29T02:00+01:00", 193.0),
        ("2026-03-29T03:59Z", 229.0),
        ("2026-03-29T04:30Z", 242.0),
    ];
    let bytes = export!("carbonintensity_gb_spring.csv");
    let slots = check(Case { bytes, zone: Some("UK"), figures, remarks }, LATER);
    assert!(slots.iter().any(|slot| slot.quality == IntensityQuality::Actual && slot.g_per_kwh == 229.0));
    assert!(slots.iter().any(|slot| slot.quality == IntensityQuality::Forecast && slot.g_per_kwh == 242.0));
    let figures = [
        ("2026-10-24T23:00+01:00", 150.0),
        ("2026-10-25T01:30+01:00", 186.0),
        ("2026-10-25T01:30Z", 198.0),
        ("2026-10-25T03:45Z", 229.0),
        ("2026-10-25T04:00Z", 238.0),
    ];
    check(Case { bytes: export!("carbonintensity_gb_autumn.csv"), zone: None, figures, remarks }, LATER);
}

#[test]
fn neso_s_generation_mix_is_in_utc() {
    let remarks = ("NESO", "direct", Some("GB"));
    let figures = [
        ("2026-03-28T22:00Z", 150.0),
        ("2026-03-28T23:20Z", 162.5),
        ("2026-03-29T02:00+01:00", 193.0),
        ("2026-03-29T01:30Z", 198.8),
        ("2026-03-29T04:29Z", 235.0),
    ];
    check(Case { bytes: export!("neso_generation_mix_spring.csv"), zone: Some("GB"), figures, remarks }, LATER);
    let figures = [
        ("2026-10-25T01:30+01:00", 186.2),
        ("2026-10-25T01:00Z", 193.0),
        ("2026-10-25T01:59Z", 198.8),
        ("2026-10-25T03:00Z", 222.5),
        ("2026-10-25T04:30Z", 239.8),
    ];
    check(Case { bytes: export!("neso_generation_mix_autumn.csv"), zone: None, figures, remarks }, LATER);
}

#[test]
fn energy_charts_is_read_in_english_and_german() {
    let remarks = ("Energy-Charts", "lifecycle", None);
    let figures = [
        ("2026-03-28T23:00+01:00", 150.0),
        ("2026-03-29T01:45+01:00", 229.25),
        ("2026-03-29T03:00+02:00", 235.0),
        ("2026-03-29T03:15Z", 301.75),
        ("2026-03-29T06:45+02:00", 343.75),
    ];
    check(Case { bytes: export!("energycharts_spring.csv"), zone: Some("DE"), figures, remarks }, LATER);
    let figures = [
        ("2026-10-25T00:00+02:00", 150.0),
        ("2026-10-25T02:00+02:00", 203.5),
        ("2026-10-25T02:00+01:00", 235.0),
        ("2026-10-25T02:45+01:00", 258.75),
        ("2026-10-25T05:45+01:00", 343.75),
    ];
    check(Case { bytes: export!("energycharts_autumn.csv"), zone: None, figures, remarks }, LATER);
}

#[test]
fn energi_data_service_gives_one_area() {
    let remarks = ("Energi Data Service", "direct", Some("DK-DK1"));
    let figures = [
        ("2026-03-28T22:00Z", 150.0),
        ("2026-03-28T22:07Z", 156.75),
        ("2026-03-29T01:55+01:00", 403.75),
        ("2026-03-29T03:05+02:00", 416.25),
        ("2026-03-29T04:55Z", 747.25),
    ];
    check(Case { bytes: export!("energidataservice_spring.csv"), zone: Some("DK1"), figures, remarks }, LATER);
    let remarks = ("Energi Data Service", "direct", Some("DK-DK2"));
    let figures = [
        ("2026-10-25T00:00+02:00", 190.0),
        ("2026-10-25T02:30+02:00", 407.5),
        ("2026-10-25T02:30+01:00", 492.5),
        ("2026-10-25T03:00+01:00", 533.5),
        ("2026-10-25T04:59Z", 787.25),
    ];
    check(Case { bytes: export!("energidataservice_autumn.csv"), zone: Some("DK-DK2"), figures, remarks }, LATER);
    let figures = [
        ("2026-10-25T00:00+02:00", 150.0),
        ("2026-10-25T02:30+02:00", 162.5),
        ("2026-10-25T02:30+01:00", 167.25),
        ("2026-10-25T03:00+01:00", 171.0),
        ("2026-10-25T04:59Z", 193.0),
    ];
    check(Case { bytes: export!("energidataservice_hours_autumn.csv"), zone: None, figures, remarks }, LATER);
    let refused = parse(export!("energidataservice_spring.csv"), None, LATER).unwrap_err();
    assert!(refused.contains("2 zones (DK-DK2, DK-DK1)") && refused.contains("location=DK-DK2"), "{refused}");
    let refused = parse(export!("energidataservice_spring.csv"), Some("DK"), LATER).unwrap_err();
    assert!(refused.contains("none is location=DK;"), "{refused}");
}

#[test]
fn watttime_s_marginal_figures_are_refused() {
    for text in [
        std::str::from_utf8(export!("watttime.csv")).unwrap(),
        "timestamp,MOER version 2.0\n2026-03-28T22:00:00+00:00,0.412\n",
        "timestamp,MOER\n2026-03-28T22:00:00+00:00,912\n",
        "point_time,value\n2026-03-28T22:00:00+00:00,912\n",
        "time,marginal_emissions_kgCO2kWh\n2026-03-28T22:00Z,0.4\n",
    ] {
        let why = refused(text);
        assert!(why.contains("marginal") && why.contains("marginal=watttime:CAISO_NORTH"), "{why}");
    }
}
