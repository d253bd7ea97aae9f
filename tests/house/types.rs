//! A public type name means one thing in the library, the C API and the command.

use crate::finding::Finding;
use crate::rust;
use crate::tree::Tree;
use std::collections::BTreeMap;

/// Names of public types that are defined in several places.
pub fn unique(tree: &Tree) -> Finding {
    let goal = "public type names defined twice";
    let fix = "Rename all but one: say which run, which row, which request it is.";
    let mut places: BTreeMap<String, Vec<(&str, rust::PublicType)>> = BTreeMap::new();
    for (path, file) in tree.sources() {
        for found in rust::public_types(file) {
            places.entry(found.name.clone()).or_default().push((path, found));
        }
    }
    if places.is_empty() {
        return Finding::missing(goal, "no public type was found in src, capi and cli".into(), fix);
    }
    let problems = places.iter().filter(|(_, places)| is_double(places)).map(|(name, places)| {
        let places: Vec<String> = places.iter().map(|(path, found)| format!("{path}:{}", found.line)).collect();
        format!("{name}: {}", places.join(", "))
    });
    Finding::none_of(goal, problems.collect(), fix)
}

/// Definitions in one file of which a `#[cfg]` picks one are the same type.
fn is_double(places: &[(&str, rust::PublicType)]) -> bool {
    let is_choice =
        places.windows(2).all(|pair| pair[0].0 == pair[1].0) && places.iter().all(|(_, found)| found.is_conditional);
    places.len() > 1 && !is_choice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_in_two_crates_is_found_with_both_places() {
        let files = [
            ("src/a.rs", "\npub struct Run;"),
            ("cli/src/b.rs", "pub(crate) enum Run {}"),
            ("capi/src/c.rs", "struct Run;"),
        ];
        assert_eq!(unique(&Tree::of(&files)).problems, ["Run: cli/src/b.rs:1, src/a.rs:2"]);
    }

    #[test]
    fn choice_by_condition_is_one_type_and_an_empty_tree_fails() {
        let choice = "#[cfg(unix)] pub struct A; #[cfg(not(unix))] pub struct A;";
        assert!(unique(&Tree::of(&[("src/a.rs", choice)])).problems.is_empty());
        assert_eq!(unique(&Tree::default()).problems.len(), 1);
    }
}
