//! A live service of carbon intensity that is silent at first: no call waits for it, and its figures are used later.

use carbontracker::error::Status;
use carbontracker::os::{self, pause};
use carbontracker::tracker::Tracker;
use carbontracker_simulation::grid::{Grid, Mood, Service, Web};
use carbontracker_simulation::kernel::BEGIN;
use carbontracker_simulation::on_the_web;
use serde_json::Value;
use std::time::Duration;

/// A run of 20 minutes. The service replies in this way for the first 100 s.
fn run(service: Service, mood: Mood) {
    let grid = Grid::with(service, vec![(0, mood), (BEGIN + 100_000_000_000, Mood::Works)]);
    let options = format!("sim_cpu=A:3600 job=off {}", grid.options());
    on_the_web(1, Vec::new(), Web::new(Some(grid)), move |_, _| {
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
