//! What grows with ranks, devices, epochs and phases: `cargo bench --bench scale`. These are figures, not tests.
//!
//! `scale ranks`, `devices`, `phases` or `nodes` runs one part. The ranks are processes of this program. `nodes` runs
//! the command: its path is in CARBONTRACKER, or it is target/release/carbontracker.
#[path = "../tests/common/fake_rapl.rs"]
mod fake_rapl;
#[path = "../tests/common/retry.rs"]
mod retry;

use carbontracker::tracker::Tracker;
use fake_rapl::{Counter, Tree};
use retry::{now, own_bytes};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Seconds that a rank is measured.
const SECONDS: u64 = 10;

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let part = words.next().unwrap_or_default();
    if part == "rank" {
        return rank();
    }
    let is_chosen = |name: &str| part.is_empty() || part == name;
    if is_chosen("ranks") {
        println!("{:<12}{:>16}{:>14}{:>14}{:>14}", "ranks", "reads a second", "ms a second", "most of one", "kB each");
        [1, 16, 64, 256].into_iter().for_each(ranks);
    }
    if is_chosen("devices") {
        println!("{:<12}{:>16}{:>14}{:>14}{:>14}", "counters", "reads a second", "ms a second", "report, kB", "kB");
        [1, 16, 128].into_iter().for_each(devices);
    }
    if is_chosen("phases") {
        println!("{:<12}{:>16}{:>14}{:>14}{:>14}", "phases", "report, ms", "report, kB", "kB, run", "kB, report");
        [1, 16, 64, 250].into_iter().for_each(phases);
    }
    if is_chosen("nodes") {
        println!("{:<12}{:>16}{:>14}{:>14}", "nodes", "aggregate, s", "MB", "files, MB");
        [100, 1_000, 10_000].into_iter().for_each(nodes);
    }
}

/// Reads of files and devices by this process so far.
fn reads() -> u64 {
    let text = fs::read_to_string("/proc/self/io").unwrap();
    text.lines().find_map(|line| line.strip_prefix("syscr: ")?.parse().ok()).unwrap()
}

/// Processor time of this process's threads whose name begins with this, ms.
fn busy_ms(name: &str) -> f64 {
    let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
    let of_thread = |folder: fs::DirEntry| {
        let text = |file: &str| fs::read_to_string(folder.path().join(file)).ok();
        let is_it = text("comm")?.starts_with(name);
        text("schedstat")?.split(' ').next()?.parse::<f64>().ok().filter(|_| is_it)
    };
    threads.filter_map(of_thread).sum::<f64>() * 1e-6
}

/// Runs epochs of 250 ms for a time, after a second of start. Returns reads and milliseconds of the library a second.
fn measured(tracker: &Tracker) -> [f64; 2] {
    let epochs = |seconds: u64| {
        for _ in 0..4 * seconds {
            tracker.begin().unwrap();
            sleep(Duration::from_millis(250));
            tracker.end().unwrap();
        }
    };
    epochs(1);
    let before = [reads() as f64, busy_ms("ct-")];
    epochs(SECONDS);
    let after = [reads() as f64, busy_ms("ct-")];
    [0, 1].map(|figure| (after[figure] - before[figure]) / SECONDS as f64)
}

/// A machine with this number of processor counters.
fn machine(counters: usize) -> Tree {
    let names: Vec<[String; 2]> = (0..counters).map(|n| [format!("intel-rapl:{n}"), format!("package-{n}")]).collect();
    let zones: Vec<(&str, &str, Counter)> =
        names.iter().map(|[zone, name]| (zone.as_str(), name.as_str(), Counter::constant(100.0))).collect();
    Tree::new(&zones)
}

/// The program of a rank: it prints its figures. Counters are served within a process, so each rank has its own.
fn rank() {
    let tree = machine(4);
    let before = own_bytes();
    let tracker = Tracker::create(&format!("sysroot={} components=cpu", tree.root().display())).unwrap().unwrap();
    let [reads, ms] = measured(&tracker);
    println!("{reads} {ms} {}", own_bytes().saturating_sub(before) / 1024);
    tracker.destroy();
}

/// Ranks of one node with four counters.
fn ranks(count: usize) {
    let job = std::process::id().to_string();
    let start = |number: usize| -> Child {
        let number = number.to_string();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("rank").stdout(Stdio::piped());
        command.envs([("SLURM_JOB_ID", &job), ("SLURM_PROCID", &number), ("SLURM_LOCALID", &number)]);
        command.env("SLURM_STEP_NUM_TASKS", count.to_string()).spawn().unwrap()
    };
    let children: Vec<Child> = (0..count).map(start).collect();
    let figures: Vec<Vec<f64>> = children
        .into_iter()
        .map(|child| String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap())
        .map(|line| line.split_whitespace().filter_map(|word| word.parse().ok()).collect())
        .collect();
    let column = |index: usize| figures.iter().filter_map(move |row| row.get(index).copied());
    let kb = column(2).sum::<f64>() / count as f64;
    let most = column(1).fold(0.0, f64::max);
    let (reads, ms) = (column(0).sum::<f64>(), column(1).sum::<f64>());
    println!("{count:<12}{reads:>16.0}{ms:>14.1}{most:>14.2}{kb:>14.0}");
}

