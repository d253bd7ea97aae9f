//! The meters of a GPU, and which of their values are refused: limits, powers, a counter beside its power, a module's
//! meter.

use crate::fake_nvml::{Found, Gpu, NOT_READY, Standin, tracker};
use crate::retry::{Used, call, now, run, steadily};
use carbontracker::measurement::reading::{Reading, Value};
use carbontracker::measurement::source::{Source, Waker, start_nvml};
use carbontracker::options::Options;
use carbontracker::os::OwnTable;
use carbontracker::tracker::Tracker;
use std::path::Path;
use std::time::{Duration, Instant};

const EPOCH: Duration = Duration::from_millis(300);

/// A mobile GPU of 175 W that reports 593 W at idle (seerge/g-helper#5819). The limit is known in different ways.
#[test]
fn a_power_far_above_the_limit_is_refused() {
    steadily(|| {
        for (limit_w, limits_w) in [(175.0, [0.0; 3]), (-1.0, [175.0, 0.0, 0.0]), (0.0, [0.0, 175.0, 175.0])] {
            let gpus = [593.0, 170.0].map(|watts| Gpu { limit_w, limits_w, ..Gpu::constant(watts).without_counter() });
            let standin = Standin::new(&gpus);
            let tracker = tracker(&standin.options());
            let stamps = run(&tracker, 4, EPOCH, |_| ());
            let found = Found::all(&tracker);
            tracker.destroy();
            assert_eq!(found.gpu(0)["energy_j"].as_f64().unwrap_or(0.0), 0.0, "{limits_w:?}: {:#}", found.gpu(0));
            let used = standin.used(&[1], stamps[0].0, stamps[3].1);
            used.assert_near(found.gpu(1)["energy_j"].as_f64().unwrap(), 0.03, "the other");
            assert!(found.messages.iter().any(|text| text.contains("can draw")), "{:?}", found.messages);
        }
    });
}

/// The limit may be raised during the run, so the highest limit counts too.
#[test]
fn a_limit_that_is_raised_later_does_not_stop_the_count() {
    steadily(|| {
        let gpu = Gpu { limit_w: 100.0, limits_w: [100.0, 450.0, 500.0], ..Gpu::constant(480.0).without_counter() };
        let standin = Standin::new(&[gpu]);
        let tracker = tracker(&standin.options());
        let stamps = run(&tracker, 3, EPOCH, |_| ());
        let found = Found::all(&tracker);
        tracker.destroy();
        let used = standin.used(&[0], stamps[0].0, stamps[2].1);
        used.assert_near(found.gpu(0)["energy_j"].as_f64().unwrap(), 0.03, "at 480 W");
    });
}

/// 0xFFFFFFFF mW for a moment in the middle of a run. It once added 216,060 J to 500 J. No part of it is counted.
#[test]
fn a_glitch_of_a_power_adds_no_energy() {
    steadily(|| {
        for milliseconds in [60, 120] {
            let standin = Standin::new(&[Gpu::constant(100.0).without_counter()]);
            let tracker = tracker(&standin.options());
            let stamps = run(&tracker, 5, EPOCH, |n| {
                let from = now() + 100_000_000;
                let glitch = [from, from + milliseconds * 1_000_000];
                standin.change(0, |gpu| gpu.glitch = if n == 2 { glitch } else { gpu.glitch });
            });
            let found = Found::all(&tracker);
            tracker.destroy();
            let (energy, gpu) = (found.number("/usage/energy_j"), found.gpu(0));
            println!("{milliseconds} ms: {energy:.1} J, {} {}", gpu["status"], gpu["note"]);
            standin.used(&[0], stamps[0].0, stamps[4].1).assert_near(energy, 0.03, "a glitch");
        }
    });
}

/// The power beside a counter is read once a second while the counter moves, else as often as without a counter.
#[test]
fn the_power_beside_a_counter_is_read() {
    steadily(|| {
        let sick = Gpu::constant(200.0).stuck();
        let standin = Standin::new(&[Gpu::constant(200.0), sick, Gpu { power_share: 0.0, ..sick }]);
        let options = Options::parse(&standin.options(), |_| None).unwrap();
        let opening = start_nvml(&options.measurement, Waker::default(), OwnTable::shared().unwrap()).unwrap().unwrap();
        let (source, _) = opening.wait(Duration::from_secs(5)).unwrap();
        let mut source = source.unwrap();
        let readings = read(&mut *source, Duration::from_millis(2500));
        let of = |n: usize| readings.iter().filter(move |reading| reading.channel == n).map(|reading| reading.value);
        let watts = |value| if let Ok(Value::CheckWatts(watts)) = value { Some(watts) } else { None };
        let beside = |n: usize| of(n).filter_map(watts);
        let counts = |n: usize| of(n).filter(|value| matches!(value, Ok(Value::Count(_)))).count();
        println!("beside: {:?}", [0, 1, 2].map(|n| (counts(n), beside(n).count())));
        assert!((2..=4).contains(&beside(0).count()), "{}", beside(0).count());
        assert!(beside(0).chain(beside(1)).all(|watts| (watts - 200.0).abs() < 1.0));
        assert!(beside(1).count() > 15 && beside(2).count() > 15 && beside(2).all(|watts| watts == 0.0));
        assert!(counts(1) > 15, "and its counter is read");
        assert!(readings.iter().all(|reading| reading.value.is_ok()), "the meter finds stalls, not the source");
    });
}

