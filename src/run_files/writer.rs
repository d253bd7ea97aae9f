//! The thread that writes a run's files. Only this thread waits for a disk. It takes new epochs from the run's state,
//! which keeps them until they are written.

use super::atomic_replace::in_words;
use super::attempt::{BEAT_BOUNDS, BEATS_PER_ATTEMPT, Process};
use super::carbontracker_log::writer::Logs;
use super::crash_counter::{self, CrashCounter};
use super::file_io::AppendFile;
use super::journal;
use super::paths::RunPaths;
use super::resume::ResumeTurn;
use crate::attribution::carried_over::CarriedInterval;
use crate::attribution::epochs::{Epoch, PerKind};
use crate::clock::MonoNs;
use crate::coordination::device_lease::JournalReach;
use crate::os::memory;
use crate::os::worker::Stop;
use crate::os::{self, Instant, Promise};
use crate::report::{self, Detail, Now, OpenEpoch, Report, ReportSettings};
use crate::state::shared::SharedState;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

mod end;
mod kept;
mod mend;

/// Number of epochs that have a journal line of their own. Later epochs share a line if they end within a 4096th of the
/// run's time. So the journal grows with the logarithm of that time, and by a few megabytes a day.
const OWN_LINE_EPOCHS: u64 = 4096;
/// Longest time between two journal lines of epochs.
const MAX_LINE_GAP: Duration = Duration::from_secs(10);
/// The sections of the report that have lines of their own.
const SECTIONS: [&str; 2] = ["phases", "share"];
/// Time between two journal lines of these sections.
const SECTIONS_INTERVAL: Duration = Duration::from_secs(30);
/// Time between two syncs of the journal.
const SYNC_INTERVAL: Duration = Duration::from_secs(10);
/// Time until a failed creation of a file is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// The reason why nothing is written without memory, and the fix.
const NO_MEMORY: &str = "memory is used up. Free some, or raise the limit (ulimit -v)";
/// Longest wait for the last reading at the end of the run.
const CLOSING_READING_WAIT: Duration = Duration::from_millis(300);

/// The files to write.
pub struct Plan {
    /// The paths of the run's files. None: only Prometheus' file is written.
    pub paths: Option<RunPaths>,
    /// The journal to continue. None: a new one is created.
    pub journal: Option<AppendFile>,
    /// The epochs that have a line in the journal, joined into one.
    pub written: Epoch,
    /// The number of this attempt, from 1. The crash counters of earlier attempts are removed once the journal is open.
    pub attempt: u64,
    /// The number of epochs that earlier attempts have done.
    pub epochs_before: u64,
    /// This process.
    pub process: Process,
    /// The path of Prometheus' text file that the user named.
    pub prometheus: Option<PathBuf>,
    /// Counts the epochs that the application has ended, until they are written.
    pub crash_counter: Option<Arc<CrashCounter>>,
    /// Whether only the journal and the report are written there.
    pub is_brief: bool,
    /// This process's turn to write its first line. None: locks exclude other processes.
    pub turn: Option<ResumeTurn>,
}

impl Plan {
    /// Carbontracker's logs of these paths. None: there are none.
    fn logs(&self) -> Option<Logs> {
        self.paths.as_ref().filter(|_| !self.is_brief).map(Logs::new)
    }
}

