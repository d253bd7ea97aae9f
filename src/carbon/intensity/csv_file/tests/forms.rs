//! Files in the forms that common programs write.

use super::*;

/// Each form is 123.4 at 16:00Z and 130.1 at 17:00Z.
#[test]
fn table_is_read_in_many_forms() {
    let forms = [
        "time,g_per_kwh\n2026-11-29T16:00Z,123.4\n2026-11-29T17:00Z,130.1\n",
        "time;g_per_kwh\n2026-11-29T16:00Z;123,4\n2026-11-29T17:00Z;130,1\n",
        "time;g_per_kwh\r\n2026-11-29T16:00Z;123.4\r\n2026-11-29T17:00Z;130.1",
        "time\tg_per_kwh\n2026-11-29T16:00Z\t123,4\n2026-11-29T17:00Z\t130,1\n",
        "time|g_per_kwh\n2026-11-29T16:00Z|123.4\n2026-11-29T17:00Z|130.1\n",
        "time,g_per_kwh\n2026-11-29T16:00Z,\"123,4\"\n2026-11-29T17:00Z,\"130,1\"\n",
        "\"time\",\"g_per_kwh\"\r\n\"2026-11-29T16:00Z\",\"123.4\"\r\n\"2026-11-29T17:00Z\",\"130.1\"\r\n",
        "time, g_per_kwh\n2026-11-29T16:00Z, \"123.4\"\n 2026-11-29T17:00Z , 130.1 \n",
        "time,g_per_kwh,source\n2026-11-29T16:00Z,123.4,\"Energinet, DK\"\n2026-11-29T17:00Z,130.1,\"Energinet, DK\"\n",
        "time,source,g_per_kwh\n2026-11-29T16:00Z,\"Energinet, DK\",123.4\n2026-11-29T17:00Z,\"Energinet\nDK\",130.1\n",
        "# a remark\n\n \ntime,g_per_kwh\n# another, \"one\n2026-11-29T16:00Z,123.4\n,\n2026-11-29T17:00Z,130.1\n",
        "Grid export, Denmark\nCreated: 2026-11-30\n\ntime,g_per_kwh\n2026-11-29T16:00Z,123.4\n2026-11-29T17:00Z,130.1\n",
        "time,g_per_kwh\r2026-11-29T16:00Z,123.4\r2026-11-29T17:00Z,130.1\r",
        "2026-11-29T16:00Z,123.4\n2026-11-29T17:00Z,130.1\n",
        "2026-11-29T16:00Z;123,4\n2026-11-29T17:00Z;130,1\n",
        "timestamp,carbon_intensity\n2026-11-29T16:00Z,123.4\n2026-11-29T17:00Z,130.1\n",
        "datetime;co2\n2026-11-29 16:00;123,4\n2026-11-29 17:00;130,1\n",
        "time,carbon_intensity_gCO2_kWh\n2026-11-29T16:00Z,123.4\n2026-11-29T17:00Z,130.1\n",
        "time,carbon_intensity_kgco2_kwh\n2026-11-29T16:00Z,0.1234\n2026-11-29T17:00Z,0.1301\n",
        "time,CO2 (kg/MWh)\n2026-11-29T16:00Z,123.4\n2026-11-29T17:00Z,130.1\n",
        "time,CO2 [t/MWh]\n2026-11-29T16:00Z,0.1234\n2026-11-29T17:00Z,0.1301\n",
        "from,to,g_per_kwh\n2026-11-29T16:00Z,2026-11-29T17:00Z,123.4\n2026-11-29T17:00Z,2026-11-29T18:00Z,130.1\n",
        "Datetime (UTC),Carbon intensity (gCO2/kWh)\n2026-11-29 16:00:00,123.4\n2026-11-29 17:00:00,130.1\n",
        "Date (GMT+1),co2\n2026-11-29 17:00,123.4\n2026-11-29 18:00,130.1\n",
        "time,co2\n2026-11-29 17:00 CET,123.4\n2026-11-29 18:00 CET,130.1\n",
        "time,co2\n2026-11-29 16:00:00 UTC,123.4\n2026-11-29 17:00:00 UTC,130.1\n",
        "time,co2\n29/11/2026 16:00,123.4\n29/11/2026 17:00,130.1\n",
        "time,co2\n11/29/2026 4:00 PM,123.4\n11/29/2026 5:00 PM,130.1\n",
        "Datum;Uhrzeit;CO2-Intensität (g/kWh)\n29.11.2026;16:00;123,4\n29.11.2026;17:00;130,1\n",
        "Date,Time,co2\n2026-11-29,16:00-17:00,123.4\n2026-11-29,17:00-18:00,130.1\n",
        "MTU (UTC),co2\n29.11.2026 16:00 - 29.11.2026 17:00,123.4\n29.11.2026 17:00 - 29.11.2026 18:00,130.1\n",
        "time,co2\n1795968000,123.4\n1795971600,130.1\n",
        "time,co2\n1795968000000,123.4\n1795971600000,130.1\n",
        "kind,time,co2\nactual,2026-11-29T16:00Z,123.4\nactual,2026-11-29T17:00Z,130.1\n",
        "HourUTC;HourDK;CO2\n2026-11-29 16:00;2026-11-29 17:00;123,400000\n2026-11-29 17:00;2026-11-29 18:00;130,100000\n",
        ",carbon_intensity\n2026-11-29 16:00:00,123.4\n2026-11-29 17:00:00,130.1\n",
        ",time,co2\n0,2026-11-29 16:00:00,123.4\n1,2026-11-29 17:00:00,130.1\n",
        "sep=;\ntime;co2\n2026-11-29 16:00;123,4\n2026-11-29 17:00;130,1\n",
        "time,co2\n2026-11-29 16:00Z,123.4\ntime,co2\n2026-11-29 17:00Z,130.1\n",
        "unix_seconds,co2eq,co2eq_forecast\n1795968000,123.4,1\n1795971600,130.1,2\n",
        "from,to,intensity.forecast,intensity.actual,intensity.index\n2026-11-29T16:00Z,2026-11-29T16:30Z,1,123.4,low\n\
            2026-11-29T17:30Z,2026-11-29T18:00Z,2,130.1,low\n",
        "zone,carbonIntensity,datetime,emissionFactorType,isEstimated\nDE,123.4,2026-11-29T16:00:00.000Z,lifecycle,false\n\
            DE,130.1,2026-11-29T17:00:00.000Z,lifecycle,true\n",
        "datetime,timestamp,zone_name,carbon_intensity_avg,carbon_intensity_import_avg\n2026-11-29 17:00:00,1795968000,DE,123.4,9\n\
            2026-11-29 18:00:00,1795971600,DE,130.1,9\n",
        "nature;date;heure;date_heure;taux_co2\nx;2026-11-29;17:00;2026-11-29T17:00:00+01:00;123,4\n\
            x;2026-11-29;18:00;2026-11-29T18:00:00+01:00;130,1\n",
        "timestamp,price (EUR/MWh),carbon_intensity,carbon_intensity_forecast\n2026-11-29T16:00Z,9,123.4,1\n2026-11-29T17:00Z,9,130.1,2\n",
    ];
    for text in forms {
        let utf16: Vec<u8> = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let latin1: Vec<u8> = text.chars().map(|c| c as u8).collect();
        for bytes in [text.as_bytes(), &utf16, &latin1, format!("\u{feff}{text}").as_bytes()] {
            let slots = parse(bytes, None, 1_800_000_000.0).unwrap_or_else(|why| panic!("{text}: {why}")).slots;
            let is = ["2026-11-29T16:00Z", "2026-11-29T17:30Z"].map(|time| at(&slots, time).unwrap_or(f64::NAN));
            assert!((is[0] - 123.4).abs() < 1e-9 && (is[1] - 130.1).abs() < 1e-9, "{text}: {is:?}");
        }
    }
}

