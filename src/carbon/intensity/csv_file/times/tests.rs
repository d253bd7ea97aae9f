use super::*;

const FIVE_PM: f64 = 1_795_971_600.0; // 2026-11-29T17:00Z

fn read(cell: &str) -> Option<f64> {
    let mut evidence = TimeEvidence::default();
    evidence.see(2, cell);
    let stamp = evidence.format().ok()?.stamp(cell)?;
    Some(stamp.civil_s - stamp.offset_s.unwrap_or(0.0))
}

#[test]
fn common_forms_of_times_are_read() {
    for cell in [
        "2026-11-29T17:00Z",
        "2026-11-29T17:00:00Z",
        "2026-11-29T17:00:00.000Z",
        "2026-11-29T17:00:00,000Z",
        "2026-11-29t17:00z",
        "2026-11-29 17:00",
        "2026-11-29 17:00:00",
        "2026-11-29 17:00:00.000000",
        "2026-11-29T18:00+01:00",
        "2026-11-29 18:00:00+0100",
        "2026-11-29 18:00:00 +01:00",
        "2026-11-29T12:00:00-05",
        "2026-11-29T12:00:00−05:00",
        "2026-11-29T18:00:00+01:00[Europe/Paris]",
        "2026-11-29 17:00:00 UTC",
        "2026-11-29 17:00 GMT",
        "2026-11-29 18:00 CET",
        "2026-11-29 19:00 CEST",
        "2026-11-29 18:00 MEZ",
        "2026-11-29 18:00 UTC+1",
        "2026-11-29 12:00 EST",
        "2026/11/29 17:00",
        "2026/11/29 17:00:00",
        "29/11/2026 17:00",
        "29/11/2026, 17:00:00",
        "11/29/2026 17:00",
        "11/29/2026 5:00 PM",
        "29-11-2026 17:00",
        "29.11.2026 17:00",
        "29.11.26 17:00",
        "2026-11-29 17:00 - 2026-11-29 18:00",
        "29.11.2026 17:00 - 29.11.2026 18:00",
        "2026-11-29 17:00 - 18:00",
        "1795971600",
        "1795971600.0",
        "1795971600000",
    ] {
        assert_eq!(read(cell), Some(FIVE_PM), "{cell}");
    }
    assert_eq!(read("2026-11-29"), Some(FIVE_PM - 17.0 * HOUR_S));
    assert_eq!(read("2026-11-28 24:00"), Some(FIVE_PM - 17.0 * HOUR_S));
    assert_eq!(read("2024-02-29T00:00Z"), Some(1_709_164_800.0));
    for cell in [
        "",
        "noon",
        "12",
        "2026-13-02T12:00Z",
        "2026-02-29",
        "2026-11-29T17",
        "2026-11-29T25:00",
        "2026-11-29T17:61",
        "2026-11-29T17:00+1:000",
        "2026-11-29 17:00 Atlantis",
        "2026-11-29 17:00 CST",
        "03/04/2026 12:00",
        "1/2/26",
        "nan",
        "inf",
        "-1795971600",
        "1.2.3.4",
        "2026112917",
        "202611291700",
        "20261129170000",
        "13:00 PM",
        "é",
        "2026-11-29é",
    ] {
        assert_eq!(read(cell), None, "{cell}");
    }
}

#[test]
fn other_rows_decide_which_number_is_the_day() {
    let format = |cells: &[&str]| {
        let mut evidence = TimeEvidence::default();
        cells.iter().zip(2..).for_each(|(cell, line)| evidence.see(line, cell));
        evidence.format()
    };
    let order = |cells: &[&str]| format(cells).unwrap().order;
    assert_eq!(order(&["12/11/2026 23:00", "13/11/2026 00:00"]), Some(Order::DayFirst));
    assert_eq!(order(&["11/12/2026 23:00", "11/13/2026 00:00"]), Some(Order::MonthFirst));
    assert_eq!(order(&["2026/11/12"]), None);
    assert!(format(&["03/04/2026 00:00"]).unwrap_err().starts_with("line 2: '03/04/2026 00:00' can be read"));
    assert!(format(&["13/11/2026", "11/13/2026"]).unwrap_err().starts_with("line 3: the month is first"));
}

#[test]
fn intervals_differ_from_offsets() {
    let cells = ["2026-11-29 17:00-18:00", "2026-11-29 18:00-19:00", "2026-11-29 23:00-00:00"];
    let mut evidence = TimeEvidence::default();
    cells.iter().for_each(|cell| evidence.see(2, cell));
    let format = evidence.format().unwrap();
    let expected = TimeStamp { civil_s: FIVE_PM, offset_s: None, end_s: Some(FIVE_PM + HOUR_S) };
    assert_eq!(format.stamp(cells[0]), Some(expected));
    assert_eq!(format.stamp(cells[2]).unwrap().end_s, Some(FIVE_PM + 7.0 * HOUR_S));
    assert_eq!(read("2026-11-29 12:00-05:00"), Some(FIVE_PM), "alone it is an offset");
    let format = TimeFormat::default();
    assert_eq!(format.stamp_of("2026-11-29", "17:00-18:00"), Some(expected));
    assert_eq!(format.stamp_of("2026-11-29", "23:00-00:00").unwrap().end_s, Some(FIVE_PM + 7.0 * HOUR_S));
    assert_eq!(format.stamp_of("2026-11-29", "17:00").unwrap().civil_s, FIVE_PM);
    assert!(is_date("29.11.2026") && !is_date("29.11.2026 17:00") && is_hours("17:00") && is_hours("17:00-18:00"));
}
