use super::epochs::BadLine;
use super::events::{FoundDevices, LoggedPower, events};
use super::lines::lines;
use super::pairs::LogFile;
use super::{copies, pairs, runs};
use carbontracker::clock::UnixS;
use carbontracker::run_files::carbontracker_log::format::{StandardLog, output};
use proptest::prelude::*;
use serde_json::{Value, json};

const AT: UnixS = UnixS(1.8e9);

fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

/// A log with these messages.
fn dated(messages: &[&str]) -> String {
    messages.iter().map(|message| format!("2026-11-28 19:18:38 - {message}\n")).collect()
}

const HEAD: [&str; 3] = [
    "carbontracker version 2.4.7",
    "Only predicted and actual consumptions are multiplied by a PUE coefficient of 1.5 (somebody).",
    "The following components were found: GPU with device(s) A100, A100. CPU with device(s) Xeon @ 2.50GHz v4., cpu:1.",
];

/// The only run of a standard log.
fn read(text: &str) -> Result<runs::StandardRun, BadLine> {
    let mut runs = runs::standards(&events(&lines(text.as_bytes())));
    assert_eq!(runs.len(), 1, "{text}");
    runs.remove(0)
}

/// A log with a head and these messages.
fn text(messages: &[&str]) -> String {
    dated(&[&HEAD, messages].concat())
}

fn standard(messages: &[&str]) -> Result<runs::StandardRun, String> {
    let read = read(&text(messages));
    read.map_err(|broken| format!("{}: {}", broken.line, broken.what))
}

fn log(stem: &str, text: &str) -> LogFile {
    LogFile::read(format!("{stem}.log"), stem.into(), false, text.as_bytes())
}

/// The reports of logs, given by stem and text.
fn reports(logs: &[(&str, &str)]) -> Vec<Value> {
    let logs: Vec<LogFile> = logs.iter().map(|(stem, text)| log(stem, text)).collect();
    let (runs, _) = copies::once(pairs::runs(&logs), &logs);
    runs.iter().map(super::report::report).collect()
}

/// The report of the only run in these logs.
fn report(texts: &[&str]) -> Value {
    let logs: Vec<(&str, &str)> = texts.iter().map(|text| ("a", *text)).collect();
    let mut reports = reports(&logs);
    assert_eq!(reports.len(), 1, "{reports:?}");
    reports.remove(0)
}

#[test]
fn all_forms_of_power_are_read() {
    let messages = [
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
    ];
    let log = standard(&messages).unwrap();
    assert_eq!(log.components[0], FoundDevices { kind: "gpu".into(), devices: vec!["A100".into(), "A100".into()] });
    assert_eq!(log.components[1].devices, ["Xeon @ 2.50GHz v4.", "cpu:1"]);
    assert_eq!((log.epochs[0].duration_s, log.epochs[1].duration_s, log.pue), (3723.5, 1.0, Some(1.5)));
    let powers: Vec<&LoggedPower> = log.epochs.iter().flat_map(|epoch| &epoch.powers).map(|(_, power)| power).collect();
    assert_eq!(
        powers,
        [
            &LoggedPower::Each(vec![300.0, 15.0, 2.0]),
            &LoggedPower::Unknown,
            &LoggedPower::One(400.25),
            &LoggedPower::Unknown,
            &LoggedPower::Unknown
        ]
    );
    let imported = report(&[&text(&messages)]);
    assert!(
        imported["epochs"][0]["energy_j"].is_null() && imported["epochs"][0]["cpu_j"].is_null(),
        "not 0 but unknown"
    );
    assert_eq!(number(&imported, "/epochs/1/gpu_j"), 400.25);
    let notes = imported["notes"].to_string();
    assert!(
        notes.contains("gpu: 2 devices but one power") && notes.contains("cpu: power unknown in 3 epochs"),
        "{notes}"
    );
}

#[test]
fn truncated_log_loses_only_its_last_epoch() {
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
        let text = &text[..text.len() - end];
        let log = read(text).unwrap();
        assert_eq!((log.epochs.len(), log.epochs[0].powers.len(), log.is_ended), (1, 2, false));
        let report = report(&[text]);
        assert_eq!((report["run"]["state"].as_str(), number(&report, "/usage/energy_j")), (Some("unfinished"), 6.0));
    }
}

