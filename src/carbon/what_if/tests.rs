use super::*;
use crate::carbon::intensity::slot::{IntensityQuality, IntensitySlot};
use crate::carbon::intensity::{EmissionsBasis, IntensityKind, PowerUse};
use proptest::prelude::*;

const HOUR_S: f64 = 3600.0;
/// A time on the hour.
const NOON: f64 = 1_772_452_800.0;

fn curve(slots: impl IntoIterator<Item = (f64, f64, f64)>) -> Curve {
    let slots = slots.into_iter().map(|(from_h, to_h, g_per_kwh)| IntensitySlot {
        from: NOON + from_h * HOUR_S,
        to: NOON + to_h * HOUR_S,
        g_per_kwh,
        quality: IntensityQuality::Forecast,
    });
    let mut curve = Curve::default();
    curve.take(slots);
    curve
}

fn at(g_per_kwh: f64, basis: Option<EmissionsBasis>) -> Intensity {
    let source = "test".into();
    Intensity {
        g_per_kwh,
        kind: IntensityKind::Live,
        zone: Some("GB-13".into()),
        year: None,
        basis,
        power_use: None,
        source,
        caveat: None,
    }
}

fn run(intensity: &Intensity, kwh: Option<f64>) -> WhatIfRun<'_> {
    let co2eq_g = kwh.map(|kwh| kwh * intensity.g_per_kwh);
    WhatIfRun { of: RunPart::Used, facility_kwh: kwh, co2eq_g, duration_s: Some(HOUR_S), intensity }
}

fn zones(text: &str) -> Elsewhere {
    let zones = text.split(',').map(str::to_owned).collect();
    Elsewhere::find(&WhatIfOption::Zones(zones)).unwrap().unwrap()
}

fn what_if(elsewhere: &Elsewhere, run: WhatIfRun, own: Option<&str>) -> WhatIf {
    WhatIf::new(elsewhere, run, own, None, NOON)
}

#[test]
fn zones_are_sorted_and_compared_with_the_run() {
    let here = at(300.0, Some(EmissionsBasis::Lifecycle));
    let what_if = what_if(&zones("PL,se,SWE,FR"), run(&here, Some(2.0)), Some("DE"));
    let codes: Vec<&str> = what_if.zones.iter().map(|there| there.location.yearly.zone.as_deref().unwrap()).collect();
    assert_eq!(codes, ["SE", "FR", "PL"]);
    for there in &what_if.zones {
        let g = there.location.yearly.g_per_kwh;
        assert_eq!((there.co2eq_g, there.saves_g), (Some(2.0 * g), Some(600.0 - 2.0 * g)));
        assert!((there.saves_share.unwrap() - (1.0 - g / 300.0)).abs() < 1e-12);
    }
    assert!(what_if.zones[0].saves_g > Some(500.0) && what_if.zones[2].saves_g < Some(-500.0));
    assert_eq!((what_if.zones[0].location.name, what_if.note, what_if.start), ("Sweden", None, None));
}

#[test]
fn default_zones_hold_the_own_zone_once() {
    let usual = Elsewhere::find(&WhatIfOption::Usual).unwrap().unwrap();
    let here = at(300.0, Some(EmissionsBasis::Lifecycle));
    for (own, more) in [(Some("DK"), 1), (Some("DE"), 0), (Some("deu"), 0), (Some("aws:eu-north-1"), 1), (None, 0)] {
        assert_eq!(usual.zones(&run(&here, None), own).0.len(), DEFAULT_ZONES.len() + more, "{own:?}");
    }
    let (there, _) = usual.zones(&run(&here, Some(1.0)), None);
    assert!(there.windows(2).all(|pair| pair[0].location.yearly.g_per_kwh <= pair[1].location.yearly.g_per_kwh));
    assert!(there[0].location.yearly.g_per_kwh < 50.0 && there.last().unwrap().location.yearly.g_per_kwh > 600.0);
    assert!(there.iter().all(|there| there.location.yearly.basis == Some(EmissionsBasis::Lifecycle)));
    assert!(Elsewhere::find(&WhatIfOption::Off).unwrap().is_none());
}

#[test]
fn unknown_zone_is_refused_with_similar_ones() {
    let refused = Elsewhere::find(&WhatIfOption::Zones(vec!["SE".into(), "Swedn".into()])).unwrap_err();
    assert!(refused.message.contains("what_if='Swedn'") && refused.message.contains("SE (Sweden)"));
}

#[test]
fn savings_of_unknown_emissions_are_none() {
    let here = at(0.0, None);
    let unknown = what_if(&zones("SE"), run(&here, None), None);
    assert_eq!((unknown.zones[0].co2eq_g, unknown.zones[0].saves_g), (None, None));
    let clean = what_if(&zones("SE"), run(&here, Some(1.0)), None);
    assert!(clean.zones[0].saves_g < Some(0.0) && clean.zones[0].saves_share.is_none());
}

