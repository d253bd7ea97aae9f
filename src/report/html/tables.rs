//! The tables of a run: nodes, devices, sources that were not measured, notes, epochs.

use super::charts::KINDS;
use super::json_view::{JsonView, percent, whole};
use crate::units::{Amount, DisplayUnit, digits, two_digits};
use maud::{Markup, html};

/// The head of a column.
pub enum TableHead<'a> {
    /// A column of words.
    Text(&'a str),
    /// A column of numbers, aligned to the right.
    Number(&'a str),
    /// A column of bars, which is hidden from screen readers.
    Bar,
}

/// A table. On a narrow screen the table scrolls, not the page.
pub fn table(heads: &[TableHead], rows: Markup) -> Markup {
    html! { div.scroll { table { (head(heads)) tbody { (rows) } } } }
}

/// A table whose rows become blocks on a narrow screen. The cells are labelled by `data-label`.
pub fn blocks(heads: &[TableHead], rows: Markup) -> Markup {
    html! { div.scroll { table.blocks-if-narrow { (head(heads)) tbody { (rows) } } } }
}

fn head(heads: &[TableHead]) -> Markup {
    html! {
        thead {
            tr {
                @for head in heads {
                    @match head {
                        TableHead::Text(words) => { th scope="col" { (words) } }
                        TableHead::Number(words) => { th.n scope="col" { (words) } }
                        TableHead::Bar => { th.bar aria-hidden="true" {} }
                    }
                }
            }
        }
    }
}

/// The nodes of a job.
pub fn nodes(run: &JsonView) -> Markup {
    let nodes = run.list("/nodes");
    let heads = [
        TableHead::Text("node"),
        TableHead::Text("counted by rank"),
        TableHead::Number("ranks"),
        TableHead::Number("energy"),
    ];
    let rows = html! {
        @for node in &nodes {
            tr {
                th.long scope="row" { (node.text("/host").unwrap_or("unknown host")) }
                td data-label="counted by rank" {
                    @for (n, rank) in node.list("/counting").iter().enumerate() {
                        @if n > 0 { ", " } (rank.shown("", whole))
                    }
                }
                td.n data-label="ranks" { (node.shown("/ranks", whole)) }
                td.n data-label="energy" { (node.amount("/energy_j", Amount::Energy, node.error("/error"))) }
            }
        }
    };
    html! {
        @if !nodes.is_empty() {
            h2 { "Nodes" }
            (blocks(&heads, rows))
        }
    }
}

/// The table of devices.
pub fn devices(run: &JsonView) -> Markup {
    let devices = run.list("/components");
    let heads = [
        TableHead::Text("device"),
        TableHead::Text("kind"),
        TableHead::Text("by"),
        TableHead::Number("energy"),
        TableHead::Number("mean power"),
        TableHead::Number("coverage"),
        TableHead::Text("state"),
    ];
    let rows = html! {
        @for device in &devices {
            @let error = device.error("/error");
            tr {
                th.long scope="row" {
                    (device.words("/device")) br;
                    span.soft { (device.words("/id")) @if let Some(host) = device.text("/host") { " on " (host) } }
                }
                td data-label="kind" { (device.words("/kind")) }
                td data-label="by" { (device.words("/source")) ", " (device.words("/method")) }
                td.n data-label="energy" { (device.figure("/energy_j", ["/energy_low_j", "/energy_high_j"], Amount::Energy, error)) }
                td.n data-label="mean power" { (device.amount("/mean_power_w", Amount::Power, error)) }
                // Readings of an estimate are no measurement, however many there are.
                td.n data-label="coverage" { @if error.is_none() { (device.shown("/coverage", percent)) } @else { "estimate" } }
                td data-label="state" {
                    (device.words("/status"))
                    @if let Some(note) = device.text("/note") { br; span.soft { (note) } }
                }
            }
        }
    };
    html! {
        h2 { "What was measured" }
        @if devices.is_empty() && run.is_counted_elsewhere() {
            p { "Nothing here: another process of the job counts the devices, and its report has their energy." }
        } @else if devices.is_empty() {
            p { "Nothing: times are measured, energies are unknown." }
        } @else {
            (blocks(&heads, rows))
        }
    }
}

/// The table of sources that were not measured, with reasons and fixes.
pub fn unavailable(run: &JsonView) -> Markup {
    let sources = run.list("/unavailable");
    let rows = html! {
        @for source in &sources {
            tr {
                th scope="row" { (source.words("/source")) }
                td data-label="why" { (source.words("/reason")) }
                td data-label="fix" { (source.words("/cure")) }
            }
        }
    };
    html! {
        @if !sources.is_empty() {
            h2 { "Not measured, and how to enable it" }
            (blocks(&[TableHead::Text("source"), TableHead::Text("why"), TableHead::Text("fix")], rows))
        }
    }
}

/// The list of notes.
pub fn notes(run: &JsonView) -> Markup {
    let notes = run.list("/notes");
    html! {
        @if !notes.is_empty() {
            h2 { "Notes" }
            ul { @for note in &notes { li { (note.words("")) } } }
        }
    }
}

/// The table of epochs, or of some if there are many.
pub fn epochs(run: &JsonView) -> Markup {
    let epochs = run.list("/epochs");
    let are_merged = epochs.iter().any(|epoch| epoch.number("/count").is_some_and(|count| count > 1.0));
    let rows = evenly(&epochs);
    html! {
        @if !epochs.is_empty() {
            h2 { "Epochs" }
            @if rows.len() < epochs.len() {
                p.soft {
                    (rows.len()) " of " (epochs.len())
                    " rows, evenly from the first to the last; the JSON and CSV reports have all rows."
                }
            }
            @if are_merged {
                p.soft { "Older epochs of a long run are kept in groups: a row is the sum of its epochs." }
            }
            @if run.has("/usage/error") {
                p.soft { "Energy and CO2e have estimates in them, with the error of the devices above: two digits are shown." }
            }
            (epochs_table(run, &epochs, &rows, are_merged))
        }
    }
}

/// At most 100 rows, evenly from the first to the last.
fn evenly<'a>(all: &'a [JsonView<'a>]) -> Vec<&'a JsonView<'a>> {
    const MOST: usize = 100;
    let shown = all.len().min(MOST);
    (0..shown).filter_map(|n| all.get(n * (all.len() - 1) / (shown - 1).max(1))).collect()
}

fn epochs_table(run: &JsonView, all: &[JsonView], rows: &[&JsonView], are_merged: bool) -> Markup {
    let most = |field: &str| all.iter().filter_map(|epoch| epoch.number(field)).fold(0.0, f64::max);
    let unit = |amount: Amount<'static>, field: &str| DisplayUnit::of(amount, most(field));
    let joules = unit(Amount::Energy, "/energy_j");
    let mut columns = vec![
        ("/duration_s".to_owned(), "time", unit(Amount::Time, "/duration_s")),
        ("/energy_j".to_owned(), "energy", joules),
        ("/co2eq_g".to_owned(), "CO2e", unit(Amount::Grams, "/co2eq_g")),
    ];
    let kinds = KINDS.iter().map(|(kind, ..)| (format!("/{kind}_j"), *kind, joules));
    let known: Vec<_> = kinds.filter(|(field, ..)| all.iter().any(|epoch| epoch.has(field))).collect();
    columns.extend(known);
    let estimated = estimated_columns(run);
    let titles: Vec<String> = columns.iter().map(|(_, title, unit)| format!("{title}, {}", unit.name)).collect();
    let first = [TableHead::Number("epoch")].into_iter().chain(are_merged.then_some(TableHead::Number("epochs")));
    let heads: Vec<TableHead> = first.chain(titles.iter().map(|title| TableHead::Number(title))).collect();
    let rows = html! {
        @for epoch in rows {
            tr {
                th.n scope="row" { (epoch.shown("/index", |index| whole(index + 1.0))) }
                @if are_merged { td.n { (epoch.shown("/count", whole)) } }
                @for (field, _, unit) in &columns {
                    @let written = if estimated.contains(field) { two_digits } else { digits };
                    td.n { (epoch.shown(field, |amount| written(unit.amount(amount)))) }
                }
            }
        }
    };
    table(&heads, rows)
}

/// The fields of an epoch whose amounts are partly estimated.
fn estimated_columns(run: &JsonView) -> Vec<String> {
    let devices = run.list("/components");
    let kinds =
        devices.iter().filter(|device| device.has("/error")).map(|device| format!("/{}_j", device.words("/kind")));
    let all = ["/energy_j", "/co2eq_g"].map(str::to_owned).into_iter().filter(|_| run.has("/usage/error"));
    all.chain(kinds).collect()
}