/// Faults from the start: a counter at 0 beside a power, both at 0, and the 0 mW of a vGPU
/// (NVIDIA/gpu-monitoring-tools#104).
#[test]
fn a_gpu_without_a_sign_of_life_is_unknown_and_not_0() {
    steadily(|| {
        let stuck = Gpu::constant(200.0).stuck();
        let dead = Gpu { power_share: 0.0, ..stuck };
        let standin = Standin::new(&[Gpu::constant(200.0), stuck, dead, dead.without_counter()]);
        let tracker = tracker(&standin.options());
        let stamps = run(&tracker, 6, EPOCH, |_| ());
        let found = Found::all(&tracker);
        tracker.destroy();
        for n in [0, 1] {
            let energy = found.gpu(n)["energy_j"].as_f64().unwrap();
            println!("GPU {n}: {energy:.1} J; {} {}", found.gpu(n)["status"], found.gpu(n)["note"]);
            standin.used(&[n], stamps[0].0, stamps[5].1).assert_near(energy, 0.05, "alive, or by its power");
        }
        for n in [2, 3] {
            let gpu = found.gpu(n);
            println!("GPU {n}: {} {}", gpu["status"], gpu["note"]);
            assert!(gpu["energy_j"].is_null() && gpu["status"] != "ok", "{gpu:#}");
        }
        assert!(found.number("/usage/coverage") < 0.1);
    });
}

/// As users of another tool reported (ml-energy/zeus#181): 187 J by the counter, 327 J by polling the power.
#[test]
fn a_counter_that_disagrees_with_its_power_is_named() {
    steadily(|| {
        let standin = Standin::new(&[Gpu::constant(200.0), Gpu { power_share: 1.7, ..Gpu::constant(100.0) }]);
        let tracker = tracker(&standin.options());
        run(&tracker, 1, Duration::from_secs(24), |_| ());
        let found = Found::all(&tracker);
        tracker.destroy();
        let notes = [0, 1].map(|n| found.gpu(n)["note"].as_str().unwrap_or_default().to_owned());
        println!("apart: {notes:?}; {:?}", found.messages);
        assert!(notes[0].is_empty() && notes[1].contains("power"), "{notes:?}");
    });
}

/// Reads a source as the sampler does, every 50 ms.
fn read(source: &mut dyn Source, time: Duration) -> Vec<Reading> {
    let (start, mut readings) = (Instant::now(), Vec::new());
    while start.elapsed() < time {
        source.read(&carbontracker::os::monotonic_ns, &mut readings);
        std::thread::sleep(Duration::from_millis(50));
    }
    source.collect(&mut readings);
    readings
}

/// Since Ampere the usual power is the mean of the last second. Without a counter the field of the present power is
/// better.
#[test]
fn the_present_power_is_read_if_the_driver_has_it() {
    steadily(|| {
        let gpu = Gpu { power_window: 1_000_000_000, ..Gpu::wave(400.0, 80.0, 3.0).without_counter() };
        let standin = Standin::new(&[Gpu { scopes: [1.0, 0.0, 0.0], ..gpu }]);
        let tracker = tracker(&standin.options());
        crate::retry::wait_past_edge(1_500_000_000);
        let stamps = run(&tracker, 2, Duration::from_millis(1400), |_| ());
        let found = Found::all(&tracker);
        tracker.destroy();
        // The mean of a second would be wrong by the energy of half a second of the wave.
        for (n, (begin, end)) in stamps.into_iter().enumerate() {
            let energy = found.number(&format!("/epochs/{n}/gpu_j"));
            standin.used(&[0], begin, end).assert_near(energy, 0.3, "an epoch of 1.4 s");
        }
    });
}

#[test]
fn a_sensor_that_measures_a_quarter_of_the_time_is_named() {
    steadily(|| {
        let names = ["NVIDIA A100-SXM4-80GB", "NVIDIA H100 80GB HBM3", "NVIDIA RTX A1000", "NVIDIA GeForce RTX 3090"];
        let standin = Standin::new(&names.map(|name| Gpu::constant(100.0).named(name)));
        let tracker = tracker(&standin.options());
        let found = Found::all(&tracker);
        tracker.destroy();
        let has_note = |n: usize| found.gpu(n)["note"].as_str().is_some_and(|note| note.contains("under 5 s"));
        assert_eq!([0, 1, 2, 3].map(has_note), [true, true, false, false]);
    });
}

const MODULE_W: f64 = 600.0;
const GRACE_W: f64 = 150.0;
const ZONE: &str = "sys/class/hwmon";

