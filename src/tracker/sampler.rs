//! The one background thread: it wakes for marks and at intervals, reads every source, and enters marks
//! and energy into the books. It reads devices under no lock, and never calls back into the host.

mod stand_in;

use crate::attribution::ledger::Mark;
use crate::coordination::device_lease::{EpochState, LeaseManager, LeasePoll, Teller};
use crate::forecast::first_epoch::{PackedMark, ProgressPoint};
use crate::measurement::channel::{Channel, Quantity};
use crate::measurement::reading::Reading;
use crate::measurement::source::{Arrived, Intake, MIN_GAP_NS, Source, Unavailable, Waker};
use crate::options::Options;
use crate::os::{self, exit};
use crate::state::alerts::Alerts;
use crate::state::shared::SharedState;
use crate::state::{FAULT, RunState};
use rtrb::Consumer;
use rtrb::chunks::ReadChunk;
use std::ops::Range;
use std::time::Duration;

/// Counters are read at least this often in the time they take to go round at full power.
const READS_A_WRAP: f64 = 4.0;
/// The first epoch's progress is looked at again after this part of the time it has taken.
const LOOK_AFTER: u64 = 32;
/// For so long after a tracker is made, ns, no epoch is settled while a source has yet to open.
const PATIENCE_NS: u64 = 5_000_000_000;

/// How often to read a power that is integrated in a counter's place, ns.
const POWER_GAP_NS: u64 = 100_000_000;
/// How often to look who counts what, at least, ns.
const CLAIMS_NS: u64 = 1_000_000_000;
/// How often to look whether the application has a thread left, ns.
const APPLICATION_NS: u64 = 1_000_000_000;
/// What the application did to descriptors that it does not own.
const CLOSED: &str = "the application closed file descriptors of this library. Their files were opened again by path, and nothing of the application's was touched. Close only descriptors that the application opened";

/// A source, where its channels stand in the books, and when it was read.
struct SourceSlot {
    source: Box<dyn Source>,
    first_channel: usize,
    /// When it was read last; None: it is to be read now.
    last_read: Option<u64>,
    /// A mark or a doubt waits for its next reading.
    wanted: bool,
    /// The power beside a counter that stands still is integrated: it is read often.
    is_by_power: bool,
    /// It counts here, or nobody counts it; what another process of the job counts is read at intervals only.
    is_ours: bool,
}

/// The sampler's own state; only its thread touches it once it runs.
pub struct Sampler {
    slots: Vec<SourceSlot>,
    claimant: LeaseManager,
    /// The last end of an epoch in the books, ns.
    last_end: Option<u64>,
    /// Since when, ns, each claim's devices have been read.
    read_since: Vec<Option<u64>>,
    marks: Consumer<Mark>,
    advisor: Alerts,
    intake: Intake,
    waker: Waker,
    /// Descriptors that the application had closed by the time this was last looked at.
    lost_descriptors: u64,
    has_lost_descriptors: bool,
    looked_for_application: u64,
    started: u64,
    interval_ns: u64,
    monitor_epochs: Option<u64>,
    last_pass: u64,
    passes: u64,
    readings: Vec<Reading>,
    /// The progress entered last.
    progress: PackedMark,
    /// When the first epoch's progress is to be looked at again, ns; past all time outside of it.
    next_look: u64,
}

impl Sampler {
    /// Opens an account for every channel and takes each counter's first reading. Sources are waited for a moment.
    pub fn new(
        intake: Intake,
        waker: Waker,
        marks: Consumer<Mark>,
        advisor: Alerts,
        claimant: LeaseManager,
        options: &Options,
        shared: &SharedState,
    ) -> Sampler {
        let mut sampler = Sampler {
            slots: Vec::new(),
            claimant,
            last_end: None,
            read_since: Vec::new(),
            marks,
            advisor,
            intake,
            waker,
            lost_descriptors: os::lost_descriptors(),
            has_lost_descriptors: false,
            looked_for_application: os::monotonic_ns(),
            started: os::monotonic_ns(),
            interval_ns: options.interval.as_nanos() as u64,
            monitor_epochs: options.monitor_epochs,
            last_pass: 0,
            passes: 0,
            readings: Vec::new(),
            progress: PackedMark::NONE,
            next_look: u64::MAX,
        };
        sampler.admit(true, shared);
        sampler.pass(shared);
        sampler
    }

