use super::*;
use crate::attribution::ledger::Mark;
use crate::carbon::facility::{ByRegion, FacilityPlace};
use crate::carbon::intensity::curve::Curve;
use crate::carbon::intensity::slot::{FigureQuality, IntensitySlot};
use crate::carbon::intensity::{EmissionsBasis, Hourly, IntensityKind};
use crate::clock::ClockSample;
use crate::forecast;
use crate::measurement::channel::{DeviceKind, MeasuringMethod, Quantity};
use crate::measurement::meter::EnergyInterval;
use crate::options::{Options, WhatIfOption};
use proptest::prelude::*;
use serde_json::Value;

/// Later than all of the run, with all of it known and no epoch open.
const NOW: Now = Now { at: 1 << 40, whole: true, open: None };

fn setting(name: Option<String>, planned: u64) -> Arc<ReportSettings> {
    Arc::new(ReportSettings {
        id: "0123456789abcdef".into(),
        name,
        host: "node \"1\"".into(),
        job: None,
        rank: Rank::default(),
        started: "2026-01-02T03:04:05Z".into(),
        interval_s: 1.0,
        planned,
        level: 0.9,
        monitored: None,
        elsewhere: Elsewhere::find(&WhatIfOption::Usual).unwrap(),
        rates: Rates::default(),
    })
}

fn books(kinds: &[DeviceKind], epochs: &[(u64, u64)], watts: &[f64]) -> RunState {
    let unavailable = vec![Unavailable { source: "rapl", reason: "a \\ reason".into(), cure: None }];
    let options = Options::parse("intensity=200", |_| None).unwrap();
    let grid = crate::carbon::select::choose(&options, |_| None).unwrap().grid;
    let mut books = RunState { unavailable, ..RunState::new(grid, 1.5) };
    for (number, &kind) in kinds.iter().enumerate() {
        books.add(
            &Channel {
                kind,
                device: "device, \"quoted\"".into(),
                id: format!("id{number}"),
                source: "test",
                method: MeasuringMethod::Power,
                quantity: Quantity::Power { max_watts: 1e5 },
                simulated: false,
                may_rest: false,
                has_memory: false,
                error: None,
                note: None,
            },
            None,
            None,
        );
    }
    let mut at = 1_000;
    for &(inside, gap) in epochs {
        books.ledger.mark(Mark::Begin(at));
        at += inside;
        books.ledger.mark(Mark::End(at));
        at += gap;
    }
    for (number, watts) in watts.iter().enumerate().take(kinds.len()) {
        books
            .ledger
            .credit(number, EnergyInterval { from: 0, to: at, joules: watts * at as f64 * 1e-9, measured: true });
    }
    books.ledger.release_all();
    books
}

fn json_of(setting: &Arc<ReportSettings>, books: &RunState) -> Value {
    serde_json::from_str(&Report::new(setting, books, NOW, Detail::Epochs).render("json").unwrap()).unwrap()
}

fn sum(of: &Value, field: &str) -> f64 {
    of.as_array().unwrap().iter().filter_map(|entry| entry[field].as_f64()).sum()
}

#[test]
fn unknown_is_null_and_never_zero() {
    let report = json_of(&setting(None, 10), &books(&[], &[(5, 5), (5, 5)], &[]));
    for pointer in [
        "/usage/energy_j",
        "/usage/co2eq_g",
        "/usage/coverage",
        "/usage/between/energy_j",
        "/epochs/0/energy_j",
        "/epochs/1/cpu_j",
        "/run/name",
    ] {
        assert_eq!(report.pointer(pointer), Some(&Value::Null), "{pointer}");
    }
    assert!(report["notes"].to_string().contains("no source of energy was found"));
    let cpu_only = json_of(&setting(None, 0), &books(&[DeviceKind::Cpu], &[(5, 0)], &[1.0]));
    assert!(cpu_only["epochs"][0]["cpu_j"].is_f64() && cpu_only["epochs"][0]["gpu_j"].is_null());
    assert!(cpu_only["forecast"].is_null());
}

