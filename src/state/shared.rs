//! What the host's threads and the sampler share: the books under a lock held for as short as can be, messages, and
//! a few words that are stored and read at once.

use super::RunState;
use super::misuse::{Misuse, MisuseCounts};
use crate::clock::MonoNs;
use crate::error::Result;
use crate::forecast::first_epoch::{self, PackedMark};
use crate::os::memory;
use crate::os::{self, BRIEF, lock_within};
use crate::sanitize;
use crate::units;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// What the host's threads and the sampler share.
pub struct SharedState {
    books: Mutex<RunState>,
    changed: Condvar,
    messages: Mutex<VecDeque<String>>,
    /// What a person should know of the whole run beside what is in the books.
    notes: Mutex<Vec<String>>,
    slips: MisuseCounts,
    /// The largest request that found no memory, bytes; 0: there is enough.
    short_of: AtomicUsize,
    stop: AtomicBool,
    over_budget: AtomicBool,
    /// How far the open epoch is, [`PackedMark`].
    progress: AtomicU64,
    /// Somebody waits for the first epoch's progress to be looked at.
    look: AtomicBool,
    /// How many asked for a report, for which what idle processes count is to be taken over; how many of them were
    /// answered, and when that was last, ns.
    asked: AtomicU64,
    answered: AtomicU64,
    answered_at: AtomicU64,
}

impl SharedState {
    /// Of a run that has yet to begin.
    pub fn new(books: RunState) -> SharedState {
        SharedState {
            books: Mutex::new(books),
            changed: Condvar::new(),
            messages: Mutex::default(),
            notes: Mutex::default(),
            slips: MisuseCounts::default(),
            short_of: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            over_budget: AtomicBool::new(false),
            progress: AtomicU64::default(),
            look: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            answered_at: AtomicU64::new(0),
        }
    }

    /// The books, for as short as can be.
    pub fn books(&self) -> MutexGuard<'_, RunState> {
        self.books.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Waits until `epochs` epochs are settled or the time is up; returns the books, and whether they are.
    pub fn settled_books(&self, epochs: u64, timeout: Duration) -> (MutexGuard<'_, RunState>, bool) {
        let is_over = |books: &RunState| books.finished || books.settled >= epochs;
        let books = match self.changed.wait_timeout_while(self.books(), timeout, |books| !is_over(books)) {
            Ok((books, _)) => books,
            Err(poisoned) => poisoned.into_inner().0,
        };
        let whole = is_over(&books) && !books.failed;
        (books, whole)
    }

    /// Waits until more epochs than so many are settled, the sampler has ended, `is_over` says so, or the time is up.
    pub fn await_epochs(&self, epochs: u64, timeout: Duration, is_over: impl Fn() -> bool) {
        let waits = |books: &mut RunState| !is_over() && !books.finished && books.settled <= epochs;
        drop(self.changed.wait_timeout_while(self.books(), timeout, waits));
    }

    /// Has those look who wait for what may change without the books. It waits for no lock for long: it may be an exit out
    /// of a signal handler.
    pub fn rouse(&self) {
        drop(lock_within(&self.books, BRIEF)); // one who has looked and does not sleep yet holds them
        self.tell();
    }

    /// Waits until `epochs` epochs are settled or the time is up, and holds nothing meanwhile.
    pub fn settle_within(&self, epochs: u64, patience: Duration) {
        const LOOK: Duration = Duration::from_millis(1);
        let deadline = Instant::now() + patience;
        let is_settled = || {
            let books = lock_within(&self.books, LOOK);
            books.is_some_and(|books| books.finished || books.settled >= epochs)
        };
        while !is_settled() && Instant::now() < deadline {
            os::pause(LOOK);
        }
    }

    /// How far the open epoch is.
    pub fn progress(&self) -> PackedMark {
        PackedMark(self.progress.load(Ordering::Acquire))
    }

    /// How much of the open epoch is done; None before its first mark.
    pub fn marked_share(&self) -> Option<f64> {
        Some(self.progress()).filter(|&progress| progress != PackedMark::NONE).map(PackedMark::share)
    }

    /// Notes how far the open epoch is.
    pub fn set_progress(&self, progress: PackedMark) {
        self.progress.store(progress.0, Ordering::Release);
    }

    /// Whether somebody waits for the first epoch's progress to be looked at.
    pub fn is_requested(&self) -> bool {
        self.look.load(Ordering::SeqCst)
    }

    /// Says that it was; with the books locked, or those who wait would not see it.
    pub fn answer(&self) {
        self.look.store(false, Ordering::SeqCst);
        self.tell();
    }