fn devices(counters: usize) {
    let tree = machine(counters);
    let before = own_bytes();
    let tracker = Tracker::create(&format!("sysroot={} components=cpu", tree.root().display())).unwrap().unwrap();
    let [reads, ms] = measured(&tracker);
    let held = own_bytes().saturating_sub(before) / 1024;
    let report = tracker.report("json").unwrap().len() / 1024;
    println!("{counters:<12}{reads:>16.0}{ms:>14.1}{report:>14}{held:>14}");
    tracker.destroy();
}

/// Phases of a millisecond each in turn, on four counters.
fn phases(count: usize) {
    let tree = machine(4);
    let before = own_bytes();
    let tracker = Tracker::create(&format!("sysroot={} components=cpu", tree.root().display())).unwrap().unwrap();
    let names: Vec<String> = (0..count).map(|number| format!("phase {number}")).collect();
    tracker.begin().unwrap();
    for name in names.iter().cycle().take(3_000) {
        tracker.phase_begin(name).unwrap();
        sleep(Duration::from_millis(1));
        tracker.phase_end().unwrap();
    }
    tracker.end().unwrap();
    let held = own_bytes().saturating_sub(before) / 1024;
    let mut took: Vec<u64> = Vec::new();
    let mut length = 0;
    for _ in 0..9 {
        let begin = now();
        length = tracker.report("json").unwrap().len();
        took.push(now() - begin);
    }
    took.sort_unstable();
    let more = own_bytes().saturating_sub(before) / 1024;
    let ms = took[took.len() / 2] as f64 * 1e-6;
    println!("{count:<12}{ms:>16.1}{:>14}{held:>14}{more:>14}", length / 1024);
    tracker.destroy();
}

/// `aggregate` over the journals of this number of nodes.
fn nodes(count: usize) {
    let command = std::env::var("CARBONTRACKER").unwrap_or("target/release/carbontracker".into());
    if !Path::new(&command).exists() {
        return println!("{count:<12} no command {command}: run make cli");
    }
    let folder = std::env::temp_dir().join(format!("carbontracker-scale-{}-{count}", std::process::id()));
    let one = folder.join("one");
    let options = format!("sim_cpu=A:50 sim_gpu=B:200 job=off name=net history=off log_dir={}", one.display());
    let tracker = Tracker::create(&options).unwrap().unwrap();
    for _ in 0..20 {
        tracker.begin().unwrap();
        sleep(Duration::from_millis(20));
        tracker.end().unwrap();
    }
    let report: serde_json::Value = serde_json::from_str(&tracker.report("json").unwrap()).unwrap();
    tracker.destroy();
    let [id, host] = ["id", "host"].map(|field| report["run"][field].as_str().unwrap().to_owned());
    let mut files = fs::read_dir(&one).unwrap().map(|entry| entry.unwrap().path());
    let journal = files.find(|path| path.extension().is_some_and(|ending| ending == "jsonl")).unwrap();
    let text = fs::read_to_string(journal).unwrap();
    fs::remove_dir_all(&one).unwrap();
    for number in 0..count {
        let of_node = text
            .replace(&id, &format!("{number:016x}"))
            .replace(&format!("\"host\":\"{host}\""), &format!("\"host\":\"node{number}\""))
            .replace("\"rank\":null", &format!("\"rank\":{number}"))
            .replace("\"ranks\":null", &format!("\"ranks\":{count}"))
            .replace("\"job\":null", "\"job\":\"SLURM job 7\"");
        fs::write(folder.join(format!("node{number}.jsonl")), of_node).unwrap();
    }
    let begin = now();
    let mut child = Command::new(&command).args(["aggregate", "--json"]).arg(&folder).stdout(Stdio::null()).spawn();
    let peak = child.as_mut().map(peak_kb).unwrap_or_default();
    let seconds = (now() - begin) as f64 * 1e-9;
    println!("{count:<12}{seconds:>16.2}{:>14}{:>14}", peak / 1024, (text.len() * count) >> 20);
    fs::remove_dir_all(&folder).unwrap();
}

/// The most memory of a program until its end, kB.
fn peak_kb(child: &mut Child) -> u64 {
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let kb = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(kb.unwrap_or(0));
        sleep(Duration::from_millis(5));
    }
    peak
}
