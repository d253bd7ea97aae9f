//! What the formats read of a run's report. Unknown is None. Pure.

use crate::aggregate::citation::place;
use crate::aggregate::run_entry::RunEntry;
use crate::aggregate::totals::Totals;
use crate::report_files::{number, word};
use carbontracker::carbon::intensity::zones::{ZoneCountry, country};
use carbontracker::units::{ErrorBand, J_PER_KWH};
use serde_json::Value;

/// The runs to export.
pub struct ExportedRuns {
    /// Each run, the earliest first.
    pub runs: Vec<ExportedRun>,
    /// Their sums.
    pub totals: Totals,
}

/// A run to export.
pub struct ExportedRun {
    report: Value,
    /// Its checked values.
    pub entry: RunEntry,
}

/// How the energy of runs was determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnergyOrigin {
    /// All by counters or power meters.
    Measured,
    /// A part by a model.
    Estimated,
    /// A part of devices that do not exist.
    Simulated,
    /// A part by an unknown method.
    Unknown,
}

impl EnergyOrigin {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            EnergyOrigin::Measured => "measured",
            EnergyOrigin::Estimated => "estimated",
            EnergyOrigin::Simulated => "simulated",
            EnergyOrigin::Unknown => "unknown",
        }
    }

    /// That of totals. None: there is no energy.
    pub fn of(totals: &Totals) -> Option<EnergyOrigin> {
        let has = |method: &str| totals.shares().any(|(name, _)| name == method);
        totals.shares().next()?;
        Some(match () {
            () if has("simulated") => EnergyOrigin::Simulated,
            () if has("estimate") => EnergyOrigin::Estimated,
            () if has("unknown") => EnergyOrigin::Unknown,
            () => EnergyOrigin::Measured,
        })
    }
}

impl ExportedRuns {
    /// Checks reports. An error names the run and its wrong field.
    pub fn of(reports: Vec<Value>) -> Result<ExportedRuns, String> {
        let run = |report: Value| Ok(ExportedRun { entry: RunEntry::of_report(&report)?, report });
        let runs: Vec<ExportedRun> = reports.into_iter().map(run).collect::<Result<_, String>>()?;
        let totals = Totals::of(runs.iter().map(|run| &run.entry));
        Ok(ExportedRuns { runs, totals })
    }

    /// The only run. An error names a format that takes one run.
    pub fn single(&self, format: &str) -> Result<&ExportedRun, String> {
        match self.runs.as_slice() {
            [run] => Ok(run),
            runs => Err(format!(
                "{} runs were named, but a file of the format {format} holds one run; nothing is exported; name one \
                 report or journal",
                runs.len()
            )),
        }
    }

    /// All devices with their number: "2 x NVIDIA H100". Each run counts by itself; the largest number is kept.
    pub fn hardware(&self) -> Vec<String> {
        let mut all: Vec<(usize, String)> = Vec::new();
        for (count, name) in self.runs.iter().flat_map(ExportedRun::devices) {
            match all.iter_mut().find(|(_, known)| *known == name) {
                Some((most, _)) => *most = count.max(*most),
                None => all.push((count, name)),
            }
        }
        all.into_iter().map(|(count, name)| format!("{count} x {name}")).collect()
    }

    /// Where the runs took place, without repetition: "Denmark", "California, United States".
    pub fn places(&self) -> Vec<String> {
        let mut places: Vec<String> = Vec::new();
        for place in self.runs.iter().filter_map(ExportedRun::place) {
            places.extend((!places.contains(&place)).then_some(place));
        }
        places
    }
}

impl ExportedRun {
    /// The number at a JSON Pointer of the report.
    pub fn number(&self, pointer: &str) -> Option<f64> {
        number(&self.report, pointer)
    }

    /// The text at a JSON Pointer of the report.
    pub fn word(&self, pointer: &str) -> Option<&str> {
        word(&self.report, pointer)
    }

