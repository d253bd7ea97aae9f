use super::log::{self, Found, Power};
use super::report::report;
use carbontracker::log::original::{Standard, output};
use proptest::prelude::*;
use serde_json::{Value, json};

const AT: f64 = 1.8e9;

fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

/// These messages as a log.
fn dated(messages: &[&str]) -> String {
    messages.iter().map(|message| format!("2026-11-28 19:18:38 - {message}\n")).collect()
}

const HEAD: [&str; 3] = [
    "carbontracker version 2.4.7",
    "Only predicted and actual consumptions are multiplied by a PUE coefficient of 1.5 (somebody).",
    "The following components were found: GPU with device(s) A100, A100. CPU with device(s) Xeon @ 2.50GHz v4., cpu:1.",
];

fn standard(messages: &[&str]) -> Result<log::Standard, String> {
    let read = log::standard(&dated(&[&HEAD, messages].concat()));
    read.map_err(|broken| format!("{}: {}", broken.line, broken.what))
}

#[test]
fn every_form_of_a_power_is_read() {
    let log = standard(&[
        "Epoch 1:",
        "Duration: 1:02:03.50",
        "Average power usage (W) for gpu: [300.       1.5e+01\n 2.]",
        "Average power usage (W) for cpu: None",
        "Epoch 2:",
        "Duration: 0:00:01",
        "Average power usage (W) for gpu: 400.25",
        "Average power usage (W) for cpu: nan",
        "Epoch 3:",
        "Duration: 0:00:01.00",
        "Average power usage (W) for gpu: [300.       15.",
        "Monitoring thread ended.",
    ])
    .unwrap();
    assert_eq!(log.components[0], Found { kind: "gpu".into(), devices: vec!["A100".into(), "A100".into()] });
    assert_eq!(log.components[1].devices, ["Xeon @ 2.50GHz v4.", "cpu:1"]);
    assert_eq!((log.epochs[0].duration_s, log.epochs[1].duration_s, log.pue), (3723.5, 1.0, Some(1.5)));
    let powers: Vec<&Power> = log.epochs.iter().flat_map(|epoch| &epoch.powers).map(|(_, power)| power).collect();
    assert_eq!(
        powers,
        [&Power::Each(vec![300.0, 15.0, 2.0]), &Power::Unknown, &Power::One(400.25), &Power::Unknown, &Power::Unknown]
    );
    let told = report("a", Some(&log), None);
    assert!(told["epochs"][0]["energy_j"].is_null() && told["epochs"][0]["cpu_j"].is_null(), "not 0 but unknown");
    assert_eq!(number(&told, "/epochs/1/gpu_j"), 400.25);
    let notes = told["notes"].to_string();
    assert!(
        notes.contains("gpu: 2 devices but one power") && notes.contains("cpu: no power is known of 3 epochs"),
        "{notes}"
    );
}

#[test]
fn a_log_that_breaks_off_loses_what_is_not_whole() {
    let whole = [
        "Epoch 1:",
        "Duration: 0:00:01.00",
        "Average power usage (W) for gpu: 4",
        "Average power usage (W) for cpu: 2",
    ];
    let text = dated(
        &[&HEAD[..], &whole, &["Epoch 2:", "Duration: 0:00:09.00", "Average power usage (W) for gpu: 400.0"]].concat(),
    );
    for end in 1..60 {
        let log = log::standard(&text[..text.len() - end]).unwrap();
        assert_eq!((log.epochs.len(), log.epochs[0].powers.len(), log.is_ended), (1, 2, false));
        let report = report("a", Some(&log), None);
        assert_eq!((report["run"]["state"].as_str(), number(&report, "/usage/energy_j")), (Some("unfinished"), 6.0));
    }
}

#[test]
fn what_is_broken_is_named_by_line() {
    for (messages, complaint) in [
        (&["Epoch 1:", "Duration: soon"][..], "5: duration 'soon': expected H:MM:SS.ss"),
        (&["Epoch 1:", "Epoch 2:", "Duration: 0:00:01.00"], "4: epoch 1 has no line with its duration"),
        (&["Epoch one:"], "4: epoch 'one': expected a number"),
        (&["Epoch 1:", "Average power usage (W) for gpu: much"], "5: power 'much': expected a number from 0 to 1e100"),
        (&["Epoch 1:", "Average power usage (W) for gpu: -3"], "5: power '-3': expected a number from 0 to 1e100"),
    ] {
        assert_eq!(standard(messages).unwrap_err(), complaint);
    }
    let block = "CarbonTracker: \nActual consumption for 2 epoch(s):\n\tTime:\t0:00:01\n\tEnergy:\tmuch kWh";
    assert_eq!(log::output(&dated(&[block, "CarbonTracker: Finished monitoring."])).unwrap_err().line, 4);
    assert!(log::standard("hello\n").is_err() && log::standard("").is_err() && log::output("").is_err());
    assert!(log::standard(&dated(&["hello"])).unwrap_err().what.contains("no line tells"));
}

