//! Reports that runs left in files, as a page to read or to print.

mod pdf;

use crate::console::complain;
use crate::report_files::{self, Unread};
use carbontracker::report::html;
use carbontracker::run_files::atomic_replace::put;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Make a page of what runs left behind: figures, charts and how it was measured
#[derive(clap::Args)]
#[command(after_help = ABOUT)]
pub struct Report {
    /// What runs left, reports (*.json) or journals (*.jsonl), or folders of them: several go on one page
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// Where to: a name that ends in .html or .pdf; without it HTML on standard output
    #[arg(short, long, value_name = "OUT", value_parser = named)]
    output: Option<PathBuf>,
}

const ABOUT: &str = "\
The ranks of a job are one run. The page is one file that needs no network and no script, on a screen of any size, by day and night, and printed. The
PDF is that page, printed by Chromium, Chrome or Edge: by the one that CHROME names, else by the first on PATH.

Examples:
  carbontracker report runs/heat_node1_4711.json -o heat.html
  carbontracker report runs -o runs.pdf

Exit status: 0 done, 1 a report cannot be read or the page not be written, 2 wrong arguments.";

fn named(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_known =
        path.extension().is_some_and(|end| ["html", "pdf"].iter().any(|known| end.eq_ignore_ascii_case(known)));
    is_known.then_some(path).ok_or_else(|| "expected a name that ends in .html or .pdf".into())
}

/// Writes the page, or returns it to be printed.
pub fn run(asked: &Report) -> Result<String, String> {
    let mut reports: Vec<Value> = Vec::new();
    for path in &asked.paths {
        match path.is_dir() {
            true => read_all(path)?.into_iter().for_each(|report| take(&mut reports, report)),
            false => take(&mut reports, read(path)?),
        }
    }
    reports.sort_by_key(|report| report_files::word(report, "/run/started").map(str::to_owned));
    let page = html::page(&reports);
    let Some(output) = &asked.output else { return Ok(page) };
    let is_pdf = output.extension().is_some_and(|end| end.eq_ignore_ascii_case("pdf"));
    let bytes = if is_pdf { pdf::print(&page)? } else { page.into_bytes() };
    put(output, bytes).map(|()| String::new())
}

/// Adds a run; of two files of one run the one that goes further, and of two that go as far the final report.
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

/// Reads what a run left.
fn read(path: &Path) -> Result<Value, String> {
    let expected = "no report: expected NAME.json, NAME.jsonl or what ct_report(t, \"json\", …) writes";
    let told = report_files::read(path).map_err(|unread| match unread {
        Unread::Foreign => format!("{}: {expected}", path.display()),
        Unread::Broken(message) => message,
    })?;
    told.notes.iter().for_each(|note| complain(&format!("{}: {note}", path.display())));
    Ok(told.report)
}

/// All runs in a folder; a file that should hold one and cannot be read is named.
fn read_all(dir: &Path) -> Result<Vec<Value>, String> {
    let mut reports = Vec::new();
    for file in report_files::of_folder(dir)? {
        match report_files::read(&file) {
            Ok(told) => reports.push(told.report),
            Err(Unread::Foreign) => (),
            Err(Unread::Broken(message)) => complain(&format!("{message}; it is left out")),
        }
    }
    if reports.is_empty() {
        return Err(format!("{}: no run here: expected NAME.json or NAME.jsonl, as log_dir= has them", dir.display()));
    }
    Ok(reports)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn of_a_runs_files_the_one_that_tells_most_counts() {
        let told = |state: &str, done: u64| json!({"run": {"id": "a", "state": state, "epochs_done": done}});
        for (first, second) in [(told("unfinished", 3), told("done", 3)), (told("done", 2), told("unfinished", 3))] {
            for order in [[&first, &second], [&second, &first]] {
                let mut reports = Vec::new();
                order.into_iter().for_each(|report| take(&mut reports, report.clone()));
                assert_eq!(reports.as_slice(), std::slice::from_ref(&second));
            }
        }
    }
}
