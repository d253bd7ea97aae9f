use super::*;
use crate::attribution::carried_over::{CarriedComponent, CarriedOver};
use crate::attribution::ledger::{EnergySplit, Mark};
use crate::carbon::select;
use crate::clock::MonoNs;
use crate::measurement::channel::MeasuringMethod;
use crate::measurement::channel::{Channel, DeviceKind, Quantity};
use crate::measurement::meter::EnergyInterval;
use crate::measurement::source_name::SourceName;
use crate::options::Options;
use crate::state::RunState;
use proptest::prelude::*;

const S: u64 = 1_000_000_000;
const WIDE: ErrorBand = ErrorBand { low: 0.5, high: 2.0 };

fn near(band: Option<ErrorBand>, low: f64, high: f64) {
    let band = band.expect("a band");
    assert!((band.low - low).abs() < 1e-9 && (band.high - high).abs() < 1e-9, "{band:?} is not {low} to {high}");
}

#[test]
fn the_band_of_a_sum_comes_from_its_parts() {
    near(ErrorBand::of_sum([(30.0, Some(WIDE)), (70.0, None)]), 0.85, 1.3);
    near(ErrorBand::of_sum([(10.0, Some(WIDE)), (30.0, Some(ErrorBand { low: 0.9, high: 1.2 }))]), 0.8, 1.4);
    assert_eq!(ErrorBand::of_sum([(30.0, Some(WIDE))]), Some(WIDE));
    assert_eq!(ErrorBand::of_sum([(0.0, Some(WIDE)), (70.0, None)]), None, "nothing of it is estimated");
    assert_eq!((ErrorBand::of_sum([(5.0, None)]), ErrorBand::of_sum([])), (None, None));
    assert_eq!(ends(Some(10.0), Some(WIDE)), [Some(5.0), Some(20.0)]);
    assert_eq!((ends(None, Some(WIDE)), ends(Some(10.0), None)), ([None; 2], [None; 2]));
}

#[test]
fn a_band_from_json_is_checked() {
    assert_eq!(ErrorBand::read(Some(&WIDE.json())), Some(WIDE));
    for odd in [
        json!({"low": 0.0, "high": 2.0}),
        json!({"low": -1.0, "high": 2.0}),
        json!({"low": 1.1, "high": 2.0}),
        json!({"low": 0.5, "high": 0.9}),
        json!({"low": 0.5, "high": "2"}),
        json!({"low": 0.5}),
        json!([0.5, 2.0]),
        Value::Null,
    ] {
        assert_eq!(ErrorBand::read(Some(&odd)), None, "{odd}");
    }
    assert_eq!(
        (ErrorBand::checked(0.5, f64::INFINITY), ErrorBand::checked(f64::NAN, 2.0), ErrorBand::read(None)),
        (None, None, None)
    );
}

#[test]
fn a_forecast_is_widened_by_both_bands() {
    let total = Estimate { used: 40.0, value: 100.0, low: 90.0, high: 130.0 };
    let all = Uncertainty { used: Some(WIDE), to_come: Some(WIDE) };
    assert_eq!(all.of_total(total), Estimate { low: 45.0, high: 260.0, ..total });
    assert_eq!(all.of_rest(total.rest()), Estimate { used: 0.0, value: 60.0, low: 25.0, high: 180.0 });
    assert_eq!(all.at(total), Some(WIDE));
    // Estimated by an earlier process, and measured from now on.
    let mended = Uncertainty { used: Some(WIDE), to_come: None };
    assert_eq!(mended.of_total(total), Estimate { low: 70.0, high: 170.0, ..total });
    assert_eq!(mended.of_rest(total.rest()), total.rest());
    near(mended.at(total), 0.8, 1.4);
    assert_eq!(Uncertainty::default().of_total(total), total);
    assert_eq!(Uncertainty::default().at(total), None);
}

