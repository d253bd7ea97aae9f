//! Imports between modules: the order of the folders, and circles.
//!
//! A module and all below it count as one. A parent may re-export its children, and a child may use its parent's
//! types: neither is a circle. Siblings that import each other, directly or through others, are one.

use crate::finding::Finding;
use crate::modules::{Import, Modules};
use crate::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};

/// Modules of the library that all others may import.
const BASE: [&str; 4] = ["error", "units", "sanitize", "clock"];

/// The folders of the library in the order of the data flow. A folder imports those before it only.
pub const ORDER: [&str; 11] = [
    "os",
    "measurement",
    "attribution",
    "forecast",
    "coordination",
    "carbon",
    "state",
    "report",
    "run_files",
    "options",
    "tracker",
];

/// Imports of a circle that are listed.
const SHOWN: usize = 12;

/// The root file of each crate.
const CRATES: [&str; 3] = ["src/lib.rs", "capi/src/lib.rs", "cli/src/main.rs"];

/// The position of a module directly below the library's root; None: it has no place in the order.
fn rank(module: &str) -> Option<usize> {
    let place = ORDER.iter().position(|name| *name == module).map(|at| at + 1);
    place.or_else(|| BASE.contains(&module).then_some(0))
}

/// Imports from an earlier folder of the order to a later one.
pub fn upwards(tree: &Tree) -> Finding {
    let goal = "imports upwards";
    let fix = "Move the value down to the folder that needs it, or the function up to its caller. The order of the folders is \
               ORDER in tests/house/imports.rs.";
    let modules = match Modules::read(tree, "src/lib.rs") {
        Ok(modules) => modules,
        Err(why) => return Finding::missing(goal, why, fix),
    };
    let tops: BTreeSet<&str> = modules.children(0).map(|(name, _)| name).collect();
    let mut problems: Vec<String> =
        ORDER.iter().filter(|name| !tops.contains(*name)).map(|name| format!("src/{name} is missing")).collect();
    problems.extend(
        tops.iter().filter(|name| rank(name).is_none()).map(|name| format!("src/{name} has no place in the order")),
    );
    for import in modules.imports() {
        let (Some(from), Some(to)) = (modules.top(import.from), modules.top(import.to)) else { continue };
        if rank(from).zip(rank(to)).is_some_and(|(from, to)| from < to) {
            problems.push(format!("{}, from {from} up to {to}", modules.shown(import)));
        }
    }
    Finding::none_of(goal, problems, fix)
}

/// Circles between siblings, in each crate and at each depth.
pub fn circles(tree: &Tree) -> Finding {
    let mut problems = vec![];
    for root in CRATES {
        match Modules::read(tree, root) {
            Ok(modules) => problems.extend((0..modules.len()).flat_map(|parent| circles_below(&modules, parent))),
            Err(why) => problems.push(why),
        }
    }
    let fix = "Move the value that both use into a small file of its own below them.";
    Finding::none_of("circles of imports", problems, fix)
}

fn circles_below(modules: &Modules, parent: usize) -> Vec<String> {
    let mut arrows: BTreeMap<(&str, &str), Vec<&Import>> = BTreeMap::new();
    for import in modules.imports() {
        let (from, to) = (modules.child_towards(parent, import.from), modules.child_towards(parent, import.to));
        if let (Some(from), Some(to)) = (from, to)
            && from != to
        {
            arrows.entry((from, to)).or_default().push(import);
        }
    }
    let reached = reached(&arrows.keys().copied().collect());
    let (mut shown, mut problems) = (BTreeSet::new(), vec![]);
    for (name, _) in modules.children(parent) {
        let ring: BTreeSet<&str> = reached
            .get(name)
            .into_iter()
            .flatten()
            .copied()
            .filter(|other| reached.get(other).is_some_and(|back| back.contains(name)))
            .collect();
        if ring.is_empty() || !shown.insert(ring.clone()) {
            continue;
        }
        let names: Vec<&str> = ring.iter().copied().collect();
        let mut problem = format!("in {}: {}", modules.path(parent), names.join(", "));
        let inside = arrows.iter().filter(|((from, to), _)| ring.contains(from) && ring.contains(to));
        let inside: Vec<&&Import> = inside.flat_map(|(_, imports)| imports).collect();
        for import in inside.iter().take(SHOWN) {
            problem += &format!("\n    {}", modules.shown(import));
        }
        if inside.len() > SHOWN {
            problem += &format!("\n    and {} more", inside.len() - SHOWN);
        }
        problems.push(problem);
    }
    problems
}

