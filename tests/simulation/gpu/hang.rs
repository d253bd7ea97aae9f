//! A file system under /sys or /proc that does not answer must not delay the application.

use crate::run_files::{Folder, epochs, make, messages};
use carbontracker::tracker::Tracker;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A FUSE file system with a daemon that answers no request. Each access waits until this value is dropped.
struct Silent {
    daemon: Option<File>,
    at: PathBuf,
}

impl Silent {
    /// Mounts it; None if this user may not mount.
    fn mount(at: &Path) -> Option<Silent> {
        fs::create_dir_all(at).unwrap();
        let daemon = OpenOptions::new().read(true).write(true).open("/dev/fuse").ok()?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", daemon.as_raw_fd());
        let [options, path] = [options.as_bytes(), at.as_os_str().as_bytes()].map(|text| CString::new(text).unwrap());
        // SAFETY: all texts end with NUL, and the call only reads them.
        let done =
            unsafe { libc::mount(c"silent".as_ptr(), path.as_ptr(), c"fuse".as_ptr(), 0, options.as_ptr().cast()) };
        (done == 0).then(|| Silent { daemon: Some(daemon), at: at.to_owned() })
    }

    /// Ends the daemon, so that each waiting access gets an error.
    fn answer(&mut self) {
        self.daemon = None;
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.answer();
        let path = CString::new(self.at.as_os_str().as_bytes()).unwrap();
        // SAFETY: the text ends with NUL, and the call only reads it.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    }
}

fn value(tracker: &Tracker, pointer: &str) -> Option<f64> {
    tracker.value(pointer).ok()
}

#[test]
fn source_that_hangs_is_reported_and_the_application_continues() {
    let folder = Folder::new("hang");
    let root = folder.0.join("root");
    fs::create_dir_all(root.join("proc")).unwrap();
    fs::write(root.join("proc/stat"), "cpu  1 1 1 1 1\ncpu0 1 1 1 1 1\nintr 5\n").unwrap();
    let Some(mut silent) = Silent::mount(&root.join("sys/class/powercap")) else {
        println!("skipped: only root can mount a FUSE file system");
        return;
    };
    let options = format!("sysroot={} components=cpu job=off log_dir={}", root.display(), folder.0.join("l").display());
    let begun = Instant::now();
    let tracker = make(&options);
    // Without a limit it would wait for ever. The limit is 250 ms; a busy machine may take longer.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let text = messages(&tracker).join("\n");
    assert!(text.contains("rapl is not measured: a file of /sys or /proc does not answer"), "{text}");
    epochs(&tracker, 3, Duration::from_millis(10));
    assert_eq!(value(&tracker, "/run/epochs_done"), Some(3.0));
    assert_eq!(value(&tracker, "/usage/energy_j"), None, "unknown, not 0");
    silent.answer();
    let deadline = Instant::now() + Duration::from_secs(60);
    let sources = || tracker.report("json").unwrap();
    while !sources().contains("\"cpu_model\"") && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(sources().contains("\"cpu_model\""), "the estimate stands in once it is known that there is no counter");
    tracker.destroy();
}

#[test]
fn counter_that_hangs_later_delays_no_call() {
    let folder = Folder::new("hang-later");
    let zone = folder.0.join("root/sys/class/powercap/intel-rapl:0");
    fs::create_dir_all(&zone).unwrap();
    for (file, text) in [("name", "package-0\n"), ("energy_uj", "1000000\n"), ("max_energy_range_uj", "262143328850\n")]
    {
        fs::write(zone.join(file), text).unwrap();
    }
    let options = format!("sysroot={} components=cpu job=off interval=0.01", folder.0.join("root").display());
    let tracker = make(&options);
    epochs(&tracker, 1, Duration::from_millis(20));
    // A counter that does not change is read again by its path, and that access hangs now.
    let Some(_silent) = Silent::mount(&zone) else {
        println!("skipped: only root can mount a FUSE file system");
        return;
    };
    let begun = Instant::now();
    epochs(&tracker, 2, Duration::from_millis(100));
    tracker.report("text").unwrap();
    tracker.destroy();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn tracker_with_a_source_that_hangs_can_be_destroyed() {
    let folder = Folder::new("hang-destroy");
    let root = folder.0.join("root");
    let Some(_silent) = Silent::mount(&root.join("proc")) else {
        println!("skipped: only root can mount a FUSE file system");
        return;
    };
    let tracker = make(&format!("sysroot={} components=cpu job=off", root.display()));
    epochs(&tracker, 1, Duration::from_millis(10));
    let begun = Instant::now();
    tracker.destroy();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