fn channel(id: &str, error: Option<ErrorBand>) -> Channel {
    let (source, method) = if error.is_some() {
        (SourceName::CpuModel, MeasuringMethod::Estimate)
    } else {
        (SourceName::Nvml, MeasuringMethod::Counter)
    };
    let quantity = Quantity::Power { max_watts: 1e5 };
    Channel { error, ..Channel::new((DeviceKind::Cpu, source), "a device", id, method, quantity) }
}

/// Two seconds of an epoch at these powers, W. The epoch may stay open.
fn state(past: CarriedOver, devices: &[(Channel, f64)], is_ended: bool) -> RunState {
    let options = Options::parse("intensity=200", |_| None).unwrap();
    let mut state = RunState::new(select::choose(&options.carbon, |_| None).unwrap().grid, 1.0);
    if !past.is_empty() {
        state.resume(past, MonoNs(S));
    }
    devices.iter().for_each(|(channel, _)| state.add(channel, None, None));
    state.attribution.ledger.mark(Mark::Begin(MonoNs(S)));
    for (number, (_, watts)) in devices.iter().enumerate().filter(|(_, (_, watts))| *watts > 0.0) {
        state
            .attribution
            .ledger
            .credit(number, EnergyInterval { from: MonoNs(S), to: MonoNs(3 * S), joules: watts * 2.0, measured: true });
    }
    if is_ended {
        state.attribution.ledger.mark(Mark::End(MonoNs(3 * S)));
        state.attribution.ledger.release_all();
    }
    state
}

#[test]
fn the_uncertainty_of_a_run_comes_from_its_channels() {
    let devices = |cpu_w: f64, gpu_w: f64| [(channel("cpu", Some(WIDE)), cpu_w), (channel("gpu", None), gpu_w)];
    for is_ended in [true, false] {
        let of = |cpu_w, gpu_w| state(CarriedOver::default(), &devices(cpu_w, gpu_w), is_ended).uncertainty();
        near(of(30.0, 70.0).used, 0.85, 1.3);
        assert_eq!(of(30.0, 70.0).to_come, of(30.0, 70.0).used);
        assert_eq!(of(0.0, 70.0), Uncertainty::default());
        assert_eq!(of(0.0, 0.0).to_come, Some(WIDE), "nothing is used, and any of it may be estimated");
    }
    let measured = state(CarriedOver::default(), &devices(30.0, 70.0)[1..], true);
    assert_eq!(measured.uncertainty(), Uncertainty::default());
}

/// An earlier attempt with this energy, J.
fn past(channel: Channel, joules: f64) -> CarriedOver {
    let epochs = crate::attribution::account::Energy {
        joules: Some(joules),
        credited_ns: 2e9,
        measured_ns: 2e9,
        by_time_j: [0.0; 2],
    };
    let used = EnergySplit { epochs, ..EnergySplit::default() };
    let component = CarriedComponent { channel, used };
    let epoch = crate::attribution::epochs::Epoch::empty(MonoNs(0), MonoNs(2 * S), 2 * S, 1);
    let epochs = vec![crate::attribution::epochs::Epoch { recorded: Some(Default::default()), ..epoch }];
    CarriedOver {
        attempts: 1,
        epochs,
        inside_ns: 2 * S,
        duration_ns: 2 * S,
        components: vec![component],
        energy_j: Some(joules),
        ..CarriedOver::default()
    }
}

