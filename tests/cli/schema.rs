//! The JSON Schemas in docs/src/reference describe what is written: real reports and journals of every state pass, and
//! so do those of 0.1.0. Each property occurs, and what a schema does not name is refused. The tables of the pages are
//! generated: `CT_UPDATE=1 cargo test --test cli schema` rewrites them.

mod documents;
mod pages;
mod schemas;

use carbontracker::measurement::channel::{DeviceKind, MeasuringMethod};
use carbontracker::measurement::source_name::SourceName;
use carbontracker::report::{self, ComponentStatus, RunPhase};
use documents::Documents;
use schemas::{Place, Schemas};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::LazyLock;

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(Schemas::new);
/// The documents take seconds to make, so the tests share them.
static DOCUMENTS: LazyLock<Documents> = LazyLock::new(Documents::new);

/// Properties that no document here needs to have, with the reason.
const EXCUSED: [(&str, &str); 7] = [
    (
        "report shared_device handed_over_j",
        "a device changes hands only where a rank ends before others (tests/jobs/many_ways.rs)",
    ),
    ("report shared_device since", "known once the device was read in that turn, which a busy machine delays"),
    ("report marginal co2eq_g", "no live service answers here (tests/live)"),
    ("report marginal forecast_co2eq_g", "no live service answers here"),
    ("report marginal g_per_kwh", "no live service answers here"),
    ("journal so_far marginal_g", "no live service answers here"),
    ("journal opening restarts", "only a batch system that restarts a job counts it (tests/jobs/search.rs)"),
];

#[test]
fn reports_pass() {
    for (name, report) in &DOCUMENTS.reports {
        let errors = SCHEMAS.errors(Place::Report, report);
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
}

#[test]
fn journals_pass() {
    for (name, lines) in &DOCUMENTS.journals {
        for (number, line) in lines.iter().enumerate() {
            let errors = SCHEMAS.errors(Place::Journal, line);
            assert!(errors.is_empty(), "{name}, line {}: {errors:#?}", number + 1);
        }
    }
}

#[test]
fn properties_all_have_a_value_somewhere() {
    let mut seen = HashSet::new();
    DOCUMENTS.reports.iter().for_each(|(_, report)| SCHEMAS.mark(Place::Report, report, &mut seen));
    DOCUMENTS.lines().for_each(|line| SCHEMAS.mark(Place::Journal, line, &mut seen));
    let absent: Vec<String> =
        SCHEMAS.properties().filter(|(_, place)| !seen.contains(place)).map(|(name, _)| name).collect();
    let unexplained: Vec<&String> =
        absent.iter().filter(|name| !EXCUSED.iter().any(|(excused, _)| excused == name)).collect();
    assert!(unexplained.is_empty(), "no document has {unexplained:?}");
}

/// The paths of all values in a document.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| pointers(value, &format!("{at}/{name}"), all)),
        Value::Array(list) => {
            list.iter().take(2).enumerate().for_each(|(n, value)| pointers(value, &format!("{at}/{n}"), all))
        }
        _ => (),
    }
}

/// A document with each value in turn of a wrong type, and each object in turn with a field more.
fn spoiled(document: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    pointers(document, "", &mut all);
    let mut spoiled = Vec::new();
    for pointer in all {
        let mut set = |what: &str, change: &dyn Fn(&mut Value)| {
            let mut changed = document.clone();
            change(changed.pointer_mut(&pointer).unwrap());
            spoiled.push((format!("{pointer} {what}"), changed));
        };
        if document.pointer(&pointer).unwrap().is_object() {
            set("is a text", &|value| *value = json!("wrong"));
            set("has a field more", &|value| value["unknown"] = json!(1));
        } else {
            set("is an object", &|value| *value = json!({"wrong": 1}));
        }
    }
    spoiled
}

#[test]
fn unknown_fields_and_wrong_types_are_refused() {
    let named = |names: &'static [&str]| DOCUMENTS.reports.iter().filter(|(name, _)| names.contains(&name.as_str()));
    for (name, report) in named(&["states/done", "hours/between", "merged", "imported/0", "states/journal"]) {
        for (what, changed) in spoiled(report) {
            assert!(!SCHEMAS.errors(Place::Report, &changed).is_empty(), "{name}: {what} passes");
        }
    }
    for line in &DOCUMENTS.journals.iter().find(|(name, _)| name.contains("/states/")).unwrap().1 {
        for (what, changed) in spoiled(line) {
            assert!(!SCHEMAS.errors(Place::Journal, &changed).is_empty(), "{line}: {what} passes");
        }
    }
}

#[test]
fn closed_sets_match_the_library() {
    let report = |pointer: &str| SCHEMAS.report.pointer(pointer).unwrap_or_else(|| panic!("{pointer}")).clone();
    let component = |name: &str| report(&format!("/$defs/component/else/properties/{name}/enum"));
    assert_eq!(component("kind"), json!(DeviceKind::ALL.map(DeviceKind::name)));
    assert_eq!(component("method"), json!(MeasuringMethod::ALL.map(MeasuringMethod::name)));
    assert_eq!(component("source"), json!(SourceName::ALL.map(SourceName::as_str)));
    assert_eq!(report("/$defs/unavailable/properties/source/enum"), json!(SourceName::ALL.map(SourceName::as_str)));
    let status = report("/$defs/component/properties/status/enum");
    assert_eq!(status, json!(ComponentStatus::ALL.map(ComponentStatus::as_str)));
    // An imported log states no phase.
    let phases = RunPhase::ALL.map(|phase| Some(phase.as_str())).into_iter().chain([None]);
    assert_eq!(report("/$defs/run/properties/state/enum"), phases.collect::<Value>());
    assert_eq!(report("/properties/schema/const"), json!(report::SCHEMA));
    let channel = |name: &str| SCHEMAS.journal.pointer(&format!("/$defs/channel/properties/{name}/enum")).unwrap();
    assert_eq!(
        ["kind", "method", "source"].map(channel),
        [&component("kind"), &component("method"), &component("source")]
    );
}

#[test]
fn pages_have_the_tables_of_the_schemas() {
    pages::check(&SCHEMAS);
}

#[test]
fn examples_on_the_pages_are_journal_lines() {
    let examples = pages::examples();
    assert!(examples.len() >= 5, "{examples:?}");
    for line in examples {
        let errors = SCHEMAS.errors(Place::Journal, &line);
        assert!(errors.is_empty(), "{line}: {errors:#?}");
    }
}
