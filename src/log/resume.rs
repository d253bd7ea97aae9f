//! Taking a run up: finds its journal, sees that it is this run's and nobody else's, and reads what came before.

use super::file::Growing;
use super::journal::{Journal, OPENING};
use super::place::{JOURNAL, Place};
use super::replace;
use crate::host::{self, text};
use crate::past::Past;
use crate::tally::{self, Count};
use crate::units;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// In so many bytes a journal opens a run: a file that does not, as large as it may be, is none.
const HEAD: u64 = 1 << 20;

/// A run that was taken up.
pub struct Resumed {
    /// Its identifier.
    pub id: String,
    /// Its label.
    pub name: Option<String>,
    /// When it began, RFC 3339.
    pub started: String,
    /// Epochs planned; 0: unknown.
    pub planned: u64,
    /// What came before.
    pub past: Past,
    /// Its files.
    pub place: Place,
    /// Its journal, to be gone on with; None where this user may only read it.
    pub journal: Option<Growing>,
    /// So many epochs have a line there.
    pub written: u64,
    /// Its last process ended in order.
    is_ended: bool,
}

/// Who asks.
pub struct Asker<'a> {
    /// The run's label, if it has one.
    pub name: Option<&'a str>,
    /// Which rank of its job it is.
    pub rank: Option<u64>,
}

/// What became of it.
pub enum Outcome {
    /// The run goes on.
    Resumed(Box<Resumed>),
    /// There is none yet: it begins, with its files here.
    Begins(Place, Option<Growing>),
    /// There is none that it could be: it begins, with its files in the folder of logs, or else in this one.
    BeginsIn(Option<PathBuf>),
}

/// Takes up the run of a journal, or the newest unfinished one of this name and rank in a folder. What a person should know
/// goes to `say`; whatever is wrong, the run begins anew and nothing that is there is touched.
pub fn resume(from: &Path, asker: &Asker, say: &mut dyn FnMut(String)) -> Outcome {
    let shown = from.display();
    let is_folder = match std::fs::metadata(from) {
        Ok(there) => Ok(there.is_dir()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Refusal::Other(error.to_string())),
    };
    let found = is_folder.and_then(|is_folder| if is_folder { newest(from, asker) } else { open(from, asker) });
    // What has no journal's name is a folder that is not there yet.
    let is_journal = from.to_string_lossy().ends_with(JOURNAL);
    let found =
        found.map_err(|why| if is_journal || !matches!(why, Refusal::Missing) { why } else { Refusal::Nothing });
    match found {
        Ok(resumed) => went_on(resumed, say),
        Err(Refusal::Unread(why)) => {
            say(format!(
                "resume={shown}: {why}. A run that it may hold is not taken up: a new one begins. Cure: see that this user can read the folder and its journals"
            ));
            Outcome::BeginsIn(Some(from.to_owned()))
        }
        Err(Refusal::Nothing) => {
            let place = if from.exists() { "" } else { ", which is made where log_dir= names no other" };
            say(format!(
                "resume={shown}: no unfinished run of this name and rank is in that folder{place}: a new one begins"
            ));
            Outcome::BeginsIn(Some(from.to_owned()))
        }
        Err(Refusal::Missing) => {
            say(format!("resume={shown}: it is not there yet: a new run begins, and keeps its journal there"));
            Outcome::Begins(Place::of_journal(from), None)
        }
        Err(Refusal::Unwritten(journal)) => Outcome::Begins(Place::of_journal(from), Some(journal)),
        Err(Refusal::Failed(error)) => refuse(from, &error, say),
        Err(Refusal::Other(why)) => refuse(from, &why, say),
    }
}

fn refuse(from: &Path, why: &dyn std::fmt::Display, say: &mut dyn FnMut(String)) -> Outcome {
    say(format!(
        "resume={}: {why}. It is left as it is, and a new run begins, whose files are written where log_dir= says",
        from.display()
    ));
    Outcome::BeginsIn(None)
}

