//! Counts the ended epochs in shared memory, which outlives the process.
//!
//! A kill just before an epoch's line is written loses the epoch's energy, but not its count and time. The same page
//! identifies the process of the attempt.

use super::attempt::StatusPage;
use crate::os::{self, Segment};
use std::io::{self, ErrorKind};
use std::sync::Once;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

/// The first number of a page.
const MAGIC: u64 = u64::from_le_bytes(*b"ctally01");
/// Index of each number on a page.
mod slot {
    pub const MAGIC: usize = 0;
    pub const RUN: usize = 1;
    pub const ATTEMPT: usize = 2;
    pub const PROCESS: usize = 3;
    pub const STARTED: usize = 4;
    pub const EPOCHS: usize = 5;
    /// For an even and for an odd number of epochs: the time in epochs, then the time from first begin to last end, ns.
    pub const TIMES: [usize; 2] = [6, 8];
    pub const NAMESPACE: usize = 10;
}
/// Count of 8-byte numbers on a page.
const PAGE_NUMBERS: usize = 32;
/// Count of keys tried for one page, because another program may use the first.
const MAX_KEYS: u64 = 8;
/// Age, s, after which the page of a killed run is removed.
const MAX_ABANDONED_S: u64 = 24 * 3600;

/// The epochs that one attempt has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Count {
    /// Their number.
    pub epochs: u64,
    /// Time in epochs, ns.
    pub inside: u64,
    /// Time from the first begin to the last end, ns.
    pub span: u64,
}

impl Count {
    /// The part that `other` lacks. None: `other` has at least as many epochs.
    pub fn beyond(self, other: Count) -> Option<Count> {
        let epochs = self.epochs.checked_sub(other.epochs).filter(|epochs| *epochs > 0)?;
        let (inside, span) = (self.inside.saturating_sub(other.inside), self.span.saturating_sub(other.span));
        Some(Count { epochs, inside, span })
    }
}

/// The page of this attempt.
pub struct CrashCounter(Segment);

impl CrashCounter {
    /// Makes the page of attempt number `attempt` of the run `id`. Fails with `AlreadyExists` if another
    /// process has made it.
    pub fn open(id: &str, attempt: u64) -> io::Result<CrashCounter> {
        static SWEPT: Once = Once::new();
        SWEPT.call_once(sweep);
        if find(id, attempt).is_ok_and(|page| page.is_some()) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let segment = create(id, attempt)?;
        segment.store(slot::RUN, number(id));
        segment.store(slot::ATTEMPT, attempt);
        segment.store(slot::PROCESS, u64::from(os::process_id()));
        segment.store(slot::STARTED, os::process_start(os::process_id()).unwrap_or(0));
        segment.store(slot::NAMESPACE, os::pid_namespace());
        segment.store(slot::MAGIC, MAGIC);
        // Two processes that made a page at once both look here after they are visible. So at most one continues.
        fence(Ordering::SeqCst);
        let pages = keys(id, attempt).filter_map(|key| Segment::open(key, PAGE_NUMBERS).ok());
        if pages.filter(|page| is_of(page, id, attempt)).count() > 1 {
            segment.remove();
            return Err(ErrorKind::AlreadyExists.into());
        }
        Ok(CrashCounter(segment))
    }

    /// Stores a new count. A kill between two stores leaves the previous count whole.
    pub fn note(&self, count: Count) {
        let [even, odd] = slot::TIMES;
        let index = if count.epochs % 2 == 0 { even } else { odd };
        self.0.store(index, count.inside);
        self.0.store(index + 1, count.span);
        self.0.store(slot::EPOCHS, count.epochs);
    }

    /// The number of epochs of the last stored count.
    pub fn epochs(&self) -> u64 {
        self.0.load(slot::EPOCHS)
    }

    /// Removes the page, once the journal has all epochs.
    pub fn remove(&self) {
        self.0.remove();
    }
}

/// The last count of an attempt. None: it has left no page. Fails if shared memory cannot be read.
pub fn left(id: &str, attempt: u64) -> io::Result<Option<Count>> {
    let Some(page) = find(id, attempt)? else { return Ok(None) };
    let epochs = page.load(slot::EPOCHS);
    let [even, odd] = slot::TIMES;
    let index = if epochs % 2 == 0 { even } else { odd };
    Ok(Some(Count { epochs, inside: page.load(index), span: page.load(index + 1) }))
}

