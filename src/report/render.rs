//! The formats of a report, and single numbers of it.

use super::{Report, csv, html, json, line, phases, pointers, prometheus, text};
use crate::error::{Error, Result, Status};
use serde_json::Value;

impl Report {
    /// The JSON report.
    pub fn json(&self) -> Value {
        json::whole(self)
    }

    /// One section of the JSON report; null: there is no such section.
    pub fn section(&self, name: &str) -> Value {
        json::section(self, name).unwrap_or_default()
    }

    /// Renders the report as "text", "line", "json", "csv", "phases", "prometheus" or "html". Another format is
    /// `CT_EINVAL`.
    pub fn render(&self, format: &str) -> Result<String> {
        match format {
            "text" => Ok(text::render(self)),
            "line" => Ok(line::render(self)),
            "json" => Ok(json::render(self)),
            "csv" => Ok(csv::render(self)),
            "phases" => Ok(phases::csv(&self.section("phases"))),
            "prometheus" => Ok(prometheus::render(self)),
            "html" => Ok(html::page(&[json::whole(self)])),
            other => Err(Error::invalid(format!(
                "format '{other}': allowed are text, line, json, csv, phases, prometheus and html"
            ))),
        }
    }

    /// The number at a JSON Pointer; 1 or 0 for true or false. A value that is unknown, no number or absent is
    /// `CT_ENOENT`. A pointer that no report has is `CT_EINVAL`.
    pub fn value(&self, pointer: &str) -> Result<f64> {
        let value = self.at(pointer)?;
        let number = value.as_bool().map(f64::from).or(value.as_f64());
        number.ok_or_else(|| Error::new(Status::CT_ENOENT, format!("{pointer} is no number; ct_text returns it")))
    }

    /// The text at a JSON Pointer: a text as it is, all else as JSON. Fails as `value` does.
    pub fn text(&self, pointer: &str) -> Result<String> {
        Ok(match self.at(pointer)? {
            Value::String(text) => text,
            other => other.to_string(),
        })
    }

    /// What a JSON Pointer points to; never null.
    fn at(&self, pointer: &str) -> Result<Value> {
        let absent = |why: &str| Error::new(Status::CT_ENOENT, format!("{pointer}{why}"));
        match json::at(self, pointer) {
            Some(Value::Null) => Err(absent(" is not known")),
            Some(value) => Ok(value),
            None => {
                pointers::check(pointer)?;
                Err(absent(&format!(": {}", self.why_absent(pointer))))
            }
        }
    }

    /// Why the report has nothing at a JSON Pointer.
    fn why_absent(&self, pointer: &str) -> &'static str {
        let is_under = |section: &str| pointer.strip_prefix(section).is_some_and(|rest| rest.starts_with('/'));
        let rates = &self.rates;
        if is_under("/forecast") && self.forecast.is_none() {
            self.why_no_forecast()
        } else if is_under("/what_if") && self.settings.elsewhere.is_none() {
            "what_if=off"
        } else if is_under("/what_if/start") && self.what_if.as_ref().is_some_and(|what_if| what_if.start.is_none()) {
            self.why_no_start()
        } else if is_under("/extras/marginal") && self.marginal.is_none() {
            "no marginal intensity is requested: set marginal=watttime:REGION"
        } else if is_under("/extras/cost") && rates.price.is_none() {
            "no price is known: set the price of a kWh, such as price=0.32EUR"
        } else if is_under("/extras/water") && !rates.has_water() {
            "no rate is known: set wue= for water on site or wue_grid= for water at the power plants, in L/kWh"
        } else if is_under("/extras/embodied") && rates.embodied_kg.is_none() {
            "emissions from making the devices are not known: set embodied_kg="
        } else {
            "the report has no such value (yet)"
        }
    }

    fn why_no_forecast(&self) -> &'static str {
        match self.settings.planned {
            _ if self.work.is_some() => "there is no forecast yet: it starts at 1 % of the run's progress",
            0 => "there is no forecast: set the number of planned epochs, epochs=N, or call ct_run_progress",
            _ => "there is no forecast yet: it starts when an epoch ends, or when ct_progress marks 5 % of the first",
        }
    }

    fn why_no_start(&self) -> &'static str {
        match self.what_if.as_ref().and_then(|what_if| what_if.duration_s) {
            Some(_) => "the intensity of the hours to come is not known for the whole length of the run",
            None => "how long the run takes is not known yet",
        }
    }
}
