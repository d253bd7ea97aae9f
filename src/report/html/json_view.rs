//! A report's JSON, looked up by JSON Pointer. Each number on the page carries its pointer.

use crate::measurement::channel::MeasuringMethod;

use crate::report::{RunPhase, ranks};
use crate::units::{Amount, DisplayUnit, ErrorBand, digits, two_digits};
use maud::{Markup, html};
use serde_json::Value;

/// A report or a part of it.
#[derive(Clone)]
pub struct JsonView<'a> {
    value: &'a Value,
    /// The pointer of the part in the report.
    at: String,
}

impl<'a> JsonView<'a> {
    /// The whole report.
    pub fn new(report: &'a Value) -> JsonView<'a> {
        JsonView { value: report, at: String::new() }
    }

    /// The part at a pointer; null: there is none.
    pub fn part(&self, pointer: &str) -> JsonView<'a> {
        let value = self.value.pointer(pointer).unwrap_or(&Value::Null);
        JsonView { value, at: format!("{}{pointer}", self.at) }
    }

    /// The part as JSON.
    pub fn json(&self) -> &'a Value {
        self.value
    }

    /// The entries of a list.
    pub fn list(&self, pointer: &str) -> Vec<JsonView<'a>> {
        let list = self.part(pointer);
        let entries = list.value.as_array().into_iter().flatten().enumerate();
        entries.map(|(n, value)| JsonView { value, at: format!("{}/{n}", list.at) }).collect()
    }

    /// Whether the value at a pointer exists and is not null.
    pub fn has(&self, pointer: &str) -> bool {
        !self.part(pointer).value.is_null()
    }

    /// Whether the value at a pointer is true.
    pub fn is_true(&self, pointer: &str) -> bool {
        *self.part(pointer).value == Value::Bool(true)
    }

    /// Whether another process of its job counts the run's devices.
    pub fn is_counted_elsewhere(&self) -> bool {
        ranks::is_counted_elsewhere(self.value)
    }

    /// How far the run is; None: unknown.
    pub fn phase(&self) -> Option<RunPhase> {
        ranks::phase(self.value)
    }

    /// The number of ranks that are merged in this report; None: it is not a merged report.
    pub fn ranks(&self) -> Option<u64> {
        self.part("/run/ranks_found").value.as_u64()
    }

    /// How a component was measured; None: unknown.
    pub fn method(&self) -> Option<MeasuringMethod> {
        let name = self.text("/method")?;
        MeasuringMethod::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Whether a component is no real device.
    pub fn is_simulated(&self) -> bool {
        self.text("/source") == Some("simulated")
    }

    /// The machine of a run, or the ranks and nodes of a job.
    pub fn place(&self) -> Option<String> {
        ranks::place(self.value)
    }

    /// The number at a pointer.
    pub fn number(&self, pointer: &str) -> Option<f64> {
        self.part(pointer).value.as_f64()
    }

    /// The text at a pointer.
    pub fn text(&self, pointer: &str) -> Option<&'a str> {
        self.part(pointer).value.as_str()
    }

    /// The text at a pointer; empty: there is none.
    pub fn words(&self, pointer: &str) -> &'a str {
        self.text(pointer).unwrap_or_default()
    }

    /// The list of numbers at a pointer; None: there is no list.
    pub fn column(&self, pointer: &str) -> Option<Vec<Option<f64>>> {
        Some(self.part(pointer).value.as_array()?.iter().map(Value::as_f64).collect())
    }

    /// A number in words, or "unknown".
    pub fn shown(&self, pointer: &str, show: impl Fn(f64) -> String) -> Markup {
        let at = format!("{}{pointer}", self.at);
        match self.number(pointer) {
            Some(number) => html! { data value=(number) data-pointer=(at) { (show(number)) } },
            None => html! { span.unknown data-pointer=(at) { "unknown" } },
        }
    }

    /// The error interval at a pointer; None: the figures are measured.
    pub fn error(&self, pointer: &str) -> Option<ErrorBand> {
        ErrorBand::read(self.value.pointer(pointer))
    }

    /// An amount in words. An estimate has fewer digits.
    pub fn amount(&self, pointer: &str, amount: Amount, error: Option<ErrorBand>) -> Markup {
        let show = |x: f64| error.map_or_else(|| amount.exact(x), |band| amount.rough(x, band));
        html! { @if error.is_some() && self.has(pointer) { "≈ " } (self.shown(pointer, show)) }
    }

    /// An amount in words. An estimate has its interval, whose ends are in the two other fields.
    pub fn figure(&self, pointer: &str, [low, high]: [&str; 2], amount: Amount, error: Option<ErrorBand>) -> Markup {
        html! {
            (self.amount(pointer, amount, error))
            @if error.is_some() && self.has(low) { " (" (self.ends(pointer, [low, high], amount)) ")" }
        }
    }

    /// The ends of an interval as "7.0 to 24", in the unit of the amount in it.
    fn ends(&self, pointer: &str, [low, high]: [&str; 2], amount: Amount) -> Markup {
        let [of, from, to] = [pointer, low, high].map(|one| self.number(one).unwrap_or(f64::NAN));
        let show = |x: f64| amount.end_in(x, of, from, to);
        html! { (self.shown(low, show)) " to " (self.shown(high, show)) }
    }

    /// An interval as "7.0 to 24 Wh", with the ends in these fields.
    pub fn interval(&self, [low, high]: [&str; 2], amount: Amount) -> Markup {
        let unit = self.number(high).map(|high| amount.unit_name(high)).unwrap_or_default();
        html! { (self.ends(high, [low, high], amount)) " " (unit) }
    }

    /// An amount that a run used. A rank that counts no devices names the other rank instead.
    pub fn used(&self, pointer: &str, amount: Amount) -> Markup {
        match !self.has(pointer) && self.is_counted_elsewhere() {
            true => html! { span.unknown { "in another rank's" } },
            false => self.amount(pointer, amount, self.error("/usage/error")),
        }
    }

    /// The same in a column with this unit.
    pub fn used_in(&self, pointer: &str, unit: DisplayUnit<'_>) -> Markup {
        let error = self.error("/usage/error");
        let written = if error.is_some() { two_digits } else { digits };
        match !self.has(pointer) && self.is_counted_elsewhere() {
            true => html! { span.unknown { "in another rank's" } },
            false => html! {
                @if error.is_some() && self.has(pointer) { "≈ " }
                (self.shown(pointer, |x| written(unit.amount(x))))
            },
        }
    }

    /// A forecast as "38 s (35 to 45)", or its value alone if no interval is known. `about` comes first if the power is
    /// estimated.
    pub fn estimate(&self, pointer: &str, amount: Amount, about: &str) -> Markup {
        let part = self.part(pointer);
        let ends = part.number("/low").zip(part.number("/high")).filter(|(low, high)| low < high);
        html! {
            @if let Some((low, high)) = ends {
                (about) (part.shown("/value", |x| amount.end(x, low, high))) " (" (part.ends("/value", ["/low", "/high"], amount)) ")"
            } @else {
                @let alone = |x: f64| if about.is_empty() { amount.exact(x) } else { amount.end(x, x, 2.0 * x) };
                @if part.has("/value") { (about) } (part.shown("/value", alone))
            }
        }
    }
}

/// A share as a percentage.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A share as a percentage in whole numbers.
pub fn whole_percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A whole number.
pub fn whole(count: f64) -> String {
    format!("{count:.0}")
}
