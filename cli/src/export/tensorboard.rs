//! An event file of TensorBoard: scalars for each epoch. Pure.
//!
//! The file is a TFRecord of Event messages. An Event has five fields here, which are encoded by hand: a library for
//! protocol buffers would bring a code generator.

use super::exported_run::ExportedRun;
use carbontracker::units::J_PER_KWH;
use crc::{CRC_32_ISCSI, Crc};
use serde_json::Value;

/// CRC-32C, the checksum of TFRecord.
const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
const J_PER_WH: f64 = J_PER_KWH / 1e3;

/// The scalars of one epoch.
struct EpochScalars {
    /// The number of the epoch, from 1. A row of several epochs has the number of its last one.
    step: u64,
    /// When it ended, s since 1970.
    wall_time: f64,
    /// Name and value.
    values: Vec<(&'static str, f64)>,
}

/// The name of the file in its folder. TensorBoard reads only names with "tfevents".
pub fn file_name(run: &ExportedRun) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    let host = run.entry.host.as_deref().unwrap_or("unknown");
    let host: String = host.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let id: String = run.entry.id.chars().filter(|c| is_plain(*c)).collect();
    format!("events.out.tfevents.{:.0}.{host}.{id}", run.entry.from.unwrap_or(0.0))
}

/// The content of the file. An error: the run has no epochs, or no date.
pub fn events(run: &ExportedRun) -> Result<Vec<u8>, String> {
    let scalars = epochs(run).filter(|epochs| !epochs.is_empty()).ok_or(
        "the run has no finished epoch, or its date is unknown; a curve needs epochs; nothing is exported; mark epochs, \
         or use --mark with 'carbontracker run'",
    )?;
    let begin = scalars.first().map_or(0.0, |first| first.wall_time);
    let mut file = record(&[double(1, begin), bytes(3, b"brain.Event:2")].concat());
    for EpochScalars { step, wall_time, values } in &scalars {
        let values = values.iter().map(|(name, value)| {
            let tag = format!("carbontracker/{name}");
            bytes(1, &[bytes(1, tag.as_bytes()), float(2, *value as f32)].concat())
        });
        let summary = values.collect::<Vec<_>>().concat();
        file.extend(record(&[double(1, *wall_time), varint_field(2, *step), bytes(5, &summary)].concat()));
    }
    Ok(file)
}

/// The epochs of the report. Their dates are counted back from the last end, with equal pauses between them.
fn epochs(run: &ExportedRun) -> Option<Vec<EpochScalars>> {
    let rows = run.list("/epochs");
    let field = |row: &Value, name: &str| row.get(name).and_then(Value::as_f64);
    let count = |row: &Value| row.get("count").and_then(Value::as_u64).unwrap_or(1).max(1);
    let all = rows.iter().map(count).fold(0, u64::saturating_add);
    let pauses_s = run.number("/usage/between/duration_s").unwrap_or(0.0);
    let pause_s = if all > 1 { pauses_s / (all - 1) as f64 } else { 0.0 };
    let mut end = run.entry.to?;
    let mut scalars = Vec::new();
    for row in rows.iter().rev() {
        let (count, duration_s) = (count(row), field(row, "duration_s"));
        let mean = |name: &str| Some(field(row, name)? / count as f64);
        let power_w = field(row, "energy_j").zip(duration_s).map(|(joules, seconds)| joules / seconds);
        let values = [
            ("energy_wh", mean("energy_j").map(|joules| joules / J_PER_WH)),
            ("co2eq_g", mean("co2eq_g")),
            ("duration_s", mean("duration_s")),
            ("power_w", power_w),
        ];
        let values =
            values.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| value.is_finite())?)));
        let step = row.get("index").and_then(Value::as_u64)?.checked_add(count)?;
        scalars.push(EpochScalars { step, wall_time: end, values: values.collect() });
        end -= duration_s? + pause_s * count as f64;
    }
    scalars.reverse();
    Some(scalars)
}

/// A record: length, its checksum, content, its checksum.
fn record(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), content, &masked(content)].concat()
}

/// The masked checksum of TFRecord.
fn masked(content: &[u8]) -> [u8; 4] {
    const MASK: u32 = 0xa282_ead8;
    CRC32C.checksum(content).rotate_right(15).wrapping_add(MASK).to_le_bytes()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A field's key: its number and its wire type.
fn key(field: u64, wire_type: u64) -> Vec<u8> {
    varint(field << 3 | wire_type)
}

fn varint_field(field: u64, number: u64) -> Vec<u8> {
    [key(field, 0), varint(number)].concat()
}

fn double(field: u64, number: f64) -> Vec<u8> {
    [key(field, 1), number.to_le_bytes().to_vec()].concat()
}

fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
    [key(field, 2), varint(content.len() as u64), content.to_vec()].concat()
}

fn float(field: u64, number: f32) -> Vec<u8> {
    [key(field, 5), number.to_le_bytes().to_vec()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_and_numbers_are_those_of_the_format() {
        // The header record of a file that TensorFlow wrote: 24 bytes.
        assert_eq!(masked(&24u64.to_le_bytes()), [0xa3, 0x7f, 0x4b, 0x22]);
        assert_eq!([0, 1, 127, 128, 300].map(varint), [vec![0], vec![1], vec![127], vec![128, 1], vec![0xac, 2]]);
    }
}