#[test]
fn broken_line_is_named() {
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
    let log = |text: &str| log("a", text);
    let broken = log(&dated(&[block, "CarbonTracker: Finished monitoring."])).broken;
    assert_eq!(
        broken.iter().map(|broken| broken.what.as_str()).collect::<Vec<_>>(),
        ["energy 'much': expected a number from 0 to 1e100"]
    );
    assert!(log("hello\n").is_foreign() && log("").is_foreign() && log(&dated(&["hello"])).is_foreign());
}

/// A random run of the library.
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

/// The library rewrites its output log every few seconds.
#[test]
fn epochs_after_the_output_log_of_a_killed_run_count() {
    let epoch = |index: u64| json!({"index": index, "count": 1, "duration_s": 1.0, "cpu_j": 50.0});
    let so_far = |done: u64| {
        json!({"run": {"state": "in_epoch", "epochs_planned": 9, "epochs_done": done}, "pue": 2.0, "intensity": {"g_per_kwh": 100.0},
            "usage": {"duration_s": done, "facility_energy_kwh": done as f64 * 100.0 / 3.6e6, "co2eq_g": done as f64 * 1e4 / 3.6e6},
            "components": [{"kind": "cpu", "device": "A", "energy_j": 1}]})
    };
    let mut log = StandardLog::new(&so_far(1));
    let text = log.head(&so_far(1), AT) + &(0..4).map(|index| log.epoch(&epoch(index), AT)).collect::<String>();
    for done in [1, 4] {
        let imported = report(&[&text, &output(&so_far(done), AT, false)]);
        assert_eq!(number(&imported, "/run/epochs_done"), 4.0);
        for (figure, expected) in [("energy_j", 200.0), ("duration_s", 4.0), ("co2eq_g", 400.0 / 3.6e6 * 100.0)] {
            assert!(close(number(&imported, &format!("/usage/{figure}")), expected), "{done}, {figure}: {imported}");
        }
    }
}

/// The runs of a log with epochs of one second, given by (second, number). The first has a head.
fn of_epochs(epochs: &[(u32, u64)]) -> Vec<Result<Vec<u64>, BadLine>> {
    let line = |second: u32, message: &str| format!("2026-01-02 03:04:{second:02} - {message}\n");
    let head = "The following components were found: CPU with device(s) cpu:0.";
    let epoch = |(second, number): &(u32, u64)| {
        line(*second, &format!("Epoch {number}:"))
            + &line(*second, "Duration: 0:00:01.00")
            + &line(*second, "Average power usage (W) for cpu: 50.0")
    };
    let text = line(0, "carbontracker version 1.1.6") + &line(0, head) + &epochs.iter().map(epoch).collect::<String>();
    let text = text + &line(59, "Monitoring thread ended.");
    let runs = runs::standards(&events(&lines(text.as_bytes())));
    runs.into_iter().map(|run| run.map(|run| run.epochs.iter().map(|epoch| epoch.last).collect())).collect()
}

#[test]
fn run_without_a_head_is_separated() {
    assert_eq!(of_epochs(&[(1, 1), (2, 2), (11, 1), (12, 2), (13, 3)]), [Ok(vec![1, 2]), Ok(vec![1, 2, 3])]);
    assert_eq!(of_epochs(&[(1, 1), (11, 1), (12, 2)]), [Ok(vec![1]), Ok(vec![1, 2])], "a crash after one epoch");
    let three = of_epochs(&[(1, 1), (11, 1), (12, 2), (21, 1), (22, 2), (23, 3)]);
    assert_eq!(three, [Ok(vec![1]), Ok(vec![1, 2]), Ok(vec![1, 2, 3])]);
}

