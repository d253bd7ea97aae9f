//! A run's tables: its devices, what was not measured, notes, and its epochs.

use super::charts::KINDS;
use super::run::{percent, whole};
use super::view::View;
use crate::units::{Unit, digits, energy};
use maud::{Markup, html};

/// Its devices.
pub fn devices(run: &View) -> Markup {
    let devices = run.list("/components");
    html! {
        h2 { "What was measured" }
        @if devices.is_empty() {
            p { "Nothing: times are measured, energies are unknown." }
        } @else {
            div.scroll { table.cards-if-narrow {
                thead { tr {
                    th scope="col" { "device" } th scope="col" { "kind" } th scope="col" { "by" }
                    th.n scope="col" { "energy" } th.n scope="col" { "mean power" } th.n scope="col" { "coverage" } th scope="col" { "state" }
                } }
                tbody { @for device in &devices {
                    tr {
                        th.long scope="row" { (device.text("/device").unwrap_or("unknown")) br; span.soft { (device.text("/id").unwrap_or_default()) } }
                        td data-label="kind" { (device.text("/kind").unwrap_or_default()) }
                        td data-label="by" { (device.text("/source").unwrap_or_default()) ", " (device.text("/method").unwrap_or_default()) }
                        td.n data-label="energy" { (device.shown("/energy_j", energy)) }
                        td.n data-label="mean power" { (device.shown("/mean_power_w", |watts| format!("{} W", digits(watts)))) }
                        td.n data-label="coverage" { (device.shown("/coverage", percent)) }
                        td data-label="state" { (device.text("/status").unwrap_or_default()) @if let Some(note) = device.text("/note") { br; span.soft { (note) } } }
                    }
                } }
            } }
        }
    }
}

/// Its absent.
pub fn absent(run: &View) -> Markup {
    let absent = run.list("/unavailable");
    html! {
        @if !absent.is_empty() {
            h2 { "What was not measured" }
            div.scroll { table.cards-if-narrow {
                thead { tr { th scope="col" { "source" } th scope="col" { "why" } th scope="col" { "what helps" } } }
                tbody { @for source in &absent { tr {
                    th scope="row" { (source.text("/source").unwrap_or_default()) }
                    td data-label="why" { (source.text("/reason").unwrap_or_default()) }
                    td data-label="what helps" { @if let Some(cure) = source.text("/cure") { (cure) } }
                } } }
            } }
        }
    }
}

/// Its notes.
pub fn notes(run: &View) -> Markup {
    let notes = run.list("/notes");
    html! {
        @if !notes.is_empty() {
            h2 { "Notes" }
            ul { @for note in &notes { li { (note.text("").unwrap_or_default()) } } }
        }
    }
}

/// So many rows can be read.
const MOST_ROWS: usize = 100;

/// Its epochs.
pub fn epochs(run: &View) -> Markup {
    let epochs = run.list("/epochs");
    let shown = epochs.len().min(MOST_ROWS);
    let rows: Vec<&View> = (0..shown).filter_map(|n| epochs.get(n * (epochs.len() - 1) / (shown - 1).max(1))).collect();
    let most = |field: &str| epochs.iter().filter_map(|epoch| epoch.number(field)).fold(0.0, f64::max);
    let (time, joules, mass) =
        (Unit::duration(most("/duration_s")), Unit::energy(most("/energy_j")), Unit::grams(most("/co2eq_g")));
    let kinds: Vec<String> = KINDS
        .iter()
        .map(|(kind, ..)| format!("/{kind}_j"))
        .filter(|kind| epochs.iter().any(|epoch| epoch.has(kind)))
        .collect();
    let are_merged = epochs.iter().any(|epoch| epoch.number("/count").is_some_and(|count| count > 1.0));
    let cell = |epoch: &View, field: &str, unit: Unit| html! { td.n { (epoch.shown(field, |amount| digits(unit.amount(amount)))) } };
    html! {
        @if !epochs.is_empty() {
            h2 { "Epochs" }
            div.scroll { table {
                @if shown < epochs.len() || are_merged { caption {
                    @if shown < epochs.len() { (shown) " of " (epochs.len()) " rows, evenly from first to last; the JSON and CSV reports have all. " }
                    @if are_merged { "Older epochs of a long run are kept in groups: a row is the sum of as many as it says." }
                } }
                thead { tr {
                    th.n scope="col" { "epoch" } @if are_merged { th.n scope="col" { "how many" } }
                    th.n scope="col" { "time, " (time.name) } th.n scope="col" { "energy, " (joules.name) } th.n scope="col" { "CO2e, " (mass.name) }
                    @if kinds.len() > 1 { @for kind in &kinds { th.n scope="col" { (kind.trim_matches('/').trim_end_matches("_j")) ", " (joules.name) } } }
                } }
                tbody { @for epoch in rows { tr {
                    th.n scope="row" { (epoch.shown("/index", whole)) }
                    @if are_merged { td.n { (epoch.shown("/count", whole)) } }
                    (cell(epoch, "/duration_s", time)) (cell(epoch, "/energy_j", joules)) (cell(epoch, "/co2eq_g", mass))
                    @if kinds.len() > 1 { @for kind in &kinds { (cell(epoch, kind, joules)) } }
                } } }
            } }
        }
    }
}
