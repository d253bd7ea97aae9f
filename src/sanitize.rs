//! Text from outside, made harmless where it enters: for a terminal, for the direction of a line, for a spreadsheet.

use serde_json::Value;

/// Whether a character steers a terminal (C0, DEL, C1) or the direction of text (overrides and isolates).
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text in one line, with a space for each character that steers.
pub fn text(text: impl Into<String>) -> String {
    let text = text.into();
    if text.contains(steers) { text.replace(steers, " ") } else { text }
}

/// A text whose ends of lines stay.
pub fn lines(text: &str) -> String {
    text.replace(|c| c != '\n' && steers(c), " ")
}

/// Whether a text has nothing to clean.
pub fn is_clean(text: &str) -> bool {
    !text.contains(steers)
}

/// Cleans every text of a JSON value that was read, names of fields included.
pub fn json(value: &mut Value) {
    match value {
        Value::String(one) => *one = text(std::mem::take(one)),
        Value::Array(list) => list.iter_mut().for_each(json),
        Value::Object(map) => {
            if !map.keys().all(|name| is_clean(name)) {
                *map = std::mem::take(map).into_iter().map(|(name, value)| (text(name), value)).collect();
            }
            map.values_mut().for_each(json);
        }
        _ => (),
    }
}

/// A text as a cell of CSV. A spreadsheet would run one that begins as a formula does; an apostrophe makes it text.
pub fn cell(cell: &str) -> String {
    let begins = cell.starts_with(['\t', '\r']) || cell.trim_start().starts_with(['=', '+', '-', '@']);
    let is_formula = begins && cell.parse::<f64>().is_err();
    text(if is_formula { format!("'{cell}") } else { cell.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_steers_is_a_space_and_the_rest_stays() {
        assert_eq!(text("Æ 漢字 \u{200d} ±µ°"), "Æ 漢字 \u{200d} ±µ°");
        assert_eq!(text("a\u{1b}[2J\u{9b}b\u{7f}\u{0}\u{202a}\u{202e}\u{2066}\u{2069}\r\n\tc"), "a [2J b         c");
        assert_eq!(lines("a\r\n\tb\u{1b}"), "a \n b ");
        let mut value = json!({"a\u{1b}": ["b\u{7}", {"c": "d\u{85}"}], "n": 1.5, "x": null});
        crate::sanitize::json(&mut value);
        assert_eq!(value, json!({"a ": ["b ", {"c": "d "}], "n": 1.5, "x": null}));
    }

    #[test]
    fn a_cell_is_no_formula_and_a_number_stays() {
        for (given, expected) in [
            ("=1+1", "'=1+1"),
            ("+cmd", "'+cmd"),
            ("-2+3", "'-2+3"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "' =1"),
            ("\r=1", "' =1"),
            ("-1.5", "-1.5"),
            ("+2e3", "+2e3"),
            (" =1", "' =1"),
            ("a=1", "a=1"),
            ("", ""),
        ] {
            assert_eq!(cell(given), expected);
        }
    }
}
