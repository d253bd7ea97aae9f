//! Plain English: the README's length, its sentences, and the words of the dialect that this project left.

use crate::finding::Finding;
use crate::prose::{self, Piece};
use crate::rust;
use crate::tree::Tree;

/// The words and phrases of the dialect.
const DIALECT: [&[&str]; 20] = [
    &["told"],
    &["tells"],
    &["tell"],
    &["says"],
    &["said"],
    &["say"],
    &["so", "many"],
    &["so", "much"],
    &["whom"],
    &["nobody"],
    &["himself"],
    &["comes", "to"],
    &["none", "of", "a"],
    &["goes", "on"],
    &["in", "vain"],
    &["hear", "of"],
    &["hears", "of"],
    &["of", "late"],
    &["to", "be", "had"],
    &["prices"],
];

/// Columns of a comment line in Rust.
const COMMENT_COLUMNS: usize = 120;

/// Where comments count.
const COMMENTED: [&str; 10] =
    ["src", "capi", "cli", "include", "bindings", "tests", "packaging", "Makefile", "CMakeLists.txt", "Cargo.toml"];

/// Where strings are messages that a user reads.
const SPOKEN: [&str; 5] = ["src", "capi", "cli", "include", "bindings"];

/// Comment lines with a word of the dialect, in tenths of a percent.
const COMMENT_BOUND: usize = 5;

const PLAIN: &str = "Write subject, verb, object: a log reports, a caller knows, a function returns. Name the quantity, the \
                     process or the rank.";

/// The dialect's words in a line; inline code is left out.
fn dialect(line: &str) -> Vec<String> {
    let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join(" ").to_lowercase();
    let words: Vec<&str> =
        prose.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '\'').filter(|word| !word.is_empty()).collect();
    let is_there = |phrase: &&[&str]| words.windows(phrase.len()).any(|window| window == *phrase);
    DIALECT.iter().filter(|phrase| is_there(phrase)).map(|phrase| phrase.join(" ")).collect()
}

fn problem(path: &str, piece: &Piece) -> Option<String> {
    let words = dialect(&piece.text);
    (!words.is_empty()).then(|| format!("{path}:{}: \"{}\" in: {}", piece.line, words.join("\", \""), piece.text))
}

/// The share of comment lines with a word of the dialect.
pub fn comments(tree: &Tree) -> Finding {
    let goal = "comment lines in dialect";
    let (mut all, mut problems) = (0, vec![]);
    for (path, text) in COMMENTED.iter().flat_map(|place| tree.under(place)) {
        for piece in prose::pieces(path, text).iter().filter(|piece| piece.is_comment && !piece.text.is_empty()) {
            all += 1;
            problems.extend(problem(path, piece));
        }
    }
    if all == 0 {
        return Finding::missing(goal, "no comment was found".into(), PLAIN);
    }
    let count = problems.len();
    if count * 1000 <= COMMENT_BOUND * all {
        problems.clear();
    }
    let measured = format!("{:.2} % ({count} of {all})", 100. * count as f64 / all as f64);
    Finding { goal, measured, bound: format!("<= {:.1} %", COMMENT_BOUND as f64 / 10.), fix: PLAIN, problems }
}

/// Comment lines of Rust files that are too wide. rustfmt does not wrap comments. Tables and addresses cannot be
/// wrapped.
pub fn comment_columns(tree: &Tree) -> Finding {
    let mut problems = vec![];
    for (path, text) in tree.texts.iter().filter(|(path, _)| path.ends_with(".rs")) {
        let lines: Vec<&str> = text.lines().collect();
        for piece in prose::pieces(path, text).iter().filter(|piece| piece.is_comment) {
            let columns = lines.get(piece.line - 1).map_or(0, |line| line.chars().count());
            let is_raw = piece.text.starts_with('|') || piece.text.contains("://");
            if columns > COMMENT_COLUMNS && !is_raw {
                problems.push(format!("{path}:{}: {columns} columns", piece.line));
            }
        }
    }
    Finding::none_of("comment lines over 120 columns", problems, "Wrap the comment, or move it above the line.")
}

