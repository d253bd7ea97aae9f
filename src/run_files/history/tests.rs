//! Tests of the folder of earlier runs: what is read, and what is left out.

use super::messages::MAX_NAMED;
use super::*;
use crate::forecast::Metric;
use proptest::prelude::*;
use serde_json::json;
use std::os::unix::fs::{chown, symlink};

/// A folder for one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("carbontracker-history-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// Writes a file. `minutes`: the time of its change since 1970.
    fn put(&self, name: &str, text: &str, minutes: u64) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        let file = File::options().append(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(60 * minutes)).unwrap();
        path
    }

    fn request(&self) -> HistoryRequest {
        HistoryRequest {
            folders: vec![self.0.clone()],
            named: Some(format!("history={}", self.0.display())),
            name: Some("net".into()),
            prefix: "net".into(),
            rank: RankChoice::Of(None),
            id: "own".into(),
            journal: None,
            processes: 1,
            most: USEFUL_RUNS,
            with_power: true,
        }
    }

    fn read(&self) -> PastRuns {
        read(&self.request(), &|| false)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn ids(found: &PastRuns) -> Vec<&str> {
    found.runs.iter().map(|run| run.label.id.as_str()).collect()
}

fn run_section(id: &str, name: Option<&str>, minute: u64) -> Value {
    let started = format!("1970-01-01T00:{minute:02}:00Z");
    json!({"id": id, "name": name, "started": started, "epochs_planned": 3, "rank": null})
}

/// A journal of three epochs of 2 s and 20 J, the first of 3 s, with 1 s between two.
fn journal(id: &str, name: Option<&str>, minute: u64) -> String {
    let mut lines = vec![
        json!({"journal": 1, "life": 1, "before": 0, "rank": null, "schema": 1, "run": run_section(id, name, minute), "pue": 1.2, "intensity": {"zone": "DK"}}),
    ];
    for index in 0..3 {
        let duration_s = if index == 0 { 3.0 } else { 2.0 };
        let done_s = 2.0 * f64::from(index + 1) + 1.0;
        let usage = json!({"duration_s": done_s + f64::from(index), "energy_j": 20.0 * f64::from(index + 1),
            "epochs": {"duration_s": done_s, "energy_j": 20.0 * f64::from(index + 1)}, "between": {"duration_s": index, "energy_j": 0.0}});
        let at = 60.0 * minute as f64 + done_s;
        let power = json!({"from": at, "to": at + 2.0, "cpu_j": 20.0});
        lines.push(
            json!({"index": index, "count": 1, "duration_s": duration_s, "cpu_j": 20.0, "coverage": 1.0, "gap_s": 1.0,
            "so_far": {"unix_s": at, "run": {"epochs_done": index + 1}, "usage": usage, "power": power}}),
        );
    }
    let last = lines.last().unwrap().get("so_far").unwrap().clone();
    lines.push(json!({"end": "done", "epochs_planned": 3, "so_far": last}));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// A report of two epochs of 5 s and 50 J.
fn report_of(id: &str, name: Option<&str>, minute: u64) -> Value {
    let mut run = run_section(id, name, minute);
    run["state"] = json!("between");
    let row = |index: u64| json!({"index": index, "count": 1, "duration_s": 5.0, "energy_j": 50.0, "coverage": 1.0});
    json!({"schema": 1, "run": run,
        "usage": {"energy_j": 100.0, "energy_kwh": 100.0 / 3.6e6, "epochs": {"duration_s": 10.0, "energy_j": 100.0}},
        "pue": 1.0, "epochs": [row(0), row(1)]})
}

#[test]
fn runs_of_the_name_are_read_newest_last() {
    let folder = Folder::new("names");
    folder.put("net_b.jsonl", &journal("b", Some("net"), 2), 2);
    folder.put("net_a.jsonl", &journal("a", Some("net"), 1), 9);
    folder.put("old.json", &serde_json::to_string_pretty(&report_of("c", Some("net"), 0)).unwrap(), 3);
    folder.put("copy.jsonl", &journal("a", Some("net"), 1), 1);
    folder.put("own.jsonl", &journal("own", Some("net"), 3), 4);
    folder.put("other.jsonl", &journal("d", Some("other"), 3), 5);
    folder.put("none.jsonl", &journal("e", None, 3), 6);
    folder.put("rank.jsonl", &journal("f", Some("net"), 3).replace("\"rank\":null", "\"rank\":2"), 7);
    folder.put("empty.jsonl", "", 8);
    folder.put("notes.txt", "no run", 8);
    let found = folder.read();
    assert_eq!((ids(&found), &found.messages), (vec!["c", "a", "b"], &vec![]));
    let newest = &found.runs[2];
    let seconds: Vec<_> = newest.run.epochs.iter().map(|epoch| Metric::Duration.of(epoch)).collect();
    assert_eq!(seconds, [Some(3.0), Some(2.0), Some(2.0)]);
    assert!(newest.run.epochs.iter().all(|epoch| epoch.energy_j == Some(20.0) && epoch.fully_measured));
    assert_eq!((newest.run.is_whole, newest.run.between.duration_s, newest.run.before_s), (true, 2.0, 0.0));
    assert_eq!(newest.run.epochs.iter().map(|epoch| epoch.gap_s).collect::<Vec<_>>(), [0.0, 1.0, 1.0]);
    assert_eq!((newest.pue, newest.zone.as_deref(), newest.label.planned), (Some(1.2), Some("DK"), 3));
    assert_eq!(newest.power[1], PowerPart { from: 2.0, to: 4.0, watts: 10.0 });
    assert!(!found.runs[0].run.is_whole, "it was stopped after two of three epochs");
    let of = |name: Option<&str>, rank| HistoryRequest { name: name.map(str::to_owned), rank, ..folder.request() };
    assert_eq!(ids(&read(&of(None, RankChoice::Of(None)), &|| false)), ["e"]);
    assert_eq!(ids(&read(&of(Some("net"), RankChoice::Of(Some(2))), &|| false)), ["f"]);
    assert_eq!(read(&of(Some("net"), RankChoice::All), &|| false).runs.len(), 4);
    assert_eq!(
        ids(&read(&HistoryRequest { most: 1, ..folder.request() }, &|| false)),
        ["a"],
        "by the time of the file"
    );
    assert!(read(&folder.request(), &|| true).runs.is_empty());
}

#[test]
fn torn_journal_is_an_unfinished_run_and_a_report_beside_it_counts_once() {
    let folder = Folder::new("torn");
    let text = journal("a", Some("net"), 1);
    let third = text.match_indices('\n').nth(2).unwrap().0;
    folder.put("net.jsonl", &text[..third + 40], 1);
    folder.put("net.json", &report_of("a", Some("net"), 1).to_string(), 2);
    let found = folder.read();
    assert_eq!((found.runs.len(), found.runs[0].epochs_done, found.runs[0].run.is_whole), (1, 2, false));
    assert_eq!(found.runs[0].run.epochs[0].duration_s, Some(3.0), "that of the journal");
    folder.put("net.jsonl", "{\"journal\":1, torn", 3);
    let found = folder.read();
    assert_eq!((found.runs[0].run.epochs[0].duration_s, found.messages.len()), (Some(5.0), 0), "that of the report");
}

#[test]
fn imported_log_is_matched_by_the_beginning_of_its_name() {
    let folder = Folder::new("imported");
    for (minute, id) in ["net_12_2026", "network_12_2026", "net", "12_net"].into_iter().enumerate() {
        let mut report = report_of(id, None, minute as u64);
        report["run"]["imported"] = json!(true);
        report["epochs"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .for_each(|row| drop(row.as_object_mut().unwrap().remove("coverage")));
        folder.put(&format!("{id}.json"), &report.to_string(), minute as u64);
    }
    let found = folder.read();
    assert_eq!(ids(&found), ["net_12_2026", "net"]);
    assert!(found.runs[0].run.epochs[0].fully_measured);
}

/// Each file has one message, and the good run is still read.
#[test]
fn damaged_and_foreign_files_are_left_out_by_name() {
    let of = |change: fn(&mut Value)| {
        let mut report = report_of("x", Some("net"), 1);
        change(&mut report);
        report.to_string()
    };
    let cases: [(&str, String, &str); 10] = [
        ("a.json", "{\"weights\": [1, 2]}".into(), "neither a report nor a journal"),
        ("a.json", "no JSON \"schema\" \"run\":".into(), "neither a report nor a journal"),
        ("a.jsonl", "{\"loss\": 1}\n".into(), "neither a report nor a journal"),
        (
            "a.jsonl",
            journal("x", Some("net"), 1).replace("{\"journal\":1", "{\"journal\":2"),
            "version 2 of the journal",
        ),
        ("a.json", of(|report| report["schema"] = json!(2)), "schema 2"),
        ("a.json", of(|report| report["epochs"][0]["energy_j"] = json!(1e300)), "impossible numbers"),
        ("a.json", of(|report| report["epochs"][0]["count"] = json!(0)), "impossible numbers"),
        ("a.json", of(|report| report["usage"]["epochs"]["energy_j"] = json!(100.0 / 3.6e6)), "different units"),
        ("a.json", of(|report| report["usage"]["energy_kwh"] = json!(100.0)), "in J and in kWh"),
        ("a.json", of(|_| ()).replace("]", ""), "damaged"),
    ];
    for (name, text, reason) in cases {
        let folder = Folder::new("damaged");
        let path = folder.put(name, &text, 5);
        folder.put("net.jsonl", &journal("good", Some("net"), 2), 2);
        let found = folder.read();
        assert_eq!((ids(&found), found.messages.len()), (vec!["good"], 1), "{text}: {:?}", found.messages);
        let message = &found.messages[0];
        assert!(message.starts_with(&path.display().to_string()) && message.contains(reason), "{message}");
        assert_eq!(message.matches("; ").count(), 2, "{message}");
    }
}

#[test]
fn pipes_links_folders_and_huge_files_are_left_out() {
    let folder = Folder::new("odd");
    symlink("loop.json", folder.0.join("loop.json")).unwrap();
    std::fs::create_dir(folder.0.join("folder.jsonl")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(folder.0.join("pipe.jsonl")).status();
    assert!(made.unwrap().success());
    let huge = folder.put("net_huge.jsonl", &journal("huge", Some("net"), 1), 1);
    File::options().append(true).open(huge).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
    folder.put("net.jsonl", &journal("good", Some("net"), 2), 2);
    let found = folder.read();
    assert_eq!((ids(&found), found.messages.len()), (vec!["good"], 4), "{:?}", found.messages);
    for reason in
        ["loop.json: it is a link", "pipe.jsonl: it is not a regular", "larger than 32 MB", "folder.jsonl: it is"]
    {
        assert!(found.messages.iter().any(|message| message.contains(reason)), "{reason}: {:?}", found.messages);
    }
}

#[test]
fn files_of_another_user_are_left_out() {
    if os::user() != ROOT_UID {
        return println!("skipped: only root can make another user's file");
    }
    let folder = Folder::new("user");
    let path = folder.put("net.jsonl", &journal("theirs", Some("net"), 1), 1);
    chown(&path, Some(12345), None).unwrap();
    let found = folder.read();
    assert_eq!((found.runs.len(), found.messages.len()), (0, 1), "{:?}", found.messages);
    assert!(found.messages[0].contains("belongs to user 12345"), "{:?}", found.messages);
}

#[test]
fn messages_are_bounded_and_a_default_folder_has_files_of_others() {
    let folder = Folder::new("bounded");
    for n in 0..20 {
        folder.put(&format!("metrics-{n}.json"), "{\"loss\": 1}", n);
    }
    let messages = folder.read().messages;
    assert_eq!(messages.len(), MAX_NAMED + 1, "{messages:?}");
    assert!(messages[MAX_NAMED].starts_with("15 more files"), "{messages:?}");
    folder.put("net_a.json", "{\"schema\": 1, \"run\": ", 30);
    let default = HistoryRequest { named: None, ..folder.request() };
    let messages = read(&default, &|| false).messages;
    assert!(messages.len() == 1 && messages[0].contains("net_a.json: it is damaged"), "{messages:?}");
    let missing = |named: Option<&str>| {
        let named = named.map(str::to_owned);
        read(&HistoryRequest { folders: vec![folder.0.join("none")], named, ..folder.request() }, &|| false).messages
    };
    assert_eq!(missing(None), Vec::<String>::new());
    assert!(missing(Some("history=none"))[0].starts_with("history=none: there is no such folder; "));
}

/// Colleagues share a folder. Their files are named in one line.
#[test]
fn files_of_other_users_have_one_message() {
    if os::user() != ROOT_UID {
        return println!("skipped: only root can make another user's file");
    }
    let folder = Folder::new("colleagues");
    for n in 0..9 {
        let path = folder.put(&format!("net_{n}.jsonl"), &journal("theirs", Some("net"), 1), n);
        chown(&path, Some(12345), None).unwrap();
    }
    folder.put("net_good.jsonl", &journal("good", Some("net"), 2), 2);
    for named in [None, Some("history=x".to_owned())] {
        let found = read(&HistoryRequest { named, ..folder.request() }, &|| false);
        assert_eq!((ids(&found), found.messages.len()), (vec!["good"], 1), "{:?}", found.messages);
        assert!(found.messages[0].starts_with("9 files in ") && found.messages[0].contains("such as net_8.jsonl; "));
    }
}

/// The name of the run ends as that of a rank's file does.
#[test]
fn run_named_like_a_rank_is_found() {
    let folder = Folder::new("like-a-rank");
    folder.put("exp_r2.jsonl", &journal("a", Some("exp_r2"), 1), 1);
    folder.put("exp_r2_r0.jsonl", &journal("b", Some("exp_r2"), 1).replace("\"rank\":null", "\"rank\":0"), 1);
    let of = |rank| HistoryRequest { name: Some("exp_r2".into()), rank: RankChoice::Of(rank), ..folder.request() };
    assert_eq!(ids(&read(&of(None), &|| false)), ["a"]);
    assert_eq!(ids(&read(&of(Some(0)), &|| false)), ["b"]);
}

/// Of one run, rank 0 was killed and rank 1 left no file. Later runs have both ranks. No rank knows the job's name.
#[test]
fn ranks_of_different_runs_are_not_joined() {
    let folder = Folder::new("parts");
    let rank = |id: &str, minute: u64, number: u64| {
        journal(id, Some("net"), minute).replace("\"rank\":null", &format!("\"rank\":{number},\"ranks\":2"))
    };
    let killed = rank("a", 10, 0);
    let last_line = killed.trim_end().rfind('\n').unwrap() + 1;
    folder.put("net_a.jsonl", &killed[..last_line], 1);
    for (id, minute, number) in [("b", 20, 1), ("c", 20, 0), ("d", 40, 0), ("e", 40, 1)] {
        folder.put(&format!("net_{id}.jsonl"), &rank(id, minute, number), minute);
    }
    let found = read(&HistoryRequest { rank: RankChoice::All, ..folder.request() }, &|| false);
    let ranks: Vec<_> = found.runs.iter().map(|run| (run.ranks_found, run.run.epochs[0].energy_j)).collect();
    assert_eq!(ranks, [(1, None), (2, Some(40.0)), (2, Some(40.0))], "{:?}", ids(&found));
}

/// Rank 1 is found alone, and no rank knows how many there are.
#[test]
fn rank_without_those_below_it_is_no_whole_job() {
    let folder = Folder::new("alone");
    folder.put("net.jsonl", &journal("a", Some("net"), 1).replace("\"rank\":null", "\"rank\":1"), 1);
    let found = read(&HistoryRequest { rank: RankChoice::All, ..folder.request() }, &|| false);
    let run = &found.runs[0];
    assert_eq!((run.ranks_found, run.label.ranks, run.run.epochs[0].energy_j), (1, Some(2), None));
}

#[test]
fn folders_are_read_together_and_a_run_counts_once() {
    let [own, kept] = ["own", "kept"].map(Folder::new);
    own.put("net_a.jsonl", &journal("a", Some("net"), 1), 1);
    kept.put("net_b.jsonl", &journal("b", Some("net"), 2), 2);
    kept.put("net_a.jsonl", &journal("a", Some("net"), 1), 3);
    let folders = vec![own.0.clone(), kept.0.clone(), own.0.join("none")];
    let found = read(&HistoryRequest { folders, named: None, ..own.request() }, &|| false);
    assert_eq!((ids(&found), found.messages.len()), (vec!["a", "b"], 0), "{:?}", found.messages);
}

#[test]
fn early_end_of_the_search_has_its_own_reason() {
    let folder = Folder::new("cut");
    for n in 0..3 {
        folder.put(&format!("net_{n}.jsonl"), &journal(&n.to_string(), Some("net"), n), n);
    }
    let request = folder.request();
    let cut = |deadline: Instant, bytes: u64| {
        let mut search = Search::new(&request, &|| false);
        (search.deadline, search.bytes) = (deadline, bytes);
        let files = search.list(&folder.0).unwrap();
        search.read(files);
        search.messages()
    };
    let later = || Instant::now() + MAX_SEARCH_TIME;
    assert_eq!(cut(later(), 0), Vec::<String>::new());
    for (messages, reason) in [
        (cut(Instant::now(), 0), "took more than 10 s; older runs"),
        (cut(later(), MAX_BYTES), "more than 16 MB; older runs"),
    ] {
        assert!(messages.len() == 1 && messages[0].contains(reason), "{messages:?}");
    }
    let few = read(&HistoryRequest { most: 1, ..folder.request() }, &|| false);
    assert!(few.messages.is_empty(), "older runs are not asked for: {:?}", few.messages);
}

#[test]
fn thinned_journal_has_the_same_epochs() {
    let text = journal("a", Some("net"), 1);
    let epoch = text.lines().nth(2).unwrap();
    let long: String =
        (3..40).map(|n| format!("{}\n", epoch.replacen("\"index\":1", &format!("\"index\":{n}"), 1))).collect();
    let old = text.lines().last().unwrap();
    let mut end: Value = serde_json::from_str(old).unwrap();
    end["so_far"]["usage"]["epochs"] = json!({"duration_s": 81.0, "energy_j": 800.0});
    end["so_far"]["run"]["epochs_done"] = json!(40);
    let text = format!("{}{long}{end}\n", &text[..text.len() - old.len() - 1]);
    let thin = beginning::thinned(text.as_bytes());
    let [all, some] = [text.as_bytes(), &thin].map(|text| PastRun::of(&report(text, true).unwrap()).unwrap());
    assert!(thin.len() < text.len() / 2 && all.epochs_done == 40);
    assert_eq!(
        (all.run.epochs, all.run.between, all.run.is_whole),
        (some.run.epochs, some.run.between, some.run.is_whole)
    );
    assert_eq!((all.power.len() > 30, all.error, all.pue), (true, some.error, some.pue));
}

#[test]
fn name_is_compared_before_the_file_is_read_as_json() {
    let folder = Folder::new("compared");
    for (n, name) in ["net", "nets", "ne", "n\u{e9}t", "a\"b"].into_iter().enumerate() {
        folder.put(&format!("{n}.jsonl"), &journal(&n.to_string(), Some(name), n as u64), n as u64);
        let pretty = serde_json::to_string_pretty(&report_of(&format!("r{n}"), Some(name), n as u64)).unwrap();
        folder.put(&format!("r{n}.json"), &pretty.replace('\u{e9}', "\\u00e9"), n as u64);
    }
    for (n, name) in ["net", "nets", "ne", "n\u{e9}t", "a\"b"].into_iter().enumerate() {
        let found = read(&HistoryRequest { name: Some(name.into()), ..folder.request() }, &|| false);
        let mut ids = ids(&found);
        ids.sort_unstable();
        assert_eq!(ids, [n.to_string(), format!("r{n}")], "{name}");
    }
}

/// A cancelled epoch, or the start of a program that `carbontracker run --mark` starts, is before the first epoch.
#[test]
fn start_up_is_no_gap_between_epochs() {
    let text = journal("a", Some("net"), 1);
    let with_start = text.replace("\"between\":{\"duration_s\":2,", "\"between\":{\"duration_s\":62,");
    assert!(with_start != text);
    let past = PastRun::of(&report(with_start.as_bytes(), true).unwrap()).unwrap();
    assert_eq!((past.run.before_s, past.run.between.duration_s), (60.0, 62.0));
    let alone = PastRun::of(&report(report_text().as_bytes(), false).unwrap()).unwrap();
    assert_eq!(alone.run.before_s, 0.0, "a report does not have the gaps");
}

/// A run that `ct_run_progress` measured is one whole, however many pieces its journal has.
#[test]
fn pieces_of_progress_are_no_epochs() {
    let mut report = report_of("a", Some("net"), 1);
    report["run"]["epochs_planned"] = json!(0);
    report["run"]["work"] = json!({"done": 400.0, "total": 400.0, "pieces": true});
    let past = PastRun::of(&report).unwrap();
    assert_eq!((past.epochs_done, past.run.epochs.len(), past.run.work, past.run.is_whole), (1, 1, Some(400.0), true));
    let whole = past.run.epochs[0];
    assert_eq!((whole.count, whole.duration_s, whole.energy_j), (1, Some(10.0), Some(100.0)));
    report["run"]["work"]["pieces"] = json!(false);
    assert_eq!(PastRun::of(&report).unwrap().run.work, None, "the application marks epochs, too");
}

/// Any change of a valid file gives a run or a flaw, and possible numbers.
fn check_any(text: &[u8], is_journal: bool) {
    let _ = beginning::label(&mut &text[..], is_journal, Some("net"), &mut Vec::new());
    let thin = if is_journal { beginning::thinned(text) } else { text.to_vec() };
    let Ok(past) = report(&thin, is_journal).and_then(|report| PastRun::of(&report)) else { return };
    let history = crate::forecast::history::History::new(&[past.run]);
    let first = crate::forecast::first_epoch::FirstEpoch::default();
    let made = crate::forecast::forecast(3, 0.9, std::iter::empty(), Default::default(), &first, &history);
    let ends = made.iter().flat_map(|made| [made.duration_s, made.energy_j]).flatten();
    ends.for_each(|end| assert!(end.low.is_finite() && end.low <= end.value && end.value <= end.high, "{end:?}"));
}

proptest! {
    #[test]
    fn no_file_breaks_the_reading(at in 0.0..1.0f64, length in 0usize..40, put in "[-0-9e.,:{}\\[\\]\"a-z\n]{0,12}", is_journal: bool) {
        let text = if is_journal { journal("a", Some("net"), 1) } else { report_text() };
        let at = (at * text.len() as f64) as usize;
        let changed = [&text.as_bytes()[..at], put.as_bytes(), &text.as_bytes()[(at + length).min(text.len())..]].concat();
        check_any(&changed, is_journal);
    }
}

fn report_text() -> String {
    report_of("a", Some("net"), 1).to_string()
}
