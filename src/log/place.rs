//! Where a run's files are, and what they are called.

use std::path::{Path, PathBuf};

/// A folder, and how the names in it begin.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    folder: PathBuf,
    stem: String,
}

/// The run's name and the host's are cut to so many bytes: a file name holds 255.
const LONGEST: usize = 80;

impl Place {
    /// Of a new run: PREFIX_HOST_PID_DATE_ID, which no two have alike. `started` is RFC 3339.
    pub fn new(folder: &Path, prefix: &str, host: &str, started: &str, id: &str) -> Place {
        let [prefix, host, started] = [prefix, host, &started.replace(':', "")].map(in_a_name);
        let id = id.get(..8).unwrap_or(id);
        let stem = format!("{prefix}_{host}_{}_{started}_{id}", std::process::id());
        Place { folder: folder.to_owned(), stem }
    }

    /// Of the run that has this journal.
    pub fn of_journal(journal: &Path) -> Place {
        let folder = journal.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = journal.file_name().unwrap_or_default().to_string_lossy();
        let stem = name.strip_suffix(JOURNAL).unwrap_or(&name).to_owned();
        Place { folder: folder.to_owned(), stem }
    }

    /// The next place beside it, for a run whose files are another's by now: STEM-2, STEM-3, …
    pub fn beside(&self) -> Place {
        let numbered = self.stem.rsplit_once('-').and_then(|(stem, number)| Some((stem, number.parse::<u8>().ok()?)));
        let (stem, number) = numbered.unwrap_or((&self.stem, 1));
        Place { folder: self.folder.clone(), stem: format!("{stem}-{}", number.saturating_add(1)) }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// One of the run's files.
    pub fn file(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}{ending}", self.stem))
    }
}

/// How the journal's name ends.
pub const JOURNAL: &str = ".jsonl";
/// The final report's.
pub const REPORT: &str = ".json";
/// Prometheus' text file's.
pub const PROMETHEUS: &str = ".prom";
/// Carbontracker's logs': what happened,
pub const STANDARD: &str = "_carbontracker.log";
/// and what was used.
pub const OUTPUT: &str = "_carbontracker_output.log";

/// A text as part of a file's name: what a shell or a file system might take for something else is `_`. Carbontracker knows
/// its logs by its own name, wherever in theirs it stands.
pub fn in_a_name(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-.+".contains(c);
    let text = text.replace("carbontracker", "tracker");
    let name: String = text.chars().take(LONGEST).map(|c| if is_plain(c) { c } else { '_' }).collect();
    // A leading dot would hide it, a dash look like an option.
    match name.chars().next() {
        None | Some('.' | '-') => format!("_{}", name.get(1..).unwrap_or_default()),
        Some(_) => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_stay_in_their_folder() {
        for (text, expected) in [
            ("resnet-50", "resnet-50"),
            ("../a/b", "_._a_b"),
            ("a b\n\"c\"", "a_b__c_"),
            ("", "_"),
            ("-rf", "_rf"),
            (".hidden", "_hidden"),
            ("Müller", "M_ller"),
            ("carbontracker-test", "tracker-test"),
        ] {
            assert_eq!(in_a_name(text), expected);
        }
        assert_eq!(in_a_name(&"x".repeat(500)).len(), LONGEST);
        let place = Place::new(Path::new("logs"), "../x", "node/1", "2026-01-02T03:04:05Z", "0123456789abcdef");
        let journal = place.file(JOURNAL);
        assert_eq!(journal.parent(), Some(Path::new("logs")));
        let name = journal.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("_._x_node_1_") && name.ends_with("_2026-01-02T030405Z_01234567.jsonl"), "{name}");
        assert_eq!(Place::of_journal(&journal), place);
        assert_eq!(Place::of_journal(Path::new("a.jsonl")).file(REPORT), Path::new("./a.json"));
        let third = Place::of_journal(Path::new("/b/a-b.jsonl")).beside().beside();
        assert_eq!(third.file(JOURNAL), Path::new("/b/a-b-3.jsonl"));
    }
}
