//! Finds the lines of a program's output that mark the begin of an epoch. Pure.

use memchr::{memchr, memmem};
use regex::bytes::Regex;

/// Finds the lines that are marks, in a stream that arrives in pieces.
pub enum Marks {
    /// Lines that contain a text.
    Text(Box<TextMarks>),
    /// Lines that a pattern matches.
    Pattern(PatternMarks),
}

impl Marks {
    /// Takes the next piece. Returns the number of lines found in it.
    pub fn take(&mut self, piece: &[u8]) -> u64 {
        match self {
            Marks::Text(marks) => marks.take(piece),
            Marks::Pattern(marks) => marks.take(piece),
        }
    }
}

/// Finds lines that a pattern matches. A line counts when it ends. Its first [`MAX_LINE_BYTES`] are compared.
pub struct PatternMarks {
    pattern: Regex,
    line: Vec<u8>,
}

/// The most bytes of a line that are compared with a pattern.
const MAX_LINE_BYTES: usize = 64 << 10;

impl PatternMarks {
    /// Makes a finder.
    pub fn new(pattern: Regex) -> PatternMarks {
        PatternMarks { pattern, line: Vec::new() }
    }

    fn take(&mut self, piece: &[u8]) -> u64 {
        let mut found = 0;
        for part in piece.split_inclusive(|&byte| byte == b'\n') {
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            let room = MAX_LINE_BYTES.saturating_sub(self.line.len());
            self.line.extend(text.iter().take(room));
            if text.len() < part.len() {
                // On a pseudo-terminal a line ends with two characters.
                found += u64::from(self.pattern.is_match(self.line.strip_suffix(b"\r").unwrap_or(&self.line)));
                self.line.clear();
            }
        }
        found
    }
}

/// Finds lines that contain a text.
pub struct TextMarks {
    text: memmem::Finder<'static>,
    /// The end of the bytes so far, shorter than the text.
    tail: Vec<u8>,
    /// The current line is counted already: its rest is skipped.
    is_found: bool,
}

impl TextMarks {
    /// Makes a finder. The text has no newline.
    pub fn new(text: &str) -> TextMarks {
        TextMarks { text: memmem::Finder::new(text).into_owned(), tail: Vec::new(), is_found: false }
    }

    /// Takes the next piece. Returns the number of lines found in it. A line counts as soon as its text is complete.
    pub fn take(&mut self, mut piece: &[u8]) -> u64 {
        let mut found = 0;
        loop {
            if self.is_found {
                let Some(end) = memchr(b'\n', piece) else { return found };
                piece = piece.get(end + 1..).unwrap_or_default();
                self.is_found = false;
            }
            let Some(end) = self.find(piece) else { return found };
            piece = piece.get(end..).unwrap_or_default();
            self.is_found = true;
            found += 1;
        }
    }

    /// The place in the piece where the text ends. If it is not found, keeps the piece's end for the next call.
    fn find(&mut self, piece: &[u8]) -> Option<usize> {
        let length = self.text.needle().len();
        let kept = self.tail.len();
        self.tail.extend(piece.iter().take(length - 1));
        if let Some(at) = self.text.find(&self.tail) {
            self.tail.clear();
            return Some(at + length - kept);
        }
        if let Some(at) = self.text.find(piece) {
            self.tail.clear();
            return Some(at + length);
        }
        if piece.len() >= length {
            self.tail.clear();
            self.tail.extend(piece.iter().skip(piece.len() + 1 - length));
        } else {
            self.tail.drain(..(self.tail.len() + 1).saturating_sub(length));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn count(text: &str, pieces: &[&[u8]]) -> u64 {
        let mut marks = TextMarks::new(text);
        pieces.iter().map(|piece| marks.take(piece)).sum()
    }

    #[test]
    fn pattern_is_compared_with_whole_lines() {
        let count = |pieces: &[&[u8]]| -> u64 {
            let mut marks = PatternMarks::new(Regex::new(r"^epoch [0-9]+$").unwrap());
            pieces.iter().map(|piece| marks.take(piece)).sum()
        };
        assert_eq!(count(&[b"epoch 1\r\nepoch x\nan epoch 2\nepoch 12\n"]), 2);
        assert_eq!(count(&[b"ep", b"och 1", b"2\nepoch 3"]), 1, "the last line has not ended");
        assert_eq!(count(&[&vec![b'x'; MAX_LINE_BYTES + 9][..], b"\nepoch 1\n"]), 1);
    }

    #[test]
    fn line_counts_once_however_it_arrives() {
        assert_eq!(count("epoch", &[b"epoch 1\nepoch 2 epoch 2\nno\nepoch"]), 3);
        assert_eq!(count("epoch", &[b"ep", b"o", b"ch 1 ep", b"och 1\nepo", b"ch 2"]), 2);
        assert_eq!(count("e", &[b"eee\ne", b"e", b"\ne"]), 3);
        assert_eq!(count("epoch", &[b"epo\nch", b"epo", b"\nch"]), 0);
        assert_eq!(count("aab", &[b"aa", b"aab"]), 1);
    }

    #[test]
    fn line_counts_before_its_end_arrives() {
        let mut marks = TextMarks::new("epoch");
        assert_eq!([marks.take(b"an epo"), marks.take(b"ch"), marks.take(b" more\n")], [0, 1, 0]);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(bytes in "[ab\n]{0,60}", text in "[ab]{1,4}", cuts in prop::collection::vec(0usize..60, 0..8)) {
            let expected = bytes.split('\n').filter(|line| line.contains(&text)).count() as u64;
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes.as_bytes()[pair[0]..pair[1]]).collect();
            prop_assert_eq!(count(&text, &pieces), expected);
        }
    }
}
