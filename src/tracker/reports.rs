//! Numbers, texts and reports of a tracker.

use super::Tracker;
use crate::error::Result;
use crate::os::{self, Instant};
use crate::report::{self, Detail, Now, OpenEpoch, Report};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Time that a report waits for the reading that closes the last epoch.
const REPORT_READING_WAIT: Duration = Duration::from_secs(1);
/// Time that a report waits for it after it has waited for other processes. This process may have been stopped
/// meanwhile.
const LEAST_READING_WAIT: Duration = Duration::from_millis(100);
/// Time that a report waits for the first forecast: for earlier runs, or for progress inside the first epoch.
const FIRST_FORECAST_WAIT: Duration = Duration::from_millis(300);
/// Sections of the report that need no energy. A request for them takes over no energy from other processes.
const WITHOUT_ENERGY: [&str; 5] = ["/run/", "/intensity/", "/job/agreed", "/job/record", "/job/processes"];

impl Tracker {
    /// One number of the report, by its JSON pointer.
    pub fn value(&self, pointer: &str) -> Result<f64> {
        self.snapshot_for(pointer, Detail::of(pointer))?.value(pointer)
    }

    /// The text at a JSON pointer of the report, or what it points to as JSON.
    pub fn text(&self, pointer: &str) -> Result<String> {
        self.snapshot_for(pointer, Detail::of_text(pointer))?.text(pointer)
    }

    /// The report of this moment with what a JSON pointer needs.
    fn snapshot_for(&self, pointer: &str, detail: Detail) -> Result<Report> {
        let is_of_forecast = pointer.is_empty()
            || ["/forecast", "/what_if", "/extras"].iter().any(|section| pointer.starts_with(section));
        let is_of_energy = !WITHOUT_ENERGY.iter().any(|section| pointer.starts_with(section));
        self.check_memory(detail, detail == Detail::Epochs)?;
        Ok(self.snapshot(detail, is_of_forecast, is_of_energy))
    }

    /// The report as text, line, json, csv, prometheus or html.
    pub fn report(&self, format: &str) -> Result<String> {
        if format == "line" {
            return self.line();
        }
        self.check_memory(Detail::Epochs, ["json", "html"].contains(&format))?;
        self.snapshot(Detail::Epochs, true, true).render(format)
    }

    /// The report in one line. A program may ask for it often, so it has no rows of epochs and asks no other process.
    fn line(&self) -> Result<String> {
        let detail = Detail::Totals(None);
        self.check_memory(detail, false)?;
        self.snapshot(detail, false, false).render("line")
    }

    /// Fails with CT_EIO if there is too little memory for a report.
    fn check_memory(&self, detail: Detail, is_json: bool) -> Result<()> {
        let bytes = report::bytes(&self.parts.settings, &self.parts.shared.state(), detail, is_json);
        self.parts.shared.check_memory(bytes)
    }

    /// The report of this moment. It waits for the reading that closes the last epoch, and inside the first epoch for
    /// the first forecast.
    fn snapshot(&self, detail: Detail, with_forecast: bool, with_energy: bool) -> Report {
        let deadline = Instant::now() + REPORT_READING_WAIT;
        let ended = self.flush_backlog(deadline);
        if with_energy {
            self.parts.shared.await_takeover(&self.sampler, ended, deadline);
        }
        let is_open = self.is_open.load(Ordering::Relaxed);
        if with_forecast && self.parts.shared.needs_history(self.parts.settings.planned, is_open || ended > 0) {
            self.parts.shared.await_history(FIRST_FORECAST_WAIT);
        }
        if is_open && with_forecast && self.parts.settings.planned > 0 {
            self.parts.shared.await_first_forecast(&self.sampler, FIRST_FORECAST_WAIT);
        }
        if detail.has_phases() {
            self.settle_phases();
        }
        self.parts.shared.hasten(&self.sampler, ended);
        if self.depends_on_work(with_forecast, with_energy) {
            self.parts.shared.await_work(&self.sampler, FIRST_FORECAST_WAIT);
        }
        let patience = deadline.left().max(LEAST_READING_WAIT);
        let (state, whole) = self.parts.shared.settled_state(ended, patience);
        let open = is_open.then(|| OpenEpoch { share: self.parts.shared.marked_share() });
        let work = self.parts.shared.work.load().map(|(_, work)| work);
        Report::new(&self.parts.settings, &state, Now { at: os::monotonic_ns(), whole, open }, detail)
            .with_notes(|open_s| self.parts.shared.notes(open_s))
            .with_verdict(self.parts.shared.is_over_budget())
            .with_work(work)
    }

    /// Whether a report has figures that the run's newest progress may change. If epochs divide the run, its energy is
    /// not among them; if their number is planned, nor is the forecast.
    fn depends_on_work(&self, with_forecast: bool, with_energy: bool) -> bool {
        let has_progress = self.parts.shared.work.number() > 0 && (with_forecast || with_energy);
        let has_marks = || self.parts.shared.state().attribution.has_marks;
        let is_planned = self.parts.settings.planned > 0;
        has_progress && (!has_marks() || (with_forecast && !is_planned))
    }
}
