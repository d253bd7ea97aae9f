//! Finds the record of a job in shared memory, and removes the records of killed jobs.

use super::record::{LeaseRecord, Member, NUMBERS};
use crate::clock::MonoNs;
use crate::os::{self, Segment};
use std::io;

/// A process is silent after this time without a poll, ns.
const MAX_SILENCE_NS: u64 = 5_000_000_000;
/// Age, s, after which the record of a killed job is removed.
const MAX_ABANDONED_S: u64 = 24 * 3600;
/// Count of keys tried for a record, because another program may use the first.
const MAX_KEYS: u64 = 8;

/// Whether a process has not polled for so long that it may have ended. The state of its threads shows more, if its
/// namespace is this one.
pub fn is_silent(member: &Member, now: MonoNs) -> bool {
    now >= member.beat + MAX_SILENCE_NS
}

/// Whether a process is alive, as far as this namespace of process numbers shows.
pub fn is_alive(member: &Member, namespace: u64, now: MonoNs) -> bool {
    if member.namespace != namespace {
        return !is_silent(member, now);
    }
    // An exec ends the threads of the library, but keeps the process's number and start.
    os::is_alive(member.process, member.started) && (!is_silent(member, now) || os::has_own_thread(member.process))
}

/// The result of a search for a job's record.
pub enum FoundRecord {
    /// The record, and its key.
    Record(Segment, i32),
    /// It was just removed. The caller tries again.
    Removed,
}

/// Finds the memory of a job's record, or creates it.
pub fn find(job: u64, now: MonoNs) -> io::Result<FoundRecord> {
    let mut failure = io::Error::from(io::ErrorKind::AddrInUse);
    for n in 0..MAX_KEYS {
        let key = (job.wrapping_add(n) as u32 | 1 << 30) as i32; // 0 would be a private one
        let memory = Segment::share(key, NUMBERS).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Segment::create(key, NUMBERS),
            _ => Err(error),
        });
        match memory {
            Ok(memory) if LeaseRecord(memory.numbers()).is_of(job, now) => return Ok(FoundRecord::Record(memory, key)),
            Ok(_) => (),
            Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::AlreadyExists].contains(&error.kind()) => {
                return Ok(FoundRecord::Removed);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Removes the records of jobs whose last process was killed more than [`MAX_ABANDONED_S`] ago.
pub fn sweep() {
    let (namespace, now) = (os::pid_namespace(), os::monotonic_ns());
    for memory in os::abandoned(NUMBERS, MAX_ABANDONED_S) {
        if LeaseRecord(memory.numbers()).close(&|member| is_alive(member, namespace, now)) {
            memory.remove();
        }
    }
}