    /// The list at a JSON Pointer of the report. Empty: there is none.
    pub fn list(&self, pointer: &str) -> &[Value] {
        self.report.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    /// Its label, or else its id.
    pub fn label(&self) -> &str {
        self.entry.name.as_deref().unwrap_or(&self.entry.id)
    }

    /// Energy of the devices of a kind, J. None: no device of this kind, or unknown.
    pub fn kind_j(&self, kind: &str) -> Option<f64> {
        let mut sum = None;
        for component in self.of_kind(kind) {
            sum = Some(sum.unwrap_or(0.0) + number(component, "/energy_j")?);
        }
        sum
    }

    /// Energy of the devices of a kind times PUE, kWh.
    pub fn kind_kwh(&self, kind: &str) -> Option<f64> {
        Some(self.kind_j(kind)? / J_PER_KWH * self.entry.pue?)
    }

    /// Mean power of the devices of a kind, W, over the run's time.
    pub fn kind_w(&self, kind: &str) -> Option<f64> {
        Some(self.kind_j(kind)? / self.entry.duration_s?).filter(|watts| watts.is_finite())
    }

    /// The components of a kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.list("/components").iter().filter(move |one| word(one, "/kind") == Some(kind))
    }

    /// The devices of a kind with their number, in order of appearance.
    pub fn devices_of(&self, kind: &str) -> Vec<(usize, String)> {
        let mut devices: Vec<(usize, String)> = Vec::new();
        for name in self.of_kind(kind).filter_map(|one| word(one, "/device")) {
            match devices.iter_mut().find(|(_, known)| known == name) {
                Some((count, _)) => *count += 1,
                None => devices.push((1, name.to_owned())),
            }
        }
        devices
    }

    /// GPUs, then processors, then whole nodes.
    fn devices(&self) -> Vec<(usize, String)> {
        ["gpu", "cpu", "node"].iter().flat_map(|kind| self.devices_of(kind)).collect()
    }

    /// The country of the run's zone.
    pub fn country(&self) -> Option<ZoneCountry> {
        country(self.word("/intensity/zone")?)
    }

    /// The cloud and its region, if the run names one as its place.
    pub fn cloud(&self) -> Option<(&str, &str)> {
        self.word("/facility/region").or(self.word("/intensity/zone"))?.split_once(':')
    }

    /// The place in words; the zone's code if no table has it. None for the average of the world.
    fn place(&self) -> Option<String> {
        let zone = self.word("/intensity/zone").filter(|zone| *zone != "WORLD")?;
        Some(place(zone))
    }

    /// How its energy was determined.
    pub fn origin(&self) -> Option<EnergyOrigin> {
        EnergyOrigin::of(&Totals::of([&self.entry]))
    }
}

/// A number with this many significant digits, without an exponent.
fn significant(value: f64, digits: i32) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    // Rounding may give the next power of ten.
    let rounded: f64 = format!("{value:.*e}", (digits - 1).max(0) as usize).parse().unwrap_or(value);
    let decimals = (digits - 1 - rounded.abs().log10().floor() as i32).clamp(0, 15);
    format!("{rounded:.*}", decimals as usize)
}

/// An amount as a bare number: four digits if it is measured, two if it is an estimate.
pub fn plain(value: f64, error: Option<ErrorBand>) -> String {
    significant(value, if error.is_some() { 2 } else { 4 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_number_has_the_digits_that_are_known() {
        let band = Some(ErrorBand { low: 0.5, high: 2.0 });
        assert_eq!(
            [1.0, 12.3456, 0.000012346, 123_456.0, 0.0].map(|x| plain(x, None)),
            ["1.000", "12.35", "0.00001235", "123500", "0"]
        );
        assert_eq!([1.0, 12.3456, 9.99, 123_456.0].map(|x| plain(x, band)), ["1.0", "12", "10", "120000"]);
    }
}
