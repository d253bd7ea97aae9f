//! `carbontracker import` on logs of several runs, and on real-world layouts: each run counts once, and runs that
//! cannot be separated are refused with a message. The logs are made here, in the format of Carbontracker 1.1.6, 1.2.5
//! and 2.4.7.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn carbontracker(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_carbontracker")).args(arguments).output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder with these files, for one test.
fn folder(name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("import-runs").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    files.iter().for_each(|(name, content)| fs::write(folder.join(name), content).expect("written"));
    folder
}

fn shown(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The result of `import`: reports, standard error, and exit status.
fn import(paths: &[&Path]) -> (Vec<Value>, String, i32) {
    let mut arguments = vec!["import", "--json"];
    arguments.extend(paths.iter().map(|path| shown(path)));
    let output = carbontracker(&arguments);
    let reports = serde_json::from_slice(&output.stdout).expect("JSON");
    (reports, text(&output.stderr), output.status.code().expect("it exits"))
}

fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs()
}

/// Sums over all reports: epochs, time, s, and energy of the devices, J.
fn total(reports: &[Value]) -> (f64, f64, f64) {
    let sum = |pointer: &str| reports.iter().map(|report| number(report, pointer)).sum::<f64>();
    (sum("/run/epochs_done"), sum("/usage/duration_s"), sum("/usage/energy_j"))
}

fn assert_total(reports: &[Value], epochs: f64, seconds: f64, joules: f64) {
    let found = total(reports);
    let is_so = found.0 == epochs && close(found.1, seconds) && close(found.2, joules);
    assert!(is_so, "{found:?}, not {epochs} {seconds} {joules}: {reports:#?}");
}

/// A tracker of a stand-in processor.
#[derive(Clone, Copy)]
struct Tracker {
    version: &'static str,
    pue: f64,
    /// Second of the day of its begin.
    at: u32,
    epochs: u32,
    each_s: f64,
    watts: f64,
    /// Decimals of the output log's energy.
    decimals: usize,
}

const OLD: Tracker =
    Tracker { version: "1.1.6", pue: 1.59, at: 60_713, epochs: 2, each_s: 0.3, watts: 50.0, decimals: 6 };
const MIDDLE: Tracker = Tracker { version: "1.2.5", pue: 1.55, decimals: 12, ..OLD };
const NEW: Tracker = Tracker { version: "2.4.7", pue: 1.58, decimals: 12, ..OLD };

impl Tracker {
    fn stamp(&self, second: f64) -> String {
        let at = self.at + second as u32;
        format!("2026-11-29 {:02}:{:02}:{:02} - ", at / 3600, at / 60 % 60, at % 60)
    }

    fn power(&self) -> String {
        if self.version.starts_with('1') { format!("[{}.]", self.watts) } else { format!("{:.1}", self.watts) }
    }

    fn kwh(&self) -> f64 {
        f64::from(self.epochs) * self.each_s * self.watts * self.pue / 3.6e6
    }

