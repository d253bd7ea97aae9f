//! Who a run is and where its files go: a new one, or one that is taken up.

use super::place::{self, Place};
use super::resume::{self, Asker, Outcome, Resumed};
use super::writer::Plan;
use crate::history::Epoch;
use crate::host;
use crate::options::Options;
use crate::past::Past;
use crate::tally::Tally;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// A run at the start of a process.
pub struct Start {
    /// Its identifier.
    pub id: String,
    /// The user's label.
    pub name: Option<String>,
    /// When its first process made its tracker, RFC 3339.
    pub started: String,
    /// Epochs planned; 0: unknown.
    pub planned: u64,
    /// What came before.
    pub past: Past,
    /// What is to be written; None: nothing.
    pub plan: Option<Plan>,
}

impl Start {
    /// By the options, for the process of this `rank` on this `host`. What a person should know goes to `say`.
    pub fn find(options: &Options, host: &str, rank: Option<u64>, say: &mut dyn FnMut(String)) -> Start {
        let asker = Asker { name: options.name.as_deref(), rank };
        let outcome = options.resume.as_deref().map(|from| resume::resume(from, &asker, say));
        let mut start = Start {
            id: format!("{:016x}", host::random_u64()),
            name: options.name.clone(),
            started: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            planned: options.epochs,
            past: Past::default(),
            plan: None,
        };
        let log_dir = options.log_dir.as_deref();
        let (mut journal, mut written) = (None, Epoch::empty(0, 0, 0, 0));
        let mut place = None;
        match outcome {
            Some(Outcome::Resumed(resumed)) => {
                let goes_on_there = log_dir.is_none_or(|folder| is_same(folder, resumed.place.folder()));
                let Resumed { id, name, started, planned, past, place: there, journal: theirs, written: lines, .. } =
                    *resumed;
                start = Start { id, started, past, name: start.name.or(name), ..start };
                start.planned = if start.planned > 0 { start.planned } else { planned };
                if goes_on_there && theirs.is_some() {
                    (journal, place) = (theirs, Some(there));
                    written = first(&start.past, lines);
                }
            }
            Some(Outcome::Begins(there, theirs)) => (journal, place) = (theirs, Some(there)),
            Some(Outcome::BeginsIn(folder)) => {
                place = log_dir.or(folder.as_deref()).map(|folder| start.place(folder, options, host, say));
            }
            None => (),
        }
        let place = place.or_else(|| Some(start.place(log_dir?, options, host, say)));
        let prometheus = options.prometheus.as_deref().map(|path| in_folder(path, &start.id));
        if place.is_some() || prometheus.is_some() {
            let life = start.past.lives + 1;
            let tally = place.as_ref().and_then(|_| Tally::open(&start.id, life).ok()).map(Arc::new);
            start.plan =
                Some(Plan { place, journal, written, life, before: start.past.epochs_done(), rank, prometheus, tally });
        }
        start
    }

    /// A new place for its files.
    fn place(&self, folder: &Path, options: &Options, host: &str, say: &mut dyn FnMut(String)) -> Place {
        let prefix = options.log_prefix.as_deref().or(self.name.as_deref()).unwrap_or("run");
        let plain = place::in_a_name(prefix);
        if plain != prefix {
            let key = if options.log_prefix.is_some() { "log_prefix" } else { "name" };
            say(format!("{key}='{prefix}' cannot stand in a file's name: the run's files begin with {plain}"));
        }
        Place::new(folder, prefix, host, &self.started, &self.id)
    }
}

/// The first so many epochs as one.
fn first(past: &Past, epochs: u64) -> Epoch {
    let none = Epoch::empty(0, 0, 0, 0);
    let all = past.epochs.iter().scan(0, |count, epoch| {
        *count += epoch.count;
        (*count <= epochs).then_some(epoch)
    });
    all.fold(none, |all, epoch| all.joined(epoch))
}

fn is_same(one: &Path, other: &Path) -> bool {
    one.canonicalize().ok().zip(other.canonicalize().ok()).is_some_and(|(one, other)| one == other)
}

/// A file, or where a folder is named one in it, which no other run has.
fn in_folder(path: &Path, id: &str) -> PathBuf {
    let is_folder = path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/');
    if is_folder { path.join(format!("carbontracker_{id}{}", place::PROMETHEUS)) } else { path.to_owned() }
}
