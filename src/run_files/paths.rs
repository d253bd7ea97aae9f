//! Where a run's files are, and what they are called.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A folder, and how the names in it begin: STEM, of later runs of that stem STEM-2, STEM-3, …
#[derive(Clone, Debug, PartialEq)]
pub struct RunPaths {
    folder: PathBuf,
    stem: String,
    number: u64,
}

/// The run's name and the host's are cut to this many bytes: a file name holds 255.
const LONGEST: usize = 80;

impl RunPaths {
    /// The place of a new run that is never looked for by name: PREFIX_HOST_PID_DATE_ID, unique. `started` is RFC 3339.
    pub fn new(folder: &Path, prefix: &str, host: &str, started: &str, id: &str) -> RunPaths {
        let [prefix, host, started] = [prefix, host, &started.replace(':', "")].map(in_a_name);
        let id = id.get(..8).unwrap_or(id);
        let stem = format!("{prefix}_{host}_{}_{started}_{id}", std::process::id());
        RunPaths { folder: folder.to_owned(), stem, number: 1 }
    }

    /// The first place of runs that each later process can compute: PREFIX, with a rank PREFIX_rRANK.
    pub fn computed(folder: &Path, prefix: &str, rank: Option<u64>) -> RunPaths {
        let rank = rank.map_or(String::new(), |rank| format!("_r{rank}"));
        RunPaths { folder: folder.to_owned(), stem: in_a_name(prefix) + &rank, number: 1 }
    }

    /// The place of the run that has this journal.
    pub fn of_journal(journal: &Path) -> RunPaths {
        let folder = journal.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = journal.file_name().unwrap_or_default().to_string_lossy();
        let stem = name.strip_suffix(JOURNAL).unwrap_or(&name).to_owned();
        RunPaths { folder: folder.to_owned(), stem, number: 1 }
    }

    /// The place of this number beside it.
    pub fn numbered(&self, number: u64) -> RunPaths {
        RunPaths { number, ..self.clone() }
    }

    /// The newest place of its stem that has a journal, with few looks at the folder; None: those looked at have none.
    pub fn newest(&self) -> io::Result<Option<RunPaths>> {
        let mut unread = None;
        let newest = last_over_gaps(0, |number| match std::fs::symlink_metadata(self.numbered(number).file(JOURNAL)) {
            Ok(_) => true,
            Err(error) => {
                unread = unread.take().or(Some(error).filter(|error| error.kind() != ErrorKind::NotFound));
                false
            }
        });
        unread.map_or(Ok((newest > 0).then(|| self.numbered(newest))), Err)
    }

    /// The first place for a new run of this stem.
    pub fn free(&self) -> RunPaths {
        self.free_after(0)
    }

    /// The next place beside it, for a run whose place is taken.
    pub fn beside(&self) -> RunPaths {
        self.free_after(self.number)
    }

    /// The first place for a new run after this number and each newer run: no run has left a file there that would be added
    /// to or replaced.
    fn free_after(&self, number: u64) -> RunPaths {
        let mut place = self.numbered(last_over_gaps(number, |number| self.numbered(number).is_there(JOURNAL)) + 1);
        while [JOURNAL, REPORT, STANDARD].iter().any(|ending| place.is_there(ending)) {
            place.number += 1;
        }
        place
    }

    /// The places before it, newest first.
    pub fn earlier(&self) -> impl Iterator<Item = RunPaths> {
        (1..self.number).rev().map(|number| self.numbered(number))
    }

    /// Whether one of the run's files is there, or a link in its place.
    fn is_there(&self, ending: &str) -> bool {
        std::fs::symlink_metadata(self.file(ending)).is_ok()
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// One of the run's files.
    pub fn file(&self, ending: &str) -> PathBuf {
        let number = if self.number > 1 { format!("-{}", self.number) } else { String::new() };
        self.folder.join(format!("{}{number}{ending}", self.stem))
    }

    /// The age of a journal that may be this run's, by its name: one of this stem, or of this prefix as `new` names it.
    pub fn age_of(&self, prefix: &str, name: &str) -> Option<Age> {
        let stem = name.strip_suffix(JOURNAL)?;
        if let Some(rest) = stem.strip_prefix(&self.stem) {
            let number: Option<u32> =
                if rest.is_empty() { Some(1) } else { rest.strip_prefix('-').and_then(|n| n.parse().ok()) };
            if let Some(number) = number {
                return Some(Age::Computed(u64::from(number)));
            }
        }
        let mut rest = stem.strip_prefix(&in_a_name(prefix))?.strip_prefix('_')?.rsplitn(4, '_');
        let (id, started, process, _host) = (rest.next()?, rest.next()?, rest.next()?, rest.next()?);
        let (id, number) = id.split_once('-').unwrap_or((id, "1"));
        let is_ours = id.len() == 8 && started.ends_with('Z') && process.parse::<u32>().is_ok();
        is_ours.then(|| Age::Started(started.to_owned(), number.parse().unwrap_or(1)))
    }
}

/// The rank that a computed name of any prefix has: of PREFIX_rRANK or PREFIX_rRANK-NUMBER.
pub fn rank_in(name: &str) -> Option<u64> {
    let (_, end) = name.strip_suffix(JOURNAL)?.rsplit_once("_r")?;
    end.split('-').next()?.parse().ok()
}

/// What shows a journal's age, mostly its name; a later one is greater.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    /// When it was written last: its name shows nothing.
    Written(SystemTime),
    /// When its run began, and its number among those of its stem.
    Started(String, u64),
    /// Its number among those of its stem.
    Computed(u64),
}

