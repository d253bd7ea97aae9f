//! The reference names every option, status, function and subcommand, and no link is broken.

use crate::finding::Finding;
use crate::language;
use crate::tree::Tree;
use std::collections::BTreeSet;
use syn::visit::{self, Visit};

const OPTIONS: &str = "docs/src/reference/options.md";
const C_API: &str = "docs/src/reference/c-api.md";
const CLI: &str = "docs/src/reference/cli.md";
const HEADER: &str = "include/carbontracker.h";

/// Names that a page lacks. A name is documented as inline code that begins with it.
fn lacking(tree: &Tree, goal: &'static str, page: &str, names: &[String], fix: &'static str) -> Finding {
    let text = match tree.text(page) {
        Ok(text) => text,
        Err(why) => return Finding::missing(goal, why, fix),
    };
    if names.is_empty() {
        return Finding::missing(goal, format!("no name for {page} was found"), fix);
    }
    let codes: BTreeSet<&str> =
        language::prose_lines(text).iter().flat_map(|(_, line)| line.split('`').skip(1).step_by(2)).collect();
    let is_documented = |name: &String| {
        codes.iter().any(|code| {
            let code = code.strip_prefix("carbontracker ").unwrap_or(code);
            code.strip_prefix(name.as_str())
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        })
    };
    let problems = names.iter().filter(|name| !is_documented(name)).map(|name| format!("{page} lacks `{name}`"));
    Finding::none_of(goal, problems.collect(), fix)
}

/// Every option is in its page.
pub fn options<'a>(tree: &Tree, keys: impl Iterator<Item = &'a str>) -> Finding {
    let keys: Vec<String> = keys.map(str::to_owned).collect();
    let fix = "Add a row: name, values, default, meaning.";
    lacking(tree, "options without documentation", OPTIONS, &keys, fix)
}

/// Every function and status of the header is in its page.
pub fn c_api(tree: &Tree) -> Finding {
    let (goal, fix) =
        ("functions and statuses without documentation", "Add it: what it does, its statuses, its threads.");
    match tree.text(HEADER) {
        Ok(header) => lacking(tree, goal, C_API, &declared(header), fix),
        Err(why) => Finding::missing(goal, why, fix),
    }
}

/// Functions, and the values of `ct_status`.
fn declared(header: &str) -> Vec<String> {
    let mut names = BTreeSet::new();
    for (at, _) in header.match_indices("ct_").chain(header.match_indices("CT_")) {
        let is_start = !header[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let rest = &header[at..];
        let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (name, after) = rest.split_at(length);
        let is_function = name.starts_with("ct_") && after.starts_with('(') && !header[..at].ends_with(['`', '/']);
        let is_status = name.starts_with("CT_") && after.starts_with(" = ");
        if is_start && (is_function || is_status) {
            names.insert(name.to_owned());
        }
    }
    names.into_iter().collect()
}

/// Every subcommand is in its page.
pub fn subcommands(tree: &Tree) -> Finding {
    let names: Vec<String> =
        tree.sources().filter(|(path, _)| path.starts_with("cli/")).flat_map(|(_, file)| offered(file)).collect();
    let fix = "Add a section: purpose, arguments, exit statuses.";
    lacking(tree, "subcommands without documentation", CLI, &names, fix)
}

/// The variants of enums that derive `Subcommand`, as the command line spells them; hidden ones are left out.
fn offered(file: &syn::File) -> Vec<String> {
    struct Offered(Vec<String>);
    impl<'a> Visit<'a> for Offered {
        fn visit_item_enum(&mut self, item: &'a syn::ItemEnum) {
            let derives = |attribute: &syn::Attribute| {
                attribute.path().is_ident("derive") && tokens(attribute).contains("Subcommand")
            };
            if item.attrs.iter().any(derives) {
                let shown =
                    item.variants.iter().filter(|one| !one.attrs.iter().any(|one| tokens(one).contains("hide = true")));
                self.0.extend(shown.map(|variant| kebab(&variant.ident.to_string())));
            }
            visit::visit_item_enum(self, item);
        }
    }
    let mut offered = Offered(vec![]);
    offered.visit_file(file);
    offered.0
}

fn tokens(attribute: &syn::Attribute) -> String {
    attribute.meta.require_list().map(|list| list.tokens.to_string()).unwrap_or_default()
}

fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for next in name.chars() {
        if next.is_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.extend(next.to_lowercase());
    }
    kebab
}