/// The state of the thread.
pub struct Writer {
    shared: Arc<SharedState>,
    settings: Arc<ReportSettings>,
    plan: Plan,
    logs: Option<Logs>,
    /// The journal has this attempt's opening line.
    is_opened: bool,
    /// The last line `"components"` of the journal.
    components: Value,
    /// Number of journal lines of epochs.
    lines: u64,
    /// Number of pieces of the run's progress in the journal, from this attempt.
    pieces: u64,
    /// The journal notes that epochs share lines.
    is_thinned: bool,
    started: Instant,
    /// End of the last epoch that the journal has.
    last_end: Option<MonoNs>,
    /// The energy by time that the journal has.
    reported: ReportedEnergy,
    /// Time of the last line with numbers.
    reported_at: MonoNs,
    /// Time of the last line of [`SECTIONS`].
    sections_at: Instant,
    /// Time of the last failed creation of the journal.
    tried: Option<Instant>,
    /// The files beside the journal.
    kept: kept::Kept,
    synced: Instant,
    /// The last write failed for lack of memory.
    is_short: bool,
    /// Files that could not be written. The user has a message about each.
    failing: Vec<PathBuf>,
    /// Time of the last check that the journal is at its path.
    path_checked: Instant,
    path_context: mend::PathContext,
    /// Publishes how far the journal reaches, for the other ranks of the job.
    journal_reach: JournalReach,
    /// Carbontracker's logs have the epochs up to here. None: they have none.
    logged_until: Option<MonoNs>,
    /// What could not be written at the end of the run.
    unwritten: Unwritten,
}

/// The message about what could not be written at the end of the run. None: everything was written.
pub type Unwritten = Arc<Mutex<Option<String>>>;

/// Energy of this attempt, up to an instant.
#[derive(Clone, Copy, Default)]
struct ReportedEnergy {
    /// The instant of the energy.
    until: MonoNs,
    energy: PerKind,
}

/// The energy of a line in the journal.
struct LineEnergy {
    /// That since the last line that has one, by time, and the new state. None: it is not known further than there.
    power: Option<(CarriedInterval, ReportedEnergy)>,
    /// No device has energy from after this instant in the line. None: the line has no energy.
    reach: Option<MonoNs>,
}

impl Writer {
    /// The thread's state at the start of this attempt.
    pub fn new(
        shared: Arc<SharedState>,
        settings: Arc<ReportSettings>,
        plan: Plan,
        journal_reach: JournalReach,
        unwritten: Unwritten,
    ) -> Writer {
        Writer {
            kept: kept::Kept::new(&settings),
            shared,
            settings,
            logs: plan.logs(),
            plan,
            is_opened: false,
            components: Value::Null,
            lines: 0,
            pieces: 0,
            is_thinned: false,
            started: Instant::now(),
            last_end: None,
            reported: ReportedEnergy::default(),
            reported_at: os::monotonic_ns(),
            sections_at: Instant::now(),
            tried: None,
            synced: Instant::now(),
            is_short: false,
            failing: Vec::new(),
            path_checked: Instant::now(),
            path_context: mend::PathContext::now(),
            journal_reach,
            logged_until: None,
            unwritten,
        }
    }

    /// Writes until `stop` is set, then writes the end of the run. Sends on `opened` once the journal has its first
    /// line, or cannot be opened.
    pub fn run(mut self, stop: &Stop, opened: &Promise<()>) {
        self.check_prometheus();
        self.write();
        opened.keep(());
        while !stop.is_set() {
            let is_new = self.write();
            if is_new && self.lines >= OWN_LINE_EPOCHS {
                stop.rest((self.started.elapsed() / OWN_LINE_EPOCHS as u32).min(MAX_LINE_GAP));
            }
            if self.is_stuck() || self.shared.state().lifecycle.finished {
                stop.rest(BEAT_BOUNDS.0); // the end of an epoch changes nothing
            } else {
                let wait = self.next_beat().min(self.next_renewal());
                self.shared.await_epochs(self.plan.written.count, wait, || stop.is_set());
            }
        }
        let deadline = Instant::now() + CLOSING_READING_WAIT;
        while !self.shared.state().lifecycle.finished && Instant::now() < deadline {
            self.shared.await_epochs(u64::MAX, Duration::from_millis(5), || false);
        }
        self.end();
    }

    /// Whether there is no journal, or its last write failed.
    fn is_stuck(&self) -> bool {
        self.is_short
            || self.plan.journal.as_ref().is_none_or(|journal| self.failing.iter().any(|path| path == journal.path()))
    }

