//! The house check: measures the goals of layout, names, language and documents, and fails when one is lost.
//! `cargo test --test house -- --nocapture` prints the table of goals. A failure lists the faults and the way to fix
//! them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod commits;
mod documents;
mod faults;
mod finding;
mod imports;
mod language;
mod layout;
mod modules;
mod prose;
mod rust;
mod tree;
mod types;

use finding::Finding;
use std::path::Path;
use tree::Tree;

/// All goals, in the order of the table.
fn findings(root: &Path) -> Vec<Finding> {
    let tree = Tree::read(root);
    let mut findings = layout::top(&tree);
    findings.extend([imports::upwards(&tree), imports::circles(&tree), layout::openings(&tree), types::unique(&tree)]);
    findings.extend(layout::lengths(&tree));
    findings.extend(language::readme(&tree));
    findings.extend([
        language::comments(&tree),
        language::comment_columns(&tree),
        language::messages(&tree),
        language::documents(&tree),
        documents::options(&tree, carbontracker::options::keys()),
        documents::c_api(&tree),
        documents::subcommands(&tree),
        documents::links(&tree),
        layout::test_programs(&tree),
        commits::subjects(root),
        faults::patches(root),
    ]);
    findings
}

#[test]
fn every_goal_is_met() {
    let findings = findings(Path::new(env!("CARGO_MANIFEST_DIR")));
    println!("{}", finding::table(&findings));
    let faults = finding::faults(&findings);
    assert!(faults.is_empty(), "{faults}");
}
