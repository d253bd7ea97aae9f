//! The journal that `resume=FOLDER` takes: never that of a living run, and the rank's own at once, also among many.

use crate::rank_child::{Rank, json, runs, without_locks};
use crate::retry::wait_until;
use crate::run_files::Folder;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// More than the longest silence of a process that lives.
const LONGEST_SILENCE: Duration = Duration::from_secs(11);

#[test]
fn living_run_is_left_alone_if_locks_fail() {
    let Some((_all, journals, shim)) = without_locks("living") else { return };
    let options = format!("sim_cpu=A:50 job=off name=x log_dir={0} resume={0}", journals.shown());
    let here = [("LD_PRELOAD", shim.as_str())];
    let elsewhere = [("LD_PRELOAD", shim.as_str()), ("OTHER_NODE", "node2")];
    let mut first = Rank::start(&options, &here);
    first.work(5);
    for variables in [&here[..], &elsewhere[..]] {
        let mut second = Rank::start(&options, variables);
        assert!(second.done == 0.0 && second.id != first.id, "{}", second.messages);
        let is_unsure = second.messages.contains("a process on node1 wrote it");
        assert_eq!(
            is_unsure && second.messages.contains("start again after"),
            variables.len() > 1,
            "{}",
            second.messages
        );
        second.work(3);
        // The same holds for a named journal.
        let named =
            options.replace(&format!("resume={}", journals.shown()), &format!("resume={}/x.jsonl", journals.shown()));
        let third = Rank::start(&named, variables);
        assert!(third.done == 0.0 && third.id != first.id, "{}", third.messages);
        assert!(third.messages.contains("It is left as it is"), "{}", third.messages);
        third.end();
        second.end();
    }
    first.work(10);
    first.end();
    assert_eq!(runs(&journals), (5, 0.0));
}

#[test]
fn killed_run_is_resumed_at_once_if_its_end_is_certain() {
    let Some((_all, journals, shim)) = without_locks("killed") else { return };
    let options = format!("sim_cpu=A:50 name=x log_dir={0} resume={0}", journals.shown());
    let job = |restarts: &'static str| {
        [("LD_PRELOAD", shim.as_str()), ("SLURM_JOB_ID", "7"), ("SLURM_RESTART_COUNT", restarts)]
    };
    let elsewhere = ("OTHER_NODE", "node2");
    let mut first = Rank::start(&options, &job("0"));
    first.work(5);
    let id = first.id.clone();
    first.kill();
    // On another node nothing proves the end.
    let other = Rank::start(&options, &[&job("0")[..], &[elsewhere]].concat());
    assert!(other.id != id && other.messages.contains("may still run"), "{}", other.messages);
    other.end();
    // The page on its own node proves the end. The second attempt is killed too.
    let mut second = Rank::start(&options, &job("0"));
    assert!(second.id == id && second.done >= 5.0, "{}", second.messages);
    let done = second.done;
    second.work(2);
    second.kill();
    // The batch system has restarted the job, so earlier attempts have ended.
    let third = Rank::start(&options, &[&job("1")[..], &[elsewhere]].concat());
    assert!(third.id == id && third.done >= done, "{}", third.messages);
    third.end();
}

#[test]
fn silent_run_is_resumed_after_the_longest_silence() {
    let Some((_all, journals, shim)) = without_locks("silent") else { return };
    let options = format!("sim_cpu=A:50 job=off name=x log_dir={0} resume={0}", journals.shown());
    let elsewhere = [("LD_PRELOAD", shim.as_str()), ("OTHER_NODE", "node2")];
    let mut first = Rank::start(&options, &elsewhere[..1]);
    first.work(5);
    let id = first.id.clone();
    first.kill();
    std::thread::sleep(LONGEST_SILENCE);
    let second = Rank::start(&options, &elsewhere);
    assert!(second.id == id && second.done >= 1.0, "{}", second.messages);
    second.end();
}

