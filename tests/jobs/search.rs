//! The run that `resume=FOLDER` takes among several, and the file name of a new run.

use crate::rank_child::{Rank, shimmed, without_locks};
use crate::run_files::Folder;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

fn options(folder: &Folder, more: &str) -> String {
    format!("sim_cpu=A:50 job=off log_dir={} {more}", folder.shown())
}

fn resuming(folder: &Folder, more: &str) -> String {
    options(folder, &format!("resume={} {more}", folder.shown()))
}

/// Starts a run and kills it. Returns its identifier.
fn killed(options: &str) -> String {
    let mut rank = Rank::start(options, &[]);
    rank.work(2);
    let id = rank.id.clone();
    rank.kill();
    id
}

/// The journal of a finished run with the name x, in a folder of its own.
fn finished(name: &str) -> (Folder, PathBuf) {
    let folder = Folder::new(name);
    let mut rank = Rank::start(&options(&folder, "name=x"), &[]);
    rank.work(2);
    rank.end();
    let journal = folder.journal();
    (folder, journal)
}

fn check_found(options: &str, id: &str) {
    let rank = Rank::start(options, &[]);
    assert!(rank.id == id && rank.done >= 1.0, "{}", rank.messages);
    rank.end();
}

fn make_old(file: &Path) {
    fs::File::open(file).unwrap().set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
}

/// One task of an array was killed. It is submitted again when the others have ended.
#[test]
fn killed_run_is_found_behind_many_finished_runs() {
    let folder = Folder::new("behind");
    let id = killed(&resuming(&folder, "name=x"));
    let (_other, over) = finished("over-behind");
    (2..=150).for_each(|number| _ = fs::copy(&over, folder.0.join(format!("x-{number}.jsonl"))).unwrap());
    check_found(&resuming(&folder, "name=x"), &id);
}

#[test]
fn run_with_an_older_file_name_is_found_behind_a_finished_run() {
    let folder = Folder::new("older-behind");
    let id = killed(&options(&folder, "name=x"));
    let (_other, over) = finished("over-older");
    fs::copy(&over, folder.0.join("x.jsonl")).unwrap();
    check_found(&resuming(&folder, "name=x"), &id);
}

#[test]
fn run_behind_a_gap_in_the_numbers_is_the_newest() {
    let folder = Folder::new("gap");
    let old = killed(&resuming(&folder, "name=x"));
    let moved = folder.0.join("moved");
    fs::rename(folder.journal(), &moved).unwrap();
    let new = killed(&resuming(&folder, "name=x"));
    fs::rename(folder.journal(), folder.0.join("x-3.jsonl")).unwrap();
    fs::rename(&moved, folder.0.join("x.jsonl")).unwrap();
    assert_ne!(old, new);
    check_found(&resuming(&folder, "name=x"), &new);
    check_found(&resuming(&folder, "name=x"), &old);
}

#[test]
fn run_is_found_by_its_name_under_any_file_name() {
    let folder = Folder::new("called");
    let first = killed(&resuming(&folder, "name=x log_prefix=job_1"));
    let unnamed = killed(&options(&folder, "log_prefix=job_1"));
    let rank = Rank::start(&resuming(&folder, "name=x log_prefix=job_2"), &[("PMI_RANK", "3")]);
    assert!(rank.done == 0.0 && rank.id != first, "{}", rank.messages);
    rank.end();
    // Runs without a name are recognised by their file names only.
    let other = Rank::start(&resuming(&folder, "log_prefix=job_2"), &[]);
    assert!(other.id != unnamed, "{}", other.messages);
    other.end();
    fs::copy(folder.0.join("job_1.jsonl"), folder.0.join("copy.jsonl")).unwrap();
    make_old(&folder.0.join("copy.jsonl"));
    check_found(&resuming(&folder, "name=x log_prefix=job_2"), &first);
    // The run is over now, and its copy is not another run.
    let new = Rank::start(&resuming(&folder, "name=x log_prefix=job_1"), &[]);
    assert!(new.done == 0.0 && new.id != first, "{}", new.messages);
    new.kill();
}

#[test]
fn new_run_takes_no_name_that_has_files_of_another_run() {
    let folder = Folder::new("left");
    let left = ["x.json", "x-2_carbontracker.log"];
    left.iter().for_each(|name| fs::write(folder.0.join(name), "mine").unwrap());
    let mut rank = Rank::start(&resuming(&folder, "name=x"), &[]);
    rank.work(2);
    rank.end();
    left.iter().for_each(|name| assert_eq!(fs::read_to_string(folder.0.join(name)).unwrap(), "mine"));
    assert_eq!(folder.journal(), folder.0.join("x-3.jsonl"));
}

/// Many processes start at the same moment and compute the same name.
#[test]
fn run_that_loses_many_names_has_its_own_journal_and_report() {
    let Some((_all, folder, shim)) = shimmed("lost", "taken") else { return };
    let mut rank = Rank::start(&resuming(&folder, "name=x"), &[("LD_PRELOAD", &shim)]);
    rank.work(2);
    let id = rank.id.clone();
    rank.end();
    let report = crate::run_files::json(&folder.0.join("x-21.json"));
    assert_eq!(report["run"]["id"], *id);
    assert!(!crate::run_files::epoch_lines(&folder.0.join("x-21.jsonl")).is_empty());
    assert_eq!(folder.files(".json"), [folder.0.join("x-21.json")]);
}

/// A process was killed a moment ago while it resumed the run.
#[test]
fn run_that_another_process_resumes_is_reported() {
    let Some((_all, folder, shim)) = without_locks("turn") else { return };
    let here = [("LD_PRELOAD", shim.as_str())];
    let mut first = Rank::start(&resuming(&folder, "name=x"), &here);
    first.work(2);
    let id = first.id.clone();
    first.kill();
    fs::write(folder.0.join(".x.jsonl.1.taken"), "").unwrap();
    let second = Rank::start(&resuming(&folder, "name=x"), &here);
    assert!(
        second.id != id && second.messages.contains("x.jsonl: another process has just resumed it"),
        "{}",
        second.messages
    );
    second.kill();
    let is_there = |path: &Path| fs::symlink_metadata(path).is_ok();
    assert!(is_there(&folder.0.join(".x.jsonl.1.taken")), "its process may still have the turn");
    // If locks are shared, the file is not needed.
    make_old(&folder.0.join(".x.jsonl.1.taken"));
    fs::remove_file(folder.0.join("x-2.jsonl")).unwrap();
    check_found(&resuming(&folder, "name=x"), &id);
    assert!(!is_there(&folder.0.join(".x.jsonl.1.taken")));
}
