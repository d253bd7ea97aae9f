//! The two schemas: what they refuse, and which of their properties a document uses.

use jsonschema::{Registry, Validator};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The addresses at which the schemas refer to each other.
const BASE: &str = "file:///";
pub const REPORT: &str = "report.schema.json";
pub const JOURNAL: &str = "journal.schema.json";

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    Report,
    Journal,
}

pub struct Schemas {
    pub report: Value,
    pub journal: Value,
    of_report: Validator,
    of_line: Validator,
    of_kind: Vec<(&'static str, Validator)>,
}

/// The kinds of journal lines, each with a field that the kinds after it do not have.
const KINDS: [(&str, &str); 8] = [
    ("journal", "opening"),
    ("components", "components"),
    ("index", "epoch"),
    ("end", "end"),
    ("so_far", "beat"),
    ("phases", "phases"),
    ("share", "share"),
    ("note", "note"),
];

pub fn folder() -> PathBuf {
    Path::new(crate::ROOT).join("docs/src/reference")
}

fn read(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join(name)).expect(name)).expect(name)
}

impl Schemas {
    pub fn new() -> Schemas {
        let (report, journal) = (read(REPORT), read(JOURNAL));
        [&report, &journal].iter().for_each(|schema| jsonschema::meta::validate(schema).expect("a schema of 2020-12"));
        let uri = |name: &str| format!("{BASE}{name}");
        let registry = Registry::new().add(uri(REPORT), report.clone()).expect("added");
        let registry = registry.add(uri(JOURNAL), journal.clone()).expect("added").prepare().expect("prepared");
        let of =
            |at: String| jsonschema::options().with_registry(&registry).build(&json!({"$ref": at})).expect("built");
        let (of_report, of_line) = (of(uri(REPORT)), of(uri(JOURNAL)));
        let of_kind = KINDS.map(|(field, kind)| (field, of(format!("{}#/$defs/{kind}", uri(JOURNAL))))).into();
        Schemas { report, journal, of_report, of_line, of_kind }
    }

    /// The errors of a report, or of a journal line.
    pub fn errors(&self, place: Place, document: &Value) -> Vec<String> {
        // The whole schema of a line only reports that no kind fits.
        let of_kind = || self.of_kind.iter().find(|(field, _)| document.get(*field).is_some());
        let validator = match place {
            Place::Report => &self.of_report,
            Place::Journal if self.of_line.is_valid(document) => &self.of_line,
            Place::Journal => of_kind().map_or(&self.of_line, |(_, validator)| validator),
        };
        let errors = validator.iter_errors(document);
        errors.map(|error| format!("{}: {error}", error.instance_path()).chars().take(300).collect()).collect()
    }

    pub fn root(&self, place: Place) -> &Value {
        if place == Place::Report { &self.report } else { &self.journal }
    }

    /// The target of a reference, and its schema.
    pub fn follow(&self, place: Place, reference: &str) -> (Place, &Value) {
        let (file, pointer) = reference.split_once('#').expect("a pointer");
        let place = if file == REPORT { Place::Report } else { place };
        (place, self.root(place).pointer(pointer).unwrap_or_else(|| panic!("{reference}")))
    }

    /// Notes each property that has a value in a document.
    pub fn mark(&self, place: Place, document: &Value, seen: &mut HashSet<*const Value>) {
        match KINDS.iter().find(|(field, _)| place == Place::Journal && document.get(field).is_some()) {
            Some((_, kind)) => self.visit(place, &self.journal["$defs"][*kind], document, seen),
            None => self.visit(place, self.root(place), document, seen),
        }
    }

    fn visit(&self, place: Place, schema: &Value, document: &Value, seen: &mut HashSet<*const Value>) {
        if document.is_null() {
            return;
        }
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let (place, schema) = self.follow(place, reference);
            // A property that refers to another one also counts as that one.
            seen.insert(std::ptr::from_ref(schema));
            self.visit(place, schema, document, seen);
        }
        if let Some(first) = schema.pointer("/oneOf/0").filter(|_| schema.get("$defs").is_none()) {
            self.visit(place, first, document, seen);
        }
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if let Some(value) = document.get(name).filter(|value| !value.is_null()) {
                seen.insert(std::ptr::from_ref(property));
                self.visit(place, property, value, seen);
            }
        }
        let list = || document.as_array().into_iter().flatten();
        if let Some(items) = schema.get("items") {
            list().for_each(|value| self.visit(place, items, value, seen));
        }
        let items = schema.get("prefixItems").and_then(Value::as_array).into_iter().flatten();
        items.zip(list()).for_each(|(items, value)| self.visit(place, items, value, seen));
    }

    /// The objects of a schema, by name. The root comes first.
    pub fn objects(&self, place: Place) -> impl Iterator<Item = (&str, &Value)> {
        let root = self.root(place);
        let whole = (place == Place::Report).then_some(("report", root));
        let defs = root["$defs"].as_object().into_iter().flatten().map(|(name, of)| (name.as_str(), of));
        whole.into_iter().chain(defs)
    }

    /// Each property: schema, object, name and place.
    pub fn properties(&self) -> impl Iterator<Item = (String, *const Value)> {
        [Place::Report, Place::Journal].into_iter().flat_map(move |place| {
            let of = if place == Place::Report { "report" } else { "journal" };
            self.objects(place).flat_map(move |(object, schema)| {
                let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
                properties.map(move |(name, property)| (format!("{of} {object} {name}"), std::ptr::from_ref(property)))
            })
        })
    }
}
