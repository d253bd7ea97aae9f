//! What a service said, kept for the other ranks of this node and for the next job: in memory that all processes of the
//! node see, readable by this user alone. Of many that want it at once one asks. Whatever is wrong with the files, they are
//! as if not there.

use crate::carbon::intensity::slot::{FigureQuality, IntensitySlot};
use crate::os;
use crate::sanitize;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Where the files are.
pub const FOLDER: &str = "/dev/shm";
/// Whoever asks is done, or dead, after this: three requests at the limit of their time.
const TURN: Duration = Duration::from_secs(30);
/// Bytes of the largest file worth reading; three days of five minutes take a twentieth.
const LARGEST: u64 = 1 << 20;
/// Clocks of one machine do not differ; a stamp so far ahead, s, was made before its clock was set.
const AHEAD_S: f64 = 5.0;
/// Characters of a failure's words worth keeping.
const WORDS: usize = 500;

/// What the last to ask got.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CacheEntry {
    /// When it was fetched, seconds since 1970 UTC; None: nothing has been yet.
    pub fetched: Option<f64>,
    /// Nobody is to ask before this instant: the service failed, or wants to be left alone.
    pub not_before: f64,
    /// Why, for those that did not ask themselves.
    pub failed: Option<String>,
    /// How often in a row it failed: whoever asks next carries on from there.
    pub failures: u32,
    /// What it said.
    pub slots: Vec<IntensitySlot>,
    /// Where this machine is, if that was the question.
    pub place: Option<String>,
}

/// The file of one question.
#[derive(Clone, Debug)]
pub struct NodeCache {
    path: PathBuf,
    /// What was told to this key is not for another; this number tells them apart.
    key: u64,
}

/// Held by the one that asks; let go when dropped.
#[derive(Debug)]
pub struct FetchLock {
    marker: PathBuf,
}

impl NodeCache {
    /// For a question told by these words: the service, its address, the zone. The name is a number made of them, and holds
    /// nothing of the key: everybody sees it, and could try passwords on it. What was answered to another key is as if not
    /// there, as this one may be answered where that was not; of it the file, for this user's eyes, has a number of 64 bits.
    pub fn new(folder: &Path, question: &[&str], key: &str) -> NodeCache {
        let question = number(&[&[env!("CARGO_PKG_VERSION")], question].concat());
        let name = format!("carbontracker-{}-grid-{question:016x}.json", os::user());
        NodeCache { path: folder.join(name), key: number(&[key]) }
    }

    /// What is there, if it can be right at `now`, seconds since 1970 UTC.
    pub fn read(&self, now: f64) -> Option<CacheEntry> {
        let flags = os::NO_FOLLOW | os::NO_WAIT;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&self.path).ok()?;
        let metadata = file.metadata().ok()?;
        if metadata.uid() != os::user() || metadata.len() > LARGEST {
            return None;
        }
        let mut text = Vec::new();
        file.take(LARGEST).read_to_end(&mut text).ok()?;
        let value = serde_json::from_slice::<Value>(&text).ok()?;
        if value.get("key").and_then(Value::as_u64) != Some(self.key) {
            return None;
        }
        let entry = parse(&value)?;
        entry.fetched.is_none_or(|at| at <= now + AHEAD_S).then_some(entry)
    }

    /// Puts it there for others, whole or not at all. Where that cannot be done everybody asks for himself.
    pub fn write(&self, entry: &CacheEntry) {
        let _ = self.try_write(entry);
    }

    fn try_write(&self, entry: &CacheEntry) -> io::Result<()> {
        let text = print(self.key, entry).to_string();
        if text.len() as u64 > LARGEST.min(os::file_size_limit()) {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let new = self.beside(&format!("{}-{:x}", std::process::id(), os::random_u64()));
        let written = create(&new).and_then(|mut file| file.write_all(text.as_bytes()));
        written.and_then(|()| std::fs::rename(&new, &self.path)).inspect_err(|_| {
            let _ = std::fs::remove_file(&new);
        })
    }

    /// The right to ask, if nobody has it. Where no files can be made everybody has it.
    pub fn turn(&self) -> Option<FetchLock> {
        let marker = self.beside("asked");
        for _ in 0..2 {
            match create(&marker) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    let found = std::fs::symlink_metadata(&marker);
                    if found.as_ref().is_ok_and(|found| found.uid() != os::user()) {
                        break; // another user's, who has no say in it
                    }
                    // Made in the future, it is from before the clock was set back.
                    let age = found.and_then(|found| found.modified());
                    let age = age.map_or(Duration::ZERO, |at| SystemTime::now().duration_since(at).unwrap_or(TURN));
                    if age < TURN {
                        return None;
                    }
                    // Two may come here at once, and both ask: that does no harm.
                    if std::fs::remove_file(&marker).is_err() {
                        break;
                    }
                }
                _ => break,
            }
        }
        Some(FetchLock { marker })
    }

    /// A file beside it, which is swept up with it.
    fn beside(&self, ending: &str) -> PathBuf {
        self.path.with_extension(ending)
    }
}

