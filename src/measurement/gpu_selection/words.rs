//! What the lists of all runtimes are made of: words between commas, and numbers as C reads them.

use super::Absence;
use crate::sanitize;

/// No node has as many GPUs, or parts of GPUs.
pub const MOST: usize = 1024;
/// More words than this are not read.
pub const MOST_WORDS: usize = 1024;

/// A text as a message shows it: in one line, and short.
pub fn shown(value: &str) -> String {
    const LONGEST: usize = 80;
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => sanitize::text(value.get(..end).unwrap_or_default()) + "…",
        None => sanitize::text(value),
    }
}

/// A variable with its value, as a message shows it.
pub fn said(name: &str, value: &str) -> String {
    format!("{name}={}", shown(value))
}

/// Whether a value is not empty.
pub fn is_given(value: &str) -> bool {
    !value.is_empty()
}

/// The words between commas.
pub fn words(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').take(MOST_WORDS)
}

/// A value that its own program cannot read either, or that does not determine which of its GPUs are meant.
pub fn unreadable(name: &str, value: &str, why: &str, cure: &str) -> Absence {
    let reason = format!(
        "{} cannot be read ({why}): no GPU of this vendor is counted, as this job's are unknown",
        said(name, value)
    );
    Absence { reason, cure: Some(format!("{cure}; or set devices=all, or devices= with a list")) }
}

/// A plain decimal number.
pub fn decimal(word: &str) -> Option<usize> {
    word.bytes().all(|c| c.is_ascii_digit()).then(|| word.parse().ok()).flatten()
}

/// The number that a word begins with, as strtol(3) reads it in this base (0: by its prefix), and what follows it.
/// A number that is too large is the largest.
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