#[test]
fn a_number_by_pointer_is_the_number_in_the_whole() {
    let (setting, mut books) = (
        setting(None, 10),
        books(&[DeviceKind::Cpu, DeviceKind::Dram], &[(5_000, 100), (6_000, 50), (7_000, 0)], &[100.0, 10.0]),
    );
    books.settled = 3;
    let whole = json_of(&setting, &books);
    for pointer in [
        "/usage/energy_j",
        "/usage/between/duration_s",
        "/epochs/2/energy_j",
        "/epochs/0/index",
        "/components/1/energy_j",
        "/pue",
        "/schema",
        "/intensity/g_per_kwh",
        "/power/from/0",
        "/power/dram_w/0",
        "/forecasts/1/energy_j/high",
    ] {
        let one = Report::new(&setting, &books, NOW, Detail::of(pointer)).value(pointer).unwrap();
        let there = whole.pointer(pointer).and_then(Value::as_f64).unwrap();
        assert!((one - there).abs() <= 1e-12 * there.abs(), "{pointer}: {one} {there}");
    }
    for pointer in [
        "",
        "/",
        "usage",
        "/usage",
        "/usage/energy",
        "/epochs",
        "/epochs/3/index",
        "/epochs/x/index",
        "/epochs/-1/index",
        "/run/host",
        "/epochs/0",
        "/usage/energy_j/x",
        "/~2",
    ] {
        let refused = Report::new(&setting, &books, NOW, Detail::of(pointer)).value(pointer).unwrap_err();
        assert_eq!(refused.status, Status::CT_ENOENT, "{pointer}");
    }
}

#[test]
fn formats_are_named_and_others_refused() {
    let report =
        Report::new(&setting(Some("x".into()), 3), &books(&[DeviceKind::Cpu], &[(5, 5)], &[1.0]), NOW, Detail::Epochs);
    assert!(report.render("text").unwrap().starts_with("x: 1 of 3 epochs on node"));
    assert_eq!(report.render("csv").unwrap().lines().count(), 2);
    assert!(report.render("html").unwrap().starts_with("<!DOCTYPE html>"));
    for format in ["htm", "xml", ""] {
        assert_eq!(report.render(format).unwrap_err().status, Status::CT_EINVAL);
    }
}

/// A run of two of ten epochs at 100 W, an hour each, with 48 hours known ahead: clean from the 20th on for six.
fn by_the_hour(planned: u64, options: &str) -> (Arc<ReportSettings>, RunState, Now) {
    const HOUR_NS: u64 = 3600 * 1_000_000_000;
    const NOON: f64 = 1_772_452_800.0;
    let options = Options::parse(options, |_| None).unwrap();
    let setting = Arc::into_inner(setting(None, planned)).unwrap();
    let elsewhere = Elsewhere::find(&options.what_if).unwrap();
    let setting = Arc::new(ReportSettings { elsewhere, rates: options.rates.clone(), ..setting });
    let mut books = books(&[DeviceKind::Cpu], &[(HOUR_NS, 0), (HOUR_NS, 0)], &[100.0]);
    let grid = crate::carbon::select::choose(&options, |_| None).unwrap().grid;
    let mut curve = Curve::default();
    curve.take((-4..50).map(|hour| IntensitySlot {
        from: NOON + f64::from(hour) * 3600.0,
        to: NOON + f64::from(hour + 1) * 3600.0,
        g_per_kwh: if (20..26).contains(&hour) { 100.0 } else { 400.0 },
        quality: if hour < 2 { FigureQuality::Actual } else { FigureQuality::Forecast },
    }));
    let about = Intensity { kind: IntensityKind::Live, basis: Some(EmissionsBasis::Direct), ..grid.flat.clone() };
    books.grid = GridIntensity { hourly: Some(Hourly { about, curve, failure: None }), ..grid };
    books.calendar.note(ClockSample { monotonic_ns: 0, boot_ns: 0, unix_s: NOON });
    let (epochs, between) = (books.ledger.observed(2), books.ledger.between_first(2));
    books.forecast = forecast::forecast(planned, 0.9, epochs, between, &books.progress);
    (setting, books, Now { at: 2 * HOUR_NS + 600_000_000_000, whole: true, open: None })
}

