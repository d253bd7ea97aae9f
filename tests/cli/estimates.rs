//! Estimates are marked in every output: here an estimated processor beside a measured GPU.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::staging::{Staged, sunny};
use carbontracker::clock::UnixS;
use carbontracker::measurement::channel::DeviceKind;
use carbontracker::report::{html, ranks};
use carbontracker::run_files::carbontracker_log::format;
use carbontracker::units::ErrorBand;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const HALF_OR_TWICE: ErrorBand = ErrorBand { low: 0.5, high: 2.0 };
const OPTIONS: &str = "epochs=12 intensity=200 pue=1.5 price=0.3EUR wue=2 wue_grid=4 embodied_kg=100";
const FIGURES: [[&str; 3]; 4] = [
    ["energy_j", "energy_low_j", "energy_high_j"],
    ["energy_kwh", "energy_low_kwh", "energy_high_kwh"],
    ["facility_energy_kwh", "facility_energy_low_kwh", "facility_energy_high_kwh"],
    ["co2eq_g", "co2eq_low_g", "co2eq_high_g"],
];

/// A run of 10 of 12 epochs: a processor at 100 W and a GPU at 300 W, and 4 s between epochs.
fn staged(error: fn(DeviceKind) -> Option<ErrorBand>) -> Staged {
    Staged {
        options: OPTIONS,
        epoch_s: |_| 100.0,
        devices: vec![(DeviceKind::Cpu, "Xeon", |_| 100.0), (DeviceKind::Gpu, "NVIDIA A100-SXM4-80GB", |_| 300.0)],
        error,
        ..Staged::default()
    }
}

fn estimated() -> Staged {
    staged(|kind| (kind == DeviceKind::Cpu).then_some(HALF_OR_TWICE))
}

fn number(of: &Value, pointer: &str) -> f64 {
    of.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer} of {of}"))
}

fn near(of: &Value, pointer: &str, expected: f64) {
    let value = number(of, pointer);
    assert!((value / expected - 1.0).abs() < 1e-9, "{pointer}: {value} is not {expected}");
}

#[test]
fn json_has_an_interval_for_each_value_from_an_estimate() {
    let report = estimated().json();
    // A quarter of the energy is estimated, with an error of 0.5 to 2.
    near(&report, "/usage/error/low", 0.875);
    near(&report, "/usage/error/high", 1.25);
    for [name, low, high] in FIGURES {
        let value = number(&report["usage"], &format!("/{name}"));
        near(&report["usage"], &format!("/{low}"), value * 0.875);
        near(&report["usage"], &format!("/{high}"), value * 1.25);
    }
    let [cpu, gpu] = [0, 1].map(|n| &report["components"][n]);
    assert_eq!(cpu["error"], json!({"low": 0.5, "high": 2.0}));
    near(cpu, "/energy_high_j", 2.0 * number(cpu, "/energy_j"));
    assert!(["error", "energy_low_j", "energy_high_j"].iter().all(|name| gpu[name].is_null()), "{gpu}");
    let sum: f64 = number(cpu, "/energy_low_j") + number(gpu, "/energy_j");
    near(&report, "/usage/energy_low_j", sum);
    let plain = staged(|_| None).json();
    for what in ["energy_j", "co2eq_g"] {
        let of = |report: &Value, end: &str| number(report, &format!("/forecast/{what}/{end}"));
        assert_eq!(of(&report, "value"), of(&plain, "value"));
        near(&report, &format!("/forecast/{what}/low"), of(&plain, "low") * 0.875);
        near(&report, &format!("/forecast/{what}/high"), of(&plain, "high") * 1.25);
        let rest = |report: &Value, end: &str| number(report, &format!("/forecast/remaining/{what}/{end}"));
        near(&report, &format!("/forecast/remaining/{what}/high"), rest(&plain, "high") * 1.25);
        assert_eq!(report["forecast"]["duration_s"], plain["forecast"]["duration_s"]);
    }
    near(&report, "/forecasts/3/energy_j/high", number(&plain, "/forecasts/3/energy_j/high") * 1.25);
    near(&report, "/equivalents/0/high", number(&plain, "/equivalents/0/value") * 1.25);
    for pointer in ["/extras/cost/error/low", "/extras/water/forecast_error/low", "/what_if/error/low"] {
        near(&report, pointer, 0.875);
    }
    assert!(report["extras"]["embodied"].get("error").is_none(), "it goes by time");
}

/// Hourly intensities change no error band.
#[test]
fn hourly_intensity_does_not_change_the_error() {
    let report = Staged { hourly: Some(sunny), ..estimated() }.json();
    near(&report, "/usage/co2eq_high_g", number(&report, "/usage/co2eq_g") * 1.25);
    let plain = Staged { hourly: Some(sunny), ..staged(|_| None) }.json();
    near(&report, "/forecast/co2eq_g/low", number(&plain, "/forecast/co2eq_g/low") * 0.875);
}

