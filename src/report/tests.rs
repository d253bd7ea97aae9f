mod components;
mod intensity;
mod what_if;

use super::*;
use crate::attribution::ledger::Mark;
use crate::carbon::config::WhatIfOption;
use crate::carbon::intensity::GridIntensity;
use crate::carbon::intensity::curve::Curve;
use crate::carbon::intensity::slot::{IntensityQuality, IntensitySlot};
use crate::carbon::intensity::{EmissionsBasis, Hourly, IntensityKind};
use crate::clock::{ClockSample, UnixS};
use crate::error::Status;
use crate::forecast;
use crate::forecast::history::History;
use crate::measurement::channel::{DeviceKind, MeasuringMethod, Quantity};
use crate::measurement::meter::EnergyInterval;
use crate::measurement::source_name::SourceName;
use crate::options::Options;
use proptest::prelude::*;
use serde_json::Value;

/// A moment after the run, when all readings have arrived and no epoch is open.
pub const NOW: Now = Now { at: MonoNs(1 << 40), whole: true, open: None };

pub fn settings(name: Option<String>, planned: u64) -> Arc<ReportSettings> {
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
        budgets: crate::state::config::Budgets::default(),
        prints: false,
        monitored: None,
        elsewhere: Elsewhere::find(&WhatIfOption::Usual).unwrap(),
        rates: Rates::default(),
    })
}

pub fn run_of(kinds: &[DeviceKind], epochs: &[(u64, u64)], watts: &[f64]) -> RunState {
    let unavailable = vec![Unavailable { source: SourceName::Rapl, reason: "a \\ reason".into(), cure: None }];
    let options = Options::parse("intensity=200", |_| None).unwrap();
    let grid = crate::carbon::select::choose(&options.carbon, |_| None).unwrap().grid;
    let mut state = RunState::new(grid, 1.5);
    state.metering.unavailable = unavailable;
    for (number, &kind) in kinds.iter().enumerate() {
        state.add(
            &Channel {
                kind,
                device: "device, \"quoted\"".into(),
                id: format!("id{number}"),
                source: SourceName::Rapl,
                method: MeasuringMethod::Power,
                quantity: Quantity::Power { max_watts: 1e5 },
                simulated: false,
                may_rest: false,
                has_memory: false,
                error: None,
                job_part: None,
                note: None,
            },
            None,
            None,
        );
    }
    let mut at = 1_000;
    for &(inside, gap) in epochs {
        state.attribution.ledger.mark(Mark::Begin(MonoNs(at)));
        at += inside;
        state.attribution.ledger.mark(Mark::End(MonoNs(at)));
        at += gap;
    }
    for (number, watts) in watts.iter().enumerate().take(kinds.len()) {
        state.attribution.ledger.credit(
            number,
            EnergyInterval { from: MonoNs(0), to: MonoNs(at), joules: watts * at as f64 * 1e-9, measured: true },
        );
    }
    state.attribution.ledger.release_all();
    state
}

fn json_of(settings: &Arc<ReportSettings>, state: &RunState) -> Value {
    serde_json::from_str(&Report::new(settings, state, NOW, Detail::Epochs).render("json").unwrap()).unwrap()
}

fn sum(of: &Value, field: &str) -> f64 {
    of.as_array().unwrap().iter().filter_map(|entry| entry[field].as_f64()).sum()
}

#[test]
fn unknown_values_are_null_and_never_zero() {
    let report = json_of(&settings(None, 10), &run_of(&[], &[(5, 5), (5, 5)], &[]));
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
    let cpu_only = json_of(&settings(None, 0), &run_of(&[DeviceKind::Cpu], &[(5, 0)], &[1.0]));
    assert!(cpu_only["epochs"][0]["cpu_j"].is_f64() && cpu_only["epochs"][0]["gpu_j"].is_null());
    assert!(cpu_only["forecast"].is_null());
}