#[test]
fn what_if_tells_other_places_and_the_best_start_of_what_was_used() {
    let (setting, books, now) = by_the_hour(0, "location=GB pue=1.5");
    let report = Report::new(&setting, &books, now, Detail::Epochs);
    let json: Value = serde_json::from_str(&report.render("json").unwrap()).unwrap();
    let what_if = &json["what_if"];
    assert_eq!(what_if["of"], "used");
    // 100 W for two hours at PUE 1.5.
    let near = |value: &Value, expected: f64| {
        let value = value.as_f64().unwrap();
        assert!((value - expected).abs() < 1e-3 * expected.abs().max(1.0), "{value} is not {expected}: {what_if}");
    };
    near(&what_if["facility_energy_kwh"], 0.3);
    near(&what_if["co2eq_g"], 120.0);
    let zones = what_if["zones"].as_array().unwrap();
    let zone = |code: &str| zones.iter().find(|there| there["zone"] == code).unwrap();
    near(&zone("GB")["co2eq_g"], 0.3 * 217.41);
    near(&zone("PL")["saves_g"], 120.0 - 0.3 * 588.6);
    near(&zone("NO")["saves_share"], 1.0 - 28.11 / 400.0);
    assert_eq!((&zone("NO")["name"], &zone("NO")["basis"]), (&"Norway".into(), &"lifecycle".into()));
    assert!(zone("NO")["year"].is_u64() && zone("NO")["source"].is_string());
    assert!(what_if["note"].as_str().unwrap().contains("direct"));
    let start = &what_if["start"];
    assert_eq!((&start["at"], &start["until"]), (&"2026-03-03T08:00:00Z".into(), &"2026-03-04T14:00:00Z".into()));
    near(&start["delay_s"], 18.0 * 3600.0 - 600.0);
    near(&start["unix_s"], 1_772_452_800.0 + 20.0 * 3600.0);
    [("co2eq_g", 30.0), ("now_co2eq_g", 120.0), ("saves_g", 90.0), ("saves_share", 0.75)]
        .iter()
        .for_each(|(field, expected)| near(&start[field], *expected));
    let text = report.render("text").unwrap();
    assert!(text.contains("what if, CO2e of the run elsewhere or begun later:\n  place   NO -93 %, "), "{text}");
    let shown = text.lines().find(|line| line.starts_with("  place ")).unwrap();
    assert!(shown.matches('%').count() == 5 && !shown.contains("GB"), "{shown}");
    assert!(text.contains("IN +68 %"), "{text}");
    assert!(text.contains("by the yearly average; not on one basis: rough\n"), "{text}");
    assert!(
        text.contains("\n  start   2026-03-03 08:00 UTC saves 75 %, in 17h 50m: the best until 2026-03-04 12:00 UTC"),
        "{text}"
    );
}

#[test]
fn what_if_is_of_the_whole_run_where_there_is_a_forecast() {
    let (setting, books, now) = by_the_hour(10, "location=GB price=0.5EUR embodied_kg=100 wue=1");
    let json: Value =
        serde_json::from_str(&Report::new(&setting, &books, now, Detail::Epochs).render("json").unwrap()).unwrap();
    let (what_if, forecast) = (&json["what_if"], &json["forecast"]);
    assert_eq!(what_if["of"], "forecast");
    assert_eq!(what_if["co2eq_g"], forecast["co2eq_g"]["value"]);
    assert_eq!(what_if["duration_s"], forecast["duration_s"]["value"]);
    let duration_s = what_if["duration_s"].as_f64().unwrap();
    assert!((duration_s - 36_000.0).abs() < 1.0, "{duration_s}");
    // Ten hours, of which six may be clean.
    let share = what_if["start"]["saves_share"].as_f64().unwrap();
    assert!((share - 0.45).abs() < 1e-6, "{share}");
    let extras = &json["extras"];
    for (used, whole) in [
        ("/cost/amount", "/cost/forecast"),
        ("/water/litres", "/water/forecast_litres"),
        ("/embodied/co2eq_g", "/embodied/forecast_co2eq_g"),
    ] {
        let number = |pointer: &str| extras.pointer(pointer).and_then(Value::as_f64).unwrap();
        assert!((number(whole) / number(used) - 5.0).abs() < 1e-3, "{extras}");
    }
}

