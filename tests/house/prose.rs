//! Finds comments and strings in the languages of this project, line by line.

/// How a language marks its comments and strings.
struct Syntax {
    line: &'static str,
    block: Option<(&'static str, &'static str)>,
    quotes: &'static [char],
    /// Strings may run over several lines, and comments nest, as in Rust.
    is_rust: bool,
    /// A line comment follows white space, as in a shell.
    is_spaced: bool,
    /// A first column of `c`, `C` or `*` makes a comment, as in Fortran 77.
    is_fixed: bool,
}

/// A comment or a string, on one line of a file.
#[derive(Debug, PartialEq)]
pub struct Piece {
    /// From 1.
    pub line: usize,
    /// Whether it is a comment; otherwise it is a string.
    pub is_comment: bool,
    /// The text, without the marks around it.
    pub text: String,
}

fn syntax(path: &str, text: &str) -> Option<Syntax> {
    let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".in");
    let ending = name.rsplit_once('.').map_or(name, |(_, ending)| ending);
    let plain =
        Syntax { line: "#", block: None, quotes: &['"', '\''], is_rust: false, is_spaced: true, is_fixed: false };
    let slashes = Syntax { line: "//", block: Some(("/*", "*/")), is_spaced: false, ..plain };
    Some(match ending {
        "rs" => Syntax { quotes: &['"'], is_rust: true, ..slashes },
        "c" | "h" | "cpp" | "hpp" => slashes,
        "jl" => Syntax { block: Some(("\"\"\"", "\"\"\"")), quotes: &['"'], ..plain },
        "py" => Syntax { block: Some(("\"\"\"", "\"\"\"")), ..plain },
        "lua" | "rockspec" => Syntax { line: "--", block: Some(("--[[", "]]")), is_spaced: false, ..plain },
        "f90" => Syntax { line: "!", is_spaced: false, ..plain },
        "f" => Syntax { line: "!", is_spaced: false, is_fixed: true, ..plain },
        "sh" | "toml" | "yml" | "yaml" | "cmake" | "Makefile" => plain,
        _ if name == "CMakeLists.txt" || text.starts_with("#!") => plain,
        _ => return None,
    })
}

/// Whether a file is in a language whose comments are read.
pub fn is_code(path: &str, text: &str) -> bool {
    syntax(path, text).is_some()
}

/// The comments and strings of a file; none for a language that is not known.
pub fn pieces(path: &str, text: &str) -> Vec<Piece> {
    match syntax(path, text) {
        Some(syntax) => {
            Reader { syntax, rest: text, line: 1, is_line_start: true, after_space: true, found: vec![] }.read()
        }
        None => vec![],
    }
}

struct Reader<'a> {
    syntax: Syntax,
    rest: &'a str,
    line: usize,
    is_line_start: bool,
    after_space: bool,
    found: Vec<Piece>,
}

impl Reader<'_> {
    fn read(mut self) -> Vec<Piece> {
        while let Some(next) = self.rest.chars().next() {
            if self.is_fixed_comment(next) || self.is_line_comment() {
                self.take(true, |rest| rest.find('\n').unwrap_or(rest.len()));
            } else if let Some((open, close)) = self.syntax.block.filter(|(open, _)| self.rest.starts_with(open)) {
                let is_nested = self.syntax.is_rust;
                self.take(true, |rest| block_length(rest, open, close, is_nested));
            } else if let Some(length) = raw_length(self.rest).filter(|_| self.syntax.is_rust) {
                self.take(false, |_| length);
            } else if self.syntax.quotes.contains(&next) {
                let may_wrap = self.syntax.is_rust;
                self.take(false, |rest| string_length(rest, next, may_wrap));
            } else {
                let is_rust_quote = self.syntax.is_rust && next == '\'';
                self.pass(if is_rust_quote { character_length(self.rest) } else { next.len_utf8() });
            }
        }
        self.found
    }

    fn is_fixed_comment(&self, next: char) -> bool {
        self.syntax.is_fixed && self.is_line_start && matches!(next, 'c' | 'C' | '*')
    }

    /// The block's mark may begin with that of a line, as in Lua.
    fn is_line_comment(&self) -> bool {
        let is_block = self.syntax.block.is_some_and(|(open, _)| self.rest.starts_with(open));
        let is_apart = self.after_space || !self.syntax.is_spaced;
        self.rest.starts_with(self.syntax.line) && is_apart && !is_block
    }

    fn take(&mut self, is_comment: bool, length: impl Fn(&str) -> usize) {
        let text = &self.rest[..length(self.rest)];
        for (at, line) in text.split('\n').enumerate() {
            let bare =
                line.trim().trim_start_matches(['/', '!', '*', '#', '-', '"', '[']).trim_end_matches(['"', '*', '/']);
            self.found.push(Piece { line: self.line + at, is_comment, text: bare.trim().to_owned() });
        }
        self.pass(text.len());
    }

    fn pass(&mut self, length: usize) {
        let (passed, rest) = self.rest.split_at(length);
        self.line += passed.matches('\n').count();
        self.is_line_start = passed.ends_with('\n');
        self.after_space = passed.ends_with(char::is_whitespace);
        self.rest = rest;
    }
}

