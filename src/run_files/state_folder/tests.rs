//! Tests of the folder of the newest runs: how it is made, and which runs go.

use super::*;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::unix::fs::chown;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let folder = std::env::temp_dir().join(format!("carbontracker-state-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Scratch(folder)
    }

    /// Writes files of a run that began at this minute of a day and has been silent since. Returns the stem.
    fn run(&self, minute: u64, rank: Option<u64>, endings: &[&str]) -> String {
        let id = format!("{:08x}00000000", 2 * minute + rank.map_or(0, |rank| 1000 + rank));
        let stem = format!("net_node_7_2026-01-02T{:02}{:02}00Z_{}", minute / 60, minute % 60, &id[..8]);
        let started = format!("2026-01-02T{:02}:{:02}:00Z", minute / 60, minute % 60);
        let job = rank.map(|_| "a job");
        let run =
            json!({"id": id, "name": "net", "started": started, "job": job, "rank": rank, "ranks": rank.map(|_| 2)});
        for ending in endings {
            let value: Value = match *ending {
                JOURNAL => json!({"journal": 1, "run": run, "rank": rank, "ranks": rank.map(|_| 2)}),
                _ => json!({"schema": 1, "run": run}),
            };
            self.put(&format!("{stem}{ending}"), &format!("{value}\n"), minute);
        }
        stem
    }

    fn put(&self, name: &str, text: &str, minute: u64) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        let begin = humantime::parse_rfc3339("2026-01-02T00:00:00Z").unwrap();
        let file = File::options().append(true).open(&path).unwrap();
        file.set_modified(begin + Duration::from_secs(60 * minute + 30)).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(&self.0).unwrap().map(name).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::set_permissions(&self.0, Permissions::from_mode(0o700));
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn oldest_runs_go_and_other_files_stay() {
    let folder = Scratch::new("oldest");
    let stems: Vec<String> =
        (0..6).map(|n| folder.run(10 * n, None, &[JOURNAL, REPORT][..1 + n as usize % 2])).collect();
    let foreign = [
        "net_node_7_2026-01-01T000000Z_0badcafe.jsonl", // not this library's content
        "net_node_7_2026-01-01T000000Z_0badbeef.txt",
        "package.json",
        "notes",
    ];
    for name in foreign {
        folder.put(name, "{\"id\": \"0badcafe\"}\n", 0);
    }
    let copy = folder.put("net_node_7_2026-01-01T010000Z_ffffffff.jsonl", "", 0);
    fs::copy(folder.0.join(format!("{}.jsonl", stems[0])), copy).unwrap();
    let before = folder.names();
    remove_old(&folder.0, 6);
    assert_eq!(folder.names(), before);
    // Two files have the form of a run's name, and are older. They do not count.
    remove_old(&folder.0, 4);
    let is_gone = |stem: &String| !folder.names().iter().any(|name| name.starts_with(stem.as_str()));
    assert_eq!(stems.iter().map(is_gone).collect::<Vec<_>>(), [true, true, false, false, false, false]);
    let left = folder.names();
    assert!(foreign.iter().all(|name| left.contains(&(*name).to_owned())), "{left:?}");
}

#[test]
fn ranks_of_a_job_go_together() {
    let folder = Scratch::new("ranks");
    for (minute, rank) in [(0, 0), (0, 1), (10, 0), (10, 1), (20, 0), (20, 1)] {
        folder.run(minute, Some(rank), &[JOURNAL, REPORT]);
    }
    let alone = folder.run(15, None, &[JOURNAL]);
    remove_old(&folder.0, 3);
    assert_eq!(folder.names().len(), 9, "{:?}", folder.names());
    remove_old(&folder.0, 2);
    let left = folder.names();
    assert!(left.len() == 5 && left.contains(&format!("{alone}.jsonl")), "{left:?}");
    remove_old(&folder.0, 1);
    assert!(folder.names().len() == 4 && folder.names().iter().all(|name| name.contains("T002000Z")), "{left:?}");
}

#[test]
fn live_runs_stay() {
    let folder = Scratch::new("live");
    let [written, held, over] = [0, 10, 20].map(|minute| folder.run(minute, None, &[JOURNAL]));
    let ended = folder.run(30, None, &[JOURNAL, REPORT]);
    let now = |name: String| File::options().append(true).open(folder.0.join(name)).unwrap().set_modified(os::date());
    now(format!("{ended}.json")).unwrap();
    File::options()
        .append(true)
        .open(folder.0.join(format!("{written}.jsonl")))
        .unwrap()
        .set_modified(os::date())
        .unwrap();
    let journal = AppendFile::open_own(&folder.0.join(format!("{held}.jsonl"))).unwrap();
    remove_old(&folder.0, 0);
    let left = folder.names();
    assert!(
        left.len() == 2 && left.iter().all(|name| !name.starts_with(&over) && !name.starts_with(&ended)),
        "{left:?}"
    );
    drop(journal);
    remove_old(&folder.0, 0);
    assert_eq!(folder.names(), [format!("{written}.jsonl")]);
}

#[test]
fn folder_is_made_for_this_user_alone() {
    let scratch = Scratch::new("made");
    let folder = scratch.0.join("state/carbontracker/runs");
    assert_eq!(prepare(Some(&folder)), Ok(folder.as_path()));
    for made in [&folder, &scratch.0.join("state")] {
        assert_eq!(fs::metadata(made).unwrap().mode() & 0o777, 0o700, "{made:?}");
    }
    fs::set_permissions(&folder, Permissions::from_mode(0o775)).unwrap();
    assert!(prepare(Some(&folder)).is_ok());
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    fs::set_permissions(&folder, Permissions::from_mode(0o500)).unwrap();
    assert!(prepare(Some(&folder)).is_ok());
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o500, "the user's choice");
    let file = scratch.0.join("file");
    fs::write(&file, "").unwrap();
    for (wrong, reason) in
        [(Some(file.join("runs")), "Not a directory"), (Some("/proc/none/runs".into()), "/proc/none"), (None, "HOME")]
    {
        let message = prepare(wrong.as_deref()).unwrap_err();
        assert!(
            message.contains(reason) && message.contains("keeps no journal. log_dir=FOLDER")
                || message.contains("set HOME"),
            "{message}"
        );
    }
}

#[test]
fn folder_of_another_user_is_left_alone() {
    if os::user() != ROOT_UID {
        return println!("skipped: only root can make another user's folder");
    }
    let scratch = Scratch::new("theirs");
    let home = scratch.0.join("home");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(12345), None).unwrap();
    let folder = home.join("state/carbontracker/runs");
    let message = prepare(Some(&folder)).unwrap_err();
    assert!(message.contains("home belongs to user 12345; the run keeps no journal. log_dir="), "{message}");
    assert!(!home.join("state").exists());
}
