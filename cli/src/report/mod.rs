//! Makes a page, HTML or PDF, of the reports and journals of runs.

mod pdf;

use crate::console::complain;
use crate::last;
use crate::report_files::{self, Unread};
use carbontracker::report::html;
use carbontracker::run_files::atomic_replace::put;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Make a page of one or more runs: figures, charts and how they were measured
#[derive(clap::Args)]
#[command(after_help = ABOUT)]
pub struct ReportArgs {
    /// Reports (*.json), journals (*.jsonl), or folders of them; several runs share one page [default: the newest run]
    #[arg(value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// File to write: a name that ends in .html or .pdf; without it HTML on standard output
    #[arg(short, long, value_name = "OUT", value_parser = named)]
    output: Option<PathBuf>,
}

const ABOUT: &str = "\
The ranks of a job are one run. The page is one file without scripts. It needs no network, and fits a screen of any
size and paper. Chromium, Chrome or Edge prints the PDF: the browser that CHROME names, otherwise the first on PATH.

Without an argument the page is that of the newest run, as 'carbontracker last' shows it.

Examples:
  carbontracker report -o last.html
  carbontracker report runs/heat_node1_4711.json -o heat.html
  carbontracker report runs -o runs.pdf

Exit status: 0 done, 1 a report cannot be read or the page cannot be written, 2 wrong arguments.";

/// Checks the name of the page.
fn named(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_known =
        path.extension().is_some_and(|end| ["html", "pdf"].iter().any(|known| end.eq_ignore_ascii_case(known)));
    is_known.then_some(path).ok_or_else(|| "expected a name that ends in .html or .pdf".into())
}

/// Writes the page and returns an empty text, or returns the page for standard output.
pub fn run(args: &ReportArgs) -> Result<String, String> {
    let mut reports: Vec<Value> = Vec::new();
    let newest = if args.paths.is_empty() { last::newest(&report_files::default_folder()?)?.files } else { Vec::new() };
    for path in args.paths.iter().chain(&newest) {
        match path.is_dir() {
            true => read_all(path)?.into_iter().for_each(|report| take(&mut reports, report)),
            false => take(&mut reports, read(path)?),
        }
    }
    reports.sort_by_key(|report| report_files::word(report, "/run/started").map(str::to_owned));
    let page = html::page(&reports);
    let Some(output) = &args.output else { return Ok(page) };
    let is_pdf = output.extension().is_some_and(|end| end.eq_ignore_ascii_case("pdf"));
    let bytes = if is_pdf { pdf::print(&page)? } else { page.into_bytes() };
    put(output, bytes).map(|()| String::new())
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
fn read(path: &Path) -> Result<Value, String> {
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
