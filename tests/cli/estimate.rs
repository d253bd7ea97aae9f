//! `carbontracker estimate` and `when`: runs before they begin, by earlier runs whose numbers are known exactly.

use crate::run_files::{Folder, number};
use serde_json::{Value, json};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const PROGRAM: &str = env!("CARGO_BIN_EXE_carbontracker");
const HOUR_S: f64 = 3600.0;

/// Runs the command without options of this environment.
fn carbontracker(arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARBONTRACKER_")) {
        command.env_remove(name);
    }
    command.args(arguments).env("TZ", "AAA-02:00").output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json_of(arguments: &[&str]) -> Value {
    let output = carbontracker(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A report of ten epochs of this length and 6 kJ in Denmark. All of the energy is used in the first half of the run.
fn report(id: &str, seconds: f64) -> Value {
    with_energy(id, seconds, 6e4)
}

/// The same with this energy of the run, J.
fn with_energy(id: &str, seconds: f64, joules: f64) -> Value {
    let row = |index: u64| json!({"index": index, "count": 1, "duration_s": seconds, "energy_j": joules / 10.0, "coverage": 1.0});
    let half = 5.0 * seconds;
    json!({
        "schema": 1,
        "run": {"id": id, "name": "net", "started": format!("2026-01-01T00:00:0{id}Z"), "state": "done", "epochs_planned": 10, "rank": null},
        "usage": {"duration_s": 10.0 * seconds, "energy_j": joules, "energy_kwh": joules / 3.6e6, "epochs": {"duration_s": 10.0 * seconds, "energy_j": joules}},
        "intensity": {"zone": "DK"},
        "pue": 1.5,
        "power": {"from": [100.0, 100.0 + half], "to": [100.0 + half, 100.0 + 2.0 * half], "cpu_w": [joules / half, 0.0], "gpu_w": null},
        "epochs": (0..10).map(row).collect::<Value>(),
    })
}

/// A folder with reports of these lengths of an epoch, s.
fn earlier(name: &str, seconds: &[f64]) -> Folder {
    let folder = Folder::new(name);
    for (n, seconds) in seconds.iter().enumerate() {
        std::fs::write(folder.0.join(format!("{n}.json")), report(&n.to_string(), *seconds).to_string()).unwrap();
    }
    folder
}

fn near(value: f64, expected: f64) {
    assert!((value / expected - 1.0).abs() < 0.005, "{value} is not near {expected}");
}

#[test]
fn a_run_is_estimated_before_it_begins() {
    let folder = earlier("alike", &[60.0; 3]);
    let like = ["estimate", "--like", "net", "--in", &folder.shown()];
    let of = |more: &[&str]| json_of(&[&like, more, &["--json"]].concat());
    let same = of(&[]);
    near(number(&same, "/run/duration_s/value"), 600.0);
    near(number(&same, "/run/energy_j/value"), 6e4);
    let g_per_kwh = number(&same, "/intensity/g_per_kwh");
    near(number(&same, "/run/co2eq_g/value"), 6e4 / 3.6e6 * 1.5 * g_per_kwh);
    assert_eq!((&same["intensity"]["zone"], &same["pue"], &same["epochs"]), (&json!("DK"), &json!(1.5), &json!(10)));
    assert_eq!(same["history"], json!({"runs": 3, "name": "net", "newest": "2026-01-01T00:00:02Z"}));
    assert!(same["run"]["cost"].is_null() && same["sum"].is_null());
    let other = of(&["--epochs", "20", "--location", "SE", "-o", "price=0.4EUR pue=1"]);
    near(number(&other, "/run/duration_s/value"), 1200.0);
    near(number(&other, "/run/cost/value"), 0.4 * 12e4 / 3.6e6);
    assert_eq!((&other["run"]["currency"], &other["intensity"]["zone"]), (&json!("EUR"), &json!("SE")));
    for end in ["low", "high"] {
        let [joules, cost] = ["energy_j", "cost"].map(|name| number(&other, &format!("/run/{name}/{end}")));
        near(cost, 0.4 * joules / 3.6e6);
    }
}

#[test]
fn a_sweep_is_the_sum_with_a_narrower_interval() {
    let folder = earlier("sweep", &[60.0; 3]);
    let like = ["estimate", "--like", "net", "--in", &folder.shown(), "--runs", "200"];
    let sweep = json_of(&[&like[..], &["--json"]].concat());
    let width =
        |of: &str, m: f64| (number(&sweep, &format!("{of}/high")) / number(&sweep, &format!("{of}/value"))).ln() * m;
    near(number(&sweep, "/sum/energy_j/value"), 200.0 * number(&sweep, "/run/energy_j/value"));
    let share = ((1.0 / 200.0 + 1.0 / 3.0) / (1.0 + 1.0 / 3.0_f64)).sqrt();
    near(width("/sum/energy_j", 1.0), width("/run/energy_j", share));
    let printed = text(&carbontracker(&like).stdout);
    for line in [
        "10 epochs, by 3 earlier runs of 'net', the newest of 2026-01-01T00:00:02Z; 90 % intervals:",
        "200 such runs, one after the other:",
        "  time    10.0 min (",
    ] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
}

/// The ranks of a job are added up, and the longest time counts.
#[test]
fn ranks_of_a_job_are_estimated_together() {
    let folder = Folder::new("ranks");
    for rank in 0..3 {
        let mut report = report(&rank.to_string(), 60.0 + 30.0 * f64::from(rank % 2));
        report["run"]["rank"] = json!(rank);
        report["run"]["ranks"] = json!(2);
        std::fs::write(folder.0.join(format!("{rank}.json")), report.to_string()).unwrap();
    }
    let job = json_of(&["estimate", "--like", "net", "--in", &folder.shown(), "--json"]);
    near(number(&job, "/run/energy_j/value"), 12e4);
    near(number(&job, "/run/duration_s/value"), 900.0);
}

/// A report of a rank of four on one node. Rank 0 counts its devices, and the others count nothing.
fn rank(number: u64, has_energy: bool) -> Value {
    let mut report = report(&number.to_string(), 60.0);
    (report["run"]["rank"], report["run"]["ranks"], report["run"]["job"]) =
        (json!(number), json!(4), json!("SLURM job 7"));
    if !has_energy {
        let rows = report["epochs"].as_array_mut().unwrap();
        rows.iter_mut().for_each(|row| (row["energy_j"], row["coverage"]) = (Value::Null, Value::Null));
        report["usage"] = json!({"duration_s": 600.0, "energy_j": null, "energy_kwh": null, "epochs": {"duration_s": 600.0, "energy_j": null}});
        report["power"] = Value::Null;
        report["components"] = json!([{"kind": "cpu", "energy_j": null}]);
    }
    report
}

/// Devices of the node that process 0 counts.
fn counted_elsewhere(report: Value) -> Value {
    let mut report = report;
    report["job"] = json!({"devices": [{"device": "cpu", "process": 0, "counted_here": false}]});
    report
}

#[test]
fn unknown_energy_of_a_rank_is_not_zero() {
    let estimate = |name: &str, ranks: &[Value]| {
        let folder = Folder::new(name);
        for (n, report) in ranks.iter().enumerate() {
            std::fs::write(folder.0.join(format!("{n}.json")), report.to_string()).unwrap();
        }
        let output = carbontracker(&["estimate", "--like", "net", "--in", &folder.shown(), "--json"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        (serde_json::from_slice::<Value>(&output.stdout).unwrap(), text(&output.stderr))
    };
    let all = [true, false, false, false].iter().zip(0..).map(|(has_energy, number)| rank(number, *has_energy));
    let node: Vec<Value> =
        all.clone().map(|report| if report["run"]["rank"] == 0 { report } else { counted_elsewhere(report) }).collect();
    let (whole, printed) = estimate("node", &node);
    near(number(&whole, "/run/energy_j/value"), 6e4);
    assert_eq!((printed.as_str(), &whole["notes"]), ("", &json!([])));
    // Rank 1 took the devices over for the last moment.
    let mut late = with_energy("1", 60.0, 60.0);
    late["run"] = node[1]["run"].clone();
    late["epochs"].as_array_mut().unwrap().iter_mut().for_each(|row| row["coverage"] = json!(0.01));
    let (whole, _) = estimate("handed-over", &[node[0].clone(), late, node[2].clone(), node[3].clone()]);
    near(number(&whole, "/run/energy_j/value"), 60060.0);
    let all: Vec<Value> = all.collect();
    for (name, ranks, reason) in [
        ("unknown", &all[..], "the energy of rank 1 is unknown in the newest run; "),
        ("absent", &node[..3], "3 of 4 ranks found of the newest run; its energy is unknown and does not count; "),
    ] {
        let (some, printed) = estimate(name, ranks);
        assert!(printed.contains(reason) && some["notes"][0].as_str().unwrap().contains(reason), "{printed} {some}");
        assert!(["energy_j", "co2eq_g", "cost"].iter().all(|name| some["run"][name].is_null()), "{some}");
        near(number(&some, "/run/duration_s/value"), 600.0);
    }
}

/// A forecast uses twelve runs of one level at most.
#[test]
fn runs_that_are_used_are_counted() {
    let folder = Folder::new("used");
    for n in 0..15 {
        let mut report = report("0", 60.0);
        report["run"]["id"] = json!(format!("run {n}"));
        report["run"]["started"] = json!(format!("2026-01-01T00:00:{n:02}Z"));
        std::fs::write(folder.0.join(format!("{n}.json")), report.to_string()).unwrap();
    }
    let estimate = json_of(&["estimate", "--like", "net", "--in", &folder.shown(), "--json"]);
    assert_eq!(estimate["history"], json!({"runs": 12, "name": "net", "newest": "2026-01-01T00:00:14Z"}));
}

/// A project's folder has files of other programs. They are no runs, unless the user names the folder.
#[test]
fn this_folder_is_searched_without_complaints() {
    let folder = earlier("here", &[60.0]);
    std::fs::write(folder.0.join("package.json"), "{\"name\": \"net\"}").unwrap();
    std::fs::write(folder.0.join("data.jsonl"), "{\"loss\": 1}\n").unwrap();
    std::fs::write(folder.0.join("net_torn.json"), "{\"schema\": 1, \"run\": ").unwrap();
    let call = |more: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new(PROGRAM);
        command.args(["estimate", "--like", "net"]).args(more).current_dir(&folder.0).env("XDG_STATE_HOME", &folder.0);
        command.envs(variables.iter().copied()).output().expect("it starts")
    };
    for (more, variables, complaints) in [
        (&[][..], &[][..], &["net_torn.json: it is damaged"][..]),
        (&[], &[("CARBONTRACKER_LOG_DIR", ".")], &["net_torn.json: it is damaged"]),
        (&["--in", "."], &[], &["net_torn.json", "package.json", "data.jsonl"]),
        (&["-o", "history=."], &[], &["net_torn.json", "package.json", "data.jsonl"]),
    ] {
        let output = call(more, variables);
        let printed = text(&output.stderr);
        assert!(output.status.success() && text(&output.stdout).contains("by 1 earlier run of 'net'"), "{printed}");
        assert_eq!(printed.lines().count(), complaints.len(), "{more:?}: {printed}");
        assert!(complaints.iter().all(|file| printed.contains(file)), "{more:?}: {printed}");
    }
}

/// The whole way: a program is measured, and the next one is estimated by it.
#[test]
fn a_measured_program_can_be_estimated() {
    let folder = Folder::new("measured");
    let run = [
        "run",
        "-q",
        "-o",
        "sim_cpu=A:100 job=off",
        "--log-dir",
        &folder.shown(),
        "--name",
        "sleep",
        "--",
        "sleep",
        "0.3",
    ];
    assert!(carbontracker(&run).status.success());
    let estimate = json_of(&["estimate", "--like", "sleep", "--in", &folder.shown(), "--json", "--location", "DK"]);
    assert!(number(&estimate, "/run/duration_s/value") >= 0.3);
    near(number(&estimate, "/run/energy_j/value"), 100.0 * number(&estimate, "/run/duration_s/value"));
}

/// Runs that were measured by their progress have no epochs to count. The estimate is that of the whole run.
#[test]
fn a_run_by_progress_is_estimated_as_a_whole() {
    let folder = Folder::new("by-progress");
    for id in ["0", "1"] {
        let mut report = report(id, 60.0);
        report["run"]["epochs_planned"] = json!(0);
        report["run"]["work"] = json!({"done": 500.0, "total": 500.0, "pieces": true});
        std::fs::write(folder.0.join(format!("{id}.json")), report.to_string()).unwrap();
    }
    let like = ["estimate", "--like", "net", "--in", &folder.shown(), "--epochs", "7"];
    let estimate = json_of(&[&like[..], &["--json"]].concat());
    near(number(&estimate, "/run/duration_s/value"), 600.0);
    near(number(&estimate, "/run/energy_j/value"), 6e4);
    assert!(estimate["epochs"].is_null());
    let shown = carbontracker(&like);
    assert!(text(&shown.stdout).starts_with("the whole run, by 2 earlier runs of 'net'"), "{shown:?}");
    assert!(text(&shown.stderr).contains("--epochs does not count"), "{shown:?}");
}

#[test]
fn an_estimate_without_a_basis_is_refused_with_a_fix() {
    let (different, one) = (Folder::new("different"), earlier("one", &[60.0]));
    for (n, seconds) in [1.0, 60.0, 3600.0].into_iter().enumerate() {
        let report = with_energy(&n.to_string(), seconds, 100.0 * seconds);
        std::fs::write(different.0.join(format!("{n}.json")), report.to_string()).unwrap();
    }
    for (folder, name, status, reason) in [
        (
            &different,
            "net",
            1,
            "too different for an estimate: their epochs take from 1.00 s to 1 h; nothing is estimated; give runs",
        ),
        (&one, "other", 1, "no earlier run of the name 'other'"),
    ] {
        for task in ["estimate", "when"] {
            let output = carbontracker(&[task, "--like", name, "--in", &folder.shown(), "-o", "location=DK"]);
            let printed = text(&output.stderr);
            assert_eq!((output.status.code(), output.stdout.len()), (Some(status), 0), "{printed}");
            assert!(printed.contains(reason), "{printed}");
        }
    }
    for wrong in [&["--epochs", "0"][..], &["--runs", "0"], &["-o", "pue=0"], &["--location", "Atlantis"]] {
        let output = carbontracker(&[&["estimate", "--like", "net", "--in", &one.shown()], wrong].concat());
        assert!(
            output.stdout.is_empty() && [Some(1), Some(2)].contains(&output.status.code()),
            "{wrong:?}: {output:?}"
        );
    }
    let output = carbontracker(&["when", "--like", "net", "--in", &one.shown(), "--within", "9days"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
}

/// The beginning of this hour, s since 1970.
fn this_hour() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    (now / HOUR_S).floor() * HOUR_S
}

fn stamp(at: f64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs_f64(at)).to_string()
}

/// A file of intensities by the hour, from two hours ago on.
fn grid(folder: &Folder, from: f64, figures: &[f64]) -> String {
    let path = folder.0.join("grid.csv");
    let rows =
        figures.iter().enumerate().map(|(n, figure)| format!("{},{figure}\n", stamp(from + (n as f64 - 2.0) * HOUR_S)));
    std::fs::write(&path, format!("time,g_per_kwh\n{}", rows.collect::<String>())).unwrap();
    path.display().to_string()
}

/// Two hours of run whose energy is all used in the first: the cleanest hour counts, not the cleanest two.
#[test]
fn the_best_start_follows_the_power_of_earlier_runs() {
    let folder = earlier("when", &[720.0; 2]);
    let from = this_hour();
    let mut figures = vec![400.0; 30];
    (figures[8], figures[12], figures[13]) = (50.0, 100.0, 100.0);
    let file = grid(&folder, from, &figures);
    let like = ["when", "--like", "net", "--in", &folder.shown(), "--intensity", &file];
    let best = json_of(&[&like[..], &["--format", "json"]].concat());
    let at = from + 6.0 * HOUR_S;
    assert_eq!((number(&best, "/unix_s"), &best["at"]), (at, &json!(stamp(at))));
    near(number(&best, "/g_per_kwh"), 50.0);
    near(number(&best, "/now_g_per_kwh"), 400.0);
    near(number(&best, "/saves_g"), 6e4 / 3.6e6 * 1.5 * 350.0);
    // Hours to come are a forecast, which is 20 % off at this level.
    let end = |name: &str| number(&best, &format!("/{name}"));
    let (energy, error) = (number(&best, "/energy_j/high") / number(&best, "/energy_j/value"), 0.2_f64);
    near(end("co2eq_high_g") / end("co2eq_g"), energy.ln().hypot(error).exp());
    // The hour that has begun may be known.
    let [least, most] = [0.0, 400.0].map(|now: f64| (energy - 1.0).hypot((now * error).hypot(50.0 * error) / 350.0));
    let width = end("saves_high_g") / end("saves_g") - 1.0;
    assert!(width > least && width < most * 1.001, "{least} {width} {most}");
    assert!(end("saves_low_g") < end("saves_g") && end("now_co2eq_low_g") < end("now_co2eq_g"), "{best}");
    assert_eq!(best["level"], 0.9);
    let slurm = carbontracker(&[&like[..], &["--format", "slurm"]].concat());
    let local = stamp(at + 2.0 * HOUR_S).trim_end_matches('Z').to_owned();
    assert_eq!((text(&slurm.stdout), &best["local"]), (format!("{local}\n"), &json!(local)));
    let soon = json_of(&[&like[..], &["--within", "4h", "--format", "json"]].concat());
    assert!(number(&soon, "/unix_s") < from + 5.0 * HOUR_S);
    near(number(&soon, "/g_per_kwh"), 400.0);
    let printed = text(&carbontracker(&like).stdout);
    assert!(
        printed.starts_with("start at 20")
            && printed.contains("50.0 g/kWh, 400 g/kWh if it starts now; saves 88 %, CO2e 8.8 g (")
            && printed.contains("; 90 % intervals"),
        "{printed}"
    );
}

/// A killed run lacks its end, so its power is not stretched. A rank counts by its energy.
#[test]
fn killed_runs_and_idle_ranks_do_not_move_the_start() {
    let folder = Folder::new("killed");
    let put = |name: &str, report: &Value| std::fs::write(folder.0.join(name), report.to_string()).unwrap();
    put("0.json", &report("0", 720.0));
    for n in 1..5 {
        // Six of ten epochs: its energy is in the last part that it reached.
        let mut killed = report(&n.to_string(), 720.0);
        killed["run"]["state"] = json!("unfinished");
        killed["epochs"].as_array_mut().unwrap().truncate(6);
        killed["usage"]["epochs"] = json!({"duration_s": 4320.0, "energy_j": 36e3});
        killed["power"] = json!({"from": [100.0, 4000.0], "to": [4000.0, 4420.0], "cpu_w": [0.0, 80.0], "gpu_w": null});
        put(&format!("{n}.json"), &killed);
    }
    let mut figures = vec![400.0; 30];
    (figures[8], figures[12], figures[13]) = (50.0, 100.0, 100.0);
    let file = grid(&folder, this_hour(), &figures);
    let best = json_of(&["when", "--like", "net", "--in", &folder.shown(), "--intensity", &file, "--format", "json"]);
    near(number(&best, "/g_per_kwh"), 50.0);
}

#[test]
fn no_start_is_printed_without_the_hours_to_come() {
    let folder = earlier("hours", &[720.0]);
    let from = this_hour();
    let few = grid(&folder, from, &[400.0, 400.0, 300.0, 200.0]);
    let when = ["when", "--like", "net", "--in", &folder.shown(), "--format", "slurm"];
    for (more, reason) in [
        (
            &["--location", "DK"][..],
            "the intensity of the hours to come is unknown; no start can be chosen; give --intensity",
        ),
        (&["--intensity", &few], "not known for all of the run, which takes 2 h"),
    ] {
        let output = carbontracker(&[&when[..], more].concat());
        let printed = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""), "{printed}");
        assert!(printed.contains(reason), "{printed}");
    }
}
