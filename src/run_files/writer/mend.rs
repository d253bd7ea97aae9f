//! Detects what other programs did to a run's files before each write, and repairs it.

use super::{RETRY_INTERVAL, Writer};
use crate::attribution::epochs::Epoch;
use crate::os::{self, Instant};
use crate::run_files::atomic_replace::{self, in_words};
use crate::run_files::file_io::{AppendFile, AppendState};
use crate::run_files::journal::Journal;
use crate::run_files::paths::{JOURNAL, RunPaths};
use crate::run_files::resume::MAX_HEAD_BYTES;
use serde_json::Value;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Most names that are tried for a run's files. Processes that begin at the same moment compute the same names, and one
/// of them gets each name.
const MAX_NAMES: usize = 10_000;
/// How often the path of the journal is checked: after the run's time divided by `divisor`, within bounds.
struct PathChecks {
    divisor: u32,
    shortest: Duration,
    longest: Duration,
}
/// Path checks of a process without a rank.
const PATH_CHECKS: PathChecks =
    PathChecks { divisor: 100, shortest: Duration::from_millis(10), longest: Duration::from_secs(60) };
/// Path checks of a rank: fewer, because ten thousand ranks may share a server.
const PATH_CHECKS_OF_RANK: PathChecks =
    PathChecks { divisor: 4, shortest: Duration::from_secs(60), longest: Duration::from_secs(300) };

/// Opens and empties a copy of this run's journal that is at the journal's path. None: there is none, or another
/// process holds it.
fn take_over(path: &Path, id: &str) -> Option<AppendFile> {
    let mut journal = AppendFile::open_own(path).ok()?;
    let is_free = !path.is_symlink() && journal.lock().is_ok_and(|holder| holder.is_none());
    let head = journal.read(MAX_HEAD_BYTES).ok()?;
    let opening = head.split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
    let is_this_run = Journal::parse(opening).is_ok_and(|run| run.id == id);
    (is_free && is_this_run && journal.restart().is_ok()).then_some(journal)
}

/// The root folder and the user that the run's paths were chosen for.
pub struct PathContext {
    root: Option<(u64, u64)>,
    user: u32,
    /// Root folder and user at the last check.
    seen: (Option<(u64, u64)>, u32),
}

impl PathContext {
    /// The current root folder and user.
    pub fn now() -> PathContext {
        let (root, user) = (root(), os::user());
        PathContext { root, user, seen: (root, user) }
    }

    /// Whether the root folder has changed (chroot).
    pub fn has_other_root(&self) -> bool {
        root() != self.root
    }

    /// Whether root folder or user have changed since the last call, to others than at the start.
    fn has_changed(&mut self) -> bool {
        let now = (root(), os::user());
        std::mem::replace(&mut self.seen, now) != now && now != (self.root, self.user)
    }
}

fn root() -> Option<(u64, u64)> {
    std::fs::metadata("/").ok().map(|root| (root.dev(), root.ino()))
}

impl Writer {
    /// Checks the journal. A journal that cannot be continued is written again from the start.
    fn check_journal(&mut self, is_end: bool) {
        let checks_path = (is_end || self.is_path_due()) && !self.path_context.has_other_root();
        self.path_checked = if checks_path { Instant::now() } else { self.path_checked };
        let Some(journal) = self.plan.journal.as_mut() else { return };
        let mut state = journal.state(checks_path);
        if state == AppendState::Closed && journal.reopen().is_ok() {
            let is_locked_elsewhere = journal.lock().is_ok_and(|holder| holder.is_some());
            state = if is_locked_elsewhere { AppendState::Grown } else { journal.state(checks_path) };
        }
        let path = journal.path().to_owned();
        match state {
            AppendState::Whole => return,
            AppendState::Truncated if journal.restart().is_ok() => (),
            AppendState::Grown => {
                self.plan.journal = None;
                self.take_next_paths();
            }
            AppendState::Truncated | AppendState::Closed | AppendState::Gone => {
                self.plan.journal = take_over(&path, &self.settings.id);
            }
        }
        let what = match state {
            AppendState::Grown => "was written by another process and is left to that process",
            AppendState::Truncated => "was cut short by another program",
            AppendState::Whole | AppendState::Closed | AppendState::Gone => {
                "was removed or replaced by another program"
            }
        };
        self.plan.written = Epoch::none();
        (self.is_opened, self.is_thinned, self.lines) = (false, false, 0);
        (self.components, self.last_end, self.tried) = (Value::Null, None, None);
        self.open_journal();
        let paths = self.plan.paths.as_ref().map(|paths| paths.file(JOURNAL)).unwrap_or_default();
        self.shared.queue_message(format!(
            "the journal {} {what}. It is written again from the start: {}",
            path.display(),
            paths.display()
        ));
    }

