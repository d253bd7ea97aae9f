//! What another program did to a run's files is noticed before they are written, and mended.

use super::{RETRY, Writer};
use crate::attribution::epochs::Epoch;
use crate::os;
use crate::run_files::atomic_replace::{self, in_words};
use crate::run_files::carbontracker_log::writer::Logs;
use crate::run_files::file_io::{AppendFile, AppendState};
use crate::run_files::journal::Journal;
use crate::run_files::paths::{JOURNAL, RunPaths};
use serde_json::Value;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Names tried for one run's files: others that begin at the same moment compute the same ones, and each loss is another's win.
const MOST_NAMES: usize = 10_000;
/// The journal is looked for at its path after this part of the run's time, within these bounds.
const LOOKS: u32 = 100;
const LOOK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(60));
/// A rank of a job looks more seldom: ten thousand may share a server.
const LOOKS_OF_RANK: u32 = 4;
const LOOK_OF_RANK: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(300));

/// A copy of this run's journal that was put in its place, emptied; None where there is none, or another process has it.
fn take_over(path: &Path, id: &str) -> Option<AppendFile> {
    const HEAD: u64 = 1 << 20;
    let mut journal = AppendFile::open_own(path).ok()?;
    let is_free = !path.is_symlink() && journal.lock().is_ok_and(|holder| holder.is_none());
    let head = journal.read(HEAD).ok()?;
    let opening = head.split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
    let is_this_run = Journal::parse(opening).is_ok_and(|run| run.id == id);
    (is_free && is_this_run && journal.restart().is_ok()).then_some(journal)
}

/// The root folder and the rights that paths were given for.
pub struct MendedState {
    root: Option<(u64, u64)>,
    user: u32,
    /// What of it was seen last.
    seen: (Option<(u64, u64)>, u32),
}

impl MendedState {
    /// As it is now.
    pub fn now() -> MendedState {
        let (root, user) = (root(), os::user());
        MendedState { root, user, seen: (root, user) }
    }

    /// Whether a path would lead into another root (chroot).
    pub fn has_other_root(&self) -> bool {
        root() != self.root
    }

    /// Whether root or rights are others since this was asked last.
    fn has_changed(&mut self) -> bool {
        let now = (root(), os::user());
        std::mem::replace(&mut self.seen, now) != now && now != (self.root, self.user)
    }
}

fn root() -> Option<(u64, u64)> {
    std::fs::metadata("/").ok().map(|root| (root.dev(), root.ino()))
}

impl Writer {
    /// Looks what became of the journal. One that cannot be gone on with is written anew, whole.
    fn check_journal(&mut self, is_end: bool) {
        let looks_at_path = (is_end || self.is_path_due()) && !self.standing.has_other_root();
        self.looked = if looks_at_path { Instant::now() } else { self.looked };
        let Some(journal) = self.plan.journal.as_mut() else { return };
        let mut state = journal.state(looks_at_path);
        if state == AppendState::Closed && journal.reopen().is_ok() {
            let is_locked_elsewhere = journal.lock().is_ok_and(|holder| holder.is_some());
            state = if is_locked_elsewhere { AppendState::Grown } else { journal.state(looks_at_path) };
        }
        let path = journal.path().to_owned();
        match state {
            AppendState::Whole => return,
            AppendState::Truncated if journal.restart().is_ok() => (),
            AppendState::Grown => {
                self.plan.journal = None;
                self.move_beside();
            }
            AppendState::Truncated | AppendState::Closed | AppendState::Gone => {
                self.plan.journal = take_over(&path, &self.setting.id);
            }
        }
        let what = match state {
            AppendState::Grown => "was written by another process, and is left to it",
            AppendState::Truncated => "was cut short by another program",
            AppendState::Whole | AppendState::Closed | AppendState::Gone => {
                "was removed or replaced by another program"
            }
        };
        self.plan.written = Epoch::none();
        (self.is_opened, self.is_thinned, self.lines) = (false, false, 0);
        (self.components, self.last_end, self.tried) = (Value::Null, None, None);
        self.open_journal();
        let place = self.plan.place.as_ref().map(|place| place.file(JOURNAL)).unwrap_or_default();
        self.shared.queue_message(format!(
            "the journal {} {what}. All of it is written anew: {}",
            path.display(),
            place.display()
        ));
    }

    /// Whether the journal is to be looked for at its path: ever more seldom, as that may be a request to a server.
    fn is_path_due(&self) -> bool {
        let (looks, (shortest, longest)) =
            if self.kept.is_rank { (LOOKS_OF_RANK, LOOK_OF_RANK) } else { (LOOKS, LOOK) };
        let gap = (self.started.elapsed() / looks).clamp(shortest, longest);
        self.looked.elapsed() >= gap || !self.kept.is_rank && self.shared.state().lifecycle.finished
    }

    /// Sees that the application has another root or other rights than when it began: what is named by a path cannot be
    /// written then, or not by this user, and that is reported at once.
    pub(super) fn check_standing(&mut self) {
        if self.standing.has_changed() {
            self.kept.renew_soon();
        }
    }

    /// What a named file would meet, before anything is written into it.
    pub(super) fn check_prometheus(&mut self) {
        let Some(path) = self.plan.prometheus.clone() else { return };
        if let Err(error) = atomic_replace::followed(&path) {
            self.note(&path, Err(in_words(&path, &error)));
        }
    }

    /// Takes the next names for the run's files.
    fn move_beside(&mut self) {
        self.plan.place = self.plan.place.as_ref().map(RunPaths::beside);
        self.logs = self.plan.place.as_ref().map(Logs::new);
        self.logged_until = None;
    }

    /// Makes the journal, where it is not there yet, and the folder it is in.
    pub(super) fn make_journal(&mut self, is_end: bool) {
        self.check_journal(is_end);
        self.open_journal();
    }

    fn open_journal(&mut self) {
        if self.plan.journal.is_some() || self.tried.is_some_and(|at| at.elapsed() < RETRY) {
            return;
        }
        self.tried = Some(Instant::now());
        let Some(place) = &self.plan.place else { return };
        if self.standing.has_other_root() {
            let path = place.file(JOURNAL);
            return self.note(&path, Err(atomic_replace::other_root(&path)));
        }
        if let Err(error) = std::fs::create_dir_all(place.folder()) {
            let path = place.file(JOURNAL);
            return self.note(&path, Err(in_words(&path, &error)));
        }
        for _ in 0..MOST_NAMES {
            let Some(path) = self.plan.place.as_ref().map(|place| place.file(JOURNAL)) else { return };
            match AppendFile::create(&path) {
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
        let path = self.plan.place.as_ref().map(|place| place.file(JOURNAL)).unwrap_or_default();
        self.note(&path, Err(in_words(&path, &ErrorKind::AlreadyExists.into())));
    }

    /// Looks what became of Carbontracker's log. One that is gone or cut short is written anew, whole.
    pub(super) fn mend_logs(&mut self, looks_at_path: bool) {
        let looks_at_path = looks_at_path && !self.standing.has_other_root();
        if !self.logs.as_mut().is_some_and(|logs| logs.have_to_begin_anew(looks_at_path)) {
            return;
        }
        self.log_all_epochs();
    }
}
