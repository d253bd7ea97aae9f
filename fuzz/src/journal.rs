//! Journals: what one attempt left, the report of it, and the next attempt that continues it.

use crate::run::Run;
use crate::{Target, sound};
use carbontracker::attribution::carried_over::CarriedOver;
use carbontracker::report::Detail;
use carbontracker::run_files::attempt::Process;
use carbontracker::run_files::crash_counter::Count;
use carbontracker::run_files::journal::{self, Journal};
use carbontracker::units::sum;

/// The target.
pub const TARGET: Target = Target {
    name: "journal",
    check,
    fixtures: &[("v0.1.0", ".jsonl"), ("v0.1.0/ranks", ".jsonl")],
    tokens: &[
        "{\"journal\":1,\"life\":",
        "\"before\":",
        "\"run\":{\"id\":\"a\"}",
        "\"index\":",
        "\"count\":",
        "\"duration_s\":",
        "\"gap_s\":",
        "\"so_far\":{",
        "\"usage\":{",
        "\"energy_j\":",
        "\"components\":[",
        "\"power\":{\"from\":",
        "\"open\":{",
        "\"end\":",
        "\"epochs_done\":",
        "\"coverage\":",
        "\"error\":{\"low\":",
        "\"status\":\"lost\"",
        "}\n{",
    ],
    runs: 60,
};

/// Relative difference of two numbers that are the same but for rounding.
const ROUNDING: f64 = 1e-6;

/// Checks one input.
pub fn check(data: &[u8]) {
    let read = match Journal::parse(data) {
        Ok(read) => read,
        Err(why) => return sound::refusal(&why, data),
    };
    let from_file = carbontracker::run_files::parse(data).unwrap_or_else(|why| panic!("{why}"));
    sound::report(&from_file.report);
    from_file.notes.iter().for_each(|note| sound::message(note, data));
    let (id, attempts) = (read.id.clone(), read.attempts);
    // A crash counter that has two epochs more than the journal.
    let counted = Count { epochs: 2, inside: 3_000_000_000, span: 4_000_000_000 };
    continues(&id, Journal::parse(data).unwrap_or_default().into_carried_over([counted]));
    let past = read.into_carried_over([]);
    assert_eq!(past.attempts, attempts);
    let lines = continues(&id, past.clone());
    let whole = [data, b"\n", lines.as_bytes()].concat();
    let again = Journal::parse(&whole).unwrap_or_else(|why| panic!("{why}: {lines}"));
    assert!(again.is_ended, "the attempt that continues it has no end: {lines}");
    same(&past, &again.into_carried_over([]));
}

/// Continues a run, reports it, and returns the lines that the new attempt writes.
fn continues(id: &str, past: CarriedOver) -> String {
    let (attempt, before) = (past.attempts.saturating_add(1), past.epochs_done());
    let run = Run::new("what_if=off location=DK", id, past);
    let report = run.report(Detail::Epochs);
    let json = report.json();
    sound::report(&json);
    sound::amounts(&json);
    for format in ["text", "csv", "prometheus"] {
        assert!(report.render(format).is_ok());
    }
    let process = Process { host: "node".into(), ..Process::default() };
    let so_far = serde_json::json!({"so_far": journal::so_far(&report, run.unix_s(), None), "end": true});
    [journal::opening(&report, attempt, before, &process), journal::components(&report), so_far]
        .map(|line| format!("{line}\n"))
        .concat()
}

/// Both are the same run, as far as a journal keeps it. A journal may have lost the energy of a component. The next
/// attempt has then only what is left.
fn same(one: &CarriedOver, other: &CarriedOver) {
    assert_eq!(one.epochs_done(), other.epochs_done(), "epochs");
    let of_components = sum(one.components.iter().map(|component| component.used.sum().joules));
    for (name, a, b) in [
        ("energy_j", of_components, other.energy_j),
        ("inside", Some(one.inside_ns as f64), Some(other.inside_ns as f64)),
        ("duration", Some(one.duration_ns as f64), Some(other.duration_ns as f64)),
    ] {
        let is_same = match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() <= ROUNDING * a.abs().max(b.abs()) + ROUNDING,
            (a, b) => a == b,
        };
        assert!(is_same, "{name}: {a:?} became {b:?}");
    }
}
