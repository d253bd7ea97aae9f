//! The folder and the names of a run's files.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A folder, and the beginning of a run's file names in it: STEM for the first run, then STEM-2, STEM-3, …
#[derive(Clone, Debug, PartialEq)]
pub struct RunPaths {
    folder: PathBuf,
    stem: String,
    number: u64,
}

/// Longest part of a file name that a run's or host's name gives, characters. A file name holds 255 bytes.
const MAX_NAME_PART: usize = 80;

impl RunPaths {
    /// The paths of a new run that is never searched by name. They are unique: PREFIX_HOST_PID_DATE_ID.
    /// `started` is RFC 3339.
    pub fn new(folder: &Path, prefix: &str, host: &str, started: &str, id: &str) -> RunPaths {
        let [prefix, host, started] = [prefix, host, &started.replace(':', "")].map(name_part);
        let id = id.get(..8).unwrap_or(id);
        let stem = format!("{prefix}_{host}_{}_{started}_{id}", crate::os::process_id());
        RunPaths { folder: folder.to_owned(), stem, number: 1 }
    }

    /// The first paths that each later process can compute: PREFIX, or PREFIX_rRANK with a rank.
    pub fn computed(folder: &Path, prefix: &str, rank: Option<u64>) -> RunPaths {
        let rank = rank.map_or(String::new(), |rank| format!("_r{rank}"));
        RunPaths { folder: folder.to_owned(), stem: name_part(prefix) + &rank, number: 1 }
    }

    /// The paths of the run that has this journal.
    pub fn of_journal(journal: &Path) -> RunPaths {
        let folder = journal.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = journal.file_name().unwrap_or_default().to_string_lossy();
        let stem = name.strip_suffix(JOURNAL).unwrap_or(&name).to_owned();
        RunPaths { folder: folder.to_owned(), stem, number: 1 }
    }

    /// The paths with the same stem and this number.
    pub fn numbered(&self, number: u64) -> RunPaths {
        RunPaths { number, ..self.clone() }
    }

    /// The paths of this stem with the newest journal, found with few system calls. None: no journal was found. Fails
    /// if the folder cannot be read.
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

    /// The first free paths for a new run of this stem.
    pub fn free(&self) -> RunPaths {
        self.free_after(0)
    }

    /// The next free paths of this stem, for a run whose name is taken.
    pub fn next_free(&self) -> RunPaths {
        self.free_after(self.number)
    }

    /// The first free paths after this number and after all newer runs. Free means that no run has left a file there
    /// that would be appended to or replaced.
    fn free_after(&self, number: u64) -> RunPaths {
        let mut paths = self.numbered(last_over_gaps(number, |number| self.numbered(number).has_file(JOURNAL)) + 1);
        while [JOURNAL, REPORT, STANDARD].iter().any(|ending| paths.has_file(ending)) {
            paths.number += 1;
        }
        paths
    }

    /// The paths with lower numbers, newest first.
    pub fn earlier(&self) -> impl Iterator<Item = RunPaths> {
        (1..self.number).rev().map(|number| self.numbered(number))
    }

    /// Whether one of the run's files exists, or a link of that name.
    fn has_file(&self, ending: &str) -> bool {
        std::fs::symlink_metadata(self.file(ending)).is_ok()
    }

    /// The folder of the files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of one of the run's files. `ending` is one of the constants of this module, such as [`JOURNAL`].
    pub fn file(&self, ending: &str) -> PathBuf {
        let number = if self.number > 1 { format!("-{}", self.number) } else { String::new() };
        self.folder.join(format!("{}{number}{ending}", self.stem))
    }

    /// The age of a journal that may belong to this run, by its file name. The name has this stem, or has this prefix
    /// in the form that [`RunPaths::new`] makes. None: it belongs to another run.
    pub fn age_of(&self, prefix: &str, name: &str) -> Option<Age> {
        let stem = name.strip_suffix(JOURNAL)?;
        if let Some(rest) = stem.strip_prefix(&self.stem) {
            let number: Option<u32> =
                if rest.is_empty() { Some(1) } else { rest.strip_prefix('-').and_then(|n| n.parse().ok()) };
            if let Some(number) = number {
                return Some(Age::Computed(u64::from(number)));
            }
        }
        let mut rest = stem.strip_prefix(&name_part(prefix))?.strip_prefix('_')?.rsplitn(4, '_');
        let (id, started, process, _host) = (rest.next()?, rest.next()?, rest.next()?, rest.next()?);
        let (id, number) = id.split_once('-').unwrap_or((id, "1"));
        let is_ours = id.len() == 8 && started.ends_with('Z') && process.parse::<u32>().is_ok();
        is_ours.then(|| Age::Started(started.to_owned(), number.parse().unwrap_or(1)))
    }
}

