//! The ranks of a job as one run in `aggregate`, `watch` and `report`, from written files and from real processes.

use carbontracker::tracker::Tracker;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_carbontracker");

/// A folder for one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("one-run-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("a folder");
        Folder(dir)
    }

    fn dir(&self) -> String {
        self.0.display().to_string()
    }

    /// Writes a file in one step, as the library does.
    fn put(&self, file: &str, report: &Value) {
        fs::write(self.0.join("new"), report.to_string()).expect("written");
        fs::rename(self.0.join("new"), self.0.join(file)).expect("renamed");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The output of the command.
fn printed(arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM).args(arguments).output().expect("it starts");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn totals(dir: &str, arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(&[&["aggregate", "--json", dir], arguments].concat())).expect("JSON")
}

fn number(value: &Value, pointer: &str) -> f64 {
    value.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer} of {value}"))
}

/// `watch --json`, line by line.
struct Watching {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watching {
    fn start(dir: &str) -> Watching {
        let mut command = Command::new("timeout");
        let mut child =
            command.args(["60", PROGRAM, "watch", "--json", dir]).stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Watching { child, lines }
    }

    /// The next line that meets a condition.
    fn find(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut lines =
            self.lines.by_ref().map(|line| serde_json::from_str::<Value>(&line.expect("text")).expect("JSON"));
        lines.find(is_it).expect("such a line")
    }