fn went_on((resumed, flaws): (Resumed, Vec<String>), say: &mut dyn FnMut(String)) -> Outcome {
    let journal = resumed.place.file(JOURNAL);
    flaws.iter().for_each(|flaw| say(format!("{}: {flaw}", journal.display())));
    let done = resumed.past.epochs_done();
    let planned = if resumed.planned > 0 { format!(" of {}", resumed.planned) } else { String::new() };
    let used = resumed.past.energy_j.map_or("energy unknown".into(), units::energy);
    say(format!("resumed run {}: {done}{planned} epochs are done, {used} used so far", resumed.id));
    if resumed.journal.is_none() {
        say(format!(
            "{} can only be read: what comes now is not in it. Cure: let this user write it, or say log_dir= of another folder, where a whole journal is kept then",
            journal.display()
        ));
    }
    Outcome::Resumed(Box::new(resumed))
}

enum Refusal {
    /// No journal is there yet,
    Missing,
    /// or in the folder none of this run's.
    Nothing,
    /// Something in the folder could not be read.
    Unread(String),
    /// Its first process was killed before it wrote a line.
    Unwritten(Growing),
    /// It could not be opened or read.
    Failed(io::Error),
    /// It is not to be taken up.
    Other(String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        match error.kind() {
            ErrorKind::NotFound => Refusal::Missing,
            _ => Refusal::Failed(error),
        }
    }
}

fn open(path: &Path, asker: &Asker) -> Result<(Resumed, Vec<String>), Refusal> {
    let path = &replace::followed(path)?;
    let mut journal = match Growing::open(path) {
        Ok(journal) => Some(journal),
        Err(error) if [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem].contains(&error.kind()) => None,
        Err(error) => return Err(error.into()),
    };
    // Where there are no locks nobody can tell, and the user has said what to do.
    let holder = journal.as_ref().and_then(|journal| journal.lock().ok().flatten());
    if let Some(holder) = holder {
        return Err(in_use(holder));
    }
    // Read only now: until it let go that process may have added to it.
    let mut read = |most: u64| match &mut journal {
        Some(journal) => journal.read(most),
        None => read_to(path, most),
    };
    let mut text = read(HEAD)?;
    if text.len() as u64 == HEAD && text.windows(OPENING.len()).any(|bytes| bytes == OPENING) {
        text = read(u64::MAX)?;
    }
    if let Some(journal) = journal.take_if(|_| text.is_empty() || text.starts_with(OPENING) && !text.contains(&b'\n')) {
        return Err(Refusal::Unwritten(journal));
    }
    let read = Journal::parse(&text).map_err(Refusal::Other)?;
    // A lock may be lost, as where a file system has none; the process's own page is the second sign of life.
    let (left, unread) = Left::of(&read.id, read.lives);
    // Later processes may not have a line yet.
    let mut living = (read.lives..=left.last).filter(|life| *life > read.lives || !read.is_ended);
    if let Some(holder) = living.find_map(|life| tally::living(&read.id, life)) {
        return Err(in_use(holder));
    }
    if let Some((ours, theirs)) = asker.name.zip(read.name.as_deref()).filter(|(ours, theirs)| ours != theirs) {
        return Err(Refusal::Other(format!("it is the journal of '{theirs}', and name='{ours}' is another run")));
    }
    let (id, written) = (read.id.clone(), read.epochs_done);
    let (name, started, planned) = (read.name.clone(), read.started.clone(), read.planned);
    let (is_ended, mut flaws) = (read.is_ended, read.flaws.clone());
    let owner = std::fs::metadata(path).ok().map(|there| there.uid());
    if let Some(owner) = owner.filter(|owner| *owner != host::user()) {
        flaws.push(format!("it belongs to {}", host::user_name(owner)));
    }
    flaws.extend(unread.map(|error| {
        format!("the count of ended epochs cannot be read ({error}): some that ended just before a kill may be missing")
    }));
    let mut past = read.into_past(left.counts);
    past.lives = left.last;
    let place = Place::of_journal(path);
    Ok((Resumed { id, name, started, planned, past, place, journal, written, is_ended }, flaws))
}

/// What the last process with a line has left, and those after it that were killed before their first.
struct Left {
    counts: Vec<Count>,
    /// The last process that left something, or has a line.
    last: u64,
}

