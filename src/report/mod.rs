//! The report: everything known of a run at one moment, as plain values. Pure; the formats render it.

mod carbon_section;
mod component;
mod csv;
pub mod decimate;
mod detail;
mod epoch_row;
mod equivalents;
mod expected;
pub mod html;
mod job;
mod json;
mod prometheus;
pub mod ranks;
mod text;
pub mod time_series;
pub mod unstated;

pub use component::{ComponentReport, STATUSES, named};
pub use detail::Detail;
pub use epoch_row::EpochRow;
pub use equivalents::equivalents;
pub use json::{SCHEMA, figures};

use crate::attribution::carried_over::{CarriedInterval, LostEnergy};
use crate::attribution::epochs::Epoch;
use crate::attribution::ledger::Energies;
use crate::carbon::emissions::{EmissionFactors, Emissions};
use crate::carbon::facility::Facility;
use crate::carbon::impacts::{Rates, Use};
use crate::carbon::intensity::{GridIntensity, Intensity};
use crate::carbon::what_if::{Elsewhere, Of, WhatIf, WhatIfRun};
use crate::clock::MonoNs;
use crate::coordination::job::Rank;
use crate::error::{Error, Result, Status};
use crate::forecast::uncertainty::Uncertainty;
use crate::forecast::{Estimate, Forecast};
use crate::measurement::channel::Channel;
use crate::measurement::source::Unavailable;
use crate::state::{CountedElsewhere, FAULT, RunState};
use crate::units::J_PER_KWH;
use carbon_section::Marginal;
use serde_json::Value;
use std::sync::Arc;
use time_series::TimeSeries;

/// Power by time as the JSON report has it, of what was used in these stretches.
pub fn power(stretches: &[CarriedInterval]) -> Value {
    json::power(&time_series::thinned_power(stretches))
}

/// How much memory a report takes, bytes: much more if it becomes JSON or a page.
pub fn bytes(setting: &ReportSettings, books: &RunState, detail: Detail, is_json: bool) -> usize {
    let components = books.metered.len() + books.past.components.len();
    let places = setting.elsewhere.as_ref().map_or(0, Elsewhere::count);
    let before = if let Detail::Since(before) = detail { before.count } else { 0 };
    let epochs = books.ledger.history().len().min(books.ledger.epochs().saturating_sub(before) as usize);
    detail.bytes(is_json, components, places, epochs)
}

/// What does not change while a run lasts.
pub struct ReportSettings {
    /// The run's identifier, random.
    pub id: String,
    /// The user's label.
    pub name: Option<String>,
    /// The machine.
    pub host: String,
    /// The job that the process is a rank of, as its launcher names it; None: no launcher does.
    pub job: Option<String>,
    /// Which rank of it.
    pub rank: Rank,
    /// When the tracker was created, RFC 3339.
    pub started: String,
    /// Between two samples where nothing asks for one sooner, s.
    pub interval_s: f64,
    /// Epochs planned; 0 = unknown.
    pub planned: u64,
    /// Coverage of the forecast interval.
    pub level: f64,
    /// Epochs after which measuring stops.
    pub monitored: Option<u64>,
    /// Where else the run is thought to be; None: it is not.
    pub elsewhere: Option<Elsewhere>,
    /// What it costs beside its emissions.
    pub rates: Rates,
}

/// The moment that a report is about.
#[derive(Clone, Copy)]
pub struct Now {
    /// When it is.
    pub at: MonoNs,
    /// What is known of the epochs ended is all there will be.
    pub whole: bool,
    /// The open epoch.
    pub open: Option<OpenEpoch>,
}

/// The open epoch at one moment.
#[derive(Clone, Copy)]
pub struct OpenEpoch {
    /// How far it is, by its marks; None where there are none.
    pub share: Option<f64>,
}