    /// Takes a source in; `late_since`, ns, if it should have been read from then on.
    fn add(&mut self, source: Box<dyn Source>, late_since: Option<u64>, shared: &SharedState) {
        let mut books = shared.state();
        let first_channel = books.metering.channels.len();
        for channel in source.channels() {
            let claim = self.claimant.claim(channel, |message| shared.remark(message));
            if let Some((device, what)) = claim.and_then(|claim| self.claimant.named(claim)) {
                books.claim(claim, device, what);
            }
            books.add(channel, claim, late_since);
            self.interval_ns = self.interval_ns.min(wrap_guard_ns(channel));
        }
        let slot =
            SourceSlot { source, first_channel, last_read: None, wanted: false, is_by_power: false, is_ours: true };
        self.slots.push(slot);
    }

    /// Hears what the run's journal covers.
    pub fn teller(&self) -> Teller {
        self.claimant.teller()
    }

    /// Where the application notes that an epoch begins or ends.
    pub fn state(&self) -> Option<EpochState> {
        self.claimant.state()
    }

    /// Takes in the sources that are there by now; the `first` time it waits for them.
    fn admit(&mut self, first: bool, shared: &SharedState) {
        let Arrived { sources, stand_ins, unavailable, messages } = self.intake.take(first);
        messages.into_iter().for_each(|message| shared.say(message));
        for (source, fills_in) in sources {
            self.add(source, fills_in.then_some(self.started), shared);
        }
        for (sources, stalled) in stand_ins {
            self.stand_in(sources, &stalled, shared);
        }
        self.report_unavailable(unavailable, shared);
        let is_late = os::monotonic_ns() > self.started + PATIENCE_NS;
        let awaited = self.intake.awaited();
        if first {
            let hangs = awaited.iter().filter(|one| one.source != "nvml");
            hangs.filter_map(Unavailable::in_words).for_each(|message| shared.say(message));
        }
        let mut books = shared.state();
        books.metering.opening = awaited;
        books.metering.waits_for_opening = (!is_late && self.intake.fills_in()) || self.intake.is_seeking();
        if first && books.metering.channels.is_empty() && books.metering.opening.is_empty() {
            shared.say("no source of energy was found: times are measured, energies are unknown".into());
        }
    }

    fn report_unavailable(&self, unavailable: Vec<Unavailable>, shared: &SharedState) {
        for one in unavailable {
            // A source may be tried for several kinds of component, and lack them all for one reason.
            if shared.state().metering.unavailable.contains(&one) {
                continue;
            }
            one.in_words().into_iter().for_each(|message| shared.say(message));
            shared.state().metering.unavailable.push(one);
        }
    }

    /// Samples until told to stop; `queues` has the application's side queue the epochs that found no room. Whatever happens,
    /// nobody is left waiting for it.
    pub fn run(mut self, shared: &SharedState, queues: impl Fn() -> bool) {
        let work = std::panic::AssertUnwindSafe(|| {
            self.waker.wakes_this_thread();
            os::widen_affinity();
            while !shared.is_stopping() && !self.has_seen_enough(shared) {
                self.look_for_application();
                if os::monotonic_ns() >= self.due(shared) {
                    self.pass(shared);
                    self.follow_affinity();
                } else {
                    self.sleep(shared);
                }
            }
            self.read_again(shared);
            if queues() {
                self.read_again(shared);
            }
            shared.state().finish();
        });
        if std::panic::catch_unwind(work).is_err() {
            shared.state().lifecycle.failed = true;
            shared.say(FAULT.into());
        }
        self.claimant.give_up();
        shared.state().lifecycle.finished = true;
        shared.tell();
        self.intake.end();
    }

    /// How far readings are apart at most, ns. A GPU whose counter turns out not to exist shortens it.
    fn interval_ns(&self) -> u64 {
        self.slots.iter().map(|slot| slot.source.max_gap_ns()).fold(self.interval_ns, u64::min)
    }

    fn has_seen_enough(&self, shared: &SharedState) -> bool {
        self.monitor_epochs.is_some_and(|most| shared.state().attribution.settled >= most)
    }

