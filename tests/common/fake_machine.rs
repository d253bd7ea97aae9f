//! A machine simulated by files, some of them changing, and runs on it.
#![allow(dead_code)] // each program uses a part
use carbontracker::error::Status;
use carbontracker::os::{Instant, JoinHandle, join_within, pause, spawn_quiet};
use carbontracker::tracker::Tracker;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const XEON: &str = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Gold 6248R CPU @ 3.00GHz\nphysical id\t: 0\nsiblings\t: 2\ncpu cores\t: 2\nflags\t\t: fpu\n\n";

const STAT: &str =
    "cpu  3600 0 3600 360000 0 0 0 0 0 0\ncpu0 1800 0 1800 180000 0 0 0 0 0 0\ncpu1 1800 0 1800 180000 0 0 0 0 0 0\n";

/// Time between two writes of a changing file.
const STEP: Duration = Duration::from_millis(5);

/// A file, and its content as a function of the time since the start, s. None: the file does not exist then.
pub type Moving = (String, Box<dyn Fn(f64) -> Option<String> + Send>);

/// A file with a number that depends on the time since the start, s.
pub fn number(path: &str, number: fn(f64) -> u64) -> Moving {
    (path.to_owned(), Box::new(move |at| Some(format!("{}\n", number(at)))))
}

/// The files of a machine, some of them changing.
pub struct Machine {
    pub root: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle>,
}

impl Machine {
    /// A machine with a known processor, whose load does not change.
    #[track_caller]
    pub fn new(name: &str, files: &[(&str, &str)]) -> Machine {
        let caller = std::path::Path::new(std::panic::Location::caller().file()).file_stem().unwrap().to_string_lossy();
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("ct-{caller}-{name}-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let machine = Machine { root, stop: Arc::default(), thread: None };
        machine.write("proc/cpuinfo", &(XEON.to_owned() + &XEON.replace("\t: 0\nvendor", "\t: 1\nvendor")));
        machine.write("proc/stat", STAT);
        files.iter().for_each(|(path, text)| machine.write(path, text));
        machine
    }

    pub fn write(&self, path: &str, text: &str) {
        write(&self.root.join(path), text);
    }

    /// Starts a thread that writes these changing files.
    pub fn moving(mut self, files: Vec<Moving>) -> Machine {
        let (root, stop, start) = (self.root.clone(), Arc::clone(&self.stop), Instant::now());
        let mut written = vec![None; files.len()];
        let mut set = move || {
            let at = start.elapsed().as_secs_f64();
            for ((path, text), written) in files.iter().zip(&mut written) {
                let text = text(at);
                match &text {
                    _ if text == *written => (),
                    Some(text) => write(&root.join(path), text),
                    None => drop(fs::remove_file(root.join(path))),
                }
                *written = text;
            }
        };
        set();
        let thread = spawn_quiet("files", move || {
            while !stop.load(Ordering::Relaxed) {
                set();
                pause(STEP);
            }
        });
        self.thread = Some(thread.unwrap());
        self
    }

    /// Runs epochs of 0.5 s, with further options.
    pub fn run(&self, epochs: u32, options: &str) -> Outcome {
        let options = format!("sysroot={} nvml=/none interval=0.1 {options}", self.root.display());
        let tracker = Tracker::create(&options).unwrap().unwrap();
        for _ in 0..epochs {
            tracker.begin().unwrap();
            pause(Duration::from_millis(500));
            tracker.end().unwrap();
        }
        let report = serde_json::from_str(&tracker.report("json").unwrap()).unwrap();
        let mut messages = Vec::new();
        while tracker
            .take_message(|text| {
                messages.push(text.to_owned());
                Ok(Status::CT_OK)
            })
            .is_ok()
        {}
        tracker.destroy();
        Outcome { report, messages: messages.join("\n") }
    }
}

/// Writes a file at once, so that a reader never sees a part of it.
fn write(path: &PathBuf, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().into_iter().for_each(|thread| assert!(join_within(thread, 10 * STEP)));
        let _ = fs::remove_dir_all(&self.root);
    }
}

pub struct Outcome {
    pub report: Value,
    pub messages: String,
}

impl Outcome {
    /// "kind source method status" of each component, memory last.
    pub fn components(&self) -> Vec<String> {
        let of = |one: &Value| {
            let word = |key: &str| one[key].as_str().unwrap().to_owned();
            [word("kind"), word("source"), word("method"), word("status")].join(" ")
        };
        let mut all: Vec<String> = self.report["components"].as_array().unwrap().iter().map(of).collect();
        all.sort_by_key(|one| one.starts_with("dram"));
        all
    }

    pub fn energy_j(&self, component: usize) -> Option<f64> {
        self.report["components"][component]["energy_j"].as_f64()
    }

    pub fn note(&self, component: usize) -> &str {
        self.report["components"][component]["note"].as_str().unwrap_or_default()
    }

    pub fn reasons(&self) -> String {
        self.report["unavailable"].to_string()
    }
}
