//! The thread that writes a run's files: whatever a disk does, it is this thread that waits for it. It takes what is new
//! from the books, which keep what was not written yet.

use super::atomic_replace::{in_words, sync_folder};
use super::attempt::{BEAT, BEATS, Process};
use super::carbontracker_log::writer::Logs;
use super::crash_counter::{self, CrashCounter};
use super::file_io::AppendFile;
use super::journal;
use super::paths::RunPaths;
use super::resume::ResumeTurn;
use crate::attribution::carried_over::CarriedInterval;
use crate::attribution::epochs::{Epoch, PerKind};
use crate::clock::MonoNs;
use crate::coordination::device_lease::Teller;
use crate::os;
use crate::os::memory;
use crate::os::worker::Stop;
use crate::report::{self, Detail, Now, OpenEpoch, Report, ReportSettings};
use crate::state::shared::SharedState;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

mod kept;
mod mend;

/// So many epochs have a line each. Of a longer run's those that end within a 4096th of its time share one, and a line
/// comes every 10 s at least: the journal grows with the logarithm of a run's time, and by a few megabytes a day.
const EACH: u64 = 4096;
const LONGEST_GAP: Duration = Duration::from_secs(10);
/// The system is to put the journal on the disk this often.
const SYNC: Duration = Duration::from_secs(10);
/// A file that could not be made is tried again after this.
const RETRY: Duration = Duration::from_secs(10);
/// Why nothing is written where memory is used up.
const NO_MEMORY: &str = "memory is used up. Free some, or raise the limit (ulimit -v)";
/// How long the last reading is waited for.
const LAST_READING: Duration = Duration::from_millis(300);

/// What is to be written, and where.
pub struct Plan {
    /// The run's files; None: no more than Prometheus' is asked for.
    pub place: Option<RunPaths>,
    /// Its journal, where the run was taken up.
    pub journal: Option<AppendFile>,
    /// The epochs that have a line in it, as one.
    pub written: Epoch,
    /// How many processes have worked on the run, this one included: what the others have counted of it goes once it is
    /// written.
    pub life: u64,
    /// How many epochs those had done.
    pub before: u64,
    /// This process.
    pub process: Process,
    /// Prometheus' text file.
    pub prometheus: Option<PathBuf>,
    /// What the host has ended, until it is written.
    pub tally: Option<Arc<CrashCounter>>,
    /// This process's turn to write its first line into a journal that others may take up.
    pub turn: Option<ResumeTurn>,
}

/// The thread's own state.
pub struct Writer {
    shared: Arc<SharedState>,
    setting: Arc<ReportSettings>,
    plan: Plan,
    logs: Option<Logs>,
    /// The journal holds what this process wrote first.
    is_opened: bool,
    /// The components as the journal names them.
    components: Value,
    lines: u64,
    /// That epochs share lines was said.
    is_thinned: bool,
    started: Instant,
    /// When the last epoch written ended.
    last_end: Option<MonoNs>,
    /// What was used by time, as far as that is written.
    told: Used,
    /// When numbers were written last,
    reported_at: MonoNs,
    /// and a file tried that could not be made.
    tried: Option<Instant>,
    /// What others read while the run lasts.
    kept: kept::Kept,
    synced: Instant,
    /// Too little memory was left to write.
    is_short: bool,
    /// Files that could not be written, as was said.
    failing: Vec<PathBuf>,
    /// When the journal was last looked for at its path.
    looked: Instant,
    standing: mend::MendedState,
    /// Hears what the journal covers, for the other ranks of the job.
    teller: Teller,
    /// Up to here epochs were given to Carbontracker's logs.
    logged_until: Option<MonoNs>,
    /// What the run's end could not write, for whoever ends it.
    unwritten: Unwritten,
}

/// What could not be written in the end, in words.
pub type Unwritten = Arc<Mutex<Option<String>>>;