impl Left {
    /// Of a run whose journal has a line of the process number `lives`; and why something could not be read.
    fn of(id: &str, lives: u64) -> (Left, Option<io::Error>) {
        let mut left = Left { counts: Vec::new(), last: lives };
        for life in lives.. {
            match tally::left(id, life) {
                Ok(Some(count)) => left.counts.push(count),
                Ok(None) if life == lives => left.counts.push(Count::default()),
                Ok(None) => break,
                Err(error) => {
                    left.counts.extend((life == lives).then(Count::default));
                    return (left, Some(error));
                }
            }
            left.last = life;
        }
        (left, None)
    }
}

fn in_use(holder: u32) -> Refusal {
    match holder {
        ours if ours == std::process::id() => Refusal::Other("this process is writing it already".into()),
        other => Refusal::Other(format!("process {other} is writing it")),
    }
}

/// The newest run of a folder that this one can be: this user's, of its name and rank, not ended, and of no living process.
/// Others may write into the folder: neither their files nor links count.
fn newest(folder: &Path, asker: &Asker) -> Result<(Resumed, Vec<String>), Refusal> {
    let mut unread = None;
    let mut journals: Vec<(SystemTime, PathBuf)> = Vec::new();
    let entries = std::fs::read_dir(folder).map_err(|error| Refusal::Unread(error.to_string()))?;
    let user = replace::Owner::of(folder);
    for entry in entries {
        match entry.and_then(|entry| candidate(entry.path(), &user)) {
            Ok(found) => journals.extend(found),
            Err(error) => unread = unread.or(Some(error.to_string())),
        }
    }
    journals.sort_by(|a, b| b.cmp(a));
    for (_, path) in journals {
        let mut note = |error: &dyn std::fmt::Display| {
            unread.get_or_insert_with(|| format!("{}: {error}", path.display()));
        };
        match is_of(&path, asker) {
            Ok(true) => (),
            Ok(false) => continue,
            Err(error) => {
                note(&error);
                continue;
            }
        }
        match open(&path, asker) {
            Ok((resumed, flaws)) if !resumed.is_finished() => return Ok((resumed, flaws)),
            Err(Refusal::Failed(error)) => note(&error),
            _ => (),
        }
    }
    Err(unread.map_or(Refusal::Nothing, Refusal::Unread))
}

/// A journal of this user, and when it was written last; another user's file or a link is none.
fn candidate(path: PathBuf, user: &replace::Owner) -> io::Result<Option<(SystemTime, PathBuf)>> {
    if !path.to_string_lossy().ends_with(JOURNAL) {
        return Ok(None);
    }
    let there = std::fs::symlink_metadata(&path)?;
    let is_own = there.is_file() && user.is(there.uid());
    Ok(if is_own { Some((there.modified()?, path)) } else { None })
}

/// Whether a journal is of a run of this name and rank that is not over.
fn is_of(path: &Path, asker: &Asker) -> io::Result<bool> {
    let run = Journal::parse(&opening(path)?);
    let is_asked_for = run.is_ok_and(|run| run.name.as_deref() == asker.name && run.rank == asker.rank);
    Ok(is_asked_for && !is_over(path)?)
}

/// A journal's first line.
fn opening(path: &Path) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    if !Growing::is_ours(path) {
        BufReader::new(text::open_ordinary(path)?.take(HEAD)).read_until(b'\n', &mut line)?;
    }
    Ok(line)
}

/// Whether its last line says so: a folder may be full of journals whose runs are over, and those are not read whole.
fn is_over(path: &Path) -> io::Result<bool> {
    const TAIL: u64 = 1 << 16;
    let mut file = text::open_ordinary(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    // A note may follow the end.
    let lines = tail.trim_ascii_end().rsplit(|&byte| byte == b'\n');
    let mut values = lines.map(|line| serde_json::from_slice::<Value>(line).unwrap_or_default());
    let last = values.find(|line| line.get("note").is_none()).unwrap_or_default();
    let number = |pointer: &str| last.pointer(pointer).and_then(Value::as_u64);
    let ends = number("/epochs_planned").zip(number("/so_far/run/epochs_done")).filter(|_| last.get("end").is_some());
    Ok(ends.is_some_and(|(planned, done)| done >= planned))
}

fn read_to(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    text::open_ordinary(path)?.take(most).read_to_end(&mut text)?;
    Ok(text)
}

impl Resumed {
    fn is_finished(&self) -> bool {
        if self.planned > 0 { self.past.epochs_done() >= self.planned } else { self.is_ended }
    }
}
