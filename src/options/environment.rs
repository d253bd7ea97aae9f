//! The library's environment variables: which ones exist, and which one a wrong name may mean.

use crate::options;
use crate::os;
use std::ffi::OsString;

const PREFIX: &str = "CARBONTRACKER_";
/// Variables that the library or a binding reads at run time, besides one for each option.
const READ: [&str; 6] = ["DISABLE", "LIB", "LUA_BACKEND", "REPORT", "KOKKOS_REGION", "KOKKOS_PHASES"];
/// Variables that builds read (CMake, luarocks), or that a cluster's module files set.
const OF_BUILDS: [&str; 15] = [
    "INSTALL",
    "LIVE",
    "CARGO_DIR",
    "DIR",
    "LIBDIR",
    "INCDIR",
    "ROOT",
    "HOME",
    "BASE",
    "PREFIX",
    "PATH",
    "BIN",
    "INC",
    "INCLUDE",
    "VERSION",
];
/// Number of unknown variables that have a message each.
const MAX_MESSAGES: usize = 8;

/// The variable that sets an option.
pub fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase())
}

/// Whether CARBONTRACKER_DISABLE turns the library off. All values do but 0, no, false, off and the empty one.
/// `variable` looks up a variable.
pub fn is_disabled(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let value = variable("CARBONTRACKER_DISABLE").unwrap_or_default();
    let value = value.to_string_lossy().trim().to_ascii_lowercase();
    !matches!(value.as_str(), "" | "0" | "no" | "false" | "off")
}

/// Messages on variables of this process that have the library's prefix and no effect. They contain no values, because
/// a value may be a key.
pub fn unknown() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    // An application with more rights than its user ignores all variables.
    unknown_of(names.filter(|name| name.starts_with(PREFIX) && os::variable(name).is_some()))
}

fn unknown_of(names: impl Iterator<Item = String>) -> Vec<String> {
    let is_known = |name: &str| {
        let variables = options::keys().map(str::to_ascii_uppercase);
        variables.chain(READ.iter().chain(&OF_BUILDS).map(|one| (*one).to_owned())).any(|one| one == name)
    };
    let suffix = |name: &str| name.strip_prefix(PREFIX).map(str::to_owned);
    let mut unknown: Vec<String> = names.filter_map(|name| suffix(&name)).filter(|name| !is_known(name)).collect();
    unknown.sort();
    let more = unknown.split_off(unknown.len().min(MAX_MESSAGES)).len();
    let mut messages: Vec<String> = unknown.iter().map(|name| in_words(name)).collect();
    if more > 0 {
        messages
            .push(format!("{more} more environment variables named {PREFIX}… have no effect: no such options exist"));
    }
    messages
}

/// The message for one unknown variable, without the prefix.
fn in_words(name: &str) -> String {
    const SHOWN_CHARACTERS: usize = 64;
    let shown: String =
        name.chars().take(SHOWN_CHARACTERS).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect();
    let readable = options::keys().chain(READ);
    let advice = match nearest(name, readable) {
        Some(known) => format!("did you mean {}?", variable_of(known)),
        None => "unset it, or see docs/src/reference/options.md".into(),
    };
    format!("the environment variable {PREFIX}{shown} has no effect, because no such option exists: {advice}")
}

/// The name that a wrong one may mean; None: no name is near. Case does not matter.
pub fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const MAX_EDITS: usize = 2;
    let wanted = wrong.to_ascii_lowercase();
    let distance = |name: &&str| strsim::damerau_levenshtein(&name.to_ascii_lowercase(), &wanted);
    // Two edits of a short name could turn it into any other one.
    names.min_by_key(distance).filter(|name| distance(name) <= MAX_EDITS && 2 * distance(name) < name.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(names: &[&str]) -> Vec<String> {
        unknown_of(names.iter().map(|name| (*name).to_owned()))
    }

    #[test]
    fn variables_that_are_read_are_known() {
        for key in options::keys() {
            assert!(unknown(&[&variable_of(key)]).is_empty(), "{key}");
        }
        for name in READ.iter().chain(&OF_BUILDS) {
            assert!(unknown(&[&format!("{PREFIX}{name}")]).is_empty(), "{name}");
        }
    }

    #[test]
    fn message_suggests_the_right_variable() {
        for (misspelt, meant) in [
            ("CARBONTRACKER_EPOCH", "CARBONTRACKER_EPOCHS?"),
            ("CARBONTRACKER_LOCATON", "CARBONTRACKER_LOCATION?"),
            ("CARBONTRACKER_LOGDIR", "CARBONTRACKER_LOG_DIR?"),
            ("CARBONTRACKER_DISABLED", "CARBONTRACKER_DISABLE?"),
            ("CARBONTRACKER_epochs", "CARBONTRACKER_EPOCHS?"),
            ("CARBONTRACKER_", "docs/src/reference/options.md"),
            ("CARBONTRACKER_FROBNICATE", "docs/src/reference/options.md"),
        ] {
            let messages = unknown(&[misspelt]);
            assert!(
                messages.len() == 1 && messages[0].contains(misspelt) && messages[0].contains(meant),
                "{messages:?}"
            );
        }
    }

    #[test]
    fn message_shows_a_short_plain_name() {
        let name = format!("CARBONTRACKER_\x1b]0;x\x07\u{202e}{}", "X".repeat(1000));
        let message = unknown(&[&name]).remove(0);
        assert!(message.len() < 300 && message.chars().all(|c| c.is_ascii() && !c.is_control()), "{message}");
        let many: Vec<String> = (10..50).map(|n| format!("CARBONTRACKER_FROB_{n}")).collect();
        let messages = unknown(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(messages.len(), 9);
        assert!(messages[8].starts_with("32 more"), "{messages:?}");
    }

    #[test]
    fn library_is_disabled_by_all_values_but_a_no() {
        let is_disabled = |value: &str| is_disabled(|name| (name == "CARBONTRACKER_DISABLE").then(|| value.into()));
        for no in ["", "0", "no", "false", "off", "No", "FALSE", " off ", "\t0\n", " "] {
            assert!(!is_disabled(no), "{no:?}");
        }
        for yes in ["1", "yes", "true", "on", "2", "00", "disable", "nope"] {
            assert!(is_disabled(yes), "{yes:?}");
        }
        assert!(!crate::options::environment::is_disabled(|_| None));
    }
}
