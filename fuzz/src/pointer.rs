//! JSON Pointers into a report: one number, of which only its section is built, equals that number in the whole report.

use crate::run::Run;
use crate::{Target, sound};
use carbontracker::error::Status;
use carbontracker::measurement::channel::DeviceKind;
use carbontracker::measurement::config::SimulatedDevice;
use carbontracker::measurement::source::simulated::Simulated;
use carbontracker::report::Detail;
use carbontracker::run_files::journal::Journal;
use serde_json::Value;

/// The target.
pub const TARGET: Target = Target {
    name: "pointer",
    check,
    fixtures: &[],
    tokens: &[
        "/",
        "~0",
        "~1",
        "/-",
        "/0",
        "/00",
        "/epochs",
        "/usage",
        "/energy_j",
        "/forecast",
        "/low",
        "/what_if/zones/",
        "/power",
        "/components/0",
        "/intensity/hours",
        "/extras/",
        "/co2eq_g",
        "18446744073709551615",
        "/epochs/",
        "/job",
        "/forecasts/",
    ],
    runs: 1500,
};

thread_local! {
    static RUNS: Vec<(Run, Value)> = runs();
}

/// A run with epochs, one of them open, and a run in which nothing is known. Each has its whole report.
fn runs() -> Vec<(Run, Value)> {
    const JOURNAL: &[u8] = include_bytes!("../../tests/fixtures/v0.1.0/whole.jsonl");
    let past = Journal::parse(JOURNAL).unwrap_or_else(|why| panic!("{why}")).into_carried_over([]);
    let options = "epochs=20 location=DK price=0.3EUR wue=1 wue_grid=2 embodied_kg=100";
    let mut full = Run::new(options, "full", past);
    let device = SimulatedDevice { name: "A".into(), watts: 100.0, utilisation: 0.5 };
    full.add(Box::new(Simulated::new(DeviceKind::Cpu, &device)));
    for seconds in [1.0, 2.0, 3.0, 1.0, 2.0] {
        full.pass(seconds);
        full.mark();
    }
    full.pass(1.0);
    let empty = Run::new("what_if=off", "empty", Default::default());
    [full, empty]
        .into_iter()
        .map(|run| (run.report(Detail::Epochs).json(), run))
        .map(|(whole, run)| (run, whole))
        .collect()
}

/// Checks one input.
pub fn check(data: &[u8]) {
    let pointer = String::from_utf8_lossy(data);
    RUNS.with(|runs| runs.iter().for_each(|(run, whole)| same(run, whole, &pointer)));
}

fn same(run: &Run, whole: &Value, pointer: &str) {
    let length = || Some(whole.pointer(pointer.strip_suffix("/length")?)?.as_array()?.len() as f64);
    let number = |value: &Value| value.as_bool().map(f64::from).or(value.as_f64());
    let there = whole.pointer(pointer).map_or_else(length, number);
    match (run.report(Detail::of(pointer)).value(pointer), there) {
        (Ok(number), there) => {
            assert!(number.is_finite());
            assert_eq!(Some(number), there, "{pointer}");
        }
        (Err(error), there) => {
            assert_eq!(there, None, "{pointer}: {}", error.message);
            let is_refused = error.status == Status::CT_EINVAL && whole.pointer(pointer).is_none();
            assert!(is_refused || error.status == Status::CT_ENOENT, "{pointer}: {}", error.message);
            sound::message(&error.message, pointer.as_bytes());
        }
    }
}
