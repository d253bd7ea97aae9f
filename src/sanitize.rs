//! Text from outside is made harmless where it enters: for terminals, for the direction of text, for spreadsheets.

use serde_json::Value;

/// Whether a character controls a terminal (C0, DEL, C1) or the direction of text (overrides and isolates).
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text in one line: each control character becomes a space.
pub fn text(text: impl Into<String>) -> String {
    let text = text.into();
    if text.contains(is_control) { text.replace(is_control, " ") } else { text }
}

/// A text of several lines: each control character but the line feed becomes a space.
pub fn lines(text: &str) -> String {
    text.replace(|c| c != '\n' && is_control(c), " ")
}

/// Whether a text has no control characters.
pub fn is_clean(text: &str) -> bool {
    !text.contains(is_control)
}

/// Cleans all texts of a JSON value, with the names of its fields.
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

/// A text as a CSV cell. A spreadsheet would run a text that begins like a formula, also in wide signs, so an
/// apostrophe is put before it.
pub fn cell(cell: &str) -> String {
    let begins_like_one =
        cell.starts_with(['\t', '\r']) || cell.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    let is_formula = begins_like_one && cell.parse::<f64>().is_err();
    text(if is_formula { format!("'{cell}") } else { cell.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn control_characters_become_spaces() {
        assert_eq!(text("Æ 漢字 \u{200d} ±µ°"), "Æ 漢字 \u{200d} ±µ°");
        assert_eq!(text("a\u{1b}[2J\u{9b}b\u{7f}\u{0}\u{202a}\u{202e}\u{2066}\u{2069}\r\n\tc"), "a [2J b         c");
        assert_eq!(lines("a\r\n\tb\u{1b}"), "a \n b ");
        let mut value = json!({"a\u{1b}": ["b\u{7}", {"c": "d\u{85}"}], "n": 1.5, "x": null});
        crate::sanitize::json(&mut value);
        assert_eq!(value, json!({"a ": ["b ", {"c": "d "}], "n": 1.5, "x": null}));
    }

    #[test]
    fn cell_is_no_formula_and_numbers_stay() {
        for (given, expected) in [
            ("=1+1", "'=1+1"),
            ("+cmd", "'+cmd"),
            ("-2+3", "'-2+3"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("＝1+1", "'＝1+1"),
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