/// Whether the name of a journal allows it to be of a process with this rank. The run of a process without a rank may
/// have any name, such as `net_r2`.
pub fn may_be_of_rank(name: &str, rank: Option<u64>) -> bool {
    rank.is_none() || rank_in(name).is_none_or(|named| rank == Some(named))
}

/// The rank in a journal's computed file name, PREFIX_rRANK or PREFIX_rRANK-NUMBER, with any prefix.
fn rank_in(name: &str) -> Option<u64> {
    let (_, end) = name.strip_suffix(JOURNAL)?.rsplit_once("_r")?;
    end.split('-').next()?.parse().ok()
}

/// Whether a stem has the form that [`RunPaths::new`] makes, PREFIX_HOST_PID_DATE_ID or the same with a number, and the
/// first digits of the run's identifier are those in it.
pub fn is_stem_of(stem: &str, id: &str) -> bool {
    let mut parts = stem.rsplitn(4, '_');
    let (Some(end), Some(_), Some(process), Some(rest)) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let (digits, number) = end.split_once('-').unwrap_or((end, "1"));
    let is_number = |text: &str| text.parse::<u32>().is_ok();
    let has_numbers = is_number(process) && is_number(number) && started_in(stem).is_some();
    has_numbers && digits.len() == 8 && id.starts_with(digits) && rest.contains('_')
}

/// The begin of a run in the name of its file, as [`RunPaths::new`] makes it: PREFIX_HOST_PID_DATE_ID.
pub fn started_in(stem: &str) -> Option<SystemTime> {
    let (rest, id) = stem.rsplit_once('_')?;
    let (_, date) = rest.rsplit_once('_')?;
    let (day, time) = date.strip_suffix('Z')?.split_once('T').filter(|_| id.len() >= 8)?;
    let (hour, minute, second) = (time.get(..2)?, time.get(2..4)?, time.get(4..6)?);
    humantime::parse_rfc3339(&format!("{day}T{hour}:{minute}:{second}Z")).ok().filter(|_| time.len() == 6)
}

/// The age of a journal, mostly by its name. A newer journal is greater.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    /// The time of the last write, because the name has no age.
    Written(SystemTime),
    /// The time when the run began, and the number behind the stem.
    Started(String, u64),
    /// The number behind the stem.
    Computed(u64),
}

/// Most consecutive numbers whose journals were moved away that a search skips.
const MAX_GAP_JOURNALS: u64 = 3;

/// The last number that exists, from `first` on. Up to [`MAX_GAP_JOURNALS`] numbers in a row may be missing. `exists`
/// is called at most once for each number.
fn last_over_gaps(first: u64, mut exists: impl FnMut(u64) -> bool) -> u64 {
    let mut known = HashMap::new();
    let mut exists = |number| *known.entry(number).or_insert_with(|| exists(number));
    let mut there = last(first, &mut exists);
    while let Some(next) = (there + 1..=there + MAX_GAP_JOURNALS + 1).find(|number| exists(*number)) {
        there = last(next, &mut exists);
    }
    there
}

