//! NVIDIA GPUs measured through a fake NVML whose energy is known at every instant: the error, and the cost for the
//! application.

use crate::fake_nvml::{Found, Gpu, MAX_GPUS, Standin, longest_call, settle, tracker};
use crate::retry::{Energies, Stamp, call, run, wait_past_edge};
use crate::virtually;
use carbontracker::os::{Instant, pause, random_u64};
use carbontracker::tracker::Tracker;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// The rounding of a counter of mJ, as a share of the energy of a second.
const EXACT: f64 = 1e-5;
const SLOW_S: f64 = 0.005;
/// The time between two updates of a counter, ns. The seed chooses where in it a run begins.
const COUNTER_STEP_NS: u64 = 20_000_000;

struct Measured {
    energies: Energies,
    /// The first begin and the last end.
    span: (Stamp, Stamp),
    found: Found,
}

/// Measures the first GPUs of the fake over epochs of `length`.
fn measure(standin: &Standin, gpus: usize, epochs: usize, length: Duration) -> Measured {
    let gpus: Vec<usize> = (0..gpus).collect();
    let tracker = tracker(&standin.options());
    wait_past_edge((standin.gpu(0).wave[2] / 2.0 * 1e9) as u64);
    pause(Duration::from_nanos(random_u64() % COUNTER_STEP_NS));
    let stamps = run(&tracker, epochs, length, |_| ());
    let found = Found::all(&tracker);
    tracker.destroy();
    assert_eq!(found.gpus(), gpus);
    assert!(found.number("/usage/coverage") > 0.999, "{:#}", found.report);
    let span = (stamps[0].0, stamps[stamps.len() - 1].1);
    let epoch = |(n, &(begin, end)): (usize, &(Stamp, Stamp))| {
        (found.number(&format!("/epochs/{n}/gpu_j")), standin.used(&gpus, begin, end))
    };
    let energies = Energies {
        total: (found.number("/usage/energy_j"), standin.used(&gpus, span.0, span.1)),
        epochs: stamps.iter().enumerate().map(epoch).collect(),
    };
    Measured { energies, span, found }
}

impl Measured {
    fn check(&self, what: &str, total_within: f64, epoch_within: f64) {
        self.energies.check(what, total_within, epoch_within);
    }

    fn assert_method(&self, n: usize, method: &str) {
        let gpu = self.found.gpu(n);
        assert_eq!(gpu["method"], method, "{gpu:#}");
        assert_eq!((&gpu["source"], &gpu["status"]), (&"nvml".into(), &"ok".into()), "{gpu:#}");
    }
}

fn four() -> Standin {
    Standin::new(&[100.0, 200.0, 300.0, 400.0].map(Gpu::constant))
}

fn wave() -> Standin {
    Standin::new(&[Gpu::wave(400.0, 80.0, 0.9)])
}

fn power_only() -> Standin {
    Standin::new(&[Gpu::wave(400.0, 80.0, 1.3).without_counter()])
}

#[test]
fn one_gpu_at_constant_power_is_measured() {
    virtually(|| {
        let measured = measure(&Standin::new(&[Gpu::constant(250.0)]), 1, 3, SECOND);
        measured.assert_method(0, "counter");
        measured.check("one GPU", EXACT, EXACT);
    });
}

#[test]
fn four_gpus_at_constant_power_are_measured() {
    virtually(|| {
        let measured = measure(&four(), 4, 3, SECOND);
        measured.check("four GPUs", 0.001, 0.003);
        let device = &measured.found.gpu(3)["device"];
        assert_eq!(device, "NVIDIA Stand-In 500W");
    });
}

#[test]
fn a_square_wave_is_measured() {
    virtually(|| {
        measure(&wave(), 1, 4, SECOND).check("the wave, 1 s epochs", 0.001, 0.005);
    });
}

#[test]
fn a_square_wave_without_a_counter_is_measured() {
    virtually(|| {
        let measured = measure(&power_only(), 1, 5, 2 * SECOND);
        measured.assert_method(0, "power");
        measured.check("the wave by power, 2 s epochs", 0.02, 0.16);
    });
}

/// A wave in phase with a sensor that is updated every 100 ms exactly. Its halves of 650 ms are seen as 600 or 700 ms,
/// and no reader can find the error. Real sensors drift (101 ms in the other tests). The phases of several GPUs differ,
/// so their sum is good.
#[test]
fn a_square_wave_in_phase_with_the_sensor_is_measured_over_several_gpus() {
    virtually(|| {
        let standin = Standin::new(&std::array::from_fn::<_, 8, _>(|n| {
            let wave = [400.0, 80.0, 1.3, 0.025 * n as f64];
            Gpu { wave, power_step: 100_000_000, ..Gpu::constant(0.0).without_counter() }
        }));
        let measured = measure(&standin, 8, 5, 2 * SECOND);
        let off = |n: usize| {
            let used = standin.used(&[n], measured.span.0, measured.span.1);
            used.off(measured.found.gpu(n)["energy_j"].as_f64().unwrap()) * 100.0
        };
        let each: Vec<f64> = (0..8).map(off).collect();
        println!("in phase with the sensor, each GPU, %: {each:.1?}");
        assert!(each.iter().all(|off| off.abs() < 8.0), "{each:?}");
        measured.check("eight GPUs in phase with the sensor", 0.015, 0.08);
    });
}

