//! A tracker: what the host holds. Its calls stamp the clock and check their order; the sampler does the rest.

use crate::advisor::Advisor;
use crate::books::Books;
use crate::claim::{Claimant, Teller};
use crate::environment;
use crate::error::{Error, Result, Status};
use crate::feed::Feeds;
use crate::host::exit::{self, AtExit};
use crate::host::{self, ForkMark, OwnTable, lock_within};
use crate::intensity::choice::{self, Choice, Feed};
use crate::job::{self, Job};
use crate::ledger::Mark;
use crate::log::Log;
use crate::log::start::Start;
use crate::log::writer::Plan;
use crate::memory;
use crate::options::Options;
use crate::past::Past;
use crate::progress::Packed;
use crate::report::{self, Detail, Now, Open, Report, Setting};
use crate::sampler::Sampler;
use crate::shared::Shared;
use crate::slip::Slip;
use crate::source::{self, Discovery, Intake, Opening, Waker};
use crate::tally::{Count, Tally};
use crate::what_if::Elsewhere;
use crate::worker::{self, Worker};
use rtrb::{Producer, RingBuffer};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Marks that fit between two readings before epochs are taken together.
const RING: usize = 1 << 13;
/// How long a report waits for the reading that closes the last epoch.
const REPORT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long one inside the first epoch waits for the first forecast.
const FORECAST_TIMEOUT: Duration = Duration::from_millis(300);
/// How long an ending tracker waits for its sampler.
const JOIN_TIMEOUT: Duration = Duration::from_millis(200);

/// How long for the last lines of its files: a disk may be slow, and no device hangs there.
const LOG_TIMEOUT: Duration = Duration::from_secs(2);

/// How long for what feeds the grid's figures: who waits for an answer is left to himself.
const FEEDS_TIMEOUT: Duration = Duration::from_millis(20);

/// What a tracker takes, bytes, with room for its threads.
const ENOUGH: usize = 4 << 20;

/// A run being tracked.
pub struct Tracker {
    marker: Arc<Mutex<Marker>>,
    shared: Arc<Shared>,
    /// The sampler's thread, to be woken.
    sampler: Thread,
    threads: Arc<Threads>,
    setting: Arc<Setting>,
    is_open: AtomicBool,
    fork_mark: ForkMark,
    /// The table of descriptors that the threads use.
    _table: Arc<OwnTable>,
}

/// The threads of a run, and what they share with the application's.
struct Threads {
    marker: Arc<Mutex<Marker>>,
    shared: Arc<Shared>,
    sampler: Worker,
    feeds: Feeds,
    log: Option<Log>,
}

impl AtExit for Threads {
    fn stop(&self) {
        self.shared.stop(self.sampler.thread());
        self.feeds.stop();
        self.log.iter().for_each(Log::stop);
    }

    fn settle(&self, patience: Duration) {
        self.sampler.thread().unpark();
        let ended = lock_within(&self.marker, patience).map_or(0, |marker| marker.ended);
        drop(self.shared.settled_books(ended, patience));
    }
}

/// The host's side of the marks; the sampler never takes this lock.
struct Marker {
    marks: Producer<Mark>,
    open: Option<Begun>,
    /// Epochs that found the ring full, to be told as one.
    backlog: Option<Backlog>,
    ended: u64,
    monitor_epochs: u64,
    /// What has ended, for whoever takes the run up after a kill.
    record: Option<Record>,
}

/// What this process has ended of the run, kept where a kill leaves it.
struct Record {
    tally: Arc<Tally>,
    /// Epochs of earlier processes.
    before: u64,
    first_begin: Option<u64>,
    inside: u64,
}

impl Record {
    fn end(&mut self, begin: u64, end: u64, ended: u64) {
        let first_begin = *self.first_begin.get_or_insert(begin);
        self.inside += end.saturating_sub(begin);
        let (epochs, span) = (ended - self.before, end.saturating_sub(first_begin));
        self.tally.note(Count { epochs, inside: self.inside, span });
    }
}

#[derive(Clone, Copy)]
struct Begun {
    begin: u64,
    /// Its begin is in the ring, and so is room for its end.
    queued: bool,
}

#[derive(Clone, Copy)]
struct Backlog {
    begin: u64,
    end: u64,
    inside: u64,
    count: u64,
}

