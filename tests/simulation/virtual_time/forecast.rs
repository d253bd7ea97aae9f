//! The forecast of a live run with a slow first epoch and progress marks.

use crate::fake_rapl::{Counter, READS, Tree};
use crate::retry::now;
use crate::{Simulation, virtually};
use carbontracker::clock::MonoNs;
use carbontracker::error::Status;
use carbontracker::measurement::channel::{Channel, DeviceKind, MeasuringMethod, Quantity};
use carbontracker::measurement::machine::Machine;
use carbontracker::measurement::reading::{Reading, Value};
use carbontracker::measurement::source::{Opened, Source};
use carbontracker::measurement::source_name::SourceName;
use carbontracker::measurement::sources::Sources;
use carbontracker::options::Options;
use carbontracker::os::{Instant, pause};
use carbontracker::tracker::Tracker;
use carbontracker_simulation::device::SharedKernel;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const BATCHES: u64 = 60;
const BATCH: Duration = Duration::from_millis(10);
const EPOCHS: u64 = 6;

/// A run with slow first batches.
struct Load {
    /// The number of slow batches.
    cold: u64,
    /// How many times longer a slow batch takes.
    slower: u32,
}

/// The errors of forecasts, relative to the final total. A pair is that of time and that of energy.
struct ForecastErrors {
    at_a_twentieth: f64,
    at_half: (f64, f64),
    after_one: (f64, f64),
    after_two: (f64, f64),
}

impl Load {
    fn run(&self, options: &str) -> ForecastErrors {
        let tree = Tree::new(&[("intel-rapl:0", "package-0", Counter::constant(100.0))]);
        let options = format!("sysroot={} components=cpu epochs={EPOCHS} {options}", tree.root().display());
        let tracker = Tracker::create(&options).unwrap().unwrap();
        let value = |pointer: &str| tracker.value(pointer);
        let both = || (value("/forecast/duration_s/value").unwrap(), value("/forecast/energy_j/value").unwrap());
        let mut forecasts = Vec::new();
        for epoch in 0..EPOCHS {
            tracker.begin().unwrap();
            let mut until = now();
            for batch in 0..BATCHES {
                let is_cold = epoch == 0 && batch < self.cold;
                until += (BATCH * if is_cold { self.slower } else { 1 }).as_nanos() as u64;
                pause(Duration::from_nanos(until.saturating_sub(now())));
                tracker.progress(batch + 1, BATCHES).unwrap();
                match (epoch, batch + 1) {
                    (0, 2) => assert!(value("/forecast/energy_j/value").is_err(), "a thirtieth is too little"),
                    (0, 3) | (0, 30) => forecasts.push(both()),
                    _ => (),
                }
            }
            tracker.end().unwrap();
            if epoch < 2 {
                forecasts.push(both());
            }
        }
        let total = (value("/usage/duration_s").unwrap(), value("/usage/energy_j").unwrap());
        assert!((value("/forecast/energy_j/value").unwrap() / total.1 - 1.0).abs() < 1e-6);
        tracker.destroy();
        let off = |n: usize| (forecasts[n].0 / total.0 - 1.0, forecasts[n].1 / total.1 - 1.0);
        ForecastErrors { at_a_twentieth: off(0).0, at_half: off(1), after_one: off(2), after_two: off(3) }
    }

    fn check(&self, options: &str) {
        let ForecastErrors { at_a_twentieth, at_half, after_one, after_two } = self.run(options);
        let shown = |(time, energy): (f64, f64)| format!("{:+.1} / {:+.1} %", time * 100.0, energy * 100.0);
        println!(
            "{} of {BATCHES} batches {} times slower, time / energy off: at a twentieth {:+.0} %, at half {}, after one {}, after two {}",
            self.cold,
            self.slower,
            at_a_twentieth * 100.0,
            shown(at_half),
            shown(after_one),
            shown(after_two)
        );
        let within = |(time, energy): (f64, f64), most: f64| time.abs() < most && energy.abs() < most;
        assert!(within(at_half, 0.015) && within(after_one, 0.01) && within(after_two, 0.005));
    }
}

#[test]
fn forecast_is_close_if_the_first_epoch_starts_slowly() {
    virtually(|_| {
        Load { cold: 6, slower: 10 }.check("");
        Load { cold: 12, slower: 5 }.check("");
        Load { cold: 15, slower: 3 }.check("interval=10");
    });
}

