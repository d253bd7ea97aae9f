//! What the library asks of the operating system: clock, process, floating-point environment,
//! a thread of good manners. All `libc` calls stand here.

mod affinity;
mod ancestry;
pub mod child;
pub mod exit;
mod held;
mod kin;
mod lock;
#[allow(unsafe_code)]
pub mod memory;
mod nvml_field;
mod promise;
mod segment;
mod shared_page;
mod table;
pub mod text;
pub mod worker;

pub use affinity::{CpuSet, processors_online, room_for_this_thread, widen_affinity};
pub use ancestry::ancestors;
pub use held::{HeldFile, lost, lost_descriptors};
#[cfg(test)]
pub use held::{close_number, replace_number};
pub use kin::{Kin, kin};
pub use lock::{BRIEF, lock, lock_within};
pub use nvml_field::nvml_watts;
pub use promise::Promise;
pub use segment::{Segment, abandoned};
pub use shared_page::ForkMark;
pub use table::OwnTable;

use crate::clock::{ClockSample, MonoNs, UnixS};
use crate::sanitize;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The machine's start on our clock, ns: what a resumed run did before that has its place in 36 years.
const START: MonoNs = MonoNs(1 << 60);

/// Nanoseconds on CLOCK_MONOTONIC, from [`START`] on: it never steps, whatever NTP or a person does to the date.
pub fn monotonic_ns() -> MonoNs {
    clock_ns(libc::CLOCK_MONOTONIC)
}

fn clock_ns(clock: libc::clockid_t) -> MonoNs {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a timespec to write to; the clocks asked for are there on every Linux.
    unsafe { libc::clock_gettime(clock, &mut now) };
    START + (now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

/// What the clocks say now.
pub fn moment() -> ClockSample {
    ClockSample { boot_ns: clock_ns(libc::CLOCK_BOOTTIME).0, monotonic: monotonic_ns(), unix: unix_s() }
}

/// The date, s since 1970 UTC.
pub fn unix_s() -> UnixS {
    UnixS(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64())
}

/// The machine's name, or "unknown".
pub fn hostname() -> String {
    let mut name = [0u8; 256];
    // SAFETY: the buffer holds the length given; the last byte stays 0.
    let failed = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) } != 0;
    match CStr::from_bytes_until_nul(&name) {
        Ok(name) if !failed && !name.is_empty() => sanitize::text(name.to_string_lossy()),
        _ => "unknown".into(),
    }
}

/// 64 random bits, to tell runs apart; from the clock where the kernel has none to give.
pub fn random_u64() -> u64 {
    let mut bits = [0u8; 8];
    // SAFETY: the buffer holds the length given.
    let got = unsafe { libc::getrandom(bits.as_mut_ptr().cast(), bits.len(), libc::GRND_NONBLOCK) };
    if got == bits.len() as isize {
        u64::from_ne_bytes(bits)
    } else {
        monotonic_ns().0 ^ (u64::from(std::process::id()) << 32)
    }
}

/// The user whose rights this process has.
pub fn user() -> u32 {
    // SAFETY: asks for a number and cannot fail.
    unsafe { libc::geteuid() }
}

/// A user as a person knows it: by number, and by name where the machine has one for it.
pub fn user_name(user: u32) -> String {
    let users = text::read(Path::new("/etc/passwd"), text::LARGE).unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(user) && name.chars().all(|c| c.is_ascii_graphic())).then(|| name.to_owned())
    });
    name.map_or_else(|| format!("user {user}"), |name| format!("user {name} ({user})"))
}

/// Whether a system error means that no more files can be open at once.
pub fn is_out_of_descriptors(error: i32) -> bool {
    [libc::EMFILE, libc::ENFILE].contains(&error)
}

/// Loads a library by its name or path, for as long as the process lives; the error is the loader's.
pub fn load_library(name: &OsStr) -> Result<(), String> {
    let name = CString::new(name.as_bytes()).map_err(|_| "a name with a NUL".to_owned())?;
    // SAFETY: a text ended by NUL. The loader's text is this thread's, and is copied before the next call.
    unsafe {
        if !libc::dlopen(name.as_ptr(), libc::RTLD_LAZY | libc::RTLD_LOCAL).is_null() {
            return Ok(());
        }
        let error = libc::dlerror();
        let words = if error.is_null() { c"it cannot be loaded" } else { CStr::from_ptr(error) };
        Err(sanitize::text(words.to_string_lossy()))
    }
}

/// An environment variable; none in a program that runs with more rights than its user (setuid): it is not the user's to
/// say which library that loads.
pub fn variable(name: &str) -> Option<OsString> {
    // SAFETY: asks for a number; 0 where there is none.
    let is_privileged = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
    if is_privileged { None } else { std::env::var_os(name) }
}

/// To open a file but not through a link that somebody else may have put there.
pub const NO_FOLLOW: i32 = libc::O_NOFOLLOW;

/// To open a file without waiting, as a pipe that somebody else may have put there would have us do.
pub const NO_WAIT: i32 = libc::O_NONBLOCK;

/// How large a file this process may write, bytes: a write beyond it would be a deadly signal.
pub fn file_size_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a rlimit to write to.
    if unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) } == 0 { limit.rlim_cur } else { u64::MAX }
}