    /// The exit status, once the command has ended by itself.
    fn end(mut self) -> Option<i32> {
        assert!(self.lines.next().is_none());
        self.child.wait().expect("waited for").code()
    }
}

/// The report of rank `number` of eight on two nodes, with `done` of four epochs done. The first rank of each node
/// counts. The rank started `after_s` seconds after the others.
fn rank(number: u64, after_s: u64, done: u64, state: &str) -> Value {
    let counts = number % 4 == 0;
    let joules = |each: f64| counts.then_some(each * done as f64);
    let grams = joules(6.0);
    json!({
        "schema": 1,
        "run": {"id": format!("{number}-{after_s}"), "name": "digits", "host": format!("node{}", number / 4), "job": "SLURM job 77",
            "rank": number, "ranks": 8, "started": format!("2026-03-02T13:{:02}:{:02}Z", after_s / 60, after_s % 60), "state": state,
            "epochs_planned": 4, "epochs_done": done, "progress": if state == "in_epoch" { json!(0.5) } else { Value::Null }},
        "usage": {"duration_s": 100.0 * done as f64, "energy_j": joules(1e5), "facility_energy_kwh": joules(1e5 / 3.6e6 * 1.5),
            "co2eq_g": grams, "coverage": counts.then_some(1.0), "epochs": {"duration_s": 100.0 * done as f64}},
        "forecast": {"level": 0.9, "duration_s": {"value": 400.0, "low": 390.0, "high": 420.0},
            "energy_j": counts.then(|| json!({"value": 4e5, "low": 3.9e5, "high": 4.2e5})), "co2eq_g": null},
        "intensity": {"g_per_kwh": 144.0, "kind": "static", "zone": "DK"},
        "pue": 1.5,
        "components": if counts { json!([{"kind": "cpu", "device": "a", "id": "a", "source": "rapl", "method": "counter",
            "energy_j": joules(1e5), "coverage": 1.0, "status": "ok"}]) } else { json!([]) },
        "epochs": if counts { json!([{"duration_s": 100.0, "cpu_j": 5000.0, "gpu_j": 20000.0}]) } else { json!([]) },
    })
}

#[test]
fn aggregate_prints_one_row_for_each_job() {
    let folder = Folder::new("job");
    (0..8).for_each(|number| folder.put(&format!("{number}.json"), &rank(number, number, 4, "done")));
    let dir = folder.dir();
    let aggregate = totals(&dir, &[]);
    let expected = [("runs", 1), ("ranks", 8), ("counted_elsewhere", 0), ("without_energy", 0), ("epochs", 4)];
    expected.iter().for_each(|(key, value)| assert_eq!(aggregate["totals"][key], *value, "{key}: {aggregate}"));
    assert_eq!(
        (number(&aggregate, "/totals/energy_j"), number(&aggregate, "/totals/duration_s")),
        (8e5, 407.0),
        "the union"
    );
    let row = &aggregate["runs"][0];
    let [job, ranks, hosts] = ["job", "ranks", "hosts"].map(|name| row[name].clone());
    assert_eq!([job, ranks, hosts], [json!("SLURM job 77"), json!(8), json!(["node0", "node1"])]);
    assert_eq!((row["runs"].as_array().map(Vec::len), &row["runs"][7]["rank"]), (Some(8), &json!(7)));
    let sentence = aggregate["sentence"].as_str().expect("a sentence");
    assert!(
        sentence.starts_with("For this work, one run of 8 ranks on 2 nodes, 0.113 hours in all, used "),
        "{sentence}"
    );
    let text = printed(&["aggregate", &dir]);
    assert!(
        text.contains("1 run of 8 ranks on 2 hosts") && !text.contains("unknown") && !text.contains("note:"),
        "{text}"
    );
    let row = text.lines().nth(1).expect("a row");
    assert!(row.split_whitespace().eq("digits 1 (8 ranks) 4 6 min 47 s 222 333 48.0".split(' ')), "{text}");
    assert_eq!(number(&totals(&dir, &["--by", "host"]), "/groups/1/totals/energy_j"), 4e5);
    let rows = printed(&["aggregate", "--csv", &dir]);
    assert!(
        rows.lines().count() == 2 && rows.contains(",node0 node1,") && rows.ends_with(",SLURM job 77,8\n"),
        "{rows}"
    );
}

/// A second step of the job is a run of its own. So is each start of a program by xargs.
#[test]
fn second_start_in_a_job_is_another_run() {
    let folder = Folder::new("steps");
    for (step, after_s) in [(0, 0), (1, 500)] {
        (0..8).for_each(|number| folder.put(&format!("{step}-{number}.json"), &rank(number, after_s, 4, "done")));
    }
    let aggregate = totals(&folder.dir(), &[]);
    let counts = ["runs", "ranks", "epochs"].map(|name| aggregate["totals"][name].clone());
    assert_eq!(counts, [json!(2), json!(16), json!(8)]);
    let folder = Folder::new("xargs");
    (0..48).for_each(|n| folder.put(&format!("{n}.json"), &rank(0, n, 4, "done")));
    let aggregate = totals(&folder.dir(), &[]);
    assert_eq!((&aggregate["totals"]["runs"], number(&aggregate, "/totals/energy_j")), (&json!(48), 48.0 * 4e5));
}

/// All ranks of a large job are one row on one page.
#[test]
fn five_hundred_ranks_are_one_row() {
    let folder = Folder::new("many");
    (0..512).for_each(|number| {
        let mut rank = rank(number, 0, 4, "done");
        rank["run"]["ranks"] = json!(512);
        folder.put(&format!("{number}.json"), &rank);
    });
    let dir = folder.dir();
    assert!(printed(&["aggregate", &dir]).contains("1 run of 512 ranks on 128 hosts"));
    assert!(printed(&["watch", "--once", &dir]).starts_with("digits, 512 ranks on 128 nodes: done, 4 of 4 epochs"));
    let page = printed(&["report", &dir]);
    assert!(page.contains("<h1>digits: 1 run, 512 ranks</h1>") && !page.contains("<details") && page.len() < 300_000);
}

#[test]
fn watch_shows_one_screen_for_each_job() {
    let folder = Folder::new("watch");
    let put =
        |number: u64, done: u64, state: &str| folder.put(&format!("{number}.json"), &rank(number, 0, done, state));
    let mut old = rank(0, 0, 4, "done");
    old["run"]["job"] = json!("SLURM job 76");
    folder.put("old.json", &old);
    (0..8).for_each(|number| put(number, 1, "in_epoch"));
    let dir = folder.dir();
    let text = printed(&["watch", "--once", &dir]);
    for part in [
        "digits, 8 ranks on 2 nodes: in epoch 2 of 4\n",
        " 37 %\nleft      5 min, ends ",
        "power     500 W, cpu 100 W, gpu 400 W\n",
        "used      55.6 Wh, 12.0 g CO2e, in 1 min 40 s\n",
        "forecast  222 Wh (217 to 233), 6.67 min (6.50 to 7.00), 90 % intervals\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let mut watching = Watching::start(&dir);
    let first = watching.find(|_| true);
    let of_job = ["ranks", "hosts", "job", "energy_j", "share"].map(|name| first[name].clone());
    assert_eq!(of_job, [json!(8), json!(["node0", "node1"]), json!("SLURM job 77"), json!(2e5), json!(0.375)]);
    assert_eq!(first["power_w"], json!({"cpu": 100.0, "gpu": 400.0}));
    (1..8).for_each(|number| put(number, 4, "done"));
    assert_eq!(watching.find(|seen| seen["epochs_done"] == 4)["state"], "in_epoch");
    put(0, 4, "done");
    let last = watching.find(|seen| seen["state"] == "done");
    assert_eq!((&last["energy_j"], &last["epochs_done"], watching.end()), (&json!(8e5), &json!(4), Some(0)));
    let of_one = |file: &str| printed(&["watch", "--once", &format!("{dir}/{file}.json")]);
    let one = of_one("5");
    assert!(one.starts_with("digits, rank 5 of 8, on node1: done, 4 of 4 epochs"), "{one}");
    assert!(one.contains("energy counted by another rank of the job"), "{one}");
}

/// The program of a rank, if this process is one: it runs epochs until the file `stop` exists. Otherwise it
/// does nothing.
#[test]
fn a_rank() {
    let Ok(dir) = std::env::var("CT_RANK_DIR") else { return };
    let options = format!("name=real log_dir={dir} epochs=1000 interval=0.05 location=DK");
    let tracker = Tracker::create(&options).expect("made").expect("enabled");
    while !Path::new(&dir).join("stop").exists() {
        tracker.begin().expect("begun");
        std::thread::sleep(Duration::from_millis(100));
        tracker.end().expect("ended");
    }
    tracker.destroy();
}

const WATTS: f64 = 100.0;

/// Starts one rank of eight with these variables.
fn start(dir: &str, variables: &[(&str, String)]) -> Child {
    let mut rank = Command::new(std::env::current_exe().expect("this program"));
    rank.args(["--exact", "one_run::a_rank"]).env("CT_RANK_DIR", dir).stdout(Stdio::null());
    rank.env("CARBONTRACKER_SIM_CPU", format!("X:{WATTS}:1")).env("SLURM_STEP_NUM_TASKS", "8");
    rank.envs(variables.iter().map(|(name, value)| (*name, value))).spawn().expect("it starts")
}

/// Ends the ranks, and removes the reports of ranks that count nothing, as these may leave their journals only.
fn end(folder: &Folder, ranks: Vec<Child>) {
    fs::write(folder.0.join("stop"), "").expect("written");
    ranks.into_iter().for_each(|mut rank| assert!(rank.wait().expect("waited for").success()));
    let counts_nothing = |file: &PathBuf| {
        let report = || serde_json::from_slice::<Value>(&fs::read(file).expect("read")).expect("JSON");
        file.extension().is_some_and(|ending| ending == "json") && report()["usage"]["energy_j"].is_null()
    };
    let files = fs::read_dir(&folder.0).expect("a folder").flatten().map(|file| file.path());
    files.filter(counts_nothing).for_each(|file| fs::remove_file(file).expect("removed"));
}

/// Processes without a rank are one run each. The journal alone shows that another process counts their devices.
#[test]
fn journal_shows_that_another_process_counts() {
    let folder = Folder::new("kin");
    let ranks: Vec<Child> = (0..3).map(|_| start(&folder.dir(), &[("CARBONTRACKER_JOB", folder.dir())])).collect();
    let counts = |aggregate: &Value| {
        ["runs", "without_energy", "counted_elsewhere"].map(|name| aggregate["totals"][name].clone())
    };
    let deadline = Instant::now() + crate::retry::PATIENCE;
    loop {
        let is_begun = fs::read_dir(&folder.0).expect("a folder").count() >= 3;
        let aggregate = if is_begun { totals(&folder.dir(), &[]) } else { Value::Null };
        if is_begun && counts(&aggregate) == [json!(3), json!(0), json!(2)] {
            return end(&folder, ranks);
        }
        assert!(Instant::now() < deadline, "{aggregate}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Eight real processes are watched. Then their page and totals are made.
#[test]
fn eight_processes_are_one_run() {
    let folder = Folder::new("eight");
    let dir = folder.dir();
    let job = std::process::id().to_string();
    let launched = |number: u64| [("SLURM_PROCID", number.to_string()), ("SLURM_JOB_ID", job.clone())];
    let ranks: Vec<Child> = (0..8).map(|number| start(&dir, &launched(number))).collect();
    let mut watching = Watching::start(&dir);
    let seen = watching.find(|seen| seen["ranks_found"] == 8 && seen["forecast"]["energy_j"].is_object());
    assert_eq!([&seen["state"], &seen["ranks"], &seen["rank"]], [&json!("running"), &json!(8), &Value::Null]);
    let screen = printed(&["watch", "--once", &dir]);
    assert!(screen.starts_with("real, 8 ranks on ") && screen.contains("\nforecast "), "{screen}");
    assert!(printed(&["report", &dir]).contains("Forecast of all "));
    end(&folder, ranks);
    watching.find(|seen| seen["state"] == "done");
    assert_eq!(watching.end(), Some(0));
    let aggregate = totals(&dir, &[]);
    let counts = ["runs", "ranks", "without_energy", "counted_elsewhere"].map(|name| aggregate["totals"][name].clone());
    assert_eq!(counts, [json!(1), json!(8), json!(0), json!(0)], "{aggregate}");
    let watts = number(&aggregate, "/totals/energy_j") / number(&aggregate, "/totals/duration_s");
    assert!((watts / WATTS - 1.0).abs() < 0.1, "{watts} W: {aggregate}");
    let done = printed(&["watch", "--once", &dir]);
    assert!(done.starts_with("real, 8 ranks on ") && done.contains(": done, "), "{done}");
    let page = printed(&["report", &dir]);
    assert!(page.contains("<h1>real: 1 run, 8 ranks</h1>") && !page.contains("<details"), "{page}");
}
