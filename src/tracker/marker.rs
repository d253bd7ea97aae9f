//! The application's side of the marks: the open epoch, the ended ones, and those that wait for room in the ring.

use crate::attribution::ledger::Mark;
use crate::attribution::phases::PhaseStack;
use crate::clock::MonoNs;
use crate::coordination::device_lease::EpochState;
use crate::error::{Error, Result, Status};
use crate::run_files::crash_counter::{Count, CrashCounter};
use rtrb::Producer;
use std::sync::Arc;

/// The application's side of the marks. The sampling thread takes this lock only at the end.
pub struct Marker {
    /// The writing end of the ring.
    pub marks: Producer<Mark>,
    /// The open phases.
    pub phases: PhaseStack,
    /// The open epoch.
    pub open: Option<Begun>,
    /// Epochs that found the ring full. They are queued later as one mark.
    pub backlog: Option<Backlog>,
    /// Number of ended epochs, with those of earlier attempts.
    pub ended: u64,
    /// Number of epochs after which marks are ignored.
    pub monitor_epochs: u64,
    /// Counts of ended epochs that survive a kill; None: the run leaves no files.
    pub record: Option<MarkRecord>,
    /// Shows other processes of the job whether an epoch is open.
    pub state: Option<EpochState>,
    /// The last end of an epoch; None: no epoch has ended.
    pub last_end: Option<MonoNs>,
}

/// Counts of this attempt's ended epochs that survive a kill.
pub struct MarkRecord {
    pub counter: Arc<CrashCounter>,
    /// Number of epochs of earlier attempts.
    pub epochs_before: u64,
    pub first_begin: Option<MonoNs>,
    /// Time inside epochs, ns.
    pub inside: u64,
}

impl MarkRecord {
    /// Adds an ended epoch; `ended` is the number of ended epochs, with those of earlier attempts.
    pub fn end(&mut self, begin: MonoNs, end: MonoNs, ended: u64) {
        let first_begin = *self.first_begin.get_or_insert(begin);
        self.inside += end.ns_since(begin);
        let (epochs, span) = (ended - self.epochs_before, end.ns_since(first_begin));
        self.counter.note(Count { epochs, inside: self.inside, span });
    }
}

/// An open epoch.
#[derive(Clone, Copy)]
pub struct Begun {
    pub begin: MonoNs,
    /// Whether its begin is in the ring. Then there is room for its end too.
    pub queued: bool,
}

/// Ended epochs that are not in the ring yet, merged into one.
#[derive(Clone, Copy)]
pub struct Backlog {
    pub begin: MonoNs,
    pub end: MonoNs,
    /// Time inside these epochs, ns.
    pub inside: u64,
    /// Number of these epochs.
    pub count: u64,
}

impl Marker {
    /// Takes the open epoch; fails with CT_ESTATE if there is none. `call` is the function that the application called.
    pub fn take_open(&mut self, call: &str) -> Result<Begun> {
        self.open.take().ok_or_else(|| {
            Error::new(
                Status::CT_ESTATE,
                format!("{call}: no epoch is open; nothing changed; call ct_epoch_begin first"),
            )
        })
    }

    /// Queues a begin if the ring has room for it and its end. False: the epoch is queued once it has ended.
    pub fn begin(&mut self, begin: MonoNs) -> bool {
        self.flush();
        let queued = self.has_room();
        if queued {
            self.push(Mark::Begin(begin));
        }
        queued
    }

    /// Ends the open epoch: queues it, or adds it to the backlog.
    pub fn end(&mut self, open: Begun, end: MonoNs) {
        self.last_end = Some(end);
        self.state.iter().for_each(|state| state.end(Some(end)));
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
            backlog.inside += end.ns_since(open.begin);
            backlog.count += 1;
        }
    }

    /// Whether the ring has room for an epoch, and no earlier epoch waits.
    fn has_room(&self) -> bool {
        self.backlog.is_none() && self.marks.slots() >= 2
    }

    /// Queues the backlog if the ring has room. Returns whether it did.
    pub fn flush(&mut self) -> bool {
        let Some(Backlog { begin, end, inside, count }) = self.backlog else { return false };
        let is_queued = self.push(Mark::Batch { begin, end, inside, count });
        if is_queued {
            self.backlog = None;
        }
        is_queued
    }

    /// Queues the backlog and the phases for the last time, up to `now`. From now on no begin or end is published: the
    /// entry in the job's record may soon belong to another process. Returns whether anything was queued.
    pub fn leave(&mut self, now: MonoNs) -> bool {
        self.state = None;
        let has_phases = self.phases.is_used();
        if has_phases {
            self.phases.elapse(now);
            self.phases.flush();
        }
        self.flush() || has_phases
    }

    /// Queues a mark. Returns whether the ring had room.
    pub fn push(&mut self, mark: Mark) -> bool {
        self.marks.push(mark).is_ok()
    }
}