#[test]
fn numbers_with_thousands() {
    for (text, expected) in [
        ("time,g_per_kwh\n2026-03-02T12:00Z,\"1,234.5\"\n2026-03-02T13:00Z,\"1,250.0\"\n", [1234.5, 1250.0]),
        ("time;g_per_kwh\n2026-03-02T12:00Z;1.234,5\n2026-03-02T13:00Z;1.250\n", [1234.5, 1250.0]),
        ("time;g_per_kwh\n2026-03-02T12:00Z;1 234,5\n2026-03-02T13:00Z;1\u{a0}250\n", [1234.5, 1250.0]),
        ("time,g_per_kwh\n2026-03-02T12:00Z,\"1,234\"\n2026-03-02T13:00Z,99.5\n", [1234.0, 99.5]),
        ("time,g_per_kwh\n2026-03-02T12:00Z,\"1,234\"\n2026-03-02T13:00Z,\"99,5\"\n", [1.234, 99.5]),
        ("time,lb/MWh aoer\n2026-03-02T12:00Z,1000\n2026-03-02T13:00Z,0\n", [453.592_37, 0.0]),
    ] {
        let slots = parsed(text);
        assert_eq!(slots.iter().map(|slot| slot.g_per_kwh).collect::<Vec<_>>(), expected, "{text}");
    }
}