    /// Its lines of the standard log, with the second of each.
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            self.stamp(0.0) + "carbontracker version " + self.version,
            format!(
                "{}Only predicted and actual consumptions are multiplied by a PUE coefficient of {} (somebody, 2019).",
                self.stamp(0.0),
                self.pue
            ),
            self.stamp(0.0) + "The following components were found: CPU with device(s) cpu:0.",
            self.stamp(0.0) + "Monitoring thread started.",
        ];
        for epoch in 1..=self.epochs {
            let stamp = self.stamp(f64::from(epoch) * self.each_s);
            lines.push(format!("{stamp}Epoch {epoch}:"));
            lines.push(format!("{stamp}Duration: 0:00:{:05.2}", self.each_s));
            lines.push(format!("{stamp}Average power usage (W) for cpu: {}", self.power()));
        }
        let stamp = self.stamp(self.ended());
        lines.push(format!(
            "{stamp}Average carbon intensity during training was 100.00 gCO2/kWh at detected location: Somewhere."
        ));
        lines.push(stamp + "Monitoring thread ended.");
        lines
    }

    fn ended(&self) -> f64 {
        f64::from(self.epochs) * self.each_s
    }

    fn standard(&self) -> String {
        self.lines().join("\n") + "\n"
    }

    fn block(&self, what: &str) -> String {
        let (kwh, decimals) = (self.kwh(), self.decimals);
        format!(
            "CarbonTracker: \n{what} consumption for {} epoch(s):\n\tTime:\t0:00:{:02}\n\tEnergy:\t{kwh:.decimals$} kWh\n\t\
             CO2eq:\t{:.decimals$} g\n\tThis is equivalent to:\n\t0.000001 km travelled by car\n",
            self.epochs,
            self.ended().round(),
            kwh * 100.0
        )
    }

    fn output(&self) -> String {
        let (begin, first, end) = (self.stamp(0.0), self.stamp(self.each_s), self.stamp(self.ended()));
        format!(
            "{begin}CarbonTracker: The following components were found: CPU with device(s) cpu:0.\n{first}{}{end}{}{end}CarbonTracker: Finished monitoring.\n",
            self.block("Predicted"),
            self.block("Actual"),
        )
    }

    /// Its console output.
    fn console(&self) -> String {
        self.output()
            .lines()
            .map(|line| line.get(22..).filter(|_| line.starts_with("2026")).unwrap_or(line).to_owned() + "\n")
            .collect()
    }
}

/// Each line twice, as written by a logger with two handlers for one file.
fn doubled(text: &str) -> String {
    text.lines().map(|line| format!("{line}\n{line}\n")).collect()
}

/// Trackers of one process, one every two seconds, each with a little more power.
fn trackers(first: Tracker, count: u32) -> Vec<Tracker> {
    (0..count).map(|n| Tracker { at: first.at + 2 * n, ..first }).collect()
}

/// Logs of 1.x, whose trackers share a logger: file k holds run k and all later ones.
fn shared(trackers: &[Tracker], prefix: &str, has_output: bool) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for (place, first) in trackers.iter().enumerate() {
        let later = &trackers[place..];
        let stem = format!("{prefix}2026-11-29T{:06}Z_carbontracker", first.at);
        files.push((format!("{stem}.log"), later.iter().map(Tracker::standard).collect()));
        let output = if has_output { later.iter().map(Tracker::output).collect() } else { String::new() };
        files.push((format!("{stem}_output.log"), output));
    }
    files
}

fn folder_of(name: &str, files: &[(String, String)]) -> PathBuf {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    folder(name, &files)
}

#[test]
fn runs_of_one_process_count_once_each_and_aggregate_adds_them_up() {
    for (name, tracker, count, has_output, prefix) in [
        ("five-1.1.6", OLD, 5, false, ""),
        ("five-1.1.6-output", OLD, 5, true, ""),
        ("two-1.1.6", OLD, 2, true, ""),
        ("three-1.2.5", MIDDLE, 3, true, "24003_"),
        ("five-1.2.5", MIDDLE, 5, false, "a_24003_"),
    ] {
        let logs = folder_of(name, &shared(&trackers(tracker, count), prefix, has_output));
        let (reports, message, code) = import(&[&logs]);
        assert_eq!((reports.len(), code), (count as usize, 0), "{name}: {message}");
        assert!(message.contains(&format!("{} of {count} runs were found more than once", count - 1)), "{message}");
        let [epochs, runs] = [2.0 * f64::from(count), f64::from(count)];
        assert_total(&reports, epochs, runs * 0.6, runs * 30.0);
        for report in &reports {
            assert_eq!(report["run"]["epochs_done"], 2, "{name}");
            let note = if has_output { "aggregate counts the prediction" } else { "the output log is empty" };
            assert!(report["notes"].to_string().contains(note), "{name}: {}", report["notes"]);
        }
        let out = logs.join("reports");
        assert!(carbontracker(&["import", shown(&logs), "-o", shown(&out)]).status.success());
        let added = carbontracker(&["aggregate", shown(&out), "--json"]);
        let added: Value = serde_json::from_slice(&added.stdout).expect("JSON");
        let figures = ["epochs", "duration_s", "energy_j"].map(|figure| number(&added, &format!("/totals/{figure}")));
        assert!(
            figures[0] == epochs && close(figures[1], runs * 0.6) && close(figures[2], runs * 30.0),
            "{name}: {added:#}"
        );
    }
}