impl Tracker {
    /// Makes a tracker from options and environment and starts its sampler; None if disabled.
    pub fn create(options: &str) -> Result<Option<Tracker>> {
        if environment::is_disabled(host::variable) {
            return Ok(None);
        }
        Tracker::start(Options::parse(options, host::variable)?).map(Some)
    }

    /// The same from options that are checked already.
    ///
    /// Everything that opens a file runs on a thread that has a table of descriptors of its own; the caller waits for it. The
    /// environment is read on that thread meanwhile.
    pub fn start(options: Options) -> Result<Tracker> {
        memory::check(ENOUGH, "a tracker")?;
        let waker = Waker::default();
        let nvml = source::start_nvml(&options, waker.clone());
        let table = OwnTable::shared().map_err(|error| no_thread(&error))?;
        let kept = Arc::clone(&table);
        let started = table.run("ct-start", move || assemble(options, nvml, waker, kept));
        started.map_err(|error| no_thread(&error))?.ok_or_else(|| {
            Error::new(Status::CT_EPANIC, "ct_create: internal error, nothing was started. Please report this bug")
        })?
    }

    /// Whether this process is a fork of the one that made it.
    pub fn is_forked(&self) -> bool {
        self.fork_mark.is_forked()
    }

    /// Begins an epoch.
    pub fn begin(&self) -> Result<Status> {
        let mut marker = self.marker();
        if let Some(open) = marker.open {
            let open_ns = host::monotonic_ns().saturating_sub(open.begin);
            self.shared.slip(Slip::Begin, Some(open_ns as f64 * 1e-9));
            return Err(Error::new(
                Status::CT_ESTATE,
                "ct_epoch_begin: an epoch is open already; end or cancel it first",
            ));
        }
        let begin = host::monotonic_ns();
        let queued = marker.ended < marker.monitor_epochs && marker.begin(begin);
        marker.open = Some(Begun { begin, queued });
        self.shared.set_progress(Packed::NONE);
        self.is_open.store(true, Ordering::Relaxed);
        drop(marker);
        self.wake();
        Ok(Status::CT_OK)
    }

    /// Ends the open epoch.
    pub fn end(&self) -> Result<Status> {
        let mut marker = self.marker();
        let open = marker.take_open("ct_epoch_end").inspect_err(|_| self.shared.slip(Slip::End, None))?;
        marker.end(open, host::monotonic_ns());
        self.is_open.store(false, Ordering::Relaxed);
        drop(marker);
        self.wake();
        Ok(if self.shared.is_over_budget() { Status::CT_OVER_BUDGET } else { Status::CT_OK })
    }

    /// Drops the open epoch.
    pub fn cancel(&self) -> Result<Status> {
        let mut marker = self.marker();
        let open = marker.take_open("ct_epoch_cancel").inspect_err(|_| self.shared.slip(Slip::Cancel, None))?;
        if open.queued {
            marker.push(Mark::Cancel(host::monotonic_ns()));
        }
        self.is_open.store(false, Ordering::Relaxed);
        drop(marker);
        self.wake();
        Ok(Status::CT_OK)
    }

    /// Notes how far the open epoch is.
    pub fn progress(&self, done: u64, total: u64) -> Result<Status> {
        if total == 0 || done > total {
            self.shared.slip(Slip::Share, None);
            return Err(Error::invalid(format!(
                "ct_progress: {done} of {total}: expected done <= total and total > 0"
            )));
        }
        if !self.is_open.load(Ordering::Relaxed) {
            self.shared.slip(Slip::Progress, None);
            return Err(Error::new(Status::CT_ESTATE, "ct_progress: no epoch is open; call ct_epoch_begin first"));
        }
        self.shared.set_progress(Packed::new(done, total, host::monotonic_ns()));
        Ok(Status::CT_OK)
    }

    /// One number of the report.
    pub fn value(&self, pointer: &str) -> Result<f64> {
        let detail = Detail::of(pointer);
        let is_of_forecast = ["/forecast", "/what_if", "/extras"].iter().any(|section| pointer.starts_with(section));
        self.check_memory(detail, false)?;
        self.snapshot(detail, is_of_forecast).value(pointer)
    }

    /// The report in a format.
    pub fn report(&self, format: &str) -> Result<String> {
        self.check_memory(Detail::Epochs, ["json", "html"].contains(&format))?;
        self.snapshot(Detail::Epochs, true).render(format)
    }