    /// When the next pass is due.
    fn due(&self, shared: &SharedState) -> u64 {
        let (soonest, interval_ns) = (self.last_pass + MIN_GAP_NS, self.interval_ns());
        let mut due = self.next_look.min(self.last_pass + interval_ns);
        if self.claimant.is_shared() {
            due = due.min(self.last_pass + CLAIMS_NS);
        }
        if !self.marks.is_empty() || shared.is_requested() || shared.asked() > shared.answered() {
            due = due.min(soonest);
        }
        for slot in self.slots.iter().filter(|slot| slot.wanted || slot.is_by_power) {
            due = due.min(soonest.max(slot.next_read(interval_ns, false)));
        }
        if self.intake.has_news() || self.slots.iter().any(|slot| slot.source.has_news()) { 0 } else { due }
    }

    /// Sleeps until the next pass is due. A mark wakes it, unless one waits already: then the pass that takes
    /// both is soon, and the host need not wake anybody.
    fn sleep(&self, shared: &SharedState) {
        let left = self.due(shared).saturating_sub(os::monotonic_ns());
        let left = Duration::from_nanos(left.min(APPLICATION_NS));
        if self.marks.is_empty() {
            std::thread::park_timeout(left);
        } else {
            os::pause(left);
        }
    }

    /// A thread pinned to one processor looks again for room as the host's threads come: ever less often.
    fn follow_affinity(&self) {
        if self.passes.is_power_of_two() {
            os::widen_affinity();
        }
    }

    /// A pass that reads every source, however recently it was read.
    pub fn read_again(&mut self, shared: &SharedState) {
        self.slots.iter_mut().for_each(|slot| slot.last_read = None);
        self.pass(shared);
    }

    /// Reads what is to be read, then enters marks and energy into the books.
    fn pass(&mut self, shared: &SharedState) {
        if !self.intake.is_over() {
            self.admit(false, shared);
        }
        let is_requested = shared.is_requested();
        let start = os::monotonic_ns();
        let looks = start >= self.next_look || is_requested;
        let progress = if looks { self.new_progress(shared) } else { None };
        let is_marked = !self.marks.is_empty() || progress.is_some();
        self.readings.clear();
        let interval_ns = self.interval_ns();
        for slot in &mut self.slots {
            slot.read(start, interval_ns, is_marked, &mut self.readings);
        }
        // Every mark stamped before these readings is in the ring by now: time is divided before energy is spread.
        let asked = shared.asked();
        let marks = self.marks.read_chunk(self.marks.slots());
        let ended = marks.iter().flat_map(newest_end).max().max(self.last_end);
        let is_asked = asked > shared.answered() || shared.is_stopping();
        let look = LeasePoll { now: os::monotonic_ns(), ended, is_asked, read_since: None };
        let standings = self.claimant.look(look, &self.read_since);
        let mut books = shared.state();
        books.carbon.clock.note(os::moment());
        let known = (books.attribution.settled, books.forecasting.first_epoch.share());
        books.enter(marks.into_iter().flatten(), progress, &self.readings, &standings, |message| shared.say(message));
        for (claim, standing) in standings.into_iter().enumerate() {
            books.stand(claim, standing, |message| shared.say(message));
        }
        self.seek(&mut books, |message| shared.say(message));
        books.settle(os::monotonic_ns());
        self.last_end = books.attribution.ledger.last_end();
        self.read_since = books.read_since();
        books.metering.on_node = self.claimant.on_node(books.attribution.ledger.energy_j(), start);
        for slot in &mut self.slots {
            slot.is_ours = slot.channels().any(|channel| books.is_ours(channel));
            slot.wanted = slot.is_ours && books.wants_reading(slot.channels());
            slot.is_by_power = books.is_by_power(slot.channels());
        }
        if (books.attribution.settled, books.forecasting.first_epoch.share()) != known {
            let review = self.advisor.review(&books.run(start));
            review.messages.into_iter().for_each(|message| shared.say(message));
            books.forecasting.forecast = review.forecast;
            shared.set_over_budget(review.over_budget);
            shared.tell();
        }
        if is_requested {
            shared.answer();
        }
        if asked > shared.answered() {
            shared.answer_asked(asked, start);
        }
        let next_look = self.look_after(&books, start);
        self.next_look = if looks || next_look == u64::MAX { next_look } else { next_look.min(self.next_look) };
        drop(books);
        self.look_at_descriptors(shared);
        self.last_pass = start;
        self.passes += 1;
    }

