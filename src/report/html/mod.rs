//! The report as one HTML page, which needs no network and no script and can be printed. It is made from the report's
//! JSON, so a run in memory and a file give the same page.

mod axis;
mod chart;
mod charts;
mod comparison;
mod first_screen;
mod impacts;
mod json_view;
mod methodology;
mod phases;
mod run_page;
mod share;
mod summary;
mod tables;
mod timeline;
mod what_if;

use super::ranks;
use json_view::JsonView;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;
pub use tables::{TableHead, blocks};

/// The page of JSON reports. The ranks of a job are shown as one run.
pub fn page(reports: &[Value]) -> String {
    let reports = ranks::rows(reports);
    let runs: Vec<JsonView> = reports.iter().map(|report| JsonView::new(report)).collect();
    let (title, content) = match runs.as_slice() {
        [run] => {
            let name = run
                .ranks()
                .map_or(run_page::name(run), |ranks| format!("{}: 1 run, {ranks} ranks", run_page::name(run)));
            let content = html! { article data-report="0" { h1 { (name) } (run_page::sections(run)) } };
            (name, content)
        }
        runs => (comparison::title(runs), comparison::sections(runs)),
    };
    framed(&title, content).into_string()
}

/// On paper the footer is in the margin, where it never needs a page of its own.
const PAPER_FOOTER: &str = concat!(
    "@page{@bottom-left{content:\"Made by carbontracker ",
    env!("CARGO_PKG_VERSION"),
    ".\";font:9pt sans-serif;color:#57606a}}"
);

/// A page with this title and content.
pub fn framed(title: &str, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content={ "carbontracker " (env!("CARGO_PKG_VERSION")) };
                // Without it a browser requests /favicon.ico.
                link rel="icon" href="data:,";
                title { (title) " · carbontracker" }
                style { (PreEscaped(include_str!("style.css"))) (PreEscaped(PAPER_FOOTER)) }
            }
            body {
                main {
                    (content)
                    footer { "Made by carbontracker " (env!("CARGO_PKG_VERSION")) "." }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