#[test]
fn empty_cells_are_gaps() {
    for hole in ["", "NA", "n/a", "NaN", "null", "None", "-", "—", "\"\""] {
        let slots =
            parsed(&format!("time,g_per_kwh\n2026-03-02T12:00Z,1\n2026-03-02T13:00Z,{hole}\n2026-03-02T14:00Z,3\n"));
        let figures: Vec<_> = slots.iter().map(|slot| (slot.from - NOON, slot.to - NOON, slot.g_per_kwh)).collect();
        assert_eq!(figures, [(0.0, HOUR, 1.0), (2.0 * HOUR, 3.0 * HOUR, 3.0)], "{hole}");
    }
}

#[test]
fn ambiguous_and_faulty_cells_are_refused_by_line() {
    for (text, line, words) in [
        ("time,g_per_kwh\n2026-03-02T12:00Z,123,4\n", "line 2: 3 cells, but 2 columns", "\"1,234.5\""),
        ("2026-03-02T12:00Z,123,4\n", "line 1: kind '4'", "actual"),
        ("2026-03-02T12:00Z,1,actual,5\n", "line 1: 4 cells, but 3 columns", "quotes"),
        (
            "time,g_per_kwh\n2026-03-02T12:00Z,5\n2026-03-02T13:00Z\n",
            "line 3: has 1 of 2 cells, and none for 'g_per_kwh'",
            "for each heading",
        ),
        ("time,g_per_kwh\n2026-03-02T12:00Z,\"1,234\"\n", "line 2: '1,234' can be read as 1234 and as 1.234", "1.2340"),
        ("time;g_per_kwh\n2026-03-02T12:00Z;1.234\n", "line 2: '1.234' can be read as 1.234 and as 1234", "1.2340"),
        (
            "time,g_per_kwh\n2026-03-02T12:00Z,1.5\n2026-03-02T13:00Z,\"1,5\"\n",
            "line 3: '1,5' has a decimal comma",
            "line 2",
        ),
        (
            "time,co2\n03/04/2026 12:00,5\n04/04/2026 12:00,5\n",
            "line 2: '03/04/2026 12:00' can be read",
            "2026-11-29 17:00Z",
        ),
        (
            "time,co2,carbon_intensity\n2026-03-02T12:00Z,5,6\n",
            "line 1: both columns 'co2' and 'carbon_intensity'",
            "g_per_kwh",
        ),
        (
            "time,carbon_intensity\n2026-03-02T12:00Z,0.85\n",
            "line 1: column 'carbon_intensity' names no unit",
            "kg_per_kwh",
        ),
        ("time,co2 (oz/kWh)\n2026-03-02T12:00Z,5\n", "line 1: column 'co2 (oz/kWh)' has an unknown unit", "kg/MWh"),
        (
            "from,to,co2\n2026-03-02T12:00Z,2026-03-02T12:00Z,5\n",
            "line 2: the end is not after the start",
            "start first",
        ),
        ("HourDK,co2\n2026-03-02 12:00,5\n", "line 2: '2026-03-02 12:00' in column 'HourDK' is local time", "+02:00"),
        ("time,co2\n2026-03-02T12:00Z,\"5\n2026-03-02T13:00Z,6\n", "line 2: a quote opens in this row", "two quotes"),
        (
            "time,co2,x\n2026-03-02T12:00Z,5,\"y\n2026-03-02T13:00Z,6,z\n",
            "line 2: a quote opens in this row",
            "two quotes",
        ),
        ("time,co2\n2026-03-02T12:00Z,\"5\n6\"\n", "line 2: '5 6' is not an intensity", "0 to 10000"),
        ("time,co2_aoer\n2026-03-02T12:00Z,800\n", "line 1: column 'co2_aoer' has an unknown unit, or none", "lb/MWh"),
        ("time,co2\n2026112917,5\n", "line 2: '2026112917' is not a time", "2026-03-02T13:00Z"),
        (
            "time,co2,Data estimated\n2026-03-02T12:00Z,5,maybe\n",
            "line 2: 'maybe' in the column of estimates",
            "true or false",
        ),
        (
            "time,zone,co2\n2026-03-02T12:00Z,DK1,5\n2026-03-02T12:00Z,DK2,5\n",
            "line 1: the file holds figures of 2 zones (DK1, DK2)",
            "location=DK1",
        ),
        ("{\"zone\":\"DE\"}", "is JSON", "intensity=electricitymaps"),
    ] {
        let why = refused(text);
        assert!(why.starts_with(line) && why.contains(words), "{text}: {why}");
    }
}

