//! No report, however odd, makes a format panic or gives an unreadable file.

use super::*;
use carbontracker::clock::LocalTime;
use proptest::prelude::*;
use serde_json::json;

fn report() -> Value {
    let component = json!({"kind": "gpu", "device": "H100", "id": "a", "source": "nvml", "method": "counter", "energy_j": 10.0,
        "error": {"low": 0.5, "high": 2.0}, "status": "ok"});
    let epoch = json!({"index": 0, "count": 1, "duration_s": 1.0, "energy_j": 10.0, "co2eq_g": 1.0});
    json!({
        "schema": 1,
        "run": {"id": "a", "name": "b", "host": "c", "started": "2026-03-02T13:00:00Z", "last_end_unix_s": 1.8e9, "state": "done",
            "version": "0.1.0", "epochs_done": 2, "job": null},
        "usage": {"duration_s": 2.0, "energy_j": 10.0, "facility_energy_kwh": 1.0, "co2eq_g": 1.0, "coverage": 1.0,
            "error": {"low": 0.5, "high": 2.0}, "between": {"duration_s": 1.0}},
        "intensity": {"g_per_kwh": 100.0, "kind": "static", "zone": "DK", "year": 2025, "basis": "lifecycle", "source": "Ember"},
        "pue": 1.5, "components": [component], "epochs": [epoch, epoch.clone()],
        "facility": {"region": "aws:eu-west-1", "wue": 1.0}, "extras": {"water": {"litres": 1.0}},
    })
}

/// The pointers of all values in a report.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, field)| pointers(field, &format!("{at}/{name}"), all)),
        Value::Array(items) => items.iter().enumerate().for_each(|(n, item)| pointers(item, &format!("{at}/{n}"), all)),
        _ => (),
    }
}

fn odd() -> impl Strategy<Value = Value> {
    let odd = [
        json!(null),
        json!(0),
        json!(-1),
        json!(1e308),
        json!(1e-308),
        json!(u64::MAX),
        json!(true),
        json!(""),
        json!("a|b`\"\\{}%$&#~^_\u{2028}æ: - x"),
        json!("=1+1"),
        json!([]),
        json!({}),
        json!([null, 1]),
    ];
    proptest::sample::select(odd.to_vec())
}

proptest! {
    #[test]
    fn odd_reports_make_readable_files(changes in proptest::collection::vec((any::<proptest::sample::Index>(), odd()), 0..4)) {
        let mut changed = report();
        for (place, value) in changes {
            let mut all = Vec::new();
            pointers(&changed, "", &mut all);
            *changed.pointer_mut(place.get::<String>(&all)).unwrap() = value;
        }
        let Ok(runs) = ExportedRuns::of(vec![changed, report()]) else { return Ok(()) };
        let rows = codecarbon::rows(&runs, &LocalTime::new(Vec::new()));
        let text = emissions_csv::text(&rows).unwrap();
        let mut csv = csv::Reader::from_reader(text.as_bytes());
        prop_assert!(csv.records().all(|row| row.is_ok_and(|row| row.len() == codecarbon::COLUMNS.len())), "{text}");
        for line in huggingface::yaml(&runs, Some("x")).unwrap_or_default().lines().skip(1) {
            let value = line.split_once(": ").unwrap().1;
            prop_assert!(serde_json::from_str::<Value>(value).is_ok(), "{line}");
        }
        let table = markdown::summary(&runs);
        let bars = |line: &str| line.replace("\\|", "").matches('|').count();
        prop_assert!(table.lines().filter(|line| line.starts_with('|')).all(|line| bars(line) == 6), "{table}");
        let latex = latex::sentences(&runs).unwrap_or_default();
        prop_assert!(latex.lines().filter(|line| !line.starts_with('%')).all(|line| !line.replace("\\$", "").replace("$_2$", "").contains('$')));
        for run in &runs.runs {
            let _ = (tensorboard::events(run), tensorboard::file_name(run));
            prop_assert!(!boamps::report(run, None).to_string().contains("null,"));
        }
        prop_assert!(otlp::request(&runs)["resourceMetrics"].is_array());
    }
}