#[test]
fn numbers_by_pointer_equal_those_of_the_whole_report() {
    let (settings, mut state) = (
        settings(None, 10),
        run_of(&[DeviceKind::Cpu, DeviceKind::Dram], &[(5_000, 100), (6_000, 50), (7_000, 0)], &[100.0, 10.0]),
    );
    state.attribution.settled = 3;
    let whole = json_of(&settings, &state);
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
        let one = Report::new(&settings, &state, NOW, Detail::of(pointer)).value(pointer).unwrap();
        let there = whole.pointer(pointer).and_then(Value::as_f64).unwrap();
        assert!((one - there).abs() <= 1e-12 * there.abs(), "{pointer}: {one} {there}");
    }
    let refusal = |pointer| Report::new(&settings, &state, NOW, Detail::of(pointer)).value(pointer).unwrap_err();
    for pointer in ["", "/usage", "/epochs", "/epochs/3/index", "/run/host", "/epochs/0", "/components/2/energy_j"] {
        assert_eq!(refusal(pointer).status, Status::CT_ENOENT, "{pointer}");
    }
    let impossible = ["/", "usage", "/usage/energy", "/epochs/x/index", "/epochs/-1/index", "/usage/energy_j/x", "/~2"];
    for pointer in impossible {
        assert_eq!(refusal(pointer).status, Status::CT_EINVAL, "{pointer}");
    }
    assert!(refusal("usage/enrgy_j").message.ends_with("did you mean /usage/energy_j?"));
}

#[test]
fn texts_and_sections_by_pointer_equal_those_of_the_whole_report() {
    let (settings, state) = (settings(Some("x".into()), 3), run_of(&[DeviceKind::Cpu], &[(5, 5), (6, 4)], &[1.0]));
    let whole = json_of(&settings, &state);
    let ask = |pointer: &str| Report::new(&settings, &state, NOW, Detail::of_text(pointer)).text(pointer);
    assert_eq!(ask("/run/name").as_deref(), Ok("x"));
    let sections = [
        "",
        "/run",
        "/usage",
        "/usage/epochs",
        "/intensity",
        "/components",
        "/components/0",
        "/epochs",
        "/epochs/1",
        "/power",
        "/notes",
        "/what_if",
        "/pue",
    ];
    for pointer in sections {
        let there = whole.pointer(pointer).unwrap();
        assert_eq!(
            ask(pointer).map(|text| serde_json::from_str(&text).ok()).unwrap().as_ref(),
            Some(there),
            "{pointer}"
        );
    }
    let count = |pointer: &str| Report::new(&settings, &state, NOW, Detail::of(pointer)).value(pointer).unwrap();
    assert_eq!((count("/epochs/length"), count("/components/length")), (2.0, 1.0));
    assert_eq!(count("/notes/length") as usize, whole["notes"].as_array().unwrap().len());
    assert_eq!(ask("/forecast/energy_j/value").unwrap_err().status, Status::CT_ENOENT);
    assert_eq!(ask("/run/nane").unwrap_err().message, "/run/nane: no report has such a value: did you mean /run/name?");
}

#[test]
fn unknown_formats_are_refused() {
    let report = Report::new(
        &settings(Some("x".into()), 3),
        &run_of(&[DeviceKind::Cpu], &[(5, 5)], &[1.0]),
        NOW,
        Detail::Epochs,
    );
    assert!(report.render("text").unwrap().starts_with("x: 1 of 3 epochs on node"));
    assert_eq!(report.render("csv").unwrap().lines().count(), 2);
    assert!(report.render("html").unwrap().starts_with("<!DOCTYPE html>"));
    for format in ["htm", "xml", ""] {
        assert_eq!(report.render(format).unwrap_err().status, Status::CT_EINVAL);
    }
}

