//! The documents hold together: each link of each page leads to a file and a heading, each page of the book is in its
//! summary, and the book is built where mdBook is installed.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

/// Folders that hold no page of ours.
const NOT_OURS: [&str; 4] = ["target", "build", "shared", "node_modules"];

fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Where this test belongs to a package below the workspace, the pages are further up.
    here.ancestors().find(|dir| dir.join("docs/src/SUMMARY.md").is_file()).expect("docs/src/SUMMARY.md")
}

/// All Markdown files below a folder.
fn pages(dir: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && !path.is_symlink() && !name.starts_with('.') && !NOT_OURS.contains(&name) {
            pages(&path, found);
        } else if name.ends_with(".md") {
            found.insert(path);
        }
    }
}

fn all_pages() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    pages(root(), &mut found);
    found
}

/// The lines of a page outside its blocks of code, with their numbers.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fence = None;
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mark = ["```", "~~~"].into_iter().find(|mark| line.trim_start().starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => lines.push((number + 1, line)),
            _ => {}
        }
    }
    lines
}

/// A line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// The targets of `[text](target)` and `![text](target)` in a line.
fn links(line: &str) -> Vec<String> {
    let line = without_code(line);
    let ends = line.match_indices("](").map(|(at, _)| &line[at + 2..]);
    ends.filter_map(|rest| rest.split(')').next()?.split(' ').next()).map(str::to_owned).collect()
}

/// A heading's anchor, as GitHub and mdBook make it.
fn anchor(heading: &str) -> String {
    let mut text = String::new();
    let mut rest = heading;
    while let Some((before, after)) = rest.split_once("](") {
        text += before; // a link's text counts, its target does not
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    text += rest;
    let kept = text.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut all = BTreeSet::new();
    for (_, line) in prose(text) {
        let level = line.chars().take_while(|c| *c == '#').count();
        let Some(heading) = line[level..].strip_prefix(' ').filter(|_| (1..=6).contains(&level)) else { continue };
        let name = anchor(heading);
        let before = seen.entry(name.clone()).or_default();
        all.insert(if *before == 0 { name } else { format!("{name}-{before}") });
        *before += 1;
    }
    all
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// The file and the anchor that a link of a page leads to; None: it leads out of the tree.
fn target(page: &Path, link: &str) -> Option<(PathBuf, Option<String>)> {
    let is_elsewhere = ["http://", "https://", "mailto:"].iter().any(|scheme| link.starts_with(scheme));
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor.to_owned())));
    let folder = page.parent().expect("a folder");
    let path = if file.is_empty() { page.to_owned() } else { plain(&folder.join(file)) };
    (!is_elsewhere).then_some((path, anchor))
}

/// The faults of a page's links.
fn faults(page: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(page).expect("a page is UTF-8");
    let mut faults = Vec::new();
    for (number, line) in prose(&text) {
        for link in links(line) {
            let Some((path, anchor)) = target(page, &link) else { continue };
            let at = format!("{}:{number}: {link}", page.strip_prefix(root()).expect("below the root").display());
            if !path.exists() {
                faults.push(format!("{at}: no such file"));
            } else if let Some(anchor) = anchor.filter(|_| path.extension().is_some_and(|ending| ending == "md"))
                && !anchors(&std::fs::read_to_string(&path).expect("a page")).contains(&anchor)
            {
                faults.push(format!("{at}: no such heading"));
            }
        }
    }
    faults
}

#[test]
fn each_link_leads_to_a_file_and_a_heading() {
    let faults: Vec<String> = all_pages().iter().flat_map(|page| faults(page)).collect();
    assert!(faults.is_empty(), "{} dead links:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn each_page_of_the_book_is_in_its_summary() {
    let book = root().join("docs/src");
    let summary = book.join("SUMMARY.md");
    let text = std::fs::read_to_string(&summary).expect("a summary");
    let lines = prose(&text);
    let listed: Vec<PathBuf> = lines
        .iter()
        .flat_map(|(_, line)| links(line))
        .map(|link| target(&summary, &link).expect("a page of the book").0)
        .collect();
    let distinct: BTreeSet<PathBuf> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), distinct.len(), "a page is listed twice");
    let mut there = BTreeSet::new();
    pages(&book, &mut there);
    there.remove(&summary);
    let lacking: Vec<_> = there.symmetric_difference(&distinct).collect();
    assert!(lacking.is_empty(), "in the book or in SUMMARY.md, but not in both: {lacking:?}");
}

#[test]
fn the_checks_find_faults() {
    assert_eq!(links("[a](b.md#c) and `[no](link)` ![d](e.png \"title\")"), ["b.md#c", "e.png"]);
    assert_eq!(anchor("The `ct_*` calls, [in C](c.md): 2 of them"), "the-ct_-calls-in-c-2-of-them");
    let page = "# A b\n```sh\n# no heading\n[no](link)\n```\n## A b\n";
    assert_eq!(anchors(page), BTreeSet::from(["a-b".to_owned(), "a-b-1".to_owned()]));
    assert_eq!(prose(page).len(), 2);
    let (path, heading) = target(Path::new("/x/docs/src/a.md"), "../../b.md#c").expect("in the tree");
    assert_eq!((path, heading.as_deref()), (PathBuf::from("/x/b.md"), Some("c")));
    assert!(target(Path::new("/x/a.md"), "https://example.org/#c").is_none());
}

#[test]
fn the_book_builds() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("book");
    let built = Command::new("mdbook").arg("build").arg(root().join("docs")).arg("--dest-dir").arg(&out).output();
    let Ok(output) = built else {
        let _ = writeln!(std::io::stderr(), "skipped: mdbook is not here (cargo install mdbook --locked)");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(out.join("explanation/forecast.html").is_file(), "no page was made");
}
