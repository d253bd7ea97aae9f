//! The option string's syntax: `key=value key='two words'`, as in libpq's conninfo.

use super::key;
use crate::error::{Error, Result};

/// Splits an option string into keys and values. White space separates pairs and may surround `=`. A value may have
/// single quotes; `\'` and `\\` escape.
pub fn pairs(text: &str) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let stop = rest.find(|c: char| c == '=' || is_space(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(stop);
        let Some(after) = after.trim_start_matches(is_space).strip_prefix('=').filter(|_| !name.is_empty()) else {
            let previous_key = pairs.last().map_or("", |(key, _): &(String, String)| key);
            let name = key::shown(name, previous_key);
            return Err(Error::invalid(format!(
                "options: '{name}' has no value; write key=value with white space between pairs, and 'single quotes' around a value that contains white space"
            )));
        };
        let (value, after) = take_value(after.trim_start_matches(is_space)).ok_or_else(|| {
            Error::invalid(format!("{name}: the single quote is not closed, or text follows it directly; close it, and write \\' for a quote inside"))
        })?;
        pairs.push((name.to_owned(), value));
        rest = after.trim_start_matches(is_space);
    }
    Ok(pairs)
}

/// White space as C's isspace defines it.
fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b'
}

/// One value and the text after it; None if a quote is not closed or text follows it directly.
fn take_value(text: &str) -> Option<(String, &str)> {
    let is_quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(is_quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if is_quoted => {
                let after = text.get(at + 1..)?;
                return (after.is_empty() || after.starts_with(is_space)).then_some((value, after));
            }
            c if !is_quoted && is_space(c) => return Some((value, text.get(at..)?)),
            c => value.push(c),
        }
    }
    (!is_quoted).then_some((value, ""))
}
