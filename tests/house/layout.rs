//! Where things are and how long: folders, files, functions, the opening of each folder, test programs.

use crate::finding::Finding;
use crate::imports;
use crate::prose;
use crate::rust;
use crate::tree::Tree;
use std::collections::BTreeMap;

/// Lines of a file, and of a file of tests.
const FILE_LINES: [usize; 2] = [400, 500];
/// Lines of a function, and of a function of tests.
const FUNCTION_LINES: [usize; 2] = [60, 100];
/// Exceptions, each with its reason.
const ALLOWED: &str = "tests/house/allowed.txt";

const SPLIT: &str =
    "Split it where its parts have names of their own. A reason against it goes into tests/house/allowed.txt.";

/// Files and folders directly in `src`.
pub fn top(tree: &Tree) -> Vec<Finding> {
    let here: Vec<&String> =
        tree.paths.iter().filter(|path| path.strip_prefix("src/").is_some_and(|rest| !rest.contains('/'))).collect();
    let fix = "Put it into the folder of its stage: see ARCHITECTURE.md.";
    if here.is_empty() {
        return vec![Finding::missing("files in src/", "src is missing".into(), fix)];
    }
    let files = here.iter().filter(|path| path.contains('.')).count();
    vec![
        Finding::at_most("files in src/", files, 8, fix),
        Finding::at_most("folders in src/", here.len() - files, 12, fix),
    ]
}

/// Each folder of the order opens with what comes in, what goes out, and what it never does.
pub fn openings(tree: &Tree) -> Finding {
    let mut problems = vec![];
    for folder in imports::ORDER {
        let path = format!("src/{folder}/mod.rs");
        let text = match tree.text(&path) {
            Ok(text) => text,
            Err(why) => {
                problems.push(why);
                continue;
            }
        };
        let opening: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).flat_map(words).collect();
        let lacking: Vec<&str> = ["In:", "Out:", "Never:"].into_iter().filter(|word| !opening.contains(word)).collect();
        if !lacking.is_empty() {
            problems.push(format!("{path} opens without {}", lacking.join(", ")));
        }
    }
    let fix = "Open mod.rs with a `//!` comment: In: ... Out: ... Never: ...";
    Finding::none_of("folders without In, Out, Never", problems, fix)
}

/// The words of a line, without marks of emphasis or lists.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace().map(|word| word.trim_matches(['*', '_', '-']))
}

/// Programs that the tests link.
pub fn test_programs(tree: &Tree) -> Finding {
    let programs: Vec<&str> = ["", "capi/", "cli/"]
        .into_iter()
        .flat_map(|package| tree.texts.keys().filter_map(move |path| path.strip_prefix(&format!("{package}tests/"))))
        .filter(|path| match path.split('/').collect::<Vec<_>>()[..] {
            [file] => file.ends_with(".rs"),
            [_, file] => file == "main.rs",
            _ => false,
        })
        .collect();
    let fix = "Make it a module of the test program of its group.";
    if programs.is_empty() {
        return Finding::missing("test programs", "no test program was found".into(), fix);
    }
    Finding::at_most("test programs", programs.len(), 10, fix)
}

/// Files and functions over their bound, less the exceptions; and exceptions that nothing needs.
pub fn lengths(tree: &Tree) -> Vec<Finding> {
    let (mut exceptions, faults) = match tree.texts.get(ALLOWED) {
        Some(text) => exceptions(text),
        None => (BTreeMap::new(), vec![format!("{ALLOWED} is missing")]),
    };
    let (mut files, mut functions) = (vec![], vec![]);
    for (path, text) in tree.texts.iter().filter(|(path, text)| prose::is_code(path, text)) {
        let lines = text.lines().count();
        let bound = FILE_LINES[usize::from(is_test(tree, path))];
        if lines > excepted(&mut exceptions, path, lines, bound) {
            files.push(format!("{path}: {lines} lines"));
        }
        let Some(file) = tree.code.get(path) else { continue };
        let test_lines = rust::TestLines::of(tree, path);
        for rust::Function { name, line, lines } in rust::functions(file) {
            let bound = FUNCTION_LINES[usize::from(test_lines.hold(line))];
            if lines > excepted(&mut exceptions, &format!("{path}::{name}"), lines, bound) {
                functions.push(format!("{path}:{line} {name}: {lines} lines"));
            }
        }
    }
    let mut stale: Vec<String> =
        exceptions.into_keys().map(|name| format!("{name} is within its bound, or missing")).collect();
    stale.extend(faults);
    vec![
        Finding::none_of("files over 400 lines, of tests 500", files, SPLIT),
        Finding::none_of("functions over 60 lines, of tests 100", functions, SPLIT),
        Finding::none_of("exceptions that nothing needs", stale, "Correct tests/house/allowed.txt: NAME LINES REASON."),
    ]
}

