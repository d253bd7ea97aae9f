//! Threads that neither disturb the application nor are disturbed by it.

use super::instant::nanos;
use super::{Instant, Promise, monotonic_ns, world};
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// The most by which one look at a thread shortens the wait for its end.
const MAX_SLICE: Duration = Duration::from_millis(20);

/// A handle of a thread, by which it is woken.
#[derive(Clone)]
pub struct Thread(Handle<std::thread::Thread>);

/// The right to wait for a thread's end.
pub struct JoinHandle(Handle<std::thread::JoinHandle<()>>);

/// A thread of the system, or of a simulated world.
#[derive(Clone)]
enum Handle<T> {
    Real(T),
    Simulated(world::Task),
}

impl Thread {
    /// The current thread.
    pub fn current() -> Thread {
        let simulated = world::ask(|world| Handle::Simulated(world.current()));
        Thread(simulated.unwrap_or_else(|| Handle::Real(std::thread::current())))
    }

    /// Ends the thread's current park, or its next one.
    pub fn unpark(&self) {
        match &self.0 {
            Handle::Real(thread) => thread.unpark(),
            Handle::Simulated(task) => drop(world::ask(|world| world.unpark(*task))),
        }
    }
}

impl JoinHandle {
    /// The thread's handle.
    pub fn thread(&self) -> Thread {
        Thread(match &self.0 {
            Handle::Real(running) => Handle::Real(running.thread().clone()),
            Handle::Simulated(task) => Handle::Simulated(*task),
        })
    }

    /// Whether the thread has ended.
    fn is_finished(&self) -> bool {
        match &self.0 {
            Handle::Real(running) => running.is_finished(),
            Handle::Simulated(task) => world::ask(|world| world.is_finished(*task)).unwrap_or(true),
        }
    }
}

/// Suspends the current thread until it is unparked or the time is up. It may return early.
pub fn park_timeout(time: Duration) {
    if world::ask(|world| world.park(monotonic_ns() + nanos(time))).is_none() {
        std::thread::park_timeout(time);
    }
}

/// Sleeps for `time`. Unlike `std::thread::sleep`, it does not abort in a sandbox that refuses clock_nanosleep.
/// It does not use up the thread's unpark token.
pub fn pause(time: Duration) {
    if world::ask(|world| world.sleep(monotonic_ns() + nanos(time))).is_some() {
        return;
    }
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

/// PTHREAD_CANCEL_DISABLE in glibc and musl.
const CANCEL_DISABLE: libc::c_int = 1;

/// Space for the fenv_t of any libc (32 bytes on x86-64, 8 on aarch64).
type FloatEnv = [u64; 16];

/// FE_DFL_ENV: -1 in glibc and musl; an address in glibc on POWER.
#[cfg(not(all(target_arch = "powerpc64", target_env = "gnu")))]
const DEFAULT_FLOATS: *const FloatEnv = usize::MAX as *const FloatEnv;
#[cfg(all(target_arch = "powerpc64", target_env = "gnu"))]
const DEFAULT_FLOATS: *const FloatEnv = &raw const __fe_dfl_env;
#[cfg(all(target_arch = "powerpc64", target_env = "gnu"))]
unsafe extern "C" {
    static __fe_dfl_env: FloatEnv;
}

/// While this value lives, its thread has the default floating-point environment and cannot be cancelled. Dropping it
/// restores the application's state.
///
/// An application built with -ffpe-trap would be killed by rounding in this library. A cancellation would unwind Rust
/// code in a way that Rust does not allow.
pub struct Undisturbed {
    floats: FloatEnv,
    cancellation: libc::c_int,
}

impl Undisturbed {
    /// Saves the state of the calling thread and sets the library's.
    pub fn enter() -> Self {
        let mut saved = Undisturbed { floats: [0; 16], cancellation: 0 };
        // SAFETY: the buffers are as large as these calls write. Both libcs accept FE_DFL_ENV.
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
        // SAFETY: `enter` filled both fields, and fesetenv raises no exception.
        unsafe {
            fesetenv(&self.floats);
            pthread_setcancelstate(self.cancellation, std::ptr::null_mut());
        }
    }
}

/// Whether no thread has begun within [`BEGIN_WAIT`]: the caller has the loader's lock, as in the constructor of a
/// library. Until one begins, nothing waits for another.
static IS_LOADER_BUSY: AtomicBool = AtomicBool::new(false);
/// Longest wait for a thread to begin.
pub const BEGIN_WAIT: Duration = Duration::from_millis(250);

/// Starts a thread with all signals blocked, so that it never receives one of the application. It returns when the
/// thread has its thread-local variables: glibc ends the program if the application has used up the memory for them.
pub fn spawn_quiet(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle> {
    if world::is_entered() {
        let task = world::ask(|world| world.spawn(name, Box::new(body))).unwrap_or(Err(io::ErrorKind::Other.into()))?;
        return Ok(JoinHandle(Handle::Simulated(task)));
    }
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises `all`. pthread_sigmask then writes this thread's mask to `before`.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let begun = Arc::new(Promise::default());
    let keeps = Arc::clone(&begun);
    let may_begin = !IS_LOADER_BUSY.load(Ordering::Relaxed);
    let thread = std::thread::Builder::new().name(name.into()).stack_size(512 << 10).spawn(move || {
        let _undisturbed = Undisturbed::enter();
        drop(std::thread::current()); // registers the destructor of its handle
        IS_LOADER_BUSY.store(false, Ordering::Relaxed);
        keeps.keep(());
        body();
    });
    // SAFETY: pthread_sigmask filled `before` above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    let thread = thread?;
    if may_begin && begun.wait(BEGIN_WAIT).is_none() {
        IS_LOADER_BUSY.store(true, Ordering::Relaxed);
    }
    Ok(JoinHandle(Handle::Real(thread)))
}

/// Starts work on a thread of its own and promises its result. The caller can limit its wait.
pub fn begin<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<Arc<Promise<T>>> {
    let result = Arc::new(Promise::default());
    let keeps = Arc::clone(&result);
    spawn_quiet(name, move || keeps.keep(work()))?;
    Ok(result)
}

/// Waits at most `patience` for a thread to end. Returns whether it has ended; otherwise the thread is detached. A stop
/// of the process uses up little of the time: the thread was stopped too.
pub fn join_within(thread: JoinHandle, patience: Duration) -> bool {
    let (mut left, mut before) = (patience, Instant::now());
    while !thread.is_finished() {
        if left.is_zero() {
            return false;
        }
        pause(Duration::from_micros(200));
        let now = Instant::now();
        left = left.saturating_sub(now.saturating_duration_since(before).min(MAX_SLICE));
        before = now;
    }
    if let Handle::Real(thread) = thread.0 {
        let _ = thread.join();
    }
    true
}
