//! The one background thread: it wakes for marks and at intervals, reads every source, and enters marks
//! and energy into the books. It reads devices under no lock, and never calls back into the host.

use crate::channel::Channel;
use crate::counter::{Event, Meter, Quantity};
use crate::forecast::Forecast;
use crate::host;
use crate::ledger::{Ledger, Mark};
use crate::source::{Reading, SHARED_READING_NS, Source};
use rtrb::Consumer;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Counters are read at least this often in the time they take to go round at full power.
const READS_A_WRAP: f64 = 4.0;

/// What the sampler writes and reports read.
#[derive(Default)]
pub struct Books {
    /// What is measured.
    pub channels: Vec<Channel>,
    /// Each channel's readings.
    pub meters: Vec<Meter>,
    /// The run.
    pub ledger: Ledger,
    /// How many of the epochs ended have all their energy, as far as the devices answer.
    pub settled: u64,
    /// The sampler has ended; nothing will change any more.
    pub finished: bool,
    /// The forecast from the epochs settled so far.
    pub forecast: Option<Forecast>,
    /// Threads waiting for a change.
    waiting: u32,
}

/// What the host's threads and the sampler share.
#[derive(Default)]
pub struct Shared {
    books: Mutex<Books>,
    changed: Condvar,
    messages: Mutex<VecDeque<String>>,
    /// The sampler sleeps and wants to be woken for a mark.
    asleep: AtomicBool,
    stop: AtomicBool,
    over_budget: AtomicBool,
}

