//! Real reports and journals of runs in every state, made here and by 0.1.0.

use crate::fake_machine::{Machine, Moving};
use carbontracker::report::{ranks, unstated};
use carbontracker::run_files;
use carbontracker::tracker::Tracker;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SIMULATED: &str = "sim_cpu=A:50 sim_gpu=B:200 interval=0.02";
/// Marginal figures of a service that does not answer.
const NO_ANSWER: &str =
    "intensity=100 marginal=watttime:CAISO_NORTH marginal_key=me:word intensity_url=http://127.0.0.1:9";

/// Reports by name.
type Reports = Vec<(String, Value)>;

pub struct Documents {
    pub reports: Reports,
    /// Lines of journals.
    pub journals: Vec<(String, Vec<Value>)>,
}

fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_carbontracker"))
}

fn make(options: &str) -> Tracker {
    Tracker::create(options).unwrap_or_else(|error| panic!("{options}: {error}")).expect("not disabled")
}

fn epochs(tracker: &Tracker, count: usize, length_ms: u64) {
    for _ in 0..count {
        tracker.begin().unwrap();
        std::thread::sleep(Duration::from_millis(length_ms));
        tracker.end().unwrap();
    }
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
}

fn ask(tracker: &Tracker) -> Value {
    json(tracker.report("json").unwrap().as_bytes())
}

fn named(name: &str, report: Value) -> (String, Value) {
    (name.to_owned(), report)
}

/// The files of a folder and of its folders.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    all.sort();
    all
}

impl Documents {
    /// Makes the runs, of different kinds, in parallel.
    pub fn new() -> Documents {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("schema-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let makers: [fn(&Path) -> Reports; 8] = [states, worked, resumed, priced, meters, job, many_epochs, imported];
        let reports = std::thread::scope(|scope| {
            let folder = folder.as_path();
            let threads = makers.map(|make| scope.spawn(move || make(folder)));
            threads.into_iter().flat_map(|thread| thread.join().expect("documents")).collect()
        });
        let mut all = Documents { reports, journals: Vec::new() };
        let fixtures = Path::new(crate::ROOT).join("tests/fixtures/v0.1.0");
        [&folder, &fixtures].into_iter().flat_map(|folder| files(folder)).for_each(|file| all.add_file(&file));
        let _ = fs::remove_dir_all(&folder);
        all
    }

    pub fn lines(&self) -> impl Iterator<Item = &Value> {
        self.journals.iter().flat_map(|(_, lines)| lines)
    }

    /// Adds a report; or a journal, and the report that is read from it.
    fn add_file(&mut self, path: &Path) {
        let name = format!("{}", path.display());
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("json") => {
                let mut report = json(&fs::read(path).unwrap());
                self.reports.push((name.clone(), report.clone()));
                unstated::complete(&mut report);
                self.reports.push((format!("{name}, complete"), report));
            }
            Some("jsonl") => {
                let text = fs::read_to_string(path).unwrap();
                self.journals.push((name.clone(), text.lines().map(|line| json(line.as_bytes())).collect()));
                self.reports.push((format!("{name}, read"), run_files::read(path).unwrap().report));
            }
            _ => (),
        }
    }
}

