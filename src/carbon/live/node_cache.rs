//! A provider's answer, shared with the other ranks of this node and with the next job. The file is in memory that all
//! processes of the node see, and only this user can read it. Of several processes that need an answer one sends the
//! request. A faulty file counts as missing.

use crate::carbon::intensity::slot::{IntensityQuality, IntensitySlot};
use crate::os;
use crate::os::disk;
use crate::sanitize;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Age at which a lock is stale: three requests at their limit of time. Its process is dead.
const STALE_LOCK_AGE: Duration = Duration::from_secs(30);
/// Largest file that is read or written, bytes. Three days of five minutes take a twentieth of it.
const MAX_BYTES: u64 = 1 << 20;
/// Tolerance for a time stamp in the future, s. A later stamp was made before the clock was set back.
const CLOCK_TOLERANCE_S: f64 = 5.0;
/// Longest message that is kept, characters.
const MAX_MESSAGE_CHARS: usize = 500;

/// The result of the last request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CacheEntry {
    /// Time of the last answer, s since 1970 UTC. None: there was none.
    pub fetched: Option<f64>,
    /// Earliest time of the next request, s since 1970 UTC.
    pub not_before: f64,
    /// The failure's message, for the other processes.
    pub failed: Option<String>,
    /// Number of failures in a row. The next process continues from it.
    pub failures: u32,
    /// The figures in the answer.
    pub slots: Vec<IntensitySlot>,
    /// The location of this machine, for a look-up.
    pub location: Option<String>,
}

/// The file of one request.
#[derive(Clone, Debug)]
pub struct NodeCache {
    path: PathBuf,
    /// Hash of the key. An answer to one key is not used for another.
    key: u64,
}

/// The lock of the process that sends the request. Dropping it releases the lock.
#[derive(Debug)]
pub struct FetchLock {
    marker: PathBuf,
}

impl NodeCache {
    /// The file for a request, which these words identify: provider, address, zone. The file's name is a hash of them
    /// without the key, because all users see the name. A hash of the key is inside the file, which only this user can
    /// read.
    pub fn new(folder: &Path, request: &[&str], key: &str) -> NodeCache {
        let request = hash(&[&[env!("CARGO_PKG_VERSION")], request].concat());
        let name = format!("carbontracker-{}-grid-{request:016x}.json", os::user());
        NodeCache { path: folder.join(name), key: key_hash(key) }
    }

    /// The stored result, if it is valid at `now`, s since 1970 UTC.
    pub fn read(&self, now: f64) -> Option<CacheEntry> {
        let flags = os::NO_FOLLOW | os::NO_WAIT;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&self.path).ok()?;
        let metadata = file.metadata().ok()?;
        if metadata.uid() != os::user() || metadata.len() > MAX_BYTES {
            return None;
        }
        let mut text = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut text).ok()?;
        let value = serde_json::from_slice::<Value>(&text).ok()?;
        if value.get("key").and_then(Value::as_u64) != Some(self.key) {
            return None;
        }
        let entry = parse(&value)?;
        entry.fetched.is_none_or(|at| at <= now + CLOCK_TOLERANCE_S).then_some(entry)
    }

    /// Stores a result for other processes, atomically. If that fails, each process sends its own request.
    pub fn write(&self, entry: &CacheEntry) {
        let _ = self.try_write(entry);
    }

    fn try_write(&self, entry: &CacheEntry) -> io::Result<()> {
        let text = print(self.key, entry).to_string();
        if text.len() as u64 > MAX_BYTES.min(os::file_size_limit()) {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let new = self.beside(&format!("{}-{:x}", os::process_id(), os::random_u64()));
        let written = create(&new).and_then(|mut file| file.write_all(text.as_bytes()));
        written.and_then(|()| std::fs::rename(&new, &self.path)).inspect_err(|_| {
            let _ = std::fs::remove_file(&new);
        })
    }

    /// Takes the lock. None: another process holds it. If no file can be made, each process gets a lock.
    pub fn lock(&self) -> Option<FetchLock> {
        let marker = self.beside("asked");
        for _ in 0..2 {
            match create(&marker) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    let found = std::fs::symlink_metadata(&marker);
                    if found.as_ref().is_ok_and(|found| found.uid() != os::user()) {
                        break; // another user's file, which is ignored
                    }
                    // A lock from the future was made before the clock was set back; it is stale.
                    let age = found.and_then(|found| found.modified());
                    let age = age.map_or(Duration::ZERO, |at| os::date().duration_since(at).unwrap_or(STALE_LOCK_AGE));
                    if age < STALE_LOCK_AGE {
                        return None;
                    }
                    // Two processes may be here at once and both send a request. That is harmless.
                    if std::fs::remove_file(&marker).is_err() {
                        break;
                    }
                }
                _ => break,
            }
        }
        Some(FetchLock { marker })
    }

    /// The path of a file with this ending beside the cache's file.
    fn beside(&self, ending: &str) -> PathBuf {
        self.path.with_extension(ending)
    }
}