    /// Time until a line with numbers is due without an ended epoch.
    fn next_beat(&self) -> Duration {
        let gap = (self.started.elapsed() / BEATS_PER_ATTEMPT).clamp(BEAT_BOUNDS.0, BEAT_BOUNDS.1);
        gap.saturating_sub(Duration::from_nanos(os::monotonic_ns().ns_since(self.reported_at)))
    }

    /// Whether there is memory for a report. A report may use half of what is left of the library's reserve.
    fn has_memory(&self, detail: Detail) -> bool {
        let bytes = report::bytes(&self.settings, &self.shared.state(), detail, true);
        self.shared.check_memory(bytes).is_ok() || memory::has_reserve(2 * bytes)
    }

    /// Writes what is new. True: there were new epochs.
    fn write(&mut self) -> bool {
        self.is_short = !self.has_memory(Detail::Since(self.plan.written));
        if self.is_short {
            return false;
        }
        self.check_path_context();
        self.make_journal(false);
        self.mend_logs(false);
        let (mut report, energy) = self.report(Detail::Since(self.plan.written));
        self.kept.see(&report);
        let is_new = self.write_journal(&mut report, energy, false);
        if is_new || self.started.elapsed() >= BEAT_BOUNDS.0 || self.kept.has_begun() {
            self.renew(&report, false);
        }
        is_new
    }

    /// The report at this moment, and its energy for a line.
    fn report(&self, detail: Detail) -> (Report, LineEnergy) {
        let state = self.shared.state();
        let at = os::monotonic_ns();
        let open = state.attribution.ledger.is_open().then(|| OpenEpoch { share: self.shared.marked_share() });
        let whole = state.attribution.settled >= state.attribution.ledger.epochs() && !state.lifecycle.failed;
        let report = Report::new(&self.settings, &state, Now { at, whole, open }, detail);
        let report = report.with_notes(|open_s| self.shared.notes(open_s)).with_verdict(self.shared.is_over_budget());
        // Readings come late. The time must end where the energy ends, or the power would be too low.
        let ledger = &state.attribution.ledger;
        let used = ReportedEnergy { until: state.all_known_until().min(at), energy: ledger.timeline().total() };
        let since =
            ledger.first_begin().map(|begin| begin.max(self.reported.until)).filter(|since| *since < used.until);
        let power = since.map(|since| CarriedInterval {
            from: state.carbon.clock.unix_s(since).0,
            to: state.carbon.clock.unix_s(used.until).0,
            energy: used.energy.beyond(&self.reported.energy),
        });
        let reach = ledger.last_end().zip(state.any_known_until()).map(|(end, known)| end.min(known));
        (report, LineEnergy { power: power.map(|power| (power, used)), reach })
    }

    /// Appends to the journal. True: there were new epochs. Lines that could not be written are kept for the next call.
    fn write_journal(&mut self, report: &mut Report, energy: LineEnergy, is_end: bool) -> bool {
        let most = OWN_LINE_EPOCHS.saturating_sub(self.lines).max(1) as usize;
        let epochs = report.epoch_lines(most);
        let is_new = !epochs.is_empty();
        let is_due = is_new || is_end || !self.is_opened || self.next_beat().is_zero();
        if !is_due || self.plan.journal.is_none() {
            return false;
        }
        // Energy after the last end belongs to the run only if another epoch follows.
        let power = energy.power.filter(|_| is_new || report.open_epoch().is_some());
        let so_far = journal::so_far(report, os::unix_s(), power.map(|(interval, _)| interval));
        let components = journal::components(report);
        let lines = self.new_lines(report, &components, &epochs, so_far, is_end);
        let Some(journal) = &mut self.plan.journal else { return false };
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        // Published first: a kill between the two loses the energy of these lines, but no other rank counts it again.
        energy.reach.into_iter().for_each(|until| self.journal_reach.note(until));
        let written = journal.append(&text).map_err(|error| in_words(journal.path(), &error));
        let path = journal.path().to_owned();
        let is_written = written.is_ok();
        if is_written {
            self.components = components;
            if lines.iter().any(|line| SECTIONS.iter().any(|name| line.get(name).is_some())) {
                self.sections_at = Instant::now();
            }
            self.after_append(&epochs, power.map(|(_, used)| used));
        }
        self.note(&path, written);
        if is_new && is_written {
            self.log_epochs(report, &epochs);
        }
        is_new
    }