impl Shared {
    /// The books, for as short as can be.
    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The books once `epochs` have ended and their readings are in, and true; after `patience` as they
    /// are, and false.
    pub fn settled_books(&self, epochs: u64, patience: Duration) -> (MutexGuard<'_, Books>, bool) {
        let is_whole = |books: &Books| books.finished || books.settled >= epochs;
        let mut books = self.books();
        books.waiting += 1;
        let mut books = match self.changed.wait_timeout_while(books, patience, |books| !is_whole(books)) {
            Ok((books, _)) => books,
            Err(poisoned) => poisoned.into_inner().0,
        };
        books.waiting -= 1;
        let whole = is_whole(&books);
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

    /// Wakes the sampler for a mark just pushed, if it sleeps.
    pub fn wake(&self, sampler: &std::thread::Thread) {
        // Pairs with the fence in `sleep`: either it sees the mark or we see it asleep.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            sampler.unpark();
        }
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

/// What is thought of the run each time more epochs are settled.
pub trait Reviewer: Send {
    /// Looks at the run, of which `settled` epochs have their energy: its forecast, whether a budget is passed, and what to tell the user.
    fn review(&mut self, ledger: &Ledger, settled: u64, say: &mut dyn FnMut(String)) -> Review;
}

/// A reviewer's findings.
#[derive(Default)]
pub struct Review {
    /// What the whole run will take.
    pub forecast: Option<Forecast>,
    /// A budget is passed, or will be.
    pub over_budget: bool,
}

/// A source, where its channels stand in the books, and when it was read.
struct Slot {
    source: Box<dyn Source>,
    first_channel: usize,
    /// Readings closer together than this, ns, tell nothing new, or are not asked for.
    resolution_ns: u64,
    last_read: u64,
    /// A mark or a doubt waits for its next reading.
    wanted: bool,
}

/// The sampler's own state; only its thread touches it once it runs.
pub struct Sampler {
    slots: Vec<Slot>,
    marks: Consumer<Mark>,
    reviewer: Box<dyn Reviewer>,
    interval_ns: u64,
    monitor_epochs: Option<u64>,
    last_pass: u64,
    passes: u64,
    reviewed_epochs: u64,
    readings: Vec<Reading>,
}

impl Sampler {
    /// Opens an account for every channel and takes each counter's first reading.
    pub fn new(
        sources: Vec<Box<dyn Source>>,
        marks: Consumer<Mark>,
        reviewer: Box<dyn Reviewer>,
        interval: Duration,
        monitor_epochs: Option<u64>,
        shared: &Shared,
    ) -> Sampler {
        let mut slots = Vec::new();
        let mut books = shared.books();
        let mut interval_ns = interval.as_nanos() as u64;
        for source in sources {
            let first_channel = books.channels.len();
            for channel in source.channels() {
                books.ledger.add_channel(channel.kind);
                books.meters.push(Meter::new(channel.quantity));
                books.channels.push(channel.clone());
                interval_ns = interval_ns.min(wrap_guard_ns(channel));
            }
            let resolution_ns = source.resolution_ns().min(interval.as_nanos() as u64);
            slots.push(Slot { source, first_channel, resolution_ns, last_read: 0, wanted: false });
        }
        drop(books);
        let mut sampler = Sampler {
            slots,
            marks,
            reviewer,
            interval_ns,
            monitor_epochs,
            last_pass: 0,
            passes: 0,
            reviewed_epochs: 0,
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
                    self.sleep(shared);
                }
            }
            self.read_again(shared);
            shared.books().ledger.release_all();
        });
        if std::panic::catch_unwind(work).is_err() {
            shared.say("the sampler met an internal fault and ended: what was measured stays, energy from here on is unknown; please report it".into());
        }
        shared.finish();
    }

    fn has_seen_enough(&self, shared: &Shared) -> bool {
        self.monitor_epochs.is_some_and(|most| shared.books().settled >= most)
    }

    /// When the next pass is due.
    fn due(&self) -> u64 {
        let soonest = self.last_pass + SHARED_READING_NS;
        let mut due = self.last_pass + self.interval_ns;
        if !self.marks.is_empty() {
            due = due.min(soonest);
        }
        for slot in self.slots.iter().filter(|slot| slot.wanted) {
            due = due.min(soonest.max(slot.last_read + slot.resolution_ns));
        }
        due
    }

    /// Sleeps until the next pass is due or, unless the last one is only just over, a mark comes.
    fn sleep(&self, shared: &Shared) {
        let now = host::monotonic_ns();
        let resting = !self.marks.is_empty() && now < self.last_pass + SHARED_READING_NS;
        if !resting {
            shared.asleep.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst); // pairs with `wake`
        }
        let left = self.due().saturating_sub(now);
        if left > 0 && !shared.stop.load(Ordering::SeqCst) {
            std::thread::park_timeout(Duration::from_nanos(left));
        }
        shared.asleep.store(false, Ordering::Relaxed);
    }

    /// A thread pinned to one processor looks again for room as the host's threads come: ever less often.
    fn follow_affinity(&self) {
        if self.passes.is_power_of_two() {
            host::widen_affinity();
        }
    }

    /// A pass that reads every source, however recently it was read.
    pub fn read_again(&mut self, shared: &Shared) {
        self.slots.iter_mut().for_each(|slot| slot.last_read = 0);
        self.pass(shared);
    }

    /// Reads what is to be read, then enters marks and energy into the books.
    fn pass(&mut self, shared: &Shared) {
        let start = host::monotonic_ns();
        self.readings.clear();
        let is_due = |slot: &Slot| slot.last_read == 0 || start >= slot.last_read + slot.resolution_ns;
        for slot in self.slots.iter_mut().filter(|slot| is_due(slot)) {
            let first = self.readings.len();
            slot.source.read(&host::monotonic_ns, &mut self.readings);
            slot.last_read = start;
            for reading in self.readings.iter_mut().skip(first) {
                reading.channel += slot.first_channel;
            }
        }
        // Every mark stamped before these readings is in the ring by now: time is divided before energy is spread.
        let told = self.marks.slots();
        let mut books = shared.books();
        self.enter(&mut books, told, shared);
        if books.settled > self.reviewed_epochs {
            self.reviewed_epochs = books.settled;
            let review = self.reviewer.review(&books.ledger, books.settled, &mut |message| shared.say(message));
            books.forecast = review.forecast;
            shared.over_budget.store(review.over_budget, Ordering::Relaxed);
        }
        let is_awaited = books.waiting > 0;
        drop(books);
        if is_awaited {
            shared.changed.notify_all();
        }
        self.last_pass = start;
        self.passes += 1;
    }

    /// Enters the next `told` marks, then the energy that was read.
    fn enter(&mut self, books: &mut Books, told: usize, shared: &Shared) {
        let Books { channels, meters, ledger, settled, .. } = books;
        if let Ok(marks) = self.marks.read_chunk(told) {
            marks.into_iter().for_each(|mark| ledger.mark(mark));
        }
        for reading in &self.readings {
            let Some((meter, channel)) = meters.get_mut(reading.channel).zip(channels.get(reading.channel)) else {
                continue;
            };
            if let Some(event) = meter.push(reading.at, reading.value, |credit| ledger.credit(reading.channel, credit))
            {
                shared.say(tell(channel, event));
            }
            if meter.is_missing() {
                ledger.release(reading.channel);
            }
        }
        let answering = |channel: usize, meter: &Meter| (!meter.is_missing()).then(|| ledger.credited_to(channel));
        let last_mark = ledger.last_mark();
        for slot in &mut self.slots {
            let mut own = meters.iter().enumerate().skip(slot.first_channel).take(slot.source.channels().len());
            slot.wanted = own.any(|(channel, meter)| {
                meter.wants_second_look()
                    || answering(channel, meter).is_some_and(|known_to| Some(known_to) < last_mark)
            });
        }
        let known_to = meters.iter().enumerate().filter_map(|(channel, meter)| answering(channel, meter)).min();
        *settled = ledger.epochs_ended_by(known_to.unwrap_or(u64::MAX));
    }
}

/// How long a counter may go unread, ns, for no wrap to be missed.
fn wrap_guard_ns(channel: &Channel) -> u64 {
    match channel.quantity {
        Quantity::Counter { joules_per_unit, range: Some(range), max_watts } => {
            let seconds = range as f64 * joules_per_unit / max_watts / READS_A_WRAP;
            ((seconds * 1e9) as u64).max(SHARED_READING_NS)
        }
        _ => u64::MAX,
    }
}

fn tell(channel: &Channel, event: Event) -> String {
    let who = format!("{} {} ({})", channel.source, channel.device, channel.id);
    match event {
        Event::Lost(fault) => {
            format!(
                "{who} cannot be read any more: {fault}. Its energy is unknown from here on; the rest goes on, and it is tried again at every reading"
            )
        }
        Event::Back(seconds) => {
            format!("{who} can be read again after {seconds:.1} s; the energy it counted meanwhile is in")
        }
        Event::Reset => format!(
            "{who} was set back or jumped: the time around it is filled with the power before, and marked as not measured"
        ),
    }
}
