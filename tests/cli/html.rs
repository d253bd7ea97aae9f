//! The HTML report in a browser: content, layout, and PDF.
//!
//! CT_PAGES is a folder to keep the pages in, with their JSON, for inspection.

use crate::browser::{Seen, Sight};
use crate::staging::{Staged, Watts, sunny};
use carbontracker::measurement::channel::DeviceKind;
use carbontracker::report::html;
use carbontracker::tracker::Tracker;
use carbontracker::units::ErrorBand;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::time::Duration;

const HOSTILE: &str = "<script>alert('x')</script> \"&amp;\" </style><img src=x onerror=alert(1)>";

/// Runs of all kinds.
fn runs() -> Vec<(&'static str, Value)> {
    let gpu: Watts = |at| 600.0 + 60.0 * (at / 700.0).sin();
    let sixteen = std::iter::once((DeviceKind::Cpu, "package-0", (|_| 180.0) as Watts));
    let sixteen = sixteen.chain((0..16).map(|_| (DeviceKind::Gpu, "NVIDIA H100 80GB HBM3", gpu))).collect();
    let staged = [
        ("ten", Staged::default()),
        ("one", Staged { options: "epochs=1", epochs: 1, ..Staged::default() }),
        (
            "hourly",
            Staged {
                name: "weather model, 36 h",
                options: "epochs=48 location=DK pue=1.3 price=0.32EUR wue=1.8 wue_grid=3.9 embodied_kg=150",
                epochs: 36,
                epoch_s: |n| 3500.0 + (n * 37 % 11) as f64 * 30.0,
                gap_s: 60.0,
                hourly: Some(sunny),
                ..Staged::default()
            },
        ),
        (
            "many",
            Staged {
                options: "epochs=6000 location=FR",
                epochs: 5300,
                epoch_s: |_| 2.0,
                gap_s: 0.0,
                ..Staged::default()
            },
        ),
        (
            "gpus",
            Staged {
                options: "epochs=20 location=US-CA pue=1.1",
                epochs: 12,
                epoch_s: |_| 5400.0,
                devices: sixteen,
                ..Staged::default()
            },
        ),
        ("nothing", Staged { devices: Vec::new(), options: "epochs=12 location=DE", ..Staged::default() }),
        ("waiting", Staged { epochs: 0, options: "epochs=3 what_if=off", ..Staged::default() }),
        ("first", Staged { epochs: 0, open_s: 400.0, options: "epochs=3", ..Staged::default() }),
        ("hostile", Staged { name: HOSTILE, options: "location=IN", epochs: 3, ..Staged::default() }),
        ("quick", Staged { epochs: 3, epoch_s: |_| 0.02, gap_s: 0.0, ..Staged::default() }),
    ];
    let staged = staged.into_iter().map(|(name, staged)| (name, staged.json()));
    staged.chain([("job", job())]).collect()
}

/// A job of four ranks, each on a node of its own.
fn job() -> Value {
    let rank = |rank: u64| {
        let mut report = Staged { options: "epochs=12 location=DK", ..Staged::default() }.json();
        let of_job = [("id", json!(rank.to_string())), ("host", json!(format!("node{rank}"))), ("rank", json!(rank))];
        of_job.into_iter().chain([("job", json!("SLURM job 77")), ("ranks", json!(4))]).for_each(|(name, value)| {
            report["run"][name] = value;
        });
        report
    };
    let ranks: Vec<Value> = (0..4).map(rank).collect();
    let rows = carbontracker::report::ranks::rows(&ranks);
    assert_eq!(rows.len(), 1);
    rows[0].clone().into_owned()
}

/// The pages in a browser. They must send no request.
fn see(pages: &[String], sight: Sight) -> Option<Vec<Value>> {
    let Seen { told: seen, complaints } = crate::browser::see(pages, sight)?;
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(seen.iter().all(|told| told["requests"] == 0 && told["scripts"] == 0), "{seen:#?}");
    Some(seen)
}