#[test]
fn run_in_several_files_and_folders_counts_once() {
    let (old, new) = (trackers(OLD, 3), Tracker { at: 70_000, watts: 80.0, ..NEW });
    let mut files = shared(&old, "", true);
    files.push(("9.1_2026-11-29T192640Z_carbontracker.log".into(), new.standard()));
    files.push(("9.1_2026-11-29T192640Z_carbontracker_output.log".into(), new.output()));
    let logs = folder_of("both-versions", &files);
    let whole = |reports: &[Value]| assert_total(reports, 8.0, 2.4, 3.0 * 30.0 + 48.0);
    let (reports, ..) = import(&[&logs]);
    whole(&reports);
    let all: String = files.iter().map(|(_, text)| text.as_str()).collect();
    let [some, rest] = [0, 1].map(|odd| -> String {
        files.iter().enumerate().filter(|(n, _)| n % 2 == odd).map(|(_, (_, text))| text.as_str()).collect()
    });
    let mut copied: Vec<(String, String)> =
        files.iter().map(|(name, text)| (name.replace(".log", " (copy).log"), text.clone())).collect();
    copied.extend([
        ("all_carbontracker.log".into(), all.clone()),
        ("some_carbontracker_output.log".into(), some.clone()),
    ]);
    copied.push(("all-twice_carbontracker.log".into(), all.clone() + &all));
    copied.push(("doubled_carbontracker.log".into(), doubled(&new.standard())));
    copied.push(("cut_carbontracker.log".into(), new.standard()[..new.standard().len() - 300].to_owned()));
    let copies = folder_of("copies", &copied);
    let split =
        folder_of("split", &[("std_carbontracker.log".into(), some), ("out_carbontracker_output.log".into(), rest)]);
    let console: String = old.iter().chain([&new]).map(Tracker::console).collect();
    let console = folder_of("console-beside", &[("train.out".into(), console)]).join("train.out");
    for paths in [
        &[&logs, &logs][..],
        &[&logs, &copies],
        &[&copies, &logs],
        &[&copies],
        &[&split],
        &[&logs, &split],
        &[&logs, &console],
        &[&console, &copies, &split, &logs],
        &[&logs.join(&files[0].0), &logs],
    ] {
        let paths: Vec<&Path> = paths.iter().map(|path| path.as_path()).collect();
        let (reports, message, code) = import(&paths);
        assert_eq!((reports.len(), code), (4, 0), "{paths:?}: {message} {reports:#?}");
        whole(&reports);
    }
}

#[test]
fn output_logs_alone_count_each_total_once() {
    let old = trackers(MIDDLE, 3);
    let outputs: String = (0..3).flat_map(|from| old[from..].iter().map(Tracker::output)).collect();
    let files =
        [("a_carbontracker_output.log".into(), outputs.clone()), ("b_carbontracker_output.log".into(), outputs)];
    let (reports, message, code) = import(&[&folder_of("outputs", &files)]);
    assert_eq!((reports.len(), code), (3, 0), "{message} {reports:#?}");
    assert!(message.contains("3 of 3 runs were found more than once"), "{message}");
}

