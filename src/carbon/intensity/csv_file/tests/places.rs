//! Which rows are used in files of several places, bases or hours.

use super::*;
use crate::carbon::intensity::csv_file::exports::is_zone;

fn of(text: &str, zone: Option<&str>) -> std::result::Result<(f64, String), String> {
    let contents = parse(text.as_bytes(), zone, NOON)?;
    Ok((contents.slots[0].g_per_kwh, contents.remarks.zone.unwrap_or_default()))
}

#[test]
fn run_s_zone_is_looked_up_before_comparison() {
    let grids = "time (UTC),zone,co2 (g/kWh)\n2026-03-02 12:00,US-MIDA-PJM,410\n2026-03-02 12:00,US-MIDW-MISO,510\n";
    for zone in ["US-MIDA-PJM", "aws:us-east-1", "us-east-1", "US-VA", "MIDA-PJM", "PJM", "Virginia"] {
        assert_eq!(of(grids, Some(zone)), Ok((410.0, "US-MIDA-PJM".into())), "{zone}");
    }
    let countries = "time (UTC),zone,co2 (g/kWh)\n2026-03-02 12:00,DE,300\n2026-03-02 12:00,DK,100\n";
    for zone in ["DK", "dk", "Denmark", "DNK"] {
        assert_eq!(of(countries, Some(zone)), Ok((100.0, "DK".into())), "{zone}");
    }
    let spelled = countries.replace("DE,", "Germany,").replace("DK,", "Denmark,");
    assert_eq!(of(&spelled, Some("DK")), Ok((100.0, "Denmark".into())));
    assert!(is_zone("GB-13", "London") && is_zone("London", "GB-13"));
    assert!(!is_zone("CA", "US-CA") && !is_zone("DE", "DK") && !is_zone("GB-13", "GB-1"));
}

#[test]
fn columns_of_zones_are_recognised() {
    for (heading, one, other, zone) in [
        ("Country", "Denmark", "Poland", "DK"),
        ("Country name", "Denmark", "Poland", "Denmark"),
        ("MapCode", "DE_LU", "FR", "DE-LU"),
        ("AreaCode", "DK1", "DK2", "DK-DK1"),
        ("Area name", "DK1", "DK2", "DK1"),
        ("Bidding zone name", "DK1", "DK2", "DK-DK1"),
        ("State", "CA", "NY", "US-CA"),
        ("State", "California", "New York", "US-CA"),
        ("Respondent", "PJM", "MISO", "US-MIDA-PJM"),
        ("Balancing Authority", "PJM", "MISO", "aws:us-east-1"),
    ] {
        for clock in ["Z", ""] {
            let rows = ["12", "13"].map(|hour| {
                format!("2026-03-02T{hour}:00{clock},{other},800\n2026-03-02T{hour}:00{clock},{one},100\n")
            });
            let text = format!("Datetime,{heading},Carbon intensity (g/kWh)\n{}", rows.concat());
            let is_known = of(&text, Some(zone)).map(|(g_per_kwh, _)| g_per_kwh);
            assert_eq!(is_known, Ok(100.0), "{heading} {zone}");
            let why = of(&text, None).unwrap_err();
            assert!(why.starts_with("line 1: the file holds figures of 2 zones"), "{why}");
        }
    }
    let states = "time (UTC),state,g_per_kwh\n2026-03-02 12:00,CA,1\n2026-03-02 12:00,NY,2\n";
    assert!(of(states, Some("CA")).unwrap_err().contains("US-CA"), "CA is Canada");
}

#[test]
fn rows_of_another_basis_are_ignored() {
    let head = "zone,carbonIntensity,datetime,emissionFactorType\n";
    let lifecycle = "DE,300,2026-03-02T12:00Z,lifecycle\n";
    let direct = "DE,250,2026-03-02T12:00Z,direct\n";
    for rows in [[lifecycle, direct].concat(), [direct, lifecycle].concat()] {
        let contents = parse(format!("{head}{rows}").as_bytes(), None, NOON).unwrap();
        let is: Vec<_> = contents.slots.iter().map(|slot| slot.g_per_kwh).collect();
        assert_eq!((is, contents.remarks.basis), (vec![300.0], Some(EmissionsBasis::Lifecycle)));
        let contents = parse(format!("# basis: direct\n{head}{rows}").as_bytes(), None, NOON).unwrap();
        let is: Vec<_> = contents.slots.iter().map(|slot| slot.g_per_kwh).collect();
        assert_eq!((is, contents.remarks.basis), (vec![250.0], Some(EmissionsBasis::Direct)));
    }
    let contents = parse(format!("{head}{direct}").as_bytes(), None, NOON).unwrap();
    assert_eq!((contents.slots[0].g_per_kwh, contents.remarks.basis), (250.0, Some(EmissionsBasis::Direct)));
}

