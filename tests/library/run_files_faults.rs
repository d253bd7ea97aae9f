//! Files of runs on disks that are full or read-only, and beside other processes. The kernel decides.

use crate::run_files::{Folder, check_sums, epoch_lines, epochs, lines, make, messages, number};
use carbontracker::run_files;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const SIM: &str = "sim_cpu=A:50 sim_gpu=B:200 job=off";
const SHORT: Duration = Duration::from_millis(15);

#[test]
fn a_journal_that_another_process_writes_is_not_resumed() {
    let folder = Folder::new("held");
    let journal = folder.0.join("c.jsonl");
    let living = make(&format!("{SIM} name=c resume={}", journal.display()));
    epochs(&living, 1, SHORT);
    let other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "run_files_faults::another_process_resumes_the_run", "--nocapture"])
        .env("CT_TEST_JOURNAL", &journal)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&other.stdout).into_owned();
    assert!(printed.contains(&format!("process {} is writing it", std::process::id())), "{printed}");
    epochs(&living, 1, SHORT);
    living.destroy();
    assert_eq!(epoch_lines(&journal).len(), 2);
}

#[test]
fn another_process_resumes_the_run() {
    let Ok(journal) = std::env::var("CT_TEST_JOURNAL") else { return };
    let tracker = make(&format!("{SIM} name=c resume={journal}"));
    println!("{:?}", messages(&tracker));
    epochs(&tracker, 3, SHORT);
    tracker.destroy();
}

/// A small file system, if this process may mount one.
struct Disk(PathBuf);

impl Disk {
    fn new(folder: &Folder) -> Option<Disk> {
        let path = folder.0.join("disk");
        fs::create_dir_all(&path).unwrap();
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=192k", "none"]).arg(&path).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Disk(path))
    }

    fn remount(&self, options: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_loses_nothing_once_it_has_room_again() {
    let folder = Folder::new("full");
    let Some(disk) = Disk::new(&folder) else {
        return crate::retry::say("skipped: no file system can be mounted here");
    };
    let tracker = make(&format!("{SIM} epochs=1000 log_dir={}", disk.0.display()));
    let mut reported = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut count = 0;
    while !reported.iter().any(|message: &String| message.contains("No space left")) && Instant::now() < deadline {
        epochs(&tracker, 1, SHORT);
        count += 1;
        reported.extend(messages(&tracker));
    }
    assert!(reported.iter().any(|message| message.contains("Make room on that disk")), "{reported:?}");
    let journal = |name: &str| {
        fs::read_dir(&disk.0).unwrap().flatten().map(|e| e.path()).find(|p| p.to_string_lossy().ends_with(name))
    };
    lines(&journal(".jsonl").unwrap()); // each of them whole
    epochs(&tracker, 20, SHORT);
    assert!(tracker.value("/usage/energy_j").unwrap() > 1.0, "the run goes on");
    disk.remount("size=64M");
    epochs(&tracker, 2, SHORT);
    let whole: Value = serde_json::from_str(&tracker.report("json").unwrap()).unwrap();
    tracker.destroy();
    let journal = journal(".jsonl").unwrap();
    let written: u64 = epoch_lines(&journal).iter().map(|line| line["count"].as_u64().unwrap()).sum();
    assert_eq!(written, count + 22);
    let from_file = run_files::read(&journal).unwrap().report;
    assert!((number(&from_file, "/usage/energy_j") / number(&whole, "/usage/energy_j") - 1.0).abs() < 1e-9);
    check_sums(&from_file);
}

#[test]
fn a_journal_on_a_read_only_disk_is_resumed() {
    let folder = Folder::new("read-only");
    let Some(disk) = Disk::new(&folder) else {
        return crate::retry::say("skipped: no file system can be mounted here");
    };
    let journal = disk.0.join("a.jsonl");
    let first = make(&format!("{SIM} resume={}", journal.display()));
    epochs(&first, 3, SHORT);
    first.destroy();
    disk.remount("ro");
    let tracker = make(&format!("{SIM} resume={}", journal.display()));
    let reported = messages(&tracker).join("\n");
    assert!(reported.contains("can only be read") && reported.contains("log_dir="), "{reported}");
    epochs(&tracker, 1, SHORT);
    assert_eq!(tracker.value("/run/epochs_done").unwrap(), 4.0);
    tracker.destroy();
}