/// A run with two epochs of an hour at 100 W. The intensity of 48 hours to come is known; six hours from the 20th on
/// are clean.
fn by_the_hour(planned: u64, options: &str) -> (Arc<ReportSettings>, RunState, Now) {
    const HOUR_NS: u64 = 3600 * 1_000_000_000;
    const NOON: f64 = 1_772_452_800.0;
    let options = Options::parse(options, |_| None).unwrap();
    let settings = Arc::into_inner(settings(None, planned)).unwrap();
    let elsewhere = Elsewhere::find(&options.carbon.what_if).unwrap();
    let settings = Arc::new(ReportSettings { elsewhere, rates: options.carbon.rates.clone(), ..settings });
    let mut state = run_of(&[DeviceKind::Cpu], &[(HOUR_NS, 0), (HOUR_NS, 0)], &[100.0]);
    let grid = crate::carbon::select::choose(&options.carbon, |_| None).unwrap().grid;
    let mut curve = Curve::default();
    curve.take((-4..50).map(|hour| IntensitySlot {
        from: NOON + f64::from(hour) * 3600.0,
        to: NOON + f64::from(hour + 1) * 3600.0,
        g_per_kwh: if (20..26).contains(&hour) { 100.0 } else { 400.0 },
        quality: if hour < 2 { IntensityQuality::Actual } else { IntensityQuality::Forecast },
    }));
    let about = Intensity { kind: IntensityKind::Live, basis: Some(EmissionsBasis::Direct), ..grid.flat.clone() };
    state.carbon.grid = GridIntensity { hourly: Some(Hourly { about, curve, failure: None }), ..grid };
    state.carbon.clock.note(ClockSample { monotonic: MonoNs(0), boot_ns: 0, unix: UnixS(NOON) });
    let (epochs, between) = (state.attribution.ledger.observed(2), state.attribution.ledger.between_first(2));
    state.forecasting.forecast =
        forecast::forecast(planned, 0.9, epochs, between, &state.forecasting.first_epoch, &History::default());
    (settings, state, Now { at: MonoNs(2 * HOUR_NS + 600_000_000_000), whole: true, open: None })
}

/// An application may request its energy at every epoch. Hourly emissions of a long run take half a millisecond.
#[test]
fn emissions_are_computed_only_where_they_are_requested() {
    let (settings, state, now) = by_the_hour(10, "location=GB pue=1.5");
    let whole: Value =
        serde_json::from_str(&Report::new(&settings, &state, now, Detail::Epochs).render("json").unwrap()).unwrap();
    for (pointer, has_emissions) in [
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
        assert_eq!(!matches!(detail, Detail::WithoutEmissions(_)), has_emissions, "{pointer}");
        let one = Report::new(&settings, &state, now, detail).value(pointer).ok();
        let there = whole.pointer(pointer).and_then(Value::as_f64);
        let is_near = one.zip(there).is_none_or(|(one, there)| (one - there).abs() <= 1e-12 * there.abs());
        assert!(one.is_some() == there.is_some() && is_near, "{pointer}: {one:?} {there:?}");
    }
}

/// With one intensity for all time, remaining emissions are exactly the remaining energy times a constant.
#[test]
fn remaining_emissions_follow_remaining_energy_at_a_flat_intensity() {
    for n in 1..50 {
        let (settings, mut state) =
            (settings(None, 9), run_of(&[DeviceKind::Cpu], &[(n, 7 * n), (3 * n, 0)], &[n as f64 / 7.0]));
        let (epochs, between) = (state.attribution.ledger.observed(2), state.attribution.ledger.between_first(2));
        state.forecasting.forecast =
            forecast::forecast(9, 0.9, epochs, between, &state.forecasting.first_epoch, &History::default());
        let report = Report::new(&settings, &state, NOW, Detail::Totals(None));
        for bound in ["value", "low", "high"] {
            let of = |what: &str| report.value(&format!("/forecast/remaining/{what}/{bound}")).unwrap();
            assert_eq!(of("co2eq_g"), of("energy_j") * (1.0 / 3.6e6 * 1.5 * 200.0), "{bound} of {n}");
        }
    }
}

proptest! {
    /// For any run and name, the JSON parses, its parts add up, and CSV and Prometheus agree with it.
    #[test]
    fn sums_agree_in_every_format(
        name in prop::option::of(".*"),
        kinds in prop::collection::vec(prop::sample::select(DeviceKind::ALL.to_vec()), 0..6),
        epochs in prop::collection::vec((1u64..1_000_000_000, 0u64..1_000_000_000), 0..30),
        watts in prop::collection::vec(0.0..1000.0f64, 6),
        planned in 0u64..50,
    ) {
        let (settings, state) = (settings(name, planned), run_of(&kinds, &epochs, &watts));
        let report = json_of(&settings, &state);
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
        let whole = Report::new(&settings, &state, NOW, Detail::Epochs);
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
