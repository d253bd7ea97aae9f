//! A CSV text as records, each with its first line. Pure.

use crate::sanitize;
use csv::{ReaderBuilder, StringRecord, StringRecordsIntoIter};

/// The possible delimiters.
pub const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// A text and its delimiter.
#[derive(Clone, Copy, Debug)]
pub struct CsvTable<'a> {
    text: &'a str,
    /// The delimiter.
    pub delimiter: u8,
}

/// One record.
#[derive(Clone, Debug)]
pub struct CsvRecord {
    /// The first line of the record. The first line of a text is 1.
    pub line: u64,
    cells: StringRecord,
}

impl CsvRecord {
    /// The cell, trimmed. None: the record is shorter.
    pub fn cell(&self, index: usize) -> Option<&str> {
        self.cells.get(index).map(bare)
    }

    /// All cells.
    pub fn cells(&self) -> impl Iterator<Item = &str> {
        self.cells.iter().map(bare)
    }

    /// The number of cells.
    pub fn len(&self) -> usize {
        self.cells.len()
    }
}

/// A cell without spaces around it. Quotes that a space kept are removed too, if they are a pair.
fn bare(cell: &str) -> &str {
    let cell = cell.trim();
    cell.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).map_or(cell, str::trim)
}

/// A cell as a message shows it: in one line, and shortened.
pub fn shown(cell: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = sanitize::text(cell).chars().take(SHOWN).collect();
    if cell.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

impl<'a> CsvTable<'a> {
    /// The table in a text.
    pub fn new(text: &'a str, delimiter: u8) -> Self {
        CsvTable { text, delimiter }
    }

    /// All records that are neither blank nor remarks.
    pub fn records(&self) -> impl Iterator<Item = CsvRecord> + use<'a> {
        let reader = ReaderBuilder::new()
            .delimiter(self.delimiter)
            .has_headers(false)
            .flexible(true)
            .comment(Some(b'#'))
            .from_reader(self.text.as_bytes());
        let records = Records { records: reader.into_records(), lines: Lines { text: self.text, at: 0, line: 1 } };
        records.filter(|record| {
            let is_blank = record.cells().all(str::is_empty);
            !is_blank && !record.cell(0).is_some_and(|first| first.starts_with('#'))
        })
    }

    /// The remarks, which begin with '#', each with its line.
    pub fn remarks(text: &'a str) -> impl Iterator<Item = (u64, &'a str)> {
        (1..).zip(text.lines()).filter_map(|(line, text)| Some((line, text.trim().strip_prefix('#')?)))
    }
}

struct Records<'a> {
    records: StringRecordsIntoIter<&'a [u8]>,
    lines: Lines<'a>,
}

impl Iterator for Records<'_> {
    type Item = CsvRecord;

    fn next(&mut self) -> Option<CsvRecord> {
        // The text is UTF-8 and its records may have any length, so the reader has no errors.
        let cells = self.records.by_ref().find_map(Result::ok)?;
        let from = cells.position().map_or(0, csv::Position::byte);
        Some(CsvRecord { line: self.lines.at(usize::try_from(from).unwrap_or(usize::MAX)), cells })
    }
}

/// Counts the lines before a record. The reader's own count omits lines that it skips before a record.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of the first record that begins at this byte or later.
    fn at(&mut self, from: usize) -> u64 {
        let bytes = self.text.as_bytes();
        let mut is_in_remark = false;
        while let Some(&byte) = bytes.get(self.at) {
            let is_end = matches!(byte, b'\n' | b'\r');
            if self.at >= from {
                let is_line_start = self.at == 0 || matches!(bytes.get(self.at - 1), Some(b'\n' | b'\r'));
                is_in_remark = !is_end && (is_in_remark || (is_line_start && byte == b'#'));
                if !is_end && !is_in_remark {
                    break;
                }
            }
            let is_half = byte == b'\r' && bytes.get(self.at + 1) == Some(&b'\n');
            self.line += u64::from(is_end && !is_half);
            self.at += 1;
        }
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str, delimiter: u8) -> Vec<(u64, Vec<String>)> {
        let record = |record: CsvRecord| (record.line, record.cells().map(str::to_owned).collect());
        CsvTable::new(text, delimiter).records().map(record).collect()
    }

    #[test]
    fn records_have_their_lines() {
        let text = "# one\n\na,b\r\n\r\n# two, \"\n \n1,\"2\n3\"\n,\n4, \"5\" \n  # three\n6\r7,8";
        let of = |line: u64, cells: &[&str]| (line, cells.iter().map(|cell| cell.to_string()).collect::<Vec<_>>());
        let expected =
            [of(3, &["a", "b"]), of(7, &["1", "2\n3"]), of(10, &["4", "5"]), of(12, &["6"]), of(13, &["7", "8"])];
        assert_eq!(records(text, b','), expected);
        assert_eq!(records("a;\"b;c\"\n1;\"say \"\"x\"\"\"", b';')[1].1, ["1", "say \"x\""]);
        assert_eq!(records("a\rb\rc", b',').last().unwrap().0, 3);
    }

    #[test]
    fn remarks_are_found_everywhere() {
        let remarks: Vec<_> = CsvTable::remarks("# a: b\nx,y\n  # c\n").collect();
        assert_eq!(remarks, [(1, " a: b"), (3, " c")]);
    }
}
