//! Headings and cells in the words of providers and users: their meaning, and the errors.

use super::*;

/// A table with each delimiter, in UTF-8 and UTF-16.
fn all_marks(rows: &[&[&str]]) -> Vec<Vec<u8>> {
    let texts = [",", ";", "\t", "|"].map(|mark| {
        let cell = |cell: &&str| if cell.contains(mark) { format!("\"{cell}\"") } else { cell.to_string() };
        rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(mark) + "\n").collect::<String>()
    });
    let utf16 = |text: &String| [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    texts.iter().flat_map(|text| [text.clone().into_bytes(), utf16(text)]).collect()
}

#[test]
fn headings_with_brackets_are_read_with_each_delimiter() {
    for (time, figure) in [
        ("Datetime (UTC)", "Carbon intensity (gCO2eq/kWh)"),
        ("Datum (MEZ)", "CO2-Emissionsfaktor (g CO2eq/kWh)"),
        ("Datetime (UTC)", "Actual Carbon Intensity (gCO2/kWh)"),
        ("time [UTC]", "CO2 [g/kWh]"),
        ("Datetime", "(g/kWh) CO2 (direct)"),
        ("Datum (MEZ) (dd.mm.yyyy)", "CO2 (g/kWh) (Life cycle)"),
    ] {
        let hours = if time.contains("MEZ") { ["13:00", "14:00"] } else { ["12:00", "13:00"] };
        let [from, to] = hours.map(|hour| format!("2026-03-02 {hour}"));
        for bytes in all_marks(&[&[time, figure], &[&from, "100.5"], &[&to, "110.5"]]) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let slots = parse(&bytes, None, NOON).unwrap_or_else(|why| panic!("{text}: {why}")).slots;
            assert_eq!(at(&slots, "2026-03-02T12:30Z"), Some(100.5), "{text}");
        }
    }
}

#[test]
fn marginal_figures_are_refused_under_any_name() {
    for heading in [
        "marginalCarbonIntensity",
        "marginalCarbonIntensity (gCO2/kWh)",
        "Marginale CO2-Intensität (g/kWh)",
        "co2moer_lbs_per_mwh",
        "lrmer_co2e_g_per_kwh",
        "srmerCo2e (g/kWh)",
        "Intensité marginale CO2 (g/kWh)",
    ] {
        let why = refused(&format!("time,{heading}\n2026-03-02T12:00Z,600\n"));
        assert!(why.starts_with("line 1: the file holds marginal figures"), "{heading}: {why}");
        let both = format!("time,{heading},carbon_intensity\n2026-03-02T12:00Z,600,300\n");
        assert_eq!(parsed(&both)[0].g_per_kwh, 300.0, "{heading}");
    }
}

#[test]
fn camel_case_is_split_into_words() {
    let text =
        "datetime,carbonIntensityActual,carbonIntensityForecast\n2026-03-02T12:00Z,100,120\n2026-03-02T13:00Z,,130\n";
    let slots = parsed(text);
    assert_eq!(["12:30", "13:30"].map(|time| at(&slots, &format!("2026-03-02T{time}Z"))), [Some(100.0), Some(130.0)]);
    let contents = parse(b"datetime,carbonIntensityDirect\n2026-03-02T12:00Z,100\n", None, NOON).unwrap();
    assert_eq!((contents.slots[0].g_per_kwh, contents.remarks.basis), (100.0, Some(EmissionsBasis::Direct)));
}

#[test]
fn small_figures_without_headings_need_a_unit() {
    for mark in [',', ';', '\t', '|'] {
        let rows = format!("2026-03-02T12:00Z{mark}0.35\n2026-03-02T13:00Z{mark}0.36\n");
        assert!(refused(&rows).starts_with("line 1: no headings name a unit, and figures up to 0.36"), "{mark}");
        for remark in ["# time", "#time", "# source: me\n# Datetime (UTC)"] {
            let kg = parsed(&format!("{remark}{mark}kgCO2/kWh\n{rows}"));
            assert_eq!(kg[0].g_per_kwh, 350.0, "{remark}");
            let lb = parsed(&format!("{remark}{mark}lb/MWh\n{}", rows.replace("0.3", "80")));
            assert!((lb[0].g_per_kwh - 805.0 * 0.453_592_37).abs() < 1e-9, "{remark}");
            let why = refused(&format!("{remark}{mark}MOER (lb/MWh)\n{rows}"));
            assert!(why.contains("marginal"), "{remark}: {why}");
        }
        let zone = format!("# zone{mark}time{mark}kgCO2/kWh\nDE{mark}2026-03-02T12:00Z{mark}0.35\n");
        assert_eq!(parsed(&zone)[0].g_per_kwh, 350.0);
    }
    assert_eq!(parsed("# made: 2026, by hand\n2026-03-02T12:00Z,35\n")[0].g_per_kwh, 35.0);
}

