//! A source on a thread of its own: opening a driver takes up to a second, its calls milliseconds, and a sick
//! one hangs. The sampler asks, goes on, and collects the readings when they are there.

use super::{MIN_GAP_NS, Source, Unavailable};
use crate::clock::MonoNs;
use crate::measurement::channel::Channel;
use crate::measurement::reading::{Fault, Reading};
use crate::os::{self, Promise};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

/// A source that has not answered for this long, ns, hangs.
const HANG_NS: u64 = 1_000_000_000;

/// Opened within this time a source takes part from the start: so long the making of a tracker waits for it.
pub const IN_TIME: Duration = Duration::from_millis(3);

/// Wakes the sampler, once it runs.
#[derive(Clone, Default)]
pub struct Waker(Arc<OnceLock<Thread>>);

impl Waker {
    /// From here on this thread is woken.
    pub fn wakes_this_thread(&self) {
        let _ = self.0.set(std::thread::current());
    }

    /// Wakes it.
    pub fn wake(&self) {
        if let Some(thread) = self.0.get() {
            thread.unpark();
        }
    }
}

/// A source, or why there is none.
pub type Opened = (Option<Box<dyn Source>>, Vec<Unavailable>);

/// A source being opened.
pub struct Opening {
    /// What its devices used until then is to be filled in.
    pub fills_in: bool,
    /// The thread that opens it and then reads it; it ends where there is nothing to read, or once the sampler's
    /// end of it is gone.
    pub thread: JoinHandle<()>,
    link: Arc<Link>,
}

/// What an opening's two ends share.
struct Link {
    result: Promise<Opened>,
    until_then: Mutex<Option<Unavailable>>,
    next: Mutex<Option<Opening>>,
}

/// The opening thread's end.
pub struct OpenAttempt(Arc<Link>);

