//! What the checks ask of a Rust file: its tests, its types, its functions.

use crate::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// The Rust files that are compiled for tests only: those in a folder of tests, and those behind `#[cfg(test)] mod`.
pub fn test_files(code: &BTreeMap<String, syn::File>) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = code.keys().filter(|path| is_in_tests(path)).cloned().collect();
    for (path, file) in code.iter().filter(|(path, _)| !is_in_tests(path)) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let is_root = ["lib.rs", "main.rs", "mod.rs"].contains(&name);
        let below = if is_root { folder } else { path.trim_end_matches(".rs") };
        for item in file.items.iter().filter(|item| is_for_tests(attributes(item))) {
            let syn::Item::Mod(syn::ItemMod { ident, content: None, .. }) = item else { continue };
            found.extend([format!("{below}/{ident}.rs"), format!("{below}/{ident}/mod.rs")]);
        }
    }
    found.retain(|path| code.contains_key(path));
    found
}

fn is_in_tests(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.starts_with("tests/") || path.contains("/tests/")
}

/// Whether an item is compiled for tests only.
pub fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let condition = attribute.path().is_ident("cfg").then(|| attribute.parse_args::<syn::Meta>().ok());
        attribute.path().is_ident("test") || condition.flatten().is_some_and(|condition| needs_tests(&condition))
    })
}

fn needs_tests(condition: &syn::Meta) -> bool {
    match condition {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) if list.path.is_ident("all") => {
            type Parts = syn::punctuated::Punctuated<syn::Meta, syn::Token![,]>;
            list.parse_args_with(Parts::parse_terminated).is_ok_and(|parts| parts.iter().any(needs_tests))
        }
        _ => false,
    }
}

/// A parsed file. A file that does not parse would not compile either.
pub fn parse(path: &str, text: &str) -> syn::File {
    syn::parse_file(text).unwrap_or_else(|error| panic!("{path}:{}: {error}", error.span().start().line))
}

/// The attributes of an item that may be for tests.
pub fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Union(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The lines of a file that belong to tests.
pub struct TestLines(Vec<(usize, usize)>);

impl TestLines {
    /// Finds them; in a file of another language there are none.
    pub fn of(tree: &Tree, path: &str) -> TestLines {
        if tree.tests.contains(path) {
            return TestLines(vec![(0, usize::MAX)]);
        }
        let items = tree.code.get(path).map_or(&[][..], |file| &file.items).iter();
        let items = items.filter(|item| is_for_tests(attributes(item)));
        TestLines(items.map(|item| (item.span().start().line, item.span().end().line)).collect())
    }

    /// Whether a line is one of them.
    pub fn hold(&self, line: usize) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&line))
    }
}

/// A type that other modules can name.
pub struct PublicType {
    /// Its name.
    pub name: String,
    /// The line of its name.
    pub line: usize,
    /// Whether a condition picks one of several definitions.
    pub is_conditional: bool,
}

/// The types of a file that are visible outside their module.
pub fn public_types(file: &syn::File) -> Vec<PublicType> {
    struct Types(Vec<PublicType>);
    impl<'a> Visit<'a> for Types {
        fn visit_item(&mut self, item: &'a syn::Item) {
            let (visibility, name) = match item {
                _ if is_for_tests(attributes(item)) => return,
                syn::Item::Struct(item) => (&item.vis, &item.ident),
                syn::Item::Enum(item) => (&item.vis, &item.ident),
                syn::Item::Union(item) => (&item.vis, &item.ident),
                syn::Item::Trait(item) => (&item.vis, &item.ident),
                syn::Item::Type(item) => (&item.vis, &item.ident),
                other => return visit::visit_item(self, other),
            };
            if !matches!(visibility, syn::Visibility::Inherited) {
                let is_conditional = attributes(item).iter().any(|attribute| attribute.path().is_ident("cfg"));
                self.0.push(PublicType { name: name.to_string(), line: name.span().start().line, is_conditional });
            }
        }
    }
    let mut types = Types(vec![]);
    types.visit_file(file);
    types.0
}

/// A function and its length.
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line on which it begins, below its comments and attributes.
    pub line: usize,
    /// Lines from its signature to its closing brace.
    pub lines: usize,
}

/// The functions of a file, methods included.
pub fn functions(file: &syn::File) -> Vec<Function> {
    struct Functions(Vec<Function>);
    impl Functions {
        fn enter(&mut self, signature: &syn::Signature, block: &syn::Block) {
            let (first, last) = (signature.span().start().line, block.span().end().line);
            self.0.push(Function { name: signature.ident.to_string(), line: first, lines: last + 1 - first });
        }
    }
    impl<'a> Visit<'a> for Functions {
        fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
            self.enter(&item.sig, &item.block);
            visit::visit_item_fn(self, item);
        }
        fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
            self.enter(&item.sig, &item.block);
            visit::visit_impl_item_fn(self, item);
        }
        fn visit_trait_item_fn(&mut self, item: &'a syn::TraitItemFn) {
            if let Some(block) = &item.default {
                self.enter(&item.sig, block);
            }
            visit::visit_trait_item_fn(self, item);
        }
    }
    let mut functions = Functions(vec![]);
    functions.visit_file(file);
    functions.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_tests_and_private_types_do_not_count() {
        let code = "pub struct A; struct B; pub(crate) enum C {} pub trait D {} pub type E = u8;\n\
                    #[cfg(test)] pub struct F; mod inner { pub(super) union G { a: u8 } }\n#[cfg(feature = \"live\")] pub struct H;";
        let found = public_types(&parse("a.rs", code));
        let names: Vec<&str> = found.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(names, ["A", "C", "D", "E", "G", "H"]);
        assert!(found[5].is_conditional && found[5].line == 3 && !found[0].is_conditional);
    }

    #[test]
    fn function_is_measured_from_its_signature_to_its_brace() {
        let code = "/// Doc.\n#[inline]\nfn a() {\n    b();\n}\nimpl C { fn d() {} }\ntrait E { fn f(); fn g() {\n} }";
        let found: Vec<_> = functions(&parse("a.rs", code)).into_iter().map(|f| (f.name, f.line, f.lines)).collect();
        assert_eq!(found, [("a".into(), 3, 3), ("d".into(), 6, 1), ("g".into(), 7, 2)]);
    }

    #[test]
    fn lines_of_tests_are_those_under_their_condition() {
        let code = "fn a() {}\n#[cfg(test)]\nmod tests {\n}\n#[cfg(not(test))]\nfn b() {}";
        let tree = Tree::of(&[("src/a.rs", code), ("src/a/tests.rs", "fn c() {}"), ("a.c", "")]);
        let lines = TestLines::of(&tree, "src/a.rs");
        assert_eq!((1..=6).filter(|line| lines.hold(*line)).collect::<Vec<_>>(), [2, 3, 4]);
        assert!(TestLines::of(&tree, "src/a/tests.rs").hold(7) && !TestLines::of(&tree, "a.c").hold(7));
    }

    #[test]
    fn files_of_tests_are_found_by_their_place_and_by_their_condition() {
        let parent = "#[cfg(test)]\nmod fake;\nmod real;\n#[cfg(all(test, unix))]\nmod other;";
        let files = [
            ("src/a.rs", parent),
            ("src/a/fake.rs", ""),
            ("src/a/real.rs", ""),
            ("src/a/other/mod.rs", ""),
            ("tests/b.rs", ""),
        ];
        let found: Vec<_> = Tree::of(&files).tests.into_iter().collect();
        assert_eq!(found, ["src/a/fake.rs", "src/a/other/mod.rs", "tests/b.rs"]);
    }
}