    /// Where enough of the first epoch is done for a forecast and there is none yet, has the sampler make it, and waits
    /// for it, a moment.
    pub fn await_first_forecast(&self, sampler: &Thread, timeout: Duration) {
        if self.progress().share() < first_epoch::MIN_FORECAST_SHARE {
            return;
        }
        let is_missing =
            |books: &mut RunState| !books.finished && books.ledger.history().is_empty() && books.forecast.is_none();
        let mut books = self.books();
        // A request that still stands has been waited for by somebody.
        if is_missing(&mut books) && !self.look.swap(true, Ordering::SeqCst) {
            sampler.unpark();
            let is_coming = |books: &mut RunState| self.is_requested() || books.progress.awaits().is_some();
            drop(self.changed.wait_timeout_while(books, timeout, |books| is_missing(books) && is_coming(books)));
        }
    }

    /// Queues a message; the oldest goes where nobody takes them.
    pub fn say(&self, message: String) {
        const MOST: usize = 64;
        let mut messages = self.messages();
        if messages.len() >= MOST {
            messages.pop_front();
        }
        messages.push_back(sanitize::text(message));
    }

    /// Queues a message that is also a note of every report.
    pub fn remark(&self, message: String) {
        self.notes.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(message.clone());
        self.say(message);
    }

    /// Counts a refused call; the first of its kind makes a message. An epoch has been open for `open_s` seconds, if one
    /// is.
    pub fn slip(&self, slip: Misuse, open_s: Option<f64>) {
        if self.slips.count(slip) {
            self.say(slip.in_words(1, open_s));
        }
    }

    /// Fails with CT_EIO if a report's memory is not there. A message reports when it is there again.
    pub fn check_memory(&self, bytes: usize) -> Result<()> {
        let checked = memory::check(bytes, "a report");
        let is_enough = |short: usize| (1..=bytes).contains(&short).then_some(0);
        if checked.is_err() {
            self.short_of.fetch_max(bytes, Ordering::Relaxed);
        } else if self.short_of.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_enough).is_ok() {
            self.say("memory was used up for a while: reports failed (CT_EIO), and files may be late. Nothing that was counted is lost".into());
        }
        checked
    }

    /// The notes of a report: remarks, refused calls, and the open epoch once the tracker ends.
    pub fn notes(&self, open_s: Option<f64>) -> Vec<String> {
        let mut notes = self.notes.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        notes.extend(self.slips.notes(open_s));
        notes.extend(open_s.filter(|_| self.is_stopping()).map(|seconds| {
            format!(
                "an epoch was still open when the tracker ended, after {}: it is not counted. Call ct_epoch_end after each ct_epoch_begin",
                units::duration(seconds)
            )
        }));
        notes
    }

    /// The queued messages, oldest first.
    pub fn messages(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.messages.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// How many have asked for a report that may hold more than is counted here by now.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    /// How many of them were answered.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }

    /// Says that so many were answered: what idle processes counted was taken over. With the books locked, or those who wait
    /// would not see it.
    pub fn answer_asked(&self, asked: u64, now: MonoNs) {
        self.answered.store(asked, Ordering::SeqCst);
        self.answered_at.store(now.0, Ordering::Relaxed);
        self.tell();
    }

    /// Has the sampler take over what processes count that stand idle, where others count at all, and waits for it until the
    /// deadline. Who asks again within so short a time hears the same.
    pub fn ask(&self, sampler: &Thread, ended: u64, deadline: Instant) {
        const AGAIN_NS: u64 = 100_000_000;
        let books = self.books();
        let is_elsewhere = books.trusts.iter().any(|trust| !trust.standing.is_ours && !trust.standing.is_apart);
        let is_known = books.ledger.epochs() >= ended
            && os::monotonic_ns() < MonoNs(self.answered_at.load(Ordering::Relaxed)) + AGAIN_NS;
        if books.finished || !is_elsewhere || is_known {
            return;
        }
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        sampler.unpark();
        let patience = deadline.saturating_duration_since(Instant::now());
        drop(self.changed.wait_timeout_while(books, patience, |books| !books.finished && self.answered() < number));
    }

    /// Whether the forecast passes a budget.
    pub fn is_over_budget(&self) -> bool {
        self.over_budget.load(Ordering::Relaxed)
    }

    /// Tells the sampler to take a last reading and end.
    pub fn stop(&self, sampler: &Thread) {
        self.stop.store(true, Ordering::SeqCst);
        sampler.unpark();
    }

    /// Whether it was told to.
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Notes whether the forecast passes a budget.
    pub fn set_over_budget(&self, is_over: bool) {
        self.over_budget.store(is_over, Ordering::Relaxed);
    }

    /// Wakes those that wait for what is in the books now.
    pub fn tell(&self) {
        self.changed.notify_all();
    }
}