/// Links between documents that lead to no file or heading.
pub fn links(tree: &Tree) -> Finding {
    let mut problems = vec![];
    for (path, text) in tree.texts.iter().filter(|(path, _)| path.ends_with(".md")) {
        for (line, text) in language::prose_lines(text) {
            for target in targets(text) {
                if let Err(why) = follow(tree, path, target) {
                    problems.push(format!("{path}:{line}: {target}: {why}"));
                }
            }
        }
    }
    Finding::none_of("broken links", problems, "Correct the path, or the heading after #.")
}

/// The targets of a line's links: those in `](TARGET)` outside inline code.
fn targets(line: &str) -> Vec<&str> {
    let outside = line.match_indices("](").filter(|(at, _)| line[..*at].matches('`').count() % 2 == 0);
    outside.filter_map(|(at, mark)| line[at + mark.len()..].split([')', ' ']).next()).collect()
}

fn follow(tree: &Tree, from: &str, target: &str) -> Result<(), &'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (file, heading) = target.split_once('#').map_or((target, None), |(file, heading)| (file, Some(heading)));
    let path = if file.is_empty() { from.to_owned() } else { joined(from, file).ok_or("outside the repository")? };
    if !tree.paths.contains(&path) {
        return Err("there is no such file");
    }
    let has_heading = |heading: &str| tree.texts.get(&path).is_none_or(|text| headings(text).contains(heading));
    if heading.is_none_or(|heading| !path.ends_with(".md") || has_heading(heading)) {
        Ok(())
    } else {
        Err("there is no such heading")
    }
}

fn joined(from: &str, file: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in file.trim_end_matches('/').split('/').filter(|part| *part != ".") {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    Some(parts.join("/"))
}

/// The headings of a document as links name them.
fn headings(document: &str) -> BTreeSet<String> {
    let titles = language::prose_lines(document);
    let titles = titles.iter().filter_map(|(_, line)| line.strip_prefix('#').map(|line| line.trim_start_matches('#')));
    let kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
    titles.map(|title| title.trim().to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_without_a_row_and_a_page_that_is_missing_fail() {
        let page = [(OPTIONS, "| `epochs`, `budget_kwh=X` | ... |\n```\n`hidden`\n```\n")];
        let found = options(&Tree::of(&page), ["epochs", "budget_kwh", "budget", "hidden"].into_iter());
        assert_eq!(found.problems, [format!("{OPTIONS} lacks `budget`"), format!("{OPTIONS} lacks `hidden`")]);
        assert_eq!(options(&Tree::default(), ["epochs"].into_iter()).problems, [format!("{OPTIONS} is missing")]);
        assert!(!options(&Tree::of(&page), [].into_iter()).problems.is_empty());
    }

    #[test]
    fn functions_and_statuses_of_the_header_are_compared() {
        let header = "/** see ct_none() or `ct_other(`. */\n  CT_OK = 0,\n#define CT_ABI_VERSION 0\nct_status ct_create(const char *options, ct_tracker **out);";
        assert_eq!(declared(header), ["CT_OK", "ct_create", "ct_none"]);
        let files = [(HEADER, header), (C_API, "`ct_create()` and `ct_none` may return `CT_OK`.")];
        assert!(c_api(&Tree::of(&files)).problems.is_empty());
        assert_eq!(c_api(&Tree::of(&[(HEADER, header), (C_API, "`CT_OK` `ct_none`")])).problems.len(), 1);
        assert_eq!(c_api(&Tree::of(&files[1..])).problems, [format!("{HEADER} is missing")]);
    }

    #[test]
    fn subcommands_come_from_the_enum_that_derives_them() {
        let code = "#[derive(Debug, Subcommand)] enum Task { Run(A), ManPage(B), #[command(hide = true)] Score(C) } #[derive(Debug)] enum No { D }";
        let files = [("cli/src/main.rs", code), (CLI, "## `carbontracker run`")];
        assert_eq!(subcommands(&Tree::of(&files)).problems, [format!("{CLI} lacks `man-page`")]);
        assert!(!subcommands(&Tree::of(&files[1..])).problems.is_empty());
    }

    #[test]
    fn links_are_followed_to_files_and_headings() {
        let page = "[a](b.md#the-c-api) [b](../../README.md) [c](#here) [d](https://x.y) [e](../../src) `[f](no.md)`\n# Here\n[g](no.md) [h](b.md#no) [i](../../../up.md)";
        let files = [("docs/src/a.md", page), ("docs/src/b.md", "## The C API"), ("README.md", ""), ("src/lib.rs", "")];
        let found = links(&Tree::of(&files)).problems;
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().all(|problem| problem.starts_with("docs/src/a.md:3: ")), "{found:?}");
    }
}