#[test]
fn a_run_that_is_done_is_what_was_used() {
    let (setting, books, now) = by_the_hour(2, "location=GB price=1");
    let json: Value =
        serde_json::from_str(&Report::new(&setting, &books, now, Detail::Epochs).render("json").unwrap()).unwrap();
    assert_eq!((&json["what_if"]["of"], &json["what_if"]["co2eq_g"]), (&"used".into(), &json["usage"]["co2eq_g"]));
    assert!(json["extras"]["cost"]["amount"].is_f64() && json["extras"]["cost"]["forecast"].is_null());
}

#[test]
fn the_text_names_a_start_only_where_there_is_a_choice() {
    let starts = |until_h: f64, g_per_kwh: f64| {
        let (setting, mut books, now) = by_the_hour(0, "location=GB");
        let mut curve = Curve::default();
        let from = books.calendar.unix_s(0);
        let quality = FigureQuality::Forecast;
        curve.take([IntensitySlot { from, to: from + until_h * 3600.0, g_per_kwh, quality }]);
        books.grid.hourly.as_mut().unwrap().curve = curve;
        let text = Report::new(&setting, &books, now, Detail::Epochs).render("text").unwrap();
        text.lines().find(|line| line.starts_with("  start ")).map(str::to_owned)
    };
    assert_eq!(starts(24.0, 100.0).as_deref(), Some("  start   now is as good as any time until 2026-03-03 10:00 UTC"));
    // The run takes two hours, and two and a bit are known.
    assert_eq!((starts(4.5, 100.0), starts(2.5, 100.0)), (None, None));
}

#[test]
fn all_zones_that_were_asked_for_are_in_the_text() {
    let (setting, books, now) = by_the_hour(0, "location=GB what_if=SE,US-CA,PL,DK,NO,FR");
    let text = Report::new(&setting, &books, now, Detail::Epochs).render("text").unwrap();
    let shown = text.lines().find(|line| line.starts_with("  place ")).unwrap();
    assert!(["SE -", "US-CA -", "PL +", "DK -", "NO -", "FR -"].iter().all(|place| shown.contains(place)), "{shown}");
}

#[test]
fn what_if_by_pointer_and_why_there_is_none() {
    let (setting, books, now) = by_the_hour(0, "location=GB");
    let ask = |setting, books, pointer: &str| Report::new(setting, books, now, Detail::of(pointer)).value(pointer);
    assert!(ask(&setting, &books, "/what_if/zones/0/saves_g").unwrap() > 0.0);
    assert!((ask(&setting, &books, "/what_if/start/saves_share").unwrap() - 0.75).abs() < 1e-9);
    let why = |setting, books, pointer: &str| {
        let refused = ask(setting, books, pointer).unwrap_err();
        assert_eq!(refused.status, Status::CT_ENOENT);
        refused.message
    };
    assert!(why(&setting, &books, "/extras/cost/amount").contains("price="));
    assert!(why(&setting, &books, "/extras/water/litres").contains("wue="));
    assert!(why(&setting, &books, "/extras/embodied/co2eq_g").contains("embodied_kg="));
    let mut flat = by_the_hour(0, "location=GB").1;
    flat.grid.hourly = None;
    assert!(why(&setting, &flat, "/what_if/start/saves_share").contains("hours to come"));
    let waiting = RunState { calendar: books.calendar.clone(), ..RunState::new(books.grid.clone(), 1.0) };
    assert!(why(&setting, &waiting, "/what_if/start/saves_share").contains("how long"));
    let (off, books, _) = by_the_hour(0, "location=GB what_if=off");
    assert!(why(&off, &books, "/what_if/start/saves_share").contains("what_if=off"));
    let report = Report::new(&off, &books, now, Detail::Epochs);
    assert!(report.render("json").unwrap().contains("\"what_if\":null"));
    assert!(!report.render("text").unwrap().contains("what if"));
}

