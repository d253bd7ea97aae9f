//! The modules of a crate, and what each imports: found by its `mod` and `use` lines and by the paths in its code.
//! Code for tests is left out. A re-export is followed to the module that defines the name.

use crate::rust;
use crate::tree::Tree;
use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// What a module takes from another one of its crate.
pub struct Import {
    /// The module that imports.
    pub from: usize,
    /// The module that defines the names.
    pub to: usize,
    line: usize,
    names: BTreeSet<String>,
}

/// A crate. Module 0 is its root.
pub struct Modules {
    modules: Vec<Module>,
    imports: Vec<Import>,
}

struct Module {
    name: String,
    parent: usize,
    file: String,
    children: BTreeMap<String, usize>,
    /// Names that `use` brings in, with the path behind each.
    names: BTreeMap<String, Vec<String>>,
    /// Names that are defined here.
    items: BTreeSet<String>,
    globs: Vec<Vec<String>>,
    /// Paths in the code, with the line of each.
    paths: Vec<(Vec<String>, usize)>,
}

#[derive(Clone, Copy)]
enum Found {
    Module(usize),
    /// An item that this module defines.
    ItemOf(usize),
}

/// The longest chain of re-exports, steps.
const DEPTH: usize = 8;

impl Modules {
    /// Reads a crate from its root file on.
    pub fn read(tree: &Tree, root: &str) -> Result<Modules, String> {
        let mut modules = Modules { modules: vec![], imports: vec![] };
        modules.enter_file(tree, "crate".into(), 0, root.into())?;
        let mut imports: BTreeMap<(usize, usize), Import> = BTreeMap::new();
        for from in 0..modules.len() {
            for (path, line) in std::mem::take(&mut modules.modules[from].paths) {
                if modules.is_own(from, &path) {
                    continue;
                }
                let Some(Found::Module(to) | Found::ItemOf(to)) = modules.resolve(from, &path, 0) else { continue };
                if to != from {
                    let first = Import { from, to, line, names: BTreeSet::new() };
                    imports.entry((from, to)).or_insert(first).names.insert(modules.absolute(from, &path));
                }
            }
        }
        modules.imports = imports.into_values().collect();
        Ok(modules)
    }

    /// How many modules there are.
    pub fn len(&self) -> usize {
        self.modules.len()
    }

    /// All imports within the crate, one for each pair of modules.
    pub fn imports(&self) -> &[Import] {
        &self.imports
    }

    /// The file of a module.
    pub fn path(&self, module: usize) -> &str {
        &self.modules[module].file
    }

    /// The modules directly below one.
    pub fn children(&self, module: usize) -> impl Iterator<Item = (&str, usize)> {
        self.modules[module].children.iter().map(|(name, child)| (name.as_str(), *child))
    }

    /// The child of `parent` that is `module` or above it; None: `module` is not below `parent`.
    pub fn child_towards(&self, parent: usize, module: usize) -> Option<&str> {
        let mut at = module;
        while at != 0 {
            let above = self.modules[at].parent;
            if above == parent {
                return Some(&self.modules[at].name);
            }
            at = above;
        }
        None
    }

    /// The folder or file directly below the root that holds a module; None: it is the root.
    pub fn top(&self, module: usize) -> Option<&str> {
        self.child_towards(0, module)
    }

    /// An import in words.
    pub fn shown(&self, import: &Import) -> String {
        let names: Vec<&str> = import.names.iter().map(String::as_str).collect();
        format!("{}:{} imports {}", self.path(import.from), import.line, names.join(", "))
    }

    fn enter_file(&mut self, tree: &Tree, name: String, parent: usize, file: String) -> Result<usize, String> {
        let items = &tree.code.get(&file).ok_or_else(|| format!("{file} is missing"))?.items;
        let (folder, base) = file.rsplit_once('/').unwrap_or(("", &file));
        let below = match base {
            "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
            _ => file.trim_end_matches(".rs").to_owned(),
        };
        self.enter(tree, name, parent, (file, below), items)
    }

    /// Enters a module whose children are files in the folder `below`.
    fn enter(
        &mut self,
        tree: &Tree,
        name: String,
        parent: usize,
        (file, below): (String, String),
        items: &[syn::Item],
    ) -> Result<usize, String> {
        let mut uses = Uses::default();
        for item in items {
            uses.enter_top(item);
        }
        let Uses { names, globs, defined, paths } = uses;
        let (at, children) = (self.len(), BTreeMap::new());
        self.modules.push(Module { name, parent, file: file.clone(), children, names, items: defined, globs, paths });
        for item in items.iter().filter(|item| !rust::is_for_tests(rust::attributes(item))) {
            let syn::Item::Mod(child) = item else { continue };
            let name = child.ident.to_string();
            let entered = match &child.content {
                Some((_, items)) => {
                    self.enter(tree, name.clone(), at, (file.clone(), format!("{below}/{name}")), items)?
                }
                None => self.enter_file(tree, name.clone(), at, file_of(tree, child, &file, &below)?)?,
            };
            self.modules[at].children.insert(name, entered);
        }
        Ok(at)
    }

