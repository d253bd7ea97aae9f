//! The parts of every runtime's lists: words between commas, and numbers as C reads them.

use super::Absence;
use crate::sanitize;

/// Numbers of GPUs, or of parts of GPUs, are below this.
pub const MAX_NUMBER: usize = 1024;
/// Words of a list that are read.
pub const MAX_WORDS: usize = 1024;

/// A text for a message: one line of 80 characters at most.
pub fn shown(value: &str) -> String {
    const MAX_CHARS: usize = 80;
    match value.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => sanitize::text(value.get(..end).unwrap_or_default()) + "…",
        None => sanitize::text(value),
    }
}

/// A variable and its value, shortened for a message.
pub fn assignment(name: &str, value: &str) -> String {
    format!("{name}={}", shown(value))
}

/// Whether a value is not empty.
pub fn is_given(value: &str) -> bool {
    !value.is_empty()
}

/// The words between commas.
pub fn words(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').take(MAX_WORDS)
}

/// The absence of GPUs whose variable cannot be read, or does not determine which GPUs are meant.
pub fn unreadable(name: &str, value: &str, why: &str, cure: &str) -> Absence {
    let reason = format!(
        "{} cannot be read ({why}): this job's GPUs are unknown, so no GPU of this vendor is counted",
        assignment(name, value)
    );
    Absence { reason, cure: Some(format!("{cure}; or set devices=all, or devices= with a list")) }
}

/// A plain decimal number.
pub fn decimal(word: &str) -> Option<usize> {
    word.bytes().all(|c| c.is_ascii_digit()).then(|| word.parse().ok()).flatten()
}

/// The number at the beginning of a word, as strtol(3) reads it in this base (0: by its prefix), and the rest of the
/// word. A number that is too large becomes the largest one.
pub fn leading_number(word: &str, base: u32) -> Option<(i64, &str)> {
    let word = word.trim_start();
    let (sign, digits) = match word.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, word.strip_prefix('+').unwrap_or(word)),
    };
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (base, digits) = match (base, hexadecimal) {
        (0, Some(rest)) if rest.starts_with(|c: char| c.is_ascii_hexdigit()) => (16, rest),
        (0, _) if digits.starts_with('0') => (8, digits),
        (0, _) => (10, digits),
        _ => (base, digits),
    };
    let end = digits.find(|c: char| !c.is_digit(base)).unwrap_or(digits.len());
    let (number, rest) = digits.split_at_checked(end).filter(|(number, _)| !number.is_empty())?;
    Some((sign * i64::from_str_radix(number, base).unwrap_or(i64::MAX), rest))
}