/// When a process started, in clock ticks since boot; None: it is dead or unknown. With the process number this identifies the
/// process. One whose main thread has ended lives as long as another of its threads.
pub fn process_start(process: u32) -> Option<u64> {
    let stat = text::read(Path::new(&format!("/proc/{process}/stat")), text::SMALL).ok()?;
    // Fields 3, 20 and 22; the second, the name, is in parentheses and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let [state, threads, start] = [0, 17, 19].map(|place| fields.get(place).copied().unwrap_or_default());
    let is_dead = ["Z", "X", ""].contains(&state) && threads.parse().unwrap_or(0) <= 1;
    Some(start).filter(|_| !is_dead)?.parse().ok()
}

/// Whether a process lives that started then, in clock ticks since boot; 0: that is not known. Without /proc its number decides.
pub fn is_alive(process: u32, started: u64) -> bool {
    // SAFETY: signal 0 is sent to nobody.
    let is_there = || unsafe { libc::kill(process as libc::pid_t, 0) } == 0;
    let has_number = || is_there() || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM);
    match process_start(process) {
        Some(start) => start == started || started == 0,
        None => process_start(std::process::id()).is_none() && has_number(),
    }
}

/// The namespace of this process's number; 0: it is not known.
pub fn pid_namespace() -> u64 {
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |namespace| namespace.ino())
}

/// FNV-1a: a hash that is the same in every build.
pub fn stable_hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325;
    bytes.into_iter().fold(start, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Sleeps. Unlike std's own sleep it does not abort where a sandbox refuses clock_nanosleep; and it leaves the thread's
/// unpark token alone.
pub fn pause(time: Duration) {
    let never = Mutex::new(());
    let guard = never.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    drop(Condvar::new().wait_timeout_while(guard, time, |()| true));
}

#[link(name = "m")]
unsafe extern "C" {
    fn fegetenv(env: *mut FloatEnv) -> libc::c_int;
    fn fesetenv(env: *const FloatEnv) -> libc::c_int;
}

unsafe extern "C" {
    fn pthread_setcancelstate(state: libc::c_int, old: *mut libc::c_int) -> libc::c_int;
}

/// PTHREAD_CANCEL_DISABLE, of glibc and musl.
const CANCEL_DISABLE: libc::c_int = 1;

/// Room for any libc's fenv_t (32 bytes on x86-64, 8 on aarch64).
type FloatEnv = [u64; 16];

/// FE_DFL_ENV: -1 in glibc and musl, but for POWER's glibc, which points to one.
#[cfg(not(all(target_arch = "powerpc64", target_env = "gnu")))]
const DEFAULT_FLOATS: *const FloatEnv = usize::MAX as *const FloatEnv;
#[cfg(all(target_arch = "powerpc64", target_env = "gnu"))]
const DEFAULT_FLOATS: *const FloatEnv = &raw const __fe_dfl_env;
#[cfg(all(target_arch = "powerpc64", target_env = "gnu"))]
unsafe extern "C" {
    static __fe_dfl_env: FloatEnv;
}

/// While it lives, the thread runs in the default floating-point environment and is not cancelled; after it,
/// everything is as the host had it. A host built with -ffpe-trap must not be killed by our rounding, nor see
/// our flags; and pthread_cancel unwinds as no Rust code may be unwound.
pub struct Undisturbed {
    floats: FloatEnv,
    cancellation: libc::c_int,
}

impl Undisturbed {
    /// Saves the caller's state and sets ours.
    pub fn enter() -> Self {
        let mut saved = Undisturbed { floats: [0; 16], cancellation: 0 };
        // SAFETY: the buffers are as large as these calls write; FE_DFL_ENV is a value both libcs take.
        unsafe {
            pthread_setcancelstate(CANCEL_DISABLE, &mut saved.cancellation);
            fegetenv(&mut saved.floats);
            fesetenv(DEFAULT_FLOATS);
        }
        saved
    }
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        // SAFETY: both were filled by `enter`; fesetenv raises no exception.
        unsafe {
            fesetenv(&self.floats);
            pthread_setcancelstate(self.cancellation, std::ptr::null_mut());
        }
    }
}

/// Starts a thread that no signal of the host's reaches: all are blocked before it is born.
pub fn spawn_quiet(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises `all`; pthread_sigmask then writes this thread's mask to `before`.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let thread = std::thread::Builder::new().name(name.into()).stack_size(512 << 10).spawn(move || {
        let _undisturbed = Undisturbed::enter();
        body();
    });
    // SAFETY: `before` was filled above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    thread
}

/// Opens a system-wide counting event of a performance monitoring unit on one processor.
pub fn perf_event(pmu_type: u32, config: u64, cpu: i32) -> io::Result<OwnedFd> {
    /// The first published form of perf_event_attr (PERF_ATTR_SIZE_VER0), all that counting needs.
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
    // SAFETY: `attr` has the size it states and the kernel only reads it.
    let fd = unsafe {
        libc::syscall(libc::SYS_perf_event_open, &attr, EVERY_PROCESS, cpu as libc::c_int, NO_GROUP, CLOSE_ON_EXEC)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Waits for a thread to end, at most this long; then lets it go on alone. Whether it has ended.
pub fn join_within(thread: JoinHandle<()>, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while !thread.is_finished() {
        if Instant::now() >= deadline {
            return false;
        }
        pause(Duration::from_micros(200));
    }
    let _ = thread.join();
    true
}
