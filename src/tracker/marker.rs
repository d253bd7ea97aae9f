//! The application's side of the marks: what is open, what has ended, and what waits for room in the ring.

use crate::attribution::ledger::Mark;
use crate::clock::MonoNs;
use crate::coordination::device_lease::EpochState;
use crate::error::{Error, Result, Status};
use crate::run_files::crash_counter::{Count, CrashCounter};
use rtrb::Producer;
use std::sync::Arc;

/// The host's side of the marks; the sampler never takes this lock.
pub struct Marker {
    pub marks: Producer<Mark>,
    pub open: Option<Begun>,
    /// Epochs that found the ring full; they are queued later as one mark.
    pub backlog: Option<Backlog>,
    pub ended: u64,
    pub monitor_epochs: u64,
    /// What has ended, for whoever takes the run up after a kill.
    pub record: Option<MarkRecord>,
    /// Where other processes of the job see whether an epoch is open.
    pub state: Option<EpochState>,
    /// The last end of an epoch; None: none ended.
    pub last_end: Option<MonoNs>,
}

/// What this process has ended of the run, kept where a kill leaves it.
pub struct MarkRecord {
    pub tally: Arc<CrashCounter>,
    /// Epochs of earlier processes.
    pub before: u64,
    pub first_begin: Option<MonoNs>,
    pub inside: u64,
}

impl MarkRecord {
    pub fn end(&mut self, begin: MonoNs, end: MonoNs, ended: u64) {
        let first_begin = *self.first_begin.get_or_insert(begin);
        self.inside += end.ns_since(begin);
        let (epochs, span) = (ended - self.before, end.ns_since(first_begin));
        self.tally.note(Count { epochs, inside: self.inside, span });
    }
}

#[derive(Clone, Copy)]
pub struct Begun {
    pub begin: MonoNs,
    /// Its begin is in the ring, and so is room for its end.
    pub queued: bool,
}

#[derive(Clone, Copy)]
pub struct Backlog {
    pub begin: MonoNs,
    pub end: MonoNs,
    pub inside: u64,
    pub count: u64,
}

impl Marker {
    pub fn take_open(&mut self, call: &str) -> Result<Begun> {
        self.open.take().ok_or_else(|| {
            Error::new(Status::CT_ESTATE, format!("{call}: no epoch is open; call ct_epoch_begin first"))
        })
    }

    /// Queues a begin if there is room for it and its end; false where the epoch waits until it has ended.
    pub fn begin(&mut self, begin: MonoNs) -> bool {
        self.flush();
        let queued = self.has_room();
        if queued {
            self.push(Mark::Begin(begin));
        }
        queued
    }

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

    /// Whether an epoch fits the ring, and none waits before it.
    pub fn has_room(&self) -> bool {
        self.backlog.is_none() && self.marks.slots() >= 2
    }

    /// Queues the backlog if there is room; whether it did.
    pub fn flush(&mut self) -> bool {
        let Some(Backlog { begin, end, inside, count }) = self.backlog else { return false };
        let is_queued = self.push(Mark::Batch { begin, end, inside, count });
        if is_queued {
            self.backlog = None;
        }
        is_queued
    }

    pub fn push(&mut self, mark: Mark) -> bool {
        self.marks.push(mark).is_ok()
    }
}