#[test]
fn mixed_bases_and_uses_have_a_note() {
    let note = |basis, text: &str| what_if(&zones(text), run(&at(200.0, basis), Some(1.0)), None).note;
    assert_eq!(note(Some(EmissionsBasis::Lifecycle), "SE,FR"), None);
    assert_eq!(note(Some(EmissionsBasis::Direct), "CN-GD,CN-BJ"), None);
    let direct = note(Some(EmissionsBasis::Direct), "NO,FI").unwrap();
    assert!(direct.contains("figure is direct") && direct.contains("lifecycle production of NO, FI;"), "{direct}");
    let both = note(Some(EmissionsBasis::Lifecycle), "SE,CN-GD").unwrap();
    assert!(both.contains("lifecycle production of SE") && both.contains("direct consumption of CN-GD"), "{both}");
    assert!(note(None, "SE").unwrap().contains("of no stated basis"));
    assert!(note(None, "gcp:asia-east1").is_some(), "two unknown kinds are not alike");
    assert!(note(Some(EmissionsBasis::Direct), "SE,FR,NO,DK,FI").unwrap().contains(", …"));
}

/// A run that uses a yearly average.
fn at_home(location: &str, option: &str) -> (Intensity, WhatIf) {
    let yearly = zones::yearly(location).unwrap();
    let found = what_if(&zones(option), run(&yearly, Some(1.0)), Some(location));
    (yearly, found)
}

/// The figures of all zones.
fn figures(of: &WhatIf) -> Vec<(String, f64)> {
    let figure = |there: &WhatIfZone| (there.location.yearly.zone.clone().unwrap(), there.location.yearly.g_per_kwh);
    of.zones.iter().map(figure).collect()
}

#[test]
fn grid_has_one_figure_for_all_providers() {
    let street = "aws:us-east-1,gcp:us-east4,azure:eastus,US-MIDA-PJM,US-VA";
    for home in ["aws:us-east-1", "azure:eastus2", "US-MIDA-PJM", "US-VA", "gcp:us-east4"] {
        let (yearly, found) = at_home(home, street);
        let first = found.zones[0].location.yearly.g_per_kwh;
        assert!(figures(&found).iter().all(|(_, figure)| *figure == first), "{home}: {:?}", figures(&found));
        assert!(found.zones.iter().all(|there| there.saves_g == Some(0.0)), "{home}: {:?}", figures(&found));
        assert_eq!((first, found.note), (yearly.g_per_kwh, None), "{home}");
    }
}

#[test]
fn run_of_another_kind_is_compared_by_the_kind_of_the_others() {
    // Google's own figures are of direct emissions; Norway and the world have none.
    let (yearly, found) = at_home("gcp:us-east4", "WORLD,NO,aws:us-east-1,gcp:us-east4");
    let own = found.own.as_ref().unwrap();
    assert_eq!(
        (yearly.basis, own.yearly.basis, own.yearly.power_use),
        (Some(EmissionsBasis::Direct), Some(EmissionsBasis::Lifecycle), Some(PowerUse::Consumption))
    );
    assert!((own.yearly.g_per_kwh - 396.25).abs() < 1.0 && (own.co2eq_g.unwrap() - 396.25).abs() < 1.0);
    let all: Vec<String> = figures(&found).into_iter().map(|(zone, _)| zone).collect();
    assert_eq!(all, ["NO", "aws:us-east-1", "gcp:us-east4", "WORLD"]);
    assert_eq!((found.zones[1].saves_g, found.zones[2].saves_g, found.is_rough()), (Some(0.0), Some(0.0), false));
    let note = found.note.unwrap();
    assert!(note.contains("lifecycle consumption figures") && note.contains("the run uses 323.05"), "{note}");
    // A country's production against a region's consumption.
    let (_, found) = at_home("SK", "aws:us-east-1,SK,DE");
    let own = found.own.as_ref().unwrap();
    assert_eq!((own.yearly.power_use, own.yearly.g_per_kwh), (Some(PowerUse::Consumption), 232.0));
    assert!(found.note.as_ref().unwrap().contains("(lifecycle production)"), "{:?}", found.note);
    assert!(found.zones.iter().all(|there| there.location.yearly.power_use == Some(PowerUse::Consumption)));
    // Two of Google's regions are compared by Google's figures.
    let (_, found) = at_home("gcp:us-east4", "gcp:europe-west9,aws:eu-west-3");
    assert!(found.own.is_none() && found.note.is_none());
    assert_eq!(figures(&found).iter().map(|(_, figure)| *figure).collect::<Vec<_>>(), [16.3, 16.3]);
}