/// A run at one moment.
pub struct Report {
    setting: Arc<ReportSettings>,
    state: &'static str,
    progress: Option<f64>,
    epochs_done: u64,
    /// How many processes have worked on it before, and what they did not end.
    resumed: Option<(u64, LostEnergy)>,
    duration_s: f64,
    /// When the last epoch ended, s since 1970.
    last_end_unix_s: Option<f64>,
    epochs_s: f64,
    between_s: f64,
    epochs_j: Option<f64>,
    between_j: Option<f64>,
    coverage: Option<f64>,
    intensity: Intensity,
    marginal: Option<Marginal>,
    bill: Emissions,
    facility: Facility,
    /// What it costs beside its emissions, the region's rates among it.
    rates: Rates,
    uncertainty: Uncertainty,
    forecast: Option<Forecast>,
    forecast_g: Option<Estimate>,
    components: Vec<ComponentReport>,
    epochs: Vec<EpochRow>,
    /// The open one: for how long, s, and its energy, J.
    open_epoch: Option<(f64, Option<f64>)>,
    unavailable: Vec<Unavailable>,
    elsewhere: Vec<CountedElsewhere>,
    job: Option<job::JobReport>,
    notes: Vec<String>,
    what_if: Option<WhatIf>,
    course: TimeSeries,
}

impl Report {
    /// Takes what is known from the books.
    pub fn new(setting: &Arc<ReportSettings>, books: &RunState, now: Now, detail: Detail) -> Report {
        let Now { at, whole, open } = now;
        let is_priced = !matches!(detail, Detail::Unpriced(_));
        let pricing = EmissionFactors { curve: books.pricing().curve.filter(|_| is_priced), ..books.pricing() };
        let ledger = &books.ledger;
        let run_ns = ledger.run_ns() as f64;
        let components = books.ours().map(|(number, metered)| ComponentReport::new(books, number, metered));
        let before = books.before().map(|component| ComponentReport::left(component, run_ns));
        let forecast = if open.is_some() { books.forecast_at(at) } else { books.forecast };
        let bill = pricing.bill(ledger, at);
        let mut report = Report {
            setting: Arc::clone(setting),
            state: state(setting.planned, books, open.is_some()),
            progress: open.and_then(|open| open.share),
            epochs_done: ledger.epochs(),
            resumed: (!books.past.is_empty()).then_some((books.past.attempts, books.past.lost)),
            duration_s: run_ns * 1e-9,
            last_end_unix_s: last_end(books),
            epochs_s: ledger.inside_ns() as f64 * 1e-9,
            between_s: ledger.between_ns() as f64 * 1e-9,
            epochs_j: ledger.epochs_j(),
            between_j: ledger.between_j(),
            coverage: component::coverage(books),
            intensity: carbon_section::intensity(&books.grid, &bill),
            marginal: books
                .marginal
                .as_ref()
                .filter(|_| is_priced)
                .map(|hourly| Marginal::new(hourly, books, forecast, at)),
            uncertainty: books.uncertainty(),
            forecast,
            forecast_g: forecast.and_then(|forecast| pricing.forecast(&bill, &forecast)),
            components: components.chain(before).collect(),
            epochs: chosen_epochs(books, detail)
                .into_iter()
                .map(|(index, epoch)| EpochRow::new(index, epoch, ledger, &bill))
                .collect(),
            open_epoch: ledger.open().map(|begin| (at.s_since(begin), ledger.open_j(at))),
            unavailable: books.unavailable.iter().chain(&books.opening).cloned().collect(),
            elsewhere: books.elsewhere().collect(),
            job: job::JobReport::new(books),
            notes: notes(setting, books, whole, &bill),
            bill,
            rates: Rates {
                wue: setting.rates.wue.or(books.facility.wue().map(|(wue, _)| wue)),
                ..setting.rates.clone()
            },
            facility: books.facility.clone(),
            what_if: None,
            course: TimeSeries::default(),
        };
        if matches!(detail, Detail::WhatIf | Detail::Epochs) {
            report.what_if = report.otherwise(&books.grid, books.calendar.unix_s(at).0);
        }
        if detail == Detail::Epochs {
            report.course = TimeSeries::new(books, &pricing, setting.planned, setting.level, at);
        }
        report
    }

    /// With more notes, which depend on how long the open epoch has been open, s.
    pub fn noting(mut self, more: impl FnOnce(Option<f64>) -> Vec<String>) -> Report {
        self.notes.extend(more(self.open_epoch.map(|(seconds, _)| seconds)));
        self
    }

