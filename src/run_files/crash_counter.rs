//! How many epochs the application has ended, in memory that outlives the process: a kill in the moment before the journal
//! has an epoch's line loses its energy, and not that it was. The same page says which process works on the run.

use super::attempt::StatusPage;
use crate::os::{self, Segment};
use std::io::{self, ErrorKind};
use std::sync::Once;

/// What the page begins with.
const MAGIC: u64 = u64::from_le_bytes(*b"ctally01");
/// Where the numbers are: of an even and of an odd number of epochs their time and the run's, ns.
const IS: usize = 0;
const RUN: usize = 1;
const LIFE: usize = 2;
const PROCESS: usize = 3;
const STARTED: usize = 4;
const EPOCHS: usize = 5;
const TIMES: [usize; 2] = [6, 8];
const NAMESPACE: usize = 10;
/// Numbers on a page.
const NUMBERS: usize = 32;
/// Keys tried for one page: another program may use the first.
const KEYS: u64 = 8;
/// Pages left by killed runs are removed after this, s.
const LEFT_OVER_S: u64 = 24 * 3600;

/// What one process of a run has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Count {
    /// Epochs.
    pub epochs: u64,
    /// Time in them, ns.
    pub inside: u64,
    /// From the first begin to the last end, ns.
    pub span: u64,
}

impl Count {
    /// What of it another count has not; None: nothing.
    pub fn beyond(self, other: Count) -> Option<Count> {
        let epochs = self.epochs.checked_sub(other.epochs).filter(|epochs| *epochs > 0)?;
        let (inside, span) = (self.inside.saturating_sub(other.inside), self.span.saturating_sub(other.span));
        Some(Count { epochs, inside, span })
    }
}

/// The page of this process.
pub struct CrashCounter(Segment);

impl CrashCounter {
    /// The page of the process that is number `life` to work on the run `id`.
    pub fn open(id: &str, life: u64) -> io::Result<CrashCounter> {
        static SWEPT: Once = Once::new();
        SWEPT.call_once(sweep);
        if find(id, life).is_ok_and(|page| page.is_some()) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let mut created = Err(ErrorKind::AddrInUse.into());
        for key in keys(id, life) {
            created = Segment::create(key, NUMBERS);
            if created.is_ok() {
                break;
            }
        }
        let segment = created?;
        segment.store(RUN, number(id));
        segment.store(LIFE, life);
        segment.store(PROCESS, u64::from(std::process::id()));
        segment.store(STARTED, os::process_start(std::process::id()).unwrap_or(0));
        segment.store(NAMESPACE, os::pid_namespace());
        segment.store(IS, MAGIC);
        Ok(CrashCounter(segment))
    }

    /// Notes what has ended. A kill between two stores leaves what was noted before.
    pub fn note(&self, count: Count) {
        let [even, odd] = TIMES;
        let place = if count.epochs.is_multiple_of(2) { even } else { odd };
        self.0.store(place, count.inside);
        self.0.store(place + 1, count.span);
        self.0.store(EPOCHS, count.epochs);
    }

    /// How many epochs were noted.
    pub fn epochs(&self) -> u64 {
        self.0.load(EPOCHS)
    }

    /// Removes it: the journal has all of it.
    pub fn remove(&self) {
        self.0.remove();
    }
}

/// What the process has noted that was number `life` to work on the run; None: nothing is left of it. An error: that cannot be
/// found out.
pub fn left(id: &str, life: u64) -> io::Result<Option<Count>> {
    let Some(page) = find(id, life)? else { return Ok(None) };
    let epochs = page.load(EPOCHS);
    let [even, odd] = TIMES;
    let place = if epochs.is_multiple_of(2) { even } else { odd };
    Ok(Some(Count { epochs, inside: page.load(place), span: page.load(place + 1) }))
}

/// Whether the process that was number `life` to work on the run lives, as far as this machine's memory shows.
pub fn page(id: &str, life: u64) -> StatusPage {
    let Ok(Some(page)) = find(id, life) else { return StatusPage::Missing };
    if page.attached() <= 1 {
        return StatusPage::Dead; // also after an exec, which keeps number and start
    }
    // A process of another container cannot be looked up by its number.
    if page.load(NAMESPACE) != os::pid_namespace() {
        return StatusPage::Living(0);
    }
    let (process, started) = (u32::try_from(page.load(PROCESS)).unwrap_or(0), page.load(STARTED));
    if os::is_alive(process, started) { StatusPage::Living(process) } else { StatusPage::Dead }
}

/// Removes what that process has left; an error where nothing is.
pub fn forget(id: &str, life: u64) -> io::Result<()> {
    find(id, life)?.map(|page| page.remove()).ok_or(ErrorKind::NotFound.into())
}

/// Removes the pages of runs that were killed long ago.
fn sweep() {
    let pages = os::abandoned(NUMBERS, LEFT_OVER_S).into_iter().filter(|page| page.load(IS) == MAGIC);
    pages.filter(|page| page.attached() == 1).for_each(|page| page.remove()); // nobody but us looks at it
}

fn find(id: &str, life: u64) -> io::Result<Option<Segment>> {
    let is_it = |page: &Segment| (page.load(IS), page.load(RUN), page.load(LIFE)) == (MAGIC, number(id), life);
    let mut failure = Ok(None);
    for key in keys(id, life) {
        match Segment::open(key, NUMBERS) {
            Ok(page) if is_it(&page) => return Ok(Some(page)),
            // Another program's: of another run, or of another size.
            Ok(_) => (),
            Err(error) if [ErrorKind::NotFound, ErrorKind::InvalidInput].contains(&error.kind()) => (),
            Err(error) => failure = failure.and(Err(error)),
        }
    }
    failure
}

/// The keys a page may have; 0 would be a private one.
fn keys(id: &str, life: u64) -> impl Iterator<Item = i32> {
    let first = os::stable_hash(format!("carbontracker {} {id} {life}", os::user()).bytes());
    (0..KEYS).map(move |n| (first.wrapping_add(n) as u32 | 1 << 30) as i32)
}

/// A run's identifier as a number.
fn number(id: &str) -> u64 {
    u64::from_str_radix(id, 16).unwrap_or_else(|_| os::stable_hash(id.bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_last_is_left_until_it_is_removed() {
        let id = format!("{:016x}", os::random_u64());
        assert_eq!((left(&id, 1).unwrap(), page(&id, 1)), (None, StatusPage::Missing));
        let tally = CrashCounter::open(&id, 1).unwrap();
        assert_eq!(
            (left(&id, 1).unwrap(), page(&id, 1)),
            (Some(Count::default()), StatusPage::Living(std::process::id()))
        );
        for epochs in 1..=3 {
            let count = Count { epochs, inside: epochs * 10, span: epochs * 11 };
            tally.note(count);
            assert_eq!(left(&id, 1).unwrap(), Some(count));
        }
        assert!(CrashCounter::open(&id, 1).is_err(), "it is another's");
        assert_eq!(left(&id, 2).unwrap(), None);
        tally.remove();
        drop(tally);
        assert_eq!(left(&id, 1).unwrap(), None);
    }

    #[test]
    fn a_page_without_its_process_is_no_sign_of_life() {
        let id = format!("{:016x}", os::random_u64());
        drop(CrashCounter::open(&id, 4).unwrap());
        assert_eq!((left(&id, 4).unwrap(), page(&id, 4)), (Some(Count::default()), StatusPage::Dead));
        assert!(forget(&id, 4).is_ok() && forget(&id, 4).is_err());
    }
}
