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

/// The rows in GitHub's Markdown; the first row is the head. The cells must have no bar of their own.
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
pub fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'").replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_code_keeps_the_table() {
        let rows = [["a", "10"], ["bcd", "2"]].map(|row| row.map(str::to_owned));
        assert_eq!(text(&rows), "a    10\nbcd   2\n");
        assert_eq!(markdown(&rows), "| a | 10 |\n| --- | ---: |\n| bcd | 2 |\n");
        assert_eq!(code("a|b`@c"), "`a\\|b'@c`");
    }
}