#[test]
fn dots_mean_that_the_day_is_first() {
    let text = "Datum;CO2 g/kWh\n01.03.2026 00:00;100,5\n01.03.2026 01:00;101,5\n02.03.2026 00:00;102,5\n";
    assert_eq!(at(&parsed(text), "2026-03-01T01:30Z"), Some(101.5));
    let interval =
        "MTU (UTC),CO2 (g/kWh)\n01/03/2026 22:00 - 01/03/2026 23:00,9\n01/03/2026 23:00 - 02/03/2026 00:00,10\n";
    assert_eq!(at(&parsed(interval), "2026-03-01T23:30Z"), Some(10.0));
    let american = "MTU (UTC),CO2 (g/kWh)\n03/01/2026 23:00 - 03/02/2026 00:00,10\n";
    assert_eq!(at(&parsed(american), "2026-03-01T23:30Z"), Some(10.0));
    let unclear = "MTU (UTC),CO2 (g/kWh)\n02/01/2026 00:00 - 02/01/2026 01:00,100\n";
    assert!(refused(unclear).starts_with("line 2: '02/01/2026 00:00' can be read"), "{}", refused(unclear));
}

#[test]
fn flags_of_pandas_and_empty_last_cells_are_accepted() {
    for (flag, quality) in [
        ("NaN", IntensityQuality::Actual),
        ("0.0", IntensityQuality::Actual),
        ("1.0", IntensityQuality::Estimated),
        ("True", IntensityQuality::Estimated),
        ("-", IntensityQuality::Actual),
    ] {
        let slots = parsed(&format!("time,co2,Data estimated\n2026-03-02T12:00Z,50,{flag}\n"));
        assert_eq!(slots[0].quality, quality, "{flag}");
    }
    for text in ["time,g_per_kwh\n2026-03-02T12:00Z,50,\n", "time;g_per_kwh;;\n2026-03-02T12:00Z;50;;; \n"] {
        assert_eq!(parsed(text)[0].g_per_kwh, 50.0);
    }
}

#[test]
fn local_clocks_in_brackets_are_refused() {
    for clock in [
        "US/Eastern",
        "heure de Paris",
        "Eastern",
        "Eastern Time",
        "PT",
        "ET",
        "EST/EDT",
        "CET/CEST",
        "Ortszeit",
        "Paris time",
        "hora local",
        "America/New_York",
        "hour ending, US/Pacific",
    ] {
        let why = refused(&format!("\"Datetime ({clock})\",co2 (g/kWh)\n2026-06-01 00:00,100\n"));
        assert!(why.contains("is local time without an offset"), "{clock}: {why}");
        let offset = format!("\"Datetime ({clock})\",co2 (g/kWh)\n2026-06-01T00:00+02:00,100\n");
        assert_eq!(parsed(&offset)[0].g_per_kwh, 100.0, "{clock}");
    }
    for clock in ["ISO 8601", "date et heure", "yyyy-mm-dd", "start", "hour beginning"] {
        assert_eq!(parsed(&format!("Datetime ({clock}),co2 (g/kWh)\n2026-06-01 00:00,100\n")).len(), 1, "{clock}");
    }
}

#[test]
fn units_may_be_in_a_line_below_the_headings() {
    for (heading, below, unit, figure) in [
        ("time", "yyyy-mm-dd hh:mm", "kgCO2/kWh", "0.1"),
        ("time", "-", "g/kWh", "100"),
        ("time", "", "g/kWh", "100"),
        ("timestamp", "[UTC]", "[kg/MWh]", "100"),
        ("timestamp", "(MEZ)", "t/MWh", "0.1"),
        ("Datum (UTC)", "dd.mm.yyyy", "(g/kWh)", "100"),
        ("time", "UTC", "gCO2eq/kWh", "100"),
    ] {
        let time = if below == "(MEZ)" { "2026-03-02 13:00" } else { "2026-03-02 12:00" };
        for bytes in all_marks(&[&[heading, "co2"], &[below, unit], &[time, figure], &["2026-03-03 12:00", figure]]) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let slots = parse(&bytes, None, NOON).unwrap_or_else(|why| panic!("{text}: {why}")).slots;
            assert_eq!((slots[0].from, slots[0].g_per_kwh), (NOON, 100.0), "{text}");
        }
    }
}

#[test]
fn other_quantities_are_refused() {
    for heading in ["Carbon intensity (gCO2/Wh)", "co2 (g/BTU)", "carbon_intensity_g_per_wh"] {
        let why = refused(&format!("time,{heading}\n2026-03-02T12:00Z,10\n"));
        assert!(why.starts_with(&format!("line 1: column '{heading}' has an unknown unit")), "{why}");
    }
    for heading in ["Coal CO2 (g/kWh)", "co2_avoided_g_per_kwh", "Gas CO2 (g/kWh)", "co2SavedGrams (g/kWh)"] {
        let why = refused(&format!("time,{heading}\n2026-03-02T12:00Z,900\n"));
        assert!(why.starts_with("line 1: no headings name a time and an intensity"), "{heading}: {why}");
    }
    for heading in ["Greenhouse gas intensity (g/kWh)", "Carbon intensity (ktCO2/TWh)"] {
        assert_eq!(parsed(&format!("time,{heading}\n2026-03-02T12:00Z,300\n"))[0].g_per_kwh, 300.0, "{heading}");
    }
    let mixes = "time,residual mix gCO2/kWh,grid gCO2/kWh\n2026-03-02T12:00Z,500,300\n";
    assert_eq!(parsed(mixes)[0].g_per_kwh, 300.0);
}
