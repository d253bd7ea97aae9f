//! The repository as the checks read it: the path of every file, and the text of every file that people write.

use crate::rust;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Folders and root files that belong to the project. Build results beside them are not read.
const PLACES: [&str; 23] = [
    "src",
    "capi",
    "cli",
    "fuzz",
    "include",
    "bindings",
    "tests",
    "packaging",
    "docs",
    "examples",
    "benches",
    "tools",
    ".ci",
    ".github",
    "Makefile",
    "CMakeLists.txt",
    "Cargo.toml",
    "build.rs",
    "cbindgen.toml",
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
];

/// Root files that no check reads, but that a document may link to.
const LINKED: [&str; 3] = ["LICENSE", "NOTICE", "CITATION.cff"];

/// Folders of build results and of recorded input: they hold no prose and no code of the project.
const SKIPPED: [&str; 5] = ["target", "build", "book", "node_modules", "corpus"];

/// Endings of files that hold data, not prose or code.
const DATA: [&str; 11] = ["csv", "json", "jsonl", "log", "svg", "png", "lock", "gz", "pem", "html", "prom"];

/// All files of the project, by their path from the root, with `/` between folders.
#[derive(Default)]
pub struct Tree {
    /// The text of each file that people write.
    pub texts: BTreeMap<String, String>,
    /// Every file and folder, data included.
    pub paths: BTreeSet<String>,
    /// Each Rust file, parsed.
    pub code: BTreeMap<String, syn::File>,
    /// The Rust files that are compiled for tests only.
    pub tests: BTreeSet<String>,
}

impl Tree {
    /// Reads the repository at `root`.
    pub fn read(root: &Path) -> Tree {
        let mut tree = Tree::default();
        for place in PLACES.iter().chain(&LINKED) {
            tree.enter(root, place);
        }
        tree.parsed()
    }

    /// A tree in memory, for the tests of the checks.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (path, text) in files {
            tree.add(path, (*text).to_owned());
        }
        tree.parsed()
    }

    /// The text of a file, or why there is none.
    pub fn text(&self, path: &str) -> Result<&str, String> {
        self.texts.get(path).map(String::as_str).ok_or_else(|| format!("{path} is missing"))
    }

    /// The files below a folder, or that very file.
    pub fn under<'a>(&'a self, place: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str())).filter(move |(path, _)| {
            path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// Rust files of the library, the C API and the command, without those of tests.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &syn::File)> {
        let is_source = |path: &str| ["src/", "capi/", "cli/"].iter().any(|place| path.starts_with(place));
        let files = self.code.iter().map(|(path, file)| (path.as_str(), file));
        files.filter(move |(path, _)| is_source(path) && !self.tests.contains(*path))
    }

    fn parsed(mut self) -> Tree {
        let rust = self.texts.iter().filter(|(path, _)| path.ends_with(".rs"));
        self.code = rust.map(|(path, text)| (path.clone(), rust::parse(path, text))).collect();
        self.tests = rust::test_files(&self.code);
        self
    }

    fn enter(&mut self, root: &Path, path: &str) {
        let full = root.join(path);
        if full.is_symlink() || SKIPPED.contains(&path.rsplit('/').next().unwrap_or_default()) {
            return;
        }
        if full.is_dir() {
            self.paths.insert(path.to_owned());
            let mut names: Vec<_> = std::fs::read_dir(&full)
                .unwrap_or_else(|error| panic!("{path}: {error}"))
                .map(|entry| entry.expect("an entry of a folder").file_name())
                .collect();
            names.sort();
            for name in names.iter().filter_map(|name| name.to_str()) {
                self.enter(root, &format!("{path}/{name}"));
            }
        } else if full.is_file() {
            self.paths.insert(path.to_owned());
            let is_data = path.rsplit_once('.').is_some_and(|(_, ending)| DATA.contains(&ending));
            if let Some(text) = std::fs::read_to_string(&full).ok().filter(|_| !is_data) {
                self.texts.insert(path.to_owned(), text);
            }
        }
    }

    #[cfg(test)]
    fn add(&mut self, path: &str, text: String) {
        let folders = path.match_indices('/').map(|(at, _)| path[..at].to_owned());
        self.paths.extend(folders);
        self.paths.insert(path.to_owned());
        self.texts.insert(path.to_owned(), text);
    }
}

#[test]
fn place_holds_what_is_below_it_and_no_namesake() {
    let tree = Tree::of(&[("src/a.rs", ""), ("src/b/c.rs", ""), ("srcs/d.rs", ""), ("cli/src/main.rs", "")]);
    let under: Vec<&str> = tree.under("src").map(|(path, _)| path).collect();
    assert_eq!(under, ["src/a.rs", "src/b/c.rs"]);
    assert_eq!(tree.sources().count(), 3);
    assert!(tree.paths.contains("src/b") && tree.text("src/x.rs").is_err());
}
