//! Decides whether the last attempt of a run has ended. An attempt is a process that works on the run. Pure.
//!
//! If all clients of a file system share their locks (`shared_locks.rs`), a free lock proves that the process has
//! ended. On other file systems the journal must prove it, by its host, its job and the age of its last line.

use crate::coordination::job::Rank;
use serde_json::Value;
use std::ffi::OsString;
use std::time::Duration;

/// Shortest and longest time between two journal lines while no epoch ends. In between it is the attempt's time divided
/// by [`BEATS_PER_ATTEMPT`].
pub const BEAT_BOUNDS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// The number by which the attempt's time is divided to get the time between two journal lines.
pub const BEATS_PER_ATTEMPT: u32 = 512;
/// A process that is silent for this multiple of the time between two lines, plus `SILENCE_MARGIN_S`, counts as ended.
const SILENCE_FACTOR: f64 = 2.5;
/// Time that is added to the longest silence of a living process, s.
const SILENCE_MARGIN_S: f64 = 5.0;
/// The beginning of the name of a job whose batch system counts restarts.
const RESTART_COUNTING_JOB: &str = "SLURM job";

/// A process, as the opening line of its attempt identifies it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// The name of its machine.
    pub host: String,
    /// Its job, as the launcher names it. None: it is in no job.
    pub job: Option<String>,
    /// Its rank among the processes of the job.
    pub rank: Rank,
    /// The number of restarts of the job by the batch system. None: unknown.
    pub restarts: Option<u64>,
}

impl Process {
    /// This process, with the number of restarts from the environment.
    pub fn new(
        host: String,
        job: Option<String>,
        rank: Rank,
        environment: &dyn Fn(&str) -> Option<OsString>,
    ) -> Process {
        let is_counted = job.as_ref().is_some_and(|job| job.starts_with(RESTART_COUNTING_JOB));
        let restarts = environment("SLURM_RESTART_COUNT").filter(|_| is_counted);
        Process { host, job, rank, restarts: restarts.and_then(|count| count.to_str()?.parse().ok()) }
    }

    /// The process that wrote this opening line.
    pub fn of_opening(line: &Value) -> Process {
        let text = |pointer: &str| line.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let number = |name: &str| line.get(name).and_then(Value::as_u64);
        let rank = Rank { number: number("rank"), of: number("ranks"), local: None };
        Process { host: text("/run/host").unwrap_or_default(), job: text("/job"), rank, restarts: number("restarts") }
    }

    /// Whether the job was restarted after the other process. Then the batch system has ended the other process.
    fn is_restart_after(&self, other: &Process) -> bool {
        self.is_of_job(other) && self.restarts.unwrap_or(0) > other.restarts.unwrap_or(0)
    }

    /// Whether both processes are in one job.
    pub fn is_of_job(&self, other: &Process) -> bool {
        self.job.is_some() && self.job == other.job
    }
}

/// What the journal's lock proves about the last attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AttemptLock {
    /// This process holds the lock, and all clients of the file system share locks. The last attempt has ended.
    Free,
    /// Another process, with this number, holds the lock. 0: the number is unknown.
    Held(u32),
    /// Nothing. Locks fail here, or are not shared with other machines.
    Unknown,
}

/// What the attempt's page in shared memory (`crash_counter.rs`) shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StatusPage {
    /// This machine has no page of the attempt.
    Missing,
    /// The attempt's process has ended.
    Dead,
    /// The attempt's process, with this number, is alive. 0: the number is unknown.
    Living(u32),
}

/// The evidence on the last attempt of a run.
#[derive(Clone, Debug)]
pub struct AttemptEvidence {
    /// What the lock of the journal shows.
    pub lock: AttemptLock,
    /// What its page in shared memory shows.
    pub page: StatusPage,
    /// The journal's last line reports its end.
    pub is_ended: bool,
    /// Its process.
    pub last: Process,
    /// Time since the last write to the journal, s.
    pub silent_s: f64,
    /// Time from its first to its last line, s.
    pub worked_s: f64,
}

/// Whether another process may continue the journal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ContinueDecision {
    /// Yes. No process writes it.
    Free,
    /// No. The process with this number writes it. 0: the number is unknown.
    Held(u32),
    /// Not yet. A process may still write it; that is decided only after this time, s.
    Unsure(f64),
}

impl AttemptEvidence {
    /// Decides whether `this` process may continue the journal.
    pub fn decide(&self, this: &Process) -> ContinueDecision {
        match (self.lock, self.page) {
            (AttemptLock::Held(holder), _) | (_, StatusPage::Living(holder)) => return ContinueDecision::Held(holder),
            (AttemptLock::Free, _) => return ContinueDecision::Free,
            (AttemptLock::Unknown, _) => (),
        }
        let has_ended_here = self.page == StatusPage::Dead && self.last.host == this.host;
        let wait_s = max_silence_s(self.worked_s) - self.silent_s;
        if self.is_ended || has_ended_here || this.is_restart_after(&self.last) || wait_s < 0.0 {
            ContinueDecision::Free
        } else {
            ContinueDecision::Unsure(wait_s)
        }
    }
}

/// The longest silence, s, of a living attempt that has worked for `worked_s`, s.
pub fn max_silence_s(worked_s: f64) -> f64 {
    let (shortest, longest) = (BEAT_BOUNDS.0.as_secs_f64(), BEAT_BOUNDS.1.as_secs_f64());
    let beat_s = match worked_s.is_nan() {
        true => longest,
        false => (worked_s / f64::from(BEATS_PER_ATTEMPT)).clamp(shortest, longest),
    };
    SILENCE_FACTOR * beat_s + SILENCE_MARGIN_S
}

#[cfg(test)]
mod tests;
