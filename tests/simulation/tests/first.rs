use carbontracker::tracker::Tracker;
use carbontracker_simulation::{in_virtual_time, pause};
use std::time::Duration;

#[test]
fn ten_hours_take_no_time() {
    let report = in_virtual_time(1, |_| {
        let tracker = Tracker::create("epochs=10 sim_cpu=x:100 interval=60 job=off").unwrap().unwrap();
        for _ in 0..10 {
            tracker.begin().unwrap();
            pause(Duration::from_secs(3600));
            tracker.end().unwrap();
        }
        tracker.value("/usage/energy_j").unwrap()
    });
    assert!((report - 3.6e6).abs() < 1.0, "{report}");
}
