//! Decodes a file: UTF-8, UTF-16 and Latin-1. Files of other kinds are refused by name. Pure.

use std::borrow::Cow;

/// First bytes of other kinds of files that users save as CSV, and the fix for each.
const OTHER_KINDS: [(&[u8], &str); 5] = [
    (b"\x1f\x8b", "is compressed with gzip; unpack it first (gunzip)"),
    (b"BZh", "is compressed with bzip2; unpack it first (bunzip2)"),
    (b"\xfd7zXZ", "is compressed with xz; unpack it first (unxz)"),
    (b"PK\x03\x04", "is a spreadsheet or a zip archive; save it as CSV, or unpack it first"),
    (b"%PDF", "is a PDF document; download the figures as CSV"),
];

/// The text of a file. A byte order mark decides the encoding. Without one it is UTF-8 if the bytes are valid, else
/// Latin-1. Errors: the file is of another kind, or damaged.
pub fn text(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    if let Some((_, what)) = OTHER_KINDS.iter().find(|(start, _)| bytes.starts_with(start)) {
        return Err((*what).to_owned());
    }
    let text = match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => single_bytes(rest),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes)?.into(),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes)?.into(),
        [0, _, 0, _, ..] => utf16(bytes, u16::from_be_bytes)?.into(),
        [_, 0, _, 0, ..] => utf16(bytes, u16::from_le_bytes)?.into(),
        _ => single_bytes(bytes),
    };
    match text.trim_start().chars().next() {
        _ if text.contains('\0') => Err("is binary data; expected a text file of time,g_per_kwh".into()),
        Some('{' | '[') => Err("is JSON, the answer of a service's API, and not a CSV file; save the figures \
            as time,g_per_kwh, or use the service directly (intensity=electricitymaps and others)"
            .into()),
        Some('<') => Err("is a web page or XML, not a CSV file; check whether the download was refused".into()),
        _ => Ok(text),
    }
}

/// Decodes UTF-8 if the bytes are valid, else Latin-1, in which each byte is a character.
fn single_bytes(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().copied().map(char::from).collect::<String>().into(),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, String> {
    let damaged = || "is damaged: it begins as UTF-16 text, but is not complete UTF-16; copy it again".to_owned();
    let pairs = bytes.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err(damaged());
    }
    char::decode_utf16(pairs.flat_map(<[u8; 2]>::try_from).map(unit)).collect::<Result<_, _>>().map_err(|_| damaged())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_decoded_in_each_encoding() {
        let utf16 = |mark: &[u8], unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
            mark.iter().copied().chain("time;gCO₂/kWh\n".encode_utf16().flat_map(unit)).collect()
        };
        for bytes in [
            "time;gCO₂/kWh\n".as_bytes().to_vec(),
            "\u{feff}time;gCO₂/kWh\n".as_bytes().to_vec(),
            utf16(b"\xff\xfe", u16::to_le_bytes),
            utf16(b"\xfe\xff", u16::to_be_bytes),
            utf16(b"", u16::to_le_bytes),
            utf16(b"", u16::to_be_bytes),
        ] {
            assert_eq!(text(&bytes).unwrap(), "time;gCO₂/kWh\n");
        }
        assert_eq!(text(b"CO2-Intensit\xe4t").unwrap(), "CO2-Intensität");
    }

    #[test]
    fn other_kinds_of_files_are_refused_by_name() {
        for (bytes, what) in [
            (&b"\x1f\x8b\x08\0"[..], "gunzip"),
            (b"PK\x03\x04\x14\0", "save it as CSV"),
            (b" {\"zone\": \"DK-DK1\"}", "is JSON"),
            (b"[1]", "is JSON"),
            (b"\xef\xbb\xbf<!doctype html>", "web page"),
            (b"\xff\xfea", "damaged"),
            (b"\xff\xfe\0\xd8", "damaged"),
            (b"time\0\0\0", "binary"),
        ] {
            assert!(text(bytes).unwrap_err().contains(what), "{what}");
        }
        assert_eq!(text(b"").unwrap(), "");
    }
}