impl OpenAttempt {
    /// Whether nobody waits any more.
    pub fn is_closed(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Changes what the report shows until it is open; None: nothing.
    pub fn until_then(&self, now: Option<Unavailable>) {
        *lock(&self.0.until_then) = now;
    }

    /// Hands over the search for devices that do not answer yet.
    pub fn goes_on_by(&self, next: Opening) {
        *lock(&self.0.next) = Some(next);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Opening {
    /// Opens a source on a thread of that name, which then reads it. `until_then` is shown in the report until it is open.
    pub fn start(
        (source, until_then): (&'static str, Option<Unavailable>),
        fills_in: bool,
        thread: &str,
        waker: Waker,
        open: impl FnOnce(&OpenAttempt) -> Opened + Send + 'static,
    ) -> std::io::Result<Opening> {
        let link =
            Arc::new(Link { result: Promise::default(), until_then: Mutex::new(until_then), next: Mutex::default() });
        let attempt = OpenAttempt(Arc::clone(&link));
        let began = Instant::now();
        let thread = os::spawn_quiet(thread, move || {
            let promise = &attempt.0.result;
            let opening = AssertUnwindSafe(|| {
                let (source, unavailable) = open(&attempt);
                let is_late = began.elapsed() > IN_TIME;
                let reader = source.map(|source| Reader::new(source, is_late));
                let source = reader.as_ref().map(|reader| Box::new(reader.other_end()) as Box<dyn Source>);
                promise.keep((source, unavailable));
                reader
            });
            let reader = catch_unwind(opening).unwrap_or_else(|_| {
                let reason = "opening it met an internal fault; please report it".to_owned();
                promise.keep((None, vec![Unavailable { source, reason, cure: None }]));
                None
            });
            drop(attempt);
            waker.wake();
            // A panic leaves the request unanswered: the sampler takes it for a source that hangs.
            let _ = catch_unwind(AssertUnwindSafe(|| reader.into_iter().for_each(|reader| reader.run(&waker))));
        })?;
        Ok(Opening { fills_in, thread, link })
    }

    /// Whether it has opened, or failed to.
    pub fn is_open(&self) -> bool {
        self.link.result.is_kept()
    }

    /// What was opened, if that is so within this time.
    pub fn wait(&self, timeout: Duration) -> Option<Opened> {
        self.link.result.wait(timeout)
    }

    /// Waits for it no longer. Its thread, which may be about to ask again, ends.
    pub fn close(self) -> JoinHandle<()> {
        drop(self.link);
        self.thread.thread().unpark();
        self.thread
    }

    /// What the report shows until it is open.
    pub fn until_then(&self) -> Option<Unavailable> {
        lock(&self.link.until_then).clone()
    }

    /// Takes the search for devices that did not answer yet, once it is open.
    pub fn next(&self) -> Option<Opening> {
        lock(&self.link.next).take()
    }
}

/// What both ends share.
#[derive(Default)]
struct Exchange {
    /// When the sampler asked, ns, and the reader has yet to answer; 0: it has.
    asked_at: AtomicU64,
    /// It asked because of a mark.
    at_mark: AtomicBool,
    readings: Mutex<Vec<Reading>>,
    /// The source's longest gap between readings, ns, as its last reading left it.
    max_gap_ns: AtomicU64,
    has_news: AtomicBool,
    /// The sampler has gone.
    closed: AtomicBool,
}

impl Exchange {
    fn readings(&self) -> MutexGuard<'_, Vec<Reading>> {
        lock(&self.readings)
    }

    /// The reader has read.
    fn note(&self, source: &dyn Source) {
        self.max_gap_ns.store(source.max_gap_ns(), Ordering::Relaxed);
        self.has_news.store(true, Ordering::Release);
    }
}

/// The end that reads.
struct Reader {
    source: Box<dyn Source>,
    exchange: Arc<Exchange>,
}

impl Reader {
    /// Takes the source's first readings: at once, or where that is too late anyway exactly, since what was used
    /// before is filled in by them.
    fn new(mut source: Box<dyn Source>, is_late: bool) -> Reader {
        let exchange = Arc::<Exchange>::default();
        if is_late {
            source.read_at_mark(&os::monotonic_ns, &mut exchange.readings());
        } else {
            source.read(&os::monotonic_ns, &mut exchange.readings());
        }
        exchange.note(&*source);
        Reader { source, exchange }
    }

    fn other_end(&self) -> Background {
        Background {
            channels: self.source.channels().to_vec(),
            min_gap_ns: self.source.min_gap_ns(),
            has_module: self.source.has_module(),
            checks_counters: self.source.checks_counters(),
            exchange: Arc::clone(&self.exchange),
            reader: std::thread::current(),
            hangs: false,
        }
    }

    /// Answers until the sampler has gone.
    fn run(mut self, waker: &Waker) {
        let mut readings = Vec::new();
        while !self.exchange.closed.load(Ordering::Acquire) {
            if self.exchange.asked_at.load(Ordering::Acquire) == 0 {
                std::thread::park();
                continue;
            }
            if self.exchange.at_mark.load(Ordering::Relaxed) {
                self.source.read_at_mark(&os::monotonic_ns, &mut readings);
            } else {
                self.source.read(&os::monotonic_ns, &mut readings);
            }
            self.exchange.readings().append(&mut readings);
            self.exchange.note(&*self.source);
            self.exchange.asked_at.store(0, Ordering::Release);
            waker.wake();
        }
    }
}

/// The sampler's end.
struct Background {
    channels: Vec<Channel>,
    min_gap_ns: u64,
    has_module: bool,
    checks_counters: bool,
    exchange: Arc<Exchange>,
    reader: Thread,
    hangs: bool,
}

impl Source for Background {
    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn min_gap_ns(&self) -> u64 {
        match self.exchange.asked_at.load(Ordering::Relaxed) {
            0 => self.min_gap_ns,
            _ if self.hangs => MIN_GAP_NS,
            _ => HANG_NS,
        }
    }

    fn max_gap_ns(&self) -> u64 {
        self.exchange.max_gap_ns.load(Ordering::Relaxed)
    }

    fn has_module(&self) -> bool {
        self.has_module
    }

    fn checks_counters(&self) -> bool {
        self.checks_counters
    }

    fn has_news(&self) -> bool {
        self.exchange.has_news.load(Ordering::Acquire)
    }

    fn read(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
        self.ask(false, clock(), readings);
    }

    fn read_at_mark(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
        self.ask(true, clock(), readings);
    }

    fn collect(&mut self, readings: &mut Vec<Reading>) {
        if self.exchange.has_news.swap(false, Ordering::AcqRel) {
            readings.append(&mut self.exchange.readings());
        }
    }
}

impl Background {
    /// Collects what is there and asks for more.
    fn ask(&mut self, at_mark: bool, now: MonoNs, readings: &mut Vec<Reading>) {
        self.collect(readings);
        let asked_at = self.exchange.asked_at.load(Ordering::Acquire);
        self.hangs = asked_at != 0 && now >= MonoNs(asked_at) + HANG_NS;
        if asked_at == 0 {
            self.exchange.at_mark.store(at_mark, Ordering::Relaxed);
            self.exchange.asked_at.store(now.0, Ordering::Release);
            self.reader.unpark();
        } else if self.hangs {
            let silent = |channel| Reading { channel, at: now, value: Err(Fault::Silent) };
            readings.extend((0..self.channels.len()).map(silent));
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.exchange.closed.store(true, Ordering::Release);
        self.reader.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::channel::{DeviceKind, MeasuringMethod, Quantity};
    use crate::measurement::reading::Value;

    /// Answers 5, after as long as it is told.
    struct Slow([Channel; 1], Arc<AtomicU64>);

    impl Source for Slow {
        fn channels(&self) -> &[Channel] {
            &self.0
        }

        fn read(&mut self, clock: &dyn Fn() -> MonoNs, readings: &mut Vec<Reading>) {
            std::thread::sleep(Duration::from_millis(self.1.load(Ordering::Relaxed)));
            readings.push(Reading { channel: 0, at: clock(), value: Ok(Value::Watts(5.0)) });
        }
    }

    #[test]
    fn readings_come_when_they_are_there_and_a_hang_is_said() {
        let (waker, delay) = (Waker::default(), Arc::new(AtomicU64::new(0)));
        waker.wakes_this_thread();
        let channel = Channel {
            kind: DeviceKind::Gpu,
            device: "x".into(),
            id: "x".into(),
            source: "test",
            method: MeasuringMethod::Power,
            quantity: Quantity::Power { max_watts: 1e5 },
            simulated: false,
            may_rest: false,
            has_memory: false,
            error: None,
            note: None,
        };
        let slow = Slow([channel], Arc::clone(&delay));
        let opening = Opening::start(("test", None), true, "ct-test", waker, move |_| {
            (Some(Box::new(slow) as Box<dyn Source>), Vec::new())
        });
        let (source, _) = opening.unwrap().wait(Duration::from_secs(5)).unwrap();
        let mut source = source.unwrap();
        let mut readings = Vec::new();
        assert!(source.has_news());
        source.read(&os::monotonic_ns, &mut readings);
        assert_eq!(readings.len(), 1, "the first");
        while !source.has_news() {
            std::thread::park_timeout(Duration::from_secs(5));
        }
        delay.store(200, Ordering::Relaxed);
        source.read(&os::monotonic_ns, &mut readings);
        assert_eq!((readings.len(), source.has_news()), (2, false));
        let later = os::monotonic_ns() + 2 * HANG_NS;
        source.read(&|| later, &mut readings);
        assert_eq!((readings[2].value, source.min_gap_ns()), (Err(Fault::Silent), MIN_GAP_NS));
        while !source.has_news() {
            std::thread::park_timeout(Duration::from_secs(5));
        }
        source.collect(&mut readings);
        assert_eq!((readings.len(), readings[3].value), (4, Ok(Value::Watts(5.0))));
    }
}
