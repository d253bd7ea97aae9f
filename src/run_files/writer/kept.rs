//! The files beside the journal: Carbontracker's logs, Prometheus' file, the final report.
//!
//! Ten thousand ranks may share a folder on one server, and each created or renamed file is a request to the server. So
//! a rank that has counted no energy writes its journal only, and other ranks renew their files seldom.

use super::{NO_MEMORY, Writer};
use crate::attribution::epochs::Epoch;
use crate::os::Instant;
use crate::report::{Detail, Report, ReportSettings};
use crate::run_files::atomic_replace::{NewFile, Sync, in_words, other_root, replace_named, replace_own};
use crate::run_files::paths::{PROMETHEUS, REPORT};
use crate::run_files::state_folder;
use serde_json::Value;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Time between two renewals of the file that the user named, for a process without a rank.
const RENEWAL: Duration = Duration::from_secs(10);
/// A process without a rank renews the files in the folder after its time divided by this, within [`RENEWAL_BOUNDS`].
const RENEWAL_DIVISOR: u32 = 512;
/// Shortest and longest time between two renewals of the files in the folder, for a process without a rank.
const RENEWAL_BOUNDS: (Duration, Duration) = (RENEWAL, Duration::from_secs(60));
/// Time between two renewals of the file that the user named, for a rank.
const RENEWAL_OF_RANK: Duration = Duration::from_secs(60);
/// A rank renews the files in the folder after its time divided by this, within [`RANK_FOLDER_RENEWAL_BOUNDS`].
const RANK_FOLDER_RENEWAL_DIVISOR: u32 = 4;
/// Shortest and longest time between two renewals of the files in the folder, for a rank.
const RANK_FOLDER_RENEWAL_BOUNDS: (Duration, Duration) = (RENEWAL_OF_RANK, Duration::from_secs(600));

/// The files that the process writes, and the times of their last renewal.
pub struct Kept {
    /// The process is a rank of a job.
    pub is_rank: bool,
    /// No energy was counted so far: only the journal is written.
    is_idle: bool,
    /// The logs lack epochs, because no energy was counted then.
    owes_epochs: bool,
    /// Time of the last renewal of the files in the folder.
    in_folder: Option<Instant>,
    /// Time of the last renewal of the file that the user named.
    named: Option<Instant>,
}

impl Kept {
    /// The state at the start, before any file is written.
    pub fn new(settings: &ReportSettings) -> Kept {
        let is_rank = settings.job.is_some() && settings.rank.number.is_some();
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

    /// Makes all files due at once.
    pub fn renew_soon(&mut self) {
        (self.in_folder, self.named) = (None, None);
    }
}

impl Writer {
    /// Time until the next renewal of a file.
    pub(super) fn next_renewal(&self) -> Duration {
        let waits = [self.until_in_folder(), self.until_named()].into_iter().flatten();
        waits.filter(|_| self.kept.has_begun()).min().unwrap_or(RENEWAL)
    }

    /// Time until the files in the folder are due. None: there are none.
    fn until_in_folder(&self) -> Option<Duration> {
        // If the folder could not take the journal, the user has a message already.
        if self.kept.is_idle || self.plan.is_brief || self.plan.paths.is_none() || !self.owns_paths() {
            return None;
        }
        let (divisor, (shortest, longest)) = match self.kept.is_rank {
            true => (RANK_FOLDER_RENEWAL_DIVISOR, RANK_FOLDER_RENEWAL_BOUNDS),
            false => (RENEWAL_DIVISOR, RENEWAL_BOUNDS),
        };
        Some(until(self.kept.in_folder, (self.started.elapsed() / divisor).clamp(shortest, longest)))
    }

    /// Time until the file that the user named is due. None: none is named.
    fn until_named(&self) -> Option<Duration> {
        self.plan.prometheus.as_ref()?;
        Some(until(self.kept.named, if self.kept.is_rank { RENEWAL_OF_RANK } else { RENEWAL }))
    }

