//! A live service of carbon intensity that is silent at first: no call waits for it, and its figures are used later.

use carbontracker::error::Status;
use carbontracker::os::{self, pause};
use carbontracker::tracker::Tracker;
use carbontracker_simulation::grid::{Grid, Mood, Service, Web};
use carbontracker_simulation::kernel::BEGIN;
use carbontracker_simulation::on_the_web;
use serde_json::Value;
use std::rc::Rc;
use std::time::Duration;

/// A run of 20 minutes. The service replies in this way for the first 100 s.
fn run(service: Service, mood: Mood) {
    let grid = Grid::with(service, vec![(0, mood), (BEGIN + 100_000_000_000, Mood::Works)]);
    let options = format!("sim_cpu=A:3600 job=off {}", grid.options());
    on_the_web(1, Vec::new(), Rc::new(Web::new(Some(grid))), move |_, _| {
        let tracker = Tracker::create(&options).unwrap().unwrap();
        let since = os::monotonic_ns();
        tracker.begin().unwrap();
        tracker.end().unwrap();
        assert!(os::monotonic_ns().ns_since(since) < 1_000_000, "{mood:?}: a mark waits");
        tracker.begin().unwrap();
        pause(Duration::from_secs(60));
        let since = os::monotonic_ns();
        let report: Value = serde_json::from_str(&tracker.report("json").unwrap()).unwrap();
        assert!(os::monotonic_ns().ns_since(since) < 2_000_000_000, "{mood:?}: a report waits");
        assert_eq!(report["intensity"]["kind"], "static", "{mood:?}");
        pause(Duration::from_secs(1140));
        tracker.end().unwrap();
        let report: Value = serde_json::from_str(&tracker.report("json").unwrap()).unwrap();
        assert_eq!(report["intensity"]["kind"], "live", "{mood:?}: {}", report["notes"]);
        assert_eq!(report["intensity"]["coverage"], 1.0, "{mood:?}");
        let mut messages = String::new();
        while tracker
            .take_message(|message| {
                messages += message;
                Ok(Status::CT_OK)
            })
            .is_ok()
        {}
        assert!(messages.contains(service.name()), "{mood:?}: {messages}");
        assert!(messages.contains("come again"), "{mood:?}: {messages}");
        tracker.destroy();
    });
}

#[test]
fn figures_of_a_service_that_recovers_are_used() {
    for mood in [Mood::Silent, Mood::Refuses, Mood::CutOff, Mood::Status(503, Some("60")), Mood::Html, Mood::HalfJson] {
        run(Service::CarbonIntensityGb, mood);
    }
    for mood in [Mood::Late(180_000_000_000), Mood::Empty, Mood::Absurd(-1.0), Mood::OtherZone] {
        run(Service::ElectricityMaps, mood);
    }
    run(Service::EnergyCharts, Mood::Silent);
}

/// Each failure doubles the delay, whichever job asks.
#[test]
fn next_job_continues_the_delays_of_a_failing_provider() {
    let grid = Grid::with(Service::CarbonIntensityGb, vec![(0, Mood::Status(500, None))]);
    let options = format!("sim_cpu=A:3600 job=off {}", grid.options());
    let web = Rc::new(Web::new(Some(grid)));
    let asked = Rc::clone(&web);
    on_the_web(1, Vec::new(), web, move |_, _| {
        let run = |seconds: u64| {
            let tracker = Tracker::create(&options).unwrap().unwrap();
            tracker.begin().unwrap();
            pause(Duration::from_secs(seconds));
            tracker.end().unwrap();
            tracker.destroy();
        };
        run(120);
        let by_first = asked.asked().len();
        pause(Duration::from_secs(20));
        run(1000);
        let asked = asked.asked();
        let gaps: Vec<u64> = asked.windows(2).map(|pair| (pair[1] - pair[0]) / 1_000_000_000).collect();
        assert!(by_first == 3 && asked.len() > 4, "{gaps:?}");
        for (failures, gap) in gaps.iter().enumerate() {
            assert!((30 << failures..=(30 << failures) * 2).contains(gap), "{gaps:?}");
        }
    });
}
