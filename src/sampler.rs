//! The one background thread: it wakes for marks and at intervals, reads every source, and enters marks
//! and energy into the books. It reads devices under no lock, and never calls back into the host.

use crate::advisor::Advisor;
use crate::books::{Books, FAULT};
use crate::channel::{Channel, Quantity};
use crate::host;
use crate::ledger::Mark;
use crate::reading::Reading;
use crate::source::{MIN_GAP_NS, Source};
use rtrb::Consumer;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Counters are read at least this often in the time they take to go round at full power.
const READS_A_WRAP: f64 = 4.0;

/// What the host's threads and the sampler share.
#[derive(Default)]
pub struct Shared {
    books: Mutex<Books>,
    changed: Condvar,
    messages: Mutex<VecDeque<String>>,
    stop: AtomicBool,
    over_budget: AtomicBool,
}

impl Shared {
    /// The books, for as short as can be.
    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Waits until `epochs` epochs are settled or the time is up; returns the books, and whether they are.
    pub fn settled_books(&self, epochs: u64, timeout: Duration) -> (MutexGuard<'_, Books>, bool) {
        let is_over = |books: &Books| books.finished || books.settled >= epochs;
        let books = match self.changed.wait_timeout_while(self.books(), timeout, |books| !is_over(books)) {
            Ok((books, _)) => books,
            Err(poisoned) => poisoned.into_inner().0,
        };
        let whole = is_over(&books) && !books.failed;
        (books, whole)
    }

    /// Queues a message; the oldest goes where nobody takes them.
    pub fn say(&self, message: String) {
        const MOST: usize = 64;
        let mut messages = self.messages();
        if messages.len() >= MOST {
            messages.pop_front();
        }
        messages.push_back(message);
    }

    /// The queued messages, oldest first.
    pub fn messages(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.messages.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether the forecast passes a budget.
    pub fn is_over_budget(&self) -> bool {
        self.over_budget.load(Ordering::Relaxed)
    }

    /// Tells the sampler to take a last reading and end.
    pub fn stop(&self, sampler: &std::thread::Thread) {
        self.stop.store(true, Ordering::SeqCst);
        sampler.unpark();
    }

    fn finish(&self) {
        self.books().finished = true;
        self.changed.notify_all();
    }
}

/// A source, where its channels stand in the books, and when it was read.
struct Slot {
    source: Box<dyn Source>,
    first_channel: usize,
    /// Readings closer together than this, ns, tell nothing new.
    min_gap_ns: u64,
    /// When it was read last; None: it is to be read now.
    last_read: Option<u64>,
    /// A mark or a doubt waits for its next reading.
    wanted: bool,
}

/// The sampler's own state; only its thread touches it once it runs.
pub struct Sampler {
    slots: Vec<Slot>,
    marks: Consumer<Mark>,
    advisor: Advisor,
    interval_ns: u64,
    monitor_epochs: Option<u64>,
    last_pass: u64,
    passes: u64,
    readings: Vec<Reading>,
}

impl Sampler {
    /// Opens an account for every channel and takes each counter's first reading.
    pub fn new(
        sources: Vec<Box<dyn Source>>,
        marks: Consumer<Mark>,
        advisor: Advisor,
        interval: Duration,
        monitor_epochs: Option<u64>,
        shared: &Shared,
    ) -> Sampler {
        let mut slots = Vec::new();
        let mut books = shared.books();
        let mut interval_ns = interval.as_nanos() as u64;
        for source in sources {
            let first_channel = books.metered.len();
            for channel in source.channels() {
                books.add(channel);
                interval_ns = interval_ns.min(wrap_guard_ns(channel));
            }
            let min_gap_ns = source.min_gap_ns().min(interval.as_nanos() as u64);
            slots.push(Slot { source, first_channel, min_gap_ns, last_read: None, wanted: false });
        }
        drop(books);
        let mut sampler = Sampler {
            slots,
            marks,
            advisor,
            interval_ns,
            monitor_epochs,
            last_pass: 0,
            passes: 0,
            readings: Vec::new(),
        };
        sampler.pass(shared);
        sampler
    }