    /// The lines to write now. The last one has the numbers.
    fn new_lines(
        &self,
        report: &Report,
        components: &Value,
        epochs: &[(Value, Epoch)],
        so_far: Value,
        is_end: bool,
    ) -> Vec<Value> {
        let mut lines: Vec<Value> = Vec::new();
        if !self.is_opened {
            lines.push(journal::opening(report, self.plan.attempt, self.plan.epochs_before, &self.plan.process));
        }
        if *components != self.components {
            lines.push(components.clone());
        }
        if !self.is_thinned && shares_lines(epochs) {
            let note = "from here on, epochs share lines: \"count\" is their number, and the sums are exact";
            lines.push(json!({"note": note}));
        }
        let mut last_end = self.last_end;
        for (line, epoch) in epochs {
            let previous_end = last_end.replace(epoch.end);
            let gap = previous_end.map_or(0, |last| epoch.end.ns_since(last).saturating_sub(epoch.inside));
            let mut line = line.clone();
            set(&mut line, "gap_s", json!(gap as f64 * 1e-9));
            lines.push(line);
        }
        let are_sections_due = is_end || self.sections_at.elapsed() >= SECTIONS_INTERVAL;
        for name in SECTIONS.into_iter().filter(|_| are_sections_due) {
            let section = report.section(name);
            if !section.is_null() {
                // The numbers are on the last line.
                lines.insert(lines.len() - usize::from(!epochs.is_empty()), json!({name: section}));
            }
        }
        if is_end {
            let run = report.section("run");
            let (state, planned) = (run.get("state"), run.get("epochs_planned"));
            lines.push(json!({"end": state, "epochs_planned": planned, "so_far": so_far}));
        } else if let Some(line) = lines.last_mut().filter(|_| !epochs.is_empty()) {
            set(line, "so_far", so_far);
        } else {
            lines.push(json!({"so_far": so_far}));
        }
        lines
    }

    /// Updates the state after these epochs were appended to the journal.
    fn after_append(&mut self, epochs: &[(Value, Epoch)], used: Option<ReportedEnergy>) {
        if !self.is_opened {
            self.end_turn();
            let mut earlier = (1..self.plan.attempt).rev();
            while earlier.next().is_some_and(|attempt| crash_counter::forget(&self.settings.id, attempt).is_ok()) {}
        }
        self.plan.written = epochs.iter().fold(self.plan.written, |all, (_, epoch)| all.joined(epoch));
        self.lines += epochs.len() as u64;
        let pieces = epochs.iter().filter(|(line, _)| line.get("piece").is_some());
        self.pieces += pieces.map(|(_, epoch)| epoch.count).sum::<u64>();
        self.is_opened = true;
        self.is_thinned |= shares_lines(epochs);
        self.last_end = epochs.last().map_or(self.last_end, |(_, epoch)| Some(epoch.end));
        self.reported_at = os::monotonic_ns();
        self.reported = used.unwrap_or(self.reported);
        if let Some(journal) = self.plan.journal.as_ref().filter(|_| self.synced.elapsed() >= SYNC_INTERVAL) {
            let _ = journal.sync();
            self.synced = Instant::now();
        }
    }
}

impl Writer {
    /// Ends the turn, once all machines can read this attempt's first line.
    fn end_turn(&mut self) {
        let Some(turn) = self.plan.turn.take() else { return };
        self.plan.journal.iter().for_each(|journal| drop(journal.sync()));
        drop(turn);
    }
}

fn shares_lines(epochs: &[(Value, Epoch)]) -> bool {
    epochs.iter().any(|(_, epoch)| epoch.count > 1)
}

/// Sets a field of an object.
fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Value::Object(object) = object {
        object.insert(name.into(), value.into());
    }
}
