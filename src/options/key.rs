//! One option: its name, the values it takes, and where they go.

use super::{Options, environment, keys};
use crate::error::{Error, Result};

/// One option.
pub struct OptionKey {
    /// The key in the option string.
    pub name: &'static str,
    /// The allowed values with their unit, for the list of options and for the message that refuses another one.
    pub allowed: &'static str,
    /// What counts without the option, for people.
    pub default: &'static str,
    /// What the option is for.
    pub meaning: &'static str,
    /// Stores a value; None: the value is not allowed.
    pub set: fn(&mut Options, &str) -> Option<()>,
}

/// A row of an options table.
pub const fn key(
    name: &'static str,
    allowed: &'static str,
    default: &'static str,
    meaning: &'static str,
    set: fn(&mut Options, &str) -> Option<()>,
) -> OptionKey {
    OptionKey { name, allowed, default, meaning, set }
}

impl OptionKey {
    /// Stores a value. `name` is the name that the user set the option by.
    pub fn put(&self, options: &mut Options, name: &str, value: &str) -> Result<()> {
        let shown = if is_secret(self.name) || has_password(value) || has_key(value) { "…" } else { value };
        (self.set)(options, value).ok_or_else(|| Error::invalid(format!("{name}='{shown}': expected {}", self.allowed)))
    }
}

/// Whether no message may contain the option's value.
fn is_secret(name: &str) -> bool {
    name.ends_with("_key")
}

/// Whether a value looks like an address with a password: https://USER:PASSWORD@HOST.
fn has_password(value: &str) -> bool {
    value.split_once("//").is_some_and(|(_, rest)| rest.contains('@'))
}

/// Whether a value has the pair of a secret option in it, because the value before it is missing: `pue= api_key=…`.
fn has_key(value: &str) -> bool {
    value.rsplit('=').skip(1).any(|before| is_secret(before.trim_end()))
}

/// The part of a misplaced name that a message may show. `previous_key` is the key of the pair before. The text may be
/// the rest of a secret with a space in it. It may also be joined to a secret, as in api_key:… .
pub fn shown(name: &str, previous_key: &str) -> String {
    if is_secret(previous_key) {
        return "…".into();
    }
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match name.find(|c| !is_of_name(c)) {
        Some(end) if name.len() > end + 1 => format!("{}…", name.get(..=end).unwrap_or_default()),
        _ => name.to_owned(),
    }
}

/// The error for a key that no table has. `previous_key` is the key of the pair before.
pub fn unknown(name: &str, previous_key: &str) -> Error {
    let known: Vec<&str> = keys().collect();
    let known = known.join(", ");
    Error::invalid(match environment::nearest(name, keys()) {
        Some(key) => format!("unknown option '{name}': did you mean {key}? Options are {known}"),
        None => format!("unknown option '{}': Options are {known}", shown(name, previous_key)),
    })
}