/// A Grace Hopper: NVML reports the module's power, and the Grace socket has its own meter.
fn grace_hopper(gpu: Gpu) -> Standin {
    let standin = Standin::new(&[Gpu { limit_w: 900.0, ..gpu.named("NVIDIA GH200 480GB") }]);
    let root = standin.dir().join("empty");
    let meters = [("Module", MODULE_W), ("Grace", GRACE_W), ("CPU", 100.0), ("SysIO", 20.0)];
    for (number, (label, watts)) in meters.into_iter().enumerate() {
        let monitor = root.join(format!("{ZONE}/hwmon{number}"));
        write(&monitor.join("name"), "power_meter\n");
        write(&monitor.join("device/name"), "power_meter\n");
        write(&monitor.join("device/power1_oem_info"), &format!("{label} Power Socket 0\n"));
        write(&monitor.join("device/power1_average_interval"), "50\n");
        write(&monitor.join("device/power1_average"), &format!("{}\n", (watts * 1e6) as u64));
    }
    write(&root.join("dev/nvidiactl"), "");
    standin
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// The processor is counted once, for any answer of NVML and any delay. The report shows how.
#[test]
fn a_superchips_processor_is_counted_once() {
    steadily(|| {
        let module = Gpu::constant(MODULE_W);
        let by_scope = Gpu { scopes: [0.75, 1.0, 0.0], ..module };
        let cases: [(&str, Gpu, f64, &str, bool); 8] = [
            ("no field values", module, 0.0, "compare with components=cpu", false),
            ("no field values, no counter", module.without_counter(), 0.0, "compare with", false),
            ("the module's alone", Gpu { scopes: [0.0, 1.0, 0.0], ..module }, 0.0, "the whole module", false),
            ("the same for both scopes", Gpu { scopes: [1.0, 1.0, 1.0], ..module }, 0.0, "the whole module", false),
            ("by scope", by_scope, 0.0, "the GPU alone", true),
            ("by scope, no counter", by_scope.without_counter(), 0.0, "the GPU alone", true),
            ("a second to start", module, 1.0, "compare with", false),
            ("by scope, a second to start", by_scope, 1.0, "the GPU alone", true),
        ];
        for (what, gpu, init_delay_s, note, has_cpu) in cases {
            let standin = grace_hopper(gpu);
            standin.driver(|driver| driver.init_delay_s = init_delay_s);
            let found = measure(&standin, |tracker| run_for(tracker, Duration::from_millis(2200)));
            let watts = found.number("/usage/energy_j") / found.number("/usage/duration_s");
            println!("{what}: {watts:.1} W; {}", found.gpu(0)["note"]);
            Used::exactly(MODULE_W).assert_near(watts, 0.02, what);
            assert!(found.gpu(0)["note"].as_str().unwrap().contains(note), "{what}: {}", found.gpu(0)["note"]);
            let components = found.report["components"].as_array().unwrap();
            assert_eq!(components.iter().any(|one| one["kind"] == "cpu"), has_cpu, "{what}: {components:#?}");
            let is_reported =
                found.report["unavailable"].to_string().contains("Grace Power Socket 0: it is not counted");
            assert_eq!(is_reported, !has_cpu, "{what}: {:#}", found.report["unavailable"]);
        }
    });
}

/// The processor's own meter counts until the module's GPU answers. From then on NVML's meter does.
#[test]
fn a_superchip_whose_gpu_wakes_later_is_counted_once() {
    steadily(|| {
        let standin = grace_hopper(Gpu::constant(MODULE_W));
        let well = now() + 1_500_000_000;
        standin.change(0, |gpu| (gpu.answer, gpu.answer_until) = (NOT_READY, well));
        let mut stamps = None;
        let found = measure(&standin, |tracker| stamps = Some(run_for(tracker, Duration::from_secs(4))));
        let (begin, end) = stamps.unwrap();
        let energy = found.number("/usage/energy_j");
        let (most, least) = (end.after - well, (end.before - well).saturating_sub(1_200_000_000));
        let before = GRACE_W * (well - begin.before) as f64 * 1e-9;
        println!("wakes later: {energy:.0} J, {before:.0} J of them before; {:#}", found.report["components"]);
        let joules = |ns: u64| MODULE_W * ns as f64 * 1e-9;
        assert!((0.95 * (joules(least) + before)..1.05 * (joules(most) + before)).contains(&energy), "{energy} J");
    });
}

fn run_for(tracker: &Tracker, time: Duration) -> (crate::retry::Stamp, crate::retry::Stamp) {
    let begin = call(|| tracker.begin());
    std::thread::sleep(time);
    (begin, call(|| tracker.end()))
}

fn measure<T>(standin: &Standin, epoch: impl FnOnce(&Tracker) -> T) -> Found {
    let tracker = Tracker::create(&format!("{} components=all", standin.options())).unwrap().unwrap();
    epoch(&tracker);
    std::thread::sleep(Duration::from_millis(400));
    let found = Found::all(&tracker);
    tracker.destroy();
    found
}