impl Drop for FetchLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.marker);
    }
}

/// A new file of this user's own; where there is one already, of whatever kind, it fails.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(os::NO_FOLLOW).open(path)
}

/// A number made of words, the same in every build. No text contains the byte that ends a word.
fn number(words: &[&str]) -> u64 {
    os::stable_hash(words.iter().flat_map(|word| word.bytes().chain([0xff])))
}

fn print(key: u64, entry: &CacheEntry) -> Value {
    let slot = |slot: &IntensitySlot| json!([slot.from, slot.to, slot.g_per_kwh, letter(slot.standing)]);
    json!({
        "key": key,
        "fetched": entry.fetched,
        "not_before": entry.not_before,
        "failed": entry.failed,
        "failures": entry.failures,
        "place": entry.place,
        "slots": entry.slots.iter().map(slot).collect::<Vec<_>>(),
    })
}

fn parse(value: &Value) -> Option<CacheEntry> {
    let words = |name: &str| -> Option<Option<String>> {
        match value.get(name)? {
            Value::Null => Some(None),
            text => Some(Some(sanitize::text(text.as_str()?).chars().take(WORDS).collect())),
        }
    };
    let fetched = match value.get("fetched")? {
        Value::Null => None,
        at => Some(at.as_f64()?),
    };
    Some(CacheEntry {
        fetched,
        not_before: value.get("not_before")?.as_f64()?,
        failed: words("failed")?,
        failures: value.get("failures")?.as_u64()?.try_into().ok()?,
        place: words("place")?,
        slots: value.get("slots")?.as_array()?.iter().map(parse_slot).collect::<Option<_>>()?,
    })
}

/// One slot; what no service's answer could have given is refused here too.
fn parse_slot(value: &Value) -> Option<IntensitySlot> {
    let [from, to, g_per_kwh, standing] = value.as_array()?.as_slice() else { return None };
    let (from, to, g_per_kwh) = (from.as_f64()?, to.as_f64()?, g_per_kwh.as_f64()?);
    let standing = FigureQuality::ALL.into_iter().find(|&known| standing.as_str() == Some(letter(known)))?;
    (from < to && g_per_kwh >= 0.0).then_some(IntensitySlot { from, to, g_per_kwh, standing })
}