#[test]
fn local_times_over_a_change_of_the_clocks_are_refused() {
    let autumn = "time,g_per_kwh\n2026-10-25 01:00,1\n2026-10-25 02:00,2\n2026-10-25 02:00,3\n2026-10-25 03:00,4\n";
    let why = refused(autumn);
    assert!(why.starts_with("line 4: 2026-10-25 02:00 occurs twice, in line 3 too, as in local time"), "{why}");
    assert!(why.contains("2026-10-25T02:00+02:00"), "{why}");
    assert!(refused(&autumn.replace(",3", ",2")).starts_with("line 4: 2026-10-25 02:00 occurs twice"));
    let spring = "time,g_per_kwh\n2026-03-29 00:00,1\n2026-03-29 01:00,2\n2026-03-29 03:00,4\n2026-03-29 04:00,5\n";
    let why = refused(spring);
    assert!(why.starts_with("line 4: 2026-03-29 01:00 is followed by 2026-03-29 03:00, as in local time"), "{why}");
    let quarters = |skips: bool| {
        let rows = (0..96).filter(|n| !skips || !(8..12).contains(n));
        let rows = rows.map(|n| format!("29.03.2026 {:02}:{:02};{n}\n", n / 4, n % 4 * 15));
        format!("Datum;co2 (g/kWh)\n{}", rows.collect::<String>())
    };
    assert!(refused(&quarters(true)).contains("2026-03-29 01:45 is followed by 2026-03-29 03:00"));
    assert_eq!(parsed(&quarters(false)).len(), 96, "without a hole it is UTC");
    for sure in ["time (UTC)", "datetime_utc", "HourUTC"] {
        assert_eq!(parsed(&autumn.replacen("time", sure, 1)).len(), 4, "a heading decides");
        assert_eq!(parsed(&spring.replacen("time", sure, 1)).len(), 4, "a heading decides");
    }
    assert!(refused(&autumn.replacen("time", "time (CET)", 1)).contains("02:00 occurs twice"));
    let elsewhen = "time,g_per_kwh\n2026-10-20 01:00,1\n2026-10-20 03:00,2\n2026-10-20 04:00,2\n2026-10-20 04:00,2\n";
    assert_eq!(parsed(elsewhen).len(), 4, "a hole or a repeated line on another day is no sign");
    let offsets = "time,co2\n2026-10-25T02:00+02:00,2\n2026-10-25T02:00+01:00,3\n2026-10-25T03:00+01:00,4\n";
    let slots = parsed(offsets);
    assert_eq!(at(&slots, "2026-10-25T00:30Z").zip(at(&slots, "2026-10-25T01:30Z")), Some((2.0, 3.0)));
}