/// Strings of the dialect outside tests. A string of one or two words is a name, not a message.
pub fn messages(tree: &Tree) -> Finding {
    let mut problems = vec![];
    for (path, text) in SPOKEN.iter().flat_map(|place| tree.under(place)) {
        let tests = rust::TestLines::of(tree, path);
        let pieces = prose::pieces(path, text);
        let spoken = pieces.iter().filter(|piece| !piece.is_comment && !tests.hold(piece.line));
        problems
            .extend(spoken.filter(|piece| piece.text.split(' ').count() > 2).filter_map(|piece| problem(path, piece)));
    }
    Finding::none_of("messages in dialect", problems, PLAIN)
}

/// Lines of documents in dialect; blocks of code are left out.
pub fn documents(tree: &Tree) -> Finding {
    let mut problems = vec![];
    for (path, text) in tree.texts.iter().filter(|(path, _)| path.ends_with(".md")) {
        for (line, text) in prose_lines(text) {
            problems.extend(problem(path, &Piece { line, is_comment: true, text: text.trim().to_owned() }));
        }
    }
    Finding::none_of("document lines in dialect", problems, PLAIN)
}

/// The lines of a Markdown document outside its blocks of code, with their numbers.
pub fn prose_lines(document: &str) -> Vec<(usize, &str)> {
    let mut is_code = false;
    let mut lines = vec![];
    for (at, line) in document.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            lines.push((at + 1, line));
        }
    }
    lines
}

/// The README's lines, words, and words a sentence.
pub fn readme(tree: &Tree) -> Vec<Finding> {
    let fix = "Move details to docs/src; the README holds what, install, one program, limits and links.";
    let text = match tree.text("README.md") {
        Ok(text) => text,
        Err(why) => return vec![Finding::missing("README", why, fix)],
    };
    let lengths = sentence_lengths(text);
    let mean = lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64;
    let problem = format!("{mean:.1} words a sentence; the longest has {}", lengths.iter().max().unwrap_or(&0));
    vec![
        Finding::at_most("README lines", text.lines().count(), 150, fix),
        Finding::at_most("README words", text.split_whitespace().count(), 1200, fix),
        Finding {
            goal: "README words a sentence",
            measured: format!("{mean:.1}"),
            bound: "<= 15, mean".into(),
            fix: "One idea a sentence: split the long ones.",
            problems: if mean > 15. || lengths.is_empty() { vec![problem] } else { vec![] },
        },
    ]
}

/// Words of each sentence. Headings, tables, code, pictures and HTML are no sentences.
fn sentence_lengths(document: &str) -> Vec<usize> {
    let mut blocks = vec![String::new()];
    for (_, line) in prose_lines(document) {
        let line = line.trim().trim_start_matches("> ");
        let is_other = ["#", "|", "<", "![", "[!["].iter().any(|mark| line.starts_with(mark));
        let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_item = ["- ", "* ", "+ "].iter().any(|mark| line.starts_with(mark))
            || number.len() < line.len() && number.starts_with(". ");
        if line.is_empty() || is_other || is_item {
            blocks.push(String::new());
        }
        if let Some(block) = blocks.last_mut().filter(|_| !is_other) {
            *block += &format!("{} ", if is_item { line.split_once(' ').map_or("", |(_, text)| text) } else { line });
        }
    }
    blocks.iter().flat_map(|block| lengths_in(block)).collect()
}