    /// Whether a path is one name that is defined here, or brought in by a `use` that counts already.
    fn is_own(&self, module: usize, path: &[String]) -> bool {
        let Module { children, names, items, .. } = &self.modules[module];
        matches!(path, [name] if children.contains_key(name) || names.contains_key(name) || items.contains(name))
    }

    fn resolve(&self, from: usize, path: &[String], depth: usize) -> Option<Found> {
        let (first, rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => Found::Module(0),
            "self" => Found::Module(from),
            "super" => Found::Module(self.modules[from].parent),
            name => self.look_up(from, name, depth)?,
        };
        for name in rest {
            let Found::Module(module) = at else { break };
            at = match name.as_str() {
                "super" => Found::Module(self.modules[module].parent),
                name => self.look_up(module, name, depth).unwrap_or(Found::ItemOf(module)),
            };
        }
        Some(at)
    }

    fn look_up(&self, module: usize, name: &str, depth: usize) -> Option<Found> {
        let Module { children, names, items, globs, .. } = &self.modules[module];
        if depth > DEPTH {
            None
        } else if let Some(child) = children.get(name) {
            Some(Found::Module(*child))
        } else if let Some(path) = names.get(name) {
            self.resolve(module, path, depth + 1)
        } else if items.contains(name) {
            Some(Found::ItemOf(module))
        } else {
            globs.iter().find_map(|glob| match self.resolve(module, glob, depth + 1)? {
                Found::Module(other) if other != module => self.look_up(other, name, depth + 1),
                _ => None,
            })
        }
    }

    /// A path as it would be written from the crate's root.
    fn absolute(&self, from: usize, path: &[String]) -> String {
        let (mut at, mut rest) = (from, path);
        while let Some((first, others)) =
            rest.split_first().filter(|(first, _)| ["crate", "self", "super"].contains(&first.as_str()))
        {
            at = match first.as_str() {
                "crate" => 0,
                "super" => self.modules[at].parent,
                _ => at,
            };
            rest = others;
        }
        if rest.len() == path.len() {
            return path.join("::");
        }
        let mut names: Vec<&str> = rest.iter().map(String::as_str).collect();
        while at != 0 {
            names.insert(0, &self.modules[at].name);
            at = self.modules[at].parent;
        }
        names.join("::")
    }
}

fn file_of(tree: &Tree, child: &syn::ItemMod, file: &str, below: &str) -> Result<String, String> {
    let name = child.ident.to_string();
    let path = child.attrs.iter().find_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) => Some(path.value()),
            _ => None,
        },
        _ => None,
    });
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let places = match path {
        Some(path) => vec![format!("{folder}/{path}")],
        None => vec![format!("{below}/{name}.rs"), format!("{below}/{name}/mod.rs")],
    };
    places.into_iter().find(|place| tree.texts.contains_key(place)).ok_or(format!("{file}: module {name} has no file"))
}

/// What a module brings in, defines and names.
#[derive(Default)]
struct Uses {
    names: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    defined: BTreeSet<String>,
    paths: Vec<(Vec<String>, usize)>,
}

impl Uses {
    fn enter_top(&mut self, item: &syn::Item) {
        let name = match item {
            _ if rust::is_for_tests(rust::attributes(item)) => return,
            syn::Item::Mod(_) => return,
            syn::Item::Use(item) => return self.enter_use(&item.tree, &mut vec![], true),
            syn::Item::Const(item) => Some(&item.ident),
            syn::Item::Enum(item) => Some(&item.ident),
            syn::Item::Fn(item) => Some(&item.sig.ident),
            syn::Item::Macro(item) => item.ident.as_ref(),
            syn::Item::Static(item) => Some(&item.ident),
            syn::Item::Struct(item) => Some(&item.ident),
            syn::Item::Trait(item) => Some(&item.ident),
            syn::Item::Type(item) => Some(&item.ident),
            syn::Item::Union(item) => Some(&item.ident),
            _ => None,
        };
        self.defined.extend(name.map(syn::Ident::to_string));
        self.visit_item(item);
    }

