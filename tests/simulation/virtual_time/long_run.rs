//! A run of a million epochs: its files stay small, and its sums are exact.

use crate::run_files::{Folder, check_sums, epoch_lines, lines, make, messages, number};
use crate::{virtually, virtually_once};
use carbontracker::os::pause;
use carbontracker::run_files;
use serde_json::Value;
use std::time::Duration;

/// Files for other programs exist within the first epoch and are renewed during it. A folder that cannot be written
/// is reported once nevertheless.
#[test]
fn a_long_epoch_is_in_the_files_while_it_lasts() {
    virtually(|_| {
        let (folder, broken) = (Folder::new("one-epoch"), Folder::new("no-folder"));
        let file = broken.0.join("a-file");
        std::fs::write(&file, "mine").unwrap();
        let [tracker, other] = [folder.shown(), file.display().to_string()]
            .map(|dir| make(&format!("sim_cpu=A:50 job=off log_dir={dir}")));
        for tracker in [&tracker, &other] {
            tracker.begin().unwrap();
        }
        pause(Duration::from_secs(3));
        assert!(!folder.files(".prom").is_empty(), "{:?}", folder.files(""));
        let reported: Vec<String> =
            messages(&other).into_iter().filter(|message| message.starts_with("not written")).collect();
        assert_eq!(reported.len(), 1, "{reported:?}");
        [tracker, other].into_iter().for_each(|tracker| drop(tracker.destroy()));
    });
}

#[test]
fn a_million_epochs_stay_usable() {
    virtually_once(|at| {
        const EPOCHS: u64 = 1_000_000;
        let folder = Folder::new("million");
        let tracker = make(&format!("sim_cpu=A:50 sim_gpu=B:200 job=off epochs={EPOCHS} log_dir={}", folder.shown()));
        for epoch in 0..EPOCHS {
            tracker.begin().unwrap();
            at.compute(Duration::from_nanos(200));
            if epoch % 1000 == 0 {
                pause(Duration::from_millis(5));
            }
            tracker.end().unwrap();
        }
        let report: Value = serde_json::from_str(&tracker.report("json").unwrap()).unwrap();
        tracker.destroy();
        let journal = folder.journal();
        let bytes = std::fs::metadata(&journal).unwrap().len();
        let from_file = run_files::read(&journal).unwrap().report;
        for report in [&report, &from_file] {
            assert_eq!(number(report, "/run/epochs_done") as u64, EPOCHS);
            check_sums(report);
            assert!(report["epochs"].as_array().unwrap().len() <= 4097);
        }
        let count: u64 = epoch_lines(&journal).iter().map(|line| line["count"].as_u64().unwrap()).sum();
        assert_eq!(count, EPOCHS);
        assert!(
            lines(&journal).iter().any(|line| line["note"].as_str().is_some_and(|note| note.contains("share lines")))
        );
        let logs: u64 = folder.files(".log").iter().map(|file| std::fs::metadata(file).unwrap().len()).sum();
        println!("{EPOCHS} epochs: journal {bytes} bytes, {} lines; logs {logs} bytes", lines(&journal).len());
        assert!(bytes < 40_000_000 && logs < 40_000_000, "{bytes} {logs}");
    });
}