/// Whether an attempt's process is alive, as far as this machine's shared memory shows.
pub fn page(id: &str, attempt: u64) -> StatusPage {
    let Ok(Some(page)) = find(id, attempt) else { return StatusPage::Missing };
    if page.attached() <= 1 {
        return StatusPage::Dead; // also after an exec, which keeps the process number and start time
    }
    // A process of another container cannot be found by its number.
    if page.load(slot::NAMESPACE) != os::pid_namespace() {
        return StatusPage::Living(0);
    }
    let (process, started) = (u32::try_from(page.load(slot::PROCESS)).unwrap_or(0), page.load(slot::STARTED));
    if os::is_alive(process, started) { StatusPage::Living(process) } else { StatusPage::Dead }
}

/// Removes the page of an attempt. Fails if there is none.
pub fn forget(id: &str, attempt: u64) -> io::Result<()> {
    find(id, attempt)?.map(|page| page.remove()).ok_or(ErrorKind::NotFound.into())
}

/// Removes the pages of runs that were killed more than [`MAX_ABANDONED_S`] ago.
fn sweep() {
    let pages = os::abandoned(PAGE_NUMBERS, MAX_ABANDONED_S).into_iter().filter(|page| page.load(slot::MAGIC) == MAGIC);
    pages.filter(|page| page.attached() == 1).for_each(|page| page.remove()); // no other process has it attached
}

/// Makes an empty page under the first free key. Fails with `AlreadyExists` if another process makes the page.
fn create(id: &str, attempt: u64) -> io::Result<Segment> {
    let mut failure = ErrorKind::AddrInUse.into();
    for key in keys(id, attempt) {
        match Segment::create(key, PAGE_NUMBERS) {
            Ok(segment) => return Ok(segment),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && is_being_made(key, id, attempt) => {
                return Err(error);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Whether the page of a key is of this attempt. Waits until it has its numbers: its process may be about to store
/// them.
fn is_being_made(key: i32, id: &str, attempt: u64) -> bool {
    const LOOKS: usize = 20;
    let Ok(page) = Segment::open(key, PAGE_NUMBERS) else { return false };
    for _ in 0..LOOKS {
        if page.load(slot::MAGIC) != 0 {
            break;
        }
        os::pause(Duration::from_millis(1));
    }
    is_of(&page, id, attempt)
}

fn is_of(page: &Segment, id: &str, attempt: u64) -> bool {
    (page.load(slot::MAGIC), page.load(slot::RUN), page.load(slot::ATTEMPT)) == (MAGIC, number(id), attempt)
}

fn find(id: &str, attempt: u64) -> io::Result<Option<Segment>> {
    let mut failure = Ok(None);
    for key in keys(id, attempt) {
        match Segment::open(key, PAGE_NUMBERS) {
            Ok(page) if is_of(&page, id, attempt) => return Ok(Some(page)),
            // It belongs to another program or another run.
            Ok(_) => (),
            Err(error) if [ErrorKind::NotFound, ErrorKind::InvalidInput].contains(&error.kind()) => (),
            Err(error) => failure = failure.and(Err(error)),
        }
    }
    failure
}

/// The shared memory keys that a page may have. Key 0 would make a private page, so bit 30 is set.
fn keys(id: &str, attempt: u64) -> impl Iterator<Item = i32> {
    let first = os::stable_hash(format!("carbontracker {} {id} {attempt}", os::user()).bytes());
    (0..MAX_KEYS).map(move |n| (first.wrapping_add(n) as u32 | 1 << 30) as i32)
}

/// A run's identifier, a hexadecimal text, as a number.
fn number(id: &str) -> u64 {
    u64::from_str_radix(id, 16).unwrap_or_else(|_| os::stable_hash(id.bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_is_left_until_it_is_removed() {
        let id = format!("{:016x}", os::random_u64());
        assert_eq!((left(&id, 1).unwrap(), page(&id, 1)), (None, StatusPage::Missing));
        let counter = CrashCounter::open(&id, 1).unwrap();
        assert_eq!(
            (left(&id, 1).unwrap(), page(&id, 1)),
            (Some(Count::default()), StatusPage::Living(os::process_id()))
        );
        for epochs in 1..=3 {
            let count = Count { epochs, inside: epochs * 10, span: epochs * 11 };
            counter.note(count);
            assert_eq!(left(&id, 1).unwrap(), Some(count));
        }
        assert!(CrashCounter::open(&id, 1).is_err(), "another process has it");
        assert_eq!(left(&id, 2).unwrap(), None);
        counter.remove();
        drop(counter);
        assert_eq!(left(&id, 1).unwrap(), None);
    }

    #[test]
    fn page_without_its_process_is_dead() {
        let id = format!("{:016x}", os::random_u64());
        drop(CrashCounter::open(&id, 4).unwrap());
        assert_eq!((left(&id, 4).unwrap(), page(&id, 4)), (Some(Count::default()), StatusPage::Dead));
        assert!(forget(&id, 4).is_ok() && forget(&id, 4).is_err());
    }
}
