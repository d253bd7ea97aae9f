//! Makes a page, HTML or PDF, of the reports and journals of runs.

mod pdf;

use crate::named_runs;
use carbontracker::report::html;
use carbontracker::run_files::atomic_replace::put;
use std::path::{Path, PathBuf};

/// Make a page of one or more runs: figures, charts and how they were measured
#[derive(clap::Args)]
#[command(after_help = ABOUT)]
pub struct ReportArgs {
    /// Reports (*.json), journals (*.jsonl), or folders of them; several runs share one page [default: the newest run]
    #[arg(value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// File to write: a name that ends in .html or .pdf; without it HTML on standard output
    #[arg(short, long, value_name = "OUT", value_parser = page_name)]
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

/// Checks the name of a page.
pub fn page_name(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_known =
        path.extension().is_some_and(|end| ["html", "pdf"].iter().any(|known| end.eq_ignore_ascii_case(known)));
    is_known.then_some(path).ok_or_else(|| "expected a name that ends in .html or .pdf".into())
}

/// Writes the page and returns an empty text, or returns the page for standard output.
pub fn run(args: &ReportArgs) -> Result<String, String> {
    let reports = named_runs::read(&args.paths)?;
    let page = html::page(&reports);
    let Some(output) = &args.output else { return Ok(page) };
    write_page(output, page).map(|()| String::new())
}

/// Writes a page as HTML, or as PDF if the name ends so.
pub fn write_page(output: &Path, page: String) -> Result<(), String> {
    let is_pdf = output.extension().is_some_and(|end| end.eq_ignore_ascii_case("pdf"));
    let bytes = if is_pdf { pdf::print(&page)? } else { page.into_bytes() };
    put(output, bytes)
}
