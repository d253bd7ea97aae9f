//! The page of languages names only calls that each language has.

use crate::install_tree::checkout;

/// The sources of each column of the page, in its order.
const SOURCES: [(&str, &[&str]); 8] = [
    ("C", &["include/carbontracker.h"]),
    ("C++", &["bindings/cpp/carbontracker.hpp", "include/carbontracker.h"]),
    (
        "Julia",
        &[
            "bindings/julia/src/CarbonTracker.jl",
            "bindings/julia/src/phases.jl",
            "bindings/julia/src/report.jl",
            "bindings/julia/src/library.jl",
            "bindings/julia/src/tracker.jl",
        ],
    ),
    ("Lua", &["bindings/lua/carbontracker.lua"]),
    ("Fortran", &["bindings/fortran/src/carbontracker.f90"]),
    ("FORTRAN 77", &["capi/src/fortran77.rs"]),
    ("Python", &["bindings/python/libcarbontracker/__init__.py", "bindings/python/libcarbontracker/keras.py"]),
    (
        "Rust",
        &[
            "src/tracker/mod.rs",
            "src/tracker/phases.rs",
            "src/tracker/reports.rs",
            "src/error.rs",
            "src/options/mod.rs",
        ],
    ),
];

/// Whether the text has this name as a whole word.
fn has_word(text: &str, name: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(name)
        .any(|(at, _)| !is_part(text[..at].chars().next_back()) && !is_part(text[at + name.len()..].chars().next()))
}

/// Whether the code of this language defines the name. Comments do not count.
fn defines(language: &str, text: &str, name: &str) -> bool {
    const COMMENTS: [&str; 6] = ["//", "*", "/*", "#", "--", "!"];
    let code: Vec<&str> =
        text.lines().filter(|line| !COMMENTS.iter().any(|mark| line.trim_start().starts_with(mark))).collect();
    let before: &[&str] = match language {
        "Rust" => &["fn ", "struct ", "enum "],
        "Python" => &["def ", "class ", "self."],
        "Lua" => &["function Tracker:", "function ct."],
        _ => return code.iter().any(|line| has_word(line, name)),
    };
    let is_constant = name.starts_with("CT_");
    code.iter().any(|line| {
        before.iter().any(|head| line.contains(&format!("{head}{name}"))) || is_constant && has_word(line, name)
    })
}

#[test]
fn page_of_languages_names_calls_that_exist() {
    let page = std::fs::read_to_string(checkout("docs/src/reference/languages.md")).unwrap();
    let table = page.split("## Calls").nth(1).and_then(|rest| rest.split("\n\n").nth(1)).expect("the table");
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let mut lines = table.lines();
    let heads = cells(lines.next().expect("a head"));
    assert_eq!(heads[1..], SOURCES.map(|(language, _)| language.to_owned()));
    let texts = SOURCES.map(|(_, files)| {
        files.iter().map(|file| std::fs::read_to_string(checkout(file)).unwrap()).collect::<String>()
    });
    let mut checked = 0;
    for line in lines.skip(1) {
        let row = cells(line);
        assert_eq!(row.len(), heads.len(), "{line}");
        for (cell, (text, language)) in row[1..].iter().zip(texts.iter().zip(&heads[1..])) {
            assert!(!cell.is_empty(), "{language}: {line}");
            for code in cell.split('`').skip(1).step_by(2).filter(|code| !code.starts_with("t[")) {
                let name = code.split('(').next().unwrap_or(code).trim_start_matches('@');
                assert!(defines(language, text, name.trim_end_matches('!')), "{language} has no {code}");
                checked += 1;
            }
        }
    }
    assert!(checked > 100, "{checked} names");
    // Each note of the table is explained.
    for note in 1..=8 {
        assert!(page.contains(&format!("({note})")) && page.contains(&format!("\n{note}. ")), "note {note}");
    }
}
