//! A file system under /sys or /proc that does not answer must not delay the application.

use crate::retry::{Stamp, run};
use crate::run_files::{Folder, make, messages};
use crate::silent::Silent;
use crate::virtually;
use carbontracker::os::{Instant, pause};
use carbontracker::tracker::Tracker;
use std::fs;
use std::time::Duration;

/// The start waits this long for the search for sources, and the end for each of the two threads that hang.
const LIMIT: Duration = Duration::from_millis(251);
const SHORT: Duration = Duration::from_millis(10);

fn value(tracker: &Tracker, pointer: &str) -> Option<f64> {
    tracker.value(pointer).ok()
}

/// Runs epochs. Their calls do not wait.
fn run_freely(tracker: &Tracker, epochs: usize, length: Duration) {
    let stamps = run(tracker, epochs, length, |_| ());
    let is_free = |stamp: &Stamp| stamp.before == stamp.after;
    assert!(stamps.iter().all(|(begin, end)| is_free(begin) && is_free(end)), "{stamps:?}");
}

#[test]
fn source_that_hangs_is_reported_and_the_application_continues() {
    virtually(|| {
        let folder = Folder::new("hang");
        let root = folder.0.join("root");
        fs::create_dir_all(root.join("proc")).unwrap();
        fs::write(root.join("proc/stat"), "cpu  1 1 1 1 1\ncpu0 1 1 1 1 1\nintr 5\n").unwrap();
        let silent = Silent::at(root.join("sys/class/powercap"));
        let logs = folder.0.join("l");
        let begun = Instant::now();
        let tracker = make(&format!("sysroot={} components=cpu job=off log_dir={}", root.display(), logs.display()));
        assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
        let text = messages(&tracker).join("\n");
        assert!(text.contains("rapl is not measured: a file of /sys or /proc does not answer"), "{text}");
        run_freely(&tracker, 3, SHORT);
        assert_eq!(value(&tracker, "/run/epochs_done"), Some(3.0));
        assert_eq!(value(&tracker, "/usage/energy_j"), None, "unknown, not 0");
        silent.answer();
        pause(SHORT);
        let report = tracker.report("json").unwrap();
        assert!(report.contains("\"cpu_model\""), "without a counter there is the estimate: {report}");
        tracker.destroy();
    });
}

#[test]
fn counter_that_hangs_later_delays_no_call() {
    virtually(|| {
        let folder = Folder::new("hang-later");
        let zone = folder.0.join("root/sys/class/powercap/intel-rapl:0");
        fs::create_dir_all(&zone).unwrap();
        for (file, text) in
            [("name", "package-0\n"), ("energy_uj", "1000000\n"), ("max_energy_range_uj", "262143328850\n")]
        {
            fs::write(zone.join(file), text).unwrap();
        }
        let root = folder.0.join("root");
        let tracker = make(&format!("sysroot={} components=cpu job=off interval=0.01", root.display()));
        run_freely(&tracker, 1, 2 * SHORT);
        // A counter that does not change is read again by its path, and that access hangs now.
        let _silent = Silent::at(zone);
        run_freely(&tracker, 2, 10 * SHORT);
        let begun = Instant::now();
        tracker.report("text").unwrap();
        println!("hangs later: report in {:?}", begun.elapsed());
        assert!(begun.elapsed() <= Duration::from_millis(1001), "{:?}", begun.elapsed());
        let begun = Instant::now();
        tracker.destroy();
        assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
    });
}

#[test]
fn tracker_with_a_source_that_hangs_can_be_destroyed() {
    virtually(|| {
        let folder = Folder::new("hang-destroy");
        let root = folder.0.join("root");
        let _silent = Silent::at(root.join("proc"));
        let tracker = make(&format!("sysroot={} components=cpu job=off", root.display()));
        run_freely(&tracker, 1, SHORT);
        let begun = Instant::now();
        tracker.destroy();
        assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
    });
}
