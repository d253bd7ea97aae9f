//! The operating system: clocks, processes, threads, files, locks and memory. All `libc` calls are here.
//!
//! In: requests from the other folders. Out: plain values and handles. Never: it measures nothing and writes no run
//! file.

mod affinity;
mod ancestry;
pub mod child;
mod condvar;
pub mod disk;
pub mod exit;
mod held;
mod instant;
mod kin;
mod local_time;
mod lock;
#[allow(unsafe_code)]
pub mod memory;
mod nvml_field;
mod per_process;
mod process;
mod promise;
mod segment;
mod shared_page;
mod streams;
mod table;
pub mod terminal;
pub mod text;
mod thread;
pub mod worker;
pub mod world;

pub use affinity::{CpuSet, processors_online, room_for_this_thread, widen_affinity};
pub use ancestry::ancestors;
pub use condvar::Condvar;
pub use held::{HeldFile, lost, lost_descriptors};
#[cfg(test)]
pub use held::{close_number, replace_number};
pub use instant::Instant;
pub use kin::{Kin, kin};
pub use local_time::local_time;
pub use lock::{LOCK_WAIT, lock, lock_within, wait_for_lock};
pub use nvml_field::nvml_watts;
pub use per_process::PerProcess;
pub use process::{
    has_own_thread, is_alive, is_first_pid_namespace, page_bytes, pid_namespace, process_id, process_start,
    ticks_per_second, user, user_name,
};
pub use promise::Promise;
pub use segment::{Segment, abandoned};
pub use shared_page::ForkMark;
pub use streams::above_streams;
pub use table::OwnTable;
pub use thread::{JoinHandle, Thread, Undisturbed, begin, join_within, park_timeout, pause, spawn_quiet};

use crate::clock::{ClockSample, MonoNs, UnixS};
use crate::sanitize;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The machine's boot on the library's clock, ns. The 36 years before it leave space for the past of a resumed run.
const START: MonoNs = MonoNs(1 << 60);

/// Now on CLOCK_MONOTONIC, in ns, counted from [`START`]. Changes of the date do not affect this clock.
pub fn monotonic_ns() -> MonoNs {
    world::ask(|world| world.clocks().monotonic).unwrap_or_else(|| clock_ns(libc::CLOCK_MONOTONIC))
}

fn clock_ns(clock: libc::clockid_t) -> MonoNs {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a timespec to write to. Every Linux has these clocks.
    unsafe { libc::clock_gettime(clock, &mut now) };
    START + (now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

/// Processor time of the current thread, ns. In a simulated world it takes none.
pub fn thread_time_ns() -> u64 {
    if world::is_entered() { 0 } else { clock_ns(libc::CLOCK_THREAD_CPUTIME_ID).ns_since(START) }
}

/// The three clocks at this moment.
pub fn clock_sample() -> ClockSample {
    if let Some(sample) = world::ask(|world| world.clocks()) {
        return sample;
    }
    ClockSample { boot_ns: clock_ns(libc::CLOCK_BOOTTIME).0, monotonic: monotonic_ns(), unix: unix_s() }
}

/// The time of day, in s since 1970 UTC.
pub fn unix_s() -> UnixS {
    UnixS(date().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64())
}

/// The time of day.
pub fn date() -> SystemTime {
    let since = |at: UnixS| UNIX_EPOCH + Duration::try_from_secs_f64(at.0).unwrap_or_default();
    world::ask(|world| since(world.clocks().unix)).unwrap_or_else(SystemTime::now)
}

/// The machine's name; "unknown" if it has none.
pub fn hostname() -> String {
    if world::is_entered() {
        return "simulated".into();
    }
    let mut name = [0u8; 256];
    // SAFETY: the buffer is longer than the length passed. Its last byte stays 0.
    let failed = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) } != 0;
    match CStr::from_bytes_until_nul(&name) {
        Ok(name) if !failed && !name.is_empty() => sanitize::text(name.to_string_lossy()),
        _ => "unknown".into(),
    }
}

