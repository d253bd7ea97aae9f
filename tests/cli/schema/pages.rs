//! The tables of the report's and the journal's pages, made from the schemas.

use super::schemas::{JOURNAL, Place, REPORT, Schemas, folder};
use serde_json::Value;

const PAGES: [(Place, &str); 2] = [(Place::Report, "report-schema.md"), (Place::Journal, "journal-format.md")];

/// The line before a table names the object that it describes.
const MARK: &str = "<!-- table ";

/// Each page has the tables of its schema, one for each object.
pub fn check(schemas: &Schemas) {
    for (place, name) in PAGES {
        let path = folder().join(name);
        let mut page = std::fs::read_to_string(&path).expect(name);
        let fresh = renewed(schemas, place, &page);
        if std::env::var_os("CT_UPDATE").is_some() {
            std::fs::write(&path, &fresh).expect(name);
            page.clone_from(&fresh);
        }
        assert!(fresh == page, "{name} is stale: CT_UPDATE=1 cargo test --test cli schema");
        for (object, _) in schemas.objects(place) {
            assert!(page.contains(&format!("{MARK}{object} -->")), "{name} has no table of {object}");
        }
        let schema = if place == Place::Report { REPORT } else { JOURNAL };
        assert!(page.contains(schema), "{name} does not name {schema}");
    }
}

/// The page with new tables.
fn renewed(schemas: &Schemas, place: Place, page: &str) -> String {
    let mut fresh = String::new();
    let mut is_table = false;
    for line in page.lines() {
        is_table &= line.starts_with('|');
        if is_table {
            continue;
        }
        fresh += line;
        fresh.push('\n');
        if let Some(object) = line.strip_prefix(MARK).and_then(|rest| rest.strip_suffix(" -->")) {
            let found = schemas.objects(place).find(|(name, _)| *name == object);
            fresh += &table(schemas, place, found.unwrap_or_else(|| panic!("no object is named {object}")).1);
            is_table = true;
        }
    }
    fresh
}

fn table(schemas: &Schemas, place: Place, object: &Value) -> String {
    let mut table = "| Field | Type | Unit | Meaning |\n|---|---|---|---|\n".to_owned();
    let required: Vec<&str> = object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut row = |name: &str, schema: &Value, is_required: bool| {
        let (meaning, unit) = meaning(schemas, place, schema);
        let optional = if is_required { "" } else { "Optional. " };
        table += &format!("| {name} | {} | {unit} | {optional}{meaning} |\n", kind(schemas, (place, place), schema));
    };
    for (name, schema) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
        row(&format!("`{name}`"), schema, required.contains(&name.as_str()));
    }
    for (n, schema) in object.get("prefixItems").and_then(Value::as_array).into_iter().flatten().enumerate() {
        row(&format!("[{n}]"), schema, true);
    }
    table
}

/// A field's meaning and its unit.
fn meaning(schemas: &Schemas, place: Place, schema: &Value) -> (String, String) {
    let Some(words) = schema.get("description").and_then(Value::as_str) else {
        let reference =
            schema.get("$ref").and_then(Value::as_str).unwrap_or_else(|| panic!("no description: {schema}"));
        let (place, schema) = schemas.follow(place, reference);
        return meaning(schemas, place, schema);
    };
    match words.split_once(" Unit: ") {
        Some((meaning, unit)) => (meaning.to_owned(), unit.trim_end_matches('.').to_owned()),
        None => (words.to_owned(), String::new()),
    }
}

/// A type in words, with its bounds, for the page of the one schema; the other has the property.
fn kind(schemas: &Schemas, (page, place): (Place, Place), schema: &Value) -> String {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let (of, found) = schemas.follow(place, reference);
        let Some(object) = reference.split("$defs/").nth(1).filter(|rest| !rest.contains('/')) else {
            return kind(schemas, (page, of), found);
        };
        let page = if of == page { "" } else { PAGES[0].1 };
        return format!("[{object}]({page}#{object})");
    }
    if let Some(of) = schema.get("oneOf").and_then(Value::as_array) {
        return of.iter().map(|one| kind(schemas, (page, place), one)).collect::<Vec<_>>().join(" or ");
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().map(shown).collect::<Vec<_>>().join(", ");
    }
    if let Some(value) = schema.get("const") {
        return shown(value);
    }
    if let Some(items) = schema.get("items").filter(|items| items.is_object()) {
        let null = if schema["type"].is_array() { " or null" } else { "" };
        return format!("list of {}{null}", kind(schemas, (page, place), items));
    }
    if let Some(items) = schema.get("prefixItems").and_then(Value::as_array) {
        return format!(
            "list of {}",
            items.iter().map(|one| kind(schemas, (page, place), one)).collect::<Vec<_>>().join(", ")
        );
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let bound = |name: &str| schema.get(name).map(Value::to_string);
    let bounds = match (bound("minimum"), bound("exclusiveMinimum"), bound("maximum")) {
        (Some(low), _, Some(high)) => format!(" {low} to {high}"),
        (Some(low), ..) => format!(" ≥ {low}"),
        (_, Some(low), Some(high)) => format!(" > {low}, ≤ {high}"),
        (_, Some(low), _) => format!(" > {low}"),
        (.., Some(high)) => format!(" ≤ {high}"),
        _ => String::new(),
    };
    let (first, rest) = types.split_first().unwrap_or_else(|| panic!("no type: {schema}"));
    rest.iter().fold(format!("{first}{bounds}"), |all, one| format!("{all} or {one}"))
}

fn shown(value: &Value) -> String {
    value.as_str().map_or(value.to_string(), |text| format!("`{text}`"))
}

/// The lines of a journal that its page shows.
pub fn examples() -> Vec<Value> {
    let page = std::fs::read_to_string(folder().join(PAGES[1].1)).expect("the page");
    let blocks = page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.map(|block| serde_json::from_str(block).unwrap_or_else(|error| panic!("{error}: {block}"))).collect()
}