/// What each node reaches along the arrows, itself only on a way back.
fn reached<'a>(arrows: &BTreeSet<(&'a str, &'a str)>) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut reached: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, _) in arrows {
        let mut open = vec![*from];
        while let Some(at) = open.pop() {
            for (_, to) in arrows.iter().filter(|(start, _)| *start == at) {
                if reached.entry(from).or_default().insert(to) {
                    open.push(to);
                }
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A library with every folder of the order, and more.
    fn library(more: &[(&str, &str)]) -> Tree {
        let names = ORDER.iter().chain(&BASE);
        let root: String = names.clone().map(|name| format!("pub mod {name};\n")).collect();
        let mut files: Vec<(String, String)> =
            names.map(|name| (format!("src/{name}/mod.rs"), String::new())).collect();
        files.push(("src/lib.rs".into(), root));
        for (path, text) in more {
            files.retain(|(name, _)| name != path);
            files.push(((*path).into(), (*text).into()));
        }
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        Tree::of(&files)
    }

    #[test]
    fn import_downwards_is_allowed_and_one_upwards_is_not() {
        let down = ("src/report/mod.rs", "use crate::os::Pid; use crate::units; fn a() { crate::error::b() }");
        assert!(upwards(&library(&[down])).problems.is_empty());
        let found = upwards(&library(&[("src/os/mod.rs", "use crate::report::Row;")])).problems;
        assert_eq!(found, ["src/os/mod.rs:1 imports report::Row, from os up to report"]);
        let found = upwards(&library(&[("src/units/mod.rs", "fn a() { crate::os::b() }")])).problems;
        assert_eq!(found.len(), 1, "{found:?}");
        let tested = ("src/os/mod.rs", "#[cfg(test)] mod tests { use crate::report::Row; }");
        assert!(upwards(&library(&[tested])).problems.is_empty());
    }

    #[test]
    fn folder_that_is_missing_or_new_fails() {
        let found =
            upwards(&Tree::of(&[("src/lib.rs", "mod os; mod extra;"), ("src/os.rs", ""), ("src/extra.rs", "")]))
                .problems;
        assert!(found.contains(&"src/tracker is missing".into()), "{found:?}");
        assert!(found.contains(&"src/extra has no place in the order".into()), "{found:?}");
        assert_eq!(upwards(&Tree::default()).problems, ["src/lib.rs is missing"]);
        assert_eq!(circles(&Tree::default()).problems.len(), 3);
    }

    fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
        let found = circles(&Tree::of(files)).problems;
        found.into_iter().filter(|problem| !problem.ends_with("missing")).collect()
    }

    #[test]
    fn parent_and_its_children_are_no_circle() {
        let parent = ("src/lib.rs", "pub mod a;");
        let child = ("src/a/mod.rs", "mod b; mod c; pub use b::B; pub struct A; fn f() { c::g() }");
        let files = [
            parent,
            child,
            ("src/a/b.rs", "use super::A; pub struct B;"),
            ("src/a/c.rs", "use super::{A, B}; pub fn g() {}"),
        ];
        assert_eq!(circles_of(&files), [""; 0]);
    }

    #[test]
    fn siblings_that_import_each_other_are_a_circle() {
        let child = ("src/a/mod.rs", "mod b; mod c; pub use b::B;");
        let files = [
            ("src/lib.rs", "pub mod a;"),
            child,
            ("src/a/b.rs", "pub struct B(super::c::C);"),
            ("src/a/c.rs", "use super::B; pub struct C;"),
        ];
        let found = circles_of(&files);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("in src/a/mod.rs: b, c\n"), "{found:?}");
        assert!(found[0].contains("\n    src/a/c.rs:1 imports a::B"), "{found:?}");
    }

    #[test]
    fn circle_of_three_through_a_folder_is_found_once() {
        let root = ("src/lib.rs", "mod a; mod b; mod c;");
        let files = [
            root,
            ("src/a.rs", "use crate::b::x::X;"),
            ("src/b.rs", "pub mod x;"),
            ("src/b/x.rs", "use crate::c::C; pub struct X;"),
            ("src/c.rs", "pub struct C; fn f() { println!(\"{}\", crate::a::g()) }"),
        ];
        let found = circles_of(&files);
        assert!(found.len() == 1 && found[0].starts_with("in src/lib.rs: a, b, c\n"), "{found:?}");
    }
}