    /// The run in other places and at other times than `now`, s since 1970.
    fn otherwise(&self, grid: &GridIntensity, now: f64) -> Option<WhatIf> {
        let (of, whole) = self.forecast_use().map_or((Of::Used, self.used()), |whole| (Of::Forecast, whole));
        let run = WhatIfRun {
            of,
            facility_kwh: whole.facility_kwh,
            co2eq_g: if of == Of::Forecast { self.forecast_g.map(|grams| grams.value) } else { self.co2eq_g() },
            duration_s: whole.duration_s.filter(|seconds| *seconds > 0.0),
            priced: &self.intensity,
        };
        let curve = grid.hourly.as_ref().map(|hourly| &hourly.curve);
        Some(WhatIf::new(self.setting.elsewhere.as_ref()?, run, grid.flat.zone.as_deref(), curve, now))
    }

    /// What was used.
    fn used(&self) -> Use {
        self.use_of(self.energy_j(), Some(self.duration_s))
    }

    /// What the whole run will use; None where no forecast reaches further than what was.
    fn forecast_use(&self) -> Option<Use> {
        let forecast = self.forecast.filter(|forecast| forecast.after_epochs < self.setting.planned)?;
        let value = |estimate: Option<Estimate>| estimate.map(|estimate| estimate.value);
        Some(self.use_of(value(forecast.energy_j), value(forecast.duration_s)))
    }

    fn use_of(&self, joules: Option<f64>, duration_s: Option<f64>) -> Use {
        Use {
            device_kwh: joules.map(|joules| joules / J_PER_KWH),
            facility_kwh: joules.map(|joules| self.bill.facility_kwh(joules)),
            duration_s,
        }
    }

    /// As the JSON report has it.
    pub fn json(&self) -> Value {
        json::whole(self)
    }

    /// One of the JSON report's sections.
    pub fn section(&self, name: &str) -> Value {
        json::section(self, name).unwrap_or_default()
    }

    /// What is measured, what each has used, and how it stands.
    pub fn measured(&self) -> impl Iterator<Item = (&Channel, Energies, &'static str)> {
        self.components.iter().map(|component| (&component.channel, component.used, component.status))
    }

    /// Everything that is not measured here, with the reason.
    fn not_measured(&self) -> impl Iterator<Item = &Unavailable> {
        self.unavailable.iter().chain(self.elsewhere.iter().map(|one| &one.unavailable))
    }

    /// Whether any energy was counted, by this process or one before it.
    pub fn has_counted(&self) -> bool {
        let is_some = |joules: Option<f64>| joules.is_some_and(|joules| joules > 0.0);
        self.measured().any(|(_, used, _)| is_some(used.epochs.joules) || is_some(used.between.joules))
    }

    /// Its epochs as the journal has them: each as in the JSON report, and as it is. At most so many: more become one.
    pub fn epoch_lines(&mut self, most: usize) -> Vec<(Value, Epoch)> {
        if self.epochs.len() > most {
            let all = std::mem::take(&mut self.epochs).into_iter().reduce(EpochRow::joined);
            self.epochs.extend(all);
        }
        self.epochs.iter().map(|row| (row.json(), row.epoch)).collect()
    }

    /// The epoch that is open: for how long, s, and its energy, J.
    pub fn open_epoch(&self) -> Option<(f64, Option<f64>)> {
        self.open_epoch
    }

    /// Renders it.
    pub fn render(&self, format: &str) -> Result<String> {
        match format {
            "text" => Ok(text::render(self)),
            "json" => Ok(json::render(self)),
            "csv" => Ok(csv::render(self)),
            "prometheus" => Ok(prometheus::render(self)),
            "html" => Ok(html::page(&[json::whole(self)])),
            other => Err(Error::invalid(format!("format '{other}': allowed are text, json, csv, prometheus and html"))),
        }
    }

    /// The number at a JSON Pointer; 1 or 0 for true or false.
    pub fn value(&self, pointer: &str) -> Result<f64> {
        let value = json::at(self, pointer)
            .ok_or_else(|| Error::new(Status::CT_ENOENT, format!("{pointer}: {}", self.why_not(pointer))))?;
        let number = value.as_bool().map(f64::from).or(value.as_f64());
        number.ok_or_else(|| {
            let why = if value.is_null() { "is not known" } else { "is no number" };
            Error::new(Status::CT_ENOENT, format!("{pointer} {why}"))
        })
    }

