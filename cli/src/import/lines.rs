//! Decodes a log's bytes into lines with their dates. Pure; any bytes can be read.

use carbontracker::sanitize;
use std::time::UNIX_EPOCH;

/// A line, or the part of a line that begins at a date.
#[derive(Debug, PartialEq)]
pub struct LogLine {
    /// Its number in the file, from 1.
    pub number: usize,
    /// Date and time, if the line begins with them.
    pub at: Option<String>,
    /// The rest of the line, trimmed.
    pub text: String,
}

/// The end of a complete log. Only after it the last line may lack a newline.
const LOG_END: &str = "Monitoring thread ended.";

/// The lines of a file. A last line without a newline is left out: a number in it may lack digits.
pub fn lines(bytes: &[u8]) -> Vec<LogLine> {
    let text = decoded(bytes);
    let mut lines = Vec::new();
    for (place, raw) in text.split_inclusive('\n').enumerate() {
        let is_whole = raw.ends_with('\n') || raw.trim_end().ends_with(LOG_END);
        // A progress bar returns to the start of its line.
        let mut parts = raw.trim_end().split('\r').peekable();
        while let Some(part) = parts.next() {
            let is_whole = is_whole || parts.peek().is_some();
            lines.extend(dated(&sanitize::text(part), place + 1, is_whole));
        }
    }
    lines
}

/// Decodes UTF-8 or UTF-16, with or without a byte order mark.
fn decoded(bytes: &[u8]) -> String {
    let (body, is_little) = match bytes {
        [0xff, 0xfe, body @ ..] => (body, true),
        [0xfe, 0xff, body @ ..] => (body, false),
        [_, 0, _, 0, ..] => (bytes, true),
        [0, _, 0, _, ..] => (bytes, false),
        [0xef, 0xbb, 0xbf, body @ ..] => return String::from_utf8_lossy(body).into_owned(),
        _ => return String::from_utf8_lossy(bytes).into_owned(),
    };
    let unit = |pair: &[u8]| -> u16 {
        let pair = [pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0)];
        if is_little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) }
    };
    let units: Vec<u16> = body.chunks(2).map(unit).collect();
    String::from_utf16_lossy(&units)
}

/// Splits a line at its dates. If a process ended within a line, the next process continues on it: the part before the
/// next date is incomplete and left out.
fn dated(line: &str, number: usize, is_whole: bool) -> Vec<LogLine> {
    let dates: Vec<usize> = line.match_indices(" -").filter_map(|(end, _)| date_before(line, end)).collect();
    let head = line.get(..dates.first().copied().unwrap_or(line.len())).unwrap_or_default();
    let mut parts = Vec::new();
    if dates.is_empty() && is_whole {
        parts.push(LogLine { number, at: None, text: head.trim().to_owned() });
    }
    for (place, start) in dates.iter().enumerate() {
        let end = dates.get(place + 1).copied();
        let part = line.get(*start..end.unwrap_or(line.len())).unwrap_or_default();
        if let (Some((at, text)), true) = (part.split_at_checked(SHAPE.len()), end.is_none() && is_whole) {
            let text = text.trim_start().trim_start_matches('-').trim().to_owned();
            parts.push(LogLine { number, at: Some(at.to_owned()), text });
        }
    }
    parts
}

/// The form of a date; 0 is any digit.
const SHAPE: &[u8] = b"0000-00-00 00:00:00";

/// The start of a date that ends at `end`.
fn date_before(line: &str, end: usize) -> Option<usize> {
    let start = end.checked_sub(SHAPE.len())?;
    let fits = |(&byte, &shape): (&u8, &u8)| if shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
    line.as_bytes().get(start..end)?.iter().zip(SHAPE).all(fits).then_some(start)
}

/// A log's date in seconds. Its time zone is unknown.
pub fn seconds(at: &str) -> Option<f64> {
    let at = humantime::parse_rfc3339_weak(at).ok()?;
    Some(at.duration_since(UNIX_EPOCH).ok()?.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8]) -> Vec<(usize, bool, String)> {
        lines(bytes).into_iter().map(|line| (line.number, line.at.is_some(), line.text)).collect()
    }

    #[test]
    fn line_begins_at_its_date() {
        let text = "\t2026-01-02 03:04:05 - Epoch 1:\n50 %\r70 %\r[0] 2026-01-02 03:04:05 - Duration: 1\n plain \n\
                    2026-01-02 03:04:05 - Dura2026-01-02 03:04:06 - carbontracker version 1.1.6\n2026-01-02 03:04:05,123 - no\nto";
        let expected = [
            (1, true, "Epoch 1:"),
            (2, false, "50 %"),
            (2, false, "70 %"),
            (2, true, "Duration: 1"),
            (3, false, "plain"),
            (4, true, "carbontracker version 1.1.6"),
            (5, false, "2026-01-02 03:04:05,123 - no"),
        ];
        let expected: Vec<_> = expected.iter().map(|(line, dated, text)| (*line, *dated, (*text).to_owned())).collect();
        assert_eq!(shown(text.as_bytes()), expected);
        let wide = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        let (little, big) = (wide(u16::to_le_bytes), wide(u16::to_be_bytes));
        for bytes in [&little, &big, &[&[0xff, 0xfe], &little[..]].concat(), &[&[0xfe, 0xff], &big[..]].concat()] {
            assert_eq!(shown(bytes), expected);
        }
        assert_eq!(shown(&[b"\xef\xbb\xbf", text.as_bytes()].concat()), expected);
    }

    #[test]
    fn last_line_without_newline_is_left_out_unless_the_log_is_complete() {
        assert_eq!(shown(b"2026-01-02 03:04:05 - Duration: 0:00:01.2"), []);
        assert_eq!(shown(b"2026-01-02 03:04:05 - Monitoring thread ended.").len(), 1);
    }
}
