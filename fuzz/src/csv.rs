//! CSV files of carbon intensity: the user's own and providers' exports.

use crate::{Target, sound};
use carbontracker::carbon::intensity::csv_file;
use carbontracker::carbon::intensity::curve::Curve;
use carbontracker::carbon::intensity::slot::{IntensitySlot, MAX_G_PER_KWH};
use carbontracker::units::instant;

/// The target.
pub const TARGET: Target = Target {
    name: "csv",
    check,
    fixtures: &[("intensity", ".csv")],
    tokens: &[
        "time,g_per_kwh,kind\n",
        "# basis: direct\n",
        "# zone: DK1\n",
        "# source: x\n",
        "2026-03-29T02:30",
        "2026-10-25 02:30",
        "+01:00",
        "Z",
        ";",
        "\t",
        "\"",
        "\"\"",
        "1.234,5",
        "forecast",
        "actual",
        "lbs/MWh",
        "\u{feff}",
        "24:00",
        "31/12/2026",
        "Datetime (UTC)",
        "datetime",
        "HourUTC;",
        "CO2Emission",
    ],
    runs: 50,
};

/// The time of the checks, s since 1970: a row after it is a forecast.
const NOW: f64 = 1.79e9;

/// Checks one input.
pub fn check(data: &[u8]) {
    for zone in [None, Some("DK1"), Some("GB")] {
        match csv_file::parse(data, zone, NOW) {
            Ok(contents) => {
                let slots = contents.slots;
                slots.iter().for_each(is_sound);
                assert!(slots.len() <= 2 * data.len(), "{} slots of {} bytes", slots.len(), data.len());
                let mut curve = Curve::default();
                curve.take(slots);
                in_order(&curve);
                returns(&curve);
            }
            Err(why) => sound::refusal(&why, data),
        }
    }
}

fn is_sound(slot: &IntensitySlot) {
    assert!(slot.from.is_finite() && slot.to.is_finite() && slot.from < slot.to, "{slot:?}");
    assert!((0.0..=MAX_G_PER_KWH).contains(&slot.g_per_kwh), "{slot:?}");
}

/// The slots of a curve do not overlap, and each instant has a figure in range.
fn in_order(curve: &Curve) {
    curve.slots().iter().for_each(is_sound);
    for pair in curve.slots().windows(2) {
        assert!(pair[0].to <= pair[1].from, "{pair:?}");
    }
}

/// A curve that is written as the user's own form has the same figures when it is read.
fn returns(curve: &Curve) {
    let is_whole = |at: f64| at.fract() == 0.0 && instant(at).is_some();
    let slots = curve.slots();
    if slots.is_empty() || !slots.iter().all(|slot| is_whole(slot.from) && is_whole(slot.to)) {
        return;
    }
    let mut text = String::from("from,to,g_per_kwh,kind\n");
    for slot in slots {
        let [from, to] = [slot.from, slot.to].map(|at| instant(at).unwrap_or_default());
        text += &format!("{from},{to},{},{}\n", slot.g_per_kwh, slot.quality.as_str());
    }
    let read = csv_file::parse(text.as_bytes(), None, NOW).unwrap_or_else(|why| panic!("{why}\n{text}"));
    let mut again = Curve::default();
    again.take(read.slots);
    assert_eq!(again.slots(), slots, "{text}");
}