/// Energy of this process's part of the run, up to an instant.
#[derive(Clone, Copy, Default)]
struct Used {
    /// The instant.
    until: MonoNs,
    energy: PerKind,
    /// And up to here it is in the run's totals; None: it is not.
    counted_until: Option<MonoNs>,
}

impl Writer {
    /// For a run.
    pub fn new(
        shared: Arc<SharedState>,
        setting: Arc<ReportSettings>,
        plan: Plan,
        teller: Teller,
        unwritten: Unwritten,
    ) -> Writer {
        Writer {
            kept: kept::Kept::new(&setting),
            shared,
            setting,
            logs: plan.place.as_ref().map(Logs::new),
            plan,
            is_opened: false,
            components: Value::Null,
            lines: 0,
            is_thinned: false,
            started: Instant::now(),
            last_end: None,
            told: Used::default(),
            reported_at: os::monotonic_ns(),
            tried: None,
            synced: Instant::now(),
            is_short: false,
            failing: Vec::new(),
            looked: Instant::now(),
            standing: mend::MendedState::now(),
            teller,
            logged_until: None,
            unwritten,
        }
    }

    /// Writes until told to stop, and then the last of it. `opened` hears once the journal has its first line, or cannot.
    pub fn run(mut self, stop: &Stop, opened: &Sender<()>) {
        self.check_prometheus();
        self.write();
        let _ = opened.send(()); // whoever waited for it may have gone on
        while !stop.is_set() {
            let is_new = self.write();
            if is_new && self.lines >= EACH {
                stop.rest((self.started.elapsed() / EACH as u32).min(LONGEST_GAP));
            }
            if self.is_stuck() || self.shared.state().lifecycle.finished {
                stop.rest(BEAT.0); // no epoch's end is waited for
            } else {
                let wait = self.next_beat().min(self.next_renewal());
                self.shared.await_epochs(self.plan.written.count, wait, || stop.is_set());
            }
        }
        let finished = || self.shared.state().lifecycle.finished;
        let deadline = Instant::now() + LAST_READING;
        while !finished() && Instant::now() < deadline {
            self.shared.await_epochs(u64::MAX, Duration::from_millis(5), || false);
        }
        self.end();
    }

    /// There is no journal, or it could not be written.
    fn is_stuck(&self) -> bool {
        self.is_short
            || self.plan.journal.as_ref().is_none_or(|journal| self.failing.iter().any(|path| path == journal.path()))
    }

    /// In how much time numbers are due without an epoch.
    fn next_beat(&self) -> Duration {
        let gap = (self.started.elapsed() / BEATS).clamp(BEAT.0, BEAT.1);
        gap.saturating_sub(Duration::from_nanos(os::monotonic_ns().ns_since(self.reported_at)))
    }

    /// Whether there is memory for a report. A short one may take half of what is left of the library's reserve.
    fn has_memory(&self, detail: Detail) -> bool {
        let bytes = report::bytes(&self.setting, &self.shared.state(), detail, true);
        self.shared.check_memory(bytes).is_ok() || memory::has_reserve(2 * bytes)
    }

    /// Writes what is new; whether there were epochs.
    fn write(&mut self) -> bool {
        self.is_short = !self.has_memory(Detail::Since(self.plan.written));
        if self.is_short {
            return false;
        }
        self.check_standing();
        self.make_journal(false);
        self.mend_logs(false);
        let (mut report, power) = self.report(Detail::Since(self.plan.written));
        self.kept.see(&report);
        let is_new = self.write_journal(&mut report, power, false);
        if is_new || self.started.elapsed() >= BEAT.0 || self.kept.has_begun() {
            self.renew(false);
        }
        is_new
    }

