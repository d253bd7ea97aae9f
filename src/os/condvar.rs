//! A condition variable that a simulated world can wait on.

use super::instant::nanos;
use super::{monotonic_ns, world};
use crate::clock::MonoNs;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// Wakes threads that wait for a change of what a mutex guards. A poisoned mutex counts as locked.
#[derive(Default)]
pub struct Condvar(std::sync::Condvar);

impl Condvar {
    /// A condition variable.
    pub const fn new() -> Condvar {
        Condvar(std::sync::Condvar::new())
    }

    /// Wakes all waiting threads.
    pub fn notify_all(&self) {
        world::ask(|world| world.notify(self.address()));
        self.0.notify_all();
    }

    /// Waits until `waits` is false or the time is up. `guard` must be of `mutex`. Returns the guard.
    pub fn wait_timeout_while<'a, T>(
        &self,
        mutex: &'a Mutex<T>,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut waits: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        if world::is_entered() {
            let until = monotonic_ns() + nanos(timeout);
            return self.wait_in_world(mutex, guard, until, waits);
        }
        match self.0.wait_timeout_while(guard, timeout, |state| waits(state)) {
            Ok((guard, _)) => guard,
            Err(poisoned) => poisoned.into_inner().0,
        }
    }

    fn wait_in_world<'a, T>(
        &self,
        mutex: &'a Mutex<T>,
        mut guard: MutexGuard<'a, T>,
        until: MonoNs,
        mut waits: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while waits(&mut guard) && monotonic_ns() < until {
            drop(guard);
            world::ask(|world| world.wait(self.address(), until));
            guard = mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        guard
    }

    /// Identifies this value among those that exist at the same time.
    fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }
}
