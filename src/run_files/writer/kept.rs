//! What others read of a run beside its journal: Carbontracker's logs, Prometheus' file, the final report.
//!
//! Ten thousand ranks may share a folder on one server, and each file that is made or renamed there is a request to it. So a
//! rank that has counted no energy keeps its journal only, and the others renew their files seldom.

use super::{NO_MEMORY, Writer};
use crate::attribution::epochs::Epoch;
use crate::report::{Detail, Report, ReportSettings};
use crate::run_files::atomic_replace::{NewFile, Sync, in_words, other_root, replace_named, replace_own};
use crate::run_files::paths::{PROMETHEUS, REPORT};
use serde_json::Value;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// Files are renewed this often,
const RENEWAL: Duration = Duration::from_secs(10);
/// the one that a rank's user named this often,
const RENEWAL_OF_RANK: Duration = Duration::from_secs(60);
/// and those in a rank's folder after this part of its time, within these bounds.
const RENEWALS: u32 = 4;
const RENEWAL_IN_FOLDER: (Duration, Duration) = (RENEWAL_OF_RANK, Duration::from_secs(600));

/// Which of these files the process keeps, and when they were renewed.
pub struct Kept {
    /// The process is a rank of a job.
    pub is_rank: bool,
    /// No energy was counted so far: only the journal is kept.
    is_idle: bool,
    /// Epochs ended that the logs do not have, as nothing was counted then.
    owes_epochs: bool,
    /// When the files in the folder were renewed,
    in_folder: Option<Instant>,
    /// and the one that the user named.
    named: Option<Instant>,
}

impl Kept {
    /// Of a process of this setting.
    pub fn new(setting: &ReportSettings) -> Kept {
        let is_rank = setting.job.is_some() && setting.rank.number.is_some();
        Kept { is_rank, is_idle: is_rank, owes_epochs: false, in_folder: None, named: None }
    }

    /// Notes whether any energy was counted.
    pub fn see(&mut self, report: &Report) {
        self.is_idle = self.is_rank && self.is_idle && !report.has_counted();
    }

    /// Whether any file was written.
    pub fn has_begun(&self) -> bool {
        self.in_folder.is_some() || self.named.is_some()
    }

    /// Has all of them written anew as soon as possible.
    pub fn renew_soon(&mut self) {
        (self.in_folder, self.named) = (None, None);
    }
}

impl Writer {
    /// In how much time a file is due again.
    pub(super) fn next_renewal(&self) -> Duration {
        let waits = [self.until_in_folder(), self.until_named()].into_iter().flatten();
        waits.filter(|_| self.kept.has_begun()).min().unwrap_or(RENEWAL)
    }

    /// In how much time the files in the folder are due; None: there are none.
    fn until_in_folder(&self) -> Option<Duration> {
        // A folder that cannot take the journal is reported already.
        if self.kept.is_idle || self.plan.place.is_none() || !self.has_place() {
            return None;
        }
        let (shortest, longest) = RENEWAL_IN_FOLDER;
        let gap = (self.started.elapsed() / RENEWALS).clamp(shortest, longest);
        Some(until(self.kept.in_folder, if self.kept.is_rank { gap } else { RENEWAL }))
    }

    /// In how much time the named file is due; None: none is named.
    fn until_named(&self) -> Option<Duration> {
        self.plan.prometheus.as_ref()?;
        Some(until(self.kept.named, if self.kept.is_rank { RENEWAL_OF_RANK } else { RENEWAL }))
    }

    /// Renews what is due, in the end all.
    pub(super) fn renew(&mut self, is_over: bool) {
        let is_due = |wait: Option<Duration>| wait.is_some_and(|wait| is_over || wait.is_zero());
        let (in_folder, named) = (is_due(self.until_in_folder()), is_due(self.until_named()));
        if !in_folder && !named {
            return;
        }
        let sync = if is_over { Sync::Now } else { Sync::Later };
        if in_folder {
            self.kept.in_folder = Some(Instant::now());
            self.mend_logs(true);
        }
        let (report, _) = self.report(Detail::Totals(None));
        if in_folder {
            let logs = self.logs.as_ref().filter(|logs| logs.have_begun());
            if let Some((path, written)) = logs.map(|logs| logs.renew(&report, is_over, sync)) {
                self.note(&path, written);
            }
        }
        let place = self.plan.place.as_ref().map(|place| place.file(PROMETHEUS));
        match self.plan.prometheus.clone() {
            Some(path) if named => {
                self.kept.named = Some(Instant::now());
                let put = |text: String| replace_named(&path, text, NewFile::Readable, sync);
                self.put(&path, &report, "prometheus", put);
            }
            None if in_folder => place.into_iter().for_each(|path| {
                self.put(&path, &report, "prometheus", |text| replace_own(&path, text, sync));
            }),
            _ => (),
        }
    }

