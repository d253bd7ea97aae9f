//! An application that changes its folder.

use carbontracker::error::Status;
use carbontracker::tracker::Tracker;
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn unix_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("moved-{}-{name}.csv", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

fn tracker(options: &str) -> Tracker {
    Tracker::create(options).unwrap().unwrap()
}

fn json(tracker: &Tracker) -> Value {
    serde_json::from_str(&tracker.report("json").unwrap()).unwrap()
}

/// Relative paths are resolved at the start. Then the application changes its folder, as daemons do.
#[test]
fn an_intensity_file_is_followed_when_the_application_moves_and_reported_when_removed() {
    let _turn = crate::turn();
    let now = unix_s();
    let text = |g_per_kwh: u32| format!("time,g_per_kwh\n{},{g_per_kwh}\n{},{g_per_kwh}\n", now - 3600.0, now + 3600.0);
    let path = file("followed", &text(100));
    let renewed = |g_per_kwh: u32| {
        let new = file("renewed", &text(g_per_kwh));
        std::fs::rename(new, &path).unwrap();
    };
    std::env::set_current_dir(path.parent().unwrap()).unwrap();
    let tracker = tracker(&format!("sim_cpu=x:100 intensity=./{}", path.file_name().unwrap().to_str().unwrap()));
    std::env::set_current_dir("/").unwrap();
    let comes = |what: &str, came: &dyn Fn() -> bool| {
        let began = std::time::Instant::now();
        while !came() {
            assert!(began.elapsed() < Duration::from_secs(60), "{what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    let is = |g_per_kwh: f64| tracker.value("/intensity/g_per_kwh").unwrap() == g_per_kwh;
    let said = |words: &str| {
        let mut said = false;
        let mut take = |text: &str| {
            said |= text.contains(words);
            Ok(Status::CT_OK)
        };
        while tracker.take_message(&mut take).is_ok() {}
        said
    };
    assert!(is(100.0));
    renewed(200);
    comes("200 g/kWh", &|| is(200.0));
    std::fs::remove_file(&path).unwrap();
    comes("that it is gone", &|| said("No such file"));
    assert!(is(200.0) && json(&tracker)["notes"].to_string().contains("No such file"));
    renewed(300);
    comes("300 g/kWh", &|| is(300.0));
    comes("that it is back", &|| said("come again"));
    assert_eq!(json(&tracker)["notes"], serde_json::json!([]));
    std::fs::remove_file(path).unwrap();
}