/// Two trackers of 1.x that begin within a second share a file, and write each line twice.
#[test]
fn trackers_of_the_same_second_are_separated() {
    let first = OLD;
    let second = Tracker { watts: 51.0, ..OLD };
    let third = Tracker { at: OLD.at + 1, watts: 52.0, ..OLD };
    let shared = first.standard() + &doubled(&second.standard()) + &doubled(&third.standard());
    let logs = folder_of(
        "one-second",
        &[("a_carbontracker.log".into(), shared), ("b_carbontracker.log".into(), third.standard())],
    );
    let (reports, _, code) = import(&[&logs]);
    assert_eq!((reports.len(), code), (3, 0));
    assert_total(&reports, 6.0, 1.8, 0.6 * 153.0);
    assert!(
        reports[1]["notes"].to_string().contains("each of its lines is repeated 2 times"),
        "{}",
        reports[1]["notes"]
    );

    // Equal to the last digit: only the number of lines shows that there are two runs.
    let shared = first.standard() + &doubled(&first.standard());
    let (reports, ..) = import(&[&folder_of(
        "twins",
        &[("a_carbontracker.log".into(), shared.clone()), ("b_carbontracker.log".into(), shared)],
    )]);
    assert_total(&reports, 4.0, 1.2, 60.0);
}

#[test]
fn overlapping_trackers_are_separated_or_refused() {
    // All trackers are made first, then used in turn.
    let trackers: Vec<Tracker> =
        (0..3).map(|n| Tracker { at: OLD.at + 2 * n, watts: 50.0 + f64::from(n), ..OLD }).collect();
    let lines: Vec<Vec<String>> = trackers.iter().map(Tracker::lines).collect();
    let heads = |from: usize| lines[from..].iter().flat_map(|lines| &lines[..4]).cloned().collect::<Vec<_>>();
    let bodies: Vec<String> = lines.iter().flat_map(|lines| &lines[4..]).cloned().collect();
    let files: Vec<(String, String)> = (0..3)
        .map(|n| (format!("{n}_carbontracker.log"), [heads(n), bodies.clone()].concat().join("\n") + "\n"))
        .collect();
    let (reports, _, code) = import(&[&folder_of("made-first", &files)]);
    assert_eq!(code, 0);
    assert_total(&reports, 6.0, 1.8, 0.6 * 153.0);

    // Two processes write in turn, one of them slower. The times of the epochs separate them.
    let [quick, slow] = [(10.0, 50.0), (14.0, 70.0)].map(|(each_s, watts)| Tracker { epochs: 4, each_s, watts, ..OLD });
    let slow = Tracker { at: quick.at + 3, ..slow };
    let mut both = [&quick.lines()[..], &slow.lines()].concat();
    both.sort_by(|a, b| a[..19].cmp(&b[..19]));
    let (reports, message, code) =
        import(&[&folder_of("in-turn", &[("a_carbontracker.log".into(), both.join("\n") + "\n")])]);
    assert_eq!(code, 0, "{message}");
    assert_total(&reports, 8.0, 96.0, 40.0 * 50.0 + 56.0 * 70.0);

    // Two equal runs: both heads come before the first epoch, which no copy has.
    let once = Tracker { epochs: 1, ..OLD }.lines();
    let both: Vec<&[String]> = vec![&once[..4], &once[..4], &once[4..7], &once[4..7], &once[7..], &once[7..]];
    let both = both.concat().join("\n") + "\n";
    for text in [both.clone(), both.clone() + &both] {
        let (reports, ..) = import(&[&folder_of("same", &[("a_carbontracker.log".into(), text)])]);
        assert_total(&reports, 2.0, 0.6, 30.0);
    }

    // In lock-step the lines are mixed: the runs are refused by file and line, and a later run counts.
    let other = Tracker { watts: 60.0, ..quick };
    let mixed: Vec<String> =
        quick.lines().iter().zip(&other.lines()).flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
    let later = Tracker { at: OLD.at + 100, ..OLD };
    let mixed = mixed.join("\n") + "\n" + &later.standard();
    let (reports, message, code) = import(&[&folder_of("lock-step", &[("a_carbontracker.log".into(), mixed)])]);
    assert_eq!(code, 1);
    assert!(message.contains("a_carbontracker.log:14: epoch 1 has two powers of the cpu: several runs"), "{message}");
    assert_total(&reports, 2.0, 0.6, 30.0);

    // The output logs have the totals, as the message states.
    let begun = [&quick, &other].map(|tracker| tracker.output().replacen("Finished", "Not finished", 1));
    let output = folder_of("lock-step-output", &[("a_carbontracker_output.log".into(), begun.concat())]);
    let (reports, ..) = import(&[&output]);
    let kwh: f64 = reports.iter().map(|report| number(report, "/usage/facility_energy_kwh")).sum();
    assert!(reports.len() == 2 && (kwh - 40.0 * 110.0 * 1.59 / 3.6e6).abs() < 1e-6, "{reports:#?}");
}