/// The last of the consecutive numbers that exist, from `first` on, which exists. Steps double, then a
/// bisection follows.
fn last(first: u64, mut exists: impl FnMut(u64) -> bool) -> u64 {
    const MAX_STEP: u64 = 1 << 32;
    let (mut there, mut step) = (first, 1);
    while step < MAX_STEP && exists(there + step) {
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

/// The ending of the journal's name.
pub const JOURNAL: &str = ".jsonl";
/// The ending of the final report's name.
pub const REPORT: &str = ".json";
/// The ending of the name of Prometheus' text file.
pub const PROMETHEUS: &str = ".prom";
/// The ending of the name of Carbontracker's standard log.
pub const STANDARD: &str = "_carbontracker.log";
/// The ending of the name of Carbontracker's output log.
pub const OUTPUT: &str = "_carbontracker_output.log";

/// A text as part of a file name. Characters with a meaning for a shell or a file system become `_`. The word
/// "carbontracker" becomes "tracker", because Carbontracker for Python recognises its logs by that word.
pub fn name_part(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-.+".contains(c);
    let text = text.replace("carbontracker", "tracker");
    let name: String = text.chars().take(MAX_NAME_PART).map(|c| if is_plain(c) { c } else { '_' }).collect();
    // A leading dot would hide the file; a leading dash would look like an option.
    match name.chars().next() {
        None | Some('.' | '-') => format!("_{}", name.get(1..).unwrap_or_default()),
        Some(_) => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_plain_and_stay_in_their_folder() {
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
            assert_eq!(name_part(text), expected);
        }
        assert_eq!(name_part(&"x".repeat(500)).len(), MAX_NAME_PART);
        let paths = RunPaths::new(Path::new("logs"), "../x", "node/1", "2026-01-02T03:04:05Z", "0123456789abcdef");
        let journal = paths.file(JOURNAL);
        assert_eq!(journal.parent(), Some(Path::new("logs")));
        let name = journal.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("_._x_node_1_") && name.ends_with("_2026-01-02T030405Z_01234567.jsonl"), "{name}");
        assert_eq!(RunPaths::of_journal(&journal), paths);
        assert_eq!(RunPaths::of_journal(Path::new("a.jsonl")).file(REPORT), Path::new("./a.json"));
        let third = RunPaths::of_journal(Path::new("/b/a-b.jsonl")).next_free().next_free();
        assert_eq!(third.file(JOURNAL), Path::new("/b/a-b-3.jsonl"));
        assert_eq!(RunPaths::computed(Path::new("/b"), "x y", Some(3)).file(JOURNAL), Path::new("/b/x_y_r3.jsonl"));
    }

    #[test]
    fn name_has_the_begin_of_the_run() {
        let paths = RunPaths::new(Path::new("/b"), "net_2", "node_1", "2026-01-02T03:04:05Z", "0123456789abcdef");
        let journal = paths.file(JOURNAL);
        let stem = journal.file_stem().unwrap().to_str().unwrap();
        let at = humantime::parse_rfc3339("2026-01-02T03:04:05Z").ok();
        assert_eq!((started_in(stem), started_in(&format!("{stem}-2"))), (at, at));
        for other in
            ["net", "net_r3", "a_2026-01-02_01234567", "a_2026-01-02T0304Z_01234567", "a_é-01-02T03é405Z_01234567"]
        {
            assert_eq!(started_in(other), None, "{other}");
        }
        let id = "0123456789abcdef";
        assert!(is_stem_of(stem, id) && is_stem_of(&format!("{stem}-2"), id) && !is_stem_of(stem, "1123456789abcdef"));
        for other in ["net", "net_node_x_2026-01-02T030405Z_01234567", "net_1_2026-01-02T030405Z_01234567"] {
            assert!(!is_stem_of(other, id), "{other}");
        }
    }

    #[test]
    fn newest_number_is_found_with_few_calls() {
        for newest in (1..200).chain([4095, 4096, 10_000, 1_000_000]) {
            let mut calls = 0;
            let found = last(1, |number| {
                calls += 1;
                number <= newest
            });
            assert!(found == newest && calls <= 2 * newest.ilog2() + 2, "{newest}: {found} with {calls} calls");
        }
        assert_eq!(last(7, |number| number <= 9), 9);
    }

    #[test]
    fn numbers_behind_a_small_gap_are_found() {
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
    fn new_run_takes_no_name_that_has_a_file() {
        let folder = std::env::temp_dir().join(format!("carbontracker-place-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let paths = RunPaths::computed(&folder, "x", None);
        let put = |name: &str| std::fs::write(folder.join(name), "").unwrap();
        assert_eq!((paths.free(), paths.newest().unwrap()), (paths.clone(), None));
        put("x.json");
        assert_eq!(paths.free(), paths.numbered(2));
        put("x-2.jsonl");
        put("x-3_carbontracker.log");
        put("x-4.json");
        assert_eq!((paths.free(), paths.numbered(2).next_free()), (paths.numbered(5), paths.numbered(5)));
        assert_eq!(paths.newest().unwrap(), Some(paths.numbered(2)));
        put("x-5.jsonl");
        assert_eq!((paths.free(), paths.numbered(5).next_free()), (paths.numbered(6), paths.numbered(6)));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn journal_names_give_rank_and_age() {
        let paths = RunPaths::computed(Path::new("/b"), "x", Some(3));
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
            assert_eq!(paths.age_of("x", name), expected, "{name}");
        }
        for (name, expected) in
            [("y_r3.jsonl", Some(3)), ("y_r31-2.jsonl", Some(31)), ("y_r.jsonl", None), ("y.jsonl", None)]
        {
            assert_eq!(rank_in(name), expected, "{name}");
            assert!(may_be_of_rank(name, None) && (expected.is_none() || !may_be_of_rank(name, Some(4))), "{name}");
            assert!(may_be_of_rank(name, expected.or(Some(4))), "{name}");
        }
        assert!(Age::Started("2026-01-02T030405Z".into(), 3) > Age::Written(SystemTime::now()));
        assert!(Age::Computed(1) > Age::Started("2026-01-02T030405Z".into(), 3));
        assert!(Age::Computed(12) > Age::Computed(2));
    }
}