#[test]
fn providers_files_are_read() {
    let electricity_maps = "Datetime (UTC),Country,Zone name,Zone id,Carbon intensity gCO₂eq/kWh (direct),Carbon intensity gCO₂eq/kWh (Life \
        cycle),Carbon-free energy percentage (CFE%),Renewable energy percentage (RE%),Data source,Data estimated,Data estimation method\n\
        2026-11-29 16:00:00,Denmark,West Denmark,DK-DK1,101.12,151.34,70.1,70.1,energinet.dk,false,\n\
        2026-11-29 17:00:00,Denmark,West Denmark,DK-DK1,111.12,161.34,68.1,68.1,energinet.dk,true,MEASURED\n";
    let contents = parse(electricity_maps.as_bytes(), None, 1_800_000_000.0).unwrap();
    let figures: Vec<_> = contents.slots.iter().map(|slot| (slot.g_per_kwh, slot.quality)).collect();
    assert_eq!(figures, [(151.34, IntensityQuality::Actual), (161.34, IntensityQuality::Estimated)]);
    let uk = "datetime,actual,forecast,index\n2026-11-29T16:00Z,150,148,moderate\n2026-11-29T17:00Z,,152,moderate\n";
    let contents = parse(uk.as_bytes(), None, 1_800_000_000.0).unwrap();
    let is = ["2026-11-29T16:30Z", "2026-11-29T17:30Z"].map(|time| at(&contents.slots, time));
    assert_eq!(is, [Some(150.0), Some(152.0)]);
    assert_eq!((contents.remarks.zone.as_deref(), contents.remarks.basis), (Some("GB"), Some(EmissionsBasis::Direct)));
}

#[test]
fn files_of_several_zones_give_the_run_s_zone() {
    let regions = "datetime,North Scotland,South Scotland,London,GB\n2026-03-02T12:00:00Z,10,20,130,150\n";
    let of = |text: &str, zone| {
        let contents = parse(text.as_bytes(), zone, NOON)?;
        Ok::<_, String>((contents.slots[0].g_per_kwh, contents.remarks.zone.unwrap_or_default()))
    };
    assert_eq!(of(regions, Some("GB-13")), Ok((130.0, "GB-13".into())));
    assert_eq!(of(regions, Some("London")), Ok((130.0, "GB-13".into())));
    assert_eq!(of(regions, None), Ok((150.0, "GB".into())));
    let why = of(&regions.replace(",GB", ",x"), None).unwrap_err();
    assert!(why.contains("none for GB; set location= to one of GB-1 (North Scotland)"), "{why}");
    let zones = "time,zone,co2 (g/kWh)\n2026-03-02T12:00Z,DE,300\n2026-03-02T12:00Z,FR,40\n2026-03-02T13:00Z,FR,41\n";
    assert_eq!(of(zones, Some("fr")), Ok((40.0, "FR".into())));
}