#[test]
fn file_with_many_figures_of_one_time_is_refused() {
    for (head, clock) in [("time", "Z"), ("time (UTC)", ""), ("time", "+01:00"), ("time", "")] {
        let rows: Vec<String> = (0..8)
            .flat_map(|n| ["100", "800"].map(|figure| format!("2026-03-02T{n:02}:00{clock},x,{figure}\n")))
            .collect();
        for most in [4, 16] {
            let why = refused(&format!("{head},site,g_per_kwh\n{}", rows[..most].concat()));
            assert!(why.starts_with("line 3: 2026-03-0") && why.contains("occurs twice with two figures"), "{why}");
        }
        let days = (0..24).map(|n| format!("2026-03-02{},x,{n}\n", if clock == "Z" { "T00:00Z" } else { "" }));
        let why = refused(&format!("{head},x,g_per_kwh\n{}", days.collect::<String>()));
        assert!(why.contains("hours in a separate column"), "{why}");
    }
    let corrected = "time,g_per_kwh\n2026-03-02T12:00Z,100\n2026-03-02T12:00Z,90\n2026-03-02T13:00Z,110\n";
    assert_eq!(parsed(corrected).last().unwrap().g_per_kwh, 110.0, "a row may correct another");
}

#[test]
fn hours_may_be_whole_numbers_beside_a_date() {
    for (head, first, last) in [
        ("Date (UTC),Hour,g_per_kwh", 0, 23),
        ("Date,Hour,g_per_kwh", 0, 23),
        ("Datum,Stunde,g_per_kwh", 1, 24),
        ("Date (UTC),Hour,g_per_kwh", 1, 24),
        ("Date,Hour Ending,g_per_kwh", 1, 24),
        ("Date,HE,g_per_kwh", 5, 9),
    ] {
        for end in ["", ".0"] {
            let rows: String = (first..=last).map(|hour| format!("2026-03-02,{hour}{end},{}\n", 100 + hour)).collect();
            let slots = parsed(&format!("{head}\n{rows}"));
            let shift = if head.contains("HE") { 4 } else { 0 };
            assert_eq!(slots.len(), last - first + 1, "{head}");
            assert_eq!(slots[0].from, NOON - 12.0 * HOUR + f64::from(shift) * HOUR, "{head}");
            assert_eq!(slots.last().unwrap().g_per_kwh, 100.0 + last as f64, "{head}");
        }
    }
    for hours in [[5, 6], [0, 24]] {
        let rows = hours.map(|hour| format!("2026-03-02,{hour},{}\n", 100 + hour)).concat();
        let why = refused(&format!("Date (UTC),Hour,g_per_kwh\n{rows}"));
        assert!(why.starts_with("line 2: hour '") && why.contains("neither 0 nor 24") != why.contains("both"), "{why}");
    }
    let ends = "\"Datetime (hour ending, UTC)\",co2 (g/kWh)\n2026-03-02 13:00,100\n2026-03-02 14:00,110\n";
    assert_eq!(at(&parsed(ends), "2026-03-02T12:30Z"), Some(100.0));
}

#[test]
fn row_without_a_zone_is_used_if_there_is_one_zone() {
    let text = "time (UTC),zone,g_per_kwh\n2026-03-02 11:00,DE,100\n2026-03-02 12:00,,110\n2026-03-02 13:00,DE,120\n";
    assert_eq!(at(&parsed(text), "2026-03-02T12:30Z"), Some(110.0));
}

#[test]
fn end_is_on_the_clock_of_its_start() {
    let row = "2026-03-02 13:00;2026-03-02 14:00;2026-03-02 12:00;2026-03-02 13:00;100\n";
    let text = format!("From DK;To DK;From UTC;To UTC;CO2 (g/kWh)\n{row}");
    assert_eq!(parsed(&text).iter().map(|slot| slot.to - slot.from).collect::<Vec<_>>(), [HOUR]);
}