/// A run of the library; how its epochs ended does not matter here.
fn run() -> impl Strategy<Value = Value> {
    let epoch = (0.0005..1e5f64, prop::option::of(0.0..1e4f64), prop::option::of(1e-9..1e4f64), 1..1000u64);
    (prop::collection::vec(epoch, 1..60), 1.0..3.0f64, 0.0..1e4f64, ".{1,20}").prop_map(|(epochs, pue, grid, device)| {
        let mut index = 0;
        let mut joules = None;
        let epochs: Vec<Value> = epochs
            .into_iter()
            .map(|(seconds, cpu, gpu, count)| {
                let [cpu, gpu] = [cpu, gpu].map(|watts| watts.map(|watts| watts * seconds));
                joules = [joules, cpu, gpu].into_iter().flatten().reduce(|a, b| a + b);
                index += count;
                json!({"index": index - count, "count": count, "duration_s": seconds, "cpu_j": cpu, "gpu_j": gpu})
            })
            .collect();
        let seconds: f64 = epochs.iter().map(|epoch| number(epoch, "/duration_s")).sum();
        let kwh = joules.map(|joules| joules / 3.6e6 * pue);
        json!({
            "run": {"state": "between", "epochs_planned": index + 1, "epochs_done": index},
            "usage": {"duration_s": seconds, "facility_energy_kwh": kwh, "co2eq_g": kwh.map(|kwh| kwh * grid), "joules": joules},
            "intensity": {"g_per_kwh": grid, "kind": "live", "zone": "DK"},
            "pue": pue,
            "components": [{"kind": "cpu", "device": device, "energy_j": 1}, {"kind": "gpu", "device": device, "energy_j": 1}],
            "epochs": epochs,
        })
    })
}

/// The library renews its output log every few seconds.
#[test]
fn of_a_killed_run_the_epochs_count_that_came_after_its_output_log() {
    let epoch = |index: u64| json!({"index": index, "count": 1, "duration_s": 1.0, "cpu_j": 50.0});
    let so_far = |done: u64| {
        json!({"run": {"state": "in_epoch", "epochs_planned": 9, "epochs_done": done}, "pue": 2.0, "intensity": {"g_per_kwh": 100.0},
            "usage": {"duration_s": done, "facility_energy_kwh": done as f64 * 100.0 / 3.6e6, "co2eq_g": done as f64 * 1e4 / 3.6e6},
            "components": [{"kind": "cpu", "device": "A", "energy_j": 1}]})
    };
    let mut log = Standard::new(&so_far(1));
    let text = log.head(&so_far(1), AT) + &(0..4).map(|index| log.epoch(&epoch(index), AT)).collect::<String>();
    let standard = log::standard(&text).unwrap();
    for told_of in [1, 4] {
        let output = log::output(&output(&so_far(told_of), AT, false)).unwrap();
        let told = report("a", Some(&standard), Some(&output));
        assert_eq!(number(&told, "/run/epochs_done"), 4.0);
        for (figure, expected) in [("energy_j", 200.0), ("duration_s", 4.0), ("co2eq_g", 400.0 / 3.6e6 * 100.0)] {
            assert!(close(number(&told, &format!("/usage/{figure}")), expected), "{told_of}, {figure}: {told}");
        }
    }
}

#[test]
fn a_run_that_was_taken_up_and_came_to_its_end_is_done() {
    let epoch = ["Duration: 0:00:01.00", "Average power usage (W) for gpu: 4", "Average power usage (W) for cpu: 2"];
    let ended = ["Training was interrupted before all 2 epochs were monitored.", "Monitoring thread ended."];
    for (messages, state) in [
        ([&["Epoch 1:"][..], &epoch, &ended].concat(), "between"),
        ([&["Epoch 1:"][..], &epoch, &ended, &["Epoch 2:"], &epoch, &ended[1..]].concat(), "done"),
    ] {
        assert_eq!(report("a", Some(&standard(&messages).unwrap()), None)["run"]["state"], state);
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs() + 1e-12 || a.is_nan() && b.is_nan()
}

proptest! {
    #[test]
    fn what_the_library_writes_is_read_back(run in run(), is_over: bool) {
        let mut log = Standard::new(&run);
        let mut text = log.head(&run, AT);
        run["epochs"].as_array().unwrap().iter().for_each(|epoch| text += &log.epoch(epoch, AT));
        text += &log.tail(&run, AT); // so that no epoch waits for more
        let standard = log::standard(&text).unwrap();
        let output = log::output(&output(&run, AT, is_over)).unwrap();
        let told = report("a", Some(&standard), Some(&output));
        prop_assert_eq!(&told["run"]["epochs_done"], &run["run"]["epochs_done"]);
        prop_assert_eq!(&told["run"]["epochs_planned"], &run["run"]["epochs_planned"]);
        prop_assert_eq!(told["run"]["started"].as_str(), Some("2027-01-15T08:00:00Z"));
        for figure in ["/usage/facility_energy_kwh", "/usage/co2eq_g", "/pue", "/intensity/g_per_kwh"] {
            prop_assert!(close(number(&told, figure), number(&run, figure)), "{}: {} {}", figure, told, run);
        }
        prop_assert!(close(number(&told, "/usage/epochs/energy_j"), number(&run, "/usage/joules")), "{} {}", told, run);
        let off_s = number(&told, "/usage/epochs/duration_s") - number(&run, "/usage/duration_s");
        prop_assert!(off_s.abs() <= 0.0101, "{} s", off_s);
    }

    #[test]
    fn no_bytes_stop_it(bytes: Vec<u8>, cuts in prop::collection::vec((0..400usize, any::<u8>()), 0..8)) {
        let log = dated(&[&HEAD[..], &["Epoch 1:", "Duration: 0:00:01.00", "Average power usage (W) for gpu: [4 5]"],
            &["CarbonTracker: \nActual consumption for 2 epoch(s):\n\tTime:\t0:00:01\n\tEnergy:\t1 kWh\n\tCO2eq:\t1 g"]].concat());
        let mut damaged = log.into_bytes();
        for (place, byte) in cuts {
            let place = place % damaged.len();
            damaged[place] = byte;
        }
        for text in [bytes, damaged].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()) {
            let (standard, output) = (log::standard(&text).ok(), log::output(&text).ok());
            report("a", standard.as_ref(), output.as_ref());
        }
    }
}