fn letter(standing: FigureQuality) -> &'static str {
    match standing {
        FigureQuality::Forecast => "F",
        FigureQuality::Estimated => "E",
        FigureQuality::Actual => "A",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NOW: f64 = 1.8e9;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let folder = std::env::temp_dir().join(format!("ct-grid-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir(&folder).unwrap();
            Scratch(folder)
        }

        fn cache(&self) -> NodeCache {
            self.cache_of("a-key")
        }

        fn cache_of(&self, key: &str) -> NodeCache {
            NodeCache::new(&self.0, &["service", "https://example.org", "DK1"], key)
        }

        fn names(&self) -> Vec<String> {
            std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn entry() -> CacheEntry {
        let slot = |from: f64, standing| IntensitySlot { from, to: from + 300.0, g_per_kwh: 113.25, standing };
        CacheEntry {
            fetched: Some(NOW - 7.5),
            not_before: NOW + 60.0,
            failed: Some("status 500".into()),
            failures: 3,
            slots: vec![
                slot(NOW, FigureQuality::Actual),
                slot(NOW + 300.0, FigureQuality::Estimated),
                slot(NOW, FigureQuality::Forecast),
            ],
            place: Some("DK-DK1".into()),
        }
    }

    #[test]
    fn what_is_written_is_read_by_this_user_only_and_names_no_key() {
        let scratch = Scratch::new("written");
        let cache = scratch.cache();
        assert_eq!(cache.read(NOW), None);
        cache.write(&entry());
        cache.write(&entry());
        assert_eq!(cache.read(NOW), Some(entry()));
        assert_eq!(scratch.names().len(), 1, "{:?}", scratch.names());
        let mode = cache.path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&cache.path).unwrap() + &scratch.names().concat();
        assert!(!text.contains("a-key") && !text.contains("example.org"), "{text}");
        let other = scratch.cache_of("another");
        assert_eq!(other.read(NOW), None, "another key may be answered otherwise");
        assert_eq!(other.path, cache.path, "the name, which everybody sees, tells nothing of the key");
        let glued = NodeCache::new(&scratch.0, &["service", "https://example.orgDK1", ""], "a-key");
        assert_ne!(glued.path, cache.path);
    }

    #[test]
    fn what_cannot_be_right_is_not_there() {
        let scratch = Scratch::new("wrong");
        let cache = scratch.cache();
        let right = print(cache.key, &entry()).to_string();
        let wrongs = [
            String::new(),
            "{}".into(),
            "[1]".into(),
            right[..right.len() - 9].to_owned(),
            right.replace("\"A\"", "\"Z\""),
            right.replacen("113.25", "-1", 1),
            right.replacen("113.25", "null", 1),
            right.replacen("113.25", "\"x\"", 1),
            right.replace("1799999992.5", "1800000099.0"),
            right.replace("\"not_before\"", "\"other\""),
            "9".repeat(2 << 20),
        ];
        for wrong in wrongs {
            assert_ne!(wrong, right);
            std::fs::write(&cache.path, &wrong).unwrap();
            assert_eq!(cache.read(NOW), None, "{wrong:.60}");
        }
        std::fs::write(&cache.path, &right).unwrap();
        assert_eq!(cache.read(NOW), Some(entry()));
    }

    #[test]
    fn a_link_is_not_followed_and_what_is_no_file_does_no_harm() {
        let scratch = Scratch::new("link");
        let cache = scratch.cache();
        let elsewhere = scratch.0.join("elsewhere");
        std::fs::write(&elsewhere, print(cache.key, &entry()).to_string()).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &cache.path).unwrap();
        assert_eq!(cache.read(NOW), None);
        std::fs::write(&elsewhere, "mine").unwrap();
        cache.write(&entry());
        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "mine");
        assert_eq!(cache.read(NOW), Some(entry()), "the link is gone");

        std::fs::remove_file(&cache.path).unwrap();
        std::fs::create_dir(&cache.path).unwrap();
        cache.write(&entry());
        assert_eq!(cache.read(NOW), None);

        // A pipe would have its reader wait for a writer.
        std::fs::remove_dir(&cache.path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&cache.path).status().unwrap().success());
        assert_eq!(cache.read(NOW), None);

        let nowhere = NodeCache::new(Path::new("/nowhere"), &["x"], "");
        nowhere.write(&entry());
        assert_eq!(nowhere.read(NOW), None);
        assert!(nowhere.turn().is_some() && nowhere.turn().is_some(), "everybody asks");
    }

    #[test]
    fn one_asks_at_a_time_and_the_dead_lose_their_turn() {
        let scratch = Scratch::new("turn");
        let cache = scratch.cache();
        let turn = cache.turn().expect("nobody asks");
        assert!(cache.turn().is_none() && scratch.cache().turn().is_none());
        drop(turn);
        let left = cache.turn().expect("let go");
        let marker_of = |turn: &FetchLock| File::options().write(true).open(&turn.marker).unwrap();
        marker_of(&left).set_modified(SystemTime::now() - 2 * TURN).unwrap();
        let next = cache.turn().expect("taken over");
        marker_of(&next).set_modified(SystemTime::now() + 100 * TURN).unwrap();
        let next = cache.turn().expect("taken over, the clock having been set back");
        assert!(cache.turn().is_none(), "it is marked anew");
        if std::os::unix::fs::chown(&next.marker, Some(1), None).is_ok() {
            assert!(cache.turn().is_some(), "another user does not keep us from asking");
        }
    }
}