    /// Whether another program has cut the journal since the last write.
    pub(super) fn is_cut(&self) -> bool {
        self.plan.journal.as_ref().is_some_and(|journal| journal.state(false) == AppendState::Truncated)
    }

    /// Whether the path of the journal is due for a check. Checks become rare over time, because each may be a request
    /// to a server.
    fn is_path_due(&self) -> bool {
        let PathChecks { divisor, shortest, longest } =
            if self.kept.is_rank { PATH_CHECKS_OF_RANK } else { PATH_CHECKS };
        let gap = (self.started.elapsed() / divisor).clamp(shortest, longest);
        self.path_checked.elapsed() >= gap || !self.kept.is_rank && self.shared.state().lifecycle.finished
    }

    /// Checks whether the application has changed its root folder or user. If so, all files become due, so that a file
    /// that can no longer be written is reported at once.
    pub(super) fn check_path_context(&mut self) {
        if self.path_context.has_changed() {
            self.kept.renew_soon();
        }
    }

    /// Checks the path of Prometheus' file before the first write.
    pub(super) fn check_prometheus(&mut self) {
        let Some(path) = self.plan.prometheus.clone() else { return };
        if let Err(error) = atomic_replace::followed(&path) {
            self.note(&path, Err(in_words(&path, &error)));
        }
    }

    /// Takes the next free names for the run's files.
    fn take_next_paths(&mut self) {
        self.plan.paths = self.plan.paths.as_ref().map(RunPaths::next_free);
        self.logs = self.plan.logs();
        self.logged_until = None;
    }

    /// Checks the journal, and creates it and its folder if they do not exist.
    pub(super) fn make_journal(&mut self, is_end: bool) {
        self.check_journal(is_end);
        self.open_journal();
    }

    fn open_journal(&mut self) {
        if self.plan.journal.is_some() || self.tried.is_some_and(|at| at.elapsed() < RETRY_INTERVAL) {
            return;
        }
        self.tried = Some(Instant::now());
        let Some(paths) = &self.plan.paths else { return };
        if self.path_context.has_other_root() {
            let path = paths.file(JOURNAL);
            return self.note(&path, Err(atomic_replace::other_root(&path)));
        }
        if let Err(error) = std::fs::create_dir_all(paths.folder()) {
            let path = paths.file(JOURNAL);
            return self.note(&path, Err(in_words(&path, &error)));
        }
        for _ in 0..MAX_NAMES {
            let Some(path) = self.plan.paths.as_ref().map(|paths| paths.file(JOURNAL)) else { return };
            match AppendFile::create(&path) {
                Ok(journal) => {
                    let _ = journal.lock();
                    self.plan.journal = Some(journal);
                    return self.note(&path, Ok(()));
                }
                // Another file has this name by now.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => self.take_next_paths(),
                Err(error) => return self.note(&path, Err(in_words(&path, &error))),
            }
        }
        let path = self.plan.paths.as_ref().map(|paths| paths.file(JOURNAL)).unwrap_or_default();
        self.note(&path, Err(in_words(&path, &ErrorKind::AlreadyExists.into())));
    }

    /// Checks Carbontracker's log. A log that is gone or shorter is written again from the start.
    pub(super) fn mend_logs(&mut self, checks_path: bool) {
        let checks_path = checks_path && !self.path_context.has_other_root();
        if self.logs.as_mut().is_some_and(|logs| logs.must_restart(checks_path)) {
            self.log_all_epochs();
        }
    }
}
