//! Reports that runs left in files, as a page to read or to print.

use crate::browser;
use carbontracker::report::html;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Make a page of what runs left behind: figures, charts and how it was measured
#[derive(clap::Args)]
#[command(after_help = ABOUT)]
pub struct Report {
    /// Reports (*.json), or folders of them: several go on one page
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// Where to: a name that ends in .html or .pdf; without it HTML on standard output
    #[arg(short, long, value_name = "OUT", value_parser = named)]
    output: Option<PathBuf>,
}

const ABOUT: &str = "\
The page is one file that needs no network and no script, on a screen of any size, by day and night, and printed. The
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
    let mut reports = Vec::new();
    for path in &asked.paths {
        if path.is_dir() {
            reports.extend(read_all(path)?);
        } else {
            reports.push(read(path)?);
        }
    }
    let started = |report: &Value| report.pointer("/run/started").and_then(Value::as_str).map(str::to_owned);
    reports.sort_by_key(started);
    let page = html::page(&reports);
    let Some(output) = &asked.output else { return Ok(page) };
    let is_pdf = output.extension().is_some_and(|end| end.eq_ignore_ascii_case("pdf"));
    let bytes = if is_pdf { browser::print(&page)? } else { page.into_bytes() };
    put(output, &bytes).map_err(|error| format!("{}: {error}", output.display()))?;
    Ok(String::new())
}

/// Reads what a run left.
fn read(path: &Path) -> Result<Value, String> {
    let of = |error: String| format!("{}: {error}", path.display());
    let text = fs::read_to_string(path).map_err(|error| of(error.to_string()))?;
    let report: Value = serde_json::from_str(&text).map_err(|error| of(format!("no report: {error}")))?;
    match report.get("schema").and_then(Value::as_u64) {
        Some(1) if report.get("run").is_some() => Ok(report),
        Some(schema) if schema > 1 => Err(of(format!("a report of schema {schema}: a newer carbontracker reads it"))),
        _ => Err(of("no report: expected what ct_report(t, \"json\", …) writes".into())),
    }
}

/// All reports in a folder; what else there is is left alone, and named.
fn read_all(dir: &Path) -> Result<Vec<Value>, String> {
    let of = |error: std::io::Error| format!("{}: {error}", dir.display());
    let entries = fs::read_dir(dir).map_err(of)?.collect::<Result<Vec<_>, _>>().map_err(of)?;
    let mut files: Vec<PathBuf> = entries.iter().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "json"));
    files.sort();
    let mut reports = Vec::new();
    for file in files {
        match read(&file) {
            Ok(report) => reports.push(report),
            Err(message) => eprintln!("carbontracker: {message}; it is left out"),
        }
    }
    if reports.is_empty() {
        return Err(format!("{}: no report here: expected files *.json that a run left", dir.display()));
    }
    Ok(reports)
}

/// Writes a file whole or not at all: beside it first.
fn put(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = fs::File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let put = written.and_then(|()| fs::rename(&beside, path));
    if put.is_err() {
        let _ = fs::remove_file(&beside);
    }
    put
}