#[test]
fn forecast_is_close_if_the_first_epoch_is_like_the_others() {
    virtually(|_| Load { cold: 0, slower: 1 }.check("interval=0.1"));
}

/// Runs an epoch of this length with a progress mark every 5 ms. `at` gets the time since its begin, s.
fn marked_epoch(tracker: &Tracker, length: Duration, mut at: impl FnMut(f64)) {
    let marks = length.as_millis() as u64 / 5;
    tracker.begin().unwrap();
    for mark in 1..=marks {
        pause(Duration::from_millis(5));
        tracker.progress(mark, marks).unwrap();
        at(mark as f64 * 0.005);
    }
    tracker.end().unwrap();
}

/// A mark wakes no thread. The sampler reads marks less and less often, and not at all without a forecast.
#[test]
fn marks_cause_fewer_and_fewer_readings() {
    virtually(|_| {
        for (epochs, most_early, most_late) in [("epochs=9", 72, 36), ("", 2, 0)] {
            let tree = Tree::new(&[("intel-rapl:0", "package-0", Counter::constant(100.0))]);
            let tracker =
                Tracker::create(&format!("sysroot={} components=cpu interval=10 {epochs}", tree.root().display()))
                    .unwrap()
                    .unwrap();
            let reads = || READS.load(Ordering::Relaxed);
            let (start, mut early, mut late) = (reads(), 0, 0);
            marked_epoch(&tracker, Duration::from_secs(3), |gone| {
                early = if gone <= 1.0 { reads() - start } else { early };
                late = if gone > 2.0 { reads() - start - early } else { 0 };
            });
            let before = reads();
            marked_epoch(&tracker, Duration::from_secs(1), |_| ());
            tracker.destroy();
            let after = reads() - before;
            println!("'{epochs}': {early} readings in the first second, {late} after, {after} in the second epoch");
            assert!(early <= most_early && late <= most_late && after <= 3);
        }
    });
}

/// The open first epoch is followed to its end even if the sampler often reads for other reasons.
#[test]
fn long_first_epoch_is_followed_to_its_end() {
    virtually(|_| {
        let tracker = Tracker::create("sim_cpu=x:100 components=cpu interval=0.05 epochs=2").unwrap().unwrap();
        let mut left = Vec::new();
        marked_epoch(&tracker, Duration::from_secs(4), |gone| {
            if (gone * 200.0).round() as u64 % 100 == 0 {
                left.push(tracker.value("/forecast/remaining/duration_s/value").unwrap());
            }
        });
        tracker.destroy();
        println!("still to come each half second: {left:.2?}");
        assert!(left.windows(2).all(|pair| (pair[0] - pair[1] - 0.5).abs() < 0.01), "{left:?}");
    });
}

/// A single mark right after the begin of the epoch, as an application makes after a resume.
#[test]
fn single_mark_is_used() {
    virtually(|_| {
        let tracker = Tracker::create("sim_cpu=x:100 components=cpu epochs=3").unwrap().unwrap();
        let start = now();
        tracker.begin().unwrap();
        tracker.progress(10, 100).unwrap();
        (0..8).for_each(|_| assert!(tracker.value("/forecast/duration_s/value").is_ok()));
        let taken = now() - start;
        tracker.destroy();
        assert!(taken < 60_000_000, "{taken} ns");
    });
}

/// A report inside the first epoch requests a forecast. The sampling thread rests again after it.
#[test]
fn sampler_rests_after_a_request() {
    virtually(|at| {
        let tracker = Tracker::create("sim_cpu=x:100 components=cpu interval=60 epochs=3").unwrap().unwrap();
        tracker.begin().unwrap();
        pause(Duration::from_secs(1));
        tracker.progress(30, 100).unwrap();
        assert!(tracker.value("/forecast/duration_s/value").is_ok());
        tracker.end().unwrap();
        let before = at.kernel.switches();
        pause(Duration::from_secs(600));
        let woken = at.kernel.switches() - before;
        tracker.destroy();
        println!("{woken} switches in ten minutes");
        assert!(woken < 1_500, "{woken}");
    });
}

/// GPUs of 250 W behind a driver, whose readings are counted.
struct CountedDriver {
    kernel: SharedKernel,
    /// Time that the driver takes to open, ns.
    opens_ns: u64,
    readings: Arc<AtomicUsize>,
}

struct CountedSource {
    channels: [Channel; 1],
    readings: Arc<AtomicUsize>,
}