    /// Why nothing is at a JSON Pointer.
    fn why_not(&self, pointer: &str) -> &'static str {
        let is_under = |section: &str| pointer.strip_prefix(section).is_some_and(|rest| rest.starts_with('/'));
        let rates = &self.rates;
        let lacks_start = || self.what_if.as_ref().is_some_and(|what_if| what_if.start.is_none());
        if is_under("/forecast") && self.forecast.is_none() {
            return match self.setting.planned {
                0 => "there is no forecast: say how many epochs are planned, epochs=N",
                _ => "there is no forecast yet: an epoch is to end first, or ct_progress to mark 5 % of the first",
            };
        }
        if is_under("/what_if") && self.setting.elsewhere.is_none() {
            "what_if=off"
        } else if is_under("/what_if/start") && lacks_start() {
            match self.what_if.as_ref().and_then(|what_if| what_if.duration_s) {
                Some(_) => "the intensity of the hours to come is not known for as long as the run takes",
                None => "how long the run takes is not known yet",
            }
        } else if is_under("/extras/marginal") && self.marginal.is_none() {
            "no marginal figures are asked for: marginal=watttime:REGION"
        } else if is_under("/extras/cost") && rates.price.is_none() {
            "no price is known: price=0.32EUR, of a kWh"
        } else if is_under("/extras/water") && !rates.has_water() {
            "no rate is known: wue= for water on site, wue_grid= at the power plants, in L/kWh"
        } else if is_under("/extras/embodied") && rates.embodied_kg.is_none() {
            "what the making of the devices took is not known: embodied_kg="
        } else {
            "the report has no such value (yet)"
        }
    }

    fn energy_j(&self) -> Option<f64> {
        Some(self.epochs_j? + self.between_j.unwrap_or(0.0))
    }

    fn co2eq_g(&self) -> Option<f64> {
        self.energy_j().map(|joules| self.bill.grams(joules))
    }

    /// What the job on this node emitted, g, by this run's own intensity.
    fn job_g(&self) -> Option<f64> {
        let joules = self.job.as_ref()?.energy_j?;
        Some(self.bill.facility_kwh(joules) * self.intensity.g_per_kwh)
    }
}

/// When the last epoch ended, s since 1970; of a run that was taken up, once an epoch has ended since.
fn last_end(books: &RunState) -> Option<f64> {
    let has_ended = books.ledger.epochs() > books.past.epochs_done();
    books.ledger.last_end().filter(|_| has_ended).map(|end| books.calendar.unix_s(end).0)
}

fn state(planned: u64, books: &RunState, is_open: bool) -> &'static str {
    let ledger = &books.ledger;
    if is_open {
        "in_epoch"
    } else if books.finished || (planned > 0 && ledger.epochs() >= planned) {
        "done"
    } else if ledger.last_end().is_none() {
        "waiting"
    } else {
        "between"
    }
}

fn chosen_epochs(books: &RunState, detail: Detail) -> Vec<(u64, Epoch)> {
    let ledger = &books.ledger;
    let numbered = ledger.history().iter().scan(0, |index, epoch| {
        let first = *index;
        *index += epoch.count;
        Some((first, *epoch))
    });
    match detail {
        Detail::Unpriced(Some(place)) | Detail::Totals(Some(place)) => numbered.skip(place).take(1).collect(),
        Detail::Unpriced(None) | Detail::Totals(None) | Detail::WhatIf => Vec::new(),
        Detail::Since(before) => ledger.epochs_after(&before, if books.finished { u64::MAX } else { books.settled }),
        Detail::Epochs => numbered.collect(),
    }
}

fn notes(setting: &ReportSettings, books: &RunState, whole: bool, bill: &Emissions) -> Vec<String> {
    let mut notes = carbon_section::notes(books, bill);
    notes.extend(books.facility.lacks().iter().cloned());
    if books.metered.is_empty() && books.opening.is_empty() {
        notes.push("no source of energy was found: times are measured, energies are unknown; the list of what is not measured says why and what would help".into());
    }
    if setting.planned > 0 && books.ledger.epochs() > setting.planned {
        notes.push(format!("more epochs ran than epochs={} said: the forecast is what was used", setting.planned));
    }
    if let Some(most) = setting.monitored.filter(|_| books.finished) {
        notes.push(format!("measuring stopped after {} of monitor_epochs={most} epochs", books.ledger.epochs()));
    }
    notes.extend(books.faults.iter().map(|fault| (*fault).to_owned()));
    if books.failed {
        notes.push(FAULT.into());
    } else if !whole {
        notes.push("the reading that closes the last epoch is still to come: its energy is not whole yet".into());
    }
    notes
}

#[cfg(test)]
mod tests;
