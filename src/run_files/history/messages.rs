//! The messages of a search for earlier runs: which files are left out, and why it ended early.

use super::{Cut, Flaw, FlawKind, HistoryRequest, MAX_SEARCH_TIME, Search};
use std::io::{self, ErrorKind};
use std::path::Path;

/// Most files that are named in messages of their own. Further ones are counted.
pub(super) const MAX_NAMED: usize = 5;

impl HistoryRequest {
    /// The beginning of a message that no run was found.
    pub fn none_found(&self) -> String {
        let of = self.name.as_ref().map_or("without a name".into(), |name| format!("of the name '{name}'"));
        match &self.named {
            Some(named) => format!("{named}: no earlier run {of} is in it"),
            None => format!("no earlier run {of} is in {}", self.shown()),
        }
    }

    /// The folders in a message.
    fn shown(&self) -> String {
        self.folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" or ")
    }

    /// The message about a folder that cannot be read; None: a default folder does not exist yet, or is not this run's.
    pub(super) fn unread(&self, folder: &Path, error: &io::Error) -> Option<String> {
        let without = "the forecast begins without earlier runs";
        match &self.named {
            Some(named) if error.kind() == ErrorKind::NotFound => {
                Some(format!("{named}: there is no such folder; {without}; correct the path"))
            }
            Some(named) => Some(format!("{named}: {error}; {without}; name a folder that this user can read")),
            None if error.kind() == ErrorKind::NotFound || !self.is_asked(folder) => None,
            None => {
                let folder = folder.display();
                Some(format!("{folder}: {error}; {without}; let this user read the folder, or set history=off"))
            }
        }
    }
}

impl HistoryRequest {
    /// Whether the user chose a default folder: as that of the run's files, or for a question without a run.
    fn is_asked(&self, folder: &Path) -> bool {
        self.id.is_empty() || self.journal.as_ref().is_some_and(|journal| journal.parent() == Some(folder))
    }
}

impl Search<'_> {
    /// One message for each file that is left out, up to [`MAX_NAMED`]. Files of other users have one together.
    pub(super) fn messages(&self) -> Vec<String> {
        let folder = self.request.shown();
        let (theirs, flawed): (Vec<_>, Vec<_>) =
            self.left_out.iter().partition(|(_, flaw)| flaw.kind == FlawKind::OtherUser);
        let named = flawed.iter().take(MAX_NAMED).chain(theirs.iter().filter(|_| theirs.len() == 1));
        let mut messages: Vec<String> = named
            .map(|(path, Flaw { what, fix, .. })| {
                format!("{}: {what}; its run is left out of the forecast; {fix}", path.display())
            })
            .collect();
        if let [(first, _), _, ..] = theirs.as_slice() {
            let (count, first) = (theirs.len(), first.file_name().unwrap_or_default().to_string_lossy());
            messages.push(format!(
                "{count} files in {folder} belong to other users, such as {first}; their runs are left out of the forecast; copy those that you trust"
            ));
        }
        let more = flawed.len().saturating_sub(MAX_NAMED);
        if more > 0 {
            messages.push(format!(
                "{more} more files in {folder} cannot be read as runs; they are left out of the forecast; move them to another folder"
            ));
        }
        let of_cut = self.cut.filter(|_| self.request.processes <= 1 && !(self.is_stopping)());
        messages.extend(of_cut.map(|cut| self.cut_in_words(cut, &folder)));
        messages
    }

    fn cut_in_words(&self, cut: Cut, folder: &str) -> String {
        let (what, fix) = match cut {
            Cut::Files => {
                (format!("{folder} has more files than are looked at"), "name a smaller folder with history=")
            }
            Cut::Time => (
                format!("the search in {folder} took more than {} s", MAX_SEARCH_TIME.as_secs()),
                "name a folder on a faster disk with history=",
            ),
            Cut::Bytes => (
                format!("the newest runs in {folder} have more than {} MB", self.max_bytes() >> 20),
                "name a folder with shorter journals with history=",
            ),
        };
        format!("{what}; older runs are left out of the forecast; {fix}")
    }
}