/// Epochs at the same time come from trackers that overlap.
#[test]
fn runs_without_a_head_at_the_same_time_are_refused() {
    let together = of_epochs(&[(5, 1), (5, 1), (6, 2), (6, 2)]);
    assert!(
        together.iter().all(|run| run.as_ref().is_ok_and(|epochs| epochs == &[1, 2])),
        "the same lines: {together:?}"
    );
    let log = |second: u32, epoch: u64, watts: u32| {
        format!(
            "2026-01-02 03:04:{second:02} - Epoch {epoch}:\n2026-01-02 03:04:{second:02} - Duration: 0:00:03.00\n\
            2026-01-02 03:04:{second:02} - Average power usage (W) for cpu: {watts}\n"
        )
    };
    let text = "2026-01-02 03:04:00 - carbontracker version 1.1.6\n".to_owned()
        + &log(4, 1, 50)
        + &log(5, 1, 70)
        + &log(7, 2, 51)
        + &log(8, 2, 71);
    let runs = runs::standards(&events(&lines(text.as_bytes())));
    assert!(runs.iter().all(|run| run.as_ref().is_err_and(|broken| broken.is_mixed)), "{runs:?}");
}

#[test]
fn repeated_total_counts_once_with_a_note() {
    let block =
        "CarbonTracker: \nActual consumption for 2 epoch(s):\n\tTime:\t0:00:01\n\tEnergy:\t1 kWh\n\tCO2eq:\t1 g\n";
    let notes = |text: &str| report(&[text])["notes"].to_string();
    assert!(!notes(block).contains("times"), "{}", notes(block));
    assert!(notes(&block.repeat(2)).contains("its total is repeated 2 times"), "{}", notes(&block.repeat(2)));
}

/// A processor named by its model was estimated; a GPU was measured.
#[test]
fn estimate_of_carbontracker_has_an_interval() {
    let epoch = [
        "Epoch 1:",
        "Duration: 0:00:01.00",
        "Average power usage (W) for gpu: 300",
        "Average power usage (W) for cpu: 100",
    ];
    let of = |cpu: &str| report(&[&text(&epoch).replace("Xeon @ 2.50GHz v4., cpu:1.", cpu)]);
    let estimated = of("Intel Xeon.");
    assert!(
        close(number(&estimated, "/usage/error/low"), 0.8) && close(number(&estimated, "/usage/error/high"), 1.5),
        "{estimated}"
    );
    assert_eq!(
        (number(&estimated, "/components/1/energy_low_j"), number(&estimated, "/components/1/energy_high_j")),
        (20.0, 300.0)
    );
    assert!(estimated["notes"].to_string().contains("state no error"), "{estimated}");
    let measured = of("cpu:0.");
    assert!(measured["usage"]["error"].is_null() && measured["components"][1]["error"].is_null(), "{measured}");
}

