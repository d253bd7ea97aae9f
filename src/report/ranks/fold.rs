//! Merges the values that a job's ranks have for one field, by the unit in the field's name. Pure.

use serde_json::{Value, json};

/// How the numbers of several ranks become one.
#[derive(Clone, Copy, PartialEq)]
enum Rule {
    /// Energies, masses and amounts are added.
    Sum,
    /// The longest time counts.
    Most,
    /// The first rank's value counts.
    First,
}

/// The rule of a field, by the unit at the end of its name; None: the name has no unit.
fn rule(name: &str) -> Option<Rule> {
    const SUMS: [&str; 4] = ["_j", "_kwh", "_g", "_l"];
    match name {
        "litres" | "forecast_litres" | "amount" => Some(Rule::Sum),
        "unix_s" | "interval_s" => None,
        _ if name.contains("_per_") => None,
        _ if SUMS.iter().any(|unit| name.ends_with(unit)) => Some(Rule::Sum),
        _ if name.ends_with("_s") => Some(Rule::Most),
        _ => None,
    }
}

/// Merges the values that several ranks have for one field. Null adds nothing. A field without a unit has the first
/// rank's value.
fn fold(name: &str, inherited: Rule, values: &[&Value]) -> Value {
    let known: Vec<&Value> = values.iter().copied().filter(|value| !value.is_null()).collect();
    let Some(first) = known.first() else { return Value::Null };
    let rule = rule(name).unwrap_or(inherited);
    match first {
        // The share grows with time, and the ranks of a node share the devices, so it is not added.
        Value::Object(_) if name == "embodied" => (*first).clone(),
        Value::Object(fields) => {
            // A bound has the unit of its estimate. The forecast of a cost is an amount.
            let inherited = |field: &str| match field {
                "value" | "low" | "high" => rule,
                "forecast" if name == "cost" => Rule::Sum,
                _ => Rule::First,
            };
            let field = |field: &String| {
                let values: Vec<&Value> = known.iter().filter_map(|value| value.get(field)).collect();
                (field.clone(), fold(field, inherited(field), &values))
            };
            Value::Object(fields.keys().map(field).collect())
        }
        Value::Array(list) if name == "zones" => {
            let element = |n: usize| fold_all(&known.iter().filter_map(|list| list.get(n)).collect::<Vec<_>>());
            (0..list.len()).map(element).collect()
        }
        Value::Number(_) if rule != Rule::First => {
            let numbers = known.iter().filter_map(|value| value.as_f64());
            json!(if rule == Rule::Sum { numbers.reduce(|a, b| a + b) } else { numbers.reduce(f64::max) })
        }
        _ => (*first).clone(),
    }
}

/// Merges one section of the reports.
pub fn section(name: &str, ranks: &[&Value]) -> Value {
    fold(name, Rule::First, &ranks.iter().filter_map(|rank| rank.get(name)).collect::<Vec<_>>())
}

/// Merges objects of several ranks.
pub fn fold_all(values: &[&Value]) -> Value {
    fold("", Rule::First, values)
}

/// The entries of a list.
pub fn list<'a>(report: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    report.get(name).and_then(Value::as_array).into_iter().flatten()
}