#[test]
fn estimates_of_earlier_attempts_stay_estimates() {
    // Measured from now on: 60 J of 100 J are not.
    let mended = state(past(channel("cpu", Some(WIDE)), 60.0), &[(channel("gpu", None), 20.0)], true);
    let uncertainty = mended.uncertainty();
    near(uncertainty.used, 0.7, 1.6);
    assert_eq!(uncertainty.to_come, None);
    // The same device, with a better model.
    let better = Some(ErrorBand { low: 0.8, high: 1.25 });
    let same = state(past(channel("cpu", Some(WIDE)), 60.0), &[(channel("cpu", better), 20.0)], true);
    near(same.uncertainty().used, 0.62, 1.7);
    assert_eq!(same.uncertainty().to_come, better);
    // A journal without a stated error counts with the band of today's model.
    let unstated = Channel { error: None, ..channel("cpu", Some(WIDE)) };
    assert_eq!(state(past(unstated, 60.0), &[(channel("cpu", better), 20.0)], true).uncertainty().used, better);
}

prop_compose! {
    fn any_part()(amount in 0.0..1e9f64, band in prop::option::of((0.01..1.0f64, 1.0..10.0f64))) -> (f64, Option<ErrorBand>) {
        (amount, band.map(|(low, high)| ErrorBand { low, high }))
    }
}

proptest! {
    #[test]
    fn a_sum_lies_within_the_bands_of_its_parts(parts in prop::collection::vec(any_part(), 0..12), factor in 0.1..1e3f64) {
        let sum: f64 = parts.iter().map(|(amount, _)| amount).sum();
        let used = || parts.iter().filter(|(amount, _)| *amount > 0.0);
        let Some(band) = ErrorBand::of_sum(parts.clone()) else {
            prop_assert!(used().all(|(_, band)| band.is_none()));
            return Ok(());
        };
        let bands = || used().map(|(_, band)| band.unwrap_or(EXACT));
        prop_assert!(bands().any(|one| one.low <= band.low) && bands().any(|one| one.high >= band.high));
        prop_assert!(bands().any(|one| one.low >= band.low) && bands().any(|one| one.high <= band.high));
        prop_assert!(band.low <= 1.0 && band.high >= 1.0 && ErrorBand::checked(band.low, band.high).is_some());
        let ends: f64 = parts.iter().map(|(amount, band)| amount * band.map_or(1.0, |band| band.low)).sum();
        prop_assert!((sum * band.low - ends).abs() <= 1e-9 * sum);
        // Another unit does not change the band.
        let scaled = ErrorBand::of_sum(parts.iter().map(|(amount, band)| (amount * factor, *band))).unwrap();
        prop_assert!((scaled.low - band.low).abs() < 1e-9 && (scaled.high / band.high - 1.0).abs() < 1e-9);
        // A wider part never makes a sum narrower. A further measured part never makes it wider.
        let wider = parts.iter().map(|(amount, band)| (*amount, band.map(|b| ErrorBand { low: b.low / 2.0, high: b.high * 2.0 })));
        let wider = ErrorBand::of_sum(wider).unwrap();
        prop_assert!(wider.low <= band.low && wider.high >= band.high);
        let more = ErrorBand::of_sum(parts.iter().copied().chain([(sum, None)])).unwrap();
        prop_assert!(more.low >= band.low - 1e-12 && more.high <= band.high + 1e-9);
    }

    #[test]
    fn a_widened_interval_contains_the_forecast(
        used in 0.0..1e9f64, rest in 0.0..1e9f64, down in 0.0..1.0f64, up in 0.0..5.0f64, bands in (any_part(), any_part()),
    ) {
        let total = Estimate { used, value: used + rest, low: used + rest * (1.0 - down), high: used + rest * (1.0 + up) };
        let uncertainty = Uncertainty { used: bands.0.1, to_come: bands.1.1 };
        let wide = uncertainty.of_total(total);
        let off = 1e-9 * total.value;
        prop_assert!(wide.low <= total.low + off && wide.high >= total.high - off && wide.value == total.value);
        let to_come = uncertainty.of_rest(total.rest());
        prop_assert!(to_come.low <= total.rest().low + off && to_come.high >= total.rest().high - off);
        if let Some(band) = uncertainty.at(total) {
            prop_assert!(wide.low <= band.low * total.value + off && wide.high >= band.high * total.value - off);
        }
    }
}