/// 64 random bits that identify a run. Without random bits from the kernel, they are made from the clock.
pub fn random_u64() -> u64 {
    if let Some(number) = world::ask(|world| world.random()) {
        return number;
    }
    let mut bits = [0u8; 8];
    // SAFETY: the buffer has the length passed.
    let got = unsafe { libc::syscall(libc::SYS_getrandom, bits.as_mut_ptr(), bits.len(), libc::GRND_NONBLOCK) };
    if got == bits.len() as libc::c_long {
        u64::from_ne_bytes(bits)
    } else {
        monotonic_ns().0 ^ (u64::from(process_id()) << 32)
    }
}

/// Whether a system error means that the limit of open files is reached.
pub fn is_out_of_descriptors(error: i32) -> bool {
    [libc::EMFILE, libc::ENFILE].contains(&error)
}

/// Loads a shared library by its name or path. It stays loaded until the process ends. The error is the loader's text.
pub fn load_library(name: &OsStr) -> Result<(), String> {
    let name = CString::new(name.as_bytes()).map_err(|_| "a name with a NUL".to_owned())?;
    // SAFETY: `name` ends with NUL. The loader's text belongs to this thread and is copied before the next call.
    unsafe {
        if !libc::dlopen(name.as_ptr(), libc::RTLD_LAZY | libc::RTLD_LOCAL).is_null() {
            return Ok(());
        }
        let error = libc::dlerror();
        let text = if error.is_null() { c"it cannot be loaded" } else { CStr::from_ptr(error) };
        Err(sanitize::text(text.to_string_lossy()))
    }
}

/// An environment variable. None in a program with more rights than its user (setuid): its user must not choose the
/// libraries that it loads.
pub fn variable(name: &str) -> Option<OsString> {
    if let Some(value) = world::ask(|world| world.variable(name)) {
        return value;
    }
    if is_privileged() { None } else { std::env::var_os(name) }
}

/// Whether the program has more rights than its user (setuid).
pub fn is_privileged() -> bool {
    // SAFETY: the call takes and returns a number; 0 if the entry is missing.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Flag of open: refuses a symbolic link, which another user may have created.
pub const NO_FOLLOW: i32 = libc::O_NOFOLLOW;

/// Flag of open: does not wait, as a pipe would without a writer.
pub const NO_WAIT: i32 = libc::O_NONBLOCK;

/// The largest file that this process may write, bytes. A longer write would raise SIGXFSZ, which kills.
pub fn file_size_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is an rlimit to write to.
    if unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) } == 0 { limit.rlim_cur } else { u64::MAX }
}

/// The FNV-1a hash. It is the same in every build.
pub fn stable_hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325;
    bytes.into_iter().fold(start, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Opens a system-wide counting event of a performance monitoring unit (PMU) on one processor.
pub fn perf_event(pmu_type: u32, config: u64, cpu: i32) -> io::Result<OwnedFd> {
    /// The first published form of perf_event_attr (PERF_ATTR_SIZE_VER0). Counting needs no more.
    #[repr(C)]
    struct Attr {
        pmu_type: u32,
        size: u32,
        config: u64,
        rest: [u64; 6],
    }
    let attr = Attr { pmu_type, size: size_of::<Attr>() as u32, config, rest: [0; 6] };
    const EVERY_PROCESS: libc::pid_t = -1;
    const NO_GROUP: libc::c_int = -1;
    const CLOSE_ON_EXEC: libc::c_ulong = 8;
    // SAFETY: `attr` has the size that it states, and the kernel only reads it.
    let fd = unsafe {
        libc::syscall(libc::SYS_perf_event_open, &attr, EVERY_PROCESS, cpu as libc::c_int, NO_GROUP, CLOSE_ON_EXEC)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel returned this descriptor just now, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