#[test]
fn epoch_number_1_begins_another_run() {
    let second = Tracker { at: OLD.at + 5, epochs: 3, ..OLD };
    let without_head = second.lines()[4..].join("\n") + "\n";
    let logs = folder_of("headless", &[("a_carbontracker.log".into(), OLD.standard() + &without_head)]);
    let (reports, _, code) = import(&[&logs]);
    assert_eq!((reports.len(), code), (2, 0));
    assert_total(&reports, 5.0, 1.5, 75.0);
    assert_eq!((&reports[1]["run"]["id"], &reports[1]["run"]["epochs_done"]), (&"a-2".into(), &3.into()));
}

#[test]
fn log_without_its_head_has_energy_but_no_pue() {
    let logs = folder_of("no-head", &[("a_carbontracker.log".into(), OLD.lines()[4..].join("\n") + "\n")]);
    let (reports, ..) = import(&[&logs]);
    assert_total(&reports, 2.0, 0.6, 30.0);
    assert!(reports[0]["pue"].is_null() && reports[0]["usage"]["facility_energy_kwh"].is_null());
}

#[test]
fn more_epochs_than_planned_are_noted() {
    let tracker = Tracker { epochs: 4, ..MIDDLE };
    let output = tracker.output().replace("Predicted consumption for 4", "Predicted consumption for 2");
    let files = [("a_carbontracker.log".into(), tracker.standard()), ("a_carbontracker_output.log".into(), output)];
    let logs = folder_of("four-of-two", &files);
    let table = text(&carbontracker(&["import", shown(&logs)]).stdout);
    assert!(table.contains("4 of 2") && table.contains("the log has 4 epochs, but 2 were planned"), "{table}");
}

/// Additions of a console or an editor in a log.
fn cluttered(text: &str) -> String {
    let foreign = "Traceback (most recent call last):\n  File \"train.py\", line 1, in <module>\nValueError: line 1 column 1 (char 0)\n\
                   loss: 0.3\n 50%|#####     |\r2026-11-29 17:00:00,123 - root - INFO - Epoch 3:\nEnergy: 5 eV\n2026-11-29 16:51:53 - Epoch 1: loss 3\n";
    text.lines().map(|line| format!("    {line}\n{foreign}")).collect()
}