    /// A `use` within a function names no item of the module.
    fn enter_use(&mut self, tree: &syn::UseTree, above: &mut Vec<String>, is_top: bool) {
        let line = tree.span().start().line;
        match tree {
            syn::UseTree::Path(path) => {
                above.push(path.ident.to_string());
                self.enter_use(&path.tree, above, is_top);
                above.pop();
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.enter_use(tree, above, is_top));
            }
            syn::UseTree::Glob(_) => {
                self.paths.push((above.clone(), line));
                if is_top {
                    self.globs.push(above.clone());
                }
            }
            syn::UseTree::Name(syn::UseName { ident }) => self.enter_name(ident, ident, above, is_top),
            syn::UseTree::Rename(syn::UseRename { ident, rename, .. }) => self.enter_name(ident, rename, above, is_top),
        }
    }

    fn enter_name(&mut self, ident: &syn::Ident, name: &syn::Ident, above: &[String], is_top: bool) {
        let (mut path, mut name) = (above.to_owned(), name.to_string());
        if ident != "self" {
            path.push(ident.to_string());
        } else if name == "self" {
            name = above.last().cloned().unwrap_or_default();
        }
        self.paths.push((path.clone(), ident.span().start().line));
        if is_top {
            self.names.insert(name, path);
        }
    }

    /// Paths within a macro's arguments, which are tokens only.
    fn enter_tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut colons, mut line) = (vec![], 0, 0);
        for token in tokens {
            match &token {
                TokenTree::Ident(name) if colons == 2 || path.is_empty() => {
                    line = name.span().start().line;
                    path.push(name.to_string());
                    colons = 0;
                    continue;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' && colons < 2 && !path.is_empty() => {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => self.enter_tokens(group.stream()),
                _ => {}
            }
            self.enter_path(std::mem::take(&mut path), line);
            colons = 0;
            if let TokenTree::Ident(name) = &token {
                (path, line) = (vec![name.to_string()], name.span().start().line);
            }
        }
        self.enter_path(path, line);
    }

    fn enter_path(&mut self, path: Vec<String>, line: usize) {
        if !path.is_empty() {
            self.paths.push((path, line));
        }
    }
}

impl<'a> Visit<'a> for Uses {
    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        self.enter_use(&item.tree, &mut vec![], false);
    }
    fn visit_path(&mut self, path: &'a syn::Path) {
        let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.enter_path(names, path.span().start().line);
        visit::visit_path(self, path);
    }
    fn visit_macro(&mut self, item: &'a syn::Macro) {
        self.visit_path(&item.path);
        self.enter_tokens(item.tokens.clone());
    }
    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        if !rust::is_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }
    fn visit_attribute(&mut self, _: &'a syn::Attribute) {}
    fn visit_visibility(&mut self, _: &'a syn::Visibility) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(files: &[(&str, &str)]) -> Vec<String> {
        let modules = Modules::read(&Tree::of(files), "src/lib.rs").expect("a crate");
        modules
            .imports()
            .iter()
            .map(|import| format!("{} -> {}", modules.shown(import), modules.path(import.to)))
            .collect()
    }

    #[test]
    fn paths_are_found_in_uses_types_expressions_and_macros() {
        let a = "use crate::b::{self, B as C};\nfn f(x: super::b::B) -> u8 {\n b::g();\n assert!(x > crate::b::g(), \"{}\", b::g());\n std::mem::take(x)\n}";
        let found =
            shown(&[("src/lib.rs", "mod a; mod b;"), ("src/a.rs", a), ("src/b.rs", "pub struct B; pub fn g() {}")]);
        assert_eq!(found, ["src/a.rs:1 imports b, b::B, b::g -> src/b.rs"]);
        let found = shown(&[
            ("src/lib.rs", "mod a; mod b;"),
            ("src/a.rs", "fn f() { assert!(crate::b::g(), \"\"); }"),
            ("src/b.rs", ""),
        ]);
        assert_eq!(found, ["src/a.rs:1 imports b::g -> src/b.rs"]);
    }

    #[test]
    fn re_export_and_a_glob_are_followed_to_the_definition() {
        let files = [
            ("src/lib.rs", "mod a; mod b;"),
            ("src/a.rs", "use crate::b::*;\nuse crate::b::X;\nfn f() -> Y { Y::new() }"),
            ("src/b/mod.rs", "mod x; mod y; pub use x::X; pub use y::*;"),
            ("src/b/x.rs", "pub struct X;"),
            ("src/b/y.rs", "pub struct Y;"),
        ];
        let found = shown(&files);
        assert!(found.contains(&"src/a.rs:2 imports b::X -> src/b/x.rs".into()), "{found:?}");
        assert!(found.contains(&"src/a.rs:3 imports Y, Y::new -> src/b/y.rs".into()), "{found:?}");
    }

    #[test]
    fn inline_modules_paths_and_missing_files() {
        let files = [
            ("src/lib.rs", "mod a { mod c; } #[path = \"odd/b.rs\"] mod b; #[cfg(all(test, unix))] mod t;"),
            ("src/a/c.rs", "use super::super::b::B;"),
            ("src/odd/b.rs", "pub struct B;"),
        ];
        assert_eq!(shown(&files), ["src/a/c.rs:1 imports b::B -> src/odd/b.rs"]);
        let lost = Modules::read(&Tree::of(&[("src/lib.rs", "mod a;")]), "src/lib.rs");
        assert_eq!(lost.err(), Some("src/lib.rs: module a has no file".into()));
    }
}