    /// The last of it, as far as there is memory for that.
    fn end(&mut self) {
        self.is_short = !self.has_memory(Detail::Since(self.plan.written));
        if self.is_short {
            return self.leave_unwritten(format!("the end of the run is in no file: {NO_MEMORY}"));
        }
        self.tried = None; // there is no later time
        self.make_journal(true);
        self.mend_logs(true);
        let (mut report, power) = self.report(Detail::Since(self.plan.written));
        self.kept.see(&report);
        self.write_journal(&mut report, power, true);
        self.keep_report();
        self.end_logs(&report);
        self.renew(true);
        self.leave_word();
        if let Some(journal) = &self.plan.journal {
            let _ = journal.sync();
        }
        self.plan.place.iter().for_each(|place| sync_folder(place.folder()));
        self.close_tally();
    }

    /// Removes the count of ended epochs once the journal has them all. Of epochs that the sampler or the disk did not take it is
    /// all that is left.
    fn close_tally(&self) {
        let Some(tally) = &self.plan.tally else { return };
        let ended = self.plan.before + tally.epochs();
        let is_complete = self.is_opened && self.plan.written.count >= ended;
        if is_complete || (tally.epochs() == 0 && self.plan.before == 0) {
            tally.remove();
        } else if self.is_opened && !self.is_stuck() {
            let missing = ended.saturating_sub(self.plan.written.count);
            self.leave_unwritten(format!(
                "{missing} ended epochs are not in the run's files: a device or the disk did not answer. resume= counts them, without their energy"
            ));
        }
    }

    /// What could not be written in the end is in the journal, if that takes it, and known to whoever ends the run.
    fn leave_word(&mut self) {
        let Some(first) = self.failing.first() else { return };
        let words = format!("not written at the end of the run: {}", shown(&self.failing));
        let is_journal = self.plan.journal.as_ref().is_some_and(|journal| journal.path() == first);
        if let Some(journal) = self.plan.journal.as_mut().filter(|_| !is_journal) {
            let _ = journal.append(&format!("{}\n", json!({"note": words})));
        }
        self.leave_unwritten(words);
    }

    fn leave_unwritten(&self, words: String) {
        *self.unwritten.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(words);
    }

    /// The run now, and what it used by time since that was written last.
    fn report(&self, detail: Detail) -> (Report, Option<(CarriedInterval, Used)>) {
        let books = self.shared.state();
        let at = os::monotonic_ns();
        let open = books.attribution.ledger.is_open().then(|| OpenEpoch { share: self.shared.marked_share() });
        let whole = books.attribution.settled >= books.attribution.ledger.epochs() && !books.lifecycle.failed;
        let report = Report::new(&self.setting, &books, Now { at, whole, open }, detail);
        let report = report.noting(|open_s| self.shared.notes(open_s));
        // What is used now is known later: the time goes as far as the energy, or the power would come out too low.
        let (until, energy) = (books.all_known_until().min(at), books.attribution.ledger.timeline().total());
        let used = Used { until, energy, counted_until: books.attribution.ledger.last_end().map(|end| end.min(until)) };
        let since = books
            .attribution
            .ledger
            .first_begin()
            .map(|begin| begin.max(self.told.until))
            .filter(|since| *since < used.until);
        let power = since.map(|since| CarriedInterval {
            from: books.carbon.clock.unix_s(since).0,
            to: books.carbon.clock.unix_s(used.until).0,
            energy: used.energy.beyond(&self.told.energy),
        });
        (report, power.map(|power| (power, used)))
    }

    /// Appends to the journal; whether there were epochs. What could not be written stays to be written.
    fn write_journal(&mut self, report: &mut Report, power: Option<(CarriedInterval, Used)>, is_end: bool) -> bool {
        let most = EACH.saturating_sub(self.lines).max(1) as usize;
        let epochs = report.epoch_lines(most);
        let is_new = !epochs.is_empty();
        let tells = is_new || is_end || !self.is_opened || self.next_beat().is_zero();
        // What is used after the run's last end is none of it, unless another epoch follows.
        let power = power.filter(|_| tells && (is_new || report.open_epoch().is_some()));
        let stretch = power.map(|(stretch, _)| stretch);
        let so_far = tells.then(|| journal::so_far(report, os::unix_s(), stretch));
        let components = journal::components(report);
        let lines = self.new_lines(report, &components, &epochs, so_far, is_end);
        let Some(journal) = self.plan.journal.as_mut().filter(|_| !lines.is_empty()) else { return false };
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let written = journal.append(&text).map_err(|error| in_words(journal.path(), &error));
        let path = journal.path().to_owned();
        let is_written = written.is_ok();
        if is_written {
            self.components = components;
            self.take_note(&epochs, tells, power.map(|(_, used)| used));
        }
        self.note(&path, written);
        if is_new && is_written {
            self.log_epochs(report, &epochs);
        }
        is_new
    }

