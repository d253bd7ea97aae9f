use super::*;
use proptest::prelude::*;
use serde_json::json;

/// 2026-03-02T13:00:00Z
const AT: UnixS = UnixS(1_772_456_400.0);

fn run(state: &str, done: u64, kwh: Option<f64>) -> Value {
    json!({
        "run": {"state": state, "epochs_planned": 4, "epochs_done": done},
        "usage": {"duration_s": 3661.5, "facility_energy_kwh": kwh, "co2eq_g": kwh.map(|kwh| kwh * 100.0)},
        "forecast": {"after_epochs": done, "duration_s": {"value": 7200.0}, "energy_j": {"value": 3.6e6}, "co2eq_g": null},
        "intensity": {"g_per_kwh": 100.0, "kind": "live", "zone": "aws:eu-north-1"},
        "pue": 1.5,
        "components": [
            {"kind": "dram", "device": "package-0 dram", "energy_j": kwh},
            {"kind": "gpu", "device": "H100, 80.0 GB", "energy_j": kwh},
            {"kind": "cpu", "device": "Xeon® 2.4", "energy_j": kwh},
        ],
    })
}

fn epoch(index: u64, count: u64, duration_s: f64, gpu_j: Option<f64>) -> Value {
    json!({"index": index, "count": count, "duration_s": duration_s, "cpu_j": 30.0 * duration_s, "gpu_j": gpu_j, "dram_j": 5.0 * duration_s, "node_j": null})
}

/// The lines without their dates.
fn messages(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.strip_prefix("2026-03-02 13:00:00 - ").expect("a date")).collect()
}

#[test]
fn an_epoch_has_a_line_for_each_component_and_memory_counts_as_cpu() {
    let report = run("between", 2, Some(2.0));
    let mut log = StandardLog::new(&report);
    let head = log.head(&report, AT);
    assert_eq!(
        messages(&head)[2],
        "The following components were found: GPU with device(s) H100_ 80_0 GB. CPU with device(s) package-0 dram, Xeon? 2_4."
    );
    assert_eq!(
        *messages(&head).last().unwrap(),
        "Carbon intensities (gCO2eq/kWh) fetched every 900 s at detected location aws_eu-north-1: [100.000000]"
    );
    let text = log.epoch(&epoch(0, 1, 3723.504, None), AT);
    assert_eq!(
        messages(&text),
        [
            "Epoch 1:",
            "Duration: 1:02:03.50",
            "Average power usage (W) for gpu: None",
            "Average power usage (W) for cpu: 35.0000376",
        ]
    );
    let text = log.epoch(&epoch(1, 9, 2.0, Some(8.0)), AT);
    assert_eq!(
        messages(&text)[..3],
        [
            "Epochs 2 to 10 follow as one, with their whole duration and mean power.",
            "Epoch 10:",
            "Duration: 0:00:02.00"
        ]
    );
    let tail = log.tail(&report, AT);
    assert_eq!(
        messages(&tail),
        [
            "Training was interrupted before all 4 epochs were monitored.",
            "Average carbon intensity during training was 100.000000 gCO2eq/kWh at detected location: aws_eu-north-1",
            "Monitoring thread ended.",
        ]
    );
}

#[test]
fn a_prediction_stands_beside_what_was_used_only_where_the_run_ended_early() {
    let has = |state: &str, done: u64, kwh: Option<f64>, is_over: bool| {
        let text = output(&run(state, done, kwh), AT, is_over);
        ["Actual consumption", "Predicted consumption", "Finished"].map(|title| text.contains(title))
    };
    assert_eq!(has("done", 2, Some(2.0), true), [true, true, true]);
    assert_eq!(has("between", 2, Some(2.0), false), [true, false, false], "a killed run keeps what it used");
    assert_eq!(has("done", 4, Some(2.0), true), [true, false, true]);
    let mut monitored = run("done", 2, Some(2.0));
    monitored["forecast"]["remaining"] = json!({"duration_s": null, "energy_j": null, "co2eq_g": null});
    assert!(!output(&monitored, AT, true).contains("Predicted"), "monitor_epochs=2");
    assert_eq!(has("between", 2, None, true), [false, false, true], "unknown is not 0, nor the forecast");
    let text = output(&run("done", 4, Some(2.0)), AT, true);
    assert!(text.contains("\nActual consumption for 4 epoch(s):\n\tTime:\t1:01:01.50\n\tEnergy:\t2.000000000000 kWh\n\tCO2eq:\t200.000000000000 g\n\tThis is equivalent to:\n\t1.872659176030 km travelled by car\n2026"));
    let unpriced = output(&run("between", 2, Some(2.0)), AT, true);
    assert!(unpriced.contains("kWh\n\tCO2eq:\tnan g\n\tThis is equivalent to:\n2026"), "{unpriced}");
}

#[test]
fn a_component_that_comes_late_is_told_of() {
    let mut report = run("done", 4, Some(2.0));
    report["components"].as_array_mut().unwrap().remove(1);
    let mut log = StandardLog::new(&report);
    assert!(
        !log.epoch(&epoch(0, 1, 2.0, None), AT).contains("gpu")
            && !log.epoch(&epoch(1, 1, 2.0, Some(8.0)), AT).contains("gpu")
    );
    assert!(log.tail(&report, AT).contains("The component gpu was found after this log began"));
}

#[test]
fn its_parser_takes_a_forecast_for_nothing() {
    let report = run("between", 2, Some(2.0));
    assert_eq!(
        messages(&forecast(&report, AT)),
        ["Forecast after 2 of 4 epoch(s): 1.50000000 kWh with PUE, unknown g CO2eq, 2:00:00.00"]
    );
    assert_eq!(forecast(&json!({"forecast": null}), AT), "");
}

#[test]
fn numbers_have_no_exponent() {
    let shown = [0.0, 1e-12, 0.1, 123.456, 1e20].map(|x| decimal(x, 2));
    assert_eq!(shown, ["0.00", "0.00000000000100000000", "0.100000000", "123.456000", "100000000000000000000.00"]);
}

proptest! {
    #[test]
    fn powers_times_durations_are_the_energies(epochs in prop::collection::vec((1e-4..30.0f64, 0.0..1e4f64, 1..5u64), 1..200)) {
        let report = run("between", 2, Some(1.0));
        let mut log = StandardLog::new(&report);
        let (mut text, mut index, mut seconds, mut joules) = (String::new(), 0, 0.0, 0.0);
        for (duration_s, watts, count) in epochs {
            text += &log.epoch(&epoch(index, count, duration_s, Some(watts * duration_s)), AT);
            index += count;
            seconds += duration_s;
            joules += watts * duration_s;
        }
        text += &log.tail(&report, AT);
        let lines = messages(&text);
        let of = |prefix: &str| -> Vec<&str> { lines.iter().filter_map(|line| line.strip_prefix(prefix)).collect() };
        let durations: Vec<f64> = of("Duration: ").iter().map(|shown| {
            shown.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
        }).collect();
        let powers = of("Average power usage (W) for gpu: ");
        prop_assert_eq!(powers.len(), durations.len());
        let last = of("Epoch ").last().map(|number| (*number).to_owned());
        prop_assert_eq!(last, Some(format!("{index}:")));
        let products: f64 = powers.iter().zip(&durations).map(|(watts, s)| watts.parse::<f64>().unwrap() * s).sum();
        prop_assert!((products - joules).abs() <= 1e-6 * joules + 1e-6, "{} {}", products, joules);
        prop_assert!((durations.iter().sum::<f64>() - seconds).abs() <= 0.0101);
    }
}