#[test]
fn foreign_lines_indentation_and_encodings_change_nothing() {
    let gpus = "Average power usage (W) for cpu: [10. 20.\n 15.   5.]";
    let standard = MIDDLE.standard().replace("Average power usage (W) for cpu: [50.]", gpus);
    let (plain, output) = ((standard.clone(), MIDDLE.output()), MIDDLE.output());
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let marked = [&[0xff, 0xfe], &wide(&standard.replace('\n', "\r\n"))[..]].concat();
    let cases: [(&str, Vec<u8>, Vec<u8>); 6] = [
        ("plain", plain.0.into_bytes(), plain.1.into_bytes()),
        ("cluttered", cluttered(&standard).into_bytes(), cluttered(&output).into_bytes()),
        ("utf-16", marked, wide(&output)),
        ("cr-lf", standard.replace('\n', "\r\n").into_bytes(), output.replace('\n', "\r\n").into_bytes()),
        (
            "quoted",
            standard.replace("2026", "> 0: 2026").into_bytes(),
            output.lines().map(|line| format!("0: {line}\n")).collect::<String>().into_bytes(),
        ),
        ("console", standard.into_bytes(), MIDDLE.console().into_bytes()),
    ];
    for (name, standard, output) in cases {
        let logs = folder(
            &format!("as-found-{name}"),
            &[("a_carbontracker.log", &standard), ("a_carbontracker_output.log", &output)],
        );
        let (reports, message, code) = import(&[&logs]);
        assert_eq!((reports.len(), code), (1, 0), "{name}: {message}");
        assert_total(&reports, 2.0, 0.6, 30.0);
        assert!(close(number(&reports[0], "/usage/facility_energy_kwh"), 46.5 / 3.6e6), "{name}");
        assert_eq!(reports[0]["run"]["epochs_planned"], 2, "{name}");
    }
}

#[test]
fn console_text_has_a_run_for_each_total() {
    let trackers: Vec<Tracker> = (1..=3).map(|n| Tracker { epochs: n, ..MIDDLE }).collect();
    // In 1.x the console shows the lines of the second tracker twice, of the third three times.
    let shown = |n: usize| {
        let console = trackers[n].console();
        let messages = console.split("CarbonTracker:").skip(1);
        messages.map(|message| format!("CarbonTracker:{message}").repeat(n + 1)).collect::<String>()
    };
    let console: String = (0..3).map(|n| cluttered(&shown(n))).collect();
    let file = folder("console", &[("train.out", console.as_bytes())]).join("train.out");
    let (reports, message, code) = import(&[&file]);
    assert_eq!((reports.len(), code), (3, 0), "{message}");
    let kwh: f64 = reports.iter().map(|report| number(report, "/usage/facility_energy_kwh")).sum();
    assert!(close(kwh, 6.0 * 15.0 * 1.55 / 3.6e6), "{kwh}");
    assert!(reports[0]["usage"]["energy_j"].is_null(), "no PUE is known");
}

/// Repeated lines of one epoch must not double the energy.
#[test]
fn component_named_twice_counts_once() {
    let lines = Tracker { epochs: 1, each_s: 10.0, ..NEW }.lines();
    let gpu = lines[6].replace("cpu: 50.0", "gpu: 100.0");
    let twice = [&lines[..7], &[gpu.clone(), lines[6].clone(), gpu], &lines[7..]].concat().join("\n") + "\n";
    let logs = folder_of("twice", &[("a_carbontracker.log".into(), twice.clone())]);
    let (reports, ..) = import(&[&logs]);
    let epoch = ["energy_j", "cpu_j", "gpu_j"].map(|figure| number(&reports[0]["epochs"][0], &format!("/{figure}")));
    assert_eq!(epoch, [1500.0, 500.0, 1000.0]);
    let other = twice.replacen("gpu: 100.0", "gpu: 90.0", 1);
    let (reports, message, code) = import(&[&folder_of("twice-other", &[("a_carbontracker.log".into(), other)])]);
    assert_eq!((reports.len(), code), (0, 1));
    assert!(message.contains("a_carbontracker.log:10: epoch 1 has two powers of the gpu"), "{message}");
}

#[test]
fn equal_runs_of_different_processes_are_kept() {
    let files = [
        ("1_2026-11-29T165153Z", MIDDLE),
        ("2_2026-11-29T165153Z", MIDDLE),
        ("3.7_2026-11-29T165153Z", NEW),
        ("3.8_2026-11-29T165153Z", NEW),
        ("heat_r0", NEW),
        ("heat_r1", NEW),
    ]
    .map(|(stem, tracker)| (format!("{stem}_carbontracker.log"), tracker.standard()));
    let (reports, message, code) = import(&[&folder_of("ranks", &files)]);
    assert_eq!((reports.len(), code, message.as_str()), (6, 0, ""));
}