#[test]
fn resumed_run_that_finished_is_done() {
    let epoch = ["Duration: 0:00:01.00", "Average power usage (W) for gpu: 4", "Average power usage (W) for cpu: 2"];
    let ended = ["Training was interrupted before all 2 epochs were monitored.", "Monitoring thread ended."];
    for (messages, state) in [
        ([&["Epoch 1:"][..], &epoch, &ended].concat(), "between"),
        ([&["Epoch 1:"][..], &epoch, &ended, &["Epoch 2:"], &epoch, &ended[1..]].concat(), "done"),
    ] {
        assert_eq!(report(&[&text(&messages)])["run"]["state"], state);
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs() + 1e-12 || a.is_nan() && b.is_nan()
}

proptest! {
    #[test]
    fn logs_of_the_library_are_read_back(run in run(), is_over: bool) {
        let mut log = StandardLog::new(&run);
        let mut text = log.head(&run, AT);
        run["epochs"].as_array().unwrap().iter().for_each(|epoch| text += &log.epoch(epoch, AT));
        text += &log.tail(&run, AT); // ends an open entry
        let imported = report(&[&text, &output(&run, AT, is_over)]);
        prop_assert_eq!(&imported["run"]["epochs_done"], &run["run"]["epochs_done"]);
        prop_assert_eq!(&imported["run"]["epochs_planned"], &run["run"]["epochs_planned"]);
        prop_assert_eq!(imported["run"]["started"].as_str(), Some("2027-01-15T08:00:00Z"));
        for figure in ["/usage/facility_energy_kwh", "/usage/co2eq_g", "/pue", "/intensity/g_per_kwh"] {
            prop_assert!(close(number(&imported, figure), number(&run, figure)), "{}: {} {}", figure, imported, run);
        }
        prop_assert!(close(number(&imported, "/usage/epochs/energy_j"), number(&run, "/usage/joules")), "{} {}", imported, run);
        let off_s = number(&imported, "/usage/epochs/duration_s") - number(&run, "/usage/duration_s");
        prop_assert!(off_s.abs() <= 0.0101, "{} s", off_s);
    }

    #[test]
    fn any_bytes_are_read(bytes: Vec<u8>, cuts in prop::collection::vec((0..400usize, any::<u8>()), 0..8)) {
        let log = dated(&[&HEAD[..], &["Epoch 1:", "Duration: 0:00:01.00", "Average power usage (W) for gpu: [4 5]"],
            &["CarbonTracker: \nActual consumption for 2 epoch(s):\n\tTime:\t0:00:01\n\tEnergy:\t1 kWh\n\tCO2eq:\t1 g"]].concat());
        let mut damaged = log.into_bytes();
        for (place, byte) in cuts {
            let place = place % damaged.len();
            damaged[place] = byte;
        }
        let logs = [("a", bytes), ("b", damaged)];
        let logs = logs.map(|(stem, bytes)| LogFile::read(stem.into(), stem.into(), false, &bytes));
        copies::once(pairs::runs(&logs), &logs).0.iter().for_each(|run| drop(super::report::report(run)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A file of 1.x holds its own run and all later ones. Files may be copied, joined and truncated.
    #[test]
    fn run_counts_once_in_any_layout_of_files(
        (runs, files, doubled) in several().prop_flat_map(|runs| {
            let places = prop::collection::vec(0..runs.len(), 1..12);
            (Just(runs), prop::collection::vec(places, 0..5), any::<bool>())
        })
    ) {
        // One file has all runs; the others have some, in any order, or twice.
        let mut texts = vec![runs.concat()];
        texts.extend(files.iter().map(|places| places.iter().map(|place| runs[*place].as_str()).collect::<String>()));
        if doubled {
            texts.push(runs.concat().lines().map(|line| format!("{line}\n{line}\n")).collect());
        }
        // A copy that was made during a run.
        texts.extend(runs.first().map(|run| run[..run.len() / 2].to_owned()));
        let stems: Vec<String> = (0..texts.len()).map(|place| format!("log{place}")).collect();
        let logs: Vec<(&str, &str)> = stems.iter().zip(&texts).map(|(stem, text)| (stem.as_str(), text.as_str())).collect();
        let imported = reports(&logs);
        prop_assert_eq!(imported.len(), runs.len(), "{:?}", imported);
        let total: f64 = imported.iter().map(|report| number(report, "/usage/epochs/energy_j")).sum();
        let expected: f64 = runs.iter().map(|run| number(&report(&[run]), "/usage/epochs/energy_j")).sum();
        prop_assert!(close(total, expected), "{} {}", total, expected);
    }
}

/// Consecutive runs, as text.
fn several() -> impl Strategy<Value = Vec<String>> {
    let epochs = prop::collection::vec((1u32..900, 1u32..400), 1..5);
    prop::collection::vec((epochs, any::<bool>()), 1..5).prop_map(|runs| {
        let mut clock = 0;
        let of_run = |(epochs, is_ended): (Vec<(u32, u32)>, bool)| {
            let mut text = String::new();
            let mut line = |seconds: u32, message: &str| {
                clock += seconds;
                text +=
                    &format!("2026-11-28 {:02}:{:02}:{:02} - {message}\n", clock / 3600, clock / 60 % 60, clock % 60);
            };
            line(1, "carbontracker version 1.1.6");
            HEAD[1..].iter().for_each(|message| line(0, message));
            for (number, (centiseconds, watts)) in epochs.iter().enumerate() {
                line(centiseconds / 100, &format!("Epoch {}:", number + 1));
                line(0, &format!("Duration: 0:00:{:02}.{:02}", centiseconds / 100, centiseconds % 100));
                line(0, &format!("Average power usage (W) for gpu: [{watts}. {watts}.5]"));
                line(0, &format!("Average power usage (W) for cpu: [{watts}.]"));
            }
            if is_ended {
                line(0, "Monitoring thread ended.");
            }
            text
        };
        runs.into_iter().map(of_run).collect()
    })
}