#[test]
fn extras_are_shown_only_where_they_were_asked_for_and_stay_out_of_the_co2e() {
    let (plain, books, now) = by_the_hour(0, "location=GB");
    let (asked, ..) = by_the_hour(0, "location=GB price='0.32 EUR' wue=0.5 wue_grid=3.9 embodied_kg=164 life_years=4");
    let [off, on] = [plain, asked].map(|setting| {
        let report = Report::new(&setting, &books, now, Detail::Epochs);
        let json: Value = serde_json::from_str(&report.render("json").unwrap()).unwrap();
        (json, report.render("text").unwrap(), report.render("prometheus").unwrap())
    });
    assert_eq!(off.0["extras"], serde_json::json!({"cost": null, "water": null, "embodied": null, "marginal": null}));
    let words =
        ["carbontracker_cost_total", "carbontracker_water_litres_total", "carbontracker_embodied_co2eq_grams_total"];
    assert!(words.iter().all(|word| !off.2.contains(word) && on.2.contains(word)), "{}", on.2);
    assert!(on.2.contains("currency=\"EUR\"} 0.096") && on.2.contains("place=\"off_site\""), "{}", on.2);
    assert_eq!(off.0["usage"], on.0["usage"]);
    let extras = &on.0["extras"];
    let near = |pointer: &str, expected: f64| {
        let value = extras.pointer(pointer).and_then(Value::as_f64).unwrap();
        assert!((value - expected).abs() < 1e-4 * expected, "{pointer}: {value}");
    };
    // 0.2 kWh of the devices, 0.3 of the facility, in two hours.
    near("/cost/amount", 0.096);
    near("/water/on_site_l", 0.1);
    near("/water/off_site_l", 1.17);
    near("/water/litres", 1.27);
    near("/embodied/co2eq_g", 164e3 * 2.0 / (4.0 * 8760.0));
    assert!(extras["cost"]["currency"] == "EUR" && extras["cost"]["forecast"].is_null());
    assert!(!off.1.contains("beside it") && on.1.contains("beside it, not in the CO2e above:\n  cost    0.0960 EUR, at 0.320 EUR/kWh\n  water   1.27 L\n  making  9.36 g CO2e, of 164 kg that the devices took, over 4 years\n"), "{}", on.1);
}

/// A host may ask for its energy at every epoch, and a price by the hour of a long run takes half a millisecond.
#[test]
fn only_what_is_emitted_is_priced() {
    let (setting, books, now) = by_the_hour(10, "location=GB pue=1.5");
    let whole: Value =
        serde_json::from_str(&Report::new(&setting, &books, now, Detail::Epochs).render("json").unwrap()).unwrap();
    for (pointer, is_priced) in [
        ("/run/epochs_done", false),
        ("/usage/energy_j", false),
        ("/usage/facility_energy_kwh", false),
        ("/usage/co2eq_g", true),
        ("/forecast/energy_j/high", false),
        ("/forecast/remaining/duration_s/value", false),
        ("/forecast/co2eq_g/high", true),
        ("/forecast/remaining/co2eq_g/value", true),
        ("/epochs/1/energy_j", false),
        ("/epochs/1/co2eq_g", true),
        ("/components/0/energy_j", false),
        ("/intensity/g_per_kwh", true),
        ("/intensity/hours/g_per_kwh/0", true),
        ("/equivalents/0/value", true),
        ("/extras/cost/amount", true),
    ] {
        let detail = Detail::of(pointer);
        assert_eq!(!matches!(detail, Detail::Unpriced(_)), is_priced, "{pointer}");
        let one = Report::new(&setting, &books, now, detail).value(pointer).ok();
        let there = whole.pointer(pointer).and_then(Value::as_f64);
        let is_near = one.zip(there).is_none_or(|(one, there)| (one - there).abs() <= 1e-12 * there.abs());
        assert!(one.is_some() == there.is_some() && is_near, "{pointer}: {one:?} {there:?}");
    }
}