fn block_length(text: &str, open: &str, close: &str, is_nested: bool) -> usize {
    let (mut at, mut depth) = (open.len(), 1);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(close) {
            (at, depth) = (at + close.len(), depth - 1);
            if depth == 0 {
                return at;
            }
        } else if is_nested && rest.starts_with(open) {
            (at, depth) = (at + open.len(), depth + 1);
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a raw string that begins here, as `r#"..."#`.
fn raw_length(text: &str) -> Option<usize> {
    let hashes = text.strip_prefix('r')?.bytes().take_while(|byte| *byte == b'#').count();
    let start = 2 + hashes;
    (text.as_bytes().get(start - 1) == Some(&b'"')).then_some(())?;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(text[start..].find(&close).map_or(text.len(), |at| start + at + close.len()))
}

/// The length of a string that begins here. It ends with its line where the language ends it there.
fn string_length(text: &str, quote: char, may_wrap: bool) -> usize {
    let mut is_escaped = false;
    for (at, next) in text.char_indices().skip(1) {
        if next == '\n' && !may_wrap {
            return at;
        }
        if next == quote && !is_escaped {
            return at + 1;
        }
        is_escaped = next == '\\' && !is_escaped;
    }
    text.len()
}

/// The length of a Rust character, or of a lone quote: that of a lifetime.
fn character_length(text: &str) -> usize {
    let mut rest = text.char_indices().skip(1);
    match (rest.next(), rest.next()) {
        (Some((_, '\\')), Some((_, _))) => text[3..].find('\'').map_or(1, |at| at + 4),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comments(path: &str, text: &str) -> Vec<String> {
        pieces(path, text).into_iter().filter(|piece| piece.is_comment).map(|piece| piece.text).collect()
    }

    #[test]
    fn each_language_has_its_comments() {
        let rust = "//! Top.\nlet a = \"http://x // no\"; // end\n/* one\n * two */\nlet c = '\"'; // three\n/// 'a\n";
        assert_eq!(comments("a.rs", rust), ["Top.", "end", "one", "two", "three", "'a"]);
        assert_eq!(comments("a.rs", "let b = r#\"// \"no\"\"#; let d: &'a str; // yes"), ["yes"]);
        assert_eq!(comments("a.rs", "let b = ['\\'', '\\\\', '\"']; // yes"), ["yes"]);
        assert_eq!(comments("a.h", "/** One. */ int a; // two"), ["One.", "two"]);
        assert_eq!(
            comments("run.sh", "#!/bin/sh\necho \"# no\" ${a#b} $# # yes\n# it's\n"),
            ["/bin/sh", "yes", "it's"].map(|line| line.trim_start_matches('/'))
        );
        assert_eq!(comments("a.lua", "--[[ one\ntwo ]]\nx = '--no' -- three"), ["one", "two ]]", "three"]);
        assert_eq!(comments("a.f90", "print *, '! no' ! yes"), ["yes"]);
        assert_eq!(comments("a.f", "c     one\n      call x()\n* two"), ["c     one", "two"]);
        assert_eq!(comments("a.jl", "\"\"\"\nDoc.\n\"\"\"\nf(x) = x' # end"), ["", "Doc.", "", "end"]);
        assert_eq!(comments("Makefile", "all: a # b\n"), ["b"]);
        assert!(!is_code("data.csv", "# no"));
    }

    #[test]
    fn strings_keep_their_line() {
        let found = pieces("a.rs", "// c\nlet a = \"one \\\" \\\n two\";\nlet b = r\"three\";");
        let strings: Vec<_> = found.iter().filter(|piece| !piece.is_comment).map(|piece| piece.line).collect();
        assert_eq!(strings, [2, 3, 4]);
    }
}
