//! Files of runs with faults: stored data is not damaged, the run continues, and a message names a fix.

use crate::run_files::{Folder, check_sums, epoch_lines, epochs, json, lines, make, messages, number};
use crate::{virtually, virtually_once};
use carbontracker::os::pause;
use carbontracker::run_files;
use carbontracker::tracker::Tracker;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::Duration;

const SIM: &str = "sim_cpu=A:50 sim_gpu=B:200 job=off";
const SHORT: Duration = Duration::from_millis(15);

fn report(tracker: &Tracker) -> Value {
    serde_json::from_str(&tracker.report("json").unwrap()).unwrap()
}

/// A run of three epochs that ended in order.
fn run(options: &str) -> Value {
    let tracker = make(&format!("{SIM} {options}"));
    epochs(&tracker, 3, SHORT);
    let report = report(&tracker);
    tracker.destroy();
    report
}

/// Resumes from a file that cannot be resumed: a message reports it, the run is measured, the file stays as it is.
fn refused(options: &str, file: &Path, expected: &str) {
    let before = fs::read(file).unwrap();
    let tracker = make(&format!("{SIM} {options} resume={}", file.display()));
    let reported = messages(&tracker);
    assert!(
        reported.iter().any(|message| message.contains("resume=") && message.contains(expected)),
        "{expected}: {reported:?}"
    );
    epochs(&tracker, 2, SHORT);
    assert_eq!(tracker.value("/run/epochs_done").unwrap(), 2.0, "{expected}");
    tracker.destroy();
    assert_eq!(fs::read(file).unwrap(), before, "{expected}");
}

#[test]
fn files_that_are_not_this_runs_journal_stay_unchanged() {
    virtually(|at| {
        let folder = Folder::new("foreign");
        run(&format!("name=a log_dir={}", folder.shown()));
        let journal = folder.journal();
        refused("name=b", &journal, "it is the journal of 'a', and name='b' is another run");
        for (name, text) in
            [("train.csv", "epoch,loss\n1,0.3\n"), ("x.jsonl", "{\"a\":1}\n[]\n"), ("binary.jsonl", "\u{0}\u{1}\n")]
        {
            let file = folder.0.join(name);
            fs::write(&file, text).unwrap();
            refused("", &file, "no line in it opens a run");
        }
        let living = make(&format!("{SIM} name=c resume={}", folder.0.join("c.jsonl").display()));
        epochs(&living, 1, SHORT);
        let options = format!("{SIM} name=c resume={}", folder.0.join("c.jsonl").display());
        let reported = at.in_process(move || {
            let tracker = make(&options);
            let reported = messages(&tracker).join("\n");
            epochs(&tracker, 3, SHORT);
            tracker.destroy();
            reported
        });
        assert!(reported.contains(&format!("process {} is writing it", at.kernel.process())), "{reported}");
        epochs(&living, 1, SHORT);
        living.destroy();
        assert_eq!(epoch_lines(&folder.0.join("c.jsonl")).len(), 2);
    });
}

#[test]
fn a_torn_line_is_skipped_and_the_next_line_is_whole() {
    virtually(|_| {
        let folder = Folder::new("torn");
        let whole = make(&format!("{SIM} log_dir={}", folder.shown()));
        let journal = folder.journal();
        for count in 1..=3 {
            epochs(&whole, 1, SHORT);
            // Numbers written later might include the next epoch before its line is there.
            pause(SHORT);
            assert_eq!(fs::read_to_string(&journal).unwrap().matches("{\"index\":").count(), count);
        }
        whole.destroy();
        let text = fs::read_to_string(&journal).unwrap();
        let end = text.rfind("{\"end\"").unwrap();
        fs::write(&journal, &text[..end - 40]).unwrap(); // the last epoch's line has lost its end
        let tracker = make(&format!("{SIM} resume={}", journal.display()));
        assert!(messages(&tracker).iter().any(|message| message.contains("its last line is torn")));
        epochs(&tracker, 2, SHORT);
        let reported = report(&tracker);
        tracker.destroy();
        assert_eq!(number(&reported, "/run/epochs_done"), 4.0);
        check_sums(&reported);
        let from_file = run_files::read(&journal).unwrap();
        assert!(
            from_file.notes.len() == 1 && from_file.notes[0].contains("is not a journal line"),
            "{:?}",
            from_file.notes
        );
        assert_eq!(number(&from_file.report, "/usage/energy_j"), number(&reported, "/usage/energy_j"));
    });
}

/// A kill came in the middle of the first line, or a power cut left zeros.
#[test]
fn journal_without_a_whole_line_is_begun_anew() {
    virtually(|_| {
        for left in [&b""[..], b"{\"jour", b"{\"journal\":1,\"life\"", b"{\"jo\0\0\0\0", b"\0\0\0"] {
            let folder = Folder::new("begun");
            let journal = folder.0.join("run.jsonl");
            fs::write(&journal, left).unwrap();
            let tracker = make(&format!("{SIM} resume={}", journal.display()));
            epochs(&tracker, 2, SHORT);
            tracker.destroy();
            let read = run_files::read(&journal).unwrap();
            assert_eq!(number(&read.report, "/run/epochs_done"), 2.0, "{left:?}");
        }
    });
}

