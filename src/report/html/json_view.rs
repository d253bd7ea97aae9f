//! A report's JSON, looked up by JSON Pointer, and its numbers on the page: each says where in the JSON it stands.

use crate::measurement::channel::ErrorBand;
use crate::report::ranks;
use crate::units::Amount;
use maud::{Markup, html};
use serde_json::Value;

/// A report, or a part of it.
#[derive(Clone)]
pub struct JsonView<'a> {
    value: &'a Value,
    /// Where the part stands.
    at: String,
}

impl<'a> JsonView<'a> {
    /// The whole report.
    pub fn new(report: &'a Value) -> JsonView<'a> {
        JsonView { value: report, at: String::new() }
    }

    /// The part at a pointer; of nothing it is null.
    pub fn part(&self, pointer: &str) -> JsonView<'a> {
        let value = self.value.pointer(pointer).unwrap_or(&Value::Null);
        JsonView { value, at: format!("{}{pointer}", self.at) }
    }

    /// The entries of a list.
    pub fn list(&self, pointer: &str) -> Vec<JsonView<'a>> {
        let list = self.part(pointer);
        let entries = list.value.as_array().into_iter().flatten().enumerate();
        entries.map(|(n, value)| JsonView { value, at: format!("{}/{n}", list.at) }).collect()
    }

    /// Whether something is there.
    pub fn has(&self, pointer: &str) -> bool {
        !self.part(pointer).value.is_null()
    }

    /// Whether, of a run, another process of its job counts what it uses.
    pub fn is_counted_elsewhere(&self) -> bool {
        ranks::is_counted_elsewhere(self.value)
    }

    /// How many ranks a run has whose reports are one here.
    pub fn ranks(&self) -> Option<u64> {
        self.part("/run/ranks_found").value.as_u64()
    }

    /// The machine, or the ranks and their nodes.
    pub fn place(&self) -> Option<String> {
        ranks::place(self.value)
    }

    /// A number.
    pub fn number(&self, pointer: &str) -> Option<f64> {
        self.part(pointer).value.as_f64()
    }

    /// A text.
    pub fn text(&self, pointer: &str) -> Option<&'a str> {
        self.part(pointer).value.as_str()
    }

    /// A text, of nothing an empty one.
    pub fn words(&self, pointer: &str) -> &'a str {
        self.text(pointer).unwrap_or_default()
    }

    /// A column of numbers; None where there is none.
    pub fn column(&self, pointer: &str) -> Option<Vec<Option<f64>>> {
        Some(self.part(pointer).value.as_array()?.iter().map(Value::as_f64).collect())
    }

    /// A number as a reader sees it.
    pub fn shown(&self, pointer: &str, show: impl Fn(f64) -> String) -> Markup {
        let at = format!("{}{pointer}", self.at);
        match self.number(pointer) {
            Some(number) => html! { data value=(number) data-pointer=(at) { (show(number)) } },
            None => html! { span.unknown data-pointer=(at) { "unknown" } },
        }
    }

    /// How far off figures may be, by the field that says so; None: they are measured.
    pub fn error(&self, pointer: &str) -> Option<ErrorBand> {
        ErrorBand::read(self.value.pointer(pointer))
    }

    /// An amount as a reader sees it, of an estimate with as many digits as that warrants.
    pub fn amount(&self, pointer: &str, amount: Amount, error: Option<ErrorBand>) -> Markup {
        let show = |x: f64| error.map_or_else(|| amount.exact(x), |band| amount.rough(x, band));
        html! { @if error.is_some() && self.has(pointer) { "about " } (self.shown(pointer, show)) }
    }

    /// The same, of an estimate with its interval, whose ends stand in these fields.
    pub fn figure(&self, pointer: &str, [low, high]: [&str; 2], amount: Amount, error: Option<ErrorBand>) -> Markup {
        html! {
            (self.amount(pointer, amount, error))
            @if error.is_some() && self.has(low) { " (" (self.interval([low, high], amount)) ")" }
        }
    }

    /// "7.0 J to 24 J", of ends that stand in these fields.
    pub fn interval(&self, [low, high]: [&str; 2], amount: Amount) -> Markup {
        let [from, to] = [low, high].map(|end| self.number(end).unwrap_or(f64::NAN));
        let show = |x: f64| amount.end(x, from, to);
        html! { (self.shown(low, show)) " to " (self.shown(high, show)) }
    }

    /// What a run used: of a rank that counts nothing it is in what another of its job counts.
    pub fn used(&self, pointer: &str, amount: Amount) -> Markup {
        match !self.has(pointer) && self.is_counted_elsewhere() {
            true => html! { span.unknown { "in another rank's" } },
            false => self.amount(pointer, amount, self.error("/usage/error")),
        }
    }

    /// "value (low to high)", or where no interval is known the value.
    pub fn estimate(&self, pointer: &str, show: impl Fn(f64) -> String + Copy) -> Markup {
        let part = self.part(pointer);
        html! {
            (part.shown("/value", show))
            @if part.has("/low") { " (" (part.shown("/low", show)) " to " (part.shown("/high", show)) ")" }
        }
    }
}

/// A share as a percentage.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// The same in whole numbers.
pub fn whole_percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A whole number.
pub fn whole(count: f64) -> String {
    format!("{count:.0}")
}