#[test]
fn text_marks_an_estimate() {
    let text = estimated().report().render("text").unwrap();
    for line in [
        "  energy  ≈ 120 Wh (100 to 140), ≈ 4.0 Wh of it between epochs",
        "          ≈ 170 Wh (150 to 220) with PUE 1.5",
        "          25.0 % of it is estimated: in nine cases of ten the truth is in the interval",
        "  CO2e    ≈ 35 g (30 to 43) at 200 g/kWh",
        "          like driving ≈ 320 m in a new car",
        "  energy  ≈ 140 Wh (120 to 1",
        "  cost    ≈ 0.052 EUR (0.045 to 0.065), by forecast ≈ 0.062 EUR (0.054 to 0.078), at 0.300 EUR/kWh",
        "  cpu   ≈ 29 Wh (14 to 58), ≈ 100 W: Xeon (intel-rapl:0, estimate by cpu_model), ok",
        "  gpu   86.",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let all = staged(|_| Some(HALF_OR_TWICE)).report().render("text").unwrap();
    assert!(all.contains("all of it is estimated"), "{all}");
}

#[test]
fn csv_and_prometheus_have_the_intervals() {
    let report = estimated().report();
    let csv = report.render("csv").unwrap();
    let mut rows = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let heads = rows.next().unwrap();
    assert_eq!(heads[9..], ["energy_low_j", "energy_high_j", "co2eq_low_g", "co2eq_high_g"]);
    for row in rows {
        let cells: Vec<f64> = row.iter().map(|cell| cell.parse().unwrap_or(f64::NAN)).collect();
        assert!((cells[9] / cells[3] - 0.875).abs() < 1e-9 && (cells[12] / cells[4] - 1.25).abs() < 1e-9, "{row:?}");
    }
    let prometheus = report.render("prometheus").unwrap();
    let value = |start: &str, end: &str| {
        let line = prometheus.lines().find(|line| line.starts_with(start) && line.contains(end));
        line.unwrap_or_else(|| panic!("{start} {end}: {prometheus}"))
            .rsplit(' ')
            .next()
            .unwrap()
            .parse::<f64>()
            .unwrap()
    };
    assert_eq!(value("carbontracker_component_error_ratio{", "method=\"estimate\",bound=\"low\""), 0.5);
    assert!((value("carbontracker_error_ratio{", "bound=\"high\"") - 1.25).abs() < 1e-9);
    assert_eq!(prometheus.matches("carbontracker_component_error_ratio{").count(), 2);
}

#[test]
fn page_marks_an_estimate() {
    let guess = staged(|_| Some(HALF_OR_TWICE)).report().render("html").unwrap();
    let cells: Vec<&str> = guess.split("data-label=\"coverage\"").skip(1).map(|cell| &cell[..9]).collect();
    assert_eq!(cells, [">estimate"; 2], "no guess boasts of its coverage");
    let report = estimated().json();
    let page = html::page(std::slice::from_ref(&report));
    let words = without_tags(&page);
    for expected in [
        "≈ 120 Wh",
        "100 to 140 Wh, in nine cases of ten",
        "25.0 % of it estimated, not measured",
        "≈ 35 g",
        "The intervals of energy and CO2e include the error of estimates.",
        "≈ 29 Wh (14 to 58)",
        "in nine cases of ten the truth is 0.5 to 2 times its figure",
        "≈ 0.052 EUR (0.045 to 0.065)",
        "0.88 to 1.25 times these masses",
        "two digits are shown",
        "It has estimates in it",
    ] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    let two = html::page(&[report, staged(|_| None).json()]);
    let words = without_tags(&two);
    assert!(words.contains("≈ 230 Wh") && words.contains("220 to 260 Wh, in nine cases of ten"), "{words}");
}

fn without_tags(page: &str) -> String {
    let body = page.split_once("<body>").unwrap().1;
    body.split('<').filter_map(|part| Some(part.split_once('>')?.1)).collect()
}

/// Measured values have no interval, and the digits of a measurement.
#[test]
fn measured_run_is_shown_without_words_of_estimates() {
    let measured = staged(|_| None);
    for format in ["text", "csv", "prometheus", "html"] {
        let text = measured.report().render(format).unwrap();
        for word in ["about ", "estimate", "nine cases", "error", "_low_", "readings cover"] {
            let is_there =
                text.replace("estimate of", "").contains(word) && !(format == "html" && word == "readings cover");
            assert!(!is_there || is_own_word(format, word), "{format}: {word}\n{text}");
        }
    }
    let report = measured.json();
    for [_, low, high] in FIGURES {
        assert!(report["usage"][low].is_null() && report["usage"][high].is_null(), "{}", report["usage"]);
    }
    assert!(report["usage"]["error"].is_null() && report["components"][0]["error"].is_null());
    assert!(format::output(&report, UnixS::default(), true).lines().all(|line| !line.contains("Estimated")));
}

/// The page has other text on estimates of the intensity.
fn is_own_word(format: &str, word: &str) -> bool {
    format == "html" && word == "estimate"
}

#[test]
fn logs_of_carbontracker_name_estimated_components() {
    let line = "Estimated, with an error stated for nine cases of ten: cpu (the truth is 0.5 to 2 times as much).";
    let report = estimated().json();
    assert!(format::StandardLog::new(&report).head(&report, UnixS::default()).contains(line));
    let output = format::output(&report, UnixS::default(), true);
    assert!(output.contains(&format!("CarbonTracker: {line}")), "{output}");
}

/// One of two nodes has no meter for its processor.
#[test]
fn error_of_a_job_is_that_of_its_estimating_ranks() {
    let rank = |number: u64, staged: Staged| {
        let mut report = staged.json();
        let of_job =
            [("id", json!(number.to_string())), ("host", json!(format!("node{number}"))), ("rank", json!(number))];
        of_job.into_iter().chain([("job", json!("SLURM job 7")), ("ranks", json!(2))]).for_each(|(name, value)| {
            report["run"][name] = value;
        });
        report
    };
    let both = [rank(0, estimated()), rank(1, staged(|_| None))];
    let rows = ranks::rows(&both);
    assert_eq!(rows.len(), 1);
    let job = &*rows[0];
    // An eighth of the energy is estimated, with an error of 0.5 to 2.
    for [name, low, high] in FIGURES {
        let value = number(&job["usage"], &format!("/{name}"));
        near(&job["usage"], &format!("/{low}"), value * 0.9375);
        near(&job["usage"], &format!("/{high}"), value * 1.125);
    }
    near(job, "/usage/error/high", 1.125);
    near(job, "/extras/cost/error/high", 1.125);
    near(
        job,
        "/forecast/energy_j/high",
        number(&both[0], "/forecast/energy_j/high") + number(&both[1], "/forecast/energy_j/high"),
    );
    near(&job["nodes"][0], "/error/high", 1.25);
    assert!(job["nodes"][1].get("error").is_none());
    let devices = job["components"].as_array().unwrap();
    assert_eq!(devices.iter().filter(|device| device["error"].is_object()).count(), 1);
    let page = without_tags(&html::page(&both));
    assert!(page.contains("≈ 230 Wh"), "{page}");
    // All energy is measured: no interval.
    let measured = [rank(0, staged(|_| None)), rank(1, staged(|_| None))];
    assert!(ranks::rows(&measured)[0]["usage"]["error"].is_null());
}

/// A folder for one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, reports: &[(&str, Value)]) -> Folder {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("estimates-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        reports.iter().enumerate().for_each(|(n, (file, report))| {
            let mut report = report.clone();
            report["run"]["id"] = json!(format!("{n:016x}"));
            fs::write(dir.join(file), report.to_string()).unwrap();
        });
        Folder(dir)
    }

    fn command(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_carbontracker"));
        let output = command.arg(arguments[0]).arg(&self.0).args(&arguments[1..]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn error_of_many_runs_is_in_their_totals_and_their_sentence() {
    let folder = Folder::new("totals", &[("a.json", estimated().json()), ("b.json", staged(|_| None).json())]);
    let aggregate: Value = serde_json::from_str(&folder.command(&["aggregate", "--json"])).unwrap();
    for [name, low, high] in FIGURES {
        let value = number(&aggregate["totals"], &format!("/{name}"));
        near(&aggregate["totals"], &format!("/{low}"), value * 0.9375);
        near(&aggregate["totals"], &format!("/{high}"), value * 1.125);
    }
    near(&aggregate, "/runs/0/energy_high_j", number(&aggregate, "/runs/0/energy_j") * 1.25);
    let sentence = aggregate["sentence"].as_str().unwrap();
    for words in [
        "used ≈ 0.35 kWh (0.32 to 0.39) of electricity (≈ 0.23 kWh of the devices; PUE 1.5), contributing an estimated 0.069 kg of CO2eq (0.065 to 0.078 kg). The intervals contain the true value in nine cases of ten.",
        "87.5 % measured by the hardware's energy counters, 12.5 % estimated from the device's load and design power, not measured: between 0.5 and 2 times that in nine cases of ten",
    ] {
        assert!(sentence.contains(words), "{words}: {sentence}");
    }
    let text = folder.command(&["aggregate"]);
    assert!(
        text.contains("≈ 230 Wh of the devices (220 to 260)") && text.contains("  CO2e    ≈ 69 g (65 to 78) at"),
        "{text}"
    );
    let csv = folder.command(&["aggregate", "--csv"]);
    assert!(csv.lines().next().unwrap().ends_with(
        ",ranks,energy_low_j,energy_high_j,facility_energy_low_kwh,facility_energy_high_kwh,co2eq_low_g,co2eq_high_g"
    ));
    let measured = Folder::new("measured", &[("b.json", staged(|_| None).json())]);
    let text = measured.command(&["aggregate"]);
    assert!(!text.contains("about") && !text.contains("nine cases"), "{text}");
    assert!(measured.command(&["aggregate", "--csv"]).lines().next().unwrap().ends_with(",file,job,ranks"));
}
