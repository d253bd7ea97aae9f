//! The program of a job's process: it plays its part and writes its record.

use super::{MS, PART};
use crate::fake_rapl::Counter;
use crate::retry::{now, wait_until_settled};
use carbontracker::tracker::Tracker;
use serde_json::Value;
use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Writes the record, one line at a time.
#[derive(Clone)]
struct Pen(Arc<Mutex<File>>);

impl Pen {
    fn write(&self, line: &str) {
        self.0.lock().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

/// Plays the part of a process, if this process is one. The test [`super::PROGRAM`] calls it.
pub fn play() {
    let Some(path) = std::env::var_os(PART).map(PathBuf::from) else { return };
    let part: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let number = |name: &str| part[name].as_u64().unwrap_or(0);
    let served = &part["served"];
    if let Some(born) = served["born"].as_u64() {
        let watts = served["watts"].as_array().unwrap().iter().map(|watts| watts.as_f64().unwrap());
        crate::fake_rapl::serve_too(born, &watts.map(Counter::constant).collect::<Vec<Counter>>());
    }
    let name = format!("{:x}.{}.record", carbontracker::os::random_u64(), std::process::id());
    let pen = Pen(Arc::new(Mutex::new(File::create(path.with_file_name(name)).unwrap())));
    let of_launcher = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let rank = of_launcher("OMPI_COMM_WORLD_RANK").or(of_launcher("SLURM_PROCID")).unwrap_or(0);
    pen.write(&format!("place {rank} {}", of_launcher("SLURM_NODEID").unwrap_or(0)));
    let is_late = part["made_late"] == true;
    let early = (!is_late).then(|| make(&pen));
    let start = match part["start"].as_u64() {
        Some(at) => at,
        None if part["start"] == "own" => now(),
        None => {
            println!("\nready");
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).unwrap();
            line.trim().parse().unwrap()
        }
    };
    let at = move |ms: u64| start + ms * MS;
    if let Some(killed) = part["killed"].as_u64() {
        let (pen, path) = (pen.clone(), (part["end"] == "LeavesChild").then(|| path.clone()));
        std::thread::Builder::new().stack_size(256 * 1024).spawn(move || die(&pen, at(killed), path)).unwrap();
    }
    sleep_until(at(number("from")));
    let tracker = early.unwrap_or_else(|| make(&pen));
    let before = tracker.value("/run/epochs_done").unwrap_or(0.0) as u64;
    let ended = work(&tracker, &pen, at(number("to")), number("epoch") * MS);
    // A process to be killed makes no report. On a busy machine its kill may come after its last epoch.
    while part["killed"].is_u64() {
        sleep_until(now() + 1000 * MS);
    }
    sleep_until(at(number("asks")));
    wait_until_settled(&tracker, before + ended);
    let report: Value = serde_json::from_str(&tracker.report("json").unwrap()).unwrap();
    pen.write(&format!("report {report}"));
    pen.write(&format!("energy {}", report["usage"]["energy_j"]));
    if part["end"] != "WithoutDestroy" {
        tracker.destroy();
    }
    std::process::exit(0);
}

fn make(pen: &Pen) -> Tracker {
    let tracker = Tracker::create("components=cpu").unwrap().unwrap();
    pen.write(&format!("resumed {}", tracker.value("/run/epochs_done").unwrap_or(0.0)));
    tracker
}

/// Runs epochs until `to`, ns. Returns their number.
fn work(tracker: &Tracker, pen: &Pen, to: u64, epoch: u64) -> u64 {
    let (mut end, mut ended) = (now(), 0);
    // A process that comes too late runs one short epoch.
    while end < to || ended == 0 {
        let before = now();
        tracker.begin().unwrap();
        pen.write(&format!("begun {before} {}", now()));
        sleep_until((end + epoch).min(to));
        let before = now();
        tracker.end().unwrap();
        end = now();
        ended += 1;
        pen.write(&format!("ended {before} {end}"));
    }
    ended
}

fn sleep_until(at: u64) {
    std::thread::sleep(Duration::from_nanos(at.saturating_sub(now())));
}

/// Ends this process at a known time, as a kill from outside does. Before, it forks a child that lives as long as the
/// file `child_of` exists.
fn die(pen: &Pen, at: u64, child_of: Option<PathBuf>) {
    sleep_until(at);
    let file = pen.0.lock().unwrap();
    let path = child_of.map(|path| CString::new(path.into_os_string().into_vec()).unwrap());
    (&*file).write_all(format!("killed {}\n", now()).as_bytes()).unwrap();
    // SAFETY: the child only closes the descriptors that the parent's death closes, looks, sleeps and ends. The signal
    // goes to this process.
    unsafe {
        if let Some(path) = path
            && libc::fork() == 0
        {
            (0..3).for_each(|descriptor| _ = libc::close(descriptor));
            while libc::access(path.as_ptr(), libc::F_OK) == 0 {
                libc::usleep(10_000);
            }
            libc::_exit(0);
        }
        libc::raise(libc::SIGKILL)
    };
}