impl Drop for FetchLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.marker);
    }
}

/// Creates a file that only this user can read. Errors: the path exists, as a file of any kind.
fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(os::NO_FOLLOW).open(path)?;
    disk::stamp(&file)?;
    Ok(file)
}

/// Hash of words, stable over builds. The byte that ends a word occurs in no text.
fn hash(words: &[&str]) -> u64 {
    os::stable_hash(words.iter().flat_map(|word| word.bytes().chain([0xff])))
}

/// Hash of the API key. The key cannot be computed from it. Another build may have another hash, which only makes it
/// send one more request.
fn key_hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

fn print(key: u64, entry: &CacheEntry) -> Value {
    let slot = |slot: &IntensitySlot| json!([slot.from, slot.to, slot.g_per_kwh, letter(slot.quality)]);
    json!({
        "key": key,
        "fetched": entry.fetched,
        "not_before": entry.not_before,
        "failed": entry.failed,
        "failures": entry.failures,
        "place": entry.location,
        "slots": entry.slots.iter().map(slot).collect::<Vec<_>>(),
    })
}

fn parse(value: &Value) -> Option<CacheEntry> {
    let words = |name: &str| -> Option<Option<String>> {
        match value.get(name)? {
            Value::Null => Some(None),
            text => Some(Some(sanitize::text(text.as_str()?).chars().take(MAX_MESSAGE_CHARS).collect())),
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
        location: words("place")?,
        slots: value.get("slots")?.as_array()?.iter().map(parse_slot).collect::<Option<_>>()?,
    })
}

/// One slot. A slot that no provider could give is refused.
fn parse_slot(value: &Value) -> Option<IntensitySlot> {
    let [from, to, g_per_kwh, quality] = value.as_array()?.as_slice() else { return None };
    let (from, to, g_per_kwh) = (from.as_f64()?, to.as_f64()?, g_per_kwh.as_f64()?);
    let quality = IntensityQuality::ALL.iter().copied().find(|&known| quality.as_str() == Some(letter(known)))?;
    (from < to && g_per_kwh >= 0.0).then_some(IntensitySlot { from, to, g_per_kwh, quality })
}

fn letter(quality: IntensityQuality) -> &'static str {
    match quality {
        IntensityQuality::Forecast => "F",
        IntensityQuality::Estimated => "E",
        IntensityQuality::Actual => "A",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::SystemTime;

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
        let slot = |from: f64, quality| IntensitySlot { from, to: from + 300.0, g_per_kwh: 113.25, quality };
        CacheEntry {
            fetched: Some(NOW - 7.5),
            not_before: NOW + 60.0,
            failed: Some("status 500".into()),
            failures: 3,
            slots: vec![
                slot(NOW, IntensityQuality::Actual),
                slot(NOW + 300.0, IntensityQuality::Estimated),
                slot(NOW, IntensityQuality::Forecast),
            ],
            location: Some("DK-DK1".into()),
        }
    }

    #[test]
    fn file_is_private_and_holds_no_key() {
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
        assert_eq!(other.read(NOW), None, "another key may get another answer");
        assert_eq!(other.path, cache.path, "the name, which all users see, does not depend on the key");
        let glued = NodeCache::new(&scratch.0, &["service", "https://example.orgDK1", ""], "a-key");
        assert_ne!(glued.path, cache.path);
    }

    #[test]
    fn invalid_file_counts_as_missing() {
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
    fn links_are_not_followed_and_other_files_are_harmless() {
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

        // Opening a pipe blocks until another process opens its other end.
        std::fs::remove_dir(&cache.path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&cache.path).status().unwrap().success());
        assert_eq!(cache.read(NOW), None);

        let nowhere = NodeCache::new(Path::new("/nowhere"), &["x"], "");
        nowhere.write(&entry());
        assert_eq!(nowhere.read(NOW), None);
        assert!(nowhere.lock().is_some() && nowhere.lock().is_some(), "each process sends a request");
    }

    #[test]
    fn lock_has_one_holder_and_expires() {
        let scratch = Scratch::new("turn");
        let cache = scratch.cache();
        let lock = cache.lock().expect("a free lock");
        assert!(cache.lock().is_none() && scratch.cache().lock().is_none());
        drop(lock);
        let left = cache.lock().expect("a released lock");
        let marker_of = |lock: &FetchLock| File::options().write(true).open(&lock.marker).unwrap();
        marker_of(&left).set_modified(SystemTime::now() - 2 * STALE_LOCK_AGE).unwrap();
        let next = cache.lock().expect("a stale lock");
        marker_of(&next).set_modified(SystemTime::now() + 100 * STALE_LOCK_AGE).unwrap();
        let next = cache.lock().expect("a lock from before the clock was set back");
        assert!(cache.lock().is_none(), "a new lock was made");
        if std::os::unix::fs::chown(&next.marker, Some(1), None).is_ok() {
            assert!(cache.lock().is_some(), "another user's lock is ignored");
        }
    }
}
