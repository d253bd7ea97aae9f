//! The job's share of its node.

use super::json_view::JsonView;
use super::tables::{TableHead, blocks};
use crate::report::share;
use crate::units::Amount;
use maud::{Markup, html};

/// The section; empty: all energy of the devices counts.
pub fn section(run: &JsonView) -> Markup {
    let rows = run.list("/share/rows");
    let error = run.error("/usage/error");
    let heads = [
        TableHead::Text("device"),
        TableHead::Number("this job"),
        TableHead::Number("others"),
        TableHead::Number("device"),
        TableHead::Text("divided"),
    ];
    let lines = html! {
        @for row in &rows {
            tr {
                th.long scope="row" { (row.words("/device")) br; span.soft { (row.words("/id")) } }
                td.n data-label="this job" { (row.amount("/job_j", Amount::Energy, error)) }
                td.n data-label="others" { (row.amount("/others_j", Amount::Energy, error)) }
                td.n data-label="device" { (row.amount("/device_j", Amount::Energy, error)) }
                td data-label="divided" { (words(row.text("/rule").unwrap_or_default())) }
            }
        }
    };
    html! {
        @if run.has("/share/scope") {
            h2 { "This job's share of the node" }
            p {
                "All energy on this page is the job's. Energy is divided " (share::rule(run.part("/share").json()))
                ". That is a rule, not a measurement."
                @if run.has("/share/undivided_j") {
                    " " (run.amount("/share/undivided_j", Amount::Energy, error))
                    " could not be divided, because the usage was unknown; it is in no figure."
                }
            }
            (blocks(&heads, lines))
        }
    }
}

/// A rule in words.
fn words(rule: &str) -> &str {
    match rule {
        "processor_time" => "by processor time",
        "resident_memory" => "by resident memory",
        "slices" => "by the slices of the job",
        "process_use" => "by the use of each process",
        _ => "not: it is the job's",
    }
}
