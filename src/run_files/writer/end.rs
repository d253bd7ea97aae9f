//! The end of a run: the last lines, the final report, and what could not be written.

use super::{NO_MEMORY, Writer};
use crate::report::Detail;
use crate::run_files::atomic_replace::sync_folder;
use serde_json::json;
use std::path::PathBuf;

impl Writer {
    /// Writes the end of the run, as far as there is memory.
    pub(super) fn end(&mut self) {
        self.is_short = !self.has_memory(Detail::Since(self.plan.written));
        if self.is_short {
            return self.leave_unwritten(format!("the end of the run is in no file: {NO_MEMORY}"));
        }
        self.tried = None; // a later retry is not possible
        self.make_journal(true);
        self.mend_logs(true);
        let (mut report, energy) = self.report(Detail::Since(self.plan.written));
        self.kept.see(&report);
        self.write_journal(&mut report, energy, true);
        if self.is_cut() {
            self.make_journal(true);
            let (mut report, energy) = self.report(Detail::Since(self.plan.written));
            self.write_journal(&mut report, energy, true);
        }
        self.keep_report();
        self.end_logs(&report);
        self.renew(&report, true);
        self.report_failures();
        // A short program shall not wait for a disk for files that its user did not ask for.
        if !self.plan.is_brief {
            self.plan.journal.iter().for_each(|journal| drop(journal.sync()));
            self.plan.paths.iter().for_each(|paths| sync_folder(paths.folder()));
        }
        self.close_crash_counter();
    }

    /// Removes the crash counter once the journal has all epochs. Otherwise the counter is the only trace of
    /// some epochs.
    fn close_crash_counter(&self) {
        let Some(counter) = &self.plan.crash_counter else { return };
        let ended = self.plan.epochs_before + counter.epochs();
        let written = self.plan.written.count.saturating_sub(self.pieces);
        let is_complete = self.is_opened && written >= ended;
        if is_complete || (counter.epochs() == 0 && self.plan.epochs_before == 0) {
            counter.remove();
        } else if self.is_opened && !self.is_stuck() {
            let missing = ended.saturating_sub(written);
            self.leave_unwritten(format!(
                "{missing} ended epochs are not in the run's files: a device or the disk did not answer. resume= counts them, without their energy"
            ));
        }
    }

    /// Reports what could not be written at the end of the run: in the journal, if possible, and to the caller that
    /// ends the run.
    fn report_failures(&mut self) {
        let Some(first) = self.failing.first() else { return };
        let message = format!("not written at the end of the run: {}", shown(&self.failing));
        let is_journal = self.plan.journal.as_ref().is_some_and(|journal| journal.path() == first);
        if let Some(journal) = self.plan.journal.as_mut().filter(|_| !is_journal) {
            let _ = journal.append(&format!("{}\n", json!({"note": message})));
        }
        self.leave_unwritten(message);
    }

    fn leave_unwritten(&self, message: String) {
        *self.unwritten.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(message);
    }
}

fn shown(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
