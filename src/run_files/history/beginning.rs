//! Which run a file is of, from its beginning.

use super::{Flaw, RunLabel, damaged, unreadable};
use crate::run_files::journal::{OPENING, VERSION};
use serde_json::{Deserializer, Value};
use std::io::{self, Read};

/// The beginning of a file that is read first, bytes. It holds the opening line of most journals.
const FIRST_BYTES: u64 = 8 << 10;
/// The opening line of a journal, or the section `run` of a report, ends within this many bytes.
const MAX_BYTES: u64 = 256 << 10;
/// Before the section `run` in a report.
const RUN: &[u8] = b"\"run\":";
const SCHEMA: &[u8] = b"\"schema\"";
/// The begin of the line of an epoch in a journal, and of the numbers at its end.
const EPOCH: &[u8] = b"{\"index\":";
const NUMBERS: &[u8] = b",\"so_far\":{";
/// Newest lines of a journal that keep their numbers. The last ones may be torn.
const LINES_WITH_NUMBERS: usize = 8;

/// Before the user's label.
const NAME: &[u8] = b"\"name\":";
/// In a report that was imported from a log, which has no label.
const IMPORTED: &[u8] = b"\"imported\"";

/// The label of the run; None: nothing is written yet, or the run has another name. What was read is added to `text`.
pub fn label(
    file: &mut impl Read,
    is_journal: bool,
    name: Option<&str>,
    text: &mut Vec<u8>,
) -> Result<Option<RunLabel>, Flaw> {
    read(file, FIRST_BYTES, text).map_err(|error| unreadable(&error))?;
    if has_other_name(text, name) { Ok(None) } else { rest_of_label(file, is_journal, text) }
}

/// The same of a run of any name.
pub fn any_label(file: &mut impl Read, is_journal: bool) -> Result<Option<RunLabel>, Flaw> {
    let mut text = Vec::new();
    read(file, FIRST_BYTES, &mut text).map_err(|error| unreadable(&error))?;
    rest_of_label(file, is_journal, &mut text)
}

fn rest_of_label(file: &mut impl Read, is_journal: bool, text: &mut Vec<u8>) -> Result<Option<RunLabel>, Flaw> {
    let of = if is_journal { of_journal } else { of_report };
    match of(text) {
        Err(_) if text.len() as u64 == FIRST_BYTES => {
            read(file, MAX_BYTES - FIRST_BYTES, text).map_err(|error| unreadable(&error))?;
            of(text)
        }
        found => found,
    }
}

fn read(file: &mut impl Read, most: u64, text: &mut Vec<u8>) -> io::Result<()> {
    text.reserve(most.min(FIRST_BYTES) as usize);
    file.take(most).read_to_end(text).map(drop)
}

/// Whether a run has surely another name. This is much faster than reading JSON. The first name in a file is the run's.
fn has_other_name(text: &[u8], name: Option<&str>) -> bool {
    let first = text.split(|byte| *byte == b'\n').next().filter(|line| line.starts_with(OPENING)).unwrap_or(text);
    let Some(at) = position(first, NAME).filter(|_| position(first, IMPORTED).is_none()) else { return false };
    let value = first.get(at + NAME.len()..).unwrap_or_default().trim_ascii_start();
    match name {
        None => value.starts_with(b"\""),
        // Other programs may write other characters in another form.
        Some(name) if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_. ".contains(&byte)) => {
            let rest = value.strip_prefix(b"\"").and_then(|rest| rest.strip_prefix(name.as_bytes()));
            rest.is_none_or(|rest| !rest.starts_with(b"\""))
        }
        Some(_) => false,
    }
}

/// The label in the opening line of a journal.
fn of_journal(text: &[u8]) -> Result<Option<RunLabel>, Flaw> {
    if OPENING.starts_with(text) {
        return Ok(None);
    }
    if !text.starts_with(OPENING) {
        return Err(Flaw::foreign());
    }
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line: Value = serde_json::from_slice(line).map_err(|_| damaged())?;
    match line.get("journal").and_then(Value::as_u64) {
        Some(VERSION) => (),
        Some(version) => {
            let what = format!("it has version {version} of the journal, and this version reads {VERSION}");
            return Err(Flaw::new(what, "update carbontracker"));
        }
        None => return Err(damaged()),
    }
    let number = |name: &str| line.get(name).and_then(Value::as_u64);
    let label = RunLabel::of(line.get("run").unwrap_or(&Value::Null));
    Ok(Some(RunLabel { rank: number("rank"), ranks: number("ranks"), ..label }))
}

/// The label in the section `run` of a report.
fn of_report(text: &[u8]) -> Result<Option<RunLabel>, Flaw> {
    let is_object = text.trim_ascii_start().first() == Some(&b'{');
    let at = position(text, RUN).filter(|_| is_object && position(text, SCHEMA).is_some()).ok_or_else(Flaw::foreign)?;
    let section = text.get(at + RUN.len()..).unwrap_or_default();
    let run = Deserializer::from_slice(section).into_iter::<Value>().next();
    let run = run.and_then(Result::ok).filter(Value::is_object).ok_or_else(damaged)?;
    Ok(Some(RunLabel::of(&run)))
}

fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// A journal without what only its last lines need to have: the numbers so far in each line of an epoch. They are four
/// fifths of its text.
pub fn thinned(text: &[u8]) -> Vec<u8> {
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let whole = lines.len().saturating_sub(LINES_WITH_NUMBERS);
    let mut thin = Vec::with_capacity(text.len() / 4);
    for (n, line) in lines.into_iter().enumerate() {
        match position(line, NUMBERS).filter(|_| n < whole && line.starts_with(EPOCH) && line.ends_with(b"}}\n")) {
            Some(at) => {
                thin.extend_from_slice(line.get(..at).unwrap_or_default());
                thin.extend_from_slice(b"}\n");
            }
            None => thin.extend_from_slice(line),
        }
    }
    thin
}
