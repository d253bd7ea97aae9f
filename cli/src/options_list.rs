//! The options of the library as a list for people, from the library's own table.

use crate::console::{Done, print};
use crate::wrap;
use carbontracker::options::environment::{nearest, variable_of};
use carbontracker::options::{OptionKey, TABLES, keys};
use std::process::ExitCode;

/// Columns before an option's meaning: the longest key has 14 characters.
const KEY_COLUMNS: usize = 18;

/// List the options of the library: values, units, defaults
#[derive(clap::Args)]
pub struct OptionsArgs {
    /// Only options whose key or meaning has this word
    word: Option<String>,
}

impl OptionsArgs {
    /// Prints the list.
    pub fn call(self) -> Done {
        let text = list(self.word.as_deref().unwrap_or_default(), wrap::columns());
        let word = self.word.unwrap_or_default();
        if text.is_empty() {
            let advice = match nearest(&word, keys()) {
                Some(key) => format!("did you mean {key}?"),
                None => "'carbontracker options' lists all".into(),
            };
            return Err(format!("no option has the word '{word}': {advice}"));
        }
        print(&text).map(|_| ExitCode::SUCCESS)
    }
}

/// The text below the help of `options`.
pub fn help() -> String {
    let rows = list("", usize::MAX);
    let conf = "An option is set by -o KEY=VALUE, by a variable CARBONTRACKER_KEY, or by a line KEY=VALUE of a \
        configuration file: /etc/carbontracker.conf, $XDG_CONFIG_HOME/carbontracker/carbontracker.conf (by default \
        ~/.config), and ./carbontracker.conf. -o wins over the variable, the variable over the files, and a later file \
        over an earlier one.";
    format!("{conf}\n\n{rows}\nExit status: 0 done, 1 no option has the word, 2 wrong arguments.")
}

/// The options that have a word, by stage, in lines of at most `most` columns.
fn list(word: &str, most: usize) -> String {
    let word = word.to_lowercase();
    let has_word = |key: &&OptionKey| {
        [key.name, key.meaning, key.allowed].iter().any(|text| text.to_lowercase().contains(&word))
            || variable_of(key.name).to_lowercase() == word
    };
    let mut text = String::new();
    for (heading, keys) in TABLES {
        let keys: Vec<&OptionKey> = keys.iter().filter(has_word).collect();
        if keys.is_empty() {
            continue;
        }
        let gap = if text.is_empty() { "" } else { "\n" };
        text += &format!("{gap}{heading}:\n");
        for key in keys {
            let line = |start: &str, rest: &str| {
                wrap::filled(&format!("  {start:<width$}{rest}", width = KEY_COLUMNS - 2), most, KEY_COLUMNS) + "\n"
            };
            text += &line(key.name, key.meaning);
            text += &line("", &format!("values: {}; default: {}", key.allowed, key.default));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_has_all_options_and_fits() {
        let text = list("", 80);
        for key in keys() {
            assert!(text.lines().any(|line| line.trim_start().starts_with(&format!("{key} "))), "{key}: {text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(keys().all(|key| key.len() + 4 <= KEY_COLUMNS));
        assert!(list("water", 80).contains("wue_grid") && !list("water", 80).contains("epochs "));
        assert!(list("CARBONTRACKER_PUE", 80).starts_with("Carbon:\n  pue "));
        assert_eq!(list("no such word", 80), "");
    }
}
