//! Text in lines that fit the terminal. No word is broken.

use console::Term;
use std::borrow::Cow;

/// Longest line of help and findings. Longer ones are hard to read.
const MAX_COLUMNS: usize = 100;
/// Shortest line. A narrower terminal breaks lines itself.
const MIN_COLUMNS: usize = 20;

/// Columns for a text on standard output: those of the terminal or of COLUMNS, at most 100.
pub fn columns() -> usize {
    let of_terminal = || Some(usize::from(Term::stdout().size_checked()?.1));
    let of_variable = || std::env::var("COLUMNS").ok()?.parse().ok();
    let known = of_terminal().or_else(of_variable).filter(|columns| *columns > 0);
    known.unwrap_or(MAX_COLUMNS).clamp(MIN_COLUMNS, MAX_COLUMNS)
}

/// A report in lines that fit the terminal on standard error. Anywhere else it is as it was.
pub fn for_terminal(report: &str) -> Cow<'_, str> {
    let width = Term::stderr().size_checked().map(|(_, columns)| usize::from(columns)).filter(|columns| *columns > 0);
    width.map_or(Cow::Borrowed(report), |columns| {
        let most = columns.max(MIN_COLUMNS);
        let lines: Vec<String> = report.lines().map(|line| filled(line, most, hang(line, most))).collect();
        (lines.join("\n") + "\n").into()
    })
}

/// Fills lines of at most `most` characters. Lines of a paragraph are joined first. An indented line stays a line of
/// its own, and its rest is indented below its second column, or a little more than the line.
pub fn wrapped(text: &str, most: usize) -> String {
    let mut paragraphs: Vec<String> = Vec::new();
    let mut is_open = false;
    for line in text.lines() {
        let is_plain = !line.is_empty() && !line.starts_with(' ');
        match paragraphs.last_mut().filter(|_| is_plain && is_open) {
            Some(paragraph) => *paragraph += &format!(" {line}"),
            None => paragraphs.push(line.to_owned()),
        }
        is_open = is_plain;
    }
    let lines: Vec<String> = paragraphs.iter().map(|line| filled(line, most, hang(line, most))).collect();
    lines.join("\n") + if text.ends_with('\n') { "\n" } else { "" }
}

/// Breaks one line into lines of at most `most` characters; all but the first are indented. A longer word keeps its own
/// line.
pub fn filled(line: &str, most: usize, indent: usize) -> String {
    if line.chars().count() <= most {
        return line.to_owned();
    }
    let (mut text, mut column, mut is_first) = (String::new(), 0, true);
    // Spaces are kept within a line, because they align columns.
    for word in line.split(' ') {
        let width = word.chars().count();
        if !is_first && width > 0 && column + 1 + width > most && column > indent {
            text.truncate(text.trim_end_matches(' ').len());
            text += &format!("\n{}", " ".repeat(indent));
            column = indent;
        } else if !is_first {
            text.push(' ');
            column += 1;
        }
        text += word;
        column += width;
        is_first = false;
    }
    text
}

/// The indent of what follows a line's first break: its second column, else four more than its own indent.
fn hang(line: &str, most: usize) -> usize {
    let own = line.len() - line.trim_start_matches(' ').len();
    if own == 0 {
        return 0;
    }
    let second = line.get(own..).and_then(|rest| {
        let gap = rest.find("  ")?;
        let after = rest.get(gap..)?;
        Some(own + rest.get(..gap)?.chars().count() + after.len() - after.trim_start_matches(' ').len())
    });
    second.filter(|column| 2 * column <= most).unwrap_or(own + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_joined_and_filled() {
        let text = "one two\nthree four\n\n  a example\n  b one\nfive";
        assert_eq!(wrapped(text, 100), "one two three four\n\n  a example\n  b one\nfive");
        assert_eq!(wrapped("one two\nthree four\n", 9), "one two\nthree\nfour\n");
        assert_eq!(wrapped("a muchtoolongword b", 5), "a\nmuchtoolongword\nb");
    }

    #[test]
    fn indented_lines_hang_below_their_second_column() {
        let table = "  key   one two three\n  k     four";
        assert_eq!(wrapped(table, 16), "  key   one two\n        three\n  k     four");
        assert_eq!(wrapped("  command with words", 16), "  command with\n      words");
    }

    #[test]
    fn no_line_is_longer_and_no_word_is_lost() {
        let text =
            "Lorem ipsum dolor sit amet, consetetur sadipscing\n  elitr,  sed diam nonumy eirmod tempor invidunt";
        // The longest word and its indent have 14 columns.
        for most in 14..60 {
            let lines = wrapped(text, most);
            assert!(lines.lines().all(|line| line.chars().count() <= most), "{most}: {lines}");
            assert!(lines.split_whitespace().eq(text.split_whitespace()), "{most}: {lines}");
        }
    }
}