    /// Renews the files that are due; at the end of the run, all of them.
    pub(super) fn renew(&mut self, report: &Report, is_over: bool) {
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
        if in_folder {
            let logs = self.logs.as_ref().filter(|logs| logs.have_begun());
            if let Some((path, written)) = logs.map(|logs| logs.renew(report, is_over, sync)) {
                self.note(&path, written);
            }
        }
        let in_folder_path = self.plan.paths.as_ref().map(|paths| paths.file(PROMETHEUS));
        match self.plan.prometheus.clone() {
            Some(path) if named => {
                self.kept.named = Some(Instant::now());
                let put = |text: String| replace_named(&path, text, NewFile::Readable, sync);
                self.put(&path, report, "prometheus", put);
            }
            None if in_folder => {
                if let Some(path) = in_folder_path {
                    self.put(&path, report, "prometheus", |text| replace_own(&path, text, sync));
                }
            }
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
        let new = epochs.iter().filter(|(_, epoch)| epoch.end > self.logged_until.unwrap_or_default());
        let (path, written) = logs.add(report, new.map(|(line, _)| line));
        self.logged_until = epochs.last().map(|(_, epoch)| epoch.end).max(self.logged_until);
        self.note(&path, written);
    }

    /// Adds all epochs of the journal to logs that have none.
    pub(super) fn log_all_epochs(&mut self) {
        self.kept.owes_epochs = false;
        let (mut report, _) = self.report(Detail::Since(Epoch::none()));
        let epochs = report.epoch_lines(usize::MAX);
        if let Some(logs) = &mut self.logs {
            self.logged_until = self.last_end;
            let written = epochs.iter().filter(|(_, epoch)| epoch.end <= self.logged_until.unwrap_or_default());
            let (path, written) = logs.add(&report, written.map(|(line, _)| line));
            self.note(&path, written);
        }
    }

    /// Ends Carbontracker's logs.
    pub(super) fn end_logs(&mut self, report: &Report) {
        if self.kept.is_idle || !self.owns_paths() {
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

    /// Whether the file names belong to this run. Without a journal another run may have them.
    fn owns_paths(&self) -> bool {
        self.plan.journal.is_some()
    }

    /// Writes the final report.
    pub(super) fn keep_report(&mut self) {
        let paths = self.plan.paths.as_ref().filter(|_| !self.kept.is_idle && self.owns_paths());
        let Some(path) = paths.map(|paths| paths.file(REPORT)) else { return };
        if self.has_memory(Detail::Epochs) {
            let (report, _) = self.report(Detail::Epochs);
            let sync = if self.plan.is_brief { Sync::Later } else { Sync::Now };
            self.put(&path, &report, "json", |text| replace_own(&path, text, sync));
        } else {
            self.note(&path, Err(format!("{}: {NO_MEMORY}", path.display())));
        }
    }

    /// Renders a report and writes it with `put`.
    fn put(&mut self, path: &Path, report: &Report, format: &str, put: impl FnOnce(String) -> io::Result<()>) {
        let is_elsewhere = self.path_context.has_other_root();
        let text =
            if is_elsewhere { Err(other_root(path)) } else { report.render(format).map_err(|error| error.message) };
        self.note(path, text.and_then(|text| put(text).map_err(|error| in_words(path, &error))));
    }

    /// Sends a message when the writing of a file begins to fail, and when it succeeds again.
    pub(super) fn note(&mut self, path: &Path, written: Result<(), String>) {
        let index = self.failing.iter().position(|failing| failing == path);
        match (written, index) {
            (Err(why), None) => {
                self.failing.push(path.to_owned());
                let message = format!("not written: {why}. The run continues, and the file is tried again");
                match (self.plan.is_brief, self.failing.len()) {
                    (false, _) => self.shared.queue_message(message),
                    // The user did not ask for these files, so one message is enough.
                    (true, 1) => self.shared.queue_message(format!("{message}. {}", state_folder::OTHER_FOLDER)),
                    (true, _) => (),
                }
            }
            (Ok(()), Some(index)) => {
                self.failing.remove(index);
                self.shared.queue_message(format!("{} is written again; nothing is missing in it", path.display()));
            }
            _ => (),
        }
    }
}

/// The rest of a time that began at `at`; 0 if it never began.
fn until(at: Option<Instant>, gap: Duration) -> Duration {
    at.map_or(Duration::ZERO, |at| gap.saturating_sub(at.elapsed()))
}
