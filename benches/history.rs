//! The time to read the earlier runs of a folder: `cargo bench --bench history`. The files are in the page cache.

use carbontracker::attribution::ledger::InterEpoch;
use carbontracker::forecast::first_epoch::FirstEpoch;
use carbontracker::forecast::forecast;
use carbontracker::forecast::history::{EarlierRun, History};
use carbontracker::os;
use carbontracker::run_files::history::{HistoryRequest, RankChoice, USEFUL_RUNS, read};
use carbontracker::tracker::Tracker;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const RUNS: usize = 1000;

/// Processor time of this thread, ms: other programs do not count.
fn busy_ms() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() * 1e-6
}

fn main() {
    println!("{:<56}{:>9}{:>9}{:>9}", "1,000 runs, ms of processor time", "median", "most", "runs");
    for epochs in [20, 100] {
        let (journal, report) = files_of_a_run(epochs);
        let journals = folder("journals", &[("jsonl", &journal)]);
        row(&format!("journals of {epochs} epochs, all of the name"), &journals, "net");
        row(&format!("journals of {epochs} epochs, none of the name"), &journals, "other");
        let reports = folder("reports", &[("json", &report)]);
        row(&format!("reports of {epochs} epochs, all of the name"), &reports, "net");
        row(&format!("reports of {epochs} epochs, none of the name"), &reports, "other");
        let both = folder("both", &[("jsonl", &journal), ("json", &report)]);
        row(&format!("both of {epochs} epochs, all of the name"), &both, "net");
        each_epoch(&both);
        [journals, reports, both].iter().for_each(|folder| drop(fs::remove_dir_all(folder)));
    }
}

/// The journal and the report of a real run.
fn files_of_a_run(epochs: u64) -> (String, String) {
    let folder = std::env::temp_dir().join(format!("carbontracker-history-{}", std::process::id()));
    let options =
        format!("sim_cpu=A:50 sim_gpu=B:200 job=off name=net epochs={epochs} history=off log_dir={}", folder.display());
    let tracker = Tracker::create(&options).unwrap().unwrap();
    for _ in 0..epochs {
        tracker.begin().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        tracker.end().unwrap();
    }
    tracker.destroy();
    let text = |ending: &str| {
        let mut paths = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        fs::read_to_string(paths.find(|path| path.extension().is_some_and(|has| has == ending)).unwrap()).unwrap()
    };
    let files = (text("jsonl"), text("json"));
    fs::remove_dir_all(&folder).unwrap();
    files
}

/// A folder with copies of these files, each of a run of its own.
fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("carbontracker-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    for (ending, text) in files {
        let (before, rest) = text.split_once("\"id\":\"").unwrap();
        let (id, _) = rest.split_once('"').unwrap();
        assert!(before.len() < 4096);
        for n in 0..RUNS {
            fs::write(folder.join(format!("net_{n}.{ending}")), text.replace(id, &format!("{n:016x}"))).unwrap();
        }
    }
    folder
}

fn request(folder: &Path, name: &str) -> HistoryRequest {
    HistoryRequest {
        folders: vec![folder.to_owned()],
        named: None,
        name: Some(name.into()),
        prefix: name.into(),
        rank: RankChoice::Of(None),
        id: "own".into(),
        journal: None,
        processes: 1,
        most: USEFUL_RUNS,
        with_power: false,
    }
}

/// The time of a forecast in the middle of a run with these earlier ones.
fn each_epoch(folder: &Path) {
    let runs = read(&request(folder, "net"), &|| false).runs;
    let earlier: Vec<EarlierRun> = runs.iter().map(|past| past.run.clone()).collect();
    let history = History::new(&earlier);
    let seen = earlier[0].epochs.len() / 2;
    let epochs = || earlier[0].epochs.iter().take(seen).copied();
    let begin = busy_ms();
    for _ in 0..100 {
        let made = forecast(2 * seen as u64, 0.9, epochs(), InterEpoch::default(), &FirstEpoch::default(), &history);
        assert!(made.is_some());
    }
    println!("a forecast after {seen} epochs: {:.3} ms", (busy_ms() - begin) / 100.0);
}

fn row(what: &str, folder: &Path, name: &str) {
    let request = request(folder, name);
    let mut found = 0;
    let mut times: Vec<f64> = (0..30)
        .map(|_| {
            let begin = busy_ms();
            let runs = read(&request, &|| false).runs;
            let earlier: Vec<EarlierRun> = runs.iter().map(|past| past.run.clone()).collect();
            let history = History::new(&earlier);
            let forecast =
                forecast(100, 0.9, std::iter::empty(), InterEpoch::default(), &FirstEpoch::default(), &history);
            found = runs.len();
            assert_eq!(forecast.is_some(), found > 0);
            busy_ms() - begin
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{what:<56}{:>9.1}{:>9.1}{found:>9}", times[times.len() / 2], times[times.len() - 1]);
    os::pause(Duration::from_millis(10));
}