fn lengths_in(block: &str) -> Vec<usize> {
    let (mut lengths, mut words) = (vec![], 0);
    for word in block.split_whitespace() {
        words += usize::from(word.contains(char::is_alphanumeric));
        let is_short = ["e.g.", "i.e.", "etc.", "vs."].contains(&word);
        if word.trim_end_matches([')', '"', '*', '_', '`']).ends_with(['.', '!', '?']) && !is_short && words > 0 {
            lengths.push(std::mem::take(&mut words));
        }
    }
    lengths.extend((words > 0).then_some(words));
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialect_is_found_as_words_and_phrases_outside_code() {
        assert_eq!(dialect("It is SAID once, so\tmany times."), ["said", "so many"]);
        assert!(dialect("an essay, `say()` and storytellers; so it has many").is_empty());
        assert_eq!(dialect("what it comes to is none of a journal's"), ["comes to", "none of a"]);
        assert_eq!(
            dialect("It goes on in vain, and is to be had of late."),
            ["goes on", "in vain", "of late", "to be had"]
        );
    }

    #[test]
    fn wide_comments_are_found_but_no_wide_code_tables_and_addresses() {
        let wide = "word ".repeat(25);
        let code = format!(
            "// {wide}\nfn a() {{}} // {wide}\nconst B: &str = \"// {wide}\";\n/// | {wide}|\nfn c() {{}}\n// https://x.y/{wide}\n"
        );
        let found = comment_columns(&Tree::of(&[("src/a.rs", &code), ("bindings/a.c", &code)])).problems;
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("src/a.rs:1: ") && found[1].starts_with("src/a.rs:2: "), "{found:?}");
    }

    #[test]
    fn few_comments_in_dialect_are_allowed_and_many_are_not() {
        let few = "// A good line.\n".repeat(399) + "// It is told.\n// It is told.\n";
        let many = few.clone() + "// It is told.\n";
        assert!(comments(&Tree::of(&[("src/a.rs", &few)])).problems.is_empty());
        let found = comments(&Tree::of(&[("src/a.rs", &many)]));
        assert_eq!(found.problems.len(), 3);
        assert!(found.problems[0].starts_with("src/a.rs:400: \"told\""), "{}", found.problems[0]);
        assert!(!comments(&Tree::of(&[("bindings/a.lua", "-- Nobody is told.")])).problems.is_empty());
        assert!(!comments(&Tree::default()).problems.is_empty());
    }

    #[test]
    fn messages_in_dialect_are_found_outside_tests() {
        let code = "fn a() { f(\"the disk is full: said once\"); g(\"tell\") }\n#[cfg(test)]\nmod tests {\n const A: &str = \"it was told so\";\n}";
        let found =
            messages(&Tree::of(&[("cli/src/main.rs", code), ("src/a/tests.rs", "const B: &str = \"it is told\";")]));
        assert_eq!(found.problems.len(), 1, "{:?}", found.problems);
        assert!(found.problems[0].starts_with("cli/src/main.rs:1: "));
    }

    #[test]
    fn documents_in_dialect_are_found_outside_code() {
        let text = "# Title\nIt says no.\n```sh\nsay yes\n```\nUse `tell`.\n";
        let found = documents(&Tree::of(&[("docs/src/a.md", text)]));
        assert_eq!(found.problems.len(), 1);
        assert!(found.problems[0].starts_with("docs/src/a.md:2: "));
    }

    #[test]
    fn sentences_are_counted_in_prose_and_items_only() {
        let text = "# A heading of many words.\n\nOne two three. Four (five)\nsix, e.g. seven.\n\n- eight nine\n- ten\n\n| a | b |\n\n```c\nint no;\n```\n";
        assert_eq!(sentence_lengths(text), [3, 5, 2, 1]);
    }

    #[test]
    fn readme_that_is_long_or_missing_fails() {
        let long = "one two three four five six seven eight nine ten 11 12 13 14 15 16\n".repeat(151);
        let found = readme(&Tree::of(&[("README.md", &long)]));
        assert!(found.iter().all(|finding| finding.problems.len() == 1));
        let good = readme(&Tree::of(&[("README.md", "Short and good.\n")]));
        assert!(good.iter().all(|finding| finding.problems.is_empty()));
        assert_eq!(readme(&Tree::default())[0].problems, ["README.md is missing"]);
    }
}