    /// Ends with an application whose threads have all ended, though the process has not.
    fn look_for_application(&mut self) {
        let now = os::monotonic_ns();
        if now >= self.looked_for_application + APPLICATION_NS {
            self.looked_for_application = now;
            if exit::is_abandoned() {
                exit::follow_application();
            }
        }
    }

    /// Reports that the application closed descriptors of ours, once.
    fn look_at_descriptors(&mut self, shared: &SharedState) {
        let lost = os::lost_descriptors();
        if std::mem::replace(&mut self.lost_descriptors, lost) != lost && !self.has_lost_descriptors {
            self.has_lost_descriptors = true;
            shared.say(CLOSED.into());
        }
    }

    /// How far the open epoch is, where that is news and somebody is to be told: a forecast inside the first.
    fn new_progress(&mut self, shared: &SharedState) -> Option<ProgressPoint> {
        let may_be_first = self.next_look != u64::MAX || !self.marks.is_empty();
        if self.advisor.planned == 0 || !may_be_first {
            return None;
        }
        let progress = shared.progress();
        let is_news = progress != self.progress && progress != PackedMark::NONE;
        self.progress = progress;
        is_news.then(|| ProgressPoint { at: progress.at(os::monotonic_ns()), share: progress.share() })
    }

    /// When to look at the first epoch's progress again: ever less often as its time goes on, and where none was marked
    /// only each time that has doubled.
    fn look_after(&self, books: &RunState, now: u64) -> u64 {
        let begin = books
            .attribution
            .ledger
            .first_epoch()
            .filter(|_| books.attribution.ledger.is_in_first() && self.advisor.planned > 0);
        begin.map_or(u64::MAX, |begin| {
            let gone = now.saturating_sub(begin);
            let gap = if self.progress == PackedMark::NONE { gone } else { gone / LOOK_AFTER };
            now + gap.max(MIN_GAP_NS)
        })
    }
}

impl SourceSlot {
    /// The source's channels by their numbers in the books.
    fn channels(&self) -> Range<usize> {
        self.first_channel..self.first_channel + self.source.channels().len()
    }

    /// When it may be read again, because something waits for that or the user wants it.
    fn next_read(&self, interval_ns: u64, is_marked: bool) -> u64 {
        let gap_ns = self.source.min_gap_ns().min(interval_ns);
        let gap_ns = match (is_marked && self.is_ours) || self.wanted {
            true => gap_ns,
            false if self.is_by_power => gap_ns.max(POWER_GAP_NS),
            false => self.varied(gap_ns.max(interval_ns)),
        };
        self.last_read.map_or(0, |last_read| last_read + gap_ns)
    }

    /// A gap as it is, or varied by up to 40 % where counters are checked by powers: these are not to keep step with the load.
    fn varied(&self, gap_ns: u64) -> u64 {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        if !self.source.checks_counters() {
            return gap_ns;
        }
        let random = self.last_read.unwrap_or(0).wrapping_mul(GOLDEN) >> 32; // 0 to 2^32
        let share = random as f64 / f64::from(u32::MAX);
        (gap_ns as f64 * (0.6 + 0.4 * share)) as u64
    }

    /// Reads it if it is time, else takes what has come; `now` is when the pass began.
    fn read(&mut self, now: u64, interval_ns: u64, is_marked: bool, readings: &mut Vec<Reading>) {
        let first = readings.len();
        if now >= self.next_read(interval_ns, is_marked) {
            if ((is_marked && self.is_ours) || self.wanted) && !self.is_by_power {
                self.source.read_at_mark(&os::monotonic_ns, readings);
            } else {
                self.source.read(&os::monotonic_ns, readings);
            }
            self.last_read = Some(now);
        } else if self.source.has_news() {
            self.source.collect(readings);
        }
        for reading in readings.iter_mut().skip(first) {
            reading.channel += self.first_channel;
        }
    }
}

/// The newest end of an epoch among marks that wait.
fn newest_end(marks: &ReadChunk<'_, Mark>) -> Option<u64> {
    let (first, second) = marks.as_slices();
    let is_end = |mark: &&Mark| matches!(mark, Mark::End(_) | Mark::Batch { .. });
    first.iter().chain(second).filter(is_end).map(|mark| mark.at()).max()
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