    /// Hands the oldest message to `take`; it stays queued if that fails.
    pub fn take_message(&self, take: impl FnOnce(&str) -> Result<Status>) -> Result<Status> {
        let mut messages = self.shared.messages();
        let oldest = messages.front().ok_or_else(|| Error::new(Status::CT_ENOENT, "no message is queued"))?;
        let status = take(oldest)?;
        messages.pop_front();
        Ok(status)
    }

    /// Ends the sampler and waits for it, a moment. Returns which of the run's files are not written, if any.
    pub fn destroy(self) -> Option<String> {
        let threads = &self.threads;
        threads.stop();
        threads.sampler.end_within(JOIN_TIMEOUT);
        threads.feeds.end_within(FEEDS_TIMEOUT);
        threads.log.as_ref().and_then(|log| log.end_within(LOG_TIMEOUT))
    }

    /// Fails with CT_EIO where too little memory is left for a report.
    fn check_memory(&self, detail: Detail, is_json: bool) -> Result<()> {
        let bytes = report::bytes(&self.setting, &self.shared.books(), detail, is_json);
        self.shared.check_memory(bytes)
    }

    fn snapshot(&self, detail: Detail, with_forecast: bool) -> Report {
        let deadline = Instant::now() + REPORT_TIMEOUT;
        let ended = self.flush_backlog(deadline);
        let is_open = self.is_open.load(Ordering::Relaxed);
        if is_open && with_forecast && self.setting.planned > 0 {
            self.shared.await_first_forecast(&self.sampler, FORECAST_TIMEOUT);
        }
        let (books, whole) = self.shared.settled_books(ended, deadline.saturating_duration_since(Instant::now()));
        let open = is_open.then(|| Open { share: self.shared.marked_share() });
        Report::new(&self.setting, &books, Now { at: host::monotonic_ns(), whole, open }, detail)
            .noting(|open_s| self.shared.notes(open_s))
    }

    /// Waits until the ring takes the backlog; returns how many epochs are in the ring or have been taken from it.
    fn flush_backlog(&self, deadline: Instant) -> u64 {
        loop {
            let mut marker = self.marker();
            marker.flush();
            let left = marker.backlog.map_or(0, |backlog| backlog.count);
            let queued = marker.ended - left;
            drop(marker);
            self.wake();
            if left == 0 || Instant::now() >= deadline {
                return queued;
            }
            host::pause(Duration::from_millis(1));
        }
    }

    fn wake(&self) {
        self.sampler.unpark();
    }

