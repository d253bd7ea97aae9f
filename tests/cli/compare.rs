//! `carbontracker compare` and `carbontracker totals`, on reports with known figures.

use crate::run_files::Folder;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

fn command(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carbontracker"));
    command.args(arguments).env("TZ", "UTC").output().expect("it starts")
}

#[track_caller]
fn printed(arguments: &[&str]) -> String {
    let output = command(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[track_caller]
fn parsed(arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(&[arguments, &["--json"]].concat())).expect("JSON")
}

/// The report of a run of two epochs and 10 s in a zone with this intensity, g/kWh.
fn report(id: &str, name: &str, energy_j: Option<f64>, g_per_kwh: f64) -> Value {
    let kwh = energy_j.map(|joules| joules / 3.6e6);
    json!({
        "schema": 1,
        "run": {"id": id, "name": name, "host": "node1", "started": "2026-03-02T13:00:00Z", "state": "done", "version": "0.1.0",
            "last_end_unix_s": 1_772_456_410.0, "epochs_planned": 2, "epochs_done": 2, "progress": null},
        "usage": {"duration_s": 10.0, "energy_j": energy_j, "energy_kwh": kwh, "facility_energy_kwh": kwh.map(|kwh| kwh * 2.0),
            "co2eq_g": kwh.map(|kwh| kwh * 2.0 * g_per_kwh), "coverage": 1.0},
        "forecast": null,
        "intensity": {"g_per_kwh": g_per_kwh, "kind": "static", "zone": "DK", "year": 2025, "basis": "lifecycle", "source": "Ember"},
        "pue": 2.0,
        "components": [{"kind": "gpu", "device": "H100", "id": "a", "source": "nvml", "method": "counter", "energy_j": energy_j,
            "mean_power_w": 1.0, "coverage": 1.0, "status": "ok", "note": null}],
        "unavailable": [], "epochs": [], "notes": [],
    })
}

fn put(folder: &Folder, path: &str, report: &Value) -> String {
    let path: PathBuf = folder.0.join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(&path, report.to_string()).expect("written");
    path.to_string_lossy().into_owned()
}

/// A folder of runs with these energies, J.
fn side(folder: &Folder, name: &str, joules: &[f64], g_per_kwh: f64) -> String {
    for (n, joules) in joules.iter().enumerate() {
        put(folder, &format!("{name}/{n}.json"), &report(&format!("{name}{n}"), name, Some(*joules), g_per_kwh));
    }
    folder.0.join(name).to_string_lossy().into_owned()
}

fn close(value: &Value, expected: f64) -> bool {
    value.as_f64().is_some_and(|value| (value - expected).abs() <= 1e-9 * expected.abs())
}

#[test]
fn sides_are_compared_at_one_intensity() {
    let folder = Folder::new("grid");
    let (a, b) = (side(&folder, "a", &[3.6e6, 3.7e6, 3.5e6], 100.0), side(&folder, "b", &[1.8e6, 1.9e6, 1.7e6], 500.0));
    let all = parsed(&["compare", &a, &b]);
    assert_eq!((&all["schema"], &all["pue"], &all["g_per_kwh"]), (&json!(1), &json!(2.0), &json!(100.0)));
    let [first, second] = [&all["sides"][0], &all["sides"][1]];
    assert!(close(&first["energy_j"]["mean"], 3.6e6) && close(&first["energy_j"]["deviation"], 1e5), "{first}");
    assert!(close(&second["co2eq_g"]["mean"], 100.0) && close(&second["epoch_energy_j"]["mean"], 0.9e6), "{second}");
    let difference = &all["differences"][0];
    assert!(close(&difference["energy_j"]["ratio"], 0.5), "{difference}");
    assert_eq!(difference["energy_j"]["verdict"], "larger_than_noise");
    assert_eq!(
        (&difference["duration_s"]["ratio"], &difference["duration_s"]["verdict"]),
        (&json!(1.0), &json!("within_noise"))
    );
    let given = parsed(&["compare", &a, &b, "--intensity", "50"]);
    assert!(close(&given["sides"][1]["co2eq_g"]["mean"], 50.0), "{given}");
    let text = printed(&["compare", &a, &b]);
    assert!(text.contains("÷ 2.00    larger than the noise of repeated runs") && text.contains(" ± 2.8 %"), "{text}");
    let markdown = printed(&["compare", &a, &b, "--markdown"]);
    assert!(markdown.contains("**÷ 2.00**, larger than the noise") && markdown.contains("| ---: |"), "{markdown}");
    assert_eq!(command(&["compare", &a, &b, "--intensity", "-1"]).status.code(), Some(2));
}

#[test]
fn noise_is_unknown_with_one_run_and_counts_with_more() {
    let folder = Folder::new("noise");
    let one = put(&folder, "one.json", &report("x", "train", Some(100.0), 100.0));
    let two = put(&folder, "two.json", &report("y", "train", Some(140.0), 100.0));
    let all = parsed(&["compare", &one, &two]);
    assert_eq!(
        (&all["sides"][0]["name"], &all["sides"][1]["name"]),
        (&json!("one"), &json!("two")),
        "one name: by file"
    );
    assert_eq!(all["differences"][0]["energy_j"], json!({"ratio": 1.4, "p": null, "verdict": "noise_unknown"}));
    assert!(
        printed(&["compare", &one, &two])
            .contains("× 1.40    the noise is unknown: a side has fewer than two known values")
    );
    let (a, b) = (side(&folder, "a", &[100.0, 150.0, 125.0], 1.0), side(&folder, "b", &[120.0, 170.0, 130.0], 1.0));
    assert_eq!(parsed(&["compare", &a, &b])["differences"][0]["energy_j"]["verdict"], "within_noise");
}

#[test]
fn page_has_the_verdict_first_and_bars_with_noise() {
    let folder = Folder::new("page");
    let a = side(&folder, "a <b>", &[3.6e6, 3.7e6, 3.5e6], 100.0);
    let b = side(&folder, "b", &[1.8e6, 1.9e6, 1.7e6], 500.0);
    let c = put(&folder, "c.json", &report("c", "c", None, 100.0));
    let file = folder.0.join("compared.html");
    let to = file.to_str().expect("UTF-8");
    assert_eq!(printed(&["compare", &a, &b, &c, "--to", to]), "");
    let page = fs::read_to_string(&file).expect("a page");
    let lead = page.split("<p class=\"lead\">").nth(1).expect("a sentence");
    assert!(lead.contains("</strong> used <strong>50 % of the energy</strong> of "), "{lead}");
    assert!(lead.split("</p>").next().is_some_and(|lead| lead.contains("larger than the noise")), "{lead}");
    assert!(page.find("class=\"lead\"") < page.find("<table"), "the verdict comes first");
    assert!(page.contains("a &lt;b&gt;") && !page.contains("<b>") && !page.contains("<script"), "{page}");
    assert!(page.contains("energy, kWh") && page.contains("1.00 ± 0.028"), "{page}");
    // Energy, time and energy an epoch of both sides that have repeated runs.
    assert_eq!(page.matches("<i class=\"noise\"").count(), 6, "{page}");
    assert!(page.contains("c</strong> took <strong>1.00 times the time</strong>"), "energy of c is unknown: {page}");
    assert_eq!(command(&["compare", &a, &b, "--to", "compared.txt"]).status.code(), Some(2));
}

#[test]
fn runs_are_grouped_by_name_or_folder() {
    let folder = Folder::new("groups");
    let names = ["a", "b", "a", "c"];
    let files: Vec<String> = (0..4)
        .map(|n| {
            put(&folder, &format!("runs/{n}.json"), &report(&n.to_string(), names[n], Some(100.0 + n as f64), 1.0))
        })
        .collect();
    let of = |all: &Value| {
        let sides = all["sides"].as_array().expect("sides").iter();
        sides
            .map(|side| (side["name"].as_str().unwrap().to_owned(), side["runs"].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    let expected = [("a".to_owned(), 2), ("b".to_owned(), 1), ("c".to_owned(), 1)];
    let runs = folder.0.join("runs").to_string_lossy().into_owned();
    assert_eq!(of(&parsed(&["compare", &runs])), expected);
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    assert_eq!(
        of(&parsed(&[&["compare"], &files[..], &[files[0]]].concat())),
        expected,
        "a file named twice counts once"
    );
    let single = command(&["compare", files[0], files[2], files[0]]);
    assert!(single.status.success(), "two files of one name are two sides: {single:?}");
    let refused = command(&["compare", files[0]]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("one side; nothing is compared"), "{refused:?}");
}

#[test]
fn what_is_unknown_or_unlike_is_noted() {
    let folder = Folder::new("notes");
    let mut rough = report("r", "rough", Some(100.0), 1.0);
    rough["components"][0]["method"] = json!("estimate");
    rough["components"][0]["error"] = json!({"low": 0.5, "high": 2.0});
    rough["usage"]["error"] = json!({"low": 0.5, "high": 2.0});
    rough["run"]["epochs_done"] = json!(4);
    rough["run"]["state"] = json!("unfinished");
    let (a, b) = (put(&folder, "a.json", &report("a", "a", None, 1.0)), put(&folder, "b.json", &rough));
    let all = parsed(&["compare", &a, &b]);
    assert_eq!((&all["sides"][0]["energy_j"], &all["differences"][0]["energy_j"]), (&Value::Null, &Value::Null));
    assert_eq!(all["differences"][0]["duration_s"]["ratio"], 1.0, "{all}");
    let notes = all["notes"].to_string();
    for words in [
        "a: 1 of 1 runs have unknown energy",
        "rough: 1 of 1 runs are unfinished",
        "partly estimated, 0.5 to 2 times",
        "2 to 4 epochs",
    ] {
        assert!(notes.contains(words), "{words}: {notes}");
    }
    let text = printed(&["compare", &a, &b]);
    assert!(text.contains("energy and CO2e  unknown\n") && text.contains("≈ "), "{text}");
    let c = put(&folder, "c.json", &report("c", "c", Some(100.0), 1.0));
    let mixed = parsed(&["compare", &c, &b])["notes"].to_string();
    assert!(mixed.contains("the energy of the sides is estimated and measured"), "{mixed}");
}

#[test]
fn totals_add_up_by_project_day_and_month() {
    let folder = Folder::new("totals");
    let at = |id: &str, name: &str, started: &str, joules: Option<f64>| {
        let mut report = report(id, name, joules, 100.0);
        report["run"]["started"] = json!(started);
        report
    };
    put(&folder, "runs/1.json", &at("1", "vision/a", "2026-03-02T23:59:50Z", Some(3.6e6)));
    put(&folder, "runs/2.json", &at("2", "vision/b", "2026-03-03T00:00:00Z", Some(1.8e6)));
    put(&folder, "runs/3.json", &at("3", "text", "2026-04-01T00:00:00Z", None));
    let runs = folder.0.join("runs").to_string_lossy().into_owned();
    let groups = |by: &str| {
        let all = parsed(&["totals", &runs, "--by", by]);
        assert_eq!((&all["schema"], &all["by"], &all["totals"]["runs"]), (&json!(1), &json!(by), &json!(3)));
        assert!(close(&all["totals"]["facility_energy_kwh"], 3.0) && close(&all["totals"]["co2eq_g"], 300.0), "{all}");
        let groups = all["groups"].as_array().expect("groups").iter();
        let row = |one: &Value| {
            let totals = &one["totals"];
            (one["name"].as_str().unwrap().to_owned(), totals["runs"].as_u64().unwrap(), totals["energy_j"].as_f64())
        };
        groups.map(row).collect::<Vec<_>>()
    };
    let row = |name: &str, runs: u64, joules: Option<f64>| (name.to_owned(), runs, joules);
    assert_eq!(groups("project"), [row("runs", 1, None), row("vision", 2, Some(5.4e6))]);
    assert_eq!(
        groups("day"),
        [row("2026-03-02", 1, Some(3.6e6)), row("2026-03-03", 1, Some(1.8e6)), row("2026-04-01", 1, None)]
    );
    assert_eq!(groups("month"), [row("2026-03", 2, Some(5.4e6)), row("2026-04", 1, None)]);
    assert_eq!(groups("name").len(), 3);
    let text = printed(&["totals", &runs]);
    assert!(text.starts_with("month ") && text.contains("note: 1 of 3 runs: energy unknown, in no sum"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("2026-04") && line.contains("unknown  unknown")), "{text}");
}

#[test]
fn ranks_are_one_run_in_totals_and_comparisons() {
    let folder = Folder::new("ranks");
    for (job, joules) in [("slurm:1", 100.0), ("slurm:2", 200.0)] {
        for rank in 0..3 {
            let mut report = report(&format!("{job}-{rank}"), job, Some(joules), 1.0);
            for (name, value) in [("job", json!(job)), ("rank", json!(rank)), ("ranks", json!(3))] {
                report["run"][name] = value;
            }
            report["components"][0]["id"] = json!(rank.to_string());
            put(&folder, &format!("{}_{rank}.json", job.replace(':', "")), &report);
        }
    }
    let all = parsed(&["totals", &folder.shown(), "--by", "name"]);
    assert_eq!((&all["totals"]["runs"], &all["totals"]["ranks"]), (&json!(2), &json!(6)));
    let compared = parsed(&["compare", &folder.shown()]);
    assert_eq!(compared["sides"][1]["runs"], 1);
    assert!(close(&compared["sides"][1]["energy_j"]["mean"], 600.0), "{compared}");
    assert_eq!(compared["differences"][0]["energy_j"]["ratio"], 2.0);
}