/// At one figure for all time what is still to come emits so much a joule, to the last bit.
#[test]
fn what_is_still_to_come_is_priced_as_energy_where_the_price_is_one() {
    for n in 1..50 {
        let (setting, mut books) =
            (setting(None, 9), books(&[DeviceKind::Cpu], &[(n, 7 * n), (3 * n, 0)], &[n as f64 / 7.0]));
        let (epochs, between) = (books.ledger.observed(2), books.ledger.between_first(2));
        books.forecast = forecast::forecast(9, 0.9, epochs, between, &books.progress);
        let report = Report::new(&setting, &books, NOW, Detail::Totals(None));
        for bound in ["value", "low", "high"] {
            let of = |what: &str| report.value(&format!("/forecast/remaining/{what}/{bound}")).unwrap();
            assert_eq!(of("co2eq_g"), of("energy_j") * (1.0 / 3.6e6 * 1.5 * 200.0), "{bound} of {n}");
        }
    }
}

proptest! {
    /// Whatever the run and its name, the JSON parses, its parts sum to its wholes, and CSV and Prometheus agree.
    #[test]
    fn sums_agree_in_every_format(
        name in prop::option::of(".*"),
        kinds in prop::collection::vec(prop::sample::select(DeviceKind::ALL.to_vec()), 0..6),
        epochs in prop::collection::vec((1u64..1_000_000_000, 0u64..1_000_000_000), 0..30),
        watts in prop::collection::vec(0.0..1000.0f64, 6),
        planned in 0u64..50,
    ) {
        let (setting, books) = (setting(name, planned), books(&kinds, &epochs, &watts));
        let report = json_of(&setting, &books);
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-9);
        let usage = &report["usage"];
        let number = |value: &Value| value.as_f64().unwrap_or(0.0);
        let total = number(&usage["energy_j"]);
        prop_assert!(near(total, number(&usage["epochs"]["energy_j"]) + number(&usage["between"]["energy_j"])));
        prop_assert!(near(total, sum(&report["components"], "energy_j")));
        prop_assert!(near(number(&usage["epochs"]["energy_j"]), sum(&report["epochs"], "energy_j")));
        prop_assert!(near(number(&usage["duration_s"]), number(&usage["epochs"]["duration_s"]) + number(&usage["between"]["duration_s"])));
        prop_assert!(near(number(&usage["co2eq_g"]), total / 3.6e6 * 1.5 * 200.0));
        let kinds_j: f64 = ["cpu_j", "gpu_j", "dram_j", "node_j"].iter().map(|kind| sum(&report["epochs"], kind)).sum();
        prop_assert!(near(kinds_j, sum(&report["epochs"], "energy_j")));
        let whole = Report::new(&setting, &books, NOW, Detail::Epochs);
        let csv = whole.render("csv").unwrap();
        prop_assert_eq!(csv.lines().count(), 1 + epochs.len());
        prop_assert!(csv.lines().all(|line| line.split(',').count() == 9));
        let prometheus = whole.render("prometheus").unwrap();
        for line in prometheus.lines().filter(|line| !line.starts_with('#')) {
            prop_assert!(line.starts_with("carbontracker_") && line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
        }
        prop_assert!(whole.render("text").unwrap().lines().count() >= 4);
    }
}

/// What prices a run at this place, as text and JSON.
fn located(text: &str) -> (String, Value) {
    let options = Options::parse(text, |_| None).unwrap();
    let choice = crate::carbon::select::choose(&options, |_| None).unwrap();
    let (setting, books, now) = by_the_hour(0, text);
    let books = RunState { grid: choice.grid, pue: options.pue, ..books }.within(choice.facility);
    let report = Report::new(&setting, &books, now, Detail::Epochs);
    (report.render("text").unwrap(), serde_json::from_str(&report.render("json").unwrap()).unwrap())
}

