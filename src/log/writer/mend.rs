//! What another program did to a run's files is noticed before they are written, and mended.

use super::{RENEWAL, RETRY, Writer};
use crate::history::Epoch;
use crate::log::file::{Growing, State};
use crate::log::logs::Logs;
use crate::log::place::{JOURNAL, Place};
use crate::log::replace::in_words;
use crate::report::Detail;
use serde_json::Value;
use std::io::ErrorKind;
use std::time::Instant;

/// Names tried for one run's files, should others be taken.
const MOST_NAMES: usize = 8;

impl Writer {
    /// Looks what became of the journal. One that cannot be gone on with is written anew, whole.
    fn check_journal(&mut self) {
        let looks_at_path = self.looked.elapsed() >= RENEWAL || self.shared.books().finished;
        self.looked = if looks_at_path { Instant::now() } else { self.looked };
        let Some(journal) = self.plan.journal.as_mut() else { return };
        let mut state = journal.state(looks_at_path);
        if state == State::Closed && journal.reopen().is_ok() {
            let is_locked_elsewhere = journal.lock().is_ok_and(|holder| holder.is_some());
            state = if is_locked_elsewhere { State::Grown } else { journal.state(true) };
        }
        let path = journal.path().display().to_string();
        let (what, anew) = match state {
            State::Whole => return,
            State::Closed | State::Gone => ("was removed or renamed", "all of it is written anew at its path"),
            State::Truncated => ("was cut short by another program", "all of it is written anew"),
            State::Grown => {
                ("was written by another process", "that file is left alone, and this run goes on, whole, in a new one")
            }
        };
        if state != State::Truncated || journal.restart().is_err() {
            self.plan.journal = None;
        }
        if state == State::Grown {
            self.move_beside();
        }
        self.shared.say(format!("the journal {path} {what}: {anew}"));
        self.plan.written = Epoch::empty(0, 0, 0, 0);
        (self.is_opened, self.is_thinned, self.lines) = (false, false, 0);
        (self.components, self.last_end, self.tried) = (Value::Null, None, None);
    }

    /// Takes the next names for the run's files.
    fn move_beside(&mut self) {
        self.plan.place = self.plan.place.as_ref().map(Place::beside);
        self.logs = self.plan.place.as_ref().map(Logs::new);
    }

    /// Makes the journal, where it is not there yet, and the folder it is in.
    pub(super) fn make_journal(&mut self) {
        self.check_journal();
        if self.plan.journal.is_some() || self.tried.is_some_and(|at| at.elapsed() < RETRY) {
            return;
        }
        self.tried = Some(Instant::now());
        let Some(place) = &self.plan.place else { return };
        if let Err(error) = std::fs::create_dir_all(place.folder()) {
            let path = place.file(JOURNAL);
            return self.note(&path, Err(in_words(&path, &error)));
        }
        for _ in 0..MOST_NAMES {
            let Some(path) = self.plan.place.as_ref().map(|place| place.file(JOURNAL)) else { return };
            match Growing::create(&path) {
                Ok(journal) => {
                    let _ = journal.lock();
                    self.plan.journal = Some(journal);
                    return self.note(&path, Ok(()));
                }
                // Another file stands there by now.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => self.move_beside(),
                Err(error) => return self.note(&path, Err(in_words(&path, &error))),
            }
        }
    }

    /// Looks what became of Carbontracker's log. One that is gone or cut short is written anew, whole.
    pub(super) fn mend_logs(&mut self) {
        if !self.logs.as_mut().is_some_and(Logs::have_to_begin_anew) {
            return;
        }
        let (mut report, _) = self.report(Detail::Since(Epoch::empty(0, 0, 0, 0)));
        let epochs = report.epoch_lines(usize::MAX);
        if let Some(logs) = &mut self.logs {
            let written = epochs.iter().filter(|(_, epoch)| epoch.end <= self.last_end.unwrap_or(0));
            let (path, written) = logs.add(&report, written.map(|(line, _)| line));
            self.note(&path, written);
        }
    }
}
