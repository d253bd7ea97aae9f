//! Tables as text and as Markdown: the first column to the left, the others to the right. Pure.

/// Aligns rows in columns.
pub fn text<const N: usize>(rows: &[[String; N]]) -> String {
    let wide = |text: &str| console::measure_text_width(text);
    let mut widths = [0; N];
    for row in rows {
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = wide(cell).max(*width));
    }
    let mut text = String::new();
    for row in rows {
        for (n, (cell, width)) in row.iter().zip(widths).enumerate() {
            let space = " ".repeat(width - wide(cell));
            text += &if n == 0 { format!("{cell}{space}") } else { format!("  {space}{cell}") };
        }
        text.push('\n');
    }
    text
}

/// The rows in GitHub's Markdown; the first row is the head. A cell must have no bar and no end of line: see `code`.
pub fn markdown<const N: usize>(rows: &[[String; N]]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = String::new();
    for (n, row) in rows.iter().enumerate() {
        text += &line(row);
        if n == 0 {
            text += &format!("| --- |{}\n", " ---: |".repeat(N.saturating_sub(1)));
        }
    }
    text
}

/// A text as code in Markdown. None of its characters has a meaning, and a name such as @user notifies no one.
///
/// Within backticks, a table cannot keep a bar behind a backslash: that is read as a backslash and the end of the cell.
/// So a text with a bar, a backtick or an end of line is HTML, with each sign as a character reference.
pub fn code(text: &str) -> String {
    if !text.trim().is_empty() && !text.contains(|c: char| matches!(c, '|' | '`') || c.is_control()) {
        return format!("`{text}`");
    }
    let one = |c: char| match c {
        c if c.is_control() => " ".into(),
        c if c.is_ascii_punctuation() => format!("&#{};", u32::from(c)),
        c => c.to_string(),
    };
    format!("<code>{}</code>", text.chars().map(one).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn columns_are_aligned_and_code_keeps_the_table() {
        let rows = [["a", "10"], ["bcd", "2"]].map(|row| row.map(str::to_owned));
        assert_eq!(text(&rows), "a    10\nbcd   2\n");
        assert_eq!(markdown(&rows), "| a | 10 |\n| --- | ---: |\n| bcd | 2 |\n");
        assert_eq!(code("a_b\\@c"), "`a_b\\@c`");
        assert_eq!(code("a|`b"), "<code>a&#124;&#96;b</code>");
    }

    /// Splits a row as cmark-gfm does: a backslash takes the next sign along, and `\|` then loses its backslash.
    fn cells(row: &str) -> Vec<String> {
        let (mut cells, mut signs) = (vec![String::new()], row.chars());
        while let Some(sign) = signs.next() {
            match (sign, cells.last_mut()) {
                ('|', _) => cells.push(String::new()),
                ('\\', Some(cell)) => {
                    cell.push(sign);
                    cell.extend(signs.next());
                }
                (_, Some(cell)) => cell.push(sign),
                (_, None) => (),
            }
        }
        cells.iter().map(|cell| cell.replace("\\|", "|").trim().to_owned()).collect()
    }

    /// The text of a cell that `code` made.
    fn read(cell: &str) -> String {
        let Some(html) = cell.strip_prefix("<code>").and_then(|rest| rest.strip_suffix("</code>")) else {
            return cell.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')).expect("code").to_owned();
        };
        let mut parts = html.split("&#");
        let mut text = parts.next().expect("a part").to_owned();
        for part in parts {
            let (number, rest) = part.split_once(';').expect("a reference");
            text.extend(number.parse().ok().and_then(char::from_u32));
            text += rest;
        }
        text
    }

    proptest! {
        #[test]
        fn code_is_one_cell_with_the_same_text(text in r#"[a\\|`"'#%&_=<>*\[\]{}~$@!ä\n\r -]{0,12}"#) {
            let table = markdown(&[["a".to_owned(), "b".to_owned()], [code(&text), code(&text)]]);
            let rows: Vec<&str> = table.lines().collect();
            prop_assert_eq!(rows.len(), 3);
            let cells = cells(rows[2]);
            prop_assert_eq!(cells.len(), 4, "{}", rows[2]);
            let expected = text.replace(char::is_control, " ");
            prop_assert_eq!([read(&cells[1]), read(&cells[2])], [expected.clone(), expected]);
        }
    }
}
