//! Where threads may run.

use super::text;
use std::mem::MaybeUninit;

/// How many processors the machine runs on.
pub fn processors_online() -> usize {
    // SAFETY: asks for a number; there is none it can refuse with but -1.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }).unwrap_or(0)
}

/// A set of processors, as the kernel's masks.
#[derive(Clone, Copy)]
pub struct CpuSet(libc::cpu_set_t);

impl CpuSet {
    /// Where this thread may run; None where the kernel will not say (more than 1024 processors).
    pub fn of_this_thread() -> Option<CpuSet> {
        CpuSet::of_thread(0)
    }

    fn of_thread(tid: i32) -> Option<CpuSet> {
        let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
        // SAFETY: the buffer has the size given; zeroed bits are a valid set.
        unsafe {
            (libc::sched_getaffinity(tid, size_of::<libc::cpu_set_t>(), set.as_mut_ptr()) == 0)
                .then(|| CpuSet(set.assume_init()))
        }
    }

    /// Where any of the host's threads may run. Ours do not count: they have the masks of their time.
    pub fn of_this_process() -> Option<CpuSet> {
        let mut union = CpuSet::of_this_thread()?;
        for task in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
            let tid = task.file_name().to_str().and_then(|tid| tid.parse().ok());
            let Some(set) = tid.and_then(CpuSet::of_thread) else { continue };
            let more: Vec<usize> = set.cpus().filter(|&cpu| !union.contains(cpu)).collect();
            let name = || text::read(&task.path().join("comm"), text::SMALL);
            let is_ours = || name().is_ok_and(|name| name.starts_with("ct-"));
            if !more.is_empty() && !is_ours() {
                // SAFETY: each number came from a set of the same size.
                more.into_iter().for_each(|cpu| unsafe { libc::CPU_SET(cpu, &mut union.0) });
            }
        }
        Some(union)
    }

    /// Whether this processor is in it.
    pub fn contains(&self, cpu: usize) -> bool {
        // SAFETY: the number asked for is below the set's size.
        cpu < libc::CPU_SETSIZE as usize && unsafe { libc::CPU_ISSET(cpu, &self.0) }
    }

    /// The processors in it, by number.
    pub fn cpus(&self) -> impl Iterator<Item = usize> + '_ {
        (0..libc::CPU_SETSIZE as usize).filter(|&cpu| self.contains(cpu))
    }

    /// Lets this thread run there.
    pub fn apply_to_this_thread(&self) {
        // SAFETY: a valid set of the size given. A refusal leaves the mask as it was, which is harmless.
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &self.0) };
    }
}

/// Gives a thread pinned to one processor the room its process has elsewhere: a sampler that shares
/// its only processor with a busy host thread reads late. Never more than the process's own threads have.
pub fn widen_affinity() {
    room_for_this_thread().into_iter().for_each(|set| set.apply_to_this_thread());
}

/// The room for a thread that is pinned to one processor, where its process has more.
pub fn room_for_this_thread() -> Option<CpuSet> {
    CpuSet::of_this_thread().filter(|own| own.cpus().count() == 1)?;
    CpuSet::of_this_process().filter(|process| process.cpus().count() > 1)
}