/// The one file of a folder with this ending. The thread that writes it may still need a moment on a busy machine.
fn file(folder: &Path, ending: &str) -> PathBuf {
    let is_it = |path: &PathBuf| path.extension().is_some_and(|has| has == ending);
    for _ in 0..6000 {
        if let Some(path) = files(folder).into_iter().find(is_it) {
            return path;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("no .{ending} in {}", folder.display())
}

/// A run with all rates, in each of its states.
fn states(folder: &Path) -> Reports {
    let folder = folder.join("states");
    let tracker = make(&format!(
        "epochs=4 {SIMULATED} location=DK pue=1.3 name=states price=0.32EUR wue=1.8 wue_grid=3.1 embodied_kg=1500 job=off \
         log_dir={}",
        folder.display()
    ));
    let read = || run_files::read(&file(&folder, "jsonl")).unwrap().report;
    let fresh = ask(&tracker);
    tracker.begin().unwrap();
    tracker.progress(1, 2).unwrap();
    std::thread::sleep(Duration::from_millis(3000)); // without an epoch, numbers are written every 2 s
    let (in_epoch, open) = (ask(&tracker), read());
    tracker.end().unwrap();
    tracker.phase_begin("two epochs").unwrap();
    epochs(&tracker, 2, 60);
    tracker.phase_end().unwrap();
    let (between, journal) = (ask(&tracker), read());
    epochs(&tracker, 1, 60);
    tracker.destroy();
    let done = json(&fs::read(file(&folder, "json")).unwrap());
    let even = format!("epochs=6 {SIMULATED} name=again job=off log_dir={}", folder.with_file_name("again").display());
    let earlier = make(&even);
    epochs(&earlier, 6, 60);
    earlier.destroy();
    let next = make(&even);
    let again = ask(&next);
    next.destroy();
    [
        ("fresh", fresh),
        ("in_epoch", in_epoch),
        ("open", open),
        ("between", between),
        ("journal", journal),
        ("done", done),
        ("again", again),
    ]
    .map(|(state, report)| named(&format!("states/{state}"), report))
    .into()
}

/// A run that is measured by its progress, and stops early.
fn worked(folder: &Path) -> Reports {
    let folder = folder.join("worked");
    let tracker = make(&format!(
        "{SIMULATED} budget_kwh=1 budget_g=1000 budget_h=1 location=DK job=off log_dir={}",
        folder.display()
    ));
    for step in 0..=60 {
        tracker.run_progress(f64::from(step), 100.0).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    let running = ask(&tracker);
    tracker.destroy();
    let stopped = json(&fs::read(file(&folder, "json")).unwrap());
    assert!(stopped["forecast"]["saved"].is_object(), "{stopped:#}");
    vec![named("worked/running", running), named("worked/stopped", stopped)]
}

/// A program is measured and killed, and its run is resumed.
fn resumed(folder: &Path) -> Reports {
    let [journal, to] = ["killed.jsonl", "program.json"].map(|name| folder.join(name).display().to_string());
    let options = format!("{SIMULATED} job=off location=ES what_if=NO-NO1,FR resume={journal}");
    let mut killed = command().args(["run", "-q", "-o", &options, "--", "sleep", "9"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(3000));
    killed.kill().unwrap();
    killed.wait().unwrap();
    let run = ["run", "-o", &options, "--report", "json", "--to", &to, "--", "sleep", "0.1"];
    assert!(command().args(run).stderr(Stdio::null()).status().unwrap().success());
    let report = json(&fs::read(to).unwrap());
    assert_eq!(report["run"]["resumed"]["lost_epochs"], 1, "{report:#}");
    vec![named("resumed", report)]
}

/// Hourly intensities, rates of a cloud region, and marginal intensities that never arrive.
fn priced(folder: &Path) -> Reports {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 3600 * 3600;
    let hour = |n: u64| {
        let at = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(now + 3600 * n - 3600 * 6));
        format!("{at},{}\n", 100 + 20 * ((n + 2) * 5 % 7))
    };
    let file = folder.join("hours.csv");
    fs::write(&file, format!("# basis: direct\ntime,g_per_kwh\n{}", (0..48).map(hour).collect::<String>())).unwrap();
    let hours = format!("intensity={} location=DE", file.display());
    let runs = [
        ("hours", hours.as_str()),
        ("region", "location=aws:eu-west-1 pue=region wue=region"),
        ("marginal", NO_ANSWER),
    ];
    let run = |(name, options): (&str, &str)| {
        let place = folder.join(name);
        let tracker = make(&format!("epochs=6 {SIMULATED} job=off {options} log_dir={}", place.display()));
        epochs(&tracker, 3, 60);
        named(&format!("{name}/between"), ask(&tracker))
    };
    runs.map(run).into()
}

/// The files of RAPL zones, but for their counters.
fn zones(names: &[(&str, &str)]) -> Vec<(String, String)> {
    let of = |(zone, name): &(&str, &str)| {
        let path = format!("sys/class/powercap/{zone}");
        [
            (format!("{path}/name"), format!("{name}\n")),
            (format!("{path}/max_energy_range_uj"), "262143328850\n".into()),
        ]
    };
    names.iter().flat_map(of).collect()
}

fn machine(name: &str, files: &[(String, String)], moving: Vec<Moving>) -> Machine {
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    Machine::new(&format!("schema-{name}"), &files).moving(moving)
}

/// The counter of a zone at a power, W, after some seconds.
fn counter(watts: f64, at: f64) -> Option<String> {
    Some(format!("{}\n", 1_000_000_000 + (watts * at * 1e6) as i64))
}

/// A node of which this process may use a part, with memory of unknown use.
fn shared_node() -> Machine {
    let processors: String = (0..1000).map(|number| format!("cpu{number} 5 0 5 90 0 0 0 0 0 0\n")).collect();
    let stat = [("proc/stat".to_owned(), format!("cpu 5000 0 5000 90000 0 0 0 0 0 0\n{processors}intr 0\n"))];
    let counters: Vec<Moving> = ["intel-rapl:0", "intel-rapl:0:0"]
        .map(|zone| -> Moving { (format!("sys/class/powercap/{zone}/energy_uj"), Box::new(|at| counter(80.0, at))) })
        .into();
    let names = [("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "dram")];
    machine("shared", &[zones(&names), stat.to_vec()].concat(), counters)
}

/// Meters that fail, and models that replace them.
fn meters(folder: &Path) -> Reports {
    let names = [
        ("intel-rapl:0", "package-0"),
        ("intel-rapl:1", "package-1"),
        ("intel-rapl:0:0", "dram"),
        ("intel-rapl:1:0", "dram"),
    ];
    let path = |zone: &str| format!("sys/class/powercap/{zone}/energy_uj");
    let is_well = |at: f64| at < 0.7;
    let faults: Vec<Moving> = vec![
        (path("intel-rapl:0"), Box::new(|at| counter(80.0, at))),
        (path("intel-rapl:1"), Box::new(move |at| counter(60.0, at).filter(|_| is_well(at)))),
        (path("intel-rapl:0:0"), Box::new(|_| Some("7\n".into()))),
        (path("intel-rapl:1:0"), Box::new(move |at| counter(5.0, if is_well(at) { at } else { at - 20.0 }))),
    ];
    let power: Vec<Moving> =
        vec![("sys/class/hwmon/hwmon0/power1_average".into(), Box::new(|_| Some("250000000\n".into())))];
    let file = |path: &str, text: &str| [(path.to_owned(), text.to_owned())];
    let runs = [
        ("faulty", machine("faulty", &zones(&names), faults), ""),
        ("modelled", machine("modelled", &file("proc/meminfo", "MemTotal: 16000000 kB\n"), Vec::new()), NO_ANSWER),
        ("shared", shared_node(), "scope=job"),
        (
            "metered",
            machine("metered", &file("sys/class/hwmon/hwmon0/name", "power_meter\n"), power),
            "components=node",
        ),
    ];
    let run = |(name, machine, more): (&str, Machine, &str)| {
        let place = folder.join(name);
        let options = format!("epochs=4 location=DK price=0.3EUR wue=1 log_dir={} {more}", place.display());
        let report = machine.run(3, &options).report;
        let mut other = report.clone();
        other["run"]["host"] = "other".into();
        let merged = ranks::merged(&[&report, &other]);
        [named(name, report), named(&format!("{name}, merged"), merged)]
    };
    runs.into_iter().flat_map(run).collect()
}

/// Two ranks of one job share a machine's meter.
fn job(folder: &Path) -> Reports {
    let moving: Vec<Moving> =
        vec![("sys/class/powercap/intel-rapl:0/energy_uj".into(), Box::new(|at| counter(80.0, at)))];
    let machine = machine("job", &zones(&[("intel-rapl:0", "package-0")]), moving);
    let (root, place) = (machine.root.display(), folder.join("job"));
    let options = format!("sysroot={root} nvml=/none interval=0.05 log_dir={}", place.display());
    let job = format!("schema-{}", std::process::id());
    let to = |rank: u32| folder.join(format!("rank{rank}.json")).display().to_string();
    let start = |rank: u32, program: &str| {
        let (number, to) = (rank.to_string(), to(rank));
        let run = ["run", "-q", "-o", &options, "--report", "json", "--to", &to, "--", "sh", "-c", program];
        let of_job = [
            ("SLURM_JOB_ID", job.as_str()),
            ("SLURM_PROCID", &number),
            ("SLURM_STEP_NUM_TASKS", "2"),
            ("SLURM_LOCALID", &number),
        ];
        command().envs(of_job).args(run).spawn().unwrap()
    };
    // Rank 0 counts the meter from before the begin of rank 1 to after its end.
    let [begun, stop] = ["begun", "stop"].map(|name| folder.join(name));
    let waits = format!("touch '{}'; until [ -e '{}' ]; do sleep 0.05; done", begun.display(), stop.display());
    let mut first = start(0, &waits);
    while !begun.exists() {
        assert!(first.try_wait().unwrap().is_none(), "rank 0 has ended");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(start(1, "sleep 1").wait().unwrap().success());
    fs::write(stop, "").unwrap();
    assert!(first.wait().unwrap().success());
    let both = [0, 1].map(|rank| json(&fs::read(to(rank)).unwrap()));
    assert!(both.iter().all(|report| report["job"]["agreed"] == true), "{both:#?}");
    vec![named("merged", ranks::merged(&[&both[0], &both[1]]))]
}

/// More epochs than the report has rows.
fn many_epochs(folder: &Path) -> Reports {
    let folder = folder.join("many");
    let tracker = make(&format!("{SIMULATED} job=off log_dir={}", folder.display()));
    for part in 0..50 {
        epochs(&tracker, 100, 0);
        std::thread::sleep(Duration::from_millis(if part < 40 { 10 } else { 30 }));
    }
    tracker.destroy();
    let report = json(&fs::read(file(&folder, "json")).unwrap());
    let rows = report["epochs"].as_array().unwrap();
    assert!(rows.len() <= 4096 && rows.iter().any(|row| row["count"].as_u64() > Some(1)), "{} rows", rows.len());
    Vec::new() // its files are read with all others
}

/// The logs of Python's Carbontracker, and of the library in its format.
fn imported(_: &Path) -> Reports {
    let root = Path::new(crate::ROOT).join("tests");
    let logs = [root.join("fixtures/carbontracker"), root.join("fixtures/v0.1.0")];
    let output = command().args(["import", "--json"]).args(logs).stderr(Stdio::null()).output().unwrap();
    let reports = json(&output.stdout);
    let reports = reports.as_array().unwrap();
    assert!(reports.len() > 8, "{} reports", reports.len());
    reports.iter().enumerate().map(|(n, report)| named(&format!("imported/{n}"), report.clone())).collect()
}