impl Source for CountedSource {
    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn read(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
        self.readings.fetch_add(1, Ordering::Relaxed);
        readings.push(Reading { channel: 0, at: clock(), value: Ok(Value::Watts(250.0)) });
    }
}

impl Machine for CountedDriver {
    fn discover(&self) -> Sources {
        Sources::default()
    }

    fn next(&self, _: DeviceKind, _: &[(DeviceKind, SourceName)]) -> Sources {
        Sources::default()
    }

    fn has_driver(&self) -> bool {
        true
    }

    fn open_driver(&self) -> Opened {
        self.kernel.0.sleep(self.opens_ns);
        let kind = (DeviceKind::Gpu, SourceName::Nvml);
        let quantity = Quantity::Power { max_watts: 500.0 };
        let channels = [Channel::new(kind, "a", "a", MeasuringMethod::Power, quantity)];
        (Some(Box::new(CountedSource { channels, readings: Arc::clone(&self.readings) })), Vec::new())
    }
}

/// A tracker of GPUs whose driver opens in this time, and the number of readings.
fn with_driver(at: &Simulation, opens: Duration, options: &str) -> (Tracker, Arc<AtomicUsize>) {
    let readings = Arc::<AtomicUsize>::default();
    let driver = CountedDriver {
        kernel: SharedKernel(Rc::clone(&at.kernel)),
        opens_ns: opens.as_nanos() as u64,
        readings: Arc::clone(&readings),
    };
    let options = Options::parse(&format!("components=gpu {options}"), |_| None).unwrap();
    (Tracker::start_on(Some(Arc::new(driver)), options).unwrap(), readings)
}

/// Marks cause no readings of a GPU's driver after the first epoch, or if the number of epochs is unknown.
#[test]
fn marks_cause_no_calls_of_a_driver() {
    virtually(|at| {
        for epochs in ["", "epochs=9"] {
            let (tracker, readings) = with_driver(at, Duration::ZERO, epochs);
            if !epochs.is_empty() {
                marked_epoch(&tracker, Duration::from_millis(300), |_| ());
            }
            pause(Duration::from_millis(300));
            let before = readings.load(Ordering::Relaxed);
            let mut calls = 0;
            marked_epoch(&tracker, Duration::from_secs(3), |gone| {
                calls = if gone < 0.5 { 0 } else { readings.load(Ordering::Relaxed) - before };
            });
            tracker.destroy();
            println!("'{epochs}': {calls} readings in an epoch with marks");
            assert!(calls <= 4, "{calls}");
        }
    });
}

/// If the first energy comes late, the forecast comes in time without energy. The application waits only once.
#[test]
fn driver_that_starts_slowly_delays_only_once() {
    virtually(|at| {
        let (tracker, _) = with_driver(at, Duration::from_millis(1500), "epochs=3");
        tracker.begin().unwrap();
        pause(Duration::from_millis(30));
        tracker.progress(3, 100).unwrap();
        pause(Duration::from_millis(30));
        tracker.progress(10, 100).unwrap();
        let mut waited = Duration::ZERO;
        for mark in 11..=60 {
            pause(Duration::from_millis(10));
            tracker.progress(mark, 100).unwrap();
            let asked = Instant::now();
            let _ = tracker.value("/forecast/duration_s/value");
            waited += asked.elapsed();
        }
        assert!(
            tracker.value("/forecast/duration_s/value").is_ok() && tracker.value("/forecast/energy_j/value").is_err()
        );
        tracker.destroy();
        println!("waited {waited:?} in fifty calls");
        assert!(waited < Duration::from_millis(310), "{waited:?}");
    });
}

/// No verdict comes while the driver opens, so no call waits for one.
#[test]
fn budget_waits_for_no_driver_that_starts_slowly() {
    virtually(|at| {
        let (tracker, _) = with_driver(at, Duration::from_secs(3), "epochs=9 budget_kwh=1");
        let asked = Instant::now();
        for _ in 0..3 {
            tracker.begin().unwrap();
            tracker.end().unwrap();
            let _ = tracker.take_message(|_| Ok(Status::CT_OK));
        }
        assert!(asked.elapsed() < Duration::from_millis(50), "{:?}", asked.elapsed());
        pause(Duration::from_secs(5));
        tracker.begin().unwrap();
        pause(Duration::from_secs(1));
        tracker.end().unwrap();
        assert_eq!(tracker.take_message(|_| Ok(Status::CT_OK)), Ok(Status::CT_OK), "the forecast after four epochs");
        tracker.destroy();
    });
}
