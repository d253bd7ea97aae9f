//! What must hold for texts and reports of every target.

use carbontracker::sanitize;
use serde_json::Value;

/// Longest message, bytes, beside what it quotes of the input.
const MAX_MESSAGE: usize = 4096;
/// A message that refuses an input has one of these words: it states what to do.
const FIXES: [&str; 23] = [
    "copy ",
    "expected",
    "write ",
    "did you mean",
    "Options are",
    "set ",
    "check ",
    "choose ",
    "use ",
    "pass ",
    "close ",
    "such as",
    "needs ",
    "takes ",
    "end it",
    "correct",
    "remove ",
    "convert",
    "save ",
    "name ",
    "give ",
    "export",
    "import ",
];

/// A message: not empty, in one line, without control characters, and not much longer than the input.
pub fn message(text: &str, input: &[u8]) {
    assert!(!text.trim().is_empty(), "a message is empty");
    assert!(sanitize::is_clean(text), "a message has control characters: {text:?}");
    assert!(text.len() <= MAX_MESSAGE + 4 * input.len(), "a message has {} bytes", text.len());
}

/// A refusal: a message that states what to do.
pub fn refusal(text: &str, input: &[u8]) {
    message(text, input);
    let words = text.to_lowercase();
    assert!(FIXES.iter().any(|fix| words.contains(&fix.to_lowercase())), "a refusal without a fix: {text}");
}

/// A report: it parses as JSON again, and the page of it can be made.
pub fn report(report: &Value) {
    let text = report.to_string();
    let read: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("no JSON: {error}: {text}"));
    assert_eq!(&read, report, "the report changes when it is read again");
    let page = carbontracker::report::html::page(std::slice::from_ref(report));
    assert!(page.ends_with("</html>") || page.trim_end().ends_with("</html>"), "the page is not whole");
}

/// The amounts of a report: each is 0 or more, or unknown.
pub fn amounts(report: &Value) {
    let of_list = |list: &str, name: &str| -> Vec<Value> {
        let list = report.get(list).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|one| one.get(name).cloned()).collect()
    };
    let whole = ["duration_s", "energy_j", "co2eq_g", "facility_energy_kwh"]
        .into_iter()
        .filter_map(|name| report.pointer(&format!("/usage/{name}")).cloned());
    let parts = [("components", "energy_j"), ("epochs", "energy_j"), ("epochs", "duration_s"), ("epochs", "co2eq_g")];
    let parts = parts.into_iter().flat_map(|(list, name)| of_list(list, name));
    for amount in whole.chain(parts) {
        let is_sound = amount.is_null() || amount.as_f64().is_some_and(|amount| amount >= 0.0);
        assert!(is_sound, "an amount is {amount}: {report}");
    }
    for share in std::iter::once(report.pointer("/usage/coverage").cloned().unwrap_or_default())
        .chain(of_list("components", "coverage"))
        .filter_map(|share| share.as_f64())
    {
        assert!((0.0..=1.0 + 1e-9).contains(&share), "a coverage is {share}: {report}");
    }
}
