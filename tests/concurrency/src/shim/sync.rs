//! `std::sync` of the scheduler.

pub use super::atomic;
use crate::faults::{Fault, is};
pub use real_std::sync::{Arc, LockResult, TryLockError, TryLockResult, Weak};
use real_std::time::Duration;
pub use shuttle::sync::{MutexGuard, Once, WaitTimeoutResult};

/// A lock.
#[derive(Default)]
pub struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Mutex<T> {
        Mutex(shuttle::sync::Mutex::new(value))
    }

    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        self.0.lock()
    }

    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        if is(Fault::DeniedTryLock) { Err(TryLockError::WouldBlock) } else { self.0.try_lock() }
    }

    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.0.get_mut()
    }
}

/// A condition variable. No wait ends by its time limit.
#[derive(Default)]
pub struct Condvar(shuttle::sync::Condvar);

impl Condvar {
    pub const fn new() -> Condvar {
        Condvar(shuttle::sync::Condvar::new())
    }

    pub fn wait_timeout_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
        condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        self.0.wait_timeout_while(guard, limit, condition)
    }

    pub fn notify_all(&self) {
        if !is(Fault::LostNotify) {
            self.0.notify_all();
        }
    }
}
