//! Makes a new input from the seeds of a target. The same number always gives the same input.

use fastrand::Rng;

/// Longest input, bytes.
pub const MAX_BYTES: usize = 1 << 16;
/// Texts that are at the edge of what a parser takes.
const EDGES: [&str; 24] = [
    "0",
    "-0",
    "-1",
    "1e308",
    "-1e308",
    "1e-320",
    "NaN",
    "inf",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775807",
    "4294967296",
    "0.1",
    "null",
    "true",
    "{}",
    "[]",
    "\"\"",
    "\0",
    "\u{202e}",
    "é",
    "\r\n",
    "\n",
    ",",
];

/// The mutation of a seed. It changes up to eight places.
pub fn mutated(seeds: &[Vec<u8>], tokens: &[&str], random: &mut Rng) -> Vec<u8> {
    let pick = |random: &mut Rng| random.choice(seeds).cloned().unwrap_or_default();
    let mut input = pick(random);
    for _ in 0..random.usize(1..=8) {
        match random.u8(0..10) {
            0 => flip(&mut input, random),
            1 => set(&mut input, random),
            2 => remove(&mut input, random),
            3 => repeat(&mut input, random),
            4 => splice(&mut input, &pick(random), random),
            5 => number(&mut input, random),
            6 => insert(&mut input, random.choice(EDGES).unwrap_or_default().as_bytes(), random),
            7 => swap_lines(&mut input, random),
            8 => input.truncate(random.usize(0..=input.len())),
            _ => insert(&mut input, random.choice(tokens).copied().unwrap_or_default().as_bytes(), random),
        }
        input.truncate(MAX_BYTES);
    }
    input
}

/// A place in the input, or its end.
fn place(input: &[u8], random: &mut Rng) -> usize {
    random.usize(0..=input.len())
}

/// The start and the end of a part. Most parts are short.
fn part(input: &[u8], random: &mut Rng) -> (usize, usize) {
    let start = place(input, random);
    let longest = if random.bool() { 16 } else { input.len() };
    (start, (start + random.usize(0..=longest)).min(input.len()))
}

fn flip(input: &mut [u8], random: &mut Rng) {
    if let Some(byte) = random.choice(input.iter_mut()) {
        *byte ^= 1 << random.u8(0..8);
    }
}

fn set(input: &mut [u8], random: &mut Rng) {
    let new = random.u8(..);
    if let Some(byte) = random.choice(input.iter_mut()) {
        *byte = new;
    }
}

fn remove(input: &mut Vec<u8>, random: &mut Rng) {
    let (start, end) = part(input, random);
    input.drain(start..end);
}

fn repeat(input: &mut Vec<u8>, random: &mut Rng) {
    let (start, end) = part(input, random);
    let part = input[start..end].to_vec();
    let times = if random.u8(0..16) == 0 { random.usize(1..=64) } else { 1 };
    for _ in 0..times {
        insert(input, &part, random);
    }
}

fn splice(input: &mut Vec<u8>, other: &[u8], random: &mut Rng) {
    let (start, end) = part(input, random);
    let (from, to) = part(other, random);
    input.splice(start..end, other[from..to].iter().copied());
}

/// Replaces a number in the text by another one.
fn number(input: &mut Vec<u8>, random: &mut Rng) {
    let is_part = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    let start = (0..input.len()).cycle().skip(place(input, random)).take(input.len()).find(|&at| is_part(input[at]));
    let Some(start) = start else { return };
    let end = input[start..].iter().position(|&byte| !is_part(byte)).map_or(input.len(), |length| start + length);
    let new = match random.u8(0..4) {
        0 => random.choice(EDGES).unwrap_or_default().to_owned(),
        1 => random.u64(..).to_string(),
        2 => random.i64(-100..100).to_string(),
        _ => f64::from_bits(random.u64(..)).to_string(),
    };
    input.splice(start..end, new.into_bytes());
}

fn insert(input: &mut Vec<u8>, text: &[u8], random: &mut Rng) {
    if input.len() + text.len() <= MAX_BYTES {
        let at = place(input, random);
        input.splice(at..at, text.iter().copied());
    }
}

fn swap_lines(input: &mut Vec<u8>, random: &mut Rng) {
    let mut lines: Vec<&[u8]> = input.split_inclusive(|&byte| byte == b'\n').collect();
    if lines.len() > 1 {
        let (a, b) = (random.usize(0..lines.len()), random.usize(0..lines.len()));
        lines.swap(a, b);
        *input = lines.concat();
    }
}