fn is_test(tree: &Tree, path: &str) -> bool {
    tree.tests.contains(path) || path.starts_with("tests/") || path.starts_with("benches/") || path.contains("/test/")
}

/// The bound of a name. An exception counts only for what exceeds the general bound; one that is used is taken out.
fn excepted(exceptions: &mut BTreeMap<String, usize>, name: &str, lines: usize, bound: usize) -> usize {
    if lines <= bound { bound } else { exceptions.remove(name).unwrap_or(bound) }
}

/// Reads lines of the form NAME LINES REASON. A name is a path, or a path and a function with `::` between.
fn exceptions(text: &str) -> (BTreeMap<String, usize>, Vec<String>) {
    let (mut exceptions, mut faults) = (BTreeMap::new(), vec![]);
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.splitn(3, ' ').map(str::trim);
        match (words.next(), words.next().and_then(|lines| lines.parse().ok()), words.next()) {
            (Some(name), Some(lines), Some(reason)) if reason.split(' ').count() > 2 => {
                exceptions.insert(name.to_owned(), lines);
            }
            _ => faults.push(format!("{ALLOWED} has a line without a bound or a reason: {line}")),
        }
    }
    (exceptions, faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(findings: Vec<Finding>) -> Vec<Vec<String>> {
        findings.into_iter().map(|finding| finding.problems).collect()
    }

    #[test]
    fn files_and_folders_of_src_are_counted_apart() {
        let names: Vec<String> = (0..9).map(|at| format!("src/{at}.rs")).collect();
        let mut files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        files.extend([("src/a/b/c.rs", ""), ("src/d/e.rs", "")]);
        let found = top(&Tree::of(&files));
        assert_eq!((found[0].measured.as_str(), found[1].measured.as_str()), ("9", "2"));
        assert_eq!((found[0].problems.len(), found[1].problems.len()), (1, 0));
        assert_eq!(problems(top(&Tree::default())), [["src is missing"]]);
    }

    #[test]
    fn folder_opens_with_in_out_never() {
        let good = "//! Devices.\n//!\n//! In: a device. Out: a reading.\n//! - **Never:** prints.\n\npub mod a;";
        let bad = "//! In: a device.\n//! Out: a reading.\n\n//! Never: prints.";
        let files: Vec<(String, &str)> = imports::ORDER
            .iter()
            .map(|name| (format!("src/{name}/mod.rs"), if *name == "os" { bad } else { good }))
            .collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        assert_eq!(openings(&Tree::of(&files)).problems, ["src/os/mod.rs opens without Never:"]);
        assert_eq!(openings(&Tree::of(&files[1..])).problems, ["src/os/mod.rs is missing"]);
    }

    #[test]
    fn test_programs_of_all_packages_are_counted() {
        let names: Vec<String> = (0..8).map(|at| format!("tests/{at}.rs")).collect();
        let mut files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        files.extend([("tests/a/main.rs", ""), ("tests/a/b.rs", ""), ("tests/c/mod.rs", ""), ("cli/tests/d.rs", "")]);
        assert!(test_programs(&Tree::of(&files)).problems.is_empty());
        files.push(("capi/tests/e/main.rs", ""));
        assert_eq!(test_programs(&Tree::of(&files)).problems, ["11 measured, 10 allowed"]);
        assert!(!test_programs(&Tree::default()).problems.is_empty());
    }

    #[test]
    fn long_files_and_functions_need_a_reason() {
        let long = format!("fn a() {{\n{}}}\n", "b();\n".repeat(400));
        let tested = format!("#[test]\nfn a() {{\n{}}}\n", "b();\n".repeat(90));
        let files = [("src/a.rs", long.as_str()), ("src/b.rs", &tested), ("tests/c.rs", &tested), (ALLOWED, "")];
        assert_eq!(
            problems(lengths(&Tree::of(&files))),
            [vec!["src/a.rs: 402 lines".to_owned()], vec!["src/a.rs:1 a: 402 lines".into()], vec![]]
        );
        let allowed = "# NAME LINES REASON\nsrc/a.rs 402 It is a table.\nsrc/a.rs::a 402 It is one match.\n";
        let files = [("src/a.rs", long.as_str()), (ALLOWED, allowed)];
        assert!(problems(lengths(&Tree::of(&files))).iter().all(Vec::is_empty));
        let files = [("src/a.rs", ""), (ALLOWED, "src/a.rs 450 It is a table.\nsrc/a.rs::a 70\n")];
        assert_eq!(lengths(&Tree::of(&files))[2].problems.len(), 2);
        assert_eq!(lengths(&Tree::default())[2].problems, ["tests/house/allowed.txt is missing"]);
    }
}