/// Each run's page.
fn pages(runs: &[(&'static str, Value)]) -> Vec<String> {
    runs.iter().map(|(_, report)| html::page(std::slice::from_ref(report))).collect()
}

/// The number that starts a text, in the base unit.
fn read(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 15] = [
        ("J", 1.0),
        ("kJ", 1e3),
        ("kWh", 3.6e6),
        ("mg", 1e-3),
        ("g", 1.0),
        ("kg", 1e3),
        ("t", 1e6),
        ("W", 1.0),
        ("%", 0.01),
        ("s", 1.0),
        ("L", 1.0),
        ("EUR", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
        ("", 1.0),
    ];
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let size = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    Some(number.parse::<f64>().ok()? * size)
}

#[test]
fn pages_can_be_looked_at() {
    let Some(dir) = std::env::var_os("CT_PAGES").map(PathBuf::from) else { return };
    fs::create_dir_all(&dir).unwrap();
    let runs = runs();
    for ((name, report), page) in runs.iter().zip(pages(&runs)) {
        fs::write(dir.join(format!("{name}.html")), page).unwrap();
        fs::write(dir.join(format!("{name}.json")), report.to_string()).unwrap();
    }
    let runs = rare_runs();
    for ((name, _), page) in runs.iter().zip(pages(&runs)) {
        fs::write(dir.join(format!("{name}.html")), page).unwrap();
    }
    fs::write(dir.join("sweep.html"), html::page(&sweep())).unwrap();
}

/// Runs that are long, estimated, without epochs, or killed and resumed.
fn rare_runs() -> Vec<(&'static str, Value)> {
    let kilowatt: Watts = |at| 950.0 + 60.0 * (at / 70_000.0).sin();
    let sixteen = (0..16).map(|_| (DeviceKind::Gpu, "NVIDIA H100 80GB HBM3", kilowatt)).collect();
    let long = Staged {
        name: "41 days and 16 MWh",
        options: "epochs=1200 location=DK pue=1.3 price=0.32EUR",
        epochs: 1000,
        epoch_s: |n| 3500.0 + (n * 37 % 11) as f64 * 10.0,
        devices: sixteen,
        ..Staged::default()
    };
    let cpu = vec![(DeviceKind::Cpu, "AMD EPYC 7763", (|at| 120.0 + 40.0 * (at / 40.0).sin()) as Watts)];
    let rough = |_| Some(ErrorBand { low: 0.5, high: 2.0 });
    let estimate = Staged { name: "estimate", devices: cpu.clone(), error: rough, ..Staged::default() };
    let program = Staged { options: "epochs=1 location=FR", epochs: 1, epoch_s: |_| 814.0, ..Staged::default() };
    let resumed = Staged { options: "epochs=20 location=IN", devices: cpu, ..Staged::default() };
    let mut resumed = resumed.json();
    resumed["run"]["resumed"] = json!({"times": 2, "lost_epochs": 1, "lost_s": 63.0, "lost_j": 7_560.0});
    resumed["run"]["state"] = json!("unfinished");
    vec![("long", long.json()), ("estimate", estimate.json()), ("program", program.json()), ("resumed", resumed)]
}

/// 200 runs of four settings.
fn sweep() -> Vec<Value> {
    let one = Staged { epochs: 3, options: "epochs=3 location=DK", ..Staged::default() }.json();
    let run = |n: usize| {
        let (mut run, size) = (one.clone(), 1.0 + (n * 7919 % 101) as f64 / 200.0 + (n % 4) as f64);
        run["run"]["id"] = json!(n.to_string());
        run["run"]["name"] = json!(format!("resnet50/lr=1e-{}", n % 4 + 2));
        for field in ["energy_j", "facility_energy_kwh", "co2eq_g", "duration_s"] {
            run["usage"][field] = json!(run["usage"][field].as_f64().unwrap() * size);
        }
        run
    };
    (0..200).map(run).collect()
}

#[test]
fn numbers_on_the_page_are_those_of_the_report() {
    let runs = runs();
    let Some(seen) = see(&pages(&runs), Sight::WIDE) else { return };
    for ((name, report), told) in runs.iter().zip(&seen) {
        let numbers = told["numbers"].as_array().unwrap();
        for number in numbers {
            let [pointer, text] = ["pointer", "text"].map(|field| number[field].as_str().unwrap());
            let there = report.pointer(pointer).unwrap_or_else(|| panic!("{name}: nothing at {pointer}"));
            let shown = number["value"].as_str().map(|value| value.parse::<f64>().unwrap());
            assert_eq!(shown, there.as_f64(), "{name}: {pointer}");
            assert_eq!(shown.is_none(), text == "unknown", "{name}: {pointer} {text}");
            // A table's column has its unit in the heading, a change has the opposite sign, and energies in kWh need no
            // conversion.
            let is_plain = !pointer.starts_with("/epochs/") && !pointer.contains("saves") && !pointer.contains("kwh");
            let is_plain = is_plain && !pointer.contains("embodied/kg") && !pointer.contains("level");
            // The ends of an interval have the unit of the value before them. A column of epochs counts from 1.
            let is_end = ["low", "high"].iter().any(|end| pointer.contains(end)) && !text.contains(' ');
            let is_plain = is_plain && !is_end;
            if let Some((value, read)) = shown.zip(read(text)).filter(|_| is_plain) {
                // A forecast has two digits, or three if its interval is narrow.
                let rounding = if pointer.starts_with("/forecast") { 0.06 } else { 0.006 };
                assert!((read - value).abs() <= rounding * value.abs(), "{name}: {pointer} is {value}, not {text}");
            }
        }
        let has = |pointer: &str| numbers.iter().any(|number| number["pointer"] == pointer);
        for pointer in ["/usage/energy_j", "/usage/co2eq_g", "/usage/duration_s", "/run/epochs_done", "/pue"] {
            assert!(has(pointer), "{name}: {pointer}");
        }
        for (section, field) in [("components", "energy_j"), ("components", "coverage"), ("epochs", "duration_s")] {
            let last = report[section].as_array().unwrap().len().checked_sub(1);
            let is_guess = |last: usize| field == "coverage" && report[section][last]["error"].is_object();
            assert!(
                last.filter(|last| !is_guess(*last)).is_none_or(|last| has(&format!("/{section}/{last}/{field}"))),
                "{name}: {section}"
            );
        }
        let title = report["run"]["name"].as_str().unwrap();
        let of_job = if report["run"]["ranks_found"] == 4 { ": 1 run, 4 ranks" } else { "" };
        assert_eq!(told["heading"], format!("{title}{of_job}"), "{name}");
    }
}

/// Every page on a small and a large screen, light and dark.
#[test]
fn pages_fit_their_screen_and_can_be_read() {
    let runs: Vec<_> = runs().into_iter().chain(rare_runs()).collect();
    let pages = pages(&runs);
    for sight in [Sight::WIDE, Sight::NARROW, Sight { is_dark: true, ..Sight::NARROW }] {
        let Some(seen) = see(&pages, sight) else { return };
        for ((name, _), told) in runs.iter().zip(&seen) {
            assert!(
                told["page_width"].as_f64().unwrap() <= f64::from(sight.width),
                "{name} at {}: {told}",
                sight.width
            );
            assert!(told["least_contrast"].as_f64().unwrap() >= 4.5, "{name} at {}: {told}", sight.width);
            assert_eq!(told["is_dark"], sight.is_dark, "{name}");
            for chart in told["charts"].as_array().unwrap() {
                let about = format!("{name} at {}: {chart}", sight.width);
                assert_eq!(chart["form"], if sight.width < 500 { "narrow" } else { "wide" }, "{about}");
                assert!(chart["label"].as_str().is_some_and(|label| !label.is_empty()), "{about}");
                assert!(chart["least_text"].as_f64().unwrap() >= 11.0, "{about}");
                assert_eq!((&chart["clipped"], &chart["overlapping"]), (&0.into(), &0.into()), "{about}");
                assert!(chart["shapes"].as_u64().unwrap() > 0, "{about}");
            }
        }
    }
}

/// The checks above detect a faulty page.
#[test]
fn faults_of_a_page_are_detected() {
    let chart = "<svg class=wide viewBox='0 0 100 100' width=100><text x=90 y=50 font-size=8>clipped</text></svg>";
    let bad = "<h1 style='color:#999'>x</h1><div style='width:500px'>wide</div><img src='http://127.0.0.1:9/x.png'>";
    let page = format!("<!DOCTYPE html>{bad}{chart}<script>nothing.there()</script>");
    let Some(Seen { told, complaints }) = crate::browser::see(&[page], Sight::NARROW) else { return };
    assert!(complaints.iter().any(|line| line.contains("nothing is not defined")), "{complaints:?}");
    let told = &told[0];
    assert!(told["requests"] == 1 && told["scripts"] == 2 && told["charts"][0]["clipped"] == 1, "{told}");
    assert!(told["page_width"].as_f64().unwrap() > 390.0 && told["least_contrast"].as_f64().unwrap() < 4.5, "{told}");
}

/// The library's page and the command's page of its report are equal.
#[test]
fn library_and_command_make_the_same_page() {
    let tracker = Tracker::create("sim_cpu=A:50 sim_gpu=B:200 epochs=2 location=DK").unwrap().unwrap();
    for _ in 0..2 {
        tracker.begin().unwrap();
        std::thread::sleep(Duration::from_millis(30));
        tracker.end().unwrap();
    }
    let report: Value = serde_json::from_str(&tracker.report("json").unwrap()).unwrap();
    assert!(report["power"]["gpu_w"][0].as_f64().is_some_and(|watts| (watts - 200.0).abs() < 1.0), "{report}");
    assert_eq!(tracker.report("html").unwrap(), html::page(&[report]));
    tracker.destroy();
}

#[test]
fn charts_appear_if_there_is_data() {
    let labels = |name: &str, report: &Value| {
        let page = html::page(std::slice::from_ref(report));
        [
            "Power over",
            "Energy of each",
            "Time of each",
            "Forecast of the whole run's energy",
            "Forecast of the whole run's time",
            "CO2e emitted",
            "intensity over",
        ]
        .map(|label| {
            page.contains(&format!("aria-label=\"{label}")) || page.contains(&format!("carbon {label} the run"))
        })
        .iter()
        .map(|is_there| if *is_there { 'x' } else { '.' })
        .collect::<String>()
            + name
    };
    let drawn: Vec<String> = runs().iter().map(|(name, report)| labels(name, report)).collect();
    assert_eq!(
        drawn,
        [
            "xx.x...ten",
            "x......one",
            "xx.x.xxhourly",
            "xx.x...many",
            "xx.x...gpus",
            "..x.x..nothing",
            ".......waiting",
            "x......first",
            "xx.....hostile",
            "xx.x...quick",
            "xx.x...job"
        ]
    );
}

#[test]
fn page_of_a_million_epochs_stays_small() {
    let staged =
        Staged { options: "epochs=1000000", epochs: 1_000_000, epoch_s: |_| 0.05, gap_s: 0.0, ..Staged::default() };
    let report = staged.json();
    assert!(report["epochs"].as_array().unwrap().len() > 2000);
    let page = html::page(std::slice::from_ref(&report));
    assert!(page.len() < 1_500_000, "{} bytes", page.len());
    assert!(page.contains("kept in groups") && page.contains("evenly from the first to the last"));
    let Some(seen) = see(&[page], Sight::NARROW) else { return };
    assert!(seen[0]["page_width"].as_f64().unwrap() <= 390.0);
}

/// A folder for one test.
fn folder(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("html-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn report(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_carbontracker")).current_dir(dir).arg("report").args(arguments).output().unwrap()
}

fn message(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn files_and_folders_make_one_page() {
    let dir = folder("command");
    let all = runs();
    fs::create_dir(dir.join("runs")).unwrap();
    for n in 0..14 {
        let (name, report) = &all[n % all.len()];
        let mut report = report.clone();
        report["run"]["id"] = format!("{n:016x}").into();
        fs::write(dir.join(format!("runs/{n:02}_{name}.json")), report.to_string()).unwrap();
        fs::write(dir.join(format!("runs/{n:02}_copy.json")), report.to_string()).unwrap();
    }
    fs::write(dir.join("runs/package.json"), "{\"name\": \"x\"}").unwrap();
    fs::write(dir.join("runs/torn.json"), "{\"schema\": 1, \"run\": {").unwrap();
    let one = report(&dir, &["runs/00_ten.json"]);
    assert!(one.status.success() && one.stderr.is_empty());
    let mut first = all[0].1.clone();
    first["run"]["id"] = format!("{:016x}", 0).into();
    assert_eq!(String::from_utf8(one.stdout).unwrap(), html::page(&[first]));
    let several = report(&dir, &["runs", "-o", "out.html"]);
    assert!(several.status.success() && several.stdout.is_empty());
    let output_text = String::from_utf8_lossy(&several.stderr).into_owned();
    assert!(
        output_text.contains("runs/torn.json: EOF")
            && output_text.contains("left out")
            && !output_text.contains("package"),
        "{output_text}"
    );
    let page = fs::read_to_string(dir.join("out.html")).unwrap();
    assert_eq!((page.matches("<details").count(), page.matches("<tr data-report=").count()), (12, 14));
    assert!(page.contains("The first 12 runs follow in full"));
    let Some(seen) = see(&[page], Sight::NARROW) else { return };
    assert!(seen[0]["page_width"].as_f64().unwrap() <= 390.0);
    let total: f64 = (0..14).filter_map(|n| all[n % all.len()].1["usage"]["energy_j"].as_f64()).sum();
    let shown = seen[0]["sums"]["/usage/energy_j"].as_str().unwrap().parse::<f64>().unwrap();
    assert!((shown - total).abs() < 1e-9 * total, "{shown} {total}");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn failure_is_reported_and_leaves_the_old_page() {
    let dir = folder("refused");
    fs::write(dir.join("run.json"), Staged::default().json().to_string()).unwrap();
    fs::write(dir.join("torn.json"), "{\"schema\": 1, \"run\": {").unwrap();
    fs::write(dir.join("newer.json"), "{\"schema\": 2, \"run\": {\"id\": \"a\"}, \"usage\": {}}").unwrap();
    fs::write(dir.join("other.json"), "{\"name\": \"x\"}").unwrap();
    fs::write(dir.join("out.html"), "before").unwrap();
    fs::create_dir(dir.join("empty")).unwrap();
    for (path, why) in [
        ("torn.json", "torn.json: EOF"),
        ("newer.json", "a newer carbontracker"),
        ("other.json", "other.json: not a run's report or journal"),
        ("none.json", "none.json: No such file"),
        ("empty", "empty: no run found"),
    ] {
        let output_text = message(&report(&dir, &["run.json", path, "-o", "out.html"]));
        assert!(output_text.starts_with("carbontracker: ") && output_text.contains(why), "{output_text}");
    }
    assert!(message(&report(&dir, &["run.json", "-o", "no/out.html"])).contains("no/out.html: No such file"));
    assert_eq!(report(&dir, &["run.json", "-o", "out.txt"]).status.code(), Some(2));
    let mut without = Command::new(env!("CARGO_BIN_EXE_carbontracker"));
    let without =
        without.current_dir(&dir).env("PATH", "").env_remove("CHROME").args(["report", "run.json", "-o", "out.pdf"]);
    assert!(message(&without.output().unwrap()).contains("apt-get install chromium"));
    let broken = |browser: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_carbontracker"));
        message(
            &command
                .current_dir(&dir)
                .env("CHROME", browser)
                .args(["report", "run.json", "-o", "out.pdf"])
                .output()
                .unwrap(),
        )
    };
    assert!(broken("/bin/false").contains("printed no PDF"));
    assert!(broken("/nowhere/chrome").contains("/nowhere/chrome: No such file"));
    assert_eq!(fs::read_to_string(dir.join("out.html")).unwrap(), "before");
    let mut left: Vec<String> =
        fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, ["empty", "newer.json", "other.json", "out.html", "run.json", "torn.json"]);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn pdf_shows_the_page() {
    if crate::browser::find().is_none() {
        return;
    }
    let dir = folder("pdf");
    let staged = Staged { name: "a run to print", ..Staged::default() };
    fs::write(dir.join("run.json"), staged.json().to_string()).unwrap();
    let printed = report(&dir, &["run.json", "-o", "run.pdf"]);
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    assert!(fs::read(dir.join("run.pdf")).unwrap().starts_with(b"%PDF"));
    if let Some(text) = crate::browser::text_of_pdf(&dir.join("run.pdf")) {
        let energy = carbontracker::units::energy(staged.json()["usage"]["energy_j"].as_f64().unwrap());
        for words in ["a run to print", &energy, "How it was measured", "NVIDIA A100-SXM4-80GB", "arXiv:2007.03051"] {
            assert!(text.contains(words), "{words} is not in {text}");
        }
        assert!(!text.contains("file://"), "{text}");
    }
    fs::remove_dir_all(dir).unwrap();
}

/// The pointers to all values of a report.
fn pointers(at: &str, value: &Value, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| pointers(&format!("{at}/{name}"), value, all)),
        Value::Array(list) => {
            list.iter().enumerate().take(3).for_each(|(n, value)| pointers(&format!("{at}/{n}"), value, all))
        }
        _ => (),
    }
}

/// Two reports; the second has hourly intensities.
static SOUND: LazyLock<[Value; 2]> = LazyLock::new(|| {
    let options = "epochs=12 location=DK price=1EUR wue=2 embodied_kg=100";
    [None, Some(sunny as fn(i32) -> f64)].map(|hourly| Staged { options, hourly, ..Staged::default() }.json())
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any content of a file makes a page, quickly.
    #[test]
    fn any_file_makes_a_page(
        hourly in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0usize..9), 1..12),
    ) {
        let mut report = SOUND[usize::from(hourly)].clone();
        let mut all = Vec::new();
        pointers("", &report, &mut all);
        for (place, what) in changes {
            let odd = [
                Value::Null, json!(-1e300), json!(1e308), json!(0), json!("\"><b>"), json!([]), json!({}),
                json!([1e9, -5, null, 0, 1e9]), json!(-7.5),
            ];
            if let Some(value) = report.pointer_mut(place.get::<String>(&all)) {
                *value = odd[what].clone();
            }
        }
        let page = html::page(&[report]);
        prop_assert!(page.ends_with("</html>") && !page.contains("<b>") && page.len() < 3_000_000);
    }
}