#[test]
fn resume_by_folder_takes_the_newest_unfinished_run_of_this_name() {
    virtually(|_| {
        let folder = Folder::new("newest");
        let all = format!("epochs=6 log_dir={0} resume={0}", folder.shown());
        let a = run(&format!("name=a {all}"));
        let b = run(&format!("name=b {all}"));
        assert_eq!(folder.files(".jsonl").len(), 2);
        let again = run(&format!("name=a {all}"));
        assert_eq!((number(&again, "/run/epochs_done"), &again["run"]["id"]), (6.0, &a["run"]["id"]));
        assert_eq!(again["run"]["started"], a["run"]["started"]);
        let new = run(&format!("name=a {all}"));
        assert!(new["run"]["id"] != a["run"]["id"] && number(&new, "/run/epochs_done") == 3.0, "that one had ended");
        let nameless = run(&all);
        assert!(nameless["run"]["id"] != b["run"]["id"] && folder.files(".jsonl").len() == 4);
        // A folder of logs elsewhere gets a whole journal of its own.
        let elsewhere = Folder::new("elsewhere");
        let moved = run(&format!("name=b epochs=6 log_dir={} resume={}", elsewhere.shown(), folder.shown()));
        assert_eq!((number(&moved, "/run/epochs_done"), &moved["run"]["id"]), (6.0, &b["run"]["id"]));
        assert_eq!(epoch_lines(&elsewhere.journal()).len(), 6);
        let [report] = &elsewhere.files(".json")[..] else { panic!() };
        check_sums(&json(report));
    });
}

/// The first start of a job script that names one folder for its logs and to resume from.
#[test]
fn a_folder_to_resume_from_may_not_exist_yet() {
    virtually(|_| {
        let folder = Folder::new("to-come");
        for (name, options) in [("both", "log_dir=NEW resume=NEW"), ("alone", "resume=NEW")] {
            let new = folder.0.join(name);
            let options = options.replace("NEW", &new.display().to_string());
            let [first, second] = [1, 2].map(|_| run(&format!("epochs=6 {options}")));
            assert_eq!(
                (&first["run"]["id"], number(&second, "/run/epochs_done")),
                (&second["run"]["id"], 6.0),
                "{name}"
            );
            assert_eq!(Folder(new).files(".jsonl").len(), 1, "{name}");
        }
        assert_eq!(folder.files("").len(), 0, "nothing beside them, but what the test took away");
    });
}

#[test]
fn a_folder_that_cannot_be_written_is_reported_with_a_fix() {
    virtually(|_| {
        let folder = Folder::new("unwritable");
        let file = folder.0.join("a-file");
        fs::write(&file, "mine").unwrap();
        for log_dir in
            ["/proc/carbontracker".to_owned(), file.display().to_string(), file.join("x").display().to_string()]
        {
            let tracker = make(&format!("{SIM} log_dir={log_dir}"));
            let reported = messages(&tracker).join("\n");
            assert!(
                reported.contains("not written: ") && reported.contains(&log_dir) && reported.contains("oose another"),
                "{reported}"
            );
            epochs(&tracker, 2, SHORT);
            assert!(tracker.value("/usage/energy_j").unwrap() > 5.0);
            assert!(!messages(&tracker).iter().any(|message| message.contains("not written")), "reported once");
            tracker.destroy();
        }
        assert_eq!(fs::read_to_string(file).unwrap(), "mine");
    });
}

#[test]
fn names_with_slashes_stay_in_the_folder() {
    virtually(|_| {
        let folder = Folder::new("slashes");
        let tracker = make(&format!("{SIM} name='../../etc/x y' log_dir={}", folder.shown()));
        assert!(messages(&tracker).iter().any(|message| message.contains("is no valid file name")));
        epochs(&tracker, 1, SHORT);
        assert!(tracker.report("json").unwrap().contains("\"../../etc/x y\""), "the label is as it was given");
        tracker.destroy();
        assert!(folder.journal().file_name().unwrap().to_str().unwrap().starts_with("_._.._etc_x_y_"));
    });
}

/// Fifty ranks at a time, each a process.
#[test]
fn a_thousand_ranks_share_a_folder() {
    const RANKS: usize = 1000;
    virtually_once(|at| {
        let folder = Folder::new("ranks");
        let options = format!("{SIM} name=job history=off log_dir={}", folder.shown());
        for _ in 0..RANKS / 50 {
            let one = |_| {
                let options = options.clone();
                at.start(move || {
                    let tracker = make(&options);
                    epochs(&tracker, 2, Duration::from_millis(1));
                    tracker.destroy();
                })
            };
            let ranks: Vec<u32> = (0..50).map(one).collect();
            ranks.into_iter().for_each(|rank| at.join(rank));
        }
        let journals = folder.files(".jsonl");
        let files = (journals.len(), folder.files(".json").len(), folder.files(".new").len());
        assert_eq!(files, (RANKS, RANKS, 0));
        assert!(journals.iter().all(|journal| epoch_lines(journal).len() == 2));
    });
}

#[test]
fn a_full_disk_loses_nothing_once_it_has_room_again() {
    virtually(|at| {
        let folder = Folder::new("full");
        let tracker = make(&format!("{SIM} epochs=1000 log_dir={}", folder.shown()));
        epochs(&tracker, 1, SHORT);
        at.disk.room.set(6000);
        let (mut reported, mut count) = (Vec::new(), 1);
        while !reported.iter().any(|message: &String| message.contains("Make room on that disk")) {
            assert!(count < 200, "{reported:?}");
            epochs(&tracker, 1, SHORT);
            count += 1;
            reported.extend(messages(&tracker));
        }
        lines(&folder.journal()); // each of them whole
        epochs(&tracker, 20, SHORT);
        at.disk.room.set(u64::MAX);
        epochs(&tracker, 2, SHORT);
        let whole = report(&tracker);
        tracker.destroy();
        let written: u64 = epoch_lines(&folder.journal()).iter().map(|line| line["count"].as_u64().unwrap()).sum();
        assert_eq!(written, count + 22);
        let from_file = run_files::read(&folder.journal()).unwrap().report;
        assert!((number(&from_file, "/usage/energy_j") / number(&whole, "/usage/energy_j") - 1.0).abs() < 1e-9);
        check_sums(&from_file);
    });
}