    /// Adds epochs to Carbontracker's logs.
    pub(super) fn log_epochs(&mut self, report: &Report, epochs: &[(Value, Epoch)]) {
        self.kept.owes_epochs |= self.kept.is_idle;
        if self.kept.is_idle {
            return;
        }
        if self.kept.owes_epochs {
            return self.log_all_epochs();
        }
        let Some(logs) = &mut self.logs else { return };
        let new = epochs.iter().filter(|(_, epoch)| Some(epoch.end) > self.logged_until);
        let (path, written) = logs.add(report, new.map(|(line, _)| line));
        self.logged_until = epochs.last().map(|(_, epoch)| epoch.end).max(self.logged_until);
        self.note(&path, written);
    }

    /// Adds all epochs that the journal has to logs that have none.
    pub(super) fn log_all_epochs(&mut self) {
        self.kept.owes_epochs = false;
        let (mut report, _) = self.report(Detail::Since(Epoch::none()));
        let epochs = report.epoch_lines(usize::MAX);
        if let Some(logs) = &mut self.logs {
            self.logged_until = self.last_end;
            let written = epochs.iter().filter(|(_, epoch)| Some(epoch.end) <= self.logged_until);
            let (path, written) = logs.add(&report, written.map(|(line, _)| line));
            self.note(&path, written);
        }
    }

    /// Ends Carbontracker's logs.
    pub(super) fn end_logs(&mut self, report: &Report) {
        if self.kept.is_idle || !self.has_place() {
            return;
        }
        if self.kept.owes_epochs {
            self.log_all_epochs();
        }
        let logs = self.logs.as_mut();
        if let Some((path, written)) = logs.map(|logs| logs.end(report)) {
            self.note(&path, written);
        }
    }

    /// Whether the names of its files are this run's: without a journal there another run may have them.
    fn has_place(&self) -> bool {
        self.plan.journal.is_some()
    }

    /// Writes the final report.
    pub(super) fn keep_report(&mut self) {
        let place = self.plan.place.as_ref().filter(|_| !self.kept.is_idle && self.has_place());
        let Some(path) = place.map(|place| place.file(REPORT)) else { return };
        if self.has_memory(Detail::Epochs) {
            let (report, _) = self.report(Detail::Epochs);
            self.put(&path, &report, "json", |text| replace_own(&path, text, Sync::Now));
        } else {
            self.note(&path, Err(format!("{}: {NO_MEMORY}", path.display())));
        }
    }

    /// Writes a report, whole.
    fn put(&mut self, path: &Path, report: &Report, format: &str, put: impl FnOnce(String) -> io::Result<()>) {
        let is_elsewhere = self.standing.has_other_root();
        let text =
            if is_elsewhere { Err(other_root(path)) } else { report.render(format).map_err(|error| error.message) };
        self.note(path, text.and_then(|text| put(text).map_err(|error| in_words(path, &error))));
    }

    /// Reports what became of a file where that is news.
    pub(super) fn note(&mut self, path: &Path, written: Result<(), String>) {
        let place = self.failing.iter().position(|failing| failing == path);
        match (written, place) {
            (Err(why), None) => {
                self.failing.push(path.to_owned());
                self.shared.queue_message(format!("not written: {why}. The run goes on, and it is tried again"));
            }
            (Ok(()), Some(place)) => {
                self.failing.remove(place);
                self.shared.queue_message(format!("{} is written again, and nothing is missing in it", path.display()));
            }
            _ => (),
        }
    }
}

/// The rest of a gap that began at a moment; none where it never did.
fn until(at: Option<Instant>, gap: Duration) -> Duration {
    at.map_or(Duration::ZERO, |at| gap.saturating_sub(at.elapsed()))
}
