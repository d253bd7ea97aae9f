//! `os/` on the scheduler's machine, and the real `std::os`.

#[path = "../../../../src/os/condvar.rs"]
mod condvar;
#[path = "../../../../src/os/instant.rs"]
mod instant;
#[path = "../../../../src/os/lock.rs"]
mod lock;
#[path = "../../../../src/os/per_process.rs"]
mod per_process;
#[path = "../../../../src/os/promise.rs"]
mod promise;
#[path = "../../../../src/os/worker.rs"]
pub mod worker;

use super::process;
pub use super::process::id as process_id;
pub use super::segment::{Segment, abandoned};
pub use super::thread::{Running as JoinHandle, Thread, join_within, park_timeout, spawn_quiet};
use crate::clock::MonoNs;
use crate::faults::{Fault, is};
pub use carbontracker::os::{memory, stable_hash};
pub use condvar::Condvar;
pub use instant::Instant;
pub use lock::{LOCK_WAIT, lock, lock_within};
pub use per_process::PerProcess;
pub use promise::Promise;
use real_std::cell::Cell;
pub use real_std::os::*;
use real_std::time::Duration;

/// Time between two looks at the clock while no lock is free, so that a wait for it is short, ns.
const LONG_LOOK_NS: u64 = 1_000_000_000;
const START: MonoNs = MonoNs(1 << 60);

real_std::thread_local! {
    /// The clock advances at each look and each pause. It is the same in each replay.
    static NOW: Cell<MonoNs> = const { Cell::new(START) };
    static LOOK_NS: Cell<u64> = const { Cell::new(0) };
}

/// Resets the clock before an execution. `look_ns` is the time between two looks at it.
pub fn reset(look_ns: u64) {
    NOW.set(START);
    LOOK_NS.set(look_ns);
    world::reset();
}

pub fn monotonic_ns() -> MonoNs {
    NOW.set(NOW.get() + if is(Fault::DeniedTryLock) { LONG_LOOK_NS } else { LOOK_NS.get() });
    NOW.get()
}

pub fn pause(time: Duration) {
    NOW.set(NOW.get() + time.as_nanos() as u64);
    shuttle::thread::yield_now();
}

pub fn user() -> u32 {
    0
}

pub fn pid_namespace() -> u64 {
    1
}

pub fn process_start(_: u32) -> Option<u64> {
    Some(1)
}

pub fn is_alive(process: u32, _: u64) -> bool {
    process::is_alive(process)
}

/// Whether a process has a thread of the library. No process replaces its program here.
pub fn has_own_thread(process: u32) -> bool {
    is_alive(process, 0)
}

/// Threads that an exit waits for.
pub mod exit {
    pub struct Counted;

    impl Counted {
        pub fn start() -> Counted {
            Counted
        }
    }
}

/// No thread is in a simulated world, but each process has its own values.
pub mod world {
    use crate::shim::process;
    use crate::sync::Mutex;
    pub use carbontracker::os::world::World;
    use real_std::any::Any;
    use real_std::cell::RefCell;
    use real_std::collections::BTreeMap;

    real_std::thread_local! {
        /// The values of processes, by process and by address of the static.
        static VALUES: RefCell<BTreeMap<(u32, usize), Box<dyn Any>>> = const { RefCell::new(BTreeMap::new()) };
    }

    pub fn reset() {
        VALUES.take();
    }

    pub fn ask<R>(_question: impl FnOnce(&dyn World) -> R) -> Option<R> {
        None
    }

    pub fn is_entered() -> bool {
        false
    }

    pub fn value_of_process<S, T: Default + 'static>(of: &'static S) -> Option<&'static Mutex<T>> {
        let key = (process::id(), real_std::ptr::from_ref(of) as usize);
        VALUES.with_borrow_mut(|values| {
            let value = values.entry(key).or_insert_with(|| Box::new(Mutex::new(T::default())));
            let value: *const Mutex<T> = value.downcast_ref()?;
            // SAFETY: the value is in a box until the next execution. No thread of this execution runs then.
            Some(unsafe { &*value })
        })
    }
}
