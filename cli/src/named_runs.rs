//! The runs that a command line names: reports, journals and folders of them, or the newest run.

use crate::console::complain;
use crate::last;
use crate::report_files::{self, Unread};
use carbontracker::report::ranks;
use serde_json::Value;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// The reports of these files and folders, the earliest run first. Without a path, those of the newest run.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Value>, String> {
    let mut reports: Vec<Value> = Vec::new();
    let newest = if paths.is_empty() { last::newest(&report_files::default_folder()?)?.files } else { Vec::new() };
    for path in paths.iter().chain(&newest) {
        match path.is_dir() {
            true => read_all(path)?.into_iter().for_each(|report| take(&mut reports, report)),
            false => take(&mut reports, read_one(path)?),
        }
    }
    reports.sort_by_key(|report| report_files::word(report, "/run/started").map(str::to_owned));
    Ok(reports)
}

/// The reports of these files and folders, one for each run: the ranks of a job are merged.
pub fn folded(paths: &[PathBuf]) -> Result<Vec<Value>, String> {
    let reports = read(paths)?;
    Ok(ranks::rows(&reports).into_iter().map(Cow::into_owned).collect())
}

/// Adds a run. Of two files of one run it keeps the one with more epochs, of equal ones the final report.
fn take(reports: &mut Vec<Value>, report: Value) {
    let id = |report: &Value| report_files::word(report, "/run/id").map(str::to_owned);
    let is_final = |report: &Value| report_files::word(report, "/run/state") != Some("unfinished");
    let reach = |report: &Value| (report_files::number(report, "/run/epochs_done"), is_final(report));
    match reports.iter_mut().find(|other| id(other).is_some() && id(other) == id(&report)) {
        Some(other) if reach(other) >= reach(&report) => (),
        Some(other) => *other = report,
        None => reports.push(report),
    }
}

/// Reads one file. Notes on damaged lines go to standard error.
fn read_one(path: &Path) -> Result<Value, String> {
    let expected = "not a run's report or journal. Name a file NAME.json or NAME.jsonl that a run left in log_dir";
    let read = report_files::read(path).map_err(|unread| match unread {
        Unread::Foreign => format!("{}: {expected}", path.display()),
        Unread::Broken(message) => message,
    })?;
    read.notes.iter().for_each(|note| complain(&format!("{}: {note}", path.display())));
    Ok(read.report)
}

/// Reads all runs of a folder. A damaged file is left out, with a message.
fn read_all(dir: &Path) -> Result<Vec<Value>, String> {
    let mut reports = Vec::new();
    for file in report_files::of_folder(dir)? {
        match report_files::read(&file) {
            Ok(read) => reports.push(read.report),
            Err(Unread::Foreign) => (),
            Err(Unread::Broken(message)) => complain(&format!("{message}. This file is left out")),
        }
    }
    if reports.is_empty() {
        return Err(format!(
            "{}: no run found. Name a folder with NAME.json or NAME.jsonl, as log_dir= leaves them",
            dir.display()
        ));
    }
    Ok(reports)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn file_with_most_epochs_is_kept() {
        let report = |state: &str, done: u64| json!({"run": {"id": "a", "state": state, "epochs_done": done}});
        for (first, second) in
            [(report("unfinished", 3), report("done", 3)), (report("done", 2), report("unfinished", 3))]
        {
            for order in [[&first, &second], [&second, &first]] {
                let mut reports = Vec::new();
                order.into_iter().for_each(|report| take(&mut reports, report.clone()));
                assert_eq!(reports.as_slice(), std::slice::from_ref(&second));
            }
        }
    }
}
