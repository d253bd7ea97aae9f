//! Sources on threads of their own. The start of a driver takes up to a second, a call takes milliseconds, and a faulty
//! driver may hang. The sampling thread asks for readings, continues, and collects them once they exist.

use super::{MIN_GAP_NS, Source, Unavailable};
use crate::clock::MonoNs;
use crate::measurement::channel::Channel;
use crate::measurement::reading::{Fault, Reading};
use crate::measurement::source_name::SourceName;
use crate::os::{self, Instant, JoinHandle, Promise, Thread};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

/// A source hangs if it does not answer within this time, ns.
const HANG_NS: u64 = 1_000_000_000;

/// The longest sleep of a reading thread. A request wakes it.
const PARK: Duration = Duration::from_secs(3600);

/// How long the start of a tracker waits for a source to open. A source that opens later joins the run later.
pub const OPEN_WAIT: Duration = Duration::from_millis(3);

/// Wakes the sampling thread.
#[derive(Clone, Default)]
pub struct Waker(Arc<OnceLock<Thread>>);

impl Waker {
    /// Makes this thread the one that is woken.
    pub fn wakes_this_thread(&self) {
        let _ = self.0.set(Thread::current());
    }

    /// Wakes the thread. Does nothing before that thread has called [`Waker::wakes_this_thread`].
    pub fn wake(&self) {
        if let Some(thread) = self.0.get() {
            thread.unpark();
        }
    }
}

/// A source, and why devices or the source itself do not take part.
pub type Opened = (Option<Box<dyn Source>>, Vec<Unavailable>);

/// A source that is being opened.
pub struct Opening {
    /// Whether the energy before the first reading is filled in later.
    pub fills_in: bool,
    /// The thread that opens the source and then reads it. It ends if no source was opened, or once the sampling thread
    /// has dropped the source.
    pub thread: JoinHandle,
    link: Arc<Link>,
}

/// What the opening thread and the sampling thread share.
struct Link {
    result: Promise<Opened>,
    pending: Mutex<Option<Unavailable>>,
    next: Mutex<Option<Opening>>,
}

/// The opening thread's side of an [`Opening`].
pub struct OpenAttempt(Arc<Link>);

