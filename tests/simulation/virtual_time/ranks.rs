//! Ranks of one job that change the owner of a device.

use crate::exec::of_rank;
use crate::fake_rapl::{Counter, Tree};
use crate::virtually;
use carbontracker::os::{self, pause};
use carbontracker::tracker::Tracker;
use serde_json::Value;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

const WATTS: f64 = 100.0;

/// Begins at the instants of `epochs`, ms from `start`, and ends at the second ones. Returns what the last report
/// counts.
fn counted(root: &str, start: os::Instant, epochs: &[(u64, u64)]) -> f64 {
    let until = |ms| pause((start + Duration::from_millis(ms)).left());
    until(epochs[0].0);
    let tracker = Tracker::create(&format!("sysroot={root} interval=10")).unwrap().unwrap();
    for (begin, end) in epochs {
        until(*begin);
        tracker.begin().unwrap();
        until(*end);
        tracker.end().unwrap();
    }
    let report: Value = serde_json::from_str(&tracker.report("json").unwrap()).unwrap();
    pause(Duration::from_secs(5));
    tracker.destroy();
    report["usage"]["energy_j"].as_f64().unwrap_or(0.0)
}

/// A rank takes the device from one that still believes it has it, and is idle when that one makes its last report.
#[test]
fn last_report_has_the_energy_since_a_loss_that_the_rank_has_not_seen() {
    virtually(|sim| {
        let tree = Tree::new(&[("intel-rapl:0", "package-0", Counter::constant(WATTS))]);
        let (root, start, sum) = (tree.root().display().to_string(), os::Instant::now(), Rc::new(Cell::new(0.0)));
        let processes = [(1, vec![(0, 1000), (1000, 1400)]), (0, vec![(1004, 1250)])].map(|(rank, epochs)| {
            let (root, sum) = (root.clone(), Rc::clone(&sum));
            sim.kernel.start(of_rank(rank), move || {
                let joules = counted(&root, start, &epochs);
                sum.set(sum.get() + joules);
            })
        });
        processes.into_iter().for_each(|process| sim.join(process));
        assert!((WATTS * 1.39..WATTS * 1.41).contains(&sum.get()), "{} J of 140 J", sum.get());
    });
}