#[test]
fn a_figure_states_its_year_basis_use_and_source() {
    for (location, year, basis, scope, source) in [
        ("DK", 2025, "lifecycle", "production", "Ember"),
        ("US-CA", 2025, "lifecycle", "consumption", "Electricity Maps"),
        ("aws:us-east-1", 2024, "lifecycle", "consumption", "Green Software Foundation"),
        ("gcp:us-east4", 2024, "direct", "consumption", "Google"),
        ("CN-GD", 2023, "direct", "consumption", "China MEE"),
    ] {
        let (text, json) = located(&format!("location={location}"));
        let intensity = &json["intensity"];
        assert_eq!((&intensity["year"], &intensity["basis"]), (&year.into(), &basis.into()), "{location}");
        assert_eq!(intensity["use"], scope, "{location}");
        assert!(intensity["source"].as_str().unwrap().contains(source), "{intensity}");
        assert!(text.contains(&format!("({location}, {year}, {basis}, {scope}, ")), "{text}");
        let own = json["what_if"]["zones"].as_array().unwrap().iter().find(|there| there["zone"] == location).unwrap();
        assert!(own["use"].is_string(), "{own}");
    }
    let (_, given) = located("intensity=50");
    assert!(given["intensity"]["use"].is_null());
}

#[test]
fn the_halls_of_a_region_have_its_rates() {
    let (text, json) = located("location=aws:us-east-1 pue=region wue=region");
    let facility = &json["facility"];
    assert_eq!((&json["pue"], &facility["region"]), (&1.15.into(), &"aws:us-east-1".into()));
    assert_eq!((&facility["pue"], &facility["pue_year"]), (&1.15.into(), &2024.into()));
    assert_eq!((&facility["wue"], &facility["wue_year"]), (&0.12.into(), &2024.into()));
    assert!(facility["source"].as_str().unwrap().contains("published by the provider"));
    let usage = &json["usage"];
    let number = |value: &Value| value.as_f64().unwrap();
    assert!((number(&usage["facility_energy_kwh"]) / number(&usage["energy_kwh"]) - 1.15).abs() < 1e-9);
    assert!((number(&json["extras"]["water"]["on_site_l"]) / number(&usage["energy_kwh"]) - 0.12).abs() < 1e-9);
    assert!(text.contains("with PUE 1.15 (aws:us-east-1, 2024)"), "{text}");
    assert!(text.contains(", on site 0.12 L/kWh (aws:us-east-1, 2024)"), "{text}");
    let (_, json) = located("location=DK pue=region");
    assert_eq!((&json["pue"], &json["facility"]), (&1.0.into(), &Value::Null));
    assert!(json["notes"].to_string().contains("pue=region: location=DK is not a cloud region"), "{}", json["notes"]);
    let (_, json) = located("location=gcp:us-east4 pue=region wue=region");
    assert_eq!((&json["pue"], &json["facility"]["wue"]), (&1.09.into(), &Value::Null));
    assert!(json["extras"]["water"].is_null() && json["notes"].to_string().contains("wue=region: no figure"));
    // Found out by the cloud's metadata while the run lasts.
    let by_region = ByRegion { pue: true, wue: true };
    let books = by_the_hour(0, "").1.within(Facility::new(by_region, FacilityPlace::LookedUp));
    assert_eq!((books.pue, books.facility.lacks().len()), (1.5, 2));
    let mut books = books;
    assert_eq!((books.found_in("aws:us-east-1"), books.pue), (Vec::new(), 1.15));
    let (_, json) = located("location=aws:us-east-1 pue=1.3");
    assert_eq!((&json["pue"], &json["facility"]), (&1.3.into(), &Value::Null));
}