#[test]
fn best_start_is_the_cleanest_known_window() {
    let day =
        curve((0..24).map(|h| (f64::from(h), f64::from(h + 1), if (14..17).contains(&h) { 50.0 } else { 200.0 })));
    let now = NOON + 600.0;
    let start = best_start(&day, now, 2.0 * HOUR_S).unwrap();
    // The first start whose run is wholly in the clean hours.
    assert_eq!((start.at, start.delay_s), (NOON + 14.0 * HOUR_S, 14.0 * HOUR_S - 600.0));
    assert_eq!((start.g_per_kwh, start.now_g_per_kwh, start.until), (50.0, 200.0, NOON + 24.0 * HOUR_S));
    assert_eq!((start.saves_share(), start.last), (Some(0.75), NOON + 22.0 * HOUR_S));
    let longer = best_start(&day, now, 8.0 * HOUR_S).unwrap();
    assert!((longer.g_per_kwh - (3.0 * 50.0 + 5.0 * 200.0) / 8.0).abs() < 1e-9);
    let even = best_start(&curve([(0.0, 30.0, 100.0)]), now, HOUR_S).unwrap();
    assert_eq!((even.at, even.saves_share()), (now, Some(0.0)));
    assert_eq!(best_start(&curve([(0.0, 30.0, 0.0)]), now, HOUR_S).unwrap().saves_share(), None);
}

#[test]
fn best_start_needs_known_hours() {
    let day = curve([(0.0, 24.0, 100.0)]);
    assert!(best_start(&Curve::default(), NOON, HOUR_S).is_none());
    assert!(best_start(&day, NOON, 24.0 * HOUR_S).is_some() && best_start(&day, NOON, 24.1 * HOUR_S).is_none());
    assert!(best_start(&day, NOON + 25.0 * HOUR_S, HOUR_S).is_none());
    assert!([0.0, -1.0, f64::NAN, f64::INFINITY].iter().all(|bad| best_start(&day, NOON, *bad).is_none()));
    assert!(best_start(&day, f64::NAN, HOUR_S).is_none() && best_start(&day, f64::NEG_INFINITY, HOUR_S).is_none());
    // Now has no figure: a figure years ahead is not a forecast.
    assert!(best_start(&day, 0.0, HOUR_S).is_none());
    // A start is never in a long gap, even if its typical day has a low intensity.
    let holed = curve([(-24.0, 6.0, 300.0), (6.0, 12.0, 200.0), (36.0, 60.0, 100.0)]);
    let start = best_start(&holed, NOON, 2.0 * HOUR_S).unwrap();
    assert_eq!(start.at, NOON + 35.0 * HOUR_S);
}

#[test]
fn rounding_delays_no_start() {
    // The intensity repeats every three hours, so the best start is within them.
    let again = curve((0..150).map(|h| (f64::from(h), f64::from(h + 1), [271.3, 183.7, 229.1][h as usize % 3])));
    for n in 0..50 {
        let start = best_start(&again, NOON + f64::from(n) * 171.3, 7.3 * HOUR_S + f64::from(n) * 0.7).unwrap();
        assert!(start.delay_s <= 3.0 * HOUR_S, "{start:?}");
    }
}

#[test]
fn best_start_is_within_a_week() {
    let slots = (0..24 * 365).map(|h| (f64::from(h), f64::from(h + 1), 10_000.0 - f64::from(h)));
    let start = best_start(&curve(slots), NOON, 10.0 * 24.0 * HOUR_S).unwrap();
    assert_eq!((start.delay_s, start.last), (MAX_DELAY_S, NOON + MAX_DELAY_S));
}

proptest! {
    /// Compares with the best of all starts, each summed by itself.
    #[test]
    fn best_start_equals_brute_force(
        slots in prop::collection::vec((0u32..300, 1u32..40, 0u32..800), 1..60),
        now in 0u32..120_000, minutes in 1u32..3000,
    ) {
        let curve = curve(slots.into_iter().map(|(from, length, g)| {
            (f64::from(from) / 4.0, f64::from(from + length) / 4.0, f64::from(g))
        }));
        let (now, duration_s) = (NOON + f64::from(now), f64::from(minutes) * 60.0);
        let until = curve.known_to().unwrap();
        // One second without a figure is allowed.
        let is_known = |at: f64| {
            let guessed = curve.pieces(at, at + duration_s).filter(|piece| piece.origin == Origin::Typical);
            at + duration_s <= until && guessed.map(|piece| piece.to - piece.from).sum::<f64>() <= 1.0
        };
        let quarters = (0..=7 * 96 + 1).map(|n| ((now / START_STEP_S).floor() + f64::from(n)) * START_STEP_S);
        let starts = std::iter::once(now).chain(quarters.filter(|at| *at > now && *at <= now + MAX_DELAY_S));
        let means = starts.filter(|at| is_known(*at)).map(|at| (at, curve.mean(at, at + duration_s).unwrap()));
        let best = means.fold(None, |best: Option<(f64, f64)>, (at, mean)| match best {
            Some((_, least)) if mean >= least - 1e-6 => best,
            _ => Some((at, mean)),
        });
        let found = best_start(&curve, now, duration_s);
        prop_assert_eq!(found.is_some(), is_known(now));
        if let Some((start, (at, mean))) = found.zip(best) {
            prop_assert!((start.g_per_kwh - mean).abs() <= 1e-5, "{start:?} {at} {mean}");
            prop_assert!(start.at <= at && is_known(start.at) && start.g_per_kwh <= start.now_g_per_kwh + 1e-9);
        }
    }
}