    /// Samples until told to stop. Whatever happens, nobody is left waiting for it.
    pub fn run(mut self, shared: &Shared) {
        let work = std::panic::AssertUnwindSafe(|| {
            host::widen_affinity();
            while !shared.stop.load(Ordering::SeqCst) && !self.has_seen_enough(shared) {
                if host::monotonic_ns() >= self.due() {
                    self.pass(shared);
                    self.follow_affinity();
                } else {
                    self.sleep();
                }
            }
            self.read_again(shared);
            shared.books().ledger.release_all();
        });
        if std::panic::catch_unwind(work).is_err() {
            shared.books().failed = true;
            shared.say(FAULT.into());
        }
        shared.finish();
    }

    fn has_seen_enough(&self, shared: &Shared) -> bool {
        self.monitor_epochs.is_some_and(|most| shared.books().settled >= most)
    }

    /// When the next pass is due.
    fn due(&self) -> u64 {
        let soonest = self.last_pass + MIN_GAP_NS;
        let mut due = self.last_pass + self.interval_ns;
        if !self.marks.is_empty() {
            due = due.min(soonest);
        }
        for slot in self.slots.iter().filter(|slot| slot.wanted) {
            due = due.min(soonest.max(slot.next_read()));
        }
        due
    }

    /// Sleeps until the next pass is due. A mark wakes it, unless one waits already: then the pass that takes
    /// both is soon, and the host need not wake anybody.
    fn sleep(&self) {
        let left = Duration::from_nanos(self.due().saturating_sub(host::monotonic_ns()));
        if self.marks.is_empty() {
            std::thread::park_timeout(left);
        } else {
            std::thread::sleep(left);
        }
    }

    /// A thread pinned to one processor looks again for room as the host's threads come: ever less often.
    fn follow_affinity(&self) {
        if self.passes.is_power_of_two() {
            host::widen_affinity();
        }
    }

    /// A pass that reads every source, however recently it was read.
    pub fn read_again(&mut self, shared: &Shared) {
        self.slots.iter_mut().for_each(|slot| slot.last_read = None);
        self.pass(shared);
    }

    /// Reads what is to be read, then enters marks and energy into the books.
    fn pass(&mut self, shared: &Shared) {
        let start = host::monotonic_ns();
        self.readings.clear();
        for slot in self.slots.iter_mut().filter(|slot| start >= slot.next_read()) {
            slot.read(start, &mut self.readings);
        }
        // Every mark stamped before these readings is in the ring by now: time is divided before energy is spread.
        let marks = self.marks.read_chunk(self.marks.slots()).into_iter().flatten();
        let mut books = shared.books();
        let settled = books.settled;
        books.enter(marks, &self.readings, |message| shared.say(message));
        for slot in &mut self.slots {
            slot.wanted = books.wants_reading(slot.channels());
        }
        if books.settled > settled {
            let review = self.advisor.review(&books.ledger, books.settled);
            review.messages.into_iter().for_each(|message| shared.say(message));
            books.forecast = review.forecast;
            shared.over_budget.store(review.over_budget, Ordering::Relaxed);
            shared.changed.notify_all();
        }
        drop(books);
        self.last_pass = start;
        self.passes += 1;
    }
}

impl Slot {
    /// The source's channels by their numbers in the books.
    fn channels(&self) -> Range<usize> {
        self.first_channel..self.first_channel + self.source.channels().len()
    }

    /// When reading it again may tell something new.
    fn next_read(&self) -> u64 {
        self.last_read.map_or(0, |last_read| last_read + self.min_gap_ns)
    }

    /// Reads it; `now` is when the pass began.
    fn read(&mut self, now: u64, readings: &mut Vec<Reading>) {
        let first = readings.len();
        self.source.read(&host::monotonic_ns, readings);
        for reading in readings.iter_mut().skip(first) {
            reading.channel += self.first_channel;
        }
        self.last_read = Some(now);
    }
}

/// How long a counter may go unread, ns, for no wrap to be missed.
fn wrap_guard_ns(channel: &Channel) -> u64 {
    match channel.quantity {
        Quantity::Counter { joules_per_unit, range: Some(range), max_watts } => {
            let seconds = range as f64 * joules_per_unit / max_watts / READS_A_WRAP;
            ((seconds * 1e9) as u64).max(MIN_GAP_NS)
        }
        _ => u64::MAX,
    }
}
