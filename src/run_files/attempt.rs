//! Whether a journal's last process still works on its run. Pure.
//!
//! A lock that can be taken proves that the process has ended only where all clients of a file system share their locks.
//! Elsewhere the journal itself must show it: by its host, its job and the time of its last line.

use crate::coordination::job::Rank;
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Numbers without an epoch are written this often at first, later at intervals of the process's time divided by `BEATS`.
pub const BEAT: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// See `BEAT`.
pub const BEATS: u32 = 512;
/// A process may be late by this factor and this time, s, before its silence counts as its end.
const LATE: (f64, f64) = (2.5, 5.0);
/// How a job is named whose batch system counts its restarts.
const COUNTS_RESTARTS: &str = "SLURM job";

/// A process, as a journal's first line identifies it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// Its machine.
    pub host: String,
    /// Its job, as its launcher names it.
    pub job: Option<String>,
    /// Its place among the processes of the job.
    pub rank: Rank,
    /// How often the batch system has started the job again.
    pub restarts: Option<u64>,
}

impl Process {
    /// The process of this environment.
    pub fn new(
        host: String,
        job: Option<String>,
        rank: Rank,
        environment: &dyn Fn(&str) -> Option<OsString>,
    ) -> Process {
        let is_counted = job.as_ref().is_some_and(|job| job.starts_with(COUNTS_RESTARTS));
        let restarts = environment("SLURM_RESTART_COUNT").filter(|_| is_counted);
        Process { host, job, rank, restarts: restarts.and_then(|count| count.to_str()?.parse().ok()) }
    }

    /// The process that wrote this first line.
    pub fn of_opening(line: &Value) -> Process {
        let text = |pointer: &str| line.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let number = |name: &str| line.get(name).and_then(Value::as_u64);
        let rank = Rank { number: number("rank"), of: number("ranks"), local: None };
        Process { host: text("/run/host").unwrap_or_default(), job: text("/job"), rank, restarts: number("restarts") }
    }

    /// Whether its job was started again after that process: the batch system has ended that process then.
    fn is_restart_after(&self, other: &Process) -> bool {
        self.is_of_job(other) && self.restarts.unwrap_or(0) > other.restarts.unwrap_or(0)
    }

    /// Whether both are processes of one job.
    pub fn is_of_job(&self, other: &Process) -> bool {
        self.job.is_some() && self.job == other.job
    }
}

/// What the journal's lock shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AttemptLock {
    /// This process has it, and each client of the file system would know if another had.
    Free,
    /// Another process has it.
    Held(u32),
    /// Nothing: locks fail here, or reach no further than this machine.
    Unknown,
}

/// What the page in memory shows that the process keeps on its machine (`tally.rs`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StatusPage {
    /// There is none on this machine.
    Missing,
    /// Its process has ended.
    Dead,
    /// Its process lives.
    Living(u32),
}

/// What is known of the process that wrote a journal last.
#[derive(Clone, Debug)]
pub struct Signs {
    /// The journal's lock.
    pub lock: AttemptLock,
    /// The process's page.
    pub page: StatusPage,
    /// The journal's last line reports the process's end.
    pub is_ended: bool,
    /// The process.
    pub last: Process,
    /// Time since the journal was written last, s.
    pub silent_s: f64,
    /// Time from the process's first to its last line, s.
    pub worked_s: f64,
}

/// Whether the journal may be continued.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Nobody writes it.
    Free,
    /// This process writes it.
    Held(u32),
    /// Its process may live: that is certain only after this time, s.
    Unsure(f64),
}

impl Signs {
    /// Whether `this` process may continue the journal.
    pub fn verdict(&self, this: &Process) -> Verdict {
        match (self.lock, self.page) {
            (AttemptLock::Held(holder), _) | (_, StatusPage::Living(holder)) => return Verdict::Held(holder),
            (AttemptLock::Free, _) => return Verdict::Free,
            (AttemptLock::Unknown, _) => (),
        }
        let has_ended_here = self.page == StatusPage::Dead && self.last.host == this.host;
        let wait_s = patience_s(self.worked_s) - self.silent_s;
        if self.is_ended || has_ended_here || this.is_restart_after(&self.last) || wait_s < 0.0 {
            Verdict::Free
        } else {
            Verdict::Unsure(wait_s)
        }
    }
}

/// How long a process that has worked for this time, s, may be silent, s.
pub fn patience_s(worked_s: f64) -> f64 {
    let (shortest, longest) = (BEAT.0.as_secs_f64(), BEAT.1.as_secs_f64());
    // max and min rather than clamp: a time that is no number must not count as a short one.
    let beat_s = if worked_s.is_nan() { longest } else { (worked_s / f64::from(BEATS)).clamp(shortest, longest) };
    LATE.0 * beat_s + LATE.1
}

/// Whether a lock of a file at this absolute path, through no link, keeps out each client of its file system, by the text
/// of /proc/self/mountinfo.
pub fn locks_are_shared(mounts: &str, path: &Path) -> bool {
    let mounts = mounts.lines().filter_map(Mount::parse).filter(|mount| path.starts_with(&mount.point));
    // Of several at one place the last hides the others.
    let mount = mounts.max_by_key(|mount| mount.point.components().count());
    mount.is_some_and(|mount| mount.shares_locks())
}

/// A mounted file system.
struct Mount<'a> {
    point: PathBuf,
    kind: &'a str,
    options: Vec<&'a str>,
}

/// File systems of one machine, and those whose clients share record locks whatever their options are.
const SHARING: [&str; 19] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "bcachefs", "f2fs", "jfs", "reiserfs", "nilfs2", "vfat", "exfat",
    "tmpfs", "ramfs", "rootfs", "overlay", "gpfs", "ceph",
];

impl<'a> Mount<'a> {
    /// A line: ID PARENT DEVICE ROOT POINT OPTIONS [FIELD …] - TYPE SOURCE OPTIONS
    fn parse(line: &'a str) -> Option<Mount<'a>> {
        let (place, what) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(4);
        let (point, options) = (place.next()?, place.next()?);
        let mut what = what.split(' ');
        let (kind, of_system) = (what.next()?, what.nth(1).unwrap_or_default());
        let options = options.split(',').chain(of_system.split(',')).collect();
        Some(Mount { point: unescaped(point).into(), kind, options })
    }

    fn shares_locks(&self) -> bool {
        let has = |option: &str| self.options.contains(&option);
        match self.kind {
            "nfs" | "nfs4" => !["nolock", "local_lock=posix", "local_lock=all"].into_iter().any(has),
            "lustre" => has("flock") && !has("localflock"),
            kind => SHARING.contains(&kind),
        }
    }
}

/// A path as it is; mountinfo writes a blank, a tab, a line's end and a backslash as \ and three octal digits.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (code, meant)| text.replace(code, meant))
}

#[cfg(test)]
mod tests;