/// Up to this many numbers in a row may be of journals that were moved away.
const GAP: u64 = 3;

/// The last number that exists, from one that counts as such, where some between may be missing. None is asked for twice.
fn last_over_gaps(first: u64, mut exists: impl FnMut(u64) -> bool) -> u64 {
    let mut known = HashMap::new();
    let mut exists = |number| *known.entry(number).or_insert_with(|| exists(number));
    let mut there = last(first, &mut exists);
    while let Some(next) = (there + 1..=there + GAP + 1).find(|number| exists(*number)) {
        there = last(next, &mut exists);
    }
    there
}

/// The last of consecutive numbers that exist, from one that does: by steps that double, then by bisection.
fn last(first: u64, mut exists: impl FnMut(u64) -> bool) -> u64 {
    const LONGEST_STEP: u64 = 1 << 32;
    let (mut there, mut step) = (first, 1);
    while step < LONGEST_STEP && exists(there + step) {
        there += step;
        step *= 2;
    }
    while step > 1 {
        step /= 2;
        if exists(there + step) {
            there += step;
        }
    }
    there
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
        let place = RunPaths::new(Path::new("logs"), "../x", "node/1", "2026-01-02T03:04:05Z", "0123456789abcdef");
        let journal = place.file(JOURNAL);
        assert_eq!(journal.parent(), Some(Path::new("logs")));
        let name = journal.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("_._x_node_1_") && name.ends_with("_2026-01-02T030405Z_01234567.jsonl"), "{name}");
        assert_eq!(RunPaths::of_journal(&journal), place);
        assert_eq!(RunPaths::of_journal(Path::new("a.jsonl")).file(REPORT), Path::new("./a.json"));
        let third = RunPaths::of_journal(Path::new("/b/a-b.jsonl")).beside().beside();
        assert_eq!(third.file(JOURNAL), Path::new("/b/a-b-3.jsonl"));
        assert_eq!(RunPaths::computed(Path::new("/b"), "x y", Some(3)).file(JOURNAL), Path::new("/b/x_y_r3.jsonl"));
    }

    #[test]
    fn the_newest_number_is_found_by_few_looks() {
        for newest in (1..200).chain([4095, 4096, 10_000, 1_000_000]) {
            let mut looks = 0;
            let found = last(1, |number| {
                looks += 1;
                number <= newest
            });
            assert!(found == newest && looks <= 2 * newest.ilog2() + 2, "{newest}: {found} by {looks} looks");
        }
        assert_eq!(last(7, |number| number <= 9), 9);
    }

    #[test]
    fn numbers_behind_a_gap_are_found() {
        for (there, newest) in [
            (&[1, 3][..], 3),
            (&[2], 2),
            (&[1, 2, 4, 5, 6, 10], 10),
            (&[1, 6], 1), // too wide
            (&[], 0),
        ] {
            assert_eq!(last_over_gaps(0, |number| there.contains(&number)), newest, "{there:?}");
        }
    }

    #[test]
    fn a_new_run_gets_no_name_of_which_a_file_is_left() {
        let folder = std::env::temp_dir().join(format!("carbontracker-place-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let place = RunPaths::computed(&folder, "x", None);
        let put = |name: &str| std::fs::write(folder.join(name), "").unwrap();
        assert_eq!((place.free(), place.newest().unwrap()), (place.clone(), None));
        put("x.json");
        assert_eq!(place.free(), place.numbered(2));
        put("x-2.jsonl");
        put("x-3_carbontracker.log");
        put("x-4.json");
        assert_eq!((place.free(), place.numbered(2).beside()), (place.numbered(5), place.numbered(5)));
        assert_eq!(place.newest().unwrap(), Some(place.numbered(2)));
        put("x-5.jsonl");
        assert_eq!((place.free(), place.numbered(5).beside()), (place.numbered(6), place.numbered(6)));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn names_show_whose_they_may_be_and_how_old() {
        let place = RunPaths::computed(Path::new("/b"), "x", Some(3));
        let old = "x_node_1_77_2026-01-02T030405Z_01234567";
        for (name, expected) in [
            ("x_r3.jsonl", Some(Age::Computed(1))),
            ("x_r3-12.jsonl", Some(Age::Computed(12))),
            ("x_r31.jsonl", None),
            ("x_r3.json", None),
            ("y_r3.jsonl", None),
            (&format!("{old}.jsonl"), Some(Age::Started("2026-01-02T030405Z".into(), 1))),
            (&format!("{old}-2.jsonl"), Some(Age::Started("2026-01-02T030405Z".into(), 2))),
            (&format!("y{old}.jsonl"), None),
        ] {
            assert_eq!(place.age_of("x", name), expected, "{name}");
        }
        for (name, expected) in
            [("y_r3.jsonl", Some(3)), ("y_r31-2.jsonl", Some(31)), ("y_r.jsonl", None), ("y.jsonl", None)]
        {
            assert_eq!(rank_in(name), expected, "{name}");
        }
        assert!(Age::Started("2026-01-02T030405Z".into(), 3) > Age::Written(SystemTime::now()));
        assert!(Age::Computed(1) > Age::Started("2026-01-02T030405Z".into(), 3));
        assert!(Age::Computed(12) > Age::Computed(2));
    }
}
