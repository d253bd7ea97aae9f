//! Writes Carbontracker's two logs of a run.

use super::format::{self, StandardLog};
use crate::os;
use crate::report::Report;
use crate::run_files::atomic_replace::{Sync, in_words, replace_own};
use crate::run_files::file_io::{AppendFile, AppendState};
use crate::run_files::paths::{OUTPUT, RunPaths, STANDARD};
use serde_json::Value;
use std::path::PathBuf;

/// The two log files.
pub struct Logs {
    output: PathBuf,
    path: PathBuf,
    /// The text of the standard log. None: before the first epoch, when the devices are not known yet.
    standard: Option<StandardLog>,
    file: Option<AppendFile>,
    /// Text that is not written yet.
    pending: String,
    is_forecast: bool,
}

/// A file, and the result of writing it. The error is a message for the user.
pub type Written = (PathBuf, Result<(), String>);

impl Logs {
    /// Logs without content.
    pub fn new(paths: &RunPaths) -> Logs {
        Logs {
            output: paths.file(OUTPUT),
            path: paths.file(STANDARD),
            standard: None,
            file: None,
            pending: String::new(),
            is_forecast: false,
        }
    }

    /// Whether there is a standard log. Carbontracker reads the two logs only together.
    pub fn have_begun(&self) -> bool {
        self.standard.is_some() || self.path.exists()
    }

    /// Checks the standard log. True: it is lost, and all epochs must be added again.
    pub fn must_restart(&mut self, checks_path: bool) -> bool {
        let Some(file) = &mut self.file else { return false };
        let is_lost = match file.state(checks_path) {
            AppendState::Whole => false,
            AppendState::Closed => file.reopen().is_err(),
            AppendState::Grown => file.go_to_end().is_err(),
            AppendState::Gone => true,
            AppendState::Truncated => {
                let _ = std::fs::remove_file(&self.path);
                true
            }
        };
        if is_lost {
            (self.file, self.standard, self.is_forecast) = (None, None, false);
            self.pending.clear();
        }
        is_lost
    }

    /// Adds epochs, as objects of the report's `epochs`.
    pub fn add<'a>(&mut self, report: &Report, epochs: impl Iterator<Item = &'a Value>) -> Written {
        let at = os::unix_s();
        let standard = match &mut self.standard {
            Some(standard) => standard,
            none => {
                let report = report.json();
                let standard = StandardLog::new(&report);
                // The log of a resumed run has a head already.
                if !self.path.exists() {
                    self.pending += &standard.head(&report, at);
                }
                none.insert(standard)
            }
        };
        epochs.for_each(|epoch| self.pending += &standard.epoch(epoch, at));
        if !self.is_forecast && !report.section("forecast").is_null() {
            self.pending += &format::forecast(&report.json(), at);
            self.is_forecast = true;
        }
        self.write()
    }

    /// Ends the standard log.
    pub fn end(&mut self, report: &Report) -> Written {
        if let Some(standard) = &mut self.standard {
            self.pending += &standard.tail(&report.json(), os::unix_s());
        }
        let written = self.write();
        self.file.iter().for_each(|file| drop(file.sync()));
        written
    }

    /// Replaces the output log.
    pub fn renew(&self, report: &Report, is_over: bool, sync: Sync) -> Written {
        let text = format::output(&report.json(), os::unix_s(), is_over);
        let written = replace_own(&self.output, text, sync).map_err(|error| in_words(&self.output, &error));
        (self.output.clone(), written)
    }

    fn write(&mut self) -> Written {
        let written = self.append().map_err(|error| in_words(&self.path, &error));
        if written.is_ok() {
            self.pending.clear();
        }
        (self.path.clone(), written)
    }

    fn append(&mut self) -> std::io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let file = match self.file.take() {
            Some(file) => file,
            None if self.path.exists() => AppendFile::open_own(&self.path)?,
            None => AppendFile::create(&self.path)?,
        };
        self.file.insert(file).append(&self.pending)
    }
}