/// Two processes of a job on a node: this one counts `id1` after another one, and another one counts `id0`.
fn in_turns() -> RunState {
    use crate::coordination::device_lease::LeaseState as Turn;
    let mut books = books(&[], &[(5_000, 100)], &[]);
    for (number, turn) in
        [Turn { holder: Some(41), ..Turn::default() }, Turn { is_ours: true, covered_to: 1_500, ..Turn::default() }]
            .into_iter()
            .enumerate()
    {
        let id = format!("id{number}");
        let channel = Channel::new(
            (DeviceKind::Cpu, "test"),
            "device",
            id.clone(),
            MeasuringMethod::Power,
            Quantity::Power { max_watts: 1e5 },
        );
        books.claim(Some(number), id.clone(), id);
        books.add(&channel, Some(number), None);
        books.stand(number, turn, |_| ());
    }
    books
}

#[test]
fn shared_devices_are_marked_by_fields() {
    let (setting, books) = (setting(None, 0), in_turns());
    let report = json_of(&setting, &books);
    let marks = |n: usize| {
        let entry = &report["unavailable"][n];
        (entry["counted_elsewhere"].as_bool(), entry["counted_by_pid"].as_u64())
    };
    assert_eq!([marks(0), marks(1)], [(Some(false), None), (Some(true), Some(41))], "{}", report["unavailable"]);
    assert!(report["components"][0]["identity"]["hash"].is_u64());
}

/// Programs that were compiled with version 0.1.0 search the text for these words, and its command those of the reason.
#[test]
fn words_that_version_0_1_0_searches_for_stay() {
    let (setting, books) = (setting(None, 0), in_turns());
    let text = Report::new(&setting, &books, NOW, Detail::Epochs).render("text").unwrap();
    assert!(text.contains("id0: counted by process 41 of this job, and not here"), "{text}");
    assert!(text.contains("another process of this job;"), "{text}");
}

/// The hash is part of the JSON: it does not change, and a number that holds 53 bits has it exactly.
#[test]
fn a_component_has_a_number_that_other_processes_compute_alike() {
    let with = |kind: DeviceKind, id: &str, simulated: bool| {
        let mut books = books(&[], &[(5_000, 0)], &[]);
        let quantity = Quantity::Power { max_watts: 1e5 };
        let channel = Channel::new((kind, "test"), "device", id, MeasuringMethod::Power, quantity);
        books.add(&Channel { simulated, ..channel }, None, None);
        json_of(&setting(None, 0), &books)["components"][0]["identity"].clone()
    };
    let [cpu, gpu] = [with(DeviceKind::Cpu, "a", false), with(DeviceKind::Gpu, "a", false)];
    assert_eq!((&cpu["hash"], &cpu["kind"]), (&serde_json::json!(761_290_538_093_982_u64), &0.into()));
    assert_eq!((cpu.clone(), &gpu["kind"]), (with(DeviceKind::Cpu, "a", true), &1.into()));
    assert!(cpu["hash"] != gpu["hash"] && cpu["hash"] != with(DeviceKind::Cpu, "b", false)["hash"]);
    assert!(cpu["hash"].as_u64().is_some_and(|hash| hash < 1 << 53));
    assert!(with(DeviceKind::Gpu, "a", true)["hash"].is_null(), "a simulated GPU is each process's own");
}

/// A mean over epochs leaves its rounding behind the comma.
#[test]
fn a_yearly_average_is_shown_as_the_table_has_it() {
    let (setting, mut books, now) = by_the_hour(0, "location=WORLD");
    let mut curve = Curve::default();
    let old = books.calendar.unix_s(0) - 90.0 * 86_400.0;
    curve.take([IntensitySlot { from: old, to: old + 3600.0, g_per_kwh: 100.0, quality: FigureQuality::Actual }]);
    books.grid.hourly.as_mut().unwrap().curve = curve;
    let text = Report::new(&setting, &books, now, Detail::Epochs).render("text").unwrap();
    assert!(text.contains(" at 458.29 g/kWh (WORLD, "), "{text}");
    assert_eq!([super::text::plain(458.290_000_000_000_1), super::text::plain(26.0)], ["458.29", "26"]);
}