impl OpenAttempt {
    /// Whether the [`Opening`] was closed.
    pub fn is_closed(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Sets what the report shows until the source is open. None: nothing.
    pub fn set_pending(&self, now: Option<Unavailable>) {
        *lock(&self.0.pending) = now;
    }

    /// Hands over the search for the devices that have not answered yet.
    pub fn continue_with(&self, next: Opening) {
        *lock(&self.0.next) = Some(next);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Opening {
    /// Opens a source on a new thread of the name `thread`, which then also reads it. The report shows `pending` until
    /// the source is open. Fails if the thread cannot be started.
    pub fn start(
        (source, pending): (SourceName, Option<Unavailable>),
        fills_in: bool,
        thread: &str,
        waker: Waker,
        open: impl FnOnce(&OpenAttempt) -> Opened + Send + 'static,
    ) -> std::io::Result<Opening> {
        let link = Arc::new(Link { result: Promise::default(), pending: Mutex::new(pending), next: Mutex::default() });
        let attempt = OpenAttempt(Arc::clone(&link));
        let began = Instant::now();
        let thread = os::spawn_quiet(thread, move || {
            let promise = &attempt.0.result;
            let opening = AssertUnwindSafe(|| {
                let (source, unavailable) = open(&attempt);
                let is_late = began.elapsed() > OPEN_WAIT;
                let reader = source.map(|source| Reader::new(source, is_late));
                let source = reader.as_ref().map(|reader| Box::new(reader.sampling_side()) as Box<dyn Source>);
                promise.keep((source, unavailable));
                reader
            });
            let reader = catch_unwind(opening).unwrap_or_else(|_| {
                let reason = "internal error while it was opened. Please report this bug".to_owned();
                promise.keep((None, vec![Unavailable { source, reason, cure: None }]));
                None
            });
            drop(attempt);
            waker.wake();
            // After a panic the request stays unanswered, as if the source hangs.
            let _ = catch_unwind(AssertUnwindSafe(|| reader.into_iter().for_each(|reader| reader.run(&waker))));
        })?;
        Ok(Opening { fills_in, thread, link })
    }

    /// Whether the source is open or has failed to open.
    pub fn is_open(&self) -> bool {
        self.link.result.is_kept()
    }

    /// Waits this long at most. Returns the result once, None before it exists.
    pub fn wait(&self, timeout: Duration) -> Option<Opened> {
        self.link.result.wait(timeout)
    }

    /// Gives the source up. Its thread ends at its next step.
    pub fn close(self) -> JoinHandle {
        drop(self.link);
        self.thread.thread().unpark();
        self.thread
    }

    /// What the report shows until the source is open.
    pub fn pending(&self) -> Option<Unavailable> {
        lock(&self.link.pending).clone()
    }

    /// Takes the search for the devices that have not answered yet, once the source is open.
    pub fn take_next(&self) -> Option<Opening> {
        lock(&self.link.next).take()
    }
}

/// What the reading thread and the sampling thread share.
#[derive(Default)]
struct Exchange {
    /// When the sampling thread asked for the readings that are still to come, ns. 0: none are to come.
    asked_at: AtomicU64,
    /// Whether that was at an epoch's begin or end.
    at_mark: AtomicBool,
    readings: Mutex<Vec<Reading>>,
    /// [`Source::max_gap_ns`] after the last reading.
    max_gap_ns: AtomicU64,
    has_news: AtomicBool,
    /// Whether the sampling thread has dropped the source.
    closed: AtomicBool,
}

impl Exchange {
    fn readings(&self) -> MutexGuard<'_, Vec<Reading>> {
        lock(&self.readings)
    }

    /// Publishes that readings have been appended.
    fn note(&self, source: &dyn Source) {
        self.max_gap_ns.store(source.max_gap_ns(), Ordering::Relaxed);
        self.has_news.store(true, Ordering::Release);
    }
}

/// The reading thread's side.
struct Reader {
    source: Box<dyn Source>,
    exchange: Arc<Exchange>,
}

impl Reader {
    /// Takes the first readings. If the source opened late, it takes exact ones, because the energy before them is
    /// computed from them.
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

    fn sampling_side(&self) -> Background {
        Background {
            channels: self.source.channels().to_vec(),
            min_gap_ns: self.source.min_gap_ns(),
            has_module: self.source.has_module(),
            checks_counters: self.source.checks_counters(),
            exchange: Arc::clone(&self.exchange),
            reader: Thread::current(),
            hangs: false,
        }
    }

    /// Answers requests until the sampling thread has dropped the source.
    fn run(mut self, waker: &Waker) {
        let mut readings = Vec::new();
        while !self.exchange.closed.load(Ordering::Acquire) {
            if self.exchange.asked_at.load(Ordering::Acquire) == 0 {
                os::park_timeout(PARK);
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

/// The sampling thread's side, as a source.
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
    /// Collects the readings that exist and asks for new ones. If the last request hangs, each channel gets a fault.
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

    /// A source of 5 W, whose reads take as many milliseconds as the number has.
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
    fn a_background_source_hands_over_late_readings_and_reports_a_hang() {
        let (waker, delay) = (Waker::default(), Arc::new(AtomicU64::new(0)));
        waker.wakes_this_thread();
        let channel = Channel {
            kind: DeviceKind::Gpu,
            device: "x".into(),
            id: "x".into(),
            source: SourceName::Nvml,
            method: MeasuringMethod::Power,
            quantity: Quantity::Power { max_watts: 1e5 },
            simulated: false,
            may_rest: false,
            has_memory: false,
            error: None,
            job_part: None,
            note: None,
        };
        let slow = Slow([channel], Arc::clone(&delay));
        let opening = Opening::start((SourceName::Nvml, None), true, "ct-test", waker, move |_| {
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
