//! The processors that threads may run on.

use super::{text, world};
use std::mem::MaybeUninit;
use std::path::Path;

/// The number of processors online; 0 if it is unknown.
pub fn processors_online() -> usize {
    // SAFETY: the call takes and returns a number; -1 means failure.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }).unwrap_or(0)
}

/// A set of processors, as a mask of the kernel.
#[derive(Clone, Copy)]
pub struct CpuSet(libc::cpu_set_t);

impl CpuSet {
    /// The processors that this thread may run on. None if the kernel does not return them (more than 1024 processors).
    pub fn of_this_thread() -> Option<CpuSet> {
        CpuSet::of_thread(0)
    }

    fn of_thread(tid: i32) -> Option<CpuSet> {
        let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
        // SAFETY: the buffer has the size passed. All bits 0 are a valid set.
        unsafe {
            (libc::sched_getaffinity(tid, size_of::<libc::cpu_set_t>(), set.as_mut_ptr()) == 0)
                .then(|| CpuSet(set.assume_init()))
        }
    }

    /// The processors that any thread of the application may run on. The library's own threads are left out: they keep
    /// the mask that was set when they started.
    pub fn of_this_process() -> Option<CpuSet> {
        CpuSet::of_threads("/proc/self/task", CpuSet::of_this_thread()?)
    }

    /// The processors that any thread of a process may run on, without those of this library. None: it has ended.
    pub fn of_process(process: u32) -> Option<CpuSet> {
        CpuSet::of_threads(&format!("/proc/{process}/task"), CpuSet::of_thread(i32::try_from(process).ok()?)?)
    }

    /// The processors of a set and of the threads in this folder.
    fn of_threads(tasks: &str, mut union: CpuSet) -> Option<CpuSet> {
        for task in std::fs::read_dir(tasks).ok()?.flatten() {
            let tid = task.file_name().to_str().and_then(|tid| tid.parse().ok());
            let Some(set) = tid.and_then(CpuSet::of_thread) else { continue };
            let more: Vec<usize> = set.cpus().filter(|&cpu| !union.contains(cpu)).collect();
            if !more.is_empty() && !is_own_thread(&task.path()) {
                // SAFETY: each number is from a set of the same size.
                more.into_iter().for_each(|cpu| unsafe { libc::CPU_SET(cpu, &mut union.0) });
            }
        }
        Some(union)
    }

    /// Whether the set contains the processor `cpu`.
    pub fn contains(&self, cpu: usize) -> bool {
        // SAFETY: `cpu` is below the set's size.
        cpu < libc::CPU_SETSIZE as usize && unsafe { libc::CPU_ISSET(cpu, &self.0) }
    }

    /// The processors of the set by number, in ascending order.
    pub fn cpus(&self) -> impl Iterator<Item = usize> + '_ {
        (0..libc::CPU_SETSIZE as usize).filter(|&cpu| self.contains(cpu))
    }

    /// Makes this thread run on the set's processors only. If the kernel refuses, the thread keeps its own.
    pub fn apply_to_this_thread(&self) {
        // SAFETY: a valid set of the size passed.
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &self.0) };
    }
}

/// Whether a folder of /proc/self/task is that of a thread of this library: their names begin with "ct-".
pub fn is_own_thread(task: &Path) -> bool {
    text::read(&task.join("comm"), text::MAX_SYS_BYTES).is_ok_and(|name| name.starts_with("ct-"))
}

/// If this thread is pinned to one processor, allows it all processors of its process. Otherwise a sampler would share
/// its processor with a busy thread of the application and read late.
pub fn widen_affinity() {
    if world::is_entered() {
        return;
    }
    if let Some(set) = room_for_this_thread() {
        set.apply_to_this_thread();
    }
}

/// The processors of the process, if this thread is pinned to one and the process has more. None otherwise.
pub fn room_for_this_thread() -> Option<CpuSet> {
    CpuSet::of_this_thread().filter(|own| own.cpus().count() == 1)?;
    CpuSet::of_this_process().filter(|process| process.cpus().count() > 1)
}
