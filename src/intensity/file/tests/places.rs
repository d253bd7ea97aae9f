//! Which rows of a file of several places, bases or hours count.

use super::*;
use crate::intensity::file::exports::is_zone;

fn of(text: &str, zone: Option<&str>) -> std::result::Result<(f64, String), String> {
    let contents = parse(text.as_bytes(), zone, NOON)?;
    Ok((contents.slots[0].g_per_kwh, contents.remarks.zone.unwrap_or_default()))
}

#[test]
fn the_run_s_place_is_looked_up_before_it_is_compared() {
    let grids = "time (UTC),zone,co2 (g/kWh)\n2026-03-02 12:00,US-MIDA-PJM,410\n2026-03-02 12:00,US-MIDW-MISO,510\n";
    for zone in ["US-MIDA-PJM", "aws:us-east-1", "us-east-1", "US-VA", "MIDA-PJM", "Virginia"] {
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
