//! A tracker: what the host holds. Its calls stamp the clock and check their order; the sampler does the rest.

use crate::advisor::Advisor;
use crate::books::Books;
use crate::claim::Claimant;
use crate::environment;
use crate::error::{Error, Result, Status};
use crate::feed::Feeds;
use crate::host::{self, ForkMark};
use crate::intensity::choice::{self, Choice};
use crate::job::{self, Job};
use crate::ledger::Mark;
use crate::log::Log;
use crate::log::start::Start;
use crate::log::writer::Plan;
use crate::memory;
use crate::options::Options;
use crate::progress::Packed;
use crate::report::{self, Detail, Now, Open, Report, Setting};
use crate::sampler::Sampler;
use crate::shared::Shared;
use crate::slip::Slip;
use crate::source::Sources;
use crate::tally::{Count, Tally};
use crate::what_if::Elsewhere;
use rtrb::{Producer, RingBuffer};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{JoinHandle, Thread};
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
    marker: Mutex<Marker>,
    shared: Arc<Shared>,
    sampler: Thread,
    /// None once it is being waited for.
    running: Option<JoinHandle<()>>,
    feeds: Option<Feeds>,
    log: Option<Log>,
    setting: Arc<Setting>,
    is_open: AtomicBool,
    fork_mark: ForkMark,
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
    pub fn start(mut options: Options) -> Result<Tracker> {
        memory::check(ENOUGH, "a tracker")?;
        let variable = |name: &str| host::variable(name)?.into_string().ok();
        let choice = choice::choose(&options, variable)?;
        let elsewhere = Elsewhere::find(&options.what_if)?;
        let found = Sources::discover(&options);
        let (producer, consumer) = RingBuffer::new(RING);
        let messages = opening_messages(&choice, &found);
        let Choice { grid, marginal, feeds } = choice;
        let shared = Arc::new(Shared::new(Books { marginal, ..Books::new(grid, options.pue) }));
        environment::unknown().into_iter().for_each(|message| shared.remark(message));
        messages.into_iter().for_each(|message| shared.say(message));
        let host = host::hostname();
        let start = Start::find(&options, &host, job::rank(&host::variable), &mut |message| {
            shared.say(options.as_called(message))
        });
        options.epochs = start.planned;
        let before = start.past.epochs_done();
        let tally = start.plan.as_ref().and_then(|plan| plan.tally.clone());
        let mut advisor = Advisor::new(&options);
        if !start.past.is_empty() {
            let (mut books, now) = (shared.books(), host::monotonic_ns());
            books.resume(start.past, now);
            let review = advisor.review(&books.run(now));
            review.messages.into_iter().for_each(|message| shared.say(message));
            shared.set_over_budget(review.over_budget);
            books.forecast = review.forecast;
        }
        let job = Job::find(options.job.as_deref(), &host::variable, host::kin());
        let claimant = Claimant::new(job, &options.sysroot);
        let sampler = Sampler::new(found, consumer, advisor, claimant, &options, &shared);
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
        let sampled = Arc::clone(&shared);
        let running = host::spawn_quiet("ct-sampler", move || sampler.run(&sampled)).map_err(|error| {
            Error::new(Status::CT_EIO, format!("the sampler thread could not be started: {error}; is a limit on threads or memory set (ulimit -u, -v)?"))
        })?;
        let monitor_epochs = options.monitor_epochs.unwrap_or(u64::MAX);
        Ok(Tracker {
            marker: Mutex::new(Marker {
                marks: producer,
                open: None,
                backlog: None,
                ended: before,
                monitor_epochs,
                record: tally.map(|tally| Record { tally, before, first_begin: None, inside: 0 }),
            }),
            shared: Arc::clone(&shared),
            sampler: running.thread().clone(),
            running: Some(running),
            feeds: Some(Feeds::start(feeds, &shared)),
            log: start.plan.and_then(|plan| log(plan, &setting, &shared)),
            setting,
            is_open: AtomicBool::new(false),
            fork_mark: ForkMark::here(),
        })
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

    /// Ends the sampler and waits for it, a moment.
    pub fn destroy(mut self) {
        self.shared.stop(&self.sampler);
        let feeds = self.feeds.take();
        feeds.iter().for_each(Feeds::stop);
        if let Some(running) = self.running.take() {
            host::join_within(running, JOIN_TIMEOUT);
        }
        feeds.into_iter().for_each(|feeds| feeds.end_within(FEEDS_TIMEOUT));
        self.log.take().into_iter().for_each(|log| log.end_within(LOG_TIMEOUT));
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
            std::thread::sleep(Duration::from_millis(1));
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
        self.shared.stop(&self.sampler);
        self.feeds.iter().for_each(Feeds::stop);
        self.log.iter().for_each(Log::stop);
    }
}

/// The thread that writes the run's files. Where none can be started, that is said and the run goes on.
fn log(plan: Plan, setting: &Arc<Setting>, shared: &Arc<Shared>) -> Option<Log> {
    let log = Log::start(plan, setting, shared);
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

/// What the user should hear at once: what is not measured and what would help, what is assumed.
fn opening_messages(choice: &Choice, found: &Sources) -> Vec<String> {
    let mut messages: Vec<String> = choice.caveats().collect();
    if found.sources.is_empty() && found.openings.is_empty() {
        messages.push("no source of energy was found: times are measured, energies are unknown".into());
    }
    messages
}