/// Tasks of an array are submitted again, on many nodes. Each finds the silent runs of the first time.
#[test]
fn silent_run_is_resumed_by_one_of_many_nodes_if_locks_fail() {
    const TASKS: usize = 12;
    let Some((_all, journals, shim)) = without_locks("race") else { return };
    let options = format!("sim_cpu=A:50 job=off name=x log_dir={0} resume={0}", journals.shown());
    let nodes: Vec<String> = (0..TASKS).map(|node| format!("node{node}")).collect();
    let start = |node: &String| Rank::start(&options, &[("LD_PRELOAD", &shim), ("OTHER_NODE", node)]);
    let all = || -> Vec<Rank> {
        std::thread::scope(|scope| {
            let started: Vec<_> = nodes.iter().map(|node| scope.spawn(|| start(node))).collect();
            started.into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    };
    let mut first = all();
    first.iter_mut().for_each(|rank| rank.work(3));
    let ids =
        |ranks: &[Rank]| -> std::collections::BTreeSet<String> { ranks.iter().map(|rank| rank.id.clone()).collect() };
    let before = ids(&first);
    assert_eq!(before.len(), TASKS);
    first.into_iter().for_each(Rank::kill);
    std::thread::sleep(LONGEST_SILENCE);
    let mut second = all();
    let messages: Vec<&String> = second.iter().map(|rank| &rank.messages).collect();
    assert_eq!(ids(&second), before, "{messages:?}");
    second.iter_mut().for_each(|rank| rank.work(3));
    second.into_iter().for_each(Rank::end);
    assert_eq!(runs(&journals), (TASKS as u64, 0.0));
    assert_eq!(journals.files(".taken").len(), 0);
}

/// With mpirun in a batch script, Slurm's rank number belongs to the script, and MPI's to the rank.
#[test]
fn rank_of_mpirun_in_a_batch_script_resumes_its_own_journal() {
    const RANKS: usize = 4;
    let folder = Folder::new("mpirun");
    let options = format!("sim_cpu=A:50 name=x log_dir={0} resume={0}", folder.shown());
    let numbers: Vec<String> = (0..RANKS).map(|rank| rank.to_string()).collect();
    let mut ids: Vec<String> = Vec::new();
    for start in 0..3 {
        let ranks = numbers.iter().map(|number| {
            let variables =
                [("SLURM_JOB_ID", "4711"), ("SLURM_PROCID", "0"), ("OMPI_COMM_WORLD_RANK", number.as_str())];
            Rank::start(&options, &variables)
        });
        // Each start resumes the runs at different moments.
        let mut ranks: Vec<Rank> = ranks.collect();
        let found: Vec<String> = ranks.iter().map(|rank| rank.id.clone()).collect();
        if start > 0 {
            assert_eq!(found, ids);
            assert!(ranks.iter().all(|rank| rank.done >= 3.0 * f64::from(start)), "known as soon as it is created");
        }
        ids = found;
        ranks.iter_mut().for_each(|rank| rank.work(3));
        ranks.into_iter().for_each(if start < 2 { Rank::kill } else { Rank::end });
    }
    let names: Vec<PathBuf> = folder.files(".jsonl");
    let expected: Vec<PathBuf> = (0..RANKS).map(|rank| folder.0.join(format!("x_r{rank}.jsonl"))).collect();
    assert_eq!(names, expected);
    let opening = &crate::run_files::lines(&names[2])[0];
    assert_eq!(opening["rank"], 2);
    assert_eq!((&opening["job"], &opening["ranks"]), (&serde_json::json!("SLURM job 4711"), &Value::Null));
}

/// The name was made by another version, or by `log_dir=` alone.
#[test]
fn journal_with_an_older_file_name_is_found_by_name_and_rank() {
    let folder = Folder::new("older");
    let options = |resume: &str| format!("sim_cpu=A:50 job=off name=x log_dir={} {resume}", folder.shown());
    let mut first = Rank::start(&options(""), &[("PMI_RANK", "3")]);
    first.work(2);
    let id = first.id.clone();
    first.kill();
    let resume = format!("resume={}", folder.shown());
    let other = Rank::start(&options(&resume), &[("PMI_RANK", "4")]);
    assert!(other.done == 0.0 && other.id != id);
    other.end();
    let same = Rank::start(&options(&resume), &[("PMI_RANK", "3")]);
    assert_eq!(same.id, id, "{}", same.messages);
    same.end();
    assert_eq!(folder.files(".jsonl").len(), 2);
}

/// A requeued task of an array has the same run name as the others, but its own job.
#[test]
fn job_resumes_its_own_run_before_those_of_others() {
    let folder = Folder::new("array");
    let options = format!("sim_cpu=A:50 name=x log_dir={0} resume={0}", folder.shown());
    let jobs: Vec<String> = (100..112).map(|job| job.to_string()).collect();
    let start = |restarts: &'static str| -> Vec<Rank> {
        let start = |job: &String| Rank::start(&options, &[("SLURM_JOB_ID", job), ("SLURM_RESTART_COUNT", restarts)]);
        jobs.iter().map(start).collect()
    };
    let mut first = start("0");
    first.iter_mut().for_each(|rank| rank.work(1));
    let ids: Vec<String> = first.iter().map(|rank| rank.id.clone()).collect();
    first.into_iter().for_each(Rank::kill);
    let second = start("1");
    assert_eq!(second.iter().map(|rank| rank.id.clone()).collect::<Vec<_>>(), ids);
    second.into_iter().for_each(Rank::end);
}

/// The system calls on a folder and its files until the run was resumed.
fn calls_on(folder: &Path, trace: &Path) -> Vec<String> {
    let text = fs::read_to_string(trace).unwrap();
    let (calls, _) = text.split_once("\\nstate ").unwrap_or((&text, ""));
    calls.lines().filter(|line| line.contains(folder.to_str().unwrap())).map(str::to_owned).collect()
}

#[test]
fn rank_finds_its_journal_among_ten_thousand_with_few_calls() {
    const MOST: usize = 50;
    if !Command::new("strace").args(["-f", "true"]).output().is_ok_and(|output| output.status.success()) {
        return crate::retry::say("skipped: strace cannot run here");
    }
    let (folder, trace) = (Folder::new("many"), Folder::new("trace"));
    let options = format!("sim_cpu=A:50 name=x log_dir={0} resume={0}", folder.shown());
    let job = [("SLURM_JOB_ID", "7"), ("SLURM_PROCID", "4321")];
    let mut first = Rank::start(&options, &job);
    first.work(3);
    let id = first.id.clone();
    first.kill();
    let text = fs::read_to_string(folder.0.join("x_r4321.jsonl")).unwrap();
    for rank in (0..10_000).filter(|rank| *rank != 4321) {
        let text = text.replacen("\"rank\":4321", &format!("\"rank\":{rank}"), 1);
        fs::write(folder.0.join(format!("x_r{rank}.jsonl")), text).unwrap();
    }
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-o"]).arg(trace.0.join("t")).arg(std::env::current_exe().unwrap());
    let second = Rank::of(strace, &options, &job);
    assert_eq!(second.id, id);
    let calls = calls_on(&folder.0, &trace.0.join("t"));
    second.end();
    assert!(calls.len() < MOST, "{}", calls.join("\n"));
}

/// A rank that counts nothing writes its journal only, which counts as a run. Once it counts, it writes the
/// other files.
#[test]
fn rank_writes_only_its_journal_until_it_counts() {
    let folder = Folder::new("few");
    let options = format!("sim_cpu=A:50 name=x log_dir={0} resume={0}", folder.shown());
    let start = |rank: &str| {
        Rank::start(&options, &[("SLURM_JOB_ID", "815"), ("SLURM_PROCID", rank), ("SLURM_STEP_NUM_TASKS", "2")])
    };
    let mut first = start("0");
    first.work(20);
    let (mut second, mut third) = (start("1"), start("2"));
    third.work(20);
    second.work(20);
    let files_of = |rank: &str| folder.files("").iter().filter(|path| path.to_string_lossy().contains(rank)).count();
    third.end();
    assert_eq!((files_of("_r1"), files_of("_r2")), (1, 1), "{:?}", folder.files(""));
    // The second rank takes over what the first counted.
    first.end();
    let mut epochs = 20;
    wait_until("the second rank counts", || {
        epochs += 1;
        second.work(epochs);
        files_of("_r1") >= 4
    });
    second.end();
    let expected = ["x_r1.json", "x_r1.jsonl", "x_r1.prom", "x_r1_carbontracker.log", "x_r1_carbontracker_output.log"];
    expected.iter().for_each(|name| assert!(folder.0.join(name).exists(), "{name}: {:?}", folder.files("")));
    let log = fs::read_to_string(folder.0.join(expected[3])).unwrap();
    let report = json(&fs::read_to_string(folder.0.join(expected[0])).unwrap());
    let done = report["run"]["epochs_done"].as_u64().unwrap();
    assert!(report["components"].to_string().contains("taken over from another process of this job"), "{report}");
    let has_first = log.contains("Epochs 1 to ") || log.contains("Epoch 1:");
    assert!(has_first && log.contains(&format!("Epoch {done}:")), "those before it counted, too: {log}");
    assert_eq!(runs(&folder), (1, 0.0));
    assert_eq!(files_of("_r0"), 5);
}

/// A file that is created or renamed changes the folder's time of change.
#[test]
fn rank_that_counts_nothing_creates_and_renames_no_file() {
    let (folder, other) = (Folder::new("steady"), Folder::new("counting"));
    let options = |folder: &Folder| format!("sim_cpu=A:50 name=x log_dir={0} resume={0}", folder.shown());
    let start =
        |folder: &Folder, rank: &str| Rank::start(&options(folder), &[("SLURM_JOB_ID", "816"), ("SLURM_PROCID", rank)]);
    let counting = start(&other, "0");
    let mut idle = start(&folder, "1");
    idle.work(20);
    let changed = || fs::metadata(&folder.0).unwrap().modified().unwrap();
    let before = changed();
    idle.work(100);
    assert_eq!(changed(), before);
    idle.end();
    counting.end();
}