    /// The lines of this moment, the numbers so far in the last of them.
    fn new_lines(
        &self,
        report: &Report,
        components: &Value,
        epochs: &[(Value, Epoch)],
        mut so_far: Option<Value>,
        is_end: bool,
    ) -> Vec<Value> {
        let mut lines: Vec<Value> = Vec::new();
        if !self.is_opened {
            lines.push(journal::opening(report, self.plan.life, self.plan.before, &self.plan.process));
        }
        if *components != self.components {
            lines.push(components.clone());
        }
        if !self.is_thinned && shares_lines(epochs) {
            let note = "epochs so many share lines from here on: count says how many, and the sums are exact";
            lines.push(json!({"note": note}));
        }
        let mut last_end = self.last_end;
        for (line, epoch) in epochs {
            let before = last_end.replace(epoch.end);
            let gap = before.map_or(0, |last| epoch.end.ns_since(last).saturating_sub(epoch.inside));
            let mut line = line.clone();
            set(&mut line, "gap_s", json!(gap as f64 * 1e-9));
            lines.push(line);
        }
        if is_end {
            let run = report.section("run");
            let (state, planned) = (run.get("state"), run.get("epochs_planned"));
            lines.push(json!({"end": state, "epochs_planned": planned, "so_far": so_far.take()}));
        } else if let Some((line, so_far)) = lines.last_mut().filter(|_| !epochs.is_empty()).zip(so_far.as_mut()) {
            set(line, "so_far", so_far.take());
        } else {
            lines.extend(so_far.map(|so_far| json!({"so_far": so_far})));
        }
        lines
    }

    /// The journal has these lines now.
    fn take_note(&mut self, epochs: &[(Value, Epoch)], tells: bool, used: Option<Used>) {
        if !self.is_opened {
            self.end_turn();
            (1..self.plan.life)
                .rev()
                .map_while(|life| crash_counter::forget(&self.setting.id, life).ok())
                .for_each(drop);
        }
        self.plan.written = epochs.iter().fold(self.plan.written, |all, (_, epoch)| all.joined(epoch));
        self.lines += epochs.len() as u64;
        self.is_opened = true;
        self.is_thinned |= shares_lines(epochs);
        self.last_end = epochs.last().map_or(self.last_end, |(_, epoch)| Some(epoch.end));
        self.reported_at = if tells { os::monotonic_ns() } else { self.reported_at };
        self.told = used.unwrap_or(self.told);
        self.told.counted_until.into_iter().for_each(|until| self.teller.tell(until));
        if let Some(journal) = self.plan.journal.as_ref().filter(|_| self.synced.elapsed() >= SYNC) {
            let _ = journal.sync();
            self.synced = Instant::now();
        }
    }
}

impl Writer {
    /// Lets other processes look at the journal, once all machines can see this one's first line.
    fn end_turn(&mut self) {
        let Some(turn) = self.plan.turn.take() else { return };
        self.plan.journal.iter().for_each(|journal| drop(journal.sync()));
        drop(turn);
    }
}

fn shown(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn shares_lines(epochs: &[(Value, Epoch)]) -> bool {
    epochs.iter().any(|(_, epoch)| epoch.count > 1)
}

/// Adds a name to an object.
fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Value::Object(object) = object {
        object.insert(name.into(), value.into());
    }
}
