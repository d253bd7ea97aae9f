//! The JSON Pointers that a report may have. They distinguish a misspelt pointer from a value that is not known.

use crate::error::{Error, Result};
use std::borrow::Cow;

/// Each pointer of the schema, one a line; `*` stands for an index. A test keeps it equal to
/// docs/src/reference/report.schema.json.
const POINTERS: &str = include_str!("pointers.txt");
/// The last token of a pointer to the number of entries of a list.
pub const LENGTH: &str = "length";
/// The most edits from a pointer to the one that is suggested, and the most of them per character.
const MAX_EDITS: usize = 3;
const MAX_EDITED_SHARE: f64 = 0.25;
/// No known pointer is longer, by far. A comparison of two texts takes time and memory by the product of their lengths.
const MAX_POINTER_BYTES: usize = 128;

/// Whether a report may have a value at this pointer.
fn is_known(pointer: &str) -> bool {
    pointer.is_empty() || POINTERS.lines().any(|known| matches(known, pointer))
}

/// Refuses a pointer that no report has.
pub fn check(pointer: &str) -> Result<()> {
    if is_known(pointer) {
        return Ok(());
    }
    let meant = meant(pointer).map_or_else(
        || "; docs/src/reference/report-schema.md lists what it has".to_owned(),
        |meant| format!(": did you mean {meant}?"),
    );
    let shown: String = pointer.chars().take(MAX_POINTER_BYTES).collect();
    Err(Error::invalid(format!("{shown}: no report has such a value{meant}")))
}

/// The known pointer that this one was probably meant to be.
fn meant(pointer: &str) -> Option<String> {
    if pointer.len() > MAX_POINTER_BYTES {
        return None;
    }
    let wanted = with_stars(pointer);
    let most = MAX_EDITS.min((wanted.len() as f64 * MAX_EDITED_SHARE) as usize);
    let distance = |known: &str| strsim::damerau_levenshtein(known, &wanted);
    let near = POINTERS.lines().filter(|known| known.len().abs_diff(wanted.len()) <= most);
    let (edits, nearest) = near.map(|known| (distance(known), known)).min()?;
    (edits <= most).then(|| with_indices(nearest, pointer))
}

/// Whether the pointer is this one of the schema.
fn matches(known: &str, pointer: &str) -> bool {
    let mut tokens = pointer.split('/').peekable();
    // The path of a phase may stand for its index.
    let is_of_phases = known.starts_with("/phases/rows/");
    let has_same = known.split('/').all(|name| {
        let token = tokens.next();
        let is_last = tokens.peek().is_none();
        token.is_some_and(|token| match name {
            "*" => index(token).is_some() || is_last && token == LENGTH || is_of_phases && !token.is_empty(),
            name => name == token,
        })
    });
    has_same && tokens.next().is_none()
}

/// An array index in the form of RFC 6901: digits without a leading zero.
pub fn index(token: &str) -> Option<usize> {
    let is_index = token.bytes().all(|digit| digit.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    token.parse().ok().filter(|_| is_index)
}

/// The pointer with a slash at its begin, and `*` for each index.
fn with_stars(pointer: &str) -> String {
    let tokens = pointer.trim_start_matches('/').split('/');
    let starred = tokens.map(|token| if index(token).is_some() { "*" } else { token });
    starred.fold(String::new(), |text, token| text + "/" + token)
}

/// The known pointer with the indices of `pointer`, in their order.
fn with_indices(known: &str, pointer: &str) -> String {
    let mut indices = pointer.split('/').filter(|token| index(token).is_some());
    let mut next = || Cow::Borrowed(indices.next().unwrap_or("0"));
    let tokens = known.split('/').map(|name| if name == "*" { next() } else { Cow::Borrowed(name) });
    tokens.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// The pointers of a schema.
    fn pointers_of(schema: &Value) -> Vec<String> {
        let mut found = Vec::new();
        collect(schema, schema, "", &mut found);
        let mut seen = std::collections::HashSet::new();
        found.retain(|pointer| seen.insert(pointer.clone()));
        found
    }

    fn collect(schema: &Value, node: &Value, pointer: &str, found: &mut Vec<String>) {
        if let Some(name) = node["$ref"].as_str() {
            let target = schema.pointer(name.trim_start_matches('#')).expect("a definition");
            return collect(schema, target, pointer, found);
        }
        let either = node["oneOf"].as_array().into_iter().flatten();
        either.for_each(|part| collect(schema, part, pointer, found));
        let fields = node["properties"].as_object().into_iter().flatten().map(|(name, field)| (name.as_str(), field));
        let entries = node.get("items").into_iter().map(|entry| ("*", entry));
        for (name, field) in fields.chain(entries) {
            let pointer = format!("{pointer}/{name}");
            found.push(pointer.clone());
            collect(schema, field, &pointer, found);
        }
    }

    #[test]
    fn pointers_are_those_of_the_schema() {
        let schema = serde_json::from_str(include_str!("../../docs/src/reference/report.schema.json")).unwrap();
        let fresh = pointers_of(&schema).join("\n") + "\n";
        if std::env::var_os("CT_UPDATE").is_some() {
            return std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/report/pointers.txt"), fresh).unwrap();
        }
        assert!(fresh == POINTERS, "stale: CT_UPDATE=1 cargo test --lib pointers_are_those_of_the_schema");
    }

    #[test]
    fn pointers_are_known_by_their_form() {
        let known =
            ["", "/run", "/usage/energy_j", "/epochs", "/epochs/0/duration_s", "/epochs/4095", "/epochs/length"];
        assert!(known.iter().all(|pointer| is_known(pointer)));
        let unknown = ["/", "usage", "usage/energy_j", "/usage/enrgy_j", "/usage/energy_j/", "/epochs/01", "/epochs/-"];
        assert!(!unknown.iter().any(|pointer| is_known(pointer)));
        assert!(!is_known("/usage/length") && !is_known("/epochs/length/0") && !is_known("/epochs/length/duration_s"));
    }

    #[test]
    fn nearest_pointer_is_suggested_with_its_indices() {
        let meant = |pointer| meant(pointer).unwrap_or_default();
        assert_eq!(meant("/usage/enrgy_j"), "/usage/energy_j");
        assert_eq!(meant("usage/energy_j"), "/usage/energy_j");
        assert_eq!(meant("/epochs/17/duration"), "/epochs/17/duration_s");
        for unlike in ["/weather/tomorrow", "/x", "/hosts", &format!("/{}", "a".repeat(10_000_000))] {
            assert_eq!(meant(unlike), "");
        }
    }
}