/// A slow driver's readings are as good, and the application does not wait for them.
#[test]
fn a_driver_with_calls_of_5_ms_is_as_exact() {
    virtually(|| {
        let slow = |standin: Standin| {
            standin.driver(|driver| driver.delay_s = SLOW_S);
            standin
        };
        measure(&slow(Standin::new(&[Gpu::constant(250.0)])), 1, 3, SECOND).check("one GPU, 5 ms a call", EXACT, EXACT);
        // Reading all four takes as long as an update of their counters.
        measure(&slow(four()), 4, 3, SECOND).check("four GPUs, 5 ms a call", 0.001, 0.003);
        measure(&slow(wave()), 1, 4, SECOND).check("the wave, 5 ms a call", 0.001, 0.005);
        measure(&slow(power_only()), 1, 5, 2 * SECOND).check("the wave by power, 5 ms a call", 0.02, 0.16);
    });
}

#[test]
fn begin_and_end_do_not_wait_for_the_driver() {
    virtually(|| {
        let quick = Standin::new(&[Gpu::constant(100.0)]);
        let slow = Standin::new(&[Gpu::constant(100.0)]);
        slow.driver(|driver| driver.delay_s = SLOW_S);
        let sixteen = Standin::new(&[Gpu::constant(100.0); MAX_GPUS]);
        for (what, standin) in [("one GPU", quick), ("one GPU, 5 ms a call", slow), ("sixteen GPUs", sixteen)] {
            let tracker = tracker(&standin.options());
            assert_eq!(longest_call(&tracker), Duration::ZERO, "{what}");
            tracker.destroy();
            assert!(standin.tally()[0] > 0);
        }
    });
}

/// Between marks a slow driver is called once an interval.
#[test]
fn a_slow_driver_is_not_called_without_pause() {
    virtually(|| {
        let standin = Standin::new(&[Gpu::constant(100.0); 2]);
        standin.driver(|driver| driver.delay_s = 0.02);
        let tracker = tracker(&standin.options());
        tracker.begin().unwrap();
        pause(SECOND);
        let before = standin.tally()[0];
        pause(3 * SECOND);
        let calls = standin.tally()[0] - before;
        tracker.destroy();
        println!("20 ms a call: {calls} calls in 3 s");
        assert_eq!(calls, 8, "one of the counters and one of the powers a second, or less");
    });
}

#[test]
fn sixteen_gpus_are_all_counted() {
    virtually(|| {
        let standin = Standin::new(&std::array::from_fn::<_, MAX_GPUS, _>(|n| Gpu::constant(50.0 + 10.0 * n as f64)));
        measure(&standin, MAX_GPUS, 3, SECOND).check("sixteen GPUs", 0.001, 0.003);
    });
}

/// Each GPU is measured by its best meter.
#[test]
fn gpus_with_and_without_a_counter_are_measured_together() {
    virtually(|| {
        let standin = Standin::new(&[Gpu::constant(150.0), Gpu::constant(300.0).without_counter()]);
        let measured = measure(&standin, 2, 3, SECOND);
        measured.assert_method(0, "counter");
        measured.assert_method(1, "power");
        measured.check("one with a counter, one without", 0.0005, 0.002);
    });
}

#[test]
fn a_driver_of_2017_is_measured_by_power() {
    virtually(|| {
        let measured = measure(&Standin::old(&[Gpu::constant(250.0); 2]), 2, 2, SECOND);
        measured.assert_method(0, "power");
        measured.check("an old driver", EXACT, EXACT);
    });
}

/// Epochs of 100 ms are five updates of the counter. Energy between two updates is divided evenly.
#[test]
fn short_epochs_are_measured() {
    virtually(|| {
        let standin = Standin::new(&[Gpu::constant(250.0)]);
        measure(&standin, 1, 20, SECOND / 10).check("20 epochs of 100 ms", EXACT, 10.0 * EXACT);
    });
}

/// Real drivers take up to a second to initialise. The application does not wait. The energy until then is filled in,
/// and does not count as measured.
#[test]
fn a_driver_that_takes_a_second_to_start_holds_nothing_up() {
    virtually(|| {
        let standin = Standin::new(&[Gpu::constant(200.0)]);
        standin.driver(|driver| driver.init_delay_s = 1.0);
        let start = Instant::now();
        let tracker = Tracker::create(&standin.options()).unwrap().unwrap();
        let created = start.elapsed();
        let begin = call(|| tracker.begin());
        let begun = start.elapsed();
        pause(2 * SECOND);
        let end = call(|| tracker.end());
        settle(&tracker);
        let found = Found::all(&tracker);
        tracker.destroy();
        let (measured, used) = (found.number("/usage/energy_j"), standin.used(&[0], begin, end));
        let coverage = found.number("/usage/coverage");
        println!(
            "a second to start: created in {created:?}, {:+.3} %, coverage {coverage:.3}",
            used.off(measured) * 100.0
        );
        assert!(begun < Duration::from_millis(4), "it waits 3 ms for a quick driver: {begun:?}");
        used.assert_near(measured, 0.002, "a second to start");
        assert!((0.49..0.52).contains(&coverage), "{coverage}");
    });
}