    fn marker(&self) -> MutexGuard<'_, Marker> {
        self.marker.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A tracker let go ends its sampler without waiting for it.
impl Drop for Tracker {
    fn drop(&mut self) {
        self.threads.stop();
    }
}

/// Puts a tracker together: what the options ask for, what an earlier process left, the sources, the threads.
fn assemble(
    mut options: Options,
    nvml: Option<io::Result<Opening>>,
    waker: Waker,
    table: Arc<OwnTable>,
) -> Result<Tracker> {
    let discovery = Discovery::start(&options, waker.clone());
    let variable = |name: &str| host::variable(name)?.into_string().ok();
    let choice = choice::choose(&options, variable)?;
    let caveats: Vec<String> = choice.caveats().collect();
    let Choice { grid, marginal, feeds } = choice;
    let elsewhere = Elsewhere::find(&options.what_if)?;
    let (producer, consumer) = RingBuffer::new(RING);
    let shared = Arc::new(Shared::new(Books { marginal, ..Books::new(grid, options.pue) }));
    environment::unknown().into_iter().for_each(|message| shared.remark(message));
    caveats.into_iter().for_each(|caveat| shared.say(caveat));
    let host = host::hostname();
    let say = &mut |message| shared.say(options.as_called(message));
    let start = Start::find(&options, &host, job::rank(&host::variable), say);
    options.epochs = start.planned;
    let before = start.past.epochs_done();
    let tally = start.plan.as_ref().and_then(|plan| plan.tally.clone());
    let advisor = advisor(&options, start.past, &shared);
    let job = Job::find(options.job.as_deref(), &host::variable, host::kin());
    let claimant = Claimant::new(job, &options.sysroot);
    let intake = Intake::new(discovery, nvml);
    let sampler = Sampler::new(intake, waker, consumer, advisor, claimant, &options, &shared);
    let setting = Arc::new(Setting {
        id: start.id,
        name: start.name,
        host,
        started: start.started,
        interval_s: options.interval.as_secs_f64(),
        planned: options.epochs,
        level: options.level,
        monitored: options.monitor_epochs,
        elsewhere,
        rates: options.rates,
    });
    let marker = Arc::new(Mutex::new(Marker {
        marks: producer,
        open: None,
        backlog: None,
        ended: before,
        monitor_epochs: options.monitor_epochs.unwrap_or(u64::MAX),
        record: tally.map(|tally| Record { tally, before, first_begin: None, inside: 0 }),
    }));
    let threads = Threads::start(sampler, feeds, start.plan, Arc::clone(&marker), &setting, &shared);
    let threads = Arc::new(threads?);
    exit::register(&threads);
    Ok(Tracker {
        marker,
        shared,
        sampler: threads.sampler.thread().clone(),
        threads,
        setting,
        is_open: AtomicBool::new(false),
        fork_mark: ForkMark::here(),
        _table: table,
    })
}

/// The advisor, which has reviewed what earlier processes of the run have left.
fn advisor(options: &Options, past: Past, shared: &Shared) -> Advisor {
    let mut advisor = Advisor::new(options);
    if !past.is_empty() {
        let (mut books, now) = (shared.books(), host::monotonic_ns());
        books.resume(past, now);
        let review = advisor.review(&books.run(now));
        review.messages.into_iter().for_each(|message| shared.say(message));
        shared.set_over_budget(review.over_budget);
        books.forecast = review.forecast;
    }
    advisor
}

impl Threads {
    fn start(
        sampler: Sampler,
        feeds: Vec<Feed>,
        plan: Option<Plan>,
        marker: Arc<Mutex<Marker>>,
        setting: &Arc<Setting>,
        shared: &Arc<Shared>,
    ) -> Result<Threads> {
        let teller = sampler.teller();
        let sampled = Arc::clone(shared);
        // It reports a fault of its own.
        let sampler = Worker::start("ct-sampler", worker::AtExit::Awaited, move |_| sampler.run(&sampled), || ())
            .map_err(|error| no_thread(&error))?;
        let log = plan.and_then(|plan| log(plan, setting, shared, teller));
        let feeds = Feeds::start(feeds, shared);
        Ok(Threads { marker, shared: Arc::clone(shared), sampler, feeds, log })
    }
}

fn no_thread(error: &io::Error) -> Error {
    let words = format!("no thread could be started: {error}; is a limit on threads or memory set (ulimit -u, -v)?");
    Error::new(Status::CT_EIO, words)
}

/// The thread that writes the run's files. Where none can be started, that is said and the run goes on.
fn log(plan: Plan, setting: &Arc<Setting>, shared: &Arc<Shared>, teller: Teller) -> Option<Log> {
    let log = Log::start(plan, setting, shared, teller);
    log.inspect_err(|error| shared.say(format!("no thread for the run's files ({error}): none are written"))).ok()
}

impl Marker {
    fn take_open(&mut self, call: &str) -> Result<Begun> {
        self.open.take().ok_or_else(|| {
            Error::new(Status::CT_ESTATE, format!("{call}: no epoch is open; call ct_epoch_begin first"))
        })
    }

    /// Queues a begin if there is room for it and its end; false where the epoch waits until it has ended.
    fn begin(&mut self, begin: u64) -> bool {
        self.flush();
        let queued = self.has_room();
        if queued {
            self.push(Mark::Begin(begin));
        }
        queued
    }

    fn end(&mut self, open: Begun, end: u64) {
        self.flush();
        if self.ended >= self.monitor_epochs {
            return;
        }
        self.ended += 1;
        if let Some(record) = &mut self.record {
            record.end(open.begin, end, self.ended);
        }
        if !open.queued && self.has_room() {
            self.push(Mark::Begin(open.begin));
            self.push(Mark::End(end));
        } else if open.queued {
            self.push(Mark::End(end));
        } else {
            let backlog = self.backlog.get_or_insert(Backlog { begin: open.begin, end, inside: 0, count: 0 });
            backlog.end = end;
            backlog.inside += end - open.begin;
            backlog.count += 1;
        }
    }

    /// Whether an epoch fits the ring, and none waits before it.
    fn has_room(&self) -> bool {
        self.backlog.is_none() && self.marks.slots() >= 2
    }

    /// Queues the backlog once there is room.
    fn flush(&mut self) {
        if let Some(Backlog { begin, end, inside, count }) = self.backlog
            && self.push(Mark::Batch { begin, end, inside, count })
        {
            self.backlog = None;
        }
    }

    fn push(&mut self, mark: Mark) -> bool {
        self.marks.push(mark).is_ok()
    }
}
